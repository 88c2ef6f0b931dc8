// Package readiness decides whether a workload does what it is there for, and if not, why.
package readiness

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/json"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// workloads are the types that run pods. Of all others nobody but their own operator knows when they work.
var workloads = []coffer.GroupResource{
	{Group: "apps", Resource: "deployments"},
	{Group: "apps", Resource: "statefulsets"},
	{Group: "apps", Resource: "daemonsets"},
	{Group: "apps", Resource: "replicasets"},
	{Group: "batch", Resource: "jobs"},
	replicationControllers,
	pods,
}

var (
	replicationControllers = coffer.GroupResource{Resource: "replicationcontrollers"}
	pods                   = coffer.GroupResource{Resource: "pods"}
)

// IsWorkload says whether objects of a type are ready or not.
func IsWorkload(t coffer.GroupResource) bool { return slices.Contains(workloads, t) }

// Workload is one object that runs pods.
type Workload struct {
	Namespace, Name string
	// Ready says that it does what it is there for: its pods are ready, or, of a job, started.
	Ready bool
	// Message is what its controller says, for a workload that is not ready.
	Message string

	pods labels.Selector
}

// Read judges a workload of a type by its JSON, as it is in the cluster.
func Read(t coffer.ResourceType, body []byte) (Workload, error) {
	var object map[string]any
	if err := json.Unmarshal(body, &object); err != nil {
		return Workload{}, fmt.Errorf("read %s: %w", t.GroupResource, err)
	}
	u := unstructured.Unstructured{Object: object}
	// Lists leave them out. A ReplicationController is a ReplicaSet of an older name.
	u.SetAPIVersion(t.APIVersion())
	u.SetKind(t.Kind)
	if t.GroupResource == replicationControllers {
		u.SetAPIVersion("apps/v1")
		u.SetKind("ReplicaSet")
	}
	w := Workload{Namespace: u.GetNamespace(), Name: u.GetName(), pods: podsOf(t, u)}
	result, err := status.Compute(&u)
	if err != nil {
		return Workload{}, fmt.Errorf("read %s %s/%s: %w", t.GroupResource, w.Namespace, w.Name, err)
	}
	suspended, _, _ := unstructured.NestedBool(u.Object, "spec", "suspend")
	w.Ready = result.Status == status.CurrentStatus || suspended
	if !w.Ready {
		w.Message = result.Message
	}
	if problem := failedCondition(u); problem != "" && !w.Ready {
		w.Message = problem
	}
	return w, nil
}

// failedCondition is what a controller says that could not make its pods: of a quota, or of a webhook.
func failedCondition(u unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["type"] == "ReplicaFailure" && condition["status"] == "True" {
			message, _ := condition["message"].(string)
			return message
		}
	}
	return ""
}

// podsOf selects the pods of a workload. A pod is its own.
func podsOf(t coffer.ResourceType, u unstructured.Unstructured) labels.Selector {
	if t.GroupResource == pods {
		return nil
	}
	raw, found, _ := unstructured.NestedMap(u.Object, "spec", "selector")
	if !found {
		return labels.Nothing()
	}
	if t.GroupResource == replicationControllers {
		set := labels.Set{}
		for k, v := range raw {
			set[k], _ = v.(string)
		}
		return set.AsSelector()
	}
	text, err := json.Marshal(raw)
	if err != nil {
		return labels.Nothing()
	}
	var selector metav1.LabelSelector
	if err := json.Unmarshal(text, &selector); err != nil {
		return labels.Nothing()
	}
	chosen, err := metav1.LabelSelectorAsSelector(&selector)
	if err != nil {
		return labels.Nothing()
	}
	return chosen
}

// Has says whether a pod is one of the workload's.
func (w Workload) Has(pod corev1.Pod) bool {
	if pod.Namespace != w.Namespace {
		return false
	}
	if w.pods == nil {
		return pod.Name == w.Name
	}
	return w.pods.Matches(labels.Set(pod.Labels))
}

// Why says for a person why a workload is not ready, by its pods.
func (w Workload) Why(all []corev1.Pod) string {
	var problems []string
	ready, mine := 0, 0
	for _, pod := range all {
		if !w.Has(pod) {
			continue
		}
		mine++
		if isReady(pod) {
			ready++
			continue
		}
		if problem := Problem(pod); problem != "" {
			problems = append(problems, fmt.Sprintf("pod %s: %s", pod.Name, problem))
		}
	}
	slices.Sort(problems)
	const shown = 3
	text := fmt.Sprintf("%d of its %d pods are ready", ready, mine)
	if mine == 0 {
		text = "it has no pods"
	}
	if len(problems) == 0 {
		if w.Message != "" {
			text += "; " + w.Message
		}
		return text
	}
	more := ""
	if len(problems) > shown {
		more = fmt.Sprintf("; and %d pods more", len(problems)-shown)
	}
	return text + "; " + strings.Join(problems[:min(shown, len(problems))], "; ") + more
}
