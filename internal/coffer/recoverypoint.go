package coffer

import "time"

// VolumeResult says what became of a volume in a recovery point.
type VolumeResult string

// The results.
const (
	// VolumeCaptured means that the recovery point holds the data.
	VolumeCaptured VolumeResult = "Captured"
	// VolumeSkipped means that it does not, for the stated reason.
	VolumeSkipped VolumeResult = "Skipped"
)

// Volume is one claim of a recovery point and what became of its data.
type Volume struct {
	Namespace string `json:"namespace"`
	// Claim is the PersistentVolumeClaim's name.
	Claim string `json:"claim"`
	// PersistentVolume is the name of the volume that was bound, if any.
	PersistentVolume string `json:"persistentVolume,omitempty"`
	// StorageClass of the claim.
	StorageClass string `json:"storageClass,omitempty"`
	// VolumeMode is Filesystem or Block.
	VolumeMode string       `json:"volumeMode,omitempty"`
	Result     VolumeResult `json:"result"`
	// Code and Reason say why a volume was skipped.
	Code   Code   `json:"code,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Driver and Handle identify the snapshot.
	Driver string `json:"driver,omitempty"`
	Handle string `json:"handle,omitempty"`
	// Content is the name that the VolumeSnapshotContent had in the source cluster.
	Content string `json:"content,omitempty"`
	// RestoreSize is the least size in bytes of a volume made of the snapshot.
	RestoreSize int64 `json:"restoreSize,omitempty"`
	// CutTime is when the data was fixed.
	CutTime *time.Time `json:"cutTime,omitempty"`
}

// BlobDigest names one blob of a recovery point, its size in bytes and its SHA-256 in hexadecimal digits.
type BlobDigest struct {
	Key    string `json:"key"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Encrypted says that the blob is encrypted as Manifest.Encryption says. Size and SHA256 are of what is stored.
	Encrypted bool `json:"encrypted,omitempty"`
}

// Encryption says how blobs of a recovery point were encrypted.
type Encryption struct {
	// Format is "age-encryption.org/v1".
	Format string `json:"format"`
	// Recipients are the public keys to which they were.
	Recipients []string `json:"recipients"`
}

// Manifest is the last object of a recovery point to be written: there is a recovery point exactly if there is a
// manifest. It lists everything that the recovery point is made of.
type Manifest struct {
	// FormatVersion is raised when an older reader could not understand the recovery point.
	FormatVersion int `json:"formatVersion"`
	// Name of the recovery point.
	Name string `json:"name"`
	// UID of the Backup that made it.
	UID string `json:"uid"`
	// Cluster is the UID of the kube-system namespace, which stands for the source cluster.
	Cluster string `json:"cluster,omitempty"`
	// Producer is the version of the program that wrote it.
	Producer string `json:"producer"`
	// Started and Completed bound the time in which it was made. Completed is when the manifest was written.
	Started   time.Time `json:"started"`
	Completed time.Time `json:"completed"`
	// Objects is the number of Kubernetes objects in the archive.
	Objects int64 `json:"objects"`
	// Whole says that the recovery point is of all namespaces.
	Whole bool `json:"whole"`
	// Partial says that something in scope is missing; the coverage says what.
	Partial bool `json:"partial"`
	// Volumes in scope, captured and skipped.
	Volumes []Volume `json:"volumes"`
	// Encryption of those blobs that are marked as encrypted: all that hold what was captured, or none. Nil is none.
	Encryption *Encryption `json:"encryption,omitempty"`
	// Blobs are the other objects of the recovery point.
	Blobs []BlobDigest `json:"blobs"`
}

// SkippedObject is one object that was in the selected namespaces and is not in the archive.
type SkippedObject struct {
	ObjectRef
	// Code is there if the object was asked for and could not be captured: then the recovery point is partial.
	Code   Code   `json:"code,omitempty"`
	Reason string `json:"reason"`
}

// NeededObject is one cluster-scoped object that is in the archive because another object there needs it.
type NeededObject struct {
	ObjectRef
	Reason string `json:"reason"`
}

// NotSelected counts the objects of one type that were seen and that nobody had asked for, for one reason.
type NotSelected struct {
	TypeGap
	Objects int64 `json:"objects"`
}

// Coverage is the ledger of a recovery point: what is in scope, captured or skipped, and why.
type Coverage struct {
	// Captured counts the captured objects of each type, by RESOURCE.GROUP.
	Captured map[string]int64 `json:"captured"`
	// Namespaces that were captured.
	Namespaces []string `json:"namespaces"`
	// SkippedTypes are the types that were left out by rule or by choice, and why.
	SkippedTypes []TypeGap `json:"skippedTypes"`
	// Gaps are the types that should have been captured and could not be read.
	Gaps []TypeGap `json:"gaps"`
	// Inconsistent are the types whose objects are not all of one moment, and why.
	Inconsistent []TypeGap `json:"inconsistent,omitempty"`
	// SkippedObjects of types that were captured.
	SkippedObjects []SkippedObject `json:"skippedObjects"`
	// Needed are the cluster-scoped objects that nobody has chosen and that those that were chosen need.
	Needed []NeededObject `json:"needed,omitempty"`
	// NotSelected counts what the filters left out of the types and namespaces that were looked at.
	NotSelected []NotSelected `json:"notSelected,omitempty"`
	// Volumes in scope, captured and skipped.
	Volumes []Volume `json:"volumes"`
}
