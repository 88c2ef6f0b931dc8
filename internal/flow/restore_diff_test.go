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

// planned makes a plan that is only looked at.
func planned(t *testing.T, w *world, change ...func(*v1alpha1.RestoreSpec)) *v1alpha1.Restore {
	t.Helper()
	r := restoreOnce(t, w, append(change, planOnly)...)
	if !r.Status.Phase.Succeeded() {
		t.Fatalf("phase %s: %s", r.Status.Phase, r.Status.Message)
	}
	w.restores = map[string]v1alpha1.Restore{r.Name: *r}
	return r
}

// diff is what a Restore would write, by the object that it is of. The cluster must not have changed.
func diff(t *testing.T, w *world, change ...func(*DiffRequest)) (map[string]DiffItem, error) {
	t.Helper()
	before := w.state()
	q := DiffRequest{Restore: newRestoreObject().Name}
	for _, c := range change {
		c(&q)
	}
	items := map[string]DiffItem{}
	err := NewReader(w.config()).Diff(t.Context(), q, func(i DiffItem) error {
		if _, again := items[i.Target.String()]; again {
			t.Errorf("%s comes twice", i.Target)
		}
		items[i.Target.String()] = i
		return nil
	})
	if !maps.Equal(w.state(), before) {
		t.Error("the cluster was changed")
	}
	return items, err
}

// data is the data of a ConfigMap, or nil if there is none.
func data(t *testing.T, body []byte) any {
	t.Helper()
	if body == nil {
		return nil
	}
	var o struct{ Data map[string]any }
	if err := json.Unmarshal(body, &o); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(o.Data)
}

func setData(w *world, value string) {
	w.objects[objectKey("configmaps", "shop", "settings")]["data"] = map[string]any{"a": value}
}

const settings = "configmaps shop/settings"

func TestADiffShowsWhatWouldBeWritten(t *testing.T) {
	admitted := func(w *world) {
		w.admit = func(_ string, o map[string]any) {
			if data, ok := o["data"].(map[string]any); ok {
				data["filled"] = "in"
			}
		}
	}
	remove := func(w *world) { delete(w.objects, objectKey("configmaps", "shop", "settings")) }
	alter := func(w *world) { setData(w, "live") }
	for _, tt := range []struct {
		name string
		// before is what happens between the backup and the plan, after what happens between the plan and the look.
		before, after        func(w *world)
		policy               v1alpha1.ConflictPolicy
		action, live, result string
		notes, unchecked     string
		tries                int
	}{
		{"a create", remove, nil, "", "create", "", "map[a:b filled:in]", "", "", 1},
		{"what is left alone", alter, nil, "", "skip", "map[a:live]", "map[a:live]", "", "", 0},
		{"a patch", alter, nil, v1alpha1.ConflictPatch, "patch", "map[a:live]", "map[a:b filled:in]", "", "", 1},
		{"a patch of nothing", nil, nil, v1alpha1.ConflictPatch, "patch", "map[a:b]", "map[a:b]", "", "", 0},
		{"a replacement", alter, nil, v1alpha1.ConflictReplace, "replace", "map[a:live]", "map[a:b]", "as long as the present one exists", "", 1},
		{"a conflict", alter, nil, v1alpha1.ConflictFail, "fail", "map[a:live]", "map[a:live]", "", "", 0},
		{"a create of what exists now", remove, func(w *world) {
			w.add("configmaps", "shop", "settings", map[string]any{"data": map[string]any{"a": "new"}})
		}, v1alpha1.ConflictPatch,
			"create", "map[a:new]", "map[a:b filled:in]", "has come to exist", "", 2},
		{"a replacement of what is another now", alter, func(w *world) {
			remove(w)
			w.add("configmaps", "shop", "settings", map[string]any{"data": map[string]any{"a": "new"}})
		}, v1alpha1.ConflictReplace, "replace", "map[a:new]", "map[a:new]", "not the object that the plan is to replace", "", 0},
		{"a patch of what is gone", alter, remove, v1alpha1.ConflictPatch, "patch", "", "map[a:b filled:in]", "gone, and would be created", "", 1},
		{"leaving alone what is gone", alter, remove, "", "skip", "", "", "gone, and this plan does not create it", "", 0},
		{"a namespace that does not exist", func(w *world) { w.removeNamespace("shop") }, nil, "", "create", "", "map[a:b]", "", "its namespace does not exist yet", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newShop(t)
			backUp(t, w, keep(t, w, newBackupObject()))
			if tt.before != nil {
				tt.before(w)
			}
			planned(t, w, policy(tt.policy))
			if tt.after != nil {
				tt.after(w)
			}
			admitted(w)
			w.tried, w.gets = nil, 0
			items, err := diff(t, w, func(q *DiffRequest) { q.Name = "settings" })
			got, there := items[settings]
			if err != nil || !there || len(items) != 1 {
				t.Fatalf("%v, %+v", err, items)
			}
			orNil := func(text string) any {
				if text == "" {
					return nil
				}
				return text
			}
			if string(got.Action) != tt.action || data(t, got.Live) != orNil(tt.live) || data(t, got.Result) != orNil(tt.result) || data(t, got.Backup) != "map[a:b]" {
				t.Errorf("%s: backup %s\nlive %s\nresult %s", got.Action, got.Backup, got.Live, got.Result)
			}
			if notes := strings.Join(got.Notes, "; "); !strings.Contains(notes, tt.notes) || tt.notes == "" && notes != "" || got.Refused != nil || got.Unchecked != tt.unchecked {
				t.Errorf("notes %q, unchecked %q, refused %v", notes, got.Unchecked, got.Refused)
			}
			if len(w.tried) != tt.tries || w.gets != 0 {
				t.Errorf("%d dry runs, want %d, and %d objects were read one by one", len(w.tried), tt.tries, w.gets)
			}
		})
	}
}

func TestADiffIsOfTheWholePlan(t *testing.T) {
	w := newPlannedShop(t)
	planned(t, w, func(s *v1alpha1.RestoreSpec) { s.NamespaceMappings = map[string]v1alpha1.NamespaceName{"shop": "copy"} })
	items, err := diff(t, w)
	if err != nil {
		t.Fatal(err)
	}
	got := slices.Sorted(maps.Keys(items))
	want := []string{"configmaps copy/settings", "namespaces copy", "persistentvolumeclaims copy/data", "statefulsets.apps copy/db"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if i := items["configmaps copy/settings"]; i.Source.Namespace != "shop" || i.Unchecked == "" {
		t.Errorf("%+v", i)
	}
	if i := items["namespaces copy"]; i.Unchecked != "" || i.Result == nil || i.Live != nil {
		t.Errorf("%+v", i)
	}
	claim := items["persistentvolumeclaims copy/data"]
	if !strings.Contains(string(claim.Result), `"kind":"VolumeSnapshot"`) || !strings.Contains(strings.Join(claim.Notes, ";"), "made of snapshot handle-") {
		t.Errorf("%s, %q", claim.Result, claim.Notes)
	}
	seen := map[int]bool{}
	for _, i := range items {
		seen[i.Step] = true
	}
	if len(seen) != len(items) {
		t.Errorf("positions %v", seen)
	}
	for name, c := range map[string]struct {
		ask  func(*DiffRequest)
		want []string
	}{
		"a namespace, by its name in the cluster": {func(q *DiffRequest) { q.Namespace = "shop" }, nil},
		"a type, by its kind":                     {func(q *DiffRequest) { q.Type = "StatefulSet" }, []string{"statefulsets.apps copy/db"}},
		"a type that is not in the plan":          {func(q *DiffRequest) { q.Type = "Pod" }, nil},
		"a name":                                  {func(q *DiffRequest) { q.Name = "data" }, []string{"persistentvolumeclaims copy/data"}},
	} {
		items, err := diff(t, w, c.ask)
		if got := slices.Sorted(maps.Keys(items)); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %q", name, err, got)
		}
	}
}

func TestWhatTheAPIServerWouldRefuse(t *testing.T) {
	rejected := func(fields ...coffer.RefusedField) error {
		err := coffer.Errorf(coffer.CodeRejected, "the policy says no")
		err.Fields = fields
		return err
	}
	for _, tt := range []struct {
		name               string
		policy             v1alpha1.ConflictPolicy
		refuse             error
		refused, unchecked coffer.Code
		notes              string
	}{
		{"a create", "", rejected(), coffer.CodeRejected, "", ""},
		{"a create that is forbidden", "", coffer.Errorf(coffer.CodeForbidden, "no"), coffer.CodeForbidden, "", ""},
		{"a create that a webhook cannot try", "", coffer.Errorf(coffer.CodeNotTryable, "it does not support dry run"), "", coffer.CodeNotTryable, ""},
		{"a patch", v1alpha1.ConflictPatch, rejected(), coffer.CodeRejected, "", ""},
		{"a patch that a webhook cannot try", v1alpha1.ConflictPatch, coffer.Errorf(coffer.CodeNotTryable, "it does not support dry run"), "", coffer.CodeNotTryable, ""},
		{"a field of a patch", v1alpha1.ConflictPatch, rejected(coffer.RefusedField{Path: "data", Reason: "immutable"}), "", "", "data cannot be changed: immutable"},
		{"a replacement", v1alpha1.ConflictReplace, rejected(), coffer.CodeRejected, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newShop(t)
			backUp(t, w, keep(t, w, newBackupObject()))
			setData(w, "live")
			if tt.policy == "" {
				delete(w.objects, objectKey("configmaps", "shop", "settings"))
			}
			planned(t, w, policy(tt.policy))
			w.refuse = func(_, key string, _ map[string]any) error {
				if strings.HasPrefix(key, "configmaps|") {
					return tt.refuse
				}
				return nil
			}
			items, err := diff(t, w)
			got := items[settings]
			if err != nil || len(items) != 4 || coffer.CodeOf(got.Refused) != tt.refused || (got.Unchecked != "") != (tt.unchecked != "") {
				t.Errorf("%v, %d items, refused %v, unchecked %q", err, len(items), got.Refused, got.Unchecked)
			}
			if want := tt.notes; !strings.Contains(strings.Join(got.Notes, ";"), want) {
				t.Errorf("notes %q, want %q", got.Notes, want)
			}
			if tt.refused != "" && data(t, got.Result) != "map[a:b]" {
				t.Errorf("what is refused is %s", got.Result)
			}
		})
	}
}

func TestDiffsThatAreRefused(t *testing.T) {
	notStored := func(w *world) { w.restores["two"] = v1alpha1.Restore{} }
	for _, tt := range []struct {
		name string
		ask  func(*DiffRequest)
		harm func(w *world)
		code coffer.Code
		says string
	}{
		{"a name that cannot be one", func(q *DiffRequest) { q.Restore = "../x" }, nil, coffer.CodeInvalid, "cannot be the name of a restore"},
		{"a restore that is not there", func(q *DiffRequest) { q.Restore = "two" }, nil, coffer.CodeRestoreNotFound, "two"},
		{"a restore without a plan", func(q *DiffRequest) { q.Restore = "two" }, notStored, coffer.CodePlanNotStored, "has not made one yet"},
		{"a type that cannot be one", func(q *DiffRequest) { q.Type = "a/b/c/d" }, nil, coffer.CodeInvalid, "too many parts"},
		{"a type with a typing error", func(q *DiffRequest) { q.Type = "configmap-" }, nil, coffer.CodeInvalid, "did you mean configmaps?"},
		{"an extension that may not restore", nil, func(w *world) { w.forbidden = "shop" }, coffer.CodeForbidden, "stronger profile"},
		{"a recovery point that is gone", nil, func(w *world) {
			if err := w.container.Delete(context.Background(), "backups/one/manifest.json"); err != nil {
				t.Fatal(err)
			}
		}, coffer.CodeBackupNotFound, "would write cannot be told"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newPlannedShop(t)
			planned(t, w)
			if tt.harm != nil {
				tt.harm(w)
			}
			items, err := diff(t, w, func(q *DiffRequest) {
				if tt.ask != nil {
					tt.ask(q)
				}
			})
			if coffer.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) || len(items) > 0 {
				t.Errorf("%v, %d items", err, len(items))
			}
		})
	}
}

func TestOneDiffAtATime(t *testing.T) {
	w := newPlannedShop(t)
	r := planned(t, w)
	reader := NewReader(w.config())
	n := 0
	err := reader.Diff(t.Context(), DiffRequest{Restore: r.Name}, func(DiffItem) error {
		n++
		if err := reader.Diff(t.Context(), DiffRequest{Restore: r.Name}, nil); coffer.CodeOf(err) != coffer.CodeBusy || coffer.Final(err) {
			t.Errorf("another one: %v", err)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Errorf("%d items, %v", n, err)
	}
	stop := fmt.Errorf("enough")
	if err := reader.Diff(t.Context(), DiffRequest{Restore: r.Name}, func(DiffItem) error { return stop }); err != stop { //nolint:errorlint // as it is
		t.Errorf("%v", err)
	}
}

func TestStoredPlansAndReportsAreRead(t *testing.T) {
	encrypted, _ := newEncryptedShop(t)
	for name, w := range map[string]*world{"plain": newShop(t), "encrypted": encrypted, "of a read-only location": newShop(t)} {
		t.Run(name, func(t *testing.T) {
			backUp(t, w, keep(t, w, newBackupObject()))
			w.removeNamespace("shop")
			w.readOnly = name == "of a read-only location"
			w.refuse = func(_, key string, _ map[string]any) error {
				if strings.HasPrefix(key, "configmaps|") {
					return coffer.Errorf(coffer.CodeRejected, "the policy says no")
				}
				return nil
			}
			r := restoreOnce(t, w)
			w.restores = map[string]v1alpha1.Restore{r.Name: *r}
			var head StoredPlan
			steps := map[string]restorerecord.Step{}
			reader := NewReader(w.config())
			err := reader.Plan(t.Context(), r.Name, func(h StoredPlan) error { head = h; return nil }, func(s restorerecord.Step) error {
				steps[s.ObjectRef.String()] = s
				return nil
			})
			if err != nil || head.Digest != r.Status.Plan.Digest || head.Backup != "one" || len(steps) != stepsIn(r.Status.Plan.Counts) || steps[settings].Action != "create" {
				t.Errorf("%v, %+v, %+v", err, head, steps)
			}
			var report restorerecord.ReportHeader
			failed := map[string]string{}
			err = reader.Report(t.Context(), r.Name, func(h restorerecord.ReportHeader) error { report = h; return nil }, func(o restorerecord.Outcome) error {
				if o.Result == restorerecord.Failed {
					failed[o.ObjectRef.String()] = o.Reason
				}
				return nil
			})
			if err != nil || report.PlanDigest != head.Digest || report.Counts[restorerecord.Failed] != 1 || !strings.Contains(failed[settings], "the policy says no") {
				t.Errorf("%v, %+v, %v", err, report, failed)
			}
		})
	}
}

func TestRecordsThatAreNotRead(t *testing.T) {
	w := newPlannedShop(t)
	good := planned(t, w)
	ended := v1alpha1.RunStatus{Phase: v1alpha1.RunFailed, Reason: "X", Message: "it broke"}
	unstored := v1alpha1.RunStatus{Phase: v1alpha1.RunCompleted, Warnings: []v1alpha1.Warning{{Code: string(coffer.CodePlanNotStored), Message: "nowhere to go"}}}
	for _, tt := range []struct {
		name         string
		change       func(r *v1alpha1.Restore)
		plan, report coffer.Code
		says, said   string
	}{
		{"only planned", func(*v1alpha1.Restore) {}, "", coffer.CodeReportNotStored, "", "restored nothing"},
		{"not begun", func(r *v1alpha1.Restore) { r.Status = v1alpha1.RestoreStatus{} }, coffer.CodePlanNotStored, coffer.CodeReportNotStored, "not made one yet", "still under way"},
		{"failed before", func(r *v1alpha1.Restore) { r.Status = v1alpha1.RestoreStatus{RunStatus: ended} }, coffer.CodePlanNotStored, coffer.CodeReportNotStored, "before it made one: X: it broke", "before anything was restored: X: it broke"},
		{"stored nowhere", func(r *v1alpha1.Restore) { r.Status.RunStatus, r.Status.Plan.Key = unstored, "" }, coffer.CodePlanNotStored, coffer.CodeReportNotStored, "nowhere to go", "nowhere to go"},
		{"gone", func(r *v1alpha1.Restore) {
			r.Spec.BackupName, r.Status.Plan.Key = "two", restorerecord.Layout{Backup: "two", Run: string(r.UID)}.Plan(r.Status.Plan.Digest)
		}, coffer.CodePlanChanged, coffer.CodeReportNotStored, "is gone", ""},
		{"another run's", func(r *v1alpha1.Restore) { r.UID = "other" }, coffer.CodePlanChanged, coffer.CodeReportNotStored, "no record of that run", ""},
		{"altered", func(r *v1alpha1.Restore) {
			r.Status.Plan.Digest = r.Status.Plan.Digest[:len(r.Status.Plan.Digest)-1] + "x"
		}, coffer.CodePlanChanged, coffer.CodeReportNotStored, "was altered", ""},
		{"longer than it was", func(r *v1alpha1.Restore) { r.Status.Plan.Counts = v1alpha1.RestorePlanCounts{Create: 1} }, coffer.CodeArchiveCorrupt, coffer.CodeReportNotStored, "no more than", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good.DeepCopy()
			tt.change(r)
			w.restores = map[string]v1alpha1.Restore{r.Name: *r}
			reader := NewReader(w.config())
			err := reader.Plan(t.Context(), r.Name, func(StoredPlan) error { return nil }, func(restorerecord.Step) error { return nil })
			if coffer.CodeOf(err) != tt.plan || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("plan: %v", err)
			}
			err = reader.Report(t.Context(), r.Name, func(restorerecord.ReportHeader) error { return nil }, func(restorerecord.Outcome) error { return nil })
			if coffer.CodeOf(err) != tt.report || !strings.Contains(err.Error(), tt.said) {
				t.Errorf("report: %v", err)
			}
		})
	}
}

func TestDiffsOfEveryKindOfRecoveryPoint(t *testing.T) {
	encrypted, _ := newEncryptedShop(t)
	readOnly := newShop(t)
	for _, w := range []*world{encrypted, readOnly} {
		backUp(t, w, keep(t, w, newBackupObject()))
		setData(w, "live")
	}
	readOnly.readOnly = true
	for name, w := range map[string]*world{"encrypted": encrypted, "in a read-only location": readOnly, "of Velero's": newVeleroWorld(t, newVeleroPoint())} {
		t.Run(name, func(t *testing.T) {
			r := planned(t, w, policy(v1alpha1.ConflictPatch))
			items, err := diff(t, w)
			if err != nil || len(items) < 3 || items[settings].Backup == nil || items[settings].Result == nil {
				t.Errorf("%v, %d items, %+v", err, len(items), items[settings])
			}
			if at := r.Status.Plan.StorageLocation; (at == ownLocation) != (name != "encrypted") {
				t.Errorf("the plan is stored in %s", at)
			}
		})
	}
}

// A Service that is replaced holds its node port until it is deleted, so that a dry run finds it taken.
func TestADiffOfAServiceThatIsReplaced(t *testing.T) {
	w := newShop(t)
	services := coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "services"}, Version: "v1", Kind: "Service", Namespaced: true}
	w.extra = []coffer.ResourceType{services}
	port := func(n int) map[string]any {
		return map[string]any{"ports": []any{map[string]any{"port": n, "nodePort": 30001}}}
	}
	w.add("services", "shop", "web", map[string]any{"spec": port(80)})
	backUp(t, w, keep(t, w, newBackupObject()))
	w.objects[objectKey("services", "shop", "web")]["spec"] = port(81)
	planned(t, w, policy(v1alpha1.ConflictReplace), func(s *v1alpha1.RestoreSpec) { s.PreserveNodePorts = true })
	w.refuse = func(_, key string, o map[string]any) error {
		if key != objectKey("services", "shop", "web") || !strings.Contains(string(w.encode(o)), "nodePort") {
			return nil
		}
		err := coffer.Errorf(coffer.CodeRejected, "provided port is already allocated")
		err.Fields = []coffer.RefusedField{{Path: "spec.ports[0].nodePort", Reason: "taken"}}
		return err
	}
	items, err := diff(t, w, func(q *DiffRequest) { q.Type = "Service" })
	got := items["services shop/web"]
	if err != nil || got.Refused != nil || got.Action != "replace" || !strings.Contains(string(got.Result), `"nodePort":30001`) || strings.Contains(strings.Join(got.Notes, ";"), "another node port") {
		t.Errorf("%v, refused %v, %q\n%s", err, got.Refused, got.Notes, got.Result)
	}
}

func TestADiffOfACarriedOutRestore(t *testing.T) {
	w := newPlannedShop(t)
	r := restoreOnce(t, w)
	w.restores = map[string]v1alpha1.Restore{r.Name: *r}
	items, err := diff(t, w)
	if got := items[settings]; err != nil || string(got.Live) != string(got.Result) || !slices.Contains(got.Notes, "this restore has made it") {
		t.Errorf("%v, %+v", err, got)
	}
}

// What is compared at a time is bounded, however large the objects are.
func TestADiffOfLargeObjectsWaitsForMemory(t *testing.T) {
	w := newShop(t)
	large := strings.Repeat("x", 3<<20)
	for i := range 8 {
		w.add("configmaps", "shop", fmt.Sprintf("large-%d", i), map[string]any{"data": map[string]any{"a": large}})
	}
	backUp(t, w, keep(t, w, newBackupObject()))
	for i := range 8 {
		delete(w.objects, objectKey("configmaps", "shop", fmt.Sprintf("large-%d", i)))
	}
	planned(t, w)
	limit := diffMemory / (4 * len(large))
	under, exceeded := 0, make(chan struct{})
	w.refuse = func(_, key string, _ map[string]any) error {
		if strings.Contains(key, "large-") {
			if under++; under == limit+1 {
				close(exceeded)
			}
		}
		return nil
	}
	n := 0
	err := NewReader(w.config()).Diff(t.Context(), DiffRequest{Restore: newRestoreObject().Name, Type: "ConfigMap"}, func(i DiffItem) error {
		if !strings.HasPrefix(i.Target.Name, "large-") {
			return nil
		}
		// Nobody takes the first one for a while: as many others as there is room for catch up.
		if n++; n == 1 {
			select {
			case <-exceeded:
				t.Errorf("more than %d objects are compared at a time", limit)
			case <-time.After(500 * time.Millisecond):
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		under--
		return nil
	})
	if err != nil || n != 8 {
		t.Errorf("%v, %d objects", err, n)
	}
}
