//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
	"github.com/coffer-backup/coffer/internal/outbound/link"
)

// hostile is a server of Backup vaults that does what it likes with the link of a cluster: what the cluster has to hold against.
type hostile struct {
	key       *ecdsa.PrivateKey
	authority *x509.Certificate
	linked    chan struct{}
}

const hostileCluster catalogue.ID = "/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c"

// linkTo is the session of a real link, whose connector has the token of the connector's ServiceAccount in the lab cluster, and no more.
func linkTo(t *testing.T) catalogue.ClusterSession {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &hostile{key: key, linked: make(chan struct{}, 1)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign,
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if h.authority, err = x509.ParseCertificate(signed); err != nil {
		t.Fatal(err)
	}
	hub, err := link.New(link.Config{Keeper: h, Log: slog.New(slog.DiscardHandler), NowFunc: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	serving := h.sign(t, &x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key.Public())
	config := link.TLS(h.authority, func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: [][]byte{serving, h.authority.Raw}, PrivateKey: key}, nil
	})
	listener, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	server := hub.Server()
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })

	digest := sha256.Sum256(h.authority.Raw)
	token := wire.Token{
		Address: listener.Addr().String(), Authority: hex.EncodeToString(digest[:]), Cluster: string(hostileCluster), Secret: "any", Expires: time.Now().Add(time.Hour).Unix(),
	}
	h.connect(t, token)
	select {
	case <-h.linked:
	case <-time.After(time.Minute):
		t.Fatal("there is no link")
	}
	session, err := hub.Session(t.Context(), hostileCluster)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// connect runs the connector's own code until the test ends.
func (h *hostile) connect(t *testing.T, token wire.Token) {
	t.Helper()
	config := rest.AnonymousClientConfig(lab.config)
	config.BearerToken = connectorToken(t)
	api, err := connector.NewKubernetes(config, namespace+"-vaults", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	uid := lab.uid(t)
	none := http.NotFoundHandler()
	c, err := connector.New(connector.Config{
		Store: &memory{}, TokenFunc: func() (string, error) { return token.String(), nil },
		HelloFunc: func(context.Context) (wire.Hello, error) {
			return wire.Hello{
				Protocol: wire.Protocol, ClusterUID: uid, Namespace: namespace, VaultsNamespace: namespace + "-vaults", Version: "v1", KubernetesVersion: "v1.36.0",
			}, nil
		},
		Kubernetes: api, Content: none, Consent: none, Settings: none, Log: slog.New(slog.DiscardHandler), NowFunc: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); c.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
}

// memory keeps the credentials of a connector that dies with the test.
type memory struct{ kept connector.Credentials }

func (m *memory) Load(context.Context) (connector.Credentials, error) { return m.kept, nil }

func (m *memory) Save(_ context.Context, c connector.Credentials) (connector.Credentials, error) {
	m.kept = c
	return c, nil
}

func (h *hostile) sign(t *testing.T, template *x509.Certificate, public any) []byte {
	t.Helper()
	signed, err := h.signed(template, public)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func (h *hostile) signed(template *x509.Certificate, public any) ([]byte, error) {
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(2), h.authority.NotBefore, h.authority.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	return x509.CreateCertificate(rand.Reader, template, h.authority, public, h.key)
}

// Join implements link.Keeper: everybody may.
func (h *hostile) Join(_ context.Context, _ string, request []byte, _ wire.Hello, _ string) (wire.Certificate, error) {
	block, _ := pem.Decode(request)
	if block == nil {
		return wire.Certificate{}, x509.ErrUnsupportedAlgorithm
	}
	asked, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return wire.Certificate{}, err
	}
	made, err := h.signed(&x509.Certificate{ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, asked.PublicKey)
	text := func(der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	return wire.Certificate{Certificate: text(made), Authority: text(h.authority.Raw), Cluster: string(hostileCluster)}, err
}

// Renew implements link.Keeper.
func (h *hostile) Renew(context.Context, *x509.Certificate, []byte) (wire.Certificate, error) {
	return wire.Certificate{}, x509.ErrUnsupportedAlgorithm
}

// Admit implements link.Keeper.
func (h *hostile) Admit(context.Context, *x509.Certificate, wire.Hello) (catalogue.ID, error) {
	return hostileCluster, nil
}

// Linked implements link.Keeper.
func (h *hostile) Linked(context.Context, catalogue.ID, catalogue.ClusterInfo) error {
	h.linked <- struct{}{}
	return nil
}

// Unlinked implements link.Keeper.
func (h *hostile) Unlinked(context.Context, catalogue.ID) {}

// throughLink is a client of the cluster's API at the server's end of a link, which adds headers to each request.
func throughLink(t *testing.T, session catalogue.ClusterSession, identity string, headers http.Header) client.Client {
	t.Helper()
	carry := session.Kubernetes(identity)
	transport := roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		for name, values := range headers {
			r.Header[name] = values
		}
		return carry.RoundTrip(r)
	})
	c, err := client.New(&rest.Config{Host: "https://cluster"}, client.Options{
		HTTPClient: &http.Client{Transport: transport}, Scheme: newScheme(), Mapper: lab.client.RESTMapper(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type roundTripper func(r *http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// smuggled are headers by which a server would like to be more than a vault.
func smuggled() http.Header {
	return http.Header{
		"Impersonate-User": {"kubernetes-admin"}, "Impersonate-Group": {"system:masters"}, "Impersonate-Uid": {"1"}, "Impersonate-Extra-Scopes": {"all"},
		"X-Remote-User": {"kubernetes-admin"}, "X-Remote-Group": {"system:masters"}, "Authorization": {"Bearer " + "any"},
	}
}
