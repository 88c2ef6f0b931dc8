package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/decide/instance"
	"github.com/coffer-backup/coffer/internal/decide/vault"
)

// What somebody has asked for by flags is what the cluster is told in the end: a field that is lost on the way would restore something else.
func TestTheServerReadsARestoreAsItWasAskedFor(t *testing.T) {
	yes, none := true, false
	usual := v1alpha1.RestoreSpec{PersistentVolumeRestoreMode: v1alpha1.RestoreWithVolumeData, ConflictPolicy: v1alpha1.ConflictSkip}
	everything := v1alpha1.RestoreSpec{
		IncludedNamespaces: []string{"shop"}, ExcludedNamespaces: []string{"shop-test"}, NamespaceMappings: map[string]v1alpha1.NamespaceName{"shop": "copy"},
		IncludedResourceTypes: []string{"apps/Deployment"}, ExcludedResourceTypes: []string{"v1/Secret"}, LabelSelectors: []string{"a in (b,c)"},
		IncludeClusterScopeResources: &yes, PersistentVolumeRestoreMode: v1alpha1.RestoreWithoutVolumeData, ConflictPolicy: v1alpha1.ConflictPatch,
		ConflictPolicies: []v1alpha1.TypeConflictPolicy{{Type: "v1/ConfigMap", Policy: v1alpha1.ConflictReplace}}, ConfirmReplace: true,
		RestoreRolloutHistory: true, Priorities: []string{"v1/Secret", "-"}, PlanDigest: "sha256:" + strings.Repeat("0", 64),
		RestoreHookReferences: []v1alpha1.NamespacedReference{{Namespace: "shop", Name: "warm"}}, ResourceModifierReference: &v1alpha1.NamespacedReference{Namespace: "shop", Name: "m"},
		StorageClassMappings: map[string]v1alpha1.StorageClassName{"slow": "fast"}, PreserveNodePorts: true,
		RestoreStatus: &v1alpha1.StatusSelection{IncludedTypes: []string{"v1/Service"}}, ReadyTimeout: &metav1.Duration{Duration: 90 * time.Second},
	}
	alternatives, objects, without := usual, usual, usual
	alternatives.OrLabelSelectors = []string{"a=b", "c=d"}
	objects.IncludedObjects = []v1alpha1.ObjectName{{Type: "v1/Secret", Namespace: "shop", Name: "login"}}
	without.IncludeClusterScopeResources, without.ReadyTimeout, without.PlanOnly = &none, &metav1.Duration{}, true
	seen := map[string]bool{"BackupName": true, "StorageLocation": true, "Cancel": true}
	for name, spec := range map[string]v1alpha1.RestoreSpec{
		"the usual": usual, "everything": everything, "alternatives": alternatives, "objects": objects, "no cluster-scoped objects": without,
	} {
		v := reflect.ValueOf(spec)
		for i := range v.NumField() {
			seen[v.Type().Field(i).Name] = seen[v.Type().Field(i).Name] || !v.Field(i).IsZero()
		}
		got, err := asServerReads(t, restoreCriteria(spec))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(spec, got); diff != "" {
			t.Errorf("%s (-asked for +read):\n%s", name, diff)
		}
	}
	for field, ok := range seen {
		if !ok {
			t.Errorf("nothing asks for %s", field)
		}
	}
}

// asServerReads is what the server makes of criteria for the cluster.
func asServerReads(t *testing.T, c arm.RestoreCriteria) (v1alpha1.RestoreSpec, error) {
	t.Helper()
	const cluster = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c"
	const id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v/backupInstances/i"
	text, err := json.Marshal(arm.RestoreRequest{
		ObjectType: arm.TypePointRestore, RecoveryPointID: "p", SourceDataStoreType: arm.OperationalStore,
		RestoreTargetInfo: &arm.RestoreTargetInfo{
			ObjectType: arm.TypeItemTarget, RecoveryOption: arm.FailIfExists, RestoreCriteria: []arm.RestoreCriteria{c},
			DatasourceInfo: &arm.Datasource{DatasourceType: arm.ManagedClusters, ResourceID: cluster},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	request, err := arm.Decode[arm.RestoreRequest](text)
	if err != nil {
		return v1alpha1.RestoreSpec{}, err
	}
	read, err := instance.CheckRestore(instance.RestoreCase{
		Instance: id, Cluster: cluster, Settings: vault.Settings{Location: "westeurope"}, Tiers: []arm.Word{arm.OperationalStore}, Request: &request, At: "request",
	})
	return read.Spec("", ""), err
}
