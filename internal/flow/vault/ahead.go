package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/alert"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// clockSlack is how far the clocks of servers may lie apart: what is less is no clock that ran ahead.
const clockSlack = time.Minute

// farthest is later than anything is due: intervals are ten years long at most.
const farthest = 20 * 365 * 24 * time.Hour

// LookAhead finds the instances whose schedules a clock that ran ahead has put off: they are to be looked at later than their next slot permits, or
// a slot of theirs was dealt with that has yet to come. It has them looked at now, and answers them. mine says of which it is to do so.
func (j *Jobs) LookAhead(ctx context.Context, mine func(instance catalogue.ID) bool) (found []catalogue.ID, err error) {
	now := j.Keeper.now()
	for q := (catalogue.DueQuery{Until: now.Add(farthest), Limit: pageSize}); ; {
		page, err := j.Due(ctx, q)
		if err != nil {
			return found, err
		}
		var some []catalogue.ID
		for _, due := range page {
			if mine(due.Instance) && putOff(due, now) {
				some = append(some, due.Instance)
			}
		}
		if len(some) > 0 {
			err := j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
				if err := tx.Turn(ctx); err != nil {
					return err
				}
				return lookAt(ctx, tx, some, now)
			})
			if err != nil {
				return found, err
			}
			found = append(found, some...)
		}
		if len(page) < q.Limit {
			return found, nil
		}
		q.After = &page[len(page)-1]
	}
}

// putOff says whether the schedule of an instance is to be looked at too late.
func putOff(due catalogue.Due, now time.Time) bool {
	switch {
	case !due.At.After(now):
		return false
	case ranAhead(due, now):
		return true
	}
	table, err := schedule.ParseTimetable(due.Schedule)
	if err != nil {
		return false // it is not backed up, and is looked at when it is
	}
	slot, ok := table.Next(now)
	return ok && due.At.After(table.Start(slot, due.Instance.Key()).Add(clockSlack))
}

// ranAhead says whether a slot of an instance was dealt with that has yet to come.
func ranAhead(due catalogue.Due, now time.Time) bool { return due.Slot.After(now.Add(clockSlack)) }

// comeBack has the schedule of an instance go on from now if a slot was dealt with that has yet to come. What passed until the clock ran ahead was dealt
// with then, with that slot, and the slots that have their rows are not begun again.
func (s *scheduled) comeBack() {
	if ranAhead(s.was, s.now) {
		s.next.Slot = s.now
	}
}

// reportAhead raises the alert about a clock that ran ahead.
func (j *Jobs) reportAhead(ctx context.Context, tx catalogue.Tx, s *scheduled) error {
	if !ranAhead(s.was, s.now) {
		return nil
	}
	begun, err := tx.Slots(ctx, catalogue.SlotQuery{Instance: s.resource.ID, From: s.now, To: s.was.Slot, Limit: pageSize})
	if err != nil {
		return err
	}
	n := 0
	for _, slot := range begun {
		if slot.Job != "" {
			n++
		}
	}
	return j.alert(ctx, tx, alert.BackupMissed, s.vault.ID, s.resource.ID, arm.SeverityWarning, fmt.Sprintf(
		"a server's clock ran ahead, to %s at least, and was put right: the schedule of %s goes on from %s; backups for slots until then that were made meanwhile are not made again: %s",
		s.was.Slot.UTC().Format(time.RFC3339), s.resource.ID.Name(), s.now.Format(time.RFC3339), backups(n)),
		"see that all servers keep the same time; what expired too early by that clock is gone: coffer recovery-point list", s.now)
}

func backups(n int) string {
	if n == 1 {
		return "1 backup"
	}
	return fmt.Sprintf("%d backups", n)
}
