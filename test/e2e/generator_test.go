//go:build e2e

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
)

// generator makes objects by chance, the same ones for the same seed.
type generator struct {
	*rand.Rand
	t *testing.T
	// made are those of the present namespace: each may own a later one.
	made []*unstructured.Unstructured
}

func newGenerator(t *testing.T, seed uint64) *generator {
	t.Helper()
	return &generator{Rand: rand.New(rand.NewPCG(seed, 0)), t: t} //nolint:gosec // the same objects every time
}

type fields = map[string]any

// recipe makes an object of one kind.
type recipe struct {
	apiVersion, kind string
	// content is all but the metadata.
	content func(g *generator, name string) fields
	// kept says that it may belong to another object: what controllers make does not.
	kept bool
}

// recipes make objects that run nothing.
var recipes = []recipe{
	{"v1", "ConfigMap", (*generator).config, true},
	{"v1", "Secret", (*generator).secret, true},
	{"v1", "ServiceAccount", (*generator).account, true},
	{"kin.example/v1", "Kin", (*generator).kin, true},
	{"v1", "Service", (*generator).service, false},
	{"apps/v1", "Deployment", (*generator).deployment, false},
	{"apps/v1", "ReplicaSet", (*generator).deployment, false},
	{"apps/v1", "StatefulSet", (*generator).set, false},
	{"apps/v1", "DaemonSet", (*generator).daemons, false},
	{"v1", "ReplicationController", (*generator).controller, false},
	{"v1", "PodTemplate", func(g *generator, name string) fields { return fields{"template": g.pods(name, "Always")} }, true},
	{"batch/v1", "Job", (*generator).job, false},
	{"batch/v1", "CronJob", func(g *generator, name string) fields {
		return fields{"spec": fields{"suspend": true, "schedule": "5 4 * * *", "jobTemplate": fields{"spec": fields{"template": g.pods(name, "Never")}}}}
	}, false},
	{"rbac.authorization.k8s.io/v1", "Role", func(g *generator, _ string) fields {
		return fields{"rules": list(fields{"apiGroups": list(""), "resources": list("configmaps", "pods/log"), "verbs": list("get", g.pick("list", "*"))})}
	}, true},
	{"rbac.authorization.k8s.io/v1", "RoleBinding", (*generator).binding, true},
	{"networking.k8s.io/v1", "NetworkPolicy", (*generator).networkPolicy, false},
	{"networking.k8s.io/v1", "Ingress", (*generator).ingress, false},
	{"autoscaling/v2", "HorizontalPodAutoscaler", (*generator).scaler, false},
	{"policy/v1", "PodDisruptionBudget", func(g *generator, name string) fields {
		return fields{"spec": fields{g.pick("minAvailable", "maxUnavailable"): g.pickAny(1, "25%"), "selector": fields{"matchLabels": fields{"app": name}}}}
	}, false},
	{"v1", "LimitRange", func(g *generator, _ string) fields {
		return fields{"spec": fields{"limits": list(fields{"type": "Container", "default": fields{"cpu": g.pick("100m", "0.5", "1")}, "max": fields{"memory": "1Gi"}})}}
	}, false},
	{"v1", "ResourceQuota", func(g *generator, _ string) fields {
		return fields{"spec": fields{"hard": fields{
			"pods": "100", g.pick("services", "count/deployments.apps", "count/jobs.batch"): "500", g.pick("count/configmaps", "secrets", "count/ingresses.networking.k8s.io"): "1k",
		}}}
	}, false},
}

// populate makes a namespace with n objects: at least two of each kind, if there is room.
func (g *generator) populate(ns string, n int) {
	g.t.Helper()
	g.made = nil
	g.create(recipe{apiVersion: "v1", kind: "Namespace"}, "", ns)
	for i := range n {
		r := recipes[i%len(recipes)]
		if i >= 2*len(recipes) {
			r = recipes[g.IntN(len(recipes))]
		}
		g.create(r, ns, fmt.Sprintf("%s%d", g.pick("a", "some-name", "x"), i))
	}
}

func (g *generator) create(r recipe, ns, name string) {
	g.t.Helper()
	o := &unstructured.Unstructured{Object: fields{}}
	if r.content != nil {
		o.Object = r.content(g, name)
	}
	o.SetAPIVersion(r.apiVersion)
	o.SetKind(r.kind)
	o.SetName(name)
	o.SetNamespace(ns)
	o.SetLabels(g.labels())
	o.SetAnnotations(g.annotations())
	if r.kept && len(g.made) > 0 && g.IntN(2) == 0 {
		owner := g.made[g.IntN(len(g.made))]
		o.Object["metadata"].(fields)["ownerReferences"] = list(fields{
			"apiVersion": owner.GetAPIVersion(), "kind": owner.GetKind(), "name": owner.GetName(), "uid": string(owner.GetUID()),
			"controller": g.IntN(2) == 0, "blockOwnerDeletion": g.IntN(2) == 0,
		})
	}
	// A definition may be too new, or a quota not counted yet.
	var last error
	err := wait.PollUntilContextTimeout(g.t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		last = lab.client.Create(ctx, o.DeepCopy())
		return last == nil, nil
	})
	if err != nil {
		g.t.Fatalf("create %s %s/%s: %v: %v", r.kind, ns, name, err, last)
	}
	if ns != "" {
		stored := live(g.t, r.apiVersion, r.kind, ns+"/"+name)
		g.made = append(g.made, stored)
	}
}

func list(elements ...any) []any { return elements }

func (g *generator) pick(of ...string) string { return of[g.IntN(len(of))] }

func (g *generator) pickAny(of ...any) any {
	switch v := of[g.IntN(len(of))].(type) {
	case int:
		return int64(v)
	default:
		return v
	}
}

func (g *generator) labels() map[string]string {
	labels := map[string]string{}
	for range g.IntN(4) {
		labels[g.pick("app", "app.kubernetes.io/name", "a_b.c-d", "example.com/X.y_z", "tier", "very.long.example.com/"+strings.Repeat("k", 63))] =
			g.pick("", "web", "v1.2.3_rc-4", "0", "true", "UPPER", strings.Repeat("v", 63))
	}
	return labels
}

func (g *generator) annotations() map[string]string {
	annotations := map[string]string{}
	for range g.IntN(4) {
		annotations[g.pick("note", "example.com/odd", "kubectl.kubernetes.io/last-applied-configuration", "z_z", "example.com/url")] = g.text()
	}
	return annotations
}

// text is one that somebody might have trouble with.
func (g *generator) text() string {
	return g.pick("", " ", "plain", "true", "null", "1e3", "a\nb\r\n\tc", `{"json": "in", "a": ["string"]}`, `"quoted" 'twice' \back\ `, "<script>&amp;</script>",
		"Grüße, 日本語, 👩‍👩‍👧, \u202eright to left", "\u0001\u007f\u2028", "---\nyaml: |\n  yes\n", strings.Repeat("long ", 1000), "$(VAR) ${VAR} %s %%", "~/#?=")
}

func (g *generator) bytes() string {
	raw := make([]byte, g.IntN(300))
	for i := range raw {
		raw[i] = byte(g.UintN(256))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func (g *generator) config(string) fields {
	data, binary := fields{}, fields{}
	for range g.IntN(4) {
		data[g.pick("key", "file.yaml", ".hidden", "A_b-c.d", "_x..y")] = g.text()
	}
	for range g.IntN(2) {
		binary["binary"+g.pick("1", "2")] = g.bytes()
	}
	o := fields{"data": data, "binaryData": binary}
	if g.IntN(4) == 0 {
		o["immutable"] = true
	}
	return o
}

func (g *generator) secret(string) fields {
	switch g.IntN(4) {
	case 0:
		return fields{"type": "kubernetes.io/basic-auth", "data": fields{"username": g.bytes(), "password": g.bytes()}}
	case 1:
		return fields{"type": "kubernetes.io/dockerconfigjson", "stringData": fields{".dockerconfigjson": `{"auths":{"r.example.com":{"auth":"YTpi"}}}`}}
	case 2:
		return fields{"type": "example.com/own", "immutable": true, "data": fields{"a": g.bytes()}}
	}
	return fields{"data": fields{"key": g.bytes(), "other.key": g.bytes()}}
}

func (g *generator) account(string) fields {
	o := fields{}
	if g.IntN(2) == 0 {
		o["automountServiceAccountToken"] = g.IntN(2) == 0
	}
	if g.IntN(2) == 0 {
		o["imagePullSecrets"] = list(fields{"name": "pull"})
	}
	if g.IntN(2) == 0 {
		o["secrets"] = list(fields{"name": "own-secret"})
	}
	return o
}

// kin is a custom resource of whatever may stand in JSON.
func (g *generator) kin(string) fields {
	return fields{"spec": g.value(4), "other": g.value(2), "statusless": true}
}

func (g *generator) value(depth int) any {
	switch n := g.IntN(10); {
	case depth > 0 && n < 4:
		o := fields{}
		for range g.IntN(5) {
			o[g.pick("a", "b", "namespace", "with space", "with.dot", "ünï", "", "$ref", "items", "/slash~tilde")] = g.value(depth - 1)
		}
		return o
	case depth > 0 && n < 6:
		elements := []any{}
		for range g.IntN(4) {
			elements = append(elements, g.value(depth-1))
		}
		return elements
	case n == 6:
		return g.pickAny(0, -1, 9007199254740993, 2147483648)
	case n == 7:
		return g.pickAny(0.5, 1.25e-7, -3.75)
	case n == 8:
		return g.IntN(2) == 0
	}
	return g.text()
}

func (g *generator) service(name string) fields {
	ports := list(fields{"name": "one", "port": int64(80), "targetPort": g.pickAny(8080, "http")}, fields{"name": "two", "port": int64(53), "protocol": g.pick("TCP", "UDP")})
	spec := fields{"ports": ports, "selector": fields{"app": name}}
	switch g.IntN(6) {
	case 0:
		spec["clusterIP"] = "None"
	case 1:
		return fields{"spec": fields{"type": "ExternalName", "externalName": "db.example.com"}}
	case 2:
		spec["type"] = "NodePort"
	case 3:
		spec["type"], spec["externalTrafficPolicy"] = "LoadBalancer", g.pick("Local", "Cluster")
	case 4:
		delete(spec, "selector")
	default:
		spec["sessionAffinity"] = "ClientIP"
	}
	return fields{"spec": spec}
}

func (g *generator) pods(name, restart string) fields {
	return fields{
		"metadata": fields{"labels": fields{"app": name}},
		"spec": fields{
			"restartPolicy": restart, "serviceAccountName": g.pick("default", "robot"), "terminationGracePeriodSeconds": int64(g.IntN(60)),
			"containers": list(fields{
				"name": "c", "image": "localhost/none:1", "command": list("sh", "-c", g.text()), "env": list(fields{"name": "TEXT", "value": g.text()}),
				"resources": fields{"requests": fields{"cpu": g.pick("100m", "0.5", "1"), "memory": g.pick("64Mi", "1G", "1000000")}},
			}),
			"volumes": list(fields{"name": "tmp", "emptyDir": fields{}}, fields{"name": "config", "configMap": fields{"name": "a", "defaultMode": int64(0o640)}}),
		},
	}
}

func (g *generator) deployment(name string) fields {
	return fields{"spec": fields{
		"replicas": int64(0), "minReadySeconds": int64(g.IntN(10)), "selector": fields{"matchLabels": fields{"app": name}}, "template": g.pods(name, "Always"),
	}}
}

func (g *generator) controller(name string) fields {
	return fields{"spec": fields{"replicas": int64(0), "selector": fields{"app": name}, "template": g.pods(name, "Always")}}
}

func (g *generator) set(name string) fields {
	return fields{"spec": fields{
		"replicas": int64(0), "serviceName": name, "selector": fields{"matchLabels": fields{"app": name}}, "template": g.pods(name, "Always"),
		"podManagementPolicy": g.pick("Parallel", "OrderedReady"),
		"volumeClaimTemplates": list(fields{"metadata": fields{"name": "data"}, "spec": fields{
			"accessModes": list("ReadWriteOnce"), "resources": fields{"requests": fields{"storage": "1Gi"}},
		}}),
	}}
}

func (g *generator) daemons(name string) fields {
	template := g.pods(name, "Always")
	template["spec"].(fields)["nodeSelector"] = fields{"no": "such-node"}
	return fields{"spec": fields{"selector": fields{"matchLabels": fields{"app": name}}, "template": template}}
}

func (g *generator) job(name string) fields {
	return fields{"spec": fields{"suspend": true, "completions": int64(1 + g.IntN(3)), "backoffLimit": int64(g.IntN(5)), "template": g.pods(name, "Never")}}
}

func (g *generator) binding(string) fields {
	return fields{
		"roleRef": fields{"apiGroup": "rbac.authorization.k8s.io", "kind": g.pick("Role", "ClusterRole"), "name": g.pick("view", "edit")},
		"subjects": list(fields{"kind": "ServiceAccount", "name": "robot", "namespace": "default"},
			fields{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": g.pick("ann@example.com", "system:serviceaccount:default:robot", "Jörg")}),
	}
}

func (g *generator) networkPolicy(name string) fields {
	return fields{"spec": fields{
		"podSelector": g.pickAny(fields{}, fields{"matchLabels": fields{"app": name}}), "policyTypes": list("Ingress", "Egress"),
		"ingress": list(fields{"from": list(fields{"ipBlock": fields{"cidr": "10.0.0.0/8", "except": list("10.1.0.0/16")}}), "ports": list(fields{"port": g.pickAny(80, "http"), "protocol": "TCP"})}),
		"egress":  list(fields{}),
	}}
}

func (g *generator) ingress(name string) fields {
	return fields{"spec": fields{
		"ingressClassName": "nobody",
		"rules": list(fields{"host": name + ".example.com", "http": fields{"paths": list(fields{
			"path": "/" + g.pick("", "a/b", "x%20y"), "pathType": g.pick("Prefix", "Exact"), "backend": fields{"service": fields{"name": "web", "port": fields{"name": "http"}}},
		})}}),
		"tls": list(fields{"hosts": list(name + ".example.com"), "secretName": "tls"}),
	}}
}

func (g *generator) scaler(name string) fields {
	return fields{"spec": fields{
		"minReplicas": int64(1), "maxReplicas": int64(2 + g.IntN(5)), "scaleTargetRef": fields{"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
		"metrics":  list(fields{"type": "Resource", "resource": fields{"name": "cpu", "target": fields{"type": "Utilization", "averageUtilization": int64(70)}}}),
		"behavior": fields{"scaleDown": fields{"stabilizationWindowSeconds": int64(g.IntN(600))}},
	}}
}
