package vault

import (
	"cmp"
	"context"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// previousSlot is the slot of the recovery point before the one that a backup of the schedule has made, by which it is the first of its day
// or is not; zero is none, or that the policy does not ask.
func previousSlot(ctx context.Context, v catalogue.View, instance catalogue.ID, policy retention.Policy, s job.State) (previous time.Time, err error) {
	slot, good := s.Work.Slot, !s.Work.Partial
	if slot.IsZero() || !policy.AsksForFirst() {
		return previous, nil
	}
	// What is older is of another year.
	const most = 367 * 24 * time.Hour
	// It is one of the newest, as a rule: of each of thousands of instances that are due at once, no more is read.
	q := catalogue.PointQuery{Instance: instance, From: slot.Add(-most), Limit: newestFirst}
	err = pagesOfPoints(ctx, v, q, func(page []catalogue.Point) (bool, error) {
		points, err := readPoints(page)
		previous = retention.Previous(points, slot, good)
		return previous.IsZero(), err
	})
	return previous, err
}

// previousCopy is the slot of the recovery point that takes the place of a day's copy before the one that a backup of the schedule has made;
// zero is none.
func previousCopy(ctx context.Context, v catalogue.View, instance catalogue.ID, policy retention.Policy, s job.State) (previous time.Time, err error) {
	slot, good := s.Work.Slot, !s.Work.Partial
	if slot.IsZero() || !policy.Copies() {
		return previous, nil
	}
	// A day has up to 25 hours.
	q := catalogue.PointQuery{Instance: instance, From: slot.Add(-26 * time.Hour)}
	err = pagesOfPoints(ctx, v, q, func(page []catalogue.Point) (bool, error) {
		points, err := readPoints(page)
		previous = retention.PreviousCopy(points, slot, good)
		return previous.IsZero(), err
	})
	return previous, err
}

// newestFirst is among how many of the newest recovery points one of the newest is looked for first.
const newestFirst = 10

// pagesOfPoints visits recovery points page by page, for as long as visit wants more. Limit is of the first page; 0 is as of the others.
func pagesOfPoints(ctx context.Context, v catalogue.View, q catalogue.PointQuery, visit func(page []catalogue.Point) (bool, error)) error {
	for q.Limit = cmp.Or(q.Limit, pageSize); ; q.Limit = pageSize {
		page, err := v.Points(ctx, q)
		if err != nil {
			return err
		}
		if more, err := visit(page); err != nil || !more || len(page) < q.Limit {
			return err
		}
		last := page[len(page)-1]
		q.After = &catalogue.PointCursor{Time: last.Time, Name: last.Name}
	}
}

// allPoints are the recovery points of an instance as the rules of retention see them.
func allPoints(ctx context.Context, v catalogue.View, instance catalogue.ID) (points []retention.Point, err error) {
	err = pagesOfPoints(ctx, v, catalogue.PointQuery{Instance: instance}, func(page []catalogue.Point) (bool, error) {
		more, err := readPoints(page)
		points = append(points, more...)
		return true, err
	})
	return points, err
}

// readPoints are recovery points as the rules of retention see them.
func readPoints(kept []catalogue.Point) ([]retention.Point, error) {
	points := make([]retention.Point, len(kept))
	for i, k := range kept {
		var err error
		if points[i], err = readPoint(k); err != nil {
			return nil, err
		}
	}
	return points, nil
}

// readPoint is one of them.
func readPoint(kept catalogue.Point) (retention.Point, error) {
	shown, err := shownPoint(kept)
	if err != nil {
		return retention.Point{}, err
	}
	point := retention.ReadPoint(shown)
	point.Name, point.Taken = kept.Name, kept.Time
	return point, nil
}

// shownPoint is a recovery point as it is shown.
func shownPoint(kept catalogue.Point) (arm.RecoveryPoint, error) {
	shown, err := arm.DecodeKept[arm.RecoveryPoint](kept.Body)
	if err != nil {
		return shown, unreadable(kept.Instance.Child("recoveryPoints", kept.Name), err)
	}
	return shown, nil
}
