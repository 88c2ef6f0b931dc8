package runner_test

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

func (w *world) record() protection.Record {
	w.t.Helper()
	return w.recordOf(instanceID)
}

func (w *world) recordOf(id catalogue.ID) protection.Record {
	w.t.Helper()
	r, err := w.jobs.Keeper.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	record, err := vault.ProtectionOf(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return record
}

func (w *world) protect(o protection.Operation) {
	w.t.Helper()
	if _, err := w.jobs.Protect(w.t.Context(), w.by, instanceID, o, nil); err != nil {
		w.t.Fatal(err)
	}
}

func TestABackupThatIsUnderWayGoesOnWhenProtectionIsStopped(t *testing.T) {
	w := newWorld(t)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.protect(protection.StopProtection)
	w.cluster.SetStatus("backups", name, completed)
	w.look()
	if got := w.job(name); got.Status != job.Completed || len(w.points()) != 1 {
		t.Errorf("the backup is %s, and there are %d recovery points", got.Status, len(w.points()))
	}
	if _, err := w.jobs.BeginBackup(t.Context(), w.by, instanceID, []byte(backupRequest)); coffer.CodeOf(err) != coffer.CodeProtectionStopped {
		t.Errorf("another backup: %v", err)
	}
	w.begin(w.jobs.BeginRestore, restoreRequest(name, clusterID))
}

// TestSyncTriesAgainWhatHasFailed holds it of a deletion, which is all that fails of an instance once it has begun.
func TestSyncTriesAgainWhatHasFailed(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	w.protect(protection.StopProtection)
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := w.jobs.Sync(t.Context(), w.by, instanceID, nil); coffer.CodeOf(err) != coffer.CodeJobUnderway {
		t.Errorf("while it is being deleted: %v", err)
	}
	if _, err := w.jobs.Protect(t.Context(), w.by, instanceID, protection.ResumeProtection, nil); coffer.CodeOf(err) != coffer.CodeJobUnderway {
		t.Errorf("to resume it while it is being deleted: %v", err)
	}
	w.look()
	run := w.cluster.Names("deletebackups")[0]
	w.cluster.SetStatus("deletebackups", run, `{"phase":"Failed","reason":"UserErrorRecoveryPointInUse","message":"it is in use; wait"}`)
	w.look()
	if got := w.record(); got.Failure == nil || got.State != protection.Stopped || got.Deleting {
		t.Fatalf("a deletion that has failed: %+v", got)
	}
	w.cluster.Remove("deletebackups", run)

	reader := vault.Caller{Principal: catalogue.Principal{ObjectID: "99999999-9999-8999-8999-999999999999", Name: "nobody"}}
	if _, err := w.jobs.Sync(t.Context(), reader, instanceID, nil); coffer.CodeOf(err) != coffer.CodeAuthorizationFailed {
		t.Errorf("somebody who may not delete: %v", err)
	}
	o, err := w.jobs.Sync(t.Context(), w.by, instanceID, []byte(`{"syncType":"default"}`))
	if err != nil || !o.Ended.IsZero() || !w.record().Deleting {
		t.Fatalf("synchronised: %+v, %v, %+v", o, err, w.record())
	}
	w.deletions(1, `{"phase":"Completed"}`)
	if _, err := w.jobs.Keeper.Get(t.Context(), instanceID); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("the instance is there: %v", err)
	}
}

func TestForceResyncJudgesAnInstanceAnew(t *testing.T) {
	w := newWorld(t)
	w.protect(protection.SuspendBackups)
	version := func() string {
		r, err := w.jobs.Keeper.Get(t.Context(), instanceID)
		if err != nil {
			t.Fatal(err)
		}
		_, after, _ := strings.Cut(string(r.Facts), `"policyVersion":"`)
		return after[:1]
	}
	w.put(policyID, strings.Replace(policyBody, `"P7D"`, `"P8D"`, 1))
	for _, c := range []struct{ body, want string }{{`{"syncType":"Default"}`, "1"}, {`{"syncType":"ForceResync"}`, "2"}} {
		if _, err := w.jobs.Sync(t.Context(), w.by, instanceID, []byte(c.body)); err != nil || version() != c.want || w.record().State != protection.Suspended {
			t.Errorf("%s: %v, policy version %s, %+v", c.body, err, version(), w.record())
		}
	}
	w.cluster.Bind(w.identity, false)
	w.setFacts(clusterID, `{"properties":{"coffer":{"state":"Pending"}}}`)
	if _, err := w.jobs.Sync(t.Context(), w.by, instanceID, []byte(`{"syncType":"ForceResync"}`)); coffer.CodeOf(err) != coffer.CodeClusterNotJoined {
		t.Errorf("a cluster that has left: %v", err)
	}
}
