package clients

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/hashicorp/go-azure-helpers/lang/pointer"
	"github.com/hashicorp/go-azure-helpers/lang/response"
	"github.com/hashicorp/go-azure-helpers/resourcemanager/commonids"
	"github.com/hashicorp/go-azure-sdk/resource-manager/authorization/2022-04-01/roleassignments"
	"github.com/hashicorp/go-azure-sdk/resource-manager/authorization/2022-05-01-preview/roledefinitions"
	"github.com/hashicorp/go-azure-sdk/resource-manager/resources/2023-07-01/resourcegroups"
)

// roleID finds a role by its name, as azurerm_role_assignment does with role_definition_name.
func (tf *terraform) roleID(scope, name string) string {
	tf.t.Helper()
	found, err := tf.definitions.List(tf.ctx, commonids.NewScopeID(scope), roledefinitions.ListOperationOptions{Filter: pointer.To("roleName eq '" + name + "'")})
	if err != nil {
		tf.t.Fatal(err)
	}
	if found.Model == nil || len(*found.Model) != 1 || pointer.From((*found.Model)[0].Id) == "" {
		tf.t.Fatalf("%s: the provider wants exactly one: %+v", name, found.Model)
	}
	return *(*found.Model)[0].Id
}

func TestARoleIsFoundByItsName(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	scope := tf.newGroup().ID()
	for _, name := range []string{
		"Owner", "Contributor", "Reader", "Backup Contributor", "Backup Operator", "Backup Reader", "Disk Snapshot Contributor",
		"Data Operator for Managed Disks", "Storage Blob Data Contributor", "Storage Account Contributor",
	} {
		id := tf.roleID(scope, name)
		parsed, err := roledefinitions.ParseScopedRoleDefinitionID(id)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := tf.definitions.Get(tf.ctx, *parsed)
		if err != nil || pointer.From(got.Model.Properties.RoleName) != name || pointer.From(got.Model.Properties.Type) != "BuiltInRole" {
			t.Errorf("%s: %+v, %v", name, got.Model, err)
		}
	}
}

func TestARoleIsAssignedToAVaultByTerraform(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	vault := tf.newVault()
	cluster := tf.newCluster(vault.ResourceGroupName)
	principal := *tf.getVault(vault).Identity.PrincipalId
	id := roleassignments.NewScopedRoleAssignmentID(cluster.ID(), uuid.NewString())
	if got, err := tf.assignments.Get(tf.ctx, id, roleassignments.DefaultGetOperationOptions()); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Fatalf("before: %v", err)
	}
	role := tf.roleID(cluster.ID(), "Reader")
	put, err := tf.assignments.Create(tf.ctx, id, roleassignments.RoleAssignmentCreateParameters{Properties: roleassignments.RoleAssignmentProperties{
		RoleDefinitionId: role, PrincipalId: principal,
	}})
	if err != nil || put.HttpResponse.StatusCode != http.StatusCreated {
		t.Fatalf("put: %v", err)
	}
	got, err := tf.assignments.Get(tf.ctx, id, roleassignments.DefaultGetOperationOptions())
	if err != nil {
		t.Fatal(err)
	}
	p := got.Model.Properties
	if p.RoleDefinitionId != role || p.PrincipalId != principal || pointer.From(p.Scope) != cluster.ID() || pointer.From(got.Model.Id) != id.ID() {
		t.Errorf("got: %+v", p)
	}
	if at, err := p.GetCreatedOnAsTime(); err != nil || at == nil {
		t.Errorf("createdOn: %v, %v", at, err)
	}
	listed, err := tf.assignments.ListForScopeComplete(tf.ctx, commonids.NewScopeID(cluster.ID()), roleassignments.ListForScopeOperationOptions{
		Filter: pointer.To("principalId eq '" + principal + "'"),
	})
	if err != nil || len(listed.Items) != 1 {
		t.Errorf("listed: %+v, %v", listed.Items, err)
	}
	for _, want := range []int{http.StatusOK, http.StatusNoContent} {
		if gone, err := tf.assignments.Delete(tf.ctx, id, roleassignments.DefaultDeleteOperationOptions()); err != nil || gone.HttpResponse.StatusCode != want {
			t.Errorf("delete: want %d: %v, %v", want, gone.HttpResponse, err)
		}
	}
}

func TestARoleOfTheWholeTenantIsFound(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.roleID("/", "Reader")
	// Such an id has no scope, and the parser wants one: the provider puts a slash before it, and sends that as it is.
	parsed, err := roledefinitions.ParseScopedRoleDefinitionID("/" + id)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := tf.definitions.Get(tf.ctx, *parsed); err != nil || pointer.From(got.Model.Properties.RoleName) != "Reader" {
		t.Errorf("%s: %+v, %v", id, got.Model, err)
	}
}

func TestAGroupIsMadeAndDeletedByTerraform(t *testing.T) {
	t.Parallel()
	tf := newTerraform(t)
	id := tf.newGroup()
	// Before it deletes one, the provider looks whether there is something in it.
	listed, err := tf.groups.ResourcesListByResourceGroupComplete(tf.ctx, id, resourcesInGroup())
	if err != nil || len(listed.Items) != 0 {
		t.Fatalf("an empty group: %+v, %v", listed.Items, err)
	}
	cluster := tf.newCluster(id.ResourceGroupName)
	listed, err = tf.groups.ResourcesListByResourceGroupComplete(tf.ctx, id, resourcesInGroup())
	if err != nil || len(listed.Items) != 1 || pointer.From(listed.Items[0].Id) != cluster.ID() || pointer.From(listed.Items[0].Type) != "Microsoft.ContainerService/managedClusters" {
		t.Errorf("a group with a cluster: %+v, %v", listed.Items, err)
	}
	newAzure(t).deleteCluster(id.ResourceGroupName, cluster.ManagedClusterName)
	tf.exchanges()
	if err := tf.groups.DeleteThenPoll(tf.ctx, id, deleteGroup()); err != nil {
		t.Fatal(err)
	}
	if seen := tf.exchanges(); len(seen) != 2 || seen[1].status != http.StatusNotFound {
		t.Errorf("seen: %+v", seen)
	}
	if got, err := tf.groups.Delete(tf.ctx, id, deleteGroup()); err == nil || !response.WasNotFound(got.HttpResponse) {
		t.Errorf("a group that is gone: %v", err)
	}
}

// resourcesInGroup is how azurerm_resource_group asks.
func resourcesInGroup() resourcegroups.ResourcesListByResourceGroupOperationOptions {
	return resourcegroups.ResourcesListByResourceGroupOperationOptions{Expand: pointer.To("provisioningState"), Top: pointer.To(int64(10))}
}

func deleteGroup() resourcegroups.DeleteOperationOptions {
	return resourcegroups.DefaultDeleteOperationOptions()
}
