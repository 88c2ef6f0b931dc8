package conflict

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
)

func TestDecide(t *testing.T) {
	const (
		skip    = plan.SkipExisting
		patch   = plan.PatchExisting
		replace = plan.ReplaceExisting
		fail    = plan.FailIfExists
	)
	type want struct {
		action  Action
		patch   string
		differs []string
		kept    []string
	}
	for name, c := range map[string]struct {
		resource      string
		policy        plan.Policy
		live, desired string
		want          want
	}{
		"Skip tells what differs": {
			"configmaps", skip, `{"data":{"a":"1","b":"2"}}`, `{"data":{"a":"2","b":"2","c":"3"}}`,
			want{action: Leave, differs: []string{"data.a", "data.c"}},
		},
		"no policy is Skip": {"configmaps", "", `{"data":{"a":"1"}}`, `{}`, want{action: Leave, differs: []string{"data"}}},
		"Patch goes from the live object to the restored one": {
			"configmaps", patch, `{"data":{"a":"1","gone":"x"}}`, `{"data":{"a":"2"}}`,
			want{action: Patch, patch: `{"data":{"a":"2","gone":null}}`, differs: []string{"data.a", "data.gone"}},
		},
		"status and metadata of the server are no difference": {
			"pods", patch,
			`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","uid":"1","resourceVersion":"7","generation":3,"creationTimestamp":"then","selfLink":"/x",
			  "managedFields":[{}],"ownerReferences":[{"uid":"o"}],"finalizers":["keep"]},"status":{"phase":"Running"}}`,
			`{"metadata":{"name":"x"},"status":{"phase":"Pending"}}`,
			want{action: Leave},
		},
		"null is nothing": {
			"deployments.apps", patch, `{"spec":{"template":{"metadata":{"creationTimestamp":null},"l":[{"a":null}]}}}`, `{"spec":{"template":{"metadata":{},"l":[{}]}}}`,
			want{action: Leave},
		},
		"large numbers are themselves": {
			"things.example.com", patch, `{"spec":{"n":9007199254740993}}`, `{"spec":{"n":9007199254740992}}`,
			want{action: Patch, patch: `{"spec":{"n":9007199254740992}}`, differs: []string{"spec.n"}},
		},
		"a key with dots is told from a path": {
			"configmaps", patch, `{}`, `{"metadata":{"labels":{"app.kubernetes.io/name":"x"}}}`,
			want{action: Patch, patch: `{"metadata":{"labels":{"app.kubernetes.io/name":"x"}}}`, differs: []string{"metadata.labels[app.kubernetes.io/name]"}},
		},
		"what cannot be changed is left out, and the rest applied": {
			"deployments.apps", patch,
			`{"spec":{"replicas":1,"selector":{"matchLabels":{"a":"b"}}}}`, `{"spec":{"replicas":2,"selector":{"matchLabels":{"a":"c"}}}}`,
			want{action: Patch, patch: `{"spec":{"replicas":2}}`, differs: []string{"spec.replicas", "spec.selector.matchLabels.a"}, kept: []string{"spec.selector"}},
		},
		"nothing is left to change": {
			"rolebindings.rbac.authorization.k8s.io", patch, `{"roleRef":{"name":"a"}}`, `{"roleRef":{"name":"b"}}`,
			want{action: Leave, differs: []string{"roleRef.name"}, kept: []string{"roleRef"}},
		},
		"an immutable Secret keeps its data": {
			"secrets", patch, `{"immutable":true,"data":{"a":"x"}}`, `{"data":{"a":"y"},"metadata":{"labels":{"l":"1"}}}`,
			want{action: Patch, patch: `{"metadata":{"labels":{"l":"1"}}}`, differs: []string{"data.a", "immutable", "metadata.labels.l"}, kept: []string{"data", "immutable"}},
		},
		"a mutable Secret does not": {
			"secrets", patch, `{"data":{"a":"x"}}`, `{"data":{"a":"y"}}`,
			want{action: Patch, patch: `{"data":{"a":"y"}}`, differs: []string{"data.a"}},
		},
		"a claim's spec is never patched": {
			"persistentvolumeclaims", patch, `{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}`, `{"spec":{"resources":{"requests":{"storage":"1Gi"}}}}`,
			want{action: Leave, differs: []string{"spec.resources.requests.storage"}, kept: []string{"spec"}},
		},
		"Replace": {
			"configmaps", replace, `{"data":{"a":"1"}}`, `{"data":{"a":"2"}}`, want{action: Replace, differs: []string{"data.a"}},
		},
		"Replace leaves what is equal": {"configmaps", replace, `{"data":{"a":"1"}}`, `{"data":{"a":"1"}}`, want{action: Leave}},
		"Fail":                         {"configmaps", fail, `{"data":{"a":"1"}}`, `{"data":{"a":"1"}}`, want{action: Fail}},
		"an account keeps what it has and gets what it lacks": {
			"serviceaccounts", skip,
			`{"metadata":{"labels":{"a":"live"}},"secrets":[{"name":"token"}],"automountServiceAccountToken":false}`,
			`{"metadata":{"labels":{"a":"old","b":"old"},"annotations":{"n":"1"}},"secrets":[{"name":"token"},{"name":"more"}],"imagePullSecrets":[{"name":"pull"}],"automountServiceAccountToken":true}`,
			want{
				action:  Patch,
				patch:   `{"imagePullSecrets":[{"name":"pull"}],"metadata":{"annotations":{"n":"1"},"labels":{"b":"old"}},"secrets":[{"name":"token"},{"name":"more"}]}`,
				differs: []string{"metadata.labels.b", "metadata.annotations.n", "secrets", "imagePullSecrets"},
			},
		},
		"an account that lacks nothing": {"serviceaccounts", replace, `{"secrets":[{"name":"a"},{"name":"b"}]}`, `{"secrets":[{"name":"b"}]}`, want{action: Leave}},
		"an account is not merged under Fail": {
			"serviceaccounts", fail, `{}`, `{}`, want{action: Fail},
		},
		"rules that a controller gathers are its own": {
			"clusterroles.rbac.authorization.k8s.io", patch, `{"aggregationRule":{},"rules":[1]}`, `{"aggregationRule":{},"rules":[2]}`, want{action: Leave},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Decide(Case{
				Type: coffer.ParseGroupResource(c.resource), Policy: c.policy,
				Live: []byte(c.live), Normal: []byte(c.live), Desired: []byte(c.desired),
			})
			if err != nil {
				t.Fatal(err)
			}
			got := want{d.Action, string(d.Patch), d.Differs, nil}
			for _, f := range d.Kept {
				got.kept = append(got.kept, f.Path)
				if f.Reason == "" {
					t.Errorf("%s has no reason", f.Path)
				}
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Error(diff)
			}
			if d.Reason == "" {
				t.Error("no reason")
			}
		})
	}
}

func TestWhatTheTransformationTakesAwayIsNoDifference(t *testing.T) {
	d, err := Decide(Case{
		Type: coffer.GroupResource{Resource: "services"}, Policy: plan.PatchExisting,
		Live:    []byte(`{"spec":{"clusterIP":"10.0.0.1","type":"ClusterIP"}}`),
		Normal:  []byte(`{"spec":{"type":"ClusterIP"}}`),
		Desired: []byte(`{"spec":{"type":"ClusterIP"}}`),
	})
	if err != nil || !d.Equal() {
		t.Errorf("%v, %+v", err, d)
	}
}

func TestOnlySomeOfManyDifferencesAreNamed(t *testing.T) {
	data := map[string]any{}
	for i := range 25 {
		data[fmt.Sprint("k", i)] = "v"
	}
	desired, _ := json.Marshal(map[string]any{"data": data})
	d, err := Decide(Case{Policy: plan.SkipExisting, Normal: []byte(`{"data":{}}`), Desired: desired})
	if err != nil || len(d.Differs) != differsShown || d.More != 25-differsShown {
		t.Errorf("%v, %+v", err, d)
	}
}

func TestRefusedFieldsAreLeftOut(t *testing.T) {
	for name, c := range map[string]struct {
		refused []string
		want    string
	}{
		"a field":                            {[]string{"spec.b"}, `{"metadata":{"labels":{"a.b/c":"1"}},"spec":{"a":1,"l":[1]}}`},
		"what is within a list":              {[]string{"spec.l[0].x"}, `{"metadata":{"labels":{"a.b/c":"1"}},"spec":{"a":1,"b":{"c":2}}}`},
		"all below":                          {[]string{"spec"}, `{"metadata":{"labels":{"a.b/c":"1"}}}`},
		"one within what is patched":         {[]string{"spec.b.c.d"}, `{"metadata":{"labels":{"a.b/c":"1"}},"spec":{"a":1,"l":[1]}}`},
		"a key with dots":                    {[]string{"metadata.labels[a.b/c]", "spec.a"}, `{"spec":{"b":{"c":2},"l":[1]}}`},
		"everything":                         {[]string{"spec", "metadata"}, ``},
		"nothing that the patch has":         {[]string{"other"}, ``},
		"a part of the patch that is not it": {[]string{"spec.zzz"}, `{"metadata":{"labels":{"a.b/c":"1"}}}`},
		"no field at all":                    {[]string{""}, ``},
		"garbage":                            {[]string{"[", "]..[", ".", "..", "a[b"}, ``},
	} {
		t.Run(name, func(t *testing.T) {
			d := Decision{Action: Patch, Reason: "r", Patch: []byte(`{"metadata":{"labels":{"a.b/c":"1"}},"spec":{"a":1,"b":{"c":2},"l":[1]}}`)}
			var fields []Field
			for _, path := range c.refused {
				fields = append(fields, Field{path, "no"})
			}
			got, err := d.Without(fields)
			if err != nil {
				t.Fatal(err)
			}
			if string(got.Patch) != c.want || (got.Action == Leave) != (c.want == "") {
				t.Errorf("%s %s, want %s", got.Action, got.Patch, c.want)
			}
			if len(got.Kept) != len(fields) {
				t.Errorf("kept %v", got.Kept)
			}
		})
	}
}

func TestPathsAreReadAsTheyAreWritten(t *testing.T) {
	for _, path := range [][]string{{"a"}, {"a", "b"}, {"metadata", "labels", "a.b/c"}, {"data", "x.y", "z"}} {
		if got := parsePath(formatPath(path)); !slices.Equal(got, path) {
			t.Errorf("%q is written %s and read %q", path, formatPath(path), got)
		}
	}
}

// random is a value such as objects have.
func random(r *rand.Rand, depth int) any {
	switch n := r.IntN(9); {
	case depth > 0 && n < 4:
		return randomObject(r, depth-1)
	case depth > 0 && n == 4:
		list := make([]any, r.IntN(3))
		for i := range list {
			list[i] = random(r, depth-1)
		}
		return list
	case n == 5:
		return nil
	case n == 6:
		return r.IntN(2) == 0
	case n == 7:
		return json.Number(fmt.Sprint(9007199254740990 + r.Int64N(5)))
	}
	return strings.Repeat("x", r.IntN(3))
}

func randomObject(r *rand.Rand, depth int) map[string]any {
	o := map[string]any{}
	for range r.IntN(5) {
		o[string(rune('a'+r.IntN(5)))] = random(r, depth)
	}
	return o
}

func randomText(r *rand.Rand) []byte {
	o := map[string]any{
		"metadata": map[string]any{"uid": fmt.Sprint(r.Int()), "labels": randomObject(r, 0), "annotations": randomObject(r, 0)},
		"spec":     random(r, 4), "data": randomObject(r, 1), "status": random(r, 2),
	}
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return text
}

func TestThePatchMakesTheLiveObjectTheRestoredOne(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same objects every time
	leaves := 0
	for range 20000 {
		live, desired := randomText(r), randomText(r)
		if r.IntN(10) == 0 {
			desired = live
		}
		c := Case{Policy: plan.PatchExisting, Live: live, Normal: live, Desired: desired}
		d, err := Decide(c)
		if err != nil {
			t.Fatal(err)
		}
		if d.Action == Leave {
			leaves++
			continue
		}
		patched, err := jsonpatch.MergePatch(live, d.Patch)
		if err != nil {
			t.Fatalf("%s onto %s: %v", d.Patch, live, err)
		}
		c.Live, c.Normal = patched, patched
		again, err := Decide(c)
		if err != nil || again.Action != Leave || !again.Equal() {
			t.Fatalf("%v: %s\npatched by %s\nis        %s\nand not   %s: %v", err, live, d.Patch, patched, desired, again.Differs)
		}
	}
	if leaves < 1000 || leaves > 10000 {
		t.Errorf("%d objects were left: the generator is no good", leaves)
	}
}

func TestAnObjectIsAsItself(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same objects every time
	for range 2000 {
		text := randomText(r)
		for _, resource := range []string{"configmaps", "serviceaccounts", "services", "statefulsets.apps"} {
			for _, policy := range []plan.Policy{plan.SkipExisting, plan.PatchExisting, plan.ReplaceExisting} {
				d, err := Decide(Case{Type: coffer.ParseGroupResource(resource), Policy: policy, Live: text, Normal: text, Desired: text})
				if err != nil || d.Action != Leave || len(d.Differs)+len(d.Kept) > 0 {
					t.Fatalf("%s %s: %v, %+v", resource, text, err, d)
				}
			}
		}
	}
}

// FuzzDecide shows hostile objects to the decision: whatever it is, it is made, or refused by an error.
func FuzzDecide(f *testing.F) {
	f.Add([]byte(`{"metadata":{"labels":[]},"spec":{"a":null}}`), []byte(`{"metadata":7,"spec":[]}`))
	f.Add([]byte(`{"secrets":[1,{"name":{}}]}`), []byte(`{"secrets":[{"name":{}},null],"metadata":{"labels":{"a":{}}}}`))
	f.Fuzz(func(t *testing.T, live, desired []byte) {
		for t1 := range immutable {
			d, err := Decide(Case{Type: t1, Policy: plan.PatchExisting, Live: live, Normal: live, Desired: desired})
			if err == nil && d.Action == Patch && !json.Valid(d.Patch) {
				t.Errorf("patch %q", d.Patch)
			}
		}
		_, _ = Decide(Case{Type: accounts, Live: live, Normal: live, Desired: desired})
	})
}
