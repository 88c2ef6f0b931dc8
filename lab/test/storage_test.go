//go:build lab

package test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

var (
	snapshots = schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshots"}
	contents  = schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshotcontents"}
)

// snapshot asks for a snapshot of a claim.
func (c client) mustSnapshot(t *testing.T, name, claim string) {
	t.Helper()
	object := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "snapshot.storage.k8s.io/v1",
		"kind":       "VolumeSnapshot",
		"metadata":   map[string]any{"name": name},
		"spec": map[string]any{
			"volumeSnapshotClassName": "lab",
			"source":                  map[string]any{"persistentVolumeClaimName": claim},
		},
	}}
	if _, err := c.dynamic.Resource(snapshots).Namespace(c.namespace).Create(t.Context(), object, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (c client) mustBeReady(t *testing.T, snapshot string) *unstructured.Unstructured {
	t.Helper()
	var got *unstructured.Unstructured
	eventually(t, patience, func(ctx context.Context) (err error) {
		if got, err = c.dynamic.Resource(snapshots).Namespace(c.namespace).Get(ctx, snapshot, metav1.GetOptions{}); err != nil {
			return err
		}
		if ready, _, _ := unstructured.NestedBool(got.Object, "status", "readyToUse"); !ready {
			return fmt.Errorf("snapshot %s is not ready: %v", snapshot, got.Object["status"])
		}
		return nil
	})
	return got
}

func TestFilesystemVolumesSnapshotAndRestore(t *testing.T) {
	c := newClient(t, shared.lab, "files")
	c.mustClaim(t, claim("data", "320Mi", ofClass("lab-wait")))
	c.mustRun(t, pod("writer", withVolume("data", corev1.PersistentVolumeFilesystem)))
	c.mustExec(t, "writer", "sh", "-c", "echo before > /data/file; sync")
	c.mustSnapshot(t, "snap", "data")
	c.mustBeReady(t, "snap")
	c.mustExec(t, "writer", "sh", "-c", "echo after > /data/file; sync")

	c.mustClaim(t, claim("copy", "320Mi", fromSnapshot("snap")))
	c.mustRun(t, pod("reader", withVolume("copy", corev1.PersistentVolumeFilesystem)))
	if got := c.mustExec(t, "reader", "cat", "/data/file"); got != "before" {
		t.Errorf("the restored volume has %q, want what was there at the snapshot", got)
	}
	if got := c.mustExec(t, "writer", "cat", "/data/file"); got != "after" {
		t.Errorf("the volume itself has %q, want what was written last", got)
	}
}

func TestBlockVolumesSnapshotAndRestore(t *testing.T) {
	c := newClient(t, shared.lab, "blocks")
	c.mustClaim(t, claim("raw", "50Mi", block))
	c.mustRun(t, pod("writer", withVolume("raw", corev1.PersistentVolumeBlock)))
	c.mustExec(t, "writer", "sh", "-c", "echo -n before | dd of=/dev/data bs=4096 seek=10 conv=notrunc,sync,fsync 2>&1")
	c.mustSnapshot(t, "snap", "raw")
	c.mustBeReady(t, "snap")
	c.mustExec(t, "writer", "sh", "-c", "echo -n after. | dd of=/dev/data bs=4096 seek=10 conv=notrunc,sync,fsync 2>&1")

	c.mustClaim(t, claim("copy", "50Mi", block, fromSnapshot("snap")))
	c.mustRun(t, pod("reader", withVolume("copy", corev1.PersistentVolumeBlock)))
	read := "dd if=/dev/data bs=4096 skip=10 count=1 2>/dev/null | head -c 6"
	if got := c.mustExec(t, "reader", "sh", "-c", read); got != "before" {
		t.Errorf("the restored volume has %q, want what was there at the snapshot", got)
	}
	if got := c.mustExec(t, "writer", "sh", "-c", read); got != "after." {
		t.Errorf("the volume itself has %q, want what was written last", got)
	}
}

func TestVolumesGrowWhileInUse(t *testing.T) {
	c := newClient(t, shared.lab, "growth")
	c.mustClaim(t, claim("data", "320Mi"))
	c.mustRun(t, pod("user", withVolume("data", corev1.PersistentVolumeFilesystem)))
	c.mustExec(t, "user", "sh", "-c", "echo kept > /data/file")
	patch := `{"spec":{"resources":{"requests":{"storage":"640Mi"}}}}`
	if _, err := c.CoreV1().PersistentVolumeClaims(c.namespace).Patch(t.Context(), "data", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	want := resource.MustParse("640Mi")
	eventually(t, patience, func(ctx context.Context) error {
		got, err := c.CoreV1().PersistentVolumeClaims(c.namespace).Get(ctx, "data", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if size := got.Status.Capacity[corev1.ResourceStorage]; size.Cmp(want) < 0 {
			return fmt.Errorf("the claim has %s", size.String())
		}
		return nil
	})
	size := c.mustExec(t, "user", "sh", "-c", "df -m /data | tail -1 | awk '{print $2}'")
	var mebibytes int
	if _, err := fmt.Sscan(size, &mebibytes); err != nil || mebibytes < 500 {
		t.Errorf("the file system has %s MiB, want it to have grown with the volume", size)
	}
	if got := c.mustExec(t, "user", "cat", "/data/file"); got != "kept" {
		t.Errorf("the file has %q", got)
	}
}

func TestVolumeModeOfASnapshotIsProtected(t *testing.T) {
	c := newClient(t, shared.lab, "modes")
	c.mustClaim(t, claim("data", "320Mi"))
	c.mustBind(t, "data")
	c.mustSnapshot(t, "snap", "data")
	snapshot := c.mustBeReady(t, "snap")
	c.mustClaim(t, claim("changed", "320Mi", block, fromSnapshot("snap")))
	eventually(t, patience, func(ctx context.Context) error {
		if event := c.lastEvent(ctx, "changed"); !strings.Contains(event, "mode") {
			return fmt.Errorf("no refusal, but %q", event)
		}
		return nil
	})
	content, _, _ := unstructured.NestedString(snapshot.Object, "status", "boundVolumeSnapshotContentName")
	patch := `{"metadata":{"annotations":{"snapshot.storage.kubernetes.io/allow-volume-mode-change":"true"}}}`
	if _, err := c.dynamic.Resource(contents).Patch(t.Context(), content, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	c.mustClaim(t, claim("allowed", "320Mi", block, fromSnapshot("snap")))
	c.mustBind(t, "allowed")
}

func TestTheDriverWithoutSnapshotsRefusesThem(t *testing.T) {
	c := newClient(t, shared.lab, "nosnap")
	c.mustClaim(t, claim("data", "50Mi", ofClass("lab-nosnap")))
	c.mustBind(t, "data")
	c.mustSnapshot(t, "snap", "data")
	eventually(t, patience, func(ctx context.Context) error {
		got, err := c.dynamic.Resource(snapshots).Namespace(c.namespace).Get(ctx, "snap", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if message, _, _ := unstructured.NestedString(got.Object, "status", "error", "message"); message == "" {
			return fmt.Errorf("no error, but %v", got.Object["status"])
		}
		return nil
	})
}
