package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// model says of each minute of some years whether a timetable has a slot in it, and whether a window is open.
type model struct {
	clock
	table    Timetable
	slots    []time.Time
	excluded []bool
}

// edge is before the end of a clock: the occurrences of the last days are not all listed.
const edge = 10 * 24 * 60

// newModel goes through the minutes that a clock shows.
func newModel(c clock, table Timetable) model {
	m := model{clock: c, table: table, excluded: make([]bool, len(c.shows))}
	for _, w := range table.Windows {
		for _, from := range brute(c, w.Start) {
			for minute := m.minute(from); minute < m.windowEnd(w, from); minute++ {
				m.excluded[minute] = true
			}
		}
	}
	due := make([]bool, len(c.shows))
	for _, i := range table.Schedule.Intervals {
		for _, at := range brute(c, i) {
			due[m.minute(at)] = true
		}
	}
	for minute := range len(c.shows) - edge {
		if due[minute] && !m.excluded[minute] {
			m.slots = append(m.slots, m.time(minute))
		}
	}
	return m
}

func (m model) minute(at time.Time) int   { return int(at.Unix()/60 - m.from) }
func (m model) time(minute int) time.Time { return time.Unix((m.from+int64(minute))*60, 0).UTC() }

// windowEnd is the minute before which a window ends: days by what the clock shows, and the rest as it passes.
func (m model) windowEnd(w Window, from time.Time) int {
	at := from
	if w.For.Days > 0 {
		end, ok := m.when(m.shows[m.minute(from)] + int64(w.For.Days)*24*60)
		if !ok {
			return len(m.shows)
		}
		at = end
	}
	return min(len(m.shows), m.minute(at.Add(time.Duration(w.For.Seconds)*time.Second)))
}

// next and previous are slots by their numbers.
func (m model) next(after time.Time) int {
	return slices.IndexFunc(m.slots, func(s time.Time) bool { return s.After(after) })
}

// due is Due by looking at all slots, one after the other.
func (m model) due(key string, since, now time.Time) Due {
	var due Due
	var open []time.Time
	for _, s := range m.slots {
		if !s.After(since) {
			continue
		}
		if start := m.table.Start(s, key); start.After(now) {
			due.Look = start
			break
		}
		open = append(open, s)
	}
	if len(open) == 0 {
		return due
	}
	last := open[len(open)-1]
	late := now.Sub(m.table.Start(last, key)) > time.Minute
	if minute := m.minute(now); late && m.excluded[minute] {
		for minute < len(m.excluded) && m.excluded[minute] {
			minute++
		}
		if minute < len(m.excluded) {
			due.Look = m.table.Start(m.time(minute), key)
		}
		return due
	}
	due.Slot, due.Late, due.Missed = last, late, len(open)-1
	if due.Missed > 0 {
		due.First = open[0]
	}
	return due
}

// randomTimetable has intervals and windows of all kinds, whose times are whole minutes.
func randomTimetable(random *rand.Rand, zone *time.Location, from time.Time) Timetable {
	start := func(days int) time.Time {
		return from.Add(time.Duration(random.IntN(days*24*60)) * time.Minute).In(zone)
	}
	pick := func(all []Period) Period { return all[random.IntN(len(all))] }
	table := Timetable{Schedule: Schedule{Zone: zone}, Spread: time.Duration(random.IntN(900)) * time.Second}
	for range 1 + random.IntN(3) {
		table.Schedule.Intervals = append(table.Schedule.Intervals, Interval{Start: start(60), Every: pick([]Period{
			{Days: 1}, {Days: 7}, {Days: 1 + random.IntN(20)}, {Months: 1}, {Seconds: 4 * 3600}, {Seconds: 6 * 3600}, {Seconds: 8 * 3600},
			{Seconds: 12 * 3600}, {Seconds: day}, {Seconds: 1800}, {Seconds: 5 * 3600}, {Seconds: 6060},
		})})
	}
	for range random.IntN(4) {
		w := Window{Start: Interval{Start: start(90), Every: pick([]Period{{Days: 1}, {Days: 7}, {Months: 1}, {Months: 3}, {Seconds: 6 * 3600}, {Seconds: 7 * 3600}})}}
		longest := min(w.Start.Every.atLeast()/60, 4*24*60)
		w.For = Period{Seconds: 60 * (1 + random.IntN(longest-1))}
		if w.Start.Every.atLeast() > 2*day && random.IntN(2) == 0 {
			w.For = Period{Days: 1 + random.IntN(5), Seconds: 60 * random.IntN(600)}
		}
		table.Windows = append(table.Windows, w)
	}
	return table
}

func TestATimetableIsThatOfItsModel(t *testing.T) {
	for _, tt := range []struct{ zone, from string }{
		{"UTC", "2024-01-01T00:00:00Z"}, {"Europe/Berlin", "2024-01-01T00:00:00Z"}, {"America/New_York", "2024-01-01T00:00:00Z"},
		{"Australia/Lord_Howe", "2024-01-01T00:00:00Z"}, {"Asia/Kathmandu", "2024-01-01T00:00:00Z"},
		// The year in which Samoa has left a day out, and the leap year after it.
		{"Pacific/Apia", "2011-10-01T00:00:00Z"},
	} {
		t.Run(tt.zone, func(t *testing.T) {
			zone, from := mustZone(t, tt.zone), mustTime(t, tt.from)
			c := newClock(zone, from.AddDate(0, 0, -3), 2)
			random := rand.New(rand.NewPCG(8, uint64(len(tt.zone)))) //nolint:gosec // The same times every time, and no secret in them.
			for n := range 10 {
				m := newModel(c, randomTimetable(random, zone, from))
				if !compareWithModel(t, m, random, from) {
					t.Fatalf("timetable %d: %+v", n, m.table)
				}
			}
		})
	}
}

// compareWithModel asks both for what comes after some moments, and what is due at them.
func compareWithModel(t *testing.T, m model, random *rand.Rand, from time.Time) bool {
	t.Helper()
	moment := func() time.Time {
		// More than a month before the end of the model.
		return from.Add(time.Duration(random.Int64N(int64(620 * 24 * time.Hour)))).Truncate(time.Second)
	}
	for n := range 30 {
		at := moment()
		if len(m.slots) > 0 && n%3 == 0 {
			at = m.slots[random.IntN(len(m.slots))].Add(time.Duration(random.IntN(3)-1) * time.Second)
		}
		next, ok := m.table.Next(at)
		i := m.next(at)
		if len(m.slots) == 0 && n > 2 {
			return true // nothing more can be asked of one that is never due
		}
		switch {
		case i < 0 && ok && m.minute(next) < len(m.shows)-edge, i >= 0 && (!ok || !next.Equal(m.slots[i])):
			t.Errorf("Next(%v) = %v, %v, and in the model it is slot %d of %d", at, next, ok, i, len(m.slots))
			return false
		case i < 0:
			continue
		}
		key := fmt.Sprint("instance ", n)
		if start := m.table.Start(next, key); start.Before(next) || m.excluded[m.minute(start)] || i+1 < len(m.slots) && !start.Before(m.slots[i+1]) || start.Sub(next) > m.table.Spread {
			t.Errorf("the slot %v starts at %v", next, start)
			return false
		}
		since, now := at, at.Add(time.Duration(random.Int64N(int64(20*24*time.Hour)))-5*24*time.Hour)
		if n%4 == 0 {
			now = m.table.Start(next, key).Add(time.Duration(random.IntN(3)-1) * time.Minute)
		}
		if m.minute(now) < 0 || m.minute(now) > len(m.shows)-2*edge {
			continue
		}
		got, want := m.table.Due(key, since, now), m.due(key, since, now)
		if want.Look.IsZero() {
			got.Look = want.Look // it lies behind the model
		}
		if !got.Slot.Equal(want.Slot) || got.Late != want.Late || got.Missed != want.Missed || !got.First.Equal(want.First) || got.More || !got.Look.Equal(want.Look) {
			t.Errorf("after %v, at %v:\n got %+v\nwant %+v", since, now, got, want)
			return false
		}
	}
	return true
}
