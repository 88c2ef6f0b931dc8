package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// askReader asks the extension's reader through a port-forward. The caller closes the answer.
func (p *program) askReader(ctx context.Context, what *url.URL) (io.ReadCloser, error) {
	pod, err := p.readerPod(ctx)
	if err != nil {
		return nil, err
	}
	// One request is all that the connection is for.
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.DialFunc(ctx, p.target, pod, content.Port)
		},
	}
	what.Scheme, what.Host = "http", fmt.Sprintf("127.0.0.1:%d", content.Port)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, what.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask the Backup extension: %w", err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, p.explainReader(err, pod)
	}
	if response.Header.Get("Content-Type") != content.MediaType {
		_ = response.Body.Close()
		return nil, fmt.Errorf("the Backup extension in pod %s does not know this request (it answered %s); upgrade it with `coffer extension install`",
			pod, response.Status)
	}
	return response.Body, nil
}

func (p *program) explainReader(err error, pod string) error {
	switch {
	case coffer.CodeOf(err) == coffer.CodeForbidden:
		return p.forbiddenToRead(err)
	case strings.Contains(err.Error(), "connection refused"):
		return fmt.Errorf("the Backup extension in pod %s serves no contents (%w); it may be an older one, to upgrade with `coffer extension install`, "+
			"or have been installed with serveContents=false", pod, err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the connection to the Backup extension in pod %s was cut off (%w); try again", pod, err)
	}
	return fmt.Errorf("ask the Backup extension in pod %s: %w", pod, err)
}

// forbiddenToRead says which right is missing, and what it amounts to.
func (p *program) forbiddenToRead(err error) error {
	return fmt.Errorf("you may not look into recovery points: that takes the right to list pods and to create pods/portforward in namespace %s, "+
		"which only those should have who may read every Secret in the backups (%w)", p.target.Namespace, err)
}

// readerPod chooses a pod of the extension: any that is ready, for reading needs no leader.
func (p *program) readerPod(ctx context.Context) (string, error) {
	c, err := p.client()
	if err != nil {
		return "", err
	}
	var pods corev1.PodList
	err = c.List(ctx, &pods, client.InNamespace(p.target.Namespace), client.MatchingLabels{"app.kubernetes.io/name": "coffer-extension"})
	if apierrors.IsForbidden(err) {
		return "", p.forbiddenToRead(err)
	}
	if err != nil {
		return "", fmt.Errorf("find the Backup extension: %w", err)
	}
	if len(pods.Items) == 0 {
		return "", fmt.Errorf("no Backup extension runs in namespace %s; install it with `coffer extension install`, or say where it is with --extension-namespace",
			p.target.Namespace)
	}
	slices.SortFunc(pods.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	i := slices.IndexFunc(pods.Items, func(pod corev1.Pod) bool { return notReady(pod) == "" })
	if i < 0 {
		pod := pods.Items[0]
		return "", fmt.Errorf("no pod of the Backup extension is ready: %s %s; see `kubectl describe pod -n %s %s`", pod.Name, notReady(pod), pod.Namespace, pod.Name)
	}
	return pods.Items[i].Name, nil
}

// notReady says why a pod cannot be asked; empty if it can.
func notReady(pod corev1.Pod) string {
	if !pod.DeletionTimestamp.IsZero() {
		return "is being deleted"
	}
	for _, s := range pod.Status.ContainerStatuses {
		if w := s.State.Waiting; w != nil && w.Reason != "" {
			return strings.TrimSuffix(fmt.Sprintf("waits: %s: %s", w.Reason, w.Message), ": ")
		}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
			return ""
		}
	}
	return "is " + strings.ToLower(string(pod.Status.Phase)) + " and not ready"
}
