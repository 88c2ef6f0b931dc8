// Package lifecycle looks after what there is once it is made: it lets go of recovery points whose time is up, measures each day what they take
// up, and deletes what has been for long enough. It looks again and again; whoever dies, the next look, of this replica or of another, goes on.
package lifecycle

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	// interval is how often is looked for what has expired.
	interval = 15 * time.Second
	// leastRest is for how long an instance is left alone of which nothing could be let go: its newest recovery point is kept however old it
	// is. Each time that it is so again it is twice as long, up to mostRest.
	leastRest = 30 * time.Second
	mostRest  = 2 * time.Minute
	// pageSize is how many instances are read at a time, together how many are judged in one transaction, and atOnce how many of those there are
	// at a time.
	pageSize = 500
	together = 64
	atOnce   = 4
)

// Config is what a Lifecycle needs; all of it.
type Config struct {
	Jobs *vault.Jobs
	// Mine says whether an instance falls to this replica. What does not is another's, for a while.
	Mine func(instance catalogue.ID) bool
	Log  *slog.Logger
	// NowFunc is the clock.
	NowFunc func() time.Time
}

// Lifecycle lets go of what has expired. One goroutine at a time uses it; others may be on the same database.
type Lifecycle struct {
	Config

	// resting are the instances that are left alone.
	resting map[string]rest
	// metered is which vaults were measured on the day, and measure when it is looked for others.
	metered map[string]bool
	day     time.Time
	measure time.Time
}

// rest is until when an instance is left alone, and for how long that is in all.
type rest struct {
	until time.Time
	time  time.Duration
}

// after is the rest after this one.
func (r rest) after(now time.Time) rest {
	next := max(leastRest, min(2*r.time, mostRest))
	return rest{until: now.Add(next), time: next}
}

// New makes a Lifecycle.
func New(c Config) *Lifecycle { return &Lifecycle{Config: c, resting: map[string]rest{}} }

// Run looks until ctx ends.
func (l *Lifecycle) Run(ctx context.Context) {
	wait.NonSlidingUntilWithContext(ctx, func(ctx context.Context) {
		if err := l.Look(ctx); err != nil && ctx.Err() == nil {
			l.Log.Error("what has expired cannot be read", "error", err)
		}
		if err := l.Meter(ctx); err != nil && ctx.Err() == nil {
			l.Log.Error("vaults to be measured cannot be read", "error", err)
		}
	}, interval)
}

// Look judges all instances that have recovery points whose time is up.
func (l *Lifecycle) Look(ctx context.Context) error {
	now, seen := l.NowFunc(), map[string]rest{}
	for after := ""; ; {
		page, err := l.Jobs.Expiring(ctx, after, pageSize)
		if err != nil {
			return err
		}
		var mine []catalogue.ID
		for _, id := range page {
			r, resting := l.resting[id.Key()]
			switch {
			case resting && now.Before(r.until):
				seen[id.Key()] = r
			case l.Mine(id):
				mine = append(mine, id)
			default:
				seen[id.Key()] = r.after(now) // If its replica is dead, it falls to another one soon.
			}
		}
		for _, id := range l.judge(ctx, mine) {
			seen[id.Key()] = l.resting[id.Key()].after(now)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case len(page) < pageSize:
			l.resting = seen
			return nil
		}
		after = page[len(page)-1].Key()
	}
}

// judge judges instances, some at a time, and answers those of which nothing was let go.
func (l *Lifecycle) judge(ctx context.Context, instances []catalogue.ID) (kept []catalogue.ID) {
	var mu sync.Mutex
	var judged errgroup.Group
	judged.SetLimit(atOnce)
	for some := range slices.Chunk(instances, together) {
		judged.Go(func() error {
			found := l.expire(ctx, some)
			mu.Lock()
			defer mu.Unlock()
			kept = append(kept, found...)
			return nil
		})
	}
	_ = judged.Wait()
	return kept
}

// expire judges some instances, and each half of them apart if that fails: one that cannot be read keeps no other. It answers those of which
// nothing was let go.
func (l *Lifecycle) expire(ctx context.Context, some []catalogue.ID) (kept []catalogue.ID) {
	if ctx.Err() != nil {
		return nil
	}
	expired, err := l.Jobs.Expire(ctx, some...)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil
	case err != nil && len(some) > 1:
		half := len(some) / 2
		return append(l.expire(ctx, some[:half]), l.expire(ctx, some[half:])...)
	case err != nil:
		l.Log.Error("the recovery points of an instance cannot be judged", "instance", some[0], "error", err)
		return some
	}
	for i, id := range some {
		if expired[i] == 0 {
			kept = append(kept, id)
		} else {
			l.Log.Info("recovery points have expired", "instance", id, "count", expired[i])
		}
	}
	return kept
}
