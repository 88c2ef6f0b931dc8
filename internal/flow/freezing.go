package flow

import (
	"context"
	"sync"
)

// Freezing has runs that freeze pods of one namespace do so one after the other: the post-hooks of one would thaw what another has frozen for its
// snapshots. It is of one process, for only one carries out runs. It may be used concurrently; the zero value is ready, and nil lets everybody.
type Freezing struct {
	mu    sync.Mutex
	turns map[string]*turn
}

// turn is of one namespace: taken has a value while somebody has it, and wanted is how many have it or wait for it.
type turn struct {
	taken  chan struct{}
	wanted int
}

// take waits for the turn of a namespace, and answers how to give it back.
func (f *Freezing) take(ctx context.Context, namespace string) (done func(), err error) {
	if f == nil {
		return func() {}, nil
	}
	f.mu.Lock()
	if f.turns == nil {
		f.turns = map[string]*turn{}
	}
	t := f.turns[namespace]
	if t == nil {
		t = &turn{taken: make(chan struct{}, 1)}
		f.turns[namespace] = t
	}
	t.wanted++
	f.mu.Unlock()
	left := func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if t.wanted--; t.wanted == 0 {
			delete(f.turns, namespace)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; left() }, nil
	case <-ctx.Done():
		left()
		return nil, ctx.Err()
	}
}

// heldTurns are those that one run has. It may be used concurrently.
type heldTurns struct {
	of *Freezing

	mu   sync.Mutex
	held map[string]func()
}

// take waits for the turn of a namespace, unless the run has it.
func (h *heldTurns) take(ctx context.Context, namespace string) error {
	h.mu.Lock()
	_, has := h.held[namespace]
	h.mu.Unlock()
	if has {
		return nil
	}
	done, err := h.of.take(ctx, namespace)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[string]func(){}
	}
	h.held[namespace] = done
	return nil
}

// give gives a turn back, if the run has it.
func (h *heldTurns) give(namespace string) {
	h.mu.Lock()
	done := h.held[namespace]
	delete(h.held, namespace)
	h.mu.Unlock()
	if done != nil {
		done()
	}
}

// giveAll gives all of them back.
func (h *heldTurns) giveAll() {
	h.mu.Lock()
	held := h.held
	h.held = nil
	h.mu.Unlock()
	for _, done := range held {
		done()
	}
}
