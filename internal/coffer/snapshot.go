package coffer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// SnapshotClass says how one CSI driver is asked for snapshots.
type SnapshotClass struct {
	Name   string
	Driver string
	// Default marks the class that the cluster's administrator chose for the driver.
	Default bool
	// Parameters are the driver's own.
	Parameters map[string]string
}

// SnapshotRequest asks for the snapshot of one claim.
type SnapshotRequest struct {
	// Name is deterministic, so that a repeated request finds the first one's snapshot: at most 63 lower-case
	// letters and digits.
	Name string
	// Namespace and Claim name the PersistentVolumeClaim.
	Namespace, Claim string
	// Class is the SnapshotClass to use; its deletion policy does not matter.
	Class string
	// Run is the UID of the run that the snapshot belongs to.
	Run string
}

// SnapshotState is what is known of a requested snapshot.
type SnapshotState struct {
	Namespace string
	// Request is the name that it was requested by.
	Request string
	// Cut says that the data is fixed: later writes to the volume are not part of it.
	Cut bool
	// CutTime is when.
	CutTime time.Time
	// Ready says that a volume can be made of it.
	Ready bool
	// Handle is the driver's name for it, known once cut.
	Handle string
	// Driver is the CSI driver's name.
	Driver string
	// Content is the name of the VolumeSnapshotContent.
	Content string
	// RestoreSize is the least size in bytes of a volume made of it, zero if the driver did not say.
	RestoreSize int64
	// Problem is the driver's last complaint. It may still succeed later.
	Problem string
}

// PresentRequest asks for an existing snapshot, known by its handle, to be made usable in a namespace.
type PresentRequest struct {
	// Name is deterministic, so that a repeated request finds the first one's objects: at most 63 lower-case
	// letters and digits.
	Name string
	// Namespace in which a claim will name the snapshot as its data source.
	Namespace string
	// Driver and Handle identify the snapshot.
	Driver, Handle string
	// VolumeMode that the snapshot was taken of: Filesystem or Block.
	VolumeMode string
	// Run is the UID of the run that the snapshot is presented for.
	Run string
}

// RunSnapshots are the snapshots of one run whose API objects are there.
type RunSnapshots struct {
	// Run is its UID.
	Run       string
	Snapshots int
	// Bytes is how large volumes made of them would be at least, as far as that is known.
	Bytes int64
	// Created is when the first of them was asked for.
	Created time.Time
}

// Snapshots takes, presents and deletes CSI snapshots. All methods may be called concurrently and repeated: each
// looks at what exists and does what is missing.
type Snapshots interface {
	// Available is nil if the cluster serves the VolumeSnapshot API.
	Available(ctx context.Context) error
	// Classes lists the classes by which snapshots can be taken.
	Classes(ctx context.Context) ([]SnapshotClass, error)
	// Cut asks for a snapshot that survives the deletion of its namespace, and does not wait for it.
	Cut(ctx context.Context, r SnapshotRequest) error
	// Observe says how the snapshots that a run asked for, or presented, stand.
	Observe(ctx context.Context, run string) ([]SnapshotState, error)
	// Cuts tells of the snapshots that any run has cut and whose API objects are there, once for each run; not of those that were presented.
	Cuts(ctx context.Context) ([]RunSnapshots, error)
	// Release removes the API objects of the snapshots of a run that match, and leaves the snapshots themselves on
	// the storage. It answers false as long as something is left to be removed. A nil match is all.
	Release(ctx context.Context, run string, match func(SnapshotState) bool) (bool, error)
	// Discard removes the API objects of the snapshots that a run cut and that match, and the snapshots themselves.
	// It answers false as long as something is left. Snapshots that the run presented are not deleted, only
	// released. A nil match is all.
	Discard(ctx context.Context, run string, match func(SnapshotState) bool) (bool, error)
	// Present makes an existing snapshot usable in a namespace, by the VolumeSnapshot whose name it answers, and
	// does not wait for it.
	Present(ctx context.Context, r PresentRequest) (snapshot string, err error)
	// PresentedName is the name of the VolumeSnapshot that Present makes for a request of this run and name.
	PresentedName(run, request string) string
	// Destroy deletes a snapshot by its handle and waits until the driver has confirmed that it is gone, a few
	// minutes at most. A driver that this cluster does not have is an Error with CodeDriverMissing.
	Destroy(ctx context.Context, driver, handle string) error
}

// ShortHash is a name for something whose own name may be too long or hold other characters: 16 hexadecimal digits.
func ShortHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:8])
}
