package runner_test

import (
	"context"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/history"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

func TestSlotsAndClosedAlertsOfLongAgoAreDeleted(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.until(day(6))
	h := w.newHistories(history.Defaults())
	sweep := func() {
		t.Helper()
		if err := h.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (n int) {
		t.Helper()
		w.view(func(v catalogue.View) error {
			found, err := v.Alerts(t.Context(), catalogue.AlertQuery{Vault: vaultID, Limit: 10})
			n = len(found)
			return err
		})
		return n
	}
	w.Clock.Move(91 * 24 * time.Hour)
	if sweep(); kept() != 1 {
		t.Fatal("an alert that is open was deleted")
	}
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		found, err := tx.Alerts(ctx, catalogue.AlertQuery{Vault: vaultID, Limit: 1})
		if err != nil {
			return err
		}
		found[0].State, found[0].Closed = catalogue.AlertClosed, w.Clock.Now()
		return tx.PutAlert(ctx, found[0])
	})
	w.Clock.Move(89 * 24 * time.Hour)
	if sweep(); kept() != 1 {
		t.Error("an alert was deleted that was closed 89 days ago")
	}
	w.Clock.Move(2 * 24 * time.Hour)
	if sweep(); kept() != 0 {
		t.Error("an alert is there that was closed 91 days ago")
	}
	w.Clock.Move(day(6).Add(399 * 24 * time.Hour).Sub(w.Clock.Now()))
	if sweep(); w.slots() == "" {
		t.Error("a slot of 399 days ago was deleted")
	}
	w.Clock.Move(2 * 24 * time.Hour)
	if sweep(); w.slots() != "" {
		t.Errorf("slots of 401 days ago: %s", w.slots())
	}
}

func TestARunThatDeletesStaysUntilItsJobHasSeenItsEnd(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	w.look()
	name := w.deletion()
	for _, run := range w.cluster.Names("deletebackups") {
		w.cluster.SetStatus("deletebackups", run, `{"phase":"Completed","completionTime":"2026-05-04T12:01:00Z"}`)
	}
	w.Clock.Move(48 * time.Hour)
	w.runner.Sweep(t.Context())
	w.look()
	w.look()
	if got := w.job(name); got.Status != job.Completed {
		t.Errorf("the deletion whose cluster was away for two days is %s: %+v", got.Status, got.ExtendedInfo)
	}
}
