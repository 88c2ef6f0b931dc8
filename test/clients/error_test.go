package clients

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dataprotection/armdataprotection/v3"
	"github.com/google/uuid"
	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/basebackuppolicyresources"
)

func TestMicrosoftsErrorTypesReadWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("vault")
	a.putVault(group, name)
	_, err := typed(a, armdataprotection.NewBackupVaultsClient).BeginUpdate(a.ctx, group, name, armdataprotection.PatchResourceRequestInput{
		Properties: &armdataprotection.PatchBackupVaultInput{SecuritySettings: &armdataprotection.SecuritySettings{
			SoftDeleteSettings: &armdataprotection.SoftDeleteSettings{State: to.Ptr(armdataprotection.SoftDeleteStateOn), RetentionDurationInDays: to.Ptr(7.0)},
		}},
	}, nil)
	refused := refusalOf(t, err, http.StatusBadRequest, "BMSUserErrorInvalidInput")
	text, err := io.ReadAll(refused.RawResponse.Body)
	if err != nil {
		t.Fatal(err)
	}
	var body struct {
		Error struct {
			Target         string
			AdditionalInfo []struct {
				Type string
				Info armdataprotection.UserFacingError
			}
		}
	}
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatal(err)
	}
	if len(body.Error.AdditionalInfo) != 1 || body.Error.AdditionalInfo[0].Type != "UserFacingError" {
		t.Fatalf("body: %s", text)
	}
	info := body.Error.AdditionalInfo[0].Info
	if *info.Code != "BMSUserErrorInvalidInput" || len(info.RecommendedAction) != 1 || !strings.Contains(*info.RecommendedAction[0], "14 to 180") || !*info.IsUserError || *info.IsRetryable || *info.Properties["ActivityId"] == "" {
		t.Errorf("info: %s", text)
	}
	if !strings.HasSuffix(body.Error.Target, "softDeleteSettings.retentionDurationInDays") {
		t.Errorf("target: %q", body.Error.Target)
	}
	if refused.RawResponse.Header.Get("X-Ms-Request-Id") == "" || refused.RawResponse.Header.Get("X-Ms-Error-Code") != refused.ErrorCode {
		t.Errorf("header: %v", refused.RawResponse.Header)
	}
}

func TestTerraformShowsWhatIsWrongAndWhatToDo(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	vault := tf.newVault()
	body := policyBody()
	rule := body.Properties.(basebackuppolicyresources.BackupPolicy).PolicyRules[0].(basebackuppolicyresources.AzureBackupRule)
	rule.Trigger.(basebackuppolicyresources.ScheduleBasedTriggerContext).Schedule.RepeatingTimeIntervals[0] = "R/PT4H"
	got, err := tf.policies.BackupPoliciesCreateOrUpdate(tf.ctx, policyOf(vault, "nightly"), body)
	if err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), "BMSUserErrorInvalidInput") || !strings.Contains(err.Error(), "repeatingTimeIntervals") {
		t.Fatalf("err: %v", err)
	}
	if got.OData == nil || got.OData.Error == nil || pointer.From(got.OData.Error.Code) != "BMSUserErrorInvalidInput" {
		t.Errorf("odata: %+v", got.OData)
	}
	// The message alone is what people see of an error: the hint is in it.
	if !strings.Contains(pointer.From(got.OData.Error.Message), "R/2") {
		t.Errorf("message: %s", pointer.From(got.OData.Error.Message))
	}
	_, err = tf.vaults.BackupVaultsCreateOrUpdate(tf.ctx, backupvaultresources.NewBackupVaultID(vault.SubscriptionId, "no-such-group", "vault1"), vaultBody(), backupvaultresources.DefaultBackupVaultsCreateOrUpdateOperationOptions())
	if err == nil || !strings.Contains(err.Error(), "ResourceGroupNotFound") {
		t.Errorf("err: %v", err)
	}
}

func TestAStaleETagIsRefused(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("vault")
	vault := a.putVault(group, name)
	a.putVault(group, name)
	c := a.withHeader("If-Match", *vault.ETag)
	_, err := typed(c, armdataprotection.NewBackupVaultsClient).BeginUpdate(a.ctx, group, name, armdataprotection.PatchResourceRequestInput{Tags: map[string]*string{"a": to.Ptr("1")}}, nil)
	mustBeRefused(t, err, http.StatusPreconditionFailed, "PreconditionFailed")
}

func TestAServicePrincipalMayDoWhatItsRoleAllows(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("vault")
	vault := a.putVault(group, name)
	reader := a.newServicePrincipal()
	b := newAzureAs(t, reader.clientID, reader.secret)
	vaults := typed(b, armdataprotection.NewBackupVaultsClient)
	_, err := vaults.Get(a.ctx, group, name, nil)
	refused := refusalOf(t, err, http.StatusForbidden, "AuthorizationFailed")
	if !strings.Contains(refused.Error(), reader.clientID) || !strings.Contains(refused.Error(), "Microsoft.DataProtection/backupVaults/read") {
		t.Errorf("refused: %v", refused)
	}
	assignments := typed(a, armauthorization.NewRoleAssignmentsClient)
	scope := "/subscriptions/" + server.SubscriptionID + "/resourceGroups/" + group
	definitions, err := armauthorization.NewRoleDefinitionsClient(a.credential, a.options)
	if err != nil {
		t.Fatal(err)
	}
	found := all(a, definitions.NewListPager(scope, &armauthorization.RoleDefinitionsClientListOptions{Filter: to.Ptr("roleName eq 'Backup Reader'")}))
	if len(found) != 1 || len(found[0].Value) != 1 {
		t.Fatalf("definitions: %+v", found)
	}
	assigned, err := assignments.Create(a.ctx, scope, uuid.NewString(), armauthorization.RoleAssignmentCreateParameters{Properties: &armauthorization.RoleAssignmentProperties{
		RoleDefinitionID: found[0].Value[0].ID, PrincipalID: &reader.objectID, PrincipalType: to.Ptr(armauthorization.PrincipalTypeServicePrincipal),
	}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := vaults.Get(a.ctx, group, name, nil); err != nil || *got.ID != *vault.ID {
		t.Errorf("get: %v", err)
	}
	if listed := values(all(b, vaults.NewGetInSubscriptionPager(nil)), vaultsOf); len(listed) != 1 {
		t.Errorf("it is shown the vaults that it may read: %+v", listed)
	}
	_, err = vaults.BeginDelete(a.ctx, group, name, nil)
	mustBeRefused(t, err, http.StatusForbidden, "AuthorizationFailed")
	if listed := all(a, assignments.NewListForScopePager(scope, &armauthorization.RoleAssignmentsClientListForScopeOptions{Filter: to.Ptr("principalId eq '" + reader.objectID + "'")})); len(listed) != 1 || len(listed[0].Value) != 1 || *listed[0].Value[0].ID != *assigned.ID {
		t.Errorf("listed: %+v", listed)
	}
	if _, err := assignments.DeleteByID(a.ctx, *assigned.ID, nil); err != nil {
		t.Fatal(err)
	}
	_, err = vaults.Get(a.ctx, group, name, nil)
	mustBeRefused(t, err, http.StatusForbidden, "AuthorizationFailed")
}
