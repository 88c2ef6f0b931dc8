package arm

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/runner"
)

const jobsID = vaultID + "/backupJobs/"

// newInstance is a world with an instance that is protected.
func newInstance(t *testing.T) *world {
	t.Helper()
	w := newTrusted(t, vaultBody)
	w.must(201, http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`}`)
	return w
}

// newTrusted is a world with a vault that may act in a cluster, and a policy: with all that an instance needs.
func newTrusted(t *testing.T, body string) *world {
	t.Helper()
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, body)
	w.must(200, http.MethodPut, policyID+version, policyBody)
	w.must(201, http.MethodPut, extension+version, extensionBody)
	w.must(201, http.MethodPut, binding+version, bindingBody)
	w.join(false)
	w.approve()
	return w
}

// look has a runner look at the clusters once.
func (w *world) look() {
	w.t.Helper()
	// Each is another process, that has written nothing yet.
	r := runner.New(runner.Config{Jobs: w.jobs, Log: slog.New(slog.DiscardHandler), NowFunc: time.Now})
	if err := r.Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// begin posts what begins a job, follows its operation as clients do, and answers the job's name.
func (w *world) begin(path, body string) string {
	w.t.Helper()
	accepted := w.must(202, http.MethodPost, path+version, body)
	status := w.must(200, http.MethodGet, strings.TrimPrefix(accepted.header.Get("Azure-AsyncOperation"), w.URL), "")
	result := w.must(200, http.MethodGet, strings.TrimPrefix(accepted.header.Get("Location"), w.URL), "")
	id, _ := result.at("jobId").(string)
	if status.at("status") != "Succeeded" || status.at("properties", "jobId") != id || !strings.HasPrefix(id, jobsID) {
		w.t.Fatalf("the operation: %s, %s", status.text, result.text)
	}
	return strings.TrimPrefix(id, jobsID)
}

func (w *world) putPoint(name string, at time.Time) {
	w.t.Helper()
	err := w.db.Update(w.t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		return tx.PutPoint(ctx, catalogue.Point{
			Instance: instanceID, Name: name, Time: at, Good: true, Operational: true, Body: json.RawMessage(`{"objectType":"AzureBackupDiscreteRecoveryPoint","recoveryPointDataStoresDetails":[{"id":"1","type":"OperationalStore","visible":true}]}`),
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) deletePoint(name string) {
	w.t.Helper()
	err := w.db.Update(w.t.Context(), func(ctx context.Context, tx catalogue.Tx) error { return tx.DeletePoint(ctx, instanceID, name) })
	if err != nil {
		w.t.Fatal(err)
	}
}

const bareRestore = `{"objectType":"AzureBackupRecoveryPointBasedRestoreRequest","recoveryPointId":"p1","sourceDataStoreType":"OperationalStore","sourceResourceId":"` + cluster + `",
	"restoreTargetInfo":{"objectType":"ItemLevelRestoreTargetInfo","recoveryOption":"FailIfExists","restoreLocation":"westeurope","datasourceInfo":` + datasource + `,
	"restoreCriteria":[{"objectType":"KubernetesClusterRestoreCriteria","includeClusterScopeResources":true}]}}`

// backupOf is a request for a backup by the rule of policyBody.
func (w *world) backupOf() string {
	w.t.Helper()
	for _, rule := range w.must(200, http.MethodGet, policyID+version, "").at("properties", "policyRules").([]any) {
		if r, _ := rule.(map[string]any); r["objectType"] == "AzureBackupRule" {
			return fmt.Sprintf(`{"backupRuleOptions":{"ruleName":%q}}`, r["name"])
		}
	}
	w.t.Fatal("the policy has no backup rule")
	return ""
}

func TestABackupAndARestoreGoThroughTheVault(t *testing.T) {
	w := newInstance(t)
	name := w.begin(instanceID+"/backup", w.backupOf())
	if got := w.must(409, http.MethodPost, instanceID+"/backup"+version, w.backupOf()); got.at("error", "code") != "UserErrorJobInProgress" {
		t.Errorf("a second backup: %s", got.text)
	}
	if got := w.must(400, http.MethodPost, instanceID+"/backup"+version, `{"backupRuleOptions":{"ruleName":"Default"}}`); got.at("error", "code") != "BMSUserErrorInvalidInput" {
		t.Errorf("a retention rule: %s", got.text)
	}
	w.look()
	w.aks.SetStatus("backups", name, `{"phase":"Completed","step":"CleaningUp","progress":{"objects":7}}`)
	w.look()
	if got := w.must(200, http.MethodGet, jobsID+name+version, ""); got.at("properties", "status") != "Completed" || got.at("properties", "extendedInfo", "additionalDetails", "objects") != "7" {
		t.Errorf("the job: %s", got.text)
	}
	if got := w.must(200, http.MethodGet, instanceID+"/recoveryPoints/"+name+version, ""); got.at("properties", "recoveryPointState") != "Completed" || got.at("properties", "expiryTime") == nil {
		t.Errorf("the recovery point: %s", got.text)
	}
	restore := w.begin(instanceID+"/restore", strings.Replace(bareRestore, `"p1"`, `"`+name+`"`, 1))
	w.look()
	cancelled := w.must(202, http.MethodPost, jobsID+restore+"/cancel"+version, "")
	w.must(200, http.MethodGet, strings.TrimPrefix(cancelled.header.Get("Location"), w.URL), "")
	w.look()
	if !w.aks.IsSet("restores", restore, "spec", "cancel") {
		t.Errorf("the restore is not told to end: %v", w.aks.Get("restores", restore))
	}
	w.aks.SetStatus("restores", restore, `{"phase":"Cancelled"}`)
	w.look()
	if got := w.must(409, http.MethodPost, jobsID+restore+"/cancel"+version, ""); got.at("error", "code") != "UserErrorJobNotCancellable" {
		t.Errorf("cancelled twice: %s", got.text)
	}
	plan := w.begin(instanceID+"/providers/Coffer.Backup/plan", strings.Replace(bareRestore, `"p1"`, `"`+name+`"`, 1))
	w.look()
	if !w.aks.IsSet("restores", plan, "spec", "planOnly") {
		t.Errorf("the plan: %v", w.aks.Get("restores", plan))
	}
	w.aks.SetStatus("restores", plan, `{"phase":"Completed"}`)
	w.look()
	listed := w.must(200, http.MethodGet, vaultID+"/backupJobs"+version+"&$filter=status%20eq%20'Completed'", "")
	if names := listed.names(t); len(names) != 2 {
		t.Errorf("ended well: %v", names)
	}
}

func TestAnInstanceGoesWithItsRecoveryPoints(t *testing.T) {
	w := newInstance(t)
	w.must(200, http.MethodPatch, vaultID+version, `{"properties":{"securitySettings":{"softDeleteSettings":{"state":"Off"}}}}`)
	w.putPoint("p1", time.Now())
	accepted := w.must(202, http.MethodDelete, instanceID+version, "")
	if got := w.must(200, http.MethodGet, instanceID+version, ""); got.at("properties", "provisioningState") != "Deleting" {
		t.Errorf("meanwhile: %s", got.text)
	}
	w.must(409, http.MethodPost, instanceID+"/backup"+version, w.backupOf())
	w.must(409, http.MethodPut, instanceID+version, `{"properties":`+instanceProperties+`}`)
	operation := strings.TrimPrefix(accepted.header.Get("Azure-AsyncOperation"), w.URL)
	if got := w.must(200, http.MethodGet, operation, ""); got.at("status") != "Inprogress" {
		t.Errorf("its operation: %s", got.text)
	}
	w.look()
	for _, run := range w.aks.Names("deletebackups") {
		w.aks.SetStatus("deletebackups", run, `{"phase":"Completed"}`)
	}
	w.look()
	w.must(404, http.MethodGet, instanceID+version, "")
	if got := w.must(200, http.MethodGet, operation, ""); got.at("status") != "Succeeded" {
		t.Errorf("its operation: %s", got.text)
	}
	w.must(204, http.MethodDelete, instanceID+version, "")
}

func TestWhatAClusterRefusesIsToldCheckByCheck(t *testing.T) {
	w := newInstance(t)
	w.putPoint("p1", time.Now())
	w.aks.OnMade(func(string, string) string {
		return `{"phase":"Failed","message":"2 checks have failed","checks":[
			{"name":"StorageLocation","status":"Failed","code":"UserErrorBackupStorageLocationNotReady","resource":"BackupStorageLocation default","message":"it is not ready","remedy":"mend it"},
			{"name":"Version","status":"Passed"},{"name":"Namespaces","status":"Failed","code":"UserErrorNamespaceNotFound","message":"there is no app"}]}`
	})
	for path, body := range map[string]string{
		instanceID + "/validateForModifyBackup": `{"backupInstance":` + instanceProperties + `}`,
		instanceID + "/validateRestore":         `{"restoreRequestObject":` + bareRestore + `}`,
	} {
		got := w.must(400, http.MethodPost, path+version, body)
		details, _ := got.at("error", "details").([]any)
		if got.at("error", "code") != "UserErrorBackupStorageLocationNotReady" || len(details) != 2 || details[1].(map[string]any)["code"] != "UserErrorNamespaceNotFound" ||
			!strings.Contains(got.text, `"recommendedAction":["mend it"]`) {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	// A code of this server's own means nothing coming from a cluster.
	w.aks.OnMade(func(string, string) string {
		return `{"phase":"Failed","checks":[{"name":"A","status":"Failed","code":"AuthorizationFailed","message":"m"}]}`
	})
	if got := w.must(400, http.MethodPost, instanceID+"/validateRestore"+version, `{"restoreRequestObject":`+bareRestore+`}`); got.at("error", "code") != "UserErrorKubernetesValidationFailed" {
		t.Errorf("another's code: %s", got.text)
	}
	w.links.Set(cluster, nil)
	got := w.must(503, http.MethodPost, instanceID+"/validateRestore"+version, `{"restoreRequestObject":`+bareRestore+`}`)
	if got.at("error", "code") != "UserErrorKubernetesClusterNotReachable" || got.header.Get("Retry-After") == "" {
		t.Errorf("without a link: %s", got.text)
	}
}

func TestARecordThatIsNotThereIsNotFound(t *testing.T) {
	w := newInstance(t)
	for _, path := range []string{
		instanceID + "/recoveryPoints/none", instanceID + "none/recoveryPoints/none", vaultID + "none/backupInstances/none/recoveryPoints/none",
		jobsID + "none", vaultID + "none/backupJobs/none",
	} {
		if got := w.must(404, http.MethodGet, path+version, ""); got.at("error", "code") != "ResourceNotFound" {
			t.Errorf("%s: %s", path, got.text)
		}
	}
}
