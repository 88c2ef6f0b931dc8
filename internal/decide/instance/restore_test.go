package instance

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/vault"
)

const (
	instanceID = vaultID + "/backupInstances/i1"
	elsewhere  = "/subscriptions/s2/resourceGroups/rg/providers/Microsoft.ContainerService/managedClusters/aks3"
	account    = "/subscriptions/s1/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/stage"
)

// request is that of arm-api.md, with some changes.
func request(change func(r, target, criteria map[string]any)) map[string]any {
	c := map[string]any{
		"objectType": "KubernetesClusterRestoreCriteria", "includeClusterScopeResources": true, "conflictPolicy": "Skip",
		"persistentVolumeRestoreMode": "RestoreWithVolumeData", "namespaceMappings": map[string]any{"app": "app2"}, "includedNamespaces": []any{"app"},
		"excludedNamespaces": nil, "includedResourceTypes": nil, "excludedResourceTypes": nil, "labelSelectors": nil, "restoreHookReferences": nil,
		"resourceModifierReference": map[string]any{"name": "cm", "namespace": "default"},
	}
	target := map[string]any{
		"objectType": "ItemLevelRestoreTargetInfo", "recoveryOption": "FailIfExists", "restoreLocation": "westeurope",
		"datasourceInfo": datasource("Datasource", aks1), "datasourceSetInfo": datasource("DatasourceSet", aks1), "restoreCriteria": []any{c},
	}
	r := map[string]any{
		"objectType": "AzureBackupRecoveryPointBasedRestoreRequest", "recoveryPointId": "rp1", "sourceDataStoreType": "OperationalStore",
		"sourceResourceId": aks1, "identityDetails": map[string]any{"useSystemAssignedIdentity": true}, "restoreTargetInfo": target,
	}
	if change != nil {
		change(r, target, c)
	}
	return r
}

func fromVault(r, _, c map[string]any) {
	r["sourceDataStoreType"] = "VaultStore"
	c["objectType"], c["stagingResourceGroupId"], c["stagingStorageAccountId"] = "KubernetesClusterVaultTierRestoreCriteria", snapshot, account
}

func checkRestore(t testing.TB, r map[string]any, s vault.Settings) (Restore, error) {
	t.Helper()
	s.Location = "westeurope"
	return CheckRestore(RestoreCase{
		Instance: instanceID, Cluster: aks1, Settings: s, Tiers: []arm.Word{arm.OperationalStore, arm.VaultStore},
		Request: decode[arm.RestoreRequest](t, r), At: "restoreRequestObject",
	})
}

func TestARequestIsReadAsARestore(t *testing.T) {
	yes := true
	example := v1alpha1.RestoreSpec{
		BackupName: "backup-1", StorageLocation: "here",
		IncludedNamespaces: []string{"app"}, NamespaceMappings: map[string]v1alpha1.NamespaceName{"app": "app2"}, IncludeClusterScopeResources: &yes,
		PersistentVolumeRestoreMode: "RestoreWithVolumeData", ConflictPolicy: "Skip", ResourceModifierReference: &v1alpha1.NamespacedReference{Name: "cm", Namespace: "default"},
	}
	bare := v1alpha1.RestoreSpec{BackupName: "backup-1", StorageLocation: "here", IncludeClusterScopeResources: &yes, PersistentVolumeRestoreMode: "RestoreWithVolumeData", ConflictPolicy: "Skip"}
	for _, tt := range []struct {
		name   string
		change func(r, target, c map[string]any)
		want   Restore
		spec   func(*v1alpha1.RestoreSpec)
	}{
		{"Azure's example", nil, Restore{Point: "rp1", Tier: "OperationalStore", Target: aks1, Original: true}, func(s *v1alpha1.RestoreSpec) { *s = example }},
		{"the recovery point's whole id", func(r, _, _ map[string]any) { r["recoveryPointId"] = instanceID + "/recoveryPoints/rp1" }, Restore{Point: "rp1", Tier: "OperationalStore", Target: aks1, Original: true}, func(s *v1alpha1.RestoreSpec) { *s = example }},
		{"another cluster", func(_, target, _ map[string]any) {
			target["datasourceInfo"], target["datasourceSetInfo"] = datasource("Datasource", aks2), datasource("DatasourceSet", aks2)
		}, Restore{Point: "rp1", Tier: "OperationalStore", Target: aks2}, func(s *v1alpha1.RestoreSpec) { *s = example }},
		{"the vault tier", fromVault, Restore{Point: "rp1", Tier: "VaultStore", Target: aks1, Original: true, StagingGroup: snapshot, StagingAccount: account}, func(s *v1alpha1.RestoreSpec) { *s = example }},
		{"as little as possible", func(r, target, c map[string]any) {
			delete(r, "sourceResourceId")
			delete(target, "restoreLocation")
			delete(target, "datasourceSetInfo")
			clear(c)
			c["objectType"], c["includeClusterScopeResources"] = "kubernetesclusterrestorecriteria", true
		}, Restore{Point: "rp1", Tier: "OperationalStore", Target: aks1, Original: true}, func(*v1alpha1.RestoreSpec) {}},
		{"only the cluster-scoped objects that are needed", func(_, _, c map[string]any) {
			clear(c)
			c["objectType"], c["includeClusterScopeResources"] = "KubernetesClusterRestoreCriteria", false
			c["coffer"] = map[string]any{"onlyNeededClusterScopeResources": true}
		}, Restore{Point: "rp1", Tier: "OperationalStore", Target: aks1, Original: true}, func(s *v1alpha1.RestoreSpec) { s.IncludeClusterScopeResources = nil }},
		{"words in any case, and what ARM has no fields for", func(_, _, c map[string]any) {
			clear(c)
			c["objectType"], c["includeClusterScopeResources"], c["conflictPolicy"], c["persistentVolumeRestoreMode"] = "KubernetesClusterRestoreCriteria", true, "patch", "restorewithoutvolumedata"
			c["coffer"] = map[string]any{
				"confirmReplace": true, "conflictPolicies": []any{map[string]any{"type": "v1/ConfigMap", "policy": "replace"}}, "priorities": []any{"v1/Secret", "-"},
				"storageClassMappings": map[string]any{"slow": "fast"}, "preserveNodePorts": true, "readyTimeout": "90s", "planOnly": true, "restoreRolloutHistory": true, "storageLocation": "away",
				"restoreStatus": map[string]any{"includedTypes": []any{"v1/Service"}}, "planDigest": "sha256:" + strings.Repeat("0", 64),
			}
		}, Restore{Point: "rp1", Tier: "OperationalStore", Target: aks1, Original: true, Location: "away"}, func(s *v1alpha1.RestoreSpec) {
			if err := json.Unmarshal([]byte(`{"conflictPolicy":"Patch","persistentVolumeRestoreMode":"RestoreWithoutVolumeData","confirmReplace":true,
				"conflictPolicies":[{"type":"v1/ConfigMap","policy":"Replace"}],"priorities":["v1/Secret","-"],"storageClassMappings":{"slow":"fast"},"preserveNodePorts":true,
				"readyTimeout":"90s","planOnly":true,"restoreRolloutHistory":true,"restoreStatus":{"includedTypes":["v1/Service"]},"planDigest":"sha256:`+strings.Repeat("0", 64)+`"}`), s); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := checkRestore(t, request(tt.change), vault.Settings{})
			if err != nil {
				t.Fatal(err)
			}
			want := bare
			tt.spec(&want)
			if diff := cmp.Diff(mustJSON(t, want), mustJSON(t, got.Spec("backup-1", "here"))); diff != "" {
				t.Errorf("spec (-want +got):\n%s", diff)
			}
			got.spec = v1alpha1.RestoreSpec{}
			if tt.want.Location == "" {
				tt.want.Location = DefaultLocation
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(Restore{})); diff != "" {
				t.Errorf("restore (-want +got):\n%s", diff)
			}
		})
	}
}

func TestARestoreThatCannotBeMadeIsRefused(t *testing.T) {
	const (
		target   = "restoreRequestObject.restoreTargetInfo"
		criteria = target + ".restoreCriteria[0]"
	)
	set := func(field string, value any) func(r, t, c map[string]any) {
		return func(_, _, c map[string]any) { c[field] = value }
	}
	inTarget := func(field string, value any) func(r, t, c map[string]any) {
		return func(_, t, _ map[string]any) { t[field] = value }
	}
	inEast := func(_, t, _ map[string]any) {
		for _, of := range []string{"datasourceInfo", "datasourceSetInfo"} {
			t[of].(map[string]any)["resourceLocation"] = "eastus"
		}
	}
	in := func(field string, value any) func(r, t, c map[string]any) {
		return func(r, _, _ map[string]any) { r[field] = value }
	}
	options := func(field string, value any) func(r, t, c map[string]any) {
		return set("coffer", map[string]any{field: value})
	}
	toElsewhere := func(_, t, _ map[string]any) {
		t["datasourceInfo"], t["datasourceSetInfo"] = datasource("Datasource", elsewhere), nil
	}
	for _, tt := range []struct {
		name       string
		change     func(r, t, c map[string]any)
		settings   vault.Settings
		path, want string
		code       coffer.Code
	}{
		{"a point in time", in("objectType", "AzureBackupRecoveryTimeBasedRestoreRequest"), vault.Settings{}, "restoreRequestObject.objectType", "asks for a point in time", ""},
		{"a rehydration", in("objectType", "AzureBackupRestoreWithRehydrationRequest"), vault.Settings{}, "restoreRequestObject.objectType", "never in the archive tier", ""},
		{"no recovery point", in("recoveryPointId", nil), vault.Settings{}, "restoreRequestObject.recoveryPointId", "is missing", ""},
		{"a recovery point of another instance", in("recoveryPointId", strings.Replace(instanceID, "i1", "i2", 1)+"/recoveryPoints/rp1"), vault.Settings{}, "restoreRequestObject.recoveryPointId", "has no such recovery point", coffer.CodeBackupNotFound},
		{"the archive tier", in("sourceDataStoreType", "ArchiveStore"), vault.Settings{}, "restoreRequestObject.sourceDataStoreType", "expected OperationalStore or VaultStore", ""},
		{"another source", in("sourceResourceId", aks2), vault.Settings{}, "restoreRequestObject.sourceResourceId", "not the cluster that the backup instance backs up", ""},
		{"no target", in("restoreTargetInfo", nil), vault.Settings{}, target, "is missing", ""},
		{"a target of files", inTarget("objectType", "RestoreFilesTargetInfo"), vault.Settings{}, target + ".objectType", "expected ItemLevelRestoreTargetInfo", ""},
		{"another recovery option", inTarget("recoveryOption", "Overwrite"), vault.Settings{}, target + ".recoveryOption", "expected FailIfExists", ""},
		{"no cluster", inTarget("datasourceInfo", nil), vault.Settings{}, target + ".datasourceInfo", "is missing", ""},
		{"a set that is another cluster", inTarget("datasourceSetInfo", datasource("DatasourceSet", aks2)), vault.Settings{}, target + ".datasourceSetInfo.resourceID", "that of the datasource itself is", coffer.CodeInvalidWorkflowData},
		{"another region", inTarget("restoreLocation", "northeurope"), vault.Settings{}, target + ".restoreLocation", "and the vault is in westeurope", ""},
		{"a cluster of another region", inEast, vault.Settings{}, target + ".datasourceInfo.resourceLocation", "and the vault is in westeurope, which is paired with northeurope", ""},
		{"the paired region from the operational tier", inTarget("restoreLocation", "northeurope"), vault.Settings{Redundancy: arm.GeoRedundant, CrossRegion: arm.StateEnabled}, target + ".restoreLocation", "where recovery points of the OperationalStore stay", ""},
		{"another subscription", toElsewhere, vault.Settings{CrossSubscription: arm.StateDisabled}, target + ".datasourceInfo.resourceID", "cross-subscription restore of the vault is Disabled", ""},
		{"another subscription, for ever", toElsewhere, vault.Settings{CrossSubscription: arm.StatePermanentlyDisabled}, target + ".datasourceInfo.resourceID", "is disabled permanently", ""},
		{"no criteria", inTarget("restoreCriteria", []any{}), vault.Settings{}, target + ".restoreCriteria", "is missing", ""},
		{"two criteria", func(_, t, c map[string]any) { t["restoreCriteria"] = []any{c, c} }, vault.Settings{}, target + ".restoreCriteria", "has 2 elements: at most 1", ""},
		{"criteria of volumes", set("objectType", "KubernetesPVRestoreCriteria"), vault.Settings{}, criteria + ".objectType", "expected KubernetesClusterRestoreCriteria or KubernetesClusterVaultTierRestoreCriteria", ""},
		{"criteria of the other tier", set("objectType", "KubernetesClusterVaultTierRestoreCriteria"), vault.Settings{}, criteria + ".objectType", "and the restore is from the OperationalStore", ""},
		{"the other tier", in("sourceDataStoreType", "VaultStore"), vault.Settings{}, criteria + ".objectType", "and the restore is from the VaultStore", ""},
		{"no staging", func(r, target, c map[string]any) { fromVault(r, target, c); c["stagingResourceGroupId"] = nil }, vault.Settings{}, criteria + ".stagingResourceGroupId", "is missing", ""},
		{"staging in another subscription", func(r, target, c map[string]any) {
			fromVault(r, target, c)
			c["stagingStorageAccountId"] = strings.Replace(account, "s1", "s2", 1)
		}, vault.Settings{}, criteria + ".stagingStorageAccountId", "is of the subscription s2, and the target of s1", ""},
		{"no word on cluster-scoped objects", set("includeClusterScopeResources", nil), vault.Settings{}, criteria + ".includeClusterScopeResources", "is missing", ""},
		{"needed cluster-scoped objects and all", options("onlyNeededClusterScopeResources", true), vault.Settings{}, criteria + ".includeClusterScopeResources", "onlyNeededClusterScopeResources is too", ""},
		{"a conflict policy that is none", set("conflictPolicy", "Overwrite"), vault.Settings{}, criteria + ".conflictPolicy", "expected Skip, Patch, Replace or Fail", ""},
		{"a replacement that is not confirmed", set("conflictPolicy", "Replace"), vault.Settings{}, criteria, "is not confirmed", ""},
		{"a mode that is none", set("persistentVolumeRestoreMode", "Maybe"), vault.Settings{}, criteria + ".persistentVolumeRestoreMode", "expected RestoreWithVolumeData or RestoreWithoutVolumeData", ""},
		{"a mapping to nothing", set("namespaceMappings", map[string]any{"a": nil}), vault.Settings{}, criteria + ".namespaceMappings", `maps "a" to ""`, ""},
		{"two mappings to one", set("namespaceMappings", map[string]any{"a": "c", "b": "c"}), vault.Settings{}, criteria, `both mapped to "c"`, ""},
		{"a namespace that is none", set("excludedNamespaces", []any{"_"}), vault.Settings{}, criteria + ".excludedNamespaces[0]", "not the name of a namespace", ""},
		{"a hook without a name", set("restoreHookReferences", []any{map[string]any{"namespace": "a"}}), vault.Settings{}, criteria + ".restoreHookReferences[0].name", "which no object is called", ""},
		{"a modifier without a namespace", set("resourceModifierReference", map[string]any{"name": "a"}), vault.Settings{}, criteria + ".resourceModifierReference.namespace", "which no namespace is called", ""},
		{"a plan's digest that is none", options("planDigest", "sha256:1"), vault.Settings{}, criteria + ".coffer.planDigest", "64 hexadecimal digits", ""},
		{"a timeout that is none", options("readyTimeout", "25h"), vault.Settings{}, criteria + ".coffer.readyTimeout", `is "25h"`, ""},
		{"a policy for a type that is none", options("conflictPolicies", []any{map[string]any{"type": "a b", "policy": "Skip"}}), vault.Settings{}, criteria + ".coffer.conflictPolicies[0].type", "is not a resource type", ""},
		{"a type's policy that is none", options("conflictPolicies", []any{map[string]any{"type": "v1/Secret", "policy": "Burn"}}), vault.Settings{}, criteria + ".coffer.conflictPolicies[0].policy", `is "Burn"`, ""},
		{"a priority that is none", options("priorities", []any{"v1/Secret", "a b"}), vault.Settings{}, criteria + ".coffer.priorities[1]", "is not a resource type", ""},
		{"two dashes", options("priorities", []any{"-", "-"}), vault.Settings{}, criteria, "more than once", ""},
		{"a storage class that is none", options("storageClassMappings", map[string]any{"a": "B C"}), vault.Settings{}, criteria + ".coffer.storageClassMappings", "not both names of storage classes", ""},
		{"a status of a type that is none", options("restoreStatus", map[string]any{"includedTypes": []any{"a b"}}), vault.Settings{}, criteria + ".coffer.restoreStatus.includedTypes[0]", "is not a resource type", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := checkRestore(t, request(tt.change), tt.settings)
			fields := coffer.RefusedFields(err)
			if !slices.ContainsFunc(fields, func(f coffer.RefusedField) bool { return f.Path == tt.path && strings.Contains(f.Reason, tt.want) }) {
				t.Errorf("got %v, want %s: %s", err, tt.path, tt.want)
			} else if len(fields) > 2 {
				t.Errorf("one mistake is told as %d: %+v", len(fields), fields)
			}
			want := tt.code
			if want == "" {
				want = coffer.CodeInvalidInput
			}
			if coffer.CodeOf(err) != want {
				t.Errorf("code %s, want %s", coffer.CodeOf(err), want)
			}
		})
	}
	if _, err := checkRestore(t, request(toElsewhere), vault.Settings{CrossSubscription: arm.StateEnabled}); err != nil {
		t.Errorf("another subscription that is allowed: %v", err)
	}
}

func TestTheVaultTierIsRestoredToThePairedRegion(t *testing.T) {
	north := request(func(r, target, c map[string]any) {
		fromVault(r, target, c)
		target["restoreLocation"] = "North Europe"
		target["datasourceInfo"].(map[string]any)["resourceLocation"] = "northeurope"
		target["datasourceSetInfo"].(map[string]any)["resourceLocation"] = "northeurope"
	})
	if _, err := checkRestore(t, north, vault.Settings{Redundancy: arm.GeoRedundant, CrossRegion: arm.StateEnabled}); err != nil {
		t.Error(err)
	}
	_, err := checkRestore(t, north, vault.Settings{Redundancy: arm.GeoRedundant, CrossRegion: arm.StateDisabled})
	if coffer.CodeOf(err) != coffer.CodeInvalidInput || !strings.Contains(err.Error(), "crossRegionRestoreSettings.state of the vault to Enabled") {
		t.Errorf("not enabled: %v", err)
	}
}

func TestARecoveryPointIsRestoredFromATierThatHasIt(t *testing.T) {
	for _, tt := range []struct {
		name  string
		tiers []arm.Word
		code  coffer.Code
		want  string
	}{
		{"it is nowhere", nil, coffer.CodeBackupNotFound, "has no such recovery point"},
		{"it has expired there", []arm.Word{arm.VaultStore}, coffer.CodeInvalidInput, "write VaultStore"},
		{"it is there", []arm.Word{arm.VaultStore, arm.OperationalStore}, "", ""},
	} {
		_, err := CheckRestore(RestoreCase{
			Instance: instanceID, Cluster: aks1, Settings: vault.Settings{Location: "westeurope"}, Tiers: tt.tiers,
			Request: decode[arm.RestoreRequest](t, request(nil)),
		})
		if coffer.CodeOf(err) != tt.code || tt.want != "" && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestASpecIsItsOwn(t *testing.T) {
	r, err := checkRestore(t, request(nil), vault.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	r.Spec("a", "b").NamespaceMappings["app"] = "changed"
	if got := r.Spec("c", "d"); got.NamespaceMappings["app"] != "app2" || got.BackupName != "c" {
		t.Errorf("a spec is shared with another: %+v", got)
	}
}

func FuzzCheckRestore(f *testing.F) {
	for _, change := range []func(r, target, c map[string]any){nil, fromVault} {
		text, err := json.Marshal(request(change))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"recoveryPointId":"/","restoreTargetInfo":{"objectType":"ItemLevelRestoreTargetInfo","restoreCriteria":[{"coffer":{"restoreStatus":{}}}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		request, err := arm.Decode[arm.RestoreRequest](text)
		if err != nil {
			return
		}
		got, err := CheckRestore(RestoreCase{
			Instance: instanceID, Cluster: aks1, Settings: vault.Settings{Location: "westeurope"},
			Tiers: []arm.Word{arm.OperationalStore, arm.VaultStore}, Request: &request,
		})
		if err != nil {
			if coffer.CodeOf(err) == "" || len(coffer.RefusedFields(err)) == 0 {
				t.Fatalf("%s: %v", text, err)
			}
			return
		}
		if spec := got.Spec("backup", ""); spec.BackupName == "" || got.Point == "" || got.Target.Subscription() != catalogue.ID(aks1).Subscription() {
			t.Fatalf("%s: %+v", text, got)
		}
	})
}
