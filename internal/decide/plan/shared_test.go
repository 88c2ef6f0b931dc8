package plan

import (
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// A cluster-scoped object has one name, whatever the namespaces that it serves are called: the original's stands in the way of the copy's.
func TestWhatTheOriginalAndACopyCannotBothHaveIsSaid(t *testing.T) {
	binding := func(name string, subject map[string]any) Item {
		return object(t, "clusterrolebindings.rbac.authorization.k8s.io", "", name, map[string]any{"subjects": []any{subject}})
	}
	items := []Item{
		object(t, "serviceaccounts", "shop", "web", nil),
		binding("account", map[string]any{"kind": "ServiceAccount", "namespace": "shop", "name": "web"}),
		binding("all", map[string]any{"kind": "Group", "name": "system:serviceaccounts:shop"}),
		object(t, "validatingwebhookconfigurations.admissionregistration.k8s.io", "", "gate", map[string]any{"webhooks": []any{map[string]any{
			"clientConfig": map[string]any{"service": map[string]any{"namespace": "shop", "name": "web"}},
		}}}),
		object(t, "apiservices.apiregistration.k8s.io", "", "v1.acme.io", map[string]any{"spec": map[string]any{
			"service": map[string]any{"namespace": "shop", "name": "web"},
		}}),
		binding("other", map[string]any{"kind": "ServiceAccount", "namespace": "elsewhere", "name": "web"}),
	}
	for _, tt := range []struct {
		policy   Policy
		mappings map[string]string
		scope    selection.ClusterScope
		want     string
	}{
		{SkipExisting, map[string]string{"shop": "copy"}, selection.ClusterScopeAll, "it is the original's"},
		{SkipExisting, map[string]string{"shop": "copy"}, selection.ClusterScopeNeeded, "it is the original's"},
		{PatchExisting, map[string]string{"shop": "copy"}, selection.ClusterScopeAll, "the original loses it"},
		{SkipExisting, nil, selection.ClusterScopeAll, ""},
	} {
		r := Request{Config: selection.Config{Rules: selection.Rules{ClusterScope: tt.scope}}, Policy: tt.policy, Mappings: tt.mappings}
		steps := stepsByName(mustMake(t, items, nil, r).Against(existing(items...)))
		for _, item := range items[1:] {
			s := steps[item.String()]
			want := tt.want
			if item.Name == "other" || s.Target.Name == "" {
				want = "" // The latter are out of scope.
			}
			if want != "" && (!strings.Contains(s.Reason, want) || s.Warning != coffer.CodeObjectNote) || want == "" && s.Warning == coffer.CodeObjectNote {
				t.Errorf("%s under %s: %s (%s)", item.Name, tt.policy, s.Reason, s.Warning)
			}
		}
	}
}
