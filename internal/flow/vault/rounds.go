package vault

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const (
	// clustersAtATime is how many clusters are asked at a time, and clusterTime how long all questions to one may take.
	clustersAtATime = 8
	clusterTime     = time.Minute
	// checkInterval is how often a cluster is asked, and lookInterval how often it is looked for clusters that have been linked since.
	checkInterval = 3 * time.Minute
	lookInterval  = 2 * time.Second
)

// rounds asks each cluster that has a link when it has been linked, and every few minutes. A cluster that takes its time keeps none of the others waiting.
type rounds struct {
	clusters catalogue.Clusters
	// ask asks a cluster. It is not called concurrently for one cluster.
	ask func(ctx context.Context, cluster catalogue.ID)
	// due says which clusters are to be asked at each look; nil is none.
	due func(ctx context.Context) map[string]bool

	// mu guards asked, which has the clusters that are being asked.
	mu    sync.Mutex
	asked map[string]bool
}

// run goes on until ctx ends.
func (r *rounds) run(ctx context.Context) {
	type visit struct {
		ended <-chan struct{}
		at    time.Time
	}
	r.asked = map[string]bool{}
	done := map[string]visit{}
	var visits errgroup.Group
	visits.SetLimit(clustersAtATime)
	defer func() { _ = visits.Wait() }() // What is wrong is in the log.
	wait.NonSlidingUntilWithContext(ctx, func(ctx context.Context) {
		var due map[string]bool
		if r.due != nil {
			due = r.due(ctx)
		}
		linked := map[string]visit{}
		for _, cluster := range r.clusters.Linked() {
			session, err := r.clusters.Session(ctx, cluster)
			if err != nil {
				continue
			}
			key := cluster.Key()
			now, was := visit{session.Ended(), time.Now()}, done[key]
			linked[key] = was
			if was.ended == now.ended && now.at.Sub(was.at) < checkInterval && !due[key] {
				continue
			}
			// Where as many as may be have not answered yet, it is this one's turn at a later look.
			if !r.enter(key) {
				continue
			}
			if visits.TryGo(func() error { defer r.leave(key); r.visit(ctx, cluster); return nil }) {
				linked[key] = now
			} else {
				r.leave(key)
			}
		}
		done = linked
	}, lookInterval)
}

func (r *rounds) visit(ctx context.Context, cluster catalogue.ID) {
	ctx, cancel := context.WithTimeout(ctx, clusterTime)
	defer cancel()
	r.ask(ctx, cluster)
}

// enter says whether nobody asks a cluster already.
func (r *rounds) enter(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.asked[key] {
		return false
	}
	r.asked[key] = true
	return true
}

func (r *rounds) leave(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.asked, key)
}
