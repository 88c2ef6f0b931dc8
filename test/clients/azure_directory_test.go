package clients

import (
	"net/http"
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armsubscriptions"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/storage/armstorage"
)

// newGroup makes a resource group of the test's own, and answers its name.
func (a *azure) newGroup() string {
	a.t.Helper()
	name := newName("rg")
	if _, err := typed(a, armresources.NewResourceGroupsClient).CreateOrUpdate(a.ctx, name, armresources.ResourceGroup{Location: to.Ptr("westeurope")}, nil); err != nil {
		a.t.Fatal(err)
	}
	return name
}

func TestSubscriptionsAndTenantsAreFound(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	subscriptions, err := armsubscriptions.NewClient(a.credential, a.options)
	if err != nil {
		t.Fatal(err)
	}
	got, err := subscriptions.Get(a.ctx, server.SubscriptionID, nil)
	if err != nil || *got.ID != "/subscriptions/"+server.SubscriptionID || *got.SubscriptionID != server.SubscriptionID || *got.State != armsubscriptions.SubscriptionStateEnabled || *got.DisplayName == "" {
		t.Fatalf("got: %+v, %v", got, err)
	}
	if listed := all(a, subscriptions.NewListPager(nil)); len(listed) != 1 || len(listed[0].Value) != 1 || *listed[0].Value[0].ID != *got.ID {
		t.Errorf("listed: %+v", listed)
	}
	tenants, err := armsubscriptions.NewTenantsClient(a.credential, a.options)
	if err != nil {
		t.Fatal(err)
	}
	if listed := all(a, tenants.NewListPager(nil)); len(listed) != 1 || *listed[0].Value[0].TenantID != server.TenantID {
		t.Errorf("tenants: %+v", listed)
	}
	_, err = subscriptions.Get(a.ctx, "00000000-0000-4000-8000-000000000000", nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
}

func TestResourceProvidersAreRegistered(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	providers := typed(a, armresources.NewProvidersClient)
	for _, namespace := range []string{
		"Microsoft.DataProtection", "Microsoft.ContainerService", "Microsoft.KubernetesConfiguration", "Microsoft.Storage", "Microsoft.Resources", "Microsoft.Authorization",
	} {
		got, err := providers.Get(a.ctx, namespace, nil)
		if err != nil || *got.Namespace != namespace || *got.RegistrationState != "Registered" || len(got.ResourceTypes) == 0 {
			t.Errorf("%s: %+v, %v", namespace, got, err)
		}
		if again, err := providers.Register(a.ctx, namespace, nil); err != nil || *again.RegistrationState != "Registered" {
			t.Errorf("%s: %+v, %v", namespace, again, err)
		}
	}
	if listed := all(a, providers.NewListPager(nil)); len(listed) != 1 || len(listed[0].Value) < 5 {
		t.Errorf("listed: %+v", listed)
	}
}

func TestAGroupLivesByMicrosoftsClient(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	groups := typed(a, armresources.NewResourceGroupsClient)
	name := newName("rg")
	if there, err := groups.CheckExistence(a.ctx, name, nil); err != nil || there.Success {
		t.Fatalf("before: %+v, %v", there, err)
	}
	_, err := groups.Get(a.ctx, name, nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
	made, err := groups.CreateOrUpdate(a.ctx, name, armresources.ResourceGroup{Location: to.Ptr("West Europe"), Tags: map[string]*string{"a": to.Ptr("1")}}, nil)
	if err != nil || *made.Name != name || *made.Properties.ProvisioningState != "Succeeded" || *made.Type != "Microsoft.Resources/resourceGroups" {
		t.Fatalf("made: %+v, %v", made, err)
	}
	if there, err := groups.CheckExistence(a.ctx, name, nil); err != nil || !there.Success {
		t.Errorf("after: %+v, %v", there, err)
	}
	if patched, err := groups.Update(a.ctx, name, armresources.ResourceGroupPatchable{Tags: map[string]*string{"b": to.Ptr("2")}}, nil); err != nil || *patched.Tags["b"] != "2" {
		t.Errorf("patched: %+v, %v", patched, err)
	}
	listed := values(all(a, groups.NewListPager(nil)), func(p armresources.ResourceGroupsClientListResponse) []*armresources.ResourceGroup { return p.Value })
	if !slices.ContainsFunc(listed, func(g *armresources.ResourceGroup) bool { return *g.ID == *made.ID }) {
		t.Errorf("not among the %d groups of the subscription", len(listed))
	}
	a.putCluster(name, "aks")
	resources := typed(a, armresources.NewClient)
	if listed := all(a, resources.NewListByResourceGroupPager(name, nil)); len(listed) != 1 || len(listed[0].Value) != 1 || *listed[0].Value[0].Type != "Microsoft.ContainerService/managedClusters" {
		t.Errorf("what it holds: %+v", listed)
	}
	filter := "resourceType eq 'Microsoft.ContainerService/managedClusters' and resourceGroup eq '" + name + "'"
	inSubscription := values(all(a, resources.NewListPager(&armresources.ClientListOptions{Filter: &filter})),
		func(p armresources.ClientListResponse) []*armresources.GenericResourceExpanded { return p.Value })
	if len(inSubscription) != 1 || *inSubscription[0].Name != "aks" {
		t.Errorf("what the subscription holds: %+v", inSubscription)
	}
	_, err = groups.BeginDelete(a.ctx, name, nil)
	mustBeRefused(t, err, http.StatusConflict, "Conflict")
	a.deleteCluster(name, "aks")
	poller, err := groups.BeginDelete(a.ctx, name, nil)
	done(a, poller, err)
	_, err = groups.Get(a.ctx, name, nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
}

func TestAStorageAccountNamesAnEndpoint(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("account")
	accounts := typed(a, armstorage.NewAccountsClient)
	poller, err := accounts.BeginCreate(a.ctx, group, name, armstorage.AccountCreateParameters{
		Location: to.Ptr("westeurope"), Kind: to.Ptr(armstorage.KindStorageV2), SKU: &armstorage.SKU{Name: to.Ptr(armstorage.SKUNameStandardLRS)},
	}, nil)
	made := done(a, poller, err)
	if *made.Name != name || *made.Properties.ProvisioningState != armstorage.ProvisioningStateSucceeded || *made.Kind != armstorage.KindStorageV2 {
		t.Errorf("made: %+v", made)
	}
	got, err := accounts.GetProperties(a.ctx, group, name, nil)
	if err != nil || *got.Properties.PrimaryEndpoints.Blob != "https://"+name+".blob.core.windows.net/" || *got.Location != "westeurope" {
		t.Errorf("got: %+v, %v", got, err)
	}
	if updated, err := accounts.Update(a.ctx, group, name, armstorage.AccountUpdateParameters{Tags: map[string]*string{"a": to.Ptr("1")}}, nil); err != nil || *updated.Tags["a"] != "1" || *updated.Kind != armstorage.KindStorageV2 {
		t.Errorf("updated: %+v, %v", updated, err)
	}
	if listed := all(a, accounts.NewListByResourceGroupPager(group, nil)); len(listed) != 1 || len(listed[0].Value) != 1 {
		t.Errorf("listed: %+v", listed)
	}
	for range 2 {
		if _, err := accounts.Delete(a.ctx, group, name, nil); err != nil {
			t.Error(err)
		}
	}
	_, err = accounts.GetProperties(a.ctx, group, name, nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
}
