package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// TryCreate implements coffer.Cluster.
func (c *Cluster) TryCreate(ctx context.Context, t coffer.ResourceType, namespace string, object []byte) (json.RawMessage, error) {
	body, err := c.try(ctx, c.creating(t, namespace, object))
	if err != nil {
		return nil, translateTry(err, "create %s", t.GroupResource)
	}
	return body, nil
}

// TryPatch implements coffer.Cluster.
func (c *Cluster) TryPatch(ctx context.Context, t coffer.ResourceType, namespace, name string, mergePatch []byte) (json.RawMessage, error) {
	body, err := c.try(ctx, c.patching(t, namespace, name, mergePatch))
	if err != nil {
		return nil, translateTry(err, "patch %s", ref(t, namespace, name))
	}
	return body, nil
}

// try makes a request that would change something as a dry run.
func (c *Cluster) try(ctx context.Context, request func() *rest.Request) ([]byte, error) {
	return c.write(ctx, func() *rest.Request { return request().Param("dryRun", metav1.DryRunAll) })
}

// translateTry is translateWrite for a dry run. A webhook with side effects is not asked in one, and the API server says so in
// words only.
func translateTry(err error, format string, args ...any) error {
	if apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run") {
		return coffer.Errorf(coffer.CodeNotTryable, "%s: %w", fmt.Sprintf(format, args...), err)
	}
	return translateWrite(err, format, args...)
}
