package runner_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

func TestTheStepsOfJobsAreThoseOfRuns(t *testing.T) {
	for kind, want := range map[job.Kind][]string{job.Backup: flow.BackupSteps(), job.Restore: flow.RestoreSteps()} {
		if got := append(job.Steps(kind, false), flow.StepRollingBack); !slices.Equal(got, want) {
			t.Errorf("steps of %s: %v, want %v", kind, got, want)
		}
	}
}

func TestABackupIsCarriedOut(t *testing.T) {
	w := newWorld(t)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	if got := w.job(name); got.Status != job.InProgress || !slices.Equal(got.SupportedActions, []string{"Cancel"}) || got.ExtendedInfo.AdditionalDetails["PolicyRuleName"] != "BackupHourly" {
		t.Errorf("begun: %+v", got)
	}
	if _, err := w.jobs.BeginBackup(t.Context(), w.by, instanceID, []byte(backupRequest)); coffer.CodeOf(err) != coffer.CodeJobUnderway {
		t.Errorf("a second backup: %v", err)
	}
	w.look()
	if got := w.cluster.Get("backups", name, "spec", "includedNamespaces"); got == nil || w.cluster.Get("backups", name, "metadata", "labels", job.VaultLabel) != w.identity {
		t.Errorf("the run: %v", w.cluster.Get("backups", name))
	}
	w.cluster.SetStatus("backups", name, `{"phase":"InProgress","step":"CapturingObjects","progress":{"objects":3}}`)
	w.look()
	got := w.job(name)
	states := ""
	for _, task := range got.ExtendedInfo.SubTasks {
		states += task.TaskName + " " + string(task.TaskStatus) + ","
	}
	if states != "Validating Completed,SnapshottingVolumes Completed,CapturingObjects InProgress,CleaningUp NotStarted," || got.ExtendedInfo.AdditionalDetails["objects"] != "3" {
		t.Errorf("under way: %s, %+v", states, got.ExtendedInfo)
	}
	w.cluster.SetStatus("backups", name, strings.Replace(completed, `"Completed"`, `"CompletedWithWarnings"`, 1))
	w.look()
	got = w.job(name)
	if got.Status != job.CompletedWithWarnings || got.Duration != "PT9S" || len(got.SupportedActions) != 0 || got.ExtendedInfo.AdditionalDetails["ManifestDigest"] == "" {
		t.Errorf("ended: %+v", got)
	}
	points := w.points()
	if len(points) != 1 || points[0].Name != name {
		t.Fatalf("recovery points: %+v", points)
	}
	var point arm.RecoveryPoint
	if err := json.Unmarshal(points[0].Body, &point); err != nil {
		t.Fatal(err)
	}
	taken := time.Date(2026, 5, 4, 12, 0, 1, 0, time.UTC)
	if point.RecoveryPointState != arm.PointPartial || point.RetentionTagName != "Long" || !point.RecoveryPointTime.Equal(taken) || !points[0].Expiry.Equal(taken.AddDate(0, 0, 30)) ||
		points[0].Good || points[0].Bytes != 100 {
		t.Errorf("the recovery point: %s, %+v", points[0].Body, points[0])
	}
	made := w.cluster.Made()
	w.look()
	if w.audited("Microsoft.DataProtection/backupVaults/backupJobs/end") != 1 || w.cluster.Made() != made {
		t.Error("it was ended more than once, or made again")
	}
}

func TestWhatIsWrongWithARequestIsSaidAtOnce(t *testing.T) {
	w := newWorld(t)
	for body, code := range map[string]coffer.Code{
		`{"backupRuleOptions":{"ruleName":"Default"}}`:                                                      coffer.CodeInvalidInput,
		`{"backupRuleOptions":{"ruleName":"BackupHourly","triggerOption":{"retentionTagOverride":"None"}}}`: coffer.CodeInvalidInput,
		`{}`: coffer.CodeInvalidInput,
	} {
		if _, err := w.jobs.BeginBackup(t.Context(), w.by, instanceID, []byte(body)); coffer.CodeOf(err) != code {
			t.Errorf("%s: %v", body, err)
		}
	}
	if _, err := w.jobs.BeginRestore(t.Context(), w.by, instanceID, []byte(restoreRequest("none", clusterID))); coffer.CodeOf(err) != coffer.CodeBackupNotFound {
		t.Errorf("a recovery point that is not there: %v", err)
	}
	w.setFacts(clusterID, `{"properties":{"coffer":{"state":"Pending"}}}`)
	if _, err := w.jobs.BeginBackup(t.Context(), w.by, instanceID, []byte(backupRequest)); coffer.CodeOf(err) != coffer.CodeClusterNotJoined {
		t.Errorf("a cluster that has not joined: %v", err)
	}
}

func TestARestoreGoesToWhereItIsToldTo(t *testing.T) {
	w := newWorld(t)
	point := w.backedUp()
	for target, c := range map[catalogue.ID]interface {
		Get(string, string, ...string) any
		SetStatus(string, string, string)
	}{clusterID: w.cluster, otherID: w.other} {
		name := w.begin(w.jobs.BeginRestore, restoreRequest(point, target))
		w.look()
		if c.Get("restores", name, "spec", "backupName") != point || c.Get("restores", name, "spec", "storageLocation") != "default" {
			t.Errorf("the run: %v", c.Get("restores", name))
		}
		c.SetStatus("restores", name, `{"phase":"Failed","step":"RollingBack","reason":"UserErrorDriver","message":"no driver; install it"}`)
		w.look()
		got := w.job(name)
		if got.Status != job.Failed || got.ErrorDetails[0].Code != "UserErrorDriver" || got.ErrorDetails[0].RecommendedAction[0] != "install it" || got.RestoreType == "OLR" != (target == clusterID) {
			t.Errorf("failed: %+v", got)
		}
	}
	name := w.begin(w.jobs.BeginPlan, restoreRequest(point, otherID))
	if w.audited(access.ActionPlan) != 1 {
		t.Error("the audit log does not name the plan by the action that roles allow it by")
	}
	w.look()
	if !w.other.IsSet("restores", name, "spec", "planOnly") || w.job(name).Operation != job.RestorePlan {
		t.Errorf("a plan: %v", w.other.Get("restores", name))
	}
}

func TestAJobIsCancelled(t *testing.T) {
	w := newWorld(t)
	cancel := func(name string) error {
		_, err := w.jobs.CancelJob(t.Context(), w.by, vaultID, name)
		return err
	}
	early := w.begin(w.jobs.BeginBackup, backupRequest)
	if err := cancel(early); err != nil {
		t.Fatal(err)
	}
	w.look()
	if got := w.job(early); got.Status != job.Cancelled || w.cluster.Made() != 0 {
		t.Errorf("one that has not begun: %+v", got)
	}
	if err := cancel(early); coffer.CodeOf(err) != coffer.CodeNotCancellable {
		t.Errorf("one that has ended: %v", err)
	}
	late := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	for range 2 {
		if err := cancel(late); err != nil {
			t.Fatal(err)
		}
	}
	w.look()
	if !w.cluster.IsSet("backups", late, "spec", "cancel") || len(w.job(late).SupportedActions) != 0 {
		t.Errorf("it is not told to end: %v", w.cluster.Get("backups", late))
	}
	w.cluster.SetStatus("backups", late, `{"phase":"Cancelled","step":"RollingBack","reason":"UserErrorCancelled"}`)
	w.look()
	if got := w.job(late); got.Status != job.Cancelled || len(w.points()) != 0 {
		t.Errorf("cancelled: %+v", got)
	}
}

func TestAJobWaitsForItsCluster(t *testing.T) {
	w := newWorld(t)
	w.clusters.Set(clusterID, nil)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	if got := w.job(name); got.Status != job.InProgress || !strings.Contains(got.ExtendedInfo.AdditionalDetails["Waiting"], "not linked") || got.ExtendedInfo.WarningDetails[0].Warning.Code != string(coffer.CodeClusterNotReachable) {
		t.Errorf("unreachable: %+v", got.ExtendedInfo)
	}
	w.clusters.Set(clusterID, w.cluster)
	w.look()
	if got := w.job(name); got.ExtendedInfo.AdditionalDetails["Waiting"] != "" || len(got.ExtendedInfo.WarningDetails) != 0 || w.cluster.Made() != 1 {
		t.Errorf("reachable again: %+v", got.ExtendedInfo)
	}
	w.Clock.Move(job.PickUpTime)
	w.look()
	if got := w.job(name); got.ExtendedInfo.WarningDetails[0].Warning.Code != "UserErrorKubernetesCustomResourcesNotPickedUpByExtension" {
		t.Errorf("not picked up: %+v", got.ExtendedInfo)
	}
	w.cluster.Bind(w.identity, false)
	w.look()
	if got := w.job(name); got.ExtendedInfo.WarningDetails[0].Warning.Code != string(coffer.CodeTrustedAccessMissing) {
		t.Errorf("revoked: %+v", got.ExtendedInfo)
	}
	w.Clock.Move(job.UnheardTime)
	w.look()
	if got := w.job(name); got.Status != job.Failed || got.ErrorDetails[0].Code != string(coffer.CodeTrustedAccessMissing) {
		t.Errorf("revoked for long: %+v", got)
	}
	w.clusters.Set(clusterID, nil)
	name = w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.Clock.Move(job.NeverBegunTime)
	w.look()
	if got := w.job(name); got.Status != job.Failed || got.ErrorDetails[0].Code != string(coffer.CodeClusterNotReachable) {
		t.Errorf("never begun: %+v", got)
	}
}

func TestAVaultWhoseTrustedAccessWasTakenAwayActsNoMore(t *testing.T) {
	w := newWorld(t)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	if _, _, err := w.jobs.Keeper.Delete(t.Context(), w.by, clusterID+"/trustedAccessRoleBindings/b1", catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	// In the cluster, its role is bound as before.
	w.look()
	if got := w.job(name); got.ExtendedInfo.WarningDetails[0].Warning.Code != string(coffer.CodeTrustedAccessMissing) || w.cluster.Made() != 0 {
		t.Errorf("it acts: %+v", got.ExtendedInfo)
	}
	if _, err := w.jobs.BeginRestore(t.Context(), w.by, instanceID, []byte(restoreRequest("none", clusterID))); err == nil {
		t.Error("a restore begins")
	}
}

func TestARunnerRunsUntilItIsToldToEnd(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	made := make(chan struct{}, 1)
	w.cluster.OnMade(func(string, string) string {
		made <- struct{}{}
		return completed
	})
	ended := make(chan struct{})
	go func() {
		w.runner.Run(ctx)
		close(ended)
	}()
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.runner.Wake()
	select {
	case <-made:
	case <-time.After(time.Minute):
		t.Fatal("nothing is made")
	}
	cancel()
	<-ended
	w.look()
	if got := w.job(name); got.Status != job.Completed {
		t.Errorf("%+v", got)
	}
}

func TestAJobOfALinkThatAnotherServerHoldsIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.clusters.Set(clusterID, nil)
	w.setFacts(clusterID, `{"properties":{"coffer":{"state":"Connected"}}}`)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	if got := w.job(name); got.ExtendedInfo.AdditionalDetails["Waiting"] != "" {
		t.Errorf("it is said to wait: %+v", got.ExtendedInfo)
	}
}

func TestARunThatIsGoneIsNotMadeAgain(t *testing.T) {
	w := newWorld(t)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.cluster.Remove("backups", name)
	w.look()
	if got := w.job(name); got.Status != job.Failed || got.ErrorDetails[0].Code != string(coffer.CodeRunGone) || w.cluster.Made() != 1 {
		t.Errorf("gone: %+v", got)
	}
	name = w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.cluster.Remove("backups", name)
	w.cluster.Put("backups", name, map[string]string{job.VaultLabel: w.identity})
	w.cluster.SetStatus("backups", name, completed)
	w.look()
	if got := w.job(name); got.Status != job.Failed || len(w.points()) != 0 {
		t.Errorf("another one of its name: %+v", got)
	}
}

func TestAnObjectThatAnotherHasMadeIsNotTakenForOnesOwn(t *testing.T) {
	w := newWorld(t)
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.cluster.Put("backups", name, map[string]string{job.VaultLabel: "vault-other"})
	w.cluster.SetStatus("backups", name, completed)
	w.look()
	if got := w.job(name); got.Status != job.Failed || got.ErrorDetails[0].Code != string(coffer.CodeConflict) || len(w.points()) != 0 {
		t.Errorf("somebody else's: %+v", got)
	}
}

func TestAnInstanceIsDeletedWithItsRecoveryPoints(t *testing.T) {
	w := newWorld(t)
	first, second := w.backedUp(), w.backedUp()
	remove := func(retain bool) vault.Removal {
		t.Helper()
		removal, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, retain)
		if err != nil {
			t.Fatal(err)
		}
		return removal
	}
	end := func(status string) string {
		t.Helper()
		names := w.cluster.Names("deletebackups")
		if len(names) != 1 {
			t.Fatalf("runs: %v", names)
		}
		point, _ := w.cluster.Get("deletebackups", names[0], "spec", "backupName").(string)
		w.cluster.SetStatus("deletebackups", names[0], status)
		return point
	}
	begun := remove(false)
	if again := remove(false); !begun.Underway || again.Operation.ID != begun.Operation.ID {
		t.Errorf("asked twice: %+v, %+v", begun, again)
	}
	for what, err := range map[string]error{
		"a backup": func() error {
			_, err := w.jobs.BeginBackup(t.Context(), w.by, instanceID, []byte(backupRequest))
			return err
		}(),
		"a restore": func() error {
			_, err := w.jobs.BeginRestore(t.Context(), w.by, instanceID, []byte(restoreRequest(first, clusterID)))
			return err
		}(),
	} {
		if coffer.CodeOf(err) != coffer.CodeJobUnderway {
			t.Errorf("%s of an instance that is being deleted: %v", what, err)
		}
	}
	w.look()
	if point := end(`{"phase":"Completed"}`); point != first {
		t.Errorf("%s is deleted first, and %s is older", point, first)
	}
	w.look()
	end(`{"phase":"Failed","reason":"UserErrorRecoveryPointInUse","message":"it is in use; wait"}`)
	w.look()
	r, err := w.jobs.Keeper.Get(t.Context(), instanceID)
	if err != nil || !strings.Contains(string(r.Facts), "it is in use") || !strings.Contains(string(r.Facts), `"Failed"`) || len(w.points()) != 1 {
		t.Errorf("a deletion that has failed: %v, %s", err, r.Facts)
	}
	if o, err := w.jobs.Keeper.Operation(t.Context(), begun.Operation.ID); err != nil || o.Status != catalogue.OperationFailed || o.Ended.IsZero() {
		t.Errorf("its operation: %+v, %v", o, err)
	}
	for _, name := range w.cluster.Names("deletebackups") {
		w.cluster.Remove("deletebackups", name)
	}
	begun = remove(false)
	w.look()
	if point := end(`{"phase":"Completed"}`); point != second {
		t.Errorf("%s is deleted", point)
	}
	w.look()
	w.look()
	if _, err := w.jobs.Keeper.Get(t.Context(), instanceID); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("the instance is there: %v", err)
	}
	if o, err := w.jobs.Keeper.Operation(t.Context(), begun.Operation.ID); err != nil || o.Status != catalogue.OperationSucceeded {
		t.Errorf("its operation: %+v, %v", o, err)
	}
}

func TestWhoMayOnAnInstanceMayNotOnTheNextOfItsName(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	const assignment = instanceID + "/providers/Microsoft.Authorization/roleAssignments/44444444-4444-8444-8444-444444444444"
	err := w.Database.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{ID: assignment, Body: json.RawMessage(`{}`)}, catalogue.Condition{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	w.deletions(1, `{"phase":"Completed"}`)
	for _, id := range []catalogue.ID{instanceID, assignment} {
		if there, err := w.jobs.Keeper.Exists(t.Context(), id); err != nil || there {
			t.Errorf("%s is there: %v, %v", id, there, err)
		}
	}
	if n := w.audited("Microsoft.Authorization/roleAssignments/delete"); n != 1 {
		t.Errorf("%d entries say that the role assignment is deleted", n)
	}
}

func TestAJobIsNotCarriedOutInAnotherClusterThatHasTakenThePlace(t *testing.T) {
	w := newWorld(t)
	w.setFacts(clusterID, `{"properties":{"coffer":{"state":"Disconnected","clusterUid":"kube-system"}}}`)
	point := w.backedUp()
	w.clusters.Set(clusterID, nil)
	waiting := w.begin(w.jobs.BeginRestore, restoreRequest(point, clusterID))
	w.look()
	// That one leaves, another one joins under its id, and its owner lets the vault in.
	next := vaultworld.NewCluster(t, w.Clock.Now, catalogue.ClusterInfo{UID: "another", Namespace: "coffer", VaultsNamespace: "coffer-vaults"})
	next.Bind(w.identity, true)
	w.clusters.Set(clusterID, next)
	w.setFacts(clusterID, `{"properties":{"coffer":{"state":"Disconnected","clusterUid":"another"}}}`)
	w.look()
	if got := w.job(waiting); got.Status != job.Failed || got.ErrorDetails[0].Code != string(coffer.CodeConflict) || next.Made() != 0 {
		t.Errorf("%s, made %d: %+v", got.Status, next.Made(), got.ErrorDetails)
	}
	anew := w.begin(w.jobs.BeginRestore, restoreRequest(point, clusterID))
	w.look()
	if next.Get("restores", anew, "spec", "backupName") != point {
		t.Errorf("one that was asked of the other: %+v", w.job(anew))
	}
}

func TestWhatADeletionDidNotFindIsSaid(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	w.backedUp()
	removal, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []string{`{"phase":"Failed","reason":"UserErrorRecoveryPointNotFound","message":"there is none"}`, `{"phase":"Completed"}`} {
		w.look()
		w.cluster.SetStatus("deletebackups", w.cluster.Names("deletebackups")[0], status)
	}
	w.look()
	w.look()
	got := w.job(w.deletion())
	if got.Status != job.CompletedWithWarnings || got.ExtendedInfo.AdditionalDetails["recoveryPointsDeleted"] != "2" || got.ExtendedInfo.AdditionalDetails["recoveryPointsNotFound"] != "1" {
		t.Errorf("the job: %s, %v", got.Status, got.ExtendedInfo.AdditionalDetails)
	}
	if warned := got.ExtendedInfo.WarningDetails; len(warned) != 1 || warned[0].Warning.Code != string(coffer.CodeBackupNotFound) {
		t.Errorf("warnings: %+v", warned)
	}
	if o, err := w.jobs.Keeper.Operation(t.Context(), removal.Operation.ID); err != nil || o.Status != catalogue.OperationSucceeded {
		t.Errorf("its operation: %+v, %v", o, err)
	}
	if there, err := w.jobs.Keeper.Exists(t.Context(), instanceID); err != nil || there {
		t.Errorf("the instance is there: %v, %v", there, err)
	}
}

// hooked are clusters that something is done before anybody calls them.
type hooked struct {
	catalogue.Clusters
	before func()
}

func (h hooked) Session(ctx context.Context, id catalogue.ID) (catalogue.ClusterSession, error) {
	h.before()
	return h.Clusters.Session(ctx, id)
}

func TestADeletionThatWasGivenUpDeletesNothingOfTheNextInstance(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	r, err := w.jobs.Keeper.Get(t.Context(), instanceID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	w.look()
	begun := w.cluster.Names("deletebackups")
	// The next look has read the job, and is slow: meanwhile the data is to be kept after all, and another instance of that name has some.
	slow := *w.jobs
	slow.Clusters = hooked{w.clusters, func() {
		if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, true); err != nil {
			t.Error(err)
		}
		w.put(instanceID, string(r.Body))
		err := w.Database.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
			return tx.PutPoint(ctx, catalogue.Point{Instance: instanceID, Name: "of-the-next", Time: w.Clock.Now(), Good: true, Body: json.RawMessage(`{}`)})
		})
		if err != nil {
			t.Error(err)
		}
	}}
	w.runner = w.newRunner()
	w.runner.Jobs = &slow
	w.look()
	if runs := w.cluster.Names("deletebackups"); len(begun) != 1 || !slices.Equal(runs, begun) || len(w.points()) != 1 {
		t.Errorf("deleted by %v, and %v had begun before", runs, begun)
	}
}

func TestAnInstanceThatIsBeingDeletedIsGivenUpByWhoHasReadIt(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	w.look()
	r, err := w.jobs.Keeper.Get(t.Context(), instanceID)
	if err != nil {
		t.Fatal(err)
	}
	// The version before it first: afterwards the instance is gone.
	for n, code := range []coffer.Code{coffer.CodePreconditionFailed, ""} {
		version := r.Version - 1 + int64(n)
		if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{Version: version}, true); coffer.CodeOf(err) != code || code == "" && err != nil {
			t.Errorf("version %d of %d: %v", version, r.Version, err)
		}
		if code != "" && w.job(w.deletion()).Status != job.InProgress {
			t.Error("what is refused has ended the job")
		}
	}
	if there, err := w.jobs.Keeper.Exists(t.Context(), instanceID); err != nil || there {
		t.Errorf("it is there: %v, %v", there, err)
	}
}

func TestAnInstanceIsDeletedAtOnce(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	open := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); coffer.CodeOf(err) != coffer.CodeJobUnderway {
		t.Errorf("while a job is under way: %v", err)
	}
	w.clusters.Set(clusterID, nil)
	removal, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, true)
	if err != nil || removal.Underway || !removal.Found {
		t.Fatalf("%+v, %v", removal, err)
	}
	if got := w.job(open); got.Status != job.Cancelled || len(w.cluster.Names("deletebackups")) != 0 {
		t.Errorf("its job: %+v", got)
	}
	removal, err = w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false)
	if err != nil || removal.Found {
		t.Errorf("one that is gone: %+v, %v", removal, err)
	}
}

func TestOldRunsAreSwept(t *testing.T) {
	w := newWorld(t)
	point := w.backedUp()
	done, open := w.begin(w.jobs.BeginRestore, restoreRequest(point, clusterID)), w.begin(w.jobs.BeginRestore, restoreRequest(point, clusterID))
	w.look()
	w.cluster.SetStatus("restores", done, completed)
	w.look()
	w.cluster.SetStatus("restores", open, completed)
	w.cluster.Put("restores", "theirs", map[string]string{job.VaultLabel: "vault-other"})
	w.cluster.SetStatus("restores", "theirs", completed)
	w.runner.Sweep(t.Context())
	if got := w.cluster.Names("restores"); len(got) != 3 {
		t.Errorf("they are deleted at once: %v", got)
	}
	w.Clock.Move(8 * 24 * time.Hour)
	w.runner.Sweep(t.Context())
	if got := w.cluster.Names("restores"); !slices.Equal(got, []string{open, "theirs"}) || len(w.cluster.Names("backups")) != 1 {
		t.Errorf("after a week: %v", got)
	}
}

// dying is a database of a process that dies at one of its calls: what it began before is done, and nothing after.
type dying struct {
	catalogue.Database
	cancel func()
	calls  int
	dieAt  int
	// lost says that the call is made, and its answer lost.
	lost bool
}

func (d *dying) die() bool {
	d.calls++
	if d.calls-1 != d.dieAt {
		return false
	}
	d.cancel()
	return true
}

func (d *dying) Update(ctx context.Context, do func(context.Context, catalogue.Tx) error) error {
	dies := d.die()
	if dies && !d.lost {
		return ctx.Err()
	}
	if err := d.Database.Update(context.WithoutCancel(ctx), do); err != nil {
		return err
	}
	return ctx.Err()
}

func (d *dying) View(ctx context.Context, do func(context.Context, catalogue.View) error) error {
	if d.die() {
		return ctx.Err()
	}
	return d.Database.View(ctx, do)
}

func TestARunnerMayDieAtEveryCall(t *testing.T) {
	// scenario backs up, cancels nothing, and deletes the instance; the runner dies at a call of the database or of the cluster.
	scenario := func(t *testing.T, ofDatabase, ofCluster int, lost bool) (int, int) {
		t.Helper()
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		db := &dying{Database: w.Database, cancel: cancel, dieAt: ofDatabase, lost: lost}
		w.cluster.DieAt(ofCluster, lost)
		mortal := *w.jobs
		keeper := *w.jobs.Keeper
		keeper.DB, mortal.Keeper = db, &keeper
		first := w.newRunner()
		first.Jobs = &mortal
		// look is of the first process while it lives, and then of another.
		look := func() {
			t.Helper()
			w.Clock.Move(3 * time.Second)
			if ctx.Err() == nil {
				_ = first.Look(ctx)
			}
			if ctx.Err() != nil {
				w.look()
			}
		}
		name := w.begin(w.jobs.BeginBackup, backupRequest)
		for range 4 {
			look()
			w.cluster.SetStatus("backups", name, completed)
		}
		if got := w.job(name); got.Status != job.Completed || w.cluster.Made() != 1 || len(w.points()) != 1 || !w.points()[0].Good || w.audited("Microsoft.DataProtection/backupVaults/backupJobs/end") != 1 {
			t.Fatalf("the backup: %+v, made %d, points %d", got, w.cluster.Made(), len(w.points()))
		}
		if _, err := w.jobs.DeleteInstance(t.Context(), w.by, instanceID, catalogue.Condition{}, false); err != nil {
			t.Fatal(err)
		}
		for range 6 {
			look()
			for _, run := range w.cluster.Names("deletebackups") {
				w.cluster.SetStatus("deletebackups", run, `{"phase":"Completed"}`)
			}
		}
		if _, err := w.jobs.Keeper.Get(t.Context(), instanceID); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
			t.Fatalf("the instance is there: %v", err)
		}
		if n := w.audited("Microsoft.DataProtection/backupVaults/backupJobs/end"); n != 2 {
			t.Errorf("jobs were ended %d times", n)
		}
		return db.calls, w.cluster.Calls()
	}
	database, cluster := scenario(t, -1, -1, false)
	if database < 20 || cluster < 6 {
		t.Fatalf("%d calls of the database, %d of the cluster: too few to be the real thing", database, cluster)
	}
	for _, lost := range []bool{false, true} {
		for n := range database {
			scenario(t, n, -1, lost)
		}
		for n := range cluster {
			scenario(t, -1, n, lost)
		}
	}
}

func TestTwoRunnersDoNoHarm(t *testing.T) {
	w := newWorld(t)
	second := w.newRunner()
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	for range 5 {
		w.Clock.Move(3 * time.Second)
		done := make(chan error)
		go func() { done <- second.Look(t.Context()) }()
		if err := w.runner.Look(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.cluster.SetStatus("backups", name, completed)
	}
	if got := w.job(name); got.Status != job.Completed || w.cluster.Made() != 1 || len(w.points()) != 1 || w.audited("Microsoft.DataProtection/backupVaults/backupJobs/end") != 1 {
		t.Errorf("%+v, made %d", got, w.cluster.Made())
	}
}
