package main

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
)

func TestSettingsReachTheClusterWhateverDies(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	at := freeAddress(t)
	p, c := launched(t, folder, "--link-listen", at, "--link-address", at)
	group := "/subscriptions/" + c.SubscriptionID + "/resourceGroups/g"
	id := group + "/providers/Microsoft.ContainerService/managedClusters/c1"
	extension := id + "/providers/Microsoft.KubernetesConfiguration/extensions/azure-aks-backup"
	p.must(http.MethodPut, group, clusterBody)
	p.must(http.MethodPut, id, clusterBody)

	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objects := fake.NewClientBuilder().WithScheme(scheme).WithObjects(&v1alpha1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: "coffer", Name: "default"}, Spec: v1alpha1.BackupStorageLocationSpec{Provider: "filesystem", Container: "backups"},
		Status: v1alpha1.BackupStorageLocationStatus{Phase: v1alpha1.StorageLocationAvailable},
	}).Build()
	one := newCluster(t, "uid-1")
	one.hello.Settings, one.hello.SettingsByOwner = true, true
	one.settings = connector.NewLocation(connector.LocationConfig{Client: objects, Namespace: "coffer", Name: "default", Allowed: true, Log: slog.New(slog.DiscardHandler)})
	stop := one.connect(p.must(http.MethodPost, id+"/providers/Coffer.Backup/joinToken", "", "token"))
	eventually(t, "the cluster is connected", func() bool { return p.stateOf(id) == "Connected" })
	named := func(container string) string {
		return `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes","configurationSettings":{"blobContainer":"` + container + `","storageAccount":"shopbackups"}}}`
	}
	is := func(container string) func() bool {
		return func() bool {
			var l v1alpha1.BackupStorageLocation
			if err := objects.Get(t.Context(), client.ObjectKey{Namespace: "coffer", Name: "default"}, &l); err != nil {
				t.Fatal(err)
			}
			return l.Spec.Container == container && l.Spec.Azure != nil && l.Spec.Azure.StorageAccount == "shopbackups" &&
				p.must(http.MethodGet, extension, "", "properties", "coffer", "storageLocation", "state") == "Applied"
		}
	}
	p.must(http.MethodPut, extension, named("shop"))
	eventually(t, "the settings are applied", is("shop"))
	// The server dies once it has taken others, and before the cluster has heard of them.
	stop()
	p.must(http.MethodPut, extension, named("others"))
	p.kill()
	stop = one.connect("")
	p = launch(t, folder, "--link-listen", at, "--link-address", at)
	p.login()
	eventually(t, "the settings are applied by the next server", is("others"))
	stop()
	if state := p.must(http.MethodGet, extension, "", "properties", "provisioningState"); state != "Succeeded" {
		t.Errorf("it is %s", state)
	}
}
