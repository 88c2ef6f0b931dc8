package recoverypoint

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func newManifest() coffer.Manifest {
	layout := LayoutOf("shop-1")
	sum := strings.Repeat("ab", 32)
	return coffer.Manifest{
		FormatVersion: ManifestFormat, Name: "shop-1", UID: "u", Producer: "coffer test",
		Started: time.Unix(1_800_000_000, 0).UTC(), Completed: time.Unix(1_800_000_060, 0).UTC(), Objects: 3,
		Volumes: []coffer.Volume{{Namespace: "shop", Claim: "data", Result: coffer.VolumeCaptured, Driver: "d", Handle: "h"}},
		Blobs:   []coffer.BlobDigest{{Key: layout.Archive(), Size: 10, SHA256: sum}, {Key: layout.Index(), Size: 5, SHA256: sum}},
	}
}

func TestManifestRoundTrip(t *testing.T) {
	m := newManifest()
	data, digest, err := EncodeManifest(m)
	if err != nil {
		t.Fatal(err)
	}
	got, again, err := DecodeManifest("shop-1", data)
	if err != nil || again != digest {
		t.Fatalf("DecodeManifest = %v, digest %s, want %s", err, again, digest)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

func newEncryptedManifest() coffer.Manifest {
	m, layout := newManifest(), LayoutOf("shop-1").Encrypted()
	m.FormatVersion = EncryptedFormat
	m.Encryption = &coffer.Encryption{Format: EncryptionFormat, Recipients: []string{"age1x"}}
	for i, key := range []string{layout.Archive(), layout.Index()} {
		m.Blobs[i].Key, m.Blobs[i].Encrypted = key, true
	}
	return m
}

func TestEncryptedManifestRoundTripAndContradictions(t *testing.T) {
	for name, change := range map[string]func(*coffer.Manifest){
		"":                              func(*coffer.Manifest) {},
		"of a format that knows none":   func(m *coffer.Manifest) { m.FormatVersion = ManifestFormat },
		"without saying how":            func(m *coffer.Manifest) { m.Encryption = nil },
		"in a format that nobody knows": func(m *coffer.Manifest) { m.Encryption.Format = "rot13" },
		"to nobody":                     func(m *coffer.Manifest) { m.Encryption.Recipients = nil },
		"with a plain blob":             func(m *coffer.Manifest) { m.Blobs[1].Encrypted = false },
		"with a plain archive":          func(m *coffer.Manifest) { m.Blobs[0].Key = LayoutOf("shop-1").Archive() },
		"with an archive and none that is": func(m *coffer.Manifest) {
			m.Blobs[0] = coffer.BlobDigest{Key: LayoutOf("shop-1").Archive(), SHA256: m.Blobs[0].SHA256}
		},
	} {
		m := newEncryptedManifest()
		change(&m)
		data, _, err := EncodeManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := DecodeManifest("shop-1", data)
		if name != "" {
			if coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
				t.Errorf("%s: DecodeManifest = %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("manifest (-want +got):\n%s", diff)
		}
	}
}

func TestManifestsThatCannotBeTrustedAreRefused(t *testing.T) {
	change := map[string]func(*coffer.Manifest){
		"of another recovery point":         func(m *coffer.Manifest) { m.Name = "other" },
		"of a later format":                 func(m *coffer.Manifest) { m.FormatVersion = EncryptedFormat + 1 },
		"without a format":                  func(m *coffer.Manifest) { m.FormatVersion = 0 },
		"without the archive":               func(m *coffer.Manifest) { m.Blobs = m.Blobs[1:] },
		"without the index":                 func(m *coffer.Manifest) { m.Blobs = m.Blobs[:1] },
		"with a blob of another backup":     func(m *coffer.Manifest) { m.Blobs[0].Key = "backups/other/x" },
		"with a blob of negative size":      func(m *coffer.Manifest) { m.Blobs[0].Size = -1 },
		"with a digest of the wrong length": func(m *coffer.Manifest) { m.Blobs[0].SHA256 = "ab" },
	}
	for name, f := range change {
		t.Run(name, func(t *testing.T) {
			m := newManifest()
			f(&m)
			data, _, err := EncodeManifest(m)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := DecodeManifest("shop-1", data); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
				t.Errorf("DecodeManifest = %v, want %s", err, coffer.CodeArchiveCorrupt)
			}
		})
	}
	for _, text := range []string{"", "null", "[]", "{}", "{\"formatVersion\":1"} {
		if _, _, err := DecodeManifest("shop-1", []byte(text)); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("DecodeManifest(%q) = %v", text, err)
		}
	}
}

func TestVeleroBackupHasWhatVeleroNeedsAndNoExpiration(t *testing.T) {
	var buf bytes.Buffer
	if err := WriteVeleroBackup(&buf, VeleroBackup{Name: "a", StorageLocation: "default", Started: time.Unix(0, 0), Completed: time.Unix(1, 0)}); err != nil {
		t.Fatal(err)
	}
	for _, needed := range []string{`"kind":"Backup"`, `"velero.io/v1"`, `"phase":"Completed"`, `"formatVersion":"1.1.0"`, `"includedNamespaces":["*"]`} {
		if !strings.Contains(buf.String(), needed) {
			t.Errorf("velero-backup.json lacks %s", needed)
		}
	}
	if strings.Contains(buf.String(), "expiration") {
		t.Error("velero-backup.json has an expiration: a Velero would delete the recovery point by it")
	}
}
