package schedule

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Interval is an ISO-8601 repeating interval R/START/PERIOD: it occurs at its start, and after each period since.
//
// Months and days are counted by the calendar and the clock of the start's zone: P1D from 02:30 is 02:30 by the clock, all year
// round. A day that has no such month's end has the last there is. A period of hours and minutes that divides a day begins anew
// each day at the start's time of day, so that PT4H from 02:30 is 02:30, 06:30 ... in summer as in winter; where the clock is
// put forward or back the last period of that day is shorter, never longer. Any other period of hours is counted as time passes.
type Interval struct {
	Start time.Time
	Every Period
}

// Shortest is the shortest period of an interval.
const Shortest = 5 * time.Minute

// Bounds of an interval. The earliest and the latest start are what anybody could mean.
const (
	firstYear = 1970
	lastYear  = 2199
	maxYears  = 10
)

const intervalHint = "write R/START/PERIOD, such as R/2026-01-31T02:30:00+00:00/PT4H for every four hours from then on, with a period of PT5M to P10Y"

var repeatForm = regexp.MustCompile(`^R\d{0,18}$`)

// ParseInterval reads a repeating interval whose start is in a zone. A count after the R is ignored, as Azure does: intervals go on
// for ever. A start without an offset is by the zone's clock. shortest is that of its period: Shortest, but for tests.
func ParseInterval(text string, zone *time.Location, shortest time.Duration) (Interval, error) {
	refuse := func(problem string) (Interval, error) {
		return Interval{}, coffer.Errorf(coffer.CodeInvalidInput, "%s is not a repeating interval: %s", shown(text), problem).WithHint(intervalHint)
	}
	const longestText = 100
	parts := strings.Split(text, "/")
	switch {
	case len(text) > longestText:
		return refuse("it is too long")
	case len(parts) == 2 && repeatForm.MatchString(parts[0]) && strings.HasPrefix(parts[1], "P"):
		return refuse("it has no start: " + parts[1] + " from when on? Write " + parts[0] + "/2026-01-31T02:30:00+00:00/" + parts[1])
	case len(parts) != 3:
		return refuse("it has three parts, with a / between them")
	case !repeatForm.MatchString(parts[0]):
		return refuse("it begins with " + shown(parts[0]) + ": write R, or R5, which means the same")
	}
	start, err := parseStart(parts[1], zone)
	if err != nil {
		return refuse(err.Error())
	}
	every, err := ParsePeriod(parts[2])
	switch {
	case err != nil:
		return refuse(err.Error())
	case (Period{Months: 12 * maxYears}).Less(every):
		return refuse("its period is longer than ten years")
	case every.Shorter(shortest):
		return refuse(fmt.Sprintf("its period is shorter than %.0f minutes; PT%.0[1]fM is the shortest", shortest.Minutes()))
	}
	return Interval{Start: start, Every: every}, nil
}

// startForms are the ways to write a start, with and without an offset.
var (
	startForms = []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05Z0700"}
	localForms = []string{"2006-01-02T15:04:05", "2006-01-02T15:04"}
)

func parseStart(text string, zone *time.Location) (time.Time, error) {
	start, ok := time.Time{}, false
	year := 0 // as it is written
	for _, form := range startForms {
		if t, err := time.Parse(form, text); err == nil {
			start, ok, year = t.In(zone), true, t.Year()
			break
		}
	}
	for _, form := range localForms {
		if t, err := time.Parse(form, text); err == nil && !ok {
			start, ok, year = resolve(t, zone), true, t.Year()
		}
	}
	switch {
	case text == "":
		return start, coffer.Errorf(coffer.CodeInvalidInput, "its start is empty")
	case !ok:
		return start, coffer.Errorf(coffer.CodeInvalidInput, "its start %s is not a time such as 2026-01-31T02:30:00+00:00", shown(text))
	case year < firstYear || year > lastYear:
		return start, coffer.Errorf(coffer.CodeInvalidInput, "its start is in the year %d, and can be between %d and %d, of the Gregorian calendar", year, firstYear, lastYear)
	}
	// What is finer than a second is nothing that a schedule means.
	return start.Truncate(time.Second), nil
}

// Next is the first occurrence after a time.
func (i Interval) Next(after time.Time) time.Time {
	if after.Before(i.Start) {
		return i.Start
	}
	if daily, seconds := i.daily(); seconds > 0 {
		n := daily.last(after)
		anchor, following := daily.at(n), daily.at(n+1)
		if next := anchor.Add(elapsed(anchor, after, seconds) + time.Duration(seconds)*time.Second); next.Before(following) {
			return next
		}
		return following
	}
	for n := i.last(after) + 1; ; n++ {
		// Where a zone has left a whole day out, two occurrences are one.
		if next := i.at(n); next.After(after) {
			return next
		}
	}
}

// Previous is the last occurrence at a time or before it; false if there is none, for the interval starts later.
func (i Interval) Previous(at time.Time) (time.Time, bool) {
	if at.Before(i.Start) {
		return time.Time{}, false
	}
	if daily, seconds := i.daily(); seconds > 0 {
		anchor := daily.at(daily.last(at))
		return anchor.Add(elapsed(anchor, at, seconds)), true
	}
	return i.at(i.last(at)), true
}

// daily is the interval that begins each day anew, and the seconds after which the given one occurs within a day; 0 if it is not of
// such a kind.
func (i Interval) daily() (Interval, int) {
	p := i.Every
	if p.Months != 0 || p.Days != 0 || p.Seconds == 0 || day%p.Seconds != 0 || p.Seconds == day {
		return Interval{}, 0
	}
	return Interval{Start: i.Start, Every: Period{Days: 1}}, p.Seconds
}

// elapsed is the longest time of whole periods that has passed.
func elapsed(from, to time.Time, seconds int) time.Duration {
	period := time.Duration(seconds) * time.Second
	return to.Sub(from).Truncate(period)
}

// at is the nth occurrence, the start being number 0.
func (i Interval) at(n int) time.Time {
	p := i.Every
	if p.Months == 0 && p.Seconds%day == 0 {
		// PT24H is a day.
		p = Period{Days: p.Days + p.Seconds/day}
	}
	return p.times(n).after(i.Start)
}

// last is the number of the last occurrence at a time or before it, which is not before the start.
func (i Interval) last(at time.Time) int {
	// By its usual length a period is counted to within one or two: a schedule of years is gone through in as many steps as it has slots.
	const month = 30.436875 * day
	p := i.Every
	usual := float64(p.Months)*month + float64(p.Days*day+p.Seconds)
	n := int(float64(at.Unix()-i.Start.Unix()) / usual)
	for n > 0 && i.at(n).After(at) {
		n--
	}
	for !i.at(n + 1).After(at) {
		n++
	}
	return n
}
