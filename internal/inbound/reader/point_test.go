package reader

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/outbound/blob/filesystem"
)

// store is a container on a disk with recovery points in it, and the extension that made them.
type store struct {
	container coffer.Container
	key       ed25519.PrivateKey
	identity  *age.X25519Identity
	// trusts is whether the extension's own points are believed.
	trusts bool
}

type stored struct {
	ref  coffer.ObjectRef
	body string
}

func newStore(t *testing.T) *store {
	t.Helper()
	root := t.TempDir()
	if err := filesystem.Create(root, "backups"); err != nil {
		t.Fatal(err)
	}
	c, err := filesystem.Open(root, "backups")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &store{container: c, key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), identity: identity, trusts: true}
}

func (s *store) keys() (encryption.Keys, error) {
	return encryption.Parse("keys", map[string][]byte{
		encryption.FieldRecipients: []byte(s.identity.Recipient().String()), encryption.FieldIdentities: []byte(s.identity.String()),
	})
}

// seal writes a recovery point as a backup does.
func (s *store) seal(t *testing.T, name string, encrypted bool, objects ...stored) {
	t.Helper()
	var packed, index bytes.Buffer
	w, err := archive.NewWriter(&packed, time.Unix(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	batch := w.NewBatch()
	for _, o := range objects {
		if err := batch.Add(o.ref, []byte(o.body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := batch.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteIndex(&index); err != nil {
		t.Fatal(err)
	}
	m := coffer.Manifest{FormatVersion: recoverypoint.ManifestFormat, Name: name, Objects: int64(len(objects))}
	if encrypted {
		m.FormatVersion = recoverypoint.EncryptedFormat
		m.Encryption = &coffer.Encryption{Format: recoverypoint.EncryptionFormat, Recipients: []string{s.identity.Recipient().String()}}
	}
	layout := recoverypoint.LayoutFor(m)
	for key, data := range map[string][]byte{layout.Archive(): packed.Bytes(), layout.Index(): index.Bytes()} {
		if encrypted {
			data = s.sealed(t, data)
		}
		sum := sha256.Sum256(data)
		m.Blobs = append(m.Blobs, coffer.BlobDigest{Key: key, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]), Encrypted: encrypted})
		s.put(t, key, data)
	}
	manifest, _, err := recoverypoint.EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := recoverypoint.Sign(s.key, manifest)
	if err != nil {
		t.Fatal(err)
	}
	s.put(t, layout.Signature(), signature)
	s.put(t, layout.Manifest(), manifest)
}

func (s *store) sealed(t *testing.T, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.identity.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func (s *store) put(t *testing.T, key string, data []byte) {
	t.Helper()
	if _, err := s.container.Put(t.Context(), key, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
}

// reader is the extension's.
func (s *store) reader() *flow.Reader {
	return flow.NewReader(flow.Config{Cluster: types{}, Settings: settings{store: s}, Namespace: v1alpha1.DefaultNamespace})
}

// settings are those of the store; no run asks for the rest.
type settings struct {
	flow.Settings
	store *store
}

// Location implements flow.Settings.
func (s settings) Location(_ context.Context, name string) (flow.Location, error) {
	if name != "default" {
		return flow.Location{}, coffer.Errorf(coffer.CodeLocationNotFound, "there is no BackupStorageLocation %q", name)
	}
	at := flow.Location{Name: name, Container: s.store.container, KeysFunc: func(context.Context) (encryption.Keys, error) { return s.store.keys() }}
	if s.store.trusts {
		public, _ := s.store.key.Public().(ed25519.PublicKey)
		at.TrustedSigners = []string{recoverypoint.SignerText(public)}
	}
	return at, nil
}

// types are what the cluster serves.
type types struct{ coffer.Cluster }

// Types implements coffer.Cluster.
func (types) Types(context.Context) ([]coffer.ResourceType, []coffer.TypeGap, error) {
	return []coffer.ResourceType{
		{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Version: "v1", Kind: "ConfigMap", Namespaced: true},
		{GroupResource: coffer.GroupResource{Resource: "secrets"}, Version: "v1", Kind: "Secret", Namespaced: true},
	}, nil, nil
}

func configMap(name string) stored {
	return stored{
		ref:  coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "configmaps"}, Namespace: "shop", Name: name},
		body: fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":%q,"namespace":"shop"},"data":{"a":"<b> & c"}}`, name),
	}
}

func login() stored {
	return stored{
		ref:  coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Namespace: "shop", Name: "login"},
		body: `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"login","namespace":"shop"},"data":{"password":"aHVudGVyMg=="}}`,
	}
}
