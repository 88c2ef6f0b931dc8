package schedule

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func mustZone(t testing.TB, name string) *time.Location {
	t.Helper()
	zone, err := Zone(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func mustInterval(t testing.TB, text, zone string) Interval {
	t.Helper()
	i, err := ParseInterval(text, mustZone(t, zone), Shortest)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func mustTime(t testing.TB, text string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestOccurrences(t *testing.T) {
	for _, tt := range []struct {
		name, interval, zone, after string
		want                        []string
	}{
		{"AKS's template", "R/2023-01-04T09:00:00+00:00/PT4H", "", "2023-01-04T08:00:00Z", []string{"2023-01-04T09:00:00Z", "2023-01-04T13:00:00Z", "2023-01-04T17:00:00Z", "2023-01-04T21:00:00Z", "2023-01-05T01:00:00Z"}},
		{"at an occurrence the next one is next", "R/2023-01-04T09:00:00+00:00/PT4H", "", "2023-01-04T09:00:00Z", []string{"2023-01-04T13:00:00Z"}},
		{"years later", "R/2023-01-04T09:00:00+00:00/PT4H", "", "2026-11-21T12:59:59Z", []string{"2026-11-21T13:00:00Z"}},
		{"before it starts", "R/2030-01-01T00:00:00Z/P1D", "", "2026-01-01T00:00:00Z", []string{"2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z"}},
		{"a count says nothing", "R3/2026-01-01T00:00:00Z/P1D", "", "2026-06-01T00:00:00Z", []string{"2026-06-02T00:00:00Z"}},
		{"every five minutes", "R/2026-01-01T00:02:00Z/PT5M", "", "2026-01-01T00:02:00Z", []string{"2026-01-01T00:07:00Z", "2026-01-01T00:12:00Z"}},
		{"every week", "R/2026-11-15T02:00:00Z/P1W", "", "2026-11-15T02:00:00Z", []string{"2026-11-22T02:00:00Z", "2026-11-29T02:00:00Z"}},
		{"months by the calendar", "R/2026-01-31T02:00:00Z/P1M", "", "2026-01-31T02:00:00Z", []string{"2026-02-28T02:00:00Z", "2026-03-31T02:00:00Z", "2026-04-30T02:00:00Z"}},
		{"a quarter from a leap day", "R/2024-02-29T02:00:00Z/P3M", "", "2024-02-29T02:00:00Z", []string{"2024-05-29T02:00:00Z", "2024-08-29T02:00:00Z", "2024-11-29T02:00:00Z", "2025-02-28T02:00:00Z"}},
		{"a year from a leap day", "R/2024-02-29T02:00:00Z/P1Y", "", "2026-12-31T02:00:00Z", []string{"2027-02-28T02:00:00Z", "2028-02-29T02:00:00Z"}},
		{"the longest is ten years", "R/2026-01-01T02:00:00Z/P10Y", "", "2026-12-31T02:00:00Z", []string{"2036-01-01T02:00:00Z"}},
		{"ten years in days", "R/2026-01-01T02:00:00Z/P3652D", "", "2026-12-31T02:00:00Z", []string{"2036-01-01T02:00:00Z"}},
		{"a day and a half", "R/2026-01-01T00:00:00Z/P1DT12H", "", "2026-01-01T00:00:00Z", []string{"2026-01-02T12:00:00Z", "2026-01-04T00:00:00Z"}},
		{"five hours do not divide a day", "R/2026-01-01T00:00:00Z/PT5H", "", "2026-01-01T19:00:00Z", []string{"2026-01-01T20:00:00Z", "2026-01-02T01:00:00Z"}},
		{"the start's offset is a moment", "R/2026-01-01T05:30:00+05:30/P1D", "", "2026-01-01T00:00:00Z", []string{"2026-01-02T00:00:00Z"}},
		{"a start without an offset is by the clock", "R/2026-01-01T02:30:00/P1D", "Europe/Berlin", "2026-01-01T00:00:00Z", []string{"2026-01-01T01:30:00Z", "2026-01-02T01:30:00Z"}},
		{"the clock goes forward: a day has 23 hours", "R/2026-01-01T04:00:00+01:00/P1D", "Europe/Berlin", "2026-03-27T12:00:00Z", []string{"2026-03-28T03:00:00Z", "2026-03-29T02:00:00Z", "2026-03-30T02:00:00Z"}},
		{"the time that is left out is as much later", "R/2026-01-01T02:30:00+01:00/P1D", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"the time that comes twice is the first", "R/2026-07-01T02:30:00+02:00/P1D", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		{"PT24H is a day", "R/2026-07-01T02:30:00+02:00/PT24H", "Europe/Berlin", "2026-10-25T12:00:00Z", []string{"2026-10-26T01:30:00Z"}},
		{"four hours by the clock, on the day of 23 hours", "R/2026-01-01T00:00:00+01:00/PT4H", "Europe/Berlin", "2026-03-28T22:00:00Z", []string{"2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z", "2026-03-29T07:00:00Z", "2026-03-29T11:00:00Z", "2026-03-29T15:00:00Z", "2026-03-29T19:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T02:00:00Z"}},
		{"four hours by the clock, on the day of 25 hours", "R/2026-07-01T00:00:00+02:00/PT4H", "Europe/Berlin", "2026-10-25T14:00:00Z", []string{"2026-10-25T18:00:00Z", "2026-10-25T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T03:00:00Z"}},
		{"a day that a zone has left out", "R/2011-12-28T12:00:00-10:00/P1D", "Pacific/Apia", "2011-12-29T22:00:00Z", []string{"2011-12-30T22:00:00Z", "2011-12-31T22:00:00Z"}},
		{"fractions of a second mean nothing", "R/2026-01-01T00:00:00.0000000+00:00/P1D", "", "2026-01-01T00:00:00Z", []string{"2026-01-02T00:00:00Z"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := mustInterval(t, tt.interval, tt.zone)
			at := mustTime(t, tt.after)
			for _, want := range tt.want {
				next := i.Next(at)
				if !next.Equal(mustTime(t, want)) {
					t.Fatalf("Next(%v) = %v, want %s", at, next.UTC(), want)
				}
				if previous, ok := i.Previous(next); !ok || !previous.Equal(next) {
					t.Errorf("Previous(%v) = %v, %v", next, previous, ok)
				}
				at = next
			}
		})
	}
}

func TestIntervalsThatAreNoneAreRefused(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"", "it has three parts"},
		{"R/PT4H", "it has no start: PT4H from when on? Write R/2026-01-31T02:30:00+00:00/PT4H"},
		{"R5/P1D", "Write R5/2026-01-31T02:30:00+00:00/P1D"},
		{"R//PT4H", "its start is empty"},
		{"R/2026-01-01T00:00:00Z", "it has three parts"},
		{"R/2026-01-01T00:00:00Z/PT4H/x", "it has three parts"},
		{"2026-01-01T00:00:00Z/PT4H", "it has three parts"},
		{"X/2026-01-01T00:00:00Z/PT4H", `it begins with "X": write R, or R5`},
		{"r/2026-01-01T00:00:00Z/PT4H", `it begins with "r": write R, or R5`},
		{" R/2026-01-01T00:00:00Z/PT4H", `it begins with " R": write R, or R5`},
		{"R-1/2026-01-01T00:00:00Z/PT4H", `it begins with "R-1": write R, or R5`},
		{"R/yesterday/PT4H", "is not a time such as"},
		{"R/2026-02-30T00:00:00Z/PT4H", "is not a time such as"},
		{"R/2026-01-01/PT4H", "is not a time such as"},
		{"R/1969-12-31T23:00:00Z/PT4H", "in the year 1969"},
		{"R/9999-01-01T00:00:00Z/PT4H", "in the year 9999"},
		{"R/2569-01-01T00:00:00+07:00/PT4H", "in the year 2569, and can be between 1970 and 2199, of the Gregorian calendar"},
		{"R/2026-01-01T00:00:00Z/PT4M59S", "shorter than 5 minutes"},
		{"R/2026-01-01T00:00:00Z/PT1S", "shorter than 5 minutes"},
		{"R/2026-01-01T00:00:00Z/P11Y", "longer than ten years"},
		{"R/2026-01-01T00:00:00Z/P10YT1S", "longer than ten years"},
		{"R/2026-01-01T00:00:00Z/P999Y", "longer than ten years"},
		{"R/2026-01-01T00:00:00Z/P999999Y", "with a period of PT5M to P10Y"},
		{"R/2026-01-01T00:00:00Z/-P1D", "it is negative"},
		{"R/2026-01-01T00:00:00Z/P-1D", "it is negative"},
		{"R/2026-01-01T00:00:00Z/4H", "is not an ISO-8601 duration"},
		{"R/2026-01-01T00:00:00Z/", "is not an ISO-8601 duration"},
		{"R/2026-01-01T00:00:00Z/PT4h", "its letters are capitals"},
		{"R" + strings.Repeat("9", 200) + "/2026-01-01T00:00:00Z/PT4H", "too long"},
	} {
		_, err := ParseInterval(tt.text, time.UTC, Shortest)
		if coffer.CodeOf(err) != coffer.CodeInvalidInput || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
		}
	}
}

func TestPeriodsThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{"", "P", "PT", "P1", "1D", "P1DT", "PT1D", "P-1D", "P1.5D", "PT0,5H", "P0D", "PT0S", "p1d", "P1S", "P1D1Y", "P9999999D", "P999999Y", "P1Y ", "PT999999H9999999S", "P½D", "P" + strings.Repeat("1", 10000) + "D"} {
		if p, err := ParsePeriod(text); coffer.CodeOf(err) != coffer.CodeInvalidInput {
			t.Errorf("%q is %+v, %v", text, p, err)
		} else if len(err.Error()) > 500 {
			t.Errorf("%q: the error has %d characters", text[:20], len(err.Error()))
		}
	}
}

func TestAPeriodEndsByTheCalendar(t *testing.T) {
	for _, tt := range []struct{ from, period, want string }{
		{"2026-01-31T12:00:00Z", "P1M", "2026-02-28T12:00:00Z"},
		{"2024-01-31T12:00:00Z", "P1M", "2024-02-29T12:00:00Z"},
		{"2026-01-31T12:00:00Z", "P1M1D", "2026-03-01T12:00:00Z"},
		{"2024-02-29T12:00:00Z", "P1Y", "2025-02-28T12:00:00Z"},
		{"2026-12-31T23:59:59Z", "P7D", "2027-01-07T23:59:59Z"},
		{"2026-12-31T23:59:59Z", "P2W", "2027-01-14T23:59:59Z"},
		{"2026-01-01T00:00:00Z", "PT36H", "2026-01-02T12:00:00Z"},
		{"2026-01-01T00:00:00Z", "PT999999H", "2140-01-30T15:00:00Z"},
		{"2026-01-01T00:00:00Z", "P999Y", "3025-01-01T00:00:00Z"},
	} {
		p, err := ParsePeriod(tt.period)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.After(mustTime(t, tt.from)); !got.Equal(mustTime(t, tt.want)) {
			t.Errorf("%s after %s is %v, want %s", tt.period, tt.from, got, tt.want)
		}
	}
}

func TestASchedulesIntervalsGoTogether(t *testing.T) {
	s := Schedule{Intervals: []Interval{mustInterval(t, "R/2026-01-01T02:00:00Z/P1D", ""), mustInterval(t, "R/2026-01-01T14:00:00Z/P1D", "")}, Zone: time.UTC}
	at := mustTime(t, "2026-05-01T02:00:00Z")
	for _, want := range []string{"2026-05-01T14:00:00Z", "2026-05-02T02:00:00Z", "2026-05-02T14:00:00Z"} {
		next, ok := s.Next(at)
		if previous, _ := s.Previous(next.Add(time.Second)); !ok || !next.Equal(mustTime(t, want)) || !previous.Equal(next) {
			t.Fatalf("Next(%v) = %v, and before that %v", at, next, previous)
		}
		at = next
	}
	if _, ok := s.Previous(mustTime(t, "2026-01-01T01:59:59Z")); ok {
		t.Error("a schedule was due before it started")
	}
	if _, ok := (Schedule{}).Next(at); ok {
		t.Error("a schedule without intervals is due")
	}
}

func TestTheTimesOfADay(t *testing.T) {
	for _, tt := range []struct {
		intervals []string
		zone      string
		want      []int
		any       bool
	}{
		{[]string{"R/2026-01-01T02:30:00Z/P1D"}, "", []int{150}, false},
		{[]string{"R/2026-01-01T02:30:00Z/P1M", "R/2026-01-01T02:30:00Z/PT48H"}, "Europe/Berlin", []int{210}, false},
		{[]string{"R/2026-01-01T22:30:00Z/PT6H"}, "", []int{270, 630, 990, 1350}, false},
		{[]string{"R/2026-01-01T22:30:00Z/PT6H", "R/2026-01-01T02:30:00Z/P1D"}, "", []int{150, 270, 630, 990, 1350}, false},
		{[]string{"R/2026-01-01T22:30:00Z/PT5H"}, "", nil, true},
		{[]string{"R/2026-01-01T22:30:00Z/P1DT5M"}, "", nil, true},
	} {
		s := Schedule{Zone: mustZone(t, tt.zone)}
		for _, text := range tt.intervals {
			s.Intervals = append(s.Intervals, mustInterval(t, text, tt.zone))
		}
		minutes, all := s.TimesOfDay()
		if got := slices.Sorted(maps.Keys(minutes)); !slices.Equal(got, tt.want) || all != tt.any {
			t.Errorf("%q: %v, %v", tt.intervals, got, all)
		}
	}
}

// clock is what the clock of a zone shows in each minute of some years, for the brute force of the tests.
type clock struct {
	from    int64
	shows   []int64
	minutes map[int64]int
}

func newClock(zone *time.Location, from time.Time, years int) clock {
	c := clock{from: from.Unix() / 60, minutes: map[int64]int{}}
	for m := range years * 366 * 24 * 60 {
		_, shift := time.Unix((c.from+int64(m))*60, 0).In(zone).Zone()
		shown := c.from + int64(m) + int64(shift)/60
		if _, again := c.minutes[shown]; !again {
			c.minutes[shown] = m
		}
		c.shows = append(c.shows, shown)
	}
	return c
}

// when is the minute in which the clock shows something first, or as much later as it has jumped over it.
func (c clock) when(shown int64) (time.Time, bool) {
	if shown < c.shows[0] || shown > c.shows[len(c.shows)-1] {
		return time.Time{}, false
	}
	m, ok := c.minutes[shown]
	for jump := shown; !ok; jump-- {
		if m, ok = c.minutes[jump]; ok {
			m += int(shown - jump)
		}
	}
	return time.Unix((c.from+int64(m))*60, 0), true
}

// TestNextAndPreviousAreThoseOfBruteForce counts minute by minute through years.
func TestNextAndPreviousAreThoseOfBruteForce(t *testing.T) {
	random := rand.New(rand.NewPCG(6, 2026)) //nolint:gosec // The same times every time, and no secret in them.
	from := mustTime(t, "2025-01-01T00:00:00Z")
	for _, name := range []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca"} {
		zone := mustZone(t, name)
		c := newClock(zone, from.AddDate(0, 0, -3), 2)
		for range 4 {
			start := from.Add(time.Duration(random.IntN(200*24*60)) * time.Minute).In(zone)
			for _, p := range []Period{{Days: 1}, {Days: 7}, {Days: 1 + random.IntN(40)}, {Months: 1}, {Months: 1 + random.IntN(11)}, {Seconds: 4 * 3600}, {Seconds: 12 * 3600}, {Seconds: 1800}, {Seconds: 5 * 3600}, {Seconds: 100 * 60}, {Seconds: day}} {
				i := Interval{Start: start, Every: p}
				all := brute(c, i)
				if len(all) < 2 {
					t.Fatalf("%+v: brute force finds %d occurrences", i, len(all))
				}
				compare(t, name, i, all, random)
			}
		}
	}
}

func compare(t *testing.T, zone string, i Interval, all []time.Time, random *rand.Rand) {
	t.Helper()
	end := all[len(all)-1]
	for range 40 {
		at := i.Start.Add(-time.Hour).Add(time.Duration(random.Int64N(int64(end.Sub(i.Start)))))
		if random.IntN(3) == 0 {
			at = all[random.IntN(len(all)-1)]
		}
		n, exact := slices.BinarySearchFunc(all, at, time.Time.Compare)
		if exact {
			n++
		}
		if next := i.Next(at); !next.Equal(all[n]) {
			t.Fatalf("%s %+v: Next(%v) = %v, want %v", zone, i, at.In(i.Start.Location()), next, all[n].In(i.Start.Location()))
		}
		previous, ok := i.Previous(at)
		if ok != (n > 0) || ok && !previous.Equal(all[n-1]) {
			t.Fatalf("%s %+v: Previous(%v) = %v, %v", zone, i, at.In(i.Start.Location()), previous, ok)
		}
	}
}

// brute lists all occurrences that the clock covers.
func brute(c clock, i Interval) []time.Time {
	p := i.Every
	if p.Seconds > 0 && day%p.Seconds != 0 {
		var all []time.Time
		for at := i.Start; at.Unix()/60 < c.from+int64(len(c.shows))-3*24*60; at = at.Add(time.Duration(p.Seconds) * time.Second) {
			all = append(all, at)
		}
		return all
	}
	step := p
	if p.Seconds > 0 {
		step = Period{Days: 1}
	}
	year, month, d := i.Start.Date()
	hour, minute, _ := i.Start.Clock()
	var anchors []time.Time
	for n := 0; ; n++ {
		last := time.Date(year, month+time.Month(n*step.Months)+1, 0, 0, 0, 0, 0, time.UTC)
		shown := time.Date(last.Year(), last.Month(), min(d, last.Day())+n*step.Days, hour, minute, 0, 0, time.UTC)
		at, ok := c.when(shown.Unix() / 60)
		if !ok {
			break
		}
		anchors = append(anchors, at)
	}
	anchors[0] = i.Start
	if p.Seconds == 0 || p.Seconds == day {
		return anchors
	}
	var all []time.Time
	for n := range len(anchors) - 1 {
		for at := anchors[n]; at.Before(anchors[n+1]); at = at.Add(time.Duration(p.Seconds) * time.Second) {
			all = append(all, at)
		}
	}
	return all
}

// TestNoTwoOccurrencesAreFurtherApartThanThePeriod holds that a clock put back makes no gap for periods within a day.
func TestNoTwoOccurrencesAreFurtherApartThanThePeriod(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Cairo"} {
		for _, period := range []string{"PT5M", "PT1H", "PT4H", "PT12H"} {
			i := mustInterval(t, "R/2026-01-01T02:30:00/"+period, zone)
			at := i.Start
			for n := 0; n < 3000 || period != "PT5M" && at.Year() < 2027; n++ {
				next := i.Next(at)
				if gap := next.Sub(at); gap <= 0 || gap > time.Duration(i.Every.Seconds)*time.Second {
					t.Fatalf("%s %s: after %v comes %v", zone, period, at, next)
				}
				at = next
			}
		}
	}
}

func FuzzInterval(f *testing.F) {
	for _, seed := range []string{"R/2023-01-04T09:00:00+00:00/PT4H", "R/PT4H", "R5/2026-01-31T02:30:00/P1M", "R/2024-02-29T00:00:00Z/P1Y2M3W4DT5H6M7S", "//", "R/2199-12-31T23:59:59-12:00/P10Y", "R/1970-01-01T00:00:00Z/PT5M"} {
		for _, zone := range []string{"", "Europe/Berlin", "Pacific/Apia"} {
			f.Add(seed, zone, int64(1_800_000_000))
		}
	}
	f.Fuzz(func(t *testing.T, text, name string, seconds int64) {
		zone, err := Zone(name)
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeInvalidInput {
				t.Fatalf("%q: %v", name, err)
			}
			return
		}
		i, err := ParseInterval(text, zone, Shortest)
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeInvalidInput {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		at := time.Unix(seconds%10_000_000_000, 0)
		next := i.Next(at)
		if !next.After(at) {
			t.Fatalf("%q: Next(%v) = %v", text, at, next)
		}
		if previous, ok := i.Previous(next); !ok || !previous.Equal(next) {
			t.Fatalf("%q: Previous(%v) = %v, %v", text, next, previous, ok)
		}
		if previous, ok := i.Previous(at); ok && (previous.After(at) || !i.Next(previous).Equal(next)) {
			t.Fatalf("%q: %v lies between %v and %v, and after that comes %v", text, at, previous, next, i.Next(previous))
		}
	})
}
