package flow

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/capability"
	"github.com/coffer-backup/coffer/internal/format/ownership"
)

// validateBackup validates the backup of newBackupObject.
func validateBackup(t *testing.T, w *world, change ...func(*v1alpha1.BackupSpec)) v1alpha1.ValidationStatus {
	t.Helper()
	v := &v1alpha1.ValidateForBackup{ObjectMeta: newBackupObject().ObjectMeta, Spec: v1alpha1.ValidateForBackupSpec{Backup: newBackupObject(change...).Spec}}
	before := len(w.objects)
	if err := ValidateForBackup(t.Context(), w.config(), v, unkept); err != nil {
		t.Fatal(err)
	}
	if len(w.objects) != before || len(w.created)+len(w.patched)+len(w.deleted) > 0 || len(w.snapshots) > 0 || len(w.execs) > 0 {
		t.Errorf("the validation wrote: created %v, patched %v, deleted %v, executed %v", w.created, w.patched, w.deleted, w.execs)
	}
	return v.Status
}

// rows are the checks of a name with a status.
func rows(s v1alpha1.ValidationStatus, name string, status v1alpha1.CheckResult) []v1alpha1.Check {
	return slices.DeleteFunc(slices.Clone(s.Checks), func(c v1alpha1.Check) bool { return c.Name != name || c.Status != status })
}

func wantRow(t *testing.T, s v1alpha1.ValidationStatus, name string, status v1alpha1.CheckResult, code coffer.Code, words string) {
	t.Helper()
	for _, c := range rows(s, name, status) {
		if c.Code == string(code) && strings.Contains(c.Resource+" "+c.Message+" "+c.Remedy, words) {
			if status == v1alpha1.CheckFailed && c.Remedy == "" {
				t.Errorf("%s has no remedy: %+v", name, c)
			}
			return
		}
	}
	t.Errorf("no check %s %s with code %q and %q in\n%+v", name, status, code, words, s.Checks)
}

func TestABackupThatWouldSucceedIsValid(t *testing.T) {
	w := newShop(t)
	s := validateBackup(t, w)
	if s.Phase != v1alpha1.RunCompleted || s.Reason != "Succeeded" || !strings.Contains(s.Message, " 0 failed, 0 warnings, 0 skipped") || s.CompletionTime == nil {
		t.Errorf("%s, %s: %s\n%+v", s.Phase, s.Reason, s.Message, s.Checks)
	}
	for _, name := range []string{
		capability.Extension, capability.Kubernetes, capability.SigningKey, capability.StorageLocation, capability.Writable, capability.Owner,
		capability.Namespaces, capability.Hook, capability.SnapshotAPI, capability.SnapshotClass, capability.Permissions,
	} {
		if len(rows(s, name, v1alpha1.CheckPassed)) == 0 {
			t.Errorf("%s did not pass: %+v", name, s.Checks)
		}
	}
	// What is validated can then be done, and the validation has left nothing in its way.
	if done := keep(t, w, newBackupObject()); true {
		backUp(t, w, done)
	}
}

func TestEverythingThatIsWrongWithABackupIsFoundAtOnce(t *testing.T) {
	w := newShop(t)
	w.readOnly = true
	w.extra = append(w.extra, coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "velero.io", Resource: "backups"}, Version: "v1", Kind: "Backup", Namespaced: true})
	s := validateBackup(t, w, func(b *v1alpha1.BackupSpec) {
		b.IncludedNamespaces = append(b.IncludedNamespaces, "gone")
		b.BackupHookReferences = append(b.BackupHookReferences, v1alpha1.NamespacedReference{Namespace: "shop", Name: "missing"})
		b.ExcludedResourceTypes = []string{"widgets.acme.io"}
	})
	if s.Phase != v1alpha1.RunFailed || s.Reason == "Succeeded" {
		t.Errorf("%s, %s: %s", s.Phase, s.Reason, s.Message)
	}
	wantRow(t, s, capability.Writable, v1alpha1.CheckFailed, coffer.CodeLocationReadOnly, "read-only")
	wantRow(t, s, capability.Owner, v1alpha1.CheckSkipped, "", capability.Writable)
	wantRow(t, s, capability.Namespaces, v1alpha1.CheckFailed, coffer.CodeNamespaceNotFound, `"gone"`)
	wantRow(t, s, capability.OtherTools, v1alpha1.CheckWarning, coffer.CodeVeleroPresent, "velero import")
	wantRow(t, s, capability.Namespaces, v1alpha1.CheckWarning, coffer.CodeNothingMatches, "widgets.acme.io")
	if failed := rows(s, capability.Hook, v1alpha1.CheckFailed); len(failed) != 1 || failed[0].Resource != "BackupHook shop/missing" || failed[0].Code != string(coffer.CodeHookNotFound) {
		t.Errorf("hooks: %+v", s.Checks)
	}
	if len(rows(s, capability.Hook, v1alpha1.CheckPassed)) != 1 {
		t.Errorf("the hook that is there did not pass: %+v", s.Checks)
	}
}

func TestALocationOfAnotherClusterIsNotValid(t *testing.T) {
	w := newShop(t)
	if _, err := Own(t.Context(), w.container, ownership.Owner{Cluster: "other", Name: "production"}); err != nil {
		t.Fatal(err)
	}
	s := validateBackup(t, w)
	wantRow(t, s, capability.Owner, v1alpha1.CheckFailed, coffer.CodeLocationNotReady, "take-over")
}

func TestAStoreThatDoesNotAnswerFailsItsCheckAndNotTheValidation(t *testing.T) {
	w := newShop(t)
	c := w.config()
	c.Settings = &deafSettings{Settings: c.Settings}
	v := &v1alpha1.ValidateForBackup{ObjectMeta: newBackupObject().ObjectMeta, Spec: v1alpha1.ValidateForBackupSpec{Backup: newBackupObject().Spec}}
	if err := ValidateForBackup(t.Context(), c, v, unkept); err != nil {
		t.Fatal(err)
	}
	if got := rows(v.Status, capability.StorageLocation, v1alpha1.CheckFailed); len(got) != 1 || got[0].Code != string(coffer.CodeLocationNotReady) || !strings.Contains(got[0].Message, "connection broke") {
		t.Errorf("%+v", v.Status.Checks)
	}
	if asked := c.Settings.(*deafSettings).asked; asked != lookAttempts {
		t.Errorf("it was asked %d times", asked)
	}
	wantRow(t, v.Status, capability.EncryptionKeys, v1alpha1.CheckSkipped, "", capability.StorageLocation)
	if len(rows(v.Status, capability.Namespaces, v1alpha1.CheckPassed)) != 1 {
		t.Errorf("what has nothing to do with the store was not checked: %+v", v.Status.Checks)
	}
}

// deafSettings has a store that does not answer.
type deafSettings struct {
	Settings
	asked int
}

// Location implements Settings.
func (s *deafSettings) Location(context.Context, string) (Location, error) {
	s.asked++
	return Location{}, errHiccup
}

func TestVolumesThatWouldNotBeCapturedAreNotValid(t *testing.T) {
	w := newShop(t)
	claim := func(name, phase string) {
		w.add("persistentvolumeclaims", "shop", name, map[string]any{
			"spec": map[string]any{"volumeName": "pv-" + name}, "status": map[string]any{"phase": phase},
		})
	}
	claim("foreign", "Bound")
	w.add("persistentvolumes", "", "pv-foreign", map[string]any{"spec": map[string]any{"csi": map[string]any{"driver": "nfs.csi.k8s.io", "volumeHandle": "x"}}})
	claim("old", "Bound")
	w.add("persistentvolumes", "", "pv-old", map[string]any{"spec": map[string]any{"nfs": map[string]any{"server": "x", "path": "/"}}})
	claim("waiting", "Pending")
	s := validateBackup(t, w)
	wantRow(t, s, capability.SnapshotClass, v1alpha1.CheckFailed, coffer.CodeSnapshotUnsupported, "shop/foreign")
	wantRow(t, s, capability.SnapshotClass, v1alpha1.CheckPassed, "", "VolumeSnapshotClass lab")
	wantRow(t, s, capability.Volumes, v1alpha1.CheckWarning, coffer.CodeSnapshotUnsupported, "shop/old")
	wantRow(t, s, capability.Volumes, v1alpha1.CheckWarning, coffer.CodeClaimNotBound, "shop/waiting")
}

func validateRestore(t *testing.T, w *world, change ...func(*v1alpha1.RestoreSpec)) v1alpha1.ValidationStatus {
	t.Helper()
	spec := newRestoreObject().Spec
	for _, c := range change {
		c(&spec)
	}
	v := &v1alpha1.ValidateForRestore{ObjectMeta: newRestoreObject().ObjectMeta, Spec: v1alpha1.ValidateForRestoreSpec{Restore: spec}}
	created, patched, deleted := len(w.created), len(w.patched), len(w.deleted)
	if err := ValidateForRestore(t.Context(), w.config(), v, unkept); err != nil {
		t.Fatal(err)
	}
	if len(w.created) != created || len(w.patched) != patched || len(w.deleted) != deleted {
		t.Errorf("the validation wrote: created %v, patched %v, deleted %v", w.created, w.patched, w.deleted)
	}
	return v.Status
}

func TestARestoreIsValidWhereItsDriverIs(t *testing.T) {
	w := newShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	s := validateRestore(t, w)
	wantRow(t, s, capability.RecoveryPoint, v1alpha1.CheckPassed, "", "one")
	wantRow(t, s, capability.Driver, v1alpha1.CheckFailed, coffer.CodeDriverMissing, "RestoreWithoutVolumeData")
	w.add("csidrivers.storage.k8s.io", "", "disk", nil)
	s = validateRestore(t, w)
	wantRow(t, s, capability.Driver, v1alpha1.CheckPassed, "", "disk")
	if s.Phase == v1alpha1.RunFailed {
		t.Errorf("%s: %+v", s.Message, s.Checks)
	}
	s = validateRestore(t, w, func(r *v1alpha1.RestoreSpec) { r.PersistentVolumeRestoreMode = v1alpha1.RestoreWithoutVolumeData })
	wantRow(t, s, capability.SnapshotAPI, v1alpha1.CheckSkipped, "", "no volume")
}

func TestEverythingThatIsWrongWithARestoreIsFoundAtOnce(t *testing.T) {
	w := newShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	w.confined = true
	s := validateRestore(t, w, func(r *v1alpha1.RestoreSpec) {
		r.StorageClassMappings = map[string]v1alpha1.StorageClassName{"standard": "fast"}
	})
	wantRow(t, s, capability.StorageClass, v1alpha1.CheckFailed, coffer.CodeVolumePending, "fast")
	wantRow(t, s, capability.Permissions, v1alpha1.CheckFailed, coffer.CodeForbidden, "namespaces")
	s = validateRestore(t, w, func(r *v1alpha1.RestoreSpec) {
		r.BackupName = "two"
		r.ResourceModifierReference = &v1alpha1.NamespacedReference{Namespace: "shop", Name: "modifiers"}
	})
	wantRow(t, s, capability.RecoveryPoint, v1alpha1.CheckSkipped, "", capability.ResourceModifiers)
	wantRow(t, s, capability.Selection, v1alpha1.CheckSkipped, "", capability.RecoveryPoint)
	s = validateRestore(t, w, func(r *v1alpha1.RestoreSpec) { r.BackupName = "two" })
	wantRow(t, s, capability.RecoveryPoint, v1alpha1.CheckFailed, coffer.CodeBackupNotFound, "two")
	s = validateRestore(t, w, func(r *v1alpha1.RestoreSpec) { r.IncludedNamespaces = []string{"elsewhere"} })
	if s.Phase != v1alpha1.RunFailed || len(rows(s, capability.Selection, v1alpha1.CheckFailed)) != 1 {
		t.Errorf("a namespace that the recovery point lacks: %s\n%+v", s.Message, s.Checks)
	}
	w.add("namespaces", "", "shop", nil)["metadata"].(map[string]any)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	s = validateRestore(t, w)
	wantRow(t, s, capability.Namespaces, v1alpha1.CheckWarning, coffer.CodeNamespaceTerminating, "Namespace shop")
}

// Whenever the process dies, the next one validates anew and ends.
func TestAValidationSurvivesItsProcess(t *testing.T) {
	for n := 0; ; n++ {
		w := newShop(t)
		kept := v1alpha1.ValidateForBackup{ObjectMeta: newBackupObject().ObjectMeta, Spec: v1alpha1.ValidateForBackupSpec{Backup: newBackupObject().Spec}}
		run := func() error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			object := kept.DeepCopy()
			c := w.config()
			c.Failpoint = nil
			return ValidateForBackup(ctx, c, object, func(context.Context) error {
				if err := w.call(); err != nil {
					return err
				}
				kept = *object.DeepCopy()
				return nil
			})
		}
		w.dieAfter(n)
		err := run()
		died := w.dead
		w.revive()
		if died && err == nil {
			t.Fatalf("call %d: the dead process has ended its validation", n)
		}
		if err := run(); err != nil || kept.Status.Phase != v1alpha1.RunCompleted || len(rows(kept.Status, capability.Hook, v1alpha1.CheckPassed)) != 1 {
			t.Fatalf("call %d: %v, %s: %s", n, err, kept.Status.Phase, kept.Status.Message)
		}
		if !died {
			return
		}
	}
}
