package vault

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/history"
)

// sweepBatch is how many are deleted in one transaction: others write in between.
const sweepBatch = 200

// Sweep deletes what is of a kind and of before a time, some at a time, and answers how many: also those that were deleted before an error. Of jobs
// that have ended those stay that are needed. Two who sweep the same delete it once.
func (k *Keeper) Sweep(ctx context.Context, kind history.Kind, before time.Time) (deleted int, err error) {
	some, known := map[history.Kind]func(tx catalogue.Tx, ctx context.Context, before time.Time, limit int) (int, error){
		history.AuditLog: catalogue.Tx.DeleteAudit, history.Operations: catalogue.Tx.DeleteOperations, history.Slots: catalogue.Tx.DeleteSlots,
		history.Alerts: catalogue.Tx.DeleteAlerts, history.Meter: catalogue.Tx.DeleteReadings,
	}[kind]
	switch {
	case kind == history.Jobs:
		return k.sweepJobs(ctx, before)
	case !known:
		return 0, fmt.Errorf("there is no history of %q", kind)
	}
	for {
		n, err := k.sweep(ctx, func(ctx context.Context, tx catalogue.Tx) (int, error) { return some(tx, ctx, before, sweepBatch) })
		if deleted += n; err != nil || n < sweepBatch {
			return deleted, err
		}
	}
}

// sweepJobs reads which jobs may go without keeping anybody from writing, however many there are that stay.
func (k *Keeper) sweepJobs(ctx context.Context, before time.Time) (deleted int, err error) {
	for q := (catalogue.EndedJobQuery{Before: before, Limit: pageSize}); ; {
		page, err := view(ctx, k.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.EndedJob, error) { return v.EndedJobs(ctx, q) })
		if err != nil {
			return deleted, err
		}
		old := slices.DeleteFunc(slices.Clone(page), func(j catalogue.EndedJob) bool { return j.Needed })
		for batch := range slices.Chunk(old, sweepBatch) {
			// What is needed by then does not change: no recovery point comes to a job that has ended, and no other job is the last one.
			n, err := k.sweep(ctx, func(ctx context.Context, tx catalogue.Tx) (int, error) { return tx.DeleteJobs(ctx, batch...) })
			if deleted += n; err != nil {
				return deleted, err
			}
		}
		if len(page) < q.Limit {
			return deleted, nil
		}
		q.After = &page[len(page)-1]
	}
}

// sweep deletes some in a transaction of their own.
func (k *Keeper) sweep(ctx context.Context, some func(ctx context.Context, tx catalogue.Tx) (int, error)) (deleted int, err error) {
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) (err error) {
		deleted, err = some(ctx, tx)
		return err
	})
	if err != nil {
		return 0, err
	}
	return deleted, nil
}
