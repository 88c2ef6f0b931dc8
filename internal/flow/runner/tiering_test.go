package runner_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/flow/tiering"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/tiertest"
)

// vaultPolicy is a policy that backs up each twelve hours, with a tag and its rule's lifecycles.
func vaultPolicy(tag, lifecycles string) string {
	text := strings.Replace(policyBody, "/P1D", "/PT12H", 1)
	text = strings.Replace(text, `"taggingCriteria":[`, `"taggingCriteria":[{"isDefault":false,"taggingPriority":25,"tagInfo":{"tagName":"Vault"},"criteria":[{"objectType":"ScheduleBasedBackupCriteria",`+tag+`}]},`, 1)
	return strings.Replace(text, `{"objectType":"AzureRetentionRule","name":"Long"`, `{"objectType":"AzureRetentionRule","name":"Vault","isDefault":false,"lifecycles":[`+lifecycles+`]},{"objectType":"AzureRetentionRule","name":"Long"`, 1)
}

func lifecycleOf(store, keep string, copies ...string) string {
	text := `{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"` + keep + `"},"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"` + store + `"},"targetDataStoreCopySettings":[`
	for _, c := range copies {
		text += `{"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"VaultStore"},"copyAfter":{"objectType":` + c + `}}`
	}
	return text + `]}`
}

const (
	firstOfDay = `"absoluteCriteria":["FirstOfDay"]`
	allBackups = `"absoluteCriteria":["AllBackup"]`
	atOnce     = `"ImmediateCopyOption"`
	onExpiry   = `"CopyOnExpiryOption"`
)

// disasterRecovery is the preset of Azure's command line: the first of a day, kept in the vault tier.
func disasterRecovery(keep string) string {
	return vaultPolicy(firstOfDay, lifecycleOf("VaultStore", keep))
}

// tiered is a world whose server has a vault tier.
type tiered struct {
	*world
	tier   *tiertest.Memory
	faulty *tiertest.Faulty
}

func newTiered(t *testing.T, policy string) *tiered {
	t.Helper()
	w := &tiered{world: newWorld(t), tier: &tiertest.Memory{}}
	w.faulty = &tiertest.Faulty{Vaulting: w.tier}
	w.put(policyID, policy)
	w.cluster.OnMade(func(string, string) string {
		return strings.ReplaceAll(completed, "2026-05-04T12:00", w.Clock.Now().Format("2006-01-02T15:04"))
	})
	w.until(w.Clock.Now())
	return w
}

// newTiering is that of another replica.
func (w *tiered) newTiering() *tiering.Tiering {
	return tiering.New(tiering.Config{Jobs: w.jobs, Tier: w.faulty, Mine: everything, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
}

// copies looks after what is due in the vault tier.
func (w *tiered) copies() {
	w.t.Helper()
	if err := w.newTiering().Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// backUp has the schedule looked at a minute after a time, and what is begun carried out.
func (w *tiered) backUp(at time.Time) {
	w.t.Helper()
	w.until(at.Add(time.Minute))
	w.look()
}

// tierings are the tiering jobs, the oldest first.
func (w *tiered) tierings() (found []arm.Job) {
	w.t.Helper()
	kept, err := w.jobs.Keeper.Jobs(w.t.Context(), catalogue.JobQuery{Vault: vaultID, Operation: "Tiering", Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, j := range kept {
		found = append([]arm.Job{w.job(j.Name)}, found...)
	}
	return found
}

// tiers are the recovery points of an instance, the oldest first, with until when each tier keeps them: 05-05T02 Vault O05-12 V08-03.
func (w *tiered) tiers(of catalogue.ID) string {
	w.t.Helper()
	points, err := w.jobs.Keeper.Points(w.t.Context(), catalogue.PointQuery{Instance: of, Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(points)
	words := make([]string, len(points))
	for i, p := range points {
		shown, err := arm.Decode[arm.RecoveryPoint](p.Body)
		if err != nil {
			w.t.Fatal(err)
		}
		words[i] = p.Time.Format("01-02T15 ") + shown.RetentionTagName
		var op, vt time.Time
		for _, s := range shown.RecoveryPointDataStoresDetails {
			words[i] += " " + string(s.Type)[:1] + s.ExpiryTime.Format("01-02")
			if s.Type == arm.OperationalStore {
				op = *s.ExpiryTime
			} else {
				vt = *s.ExpiryTime
			}
		}
		if c := shown.Coffer; c.CopyAfter != nil {
			words[i] += " C" + p.Copy.Format("01-02T15")
			vt = *c.CopyExpires
		}
		if !p.Expiry.Equal(op) || !p.VaultExpiry.Equal(vt) || p.Copy.IsZero() != (shown.Coffer.CopyAfter == nil) {
			w.t.Errorf("the recovery point %s is kept until %v and %v and copied at %v in the database, and shows %s", p.Name, p.Expiry, p.VaultExpiry, p.Copy, p.Body)
		}
	}
	return strings.Join(words, ", ")
}

func (w *tiered) mustBe(when, want string) {
	w.t.Helper()
	if got := w.tiers(instanceID); got != want {
		w.t.Errorf("%s, there are\n%s, want\n%s", when, got, want)
	}
}

// tierAlerts are those of tiers, in words.
func (w *tiered) tierAlerts() string {
	w.t.Helper()
	var all []string
	for _, a := range strings.Split(w.alerts(), ", ") {
		if a != "" && !strings.HasPrefix(a, "Backup") {
			all = append(all, a)
		}
	}
	return strings.Join(all, ", ")
}

// whole are the times of the recovery points that the vault tier could restore.
func (w *tiered) whole() string { return times(w.tier.Whole()) }

func times(copies []catalogue.VaultCopy) string {
	var all []string
	for _, c := range copies {
		all = append(all, c.Taken.Format("01-02T15"))
	}
	return strings.Join(all, " ")
}

func at(month time.Month, day, hour int) time.Time {
	return time.Date(2026, month, day, hour, 0, 0, 0, time.UTC)
}

func TestARecoveryPointIsCopiedToTheVaultTierAndExpiresThereByItself(t *testing.T) {
	w := newTiered(t, disasterRecovery("P10D"))
	w.tier.Looks = 2
	w.backUp(at(5, 5, 2))
	w.mustBe("once it was made", "05-05T02 Vault O05-12 C05-05T02")
	w.copies()
	jobs := w.tierings()
	if len(jobs) != 1 {
		t.Fatalf("jobs: %+v", jobs)
	}
	got := jobs[0]
	if got.Status != job.InProgress || got.OperationCategory != "Tiering" || got.IsUserTriggered || got.BackupInstanceID != string(instanceID) || got.ExtendedInfo.SubTasks[0].TaskProgress != "333/1000" {
		t.Errorf("the job under way: %+v, %+v", got, got.ExtendedInfo)
	}
	if _, err := w.jobs.CancelJob(t.Context(), w.by, vaultID, got.ActivityID); coffer.CodeOf(err) != coffer.CodeNotCancellable {
		t.Errorf("it is cancelled: %v", err)
	}
	w.copies() // that is too early for another look
	if got := w.tierings()[0]; got.ExtendedInfo.SubTasks[0].TaskProgress != "333/1000" {
		t.Errorf("it was looked at again at once: %+v", got.ExtendedInfo.SubTasks)
	}
	for range 2 {
		w.Clock.Move(time.Minute)
		w.copies()
	}
	if got := w.tierings()[0]; got.Status != job.Completed || got.DestinationDataStoreName != "VaultStore" || *got.ExtendedInfo.DataTransferredInBytes != 1000 {
		t.Errorf("the job at its end: %+v", got)
	}
	w.mustBe("once it is copied", "05-05T02 Vault O05-12 V05-15")
	w.backUp(at(5, 5, 14))
	w.backUp(at(5, 6, 2))
	for range 3 {
		w.Clock.Move(time.Minute)
		w.copies()
	}
	w.mustBe("on the next day", "05-05T02 Vault O05-12 V05-15, 05-05T14 Default O05-12, 05-06T02 Vault O05-13 V05-16")

	// The operational tier lets go of it, and the vault tier keeps it: it is still in the list.
	w.Clock.Move(at(5, 12, 20).Sub(w.Clock.Now()))
	w.expire()
	w.mustBe("after the time of the operational tier", "05-05T02 Vault V05-15, 05-06T02 Vault O05-13 V05-16")
	if owed := w.owed(); len(owed) != 2 || owed[0].Tier != catalogue.OperationalTier || owed[0].Bytes != 100 {
		t.Errorf("owed: %+v", owed)
	}
	w.look()
	w.look()
	if owed := w.owed(); len(owed) != 0 {
		t.Errorf("owed after it was deleted in the cluster: %+v", owed)
	}
	// Nobody restores from the tier that has it no more.
	point := w.points()
	_, err := w.jobs.BeginRestore(t.Context(), w.by, instanceID, []byte(restoreRequest(point[len(point)-1].Name, clusterID)))
	if err == nil || !strings.Contains(err.Error(), "VaultStore") {
		t.Errorf("a restore from the operational tier: %v", err)
	}

	if _, err := w.jobs.SourceOfPoint(t.Context(), instanceID, point[len(point)-1].Name); coffer.CodeOf(err) != coffer.CodeBackupNotFound {
		t.Errorf("its contents: %v", err)
	}

	// Then the vault tier lets go of it, and deletes it in its own time.
	w.tier.Looks = 1
	w.Clock.Move(at(5, 15, 20).Sub(w.Clock.Now()))
	w.expire()
	w.mustBe("after the time of the vault tier", "05-06T02 Vault O05-13 V05-16")
	owed := w.owed()
	if len(owed) != 1 || owed[0].Tier != catalogue.VaultTier || owed[0].Cluster != "" || owed[0].Bytes != 100 || w.whole() != "05-05T02 05-06T02" {
		t.Errorf("owed: %+v, in the vault tier %s", owed, w.whole())
	}
	w.look()
	w.copies()
	if len(w.owed()) != 1 || w.whole() != "05-06T02" || len(w.tier.All()) != 2 {
		t.Errorf("while it is deleted, owed: %+v, in the vault tier %s", w.owed(), times(w.tier.All()))
	}
	w.Clock.Move(time.Minute)
	w.copies()
	if len(w.owed()) != 0 || times(w.tier.All()) != "05-06T02" {
		t.Errorf("in the end, owed: %+v, in the vault tier %s", w.owed(), times(w.tier.All()))
	}
	if n := w.audited("Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints/expire"); n != 3 {
		t.Errorf("%d entries of what has expired", n)
	}
}

// TestWhenAKSBackupCopies follows the policies that AKS Backup's pages have for the vault tier through five days.
func TestWhenAKSBackupCopies(t *testing.T) {
	for _, tt := range []struct{ name, policy, vault string }{
		{"preset DisasterRecovery: the first of a day, at once", disasterRecovery("P90D"), "05-05T02 05-06T02 05-07T02 05-08T02 05-09T02"},
		{"the pages' form: a lifecycle of both tiers, at once", vaultPolicy(firstOfDay, lifecycleOf("OperationalStore", "P7D", atOnce)+","+lifecycleOf("VaultStore", "P84D")), "05-05T02 05-06T02 05-07T02 05-08T02 05-09T02"},
		{"on expiry", vaultPolicy(firstOfDay, lifecycleOf("OperationalStore", "P2D", onExpiry)+","+lifecycleOf("VaultStore", "P30D")), "05-05T02 05-06T02 05-07T02"},
		{"after a day", vaultPolicy(firstOfDay, lifecycleOf("OperationalStore", "P7D", `"CustomCopyOption","duration":"P1D"`)+","+lifecycleOf("VaultStore", "P30D")), "05-05T02 05-06T02 05-07T02 05-08T02"},
		{"one a day of what is wanted twice", vaultPolicy(allBackups, lifecycleOf("VaultStore", "P90D")), "05-05T02 05-06T02 05-07T02 05-08T02 05-09T02"},
		{"weekly", vaultPolicy(`"absoluteCriteria":["FirstOfWeek"]`, lifecycleOf("VaultStore", "P12W")), "05-05T02"},
		{"a day of the week, one of it", vaultPolicy(`"daysOfTheWeek":["Thursday"]`, lifecycleOf("VaultStore", "P12W")), "05-07T02"},
		{"the operational tier alone", vaultPolicy(firstOfDay, lifecycleOf("OperationalStore", "P7D")), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTiered(t, tt.policy)
			for day := 5; day <= 9; day++ {
				for _, hour := range []int{2, 14} {
					w.backUp(at(5, day, hour))
					w.Clock.Move(10 * time.Minute)
					w.copies()
					w.expire()
				}
			}
			if got := w.whole(); got != tt.vault {
				t.Errorf("in the vault tier are %s, want %s", got, tt.vault)
			}
			if points := w.points(); len(points) < 4 || w.tierAlerts() != "" {
				t.Errorf("%d recovery points, alerts %s", len(points), w.tierAlerts())
			}
		})
	}
}

func TestABackupByHandIsCopiedBesideTheDaysOwn(t *testing.T) {
	w := newTiered(t, disasterRecovery("P90D"))
	w.backUp(at(5, 5, 2))
	for range 2 {
		w.begin(w.jobs.BeginBackup, strings.Replace(backupRequest, "Long", "Vault", 1))
		w.Clock.Move(time.Hour)
		w.look()
		w.copies()
	}
	if got := w.whole(); got != "05-05T02 05-05T03 05-05T04" {
		t.Errorf("in the vault tier: %s", got)
	}
}

func TestACopyIsTriedForAsLongAsItTakes(t *testing.T) {
	w := newTiered(t, disasterRecovery("P90D"))
	w.faulty.Break(tiertest.Times(1<<30, tiertest.Refused))
	w.backUp(at(5, 5, 2))
	for n := range 5 {
		if got := w.tierAlerts(); got != "" {
			t.Errorf("after %d tries: %s", n, got)
		}
		w.copies()
		w.Clock.Move(20 * time.Minute)
	}
	if got := w.tierAlerts(); got != "RecoveryPointNotCopied one 1" {
		t.Errorf("after five tries: %s", got)
	}
	for range 30 * 24 {
		w.Clock.Move(time.Hour)
		w.copies()
	}
	w.expire()
	w.mustBe("after a month", "05-05T02 Vault O05-12 C"+w.Clock.Now().Add(time.Hour).Format("01-02T15"))
	jobs := w.tierings()
	if len(jobs) != 1 || jobs[0].Status != job.InProgress || !strings.Contains(jobs[0].ExtendedInfo.AdditionalDetails["Waiting"], "the vault tier does not answer") {
		t.Fatalf("after a month: %+v", jobs)
	}
	var raised catalogue.Alert
	w.view(func(v catalogue.View) error {
		found, err := v.Alerts(t.Context(), catalogue.AlertQuery{Vault: vaultID, Kind: "RecoveryPointNotCopied", Open: true, Limit: 10})
		raised = found[0]
		return err
	})
	shown, err := vault.AlertProperties(raised)
	if err != nil || shown.Severity != arm.SeverityError || !strings.Contains(shown.Message, "late: the vault tier does not answer (try 7") || raised.Count < 700 || raised.Count > 725 {
		t.Errorf("the alert: %+v, %v", shown, err)
	}
	w.faulty.Break(nil)
	w.Clock.Move(time.Hour)
	w.copies()
	w.backUp(at(6, 10, 2))
	w.copies()
	w.expire()
	w.mustBe("once it succeeds", "05-05T02 Vault V08-03, 06-10T02 Vault O06-17 V09-08")
}

func TestACopyThatIsLaterThanItWouldBeKeptIsGivenUp(t *testing.T) {
	w := newTiered(t, disasterRecovery("P20D"))
	w.tier.Looks = 1 << 30
	w.backUp(at(5, 5, 2))
	w.copies()
	w.faulty.Break(tiertest.Times(1<<30, tiertest.Refused))
	w.backUp(at(5, 24, 2))
	w.copies()
	w.expire()
	w.mustBe("on its last day", "05-05T02 Vault O05-12 C05-24T02, 05-24T02 Vault O05-31 C05-24T02")
	w.Clock.Move(26 * time.Hour)
	w.expire()
	w.mustBe("after it", "05-24T02 Vault O05-31 C05-24T02")
	if jobs := w.tierings(); jobs[0].Status != job.Failed || jobs[0].ErrorDetails[0].Code != string(coffer.CodeNotCopied) {
		t.Errorf("the job: %+v", jobs[0])
	}
	if got := w.tierAlerts(); got != "RecoveryPointNotCopied one 2" {
		t.Errorf("alerts: %s", got)
	}
	// What was copied of it is deleted, and so is the operational one.
	if owed := w.owed(); len(owed) != 2 || owed[0].Tier == owed[1].Tier {
		t.Errorf("owed: %+v", owed)
	}
	w.tier.Looks = 0
	w.faulty.Break(nil)
	w.Clock.Move(time.Hour)
	w.copies()
	w.look()
	w.look()
	if len(w.owed()) != 0 || times(w.tier.All()) != "05-24T02" {
		t.Errorf("in the end, owed: %+v, in the vault tier: %s", w.owed(), times(w.tier.All()))
	}
}

func TestAServerWithoutAVaultTierSaysSo(t *testing.T) {
	w := newTiered(t, disasterRecovery("P20D"))
	none := tiering.New(tiering.Config{Jobs: w.jobs, Mine: everything, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
	look := func() {
		t.Helper()
		if err := none.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for day := 5; day <= 7; day++ {
		w.backUp(at(5, day, 2))
		for range 4 {
			look()
			w.Clock.Move(time.Hour)
		}
		w.expire()
	}
	if got := w.tierAlerts(); got != "VaultTierMissing one 3" {
		t.Errorf("alerts: %s", got)
	}
	if jobs := w.tierings(); len(jobs) != 0 {
		t.Errorf("jobs that nobody carries out: %+v", jobs)
	}
	w.Clock.Move(at(5, 16, 2).Sub(w.Clock.Now()))
	w.expire()
	if got := len(w.points()); got != 3 {
		t.Errorf("the operational tier has %d recovery points", got)
	}
	w.Clock.Move(at(5, 28, 2).Sub(w.Clock.Now()))
	look()
	w.expire()
	w.mustBe("after the time of the vault tier", "05-07T02 Vault O05-14")
	// Once there is a vault tier, it has what is still to be copied.
	w.backUp(at(5, 29, 2))
	look()
	w.Clock.Move(25 * time.Hour)
	w.copies()
	if got := w.whole(); got != "05-29T02" {
		t.Errorf("in the vault tier: %s", got)
	}
}

func TestWhatHoldsARecoveryPointHoldsItInBothTiers(t *testing.T) {
	protect := func(w *tiered, o protection.Operation) {
		w.t.Helper()
		if _, err := w.jobs.Protect(w.t.Context(), w.by, instanceID, o, nil); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name string
		hold func(w *tiered)
		want string
	}{
		{"nothing", func(*tiered) {}, "05-07T02 Vault O05-14 V05-17"},
		{"legal hold", func(w *tiered) {
			points := w.points()
			if _, err := w.jobs.Keeper.Hold(w.t.Context(), w.by, instanceID, points[len(points)-1].Name, []byte(`{"reason":"case 7"}`)); err != nil {
				w.t.Fatal(err)
			}
		}, "05-05T02 Vault O05-12 V05-15, 05-07T02 Vault O05-14 V05-17"},
		{"stopped protection", func(w *tiered) { protect(w, protection.StopProtection) }, "05-05T02 Vault O05-12 V05-15, 05-06T02 Vault O05-13 V05-16, 05-07T02 Vault O05-14 V05-17"},
		{"suspended backups", func(w *tiered) { protect(w, protection.SuspendBackups) }, "05-07T02 Vault O05-14 V05-17"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newTiered(t, disasterRecovery("P10D"))
			for day := 5; day <= 7; day++ {
				w.backUp(at(5, day, 2))
				if day < 7 {
					w.copies()
				}
			}
			tt.hold(w)
			w.Clock.Move(time.Minute)
			w.copies() // of a stopped instance, too
			w.Clock.Move(60 * 24 * time.Hour)
			w.expire()
			w.copies()
			w.mustBe("two months later", tt.want)
			if got, want := len(w.tier.All()), strings.Count(tt.want, " V0"); got != want {
				t.Errorf("the vault tier has %s", times(w.tier.All()))
			}
		})
	}
}

func TestAnImmutableVaultKeepsWhatIsStillToBeCopied(t *testing.T) {
	w := newTiered(t, disasterRecovery("P20D"))
	w.faulty.Break(tiertest.Times(1<<30, tiertest.Refused))
	w.backUp(at(5, 5, 2))
	w.copies()
	w.putVault("Off", "Unlocked")
	w.Clock.Move(10 * 24 * time.Hour)
	w.expire()
	if _, err := w.remove(false); coffer.CodeOf(err) != coffer.CodeConflict || !strings.Contains(err.Error(), "2026-05-25T02") {
		t.Errorf("its deletion: %v", err)
	}
}

func TestAnInstanceIsDeletedWithItsCopies(t *testing.T) {
	w := newTiered(t, disasterRecovery("P30D"))
	w.backUp(at(5, 5, 2))
	w.copies()
	w.backUp(at(5, 6, 2))
	w.copies()
	w.Clock.Move(at(5, 12, 20).Sub(w.Clock.Now()))
	w.expire()
	w.backUp(at(5, 14, 2))
	w.tier.Looks = 3
	w.copies() // of the third, a part
	w.mustBe("before", "05-05T02 Vault V06-04, 05-06T02 Vault O05-13 V06-05, 05-14T02 Vault O05-21 C"+w.Clock.Now().Format("01-02T15"))
	removal, err := w.remove(false)
	if err != nil || !removal.Underway {
		t.Fatalf("%+v, %v", removal, err)
	}
	for range 4 {
		w.Clock.Move(time.Minute)
		w.copies()
		w.look()
	}
	if got := w.job(w.deletion()); got.Status != job.Completed {
		t.Errorf("the deletion is %s: %+v", got.Status, got.ExtendedInfo)
	}
	for range 10 {
		w.Clock.Move(time.Hour)
		w.copies()
		w.look()
	}
	if len(w.owed()) != 0 || len(w.tier.All()) != 0 {
		t.Errorf("owed: %+v, in the vault tier: %s", w.owed(), times(w.tier.All()))
	}
	for _, j := range w.tierings() {
		if j.EndTime == nil {
			t.Errorf("a job goes on: %+v", j)
		}
	}
}

func TestACopyGoesOnOnceADeletedInstanceIsHadAgain(t *testing.T) {
	w := newTiered(t, disasterRecovery("P30D"))
	w.putVault("On", "Disabled")
	w.tier.Looks = 3
	w.backUp(at(5, 5, 2))
	w.copies()
	if _, err := w.remove(false); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.Clock.Move(time.Hour)
		w.copies()
		w.expire()
	}
	if len(w.owed()) != 0 || w.whole() != "" || len(w.tier.All()) != 1 {
		t.Errorf("while it is deleted, owed: %+v, in the vault tier: %s", w.owed(), times(w.tier.All()))
	}
	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		w.Clock.Move(time.Hour)
		w.copies()
	}
	jobs := w.tierings()
	if w.whole() != "05-05T02" || len(jobs) != 2 || jobs[0].Status != job.Cancelled || jobs[1].Status != job.Completed || w.tier.Begun(w.points()[0].Name) != 1 {
		t.Errorf("in the vault tier: %s, jobs: %+v", w.whole(), jobs)
	}
	w.mustBe("in the end", "05-05T02 Vault O05-12 V06-04")
}

func TestAThousandCopiesEndWithTheirInstance(t *testing.T) {
	w := newTiered(t, disasterRecovery("P30D"))
	w.putVault("On", "Disabled")
	w.tier.Looks = 3
	w.backUp(at(5, 5, 2))
	w.copies()
	open := func() (found []catalogue.Job) {
		err := w.Database.View(t.Context(), func(ctx context.Context, v catalogue.View) (err error) {
			found, err = v.OpenJobs(ctx, catalogue.OpenJobQuery{Instances: []catalogue.ID{instanceID}, Limit: 1000})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	kept := open()[0]
	// One more than are read at a time.
	err := w.Database.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		for n := range 1000 {
			kept.Name = fmt.Sprintf("copy%04d", n)
			if err := tx.PutJob(ctx, kept); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.remove(false); err != nil {
		t.Error(err)
	}
	if left := open(); len(left) != 0 {
		t.Errorf("of 1,001 copies, %s and others go on", left[0].Name)
	}
}

func TestAChangedPolicyEndsCopiesThatItDoesNotWant(t *testing.T) {
	w := newTiered(t, disasterRecovery("P30D"))
	adopting := func(policy string) string {
		return strings.Replace(policy, `{"properties":{`, `{"properties":{"coffer":{"existingRecoveryPoints":"Adopt"},`, 1)
	}
	w.backUp(at(5, 5, 2))
	w.copies()
	w.tier.Looks = 5
	w.backUp(at(5, 6, 2))
	w.copies()
	w.put(policyID, adopting(vaultPolicy(firstOfDay, lifecycleOf("OperationalStore", "P7D"))))
	w.until(w.Clock.Now().Add(time.Minute))
	w.mustBe("once nothing is copied", "05-05T02 Vault O05-12 V06-04, 05-06T02 Vault O05-13")
	jobs := w.tierings()
	if jobs[1].Status != job.Cancelled || !strings.Contains(jobs[1].ErrorDetails[0].Message, "its policy copies it no more") || len(w.owed()) != 1 {
		t.Errorf("the job: %+v, owed: %+v", jobs[1], w.owed())
	}
	// It is wanted again before what was copied is deleted: it is made anew after that.
	w.put(policyID, adopting(disasterRecovery("P40D")))
	w.until(w.Clock.Now().Add(time.Minute))
	w.mustBe("once it is copied again", "05-05T02 Vault O05-12 V06-14, 05-06T02 Vault O05-13 C05-06T02")
	for range 20 {
		w.Clock.Move(10 * time.Minute)
		w.copies()
	}
	w.mustBe("in the end", "05-05T02 Vault O05-12 V06-14, 05-06T02 Vault O05-13 V06-15")
	if jobs := w.tierings(); len(jobs) != 3 || w.whole() != "05-05T02 05-06T02" || w.tier.Begun(w.points()[0].Name) != 2 || len(w.owed()) != 0 {
		t.Errorf("%d jobs, in the vault tier: %s, owed: %+v", len(jobs), w.whole(), w.owed())
	}
}

func TestACopyThatFailsKeepsNoOtherWaiting(t *testing.T) {
	w := newTiered(t, disasterRecovery("P30D"))
	w.backUp(at(5, 5, 2))
	stuck := w.points()[0].Name
	w.faulty.Break(func(_ string, id catalogue.VaultCopyID) tiertest.Fault {
		if id.Point == stuck {
			return tiertest.Refused
		}
		return tiertest.Sound
	})
	for day := 6; day <= 8; day++ {
		w.backUp(at(5, day, 2))
		w.copies()
	}
	if got := w.whole(); got != "05-06T02 05-07T02 05-08T02" {
		t.Errorf("in the vault tier: %s", got)
	}
	if got := fmt.Sprint(len(w.tierings())); got != "4" {
		t.Errorf("%s jobs", got)
	}
}
