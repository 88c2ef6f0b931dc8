package recoverypoint

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sort"
	"time"

	"github.com/klauspost/compress/gzip"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// VeleroBackup is what velero-backup.json has to say.
type VeleroBackup struct {
	Name               string
	StorageLocation    string
	Filters            VeleroFilters
	Started, Completed time.Time
	Objects            int64
	Warnings           int
	SnapshotsCompleted int
}

// VeleroFilters are what a backup was asked for, as far as Velero has fields for it.
type VeleroFilters struct {
	IncludedNamespaces, ExcludedNamespaces []string
	// IncludedResources and ExcludedResources are RESOURCE.GROUP.
	IncludedResources, ExcludedResources []string
	IncludeClusterResources              *bool
	SnapshotVolumes                      bool
	// LabelSelectors are alternatives.
	LabelSelectors []metav1.LabelSelector
}

// spec is the part of a Velero backup's spec that selects.
func (f VeleroFilters) spec() map[string]any {
	included := f.IncludedNamespaces
	if len(included) == 0 {
		included = []string{"*"}
	}
	spec := map[string]any{
		"includedNamespaces": included, "excludedNamespaces": f.ExcludedNamespaces, "snapshotVolumes": f.SnapshotVolumes,
	}
	if len(f.IncludedResources) > 0 {
		spec["includedResources"] = f.IncludedResources
	}
	if len(f.ExcludedResources) > 0 {
		spec["excludedResources"] = f.ExcludedResources
	}
	if f.IncludeClusterResources != nil {
		spec["includeClusterResources"] = *f.IncludeClusterResources
	}
	switch len(f.LabelSelectors) {
	case 0:
	case 1:
		spec["labelSelector"] = f.LabelSelectors[0]
	default:
		spec["orLabelSelectors"] = f.LabelSelectors
	}
	return spec
}

// WriteVeleroBackup writes the object by which Velero discovers a backup. It bears no expiration: Velero deletes by
// it, and here that is retention's decision.
func WriteVeleroBackup(w io.Writer, b VeleroBackup) error {
	spec := b.Filters.spec()
	spec["storageLocation"], spec["ttl"] = b.StorageLocation, "0s"
	object := map[string]any{
		"apiVersion": "velero.io/v1",
		"kind":       "Backup",
		"metadata": map[string]any{
			"name":              b.Name,
			"namespace":         "velero",
			"creationTimestamp": b.Started.UTC().Format(time.RFC3339),
			"labels":            map[string]string{"velero.io/storage-location": b.StorageLocation},
		},
		"spec": spec,
		"status": map[string]any{
			"version":                       1,
			"formatVersion":                 "1.1.0",
			"phase":                         "Completed",
			"startTimestamp":                b.Started.UTC().Format(time.RFC3339),
			"completionTimestamp":           b.Completed.UTC().Format(time.RFC3339),
			"progress":                      map[string]any{"itemsBackedUp": b.Objects, "totalItems": b.Objects},
			"warnings":                      b.Warnings,
			"csiVolumeSnapshotsAttempted":   b.SnapshotsCompleted,
			"csiVolumeSnapshotsCompleted":   b.SnapshotsCompleted,
			"backupItemOperationsAttempted": 0,
		},
	}
	if err := json.NewEncoder(w).Encode(object); err != nil {
		return fmt.Errorf("write velero-backup.json: %w", err)
	}
	return nil
}

// ResourceList collects Velero's list of what an archive holds.
type ResourceList map[string][]string

// Add notes objects, by the API version and kind that they bear.
func (l ResourceList) Add(apiVersion, kind string, refs ...coffer.ObjectRef) {
	key := apiVersion + "/" + kind
	for _, ref := range refs {
		l[key] = append(l[key], resourceName(ref))
	}
}

// Has says whether an object was noted.
func (l ResourceList) Has(apiVersion, kind string, ref coffer.ObjectRef) bool {
	return slices.Contains(l[apiVersion+"/"+kind], resourceName(ref))
}

func resourceName(ref coffer.ObjectRef) string {
	if ref.Namespace == "" {
		return ref.Name
	}
	return ref.Namespace + "/" + ref.Name
}

// WriteResourceList writes the list in a stable order.
func WriteResourceList(w io.Writer, l ResourceList) error {
	for _, names := range l {
		sort.Strings(names)
	}
	return WriteZippedJSON(w, l)
}

// volumeInfo is Velero's BackupVolumeInfo; see internal/volume/volumes_information.go of Velero 1.18.
type volumeInfo struct {
	PVCName             string           `json:"pvcName,omitempty"`
	PVCNamespace        string           `json:"pvcNamespace,omitempty"`
	PVName              string           `json:"pvName,omitempty"`
	BackupMethod        string           `json:"backupMethod,omitempty"`
	SnapshotDataMoved   bool             `json:"snapshotDataMoved"`
	PreserveLocal       bool             `json:"preserveLocalSnapshot"`
	Skipped             bool             `json:"skipped"`
	SkippedReason       string           `json:"skippedReason,omitempty"`
	CompletionTimestamp *time.Time       `json:"completionTimestamp,omitempty"`
	Result              string           `json:"result,omitempty"`
	CSISnapshot         *csiSnapshotInfo `json:"csiSnapshotInfo,omitempty"`
}

type csiSnapshotInfo struct {
	SnapshotHandle string `json:"snapshotHandle"`
	Size           int64  `json:"size"`
	Driver         string `json:"driver"`
	VSCName        string `json:"vscName"`
	ReadyToUse     bool
}

// WriteVolumeInfo writes Velero's list of volumes.
func WriteVolumeInfo(w io.Writer, volumes []coffer.Volume) error {
	infos := make([]volumeInfo, 0, len(volumes))
	for _, v := range volumes {
		info := volumeInfo{PVCName: v.Claim, PVCNamespace: v.Namespace, PVName: v.PersistentVolume}
		if v.Result == coffer.VolumeCaptured {
			info.BackupMethod, info.Result, info.CompletionTimestamp = "CSISnapshot", "succeeded", v.CutTime
			info.CSISnapshot = &csiSnapshotInfo{
				SnapshotHandle: v.Handle, Size: v.RestoreSize, Driver: v.Driver, VSCName: v.Content, ReadyToUse: true,
			}
		} else {
			info.Skipped, info.SkippedReason = true, v.Reason
		}
		infos = append(infos, info)
	}
	return WriteZippedJSON(w, infos)
}

// results is Velero's list of what went wrong.
type results struct {
	Errors   resultSet `json:"errors"`
	Warnings resultSet `json:"warnings"`
}

type resultSet struct {
	Velero     []string            `json:"velero,omitempty"`
	Cluster    []string            `json:"cluster,omitempty"`
	Namespaces map[string][]string `json:"namespaces,omitempty"`
}

// WriteResults writes Velero's list of warnings.
func WriteResults(w io.Writer, warnings []string) error {
	return WriteZippedJSON(w, results{Warnings: resultSet{Cluster: warnings}})
}

// WriteZippedJSON writes one JSON value through gzip.
func WriteZippedJSON(w io.Writer, value any) error {
	zipped := gzip.NewWriter(w)
	if err := json.NewEncoder(zipped).Encode(value); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	if err := zipped.Close(); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	return nil
}
