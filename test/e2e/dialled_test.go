//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/test/shop"
)

// dialledCluster is the name at the server of a cluster that the server dials.
const dialledCluster = "dialled"

func TestAClusterIsProtectedByAKubeconfigInPlaceOfALink(t *testing.T) {
	d := &dialled{vaulted: newVault(t), whole: t, box: newToolbox(t, "dialled", "lab"), start: snapshotsOnDisk(t)}
	d.mustLeave(t, lab)
	t.Cleanup(func() {
		_, _, _ = d.exec(t, "", "backup-instance", "delete", "-n", dialledCluster, "--retain-data", "--yes")
		_, _, _ = d.exec(t, "", "cluster", "leave", dialledCluster, "--yes", "--kubeconfig", lab.kubeconfig)
	})
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"join", d.join},
		{"trusted access", d.trustedAccess},
		{"backup", d.backUp},
		{"restore", d.restore},
		{"another kubeconfig", d.replace},
		{"leave", d.leave},
	} {
		if !t.Run(step.name, step.run) {
			t.FailNow()
		}
	}
}

// dialled is a cluster that the server dials, step by step.
type dialled struct {
	*vaulted
	// whole is the test of all steps: what a step makes for those after it is removed after that.
	whole *testing.T
	box   shop.Shop
	// start are the snapshots that there were before.
	start map[string]bool
	// token is that of the kubeconfig that the server has, and ends with a Secret.
	token string
	ends  *corev1.Secret
}

// newKubeconfig makes a kubeconfig of the ServiceAccount for the server, as the guide does, and answers its file.
func (d *dialled) newKubeconfig(t *testing.T, name string) string {
	t.Helper()
	d.ends = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := lab.client.Create(t.Context(), d.ends); err != nil {
		t.Fatal(err)
	}
	ends := d.ends
	d.whole.Cleanup(func() { _ = lab.client.Delete(context.Background(), ends) })
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "coffer-vault-server"}}
	asked := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Secret", Name: name, UID: ends.UID},
	}}
	if err := lab.client.SubResource("token").Create(t.Context(), account, asked); err != nil {
		t.Fatal(err)
	}
	d.token = asked.Status.Token
	file := filepath.Join(t.TempDir(), "vault-server.kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\nclusters: [{name: cluster, cluster: {server: 'https://%s', certificate-authority-data: %s}}]\n"+
		"users: [{name: coffer-vault-server, user: {token: %s}}]\ncontexts: [{name: vault-server, context: {cluster: cluster, user: coffer-vault-server}}]\n",
		lab.address(t), base64.StdEncoding.EncodeToString(lab.config.CAData), d.token)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// address is where a cluster's API server is for the vault's server: the lab's own kubeconfig is for this machine.
func (c *labCluster) address(t *testing.T) string {
	t.Helper()
	var slice discoveryv1.EndpointSlice
	if err := c.client.Get(t.Context(), client.ObjectKey{Namespace: "default", Name: "kubernetes"}, &slice); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s:%d", slice.Endpoints[0].Addresses[0], *slice.Ports[0].Port)
}

// as is a client by the server's own kubeconfig.
func (d *dialled) as(t *testing.T) func(as rest.ImpersonationConfig) client.Client {
	t.Helper()
	return func(as rest.ImpersonationConfig) client.Client { return byToken(t, d.token, as) }
}

func (d *dialled) joinArgs(file string, more ...string) []string {
	return append([]string{"cluster", "join", dialledCluster, "--kubeconfig", lab.kubeconfig, "--server-kubeconfig", file, "--timeout", "5m"}, more...)
}

func (d *dialled) join(t *testing.T) {
	if err := lab.install("connector.enabled=true", "connector.link=false"); err != nil {
		t.Fatal(err)
	}
	file := d.newKubeconfig(t, "vault-server-1")
	// Nobody gives access by a kubeconfig: that is said before anything is done.
	if _, said, code := d.exec(t, "", d.joinArgs(file, "--allow-bindings-by-owner")...); code == 0 || !strings.Contains(said, "trusted-access rolebinding approve") {
		t.Errorf("with --allow-bindings-by-owner: exit code %d, %s", code, said)
	}
	d.must(t, d.joinArgs(file)...)
	c := d.cluster(t, dialledCluster)
	if c.State != "Connected" || c.JoinedBy != "Kubeconfig" || c.ClusterUID != lab.uid(t) || c.Namespace != namespace || c.KubernetesVersion == "" || c.BindingsByOwner {
		t.Errorf("cluster: %+v", c)
	}
	if notes := strings.Join(c.Notes, "\n"); strings.Contains(notes, "may not") || strings.Contains(notes, "may do everything") || !strings.Contains(notes, "is good until") {
		t.Errorf("the chart's ServiceAccount is not as the server wants it: %s", notes)
	}
	if pods := d.connectorPods(t); pods != 0 {
		t.Errorf("%d pods of a connector run", pods)
	}
	if shown := d.must(t, "rest", "GET", d.clusterID(dialledCluster)); strings.Contains(shown, d.token) {
		t.Error("the server shows the token")
	}
}

func (d *dialled) connectorPods(t *testing.T) int {
	t.Helper()
	var pods corev1.PodList
	if err := lab.client.List(t.Context(), &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/component": "connector"}); err != nil {
		t.Fatal(err)
	}
	return len(pods.Items)
}

func (d *dialled) trustedAccess(t *testing.T) {
	d.mustBind(t, "e2e", dialledCluster, vaultName)
	b := d.check(t, "e2e", dialledCluster)
	if b.State != "Pending" || !strings.Contains(b.Message, "the server's kubeconfig cannot") || !strings.Contains(b.Command, "create rolebinding") {
		t.Fatalf("binding: %+v", b)
	}
	instance := []string{"backup-instance", "create", "-n", dialledCluster, "--cluster", d.clusterID(dialledCluster), "--policy-name", "nightly", "--included-namespaces", "dialled"}
	d.vaulted.mustFail(t, []string{b.Command}, instance...)

	own, vault := d.as(t)(rest.ImpersonationConfig{}), d.as(t)(rest.ImpersonationConfig{UserName: "system:serviceaccount:" + b.VaultsNamespace + ":" + b.Identity})
	mustBeForbidden(t, "by the kubeconfig", vaultMustNot(t, own))
	mustBeOnlyADoor(t, "the kubeconfig", b, d.as(t))
	mustBeForbidden(t, "as the vault, before it was let in", vaultMustNot(t, vault))
	mustBeForbidden(t, "as the vault, before it was let in", vaultMay(t, vault))
	lab.mustApprove(d.whole, b.Command)
	if b := d.check(t, "e2e", dialledCluster); b.State != "Approved" {
		t.Fatalf("after it was approved: %+v", b)
	}
	mustBeForbidden(t, "as the vault, with trusted access", vaultMustNot(t, vault))
	for what, try := range vaultMay(t, vault) {
		if err := try(); err != nil {
			t.Errorf("%s as the vault, with trusted access: %v", what, err)
		}
	}
}

func (d *dialled) backUp(t *testing.T) {
	flags := []string{"--included-namespaces", "dialled"}
	checks := d.must(t, append([]string{"backup-instance", "validate-for-backup", "-n", dialledCluster, "--cluster", d.clusterID(dialledCluster), "--policy-name", "nightly"}, flags...)...)
	if !strings.Contains(checks, "Passed") {
		t.Errorf("the checks of the cluster are not shown: %s", checks)
	}
	d.protectAt(d.whole, dialledCluster, dialledCluster, flags...)
	d.mustComplete(t, d.begun(t, "backup-instance", "adhoc-backup", "-n", dialledCluster))
	if points := d.points(t, dialledCluster); len(points) != 1 {
		t.Fatalf("recovery points: %+v", points)
	}
	// These come from the extension's reader, through the API server.
	for want, args := range map[string][]string{
		"box":      {"contents", "latest", "-n", dialledCluster, "--type", "Pod", "--objects", "-o", "json"},
		"Captured": {"coverage", "latest", "-n", dialledCluster, "-o", "json"},
	} {
		if out := d.must(t, append([]string{"recovery-point"}, args...)...); !strings.Contains(out, want) {
			t.Errorf("coffer recovery-point %v does not name %s: %s", args, want, out)
		}
	}
}

func (d *dialled) restore(t *testing.T) {
	back := shopIn(d.whole, "dialled-back")
	d.mustComplete(t, d.begun(t, "backup-instance", "restore", "trigger", "-n", dialledCluster, "--recovery-point-id", "latest", "--namespace-mappings", "dialled=dialled-back"))
	awaitFile(t, back, "/data/file")
	if text, err := back.Exec(t.Context(), "box", "c", "cat", "/data/file"); err != nil || strings.TrimSpace(text) != "hello" {
		t.Errorf("the volume holds %q, %v", text, err)
	}
	d.doWithout(t, back)
}

// doWithout begins to remove a namespace, which takes as long as the next steps do.
func (d *dialled) doWithout(t *testing.T, s shop.Shop) {
	t.Helper()
	if err := lab.client.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.Namespace}}); err != nil {
		t.Error(err)
	}
}

// replace ends the kubeconfig's token, and gives the server another one while a job waits.
func (d *dialled) replace(t *testing.T) {
	if err := lab.client.Delete(t.Context(), d.ends); err != nil {
		t.Fatal(err)
	}
	id := d.begun(t, "backup-instance", "adhoc-backup", "-n", dialledCluster)
	var c clusterState
	eventually(t, "the server sees that its kubeconfig has ended", time.Minute, func(context.Context) (bool, error) {
		c = d.cluster(t, dialledCluster)
		return c.State == "Disconnected", nil
	})
	if !strings.Contains(c.Message, "credentials") || !strings.Contains(c.Message, "--server-kubeconfig") {
		t.Errorf("what is to be done is not said: %s", c.Message)
	}
	// The API server takes a token that has ended for some seconds yet, in which the job may have ended.
	early := hasEnded(d.job(t, id))
	if early {
		id = d.begun(t, "backup-instance", "adhoc-backup", "-n", dialledCluster)
	}
	text, err := os.ReadFile(d.newKubeconfig(t, "vault-server-2"))
	if err != nil {
		t.Fatal(err)
	}
	// As somebody does it who has nothing but the server's own API.
	d.must(t, "rest", "POST", d.clusterID(dialledCluster)+"/providers/Coffer.Backup/kubeconfig", "--body", mustFile(t, mustJSON(t, map[string]string{"kubeconfig": string(text)})))
	eventually(t, "the server reaches the cluster again", time.Minute, func(context.Context) (bool, error) {
		return d.cluster(t, dialledCluster).State == "Connected", nil
	})
	d.mustComplete(t, id)
	if want := map[bool]int{false: 2, true: 3}[early]; len(d.points(t, dialledCluster)) != want {
		t.Errorf("%d recovery points, want %d", len(d.points(t, dialledCluster)), want)
	}
}

func (d *dialled) leave(t *testing.T) {
	d.doWithout(t, d.box)
	points := d.points(t, dialledCluster)
	d.must(t, "backup-instance", "delete", "-n", dialledCluster, "--yes")
	mustBeWithout(t, points, d.start)
	mustHaveNoSnapshotObjects(t)
	d.must(t, "trusted-access", "rolebinding", "delete", "--name", "e2e", "--cluster-name", dialledCluster, "--yes")
	_, said, code := d.exec(t, "", "cluster", "leave", dialledCluster, "--yes", "--kubeconfig", lab.kubeconfig)
	if taken := "kubectl -n " + namespace + " delete rolebinding coffer-vault-"; code != 0 || !strings.Contains(said, taken) {
		t.Errorf("exit code %d; what vaults may yet do in the cluster is not said: %s", code, said)
	}
	if c := d.cluster(t, dialledCluster); c.State != "Pending" || c.JoinedBy != "" || c.ClusterUID != "" {
		t.Errorf("cluster: %+v", c)
	}
	d.must(t, "rest", "DELETE", d.clusterID(dialledCluster))
	for _, kind := range []client.ObjectList{
		&corev1.ServiceAccountList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{}, &rbacv1.ClusterRoleList{}, &rbacv1.ClusterRoleBindingList{},
		&corev1.ConfigMapList{}, &corev1.SecretList{},
	} {
		mustHaveNone(t, kind, "coffer-connector", "coffer-vault-server", "coffer-extension-reader", "coffer-reader", "coffer-link", "coffer-join")
	}
}

// mustHaveNone fails if there is an object whose name begins with one of these.
func mustHaveNone(t *testing.T, list client.ObjectList, names ...string) {
	t.Helper()
	if err := lab.client.List(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	err := meta.EachListItem(list, func(o runtime.Object) error {
		found, err := meta.Accessor(o)
		if err == nil && slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(found.GetName(), name) }) {
			t.Errorf("%T %s/%s is left", o, found.GetNamespace(), found.GetName())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
