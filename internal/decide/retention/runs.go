package retention

import (
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// MostRuns is how many runs are told in advance.
const MostRuns = 1000

// Run is a backup that is to come.
type Run struct {
	Slot time.Time
	Choice
	Kept Kept
}

// Runs are the next runs from a time on, up to so many, each with what is promised to a good recovery point that is taken in time. points
// are the recovery points that there are already, in any order.
func (p Policy) Runs(points []Point, from time.Time, most int) ([]Run, error) {
	switch {
	case most < 0:
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "fewer than 0 runs are asked for: up to %d are told in advance", MostRuns).WithHint("ask for 0 to %d", MostRuns)
	case most > MostRuns:
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "more than %d runs are asked for: up to %d are told in advance", MostRuns, MostRuns).
			WithHint("ask for fewer, and go on from the last")
	}
	var runs []Run
	after, previous, copied := from.Add(-1), time.Time{}, time.Time{}
	for len(runs) < most {
		slot, ok := p.next(after)
		if !ok {
			break
		}
		if len(runs) == 0 {
			previous, copied = Previous(points, slot, true), PreviousCopy(points, slot, true)
		}
		choice, kept := p.once(p.Choose(slot, previous), slot, slot, copied)
		runs = append(runs, Run{Slot: slot, Choice: choice, Kept: kept})
		if kept.Vault != nil {
			copied = slot
		}
		after, previous = slot, slot
	}
	return runs, nil
}

// next is the first slot after a time; false if there is none.
func (p Policy) next(after time.Time) (time.Time, bool) { return p.Timetable().Next(after) }
