package runner

import (
	"context"
)

// Purge begins to purge the deleted instances of all vaults whose time is over. One that cannot be purged does not keep the others.
func (r *Runner) Purge(ctx context.Context) {
	overdue, err := r.Jobs.Overdue(ctx)
	if err != nil && ctx.Err() == nil {
		r.Log.Error("deleted instances cannot be read", "error", err)
	}
	for _, id := range overdue {
		if err := r.Jobs.PurgeOverdue(ctx, id); err != nil && ctx.Err() == nil {
			r.Log.Info("a deleted instance is not purged", "instance", id, "error", err)
		}
	}
}
