//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/outbound/portforward"
)

// What the library's Secret holds: the password is correct-horse, and its base64 stands in the annotation too.
const (
	libraryPassword = "correct-horse"
	libraryEncoded  = "Y29ycmVjdC1ob3JzZQ=="
	library         = `
apiVersion: v1
kind: Namespace
metadata: {name: __NAMESPACE__}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shelves, namespace: __NAMESPACE__}
data: {rows: "12"}
---
apiVersion: v1
kind: Secret
metadata:
  name: login
  namespace: __NAMESPACE__
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: |
      {"apiVersion":"v1","data":{"password":"Y29ycmVjdC1ob3JzZQ=="},"kind":"Secret","metadata":{"annotations":{},"name":"login"}}
data: {password: Y29ycmVjdC1ob3JzZQ==}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: desk, namespace: __NAMESPACE__}
spec:
  replicas: 0
  selector: {matchLabels: {app: desk}}
  template:
    metadata: {labels: {app: desk}}
    spec: {containers: [{name: c, image: none}]}
`
)

// newLibrary makes a namespace with a few objects and no volume.
func newLibrary(t *testing.T, ns string) {
	t.Helper()
	shopIn(t, ns)
	apply(t, strings.ReplaceAll(library, "__NAMESPACE__", ns))
}

func TestContentsOfARecoveryPointAreShown(t *testing.T) {
	newLibrary(t, "library")
	newLibrary(t, "annex")
	mustCoffer(t, "backup", "create", "library-1", "--included-namespaces", "library,annex", "--wait")
	if out := mustCoffer(t, "backup", "show", "library-1"); !strings.Contains(out, "coffer backup contents library-1") {
		t.Errorf("backup show does not say how to look into it:\n%s", out)
	}

	out := mustCoffer(t, "backup", "contents", "library-1")
	for _, want := range []string{"TYPE", "deployments.apps", "login", "annex", "namespaces"} {
		if !strings.Contains(out, want) {
			t.Errorf("the list does not have %q:\n%s", want, out)
		}
	}
	if rows, captured := strings.Count(out, "\n")-1, showBackup(t, "library-1").Status.Progress.Objects; int64(rows) != captured {
		t.Errorf("the list has %d objects, and the backup %d", rows, captured)
	}
	for _, kind := range []string{"Deployment", "deployments", "apps/v1/deployments", "deployments.apps"} {
		out := mustCoffer(t, "backup", "contents", "library-1", "--namespace", "library", "--kind", kind)
		if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[1], "deployments.apps ") || !strings.Contains(lines[1], "desk") {
			t.Errorf("--kind %s:\n%s", kind, out)
		}
	}

	var shelves corev1.ConfigMap
	out = mustCoffer(t, "backup", "contents", "library-1", "--namespace", "library", "--kind", "configmap", "--name", "shelves", "-o", "yaml")
	if err := yaml.Unmarshal([]byte(out), &shelves); err != nil || shelves.Kind != "ConfigMap" || shelves.Namespace != "library" || shelves.Data["rows"] != "12" {
		t.Errorf("%v\n%s", err, out)
	}
	var list corev1.List
	out = mustCoffer(t, "backup", "contents", "library-1", "-o", "json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || list.Kind != "List" || int64(len(list.Items)) != showBackup(t, "library-1").Status.Progress.Objects {
		t.Errorf("%v, %d objects", err, len(list.Items))
	}
	mustHideLogin(t, out)

	one := []string{"backup", "contents", "library-1", "--namespace", "library", "--kind", "Secret", "--name", "login", "-o", "yaml"}
	mustHideLogin(t, mustCoffer(t, one...))
	mustShowLogin(t, mustCoffer(t, append(one, "--show-secrets")...))

	// Nothing, as kubectl has it; and what is misspelt.
	stdout, stderr, code := coffer(t, "backup", "contents", "library-1", "--namespace", "nowhere")
	if code != 0 || stdout != "" || !strings.Contains(stderr, "Nothing in recovery point library-1 matches") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	mustFail(t, []string{"has no such object named nobody"}, "backup", "contents", "library-1", "--name", "nobody")
	mustFail(t, []string{"UserErrorInvalidRequest", "did you mean secrets?"}, "backup", "contents", "library-1", "--kind", "scret")
	mustFail(t, []string{"UserErrorRecoveryPointNotFound", "coffer backup list"}, "backup", "contents", "library-0")
	mustFail(t, []string{"UserErrorNoDefaultBackupStorageLocationFound"}, "backup", "contents", "library-1", "--storage-location", "nowhere")
	mustFail(t, []string{"no Backup extension runs in namespace default", "--extension-namespace"}, "backup", "contents", "library-1", "--extension-namespace", "default")

	// What was altered is refused.
	file := filepath.Join(lab.blobs, "backups", "backups", "library-1", "index.json.gz")
	index, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	altered := append([]byte{}, index...)
	altered[len(altered)/2] ^= 1
	if err := os.WriteFile(file, altered, 0o600); err != nil {
		t.Fatal(err)
	}
	mustFail(t, []string{"RecoveryPointIntegrityCheckFailed", "index.json.gz"}, "backup", "contents", "library-1")
	if err := os.WriteFile(file, index, 0o600); err != nil {
		t.Fatal(err)
	}
	mustCoffer(t, "backup", "delete", "library-1", "--yes", "--wait")
}

func mustHideLogin(t *testing.T, out string) {
	t.Helper()
	if strings.Contains(out, libraryPassword) || strings.Contains(out, libraryEncoded) || !strings.Contains(out, "***") {
		t.Errorf("the password is shown, or the Secret is not there:\n%s", out)
	}
}

func mustShowLogin(t *testing.T, out string) {
	t.Helper()
	var login corev1.Secret
	if err := yaml.Unmarshal([]byte(out), &login); err != nil || string(login.Data["password"]) != libraryPassword {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestContentsOfAnEncryptedRecoveryPointAreShown(t *testing.T) {
	file, private, public := newKeys(t)
	_, otherPrivate, otherPublic := newKeys(t)
	newBucket(t, "reading-room", "--encryption-identities-file", file)
	removeKeys(t)
	newLibrary(t, "reading")
	mustCoffer(t, "backup", "create", "reading-1", "--storage-location", "objects", "--included-namespaces", "reading", "--wait")
	one := []string{"backup", "contents", "reading-1", "--storage-location", "objects", "--kind", "Secret", "--name", "login", "-o", "yaml"}
	mustHideLogin(t, mustCoffer(t, one...))
	mustShowLogin(t, mustCoffer(t, append(one, "--show-secrets")...))
	setKeys(t, map[string]string{"recipients": otherPublic, "identities": otherPrivate})
	mustFail(t, []string{"UserErrorDecryptionKeyMissing", "encrypted to " + public}, one...)
	setKeys(t, map[string]string{"recipients": public, "identities": private})
	mustCoffer(t, "backup", "delete", "reading-1", "--storage-location", "objects", "--yes", "--wait")
}

// newUser makes a ServiceAccount with rules in the extension's namespace, and a kubeconfig of it.
func newUser(t *testing.T, name string, rules ...rbacv1.PolicyRule) (kubeconfig string) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	account := &corev1.ServiceAccount{ObjectMeta: meta}
	for _, o := range []client.Object{
		account,
		&rbacv1.Role{ObjectMeta: meta, Rules: rules},
		&rbacv1.RoleBinding{
			ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
		},
	} {
		if err := lab.client.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := lab.client.Delete(context.Background(), o); err != nil {
				t.Error(err)
			}
		})
	}
	for _, rule := range rules {
		resource, sub, _ := strings.Cut(rule.Resources[0], "/")
		lab.awaitAccess(t, namespace, name, authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: rule.Verbs[0], Group: rule.APIGroups[0], Resource: resource, Subresource: sub,
		}, true)
	}
	token := &authenticationv1.TokenRequest{}
	if err := lab.client.SubResource("token").Create(t.Context(), account, token); err != nil {
		t.Fatal(err)
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["lab"] = &clientcmdapi.Cluster{
		Server: lab.config.Host, CertificateAuthority: lab.config.CAFile, CertificateAuthorityData: lab.config.CAData, TLSServerName: lab.config.ServerName,
	}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	config.Contexts["lab"] = &clientcmdapi.Context{Cluster: "lab", AuthInfo: name}
	config.CurrentContext = "lab"
	kubeconfig = filepath.Join(t.TempDir(), name)
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

func TestContentsAreForThoseWhoMayForwardPorts(t *testing.T) {
	newLibrary(t, "closed")
	mustCoffer(t, "backup", "create", "closed-1", "--included-namespaces", "closed", "--wait")
	runs := rbacv1.PolicyRule{APIGroups: []string{"clusterbackup.dataprotection.microsoft.com"}, Resources: []string{"*"}, Verbs: []string{"*"}}
	pods := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}
	forward := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/portforward"}, Verbs: []string{"get", "create"}}
	create := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods/portforward"}, Verbs: []string{"create"}}

	backsUp := newUser(t, "backs-up", runs)
	mustFail(t, []string{"you may not look into recovery points", "pods/portforward", "every Secret"}, "backup", "contents", "closed-1", "--kubeconfig", backsUp)
	sees := newUser(t, "sees-pods", runs, pods)
	mustFail(t, []string{"you may not look into recovery points", "pods/portforward"}, "backup", "contents", "closed-1", "--kubeconfig", sees)
	reads := newUser(t, "reads", pods, forward)
	mustShowLogin(t, mustCoffer(t, "backup", "contents", "closed-1", "--kind", "Secret", "--name", "login", "-o", "yaml", "--show-secrets", "--kubeconfig", reads))
	// Some API servers want get for WebSockets, and fall back to SPDY, which wants create.
	creates := newUser(t, "creates", pods, create)
	mustHideLogin(t, mustCoffer(t, "backup", "contents", "closed-1", "--kind", "Secret", "--name", "login", "-o", "yaml", "--kubeconfig", creates))
	mustCoffer(t, "backup", "delete", "closed-1", "--yes", "--wait")
}

func TestContentsAreNotServedAtThePodsAddress(t *testing.T) {
	pods := extensionPods(t)
	set, err := kubernetes.NewForConfig(lab.config)
	if err != nil {
		t.Fatal(err)
	}
	// The metrics show that this way leads to the pod.
	if !strings.Contains(scrape(t), "coffer_") {
		t.Error("the pod is not reached")
	}
	for _, pod := range pods {
		out, err := set.CoreV1().Pods(namespace).ProxyGet("http", pod.Name, fmt.Sprint(content.Port), "/", nil).DoRaw(t.Context())
		if err == nil || !strings.Contains(err.Error()+string(out), "refused") {
			t.Errorf("port %d of pod %s: %v\n%s", content.Port, pod.Name, err, out)
		}
	}
}

// extensionPods are those of the extension that are not being deleted, and have not ended: a node that comes back may leave some behind.
func extensionPods(t *testing.T) []corev1.Pod {
	t.Helper()
	pods, err := findExtension(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return pods
}

func findExtension(ctx context.Context) ([]corev1.Pod, error) {
	var pods corev1.PodList
	err := lab.client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "coffer-extension"})
	return slices.DeleteFunc(pods.Items, func(pod corev1.Pod) bool {
		return pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded
	}), err
}

func TestEveryReplicaServesContents(t *testing.T) {
	newLibrary(t, "branches")
	mustCoffer(t, "backup", "create", "branches-1", "--included-namespaces", "branches", "--wait")
	t.Cleanup(func() {
		if err := lab.install(); err != nil {
			t.Error(err)
		}
	})
	if err := lab.install("serveContents=false"); err != nil {
		t.Fatal(err)
	}
	mustFail(t, []string{"serves no contents", "serveContents=false"}, "backup", "contents", "branches-1")
	if err := lab.install("serveContents=true", "replicas=2"); err != nil {
		t.Fatal(err)
	}
	pods := extensionPods(t)
	if len(pods) < 2 {
		t.Fatalf("there are %d replicas", len(pods))
	}
	for _, pod := range pods {
		transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return portforward.Dial(ctx, lab.config, namespace, pod.Name, content.Port)
		}}
		url := content.Contents{StorageLocation: "default", BackupName: "branches-1"}.URL()
		url.Scheme, url.Host = "http", "reader"
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := transport.RoundTrip(request)
		if err != nil {
			t.Fatalf("pod %s: %v", pod.Name, err)
		}
		items := 0
		if err := content.Read(answer.Body, func(content.Item) error { items++; return nil }); err != nil || items < 4 {
			t.Errorf("pod %s: %d objects, %v", pod.Name, items, err)
		}
		answer.Body.Close()
	}
	mustCoffer(t, "backup", "delete", "branches-1", "--yes", "--wait")
}
