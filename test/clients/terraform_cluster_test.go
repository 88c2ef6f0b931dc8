package clients

import (
	"net/http"
	"slices"
	"testing"

	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-helpers/lang/response"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/resource-manager/containerservice/2025-10-01/trustedaccess"
	"github.com/hashicorp/go-azure-sdk/resource-manager/kubernetesconfiguration/2024-11-01/extensions"
)

const (
	backupOperator = "Microsoft.DataProtection/backupVaults/backup-operator"
	extensionType  = "microsoft.dataprotection.kubernetes"
)

// newCluster makes a cluster, which has not joined, in the group of a vault.
func (tf *terraform) newCluster(group string) commonids.KubernetesClusterId {
	tf.t.Helper()
	id := commonids.NewKubernetesClusterID(server.SubscriptionID, group, newName("aks"))
	newAzure(tf.t).putCluster(group, id.ManagedClusterName)
	return id
}

func bindingOf(cluster commonids.KubernetesClusterId, name string) trustedaccess.TrustedAccessRoleBindingId {
	return trustedaccess.NewTrustedAccessRoleBindingID(cluster.SubscriptionId, cluster.ResourceGroupName, cluster.ManagedClusterName, name)
}

func TestTrustedAccessIsGivenAndTakenByTerraform(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	vault := tf.newVault()
	cluster := tf.newCluster(vault.ResourceGroupName)
	id := bindingOf(cluster, "backup")
	if got, err := tf.bindings.RoleBindingsGet(tf.ctx, id); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Fatalf("before: %v", err)
	}
	body := trustedaccess.TrustedAccessRoleBinding{Properties: trustedaccess.TrustedAccessRoleBindingProperties{
		SourceResourceId: vault.ID(), Roles: []string{backupOperator},
	}}
	if err := tf.bindings.RoleBindingsCreateOrUpdateThenPoll(tf.ctx, id, body); err != nil {
		t.Fatal(err)
	}
	got, err := tf.bindings.RoleBindingsGet(tf.ctx, id)
	if err != nil || got.Model.Properties.SourceResourceId != vault.ID() || !slices.Equal(got.Model.Properties.Roles, body.Properties.Roles) ||
		pointer.From(got.Model.Properties.ProvisioningState) != trustedaccess.TrustedAccessRoleBindingProvisioningStateSucceeded {
		t.Fatalf("got: %+v, %v", got.Model, err)
	}
	// The provider updates with what it has read, the server's own fields included.
	if again, err := tf.bindings.RoleBindingsCreateOrUpdate(tf.ctx, id, *got.Model); err != nil || again.HttpResponse.StatusCode != http.StatusOK {
		t.Fatalf("again: %v", err)
	}
	if listed, err := tf.bindings.RoleBindingsListComplete(tf.ctx, cluster); err != nil || len(listed.Items) != 1 || pointer.From(listed.Items[0].Id) != id.ID() {
		t.Errorf("listed: %+v, %v", listed.Items, err)
	}
	tf.exchanges()
	if err := tf.bindings.RoleBindingsDeleteThenPoll(tf.ctx, id); err != nil {
		t.Fatal(err)
	}
	if seen := tf.exchanges(); len(seen) != 2 || seen[1].status != http.StatusNotFound {
		t.Errorf("seen: %+v", seen)
	}
	if again, err := tf.bindings.RoleBindingsDelete(tf.ctx, id); err != nil || again.HttpResponse.StatusCode != http.StatusNoContent {
		t.Errorf("again: %v", err)
	}
}

func TestTheRolesOfTrustedAccessAreListed(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	listed, err := tf.bindings.RolesListComplete(tf.ctx, trustedaccess.NewLocationID(server.SubscriptionID, "westeurope"))
	if err != nil {
		t.Fatal(err)
	}
	if len(listed.Items) != 1 || pointer.From(listed.Items[0].Name) != "backup-operator" || pointer.From(listed.Items[0].SourceResourceType) != "Microsoft.DataProtection/backupVaults" ||
		listed.Items[0].Rules == nil || len(*listed.Items[0].Rules) == 0 {
		t.Errorf("listed: %+v", listed.Items)
	}
}

func TestTheExtensionIsInstalledAndChangedByTerraform(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	cluster := tf.newCluster(tf.newGroup().ResourceGroupName)
	id := extensions.NewScopedExtensionID(cluster.ID(), "azure-aks-backup")
	if got, err := tf.extensions.Get(tf.ctx, id); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Fatalf("before: %v", err)
	}
	settings := map[string]string{
		"configuration.backupStorageLocation.bucket":                "backups",
		"configuration.backupStorageLocation.config.storageAccount": "account1",
		"configuration.backupStorageLocation.config.resourceGroup":  cluster.ResourceGroupName,
		"credentials.tenantId":                                      server.TenantID,
	}
	err := tf.extensions.CreateThenPoll(tf.ctx, id, extensions.Extension{Properties: &extensions.ExtensionProperties{
		ExtensionType: pointer.To(extensionType), AutoUpgradeMinorVersion: pointer.To(true), ReleaseTrain: pointer.To("stable"),
		Scope:                 &extensions.Scope{Cluster: &extensions.ScopeCluster{ReleaseNamespace: pointer.To("dataprotection-microsoft")}},
		ConfigurationSettings: &settings, ConfigurationProtectedSettings: &map[string]string{"storageKey": "s3cr3t"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tf.extensions.Get(tf.ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	p := got.Model.Properties
	if len(*p.ConfigurationSettings) != len(settings) || (*p.ConfigurationSettings)["configuration.backupStorageLocation.bucket"] != "backups" ||
		pointer.From(p.ReleaseTrain) != "stable" || pointer.From(p.Scope.Cluster.ReleaseNamespace) != "dataprotection-microsoft" ||
		pointer.From(p.ProvisioningState) != extensions.ProvisioningStateSucceeded || pointer.From(p.AksAssignedIdentity.PrincipalId) == "" {
		t.Errorf("got: %+v", p)
	}
	if secret, named := (*p.ConfigurationProtectedSettings)["storageKey"]; !named || secret != "" {
		t.Errorf("a protected setting is shown as %q", secret)
	}
	if p.Statuses == nil || len(*p.Statuses) == 0 || pointer.From((*p.Statuses)[0].DisplayStatus) != "Pending" {
		t.Errorf("an extension of a cluster that has not joined: %+v", p.Statuses)
	}
	settings["resources.limits.memory"] = "2Gi"
	if err := tf.extensions.UpdateThenPoll(tf.ctx, id, extensions.PatchExtension{Properties: &extensions.PatchExtensionProperties{ConfigurationSettings: &settings}}); err != nil {
		t.Fatal(err)
	}
	if got, err = tf.extensions.Get(tf.ctx, id); err != nil || (*got.Model.Properties.ConfigurationSettings)["resources.limits.memory"] != "2Gi" {
		t.Errorf("after: %+v, %v", got.Model.Properties, err)
	}
	if listed, err := tf.extensions.ListComplete(tf.ctx, commonids.NewScopeID(cluster.ID())); err != nil || len(listed.Items) != 1 || pointer.From(listed.Items[0].Id) != id.ID() {
		t.Errorf("listed: %+v, %v", listed.Items, err)
	}
	if err := tf.extensions.DeleteThenPoll(tf.ctx, id, extensions.DefaultDeleteOperationOptions()); err != nil {
		t.Fatal(err)
	}
}
