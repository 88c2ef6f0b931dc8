// Package alert decides on alerts: which end of a job is one, and which of those that there are are over with it.
package alert

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

// The kinds of alerts.
const (
	BackupMissed     = "BackupMissed"
	BackupOverrun    = "BackupOverrun"
	BackupFailed     = "BackupFailed"
	BackupWarnings   = "BackupCompletedWithWarnings"
	RestoreFailed    = "RestoreFailed"
	RestoreWarnings  = "RestoreCompletedWithWarnings"
	PlanFailed       = "RestorePlanFailed"
	DeletionFailed   = "BackupDataDeletionFailed"
	DeletionWarnings = "BackupDataDeletionCompletedWithWarnings"
	NotDeleted       = "RecoveryPointNotDeleted"
	PointUnreadable  = "RecoveryPointUnreadable"
	ObjectiveMissed  = "RecoveryPointObjectiveMissed"
	// NotCopied is of copies to the vault tier that fail or are late, and NoVaultTier of a server that makes none.
	NotCopied   = "RecoveryPointNotCopied"
	NoVaultTier = "VaultTierMissing"
)

// work is what jobs of some operations have in common.
type work struct {
	operations []arm.Word
	noun       string
	// failed and warned are the kinds of alerts about their ends; empty is none.
	failed, warned string
}

// works are all that jobs do. A backup is a backup, whoever asks for it: one that somebody makes to see whether the schedule's will do shows
// that. The warnings of a plan are what it is made for, and whoever asked for it reads them.
var works = []work{
	{[]arm.Word{job.ScheduledBackup, job.OnDemandBackup}, "backup", BackupFailed, BackupWarnings},
	{[]arm.Word{job.RestoreData}, "restore", RestoreFailed, RestoreWarnings},
	{[]arm.Word{job.RestorePlan}, "plan of a restore", PlanFailed, ""},
	{[]arm.Word{job.DeleteData}, "deletion", DeletionFailed, DeletionWarnings},
}

func workOf(operation arm.Word) work {
	for _, w := range works {
		if slices.ContainsFunc(w.operations, operation.Is) {
			return w
		}
	}
	return work{}
}

// Raised is an alert that is to be raised.
type Raised struct {
	Kind, Message, Hint string
	Severity            arm.Word
}

// maxReason bounds what an alert tells of why a job failed, in bytes.
const maxReason = 500

// Raise is the alert that the end of a job of an instance is, or nil: whoever has cancelled one knows of it.
func Raise(s job.State, instance string) *Raised {
	w := workOf(s.Body.Operation)
	r := Raised{Hint: "see what it says: coffer job show " + s.Body.ActivityID}
	switch {
	case s.Body.Status == job.Failed && w.failed != "":
		r.Kind, r.Severity = w.failed, arm.SeverityError
		r.Message = fmt.Sprintf("the %s of %s failed (the job %s)", w.noun, instance, s.Body.ActivityID)
		if errors := s.Body.ErrorDetails; len(errors) > 0 {
			r.Message += ": " + errors[0].Code + ": " + job.Text(errors[0].Message, maxReason)
			if actions := errors[0].RecommendedAction; len(actions) > 0 {
				r.Hint = cmp.Or(job.Text(actions[0], maxReason), r.Hint)
			}
		}
	case s.Body.Status == job.CompletedWithWarnings && w.warned != "":
		r.Kind, r.Severity = w.warned, arm.SeverityWarning
		r.Message = fmt.Sprintf("the %s of %s was completed with warnings (the job %s)", w.noun, instance, s.Body.ActivityID)
		if info := s.Body.ExtendedInfo; info != nil && len(info.WarningDetails) > 0 && info.WarningDetails[0].Warning != nil {
			r.Message += ": " + job.Text(info.WarningDetails[0].Warning.Message, maxReason)
			if n := len(info.WarningDetails); n > 1 {
				r.Message += fmt.Sprintf("; and %d more", n-1)
			}
		}
	default:
		return nil
	}
	return &r
}

// Over is an alert that is closed if there is one: what it tells of is over.
type Over struct {
	Kind, Reason string
	// Until, if it is not zero, is when it may have happened last: later ones are not over.
	Until time.Time
}

// Is says whether it is an alert of a kind that happened last at a time.
func (o Over) Is(kind string, last time.Time) bool {
	return o.Kind != "" && o.Kind == kind && (o.Until.IsZero() || !last.After(o.Until))
}

// Closed are the alerts about an instance that are over when a job of it ends. deadline is until when its newest good recovery point meets the
// policy's objective, and zero if that has none, or if the job has made no recovery point.
//
// A failure is over when the same is done again and ends: what is missing in what it made has an alert of its own. A slot that had no backup
// is over with a recovery point that is taken after it, so not with the one that was in its way.
func Closed(s job.State, deadline time.Time) (over []Over) {
	w := workOf(s.Body.Operation)
	complete := s.Body.Status == job.Completed
	if !complete && s.Body.Status != job.CompletedWithWarnings || w.noun == "" {
		return nil
	}
	reason := fmt.Sprintf("a later %s has ended: %s", w.noun, s.Body.Status)
	over = append(over, Over{Kind: w.failed, Reason: reason})
	if complete && w.warned != "" {
		over = append(over, Over{Kind: w.warned, Reason: reason})
	}
	if s.Work.Taken.IsZero() {
		return over
	}
	reason = "there is a later recovery point, of " + s.Work.Taken.UTC().Format(time.RFC3339)
	over = append(over, Over{BackupMissed, reason, s.Work.Taken}, Over{BackupOverrun, reason, s.Work.Taken})
	if complete && s.Body.EndTime.Before(deadline) {
		over = append(over, Over{Kind: ObjectiveMissed, Reason: reason + ", and it meets the objective until " + deadline.UTC().Format(time.RFC3339)})
	}
	return over
}
