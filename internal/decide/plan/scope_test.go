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
		{Rules: selection.Rules{Included: []string{"shop"}, ClusterScope: selection.ClusterScopeNeeded}, VolumeData: true},
		{Rules: selection.Rules{Excluded: []string{"shop"}, ClusterScope: selection.ClusterScopeNeeded}},
		{Rules: selection.Rules{Included: []string{"bank"}, ClusterScope: selection.ClusterScopeAll}, Mappings: map[string]string{"bank": "bank-2"}},
		{Rules: selection.Rules{Included: []string{"nowhere"}}},
	} {
		t.Run(fmt.Sprint("request ", i), func(t *testing.T) {
			var items []Item
			for _, ns := range []string{"shop", "bank"} {
				items = append(items,
					object(t, "namespaces", "", ns, nil),
					object(t, "deployments.apps", ns, "web", nil),
					object(t, "pods", ns, "web-1", map[string]any{"ownerReferences": owner("apps/v1", "ReplicaSet", "deployments.apps", "shop", "web")}),
					object(t, "pods", ns, "ended", map[string]any{"status": map[string]any{"phase": "Failed"}}),
					object(t, "things.acme.com", ns, "t", nil),
					object(t, "persistentvolumeclaims", ns, "data", nil),
				)
			}
			items = append(items,
				object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "things.acme.com", nil),
				object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "others.acme.com", nil),
				object(t, "clusterroles.rbac.authorization.k8s.io", "", "reader", nil),
			)
			volumes := []coffer.Volume{{Namespace: "shop", Claim: "data", Result: coffer.VolumeCaptured, Driver: "d", Handle: "h"}}
			in := InScope(len(items), func(i int) coffer.ObjectRef { return items[i].ObjectRef }, request)
			read := make([]Item, len(items))
			for i := range items {
				read[i] = Item{ObjectRef: items[i].ObjectRef}
				if in[i] {
					read[i] = items[i]
				}
			}
			if diff := cmp.Diff(Make(items, volumes, request, everyType), Make(read, volumes, request, everyType)); diff != "" {
				t.Errorf("plan (-of all +of what is in scope):\n%s", diff)
			}
			for _, s := range Make(items, volumes, request, everyType).Steps {
				if s.Action != Skip && !in[s.Item] {
					t.Errorf("%v is out of scope, and is restored", s.Target)
				}
			}
		})
	}
}
