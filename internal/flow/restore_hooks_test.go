package flow

import (
	"slices"
	"testing"
	"time"

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

// TestAHookThatFailsInterruptsNoOther has a hook that ends the restore while another is at work in another pod.
func TestAHookThatFailsInterruptsNoOther(t *testing.T) {
	w := newShop(t)
	w.add("statefulsets.apps", "shop", "web", map[string]any{"spec": map[string]any{"replicas": 1}, "status": map[string]any{"replicas": 1}})
	h := w.restoreHooks["shop/warm"]
	h.Spec.RestoreHook[0].PostHooks[0].Exec.OnError = "Fail"
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	failed := make(chan struct{})
	w.failExec = func(e coffer.Exec) (coffer.ExecResult, error) {
		if e.Pod == "web-0" {
			close(failed)
			return coffer.ExecResult{ExitCode: 1}, nil
		}
		select {
		case <-failed:
			<-time.After(200 * time.Millisecond) // The failure has been noted by then.
		case <-t.Context().Done():
		case <-time.After(5 * time.Second):
			t.Error("no hook ran in the other pod")
		}
		return coffer.ExecResult{}, nil
	}
	r := bring(t, w, w.config(), newRestoreOf())
	if r.Status.Reason != string(coffer.CodeHookFailed) || r.Status.Progress.HooksRun != 1 {
		t.Errorf("%s: %s; %d hooks run, want 1", r.Status.Reason, r.Status.Message, r.Status.Progress.HooksRun)
	}
}
