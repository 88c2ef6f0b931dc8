package runner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// at3 is the policy that backs up an hour later.
var at3 = strings.Replace(policyBody, "R/2026-01-01T02:00:00", "R/2026-01-01T03:00:00", 1)

// TestASlotThatWasDueBeforeItsScheduleChangedIsBegun holds that who moves a schedule away from under a slot loses no backup by that.
func TestASlotThatWasDueBeforeItsScheduleChangedIsBegun(t *testing.T) {
	slot := day(5).Add(-time.Minute)
	for _, tt := range []struct {
		name         string
		change       func(w *world)
		slots, alert string
	}{
		{"between the slot and its start", func(w *world) {
			w.until(slot)
			if w.slots() != "" {
				t.Fatalf("it has begun at its slot, and not by its spread: %s", w.slots())
			}
			w.put(policyID, at3)
			w.until(slot.Add(time.Second))
			w.until(slot.Add(40 * time.Second))
		}, "2026-05-05T02:00 Begun, 2026-05-05T03:00 Begun", ""},
		{"the instance follows another policy", func(w *world) {
			w.until(slot)
			w.put(vaultID+"/backupPolicies/other", at3)
			r, err := w.jobs.Keeper.Get(w.t.Context(), instanceID)
			if err != nil {
				t.Fatal(err)
			}
			w.put(instanceID, strings.Replace(string(r.Body), string(policyID), string(vaultID+"/backupPolicies/other"), 1))
			w.until(slot.Add(40 * time.Second))
		}, "2026-05-05T02:00 Begun, 2026-05-05T03:00 Begun", ""},
		{"nobody has looked for half an hour", func(w *world) {
			w.Clock.Move(day(5).Add(30 * time.Minute).Sub(w.Clock.Now()))
			w.put(policyID, at3)
			w.until(day(5).Add(31 * time.Minute))
		}, "2026-05-05T02:00 CaughtUp, 2026-05-05T03:00 Begun", "BackupMissed one 1"},
		{"nobody has looked until the next one", func(w *world) {
			w.Clock.Move(day(5).Add(30 * time.Minute).Sub(w.Clock.Now()))
			w.put(policyID, at3)
		}, "2026-05-05T03:00 Begun 1 since 2026-05-05T02:00", "BackupMissed one 1"},
		{"backups are suspended as well", func(w *world) {
			w.until(slot)
			w.put(policyID, at3)
			w.protect(protection.SuspendBackups)
			w.until(slot.Add(40 * time.Second))
			w.protect(protection.ResumeBackups)
			w.until(slot.Add(50 * time.Second))
		}, "2026-05-05T03:00 Begun", ""},
		{"it is changed back", func(w *world) {
			w.until(slot)
			w.put(policyID, at3)
			w.until(slot.Add(time.Second))
			w.put(policyID, policyBody)
			w.until(slot.Add(40 * time.Second))
			w.put(policyID, at3)
			w.until(slot.Add(50 * time.Second))
		}, "2026-05-05T02:00 Begun, 2026-05-05T03:00 Begun", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.until(w.Clock.Now())
			tt.change(w)
			alerts := w.alerts()
			if names := w.scheduled(); len(names) > 0 {
				w.complete(names[0])
			}
			w.until(day(5).Add(time.Hour))
			if strings.Contains(tt.slots, " since ") {
				alerts = w.alerts()
			}
			if got := w.slots(); got != tt.slots || alerts != tt.alert {
				t.Errorf("slots: %s, want %s; alerts: %q, want %q", got, tt.slots, alerts, tt.alert)
			}
			if n := len(w.scheduled()); n != strings.Count(tt.slots, "2026-05-05T0")-strings.Count(tt.slots, " since ") {
				t.Errorf("%d jobs: %s", n, fmt.Sprint(w.scheduled()))
			}
		})
	}
}
