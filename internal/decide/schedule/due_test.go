package schedule

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestWhatIsDue(t *testing.T) {
	four := []string{"R/2026-01-01T02:30:00/PT4H"}
	day := [2]string{"R/2026-01-01T08:00:00/P1D", "PT10H"}
	for _, tt := range []struct {
		name       string
		intervals  []string
		windows    [][2]string
		since, now string
		slot       string
		late       bool
		missed     int
		first      string
		look       string
	}{
		{"nothing yet", four, nil, "2026-11-20T22:30:00Z", "2026-11-21T02:29:59Z", "", false, 0, "", "2026-11-21T02:30:00Z"},
		{"a slot at its time", four, nil, "2026-11-20T22:30:00Z", "2026-11-21T02:30:00Z", "2026-11-21T02:30:00Z", false, 0, "", "2026-11-21T06:30:00Z"},
		{"a minute is no delay", four, nil, "2026-11-20T22:30:00Z", "2026-11-21T02:31:00Z", "2026-11-21T02:30:00Z", false, 0, "", "2026-11-21T06:30:00Z"},
		{"a minute and a second is one", four, nil, "2026-11-20T22:30:00Z", "2026-11-21T02:31:01Z", "2026-11-21T02:30:00Z", true, 0, "", "2026-11-21T06:30:00Z"},
		{"a slot is dealt with once", four, nil, "2026-11-21T02:30:00Z", "2026-11-21T02:30:00Z", "", false, 0, "", "2026-11-21T06:30:00Z"},
		{"the server was away for a day", four, nil, "2026-11-20T02:30:00Z", "2026-11-21T02:40:00Z", "2026-11-21T02:30:00Z", true, 5, "2026-11-20T06:30:00Z", "2026-11-21T06:30:00Z"},
		{"it is back in time for a slot", four, nil, "2026-11-20T18:30:00Z", "2026-11-21T02:30:05Z", "2026-11-21T02:30:00Z", false, 1, "2026-11-20T22:30:00Z", "2026-11-21T06:30:00Z"},
		{"a slot before the instance was there", four, nil, "2026-11-21T02:30:01Z", "2026-11-21T02:30:05Z", "", false, 0, "", "2026-11-21T06:30:00Z"},
		{"a schedule that has not begun", []string{"R/2030-01-01T00:00:00/P1D"}, nil, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z", "", false, 0, "", "2030-01-01T00:00:00Z"},
		{"the clock was put back", four, nil, "2026-11-21T02:30:00Z", "2026-11-20T02:30:00Z", "", false, 0, "", "2026-11-21T06:30:00Z"},
		{"it was put back by a second", four, nil, "2026-11-21T02:30:00Z", "2026-11-21T02:29:59Z", "", false, 0, "", "2026-11-21T06:30:00Z"},
		{"slots in a window are none", four, [][2]string{day}, "2026-11-21T06:30:00Z", "2026-11-21T18:30:00Z", "2026-11-21T18:30:00Z", false, 0, "", "2026-11-21T22:30:00Z"},
		{"in a window there is nothing to do", four, [][2]string{day}, "2026-11-21T06:30:00Z", "2026-11-21T10:30:00Z", "", false, 0, "", "2026-11-21T18:30:00Z"},
		{"in a window nothing is caught up", four, [][2]string{day}, "2026-11-20T22:30:00Z", "2026-11-21T10:30:00Z", "", false, 0, "", "2026-11-21T18:00:00Z"},
		{"it is caught up at its end", four, [][2]string{day}, "2026-11-20T22:30:00Z", "2026-11-21T18:00:00Z", "2026-11-21T06:30:00Z", true, 1, "2026-11-21T02:30:00Z", "2026-11-21T18:30:00Z"},
		{"a window begins a second after the slot", four, [][2]string{{"R/2026-01-01T02:30:01/P1D", "PT10H"}}, "2026-11-20T22:30:00Z", "2026-11-21T02:30:20Z", "2026-11-21T02:30:00Z", false, 0, "", "2026-11-21T14:30:00Z"},
		{"the last slot before a window is caught up behind it", four, [][2]string{{"R/2026-01-01T06:31:00/P1D", "PT7H"}}, "2026-11-20T22:30:00Z", "2026-11-21T14:00:00Z", "2026-11-21T06:30:00Z", true, 1, "2026-11-21T02:30:00Z", "2026-11-21T14:30:00Z"},
		{"windows that go on and on", four, [][2]string{{"R/2026-01-01T08:00:00/P1D", "PT16H"}, {"R/2026-01-01T00:00:00/P1D", "PT8H"}}, "2026-11-20T22:30:00Z", "2026-11-21T02:40:00Z", "", false, 0, "", ""},
		{"no intervals", nil, nil, "2026-11-20T22:30:00Z", "2026-11-21T02:40:00Z", "", false, 0, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := func(text string) time.Time {
				if text == "" {
					return time.Time{}
				}
				return mustTime(t, text)
			}
			got := mustTimetable(t, "UTC", 0, tt.intervals, tt.windows...).Due("an instance", at(tt.since), at(tt.now))
			if !got.Slot.Equal(at(tt.slot)) || got.Late != tt.late || got.Missed != tt.missed || !got.First.Equal(at(tt.first)) || got.More || !got.Look.Equal(at(tt.look)) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestASlotIsDueFromItsStartOn(t *testing.T) {
	const key = "an instance"
	table := mustTimetable(t, "UTC", time.Hour, []string{"R/2026-01-01T02:30:00/PT4H"}, [2]string{"R/2026-01-01T08:00:00/P1D", "PT6H"})
	slot, before := mustTime(t, "2026-11-21T02:30:00Z"), mustTime(t, "2026-11-20T22:30:00Z")
	start := table.Start(slot, key)
	if start.Sub(slot) < 2*time.Minute {
		t.Fatalf("the instance starts at %v: take another key", start)
	}
	if got := table.Due(key, before, start.Add(-1)); !got.Slot.IsZero() || !got.Look.Equal(start) {
		t.Errorf("just before its start: %+v", got)
	}
	if got := table.Due(key, before.Add(-1), start.Add(-1)); !got.Slot.Equal(before) || !got.Late || got.Missed != 0 || !got.Look.Equal(start) {
		t.Errorf("the slot before it was missed: %+v", got)
	}
	if got := table.Due(key, before, start); !got.Slot.Equal(slot) || got.Late || !got.Look.Equal(table.Start(slot.Add(4*time.Hour), key)) {
		t.Errorf("at its start: %+v", got)
	}
	// What waits for the end of a window is spread as well: there are all others, too.
	end := mustTime(t, "2026-11-21T14:00:00Z")
	if got := table.Due(key, before, mustTime(t, "2026-11-21T09:00:00Z")); !got.Slot.IsZero() || !got.Look.Equal(table.Start(end, key)) || !got.Look.After(end) {
		t.Errorf("in a window: %+v", got)
	}
}

func TestYearsOfAbsenceAreCountedInBoundedSteps(t *testing.T) {
	now := mustTime(t, "2036-11-21T12:02:00Z")
	got := mustTimetable(t, "Europe/Berlin", 0, []string{"R/2026-01-01T00:00:00/PT5M"}).Due("a", mustTime(t, "2026-11-21T12:00:00Z"), now)
	if got.Missed != mostSteps || !got.More || !got.First.Equal(mustTime(t, "2026-11-21T12:05:00Z")) || !got.Slot.Equal(mustTime(t, "2036-11-21T12:00:00Z")) || !got.Look.Equal(mustTime(t, "2036-11-21T12:05:00Z")) {
		t.Errorf("every five minutes: %+v", got)
	}
	got = mustTimetable(t, "Europe/Berlin", 0, []string{"R/2026-01-01T00:00:00/P1D"}).Due("a", mustTime(t, "2026-11-21T23:00:00Z"), now)
	if want := 365*10 + 3 - 2; got.Missed != want || got.More {
		t.Errorf("every day: %+v, want %d missed", got, want)
	}
}

// TestTenYearsOfAPolicy looks when it is told to, and finds every slot once and in time.
func TestTenYearsOfAPolicy(t *testing.T) {
	const key = "/subscriptions/s/an-instance"
	for _, tt := range []struct{ zone, interval, window string }{
		{"UTC", "PT4H", "PT10H"}, {"Europe/Berlin", "PT4H", "PT10H"}, {"America/New_York", "P1D", "PT2H"}, {"Australia/Lord_Howe", "PT6H", "PT2H"},
		{"Asia/Kathmandu", "PT8H", "PT3H"}, {"Pacific/Apia", "PT12H", "PT5H"},
	} {
		t.Run(tt.zone, func(t *testing.T) {
			table := mustTimetable(t, tt.zone, DefaultSpread, []string{"R/2026-01-01T02:30:00/" + tt.interval, "R/2026-01-04T23:10:00/P1W"},
				[2]string{"R/2026-01-03T08:00:00/P7D", tt.window}, [2]string{"R/2026-12-24T00:00:00/P1Y", "P3D"}, [2]string{"R/2028-02-29T00:00:00/P4Y", "PT12H"})
			since, end := mustTime(t, "2026-06-01T00:00:00Z"), mustTime(t, "2036-06-01T00:00:00Z")
			found, now := 0, since
			for now.Before(end) {
				due := table.Due(key, since, now)
				if !due.Slot.IsZero() {
					if due.Late || due.Missed != 0 || !due.Slot.After(since) || !now.Equal(table.Start(due.Slot, key)) {
						t.Fatalf("at %v, after %v: %+v", now, since, due)
					}
					found, since = found+1, due.Slot
				}
				if !due.Look.After(now) {
					t.Fatalf("at %v: look again at %v", now, due.Look)
				}
				now = due.Look
			}
			if want := slotsUpTo(table, mustTime(t, "2026-06-01T00:00:00Z"), since); found != want {
				t.Errorf("%d slots, want %d", found, want)
			}
		})
	}
}

// slotsUpTo counts occurrences that lie in no window, without a timetable's own steps.
func slotsUpTo(table Timetable, after, last time.Time) (n int) {
	for at, ok := table.Schedule.Next(after); ok && !at.After(last); at, ok = table.Schedule.Next(at) {
		inside := false
		for _, w := range table.Windows {
			for from, ok := w.Start.Previous(at); ok && at.Sub(from) < 10*24*time.Hour; from, ok = w.Start.Previous(from.Add(-1)) {
				inside = inside || at.Before(w.For.After(from))
			}
		}
		if !inside {
			n++
		}
	}
	return n
}

// TestNoSlotIsLostOrRunTwice has a server that is away, and a clock that jumps: what is run and what is missed are all slots there are.
func TestNoSlotIsLostOrRunTwice(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 2026)) //nolint:gosec // The same times every time, and no secret in them.
	for _, zone := range []string{"UTC", "Europe/Berlin", "Australia/Lord_Howe"} {
		for _, interval := range []string{"PT15M", "PT4H", "P1D"} {
			table := mustTimetable(t, zone, time.Duration(random.IntN(400))*time.Second, []string{"R/2026-01-01T02:30:00/" + interval}, [2]string{"R/2026-01-03T08:10:00/P1D", "PT5H"})
			began := mustTime(t, "2026-09-01T00:00:00Z")
			since, now, accounted, ran := began, began, 0, 0
			for range 3000 {
				due := table.Due("an instance", since, now)
				if !due.Slot.IsZero() {
					if !due.Slot.After(since) || due.Slot.After(now) {
						t.Fatalf("%s %s: at %v, after %v: %+v", zone, interval, now, since, due)
					}
					ran, accounted, since = ran+1, accounted+1+due.Missed, due.Slot
				}
				switch random.IntN(10) {
				case 0: // away
					now = now.Add(time.Duration(random.Int64N(int64(40 * time.Hour))))
				case 1: // a clock that is put back
					now = now.Add(-time.Duration(random.Int64N(int64(10 * time.Hour))))
				default:
					now = due.Look
				}
			}
			if want := slotsUpTo(table, began, since); accounted != want || ran < 500 {
				t.Errorf("%s %s: %d slots were run, %d run or missed, and there are %d", zone, interval, ran, accounted, want)
			}
		}
	}
}

func TestWhatWasDueByAnotherTimetableIsNotLeftOut(t *testing.T) {
	four := []string{"R/2026-01-01T02:30:00/PT4H"}
	daily := []string{"R/2026-01-01T05:00:00/P1D"}
	day := [2]string{"R/2026-01-01T02:00:00/P1D", "PT10H"}
	for _, tt := range []struct {
		name             string
		other, now       []string
		windows          [][2]string
		since, until, at string
		slot             string
		late             bool
		missed           int
		first, look      string
		settled          bool
	}{
		{"nothing was due by it", four, daily, nil, "2026-11-20T22:30:00Z", "2026-11-21T02:29:00Z", "2026-11-21T02:31:00Z", "", false, 0, "", "2026-11-21T05:00:00Z", true},
		{"a slot that was dealt with", four, daily, nil, "2026-11-21T02:30:00Z", "2026-11-21T02:31:00Z", "2026-11-21T02:31:01Z", "", false, 0, "", "2026-11-21T05:00:00Z", true},
		{"a slot just before the change", four, daily, nil, "2026-11-20T22:30:00Z", "2026-11-21T02:30:00Z", "2026-11-21T02:30:01Z", "2026-11-21T02:30:00Z", false, 0, "", "2026-11-21T05:00:00Z", true},
		{"slots that nobody was there for", four, daily, nil, "2026-11-20T18:30:00Z", "2026-11-21T02:40:00Z", "2026-11-21T02:40:01Z", "2026-11-21T02:30:00Z", true, 1, "2026-11-20T22:30:00Z", "2026-11-21T05:00:00Z", true},
		{"a newer one is due", four, daily, nil, "2026-11-20T18:30:00Z", "2026-11-21T02:40:00Z", "2026-11-21T05:00:01Z", "2026-11-21T05:00:00Z", false, 2, "2026-11-20T22:30:00Z", "2026-11-22T05:00:00Z", true},
		{"one and a newer one", four, daily, nil, "2026-11-20T22:30:00Z", "2026-11-21T02:40:00Z", "2026-11-21T05:10:00Z", "2026-11-21T05:00:00Z", true, 1, "2026-11-21T02:30:00Z", "2026-11-22T05:00:00Z", true},
		{"the change excludes it", four, four, [][2]string{day}, "2026-11-20T22:30:00Z", "2026-11-21T02:30:00Z", "2026-11-21T02:30:01Z", "", false, 0, "", "2026-11-21T12:00:00Z", false},
		{"it is begun at the end of the window", four, four, [][2]string{day}, "2026-11-20T22:30:00Z", "2026-11-21T02:30:00Z", "2026-11-21T12:00:00Z", "2026-11-21T02:30:00Z", true, 0, "", "2026-11-21T14:30:00Z", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			at := func(text string) time.Time {
				if text == "" {
					return time.Time{}
				}
				return mustTime(t, text)
			}
			got, settled := mustTimetable(t, "UTC", 0, tt.now, tt.windows...).DueAfter(mustTimetable(t, "UTC", 0, tt.other), "an instance", at(tt.since), at(tt.until), at(tt.at))
			if !got.Slot.Equal(at(tt.slot)) || got.Late != tt.late || got.Missed != tt.missed || !got.First.Equal(at(tt.first)) || got.More || !got.Look.Equal(at(tt.look)) || settled != tt.settled {
				t.Errorf("got %+v, settled %v", got, settled)
			}
		})
	}
}

func TestASlotOfAnotherTimetableBeginsAtItsOwnStart(t *testing.T) {
	const key = "an instance"
	other := mustTimetable(t, "UTC", time.Hour, []string{"R/2026-01-01T02:30:00/PT4H"})
	table := mustTimetable(t, "UTC", 0, []string{"R/2026-01-01T05:00:00/P1D"})
	slot := mustTime(t, "2026-11-21T02:30:00Z")
	start := other.Start(slot, key)
	if !start.After(slot.Add(time.Second)) {
		t.Fatalf("it starts at %s", start)
	}
	since, until := slot.Add(-time.Hour), slot.Add(time.Second)
	if got, settled := table.DueAfter(other, key, since, until, start.Add(-time.Millisecond)); !got.Slot.IsZero() || !got.Look.Equal(start) || settled {
		t.Errorf("before: %+v, settled %v", got, settled)
	}
	if got, settled := table.DueAfter(other, key, since, until, start); !got.Slot.Equal(slot) || got.Late || !settled {
		t.Errorf("at its start: %+v, settled %v", got, settled)
	}
}
