package flow

import (
	"sync"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// outcome is what became of one object of a plan.
type outcome byte

const (
	outcomePending outcome = iota // the run ended before it came to it
	outcomeCreated
	outcomeExisting // it existed, and was left as it is
	outcomePatched
	outcomeReplaced
	outcomeSkipped // the plan leaves it out
	outcomeFailed
)

const (
	// notesKept bounds the results that have a note of their own, and noteLength how long that is.
	notesKept  = 100_000
	noteLength = 500
)

// results are what became of the objects of a plan, by step: a byte each, and a note for those that have something to say.
type results struct {
	mu       sync.Mutex // guards all below
	outcomes []outcome
	notes    map[int]string
}

func newResults(steps int) *results {
	return &results{outcomes: make([]outcome, steps), notes: map[int]string{}}
}

func (r *results) settled(i int) bool { return r.of(i) != outcomePending }

func (r *results) of(i int) outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.outcomes[i]
}

// settle notes what became of an object, once: it answers false if that was known already.
func (r *results) settle(i int, o outcome, note string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes[i] != outcomePending {
		return false
	}
	r.outcomes[i] = o
	if note != "" && len(r.notes) < notesKept {
		r.notes[i] = note[:min(len(note), noteLength)]
	}
	return true
}

// settle records what became of an object, and counts it.
func (a *application) settle(i int, o outcome, note string) {
	if !a.results.settle(i, o, note) {
		return
	}
	a.update(func() {
		p := &a.object.Status.Progress
		switch o {
		case outcomeCreated:
			p.Created++
		case outcomeExisting:
			p.Existing++
		case outcomePatched:
			p.Patched++
		case outcomeReplaced:
			p.Replaced++
		case outcomeSkipped:
			p.Skipped++
		case outcomeFailed:
			p.Failed++
		}
		if (o == outcomeFailed || o == outcomeExisting) && a.step(i).RestoresData() {
			p.VolumesTotal--
		}
	})
}

// failed records an object that was not restored, as a warning.
func (a *application) failed(i int, err error) {
	if a.results.settled(i) {
		return
	}
	a.warn(coffer.CodeObjectFailed, a.step(i).Target.String(), err.Error())
	a.settle(i, outcomeFailed, err.Error())
}

// left records an object that was left as it is although it was to be changed, as a warning.
func (a *application) left(i int, code coffer.Code, why string) {
	if a.results.settled(i) {
		return
	}
	a.warn(code, a.step(i).Target.String(), why)
	a.settle(i, outcomeExisting, why)
}
