package job

import (
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func newTiering() State {
	const vault = catalogue.ID("/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v")
	return Begin(Request{
		Name: "j", Vault: vault, Instance: vault + "/backupInstances/i", FriendlyName: "aks1/app", Operation: TierData, Now: began, Point: "p", PointTime: began.Add(-time.Hour),
		Source: "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c", Work: Work{Copy: &Copy{Point: "p", Due: began}},
	})
}

func away() *coffer.Error {
	return &coffer.Error{Code: coffer.CodeClusterNotReachable, Message: "the cluster is away", Hint: "see why", Transient: true}
}

func TestATieringJobIsNamedAsAzureDoes(t *testing.T) {
	s := newTiering()
	b := s.Body
	if b.Operation != "Tiering" || b.OperationCategory != "Tiering" || b.IsUserTriggered || b.SourceDataStoreName != "OperationalStore" || b.DestinationDataStoreName != "VaultStore" || b.Status != InProgress {
		t.Errorf("the job: %+v", b)
	}
	if s.Work.Kind() != Tiering || s.Cancellable() || len(b.SupportedActions) != 0 || b.ExtendedInfo.SourceRecoverPoint.RecoveryPointID != "p" || b.ExtendedInfo.AdditionalDetails["CopyDue"] != "2026-05-04T12:00:00Z" {
		t.Errorf("the job: %+v, %+v", b.SupportedActions, b.ExtendedInfo)
	}
	if tasks := b.ExtendedInfo.SubTasks; len(tasks) != 1 || tasks[0].TaskName != "CopyingRecoveryPoint" || tasks[0].TaskStatus != taskNotStarted {
		t.Errorf("its tasks: %+v", tasks)
	}
}

func TestACopyIsTriedWithGrowingPauses(t *testing.T) {
	s, now := newTiering(), began
	var pauses []string
	for range 9 {
		before := s
		after, next := s.NotCopied(away(), now)
		if before.Work.Copy.Tries != len(pauses) || before.Body.ExtendedInfo.AdditionalDetails["FailedTries"] == after.Body.ExtendedInfo.AdditionalDetails["FailedTries"] {
			t.Fatal("the state before was changed")
		}
		s = after
		pauses = append(pauses, next.Sub(now).String())
		now = next
	}
	if got, want := strings.Join(pauses, " "), "30s 1m0s 2m0s 4m0s 8m0s 16m0s 32m0s 1h0m0s 1h0m0s"; got != want {
		t.Errorf("pauses: %s, want %s", got, want)
	}
	if details := s.Body.ExtendedInfo.AdditionalDetails; s.Ended() || details["Waiting"] != "the cluster is away" || details["FailedTries"] != "9" || len(s.Body.ExtendedInfo.WarningDetails) != 1 || !s.Work.Since.Equal(began) {
		t.Errorf("the job that waits: %+v, since %v", s.Body.ExtendedInfo, s.Work.Since)
	}
	s, next := s.Copying(5, 10, now)
	if details := s.Body.ExtendedInfo.AdditionalDetails; details["Waiting"] != "" || details["FailedTries"] != "" || details["bytes"] != "5" || s.Work.Copy.Tries != 0 || next.Sub(now) != 30*time.Second || s.Body.ExtendedInfo.SubTasks[0].TaskProgress != "5/10" {
		t.Errorf("the job that goes on: %+v", s.Body.ExtendedInfo)
	}
	s = s.Whole(10, 3, now)
	if s.Body.Status != Completed || *s.Body.ExtendedInfo.DataTransferredInBytes != 10 || s.Body.ExtendedInfo.AdditionalDetails["storedBytes"] != "3" || s.Body.ExtendedInfo.TargetRecoverPoint.RecoveryPointID != "p" || s.Body.ExtendedInfo.SubTasks[0].TaskStatus != taskCompleted {
		t.Errorf("the job at its end: %+v", s.Body)
	}
}

func TestWhoIsToldOfACopyThatFailsOrIsLate(t *testing.T) {
	s := newTiering()
	for n := 1; n <= 4; n++ {
		s, _ = s.NotCopied(away(), began)
		if _, _, _, tell := s.Tell(began); tell {
			t.Fatalf("told after %d tries", n)
		}
	}
	s, _ = s.NotCopied(away(), began)
	s, severity, message, tell := s.Tell(began)
	if !tell || severity != arm.SeverityWarning || message != "the recovery point p of aks1/app, whose copy was due at 2026-05-04T12:00:00Z, is not in the vault tier: the cluster is away (try 5)" {
		t.Errorf("after five tries: %s %q, %v", severity, message, tell)
	}
	if _, _, _, again := s.Tell(began.Add(59 * time.Minute)); again {
		t.Error("told again at once")
	}
	if _, _, _, again := s.Tell(began.Add(time.Hour)); !again {
		t.Error("not told again")
	}
	// One that goes on is late after a day all the same.
	slow, _ := newTiering().Copying(1, 0, began)
	if _, _, _, tell := slow.Tell(began.Add(24*time.Hour - time.Second)); tell {
		t.Error("told before it is late")
	}
	_, severity, message, tell = slow.Tell(began.Add(25 * time.Hour))
	if !tell || severity != arm.SeverityError || !strings.HasSuffix(message, "is not in the vault tier, PT25H late: its copy goes on") {
		t.Errorf("late: %s %q, %v", severity, message, tell)
	}
}

func TestHowATieringJobEndsWithoutACopy(t *testing.T) {
	failing, _ := newTiering().NotCopied(away(), began)
	for _, tt := range []struct {
		name   string
		end    State
		status arm.Word
		says   string
	}{
		{"too late", failing.TooLate(began, began), Failed, "the vault tier was to keep the copy until 2026-05-04T12:00:00Z, and did not get it by then: the cluster is away"},
		{"too late, and slow", newTiering().TooLate(began, began), Failed, "it was not whole"},
		{"nobody wants it", newTiering().Unwanted("its policy copies it no more", began), Cancelled, "its policy copies it no more; what was copied is deleted in the vault tier"},
		{"deleted", newTiering().Paused(began), Cancelled, "unless somebody has it again"},
	} {
		if b := tt.end.Body; b.Status != tt.status || len(b.ErrorDetails) != 1 || !strings.Contains(b.ErrorDetails[0].Message, tt.says) || b.EndTime == nil {
			t.Errorf("%s: %+v", tt.name, b)
		}
	}
}
