package schedule

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Period is an ISO-8601 duration: P7D, P1M, PT4H, P1DT12H. Its parts are kept apart, for a month or a day has no fixed length.
type Period struct {
	// Months holds years too, and Days weeks.
	Months, Days int
	// Seconds holds hours and minutes too.
	Seconds int
}

// maxParts bounds each number of a period: nothing is longer than a thousand years.
const maxParts = 6

var periodForm = regexp.MustCompile(`^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$`)

// ParsePeriod reads a duration. It is more than nothing, and at most a thousand years.
func ParsePeriod(text string) (Period, error) {
	refuse := func(problem string) (Period, error) {
		return Period{}, coffer.Errorf(coffer.CodeInvalidInput, "%s is not an ISO-8601 duration: %s", shown(text), problem).
			WithHint("write P7D for seven days, P1M for a month, PT4H for four hours, PT30M for thirty minutes")
	}
	match := periodForm.FindStringSubmatch(text)
	switch {
	case text == "":
		return refuse("it is empty")
	case match == nil && strings.ContainsAny(text, ".,"):
		return refuse("its numbers are whole: half an hour is PT30M")
	case match == nil && strings.ToUpper(text) != text && periodForm.MatchString(strings.ToUpper(text)):
		return refuse("its letters are capitals")
	case match == nil && strings.Contains(text, "-") && periodForm.MatchString(strings.NewReplacer("-", "").Replace(text)):
		return refuse("it is negative: write it without the minus")
	case match == nil && !strings.HasPrefix(text, "P"):
		return refuse("it begins with P")
	case match == nil:
		return refuse("it goes P, years Y, months M, weeks W, days D, T, hours H, minutes M, seconds S")
	case text == "P" || strings.HasSuffix(text, "T"):
		return refuse("a number is missing")
	}
	number := func(i int) int {
		n, _ := strconv.Atoi(match[i]) // a part that is left out is 0
		return n
	}
	for _, part := range []int{1, 2, 3, 4, 6, 7, 8} {
		if len(match[part]) > maxParts {
			return refuse("it is longer than a thousand years")
		}
	}
	p := Period{
		Months:  12*number(1) + number(2),
		Days:    7*number(3) + number(4),
		Seconds: 3600*number(6) + 60*number(7) + number(8),
	}
	switch longest := p.atMost(); {
	case longest == 0:
		return refuse("it is of no length")
	case longest > 1000*372*day:
		return refuse("it is longer than a thousand years")
	}
	return p, nil
}

const day = 24 * 60 * 60

// atLeast and atMost bound the period's length in seconds: the shortest month has 28 days, the longest 31.
func (p Period) atLeast() int { return p.Months*28*day + p.Days*day + p.Seconds }
func (p Period) atMost() int  { return p.Months*31*day + p.Days*day + p.Seconds }

// Shorter says whether a period can be shorter than a time: a month has 28 days then.
func (p Period) Shorter(than time.Duration) bool { return p.atLeast() < int(than/time.Second) }

// OverHalf says whether a period can be longer than half of another.
func (p Period) OverHalf(of Period) bool { return 2*p.atMost() > of.atLeast() }

// Longest is how long a period can be, if that is not more than a time.Duration holds: 290 years.
func (p Period) Longest() time.Duration { return time.Duration(p.atMost()) * time.Second }

// reference is from when periods are measured: no year of four is a leap year for twelve months from here.
var reference = time.Date(2001, time.January, 1, 0, 0, 0, 0, time.UTC)

// InDays is how many whole days a period has, in a year that is no leap year.
func (p Period) InDays() int { return int((p.After(reference).Unix() - reference.Unix()) / day) }

// Less says whether a period is shorter than another, in a year that is no leap year.
func (p Period) Less(other Period) bool { return p.After(reference).Before(other.After(reference)) }

// After is when a period that begins at a time ends: months and days by the calendar of the time's zone, and the rest as it
// passes. A month from the 31st ends with the last day of the next month.
func (p Period) After(t time.Time) time.Time { return p.times(1).after(t) }

// times is a period that is repeated.
func (p Period) times(n int) Period {
	return Period{Months: n * p.Months, Days: n * p.Days, Seconds: n * p.Seconds}
}

func (p Period) after(t time.Time) time.Time {
	if p.Months != 0 || p.Days != 0 {
		year, month, d := t.Date()
		first := time.Date(year, month+time.Month(p.Months), 1, 0, 0, 0, 0, time.UTC)
		d = min(d, daysIn(first)) + p.Days
		hour, minute, second := t.Clock()
		t = resolve(time.Date(first.Year(), first.Month(), d, hour, minute, second, t.Nanosecond(), time.UTC), t.Location())
	}
	// In two steps: a thousand years are more than a time.Duration holds.
	days, seconds := p.Seconds/day, p.Seconds%day
	for ; days > 0; days -= min(days, 100_000) {
		t = t.Add(time.Duration(min(days, 100_000)) * day * time.Second)
	}
	return t.Add(time.Duration(seconds) * time.Second)
}

func daysIn(month time.Time) int {
	return time.Date(month.Year(), month.Month()+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// resolve is the moment at which the clock of a zone shows what a time in UTC shows. A time that it shows twice is the first of
// the two; one that it leaves out, when it is put forward, is as much later.
func resolve(wall time.Time, zone *time.Location) time.Time {
	shift := func(at time.Time) time.Duration {
		_, seconds := at.In(zone).Zone()
		return time.Duration(seconds) * time.Second
	}
	before, after := shift(wall.Add(-day*time.Second)), shift(wall.Add(day*time.Second))
	first, second := wall.Add(-before), wall.Add(-after)
	switch firstHolds, secondHolds := shift(first) == before, shift(second) == after; {
	case firstHolds && secondHolds && second.Before(first):
		return second.In(zone)
	case firstHolds || !secondHolds:
		return first.In(zone)
	}
	return second.In(zone)
}

// shown is a text that somebody has sent, or its beginning.
func shown(text string) string {
	const most = 100
	if len(text) > most {
		return strconv.Quote(strings.ToValidUTF8(text[:most], "")) + "..."
	}
	return strconv.Quote(text)
}
