package arm

import (
	"sync"
	"time"
)

// maxRefusals is how many writes of one principal are refused, and recorded, in a minute.
const maxRefusals = 100

// refusals count the writes of each principal that are refused. The zero value has counted none.
type refusals struct {
	mu sync.Mutex // guards what follows
	// began is when counting began, and counts are by object ids: those of people who proved who they are.
	began  time.Time
	counts map[string]int
}

// take counts one, and says whether it is within bounds.
func (r *refusals) take(principal string, now time.Time) (ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if age := now.Sub(r.began); age < 0 || age >= time.Minute {
		r.began, r.counts = now, map[string]int{}
	}
	r.counts[principal]++
	return r.counts[principal] <= maxRefusals
}
