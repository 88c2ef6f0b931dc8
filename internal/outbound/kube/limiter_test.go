package kube

import (
	"context"
	"sync"
	"testing"
)

// useUp takes all turns there are at a time, and ends them.
func useUp(t *testing.T, l *limiter, refused bool) {
	t.Helper()
	var rounds []int
	for range l.limit {
		r, err := l.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rounds = append(rounds, r)
	}
	for _, r := range rounds {
		l.release(r, refused)
	}
}

func TestABurstOfRefusalsHalvesTheBoundOnce(t *testing.T) {
	l := newLimiter()
	for _, want := range []int{firstWrites / 2, firstWrites / 4, firstWrites / 8, firstWrites / 16, leastWrites, leastWrites} {
		useUp(t, l, true)
		if l.limit != want {
			t.Fatalf("limit %d, want %d", l.limit, want)
		}
	}
}

func TestTheBoundGrowsSlowlyWhileItIsUsedUp(t *testing.T) {
	l := newLimiter()
	rounds := 0
	for l.limit < mostWrites {
		useUp(t, l, false)
		if rounds++; rounds > 100000 {
			t.Fatalf("limit %d", l.limit)
		}
	}
	if rounds < mostWrites-firstWrites {
		t.Errorf("it grew within %d rounds", rounds)
	}
	useUp(t, l, false)
	if l.limit != mostWrites {
		t.Errorf("limit %d", l.limit)
	}
}

func TestTheBoundDoesNotGrowForOneAtATime(t *testing.T) {
	l := newLimiter()
	for range 1000 {
		r, err := l.acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.release(r, false)
	}
	if l.limit != firstWrites {
		t.Errorf("limit %d", l.limit)
	}
}

func TestTurnsAreNeitherLostNorMade(t *testing.T) {
	l := newLimiter()
	var all sync.WaitGroup
	for i := range 500 {
		ctx, cancel := context.WithCancel(t.Context())
		all.Go(func() {
			for j := range 20 {
				r, err := l.acquire(ctx)
				if err != nil {
					return
				}
				l.mu.Lock()
				if l.used > mostWrites {
					t.Errorf("%d at a time", l.used)
				}
				l.mu.Unlock()
				l.release(r, (i+j)%97 == 0)
			}
		})
		if i%3 == 0 {
			all.Go(cancel)
		}
		t.Cleanup(cancel)
	}
	all.Wait()
	if l.used != 0 || len(l.waiting) != 0 {
		t.Errorf("%d turns are in use and %d wait", l.used, len(l.waiting))
	}
}
