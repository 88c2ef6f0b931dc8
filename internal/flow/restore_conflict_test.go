package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

var accountType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "serviceaccounts"}, Version: "v1", Kind: "ServiceAccount", Namespaced: true}

// newDrifted is a shop that was backed up, and then changed: one object is as it was, one differs, one is gone, one has no fields
// at all, an account lacks something, and the database holds other data.
func newDrifted(t *testing.T) *world {
	t.Helper()
	w := newShop(t)
	w.extra = append(w.extra, accountType)
	w.add("configmaps", "shop", "same", map[string]any{"data": map[string]any{"x": "y"}})
	w.add("configmaps", "shop", "lost", map[string]any{"data": map[string]any{"x": "y"}})
	w.add("configmaps", "shop", "empty", nil)
	w.add("serviceaccounts", "shop", "default", map[string]any{"labels": map[string]any{"team": "shop"}})
	backUp(t, w, keep(t, w, newBackupObject()))
	w.object("configmaps", "settings")["data"] = map[string]any{"a": "other", "new": "x"}
	delete(w.object("serviceaccounts", "default")["metadata"].(map[string]any), "labels")
	delete(w.objects, objectKey("configmaps", "shop", "lost"))
	delete(w.objects, objectKey("configmaps", "shop", "empty"))
	w.execs, w.created, w.patched, w.deleted = nil, nil, nil, nil
	return w
}

// object is one of the shop's.
func (w *world) object(resource, name string) map[string]any {
	return w.objects[objectKey(resource, "shop", name)]
}

func (w *world) uidOf(resource, name string) string {
	o := w.object(resource, name)
	if o == nil {
		return ""
	}
	return o["metadata"].(map[string]any)["uid"].(string)
}

// policies changes a restore.
func policies(policy v1alpha1.ConflictPolicy, others ...v1alpha1.TypeConflictPolicy) func(*v1alpha1.RestoreSpec) {
	return func(s *v1alpha1.RestoreSpec) {
		s.ConflictPolicy, s.ConflictPolicies, s.ConfirmReplace, s.RestoreHookReferences = policy, others, true, nil
	}
}

func newRestoreOf(change ...func(*v1alpha1.RestoreSpec)) *v1alpha1.Restore {
	r := newRestoreObject()
	for _, c := range change {
		c(&r.Spec)
	}
	return r
}

// bring runs a restore to its end, one process after the other.
func bring(t *testing.T, w *world, c Config, object *v1alpha1.Restore) *v1alpha1.Restore {
	t.Helper()
	k := keep(t, w, object)
	for {
		r, err := k.run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
			return Restore(t.Context(), c, r, persist)
		})
		if err == nil {
			return r
		}
		if !w.dead {
			t.Fatal(err)
		}
		w.revive()
	}
}

func mustCount(t *testing.T, r *v1alpha1.Restore, created, existing, patched, replaced, failed int) {
	t.Helper()
	p := r.Status.Progress
	if p.Created != created || p.Existing != existing || p.Patched != patched || p.Replaced != replaced || p.Failed != failed ||
		p.ObjectsTotal != created+existing+patched+replaced+failed {
		t.Errorf("progress %+v\nwant created %d, existing %d, patched %d, replaced %d, failed %d; %s %s\n%+v",
			p, created, existing, patched, replaced, failed, r.Status.Reason, r.Status.Message, r.Status.Warnings)
	}
}

// mustReport reads the report of a run, and wants it to say of each object once what became of it.
func mustReport(t *testing.T, w *world, r *v1alpha1.Restore, want map[string]restorerecord.Result) map[string]restorerecord.Outcome {
	t.Helper()
	if r.Status.Report == nil {
		t.Fatalf("no report: %s %+v", r.Status.Message, r.Status.Warnings)
	}
	in, err := w.container.Get(t.Context(), r.Status.Report.Key, 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	got := map[string]restorerecord.Outcome{}
	counts := map[restorerecord.Result]int{}
	var header restorerecord.ReportHeader
	digest, err := restorerecord.ReadReport(in, 1000, func(h restorerecord.ReportHeader) error {
		header = h
		return nil
	}, func(o restorerecord.Outcome) error {
		if _, again := got[o.ObjectRef.String()]; again {
			t.Errorf("%s comes twice", o.ObjectRef)
		}
		got[o.ObjectRef.String()] = o
		counts[o.Result]++
		return nil
	})
	if err != nil || digest != r.Status.Report.Digest || header.PlanDigest != r.Status.Plan.Digest || !maps.Equal(counts, header.Counts) {
		t.Fatalf("%v: digest %s, header %+v, counts %v; status %+v", err, digest, header, counts, r.Status.Report)
	}
	for name, result := range want {
		if got[name].Result != result {
			t.Errorf("%s is %q, want %q: %s", name, got[name].Result, result, got[name].Reason)
		}
	}
	return got
}

// mustBeOnce says that nothing was created or deleted twice.
func mustBeOnce(t *testing.T, w *world) {
	t.Helper()
	for what, all := range map[string][]string{"created": w.created, "deleted": w.deleted} {
		for i, key := range all {
			if slices.Contains(all[:i], key) {
				t.Errorf("%s was %s twice", key, what)
			}
		}
	}
}

func mustHaveData(t *testing.T, w *world, name string, want map[string]string) {
	t.Helper()
	got, _ := w.object("configmaps", name)["data"].(map[string]any)
	same := len(got) == len(want)
	for k, v := range want {
		same = same && got[k] == v
	}
	if !same {
		t.Errorf("%s has %v, want %v", name, got, want)
	}
}

func mustBeMerged(t *testing.T, w *world) {
	t.Helper()
	if labels, _ := w.object("serviceaccounts", "default")["metadata"].(map[string]any)["labels"].(map[string]any); labels["team"] != "shop" {
		t.Error("the account was not merged")
	}
}

func mustWarn(t *testing.T, r *v1alpha1.Restore, code coffer.Code, text string) {
	t.Helper()
	if !slices.ContainsFunc(r.Status.Warnings, func(w v1alpha1.Warning) bool {
		return w.Code == string(code) && strings.Contains(w.Resource+": "+w.Message, text)
	}) {
		t.Errorf("no warning %s of %q: %+v", code, text, r.Status.Warnings)
	}
}

func TestPatchSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newDrifted(t)
		claim := w.uidOf("persistentvolumeclaims", "data")
		w.dieAfter(dieAt)
		r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictPatch)))
		calls := w.calls
		w.revive()
		// Patched: settings, the account. In place: same, the namespace, the set, the claim.
		mustCount(t, r, 2, 4, 2, 0, 0)
		mustReport(t, w, r, map[string]restorerecord.Result{
			"configmaps shop/settings": restorerecord.Patched, "serviceaccounts shop/default": restorerecord.Patched,
			"configmaps shop/same": restorerecord.Existing, "configmaps shop/lost": restorerecord.Created, "configmaps shop/empty": restorerecord.Created,
			"persistentvolumeclaims shop/data": restorerecord.Existing, "pods shop/db-0": restorerecord.Skipped,
		})
		mustBeOnce(t, w)
		mustHaveData(t, w, "settings", map[string]string{"a": "b"})
		mustHaveData(t, w, "lost", map[string]string{"x": "y"})
		if w.uidOf("persistentvolumeclaims", "data") != claim || len(w.deleted) != 0 {
			t.Errorf("deleted %v", w.deleted)
		}
		if n := strings.Count(strings.Join(w.patched, " "), objectKey("configmaps", "shop", "settings")); n != 1 {
			t.Errorf("patched %d times", n)
		}
		mustBeMerged(t, w)
		return calls
	})
}

func TestSkipMergesAccountsAndNothingElse(t *testing.T) {
	w := newDrifted(t)
	r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictSkip)))
	mustCount(t, r, 2, 5, 1, 0, 0)
	mustHaveData(t, w, "settings", map[string]string{"a": "other", "new": "x"})
	if !slices.Equal(w.patched, []string{objectKey("serviceaccounts", "shop", "default")}) {
		t.Errorf("patched %v", w.patched)
	}
}

func TestReplaceSurvivesEveryCrash(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newDrifted(t)
		settings, claim, set := w.uidOf("configmaps", "settings"), w.uidOf("persistentvolumeclaims", "data"), w.uidOf("statefulsets.apps", "db")
		w.onDelete = func(key string) {
			if !strings.HasPrefix(key, "persistentvolumeclaims|") {
				return
			}
			for _, s := range w.snapshots {
				if s.presented && s.state.Ready {
					return
				}
			}
			t.Errorf("%s is deleted while no snapshot is presented", key)
		}
		w.dieAfter(dieAt)
		r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictReplace)))
		calls := w.calls
		w.revive()
		// Replaced: settings, the set, the claim. In place: same and the namespace. The account is merged.
		mustCount(t, r, 2, 2, 1, 3, 0)
		mustReport(t, w, r, map[string]restorerecord.Result{
			"configmaps shop/settings": restorerecord.Replaced, "statefulsets.apps shop/db": restorerecord.Replaced,
			"persistentvolumeclaims shop/data": restorerecord.Replaced, "configmaps shop/same": restorerecord.Existing,
			"configmaps shop/lost": restorerecord.Created, "serviceaccounts shop/default": restorerecord.Patched,
		})
		mustBeOnce(t, w)
		mustHaveData(t, w, "settings", map[string]string{"a": "b"})
		slices.Sort(w.deleted)
		want := []string{"configmaps|shop|settings " + settings, "persistentvolumeclaims|shop|data " + claim, "statefulsets.apps|shop|db " + set}
		// Kubernetes may collect the claim with the set that owned it, before anybody deletes it.
		if got := slices.DeleteFunc(w.deleted, func(d string) bool { return strings.HasPrefix(d, "persistentvolumeclaims|") }); !slices.Equal(got, []string{want[0], want[2]}) {
			t.Errorf("deleted %v, want %v", w.deleted, want)
		}
		if w.uidOf("persistentvolumeclaims", "data") == claim {
			t.Error("the claim is the old one")
		}
		if source, _ := w.object("persistentvolumeclaims", "data")["spec"].(map[string]any)["dataSource"].(map[string]any); source["kind"] != "VolumeSnapshot" {
			t.Errorf("the claim is made of %v", source)
		}
		mustBelongToTheNewSet(t, w)
		if len(w.snapshots) != 0 || len(w.disks) != 1 {
			t.Errorf("%d snapshot objects and %d snapshots are left", len(w.snapshots), len(w.disks))
		}
		return calls
	})
}

func TestFailWritesNothing(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newDrifted(t)
		w.dieAfter(dieAt)
		r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictFail)))
		if r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != string(coffer.CodeObjectsExist) || len(w.created)+len(w.patched)+len(w.deleted) > 0 {
			t.Errorf("%s %s: %s; created %v, patched %v, deleted %v", r.Status.Phase, r.Status.Reason, r.Status.Message, w.created, w.patched, w.deleted)
		}
		return w.calls
	})
}

func TestFailIsNotTakenInByItsOwnWork(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newDrifted(t)
		w.removeNamespace("shop")
		w.dieAfter(dieAt)
		r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictFail)))
		calls := w.calls
		// The account was there first.
		mustCount(t, r, 7, 0, 1, 0, 0)
		mustBeOnce(t, w)
		mustBeMerged(t, w)
		return calls
	})
}

// after does something when a step has ended.
func after(c Config, step string, do func()) Config {
	c.Failpoint = func(_ context.Context, point string) {
		if point == "after "+step {
			do()
		}
	}
	return c
}

func TestWhatAppearsMeanwhile(t *testing.T) {
	for policy, want := range map[v1alpha1.ConflictPolicy]struct {
		phase v1alpha1.RunPhase
		data  map[string]string
	}{
		v1alpha1.ConflictSkip:    {v1alpha1.RunCompleted, map[string]string{"x": "foreign"}},
		v1alpha1.ConflictPatch:   {v1alpha1.RunCompleted, map[string]string{"x": "y"}},
		v1alpha1.ConflictReplace: {v1alpha1.RunCompletedWithWarnings, map[string]string{"x": "foreign"}},
		v1alpha1.ConflictFail:    {v1alpha1.RunFailed, map[string]string{"x": "foreign"}},
	} {
		t.Run(string(policy), func(t *testing.T) {
			w := newDrifted(t)
			w.removeNamespace("shop")
			c := after(w.config(), StepPlanning, func() {
				w.add("namespaces", "", "shop", nil)
				w.add("configmaps", "shop", "lost", map[string]any{"data": map[string]any{"x": "foreign"}})
			})
			r := bring(t, w, c, newRestoreOf(policies(policy)))
			if r.Status.Phase != want.phase {
				t.Errorf("phase %s: %s %s %+v", r.Status.Phase, r.Status.Reason, r.Status.Message, r.Status.Warnings)
			}
			mustHaveData(t, w, "lost", want.data)
			if len(w.deleted) != 0 {
				t.Errorf("deleted %v", w.deleted)
			}
			if policy == v1alpha1.ConflictReplace {
				mustWarn(t, r, coffer.CodeChanged, "configmaps shop/lost: changed meanwhile")
			}
			if policy == v1alpha1.ConflictFail && r.Status.Reason != string(coffer.CodeObjectsExist) {
				t.Errorf("reason %s", r.Status.Reason)
			}
		})
	}
}

func TestWhatIsAnotherMeanwhileIsNotReplaced(t *testing.T) {
	w := newDrifted(t)
	c := after(w.config(), StepPlanning, func() {
		delete(w.objects, objectKey("configmaps", "shop", "settings"))
		w.add("configmaps", "shop", "settings", map[string]any{"data": map[string]any{"x": "foreign"}})
	})
	r := bring(t, w, c, newRestoreOf(policies(v1alpha1.ConflictReplace)))
	mustHaveData(t, w, "settings", map[string]string{"x": "foreign"})
	mustWarn(t, r, coffer.CodeChanged, "configmaps shop/settings: changed meanwhile")
}

func TestWhatIsGoneMeanwhileIsCreated(t *testing.T) {
	for _, policy := range []v1alpha1.ConflictPolicy{v1alpha1.ConflictPatch, v1alpha1.ConflictReplace} {
		w := newDrifted(t)
		c := after(w.config(), StepPlanning, func() { delete(w.objects, objectKey("configmaps", "shop", "settings")) })
		r := bring(t, w, c, newRestoreOf(policies(policy)))
		mustHaveData(t, w, "settings", map[string]string{"a": "b"})
		if r.Status.Progress.Failed != 0 {
			t.Errorf("%+v", r.Status.Warnings)
		}
	}
}

func TestFinalizersAreWaitedForAndNamed(t *testing.T) {
	for name, release := range map[string]bool{"in time": true, "never": false} {
		t.Run(name, func(t *testing.T) {
			w := newDrifted(t)
			w.object("configmaps", "settings")["metadata"].(map[string]any)["finalizers"] = []any{"example.com/keep"}
			w.onDelete = func(key string) {
				if release && key == objectKey("configmaps", "shop", "settings") {
					go func() {
						w.mu.Lock()
						defer w.mu.Unlock()
						delete(w.objects, key)
					}()
				}
			}
			r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictReplace)))
			if release {
				mustCount(t, r, 2, 2, 1, 3, 0)
				mustHaveData(t, w, "settings", map[string]string{"a": "b"})
				return
			}
			mustCount(t, r, 2, 2, 1, 2, 1)
			mustWarn(t, r, coffer.CodeObjectFailed, `finalizers ["example.com/keep"] keep it`)
		})
	}
}

func TestDataIsKept(t *testing.T) {
	replaced := func(types ...string) (others []v1alpha1.TypeConflictPolicy) {
		for _, name := range types {
			others = append(others, v1alpha1.TypeConflictPolicy{Type: name, Policy: v1alpha1.ConflictReplace})
		}
		return others
	}
	for name, c := range map[string]struct {
		change func(w *world)
		spec   func(*v1alpha1.RestoreSpec)
		code   coffer.Code
		text   string
	}{
		"the claim is used by a pod that stays": {
			nil, policies(v1alpha1.ConflictSkip, replaced("persistentvolumeclaims")...),
			coffer.CodeObjectFailed, "persistentvolumeclaims shop/data: the claim and its data were left as they are: pod db-0 uses it",
		},
		"the set owns a claim that stays": {
			func(w *world) { w.object("statefulsets.apps", "db")["spec"] = map[string]any{"replicas": 1, "x": "y"} },
			policies(v1alpha1.ConflictSkip, replaced("statefulsets.apps")...),
			coffer.CodeObjectFailed, "statefulsets.apps shop/db: it was left as it is: to delete it would delete persistentvolumeclaims shop/data",
		},
		"the set owns a claim that the recovery point does not know": {
			func(w *world) {
				set := w.object("statefulsets.apps", "db")
				set["spec"] = map[string]any{"replicas": 1, "x": "y"}
				w.add("persistentvolumeclaims", "shop", "younger", map[string]any{
					"ownerReferences": []any{map[string]any{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": w.uidOf("statefulsets.apps", "db")}},
					"spec":            map[string]any{}, "status": map[string]any{"phase": "Bound"},
				})
			},
			policies(v1alpha1.ConflictReplace),
			coffer.CodeObjectFailed, "to delete it would delete claim shop/younger and its data",
		},
		"the snapshot is gone": {
			func(w *world) { clear(w.disks) }, policies(v1alpha1.ConflictReplace),
			coffer.CodeObjectFailed, "the claim and its data were left as they are",
		},
		"the restore has no data": {
			nil, func(s *v1alpha1.RestoreSpec) {
				policies(v1alpha1.ConflictReplace)(s)
				s.PersistentVolumeRestoreMode = v1alpha1.RestoreWithoutVolumeData
			},
			coffer.CodeVolumeRestoredEmpty, "persistentvolumeclaims shop/data",
		},
		"a bare pod uses the claim": {
			func(w *world) { w.add("pods", "shop", "reader", runningPod()) }, policies(v1alpha1.ConflictReplace),
			coffer.CodeObjectFailed, "pod reader uses it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDrifted(t)
			if c.change != nil {
				c.change(w)
			}
			claim, set := w.uidOf("persistentvolumeclaims", "data"), w.uidOf("statefulsets.apps", "db")
			r := bring(t, w, w.config(), newRestoreOf(c.spec))
			if w.uidOf("persistentvolumeclaims", "data") != claim || w.uidOf("statefulsets.apps", "db") != set {
				t.Errorf("deleted %v", w.deleted)
			}
			mustWarn(t, r, c.code, c.text)
		})
	}
}

func TestRefusedFieldsAreNamed(t *testing.T) {
	w := newDrifted(t)
	w.refuse = func(verb, key string, o map[string]any) error {
		if data, _ := o["data"].(map[string]any); verb == "patch" && key == objectKey("configmaps", "shop", "settings") && data["a"] == "b" {
			e := coffer.Errorf(coffer.CodeRejected, "a long text of the API server")
			e.Fields = []coffer.RefusedField{{Path: "data.a", Reason: "field is immutable"}}
			return e
		}
		return nil
	}
	r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictPatch)))
	mustCount(t, r, 2, 4, 2, 0, 0)
	mustHaveData(t, w, "settings", map[string]string{"a": "other"})
	mustWarn(t, r, coffer.CodeFieldsKept, "configmaps shop/settings: data.a cannot be changed: field is immutable")
}

// TestTheReportOfACancelledRestoreSaysWhatWasDone interrupts a restore at each call, and cancels it then.
func TestTheReportOfACancelledRestoreSaysWhatWasDone(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newDrifted(t)
		w.dieAfter(dieAt)
		k := keep(t, w, newRestoreOf(policies(v1alpha1.ConflictReplace)))
		advance := func(r *v1alpha1.Restore, persist func(context.Context) error) error {
			return Restore(t.Context(), w.config(), r, persist)
		}
		_, err := k.run(advance)
		calls := w.calls
		if err == nil {
			return calls
		}
		w.revive()
		r, err := k.run(func(r *v1alpha1.Restore, persist func(context.Context) error) error {
			r.Spec.Cancel = true
			return advance(r, persist)
		})
		if err != nil || r.Status.Phase != v1alpha1.RunCancelled {
			t.Fatalf("%v, phase %s: %s", err, r.Status.Phase, r.Status.Message)
		}
		if r.Status.Report == nil {
			if len(w.created)+len(w.patched)+len(w.deleted) > 0 {
				t.Errorf("no report, and created %v, patched %v, deleted %v", w.created, w.patched, w.deleted)
			}
			return calls
		}
		for name, o := range mustReport(t, w, r, nil) {
			resource, rest, _ := strings.Cut(name, " ")
			namespace, object, _ := strings.Cut(rest, "/")
			written := slices.Contains(w.created, objectKey(resource, namespace, object)) || slices.Contains(w.patched, objectKey(resource, namespace, object))
			said := o.Result == restorerecord.Created || o.Result == restorerecord.Replaced || o.Result == restorerecord.Patched
			if written != said {
				t.Errorf("%s is %s: %s; created %v, patched %v", name, o.Result, o.Reason, w.created, w.patched)
			}
		}
		return calls
	})
}

func TestTheReportOfAFailedRestoreSaysWhatWasDone(t *testing.T) {
	w := newDrifted(t)
	w.removeNamespace("shop")
	c := after(w.config(), StepPlanning, func() {
		w.add("namespaces", "", "shop", nil)
		w.add("statefulsets.apps", "shop", "db", map[string]any{"spec": map[string]any{"replicas": 7}})
	})
	r := bring(t, w, c, newRestoreOf(policies(v1alpha1.ConflictFail)))
	if r.Status.Reason != string(coffer.CodeObjectsExist) {
		t.Fatalf("%s: %s", r.Status.Reason, r.Status.Message)
	}
	mustReport(t, w, r, map[string]restorerecord.Result{"configmaps shop/settings": restorerecord.Created, "statefulsets.apps shop/db": restorerecord.Pending})
}

func TestExistingObjectsAreLearnedOfPageByPage(t *testing.T) {
	for name, spaces := range map[string]int{"in few namespaces": 3, "in many namespaces": fewNamespaces + 3} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var names []string
			for i := range spaces {
				space := fmt.Sprint("space-", i)
				names = append(names, space)
				w.add("namespaces", "", space, nil)
				for j := range 5 {
					w.add("configmaps", space, fmt.Sprint("c-", j), map[string]any{"data": map[string]any{"x": "before"}})
				}
			}
			backUp(t, w, keep(t, w, newBackupObject(func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.BackupHookReferences = names, nil })))
			for key, o := range w.objects {
				if strings.HasPrefix(key, "configmaps|") {
					o["data"] = map[string]any{"x": "after"}
				}
			}
			var bodies []string
			w.gets = 0
			w.list = func(of coffer.ResourceType, namespace string, each func(coffer.Page) error) (bool, error) {
				if of.Resource != "configmaps" {
					return false, nil
				}
				w.mu.Lock()
				bodies = append(bodies, namespace)
				var all []json.RawMessage
				for key, o := range w.objects {
					if parts := strings.Split(key, "|"); parts[0] == "configmaps" && (namespace == "" || parts[1] == namespace) {
						all = append(all, w.encode(o))
					}
				}
				w.mu.Unlock()
				for page := range slices.Chunk(all, 2) {
					if err := each(coffer.Page{Items: page}); err != nil {
						return true, err
					}
				}
				return true, nil
			}
			r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictPatch)))
			mustCount(t, r, 0, spaces, 5*spaces, 0, 0)
			// One list of metadata for the plan, and one of bodies; each of the whole cluster, or one for each namespace.
			want := 2 * spaces
			if spaces > fewNamespaces {
				want = 2
			}
			if len(bodies) != want {
				t.Errorf("listed %q, want %d lists", bodies, want)
			}
			// Each namespace is looked at, and the one that tells clusters apart.
			if w.gets > spaces+1 {
				t.Errorf("%d objects were read one by one", w.gets)
			}
		})
	}
}

// TestTakenPorts has an API server on which a node port is taken.
func TestTakenPorts(t *testing.T) {
	for name, preserve := range map[string]bool{"another one will do": false, "it has to be this one": true} {
		t.Run(name, func(t *testing.T) {
			w := newDrifted(t)
			w.refuse = func(verb, key string, o map[string]any) error {
				spec, _ := o["spec"].(map[string]any)
				ports, _ := spec["ports"].([]any)
				if verb != "create" || !strings.HasPrefix(key, "services|") || ports[0].(map[string]any)["nodePort"] == nil {
					return nil
				}
				e := coffer.Errorf(coffer.CodeRejected, "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated")
				e.Fields = []coffer.RefusedField{{Path: "spec.ports[0].nodePort", Reason: "Invalid value: 30080: provided port is already allocated"}}
				return e
			}
			w.extra = append(w.extra, coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "services"}, Version: "v1", Kind: "Service", Namespaced: true})
			w.add("services", "shop", "web", map[string]any{
				"annotations": map[string]any{"kubectl.kubernetes.io/last-applied-configuration": `{"spec":{"ports":[{"port":80,"nodePort":30080}]}}`},
				"spec":        map[string]any{"type": "NodePort", "ports": []any{map[string]any{"port": 80, "nodePort": 30080}}},
			})
			again := newBackupObject()
			again.Name, again.UID = "two", "backup-two"
			backUp(t, w, keep(t, w, again))
			w.removeNamespace("shop")
			r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictSkip), func(s *v1alpha1.RestoreSpec) { s.BackupName, s.PreserveNodePorts = "two", preserve }))
			made := w.object("services", "web") != nil
			if made == preserve {
				t.Errorf("the Service is there: %v", made)
			}
			if preserve {
				mustWarn(t, r, coffer.CodeObjectFailed, "services shop/web: spec.ports[0].nodePort: Invalid value: 30080")
				return
			}
			mustWarn(t, r, coffer.CodeFieldsKept, "services shop/web: the cluster allotted another node port than 30080")
		})
	}
}

// TestNothingIsDeletedThatCannotBeMadeAgain has an API server that does not take the objects of the recovery point any more.
func TestNothingIsDeletedThatCannotBeMadeAgain(t *testing.T) {
	for name, c := range map[string]struct {
		refused string
		code    coffer.Code
	}{
		"a policy denies the object":      {objectKey("configmaps", "shop", "settings"), coffer.CodeForbidden},
		"the object is invalid by now":    {objectKey("configmaps", "shop", "settings"), coffer.CodeRejected},
		"a webhook does not answer":       {objectKey("configmaps", "shop", "settings"), coffer.CodeServerError},
		"a quota has no room for a claim": {objectKey("persistentvolumeclaims", "shop", "data"), coffer.CodeForbidden},
		"the set of a claim is invalid":   {objectKey("statefulsets.apps", "shop", "db"), coffer.CodeRejected},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDrifted(t)
			refused := w.objects[c.refused]["metadata"].(map[string]any)["uid"]
			claim, set := w.uidOf("persistentvolumeclaims", "data"), w.uidOf("statefulsets.apps", "db")
			w.refuse = func(verb, key string, _ map[string]any) error {
				if verb != "create" || key != c.refused {
					return nil
				}
				err := coffer.Errorf(c.code, "not with me")
				err.Transient = c.code == coffer.CodeServerError
				return err
			}
			r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictReplace)))
			if o := w.objects[c.refused]; o == nil || o["metadata"].(map[string]any)["uid"] != refused {
				t.Fatalf("deleted %v", w.deleted)
			}
			if c.refused != objectKey("configmaps", "shop", "settings") && (w.uidOf("persistentvolumeclaims", "data") != claim || w.uidOf("statefulsets.apps", "db") != set) {
				t.Errorf("the claim and its set do not stay together: deleted %v", w.deleted)
			}
			mustWarn(t, r, coffer.CodeObjectFailed, "left as")
			mustWarn(t, r, coffer.CodeObjectFailed, "not with me")
		})
	}
}

// TestClaimsElsewhereAreKept replaces a cluster-scoped object that owns a claim in a namespace which the restore does not write to.
func TestClaimsElsewhereAreKept(t *testing.T) {
	w := newShop(t)
	kind := coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "engines"}, Version: "v1", Kind: "Engine"}
	w.extra = append(w.extra, kind)
	w.add("engines.acme.io", "", "main", map[string]any{"spec": map[string]any{"size": 1}})
	all := true
	backUp(t, w, keep(t, w, newBackupObject(func(s *v1alpha1.BackupSpec) { s.IncludeClusterScopeResources = &all })))
	engine := w.objects[objectKey("engines.acme.io", "", "main")]
	engine["spec"] = map[string]any{"size": 2}
	w.add("namespaces", "", "engines", nil)
	w.add("persistentvolumeclaims", "engines", "data", map[string]any{
		"ownerReferences": []any{map[string]any{"apiVersion": "acme.io/v1", "kind": "Engine", "name": "main", "uid": engine["metadata"].(map[string]any)["uid"]}},
		"spec":            map[string]any{}, "status": map[string]any{"phase": "Bound"},
	})
	r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictReplace), func(s *v1alpha1.RestoreSpec) { s.IncludeClusterScopeResources = &all }))
	if w.objects[objectKey("persistentvolumeclaims", "engines", "data")] == nil {
		t.Fatalf("deleted %v", w.deleted)
	}
	mustWarn(t, r, coffer.CodeObjectFailed, "to delete it would delete claim engines/data and its data")
}

// TestATypeThatCannotBeListedEndsNoRestore has an object that exists, of a type that nobody tells what there is of.
func TestATypeThatCannotBeListedEndsNoRestore(t *testing.T) {
	for policy, want := range map[v1alpha1.ConflictPolicy]restorerecord.Result{
		v1alpha1.ConflictSkip: restorerecord.Existing, v1alpha1.ConflictPatch: restorerecord.Failed, v1alpha1.ConflictReplace: restorerecord.Failed,
	} {
		t.Run(string(policy), func(t *testing.T) {
			w := newDrifted(t)
			w.list = func(of coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
				return of.Resource == "configmaps", coffer.Errorf(coffer.CodeForbidden, "configmaps may not be listed")
			}
			r := bring(t, w, w.config(), newRestoreOf(policies(policy)))
			if r.Status.Phase == v1alpha1.RunFailed {
				t.Fatalf("%s: %s", r.Status.Reason, r.Status.Message)
			}
			got := mustReport(t, w, r, map[string]restorerecord.Result{
				"configmaps shop/settings": want, "configmaps shop/lost": restorerecord.Created, "persistentvolumeclaims shop/data": map[bool]restorerecord.Result{
					true: restorerecord.Replaced, false: restorerecord.Existing,
				}[policy == v1alpha1.ConflictReplace],
			})
			if why := got["configmaps shop/settings"].Reason; !strings.Contains(why, "may not be listed") {
				t.Errorf("reason %q", why)
			}
			mustHaveData(t, w, "settings", map[string]string{"a": "other", "new": "x"})
		})
	}
	t.Run("but Fail", func(t *testing.T) {
		w := newDrifted(t)
		maps.DeleteFunc(w.objects, func(key string, _ map[string]any) bool {
			return strings.Contains(key, "|shop|") && !strings.HasPrefix(key, "configmaps|") && !strings.HasPrefix(key, "serviceaccounts|")
		})
		delete(w.objects, objectKey("persistentvolumes", "", "pv"))
		w.list = func(of coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
			return of.Resource == "configmaps", coffer.Errorf(coffer.CodeForbidden, "configmaps may not be listed")
		}
		r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictSkip, v1alpha1.TypeConflictPolicy{Type: "configmaps", Policy: v1alpha1.ConflictFail})))
		if r.Status.Reason != string(coffer.CodeObjectsExist) {
			t.Errorf("%s %s: %s", r.Status.Phase, r.Status.Reason, r.Status.Message)
		}
	})
}

// TestAFullQuotaDoesNotDisownWhatARunHasMade has an API server that refuses what exists already before it finds that it does.
func TestAFullQuotaDoesNotDisownWhatARunHasMade(t *testing.T) {
	everyCrash(t, func(t *testing.T, dieAt int) int {
		w := newDrifted(t)
		w.removeNamespace("shop")
		w.refuse = func(verb, key string, _ map[string]any) error {
			if verb == "create" && w.objects[key] != nil {
				return coffer.Errorf(coffer.CodeForbidden, "exceeded quota")
			}
			return nil
		}
		w.dieAfter(dieAt)
		r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictSkip)))
		calls := w.calls
		w.revive()
		mustCount(t, r, 7, 0, 1, 0, 0)
		mustBelongToTheNewSet(t, w)
		return calls
	})
}

// TestAPodIsReplacedHoweverLongItTakesToEnd has a bare pod with a longer grace period than what a deletion is waited for.
func TestAPodIsReplacedHoweverLongItTakesToEnd(t *testing.T) {
	w := newWorld(t)
	w.add("namespaces", "", "shop", nil)
	pod := func(image string) map[string]any {
		p := runningPod()
		p["spec"] = map[string]any{"containers": []any{map[string]any{"name": "db", "image": image}}}
		return p
	}
	w.add("pods", "shop", "bare", pod("one"))
	backUp(t, w, keep(t, w, newBackupObject(func(s *v1alpha1.BackupSpec) { s.BackupHookReferences = nil })))
	w.object("pods", "bare")["spec"] = pod("two")["spec"]
	w.grace = 2 * time.Second
	r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictReplace)))
	if w.object("pods", "bare") == nil {
		t.Errorf("the pod is gone, and not made again: %+v", r.Status.Warnings)
	}
	mustCount(t, r, 0, 1, 0, 1, 0)
}

// TestSnapshotsOfWhatIsReplacedAreKept has an object that owns a VolumeSnapshot, whose deletion would destroy the data behind it.
func TestSnapshotsOfWhatIsReplacedAreKept(t *testing.T) {
	w := newDrifted(t)
	w.extra = append(w.extra, coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "snapshot.storage.k8s.io", Resource: "volumesnapshots"}, Version: "v1", Kind: "VolumeSnapshot", Namespaced: true})
	w.add("volumesnapshots.snapshot.storage.k8s.io", "shop", "nightly", map[string]any{
		"ownerReferences": []any{map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "name": "settings", "uid": w.uidOf("configmaps", "settings")}},
		"spec":            map[string]any{},
	})
	r := bring(t, w, w.config(), newRestoreOf(policies(v1alpha1.ConflictReplace)))
	if w.object("volumesnapshots.snapshot.storage.k8s.io", "nightly") == nil {
		t.Fatalf("deleted %v", w.deleted)
	}
	mustWarn(t, r, coffer.CodeObjectFailed, "to delete it would delete VolumeSnapshot shop/nightly and its data")
}
