package link_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/yamux"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/link"
)

const identity = "vault-0123456789abcdef0123456789abcdef01234567"

// authority signs certificates of the server and of clusters.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority() *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
	return &authority{must(x509.ParseCertificate(der)), key}
}

func (a *authority) issue(name string, ends time.Time, use x509.ExtKeyUsage) *tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: ends,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key))
	return &tls.Certificate{Certificate: [][]byte{der, a.certificate.Raw}, PrivateKey: key}
}

// keeper admits whoever has a certificate, as the cluster of its name.
type keeper struct {
	mu       sync.Mutex
	infos    map[catalogue.ID]catalogue.ClusterInfo
	unlinked chan catalogue.ID
	joins    int
}

func (k *keeper) Join(context.Context, string, []byte, wire.Hello, string) (wire.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.joins++
	return wire.Certificate{Cluster: "c"}, nil
}

func (*keeper) Renew(_ context.Context, peer *x509.Certificate, _ []byte) (wire.Certificate, error) {
	return wire.Certificate{Cluster: peer.Subject.CommonName}, nil
}

func (*keeper) Admit(_ context.Context, peer *x509.Certificate, _ wire.Hello) (catalogue.ID, error) {
	if peer.Subject.CommonName == "/broken" {
		return "", context.DeadlineExceeded
	}
	return catalogue.ID(peer.Subject.CommonName), nil
}

func (k *keeper) Linked(_ context.Context, cluster catalogue.ID, info catalogue.ClusterInfo) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.infos[cluster] = info
	return nil
}

func (k *keeper) Unlinked(_ context.Context, cluster catalogue.ID) { k.unlinked <- cluster }

// world is a Hub that listens.
type world struct {
	*keeper
	*authority
	hub     *link.Hub
	address string
}

func newWorld(t *testing.T, change func(*link.Config)) *world {
	t.Helper()
	w := &world{keeper: &keeper{infos: map[catalogue.ID]catalogue.ClusterInfo{}, unlinked: make(chan catalogue.ID, 100)}, authority: newAuthority()}
	c := link.Config{Keeper: w.keeper, Log: slog.New(slog.DiscardHandler), NowFunc: time.Now}
	if change != nil {
		change(&c)
	}
	w.hub = must(link.New(c))
	serving := w.issue("server", time.Now().Add(time.Hour), x509.ExtKeyUsageServerAuth)
	listener := must((&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0"))
	w.address = listener.Addr().String()
	server := w.hub.Server()
	go func() {
		_ = server.Serve(tls.NewListener(listener, link.TLS(w.certificate, func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return serving, nil })))
	}()
	t.Cleanup(func() {
		_ = server.Close()
		if err := w.hub.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) cluster(name string) *tls.Certificate {
	return w.issue(name, time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth)
}

// dial is a connection of TLS with a certificate, or none.
func (w *world) dial(t *testing.T, proof *tls.Certificate, change func(*tls.Config)) (*tls.Conn, error) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(w.certificate)
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}}
	if proof != nil {
		config.Certificates = []tls.Certificate{*proof}
	}
	if change != nil {
		change(config)
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", w.address)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*tls.Conn), nil
}

var hello = wire.Hello{Protocol: wire.Protocol, ClusterUID: "u-1", Namespace: "coffer", VaultsNamespace: "coffer-vaults", Version: "v1", KubernetesVersion: "v1.34.1"}

// ask sends a request and reads the head of its answer.
func (w *world) ask(t *testing.T, proof *tls.Certificate, path string, body any, upgrade bool) (*http.Response, *tls.Conn, error) {
	t.Helper()
	conn, err := w.dial(t, proof, nil)
	if err != nil {
		return nil, nil, err
	}
	r := must(http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+w.address+path, bytes.NewReader(must(json.Marshal(body)))))
	if upgrade {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", wire.Upgrade)
	}
	if err := r.Write(conn); err != nil {
		return nil, nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer, conn, nil
}

// mustLink is a connection that was upgraded.
func (w *world) mustLink(t *testing.T, name string, h wire.Hello) (*tls.Conn, catalogue.ClusterSession) {
	t.Helper()
	answer, conn, err := w.ask(t, w.cluster(name), wire.PathConnect, h, true)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
	var session catalogue.ClusterSession
	await(t, func() bool { session, err = w.hub.Session(t.Context(), catalogue.ID(name)); return err == nil })
	return conn, session
}

func TestWhoHasNoGoodCertificateIsNotLinked(t *testing.T) {
	w := newWorld(t, nil)
	for _, c := range []struct {
		name  string
		proof *tls.Certificate
		// status is 0 where TLS refuses.
		status int
	}{
		{"none", nil, http.StatusUnauthorized},
		{"one that has ended", w.issue("/c/1", time.Now().Add(-time.Minute), x509.ExtKeyUsageClientAuth), 0},
		{"one of another authority", newAuthority().issue("/c/1", time.Now().Add(time.Hour), x509.ExtKeyUsageClientAuth), 0},
		{"one of a server", w.issue("/c/1", time.Now().Add(time.Hour), x509.ExtKeyUsageServerAuth), 0},
		{"one that the keeper cannot judge", w.cluster("/broken"), http.StatusInternalServerError},
	} {
		for _, path := range []string{wire.PathConnect, wire.PathRenew} {
			if path == wire.PathRenew && c.status == http.StatusInternalServerError {
				continue
			}
			answer, _, err := w.ask(t, c.proof, path, hello, path == wire.PathConnect)
			switch {
			case c.status == 0 && (err == nil || !strings.Contains(err.Error(), "remote error: tls")):
				t.Errorf("%s: %s: %v, %v", c.name, path, answer, err)
			case c.status != 0 && (err != nil || answer.StatusCode != c.status):
				t.Errorf("%s: %s: %v, %v", c.name, path, answer, err)
			}
		}
	}
	if w.hub.Count() != 0 {
		t.Error("there is a link")
	}
}

func TestTheLinkAddressSpeaksNothingOlderThanTLS13(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.dial(t, nil, func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }); err == nil {
		t.Error("it speaks TLS 1.2")
	}
	conn := must(w.dial(t, w.cluster("/c/1"), nil))
	if got := conn.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("it speaks %q", got)
	}
}

func TestAGreetingThatIsNoneIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	for name, c := range map[string]struct {
		body    any
		upgrade bool
		code    coffer.Code
		hint    string
	}{
		"a newer connector": {change(func(h *wire.Hello) { h.Protocol++ }), true, coffer.CodeJoinRefused, "upgrade the server"},
		"an older one":      {change(func(h *wire.Hello) { h.Protocol = 0 }), true, coffer.CodeJoinRefused, "upgrade the connector"},
		"no UID":            {change(func(h *wire.Hello) { h.ClusterUID = "" }), true, coffer.CodeInvalidInput, ""},
		"a path as UID":     {change(func(h *wire.Hello) { h.ClusterUID = "../x" }), true, coffer.CodeInvalidInput, ""},
		"no namespace":      {change(func(h *wire.Hello) { h.Namespace = "A b" }), true, coffer.CodeInvalidInput, ""},
		"no JSON":           {"text", true, coffer.CodeInvalidContent, ""},
		"too much":          {strings.Repeat("a", wire.MaxMessage), true, coffer.CodeTooLarge, ""},
		"no upgrade":        {hello, false, coffer.CodeInvalidInput, "proxy"},
	} {
		answer, _, err := w.ask(t, w.cluster("/c/1"), wire.PathConnect, c.body, c.upgrade)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var p wire.Problem
		if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Code != string(c.code) || !p.Final || !strings.Contains(p.Hint, c.hint) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func change(how func(*wire.Hello)) wire.Hello {
	h := hello
	how(&h)
	return h
}

func TestWhatAClusterSaysOfItselfIsCleaned(t *testing.T) {
	w := newWorld(t, nil)
	said := change(func(h *wire.Hello) {
		h.Version = "v1\x1b[31m\n"
		h.KubernetesVersion = strings.Repeat("9", 100)
		h.BindingsByOwner = true
		h.Notes = []string{"a\tb\u202e\x00c\xff", " ", strings.Repeat("ü", 600)}
		for range 100 {
			h.Notes = append(h.Notes, "more")
		}
	})
	_, session := w.mustLink(t, "/c/1", said)
	want := catalogue.ClusterInfo{
		UID: "u-1", Namespace: "coffer", VaultsNamespace: "coffer-vaults", Version: "v1[31m", KubernetesVersion: strings.Repeat("9", 64), BindingsByOwner: true,
		Notes: []string{"a bc\ufffd", strings.Repeat("ü", 500)},
	}
	for range 17 {
		want.Notes = append(want.Notes, "more")
	}
	if diff := cmp.Diff(want, session.Info()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestALinkThatDoesWhatNoConnectorDoesIsEnded(t *testing.T) {
	w := newWorld(t, nil)
	frame := func(kind byte, flags uint16, stream, length uint32) []byte {
		head := []byte{0, kind}
		head = binary.BigEndian.AppendUint16(head, flags)
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(head, stream), length)
	}
	for name, sent := range map[string][]byte{
		"garbage":          bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 100),
		"a stream":         frame(1, 1, 2, 0),
		"data of a stream": frame(0, 1, 2, 10),
		"pings":            bytes.Repeat(frame(2, 1, 0, 7), 100),
		"a wrong type":     frame(9, 0, 0, 0),
		"its end":          nil,
	} {
		t.Run(name, func(t *testing.T) {
			conn, session := w.mustLink(t, "/c/"+strings.ReplaceAll(name, " ", "-"), hello)
			if sent == nil {
				_ = conn.Close()
			} else if _, err := conn.Write(sent); err != nil {
				t.Fatal(err)
			}
			<-session.Ended()
			<-w.unlinked
		})
	}
}

func TestALinkThatBehavesIsKept(t *testing.T) {
	w := newWorld(t, nil)
	conn, session := w.mustLink(t, "/c/1", hello)
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	mux := must(yamux.Server(conn, config))
	for range 5 {
		must(mux.Ping())
	}
	go answerStreams(mux)
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/a?b=c", http.NoBody))
	answer, err := session.Content(identity).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if got := string(must(io.ReadAll(answer.Body))); got != `{"kind":"content","identity":"`+identity+`"} GET /a?b=c cluster` {
		t.Error(got)
	}
	err = session.Consent(t.Context(), identity)
	if coffer.CodeOf(err) != coffer.CodeTrustedAccessMissing || !strings.Contains(err.Error(), "no[31m; run this") {
		t.Errorf("consent: %v", err)
	}
}

// What is wrong with an answer may have parts of the answer in it.
func TestWhatAClusterAnswersIsNoPartOfAnErrorAsItIs(t *testing.T) {
	w := newWorld(t, nil)
	conn, session := w.mustLink(t, "/c/1", hello)
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	mux := must(yamux.Server(conn, config))
	go func() {
		for stream, err := mux.Accept(); err == nil; stream, err = mux.Accept() {
			_, _ = io.WriteString(stream, "HTTP/1.1 200 OK\r\n\x1b]0;owned\x07\x1b[2J"+strings.Repeat("x", 10_000)+"\r\n\r\n")
		}
	}()
	for what, kind := range map[string]http.RoundTripper{"kubernetes": session.Kubernetes(identity), "content": session.Content(identity)} {
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/a", http.NoBody))
		answer, err := kind.RoundTrip(r)
		if err == nil {
			_ = answer.Body.Close()
			t.Fatalf("%s: it is taken for an answer", what)
		}
		if text := err.Error(); coffer.CodeOf(err) != coffer.CodeClusterNotReachable || strings.ContainsAny(text, "\x1b\x07\r\n") || len(text) > 1000 {
			t.Errorf("%s: %d bytes: %.200q", what, len(text), text)
		}
	}
}

func TestWhatAClusterSaysOfItsStorageLocationIsCleaned(t *testing.T) {
	answers := map[string]struct {
		answer string
		code   coffer.Code
		want   catalogue.FoundLocation
	}{
		"/c/good": {
			`200 OK {"location":{"provider":"s3","container":"b","endpoint":"https://x"},"phase":"Available","changed":true}`, "",
			catalogue.FoundLocation{StorageLocation: catalogue.StorageLocation{Provider: "s3", Container: "b", Endpoint: "https://x"}, Phase: "Available", Changed: true},
		},
		"/c/bad": {
			`200 OK {"location":{"container":"\u001b[31mb\u0000"},"message":"` + strings.Repeat("x", 10_000) + `"}`, "",
			catalogue.FoundLocation{StorageLocation: catalogue.StorageLocation{Container: "[31mb"}, Message: strings.Repeat("x", 500)},
		},
		"/c/text":    {`200 OK yes`, coffer.CodeClusterNotReachable, catalogue.FoundLocation{}},
		"/c/endless": {`200 OK {"message":"` + strings.Repeat("x", 1<<20) + `"}`, coffer.CodeClusterNotReachable, catalogue.FoundLocation{}},
		"/c/none":    {`404 Not Found no`, coffer.CodeClusterNotReachable, catalogue.FoundLocation{}},
		"/c/no":      {`403 Forbidden {"code":"UserErrorTrustedAccessNotFound","message":"no\u001b[31m","final":true}`, coffer.CodeForbidden, catalogue.FoundLocation{}},
		"/c/later":   {`403 Forbidden {"code":"UserErrorKubernetesClusterNotReachable","message":"later"}`, coffer.CodeClusterNotReachable, catalogue.FoundLocation{}},
	}
	w := newWorld(t, nil)
	for name, tt := range answers {
		conn, session := w.mustLink(t, name, hello)
		config := yamux.DefaultConfig()
		config.LogOutput = io.Discard
		mux := must(yamux.Server(conn, config))
		go func() {
			for stream, err := mux.Accept(); err == nil; stream, err = mux.Accept() {
				reader := bufio.NewReader(stream)
				line, _ := reader.ReadString('\n')
				_, _ = http.ReadRequest(reader)
				status, body, _ := strings.Cut(tt.answer, " {")
				if body != "" {
					body = "{" + body
				}
				if line != `{"kind":"settings","identity":""}`+"\n" {
					body = line
				}
				_, _ = fmt.Fprintf(stream, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(body), body)
			}
		}()
		got, err := session.(catalogue.Configurable).Location(t.Context())
		if coffer.CodeOf(err) != tt.code || got != tt.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\x1b\x00") || len(err.Error()) > 1000 || coffer.Final(err) != (tt.code == coffer.CodeForbidden)) {
			t.Errorf("%s: %.200q", name, err)
		}
	}
}

// answerStreams is the least of a connector.
func answerStreams(mux *yamux.Session) {
	for {
		stream, err := mux.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = stream.Close() }()
			reader := bufio.NewReader(stream)
			line, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			r, err := http.ReadRequest(reader)
			if err != nil {
				return
			}
			status, body := "200 OK", strings.TrimSpace(line)+" "+r.Method+" "+r.RequestURI+" "+r.Host
			if r.URL.Path == wire.ConsentPath {
				status, body = "403 Forbidden", `{"code":"UserErrorTrustedAccessNotFound","message":"no\u001b[31m","hint":"run this","final":true}`
			}
			_, _ = io.WriteString(stream, "HTTP/1.1 "+status+"\r\nConnection: close\r\n\r\n"+body)
		}()
	}
}

func TestThereAreNoMoreLinksThanAllowed(t *testing.T) {
	w := newWorld(t, func(c *link.Config) { c.MaxLinks = 2 })
	w.mustLink(t, "/c/1", hello)
	w.mustLink(t, "/c/2", hello)
	answer, _, err := w.ask(t, w.cluster("/c/3"), wire.PathConnect, hello, true)
	if err != nil || answer.StatusCode != http.StatusTooManyRequests {
		t.Fatalf("%v, %v", answer, err)
	}
	// One in the place of another is not one more.
	answer, _, err = w.ask(t, w.cluster("/c/2"), wire.PathConnect, hello, true)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", answer, err)
	}
}

func TestJoiningIsLimited(t *testing.T) {
	stopped := time.Now()
	w := newWorld(t, func(c *link.Config) { c.NowFunc = func() time.Time { return stopped } })
	refused := 0
	for range 30 {
		answer, _, err := w.ask(t, nil, wire.PathJoin, wire.JoinRequest{Hello: hello, Secret: "s"}, false)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 10 || w.joins != 20 {
		t.Errorf("%d were refused, and %d joined", refused, w.joins)
	}
}

// others are clusters that are reached in another way.
type others struct{ catalogue.ClusterSession }

func (o others) Session(context.Context, catalogue.ID) (catalogue.ClusterSession, error) {
	return o, nil
}
func (others) Linked() []catalogue.ID { return []catalogue.ID{"/c/1", "/c/9"} }

func TestALinkGoesBeforeOtherWays(t *testing.T) {
	w := newWorld(t, func(c *link.Config) { c.Others = others{} })
	if s := must(w.hub.Session(t.Context(), "/c/1")); s != (others{}) {
		t.Error("there is a link")
	}
	w.mustLink(t, "/C/1", hello)
	await(t, func() bool { return must(w.hub.Session(t.Context(), "/c/1")) != catalogue.ClusterSession(others{}) })
	if got := w.hub.Linked(); len(got) != 2 {
		t.Errorf("%v", got)
	}
}

func await(t *testing.T, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatal("not so after 20 s")
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
