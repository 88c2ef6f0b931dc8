package restorerecord

import (
	"io"
	"iter"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// PlanHeader is the first line of a plan. Nothing in a plan is of one run: equal plans have equal digests.
type PlanHeader struct {
	FormatVersion int `json:"formatVersion"`
	// Backup is the recovery point, and ManifestDigest says which one bore the name.
	Backup         string `json:"backup"`
	ManifestDigest string `json:"manifestDigest"`
	// Namespaces of the cluster that are written to.
	Namespaces []string `json:"namespaces,omitempty"`
	// Changes are what else is done to the objects and after them, by the field of the Restore that asks for it.
	Changes map[string]string `json:"changes,omitempty"`
	// NotSelected counts the objects of the recovery point that nobody has asked for.
	NotSelected []coffer.NotSelected `json:"notSelected,omitempty"`
}

// Step is one object of a plan. The meaning of its fields is that of the plan's steps.
type Step struct {
	// Item is the object's position in the archive.
	Item int `json:"item"`
	// ObjectRef names the object in the cluster; Source is there if its name in the recovery point is another.
	coffer.ObjectRef
	Source *coffer.ObjectRef `json:"source,omitempty"`
	// Version and Kind at which it is written; empty if its definition is restored first.
	Version    string `json:"version,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Namespaced bool   `json:"namespaced,omitempty"`

	Action      string      `json:"action"`
	Policy      string      `json:"policy,omitempty"`
	Order       int         `json:"order"`
	UID         string      `json:"uid,omitempty"`
	Terminating bool        `json:"terminating,omitempty"`
	Reason      string      `json:"reason,omitempty"`
	Warning     coffer.Code `json:"warning,omitempty"`
	Unchecked   string      `json:"unchecked,omitempty"`
	// Snapshot is the handle of the one that the claim's volume is made of.
	Snapshot string `json:"snapshot,omitempty"`
	// KeptVolume is the PersistentVolume that the claim is bound to again.
	KeptVolume string `json:"keptVolume,omitempty"`
	// Owners are the UIDs that the owners to which it is linked had in the recovery point.
	Owners []string `json:"owners,omitempty"`
}

// WritePlan writes a plan and answers its digest: "sha256:" and 64 hexadecimal digits, of the text before compression.
func WritePlan(w io.Writer, h PlanHeader, steps iter.Seq[Step]) (string, error) {
	h.FormatVersion = formatVersion
	return write(w, "plan", h, steps)
}

// ReadPlan reads a plan of at most so many steps and answers its digest. It holds one line at a time. What is malformed is
// an Error with CodeArchiveCorrupt. Errors of header and each end the reading.
func ReadPlan(r io.Reader, most int, header func(PlanHeader) error, each func(Step) error) (string, error) {
	return read(r, "plan", most, func(h PlanHeader) error {
		if err := checkVersion("plan", h.FormatVersion); err != nil {
			return err
		}
		return header(h)
	}, each)
}
