package clients

import (
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/dataprotection/armdataprotection/v3"
)

func TestTheRequestsOfAGuardAreListedByMicrosoftsClient(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("guard")
	c := typed(a, armdataprotection.NewResourceGuardsClient)
	made, err := c.Put(a.ctx, group, name, armdataprotection.ResourceGuardResource{Location: to.Ptr("westeurope"), Properties: &armdataprotection.ResourceGuard{}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if patched, err := c.Patch(a.ctx, group, name, armdataprotection.PatchResourceGuardInput{Tags: map[string]*string{"a": to.Ptr("b")}}, nil); err != nil || *patched.Tags["a"] != "b" || *patched.ID != *made.ID {
		t.Errorf("patched: %+v (%v)", patched, err)
	}
	if listed := all(a, c.NewGetResourcesInResourceGroupPager(group, nil)); len(listed) != 1 || len(listed[0].Value) != 1 {
		t.Errorf("listed: %+v", listed)
	}
	for _, o := range made.Properties.ResourceGuardOperations {
		if !strings.HasPrefix(*o.RequestResourceType, "Microsoft.DataProtection/resourceGuards/") || *o.VaultCriticalOperation == "" {
			t.Errorf("an operation: %+v", *o)
		}
	}
	if got := all(a, c.NewGetDeleteResourceGuardProxyRequestsObjectsPager(group, name, nil)); len(got) != 1 || len(got[0].Value) != 1 || *got[0].Value[0].ID != *made.ID+"/deleteResourceGuardProxyRequests/default" {
		t.Errorf("listed: %+v", got)
	}
	one, err := c.GetDefaultUpdateProtectionPolicyRequestsObject(a.ctx, group, name, "default", nil)
	if err != nil || *one.Name != "default" || *one.Type != "Microsoft.DataProtection/resourceGuards/updateProtectionPolicyRequests" {
		t.Errorf("one: %+v (%v)", one, err)
	}
	if _, err := c.GetDefaultBackupSecurityPINRequestsObject(a.ctx, group, name, "default", nil); err != nil {
		t.Error(err)
	}
	_, err = c.GetDefaultDisableSoftDeleteRequestsObject(a.ctx, group, name, "mine", nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
	if _, err := c.Delete(a.ctx, group, name, nil); err != nil {
		t.Error(err)
	}
}
