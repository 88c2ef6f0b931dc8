package flow

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// forge replaces the manifest of the recovery point "one", and its signature by one of a stranger's key.
func forge(t *testing.T, w *world, change func([]byte) []byte, sign bool) {
	t.Helper()
	layout := recoverypoint.LayoutOf("one")
	manifest, err := getAll(t.Context(), w.container, layout.Manifest(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	manifest = change(manifest)
	blobs := map[string][]byte{layout.Manifest(): manifest}
	if sign {
		stranger := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
		if blobs[layout.Signature()], err = recoverypoint.Sign(stranger, manifest); err != nil {
			t.Fatal(err)
		}
	}
	for key, body := range blobs {
		if err := w.container.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if _, err := w.container.Put(t.Context(), key, bytes.NewReader(body)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRestoreWithoutPermissionIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	w := newShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	w.forbidden = "shop"
	before := len(w.objects)
	restore, err := keep(t, w, newRestoreObject()).run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
		return Restore(t.Context(), w.config(), r, persist)
	})
	if err != nil || restore.Status.Reason != string(coffer.CodeForbidden) || !strings.Contains(restore.Status.Message, "in namespace shop") {
		t.Errorf("Restore = %v, reason %s: %s", err, restore.Status.Reason, restore.Status.Message)
	}
	if len(w.objects) != before {
		t.Errorf("the refused restore made %d objects", len(w.objects)-before)
	}
}

func TestRecoveryPointsOfStrangersAreNeitherRestoredNorDeleted(t *testing.T) {
	same := func(m []byte) []byte { return m }
	otherHandle := func(m []byte) []byte {
		return bytes.Replace(m, []byte(`"handle": "`), []byte(`"handle": "somebody-elses-`), 1)
	}
	for name, tt := range map[string]struct {
		prepare func(*testing.T, *world)
		code    coffer.Code
		words   string
	}{
		"signed by a stranger":    {func(t *testing.T, w *world) { forge(t, w, same, true) }, coffer.CodeSignerNotTrusted, "coffer storage-location trust default ed25519:"},
		"altered":                 {func(t *testing.T, w *world) { forge(t, w, otherHandle, false) }, coffer.CodeArchiveCorrupt, "altered"},
		"altered and signed anew": {func(t *testing.T, w *world) { forge(t, w, otherHandle, true) }, coffer.CodeSignerNotTrusted, "not trusted"},
		"not signed": {func(t *testing.T, w *world) {
			if err := w.container.Delete(t.Context(), recoverypoint.LayoutOf("one").Signature()); err != nil {
				t.Fatal(err)
			}
		}, coffer.CodeSignerNotTrusted, "is not signed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShop(t)
			backUp(t, w, keep(t, w, newBackupObject()))
			w.removeNamespace("shop")
			tt.prepare(t, w)
			before := len(w.objects)
			restore, err := keep(t, w, newRestoreObject()).run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
				return Restore(t.Context(), w.config(), r, persist)
			})
			if err != nil || restore.Status.Reason != string(tt.code) || !strings.Contains(restore.Status.Message, tt.words) {
				t.Errorf("Restore = %v, reason %s: %s", err, restore.Status.Reason, restore.Status.Message)
			}
			if len(w.objects) != before {
				t.Errorf("the refused restore made %d objects", len(w.objects)-before)
			}
			deletion, err := keep(t, w, newDeletion()).run(func(d *v1alpha1.DeleteBackup, persist func(context.Context) error) error {
				return DeleteBackup(t.Context(), w.config(), &noRuns{w: w}, d, persist)
			})
			if err != nil || deletion.Status.Reason != string(tt.code) {
				t.Errorf("DeleteBackup = %v, reason %s: %s", err, deletion.Status.Reason, deletion.Status.Message)
			}
			if len(w.disks) != 1 {
				t.Errorf("the snapshots are %v: a manifest that is not believed must not say what is deleted", w.disks)
			}
		})
	}
}
