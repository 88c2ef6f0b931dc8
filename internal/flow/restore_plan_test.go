package flow

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// newPlannedShop is a shop with a recovery point, whose namespace is still there but for one ConfigMap.
func newPlannedShop(t *testing.T) *world {
	t.Helper()
	w := newShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	delete(w.objects, objectKey("configmaps", "shop", "settings"))
	return w
}

// changesOf counts what changed in the cluster since a snapshot of its objects was taken.
func (w *world) state() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	state := map[string]string{}
	for key, o := range w.objects {
		state[key] = string(w.encode(o))
	}
	return state
}

func planOnly(s *v1alpha1.RestoreSpec) { s.PlanOnly = true }

func policy(p v1alpha1.ConflictPolicy) func(*v1alpha1.RestoreSpec) {
	return func(s *v1alpha1.RestoreSpec) { s.ConflictPolicy, s.ConfirmReplace = p, true }
}

// storedSteps reads the plan that a restore has stored, by the object that each step is of.
func storedSteps(t *testing.T, at coffer.Container, r *v1alpha1.Restore) map[string]restorerecord.Step {
	t.Helper()
	blob, err := at.Get(t.Context(), r.Status.Plan.Key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = blob.Close() }()
	steps := map[string]restorerecord.Step{}
	digest, err := restorerecord.ReadPlan(blob, 1000, func(restorerecord.PlanHeader) error { return nil }, func(s restorerecord.Step) error {
		steps[s.String()] = s
		return nil
	})
	if err != nil || digest != r.Status.Plan.Digest {
		t.Fatalf("the stored plan: %v, digest %s, status %s", err, digest, r.Status.Plan.Digest)
	}
	return steps
}

func TestAPlanSaysWhatExistsAndRestoresNothing(t *testing.T) {
	w := newPlannedShop(t)
	before := w.state()
	r := restoreOnce(t, w, planOnly)
	if r.Status.Phase != v1alpha1.RunCompletedWithWarnings || !r.Status.Phase.Succeeded() {
		t.Fatalf("phase %s: %s", r.Status.Phase, r.Status.Message)
	}
	if !maps.Equal(w.state(), before) {
		t.Error("the cluster was changed")
	}
	if c := r.Status.Plan.Counts; c.Create != 1 || c.Existing != 3 || c.RestoreVolume+c.Patch+c.Replace+c.Fail+c.Unchecked != 0 {
		t.Errorf("counts %+v", c)
	}
	steps := storedSteps(t, w.container, r)
	if s := steps["configmaps shop/settings"]; s.Action != "create" || s.UID != "" {
		t.Errorf("what is missing: %+v", s)
	}
	if s := steps["persistentvolumeclaims shop/data"]; s.Action != "skip" || s.UID == "" || s.Warning != coffer.CodeVolumeRestoredEmpty {
		t.Errorf("a claim whose data is not restored: %+v", s)
	}
	again := restoreOnce(t, w, planOnly)
	if again.Status.Plan.Digest != r.Status.Plan.Digest || again.Status.Plan.Key == r.Status.Plan.Key {
		t.Errorf("the same plan of another run: %+v, was %+v", again.Status.Plan, r.Status.Plan)
	}
}

func TestAPlanThatChangedIsRefusedAndSaysWhat(t *testing.T) {
	w := newPlannedShop(t)
	agreed := restoreOnce(t, w, planOnly).Status.Plan.Digest
	named := func(s *v1alpha1.RestoreSpec) { s.PlanDigest = agreed }
	w.add("configmaps", "shop", "settings", nil)
	before := w.state()
	r := restoreOnce(t, w, named)
	if r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != string(coffer.CodePlanChanged) ||
		!strings.Contains(r.Status.Message, `configmaps shop/settings was "create"`) || !strings.Contains(r.Status.Message, "it exists") {
		t.Errorf("phase %s: %s", r.Status.Phase, r.Status.Message)
	}
	if !maps.Equal(w.state(), before) {
		t.Error("the cluster was changed")
	}
	delete(w.objects, objectKey("configmaps", "shop", "settings"))
	if r = restoreOnce(t, w, named); !r.Status.Phase.Succeeded() || r.Status.Plan.Digest != agreed {
		t.Errorf("what was agreed to: phase %s: %s", r.Status.Phase, r.Status.Message)
	}
	if r = restoreOnce(t, w, func(s *v1alpha1.RestoreSpec) { s.PlanDigest = "sha256:" + strings.Repeat("0", 64) }); !strings.Contains(r.Status.Message, "not stored") {
		t.Errorf("a plan that nobody knows: %s", r.Status.Message)
	}
}

// What no step shows is agreed to as well.
func TestAPlanWithOtherChangesIsAnotherPlan(t *testing.T) {
	rules := func(value string) map[string]string {
		return map[string]string{"rules": `{version: v1, resourceModifierRules: [{conditions: {groupResource: configmaps}, mergePatches: [{patchData: '{"data":{"a":"` + value + `"}}'}]}]}`}
	}
	w := newPlannedShop(t)
	w.modifiers = map[string]map[string]string{"shop/rules": rules("1")}
	change := func(s *v1alpha1.RestoreSpec) {
		s.ResourceModifierReference = &v1alpha1.NamespacedReference{Namespace: "shop", Name: "rules"}
	}
	agreed := restoreOnce(t, w, planOnly, change).Status.Plan.Digest
	named := func(s *v1alpha1.RestoreSpec) { s.PlanDigest = agreed }
	for name, tt := range map[string]struct {
		alter func(w *world)
		spec  func(*v1alpha1.RestoreSpec)
		says  string
	}{
		"other rules": {func(w *world) { w.modifiers["shop/rules"] = rules("2") }, change, "resourceModifierReference was \"sha256:"},
		"no rules":    {nil, func(*v1alpha1.RestoreSpec) {}, "is not set"},
		"other classes": {nil, func(s *v1alpha1.RestoreSpec) {
			change(s)
			s.StorageClassMappings = map[string]v1alpha1.StorageClassName{"a": "b"}
		}, "storageClassMappings was not set"},
		"node ports kept": {nil, func(s *v1alpha1.RestoreSpec) { change(s); s.PreserveNodePorts = true }, "preserveNodePorts was not set"},
		"other hooks": {func(w *world) {
			h := w.restoreHooks["shop/warm"]
			h.Spec.RestoreHook = slices.Clone(h.Spec.RestoreHook)
			h.Spec.RestoreHook[0].Name = "other"
			w.restoreHooks["shop/warm"] = h
		}, change, "restoreHookReferences was \"sha256:"},
	} {
		t.Run(name, func(t *testing.T) {
			hook := w.restoreHooks["shop/warm"]
			t.Cleanup(func() { w.modifiers["shop/rules"], w.restoreHooks["shop/warm"] = rules("1"), hook })
			if tt.alter != nil {
				tt.alter(w)
			}
			r := restoreOnce(t, w, named, tt.spec)
			if r.Status.Reason != string(coffer.CodePlanChanged) || !strings.Contains(r.Status.Message, tt.says) {
				t.Errorf("phase %s: %s; want it to say %s", r.Status.Phase, r.Status.Message, tt.says)
			}
		})
	}
	if r := restoreOnce(t, w, named, change); !r.Status.Phase.Succeeded() {
		t.Errorf("what was agreed to: phase %s: %s", r.Status.Phase, r.Status.Message)
	}
}

// Who can write to the store must not decide what is deleted: a plan is gone by only if its digest is in the status.
func TestAPlanThatSomebodyElseHasStoredIsRefused(t *testing.T) {
	w := newPlannedShop(t)
	body := func(r *v1alpha1.Restore) []byte {
		body, err := getAll(t.Context(), w.container, r.Status.Plan.Key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	replaces := body(restoreOnce(t, w, planOnly, policy(v1alpha1.ConflictReplace)))
	honest := restoreOnce(t, w, planOnly)
	k := keep(t, w, newRestoreObject())
	layout := restorerecord.Layout{Backup: "one", Run: string(newRestoreObject().UID)}
	if honest.UID == newRestoreObject().UID {
		t.Fatal("both runs have one UID")
	}
	w.put(t, layout.Plan(honest.Status.Plan.Digest), replaces)
	before := w.state()
	r, err := w.restoreOnce(t, k)
	if err != nil || r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != string(coffer.CodePlanChanged) {
		t.Errorf("%v: phase %s, reason %s: %s", err, r.Status.Phase, r.Status.Reason, r.Status.Message)
	}
	if !maps.Equal(w.state(), before) {
		t.Error("the cluster was changed")
	}
}

func TestPoliciesOfAPlan(t *testing.T) {
	w := newPlannedShop(t)
	before := w.state()
	r := restoreOnce(t, w, policy(v1alpha1.ConflictFail))
	if r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != string(coffer.CodeObjectsExist) || !strings.Contains(r.Status.Message, "statefulsets.apps shop/db") {
		t.Errorf("Fail: phase %s: %s", r.Status.Phase, r.Status.Message)
	}
	if !maps.Equal(w.state(), before) {
		t.Error("Fail changed the cluster")
	}
	if r = restoreOnce(t, w, policy(v1alpha1.ConflictFail), planOnly); !r.Status.Phase.Succeeded() || r.Status.Plan.Counts.Fail != 3 {
		t.Errorf("Fail, planned only: phase %s: %s, %+v", r.Status.Phase, r.Status.Message, r.Status.Plan)
	}
	r = restoreOnce(t, w, policy(v1alpha1.ConflictReplace), planOnly, func(s *v1alpha1.RestoreSpec) {
		s.ConflictPolicies = []v1alpha1.TypeConflictPolicy{{Type: "StatefulSet", Policy: v1alpha1.ConflictPatch}}
	})
	actions := map[string]string{}
	for name, s := range storedSteps(t, w.container, r) {
		actions[name] = s.Action
	}
	for name, want := range map[string]string{
		// What a namespace holds would be lost with it.
		"namespaces shop": "patch", "statefulsets.apps shop/db": "patch", "persistentvolumeclaims shop/data": "replace", "configmaps shop/settings": "create",
	} {
		if actions[name] != want {
			t.Errorf("%s: action %q, want %q", name, actions[name], want)
		}
	}
	if r = restoreOnce(t, w, func(s *v1alpha1.RestoreSpec) { s.ConflictPolicy = v1alpha1.ConflictReplace }); r.Status.Reason != string(coffer.CodeInvalid) || !strings.Contains(r.Status.Message, "confirmReplace") {
		t.Errorf("Replace without confirmation: %s: %s", r.Status.Phase, r.Status.Message)
	}
}

// A process that takes over goes by the plan of its predecessor, whatever exists by then, and makes the plan but once.
func TestThePlanSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newPlannedShop(t)
		k := keep(t, w, newRestoreObject())
		w.dieAfter(dieAt)
		_, err := w.restoreOnce(t, k)
		calls := w.calls
		if err == nil {
			return calls
		}
		var left v1alpha1.Restore
		if err := json.Unmarshal(k.saved, &left); err != nil {
			t.Fatal(err)
		}
		w.revive()
		delete(w.objects, objectKey("persistentvolumeclaims", "shop", "data"))
		w.listed = nil
		r, err := w.restoreOnce(t, k)
		if err != nil || !r.Status.Phase.Succeeded() {
			t.Fatalf("%v: phase %s: %s", err, r.Status.Phase, r.Status.Message)
		}
		if left.Status.Plan != nil {
			if *r.Status.Plan != *left.Status.Plan {
				t.Errorf("the plan was made again: %+v, was %+v", r.Status.Plan, left.Status.Plan)
			}
			if w.names("persistentvolumeclaims", "shop") != nil {
				t.Error("the claim was to be left alone, and was restored")
			}
		}
		storedSteps(t, w.container, r)
		plans := 0
		for info, err := range w.container.List(t.Context(), restorerecord.Root) {
			if err != nil {
				t.Fatal(err)
			}
			if restorerecord.IsPlan(info.Key) {
				plans++
			}
		}
		// Before the status names it, a plan is made again: of what is there by then.
		if most := map[bool]int{true: 1, false: 2}[left.Status.Plan != nil]; plans == 0 || plans > most || w.names("configmaps", "shop") == nil {
			t.Errorf("%d plans are stored; objects %v", plans, slices.Collect(maps.Keys(w.objects)))
		}
		return calls
	})
}

func TestAStoredPlanThatWasAlteredIsRefused(t *testing.T) {
	for name, alter := range map[string]func(w *world, key string){
		"another plan": func(w *world, key string) {
			other := restoreOnce(t, w, planOnly, policy(v1alpha1.ConflictPatch))
			body, err := getAll(t.Context(), w.container, other.Status.Plan.Key, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			w.put(t, key, body)
		},
		"gone":    func(w *world, key string) { _ = w.container.Delete(t.Context(), key) },
		"garbage": func(w *world, key string) { w.put(t, key, []byte("garbage")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newPlannedShop(t)
			k := keep(t, w, newRestoreObject())
			var key string
			_, err := k.run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
				c := w.config()
				c.Failpoint = func(_ context.Context, point string) {
					if point == "before "+StepRestoringObjects {
						key, w.dead = r.Status.Plan.Key, true
					}
				}
				return Restore(t.Context(), c, r, persist)
			})
			if err == nil || key == "" {
				t.Fatalf("the process did not die: %v, key %q", err, key)
			}
			w.revive()
			alter(w, key)
			before := w.state()
			r, err := w.restoreOnce(t, k)
			if err != nil || r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != string(coffer.CodePlanChanged) {
				t.Errorf("%v: phase %s, reason %s: %s", err, r.Status.Phase, r.Status.Reason, r.Status.Message)
			}
			if !maps.Equal(w.state(), before) {
				t.Error("the cluster was changed")
			}
		})
	}
}

func TestRecordsOfAReadOnlyLocationAreKeptElsewhere(t *testing.T) {
	w := newPlannedShop(t)
	w.readOnly = true
	before := w.keys(t)
	r := restoreOnce(t, w, planOnly)
	if !r.Status.Phase.Succeeded() || r.Status.Plan.StorageLocation != ownLocation {
		t.Fatalf("phase %s: %s, plan %+v", r.Status.Phase, r.Status.Message, r.Status.Plan)
	}
	storedSteps(t, w.own, r)
	if !slices.Equal(w.keys(t), before) {
		t.Error("the read-only location was written to")
	}
	w.own = nil
	r = restoreOnce(t, w)
	if !r.Status.Phase.Succeeded() || r.Status.Plan.Key != "" || r.Status.Plan.Digest == "" || r.Status.Warnings[0].Code != string(coffer.CodePlanNotStored) {
		t.Errorf("without any: phase %s: %s, plan %+v, %+v", r.Status.Phase, r.Status.Message, r.Status.Plan, r.Status.Warnings)
	}
	if r = restoreOnce(t, w, policy(v1alpha1.ConflictReplace)); r.Status.Reason != string(coffer.CodePlanNotStored) {
		t.Errorf("Replace without a stored plan: %s, %s: %s", r.Status.Phase, r.Status.Reason, r.Status.Message)
	}
}

// What is only in an encrypted recovery point is not written unencrypted.
func TestThePlanOfAnEncryptedPointIsEncrypted(t *testing.T) {
	w, identity := newEncryptedShop(t)
	backUp(t, w, keep(t, w, newBackupObject()))
	w.removeNamespace("shop")
	r := restoreOnce(t, w)
	if r.Status.Phase != v1alpha1.RunCompleted || !restorerecord.IsEncrypted(r.Status.Plan.Key) {
		t.Fatalf("phase %s: %s, plan %+v", r.Status.Phase, r.Status.Message, r.Status.Plan)
	}
	mustHideEverything(t, w, identity)
}

func TestWhatCannotBeListedIsUnchecked(t *testing.T) {
	w := newPlannedShop(t)
	w.list = func(t coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
		if t.Resource != "configmaps" {
			return false, nil
		}
		return true, coffer.Errorf(coffer.CodeForbidden, "configmaps may not be listed")
	}
	r := restoreOnce(t, w, planOnly)
	s := storedSteps(t, w.container, r)["configmaps shop/settings"]
	if s.Action != "create" || !strings.Contains(s.Unchecked, "may not be listed") || r.Status.Plan.Counts.Unchecked != 1 {
		t.Errorf("%+v, counts %+v", s, r.Status.Plan.Counts)
	}
}

func TestDeletingABackupDeletesThePlansOfItsRestores(t *testing.T) {
	w := newPlannedShop(t)
	restoreOnce(t, w)
	k, runs := keep(t, w, newDeletion()), &noRuns{w: w}
	d, err := k.run(func(d *v1alpha1.DeleteBackup, persist func(context.Context) error) error {
		return DeleteBackup(t.Context(), w.config(), runs, d, persist)
	})
	if err != nil || d.Status.Phase != v1alpha1.RunCompleted {
		t.Fatalf("%v: phase %s: %s", err, d.Status.Phase, d.Status.Message)
	}
	mustHaveNoBlobs(t, w, "")
}
