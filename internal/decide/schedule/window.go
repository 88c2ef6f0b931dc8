package schedule

import (
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Window is a time that comes again and again, in which no backup is begun: from each occurrence of an interval on, for a duration. The
// moment at which it ends is outside.
type Window struct {
	Start Interval
	For   Period
}

// ParseDuration reads how long a window is that begins at each occurrence of an interval. It is shorter than the interval's period, for
// otherwise it never ends.
func ParseDuration(text string, start Interval) (Period, error) {
	p, err := ParsePeriod(text)
	if err == nil && !p.Less(start.Every) {
		return Period{}, coffer.Errorf(coffer.CodeInvalidInput,
			"%s is as long as the period after which the window begins anew, or longer: no backup would ever be begun", shown(text)).
			WithHint("write a duration that is shorter than the period of its start")
	}
	return p, err
}

// holding is the occurrence of the window that a time lies in.
func (w Window) holding(at time.Time) (from, until time.Time, ok bool) {
	// Of occurrences that reach into the next, as those of P1M for P30D do in February, the last one ends last.
	from, ok = w.Start.Previous(at)
	if !ok {
		return from, until, false
	}
	until = w.For.After(from)
	return from, until, at.Before(until)
}

// windows are all those of a timetable.
type windows []Window

// until is when the windows end that a time lies in; false if it lies in none. Others may begin there.
func (all windows) until(at time.Time) (time.Time, bool) {
	var last time.Time
	found := false
	for _, w := range all {
		if _, until, ok := w.holding(at); ok && (!found || until.After(last)) {
			last, found = until, true
		}
	}
	return last, found
}

// since is when the first of the windows began that a time lies in; false if it lies in none.
func (all windows) since(at time.Time) (time.Time, bool) {
	var first time.Time
	found := false
	for _, w := range all {
		if from, _, ok := w.holding(at); ok && (!found || from.Before(first)) {
			first, found = from, true
		}
	}
	return first, found
}

// next is when a window begins next after a time; false if there is none.
func (all windows) next(after time.Time) (time.Time, bool) {
	var next time.Time
	for _, w := range all {
		if t := w.Start.Next(after); next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return next, len(all) > 0
}
