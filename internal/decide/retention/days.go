package retention

import (
	"slices"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Bounds of one question about days to come: how many days, how many slots are looked at for the answer, and how many recovery points it
// has. A slot takes some microseconds.
const (
	MostDays   = 366
	mostSlots  = 50_000
	mostListed = 50_000
	mostAhead  = 100 // years
)

// Day is a day, and what there will be at its end.
type Day struct {
	// Date is its midnight, by the clock of the policy's zone.
	Date   time.Time
	Points []Standing
}

// Standing is a recovery point, and why it is there.
type Standing struct {
	Point
	Decision Decision
}

// Days tells which recovery points there will be at the ends of days, if all runs from a time on are good and in time, and all that is due
// is carried out. Days are those of dates by the clock of the policy's zone. points are the recovery points that there are already; the
// time of terms is not looked at. If backups are suspended, or protection is stopped, no run is to come.
//
// Of years only those runs are followed that can matter: what keeps a tag, and what is recent at one of the days. So ten years of a
// backup each five minutes with daily, weekly, monthly and yearly tags are told in some ten thousand steps. What needs more than 50,000,
// such as a tag for all backups of Sundays among them, is refused, and so is an answer with more than 50,000 recovery points.
func (p Policy) Days(points []Point, from time.Time, dates []time.Time, terms Terms) ([]Day, error) {
	ends, err := p.ends(from, dates)
	if err != nil {
		return nil, err
	}
	w := walk{policy: p, points: points, at: from, first: true, left: mostSlots, still: terms.Suspended || terms.Stopped}
	var days []Day
	listed := 0
	for _, end := range ends {
		if w.to(end, terms); w.left < 0 {
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "days has %s, and more than %d backups of the policy would have to be looked at to tell of it",
				end.Add(-1).In(p.zone()).Format(time.DateOnly), mostSlots).
				WithHint("they reach until %s: ask for days up to then, or have the policy back up less often, or its default rule keep for less long", shownTime(w.at.In(p.zone())))
		}
		terms.Now = end.Add(-1) // what expires at midnight is still there
		w.points = settle(w.points, terms)
		there := taken(w.points, terms.Now)
		if listed += len(there); listed > mostListed {
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "days has %d days, and there are more than %d recovery points at their ends", len(ends), mostListed).
				WithHint("ask for up to %d days at a time, of this policy", max(1, len(days)))
		}
		day := Day{Date: midnight(terms.Now.In(p.zone()), 0), Points: make([]Standing, len(there))}
		for i, d := range Judge(there, terms) {
			day.Points[i] = Standing{there[i], d}
		}
		slices.SortFunc(day.Points, func(a, b Standing) int { return a.Taken.Compare(b.Taken) })
		days = append(days, day)
	}
	return days, nil
}

// ends are when the days end that are asked for, in their order and each once.
func (p Policy) ends(from time.Time, dates []time.Time) ([]time.Time, error) {
	if len(dates) > MostDays {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "%d days are asked for: up to %d are told at a time", len(dates), MostDays).WithHint("ask for fewer days")
	}
	var ends []time.Time
	for _, d := range dates {
		end := midnight(d.In(p.zone()), 1)
		switch {
		case end.Before(from):
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "the day %s is over at %s, from when on runs are told", d.In(p.zone()).Format(time.DateOnly), shownTime(from)).
				WithHint("ask for days to come")
		case end.After(from.AddDate(mostAhead, 0, 0)):
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "the day %s is more than %d years away", d.In(p.zone()).Format(time.DateOnly), mostAhead).
				WithHint("ask for an earlier day")
		}
		ends = append(ends, end)
	}
	slices.SortFunc(ends, time.Time.Compare)
	return slices.CompactFunc(ends, time.Time.Equal), nil
}

// midnight is when the day of a time begins by its clock, or so many days later: the first moment of it, where the clock leaves midnight
// out or shows it twice.
func midnight(t time.Time, days int) time.Time {
	const half = 30 * time.Minute
	year, month, day := t.Date()
	want := time.Date(year, month, day+days, 0, 0, 0, 0, time.UTC)
	at := time.Date(year, month, day+days, 0, 0, 0, 0, t.Location())
	for date(at).Before(want) {
		at = at.Add(half)
	}
	for !date(at.Add(-half)).Before(want) {
		at = at.Add(-half)
	}
	return at
}

// walk goes through the runs to come.
type walk struct {
	policy Policy
	// points are those that are followed; at is from when on runs are still to come, previous the slot of the last that was followed, and
	// copied that of the last of those that are copied to the vault tier.
	points               []Point
	at, previous, copied time.Time
	// first says that no run was followed yet, and still that there are none.
	first, still bool
	// left is how many slots may still be looked at.
	left int
}

// to follows the runs up to a time.
func (w *walk) to(end time.Time, terms Terms) {
	if w.still {
		return
	}
	recent := w.recent(end, max(1, terms.KeepAtLeast))
	for {
		slot, ok := w.next(w.at.Add(-1))
		if !ok || !slot.Before(end) {
			return
		}
		if w.first {
			w.previous, w.copied, w.first = Previous(w.points, slot, true), PreviousCopy(w.points, slot, true), false
		}
		choice := w.policy.Choose(slot, w.previous)
		made := w.policy.Promise(Point{Name: slot.UTC().Format(time.RFC3339), Taken: slot, Slot: slot, Good: true}, choice, w.copied)
		if made.tiered() {
			w.copied = slot
		}
		if !choice.Rule.Default || !slot.Before(recent) {
			w.points = append(w.points, made)
		}
		w.previous, w.at = slot, slot.Add(1)
		if slot.Before(recent) {
			w.at = w.policy.skip(slot, recent)
		}
	}
}

// next is the first slot after a time, unless no more may be looked at: then left is negative.
func (w *walk) next(after time.Time) (time.Time, bool) {
	if w.left--; w.left < 0 {
		return time.Time{}, false
	}
	return w.policy.next(after)
}

// recent is from when on all runs matter at a time: what the default rule keeps until then, and at least so many before.
func (w *walk) recent(end time.Time, atLeast int) time.Time {
	// A period has up to three days more or fewer from one time to another.
	const more = 4 * 24 * time.Hour
	keeps := w.policy.Keep(w.policy.Default(), end)
	longest := end.Add(-keeps.Expires().Sub(end) - more)
	for back := more; ; back *= 2 {
		recent := longest.Add(-back)
		if !recent.After(w.at) {
			return w.at
		}
		found := 0
		for after := recent.Add(-1); found <= atLeast; found++ {
			slot, ok := w.next(after)
			if !ok || !slot.Before(longest) {
				break
			}
			after = slot
		}
		if found > atLeast {
			return recent
		}
	}
}

// skip is the time before which no slot after this one gets a tag, or at least none before recent.
func (p Policy) skip(slot, recent time.Time) time.Time {
	local := slot.In(p.zone())
	until := midnight(local, 1)
	if until.After(recent) {
		until = recent
	}
	_, before := local.AddDate(0, 0, -2).Zone()
	_, after := local.AddDate(0, 0, 2).Zone()
	for _, t := range p.Tags {
		for _, c := range t.Criteria {
			if len(c.First) > 0 && !slices.Contains(c.First, All) {
				continue // it is for the first of a day at most
			}
			if len(c.Times) == 0 || before != after {
				return slot.Add(1)
			}
			// On a day like this one a slot stands for its own time.
			for _, minute := range c.Times {
				if at := midnight(local, 0).Add(time.Duration(minute) * time.Minute); at.After(slot) && at.Before(until) {
					until = at
				}
			}
		}
	}
	return until
}
