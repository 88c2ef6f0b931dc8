package vault

import (
	"context"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// mostSeen is how many recovery points are kept in memory between one reading and the next.
const mostSeen = 10_000

// seenPoints are the recovery points of instances as they were read. Who reads them once more, in the transaction that lets go of some, does so
// only where they have changed meanwhile: writers wait for each other.
type seenPoints struct {
	// until is by when their time is to be up, of those that are read whole.
	until time.Time
	// marks are those that the instances have now, as far as was asked.
	marks     map[string]catalogue.PointMark
	instances map[string]seenInstance
	count     int
	// lost are the recovery points that could not be read, by their instances' Keys.
	lost map[string][]lostPoint
}

// seenInstance are the recovery points of an instance, and the same as the rules see them, under the mark that they had.
type seenInstance struct {
	mark   catalogue.PointMark
	kept   []catalogue.Point
	judged []retention.Point
}

// look reads whether recovery points of some instances have changed. It is called in each transaction after the first, before read is.
func (s *seenPoints) look(ctx context.Context, v catalogue.View, instances []catalogue.ID) (err error) {
	s.marks, err = v.PointMarks(ctx, instances...)
	return err
}

// read are all recovery points of an instance that can be read, and the same as the rules see them. They are the caller's.
func (s *seenPoints) read(ctx context.Context, v catalogue.View, id catalogue.ID) ([]catalogue.Point, []retention.Point, error) {
	if seen, known := s.instances[id.Key()]; known && seen.mark == s.marks[id.Key()] {
		return slices.Clone(seen.kept), slices.Clone(seen.judged), nil
	}
	all, err := agedPoints(ctx, v, id, s.until)
	if err != nil {
		return nil, nil, err
	}
	if len(all.lost) > 0 {
		s.lost[id.Key()] = all.lost
	}
	if s.count+len(all.kept) <= mostSeen {
		s.count += len(all.kept)
		s.instances[id.Key()] = seenInstance{all.mark, slices.Clone(all.kept), slices.Clone(all.judged)}
	}
	return all.kept, all.judged, nil
}

// agedPoints are the recovery points of an instance as far as the rules ask to decide which are to be let go of by then. Most are not at the end
// of their time, and of these a few columns say enough about the others.
func agedPoints(ctx context.Context, v catalogue.View, id catalogue.ID, until time.Time) (all points, err error) {
	err = pagesOfPoints(ctx, v, catalogue.PointQuery{Instance: id, Bare: true, Until: until}, func(page []catalogue.Point) (bool, error) {
		for _, point := range page {
			all.mark.Count++
			all.mark.Sum += point.Mark
			if point.DueBy(until) {
				all.read(point)
			} else {
				all.kept, all.judged = append(all.kept, point), append(all.judged, barePoint(point))
			}
		}
		return true, nil
	})
	return all, err
}
