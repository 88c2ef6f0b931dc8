//go:build stores

package metadb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/outbound/metadb/metadbtest"
)

// newSchema is the URL of an empty schema of a real PostgreSQL. A missing server fails the test: whoever runs tests of real
// servers wants them run.
func newSchema(t testing.TB) string {
	t.Helper()
	const variable = "COFFER_SERVICE_POSTGRES"
	server := os.Getenv(variable)
	if server == "" {
		t.Fatalf("%s is not set: start the server with `build/bin/lab service up postgres` and name it with `eval \"$(build/bin/lab service env)\"`", variable)
	}
	name := "test_" + strings.ToLower(rand.Text())
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+name+" CASCADE")
		if err := errors.Join(err, db.Close()); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	values := address.Query()
	values.Set("search_path", name)
	address.RawQuery = values.Encode()
	return address.String()
}

func mustOpenPostgres(t testing.TB, c Postgres) *Database {
	t.Helper()
	db, err := OpenPostgres(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestPostgresConforms(t *testing.T) {
	metadbtest.Run(t, func(t *testing.T) catalogue.Database {
		return mustOpenPostgres(t, Postgres{URL: newSchema(t)})
	})
}

func newSchemaPlace(t *testing.T) place { return place{Postgres: newSchema(t)} }

func TestEachStatementOfPostgresFailsWithAllOrNothing(t *testing.T) {
	testEachStatement(t, newSchemaPlace, failEachStatement)
}

func TestAKilledWriterOfPostgresLeavesAllOrNothing(t *testing.T) {
	testEachStatement(t, newSchemaPlace, killEachStatement)
}

func TestKilledWritersOfPostgresKeepWhatTheyAcknowledged(t *testing.T) {
	testKills(t, newSchemaPlace(t), 10)
}
