package kubeconfig_test

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	wire "github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/inbound/connector"
	"github.com/coffer-backup/coffer/internal/outbound/kubeconfig"
	"github.com/coffer-backup/coffer/internal/outbound/portforward"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	testToken   = "kubeconfig-s3cret"
	testCluster = catalogue.ID("/subscriptions/s/resourceGroups/g/providers/Microsoft.ContainerService/managedClusters/c1")
)

var testIdentity = catalogue.VaultIdentity("/v", time.Unix(0, 0))

func dialer(networks ...string) *kubeconfig.Dialer {
	d := &kubeconfig.Dialer{
		NowFunc: time.Now,
		HelloFunc: func(ctx context.Context, client kubernetes.Interface, k catalogue.Kubeconfig) (wire.Hello, error) {
			return connector.Cluster{Client: client, Namespace: k.Namespace, VaultsNamespace: k.VaultsNamespace, Version: "v1"}.Hello(ctx)
		},
		DialPodFunc: func(ctx context.Context, config *rest.Config, namespace, pod string, port int) (net.Conn, error) {
			return portforward.Dial(ctx, config, namespace, pod, port)
		},
	}
	for _, n := range networks {
		d.Networks = append(d.Networks, netip.MustParsePrefix(n))
	}
	return d
}

func kept(text string) catalogue.Kubeconfig {
	return catalogue.Kubeconfig{
		KubeconfigRef: catalogue.KubeconfigRef{Cluster: testCluster, Version: "1"}, Text: []byte(text),
		Namespace: vaultworld.DialledNamespace, VaultsNamespace: vaultworld.DialledNamespace + "-vaults",
	}
}

// keeper has one kubeconfig, or none.
type keeper struct {
	mu     sync.Mutex
	all    []catalogue.Kubeconfig
	refuse error
	events chan string
}

func newKeeper(all ...catalogue.Kubeconfig) *keeper {
	return &keeper{all: all, events: make(chan string, 1000)}
}

func (k *keeper) set(all ...catalogue.Kubeconfig) { k.mu.Lock(); defer k.mu.Unlock(); k.all = all }

func (k *keeper) Kubeconfigs(context.Context) (refs []catalogue.KubeconfigRef, _ error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range k.all {
		refs = append(refs, one.KubeconfigRef)
	}
	return refs, nil
}

func (k *keeper) Kubeconfig(_ context.Context, ref catalogue.KubeconfigRef) (catalogue.Kubeconfig, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range k.all {
		if one.KubeconfigRef == ref {
			return one, nil
		}
	}
	return catalogue.Kubeconfig{}, coffer.Errorf(coffer.CodeJoinRefused, "it has left")
}

func (k *keeper) Linked(_ context.Context, _ catalogue.ID, info catalogue.ClusterInfo) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.refuse == nil {
		k.events <- "linked " + info.UID
	}
	return k.refuse
}

func (k *keeper) Unreachable(_ context.Context, _ catalogue.ID, why string) {
	k.events <- "unreachable: " + why
}

// await waits for an event that begins so, and answers it.
func (k *keeper) await(t *testing.T, event string) string {
	t.Helper()
	late := time.After(20 * time.Second)
	for {
		select {
		case got := <-k.events:
			if strings.HasPrefix(got, event) {
				return got
			}
		case <-late:
			t.Fatalf("there was no %q", event)
		}
	}
}

// soon is how often all is looked at in these tests.
const soon = 20 * time.Millisecond

// pooled is a Pool that runs, once it reaches the cluster.
func pooled(t *testing.T, k *keeper) *kubeconfig.Pool {
	t.Helper()
	return pooledAsking(t, k, soon)
}

// pooledAsking is a Pool that asks its clusters that often whether they are there.
func pooledAsking(t *testing.T, k *keeper, every time.Duration) *kubeconfig.Pool {
	t.Helper()
	pool, err := kubeconfig.NewPool(kubeconfig.PoolConfig{
		Dialer: dialer("127.0.0.0/8"), Keeper: k, Log: slog.New(slog.DiscardHandler), LookEvery: soon, AskEvery: every, RetryFirst: soon, RetryLongest: soon,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { pool.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return pool
}

func sessionOf(t *testing.T, pool *kubeconfig.Pool) catalogue.ClusterSession {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		s, err := pool.Session(t.Context(), testCluster)
		if err == nil {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-tick.C:
		}
	}
}

func send(t *testing.T, by http.RoundTripper, method, path string, header ...string) (int, string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "https://cluster"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(header, 2) {
		r.Header.Add(pair[0], pair[1])
	}
	answer, err := by.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.Header.Get("Set-Cookie") != "" {
		t.Errorf("%v, %v", answer.Header, err)
	}
	return answer.StatusCode, string(text), nil
}

func TestAClusterSaysWhichOneItIs(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	d.Forbid("create serviceaccounts/token")
	info, err := dialer("127.0.0.0/8").Ask(t.Context(), kept(d.Kubeconfig(d.Address(), testToken)))
	if err != nil {
		t.Fatal(err)
	}
	if info.UID != "uid-1" || info.KubernetesVersion != "v1.34.1[31m" || info.BindingsByOwner || info.Namespace != vaultworld.DialledNamespace {
		t.Errorf("%+v", info)
	}
	notes := strings.Join(info.Notes, "\n")
	if !strings.Contains(notes, "may not create serviceaccounts/token") || strings.Contains(notes, "impersonate") || !strings.Contains(notes, "Velero") || strings.Contains(notes, "everything") {
		t.Error(notes)
	}
}

func TestOnlyTheNetworksOfTheAdministratorAreDialled(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	_, port, err := net.SplitHostPort(d.Address())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
		for _, networks := range [][]string{nil, {"10.0.0.0/8"}, {"0.0.0.0/0", "::/0"}} {
			_, err := dialer(networks...).Ask(t.Context(), kept(d.Kubeconfig(host+":"+port, testToken)))
			if coffer.CodeOf(err) != coffer.CodeInvalidInput || !strings.Contains(err.Error(), "may not dial") {
				t.Errorf("%s with %v: %v", host, networks, err)
			}
		}
	}
	if seen := d.Seen(); len(seen) != 0 {
		t.Errorf("it was asked all the same: %v", seen)
	}
	if _, err := dialer("127.0.0.0/8", "::1/128").Ask(t.Context(), kept(d.Kubeconfig("localhost:"+port, testToken))); err != nil {
		t.Error(err)
	}
}

func TestHowLongAKubeconfigIsGoodIsNoted(t *testing.T) {
	token := "e30." + base64.RawURLEncoding.EncodeToString([]byte(`{"exp":1803081492}`)) + ".x"
	d := vaultworld.NewDialled(t, "uid-1", token)
	info, err := dialer("127.0.0.0/8").Ask(t.Context(), kept(d.Kubeconfig(d.Address(), token)))
	if notes := strings.Join(info.Notes, "\n"); err != nil || !strings.Contains(notes, "2027-02-19T23:58:12Z") || !strings.Contains(notes, "coffer cluster join c1 --server-kubeconfig FILE") {
		t.Errorf("%q, %v", notes, err)
	}
}

func TestWhatANameIsHereIsNotTold(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	for server, want := range map[string]string{
		"localhost:1":         "https://localhost:1",
		"nobody.invalid:6443": "https://nobody.invalid:6443",
	} {
		_, err := dialer("127.0.0.0/8", "::/96").Ask(t.Context(), kept(d.Kubeconfig(server, testToken)))
		if coffer.CodeOf(err) != coffer.CodeClusterNotReachable || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", server, err)
			continue
		}
		// Neither the address of the name, nor that of who was asked for it.
		if address := regexp.MustCompile(`\d+\.\d+\.\d+\.\d+|\[::`).FindString(err.Error()); address != "" {
			t.Errorf("%s: %q names %s", server, err, address)
		}
	}
}

func TestAnAPIServerHasToProveItself(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	other := vaultworld.NewDialled(t, "uid-2", testToken)
	text := strings.Replace(d.Kubeconfig(other.Address(), testToken), "tls-server-name: example.com", "tls-server-name: elsewhere.example", 1)
	_, err := dialer("127.0.0.0/8").Ask(t.Context(), kept(text))
	if coffer.CodeOf(err) != coffer.CodeClusterNotReachable || len(other.Seen()) != 0 || strings.Contains(err.Error(), testToken) {
		t.Errorf("%v, %v", err, other.Seen())
	}
	_, err = dialer("127.0.0.0/8").Ask(t.Context(), kept(d.Kubeconfig(d.Address(), "another")))
	if coffer.CodeOf(err) != coffer.CodeClusterNotReachable || !strings.Contains(err.Error(), "credentials") {
		t.Errorf("%v", err)
	}
}

func TestAVaultIsItselfAndNobodyElse(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	s := sessionOf(t, pooled(t, newKeeper(kept(d.Kubeconfig(d.Address(), testToken)))))
	status, text, err := send(t, s.Kubernetes(testIdentity), http.MethodGet, "/version", "Authorization", "Bearer x", "Impersonate-User", "root", "Impersonate-Group", "system:masters", "X-Forwarded-For", "x")
	if err != nil || status != http.StatusOK || !strings.Contains(text, "gitVersion") {
		t.Fatalf("%d %s %v", status, text, err)
	}
	seen := d.Seen()
	got := seen[slices.IndexFunc(seen, func(s vaultworld.Seen) bool { return s.Header.Get("Impersonate-User") != "" })].Header
	want := "system:serviceaccount:" + vaultworld.DialledNamespace + "-vaults:" + testIdentity
	if got.Get("Impersonate-User") != want || len(got.Values("Impersonate-User")) != 1 || got.Get("Impersonate-Group") != "" || got.Get("Authorization") != "Bearer "+testToken || got.Get("X-Forwarded-For") != "" {
		t.Errorf("sent: %v", got)
	}
	before := len(vaultsOf(d))
	for _, path := range []string{"/api/v1/secrets", "/api/v1/namespaces/kube-system/secrets/x", "/apis/clusterbackup.dataprotection.microsoft.com/../../api/v1/secrets", "/apis/apps/v1/deployments", "/version/%2e%2e/x"} {
		if _, _, err := send(t, s.Kubernetes(testIdentity), http.MethodGet, path); coffer.CodeOf(err) != coffer.CodeForbidden {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, _, err := send(t, s.Kubernetes("root"), http.MethodGet, "/version"); err == nil {
		t.Error("somebody who is no vault was heard")
	}
	if _, _, err := send(t, s.Kubernetes(testIdentity), http.MethodGet, "/version", "Upgrade", "websocket"); err == nil {
		t.Error("another protocol was asked for")
	}
	if after := len(vaultsOf(d)); after != before {
		t.Errorf("%d requests came through", after-before)
	}
}

// vaultsOf are the requests that an API server has had as a vault.
func vaultsOf(d *vaultworld.Dialled) []vaultworld.Seen {
	return slices.DeleteFunc(d.Seen(), func(s vaultworld.Seen) bool { return s.Header.Get("Impersonate-User") == "" })
}

func TestWhatTheKubeconfigLacksIsSaid(t *testing.T) {
	for _, c := range []struct {
		right, want string
		content     bool
	}{
		{"impersonate serviceaccounts", "impersonate", false},
		{"create serviceaccounts/token", "create serviceaccounts/token", true},
		{"create pods/portforward", "create pods/portforward", true},
		{"list pods", "list pods", true},
		{"get configmaps", "get configmaps", true},
	} {
		t.Run(c.right, func(t *testing.T) {
			d := vaultworld.NewDialled(t, "uid-1", testToken)
			d.Forbid(c.right)
			s := sessionOf(t, pooled(t, newKeeper(kept(d.Kubeconfig(d.Address(), testToken)))))
			by := s.Kubernetes(testIdentity)
			if c.content {
				by = s.Content(testIdentity)
			}
			_, _, err := send(t, by, http.MethodGet, "/version")
			if coffer.CodeOf(err) != coffer.CodeClusterNotReachable || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if !strings.Contains(strings.Join(s.Info().Notes, "\n"), c.want) {
				t.Errorf("no note of it: %q", s.Info().Notes)
			}
		})
	}
}

func TestTheReaderIsAskedThroughAPortForward(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	s := sessionOf(t, pooled(t, newKeeper(kept(d.Kubeconfig(d.Address(), testToken)))))
	for range 3 {
		status, text, err := send(t, s.Content(testIdentity), http.MethodGet, "/v1/contents", wire.IdentityHeader, "vault-of-somebody", "Authorization", "Bearer x")
		if err != nil || status != http.StatusOK || text != "read by "+testIdentity {
			t.Fatalf("%d %q %v", status, text, err)
		}
	}
	if d.Issued() != 1 {
		t.Errorf("%d tokens were asked for", d.Issued())
	}
	// Whose token is good for nothing any more asks for another.
	d.Recreate()
	if status, text, err := send(t, s.Content(testIdentity), http.MethodGet, "/v1/contents"); err != nil || status != http.StatusOK {
		t.Errorf("%d %q %v", status, text, err)
	}
	if _, _, err := send(t, s.Content(testIdentity), http.MethodDelete, "/v1/contents"); err == nil {
		t.Error("the reader was asked to delete")
	}
}

func TestNoVaultIsGivenAccessByAKubeconfig(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	s := sessionOf(t, pooled(t, newKeeper(kept(d.Kubeconfig(d.Address(), testToken)))))
	if err := s.Consent(t.Context(), testIdentity); coffer.CodeOf(err) != coffer.CodeTrustedAccessMissing || !strings.Contains(err.Error(), "coffer trusted-access rolebinding approve") {
		t.Errorf("%v", err)
	}
	if s.Info().BindingsByOwner {
		t.Error("it is said that owners of the cluster's resource give access")
	}
	for _, r := range d.Seen() {
		if strings.HasSuffix(r.Path, "/rolebindings") {
			t.Errorf("%s %s", r.Method, r.Path)
		}
	}
}

func TestASessionLastsAsLongAsItsClusterAnswers(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	k := newKeeper(kept(d.Kubeconfig(d.Address(), testToken)))
	pool := pooled(t, k)
	k.await(t, "linked uid-1")
	first := sessionOf(t, pool)
	// Its token ends.
	d.SetToken("another")
	if said := k.await(t, "unreachable"); !strings.Contains(said, "credentials") || strings.Contains(said, testToken) {
		t.Error(said)
	}
	<-first.Ended()
	if _, _, err := send(t, first.Kubernetes(testIdentity), http.MethodGet, "/version"); coffer.CodeOf(err) != coffer.CodeClusterNotReachable {
		t.Errorf("a session that has ended: %v", err)
	}
	if _, err := pool.Session(t.Context(), testCluster); coffer.CodeOf(err) != coffer.CodeClusterNotReachable || len(pool.Linked()) != 0 {
		t.Errorf("%v", err)
	}
	// Another kubeconfig is given.
	again := kept(d.Kubeconfig(d.Address(), "another"))
	again.Version = "2"
	k.set(again)
	k.await(t, "linked uid-1")
	second := sessionOf(t, pool)
	// Another cluster is at its address.
	d.SetUID("uid-2")
	if said := k.await(t, "unreachable"); !strings.Contains(said, "another cluster") {
		t.Error(said)
	}
	<-second.Ended()
	d.SetUID("uid-1")
	third := sessionOf(t, pool)
	// It leaves.
	k.set()
	<-third.Ended()
}

func TestAKubeconfigThatHasEndedIsSeenWhenAnythingIsAsked(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	k := newKeeper(kept(d.Kubeconfig(d.Address(), testToken)))
	pool := pooledAsking(t, k, time.Hour)
	k.await(t, "linked uid-1")
	s := sessionOf(t, pool)
	d.SetToken("another")
	if _, _, err := send(t, s.Kubernetes(testIdentity), http.MethodGet, "/version"); coffer.CodeOf(err) != coffer.CodeClusterNotReachable {
		t.Errorf("%v", err)
	}
	if said := k.await(t, "unreachable"); !strings.Contains(said, "credentials") {
		t.Error(said)
	}
}

func TestASessionThatThisServerEndsIsNoClusterThatIsNotReached(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	k := newKeeper(kept(d.Kubeconfig(d.Address(), testToken)))
	pool := pooled(t, k)
	k.await(t, "linked uid-1")
	first := sessionOf(t, pool)
	pool.Close(testCluster)
	<-first.Ended()
	// The cluster has not left: it is reached again, and nobody is told that it was not.
	if next := k.await(t, ""); next != "linked uid-1" {
		t.Error(next)
	}
}

func TestASessionThatIsNotRecordedIsNone(t *testing.T) {
	d := vaultworld.NewDialled(t, "uid-1", testToken)
	k := newKeeper(kept(d.Kubeconfig(d.Address(), testToken)))
	k.refuse = coffer.Errorf(coffer.CodeJoinRefused, "another replica dials it")
	pool := pooled(t, k)
	k.await(t, "unreachable: another replica")
	if _, err := pool.Session(t.Context(), testCluster); err == nil {
		t.Error("there is a session")
	}
}
