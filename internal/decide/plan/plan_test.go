package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// object makes an archived object and the item read off it.
func object(t *testing.T, resource, namespace, name string, fields map[string]any) Item {
	t.Helper()
	metadata := map[string]any{"name": name, "uid": resource + "/" + namespace + "/" + name}
	if namespace != "" {
		metadata["namespace"] = namespace
	}
	for _, f := range []string{"labels", "annotations", "ownerReferences"} {
		if v, ok := fields[f]; ok {
			metadata[f] = v
			delete(fields, f)
		}
	}
	body := map[string]any{"apiVersion": "v1", "kind": "X", "metadata": metadata}
	for k, v := range fields {
		body[k] = v
	}
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	everything := Request{Config: selection.Config{LabelSelectors: []string{"x"}}}
	item, err := everything.Read(coffer.ObjectRef{GroupResource: coffer.ParseGroupResource(resource), Namespace: namespace, Name: name}, data)
	if err != nil {
		t.Fatal(err)
	}
	return item
}

func owner(apiVersion, kind, resource, namespace, name string) []map[string]any {
	return []map[string]any{{"apiVersion": apiVersion, "kind": kind, "name": name, "uid": resource + "/" + namespace + "/" + name, "controller": true}}
}

// everyType serves the types of all items.
func everyType(items []Item) Types {
	types := Types{}
	for _, i := range items {
		types[i.GroupResource] = []coffer.ResourceType{{GroupResource: i.GroupResource, Version: "v1", Kind: i.Kind, Namespaced: i.Namespace != ""}}
	}
	return types
}

// mustMake makes a plan for a cluster that serves all types.
func mustMake(t *testing.T, items []Item, volumes []coffer.Volume, r Request) Plan {
	t.Helper()
	return mustMakeFor(t, items, volumes, r, everyType(items))
}

func mustMakeFor(t *testing.T, items []Item, volumes []coffer.Volume, r Request, served Types) Plan {
	t.Helper()
	p, _, err := Make(items, volumes, r, served)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mapped(rules selection.Rules, mappings map[string]string) Request {
	r := asks(rules)
	r.Mappings = mappings
	return r
}

// asks is a request for what rules select.
func asks(rules selection.Rules) Request {
	return Request{Config: selection.Config{Rules: rules, Point: "point"}, VolumeData: true}
}

func whole() Request {
	return asks(selection.Rules{ClusterScope: selection.ClusterScopeAll})
}

func TestWhatKubernetesMakesIsNotRestored(t *testing.T) {
	items := []Item{
		object(t, "deployments.apps", "shop", "web", nil),
		object(t, "replicasets.apps", "shop", "web-1", map[string]any{"ownerReferences": owner("apps/v1", "Deployment", "deployments.apps", "shop", "web")}),
		object(t, "pods", "shop", "web-1-x", map[string]any{"ownerReferences": owner("apps/v1", "ReplicaSet", "replicasets.apps", "shop", "web-1")}),
		object(t, "pods", "shop", "bare", nil),
		object(t, "pods", "shop", "of-an-operator", map[string]any{"ownerReferences": owner("acme/v1", "Thing", "things.acme", "shop", "t")}),
		object(t, "pods", "shop", "orphan", map[string]any{"ownerReferences": owner("apps/v1", "ReplicaSet", "replicasets.apps", "shop", "gone")}),
		object(t, "pods", "shop", "ended", map[string]any{"status": map[string]any{"phase": "Succeeded"}}),
		object(t, "jobs.batch", "shop", "done", map[string]any{"status": map[string]any{"completionTime": "2026-01-01T00:00:00Z"}}),
		object(t, "jobs.batch", "shop", "running", nil),
		object(t, "secrets", "shop", "web-token-x7k2p", map[string]any{"type": "kubernetes.io/service-account-token", "annotations": map[string]any{"kubernetes.io/service-account.name": "web"}}),
		object(t, "secrets", "shop", "of-nobody", map[string]any{"type": "kubernetes.io/service-account-token"}),
		object(t, "secrets", "shop", "asked-for", map[string]any{"type": "kubernetes.io/service-account-token", "annotations": map[string]any{"kubernetes.io/service-account.name": "web"}}),
		object(t, "services", "default", "kubernetes", nil),
		object(t, "endpoints", "default", "kubernetes", nil),
		object(t, "endpointslices.discovery.k8s.io", "default", "kubernetes", nil),
		object(t, "secrets", "shop", "password", map[string]any{"type": "Opaque"}),
		object(t, "configmaps", "shop", "kube-root-ca.crt", nil),
		object(t, "endpointslices.discovery.k8s.io", "shop", "web-a", map[string]any{"labels": map[string]any{"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}}),
		object(t, "endpointslices.discovery.k8s.io", "shop", "by-hand", nil),
		object(t, "endpoints", "shop", "triggered", map[string]any{"annotations": map[string]any{"endpoints.kubernetes.io/last-change-trigger-time": "2026-01-01T00:00:00Z"}}),
		object(t, "endpoints", "shop", "synced", map[string]any{"labels": map[string]any{"endpoints.kubernetes.io/managed-by": "endpoint-controller"}}),
		object(t, "endpoints", "shop", "of-patroni", map[string]any{"annotations": map[string]any{"initialize": "7"}}),
		object(t, "persistentvolumes", "", "pv", nil),
		object(t, "persistentvolumeclaims", "shop", "data-db-0", map[string]any{"ownerReferences": owner("apps/v1", "StatefulSet", "statefulsets.apps", "shop", "db")}),
		object(t, "statefulsets.apps", "shop", "db", nil),
		object(t, "leases.coordination.k8s.io", "shop", "leader", nil),
	}
	restored := []string{"web", "bare", "of-an-operator", "orphan", "running", "password", "asked-for", "by-hand", "of-patroni", "data-db-0", "db"}
	for _, s := range mustMake(t, items, nil, whole()).Steps {
		want := slices.Contains(restored, s.Target.Name)
		if got := s.Action != Skip; got != want {
			t.Errorf("%s: action %q (%s), want restored = %v", s.Target, s.Action, s.Reason, want)
		}
		if s.Action == Skip && s.Reason == "" {
			t.Errorf("%s is skipped without a reason", s.Target)
		}
	}
}

func TestOwnerOutOfScopeMakesNothing(t *testing.T) {
	items := []Item{
		object(t, "replicasets.apps", "other", "rs", nil),
		object(t, "pods", "shop", "p", map[string]any{"ownerReferences": owner("apps/v1", "ReplicaSet", "replicasets.apps", "other", "rs")}),
	}
	r := asks(selection.Rules{Included: []string{"shop"}})
	for _, s := range mustMake(t, items, nil, r).Steps {
		if s.Target.Name == "p" && s.Action == Skip {
			t.Errorf("the pod is left to an owner that is not restored: %s", s.Reason)
		}
	}
}

func TestOrder(t *testing.T) {
	resources := []string{
		"validatingwebhookconfigurations.admissionregistration.k8s.io", "resourcequotas", "clusters.cluster.x-k8s.io", "deployments.apps", "services",
		"replicasets.apps", "pods", "limitranges", "configmaps", "serviceaccounts", "roles.rbac.authorization.k8s.io", "persistentvolumeclaims",
		"storageclasses.storage.k8s.io", "namespaces", "customresourcedefinitions.apiextensions.k8s.io",
	}
	var items []Item
	for _, r := range resources {
		items = append(items, object(t, r, "", "x", nil))
	}
	var got []string
	for _, s := range mustMake(t, items, nil, whole()).Steps {
		got = append(got, s.Target.GroupResource.String())
	}
	slices.Reverse(resources)
	if !slices.Equal(got, resources) {
		t.Errorf("order = %v\nwant    %v", got, resources)
	}
}

func TestClaims(t *testing.T) {
	claim := func(name string) Item { return object(t, "persistentvolumeclaims", "shop", name, nil) }
	volumes := []coffer.Volume{
		{Namespace: "shop", Claim: "good", Result: coffer.VolumeCaptured, Handle: "h"},
		{Namespace: "shop", Claim: "bad", Result: coffer.VolumeSkipped, Reason: "no class"},
	}
	items := []Item{claim("good"), claim("bad"), claim("unknown")}
	steps := mustMake(t, items, volumes, whole()).Steps
	if s := steps[0]; s.Action != RestoreVolume || s.Volume.Handle != "h" || s.Warning != "" {
		t.Errorf("a captured claim: %+v", s)
	}
	for _, s := range steps[1:] {
		if s.Action != Create || s.Warning == "" || !strings.Contains(s.Reason, "empty volume") {
			t.Errorf("a claim without data must be created with a warning: %+v", s)
		}
	}
	without := whole()
	without.VolumeData = false
	if s := mustMake(t, items, volumes, without).Steps[0]; s.Action != Create || s.Warning != "" {
		t.Errorf("asked for no data: %+v", s)
	}
}

func TestMappedNamespaces(t *testing.T) {
	items := []Item{object(t, "namespaces", "", "shop", nil), object(t, "secrets", "shop", "s", nil), object(t, "clusterroles.rbac.authorization.k8s.io", "", "r", nil)}
	r := asks(selection.Rules{})
	r.Mappings = map[string]string{"shop": "copy"}
	p := mustMake(t, items, nil, r)
	var got []string
	for _, s := range p.Steps {
		if s.Action != Skip {
			got = append(got, s.Target.String())
		}
	}
	if want := []string{"namespaces copy", "secrets copy/s"}; !slices.Equal(got, want) {
		t.Errorf("targets = %v, want %v", got, want)
	}
	if want := []string{"copy"}; !slices.Equal(p.Namespaces, want) {
		t.Errorf("namespaces = %v, want %v", p.Namespaces, want)
	}
}

func TestTypesThatAreNotServed(t *testing.T) {
	thing := object(t, "things.acme.io", "shop", "t", nil)
	if s := mustMakeFor(t, []Item{thing}, nil, whole(), Types{}).Steps[0]; s.Action != Skip || s.Warning == "" {
		t.Errorf("an object of an unknown type must be skipped with a warning: %+v", s)
	}
	definition := object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "things.acme.io", nil)
	both := []Item{thing, definition}
	for _, s := range mustMakeFor(t, both, nil, whole(), everyType([]Item{definition})).Steps {
		if s.Action != Create {
			t.Errorf("the recovery point brings the definition: %+v", s)
		}
		if unchecked := s.Unchecked != ""; unchecked != (s.Target.GroupResource != definitions) {
			t.Errorf("%s: unchecked %q", s.Target, s.Unchecked)
		}
	}
	chosen := asks(selection.Rules{Included: []string{"shop"}, ClusterScope: selection.ClusterScopeNeeded})
	for _, s := range mustMake(t, both, nil, chosen).Steps {
		if s.Action != Create {
			t.Errorf("a chosen namespace needs the definition of its objects: %+v", s)
		}
	}
}

func TestRequestsThatContradictThePointAreRefused(t *testing.T) {
	has := []string{"a", "b"}
	for name, r := range map[string]Request{
		"an included namespace it does not have":    asks(selection.Rules{Included: []string{"c"}}),
		"a mapping of a namespace it does not have": {Mappings: map[string]string{"c": "d"}},
		"two namespaces into one":                   {Mappings: map[string]string{"a": "x", "b": "x"}},
		"a mapping into a restored namespace":       {Mappings: map[string]string{"a": "b"}},
		"a mapping to nothing":                      {Mappings: map[string]string{"a": ""}},
	} {
		if err := r.CheckPoint("point", has); coffer.CodeOf(err) == "" {
			t.Errorf("%s: Check = %v", name, err)
		}
	}
	for name, r := range map[string]Request{
		"a swap":                    {Mappings: map[string]string{"a": "b", "b": "a"}},
		"into one that is left out": mapped(selection.Rules{Excluded: []string{"b"}}, map[string]string{"a": "b"}),
		"into one of which nothing is named": {
			Config:   selection.Config{Objects: []selection.ObjectName{{Type: "secrets", Namespace: "a", Name: "s"}}},
			Mappings: map[string]string{"a": "b"},
		},
		"a mapping of a namespace to itself": {Mappings: map[string]string{"a": "a"}},
	} {
		if err := r.CheckPoint("point", has); err != nil {
			t.Errorf("%s: Check = %v", name, err)
		}
	}
}
