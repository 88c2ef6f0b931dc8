package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// maxOutput bounds what is kept of a command's output: enough to see what went wrong.
const maxOutput = 4 << 10

// Exec implements coffer.Cluster, over WebSockets or, for an API server that cannot, SPDY.
func (c *Cluster) Exec(ctx context.Context, e coffer.Exec) (coffer.ExecResult, error) {
	ctx, cancel := context.WithTimeout(ctx, e.Timeout)
	defer cancel()
	executor, err := c.executor(e)
	if err != nil {
		return coffer.ExecResult{}, err
	}
	output := &head{limit: maxOutput}
	err = executor.StreamWithContext(ctx, remotecommand.StreamOptions{Stdout: output, Stderr: output})
	result := coffer.ExecResult{Output: output.String()}
	var exit utilexec.CodeExitError
	switch {
	case errors.As(err, &exit):
		result.ExitCode = exit.Code
		return result, nil
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		result.TimedOut = true
		return result, nil
	case err != nil && strings.Contains(err.Error(), " is forbidden: ") && !rolesUnread(err.Error()):
		// The answer to a refused upgrade comes as text only. Without a code, it would be tried again in vain.
		return result, coffer.Errorf(coffer.CodeForbidden, "exec in pod %s/%s container %s: %w", e.Namespace, e.Pod, e.Container, err)
	case err != nil:
		return result, translate(err, "exec in pod %s/%s container %s", e.Namespace, e.Pod, e.Container)
	}
	return result, nil
}

func (c *Cluster) executor(e coffer.Exec) (remotecommand.Executor, error) {
	url := c.client.Post().AbsPath("/api/v1/namespaces", e.Namespace, "pods", e.Pod, "exec").
		SpecificallyVersionedParams(&corev1.PodExecOptions{Container: e.Container, Command: e.Command, Stdout: true, Stderr: true},
			scheme.ParameterCodec, corev1.SchemeGroupVersion).
		URL()
	spdy, err := remotecommand.NewSPDYExecutor(c.config, "POST", url)
	if err != nil {
		return nil, fmt.Errorf("prepare exec: %w", err)
	}
	socket, err := remotecommand.NewWebSocketExecutor(c.config, "GET", url.String())
	if err != nil {
		return nil, fmt.Errorf("prepare exec: %w", err)
	}
	executor, err := remotecommand.NewFallbackExecutor(socket, spdy, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	if err != nil {
		return nil, fmt.Errorf("prepare exec: %w", err)
	}
	return executor, nil
}

// head keeps the beginning of what is written to it. Both streams of a command write to it at once.
type head struct {
	limit int

	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if room := h.limit - h.buf.Len(); room > 0 {
		h.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.String()
}
