package identity_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/inbound/identity"
	"github.com/coffer-backup/coffer/test/vaultworld"
)

const (
	tenant   = "99999999-0000-4000-8000-000000000000"
	public   = "https://vault.example.org:8443"
	audience = "https://management.example.org"
	tokens   = "/" + tenant + "/oauth2/v2.0/token"
)

// world is a server with one administrator.
type world struct {
	*vaultworld.World
	authority  *identity.Authority
	config     identity.Config
	credential vault.ClientCredential
	admin      vault.Caller
	log        *syncBuffer
}

type ctx = context.Context

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newWorld(t testing.TB, issuers ...identity.Issuer) *world {
	t.Helper()
	w := &world{World: vaultworld.New(t), log: &syncBuffer{}}
	w.credential, w.admin = w.MustAdministrator(t)
	w.config = identity.Config{
		Database: w.Database, Sealer: w.Sealer, Tenant: tenant, PublicURL: public, Audiences: []string{audience + "/"}, Issuers: issuers,
		NowFunc: w.Clock.Now, Random: rand.Reader, Logger: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	w.authority = w.mustReplica(t)
	return w
}

// mustReplica is another server on the same database.
func (w *world) mustReplica(t testing.TB) *identity.Authority {
	t.Helper()
	a, err := identity.New(t.Context(), w.config)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// form is a request for a token with the administrator's credentials, and changes to it.
func (w *world) form(changes ...string) url.Values {
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {w.credential.ClientID}, "client_secret": {string(w.credential.Secret)}, "scope": {audience + "/.default"}}
	for change := range slices.Chunk(changes, 2) {
		form.Set(change[0], change[1])
		if change[1] == "" {
			form.Del(change[0])
		}
	}
	return form
}

func (w *world) post(path string, form url.Values, changes ...func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, public+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, change := range changes {
		change(r)
	}
	answer := httptest.NewRecorder()
	w.authority.ServeHTTP(answer, r)
	return answer
}

func mustDecode(t testing.TB, answer *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
		t.Fatalf("%d %s: %v", answer.Code, answer.Body, err)
	}
	return body
}

func (w *world) mustToken(t testing.TB, changes ...string) string {
	t.Helper()
	answer := w.post(tokens, w.form(changes...))
	token, _ := mustDecode(t, answer)["access_token"].(string)
	if answer.Code != http.StatusOK || token == "" {
		t.Fatalf("no token: %d %s", answer.Code, answer.Body)
	}
	return token
}
