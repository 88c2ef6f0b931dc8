// Package runner carries out in clusters what the jobs of vaults say. It looks at what there is, again and again: whoever dies, the next
// look goes on.
package runner

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	// interval is how often clusters with jobs are looked at, and how often at most a job is written while it is under way.
	interval = 2 * time.Second
	// maxClusters is how many clusters are looked at at a time, and maxJobs how many jobs of one.
	maxClusters = 64
	maxJobs     = 4
	// restTime is for how long a cluster is left alone that nobody can reach: its jobs wait, however many begin meanwhile. lull is how long the
	// runner waits between looks, however often it is woken: many jobs may begin at once.
	restTime = 10 * time.Second
	lull     = 500 * time.Millisecond
	// lookTime is how long a look at one cluster may take. What was not reached is looked at next time.
	lookTime = 2 * time.Minute
	// sweepInterval is how often old run objects are looked for, and deleted instances whose time is over.
	sweepInterval = time.Hour
)

// Config is what a Runner needs; all of it but Mine.
type Config struct {
	Jobs *vault.Jobs
	// Mine says whether a cluster that nobody can reach falls to this replica: one of them says in its jobs that they wait. Nil is all.
	Mine func(cluster catalogue.ID) bool
	Log  *slog.Logger
	// NowFunc is the clock.
	NowFunc func() time.Time
}

// Runner carries out jobs. It may be used concurrently, and beside others on the same database.
type Runner struct {
	Config
	woken chan struct{}

	// mu guards busy, the clusters that are being looked at, written, when jobs were written last, and resting, until when clusters are left
	// alone.
	mu               sync.Mutex
	busy             map[string]bool
	written, resting map[string]time.Time
}

// New makes a Runner.
func New(c Config) *Runner {
	if c.Mine == nil {
		c.Mine = func(catalogue.ID) bool { return true }
	}
	return &Runner{Config: c, woken: make(chan struct{}, 1), busy: map[string]bool{}, written: map[string]time.Time{}, resting: map[string]time.Time{}}
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
		case <-time.After(lull):
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
	here := func(id catalogue.ID) bool { return linked[id.Key()] }
	open, err := r.Jobs.OpenClusters(ctx, func(id catalogue.ID) bool { return !here(id) && (!r.Mine(id) || r.rests(id)) }, here)
	if err != nil {
		return err
	}
	owing, err := r.owing(ctx, linked, open)
	if err != nil {
		return err
	}
	r.forget()
	for _, id := range append(open, owing...) {
		if !r.take(id) {
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
	r.rest(id, err != nil)
	if err != nil {
		return r.waitAll(ctx, id, open, err)
	}
	if err := r.carryAll(ctx, id, open, session); err != nil {
		return err
	}
	return r.deletions(ctx, id, session)
}

// waitAll writes in all jobs of a cluster that they wait for it. why is why there is no session.
func (r *Runner) waitAll(ctx context.Context, id catalogue.ID, open []catalogue.Job, why error) error {
	found, ok := errors.AsType[*coffer.Error](why)
	if !ok {
		return why
	}
	now := r.now()
	wait := func(s job.State) job.State { return s.Wait(found, now) }
	changed := func(kept catalogue.Job) bool {
		state, err := job.Read(kept)
		if err != nil {
			r.Log.Error("a job cannot be carried out", "cluster", id, "vault", kept.Vault, "job", kept.Name, "error", err)
		}
		return err == nil && !vault.Unchanged(kept, wait(state))
	}
	// All that cannot be read are told.
	if len(slices.DeleteFunc(open, func(kept catalogue.Job) bool { return !changed(kept) })) == 0 {
		return nil
	}
	ended, err := r.Jobs.AdvanceOpen(ctx, id, wait)
	for _, kept := range ended {
		r.ended(kept, kept.Status)
	}
	return err
}

// carryAll looks at the jobs of a cluster.
func (r *Runner) carryAll(ctx context.Context, id catalogue.ID, open []catalogue.Job, session catalogue.ClusterSession) error {
	jobs, jobsCtx := errgroup.WithContext(ctx)
	jobs.SetLimit(maxJobs)
	for _, kept := range open {
		jobs.Go(func() error {
			one := look{Runner: r, kept: kept}
			if failed := one.carry(jobsCtx, session); failed != nil && ctx.Err() == nil {
				// The others do not wait for it.
				r.Log.Error("a job cannot be carried out", "cluster", id, "vault", kept.Vault, "job", kept.Name, "error", failed)
			}
			return nil
		})
	}
	return jobs.Wait()
}

func (r *Runner) ended(kept catalogue.Job, status string) {
	r.Log.Info("job ended", "vault", kept.Vault, "job", kept.Name, "operation", kept.Operation, "cluster", kept.Cluster, "status", status)
}

// rest leaves a cluster alone for a while, if it is away.
func (r *Runner) rest(id catalogue.ID, away bool) {
	until := r.now().Add(restTime)
	r.mu.Lock()
	defer r.mu.Unlock()
	if away {
		r.resting[id.Key()] = until
	} else {
		delete(r.resting, id.Key())
	}
}

// rests says whether a cluster is left alone. A clock that is put back does not make it longer.
func (r *Runner) rests(id catalogue.ID) bool {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	until, rests := r.resting[id.Key()]
	return rests && now.Before(until) && until.Sub(now) <= restTime
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

// forget drops what is not needed of jobs that were not written for long, and of clusters that have rested.
func (r *Runner) forget() {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, last := range r.written {
		if now.Sub(last) > interval {
			delete(r.written, key)
		}
	}
	for key, until := range r.resting {
		if !now.Before(until) {
			delete(r.resting, key)
		}
	}
}

// refusals are the errors with which a cluster does not take a run: waiting does not help.
var refusals = []coffer.Code{coffer.CodeRejected, coffer.CodeForbidden, coffer.CodeConflict}

func refused(err *coffer.Error) bool { return !err.Transient && slices.Contains(refusals, err.Code) }
