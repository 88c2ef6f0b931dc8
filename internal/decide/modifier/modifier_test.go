package modifier

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func mustParse(t *testing.T, text string) *Modifiers {
	t.Helper()
	m, err := Parse("ns/cm", map[string]string{"rules.yaml": text}, scheme.Scheme.New)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// object is the JSON of an object written as YAML, and the names that it has.
func object(t *testing.T, resource, text string) (coffer.ObjectRef, []byte) {
	t.Helper()
	body, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var h coffer.Header
	if err := json.Unmarshal(body, &h); err != nil {
		t.Fatal(err)
	}
	return coffer.ObjectRef{GroupResource: coffer.ParseGroupResource(resource), Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}, body
}

// mustBecome applies rules to an object, and compares the result and the effects.
func mustBecome(t *testing.T, rules, resource, in, want string, effects ...Effect) {
	t.Helper()
	ref, body := object(t, resource, in)
	got, outcomes := mustParse(t, rules).Apply(ref, body)
	var is []Effect
	for _, o := range outcomes {
		is = append(is, o.Effect)
		if (o.Effect == Applied) != (o.Reason == "") {
			t.Errorf("%s %s for %q", o.Rule, o.Effect, o.Reason)
		}
	}
	if diff := cmp.Diff(effects, is); diff != "" {
		t.Errorf("effects (-want +got):\n%s%+v", diff, outcomes)
	}
	var gotValue, wantValue any
	if err := json.Unmarshal(got, &gotValue); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(want), &wantValue); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(wantValue, gotValue); diff != "" {
		t.Errorf("object (-want +got):\n%s", diff)
	}
}

const pvc = `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: mysql-data, namespace: foo, labels: {foo: bar, test: x}}, spec: {storageClassName: standard}}`

func TestWhichObjectsARuleIsAbout(t *testing.T) {
	for _, tt := range []struct {
		name, conditions string
		concerns         bool
	}{
		{"the type", `groupResource: persistentvolumeclaims`, true},
		{"another type", `groupResource: pods`, false},
		{"the kind instead of the type", `groupResource: PersistentVolumeClaim`, false},
		{"a type of a group", `groupResource: persistentvolumeclaims.storage.k8s.io`, false},
		{"every type of the core group", `groupResource: "*"`, true},
		{"a type of any group", `groupResource: "*.*"`, false},
		{"every type", `groupResource: "**"`, true},
		{"alternatives", `groupResource: "{pods,persistentvolume*}"`, true},
		{"its namespace", `{groupResource: "*", namespaces: [bar, foo]}`, true},
		{"another namespace", `{groupResource: "*", namespaces: [bar]}`, false},
		{"a pattern of its namespace", `{groupResource: "*", namespaces: ["f*"]}`, true},
		{"any namespace", `{groupResource: "*", namespaces: ["*"]}`, true},
		{"no namespace", `{groupResource: "*", namespaces: []}`, true},
		{"a part of its name", `{groupResource: "*", resourceNameRegex: sql}`, true},
		{"its name", `{groupResource: "*", resourceNameRegex: "^mysql.*$"}`, true},
		{"another name", `{groupResource: "*", resourceNameRegex: "^sql"}`, false},
		{"no expression", `{groupResource: "*", resourceNameRegex: ""}`, true},
		{"its labels", `{groupResource: "*", labelSelector: {matchLabels: {foo: bar}}}`, true},
		{"other labels", `{groupResource: "*", labelSelector: {matchLabels: {foo: baz}}}`, false},
		{"an expression over labels", `{groupResource: "*", labelSelector: {matchExpressions: [{key: foo, operator: Exists}]}}`, true},
		{"a field", `{groupResource: "*", matches: [{path: /spec/storageClassName, value: standard}]}`, true},
		{"two fields", `{groupResource: "*", matches: [{path: /spec/storageClassName, value: standard}, {path: /metadata/name, value: other}]}`, false},
		{"a field that it does not have", `{groupResource: "*", matches: [{path: /spec/a/b/c, value: x}]}`, false},
		{"an element that it does not have", `{groupResource: "*", matches: [{path: /spec/accessModes/4, value: x}]}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rules := "version: v1\nresourceModifierRules:\n- {conditions: " + strings.Trim(wrap(tt.conditions), "\n") + `, mergePatches: [{patchData: '{"x": 1}'}]}`
			ref, body := object(t, "persistentvolumeclaims", pvc)
			_, outcomes := mustParse(t, rules).Apply(ref, body)
			if concerns := len(outcomes) == 1; concerns != tt.concerns {
				t.Errorf("outcomes %+v", outcomes)
			}
		})
	}
}

func wrap(conditions string) string {
	if strings.HasPrefix(conditions, "{") {
		return conditions
	}
	return "{" + conditions + "}"
}

func TestNamespacesOfARuleDoNotTouchWhatIsInNone(t *testing.T) {
	mustBecome(t, `{version: v1, resourceModifierRules: [{conditions: {groupResource: "*.storage.k8s.io", namespaces: [foo]}, mergePatches: [{patchData: "provisioner: b"}]}]}`,
		"storageclasses.storage.k8s.io", `{kind: StorageClass, metadata: {name: a}, provisioner: a}`, `{kind: StorageClass, metadata: {name: a}, provisioner: b}`, Applied)
	ref, _ := object(t, "storageclasses.storage.k8s.io", `{metadata: {name: a}}`)
	if m := mustParse(t, `{version: v1, resourceModifierRules: [{conditions: {groupResource: pods}, mergePatches: [{patchData: "a: b"}]}]}`); m.Concern(ref) {
		t.Error("a rule about pods concerns a storage class")
	}
}

func TestRulesFollowEachOther(t *testing.T) {
	rule := func(from, to string) string {
		return `{conditions: {groupResource: persistentvolumeclaims, matches: [{path: /spec/storageClassName, value: ` + from + `}]}, patches: [{operation: replace, path: /spec/storageClassName, value: ` + to + `}]}`
	}
	class := func(name string) string { return strings.Replace(pvc, "standard", name, 1) }
	for _, tt := range []struct {
		name, rules, want string
		effects           []Effect
	}{
		{"each looks at the object as it was", rule("standard", "premium") + "," + rule("premium", "gold"), class("premium"), []Effect{Applied}},
		{"the last one wins", rule("standard", "premium") + "," + rule("standard", "gold"), class("gold"), []Effect{Applied, Applied}},
		{
			"one that fails changes nothing, and the next one goes on",
			`{conditions: {groupResource: "*"}, patches: [{operation: replace, path: /spec/storageClassName, value: x}, {operation: remove, path: /metadata/labels/none}]},` + rule("standard", "gold"),
			class("gold"), []Effect{Failed, Applied},
		},
		{
			"a test looks at what the rules before made",
			rule("standard", "premium") + `,{conditions: {groupResource: "*"}, patches: [{operation: test, path: /spec/storageClassName, value: premium}, {operation: replace, path: /spec/storageClassName, value: gold}]}`,
			class("gold"), []Effect{Applied, Applied},
		},
		{
			"a test that is not met keeps the whole rule from doing anything",
			`{conditions: {groupResource: "*"}, patches: [{operation: remove, path: /metadata/labels/test}, {operation: test, path: /spec/storageClassName, value: premium}]}`,
			pvc, []Effect{Guarded},
		},
		{
			"a test of a field that is not there is not met",
			`{conditions: {groupResource: "*"}, patches: [{operation: test, path: /spec/some/where, value: premium}]}`,
			pvc, []Effect{Guarded},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mustBecome(t, "{version: v1, resourceModifierRules: ["+tt.rules+"]}", "persistentvolumeclaims", pvc, tt.want, tt.effects...)
		})
	}
}

func TestOutcomesNameTheRuleAndTheOperation(t *testing.T) {
	ref, body := object(t, "persistentvolumeclaims", pvc)
	for _, tt := range []struct{ patch, want string }{
		{`patches: [{operation: add, path: /spec/x, value: y}, {operation: remove, path: /spec/none}, {operation: remove, path: /spec/other}]`, "patches[1] (remove /spec/none): the object has no such field"},
		{`patches: [{operation: add, path: /spec/l, value: "[1]"}, {operation: replace, path: /spec/l/7, value: "1"}]`, "patches[1] (replace /spec/l/7): the object has no such field"},
		{`patches: [{operation: add, path: /spec/l, value: "[1]"}, {operation: add, path: /spec/l/700000000, value: "1"}]`, "patches[1] (add /spec/l/700000000): the list has no such element"},
		{`patches: [{operation: test, path: /spec/storageClassName, value: other}]`, "patches[0] (test /spec/storageClassName): the test is not met"},
		{`strategicPatches: [{patchData: "a: b"}, {patchData: "$patch: bogus"}]`, "strategicPatches[1]: "},
		{`patches: [{operation: replace, path: /metadata/name, value: other}]`, "it changes metadata.name, which no rule may"},
		{`patches: [{operation: add, path: /metadata/namespace, value: other}]`, "use namespaceMappings"},
		{`patches: [{operation: replace, path: /kind, value: Pod}]`, "it changes kind"},
		{`patches: [{operation: remove, path: /apiVersion}]`, "it changes apiVersion"},
		{`patches: [{operation: remove, path: /metadata}]`, "it leaves no Kubernetes object"},
		{`patches: [{operation: replace, path: /metadata, value: "7"}]`, "it leaves no Kubernetes object"},
		{`patches: [{operation: add, path: /metadata/ownerReferences, value: "[]"}]`, "it changes metadata.ownerReferences"},
		{`mergePatches: [{patchData: "metadata: {uid: x}"}]`, "it changes metadata.uid"},
		{`strategicPatches: [{patchData: "$patch: replace"}]`, "it leaves no Kubernetes object"},
	} {
		rules := `{version: v1, resourceModifierRules: [{conditions: {groupResource: nothing}, mergePatches: [{patchData: "a: b"}]}, {conditions: {groupResource: "*"}, ` + tt.patch + `}]}`
		got, outcomes := mustParse(t, rules).Apply(ref, body)
		if len(outcomes) != 1 || outcomes[0].Rule != "resourceModifierRules[1]" || !strings.Contains(outcomes[0].Reason, tt.want) || outcomes[0].Effect == Applied {
			t.Errorf("%s: %+v, want %q", tt.patch, outcomes, tt.want)
		}
		if string(got) != string(body) {
			t.Errorf("%s: the object is changed: %s", tt.patch, got)
		}
	}
}

func TestStrategicPatchesAreForKubernetesOwnTypes(t *testing.T) {
	rules := `{version: v1, resourceModifierRules: [{conditions: {groupResource: "**"}, strategicPatches: [{patchData: "spec: {a: b}"}]}]}`
	ref, body := object(t, "widgets.acme.io", `{apiVersion: acme.io/v1, kind: Widget, metadata: {name: w}, spec: {}}`)
	_, outcomes := mustParse(t, rules).Apply(ref, body)
	if len(outcomes) != 1 || outcomes[0].Effect != Failed || !strings.Contains(outcomes[0].Reason, "use mergePatches") {
		t.Errorf("outcomes %+v", outcomes)
	}
}

func TestRulesThatCannotWorkAreRefused(t *testing.T) {
	with := func(rule string) string { return "{version: v1, resourceModifierRules: [" + rule + "]}" }
	op := func(operation string) string {
		return with(`{conditions: {groupResource: pods}, patches: [{operation: test, path: /a, value: b}, ` + operation + `]}`)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"no version", `{resourceModifierRules: [{conditions: {groupResource: pods}, mergePatches: [{patchData: "a: b"}]}]}`, `version ""`},
		{"another version", `{version: v2, resourceModifierRules: [{}]}`, `version "v2"`},
		{"no rules", `{version: v1}`, "no resourceModifierRules"},
		{"a field that there is not", with(`{conditions: {groupKind: pods}, mergePatches: [{patchData: "a: b"}]}`), "groupKind"},
		{"a field twice", "version: v1\nversion: v1\n", "version"},
		{"no YAML", "a: b: c", "not the YAML"},
		{"no type", with(`{conditions: {}, mergePatches: [{patchData: "a: b"}]}`), "resourceModifierRules[0]: conditions.groupResource is missing"},
		{"no patches", with(`{conditions: {groupResource: pods}}`), "exactly one of"},
		{"two kinds of patches", with(`{conditions: {groupResource: pods}, mergePatches: [{patchData: "a: b"}], patches: [{operation: remove, path: /a}]}`), "exactly one of"},
		{"a broken pattern", with(`{conditions: {groupResource: "[a"}, mergePatches: [{patchData: "a: b"}]}`), "conditions.groupResource"},
		{"a broken pattern of namespaces", with(`{conditions: {groupResource: a, namespaces: [b, "[c"]}, mergePatches: [{patchData: "a: b"}]}`), "conditions.namespaces[1]"},
		{"a broken expression", with(`{conditions: {groupResource: a, resourceNameRegex: "("}, mergePatches: [{patchData: "a: b"}]}`), "conditions.resourceNameRegex"},
		{"a broken selector", with(`{conditions: {groupResource: a, labelSelector: {matchExpressions: [{key: a, operator: Is}]}}, mergePatches: [{patchData: "a: b"}]}`), "conditions.labelSelector"},
		{"a match without a path", with(`{conditions: {groupResource: a, matches: [{value: x}]}, mergePatches: [{patchData: "a: b"}]}`), "conditions.matches[0]: path"},
		{"an unknown operation", op(`{operation: append, path: /a}`), `patches[1]: operation "append"`},
		{"no operation", op(`{path: /a}`), `patches[1]: operation ""`},
		{"no path", op(`{operation: remove}`), "patches[1]: path"},
		{"a path with dots", op(`{operation: remove, path: spec.replicas}`), "patches[1]: path"},
		{"a path to the field of no name", op(`{operation: move, path: /a, from: /b/}`), "patches[1]: from"},
		{"a move from nowhere", op(`{operation: move, path: /a}`), "patches[1]: from"},
		{"a broken object", op(`{operation: add, path: /a, value: "{a: b}"}`), "patches[1]: value"},
		{"a merge patch of nothing", with(`{conditions: {groupResource: a}, mergePatches: [{}]}`), "mergePatches[0].patchData: it is not an object"},
		{"a merge patch that is no object", with(`{conditions: {groupResource: a}, mergePatches: [{patchData: "a: b"}, {patchData: "[]"}]}`), "mergePatches[1].patchData: it is not an object"},
		{"a merge patch that is no YAML", with(`{conditions: {groupResource: a}, mergePatches: [{patchData: "a: b:"}]}`), "mergePatches[0].patchData: it is neither"},
		{"a strategic patch that is no JSON", with(`{conditions: {groupResource: a}, strategicPatches: [{patchData: '{"a"::1}'}]}`), "strategicPatches[0].patchData"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("ns/cm", map[string]string{"a": tt.text}, scheme.Scheme.New)
			if coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "ConfigMap ns/cm") {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	for name, data := range map[string]map[string]string{"no key": {}, "two keys": {"a": "", "b": ""}, "too much": {"a": strings.Repeat("#", MaxText+1)}} {
		if _, err := Parse("ns/cm", data, scheme.Scheme.New); coffer.CodeOf(err) != coffer.CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValuesHaveTheTypeThatTheyLookLike(t *testing.T) {
	for in, want := range map[string]string{
		``: `""`, `text`: `"text"`, `12`: `12`, `1.50`: `1.50`, `-3e2`: `-3e2`, `true`: `true`, `False`: `false`, `null`: `null`,
		`{"a": [1]}`: `{"a": [1]}`, `["a"]`: `["a"]`, `"true"`: `"true"`, `"12"`: `"12"`, `"{a}"`: `"{a}"`, `""`: `""`, `"`: `""`,
		`say "hi" to`: `"say \"hi\" to"`, `a\nb`: `"a\nb"`, `c:\dir`: `"c:\\dir"`, "two\nlines": `"two\nlines"`,
		`Inf`: `"Inf"`, `NaN`: `"NaN"`, `0x10p1`: `"0x10p1"`, `007`: `"007"`, `+5`: `"+5"`, `Null`: `"Null"`, `1Gi`: `"1Gi"`,
	} {
		got, err := typed(in)
		if err != nil || string(got) != want {
			t.Errorf("typed(%s) = %s, %v; want %s", in, got, err, want)
		}
	}
}

func TestNumbersKeepTheirDigits(t *testing.T) {
	ref, _ := object(t, "widgets.acme.io", `{metadata: {name: w}}`)
	body := []byte(`{"metadata":{"name":"w"},"big":9007199254740993,"exact":0.10,"text":"<&>"}`)
	got, _ := mustParse(t, `{version: V1, resourceModifierRules: [{conditions: {groupResource: "**"}, patches: [{operation: add, path: /a, value: "18446744073709551616"}]}, {conditions: {groupResource: "**"}, mergePatches: [{patchData: "b: 1"}]}]}`).Apply(ref, body)
	for _, want := range []string{`9007199254740993`, `0.10`, `18446744073709551616`} {
		if !strings.Contains(string(got), want) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

func TestCopiesCannotGrowWithoutBounds(t *testing.T) {
	var operations []string
	for i := range 60 {
		operations = append(operations, fmt.Sprintf(`{operation: copy, from: /data, path: /data/x%d}`, i))
	}
	rules := "{version: v1, resourceModifierRules: [{conditions: {groupResource: configmaps}, patches: [" + strings.Join(operations, ",") + "]}]}"
	ref, body := object(t, "configmaps", `{metadata: {name: a}, data: {k: "`+strings.Repeat("x", 1000)+`"}}`)
	got, outcomes := mustParse(t, rules).Apply(ref, body)
	if len(outcomes) != 1 || outcomes[0].Effect != Failed || !strings.Contains(outcomes[0].Reason, "copies more than") || len(got) != len(body) {
		t.Errorf("%d bytes, outcomes %+v", len(got), outcomes)
	}
	rule := `{conditions: {groupResource: configmaps}, mergePatches: [{patchData: "y: ` + strings.Repeat("y", 500_000) + `"}]}`
	m := mustParse(t, "{version: v1, resourceModifierRules: ["+rule+"]}")
	_, large := object(t, "configmaps", `{metadata: {name: a}, data: {k: "`+strings.Repeat("x", maxObject-1000)+`"}}`)
	if got, outcomes := m.Apply(ref, large); outcomes[0].Effect != Failed || len(got) != len(large) {
		t.Errorf("%d bytes, outcomes %+v", len(got), outcomes)
	}
}

func TestDigestIsThatOfTheText(t *testing.T) {
	const text = `{version: v1, resourceModifierRules: [{conditions: {groupResource: pods}, mergePatches: [{patchData: "a: b"}]}]}`
	a, err := Parse("ns/a", map[string]string{"k": text}, scheme.Scheme.New)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse("ns/b", map[string]string{"other": text}, scheme.Scheme.New)
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest() != b.Digest() || !strings.HasPrefix(a.Digest(), "sha256:") || a.Digest() == mustParse(t, text+" ").Digest() {
		t.Errorf("digests %s, %s", a.Digest(), b.Digest())
	}
	var none *Modifiers
	if none.Digest() != "" || none.Concern(coffer.ObjectRef{}) || none.Idle(nil) != nil {
		t.Error("no modifiers do something")
	}
}

func TestIdleRulesAreNamed(t *testing.T) {
	m := mustParse(t, `{version: v1, resourceModifierRules: [{conditions: {groupResource: pods}, mergePatches: [{patchData: "a: b"}]}, {conditions: {groupResource: persistentvolume}, mergePatches: [{patchData: "a: b"}]}]}`)
	pods, _ := object(t, "pods", `{metadata: {name: a, namespace: b}}`)
	volumes, _ := object(t, "persistentvolumes", `{metadata: {name: a}}`)
	if diff := cmp.Diff([]string{"resourceModifierRules[1]"}, m.Idle([]coffer.ObjectRef{pods, volumes})); diff != "" {
		t.Error(diff)
	}
}

func FuzzModifiers(f *testing.F) {
	f.Add("version: v1\nresourceModifierRules:\n- conditions: {groupResource: '*', matches: [{path: /a, value: b}]}\n  patches: [{operation: move, from: /spec, path: /spec/a}, {operation: copy, from: /spec/0, path: /x/-}]", []byte(`{"metadata":{"name":"a"},"spec":[{}]}`))
	f.Add("version: v1\nresourceModifierRules:\n- conditions: {groupResource: '{a,*}'}\n  strategicPatches: [{patchData: '{\"spec\":{\"containers\":[{\"$patch\":\"replace\"}],\"$retainKeys\":[1]}}'}]", []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"containers":[1,{"name":{}}]}}`))
	f.Add("version: v1\nresourceModifierRules:\n- conditions: {groupResource: '**'}\n  mergePatches: [{patchData: 'a: null'}]", []byte(`[{"":1}]`))
	f.Fuzz(func(t *testing.T, text string, body []byte) {
		m, err := Parse("ns/cm", map[string]string{"k": text}, scheme.Scheme.New)
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeInvalid {
				t.Errorf("Parse = %v", err)
			}
			return
		}
		ref := coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "pods"}, Namespace: "n", Name: "a"}
		got, outcomes := m.Apply(ref, body)
		for _, o := range outcomes {
			if o.Effect == Applied && !json.Valid(got) {
				t.Errorf("%s makes %q of %q", o.Rule, got, body)
			}
		}
	})
}

// Whoever writes rules must not be able to keep the extension busy for ever.
func TestPatternsTakeLinearTime(t *testing.T) {
	name := strings.Repeat("a", 252) + "b"
	for _, text := range []string{strings.Repeat("*a", 250), strings.Repeat("{a*,*a}", 70), strings.Repeat("?*", 250)} {
		pattern, err := compilePattern(text, '.')
		if err != nil {
			t.Fatal(err)
		}
		pattern.MatchString(name)
	}
}

func TestPatternsOfNames(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"pods", "pods", true}, {"pods", "podsx", false}, {"*", "pods", true}, {"*", "deployments.apps", false}, {"*.apps", "deployments.apps", true},
		{"*.k8s.io", "leases.coordination.k8s.io", false}, {"*.*.k8s.io", "leases.coordination.k8s.io", true}, {"**", "leases.coordination.k8s.io", true},
		{"pod?", "pods", true}, {"pod?", "pod", false}, {"pods?", "pods.x", false}, {"[a-p]ods", "pods", true}, {"[!p]ods", "pods", false}, {"[-p]ods", "-ods", true},
		{"{pods,*.apps}", "deployments.apps", true}, {"{pods,{a,b}.apps}", "b.apps", true}, {"{a*,b}{s,t}", "a-t", true}, {`\*`, "*", true}, {`\*`, "pods", false},
		{"a,b", "a", false}, {"a+", "aa", false}, {"(a|b)", "a", false},
	} {
		pattern, err := compilePattern(tt.pattern, '.')
		if err != nil || pattern.MatchString(tt.name) != tt.want {
			t.Errorf("%q of %q: want %v (%v)", tt.pattern, tt.name, tt.want, err)
		}
	}
	for _, text := range []string{"[", "[]", "[!]", "{a", `a\`, "[b-a]", strings.Repeat("a", 513)} {
		if _, err := compilePattern(text); err == nil {
			t.Errorf("%q is taken for a pattern", text)
		}
	}
}
