package metadb

import (
	"path/filepath"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/outbound/metadb/metadbtest"
)

func mustOpenSQLite(t testing.TB, c SQLite) *Database {
	t.Helper()
	db, err := OpenSQLite(t.Context(), c)
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

func TestSQLiteConforms(t *testing.T) {
	metadbtest.Run(t, func(t *testing.T) catalogue.Database {
		return mustOpenSQLite(t, SQLite{File: filepath.Join(t.TempDir(), "a folder with ?#% in it.db")})
	})
}
