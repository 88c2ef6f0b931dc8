package transform

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// mustBeFit holds what every object that is created must be like.
func mustBeFit(t *testing.T, object []byte) {
	t.Helper()
	o, err := decode(object)
	if err != nil {
		t.Fatal(err)
	}
	metadata := child(o, "metadata")
	for _, field := range serverFields {
		if _, has := metadata[field]; has {
			t.Errorf("metadata.%s is left in %s", field, object)
		}
	}
	if _, has := o["status"]; has {
		t.Errorf("status is left in %s", object)
	}
}

// mustBeSettled holds that to transform an object again changes nothing.
func mustBeSettled(t *testing.T, object []byte, c Context) {
	t.Helper()
	again, err := Apply(object, c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(object), string(again.Object)); diff != "" {
		t.Errorf("the second time changes %s (-first +second):\n%s", c.Target, diff)
	}
}

// anything makes a value of the words that cares look for.
func anything(r *rand.Rand, depth int) any {
	words := []string{
		"a", "b", "metadata", "spec", "name", "namespace", "labels", "annotations", "finalizers", "ports", "nodePort", "clusterIP", "None",
		"subjects", "kind", "ServiceAccount", "User", "system:serviceaccount:a:x", "system:serviceaccounts:a", "webhooks", "clientConfig", "service",
		"claimRef", "volumeClaimTemplates", "storageClassName", "slow", "fast", "data", "template", "selector", "volumes", "containers", "volumeMounts",
		"kube-api-access-x", "db.a.svc", "http://db.a:80", "uid", "resourceVersion", "ownerReferences", "status", "conversion", "webhook", "caBundle",
		"secrets", "x-token-y", "volume.beta.kubernetes.io/storage-class", "kubernetes.io/metadata.name", "values", "key", "rules", "meta.helm.sh/release-namespace",
		"ingressClassName", "kubernetes.io/ingress.class", "kubernetes.io/pvc-protection", "resources", "requests", "storage", "1Gi", "sideEffects",
	}
	word := func() string { return words[r.IntN(len(words))] }
	if depth == 0 {
		return []any{word(), r.IntN(3), true, nil}[r.IntN(4)]
	}
	switch r.IntN(4) {
	case 0:
		var list []any
		for range r.IntN(4) {
			list = append(list, anything(r, depth-1))
		}
		return list
	case 1:
		return word()
	}
	object := map[string]any{}
	for range r.IntN(8) {
		object[word()] = anything(r, depth-1)
	}
	return object
}

func TestWhateverTheObject(t *testing.T) {
	types := []coffer.GroupResource{{Resource: "configmaps"}}
	for typ := range cares {
		types = append(types, typ)
	}
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // A test that fails has to fail again.
		object, ok := anything(r, 6).(map[string]any)
		if !ok {
			continue
		}
		w := work{object: object}
		body, err := w.encode()
		if err != nil {
			t.Fatal(err)
		}
		target := coffer.ObjectRef{GroupResource: types[r.IntN(len(types))], Namespace: "a", Name: "x"}
		c := Context{Target: target, APIVersion: "v1", Snapshot: "s", RestoreSize: 1 << 30, PreserveNodePorts: true}
		plain, err := Apply(body, c)
		if err != nil {
			t.Fatal(err)
		}
		mustBeFit(t, plain.Object)
		mustBeSettled(t, plain.Object, c)

		// Names that stay what they are change nothing.
		same := c
		same.Namespaces, same.StorageClasses = map[string]string{"a": "a", "b": "b"}, map[string]string{"slow": "slow"}
		got, err := Apply(body, same)
		if err != nil {
			t.Fatal(err)
		}
		if string(got.Object) != string(plain.Object) || len(got.Notes) != len(plain.Notes) {
			t.Errorf("%s: mapping names to themselves makes %s of %s, notes %v", target, got.Object, plain.Object, got.Notes)
		}

		mapped := c
		mapped.Target.Namespace = "b"
		mapped.Namespaces, mapped.StorageClasses = map[string]string{"a": "b"}, map[string]string{"slow": "fast"}
		got, err = Apply(body, mapped)
		if err != nil {
			t.Fatal(err)
		}
		mustBeFit(t, got.Object)
		mustBeSettled(t, got.Object, mapped)
		if t.Failed() {
			t.Fatalf("seed %d, %s: %s", seed, target, body)
		}
	}
}

// BenchmarkApply measures objects as they are in clusters: restoring must not be bound by it.
func BenchmarkApply(b *testing.B) {
	var container strings.Builder
	for i := range 3 {
		fmt.Fprintf(&container, `{"name":"c%d","image":"registry.example.com/shop/web:1.2.3","env":[{"name":"DB","value":"postgres://db.shop.svc:5432/shop"},{"name":"LOG","value":"info"}],"ports":[{"containerPort":80,"protocol":"TCP"}],"resources":{"limits":{"cpu":"1","memory":"1Gi"},"requests":{"cpu":"100m","memory":"128Mi"}},"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent","volumeMounts":[{"name":"data","mountPath":"/data"}]},`, i)
	}
	managed := `"managedFields":[{"manager":"kubectl","operation":"Update","apiVersion":"apps/v1","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:annotations":{".":{},"f:a":{}},"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:progressDeadlineSeconds":{},"f:replicas":{},"f:revisionHistoryLimit":{},"f:selector":{},"f:strategy":{"f:rollingUpdate":{".":{},"f:maxSurge":{},"f:maxUnavailable":{}},"f:type":{}},"f:template":{"f:spec":{"f:containers":{"k:{\"name\":\"c0\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{},"f:terminationMessagePath":{}}}}}}}}],`
	deployment := []byte(`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{` + managed + `"name":"web","namespace":"shop","uid":"00000000-0000-0000-0000-000000000000","resourceVersion":"12345","generation":3,"creationTimestamp":"2026-01-01T00:00:00Z","labels":{"app":"web"},"annotations":{"deployment.kubernetes.io/revision":"1"}},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"web"}},"strategy":{"type":"RollingUpdate"},"template":{"metadata":{"labels":{"app":"web"}},"spec":{"containers":[` + strings.TrimSuffix(container.String(), ",") + `],"restartPolicy":"Always","dnsPolicy":"ClusterFirst"}}},"status":{"replicas":3,"conditions":[{"type":"Available","status":"True"}]}}`)
	configMap := []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"settings","namespace":"shop","uid":"u"},"data":{"text":"` + strings.Repeat("a line of some configuration file, host=db.example.com\\n", 20) + `"}}`)
	for _, tt := range []struct {
		name, resource string
		body           []byte
		namespaces     map[string]string
	}{
		{"deployment", "deployments.apps", deployment, nil},
		{"deployment mapped", "deployments.apps", deployment, map[string]string{"shop": "copy"}},
		{"configmap", "configmaps", configMap, nil},
		{"configmap mapped", "configmaps", configMap, map[string]string{"shop": "copy"}},
	} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(tt.body)))
			c := Context{Target: ref(tt.resource, "copy", "x"), APIVersion: "v1", Namespaces: tt.namespaces}
			for b.Loop() {
				if _, err := Apply(tt.body, c); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
