package runner_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	failedRun = `{"phase":"Failed","step":"RollingBack","reason":"UserErrorDriver","message":"no driver; install it"}`
	partial   = `{"phase":"CompletedWithWarnings","step":"CleaningUp","startTime":"2026-05-04T12:00:01Z","warningCount":1,"warnings":[{"code":"W","message":"data cannot be snapshotted"}]}`
)

// backup makes a backup whose run ends so.
func (w *world) backup(status string) string {
	w.t.Helper()
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.cluster.SetStatus("backups", name, status)
	w.look()
	return name
}

// closed are the alerts that were closed, what happened last first, in words: kind, who has closed it, and why.
func (w *world) closed() string {
	w.t.Helper()
	var words []string
	w.view(func(v catalogue.View) error {
		found, err := v.Alerts(w.t.Context(), catalogue.AlertQuery{Vault: vaultID, State: catalogue.AlertClosed, Limit: 100})
		for _, a := range found {
			shown, err := vault.AlertProperties(a)
			if err != nil || shown.ClosedTime == nil {
				w.t.Errorf("closed: %+v, %v", shown, err)
			}
			words = append(words, fmt.Sprintf("%s by %s: %s", a.Kind, shown.ClosedBy, shown.ClosedReason))
		}
		return err
	})
	return strings.Join(words, ", ")
}

func TestAJobThatFailedIsAnAlertUntilOneHasEndedWell(t *testing.T) {
	w := newWorld(t)
	first := w.backup(failedRun)
	if got := w.alerts(); got != "BackupFailed one 1" {
		t.Fatalf("after one that failed: %s", got)
	}
	second := w.backup(failedRun)
	if got := w.alerts(); got != "BackupFailed one 2" {
		t.Errorf("after another: %s", got)
	}
	found, err := w.jobs.Keeper.Alerts(t.Context(), catalogue.AlertQuery{Vault: vaultID, Limit: 10})
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	shown, err := vault.AlertProperties(found[0])
	want := "the backup of one failed (the job " + second + "): UserErrorDriver: no driver; install it"
	if err != nil || shown.Severity != "Sev1" || shown.Message != want || shown.RecommendedAction != "install it" || !shown.FirstOccurred.Equal(*w.job(first).EndTime) {
		t.Errorf("it says %+v, want %s", shown, want)
	}
	part := w.backup(partial)
	if got, want := w.alerts(), "BackupCompletedWithWarnings one 1"; got != want {
		t.Errorf("after a partial one: %s, want %s", got, want)
	}
	good := w.backup(completed)
	if got := w.alerts(); got != "" {
		t.Errorf("after a good one: %s", got)
	}
	if got, want := w.closed(), "BackupCompletedWithWarnings by the job "+good+": a later backup has ended: Completed, BackupFailed by the job "+part+": a later backup has ended: CompletedWithWarnings"; got != want {
		t.Errorf("closed: %s\nwant %s", got, want)
	}
	// Who has it restored has made no backup.
	w.backup(failedRun)
	restore := w.begin(w.jobs.BeginRestore, restoreRequest(good, clusterID))
	w.look()
	w.cluster.SetStatus("restores", restore, `{"phase":"Completed"}`)
	w.look()
	if got := w.alerts(); w.job(restore).Status != job.Completed || got != "BackupFailed one 1" {
		t.Errorf("after a good restore: %s, %s", w.job(restore).Status, got)
	}
}

func TestAJobThatWasCancelledIsNoAlert(t *testing.T) {
	w := newWorld(t)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	if _, err := w.jobs.CancelJob(t.Context(), w.by, vaultID, name); err != nil {
		t.Fatal(err)
	}
	w.cluster.SetStatus("backups", name, `{"phase":"Cancelled","step":"RollingBack","reason":"UserErrorCancelled"}`)
	w.look()
	if got := w.alerts(); w.job(name).Status != job.Cancelled || got != "" {
		t.Errorf("%s, and alerts: %s", w.job(name).Status, got)
	}
}

func TestAVaultThatWantsNoAlertsOfJobsHasNone(t *testing.T) {
	w := newWorld(t)
	set := func(state string) {
		w.put(vaultID, strings.Replace(vaultBody("Off", "Disabled"), `"securitySettings"`, `"monitoringSettings":{"azureMonitorAlertSettings":{"alertsForAllJobFailures":"`+state+`"}},"securitySettings"`, 1))
	}
	set("Disabled")
	w.backup(failedRun)
	w.backup(partial)
	if got := w.alerts(); got != "" {
		t.Errorf("alerts: %s", got)
	}
	set("Enabled")
	w.backup(failedRun)
	set("Disabled")
	if w.backup(completed); w.alerts() != "" {
		t.Errorf("what is over is not closed: %s", w.alerts())
	}
}

// silent is a database that keeps no alerts.
type silent struct{ catalogue.Database }

type silentTx struct{ catalogue.Tx }

func (d silent) Update(ctx context.Context, do func(context.Context, catalogue.Tx) error) error {
	return d.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return do(ctx, silentTx{tx}) })
}

func (silentTx) RaiseAlert(context.Context, catalogue.Alert) (catalogue.Alert, bool, error) {
	return catalogue.Alert{}, false, errors.New("died before it was written")
}

func TestAJobDoesNotEndWithoutItsAlert(t *testing.T) {
	w := newWorld(t)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.cluster.SetStatus("backups", name, failedRun)
	kept := w.jobs.Keeper.DB
	w.jobs.Keeper.DB = silent{kept}
	w.Clock.Move(3 * time.Second)
	_ = w.runner.Look(t.Context()) // it tells of the error in its log
	w.jobs.Keeper.DB = kept
	if got := w.job(name); got.Status != job.InProgress || w.alerts() != "" {
		t.Fatalf("it has ended without its alert: %s, %s", got.Status, w.alerts())
	}
	w.look()
	if got := w.job(name); got.Status != job.Failed || w.alerts() != "BackupFailed one 1" {
		t.Errorf("at the next look: %s, %s", got.Status, w.alerts())
	}
}

func TestASlotWithoutABackupIsOverWithTheNextRecoveryPoint(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.until(day(5))
	long := w.scheduled()[0]
	w.look()
	w.cluster.SetStatus("backups", long, `{"phase":"InProgress","startTime":"2026-05-05T02:01:00Z"}`)
	w.look()
	w.until(day(6))
	if got := w.alerts(); got != "BackupOverrun one 1" {
		t.Fatalf("while it is under way: %s", got)
	}
	w.cluster.SetStatus("backups", long, strings.Replace(completed, "2026-05-04T12:00:01Z", "2026-05-05T02:01:00Z", 1))
	w.look()
	if got := w.alerts(); w.job(long).Status != job.Completed || got != "BackupOverrun one 1" {
		t.Errorf("the one that was in the way has ended, %s: %s", w.job(long).Status, got)
	}
	w.until(day(9).Add(5 * time.Hour))
	if got := w.alerts(); got != "BackupMissed one 1, BackupOverrun one 1" {
		t.Errorf("after nobody has looked for days: %s", got)
	}
	w.complete(w.scheduled()[0])
	if got := w.alerts(); got != "" || !strings.Contains(w.closed(), "BackupMissed by the job "+w.scheduled()[0]+": there is a later recovery point, of 2026-05-09T07:") {
		t.Errorf("caught up: %s; closed: %s", got, w.closed())
	}
}

func TestAnObjectiveThatIsMetAgainIsNoAlert(t *testing.T) {
	w := newWorld(t)
	objective := func(period string) {
		w.put(policyID, strings.Replace(policyBody, `{"properties":{`, `{"properties":{"coffer":{"recoveryPointObjective":"`+period+`"},`, 1))
	}
	miss := func(n int) {
		t.Helper()
		w.until(day(n))
		w.cluster.SetStatus("backups", w.fail(), failedRun)
		w.look()
		w.until(day(n + 1).Add(3 * time.Hour))
		w.cluster.SetStatus("backups", w.fail(), failedRun)
		w.look()
		if got := w.alerts(); !strings.Contains(got, "RecoveryPointObjectiveMissed one") {
			t.Fatalf("alerts: %s", got)
		}
	}
	objective("PT26H")
	w.until(w.Clock.Now())
	miss(5)
	w.backup(strings.ReplaceAll(partial, "2026-05-04T12:00", w.Clock.Now().Format("2006-01-02T15:04")))
	if got := w.alerts(); !strings.Contains(got, "RecoveryPointObjectiveMissed one") {
		t.Errorf("after a partial one: %s", got)
	}
	w.complete(w.begin(w.jobs.BeginBackup, backupRequest))
	if got := w.alerts(); got != "" {
		t.Errorf("after a good one: %s", got)
	}
	for _, change := range []func(){func() { objective("P90D") }, func() { w.put(policyID, policyBody) }} {
		objective("PT26H")
		miss(w.Clock.Now().Day() + 1)
		change()
		w.until(w.Clock.Now().Add(time.Minute))
		if got := w.alerts(); strings.Contains(got, "Objective") || !strings.Contains(w.closed(), "RecoveryPointObjectiveMissed by the policy pol: ") {
			t.Errorf("after its policy has changed: %s; closed: %s", got, w.closed())
		}
	}
}

// fail is the job of the schedule that is under way, once its run is there.
func (w *world) fail() string {
	w.t.Helper()
	w.look()
	return w.scheduled()[0]
}

func TestNothingIsOpenAboutAnInstanceThatWasDeleted(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	w.backup(failedRun)
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	w.look()
	w.cluster.SetStatus("deletebackups", w.cluster.Names("deletebackups")[0], failedRun)
	w.look()
	if got, want := w.alerts(), "BackupDataDeletionFailed one 1, BackupFailed one 1"; got != want {
		t.Errorf("after a deletion that failed: %s, want %s", got, want)
	}
	w.cluster.Remove("deletebackups", w.cluster.Names("deletebackups")[0])
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	w.deletions(1, `{"phase":"Completed"}`)
	if got := w.alerts(); got != "" || !strings.Contains(w.closed(), "BackupFailed by a test: the backup instance was deleted") {
		t.Errorf("after it is gone: %s; closed: %s", got, w.closed())
	}
}
