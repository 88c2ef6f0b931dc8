//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	nouns "github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
	"github.com/coffer-backup/coffer/test/shop"
)

// changelingCluster is what of the cluster belongs to the namespace "changeling".
const changelingCluster = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: moods.changeling.example}
spec:
  group: changeling.example
  scope: Namespaced
  names: {plural: moods, singular: mood, kind: Mood}
  versions:
    - name: v1
      served: true
      storage: true
      subresources: {status: {}}
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: "changeling:view"}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects:
  - {kind: ServiceAccount, namespace: changeling, name: robot}
  - {kind: Group, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccounts:changeling"}
  - {kind: ServiceAccount, namespace: kube-system, name: robot}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: changeling}
webhooks:
  - name: moods.changeling.example
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Ignore
    clientConfig: {service: {namespace: changeling, name: web, path: /check}}
    rules: [{apiGroups: [nothing.example], apiVersions: [v1], resources: [nothings], operations: [CREATE]}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: changeling}
provisioner: lab.csi.coffer.dev
volumeBindingMode: Immediate
reclaimPolicy: Delete
`

// changeling is backed up once, and restored in many ways. Its users have chosen node ports of the lowest, which Kubernetes allots to nobody by
// itself while it has others.
const changeling = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot, namespace: changeling}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: view, namespace: changeling}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects:
  - {kind: ServiceAccount, namespace: changeling, name: robot}
  - {kind: User, apiGroup: rbac.authorization.k8s.io, name: "system:serviceaccount:changeling:robot"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: changeling, labels: {app: web}}
data: {level: low, count: "1", url: "http://web.changeling.svc:80/"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: guarded, namespace: changeling, labels: {app: web}}
data: {level: high}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, namespace: changeling, labels: {app: other}}
data: {level: low, gone: "yes"}
---
apiVersion: v1
kind: Secret
metadata: {name: login, namespace: changeling, labels: {app: web}}
stringData: {password: first}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: changeling}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: chosen, namespace: changeling}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, nodePort: 30011}]}
---
apiVersion: v1
kind: Service
metadata: {name: contested, namespace: changeling}
spec: {type: NodePort, selector: {app: web}, ports: [{name: http, port: 80, nodePort: 30012}, {name: more, port: 81, nodePort: 30013}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: changeling}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {name: c, image: __IMAGE__, imagePullPolicy: Never, command: [sleep, "100000"], env: [{name: LEVEL, value: first}]}
        - {name: sidecar, image: __IMAGE__, imagePullPolicy: Never, command: [sleep, "100000"]}
---
apiVersion: changeling.example/v1
kind: Mood
metadata: {name: asked, namespace: changeling}
spec: {wanted: good}
---
apiVersion: changeling.example/v1
kind: Mood
metadata: {name: annotated, namespace: changeling, annotations: {velero.io/restore-status: "true"}}
spec: {wanted: good}
`

// changelingRules change objects in each of the three ways.
const changelingRules = `
version: v1
resourceModifierRules:
- conditions: {groupResource: configmaps, namespaces: [changeling], labelSelector: {matchLabels: {app: web}}}
  patches:
  - {operation: test, path: /data/level, value: low}
  - {operation: replace, path: /data/level, value: raised}
  - {operation: add, path: /metadata/annotations, value: '{"example.com/by":"rule"}'}
- conditions: {groupResource: configmaps, resourceNameRegex: "^oth"}
  mergePatches:
  - patchData: |
      {"data":{"gone":null,"added":"yes"}}
- conditions: {groupResource: deployments.apps, namespaces: ["change*"]}
  strategicPatches:
  - patchData: |
      spec:
        replicas: 0
        template: {spec: {containers: [{name: c, env: [{name: MORE, value: added}]}]}}
`

// newChangeling makes a recovery point "changeling-1" of a namespace with a volume, two revisions of a workload, and a status.
func newChangeling(t *testing.T) shop.Shop {
	t.Helper()
	t.Cleanup(func() { removeCluster(context.WithoutCancel(t.Context()), t, changelingCluster) })
	apply(t, changelingCluster)
	s := newToolbox(t, "changeling", "lab")
	objects := strings.ReplaceAll(changeling, "__IMAGE__", lab.images.Toolbox)
	eventually(t, "the moods are served", time.Minute, func(ctx context.Context) (bool, error) {
		return shop.Apply(ctx, lab.client, objects) == nil, nil
	})
	for _, name := range []string{"asked", "annotated"} {
		mood := live(t, "changeling.example/v1", "Mood", "changeling/"+name)
		if err := lab.client.Status().Patch(t.Context(), mood, client.RawPatch("application/merge-patch+json", []byte(`{"status":{"mood":"good","times":9007199254740993}}`))); err != nil {
			t.Fatal(err)
		}
	}
	awaitRevision(t, "1")
	change(t, "apps/v1", "Deployment", "changeling/web", `{"spec":{"template":{"metadata":{"annotations":{"second":"yes"}}}}}`)
	awaitRevision(t, "2")
	backedUp(t, "changeling-1", "--included-namespaces", "changeling", "--include-cluster-scope-resources")
	return s
}

// awaitRevision waits until the Deployment is at a revision, and ready.
func awaitRevision(t *testing.T, revision string) {
	t.Helper()
	eventually(t, "revision "+revision+" is ready", 2*time.Minute, func(ctx context.Context) (bool, error) {
		var d appsv1.Deployment
		err := lab.client.Get(ctx, client.ObjectKey{Namespace: "changeling", Name: "web"}, &d)
		return err == nil && d.Status.ObservedGeneration == d.Generation && d.Annotations["deployment.kubernetes.io/revision"] == revision &&
			d.Status.UpdatedReplicas == 1 && d.Status.ReadyReplicas == 1 && d.Status.Replicas == 1, err
	})
}

func nodePort(t *testing.T, name string, at int) string {
	t.Helper()
	var s corev1.Service
	ns, name, _ := strings.Cut(name, "/")
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, &s); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(s.Spec.Ports[at].NodePort)
}

// occupy makes a Service with node ports, which is removed after the test.
func occupy(t *testing.T, ports ...string) {
	t.Helper()
	for i, port := range ports {
		apply(t, fmt.Sprintf("apiVersion: v1\nkind: Service\nmetadata: {name: occupier-%d, namespace: default}\nspec: {type: NodePort, ports: [{port: 80, nodePort: %s}]}\n", i, port))
		removeLater(t, "v1", "Service", fmt.Sprintf("default/occupier-%d", i))
	}
}

func TestRestoresThatMakeSomethingElseOfObjects(t *testing.T) {
	s := newChangeling(t)
	allotted := nodePort(t, "changeling/web", 0)
	t.Run("a single Secret", func(t *testing.T) {
		change(t, "v1", "Secret", "changeling/login", `{"data":{"password":"c3RvbGVu"}}`)
		change(t, "v1", "ConfigMap", "changeling/settings", `{"data":{"level":"changed"}}`)
		mustCoffer(t, "restore", "create", "changeling-login", "--backup-name", "changeling-1", "--included-objects", "v1/Secret=changeling/login",
			"--conflict-policy", "Patch", "--ready-timeout", "0", "--wait")
		r := showRestore(t, "changeling-login")
		mustAgreeWithReport(t, r)
		mustSucceed(t, r, 0)
		mustHold(t, live(t, "v1", "Secret", "changeling/login"), map[string]string{"data.password": "Zmlyc3Q="})
		mustHold(t, live(t, "v1", "ConfigMap", "changeling/settings"), map[string]string{"data.level": "changed"})
		if p := r.Status.Progress; p.Patched != 1 || p.Created != 0 {
			t.Errorf("restore: %+v", p)
		}
	})
	t.Run("modifiers and references in another namespace", mapsTheChangeling)

	mustDestroy(t, s)
	t.Run("node ports, status, history and class", func(t *testing.T) { remakesTheChangeling(t, s, allotted) })
	t.Run("kubectl rollout undo", undoesTheChangeling)
	t.Run("all node ports", func(t *testing.T) { preservesThePorts(t, allotted) })
	t.Run("labels and types", selectsOfTheChangeling)
}

func mapsTheChangeling(t *testing.T) {
	shopIn(t, "changed")
	rules := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "changeling"}, Data: map[string]string{"rules.yaml": changelingRules}}
	if err := lab.client.Create(t.Context(), rules); err != nil {
		t.Fatal(err)
	}
	removeLater(t, "v1", "ConfigMap", "default/changeling")
	remove(t, "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "changeling:view")
	remove(t, "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "changeling")
	all := true
	r := restored(t, "changeling-mapped", v1alpha1.RestoreSpec{
		BackupName: "changeling-1", IncludedNamespaces: []string{"changeling"}, NamespaceMappings: map[string]v1alpha1.NamespaceName{"changeling": "changed"},
		IncludeClusterScopeResources: &all,
		IncludedResourceTypes:        []string{"configmaps", "deployments.apps", "rolebindings", "clusterrolebindings", "validatingwebhookconfigurations", "serviceaccounts"},
		ResourceModifierReference:    &v1alpha1.NamespacedReference{Namespace: "default", Name: "changeling"},
	})
	mustSucceed(t, r, 0)
	mustHold(t, live(t, "v1", "ConfigMap", "changed/settings"), map[string]string{
		"data.level": "raised", "data.count": "1", "metadata.annotations": "map[example.com/by:rule]",
	})
	mustHold(t, live(t, "v1", "ConfigMap", "changed/guarded"), map[string]string{"data.level": "high", "metadata.annotations": ""})
	mustHold(t, live(t, "v1", "ConfigMap", "changed/other"), map[string]string{"data": "map[added:yes level:low]"})
	var d appsv1.Deployment
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: "changed", Name: "web"}, &d); err != nil {
		t.Fatal(err)
	}
	containers := d.Spec.Template.Spec.Containers
	if len(containers) != 2 || len(containers[0].Env) != 2 || *d.Spec.Replicas != 0 || containers[0].Image != lab.images.Toolbox {
		t.Errorf("the Deployment has %d replicas of %+v", *d.Spec.Replicas, containers)
	}
	mustHold(t, live(t, "rbac.authorization.k8s.io/v1", "RoleBinding", "changed/view"), map[string]string{
		"subjects": "[map[kind:ServiceAccount name:robot namespace:changed] map[apiGroup:rbac.authorization.k8s.io kind:User name:system:serviceaccount:changed:robot]]",
	})
	mustHold(t, live(t, "rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "changeling:view"), map[string]string{
		"subjects": "[map[kind:ServiceAccount name:robot namespace:changed] map[apiGroup:rbac.authorization.k8s.io kind:Group name:system:serviceaccounts:changed] map[kind:ServiceAccount name:robot namespace:kube-system]]",
	})
	if hook := field(live(t, "admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "changeling"), "webhooks"); !strings.Contains(hook, "namespace:changed") {
		t.Errorf("the webhook is %s", hook)
	}
	mustWarn(t, r, nouns.CodeObjectNote, "configmaps changed/settings", "data.url", "web.changeling.svc")
}

// remakesTheChangeling restores what is not there any more, while somebody has taken some of its node ports.
func remakesTheChangeling(t *testing.T, s shop.Shop, allotted string) {
	removeCluster(t.Context(), t, changelingCluster[:strings.Index(changelingCluster, "---\napiVersion: rbac")])
	eventually(t, "the moods are gone", time.Minute, func(ctx context.Context) (bool, error) {
		_, err := look(ctx, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "moods.changeling.example")
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	occupy(t, allotted, "30012")
	r := restored(t, "changeling-remade", v1alpha1.RestoreSpec{
		BackupName: "changeling-1", IncludedNamespaces: []string{"changeling"}, RestoreRolloutHistory: true,
		StorageClassMappings: map[string]v1alpha1.StorageClassName{"lab": "changeling"},
		RestoreStatus:        &v1alpha1.StatusSelection{IncludedTypes: []string{"configmaps"}},
		ReadyTimeout:         &metav1.Duration{Duration: 3 * time.Minute},
	})
	mustSucceed(t, r, 0)
	if r.Status.ReadyTime == nil {
		t.Errorf("not all is ready: %s", warningsText(r))
	}
	if got := nodePort(t, "changeling/web", 0); got == allotted {
		t.Errorf("the Service has port %s, which another has", got)
	}
	if got := nodePort(t, "changeling/chosen", 0); got != "30011" {
		t.Errorf("the port that a user chose is %s", got)
	}
	if first, second := nodePort(t, "changeling/contested", 0), nodePort(t, "changeling/contested", 1); first == "30012" || second != "30013" {
		t.Errorf("the contested Service has the ports %s and %s", first, second)
	}
	mustWarn(t, r, nouns.CodeFieldsKept, "services changeling/contested", "30012")
	mustHold(t, live(t, "changeling.example/v1", "Mood", "changeling/asked"), map[string]string{"spec.wanted": "good", "status": ""})
	mustHold(t, live(t, "changeling.example/v1", "Mood", "changeling/annotated"), map[string]string{"status": "map[mood:good times:9007199254740993]"})
	mustHold(t, live(t, "v1", "PersistentVolumeClaim", "changeling/data"), map[string]string{"spec.storageClassName": "changeling", "status.phase": "Bound"})
	if text, err := s.Exec(t.Context(), "box", "c", "cat", "/data/file"); err != nil || text != "hello" {
		t.Errorf("the volume of another class holds %q, %v", text, err)
	}

	// Of one that is gone, the status comes back where it was asked for.
	remove(t, "changeling.example/v1", "Mood", "changeling/asked")
	r = restored(t, "changeling-status", v1alpha1.RestoreSpec{
		BackupName: "changeling-1", IncludedNamespaces: []string{"changeling"}, IncludedResourceTypes: []string{"moods"},
		RestoreStatus: &v1alpha1.StatusSelection{IncludedTypes: []string{"*.changeling.example"}},
	})
	mustSucceed(t, r, 0)
	mustHaveResults(t, r, map[string]restorerecord.Result{
		"moods.changeling.example changeling/asked": restorerecord.Created, "moods.changeling.example changeling/annotated": restorerecord.Existing,
	})
	mustHold(t, live(t, "changeling.example/v1", "Mood", "changeling/asked"), map[string]string{"status": "map[mood:good times:9007199254740993]"})
}

// replicaSets are those of the Deployment, by revision.
func replicaSets(t *testing.T) map[string]appsv1.ReplicaSet {
	t.Helper()
	var all appsv1.ReplicaSetList
	if err := lab.client.List(t.Context(), &all, client.InNamespace("changeling")); err != nil {
		t.Fatal(err)
	}
	found := map[string]appsv1.ReplicaSet{}
	for _, set := range all.Items {
		owner := metav1.GetControllerOf(&set)
		if owner == nil || owner.Name != "web" {
			t.Errorf("ReplicaSet %s belongs to %v", set.Name, owner)
		}
		found[set.Annotations["deployment.kubernetes.io/revision"]] = set
	}
	return found
}

// undoesTheChangeling does what `kubectl rollout undo` does: the Deployment gets the template of its former ReplicaSet.
func undoesTheChangeling(t *testing.T) {
	before := replicaSets(t)
	if len(before) != 2 {
		t.Fatalf("there are the revisions %v, want 1 and 2", before)
	}
	first, second := before["1"], before["2"]
	if *first.Spec.Replicas != 0 || *second.Spec.Replicas != 1 || second.Status.ReadyReplicas != 1 {
		t.Errorf("the former ReplicaSet has %d replicas, and the present one %d", *first.Spec.Replicas, *second.Spec.Replicas)
	}
	var d appsv1.Deployment
	if err := lab.client.Get(t.Context(), client.ObjectKey{Namespace: "changeling", Name: "web"}, &d); err != nil {
		t.Fatal(err)
	}
	d.Spec.Template = first.Spec.Template
	delete(d.Spec.Template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	if err := lab.client.Update(t.Context(), &d); err != nil {
		t.Fatal(err)
	}
	awaitRevision(t, "3")
	if after := replicaSets(t); len(after) != 2 || after["3"].UID != first.UID {
		t.Errorf("after the undoing there are %d ReplicaSets, and the present one is %s, want %s", len(after), after["3"].Name, first.Name)
	}
}

// preservesThePorts restores the Services alone, twice: while one of their ports is taken, and when none is.
func preservesThePorts(t *testing.T, allotted string) {
	for _, name := range []string{"web", "chosen", "contested"} {
		remove(t, "v1", "Service", "changeling/"+name)
	}
	occupy(t, "30013")
	spec := v1alpha1.RestoreSpec{
		BackupName: "changeling-1", IncludedNamespaces: []string{"changeling"}, IncludedResourceTypes: []string{"services"}, PreserveNodePorts: true,
	}
	r := restored(t, "changeling-ports-1", spec)
	mustSucceed(t, r, 1)
	mustWarn(t, r, nouns.CodeObjectFailed, "services changeling/contested", "30013", "allocated")
	if got := nodePort(t, "changeling/web", 0); got != allotted {
		t.Errorf("the port that was allotted is %s, was %s", got, allotted)
	}
	remove(t, "v1", "Service", "default/occupier-0")
	r = restored(t, "changeling-ports-2", spec)
	mustSucceed(t, r, 0)
	if first, second := nodePort(t, "changeling/contested", 0), nodePort(t, "changeling/contested", 1); first != "30012" || second != "30013" {
		t.Errorf("the contested Service has the ports %s and %s", first, second)
	}
}

func selectsOfTheChangeling(t *testing.T) {
	s := shop.Shop{Client: lab.client, Cluster: lab.cluster, Namespace: "changeling"}
	names := func() string {
		t.Helper()
		var found []string
		for _, kind := range []string{"ConfigMap", "Secret", "Service", "Mood", "Deployment"} {
			version := map[string]string{"Mood": "changeling.example/v1", "Deployment": "apps/v1"}[kind]
			if version == "" {
				version = "v1"
			}
			list := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: kind + "List"}}
			if err := lab.client.List(t.Context(), list, client.InNamespace("changeling")); err != nil {
				t.Fatal(err)
			}
			for _, o := range list.Items {
				if o.Name != "kube-root-ca.crt" {
					found = append(found, kind+" "+o.Name)
				}
			}
		}
		return strings.Join(found, ", ")
	}
	for _, c := range []struct {
		name, want string
		spec       v1alpha1.RestoreSpec
	}{
		{"label", "ConfigMap guarded, ConfigMap settings, Secret login", v1alpha1.RestoreSpec{LabelSelectors: []string{"app in (web, nothing)"}}},
		{"or", "ConfigMap guarded, ConfigMap other, ConfigMap settings", v1alpha1.RestoreSpec{
			OrLabelSelectors: []string{"app=other", "app=web"}, IncludedResourceTypes: []string{"configmaps"},
		}},
		{"types", "Service chosen, Service contested, Service web, Mood annotated, Mood asked", v1alpha1.RestoreSpec{
			IncludedResourceTypes: []string{"v1/Service", "*.changeling.example", "apps/*"}, ExcludedResourceTypes: []string{"deployments"},
		}},
	} {
		mustDestroy(t, s)
		c.spec.BackupName, c.spec.IncludedNamespaces = "changeling-1", []string{"changeling"}
		r := restored(t, "changeling-"+c.name, c.spec)
		mustSucceed(t, r, 0)
		if got := names(); got != c.want {
			t.Errorf("%s: restored %s, want %s", c.name, got, c.want)
		}
	}
}
