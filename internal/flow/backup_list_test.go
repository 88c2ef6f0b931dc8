package flow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// mapNamed is a ConfigMap of the shop as a list has it.
func mapNamed(name, uid, fields string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"metadata":{"name":%q,"namespace":"shop","uid":%q%s}}`, name, uid, fields))
}

// listsMaps lets the ConfigMaps be these pages.
func (w *world) listsMaps(pages ...coffer.Page) {
	w.list = func(t coffer.ResourceType, _ string, each func(coffer.Page) error) (bool, error) {
		if t.Resource != "configmaps" {
			return false, nil
		}
		for _, p := range pages {
			if err := each(p); err != nil {
				return true, err
			}
		}
		return true, nil
	}
}

func coverageOf(t *testing.T, w *world) (c coffer.Coverage, m coffer.Manifest) {
	t.Helper()
	readBlob(t, w, recoverypoint.LayoutOf("one").Coverage(), &c)
	m, _, err := readManifest(t.Context(), w.location(), "one")
	if err != nil {
		t.Fatal(err)
	}
	return c, m
}

func mapsOf(t *testing.T, w *world) []string {
	t.Helper()
	return slices.DeleteFunc(objectsOf(t, w), func(o string) bool { return !strings.HasPrefix(o, "ConfigMap ") })
}

const (
	uidA = "00000000-0000-4000-8000-00000000000a"
	uidB = "00000000-0000-4000-8000-00000000000b"
	uidC = "00000000-0000-4000-8000-00000000000c"
	uidD = "00000000-0000-4000-8000-00000000000d"
)

func TestAListOfTwoMomentsHoldsEachObjectOnce(t *testing.T) {
	w := newShop(t)
	deleting := `,"deletionTimestamp":"2026-01-01T00:00:00Z"`
	w.listsMaps(
		coffer.Page{Items: []json.RawMessage{mapNamed("a", uidA, ""), mapNamed("b", uidB, ""), mapNamed("gone", uidC, deleting), mapNamed("odd", "no-uuid", "")}},
		coffer.Page{Later: "the token expired", Items: []json.RawMessage{
			mapNamed("a", uidA, ""),    // the same again
			mapNamed("b", uidD, ""),    // another of the same name
			mapNamed("gone", uidD, ""), // another, of one that was not taken
			mapNamed("odd", "no-uuid", ""),
			mapNamed("new", uidC, ""),
		}},
		coffer.Page{Later: "the token expired", Items: []json.RawMessage{mapNamed("new", uidC, "")}},
	)
	b := mustBackUp(t, w)
	if got := mapsOf(t, w); !slices.Equal(got, []string{"ConfigMap shop/a", "ConfigMap shop/b", "ConfigMap shop/gone", "ConfigMap shop/new", "ConfigMap shop/odd"}) {
		t.Errorf("captured %v", got)
	}
	c, m := coverageOf(t, w)
	if len(c.Inconsistent) != 1 || c.Inconsistent[0] != (coffer.TypeGap{What: "configmaps", Reason: "the token expired"}) {
		t.Errorf("inconsistent are %v", c.Inconsistent)
	}
	var anew []string
	for _, o := range c.SkippedObjects {
		if strings.Contains(o.Reason, "made anew") {
			anew = append(anew, o.String())
		}
	}
	if !slices.Equal(anew, []string{"configmaps shop/b"}) {
		t.Errorf("made anew are %v", anew)
	}
	if m.Partial || b.Status.Phase != v1alpha1.RunCompletedWithWarnings || b.Status.Warnings[0].Code != string(coffer.CodeInconsistent) {
		t.Errorf("partial %v, phase %s, %v", m.Partial, b.Status.Phase, b.Status.Warnings)
	}
}

func TestAnAPIServerThatSendsAnObjectTwiceDoesNotSpoilTheRecoveryPoint(t *testing.T) {
	w := newShop(t)
	w.listsMaps(
		coffer.Page{Items: []json.RawMessage{mapNamed("b", uidB, ""), mapNamed("a", uidA, ""), mapNamed("a", uidA, "")}},
		coffer.Page{Items: []json.RawMessage{mapNamed("b", uidB, ""), mapNamed("a", uidC, ""), mapNamed("c", uidD, "")}},
	)
	mustBackUp(t, w)
	if got := mapsOf(t, w); !slices.Equal(got, []string{"ConfigMap shop/a", "ConfigMap shop/b", "ConfigMap shop/c"}) {
		t.Errorf("captured %v", got)
	}
	if c, _ := coverageOf(t, w); len(c.Inconsistent) != 0 {
		t.Errorf("inconsistent are %v", c.Inconsistent)
	}
	w.removeNamespace("shop")
	if r := restoreOnce(t, w); !strings.HasPrefix(string(r.Status.Phase), "Completed") {
		t.Errorf("the restore is %s: %s", r.Status.Phase, r.Status.Message)
	}
}

func TestAnAPIServerThatPassesOverTheNamespaceSendsNothingTwice(t *testing.T) {
	w := newShop(t)
	w.add("namespaces", "", "market", nil)
	w.listsMaps(coffer.Page{Items: []json.RawMessage{mapNamed("a", uidA, "")}})
	mustBackUp(t, w, func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = []string{"market", "shop"} })
	w.removeNamespace("shop")
	if r := restoreOnce(t, w); !strings.HasPrefix(string(r.Status.Phase), "Completed") {
		t.Errorf("the restore is %s: %s", r.Status.Phase, r.Status.Message)
	}
}

func TestClaimsThatAreListedAnewAreOneVolumeEach(t *testing.T) {
	w := newShop(t)
	claim := w.encode(w.objects[objectKey("persistentvolumeclaims", "shop", "data")])
	w.list = func(r coffer.ResourceType, _ string, each func(coffer.Page) error) (bool, error) {
		if r.Resource != "persistentvolumeclaims" {
			return false, nil
		}
		return true, errors.Join(each(coffer.Page{Items: []json.RawMessage{claim}}), each(coffer.Page{Items: []json.RawMessage{claim}, Later: "begun anew"}))
	}
	if b := mustBackUp(t, w); b.Status.Progress.VolumesTotal != 1 {
		t.Errorf("there are %d volumes", b.Status.Progress.VolumesTotal)
	}
	w.list = nil
	w.removeNamespace("shop")
	if r := restoreOnce(t, w); !strings.HasPrefix(string(r.Status.Phase), "Completed") {
		t.Errorf("the restore is %s: %s", r.Status.Phase, r.Status.Message)
	}
}

func TestAListOfOneMomentIsNotDoubted(t *testing.T) {
	var s seenObjects
	for i := range 1000 {
		o, found := s.find(coffer.HeaderMetadata{Namespace: "n", Name: fmt.Sprintf("%04d", i), UID: fmt.Sprint(i)})
		if found != seenNever {
			t.Fatal("seen before the first time")
		}
		o.archived = true
		s.note(o)
	}
	if s.byPath != nil || len(s.noted) != 1000 {
		t.Error("what came is looked up although nothing can come twice")
	}
	s.distrust()
	if _, found := s.find(coffer.HeaderMetadata{Namespace: "n", Name: "0007", UID: "7"}); found != seenBefore {
		t.Errorf("the same is %v", found)
	}
	if _, found := s.find(coffer.HeaderMetadata{Namespace: "n", Name: "0007", UID: "8"}); found != seenAsOther {
		t.Errorf("another of the name is %v", found)
	}
}

func TestUIDsOfAnyFormAreToldApart(t *testing.T) {
	seen := map[digest]string{}
	for _, uid := range []string{"", uidA, uidB, strings.ReplaceAll(uidA, "-", "") + "0", "x", strings.Repeat("a", 36), strings.Repeat("-", 36), strings.Repeat("z", 32), strings.Repeat("f", 1000)} {
		d := uidDigest(uid)
		if other, taken := seen[d]; taken {
			t.Errorf("%q and %q are one", uid, other)
		}
		seen[d] = uid
	}
}

func TestATypeThatCannotBeListedIsAGapAndTheRestIsBackedUp(t *testing.T) {
	unanswered := coffer.Errorf(coffer.CodeUnanswered, "list configmaps: no answer")
	unanswered.Transient = true
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"no answer":        {unanswered, "no answer"},
		"forbidden":        {coffer.Errorf(coffer.CodeForbidden, "list configmaps: you may not"), "you may not"},
		"gone in mid-run":  {coffer.Errorf(coffer.CodeNotFound, "list configmaps: 404"), "the type went away"},
		"not as it should": {coffer.Errorf(coffer.CodeRejected, "list configmaps: 400"), "400"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShop(t)
			w.list = func(r coffer.ResourceType, _ string, each func(coffer.Page) error) (bool, error) {
				if r.Resource != "configmaps" {
					return false, nil
				}
				// It begins well.
				if err := each(coffer.Page{Items: []json.RawMessage{mapNamed("a", uidA, "")}}); err != nil {
					return true, err
				}
				return true, tt.err
			}
			b := mustBackUp(t, w)
			c, m := coverageOf(t, w)
			if len(c.Gaps) != 1 || c.Gaps[0].What != "configmaps" || !strings.Contains(c.Gaps[0].Reason, tt.want) || !m.Partial {
				t.Errorf("gaps %v, partial %v", c.Gaps, m.Partial)
			}
			if b.Status.Phase != v1alpha1.RunCompletedWithWarnings || c.Captured["pods"] != 1 || c.Captured["configmaps"] != 1 {
				t.Errorf("phase %s, captured %v", b.Status.Phase, c.Captured)
			}
		})
	}
}

func TestAListThatMayComeLaterIsMadeAnew(t *testing.T) {
	w := newShop(t)
	failed := false
	w.list = func(r coffer.ResourceType, _ string, each func(coffer.Page) error) (bool, error) {
		if r.Resource != "configmaps" || failed {
			return false, nil
		}
		failed = true
		return true, errors.Join(each(coffer.Page{Items: []json.RawMessage{mapNamed("a", uidA, "")}}), errors.New("the API server is away"))
	}
	k := keep(t, w, newBackupObject())
	do := func(b *v1alpha1.Backup, persist func(context.Context) error) error {
		return Backup(t.Context(), w.config(), b, persist)
	}
	if _, err := k.run(do); err == nil {
		t.Fatal("the run goes on without an API server")
	}
	b, err := k.run(do)
	if err != nil || b.Status.Phase != v1alpha1.RunCompleted {
		t.Fatalf("Backup = %v, %s", err, b.Status.Phase)
	}
	if got := mapsOf(t, w); !slices.Equal(got, []string{"ConfigMap shop/settings"}) {
		t.Errorf("captured %v", got)
	}
}

func TestAnObjectThatNoArchiveHoldsIsNamedAndTheRestIsBackedUp(t *testing.T) {
	w := newShop(t)
	long := strings.Repeat("n", 1<<20)
	w.listsMaps(coffer.Page{Items: []json.RawMessage{
		mapNamed("a", uidA, ""), mapNamed(long, uidB, ""), mapNamed("large", uidC, `,"x":"`+strings.Repeat("x", 17<<20)+`"`), mapNamed("d", uidD, ""),
	}})
	b := mustBackUp(t, w)
	if got := mapsOf(t, w); !slices.Equal(got, []string{"ConfigMap shop/a", "ConfigMap shop/d"}) {
		t.Errorf("captured %.200v", got)
	}
	c, m := coverageOf(t, w)
	if len(c.SkippedObjects) != 2 || c.SkippedObjects[0].Code != coffer.CodeObjectNotCaptured || !m.Partial || b.Status.WarningCount != 2 {
		t.Errorf("%d objects skipped, partial %v, %d warnings", len(c.SkippedObjects), m.Partial, b.Status.WarningCount)
	}
	for _, warning := range b.Status.Warnings {
		if len(warning.Resource)+len(warning.Message) > 1000 {
			t.Errorf("a warning has %d bytes: the status must fit into an object", len(warning.Resource)+len(warning.Message))
		}
	}
}

func TestWhatIsNoObjectIsAGapAndTheOthersAreCaptured(t *testing.T) {
	w := newShop(t)
	w.listsMaps(coffer.Page{Items: []json.RawMessage{
		mapNamed("a", uidA, ""), json.RawMessage(`{"metadata":{"name":"b"},"data":tru}`), json.RawMessage(`7`), json.RawMessage(`null`), json.RawMessage(`{}`),
		mapNamed("c", uidC, `,"labels":{"app":7}`), mapNamed("d", uidD, ""),
	}})
	mustBackUp(t, w)
	if got := mapsOf(t, w); !slices.Equal(got, []string{"ConfigMap shop/a", "ConfigMap shop/d"}) {
		t.Errorf("captured %v", got)
	}
	if c, m := coverageOf(t, w); len(c.Gaps) != 1 || !m.Partial {
		t.Errorf("gaps %v, partial %v", c.Gaps, m.Partial)
	}
}

// namespacesListed runs a backup of n namespaces, in a cluster whose other namespaces hold so many ConfigMaps after the first
// page, and answers where ConfigMaps were listed.
func namespacesListed(t *testing.T, n int, remaining int64) []string {
	t.Helper()
	w := newShop(t)
	var included []string
	for i := range n {
		included = append(included, fmt.Sprintf("team-%d", i))
		w.add("namespaces", "", included[i], nil)
		w.add("configmaps", included[i], "c", nil)
	}
	var listed []string
	w.list = func(r coffer.ResourceType, namespace string, each func(coffer.Page) error) (bool, error) {
		if r.Resource != "configmaps" {
			return false, nil
		}
		w.mu.Lock()
		listed = append(listed, namespace)
		w.mu.Unlock()
		if namespace != "" || remaining == 0 {
			return false, nil
		}
		return true, each(coffer.Page{Remaining: remaining})
	}
	mustBackUp(t, w, func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.BackupHookReferences = included, nil })
	if got := len(mapsOf(t, w)); got != n && remaining == 0 {
		t.Errorf("%d ConfigMaps were captured, want %d", got, n)
	}
	return listed
}

func TestNamespacesAreListedOneByOneWhereThatIsCheaper(t *testing.T) {
	for _, tt := range []struct {
		name      string
		n         int
		remaining int64
		want      int
	}{
		{"few", 5, 1_000_000, 5},
		{"some, and little in others", 20, 500, 1},
		{"some, and much in others", 20, 50_000, 21},
		{"as many as may be", 800, 1_000_000, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if listed := namespacesListed(t, tt.n, tt.remaining); len(listed) != tt.want {
				t.Errorf("%d lists, want %d", len(listed), tt.want)
			}
		})
	}
}

func TestATypeThatMayBeListedInSomeNamespacesOnly(t *testing.T) {
	w := newShop(t)
	allowed := map[string]bool{"shop": true, "bank": true}
	for _, n := range []string{"bank", "closed", "school"} {
		w.add("namespaces", "", n, nil)
		w.add("configmaps", n, "c", nil)
	}
	lists := 0
	w.list = func(r coffer.ResourceType, namespace string, _ func(coffer.Page) error) (bool, error) {
		if r.Resource != "configmaps" {
			return false, nil
		}
		if lists++; allowed[namespace] {
			return false, nil
		}
		return true, coffer.Errorf(coffer.CodeForbidden, "not in %q", namespace)
	}
	everywhere := func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces, s.BackupHookReferences = nil, nil }
	mustBackUp(t, w, everywhere)
	if got := mapsOf(t, w); !slices.Equal(got, []string{"ConfigMap bank/c", "ConfigMap shop/settings"}) {
		t.Errorf("captured %v", got)
	}
	c, m := coverageOf(t, w)
	if len(c.Gaps) != 1 || !strings.Contains(c.Gaps[0].Reason, `"closed", "school"`) && !strings.Contains(c.Gaps[0].Reason, "closed, school") || !m.Partial {
		t.Errorf("gaps %v, partial %v", c.Gaps, m.Partial)
	}
	// One that is allowed nowhere is not tried in 800 namespaces.
	w = newShop(t)
	for i := range 800 {
		w.add("namespaces", "", fmt.Sprintf("team-%d", i), nil)
	}
	lists = 0
	w.list = func(r coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
		if r.Resource != "configmaps" {
			return false, nil
		}
		lists++
		return true, coffer.Errorf(coffer.CodeForbidden, "nowhere")
	}
	mustBackUp(t, w, everywhere)
	if c, _ := coverageOf(t, w); len(c.Gaps) != 1 || lists > maxRefusals+1 {
		t.Errorf("%d lists, gaps %v", lists, c.Gaps)
	}
}

func TestNamespacesThatMayNotBeListedAreLookedUp(t *testing.T) {
	w := newShop(t)
	w.list = func(r coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
		return r.Resource == "namespaces", coffer.Errorf(coffer.CodeForbidden, "list namespaces: you may not")
	}
	b := mustBackUp(t, w)
	if !b.Status.Phase.Succeeded() || len(mapsOf(t, w)) != 1 {
		t.Errorf("phase %s: %s", b.Status.Phase, b.Status.Message)
	}
}

func TestANamespaceThatGoesAwayMeanwhileIsToldOf(t *testing.T) {
	w := newShop(t)
	w.add("namespaces", "", "short-lived", nil)
	w.failExec = func(coffer.Exec) (coffer.ExecResult, error) {
		w.removeNamespace("short-lived")
		return coffer.ExecResult{}, nil
	}
	b := mustBackUp(t, w, func(s *v1alpha1.BackupSpec) { s.IncludedNamespaces = []string{"shop", "short-lived"} })
	c, m := coverageOf(t, w)
	if len(c.SkippedObjects) != 1 || c.SkippedObjects[0].Name != "short-lived" || !m.Partial || b.Status.WarningCount != 1 {
		t.Errorf("skipped %v, partial %v, warnings %v", c.SkippedObjects, m.Partial, b.Status.Warnings)
	}
}

func TestATypeThatComesMeanwhileIsRecorded(t *testing.T) {
	for name, c := range map[string]struct {
		included, excluded []string
		recorded           bool
	}{
		"no filter":                  {nil, nil, true},
		"a pattern of all":           {[]string{"*"}, nil, true},
		"a pattern that matches it":  {[]string{"configmaps", "*.acme.io"}, nil, true},
		"others are wanted":          {[]string{"configmaps"}, nil, false},
		"a pattern that excludes it": {nil, []string{"acme.io/*"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShop(t)
			rocket := coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "acme.io", Resource: "rockets"}, Version: "v1", Kind: "Rocket", Namespaced: true}
			w.list = func(r coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if r.Resource == "configmaps" {
					w.extra = []coffer.ResourceType{rocket}
				}
				return false, nil
			}
			mustBackUp(t, w, func(s *v1alpha1.BackupSpec) {
				s.IncludedResourceTypes, s.ExcludedResourceTypes = c.included, c.excluded
			})
			ledger, m := coverageOf(t, w)
			const came = "the cluster got the type while the backup was running"
			recorded := slices.Contains(ledger.SkippedTypes, coffer.TypeGap{What: "rockets.acme.io", Reason: came})
			if recorded != c.recorded || m.Partial {
				t.Errorf("skipped types %v, partial %v", ledger.SkippedTypes, m.Partial)
			}
		})
	}
}

func TestProgressSaysWhatIsLeft(t *testing.T) {
	to := newCollection()
	pods, maps := coffer.GroupResource{Resource: "pods"}, coffer.GroupResource{Resource: "configmaps"}
	var p v1alpha1.BackupProgress
	to.report(&p, 0, 0)
	if p.ObjectsExpected != 0 || p.TimeLeft != nil {
		t.Errorf("at the beginning: %+v", p)
	}
	to.progress(pods, 100, 900)
	to.progress(maps, 100, 3000)
	to.captured(podType, make([]coffer.ObjectRef, 50))
	to.report(&p, 7, 1e9)
	if p.Objects != 50 || p.Bytes != 7 || p.ObjectsListed != 200 || p.ObjectsExpected != 4100 || p.ObjectsPerSecond != 200 || p.TimeLeft.Duration != 20e9 {
		t.Errorf("after the first pages: %+v, left %v", p, p.TimeLeft)
	}
	to.progress(pods, 900, 0)
	to.progress(maps, 3000, 0)
	to.report(&p, 7, 4e9)
	if p.ObjectsListed != 4100 || p.ObjectsExpected != 4100 || p.ObjectsPerSecond != 1025 || p.TimeLeft != nil {
		t.Errorf("at the end: %+v", p)
	}
}

func TestWhatASecondAttemptHasIsNotSaidToBeMissing(t *testing.T) {
	w := newShop(t)
	w.list = func(r coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
		switch r.Resource {
		case "configmaps":
			return true, coffer.Errorf(coffer.CodeForbidden, "not yet")
		case "statefulsets":
			return true, errors.New("the API server is away")
		}
		return false, nil
	}
	k := keep(t, w, newBackupObject(func(s *v1alpha1.BackupSpec) { s.ExcludedNamespaces = []string{"no-such"} }))
	do := func(b *v1alpha1.Backup, persist func(context.Context) error) error {
		return Backup(t.Context(), w.config(), b, persist)
	}
	if b, err := k.run(do); err == nil || b.Status.WarningCount != 2 {
		t.Fatalf("the first attempt = %v with %v", err, b.Status.Warnings)
	}
	w.list = nil
	b, err := k.run(do)
	if err != nil || b.Status.WarningCount != 1 || len(b.Status.Warnings) != 1 || b.Status.Warnings[0].Code != string(coffer.CodeNothingMatches) {
		t.Errorf("the second = %v, and warns of %d: %v", err, b.Status.WarningCount, b.Status.Warnings)
	}
}

func TestASealedRecoveryPointIsNotThrownAwayBecauseTheStoreHiccups(t *testing.T) {
	w := newShop(t)
	k := keep(t, w, newBackupObject())
	b := backUp(t, w, k)
	layout := recoverypoint.LayoutOf("one")
	before, err := w.container.Stat(t.Context(), layout.Archive())
	if err != nil {
		t.Fatal(err)
	}
	// The process died between the seal and the status.
	digest := b.Status.ManifestDigest
	b.Status.Phase, b.Status.Step, b.Status.ManifestDigest, b.Status.CompletionTime = v1alpha1.RunInProgress, StepCapturingObjects, "", nil
	k.write(b)
	w.hiccup = layout.Manifest()
	do := func(b *v1alpha1.Backup, persist func(context.Context) error) error {
		return Backup(t.Context(), w.config(), b, persist)
	}
	if _, err := k.run(do); err == nil || coffer.Final(err) {
		t.Errorf("while the manifest cannot be read: %v", err)
	}
	if after, err := w.container.Stat(t.Context(), layout.Archive()); err != nil || after != before {
		t.Errorf("the archive is now %+v, %v; was %+v", after, err, before)
	}
	if b, err := k.run(do); err != nil || b.Status.ManifestDigest != digest {
		t.Errorf("then: %v, manifest %s, want %s", err, b.Status.ManifestDigest, digest)
	}
}

func TestACaptureThatFailedHasNoTimeLeft(t *testing.T) {
	w := newShop(t)
	w.list = func(r coffer.ResourceType, _ string, each func(coffer.Page) error) (bool, error) {
		if r.Resource != "configmaps" {
			return false, nil
		}
		if err := each(coffer.Page{Items: []json.RawMessage{mapNamed("a", uidA, "")}, Remaining: 1_000_000}); err != nil {
			return true, err
		}
		return true, coffer.Errorf(coffer.CodeLocationNotReady, "the store has had enough")
	}
	b := mustBackUp(t, w)
	if b.Status.Phase != v1alpha1.RunFailed || b.Status.Progress.ObjectsListed == 0 || b.Status.Progress.TimeLeft != nil {
		t.Errorf("phase %s, %+v", b.Status.Phase, b.Status.Progress)
	}
}

func TestPodsAreFrozenOnlyWhileTheirVolumesAreCut(t *testing.T) {
	w := newShop(t)
	captured := false
	w.list = func(r coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		// ConfigMaps are listed for nothing but the archive.
		if r.Resource == "configmaps" {
			captured = true
			if len(w.frozen) > 0 || len(w.snapshots) != 1 {
				t.Errorf("while objects are listed, %d pods are frozen and %d volumes cut", len(w.frozen), len(w.snapshots))
			}
		}
		return false, nil
	}
	b := mustBackUp(t, w)
	if !captured || b.Status.Phase != v1alpha1.RunCompleted {
		t.Errorf("phase %s, captured %v", b.Status.Phase, captured)
	}
	for handle, frozen := range w.cutFrozen {
		if !frozen {
			t.Errorf("%s was cut of a pod that was not frozen", handle)
		}
	}
	if len(w.cutFrozen) != 1 || len(w.execs) != 2 {
		t.Errorf("%d volumes were cut; hooks ran: %v", len(w.cutFrozen), w.execs)
	}
}

// refuses lets the lists of some types fail.
func (w *world) refuses(err error, resources ...string) {
	w.list = func(r coffer.ResourceType, _ string, _ func(coffer.Page) error) (bool, error) {
		return slices.Contains(resources, r.Resource), err
	}
}

func TestVolumesThatCannotBeReadAreWarnedOfAndTheRestIsBackedUp(t *testing.T) {
	forbidden := coffer.Errorf(coffer.CodeForbidden, "list: no")
	silent := coffer.Errorf(coffer.CodeUnanswered, "list: no answer")
	silent.Transient = true
	for name, tt := range map[string]struct {
		err       error
		resource  string
		hasObject string
	}{
		"claims that may not be read":  {forbidden, "persistentvolumeclaims", "ConfigMap shop/settings"},
		"claims that do not come":      {silent, "persistentvolumeclaims", "ConfigMap shop/settings"},
		"volumes that may not be read": {forbidden, "persistentvolumes", "PersistentVolumeClaim shop/data"},
		"volumes that do not come":     {silent, "persistentvolumes", "PersistentVolumeClaim shop/data"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newShop(t)
			w.refuses(tt.err, tt.resource)
			b := backUp(t, w, keep(t, w, newBackupObject()))
			if b.Status.Phase != v1alpha1.RunCompletedWithWarnings {
				t.Fatalf("phase %s: %s", b.Status.Phase, b.Status.Message)
			}
			if !slices.ContainsFunc(b.Status.Warnings, func(warning v1alpha1.Warning) bool {
				return warning.Resource == tt.resource && strings.HasPrefix(warning.Message, "no volume was captured")
			}) {
				t.Errorf("warnings %+v", b.Status.Warnings)
			}
			if all := objectsOf(t, w); !slices.Contains(all, tt.hasObject) {
				t.Errorf("the recovery point has %v", all)
			}
			if _, m := coverageOf(t, w); !m.Partial {
				t.Error("the recovery point is not said to be partial")
			}
		})
	}
}

// Hooks promise that the application was quiet: without them there is no such recovery point.
func TestHooksWhosePodsCannotBeReadEndTheBackup(t *testing.T) {
	w := newShop(t)
	silent := coffer.Errorf(coffer.CodeUnanswered, "list: no answer")
	silent.Transient = true
	w.refuses(silent, "pods")
	b := backUp(t, w, keep(t, w, newBackupObject()))
	if b.Status.Phase != v1alpha1.RunFailed || b.Status.Reason != string(coffer.CodeHookFailed) {
		t.Errorf("phase %s, reason %s: %s", b.Status.Phase, b.Status.Reason, b.Status.Message)
	}
	mustBeEmpty(t, w)
}
