package vault

import (
	"context"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// previousSlot is the slot of the recovery point before the one that a backup of the schedule has made, by which it is the first of its day
// or is not; zero is none.
func previousSlot(ctx context.Context, v catalogue.View, instance catalogue.ID, s job.State) (previous time.Time, err error) {
	slot, good := s.Work.Slot, !s.Work.Partial
	if slot.IsZero() {
		return previous, nil
	}
	// What is older is of another year.
	const most = 367 * 24 * time.Hour
	q := catalogue.PointQuery{Instance: instance, From: slot.Add(-most), Limit: pageSize}
	for {
		page, err := v.Points(ctx, q)
		if err != nil {
			return previous, err
		}
		points, err := readPoints(page)
		if err != nil {
			return previous, err
		}
		if previous = retention.Previous(points, slot, good); !previous.IsZero() || len(page) < q.Limit {
			return previous, nil
		}
		last := page[len(page)-1]
		q.After = &catalogue.PointCursor{Time: last.Time, Name: last.Name}
	}
}

// allPoints are the recovery points of an instance as the rules of retention see them.
func allPoints(ctx context.Context, v catalogue.View, instance catalogue.ID) (points []retention.Point, err error) {
	q := catalogue.PointQuery{Instance: instance, Limit: pageSize}
	for {
		page, err := v.Points(ctx, q)
		if err != nil {
			return nil, err
		}
		more, err := readPoints(page)
		if err != nil {
			return nil, err
		}
		if points = append(points, more...); len(page) < q.Limit {
			return points, nil
		}
		last := page[len(page)-1]
		q.After = &catalogue.PointCursor{Time: last.Time, Name: last.Name}
	}
}

// readPoints are recovery points as the rules of retention see them.
func readPoints(kept []catalogue.Point) ([]retention.Point, error) {
	points := make([]retention.Point, len(kept))
	for i, k := range kept {
		body, err := arm.Decode[arm.RecoveryPoint](k.Body)
		if err != nil {
			return nil, unreadable(k.Instance.Child("recoveryPoints", k.Name), err)
		}
		points[i] = retention.ReadPoint(body)
		points[i].Name, points[i].Taken = k.Name, k.Time
	}
	return points, nil
}
