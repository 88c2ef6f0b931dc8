package arm

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

func TestAClusterJoinsAndLeaves(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, extension+version, extensionBody)
	const token, leave = cluster + "/providers/Coffer.Backup/joinToken", cluster + "/providers/Coffer.Backup/leave"
	made := w.must(200, http.MethodPost, token+version, `{"server":"10.0.0.1:9445"}`)
	if made.at("address") != "10.0.0.1:9445" || made.at("expires") == nil || !strings.Contains(made.at("command").(string), " | kubectl -n dataprotection-microsoft create secret generic coffer-join ") || made.header.Get("Cache-Control") != "no-store" {
		t.Errorf("made: %s %v", made.text, made.header)
	}
	w.must(400, http.MethodPost, token+version, `{"server":"nowhere"}`)
	w.must(400, http.MethodPost, token+version, `{"server":1}`)
	w.must(404, http.MethodPost, strings.Replace(token, "aks1", "none", 1)+version, "")
	w.must(404, http.MethodPost, strings.Replace(leave, "aks1", "none", 1)+version, "")
	w.must(404, http.MethodPost, vaultID+"/providers/Coffer.Backup/joinToken"+version, "")

	w.join(false)
	shown := w.must(200, http.MethodGet, cluster+version, "")
	if shown.at("properties", "coffer", "state") != "Connected" || shown.at("properties", "coffer", "clusterUid") != "uid-1" || shown.at("properties", "coffer", "linkedBy") != "one" {
		t.Errorf("joined: %s", shown.text)
	}
	if got := w.must(200, http.MethodGet, extension+version, ""); strings.Contains(got.text, "InstallationPending") {
		t.Errorf("its extension: %s", got.text)
	}
	left := w.must(200, http.MethodPost, leave+version, "")
	if left.at("properties", "coffer", "state") != "Pending" || left.at("properties", "coffer", "clusterUid") != nil || len(w.links.Linked()) != 0 {
		t.Errorf("left: %s, and linked are %v", left.text, w.links.Linked())
	}
	w.join(false)
	w.must(204, http.MethodDelete, cluster+version, "")
	if len(w.links.Linked()) != 0 {
		t.Error("a cluster that was deleted is linked")
	}
}

func TestTrustedAccessIsApprovedBeforeItsAnswer(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	w.join(true)
	// A contributor of the cluster, who may read the vault, does not consent for its owner.
	for i, at := range []string{cluster, vaultID} {
		w.must(201, http.MethodPut, at+"/providers/Microsoft.Authorization/roleAssignments/55555555-5555-4555-8555-55555555556"+string(rune('0'+i))+version,
			`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/`+access.ContributorID+`","principalId":"`+w.objectID("contributor")+`"}}`)
	}
	got := w.do("contributor", http.MethodPut, binding+version, bindingBody)
	if got.status != 201 || got.at("properties", "coffer", "state") != "Pending" || got.at("properties", "coffer", "checked") == nil {
		t.Errorf("by a contributor: %d %s", got.status, got.text)
	}
	got = w.must(200, http.MethodPut, binding+version, bindingBody)
	if got.at("properties", "coffer", "state") != "Approved" || got.header.Get("Etag") != got.at("eTag") {
		t.Errorf("by the owner: %s", got.text)
	}
	// A cluster that is away keeps nobody from putting it.
	w.links.Set(cluster, nil)
	w.must(200, http.MethodPut, binding+version, bindingBody)
	away := w.must(503, http.MethodPost, binding+"/providers/Coffer.Backup/check"+version, "")
	if away.at("error", "code") != "UserErrorKubernetesClusterNotReachable" || away.header.Get("Retry-After") == "" {
		t.Errorf("away: %s", away.text)
	}
}

// passing is a second replica before the first: what needs the cluster, it passes on.
func (w *world) passing(to string, transport http.RoundTripper) *httptest.Server {
	w.t.Helper()
	c := w.Config.Handler.(*Server).Config
	c.Links = noLinks{}
	jobs := *c.Jobs
	jobs.Clusters = noLinks{}
	c.Jobs = &jobs
	var err error
	c.Consents, err = vault.NewConsents(vault.ConsentsConfig{Database: w.db, Clusters: noLinks{}, NowFunc: w.Config.Handler.(*Server).Keeper.Now, Log: c.Log})
	if err != nil {
		w.t.Fatal(err)
	}
	c.Replicas = Replicas{
		Elsewhere: func(context.Context, catalogue.ID) (string, error) { return to, nil }, Transport: transport,
	}
	s := httptest.NewTLSServer(New(c))
	w.t.Cleanup(s.Close)
	return s
}

// noLinks are those of a replica that has none.
type noLinks struct{}

func (noLinks) Linked() []catalogue.ID { return nil }
func (noLinks) Close(catalogue.ID)     {}
func (noLinks) Session(context.Context, catalogue.ID) (catalogue.ClusterSession, error) {
	return nil, &coffer.Error{Code: coffer.CodeClusterNotReachable, Message: "it is not linked", Transient: true}
}

func TestWhatNeedsAClusterIsPassedOnOnce(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	w.must(201, http.MethodPut, vaultID+version, vaultBody)
	w.join(false)
	w.must(201, http.MethodPut, binding+version, bindingBody)
	identity := w.must(200, http.MethodGet, binding+version, "").at("properties", "coffer", "identity").(string)
	w.aks.Bind(identity, true)
	const check = binding + "/providers/Coffer.Backup/check" + version
	second := w.passing(w.URL, w.Client().Transport)
	ask := func(at *httptest.Server, token, method, path, body string, header ...string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, at.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		a, err := at.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = a.Body.Close() }()
		var v json.RawMessage
		if err := json.NewDecoder(a.Body).Decode(&v); err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(v)
	}
	if status, text := ask(second, "owner", http.MethodPost, check, ""); status != 200 || !strings.Contains(text, `"Approved"`) {
		t.Errorf("passed on: %d %s", status, text)
	}
	// Who they are is asked by both.
	if status, text := ask(second, "guest", http.MethodPost, check, ""); status != 403 {
		t.Errorf("a guest: %d %s", status, text)
	}
	// A binding is put here, and the cluster is asked there.
	w.aks.Bind(identity, false)
	if status, text := ask(second, "owner", http.MethodPut, binding+version, bindingBody); status != 200 || !strings.Contains(text, `"Pending"`) {
		t.Errorf("put here: %d %s", status, text)
	}
	// Not twice, however the replicas stand to each other.
	if status, text := ask(second, "owner", http.MethodPost, check, "", passedOn, "1"); status != 503 {
		t.Errorf("passed on already: %d %s", status, text)
	}
	loop := w.passing("", w.Client().Transport)
	loop.Config.Handler.(*Server).Replicas.Elsewhere = func(context.Context, catalogue.ID) (string, error) { return loop.URL, nil }
	if status, text := ask(loop, "owner", http.MethodPost, check, ""); status != 503 {
		t.Errorf("to itself: %d %s", status, text)
	}
	// To nobody who cannot prove to be a replica.
	if status, text := ask(w.passing(w.URL, &http.Transport{}), "owner", http.MethodPost, check, ""); status != 503 || !strings.Contains(text, "does not answer") {
		t.Errorf("to a stranger: %d %s", status, text)
	}
}
