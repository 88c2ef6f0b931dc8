package flow

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestTheLedgerOfARecoveryPointIsReadAndBelievedAsARestoreBelievesIt(t *testing.T) {
	w := newShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	manifest, ledger, err := NewReader(w.config()).Coverage(t.Context(), "default", "one")
	if err != nil || manifest.Name != "one" || len(ledger.Captured) == 0 || len(ledger.Volumes) != 1 || ledger.Volumes[0].Result != coffer.VolumeCaptured {
		t.Errorf("%+v, %+v, %v", manifest, ledger, err)
	}
	for name, code := range map[string]coffer.Code{"two": coffer.CodeBackupNotFound, "../one": coffer.CodeInvalid} {
		if _, _, err := NewReader(w.config()).Coverage(t.Context(), "default", name); coffer.CodeOf(err) != code {
			t.Errorf("%s: %v", name, err)
		}
	}
	forge(t, w, func(m []byte) []byte { return m }, true)
	if _, _, err := NewReader(w.config()).Coverage(t.Context(), "default", "one"); coffer.CodeOf(err) != coffer.CodeSignerNotTrusted {
		t.Errorf("a stranger's: %v", err)
	}
}

func TestTheLogOfARunIsReadInPiecesOfWholeLines(t *testing.T) {
	w := newShop(t)
	long := strings.Repeat("é", logPiece)
	text := "step begins\nstep ended\n" + long + "\n" + strings.Repeat("a line\n", logPiece) + "no end"
	var zipped bytes.Buffer
	for _, member := range []string{text[:15], text[15:]} {
		zip := gzip.NewWriter(&zipped)
		if _, err := zip.Write([]byte(member)); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
	}
	put := func(name string, data []byte) {
		w.add("configmaps", v1alpha1.DefaultNamespace, v1alpha1.RunLogName("Backup", name), map[string]any{
			"binaryData": map[string]any{v1alpha1.RunLogField: base64.StdEncoding.EncodeToString(data)},
		})
	}
	put("one", zipped.Bytes())
	put("cut", zipped.Bytes()[:zipped.Len()-20])
	put("foul", []byte("text"))
	pieces := 0
	read := func(name string) (string, error) {
		var got strings.Builder
		pieces = 0
		err := NewReader(w.config()).Logs(t.Context(), "Backup", name, func(piece []byte) error {
			got.Write(piece)
			pieces++
			return nil
		})
		return got.String(), err
	}
	if got, err := read("one"); err != nil || got != text || pieces > 12 {
		t.Errorf("%d bytes of %d in %d pieces, %v", len(got), len(text), pieces, err)
	}
	// A log that was cut off is of use as far as it goes.
	if got, err := read("cut"); err != nil || !strings.HasPrefix(got, "step begins\n") {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	for name, code := range map[string]coffer.Code{"foul": coffer.CodeArchiveCorrupt, "none": coffer.CodeNotFound, "../x": coffer.CodeInvalid} {
		if _, err := read(name); coffer.CodeOf(err) != code {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnInventoryHasWhatThereIsAndSaysWhatItMayNotSee(t *testing.T) {
	w := newShop(t)
	w.add("namespaces", "", "attic", map[string]any{"status": map[string]any{"phase": "Terminating"}})
	w.add("backuphooks."+v1alpha1.Group, "shop", "quiesce", nil)
	w.add("csidrivers.storage.k8s.io", "", "disk", nil)
	w.list = func(t coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
		if t.Resource == "restorehooks" {
			return true, coffer.Errorf(coffer.CodeForbidden, "you may not")
		}
		return false, nil
	}
	found, err := NewReader(w.config()).Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(found.Namespaces) != 3 || found.Namespaces[0].Name != "attic" || found.Namespaces[0].Status.Phase != "Terminating" || found.System["kube-system"] == "" || found.System["shop"] != "" {
		t.Errorf("namespaces %+v, system %v", found.Namespaces, found.System)
	}
	if len(found.BackupHooks) != 1 || found.BackupHooks[0].Name != "quiesce" || len(found.Drivers) != 1 || len(found.SnapshotClasses) != 1 || found.Release != "v1.34.1" || found.Version != "test" {
		t.Errorf("%+v", found)
	}
	if len(found.Gaps) != 1 || found.Gaps[0].What != "restorehooks" || !strings.Contains(found.Gaps[0].Reason, "you may not") {
		t.Errorf("gaps %+v", found.Gaps)
	}
}
