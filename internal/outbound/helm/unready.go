package helm

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/client-go/kubernetes"

	"github.com/coffer-backup/coffer/internal/decide/readiness"
)

// withReasons adds to an error of Helm, which says only what is not ready, what stands in the way of the release's pods. Who has given up
// waiting is not kept waiting for that.
func withReasons(ctx context.Context, o Options, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	pods, podsErr := podsOf(ctx, o.Getter, o.Namespace)
	if podsErr != nil {
		return fmt.Errorf("%w (and its pods cannot be looked at: %w)", err, podsErr)
	}
	if why := reasons(pods); why != "" {
		return fmt.Errorf("%w\n%s", err, why)
	}
	return err
}

func podsOf(ctx context.Context, getter genericclioptions.RESTClientGetter, namespace string) ([]corev1.Pod, error) {
	config, err := getter.ToRESTConfig()
	if err != nil {
		return nil, err
	}
	api, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	found, err := api.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/instance=" + release, Limit: 50})
	if err != nil {
		return nil, err
	}
	return found.Items, nil
}

// reasons are a line of each pod that is not ready: the image that cannot be had, the node that it does not fit on.
func reasons(pods []corev1.Pod) string {
	var lines []string
	for _, pod := range pods {
		if problem := readiness.Problem(pod); problem != "" && pod.DeletionTimestamp == nil {
			lines = append(lines, fmt.Sprintf("pod %s/%s: %s", pod.Namespace, pod.Name, problem))
		}
	}
	return strings.Join(lines, "\n")
}
