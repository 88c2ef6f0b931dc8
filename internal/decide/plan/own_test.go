package plan

import (
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// A restore that takes away its own rights, or makes its own definitions those of an older version, cannot go on.
func TestWhatTheRestoreItselfRunsByIsLeftAlone(t *testing.T) {
	const extension = "dataprotection-microsoft"
	alone := []Item{
		object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "restores.clusterbackup.dataprotection.microsoft.com", nil),
		object(t, "clusterrolebindings.rbac.authorization.k8s.io", "", "coffer-extension-"+extension, nil),
		object(t, "clusterroles.rbac.authorization.k8s.io", "", "coffer-extension-backup-"+extension, nil),
		object(t, "clusterroles.rbac.authorization.k8s.io", "", "cluster-admin", nil),
		object(t, "namespaces", "", extension, nil),
		object(t, "deployments.apps", extension, "coffer-extension", nil),
		object(t, "serviceaccounts", extension, "coffer-extension", nil),
	}
	credentials := object(t, "secrets", extension, "storage", nil)
	others := []Item{
		object(t, "customresourcedefinitions.apiextensions.k8s.io", "", "things.acme.io", nil),
		object(t, "clusterroles.rbac.authorization.k8s.io", "", "view-things", nil),
		object(t, "deployments.apps", "shop", "coffer-extension", nil),
	}
	items := append(append(alone[:len(alone):len(alone)], credentials), others...)
	for _, policy := range []Policy{PatchExisting, ReplaceExisting, FailIfExists} {
		r := Request{Config: selection.Config{Rules: selection.Rules{ClusterScope: selection.ClusterScopeAll}}, VolumeData: true, Policy: policy, Extension: extension}
		p := mustMake(t, items, nil, r)
		steps := stepsByName(p.Against(existing(items...)))
		for _, item := range alone {
			if s := steps[item.String()]; s.Action != Skip || s.Policy != SkipExisting {
				t.Errorf("%s: %s: %s, then %s", policy, item, s.Action, s.Policy)
			}
		}
		for _, item := range others {
			if s := steps[item.String()]; s.Action == Skip {
				t.Errorf("%s: %s is left alone", policy, item)
			}
		}
		if s := steps[credentials.String()]; s.Action == Replace {
			t.Errorf("%s: what the extension needs is deleted in the meantime: %+v", policy, s)
		}
		if s := stepsByName(p)[alone[1].String()]; s.Action != Create {
			t.Errorf("%s: it is not there, and not restored either: %+v", policy, s)
		}
	}
	mapped := Request{Config: selection.Config{}, VolumeData: true, Policy: PatchExisting, Extension: extension, Mappings: map[string]string{extension: "copy"}}
	for _, s := range mustMake(t, items, nil, mapped).Steps {
		if s.Target == (coffer.ObjectRef{GroupResource: coffer.ParseGroupResource("deployments.apps"), Namespace: "copy", Name: "coffer-extension"}) && s.Policy != PatchExisting {
			t.Errorf("a copy is another one: %+v", s)
		}
	}
}
