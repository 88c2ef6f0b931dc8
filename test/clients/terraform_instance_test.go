package clients

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-helpers/lang/response"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/resource-manager/containerservice/2025-10-01/trustedaccess"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupinstanceresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupinstances"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/basebackuppolicyresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/dataprotections"
	"github.com/hashicorp/go-azure-sdk/resource-manager/kubernetesconfiguration/2024-11-01/extensions"
	"github.com/hashicorp/go-azure-sdk/sdk/client/resourcemanager"
)

// instanceBody is what azurerm_data_protection_backup_instance_kubernetes_cluster sends.
func instanceBody(name string, cluster commonids.KubernetesClusterId, policy basebackuppolicyresources.BackupPolicyId) backupinstanceresources.BackupInstanceResource {
	const kind = "Microsoft.ContainerService/managedClusters"
	return backupinstanceresources.BackupInstanceResource{Properties: &backupinstanceresources.BackupInstance{
		FriendlyName: pointer.To(name), ObjectType: "BackupInstance",
		DataSourceInfo: backupinstanceresources.Datasource{
			DatasourceType: pointer.To(kind), ObjectType: pointer.To("Datasource"), ResourceID: cluster.ID(), ResourceLocation: pointer.To("westeurope"),
			ResourceName: pointer.To(cluster.ManagedClusterName), ResourceType: pointer.To(kind), ResourceUri: pointer.To(cluster.ID()),
		},
		DataSourceSetInfo: &backupinstanceresources.DatasourceSet{
			DatasourceType: pointer.To(kind), ObjectType: pointer.To("DatasourceSet"), ResourceID: cluster.ID(), ResourceLocation: pointer.To("westeurope"),
			ResourceName: pointer.To(cluster.ManagedClusterName), ResourceType: pointer.To(kind), ResourceUri: pointer.To(cluster.ID()),
		},
		PolicyInfo: backupinstanceresources.PolicyInfo{PolicyId: policy.ID(), PolicyParameters: &backupinstanceresources.PolicyParameters{
			DataStoreParametersList: &[]backupinstanceresources.DataStoreParameters{backupinstanceresources.AzureOperationalStoreParameters{
				ResourceGroupId: pointer.To(commonids.NewResourceGroupID(cluster.SubscriptionId, cluster.ResourceGroupName).ID()), DataStoreType: backupinstanceresources.DataStoreTypesOperationalStore,
			}},
			BackupDatasourceParametersList: &[]backupinstanceresources.BackupDatasourceParameters{backupinstanceresources.KubernetesClusterBackupDatasourceParameters{
				SnapshotVolumes: true, IncludeClusterScopeResources: true, IncludedNamespaces: &[]string{"shop"}, ExcludedNamespaces: &[]string{},
				IncludedResourceTypes: &[]string{}, ExcludedResourceTypes: &[]string{"v1/Secret"}, LabelSelectors: &[]string{},
			}},
		}},
	}}
}

// validation is the same as a request to validate, whose types are another package's.
func validation(t *testing.T, body backupinstanceresources.BackupInstanceResource) backupvaultresources.ValidateForBackupRequest {
	t.Helper()
	text, err := json.Marshal(map[string]any{"backupInstance": body.Properties})
	if err != nil {
		t.Fatal(err)
	}
	var request backupvaultresources.ValidateForBackupRequest
	if err := json.Unmarshal(text, &request); err != nil {
		t.Fatal(err)
	}
	return request
}

func instanceOf(vault backupvaultresources.BackupVaultId, name string) backupinstanceresources.BackupInstanceId {
	return backupinstanceresources.NewBackupInstanceID(vault.SubscriptionId, vault.ResourceGroupName, vault.BackupVaultName, name)
}

func TestAnInstanceThatCouldNotBeProtectedIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	vault := tf.newVault()
	cluster := tf.newCluster(vault.ResourceGroupName)
	policy := policyOf(vault, "nightly")
	id := instanceOf(vault, "shop")
	body := instanceBody("shop", cluster, policy)
	for _, step := range []struct {
		code string
		mend func() error
	}{
		{"BMSUserErrorInvalidInput", func() error {
			_, err := tf.policies.BackupPoliciesCreateOrUpdate(tf.ctx, policy, policyBody())
			return err
		}},
		{"UserErrorKubernetesBackupExtensionNotFoundError", func() error {
			return tf.extensions.CreateThenPoll(tf.ctx, extensions.NewScopedExtensionID(cluster.ID(), "azure-aks-backup"),
				extensions.Extension{Properties: &extensions.ExtensionProperties{ExtensionType: pointer.To(extensionType)}})
		}},
		{"UserErrorTrustedAccessNotFound", func() error {
			return tf.bindings.RoleBindingsCreateOrUpdateThenPoll(tf.ctx, bindingOf(cluster, "backup"), trustedaccess.TrustedAccessRoleBinding{
				Properties: trustedaccess.TrustedAccessRoleBindingProperties{SourceResourceId: vault.ID(), Roles: []string{backupOperator}},
			})
		}},
		{"UserErrorKubernetesClusterNotJoined", func() error { return nil }},
	} {
		err := tf.instances.BackupInstancesCreateOrUpdateThenPoll(tf.ctx, id, body, backupinstanceresources.DefaultBackupInstancesCreateOrUpdateOperationOptions())
		if err == nil || !strings.Contains(err.Error(), step.code) {
			t.Errorf("want %s: %v", step.code, err)
		}
		// The message is all that Terraform shows: it says what to do.
		if err != nil && step.code == "UserErrorKubernetesClusterNotJoined" && !strings.Contains(err.Error(), "coffer cluster join "+cluster.ID()) {
			t.Errorf("err: %v", err)
		}
		// The Azure CLI asks for a validation before it creates.
		if err := tf.vaults.BackupInstancesValidateForBackupThenPoll(tf.ctx, vault, validation(t, body)); err == nil || !strings.Contains(err.Error(), step.code) {
			t.Errorf("validate: want %s: %v", step.code, err)
		}
		if got, err := tf.instances.BackupInstancesGet(tf.ctx, id); err == nil || !response.WasNotFound(got.HttpResponse) {
			t.Errorf("after %s: %v", step.code, err)
		}
		if err := step.mend(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestABackupInstanceThatIsNotThereIs404(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	vault := tf.newVault()
	id := instanceOf(vault, "shop")
	if got, err := tf.instances.BackupInstancesGet(tf.ctx, id); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Errorf("get: %v", err)
	}
	if gone, err := tf.instances.BackupInstancesDelete(tf.ctx, id, backupinstanceresources.DefaultBackupInstancesDeleteOperationOptions()); err != nil || gone.HttpResponse.StatusCode != http.StatusNoContent {
		t.Errorf("delete: %v", err)
	}
	if listed, err := tf.instanceLists.ListComplete(tf.ctx, backupinstances.BackupVaultId(vault)); err != nil || len(listed.Items) != 0 {
		t.Errorf("list: %+v, %v", listed.Items, err)
	}
	routing := ready(tf, dataprotections.NewDataprotectionsClientWithBaseURI, func(c *dataprotections.DataprotectionsClient) *resourcemanager.Client { return c.Client }, tf.environment.ResourceManager)
	cluster := tf.newCluster(vault.ResourceGroupName)
	if listed, err := routing.BackupInstancesExtensionRoutingListComplete(tf.ctx, commonids.NewScopeID(cluster.ID())); err != nil || len(listed.Items) != 0 {
		t.Errorf("what protects a cluster: %+v, %v", listed.Items, err)
	}
}
