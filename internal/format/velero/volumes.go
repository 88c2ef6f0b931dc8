package velero

import (
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Volumes finds, while an archive of Velero is read, what became of the volumes. Its zero value is ready.
type Volumes struct {
	claims    []claim
	snapshots map[string]snapshot // by NAMESPACE/NAME
	contents  map[string]content
}

type claim struct {
	namespace, name, snapshot string
	volume, class, mode       string
}

type snapshot struct {
	handle, driver, content string
	size                    int64
}

type content struct {
	handle, driver string
	size           int64
}

// parsed is what of the three types of objects matters here.
type parsed struct {
	Metadata struct {
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		VolumeName       string `json:"volumeName"`
		StorageClassName string `json:"storageClassName"`
		VolumeMode       string `json:"volumeMode"`
		Driver           string `json:"driver"`
	} `json:"spec"`
	Status struct {
		Content string          `json:"boundVolumeSnapshotContentName"`
		Handle  string          `json:"snapshotHandle"`
		Size    json.RawMessage `json:"restoreSize"`
	} `json:"status"`
}

// Add takes in one object of the archive, of whatever type.
func (v *Volumes) Add(ref coffer.ObjectRef, body []byte) error {
	if ref.GroupResource != claims && ref.GroupResource != snapshots && ref.GroupResource != contents {
		return nil
	}
	var o parsed
	if err := json.Unmarshal(body, &o); err != nil {
		return corrupt("%s is not readable: %w", ref, err)
	}
	annotations := o.Metadata.Annotations
	switch ref.GroupResource {
	case claims:
		v.claims = append(v.claims, claim{
			namespace: ref.Namespace, name: ref.Name, snapshot: annotations[snapshotNameKey],
			volume: o.Spec.VolumeName, class: o.Spec.StorageClassName, mode: o.Spec.VolumeMode,
		})
	case snapshots:
		if v.snapshots == nil {
			v.snapshots = map[string]snapshot{}
		}
		s := snapshot{handle: annotations[handleKey], driver: annotations[driverKey], content: o.Status.Content}
		if size, err := resource.ParseQuantity(annotations[restoreSizeKey]); err == nil {
			s.size = size.Value()
		}
		v.snapshots[ref.Namespace+"/"+ref.Name] = s
	case contents:
		if v.contents == nil {
			v.contents = map[string]content{}
		}
		c := content{handle: o.Status.Handle, driver: o.Spec.Driver}
		// A content has a number here. Anything else is no size.
		_ = json.Unmarshal(o.Status.Size, &c.size)
		v.contents[ref.Name] = c
	}
	return nil
}

// All says of each claim what became of its data, ordered by name. infos is Velero's list of volumes, which older backups
// do not have; where both know of a snapshot, the archive counts, as it does for Velero.
func (v *Volumes) All(infos []VolumeInfo) []coffer.Volume {
	listed := map[string]VolumeInfo{}
	for _, i := range infos {
		if i.Claim != "" {
			listed[i.Namespace+"/"+i.Claim] = i
		}
	}
	seen := map[string]int{}
	var all []coffer.Volume
	for _, c := range v.claims {
		info, known := listed[c.namespace+"/"+c.name]
		made := v.volume(c, info, known)
		// The later of two claims of one name is the one that is restored.
		if at, again := seen[c.namespace+"/"+c.name]; again {
			all[at] = made
			continue
		}
		seen[c.namespace+"/"+c.name] = len(all)
		all = append(all, made)
	}
	slices.SortFunc(all, func(a, b coffer.Volume) int {
		return strings.Compare(a.Namespace+"/"+a.Claim, b.Namespace+"/"+b.Claim)
	})
	return all
}

func (v *Volumes) volume(c claim, info VolumeInfo, known bool) coffer.Volume {
	made := coffer.Volume{
		Namespace: c.namespace, Claim: c.name, PersistentVolume: c.volume, StorageClass: c.class, VolumeMode: c.mode,
		Result: coffer.VolumeSkipped, Code: coffer.CodeSnapshotUnsupported,
	}
	if made.VolumeMode == "" {
		made.VolumeMode = "Filesystem"
	}
	s, found := v.snapshots[c.namespace+"/"+c.snapshot]
	content := v.contents[s.content]
	if s.handle == "" {
		s.handle, s.driver = content.handle, content.driver
	}
	if s.size == 0 {
		s.size = content.size
	}
	csi := !known || info.Method == "CSISnapshot" && !info.DataMoved && !info.Skipped
	switch {
	case csi && found && s.handle != "" && s.driver != "":
		made.Driver, made.Handle, made.Content, made.RestoreSize = s.driver, s.handle, s.content, s.size
	case known && info.Reason() == "":
		made.Driver, made.Handle, made.Content, made.RestoreSize = info.CSI.Driver, info.CSI.Handle, info.CSI.Content, info.CSI.Size
	case known:
		made.Reason = info.Reason()
		return made
	default:
		made.Reason = "Velero's backup has no snapshot of it"
		return made
	}
	made.Result, made.Code = coffer.VolumeCaptured, ""
	made.RestoreSize = max(made.RestoreSize, 0)
	return made
}

// Unclaimed are the volumes of pods, other than claims, whose files Velero has copied, as NAMESPACE/POD and volume.
func Unclaimed(infos []VolumeInfo) [][2]string {
	var found [][2]string
	for _, i := range infos {
		if i.Claim == "" && i.PodVolume != nil {
			found = append(found, [2]string{i.PodVolume.Namespace + "/" + i.PodVolume.Pod, i.PodVolume.Name})
		}
	}
	return found
}
