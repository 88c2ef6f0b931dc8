package vault_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	testGroup    = "/subscriptions/22222222-2222-8222-8222-222222222222/resourceGroups/rg"
	testCluster  = catalogue.ID(testGroup + "/providers/Microsoft.ContainerService/managedClusters/aks1")
	otherCluster = catalogue.ID(testGroup + "/providers/Microsoft.ContainerService/managedClusters/aks2")
	testVault    = catalogue.ID(testGroup + "/providers/Microsoft.DataProtection/backupVaults/v1")
	testBinding  = testCluster + "/trustedAccessRoleBindings/b1"
	extensionID  = testCluster + "/providers/Microsoft.KubernetesConfiguration/extensions/azure-aks-backup"
)

// joinWorld is a vault's server with two clusters that have not joined.
type joinWorld struct {
	*vaultworld.World
	t         *testing.T
	keeper    *vault.Keeper
	authority *vault.Authority
	joining   *vault.Joining
	owner     vault.Caller
}

func newJoinWorld(t *testing.T) *joinWorld {
	t.Helper()
	w := &joinWorld{World: vaultworld.New(t), t: t}
	var err error
	if w.authority, err = vault.OpenAuthority(t.Context(), w.Database, w.Sealer, w.Clock.Now); err != nil {
		t.Fatal(err)
	}
	w.joining = w.replica("one")
	_, w.owner = w.MustAdministrator(t)
	n := 0
	newID := func() string { n++; return fmt.Sprintf("33333333-3333-8333-8333-%012d", n) }
	w.keeper = &vault.Keeper{
		DB: w.Database, Now: w.Clock.Now, NewID: newID, NewObjectID: newID,
		Kinds: vault.NewKinds(vault.SubscriptionKind("t"), vault.GroupKind(), vault.ClusterKind("t"), vault.BindingKind(), vault.ExtensionKind(w.Sealer, "t"), vault.StorageKind(), vault.BackupVaultKind("t")),
	}
	w.put("/subscriptions/22222222-2222-8222-8222-222222222222", `{"displayName":"s"}`)
	w.put(testGroup, `{"location":"westeurope"}`)
	w.put(testCluster, `{"location":"westeurope"}`)
	w.put(otherCluster, `{"location":"westeurope"}`)
	w.put(extensionID, `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes"}}`)
	return w
}

// replica is one of the server's.
func (w *joinWorld) replica(name string) *vault.Joining {
	w.t.Helper()
	j, err := vault.NewJoining(vault.JoiningConfig{
		Database: w.Database, Sealer: w.Sealer, Authority: w.authority, NowFunc: w.Clock.Now, Random: rand.Reader,
		Address: "vaults.example:8445", Hosts: []string{"vaults.example", "*.vaults.example", "10.0.0.1"}, Replica: name, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return j
}

func (w *joinWorld) put(id catalogue.ID, body string) catalogue.Resource {
	w.t.Helper()
	return w.putAs(w.owner, id, body)
}

func (w *joinWorld) putAs(by vault.Caller, id catalogue.ID, body string) catalogue.Resource {
	w.t.Helper()
	kept, err := w.keeper.Put(w.t.Context(), by, vault.Put{ID: id, Body: json.RawMessage(body)})
	if err != nil {
		w.t.Fatal(err)
	}
	return kept.Resource
}

func (w *joinWorld) get(id catalogue.ID) catalogue.Resource {
	w.t.Helper()
	r, err := w.keeper.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *joinWorld) facts(id catalogue.ID) vault.ClusterFacts {
	w.t.Helper()
	f, err := vault.ClusterFactsOf(w.get(id))
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// secret is that of a new join token.
func (w *joinWorld) secret(cluster catalogue.ID) string {
	w.t.Helper()
	made, err := w.joining.IssueToken(w.t.Context(), w.owner, cluster, "")
	if err != nil {
		w.t.Fatal(err)
	}
	token, err := link.ParseToken(made.Token)
	if err != nil {
		w.t.Fatal(err)
	}
	if token.Cluster != string(cluster) || token.Address != "vaults.example:8445" || token.Authority != w.authority.Digest() || !strings.Contains(made.Command, made.Token) {
		w.t.Errorf("the token is %+v, and the command %s", token, made.Command)
	}
	// Everybody on a machine sees the arguments of its programs; what comes before the pipe is the shell's own.
	if own, program, _ := strings.Cut(made.Command, " | "); own != "printf %s "+made.Token || strings.Contains(program, made.Token) {
		w.t.Errorf("the token is an argument: %s", made.Command)
	}
	return token.Secret
}

// connector has a key and a cluster.
type connector struct {
	key   *ecdsa.PrivateKey
	hello link.Hello
}

func newConnector(t *testing.T, uid string) connector {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return connector{key, link.Hello{
		Protocol: link.Protocol, ClusterUID: uid, Namespace: "coffer", VaultsNamespace: "coffer-vaults", Version: "v1.0.0", KubernetesVersion: "v1.34.1", BindingsByOwner: true,
	}}
}

func mustRequest(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

func mustParse(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatalf("it is no PEM: %s", text)
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *joinWorld) join(c connector, secret string) (*x509.Certificate, error) {
	w.t.Helper()
	made, err := w.joining.Join(w.t.Context(), secret, mustRequest(w.t, c.key), c.hello, "192.0.2.7")
	if err != nil {
		return nil, err
	}
	if made.Authority != string(w.authority.PEM) {
		w.t.Errorf("the authority is %s", made.Authority)
	}
	return mustParse(w.t, made.Certificate), nil
}

func (w *joinWorld) mustJoin(c connector, cluster catalogue.ID) *x509.Certificate {
	w.t.Helper()
	certificate, err := w.join(c, w.secret(cluster))
	if err != nil {
		w.t.Fatal(err)
	}
	return certificate
}

// mustBeLinked joins a cluster and links it.
func (w *joinWorld) mustBeLinked(cluster catalogue.ID, c connector) {
	w.t.Helper()
	w.mustJoin(c, cluster)
	if err := w.joining.Linked(w.t.Context(), cluster, infoOf(c.hello)); err != nil {
		w.t.Fatal(err)
	}
}

func infoOf(h link.Hello) catalogue.ClusterInfo {
	return catalogue.ClusterInfo{
		UID: h.ClusterUID, Namespace: h.Namespace, VaultsNamespace: h.VaultsNamespace, Version: h.Version,
		KubernetesVersion: h.KubernetesVersion, BindingsByOwner: h.BindingsByOwner, Settings: h.Settings, SettingsByOwner: h.SettingsByOwner, Notes: h.Notes,
	}
}

// mustBeRefused fails unless an error says so for good, and what to do.
func mustBeRefused(t *testing.T, err error, words ...string) {
	t.Helper()
	refused, ok := errors.AsType[*coffer.Error](err)
	if !ok || refused.Code != coffer.CodeJoinRefused || refused.Transient || refused.Hint == "" {
		t.Errorf("the error is %v", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q says nothing of %s", err, word)
		}
	}
}

func TestAClusterJoinsOnceByAToken(t *testing.T) {
	w := newJoinWorld(t)
	c, secret := newConnector(t, "uid-1"), w.secret(testCluster)
	first, err := w.join(c, secret)
	if err != nil {
		t.Fatal(err)
	}
	if got := first.URIs[0].String(); got != "coffer://cluster"+string(testCluster) || first.NotAfter.Sub(w.Clock.Now()) != 30*24*time.Hour {
		t.Errorf("the certificate names %s until %s", got, first.NotAfter)
	}
	f := w.facts(testCluster)
	if f.State != vault.ClusterDisconnected || f.ClusterUID != "uid-1" || f.Namespace != "coffer" || !f.Joined.Equal(w.Clock.Now()) {
		t.Errorf("the cluster is %+v", f)
	}
	// Its connector has died before it kept the certificate.
	again, err := w.join(c, secret)
	if err != nil {
		t.Fatalf("the same key again: %v", err)
	}
	if id, err := w.joining.Admit(t.Context(), again, c.hello); err != nil || !id.Is(testCluster) {
		t.Errorf("it is admitted as %s: %v", id, err)
	}
	thief := newConnector(t, "uid-1")
	_, err = w.join(thief, secret)
	mustBeRefused(t, err, "used already", "coffer cluster join")
	w.Clock.Move(time.Hour)
	_, err = w.join(c, secret)
	mustBeRefused(t, err, "ended")

	var actions []string
	err = w.Database.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		entries, err := v.Audit(ctx, catalogue.AuditQuery{Under: testCluster, Limit: 100})
		for _, e := range entries {
			actions = append(actions, e.Action+" "+e.Remote)
			if strings.Contains(string(e.Before)+string(e.After), strings.Split(secret, ".")[1]) {
				t.Errorf("the audit log has the secret: %+v", e)
			}
		}
		return err
	})
	if err != nil || strings.Join(actions[:2], ", ") != "Coffer.Backup/clusters/join/action 192.0.2.7, Coffer.Backup/clusters/joinToken/action 192.0.2.1" {
		t.Errorf("the audit log has %q: %v", actions, err)
	}
}

func TestAJoinTokenThatDoesNotHoldIsRefused(t *testing.T) {
	w := newJoinWorld(t)
	c, secret := newConnector(t, "uid-1"), w.secret(testCluster)
	id, random, _ := strings.Cut(secret, ".")
	for _, wrong := range []string{"", ".", id, id + ".", id + "." + strings.Repeat("A", len(random)), "0000000000000000." + random, secret + "A"} {
		_, err := w.join(c, wrong)
		mustBeRefused(t, err, "not known")
	}
	w.Clock.Move(time.Hour - time.Microsecond)
	if _, err := w.join(c, secret); err != nil {
		t.Errorf("in the last moment: %v", err)
	}
	late := w.secret(otherCluster)
	w.Clock.Move(time.Hour)
	_, err := w.join(newConnector(t, "uid-2"), late)
	mustBeRefused(t, err, "ended")
	// Its clock is set back: what has ended here may begin again, which is no more than it was.
	w.Clock.Move(-time.Hour)
	if _, err := w.join(newConnector(t, "uid-2"), late); err != nil {
		t.Errorf("in its time again: %v", err)
	}
	key, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // It is refused.
	if err != nil {
		t.Fatal(err)
	}
	good := mustRequest(t, c.key)
	forged := slices.Clone(good)
	forged[len(forged)-60] ^= 1
	for name, request := range map[string][]byte{"nothing": nil, "an RSA key": mustRequest(t, key), "two": append(slices.Clone(good), good...), "a damaged one": forged} {
		if _, err := w.joining.Join(t.Context(), w.secret(testCluster), request, c.hello, ""); coffer.CodeOf(err) != coffer.CodeInvalidInput {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, address := range []string{"x", "x:0", "x:99999", "x y:1", "$(x):1", ":1", "other.example:8445", "10.0.0.2:1", "replica.coffer.invalid:1"} {
		if _, err := w.joining.IssueToken(t.Context(), w.owner, testCluster, address); coffer.CodeOf(err) != coffer.CodeInvalidInput {
			t.Errorf("a token for %s: %v", address, err)
		}
	}
	for _, address := range []string{"VAULTS.example:1", "eu.vaults.example:8445", "10.0.0.1:65535"} {
		if _, err := w.joining.IssueToken(t.Context(), w.owner, testCluster, address); err != nil {
			t.Errorf("a token for %s: %v", address, err)
		}
	}
	if _, err := w.joining.IssueToken(t.Context(), w.owner, testCluster+"0", ""); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("a token for a cluster that is not there: %v", err)
	}
}

func TestThereAreAFewJoinTokensAtATime(t *testing.T) {
	w := newJoinWorld(t)
	var secrets []string
	for range 6 {
		secrets = append(secrets, w.secret(testCluster))
		w.Clock.Move(time.Minute)
	}
	c := newConnector(t, "uid-1")
	_, err := w.join(c, secrets[0])
	mustBeRefused(t, err)
	if _, err := w.join(c, secrets[1]); err != nil {
		t.Error(err)
	}
	// A change of the cluster by a client ends none.
	w.put(testCluster, `{"location":"westeurope","tags":{"a":"b"},"properties":{"coffer":{"state":"Connected","command":"rm -rf /"}}}`)
	if _, err := w.join(c, secrets[5]); err != nil {
		t.Error(err)
	}
	if text, err := vault.Shown(w.get(testCluster)); err != nil || strings.Contains(string(text), "rm -rf") {
		t.Errorf("it is shown as %s: %v", text, err)
	}
}

func TestOneOfManyWhoShowATokenAtOnceHasIt(t *testing.T) {
	w := newJoinWorld(t)
	secret := w.secret(testCluster)
	var all sync.WaitGroup
	var mu sync.Mutex
	let := 0
	for range 8 {
		c := newConnector(t, "uid-1")
		request := mustRequest(t, c.key)
		all.Go(func() {
			for {
				_, err := w.joining.Join(t.Context(), secret, request, c.hello, "")
				if refused, ok := errors.AsType[*coffer.Error](err); ok && refused.Transient {
					continue
				}
				mu.Lock()
				if err == nil {
					let++
				}
				mu.Unlock()
				return
			}
		})
	}
	all.Wait()
	if let != 1 {
		t.Errorf("%d have joined by one token", let)
	}
}

func TestAClusterIsItselfAndNoOther(t *testing.T) {
	w := newJoinWorld(t)
	one, two := newConnector(t, "UID-1"), newConnector(t, "uid-2")
	certificate := w.mustJoin(one, testCluster)
	_, err := w.join(two, w.secret(testCluster))
	mustBeRefused(t, err, "uid-1", "uid-2", "coffer cluster leave "+string(testCluster))
	_, err = w.join(newConnector(t, "uid-1"), w.secret(otherCluster))
	mustBeRefused(t, err, string(testCluster), "coffer cluster leave")
	if f := w.facts(otherCluster); f.State != vault.ClusterPending {
		t.Errorf("the other one is %+v", f)
	}
	// Its API server was made anew: the connector is the same, and the cluster is not.
	moved := one
	moved.hello.ClusterUID = "uid-3"
	_, err = w.joining.Admit(t.Context(), certificate, moved.hello)
	mustBeRefused(t, err, "uid-3")
	mustBeRefused(t, w.joining.Linked(t.Context(), testCluster, infoOf(moved.hello)), "uid-3")
	if _, err := w.joining.Leave(t.Context(), w.owner, testCluster); err != nil {
		t.Fatal(err)
	}
	w.mustJoin(moved, testCluster)
	// And what it was is free.
	w.mustJoin(one, otherCluster)
}

func TestLeavingEndsAllCertificates(t *testing.T) {
	w := newJoinWorld(t)
	c := newConnector(t, "uid-1")
	first := w.mustJoin(c, testCluster)
	made, err := w.joining.Renew(t.Context(), first, mustRequest(t, c.key))
	if err != nil {
		t.Fatal(err)
	}
	renewed := mustParse(t, made.Certificate)
	for _, certificate := range []*x509.Certificate{first, renewed} {
		if _, err := w.joining.Admit(t.Context(), certificate, c.hello); err != nil {
			t.Errorf("before it has left: %v", err)
		}
	}
	unused := w.secret(testCluster)
	if r, err := w.joining.Leave(t.Context(), w.owner, testCluster); err != nil || !r.ID.Is(testCluster) {
		t.Fatal(err)
	}
	mustHaveEnded := func() {
		t.Helper()
		for _, certificate := range []*x509.Certificate{first, renewed} {
			_, err := w.joining.Admit(t.Context(), certificate, c.hello)
			mustBeRefused(t, err, "has left")
			_, err = w.joining.Renew(t.Context(), certificate, mustRequest(t, c.key))
			mustBeRefused(t, err, "has left")
		}
	}
	mustHaveEnded()
	mustBeRefused(t, w.joining.Linked(t.Context(), testCluster, infoOf(c.hello)), "has left")
	_, err = w.join(c, unused)
	mustBeRefused(t, err, "not known")
	// Nor do they come to life when it joins again.
	again := w.mustJoin(c, testCluster)
	mustHaveEnded()
	if _, _, err := w.keeper.Delete(t.Context(), w.owner, testCluster, catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	w.put(testCluster, `{"location":"westeurope"}`)
	_, err = w.joining.Admit(t.Context(), again, c.hello)
	mustBeRefused(t, err, "has left")
}

func TestOnlyACertificateOfAClusterIsTaken(t *testing.T) {
	w := newJoinWorld(t)
	c := newConnector(t, "uid-1")
	certificate := w.mustJoin(c, testCluster)
	served, err := w.authority.Serve([]string{"vaults.example"})(nil)
	if err != nil {
		t.Fatal(err)
	}
	stranger := newJoinWorld(t)
	for name, peer := range map[string]*x509.Certificate{
		"none": nil, "the server's": served.Leaf, "the authority's": mustParse(t, string(w.authority.PEM)), "another server's": stranger.mustJoin(c, testCluster),
	} {
		if _, err := w.joining.Admit(t.Context(), peer, c.hello); err == nil {
			t.Errorf("%s: admitted", name)
		} else {
			mustBeRefused(t, err, "is not good")
		}
	}
	// A connector whose clock is an hour behind can use it at once, and a server whose clock was an hour ahead knows it again.
	w.Clock.Move(-time.Hour)
	if _, err := w.joining.Admit(t.Context(), certificate, c.hello); err != nil {
		t.Errorf("an hour before: %v", err)
	}
	w.Clock.Move(30*24*time.Hour + time.Hour)
	if _, err := w.joining.Admit(t.Context(), certificate, c.hello); err != nil {
		t.Errorf("in the last moment: %v", err)
	}
	w.Clock.Move(time.Second)
	_, err = w.joining.Admit(t.Context(), certificate, c.hello)
	mustBeRefused(t, err, "expired")
	_, err = w.joining.Renew(t.Context(), certificate, mustRequest(t, c.key))
	mustBeRefused(t, err, "expired")
}

// A connector's certificate is none of a server, so that who has taken a cluster over cannot stand in the server's place.
func TestTheCertificateOfAClusterServesNobody(t *testing.T) {
	w := newJoinWorld(t)
	c := newConnector(t, "uid-1")
	certificate := w.mustJoin(c, testCluster)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.authority.PEM)
	client, server := net.Pipe()
	go func() {
		_ = tls.Server(server, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{{Certificate: [][]byte{certificate.Raw}, PrivateKey: c.key}}}).HandshakeContext(t.Context())
	}()
	peer := tls.Client(client, &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: roots, ServerName: "aks1", Time: w.Clock.Now,
	})
	if err := peer.HandshakeContext(t.Context()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("the handshake: %v", err)
	}
	_, err := certificate.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: w.Clock.Now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err == nil {
		t.Error("it is good for a server")
	}
}

func TestWhatIsKnownOfAClusterFollowsItsLink(t *testing.T) {
	w := newJoinWorld(t)
	c := newConnector(t, "uid-1")
	if text := string(w.get(extensionID).Facts); !strings.Contains(text, "InstallationPending") {
		t.Errorf("the extension is %s", text)
	}
	w.mustBeLinked(testCluster, c)
	f := w.facts(testCluster)
	if f.State != vault.ClusterConnected || f.LinkedBy != "one" || f.Command != "" || f.KubernetesVersion != "v1.34.1" || !f.BindingsByOwner {
		t.Errorf("linked, it is %+v", f)
	}
	if text := string(w.get(extensionID).Facts); !strings.Contains(text, `"Succeeded"`) || strings.Contains(text, "InstallationPending") || !strings.Contains(text, `"principalId"`) {
		t.Errorf("the extension is %s", text)
	}
	// It has come to another replica before this one knows that it has gone.
	two := w.replica("two")
	if err := two.Linked(t.Context(), testCluster, infoOf(c.hello)); err != nil {
		t.Fatal(err)
	}
	w.joining.Unlinked(t.Context(), testCluster)
	if f := w.facts(testCluster); f.State != vault.ClusterConnected || f.LinkedBy != "two" {
		t.Errorf("on another replica it is %+v", f)
	}
	w.Clock.Move(time.Minute)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	// Whoever has told it has gone, too.
	two.Unlinked(gone, testCluster)
	if f := w.facts(testCluster); f.State != vault.ClusterDisconnected || f.LinkedBy != "" || f.ClusterUID != "uid-1" || !f.Since.Equal(w.Clock.Now()) || !strings.Contains(f.Command, "-n coffer ") {
		t.Errorf("unlinked, it is %+v", f)
	}
	hostile := infoOf(c.hello)
	hostile.Namespace = "x;reboot"
	if err := w.joining.Linked(t.Context(), testCluster, hostile); coffer.CodeOf(err) != coffer.CodeInvalidInput {
		t.Errorf("a namespace that a shell would obey: %v", err)
	}
}
