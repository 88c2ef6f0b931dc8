package arm

import (
	"net/http"
	"strings"
	"testing"
)

// What typed clients insist on; test/clients has the clients themselves.

func TestStatusesAreThoseThatTypedClientsTake(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	const account = group + "/providers/Microsoft.Storage/storageAccounts/account1"
	// Of a storage account they take 200 and 202 only.
	w.must(200, http.MethodPut, account+version, `{"location":"westeurope","kind":"StorageV2"}`)
	w.must(200, http.MethodDelete, account+version, "")
	w.must(204, http.MethodDelete, account+version, "")
	// Of a cluster that is deleted, and of trusted access that is taken away, 202 and 204 only.
	const binding = cluster + "/trustedAccessRoleBindings/b1"
	w.must(201, http.MethodPut, binding+version, `{"properties":{"sourceResourceId":"`+vaultID+`","roles":["Microsoft.DataProtection/backupVaults/backup-operator"]}}`)
	for _, id := range []string{binding, binding, cluster, cluster} {
		w.must(204, http.MethodDelete, id+version, "")
	}
	w.must(200, http.MethodDelete, vaultID+version, "")
	w.must(204, http.MethodDelete, vaultID+version, "")
	// A group is deleted by 200 or 202; one that is not there is 404.
	w.must(200, http.MethodDelete, group+version, "")
	w.must(404, http.MethodDelete, group+version, "")
	for _, e := range w.audit() {
		if strings.HasSuffix(e.Action, "/delete") && e.Status != http.StatusOK && e.Status != http.StatusNoContent {
			t.Errorf("audit: %+v", e)
		}
	}
}

func TestWhatIsDoneAtOnceNeedNotBeWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	if made := w.must(201, http.MethodPut, vaultID+version, vaultBody); made.header.Get("Retry-After") != "0" || made.header.Get("Azure-AsyncOperation") == "" {
		t.Errorf("header: %v", made.header)
	}
}

func TestExistenceIsAskedByHEAD(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	for path, want := range map[string]int{group: 204, cluster: 204, group + "0": 404, cluster + "0": 404} {
		if got := w.must(want, http.MethodHead, path+version, ""); got.text != "" {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	if got := w.do("reader", http.MethodHead, subscription+version, ""); got.status != http.StatusForbidden {
		t.Errorf("the reader of a group, about its subscription: %d", got.status)
	}
}

func TestAllResourcesOfAScopeAreListed(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	w.must(200, http.MethodPut, policyID+version, policyBody)
	list := func(token, path string) (types []string) {
		for _, v := range w.do(token, http.MethodGet, path, "").at("value").([]any) {
			types = append(types, v.(map[string]any)["type"].(string))
		}
		return types
	}
	// Top-level resources, as in Azure: neither groups nor what lies below a resource.
	const both = "Microsoft.ContainerService/managedClusters Microsoft.DataProtection/backupVaults"
	for path, want := range map[string]string{
		group + "/resources" + version + "&$expand=provisioningState&$top=10":                                          both,
		subscription + "/resources" + version:                                                                          both,
		subscription + "/resources" + version + "&$filter=resourceType%20eq%20'microsoft.dataprotection/BACKUPVAULTS'": "Microsoft.DataProtection/backupVaults",
		subscription + "/resources" + version + "&$filter=resourceGroup%20eq%20'other'":                                "",
		subscription + "/resources" + version + "&$filter=name%20eq%20'aks1'%20and%20resourceGroup%20eq%20'RG'":        "Microsoft.ContainerService/managedClusters",
	} {
		if got := strings.Join(list("owner", path), " "); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
	if got := list("reader", subscription+"/resources"+version); len(got) != 2 {
		t.Errorf("the reader of the group: %v", got)
	}
	// As in Azure, without properties: az resource list makes no table of resources that have them.
	for path, state := range map[string]any{group + "/resources" + version + "&$expand=createdTime,provisioningState": "Succeeded", group + "/resources" + version: nil} {
		one := w.must(200, http.MethodGet, path, "").at("value").([]any)[0].(map[string]any)
		if one["properties"] != nil || one["provisioningState"] != state || one["location"] != "westeurope" || one["identity"] == nil || one["id"] != cluster {
			t.Errorf("%s: %v", path, one)
		}
	}
	var paged []string
	for path := group + "/resources" + version + "&$top=1"; path != ""; {
		paged = append(paged, list("owner", path)...)
		next, _ := w.must(200, http.MethodGet, path, "").at("nextLink").(string)
		path = strings.TrimPrefix(next, w.URL)
	}
	if got := strings.Join(paged, " "); got != both {
		t.Errorf("page by page: %s", got)
	}
	w.must(400, http.MethodGet, subscription+"/resources"+version+"&$filter=tagName%20eq%20'a'", "")
}

func TestTheRoleOfTrustedAccessSaysWhatItAllows(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	got := w.must(200, http.MethodGet, subscription+"/providers/Microsoft.ContainerService/locations/westeurope/trustedAccessRoles"+version, "")
	if !strings.Contains(got.text, `"name":"backup-operator"`) || !strings.Contains(got.text, "clusterbackup.dataprotection.microsoft.com") || strings.Contains(got.text, `"secrets"`) {
		t.Errorf("got: %s", got.text)
	}
}

func TestAnEndpointHasNoSecret(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	for _, endpoint := range []string{"https://a.example/?sig=hush", "https://user:hush@a.example", "https://a.example/#hush", "file:///etc", "//a"} {
		got := w.must(400, http.MethodPut, group+"/providers/Microsoft.Storage/storageAccounts/account1"+version, `{"location":"a","properties":{"coffer":{"endpoint":"`+endpoint+`"}}}`)
		if strings.Contains(got.text, "hush") {
			t.Errorf("%s: %s", endpoint, got.text)
		}
	}
}
