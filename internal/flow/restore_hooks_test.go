package flow

import (
	"slices"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// TestHooksRunOnlyInWhatTheRestoreBroughtAbout has pods that come to be during a restore, and not by it.
func TestHooksRunOnlyInWhatTheRestoreBroughtAbout(t *testing.T) {
	owned := func(w *world, apiVersion, kind, resource, name string) map[string]any {
		pod := runningPod()
		pod["ownerReferences"] = []any{map[string]any{"apiVersion": apiVersion, "kind": kind, "name": name, "controller": true, "uid": w.uidOf(resource, name)}}
		return pod
	}
	for name, c := range map[string]struct {
		policy v1alpha1.ConflictPolicy
		appear func(w *world)
		ran    []string
	}{
		"a pod that somebody makes": {v1alpha1.ConflictSkip, func(w *world) { w.add("pods", "shop", "stray", runningPod()) }, nil},
		"a pod of a set that was left as it is": {v1alpha1.ConflictSkip, func(w *world) {
			delete(w.objects, objectKey("pods", "shop", "db-0"))
			w.add("pods", "shop", "db-0", owned(w, "apps/v1", "StatefulSet", "statefulsets.apps", "db"))
		}, nil},
		"a pod of a set that was changed": {v1alpha1.ConflictPatch, func(w *world) {
			delete(w.objects, objectKey("pods", "shop", "db-0"))
			w.add("pods", "shop", "db-0", owned(w, "apps/v1", "StatefulSet", "statefulsets.apps", "db"))
		}, []string{"shop/db-0 warm"}},
		"a pod of a set that a restored engine makes": {v1alpha1.ConflictSkip, func(w *world) {
			w.add("statefulsets.apps", "shop", "made", map[string]any{"spec": map[string]any{}, "ownerReferences": []any{map[string]any{
				"apiVersion": "acme.io/v1", "kind": "Engine", "name": "main", "controller": true, "uid": "any",
			}}})
			w.add("pods", "shop", "made-0", owned(w, "apps/v1", "StatefulSet", "statefulsets.apps", "made"))
		}, []string{"shop/made-0 warm"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShop(t)
			w.extra = append(w.extra, coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "engines"}, Version: "v1", Kind: "Engine", Namespaced: true})
			w.objects[objectKey("engines.acme.io", "shop", "main")] = w.add("engines.acme.io", "shop", "main", map[string]any{"apiVersion": "acme.io/v1", "kind": "Engine", "spec": map[string]any{}})
			w.object("statefulsets.apps", "db")["kind"] = "StatefulSet"
			backUp(t, w, keep(t, w, newBackupObject()))
			delete(w.objects, objectKey("engines.acme.io", "shop", "main"))
			w.object("statefulsets.apps", "db")["spec"] = map[string]any{"replicas": 1, "x": "y"}
			w.execs = nil
			r := bring(t, w, after(w.config(), StepRestoringObjects, func() { c.appear(w) }), newRestoreOf(func(s *v1alpha1.RestoreSpec) { s.ConflictPolicy = c.policy }))
			if ran := slices.DeleteFunc(slices.Clone(w.execs), func(e string) bool { return e != "shop/stray warm" && e[len(e)-4:] != "warm" }); !slices.Equal(ran, c.ran) {
				t.Errorf("hooks ran in %q, want %q; %s %+v", ran, c.ran, r.Status.Message, r.Status.Warnings)
			}
		})
	}
}
