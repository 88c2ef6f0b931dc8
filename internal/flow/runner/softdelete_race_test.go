package runner_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// update changes the database beside the server.
func (w *world) update(change func(ctx context.Context, tx catalogue.Tx) error) {
	w.t.Helper()
	if err := w.Database.Update(w.t.Context(), change); err != nil {
		w.t.Fatal(err)
	}
}

// TestWhoMayOnADeletedInstanceMayNotOnTheNext holds that a role at a deleted instance goes when that is had again: the next one that is
// deleted under its name is another's.
func TestWhoMayOnADeletedInstanceMayNotOnTheNext(t *testing.T) {
	w := newWorld(t)
	w.softDeleted("On")
	const assignment = deletedID + "/providers/Microsoft.Authorization/roleAssignments/44444444-4444-8444-8444-444444444444"
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{ID: assignment, Body: json.RawMessage(`{}`)}, catalogue.Condition{})
		return err
	})
	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); err != nil || w.there(assignment) {
		t.Errorf("the role assignment is there; %v", err)
	}
	if n := w.audited("Microsoft.Authorization/roleAssignments/delete"); n != 1 {
		t.Errorf("%d entries of its end", n)
	}
}

// TestWhatIsDeletedAnewIsNotPurgedForTheOneBefore holds that an instance that was had again, and deleted again, since a replica has listed
// what is overdue, has its whole time.
func TestWhatIsDeletedAnewIsNotPurgedForTheOneBefore(t *testing.T) {
	w := newWorld(t)
	w.softDeleted("On")
	w.Clock.Move(fortnight)
	overdue, err := w.jobs.Overdue(t.Context())
	if err != nil || len(overdue) != 1 {
		t.Fatalf("overdue: %v, %v", overdue, err)
	}
	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); err != nil {
		t.Fatal(err)
	}
	if _, err := w.remove(false); err != nil {
		t.Fatal(err)
	}
	if err := w.jobs.PurgeOverdue(t.Context(), overdue[0]); err != nil {
		t.Error(err)
	}
	if got := w.deletedRecord(); got.Deleting || got.Failure != nil {
		t.Errorf("it is purged a fortnight early: %+v", got)
	}
}

// TestAPurgeThatHasFailedLeavesNothingBehind holds that an instance that is had again does not say when it is purged.
func TestAPurgeThatHasFailedLeavesNothingBehind(t *testing.T) {
	w := newWorld(t)
	w.softDeleted("On")
	w.Clock.Move(fortnight)
	w.setFacts(clusterID, `{"properties":{"coffer":{"state":"Pending"}}}`)
	w.runner.Purge(t.Context())
	if w.deletedRecord().Deletion.Next.IsZero() {
		t.Fatal("the purge has not failed")
	}
	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); err != nil {
		t.Fatal(err)
	}
	r, err := w.jobs.Keeper.Get(t.Context(), instanceID)
	if err != nil || strings.Contains(string(r.Facts), `"nextPurge":"`) {
		t.Errorf("%s, %v", r.Facts, err)
	}
	if _, err := w.remove(false); err != nil {
		t.Fatal(err)
	}
	if next := w.deletedRecord().Deletion.Next; !next.IsZero() {
		t.Errorf("deleted anew, it is purged next at %s", next)
	}
}

// TestAClusterThatIsGoneKeepsNobodyFromSoftDeleting holds it also of one that has left in the middle of a backup, which waits for it for ever.
func TestAClusterThatIsGoneKeepsNobodyFromSoftDeleting(t *testing.T) {
	w := newWorld(t)
	w.putVault("AlwaysOn", "Disabled")
	point := w.backedUp()
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.clusters.Set(clusterID, nil)
	w.look()
	underway := func(when string) {
		t.Helper()
		if _, err := w.remove(false); coffer.CodeOf(err) != coffer.CodeJobUnderway || !strings.Contains(err.Error(), "coffer job cancel ") || !strings.HasSuffix(err.Error(), name) {
			t.Fatalf("%s: %v", when, err)
		}
	}
	underway("while nobody has cancelled the backup")
	w.clusters.Set(clusterID, w.cluster)
	w.look()
	if _, err := w.jobs.CancelJob(t.Context(), w.by, vaultID, name); err != nil {
		t.Fatal(err)
	}
	w.look()
	underway("while the cluster ends the backup")
	w.clusters.Set(clusterID, nil)
	w.look()
	underway("while the cluster is away for a moment")
	w.Clock.Move(10 * time.Minute)
	if _, err := w.remove(false); err != nil || !w.there(deletedID) || w.there(instanceID) {
		t.Fatalf("once it is cancelled, and the cluster is gone: %v", err)
	}
	if got := w.job(name); got.Status != job.Cancelled || len(got.ErrorDetails) != 1 || !strings.Contains(got.ErrorDetails[0].Message, "goes on there") {
		t.Errorf("the backup is %s: %+v", got.Status, got.ErrorDetails)
	}
	w.clusters.Set(clusterID, w.cluster)
	w.cluster.SetStatus("backups", name, completed)
	w.look()
	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); err != nil || len(w.points()) != 1 || w.points()[0].Name != point {
		t.Errorf("had again: %v, %+v", err, w.points())
	}
}

// TestWhoMayNotPurgeForgetsNothing holds that retainData is no way around what keeps deleted instances for a while.
func TestWhoMayNotPurgeForgetsNothing(t *testing.T) {
	w := newWorld(t)
	w.putVault("On", "Disabled")
	w.backedUp()
	const contributor = "55555555-5555-8555-8555-555555555555"
	role, _ := access.RoleByID(access.BackupContribID)
	_, _, err := w.Access.PutAssignment(t.Context(), w.by, vaultID+"/providers/Microsoft.Authorization/roleAssignments/44444444-4444-8444-8444-444444444444",
		[]byte(`{"properties":{"roleDefinitionId":"`+string(role.DefinitionID(vaultID))+`","principalId":"`+contributor+`","principalType":"User"}}`), catalogue.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	by := vault.Caller{Principal: catalogue.Principal{ObjectID: contributor, Name: "contributor"}}
	if _, err := w.jobs.DeleteInstance(t.Context(), by, instanceID, catalogue.Condition{}, true); coffer.CodeOf(err) != coffer.CodeAuthorizationFailed ||
		!strings.Contains(err.Error(), "without retainData") || !w.there(instanceID) {
		t.Errorf("forgotten by who may not purge: %v", err)
	}
	if _, err := w.jobs.DeleteInstance(t.Context(), by, instanceID, catalogue.Condition{}, false); err != nil || !w.there(deletedID) {
		t.Errorf("deleted so that it can be had again: %v", err)
	}
}
