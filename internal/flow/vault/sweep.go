package vault

import (
	"context"
	"errors"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const (
	// operationLife is for how long operations are kept after they ended: clients ask for minutes.
	operationLife = 7 * 24 * time.Hour
	// slotLife is for how long it is known what became of a slot: a year, and the month after it.
	slotLife = 400 * 24 * time.Hour
	// alertLife is for how long alerts are kept after they were closed. Those that are open stay.
	alertLife = 90 * 24 * time.Hour
	// readingLife is for how long is kept what was measured: three years, for whoever compares them.
	readingLife = 3 * 366 * 24 * time.Hour
	// sweepBatch is how many of them are deleted in one transaction.
	sweepBatch = 1000
)

// Sweep deletes what nobody asks for any more. What of one kind cannot be deleted does not keep the others.
func (k *Keeper) Sweep(ctx context.Context) error {
	return errors.Join(
		k.purgeVaults(ctx),
		k.sweep(ctx, operationLife, catalogue.Tx.DeleteOperations),
		k.sweep(ctx, slotLife, catalogue.Tx.DeleteSlots),
		k.sweep(ctx, alertLife, catalogue.Tx.DeleteAlerts),
		k.sweep(ctx, readingLife, catalogue.Tx.DeleteReadings),
	)
}

// sweep deletes what is older than life, some at a time.
func (k *Keeper) sweep(ctx context.Context, life time.Duration, some func(tx catalogue.Tx, ctx context.Context, before time.Time, limit int) (int, error)) error {
	before := k.now().Add(-life)
	for {
		deleted := 0
		err := k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) (err error) {
			deleted, err = some(tx, ctx, before, sweepBatch)
			return err
		})
		if err != nil || deleted < sweepBatch {
			return err
		}
	}
}
