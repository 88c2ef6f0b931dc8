package schedule

import "time"

// onTime is how long after its start a backup is still on time.
const onTime = time.Minute

// Due is what there is to do for an instance at a moment.
type Due struct {
	// Slot is the one whose backup is to be begun now; zero is none.
	Slot time.Time
	// Late says that it should have begun more than a minute ago: it is caught up.
	Late bool
	// Missed counts the slots before it that nobody has dealt with, and First is the first of them. More says that there are more
	// than were counted: they are counted one by one, 10,000 at most.
	Missed int
	First  time.Time
	More   bool
	// Look is when to ask again; zero is never.
	Look time.Time
}

// Due is what there is to do for the instance of a key (see Start) now. since is the last slot that was dealt with, or when the instance
// began to be protected: no slot up to then is due, wherever the clock is.
//
// Of the slots whose start has come the last one is due, once for all. In a window nothing is caught up: it waits for the end.
func (t Timetable) Due(key string, since, now time.Time) Due {
	var due Due
	slot, found := t.walk().previous(now, since)
	if found && t.Start(slot, key).After(now) {
		due.Look = t.Start(slot, key)
		slot, found = t.walk().previous(slot.Add(-1), since)
	} else {
		due.Look = t.look(key, since, now)
	}
	if !found {
		return due
	}
	late := now.Sub(t.Start(slot, key)) > onTime
	if open, ends := t.walk().open(now); late && !open.Equal(now) {
		// The end of a window is no slot, and spread like one: all instances that wait for it are there.
		if start := t.Start(open, key); ends && (due.Look.IsZero() || start.Before(due.Look)) {
			due.Look = start
		}
		return due
	}
	due.Slot, due.Late = slot, late
	due.Missed, due.First, due.More = t.missed(since, slot)
	return due
}

// look is the start of the first slot after two times; zero if there is none.
func (t Timetable) look(key string, since, now time.Time) time.Time {
	if since.After(now) {
		now = since
	}
	slot, ok := t.Next(now)
	if !ok {
		return time.Time{}
	}
	return t.Start(slot, key)
}

// missed counts the slots between two times.
func (t Timetable) missed(after, before time.Time) (count int, first time.Time, more bool) {
	w := t.walk()
	for {
		slot, ok := w.next(after)
		switch {
		case !ok:
			return count, first, true
		case !slot.Before(before):
			return count, first, false
		case count == 0:
			first = slot
		}
		count, after = count+1, slot
	}
}

// DueAfter is Due where another timetable held until some time, which is after since. What was due by that one, and that nobody has dealt with, is
// not left out: its last slot is begun, at its own time or now, unless there is a newer one by this timetable; that one is then the one that catches up,
// and the others are missed. settled says that nothing is left of the other timetable; otherwise it is to be asked for again, with the same since.
func (t Timetable) DueAfter(other Timetable, key string, since, until, now time.Time) (due Due, settled bool) {
	due = t.Due(key, until, now)
	last, found := other.walk().previous(until, since)
	if !found {
		return due, true
	}
	missed, first, more := other.missed(since, last)
	if missed == 0 {
		first = last
	}
	if !due.Slot.IsZero() {
		due.Missed, due.First, due.More = due.Missed+missed+1, first, due.More || more
		return due, true
	}
	start := other.Start(last, key)
	late := now.Sub(start) > onTime
	// In a window of this timetable nothing is begun any more.
	if open, ends := t.walk().open(now); !open.Equal(now) {
		if !ends {
			return due, false
		}
		start = t.Start(open, key)
	}
	if start.After(now) {
		if due.Look.IsZero() || start.Before(due.Look) {
			due.Look = start
		}
		return due, false
	}
	if missed == 0 {
		first = time.Time{}
	}
	due.Slot, due.Late, due.Missed, due.First, due.More = last, late, missed, first, more
	return due, true
}
