//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	nouns "github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/quiet"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
	"github.com/coffer-backup/coffer/internal/outbound/csi"
	"github.com/coffer-backup/coffer/test/shop"
)

// loud is what a shop has that reaches out of it, and a volume of a class that retains.
const loud = `
apiVersion: v1
kind: Service
metadata: {name: front, namespace: __NS__}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: elsewhere, namespace: __NS__}
spec: {type: ExternalName, externalName: db.example.com}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: bill, namespace: __NS__}
spec:
  schedule: "* * * * *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: __IMAGE__, imagePullPolicy: Never, command: ["true"]}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: __NS__}
spec:
  defaultBackend: {service: {name: web, port: {number: 80}}}
`

// writeChecks writes a file of checks: of the rows of the shop in a namespace, which are to be found so many within a limit, and of its page.
func writeChecks(t *testing.T, ns, rows, limit string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "checks.yaml")
	text := strings.NewReplacer("__NS__", ns, "__ROWS__", rows, "__LIMIT__", limit).Replace(`checks:
- name: rows
  namespace: __NS__
  timeout: __LIMIT__
  sql: {podSelector: app=db, database: shop, user: postgres, query: SELECT count(*) FROM orders, expected: "__ROWS__"}
- name: page
  namespace: __NS__
  timeout: 2m
  http: {service: web, port: http, bodyMatches: The shop is open}
- name: process
  namespace: __NS__
  timeout: 2m
  exec: {podSelector: app=web, container: httpd, command: [pidof, httpd], outputMatches: '\d+'}
`)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func showTest(t *testing.T, name string) v1alpha1.RestoreTest {
	t.Helper()
	var test v1alpha1.RestoreTest
	if err := json.Unmarshal([]byte(mustCoffer(t, "restore", "test", "show", name, "-o", "json")), &test); err != nil {
		t.Fatal(err)
	}
	return test
}

func mustTestReport(t *testing.T, name string) restorerecord.Test {
	t.Helper()
	report, err := restorerecord.DecodeTest([]byte(mustCoffer(t, "restore", "test", "show", name, "--report")))
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// mustHaveNoTraces fails if anything of a test is left in the cluster.
func mustHaveNoTraces(t *testing.T) {
	t.Helper()
	var namespaces corev1.NamespaceList
	if err := lab.client.List(t.Context(), &namespaces); err != nil {
		t.Fatal(err)
	}
	for _, n := range namespaces.Items {
		if n.Labels[quiet.RunLabel] != "" {
			t.Errorf("namespace %s is left", n.Name)
		}
	}
	var volumes corev1.PersistentVolumeList
	if err := lab.client.List(t.Context(), &volumes); err != nil {
		t.Fatal(err)
	}
	for _, v := range volumes.Items {
		if v.Spec.ClaimRef != nil && strings.HasPrefix(v.Spec.ClaimRef.Namespace, "test-") {
			t.Errorf("volume %s of %s is left", v.Name, v.Spec.ClaimRef.Namespace)
		}
	}
	mustHaveNoSnapshotObjects(t)
}

// stateOf is the objects of an application, each with all that is in it but what Kubernetes' own controllers write while nobody touches
// it: a status, whose version grows whenever a probe is late.
func stateOf(t *testing.T, ns string) map[string]any {
	t.Helper()
	found := map[string]any{}
	for _, kind := range []string{"v1/Service", "v1/ConfigMap", "v1/Secret", "v1/PersistentVolumeClaim", "apps/v1/StatefulSet", "apps/v1/Deployment", "networking.k8s.io/v1/Ingress"} {
		at := strings.LastIndex(kind, "/")
		var list unstructured.UnstructuredList
		list.SetAPIVersion(kind[:at])
		list.SetKind(kind[at+1:] + "List")
		if err := lab.client.List(t.Context(), &list); err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			if o.GetNamespace() == ns {
				delete(o.Object, "status")
				o.SetResourceVersion("")
				o.SetManagedFields(slices.DeleteFunc(o.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool { return f.Subresource == "status" }))
				found[kind+" "+o.GetName()] = o.Object
			}
		}
	}
	return found
}

func mustBeUntouched(t *testing.T, s shop.Shop, before map[string]any, digest string) {
	t.Helper()
	mustBeSame(t, before, stateOf(t, s.Namespace))
	if now := mustDigest(t, s); now != digest {
		t.Errorf("the original has %s, had %s", now, digest)
	}
}

func newLoudShop(t *testing.T, ns string) (s shop.Shop, before map[string]any, digest string) {
	t.Helper()
	s = newShop(t, ns, 200)
	apply(t, strings.NewReplacer("__NS__", ns, "__IMAGE__", lab.images.Toolbox).Replace(loud))
	digest = mustDigest(t, s)
	mustCoffer(t, "backup", "create", ns, "--included-namespaces", ns, "--wait")
	return s, stateOf(t, ns), digest
}

func TestARestoreIsProvedWithoutATrace(t *testing.T) {
	s, before, digest := newLoudShop(t, "proved")
	disks := len(snapshotsOnDisk(t))

	// Kept first, to look into it.
	mustCoffer(t, "restore", "test", "proved", "--name", "proved-kept", "--keep", "--checks", writeChecks(t, "proved", "200", "2m"))
	kept := showTest(t, "proved-kept")
	if kept.Status.Outcome != v1alpha1.RestoreTestPassed || len(kept.Status.ScratchNamespaces) != 1 {
		t.Fatalf("status %+v", kept.Status)
	}
	scratch := kept.Status.ScratchNamespaces[0]
	var front corev1.Service
	front.Namespace, front.Name = scratch, "front"
	if err := lab.client.Get(t.Context(), keyOf(&front), &front); err != nil || front.Spec.Type != corev1.ServiceTypeClusterIP || front.Spec.Ports[0].NodePort != 0 {
		t.Errorf("%v: the load balancer is %+v", err, front.Spec)
	}
	cron := object("batch/v1", "CronJob", scratch, "bill", nil)
	if err := lab.client.Get(t.Context(), keyOf(cron), cron); err != nil {
		t.Error(err)
	} else if suspended, _, _ := unstructured.NestedBool(cron.Object, "spec", "suspend"); !suspended {
		t.Error("the CronJob is not suspended")
	}
	for _, out := range []*unstructured.Unstructured{object("v1", "Service", scratch, "elsewhere", nil), object("networking.k8s.io/v1", "Ingress", scratch, "web", nil)} {
		if err := lab.client.Get(t.Context(), keyOf(out), out); err == nil {
			t.Errorf("%s %s was restored", out.GetKind(), out.GetName())
		}
	}
	fence := object("networking.k8s.io/v1", "NetworkPolicy", scratch, quiet.FenceName, nil)
	if err := lab.client.Get(t.Context(), keyOf(fence), fence); err != nil {
		t.Error(err)
	}
	// No backup takes it, and another run does not collide.
	mustFail(t, nil, "backup", "create", "proved-scratch", "--included-namespaces", scratch, "--wait")
	mustCoffer(t, "restore", "test", "proved", "--name", "proved-again", "--checks", writeChecks(t, "proved", "200", "2m"))
	mustCoffer(t, "restore", "test", "delete", "proved-kept")
	mustHaveNoTraces(t)

	test, report := showTest(t, "proved-again"), mustTestReport(t, "proved-again")
	if !test.Status.Phase.Succeeded() || test.Status.ReadyTime == nil || test.Status.ChecksPassedTime == nil || test.Status.ManifestDigest != showBackup(t, "proved").Status.ManifestDigest {
		t.Errorf("status %+v", test.Status)
	}
	if report.Outcome != "Passed" || report.ManifestDigest != test.Status.ManifestDigest || len(report.Checks) != 3 || report.CheckedSeconds == nil ||
		len(report.Volumes) != 1 || !report.Volumes[0].Restored || report.Volumes[0].Bytes == 0 || len(report.Workloads) != 2 {
		t.Errorf("report %+v", report)
	}
	if out := mustCoffer(t, "restore", "test", "show", "proved-again"); !strings.Contains(out, ": verified") || !strings.Contains(out, "3 passed of 3") {
		t.Errorf("coffer restore test show:\n%s", out)
	}
	mustBeUntouched(t, s, before, digest)
	if n := len(snapshotsOnDisk(t)); n != disks {
		t.Errorf("there are %d snapshots, were %d", n, disks)
	}

	// A report that somebody has altered is not believed.
	stored := filepath.Join(lab.blobs, "backups", test.Status.TestReport.Key)
	text, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(stored, []byte(strings.Replace(string(text), `"Passed"`, `"Failed"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustFail(t, []string{"altered"}, "restore", "test", "show", "proved-again")
	mustCoffer(t, "backup", "delete", "proved", "--yes", "--wait")
}

func TestARestoreThatIsNotProvedSaysWhy(t *testing.T) {
	s, before, digest := newLoudShop(t, "unproved")
	mustFail(t, []string{"RestoreTestCheckFailed", "check rows", "not what was expected: 200"},
		"restore", "test", "unproved", "--name", "unproved-rows", "--checks", writeChecks(t, "unproved", "7", "20s"))
	if report := mustTestReport(t, "unproved-rows"); report.Outcome != "Failed" || len(report.Failures) != 1 || report.Checks[1].Outcome != "Passed" {
		t.Errorf("report %+v", report)
	}
	mustHaveNoTraces(t)
	mustFail(t, []string{"none"}, "restore", "test", "unproved", "--included-namespaces", "none")

	// The snapshot is lost.
	var manifest nouns.Manifest
	text, err := os.ReadFile(filepath.Join(lab.blobs, "backups", recoverypoint.LayoutOf("unproved").Manifest()))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &manifest); err != nil {
		t.Fatal(err)
	}
	v := manifest.Volumes[slices.IndexFunc(manifest.Volumes, func(v nouns.Volume) bool { return v.Result == nouns.VolumeCaptured })]
	if err := csi.New(lab.client, namespace).Destroy(t.Context(), v.Driver, v.Handle); err != nil {
		t.Fatal(err)
	}
	mustFail(t, []string{"UserErrorPVCPending", "unproved/" + v.Claim, v.Handle},
		"restore", "test", "unproved", "--name", "unproved-volume", "--checks", writeChecks(t, "unproved", "200", "2m"))
	report := mustTestReport(t, "unproved-volume")
	if report.Outcome != "Failed" || len(report.Volumes) != 1 || report.Volumes[0].Restored || report.Volumes[0].Snapshot != v.Handle || report.Checks[0].Outcome != "NotMade" {
		t.Errorf("report %+v", report)
	}
	mustHaveNoTraces(t)
	mustBeUntouched(t, s, before, digest)
	mustCoffer(t, "backup", "delete", "unproved", "--yes", "--wait")
}

func TestARestoreTestNeedsTheRightToMakeNamespaces(t *testing.T) {
	newToolbox(t, "confined", "lab")
	reinstallIfFailed(t)
	mustCoffer(t, "backup", "create", "confined", "--included-namespaces", "confined", "--wait")
	for _, profile := range [][]string{{"permissions.profile=backup"}, {"permissions.profile=namespaces", "permissions.namespaces={confined}"}} {
		if err := lab.install(profile...); err != nil {
			t.Fatal(err)
		}
		mustFail(t, []string{"UserErrorForbidden", "whole-cluster"}, "restore", "test", "confined")
		mustHaveNoTraces(t)
	}
	if err := lab.install(); err != nil {
		t.Fatal(err)
	}
	mustCoffer(t, "restore", "test", "confined")
	mustHaveNoTraces(t)
	mustCoffer(t, "backup", "delete", "confined", "--yes", "--wait")
}

func TestExtensionKilledAtEveryStepOfARestoreTest(t *testing.T) {
	if err := lab.install("extraArgs={--failpoints,--lease-duration=3s}"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := lab.install(); err != nil {
			t.Error(err)
		}
	})
	newToolbox(t, "deadly-proof", "lab")
	mustCoffer(t, "backup", "create", "deadly-proof", "--included-namespaces", "deadly-proof", "--wait")
	before := stateOf(t, "deadly-proof")
	for name, expected := range map[string]int{"deadly-passed": 0, "deadly-failed": 1} {
		// What is to pass has the time of a busy machine; what fails takes all of it.
		limit := metav1.Duration{Duration: map[int]time.Duration{0: time.Minute, 1: time.Second}[expected]}
		test := &v1alpha1.RestoreTest{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.RestoreTestSpec{
			BackupName: "deadly-proof",
			Checks: []v1alpha1.RestoreCheck{{
				Name: "file", Namespace: "deadly-proof", Timeout: &limit,
				Exec: &v1alpha1.ExecCheck{CheckedPod: v1alpha1.CheckedPod{Pod: "box"}, Command: []string{"ls", "/data"}, ExpectedExitCode: expected},
			}},
		}}
		steps := flow.RestoreTestSteps()
		if expected != 0 {
			// Until its checks it is the same.
			steps = steps[slices.Index(steps, flow.StepRunningChecks):]
		}
		at := points(steps)
		if expected != 0 {
			// It does not come to the step of its own end, but to that of every failure.
			at = strings.ReplaceAll(at, flow.StepCleaningUp, flow.StepRollingBack)
		}
		crashThrough(t, test, at, func() v1alpha1.RunStatus { return test.Status.RunStatus })
		if want := expected == 0; test.Status.Phase.Succeeded() != want {
			t.Errorf("%s: %+v", name, test.Status)
		}
		mustTestReport(t, name)
		mustHaveNoTraces(t)
	}

	// Deleted in the middle, while nobody is there.
	test := &v1alpha1.RestoreTest{
		ObjectMeta: metav1.ObjectMeta{Name: "deadly-deleted", Namespace: namespace},
		Spec:       v1alpha1.RestoreTestSpec{BackupName: "deadly-proof", Keep: true},
	}
	if err := lab.client.Create(t.Context(), test); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the test has made something", 60e9, func(ctx context.Context) (bool, error) {
		err := lab.client.Get(ctx, keyOf(test), test)
		return flow.KeepsTraces(test), err
	})
	mustCoffer(t, "restore", "test", "delete", "deadly-deleted")
	mustHaveNoTraces(t)
	mustBeSame(t, before, stateOf(t, "deadly-proof"))
	mustCoffer(t, "backup", "delete", "deadly-proof", "--yes", "--wait")
}
