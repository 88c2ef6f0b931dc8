package runner_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// TestTheScheduleGoesOnOnceAClockThatRanAheadIsPutRight holds that what lies before the time that it had reached is due again, and nothing twice.
func TestTheScheduleGoesOnOnceAClockThatRanAheadIsPutRight(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.days(5, 5)
	w.days(8, 8)
	w.until(day(5).Add(time.Hour))
	w.until(day(5).Add(time.Hour + time.Second))
	if got := w.alerts(); got != "BackupMissed one 1" {
		t.Errorf("alerts, once the clock was put right: %s", got)
	}
	w.view(func(v catalogue.View) error {
		found, err := v.Alerts(t.Context(), catalogue.AlertQuery{Vault: vaultID, Open: true, Limit: 1})
		if err == nil && (len(found) != 1 || !strings.Contains(string(found[0].Body), "clock ran ahead") || !strings.Contains(string(found[0].Body), "1 backup")) {
			t.Errorf("the alert: %s", found[0].Body)
		}
		return err
	})
	backUp := func(n int) {
		w.until(day(n))
		w.view(func(v catalogue.View) error {
			slot, err := v.Slots(t.Context(), catalogue.SlotQuery{Instance: instanceID, To: day(n), Limit: 1})
			if err == nil {
				w.complete(slot[0].Job)
			}
			return err
		})
	}
	backUp(6)
	backUp(7)
	jobs := len(w.scheduled())
	w.until(day(8))
	if again := len(w.scheduled()) - jobs; again != 0 {
		t.Errorf("the slot that was reached before has begun %d times again", again)
	}
	backUp(9)
	want := "2026-05-05T02:00 Begun, 2026-05-06T02:00 Begun, 2026-05-07T02:00 Begun, 2026-05-08T02:00 Begun 2 since 2026-05-06T02:00, 2026-05-09T02:00 Begun"
	if got := w.slots(); got != want {
		t.Errorf("slots: %s, want %s", got, want)
	}
	if got := w.alerts(); got != "" {
		t.Errorf("alerts in the end: %s", got)
	}
}

// TestAScheduleThatWaitsForAWindowGoesOnOnceTheClockIsPutRight holds it where no slot has begun ahead of its time.
func TestAScheduleThatWaitsForAWindowGoesOnOnceTheClockIsPutRight(t *testing.T) {
	w := newWorld(t)
	w.put(policyID, strings.Replace(policyBody, `{"properties":{`, `{"properties":{"coffer":{"exclusionWindows":[{"start":"R/2026-05-20T00:00:00/P1Y","duration":"P30D"}]},`, 1))
	w.until(w.Clock.Now())
	w.until(day(25))
	w.until(day(5).Add(-time.Hour))
	w.until(day(5).Add(-time.Hour + time.Second))
	w.days(5, 6)
	if got, want := w.slots(), "2026-05-05T02:00 Begun, 2026-05-06T02:00 Begun"; got != want {
		t.Errorf("slots: %s, want %s", got, want)
	}
	if got := w.alerts(); got != "" {
		t.Errorf("alerts: %s", got)
	}
}

// TestAnInstanceThatCouldNotBeDealtWithIsLeftAloneForAMinuteByAnyClock holds that a clock which is put back does not make it a day.
func TestAnInstanceThatCouldNotBeDealtWithIsLeftAloneForAMinuteByAnyClock(t *testing.T) {
	w := newWorld(t)
	s := w.newScheduler()
	look := func(at time.Time) {
		t.Helper()
		w.Clock.Move(at.Sub(w.Clock.Now()))
		if err := s.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r, err := w.jobs.Keeper.Get(t.Context(), policyID)
	if err != nil {
		t.Fatal(err)
	}
	keep := func(body string) {
		w.update(func(ctx context.Context, tx catalogue.Tx) error {
			r.Body = []byte(body)
			r, err = tx.PutResource(ctx, r, catalogue.Condition{})
			return err
		})
	}
	body := string(r.Body)
	look(w.Clock.Now())
	keep(`{"properties":{}}`)
	look(day(9))
	keep(body)
	look(day(5))
	if got, want := w.slots(), "2026-05-05T02:00 Begun"; got != want {
		t.Errorf("slots: %s, want %s", got, want)
	}
}
