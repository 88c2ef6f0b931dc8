package transform

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func ref(resource, namespace, name string) coffer.ObjectRef {
	return coffer.ObjectRef{GroupResource: coffer.ParseGroupResource(resource), Namespace: namespace, Name: name}
}

func TestApply(t *testing.T) {
	toCopy := func(ns string) string {
		if ns == "shop" {
			return "copy"
		}
		return ns
	}
	for _, tt := range []struct {
		name, in, want string
		c              Context
	}{
		{
			name: "what the API server sets is left out, the rest kept to the digit",
			in:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop, uid: u, resourceVersion: "1", generation: 2, creationTimestamp: x, managedFields: [], selfLink: s, ownerReferences: [{uid: o}], labels: {a: b}, annotations: {c: d}, finalizers: [f]}, data: {k: v}, big: 9007199254740993, status: {x: y}}`,
			c:    Context{Target: ref("configmaps", "copy", "a"), APIVersion: "v1"},
			want: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: copy, labels: {a: b}, annotations: {c: d}, finalizers: [f]}, data: {k: v}, big: 9007199254740993}`,
		},
		{
			name: "the version is the one that the cluster serves",
			in:   `{apiVersion: apps/v1beta1, kind: Deployment, metadata: {name: a}}`,
			c:    Context{Target: ref("deployments.apps", "shop", "a"), APIVersion: "apps/v1"},
			want: `{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: shop}}`,
		},
		{
			name: "annotations are added",
			in:   `{apiVersion: v1, kind: Secret, metadata: {name: a}}`,
			c:    Context{Target: ref("secrets", "shop", "a"), APIVersion: "v1", Annotations: map[string]string{"k": "v"}},
			want: `{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: shop, annotations: {k: v}}}`,
		},
		{
			name: "a claim is freed and takes its data from the snapshot, at its full size",
			in:   `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, finalizers: [kubernetes.io/pvc-protection, snapshot.storage.kubernetes.io/pvc-as-source-protection, mine], annotations: {pv.kubernetes.io/bind-completed: "yes", volume.kubernetes.io/selected-node: n, mine: x}}, spec: {volumeName: pv, storageClassName: lab, selector: {}, dataSourceRef: {name: old}, resources: {requests: {storage: 1Gi}}}}`,
			c:    Context{Target: ref("persistentvolumeclaims", "shop", "d"), APIVersion: "v1", Snapshot: "snap", RestoreSize: 2 << 30},
			want: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: shop, finalizers: [mine], annotations: {mine: x}}, spec: {storageClassName: lab, dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snap}, resources: {requests: {storage: 2Gi}}}}`,
		},
		{
			name: "a larger request than the snapshot's stays",
			in:   `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d}, spec: {resources: {requests: {storage: 5Gi}}}}`,
			c:    Context{Target: ref("persistentvolumeclaims", "shop", "d"), APIVersion: "v1", Snapshot: "snap", RestoreSize: 2 << 30},
			want: `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: d, namespace: shop}, spec: {dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: snap}, resources: {requests: {storage: 5Gi}}}}`,
		},
		{
			name: "a service gets addresses and node ports of its own",
			in:   `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], healthCheckNodePort: 3, ports: [{port: 80, nodePort: 30080}]}}`,
			c:    Context{Target: ref("services", "shop", "s"), APIVersion: "v1"},
			want: `{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {ports: [{port: 80}]}}`,
		},
		{
			name: "a headless service stays headless",
			in:   `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: None, clusterIPs: [None]}}`,
			c:    Context{Target: ref("services", "shop", "s"), APIVersion: "v1"},
			want: `{apiVersion: v1, kind: Service, metadata: {name: s, namespace: shop}, spec: {clusterIP: None, clusterIPs: [None]}}`,
		},
		{
			name: "a pod is freed from its node and token",
			in:   `{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {nodeName: n, priority: 5, volumes: [{name: kube-api-access-x}, {name: data}], containers: [{name: c, volumeMounts: [{name: kube-api-access-x}, {name: data}]}]}}`,
			c:    Context{Target: ref("pods", "shop", "p"), APIVersion: "v1"},
			want: `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: shop}, spec: {volumes: [{name: data}], containers: [{name: c, volumeMounts: [{name: data}]}]}}`,
		},
		{
			name: "a job loses its former identity",
			in:   `{apiVersion: batch/v1, kind: Job, metadata: {name: j, labels: {job-name: j, mine: x}}, spec: {selector: {matchLabels: {controller-uid: u}}, template: {metadata: {labels: {controller-uid: u, batch.kubernetes.io/job-name: j}}}}}`,
			c:    Context{Target: ref("jobs.batch", "shop", "j"), APIVersion: "batch/v1"},
			want: `{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop, labels: {mine: x}}, spec: {template: {metadata: {}}}}`,
		},
		{
			name: "a job with a selector of its own keeps it",
			in:   `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {manualSelector: true, selector: {matchLabels: {a: b}}}}`,
			c:    Context{Target: ref("jobs.batch", "shop", "j"), APIVersion: "batch/v1"},
			want: `{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: shop}, spec: {manualSelector: true, selector: {matchLabels: {a: b}}}}`,
		},
		{
			name: "subjects follow their namespace",
			in:   `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b}, subjects: [{kind: ServiceAccount, name: x, namespace: shop}, {kind: ServiceAccount, name: y, namespace: other}, {kind: User, name: z}]}`,
			c:    Context{Target: ref("rolebindings.rbac.authorization.k8s.io", "copy", "b"), APIVersion: "rbac.authorization.k8s.io/v1"},
			want: `{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: b, namespace: copy}, subjects: [{kind: ServiceAccount, name: x, namespace: copy}, {kind: ServiceAccount, name: y, namespace: other}, {kind: User, name: z}]}`,
		},
		{
			name: "a namespace takes its new name and loses its finalizers",
			in:   `{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {kubernetes.io/metadata.name: shop, team: a}}, spec: {finalizers: [kubernetes]}, status: {phase: Active}}`,
			c:    Context{Target: ref("namespaces", "", "copy"), APIVersion: "v1"},
			want: `{apiVersion: v1, kind: Namespace, metadata: {name: copy, labels: {kubernetes.io/metadata.name: copy, team: a}}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.c.Namespace = toCopy
			in, err := yaml.YAMLToJSON([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Apply(in, tt.c)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, asFlow(t, got, tt.want)); diff != "" {
				t.Errorf("Apply (-want +got):\n%s", diff)
			}
		})
	}
}

// asFlow answers want itself if got means the same, and got's JSON if not.
func asFlow(t *testing.T, got []byte, want string) string {
	t.Helper()
	wantJSON, err := yaml.YAMLToJSON([]byte(want))
	if err != nil {
		t.Fatal(err)
	}
	a, err := decode(got)
	if err != nil {
		t.Fatal(err)
	}
	b, err := decode(wantJSON)
	if err != nil {
		t.Fatal(err)
	}
	if cmp.Equal(a, b) {
		return want
	}
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWhatIsNotAnObjectIsRefused(t *testing.T) {
	for _, body := range []string{"", "null", "[]", `"x"`, "{"} {
		if _, err := Apply([]byte(body), Context{Target: ref("secrets", "a", "b")}); coffer.CodeOf(err) != coffer.CodeArchiveCorrupt {
			t.Errorf("Apply(%q) = %v", body, err)
		}
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte(`{"metadata":{"labels":1},"spec":{"ports":[1,{"nodePort":1}],"template":[]},"subjects":[null]}`), "services")
	f.Add([]byte(`{"spec":{"resources":{"requests":{"storage":{}}}}}`), "persistentvolumeclaims")
	f.Fuzz(func(t *testing.T, body []byte, resource string) {
		// Whatever an archive holds must not bring the extension down.
		_, err := Apply(body, Context{
			Target: coffer.ObjectRef{GroupResource: coffer.ParseGroupResource(resource), Namespace: "n", Name: "x"}, APIVersion: "v1",
			Namespace: func(s string) string { return s }, Snapshot: "s", RestoreSize: 1, Annotations: map[string]string{"a": "b"},
		})
		if err != nil && coffer.CodeOf(err) == "" {
			t.Errorf("Apply = %v", err)
		}
	})
}
