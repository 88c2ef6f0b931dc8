package clients

import (
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-helpers/lang/response"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	vaults2024 "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2024-04-01/backupvaults"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	vaults2025 "github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-09-01/backupvaultresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-09-01/deletedbackupvaults"
	"github.com/hashicorp/go-azure-sdk/sdk/client/resourcemanager"
)

// vaultBody is what azurerm_data_protection_backup_vault sends.
func vaultBody() backupvaultresources.BackupVaultResource {
	return backupvaultresources.BackupVaultResource{
		Location: "westeurope",
		Identity: &backupvaultresources.DppIdentityDetails{Type: pointer.To("SystemAssigned")},
		Tags:     &map[string]string{"team": "platform"},
		Properties: backupvaultresources.BackupVault{
			StorageSettings: []backupvaultresources.StorageSetting{{
				DatastoreType: pointer.To(backupvaultresources.StorageSettingStoreTypesVaultStore),
				Type:          pointer.To(backupvaultresources.StorageSettingTypesLocallyRedundant),
			}},
			SecuritySettings: &backupvaultresources.SecuritySettings{
				SoftDeleteSettings: &backupvaultresources.SoftDeleteSettings{
					State: pointer.To(backupvaultresources.SoftDeleteStateOn), RetentionDurationInDays: pointer.To(14.0),
				},
				ImmutabilitySettings: &backupvaultresources.ImmutabilitySettings{State: pointer.To(backupvaultresources.ImmutabilityStateDisabled)},
			},
		},
	}
}

// newVault makes a vault in a group of the test's own.
func (tf *terraform) newVault() backupvaultresources.BackupVaultId {
	tf.t.Helper()
	group := tf.newGroup()
	id := backupvaultresources.NewBackupVaultID(group.SubscriptionId, group.ResourceGroupName, newName("vault"))
	tf.putVault(id, vaultBody())
	tf.exchanges()
	return id
}

func (tf *terraform) putVault(id backupvaultresources.BackupVaultId, body backupvaultresources.BackupVaultResource) {
	tf.t.Helper()
	if err := tf.vaults.BackupVaultsCreateOrUpdateThenPoll(tf.ctx, id, body, backupvaultresources.DefaultBackupVaultsCreateOrUpdateOperationOptions()); err != nil {
		tf.t.Fatal(err)
	}
}

func (tf *terraform) getVault(id backupvaultresources.BackupVaultId) backupvaultresources.BackupVaultResource {
	tf.t.Helper()
	got, err := tf.vaults.BackupVaultsGet(tf.ctx, id)
	if err != nil {
		tf.t.Fatal(err)
	}
	return *got.Model
}

func TestAVaultThatIsNotThereIs404BeforeItIsMade(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	group := tf.newGroup()
	// Whatever is not 404 the provider takes for "already exists, import it".
	for _, where := range []string{group.ResourceGroupName, "no-such-group"} {
		got, err := tf.vaults.BackupVaultsGet(tf.ctx, backupvaultresources.NewBackupVaultID(group.SubscriptionId, where, "v1"))
		if err == nil || !response.WasNotFound(got.HttpResponse) {
			t.Errorf("%s: %v", where, err)
		}
	}
}

func TestAVaultIsWhatTerraformWrote(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	made := tf.getVault(id)
	want := vaultBody()
	p := made.Properties
	switch {
	case made.Location != want.Location || (*made.Tags)["team"] != "platform" || pointer.From(made.Name) != id.BackupVaultName:
		t.Errorf("made: %+v", made)
	case pointer.From(made.Identity.Type) != "SystemAssigned" || pointer.From(made.Identity.PrincipalId) == "" || pointer.From(made.Identity.TenantId) != server.TenantID:
		t.Errorf("identity: %+v", made.Identity)
	case len(p.StorageSettings) != 1 || *p.StorageSettings[0].Type != *want.Properties.StorageSettings[0].Type || *p.StorageSettings[0].DatastoreType != *want.Properties.StorageSettings[0].DatastoreType:
		t.Errorf("storage: %+v", p.StorageSettings)
	case *p.SecuritySettings.SoftDeleteSettings.State != "On" || *p.SecuritySettings.SoftDeleteSettings.RetentionDurationInDays != 14 || *p.SecuritySettings.ImmutabilitySettings.State != "Disabled":
		t.Errorf("security: %+v", p.SecuritySettings)
	case p.ProvisioningState == nil || *p.ProvisioningState != backupvaultresources.ProvisioningStateSucceeded || p.SecureScore == nil || p.BcdrSecurityLevel == nil:
		t.Errorf("what the server adds: %+v", p)
	case *p.FeatureSettings.CrossRegionRestoreSettings.State != backupvaultresources.CrossRegionRestoreStateDisabled:
		t.Errorf("features: %+v", p.FeatureSettings)
	}
	if made.SystemData == nil || made.SystemData.CreatedAt == "" {
		t.Errorf("systemData: %+v", made.SystemData)
	}
}

func TestAVaultIsUpdatedByTerraformAsAWhole(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	before := tf.getVault(id)
	body := vaultBody()
	body.Tags = &map[string]string{"owner": "storage"}
	body.Properties.SecuritySettings.SoftDeleteSettings.RetentionDurationInDays = pointer.To(30.0)
	body.Properties.SecuritySettings.ImmutabilitySettings.State = pointer.To(backupvaultresources.ImmutabilityStateUnlocked)
	tf.putVault(id, body)
	after := tf.getVault(id)
	if s := after.Properties.SecuritySettings; *s.SoftDeleteSettings.RetentionDurationInDays != 30 || *s.ImmutabilitySettings.State != "Unlocked" || len(*after.Tags) != 1 || (*after.Tags)["owner"] != "storage" {
		t.Errorf("after: %+v", after)
	}
	// Role assignments name it: an identity that changed would lose them.
	if *after.Identity.PrincipalId != *before.Identity.PrincipalId || *after.ETag == *before.ETag {
		t.Errorf("identity %s, etag %s: before %s, %s", *after.Identity.PrincipalId, *after.ETag, *before.Identity.PrincipalId, *before.ETag)
	}
}

func TestAPatchOfAVaultChangesWhatItNames(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	err := tf.vaults.BackupVaultsUpdateThenPoll(tf.ctx, id, backupvaultresources.PatchResourceRequestInput{
		Tags: &map[string]string{"more": "1"},
		Properties: &backupvaultresources.PatchBackupVaultInput{
			MonitoringSettings: &backupvaultresources.MonitoringSettings{AzureMonitorAlertSettings: &backupvaultresources.AzureMonitorAlertSettings{
				AlertsForAllJobFailures: pointer.To(backupvaultresources.AlertsStateEnabled),
			}},
		},
	}, backupvaultresources.DefaultBackupVaultsUpdateOperationOptions())
	if err != nil {
		t.Fatal(err)
	}
	got := tf.getVault(id)
	if *got.Properties.MonitoringSettings.AzureMonitorAlertSettings.AlertsForAllJobFailures != "Enabled" || (*got.Tags)["more"] != "1" ||
		*got.Properties.SecuritySettings.SoftDeleteSettings.State != "On" || got.Location != "westeurope" {
		t.Errorf("got: %+v", got)
	}
}

func TestAVaultWithoutAnIdentityHasNone(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	group := tf.newGroup()
	id := backupvaultresources.NewBackupVaultID(group.SubscriptionId, group.ResourceGroupName, newName("vault"))
	body := vaultBody()
	body.Identity.Type = pointer.To("None")
	tf.putVault(id, body)
	// The provider dereferences the type of an identity that is there.
	if got := tf.getVault(id).Identity; got == nil || got.Type == nil || *got.Type != "None" || got.PrincipalId != nil {
		t.Errorf("identity: %+v", got)
	}
}

func TestAnAssignedIdentityIsKeptAsItWasWritten(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	own := "/subscriptions/" + id.SubscriptionId + "/resourceGroups/" + id.ResourceGroupName + "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/backup"
	body := vaultBody()
	body.Identity = &backupvaultresources.DppIdentityDetails{
		// The provider writes a blank after the comma, and compares with what comes back.
		Type: pointer.To("SystemAssigned, UserAssigned"), UserAssignedIdentities: &map[string]backupvaultresources.UserAssignedIdentity{own: {}},
	}
	tf.putVault(id, body)
	got := tf.getVault(id).Identity
	if *got.Type != *body.Identity.Type || len(*got.UserAssignedIdentities) != 1 || pointer.From(got.PrincipalId) == "" {
		t.Errorf("got: %+v", got)
	}
	if _, named := (*got.UserAssignedIdentities)[own]; !named {
		t.Errorf("got: %+v", got.UserAssignedIdentities)
	}
}

func TestVaultsAreListedInTheirGroupAndSubscription(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	inGroup, err := tf.vaultsInGroup.BackupVaultsGetInResourceGroupComplete(tf.ctx, commonids.NewResourceGroupID(id.SubscriptionId, id.ResourceGroupName))
	if err != nil {
		t.Fatal(err)
	}
	if len(inGroup.Items) != 1 || pointer.From(inGroup.Items[0].Id) != id.ID() {
		t.Errorf("in its group: %+v", inGroup.Items)
	}
	inSubscription, err := tf.vaults.BackupVaultsGetInSubscriptionComplete(tf.ctx, commonids.NewSubscriptionID(id.SubscriptionId))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, v := range inSubscription.Items {
		found = found || pointer.From(v.Id) == id.ID()
	}
	if !found {
		t.Errorf("not among the %d vaults of its subscription", len(inSubscription.Items))
	}
	empty, err := tf.vaultsInGroup.BackupVaultsGetInResourceGroup(tf.ctx, tf.newGroup())
	if err != nil || empty.Model == nil || len(*empty.Model) != 0 {
		t.Errorf("a group without vaults: %+v, %v", empty.Model, err)
	}
}

func TestADeletedVaultIsPolledUntilItIs404(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	if err := tf.vaults.BackupVaultsDeleteThenPoll(tf.ctx, id); err != nil {
		t.Fatal(err)
	}
	seen := tf.exchanges()
	if len(seen) != 2 || seen[0].method != http.MethodDelete || seen[1].method != http.MethodGet || seen[1].path != id.ID() || seen[1].status != http.StatusNotFound {
		t.Errorf("seen: %+v", seen)
	}
	// What is not there is deleted already.
	again, err := tf.vaults.BackupVaultsDelete(tf.ctx, id)
	if err != nil || again.HttpResponse.StatusCode != http.StatusNoContent {
		t.Errorf("again: %v, %v", again.HttpResponse, err)
	}
}

func TestThePollingUrlOfAPutIsFollowedByItsPath(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	tf.putVault(id, vaultBody())
	seen := tf.exchanges()
	if len(seen) != 2 || seen[0].method != http.MethodPut {
		t.Fatalf("seen: %+v", seen)
	}
	at := seen[0].header.Get("Azure-AsyncOperation")
	if at == "" || at[:len(server.URL)] != server.URL || seen[1].method != http.MethodGet || seen[1].status != http.StatusOK {
		t.Errorf("the operation is at %q; seen: %+v", at, seen[1])
	}
	if want := server.URL + seen[1].path; at[:len(want)] != want {
		t.Errorf("polled %s, told %s", want, at)
	}
}

func TestWhatIsDoneAtOnceIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	began := time.Now()
	tf.putVault(id, vaultBody())
	// Where the server does not say when to ask, the SDK waits ten seconds before it asks first.
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("an update took %s", took)
	}
}

func TestOtherVersionsOfTheAPIFindTheSameVault(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newVault()
	older := ready(tf, vaults2024.NewBackupVaultsClientWithBaseURI, func(c *vaults2024.BackupVaultsClient) *resourcemanager.Client { return c.Client }, tf.environment.ResourceManager)
	newer := ready(tf, vaults2025.NewBackupVaultResourcesClientWithBaseURI, func(c *vaults2025.BackupVaultResourcesClient) *resourcemanager.Client { return c.Client }, tf.environment.ResourceManager)
	got, err := older.Get(tf.ctx, vaults2024.NewBackupVaultID(id.SubscriptionId, id.ResourceGroupName, id.BackupVaultName))
	if err != nil || pointer.From(got.Model.Id) != id.ID() || *got.Model.Properties.SecuritySettings.SoftDeleteSettings.State != "On" {
		t.Errorf("2024-04-01: %+v, %v", got.Model, err)
	}
	listed, err := older.GetInResourceGroupComplete(tf.ctx, commonids.NewResourceGroupID(id.SubscriptionId, id.ResourceGroupName))
	if err != nil || len(listed.Items) != 1 {
		t.Errorf("2024-04-01: %+v, %v", listed.Items, err)
	}
	again, err := newer.BackupVaultsGet(tf.ctx, vaults2025.NewBackupVaultID(id.SubscriptionId, id.ResourceGroupName, id.BackupVaultName))
	if err != nil || pointer.From(again.Model.ETag) == "" {
		t.Fatalf("2025-09-01: %+v, %v", again.Model, err)
	}
	again.Model.Tags = &map[string]string{"by": "2025-09-01"}
	if err := newer.BackupVaultsCreateOrUpdateThenPoll(tf.ctx, vaults2025.BackupVaultId(id), *again.Model, vaults2025.DefaultBackupVaultsCreateOrUpdateOperationOptions()); err != nil {
		t.Fatal(err)
	}
	if err := newer.BackupVaultsDeleteThenPoll(tf.ctx, vaults2025.BackupVaultId(id)); err != nil {
		t.Fatal(err)
	}
	undelete(t, tf, newer, vaults2025.BackupVaultId(id), *again.Model)
}

// undelete has a vault again that was deleted, as Azure's clients do.
func undelete(t *testing.T, tf *terraform, vaults *vaults2025.BackupVaultResourcesClient, id vaults2025.BackupVaultId, was vaults2025.BackupVaultResource) {
	t.Helper()
	deleted := ready(tf, deletedbackupvaults.NewDeletedBackupVaultsClientWithBaseURI, func(c *deletedbackupvaults.DeletedBackupVaultsClient) *resourcemanager.Client { return c.Client }, tf.environment.ResourceManager)
	found, err := deleted.ListByLocationComplete(tf.ctx, deletedbackupvaults.NewLocationID(id.SubscriptionId, was.Location))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range found.Items {
		if v.Properties.OriginalBackupVaultId != id.ID() {
			continue
		}
		name, err := deletedbackupvaults.ParseDeletedVaultID(pointer.From(v.Id))
		if err != nil {
			t.Fatal(err)
		}
		one, err := deleted.Get(tf.ctx, *name)
		if err != nil || one.Model.Properties.OriginalBackupVaultName != id.BackupVaultName || one.Model.Properties.ResourceDeletionInfo.ScheduledPurgeTime == nil {
			t.Fatalf("the deleted vault: %+v, %v", one.Model, err)
		}
		options := vaults2025.DefaultBackupVaultsCreateOrUpdateOperationOptions()
		options.XMsDeletedVaultId = v.Id
		if err := vaults.BackupVaultsCreateOrUpdateThenPoll(tf.ctx, id, was, options); err != nil {
			t.Fatal(err)
		}
		if got, err := vaults.BackupVaultsGet(tf.ctx, id); err != nil || (*got.Model.Tags)["by"] != "2025-09-01" {
			t.Errorf("had again: %+v, %v", got.Model, err)
		}
		return
	}
	t.Errorf("%s is not among the deleted vaults: %+v", id.ID(), found.Items)
}
