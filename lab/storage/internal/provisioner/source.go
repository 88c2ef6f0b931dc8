package provisioner

import (
	"fmt"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

const (
	// allowModeChange on a snapshot content lets a volume be restored in another mode than it had.
	allowModeChange = "snapshot.storage.kubernetes.io/allow-volume-mode-change"
	snapshotGroup   = "snapshot.storage.k8s.io"
	snapshotKind    = "VolumeSnapshot"
	claimKind       = "PersistentVolumeClaim"
)

// sourceKind is what a claim's content comes from.
type sourceKind int

const (
	blank sourceKind = iota
	fromSnapshot
	fromClaim
	// fromOther is for a volume populator, not for this provisioner.
	fromOther
)

// sourceOf says what kind of object the claim is to be filled from, and its name.
func sourceOf(claim *corev1.PersistentVolumeClaim) (sourceKind, string, error) {
	var group, kind, name string
	switch ref, local := claim.Spec.DataSourceRef, claim.Spec.DataSource; {
	case ref != nil:
		if ref.Namespace != nil && *ref.Namespace != claim.Namespace {
			return fromOther, "", fmt.Errorf("data source %s is in namespace %s; it must be in the claim's", ref.Name, *ref.Namespace)
		}
		group, kind, name = value(ref.APIGroup), ref.Kind, ref.Name
	case local != nil:
		group, kind, name = value(local.APIGroup), local.Kind, local.Name
	default:
		return blank, "", nil
	}
	switch {
	case group == snapshotGroup && kind == snapshotKind:
		return fromSnapshot, name, nil
	case group == "" && kind == claimKind:
		return fromClaim, name, nil
	default:
		return fromOther, name, nil
	}
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// checkSnapshot returns the driver's handle of a snapshot that the claim is to be filled from, or why it cannot be.
func checkSnapshot(claim *corev1.PersistentVolumeClaim, driver string, snapshot *snapshotv1.VolumeSnapshot, content *snapshotv1.VolumeSnapshotContent) (string, error) {
	ref := content.Spec.VolumeSnapshotRef
	switch {
	case snapshot.DeletionTimestamp != nil:
		return "", fmt.Errorf("snapshot %s is being deleted", snapshot.Name)
	case ref.Namespace != snapshot.Namespace || ref.Name != snapshot.Name || ref.UID != snapshot.UID:
		return "", fmt.Errorf("snapshot %s names content %s, which belongs to %s/%s (uid %s)", snapshot.Name, content.Name, ref.Namespace, ref.Name, ref.UID)
	case content.Spec.Driver != driver:
		return "", fmt.Errorf("snapshot %s was taken by driver %s, not by %s", snapshot.Name, content.Spec.Driver, driver)
	case !ready(snapshot):
		return "", fmt.Errorf("snapshot %s is not ready to use", snapshot.Name)
	case content.Status == nil || content.Status.SnapshotHandle == nil || *content.Status.SnapshotHandle == "":
		return "", fmt.Errorf("content %s of snapshot %s has no handle yet", content.Name, snapshot.Name)
	}
	if err := checkMode(claim, content); err != nil {
		return "", err
	}
	if err := checkSize(claim, snapshot.Status.RestoreSize, "snapshot "+snapshot.Name); err != nil {
		return "", err
	}
	return *content.Status.SnapshotHandle, nil
}

func ready(snapshot *snapshotv1.VolumeSnapshot) bool {
	return snapshot.Status != nil && snapshot.Status.ReadyToUse != nil && *snapshot.Status.ReadyToUse
}

// contentName is the content a snapshot is bound to, or why there is none.
func contentName(snapshot *snapshotv1.VolumeSnapshot) (string, error) {
	if snapshot.Status == nil || value(snapshot.Status.BoundVolumeSnapshotContentName) == "" {
		return "", fmt.Errorf("snapshot %s is not bound to a content yet", snapshot.Name)
	}
	return *snapshot.Status.BoundVolumeSnapshotContentName, nil
}

// checkMode refuses to turn a filesystem into a block volume or the reverse, through which a forged filesystem could
// be handed to the kernel, unless an administrator has allowed it for this snapshot content.
func checkMode(claim *corev1.PersistentVolumeClaim, content *snapshotv1.VolumeSnapshotContent) error {
	source := content.Spec.SourceVolumeMode
	if source == nil || *source == volumeMode(claim.Spec.VolumeMode) || content.Annotations[allowModeChange] == "true" {
		return nil
	}
	return fmt.Errorf("requested volume %s/%s modifies the mode of the source volume from %s to %s but does not have permission to do so: "+
		"annotation %s: \"true\" is not present on snapshotcontent %s",
		claim.Namespace, claim.Name, *source, volumeMode(claim.Spec.VolumeMode), allowModeChange, content.Name)
}

// checkSize refuses a claim smaller than what it is to be filled from.
func checkSize(claim *corev1.PersistentVolumeClaim, least *resource.Quantity, source string) error {
	asked := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	if least == nil || asked.Cmp(*least) >= 0 {
		return nil
	}
	return fmt.Errorf("requested size %s is less than the %s of its source, %s", asked.String(), least.String(), source)
}

// checkClone returns the handle of the volume that the claim is to be a copy of, or why it cannot be.
func checkClone(claim *corev1.PersistentVolumeClaim, driver string, source *corev1.PersistentVolumeClaim, volume *corev1.PersistentVolume) (string, error) {
	ref := volume.Spec.ClaimRef
	switch {
	case source.DeletionTimestamp != nil:
		return "", fmt.Errorf("source claim %s is being deleted", source.Name)
	case source.Status.Phase != corev1.ClaimBound:
		return "", fmt.Errorf("source claim %s is %s, not Bound", source.Name, source.Status.Phase)
	case ref == nil || ref.UID != source.UID:
		return "", fmt.Errorf("source claim %s names volume %s, which belongs to another claim", source.Name, volume.Name)
	case volume.Spec.CSI == nil || volume.Spec.CSI.Driver != driver:
		return "", fmt.Errorf("source claim %s is not a volume of driver %s", source.Name, driver)
	case volumeMode(source.Spec.VolumeMode) != volumeMode(claim.Spec.VolumeMode):
		return "", fmt.Errorf("source claim %s has volume mode %s, not %s", source.Name, volumeMode(source.Spec.VolumeMode), volumeMode(claim.Spec.VolumeMode))
	}
	size := volume.Spec.Capacity[corev1.ResourceStorage]
	if err := checkSize(claim, &size, "claim "+source.Name); err != nil {
		return "", err
	}
	return volume.Spec.CSI.VolumeHandle, nil
}

func quantity(bytes int64) resource.Quantity { return *resource.NewQuantity(bytes, resource.BinarySI) }
