package restorerecord

import (
	"io"
	"iter"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Result is what became of one object.
type Result string

// The results.
const (
	Created  Result = "created"
	Patched  Result = "patched"
	Replaced Result = "replaced"
	// Existing objects were left as they are, and Skipped ones were not restored, as planned.
	Existing Result = "existing"
	Skipped  Result = "skipped"
	Failed   Result = "failed"
	// Pending objects are those that the run did not come to before it ended.
	Pending Result = "pending"
)

// ReportHeader is the first line of a report.
type ReportHeader struct {
	FormatVersion int `json:"formatVersion"`
	// Restore is the name of the run, and Run its UID.
	Restore string `json:"restore"`
	Run     string `json:"run"`
	// Backup is the recovery point; ManifestDigest and PlanDigest say which one bore the name, and what was planned.
	Backup         string    `json:"backup"`
	ManifestDigest string    `json:"manifestDigest"`
	PlanDigest     string    `json:"planDigest"`
	Started        time.Time `json:"started"`
	Completed      time.Time `json:"completed"`
	// Counts of the objects by result.
	Counts map[Result]int `json:"counts"`
}

// Outcome is what became of one object.
type Outcome struct {
	coffer.ObjectRef
	Result Result `json:"result"`
	// Reason, where the result is not plain, and its code if it is one to act on.
	Reason string      `json:"reason,omitempty"`
	Code   coffer.Code `json:"code,omitempty"`
}

// WriteReport writes a report and answers the digest of its text before compression.
func WriteReport(w io.Writer, h ReportHeader, outcomes iter.Seq[Outcome]) (string, error) {
	h.FormatVersion = formatVersion
	return write(w, "report", h, outcomes)
}

// ReadReport reads a report of at most so many outcomes and answers its digest, as ReadPlan does.
func ReadReport(r io.Reader, most int, header func(ReportHeader) error, each func(Outcome) error) (string, error) {
	return read(r, "report", most, func(h ReportHeader) error {
		if err := checkVersion("report", h.FormatVersion); err != nil {
			return err
		}
		return header(h)
	}, each)
}
