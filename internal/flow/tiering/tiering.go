// Package tiering copies recovery points to the vault tier when that is due, and deletes there what has expired. It looks again and again;
// whoever dies, the next look, of this replica or of another, goes on.
package tiering

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	// interval is how often is looked for what is due.
	interval = 10 * time.Second
	// others is for how long what is due is left to the replica that it falls to.
	others = time.Minute
	// lookTime is how long the vault tier may take to answer. It has to be shorter than a copy is left to one replica alone.
	lookTime = 2 * time.Minute
	// pageSize is how much is read at a time, and atOnce how many copies, and how many deletions, the vault tier is asked for at a time.
	pageSize = 500
	atOnce   = 16
)

// Config is what a Tiering needs.
type Config struct {
	Jobs *vault.Jobs
	// Tier makes the copies. Nil is a server that has no vault tier: it says so of all that is due.
	Tier catalogue.Vaulting
	// Mine says whether an instance falls to this replica. What does not is another's, for a while.
	Mine func(instance catalogue.ID) bool
	Log  *slog.Logger
	// NowFunc is the clock.
	NowFunc func() time.Time
}

// Tiering copies what is due. It may be used beside others on the same database and vault tier.
type Tiering struct{ Config }

// New makes a Tiering.
func New(c Config) *Tiering { return &Tiering{c} }

// Run looks until ctx ends.
func (t *Tiering) Run(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := t.Look(ctx); err != nil && ctx.Err() == nil {
			t.Log.Error("what is due in the vault tier cannot be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Look looks after all that is due once. Copies and deletions do not wait for each other.
func (t *Tiering) Look(ctx context.Context) error {
	if t.Tier == nil {
		return t.lookWithout(ctx)
	}
	var copied, deleted error
	var both errgroup.Group
	both.Go(func() error { copied = t.copies(ctx); return nil })
	both.Go(func() error { deleted = t.deletions(ctx); return nil })
	_ = both.Wait()
	return errors.Join(copied, deleted)
}

// due is a page of the copies that are due, and fall to this replica, or to none that has cared.
func (t *Tiering) due(ctx context.Context) (mine []catalogue.Point, full bool, err error) {
	page, err := t.Jobs.CopiesDue(ctx, pageSize)
	now := t.NowFunc()
	for _, point := range page {
		if t.Mine(point.Instance) || now.Sub(point.Copy) > others {
			mine = append(mine, point)
		}
	}
	return mine, len(page) == pageSize, err
}

// copies looks after the copies that are due. What was looked at is due later, so the next page has others.
func (t *Tiering) copies(ctx context.Context) error {
	seen := map[string]bool{}
	for {
		page, full, err := t.due(ctx)
		if err != nil {
			return err
		}
		var looks errgroup.Group
		looks.SetLimit(atOnce)
		fresh := false
		for _, point := range page {
			key := point.Instance.Key() + " " + point.Name
			if seen[key] {
				continue // it could not be written down that it was looked at
			}
			seen[key], fresh = true, true
			looks.Go(func() error {
				if err := t.copy(ctx, point); err != nil && ctx.Err() == nil {
					t.Log.Error("a copy in the vault tier cannot be looked after", "instance", point.Instance, "recoveryPoint", point.Name, "error", err)
				}
				return nil
			})
		}
		if _ = looks.Wait(); ctx.Err() != nil {
			return ctx.Err()
		}
		if !full || !fresh {
			return nil
		}
	}
}

// copy does what is missing of one copy: it sees to it that its job is there, asks the vault tier for it, and writes what became of it.
func (t *Tiering) copy(ctx context.Context, point catalogue.Point) error {
	begun, err := t.Jobs.BeginCopy(ctx, point.Instance, point.Name)
	if err != nil || begun == nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	progress, err := t.Tier.Copy(asked, begun.Copy)
	switch {
	case ctx.Err() != nil:
		return ctx.Err() // whoever looks next asks again
	case err != nil:
		return t.Jobs.CopyFailed(ctx, *begun, t.told(err, "instance", begun.Instance, "job", begun.Job))
	case progress.Whole:
		err := t.Jobs.CopyWhole(ctx, *begun, progress)
		if err == nil {
			t.Log.Info("a recovery point is in the vault tier", "instance", begun.Instance, "recoveryPoint", point.Name, "job", begun.Job, "bytes", progress.Stored)
		}
		return err
	}
	return t.Jobs.CopyGoesOn(ctx, *begun, progress)
}

// told is an error as people are told of it. What has no code is for the log.
func (t *Tiering) told(err error, about ...any) *coffer.Error {
	if found, ok := errors.AsType[*coffer.Error](err); ok {
		return found
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return coffer.Errorf(coffer.CodeBusy, "the vault tier has not answered for %s", lookTime).WithHint("see what it is doing: it is asked again")
	}
	t.Log.Error("the vault tier has failed", append(about, "error", err)...)
	return coffer.Errorf(coffer.CodeServerError, "the vault tier has failed").WithHint("read the log of coffer-server")
}

// deletions has the vault tier delete what it has let go of, again and again until it is gone.
func (t *Tiering) deletions(ctx context.Context) error {
	owed, err := t.Jobs.CopyDeletions(ctx, pageSize)
	if err != nil {
		return err
	}
	now := t.NowFunc()
	var looks errgroup.Group
	looks.SetLimit(atOnce)
	for _, d := range owed {
		if !t.Mine(d.Instance) && now.Sub(d.Next) <= others {
			continue
		}
		looks.Go(func() error {
			if err := t.delete(ctx, d); err != nil && ctx.Err() == nil {
				t.Log.Error("a deletion in the vault tier cannot be looked after", "instance", d.Instance, "recoveryPoint", d.Point, "error", err)
			}
			return nil
		})
	}
	_ = looks.Wait()
	return ctx.Err()
}

func (t *Tiering) delete(ctx context.Context, d catalogue.Deletion) error {
	id, err := vault.ReadOwedCopy(d)
	if err != nil {
		return t.Jobs.Postpone(ctx, d, err)
	}
	due, err := t.Jobs.TakeDeletion(ctx, d)
	if err != nil || !due {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	gone, err := t.Tier.Delete(asked, id)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return t.Jobs.Postpone(ctx, d, t.told(err, "instance", d.Instance, "recoveryPoint", d.Point))
	case !gone:
		return t.Jobs.DeletionGoesOn(ctx, d)
	}
	return t.Jobs.Deleted(ctx, d)
}

// lookWithout says of the instances whose copies are due, and of the deletions, that there is no vault tier.
func (t *Tiering) lookWithout(ctx context.Context) error {
	for seen := map[string]bool{}; ; {
		page, full, err := t.due(ctx)
		if err != nil {
			return err
		}
		names, fresh := map[catalogue.ID][]string{}, false
		for _, point := range page {
			key := point.Instance.Key() + " " + point.Name
			fresh = fresh || !seen[key]
			seen[key] = true
			names[point.Instance] = append(names[point.Instance], point.Name)
		}
		for id, points := range names {
			if err := t.Jobs.WithoutTier(ctx, id, points); err != nil {
				return err
			}
		}
		if !full || !fresh {
			break
		}
	}
	owed, err := t.Jobs.CopyDeletions(ctx, pageSize)
	for _, d := range owed {
		err = errors.Join(err, t.Jobs.Postpone(ctx, d, errors.New("this server has no vault tier")))
	}
	return err
}
