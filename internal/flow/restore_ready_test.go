package flow

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func restoreShop(t *testing.T, w *world, change func(*v1alpha1.RestoreSpec)) *v1alpha1.Restore {
	t.Helper()
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	return restoreOnce(t, w, change)
}

func TestARestoreSaysWhenItsWorkloadsWereReady(t *testing.T) {
	r := restoreShop(t, newShop(t), func(*v1alpha1.RestoreSpec) {})
	if g := r.Status.Progress; g.WorkloadsTotal != 1 || g.WorkloadsReady != 1 {
		t.Errorf("%d of %d workloads are ready", g.WorkloadsReady, g.WorkloadsTotal)
	}
	if r.Status.Phase != v1alpha1.RunCompleted || r.Status.ReadyTime == nil || r.Status.ReadyTime.Before(r.Status.StartTime) {
		t.Errorf("phase %s, started %v, ready %v", r.Status.Phase, r.Status.StartTime, r.Status.ReadyTime)
	}
}

func TestAWorkloadThatIsNotReadyInTimeIsAWarning(t *testing.T) {
	w := newShop(t)
	w.stuck = true
	r := restoreShop(t, w, func(s *v1alpha1.RestoreSpec) { s.ReadyTimeout = &metav1.Duration{Duration: 10 * time.Millisecond} })
	if r.Status.Phase != v1alpha1.RunCompletedWithWarnings || r.Status.ReadyTime != nil {
		t.Errorf("phase %s, ready %v", r.Status.Phase, r.Status.ReadyTime)
	}
	if len(r.Status.Warnings) != 1 {
		t.Fatalf("warnings %v", r.Status.Warnings)
	}
	warning := r.Status.Warnings[0]
	if warning.Code != string(coffer.CodeWorkloadNotReady) || warning.Resource != "statefulsets.apps shop/db" || !strings.Contains(warning.Message, "not ready after 10ms") {
		t.Errorf("warning %+v", warning)
	}
}

func TestAReadyTimeoutOfZeroWaitsForNothing(t *testing.T) {
	w := newShop(t)
	w.stuck = true
	r := restoreShop(t, w, func(s *v1alpha1.RestoreSpec) { s.ReadyTimeout = &metav1.Duration{} })
	if r.Status.Phase != v1alpha1.RunCompleted || r.Status.ReadyTime != nil || r.Status.Progress.WorkloadsTotal != 0 {
		t.Errorf("phase %s, ready %v, %d workloads", r.Status.Phase, r.Status.ReadyTime, r.Status.Progress.WorkloadsTotal)
	}
}
