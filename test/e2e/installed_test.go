//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// awaitInstalled waits for what goes on when an installation is done: a pod that was replaced leads, with the arguments that it has, until it
// has ended, and the API server learns a moment later what the new one may do and what it may no longer. set are the values.
func (c *labCluster) awaitInstalled(set []string) error {
	var last error
	err := wait.PollUntilContextTimeout(context.Background(), 200*time.Millisecond, 3*time.Minute, true, func(ctx context.Context) (bool, error) {
		last = errors.Join(c.replaced(ctx), c.permitted(ctx, set))
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for what was installed: %w", errors.Join(err, last))
	}
	return nil
}

// replaced is an error as long as a pod of the extension is being deleted.
func (c *labCluster) replaced(ctx context.Context) error {
	var pods corev1.PodList
	if err := c.client.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "coffer-extension"}); err != nil {
		return err
	}
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			return fmt.Errorf("pod %s is being deleted since %s", pod.Name, pod.DeletionTimestamp)
		}
	}
	return nil
}

// permitted is an error as long as the extension may not do what its values say, or more.
func (c *labCluster) permitted(ctx context.Context, set []string) error {
	// A later value takes the place of an earlier one.
	values := map[string]string{}
	for _, v := range set {
		name, value, _ := strings.Cut(v, "=")
		values[name] = value
	}
	whole := values["permissions.profile"] == "whole-cluster"
	type try struct {
		what authorizationv1.ResourceAttributes
		may  bool
	}
	tries := []try{
		{authorizationv1.ResourceAttributes{Verb: "list", Resource: "secrets"}, true},
		{authorizationv1.ResourceAttributes{Verb: "create", Resource: "namespaces"}, whole},
		{authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Subresource: "exec"}, whole || values["permissions.hooks"] == "true"},
	}
	for ns := range strings.SplitSeq(strings.Trim(values["permissions.namespaces"], "{}"), ",") {
		if ns != "null" {
			tries = append(tries, try{authorizationv1.ResourceAttributes{Namespace: ns, Verb: "create", Resource: "configmaps"}, true})
		}
	}
	for _, t := range tries {
		allowed, err := c.allows(ctx, namespace, "coffer-extension", t.what)
		if err != nil {
			return err
		}
		if allowed != t.may {
			return fmt.Errorf("that the extension may %s %s is %t, want %t", t.what.Verb, t.what.Resource, allowed, t.may)
		}
	}
	return nil
}
