package vault

import (
	"context"
	"crypto/sha256"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/orphan"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// Holdings is how a cluster is asked what it holds.
type Holdings struct {
	// At is where the reader of its extension tells of a storage location, and Read reads that, as content.Read does.
	At   func(location string) *url.URL
	Read func(r io.Reader, each func(orphan.Holding) error) error
}

const (
	// holdingsBatch is how many archives are looked up at a time, and maxOrphans how many orphans of a cluster are found at a time.
	holdingsBatch = 200
	maxOrphans    = 10_000
	// maxLeft is how many runs that have left snapshots are taken of a cluster, and maxSearchedJobs among how many jobs theirs are looked for.
	maxLeft         = 10_000
	maxSearchedJobs = 200_000
)

// holder is a cluster in the eyes of one vault, at one look at what it holds.
type holder struct {
	Source

	jobs *Jobs
	// uid is the cluster's, and immutable says that the vault's recovery points are not deleted before their time.
	uid       string
	immutable bool
	readOnly  bool
	// asked is when the look began.
	asked time.Time
	// sealed are the names of whole archives, each in 16 bytes, and left the snapshots that were left, by the UID of their run.
	sealed map[[16]byte]bool
	left   map[string]orphan.HeldSnapshots
}

func nameDigest(name string) [16]byte {
	sum := sha256.Sum256([]byte(name))
	return [16]byte(sum[:16])
}

// holder is a cluster that can be asked, in the name of a vault.
func (j *Jobs) holder(ctx context.Context, vault, cluster catalogue.ID) (*holder, error) {
	h := &holder{jobs: j, asked: j.Keeper.now(), sealed: map[[16]byte]bool{}, left: map[string]orphan.HeldSnapshots{}}
	err := j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) (err error) {
		if h.Source, err = sourceIn(ctx, v, vault, cluster); err != nil {
			return err
		}
		_, settings, err := vaultSettings(ctx, v, vault)
		h.immutable = settings.Immutability != arm.StateDisabled
		return err
	})
	if err != nil {
		return nil, err
	}
	h.Location = instance.DefaultLocation
	session, err := j.session(ctx, cluster)
	if err != nil {
		return nil, err
	}
	h.uid = session.Info().UID
	return h, nil
}

// ask calls each for some archives at a time. Names of recovery points of a vault are those of its jobs: others are nobody's, however a cluster spells them.
func (h *holder) ask(ctx context.Context, by Holdings, each func([]orphan.HeldArchive) error) error {
	var some []orphan.HeldArchive
	located := false
	err := readEach(ctx, h.jobs, h.Source, by.At(h.Location), maxPlainLine, by.Read, func(item orphan.Holding, _ *bounded) error {
		switch {
		case item.Location != nil:
			h.readOnly, located = item.Location.ReadOnly, true
		case item.Snapshots != nil && len(h.left) < maxLeft:
			h.left[item.Snapshots.Run] = *item.Snapshots
		case item.Archive != nil:
			if item.Archive.Sealed {
				h.sealed[nameDigest(item.Archive.Name)] = true
			}
			if some = append(some, *item.Archive); len(some) == holdingsBatch {
				err := each(some)
				some = nil
				return err
			}
		}
		return nil
	})
	if err == nil && !located {
		err = coffer.Errorf(coffer.CodeServerError, "the cluster %s does not say where it has looked", h.Cluster.Name())
	}
	if err == nil && len(some) > 0 {
		err = each(some)
	}
	return err
}

// known is what the vault knows of a name, and the instance that its job was of, or the vault where there is no such job.
func (h *holder) known(ctx context.Context, v catalogue.View, name string, b *orphan.Backup) (k orphan.Known, of catalogue.ID, err error) {
	k = orphan.Known{Identity: h.Identity, Immutable: h.immutable}
	if k.Job, of, err = h.backupOf(ctx, v, name); err != nil {
		return k, of, err
	}
	places := []catalogue.ID{of, deletedOf(of)}
	if k.Job == nil {
		if b == nil || b.Vault != h.Identity {
			return k, of, nil // nobody's, whatever else is known
		}
		// Whose it was is not known: no instance may have it.
		if places, err = h.instances(ctx, v); err != nil {
			return k, of, err
		}
	}
	for _, place := range places {
		point, err := v.Point(ctx, place, name)
		if err != nil && !missing(err) {
			return k, of, err
		}
		if err == nil {
			k.Point = k.Point || inCluster(point)
		}
		if k.Job == nil {
			continue
		}
		r, err := find(ctx, v, place)
		if err != nil {
			return k, of, err
		}
		k.Job.Gone = k.Job.Gone && r == nil
	}
	for _, owed := range []catalogue.ID{of, h.Vault} {
		_, err := v.Deletion(ctx, h.Vault, owed, name, catalogue.OperationalTier)
		if err != nil && !missing(err) {
			return k, of, err
		}
		k.Deletion = k.Deletion || err == nil
	}
	return k, of, nil
}

// backupOf is the backup whose job has a name, and the instance that it was of; without one, nil and the vault. That the instance is gone is
// yet to be seen.
func (h *holder) backupOf(ctx context.Context, v catalogue.View, name string) (*orphan.Job, catalogue.ID, error) {
	kept, err := v.Job(ctx, h.Vault, name)
	if missing(err) {
		return nil, h.Vault, nil
	}
	if err != nil {
		return nil, h.Vault, err
	}
	state, err := job.Read(kept)
	if err != nil || state.Work.Kind() != job.Backup {
		return nil, h.Vault, err
	}
	return &orphan.Job{
		Here: catalogue.ID(state.Body.DataSourceID).Is(h.Cluster) && state.MeantFor(h.uid), Ended: state.Ended(), Status: string(state.Body.Status),
		Run: state.Work.UID, Instance: kept.Instance.Name(), Gone: true,
	}, kept.Instance, nil
}

// instances are all of the vault, deleted ones included.
func (h *holder) instances(ctx context.Context, v catalogue.View) (found []catalogue.ID, err error) {
	for _, kind := range []string{typeInstance, typeDeleted} {
		err = each(ctx, v, catalogue.ResourceQuery{Type: kind, Under: h.Vault}, func(r catalogue.Resource) error {
			found = append(found, r.ID)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// FoundOrphan is an orphan of a vault.
type FoundOrphan struct {
	orphan.Orphan

	Cluster, Instance catalogue.ID
	Name              string
	Time              time.Time
	Bytes             int64
	Snapshots         int
	SnapshotBytes     int64
}

// judge says whether what the cluster has under a name is an orphan.
func (h *holder) judge(ctx context.Context, v catalogue.View, a orphan.HeldArchive) (o FoundOrphan, found bool, err error) {
	k, of, err := h.known(ctx, v, a.Name, a.Backup)
	if err != nil {
		return o, false, err
	}
	f := orphan.Found{Name: a.Name, Sealed: a.Sealed, Blobs: a.Blobs, Bytes: a.Bytes, Modified: a.Modified, ReadOnly: h.readOnly}
	run := ""
	if k.Job != nil {
		run = k.Job.Run
	}
	if b := a.Backup; b != nil {
		f.Backup, run = b, b.UID
	}
	o = FoundOrphan{Cluster: h.Cluster, Instance: of, Name: a.Name, Time: a.Modified, Bytes: a.Bytes}
	if left, ok := h.left[run]; ok && run != "" {
		f.Left, f.LeftBy = left.Snapshots, run
		o.Snapshots, o.SnapshotBytes = left.Snapshots, left.Bytes
		if a.Blobs == 0 {
			o.Time = left.Created
		}
	}
	o.Orphan, found = orphan.Judge(f, k)
	return o, found, nil
}

// runsOf are the names of the vault's jobs by the UIDs of runs that have left snapshots.
func (h *holder) runsOf(ctx context.Context, v catalogue.View) (names map[string]string, err error) {
	names = map[string]string{}
	if len(h.left) == 0 {
		return names, nil
	}
	seen := 0
	for _, operation := range []arm.Word{job.ScheduledBackup, job.OnDemandBackup} {
		for q := (catalogue.JobQuery{Vault: h.Vault, Operation: string(operation), Limit: pageSize}); seen < maxSearchedJobs && len(names) < len(h.left); seen += pageSize {
			page, err := v.Jobs(ctx, q)
			if err != nil {
				return nil, err
			}
			for _, kept := range page {
				state, err := job.Read(kept)
				if err != nil {
					return nil, err
				}
				if _, ok := h.left[state.Work.UID]; ok {
					names[state.Work.UID] = kept.Name
				}
			}
			if len(page) < q.Limit {
				break
			}
			q.After = &catalogue.PointCursor{Time: page[len(page)-1].Started, Name: page[len(page)-1].Name}
		}
	}
	return names, nil
}

// missingPoint says what of a recovery point of the catalogue whose archive the cluster does not have. It is none where that may be otherwise in a
// moment: it was made since the cluster was asked, or is being deleted with its instance.
func (h *holder) missingPoint(ctx context.Context, v catalogue.View, r catalogue.Resource, name string) (o FoundOrphan, found bool, err error) {
	point, err := v.Point(ctx, r.ID, name)
	if err != nil {
		return o, false, gone(err)
	}
	kept, err := v.Job(ctx, h.Vault, name)
	switch {
	case err != nil && !missing(err), err == nil && (kept.Ended.IsZero() || !kept.Ended.Before(h.asked)):
		return o, false, err
	case err == nil:
		// In another cluster that has joined under the id nothing is to be found, and nothing is missing.
		state, err := job.Read(kept)
		if err != nil || !state.MeantFor(h.uid) {
			return o, false, err
		}
	}
	if !point.Operational {
		return o, false, nil
	}
	m := orphan.Missing{
		Instance: r.ID.Name(), Name: name, Held: point.Held, Expires: point.Expiry, Immutable: h.immutable, Elsewhere: point.Vaulted, Now: h.asked,
	}
	readers, err := readersOf(ctx, v, instanceOf(r.ID))
	if err != nil {
		return o, false, err
	}
	m.Read = readers[instanceOf(r.ID).Key()][name]
	return FoundOrphan{Orphan: orphan.JudgeMissing(m), Cluster: h.Cluster, Instance: r.ID, Name: name, Time: point.Time, Bytes: point.Bytes}, true, nil
}

// settled says whether the recovery points of an instance stay as they are: it is not being deleted with them.
func (h *holder) settled(ctx context.Context, v catalogue.View, r catalogue.Resource) (bool, error) {
	record, err := ProtectionOf(r)
	if err != nil || record.Deleting {
		return false, err
	}
	open, err := v.Jobs(ctx, catalogue.JobQuery{Vault: h.Vault, Instance: r.ID, Status: string(job.InProgress), Operation: string(job.DeleteData), Limit: 1})
	return len(open) == 0 && (record.State != protection.SoftDeleted || strings.EqualFold(r.ID.Type(), typeDeleted)), err
}
