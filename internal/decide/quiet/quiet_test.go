package quiet

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const run = "11111111-2222-3333-4444-555555555555"

func TestNamespacesOfRunsNeverCollide(t *testing.T) {
	long := strings.Repeat("a", 62)
	seen := map[string]string{}
	for _, r := range []string{run, "another"} {
		for _, name := range []string{"shop", "shop-a", long, long + "b", long + "c", strings.Repeat("a", 48) + "-x"} {
			got := Namespace(r, name)
			if problems := validation.IsDNS1123Label(got); len(problems) > 0 {
				t.Errorf("%q is no name of a namespace: %v", got, problems)
			}
			if !strings.HasPrefix(got, Prefix(r)) || got != Namespace(r, name) {
				t.Errorf("%q is not recognised", got)
			}
			if other, taken := seen[got]; taken {
				t.Errorf("%s of %s and %s are both %q", name, r, other, got)
			}
			seen[got] = name + " of " + r
		}
	}
	if got := Namespace(run, "shop"); !strings.HasSuffix(got, "-shop") {
		t.Errorf("%q cannot be read", got)
	}
}

func TestWhatReachesOutIsLeftOut(t *testing.T) {
	all := Policy{CustomResources: true, Jobs: true, External: true}
	for _, tt := range []struct {
		name, resource, body string
		policy               Policy
		out                  bool
	}{
		{"an Ingress", "ingresses.networking.k8s.io", `{}`, Policy{}, true},
		{"an Ingress, whatever is allowed", "ingresses.networking.k8s.io", `{}`, all, true},
		{"a route", "httproutes.gateway.networking.k8s.io", `{}`, all, true},
		{"a route of OpenShift", "routes.route.openshift.io", `{}`, all, true},
		{"a route of a mesh", "virtualservices.networking.istio.io", `{}`, all, true},
		{"a cluster of machines", "awsclusters.infrastructure.cluster.x-k8s.io", `{}`, all, true},
		{"a database in a cloud", "dbinstances.rds.services.k8s.aws", `{}`, all, true},
		{"what only looks like that", "things.mycrossplane.io", `{}`, all, false},
		{"a webhook", "validatingwebhookconfigurations.admissionregistration.k8s.io", `{}`, all, true},
		{"an aggregated API", "apiservices.apiregistration.k8s.io", `{}`, all, true},
		{"a VolumeSnapshot", "volumesnapshots.snapshot.storage.k8s.io", `{}`, all, true},
		{"a custom resource", "databases.acme.io", `{}`, Policy{}, true},
		{"a custom resource of a group like Kubernetes' own", "clusters.cluster.x-k8s.io", `{}`, Policy{External: true}, true},
		{"a custom resource that is asked for", "databases.acme.io", `{}`, Policy{CustomResources: true}, false},
		{"a NetworkPolicy", "networkpolicies.networking.k8s.io", `{}`, Policy{}, true},
		{"a NetworkPolicy, if all may go out", "networkpolicies.networking.k8s.io", `{}`, Policy{External: true}, false},
		{"endpoints that somebody made", "endpoints", `{}`, Policy{}, true},
		{"an external name", "services", `{"spec":{"type":"ExternalName"}}`, Policy{}, true},
		{"an external name that is allowed", "services", `{"spec":{"type":"ExternalName"}}`, Policy{External: true}, false},
		{"a Service", "services", `{"spec":{"type":"LoadBalancer"}}`, Policy{}, false},
		{"a Deployment", "deployments.apps", `{}`, Policy{}, false},
		{"a PodDisruptionBudget", "poddisruptionbudgets.policy", `{}`, Policy{}, false},
		{"an autoscaler", "horizontalpodautoscalers.autoscaling", `{}`, Policy{}, false},
		{"a RoleBinding", "rolebindings.rbac.authorization.k8s.io", `{}`, Policy{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ref := coffer.ObjectRef{GroupResource: coffer.ParseGroupResource(tt.resource), Namespace: "shop", Name: "x"}
			if why := tt.policy.LeaveOut(ref, []byte(tt.body)); (why != "") != tt.out {
				t.Errorf("LeaveOut = %q", why)
			}
		})
	}
}

func TestWhatIsRestoredIsQuiet(t *testing.T) {
	for _, tt := range []struct {
		name, resource string
		policy         Policy
		before, after  string
		fields         []string
	}{
		{
			"a load balancer", "services", Policy{},
			`{metadata: {annotations: {a: b, external-dns.alpha.kubernetes.io/hostname: shop.example.com}, finalizers: [service.kubernetes.io/load-balancer-cleanup]},
			  spec: {type: LoadBalancer, externalIPs: [1.2.3.4], loadBalancerIP: 1.2.3.4, externalTrafficPolicy: Local, healthCheckNodePort: 30001, ports: [{port: 80, nodePort: 30000}, {port: 443}]}}`,
			`{metadata: {annotations: {a: b}}, spec: {type: ClusterIP, ports: [{port: 80}, {port: 443}]}}`,
			[]string{"metadata.finalizers", "metadata.annotations[external-dns.alpha.kubernetes.io/hostname]", "spec.type", "spec.externalIPs", "spec.loadBalancerIP",
				"spec.externalTrafficPolicy", "spec.healthCheckNodePort", "spec.ports[0].nodePort"},
		},
		{"a Secret that is copied elsewhere", "secrets", Policy{External: true},
			`{metadata: {annotations: {replicator.v1.mittwald.de/replicate-to: live, reflector.v1.k8s.emberstack.com/reflection-auto-enabled: "true", a: b}}}`,
			`{metadata: {annotations: {a: b}}}`,
			[]string{"metadata.annotations[reflector.v1.k8s.emberstack.com/reflection-auto-enabled]", "metadata.annotations[replicator.v1.mittwald.de/replicate-to]"}},
		{"a node port", "services", Policy{External: true}, `{spec: {type: NodePort, ports: [{port: 80, nodePort: 30000}]}}`,
			`{metadata: {}, spec: {type: ClusterIP, ports: [{port: 80}]}}`, []string{"spec.type", "spec.ports[0].nodePort"}},
		{"a headless Service", "services", Policy{}, `{spec: {clusterIP: None, ports: [{port: 5432}]}}`,
			`{metadata: {}, spec: {clusterIP: None, ports: [{port: 5432}]}}`, nil},
		{"an external name that a modifier has made", "services", Policy{}, `{spec: {type: ExternalName, externalName: example.com}}`,
			`{metadata: {}, spec: {type: ClusterIP, clusterIP: None}}`, []string{"spec.type"}},
		{"a CronJob", "cronjobs.batch", Policy{Jobs: true}, `{spec: {schedule: x, jobTemplate: {spec: {template: {spec: {hostNetwork: true}}}}}}`,
			`{metadata: {}, spec: {schedule: x, suspend: true, jobTemplate: {spec: {template: {spec: {}}}}}}`,
			[]string{"spec.suspend", "spec.jobTemplate.spec.template.spec.hostNetwork"}},
		{"a CronJob that is suspended", "cronjobs.batch", Policy{}, `{spec: {suspend: true}}`, `{metadata: {}, spec: {suspend: true}}`, nil},
		{"a Job", "jobs.batch", Policy{}, `{spec: {suspend: false}}`, `{metadata: {}, spec: {suspend: true}}`, []string{"spec.suspend"}},
		{"a Job that may run", "jobs.batch", Policy{Jobs: true}, `{spec: {}}`, `{metadata: {}, spec: {}}`, nil},
		{"an identity in the cloud", "serviceaccounts", Policy{}, `{metadata: {annotations: {eks.amazonaws.com/role-arn: x, a: b}}}`,
			`{metadata: {annotations: {a: b}}}`, []string{"metadata.annotations[eks.amazonaws.com/role-arn]"}},
		{"an identity that is allowed", "serviceaccounts", Policy{External: true}, `{metadata: {annotations: {eks.amazonaws.com/role-arn: x}}}`,
			`{metadata: {annotations: {eks.amazonaws.com/role-arn: x}}}`, nil},
		{
			"pods on the host", "deployments.apps", Policy{},
			`{spec: {replicas: 9007199254740993, template: {spec: {hostNetwork: true, hostPID: true, hostIPC: false, dnsPolicy: ClusterFirstWithHostNet, nodeSelector: {disk: ssd},
			  priorityClassName: high, priority: 5, containers: [{name: a, ports: [{containerPort: 80, hostPort: 80, hostIP: 1.2.3.4}]}],
			  initContainers: [{name: b, ports: [{hostPort: 81}]}]}}}}`,
			`{metadata: {}, spec: {replicas: 9007199254740993, template: {spec: {hostIPC: false, dnsPolicy: ClusterFirst, nodeSelector: {disk: ssd},
			  containers: [{name: a, ports: [{containerPort: 80}]}], initContainers: [{name: b, ports: [{}]}]}}}}`,
			[]string{"spec.template.spec.hostNetwork", "spec.template.spec.hostPID", "spec.template.spec.priorityClassName",
				"spec.template.spec.initContainers[0].ports[0].hostPort", "spec.template.spec.containers[0].ports[0].hostPort", "spec.template.spec.containers[0].ports[0].hostIP"},
		},
		{
			"files that are shared", "pods", Policy{},
			`{spec: {volumes: [{name: a, hostPath: {path: /data}}, {name: b, nfs: {server: x}}, {name: c, persistentVolumeClaim: {claimName: y}}, {name: d, secret: {secretName: z}}, {name: e}]}}`,
			`{metadata: {}, spec: {volumes: [{name: a, emptyDir: {}}, {name: b, emptyDir: {}}, {name: c, persistentVolumeClaim: {claimName: y}}, {name: d, secret: {secretName: z}}, {name: e}]}}`,
			[]string{"spec.volumes[0].hostPath", "spec.volumes[1].nfs"},
		},
		{"files that are shared and allowed", "pods", Policy{External: true},
			`{spec: {volumes: [{name: a, hostPath: {path: /data}}, {name: b, nfs: {server: x}}]}}`,
			`{metadata: {}, spec: {volumes: [{name: a, emptyDir: {}}, {name: b, nfs: {server: x}}]}}`, []string{"spec.volumes[0].hostPath"}},
		{"a Namespace", "namespaces", Policy{}, `{metadata: {labels: {team: a, velero.io/exclude-from-backup: "false"}}}`,
			`{metadata: {labels: {team: a, velero.io/exclude-from-backup: "true", app.kubernetes.io/managed-by: coffer, clusterbackup.dataprotection.microsoft.com/restore-test: "` + run + `"}}}`, nil},
		{"a custom resource with a finalizer", "databases.acme.io", Policy{CustomResources: true}, `{metadata: {finalizers: [acme.io/drop-bucket]}}`,
			`{metadata: {}}`, []string{"metadata.finalizers"}},
		{"a strange object", "deployments.apps", Policy{}, `{metadata: 7, spec: [1]}`, `{metadata: {}, spec: [1]}`, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			of := coffer.ParseGroupResource(tt.resource)
			got, deviations, err := tt.policy.Apply(of, run, mustJSON(t, tt.before))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(decoded(t, mustJSON(t, tt.after)), decoded(t, got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var fields []string
			for _, d := range deviations {
				fields = append(fields, d.Field)
				if d.Reason == "" {
					t.Errorf("%s has no reason", d.Field)
				}
			}
			if diff := cmp.Diff(tt.fields, fields); diff != "" {
				t.Errorf("deviations: -want +got:\n%s", diff)
			}
			again, more, err := tt.policy.Apply(of, run, got)
			if err != nil || len(more) > 0 || string(again) != string(got) {
				t.Errorf("what is quiet is changed again: %v, %v", more, err)
			}
		})
	}
	for _, body := range []string{``, `null`, `[]`, `{`} {
		if _, _, err := (Policy{}).Apply(coffer.ParseGroupResource("services"), run, []byte(body)); err == nil {
			t.Errorf("%q is taken for an object", body)
		}
	}
}

func mustJSON(t *testing.T, text string) []byte {
	t.Helper()
	out, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decoded(t *testing.T, body []byte) any {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestOnlyVolumesThatWereMadeForTheTestGo(t *testing.T) {
	start := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	mine := Namespace(run, "shop")
	volume := func(name, provisioner, namespace string, policy corev1.PersistentVolumeReclaimPolicy, made time.Time) corev1.PersistentVolume {
		v := corev1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(made)},
			Spec: corev1.PersistentVolumeSpec{
				PersistentVolumeReclaimPolicy: policy, ClaimRef: &corev1.ObjectReference{Namespace: namespace, Name: "data", UID: types.UID("u-1")},
			},
		}
		if provisioner != "" {
			v.Annotations = map[string]string{"pv.kubernetes.io/provisioned-by": provisioner}
		}
		return v
	}
	const keep, drop = corev1.PersistentVolumeReclaimRetain, corev1.PersistentVolumeReclaimDelete
	for _, tt := range []struct {
		name     string
		volume   corev1.PersistentVolume
		concerns bool
		ours     bool
		policy   corev1.PersistentVolumeReclaimPolicy
	}{
		{"made for the claim", volume("pvc-u-1", "disk", mine, drop, start), true, true, ""},
		{"made for the claim, of a class that retains", volume("pvc-u-1", "disk", mine, keep, start), true, true, drop},
		{"made for the claim, by clocks that differ", volume("pvc-u-1", "disk", mine, keep, start.Add(-time.Hour)), true, true, drop},
		{"made for the claim, under a name of the provisioner's", volume("vol-7", "disk", mine, keep, start.Add(time.Second)), true, true, drop},
		{"made before", volume("vol-7", "disk", mine, drop, start.Add(-time.Hour)), true, false, keep},
		{"made by a person", volume("nas", "", mine, drop, start.Add(time.Second)), true, false, keep},
		{"made by a person, who retains", volume("nas", "", mine, keep, start), true, false, ""},
		{"of another run", volume("pvc-u-1", "disk", Namespace("another", "shop"), keep, start), false, true, drop},
		{"of the original", volume("pvc-u-1", "disk", "shop", keep, start), false, true, drop},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := Concerns(run, tt.volume); got != tt.concerns {
				t.Errorf("Concerns = %v", got)
			}
			r := ReclaimOf(tt.volume, start)
			if r.Ours != tt.ours || r.Policy != tt.policy || r.Ours == (r.Reason != "") {
				t.Errorf("ReclaimOf = %+v", r)
			}
		})
	}
	if Concerns(run, corev1.PersistentVolume{}) {
		t.Error("a volume without a claim is the run's")
	}
}

func TestTheSystemIsTestedOnlyWhereItIsNamed(t *testing.T) {
	if diff := cmp.Diff([]string{"kube-system", "kube-public", "kube-node-lease", "ext"}, Excluded([]string{"kube-*"}, "ext")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"kube-public", "kube-node-lease"}, Excluded([]string{"kube-system", "ext"}, "ext")); diff != "" {
		t.Error(diff)
	}
}

func TestTheFenceLetsNobodyOutButForNames(t *testing.T) {
	body, err := Fence(run)
	if err != nil {
		t.Fatal(err)
	}
	text := string(body)
	for _, want := range []string{`"podSelector":{}`, `"policyTypes":["Egress"]`, RunLabel + `":"` + run, `"port":53,"protocol":"UDP"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the policy has no %s: %s", want, text)
		}
	}
	if strings.Contains(text, "0.0.0.0") {
		t.Error("the policy lets pods out")
	}
}
