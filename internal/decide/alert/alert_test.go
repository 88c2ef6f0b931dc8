package alert_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/alert"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// ended is a job that has ended at noon.
func ended(operation, status arm.Word, change ...func(*job.State)) job.State {
	s := job.State{Body: arm.Job{ActivityID: "j1", Operation: operation, Status: status, EndTime: &noon, ExtendedInfo: &arm.JobExtendedInfo{}}}
	for _, c := range change {
		c(&s)
	}
	return s
}

func because(code, message string, action ...string) func(*job.State) {
	return func(s *job.State) {
		s.Body.ErrorDetails = []arm.UserFacingError{{Code: code, Message: message, RecommendedAction: action}}
	}
}

func warned(messages ...string) func(*job.State) {
	return func(s *job.State) {
		for _, m := range messages {
			s.Body.ExtendedInfo.WarningDetails = append(s.Body.ExtendedInfo.WarningDetails, arm.JobWarning{Warning: &arm.UserFacingError{Message: m}})
		}
	}
}

func taken(s *job.State) { s.Work.Taken = noon.Add(-time.Minute) }

func TestWhichEndOfAJobIsAnAlert(t *testing.T) {
	show := "see what it says: coffer job show j1"
	for _, tt := range []struct {
		name string
		s    job.State
		want *alert.Raised
	}{
		{"a backup of the schedule that failed", ended(job.ScheduledBackup, job.Failed, because("UserErrorDriver", "no driver", "install it")),
			&alert.Raised{Kind: "BackupFailed", Severity: "Sev1", Message: "the backup of shop failed (the job j1): UserErrorDriver: no driver", Hint: "install it"}},
		{"a backup on demand that failed, and says nothing", ended(job.OnDemandBackup, job.Failed),
			&alert.Raised{Kind: "BackupFailed", Severity: "Sev1", Message: "the backup of shop failed (the job j1)", Hint: show}},
		{"a reason without end", ended(job.RestoreData, job.Failed, because("C", strings.Repeat("x", 501), strings.Repeat("y", 501))),
			&alert.Raised{Kind: "RestoreFailed", Severity: "Sev1", Message: "the restore of shop failed (the job j1): C: " + strings.Repeat("x", 500) + "...", Hint: strings.Repeat("y", 500) + "..."}},
		{"an action without words", ended(job.RestoreData, job.Failed, because("C", "m", "")),
			&alert.Raised{Kind: "RestoreFailed", Severity: "Sev1", Message: "the restore of shop failed (the job j1): C: m", Hint: show}},
		{"a plan that failed", ended(job.RestorePlan, job.Failed), &alert.Raised{Kind: "RestorePlanFailed", Severity: "Sev1", Message: "the plan of a restore of shop failed (the job j1)", Hint: show}},
		{"a deletion that failed", ended(job.DeleteData, job.Failed), &alert.Raised{Kind: "BackupDataDeletionFailed", Severity: "Sev1", Message: "the deletion of shop failed (the job j1)", Hint: show}},
		{"a backup with warnings", ended(job.ScheduledBackup, job.CompletedWithWarnings, warned("data cannot be snapshotted", "b", "c")),
			&alert.Raised{Kind: "BackupCompletedWithWarnings", Severity: "Sev2", Message: "the backup of shop was completed with warnings (the job j1): data cannot be snapshotted; and 2 more", Hint: show}},
		{"a restore with warnings", ended(job.RestoreData, job.CompletedWithWarnings, warned("skipped")),
			&alert.Raised{Kind: "RestoreCompletedWithWarnings", Severity: "Sev2", Message: "the restore of shop was completed with warnings (the job j1): skipped", Hint: show}},
		{"a deletion with warnings, and none of them kept", ended(job.DeleteData, job.CompletedWithWarnings),
			&alert.Raised{Kind: "BackupDataDeletionCompletedWithWarnings", Severity: "Sev2", Message: "the deletion of shop was completed with warnings (the job j1)", Hint: show}},
		{"a plan with warnings", ended(job.RestorePlan, job.CompletedWithWarnings, warned("skipped")), nil},
		{"a backup that was cancelled", ended(job.OnDemandBackup, job.Cancelled, because(string(coffer.CodeCancelled), "given up")), nil},
		{"a good backup", ended(job.ScheduledBackup, job.Completed), nil},
		{"one of an operation that is not known", ended("Rehydrate", job.Failed), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, alert.Raise(tt.s, "shop")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhichAlertsAreOverWithAJob(t *testing.T) {
	at := noon.Add(-time.Minute)
	later := " a later recovery point, of 2026-11-22T11:59:00Z"
	for _, tt := range []struct {
		name     string
		s        job.State
		deadline time.Time
		want     []alert.Over
	}{
		{"a good backup, and no objective", ended(job.OnDemandBackup, job.Completed, taken), time.Time{}, []alert.Over{
			{Kind: "BackupFailed", Reason: "a later backup has ended: Completed"}, {Kind: "BackupCompletedWithWarnings", Reason: "a later backup has ended: Completed"},
			{Kind: "BackupMissed", Reason: "there is" + later, Until: at}, {Kind: "BackupOverrun", Reason: "there is" + later, Until: at}}},
		{"a good backup that meets the objective", ended(job.ScheduledBackup, job.Completed, taken), noon.Add(time.Hour), []alert.Over{
			{Kind: "BackupFailed", Reason: "a later backup has ended: Completed"}, {Kind: "BackupCompletedWithWarnings", Reason: "a later backup has ended: Completed"},
			{Kind: "BackupMissed", Reason: "there is" + later, Until: at}, {Kind: "BackupOverrun", Reason: "there is" + later, Until: at},
			{Kind: "RecoveryPointObjectiveMissed", Reason: "there is" + later + ", and it meets the objective until 2026-11-22T13:00:00Z"}}},
		{"a good backup that took so long that it misses the objective itself", ended(job.ScheduledBackup, job.Completed, taken), noon, []alert.Over{
			{Kind: "BackupFailed", Reason: "a later backup has ended: Completed"}, {Kind: "BackupCompletedWithWarnings", Reason: "a later backup has ended: Completed"},
			{Kind: "BackupMissed", Reason: "there is" + later, Until: at}, {Kind: "BackupOverrun", Reason: "there is" + later, Until: at}}},
		{"a partial backup: it is no good recovery point, and its warnings stay", ended(job.ScheduledBackup, job.CompletedWithWarnings, taken), noon.Add(time.Hour), []alert.Over{
			{Kind: "BackupFailed", Reason: "a later backup has ended: CompletedWithWarnings"},
			{Kind: "BackupMissed", Reason: "there is" + later, Until: at}, {Kind: "BackupOverrun", Reason: "there is" + later, Until: at}}},
		{"a good restore", ended(job.RestoreData, job.Completed), time.Time{}, []alert.Over{
			{Kind: "RestoreFailed", Reason: "a later restore has ended: Completed"}, {Kind: "RestoreCompletedWithWarnings", Reason: "a later restore has ended: Completed"}}},
		{"a good plan is no restore", ended(job.RestorePlan, job.Completed), time.Time{}, []alert.Over{{Kind: "RestorePlanFailed", Reason: "a later plan of a restore has ended: Completed"}}},
		{"a backup that failed", ended(job.ScheduledBackup, job.Failed), time.Time{}, nil},
		{"a backup that was cancelled", ended(job.ScheduledBackup, job.Cancelled), time.Time{}, nil},
		{"one of an operation that is not known", ended("Rehydrate", job.Completed), time.Time{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, alert.Closed(tt.s, tt.deadline)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
