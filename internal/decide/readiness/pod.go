package readiness

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

func isReady(pod corev1.Pod) bool {
	return condition(pod, corev1.PodReady).Status == corev1.ConditionTrue
}

func condition(pod corev1.Pod, kind corev1.PodConditionType) corev1.PodCondition {
	for _, c := range pod.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.PodCondition{}
}

// Problem says why a pod is not ready: the first thing that stands in its way.
func Problem(pod corev1.Pod) string {
	switch {
	case pod.DeletionTimestamp != nil:
		return "it is being deleted"
	case pod.Status.Phase == corev1.PodSucceeded:
		return "it has ended"
	case pod.Status.Phase == corev1.PodFailed:
		return "it has failed" + because(pod.Status.Reason, pod.Status.Message)
	}
	if c := condition(pod, corev1.PodScheduled); c.Status == corev1.ConditionFalse {
		return "it is not scheduled" + because(c.Reason, c.Message)
	}
	for _, all := range [][]corev1.ContainerStatus{pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses} {
		for _, c := range all {
			if problem := containerProblem(c); problem != "" {
				return problem
			}
		}
	}
	if len(pod.Status.ContainerStatuses) == 0 {
		return "its node has not started it" + because(pod.Status.Reason, pod.Status.Message)
	}
	for _, c := range pod.Status.ContainerStatuses {
		if !c.Ready {
			return fmt.Sprintf("container %s runs, and is not ready", c.Name) + endedBefore(c)
		}
	}
	for _, gate := range pod.Spec.ReadinessGates {
		if condition(pod, gate.ConditionType).Status != corev1.ConditionTrue {
			return fmt.Sprintf("its readiness gate %s is not open", gate.ConditionType)
		}
	}
	return ""
}

// notYet are the reasons of containers that only wait for their turn: another one, or the node, is what to look at.
var notYet = map[string]bool{"": true, "PodInitializing": true, "ContainerCreating": true}

func containerProblem(c corev1.ContainerStatus) string {
	if w := c.State.Waiting; w != nil && !notYet[w.Reason] {
		return fmt.Sprintf("container %s waits%s", c.Name, because(w.Reason, w.Message)) + endedBefore(c)
	}
	if t := c.State.Terminated; t != nil && t.ExitCode != 0 {
		return fmt.Sprintf("container %s ended with exit code %d%s", c.Name, t.ExitCode, because(t.Reason, t.Message))
	}
	return ""
}

// endedBefore says how a container ended that was started again: one that crashes again and again may be seen in a moment in which it runs.
func endedBefore(c corev1.ContainerStatus) string {
	last := c.LastTerminationState.Terminated
	if last == nil {
		return ""
	}
	return fmt.Sprintf("; it ended with exit code %d%s", last.ExitCode, because(last.Reason, last.Message))
}

// because is a reason and a message, of which either may be missing; messages can be as long as a program's last words.
func because(reason, message string) string {
	const longest = 300
	message = strings.TrimSpace(message)
	if len(message) > longest {
		message = strings.ToValidUTF8(message[:longest], "") + "…"
	}
	switch {
	case reason == "" && message == "":
		return ""
	case message == "":
		return ": " + reason
	case reason == "":
		return ": " + message
	}
	return ": " + reason + ": " + message
}
