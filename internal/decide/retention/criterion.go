package retention

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// Criterion says which recovery points get a tag: all that is set has to hold, and of each list one element.
type Criterion struct {
	First []First
	// Days of the month by their numbers; LastDay is the last, whatever its number.
	Days     []int
	LastDay  bool
	Weekdays []time.Weekday
	// Weeks of the month count the days of a name: the second Sunday is of week 2. LastWeek has the last of each.
	Weeks    []int
	LastWeek bool
	Months   []time.Month
	// Times of the day at which the backup was scheduled, in minutes since midnight by the clock of the policy's zone.
	Times []int
}

// First is a period of which a recovery point is the first one.
type First string

// The periods. All is none: every recovery point will do.
const (
	All        First = "AllBackup"
	FirstDay   First = "FirstOfDay"
	FirstWeek  First = "FirstOfWeek"
	FirstMonth First = "FirstOfMonth"
	FirstYear  First = "FirstOfYear"
)

const scheduleTimeHint = "write a time at which the schedule is due, such as 2026-01-31T02:30:00+00:00"

// criterion reads one. Words that are none have been refused with the form.
func (r *reader) criterion(at string, c *arm.Criterion) Criterion {
	var read Criterion
	for _, w := range c.AbsoluteCriteria {
		if known := w.Canonical(arm.AllBackup, arm.FirstOfDay, arm.FirstOfWeek, arm.FirstOfMonth, arm.FirstOfYear); known != "" {
			read.First = append(read.First, First(known))
		}
	}
	for _, i := range places(c.DaysOfTheWeek, arm.WeekDays()) {
		read.Weekdays = append(read.Weekdays, time.Weekday(i))
	}
	for _, i := range places(c.MonthsOfYear, arm.Months()) {
		read.Months = append(read.Months, time.Month(i+1))
	}
	for _, i := range places(c.WeeksOfTheMonth, arm.WeeksOfMonth()) {
		if i == len(arm.WeeksOfMonth())-1 {
			read.LastWeek = true
		} else {
			read.Weeks = append(read.Weeks, i+1)
		}
	}
	r.days(arm.At(at, "daysOfMonth"), c.DaysOfMonth, &read)
	if !r.limits.Judged && !read.comes() {
		r.Addf(at, "leave out what does not go together of daysOfMonth, weeksOfTheMonth and monthsOfYear", "is for days that never come")
	}
	for i, text := range c.ScheduleTimes {
		minute, ok := r.policy.timeOfDay(text)
		if !ok {
			r.Addf(arm.Item(arm.At(at, "scheduleTimes"), i), scheduleTimeHint, "is %s", shown(text))
		} else if r.times != nil && !r.times[minute] {
			r.Addf(arm.Item(arm.At(at, "scheduleTimes"), i), scheduleTimeHint, "is %02d:%02d by the clock of the policy's time zone, and no backup is scheduled for that", minute/60, minute%60)
		}
		read.Times = append(read.Times, minute)
	}
	if len(c.AbsoluteCriteria)+len(c.DaysOfTheWeek)+len(c.MonthsOfYear)+len(c.WeeksOfTheMonth)+len(c.DaysOfMonth)+len(c.ScheduleTimes) == 0 {
		r.Addf(at, `write "absoluteCriteria": ["FirstOfDay"], or days, weeks, months or times`, "says nothing")
	}
	return read
}

// comes says whether there are days for which a criterion is. Months have the same days every year but for one, and each day is one of every name
// in some year: those of a leap year and of another one are all.
func (c Criterion) comes() bool {
	if len(c.Days) == 0 && !c.LastDay {
		return true
	}
	c.Weekdays = nil
	for day := time.Date(2023, time.January, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2025; day = day.AddDate(0, 0, 1) {
		_, month := c.month(day, time.Time{})
		_, number := c.dayOfMonth(day, time.Time{})
		if _, week := c.week(day, time.Time{}); month && number && week {
			return true
		}
	}
	return false
}

// places are where words stand in a list.
func places(words, among []arm.Word) []int {
	var found []int
	for _, w := range words {
		if i := slices.IndexFunc(among, w.Is); i >= 0 {
			found = append(found, i)
		}
	}
	return found
}

func (r *reader) days(at string, days []arm.DayOfMonth, into *Criterion) {
	for i, d := range days {
		date, last := int64(0), d.IsLast != nil && *d.IsLast
		if d.Date != nil {
			date = *d.Date
		}
		switch {
		// Clients that mean the last day send 0 as its date.
		case last && date == 0:
			into.LastDay = true
		case last:
			r.Addf(arm.Item(at, i), `write "date" or "isLast": true, each in an element of its own`, "is both the last day and day %d", date)
		case date < 1 || date > 31:
			r.Addf(arm.At(arm.Item(at, i), "date"), `days are 1 to 31; the last is "isLast": true`, "is %d", date)
		default:
			into.Days = append(into.Days, int(date))
		}
	}
}

// timeOfDay reads a time by the clock of the policy's zone, in minutes since midnight.
func (p Policy) timeOfDay(text string) (int, bool) {
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(form, text); err == nil {
			return minuteOf(t.In(p.zone())), true
		}
	}
	for _, form := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "15:04:05", "15:04"} {
		if t, err := time.Parse(form, text); err == nil {
			return minuteOf(t), true
		}
	}
	return 0, false
}

func minuteOf(t time.Time) int { return 60*t.Hour() + t.Minute() }

// zone is that by whose clock days begin.
func (p Policy) zone() *time.Location {
	if p.Schedule.Zone == nil {
		return time.UTC
	}
	return p.Schedule.Zone
}

// holds says whether a backup that was scheduled for a time gets the tag, and why. previous is the latest one before it; zero is
// none. Both are in the zone of the policy.
func (c Criterion) holds(slot schedule.Slot, at, previous time.Time) (string, bool) {
	if len(c.Times) == 0 {
		return c.dateHolds(at, previous)
	}
	for _, minute := range c.Times {
		moment, ok := slot.StandsFor(minute)
		if !ok {
			continue
		}
		reason := fmt.Sprintf("it was scheduled for %02d:%02d", minute/60, minute%60)
		if more, ok := c.dateHolds(moment, previous); ok {
			return strings.TrimPrefix(more+", "+reason, ", "), true
		}
	}
	return "", false
}

// dateHolds is holds for all but the time of the day.
func (c Criterion) dateHolds(at, previous time.Time) (string, bool) {
	var why []string
	for _, test := range []func(at, previous time.Time) (string, bool){c.first, c.week, c.dayOfMonth, c.month} {
		reason, ok := test(at, previous)
		if !ok {
			return "", false
		}
		if reason != "" {
			why = append(why, reason)
		}
	}
	return strings.Join(why, ", "), true
}

// date is the day of a time as a value that can be counted with.
func date(t time.Time) time.Time {
	year, month, day := t.Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// period is the day with which the period of a recovery point begins, and what the period is called.
func (f First) period(t time.Time) (time.Time, string) {
	day := date(t)
	switch f {
	case FirstWeek:
		sunday := day.AddDate(0, 0, -int(day.Weekday()))
		return sunday, "the week from Sunday " + sunday.Format(time.DateOnly)
	case FirstMonth:
		return day.AddDate(0, 0, 1-day.Day()), day.Format("January 2006")
	case FirstYear:
		return day.AddDate(0, 0, 1-day.YearDay()), day.Format("2006")
	}
	return day, day.Format(time.DateOnly)
}

func (c Criterion) first(at, previous time.Time) (string, bool) {
	for _, f := range c.First {
		if f == All {
			return "it is for all", true
		}
		begins, name := f.period(at)
		if earlier, _ := f.period(previous); previous.IsZero() || !earlier.Equal(begins) {
			return "it is the first of " + name, true
		}
	}
	return "", len(c.First) == 0
}

// week looks at the day's name and at which of its name it is in the month.
func (c Criterion) week(at, _ time.Time) (string, bool) {
	if len(c.Weekdays) > 0 && !slices.Contains(c.Weekdays, at.Weekday()) {
		return "", false
	}
	reason := ""
	if len(c.Weekdays) > 0 {
		reason = "it is of a " + at.Weekday().String()
	}
	if len(c.Weeks) == 0 && !c.LastWeek {
		return reason, true
	}
	day := date(at)
	number, last := (day.Day()-1)/7+1, day.AddDate(0, 0, 7).Month() != day.Month()
	switch {
	case slices.Contains(c.Weeks, number):
		return fmt.Sprintf("it is of the %s %s of the month", arm.WeeksOfMonth()[number-1], at.Weekday()), true
	case c.LastWeek && last:
		return fmt.Sprintf("it is of the last %s of the month", at.Weekday()), true
	}
	return "", false
}

func (c Criterion) dayOfMonth(at, _ time.Time) (string, bool) {
	day := date(at)
	switch {
	case len(c.Days) == 0 && !c.LastDay:
		return "", true
	case slices.Contains(c.Days, day.Day()):
		return fmt.Sprintf("it is of day %d of the month", day.Day()), true
	case c.LastDay && day.AddDate(0, 0, 1).Day() == 1:
		return "it is of the last day of the month", true
	}
	return "", false
}

func (c Criterion) month(at, _ time.Time) (string, bool) {
	if len(c.Months) == 0 {
		return "", true
	}
	return "it is of " + at.Month().String(), slices.Contains(c.Months, at.Month())
}
