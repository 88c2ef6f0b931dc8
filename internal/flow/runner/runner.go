// Package runner carries out in clusters what the jobs of vaults say. It looks at what there is, again and again: whoever dies, the next
// look goes on.
package runner

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	// interval is how often clusters with jobs are looked at, and how often at most a job is written while it is under way.
	interval = 2 * time.Second
	// maxClusters is how many clusters are looked at at a time, and maxJobs how many jobs of one.
	maxClusters = 64
	maxJobs     = 4
	// lookTime is how long a look at one cluster may take. What was not reached is looked at next time.
	lookTime = 2 * time.Minute
	// sweepInterval is how often old run objects are looked for, and deleted instances whose time is over.
	sweepInterval = time.Hour
)

// Config is what a Runner needs; all of it.
type Config struct {
	Jobs *vault.Jobs
	Log  *slog.Logger
	// NowFunc is the clock.
	NowFunc func() time.Time
}

// Runner carries out jobs. It may be used concurrently, and beside others on the same database.
type Runner struct {
	Config
	woken chan struct{}

	// mu guards busy, the clusters that are being looked at, and written, when jobs were written last.
	mu      sync.Mutex
	busy    map[string]bool
	written map[string]time.Time
}

// New makes a Runner.
func New(c Config) *Runner {
	return &Runner{Config: c, woken: make(chan struct{}, 1), busy: map[string]bool{}, written: map[string]time.Time{}}
}

// Wake has the runner look at once. It does not wait.
func (r *Runner) Wake() {
	select {
	case r.woken <- struct{}{}:
	default:
	}
}

// Run looks, sweeps and purges, until ctx ends.
func (r *Runner) Run(ctx context.Context) {
	var both errgroup.Group
	both.Go(func() error { r.keepLooking(ctx); return nil })
	both.Go(func() error { r.keepSweeping(ctx); return nil })
	_ = both.Wait()
}

func (r *Runner) keepLooking(ctx context.Context) {
	var looks errgroup.Group
	looks.SetLimit(maxClusters)
	defer func() { _ = looks.Wait() }()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := r.look(ctx, &looks); err != nil && ctx.Err() == nil {
			r.Log.Error("open jobs cannot be read", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.woken:
		case <-tick.C:
		}
	}
}

func (r *Runner) keepSweeping(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		r.Purge(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.Sweep(ctx)
		}
	}
}

// Look looks at all clusters once, and waits for the end of that.
func (r *Runner) Look(ctx context.Context) error {
	var looks errgroup.Group
	looks.SetLimit(maxClusters)
	err := r.look(ctx, &looks)
	_ = looks.Wait()
	return err
}

// look begins to look at each cluster that has open jobs, and that nobody is looking at.
func (r *Runner) look(ctx context.Context, looks *errgroup.Group) error {
	linked := map[string]bool{}
	for _, id := range r.Jobs.Clusters.Linked() {
		linked[id.Key()] = true
	}
	open, elsewhere, err := r.Jobs.OpenClusters(ctx, func(id catalogue.ID) bool { return linked[id.Key()] })
	if err != nil {
		return err
	}
	owing, err := r.owing(ctx, linked, open)
	if err != nil {
		return err
	}
	r.forget()
	for _, id := range append(open, owing...) {
		if elsewhere[id] || !r.take(id) {
			continue
		}
		began := looks.TryGo(func() error {
			defer r.leave(id)
			ctx, cancel := context.WithTimeout(ctx, lookTime)
			defer cancel()
			if err := r.cluster(ctx, id); err != nil && ctx.Err() == nil {
				r.Log.Error("the jobs of a cluster cannot be carried out", "cluster", id, "error", err)
			}
			return nil
		})
		if !began {
			r.leave(id)
		}
	}
	return nil
}

func (r *Runner) take(id catalogue.ID) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy[id.Key()] {
		return false
	}
	r.busy[id.Key()] = true
	return true
}

func (r *Runner) leave(id catalogue.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.busy, id.Key())
}

// cluster looks at what there is to do in one cluster: its jobs, and what it has yet to delete.
func (r *Runner) cluster(ctx context.Context, id catalogue.ID) error {
	open, err := r.Jobs.Open(ctx, id)
	if err != nil {
		return err
	}
	session, err := r.Jobs.Clusters.Session(ctx, id)
	if err != nil && coffer.CodeOf(err) == "" {
		return err
	}
	if failed := r.carryAll(ctx, id, open, session, err); failed != nil || err != nil {
		return failed
	}
	return r.deletions(ctx, id, session)
}

// carryAll looks at the jobs of a cluster. err is why there is no session.
func (r *Runner) carryAll(ctx context.Context, id catalogue.ID, open []catalogue.Job, session catalogue.ClusterSession, err error) error {
	jobs, jobsCtx := errgroup.WithContext(ctx)
	jobs.SetLimit(maxJobs)
	for _, kept := range open {
		jobs.Go(func() error {
			one := look{Runner: r, kept: kept}
			var failed error
			if err != nil {
				failed = one.wait(jobsCtx, err)
			} else {
				failed = one.carry(jobsCtx, session)
			}
			if failed != nil && ctx.Err() == nil {
				// The others do not wait for it.
				r.Log.Error("a job cannot be carried out", "cluster", id, "vault", kept.Vault, "job", kept.Name, "error", failed)
			}
			return nil
		})
	}
	return jobs.Wait()
}

// now is in UTC, to the microsecond, as the database keeps it.
func (r *Runner) now() time.Time { return r.NowFunc().UTC().Truncate(time.Microsecond) }

// due says whether a job may be written that goes on, and notes that it is.
func (r *Runner) due(kept catalogue.Job) bool {
	key, now := kept.Vault.Key()+" "+kept.Name, r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if last, ok := r.written[key]; ok && now.Sub(last) < interval && !now.Before(last) {
		return false
	}
	r.written[key] = now
	return true
}

// forget drops what is not needed of jobs that were not written for long.
func (r *Runner) forget() {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, last := range r.written {
		if now.Sub(last) > interval {
			delete(r.written, key)
		}
	}
}

// refusals are the errors with which a cluster does not take a run: waiting does not help.
var refusals = []coffer.Code{coffer.CodeRejected, coffer.CodeForbidden, coffer.CodeConflict}

func refused(err *coffer.Error) bool { return !err.Transient && slices.Contains(refusals, err.Code) }
