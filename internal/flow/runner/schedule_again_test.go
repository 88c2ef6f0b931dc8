package runner_test

import (
	"context"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// TestTheScheduleGoesOnAfterADeletionThatHasFailed holds that the slots of an instance that stays are not left waiting for an hour.
func TestTheScheduleGoesOnAfterADeletionThatHasFailed(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.backedUp()
	w.until(day(5).Add(-10 * time.Minute))
	if _, err := w.remove(false); err != nil {
		t.Fatal(err)
	}
	w.until(day(5).Add(-5 * time.Minute))
	w.until(day(5)) // the slot passes
	w.deletions(1, `{"phase":"Failed","reason":"UserErrorRecoveryPointInUse","message":"it is in use; wait"}`)
	if got := w.record(); got.Deleting || got.State != protection.Configured || len(w.scheduled()) != 0 {
		t.Fatalf("a deletion that has failed: %+v, %v", got, w.scheduled())
	}
	w.until(w.Clock.Now().Add(time.Minute))
	if names := w.scheduled(); len(names) != 1 {
		t.Errorf("a minute later: %v, %s", names, w.slots())
	}
}

// TestASlotThatWasDealtWithLeavesItsJobAlone holds that what is due being set back, by whatever means, begins no backup again.
func TestASlotThatWasDealtWithLeavesItsJobAlone(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.until(day(5))
	name := w.scheduled()[0]
	w.complete(name)
	if _, err := w.jobs.Keeper.Hold(t.Context(), w.by, instanceID, name, []byte(`{"reason":"Case 42"}`)); err != nil {
		t.Fatal(err)
	}
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		due, err := tx.DueOf(ctx, instanceID)
		if err != nil {
			return err
		}
		due[0].At, due[0].Slot = w.Clock.Now(), due[0].Slot.Add(-time.Minute)
		return tx.PutDue(ctx, due...)
	})
	w.until(w.Clock.Now().Add(time.Second))
	w.look()
	w.look()
	if got := w.job(name); got.Status != job.Completed {
		t.Errorf("its job is %s", got.Status)
	}
	if points := w.points(); len(points) != 1 || !points[0].Held {
		t.Errorf("its recovery point: %+v", points)
	}
	if n := w.audited("Microsoft.DataProtection/backupVaults/backupJobs/end"); n != 1 {
		t.Errorf("the job has ended %d times", n)
	}
}
