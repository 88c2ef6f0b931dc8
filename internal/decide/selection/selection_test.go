package selection

import (
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func TestNamespaces(t *testing.T) {
	system := SystemNamespaces("dataprotection-microsoft")
	for _, tt := range []struct {
		name  string
		rules Rules
		ns    string
		want  bool
	}{
		{"everything takes a user's namespace", Rules{SystemNamespaces: system}, "shop", true},
		{"everything takes default", Rules{SystemNamespaces: system}, "default", true},
		{"everything leaves kube-system out", Rules{SystemNamespaces: system}, "kube-system", false},
		{"everything leaves the extension out", Rules{SystemNamespaces: system}, "dataprotection-microsoft", false},
		{"a system namespace is taken by name", Rules{Included: []string{"kube-system"}, SystemNamespaces: system}, "kube-system", true},
		{"a chosen namespace is taken", Rules{Included: []string{"a", "b"}}, "b", true},
		{"another is not", Rules{Included: []string{"a", "b"}}, "c", false},
		{"an excluded one is not", Rules{Excluded: []string{"a"}}, "a", false},
		{"the rest then is", Rules{Excluded: []string{"a"}}, "b", true},
		{"a name is not a prefix", Rules{Included: []string{"shop"}}, "shop-2", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.rules.Namespace(tt.ns)
			if d.Include != tt.want {
				t.Errorf("Namespace(%q) = %+v, want %v", tt.ns, d, tt.want)
			}
			if !d.Include && d.Reason == "" {
				t.Error("a no without a reason")
			}
		})
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	err := Rules{Included: []string{"a", "b"}, Excluded: []string{"b"}}.Check()
	if coffer.CodeOf(err) != coffer.CodeInvalid {
		t.Errorf("Check = %v, want %s", err, coffer.CodeInvalid)
	}
	if err := (Rules{Included: []string{"a"}, Excluded: []string{"b"}}).Check(); err != nil {
		t.Errorf("Check = %v", err)
	}
}

func resourceType(group, resource string, namespaced bool) coffer.ResourceType {
	return coffer.ResourceType{GroupResource: coffer.GroupResource{Group: group, Resource: resource}, Version: "v1", Namespaced: namespaced}
}

func TestTypes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		scope ClusterScope
		t     coffer.ResourceType
		want  bool
	}{
		{"namespaced types always", ClusterScopeNone, resourceType("", "configmaps", true), true},
		{"events never", ClusterScopeAll, resourceType("", "events", true), false},
		{"nodes never", ClusterScopeAll, resourceType("", "nodes", false), false},
		{"snapshots never: they are volumes of the point", ClusterScopeAll, resourceType("snapshot.storage.k8s.io", "volumesnapshots", true), false},
		{"our own runs never", ClusterScopeAll, resourceType("clusterbackup.dataprotection.microsoft.com", "backups", true), false},
		{"our hooks like any object", ClusterScopeNeeded, resourceType("clusterbackup.dataprotection.microsoft.com", "backuphooks", true), true},
		{"cluster roles with all", ClusterScopeAll, resourceType("rbac.authorization.k8s.io", "clusterroles", false), true},
		{"cluster roles not with needed", ClusterScopeNeeded, resourceType("rbac.authorization.k8s.io", "clusterroles", false), false},
		{"volumes with needed", ClusterScopeNeeded, resourceType("", "persistentvolumes", false), true},
		{"volumes not with none", ClusterScopeNone, resourceType("", "persistentvolumes", false), false},
		{"namespaces even with none", ClusterScopeNone, resourceType("", "namespaces", false), true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if d := (Rules{ClusterScope: tt.scope}).Type(tt.t); d.Include != tt.want || !d.Include && d.Reason == "" {
				t.Errorf("Type = %+v, want %v", d, tt.want)
			}
		})
	}
}

func TestObjects(t *testing.T) {
	volume := coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "persistentvolumes"}, Name: "pv"}
	namespace := func(name string) coffer.ObjectRef {
		return coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "namespaces"}, Name: name}
	}
	secret := coffer.ObjectRef{GroupResource: coffer.GroupResource{Resource: "secrets"}, Namespace: "shop", Name: "s"}
	shop := Rules{Included: []string{"shop"}}
	for _, tt := range []struct {
		name  string
		rules Rules
		ref   coffer.ObjectRef
		meta  coffer.HeaderMetadata
		body  string
		want  bool
	}{
		{"an object of the namespace", shop, secret, coffer.HeaderMetadata{}, `{}`, true},
		{"one being deleted", shop, secret, coffer.HeaderMetadata{DeletionTimestamp: "2026-01-01T00:00:00Z"}, `{}`, false},
		{"one that says no", shop, secret, coffer.HeaderMetadata{Labels: map[string]string{excludeLabel: "true"}}, `{}`, false},
		{"one that says no to no", shop, secret, coffer.HeaderMetadata{Labels: map[string]string{excludeLabel: "false"}}, `{}`, true},
		{"the volume of its claim", shop, volume, coffer.HeaderMetadata{}, `{"spec":{"claimRef":{"namespace":"shop"}}}`, true},
		{"the volume of another's", shop, volume, coffer.HeaderMetadata{}, `{"spec":{"claimRef":{"namespace":"bank"}}}`, false},
		{"a volume of nobody", shop, volume, coffer.HeaderMetadata{}, `{"spec":{}}`, false},
		{"a volume of nobody, with all", Rules{ClusterScope: ClusterScopeAll}, volume, coffer.HeaderMetadata{}, `{"spec":{}}`, true},
		{"an unreadable volume", shop, volume, coffer.HeaderMetadata{}, `[]`, false},
		{"the namespace itself", shop, namespace("shop"), coffer.HeaderMetadata{}, `{}`, true},
		{"another namespace", shop, namespace("bank"), coffer.HeaderMetadata{}, `{}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := tt.rules.Object(tt.ref, coffer.Header{Metadata: tt.meta}, []byte(tt.body))
			if d.Include != tt.want || !d.Include && d.Reason == "" {
				t.Errorf("Object = %+v, want %v", d, tt.want)
			}
		})
	}
}
