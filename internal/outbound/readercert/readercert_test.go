package readercert

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/coffer-backup/coffer/api/content"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func keeper(c client.Client, now time.Time) *Keeper {
	return &Keeper{Client: c, Namespace: "ns", NowFunc: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
}

// trusts says whether a client that knows what is published takes a keeper for the reader of a host.
func trusts(t *testing.T, c client.Client, k *Keeper, host string) error {
	t.Helper()
	var published corev1.ConfigMap
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: content.AuthorityConfigMap}, &published); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(published.Data[content.AuthorityField])) {
		t.Fatal("what is published is not in PEM")
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.TLS = &tls.Config{GetCertificate: k.GetCertificate, MinVersion: tls.VersionTLS13}
	// The certificates of httptest's own would be served otherwise.
	server.Config.TLSConfig = server.TLS
	listener := tls.NewListener(server.Listener, server.TLS)
	server.Listener = listener
	server.TLS = nil
	server.Start()
	defer server.Close()
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: host, MinVersion: tls.VersionTLS13, Time: k.NowFunc}}
	conn, err := dialer.DialContext(t.Context(), "tcp", listener.Addr().String())
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func TestTheReaderIsKnownByWhatIsPublished(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	one := keeper(c, start)
	if _, err := one.GetCertificate(nil); err == nil {
		t.Error("there is a certificate before it was made")
	}
	if err := one.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"coffer-extension-reader.ns.svc": true, "coffer-extension-reader": true, "coffer-extension-reader.nz.svc": false, "example.com": false} {
		if err := trusts(t, c, one, host); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
	}
	var secret corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: SecretName}, &secret); err != nil {
		t.Fatal(err)
	}
	// A second replica takes up the same.
	two := keeper(c, start.Add(time.Hour))
	if err := two.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, _ := one.GetCertificate(nil)
	b, _ := two.GetCertificate(nil)
	if !a.Leaf.Equal(b.Leaf) {
		t.Error("the replicas serve with two certificates")
	}
}

func TestACertificateIsRenewedBeforeItsEndAndTheOldOneStaysKnown(t *testing.T) {
	c := fake.NewClientBuilder().Build()
	old := keeper(c, start)
	if err := old.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	before, _ := old.GetCertificate(nil)
	for _, tt := range []struct {
		after   time.Duration
		renewed bool
	}{{validity - renewal - time.Minute, false}, {validity - renewal + time.Minute, true}} {
		now := keeper(c, start.Add(tt.after))
		if err := now.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		after, _ := now.GetCertificate(nil)
		if renewed := !after.Leaf.Equal(before.Leaf); renewed != tt.renewed {
			t.Errorf("after %s: renewed %v", tt.after, renewed)
		}
		old.NowFunc = now.NowFunc
		for _, k := range []*Keeper{old, now} {
			if err := trusts(t, c, k, "coffer-extension-reader.ns.svc"); err != nil {
				t.Errorf("after %s: %v", tt.after, err)
			}
		}
	}
}

func TestAnUnusableSecretIsMended(t *testing.T) {
	c := fake.NewClientBuilder().WithObjects(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: SecretName}, Data: map[string][]byte{certField: []byte("x")}}).Build()
	k := keeper(c, start)
	if err := k.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := trusts(t, c, k, "coffer-extension-reader.ns.svc"); err != nil {
		t.Error(err)
	}
}

// The connector may have been first to look: a published authority that somebody has changed is put right.
func TestWhatIsPublishedIsPutRight(t *testing.T) {
	c := fake.NewClientBuilder().WithObjects(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: content.AuthorityConfigMap}, Data: map[string]string{content.AuthorityField: "x"}}).Build()
	k := keeper(c, start)
	if err := k.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := trusts(t, c, k, "coffer-extension-reader.ns.svc"); err != nil {
		t.Error(err)
	}
}
