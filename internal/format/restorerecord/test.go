package restorerecord

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/bounded"
)

const (
	testName        = "test.json"
	signatureSuffix = ".sig"
	// testKind tells the report of a test from everything else that is signed with the same key.
	testKind = "RestoreTestReport"
	// MaxTestSize bounds the report of a test.
	MaxTestSize = 16 << 20
	// TestLines is how many lines each of its lists has at most; Truncated counts the others.
	TestLines = 2000
)

var testLimits = bounded.JSONLimits{Depth: 6, Containers: 40_000, Values: 400_000}

// Test is the key of the report of a test.
func (l Layout) Test() string { return l.key(testName) }

// TestSignature is the key of its signature, which is of the report before it is encrypted.
func (l Layout) TestSignature() string { return l.Test() + signatureSuffix }

// Test is what a restore test has shown.
type Test struct {
	Kind          string `json:"kind"`
	FormatVersion int    `json:"formatVersion"`
	// Test is the name of the run, and Run its UID.
	Test string `json:"test"`
	Run  string `json:"run"`
	// Cluster is the UID of the one that it was made in (of its namespace kube-system), ClusterName what people call it, and
	// Version that of the program.
	Cluster     string `json:"cluster"`
	ClusterName string `json:"clusterName,omitempty"`
	Version     string `json:"version"`
	// Backup is the recovery point; the digests say which one bore the name, what was planned, and what became of each object.
	Backup         string    `json:"backup"`
	ManifestDigest string    `json:"manifestDigest,omitempty"`
	PlanDigest     string    `json:"planDigest,omitempty"`
	ReportDigest   string    `json:"reportDigest,omitempty"`
	Started        time.Time `json:"started"`
	Completed      time.Time `json:"completed"`
	// Outcome is Passed or Failed, and Failures say of what did not hold why.
	Outcome  string    `json:"outcome"`
	Failures []Finding `json:"failures,omitempty"`
	// ReadySeconds are those from the start until all workloads were ready, and CheckedSeconds until all checks held as well: the
	// measured recovery time.
	ReadySeconds   *float64 `json:"readySeconds,omitempty"`
	CheckedSeconds *float64 `json:"checkedSeconds,omitempty"`
	// Namespaces are those of the recovery point that were restored, and the names under which.
	Namespaces map[string]string `json:"namespaces,omitempty"`
	// Objects counts what became of the objects of the plan.
	Objects map[Result]int `json:"objects,omitempty"`
	// LeftOut counts the objects that were not restored, by type and reason.
	LeftOut []coffer.NotSelected `json:"leftOut,omitempty"`
	// Deviations are how restored objects differ from the archived ones for the sake of the test.
	Deviations []Deviation `json:"deviations,omitempty"`
	Volumes    []Volume    `json:"volumes,omitempty"`
	Workloads  []Workload  `json:"workloads,omitempty"`
	Checks     []Check     `json:"checks,omitempty"`
	// Warnings are those of the run, the first of them.
	Warnings []Finding `json:"warnings,omitempty"`
	// Notes say what the test does not prove.
	Notes []string `json:"notes,omitempty"`
	// Truncated counts what the lists above leave out, by their names.
	Truncated map[string]int `json:"truncated,omitempty"`
}

// Finding is one thing that was found, and what it is about.
type Finding struct {
	Code   string `json:"code"`
	What   string `json:"what,omitempty"`
	Reason string `json:"reason"`
}

// Deviation is one field of one object.
type Deviation struct {
	Object coffer.ObjectRef `json:"object"`
	Field  string           `json:"field"`
	Reason string           `json:"reason"`
}

// Volume is one claim of the plan, by its name in the recovery point.
type Volume struct {
	Namespace string `json:"namespace"`
	Claim     string `json:"claim"`
	Snapshot  string `json:"snapshot,omitempty"`
	// Bytes that the snapshot restores to, if its driver said.
	Bytes int64 `json:"bytes,omitempty"`
	// Restored says that the claim is bound to a volume with its data; else Reason says why not.
	Restored bool   `json:"restored"`
	Reason   string `json:"reason,omitempty"`
}

// Workload is one of those that were waited for, as it is called in the cluster.
type Workload struct {
	Object coffer.ObjectRef `json:"object"`
	Ready  bool             `json:"ready"`
	Reason string           `json:"reason,omitempty"`
}

// Check is one that was asked for.
type Check struct {
	Name string `json:"name"`
	// Outcome is Passed, Failed or NotMade.
	Outcome  string `json:"outcome"`
	Attempts int    `json:"attempts,omitempty"`
	Seconds  int    `json:"seconds,omitempty"`
	Message  string `json:"message,omitempty"`
}

// bound cuts the lists to what a report holds.
func (t *Test) bound() {
	t.Truncated = map[string]int{}
	t.LeftOut = cut(t, "leftOut", t.LeftOut)
	t.Deviations = cut(t, "deviations", t.Deviations)
	t.Volumes = cut(t, "volumes", t.Volumes)
	t.Workloads = cut(t, "workloads", t.Workloads)
	if len(t.Truncated) == 0 {
		t.Truncated = nil
	}
}

func cut[T any](t *Test, name string, list []T) []T {
	if more := len(list) - TestLines; more > 0 {
		t.Truncated[name] = more
		return list[:TestLines]
	}
	return list
}

// EncodeTest writes a report, and answers its digest.
func EncodeTest(t Test) (report []byte, digest string, err error) {
	t.Kind, t.FormatVersion = testKind, formatVersion
	t.bound()
	report, err = json.MarshalIndent(t, "", "  ")
	if err != nil {
		return nil, "", fmt.Errorf("encode the report of a restore test: %w", err)
	}
	return append(report, '\n'), TestDigest(append(report, '\n')), nil
}

// TestDigest names the bytes of a report: "sha256:" and 64 hexadecimal digits.
func TestDigest(report []byte) string {
	sum := sha256.Sum256(report)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// DecodeTest reads a report. What EncodeTest could not have written is an Error with CodeArchiveCorrupt.
func DecodeTest(report []byte) (Test, error) {
	var t Test
	if err := decode(report, testLimits, &t); err != nil {
		return t, coffer.Errorf(coffer.CodeArchiveCorrupt, "the report of a restore test is not readable: %w", err)
	}
	if t.Kind != testKind {
		return t, coffer.Errorf(coffer.CodeArchiveCorrupt, "it is no report of a restore test, but %q", t.Kind)
	}
	return t, checkVersion("the report of a restore test", t.FormatVersion)
}
