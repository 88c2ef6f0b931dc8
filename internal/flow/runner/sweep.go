package runner

import (
	"context"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// lives are how long run objects stay in a cluster after their end, by kind. The reports and plans of restores are read through theirs.
// A Backup is the recovery point's own, and goes with that.
var lives = map[job.Kind]time.Duration{
	job.Restore: 7 * 24 * time.Hour, job.DeleteBackup: 24 * time.Hour, job.ValidateForBackup: time.Hour, job.ValidateForRestore: time.Hour,
}

// maxSwept is how many run objects of a kind are looked at in one sweep.
const maxSwept = 500

// Sweep deletes old run objects of all vaults in the clusters that can be reached.
func (r *Runner) Sweep(ctx context.Context) {
	for _, id := range r.Jobs.Clusters.Linked() {
		if err := r.sweep(ctx, id); err != nil && ctx.Err() == nil {
			r.Log.Info("old runs are not deleted", "cluster", id, "error", err)
		}
	}
}

func (r *Runner) sweep(ctx context.Context, id catalogue.ID) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	admitted, err := r.Jobs.Admitted(ctx, id)
	if err != nil || len(admitted) == 0 {
		return err
	}
	session, err := r.Jobs.Clusters.Session(ctx, id)
	if err != nil {
		return err
	}
	for _, a := range admitted {
		runs := r.Jobs.Runs(session, a.Identity)
		for kind, life := range lives {
			if err := r.sweepKind(ctx, runs, a, kind, life); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Runner) sweepKind(ctx context.Context, runs vault.Runs, a vault.Admitted, kind job.Kind, life time.Duration) error {
	found, err := runs.List(ctx, kind, maxSwept)
	if err != nil {
		return err
	}
	for _, run := range found {
		old := r.now().Add(-life)
		if !run.Phase.Final() || run.Created.After(old) || run.Completed.After(old) {
			continue
		}
		open, err := r.isOpen(ctx, a.Vault, kind, run.Name)
		if err != nil {
			return err
		}
		if open {
			continue
		}
		if err := runs.Delete(ctx, kind, run.Name); err != nil {
			return err
		}
	}
	return nil
}

// isOpen says whether the job of a run has not ended: then it has not been told yet what became of it.
func (r *Runner) isOpen(ctx context.Context, vault catalogue.ID, kind job.Kind, name string) (bool, error) {
	switch kind {
	case job.Restore:
	case job.DeleteBackup:
		name = deletionJob(name)
	default:
		return false, nil
	}
	kept, err := r.Jobs.Keeper.Job(ctx, vault, name)
	if coffer.CodeOf(err) == coffer.CodeResourceNotFound {
		return false, nil
	}
	return err == nil && kept.Ended.IsZero(), err
}
