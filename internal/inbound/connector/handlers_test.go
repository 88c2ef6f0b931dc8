package connector_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery/fake"
	kubefake "k8s.io/client-go/kubernetes/fake"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	clientfake "sigs.k8s.io/controller-runtime/pkg/client/fake"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
)

// newReader is an extension's reader with a certificate of an authority of its own.
func newReader(t *testing.T, listen string, answer http.HandlerFunc) (server *httptest.Server, authority []byte) {
	t.Helper()
	server = httptest.NewUnstartedServer(answer)
	a := newAuthority(t)
	serving := a.serving(0)
	if listen != "" {
		_ = server.Listener.Close()
		server.Listener = must((&net.ListenConfig{}).Listen(t.Context(), "tcp", listen))
	}
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{serving}}
	server.StartTLS()
	return server, a.pem()
}

func TestTheReaderIsToldWhoAsksAndWhoTheConnectorIs(t *testing.T) {
	var got http.Header
	answer := func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		_, _ = io.WriteString(w, r.URL.RequestURI()) //nolint:gosec // No browser reads it.
	}
	reader, kept := newReader(t, "", answer)
	address := reader.Listener.Addr().String()
	var authority atomic.Value
	authority.Store(kept)
	file := filepath.Join(t.TempDir(), "token")
	mustWrite(t, file, "first\n")
	s := newServer(t, nil)
	newCluster(t, s.token(clusterID(1)).String(), func(c *cluster, settings *connector.Config) {
		settings.Content = must(connector.NewContent(connector.ContentConfig{
			URL: must(url.Parse("https://" + address)), TokenFile: file, Log: c.log.logger(),
			AuthorityFunc: func(context.Context) ([]byte, error) { return authority.Load().([]byte), nil },
		}))
	})
	content := s.mustSession(t, clusterID(1)).Content(identity)
	const path = "/v1/storage-locations/default/backups/a%2Fb/contents?type=x"
	status, body := ask(t, content, http.MethodGet, path, http.Header{
		"Authorization": {"Bearer stolen"}, wire.IdentityHeader: {"vault-of-somebody-else"}, "Accept": {"application/jsonl"}, "User-Agent": {"u"},
	})
	got.Del("Accept-Encoding")
	want := http.Header{"Authorization": {"Bearer first"}, wire.IdentityHeader: {identity}, "Accept": {"application/jsonl"}, "User-Agent": {"u"}}
	if diff := cmp.Diff(want, got); diff != "" || status != http.StatusOK || body != path {
		t.Errorf("%d %s (-want +got):\n%s", status, body, diff)
	}
	// The token is replaced as it ends, and the authority as the extension is installed anew.
	mustWrite(t, file, "second")
	reader.Close()
	reader, kept = newReader(t, address, answer)
	defer reader.Close()
	if status, _ := ask(t, content, http.MethodGet, path, nil); status != http.StatusServiceUnavailable {
		t.Errorf("an authority that is not trusted: %d", status)
	}
	authority.Store(kept)
	if status, _ := ask(t, content, http.MethodGet, path, nil); status != http.StatusOK || got.Get("Authorization") != "Bearer second" {
		t.Errorf("%d, %v", status, got)
	}
	if status, _ := ask(t, content, http.MethodDelete, path, nil); status != http.StatusForbidden {
		t.Errorf("DELETE: %d", status)
	}
}

func TestTrustedAccessIsOneBindingWhichTheOwnerHasAllowed(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	objects := clientfake.NewClientBuilder().WithScheme(scheme).Build()
	s := newServer(t, nil)
	for n, allowed := range []bool{false, true} {
		newCluster(t, s.token(clusterID(n)).String(), func(c *cluster, settings *connector.Config) {
			settings.Consent = connector.NewConsent(connector.ConsentConfig{
				Client: objects, Namespace: "coffer", VaultsNamespace: "coffer-vaults", Allowed: allowed, Log: c.log.logger(),
			})
		})
	}
	err := s.mustSession(t, clusterID(0)).Consent(t.Context(), identity)
	if coffer.CodeOf(err) != coffer.CodeTrustedAccessMissing || !coffer.Final(err) ||
		!strings.Contains(err.Error(), "kubectl create rolebinding coffer-"+identity+" -n coffer --clusterrole=backup-operator --serviceaccount=coffer-vaults:"+identity) {
		t.Errorf("%v", err)
	}
	for range 2 {
		if err := s.mustSession(t, clusterID(1)).Consent(t.Context(), identity); err != nil {
			t.Fatal(err)
		}
	}
	var all rbacv1.RoleBindingList
	if err := objects.List(t.Context(), &all); err != nil || len(all.Items) != 1 {
		t.Fatalf("%v, %+v", err, all.Items)
	}
	got := all.Items[0]
	if got.Namespace != "coffer" || got.Name != "coffer-"+identity || got.RoleRef != (rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "ClusterRole", Name: "backup-operator"}) ||
		len(got.Subjects) != 1 || got.Subjects[0] != (rbacv1.Subject{Kind: "ServiceAccount", Namespace: "coffer-vaults", Name: identity}) {
		t.Errorf("%+v", got)
	}
}

func TestWhatThereIsToKnowOfAClusterIsSaid(t *testing.T) {
	objects := []runtime.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "u-1"}},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "old"}, Provisioner: "kubernetes.io/aws-ebs"},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "local"}, Provisioner: "kubernetes.io/no-provisioner"},
		&storagev1.StorageClass{ObjectMeta: metav1.ObjectMeta{Name: "csi"}, Provisioner: "disk.csi.azure.com"},
	}
	for _, c := range []struct {
		name, version string
		groups        []string
		classes       int
		want          []string
	}{
		{"a cluster as it should be", "v1.34.1", []string{"snapshot.storage.k8s.io/v1"}, 0, nil},
		{"one of a cloud", "v1.30.0-gke.1", []string{"snapshot.storage.k8s.io/v1"}, 0, nil},
		{"one that is too old", "v1.29.9", []string{"snapshot.storage.k8s.io/v1"}, 0, []string{"v1.29.9 is older"}},
		{"Velero, and no snapshots", "v1.34.1", []string{"velero.io/v1"}, 0, []string{"Velero is installed", "cannot be backed up"}},
		{"volumes of drivers in Kubernetes", "v1.34.1", []string{"snapshot.storage.k8s.io/v1"}, 3, []string{"snapshot them: old."}},
		{"a version that nobody knows", "main", []string{"snapshot.storage.k8s.io/v1"}, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			api := kubefake.NewClientset(objects[:1+c.classes]...)
			discovery := api.Discovery().(*fake.FakeDiscovery)
			discovery.FakedServerVersion = &version.Info{GitVersion: c.version}
			for _, g := range c.groups {
				discovery.Resources = append(discovery.Resources, &metav1.APIResourceList{GroupVersion: g})
			}
			got, err := connector.Cluster{Client: api, Namespace: "coffer", VaultsNamespace: "v", Version: "v1", BindingsByOwner: true}.Hello(t.Context())
			if err != nil || got.ClusterUID != "u-1" || got.KubernetesVersion != c.version || !got.BindingsByOwner || len(got.Notes) != len(c.want) {
				t.Fatalf("%+v, %v", got, err)
			}
			for n, want := range c.want {
				if !strings.Contains(got.Notes[n], want) {
					t.Errorf("%q, want %q in it", got.Notes[n], want)
				}
			}
		})
	}
	if _, err := (connector.Cluster{Client: kubefake.NewClientset()}).Hello(t.Context()); err == nil {
		t.Error("a cluster without a UID has one")
	}
}

func TestWhatIsKeptInTheSecretIsNotOverwrittenByWhoReadItBefore(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "coffer", Name: connector.SecretName, Labels: map[string]string{"of": "the chart"}}}
	for name, objects := range map[string]client.Client{
		"made by the chart": clientfake.NewClientBuilder().WithScheme(scheme).WithObjects(made).Build(),
		"not there":         clientfake.NewClientBuilder().WithScheme(scheme).Build(),
	} {
		store := connector.SecretStore{Client: objects, Namespace: "coffer"}
		first, second := must(store.Load(t.Context())), must(store.Load(t.Context()))
		first.PendingKey, first.PendingToken = []byte("key"), "token"
		if _, err := store.Save(t.Context(), first); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		second.PendingKey = []byte("another")
		if _, err := store.Save(t.Context(), second); err == nil {
			t.Errorf("%s: it is overwritten", name)
		}
		kept := must(store.Load(t.Context()))
		if string(kept.PendingKey) != "key" || kept.PendingToken != "token" {
			t.Errorf("%s: %+v", name, kept)
		}
		next := connector.Credentials{Key: []byte("k"), Certificate: []byte("c"), Authority: []byte("a"), Address: "s:1", Cluster: "/c", Token: "t", Version: kept.Version}
		saved := must(store.Save(t.Context(), next))
		next.Version = saved.Version
		if diff := cmp.Diff(next, must(store.Load(t.Context()))); diff != "" {
			t.Errorf("%s: (-want +got):\n%s", name, diff)
		}
	}
}

func mustWrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
