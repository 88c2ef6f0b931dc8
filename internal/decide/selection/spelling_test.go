package selection

import (
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func newType(group, resource, kind string, namespaced bool) coffer.ResourceType {
	return coffer.ResourceType{GroupResource: coffer.GroupResource{Group: group, Resource: resource}, Version: "v1", Kind: kind, Namespaced: namespaced}
}

// servedTypes are those of a cluster with two definitions of its own, one of which has a name of the core group's.
var servedTypes = []coffer.ResourceType{
	newType("", "secrets", "Secret", true),
	newType("", "configmaps", "ConfigMap", true),
	newType("", "services", "Service", true),
	newType("", "events", "Event", true),
	newType("", "pods", "Pod", true),
	newType("", "serviceaccounts", "ServiceAccount", true),
	newType("", "persistentvolumeclaims", "PersistentVolumeClaim", true),
	newType("", "namespaces", "Namespace", false),
	newType("", "nodes", "Node", false),
	newType("", "persistentvolumes", "PersistentVolume", false),
	newType("apps", "deployments", "Deployment", true),
	newType("apps", "statefulsets", "StatefulSet", true),
	newType("batch", "cronjobs", "CronJob", true),
	newType("networking.k8s.io", "ingresses", "Ingress", true),
	newType("extensions", "ingresses", "Ingress", true),
	newType("rbac.authorization.k8s.io", "clusterroles", "ClusterRole", false),
	newType("rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", false),
	newType("rbac.authorization.k8s.io", "rolebindings", "RoleBinding", true),
	newType("scheduling.k8s.io", "priorityclasses", "PriorityClass", false),
	newType("storage.k8s.io", "storageclasses", "StorageClass", false),
	newType("networking.k8s.io", "ingressclasses", "IngressClass", false),
	newType("node.k8s.io", "runtimeclasses", "RuntimeClass", false),
	newType("apiextensions.k8s.io", "customresourcedefinitions", "CustomResourceDefinition", false),
	newType("admissionregistration.k8s.io", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", false),
	newType("serving.knative.dev", "services", "Service", true),
	newType("acme.io", "rockets", "Rocket", true),
	newType("acme.io", "planets", "Planet", false),
	newType("clusterbackup.dataprotection.microsoft.com", "backuphooks", "BackupHook", true),
	newType("clusterbackup.dataprotection.microsoft.com", "backups", "Backup", true),
	newType("snapshot.storage.k8s.io", "volumesnapshots", "VolumeSnapshot", true),
}

func TestSpellingsOfTypes(t *testing.T) {
	for text, want := range map[string]string{
		"v1/Secret":                    "secrets",
		"v1/secrets":                   "secrets",
		"Secret":                       "secrets",
		"secret":                       "secrets",
		"SECRETS":                      "secrets",
		"secrets.v1":                   "secrets",
		"apps/Deployment":              "deployments.apps",
		"apps/v1/Deployment":           "deployments.apps",
		"apps/v1beta1/deployments":     "deployments.apps",
		"deployments.apps":             "deployments.apps",
		"Deployment.apps":              "deployments.apps",
		"deployments.v1.apps":          "deployments.apps",
		"deployments":                  "deployments.apps",
		"networking.k8s.io/v1/Ingress": "ingresses.networking.k8s.io",
		"ingresses.networking.k8s.io":  "ingresses.networking.k8s.io",
		"Ingress":                      "ingresses.extensions ingresses.networking.k8s.io",
		"services":                     "services",
		"*services":                    "services services.serving.knative.dev",
		"services.serving.knative.dev": "services.serving.knative.dev",
		"*.apps":                       "deployments.apps statefulsets.apps",
		"apps/*":                       "deployments.apps statefulsets.apps",
		"apps/v1/*":                    "deployments.apps statefulsets.apps",
		"*/Service":                    "services services.serving.knative.dev",
		"*.acme.io":                    "planets.acme.io rockets.acme.io",
		"[pr]*.acme.??":                "planets.acme.io rockets.acme.io",
		"v1/*Set":                      "",
		"*set":                         "statefulsets.apps",
		"v1/Deployment":                "",
		"deployment.app":               "",
		"deploy":                       "",
	} {
		s, err := parseSpelling("includedResourceTypes", text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var names []string
		for _, found := range s.resolve(servedTypes) {
			names = append(names, found.GroupResource.String())
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	for _, all := range []string{"*", "*.*", "*/*", "*/*/*"} {
		if s, err := parseSpelling("f", all); err != nil || len(s.resolve(servedTypes)) != len(servedTypes) {
			t.Errorf("%q is not all types: %v", all, err)
		}
	}
}

func TestSpellingsThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{"", "/", "v1/", "/Secret", "a/b/c", "a/v1/b/c", "secrets ", "a b", "[", "secrets.[", "{a,b}", "**", "a|b", ".apps", "apps.", "sécrets", "apps/v1/"} {
		_, err := parseSpelling("excludedResourceTypes", text)
		if coffer.CodeOf(err) != coffer.CodeInvalid || !strings.Contains(err.Error(), "excludedResourceTypes") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNearSpellings(t *testing.T) {
	for text, want := range map[string]string{
		"secrts": "secrets", "v1/Secrett": "secrets", "deployement": "deployments.apps", "clusterrole": "clusterroles.rbac.authorization.k8s.io",
		"rockts.acme.io": "rockets.acme.io", "zzz": "", "*secretz": "", "x": "",
	} {
		s, err := parseSpelling("f", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(s.nearest(servedTypes), ","); got != want {
			t.Errorf("near %q is %q, want %q", text, got, want)
		}
	}
}

func FuzzSpelling(f *testing.F) {
	for _, seed := range []string{"v1/Secret", "apps/v1/Deployment", "deployments.v1.apps", "*.apps", "[a-c]?.x", "", "/", "a.v1", "[[]]", "\xff", "*/*/*"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSpelling("f", text)
		if err != nil {
			if coffer.CodeOf(err) != coffer.CodeInvalid {
				t.Errorf("%q: an error without its code: %v", text, err)
			}
			return
		}
		again, err := parseSpelling("f", strings.ToUpper(text))
		if err != nil || again.name != s.name || again.group != s.group {
			t.Errorf("%q depends on its letters' case: %+v, %+v, %v", text, s, again, err)
		}
		for _, found := range s.resolve(servedTypes) {
			if !s.matches(found) {
				t.Errorf("%q found %s, which it does not match", text, found.GroupResource)
			}
		}
		s.nearest(servedTypes)
	})
}

func FuzzNamespacePattern(f *testing.F) {
	for _, seed := range []string{"a*", "[ab]?", "**", "[", "[]", "[a-", "[a-]", "[-a]", "kube-*", "", "\\", "[[a]", "[a]]"} {
		f.Add(seed, "kube-system")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		rules := Rules{Included: []string{pattern}, SystemNamespaces: []string{"kube-system"}}
		if err := rules.Check(); err != nil {
			if coffer.CodeOf(err) != coffer.CodeInvalid {
				t.Errorf("%q: an error without its code: %v", pattern, err)
			}
			return
		}
		d := rules.Namespace(name)
		if !d.Include && d.Reason == "" {
			t.Error("a no without a reason")
		}
		if d.Include && name == "kube-system" && pattern != name {
			t.Errorf("%q takes kube-system", pattern)
		}
		if !isPattern(pattern) && d.Include != (pattern == name) {
			t.Errorf("%q without wildcards decides %v on %q", pattern, d, name)
		}
	})
}
