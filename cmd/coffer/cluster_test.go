package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/inbound/cli"
	"github.com/coffer-backup/coffer/internal/inbound/cli/profile"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	extensionNamespace = "dataprotection-microsoft"
	vaultsNamespace    = extensionNamespace + "-vaults"
)

// ownedCluster is a cluster whose extension is the connector's own code. Its API server keeps objects, and knows whom RoleBindings bind.
type ownedCluster struct {
	t           *testing.T
	uid         types.UID
	kube        client.Client
	api, health *httptest.Server
	log         *slog.Logger
	// runs are the run objects, of an extension that ends each at once.
	runs *vaultworld.Cluster

	// mu guards the connector that runs, and by which token.
	mu     sync.Mutex
	link   *connector.Connector
	digest any
	stop   func()
}

func newOwnedCluster(t *testing.T, uid types.UID) *ownedCluster {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	system := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem, UID: uid}}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: extensionNamespace, Name: "connector", Labels: map[string]string{"app.kubernetes.io/name": "coffer-connector"}},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning},
	}
	c := &ownedCluster{
		t: t, uid: uid, kube: fake.NewClientBuilder().WithScheme(scheme).WithObjects(system, pod).Build(), log: slog.New(slog.DiscardHandler), stop: func() {},
	}
	c.runs = vaultworld.NewCluster(t, time.Now, catalogue.ClusterInfo{Namespace: extensionNamespace})
	c.runs.OnMade(func(string, string) string {
		return `{"phase":"CompletedWithWarnings","checks":[{"name":"SnapshotClass","status":"Warning","message":"a volume is in-tree","remedy":"move it to CSI"}]}`
	})
	c.api, c.health = httptest.NewServer(c), httptest.NewServer(http.HandlerFunc(c.ready))
	t.Cleanup(func() {
		c.mu.Lock()
		c.stop()
		c.mu.Unlock()
		c.api.Close()
		c.health.Close()
	})
	return c
}

// ServeHTTP is the API server: whether somebody may make backups, which they may whom a RoleBinding to backup-operator binds, and run objects.
func (c *ownedCluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	identity, ok := strings.CutPrefix(r.Header.Get("Impersonate-User"), "system:serviceaccount:"+vaultsNamespace+":")
	if !ok {
		http.Error(w, "the connector asks as itself", http.StatusForbidden)
		return
	}
	var all rbacv1.RoleBindingList
	if err := c.kube.List(r.Context(), &all, client.InNamespace(extensionNamespace)); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	allowed := slices.ContainsFunc(all.Items, func(b rbacv1.RoleBinding) bool {
		return b.RoleRef.Name == "backup-operator" && b.Subjects[0] == rbacv1.Subject{Kind: "ServiceAccount", Namespace: vaultsNamespace, Name: identity}
	})
	c.runs.Bind(identity, allowed)
	if r.URL.Path != "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
		r.Header.Set("Impersonate-User", identity)
		c.runs.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": allowed},
	})
}

// ready is what the connector says at /readyz.
func (c *ownedCluster) ready(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	link := c.link
	c.mu.Unlock()
	if link == nil || !link.Status().Linked {
		problem := ""
		if link != nil {
			problem = link.Status().Problem
		}
		http.Error(w, "not linked: "+problem, http.StatusServiceUnavailable)
	}
}

// Install implements cli.Installer, as the chart does: a connector, begun anew for another token, and a Secret for it that stays.
func (c *ownedCluster) Install(ctx context.Context, _ cli.Target, o cli.InstallOptions) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	values, _ := o.Values["connector"].(map[string]any)
	if enabled, said := values["enabled"].(bool); said && !enabled {
		c.stop()
		c.link, c.digest, c.stop = nil, nil, func() {}
		return nil
	}
	kept := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: extensionNamespace, Name: connector.SecretName}}
	if err := client.IgnoreAlreadyExists(c.kube.Create(ctx, kept)); err != nil {
		return err
	}
	if digest, changes := values["joinTokenDigest"]; c.link != nil && (!changes || digest == c.digest) {
		return nil
	}
	c.stop()
	return c.start(values["joinTokenDigest"])
}

// Uninstall implements cli.Installer.
func (c *ownedCluster) Uninstall(context.Context, cli.Target) error {
	return errors.New("nobody asked for that")
}

// start runs a connector; the lock is held.
func (c *ownedCluster) start(digest any) error {
	api, err := connector.NewKubernetes(&rest.Config{Host: c.api.URL}, vaultsNamespace, c.log)
	if err != nil {
		return err
	}
	link, err := connector.New(connector.Config{
		Store: connector.SecretStore{Client: c.kube, Namespace: extensionNamespace},
		TokenFunc: func() (string, error) {
			return string(c.secret("coffer-join")["token"]), nil
		},
		HelloFunc: func(context.Context) (wire.Hello, error) {
			return wire.Hello{
				Protocol: wire.Protocol, ClusterUID: string(c.uid), Namespace: extensionNamespace, VaultsNamespace: vaultsNamespace,
				Version: "v1.0.0", KubernetesVersion: "v1.34.1", Notes: []string{"Velero runs here too"},
			}, nil
		},
		Kubernetes: api, Content: http.NotFoundHandler(), Consent: http.NotFoundHandler(), Settings: http.NotFoundHandler(), Log: c.log, NowFunc: time.Now,
		RetryFirst: 10 * time.Millisecond, LookEvery: 10 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		link.Run(ctx)
	}()
	c.link, c.digest, c.stop = link, digest, func() {
		cancel()
		<-ended
	}
	return nil
}

func (c *ownedCluster) secret(name string) map[string][]byte {
	var s corev1.Secret
	if c.kube.Get(c.t.Context(), client.ObjectKey{Namespace: extensionNamespace, Name: name}, &s) != nil {
		return nil
	}
	return s.Data
}

// linkedServer is a server that clusters can join, and somebody who is logged in there as its administrator.
type linkedServer struct {
	t        *testing.T
	profiles profile.Store
}

func newLinkedServer(t *testing.T) linkedServer {
	t.Helper()
	dir := t.TempDir()
	binary, data := filepath.Join(dir, "coffer-server"), filepath.Join(dir, "data")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../coffer-server").CombinedOutput(); err != nil {
		t.Fatalf("build coffer-server: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), binary, "--data-dir", data, "--listen", freeAddress(t), "--status-listen", "", "--link-listen", freeAddress(t), "--log-level", "warn")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() }) // It was killed.
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "listens on") {
		t.Fatalf("it says %q, %v", line, err)
	}
	s := linkedServer{t, profile.Store{Dir: filepath.Join(dir, "config")}}
	s.must(nil, "login", "--credentials", filepath.Join(data, "admin.json"))
	s.must(nil, "profile", "set", "--resource-group", "shop")
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// run runs a command with the kubeconfig of a cluster.
func (s linkedServer) run(c *ownedCluster, args ...string) (out, said string, code int) {
	var stdout, stderr bytes.Buffer
	config := cli.Config{ServerFunc: newServer, Profiles: s.profiles, In: strings.NewReader(""), Out: &stdout, Err: &stderr}
	if c != nil {
		config.Installer = c
		config.ClientFunc = func(cli.Target) (client.Client, error) { return c.kube, nil }
		config.DialFunc = func(ctx context.Context, _ cli.Target, _ string, _ int) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", c.health.Listener.Addr().String())
		}
	}
	code = cli.Run(s.t.Context(), config, args)
	// How wide columns are is nothing to hold.
	return strings.Join(strings.Fields(stdout.String()), " "), stderr.String(), code
}

func (s linkedServer) must(c *ownedCluster, args ...string) (out, said string) {
	s.t.Helper()
	out, said, code := s.run(c, args...)
	if code != 0 {
		s.t.Fatalf("coffer %s: %d\n%s%s", strings.Join(args, " "), code, out, said)
	}
	return out, said
}

// refuse runs a command that has to fail, and to say why.
func (s linkedServer) refuse(c *ownedCluster, why string, args ...string) {
	s.t.Helper()
	if out, said, code := s.run(c, args...); code == 0 || !strings.Contains(said, why) {
		s.t.Errorf("coffer %s: %d, want %q:\n%s%s", strings.Join(args, " "), code, why, out, said)
	}
}

// policy is a file with the policy that one begins with.
func (s linkedServer) policy(t *testing.T) string {
	out, _ := s.must(nil, "backup-policy", "get-default-policy-template", "--datasource-type", "AzureKubernetesService", "-o", "json")
	return writeFile(t, out)
}

func TestAClusterJoinsIsLetInAndLeaves(t *testing.T) {
	s := newLinkedServer(t)
	first, second := newOwnedCluster(t, "11111111-0000-4000-8000-000000000001"), newOwnedCluster(t, "11111111-0000-4000-8000-000000000002")
	s.must(nil, "group", "create", "-n", "shop", "-l", "westeurope")
	s.must(nil, "vault", "create", "-v", "shop-vault", "--storage-setting", "{type:LocallyRedundant,datastore-type:VaultStore}")

	out, _ := s.must(first, "cluster", "join", "one", "--timeout", "1m")
	mustHave(t, "the cluster", out, "State: Connected", "Kubernetes: v1.34.1", "Note: Velero runs here too", string(first.uid))
	if first.secret("coffer-join") != nil || len(first.secret("coffer-link")["tls.key"]) == 0 {
		t.Error("the token is left, or the key is not kept")
	}
	_, said := s.must(first, "cluster", "join", "one")
	mustHave(t, "the second time", said, "has joined already, and is connected. Nothing was changed.")

	// One cluster has one id, and one id is of one cluster.
	s.refuse(second, "the kubeconfig leads to another cluster than one", "cluster", "join", "one")
	s.refuse(first, "the cluster of the kubeconfig has joined already, as /subscriptions/", "cluster", "join", "two")
	s.must(nil, "rest", "PUT", "/subscriptions/{subscriptionId}/resourceGroups/other", "--body", writeFile(t, `{"location":"westeurope"}`))
	s.refuse(first, "has joined already, as /subscriptions/", "cluster", "join", "two", "-g", "other")
	out, _ = s.must(nil, "cluster", "list")
	if strings.Contains(out, "two") {
		t.Errorf("a cluster is registered that did not join: %s", out)
	}

	// Trusted access is pending until the owner has approved it, in that cluster and no other.
	out, _ = s.must(nil, "trusted-access", "rolebinding", "create", "--cluster-name", "one", "-n", "b", "-v", "shop-vault")
	s.must(nil, "backup-policy", "create", "-v", "shop-vault", "--backup-policy-name", "daily", "--policy", s.policy(t))
	grant := []string{"backup-instance", "update-msi-permissions", "-v", "shop-vault", "--cluster", "one", "--policy-name", "daily"}
	s.refuse(nil, "kubectl -n dataprotection-microsoft create rolebinding coffer-vault-", grant...)
	mustHave(t, "the binding", out, "State: Pending")
	command := regexp.MustCompile(`kubectl -n dataprotection-microsoft create rolebinding (coffer-vault-[0-9a-f]{40}) --clusterrole=backup-operator`).FindStringSubmatch(out)
	if command == nil {
		t.Fatalf("there is no command that approves it:\n%s", out)
	}
	s.refuse(second, "leads to another cluster", "trusted-access", "rolebinding", "approve", "--cluster-name", "one", "-n", "b", "--yes")
	for range 2 {
		out, _ = s.must(first, "trusted-access", "rolebinding", "approve", "--cluster-name", "one", "-n", "b", "--yes")
		mustHave(t, "the approved binding", out, "State: Approved")
	}
	_, said = s.must(nil, grant...)
	mustHave(t, "what was granted", said, "Backup vault shop-vault has trusted access to cluster one.")
	var bound rbacv1.RoleBinding
	if err := first.kube.Get(t.Context(), client.ObjectKey{Namespace: extensionNamespace, Name: command[1]}, &bound); err != nil {
		t.Errorf("the command would bind something else: %v", err)
	}
	if err := first.kube.Delete(t.Context(), &bound); err != nil {
		t.Fatal(err)
	}
	out, _ = s.must(nil, "trusted-access", "rolebinding", "check", "--cluster-name", "one", "-n", "b")
	mustHave(t, "the binding that was taken away", out, "State: Pending")

	// Who has left may come again, with another token; or another cluster may.
	s.must(first, "cluster", "leave", "one", "--yes")
	if first.secret("coffer-link") != nil || first.link != nil {
		t.Error("the connector, or its key, is left")
	}
	out, _ = s.must(nil, "cluster", "show", "one")
	mustHave(t, "the cluster that has left", out, "State: Pending")
	out, _ = s.must(second, "cluster", "join", "one", "--timeout", "1m")
	mustHave(t, "the cluster in its place", out, "State: Connected", string(second.uid))
	out, _ = s.must(first, "cluster", "join", "two", "--timeout", "1m")
	mustHave(t, "the cluster under another id", out, "State: Connected", string(first.uid))
	out, _ = s.must(nil, "cluster", "list", "-g", "shop")
	mustHave(t, "the list", out, "one ", "two ", "Connected")
}

func TestAClusterIsProtectedInOneStepThatCanBeRepeated(t *testing.T) {
	s, c := newLinkedServer(t), newOwnedCluster(t, "11111111-0000-4000-8000-000000000003")
	args := []string{"protect", "one", "-l", "westeurope", "--included-namespaces", "shop,shop-data", "--timeout", "1m", "--yes"}
	out, said := s.must(c, args...)
	mustHave(t, "what was done", said,
		"Resource group shop is made, in westeurope.", "Backup vault backup-vault is made, in westeurope.", "Cluster one is registered at the server",
		"Note: Velero runs here too", "Backup policy four-hourly is made", "Backup vault backup-vault has trusted access to cluster one.",
		"Warning: a volume is in-tree; move it to CSI", "Backup instance one is made: shop, shop-data.", "coffer backup-instance adhoc-backup -g shop -v backup-vault")
	mustHave(t, "the instance", out, "Name: one", "Policy: four-hourly", "Namespaces: shop,shop-data", "State: ProtectionConfigured")
	again, said := s.must(c, args...)
	if again != out {
		t.Errorf("it is another instance now:\n%s\n%s", out, again)
	}
	mustHave(t, "what was done again", said, "has joined already", "Backup instance one is there already, and was left as it is.")
	for _, word := range []string{"is made", "has trusted access", "is registered"} {
		if strings.Contains(said, word) {
			t.Errorf("it did something twice: %s", said)
		}
	}
	// What somebody has taken away in the cluster is asked for again by whoever protects it again.
	var all rbacv1.RoleBindingList
	if err := c.kube.List(t.Context(), &all); err != nil || len(all.Items) != 1 {
		t.Fatalf("%d bindings, %v", len(all.Items), err)
	}
	if err := c.kube.Delete(t.Context(), &all.Items[0]); err != nil {
		t.Fatal(err)
	}
	s.must(nil, "trusted-access", "rolebinding", "check", "--cluster-name", "one", "-n", "backup-vault")
	_, said = s.must(c, args...)
	mustHave(t, "what was taken away", said, "Backup vault backup-vault has trusted access to cluster one.")
	// Of the namespace of vaults, and of the extension's, nobody else was bound.
	if err := c.kube.List(t.Context(), &all); err != nil || len(all.Items) != 1 || all.Items[0].Namespace != extensionNamespace {
		t.Errorf("bindings: %v, %v", all.Items, err)
	}
}
