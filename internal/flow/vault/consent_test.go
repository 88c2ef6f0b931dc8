package vault_test

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

// consentWorld is a cluster that is linked, and a vault.
type consentWorld struct {
	*joinWorld
	cluster  *vaultworld.APIServer
	links    *vaultworld.Links
	consents *vault.Consents
	// contributor may write to the cluster, and is not its owner.
	contributor vault.Caller
}

const bindingBody = `{"properties":{"sourceResourceId":"` + string(testVault) + `","roles":["Microsoft.DataProtection/backupVaults/backup-operator"]}}`

func newConsentWorld(t *testing.T, byOwner bool) *consentWorld {
	t.Helper()
	w := &consentWorld{joinWorld: newJoinWorld(t), links: vaultworld.NewLinks()}
	c := newConnector(t, "uid-1")
	c.hello.BindingsByOwner = byOwner
	w.cluster = vaultworld.NewAPIServer(t, infoOf(c.hello))
	w.mustBeLinked(testCluster, c)
	w.links.Set(testCluster, w.cluster)
	var err error
	w.consents, err = vault.NewConsents(vault.ConsentsConfig{Database: w.Database, Clusters: w.links, NowFunc: w.Clock.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.put(testVault, `{"location":"westeurope","properties":{"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]}}`)
	w.contributor = vault.Caller{Principal: catalogue.Principal{ObjectID: "88888888-8888-4888-8888-888888888888", Name: "contributor"}}
	_, _, err = w.Access.PutAssignment(t.Context(), w.owner, catalogue.ID(testGroup+"/providers/Microsoft.Authorization/roleAssignments/66666666-6666-4666-8666-666666666666"),
		[]byte(`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/`+access.ContributorID+`","principalId":"`+w.contributor.Principal.ObjectID+`","principalType":"ServicePrincipal"}}`), catalogue.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *consentWorld) binding() vault.BindingFacts {
	w.t.Helper()
	f, err := vault.BindingFactsOf(w.get(testBinding))
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *consentWorld) mustBe(state vault.BindingState) vault.BindingFacts {
	w.t.Helper()
	if _, err := w.consents.Check(w.t.Context(), testBinding); err != nil {
		w.t.Fatal(err)
	}
	f := w.binding()
	if f.State != state {
		w.t.Errorf("the binding is %+v, not %s", f, state)
	}
	return f
}

func TestTheClusterHasTheLastWordOnTrustedAccess(t *testing.T) {
	w := newConsentWorld(t, false)
	w.put(testBinding, bindingBody)
	f := w.mustBe(vault.BindingPending)
	want := "kubectl -n coffer create rolebinding coffer-" + f.Identity + " --clusterrole=backup-operator --serviceaccount=coffer-vaults:" + f.Identity
	if f.Command != want || f.Identity != catalogue.VaultIdentity(testVault, w.get(testVault).Created.At) || f.Message == "" {
		t.Errorf("it says %+v, want the command %s", f, want)
	}
	w.cluster.Bind("vault-"+strings.Repeat("0", 40), true)
	w.mustBe(vault.BindingPending)
	w.cluster.Bind(f.Identity, true)
	if f = w.mustBe(vault.BindingApproved); f.Command != "" || f.Message != "" || !f.Checked.Equal(w.Clock.Now()) {
		t.Errorf("approved, it says %+v", f)
	}
	// The same again, and a change by a client, leave it.
	w.putAs(w.contributor, testBinding, bindingBody)
	if f = w.binding(); f.State != vault.BindingApproved {
		t.Errorf("put again, it is %+v", f)
	}
	w.cluster.Bind(f.Identity, false)
	if f = w.mustBe(vault.BindingPending); f.Command != want {
		t.Errorf("taken away, it says %+v", f)
	}
}

func TestOnlyAnOwnerConsents(t *testing.T) {
	w := newConsentWorld(t, true)
	w.putAs(w.contributor, testBinding, bindingBody)
	identity := w.mustBe(vault.BindingPending).Identity
	// It is theirs from now on to ask for.
	w.put(testBinding, bindingBody)
	if f := w.mustBe(vault.BindingApproved); f.Consent != vault.ConsentGiven {
		t.Errorf("by its owner, it is %+v", f)
	}
	entries := 0
	err := w.Database.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		all, err := v.Audit(ctx, catalogue.AuditQuery{Under: testBinding, Limit: 100})
		for _, e := range all {
			if e.Action == access.ActionConsent {
				entries++
			}
		}
		return err
	})
	if err != nil || entries != 1 {
		t.Errorf("%d entries of consent: %v", entries, err)
	}
	// Who takes it away in the cluster has taken it away, whatever was asked for before, and whoever puts the same again.
	w.cluster.Bind(identity, false)
	w.mustBe(vault.BindingPending)
	w.putAs(w.contributor, testBinding, bindingBody)
	w.mustBe(vault.BindingPending)
	w.put(testBinding, bindingBody)
	w.mustBe(vault.BindingApproved)
}

func TestConsentIsForOneClusterAndOneVault(t *testing.T) {
	w := newConsentWorld(t, true)
	w.put(testBinding, bindingBody)
	before := w.mustBe(vault.BindingApproved)
	// The vault is deleted, and another one has its name.
	w.Clock.Move(time.Second)
	if _, _, err := w.keeper.Delete(t.Context(), w.owner, testVault, catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	w.put(testVault, `{"location":"westeurope","properties":{"storageSettings":[{"datastoreType":"VaultStore","type":"LocallyRedundant"}]}}`)
	w.putAs(w.contributor, testBinding, bindingBody)
	if f := w.mustBe(vault.BindingPending); f.Identity == before.Identity {
		t.Errorf("the stranger is %+v", f)
	}
	w.put(testBinding, bindingBody)
	w.mustBe(vault.BindingApproved)
	// The cluster leaves, and another one comes in its place: nobody has consented there.
	if _, err := w.joining.Leave(t.Context(), w.owner, testCluster); err != nil {
		t.Fatal(err)
	}
	if f := w.binding(); f.State != vault.BindingPending || f.Consent != "" || !strings.Contains(f.Command, "coffer cluster join") {
		t.Errorf("once the cluster has left, it is %+v", f)
	}
	if _, err := w.consents.Check(t.Context(), testBinding); coffer.CodeOf(err) != coffer.CodeClusterNotJoined {
		t.Errorf("asked of a cluster that has left: %v", err)
	}
	c := newConnector(t, "uid-2")
	w.mustBeLinked(testCluster, c)
	w.links.Set(testCluster, vaultworld.NewAPIServer(t, infoOf(c.hello)))
	w.mustBe(vault.BindingPending)
}

func TestAClusterThatAnswersNonsenseApprovesNothing(t *testing.T) {
	w := newConsentWorld(t, false)
	w.put(testBinding, bindingBody)
	const allowed = `"kind":"SelfSubjectAccessReview","status":{"allowed":true}`
	for name, answer := range map[string]http.HandlerFunc{
		"an error": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "{"+allowed+"}", http.StatusInternalServerError)
		},
		"no JSON":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`yes`)) },
		"another kind": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"status":{"allowed":true}}`)) },
		"without end": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte("{" + allowed + `,"x":"` + strings.Repeat("x", 1<<17) + `"}`))
		},
		"half of it": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("{" + allowed))
		},
	} {
		w.cluster.Answer(answer)
		if _, err := w.consents.Check(t.Context(), testBinding); coffer.CodeOf(err) != coffer.CodeClusterNotReachable || coffer.Final(err) {
			t.Errorf("%s: %v", name, err)
		}
		if f := w.binding(); f.State != vault.BindingPending {
			t.Errorf("%s: %+v", name, f)
		}
	}
	w.cluster.Answer(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	w.mustBe(vault.BindingPending)
	w.links.Set(testCluster, nil)
	if _, err := w.consents.Check(t.Context(), testBinding); coffer.CodeOf(err) != coffer.CodeClusterNotReachable || coffer.Final(err) {
		t.Errorf("without a link: %v", err)
	}
}

func TestEachLinkHasItsTrustedAccessChecked(t *testing.T) {
	w := newConsentWorld(t, true)
	w.links.Set(testCluster, nil)
	// Asked for while the cluster was away.
	w.put(testBinding, bindingBody)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.consents.Run(ctx) })
	defer running.Wait()
	defer cancel()
	w.links.Set(testCluster, w.cluster)
	eventually(t, func() bool { return w.binding().State == vault.BindingApproved })
	identity := w.binding().Identity
	// Nothing is asked again as long as the link is the same; of another one, at once.
	w.cluster.Bind(identity, false)
	w.cluster.Relink()
	eventually(t, func() bool { return w.binding().State == vault.BindingPending })
	if n := w.cluster.Questions(); n != 3 {
		t.Errorf("it was asked %d times", n)
	}
}

// silent is a cluster that says when it is asked, and does not answer.
type silent struct {
	*vaultworld.APIServer
	asked, givenUp chan struct{}
}

func (s silent) Kubernetes(string) http.RoundTripper { return s }

func (s silent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.asked <- struct{}{}
	<-r.Context().Done()
	s.givenUp <- struct{}{}
	return nil, r.Context().Err()
}

func TestAClusterThatDoesNotAnswerKeepsNoOtherWaiting(t *testing.T) {
	w := newConsentWorld(t, true)
	w.links.Set(testCluster, nil)
	w.put(testBinding, bindingBody)
	w.put(otherCluster+"/trustedAccessRoleBindings/b1", bindingBody)
	other := newConnector(t, "uid-2")
	w.mustBeLinked(otherCluster, other)
	first := silent{w.cluster, make(chan struct{}, 1), make(chan struct{}, 1)}
	second := silent{vaultworld.NewAPIServer(t, infoOf(other.hello)), make(chan struct{}, 1), make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.consents.Run(ctx) })
	defer running.Wait()
	defer cancel()
	w.links.Set(testCluster, first)
	<-first.asked
	w.links.Set(otherCluster, second)
	select {
	case <-second.asked:
	case <-first.givenUp:
		t.Error("the second was not asked before the first was given up")
	}
}

// eventually waits until check answers true.
func eventually(t *testing.T, check func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for !check() {
		select {
		case <-deadline:
			t.Fatal("not in time")
		case <-tick.C:
		}
	}
}
