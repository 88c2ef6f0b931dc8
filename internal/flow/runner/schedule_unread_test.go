package runner_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

// unreadable are bodies of recovery points as a damaged database, or another version of Coffer, may leave them.
var unreadable = map[string]string{
	"it is no JSON":               `{"objectType":"AzureBackupDiscreteRecov`,
	"a field is of another type":  `{"objectType":"AzureBackupDiscreteRecoveryPoint","recoveryPointTime":7}`,
	"it is of a type not known":   `{"objectType":"AzureBackupContinuousRecoveryPoint"}`,
	"it is another kind of value": `["AzureBackupDiscreteRecoveryPoint"]`,
}

// damage has a recovery point lie in the catalogue with another body.
func (w *world) damage(name, body string) {
	w.t.Helper()
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		point, err := tx.Point(ctx, instanceID, name)
		if err != nil {
			return err
		}
		point.Body = []byte(body)
		return tx.PutPoint(ctx, point)
	})
}

// firstOfDayPolicy is one that looks at the recovery points before, to tell which is the first of a day.
var firstOfDayPolicy = strings.Replace(policyBody, `"daysOfMonth":[{"date":29}],"monthsOfYear":["February"]`, `"absoluteCriteria":["FirstOfDay"]`, 1)

// TestARecoveryPointThatCannotBeReadStopsNothing holds that backups and expiry go on around one, that it is kept, and that somebody is told.
func TestARecoveryPointThatCannotBeReadStopsNothing(t *testing.T) {
	for name, body := range unreadable {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.put(policyID, firstOfDayPolicy)
			w.until(w.Clock.Now())
			w.days(5, 6)
			lost := w.points()[1].Name
			w.damage(lost, body)
			w.days(7, 8)
			if got, want := w.slots(), "2026-05-05T02:00 Begun, 2026-05-06T02:00 Begun, 2026-05-07T02:00 Begun, 2026-05-08T02:00 Begun"; got != want {
				t.Errorf("slots: %s, want %s", got, want)
			}
			if got := w.alerts(); got != "RecoveryPointUnreadable one 2" {
				t.Errorf("alerts: %s", got)
			}
			w.Clock.Move(90 * 24 * time.Hour)
			w.expire()
			var left []string
			for _, p := range w.points() {
				left = append(left, p.Time.Format("2")+" "+p.Name)
			}
			if want := []string{"8 " + w.points()[0].Name, "5 " + lost}; !slices.Equal(left, want) {
				t.Errorf("recovery points after their time: %v, want %v", left, want)
			}
			if got := w.alerts(); got != "RecoveryPointUnreadable one 3" {
				t.Errorf("alerts, once they were judged: %s", got)
			}
			w.expire()
			if got := w.alerts(); got != "RecoveryPointUnreadable one 3" {
				t.Errorf("alerts, once they were judged again soon after: %s", got)
			}
		})
	}
}

// TestAnInstanceIsDeletedWithARecoveryPointThatCannotBeRead holds that what somebody asks for is done in the cluster, whatever the catalogue has.
func TestAnInstanceIsDeletedWithARecoveryPointThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	w.damage(w.points()[0].Name, unreadable["it is no JSON"])
	if _, err := w.remove(false); err != nil {
		t.Fatal(err)
	}
	w.deletions(1, `{"phase":"Completed"}`)
	if there, err := w.jobs.Keeper.Exists(t.Context(), instanceID); err != nil || there {
		t.Errorf("it is there: %v, %v", there, err)
	}
	if got := w.job(w.deletion()); got.Status != job.Completed {
		t.Errorf("the deletion is %s: %+v", got.Status, got.ErrorDetails)
	}
}

// TestARecoveryPointThatCannotBeReadIsRestored holds that what the archive has is not lost with the catalogue's row.
func TestARecoveryPointThatCannotBeReadIsRestored(t *testing.T) {
	w := newWorld(t)
	name := w.backedUp()
	w.damage(name, unreadable["it is no JSON"])
	restore := w.begin(w.jobs.BeginRestore, restoreRequest(name, clusterID))
	w.look()
	w.cluster.SetStatus("restores", restore, `{"phase":"Completed","step":"AwaitingReadiness"}`)
	w.look()
	if got := w.job(restore); got.Status != job.Completed {
		t.Errorf("the restore is %s: %+v", got.Status, got.ErrorDetails)
	}
}

// TestACopyOfARecoveryPointThatCannotBeReadHoldsNoOtherUp holds that it is looked at now and then, and told, and that the others are copied.
func TestACopyOfARecoveryPointThatCannotBeReadHoldsNoOtherUp(t *testing.T) {
	w := newTiered(t, vaultPolicy(firstOfDay, lifecycleOf("OperationalStore", "P7D", atOnce)+","+lifecycleOf("VaultStore", "P30D")))
	w.backUp(day(5))
	w.damage(w.points()[0].Name, unreadable["it is no JSON"])
	w.copies()
	if due, err := w.jobs.CopiesDue(t.Context(), 10); err != nil || len(due) != 0 {
		t.Errorf("copies that are due at once again: %v, %v", due, err)
	}
	if got := w.alerts(); got != "RecoveryPointUnreadable one 1" {
		t.Errorf("alerts: %s", got)
	}
	w.Clock.Move(time.Hour)
	if due, err := w.jobs.CopiesDue(t.Context(), 10); err != nil || len(due) != 1 {
		t.Errorf("copies that are due an hour later: %v, %v", due, err)
	}
}
