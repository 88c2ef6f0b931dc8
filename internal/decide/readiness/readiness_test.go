package readiness

import (
	"encoding/json"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
)

func apps(resource, kind string) coffer.ResourceType {
	return coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "apps", Resource: resource}, Version: "v1", Kind: kind, Namespaced: true}
}

var (
	deployment  = apps("deployments", "Deployment")
	statefulSet = apps("statefulsets", "StatefulSet")
	daemonSet   = apps("daemonsets", "DaemonSet")
	job         = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "batch", Resource: "jobs"}, Version: "v1", Kind: "Job", Namespaced: true}
	controller  = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "replicationcontrollers"}, Version: "v1", Kind: "ReplicationController", Namespaced: true}
	barePod     = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "pods"}, Version: "v1", Kind: "Pod", Namespaced: true}
)

func TestWorkloads(t *testing.T) {
	for name, c := range map[string]struct {
		kind coffer.ResourceType
		// rest is spec and status; lists leave out apiVersion and kind.
		rest  string
		ready bool
	}{
		"a deployment with all its pods": {deployment, `"spec":{"replicas":2},"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"readyReplicas":2,"availableReplicas":2,
			"conditions":[{"type":"Available","status":"True"},{"type":"Progressing","status":"True","reason":"NewReplicaSetAvailable"}]}`, true},
		"a deployment that lacks one": {deployment, `"spec":{"replicas":2},"status":{"observedGeneration":1,"replicas":2,"updatedReplicas":2,"readyReplicas":1,"availableReplicas":1,
			"conditions":[{"type":"Available","status":"False"}]}`, false},
		"a deployment nobody has looked at": {deployment, `"spec":{"replicas":2}`, false},
		"a deployment of no pods": {deployment, `"spec":{"replicas":0},"status":{"observedGeneration":1,
			"conditions":[{"type":"Available","status":"True"}]}`, true},
		"a stateful set with all its pods": {statefulSet, `"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1,"readyReplicas":1,"currentReplicas":1,"updatedReplicas":1,
			"currentRevision":"a","updateRevision":"a"}`, true},
		"a stateful set without":        {statefulSet, `"spec":{"replicas":1},"status":{"observedGeneration":1}`, false},
		"a daemon set on all its nodes": {daemonSet, `"status":{"observedGeneration":1,"desiredNumberScheduled":1,"currentNumberScheduled":1,"updatedNumberScheduled":1,"numberAvailable":1,"numberReady":1}`, true},
		"a daemon set on none":          {daemonSet, `"status":{"observedGeneration":1,"desiredNumberScheduled":1}`, false},
		"a job that runs":               {job, `"status":{"startTime":"2026-01-01T00:00:00Z","active":1}`, true},
		"a job that is complete":        {job, `"status":{"conditions":[{"type":"Complete","status":"True"}]}`, true},
		"a job that failed":             {job, `"status":{"conditions":[{"type":"Failed","status":"True","message":"too often"}]}`, false},
		"a suspended job":               {job, `"spec":{"suspend":true},"status":{"conditions":[{"type":"Suspended","status":"True"}]}`, true},
		"a controller with all":         {controller, `"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1,"fullyLabeledReplicas":1,"readyReplicas":1,"availableReplicas":1}`, true},
		"a controller without":          {controller, `"spec":{"replicas":1},"status":{"observedGeneration":1,"replicas":1}`, false},
		"a pod":                         {barePod, `"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}`, true},
		"a pod that has done its work":  {barePod, `"status":{"phase":"Succeeded"}`, true},
		"a pod that is not ready":       {barePod, `"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False"}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			body := `{"metadata":{"namespace":"shop","name":"web","generation":1,"creationTimestamp":"2026-01-01T00:00:00Z"},` + c.rest + `}`
			w, err := Read(c.kind, []byte(body))
			if err != nil {
				t.Fatal(err)
			}
			if w.Ready != c.ready || w.Namespace != "shop" || w.Name != "web" {
				t.Errorf("%+v; want ready %t", w, c.ready)
			}
			if !w.Ready && w.Why(nil) == "" {
				t.Error("it does not say why")
			}
		})
	}
}

func TestWhatIsNoObjectIsAnError(t *testing.T) {
	for _, body := range []string{``, `[]`, `{"metadata":`, `{"metadata":{"generation":1},"status":{"observedGeneration":"x"}}`} {
		if w, err := Read(deployment, []byte(body)); err == nil {
			t.Errorf("Read(%s) = %+v", body, w)
		}
	}
}

// pod is one of the workload's of newest, with a status.
func pod(t *testing.T, name, status string) corev1.Pod {
	t.Helper()
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{"app": "web"}}}
	if err := json.Unmarshal([]byte(status), &p.Status); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhyAPodIsNotReady(t *testing.T) {
	for want, status := range map[string]string{
		"container app waits: ImagePullBackOff: Back-off pulling image":                               `{"phase":"Pending","containerStatuses":[{"name":"app","state":{"waiting":{"reason":"ImagePullBackOff","message":"Back-off pulling image"}}}]}`,
		"it is not scheduled: Unschedulable: 0/1 nodes are available":                                 `{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"False","reason":"Unschedulable","message":"0/1 nodes are available"}]}`,
		"container app waits: CrashLoopBackOff: back-off; it ended with exit code 3: Error: no table": `{"phase":"Running","containerStatuses":[{"name":"app","state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}},"lastState":{"terminated":{"exitCode":3,"reason":"Error","message":"no table\n"}}}]}`,
		"container init ended with exit code 1: Error":                                                `{"phase":"Pending","initContainerStatuses":[{"name":"init","state":{"terminated":{"exitCode":1,"reason":"Error"}}}],"containerStatuses":[{"name":"app","state":{"waiting":{"reason":"PodInitializing"}}}]}`,
		"container app runs, and is not ready":                                                        `{"phase":"Running","containerStatuses":[{"name":"app","state":{"running":{}}}]}`,
		"container app runs, and is not ready; it ended with exit code 3: Error":                      `{"phase":"Running","containerStatuses":[{"name":"app","state":{"running":{}},"lastState":{"terminated":{"exitCode":3,"reason":"Error"}}}]}`,
		"its node has not started it":                                                                 `{"phase":"Pending","conditions":[{"type":"PodScheduled","status":"True"}]}`,
		"it has failed: Evicted: the node was low on memory":                                          `{"phase":"Failed","reason":"Evicted","message":"the node was low on memory"}`,
	} {
		if got := Problem(pod(t, "web-1", status)); got != want {
			t.Errorf("%s\nis said to be: %s\nwant:          %s", status, got, want)
		}
	}
}

func TestAWorkloadSaysWhyByItsOwnPods(t *testing.T) {
	w, err := Read(deployment, []byte(`{"metadata":{"namespace":"shop","name":"web","generation":1},"spec":{"replicas":2,"selector":{"matchLabels":{"app":"web"}}},"status":{"observedGeneration":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	crash := `{"phase":"Running","containerStatuses":[{"name":"app","state":{"waiting":{"reason":"CrashLoopBackOff"}}}]}`
	other, elsewhere := pod(t, "db-0", crash), pod(t, "web-9", crash)
	other.Labels, elsewhere.Namespace = map[string]string{"app": "db"}, "bank"
	why := w.Why([]corev1.Pod{
		pod(t, "web-2", crash), other, elsewhere,
		pod(t, "web-1", `{"phase":"Running","conditions":[{"type":"Ready","status":"True"}]}`),
	})
	if want := "1 of its 2 pods are ready; pod web-2: container app waits: CrashLoopBackOff"; why != want {
		t.Errorf("Why = %q\nwant  %q", why, want)
	}
	var many []corev1.Pod
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		many = append(many, pod(t, name, crash))
	}
	if why := w.Why(many); !strings.HasSuffix(why, "; and 2 pods more") || strings.Contains(why, "pod d") {
		t.Errorf("Why = %q", why)
	}
}

func TestAControllerThatMakesNoPodsSaysWhy(t *testing.T) {
	w, err := Read(deployment, []byte(`{"metadata":{"namespace":"shop","name":"web","generation":1},"spec":{"replicas":1,"selector":{"matchLabels":{"app":"web"}}},
		"status":{"observedGeneration":1,"conditions":[{"type":"ReplicaFailure","status":"True","reason":"FailedCreate","message":"exceeded quota: small"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if why := w.Why(nil); why != "it has no pods; exceeded quota: small" {
		t.Errorf("Why = %q", why)
	}
}

// A program's last words are as long as it likes.
func TestMessagesAreCut(t *testing.T) {
	long := strings.Repeat("ä", 100_000)
	if text := because("Error", long); len(text) > 400 {
		t.Errorf("%d bytes", len(text))
	}
}
