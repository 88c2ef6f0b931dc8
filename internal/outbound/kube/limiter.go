package kube

import (
	"context"
	"sync"
)

const (
	// firstWrites is how many writes there are at a time until the API server has said something about it; leastWrites and
	// mostWrites bound what it can make of that.
	firstWrites = 32
	leastWrites = 2
	mostWrites  = 64
)

// limiter bounds the writes that are under way at a time. The bound is halved when the API server says that it has too much to
// do, once for all writes that were under way then, and grows by one with each round of writes that went well, as long as they
// use it up: so it settles a little below what priority and fairness grants.
//
// (The library of choice, platinummonkey/go-concurrency-limits, lets a burst of refusals count one by one, grows by one with
// each single success, and brings gRPC and the client of a vendor of metrics.)
type limiter struct {
	mu sync.Mutex // guards all below
	// limit is the bound, and used what of it is in use.
	limit, used int
	// good counts the writes that went well since the bound was changed.
	good int
	// round is increased when the bound is halved: who began in an earlier round says nothing new.
	round int
	// waiting are those who wait for their turn, the first comer first.
	waiting []chan int
}

func newLimiter() *limiter { return &limiter{limit: firstWrites} }

// acquire waits for a turn. It answers the round, which release wants to know.
func (l *limiter) acquire(ctx context.Context) (round int, err error) {
	l.mu.Lock()
	if l.used < l.limit && len(l.waiting) == 0 {
		defer l.mu.Unlock()
		l.used++
		return l.round, nil
	}
	turn := make(chan int, 1)
	l.waiting = append(l.waiting, turn)
	l.mu.Unlock()
	select {
	case round := <-turn:
		return round, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, w := range l.waiting {
		if w == turn {
			l.waiting = append(l.waiting[:i], l.waiting[i+1:]...)
			return 0, ctx.Err()
		}
	}
	// The turn came at the same moment: it is the next one's.
	l.used--
	l.next()
	return 0, ctx.Err()
}

// release ends a turn. refused says that the API server had too much to do.
func (l *limiter) release(round int, refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case refused && round == l.round:
		l.limit = max(l.limit/2, leastWrites)
		l.round++
		l.good = 0
	case refused:
	case l.used >= l.limit:
		if l.good++; l.good >= l.limit && l.limit < mostWrites {
			l.limit++
			l.good = 0
		}
	}
	l.used--
	l.next()
}

// next gives turns to those who wait. The lock is held.
func (l *limiter) next() {
	for len(l.waiting) > 0 && l.used < l.limit {
		l.used++
		l.waiting[0] <- l.round
		l.waiting = l.waiting[1:]
	}
}
