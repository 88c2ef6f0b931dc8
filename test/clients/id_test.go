package clients

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/resource-manager/authorization/2022-04-01/roleassignments"
	"github.com/hashicorp/go-azure-sdk/resource-manager/authorization/2022-05-01-preview/roledefinitions"
	"github.com/hashicorp/go-azure-sdk/resource-manager/containerservice/2025-10-01/trustedaccess"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/backupvaultresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/dataprotection/2025-07-01/basebackuppolicyresources"
	"github.com/hashicorp/go-azure-sdk/resource-manager/kubernetesconfiguration/2024-11-01/extensions"
)

// parsesAs is one of the SDK's parsers of ids. They tell upper from lower case.
func parsesAs[ID any](parse func(string) (*ID, error)) func(string) error {
	return func(id string) error {
		_, err := parse(id)
		return err
	}
}

func TestIdsAreCanonicalHoweverTheyWereWritten(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	sub := "/subscriptions/" + server.SubscriptionID
	group := sub + "/resourceGroups/" + newName("Rg")
	cluster := group + "/providers/Microsoft.ContainerService/managedClusters/Aks1"
	vault := group + "/providers/Microsoft.DataProtection/backupVaults/Vault1"
	located := map[string]any{"location": "westeurope"}
	for _, c := range []struct {
		id     string
		body   any
		parses func(string) error
	}{
		{group, located, parsesAs(commonids.ParseResourceGroupID)},
		{cluster, located, parsesAs(commonids.ParseKubernetesClusterID)},
		{vault, map[string]any{"location": "westeurope", "properties": map[string]any{"storageSettings": []any{map[string]any{"datastoreType": "VaultStore", "type": "LocallyRedundant"}}}}, parsesAs(backupvaultresources.ParseBackupVaultID)},
		{vault + "/backupPolicies/Policy1", policyBody(), parsesAs(basebackuppolicyresources.ParseBackupPolicyID)},
		{cluster + "/trustedAccessRoleBindings/Binding1", map[string]any{"properties": map[string]any{"sourceResourceId": vault, "roles": []string{backupOperator}}}, parsesAs(trustedaccess.ParseTrustedAccessRoleBindingID)},
		{cluster + "/providers/Microsoft.KubernetesConfiguration/extensions/Backup", map[string]any{"properties": map[string]any{"extensionType": extensionType}}, parsesAs(extensions.ParseScopedExtensionID)},
		{group + "/providers/Microsoft.Authorization/roleAssignments/" + uuid.NewString(), map[string]any{"properties": map[string]any{
			"roleDefinitionId": sub + "/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7", "principalId": uuid.NewString(),
		}}, parsesAs(roleassignments.ParseScopedRoleAssignmentID)},
	} {
		// As the Azure CLI and Microsoft's examples write them, or worse; names are spelled as they were made.
		written := c.id
		for _, word := range []string{"subscriptions", "resourceGroups", "providers", "Microsoft.DataProtection", "backupVaults", "Microsoft.ContainerService", "managedClusters", "extensions", "roleAssignments"} {
			written = strings.ReplaceAll(written, "/"+word+"/", "/"+strings.ToUpper(word)+"/")
		}
		status := http.StatusCreated
		if strings.Contains(c.id, "backupPolicies") {
			status = http.StatusOK
		}
		for i, path := range []string{written, strings.ToLower(c.id), "/" + c.id} {
			if i > 0 {
				status = http.StatusOK
			}
			var got struct{ ID string }
			a.call(status, http.MethodPut, path, c.body, &got)
			if got.ID != c.id {
				t.Errorf("PUT %s: the id is %s", path, got.ID)
			}
			if err := c.parses(got.ID); err != nil {
				t.Errorf("PUT %s: %v", path, err)
			}
		}
		var got struct{ ID string }
		a.call(http.StatusOK, http.MethodGet, strings.ToUpper(c.id), nil, &got)
		if got.ID != c.id {
			t.Errorf("GET: the id is %s", got.ID)
		}
	}
	var list struct{ Value []struct{ ID string } }
	a.call(http.StatusOK, http.MethodGet, strings.ToLower(group)+"/providers/microsoft.dataprotection/backupvaults", nil, &list)
	if len(list.Value) != 1 || list.Value[0].ID != vault {
		t.Errorf("listed: %+v", list)
	}
	var definitions struct{ Value []struct{ ID string } }
	a.call(http.StatusOK, http.MethodGet, strings.ToLower(group)+"/providers/microsoft.authorization/roledefinitions", nil, &definitions)
	for _, d := range definitions.Value {
		if _, err := roledefinitions.ParseScopedRoleDefinitionID(d.ID); err != nil {
			t.Error(err)
		}
	}
}
