package runner_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	deletedID = vaultID + "/deletedBackupInstances/one"
	fortnight = 14 * 24 * time.Hour
)

func (w *world) remove(retain bool) (vault.Removal, error) {
	w.t.Helper()
	return w.jobs.DeleteInstance(w.t.Context(), w.by, instanceID, catalogue.Condition{}, retain)
}

func (w *world) there(id catalogue.ID) bool {
	w.t.Helper()
	there, err := w.jobs.Keeper.Exists(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return there
}

// softDeleted makes recovery points, and deletes the instance so that it can be had again.
func (w *world) softDeleted(softDelete string) []string {
	w.t.Helper()
	w.putVault(softDelete, "Disabled")
	names := []string{w.backedUp(), w.backedUp()}
	removal, err := w.remove(false)
	if err != nil || removal.Underway || removal.Operation.Ended.IsZero() || w.there(instanceID) || !w.there(deletedID) {
		w.t.Fatalf("deleted: %+v, %v", removal, err)
	}
	return names
}

// deletedRecord is how a deleted instance is.
func (w *world) deletedRecord() protection.Record {
	w.t.Helper()
	return w.recordOf(deletedID)
}

// deletions has the runs that delete recovery points end with a status, one after another.
func (w *world) deletions(n int, status string) {
	w.t.Helper()
	for range n {
		w.look()
		names := w.cluster.Names("deletebackups")
		if len(names) != 1 {
			w.t.Fatalf("runs: %v", names)
		}
		w.cluster.SetStatus("deletebackups", names[0], status)
	}
	w.look()
	w.look()
}

func TestADeletedInstanceIsHadAgain(t *testing.T) {
	w := newWorld(t)
	w.put(instanceID, w.body(instanceID)) // it has a second version
	points := w.softDeleted("On")
	r, err := w.jobs.Keeper.Get(t.Context(), deletedID)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := vault.Shown(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"objectType":"DeletedBackupInstance"`, `"scheduledPurgeTime":"`, `"status":"SoftDeleted"`, `"type":"Microsoft.DataProtection/backupVaults/deletedBackupInstances"`} {
		if !strings.Contains(string(shown), want) {
			t.Errorf("shown without %s: %s", want, shown)
		}
	}
	record := w.deletedRecord()
	if d := record.Deletion; d == nil || !d.Until.Equal(d.At.Add(fortnight)) || record.State != protection.SoftDeleted {
		t.Errorf("deleted: %+v", record)
	}
	if _, err := w.jobs.Keeper.Put(t.Context(), w.by, vault.Put{ID: instanceID, Body: r.Body}); coffer.CodeOf(err) != coffer.CodeConflict || !strings.Contains(err.Error(), "undelete") {
		t.Errorf("another one of its name: %v", err)
	}
	for what, err := range map[string]error{
		"the vault": func() error {
			_, _, err := w.jobs.Keeper.Delete(t.Context(), w.by, vaultID, catalogue.Condition{})
			return err
		}(),
		"the policy": func() error {
			_, _, err := w.jobs.Keeper.Delete(t.Context(), w.by, policyID, catalogue.Condition{})
			return err
		}(),
	} {
		if coffer.CodeOf(err) != coffer.CodeConflict {
			t.Errorf("%s of a deleted instance is deleted: %v", what, err)
		}
	}
	if _, err := w.jobs.Keeper.Put(t.Context(), w.by, vault.Put{ID: deletedID, Body: r.Body}); coffer.CodeOf(err) != coffer.CodeMethodNotAllowed {
		t.Errorf("a deleted instance is written: %v", err)
	}

	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); err != nil {
		t.Fatal(err)
	}
	if got := w.record(); got.State != protection.Stopped || got.Deletion != nil || w.there(deletedID) || len(w.points()) != len(points) {
		t.Errorf("had again: %+v, with %d recovery points", got, len(w.points()))
	}
	again, err := w.jobs.Keeper.Get(t.Context(), instanceID)
	if err != nil {
		t.Fatal(err)
	}
	if shown, err = vault.Shown(again); err != nil || strings.Contains(string(shown), "deletionInfo") || !strings.Contains(string(shown), `"objectType":"BackupInstance"`) {
		t.Errorf("%v: %s", err, shown)
	}
	w.begin(w.jobs.BeginRestore, restoreRequest(points[0], clusterID))
	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("had again twice: %v", err)
	}
	for action, want := range map[string]int{"Microsoft.DataProtection/backupVaults/backupInstances/delete": 1, "Microsoft.DataProtection/backupVaults/deletedBackupInstances/undelete/action": 1} {
		if n := w.audited(action); n != want {
			t.Errorf("%d entries of %s", n, action)
		}
	}
}

func (w *world) body(id catalogue.ID) string {
	w.t.Helper()
	r, err := w.jobs.Keeper.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(r.Body)
}

func TestAnInstanceWithoutRecoveryPointsIsGoneAtOnce(t *testing.T) {
	w := newWorld(t)
	w.putVault("On", "Disabled")
	if removal, err := w.remove(false); err != nil || removal.Underway || w.there(instanceID) || w.there(deletedID) {
		t.Errorf("%+v, %v", removal, err)
	}
}

func TestADeletedInstanceIsPurged(t *testing.T) {
	for _, c := range []struct {
		name   string
		retain bool
	}{{"with its recovery points", false}, {"without them", true}} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			points := w.softDeleted("On")
			removal, err := w.jobs.Purge(t.Context(), w.by, deletedID, c.retain)
			if err != nil || removal.Underway == c.retain {
				t.Fatalf("%+v, %v", removal, err)
			}
			if !c.retain {
				again, err := w.jobs.Purge(t.Context(), w.by, deletedID, false)
				if err != nil || again.Operation.ID != removal.Operation.ID {
					t.Errorf("asked twice: %+v, %v", again, err)
				}
				if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); coffer.CodeOf(err) != coffer.CodeJobUnderway {
					t.Errorf("had again while it is purged: %v", err)
				}
				w.deletions(len(points), `{"phase":"Completed"}`)
			}
			if w.there(deletedID) || w.there(instanceID) {
				t.Error("it is there")
			}
			w.put(instanceID, strings.ReplaceAll(`{"properties":{"objectType":"BackupInstance","friendlyName":"x","dataSourceInfo":`+datasource("Datasource", clusterID)+
				`,"dataSourceSetInfo":`+datasource("DatasourceSet", clusterID)+`,"policyInfo":{"policyId":"`+string(policyID)+`","policyParameters":{
				"dataStoreParametersList":[{"objectType":"AzureOperationalStoreParameters","dataStoreType":"OperationalStore","resourceGroupId":"`+string(group)+`"}]}}}}`, "\n", ""))
		})
	}
}

func TestADeletedInstanceIsPurgedWhenItsTimeIsOver(t *testing.T) {
	w := newWorld(t)
	w.softDeleted("AlwaysOn")
	for _, retain := range []bool{false, true} {
		if _, err := w.jobs.Purge(t.Context(), w.by, deletedID, retain); coffer.CodeOf(err) != coffer.CodeConflict || !strings.Contains(err.Error(), "AlwaysOn") {
			t.Errorf("purged before its time: %v", err)
		}
	}
	w.Clock.Move(fortnight - time.Hour)
	w.runner.Purge(t.Context())
	if w.deletedRecord().Deleting {
		t.Fatal("it is purged an hour early")
	}
	w.Clock.Move(time.Hour)
	w.setFacts(clusterID, `{"properties":{"coffer":{"state":"Pending"}}}`)
	w.runner.Purge(t.Context())
	if got := w.deletedRecord(); got.Deleting || got.Failure == nil || got.Failure.Code != string(coffer.CodeClusterNotJoined) {
		t.Fatalf("without its cluster: %+v", got)
	}
	w.setFacts(clusterID, `{"properties":{"coffer":{"state":"Disconnected"}}}`)
	w.Clock.Move(24 * time.Hour)
	w.runner.Purge(t.Context())
	w.newRunner().Purge(t.Context())
	if !w.deletedRecord().Deleting {
		t.Fatal("it is not purged")
	}
	w.deletions(1, `{"phase":"Failed","reason":"UserErrorRecoveryPointInUse","message":"it is in use; wait"}`)
	if got := w.deletedRecord(); got.Failure == nil || got.Deleting || got.State != protection.SoftDeleted {
		t.Fatalf("a purge that has failed: %+v", got)
	}
	for _, name := range w.cluster.Names("deletebackups") {
		w.cluster.Remove("deletebackups", name)
	}
	w.runner.Purge(t.Context())
	if w.deletedRecord().Deleting {
		t.Fatal("it is purged again at once")
	}
	w.Clock.Move(24 * time.Hour)
	w.runner.Purge(t.Context())
	w.deletions(2, `{"phase":"Completed"}`)
	if w.there(deletedID) {
		t.Error("it is there")
	}
	if jobs, err := w.jobs.Keeper.Jobs(t.Context(), catalogue.JobQuery{Vault: vaultID, Operation: string(job.DeleteData), Limit: 10}); err != nil || len(jobs) != 2 {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

func TestNobodyForgetsWhatIsAlwaysSoftDeleted(t *testing.T) {
	w := newWorld(t)
	w.putVault("AlwaysOn", "Disabled")
	w.backedUp()
	if _, err := w.remove(true); coffer.CodeOf(err) != coffer.CodeConflict || !w.there(instanceID) {
		t.Errorf("with retainData: %v", err)
	}
	w.cluster.Bind(w.identity, false)
	w.clusters.Set(clusterID, nil)
	if _, err := w.remove(false); err != nil || !w.there(deletedID) {
		t.Errorf("without its cluster: %v", err)
	}
}

func TestALegalHoldKeepsAnInstance(t *testing.T) {
	w := newWorld(t)
	name := w.backedUp()
	held, err := w.jobs.Keeper.Hold(t.Context(), w.by, instanceID, strings.ToUpper(name), []byte(`{"reason":" Case 42 "}`))
	if err != nil || !held.Held || !strings.Contains(string(held.Body), `"reason":"Case 42"`) || !strings.Contains(string(held.Body), `"recoveryPointId"`) {
		t.Fatalf("held: %+v %s, %v", held, held.Body, err)
	}
	for _, body := range []string{"", "{}", `{"reason":""}`, `{"reason":"` + strings.Repeat("x", 1025) + `"}`, `{"reason":1}`} {
		if _, err := w.jobs.Keeper.Hold(t.Context(), w.by, instanceID, name, []byte(body)); coffer.CodeOf(err) != coffer.CodeInvalidInput {
			t.Errorf("%.20s: %v", body, err)
		}
	}
	if _, err := w.jobs.Keeper.Hold(t.Context(), w.by, instanceID, "none", []byte(`{"reason":"x"}`)); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("one that is not there: %v", err)
	}
	for _, softDelete := range []string{"Off", "On"} {
		w.putVault(softDelete, "Disabled")
		for _, retain := range []bool{false, true} {
			if _, err := w.remove(retain); coffer.CodeOf(err) != coffer.CodeLegalHold {
				t.Errorf("soft delete %s, retain %v: %v", softDelete, retain, err)
			}
		}
	}
	w.putVault("Off", "Disabled")
	for range 2 {
		released, err := w.jobs.Keeper.ReleaseHold(t.Context(), w.by, instanceID, name)
		if err != nil || released.Held || strings.Contains(string(released.Body), "Case 42") {
			t.Fatalf("released: %+v, %v", released, err)
		}
	}
	if removal, err := w.remove(false); err != nil || !removal.Underway {
		t.Errorf("once it is released: %v", err)
	}
	if _, err := w.jobs.Keeper.Hold(t.Context(), w.by, instanceID, name, []byte(`{"reason":"late"}`)); coffer.CodeOf(err) != coffer.CodeJobUnderway {
		t.Errorf("of an instance that is being deleted: %v", err)
	}
	if n, m := w.audited("Coffer.Backup/recoveryPoints/hold/action"), w.audited("Coffer.Backup/recoveryPoints/releaseHold/action"); n != 1 || m != 2 {
		t.Errorf("%d holds and %d releases are in the audit log", n, m)
	}
}

func TestAnImmutableVaultKeepsWhatItHas(t *testing.T) {
	w := newWorld(t)
	w.putVault("On", "Disabled")
	w.backedUp()
	w.put(vaultID, vaultBody("On", "Locked"))
	for _, retain := range []bool{false, true} {
		if _, err := w.remove(retain); coffer.CodeOf(err) != coffer.CodeConflict || !strings.Contains(err.Error(), "immutable") {
			t.Errorf("retain %v: %v", retain, err)
		}
	}
	refused := func(what string, id catalogue.ID, body string) {
		t.Helper()
		if _, err := w.jobs.Keeper.Put(t.Context(), w.by, vault.Put{ID: id, Body: json.RawMessage(body)}); err == nil || !strings.Contains(err.Error(), "immutable") && !strings.Contains(err.Error(), "locked") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("soft delete is disabled", vaultID, vaultBody("Off", "Locked"))
	refused("it is unlocked", vaultID, vaultBody("On", "Unlocked"))
	refused("a policy keeps for less long", policyID, strings.Replace(policyBody, `"P7D"`, `"P6D"`, 1))
	w.put(policyID, strings.Replace(policyBody, `"P7D"`, `"P9D"`, 1))
	const short = vaultID + "/backupPolicies/short"
	w.put(short, policyBody)
	refused("another policy keeps for less long", instanceID, strings.Replace(w.body(instanceID), string(policyID), string(short), 1))

	w.Clock.Move(31 * 24 * time.Hour)
	if _, err := w.remove(false); err != nil || !w.there(deletedID) {
		t.Errorf("once its time has come: %v", err)
	}
}

func TestWhoMayOnAnInstanceMayNotOnWhatIsHadAgain(t *testing.T) {
	w := newWorld(t)
	const assignment = instanceID + "/providers/Microsoft.Authorization/roleAssignments/44444444-4444-8444-8444-444444444444"
	err := w.Database.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{ID: assignment, Body: json.RawMessage(`{}`)}, catalogue.Condition{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.softDeleted("On")
	if _, err := w.jobs.Keeper.Undelete(t.Context(), w.by, deletedID); err != nil || w.there(assignment) {
		t.Errorf("the role assignment is there; %v", err)
	}
}
