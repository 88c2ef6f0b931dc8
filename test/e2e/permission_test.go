//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// asExtension is a client with the rights of the extension and no other.
func asExtension(t *testing.T) client.Client {
	t.Helper()
	config := rest.CopyConfig(lab.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:" + namespace + ":coffer-extension",
		Groups:   []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
	}
	c, err := client.New(config, client.Options{Scheme: newScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func object(apiVersion, kind, ns, name string, fields map[string]any) *unstructured.Unstructured {
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": apiVersion, "kind": kind}}
	o.SetNamespace(ns)
	o.SetName(name)
	for k, v := range fields {
		o.Object[k] = v
	}
	return o
}

// forbidden tries what an extension that only backs up must not be able to do, for real but for the last step: a try
// that is allowed is a dry run.
func forbidden(t *testing.T, c client.Client, ns string) {
	t.Helper()
	config := object("v1", "ConfigMap", ns, "any", nil)
	role := object("rbac.authorization.k8s.io/v1", "Role", ns, "any", map[string]any{"rules": []any{map[string]any{"apiGroups": []any{""}, "resources": []any{"pods"}, "verbs": []any{"get"}}}})
	binding := map[string]any{
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
		"subjects": []any{map[string]any{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "me"}},
	}
	ctx := t.Context()
	tries := map[string]func() error{
		"create a ConfigMap": func() error { return c.Create(ctx, config, client.DryRunAll) },
		"create a Secret":    func() error { return c.Create(ctx, object("v1", "Secret", ns, "any", nil), client.DryRunAll) },
		"create a role":      func() error { return c.Create(ctx, role, client.DryRunAll) },
		"bind to cluster-admin": func() error {
			return c.Create(ctx, object("rbac.authorization.k8s.io/v1", "RoleBinding", ns, "any", binding), client.DryRunAll)
		},
		"delete a pod": func() error { return c.Delete(ctx, object("v1", "Pod", ns, "box", nil), client.DryRunAll) },
		"delete a claim": func() error {
			return c.Delete(ctx, object("v1", "PersistentVolumeClaim", ns, "data", nil), client.DryRunAll)
		},
		"patch a pod": func() error {
			return c.Patch(ctx, object("v1", "Pod", ns, "box", nil), client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`)), client.DryRunAll)
		},
		"make a token": func() error {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "default"}}
			return c.SubResource("token").Create(ctx, account, &authenticationv1.TokenRequest{})
		},
	}
	mustBeForbidden(t, "in namespace "+ns, tries)
}

// forbiddenOutside tries what no extension but one with the whole cluster must be able to do.
func forbiddenOutside(t *testing.T, c client.Client) {
	t.Helper()
	ctx := t.Context()
	mustBeForbidden(t, "in the cluster", map[string]func() error{
		"create a namespace": func() error { return c.Create(ctx, object("v1", "Namespace", "", "any", nil), client.DryRunAll) },
		"delete a namespace": func() error {
			return c.Delete(ctx, object("v1", "Namespace", "", "kube-public", nil), client.DryRunAll)
		},
		"create a cluster role binding": func() error {
			return c.Create(ctx, object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", "any", map[string]any{
				"roleRef": map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
			}), client.DryRunAll)
		},
		"create a webhook": func() error {
			return c.Create(ctx, object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "", "any", nil), client.DryRunAll)
		},
		"patch a node": func() error {
			return c.Patch(ctx, object("v1", "Node", "", machineName()+"-1", nil), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`)), client.DryRunAll)
		},
		"delete a volume": func() error { return c.Delete(ctx, object("v1", "PersistentVolume", "", "any", nil), client.DryRunAll) },
		"replace its own key": func() error {
			return c.Patch(ctx, object("v1", "Secret", namespace, "coffer-signing-key", nil), client.RawPatch(types.MergePatchType, []byte(`{"data":{}}`)), client.DryRunAll)
		},
		"deploy beside itself": func() error { return c.Create(ctx, object("v1", "Pod", namespace, "any", nil), client.DryRunAll) },
	})
}

func mustBeForbidden(t *testing.T, where string, tries map[string]func() error) {
	t.Helper()
	for what, try := range tries {
		if err := try(); !apierrors.IsForbidden(err) {
			t.Errorf("%s %s: %v, want it forbidden", what, where, err)
		}
	}
}

func TestPermissionProfilesAllowWhatTheySayAndNoMore(t *testing.T) {
	reinstallIfFailed(t)
	awaitQuiet(t) // The whole cluster is backed up.
	s := newToolbox(t, "guarded", "lab")
	other := newToolbox(t, "unguarded", "lab")
	newHook(t, "touch", "guarded", "c", "date >> /data/pre", "Fail", "30s")
	c := asExtension(t)

	t.Run("backup", func(t *testing.T) {
		if err := lab.install("permissions.profile=backup"); err != nil {
			t.Fatal(err)
		}
		forbidden(t, c, "guarded")
		forbiddenOutside(t, c)
		mustCoffer(t, "backup", "create", "guarded-1", "--backup-hook-references", "default/touch", "--wait")
		b := showBackup(t, "guarded-1")
		if !b.Status.Phase.Succeeded() || b.Status.Progress.VolumesReady < 2 || slices.ContainsFunc(b.Status.Warnings, func(w v1alpha1.Warning) bool {
			return strings.Contains(w.Message, "forbidden")
		}) {
			t.Errorf("backup: %+v", b.Status)
		}
		mustFail(t, []string{"UserErrorForbidden", "not allowed to create", "namespace guarded", "profile"},
			"restore", "create", "guarded-no", "--backup-name", "guarded-1", "--included-namespaces", "guarded", "--wait")
	})
	t.Run("backup without hooks", func(t *testing.T) {
		if err := lab.install("permissions.profile=backup", "permissions.hooks=false"); err != nil {
			t.Fatal(err)
		}
		mustFail(t, []string{"UserErrorHookExecutionFailed", "forbidden"},
			"backup", "create", "guarded-2", "--included-namespaces", "guarded", "--backup-hook-references", "default/touch", "--wait")
	})
	t.Run("namespaces", func(t *testing.T) {
		if err := lab.install("permissions.profile=namespaces", "permissions.namespaces={guarded}"); err != nil {
			t.Fatal(err)
		}
		forbidden(t, c, "unguarded")
		forbiddenOutside(t, c)
		mustFail(t, []string{"UserErrorForbidden", "namespace unguarded"},
			"restore", "create", "guarded-elsewhere", "--backup-name", "guarded-1", "--included-namespaces", "guarded", "--namespace-mappings", "guarded=unguarded", "--wait")
		// The pod and its claim are lost, and come back with the data.
		for _, o := range []client.Object{object("v1", "Pod", "guarded", "box", nil), object("v1", "PersistentVolumeClaim", "guarded", "data", nil)} {
			if err := lab.client.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		awaitGone(t, object("v1", "PersistentVolumeClaim", "guarded", "data", nil))
		mustCoffer(t, "restore", "create", "guarded-back", "--backup-name", "guarded-1", "--included-namespaces", "guarded", "--wait")
		if r := showRestore(t, "guarded-back"); r.Status.Progress.Failed != 0 || r.Status.Progress.VolumesBound != 1 {
			t.Errorf("restore: %+v", r.Status)
		}
		awaitFile(t, s, "/data/file")
	})
	t.Run("whole cluster", func(t *testing.T) {
		if err := lab.install(); err != nil {
			t.Fatal(err)
		}
		mustDestroy(t, other)
		mustCoffer(t, "restore", "create", "unguarded-back", "--backup-name", "guarded-1", "--included-namespaces", "unguarded", "--wait")
		awaitFile(t, other, "/data/file")
		mustCoffer(t, "backup", "delete", "guarded-1", "--yes", "--wait")
	})
	for _, values := range [][]string{{"permissions.profile=everything"}, {"permissions.profile=namespaces"}} {
		if err := lab.install(values...); err == nil || !strings.Contains(err.Error(), "permissions.") {
			t.Errorf("install with %v: %v", values, err)
		}
	}
}
