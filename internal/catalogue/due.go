package catalogue

import "time"

// Due says when the schedule of a backup instance is to be looked at next. It goes with its instance.
type Due struct {
	Instance ID
	// At is when.
	At time.Time
	// Slot is the last one that was dealt with; zero is none.
	Slot time.Time
	// Schedule is by which schedule, and Policy says by which policy of which version: whoever finds others there knows that they have changed
	// since. Empty is none.
	Schedule, Policy string
}

// DueQuery selects what is due, the earliest first, and then in the order of the instances' Keys.
type DueQuery struct {
	// Until bounds At, included.
	Until time.Time
	// After is the last one of the page before.
	After *Due
	// Limit is how many at most, 1 to 1,000.
	Limit int
}

// Slot is a time at which the schedule of an instance was due, and what became of it. There is one of an instance and a time, whoever
// writes it. It goes with its instance.
type Slot struct {
	Instance ID
	At       time.Time
	Outcome  SlotOutcome
	// Job is the name of the one that has begun for it; empty is none.
	Job string
	// Noted is when it was dealt with.
	Noted time.Time
	// Missed is how many slots before it were missed that have no row, and Since the first of them; 0 and zero are none.
	Missed int
	Since  time.Time
}

// SlotOutcome says what became of a slot.
type SlotOutcome string

// The outcomes.
const (
	// SlotBegun is one whose backup began at its time, and SlotCaughtUp one whose backup began later, for nobody could before.
	SlotBegun    SlotOutcome = "Begun"
	SlotCaughtUp SlotOutcome = "CaughtUp"
	// SlotOverrun is one at which the backup before it was still under way, and SlotMissed one at which that had not begun in its cluster
	// yet, or for which none could begin.
	SlotOverrun SlotOutcome = "Overrun"
	SlotMissed  SlotOutcome = "Missed"
)

// SlotQuery selects the slots of an instance, the newest first.
type SlotQuery struct {
	Instance ID
	// From and To bound At, both included; zero is without a bound.
	From, To time.Time
	// After is the At of the last one of the page before; zero begins with the newest.
	After time.Time
	// Limit is how many at most, 1 to 1,000.
	Limit int
}
