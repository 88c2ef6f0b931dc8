package instance

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	vaultID  = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.DataProtection/backupVaults/v1"
	aks1     = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks1"
	aks2     = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks2"
	snapshot = "/subscriptions/s1/resourceGroups/snap"
)

func datasource(objectType, id string) map[string]any {
	return map[string]any{
		"objectType": objectType, "datasourceType": "Microsoft.ContainerService/managedClusters", "resourceID": id, "resourceUri": id,
		"resourceName": id[strings.LastIndex(id, "/")+1:], "resourceType": "Microsoft.ContainerService/managedClusters", "resourceLocation": "westeurope",
	}
}

// settings are the configuration of arm-api.md's example.
func settings() map[string]any {
	return map[string]any{
		"objectType": "KubernetesClusterBackupDatasourceParameters", "snapshotVolumes": true, "includeClusterScopeResources": true,
		"includedNamespaces": []any{"app"}, "excludedNamespaces": []any{}, "includedResourceTypes": []any{}, "excludedResourceTypes": []any{"v1/Secret"},
		"labelSelectors": []any{}, "includedVolumeTypes": []any{"AzureDisk"}, "backupHookReferences": []any{map[string]any{"name": "h", "namespace": "default"}},
	}
}

// body is an instance's, with some changes to what Azure's example has.
func body(change func(properties, settings map[string]any)) map[string]any {
	s := settings()
	p := map[string]any{
		"objectType": "BackupInstance", "friendlyName": "aks1/app",
		"dataSourceInfo": datasource("Datasource", aks1), "dataSourceSetInfo": datasource("DatasourceSet", aks1),
		"policyInfo": map[string]any{"policyId": vaultID + "/backupPolicies/p1", "policyParameters": map[string]any{
			"dataStoreParametersList": []any{map[string]any{
				"objectType": "AzureOperationalStoreParameters", "dataStoreType": "OperationalStore", "resourceGroupId": snapshot,
			}},
			"backupDatasourceParametersList": []any{s},
		}},
		"identityDetails": map[string]any{"useSystemAssignedIdentity": true}, "validationType": "ShallowValidation", "datasourceAuthCredentials": nil,
	}
	if change != nil {
		change(p, s)
	}
	return p
}

func decode[T any](t testing.TB, body any) *T {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := arm.Decode[T](text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &got
}

func check(t testing.TB, body map[string]any, was *Configuration) (Configuration, error) {
	t.Helper()
	return Check(Case{Vault: vaultID, Location: "westeurope", Body: decode[arm.Instance](t, body), At: "properties", Was: was})
}

func TestAnInstanceIsReadAsABackup(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		name   string
		change func(p, s map[string]any)
		want   v1alpha1.BackupSpec
	}{
		{"Azure's example", nil, v1alpha1.BackupSpec{
			IncludedNamespaces: []string{"app"}, ExcludedResourceTypes: []string{"v1/Secret"}, SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes,
			BackupHookReferences: []v1alpha1.NamespacedReference{{Name: "h", Namespace: "default"}},
			VolumePolicies:       []v1alpha1.VolumePolicy{skipping("file.csi.azure.com")},
		}},
		{"no configuration is everything", func(p, _ map[string]any) {
			delete(p["policyInfo"].(map[string]any)["policyParameters"].(map[string]any), "backupDatasourceParametersList")
		}, v1alpha1.BackupSpec{SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes}},
		{"Terraform's defaults", func(_, s map[string]any) {
			clear(s)
			s["objectType"], s["snapshotVolumes"], s["includeClusterScopeResources"] = "KubernetesClusterBackupDatasourceParameters", false, false
		}, v1alpha1.BackupSpec{SnapshotVolumes: &no, IncludeClusterScopeResources: &no}},
		{"labels as the command line, Terraform and the portal write them", func(_, s map[string]any) {
			for _, field := range []string{"includedNamespaces", "excludedResourceTypes", "includedVolumeTypes", "backupHookReferences"} {
				s[field] = nil
			}
			s["labelSelectors"] = []any{"a=b", "c:d", "env=prod;tier!=web"}
		}, v1alpha1.BackupSpec{LabelSelectors: []string{"a=b", "c:d", "env=prod;tier!=web"}, SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes}},
		{"file shares, and not disks", func(_, s map[string]any) {
			clear(s)
			s["objectType"], s["snapshotVolumes"], s["includeClusterScopeResources"] = "kubernetesclusterbackupdatasourceparameters", true, true
			s["includedVolumeTypes"] = []any{"azurefilesharesmb"}
		}, v1alpha1.BackupSpec{SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes, VolumePolicies: []v1alpha1.VolumePolicy{skipping("disk.csi.azure.com")}}},
		{"both types of volume", func(_, s map[string]any) {
			clear(s)
			s["objectType"], s["snapshotVolumes"], s["includeClusterScopeResources"] = "KubernetesClusterBackupDatasourceParameters", true, true
			s["includedVolumeTypes"] = []any{"AzureFileShareSMB", "AzureDisk"}
		}, v1alpha1.BackupSpec{SnapshotVolumes: &yes, IncludeClusterScopeResources: &yes}},
		{"what ARM has no fields for", func(_, s map[string]any) {
			clear(s)
			s["objectType"], s["snapshotVolumes"], s["includeClusterScopeResources"] = "KubernetesClusterBackupDatasourceParameters", true, false
			s["coffer"] = map[string]any{"orLabelSelectors": []any{"a", "b"}, "onlyNeededClusterScopeResources": true, "allowEmpty": true, "volumePolicies": []any{
				map[string]any{"conditions": map[string]any{"capacity": ",1Gi"}, "action": map[string]any{"type": "skip"}},
			}}
		}, v1alpha1.BackupSpec{
			OrLabelSelectors: []string{"a", "b"}, OnlyNeededClusterScopeResources: true, AllowEmpty: true, SnapshotVolumes: &yes,
			VolumePolicies: []v1alpha1.VolumePolicy{{Conditions: v1alpha1.VolumePolicyConditions{Capacity: ",1Gi"}, Action: v1alpha1.VolumePolicyAction{Type: "skip"}}},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := check(t, body(tt.change), nil)
			if err != nil {
				t.Fatal(err)
			}
			gotText, wantText := mustJSON(t, got.Backup), mustJSON(t, tt.want)
			if diff := cmp.Diff(wantText, gotText); diff != "" {
				t.Errorf("backup (-want +got):\n%s", diff)
			}
			if got.Cluster != aks1 || got.Policy != vaultID+"/backupPolicies/p1" || got.SnapshotGroup != snapshot || got.FriendlyName != "aks1/app" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func mustJSON(t *testing.T, of any) string {
	t.Helper()
	text, err := json.MarshalIndent(of, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func skipping(driver string) v1alpha1.VolumePolicy {
	return v1alpha1.VolumePolicy{
		Conditions: v1alpha1.VolumePolicyConditions{CSI: &v1alpha1.VolumePolicyCSI{Driver: driver}},
		Action:     v1alpha1.VolumePolicyAction{Type: v1alpha1.VolumeSkip},
	}
}

func many(n int, format string) []any {
	var all []any
	for i := range n {
		all = append(all, fmt.Sprintf(format, i))
	}
	return all
}

func TestAnInstanceThatCannotBeFollowedIsRefused(t *testing.T) {
	const params = "properties.policyInfo.policyParameters.backupDatasourceParametersList[0]"
	set := func(field string, value any) func(p, s map[string]any) {
		return func(_, s map[string]any) { s[field] = value }
	}
	property := func(field string, value any) func(p, s map[string]any) {
		return func(p, _ map[string]any) { p[field] = value }
	}
	source := func(name, field string, value any) func(p, s map[string]any) {
		return func(p, _ map[string]any) { p[name].(map[string]any)[field] = value }
	}
	store := func(value any) func(p, s map[string]any) {
		return func(p, _ map[string]any) {
			p["policyInfo"].(map[string]any)["policyParameters"].(map[string]any)["dataStoreParametersList"] = value
		}
	}
	for _, tt := range []struct {
		name       string
		change     func(p, s map[string]any)
		path, want string
		code       coffer.Code
	}{
		{"no set, which Azure takes and fails later", property("dataSourceSetInfo", nil), "properties.dataSourceSetInfo", "is missing", coffer.CodeInvalidWorkflowData},
		{"another set", property("dataSourceSetInfo", datasource("DatasourceSet", aks2)), "properties.dataSourceSetInfo.resourceID", "that of the datasource itself is", coffer.CodeInvalidWorkflowData},
		{"a set elsewhere", source("dataSourceSetInfo", "resourceLocation", "northeurope"), "properties.dataSourceSetInfo.resourceLocation", `is "northeurope"`, coffer.CodeInvalidWorkflowData},
		{"no datasource", property("dataSourceInfo", nil), "properties.dataSourceInfo", "is missing", coffer.CodeInvalidInput},
		{"a disk", source("dataSourceInfo", "datasourceType", "Microsoft.Compute/disks"), "properties.dataSourceInfo.datasourceType", "expected Microsoft.ContainerService/managedClusters", coffer.CodeInvalidInput},
		{"the id of a disk", source("dataSourceInfo", "resourceID", strings.Replace(aks1, "Microsoft.ContainerService/managedClusters", "Microsoft.Compute/disks", 1)), "properties.dataSourceInfo.resourceID", "is the id of a Microsoft.Compute/disks", ""},
		{"no id", source("dataSourceInfo", "resourceID", "aks1"), "properties.dataSourceInfo.resourceID", "is not a resource id", ""},
		{"another name", source("dataSourceInfo", "resourceName", "aks2"), "properties.dataSourceInfo.resourceName", `is "aks2", and resourceID says "aks1"`, ""},
		{"another URI", source("dataSourceInfo", "resourceUri", aks2), "properties.dataSourceInfo.resourceUri", "and resourceID says", ""},
		{"a cluster in another region", func(p, _ map[string]any) {
			p["dataSourceInfo"].(map[string]any)["resourceLocation"] = "northeurope"
			p["dataSourceSetInfo"].(map[string]any)["resourceLocation"] = "North Europe"
		}, "properties.dataSourceInfo.resourceLocation", "and the vault is in westeurope", coffer.CodeInvalidInput},
		{"no policy", property("policyInfo", nil), "properties.policyInfo", "is missing", coffer.CodeInvalidInput},
		{"a policy of another vault", func(p, _ map[string]any) {
			p["policyInfo"].(map[string]any)["policyId"] = strings.Replace(vaultID, "v1", "v2", 1) + "/backupPolicies/p1"
		}, "properties.policyInfo.policyId", "is of the vault v2", coffer.CodeInvalidInput},
		{"a vault for a policy", func(p, _ map[string]any) { p["policyInfo"].(map[string]any)["policyId"] = vaultID }, "properties.policyInfo.policyId", "expected a Microsoft.DataProtection/backupVaults/backupPolicies", coffer.CodeInvalidInput},
		{"no snapshot resource group", store([]any{}), "properties.policyInfo.policyParameters.dataStoreParametersList", "is missing", coffer.CodeInvalidInput},
		{"a snapshot resource group that is a name", store([]any{map[string]any{"objectType": "AzureOperationalStoreParameters", "dataStoreType": "OperationalStore", "resourceGroupId": "snap"}}), "properties.policyInfo.policyParameters.dataStoreParametersList[0].resourceGroupId", "is not a resource id", coffer.CodeInvalidInput},
		{"a snapshot resource group of no subscription", store([]any{map[string]any{"objectType": "AzureOperationalStoreParameters", "dataStoreType": "OperationalStore", "resourceGroupId": "/a/b/resourceGroups/snap"}}), "properties.policyInfo.policyParameters.dataStoreParametersList[0].resourceGroupId", "lies in no resource group", coffer.CodeInvalidInput},
		{"a snapshot resource group of something else", store([]any{map[string]any{"objectType": "AzureOperationalStoreParameters", "dataStoreType": "OperationalStore", "resourceGroupId": snapshot + "/a/b/resourceGroups/c"}}), "properties.policyInfo.policyParameters.dataStoreParametersList[0].resourceGroupId", "is not the id of a resource group", coffer.CodeInvalidInput},
		{"a vault store", store([]any{map[string]any{"objectType": "AzureOperationalStoreParameters", "dataStoreType": "VaultStore", "resourceGroupId": snapshot}}), "properties.policyInfo.policyParameters.dataStoreParametersList[0].dataStoreType", "expected OperationalStore", coffer.CodeInvalidInput},
		{"no word on volumes", set("snapshotVolumes", nil), params + ".snapshotVolumes", "is missing", coffer.CodeInvalidInput},
		{"no word on cluster-scoped objects", set("includeClusterScopeResources", nil), params + ".includeClusterScopeResources", "is missing", coffer.CodeInvalidInput},
		{"the parameters of blobs", set("objectType", "BlobBackupDatasourceParameters"), params + ".objectType", "expected KubernetesClusterBackupDatasourceParameters", coffer.CodeInvalidInput},
		{"a namespace that is none", set("includedNamespaces", []any{"app", "App"}), params + ".includedNamespaces[1]", `"App" is not the name of a namespace`, coffer.CodeInvalidInput},
		{"a pattern without end", set("includedNamespaces", []any{strings.Repeat("*a", 50_000)}), params + ".includedNamespaces[0]", "has 100000 characters: at most 63", coffer.CodeInvalidInput},
		{"801 namespaces", set("includedNamespaces", many(801, "n%d")), params + ".includedNamespaces", "has 801 elements: at most 800 are possible", coffer.CodeInvalidInput},
		{"a namespace in and out", set("excludedNamespaces", []any{"app"}), params, "both in includedNamespaces and in excludedNamespaces", coffer.CodeInvalidInput},
		{"a type that is none", set("excludedResourceTypes", []any{"v1/Se cret"}), params + ".excludedResourceTypes[0]", "is not a resource type", coffer.CodeInvalidInput},
		{"a type in and out", set("includedResourceTypes", []any{"v1/Secret"}), params, "both in includedResourceTypes", coffer.CodeInvalidInput},
		{"a selector that is none", set("labelSelectors", []any{"a=b=c"}), params + ".labelSelectors[0]", "is not a label selector", coffer.CodeInvalidInput},
		{"selectors that nothing matches", set("labelSelectors", []any{"a=b", "a:c"}), params, "no object can match", coffer.CodeInvalidInput},
		{"selectors without end", set("labelSelectors", []any{strings.Repeat("a,", 5000) + "a"}), params + ".labelSelectors", "characters together", coffer.CodeInvalidInput},
		{"a type of volume that is none", set("includedVolumeTypes", []any{"AzureDisk", "NFS"}), params + ".includedVolumeTypes[1]", "expected AzureDisk or AzureFileShareSMB", coffer.CodeInvalidInput},
		{"a hook without a namespace", set("backupHookReferences", []any{map[string]any{"name": "h"}}), params + ".backupHookReferences[0].namespace", "which no namespace is called", coffer.CodeInvalidInput},
		{"a hook twice", set("backupHookReferences", []any{map[string]any{"name": "h", "namespace": "n"}, map[string]any{"name": "h", "namespace": "n"}}), params + ".backupHookReferences[1]", "a second time", coffer.CodeInvalidInput},
		{"a volume policy that is none", set("coffer", map[string]any{"volumePolicies": []any{map[string]any{"action": map[string]any{"type": "burn"}}}}), params + ".coffer.volumePolicies", `"burn" is not known`, coffer.CodeInvalidInput},
		{"an object without a name", func(_, s map[string]any) {
			s["includedNamespaces"] = nil
			s["coffer"] = map[string]any{"includedObjects": []any{map[string]any{"type": "v1/Secret"}}}
		}, params + ".coffer.includedObjects[0]", "a single object has a name", coffer.CodeInvalidInput},
		{"needed objects and all", set("coffer", map[string]any{"onlyNeededClusterScopeResources": true}), params + ".includeClusterScopeResources", "onlyNeededClusterScopeResources is too", coffer.CodeInvalidInput},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := check(t, body(tt.change), nil)
			if fields := coffer.RefusedFields(err); !slices.ContainsFunc(fields, func(f coffer.RefusedField) bool { return f.Path == tt.path && strings.Contains(f.Reason, tt.want) }) {
				t.Errorf("got %v, want %s: %s", err, tt.path, tt.want)
			} else if len(fields) > 3 {
				t.Errorf("one mistake is told as %d: %+v", len(fields), fields)
			}
			if tt.code != "" && coffer.CodeOf(err) != tt.code {
				t.Errorf("code %s, want %s", coffer.CodeOf(err), tt.code)
			}
		})
	}
}

func TestAllMistakesOfAnInstanceAreTold(t *testing.T) {
	_, err := check(t, body(func(p, s map[string]any) {
		p["dataSourceSetInfo"] = nil
		s["includedNamespaces"] = []any{"A", "b", "C"}
		s["labelSelectors"] = []any{"=", "a=b", "("}
	}), nil)
	if n := len(coffer.RefusedFields(err)); n != 5 {
		t.Errorf("%d problems: %v", n, err)
	}
	var coded *coffer.Error
	if !errors.As(err, &coded) || !strings.Contains(coded.Hint, "with objectType DatasourceSet") {
		t.Errorf("no hint says what to write: %+v", coded)
	}
}

func TestWhatOfAnInstanceMayBeChanged(t *testing.T) {
	was, err := check(t, body(nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(p, s map[string]any)
		want   string
	}{
		{"nothing", nil, ""},
		{"the policy", func(p, _ map[string]any) {
			p["policyInfo"].(map[string]any)["policyId"] = vaultID + "/backupPolicies/p2"
		}, ""},
		{"the configuration", func(_, s map[string]any) { s["includedNamespaces"] = []any{"other"}; s["excludedResourceTypes"] = nil }, ""},
		{"the name", func(p, _ map[string]any) { p["friendlyName"] = "other" }, ""},
		{"the spelling of the cluster", func(p, _ map[string]any) {
			p["dataSourceInfo"] = datasource("Datasource", strings.ToUpper(aks1))
		}, ""},
		{"the cluster", func(p, _ map[string]any) {
			p["dataSourceInfo"], p["dataSourceSetInfo"] = datasource("Datasource", aks2), datasource("DatasourceSet", aks2)
		}, "properties.dataSourceInfo.resourceID is another cluster"},
		{"the snapshot resource group", func(p, _ map[string]any) {
			p["policyInfo"].(map[string]any)["policyParameters"].(map[string]any)["dataStoreParametersList"].([]any)[0].(map[string]any)["resourceGroupId"] = snapshot + "2"
		}, "dataStoreParametersList[0].resourceGroupId is another resource group"},
	} {
		_, err := check(t, body(tt.change), &was)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, change := range []func(p, s map[string]any){nil, func(_, s map[string]any) { s["coffer"] = map[string]any{"orLabelSelectors": []any{"a"}} }} {
		text, err := json.Marshal(body(change))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"dataSourceInfo":{},"policyInfo":{"policyParameters":{"dataStoreParametersList":[{}],"backupDatasourceParametersList":[{"coffer":{"volumePolicies":[{}]}}]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		i, err := arm.Decode[arm.Instance](text)
		if err != nil {
			return
		}
		got, err := Check(Case{Vault: vaultID, Location: "westeurope", Body: &i, At: "properties"})
		if err != nil {
			if coffer.CodeOf(err) == "" || len(coffer.RefusedFields(err)) == 0 {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		if got.Cluster.Type() == "" || !got.Policy.Within(catalogue.ID(vaultID)) || got.SnapshotGroup == "" {
			t.Fatalf("%s: %+v", text, got)
		}
		if _, err := Check(Case{Vault: vaultID, Location: "westeurope", Body: &i, At: "properties", Was: &got}); err != nil {
			t.Fatalf("%s: the same again is a change: %v", text, err)
		}
	})
}

// TestTheCostOfARequestIsBounded sends as much as is allowed of what is compared with each other.
func TestTheCostOfARequestIsBounded(t *testing.T) {
	started := time.Now()
	_, err := check(t, body(func(_, s map[string]any) {
		s["includedNamespaces"] = many(800, strings.Repeat("*a", 25)+"%d*")
		s["excludedNamespaces"] = many(800, strings.Repeat("*b", 25)+"%d*")
		s["includedResourceTypes"] = many(800, strings.Repeat("*a", 150)+"%d")
		s["excludedResourceTypes"] = many(800, strings.Repeat("*b", 150)+"%d")
		s["labelSelectors"] = []any{strings.Repeat("a,", 1000) + "a", strings.Repeat("a,", 1000) + "a"}
	}), nil)
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if err != nil {
		t.Error(err)
	}
}
