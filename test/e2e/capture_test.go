//go:build e2e

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	product "github.com/coffer-backup/coffer/internal/coffer"
)

// void is an API group whose API server is nowhere, and a type whose objects nobody can convert.
const void = `
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.void.example.com}
spec: {group: void.example.com, version: v1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {namespace: default, name: nowhere}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: relics.broken.example.com}
spec:
  group: broken.example.com
  scope: Namespaced
  names: {kind: Relic, plural: relics, singular: relic}
  versions:
  - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  - {name: v1, served: true, storage: false, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
  conversion:
    strategy: Webhook
    webhook: {conversionReviewVersions: [v1], clientConfig: {service: {namespace: default, name: nowhere}}}
`

func TestWhatDoesNotAnswerIsAGapAndTheRestIsBackedUp(t *testing.T) {
	t.Cleanup(func() { removeCluster(context.WithoutCancel(t.Context()), t, void) })
	apply(t, "apiVersion: v1\nkind: Namespace\nmetadata: {name: gaps}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {namespace: gaps, name: here}\n")
	t.Cleanup(func() {
		_ = lab.client.Delete(context.WithoutCancel(t.Context()), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "gaps"}})
	})
	apply(t, void)
	relic := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "broken.example.com/v1alpha1", "kind": "Relic", "metadata": map[string]any{"namespace": "gaps", "name": "old"},
	}}
	eventually(t, "the relics are served", time.Minute, func(ctx context.Context) (bool, error) {
		return lab.client.Create(ctx, relic.DeepCopy()) == nil, nil
	})
	eventually(t, "the API server knows of the group that is nowhere", time.Minute, func(ctx context.Context) (bool, error) {
		_, gaps, err := lab.cluster.Types(ctx)
		return slices.ContainsFunc(gaps, func(g product.TypeGap) bool { return g.What == "void.example.com/v1" }), err
	})
	mustCoffer(t, "backup", "create", "gaps", "--included-namespaces", "gaps", "--wait")
	b := showBackup(t, "gaps")
	if b.Status.Phase != v1alpha1.RunCompletedWithWarnings {
		t.Errorf("phase %s: %s", b.Status.Phase, b.Status.Message)
	}
	var coverage product.Coverage
	readPoint(t, "gaps", "coverage.json.gz", &coverage)
	for _, want := range []string{"void.example.com/v1", "relics.broken.example.com"} {
		found := false
		for _, g := range coverage.Gaps {
			found = found || g.What == want && g.Reason != ""
		}
		if !found {
			t.Errorf("%s is no gap: %v", want, coverage.Gaps)
		}
	}
	if objects := pointObjects(t, "gaps"); !strings.Contains(strings.Join(objects, "\n"), "ConfigMap gaps/here") {
		t.Errorf("captured %v", objects)
	}
	shown := mustCoffer(t, "backup", "describe", "gaps")
	for _, want := range []string{"void.example.com/v1", "relics.broken.example.com", "objects, "} {
		if !strings.Contains(shown, want) {
			t.Errorf("`coffer backup describe` does not name %q:\n%s", want, shown)
		}
	}
}

// mustNotServe waits until the API server has forgotten API groups: a definition that goes is in the way of one of the same name, and one
// that does not answer is a gap in every backup for as long.
func mustNotServe(ctx context.Context, t *testing.T, groups ...string) {
	t.Helper()
	err := wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, 2*time.Minute, true, func(context.Context) (bool, error) {
		found, err := discovery.NewDiscoveryClientForConfigOrDie(lab.config).ServerGroups()
		return err == nil && !slices.ContainsFunc(found.Groups, func(g metav1.APIGroup) bool { return slices.Contains(groups, g.Name) }), nil
	})
	if err != nil {
		t.Errorf("the API server still serves one of %v: %v", groups, err)
	}
}

// TestAListGoesOnWhereItsTokenHasExpired lists with a real API server that loses the state of the first page meanwhile: its
// etcd is compacted, and it is started anew.
func TestAListGoesOnWhereItsTokenHasExpired(t *testing.T) {
	const n = 2000
	ns := fmt.Sprintf("expiry-%d", os.Getpid())
	if err := lab.client.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = lab.client.Delete(context.WithoutCancel(t.Context()), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	})
	newMap := func(name string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	}
	maps := product.ResourceType{GroupResource: product.GroupResource{Resource: "configmaps"}, Version: "v1", Kind: "ConfigMap", Namespaced: true}
	var all errgroup.Group
	all.SetLimit(16)
	for i := range n {
		all.Go(func() error {
			body := fmt.Sprintf(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"m-%04d","namespace":%q}}`, i, ns)
			_, err := lab.cluster.Create(t.Context(), maps, ns, []byte(body))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	lose := func() {
		last := newMap("m-9999")
		if err := errors.Join(lab.client.Delete(t.Context(), newMap("m-1999")), lab.client.Create(t.Context(), last)); err != nil {
			t.Fatal(err)
		}
		compact(t, last.ResourceVersion)
		// Without it, no other test can do anything.
		t.Cleanup(func() {
			// It runs already, if all is well.
			_ = exec.CommandContext(context.WithoutCancel(t.Context()), os.Getenv("COFFER_E2E_LAB"),
				"start", "kube-apiserver", "--name", machineName()).Run()
		})
		mustLab(t, "kill", "kube-apiserver", "--name", machineName())
		mustLab(t, "start", "kube-apiserver", "--name", machineName())
	}
	names, later := map[string]int{}, []bool(nil)
	err := lab.cluster.List(t.Context(), maps, ns, func(p product.Page) error {
		if len(later) == 0 {
			// The second page may have been read already, and no more.
			lose()
		}
		later = append(later, p.Later != "")
		for _, raw := range p.Items {
			var h product.Header
			if err := json.Unmarshal(raw, &h); err != nil {
				return err
			}
			names[h.Metadata.Name]++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(later) < 3 || later[0] || !later[len(later)-1] {
		t.Errorf("pages are of later moments: %v; want the first not, and the last", later)
	}
	for i := range n - 1 {
		if name := fmt.Sprintf("m-%04d", i); names[name] != 1 {
			t.Fatalf("%s came %d times", name, names[name])
		}
	}
	if names["m-1999"] != 0 || names["m-9999"] != 1 {
		t.Errorf("the rest is not of the later moment: what was deleted came %d times, what was made %d times", names["m-1999"], names["m-9999"])
	}
	// It may have given up its lease meanwhile, and begun anew.
	awaitExtension(t)
}

// compact makes the lab's etcd forget all states before a revision.
func compact(t *testing.T, revision string) {
	t.Helper()
	folder := filepath.Dir(lab.kubeconfig)
	text, err := os.ReadFile(filepath.Join(folder, "cluster.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cluster struct{ Ports struct{ Etcd int } }
	if err := json.Unmarshal(text, &cluster); err != nil {
		t.Fatal(err)
	}
	pki := filepath.Join(folder, "pki")
	certificate, err := tls.LoadX509KeyPair(filepath.Join(pki, "local.crt"), filepath.Join(pki, "local.key"))
	if err != nil {
		t.Fatal(err)
	}
	authority, err := os.ReadFile(filepath.Join(pki, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	etcd := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return dialIn(ctx, machineName(), network, address)
		},
		TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}
	defer etcd.CloseIdleConnections()
	answer, err := etcd.Post(fmt.Sprintf("https://127.0.0.1:%d/v3/kv/compaction", cluster.Ports.Etcd), "application/json",
		strings.NewReader(fmt.Sprintf(`{"revision": %q, "physical": true}`, revision)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusOK {
		t.Fatalf("compact etcd: %s: %s", answer.Status, text)
	}
}

// machineName is how the lab cluster of the tests is named.
func machineName() string { return filepath.Base(filepath.Dir(lab.kubeconfig)) }

// dialIn connects from within the network of a lab cluster's first node.
func dialIn(ctx context.Context, machine, network, address string) (conn net.Conn, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread is not unlocked: it ends with the goroutine, for it is elsewhere.
		runtime.LockOSThread()
		var space *os.File
		if space, err = os.Open("/run/netns/coffer-lab-" + machine); err != nil {
			return
		}
		defer func() { _ = space.Close() }()
		if err = unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err != nil {
			return
		}
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
	}()
	<-done
	return conn, err
}
