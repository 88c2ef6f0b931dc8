// Package capability judges, check by check, whether a cluster can carry a backup or a restore out: what was observed of it
// becomes rows with a remedy each. What a run itself refuses is judged by the run's own error.
package capability

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// The names of the checks.
const (
	Request           = "Request"
	Extension         = "Extension"
	Kubernetes        = "Kubernetes"
	SigningKey        = "SigningKey"
	StorageLocation   = "StorageLocation"
	Writable          = "StorageLocationWritable"
	Owner             = "StorageLocationOwner"
	EncryptionKeys    = "EncryptionKeys"
	ResourceTypes     = "ResourceTypes"
	Namespaces        = "Namespaces"
	Objects           = "Objects"
	Hook              = "Hook"
	ResourceModifiers = "ResourceModifiers"
	Volumes           = "Volumes"
	SnapshotAPI       = "SnapshotAPI"
	SnapshotClass     = "SnapshotClass"
	SnapshotSettings  = "SnapshotParameters"
	Driver            = "CSIDriver"
	StorageClass      = "StorageClass"
	RecoveryPoint     = "RecoveryPoint"
	Selection         = "Selection"
	Versions          = "APIVersions"
	Permissions       = "Permissions"
	OtherTools        = "OtherTools"
)

// The texts of a check are bounded, in bytes: names in them may be as long as somebody hostile likes.
const (
	maxResource = 300
	maxText     = 1000
)

// Passed is a check that found nothing wrong.
func Passed(name, resource, found string) v1alpha1.Check {
	return v1alpha1.Check{Name: name, Status: v1alpha1.CheckPassed, Resource: resource, Message: found}
}

// Skipped is a check that was not made.
func Skipped(name, resource, why string) v1alpha1.Check {
	return v1alpha1.Check{Name: name, Status: v1alpha1.CheckSkipped, Resource: resource, Message: why}
}

// Refused is a check that found what a run ends with: its error. otherwise is the code of an error that has none.
func Refused(name, resource string, err error, otherwise coffer.Code) v1alpha1.Check {
	c := v1alpha1.Check{
		Name: name, Status: v1alpha1.CheckFailed, Resource: resource, Message: err.Error(),
		Code: string(cmp.Or(coffer.CodeOf(err), otherwise)),
	}
	var coded *coffer.Error
	if errors.As(err, &coded) && coded.Hint != "" {
		c.Remedy = coded.Hint
		c.Message = strings.TrimSuffix(c.Message, "; "+coded.Hint)
	}
	return c
}

// Warned is a check that found what a run warns of.
func Warned(name string, w v1alpha1.Warning) v1alpha1.Check {
	return v1alpha1.Check{Name: name, Status: v1alpha1.CheckWarning, Code: w.Code, Resource: w.Resource, Message: w.Message}
}

// Bounded is at most v1alpha1.MaxChecks checks with texts of bounded length. Where there are more, those that have failed come
// first, then those that warn, and the last says how many are not shown.
func Bounded(checks []v1alpha1.Check) []v1alpha1.Check {
	checks = slices.Clone(checks)
	for i := range checks {
		c := &checks[i]
		c.Resource, c.Message, c.Remedy = shortened(c.Resource, maxResource), shortened(c.Message, maxText), shortened(c.Remedy, maxText)
	}
	if len(checks) <= v1alpha1.MaxChecks {
		return checks
	}
	order := []v1alpha1.CheckResult{v1alpha1.CheckFailed, v1alpha1.CheckWarning, v1alpha1.CheckSkipped, v1alpha1.CheckPassed}
	slices.SortStableFunc(checks, func(a, b v1alpha1.Check) int {
		return slices.Index(order, a.Status) - slices.Index(order, b.Status)
	})
	left := len(checks) - v1alpha1.MaxChecks + 1
	status := checks[v1alpha1.MaxChecks-1].Status
	return append(checks[:v1alpha1.MaxChecks-1], v1alpha1.Check{
		Name: "More", Status: status, Message: fmt.Sprintf("%d more checks are not shown", left), Remedy: "mend what is shown, and validate again",
	})
}

func shortened(text string, most int) string {
	if len(text) <= most {
		return strings.ToValidUTF8(text, "?")
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Verdict is what the checks come to: the phase of the validation, the code of the first that has failed, and how many are
// what, as "8 passed, 1 failed, 0 warnings, 2 skipped".
func Verdict(checks []v1alpha1.Check) (phase v1alpha1.RunPhase, code, counts string) {
	phase = v1alpha1.RunCompleted
	n := map[v1alpha1.CheckResult]int{}
	for _, c := range checks {
		n[c.Status]++
		switch {
		case c.Status == v1alpha1.CheckFailed && phase != v1alpha1.RunFailed:
			phase, code = v1alpha1.RunFailed, c.Code
		case c.Status == v1alpha1.CheckWarning && phase == v1alpha1.RunCompleted:
			phase = v1alpha1.RunCompletedWithWarnings
		}
	}
	return phase, code, fmt.Sprintf("%d passed, %d failed, %d warnings, %d skipped",
		n[v1alpha1.CheckPassed], n[v1alpha1.CheckFailed], n[v1alpha1.CheckWarning], n[v1alpha1.CheckSkipped])
}

// some lists the first few of many.
func some(all []string) string {
	const shown = 5
	if len(all) <= shown {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:shown], ", "), len(all)-shown)
}
