package arm

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/outbound/clusterclient"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	tenant       = "11111111-1111-8111-8111-111111111111"
	subscription = "/subscriptions/22222222-2222-8222-8222-222222222222"
	group        = subscription + "/resourceGroups/rg"
	cluster      = group + "/providers/Microsoft.ContainerService/managedClusters/aks1"
	version      = "?api-version=2025-07-01"
)

// world is a server over a real database, with callers whose tokens are their names: "owner" may all, "reader" what newCluster has
// granted, and others nothing.
type world struct {
	t  *testing.T
	db catalogue.Database
	*httptest.Server
	owner string
	// links are the clusters that are linked, of which aks is one once it has joined.
	links   *vaultworld.Links
	aks     *vaultworld.Cluster
	joining *vault.Joining
	jobs    *vault.Jobs
	// document is what all answers are judged by.
	document *openapi3.T
}

// objectID is who a token is of.
func (w *world) objectID(name string) string {
	if name == "owner" {
		return w.owner
	}
	if name == "reader" {
		return "44444444-4444-4444-8444-444444444444"
	}
	// Of everybody else another one.
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("88888888-8888-4888-8888-%x", sum[:6])
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := metadb.OpenSQLite(t.Context(), metadb.SQLite{File: filepath.Join(t.TempDir(), "coffer.db")})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db, links: vaultworld.NewLinks()}
	var n atomic.Int64
	newID := func() string { return fmt.Sprintf("33333333-3333-8333-8333-%012d", n.Add(1)) }
	access, err := vault.NewAccess(vault.AccessConfig{Database: db, Sealer: plain{}, NowFunc: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	credential, err := vault.NewCredential(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	admin, err := access.EnsureAdministrator(t.Context(), credential)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := access.Principal(t.Context(), vault.PrincipalID(admin.ClientID))
	if err != nil {
		t.Fatal(err)
	}
	facts, err := vault.FactsOf(owner)
	if err != nil {
		t.Fatal(err)
	}
	w.owner = facts.Properties.ObjectID
	authority, err := vault.OpenAuthority(t.Context(), db, plain{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.joining, err = vault.NewJoining(vault.JoiningConfig{
		Database: db, Sealer: plain{}, Authority: authority, NowFunc: time.Now, Random: rand.Reader, Address: "vaults.example:8445", Hosts: []string{"vaults.example", "10.0.0.1"}, Replica: "one",
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	consents, err := vault.NewConsents(vault.ConsentsConfig{Database: db, Clusters: w.links, NowFunc: time.Now, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	keeper := &vault.Keeper{DB: db, Now: time.Now, NewID: newID, NewObjectID: newID, Kinds: vault.NewKinds(
		vault.SubscriptionKind(tenant), vault.GroupKind(), vault.ClusterKind(tenant), vault.BindingKind(),
		vault.ExtensionKind(plain{}, tenant), vault.StorageKind(), vault.BackupVaultKind(tenant), vault.PolicyKind(retention.Limits{}), vault.InstanceKind(), vault.DeletedInstanceKind(), vault.DeletedVaultKind(), vault.GuardKind(), vault.GuardProxyKind())}
	w.jobs = &vault.Jobs{Keeper: keeper, Clusters: w.links, Runs: func(s catalogue.ClusterSession, identity string) vault.Runs {
		return clusterclient.New(s, identity)
	}}
	s := New(Config{
		Keeper: keeper, Jobs: w.jobs, Access: access, Joining: w.joining, Consents: consents, Links: w.links,
		Authenticate: func(_ context.Context, header string) (catalogue.Principal, error) {
			name := strings.TrimPrefix(header, "Bearer ")
			switch name {
			case "":
				return catalogue.Principal{}, coffer.Errorf(coffer.CodeAuthenticationFailed, "there is no token")
			case "stranger":
				return catalogue.Principal{}, coffer.Errorf(coffer.CodeTokenInvalid, "the token is not valid")
			}
			return catalogue.Principal{ObjectID: w.objectID(name), Name: name}, nil
		},
		Tenant: tenant, Log: slog.New(slog.DiscardHandler), NewID: newID, Observe: func(string, string, int, time.Duration) {},
	})
	text, err := s.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if w.document, err = openapi3.NewLoader().LoadFromData(text); err != nil {
		t.Fatal(err)
	}
	w.Server = httptest.NewTLSServer(s)
	t.Cleanup(func() {
		w.Server.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// passed is the status of a validation that has found nothing wrong.
const passed = `{"phase":"Completed","checks":[{"name":"StorageLocation","status":"Passed","resource":"BackupStorageLocation default"}]}`

// plain seals nothing.
type plain struct{}

func (plain) Seal(_ context.Context, purpose string, text []byte) ([]byte, error) {
	return append([]byte(purpose+":"), text...), nil
}

func (plain) Open(_ context.Context, purpose string, sealed []byte) ([]byte, error) {
	text, ok := bytes.CutPrefix(sealed, []byte(purpose+":"))
	if !ok {
		return nil, fmt.Errorf("it was not sealed for %q", purpose)
	}
	return text, nil
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// at is a value in the body, by the names on the way to it.
func (r reply) at(path ...string) any {
	var v any = r.body
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func (w *world) do(token, method, path, body string, header ...string) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := w.Client().Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	got := reply{status: a.StatusCode, header: a.Header, text: string(text)}
	if len(text) > 0 {
		d := json.NewDecoder(bytes.NewReader(text))
		d.UseNumber()
		if err := d.Decode(&got.body); err != nil {
			w.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	w.mustBeAsDescribed(method, path, got)
	return got
}

// must fails unless the owner is answered so.
func (w *world) must(status int, method, path, body string, header ...string) reply {
	w.t.Helper()
	got := w.do("owner", method, path, body, header...)
	if got.status != status {
		w.t.Fatalf("%s %s: %d, want %d: %s", method, path, got.status, status, got.text)
	}
	return got
}

func (w *world) newCluster() {
	w.t.Helper()
	w.must(201, http.MethodPut, subscription+version, `{"displayName":"Lab"}`)
	w.must(201, http.MethodPut, group+version, `{"location":"westeurope"}`)
	w.must(201, http.MethodPut, cluster+version, `{"location":"westeurope","identity":{"type":"SystemAssigned"}}`)
	w.must(201, http.MethodPut, group+"/providers/Microsoft.Authorization/roleAssignments/55555555-5555-4555-8555-555555555555"+version,
		`{"properties":{"roleDefinitionId":"`+subscription+`/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7","principalId":"`+
			w.objectID("reader")+`"}}`)
}

// audit is the whole log, the oldest entry first.
func (w *world) audit() []catalogue.AuditEntry {
	w.t.Helper()
	var entries []catalogue.AuditEntry
	err := w.db.View(w.t.Context(), func(ctx context.Context, v catalogue.View) (err error) {
		entries, err = v.Audit(ctx, catalogue.AuditQuery{Limit: 1000})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(entries)
	return entries
}

func TestAResourceIsWhatWasSent(t *testing.T) {
	w := newWorld(t)
	w.must(201, http.MethodPut, subscription+version, `{"displayName":"Lab"}`)
	const body = `{"location":"West Europe","tags":{"a":"<b>&ü"},"unknown":[1,12345678901234567890,1e400,null],"properties":{"x":{"y":null,"z":0.10}}}`
	made := w.must(201, http.MethodPut, "//SUBSCRIPTIONS/22222222-2222-8222-8222-222222222222/resourcegroups/Rg"+version, body)
	if made.at("id") != subscription+"/resourceGroups/Rg" || made.at("name") != "Rg" || made.at("type") != "Microsoft.Resources/resourceGroups" ||
		made.at("properties", "provisioningState") != "Succeeded" || !strings.HasPrefix(made.header.Get("Etag"), `"1-`) || made.at("eTag") != made.header.Get("Etag") {
		t.Errorf("made: %s", made.text)
	}
	for _, part := range []string{`"unknown":[1,12345678901234567890,1e400,null]`, `"z":0.10`, `"y":null`, `"location":"West Europe"`} {
		if !strings.Contains(made.text, part) {
			t.Errorf("%s is not what was sent: %s", part, made.text)
		}
	}
	// Another spelling is the same resource, under the name that it was made with.
	again := w.must(200, http.MethodPut, group+version, body)
	if again.at("id") != subscription+"/resourceGroups/Rg" || again.at("systemData", "createdAt") != made.at("systemData", "createdAt") {
		t.Errorf("again: %s", again.text)
	}
	patched := w.must(200, http.MethodPatch, group+version, `{"tags":{"b":"2"}}`)
	if patched.at("tags", "b") != "2" || patched.at("tags", "a") != "<b>&ü" || patched.at("location") != "West Europe" {
		t.Errorf("patched: %s", patched.text)
	}
	listed := w.must(200, http.MethodGet, subscription+"/resourcegroups"+version, "")
	if values, _ := listed.at("value").([]any); len(values) != 1 {
		t.Errorf("listed: %s", listed.text)
	}
	w.must(200, http.MethodDelete, group+version, "")
	w.must(404, http.MethodDelete, group+version, "")
	if gone := w.must(404, http.MethodGet, group+version, ""); gone.at("error", "code") != "ResourceNotFound" {
		t.Errorf("gone: %s", gone.text)
	}
}

func TestTwoWritersDoNotOverwriteEachOther(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	const body = `{"location":"westeurope","tags":{"by":"me"}}`
	first := w.must(200, http.MethodGet, group+version, "").header.Get("Etag")
	w.must(200, http.MethodPut, group+version, body, "If-Match", first)
	if stale := w.must(412, http.MethodPut, group+version, body, "If-Match", first); stale.at("error", "code") != "PreconditionFailed" {
		t.Errorf("stale: %s", stale.text)
	}
	w.must(412, http.MethodPut, group+version, body, "If-None-Match", "*")
	w.must(412, http.MethodDelete, cluster+version, "", "If-Match", `"7-1"`)
	// One that was made anew is not the one that somebody has read.
	old := w.must(200, http.MethodGet, cluster+version, "").header.Get("Etag")
	w.must(204, http.MethodDelete, cluster+version, "", "If-Match", old)
	w.must(201, http.MethodPut, cluster+version, `{"location":"westeurope"}`)
	w.must(412, http.MethodPut, cluster+version, `{"location":"westeurope"}`, "If-Match", old)
	w.must(412, http.MethodDelete, cluster+version, "", "If-Match", `"none of mine"`)
	w.must(200, http.MethodPut, group+version, body, "If-Match", "*")
	w.must(412, http.MethodPut, group+"-new"+version, body, "If-Match", "*")
	w.must(404, http.MethodGet, group+"-new"+version, "")
}

func TestProtectedSettingsAreNeverShown(t *testing.T) {
	w := newWorld(t)
	w.newCluster()

	made := w.must(201, http.MethodPut, extension+version, `{"properties":{"extensionType":"Microsoft.DataProtection.Kubernetes",
		"configurationSettings":{"configuration.backupStorageLocation.bucket":"b"},"configurationProtectedSettings":{"key":"hush","other":"hush2"}}}`)
	if strings.Contains(made.text, "hush") || made.at("properties", "configurationSettings", "configuration.backupStorageLocation.bucket") != "b" {
		t.Errorf("made: %s", made.text)
	}
	if made.at("properties", "coffer", "state") != "Pending" || !strings.Contains(made.text, "coffer cluster join "+cluster) {
		t.Errorf("it is not said to be pending: %s", made.text)
	}
	// What is read can be written again: a null keeps what there was.
	w.must(200, http.MethodPut, extension+version, `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes","configurationProtectedSettings":{"key":null,"other":"new"}}}`)
	secrets := w.secrets(extension)
	if len(secrets) != 2 || secrets["configurationProtectedSettings/other"] != "extension-settings "+strings.ToLower(extension)+" configurationProtectedSettings/other:new" {
		t.Errorf("secrets: %v", secrets)
	}
	reveal := extension + "/providers/Coffer.Backup/revealSecrets" + version
	if got := w.must(200, http.MethodPost, reveal, ""); got.at("values", "key") != "hush" || got.at("values", "other") != "new" {
		t.Errorf("revealed: %s", got.text)
	}
	if got := w.do("reader", http.MethodPost, reveal, ""); got.status != 403 || strings.Contains(got.text, "hush") {
		t.Errorf("revealed to a reader: %d %s", got.status, got.text)
	}
	w.must(200, http.MethodPut, extension+version, `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes"}}`)
	if secrets := w.secrets(extension); len(secrets) != 0 {
		t.Errorf("secrets that nobody wants are kept: %v", secrets)
	}
	var writes []string
	for _, e := range w.audit() {
		if strings.Contains(string(e.Before)+string(e.After), "hush") {
			t.Errorf("the audit log has a secret: %s", e.After)
		}
		if e.Target.Is(extension) {
			writes = append(writes, fmt.Sprint(e.Action, " ", e.Status, " ", e.Principal == w.owner))
		}
	}
	const write = "Microsoft.KubernetesConfiguration/extensions/write"
	const reading = "Coffer.Backup/secrets/reveal/action"
	want := []string{write + " 201 true", write + " 200 true", reading + " 200 true", reading + " 403 false", write + " 200 true"}
	if !slices.Equal(writes, want) {
		t.Errorf("the audit log has %q, want %q", writes, want)
	}
}

// Who can write to the database cannot read a secret by giving it to a resource, or under a name, that they may reveal.
func TestASealedSettingIsOfOneExtensionAndName(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	const other = group + "/providers/Microsoft.ContainerService/managedClusters/aks2"
	const theirs = other + "/providers/Microsoft.KubernetesConfiguration/extensions/azure-aks-backup"
	const body = `{"properties":{"extensionType":"microsoft.dataprotection.kubernetes","configurationProtectedSettings":{"key":"hush","other":"x"}}}`
	w.must(201, http.MethodPut, other+version, `{"location":"westeurope"}`)
	w.must(201, http.MethodPut, extension+version, body)
	w.must(201, http.MethodPut, theirs+version, body)
	sealed := w.secrets(extension)["configurationProtectedSettings/key"]
	for _, to := range []catalogue.Secret{
		{Owner: theirs, Name: "configurationProtectedSettings/key"}, {Owner: extension, Name: "configurationProtectedSettings/other"},
	} {
		to.Sealed = []byte(sealed)
		err := w.db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error { return tx.PutSecret(ctx, to) })
		if err != nil {
			t.Fatal(err)
		}
		got := w.do("owner", http.MethodPost, string(to.Owner)+"/providers/Coffer.Backup/revealSecrets"+version, "")
		if got.status != 500 || strings.Contains(got.text, "hush") {
			t.Errorf("%s of %s is revealed: %d %s", to.Name, to.Owner, got.status, got.text)
		}
	}
}

func (w *world) secrets(id catalogue.ID) map[string]string {
	w.t.Helper()
	found := map[string]string{}
	err := w.db.View(w.t.Context(), func(ctx context.Context, v catalogue.View) error {
		all, err := v.Secrets(ctx, id)
		for _, s := range all {
			found[s.Name] = string(s.Sealed)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

func TestBadRequestsAreRefusedInARMsShape(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	binding := cluster + "/trustedAccessRoleBindings/b"
	for name, c := range map[string]struct {
		token, method, path, body string
		header                    []string
		status                    int
		code                      string
	}{
		"no token":                  {"", "GET", group + version, "", nil, 401, "AuthenticationFailed"},
		"a token of nobody":         {"stranger", "GET", group + version, "", nil, 401, "InvalidAuthenticationToken"},
		"somebody without a role":   {"guest", "GET", group + version, "", nil, 403, "AuthorizationFailed"},
		"a reader who writes":       {"reader", "PUT", group + version, `{}`, nil, 403, "AuthorizationFailed"},
		"what is not there, by one": {"guest", "GET", subscription + "/resourceGroups/none" + version, "", nil, 403, "AuthorizationFailed"},
		"no api-version":            {"owner", "GET", group, "", nil, 400, "MissingApiVersionParameter"},
		"a malformed query":         {"owner", "GET", group + version + "&$filter=name%20eq%20%27a;b%27", "", nil, 400, "BMSUserErrorInvalidInput"},
		"a malformed api-version":   {"owner", "GET", group + "?api-version=latest", "", nil, 400, "InvalidApiVersionParameter"},
		"a malformed id":            {"owner", "GET", "/subscriptions/..%2f" + version, "", nil, 400, "InvalidResourceId"},
		"an unknown type":           {"owner", "GET", group + "/providers/Microsoft.Compute/virtualMachines/v" + version, "", nil, 404, "InvalidResourceType"},
		"a method that is not":      {"owner", "POST", group + version, `{}`, nil, 405, "MethodNotAllowed"},
		"no body":                   {"owner", "PUT", group + version, "", nil, 400, "BMSUserErrorInvalidInput"},
		"a body that is a list":     {"owner", "PUT", group + version, "[]", nil, 400, "BMSUserErrorInvalidInput"},
		"half a document":           {"owner", "PUT", group + version, `{"a":`, nil, 400, "InvalidRequestContent"},
		"two documents":             {"owner", "PUT", group + version, `{}{}`, nil, 400, "InvalidRequestContent"},
		"a field twice":             {"owner", "PUT", group + version, `{"location":"a","location":"b"}`, nil, 400, "InvalidRequestContent"},
		"a deep document":           {"owner", "PUT", group + version, `{"a":` + deep + `}`, nil, 400, "InvalidRequestContent"},
		"another content type":      {"owner", "PUT", group + version, `{}`, []string{"Content-Type", "text/plain"}, 415, "UnsupportedMediaType"},
		"no location":               {"owner", "PUT", group + version, `{}`, nil, 400, "BMSUserErrorInvalidInput"},
		"a location that moves":     {"owner", "PUT", group + version, `{"location":"eastus"}`, nil, 400, "InvalidResourceLocation"},
		"a group of no subscription": {"owner", "PUT", "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/g" + version, `{"location":"a"}`, nil,
			404, "ParentResourceNotFound"},
		"a cluster of no group": {"owner", "PUT", subscription + "/resourceGroups/no/providers/Microsoft.ContainerService/managedClusters/c" + version, `{"location":"a"}`,
			nil, 404, "ResourceGroupNotFound"},
		"a cluster at a subscription": {"owner", "PUT", subscription + "/providers/Microsoft.ContainerService/managedClusters/c" + version, `{"location":"a"}`, nil,
			404, "InvalidResourceType"},
		"a group that is not empty": {"owner", "DELETE", group + version, "", nil, 409, "Conflict"},
		"a binding of no vault": {"owner", "PUT", binding + version,
			`{"properties":{"sourceResourceId":"` + group + `/providers/Microsoft.DataProtection/backupVaults/v","roles":["Microsoft.DataProtection/backupVaults/backup-operator"]}}`,
			nil, 404, "ResourceNotFound"},
		"a binding with another role": {"owner", "PUT", binding + version,
			`{"properties":{"sourceResourceId":"` + group + `/providers/Microsoft.DataProtection/backupVaults/v","roles":["cluster-admin"]}}`, nil, 400, "BMSUserErrorInvalidInput"},
		"a role in a subscription that is not": {"owner", "PUT", "/subscriptions/00000000-0000-0000-0000-000000000000/providers/Microsoft.Authorization/roleAssignments/55555555-5555-4555-8555-555555555556" + version,
			`{"properties":{"roleDefinitionId":"/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7","principalId":"55555555-5555-4555-8555-555555555557"}}`,
			nil, 404, "ResourceNotFound"},
		"the list of a group that is not": {"owner", "GET", subscription + "/resourceGroups/none/providers/Microsoft.DataProtection/backupVaults" + version, "", nil,
			404, "ResourceGroupNotFound"},
		"the list of a vault that is not": {"owner", "GET", group + "/providers/Microsoft.DataProtection/backupVaults/none/backupPolicies" + version, "", nil, 404, "ResourceNotFound"},
		"a skip token of somebody's":      {"owner", "GET", subscription + "/resourceGroups" + version + "&$skipToken=%21%21", "", nil, 400, "BMSUserErrorInvalidInput"},
		"an operation that is not":        {"owner", "GET", subscription + "/providers/Microsoft.DataProtection/locations/any/operationStatus/o1" + version, "", nil, 404, "ResourceNotFound"},
	} {
		got := w.do(c.token, c.method, c.path, c.body, c.header...)
		if got.status != c.status || got.at("error", "code") != c.code || got.at("error", "message") == "" || strings.Contains(got.text, "%!") || got.header.Get("X-Ms-Request-Id") == "" {
			t.Errorf("%s: %d %s, want %d %s", name, got.status, got.text, c.status, c.code)
		}
	}
	large := w.do("owner", http.MethodPut, group+version, `{"a":"`+strings.Repeat("a", maxBody)+`"}`)
	if large.status != 413 {
		t.Errorf("a body of more than 4 MiB: %d %s", large.status, large.text)
	}
	last := w.audit()[len(w.audit())-1]
	if last.Name != "reader" || last.Action != "Microsoft.Resources/subscriptions/resourceGroups/write" || !last.Target.Is(group) || last.Status != 403 ||
		last.Code != "AuthorizationFailed" {
		t.Errorf("the refused write is not in the audit log, which ends with %+v", last)
	}
}

// Pages have many resources: whoever may write some must not make one that is more than the server's memory.
func TestWhatIsKeptIsNotTooLarge(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	half := strings.Repeat("a", 150<<10)
	w.must(413, http.MethodPut, group+version, `{"location":"westeurope","a":"`+half+half+`"}`)
	w.must(200, http.MethodPut, group+version, `{"location":"westeurope","a":"`+half+`"}`)
	w.must(413, http.MethodPatch, group+version, `{"b":"`+half+`"}`)
	w.must(413, http.MethodPut, "/providers/Coffer.Backup/servicePrincipals/66666666-6666-4666-8666-666666666666"+version,
		`{"properties":{"displayName":"a"},"a":"`+half+half+`"}`)
	w.must(413, http.MethodPut, group+"/providers/Microsoft.Authorization/roleAssignments/66666666-6666-4666-8666-666666666666"+version,
		`{"properties":{"roleDefinitionId":"`+subscription+`/providers/Microsoft.Authorization/roleDefinitions/`+access.ReaderID+`","principalId":"`+
			w.objectID("reader")+`","description":"`+half+half+`"}}`)
}

func TestPagesAreFollowedToTheirEnd(t *testing.T) {
	w := newWorld(t)
	w.must(201, http.MethodPut, subscription+version, `{"displayName":"Lab"}`)
	for i := range 25 {
		w.must(201, http.MethodPut, fmt.Sprintf("%s/resourceGroups/g%02d%s", subscription, i, version), `{"location":"a"}`)
	}
	path := subscription + "/resourceGroups" + version + "&$top=10"
	var names []string
	for path != "" {
		got := w.must(200, http.MethodGet, path, "")
		values, _ := got.at("value").([]any)
		for _, v := range values {
			names = append(names, v.(map[string]any)["name"].(string))
		}
		next, _ := got.at("nextLink").(string)
		path = strings.TrimPrefix(next, w.URL)
	}
	if len(names) != 25 || names[0] != "g00" || names[24] != "g24" {
		t.Errorf("%v", names)
	}
	// A page that is full is not followed by one that is empty.
	if got := w.must(200, http.MethodGet, subscription+"/resourceGroups"+version+"&$top=25", ""); got.at("nextLink") != nil || len(got.names(t)) != 25 {
		t.Errorf("all on one page: %s", got.text)
	}
	if got := w.do("guest", http.MethodGet, subscription+"/resourceGroups"+version, ""); got.status != 200 || len(got.at("value").([]any)) != 0 {
		t.Errorf("a guest sees %s", got.text)
	}
}

func TestAPageSaysNothingOfWhatMayNotBeRead(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	hidden := subscription + "/resourceGroups/hidden"
	for _, name := range []string{"/resourceGroups/aaa", "/resourceGroups/hidden", "/resourceGroups/zzz"} {
		w.must(201, http.MethodPut, subscription+name+version, `{"location":"a"}`)
	}
	w.must(201, http.MethodPut, hidden+"/providers/Microsoft.DataProtection/backupVaults/secret"+version, vaultBody)
	for _, path := range []string{
		"/subscriptions" + version, subscription + "/resourceGroups" + version, subscription + "/resources" + version,
		subscription + "/providers/Microsoft.DataProtection/backupVaults" + version,
	} {
		for _, who := range []string{"guest", "reader"} {
			got := w.do(who, http.MethodGet, path+"&$top=1", "")
			next, _ := got.at("nextLink").(string)
			u, err := url.Parse(next)
			if err != nil {
				t.Fatal(err)
			}
			token, err := base64.RawURLEncoding.DecodeString(u.Query().Get("$skipToken"))
			if who == "guest" && next != "" || strings.Contains(string(token), "hidden") || err != nil {
				t.Errorf("%s by a %s leads to %s, %s (%v)", path, who, next, token, err)
			}
		}
	}
	// A page is full although what comes first may not be seen.
	if got := w.do("reader", http.MethodGet, subscription+"/resourceGroups"+version+"&$top=1", ""); !slices.Equal(got.names(t), []string{"rg"}) || got.at("nextLink") != nil {
		t.Errorf("to a reader: %s", got.text)
	}
}

func TestAnOperationIsFollowedAndSeenByWhoMay(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	made := w.must(200, http.MethodPut, group+version, `{"location":"westeurope"}`)
	url := strings.TrimPrefix(made.header.Get("Azure-Asyncoperation"), w.URL)
	if got := w.must(200, http.MethodGet, url, ""); got.at("status") != "Succeeded" || got.at("endTime") == nil {
		t.Errorf("%s", got.text)
	}
	if got := w.do("reader", http.MethodGet, url, ""); got.status != 200 {
		t.Errorf("a reader of the resource: %d %s", got.status, got.text)
	}
	if got := w.do("guest", http.MethodGet, url, ""); got.status != 404 {
		t.Errorf("a guest: %d %s", got.status, got.text)
	}
	// Of resource groups, roles have another word than their type.
	w.must(201, http.MethodPut, group+"/providers/Microsoft.Authorization/roleAssignments/66666666-6666-4666-8666-666666666666"+version,
		`{"properties":{"roleDefinitionId":"`+subscription+`/providers/Microsoft.Authorization/roleDefinitions/`+access.BackupReaderID+`","principalId":"`+w.objectID("auditor")+`"}}`)
	if got := w.do("auditor", http.MethodGet, url, ""); got.status != 200 {
		t.Errorf("who may read resource groups by a role of backups: %d %s", got.status, got.text)
	}
}

func TestTooManyRequestsAtOnceAreToldToComeAgain(t *testing.T) {
	w := newWorld(t)
	s := w.Config.Handler.(*Server)
	for range maxRequests {
		s.turns <- struct{}{}
	}
	got := w.must(429, http.MethodGet, "/subscriptions"+version, "")
	if got.at("error", "code") != "TooManyRequests" || got.header.Get("Retry-After") == "" {
		t.Errorf("%s %v", got.text, got.header)
	}
	<-s.turns
	w.must(200, http.MethodGet, "/subscriptions"+version, "")
}

// Whoever has a token may send a query: those who send it slowly must not keep all others from the server.
func TestSlowSendersDoNotTakeTheTurnsOfOthers(t *testing.T) {
	w := newWorld(t)
	s := w.Config.Handler.(*Server)
	const path = "/providers/Microsoft.ResourceGraph/resources" + version
	ends, end := io.Pipe()
	var all sync.WaitGroup
	defer all.Wait()
	defer func() { _ = end.Close() }()
	statuses := make(chan int, maxRequests)
	for range maxRequests {
		all.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.URL+path, ends)
			if err != nil {
				t.Error(err)
				return
			}
			r.ContentLength = 1 << 20
			r.Header.Set("Authorization", "Bearer guest")
			r.Header.Set("Content-Type", "application/json")
			if a, err := w.Client().Do(r); err == nil {
				statuses <- a.StatusCode
				_ = a.Body.Close()
			}
		})
	}
	for range maxRequests - maxRequestsOfOne {
		if status := <-statuses; status != 429 {
			t.Errorf("a request too many: %d", status)
		}
	}
	if n := len(s.turns); n > maxRequestsOfOne {
		t.Errorf("one principal has %d turns", n)
	}
	w.must(200, http.MethodGet, "/subscriptions"+version, "")
}

func TestTwoWritersAtOnceMakeOneResource(t *testing.T) {
	w := newWorld(t)
	w.newCluster()
	var created, other atomic.Int64
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			switch got := w.do("owner", http.MethodPut, vaultID+version, vaultBody, "If-None-Match", "*"); got.status {
			case http.StatusCreated:
				created.Add(1)
			case http.StatusPreconditionFailed:
				other.Add(1)
			default:
				t.Errorf("%d %s", got.status, got.text)
			}
		})
	}
	all.Wait()
	if created.Load() != 1 || other.Load() != 7 {
		t.Errorf("%d created it, %d did not", created.Load(), other.Load())
	}
}
