package connector_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
	"github.com/coffer-backup/coffer/internal/outbound/link"
)

const identity = "vault-0123456789abcdef0123456789abcdef01234567"

func clusterID(n int) catalogue.ID {
	return catalogue.ID(fmt.Sprintf("/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c%d", n))
}

// authority is a certificate authority.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * 365 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &authority{must(x509.ParseCertificate(der)), key}
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

func (a *authority) digest() string {
	sum := sha256.Sum256(a.certificate.Raw)
	return hex.EncodeToString(sum[:])
}

func (a *authority) issue(public any, name string, begins, ends time.Time, use x509.ExtKeyUsage) []byte {
	template := &x509.Certificate{
		SerialNumber: must(rand.Int(rand.Reader, big.NewInt(1<<62))), Subject: pkix.Name{CommonName: name}, NotBefore: begins, NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	return must(x509.CreateCertificate(rand.Reader, template, a.certificate, public, a.key))
}

// serving is a certificate of a server whose clock is ahead.
func (a *authority) serving(ahead time.Duration) tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	now := time.Now().Add(ahead)
	der := a.issue(key.Public(), "server", now.Add(-time.Hour), now.Add(time.Hour), x509.ExtKeyUsageServerAuth)
	return tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key}
}

// keeper lets clusters in by the rules of join tokens, and remembers who is linked.
type keeper struct {
	authority *authority
	life      time.Duration

	mu      sync.Mutex
	tokens  map[string]catalogue.ID
	usedBy  map[string]string
	joins   int
	renewed int
	revoked map[string]bool
	linked  map[string]catalogue.ClusterInfo
	trouble error
}

func (k *keeper) Join(_ context.Context, secret string, request []byte, _ wire.Hello, _ string) (wire.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	cluster, ok := k.tokens[secret]
	if !ok {
		return wire.Certificate{}, coffer.Errorf(coffer.CodeJoinRefused, "the join token is not known, or has ended").WithHint("get another")
	}
	public, key, err := publicKey(request)
	if err != nil {
		return wire.Certificate{}, err
	}
	if by := k.usedBy[secret]; by != "" && by != key {
		return wire.Certificate{}, coffer.Errorf(coffer.CodeJoinRefused, "the join token was used before")
	}
	k.usedBy[secret] = key
	k.joins++
	return k.certificate(public, cluster), nil
}

func publicKey(request []byte) (public any, digest string, err error) {
	block, _ := pem.Decode(request)
	if block == nil {
		return nil, "", coffer.Errorf(coffer.CodeInvalidInput, "the request is not in PEM")
	}
	parsed, err := x509.ParseCertificateRequest(block.Bytes)
	if err == nil {
		err = parsed.CheckSignature()
	}
	if err != nil {
		return nil, "", err
	}
	return parsed.PublicKey, hex.EncodeToString(parsed.RawSubjectPublicKeyInfo), nil
}

func (k *keeper) certificate(public any, cluster catalogue.ID) wire.Certificate {
	der := k.authority.issue(public, string(cluster), time.Now().Add(-time.Minute), time.Now().Add(k.life), x509.ExtKeyUsageClientAuth)
	return wire.Certificate{
		Certificate: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), Authority: string(k.authority.pem()), Cluster: string(cluster),
	}
}

func (k *keeper) Renew(_ context.Context, peer *x509.Certificate, request []byte) (wire.Certificate, error) {
	public, _, err := publicKey(request)
	if err != nil {
		return wire.Certificate{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.renewed++
	k.life = 30 * 24 * time.Hour
	return k.certificate(public, catalogue.ID(peer.Subject.CommonName)), nil
}

func (k *keeper) Admit(_ context.Context, peer *x509.Certificate, _ wire.Hello) (catalogue.ID, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.revoked[peer.Subject.CommonName] {
		return "", coffer.Errorf(coffer.CodeJoinRefused, "the cluster has left").WithHint("join again")
	}
	return catalogue.ID(peer.Subject.CommonName), nil
}

func (k *keeper) Linked(_ context.Context, cluster catalogue.ID, info catalogue.ClusterInfo) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.trouble != nil {
		return k.trouble
	}
	k.linked[cluster.Key()] = info
	return nil
}

func (k *keeper) Unlinked(_ context.Context, cluster catalogue.ID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.linked, cluster.Key())
}

func (k *keeper) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.linked)
}

// get reads what the keeper has under its lock.
func get[T any](k *keeper, read func() T) T {
	k.mu.Lock()
	defer k.mu.Unlock()
	return read()
}

// server is a vault's server as far as links go. It may be stopped and started at its address.
type server struct {
	*keeper
	hub     *link.Hub
	config  link.Config
	http    *http.Server
	address string
	serving tls.Certificate
	log     *logs
}

func newServer(t testing.TB, change func(*link.Config)) *server {
	t.Helper()
	a := newAuthority(t)
	s := &server{serving: a.serving(0), log: &logs{}, keeper: &keeper{
		authority: a, life: 30 * 24 * time.Hour, tokens: map[string]catalogue.ID{}, usedBy: map[string]string{}, revoked: map[string]bool{},
		linked: map[string]catalogue.ClusterInfo{},
	}, address: "127.0.0.1:0"}
	s.config = link.Config{Keeper: s.keeper, Log: s.log.logger(), NowFunc: time.Now, JoinsPerSecond: 1e6}
	if change != nil {
		change(&s.config)
	}
	s.start(t)
	t.Cleanup(func() { s.stop(t) })
	return s
}

func (s *server) start(t testing.TB) {
	t.Helper()
	s.hub = must(link.New(s.config))
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.http = s.hub.Server()
	config := link.TLS(s.authority.certificate, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &s.serving, nil })
	started := s.http
	go func() { _ = started.Serve(tls.NewListener(listener, config)) }()
}

func (s *server) stop(t testing.TB) {
	t.Helper()
	_ = s.http.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
	defer cancel()
	if err := s.hub.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

// token lets a cluster in once.
func (s *server) token(cluster catalogue.ID) wire.Token {
	secret := rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens[secret] = cluster
	return wire.Token{Address: s.address, Authority: s.authority.digest(), Cluster: string(cluster), Secret: secret, Expires: time.Now().Add(time.Hour).Unix()}
}

// mustSession is the way to a cluster, once there is one.
func (s *server) mustSession(t testing.TB, cluster catalogue.ID) catalogue.ClusterSession {
	t.Helper()
	var session catalogue.ClusterSession
	await(t, "the cluster is linked", func() (ok bool) {
		var err error
		session, err = s.hub.Session(t.Context(), cluster)
		return err == nil && get(s.keeper, func() bool { _, ok := s.linked[cluster.Key()]; return ok })
	})
	return session
}

// memory is a Store. It can lose what is saved, as a process that dies does.
type memory struct {
	mu    sync.Mutex
	kept  connector.Credentials
	saves int
	// dies answers an error instead of the n-th save.
	dies int
}

func (m *memory) Load(context.Context) (connector.Credentials, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept, nil
}

func (m *memory) Save(_ context.Context, c connector.Credentials) (connector.Credentials, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves++
	if m.saves == m.dies {
		return c, errors.New("the process has died")
	}
	if c.Version != m.kept.Version {
		return c, errors.New("it was changed meanwhile")
	}
	c.Version = fmt.Sprint(m.saves)
	m.kept = c
	return c, nil
}

// logs are lines of a log, which can be read at any time.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// cluster is a connector and what is behind it.
type cluster struct {
	*connector.Connector
	store *memory
	log   *logs
	// api answers as the API server; it may be set before the first request.
	api  http.HandlerFunc
	stop func()

	mu    sync.Mutex
	token string
}

func (c *cluster) setToken(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = text
}

// newCluster starts a connector by a token.
func newCluster(t testing.TB, token string, change func(*cluster, *connector.Config)) *cluster {
	t.Helper()
	c := &cluster{store: &memory{}, log: &logs{}, token: token}
	api := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.api == nil {
			_, _ = io.WriteString(w, "{}")
			return
		}
		c.api(w, r)
	}))
	t.Cleanup(api.Close)
	config := &rest.Config{Host: api.URL, BearerToken: "the-connectors-own", TLSClientConfig: rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: api.Certificate().Raw}),
	}}
	settings := connector.Config{
		Store: c.store, TokenFunc: func() (string, error) { c.mu.Lock(); defer c.mu.Unlock(); return c.token, nil },
		HelloFunc: func(context.Context) (wire.Hello, error) {
			return wire.Hello{Protocol: wire.Protocol, ClusterUID: "uid-1", Namespace: "coffer", VaultsNamespace: "coffer-vaults", Version: "v1", KubernetesVersion: "v1.34.1"}, nil
		},
		Kubernetes: must(connector.NewKubernetes(config, "coffer-vaults", c.log.logger())),
		Content:    http.NotFoundHandler(), Consent: http.NotFoundHandler(), Settings: http.NotFoundHandler(), Log: c.log.logger(), NowFunc: time.Now,
		RetryFirst: 10 * time.Millisecond, RetryLongest: 100 * time.Millisecond, RetryFinal: 100 * time.Millisecond, LookEvery: 20 * time.Millisecond,
	}
	if change != nil {
		change(c, &settings)
	}
	c.Connector = must(connector.New(settings))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { c.Run(ctx) })
	c.stop = func() { cancel(); running.Wait() }
	t.Cleanup(c.stop)
	return c
}

// mustShow waits until the problem of a cluster says something.
func (c *cluster) mustShow(t testing.TB, words string) {
	t.Helper()
	await(t, "the problem says "+words, func() bool { return strings.Contains(c.Status().Problem, words) }, func() string { return c.Status().Problem })
}

// await waits for a condition that others bring about.
func await(t testing.TB, what string, holds func() bool, instead ...func() string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late.C:
			for _, say := range instead {
				t.Log(say())
			}
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
