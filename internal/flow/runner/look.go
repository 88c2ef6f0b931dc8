package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// look is one look at one job.
type look struct {
	*Runner
	kept catalogue.Job
}

// carry does what is missing of the job: it sees to it that the run is there, reads it, and writes what became of it.
func (l *look) carry(ctx context.Context, session catalogue.ClusterSession) error {
	state, err := job.Read(l.kept)
	if err != nil {
		return err
	}
	if err := l.Jobs.Trusted(ctx, l.kept.Vault, l.kept.Cluster); err != nil {
		return l.wait(ctx, err)
	}
	if !state.MeantFor(session.Info().UID) {
		return l.advance(ctx, job.State.Replaced)
	}
	runs := l.Jobs.Runs(session, state.Work.Identity)
	if !state.Work.Begun {
		// It is known that there may be a run before there is one: a job that was cancelled meanwhile has ended, and begins none.
		if state, err = l.Jobs.Start(ctx, l.kept.Vault, l.kept.Name); err != nil || state.Ended() {
			return err
		}
	}
	if state.Work.Kind() == job.DeleteBackup {
		return l.delete(ctx, runs, state)
	}
	run, err := l.ensure(ctx, runs, state)
	switch found, ok := errors.AsType[*coffer.Error](err); {
	case err == nil:
		return l.advance(ctx, func(s job.State, now time.Time) job.State { return s.Observe(run, now) })
	case !ok:
		return err
	case found.Code == coffer.CodeNotFound && state.Work.UID != "":
		return l.advance(ctx, job.State.Gone)
	case refused(found) && state.Work.UID == "":
		return l.advance(ctx, func(s job.State, now time.Time) job.State { return s.Fail(found, now) })
	}
	return l.wait(ctx, err)
}

// ensure is the run of the job, which is made unless it was seen before, and told to end if the job is.
func (l *look) ensure(ctx context.Context, runs vault.Runs, s job.State) (run job.Run, err error) {
	kind, name := s.Work.Kind(), l.kept.Name
	if s.Work.UID == "" {
		run, err = runs.Create(ctx, kind, name, s.Work.Spec())
	} else {
		run, err = runs.Read(ctx, kind, name)
	}
	if err != nil || !s.Work.Cancel || run.Cancel || run.Phase.Final() {
		return run, err
	}
	told, err := runs.Cancel(ctx, kind, name)
	if found, ok := errors.AsType[*coffer.Error](err); ok && !found.Transient && found.Code != coffer.CodeNotFound {
		// It goes on, whoever wants its end: what it does is told all the same.
		l.Log.Warn("a run cannot be cancelled", "job", name, "error", err)
		return run, nil
	}
	return told, err
}

// wait writes that the job cannot go on because of err.
func (l *look) wait(ctx context.Context, err error) error {
	found, ok := errors.AsType[*coffer.Error](err)
	if !ok {
		return err
	}
	return l.advance(ctx, func(s job.State, now time.Time) job.State { return s.Wait(found, now) })
}

// advance writes a change of the job, if it is one and the last is long enough ago. An end is written at once.
func (l *look) advance(ctx context.Context, change func(s job.State, now time.Time) job.State) error {
	now := l.now()
	before, err := job.Read(l.kept)
	if err != nil {
		return err
	}
	after := change(before, now)
	if vault.Unchanged(l.kept, after) || !after.Ended() && !l.due(l.kept) {
		return nil
	}
	state, err := l.Jobs.Advance(ctx, l.kept.Vault, l.kept.Name, func(s job.State) job.State { return change(s, now) })
	switch {
	case coffer.CodeOf(err) == coffer.CodeResourceNotFound:
		return nil // its vault is gone, and the job with it
	case err == nil && state.Ended():
		l.ended(l.kept, string(state.Body.Status))
	}
	return err
}

// maxPoints is how many recovery points are deleted in one look.
const maxPoints = 20

// delete deletes the recovery points of the job's instance, the oldest first, each by a run of its own.
func (l *look) delete(ctx context.Context, runs vault.Runs, s job.State) error {
	for range maxPoints {
		// The job was read a while ago, and may have been given up since.
		next, wanted, err := l.Jobs.NextToDelete(ctx, l.kept.Vault, l.kept.Name)
		if err != nil || !wanted {
			return err
		}
		point, left := next.Point, next.Left
		switch {
		case left == 0:
			return l.advance(ctx, job.State.Done)
		case !next.InCluster:
			if err := l.Jobs.PointDeleted(ctx, l.kept.Vault, l.kept.Name, point, left-1, true); err != nil {
				return err
			}
			continue
		}
		name := DeletionName(l.kept.Name, point)
		run, err := runs.Create(ctx, job.DeleteBackup, name, v1alpha1.DeleteBackupSpec{StorageLocation: s.Work.Location, BackupName: point})
		if err != nil {
			if found, ok := errors.AsType[*coffer.Error](err); ok && refused(found) {
				return l.advance(ctx, func(s job.State, now time.Time) job.State { return s.Fail(found, now) })
			}
			return l.wait(ctx, err)
		}
		found := run.Phase.Succeeded() || run.Reason != string(coffer.CodeBackupNotFound)
		switch {
		case !run.Phase.Final():
			return l.advance(ctx, func(s job.State, _ time.Time) job.State { return s.Progress(s.Work.Deleted, left) })
		case !run.Phase.Succeeded() && found:
			return l.advance(ctx, func(s job.State, now time.Time) job.State { return s.FailDeletion(point, run, now) })
		}
		if err := l.Jobs.PointDeleted(ctx, l.kept.Vault, l.kept.Name, point, left-1, found); err != nil {
			return err
		}
		if err := runs.Delete(ctx, job.DeleteBackup, name); err != nil {
			// It is swept later.
			l.Log.Info("a run object is left", "job", l.kept.Name, "run", name, "error", err)
		}
	}
	l.Wake()
	return nil
}

// DeletionName is the name of the run that deletes a recovery point for a job.
func DeletionName(name, point string) string {
	sum := sha256.Sum256([]byte(point))
	return name + "-" + hex.EncodeToString(sum[:6])
}

// deletionJob is the name of the job that a run deletes a recovery point for, as DeletionName has made it; of other runs it is none.
func deletionJob(run string) string { return run[:max(0, strings.LastIndex(run, "-"))] }
