package graph

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const vault = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.DataProtection/backupVaults/v1"

func rows(t *testing.T) []Row {
	t.Helper()
	var found []Row
	for _, text := range []string{
		`{"id":"` + vault + `/backupInstances/i1","name":"i1","type":"microsoft.dataprotection/backupvaults/backupinstances","resourceGroup":"rg",
			"properties":{"currentProtectionState":"ProtectionConfigured","dataSourceInfo":{"resourceID":"/c1","datasourceType":"Microsoft.ContainerService/managedClusters"}}}`,
		`{"id":"` + vault + `/backupInstances/i2","name":"i2","type":"microsoft.dataprotection/backupvaults/backupinstances","resourceGroup":"other",
			"properties":{"currentProtectionState":"ProtectionError","dataSourceInfo":{"resourceID":"/c2","datasourceType":"Microsoft.ContainerService/managedClusters"}}}`,
		`{"id":"` + vault + `/backupJobs/j1","name":"j1","type":"microsoft.dataprotection/backupvaults/backupjobs","resourceGroup":"rg",
			"properties":{"vaultName":"v1","status":"Completed","operationCategory":"Backup","isUserTriggered":true,"startTime":"2026-01-31T10:00:00Z","dataSourceId":"/c1"}}`,
		`{"id":"` + vault + `/backupJobs/j2","name":"j2","type":"microsoft.dataprotection/backupvaults/backupjobs","resourceGroup":"rg",
			"properties":{"vaultName":"v1","status":"Failed","operationCategory":"Restore","isUserTriggered":true,"startTime":"2026-02-01T10:00:00.5Z","dataSourceId":"/c1"}}`,
	} {
		var r Row
		if err := json.Unmarshal([]byte(text), &r); err != nil {
			t.Fatal(err)
		}
		found = append(found, r)
	}
	return found
}

// These are the queries of az dataprotection backup-instance and job list-from-resourcegraph.
const (
	instances = `RecoveryServicesResources | where type =~ 'microsoft.dataprotection/backupvaults/backupinstances'| extend vaultName = split(split(id, '/Microsoft.DataProtection/backupVaults/')[1],'/')[0]| extend protectionState = properties.currentProtectionState| extend datasourceId = properties.dataSourceInfo.resourceID | where properties.dataSourceInfo.datasourceType in~ ('microsoft.containerservice/managedclusters')`
	jobs      = `RecoveryServicesResources | where type =~ 'microsoft.dataprotection/backupvaults/backupjobs'| extend vaultName = properties.vaultName| extend status = properties.status| extend operation = case( tolower(properties.operationCategory) startswith 'backup' and properties.isUserTriggered == 'true', strcat('OnDemand',properties.operationCategory), tolower(properties.operationCategory) startswith 'backup' and properties.isUserTriggered == 'false', strcat('Scheduled', properties.operationCategory), type =~ 'microsoft.dataprotection/backupVaults/backupJobs', properties.operationCategory, 'Invalid')| extend datasourceId = properties.dataSourceId`
)

func TestQueriesOfTheAzureCLI(t *testing.T) {
	for query, want := range map[string]string{
		instances: "i1 i2",
		instances + ` | where resourceGroup in~ ('RG') | where vaultName in~ ('v1','v2')`: "i1",
		instances + ` | where protectionState in~ ('protectionerror')`:                    "i2",
		instances + ` | where datasourceId in~ ('/C1')`:                                   "i1",
		instances + ` | where vaultName in~ ('v2')`:                                       "",
		jobs: "j1 j2",
		jobs + ` | where operation in~ ('OnDemandBackup')`:                                                          "j1",
		jobs + ` | where operation in~ ('Restore') | where status in~ ('Failed')`:                                   "j2",
		jobs + `| where properties.startTime > datetime(2026-02-01T00:00:00Z)`:                                      "j2",
		jobs + `| where properties.endTime > datetime(2026-02-01T00:00:00Z)`:                                        "",
		`Resources | where name == 'i1' or (name != 'j1' and name startswith 'J') | order by name desc | take 1`:    "j2",
		`Resources | where name !in ('i1') | order by name asc | project name, n = strcat('a', name, 'b') | take 2`: "i2 j1",
	} {
		q, err := Parse(query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if asked := strings.HasPrefix(query, "Recovery"); asked != (q.Type != "") {
			t.Errorf("%s asks for type %q", query, q.Type)
		}
		before := fmt.Sprint(rows(t))
		given := rows(t)
		var names []string
		found, err := q.Run(given)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		}
		for _, r := range found {
			names = append(names, r["name"].(string))
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
		if fmt.Sprint(given) != before {
			t.Errorf("%s changed the rows that it was given", query)
		}
	}
}

func TestWhatIsNotUnderstoodIsRefused(t *testing.T) {
	for _, query := range []string{
		"", "|", "Resources where", "Resources | where", "Resources | where (name == 'a'", "Resources | join x", "Resources | where evil(name)",
		"Resources | extend = 1", "Resources | where a in ()", "Resources | where tolower() == 'a'", "Resources | where name == 'a", "Resources | take x", "Resources | take '-5'",
		"Resources | where datetime(never) > a", "Resources | where " + strings.Repeat("(", 200) + "a", "Resources | where a[", "Resources | where a.", strings.Repeat("a", maxQuery+1),
	} {
		if _, err := Parse(query); err == nil {
			t.Errorf("%.60q is taken for a query", query)
		}
	}
}

func TestAQueryThatMakesTooMuchIsRefused(t *testing.T) {
	many, seven, object := make([]Row, 50_000), strings.Repeat("7", 1000), map[string]any{"x": strings.Repeat("y", 5000)}
	for i := range many {
		many[i] = Row{"id": fmt.Sprintf("%s/backupInstances/i%05d", vault, i), "name": fmt.Sprint(i), "n": seven, "o": object}
	}
	for name, tt := range map[string]struct {
		query string
		rows  []Row
	}{
		"a text that doubles":          {"R | extend a = '0123456789'" + strings.Repeat(" | extend a = strcat(a, a, a, a)", 40), []Row{{}}},
		"a list of letters that grows": {"R | extend a = '0123456789'" + strings.Repeat(" | extend a = tostring(split(a, ''))", 40), []Row{{}}},
		"many columns":                 {"R | extend a = 1" + strings.Repeat(", aaaa = id", 2000), many},
		"many conditions":              {"R | where id == 'a'" + strings.Repeat(" or o contains 'z'", 1500), many},
		"many fields":                  {"R | where a" + strings.Repeat(".a", 15_000), many},
		"sorted many times":            {"R" + strings.Repeat(" | order by id", 90), many},
		"many values":                  {"R | where n in ('1'" + strings.Repeat(", '2'", 6000) + ")", many},
	} {
		q, err := Parse(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := q.Run(tt.rows); coffer.CodeOf(err) != coffer.CodeInvalidInput || found != nil {
			t.Errorf("%s: %d rows, %v", name, len(found), err)
		}
	}
	q, err := Parse(instances + ` | where datasourceId in~ ('` + strings.Repeat("x", 500) + `') or vaultName == 'v1' | order by name asc`)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range many {
		r["type"], r["properties"] = "microsoft.dataprotection/backupvaults/backupinstances", map[string]any{"dataSourceInfo": map[string]any{"datasourceType": "microsoft.containerservice/managedclusters"}}
	}
	if found, err := q.Run(many); err != nil || len(found) != len(many) {
		t.Errorf("a query of the Azure CLI about as many resources as are possible: %d, %v", len(found), err)
	}
}

func TestALongQueryIsReadAtOnce(t *testing.T) {
	for _, query := range []string{
		"R | where n in ('1'" + strings.Repeat(",'2'", 8000) + ")",
		"R | where a" + strings.Repeat(" or a", 6000),
		"R | extend " + strings.Repeat("a", 30_000) + " = 1",
		"R | where a == '" + strings.Repeat("'", 30_000),
	} {
		began := time.Now()
		_, _ = Parse(query)
		if took := time.Since(began); took > time.Second {
			t.Errorf("%.40q takes %v", query, took)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, q := range []string{instances, jobs, "Resources | where a[0].b in~ ('x') | order by a desc | take 1 | project a, b = case(a == 1, 2, 3)"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		q, err := Parse(query)
		if err != nil {
			return
		}
		found, err := q.Run([]Row{{"a": []any{map[string]any{"b": "x"}}, "id": "/i"}, {"a": nil}})
		if err != nil {
			return
		}
		if len(found) > 2 || slices.ContainsFunc(found, func(r Row) bool { return r == nil }) {
			t.Errorf("%q makes %v", query, found)
		}
	})
}
