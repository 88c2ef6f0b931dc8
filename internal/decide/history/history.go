// Package history decides for how long is kept what has been: jobs that have ended, what was done by whom, what became of slots.
package history

import (
	"fmt"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// Kind is what is kept, by its word in the server's flag.
type Kind string

// The kinds.
const (
	// AuditLog are the entries of the audit log, from when they were written.
	AuditLog Kind = "audit-log"
	// Jobs, and Operations by which clients follow their requests, are kept from when they ended, and Alerts from when they were closed.
	Jobs       Kind = "jobs"
	Operations Kind = "operations"
	Alerts     Kind = "alerts"
	// Slots are the times at which a backup was due, and Meter what was measured on a day.
	Slots Kind = "slots"
	Meter Kind = "meter"
)

// Kinds are all, in the order in which people read them.
func Kinds() []Kind { return []Kind{AuditLog, Jobs, Operations, Slots, Alerts, Meter} }

// least is the shortest time for anything: what is gone by a slip of the keyboard is gone.
const least = 7 * 24 * time.Hour

// Histories say for how long each kind is kept. One that is not in them is kept for ever.
type Histories map[Kind]schedule.Period

// Defaults are those of a server that is told nothing.
func Defaults() Histories {
	return Histories{
		// Longer than the year that audits look back on, with the one before it to compare.
		AuditLog: {Months: 24},
		// As long as anything that was deleted can be had again at most.
		Jobs: {Days: 180},
		// Clients ask for minutes.
		Operations: {Days: 7},
		// A year, and the month after it.
		Slots:  {Days: 400},
		Alerts: {Days: 90},
		// Three years, for whoever compares them.
		Meter: {Days: 3 * 366},
	}
}

// Parse reads histories as the server's flag has them: KIND=DURATION, where 0 is for ever. Those that are not named are as by default; a later word goes
// before an earlier one.
func Parse(words []string) (Histories, error) {
	h := Defaults()
	for _, text := range words {
		name, value, _ := strings.Cut(strings.TrimSpace(text), "=")
		kind := Kind(name)
		if _, known := Defaults()[kind]; !known {
			return nil, fmt.Errorf("%.60q is no history: write one of %s with how long it is kept, such as %s=P1Y; 0 is for ever", text, names(), Jobs)
		}
		if value == "0" || value == "P0D" {
			delete(h, kind)
			continue
		}
		p, err := schedule.ParsePeriod(value)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", kind, err)
		case p.Seconds != 0:
			return nil, fmt.Errorf("%s: %s has hours or less: write whole days, such as P90D", kind, value)
		case p.Shorter(least):
			return nil, fmt.Errorf("%s: %s is less than seven days: write P7D or more, or 0 for ever", kind, value)
		}
		h[kind] = p
	}
	return h, nil
}

func names() string {
	words := make([]string, 0, len(Kinds()))
	for _, k := range Kinds() {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

// End is the time before which everything of a kind is at the end of its time; false is nothing. Months are those of the calendar, and never shorter than
// from the day that something was until the same day.
func (h Histories) End(kind Kind, now time.Time) (time.Time, bool) {
	p, bounded := h[kind]
	if !bounded {
		return time.Time{}, false
	}
	end := now.UTC().AddDate(0, -p.Months, -p.Days)
	// Months differ: what is a month ago on the 31st is no day at times, and the next that is one would be too young.
	for p.After(end).After(now) {
		end = end.AddDate(0, 0, -1)
	}
	return end, true
}
