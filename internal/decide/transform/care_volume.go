package transform

import "k8s.io/apimachinery/pkg/api/resource"

// legacyClass is how claims and volumes named their class at first; it still comes before the field.
const legacyClass = "volume.beta.kubernetes.io/storage-class"

// mapClass gives a claim or volume the class that takes the place of its own.
func (w *work) mapClass(metadata, spec map[string]any) {
	w.mapName(spec, "storageClassName")
	w.mapName(child(metadata, "annotations"), legacyClass)
}

func (w *work) mapName(object map[string]any, field string) {
	class, has := object[field].(string)
	if to, mapped := w.StorageClasses[class]; has && mapped {
		object[field] = to
	}
}

// careClaim frees a claim from the volume that it was bound to, and lets its volume be made of a snapshot.
func careClaim(w *work) {
	dropKeys(w.metadata, "annotations",
		"pv.kubernetes.io/bind-completed", "pv.kubernetes.io/bound-by-controller",
		"volume.kubernetes.io/selected-node", "volume.kubernetes.io/storage-provisioner",
		"volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-resizer")
	// What Velero finds the claim's snapshot by: see format/velero.
	for _, field := range []string{"annotations", "labels"} {
		dropKeys(w.metadata, field, "velero.io/volume-snapshot-name", "velero.io/backup-name",
			"velero.io/data-upload-name", "backup.velero.io/must-include-additional-items", "backup.velero.io/skipped-no-csi-pv", "restore.velero.io/must-include-additional-items")
	}
	// The snapshot controller's is there while a snapshot is being taken, as it is during every backup: restored, nobody would
	// ever remove it, and the claim could not be deleted any more.
	dropElements(w.metadata, "finalizers", isOneOf("kubernetes.io/pvc-protection", "snapshot.storage.kubernetes.io/pvc-as-source-protection"))
	spec := child(w.object, "spec")
	w.object["spec"] = spec
	w.mapClass(w.metadata, spec)
	// A source that the claim once had is history: the data is that of the recovery point, or none.
	delete(spec, "dataSource")
	delete(spec, "dataSourceRef")
	if w.KeepVolume {
		return
	}
	delete(spec, "volumeName")
	delete(spec, "selector")
	if w.Snapshot != "" {
		spec["dataSource"] = map[string]any{
			"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": w.Snapshot,
		}
		growRequest(spec, w.RestoreSize)
	}
}

// growRequest raises the request to what the driver needs: the volume may have been larger than was asked for.
func growRequest(spec map[string]any, least int64) {
	requests := child(child(spec, "resources"), "requests")
	asked, err := resource.ParseQuantity(text(requests, "storage"))
	if err == nil && asked.CmpInt64(least) < 0 {
		requests["storage"] = resource.NewQuantity(least, resource.BinarySI).String()
	}
}

// careVolume lets a volume that is restored as it was wait for its claim, which will have another UID. What the driver and the
// attacher keep on it they keep on it again.
func careVolume(w *work) {
	dropKeys(w.metadata, "annotations", "pv.kubernetes.io/bound-by-controller")
	dropElements(w.metadata, "finalizers", isOneOf("kubernetes.io/pv-protection", "external-attacher/", "external-provisioner.volume.kubernetes.io/finalizer"))
	spec := child(w.object, "spec")
	w.mapClass(w.metadata, spec)
	if claim, has := spec["claimRef"].(map[string]any); has {
		delete(claim, "uid")
		delete(claim, "resourceVersion")
		w.follow(claim, "spec.claimRef", "namespace")
	}
}
