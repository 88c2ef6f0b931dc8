package vault

import (
	"context"
	"strings"

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

// listed answers a page of what belongs to a resource, which has to be there.
func listed[T any](ctx context.Context, db catalogue.Database, of catalogue.ID, read func(ctx context.Context, v catalogue.View) ([]T, error)) ([]T, error) {
	return view(ctx, db, func(ctx context.Context, v catalogue.View) ([]T, error) {
		if _, err := v.Resource(ctx, of); err != nil {
			return nil, err
		}
		return read(ctx, v)
	})
}

// Point is a recovery point of an instance. Names of recovery points and jobs are made by the server, in small letters.
func (k *Keeper) Point(ctx context.Context, instance catalogue.ID, name string) (catalogue.Point, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Point, error) {
		return v.Point(ctx, instance, strings.ToLower(name))
	})
}

// Points is one page of the recovery points of an instance, which has to be there.
func (k *Keeper) Points(ctx context.Context, q catalogue.PointQuery) ([]catalogue.Point, error) {
	return listed(ctx, k.DB, q.Instance, func(ctx context.Context, v catalogue.View) ([]catalogue.Point, error) { return v.Points(ctx, q) })
}

// Job is a job of a vault.
func (k *Keeper) Job(ctx context.Context, vault catalogue.ID, name string) (catalogue.Job, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Job, error) {
		return v.Job(ctx, vault, strings.ToLower(name))
	})
}

// Jobs is one page of the jobs of a vault, which has to be there.
func (k *Keeper) Jobs(ctx context.Context, q catalogue.JobQuery) ([]catalogue.Job, error) {
	return listed(ctx, k.DB, q.Vault, func(ctx context.Context, v catalogue.View) ([]catalogue.Job, error) { return v.Jobs(ctx, q) })
}

// Operation is a request that was made before.
func (k *Keeper) Operation(ctx context.Context, id string) (catalogue.Operation, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Operation, error) { return v.Operation(ctx, id) })
}

// Each calls visit for all resources that a query selects, whatever its Limit, on one state of the database.
func (k *Keeper) Each(ctx context.Context, q catalogue.ResourceQuery, visit func(catalogue.Resource) error) error {
	return k.DB.View(ctx, func(ctx context.Context, v catalogue.View) error { return each(ctx, v, q, visit) })
}

// EachJob calls visit for the jobs of all vaults of a scope.
func (k *Keeper) EachJob(ctx context.Context, scope catalogue.ID, visit func(catalogue.Job) error) error {
	return k.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		return each(ctx, v, catalogue.ResourceQuery{Type: typeVault, Under: scope}, func(r catalogue.Resource) error {
			q := catalogue.JobQuery{Vault: r.ID, Limit: pageSize}
			for {
				page, err := v.Jobs(ctx, q)
				if err != nil {
					return err
				}
				for _, j := range page {
					if err := visit(j); err != nil {
						return err
					}
				}
				if len(page) < pageSize {
					return nil
				}
				q.After = &catalogue.PointCursor{Time: page[len(page)-1].Started, Name: page[len(page)-1].Name}
			}
		})
	})
}

// Audit is one page of the audit log.
func (k *Keeper) Audit(ctx context.Context, q catalogue.AuditQuery) ([]catalogue.AuditEntry, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) ([]catalogue.AuditEntry, error) { return v.Audit(ctx, q) })
}

// Exists says whether there is a resource.
func (k *Keeper) Exists(ctx context.Context, id catalogue.ID) (bool, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (bool, error) {
		r, err := find(ctx, v, id)
		return r != nil, err
	})
}
