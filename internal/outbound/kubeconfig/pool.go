package kubeconfig

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

// Keeper knows the kubeconfigs, and records which of their clusters are reached. It may be called concurrently.
type Keeper interface {
	// Kubeconfigs are those that are this replica's, and those that are nobody's.
	Kubeconfigs(ctx context.Context) ([]catalogue.KubeconfigRef, error)
	// Kubeconfig is one of them.
	Kubeconfig(ctx context.Context, ref catalogue.KubeconfigRef) (catalogue.Kubeconfig, error)
	// Linked records that this replica reaches a cluster now. A session whose Linked fails is ended.
	Linked(ctx context.Context, cluster catalogue.ID, info catalogue.ClusterInfo) error
	// Unreachable records that this replica does not reach a cluster, and why.
	Unreachable(ctx context.Context, cluster catalogue.ID, why string)
}

// PoolConfig is what a Pool is made of. Times of 0 are those of a server.
type PoolConfig struct {
	Dialer *Dialer
	Keeper Keeper
	Log    *slog.Logger
	// LookEvery is how often it is looked which kubeconfigs there are; 0 is 2 s.
	LookEvery time.Duration
	// AskEvery is how often a cluster is asked whether it is there; 0 is 20 s.
	AskEvery time.Duration
	// RetryFirst and RetryLongest bound how long it waits before it tries a cluster again, which doubles each time; 0 is 1 s and 60 s.
	RetryFirst, RetryLongest time.Duration
}

// Pool keeps sessions of the clusters that have joined by a kubeconfig. Run is called once; all else may be called concurrently.
type Pool struct {
	PoolConfig

	// opening bounds how many clusters are asked who they are at once.
	opening chan struct{}

	mu       sync.Mutex // guards all below
	sessions map[string]*session
	minded   map[string]*minded
}

// minded is a kubeconfig that is looked after.
type minded struct {
	ref  catalogue.KubeconfigRef
	stop context.CancelFunc
	done chan struct{}
}

var _ catalogue.Clusters = (*Pool)(nil)

// maxOpening is how many clusters are asked who they are at once.
const maxOpening = 16

// openTime is how long that may take.
const openTime = time.Minute

// maxFailed is how often a cluster may fail to say that it is there before the way to it counts as gone.
const maxFailed = 2

// NewPool makes a Pool without sessions.
func NewPool(c PoolConfig) (*Pool, error) {
	if c.Dialer == nil || c.Keeper == nil || c.Log == nil {
		return nil, errors.New("a pool of kubeconfigs needs a dialer, a keeper and a log")
	}
	for _, d := range []struct {
		of      *time.Duration
		instead time.Duration
	}{{&c.LookEvery, 2 * time.Second}, {&c.AskEvery, 20 * time.Second}, {&c.RetryFirst, time.Second}, {&c.RetryLongest, time.Minute}} {
		if *d.of == 0 {
			*d.of = d.instead
		}
	}
	return &Pool{PoolConfig: c, opening: make(chan struct{}, maxOpening), sessions: map[string]*session{}, minded: map[string]*minded{}}, nil
}

// Session implements catalogue.Clusters.
func (p *Pool) Session(_ context.Context, cluster catalogue.ID) (catalogue.ClusterSession, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessions[cluster.Key()]; s != nil {
		return s, nil
	}
	return nil, notReachable(cluster, "it is not linked, and not reached by a kubeconfig")
}

// Linked implements catalogue.Clusters. They are in no order.
func (p *Pool) Linked() []catalogue.ID {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]catalogue.ID, 0, len(p.sessions))
	for _, s := range p.sessions {
		all = append(all, s.kubeconfig.Cluster)
	}
	return all
}

// Close ends the session of a cluster, if there is one. If it has not left, it is reached again.
func (p *Pool) Close(cluster catalogue.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.sessions[cluster.Key()]; s != nil {
		delete(p.sessions, cluster.Key())
		s.end()
	}
}

// Run keeps sessions until ctx ends, and has ended all of them then.
func (p *Pool) Run(ctx context.Context) {
	tick := time.NewTicker(p.LookEvery)
	defer tick.Stop()
	for {
		refs, err := p.Keeper.Kubeconfigs(ctx)
		switch {
		case err == nil:
			p.mind(ctx, refs)
		case ctx.Err() == nil:
			p.Log.Error("it is not known which kubeconfigs there are", "error", err)
		}
		select {
		case <-ctx.Done():
			p.mind(ctx, nil)
			p.wait()
			return
		case <-tick.C:
		}
	}
}

// wait waits until nothing is looked after.
func (p *Pool) wait() {
	p.mu.Lock()
	all := make([]*minded, 0, len(p.minded))
	for _, m := range p.minded {
		all = append(all, m)
	}
	p.mu.Unlock()
	for _, m := range all {
		<-m.done
	}
}

// mind looks after these kubeconfigs, and no others. One that has changed is looked after once the one before has been let go.
func (p *Pool) mind(ctx context.Context, refs []catalogue.KubeconfigRef) {
	wanted := map[string]catalogue.KubeconfigRef{}
	for _, ref := range refs {
		wanted[ref.Cluster.Key()] = ref
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, m := range p.minded {
		select {
		case <-m.done:
			delete(p.minded, key)
			continue
		default:
		}
		if wanted[key].Version != m.ref.Version {
			m.stop()
		}
		delete(wanted, key)
	}
	if ctx.Err() != nil {
		return
	}
	for key, ref := range wanted {
		one, stop := context.WithCancel(ctx)
		m := &minded{ref: ref, stop: stop, done: make(chan struct{})}
		p.minded[key] = m
		go func() {
			defer close(m.done)
			defer stop()
			p.keep(one, ref)
		}()
	}
}

// keep keeps a session of one cluster until ctx ends.
func (p *Pool) keep(ctx context.Context, ref catalogue.KubeconfigRef) {
	wait := p.RetryFirst
	for ctx.Err() == nil {
		began := time.Now()
		err := p.once(ctx, ref)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errClosed) {
			// It has left, or has another kubeconfig, which the next look says. If neither, it is reached again.
			pause(ctx, 2*p.LookEvery)
			continue
		}
		why := wire.Clean(err.Error(), maxNote)
		p.Log.Warn("cluster not reached by its kubeconfig", "cluster", ref.Cluster, "error", why)
		p.Keeper.Unreachable(ctx, ref.Cluster, why)
		if time.Since(began) > p.RetryLongest {
			wait = p.RetryFirst
		}
		pause(ctx, wait/2+time.Duration(rand.Float64()*float64(wait/2))) //nolint:gosec // It spreads, and keeps no secret.
		wait = min(2*wait, p.RetryLongest)
	}
}

// errClosed is of a session that this server has ended itself.
var errClosed = errors.New("the session was closed")

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// once opens a session and answers why it has ended.
func (p *Pool) once(ctx context.Context, ref catalogue.KubeconfigRef) error {
	s, err := p.open(ctx, ref)
	if err != nil {
		return err
	}
	key := ref.Cluster.Key()
	defer func() {
		p.mu.Lock()
		if p.sessions[key] == s {
			delete(p.sessions, key)
		}
		p.mu.Unlock()
		s.end()
	}()
	// Nobody calls a cluster that is not the one that has joined.
	if err := p.Keeper.Linked(ctx, ref.Cluster, s.info); err != nil {
		return err
	}
	p.mu.Lock()
	p.sessions[key] = s
	p.mu.Unlock()
	p.Log.Info("cluster reached by its kubeconfig", "cluster", ref.Cluster)
	return p.watch(ctx, s)
}

func (p *Pool) open(ctx context.Context, ref catalogue.KubeconfigRef) (*session, error) {
	select {
	case p.opening <- struct{}{}:
		defer func() { <-p.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, openTime)
	defer cancel()
	k, err := p.Keeper.Kubeconfig(ctx, ref)
	if err != nil {
		return nil, err
	}
	return p.Dialer.open(ctx, k)
}

// watch asks a cluster whether it is there until it is not.
func (p *Pool) watch(ctx context.Context, s *session) error {
	tick := time.NewTicker(p.AskEvery)
	defer tick.Stop()
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return errClosed
		case <-s.doubted:
		case <-tick.C:
		}
		err := s.alive(ctx)
		if err == nil {
			failed = 0
			continue
		}
		if failed++; failed >= maxFailed || final(err) {
			return s.explain(err)
		}
	}
}
