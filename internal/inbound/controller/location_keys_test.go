package controller

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// newEncryptedBench is a bench whose location names a Secret with keys of this content; nil for one that is missing.
func newEncryptedBench(t *testing.T, readOnly bool, data map[string][]byte) *bench {
	t.Helper()
	b := newBench(t, v1alpha1.BackupStorageLocationSpec{
		ReadOnly: readOnly, Encryption: &v1alpha1.StorageEncryption{SecretRef: v1alpha1.SecretReference{Name: "backup-keys"}},
	})
	b.reconcile.KeysFunc = func(_ context.Context, name string) (map[string][]byte, error) {
		if data == nil {
			return nil, coffer.Errorf(coffer.CodeEncryptionKeysUnusable, "there is no Secret %s", name)
		}
		return data, nil
	}
	return b
}

func TestALocationWhoseKeysCannotBeUsedIsUnavailable(t *testing.T) {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	public, private := []byte(identity.Recipient().String()), []byte(identity.String())
	for name, tt := range map[string]struct {
		readOnly bool
		data     map[string][]byte
		// want is part of the message; empty for a location that is available.
		want string
	}{
		"no Secret":                     {false, nil, "there is no Secret backup-keys"},
		"an empty one":                  {false, map[string][]byte{}, "neither recipients nor identities"},
		"keys that are none":            {false, map[string][]byte{"recipients": []byte("hunter2")}, "Secret backup-keys, which encryption.secretRef names: recipients, line 1"},
		"nobody to encrypt to":          {false, map[string][]byte{"identities": private}, "has no recipients to encrypt to"},
		"a public key":                  {false, map[string][]byte{"recipients": public}, ""},
		"both":                          {false, map[string][]byte{"recipients": public, "identities": private}, ""},
		"read-only, with a private":     {true, map[string][]byte{"identities": private}, ""},
		"read-only, and broken":         {true, map[string][]byte{"identities": public}, "identities, line 1"},
		"read-only, without the Secret": {true, nil, "there is no Secret backup-keys"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newEncryptedBench(t, tt.readOnly, tt.data).mustReconcile(t).Status
			if strings.Contains(s.Message, "hunter2") || strings.Contains(s.Message, identity.String()) {
				t.Errorf("%q shows a key", s.Message)
			}
			if tt.want != "" {
				if s.Phase != v1alpha1.StorageLocationUnavailable || s.Reason != string(coffer.CodeEncryptionKeysUnusable) || !strings.Contains(s.Message, tt.want) {
					t.Errorf("status = %+v, want unavailable for %q", s, tt.want)
				}
				// The store is judged all the same.
				if !s.Reachable {
					t.Errorf("status = %+v, want reachable", s)
				}
				return
			}
			if s.Phase != v1alpha1.StorageLocationAvailable || s.Encryption == nil {
				t.Fatalf("status = %+v, want available", s)
			}
			if got := s.Encryption.Recipients; len(tt.data["recipients"]) > 0 != slices.Equal(got, []string{string(public)}) {
				t.Errorf("recipients are %v", got)
			}
			if got := s.Encryption.Readers; len(tt.data["identities"]) > 0 != slices.Equal(got, []string{string(public)}) {
				t.Errorf("readers are %v", got)
			}
		})
	}
}

func TestARunGetsTheKeysOfItsLocationWhenItAsks(t *testing.T) {
	b := newEncryptedBench(t, false, nil)
	// A deletion needs none: a location with a broken Secret is opened.
	l, err := b.reconcile.Location(t.Context(), "vault")
	if err != nil || l.KeysFunc == nil {
		t.Fatalf("Location = %+v, %v", l, err)
	}
	if _, err := l.KeysFunc(t.Context()); coffer.CodeOf(err) != coffer.CodeEncryptionKeysUnusable {
		t.Errorf("KeysFunc = %v", err)
	}
	b.reconcile.KeysFunc = func(context.Context, string) (map[string][]byte, error) {
		return nil, errors.New("the API server is away")
	}
	if _, err := l.KeysFunc(t.Context()); err == nil || coffer.Final(err) {
		t.Errorf("KeysFunc = %v, want an error that passes", err)
	}
	plain := newBench(t, v1alpha1.BackupStorageLocationSpec{})
	if l, err := plain.reconcile.Location(t.Context(), "vault"); err != nil || l.KeysFunc != nil {
		t.Errorf("a location without encryption: %+v, %v", l, err)
	}
}
