package vault

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// previousSlot is the slot of the recovery point before the one that a backup of the schedule has made, by which it is the first of its day
// or is not; zero is none, or that the policy does not ask.
func previousSlot(
	ctx context.Context, v catalogue.View, instance catalogue.ID, policy retention.Policy, s job.State,
) (previous time.Time, lost []lostPoint, err error) {
	if !policy.AsksForFirst() {
		return previous, nil, nil
	}
	// What is older is of another year.
	const most = 367 * 24 * time.Hour
	// It is one of the newest, as a rule: of each of thousands of instances that are due at once, no more is read.
	return previousBy(ctx, v, retention.Previous, catalogue.PointQuery{Instance: instance, From: s.Work.Slot.Add(-most), Limit: newestFirst}, s)
}

// previousCopy is the slot of the recovery point that takes the place of a day's copy before the one that a backup of the schedule has made;
// zero is none.
func previousCopy(
	ctx context.Context, v catalogue.View, instance catalogue.ID, policy retention.Policy, s job.State,
) (previous time.Time, lost []lostPoint, err error) {
	if !policy.Copies() {
		return previous, nil, nil
	}
	// A day has up to 25 hours.
	return previousBy(ctx, v, retention.PreviousCopy, catalogue.PointQuery{Instance: instance, From: s.Work.Slot.Add(-26 * time.Hour)}, s)
}

// previousBy is the slot that a rule finds among recovery points, the newest first, before the one that a backup of the schedule has made; zero is
// none.
func previousBy(
	ctx context.Context, v catalogue.View, rule func(points []retention.Point, slot time.Time, good bool) time.Time, q catalogue.PointQuery, s job.State,
) (previous time.Time, lost []lostPoint, err error) {
	if s.Work.Slot.IsZero() {
		return previous, nil, nil
	}
	err = pagesOfPoints(ctx, v, q, func(page []catalogue.Point) (bool, error) {
		read := readPoints(page)
		lost = append(lost, read.lost...)
		previous = rule(read.judged, s.Work.Slot, !s.Work.Partial)
		return previous.IsZero(), nil
	})
	return previous, lost, err
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

// points are recovery points that were read: as they are kept, and in the same order as the rules of retention see them. Those that cannot be
// read are apart.
type points struct {
	kept   []catalogue.Point
	judged []retention.Point
	lost   []lostPoint
	// mark is that of all of them, of agedPoints only.
	mark catalogue.PointMark
}

// allPoints are the recovery points of an instance.
func allPoints(ctx context.Context, v catalogue.View, instance catalogue.ID) (all points, err error) {
	err = pagesOfPoints(ctx, v, catalogue.PointQuery{Instance: instance}, func(page []catalogue.Point) (bool, error) {
		read := readPoints(page)
		all.kept, all.judged, all.lost = append(all.kept, read.kept...), append(all.judged, read.judged...), append(all.lost, read.lost...)
		return true, nil
	})
	return all, err
}

// readPoints reads recovery points.
func readPoints(kept []catalogue.Point) points {
	all := points{kept: make([]catalogue.Point, 0, len(kept)), judged: make([]retention.Point, 0, len(kept))}
	for _, k := range kept {
		all.read(k)
	}
	return all
}

// read adds one.
func (p *points) read(kept catalogue.Point) {
	point, err := readPoint(kept)
	if err != nil {
		p.lost = append(p.lost, lostPoint{kept, err})
		return
	}
	p.kept, p.judged = append(p.kept, kept), append(p.judged, point)
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

// barePoint is one of which the body was not read: which rule it falls under, since when it is where it is, and why it is held are not known.
func barePoint(kept catalogue.Point) retention.Point {
	point := retention.Point{
		Name: kept.Name, Taken: kept.Time, Good: kept.Good, Copy: kept.Copy,
		Operational: retention.Tier{Present: kept.Operational, Expires: kept.Expiry}, Vault: retention.Tier{Present: kept.Vaulted, Expires: kept.VaultExpiry},
	}
	if kept.Held {
		point.Held = "for a reason that was not read"
	}
	return point
}

// shownPoint is a recovery point as it is shown.
func shownPoint(kept catalogue.Point) (arm.RecoveryPoint, error) {
	shown, err := arm.DecodeKept[arm.RecoveryPoint](kept.Body)
	if is := shown.ObjectType; err == nil && is != "" && !is.Is(arm.TypeRecoveryPoint) {
		err = fmt.Errorf("objectType is %.40q, and only %s is known", string(is), arm.TypeRecoveryPoint)
	}
	if err != nil {
		return shown, unreadable(kept.Instance.Child("recoveryPoints", kept.Name), err)
	}
	return shown, nil
}
