// Package tiering copies recovery points to the vault tier when that is due, and deletes there what has expired. It looks again and again;
// whoever dies, the next look, of this replica or of another, goes on.
package tiering

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

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
	// pageSize is how much is read at a time, and atOnce how many copies, and how many deletions, of one vault are asked for at a time.
	pageSize = 500
	atOnce   = 16
	// hangs is how many questions in a row of one vault are not answered in time until no more are asked in the same look.
	hangs = 4
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
	// LookTime is how long the vault tier may take to answer; 0 is two minutes, and more is not possible.
	LookTime time.Duration
}

// Tiering copies what is due. It may be used concurrently, and beside others on the same database and vault tier.
type Tiering struct {
	Config

	// mu guards busy, which has the vaults whose copies, or deletions, are being looked after.
	mu   sync.Mutex
	busy map[string]bool
}

// New makes a Tiering.
func New(c Config) *Tiering {
	if c.LookTime <= 0 || c.LookTime > lookTime {
		c.LookTime = lookTime
	}
	return &Tiering{Config: c, busy: map[string]bool{}}
}

// Run looks until ctx ends. A look that waits for a vault tier which does not answer keeps no other waiting: the next ones leave out the vault that
// it is at, so there is one such look of each vault at most.
func (t *Tiering) Run(ctx context.Context) {
	var looks errgroup.Group
	defer func() { _ = looks.Wait() }() // What is wrong is in the log.
	wait.NonSlidingUntilWithContext(ctx, func(ctx context.Context) {
		looks.Go(func() error {
			if err := t.Look(ctx); err != nil && ctx.Err() == nil {
				t.Log.Error("what is due in the vault tier cannot be read", "error", err)
			}
			return nil
		})
	}, interval)
}

// Look looks after all that is due once, but for what another look is at. Copies and deletions do not wait for each other, and neither do vaults.
func (t *Tiering) Look(ctx context.Context) error {
	if t.Tier == nil {
		if !t.take("all") {
			return nil
		}
		defer t.leave("all")
		return t.lookWithout(ctx)
	}
	var copied, deleted error
	var both errgroup.Group
	both.Go(func() error { copied = t.copies(ctx); return nil })
	both.Go(func() error { deleted = t.deletions(ctx); return nil })
	_ = both.Wait()
	return errors.Join(copied, deleted)
}

func (t *Tiering) take(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy[key] {
		return false
	}
	t.busy[key] = true
	return true
}

func (t *Tiering) leave(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.busy, key)
}

// asked is what is asked of the vault tier for one vault in one look.
type asked struct {
	// silent is how many questions in a row were not answered in time.
	silent atomic.Int32
}

// answered notes how a question ended that had until the end of ctx.
func (a *asked) answered(ctx context.Context, err error) {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		a.silent.Add(1)
	} else {
		a.silent.Store(0)
	}
}

// hangs is the error of what is not asked, for the vault tier does not answer; nil is that it is to be asked.
func (t *Tiering) hangs(a *asked) error {
	if a.silent.Load() < hangs {
		return nil
	}
	return coffer.Errorf(coffer.CodeBusy, "the vault tier has not answered for %s, for others of this vault", t.LookTime).WithHint("see what it is doing: it is asked again")
}

// eachVault does something for all that belongs to a vault, one vault beside the other, but for those that another look is at. It waits for the end,
// and answers whether there was anything to do.
func eachVault[T any](t *Tiering, what string, all []T, vault func(T) catalogue.ID, do func(a *asked, one T)) (some bool) {
	vaults := map[string][]T{}
	for _, one := range all {
		key := what + " " + vault(one).Key()
		vaults[key] = append(vaults[key], one)
	}
	var looks errgroup.Group
	for key, ones := range vaults {
		if !t.take(key) {
			continue
		}
		some = true
		looks.Go(func() error {
			defer t.leave(key)
			var questions errgroup.Group
			questions.SetLimit(atOnce)
			a := &asked{}
			for _, one := range ones {
				questions.Go(func() error { do(a, one); return nil })
			}
			return questions.Wait()
		})
	}
	_ = looks.Wait()
	return some
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
		var fresh []catalogue.Point
		for _, point := range page {
			// What was seen could not be written down to be looked at.
			if key := point.Instance.Key() + " " + point.Name; !seen[key] {
				seen[key] = true
				fresh = append(fresh, point)
			}
		}
		some := eachVault(t, "copies", fresh, func(p catalogue.Point) catalogue.ID { return p.Instance.Parent() }, func(a *asked, point catalogue.Point) {
			if err := t.copy(ctx, a, point); err != nil && ctx.Err() == nil {
				t.Log.Error("a copy in the vault tier cannot be looked after", "instance", point.Instance, "recoveryPoint", point.Name, "error", err)
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !full || !some {
			return nil
		}
	}
}

// copy does what is missing of one copy: it sees to it that its job is there, asks the vault tier for it, and writes what became of it.
func (t *Tiering) copy(ctx context.Context, a *asked, point catalogue.Point) error {
	begun, err := t.Jobs.BeginCopy(ctx, point.Instance, point.Name)
	if err != nil || begun == nil {
		return err
	}
	if err := t.hangs(a); err != nil {
		return t.Jobs.CopyFailed(ctx, *begun, t.told(err)) // so it is due later, and others come to their turn
	}
	bounded, cancel := context.WithTimeout(ctx, t.LookTime)
	defer cancel()
	progress, err := t.Tier.Copy(bounded, begun.Copy)
	a.answered(bounded, err)
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
		return coffer.Errorf(coffer.CodeBusy, "the vault tier has not answered for %s", t.LookTime).WithHint("see what it is doing: it is asked again")
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
	owed = slices.DeleteFunc(owed, func(d catalogue.Deletion) bool { return !t.Mine(d.Instance) && now.Sub(d.Next) <= others })
	eachVault(t, "deletions", owed, func(d catalogue.Deletion) catalogue.ID { return d.Vault }, func(a *asked, d catalogue.Deletion) {
		if err := t.delete(ctx, a, d); err != nil && ctx.Err() == nil {
			t.Log.Error("a deletion in the vault tier cannot be looked after", "instance", d.Instance, "recoveryPoint", d.Point, "error", err)
		}
	})
	return ctx.Err()
}

func (t *Tiering) delete(ctx context.Context, a *asked, d catalogue.Deletion) error {
	id, err := vault.ReadOwedCopy(d)
	if err != nil {
		return t.Jobs.Postpone(ctx, d, err)
	}
	due, err := t.Jobs.TakeDeletion(ctx, d)
	if err != nil || !due {
		return err
	}
	if err := t.hangs(a); err != nil {
		return t.Jobs.Postpone(ctx, d, err)
	}
	bounded, cancel := context.WithTimeout(ctx, t.LookTime)
	defer cancel()
	gone, err := t.Tier.Delete(bounded, id)
	a.answered(bounded, err)
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
