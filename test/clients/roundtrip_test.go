package clients

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/resources/armresources"
	"github.com/google/go-cmp/cmp"
)

func TestWhatTheServerDoesNotKnowComesBackAsItWasSent(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	resources := typed(a, armresources.NewClient)
	id := "/subscriptions/" + server.SubscriptionID + "/resourceGroups/" + a.newGroup() + "/providers/Microsoft.ContainerService/managedClusters/aks1"
	sent := map[string]any{
		"inTheFuture": []any{map[string]any{"name": "a", "zones": []any{}, "labels": nil}, nil, "text", 1.5, true},
		"null":        nil, "empty": map[string]any{}, "none": []any{}, "text": "ünïcode & <tags>", "nested": []any{[]any{[]any{}}},
	}
	poller, err := resources.BeginCreateOrUpdateByID(a.ctx, id, "2025-10-01", armresources.GenericResource{Location: to.Ptr("westeurope"), Properties: sent}, nil)
	done(a, poller, err)
	got, err := resources.GetByID(a.ctx, id, "2031-01-01", nil)
	if err != nil {
		t.Fatal(err)
	}
	properties := got.Properties.(map[string]any)
	delete(properties, "provisioningState")
	delete(properties, "coffer")
	if d := cmp.Diff(sent, properties); d != "" {
		t.Errorf("-sent +read:\n%s", d)
	}
	if there, err := resources.CheckExistenceByID(a.ctx, id, "2025-10-01", nil); err != nil || !there.Success {
		t.Errorf("exists: %+v, %v", there, err)
	}
	if there, err := resources.CheckExistenceByID(a.ctx, id+"0", "2025-10-01", nil); err != nil || there.Success {
		t.Errorf("exists: %+v, %v", there, err)
	}
	gone, err := resources.BeginDeleteByID(a.ctx, id, "2025-10-01", nil)
	done(a, gone, err)
	_, err = resources.GetByID(a.ctx, id, "2025-10-01", nil)
	mustBeRefused(t, err, http.StatusNotFound, "ResourceNotFound")
}

func TestNullsInAPolicyAreTaken(t *testing.T) {
	t.Parallel()
	a := newAzure(t)
	group, name := a.newGroup(), newName("vault")
	vault := a.putVault(group, name)
	text, err := json.Marshal(policyBody())
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil {
		t.Fatal(err)
	}
	properties := body["properties"].(map[string]any)
	rule := properties["policyRules"].([]any)[0].(map[string]any)
	criteria := rule["trigger"].(map[string]any)["taggingCriteria"].([]any)
	criteria[1].(map[string]any)["criteria"] = nil
	properties["resourceProperties"] = nil
	var got map[string]any
	a.call(http.StatusOK, http.MethodPut, *vault.ID+"/backupPolicies/nightly", body, &got)
	if d := cmp.Diff(body["properties"], got["properties"]); d != "" {
		t.Errorf("-sent +answered:\n%s", d)
	}
}
