package vaultworld

import (
	"context"
	"errors"
	"sync"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/extension"
)

// Store is a cluster that says where it writes recovery points to, and changes that by the rule of its connector. It may be used concurrently.
type Store struct {
	*APIServer

	mu    sync.Mutex // guards all below
	spec  v1alpha1.BackupStorageLocationSpec
	phase string
	// asked is how often it was asked, and moved how often it has changed.
	asked, moved int
	dies         bool
}

var _ catalogue.Configurable = (*Store)(nil)

// NewStore makes one whose location has not been looked at yet.
func NewStore(a *APIServer, spec v1alpha1.BackupStorageLocationSpec) *Store {
	return &Store{APIServer: a, spec: spec}
}

// Find has the extension look at the location.
func (s *Store) Find(phase string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phase = phase
}

// Put is what the cluster's owner does.
func (s *Store) Put(spec v1alpha1.BackupStorageLocationSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spec = spec
}

// DieOnce has the answer to the next question lost, once it was done.
func (s *Store) DieOnce() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dies = true
}

// Counts are how often it was asked, and how often it has changed.
func (s *Store) Counts() (asked, moved int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked, s.moved
}

// Location implements catalogue.Configurable.
func (s *Store) Location(context.Context) (catalogue.FoundLocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.found(false)
}

func (s *Store) found(changed bool) (catalogue.FoundLocation, error) {
	s.asked++
	if s.dies {
		s.dies = false
		return catalogue.FoundLocation{}, &coffer.Error{Code: coffer.CodeClusterNotReachable, Message: "the answer is lost", Transient: true, Err: errors.New("lost")}
	}
	return catalogue.FoundLocation{StorageLocation: extension.LocationOf(s.spec), Phase: s.phase, Changed: changed}, nil
}

// SetLocation implements catalogue.Configurable.
func (s *Store) SetLocation(_ context.Context, wanted catalogue.StorageLocation) (catalogue.FoundLocation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.info.SettingsByOwner {
		return catalogue.FoundLocation{}, coffer.Errorf(coffer.CodeForbidden, "the cluster's owner has not let the server")
	}
	moved, err := extension.Move(s.spec, wanted)
	if err != nil {
		return catalogue.FoundLocation{}, err
	}
	changed := extension.LocationOf(s.spec) != wanted
	if changed {
		s.spec, s.phase = moved, ""
		s.moved++
	}
	return s.found(changed)
}
