package helm

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestReasonsNameWhatStandsInTheWayOfEachPod(t *testing.T) {
	now := metav1.Now()
	pod := func(name string, state corev1.ContainerState, ready bool) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name},
			Status:     corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: "c", State: state, Ready: ready}}},
		}
	}
	gone := pod("gone", corev1.ContainerState{}, false)
	gone.DeletionTimestamp = &now
	got := reasons([]corev1.Pod{
		pod("image", corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}}, false),
		pod("good", corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, true),
		gone,
		pod("slow", corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, false),
	})
	want := "pod ns/image: container c waits: ErrImagePull: no such image\npod ns/slow: container c runs, and is not ready"
	if got != want {
		t.Errorf("reasons are\n%s\nwant\n%s", got, want)
	}
}
