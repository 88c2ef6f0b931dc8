package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// written are the targets of the steps that write, in order.
func written(p Plan) []string {
	var names []string
	for _, s := range p.Steps {
		if s.Writes() {
			names = append(names, s.Target.String())
		}
	}
	return names
}

func TestWhatIsChosenAndWhatItNeedsIsRestored(t *testing.T) {
	items := []Item{
		object(t, "namespaces", "", "shop", nil), object(t, "namespaces", "", "bank", nil),
		object(t, "secrets", "shop", "login", map[string]any{"labels": map[string]any{"tier": "front"}}),
		object(t, "secrets", "bank", "login", nil),
		object(t, "serviceaccounts", "shop", "web", map[string]any{"labels": map[string]any{"tier": "back"}}),
		object(t, "clusterrolebindings.rbac.authorization.k8s.io", "", "web", map[string]any{
			"roleRef":  map[string]any{"kind": "ClusterRole", "name": "reader"},
			"subjects": []map[string]any{{"kind": "ServiceAccount", "namespace": "shop", "name": "web"}},
		}),
		object(t, "clusterroles.rbac.authorization.k8s.io", "", "reader", nil),
		object(t, "clusterroles.rbac.authorization.k8s.io", "", "writer", nil),
		object(t, "things.acme.io", "shop", "t", nil),
		object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "things.acme.io", nil),
		object(t, "events", "shop", "e", nil),
	}
	for _, tt := range []struct {
		name   string
		config selection.Config
		want   []string
	}{
		{"a type brings what it needs", selection.Config{IncludedTypes: []string{"ServiceAccount", "events"}}, []string{
			"namespaces shop", "clusterroles.rbac.authorization.k8s.io reader", "serviceaccounts shop/web", "clusterrolebindings.rbac.authorization.k8s.io web",
		}},
		{"nothing cluster-scoped but namespaces", selection.Config{IncludedTypes: []string{"serviceaccounts"}, Rules: selection.Rules{ClusterScope: selection.ClusterScopeNone}}, []string{
			"namespaces shop", "serviceaccounts shop/web",
		}},
		{"everything cluster-scoped", selection.Config{Rules: selection.Rules{Included: []string{"bank"}, ClusterScope: selection.ClusterScopeAll}}, []string{
			"customresourcedefinitions.apiextensions.k8s.io things.acme.io", "namespaces bank", "clusterroles.rbac.authorization.k8s.io reader",
			"clusterroles.rbac.authorization.k8s.io writer", "secrets bank/login", "clusterrolebindings.rbac.authorization.k8s.io web",
		}},
		{"labels", selection.Config{LabelSelectors: []string{"tier=front"}}, []string{"namespaces shop", "secrets shop/login"}},
		{"alternatives of labels", selection.Config{OrLabelSelectors: []string{"tier=front", "tier=middle"}, ExcludedTypes: []string{"v1/Namespace"}}, []string{"secrets shop/login"}},
		{"one object", selection.Config{Objects: []selection.ObjectName{{Type: "v1/Secret", Namespace: "bank", Name: "login"}}}, []string{"namespaces bank", "secrets bank/login"}},
		{"a definition comes with its objects", selection.Config{IncludedTypes: []string{"*.acme.io"}, Rules: selection.Rules{Included: []string{"sh*"}}}, []string{
			"customresourcedefinitions.apiextensions.k8s.io things.acme.io", "namespaces shop", "things.acme.io shop/t",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Request{Config: tt.config}
			r.Point = "point"
			// What a request reads of objects is part of what is tested.
			read := make([]Item, len(items))
			for i := range items {
				read[i] = items[i]
				if !r.readsLabels() {
					read[i].labels = nil
				}
			}
			for i := range read {
				read[i].Kind = map[string]string{"secrets": "Secret", "serviceaccounts": "ServiceAccount", "namespaces": "Namespace"}[read[i].Resource]
			}
			p := mustMake(t, read, nil, r)
			if got := written(p); !slices.Equal(got, tt.want) {
				t.Errorf("written: %q\nwant     %q", got, tt.want)
			}
			n := int64(len(p.Steps))
			for _, of := range p.NotSelected {
				if of.Reason == "" || of.Objects <= 0 {
					t.Errorf("%+v", of)
				}
				n += of.Objects
			}
			if n != int64(len(items)) {
				t.Errorf("%d of %d objects are accounted for: %+v", n, len(items), p.NotSelected)
			}
		})
	}
}

// A typo must not pass silently.
func TestWhatTheRecoveryPointLacksIsSaid(t *testing.T) {
	items := []Item{object(t, "secrets", "shop", "login", map[string]any{"kind": "Secret"}), object(t, "configmaps", "shop", "c", map[string]any{"kind": "ConfigMap"})}
	for name, tt := range map[string]struct {
		config selection.Config
		// warning or refusal, a part of its text.
		warning, refusal string
	}{
		"a type":                {config: selection.Config{IncludedTypes: []string{"secrets", "deploymnts"}}, warning: "recovery point point has no object of such a type"},
		"a type, nearly":        {config: selection.Config{IncludedTypes: []string{"secrets", "confgmaps"}}, warning: "did you mean configmaps?"},
		"an excluded type":      {config: selection.Config{ExcludedTypes: []string{"scerets"}}, warning: "did you mean secrets?"},
		"all types":             {config: selection.Config{IncludedTypes: []string{"deploymnts"}}, refusal: "leave no resource type to restore"},
		"a pattern":             {config: selection.Config{Rules: selection.Rules{Included: []string{"shop", "x*"}}}, warning: "no namespace of recovery point point matches it"},
		"an excluded namespace": {config: selection.Config{Rules: selection.Rules{Excluded: []string{"bank"}}}, warning: "recovery point point has no such namespace"},
		"an object":             {config: selection.Config{Objects: []selection.ObjectName{{Type: "secrets", Namespace: "shop", Name: "logn"}}}, refusal: "recovery point point has no secrets shop/logn"},
		"the type of an object": {config: selection.Config{Objects: []selection.ObjectName{{Type: "scret", Namespace: "shop", Name: "login"}}}, refusal: "did you mean secrets?"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Request{Config: tt.config}
			r.Point = "point"
			_, warnings, err := Make(items, nil, r, everyType(items))
			switch {
			case tt.refusal != "":
				if coffer.CodeOf(err) == "" || !strings.Contains(err.Error(), tt.refusal) {
					t.Errorf("Make = %v, want %q", err, tt.refusal)
				}
			case err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), tt.warning):
				t.Errorf("warnings %v, %v, want %q", warnings, err, tt.warning)
			}
		})
	}
}

func TestRolloutHistoryIsRestoredOnRequest(t *testing.T) {
	items := []Item{
		object(t, "deployments.apps", "shop", "web", nil),
		object(t, "replicasets.apps", "shop", "web-1", map[string]any{"ownerReferences": owner("apps/v1", "Deployment", "deployments.apps", "shop", "web")}),
		object(t, "pods", "shop", "web-1-a", map[string]any{"ownerReferences": owner("apps/v1", "ReplicaSet", "replicasets.apps", "shop", "web-1")}),
		object(t, "statefulsets.apps", "shop", "db", nil),
		object(t, "controllerrevisions.apps", "shop", "db-1", map[string]any{"ownerReferences": owner("apps/v1", "StatefulSet", "statefulsets.apps", "shop", "db")}),
	}
	if got, want := written(mustMake(t, items, nil, whole())), []string{"deployments.apps shop/web", "statefulsets.apps shop/db"}; !slices.Equal(got, want) {
		t.Errorf("without: %q", got)
	}
	r := whole()
	r.RolloutHistory = true
	p := mustMake(t, items, nil, r)
	// Before the workloads, which adopt them instead of making others.
	want := []string{"replicasets.apps shop/web-1", "controllerrevisions.apps shop/db-1", "deployments.apps shop/web", "statefulsets.apps shop/db"}
	if got := written(p); !slices.Equal(got, want) {
		t.Errorf("with: %q, want %q", got, want)
	}
	steps := stepsByName(p)
	for _, name := range want[:2] {
		if s := steps[name]; len(s.Owners) != 1 {
			t.Errorf("%s is linked to %v", name, s.Owners)
		}
	}
}

func TestOwnersThatAreNotRestoredAreLeftOut(t *testing.T) {
	set := owner("apps/v1", "StatefulSet", "statefulsets.apps", "shop", "db")
	claim := object(t, "persistentvolumeclaims", "shop", "data", map[string]any{
		"ownerReferences": append(slices.Clone(set), map[string]any{"apiVersion": "acme/v1", "kind": "Thing", "name": "gone", "uid": "gone"}),
	})
	items := []Item{claim, object(t, "statefulsets.apps", "shop", "db", nil)}
	p := mustMake(t, items, nil, whole())
	s := stepsByName(p)[claim.String()]
	if len(s.Owners) != 1 || s.Owners[0].Kind != "StatefulSet" || !strings.Contains(s.Reason, "left without its owner Thing gone") {
		t.Errorf("%+v", s)
	}
	// It is linked to an owner that is in place, too.
	if s := stepsByName(p.Against(existing(items[1])))[claim.String()]; s.Action != Create || len(s.Owners) != 1 {
		t.Errorf("the owner exists: %+v", s)
	}
	r := whole()
	r.ExcludedTypes = []string{"statefulsets"}
	if s := stepsByName(mustMake(t, items, nil, r))[claim.String()]; s.Owners != nil || !strings.Contains(s.Reason, "StatefulSet db") {
		t.Errorf("the owner is out of scope: %+v", s)
	}
}

// An owner that is not restored, for it is complete, makes nothing.
func TestAnOwnerThatDoesNotComeAboutMakesNothing(t *testing.T) {
	items := []Item{
		object(t, "jobs.batch", "shop", "j", map[string]any{"status": map[string]any{"completionTime": "2026-01-01T00:00:00Z"}}),
		object(t, "pods", "shop", "j-1", map[string]any{"ownerReferences": owner("batch/v1", "Job", "jobs.batch", "shop", "j")}),
	}
	if got, want := written(mustMake(t, items, nil, whole())), []string{"pods shop/j-1"}; !slices.Equal(got, want) {
		t.Errorf("written: %q, want %q", got, want)
	}
}

func TestPrioritiesOfTheUser(t *testing.T) {
	items := []Item{
		object(t, "validatingwebhookconfigurations.admissionregistration.k8s.io", "", "x", nil), object(t, "secrets", "shop", "x", nil),
		object(t, "deployments.apps", "shop", "x", nil), object(t, "things.acme.io", "shop", "x", nil), object(t, "namespaces", "", "shop", nil),
		object(t, "services", "shop", "x", nil), object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "things.acme.io", nil),
	}
	r := whole()
	r.Priorities = []string{"things.acme.io", "*.apps", "-", "secrets", "namespaces"}
	var got []string
	for _, s := range mustMake(t, items, nil, r).Steps {
		got = append(got, s.Target.Resource)
	}
	want := []string{"customresourcedefinitions", "namespaces", "things", "deployments", "services", "validatingwebhookconfigurations", "secrets"}
	if !slices.Equal(got, want) {
		t.Errorf("order %v\nwant  %v", got, want)
	}
	r.Priorities = []string{"things.acme.io", "no-such-type"}
	if _, warnings, err := Make(items, nil, r, everyType(items)); err != nil || len(warnings) != 1 || warnings[0].Subject != "priorities no-such-type" {
		t.Errorf("warnings %v, %v", warnings, err)
	}
}

func TestObjectsAreWrittenAtTheirOwnVersion(t *testing.T) {
	scaler := object(t, "horizontalpodautoscalers.autoscaling", "shop", "web", map[string]any{"apiVersion": "autoscaling/v1"})
	at := func(versions ...string) Types {
		var all []coffer.ResourceType
		for _, v := range versions {
			all = append(all, coffer.ResourceType{GroupResource: scaler.GroupResource, Version: v, Namespaced: true})
		}
		return NewTypes(all)
	}
	if s := mustMakeFor(t, []Item{scaler}, nil, whole(), at("v2", "v1")).Steps[0]; s.Type.Version != "v1" || s.Warning != "" {
		t.Errorf("the cluster prefers another version and serves this one: %+v", s)
	}
	if s := mustMakeFor(t, []Item{scaler}, nil, whole(), at("v2", "v2beta1")).Steps[0]; s.Type.Version != "v2" || s.Warning != coffer.CodeVersionNotServed || !strings.Contains(s.Reason, "autoscaling/v1") {
		t.Errorf("the cluster serves others: %+v", s)
	}
}

func TestRequestsThatAreContradictoryAreRefused(t *testing.T) {
	for name, r := range map[string]Request{
		"Replace that is not confirmed":             {Policy: ReplaceExisting},
		"Replace of a type that is not confirmed":   {Policies: []TypePolicy{{"secrets", ReplaceExisting}}},
		"a policy that does not exist":              {Policy: "Overwrite"},
		"a policy of a type that is none":           {Policies: []TypePolicy{{"a/b/c/d", SkipExisting}}},
		"priorities with two dashes":                {Priorities: []string{"-", "-"}},
		"a priority that is no type":                {Priorities: []string{"a/b/c/d"}},
		"a label selector that nothing can match":   {Config: selection.Config{LabelSelectors: []string{"a=b,a=c"}}},
		"single objects and namespaces at the same": {Config: selection.Config{Objects: []selection.ObjectName{{Type: "secrets", Namespace: "a", Name: "b"}}, Rules: selection.Rules{Included: []string{"a"}}}},
	} {
		if err := r.Check(); coffer.CodeOf(err) != coffer.CodeInvalid {
			t.Errorf("%s: Check = %v", name, err)
		}
	}
}

func TestOfAnEmptyRecoveryPointThereIsAnEmptyPlan(t *testing.T) {
	if p := mustMake(t, nil, nil, whole()); len(p.Steps)+len(p.NotSelected)+len(p.Namespaces) > 0 {
		t.Errorf("%+v", p)
	}
}

// A digest names a plan: the same request gives the same one every time.
func TestAPlanIsTheSameEveryTime(t *testing.T) {
	var items []Item
	for _, ns := range []string{"a", "b", "c"} {
		for _, resource := range []string{"secrets", "deployments.apps", "things.acme.io", "serviceaccounts", "persistentvolumeclaims"} {
			items = append(items, object(t, resource, ns, "x", map[string]any{"spec": map[string]any{"storageClassName": "fast"}}))
		}
	}
	for _, resource := range []string{"storageclasses.storage.k8s.io", "customresourcedefinitions.apiextensions.k8s.io", "ingressclasses.networking.k8s.io"} {
		items = append(items, object(t, resource, "", map[string]string{"customresourcedefinitions.apiextensions.k8s.io": "things.acme.io"}[resource]+"fast", nil))
	}
	r := asks(selection.Rules{Excluded: []string{"b"}})
	r.ExcludedTypes, r.Priorities = []string{"secrets", "*.apps"}, []string{"things.acme.io"}
	first := mustMake(t, items, nil, r)
	for range 20 {
		if diff := cmp.Diff(first, mustMake(t, items, nil, r)); diff != "" {
			t.Fatalf("another plan:\n%s", diff)
		}
	}
}
