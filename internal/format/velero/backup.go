package velero

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

// MaxBackupSize bounds velero-backup.json as read, in bytes: it was an object of an API server, which has 1.5 MiB.
// MaxVolumeInfoSize bounds the list of volumes before and after it is unzipped; a volume takes about 500 bytes of it.
const (
	MaxBackupSize     = 4 << 20
	MaxVolumeInfoSize = 64 << 20
)

// volumeInfoLimits bound the list in memory, where an empty volume takes a hundred times the bytes of its text.
var volumeInfoLimits = bounded.JSONLimits{Depth: 20, Containers: 200_000, Values: 4_000_000}

// Backup is what velero-backup.json says of a backup.
type Backup struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
		UID  string `json:"uid"`
	} `json:"metadata"`
	Spec struct {
		IncludedNamespaces []string `json:"includedNamespaces"`
	} `json:"spec"`
	Status struct {
		Phase     string     `json:"phase"`
		Started   *time.Time `json:"startTimestamp"`
		Completed *time.Time `json:"completionTimestamp"`
		Errors    int        `json:"errors"`
		Warnings  int        `json:"warnings"`
		Progress  struct {
			Items int64 `json:"itemsBackedUp"`
		} `json:"progress"`
	} `json:"status"`
}

// usable are the phases of backups that have come to their end with something to restore.
var usable = []string{"Completed", "PartiallyFailed"}

// PartiallyFailed says that the backup is known to lack something.
func (b Backup) PartiallyFailed() bool { return b.Status.Phase == "PartiallyFailed" }

// DecodeBackup reads the velero-backup.json of the backup of this name.
func DecodeBackup(name string, data []byte) (Backup, error) {
	var b Backup
	if err := json.Unmarshal(data, &b); err != nil {
		return b, corrupt("velero-backup.json of %s is not readable: %w", name, err)
	}
	if b.Kind != "Backup" || b.APIVersion != "velero.io/v1" {
		return b, corrupt("velero-backup.json of %s is a %s of %s, not a Backup of velero.io/v1", name, b.Kind, b.APIVersion)
	}
	if b.Metadata.Name != name {
		return b, corrupt("velero-backup.json of %s is that of %q", name, b.Metadata.Name)
	}
	return b, nil
}

// Check refuses a backup that is not complete.
func (b Backup) Check() error {
	if slices.Contains(usable, b.Status.Phase) {
		return nil
	}
	return coffer.Errorf(coffer.CodeBackupNotFound, "Velero's backup %s is in phase %q, and cannot be restored", b.Metadata.Name, b.Status.Phase).
		WithHint("wait until Velero has completed it, or restore another one: Completed and PartiallyFailed ones can be restored")
}

// VolumeInfo is what Velero says of one volume of a backup: its BackupVolumeInfo.
type VolumeInfo struct {
	Claim         string `json:"pvcName"`
	Namespace     string `json:"pvcNamespace"`
	Volume        string `json:"pvName"`
	Method        string `json:"backupMethod"`
	DataMoved     bool   `json:"snapshotDataMoved"`
	Skipped       bool   `json:"skipped"`
	SkippedReason string `json:"skippedReason"`
	Result        string `json:"result"`
	CSI           *struct {
		Handle  string `json:"snapshotHandle"`
		Size    int64  `json:"size"`
		Driver  string `json:"driver"`
		Content string `json:"vscName"`
	} `json:"csiSnapshotInfo"`
	PodVolume *struct {
		Pod       string `json:"podName"`
		Namespace string `json:"podNamespace"`
		Name      string `json:"volumeName"`
		Uploader  string `json:"uploaderType"`
	} `json:"pvbInfo"`
}

// ReadVolumeInfo reads a NAME-volumeinfo.json.gz.
func ReadVolumeInfo(r io.Reader) ([]VolumeInfo, error) {
	zipped, err := gzip.NewReader(r)
	if err != nil {
		return nil, corrupt("list of volumes: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(zipped, MaxVolumeInfoSize+1))
	if err != nil {
		return nil, corrupt("list of volumes: %w", err)
	}
	if len(text) > MaxVolumeInfoSize {
		return nil, corrupt("list of volumes: %w", errors.New("it is too long"))
	}
	if err := bounded.JSON(text, volumeInfoLimits); err != nil {
		return nil, corrupt("list of volumes: %w", err)
	}
	var infos []VolumeInfo
	if err := json.Unmarshal(text, &infos); err != nil {
		return nil, corrupt("list of volumes: %w", err)
	}
	return infos, nil
}

// Reason says why Coffer cannot restore the volume's data; empty if it can.
func (i VolumeInfo) Reason() string {
	switch {
	case i.Skipped:
		return "Velero skipped the volume: " + i.SkippedReason
	case i.DataMoved:
		return "Velero moved the data of its snapshot into a kopia repository, which Coffer does not read: restore this volume with Velero"
	case i.Method == "PodVolumeBackup":
		return "Velero copied it file by file into a kopia or restic repository, which Coffer does not read: restore this volume with Velero"
	case i.Method == "NativeSnapshot":
		return "its snapshot was taken by a plugin of Velero's, not through CSI: restore this volume with Velero"
	case i.Method == "CSISnapshot" && (i.CSI == nil || i.CSI.Handle == "" || i.CSI.Driver == ""):
		return "Velero recorded no handle of its CSI snapshot"
	case i.Method == "CSISnapshot":
		return ""
	}
	return "Velero's backup has no snapshot of it"
}
