package flow

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// marker is what a Secret of an encrypted shop holds, and what nobody may find in the container.
const marker = "c29tZWJvZHkncyBwYXNzd29yZA"

func newIdentity(t testing.TB) *age.X25519Identity {
	t.Helper()
	i, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func recipientsOf(of ...*age.X25519Identity) []byte {
	var lines []string
	for _, i := range of {
		lines = append(lines, i.Recipient().String())
	}
	return []byte(strings.Join(lines, "\n"))
}

func identitiesOf(of ...*age.X25519Identity) []byte {
	var lines []string
	for _, i := range of {
		lines = append(lines, i.String())
	}
	return []byte(strings.Join(lines, "\n"))
}

// newEncryptedShop is a shop with a Secret, whose backups are encrypted to an identity.
func newEncryptedShop(t *testing.T) (*world, *age.X25519Identity) {
	t.Helper()
	w := newShop(t)
	w.add("secrets", "shop", "password", map[string]any{"data": map[string]any{"password": marker}})
	return w, w.encrypt()
}

// encrypt gives the location a key of its own, which is returned, to encrypt to and to decrypt with.
func (w *world) encrypt() *age.X25519Identity {
	w.t.Helper()
	i := newIdentity(w.t)
	w.secret = map[string][]byte{encryption.FieldRecipients: recipientsOf(i), encryption.FieldIdentities: identitiesOf(i)}
	return i
}

// namespaceShown finds the namespace as a word in paths, JSON, YAML and messages. Its four letters alone come up in age's own base64.
var namespaceShown = regexp.MustCompile(`(^|[\s/"':=,;(\[])shop([\s/"':=,;.)\]]|$)`)

// mustHideEverything is a failure if any file below the container, temporary ones included, shows what was captured. The
// manifest names volumes, and the Secret's keys are nowhere.
func mustHideEverything(t *testing.T, w *world, i *age.X25519Identity) {
	t.Helper()
	files := 0
	folder := os.DirFS(w.root)
	err := fs.WalkDir(folder, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		data, err := fs.ReadFile(folder, path)
		if err != nil {
			return err
		}
		texts := [][]byte{data}
		// What is packed shows nothing until it is unpacked.
		if zipped, err := gzip.NewReader(bytes.NewReader(data)); err == nil {
			t.Errorf("%s is a gzip stream", path)
			text, _ := io.ReadAll(zipped)
			texts = append(texts, text)
		}
		for _, text := range texts {
			for _, secret := range []string{marker, "settings", "quiesce", i.String(), "configmaps"} {
				if bytes.Contains(text, []byte(secret)) {
					t.Errorf("%s shows %q", path, secret)
				}
			}
			if namespaceShown.Match(text) && !strings.HasSuffix(path, "/manifest.json") {
				t.Errorf("%s shows a namespace", path)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Error("there is nothing to hide")
	}
}

func TestEncryptedBackupShowsNothingWhereverItCrashes(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w, identity := newEncryptedShop(t)
		config := w.config()
		config.Transcript = func() []byte { return []byte("shop was captured") }
		w.dieAfter(dieAt)
		k := keep(t, w, newBackupObject())
		run := func(b *v1alpha1.Backup, persist func(context.Context) error) error {
			return Backup(t.Context(), config, b, persist)
		}
		b, err := k.run(run)
		calls := w.calls
		if err != nil {
			w.revive()
			if _, statErr := w.container.Stat(t.Context(), "backups/one/claim.json"); statErr == nil {
				mustHideEverything(t, w, identity)
			}
			if b, err = k.run(run); err != nil {
				t.Fatal(err)
			}
		}
		if b.Status.Phase != v1alpha1.RunCompleted || !slices.Equal(b.Status.EncryptedTo, []string{identity.Recipient().String()}) {
			t.Fatalf("phase %s, encrypted to %v: %s", b.Status.Phase, b.Status.EncryptedTo, b.Status.Message)
		}
		mustHideEverything(t, w, identity)
		manifest, _, err := readManifest(t.Context(), w.location(), "one")
		if err != nil {
			t.Fatal(err)
		}
		if len(manifest.Blobs) != 8 || !slices.Equal(manifest.Encryption.Recipients, b.Status.EncryptedTo) {
			t.Errorf("the manifest has %d blobs, and says %+v", len(manifest.Blobs), manifest.Encryption)
		}
		for _, blob := range manifest.Blobs {
			if !blob.Encrypted || !strings.HasSuffix(blob.Key, ".age") {
				t.Errorf("blob %+v is not marked as encrypted", blob)
			}
		}
		return calls
	})
}

func restoreOnce(t *testing.T, w *world, change ...func(*v1alpha1.RestoreSpec)) *v1alpha1.Restore {
	t.Helper()
	object := newRestoreObject()
	w.runs++
	object.UID = types.UID(fmt.Sprintf("restore-uid-%d", w.runs))
	for _, c := range change {
		c(&object.Spec)
	}
	r, err := keep(t, w, object).run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
		return Restore(t.Context(), w.config(), r, persist)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEncryptedRestoreSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w, _ := newEncryptedShop(t)
		backUp(t, w, keep(t, w, newBackupObject()))
		w.removeNamespace("shop")
		w.dieAfter(dieAt)
		k := keep(t, w, newRestoreObject())
		run := func(r *v1alpha1.Restore, persist func(context.Context) error) error {
			return Restore(t.Context(), w.config(), r, persist)
		}
		r, err := k.run(run)
		calls := w.calls
		if err != nil {
			w.revive()
			if r, err = k.run(run); err != nil {
				t.Fatal(err)
			}
		}
		if r.Status.Phase != v1alpha1.RunCompleted {
			t.Fatalf("phase %s: %s %+v", r.Status.Phase, r.Status.Message, r.Status.Warnings)
		}
		secret := w.objects[objectKey("secrets", "shop", "password")]
		if secret == nil || secret["data"].(map[string]any)["password"] != marker {
			t.Errorf("the Secret is %v", secret)
		}
		mustBelongToTheNewSet(t, w)
		return calls
	})
}

// TestTheStockToolReadsAnEncryptedRecoveryPoint: decrypted one by one and without .age, the blobs are a plain recovery point's.
func TestTheStockToolReadsAnEncryptedRecoveryPoint(t *testing.T) {
	w, identity := newEncryptedShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	layout := recoverypoint.LayoutOf("one")
	decrypt := func(key string) []byte {
		data, err := getAll(t.Context(), w.container, key+".age", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := age.Decrypt(bytes.NewReader(data), identity)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(plain)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	zipped, err := gzip.NewReader(bytes.NewReader(decrypt(layout.Archive())))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for entries := tar.NewReader(zipped); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if !slices.Contains(names, "resources/secrets/namespaces/shop/password.json") || names[0] != "metadata/version" {
		t.Errorf("the archive holds %v", names)
	}
	if text := decrypt(layout.VeleroBackup()); !bytes.Contains(text, []byte(`"kind":"Backup"`)) {
		t.Errorf("velero-backup.json is %s", text)
	}
	for _, key := range []string{layout.Index(), layout.Coverage(), layout.ResourceList(), layout.VolumeInfo(), layout.Results()} {
		if text := decrypt(key); len(text) < 2 || text[0] != 0x1f || text[1] != 0x8b {
			t.Errorf("%s is not gzip", key)
		}
	}
	if _, err := w.container.Stat(t.Context(), layout.VeleroBackup()); !errors.Is(err, coffer.ErrBlobNotFound) {
		t.Errorf("Velero finds what it cannot read: %v", err)
	}
}

func TestARestoreThatCannotDecryptSaysForWhomItIs(t *testing.T) {
	other := newIdentity(t)
	for name, tt := range map[string]struct {
		secret map[string][]byte
		code   coffer.Code
		words  []string
	}{
		"no Secret":       {nil, coffer.CodeDecryptionKeyMissing, []string{"BackupStorageLocation default names no Secret", `under "identities"`, "encryption.secretRef"}},
		"no identities":   {map[string][]byte{"recipients": recipientsOf(other)}, coffer.CodeDecryptionKeyMissing, []string{"has no identities"}},
		"somebody else's": {map[string][]byte{"identities": identitiesOf(other)}, coffer.CodeDecryptionKeyMissing, []string{"identities of " + other.Recipient().String() + " only"}},
		"a broken Secret": {map[string][]byte{"identities": []byte("hunter2")}, coffer.CodeEncryptionKeysUnusable, []string{"Secret backup-keys", "identities, line 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, identity := newEncryptedShop(t)
			backUp(t, w, keep(t, w, newBackupObject()))
			w.removeNamespace("shop")
			before := len(w.objects)
			w.secret = tt.secret
			r := restoreOnce(t, w)
			if r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != string(tt.code) {
				t.Fatalf("phase %s, reason %s: %s", r.Status.Phase, r.Status.Reason, r.Status.Message)
			}
			words := tt.words
			if tt.code == coffer.CodeDecryptionKeyMissing {
				words = append(words, "recovery point one is encrypted to "+identity.Recipient().String())
			}
			for _, want := range words {
				if !strings.Contains(r.Status.Message, want) {
					t.Errorf("%q does not say %q", r.Status.Message, want)
				}
			}
			for _, secret := range []string{identity.String(), other.String(), "hunter2"} {
				if strings.Contains(r.Status.Message, secret) {
					t.Errorf("%q shows a key", r.Status.Message)
				}
			}
			if len(w.objects) != before {
				t.Errorf("the refused restore made %d objects", len(w.objects)-before)
			}
		})
	}
}

func TestKeysCanBeRotated(t *testing.T) {
	w, old := newEncryptedShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	young := newIdentity(t)
	w.secret = map[string][]byte{encryption.FieldRecipients: recipientsOf(young), encryption.FieldIdentities: identitiesOf(young, old)}
	second := newBackupObject()
	second.Name, second.UID = "two", "other-uid"
	if b := backUp(t, w, keep(t, w, second)); !slices.Equal(b.Status.EncryptedTo, []string{young.Recipient().String()}) {
		t.Errorf("the second backup is encrypted to %v", b.Status.EncryptedTo)
	}
	for _, name := range []string{"one", "two"} {
		w.removeNamespace("shop")
		if r := restoreOnce(t, w, func(s *v1alpha1.RestoreSpec) { s.BackupName = name }); r.Status.Phase != v1alpha1.RunCompleted {
			t.Errorf("%s: phase %s: %s", name, r.Status.Phase, r.Status.Message)
		}
	}
}

func TestEncryptedRecoveryPointsAreDeletedWithoutKeys(t *testing.T) {
	w, _ := newEncryptedShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	w.secret = map[string][]byte{"identities": []byte("lost")}
	d, err := keep(t, w, newDeletion()).run(func(d *v1alpha1.DeleteBackup, persist func(context.Context) error) error {
		return DeleteBackup(t.Context(), w.config(), &noRuns{w: w}, d, persist)
	})
	if err != nil || d.Status.Phase != v1alpha1.RunCompleted {
		t.Fatalf("DeleteBackup = %v, phase %s: %s", err, d.Status.Phase, d.Status.Message)
	}
	mustBeEmpty(t, w)
}

func TestNothingIsWrittenIfItCannotBeEncrypted(t *testing.T) {
	for name, secret := range map[string]map[string][]byte{
		"no recipients":    {"identities": identitiesOf(newIdentity(t))},
		"broken ones":      {"recipients": []byte("age1nobody")},
		"an empty Secret":  {},
		"a key for a file": {"recipients": identitiesOf(newIdentity(t))},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShop(t)
			w.secret = secret
			b := backUp(t, w, keep(t, w, newBackupObject()))
			if b.Status.Phase != v1alpha1.RunFailed || b.Status.Reason != string(coffer.CodeEncryptionKeysUnusable) {
				t.Errorf("phase %s, reason %s: %s", b.Status.Phase, b.Status.Reason, b.Status.Message)
			}
			if strings.Contains(b.Status.Message, "AGE-SECRET-KEY-1") {
				t.Errorf("%q shows a key", b.Status.Message)
			}
			mustBeEmpty(t, w)
			if len(w.execs) != 0 {
				t.Errorf("pods were frozen for nothing: %v", w.execs)
			}
		})
	}
}

func TestABackupThatWasToBeEncryptedIsNeverWrittenPlain(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w, identity := newEncryptedShop(t)
		w.dieAfter(dieAt)
		k := keep(t, w, newBackupObject())
		run := func(b *v1alpha1.Backup, persist func(context.Context) error) error {
			return Backup(t.Context(), w.config(), b, persist)
		}
		b, err := k.run(run)
		calls := w.calls
		if err == nil {
			mustHideEverything(t, w, identity)
			return calls
		}
		// While the extension is away, somebody takes the Secret out of the location.
		w.revive()
		begun := len(b.Status.EncryptedTo) > 0 && bytes.Contains(k.saved, []byte("encryptedTo"))
		w.secret = nil
		if b, err = k.run(run); err != nil {
			t.Fatal(err)
		}
		switch {
		case b.Status.Phase == v1alpha1.RunFailed:
			if b.Status.Reason != string(coffer.CodeEncryptionKeysUnusable) || !begun {
				t.Errorf("reason %s: %s", b.Status.Reason, b.Status.Message)
			}
			mustBeEmpty(t, w)
		case begun:
			// It was sealed before.
			mustHideEverything(t, w, identity)
		}
		return calls
	})
}
