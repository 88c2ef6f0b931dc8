package charts

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// clusterOf is what a chart looks up.
type clusterOf struct{ objects []runtime.Object }

// GetClientFor implements engine.ClientProvider.
func (c clusterOf) GetClientFor(apiVersion, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, false, err
	}
	of := schema.FromAPIVersionAndKind(apiVersion, kind)
	resource := of.GroupVersion().WithResource("backupstoragelocations")
	return fake.NewSimpleDynamicClient(scheme, c.objects...).Resource(resource), true, nil
}

// locationIn is the spec that the chart has for the location of a cluster.
func locationIn(t *testing.T, live *v1alpha1.BackupStorageLocation, set ...string) v1alpha1.BackupStorageLocationSpec {
	t.Helper()
	loaded, err := loader.Load(ExtensionFolder)
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]any{}
	for _, s := range set {
		if err := strvals.ParseInto(s, given); err != nil {
			t.Fatal(err)
		}
	}
	all, err := util.ToRenderValues(loaded, given, common.ReleaseOptions{Name: "rel", Namespace: "ns", IsUpgrade: true}, common.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	var cluster clusterOf
	if live != nil {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(live)
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{Object: fields}
		object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("BackupStorageLocation"))
		cluster.objects = append(cluster.objects, object)
	}
	files, err := engine.RenderWithClientProvider(loaded, all, cluster)
	if err != nil {
		t.Fatal(err)
	}
	var got v1alpha1.BackupStorageLocation
	if err := yaml.Unmarshal([]byte(files["coffer-extension/templates/storage.yaml"]), &got); err != nil {
		t.Fatal(err)
	}
	return got.Spec
}

func TestALocationThatSettingsHaveChangedIsNotTakenBackByAnUpgrade(t *testing.T) {
	const note = `{"from":{"provider":"azure","container":"backups","storageAccount":"shop"},"to":{"provider":"s3","container":"bucket","endpoint":"https://x"}}`
	live := func(container, note string) *v1alpha1.BackupStorageLocation {
		l := &v1alpha1.BackupStorageLocation{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "default"},
			Spec:       v1alpha1.BackupStorageLocationSpec{Provider: "s3", Container: container, S3: &v1alpha1.S3Storage{Endpoint: "https://x", ForcePathStyle: true}},
		}
		if note != "" {
			l.Annotations = map[string]string{v1alpha1.AnnotationSettings: note}
		}
		return l
	}
	allowed := []string{"connector.enabled=true", "connector.allowSettingsByOwner=true", "storageLocation.provider=azure", "storageLocation.azure.storageAccount=shop"}
	asValues := v1alpha1.BackupStorageLocationSpec{Provider: "azure", Container: "backups", Azure: &v1alpha1.AzureStorage{StorageAccount: "shop"}}
	other := asValues
	other.Container = "mine"
	for name, tt := range map[string]struct {
		live *v1alpha1.BackupStorageLocation
		set  []string
		want v1alpha1.BackupStorageLocationSpec
	}{
		"none is there":                        {nil, allowed, asValues},
		"nobody has changed it":                {live("bucket", ""), allowed, asValues},
		"the settings have changed it":         {live("bucket", note), allowed, live("bucket", "").Spec},
		"somebody has changed it since":        {live("another", note), allowed, asValues},
		"its owner has other values":           {live("bucket", note), append(allowed[:4:4], "storageLocation.container=mine"), other},
		"its owner does not let them any more": {live("bucket", note), append([]string{"connector.enabled=true"}, allowed[2:]...), asValues},
		"there is no connector any more":       {live("bucket", note), append([]string{"connector.enabled=false"}, allowed[1:]...), asValues},
	} {
		if diff := cmp.Diff(tt.want, locationIn(t, tt.live, tt.set...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
