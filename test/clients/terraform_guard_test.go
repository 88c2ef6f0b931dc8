package clients

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-helpers/lang/response"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	proxies "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/resourceguardproxybaseresources"
	guards "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/resourceguardresources"
	"github.com/hashicorp/go-azure-sdk/sdk/client/resourcemanager"
)

// excludable is all that azurerm_data_protection_resource_guard lets be excluded.
var excludable = []string{
	"Microsoft.DataProtection/backupVaults/backupInstances/delete",
	"Microsoft.DataProtection/backupVaults/backupInstances/restore/action",
	"Microsoft.DataProtection/backupVaults/backupInstances/stopProtection/action",
	"Microsoft.DataProtection/backupVaults/backupInstances/suspendBackups/action",
	"Microsoft.DataProtection/backupVaults/backupInstances/write",
	"Microsoft.DataProtection/backupVaults/write#modifyEncryptionSettings",
	"Microsoft.DataProtection/backupVaults/write#reduceImmutabilityState",
	"Microsoft.RecoveryServices/vaults/backupconfig/delete",
	"Microsoft.RecoveryServices/vaults/backupEncryptionConfigs/backupResourceEncryptionConfig/write",
	"Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/delete",
	"Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/delete",
	"Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action",
	"Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/write",
	"Microsoft.RecoveryServices/vaults/backupPolicies/write",
	"Microsoft.RecoveryServices/vaults/backupResourceGuardProxies/write",
	"Microsoft.RecoveryServices/vaults/backupSecurityPIN/action",
	"Microsoft.RecoveryServices/vaults/write#modifyEncryptionSettings",
	"Microsoft.RecoveryServices/vaults/write#reduceImmutabilityState",
}

func (tf *terraform) guards() *guards.ResourceGuardResourcesClient {
	tf.t.Helper()
	return ready(tf, guards.NewResourceGuardResourcesClientWithBaseURI, func(c *guards.ResourceGuardResourcesClient) *resourcemanager.Client { return c.Client }, tf.environment.ResourceManager)
}

// newGuard makes a resource guard in a group of the test's own.
func (tf *terraform) newGuard(c *guards.ResourceGuardResourcesClient) guards.ResourceGuardId {
	tf.t.Helper()
	group := tf.newGroup()
	id := guards.NewResourceGuardID(group.SubscriptionId, group.ResourceGroupName, newName("guard"))
	if _, err := c.ResourceGuardsPut(tf.ctx, id, guards.ResourceGuardResource{Location: "westeurope", Tags: &map[string]string{}, Properties: &guards.ResourceGuard{}}); err != nil {
		tf.t.Fatal(err)
	}
	return id
}

func TestAResourceGuardIsWhatTerraformWrote(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	c := tf.guards()
	group := tf.newGroup()
	id := guards.NewResourceGuardID(group.SubscriptionId, group.ResourceGroupName, newName("guard"))
	if got, err := c.ResourceGuardsGet(tf.ctx, id); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Errorf("before it is made: %v", err)
	}
	for _, excluded := range [][]string{nil, excludable, {}} {
		body := guards.ResourceGuardResource{
			Location: "westeurope", Tags: &map[string]string{"team": "security"}, Properties: &guards.ResourceGuard{VaultCriticalOperationExclusionList: &excluded},
		}
		if _, err := c.ResourceGuardsPut(tf.ctx, id, body); err != nil {
			t.Fatalf("%v: %v", excluded, err)
		}
		got, err := c.ResourceGuardsGet(tf.ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		m := *got.Model
		if _, err := guards.ParseResourceGuardID(*m.Id); err != nil || m.Location != "westeurope" || (*m.Tags)["team"] != "security" ||
			!slices.Equal(*m.Properties.VaultCriticalOperationExclusionList, excluded) || *m.Properties.ProvisioningState != guards.ProvisioningStateSucceeded {
			t.Errorf("%v: %+v, %+v (%v)", excluded, m, m.Properties, err)
		}
	}
	listed, err := c.ResourceGuardsGetResourcesInResourceGroupComplete(tf.ctx, group)
	if err != nil || len(listed.Items) != 1 {
		t.Errorf("listed: %+v (%v)", listed, err)
	}
	mandatory := []string{"Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/delete"}
	_, err = c.ResourceGuardsPut(tf.ctx, id, guards.ResourceGuardResource{Location: "westeurope", Properties: &guards.ResourceGuard{VaultCriticalOperationExclusionList: &mandatory}})
	if err == nil || !strings.Contains(err.Error(), "BMSUserErrorInvalidCriticalOperationExclusionList") {
		t.Errorf("what is mandatory: %v", err)
	}
	if _, err := c.ResourceGuardsDelete(tf.ctx, id); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ResourceGuardsGet(tf.ctx, id); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Errorf("after its deletion: %v", err)
	}
}

// TestAVaultIsUnderAGuardByTypedClients is by the Owner of everything, who needs nobody else, but has to name the guard's requests.
func TestAVaultIsUnderAGuardByTypedClients(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	c := tf.guards()
	p := ready(tf, proxies.NewResourceGuardProxyBaseResourcesClientWithBaseURI, func(c *proxies.ResourceGuardProxyBaseResourcesClient) *resourcemanager.Client { return c.Client }, tf.environment.ResourceManager)
	guard, vault := tf.newGuard(c), tf.newVault()
	id := proxies.NewBackupResourceGuardProxyID(vault.SubscriptionId, vault.ResourceGroupName, vault.BackupVaultName, "DppResourceGuardProxy")
	made, err := p.DppResourceGuardProxyCreateOrUpdate(tf.ctx, id, proxies.ResourceGuardProxyBaseResource{
		Properties: &proxies.ResourceGuardProxyBase{ResourceGuardResourceId: pointer.To(guard.ID())},
	})
	if err != nil {
		t.Fatal(err)
	}
	requests := map[string]string{}
	for _, d := range *made.Model.Properties.ResourceGuardOperationDetails {
		requests[*d.VaultCriticalOperation] = *d.DefaultResourceRequest
	}
	listed, err := p.DppResourceGuardProxyListComplete(tf.ctx, proxies.NewBackupVaultID(vault.SubscriptionId, vault.ResourceGroupName, vault.BackupVaultName))
	if err != nil || len(listed.Items) != 1 || *listed.Items[0].Properties.ResourceGuardResourceId != guard.ID() {
		t.Errorf("listed: %+v (%v)", listed, err)
	}
	if got := tf.getVault(vault); !*got.Properties.IsVaultProtectedByResourceGuard {
		t.Errorf("the vault: %+v", got.Properties)
	}

	off := backupvaultresources.PatchResourceRequestInput{Properties: &backupvaultresources.PatchBackupVaultInput{SecuritySettings: &backupvaultresources.SecuritySettings{
		SoftDeleteSettings: &backupvaultresources.SoftDeleteSettings{State: pointer.To(backupvaultresources.SoftDeleteStateOff)},
	}}}
	options := backupvaultresources.DefaultBackupVaultsUpdateOperationOptions()
	// The token of another tenant is for guards of that; here there are none.
	options.XMsAuthorizationAuxiliary = pointer.To("Bearer of nothing")
	if err := tf.vaults.BackupVaultsUpdateThenPoll(tf.ctx, vault, off, options); err == nil || !strings.Contains(err.Error(), "UserErrorResourceGuardOperationRequestMissing") {
		t.Errorf("soft delete off, by nobody's leave: %v", err)
	}
	off.Properties.ResourceGuardOperationRequests = &[]string{requests["Microsoft.DataProtection/backupVaults/write#reduceSoftDeleteSecurity"]}
	if err := tf.vaults.BackupVaultsUpdateThenPoll(tf.ctx, vault, off, options); err != nil {
		t.Errorf("soft delete off: %v", err)
	}
	if got := tf.getVault(vault); got.Properties.ResourceGuardOperationRequests != nil {
		t.Errorf("what was named is kept: %+v", got.Properties)
	}

	if _, err := c.ResourceGuardsDelete(tf.ctx, guard); err == nil || !strings.Contains(err.Error(), "Conflict") {
		t.Errorf("a guard that a vault is under is deleted: %v", err)
	}
	if got, err := p.DppResourceGuardProxyDelete(tf.ctx, id); err == nil || got.HttpResponse.StatusCode != http.StatusForbidden {
		t.Errorf("it leaves the guard by nobody's leave: %v", err)
	}
	unlocked, err := p.DppResourceGuardProxyUnlockDelete(tf.ctx, id, proxies.UnlockDeleteRequest{
		ResourceGuardOperationRequests: &[]string{requests["Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/delete"]},
	}, proxies.DefaultDppResourceGuardProxyUnlockDeleteOperationOptions())
	if err != nil {
		t.Fatal(err)
	}
	if until, err := time.Parse(time.RFC3339, *unlocked.Model.UnlockDeleteExpiryTime); err != nil || !until.After(time.Now()) {
		t.Errorf("unlocked until %s (%v)", *unlocked.Model.UnlockDeleteExpiryTime, err)
	}
	if _, err := p.DppResourceGuardProxyDelete(tf.ctx, id); err != nil {
		t.Error(err)
	}
	if got := tf.getVault(vault); *got.Properties.IsVaultProtectedByResourceGuard {
		t.Errorf("the vault: %+v", got.Properties)
	}
}
