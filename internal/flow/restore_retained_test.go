package flow

import (
	"slices"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// newRetained is a shop whose volume cannot be snapshotted and outlives its claim, backed up and with its namespace deleted.
func newRetained(t *testing.T) (*world, map[string]any) {
	t.Helper()
	w := newShop(t)
	key := objectKey("persistentvolumes", "", "pv")
	volume := w.objects[key]
	if volume == nil {
		t.Fatal("the shop has no such volume")
	}
	spec := volume["spec"].(map[string]any)
	delete(spec, "csi")
	spec["nfs"] = map[string]any{"server": "s", "path": "/p"}
	spec["persistentVolumeReclaimPolicy"] = "Retain"
	spec["claimRef"] = map[string]any{"namespace": "shop", "name": "data", "uid": "of-old", "resourceVersion": "1"}
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	return w, volume
}

func mustKeepVolume(t *testing.T, w *world, r *v1alpha1.Restore) {
	t.Helper()
	if !r.Status.Phase.Succeeded() || !slices.ContainsFunc(r.Status.Warnings, func(w v1alpha1.Warning) bool { return w.Code == string(coffer.CodeVolumeKept) }) {
		t.Errorf("phase %s: %s, %+v", r.Status.Phase, r.Status.Message, r.Status.Warnings)
	}
	claim, volume := w.objects[objectKey("persistentvolumeclaims", "shop", "data")], w.objects[objectKey("persistentvolumes", "", "pv")]
	if claim == nil || volume == nil {
		t.Fatalf("claim %v, volume %v", claim, volume)
	}
	if name := claim["spec"].(map[string]any)["volumeName"]; name != "pv" {
		t.Errorf("the claim asks for volume %v", name)
	}
	ref := volume["spec"].(map[string]any)["claimRef"].(map[string]any)
	if ref["uid"] != nil || ref["name"] != "data" || ref["namespace"] != "shop" {
		t.Errorf("the volume waits for %v", ref)
	}
}

func TestAReleasedVolumeIsBoundAgain(t *testing.T) {
	w, volume := newRetained(t)
	volume["status"] = map[string]any{"phase": "Released"}
	mustKeepVolume(t, w, restoreOnce(t, w))
}

func TestAVolumeThatIsGoneIsRestoredAsItWas(t *testing.T) {
	w, _ := newRetained(t)
	delete(w.objects, objectKey("persistentvolumes", "", "pv"))
	mustKeepVolume(t, w, restoreOnce(t, w))
}

// Whoever uses the volume meanwhile keeps it.
func TestAVolumeThatIsAnothersIsLeftAlone(t *testing.T) {
	w, volume := newRetained(t)
	volume["status"] = map[string]any{"phase": "Bound"}
	volume["spec"].(map[string]any)["claimRef"] = map[string]any{"namespace": "bank", "name": "data", "uid": "theirs"}
	r := restoreOnce(t, w)
	if !slices.ContainsFunc(r.Status.Warnings, func(w v1alpha1.Warning) bool { return w.Code == string(coffer.CodeVolumePending) }) {
		t.Errorf("phase %s, warnings %+v", r.Status.Phase, r.Status.Warnings)
	}
	if ref := volume["spec"].(map[string]any)["claimRef"].(map[string]any); ref["uid"] != "theirs" {
		t.Errorf("the volume is taken from its claim: %v", ref)
	}
}
