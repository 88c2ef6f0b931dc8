package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"time"
)

// Timetable is when the backups of a policy are begun: at the slots of its schedule that lie in no window, and by each instance a little
// later, at its own part of the spread.
type Timetable struct {
	Schedule Schedule
	Windows  []Window
	// Spread is over how long the instances begin, from the slot on; 0 is all at once.
	Spread time.Duration
}

// DefaultSpread is that of a policy that names none.
const DefaultSpread = 30 * time.Second

// Slots are gone through in bounded steps, each past a slot or past a window. Who has had none in so many, or in so many years, waits
// for nothing. At each step all intervals and windows are looked at; where there are many of them, there are fewer steps.
const (
	mostSteps = 10_000
	mostLooks = 200_000
	mostYears = 100
)

// Next is the first slot after a time; false if the timetable is never due: no slot lies outside of the windows.
func (t Timetable) Next(after time.Time) (time.Time, bool) { return t.walk().next(after) }

// Start is when an instance begins its backup of a slot. key names the instance, the same way each time: its offset is the same
// for all slots that have room for the whole spread. Before the next slot there is room up to half of the way, and up to a window.
func (t Timetable) Start(slot time.Time, key string) time.Time {
	room := t.room(slot)
	if room <= 0 {
		return slot
	}
	sum := sha256.Sum256([]byte(key))
	// The fraction of room that the key's number is of all such numbers: less than room.
	part, _ := bits.Mul64(binary.BigEndian.Uint64(sum[:]), uint64(room))
	return slot.Add(time.Duration(part).Truncate(time.Millisecond)) //nolint:gosec // It is less than room, which is a Duration.
}

func (t Timetable) room(slot time.Time) time.Duration {
	room := t.Spread
	if next, ok := t.Schedule.Next(slot); ok {
		room = min(room, next.Sub(slot)/2)
	}
	if begins, ok := windows(t.Windows).next(slot); ok {
		room = min(room, begins.Sub(slot))
	}
	return room
}

// walk goes through a timetable for as many steps as are left.
type walk struct {
	schedule Schedule
	windows  windows
	left     int
}

func (t Timetable) walk() *walk {
	return &walk{schedule: t.Schedule, windows: t.Windows, left: mostSteps}
}

func (w *walk) step() bool {
	w.left--
	return w.left >= 0
}

// next is the first slot after a time.
func (w *walk) next(after time.Time) (time.Time, bool) {
	var last time.Time
	for w.step() {
		slot, ok := w.schedule.Next(after)
		if !ok {
			break
		}
		if last.IsZero() {
			last = slot.AddDate(mostYears, 0, 0)
		}
		until, excluded := w.windows.until(slot)
		switch {
		case !excluded:
			return slot, true
		case until.After(last):
			return time.Time{}, false
		}
		after = until.Add(-1)
	}
	return time.Time{}, false
}

// previous is the last slot at a time or before it, and after another.
func (w *walk) previous(at, after time.Time) (time.Time, bool) {
	for w.step() {
		slot, ok := w.schedule.Previous(at)
		if !ok || !slot.After(after) {
			break
		}
		since, excluded := w.windows.since(slot)
		if !excluded {
			return slot, true
		}
		at = since.Add(-1)
	}
	return time.Time{}, false
}

// open is the first time, from another on, that lies in no window.
func (w *walk) open(from time.Time) (time.Time, bool) {
	for w.step() {
		until, excluded := w.windows.until(from)
		if !excluded {
			return from, true
		}
		from = until
	}
	return time.Time{}, false
}
