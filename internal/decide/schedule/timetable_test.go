package schedule

import (
	"fmt"
	"testing"
	"time"
)

// mustTimetable builds one of intervals, and of windows written START DURATION.
func mustTimetable(t testing.TB, zone string, spread time.Duration, intervals []string, windows ...[2]string) Timetable {
	t.Helper()
	table := Timetable{Schedule: Schedule{Zone: mustZone(t, zone)}, Spread: spread}
	for _, text := range intervals {
		table.Schedule.Intervals = append(table.Schedule.Intervals, mustInterval(t, text, zone))
	}
	for _, w := range windows {
		start := mustInterval(t, w[0], zone)
		length, err := ParseDuration(w[1], start)
		if err != nil {
			t.Fatal(err)
		}
		table.Windows = append(table.Windows, Window{Start: start, For: length})
	}
	return table
}

// TestSchedulesOfAKSBackup are those that Azure's pages, its command line and Terraform's documentation have.
func TestSchedulesOfAKSBackup(t *testing.T) {
	for _, tt := range []struct {
		name, interval string
		yearly         int
		want           []string
	}{
		{"every four hours", "R/2023-01-04T09:00:00+00:00/PT4H", 6 * 365, []string{"2026-01-01T01:00:00Z", "2026-01-01T05:00:00Z", "2026-01-01T09:00:00Z"}},
		{"every six hours", "R/2023-01-04T09:00:00+00:00/PT6H", 4 * 365, []string{"2026-01-01T03:00:00Z", "2026-01-01T09:00:00Z", "2026-01-01T15:00:00Z"}},
		{"every eight hours", "R/2023-01-04T09:00:00+00:00/PT8H", 3 * 365, []string{"2026-01-01T01:00:00Z", "2026-01-01T09:00:00Z", "2026-01-01T17:00:00Z"}},
		{"every twelve hours", "R/2023-01-04T09:00:00+00:00/PT12H", 2 * 365, []string{"2026-01-01T09:00:00Z", "2026-01-01T21:00:00Z"}},
		{"every day", "R/2024-01-01T00:00:00+00:00/P1D", 365, []string{"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"}},
		{"every twenty-four hours", "R/2024-01-01T00:00:00+00:00/PT24H", 365, []string{"2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"}},
		{"every week", "R/2023-05-23T02:30:00+00:00/P1W", 52, []string{"2026-01-06T02:30:00Z", "2026-01-13T02:30:00Z"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := mustTimetable(t, "Coordinated Universal Time", DefaultSpread, []string{tt.interval})
			at, end, n := mustTime(t, "2026-01-01T00:00:00Z"), mustTime(t, "2027-01-01T00:00:00Z"), 0
			for ; at.Before(end.Add(time.Second)); n++ {
				next, ok := table.Next(at)
				if !ok || n < len(tt.want) && !next.Equal(mustTime(t, tt.want[n])) {
					t.Fatalf("after %v comes %v", at, next)
				}
				if start := table.Start(next, "an instance"); start.Before(next) || start.Sub(next) >= DefaultSpread {
					t.Fatalf("the slot %v starts at %v", next, start)
				}
				at = next
			}
			if n--; n != tt.yearly {
				t.Errorf("%d slots in a year, want %d", n, tt.yearly)
			}
		})
	}
}

func TestSlotsOutsideOfWindows(t *testing.T) {
	christmas := [2]string{"R/2020-12-24T00:00:00/P1Y", "P3D"}
	for _, tt := range []struct {
		name, zone, interval string
		windows              [][2]string
		after                string
		want                 []string
	}{
		{"Christmas", "UTC", "R/2026-01-01T02:00:00/P1D", [][2]string{christmas}, "2026-12-22T12:00:00Z", []string{"2026-12-23T02:00:00Z", "2026-12-27T02:00:00Z"}},
		{"a window over the border of the year", "UTC", "R/2026-01-01T02:00:00/P1D", [][2]string{{"R/2026-12-31T00:00:00/P1Y", "P2D"}}, "2026-12-30T12:00:00Z", []string{"2027-01-02T02:00:00Z"}},
		{"the first day of a window is in", "UTC", "R/2026-01-01T00:00:00/P1D", [][2]string{christmas}, "2026-12-23T00:00:00Z", []string{"2026-12-27T00:00:00Z"}},
		{"before the first occurrence there is no window", "UTC", "R/2019-01-01T02:00:00/P1D", [][2]string{christmas}, "2019-12-24T00:00:00Z", []string{"2019-12-24T02:00:00Z"}},
		{"two windows, one behind the other", "UTC", "R/2026-01-01T00:00:00/PT6H", [][2]string{{"R/2026-01-01T05:00:00/P1D", "PT4H"}, {"R/2026-01-01T09:00:00/P1D", "PT4H"}}, "2026-05-01T00:00:00Z", []string{"2026-05-01T18:00:00Z", "2026-05-02T00:00:00Z"}},
		{"the last days of months, leap years too", "UTC", "R/2023-01-31T02:00:00/P1M", [][2]string{{"R/2023-02-28T00:00:00/P1Y", "P1D"}}, "2023-01-31T02:00:00Z", []string{"2023-03-31T02:00:00Z", "2023-04-30T02:00:00Z"}},
		{"the 29th of February lies behind the window of the 28th", "UTC", "R/2023-01-31T02:00:00/P1M", [][2]string{{"R/2023-02-28T00:00:00/P1Y", "P1D"}}, "2024-01-31T02:00:00Z", []string{"2024-02-29T02:00:00Z", "2024-03-31T02:00:00Z"}},
		{"a window of thirty days each month is all of February", "UTC", "R/2026-01-01T02:00:00/P1D", [][2]string{{"R/2026-01-01T00:00:00/P1M", "P30D"}}, "2026-01-31T02:00:00Z", []string{"2026-03-31T02:00:00Z", "2026-05-31T02:00:00Z"}},
		{"a window by the clock, on the day of 23 hours", "Europe/Berlin", "R/2026-01-01T04:00:00/PT2H", [][2]string{{"R/2026-01-01T01:00:00/P1D", "PT3H"}}, "2026-03-28T22:59:00Z", []string{"2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z", "2026-03-29T06:00:00Z"}},
		{"a window by the clock, on the day of 25 hours", "Europe/Berlin", "R/2026-07-01T04:00:00/PT2H", [][2]string{{"R/2026-07-01T03:30:00/P1D", "PT3H"}}, "2026-10-25T00:00:00Z", []string{"2026-10-25T02:00:00Z", "2026-10-25T07:00:00Z"}},
		{"a day that is a window has 23 hours", "America/New_York", "R/2026-01-01T00:30:00/PT1H", [][2]string{{"R/2026-03-01T00:00:00/P7D", "P1D"}}, "2026-03-08T04:30:00Z", []string{"2026-03-09T04:30:00Z"}},
		{"a day that is a window has 25 hours", "America/New_York", "R/2026-01-01T00:30:00/PT1H", [][2]string{{"R/2026-03-01T00:00:00/P7D", "P1D"}}, "2026-11-01T03:30:00Z", []string{"2026-11-02T05:30:00Z"}},
		{"a clock that is put forward by half an hour", "Australia/Lord_Howe", "R/2026-01-01T02:15:00/P1D", [][2]string{{"R/2026-01-01T02:30:00/P1D", "PT1H"}}, "2026-10-02T15:45:00Z", []string{"2026-10-04T15:15:00Z"}},
		{"a zone of three quarters of an hour", "Asia/Kathmandu", "R/2026-01-01T00:00:00/P1D", [][2]string{{"R/2026-01-04T00:00:00/P7D", "PT1M"}}, "2026-01-02T18:15:00Z", []string{"2026-01-04T18:15:00Z"}},
		{"a window in a day that a zone has left out", "Pacific/Apia", "R/2011-12-01T12:00:00/P1D", [][2]string{{"R/2011-12-30T00:00:00/P1Y", "P1D"}}, "2011-12-29T12:00:00Z", []string{"2011-12-29T22:00:00Z", "2011-12-31T22:00:00Z"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := mustTimetable(t, tt.zone, 0, []string{tt.interval}, tt.windows...)
			at := mustTime(t, tt.after)
			for _, want := range tt.want {
				next, ok := table.Next(at)
				if !ok || !next.Equal(mustTime(t, want)) {
					t.Fatalf("after %v comes %v, want %s", at.UTC(), next.UTC(), want)
				}
				if previous, ok := table.walk().previous(next.Add(time.Minute), at); !ok || !previous.Equal(next) {
					t.Errorf("before %v was %v, %v", next.Add(time.Minute), previous, ok)
				}
				at = next
			}
		})
	}
}

// TestATimetableThatIsNeverDueIsFoundOut would not end if it were not.
func TestATimetableThatIsNeverDueIsFoundOut(t *testing.T) {
	var many []string
	var all [][2]string
	for n := range 100 {
		many = append(many, fmt.Sprintf("R/2026-01-01T00:00:%02d/PT5M", n%60))
	}
	for n := range 20 {
		all = append(all, [2]string{fmt.Sprintf("R/2026-01-01T00:00:00/P%dD", n+1), "PT23H59M59S"})
	}
	at := mustTime(t, "2026-11-21T12:00:00Z")
	for _, tt := range []struct {
		name  string
		table Timetable
		due   bool
	}{
		{"no interval", Timetable{}, false},
		{"each slot in a window of its own", mustTimetable(t, "UTC", 0, []string{"R/2026-01-01T00:00:00/PT5M"}, [2]string{"R/2026-01-01T00:00:00/PT5M", "PT1S"}), false},
		{"years apart", mustTimetable(t, "UTC", 0, []string{"R/2026-01-01T00:00:00/P10Y"}, [2]string{"R/2025-12-31T00:00:00/P1Y", "P2D"}), false},
		{"a window of nine years of ten", mustTimetable(t, "UTC", 0, []string{"R/2026-01-01T00:00:00/P10Y"}, [2]string{"R/2016-01-01T00:00:00/P10Y", "P9Y"}), false},
		{"as many intervals and windows as there can be", mustTimetable(t, "UTC", 0, many, all...), false},
		{"a window that begins later", mustTimetable(t, "UTC", 0, []string{"R/2026-01-01T00:00:00/PT5M"}, [2]string{"R/2027-01-01T00:00:00/PT5M", "PT1S"}), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, ok := tt.table.Next(at)
			due := tt.table.Due("an instance", at.AddDate(-10, 0, 0), at)
			if ok != tt.due || due.Look.IsZero() == tt.due || !tt.due && !due.Slot.IsZero() {
				t.Errorf("Next = %v, %v, Due = %+v", next, ok, due)
			}
		})
	}
}

func TestInstancesStartAtTheirOwnTimes(t *testing.T) {
	table := mustTimetable(t, "Europe/Berlin", 5*time.Minute, []string{"R/2026-01-01T02:30:00/P1D"})
	slot, _ := table.Next(mustTime(t, "2026-03-27T12:00:00Z"))
	const instances, parts = 10_000, 10
	var counts [parts]int
	for n := range instances {
		key := fmt.Sprintf("/subscriptions/s/instance-%d", n)
		offset := table.Start(slot, key).Sub(slot)
		if offset < 0 || offset >= table.Spread || offset%time.Millisecond != 0 {
			t.Fatalf("%s starts %v after the slot", key, offset)
		}
		counts[int64(offset)*parts/int64(table.Spread)]++
		// The clock is put forward on the second of these days.
		for at, days := slot, 0; days < 3; days++ {
			at, _ = table.Next(at)
			if other := table.Start(at, key).Sub(at); other != offset {
				t.Fatalf("%s starts %v after a slot, and %v after another", key, offset, other)
			}
		}
	}
	for part, n := range counts {
		// Of 1000 in each part, a hundred more or fewer are three standard deviations, and the keys are always the same.
		if n < 900 || n > 1100 {
			t.Errorf("%d of %d start in part %d of %d", n, instances, part, parts)
		}
	}
	if offset := table.Start(slot, "a").Sub(slot); offset != 3*time.Minute+57*time.Second+412*time.Millisecond {
		// It is 0xca97.../2^64 of the spread, as SHA-256 has it of "a". A release that changes it moves every backup.
		t.Errorf("the instance a starts %v after the slot", offset)
	}
}

func TestAStartHasRoom(t *testing.T) {
	slot := mustTime(t, "2026-11-21T12:00:00Z")
	for _, tt := range []struct {
		name    string
		spread  time.Duration
		every   []string
		windows [][2]string
		room    time.Duration
	}{
		{"the spread", time.Hour, []string{"R/2026-01-01T00:00:00/PT6H"}, nil, time.Hour},
		{"none", 0, []string{"R/2026-01-01T00:00:00/PT6H"}, nil, 0},
		{"half of the way to the next slot", time.Hour, []string{"R/2026-01-01T00:00:00/PT6H", "R/2026-01-01T12:10:00/P1D"}, nil, 5 * time.Minute},
		{"half of a second", time.Hour, []string{"R/2026-01-01T00:00:00/PT6H", "R/2026-01-01T12:00:01/P1D"}, nil, 500 * time.Millisecond},
		{"up to a window", time.Hour, []string{"R/2026-01-01T00:00:00/PT6H"}, [][2]string{{"R/2026-01-01T12:00:07/P1D", "PT1H"}}, 7 * time.Second},
		{"up to a window that begins with the next slot", time.Hour, []string{"R/2026-01-01T00:00:00/PT1H"}, [][2]string{{"R/2026-01-01T13:00:00/P1D", "PT1H"}}, 30 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := mustTimetable(t, "UTC", tt.spread, tt.every, tt.windows...)
			var latest time.Duration
			for n := range 2000 {
				offset := table.Start(slot, fmt.Sprint(n)).Sub(slot)
				if offset < 0 || tt.room > 0 && offset >= tt.room || tt.room == 0 && offset != 0 {
					t.Fatalf("instance %d starts %v after the slot, and there is room for %v", n, offset, tt.room)
				}
				latest = max(latest, offset)
			}
			if latest < tt.room*9/10 {
				t.Errorf("of %v nothing behind %v is used", tt.room, latest)
			}
		})
	}
}
