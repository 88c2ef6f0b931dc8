package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
)

func TestHistoriesAreThoseOfTheConfigurationFile(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "server.yaml")
	p := launch(t, folder)
	p.login()
	p.kill()
	aYearAgo(t, folder)

	// By default, all entries stay: the oldest is of more than a year ago.
	left := func(histories, metric string) []string {
		t.Helper()
		if err := os.WriteFile(file, []byte(histories), 0o600); err != nil {
			t.Fatal(err)
		}
		status := freeAddress(t)
		p := launch(t, folder, "--config", file, "--status-listen", status)
		defer p.kill()
		p.login()
		eventually(t, metric, func() bool { return strings.Contains(counted(t, status), metric) })
		return old(t, folder)
	}
	if got := left("histories: [operations=P8D]\n", `coffer_server_history_deleted_total{history="operations"} 1`); len(got) != 4 {
		t.Errorf("by default, there are %v", got)
	}
	if got := left("histories: [audit-log=P1Y, jobs=0]\n", `coffer_server_history_deleted_total{history="audit-log"} 1`); strings.Join(got, ", ") != "11 months, 32 days, an hour" {
		t.Errorf("after a year, there are %v", got)
	}
	if got := left("histories: [audit-log=P1M]\n", `coffer_server_history_deleted_total{history="audit-log"} 2`); strings.Join(got, ", ") != "an hour" {
		t.Errorf("after a month, there are %v", got)
	}
	_, err := printed(t, "--data-dir", folder, "--listen", "127.0.0.1:0", "--status-listen", "", "--link-listen", "", "--histories", "audit-log=P1D")
	if err == nil || !strings.Contains(err.Error(), "--histories: audit-log: P1D is less than seven days") {
		t.Errorf("a day: %v", err)
	}
}

// withCatalogue opens the database of a server that does not run.
func withCatalogue(t *testing.T, folder string, do func(db *metadb.Database) error) {
	t.Helper()
	db, err := metadb.OpenSQLite(t.Context(), metadb.SQLite{File: filepath.Join(folder, databaseFile)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	if err := do(db); err != nil {
		t.Fatal(err)
	}
}

// aYearAgo writes what an older server has left.
func aYearAgo(t *testing.T, folder string) {
	t.Helper()
	withCatalogue(t, folder, func(db *metadb.Database) error {
		return db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
			now := time.Now()
			for action, at := range map[string]time.Time{
				"11 months": now.AddDate(0, -11, 0), "a year": now.AddDate(-1, 0, -2), "32 days": now.AddDate(0, 0, -32), "an hour": now.Add(-time.Hour),
			} {
				if err := tx.AppendAudit(ctx, catalogue.AuditEntry{Time: at, Action: action, Code: "test"}); err != nil {
					return err
				}
			}
			return tx.PutOperation(ctx, catalogue.Operation{ID: "old", Started: now.AddDate(0, 0, -10), Ended: now.AddDate(0, 0, -10)})
		})
	})
}

// old are the entries of aYearAgo that are there, in the order of their words.
func old(t *testing.T, folder string) (actions []string) {
	t.Helper()
	withCatalogue(t, folder, func(db *metadb.Database) error {
		return db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
			found, err := v.Audit(ctx, catalogue.AuditQuery{Limit: 1000})
			there := map[string]bool{}
			for _, e := range found {
				there[e.Action] = e.Code == "test"
			}
			for _, action := range []string{"a year", "11 months", "32 days", "an hour"} {
				if there[action] {
					actions = append(actions, action)
				}
			}
			return err
		})
	})
	return actions
}

// counted is what a server counts.
func counted(t *testing.T, address string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "" // it does not listen yet
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
