// Package velero is what a recovery point has to hold for Velero to restore its volumes, and what can be read of a backup
// that Velero has made.
//
// In both directions a CSI snapshot travels as three objects of the archive: the claim names a VolumeSnapshot by an
// annotation, the VolumeSnapshot its VolumeSnapshotContent, and that has the driver's handle. See pkg/restore/actions/csi
// of Velero 1.18.
//
// Everything that is read is treated as hostile: sizes and counts are bounded.
package velero

import "github.com/coffer-backup/coffer/internal/coffer"

const (
	// snapshotNameKey on a claim names its VolumeSnapshot.
	snapshotNameKey = "velero.io/volume-snapshot-name"
	handleKey       = "velero.io/csi-volumesnapshot-handle"
	driverKey       = "velero.io/csi-driver-name"
	policyKey       = "velero.io/csi-vsc-deletion-policy"
	restoreSizeKey  = "velero.io/csi-volumesnapshot-restore-size"

	snapshotGroup   = "snapshot.storage.k8s.io"
	snapshotVersion = snapshotGroup + "/v1"
)

var (
	claims    = coffer.GroupResource{Resource: "persistentvolumeclaims"}
	snapshots = coffer.GroupResource{Group: snapshotGroup, Resource: "volumesnapshots"}
	contents  = coffer.GroupResource{Group: snapshotGroup, Resource: "volumesnapshotcontents"}
)

func corrupt(format string, args ...any) error {
	return coffer.Errorf(coffer.CodeArchiveCorrupt, format, args...)
}
