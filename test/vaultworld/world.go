// Package vaultworld makes what the use cases of the vault's server need in tests: a database in a file, a sealer, a clock that stands.
package vaultworld

import (
	"crypto/rand"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
	"github.com/coffer-backup/coffer/internal/outbound/sealing"
)

// World is a database with what belongs to it.
type World struct {
	Database catalogue.Database
	Sealer   catalogue.Sealer
	Clock    *Clock
	Access   *vault.Access
}

// New makes a world of its own for a test.
func New(t testing.TB) *World {
	t.Helper()
	database, err := metadb.OpenSQLite(t.Context(), metadb.SQLite{File: filepath.Join(t.TempDir(), "catalogue.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := database.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &World{Database: database, Sealer: MustSealer(t), Clock: &Clock{now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}}
	w.Access, err = vault.NewAccess(vault.AccessConfig{Database: w.Database, Sealer: w.Sealer, NowFunc: w.Clock.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// MustAdministrator makes the first administrator, and answers who may do everything as them.
func (w *World) MustAdministrator(t testing.TB) (vault.ClientCredential, vault.Caller) {
	t.Helper()
	c, err := vault.NewCredential(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Access.EnsureAdministrator(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return c, w.MustCaller(t, vault.PrincipalID(c.ClientID))
}

// MustCaller is a service principal as one who asks.
func (w *World) MustCaller(t testing.TB, id catalogue.ID) vault.Caller {
	t.Helper()
	r, err := w.Access.Principal(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := vault.FactsOf(r)
	if err != nil {
		t.Fatal(err)
	}
	return vault.Caller{
		Principal: catalogue.Principal{ObjectID: facts.Properties.ObjectID, AppID: facts.Properties.AppID, Name: "a test"},
		Request:   "request-1", Remote: "192.0.2.1",
	}
}

// Clock stands still until it is moved. It may be used concurrently.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Move sets the clock forward, or back.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// MustSealer makes a sealer with a new key.
func MustSealer(t testing.TB) *sealing.Sealer {
	t.Helper()
	s, err := sealing.Open(t.Context(), sealing.Config{KeyFile: filepath.Join(t.TempDir(), "keys"), Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
