package clients

import (
	"net/http"
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/containerservice/armcontainerservice/v6"
)

// putCluster makes a cluster, or replaces it.
func (a *azure) putCluster(group, name string) armcontainerservice.ManagedCluster {
	a.t.Helper()
	c := typed(a, armcontainerservice.NewManagedClustersClient)
	poller, err := c.BeginCreateOrUpdate(a.ctx, group, name, armcontainerservice.ManagedCluster{
		Location: to.Ptr("westeurope"), Identity: &armcontainerservice.ManagedClusterIdentity{Type: to.Ptr(armcontainerservice.ResourceIdentityTypeSystemAssigned)},
		Properties: &armcontainerservice.ManagedClusterProperties{DNSPrefix: to.Ptr(name)},
	}, nil)
	return done(a, poller, err).ManagedCluster
}

func (a *azure) deleteCluster(group, name string) {
	a.t.Helper()
	poller, err := typed(a, armcontainerservice.NewManagedClustersClient).BeginDelete(a.ctx, group, name, nil)
	done(a, poller, err)
}

func TestAClusterIsPendingUntilItJoins(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("aks")
	clusters := typed(a, armcontainerservice.NewManagedClustersClient)
	_, err := clusters.Get(a.ctx, group, name, nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")

	made := a.putCluster(group, name)
	if *made.Name != name || *made.Location != "westeurope" || *made.Properties.ProvisioningState != "Succeeded" || *made.Properties.DNSPrefix != name ||
		*made.Identity.Type != armcontainerservice.ResourceIdentityTypeSystemAssigned || made.Identity.PrincipalID == nil || *made.Type != "Microsoft.ContainerService/managedClusters" {
		t.Errorf("made: %+v", made)
	}
	var shown struct {
		Properties struct {
			Coffer struct{ State, Command string }
		}
	}
	a.call(http.StatusOK, http.MethodGet, *made.ID, nil, &shown)
	if shown.Properties.Coffer.State != "Pending" || shown.Properties.Coffer.Command == "" {
		t.Errorf("shown: %+v", shown)
	}
	if again := a.putCluster(group, name); *again.Identity.PrincipalID != *made.Identity.PrincipalID {
		t.Errorf("the identity is %s, and was %s", *again.Identity.PrincipalID, *made.Identity.PrincipalID)
	}
	poller, err := clusters.BeginUpdateTags(a.ctx, group, name, armcontainerservice.TagsObject{Tags: map[string]*string{"a": to.Ptr("1")}}, nil)
	if tagged := done(a, poller, err); *tagged.Tags["a"] != "1" || *tagged.Properties.DNSPrefix != name {
		t.Errorf("tagged: %+v", tagged)
	}
	if listed := all(a, clusters.NewListByResourceGroupPager(group, nil)); len(listed) != 1 || len(listed[0].Value) != 1 || *listed[0].Value[0].ID != *made.ID {
		t.Errorf("listed: %+v", listed)
	}
	inSubscription := values(all(a, clusters.NewListPager(nil)), func(p armcontainerservice.ManagedClustersClientListResponse) []*armcontainerservice.ManagedCluster {
		return p.Value
	})
	if !slices.ContainsFunc(inSubscription, func(c *armcontainerservice.ManagedCluster) bool { return *c.ID == *made.ID }) {
		t.Errorf("not among the %d clusters of the subscription", len(inSubscription))
	}
	a.deleteCluster(group, name)
	a.deleteCluster(group, name)
	_, err = clusters.Get(a.ctx, group, name, nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
}

func TestTrustedAccessIsPendingUntilTheClusterJoins(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("aks")
	a.putCluster(group, name)
	vault := a.putVault(group, newName("vault"))
	bindings := typed(a, armcontainerservice.NewTrustedAccessRoleBindingsClient)
	poller, err := bindings.BeginCreateOrUpdate(a.ctx, group, name, "tarb-0123456789abcdef", armcontainerservice.TrustedAccessRoleBinding{
		Properties: &armcontainerservice.TrustedAccessRoleBindingProperties{SourceResourceID: vault.ID, Roles: []*string{to.Ptr(backupOperator)}},
	}, nil)
	made := done(a, poller, err)
	if *made.Properties.SourceResourceID != *vault.ID || *made.Properties.ProvisioningState != "Succeeded" {
		t.Errorf("made: %+v", made)
	}
	got, err := bindings.Get(a.ctx, group, name, *made.Name, nil)
	if err != nil || *got.ID != *made.ID || *got.Type != "Microsoft.ContainerService/managedClusters/trustedAccessRoleBindings" {
		t.Errorf("got: %+v, %v", got, err)
	}
	if listed := all(a, bindings.NewListPager(group, name, nil)); len(listed) != 1 || len(listed[0].Value) != 1 {
		t.Errorf("listed: %+v", listed)
	}
	roles := typed(a, armcontainerservice.NewTrustedAccessRolesClient)
	if listed := all(a, roles.NewListPager("westeurope", nil)); len(listed) != 1 || len(listed[0].Value) != 1 || len(listed[0].Value[0].Rules) == 0 {
		t.Errorf("roles: %+v", listed)
	}
	gone, err := bindings.BeginDelete(a.ctx, group, name, *made.Name, nil)
	done(a, gone, err)
	_, err = bindings.Get(a.ctx, group, name, *made.Name, nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
}
