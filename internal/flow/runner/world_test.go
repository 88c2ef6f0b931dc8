package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	"github.com/coffer-backup/coffer/internal/flow/runner"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/outbound/clusterclient"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	tenant       = "11111111-1111-8111-8111-111111111111"
	subscription = catalogue.ID("/subscriptions/22222222-2222-8222-8222-222222222222")
	group        = subscription + "/resourceGroups/rg"
	clusterID    = group + "/providers/Microsoft.ContainerService/managedClusters/aks1"
	otherID      = group + "/providers/Microsoft.ContainerService/managedClusters/aks2"
	vaultID      = group + "/providers/Microsoft.DataProtection/backupVaults/v1"
	policyID     = vaultID + "/backupPolicies/pol"
	instanceID   = vaultID + "/backupInstances/one"
)

// world is a vault with an instance of a cluster that has joined.
type world struct {
	*vaultworld.World
	t              *testing.T
	by             vault.Caller
	clusters       *vaultworld.Links
	cluster, other *vaultworld.Cluster
	jobs           *vault.Jobs
	runner         *runner.Runner
	identity       string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{World: vaultworld.New(t), t: t, clusters: vaultworld.NewLinks()}
	_, w.by = w.MustAdministrator(t)
	var n atomic.Int64
	newID := func() string { return fmt.Sprintf("33333333-3333-8333-8333-%012d", n.Add(1)) }
	keeper := &vault.Keeper{DB: w.Database, Now: w.Clock.Now, NewID: newID, NewObjectID: newID, Kinds: vault.NewKinds(
		vault.SubscriptionKind(tenant), vault.GroupKind(), vault.ClusterKind(tenant), vault.BindingKind(),
		vault.ExtensionKind(w.Sealer, tenant), vault.BackupVaultKind(tenant), vault.PolicyKind(retention.Limits{}), vault.InstanceKind(), vault.DeletedInstanceKind(), vault.DeletedVaultKind(), vault.GuardKind(), vault.GuardProxyKind())}
	info := catalogue.ClusterInfo{UID: "kube-system", Namespace: "coffer", VaultsNamespace: "coffer-vaults"}
	w.cluster, w.other = vaultworld.NewCluster(t, w.Clock.Now, info), vaultworld.NewCluster(t, w.Clock.Now, info)
	w.clusters.Set(clusterID, w.cluster)
	w.clusters.Set(otherID, w.other)
	w.jobs = &vault.Jobs{Keeper: keeper, Clusters: w.clusters, Runs: func(s catalogue.ClusterSession, identity string) vault.Runs {
		return clusterclient.New(s, identity)
	}}
	w.runner = w.newRunner()
	w.put(subscription, `{"displayName":"Lab"}`)
	w.put(group, `{"location":"westeurope"}`)
	w.putVault("Off", "Disabled")
	for _, id := range []catalogue.ID{clusterID, otherID} {
		w.put(id, `{"location":"westeurope"}`)
		w.put(id+"/providers/Microsoft.KubernetesConfiguration/extensions/backup", `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes"}}`)
		w.put(id+"/trustedAccessRoleBindings/b1", `{"properties":{"sourceResourceId":"`+string(vaultID)+`","roles":["`+vault.BackupOperator+`"]}}`)
		w.setFacts(id, `{"properties":{"coffer":{"state":"Disconnected"}}}`)
		binding, err := w.jobs.Keeper.Get(t.Context(), id+"/trustedAccessRoleBindings/b1")
		if err != nil {
			t.Fatal(err)
		}
		w.setFacts(binding.ID, strings.Replace(string(binding.Facts), `"state":"Pending"`, `"state":"Approved"`, 1))
	}
	w.put(policyID, policyBody)
	w.put(instanceID, `{"properties":{"objectType":"BackupInstance","friendlyName":"aks1/app","dataSourceInfo":`+datasource("Datasource", clusterID)+
		`,"dataSourceSetInfo":`+datasource("DatasourceSet", clusterID)+`,"policyInfo":{"policyId":"`+string(policyID)+`","policyParameters":{
		"dataStoreParametersList":[{"objectType":"AzureOperationalStoreParameters","dataStoreType":"OperationalStore","resourceGroupId":"`+string(group)+`"}],
		"backupDatasourceParametersList":[{"objectType":"KubernetesClusterBackupDatasourceParameters","snapshotVolumes":true,"includeClusterScopeResources":true,"includedNamespaces":["app"]}]}}}}`)
	w.identity = w.identityOf(vaultID)
	w.cluster.Bind(w.identity, true)
	w.other.Bind(w.identity, true)
	return w
}

// policyBody has a rule for what is asked for, whose tag comes once in four years.
const policyBody = `{"properties":{"objectType":"BackupPolicy","datasourceTypes":["Microsoft.ContainerService/managedClusters"],"policyRules":[
	{"objectType":"AzureBackupRule","name":"BackupHourly","backupParameters":{"objectType":"AzureBackupParams","backupType":"Incremental"},
	"dataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"},"trigger":{"objectType":"ScheduleBasedTriggerContext",
	"schedule":{"repeatingTimeIntervals":["R/2026-01-01T02:00:00+00:00/P1D"]},
	"taggingCriteria":[{"isDefault":false,"taggingPriority":50,"tagInfo":{"tagName":"Long"},"criteria":[{"objectType":"ScheduleBasedBackupCriteria","daysOfMonth":[{"date":29}],"monthsOfYear":["February"]}]},
	{"isDefault":true,"taggingPriority":99,"tagInfo":{"tagName":"Default"}}]}},
	{"objectType":"AzureRetentionRule","name":"Default","isDefault":true,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P7D"},
	"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"}}]},
	{"objectType":"AzureRetentionRule","name":"Long","isDefault":false,"lifecycles":[{"deleteAfter":{"objectType":"AbsoluteDeleteOption","duration":"P30D"},
	"sourceDataStore":{"objectType":"DataStoreInfoBase","dataStoreType":"OperationalStore"}}]}]}}`

func datasource(kind string, id catalogue.ID) string {
	return `{"objectType":"` + kind + `","datasourceType":"Microsoft.ContainerService/managedClusters","resourceID":"` + string(id) + `","resourceUri":"` + string(id) +
		`","resourceName":"` + id.Name() + `","resourceType":"Microsoft.ContainerService/managedClusters","resourceLocation":"westeurope"}`
}

func restoreRequest(point string, target catalogue.ID) string {
	return `{"objectType":"AzureBackupRecoveryPointBasedRestoreRequest","recoveryPointId":"` + point + `","sourceDataStoreType":"OperationalStore",
		"restoreTargetInfo":{"objectType":"ItemLevelRestoreTargetInfo","recoveryOption":"FailIfExists","restoreLocation":"westeurope","datasourceInfo":` + datasource("Datasource", target) + `,
		"restoreCriteria":[{"objectType":"KubernetesClusterRestoreCriteria","includeClusterScopeResources":true,"namespaceMappings":{"app":"app2"},"includedNamespaces":["app"]}]}}`
}

const backupRequest = `{"backupRuleOptions":{"ruleName":"BackupHourly","triggerOption":{"retentionTagOverride":"Long"}}}`

// newRunner is another process on the same database and clusters.
func (w *world) newRunner() *runner.Runner {
	return runner.New(runner.Config{Jobs: w.jobs, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
}

func (w *world) put(id catalogue.ID, body string) {
	w.t.Helper()
	if _, err := w.jobs.Keeper.Put(w.t.Context(), w.by, vault.Put{ID: id, Body: json.RawMessage(body)}); err != nil {
		w.t.Fatalf("%s: %v", id, err)
	}
}

// putVault makes the vault, or sets it anew.
func (w *world) putVault(softDelete, immutability string) {
	w.t.Helper()
	w.put(vaultID, vaultBody(softDelete, immutability))
}

func vaultBody(softDelete, immutability string) string {
	return `{"location":"westeurope","properties":{"storageSettings":[{"datastoreType":"OperationalStore","type":"LocallyRedundant"}],"securitySettings":{"softDeleteSettings":{"state":"` +
		softDelete + `","retentionDurationInDays":14},"immutabilitySettings":{"state":"` + immutability + `"}}}}`
}

func (w *world) setFacts(id catalogue.ID, facts string) {
	w.t.Helper()
	err := w.Database.Update(w.t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, id)
		if err != nil {
			return err
		}
		r.Facts = json.RawMessage(facts)
		_, err = tx.PutResource(ctx, r, catalogue.Condition{})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) identityOf(id catalogue.ID) string {
	w.t.Helper()
	r, err := w.jobs.Keeper.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return catalogue.VaultIdentity(r.ID, r.Created.At)
}

// look has the runner look once, some seconds later.
func (w *world) look() {
	w.t.Helper()
	w.Clock.Move(3 * time.Second)
	if err := w.runner.Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// job is how a job is shown.
func (w *world) job(name string) arm.Job {
	w.t.Helper()
	kept, err := w.jobs.Keeper.Job(w.t.Context(), vaultID, name)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := job.Read(kept)
	if err != nil {
		w.t.Fatal(err)
	}
	if kept.Status != string(s.Body.Status) || kept.Ended.IsZero() != (s.Body.EndTime == nil) {
		w.t.Errorf("the job %s is %s in the database, ended %s, and shows %s, ended %v", name, kept.Status, kept.Ended, s.Body.Status, s.Body.EndTime)
	}
	return s.Body
}

// deletion is the name of the newest job that deletes recovery points.
func (w *world) deletion() string {
	w.t.Helper()
	found, err := w.jobs.Keeper.Jobs(w.t.Context(), catalogue.JobQuery{Vault: vaultID, Operation: string(job.DeleteData), Limit: 1})
	if err != nil || len(found) != 1 {
		w.t.Fatalf("deletions: %+v, %v", found, err)
	}
	return found[0].Name
}

func (w *world) points() []catalogue.Point {
	w.t.Helper()
	points, err := w.jobs.Keeper.Points(w.t.Context(), catalogue.PointQuery{Instance: instanceID, Limit: 100})
	if err != nil {
		w.t.Fatal(err)
	}
	return points
}

// audited counts entries of an action.
func (w *world) audited(action string) int {
	w.t.Helper()
	entries, err := w.jobs.Keeper.Audit(w.t.Context(), catalogue.AuditQuery{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if e.Action == action {
			n++
		}
	}
	return n
}

// begin begins a job, and answers its name.
func (w *world) begin(do func(context.Context, vault.Caller, catalogue.ID, []byte) (vault.Begun, error), body string) string {
	w.t.Helper()
	begun, err := do(w.t.Context(), w.by, instanceID, []byte(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if begun.Operation.Ended.IsZero() || !strings.Contains(string(begun.Operation.Result), string(begun.Job)) {
		w.t.Errorf("the operation %+v does not lead to %s", begun.Operation, begun.Job)
	}
	return begun.Job.Name()
}

const completed = `{"phase":"Completed","step":"CleaningUp","startTime":"2026-05-04T12:00:01Z","completionTime":"2026-05-04T12:00:05Z",
	"progress":{"objects":7,"bytes":100,"volumesReady":1},"manifestDigest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}`

// backedUp is the name of a recovery point that was made.
func (w *world) backedUp() string {
	w.t.Helper()
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.cluster.SetStatus("backups", name, completed)
	w.look()
	if got := w.job(name); got.Status != job.Completed {
		w.t.Fatalf("the backup is %s: %+v", got.Status, got.ErrorDetails)
	}
	return name
}
