package vault

import (
	"context"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// view answers what read finds in one state of the database.
func view[T any](ctx context.Context, db catalogue.Database, read func(ctx context.Context, v catalogue.View) (T, error)) (found T, err error) {
	err = db.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found, err = read(ctx, v)
		return err
	})
	return found, err
}

// Point is a recovery point of an instance.
func (k *Keeper) Point(ctx context.Context, instance catalogue.ID, name string) (catalogue.Point, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Point, error) {
		return v.Point(ctx, instance, name)
	})
}

// Points is one page of the recovery points of an instance, which has to be there.
func (k *Keeper) Points(ctx context.Context, q catalogue.PointQuery) ([]catalogue.Point, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.Point, error) {
		if _, err := v.Resource(ctx, q.Instance); err != nil {
			return nil, err
		}
		return v.Points(ctx, q)
	})
}

// Job is a job of a vault.
func (k *Keeper) Job(ctx context.Context, vault catalogue.ID, name string) (catalogue.Job, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Job, error) { return v.Job(ctx, vault, name) })
}

// Jobs is one page of the jobs of a vault, which has to be there.
func (k *Keeper) Jobs(ctx context.Context, q catalogue.JobQuery) ([]catalogue.Job, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.Job, error) {
		if _, err := v.Resource(ctx, q.Vault); err != nil {
			return nil, err
		}
		return v.Jobs(ctx, q)
	})
}

// Operation is a request that was made before.
func (k *Keeper) Operation(ctx context.Context, id string) (catalogue.Operation, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Operation, error) { return v.Operation(ctx, id) })
}
