package vault

import (
	"context"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// Removal is what became of a request to delete an instance.
type Removal struct {
	Operation catalogue.Operation
	// Found says that there was one, and Underway that its recovery points are deleted first.
	Found, Underway bool
}

// DeleteInstance deletes an instance. Where the vault's soft delete is not Off, one with recovery points can be had again for a while, and
// they stay as they are. Otherwise they are deleted in its cluster first, by a job with which the instance goes. With retain, and without
// recovery points, it goes at once; with retain, jobs of it that are under way end, whatever their runs do.
func (j *Jobs) DeleteInstance(ctx context.Context, by Caller, id catalogue.ID, c catalogue.Condition, retain bool) (removal Removal, err error) {
	kind, err := j.Keeper.Kinds.of(id)
	if err != nil {
		return Removal{}, err
	}
	now, name := j.Keeper.now(), j.newName()
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, err := find(ctx, tx, id)
		if removal = (Removal{Found: r != nil}); err != nil || r == nil {
			return err
		}
		if !retain {
			removal, err = j.deleteWithData(ctx, tx, by, *r, c, name, now)
			return err
		}
		keeps, err := guardOf(ctx, tx, r.ID, now)
		if err != nil {
			return err
		}
		points, err := mustNotBeGuarded(ctx, tx, r.ID, keeps)
		if err == nil && points {
			err = keeps.CheckEarly(time.Time{})
		}
		if err == nil && points && keeps.SoftDelete != arm.StateOff {
			err = mayForget(ctx, tx, by, r.ID)
		}
		if err == nil {
			err = consentToDelete(ctx, tx, by, r.ID, now)
		}
		if err == nil {
			removal.Operation, err = j.forget(ctx, tx, by, kind, *r, c, now)
		}
		return err
	})
	if err == nil && removal.Underway {
		j.wake()
	}
	return removal, err
}

// forget deletes an instance at once, and leaves its recovery points where they are.
func (j *Jobs) forget(ctx context.Context, tx catalogue.Tx, by Caller, kind Kind, r catalogue.Resource, c catalogue.Condition, now time.Time) (catalogue.Operation, error) {
	if err := j.endCopies(ctx, tx, r, false, now); err != nil {
		return catalogue.Operation{}, err
	}
	err := j.abandon(ctx, tx, r.ID, "the backup instance was deleted without its recovery points", now, func(job.State) bool { return true })
	if err == nil {
		err = closeAll(ctx, tx, by, r.ID, now)
	}
	if err != nil {
		return catalogue.Operation{}, err
	}
	return j.Keeper.remove(ctx, tx, by, kind, r, c, now)
}

// deleteWithData deletes an instance and its recovery points; one that is being deleted already goes on.
func (j *Jobs) deleteWithData(ctx context.Context, tx catalogue.Tx, by Caller, r catalogue.Resource, c catalogue.Condition, name string, now time.Time) (Removal, error) {
	removal := Removal{Found: true}
	deleting, err := j.deletionOf(ctx, tx, r.ID)
	if err != nil {
		return removal, err
	}
	if deleting != nil {
		removal.Operation, removal.Underway = *deleting, true
		return removal, nil
	}
	_, settings, err := vaultSettings(ctx, tx, r.ID.Parent())
	if err == nil {
		err = j.withdraw(ctx, tx, r.ID, protection.Withdrawn(r.ID.Name(), protection.Deleting), now)
	}
	if err == nil {
		err = j.endCopies(ctx, tx, r, true, now) // what was copied goes with its recovery point, or goes on if the instance is had again
	}
	if err == nil && settings.SoftDelete != arm.StateOff {
		// That needs no cluster, so it is not for one to hinder.
		err = j.abandon(ctx, tx, r.ID, "it was cancelled, and the backup instance was deleted before its cluster has answered", now,
			func(s job.State) bool { return s.Unheard(now) })
	}
	if err != nil {
		return removal, err
	}
	// A recovery point that was made after it would be nobody's.
	if err := mustBeIdle(ctx, tx, r.ID); err != nil {
		return removal, err
	}
	keeps, err := guardOf(ctx, tx, r.ID, now)
	if err != nil {
		return removal, err
	}
	points, err := mustNotBeGuarded(ctx, tx, r.ID, keeps)
	if err == nil {
		err = consentToDelete(ctx, tx, by, r.ID, now)
	}
	if err != nil {
		return removal, err
	}
	kind, err := j.Keeper.Kinds.of(r.ID)
	if err != nil {
		return removal, err
	}
	if !points || settings.SoftDelete != arm.StateOff {
		if err := closeAll(ctx, tx, by, r.ID, now); err != nil {
			return removal, err
		}
	}
	switch {
	case !points:
		removal.Operation, err = j.Keeper.remove(ctx, tx, by, kind, r, c, now)
	case settings.SoftDelete != arm.StateOff:
		removal.Operation, err = j.softDelete(ctx, tx, by, r, c, settings, now)
	default:
		removal.Underway = true
		removal.Operation, err = j.beginDeletion(ctx, tx, by, r, c, protection.Delete, name, now)
	}
	return removal, err
}

// consentToDelete asks the guard of a vault whether an instance, or a deleted one, may be deleted.
func consentToDelete(ctx context.Context, tx catalogue.Tx, by Caller, id catalogue.ID, now time.Time) error {
	return consentAndUse(ctx, tx, by, id.Parent(), critical{operation: guard.DeleteInstance, resource: id, unlockable: true}, now)
}

// deletionOf is the operation of a job that deletes an instance, or nil.
func (j *Jobs) deletionOf(ctx context.Context, v catalogue.View, id catalogue.ID) (*catalogue.Operation, error) {
	found, err := v.Jobs(ctx, catalogue.JobQuery{Vault: id.Parent(), Instance: id, Status: string(job.InProgress), Operation: string(job.DeleteData), Limit: 1})
	if err != nil || len(found) == 0 {
		return nil, err
	}
	state, err := job.Read(found[0])
	if err != nil {
		return nil, err
	}
	o, err := v.Operation(ctx, state.Work.Operation)
	return &o, err
}

func (j *Jobs) beginDeletion(ctx context.Context, tx catalogue.Tx, by Caller, r catalogue.Resource, c catalogue.Condition, o protection.Operation, name string, now time.Time) (catalogue.Operation, error) {
	action, path := typeInstance+"/delete", "DELETE "+string(r.ID)
	if o == protection.Purge {
		action, path = access.ActionPurge, "POST "+string(r.ID)+"/providers/Coffer.Backup/purge"
	}
	p, err := readProtected(ctx, tx, r.ID, o)
	if err != nil {
		return catalogue.Operation{}, err
	}
	if err := mustBeReady(ctx, tx, p.config.Cluster, p.vault.ID); err != nil {
		if coded := coffer.CodeOf(err); coded != "" {
			return catalogue.Operation{}, coffer.Errorf(coded, "the recovery points of %s cannot be deleted: %w", r.ID.Name(), err).
				WithHint("let the vault into the cluster, or keep them where they are: %s?retainData=true", path)
		}
		return catalogue.Operation{}, err
	}
	record, err := do(r, o, now)
	if err == nil {
		err = putProtection(ctx, tx, r, c, record)
	}
	if err != nil {
		return catalogue.Operation{}, err
	}
	request := p.request(by, job.DeleteData, name, now)
	request.Work.Location, request.Work.Operation = instance.DefaultLocation, "o"+j.Keeper.NewID()
	begun, err := j.begin(ctx, tx, by, action, request)
	return begun.Operation, err
}

// abandon ends the jobs of an instance that are given up, and says why. Their runs go on in the cluster, if there is one.
func (j *Jobs) abandon(ctx context.Context, tx catalogue.Tx, id catalogue.ID, why string, now time.Time, given func(job.State) bool) error {
	return j.changeOpen(ctx, tx, id, func(_ catalogue.Job, s job.State) (job.State, error) {
		if given(s) {
			s = s.Abandon(why+"; what the job has begun in the cluster goes on there", now)
		}
		return s, nil
	})
}

// endDeletion is what the end of a deletion brings: the instance goes with it, or stays and says why.
func (j *Jobs) endDeletion(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, s job.State) error {
	o, err := tx.Operation(ctx, s.Work.Operation)
	if err != nil && !missing(err) {
		return err
	}
	known := err == nil
	r, err := find(ctx, tx, kept.Instance)
	if err != nil {
		return err
	}
	o.Ended, o.Status = *s.Body.EndTime, catalogue.OperationSucceeded
	switch {
	case r == nil:
	case s.Body.Status == job.Completed, s.Body.Status == job.CompletedWithWarnings:
		by := Caller{Principal: catalogue.Principal{ObjectID: s.Work.By, Name: s.Work.Name}, Request: s.Work.Request, Remote: s.Work.Remote}
		if err := closeAll(ctx, tx, by, r.ID, o.Ended); err != nil {
			return err
		}
		if err := j.Keeper.deleteBelow(ctx, tx, by, r.ID, o.Ended); err != nil {
			return err
		}
		if err := tx.DeleteResource(ctx, r.ID, catalogue.Condition{}); err != nil {
			return err
		}
		if err := appendEntry(ctx, tx, by.entry(o.Ended, j.Keeper.Kinds.Action(r.ID)+"/delete", r.ID, http.StatusOK), r, nil); err != nil {
			return err
		}
	default:
		why := arm.UserFacingError{Code: string(coffer.CodeServerError), Message: "the deletion has ended", RecommendedAction: []string{}}
		if len(s.Body.ErrorDetails) > 0 {
			why = s.Body.ErrorDetails[0]
		}
		o.Status, o.Error = catalogue.OperationFailed, facts(arm.ErrorBody{Code: why.Code, Message: why.Message})
		if s.Body.Status == job.Cancelled {
			break // whoever gives the deletion up deletes the instance, and expects it as it was read
		}
		record, err := ProtectionOf(*r)
		if err == nil {
			err = putProtection(ctx, tx, *r, catalogue.Condition{}, record.Fail(why, o.Ended))
		}
		if err == nil && record.Deletion == nil {
			err = look(ctx, tx, r.ID, o.Ended) // it is backed up as before
		}
		if err != nil {
			return err
		}
	}
	if !known {
		return nil
	}
	return tx.PutOperation(ctx, o)
}

// Doomed is the recovery point that a deletion is at, the oldest of its instance.
type Doomed struct {
	// Point is its name, and Left how many there are; empty and 0 if there is none.
	Point string
	Left  int
	// InCluster says that it is in its cluster, and not in the vault tier alone.
	InCluster bool
}

// NextToDelete is the recovery point that a deletion is at. wanted is false if the deletion has ended meanwhile: what is under the instance's
// name now is nothing of it.
func (j *Jobs) NextToDelete(ctx context.Context, vault catalogue.ID, name string) (next Doomed, wanted bool, err error) {
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		next, wanted = Doomed{}, false
		kept, err := v.Job(ctx, vault, name)
		if missing(err) || err == nil && !kept.Ended.IsZero() {
			return nil
		}
		if err != nil {
			return err
		}
		wanted = true
		return pagesOfPoints(ctx, v, catalogue.PointQuery{Instance: kept.Instance}, func(page []catalogue.Point) (bool, error) {
			if len(page) == 0 {
				return false, nil
			}
			last := page[len(page)-1]
			next.Left, next.Point, next.InCluster = next.Left+len(page), last.Name, inCluster(last)
			return true, nil
		})
	})
	return next, wanted, err
}

// PointDeleted forgets a recovery point that was deleted in the cluster, or that was not found there, and counts it in the job, with those
// that are left. What the vault tier has of it is to be deleted there.
func (j *Jobs) PointDeleted(ctx context.Context, vault catalogue.ID, name, point string, left int, found bool) error {
	now := j.Keeper.now()
	_, err := j.advance(ctx, vault, name, func(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, s job.State) (job.State, error) {
		gone, err := tx.Point(ctx, kept.Instance, point)
		if missing(err) {
			return s, nil // another replica was first
		}
		if err == nil {
			err = j.forgetPoint(ctx, tx, gone, now)
		}
		if err != nil {
			return s, err
		}
		s = s.Progress(s.Work.Deleted+1, left)
		if !found {
			s = s.NotFound()
		}
		return s, nil
	})
	return err
}
