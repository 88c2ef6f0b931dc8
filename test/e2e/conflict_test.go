//go:build e2e

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	nouns "github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// dispute are objects of the namespace "dispute", beside a pod with a claim, as they are backed up.
const dispute = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: dispute, labels: {app: web}, annotations: {"example.com/note": "first"}}
data: {a: "1", b: "2"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: same, namespace: dispute}
data: {a: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: lost, namespace: dispute}
data: {a: "1"}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: dispute, labels: {app: web}}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Secret
metadata: {name: sealed, namespace: dispute, labels: {seal: first}}
immutable: true
stringData: {key: first}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: dispute, annotations: {"example.com/role": "reader"}}
imagePullSecrets: [{name: pull}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: dispute, labels: {app: web}}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: c, image: "localhost/web:1", env: [{name: LEVEL, value: low}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: dispute}
spec:
  replicas: 0
  selector: {matchLabels: {app: other}}
  template:
    metadata: {labels: {app: other}}
    spec: {containers: [{name: c, image: "localhost/other:1"}]}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: dispute, labels: {tier: first}}
provisioner: nobody.example.com
reclaimPolicy: Delete
parameters: {speed: slow}
`

// disturbed are those that take the place of objects of the same names, and differ in what cannot be changed.
const disturbed = `
apiVersion: v1
kind: Secret
metadata: {name: sealed, namespace: dispute, labels: {seal: second}}
immutable: true
stringData: {key: second}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: other, namespace: dispute}
spec:
  replicas: 0
  minReadySeconds: 7
  selector: {matchLabels: {app: another}}
  template:
    metadata: {labels: {app: another}}
    spec: {containers: [{name: c, image: "localhost/other:2"}]}
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: dispute, labels: {tier: second}}
provisioner: nobody.example.com
reclaimPolicy: Retain
parameters: {speed: fast}
`

// disturb changes what was backed up.
func disturb(t *testing.T) {
	t.Helper()
	change(t, "v1", "ConfigMap", "dispute/settings", `{"metadata":{"labels":{"app":"changed","more":"x"}},"data":{"a":"changed","b":null,"c":"3"}}`)
	change(t, "v1", "Service", "dispute/web", `{"spec":{"selector":{"app":"changed"},"ports":[{"name":"http","port":81,"targetPort":9090}]}}`)
	change(t, "v1", "ServiceAccount", "dispute/robot", `{"metadata":{"annotations":{"example.com/role":null,"example.com/new":"kept"}},"imagePullSecrets":[{"name":"newer"}]}`)
	change(t, "apps/v1", "Deployment", "dispute/web", `{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"localhost/web:2"}]}}}}`)
	change(t, "v1", "PersistentVolumeClaim", "dispute/data", `{"spec":{"resources":{"requests":{"storage":"64Mi"}}}}`)
	remove(t, "v1", "ConfigMap", "dispute/lost")
	remove(t, "v1", "Secret", "dispute/sealed")
	remove(t, "apps/v1", "Deployment", "dispute/other")
	remove(t, "storage.k8s.io/v1", "StorageClass", "dispute")
	apply(t, disturbed)
}

// versions are the resource versions of what no controller writes to in the namespace "dispute".
func versions(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, kind := range []string{"ConfigMap", "Secret", "Service", "ServiceAccount"} {
		list := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: kind + "List"}}
		if err := lab.client.List(t.Context(), list, client.InNamespace("dispute")); err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			// Kubernetes makes this when it comes to it.
			if o.Name != "kube-root-ca.crt" {
				found[kind+" "+o.Name] = o.ResourceVersion
			}
		}
	}
	return found
}

func TestConflictPoliciesOnARealCluster(t *testing.T) {
	newToolbox(t, "dispute", "lab")
	removeLater(t, "storage.k8s.io/v1", "StorageClass", "dispute")
	apply(t, dispute)
	backedUp(t, "dispute-1", "--included-namespaces", "dispute", "--include-cluster-scope-resources")
	disturb(t)

	t.Run("Fail changes nothing", func(t *testing.T) {
		before := versions(t)
		r := restored(t, "dispute-fail", v1alpha1.RestoreSpec{BackupName: "dispute-1", IncludedNamespaces: []string{"dispute"}, ConflictPolicy: v1alpha1.ConflictFail})
		if r.Status.Phase != v1alpha1.RunFailed || r.Status.Reason != string(nouns.CodeObjectsExist) {
			t.Errorf("restore: %s %s: %s", r.Status.Phase, r.Status.Reason, r.Status.Message)
		}
		mustBeSame(t, before, versions(t))
	})
	t.Run("Patch changes what can be changed and names the rest", patchesTheDispute)
	t.Run("Patch of one class", func(t *testing.T) {
		r := restored(t, "dispute-class", v1alpha1.RestoreSpec{
			BackupName: "dispute-1", ConflictPolicy: v1alpha1.ConflictPatch,
			IncludedObjects: []v1alpha1.ObjectName{{Type: "storageclasses", Name: "dispute"}},
		})
		mustSucceed(t, r, 0)
		mustWarn(t, r, nouns.CodeFieldsKept, "storageclasses.storage.k8s.io dispute", "reclaimPolicy", "parameters")
		mustHold(t, live(t, "storage.k8s.io/v1", "StorageClass", "dispute"), map[string]string{
			"metadata.labels.tier": "first", "reclaimPolicy": "Retain", "parameters.speed": "fast",
		})
	})
	t.Run("each type by its own policy", func(t *testing.T) {
		change(t, "v1", "ConfigMap", "dispute/settings", `{"data":{"a":"changed again"}}`)
		change(t, "v1", "Service", "dispute/web", `{"spec":{"ports":[{"name":"http","port":82,"targetPort":9090}]}}`)
		before := live(t, "v1", "Secret", "dispute/sealed").GetUID()
		r := restored(t, "dispute-types", v1alpha1.RestoreSpec{
			BackupName: "dispute-1", IncludedNamespaces: []string{"dispute"}, ConfirmReplace: true,
			ConflictPolicies: []v1alpha1.TypeConflictPolicy{{Type: "v1/Secret", Policy: v1alpha1.ConflictReplace}, {Type: "configmaps", Policy: v1alpha1.ConflictPatch}},
		})
		mustSucceed(t, r, 0)
		mustHaveResults(t, r, map[string]restorerecord.Result{
			"configmaps dispute/settings": restorerecord.Patched, "configmaps dispute/same": restorerecord.Existing,
			"secrets dispute/sealed": restorerecord.Replaced, "services dispute/web": restorerecord.Existing,
		})
		mustHold(t, live(t, "v1", "ConfigMap", "dispute/settings"), map[string]string{"data": "map[a:1 b:2]"})
		mustHold(t, live(t, "v1", "Service", "dispute/web"), map[string]string{"spec.ports": "[map[name:http port:82 protocol:TCP targetPort:9090]]"})
		secret := live(t, "v1", "Secret", "dispute/sealed")
		mustHold(t, secret, map[string]string{"data.key": "Zmlyc3Q=", "immutable": "true"})
		if secret.GetUID() == before {
			t.Error("the Secret was not replaced")
		}
	})
}

func patchesTheDispute(t *testing.T) {
	claim := live(t, "v1", "PersistentVolumeClaim", "dispute/data")
	r := restored(t, "dispute-patch", v1alpha1.RestoreSpec{BackupName: "dispute-1", IncludedNamespaces: []string{"dispute"}, ConflictPolicy: v1alpha1.ConflictPatch})
	mustSucceed(t, r, 0)
	mustHaveResults(t, r, map[string]restorerecord.Result{
		"configmaps dispute/settings": restorerecord.Patched, "configmaps dispute/same": restorerecord.Existing, "configmaps dispute/lost": restorerecord.Created,
		"services dispute/web": restorerecord.Patched, "secrets dispute/sealed": restorerecord.Patched, "serviceaccounts dispute/robot": restorerecord.Patched,
		"deployments.apps dispute/web": restorerecord.Patched, "deployments.apps dispute/other": restorerecord.Patched,
		"persistentvolumeclaims dispute/data": restorerecord.Existing, "pods dispute/box": restorerecord.Existing, "namespaces dispute": restorerecord.Existing,
	})
	settings := live(t, "v1", "ConfigMap", "dispute/settings")
	mustHold(t, settings, map[string]string{"data": "map[a:1 b:2]", "metadata.labels": "map[app:web]"})
	mustHold(t, live(t, "v1", "Service", "dispute/web"), map[string]string{
		"spec.selector.app": "web", "spec.ports": "[map[name:http port:80 protocol:TCP targetPort:8080]]",
	})
	mustHold(t, live(t, "v1", "ServiceAccount", "dispute/robot"), map[string]string{
		"metadata.annotations": "map[example.com/new:kept example.com/role:reader]", "imagePullSecrets": "[map[name:newer] map[name:pull]]",
	})
	if image := field(live(t, "apps/v1", "Deployment", "dispute/web"), "spec", "template", "spec", "containers"); !strings.Contains(image, "localhost/web:1") || !strings.Contains(image, "LEVEL") {
		t.Errorf("the Deployment's containers are %s", image)
	}

	mustWarn(t, r, nouns.CodeFieldsKept, "secrets dispute/sealed", "data")
	mustHold(t, live(t, "v1", "Secret", "dispute/sealed"), map[string]string{"data.key": "c2Vjb25k", "metadata.labels.seal": "first"})
	mustWarn(t, r, nouns.CodeFieldsKept, "deployments.apps dispute/other", "spec.selector", "spec.template.metadata.labels")
	other := live(t, "apps/v1", "Deployment", "dispute/other")
	mustHold(t, other, map[string]string{"spec.selector.matchLabels.app": "another", "spec.minReadySeconds": ""})
	if image := field(other, "spec", "template", "spec", "containers"); !strings.Contains(image, "localhost/other:1") {
		t.Errorf("the other Deployment's containers are %s", image)
	}
	mustWarn(t, r, nouns.CodeFieldsKept, "persistentvolumeclaims dispute/data", "spec")
	after := live(t, "v1", "PersistentVolumeClaim", "dispute/data")
	mustHold(t, after, map[string]string{"spec.resources.requests.storage": "64Mi", "metadata.uid": string(claim.GetUID())})
}

func claimUID(t *testing.T, ns string) string {
	t.Helper()
	return string(live(t, "v1", "PersistentVolumeClaim", ns+"/data-db-0").GetUID())
}

func TestADatabaseIsReplacedWithItsData(t *testing.T) {
	s := newShop(t, "usurper", 500)
	before := mustDigest(t, s)
	backedUp(t, "usurper-1", "--included-namespaces", "usurper")
	start := snapshotsOnDisk(t)
	meddle := func() (digest, claim string) {
		t.Helper()
		if _, err := s.SQL(t.Context(), "UPDATE orders SET item = 'stolen' WHERE id % 2 = 0; INSERT INTO orders VALUES (0, 'more', 1)"); err != nil {
			t.Fatal(err)
		}
		return mustDigest(t, s), claimUID(t, "usurper")
	}
	replace := v1alpha1.RestoreSpec{BackupName: "usurper-1", ConflictPolicy: v1alpha1.ConflictReplace, ConfirmReplace: true}
	mustBeReplaced := func(t *testing.T, r v1alpha1.Restore, claim string) {
		t.Helper()
		mustSucceed(t, r, 0)
		mustHaveResults(t, r, map[string]restorerecord.Result{
			"persistentvolumeclaims usurper/data-db-0": restorerecord.Replaced, "statefulsets.apps usurper/db": restorerecord.Replaced,
			"deployments.apps usurper/web": restorerecord.Existing,
		})
		if r.Status.Progress.VolumesBound != 1 {
			t.Errorf("restore %s: %+v", r.Name, r.Status.Progress)
		}
		if after := mustDigest(t, s); after != before {
			t.Errorf("after %s the data is %s, was %s", r.Name, after, before)
		}
		if claimUID(t, "usurper") == claim {
			t.Errorf("after %s the claim is the one that was to be replaced", r.Name)
		}
		mustHaveNoSnapshotObjects(t)
		mustBeSame(t, start, snapshotsOnDisk(t))
	}

	t.Run("not while its workload stays", func(t *testing.T) {
		digest, claim := meddle()
		r := restored(t, "usurper-refused", v1alpha1.RestoreSpec{
			BackupName: "usurper-1", ConfirmReplace: true,
			ConflictPolicies: []v1alpha1.TypeConflictPolicy{{Type: "persistentvolumeclaims", Policy: v1alpha1.ConflictReplace}},
		})
		mustSucceed(t, r, 1)
		mustWarn(t, r, nouns.CodeObjectFailed, "persistentvolumeclaims usurper/data-db-0", "left as they are", "pod db-0 uses it")
		if after := mustDigest(t, s); after != digest || claimUID(t, "usurper") != claim {
			t.Errorf("the data is %s, was %s", after, digest)
		}
		mustHaveNoSnapshotObjects(t)
	})
	t.Run("at once", func(t *testing.T) {
		_, claim := meddle()
		mustBeReplaced(t, restored(t, "usurper-back", replace), claim)
	})
	t.Run("by an extension that dies once the claim is deleted", func(t *testing.T) {
		_, claim := meddle()
		const hold = `{"metadata":{"finalizers":["e2e.example.com/hold","kubernetes.io/pvc-protection"]}}`
		change(t, "v1", "PersistentVolumeClaim", "usurper/data-db-0", hold)
		startRestore(t, "usurper-killed", replace)
		eventually(t, "the claim is being deleted", 2*time.Minute, func(ctx context.Context) (bool, error) {
			o, err := look(ctx, "v1", "PersistentVolumeClaim", "usurper/data-db-0")
			return err == nil && o.GetDeletionTimestamp() != nil, err
		})
		killExtension(t)
		change(t, "v1", "PersistentVolumeClaim", "usurper/data-db-0", `{"metadata":{"finalizers":null}}`)
		mustBeReplaced(t, endAfterDeath(t, "usurper-killed"), claim)
	})
}

// endAfterDeath is the end of a restore whose extension was killed.
func endAfterDeath(t *testing.T, name string) v1alpha1.Restore {
	t.Helper()
	var r v1alpha1.Restore
	eventually(t, "restore "+name+" ends although the extension was killed", 4*time.Minute, func(ctx context.Context) (bool, error) {
		replaceDeadExtension(t)
		err := lab.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &r)
		return err == nil && r.Status.Phase.Final(), err
	})
	awaitExtension(t)
	mustAgreeWithReport(t, r)
	return r
}
