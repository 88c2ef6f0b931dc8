package retention

import "time"

// Previous is the slot that Choose is to know of as the one before a recovery point of a slot; zero is none. good says whether the
// recovery point is.
//
// The rule, for each day, week, month and year:
//   - Only a good recovery point takes its place: the first good one is the period's, whatever failed or was partial before it.
//   - A partial one gets the tag as well if it is the first of the period, good or not, for it may be all that there will ever be of
//     the period. It leaves the place open. So of one period at most two have the tag, and an instance with a volume that can never be
//     snapshotted has its daily, weekly, monthly and yearly ones like any other.
//   - What somebody has asked for out of turn does not count: a backup by hand on the first of January must not take the place of the
//     one that is kept for years. What it is tagged with is for them to say.
//
// It is the slot that decides, and not when the run got to it. The order of the points does not matter.
func Previous(points []Point, slot time.Time, good bool) time.Time {
	var latest time.Time
	for _, p := range points {
		if p.TakesPlace(good) && p.Slot.Before(slot) && p.Slot.After(latest) {
			latest = p.Slot
		}
	}
	return latest
}

// TakesPlace says whether a recovery point takes the place of the first of its periods, before one that is good or is not.
func (p Point) TakesPlace(good bool) bool { return !p.Slot.IsZero() && (p.Good || !good) }
