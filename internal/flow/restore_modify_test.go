package flow

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

// newWorkshop is a shop with widgets, which have a status of their own, and things that name the shop.
func newWorkshop(t *testing.T) *world {
	t.Helper()
	w := newShop(t)
	w.extra = []coffer.ResourceType{{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "widgets"}, Version: "v1", Kind: "Widget", Namespaced: true}}
	w.add("widgets.acme.io", "shop", "one", map[string]any{"spec": map[string]any{"size": 1}, "status": map[string]any{"turns": 7}})
	w.add("configmaps", "shop", "links", map[string]any{"data": map[string]any{"url": "http://db.shop.svc:80"}})
	backUp(t, w, keep(t, w, newBackupObject()))
	return w
}

func widget(w *world, namespace string) map[string]any {
	return w.objects[objectKey("widgets.acme.io", namespace, "one")]
}

// warnings are the resources of the warnings of a code.
func warnings(r *v1alpha1.Restore, code coffer.Code) []string {
	var found []string
	for _, w := range r.Status.Warnings {
		if w.Code == string(code) {
			found = append(found, w.Resource)
		}
	}
	slices.Sort(found)
	return found
}

func modifiedBy(w *world, rules string) func(*v1alpha1.RestoreSpec) {
	w.modifiers = map[string]map[string]string{"rules/change": {"rules.yaml": rules}}
	return func(s *v1alpha1.RestoreSpec) {
		s.ResourceModifierReference = &v1alpha1.NamespacedReference{Namespace: "rules", Name: "change"}
	}
}

func TestModifiersThatCannotBeUsedAreRefusedBeforeAnythingIsWritten(t *testing.T) {
	for name, tt := range map[string]struct {
		rules, reason, message string
	}{
		"a missing ConfigMap": {"", string(coffer.CodeModifierNotFound), "rules/change"},
		"broken rules":        {"version: v1\nresourceModifierRules:\n- {}", string(coffer.CodeInvalid), "resourceModifierRules[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorkshop(t)
			w.removeNamespace("shop")
			before := len(w.objects)
			change := modifiedBy(w, tt.rules)
			if tt.rules == "" {
				w.modifiers = nil
			}
			r := restoreOnce(t, w, change)
			if r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != tt.reason || !strings.Contains(r.Status.Message, tt.message) {
				t.Errorf("phase %s, reason %s: %s", r.Status.Phase, r.Status.Reason, r.Status.Message)
			}
			if len(w.objects) != before {
				t.Errorf("%d objects were made", len(w.objects)-before)
			}
		})
	}
}

func TestModifiersGoByTheNamesInTheRecoveryPoint(t *testing.T) {
	w := newWorkshop(t)
	r := restoreOnce(t, w, modifiedBy(w, `
version: v1
resourceModifierRules:
- conditions: {groupResource: widgets.acme.io, namespaces: [shop], matches: [{path: /metadata/namespace, value: shop}]}
  patches: [{operation: replace, path: /spec/size, value: "2"}]
- conditions: {groupResource: widgets.acme.io, namespaces: [copy]}
  patches: [{operation: replace, path: /spec/size, value: "3"}]
- conditions: {groupResource: widgets.acme.io}
  patches: [{operation: remove, path: /spec/none}]
`), func(s *v1alpha1.RestoreSpec) { s.NamespaceMappings = map[string]v1alpha1.NamespaceName{"shop": "copy"} })
	if r.Status.Phase != v1alpha1.RunCompletedWithWarnings {
		t.Fatalf("phase %s: %s", r.Status.Phase, r.Status.Message)
	}
	if diff := cmp.Diff(map[string]any{"size": 2.0}, widget(w, "copy")["spec"]); diff != "" {
		t.Errorf("the widget (-want +got):\n%s", diff)
	}
	for code, want := range map[coffer.Code][]string{
		coffer.CodeModifierFailed: {"widgets.acme.io copy/one"},
		coffer.CodeNothingMatches: {"ConfigMap rules/change"},
		coffer.CodeObjectNote:     {"configmaps copy/links"},
	} {
		if diff := cmp.Diff(want, warnings(r, code)); diff != "" {
			t.Errorf("warnings %s (-want +got):\n%s%+v", code, diff, r.Status.Warnings)
		}
	}
	if !strings.HasPrefix(r.Status.ResourceModifierDigest, "sha256:") {
		t.Errorf("digest %q", r.Status.ResourceModifierDigest)
	}
}

func TestModifiersThatChangeWhileARestoreIsUnderWayEndIt(t *testing.T) {
	const rules = `{version: v1, resourceModifierRules: [{conditions: {groupResource: configmaps}, mergePatches: [{patchData: "a: 1"}]}]}`
	w := newWorkshop(t)
	w.removeNamespace("shop")
	object := newRestoreObject()
	modifiedBy(w, rules)(&object.Spec)
	k := keep(t, w, object)
	advance := func(r *v1alpha1.Restore, persist func(context.Context) error) error {
		return Restore(t.Context(), w.config(), r, persist)
	}
	for calls := 1; !strings.Contains(string(k.saved), StepRestoringObjects); calls++ {
		w.revive()
		w.removeNamespace("shop")
		w.dieAfter(calls)
		k = keep(t, w, object)
		if _, err := k.run(advance); err == nil {
			t.Fatal("the restore came to its end")
		}
	}
	w.revive()
	modifiedBy(w, rules+" ")
	r, err := k.run(advance)
	if err != nil || r.Status.Phase != v1alpha1.RunFailed || !strings.Contains(r.Status.Message, "was changed while") {
		t.Errorf("%v, phase %s: %s", err, r.Status.Phase, r.Status.Message)
	}
}

func TestStatusIsWrittenWhereAsked(t *testing.T) {
	for _, tt := range []struct {
		name     string
		asked    *v1alpha1.StatusSelection
		want     any
		warnings []string
	}{
		{"nobody asks", nil, nil, nil},
		{"its type is asked for", &v1alpha1.StatusSelection{IncludedTypes: []string{"acme.io/Widget"}}, map[string]any{"turns": 7.0}, nil},
		{"another type is asked for, which has none to write", &v1alpha1.StatusSelection{IncludedTypes: []string{"statefulsets"}}, nil, []string{"statefulsets.apps shop/db"}},
		{"all but its type are asked for", &v1alpha1.StatusSelection{ExcludedTypes: []string{"widgets.acme.io", "statefulsets.apps"}}, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorkshop(t)
			w.removeNamespace("shop")
			r := restoreOnce(t, w, func(s *v1alpha1.RestoreSpec) { s.RestoreStatus = tt.asked })
			if diff := cmp.Diff(tt.want, widget(w, "shop")["status"]); diff != "" {
				t.Errorf("status (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.warnings, warnings(r, coffer.CodeStatusNotRestored)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			if claim := w.objects[objectKey("persistentvolumeclaims", "shop", "data")]; claim == nil {
				t.Errorf("phase %s: %s", r.Status.Phase, r.Status.Message)
			}
		})
	}
}

func TestClaimsGetAnotherStorageClass(t *testing.T) {
	w := newShop(t)
	w.objects[objectKey("persistentvolumeclaims", "shop", "data")]["spec"].(map[string]any)["storageClassName"] = "slow"
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	restoreOnce(t, w, func(s *v1alpha1.RestoreSpec) {
		s.StorageClassMappings = map[string]v1alpha1.StorageClassName{"slow": "fast"}
	})
	spec, _ := w.objects[objectKey("persistentvolumeclaims", "shop", "data")]["spec"].(map[string]any)
	if spec["storageClassName"] != "fast" {
		t.Errorf("spec %v", spec)
	}
}

func TestAClaimThatNobodyUsesIsNotWaitedForIfItsNewClassWaits(t *testing.T) {
	w := newWorld(t)
	w.add("storageclasses.storage.k8s.io", "", "now", map[string]any{"volumeBindingMode": "Immediate"})
	w.add("storageclasses.storage.k8s.io", "", "wait", map[string]any{"volumeBindingMode": "WaitForFirstConsumer"})
	for _, c := range []struct {
		archived, mapped string
		want             bool
	}{{"now", "wait", false}, {"wait", "now", true}, {"gone", "wait", false}, {"gone", "gone too", true}} {
		r := newRestore(w.config(), newRestoreObject(), func(context.Context) error { return nil })
		s := plan.Step{Target: coffer.ObjectRef{GroupResource: claimType.GroupResource, Namespace: "shop", Name: "data"}, Volume: &coffer.Volume{StorageClass: c.archived}}
		claim := corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &c.mapped}}
		if used, err := r.inUse(t.Context(), []restoredClaim{{s, claim}}); (len(used) > 0) != c.want || err != nil {
			t.Errorf("class %s mapped to %s: in use %v, %v", c.archived, c.mapped, used, err)
		}
	}
}
