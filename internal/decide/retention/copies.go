package retention

import "time"

// onceADay is why a recovery point is not copied to the vault tier though its rule wants that.
const onceADay = "; not copied to the vault tier: another one of its day is, and of the schedule one of a day is copied"

// PreviousCopy is the slot of the recovery point by which Promise knows whether the one of a slot may be copied to the vault tier; zero is
// none. good says whether that is good.
//
// Of the recovery points of the schedule one of each day is copied: the first good one whose rule wants it. A partial one is copied as well
// if no other of the day is, good or not, and leaves the place open, as Previous says of tags. What somebody has asked for out of turn takes
// no place and needs none.
func PreviousCopy(points []Point, slot time.Time, good bool) time.Time {
	var latest time.Time
	for _, p := range points {
		if p.tiered() && p.TakesPlace(good) && p.Slot.Before(slot) && p.Slot.After(latest) {
			latest = p.Slot
		}
	}
	return latest
}

// tiered says whether it is, was, or is to be in the vault tier.
func (p Point) tiered() bool { return !p.Copy.IsZero() || p.Vault.Present || !p.Vault.Since.IsZero() }

// once is what is promised by a choice to a recovery point of a slot, taken at a time. copied is what PreviousCopy says.
func (p Policy) once(choice Choice, slot, taken, copied time.Time) (Choice, Kept) {
	kept := p.Keep(choice.Rule, taken)
	if kept.Vault != nil && !slot.IsZero() && !copied.IsZero() && date(slot.In(p.zone())).Equal(date(copied.In(p.zone()))) {
		kept.Vault = nil
		choice.Reason += onceADay
	}
	return choice, kept
}

// copiedDays are the days of the schedule of which a recovery point is, was, or is to be in the vault tier, with its slot.
type copiedDays struct {
	of        func(slot time.Time) time.Time
	any, good map[time.Time]time.Time
}

// copiedDays begins with those recovery points that are, or were, in the vault tier already.
func (p Policy) copiedDays(points []Point) copiedDays {
	days := copiedDays{
		of:  func(slot time.Time) time.Time { return date(slot.In(p.zone())) },
		any: map[time.Time]time.Time{}, good: map[time.Time]time.Time{},
	}
	for _, point := range points {
		if !point.Vault.Since.IsZero() {
			days.add(point)
		}
	}
	return days
}

func (c copiedDays) add(p Point) {
	if !p.tiered() || p.Slot.IsZero() {
		return
	}
	if c.any[c.of(p.Slot)] = p.Slot; p.Good {
		c.good[c.of(p.Slot)] = p.Slot
	}
}

// before is what PreviousCopy is to one of the recovery points.
func (c copiedDays) before(p Point) time.Time {
	if p.Slot.IsZero() {
		return time.Time{}
	}
	if p.Good {
		return c.good[c.of(p.Slot)]
	}
	return c.any[c.of(p.Slot)]
}

// Copies says whether any of the rules copies to the vault tier.
func (p Policy) Copies() bool {
	for _, r := range p.Rules {
		if r.Vault != nil {
			return true
		}
	}
	return false
}

// CopyDue is when it is to be copied to the vault tier: when its rule says, and when the operational tier would let go of it at the latest.
// Zero is never, or no more.
func (p Point) CopyDue() time.Time {
	if !p.Awaited() {
		return time.Time{}
	}
	return p.copyAt()
}

// TooLate says whether it has still to be copied to the vault tier, which would let go of it at once: what waits for its copy stays in the
// operational tier for as long as the copy would have been kept, and no longer.
func (p Point) TooLate(now time.Time) bool {
	return p.Awaited() && !p.Vault.Expires.IsZero() && !now.Before(p.Vault.Expires)
}
