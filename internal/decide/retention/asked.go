package retention

import (
	"slices"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// mostGood is how many recovery points a preview begins with.
const mostGood = 1000

// Dates are days that somebody asks for, by the clock of the policy's zone.
func (p Policy) Dates(texts []string) ([]time.Time, error) {
	var dates []time.Time
	for _, text := range texts {
		d, err := time.ParseInLocation(time.DateOnly, text, p.zone())
		if err != nil {
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "%s is not a day", shown(text)).WithHint("write days such as 2027-03-01")
		}
		if year, month, day := d.Date(); d.Format(time.DateOnly) != text {
			// Midnight is left out that day, and a time of the day before was answered.
			d = time.Date(year, month, day, 36, 0, 0, 0, p.zone())
		}
		dates = append(dates, d)
	}
	return dates, nil
}

// History are recovery points of slots up to a time, each as the policy would have made it, good and in time.
func (p Policy) History(slots []time.Time, until time.Time) ([]Point, error) {
	if len(slots) > mostGood {
		return nil, coffer.Errorf(coffer.CodeInvalidInput, "%d recovery points are given: a preview begins with up to %d", len(slots), mostGood).WithHint("give the newest ones")
	}
	slots = slices.Clone(slots)
	slices.SortFunc(slots, time.Time.Compare)
	var points []Point
	previous, copied := time.Time{}, time.Time{}
	for _, slot := range slices.CompactFunc(slots, time.Time.Equal) {
		if slot.After(until) {
			return nil, coffer.Errorf(coffer.CodeInvalidInput, "the recovery point of %s is given, and runs are told from %s on", shownTime(slot), shownTime(until)).
				WithHint("give those that there are already")
		}
		made := p.Promise(Point{Name: slot.UTC().Format(time.RFC3339), Taken: slot, Slot: slot, Good: true}, p.Choose(slot, previous), copied)
		if made.tiered() {
			copied = slot
		}
		points = append(points, made)
		previous = slot
	}
	return points, nil
}
