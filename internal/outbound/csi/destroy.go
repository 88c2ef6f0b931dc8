package csi

import (
	"context"
	"fmt"
	"time"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	// contentFinalizer is the sidecar's: with it on an object from the beginning, the object cannot vanish before
	// the driver has deleted the snapshot. The snapshot controller adds it only to contents that are bound.
	contentFinalizer = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"
	// destroyTimeout bounds one attempt. The caller tries again.
	destroyTimeout = 2 * time.Minute
)

// Destroy implements coffer.Snapshots. It makes a content that nothing is bound to, with deletionPolicy Delete, and
// deletes it: the driver's sidecar then deletes the snapshot before it lets the content go. A snapshot that is gone
// already is no error: CSI's DeleteSnapshot must answer OK for one that does not exist.
func (s *Snapshots) Destroy(ctx context.Context, driver, handle string) error {
	var installed storagev1.CSIDriver
	if err := s.client.Get(ctx, client.ObjectKey{Name: driver}, &installed); apierrors.IsNotFound(err) {
		return coffer.Errorf(coffer.CodeDriverMissing, "snapshot %s belongs to CSI driver %q, which this cluster does not have", handle, driver).
			WithHint("delete the recovery point from a cluster that has the driver")
	} else if err != nil {
		return translate(err, "get CSIDriver %s", driver)
	}
	content, err := s.unbound(ctx, driver, handle)
	if err != nil {
		return err
	}
	if err := s.delete(ctx, content); err != nil {
		return err
	}
	return s.awaitGone(ctx, content)
}

func (s *Snapshots) unbound(ctx context.Context, driver, handle string) (*snapshotv1.VolumeSnapshotContent, error) {
	name := "coffer-delete-" + coffer.ShortHash(driver+"\x00"+handle)
	content := &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{managedByLabel: managedBy}, Finalizers: []string{contentFinalizer},
		},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver:            driver,
			DeletionPolicy:    snapshotv1.VolumeSnapshotContentDelete,
			Source:            snapshotv1.VolumeSnapshotContentSource{SnapshotHandle: &handle},
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: s.namespace, Name: name},
		},
	}
	if err := s.client.Create(ctx, content); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, translate(err, "create VolumeSnapshotContent %s", name)
	}
	if err := s.client.Get(ctx, client.ObjectKey{Name: name}, content); err != nil {
		return nil, translate(err, "get VolumeSnapshotContent %s", name)
	}
	if content.DeletionTimestamp != nil {
		return content, nil
	}
	// The sidecar deletes only what a status names. It would find the handle out by itself, but never for a
	// snapshot that an earlier attempt has deleted already.
	before := content.DeepCopy()
	ready := true
	if content.Status == nil {
		content.Status = &snapshotv1.VolumeSnapshotContentStatus{}
	}
	content.Status.SnapshotHandle, content.Status.ReadyToUse = &handle, &ready
	if err := s.client.Status().Patch(ctx, content, client.MergeFrom(before)); err != nil {
		return nil, translate(err, "set status of VolumeSnapshotContent %s", name)
	}
	return content, nil
}

func (s *Snapshots) awaitGone(ctx context.Context, content *snapshotv1.VolumeSnapshotContent) error {
	problem := ""
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, destroyTimeout, true, func(ctx context.Context) (bool, error) {
		var now snapshotv1.VolumeSnapshotContent
		err := s.client.Get(ctx, client.ObjectKeyFromObject(content), &now)
		switch {
		case apierrors.IsNotFound(err):
			return true, nil
		case err != nil:
			return false, translate(err, "get VolumeSnapshotContent %s", content.Name)
		}
		if now.Status != nil && now.Status.Error != nil && now.Status.Error.Message != nil {
			problem = *now.Status.Error.Message
		}
		return false, s.delete(ctx, &now)
	})
	if err != nil {
		return fmt.Errorf("wait for CSI driver %q to delete snapshot %s (its last complaint: %q): %w",
			content.Spec.Driver, *content.Spec.Source.SnapshotHandle, problem, err)
	}
	return nil
}
