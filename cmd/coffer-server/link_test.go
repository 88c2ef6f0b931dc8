package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
)

// cluster is the cluster's end of a link: a real connector, and behind it as much of an API server as trusted access needs.
type cluster struct {
	t     *testing.T
	hello wire.Hello
	// settings answers where the cluster writes recovery points to.
	settings http.Handler

	mu    sync.Mutex // guards all below
	kept  connector.Credentials
	saved int
	token string
	bound map[string]bool
}

func newCluster(t *testing.T, uid string) *cluster {
	return &cluster{t: t, bound: map[string]bool{}, settings: http.NotFoundHandler(), hello: wire.Hello{
		Protocol: wire.Protocol, ClusterUID: uid, Namespace: "coffer", VaultsNamespace: "coffer-vaults", Version: "v1.0.0", KubernetesVersion: "v1.34.1", BindingsByOwner: true,
	}}
}

// Load and Save implement connector.Store.
func (c *cluster) Load(context.Context) (connector.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept, nil
}

func (c *cluster) Save(_ context.Context, kept connector.Credentials) (connector.Credentials, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saved++
	kept.Version = strconv.Itoa(c.saved)
	c.kept = kept
	return kept, nil
}

func (c *cluster) kubernetes(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "SelfSubjectAccessReview", "status": map[string]any{"allowed": c.bound[connector.Identity(r.Context())]}})
}

func (c *cluster) consent(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bound[connector.Identity(r.Context())] = true
	w.WriteHeader(http.StatusNoContent)
}

// connect runs a connector until stop is called.
func (c *cluster) connect(token string) (stop func()) {
	c.t.Helper()
	c.mu.Lock()
	c.token = token
	c.mu.Unlock()
	made, err := connector.New(connector.Config{
		Store:      c,
		TokenFunc:  func() (string, error) { c.mu.Lock(); defer c.mu.Unlock(); return c.token, nil },
		HelloFunc:  func(context.Context) (wire.Hello, error) { return c.hello, nil },
		Kubernetes: http.HandlerFunc(c.kubernetes), Content: http.NotFoundHandler(), Consent: http.HandlerFunc(c.consent), Settings: c.settings,
		Log: slog.New(slog.DiscardHandler), NowFunc: time.Now,
		RetryFirst: 20 * time.Millisecond, RetryLongest: 200 * time.Millisecond, RetryFinal: 200 * time.Millisecond, LookEvery: 100 * time.Millisecond,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	var running sync.WaitGroup
	running.Go(func() { made.Run(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	c.t.Cleanup(stop)
	return stop
}

// freeAddress is one of this machine that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = free.Close() }()
	return free.Addr().String()
}

// must is the properties.coffer of what is answered, or another field of it.
func (p *process) must(method, path, body string, field ...string) string {
	p.t.Helper()
	status, text := p.do(method, path, body)
	if status != http.StatusOK && status != http.StatusCreated {
		p.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		p.t.Fatal(err)
	}
	for _, name := range field {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	found, _ := v.(string)
	return found
}

func (p *process) stateOf(id string) string {
	p.t.Helper()
	return p.must(http.MethodGet, id, "", "properties", "coffer", "state")
}

// What is asked for of a cluster.
const (
	clusterBody = `{"location":"here"}`
	vaultBody   = `{"location":"here","properties":{"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]}}`
)

func bindingOf(vault string) string {
	return `{"properties":{"sourceResourceId":"` + vault + `","roles":["Microsoft.DataProtection/backupVaults/backup-operator"]}}`
}

func TestTheUrlOfAReplicaMayHaveAnAddressOfItsPod(t *testing.T) {
	for url, want := range map[string]string{
		"": "", "https://10.0.0.1:8443": "https://10.0.0.1:8443", "https://2001:db8::1:8443": "https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443": "https://[2001:db8::1]:8443",
		"https://one.example": "https://one.example",
	} {
		if got := bracketed(url); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
}

func TestAClusterStaysJoinedWhateverDies(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "data")
	at := freeAddress(t)
	p, c := launched(t, folder, "--link-listen", at, "--link-address", at)
	group := "/subscriptions/" + c.SubscriptionID + "/resourceGroups/g"
	id, vault := group+"/providers/Microsoft.ContainerService/managedClusters/c1", group+"/providers/Microsoft.DataProtection/backupVaults/v1"
	binding := id + "/trustedAccessRoleBindings/b1"
	p.must(http.MethodPut, group, clusterBody)
	p.must(http.MethodPut, id, clusterBody)
	p.must(http.MethodPut, vault, vaultBody)
	one := newCluster(t, "uid-1")
	stop := one.connect(p.must(http.MethodPost, id+"/providers/Coffer.Backup/joinToken", "", "token"))
	eventually(t, "the cluster is connected", func() bool { return p.stateOf(id) == "Connected" })
	// The next thing that a client does finds that the vault is let in.
	if state := p.must(http.MethodPut, binding, bindingOf(vault), "properties", "coffer", "state"); state != "Approved" {
		t.Errorf("trusted access is %s", state)
	}
	// The server dies, and the connector comes back to the next one.
	p.kill()
	p = launch(t, folder, "--link-listen", at, "--link-address", at)
	p.login()
	eventually(t, "the cluster is connected again", func() bool { return p.stateOf(id) == "Connected" })
	// Both die: what the server knew last is not so any more.
	p.kill()
	stop()
	p = launch(t, folder, "--link-listen", at, "--link-address", at)
	p.login()
	if state := p.stateOf(id); state != "Disconnected" {
		t.Errorf("without its connector it is %s", state)
	}
	stop = one.connect("")
	eventually(t, "the cluster is connected once more", func() bool { return p.stateOf(id) == "Connected" })
	if state := p.must(http.MethodPost, binding+"/providers/Coffer.Backup/check", "", "properties", "coffer", "state"); state != "Approved" {
		t.Errorf("trusted access is %s", state)
	}
	// It leaves, and cannot come back by what it has.
	if state := p.must(http.MethodPost, id+"/providers/Coffer.Backup/leave", "", "properties", "coffer", "state"); state != "Pending" {
		t.Errorf("it has left, and is %s", state)
	}
	stop()
	status, text := p.do(http.MethodPost, binding+"/providers/Coffer.Backup/check", "")
	if status != http.StatusBadRequest || !strings.Contains(text, "has not joined") {
		t.Errorf("it is asked all the same: %d %s", status, text)
	}
	// Another cluster has its place now.
	two := newCluster(t, "uid-2")
	two.connect(p.must(http.MethodPost, id+"/providers/Coffer.Backup/joinToken", "", "token"))
	eventually(t, "the other cluster is connected", func() bool { return p.stateOf(id) == "Connected" })
	// A server that is told to stop waits for no link.
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil || time.Since(began) > drainTime || strings.Contains(p.errors.String(), "not recorded") {
		t.Errorf("it ends after %s: %v\n%s", time.Since(began), err, &p.errors)
	}
}
