//go:build e2e

package e2e

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	nouns "github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/test/shop"
)

// choiceCluster is what the namespace "choice" needs of the cluster, and what it does not.
const choiceCluster = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rockets.choice.example}
spec:
  group: choice.example
  scope: Namespaced
  names: {plural: rockets, singular: rocket, kind: Rocket}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: choice-high}
value: 1000
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: choice-unused}
value: 1
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "choice:reader"}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: "choice:unused"}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "choice:readers"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "choice:reader"}
subjects: [{kind: ServiceAccount, namespace: choice, name: robot}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "choice:unused"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "choice:unused"}
subjects: [{kind: ServiceAccount, namespace: elsewhere, name: robot}]
`

const choiceObjects = `
apiVersion: v1
kind: Namespace
metadata: {name: choice}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: choice, labels: {app: web}}
---
apiVersion: choice.example/v1
kind: Rocket
metadata: {name: r, namespace: choice, labels: {app: web}}
spec: {stages: 3}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: choice, labels: {app: web}}
data: {binary: //4AgAo=}
---
apiVersion: v1
kind: Secret
metadata: {name: hidden, namespace: choice, labels: {app: web, velero.io/exclude-from-backup: "true"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: choice}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: choice, labels: {app: web}}
spec: {storageClassName: lab, accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: scratch, namespace: choice, labels: {app: web, tier: cache}}
spec: {storageClassName: lab, accessModes: [ReadWriteOnce], resources: {requests: {storage: 32Mi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: box, namespace: choice, labels: {app: web}}
spec:
  priorityClassName: choice-high
  terminationGracePeriodSeconds: 1
  containers:
    - name: c
      image: __IMAGE__
      imagePullPolicy: Never
      command: [sh, -c, "sleep 100000"]
      volumeMounts: [{name: data, mountPath: /data}, {name: scratch, mountPath: /scratch}]
  volumes:
    - {name: data, persistentVolumeClaim: {claimName: data}}
    - {name: scratch, persistentVolumeClaim: {claimName: scratch}}
`

const choicePolicies = `
version: v1
volumePolicies:
  - conditions: {capacity: ",1Gi", pvcLabels: {tier: cache}}
    action: {type: skip}
`

// readPoint reads a zipped blob of a recovery point from the folder of the blobs.
func readPoint(t *testing.T, backup, suffix string, into any) {
	t.Helper()
	file, err := os.Open(filepath.Join(lab.blobs, "backups/backups", backup, suffix))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(unzipped).Decode(into); err != nil {
		t.Fatal(err)
	}
}

// pointObjects are the objects of a recovery point, each KIND NAME, sorted.
func pointObjects(t *testing.T, backup string) []string {
	t.Helper()
	var all map[string][]string
	readPoint(t, backup, backup+"-resource-list.json.gz", &all)
	var found []string
	for kind, names := range all {
		// Those stand there for Velero, and were not selected.
		if strings.HasPrefix(kind, "snapshot.storage.k8s.io/") {
			continue
		}
		for _, name := range names {
			found = append(found, kind[strings.LastIndex(kind, "/")+1:]+" "+name)
		}
	}
	slices.Sort(found)
	return found
}

// removeCluster removes the cluster-scoped objects of a YAML text, and waits until what they define is not served any more.
func removeCluster(ctx context.Context, t *testing.T, text string) {
	t.Helper()
	var groups []string
	for _, doc := range strings.Split(text, "\n---\n") {
		var object unstructured.Unstructured
		if err := yaml.Unmarshal([]byte(doc), &object.Object); err != nil {
			t.Fatal(err)
		}
		if err := lab.client.Delete(ctx, &object); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
		if kind := object.GetKind(); kind == "CustomResourceDefinition" || kind == "APIService" {
			groups = append(groups, field(&object, "spec", "group"))
		}
	}
	mustNotServe(ctx, t, groups...)
}

func TestSelectionTakesWhatWasChosenAndWhatThatNeeds(t *testing.T) {
	s := newChoice(t)
	policies := filepath.Join(t.TempDir(), "policies.yaml")
	if err := os.WriteFile(policies, []byte(choicePolicies), 0o600); err != nil {
		t.Fatal(err)
	}
	start := len(snapshotsOnDisk(t))
	mustCoffer(t, "backup", "create", "choice-1", "--included-namespaces", "choic[e]", "--label-selectors", "app:web",
		"--volume-policies-file", policies, "--wait")
	b := showBackup(t, "choice-1")
	if b.Status.Phase != v1alpha1.RunCompleted || b.Status.Progress.VolumesReady != 1 || b.Status.Progress.VolumesSkipped != 1 {
		t.Fatalf("backup: %+v", b.Status)
	}
	if n := len(snapshotsOnDisk(t)) - start; n != 1 {
		t.Errorf("%d snapshots were taken, want the one that no policy skips", n)
	}
	volumes := claimVolumes(t, "choice")
	want := []string{
		"ClusterRole choice:reader", "ClusterRoleBinding choice:readers", "CustomResourceDefinition rockets.choice.example",
		"Namespace choice", "PersistentVolume " + volumes[0], "PersistentVolume " + volumes[1],
		"PersistentVolumeClaim choice/data", "PersistentVolumeClaim choice/scratch", "Pod choice/box", "PriorityClass choice-high",
		"Rocket choice/r", "Secret choice/login", "ServiceAccount choice/robot", "StorageClass lab",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, pointObjects(t, "choice-1")); diff != "" {
		t.Error(diff)
	}
	mustHaveReasons(t)

	mustDestroy(t, s)
	removeCluster(t.Context(), t, choiceCluster)
	eventually(t, "the definition is gone", time.Minute, func(ctx context.Context) (bool, error) {
		crd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}}
		err := lab.client.Get(ctx, client.ObjectKey{Name: "rockets.choice.example"}, crd)
		return err != nil && client.IgnoreNotFound(err) == nil, client.IgnoreNotFound(err)
	})
	mustCoffer(t, "restore", "create", "choice-back", "--backup-name", "choice-1", "--wait")
	mustBeBack(t, s)
	mustCoffer(t, "backup", "delete", "choice-1", "--yes", "--wait")
}

// newChoice deploys the namespace "choice" with files on both of its volumes.
func newChoice(t *testing.T) shop.Shop {
	t.Helper()
	s := shopIn(t, "choice")
	t.Cleanup(func() { removeCluster(context.Background(), t, choiceCluster) })
	apply(t, choiceCluster)
	objects := strings.ReplaceAll(choiceObjects, "__IMAGE__", lab.images.Toolbox)
	eventually(t, "the definition is served", time.Minute, func(ctx context.Context) (bool, error) {
		return shop.Apply(ctx, lab.client, objects) == nil, nil
	})
	eventually(t, "the pod runs", 3*time.Minute, func(ctx context.Context) (bool, error) {
		_, err := s.Exec(ctx, "box", "c", "sh", "-c", "for d in data scratch; do echo hello | dd of=/$d/file conv=fsync 2>/dev/null; done")
		return err == nil, nil
	})
	return s
}

// claimVolumes are the names of the volumes of a namespace's claims.
func claimVolumes(t *testing.T, ns string) []string {
	t.Helper()
	var claims corev1.PersistentVolumeClaimList
	if err := lab.client.List(t.Context(), &claims, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range claims.Items {
		names = append(names, c.Spec.VolumeName)
	}
	return names
}

func mustHaveReasons(t *testing.T) {
	t.Helper()
	var ledger nouns.Coverage
	readPoint(t, "choice-1", "coverage.json.gz", &ledger)
	needed := map[string]string{}
	for _, n := range ledger.Needed {
		needed[n.String()] = n.Reason
	}
	if got := needed["clusterrolebindings.rbac.authorization.k8s.io choice:readers"]; got != "serviceaccounts choice/robot is bound by it" {
		t.Errorf("the binding is there because %q", got)
	}
	if len(ledger.SkippedObjects) != 1 || ledger.SkippedObjects[0].Name != "hidden" || !strings.Contains(ledger.SkippedObjects[0].Reason, "exclude-from-backup") {
		t.Errorf("skipped: %+v", ledger.SkippedObjects)
	}
	if !slices.ContainsFunc(ledger.NotSelected, func(n nouns.NotSelected) bool {
		return n.What == "configmaps" && n.Objects >= 1 && strings.Contains(n.Reason, "labelSelectors")
	}) {
		t.Errorf("not selected: %+v", ledger.NotSelected)
	}
	if !slices.ContainsFunc(ledger.Volumes, func(v nouns.Volume) bool {
		return v.Claim == "scratch" && v.Result == nouns.VolumeSkipped && strings.Contains(v.Reason, "volumePolicies[0]")
	}) {
		t.Errorf("volumes: %+v", ledger.Volumes)
	}
}

func mustBeBack(t *testing.T, s shop.Shop) {
	t.Helper()
	eventually(t, "the pod is back", 3*time.Minute, func(ctx context.Context) (bool, error) {
		_, err := s.Exec(ctx, "box", "c", "true")
		return err == nil, nil
	})
	if text, err := s.Exec(t.Context(), "box", "c", "sh", "-c", "cat /data/file; ls /scratch/file 2>/dev/null || echo none"); err != nil || text != "hello\nnone" {
		t.Errorf("the volumes hold %q, %v", text, err)
	}
	var secret corev1.Secret
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: "choice", Name: "login"}, &secret); err != nil || string(secret.Data["binary"]) != "\xff\xfe\x00\x80\n" {
		t.Errorf("the Secret is %q, %v", secret.Data, err)
	}
	rocket := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "choice.example/v1", "kind": "Rocket"}}
	for name, object := range map[string]client.Object{
		"r": rocket, "choice:reader": &rbacv1.ClusterRole{}, "choice:readers": &rbacv1.ClusterRoleBinding{}, "choice-high": &schedulingv1.PriorityClass{},
	} {
		key := client.ObjectKey{Name: name}
		if object == client.Object(rocket) {
			key.Namespace = "choice"
		}
		if err := lab.client.Get(t.Context(), key, object); err != nil {
			t.Errorf("%s did not come back: %v", name, err)
		}
	}
	for name, object := range map[string]client.Object{"choice:unused": &rbacv1.ClusterRole{}, "choice-unused": &schedulingv1.PriorityClass{}} {
		if err := lab.client.Get(t.Context(), client.ObjectKey{Name: name}, object); err == nil {
			t.Errorf("%s came back, which nobody chose", name)
		}
	}
}

func TestSelectionOfSingleObjectsAndOfNothing(t *testing.T) {
	newChoice(t)
	mustCoffer(t, "backup", "create", "single", "--included-objects", "v1/Secret=choice/login", "--included-objects", "clusterroles=choice:unused", "--wait")
	if diff := cmp.Diff([]string{"ClusterRole choice:unused", "Namespace choice", "Secret choice/login"}, pointObjects(t, "single")); diff != "" {
		t.Error(diff)
	}
	mustCoffer(t, "backup", "create", "opted-out", "--included-namespaces", "choice", "--exclude-secrets", "--snapshot-volumes=false", "--wait")
	for _, object := range pointObjects(t, "opted-out") {
		if strings.HasPrefix(object, "Secret ") {
			t.Errorf("%s is in a recovery point without Secrets", object)
		}
	}
	mustCoffer(t, "backup", "create", "typo", "--included-namespaces", "choice", "--excluded-resource-types", "v1/Secrett", "--snapshot-volumes=false", "--wait")
	if shown := mustCoffer(t, "backup", "show", "typo"); !strings.Contains(shown, "did you mean secrets?") {
		t.Errorf("a misspelt exclusion passes silently:\n%s", shown)
	}

	mustFail(t, []string{"UserErrorNothingSelected", "allowEmpty"},
		"backup", "create", "empty", "--included-namespaces", "choice", "--label-selectors", "app=nothing", "--wait")
	mustFail(t, []string{"no secrets choice/none"}, "backup", "create", "no-such", "--included-objects", "Secret=choice/none", "--wait")
	mustFail(t, []string{"did you mean secrets?"}, "backup", "create", "no-type", "--included-objects", "Sekret=choice/none", "--wait")
	mustFail(t, []string{"names 801 namespaces", "team-*"}, "backup", "create", "many", "--included-namespaces", strings.Repeat("a,", 800)+"a")
	// The API server refuses what another client sends.
	many := &v1alpha1.Backup{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "many"}}
	many.Spec.IncludedNamespaces = strings.Split(strings.Repeat("a,", 800)+"a", ",")
	if err := lab.client.Create(t.Context(), many); err == nil || !strings.Contains(err.Error(), "must have at most 800 items") {
		t.Errorf("801 namespaces: %v", err)
	}
	for _, name := range []string{"empty", "no-such", "no-type", "many"} {
		if left, _ := filepath.Glob(filepath.Join(lab.blobs, "backups/backups", name, "*")); len(left) != 0 {
			t.Errorf("a refused backup left %v", left)
		}
	}
	mustCoffer(t, "backup", "create", "nothing", "--included-namespaces", "choice", "--label-selectors", "app=nothing", "--allow-empty", "--wait")
	for _, name := range []string{"single", "opted-out", "typo", "nothing"} {
		mustCoffer(t, "backup", "delete", name, "--yes", "--wait")
	}
	mustHaveNoSnapshotObjects(t)
}
