package vaultworld

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/link"
)

// Dialled is a cluster that is dialled by a kubeconfig: an API server that speaks TLS, with as much RBAC as there is to forbid, and behind
// its port-forward an extension's reader. Its methods may be called concurrently.
type Dialled struct {
	t        testing.TB
	server   *httptest.Server
	reader   *httptest.Server
	identity []byte

	mu        sync.Mutex // guards all below
	uid       string
	token     string
	forbidden map[string]bool
	bound     map[string]bool
	issued    int
	seen      []Seen
}

// Seen is a request that has reached an API server or a reader.
type Seen struct {
	Method, Path string
	Header       http.Header
}

// DialledNamespace is that of the extension in a Dialled cluster.
const DialledNamespace = "dataprotection-microsoft"

// NewDialled starts one, whose kube-system has a UID. The token is that of its kubeconfig.
func NewDialled(t testing.TB, uid, token string) *Dialled {
	t.Helper()
	d := &Dialled{t: t, uid: uid, token: token, forbidden: map[string]bool{}, bound: map[string]bool{}}
	d.reader = httptest.NewUnstartedServer(http.HandlerFunc(d.read))
	host := content.Service + "." + DialledNamespace + ".svc"
	certificate := d.certify(host)
	d.reader.TLS = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}}
	d.reader.StartTLS()
	t.Cleanup(d.reader.Close)
	d.server = httptest.NewUnstartedServer(http.HandlerFunc(d.serve))
	d.server.Config.ErrorLog = log.New(io.Discard, "", 0) // Some do not trust it on purpose.
	d.server.StartTLS()
	t.Cleanup(func() { d.server.CloseClientConnections(); d.server.Close() })
	return d
}

// certify makes a certificate of a host, and keeps it as what is known of the reader.
func (d *Dialled) certify(host string) tls.Certificate {
	d.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		d.t.Fatal(err)
	}
	d.identity = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Address is HOST:PORT of the API server.
func (d *Dialled) Address() string { return d.server.Listener.Addr().String() }

// Kubeconfig is one by which it is dialled at an address.
func (d *Dialled) Kubeconfig(address, token string) string {
	authority := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: d.server.Certificate().Raw}))
	return fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://%s', tls-server-name: example.com, certificate-authority-data: %s}}]\n"+
		"users: [{name: u, user: {token: %s}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n", address, authority, token)
}

// SetToken takes another token from now on.
func (d *Dialled) SetToken(token string) { d.mu.Lock(); defer d.mu.Unlock(); d.token = token }

// SetUID makes it another cluster.
func (d *Dialled) SetUID(uid string) { d.mu.Lock(); defer d.mu.Unlock(); d.uid = uid }

// Forbid takes the kubeconfig's user a right away, such as "create serviceaccounts/token".
func (d *Dialled) Forbid(right string) { d.mu.Lock(); defer d.mu.Unlock(); d.forbidden[right] = true }

// Bind lets an identity in, as the cluster's owner does by a RoleBinding.
func (d *Dialled) Bind(identity string) { d.mu.Lock(); defer d.mu.Unlock(); d.bound[identity] = true }

// Seen are the requests so far.
func (d *Dialled) Seen() []Seen {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]Seen{}, d.seen...)
}

// Issued is how many tokens for the reader were asked for.
func (d *Dialled) Issued() int { d.mu.Lock(); defer d.mu.Unlock(); return d.issued }

// Recreate makes the ServiceAccount of tokens anew: those that there were are good for nothing.
func (d *Dialled) Recreate() { d.mu.Lock(); defer d.mu.Unlock(); d.issued += 100 }

// read is the extension's reader.
func (d *Dialled) read(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, Seen{r.Method, r.URL.Path, r.Header.Clone()})
	if r.Header.Get("Authorization") != fmt.Sprintf("Bearer reader-%d", d.issued) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	_, _ = io.WriteString(w, "read by "+r.Header.Get(link.IdentityHeader)) //nolint:gosec // No browser reads it.
}

func (d *Dialled) serve(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/portforward") {
		d.forward(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.seen = append(d.seen, Seen{r.Method, r.URL.Path, r.Header.Clone()})
	status, answer := d.answer(r, body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Set-Cookie", "a=b")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

type dict = map[string]any

func refuse(status int, message string) (int, any) {
	reason := map[int]string{http.StatusForbidden: "Forbidden", http.StatusUnauthorized: "Unauthorized", http.StatusNotFound: "NotFound"}[status]
	return status, dict{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": message}
}

// answer is under mu.
func (d *Dialled) answer(r *http.Request, body []byte) (int, any) {
	const system, at = "/api/v1/namespaces/kube-system", "/api/v1/namespaces/" + DialledNamespace
	who, as := "system:serviceaccount:"+DialledNamespace+":coffer-vault-server", r.Header.Get("Impersonate-User")
	if r.Header.Get("Authorization") != "Bearer "+d.token {
		return refuse(http.StatusUnauthorized, "Unauthorized")
	}
	if as != "" && d.forbidden["impersonate serviceaccounts"] {
		return refuse(http.StatusForbidden, `serviceaccounts "x" is forbidden: User "`+who+`" cannot impersonate resource "serviceaccounts"`)
	}
	forbid := func(right string, status int, answer any) (int, any) {
		if d.forbidden[right] {
			return refuse(http.StatusForbidden, "it is forbidden: User "+who+" cannot "+right)
		}
		return status, answer
	}
	switch r.Method + " " + r.URL.Path {
	case "GET " + system:
		return forbid("get namespaces", http.StatusOK, dict{"kind": "Namespace", "apiVersion": "v1", "metadata": dict{"name": "kube-system", "uid": d.uid}})
	case "GET /version":
		return http.StatusOK, dict{"gitVersion": "v1.34.1\x1b[31m"}
	case "GET /apis":
		return http.StatusOK, dict{"kind": "APIGroupList", "apiVersion": "v1", "groups": []dict{{"name": "velero.io", "versions": []dict{}}}}
	case "GET /apis/storage.k8s.io/v1/storageclasses":
		return http.StatusOK, dict{"kind": "StorageClassList", "apiVersion": "storage.k8s.io/v1", "items": []dict{}}
	case "GET " + at + "/configmaps/" + content.AuthorityConfigMap:
		return forbid("get configmaps", http.StatusOK, dict{"kind": "ConfigMap", "apiVersion": "v1", "metadata": dict{"name": "x"}, "data": dict{content.AuthorityField: string(d.identity)}})
	case "GET " + at + "/pods":
		pod := func(name, ready string) dict {
			return dict{"metadata": dict{"name": name}, "status": dict{"conditions": []dict{{"type": "Ready", "status": ready}}}}
		}
		return forbid("list pods", http.StatusOK, dict{"kind": "PodList", "apiVersion": "v1", "items": []dict{pod("early", "False"), pod("extension-1", "True")}})
	case "POST " + at + "/serviceaccounts/" + content.Connector + "/token":
		if !strings.Contains(string(body), `"`+content.Audience+`"`) {
			return refuse(http.StatusForbidden, "for whom?")
		}
		d.issued++
		return forbid("create serviceaccounts/token", http.StatusCreated, dict{
			"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
			"status": dict{"token": fmt.Sprintf("reader-%d", d.issued), "expirationTimestamp": time.Now().Add(24 * time.Hour).UTC().Format(time.RFC3339)},
		})
	case "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews":
		return http.StatusCreated, dict{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": dict{"allowed": d.may(as, body)}}
	}
	return refuse(http.StatusNotFound, "there is no "+r.URL.Path)
}

// may is under mu.
func (d *Dialled) may(as string, review []byte) bool {
	var r struct {
		Spec struct {
			ResourceAttributes struct{ Verb, Resource, Subresource string }
		}
	}
	if json.Unmarshal(review, &r) != nil {
		return false
	}
	if as != "" {
		return d.bound[as[strings.LastIndexByte(as, ':')+1:]]
	}
	right := r.Spec.ResourceAttributes
	name := right.Verb + " " + right.Resource
	if right.Subresource != "" {
		name += "/" + right.Subresource
	}
	return name != "* *" && !d.forbidden[name]
}

// forward carries a connection to the reader, by SPDY only.
func (d *Dialled) forward(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	refused := d.forbidden["create pods/portforward"] || r.Header.Get("Authorization") != "Bearer "+d.token || !strings.HasSuffix(r.URL.Path, "/pods/extension-1/portforward")
	d.mu.Unlock()
	if r.Method == http.MethodGet {
		http.Error(w, "no WebSockets here", http.StatusBadRequest)
		return
	}
	if refused {
		http.Error(w, `pods "extension-1" is forbidden: User "x" cannot create resource "pods/portforward"`, http.StatusForbidden)
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
		return
	}
	streams := make(chan httpstream.Stream, 2)
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if connection == nil {
		return
	}
	defer func() { _ = connection.Close() }()
	var data httpstream.Stream
	for range 2 {
		s := <-streams
		if s.Headers().Get("streamType") == "data" {
			data = s
		}
	}
	reader, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", d.reader.Listener.Addr().String())
	if err != nil || data.Headers().Get("port") != fmt.Sprint(content.PortTLS) {
		return
	}
	defer func() { _ = reader.Close() }()
	go func() { _, _ = io.Copy(reader, data) }()
	go func() { _, _ = io.Copy(data, reader) }()
	<-connection.CloseChan()
}
