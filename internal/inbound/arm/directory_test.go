package arm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// names are those of a page.
func (r reply) names(t *testing.T) []string {
	t.Helper()
	values, ok := r.at("value").([]any)
	if !ok {
		t.Fatalf("no page: %s", r.text)
	}
	var found []string
	for _, v := range values {
		found = append(found, v.(map[string]any)["name"].(string))
	}
	return found
}

func TestClientsFindTheirWay(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	if got := w.must(200, http.MethodGet, "/tenants"+version, ""); !strings.Contains(got.text, tenant) {
		t.Errorf("tenants: %s", got.text)
	}
	if got := w.must(200, http.MethodGet, "/subscriptions"+version, ""); len(got.names(t)) != 1 {
		t.Errorf("subscriptions: %s", got.text)
	}
	for _, path := range []string{"", "/register"} {
		method := map[string]string{"": http.MethodGet, "/register": http.MethodPost}[path]
		got := w.must(200, method, subscription+"/providers/microsoft.dataprotection"+path+version, "")
		if got.at("registrationState") != "Registered" || got.at("namespace") != "Microsoft.DataProtection" {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	w.must(404, http.MethodGet, subscription+"/providers/Microsoft.Compute"+version, "")
	if got := w.must(200, http.MethodGet, subscription+"/providers"+version, ""); !strings.Contains(got.text, `"Microsoft.ContainerService"`) {
		t.Errorf("providers: %s", got.text)
	}
	// Terraform looks whether a group is empty before it deletes it.
	if got := w.must(200, http.MethodGet, group+"/resources"+version+"&$expand=provisioningState&$top=10", ""); fmt.Sprint(got.names(t)) != "[aks1]" {
		t.Errorf("resources of the group: %s", got.text)
	}
	if got := w.do("guest", http.MethodGet, subscription+"/resources"+version, ""); len(got.names(t)) != 0 {
		t.Errorf("a guest sees %s", got.text)
	}
	// Who has a role below a subscription sees the subscription, and may not read what else is in it.
	if got := w.do("reader", http.MethodGet, "/subscriptions"+version, ""); len(got.names(t)) != 1 {
		t.Errorf("a reader of a group sees %s", got.text)
	}
}

func TestNamesAndFeaturesAreChecked(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	const check = group + "/providers/Microsoft.DataProtection/locations/westeurope/checkNameAvailability" + version
	for name, want := range map[string]string{"v1": "AlreadyExists", "V1": "AlreadyExists", "v2": "", "-": "Invalid"} {
		got := w.must(200, http.MethodPost, check, `{"name":"`+name+`","type":"Microsoft.DataProtection/BackupVaults"}`)
		if reason, _ := got.at("reason").(string); reason != want || got.at("nameAvailable") != (want == "") {
			t.Errorf("%s: %s", name, got.text)
		}
	}
	got := w.must(200, http.MethodPost, subscription+"/providers/Microsoft.DataProtection/locations/x/checkFeatureSupport"+version,
		`{"objectType":"FeatureValidationRequest","featureType":"DataSourceType","featureName":"Microsoft.ContainerService/managedClusters"}`)
	if !strings.Contains(got.text, "GenerallyAvailable") {
		t.Errorf("%s", got.text)
	}
}

func TestResourceGraphShowsWhatMayBeRead(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	err := w.db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		return tx.PutJob(ctx, catalogue.Job{
			Vault: vaultID, Name: "j1", Instance: vaultID + "/backupInstances/i1", Status: "Completed", Operation: "Backup", Started: time.Now(),
			Body: json.RawMessage(`{"vaultName":"v1","status":"Completed","operationCategory":"Backup","isUserTriggered":true}`),
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	const graph = "/providers/Microsoft.ResourceGraph/resources" + version
	query := func(text string) string {
		body, err := json.Marshal(map[string]any{"query": text, "subscriptions": []string{"22222222-2222-8222-8222-222222222222"}})
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	jobs := query("RecoveryServicesResources | where type =~ 'microsoft.dataprotection/backupvaults/backupjobs' | extend vaultName = properties.vaultName | where resourceGroup in~ ('RG') | where vaultName in~ ('v1')")
	if got := w.must(200, http.MethodPost, graph, jobs); got.at("totalRecords") != json.Number("1") || !strings.Contains(got.text, `"name":"j1"`) {
		t.Errorf("jobs: %s", got.text)
	}
	if got := w.do("guest", http.MethodPost, graph, jobs); got.at("totalRecords") != json.Number("0") {
		t.Errorf("a guest: %s", got.text)
	}
	if got := w.must(200, http.MethodPost, graph, query("Resources | where type =~ 'microsoft.containerservice/managedclusters' | project name")); !strings.Contains(got.text, `"data":[{"name":"aks1"}]`) {
		t.Errorf("clusters: %s", got.text)
	}
	w.must(400, http.MethodPost, graph, query("Resources | join x"))
	for body, status := range map[string]int{
		`{"query":"Resources","subscriptions":["22222222-2222-8222-8222-222222222222","22222222-2222-8222-8222-222222222222"]}`:             200,
		`{"query":"Resources | where type != 'microsoft.resources/subscriptions'","options":{"$top":9,"$skip":9223372036854775807}}`:        200,
		`{"query":"Resources | where type != 'microsoft.resources/subscriptions'","options":{"$top":9,"$skipToken":"9223372036854775807"}}`: 200,
		`{"query":"Resources","subscriptions":["a/b"]}`:                                  400,
		`{"query":"Resources","subscriptions":["` + strings.Repeat(`a","`, 1001) + `"]}`: 400,
	} {
		got := w.do("owner", http.MethodPost, graph, body)
		if got.status != status || status == 200 && got.at("totalRecords") != json.Number("3") {
			t.Errorf("%.100s: %d %.300s", body, got.status, got.text)
		}
	}
}

// Each subscription is a query of the database, and everybody may ask.
func TestAQueryNamesNoMoreSubscriptionsThanThereCanBe(t *testing.T) {
	w := newWorld(t)
	many := strings.TrimSuffix(strings.Repeat(`"x",`, maxGraphScopes+1), ",")
	got := w.do("guest", http.MethodPost, "/providers/Microsoft.ResourceGraph/resources"+version, `{"query":"Resources","subscriptions":[`+many+`]}`)
	if got.status != 400 || !strings.Contains(got.text, "at most 1000") {
		t.Errorf("%d %s", got.status, got.text)
	}
}

func TestTheAuditLogIsReadByPages(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	path := group + "/providers/Coffer.Backup/auditEntries" + version + "&$top=1"
	var actions []string
	for path != "" {
		got := w.must(200, http.MethodGet, path, "")
		values, _ := got.at("value").([]any)
		for _, v := range values {
			actions = append(actions, v.(map[string]any)["action"].(string))
		}
		next, _ := got.at("nextLink").(string)
		path = strings.TrimPrefix(next, w.URL)
	}
	want := "[Microsoft.Authorization/roleAssignments/write Microsoft.ContainerService/managedClusters/write Microsoft.Resources/subscriptions/resourceGroups/write]"
	if fmt.Sprint(actions) != want {
		t.Errorf("%v, want %s", actions, want)
	}
	if got := w.do("guest", http.MethodGet, group+"/providers/Coffer.Backup/auditEntries"+version, ""); got.status != 403 {
		t.Errorf("a guest: %d %s", got.status, got.text)
	}
}
