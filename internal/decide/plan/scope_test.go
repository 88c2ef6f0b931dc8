package plan

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// A restore reads only what is in scope: a plan of names alone for the rest must be the same.
func TestWhatIsOutOfScopeNeedNotBeRead(t *testing.T) {
	for i, request := range []Request{
		whole(),
		asks(selection.Rules{Included: []string{"shop"}, ClusterScope: selection.ClusterScopeNeeded}),
		asks(selection.Rules{Excluded: []string{"shop"}, ClusterScope: selection.ClusterScopeNeeded}),
		mapped(selection.Rules{Included: []string{"bank"}, ClusterScope: selection.ClusterScopeAll}, map[string]string{"bank": "bank-2"}),
		asks(selection.Rules{Included: []string{"shop"}, ClusterScope: selection.ClusterScopeNone}),
		asks(selection.Rules{Included: []string{"nowhere"}}),
		{Config: selection.Config{IncludedTypes: []string{"Deployment", "*.acme.com"}, ExcludedTypes: []string{"pods"}}},
		{Config: selection.Config{IncludedTypes: []string{"ClusterRole"}, Rules: selection.Rules{ClusterScope: selection.ClusterScopeAll}}},
		{Config: selection.Config{Objects: []selection.ObjectName{{Type: "serviceaccounts", Namespace: "shop", Name: "web"}}}},
		{Config: selection.Config{LabelSelectors: []string{"tier=front"}}},
	} {
		t.Run(fmt.Sprint("request ", i), func(t *testing.T) {
			var items []Item
			for _, ns := range []string{"shop", "bank"} {
				items = append(items,
					object(t, "namespaces", "", ns, nil),
					object(t, "deployments.apps", ns, "web", map[string]any{
						"kind":   "Deployment",
						"labels": map[string]any{"tier": "front"},
						"spec":   map[string]any{"template": map[string]any{"spec": map[string]any{"priorityClassName": "high"}}},
					}),
					object(t, "serviceaccounts", ns, "web", nil),
					object(t, "pods", ns, "web-1", map[string]any{"ownerReferences": owner("apps/v1", "ReplicaSet", "deployments.apps", "shop", "web")}),
					object(t, "pods", ns, "ended", map[string]any{"status": map[string]any{"phase": "Failed"}}),
					object(t, "things.acme.com", ns, "t", nil),
					object(t, "persistentvolumeclaims", ns, "data", nil),
				)
			}
			items = append(items,
				object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "things.acme.com", nil),
				object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "others.acme.com", nil),
				object(t, "clusterroles.rbac.authorization.k8s.io", "", "reader", map[string]any{"kind": "ClusterRole"}),
				object(t, "clusterroles.rbac.authorization.k8s.io", "", "other", map[string]any{"kind": "ClusterRole"}),
				object(t, "clusterrolebindings.rbac.authorization.k8s.io", "", "bound", map[string]any{
					"roleRef":  map[string]any{"kind": "ClusterRole", "name": "reader"},
					"subjects": []map[string]any{{"kind": "ServiceAccount", "namespace": "shop", "name": "web"}},
				}),
				object(t, "priorityclasses.scheduling.k8s.io", "", "high", nil),
				object(t, "persistentvolumes", "", "pv", map[string]any{"spec": map[string]any{"claimRef": map[string]any{"namespace": "shop", "name": "data"}}}),
			)
			volumes := []coffer.Volume{{Namespace: "shop", Claim: "data", Result: coffer.VolumeCaptured, Driver: "d", Handle: "h"}}
			in := InScope(len(items), func(i int) coffer.ObjectRef { return items[i].ObjectRef }, request, everyType(items))
			read := make([]Item, len(items))
			for i := range items {
				read[i] = Item{ObjectRef: items[i].ObjectRef}
				if in[i] {
					read[i] = items[i]
				}
			}
			if diff := cmp.Diff(mustMakeFor(t, items, volumes, request, everyType(items)), mustMakeFor(t, read, volumes, request, everyType(items))); diff != "" {
				t.Errorf("plan (-of all +of what is in scope):\n%s", diff)
			}
			for _, s := range mustMakeFor(t, items, volumes, request, everyType(items)).Steps {
				if s.Action != Skip && !in[s.Item] {
					t.Errorf("%v is out of scope, and is restored", s.Target)
				}
			}
		})
	}
}
