package driver

import (
	"context"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// locks serialises calls that concern the same volume or snapshot.
type locks struct {
	mu sync.Mutex
	// held has a channel for every id in use, closed when it is released. Guarded by mu.
	held map[string]chan struct{}
}

func newLocks() *locks { return &locks{held: map[string]chan struct{}{}} }

// lock waits until none of the ids is in use, takes them all and returns what releases them. If ctx ends
// first the error has the code Aborted, which tells the caller that an operation on the volume is pending.
func (l *locks) lock(ctx context.Context, ids ...string) (func(), error) {
	// One order for everyone, so that two calls never wait for each other.
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for i, id := range ids {
		if err := l.take(ctx, id); err != nil {
			l.release(ids[:i])
			return nil, err
		}
	}
	return func() { l.release(ids) }, nil
}

func (l *locks) take(ctx context.Context, id string) error {
	for {
		l.mu.Lock()
		released, busy := l.held[id]
		if !busy {
			l.held[id] = make(chan struct{})
			l.mu.Unlock()
			return nil
		}
		l.mu.Unlock()
		select {
		case <-released:
		case <-ctx.Done():
			return status.Errorf(codes.Aborted, "%s: another operation is in progress", id)
		}
	}
}

func (l *locks) release(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		close(l.held[id])
		delete(l.held, id)
	}
}
