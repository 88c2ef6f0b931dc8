package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/flow/lifecycle"
	"github.com/coffer-backup/coffer/internal/flow/scheduler"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

func everything(catalogue.ID) bool { return true }

// newScheduler is that of another replica.
func (w *world) newScheduler() *scheduler.Scheduler {
	return scheduler.New(scheduler.Config{Jobs: w.jobs, Mine: everything, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
}

// until moves the clock to a time, and has the schedules looked at then.
func (w *world) until(at time.Time) {
	w.t.Helper()
	w.Clock.Move(at.Sub(w.Clock.Now()))
	if err := w.newScheduler().Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// scheduled are the names of the jobs of the schedule, the newest first.
func (w *world) scheduled() (names []string) {
	w.t.Helper()
	found, err := w.jobs.Keeper.Jobs(w.t.Context(), catalogue.JobQuery{Vault: vaultID, Operation: string(job.ScheduledBackup), Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, j := range found {
		names = append(names, j.Name)
	}
	return names
}

// slots are those of the instance, the oldest first, in words.
func (w *world) slots() string {
	w.t.Helper()
	var found []catalogue.Slot
	w.view(func(v catalogue.View) (err error) {
		found, err = v.Slots(w.t.Context(), catalogue.SlotQuery{Instance: instanceID, Limit: 100})
		return err
	})
	var words []string
	for _, s := range found {
		word := fmt.Sprintf("%s %s", s.At.Format("2006-01-02T15:04"), s.Outcome)
		if s.Missed > 0 {
			word += fmt.Sprintf(" %d since %s", s.Missed, s.Since.Format("2006-01-02T15:04"))
		}
		words = append([]string{word}, words...)
	}
	return strings.Join(words, ", ")
}

func (w *world) view(read func(v catalogue.View) error) {
	w.t.Helper()
	if err := w.Database.View(w.t.Context(), func(_ context.Context, v catalogue.View) error { return read(v) }); err != nil {
		w.t.Fatal(err)
	}
}

// alerts are the open ones, in words.
func (w *world) alerts() string {
	w.t.Helper()
	var words []string
	w.view(func(v catalogue.View) error {
		found, err := v.Alerts(w.t.Context(), catalogue.AlertQuery{Vault: vaultID, Open: true, Limit: 100})
		for _, a := range found {
			words = append(words, fmt.Sprintf("%s %s %d", a.Kind, a.Target.Name(), a.Count))
		}
		return err
	})
	return strings.Join(words, ", ")
}

// complete has the cluster carry a backup out.
func (w *world) complete(name string) {
	w.t.Helper()
	w.look()
	w.cluster.SetStatus("backups", name, strings.ReplaceAll(completed, "2026-05-04T12:00", w.Clock.Now().Format("2006-01-02T15:04")))
	w.look()
	if got := w.job(name); got.Status != job.Completed {
		w.t.Fatalf("the backup is %s: %+v", got.Status, got.ErrorDetails)
	}
}

func day(n int) time.Time { return time.Date(2026, 5, n, 2, 1, 0, 0, time.UTC) }

func TestABackupIsBegunAtItsSlot(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.until(day(5).Add(-2 * time.Minute))
	if names := w.scheduled(); len(names) != 0 {
		t.Fatalf("begun before their time: %v", names)
	}
	var replicas sync.WaitGroup
	w.Clock.Move(2 * time.Minute)
	for range 6 {
		replicas.Go(func() {
			if err := w.newScheduler().Look(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	replicas.Wait()
	names := w.scheduled()
	if len(names) != 1 {
		t.Fatalf("jobs: %v", names)
	}
	got := w.job(names[0])
	if got.IsUserTriggered || got.OperationCategory != "Backup" || got.ExtendedInfo.AdditionalDetails["ScheduledFor"] != "2026-05-05T02:00:00Z" || got.ExtendedInfo.AdditionalDetails["RetentionTag"] != "Default" {
		t.Errorf("the job: %+v, %+v", got, got.ExtendedInfo)
	}
	w.complete(names[0])
	if points := w.points(); len(points) != 1 || points[0].Name != names[0] || !points[0].Good {
		t.Errorf("recovery points: %+v", points)
	}
	w.until(day(5).Add(time.Hour))
	w.until(day(6))
	if names := w.scheduled(); len(names) != 2 {
		t.Errorf("jobs on the next day: %v", names)
	}
	if got, want := w.slots(), "2026-05-05T02:00 Begun, 2026-05-06T02:00 Begun"; got != want || w.alerts() != "" {
		t.Errorf("slots: %s, want %s; alerts: %s", got, want, w.alerts())
	}
}

func TestWhatWasMissedIsCaughtUpOnce(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.until(day(9).Add(5 * time.Hour))
	w.until(day(9).Add(6 * time.Hour))
	if names := w.scheduled(); len(names) != 1 {
		t.Fatalf("jobs: %v", names)
	}
	if got, want := w.slots(), "2026-05-09T02:00 CaughtUp 4 since 2026-05-05T02:00"; got != want || w.alerts() != "BackupMissed one 1" {
		t.Errorf("slots: %s, want %s; alerts: %s", got, want, w.alerts())
	}
	// A clock that is put back begins nothing again.
	w.until(day(7))
	w.until(day(9).Add(7 * time.Hour))
	if names := w.scheduled(); len(names) != 1 {
		t.Errorf("jobs once the clock was put back: %v", names)
	}
}

func TestASlotDuringABackupIsLeftOut(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.clusters.Set(clusterID, nil)
	w.until(day(5))
	w.until(day(6))
	if got, want := w.slots(), "2026-05-05T02:00 Begun, 2026-05-06T02:00 Missed"; got != want || w.alerts() != "BackupMissed one 1" {
		t.Errorf("slots while the cluster is away: %s, want %s; alerts: %s", got, want, w.alerts())
	}
	w.clusters.Set(clusterID, w.cluster)
	w.look()
	w.until(day(7))
	w.until(day(8))
	names := w.scheduled()
	if len(names) != 1 {
		t.Fatalf("jobs: %v", names)
	}
	if got := w.job(names[0]).ExtendedInfo.AdditionalDetails; got["Overruns"] != "2" || !strings.Contains(got["Overrun"], "2026-05-08T02:00:00Z") {
		t.Errorf("the job does not say that it overruns: %v", got)
	}
	if got := w.alerts(); got != "BackupOverrun one 2, BackupMissed one 1" {
		t.Errorf("alerts: %s", got)
	}
	w.complete(names[0])
	w.until(day(9))
	if got := w.slots(); !strings.HasSuffix(got, "2026-05-09T02:00 Begun") {
		t.Errorf("slots after its end: %s", got)
	}
}

func TestNothingIsBegunWhileBackupsAreSuspended(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	protect := func(o protection.Operation) {
		t.Helper()
		if _, err := w.jobs.Protect(t.Context(), w.by, instanceID, o, nil); err != nil {
			t.Fatal(err)
		}
	}
	protect(protection.SuspendBackups)
	w.until(day(5))
	w.until(day(7))
	protect(protection.ResumeBackups)
	w.until(day(7).Add(time.Hour))
	if got := w.slots(); got != "" {
		t.Errorf("slots: %s", got)
	}
	w.until(day(8))
	if got, want := w.slots(), "2026-05-08T02:00 Begun"; got != want || w.alerts() != "" {
		t.Errorf("slots: %s, want %s; alerts: %s", got, want, w.alerts())
	}
}

func TestAnotherScheduleBeginsWithTheChange(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.until(day(5))
	w.complete(w.scheduled()[0])
	w.until(day(5).Add(10 * time.Hour))
	w.put(policyID, strings.Replace(policyBody, "P1D", "PT4H", 1))
	w.until(day(5).Add(10*time.Hour + time.Minute))
	w.until(day(5).Add(12 * time.Hour))
	if got, want := w.slots(), "2026-05-05T02:00 Begun, 2026-05-05T14:00 Begun"; got != want || w.alerts() != "" {
		t.Errorf("slots: %s, want %s; alerts: %s", got, want, w.alerts())
	}
}

// expire lets go of what has expired, as another replica does.
func (w *world) expire() {
	w.t.Helper()
	one := lifecycle.New(lifecycle.Config{Jobs: w.jobs, Mine: everything, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
	if err := one.Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// days backs up on days of May, one after the other.
func (w *world) days(from, to int) {
	w.t.Helper()
	for n := from; n <= to; n++ {
		w.until(day(n))
		w.complete(w.scheduled()[0])
	}
}

func (w *world) owed() []catalogue.Deletion {
	w.t.Helper()
	var found []catalogue.Deletion
	w.view(func(v catalogue.View) (err error) {
		found, err = v.Deletions(w.t.Context(), catalogue.DeletionQuery{Vault: vaultID, Limit: 100})
		return err
	})
	return found
}

// TestWhatIsOwedSaysHowLargeItIs, with its snapshots, which take up most.
func TestWhatIsOwedSaysHowLargeItIs(t *testing.T) {
	w := newWorld(t)
	w.measurable()
	w.Clock.Move(time.Hour)
	w.measurable()
	w.Clock.Move(30 * 24 * time.Hour)
	w.expire()
	owed := w.owed()
	if len(owed) != 1 {
		t.Fatalf("deletions: %+v", owed)
	}
	if work, err := vault.ReadOwed(owed[0]); err != nil || work.SnapshotBytes != 1000 || owed[0].Bytes != 100 {
		t.Errorf("it is owed %+v, %v: %+v", work, err, owed[0])
	}
}

func TestWhatHasExpiredIsDeletedInTheCluster(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.days(5, 9)
	w.expire()
	if len(w.points()) != 5 {
		t.Fatalf("recovery points before their time: %d", len(w.points()))
	}
	w.Clock.Move(day(30).Sub(w.Clock.Now()))
	w.expire()
	if points := w.points(); len(points) != 1 || points[0].Time.Day() != 9 {
		t.Errorf("the newest good one is kept, and no other: %+v", points)
	}
	if owed := w.owed(); len(owed) != 4 || owed[0].Bytes != 100 || w.audited("Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints/expire") != 4 {
		t.Errorf("deletions: %+v", owed)
	}
	w.look()
	runs := w.cluster.Names("deletebackups")
	if len(runs) != 4 {
		t.Fatalf("runs: %v", runs)
	}
	w.cluster.SetStatus("deletebackups", runs[0], `{"phase":"Completed"}`)
	w.cluster.SetStatus("deletebackups", runs[1], `{"phase":"Failed","reason":"UserErrorRecoveryPointNotFound","message":"it is not there"}`)
	w.cluster.SetStatus("deletebackups", runs[2], `{"phase":"Failed","reason":"UserErrorBackupStorageLocationNotReady","message":"the container does not answer"}`)
	w.look()
	owed := w.owed()
	if len(owed) != 2 {
		t.Fatalf("deletions: %+v", owed)
	}
	if failed := owed[0].Failure + owed[1].Failure; failed != "the container does not answer" {
		t.Errorf("why they are left: %q", failed)
	}
	if runs := w.cluster.Names("deletebackups"); len(runs) != 1 {
		t.Errorf("runs that are left: %v", runs)
	}
	w.Clock.Move(time.Minute)
	w.cluster.OnMade(func(resource, _ string) string { return `{"phase":"Completed"}` })
	for _, name := range w.cluster.Names("deletebackups") {
		w.cluster.SetStatus("deletebackups", name, `{"phase":"Completed"}`)
	}
	w.look()
	w.look()
	if owed, runs := w.owed(), w.cluster.Names("deletebackups"); len(owed) != 0 || len(runs) != 0 {
		t.Errorf("in the end, deletions: %+v, runs: %v", owed, runs)
	}
}

func TestADeletionIsTriedForAsLongAsItTakes(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.days(5, 6)
	w.Clock.Move(day(20).Sub(w.Clock.Now()))
	w.expire()
	w.cluster.OnMade(func(resource, _ string) string { return `{"phase":"Failed","reason":"Broken","message":"no"}` })
	for range 100 {
		w.Clock.Move(time.Hour)
		w.look()
	}
	owed := w.owed()
	if len(owed) != 1 || owed[0].Tries != 100 || owed[0].Failure != "no" || w.alerts() != "RecoveryPointNotDeleted one 96" {
		t.Errorf("deletions: %+v, alerts: %s", owed, w.alerts())
	}
	if made := w.cluster.Names("deletebackups"); len(made) != 0 {
		t.Errorf("runs: %v", made)
	}
	w.cluster.OnMade(func(resource, _ string) string { return `{"phase":"Completed"}` })
	w.Clock.Move(time.Hour)
	w.look()
	if owed := w.owed(); len(owed) != 0 {
		t.Errorf("deletions in the end: %+v", owed)
	}
}

func TestWhatIsReadOrStoppedIsNotExpired(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.days(5, 7)
	oldest := w.points()[2].Name
	restore := w.begin(w.jobs.BeginRestore, restoreRequest(oldest, clusterID))
	w.look()
	w.Clock.Move(day(30).Sub(w.Clock.Now()))
	w.expire()
	if points := w.points(); len(points) != 2 || points[1].Name != oldest {
		t.Errorf("while %s reads the oldest: %+v", restore, points)
	}
	if _, err := w.jobs.Protect(t.Context(), w.by, instanceID, protection.StopProtection, nil); err != nil {
		t.Fatal(err)
	}
	w.cluster.SetStatus("restores", restore, `{"phase":"Completed","step":"AwaitingReadiness"}`)
	w.look()
	w.expire()
	if points := w.points(); len(points) != 2 {
		t.Errorf("while protection is stopped: %+v", points)
	}
	if _, err := w.jobs.Protect(t.Context(), w.by, instanceID, protection.ResumeProtection, nil); err != nil {
		t.Fatal(err)
	}
	w.expire()
	if points := w.points(); len(points) != 1 || points[0].Name == oldest {
		t.Errorf("in the end: %+v", points)
	}
}

func TestRecoveryPointsAdoptAChangedPolicy(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.days(5, 7)
	expiries := func() (all []string) {
		for _, p := range w.points() {
			var shown arm.RecoveryPoint
			if err := json.Unmarshal(p.Body, &shown); err != nil {
				t.Fatal(err)
			}
			if !shown.ExpiryTime.Equal(p.Expiry) || !shown.Coffer.Expires.Equal(p.Expiry) || !shown.RecoveryPointDataStoresDetails[0].ExpiryTime.Equal(p.Expiry) {
				t.Errorf("it expires on %s, and says %s", p.Expiry, p.Body)
			}
			all = append(all, fmt.Sprintf("%d to %s", p.Time.Day(), p.Expiry.Format("01-02")))
		}
		return all
	}
	kept := strings.Replace(policyBody, `"duration":"P7D"`, `"duration":"P20D"`, 1)
	w.put(policyID, kept)
	w.until(day(7).Add(time.Hour))
	if got, want := expiries(), []string{"7 to 05-14", "6 to 05-13", "5 to 05-12"}; !slices.Equal(got, want) {
		t.Errorf("what was promised: %v, want %v", got, want)
	}
	adopted := strings.Replace(kept, `{"properties":{`, `{"properties":{"coffer":{"existingRecoveryPoints":"Adopt"},`, 1)
	w.put(policyID, adopted)
	w.until(day(7).Add(2 * time.Hour))
	w.until(day(7).Add(3 * time.Hour))
	if got, want := expiries(), []string{"7 to 05-27", "6 to 05-26", "5 to 05-25"}; !slices.Equal(got, want) {
		t.Errorf("adopted: %v, want %v", got, want)
	}
	if n := w.audited("Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints/write"); n != 3 {
		t.Errorf("audit entries: %d", n)
	}
	protect := func(o protection.Operation) {
		t.Helper()
		if _, err := w.jobs.Protect(t.Context(), w.by, instanceID, o, nil); err != nil {
			t.Fatal(err)
		}
	}
	protect(protection.StopProtection)
	w.until(day(7).Add(4 * time.Hour))
	w.put(policyID, strings.Replace(adopted, `"duration":"P20D"`, `"duration":"P2D"`, 1))
	w.until(day(7).Add(6 * time.Hour))
	protect(protection.ResumeProtection)
	w.until(day(8).Add(-time.Hour))
	w.expire()
	if got, want := expiries(), []string{"7 to 05-09", "6 to 05-08"}; !slices.Equal(got, want) {
		t.Errorf("shortened: %v, want %v", got, want)
	}
}

// TestWhatIsNotBackedUpAdoptsAChangedPolicyToo, and at once: of what is suspended recovery points expire meanwhile, and those that are to be kept for
// longer would be gone by the time that it is resumed.
func TestWhatIsNotBackedUpAdoptsAChangedPolicyToo(t *testing.T) {
	for _, operation := range []protection.Operation{protection.SuspendBackups, protection.StopProtection} {
		t.Run(string(operation), func(t *testing.T) {
			w := newWorld(t)
			w.until(w.Clock.Now())
			w.days(5, 7)
			if _, err := w.jobs.Protect(t.Context(), w.by, instanceID, operation, nil); err != nil {
				t.Fatal(err)
			}
			w.until(day(7).Add(time.Hour))
			w.put(policyID, strings.Replace(strings.Replace(policyBody, `"duration":"P7D"`, `"duration":"P20D"`, 1),
				`{"properties":{`, `{"properties":{"coffer":{"existingRecoveryPoints":"Adopt"},`, 1))
			w.until(day(7).Add(61 * time.Minute))
			for _, p := range w.points() {
				if want := p.Time.AddDate(0, 0, 20); !p.Expiry.Equal(want) {
					t.Errorf("that of %s is kept until %s, want %s", p.Time, p.Expiry, want)
				}
			}
			w.until(day(20))
			w.expire()
			if points := w.points(); len(points) != 3 {
				t.Errorf("recovery points that are left: %d, want 3", len(points))
			}
			if n := w.audited("Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints/write"); n != 3 {
				t.Errorf("each is written once, and audited: %d", n)
			}
			if names := w.scheduled(); len(names) != 3 {
				t.Errorf("backups of the schedule: %v", names)
			}
		})
	}
}

func TestAnObjectiveThatIsMissedIsAnAlert(t *testing.T) {
	w := newWorld(t)
	w.put(policyID, strings.Replace(policyBody, `{"properties":{`, `{"properties":{"coffer":{"recoveryPointObjective":"PT26H"},`, 1))
	w.until(w.Clock.Now())
	w.until(day(5))
	w.complete(w.scheduled()[0])
	w.until(day(6))
	if got := w.alerts(); got != "" {
		t.Errorf("alerts in time: %s", got)
	}
	w.look()
	w.until(day(6).Add(3 * time.Hour))
	if got := w.alerts(); got != "RecoveryPointObjectiveMissed one 1" {
		t.Errorf("alerts: %s", got)
	}
	w.complete(w.scheduled()[0])
	w.until(day(6).Add(10 * time.Hour))
	if got := w.alerts(); got != "" {
		t.Errorf("alerts after the next recovery point: %s", got)
	}
}

// TestAnObjectiveThatWasMissedBeforeBackupsWereResumedIsNoAlert: from then on there is as long again for a good one.
func TestAnObjectiveThatWasMissedBeforeBackupsWereResumedIsNoAlert(t *testing.T) {
	w := newWorld(t)
	w.put(policyID, strings.Replace(policyBody, `{"properties":{`, `{"properties":{"coffer":{"recoveryPointObjective":"PT26H"},`, 1))
	w.until(w.Clock.Now())
	w.until(day(6).Add(3 * time.Hour))
	for _, o := range []protection.Operation{protection.SuspendBackups, protection.ResumeBackups} {
		if got := w.alerts(); !strings.Contains(got, "RecoveryPointObjectiveMissed one") {
			t.Fatalf("alerts before %s: %s", o, got)
		}
		if _, err := w.jobs.Protect(t.Context(), w.by, instanceID, o, nil); err != nil {
			t.Fatal(err)
		}
		w.until(w.Clock.Now().Add(2 * time.Hour))
	}
	if got := w.alerts(); strings.Contains(got, "Objective") {
		t.Errorf("alerts once backups are resumed: %s", got)
	}
}

func TestWhatWaitsForTheVaultTierStays(t *testing.T) {
	w := newWorld(t)
	w.put(policyID, strings.Replace(policyBody, `"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"}}`,
		`"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"targetDataStoreCopySettings":[{"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"VaultStore"},
		"copyAfter":{"objectType":"ImmediateCopyOption"}}]},{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P30D"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"VaultStore"}}`, 1))
	w.until(w.Clock.Now())
	w.days(5, 6)
	w.Clock.Move(day(25).Sub(w.Clock.Now()))
	w.expire()
	if points := w.points(); len(points) != 2 {
		t.Errorf("while the vault tier would keep them: %+v", points)
	}
	w.Clock.Move(20 * 24 * time.Hour)
	w.expire()
	if points := w.points(); len(points) != 1 {
		t.Errorf("once nobody was to keep them any more: %+v", points)
	}
}
