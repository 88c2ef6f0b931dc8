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

// Slot is a time at which a schedule is due, and what it stands for.
type Slot struct {
	at time.Time
	// hourly are the intervals that go through the hours and are due at it.
	hourly []hours
}

// hours are the times of the day of an interval, and when it was due before.
type hours struct {
	times map[int]bool
	since time.Time
}

// Slot is what is due at a time.
func (s Schedule) Slot(at time.Time) Slot {
	slot := Slot{at: at.In(s.Zone)}
	for _, i := range s.Intervals {
		if _, step := i.daily(); step == 0 {
			continue
		}
		due, ok := i.Previous(at)
		since, again := i.Previous(at.Add(-1))
		if ok && again && due.Equal(at) {
			times, _ := Schedule{Intervals: []Interval{i}}.TimesOfDay()
			slot.hourly = append(slot.hourly, hours{times, since})
		}
	}
	return slot
}

// StandsFor says whether what is due is what is scheduled for a time of the day, in minutes since midnight, and when that is. An
// interval that goes through the hours is due earlier or later than its times of the day on one on which the clock is changed: the
// first that is due after such a time stands for it, even if that is on the next day.
func (s Slot) StandsFor(minute int) (time.Time, bool) {
	since := s.at.Add(-time.Minute)
	for _, h := range s.hourly {
		if h.times[minute] && h.since.Before(since) {
			since = h.since
		}
	}
	year, month, day := s.at.Date()
	for _, d := range []int{day, day - 1} {
		moment := resolve(time.Date(year, month, d, 0, minute, 0, 0, time.UTC), s.at.Location())
		if moment.After(since) && !moment.After(s.at) {
			return moment, true
		}
	}
	return time.Time{}, false
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
