//go:build joined

package clients

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-helpers/lang/response"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/resource-manager/containerservice/2025-10-01/trustedaccess"
	jobs "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/azurebackupjobresources"
	points "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/azurebackuprecoverypointresources"
	instances "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupinstanceresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	"github.com/hashicorp/go-azure-sdk/sdk/client"
	"github.com/hashicorp/go-azure-sdk/sdk/client/pollers"
	"github.com/hashicorp/go-azure-sdk/sdk/client/resourcemanager"
)

// joined is what the journey that starts this test has made: two clusters that have joined, and an application in the first one. The
// owner of the clusters approves the trusted access that is asked for, and judges what was restored.
type joined struct {
	*terraform
	cluster, second commonids.KubernetesClusterId
	// namespace is the application's, and slow a backup hook, NAMESPACE/NAME, that takes longer than anybody waits.
	namespace, slow string

	jobs   *jobs.AzureBackupJobResourcesClient
	points *points.AzureBackupRecoveryPointResourcesClient
}

func newJoined(t *testing.T) *joined {
	t.Helper()
	tf := newTerraform(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	t.Cleanup(cancel)
	tf.ctx = ctx
	t.Setenv("GO_AZURE_SDK_SKIP_POLLING_DELAY", "true")
	j := &joined{terraform: tf, namespace: os.Getenv("COFFER_JOINED_NAMESPACE"), slow: os.Getenv("COFFER_JOINED_SLOW_HOOK")}
	for name, id := range map[string]*commonids.KubernetesClusterId{"COFFER_JOINED_CLUSTER": &j.cluster, "COFFER_JOINED_SECOND": &j.second} {
		parsed, err := commonids.ParseKubernetesClusterIDInsensitively(os.Getenv(name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		*id = *parsed
	}
	api := tf.environment.ResourceManager
	j.jobs = ready(tf, jobs.NewAzureBackupJobResourcesClientWithBaseURI, func(c *jobs.AzureBackupJobResourcesClient) *resourcemanager.Client { return c.Client }, api)
	j.points = ready(tf, points.NewAzureBackupRecoveryPointResourcesClientWithBaseURI, func(c *points.AzureBackupRecoveryPointResourcesClient) *resourcemanager.Client { return c.Client }, api)
	return j
}

// mustBeginJob is the job that a request has begun: its operation ends at once.
func (j *joined) mustBeginJob(poller pollers.Poller, err error) jobs.BackupJobId {
	j.t.Helper()
	if err == nil {
		err = poller.PollUntilDone(j.ctx)
	}
	if err != nil {
		j.t.Fatal(err)
	}
	var operation struct {
		JobID      string
		Properties struct{ ObjectType, JobID string }
	}
	if err := poller.FinalResult(&operation); err != nil {
		j.t.Fatal(err)
	}
	id, err := jobs.ParseBackupJobIDInsensitively(operation.Properties.JobID + operation.JobID)
	if err != nil {
		j.t.Fatalf("the operation ended with %+v: %v", operation, err)
	}
	return *id
}

// awaitJob waits for a job until done says so.
func (j *joined) awaitJob(id jobs.BackupJobId, done func(jobs.AzureBackupJob) bool) jobs.AzureBackupJob {
	j.t.Helper()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := j.jobs.JobsGet(j.ctx, id)
		if err != nil {
			j.t.Fatal(err)
		}
		if done(*got.Model.Properties) {
			return *got.Model.Properties
		}
		select {
		case <-j.ctx.Done():
			j.t.Fatalf("job %s: %+v", id.JobId, got.Model.Properties)
		case <-tick.C:
		}
	}
}

func (j *joined) mustComplete(id jobs.BackupJobId) jobs.AzureBackupJob {
	j.t.Helper()
	job := j.awaitJob(id, func(job jobs.AzureBackupJob) bool { return job.Status != "InProgress" })
	if job.Status != "Completed" && !onlyPlanNotStored(job) || job.ErrorDetails != nil && len(*job.ErrorDetails) > 0 || pointer.From(job.EndTime) == "" {
		text, _ := json.MarshalIndent(job, "", "  ")
		j.t.Fatalf("job %s: %s", id.JobId, text)
	}
	return job
}

// onlyPlanNotStored says that all that is wrong with a restore is that its storage location is only read from, as in the second cluster.
func onlyPlanNotStored(job jobs.AzureBackupJob) bool {
	if job.Status != "CompletedWithWarnings" || job.ExtendedInfo == nil {
		return false
	}
	warnings := pointer.From(job.ExtendedInfo.WarningDetails)
	return len(warnings) == 1 && pointer.From(warnings[0].Warning.Code) == "KubernetesRestorePlanNotStored"
}

// letIn asks for trusted access to a cluster, without which try is refused, and repeats that until the owner of the cluster has consented,
// as somebody would who runs Terraform until it goes through. Every refusal until then is for the same reason.
func (j *joined) letIn(cluster commonids.KubernetesClusterId, vault string, try func() error) {
	j.t.Helper()
	const code = "UserErrorTrustedAccess"
	err := try()
	if err == nil || !strings.Contains(err.Error(), code) {
		j.t.Fatalf("want %s before trusted access was asked for: %v", code, err)
	}
	if err := j.bindings.RoleBindingsCreateOrUpdateThenPoll(j.ctx, bindingOf(cluster, "typed"), trustedaccess.TrustedAccessRoleBinding{
		Properties: trustedaccess.TrustedAccessRoleBindingProperties{SourceResourceId: vault, Roles: []string{backupOperator}},
	}); err != nil {
		j.t.Fatal(err)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), code) {
			j.t.Fatalf("want %s or nothing: %v", code, err)
		}
		select {
		case <-j.ctx.Done():
			j.t.Fatalf("nobody has approved it: %v", err)
		case <-tick.C:
		}
	}
}

// restoreBody restores the application's namespace into another one, in a cluster.
func (j *joined) restoreBody(cluster commonids.KubernetesClusterId, point, target string) instances.AzureBackupRecoveryPointBasedRestoreRequest {
	const kind = "Microsoft.ContainerService/managedClusters"
	reopen := []instances.NamespacedNameResource{{Namespace: pointer.To("default"), Name: pointer.To("reopen")}}
	skip, with := instances.ExistingResourcePolicySkip, instances.PersistentVolumeRestoreModeRestoreWithVolumeData
	return instances.AzureBackupRecoveryPointBasedRestoreRequest{
		RecoveryPointId: point, SourceDataStoreType: instances.SourceDataStoreTypeOperationalStore,
		RestoreTargetInfo: instances.ItemLevelRestoreTargetInfo{
			RecoveryOption: instances.RecoveryOptionFailIfExists, RestoreLocation: pointer.To("westeurope"),
			DatasourceInfo: instances.Datasource{
				ObjectType: pointer.To("Datasource"), DatasourceType: pointer.To(kind), ResourceType: pointer.To(kind), ResourceID: cluster.ID(),
				ResourceUri: pointer.To(cluster.ID()), ResourceName: pointer.To(cluster.ManagedClusterName), ResourceLocation: pointer.To("westeurope"),
			},
			RestoreCriteria: []instances.ItemLevelRestoreCriteria{instances.KubernetesClusterRestoreCriteria{
				IncludeClusterScopeResources: true, IncludedNamespaces: &[]string{j.namespace}, NamespaceMappings: &map[string]string{j.namespace: target},
				ConflictPolicy: &skip, PersistentVolumeRestoreMode: &with, RestoreHookReferences: &reopen,
			}},
		},
	}
}

func (j *joined) mustRestore(id instances.BackupInstanceId, body instances.AzureBackupRestoreRequest) {
	j.t.Helper()
	if err := j.instances.BackupInstancesValidateForRestoreThenPoll(j.ctx, id, instances.ValidateRestoreRequestObject{RestoreRequestObject: body}); err != nil {
		j.t.Fatal(err)
	}
	begun, err := j.instances.BackupInstancesTriggerRestore(j.ctx, id, body, instances.DefaultBackupInstancesTriggerRestoreOperationOptions())
	if job := j.mustComplete(j.mustBeginJob(begun.Poller, err)); job.Operation != "Restore" || job.OperationCategory != "Restore" {
		j.t.Errorf("job: %+v", job)
	}
}

func TestTypedClientsDriveJoinedClusters(t *testing.T) {
	j := newJoined(t)
	vault := j.newVault()
	// What is deleted is to be gone, and not to lie there for a fortnight.
	without := vaultBody()
	without.Properties.SecuritySettings.SoftDeleteSettings.State = pointer.To(backupvaultresources.SoftDeleteStateOff)
	j.putVault(vault, without)
	policy := policyOf(vault, "nightly")
	if _, err := j.policies.BackupPoliciesCreateOrUpdate(j.ctx, policy, policyBody()); err != nil {
		t.Fatal(err)
	}
	id, body := instanceOf(vault, "typed"), instanceBody("typed", j.cluster, policy)
	parameters := (*body.Properties.PolicyInfo.PolicyParameters.BackupDatasourceParametersList)[0].(instances.KubernetesClusterBackupDatasourceParameters)
	parameters.IncludedNamespaces, parameters.ExcludedResourceTypes = &[]string{j.namespace}, &[]string{}
	parameters.BackupHookReferences = &[]instances.NamespacedNameResource{{Namespace: pointer.To("default"), Name: pointer.To("quiesce")}}
	setParameters := func(p instances.KubernetesClusterBackupDatasourceParameters) {
		*body.Properties.PolicyInfo.PolicyParameters.BackupDatasourceParametersList = []instances.BackupDatasourceParameters{p}
	}
	setParameters(parameters)

	j.letIn(j.cluster, vault.ID(), func() error {
		return j.vaults.BackupInstancesValidateForBackupThenPoll(j.ctx, vault, validation(t, body))
	})
	put := func() {
		t.Helper()
		if err := j.instances.BackupInstancesCreateOrUpdateThenPoll(j.ctx, id, body, instances.DefaultBackupInstancesCreateOrUpdateOperationOptions()); err != nil {
			t.Fatal(err)
		}
	}
	put()
	if got, err := j.instances.BackupInstancesGet(j.ctx, id); err != nil || pointer.From(got.Model.Properties.CurrentProtectionState) != instances.CurrentProtectionStateProtectionConfigured {
		t.Errorf("instance: %+v, %v", got.Model, err)
	}

	trigger := instances.TriggerBackupRequest{BackupRuleOptions: instances.AdHocBackupRuleOptions{
		RuleName: "BackupIntervals", TriggerOption: instances.AdhocBackupTriggerOption{RetentionTagOverride: pointer.To("Default")},
	}}
	begun, err := j.instances.BackupInstancesAdhocBackup(j.ctx, id, trigger)
	backup := j.mustBeginJob(begun.Poller, err)
	job := j.mustComplete(backup)
	if job.Operation != "OnDemandBackup" || job.OperationCategory != "Backup" || !job.IsUserTriggered || job.ExtendedInfo == nil ||
		job.ExtendedInfo.SubTasks == nil || len(*job.ExtendedInfo.SubTasks) == 0 || slices.Contains(job.SupportedActions, "Cancel") {
		t.Errorf("job: %+v", job)
	}
	if listed, err := j.jobs.JobsListComplete(j.ctx, jobs.BackupVaultId(vault)); err != nil || !slices.ContainsFunc(listed.Items, func(r jobs.AzureBackupJobResource) bool {
		return strings.EqualFold(pointer.From(r.Name), backup.JobId)
	}) {
		t.Errorf("jobs: %+v, %v", listed.Items, err)
	}
	listed, err := j.points.RecoveryPointsListComplete(j.ctx, points.BackupInstanceId(id), points.DefaultRecoveryPointsListOperationOptions())
	if err != nil || len(listed.Items) != 1 {
		t.Fatalf("recovery points: %+v, %v", listed.Items, err)
	}
	point := pointer.From(listed.Items[0].Name)
	if p, ok := listed.Items[0].Properties.(points.AzureBackupDiscreteRecoveryPoint); !ok || pointer.From(p.RetentionTagName) != "Default" {
		t.Errorf("recovery point: %+v", listed.Items[0].Properties)
	}

	j.mustRestore(id, j.restoreBody(j.cluster, point, j.namespace+"-back"))
	// The vault is not let into the second cluster by being let into the first.
	there := j.restoreBody(j.second, point, j.namespace)
	j.letIn(j.second, vault.ID(), func() error {
		return j.instances.BackupInstancesValidateForRestoreThenPoll(j.ctx, id, instances.ValidateRestoreRequestObject{RestoreRequestObject: there})
	})
	j.mustRestore(id, there)

	parameters.BackupHookReferences = &[]instances.NamespacedNameResource{{Namespace: pointer.To("default"), Name: pointer.To(j.slow)}}
	setParameters(parameters)
	put()
	begun, err = j.instances.BackupInstancesAdhocBackup(j.ctx, id, trigger)
	cancelled := j.mustBeginJob(begun.Poller, err)
	j.awaitJob(cancelled, func(job jobs.AzureBackupJob) bool {
		return slices.Contains(job.SupportedActions, "Cancel") && job.ExtendedInfo != nil && job.ExtendedInfo.AdditionalDetails != nil &&
			strings.Contains((*job.ExtendedInfo.AdditionalDetails)["Step"], "Snapshot")
	})
	j.cancel(cancelled)
	if job := j.awaitJob(cancelled, func(job jobs.AzureBackupJob) bool { return job.Status != "InProgress" }); job.Status != "Cancelled" {
		t.Errorf("job: %+v", job)
	}

	if err := j.instances.BackupInstancesDeleteThenPoll(j.ctx, id, instances.DefaultBackupInstancesDeleteOperationOptions()); err != nil {
		t.Fatal(err)
	}
	if got, err := j.instances.BackupInstancesGet(j.ctx, id); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Errorf("after its deletion: %v", err)
	}
}

// cancel cancels a job, which Azure's API of backup vaults does not know.
func (j *joined) cancel(id jobs.BackupJobId) {
	j.t.Helper()
	request, err := j.jobs.Client.NewRequest(j.ctx, client.RequestOptions{
		ContentType: "application/json; charset=utf-8", ExpectedStatusCodes: []int{http.StatusAccepted}, HttpMethod: http.MethodPost, Path: id.ID() + "/cancel",
	})
	if err == nil {
		_, err = request.Execute(j.ctx)
	}
	if err != nil {
		j.t.Fatal(err)
	}
}
