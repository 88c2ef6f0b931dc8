// Package vaultworld makes what the use cases of the vault's server need in tests: a database in a file, a sealer, a clock that stands.
package vaultworld

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/vault"
	"github.com/coffer-backup/coffer/internal/outbound/metadb"
)

// World is a database with what belongs to it.
type World struct {
	Database catalogue.Database
	Sealer   *Sealer
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
	w := &World{Database: database, Sealer: NewSealer(t), Clock: &Clock{now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}}
	w.Access, err = vault.NewAccess(vault.AccessConfig{Database: w.Database, Sealer: w.Sealer, NowFunc: w.Clock.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// MustAdministrator makes the first administrator, and answers who may do everything as them.
func (w *World) MustAdministrator(t testing.TB) (vault.ClientCredential, vault.Caller) {
	t.Helper()
	c, err := w.Access.NewCredential()
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

// Sealer seals with a key of its own.
type Sealer struct {
	aead cipher.AEAD
}

// NewSealer makes a sealer with a new key.
func NewSealer(t testing.TB) *Sealer {
	t.Helper()
	key := make([]byte, 32)
	if _, err := rand.Read(key); err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return &Sealer{aead: aead}
}

// Seal encrypts.
func (s *Sealer) Seal(_ context.Context, purpose string, plain []byte) ([]byte, error) {
	return s.aead.Seal(nil, nil, plain, []byte(purpose)), nil
}

// Open decrypts.
func (s *Sealer) Open(_ context.Context, purpose string, sealed []byte) ([]byte, error) {
	plain, err := s.aead.Open(nil, nil, sealed, []byte(purpose))
	if err != nil {
		return nil, errors.New("sealed with another key, for another purpose, or damaged")
	}
	return plain, nil
}
