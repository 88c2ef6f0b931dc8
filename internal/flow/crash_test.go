package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/ownership"
)

// newShop is a world with a database under a StatefulSet, its claim, some configuration, and hooks for all.
func newShop(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.add("namespaces", "", "shop", nil)
	w.add("configmaps", "shop", "settings", map[string]any{"data": map[string]any{"a": "b"}})
	set := w.add("statefulsets.apps", "shop", "db", map[string]any{"spec": map[string]any{"replicas": 1}, "status": map[string]any{"replicas": 1}})
	owner := []any{map[string]any{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "controller": true, "uid": set["metadata"].(map[string]any)["uid"]}}
	w.add("pods", "shop", "db-0", runningPod())["metadata"].(map[string]any)["ownerReferences"] = owner
	w.add("persistentvolumeclaims", "shop", "data", map[string]any{
		"ownerReferences": owner, "spec": map[string]any{"volumeName": "pv"}, "status": map[string]any{"phase": "Bound"},
	})
	w.add("persistentvolumes", "", "pv", map[string]any{"spec": map[string]any{
		"csi": map[string]any{"driver": "disk"}, "claimRef": map[string]any{"namespace": "shop", "name": "data"},
	}})
	w.hooks["shop/quiesce"] = v1alpha1.BackupHook{Spec: v1alpha1.BackupHookSpec{BackupHook: []v1alpha1.BackupHookRule{{
		HookScope: v1alpha1.HookScope{Name: "h"},
		PreHooks:  []v1alpha1.BackupHookAction{{Exec: v1alpha1.BackupHookExec{Command: []string{"freeze"}}}},
		PostHooks: []v1alpha1.BackupHookAction{{Exec: v1alpha1.BackupHookExec{Command: []string{"thaw"}}}},
	}}}}
	w.restoreHooks["shop/warm"] = v1alpha1.RestoreHook{Spec: v1alpha1.RestoreHookSpec{RestoreHook: []v1alpha1.RestoreHookRule{{
		HookScope: v1alpha1.HookScope{Name: "w"},
		PostHooks: []v1alpha1.RestoreHookAction{{Exec: v1alpha1.RestoreHookExec{Command: []string{"warm"}}}},
	}}}}
	return w
}

func newBackupObject(change ...func(*v1alpha1.BackupSpec)) *v1alpha1.Backup {
	b := &v1alpha1.Backup{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "one", UID: types.UID("backup-uid")},
		Spec: v1alpha1.BackupSpec{
			StorageLocation: "default", IncludedNamespaces: []string{"shop"},
			BackupHookReferences: []v1alpha1.NamespacedReference{{Namespace: "shop", Name: "quiesce"}},
		},
	}
	for _, c := range change {
		c(&b.Spec)
	}
	return b
}

// kept is an object as the API server keeps it: only what was persisted survives the process.
type kept[T any] struct {
	w     *world
	saved []byte
}

func keep[T any](t *testing.T, w *world, object *T) *kept[T] {
	t.Helper()
	k := &kept[T]{w: w}
	k.write(object)
	return k
}

func (k *kept[T]) write(object *T) {
	data, err := json.Marshal(object)
	if err != nil {
		k.w.t.Error(err)
	}
	k.saved = data
}

// run reads the object and runs one process on it, until that ends or dies.
func (k *kept[T]) run(do func(object *T, persist func(context.Context) error) error) (*T, error) {
	object := new(T)
	if err := json.Unmarshal(k.saved, object); err != nil {
		k.w.t.Fatal(err)
	}
	err := do(object, func(context.Context) error {
		if err := k.w.call(); err != nil {
			return err
		}
		k.write(object)
		return nil
	})
	return object, err
}

// everyCrash runs a scenario once to count its calls, and then again for each call, at which the process dies and a
// new one takes over.
func everyCrash(t *testing.T, scenario func(t *testing.T, dieAt int) (calls int)) {
	t.Helper()
	calls := scenario(t, -1)
	if calls < 10 {
		t.Fatalf("the scenario makes %d calls: too few to be the real thing", calls)
	}
	for n := range calls {
		t.Run(fmt.Sprintf("dead at call %d of %d", n, calls), func(t *testing.T) {
			t.Parallel()
			scenario(t, n)
		})
	}
}

func backUp(t *testing.T, w *world, k *kept[v1alpha1.Backup]) *v1alpha1.Backup {
	t.Helper()
	var last *v1alpha1.Backup
	for range 5 {
		b, err := k.run(func(b *v1alpha1.Backup, persist func(context.Context) error) error {
			return Backup(t.Context(), w.config(), b, persist)
		})
		last = b
		if err == nil {
			return last
		}
		if !w.dead {
			t.Fatalf("Backup = %v", err)
		}
		w.revive()
	}
	t.Fatal("the backup does not end")
	return last
}

func TestBackupSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		w.dieAfter(dieAt)
		b := backUp(t, w, keep(t, w, newBackupObject()))
		calls := w.calls
		w.revive()
		if b.Status.Phase != v1alpha1.RunCompleted {
			t.Fatalf("phase %s: %s", b.Status.Phase, b.Status.Message)
		}
		mustBeThawed(t, w, b)
		if len(w.snapshots) != 0 {
			t.Errorf("%d snapshot objects are left", len(w.snapshots))
		}
		manifest, digest, err := readManifest(t.Context(), w.location(), "one")
		if err != nil || digest != b.Status.ManifestDigest {
			t.Fatalf("manifest: %v, digest %s, status %s", err, digest, b.Status.ManifestDigest)
		}
		if len(manifest.Volumes) != 1 || !w.disks[manifest.Volumes[0].Handle] || len(w.disks) != 1 {
			t.Errorf("the point has %+v, the storage %v: want one snapshot, the same", manifest.Volumes, w.disks)
		} else if !w.cutFrozen[manifest.Volumes[0].Handle] {
			t.Error("the snapshot was cut while the database was not frozen")
		}
		return calls
	})
}

func TestFrozenPodsAreThawedByTheHooksOfTheStart(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		labels := map[string]any{"role": "primary"}
		w.objects[objectKey("pods", "shop", "db-0")]["metadata"].(map[string]any)["labels"] = labels
		rule := &w.hooks["shop/quiesce"].Spec.BackupHook[0]
		rule.LabelSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"role": "primary"}}
		w.dieAfter(dieAt)
		k := keep(t, w, newBackupObject())
		b, err := k.run(func(b *v1alpha1.Backup, persist func(context.Context) error) error {
			return Backup(t.Context(), w.config(), b, persist)
		})
		calls := w.calls
		if err == nil {
			mustBeThawed(t, w, b)
			return calls
		}
		// While the extension is away, the database fails over and somebody tidies the hooks up.
		w.revive()
		labels["role"] = "replica"
		delete(w.hooks, "shop/quiesce")
		b = backUp(t, w, k)
		mustBeThawed(t, w, b)
		if b.Status.Phase != v1alpha1.RunCompleted {
			if b.Status.Reason != string(coffer.CodeHookNotFound) {
				t.Errorf("phase %s: %s", b.Status.Phase, b.Status.Message)
			}
			mustBeEmpty(t, w)
		}
		return calls
	})
}

func mustBeThawed(t *testing.T, w *world, b *v1alpha1.Backup) {
	t.Helper()
	if len(w.frozen) > 0 || len(b.Status.FrozenPods) > 0 {
		t.Errorf("frozen: %v, owed: %v; executed: %v", w.frozen, b.Status.FrozenPods, w.execs)
	}
}

func TestFailedBackupLeavesNothingWhereverItCrashes(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		w.failExec = func(e coffer.Exec) (coffer.ExecResult, error) {
			if e.Command[0] == "thaw" {
				return coffer.ExecResult{}, nil
			}
			return coffer.ExecResult{ExitCode: 3, Output: "database is busy"}, nil
		}
		w.dieAfter(dieAt)
		b := backUp(t, w, keep(t, w, newBackupObject()))
		calls := w.calls
		w.revive()
		if b.Status.Phase != v1alpha1.RunFailed || b.Status.Reason != string(coffer.CodeHookFailed) || !strings.Contains(b.Status.Message, "database is busy") {
			t.Fatalf("phase %s, reason %s: %s", b.Status.Phase, b.Status.Reason, b.Status.Message)
		}
		mustBeThawed(t, w, b)
		mustBeEmpty(t, w)
		return calls
	})
}

func mustBeEmpty(t *testing.T, w *world) {
	t.Helper()
	if len(w.snapshots) != 0 || len(w.disks) != 0 {
		t.Errorf("snapshot objects %v and snapshots %v are left", w.snapshots, w.disks)
	}
	mustHaveNoBlobs(t, w, "")
}

func mustHaveNoBlobs(t *testing.T, w *world, prefix string) {
	t.Helper()
	for info, err := range w.container.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		// The claim of the container outlives runs.
		if info.Key != ownership.Key {
			t.Errorf("blob %s is left", info.Key)
		}
	}
}

func TestCancelledBackupLeavesNothing(t *testing.T) {
	calls := func() int {
		w := newShop(t)
		w.dieAfter(-1)
		backUp(t, w, keep(t, w, newBackupObject()))
		return w.calls
	}()
	for n := range calls {
		t.Run(fmt.Sprintf("deleted at call %d of %d", n, calls), func(t *testing.T) {
			t.Parallel()
			w := newShop(t)
			w.dieAfter(n)
			k := keep(t, w, newBackupObject())
			_, _ = k.run(func(b *v1alpha1.Backup, persist func(context.Context) error) error {
				return Backup(t.Context(), w.config(), b, persist)
			})
			w.revive()
			b, err := k.run(func(b *v1alpha1.Backup, persist func(context.Context) error) error {
				return CancelBackup(t.Context(), w.config(), b, persist)
			})
			if err != nil {
				t.Fatal(err)
			}
			mustBeThawed(t, w, b)
			if m, _, err := readManifest(t.Context(), w.location(), "one"); err == nil {
				if len(w.snapshots) != 0 || len(w.disks) != 1 || !w.disks[m.Volumes[0].Handle] {
					t.Errorf("a sealed recovery point stays, and its snapshot with it: objects %v, snapshots %v", w.snapshots, w.disks)
				}
				return
			}
			mustBeEmpty(t, w)
		})
	}
}

// TestBackupCancelledByItsSpec interrupts a backup at each call, and then has it go on with spec.cancel.
func TestBackupCancelledByItsSpec(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		w.dieAfter(dieAt)
		k := keep(t, w, newBackupObject())
		advance := func(b *v1alpha1.Backup, persist func(context.Context) error) error {
			return Backup(t.Context(), w.config(), b, persist)
		}
		_, err := k.run(advance)
		calls := w.calls
		if err == nil {
			return calls
		}
		w.revive()
		b, err := k.run(func(b *v1alpha1.Backup, persist func(context.Context) error) error {
			b.Spec.Cancel = true
			return advance(b, persist)
		})
		if err != nil {
			t.Fatal(err)
		}
		mustBeThawed(t, w, b)
		if m, _, err := readManifest(t.Context(), w.location(), "one"); err == nil {
			if b.Status.Phase != v1alpha1.RunCompleted || len(w.snapshots) != 0 || !w.disks[m.Volumes[0].Handle] {
				t.Errorf("a recovery point that was sealed before: phase %s, objects %v, snapshots %v", b.Status.Phase, w.snapshots, w.disks)
			}
			return calls
		}
		if b.Status.Phase != v1alpha1.RunCancelled || b.Status.Reason != string(coffer.CodeCancelled) {
			t.Errorf("phase %s, reason %s: %s", b.Status.Phase, b.Status.Reason, b.Status.Message)
		}
		mustBeEmpty(t, w)
		return calls
	})
}

func TestRestoreCancelledByItsSpecKeepsWhatItMade(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		backUp(t, w, keep(t, w, newBackupObject()))
		w.removeNamespace("shop")
		w.dieAfter(dieAt)
		k := keep(t, w, newRestoreObject())
		advance := func(r *v1alpha1.Restore, persist func(context.Context) error) error {
			return Restore(t.Context(), w.config(), r, persist)
		}
		_, err := k.run(advance)
		calls := w.calls
		if err == nil {
			return calls
		}
		w.revive()
		made := len(w.objects)
		r, err := k.run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
			r.Spec.Cancel = true
			return advance(r, persist)
		})
		if err != nil || r.Status.Phase != v1alpha1.RunCancelled {
			t.Fatalf("%v, phase %s: %s", err, r.Status.Phase, r.Status.Message)
		}
		if len(w.objects) != made {
			t.Errorf("there are %d objects, were %d", len(w.objects), made)
		}
		if len(w.disks) != 1 {
			t.Errorf("the recovery point's snapshot is gone")
		}
		return calls
	})
}

func newRestoreObject() *v1alpha1.Restore {
	return &v1alpha1.Restore{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "back", UID: types.UID("restore-uid")},
		Spec: v1alpha1.RestoreSpec{
			StorageLocation: "default", BackupName: "one",
			RestoreHookReferences: []v1alpha1.NamespacedReference{{Namespace: "shop", Name: "warm"}},
		},
	}
}

// modify lets a restore change the settings of the shop.
func modify(w *world, r *v1alpha1.Restore) *v1alpha1.Restore {
	w.modifiers = map[string]map[string]string{"rules/change": {"rules.yaml": `
version: v1
resourceModifierRules:
- conditions: {groupResource: configmaps, namespaces: [shop]}
  patches: [{operation: add, path: /data, value: '{"changed": "yes"}'}]
`}}
	r.Spec.ResourceModifierReference = &v1alpha1.NamespacedReference{Namespace: "rules", Name: "change"}
	return r
}

func TestRestoreSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		backUp(t, w, keep(t, w, newBackupObject()))
		w.removeNamespace("shop")
		w.execs = nil
		w.dieAfter(dieAt)
		k := keep(t, w, modify(w, newRestoreObject()))
		var r *v1alpha1.Restore
		for {
			var err error
			r, err = k.run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
				return Restore(t.Context(), w.config(), r, persist)
			})
			if err == nil {
				break
			}
			if !w.dead {
				t.Fatal(err)
			}
			w.revive()
		}
		calls := w.calls
		w.revive()
		if r.Status.Phase != v1alpha1.RunCompleted {
			t.Fatalf("phase %s: %s %+v", r.Status.Phase, r.Status.Message, r.Status.Warnings)
		}
		for resource, want := range map[string][]string{
			"configmaps": {"settings"}, "statefulsets.apps": {"db"}, "pods": {"db-0"}, "persistentvolumeclaims": {"data"},
		} {
			if got := w.names(resource, "shop"); !slices.Equal(got, want) {
				t.Errorf("%s = %v, want %v", resource, got, want)
			}
		}
		if data := w.objects[objectKey("configmaps", "shop", "settings")]["data"]; !reflect.DeepEqual(data, map[string]any{"changed": "yes"}) {
			t.Errorf("the settings are %v", data)
		}
		mustBelongToTheNewSet(t, w)
		if len(w.snapshots) != 0 || len(w.disks) != 1 {
			t.Errorf("%d snapshot objects and %d snapshots are left, want 0 and the point's own", len(w.snapshots), len(w.disks))
		}
		warm := slices.DeleteFunc(slices.Clone(w.execs), func(e string) bool { return e != "shop/db-0 warm" })
		if len(warm) > 1 {
			t.Errorf("the hook ran %d times", len(warm))
		}
		if dieAt < 0 && len(warm) != 1 {
			t.Error("the hook did not run")
		}
		return calls
	})
}

func mustBelongToTheNewSet(t *testing.T, w *world) {
	t.Helper()
	set := w.objects[objectKey("statefulsets.apps", "shop", "db")]["metadata"].(map[string]any)
	claim := w.objects[objectKey("persistentvolumeclaims", "shop", "data")]["metadata"].(map[string]any)
	owners, _ := claim["ownerReferences"].([]any)
	if len(owners) != 1 || owners[0].(map[string]any)["uid"] != set["uid"] {
		t.Errorf("the claim's owners are %v, want the restored StatefulSet %v", owners, set["uid"])
	}
	if annotations, _ := claim["annotations"].(map[string]any); annotations[pendingOwners] != nil {
		t.Error("the mark of pending owners is left")
	}
}

// noRuns is a Runs with nothing under way.
type noRuns struct {
	w        *world
	restores []string
	underway bool
	removed  int
	// name is that of the Backup that any UID has; empty is none.
	name string
}

// RestoresOf implements Runs.
func (n *noRuns) RestoresOf(context.Context, string, string) ([]string, error) {
	return n.restores, n.w.call()
}

// BackupUnderway implements Runs.
func (n *noRuns) BackupUnderway(context.Context, string, string) (bool, error) {
	return n.underway, n.w.call()
}

// NameOfRun implements Runs.
func (n *noRuns) NameOfRun(context.Context, string) (location, name string, err error) {
	if n.name != "" {
		location = "default"
	}
	return location, n.name, n.w.call()
}

// RemoveBackup implements Runs.
func (n *noRuns) RemoveBackup(context.Context, string, string) error {
	if err := n.w.call(); err != nil {
		return err
	}
	n.removed++
	return nil
}

func newDeletion() *v1alpha1.DeleteBackup {
	return &v1alpha1.DeleteBackup{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "del", UID: types.UID("delete-uid")},
		Spec:       v1alpha1.DeleteBackupSpec{StorageLocation: "default", BackupName: "one"},
	}
}

func TestDeletionSurvivesEveryCrashAndTakesNothingElse(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newShop(t)
		backUp(t, w, keep(t, w, newBackupObject()))
		other := newBackupObject()
		other.Name, other.UID = "one-more", "other-uid"
		backUp(t, w, keep(t, w, other))
		w.dieAfter(dieAt)
		k, runs := keep(t, w, newDeletion()), &noRuns{w: w}
		var d *v1alpha1.DeleteBackup
		for {
			var err error
			d, err = k.run(func(d *v1alpha1.DeleteBackup, persist func(context.Context) error) error {
				return DeleteBackup(t.Context(), w.config(), runs, d, persist)
			})
			if err == nil {
				break
			}
			if !w.dead {
				t.Fatal(err)
			}
			w.revive()
		}
		calls := w.calls
		w.revive()
		if d.Status.Phase != v1alpha1.RunCompleted || runs.removed == 0 {
			t.Fatalf("phase %s: %s; Backup object removed %d times", d.Status.Phase, d.Status.Message, runs.removed)
		}
		mustHaveNoBlobs(t, w, "backups/one/")
		manifest, _, err := readManifest(t.Context(), w.location(), "one-more")
		if err != nil || len(w.disks) != 1 || !w.disks[manifest.Volumes[0].Handle] {
			t.Errorf("the other recovery point: %v; snapshots left: %v", err, w.disks)
		}
		return calls
	})
}
