package runner_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// beginAway is the name of a backup of the schedule whose cluster is away.
func (w *world) beginAway() string {
	w.t.Helper()
	w.until(w.Clock.Now())
	w.clusters.Set(clusterID, nil)
	w.until(day(5))
	w.look()
	name := w.scheduled()[0]
	if got := w.job(name); got.Status != job.InProgress || got.ExtendedInfo.AdditionalDetails["Waiting"] == "" {
		w.t.Fatalf("the job is %s: %+v", got.Status, got.ExtendedInfo)
	}
	return name
}

// mustBeWithdrawn looks for a job that has ended, with a reason, and for no trace of it in its cluster.
func (w *world) mustBeWithdrawn(name, why string) {
	w.t.Helper()
	got := w.job(name)
	if got.Status != job.Cancelled || len(got.ErrorDetails) != 1 || !strings.Contains(got.ErrorDetails[0].Message, why) {
		w.t.Errorf("the job is %s: %+v, want one that is Cancelled, for %s", got.Status, got.ErrorDetails, why)
	}
	w.clusters.Set(clusterID, w.cluster)
	w.look()
	w.look()
	if made := w.cluster.Names("backups"); len(made) != 0 {
		w.t.Errorf("in the cluster there are %v", made)
	}
}

// TestAWaitingBackupEndsWithTheProtectionOfItsInstance holds that nobody finds a backup that was made after they had said that none is.
func TestAWaitingBackupEndsWithTheProtectionOfItsInstance(t *testing.T) {
	for _, tt := range []struct {
		operation protection.Operation
		why       string
	}{{protection.SuspendBackups, "backups of one were suspended"}, {protection.StopProtection, "the protection of one was stopped"}} {
		t.Run(string(tt.operation), func(t *testing.T) {
			w := newWorld(t)
			name := w.beginAway()
			w.protect(tt.operation)
			w.mustBeWithdrawn(name, tt.why)
			w.protect(protection.ResumeProtection)
			w.until(w.Clock.Now())
			w.until(day(6))
			if got, want := w.slots(), "2026-05-05T02:00 Begun, 2026-05-06T02:00 Begun"; got != want {
				t.Errorf("slots: %s, want %s", got, want)
			}
		})
	}
	for _, softDelete := range []string{"On", "Off"} {
		t.Run("deleted, soft delete "+softDelete, func(t *testing.T) {
			w := newWorld(t)
			w.putVault(softDelete, "Disabled")
			w.backedUp()
			before := w.cluster.Names("backups")[0]
			w.cluster.Remove("backups", before)
			name := w.beginAway()
			if _, err := w.remove(false); err != nil {
				t.Fatal(err)
			}
			w.mustBeWithdrawn(name, "the backup instance one was deleted")
			if there := w.there(instanceID); there != (softDelete == "Off") {
				t.Errorf("it is there: %v", there)
			}
		})
	}
}

// TestABackupThatMayHaveBegunIsCancelledInItsCluster holds it of one that was told to a cluster which has not answered.
func TestABackupThatMayHaveBegunIsCancelledInItsCluster(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("the request was lost: %v", lost), func(t *testing.T) {
			w := newWorld(t)
			w.until(w.Clock.Now())
			w.until(day(5))
			name := w.scheduled()[0]
			w.cluster.DieAt(0, lost)
			w.look()
			w.protect(protection.SuspendBackups)
			if got := w.job(name); got.Status != job.InProgress {
				t.Fatalf("the job is %s: %+v", got.Status, got.ErrorDetails)
			}
			w.look()
			if !w.cluster.IsSet("backups", name, "spec", "cancel") {
				t.Error("its run is not told to end")
			}
			w.cluster.SetStatus("backups", name, `{"phase":"Cancelled"}`)
			w.look()
			if got := w.job(name); got.Status != job.Cancelled || len(got.ErrorDetails) != 1 || !strings.Contains(got.ErrorDetails[0].Message, "backups of one were suspended") {
				t.Errorf("the job is %s: %+v", got.Status, got.ErrorDetails)
			}
		})
	}
}

// TestABackupOfTheScheduleThatHasBegunGoesOn holds it of one of the schedule: it is a recovery point soon, and nobody is told to look for half of one.
func TestABackupOfTheScheduleThatHasBegunGoesOn(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.until(day(5))
	w.look()
	w.protect(protection.SuspendBackups)
	w.complete(w.scheduled()[0])
}

// TestAWaitingBackupOfAnEarlierVersionEnds holds it of one that waits since before its end came with the protection's.
func TestAWaitingBackupOfAnEarlierVersionEnds(t *testing.T) {
	w := newWorld(t)
	name := w.beginAway()
	text, err := protection.Record{State: protection.Suspended, Since: w.Clock.Now()}.Facts()
	if err != nil {
		t.Fatal(err)
	}
	w.setFacts(instanceID, string(text))
	w.clusters.Set(clusterID, w.cluster)
	w.look()
	w.mustBeWithdrawn(name, "backups of one were suspended")
}

// TestAWaitingBackupIsMadeAsItsInstanceSaysThen holds that what is captured is what the instance protects when the capturing begins.
func TestAWaitingBackupIsMadeAsItsInstanceSaysThen(t *testing.T) {
	w := newWorld(t)
	name := w.beginAway()
	r, err := w.jobs.Keeper.Get(t.Context(), instanceID)
	if err != nil {
		t.Fatal(err)
	}
	other := vaultID + "/backupPolicies/other"
	w.put(other, policyBody)
	changed := strings.NewReplacer(`"includedNamespaces":["app"]`, `"includedNamespaces":["app","more"]`, string(policyID), string(other)).Replace(string(r.Body))
	w.put(instanceID, changed)
	w.Clock.Move(time.Hour)
	w.clusters.Set(clusterID, w.cluster)
	w.complete(name)
	if got := fmt.Sprint(w.cluster.Get("backups", name, "spec", "includedNamespaces")); got != "[app more]" {
		t.Errorf("the run captures %s", got)
	}
	if got := w.job(name); got.PolicyName != "other" || !catalogue.ID(got.PolicyID).Is(other) {
		t.Errorf("the job follows %s, %s", got.PolicyName, got.PolicyID)
	}
	if shown, err := arm.Decode[arm.RecoveryPoint](w.points()[0].Body); err != nil || shown.PolicyName != "other" {
		t.Errorf("the recovery point: %+v, %v", shown, err)
	}
}
