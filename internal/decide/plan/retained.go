package plan

import (
	"encoding/json"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// retainedFor is the claim, as NAMESPACE/NAME, of a PersistentVolume that outlives it: the storage behind it is still there after
// the claim was deleted. It is empty for others.
func retainedFor(body []byte) string {
	var volume struct {
		Spec struct {
			ReclaimPolicy string `json:"persistentVolumeReclaimPolicy"`
			ClaimRef      struct {
				Namespace string `json:"namespace"`
				Name      string `json:"name"`
			} `json:"claimRef"`
		} `json:"spec"`
	}
	// What cannot be read is not special.
	_ = json.Unmarshal(body, &volume)
	if volume.Spec.ReclaimPolicy != "Retain" || volume.Spec.ClaimRef.Name == "" {
		return ""
	}
	return volume.Spec.ClaimRef.Namespace + "/" + volume.Spec.ClaimRef.Name
}

// boundTo is the PersistentVolume that a claim was bound to; empty for none.
func boundTo(claim []byte) string {
	var c struct {
		Spec struct {
			VolumeName string `json:"volumeName"`
		} `json:"spec"`
	}
	// What cannot be read is not special.
	_ = json.Unmarshal(claim, &c)
	return c.Spec.VolumeName
}

const ownVolume = "the claim gets a volume of its own"

// keep finds the PersistentVolumes that are restored as they were: those that outlive their claims, and of whose data there is no
// snapshot.
func (m *maker) keep() {
	m.kept = map[string]string{}
	for i := range m.items {
		if item := &m.items[i]; item.retains != "" && m.decisions[i].Include && m.leftAlone(item) == "" {
			m.kept[item.retains] = item.Name
		}
	}
}

// leftAlone is why a PersistentVolume that outlives its claim is not restored; empty if it is.
func (m *maker) leftAlone(volume *Item) string {
	at, archived := m.claimAt[volume.retains]
	switch {
	case !archived || !m.decisions[at].Include:
		return "its claim is not restored"
	case !m.request.VolumeData:
		return "the restore was asked for no volume data"
	case m.capturedFor(volume.retains):
		return ownVolume
	case m.items[at].volume != "" && m.items[at].volume != volume.Name:
		return "its claim is bound to another volume, " + m.items[at].volume + ": this one was that of an earlier claim of the name"
	case m.request.Target(m.items[at].Namespace) != m.items[at].Namespace:
		return "a copy of its claim in another namespace must not share its storage"
	}
	return ""
}

func (m *maker) capturedFor(claim string) bool {
	v := m.volumes[claim]
	return v != nil && v.Result == coffer.VolumeCaptured
}
