//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// extensionState is the extension's resource of a cluster as the server shows it.
type extensionState struct {
	ProvisioningState string
	Coffer            struct {
		StorageLocation struct {
			State, Message, Command string
			Found                   struct{ Container, Phase string }
		}
	}
}

func (v *vaulted) extensionID(cluster string) string {
	return v.clusterID(cluster) + "/providers/Microsoft.KubernetesConfiguration/extensions/azure-aks-backup"
}

// awaitLocation waits until the server says something of the storage location that the settings of the first cluster name.
func (v *vaulted) awaitLocation(t *testing.T, what string, is func(extensionState) bool) (e extensionState) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("the server says %+v", e)
		}
	}()
	eventually(t, "the extension's settings are "+what, 2*time.Minute, func(context.Context) (bool, error) {
		var shown struct{ Properties extensionState }
		text, _, code := v.exec(t, "", "rest", "GET", v.extensionID(firstCluster))
		if err := json.Unmarshal([]byte(text), &shown); err != nil || code != 0 {
			return false, err
		}
		e = shown.Properties
		return is(e), nil
	})
	return e
}

// name has the settings of the first cluster's extension name a container.
func (v *vaulted) name(t *testing.T, container string) {
	t.Helper()
	v.must(t, "rest", "PATCH", v.extensionID(firstCluster), "--body", mustFile(t, fmt.Sprintf(`{"properties":{"configurationSettings":{
		"configuration.backupStorageLocation.bucket":%q,"configuration.backupStorageLocation.config.storageAccount":"e2efolder"}}}`, container)))
}

// location is where the first cluster writes to.
func location(t *testing.T) (l v1alpha1.BackupStorageLocation) {
	t.Helper()
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "default"}, &l); err != nil {
		t.Fatal(err)
	}
	return l
}

// settings has the first cluster write to another container and back again, as the settings of its extension's resource say.
func (j *protection) settings(t *testing.T) {
	account := j.group + "/providers/Microsoft.Storage/storageAccounts/e2efolder"
	j.must(t, "rest", "PUT", account, "--body", mustFile(t, `{"location":"westeurope","properties":{"coffer":{"provider":"filesystem"}}}`))
	t.Cleanup(func() {
		_, _, _ = j.exec(t, "", "rest", "PUT", j.extensionID(firstCluster), "--body", mustFile(t, `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes"}}`))
		j.join(t, lab, firstCluster, "--allow-settings-by-owner=false")
		_, _, _ = j.exec(t, "", "rest", "DELETE", account)
	})
	at := func(container string) func(extensionState) bool {
		return func(e extensionState) bool {
			l := e.Coffer.StorageLocation
			return l.State == "Applied" && l.Found.Container == container && l.Found.Phase == "Available" && e.ProvisioningState == "Succeeded"
		}
	}
	j.name(t, "missing")
	e := j.awaitLocation(t, "different from the cluster", func(e extensionState) bool { return e.Coffer.StorageLocation.State == "Differs" })
	if l := e.Coffer.StorageLocation; l.Found.Container != "backups" || !strings.HasPrefix(l.Command, "coffer cluster join "+j.clusterID(firstCluster)+" --provider filesystem --container missing") {
		t.Errorf("it says %+v", l)
	}
	if out := j.must(t, "cluster", "show", firstCluster); !strings.Contains(out, "Differs") || !strings.Contains(out, "--container missing") {
		t.Errorf("coffer cluster show: %s", out)
	}
	if l := location(t); l.Spec.Container != "backups" {
		t.Fatalf("it was moved without its owner's word: %+v", l.Spec)
	}

	// The folder is made when the extension is installed, and not by settings: that there is none is said.
	j.join(t, lab, firstCluster, "--allow-settings-by-owner")
	e = j.awaitLocation(t, "applied, and of no use", func(e extensionState) bool { return e.Coffer.StorageLocation.Found.Phase == "Unavailable" })
	if l := e.Coffer.StorageLocation; l.State != "Applied" || l.Found.Container != "missing" || e.ProvisioningState != "Failed" || !strings.Contains(l.Message, "cannot be used: ") {
		t.Errorf("of a container that is not there it says %+v", e)
	}
	folder := lab.blobs + "/settled"
	if err := errors.Join(os.MkdirAll(folder, 0o777), os.Chmod(folder, 0o777)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	j.name(t, "settled")
	j.awaitLocation(t, "applied", at("settled"))
	l := location(t)
	if l.Spec.Container != "settled" || slices.ContainsFunc(l.ManagedFields, func(f metav1.ManagedFieldsEntry) bool { return f.Manager == "coffer-connector" }) {
		t.Errorf("it is %+v, and held by %+v", l.Spec, l.ManagedFields)
	}
	j.connectorMustNotBeyondSettings(t)
	// An upgrade neither is refused nor takes it back, not even for a moment.
	generation := l.Generation
	if err := lab.install(); err != nil {
		t.Fatal(err)
	}
	if l := location(t); l.Spec.Container != "settled" || l.Generation != generation {
		t.Errorf("after an upgrade it is %+v, generation %d after %d", l.Spec, l.Generation, generation)
	}
	j.name(t, "backups")
	j.awaitLocation(t, "taken back", at("backups"))
}

// connectorMustNotBeyondSettings tries, by the token of a connector that may move the storage location, what else there is to move.
func (j *protection) connectorMustNotBeyondSettings(t *testing.T) {
	t.Helper()
	own := asConnector(t, rest.ImpersonationConfig{})
	other := &v1alpha1.BackupStorageLocation{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "another"}, Spec: v1alpha1.BackupStorageLocationSpec{Provider: "filesystem", Container: "another", ReadOnly: true},
	}
	if err := lab.client.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lab.client.Delete(context.WithoutCancel(t.Context()), other) }()
	elsewhere := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"container":"elsewhere"}}`))
	at := func(name string) *v1alpha1.BackupStorageLocation {
		return &v1alpha1.BackupStorageLocation{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	}
	mustBeForbidden(t, "as a connector that may move the storage location", map[string]func() error{
		"move another one": func() error { return own.Patch(t.Context(), at("another"), elsewhere, client.DryRunAll) },
		"read another one": func() error { return own.Get(t.Context(), client.ObjectKeyFromObject(other), at("another")) },
		"list them": func() error {
			return own.List(t.Context(), &v1alpha1.BackupStorageLocationList{}, client.InNamespace(namespace))
		},
		"make one":   func() error { return own.Create(t.Context(), at("third"), client.DryRunAll) },
		"replace it": func() error { l := location(t); return own.Update(t.Context(), &l, client.DryRunAll) },
		"delete it":  func() error { return own.Delete(t.Context(), at("default"), client.DryRunAll) },
		"say how it is": func() error {
			return own.SubResource("status").Patch(t.Context(), at("default"), client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"Available"}}`)))
		},
		"move one of another namespace": func() error {
			l := at("default")
			l.Namespace = "default"
			return own.Patch(t.Context(), l, elsewhere, client.DryRunAll)
		},
		"read secrets": func() error { return own.List(t.Context(), &corev1.SecretList{}, client.InNamespace(namespace)) },
	})
}
