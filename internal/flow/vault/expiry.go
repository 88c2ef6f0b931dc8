package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/alert"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// Expiring is a page of the instances that have recovery points whose time is up, after the Key of the last one of the page before.
func (j *Jobs) Expiring(ctx context.Context, after string, limit int) ([]catalogue.ID, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.ID, error) {
		return v.Expiring(ctx, j.Keeper.now(), after, limit)
	})
}

// Expire judges the recovery points of instances whose time is up, up to 1,000. What the rules let go of, in one tier or in both, cannot be
// restored from there any more when Expire returns: it is owed as deletions. Expire answers how many recovery points that is of each instance.
func (j *Jobs) Expire(ctx context.Context, instances ...catalogue.ID) (expired []int, err error) {
	now := j.Keeper.now()
	seen := &seenPoints{until: now, instances: map[string]seenInstance{}, lost: map[string][]lostPoint{}}
	// Most look in vain, for what is the newest is kept however old it is: they keep nobody from writing.
	some, err := view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]letGo, error) {
		return judgePoints(ctx, newCommons(v), instances, seen, now)
	})
	if err == nil {
		err = j.tellSeen(ctx, seen, now)
	}
	expired = make([]int, len(instances))
	var left []catalogue.ID
	var places []int
	for i, gone := range some {
		if len(gone.points) > 0 {
			left, places = append(left, instances[i]), append(places, i)
		}
	}
	if err != nil || len(left) == 0 {
		return expired, err
	}
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		clear(expired)
		if err := tx.Turn(ctx); err != nil {
			return err
		}
		if err := seen.look(ctx, tx, left); err != nil {
			return err
		}
		c := newCommons(tx)
		gone, err := judgePoints(ctx, c, left, seen, now)
		if err != nil {
			return err
		}
		for i := range gone {
			expired[places[i]] = len(gone[i].points)
		}
		return j.expire(ctx, tx, c, gone, now)
	})
	if err == nil {
		j.wake()
	}
	return expired, err
}

// letGo are the recovery points of an instance that a tier is to let go of.
type letGo struct {
	of     protected
	points []outlived
}

// outlived is a recovery point that a tier is to let go of, and the decision about it.
type outlived struct {
	catalogue.Point
	was      retention.Point
	decision retention.Decision
}

// judgePoints judges the recovery points of each of some instances.
func judgePoints(ctx context.Context, c *commons, instances []catalogue.ID, seen *seenPoints, now time.Time) ([]letGo, error) {
	resources, err := among(ctx, c.view, instances)
	if err != nil {
		return nil, err
	}
	readers, err := readersOf(ctx, c.view, instances...)
	if err != nil {
		return nil, err
	}
	gone := make([]letGo, len(instances))
	for i, id := range instances {
		r, there := resources[id.Key()]
		if !there {
			continue
		}
		if gone[i], err = c.judgeInstance(ctx, r, readers[id.Key()], seen, now); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

func (c *commons) judgeInstance(ctx context.Context, r catalogue.Resource, readers map[string]string, seen *seenPoints, now time.Time) (gone letGo, err error) {
	record, err := ProtectionOf(r)
	if err != nil || record.Deleting || record.State == protection.SoftDeleted {
		return gone, err // its recovery points have another end
	}
	if gone.of, err = c.protectedOf(ctx, r); err != nil {
		return gone, err
	}
	points, judged, err := seen.read(ctx, c.view, r.ID)
	if err != nil {
		return gone, err
	}
	decisions, err := gone.of.judge(judged, readers, now)
	if err != nil {
		return gone, err
	}
	for i, decision := range decisions {
		if decision.Operational == retention.Expire || decision.Vault == retention.Expire {
			gone.points = append(gone.points, outlived{points[i], judged[i], decision})
		}
	}
	return gone, nil
}

// judge decides what becomes of an instance's recovery points, which are all that it has. readers are who reads some of them now.
func (p protected) judge(points []retention.Point, readers map[string]string, now time.Time) ([]retention.Decision, error) {
	readBy(points, readers)
	terms, err := termsOf(p.resource, p.settings, now)
	terms.KeepAtLeast = p.policy.KeepAtLeast
	return retention.Judge(points, terms), err
}

// readBy says of recovery points who reads them now.
func readBy(points []retention.Point, readers map[string]string) {
	for i := range points {
		points[i].Reader = readers[points[i].Name]
	}
}

// readersOf are the jobs under way that read recovery points of instances, by the instances' Keys and the names of those.
func readersOf(ctx context.Context, v catalogue.View, instances ...catalogue.ID) (map[string]map[string]string, error) {
	readers := map[string]map[string]string{}
	open, err := openJobs(ctx, v, pageSize, instances, job.RestoreData, job.RestorePlan)
	if err != nil {
		return nil, err
	}
	if len(open) == pageSize && len(instances) > 1 {
		// There may be more of them: each instance is asked for its own.
		for _, id := range instances {
			own, err := readersOf(ctx, v, id)
			if err != nil {
				return nil, err
			}
			maps.Copy(readers, own)
		}
		return readers, nil
	}
	for _, kept := range open {
		state, err := job.Read(kept)
		if err != nil {
			return nil, err
		}
		if state.Work.Restore == nil {
			continue
		}
		of := kept.Instance.Key()
		if readers[of] == nil {
			readers[of] = map[string]string{}
		}
		readers[of][state.Work.Restore.BackupName] = "the job " + kept.Name
	}
	return readers, nil
}

// Owed is what there is to do for a deletion.
type Owed struct {
	// Identity is who the vault is in the cluster, ClusterUID that of the cluster, if it is known, and Location where the archive is.
	Identity   string `json:"identity"`
	ClusterUID string `json:"clusterUid,omitempty"`
	Location   string `json:"location"`
	// Run is the UID of the Backup that made it, of an orphan: what that has left is deleted with it.
	Run string `json:"run,omitempty"`
	// SnapshotBytes is how large volumes made of its snapshots are at least, as far as that is known, for whoever looks at what is owed.
	SnapshotBytes int64 `json:"snapshotBytes,omitempty"`
}

// expire has the tiers let go of recovery points.
func (j *Jobs) expire(ctx context.Context, tx catalogue.Tx, c *commons, gone []letGo, now time.Time) error {
	var clusters []catalogue.ID
	for _, g := range gone {
		if len(g.points) > 0 {
			clusters = append(clusters, g.of.config.Cluster)
		}
	}
	if err := c.readClusters(ctx, clusters); err != nil {
		return err
	}
	var owed []catalogue.Deletion
	var nowhere []catalogue.PointID
	var entries []catalogue.AuditEntry
	for _, g := range gone {
		if len(g.points) == 0 {
			continue
		}
		work, err := c.owed(g.of)
		if err != nil {
			return err
		}
		by := Caller{Principal: catalogue.Principal{Name: "the retention of " + g.of.config.Policy.Name()}}
		for _, one := range g.points {
			some, from, there, err := j.letGo(ctx, tx, g.of, one, work, now)
			if err != nil {
				return err
			}
			if !there {
				nowhere = append(nowhere, catalogue.PointID{Instance: g.of.resource.ID, Name: one.Name})
			}
			owed = append(owed, some...)
			entry := by.entry(now, typePoint+"/expire", g.of.resource.ID.Child("recoveryPoints", one.Name), http.StatusOK)
			entry.After = facts(object{"reason": one.decision.Reason, "dataStores": from})
			entries = append(entries, entry)
		}
	}
	if _, err := tx.DeletePoints(ctx, nowhere...); err != nil {
		return err
	}
	if err := tx.PutDeletion(ctx, owed...); err != nil {
		return err
	}
	return tx.AppendAudit(ctx, entries...)
}

// letGo has the tiers let go of a recovery point as was decided, and answers what they owe for that, which tiers those are, and whether one has it
// still: if none has, the caller deletes it from the catalogue. work is what there is to do in its cluster.
func (j *Jobs) letGo(
	ctx context.Context, tx catalogue.Tx, p protected, one outlived, work Owed, now time.Time,
) (owed []catalogue.Deletion, from []arm.Word, there bool, err error) {
	left, point := one.was, one.Point
	if one.decision.Operational == retention.Expire {
		work.SnapshotBytes = point.SnapshotBytes
		owed = append(owed, catalogue.Deletion{
			Vault: p.vault.ID, Instance: p.resource.ID, Point: point.Name, Taken: point.Time, Cluster: p.config.Cluster, Bytes: point.Bytes,
			Since: now, Next: now, Work: facts(work),
		})
		left.Operational.Present = false
		from = append(from, arm.OperationalStore)
	}
	if one.decision.Vault == retention.Expire {
		id := catalogue.VaultCopyID{Vault: p.vault.ID, Repository: repositoryOf(p.resource), Point: point.Name}
		owed = append(owed, copyDeletion(id, p.resource.ID, point.Time, point.VaultBytes, now))
		left.Vault.Present = false
		from = append(from, arm.VaultStore)
	}
	if one.was.TooLate(now) {
		err = j.forgoCopy(ctx, tx, p.resource, &point, left, now)
	} else {
		err = setTiers(&point, left)
	}
	if there = left.There(); there && err == nil {
		err = tx.PutPoint(ctx, point)
	}
	return owed, from, there, err
}

// owed is what there is to do for the deletions of an instance, whose cluster was read if it is there.
func (c *commons) owed(p protected) (Owed, error) {
	work := Owed{Identity: p.identity(), Location: instance.DefaultLocation}
	if cluster, there := c.clusters[p.config.Cluster.Key()]; there {
		known, err := ClusterFactsOf(cluster)
		if err != nil {
			return work, err
		}
		work.ClusterUID = known.ClusterUID
	}
	return work, nil
}

// typePoint is the type of recovery points.
const typePoint = typeInstance + "/recoveryPoints"

// Deletions are what a cluster owes now, what was to be tried first being first.
func (j *Jobs) Deletions(ctx context.Context, cluster catalogue.ID, limit int) ([]catalogue.Deletion, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.Deletion, error) {
		return v.Deletions(ctx, catalogue.DeletionQuery{Cluster: cluster, Until: j.Keeper.now(), Limit: limit})
	})
}

// Owing are the clusters that owe deletions now.
func (j *Jobs) Owing(ctx context.Context) ([]catalogue.ID, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.ID, error) {
		return v.DeletionClusters(ctx, j.Keeper.now())
	})
}

// ReadOwed is what there is to do for a deletion.
func ReadOwed(d catalogue.Deletion) (work Owed, err error) {
	if err := json.Unmarshal(d.Work, &work); err != nil {
		return work, fmt.Errorf("read the work of the deletion of %s of %s: %w", d.Point, d.Instance, err)
	}
	return work, nil
}

// Spec is what the run of a deletion is told.
func (o Owed) Spec(point string) v1alpha1.DeleteBackupSpec {
	return v1alpha1.DeleteBackupSpec{StorageLocation: o.Location, BackupName: point, Run: o.Run}
}

// Deleted forgets a deletion: the cluster, or the vault tier, says that the recovery point is gone.
func (j *Jobs) Deleted(ctx context.Context, d catalogue.Deletion) error {
	return j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		err := tx.DeleteDeletion(ctx, d.Vault, d.Instance, d.Point, d.Tier)
		if missing(err) {
			return nil // another replica was first
		}
		return err
	})
}

// The pauses between tries of a deletion: the first, which doubles, and the longest. After so many tries there is an alert.
const (
	firstPause   = 30 * time.Second
	longestPause = time.Hour
	alertTries   = 5
)

// pauseAfter is how long a deletion is left alone that has failed so often.
func pauseAfter(tries int) time.Duration {
	pause := firstPause
	for range tries - 1 {
		if pause *= 2; pause >= longestPause {
			return longestPause
		}
	}
	return pause
}

// Postpone writes down why a deletion did not succeed, and when it is tried again: for as long as it takes.
func (j *Jobs) Postpone(ctx context.Context, d catalogue.Deletion, why error) error {
	now := j.Keeper.now()
	return j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		kept, err := tx.Deletion(ctx, d.Vault, d.Instance, d.Point, d.Tier)
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		kept.Tries++
		kept.Failure, kept.Next = job.Text(why.Error(), maxFailure), now.Add(pauseAfter(kept.Tries))
		if err := tx.PutDeletion(ctx, kept); err != nil || kept.Tries < alertTries {
			return err
		}
		where := "in the cluster " + kept.Cluster.Name()
		if kept.Tier == catalogue.VaultTier {
			where = "in the vault tier"
		}
		return j.alert(ctx, tx, alert.NotDeleted, kept.Vault, kept.Instance, arm.SeverityWarning,
			fmt.Sprintf("the expired recovery point %s of %s is not deleted %s: %s", kept.Point, kept.Instance.Name(), where, kept.Failure),
			"see coffer backup-vault pending-deletions; it is tried again for as long as it takes, at least each hour", now)
	})
}

// maxFailure bounds what is kept of why something failed, in bytes.
const maxFailure = 500
