package flow

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Kubernetes looks for a free volume that fits before it has one made of the snapshot.
func TestAClaimThatGotAnotherVolumeIsNotSaidToBeRestored(t *testing.T) {
	w := newShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	w.stray = "somebodys"
	r := restoreOnce(t, w)
	if r.Status.Phase != v1alpha1.RunCompletedWithWarnings || r.Status.Progress.VolumesBound != 0 {
		t.Errorf("phase %s, %d volumes", r.Status.Phase, r.Status.Progress.VolumesBound)
	}
	found := ""
	for _, warning := range r.Status.Warnings {
		if warning.Code == string(coffer.CodeVolumeForeign) {
			found = warning.Resource + ": " + warning.Message
		}
	}
	if !strings.Contains(found, "shop/data") || !strings.Contains(found, "somebodys") {
		t.Errorf("it is not said: %+v", r.Status.Warnings)
	}
}

func TestARestoreTestFailsWhereAClaimGotAnotherVolume(t *testing.T) {
	w := newLoudShop(t)
	w.stray = "somebodys"
	test := proveIt(t, w, keep(t, w, newTestObject()))
	report := mustProof(t, w, test)
	if report.Outcome != "Failed" || len(report.Volumes) != 1 || report.Volumes[0].Restored || !strings.Contains(report.Volumes[0].Reason, "somebodys") {
		t.Errorf("report %+v", report)
	}
	volume := w.objects[objectKey("persistentvolumes", "", "somebodys")]
	if volume == nil || volume["spec"].(map[string]any)["persistentVolumeReclaimPolicy"] != "Retain" {
		t.Errorf("somebody's volume goes with the test: %v", volume)
	}
}
