package flow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/ownership"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

const (
	deadRun  = "0a1b2c3d-0000-4000-8000-000000000001"
	otherRun = "0a1b2c3d-0000-4000-8000-000000000002"
)

func newBackupOf(name, uid string) *v1alpha1.Backup {
	b := newBackupObject()
	b.Name, b.UID = name, types.UID(uid)
	return b
}

func (w *world) holdings(t *testing.T, objects ...map[string]any) (found []string) {
	t.Helper()
	w.list = func(r coffer.ResourceType, _ string, each func(coffer.Page) error) (bool, error) {
		if r.Resource != "backups" {
			return false, nil
		}
		for _, o := range objects {
			text, err := json.Marshal(o)
			if err != nil {
				return true, err
			}
			if err := each(coffer.Page{Items: []json.RawMessage{text}}); err != nil {
				return true, err
			}
		}
		return true, nil
	}
	defer func() { w.list = nil }()
	err := NewReader(w.config()).Holdings(t.Context(), "default", HoldingsTo{
		Location: func(readOnly bool) error { found = append(found, fmt.Sprintf("read-only %v", readOnly)); return nil },
		Snapshots: func(s coffer.RunSnapshots) error {
			found = append(found, fmt.Sprintf("left %s %d/%d", s.Run, s.Snapshots, s.Bytes))
			return nil
		},
		Archive: func(a Archive) error {
			word := fmt.Sprintf("archive %s sealed %v", a.Name, a.Sealed)
			if a.Blobs == 0 || a.Bytes == 0 || a.Modified.IsZero() {
				t.Errorf("%+v", a)
			}
			if a.Backup != nil {
				word += fmt.Sprintf(" by %s of %q, final %v", a.Backup.UID, a.Backup.Vault, a.Backup.Final)
			}
			found = append(found, word)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestWhatBackupsHaveMadeIsTold(t *testing.T) {
	w := newShop(t)
	backUp(t, w, keep(t, w, newBackupOf("one", deadRun)))
	backUp(t, w, keep(t, w, newBackupOf("one-more", otherRun)))
	// One of Velero's, one that a run has only begun, and a file that is nobody's.
	w.put(t, "backups/velero-1/velero-backup.json", []byte("{}"))
	w.put(t, "backups/begun/claim.json", []byte(`{"backup":"x","cluster":"y"}`))
	w.put(t, "backups/stray", []byte("x"))
	// Two runs that have left snapshots: one whose Backup object is there, and one without.
	for _, run := range []string{otherRun, "0a1b2c3d-0000-4000-8000-000000000003"} {
		if err := w.config().Snapshots.Cut(t.Context(), coffer.SnapshotRequest{Name: "a", Namespace: "shop", Claim: "data", Run: run}); err != nil {
			t.Fatal(err)
		}
	}
	backup := func(name, uid, location, vault, phase string) map[string]any {
		return map[string]any{
			"metadata": map[string]any{"name": name, "uid": uid, "labels": map[string]any{vaultLabel: vault}}, "spec": map[string]any{"storageLocation": location},
			"status": map[string]any{"phase": phase},
		}
	}
	got := w.holdings(t, backup("one", deadRun, "default", "vault-a", "Completed"), backup("one-more", otherRun, "elsewhere", "vault-a", "Completed"),
		backup("begun", "x", "default", "", "InProgress"))
	want := []string{
		"read-only false", "left 0a1b2c3d-0000-4000-8000-000000000003 1/1048576", `archive begun sealed false by x of "", final false`,
		"archive one-more sealed true", "archive one sealed true by " + deadRun + ` of "vault-a", final true`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWhereAnotherClusterWritesNothingIsDeleted(t *testing.T) {
	w := newShop(t)
	text, err := ownership.Encode(ownership.Owner{Cluster: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.container.Put(t.Context(), ownership.Key, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if got := w.holdings(t); len(got) != 1 || got[0] != "read-only true" {
		t.Errorf("told: %v", got)
	}
	if err := NewReader(w.config()).Holdings(t.Context(), "../default", HoldingsTo{}); coffer.CodeOf(err) != coffer.CodeInvalid {
		t.Errorf("a location that is a way out: %v", err)
	}
}

// deleteRun deletes what a run has left under a name.
func deleteRun(t *testing.T, w *world, runs *noRuns, run string) *v1alpha1.DeleteBackup {
	t.Helper()
	object := newDeletion()
	object.Spec.Run = run
	k := keep(t, w, object)
	for {
		d, err := k.run(func(d *v1alpha1.DeleteBackup, persist func(context.Context) error) error {
			return DeleteBackup(t.Context(), w.config(), runs, d, persist)
		})
		if err == nil {
			return d
		}
		if !w.dead {
			t.Fatal(err)
		}
		w.revive()
	}
}

// TestWhatABackupThatDiedAnywhereHasLeftIsDeletedByItsRun: its object was removed by somebody, so that nobody takes it up again.
func TestWhatABackupThatDiedAnywhereHasLeftIsDeletedByItsRun(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		backUp(t, w, keep(t, w, newBackupOf("one-more", otherRun)))
		w.dieAfter(dieAt)
		_, err := keep(t, w, newBackupOf("one", deadRun)).run(func(b *v1alpha1.Backup, persist func(context.Context) error) error {
			return Backup(t.Context(), w.config(), b, persist)
		})
		calls := w.calls
		if err == nil && dieAt >= 0 {
			t.Log("it ended before it died")
		}
		w.revive()
		d := deleteRun(t, w, &noRuns{w: w}, deadRun)
		if d.Status.Phase != v1alpha1.RunCompleted && d.Status.Reason != string(coffer.CodeBackupNotFound) {
			t.Fatalf("phase %s: %s", d.Status.Phase, d.Status.Message)
		}
		mustHaveNoBlobs(t, w, "backups/one/")
		manifest, _, err := readManifest(t.Context(), w.location(), "one-more")
		if err != nil || len(w.disks) != 1 || !w.disks[manifest.Volumes[0].Handle] || len(w.snapshots) != 0 {
			t.Errorf("the other recovery point: %v; disks left: %v, objects of snapshots: %v", err, w.disks, w.snapshots)
		}
		return calls
	})
}

func TestTheDeletionOfARunSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		if err := w.config().Snapshots.Cut(t.Context(), coffer.SnapshotRequest{Name: "a", Namespace: "shop", Claim: "data", Run: deadRun}); err != nil {
			t.Fatal(err)
		}
		w.put(t, "backups/one/claim.json", []byte(`{"backup":"`+deadRun+`","cluster":"y"}`))
		w.put(t, "backups/one/one.tar.gz", []byte("x"))
		w.dieAfter(dieAt)
		d := deleteRun(t, w, &noRuns{w: w}, deadRun)
		calls := w.calls
		w.revive()
		mustHaveNoBlobs(t, w, "backups/one/")
		if d.Status.Phase != v1alpha1.RunCompleted || len(w.disks) != 0 || len(w.snapshots) != 0 {
			t.Errorf("phase %s: %s; disks left: %v", d.Status.Phase, d.Status.Message, w.disks)
		}
		return calls
	})
}

func TestWhatAnotherRunHasMadeIsNotDeleted(t *testing.T) {
	for name, tt := range map[string]struct {
		run, owner string
		prepare    func(t *testing.T, w *world)
		code       coffer.Code
	}{
		"the recovery point is another run's": {run: otherRun, code: coffer.CodeBackupInUse},
		"the remains are another run's": {run: otherRun, code: coffer.CodeBackupInUse, prepare: func(t *testing.T, w *world) {
			if err := w.container.Delete(t.Context(), recoverypoint.LayoutOf("one").Manifest()); err != nil {
				t.Fatal(err)
			}
		}},
		"the run is that of another Backup": {run: deadRun, owner: "one-more", code: coffer.CodeInvalid},
		"the UID is part of one":            {run: "0a1b2c3d", code: coffer.CodeInvalid},
		"the UID is none":                   {run: "x-" + deadRun, code: coffer.CodeInvalid},
		"a manifest that is not believed": {run: deadRun, code: coffer.CodeSignerNotTrusted, prepare: func(t *testing.T, w *world) {
			if err := w.container.Delete(t.Context(), recoverypoint.LayoutOf("one").Signature()); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShop(t)
			backUp(t, w, keep(t, w, newBackupOf("one", deadRun)))
			if tt.prepare != nil {
				tt.prepare(t, w)
			}
			for _, run := range []string{deadRun, otherRun} {
				if err := w.config().Snapshots.Cut(t.Context(), coffer.SnapshotRequest{Name: "a", Namespace: "shop", Claim: "data", Run: run}); err != nil {
					t.Fatal(err)
				}
			}
			d := deleteRun(t, w, &noRuns{w: w, name: tt.owner}, tt.run)
			if d.Status.Reason != string(tt.code) || len(w.disks) != 3 {
				t.Errorf("phase %s, reason %s: %s; disks: %v", d.Status.Phase, d.Status.Reason, d.Status.Message, w.disks)
			}
			if _, err := w.container.Stat(t.Context(), recoverypoint.LayoutOf("one").Claim()); err != nil {
				t.Errorf("the claim is gone: %v", err)
			}
		})
	}
}
