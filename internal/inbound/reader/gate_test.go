package reader

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/link"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// rights are what the API server of a test says.
type rights struct {
	mu sync.Mutex // guards all below
	// of are the subresources that each identity may get.
	of    map[string][]string
	asked []string
	now   time.Time
	err   error
}

func (r *rights) gate(t *testing.T) http.Handler {
	t.Helper()
	h := New(Config{
		Contents: func(_ context.Context, q flow.ContentsRequest, each func(flow.ContentsItem) error) error {
			return each(flow.ContentsItem{ObjectRef: coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Name: "login"}, Size: 2, Body: []byte(`{"kind":"Secret","data":{"password":"aHVudGVyMg=="}}`)})
		},
		Coverage: func(context.Context, string, string) (coffer.Manifest, coffer.Coverage, error) {
			return coffer.Manifest{Name: "one"}, coffer.Coverage{Captured: map[string]int64{"pods": 2}}, nil
		},
		Logs: func(_ context.Context, kind, _ string, each func([]byte) error) error {
			return each([]byte(kind + "\n"))
		},
		Inventory: func(context.Context) (flow.Inventory, error) { return flow.Inventory{Drivers: []string{"disk"}}, nil },
		Holdings: func(_ context.Context, location string, to flow.HoldingsTo) error {
			return errors.Join(to.Location(true), to.Snapshots(coffer.RunSnapshots{Run: "r", Snapshots: 2}),
				to.Archive(flow.Archive{Name: location + "-1", Sealed: true, Backup: &flow.BackupRun{UID: "u", Vault: "v", Final: true}}))
		},
		Plan: func(context.Context, string, func(flow.StoredPlan) error, func(restorerecord.Step) error) error {
			return nil
		},
	})
	return NewGate(GateConfig{
		Reader: h, NowFunc: func() time.Time { return r.now },
		ConnectorFunc: func(_ context.Context, token string) (bool, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, "token "+token)
			return token == "connector", r.err
		},
		AllowedFunc: func(_ context.Context, identity, resource, subresource string) (bool, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.asked = append(r.asked, identity+" "+resource+"/"+subresource)
			for _, may := range r.of[identity] {
				if may == resource+"/"+subresource {
					return true, nil
				}
			}
			return false, nil
		},
	})
}

// getThrough asks a gate, and answers the status and the body.
func getThrough(t *testing.T, g http.Handler, url, token, identity string) (int, string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if identity != "" {
		r.Header.Set(link.IdentityHeader, identity)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestAVaultReadsWhatTheClusterLetsItAndNothingElse(t *testing.T) {
	const contents, point = "/v1/storage-locations/default/backups/one/contents", "/v1/storage-locations/default/backups/one"
	r := &rights{now: time.Unix(1e9, 0), of: map[string][]string{
		"operator": {"backups/contents", "backups/inventory", "restores/contents"}, "wizard": {"backups/inventory"}, "restorer": {"restores/contents"},
	}}
	g := r.gate(t)
	for _, tt := range []struct {
		name, url, token, identity string
		status                     int
		says                       string
	}{
		{"contents", contents, "connector", "operator", http.StatusOK, `"login"`},
		{"contents with objects", contents + "?objects=true&secrets=false", "connector", "operator", http.StatusOK, `"password":"***"`},
		{"contents with Secrets", contents + "?objects=true&secrets=true", "connector", "operator", http.StatusForbidden, "do not leave the cluster"},
		{"Secrets spelled otherwise", contents + "?objects=true&secrets=1", "connector", "operator", http.StatusForbidden, ""},
		{"Secrets in letters of codes", contents + "?objects=true&%73ecrets=T", "connector", "operator", http.StatusForbidden, ""},
		{"Secrets twice", contents + "?objects=true&secrets=false&secrets=true", "connector", "operator", http.StatusForbidden, ""},
		{"Secrets in capitals", contents + "?objects=true&SECRETS=true", "connector", "operator", http.StatusForbidden, ""},
		{"Secrets behind a semicolon", contents + "?objects=true;secrets=true", "connector", "operator", http.StatusBadRequest, "malformed"},
		{"a diff with Secrets", "/v1/restores/a/diff?secrets=true", "connector", "operator", http.StatusForbidden, ""},
		{"coverage", point + "/coverage", "connector", "operator", http.StatusOK, `"kind":"Captured","what":"pods","objects":2`},
		{"a plan", "/v1/restores/a/plan", "connector", "restorer", http.StatusOK, `"end"`},
		{"the log of a backup", "/v1/logs/backups/a", "connector", "operator", http.StatusOK, "Backup"},
		{"the log of a restore", "/v1/logs/restores/a", "connector", "restorer", http.StatusOK, "Restore"},
		{"the log of a restore that it may not", "/v1/logs/restores/a", "connector", "wizard", http.StatusForbidden, ""},
		{"the log of a backup that it may not", "/v1/logs/backups/a", "connector", "restorer", http.StatusForbidden, ""},
		{"holdings", "/v1/storage-locations/default/holdings", "connector", "operator", http.StatusOK, `{"archive":{"name":"default-1","sealed":true,"blobs":0,"bytes":0,"modified":"0001-01-01T00:00:00Z","backup":{"uid":"u","vault":"v","final":true}}}`},
		{"holdings by who may only see the inventory", "/v1/storage-locations/default/holdings", "connector", "wizard", http.StatusForbidden, "backups/contents"},
		{"holdings with a parameter", "/v1/storage-locations/default/holdings?all=true", "connector", "operator", http.StatusBadRequest, "not known"},
		{"the inventory", "/v1/inventory", "connector", "wizard", http.StatusOK, `"drivers":["disk"]`},
		{"no trusted access", "/v1/inventory", "connector", "stranger", http.StatusForbidden, "trusted access"},
		{"contents by who may only see the inventory", contents, "connector", "wizard", http.StatusForbidden, "backups/contents"},
		{"the report of a restore test", point + "/tests/uid", "connector", "operator", http.StatusNotFound, ""},
		{"nobody", contents, "connector", "", http.StatusBadRequest, link.IdentityHeader},
		{"no token", contents, "", "operator", http.StatusUnauthorized, "only the connector"},
		{"another token", contents, "vault", "operator", http.StatusUnauthorized, "only the connector"},
		{"a token without end", contents, strings.Repeat("x", maxToken+1), "operator", http.StatusUnauthorized, ""},
		{"another token with Secrets", contents + "?secrets=true", "vault", "operator", http.StatusUnauthorized, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if status, body := getThrough(t, g, tt.url, tt.token, tt.identity); status != tt.status || !strings.Contains(body, tt.says) || strings.Contains(body, "aHVudGVyMg") {
				t.Errorf("%d, want %d and %q: %s", status, tt.status, tt.says, body)
			}
		})
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, contents, nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
}

func TestTrustedAccessThatWasWithdrawnEndsInSeconds(t *testing.T) {
	r := &rights{now: time.Unix(1e9, 0), of: map[string][]string{"operator": {"backups/inventory"}}}
	g := r.gate(t)
	look := func(want int) {
		t.Helper()
		if status, body := getThrough(t, g, content.InventoryURL().String(), "connector", "operator"); status != want {
			t.Errorf("%d, want %d: %s", status, want, body)
		}
	}
	look(http.StatusOK)
	asked := len(r.asked)
	r.of = nil
	look(http.StatusOK)
	if len(r.asked) != asked {
		t.Error("what was just answered was asked again")
	}
	r.now = r.now.Add(answerAge)
	look(http.StatusForbidden)
	r.of = map[string][]string{"operator": {"backups/inventory"}}
	r.now = r.now.Add(answerAge)
	look(http.StatusOK)
}

func TestWithoutAnAnswerNothingIsGiven(t *testing.T) {
	r := &rights{now: time.Unix(1e9, 0), of: map[string][]string{"operator": {"backups/inventory"}}, err: errors.New("the API server is away")}
	g := r.gate(t)
	for range 2 {
		if status, body := getThrough(t, g, "/v1/inventory", "connector", "operator"); status != http.StatusInternalServerError || strings.Contains(body, "disk") {
			t.Errorf("%d: %s", status, body)
		}
	}
	r.err = nil
	if status, _ := getThrough(t, g, "/v1/inventory", "connector", "operator"); status != http.StatusOK {
		t.Errorf("%d after the API server is back", status)
	}
}
