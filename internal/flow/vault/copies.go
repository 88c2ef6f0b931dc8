package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/alert"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

const (
	// copyLease is for how long a copy, or its deletion, is left alone that somebody looks at: longer than a look takes. If they die, others go
	// on then.
	copyLease = 5 * time.Minute
	// heldCopy is after how long a copy is looked at again that is not made now: its instance is about to go, or was deleted and can be had
	// again.
	heldCopy = time.Hour
	// missingTier is how often is looked again at what is to be copied by a server that has no vault tier.
	missingTier = 24 * time.Hour
)

// Copying is a copy that is looked at.
type Copying struct {
	// Instance is whose recovery point it is, and Job the name of the tiering job.
	Instance catalogue.ID
	Job      string
	Copy     catalogue.VaultCopy
}

// CopiesDue are recovery points that are to be copied to the vault tier, or whose copies are to be looked after, the earliest first.
func (j *Jobs) CopiesDue(ctx context.Context, limit int) ([]catalogue.Point, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.Point, error) {
		return v.CopiesDue(ctx, j.Keeper.now(), limit)
	})
}

// repositoryOf names what the copies of an instance have in common in the vault tier. It stays when the instance is deleted and had again.
func repositoryOf(r catalogue.Resource) string {
	id := r.ID
	if id.Type() == typeDeleted {
		id = instanceOf(id)
	}
	return uuid.NewSHA1(uuid.Nil, []byte("vault tier "+id.Key()+" "+r.Created.At.UTC().Format(time.RFC3339Nano))).String()
}

// copyName is that of the tiering job of a recovery point: whoever begins it, it is the same. before is how many there were that have ended.
func copyName(repository, point string, before int) string {
	return uuid.NewSHA1(uuid.MustParse(repository), []byte(point+" "+strconv.Itoa(before))).String()
}

// jobOfCopy is the tiering job of a recovery point that is under way, or the name of the next one. begun says that there is, or was, one.
func jobOfCopy(ctx context.Context, v catalogue.View, vault catalogue.ID, repository, point string) (open *catalogue.Job, next string, begun bool, err error) {
	for before := 0; ; before++ {
		name := copyName(repository, point, before)
		kept, err := v.Job(ctx, vault, name)
		switch {
		case missing(err):
			return nil, name, before > 0, nil
		case err != nil:
			return nil, "", false, err
		case kept.Ended.IsZero():
			return &kept, name, true, nil
		}
	}
}

// BeginCopy sees to it that the tiering job of a copy that is due is under way, and answers what is to be copied: nil if that is nothing,
// or not now. For a while nobody else is answered the same.
func (j *Jobs) BeginCopy(ctx context.Context, id catalogue.ID, point string) (begun *Copying, err error) {
	now := j.Keeper.now()
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		begun = nil
		d, err := j.dueCopy(ctx, tx, id, point, now)
		if err != nil || d == nil {
			return err
		}
		begun, err = j.beginCopy(ctx, tx, *d, now)
		if err != nil {
			return err
		}
		d.point.Copy = now.Add(copyLease)
		return tx.PutPoint(ctx, d.point)
	})
	return begun, err
}

// dueCopy is a copy that is due, and wanted.
type dueCopy struct {
	resource catalogue.Resource
	point    catalogue.Point
	promised retention.Point
}

// dueCopy reads one, nil if it is not to be made, or not now: then that is written down.
func (j *Jobs) dueCopy(ctx context.Context, tx catalogue.Tx, id catalogue.ID, name string, now time.Time) (*dueCopy, error) {
	r, err := find(ctx, tx, id)
	if err != nil || r == nil {
		return nil, err
	}
	point, err := tx.Point(ctx, id, name)
	if missing(err) || err == nil && (point.Copy.IsZero() || point.Copy.After(now)) {
		return nil, nil // another replica was first
	}
	if err != nil {
		return nil, err
	}
	record, err := ProtectionOf(*r)
	if err != nil {
		return nil, err
	}
	if r.ID.Type() == typeDeleted || record.Deleting {
		point.Copy = now.Add(heldCopy)
		return nil, tx.PutPoint(ctx, point)
	}
	// One that was given up and is wanted again is not made before nothing is left of the one before: the deletion would be of both.
	_, err = tx.Deletion(ctx, r.ID.Parent(), r.ID, point.Name, catalogue.VaultTier)
	if err == nil {
		point.Copy = now.Add(firstPause)
		return nil, tx.PutPoint(ctx, point)
	}
	if !missing(err) {
		return nil, err
	}
	promised, err := readPoint(point)
	if err != nil {
		// It is not known until when the copy is to be kept, and so for how long that may take: it is looked at again, and the others go on.
		point.Copy = now.Add(heldCopy)
		if err := j.tellLost(ctx, tx, id, []lostPoint{{point, err}}, now); err != nil {
			return nil, err
		}
		return nil, tx.PutPoint(ctx, point)
	}
	switch {
	case promised.TooLate(now):
		err = j.forgoCopy(ctx, tx, *r, &point, promised, now)
	case promised.Awaited():
		return &dueCopy{*r, point, promised}, nil
	default:
		point.Copy = time.Time{}
	}
	if err != nil {
		return nil, err
	}
	return nil, tx.PutPoint(ctx, point)
}

// beginCopy is the copy with its job, which is begun unless it is under way.
func (j *Jobs) beginCopy(ctx context.Context, tx catalogue.Tx, d dueCopy, now time.Time) (*Copying, error) {
	p, err := protectedOf(ctx, tx, d.resource)
	if err != nil {
		return nil, err
	}
	repository := repositoryOf(d.resource)
	open, name, _, err := jobOfCopy(ctx, tx, p.vault.ID, repository, d.point.Name)
	if err != nil {
		return nil, err
	}
	var state job.State
	if open == nil {
		if state, err = j.newCopy(ctx, tx, p, d, name, now); err != nil {
			return nil, err
		}
	} else if state, err = job.Read(*open); err != nil {
		return nil, err
	}
	return &Copying{Instance: d.resource.ID, Job: name, Copy: catalogue.VaultCopy{
		VaultCopyID: catalogue.VaultCopyID{Vault: p.vault.ID, Repository: repository, Point: d.point.Name}, Taken: d.point.Time,
		Cluster: p.config.Cluster, ClusterUID: state.Work.ClusterUID, Identity: state.Work.Identity, Location: instance.DefaultLocation,
	}}, nil
}

// newCopy begins a tiering job.
func (j *Jobs) newCopy(ctx context.Context, tx catalogue.Tx, p protected, d dueCopy, name string, now time.Time) (job.State, error) {
	r := p.request(Caller{Principal: catalogue.Principal{Name: "the policy " + p.config.Policy.Name()}}, job.TierData, name, now)
	r.Point, r.PointTime = d.point.Name, d.point.Time
	r.Work.Copy = &job.Copy{Point: d.point.Name, Due: d.promised.CopyDue()}
	cluster, err := find(ctx, tx, p.config.Cluster)
	if err != nil {
		return job.State{}, err
	}
	if cluster != nil {
		known, err := ClusterFactsOf(*cluster)
		if err != nil {
			return job.State{}, err
		}
		r.Work.ClusterUID = known.ClusterUID
	}
	// It has no cluster: the vault tier carries it out, and no run of the vault's.
	kept := catalogue.Job{Vault: r.Vault, Name: name, Instance: r.Instance, Operation: string(r.Operation), Started: now, Point: r.Point}
	state := job.Begin(r).Start()
	return state, tx.PutJob(ctx, stated(kept, state))
}

// CopyGoesOn writes down how far a copy is that is not whole.
func (j *Jobs) CopyGoesOn(ctx context.Context, c Copying, progress catalogue.CopyProgress) error {
	return j.followCopy(ctx, c, func(s job.State, _ *catalogue.Point, now time.Time) (job.State, time.Time, error) {
		s, next := s.Copying(progress.Bytes, progress.Total, now)
		return s, next, nil
	})
}

// CopyFailed writes down why a copy has failed. It is tried again, with growing pauses, for as long as it takes.
func (j *Jobs) CopyFailed(ctx context.Context, c Copying, why *coffer.Error) error {
	return j.followCopy(ctx, c, func(s job.State, _ *catalogue.Point, now time.Time) (job.State, time.Time, error) {
		s, next := s.NotCopied(why, now)
		return s, next, nil
	})
}

// CopyWhole writes down that a copy is in the vault tier: the recovery point is in both from then on, each with its own expiry.
func (j *Jobs) CopyWhole(ctx context.Context, c Copying, progress catalogue.CopyProgress) error {
	return j.followCopy(ctx, c, func(s job.State, point *catalogue.Point, now time.Time) (job.State, time.Time, error) {
		promised, err := readPoint(*point)
		if err != nil {
			return s, time.Time{}, err
		}
		promised.Vault.Present, promised.Vault.Since = true, now
		point.VaultBytes = progress.Stored
		return s.Whole(progress.Bytes, progress.Stored, now), time.Time{}, setTiers(point, promised)
	})
}

// followCopy writes what became of a look at a copy. Of one that nobody wants any more, what the look may have begun is to be deleted.
func (j *Jobs) followCopy(
	ctx context.Context, c Copying, follow func(s job.State, point *catalogue.Point, now time.Time) (job.State, time.Time, error),
) error {
	now := j.Keeper.now()
	return j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		kept, err := tx.Job(ctx, c.Copy.Vault, c.Job)
		if missing(err) {
			return nil // its vault is gone
		}
		if err != nil {
			return err
		}
		state, err := job.Read(kept)
		if err != nil {
			return err
		}
		point, err := wantedPoint(ctx, tx, c.Instance, c.Copy.Point)
		switch {
		case err != nil:
			return err
		case point == nil && !state.Ended():
			if err := j.keep(ctx, tx, kept, state.Unwanted("its recovery point is gone", now)); err != nil {
				return err
			}
			fallthrough
		case point == nil:
			return oweCopy(ctx, tx, c.Copy.VaultCopyID, c.Instance, c.Copy.Taken, 0, now)
		case state.Ended() || point.Instance.Type() == typeDeleted:
			return nil // another replica was first, or goes on with it once somebody has the instance again
		}
		if state, point.Copy, err = follow(state, point, now); err != nil {
			return err
		}
		state, severity, message, tell := state.Tell(now)
		if tell && !state.Ended() {
			err := j.alert(ctx, tx, alert.NotCopied, c.Copy.Vault, c.Instance, severity, message,
				"see coffer job show; it is tried again for as long as it takes, at least each hour, and the operational tier keeps the recovery point", now)
			if err != nil {
				return err
			}
		}
		if err := j.keep(ctx, tx, kept, state); err != nil {
			return err
		}
		if state.Ended() {
			if err := copiesWell(ctx, tx, kept, now); err != nil {
				return err
			}
		}
		return tx.PutPoint(ctx, *point)
	})
}

// copiesWell closes the alerts about the copies of an instance once the last one that was under way is whole.
func copiesWell(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, now time.Time) error {
	others, err := openJobs(ctx, tx, 1, []catalogue.ID{kept.Instance}, job.TierData)
	if err != nil || len(others) > 0 {
		return err
	}
	const reason = "the copies that were under way are in the vault tier"
	over := []alert.Over{{Kind: alert.NotCopied, Reason: reason}, {Kind: alert.NoVaultTier, Reason: reason}}
	return closeOver(ctx, tx, kept.Instance, over, "the job "+kept.Name, now)
}

// wantedPoint is the recovery point of a copy that is wanted, or there, of the instance or of the deleted one that can be had again; nil is
// none.
func wantedPoint(ctx context.Context, v catalogue.View, id catalogue.ID, name string) (*catalogue.Point, error) {
	for _, at := range []catalogue.ID{id, deletedOf(id)} {
		point, err := v.Point(ctx, at, name)
		if missing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p, err := readPoint(point)
		if err != nil || !p.Vault.Present && !p.Awaited() {
			return nil, err
		}
		return &point, nil
	}
	return nil, nil
}

// forgoCopy gives up a copy that the vault tier would let go of at once, with an alert. The point is not written.
func (j *Jobs) forgoCopy(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, point *catalogue.Point, promised retention.Point, now time.Time) error {
	until := promised.Vault.Expires
	err := j.dropCopy(ctx, tx, r, *point, func(s job.State) job.State { return s.TooLate(until, now) }, now)
	if err != nil {
		return err
	}
	err = j.alert(ctx, tx, alert.NotCopied, r.ID.Parent(), r.ID, arm.SeverityError, fmt.Sprintf(
		"the recovery point %s of %s did not come to the vault tier, which was to keep it until %s: its copy is given up", point.Name, r.ID.Name(), until.UTC().Format(time.RFC3339)),
		"see that the copies of newer ones succeed: coffer job list", now)
	if err != nil {
		return err
	}
	promised.Copy, promised.Vault = time.Time{}, retention.Tier{}
	return setTiers(point, promised)
}

// dropCopy ends the tiering job of a recovery point, if one is under way, and has what was copied deleted. What is in the vault tier
// already is not looked at.
func (j *Jobs) dropCopy(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, point catalogue.Point, end func(s job.State) job.State, now time.Time) error {
	id := catalogue.VaultCopyID{Vault: r.ID.Parent(), Repository: repositoryOf(r), Point: point.Name}
	open, _, begun, err := jobOfCopy(ctx, tx, id.Vault, id.Repository, id.Point)
	if err != nil || !begun {
		return err
	}
	if open != nil {
		state, err := job.Read(*open)
		if err != nil {
			return err
		}
		if err := j.keep(ctx, tx, *open, end(state)); err != nil {
			return err
		}
	}
	return oweCopy(ctx, tx, id, r.ID, point.Time, point.VaultBytes, now)
}

// oweCopy makes a deletion of a copy in the vault tier, whole or not.
func oweCopy(ctx context.Context, tx catalogue.Tx, id catalogue.VaultCopyID, of catalogue.ID, taken time.Time, bytes int64, now time.Time) error {
	return tx.PutDeletion(ctx, copyDeletion(id, of, taken, bytes, now))
}

func copyDeletion(id catalogue.VaultCopyID, of catalogue.ID, taken time.Time, bytes int64, now time.Time) catalogue.Deletion {
	if of.Type() == typeDeleted {
		of = instanceOf(of)
	}
	return catalogue.Deletion{
		Vault: id.Vault, Instance: of, Point: id.Point, Tier: catalogue.VaultTier, Taken: taken, Bytes: bytes, Since: now, Next: now,
		Work: facts(OwedCopy{Repository: id.Repository}),
	}
}

// forgetPoint takes a recovery point out of the catalogue that the operational tier does not have any more. What the vault tier has of it is to be
// deleted there.
func (j *Jobs) forgetPoint(ctx context.Context, tx catalogue.Tx, point catalogue.Point, now time.Time) error {
	r, err := tx.Resource(ctx, point.Instance)
	if err != nil {
		return err
	}
	if point.Vaulted {
		id := catalogue.VaultCopyID{Vault: r.ID.Parent(), Repository: repositoryOf(r), Point: point.Name}
		err = oweCopy(ctx, tx, id, r.ID, point.Time, point.VaultBytes, now)
	} else {
		err = j.dropCopy(ctx, tx, r, point, func(s job.State) job.State { return s.Unwanted("its recovery point is gone", now) }, now)
	}
	if err != nil {
		return err
	}
	return tx.DeletePoint(ctx, point.Instance, point.Name)
}

// inCluster says whether a recovery point is in its cluster, and not in the vault tier alone.
func inCluster(p catalogue.Point) bool { return p.Operational || !p.Vaulted }

// OwedCopy is what there is to do for a deletion from the vault tier.
type OwedCopy struct {
	Repository string `json:"repository"`
}

// ReadOwedCopy is the copy that a deletion from the vault tier is of.
func ReadOwedCopy(d catalogue.Deletion) (catalogue.VaultCopyID, error) {
	var work OwedCopy
	if err := json.Unmarshal(d.Work, &work); err != nil {
		return catalogue.VaultCopyID{}, fmt.Errorf("read the work of the deletion of %s of %s from the vault tier: %w", d.Point, d.Instance, err)
	}
	return catalogue.VaultCopyID{Vault: d.Vault, Repository: work.Repository, Point: d.Point}, nil
}

// CopyDeletions are what the vault tier owes now, what was to be tried first being first.
func (j *Jobs) CopyDeletions(ctx context.Context, limit int) ([]catalogue.Deletion, error) {
	return view(ctx, j.Keeper.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.Deletion, error) {
		return v.Deletions(ctx, catalogue.DeletionQuery{VaultTiers: true, Until: j.Keeper.now(), Limit: limit})
	})
}

// TakeDeletion says whether a deletion in the vault tier is still due. For a while nobody else is answered so: what is asked of the vault tier
// by somebody who has hung since must not be of the next copy of that name.
func (j *Jobs) TakeDeletion(ctx context.Context, d catalogue.Deletion) (due bool, err error) {
	now := j.Keeper.now()
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		due = false
		kept, err := tx.Deletion(ctx, d.Vault, d.Instance, d.Point, d.Tier)
		if missing(err) || err == nil && kept.Next.After(now) {
			return nil // another replica was first
		}
		if err != nil {
			return err
		}
		due, kept.Next = true, now.Add(copyLease)
		return tx.PutDeletion(ctx, kept)
	})
	return due, err
}

// DeletionGoesOn looks again later at a deletion in the vault tier that has not failed, and is not done.
func (j *Jobs) DeletionGoesOn(ctx context.Context, d catalogue.Deletion) error {
	next := j.Keeper.now().Add(firstPause)
	return j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		kept, err := tx.Deletion(ctx, d.Vault, d.Instance, d.Point, d.Tier)
		if missing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		kept.Next = next
		return tx.PutDeletion(ctx, kept)
	})
}

// endCopies ends the tiering jobs of an instance that are under way: it is to be deleted. Where it can be had again, another job goes on with
// each copy then; otherwise what was copied until now, and is not whole, is to be deleted.
func (j *Jobs) endCopies(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, again bool, now time.Time) error {
	return j.changeOpen(ctx, tx, r.ID, func(kept catalogue.Job, s job.State) (job.State, error) {
		if !again && s.Work.Copy != nil {
			id := catalogue.VaultCopyID{Vault: kept.Vault, Repository: repositoryOf(r), Point: s.Work.Copy.Point}
			if err := oweCopy(ctx, tx, id, r.ID, kept.Started, 0, now); err != nil {
				return s, err
			}
		}
		return s.Paused(now), nil
	}, job.TierData)
}

// WithoutTier says of an instance with copies due that this server has no vault tier to make them in: in an alert, once each day.
func (j *Jobs) WithoutTier(ctx context.Context, id catalogue.ID, points []string) error {
	now := j.Keeper.now()
	return j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		waiting, first := 0, time.Time{}
		for _, name := range points {
			d, err := j.dueCopy(ctx, tx, id, name, now)
			if err != nil {
				return err
			}
			if d == nil {
				continue
			}
			if due := d.promised.CopyDue(); waiting == 0 || due.Before(first) {
				first = due
			}
			waiting++
			d.point.Copy = now.Add(missingTier)
			if err := tx.PutPoint(ctx, d.point); err != nil {
				return err
			}
		}
		if waiting == 0 {
			return nil
		}
		return j.alert(ctx, tx, alert.NoVaultTier, id.Parent(), id, arm.SeverityError, fmt.Sprintf(
			"%d recovery points of %s are to be copied to the vault tier, the first since %s, and this server has none: no copies are made", waiting, id.Name(), first.UTC().Format(time.RFC3339)),
			"the OperationalStore keeps them for as long as the VaultStore would; do not count on copies outside of the cluster, or have the policy not copy", now)
	})
}
