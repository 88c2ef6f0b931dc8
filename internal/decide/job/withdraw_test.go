package job

import (
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

func TestABackupOfTheScheduleThatNoClusterHasSeenIsWithdrawn(t *testing.T) {
	const why = "backups of i were suspended; resume them"
	slot := began.Add(-time.Minute)
	for _, tt := range []struct {
		name   string
		change func(w *Work)
		status string
		cancel bool
	}{
		{"it waits to begin", func(*Work) {}, "Cancelled", false},
		{"it may have begun", func(w *Work) { w.Begun = true }, "InProgress", true},
		{"it was seen in its cluster", func(w *Work) { w.Begun, w.UID = true, "u" }, "InProgress", false},
		{"somebody has asked for it", func(w *Work) { w.Slot = time.Time{} }, "InProgress", false},
	} {
		s := newState()
		s.Work.Slot = slot
		tt.change(&s.Work)
		got := s.Withdraw(why, began)
		if string(got.Body.Status) != tt.status || got.Work.Cancel != tt.cancel {
			t.Errorf("%s: %s, cancel %v; want %s, %v", tt.name, got.Body.Status, got.Work.Cancel, tt.status, tt.cancel)
		}
		if told := got.Body.ErrorDetails; tt.status == "Cancelled" && (len(told) != 1 || told[0].Message != why || told[0].RecommendedAction[0] != "resume them") {
			t.Errorf("%s: it says %+v", tt.name, told)
		}
		if !tt.cancel {
			continue
		}
		got = got.Observe(Run{UID: "u", Phase: v1alpha1.RunCancelled}, began)
		if told := got.Body.ErrorDetails; got.Body.Status != Cancelled || len(told) != 1 || told[0].Message != why {
			t.Errorf("%s, once its run has ended: %s, %+v", tt.name, got.Body.Status, told)
		}
	}
}
