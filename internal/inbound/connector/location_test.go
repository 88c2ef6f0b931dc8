package connector_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
)

// locations are a cluster's storage locations: one for runs, and another one.
func locations(t *testing.T, intercept interceptor.Funcs) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	made := func(name string) client.Object {
		return &v1alpha1.BackupStorageLocation{
			ObjectMeta: metav1.ObjectMeta{Namespace: "coffer", Name: name, Generation: 2, Labels: map[string]string{"of": "the chart"}},
			Spec: v1alpha1.BackupStorageLocationSpec{
				Provider: v1alpha1.ProviderS3, Container: "backups", Prefix: "prod", CredentialsSecretRef: &v1alpha1.SecretReference{Name: "keys"},
				S3: &v1alpha1.S3Storage{Endpoint: "https://minio:9000/", Region: "r"},
			},
			Status: v1alpha1.BackupStorageLocationStatus{Phase: v1alpha1.StorageLocationAvailable, Message: "well", ObservedGeneration: 2},
		}
	}
	return clientfake.NewClientBuilder().WithScheme(scheme).WithReturnManagedFields().WithObjects(made("default"), made("other")).WithInterceptorFuncs(intercept).Build()
}

// linkedLocation is a cluster with storage locations, as a server has it.
func linkedLocation(t *testing.T, objects client.Client, allowed bool) catalogue.Configurable {
	t.Helper()
	s := newServer(t, nil)
	newCluster(t, s.token(clusterID(1)).String(), func(c *cluster, settings *connector.Config) {
		settings.Settings = connector.NewLocation(connector.LocationConfig{Client: objects, Namespace: "coffer", Name: "default", Allowed: allowed, Log: c.log.logger()})
	})
	return s.mustSession(t, clusterID(1)).(catalogue.Configurable)
}

func mustLocation(t *testing.T, objects client.Client, name string) v1alpha1.BackupStorageLocation {
	t.Helper()
	var got v1alpha1.BackupStorageLocation
	if err := objects.Get(t.Context(), client.ObjectKey{Namespace: "coffer", Name: name}, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestTheServerMovesOneStorageLocationWithinItsCredentials(t *testing.T) {
	objects := locations(t, interceptor.Funcs{})
	before, other := mustLocation(t, objects, "default"), mustLocation(t, objects, "other")
	cluster := linkedLocation(t, objects, true)
	is := catalogue.StorageLocation{Provider: "s3", Container: "backups", Endpoint: "https://minio:9000"}
	want := catalogue.FoundLocation{StorageLocation: is, Phase: "Available", Message: "well"}
	if got, err := cluster.Location(t.Context()); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if got, err := cluster.SetLocation(t.Context(), is); err != nil || got != want {
		t.Errorf("where it is: %+v, %v", got, err)
	}
	if now := mustLocation(t, objects, "default"); now.ResourceVersion != before.ResourceVersion {
		t.Error("it is written for nothing")
	}
	for name, elsewhere := range map[string]catalogue.StorageLocation{
		"another endpoint":   {Provider: "s3", Container: "backups", Endpoint: "https://evil:9000"},
		"another provider":   {Provider: "azure", Container: "backups", StorageAccount: "evil"},
		"no location":        {Provider: "s3", Container: "../../x", Endpoint: "https://minio:9000"},
		"one with a command": {Provider: "s3", Container: "backups", Endpoint: "https://minio:9000;reboot"},
	} {
		if _, err := cluster.SetLocation(t.Context(), elsewhere); coffer.CodeOf(err) != coffer.CodeForbidden || !coffer.Final(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now := mustLocation(t, objects, "default"); now.ResourceVersion != before.ResourceVersion {
		t.Errorf("it is %+v", now.Spec)
	}
	is.Container = "shop"
	got, err := cluster.SetLocation(t.Context(), is)
	if err != nil || got.StorageLocation != is || !got.Changed {
		t.Errorf("another container: %+v, %v", got, err)
	}
	now := mustLocation(t, objects, "default")
	wanted := *before.Spec.DeepCopy()
	wanted.Container = "shop"
	if diff := cmp.Diff(wanted, now.Spec); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	const note = `{"from":{"provider":"s3","container":"backups","endpoint":"https://minio:9000/"},"to":{"provider":"s3","container":"shop","endpoint":"https://minio:9000/"}}`
	if now.Annotations[v1alpha1.AnnotationSettings] != note || now.Labels["of"] != "the chart" {
		t.Errorf("its metadata is %+v", now.ObjectMeta)
	}
	for _, f := range now.ManagedFields {
		if f.Manager == "coffer-connector" {
			t.Errorf("the connector holds %s", f.FieldsV1)
		}
	}
	// It is moved on: what the chart has made of it stays what it was changed from.
	is.Container = "third"
	if _, err := cluster.SetLocation(t.Context(), is); err != nil {
		t.Fatal(err)
	}
	if got := mustLocation(t, objects, "default").Annotations[v1alpha1.AnnotationSettings]; got != strings.Replace(note, "shop", "third", 1) {
		t.Errorf("the annotation is %s", got)
	}
	if diff := cmp.Diff(other, mustLocation(t, objects, "other")); diff != "" {
		t.Errorf("the other one (-before +now):\n%s", diff)
	}
}

func TestTheServerIsToldWhyALocationIsNotMoved(t *testing.T) {
	wanted := catalogue.StorageLocation{Provider: "s3", Container: "shop", Endpoint: "https://minio:9000"}
	of := schema.GroupResource{Group: v1alpha1.Group, Resource: "backupstoragelocations"}
	patched := func(err error) interceptor.Funcs {
		return interceptor.Funcs{Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return err
		}}
	}
	for name, tt := range map[string]struct {
		api     interceptor.Funcs
		allowed bool
		final   bool
		words   string
	}{
		"its owner has not let it":    {interceptor.Funcs{}, false, true, "coffer cluster join --allow-settings-by-owner"},
		"RBAC does not":               {patched(apierrors.NewForbidden(of, "default", nil)), true, true, "connector.allowSettingsByOwner"},
		"the API server refuses it":   {patched(apierrors.NewInvalid(schema.GroupKind{Kind: "BackupStorageLocation"}, "default", nil)), true, true, "refuses it"},
		"somebody else was faster":    {patched(apierrors.NewConflict(of, "default", nil)), true, false, "does not reach"},
		"the API server is not there": {patched(io.ErrUnexpectedEOF), true, false, "does not reach"},
		"there is none": {interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return apierrors.NewNotFound(of, "default")
		}}, true, true, "there is no BackupStorageLocation default"},
	} {
		_, err := linkedLocation(t, locations(t, tt.api), tt.allowed).SetLocation(t.Context(), wanted)
		if coffer.Final(err) != tt.final || err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAServerSetsNothingBesideWhatSettingsName(t *testing.T) {
	objects := locations(t, interceptor.Funcs{})
	handler := connector.NewLocation(connector.LocationConfig{Client: objects, Namespace: "coffer", Name: "default", Allowed: true, Log: (&logs{}).logger()})
	good := `{"provider":"s3","container":"shop","endpoint":"https://minio:9000"}`
	for name, r := range map[string]struct{ method, path, body string }{
		"another object":     {http.MethodPut, wire.LocationPath + "/other", good},
		"another path":       {http.MethodPut, wire.ConsentPath, good},
		"another method":     {http.MethodDelete, wire.LocationPath, ""},
		"a name":             {http.MethodPut, wire.LocationPath, strings.Replace(good, `{`, `{"name":"other",`, 1)},
		"a secret":           {http.MethodPut, wire.LocationPath, strings.Replace(good, `{`, `{"credentialsSecretRef":{"name":"mine"},`, 1)},
		"trusted signers":    {http.MethodPut, wire.LocationPath, strings.Replace(good, `{`, `{"trustedSigners":["ed25519:x"],`, 1)},
		"a second body":      {http.MethodPut, wire.LocationPath, good + good},
		"nothing":            {http.MethodPut, wire.LocationPath, ""},
		"more than it reads": {http.MethodPut, wire.LocationPath, strings.Repeat(" ", wire.MaxMessage) + good},
	} {
		recorded := httptest.NewRecorder()
		handler.ServeHTTP(recorded, httptest.NewRequestWithContext(t.Context(), r.method, r.path, strings.NewReader(r.body)))
		if recorded.Code == http.StatusOK {
			t.Errorf("%s: %d %s", name, recorded.Code, recorded.Body)
		}
	}
	if now := mustLocation(t, objects, "default"); now.Spec.Container != "backups" {
		t.Errorf("it is %+v", now.Spec)
	}
}

func TestStreamsOfSettingsAreTheServersOwn(t *testing.T) {
	for header, good := range map[wire.Header]bool{
		{Kind: wire.Settings}:                       true,
		{Kind: wire.Settings, Identity: identity}:   false,
		{Kind: wire.Kubernetes}:                     false,
		{Kind: wire.Kubernetes, Identity: identity}: true,
		{Kind: wire.Consent, Identity: "default"}:   false,
		{Kind: "other", Identity: identity}:         false,
	} {
		if err := header.Check(); (err == nil) != good {
			text, _ := json.Marshal(header)
			t.Errorf("%s: %v", text, err)
		}
	}
}
