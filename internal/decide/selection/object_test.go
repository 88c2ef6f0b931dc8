package selection

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

var servedSpaces = []Space{
	{Name: "shop"}, {Name: "shop-test"}, {Name: "bank"}, {Name: "kube-system"}, {Name: "own"},
	{Name: "hidden", Labels: map[string]string{excludeLabel: "true"}},
}

func mustSelect(t *testing.T, c Config) (*Selection, []Warning) {
	t.Helper()
	c.SystemNamespaces = SystemNamespaces("own")
	s, warnings, err := New(c, servedTypes, servedSpaces)
	if err != nil {
		t.Fatal(err)
	}
	return s, warnings
}

func typeOf(t *testing.T, spelt string) coffer.ResourceType {
	t.Helper()
	s, err := parseSpelling("test", spelt)
	if err != nil {
		t.Fatal(err)
	}
	found := s.resolve(servedTypes)
	if len(found) != 1 {
		t.Fatalf("%q is %v", spelt, found)
	}
	return found[0]
}

// decide decides on an object as a backup does: by its type first.
func decide(s *Selection, t coffer.ResourceType, h coffer.Header, body string, needed Needed) Decision {
	if d := s.Type(t); !d.Include {
		return d
	}
	return s.Object(t, h, []byte(body), needed)
}

func TestObjects(t *testing.T) {
	shop := Config{Rules: Rules{Included: []string{"shop"}}}
	whole := Config{Rules: Rules{ClusterScope: ClusterScopeAll}}
	labelled := func(c Config) Config { c.LabelSelectors = []string{"app=web"}; return c }
	web := map[string]string{"app": "web"}
	secretsOut := Config{ExcludedTypes: []string{"v1/Secret"}}
	one := Config{Objects: []ObjectName{{Type: "v1/Secret", Namespace: "shop", Name: "s"}, {Type: "clusterroles", Name: "system:r"}, {Type: "Pod", Namespace: "kube-system", Name: "p"}}}
	for _, tt := range []struct {
		name   string
		config Config
		kind   string
		object string // NAMESPACE/NAME
		meta   coffer.HeaderMetadata
		want   bool
		scoped bool // a no that the ledger names
	}{
		{"an object of the namespace", shop, "Secret", "shop/s", coffer.HeaderMetadata{}, true, false},
		{"one of another", shop, "Secret", "bank/s", coffer.HeaderMetadata{}, false, false},
		{"one being deleted", shop, "Secret", "shop/s", coffer.HeaderMetadata{DeletionTimestamp: "2026-01-01T00:00:00Z"}, false, true},
		{"one that says no", shop, "Secret", "shop/s", coffer.HeaderMetadata{Labels: map[string]string{excludeLabel: "true"}}, false, true},
		{"one that says no to no", shop, "Secret", "shop/s", coffer.HeaderMetadata{Labels: map[string]string{excludeLabel: "false"}}, true, false},
		{"one that says no in another namespace is nobody's business", shop, "Secret", "bank/s", coffer.HeaderMetadata{Labels: map[string]string{excludeLabel: "true"}}, false, false},
		{"an object of a namespace that says no", whole, "Secret", "hidden/s", coffer.HeaderMetadata{}, false, false},
		{"the namespace that says no", whole, "Namespace", "/hidden", coffer.HeaderMetadata{}, false, true},
		{"the namespace itself", shop, "Namespace", "/shop", coffer.HeaderMetadata{}, true, false},
		{"another namespace", shop, "Namespace", "/bank", coffer.HeaderMetadata{}, false, false},
		{"Secrets that are left out", secretsOut, "Secret", "shop/s", coffer.HeaderMetadata{}, false, true},
		{"the rest without Secrets", secretsOut, "ConfigMap", "shop/s", coffer.HeaderMetadata{}, true, false},
		{"an exclusion before an inclusion", Config{IncludedTypes: []string{"*"}, ExcludedTypes: []string{"secrets"}}, "Secret", "shop/s", coffer.HeaderMetadata{}, false, true},
		{"a type that is included", Config{IncludedTypes: []string{"Secret"}}, "Secret", "shop/s", coffer.HeaderMetadata{}, true, false},
		{"one that is not", Config{IncludedTypes: []string{"Secret"}}, "ConfigMap", "shop/s", coffer.HeaderMetadata{}, false, false},
		{"a namespace that nobody needs, of included types", Config{IncludedTypes: []string{"Secret"}}, "Namespace", "/shop", coffer.HeaderMetadata{}, false, false},
		{"labels that match", labelled(shop), "Secret", "shop/s", coffer.HeaderMetadata{Labels: web}, true, false},
		{"labels that do not", labelled(shop), "Secret", "shop/s", coffer.HeaderMetadata{}, false, false},
		{"a namespace by its own labels", labelled(shop), "Namespace", "/shop", coffer.HeaderMetadata{Labels: web}, true, false},
		{"a cluster role with all", whole, "ClusterRole", "/r", coffer.HeaderMetadata{}, true, false},
		{"a built-in one with all", whole, "ClusterRole", "/system:r", coffer.HeaderMetadata{}, true, false},
		{"one without labels with all of a label", labelled(whole), "ClusterRole", "/r", coffer.HeaderMetadata{}, false, false},
		{"one with them", labelled(whole), "ClusterRole", "/r", coffer.HeaderMetadata{Labels: web}, true, false},
		{"a cluster role that nobody needs", shop, "ClusterRole", "/r", coffer.HeaderMetadata{Labels: web}, false, false},
		{"a webhook with all", whole, "ValidatingWebhookConfiguration", "/w", coffer.HeaderMetadata{}, true, false},
		{"a webhook with needed", shop, "ValidatingWebhookConfiguration", "/w", coffer.HeaderMetadata{}, false, false},
		{"a volume with all", whole, "PersistentVolume", "/v", coffer.HeaderMetadata{}, true, false},
		{"a volume of a namespace that is left out, with all", Config{Rules: Rules{Excluded: []string{"claimant"}, ClusterScope: ClusterScopeAll}}, "PersistentVolume", "/v", coffer.HeaderMetadata{}, false, false},
		{"a volume with none", Config{Rules: Rules{ClusterScope: ClusterScopeNone}}, "PersistentVolume", "/v", coffer.HeaderMetadata{}, false, false},
		{"a namespace with none", Config{Rules: Rules{ClusterScope: ClusterScopeNone}}, "Namespace", "/shop", coffer.HeaderMetadata{}, true, false},
		{"events", whole, "Event", "shop/e", coffer.HeaderMetadata{}, false, true},
		{"nodes", whole, "Node", "/n", coffer.HeaderMetadata{}, false, true},
		{"snapshots: they are volumes of the point", whole, "VolumeSnapshot", "shop/v", coffer.HeaderMetadata{}, false, true},
		{"our own runs", whole, "Backup", "shop/b", coffer.HeaderMetadata{}, false, true},
		{"our hooks, like any object", shop, "BackupHook", "shop/h", coffer.HeaderMetadata{}, true, false},
		{"a single object", one, "Secret", "shop/s", coffer.HeaderMetadata{}, true, false},
		{"its neighbour", one, "Secret", "shop/t", coffer.HeaderMetadata{}, false, false},
		{"its namesake", one, "ConfigMap", "shop/s", coffer.HeaderMetadata{}, false, false},
		{"its namesake elsewhere", one, "Secret", "bank/s", coffer.HeaderMetadata{}, false, false},
		{"a single cluster-scoped object", one, "ClusterRole", "/system:r", coffer.HeaderMetadata{}, true, false},
		{"a single object of a system namespace", one, "Pod", "kube-system/p", coffer.HeaderMetadata{}, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := mustSelect(t, tt.config)
			tt.meta.Namespace, tt.meta.Name, _ = strings.Cut(tt.object, "/")
			d := decide(s, typeOf(t, tt.kind), coffer.Header{Metadata: tt.meta}, `{"spec":{"claimRef":{"namespace":"claimant","name":"c"}}}`, nil)
			if d.Include != tt.want || !d.Include && (d.Reason == "" || d.OutOfScope == tt.scoped) {
				t.Errorf("decision = %+v, want %v, named %v", d, tt.want, tt.scoped)
			}
		})
	}
}

// captured is an object that was captured before, by its type's spelling.
type captured struct{ kind, namespace, name, body string }

func TestWhatCapturedObjectsNeed(t *testing.T) {
	claim := captured{"PersistentVolumeClaim", "shop", "data", `{"spec":{"volumeName":"pv-1","storageClassName":"fast"}}`}
	account := captured{"ServiceAccount", "shop", "robot", `{}`}
	pod := captured{"Pod", "shop", "p", `{"spec":{"priorityClassName":"high","runtimeClassName":"gvisor"}}`}
	for _, tt := range []struct {
		name string
		by   captured
		kind string
		of   string
		body string
		want bool
	}{
		{"the volume of a claim", claim, "PersistentVolume", "pv-1", `{}`, true},
		{"the volume that names the claim", claim, "PersistentVolume", "pv-2", `{"spec":{"claimRef":{"namespace":"shop","name":"data"}}}`, true},
		{"the volume of another", claim, "PersistentVolume", "pv-2", `{"spec":{"claimRef":{"namespace":"bank","name":"data"}}}`, false},
		{"an unreadable volume", claim, "PersistentVolume", "pv-2", `[]`, false},
		{"the class of a claim", claim, "StorageClass", "fast", `{}`, true},
		{"another class", claim, "StorageClass", "slow", `{}`, false},
		{"the class of a volume", captured{"PersistentVolume", "", "pv", `{"spec":{"storageClassName":"fast"}}`}, "StorageClass", "fast", `{}`, true},
		{"the class of a template of claims", captured{"StatefulSet", "shop", "db", `{"spec":{"volumeClaimTemplates":[{"spec":{"storageClassName":"fast"}}]}}`}, "StorageClass", "fast", `{}`, true},
		{"the definition of a custom resource", captured{"Rocket", "shop", "r", `{}`}, "CustomResourceDefinition", "rockets.acme.io", `{}`, true},
		{"the definition of a type of Kubernetes itself", captured{"RoleBinding", "shop", "b", `{}`}, "CustomResourceDefinition", "rolebindings.rbac.authorization.k8s.io", `{}`, false},
		{"another definition", captured{"Rocket", "shop", "r", `{}`}, "CustomResourceDefinition", "planets.acme.io", `{}`, false},
		{"the binding of an account", account, "ClusterRoleBinding", "b", `{"subjects":[{"kind":"User","name":"x"},{"kind":"ServiceAccount","namespace":"shop","name":"robot"}]}`, true},
		{"the binding of all accounts of the namespace", account, "ClusterRoleBinding", "b", `{"subjects":[{"kind":"Group","name":"system:serviceaccounts:shop"}]}`, true},
		{"the binding of another namespace's account", account, "ClusterRoleBinding", "b", `{"subjects":[{"kind":"ServiceAccount","namespace":"bank","name":"robot"}]}`, false},
		{"the binding of another account", account, "ClusterRoleBinding", "b", `{"subjects":[{"kind":"ServiceAccount","namespace":"shop","name":"default"}]}`, false},
		{"a binding of nobody", account, "ClusterRoleBinding", "b", `{}`, false},
		{"a binding that every cluster has", account, "ClusterRoleBinding", "system:b", `{"subjects":[{"kind":"ServiceAccount","namespace":"shop","name":"robot"}]}`, false},
		{"the role of a binding of the cluster", captured{"ClusterRoleBinding", "", "b", `{"roleRef":{"kind":"ClusterRole","name":"r"}}`}, "ClusterRole", "r", `{}`, true},
		{"the role of a binding of the namespace", captured{"RoleBinding", "shop", "b", `{"roleRef":{"kind":"ClusterRole","name":"a:b c"}}`}, "ClusterRole", "a:b c", `{}`, true},
		{"a role of the namespace", captured{"RoleBinding", "shop", "b", `{"roleRef":{"kind":"Role","name":"r"}}`}, "ClusterRole", "r", `{}`, false},
		{"a role that every cluster has", captured{"RoleBinding", "shop", "b", `{"roleRef":{"kind":"ClusterRole","name":"system:r"}}`}, "ClusterRole", "system:r", `{}`, false},
		{"the priority of a pod", pod, "PriorityClass", "high", `{}`, true},
		{"a priority that every cluster has", captured{"Pod", "shop", "p", `{"spec":{"priorityClassName":"system-node-critical"}}`}, "PriorityClass", "system-node-critical", `{}`, false},
		{"the runtime of a pod", pod, "RuntimeClass", "gvisor", `{}`, true},
		{"the priority of a template", captured{"Deployment", "shop", "d", `{"spec":{"template":{"spec":{"priorityClassName":"high"}}}}`}, "PriorityClass", "high", `{}`, true},
		{"the priority of a job's template", captured{"CronJob", "shop", "d", `{"spec":{"jobTemplate":{"spec":{"template":{"spec":{"priorityClassName":"high"}}}}}}`}, "PriorityClass", "high", `{}`, true},
		{"the class of an ingress", captured{"ingresses.networking.k8s.io", "shop", "i", `{"spec":{"ingressClassName":"nginx"}}`}, "IngressClass", "nginx", `{}`, true},
		{"the namespace of any object", account, "Namespace", "shop", `{}`, true},
		{"another namespace", account, "Namespace", "bank", `{}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			by := coffer.ObjectRef{GroupResource: typeOf(t, tt.by.kind).GroupResource, Namespace: tt.by.namespace, Name: tt.by.name}
			needs := Needs(by, []byte(tt.by.body))
			needed := func(of coffer.GroupResource, name string) (string, bool) {
				return "because", slices.ContainsFunc(needs, func(n Need) bool { return n.Type == of && n.Name == name })
			}
			// By labels nothing is selected, so that what is taken is needed.
			s, _ := mustSelect(t, Config{LabelSelectors: []string{"app=nothing"}})
			h := coffer.Header{Metadata: coffer.HeaderMetadata{Name: tt.of}}
			d := decide(s, typeOf(t, tt.kind), h, tt.body, needed)
			if d.Include != tt.want || d.Reason == "" || d.Include && d.Reason != "because" {
				t.Errorf("decision = %+v, want %v", d, tt.want)
			}
			excluded, _ := mustSelect(t, Config{ExcludedTypes: []string{tt.kind}})
			if d := decide(excluded, typeOf(t, tt.kind), h, tt.body, needed); d.Include {
				t.Errorf("an excluded type is taken because it is needed: %+v", d)
			}
			none, _ := mustSelect(t, Config{LabelSelectors: []string{"app=nothing"}, Rules: Rules{ClusterScope: ClusterScopeNone}})
			if d := decide(none, typeOf(t, tt.kind), h, tt.body, needed); d.Include && tt.kind != "Namespace" {
				t.Errorf("with no cluster-scoped objects, one is taken: %+v", d)
			}
		})
	}
}

func TestWhatNeedsAnotherComesBeforeIt(t *testing.T) {
	s, _ := mustSelect(t, Config{Rules: Rules{Included: []string{"shop"}}})
	at := map[string]int{}
	total := 0
	for i, stage := range s.Stages(servedTypes) {
		for _, x := range stage {
			at[x.GroupResource.String()] = i
			total++
		}
	}
	if total != len(servedTypes) {
		t.Errorf("%d types are in the stages, want %d", total, len(servedTypes))
	}
	for _, pair := range [][2]string{
		{"persistentvolumeclaims", "persistentvolumes"}, {"persistentvolumes", "storageclasses.storage.k8s.io"},
		{"serviceaccounts", "clusterrolebindings.rbac.authorization.k8s.io"}, {"pods", "priorityclasses.scheduling.k8s.io"},
		{"clusterrolebindings.rbac.authorization.k8s.io", "clusterroles.rbac.authorization.k8s.io"},
		{"planets.acme.io", "customresourcedefinitions.apiextensions.k8s.io"}, {"rockets.acme.io", "namespaces"},
	} {
		if at[pair[0]] >= at[pair[1]] {
			t.Errorf("%s is looked for in stage %d, %s in stage %d", pair[0], at[pair[0]], pair[1], at[pair[1]])
		}
	}
	whole, _ := mustSelect(t, Config{Rules: Rules{ClusterScope: ClusterScopeAll}})
	if n := len(whole.Stages(servedTypes)); n != 1 {
		t.Errorf("a backup of everything has %d stages: nothing has to wait", n)
	}
}

func TestFiltersThatMatchNothingAreToldOf(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config Config
		want   []string
	}{
		{"nothing to tell", Config{Rules: Rules{Included: []string{"shop*", "kube-system"}, Excluded: []string{"*-test"}}, IncludedTypes: []string{"*"}, ExcludedTypes: []string{"events", "componentstatuses"}}, nil},
		{"an excluded type that is misspelt", Config{ExcludedTypes: []string{"v1/Secrets", "v1/Secrett"}}, []string{"excludedResourceTypes v1/Secrett: the cluster has no such resource type", "did you mean secrets?"}},
		{"an included one beside a good one", Config{IncludedTypes: []string{"pods", "zzz"}}, []string{"includedResourceTypes zzz", "kubectl api-resources"}},
		{"an included type that is never taken", Config{IncludedTypes: []string{"pods", "Event"}}, []string{"includedResourceTypes Event: the type is never captured: events describe the past"}},
		{"an included one that nobody can make", Config{IncludedTypes: []string{"pods", "componentstatuses"}}, []string{"never captured"}},
		{"a pattern of namespaces", Config{Rules: Rules{Included: []string{"shop", "x*"}}}, []string{"includedNamespaces x*: no namespace of the cluster matches it"}},
		{"a pattern of the system's only", Config{Rules: Rules{Included: []string{"kube-*"}}}, []string{"includedNamespaces kube-*: all that it matches is excluded, or belongs to the system"}},
		{"an excluded namespace", Config{Rules: Rules{Excluded: []string{"bnak"}}}, []string{"excludedNamespaces bnak: the cluster has no such namespace"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings := mustSelect(t, tt.config)
			text := fmt.Sprint(warnings)
			if len(warnings) != min(1, len(tt.want)) {
				t.Errorf("warnings: %s", text)
			}
			for i, w := range warnings {
				for _, want := range tt.want {
					if !strings.Contains(warnings[i].String(), want) {
						t.Errorf("%q lacks %q", w, want)
					}
				}
			}
		})
	}
}

func TestConfigurationsThatCannotBeAreRefused(t *testing.T) {
	secret := []ObjectName{{Type: "Secret", Namespace: "shop", Name: "s"}}
	for _, tt := range []struct {
		name   string
		config Config
		code   coffer.Code
		want   string
	}{
		{"a type in both lists", Config{IncludedTypes: []string{"v1/Secret"}, ExcludedTypes: []string{"v1/secret"}}, coffer.CodeInvalid, "both in includedResourceTypes and in excludedResourceTypes"},
		{"no type", Config{ExcludedTypes: []string{"*"}}, coffer.CodeInvalid, "leaves out every type"},
		{"no type of any group", Config{ExcludedTypes: []string{"*/*"}}, coffer.CodeInvalid, "leaves out every type"},
		{"one type in two spellings", Config{IncludedTypes: []string{"secrets"}, ExcludedTypes: []string{"v1/Secret"}}, coffer.CodeNothingToDo, "leave no resource type"},
		{"a misspelt type only", Config{IncludedTypes: []string{"secretes"}}, coffer.CodeNothingToDo, "did you mean secrets?"},
		{"single objects and namespaces", Config{Rules: Rules{Included: []string{"a"}}, Objects: secret}, coffer.CodeInvalid, "cannot be combined with includedNamespaces"},
		{"single objects and types", Config{IncludedTypes: []string{"a"}, Objects: secret}, coffer.CodeInvalid, "cannot be combined with includedResourceTypes"},
		{"single objects and labels", Config{LabelSelectors: []string{"a"}, Objects: secret}, coffer.CodeInvalid, "cannot be combined with labelSelectors"},
		{"a single object of an excluded namespace", Config{Rules: Rules{Excluded: []string{"sh*"}}, Objects: secret}, coffer.CodeInvalid, `"sh*" of excludedNamespaces`},
		{"a single object of an excluded type", Config{ExcludedTypes: []string{"v1/Secret"}, Objects: secret}, coffer.CodeInvalid, `"v1/Secret" of excludedResourceTypes`},
		{"a single object of an unknown type", Config{Objects: []ObjectName{{Type: "Sekret", Namespace: "a", Name: "s"}}}, coffer.CodeInvalid, "did you mean secrets?"},
		{"a single object of two types", Config{Objects: []ObjectName{{Type: "Ingress", Namespace: "a", Name: "s"}}}, coffer.CodeInvalid, "ingresses.networking.k8s.io"},
		{"a single object of a pattern", Config{Objects: []ObjectName{{Type: "*", Namespace: "a", Name: "s"}}}, coffer.CodeInvalid, "no wildcards"},
		{"a single object that is never taken", Config{Objects: []ObjectName{{Type: "Node", Name: "s"}}}, coffer.CodeInvalid, "never captured: nodes belong to their cluster"},
		{"a single object without a namespace", Config{Objects: []ObjectName{{Type: "Secret", Name: "s"}}}, coffer.CodeInvalid, "in which namespace"},
		{"a single object with too many", Config{Objects: []ObjectName{{Type: "ClusterRole", Namespace: "a", Name: "s"}}}, coffer.CodeInvalid, "in no namespace"},
		{"a single object without a name", Config{Objects: []ObjectName{{Type: "Secret", Namespace: "a"}}}, coffer.CodeInvalid, "has a name"},
		{"a single object of another's path", Config{Objects: []ObjectName{{Type: "Secret", Namespace: "a", Name: "../b"}}}, coffer.CodeInvalid, "may not contain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := New(tt.config, servedTypes, servedSpaces)
			if coffer.CodeOf(err) != tt.code || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want %s with %q", err, tt.code, tt.want)
			}
		})
	}
}

// newConfig makes some configuration, of which most are not refused.
func newConfig(r *rand.Rand) Config {
	some := func(from []string, most int) []string {
		var all []string
		for range r.IntN(most + 1) {
			all = append(all, from[r.IntN(len(from))])
		}
		return all
	}
	names := []string{"shop", "shop-*", "bank", "*", "kube-*", "kube-system", "hidden", "[sb]*", "zz?"}
	types := []string{"Secret", "v1/*", "*.apps", "deployments", "*", "rockets", "ClusterRole", "pvc", "apps/StatefulSet", "*/[st]*"}
	selectors := []string{"a=b", "a:c", "!d", "a in (b,c)", "d"}
	c := Config{
		Rules: Rules{
			Included: some(names, 2), Excluded: some(names, 1), ClusterScope: ClusterScope(r.IntN(3)),
			SystemNamespaces: SystemNamespaces("own"),
		},
		IncludedTypes: some(types, 2), ExcludedTypes: some(types, 2),
		LabelSelectors: some(selectors, 2), OrLabelSelectors: some(selectors, 2),
	}
	return c
}

func TestPropertiesOfSelections(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // A test is to fail the same each time.
	tried := 0
	for range 3000 {
		c := newConfig(r)
		s, _, err := New(c, servedTypes, servedSpaces)
		// The order in which things are written down decides nothing.
		turned := c
		for _, list := range []*[]string{&turned.Included, &turned.Excluded, &turned.IncludedTypes, &turned.ExcludedTypes, &turned.LabelSelectors, &turned.OrLabelSelectors} {
			*list = slices.Clone(*list)
			slices.Reverse(*list)
		}
		types, spaces := slices.Clone(servedTypes), slices.Clone(servedSpaces)
		slices.Reverse(types)
		slices.Reverse(spaces)
		other, _, otherErr := New(turned, types, spaces)
		if (err == nil) != (otherErr == nil) {
			t.Fatalf("%+v: %v, the other way round: %v", c, err, otherErr)
		}
		if err != nil {
			if coffer.CodeOf(err) == "" {
				t.Fatalf("%+v: an error without a code: %v", c, err)
			}
			continue
		}
		tried++
		excluded, err := parseSpellings("f", c.ExcludedTypes)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			x := servedTypes[r.IntN(len(servedTypes))]
			h := coffer.Header{Metadata: coffer.HeaderMetadata{Name: "shop", Labels: map[string]string{}}}
			if x.Namespaced {
				h.Metadata.Namespace = servedSpaces[r.IntN(len(servedSpaces))].Name
			}
			for _, key := range []string{"a", "d"} {
				if value := []string{"", "b", "c"}[r.IntN(3)]; value != "" {
					h.Metadata.Labels[key] = value
				}
			}
			needs := r.IntN(2) == 0
			needed := func(coffer.GroupResource, string) (string, bool) { return "because", needs }
			d, again := decide(s, x, h, "{}", needed), decide(other, x, h, "{}", needed)
			if d.Include != again.Include || d.OutOfScope != again.OutOfScope {
				t.Fatalf("%+v on %s %+v: %+v, the other way round %+v", c, x.GroupResource, h.Metadata, d, again)
			}
			if !d.Include {
				if d.Reason == "" {
					t.Fatalf("%+v on %s: a no without a reason", c, x.GroupResource)
				}
				continue
			}
			for _, e := range excluded {
				if slices.Contains(e.resolve(servedTypes), x) {
					t.Fatalf("%+v takes %s, which %q excludes", c, x.GroupResource, e.text)
				}
			}
			if space := h.Metadata.Namespace; space != "" {
				if matching(c.Excluded, space) != "" || space == "hidden" || slices.Contains(c.SystemNamespaces, space) && !slices.Contains(c.Included, space) {
					t.Fatalf("%+v takes an object of namespace %s", c, space)
				}
			}
			if !x.Namespaced && x.GroupResource != namespaces && c.ClusterScope == ClusterScopeNone {
				t.Fatalf("%+v takes %s", c, x.GroupResource)
			}
			if d.Reason == "" && s.labels.mismatch(h.Metadata.Labels) != "" {
				t.Fatalf("%+v takes an object with labels %v by its own merit", c, h.Metadata.Labels)
			}
		}
	}
	if tried < 500 {
		t.Fatalf("only %d of the configurations were tried", tried)
	}
}

func TestManyNamespaces(t *testing.T) {
	var spaces []Space
	var names []string
	for i := range 2000 {
		spaces = append(spaces, Space{Name: fmt.Sprintf("team-%d", i)})
		if i < 800 {
			names = append(names, fmt.Sprintf("team-%d", i))
		}
	}
	for name, tt := range map[string]struct {
		included []string
		want     int
	}{
		"all": {nil, 2000}, "a pattern": {[]string{"team-1*"}, 1111}, "as many as can be named": {names, 800},
	} {
		s, warnings, err := New(Config{Rules: Rules{Included: tt.included}}, servedTypes, spaces)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v, %v", name, err, warnings)
		}
		if found, _ := s.Namespaces(typeOf(t, "Secret").GroupResource); len(found) != tt.want {
			t.Errorf("%s: %d namespaces, want %d", name, len(found), tt.want)
		}
	}
}

// What selection costs is to be little beside listing: 100,000 objects are captured in seconds.
func BenchmarkObject(b *testing.B) {
	names := make([]string, 800)
	spaces := make([]Space, len(names))
	for i := range names {
		names[i] = fmt.Sprintf("team-%d", i)
		spaces[i].Name = names[i]
	}
	s, _, err := New(Config{Rules: Rules{Included: names}, LabelSelectors: []string{"app in (web,db)", "!legacy"}, ExcludedTypes: []string{"v1/Secret"}}, servedTypes, spaces)
	if err != nil {
		b.Fatal(err)
	}
	x := servedTypes[1]
	h := coffer.Header{Metadata: coffer.HeaderMetadata{Name: "c", Namespace: "team-799", Labels: map[string]string{"app": "web"}}}
	b.ReportAllocs()
	for b.Loop() {
		if !s.Object(x, h, nil, nil).Include {
			b.Fatal("it is not selected")
		}
	}
}
