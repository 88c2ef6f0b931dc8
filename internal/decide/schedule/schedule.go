// Package schedule decides when backups are due. It reads repeating intervals and time zones, and counts from occurrence to
// occurrence.
package schedule

import "time"

// Schedule is due whenever one of its intervals is.
type Schedule struct {
	Intervals []Interval
	// Zone is that of the intervals. Days, weeks and months begin by its clock.
	Zone *time.Location
}

// Next is the first time after another at which the schedule is due. Only a schedule without intervals is never due: false.
func (s Schedule) Next(after time.Time) (time.Time, bool) {
	var next time.Time
	for _, i := range s.Intervals {
		if t := i.Next(after); next.IsZero() || t.Before(next) {
			next = t
		}
	}
	return next, len(s.Intervals) > 0
}

// Previous is the last time, up to and including another, at which the schedule was due; false if it never was.
func (s Schedule) Previous(at time.Time) (time.Time, bool) {
	var previous time.Time
	found := false
	for _, i := range s.Intervals {
		if t, ok := i.Previous(at); ok && (!found || t.After(previous)) {
			previous, found = t, true
		}
	}
	return previous, found
}

// TimesOfDay are the times of the day, in minutes since midnight by the clock of the zone, at which the schedule may be due. always
// says that there are intervals which go through the hours, so that it can be due at any time.
func (s Schedule) TimesOfDay() (minutes map[int]bool, always bool) {
	minutes = map[int]bool{}
	for _, i := range s.Intervals {
		_, step := i.daily()
		if p := i.Every; step == 0 && p.Seconds%day != 0 {
			return nil, true
		}
		hour, minute, second := i.Start.Clock()
		start := 3600*hour + 60*minute + second
		if step == 0 {
			step = day
		}
		for at := start; at < start+day; at += step {
			minutes[at%day/60] = true
		}
	}
	return minutes, false
}
