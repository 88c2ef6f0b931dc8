package arm

import "sync"

// busy counts the requests of each principal that are under way. The zero value has none.
type busy struct {
	mu     sync.Mutex // guards counts
	counts map[string]int
}

// enter begins one, unless there are as many as there may be.
func (b *busy) enter(principal string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts == nil {
		b.counts = map[string]int{}
	}
	if b.counts[principal] >= maxRequestsOfOne {
		return false
	}
	b.counts[principal]++
	return true
}

// leave ends one that has entered.
func (b *busy) leave(principal string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.counts[principal]--; b.counts[principal] == 0 {
		delete(b.counts, principal)
	}
}
