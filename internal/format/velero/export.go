package velero

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// An Object is one that Coffer adds to an archive for Velero.
type Object struct {
	coffer.ObjectRef
	APIVersion, Kind string
	Body             []byte
}

// beingCut is the finalizer that the snapshot controller keeps on a claim while a snapshot of it is made.
const beingCut = "snapshot.storage.kubernetes.io/pvc-as-source-protection"

// Claim is a claim's JSON with the name of its VolumeSnapshot in it, or, if snapshot is empty, with none: one that an
// earlier restore by Velero has left there would keep the claim waiting for ever. The finalizer by which the claim is
// protected during a backup is left out: Velero would restore it, and nobody remove it. Nothing else of the claim is changed
// but the order of the fields that lead there.
func Claim(body []byte, snapshot string) ([]byte, error) {
	var object, metadata, annotations map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil {
		return nil, fmt.Errorf("read claim: %w", err)
	}
	if err := json.Unmarshal(object["metadata"], &metadata); err != nil {
		return nil, fmt.Errorf("read metadata of claim: %w", err)
	}
	if metadata == nil {
		return nil, errors.New("the claim has no metadata")
	}
	if raw, ok := metadata["annotations"]; ok {
		if err := json.Unmarshal(raw, &annotations); err != nil {
			return nil, fmt.Errorf("read annotations of claim: %w", err)
		}
	}
	var finalizers []string
	if raw, ok := metadata["finalizers"]; ok {
		if err := json.Unmarshal(raw, &finalizers); err != nil {
			return nil, fmt.Errorf("read finalizers of claim: %w", err)
		}
	}
	_, stale := annotations[snapshotNameKey]
	protected := slices.Contains(finalizers, beingCut)
	if snapshot == "" && !stale && !protected {
		return body, nil
	}
	if protected {
		kept := slices.DeleteFunc(finalizers, func(f string) bool { return f == beingCut })
		if err := set(metadata, "finalizers", kept); err != nil {
			return nil, err
		}
	}
	if snapshot != "" || stale {
		delete(annotations, snapshotNameKey)
		if annotations == nil {
			annotations = map[string]json.RawMessage{}
		}
		if snapshot != "" {
			if err := set(annotations, snapshotNameKey, snapshot); err != nil {
				return nil, err
			}
		}
		if err := set(metadata, "annotations", annotations); err != nil {
			return nil, err
		}
	}
	if err := set(object, "metadata", metadata); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

func set(object map[string]json.RawMessage, field string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode %s of claim: %w", field, err)
	}
	object[field] = raw
	return nil
}

// Snapshot is the VolumeSnapshot of this name and the VolumeSnapshotContent by which Velero finds a captured volume's data.
// Both are as of a snapshot that exists already, and keep it: restored by a Velero that knows nothing of CSI they do no
// harm. They bear no label of a Velero backup: Velero deletes the snapshots that do along with its backup, and this one
// is not Velero's to delete.
func Snapshot(v coffer.Volume, name string) ([]Object, error) {
	// A driver's content has a name always; a recovery point without it is restored all the same.
	contentName := cmp.Or(v.Content, name)
	annotations := map[string]string{handleKey: v.Handle, driverKey: v.Driver, policyKey: "Retain"}
	snapshotStatus := map[string]any{"boundVolumeSnapshotContentName": contentName, "readyToUse": true}
	contentStatus := map[string]any{"snapshotHandle": v.Handle, "readyToUse": true}
	if v.RestoreSize > 0 {
		size := resource.NewQuantity(v.RestoreSize, resource.BinarySI).String()
		annotations[restoreSizeKey], snapshotStatus["restoreSize"], contentStatus["restoreSize"] = size, size, v.RestoreSize
	}
	if v.CutTime != nil {
		snapshotStatus["creationTime"], contentStatus["creationTime"] = v.CutTime.UTC().Format(time.RFC3339), v.CutTime.UnixNano()
	}
	mode := v.VolumeMode
	if mode == "" {
		mode = "Filesystem"
	}
	snapshot, err := json.Marshal(map[string]any{
		"apiVersion": snapshotVersion, "kind": "VolumeSnapshot",
		"metadata": map[string]any{"namespace": v.Namespace, "name": name, "annotations": annotations},
		"spec":     map[string]any{"source": map[string]any{"volumeSnapshotContentName": contentName}},
		"status":   snapshotStatus,
	})
	if err != nil {
		return nil, fmt.Errorf("encode VolumeSnapshot %s/%s: %w", v.Namespace, name, err)
	}
	content, err := json.Marshal(map[string]any{
		"apiVersion": snapshotVersion, "kind": "VolumeSnapshotContent",
		"metadata": map[string]any{"name": contentName},
		"spec": map[string]any{
			"deletionPolicy": "Retain", "driver": v.Driver, "sourceVolumeMode": mode,
			"source":            map[string]any{"snapshotHandle": v.Handle},
			"volumeSnapshotRef": map[string]any{"apiVersion": snapshotVersion, "kind": "VolumeSnapshot", "namespace": v.Namespace, "name": name},
		},
		"status": contentStatus,
	})
	if err != nil {
		return nil, fmt.Errorf("encode VolumeSnapshotContent %s: %w", contentName, err)
	}
	return []Object{
		{coffer.ObjectRef{GroupResource: contents, Name: contentName}, snapshotVersion, "VolumeSnapshotContent", content},
		{coffer.ObjectRef{GroupResource: snapshots, Namespace: v.Namespace, Name: name}, snapshotVersion, "VolumeSnapshot", snapshot},
	}, nil
}
