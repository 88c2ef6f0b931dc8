package transform

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func ref(resource, namespace, name string) coffer.ObjectRef {
	return coffer.ObjectRef{GroupResource: coffer.ParseGroupResource(resource), Namespace: namespace, Name: name}
}

// applied is one row of a table: what Apply makes of an object.
type applied struct {
	name, in, want string
	c              Context
	// notes are the fields of the notes that are expected.
	notes []string
}

func (tt applied) run(t *testing.T) {
	t.Helper()
	t.Run(tt.name, func(t *testing.T) {
		body, err := yaml.YAMLToJSON([]byte(tt.in))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Apply(body, tt.c)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, asFlow(t, got.Object, tt.want)); diff != "" {
			t.Errorf("Apply (-want +got):\n%s", diff)
		}
		var fields []string
		for _, n := range got.Notes {
			fields = append(fields, n.Field)
		}
		if diff := cmp.Diff(tt.notes, fields); diff != "" {
			t.Errorf("notes (-want +got):\n%s%v", diff, got.Notes)
		}
	})
}

func TestApply(t *testing.T) {
	for _, tt := range []applied{
		{
			name: "what the API server sets is left out, the rest kept to the digit",
			in:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, generateName: a-, namespace: shop, uid: u, resourceVersion: "1", generation: 2, creationTimestamp: x, managedFields: [], selfLink: s, ownerReferences: [{uid: o}], labels: {a: b}, annotations: {c: d}, finalizers: [f]}, data: {k: v}, big: 9007199254740993, status: {x: y}}`,
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
			name: "changes of the user's are made under the archived name, and the annotations survive them",
			in:   `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: shop, annotations: {a: b}}}`,
			c: Context{
				Source: ref("configmaps", "shop", "a"), Target: ref("configmaps", "copy", "a"), APIVersion: "v1", Annotations: map[string]string{"k": "v"},
				Modify: func(object []byte) []byte {
					return []byte(strings.NewReplacer(`"a":"b"`, ``, `"namespace":"shop"`, `"namespace":"shop","uid":"u","labels":{"was":"shop"}`).Replace(string(object)))
				},
			},
			want: `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: copy, labels: {was: shop}, annotations: {k: v}}}`,
		},
	} {
		tt.run(t)
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
	f.Add([]byte(`{"metadata":[],"webhooks":[{"clientConfig":{"service":[]}}],"spec":{"conversion":{"webhook":{"clientConfig":{"caBundle":7}}},"versions":[{"schema":{"openAPIV3Schema":{}}}],"preserveUnknownFields":true}}`), "customresourcedefinitions.apiextensions.k8s.io")
	f.Add([]byte(`{"data":{"a":"ZGIuYS5zdmM=","b":"."},"key":"kubernetes.io/metadata.name","values":["a",["a"]],"x":"system:serviceaccount:a"}`), "secrets")
	f.Add([]byte(`{"metadata":{"managedFields":[{"fieldsV1":{"f:spec":{"f:ports":[1]}}}],"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{}","velero.io/restore-status":1}},"status":0}`), "services")
	f.Fuzz(func(t *testing.T, body []byte, resource string) {
		c := Context{
			Target: coffer.ObjectRef{GroupResource: coffer.ParseGroupResource(resource), Namespace: "b", Name: "x"}, APIVersion: "v1",
			Namespaces: map[string]string{"a": "b"}, StorageClasses: map[string]string{"": "none", "slow": "fast"},
			Snapshot: "s", RestoreSize: 1, Annotations: map[string]string{"a": "b"}, Status: true, PreserveNodePorts: true,
		}
		// Whatever an archive holds must not bring the extension down.
		got, err := Apply(body, c)
		if err != nil {
			if coffer.CodeOf(err) == "" {
				t.Errorf("Apply = %v", err)
			}
			return
		}
		mustBeFit(t, got.Object)
		mustBeSettled(t, got.Object, c)
	})
}
