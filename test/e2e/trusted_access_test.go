//go:build e2e

package e2e

import (
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// connectorToken is a token of the connector's ServiceAccount.
func connectorToken(t *testing.T) string {
	t.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "coffer-connector"}}
	token := &authenticationv1.TokenRequest{}
	if err := lab.client.SubResource("token").Create(t.Context(), account, token); err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

// asConnector is a client with the token of the connector's ServiceAccount, in the name of somebody else if one is given.
func asConnector(t *testing.T, as rest.ImpersonationConfig) client.Client {
	t.Helper()
	return byToken(t, connectorToken(t), as)
}

// byToken is a client with a token, in the name of somebody else if one is given.
func byToken(t *testing.T, token string, as rest.ImpersonationConfig) client.Client {
	t.Helper()
	config := rest.AnonymousClientConfig(lab.config)
	config.BearerToken, config.Impersonate, config.QPS = token, as, -1
	c, err := client.New(config, client.Options{Scheme: newScheme(), Mapper: lab.client.RESTMapper()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// asVault is a client as the connector forwards what a vault asks.
func asVault(t *testing.T, b bindingState) client.Client {
	t.Helper()
	return asConnector(t, rest.ImpersonationConfig{UserName: "system:serviceaccount:" + b.VaultsNamespace + ":" + b.Identity})
}

const backupGroup = "clusterbackup.dataprotection.microsoft.com/v1alpha1"

// vaultMustNot are what no vault may do in a cluster, whatever it was given.
func vaultMustNot(t *testing.T, c client.Client) map[string]func() error {
	t.Helper()
	ctx := t.Context()
	list := func(list client.ObjectList, ns string) func() error {
		return func() error { return c.List(ctx, list, client.InNamespace(ns)) }
	}
	create := func(o client.Object) func() error {
		return func() error { return c.Create(ctx, o, client.DryRunAll) }
	}
	return map[string]func() error{
		"read the extension's secrets": list(&corev1.SecretList{}, namespace),
		"read a secret by its name": func() error {
			return c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "coffer-link"}, &corev1.Secret{})
		},
		"read an application's secrets":     list(&corev1.SecretList{}, "vaulted"),
		"read configmaps":                   list(&corev1.ConfigMapList{}, namespace),
		"read pods":                         list(&corev1.PodList{}, "vaulted"),
		"read volumes":                      list(&corev1.PersistentVolumeList{}, ""),
		"read namespaces":                   list(&corev1.NamespaceList{}, ""),
		"read storage locations":            list(&v1alpha1.BackupStorageLocationList{}, namespace),
		"read hooks":                        list(&v1alpha1.BackupHookList{}, "default"),
		"read backups of another namespace": list(&v1alpha1.BackupList{}, "default"),
		"read backups everywhere":           list(&v1alpha1.BackupList{}, ""),
		"create a hook":                     create(object(backupGroup, "BackupHook", "default", "any", map[string]any{"spec": map[string]any{"backupHook": []any{}}})),
		"create a restore hook":             create(object(backupGroup, "RestoreHook", namespace, "any", map[string]any{"spec": map[string]any{"restoreHook": []any{}}})),
		"create a storage location": create(object(backupGroup, "BackupStorageLocation", namespace, "any", map[string]any{
			"spec": map[string]any{"provider": "s3", "container": "elsewhere"},
		})),
		"point a storage location elsewhere": func() error {
			return c.Patch(ctx, object(backupGroup, "BackupStorageLocation", namespace, "default", nil), client.RawPatch(types.MergePatchType, []byte(`{"spec":{"container":"elsewhere"}}`)), client.DryRunAll)
		},
		"back up from another namespace": create(object(backupGroup, "Backup", "default", "any", map[string]any{"spec": map[string]any{}})),
		"say how a run went": func() error {
			return c.SubResource("status").Patch(ctx, object(backupGroup, "Backup", namespace, "any", nil), client.RawPatch(types.MergePatchType, []byte(`{"status":{"phase":"Completed"}}`)))
		},
		"run a pod":     create(object("v1", "Pod", namespace, "any", map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "c", "image": "x"}}}})),
		"make a secret": create(object("v1", "Secret", namespace, "any", nil)),
		"bind a role": create(object("rbac.authorization.k8s.io/v1", "RoleBinding", namespace, "any", map[string]any{
			"roleRef": map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "backup-operator"},
		})),
		"get a token of the extension": func() error {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "coffer-extension"}}
			return c.SubResource("token").Create(ctx, account, &authenticationv1.TokenRequest{})
		},
	}
}

// vaultMay is what a vault with trusted access does, and one without it must not.
func vaultMay(t *testing.T, c client.Client) map[string]func() error {
	t.Helper()
	ctx := t.Context()
	return map[string]func() error{
		"list backups": func() error { return c.List(ctx, &v1alpha1.BackupList{}, client.InNamespace(namespace)) },
		"back up": func() error {
			return c.Create(ctx, object(backupGroup, "Backup", namespace, "any", map[string]any{"spec": map[string]any{"includedNamespaces": []any{"vaulted"}}}), client.DryRunAll)
		},
		"restore": func() error {
			return c.Create(ctx, object(backupGroup, "Restore", namespace, "any", map[string]any{"spec": map[string]any{"backupName": "any"}}), client.DryRunAll)
		},
		"delete a recovery point": func() error {
			return c.Create(ctx, object(backupGroup, "DeleteBackup", namespace, "any", map[string]any{"spec": map[string]any{"backupName": "any"}}), client.DryRunAll)
		},
	}
}

// trustedAccess lets a second vault in, and tries what it may at each stage.
func (j *protection) trustedAccess(t *testing.T) {
	j.must(t, "backup-vault", "create", "-v", "stranger", "--storage-setting", "[{type:LocallyRedundant,datastore-type:VaultStore}]", "--soft-delete-state", "Off")
	t.Cleanup(func() {
		_, _, _ = j.exec(t, "", "backup-instance", "delete", "-v", "stranger", "-n", "any", "--retain-data", "--yes")
		_, _, _ = j.exec(t, "", "trusted-access", "rolebinding", "delete", "--name", "stranger", "--cluster-name", firstCluster, "--yes")
		_, _, _ = j.exec(t, "", "backup-policy", "delete", "-v", "stranger", "-n", "nightly", "--yes")
		_, _, _ = j.exec(t, "", "backup-vault", "delete", "-v", "stranger", "--yes")
	})
	j.mustHavePolicy(t, "stranger", "nightly")
	instance := []string{
		"-v", "stranger", "-n", "any", "--cluster", j.clusterID(firstCluster), "--policy-name", "nightly", "--included-namespaces", "vaulted",
	}
	j.vaulted.mustFail(t, []string{"UserErrorTrustedAccessNotFound"}, append([]string{"backup-instance", "create"}, instance...)...)

	j.mustBind(t, "stranger", firstCluster, "stranger")
	b := j.check(t, "stranger", firstCluster)
	if b.State != "Pending" || b.Namespace != namespace || b.VaultsNamespace != namespace+"-vaults" || !strings.Contains(b.Command, b.Identity) {
		t.Fatalf("binding: %+v", b)
	}
	approved := j.check(t, "e2e", firstCluster)
	if approved.State != "Approved" || approved.Identity == b.Identity {
		t.Errorf("the other vault's binding: %+v", approved)
	}
	j.vaulted.mustFail(t, []string{"create rolebinding"}, append([]string{"backup-instance", "create"}, instance...)...)
	j.vaulted.mustFail(t, nil, "rest", "GET", j.vaultID("stranger")+"/providers/Coffer.Backup/inventory?clusterId="+j.clusterID(firstCluster))
	stranger, link := asVault(t, b), linkTo(t)
	carried, smuggling := throughLink(t, link, b.Identity, nil), throughLink(t, link, b.Identity, smuggled())
	for where, c := range map[string]client.Client{"as the vault": stranger, "through the link": carried, "smuggling": smuggling} {
		mustBeForbidden(t, where+", before it was let in", vaultMustNot(t, c))
		mustBeForbidden(t, where+", before it was let in", vaultMay(t, c))
	}

	lab.mustApprove(t, b.Command)
	if b := j.check(t, "stranger", firstCluster); b.State != "Approved" {
		t.Errorf("after it was approved: %+v", b)
	}
	for where, c := range map[string]client.Client{"as the vault": stranger, "through the link": carried, "smuggling": smuggling} {
		for what, try := range vaultMay(t, c) {
			if err := try(); err != nil {
				t.Errorf("%s %s, with trusted access: %v", what, where, err)
			}
		}
		mustBeForbidden(t, where+", with trusted access", vaultMustNot(t, c))
	}
	// Nobody but vaults is asked for by name.
	for _, name := range []string{"coffer-extension", "default", "vault-" + strings.Repeat("g", 40)} {
		if err := throughLink(t, link, name, nil).List(t.Context(), &v1alpha1.BackupList{}, client.InNamespace(namespace)); err == nil {
			t.Errorf("through the link, %s lists backups", name)
		}
	}
	j.must(t, append([]string{"backup-instance", "validate-for-backup"}, instance...)...)
	own := asConnector(t, rest.ImpersonationConfig{})
	mustBeForbidden(t, "as the connector", vaultMustNotAsConnector(vaultMustNot(t, own)))
	mustBeOnlyADoor(t, "the connector", b, func(as rest.ImpersonationConfig) client.Client { return asConnector(t, as) })

	// What the owner takes back is taken, whatever the server has noted.
	binding := &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: bindCommand.FindStringSubmatch(b.Command)[2]}}
	if err := lab.client.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	lab.awaitAccess(t, b.VaultsNamespace, b.Identity, listBackups(namespace), false)
	mustBeForbidden(t, "after it was taken back", vaultMay(t, stranger))
	if b := j.check(t, "stranger", firstCluster); b.State != "Pending" {
		t.Errorf("after it was taken back: %+v", b)
	}
	j.vaulted.mustFail(t, []string{"create rolebinding"}, append([]string{"backup-instance", "create"}, instance...)...)
}

// mustBeOnlyADoor tries, by the own credentials of who carries what vaults ask, what would make more of it than a door for them.
func mustBeOnlyADoor(t *testing.T, who string, vault bindingState, by func(as rest.ImpersonationConfig) client.Client) {
	t.Helper()
	own := by(rest.ImpersonationConfig{})
	mustBeForbidden(t, "as "+who, vaultMay(t, own))
	tries := map[string]func() error{
		"read the signing key": func() error {
			return own.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: "coffer-signing-key"}, &corev1.Secret{})
		},
		"change the role of vaults": func() error {
			return own.Patch(t.Context(), object("rbac.authorization.k8s.io/v1", "ClusterRole", "", "backup-operator", nil), client.RawPatch(types.MergePatchType, []byte(`{"rules":[]}`)), client.DryRunAll)
		},
		"make an account for a vault": func() error {
			return own.Create(t.Context(), object("v1", "ServiceAccount", vault.VaultsNamespace, "any", nil), client.DryRunAll)
		},
	}
	mustBeForbidden(t, "as "+who, tries)
	for name, as := range map[string]rest.ImpersonationConfig{
		"the extension":            {UserName: "system:serviceaccount:" + namespace + ":coffer-extension"},
		"another account":          {UserName: "system:serviceaccount:kube-system:default"},
		"an administrator":         {UserName: "kubernetes-admin", Groups: []string{"system:masters"}},
		"a vault that is a master": {UserName: "system:serviceaccount:" + vault.VaultsNamespace + ":" + vault.Identity, Groups: []string{"system:masters"}},
		"a user like a vault":      {UserName: vault.Identity},
		"a node":                   {UserName: "system:node:" + machineName(), Groups: []string{"system:nodes"}},
	} {
		c := by(as)
		if err := c.List(t.Context(), &v1alpha1.BackupList{}, client.InNamespace(namespace)); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "impersonate") {
			t.Errorf("%s as %s: %v, want impersonation forbidden", who, name, err)
		}
	}
}

// vaultMustNotAsConnector leaves out what the connector may do and a vault not: read the one Secret that is its own.
func vaultMustNotAsConnector(tries map[string]func() error) map[string]func() error {
	delete(tries, "read a secret by its name")
	return tries
}
