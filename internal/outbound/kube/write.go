package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// defaultManager is the field manager of writes for which As chose no other.
const defaultManager = "coffer"

// As implements coffer.Cluster.
func (c *Cluster) As(manager string) coffer.Cluster {
	as := *c
	as.manager = manager
	return &as
}

// Create implements coffer.Cluster.
func (c *Cluster) Create(ctx context.Context, t coffer.ResourceType, namespace string, object []byte) (json.RawMessage, error) {
	body, err := c.write(ctx, c.creating(t, namespace, object))
	if err != nil {
		return nil, translateWrite(err, "create %s", t.GroupResource)
	}
	return body, nil
}

func (c *Cluster) creating(t coffer.ResourceType, namespace string, object []byte) func() *rest.Request {
	return func() *rest.Request {
		return c.client.Post().AbsPath(path(t, namespace)).Param("fieldManager", c.manager).
			SetHeader("Content-Type", "application/json").Body(object)
	}
}

// Patch implements coffer.Cluster.
func (c *Cluster) Patch(ctx context.Context, t coffer.ResourceType, namespace, name string, mergePatch []byte) error {
	_, err := c.write(ctx, c.patching(t, namespace, name, mergePatch))
	if err != nil {
		return translateWrite(err, "patch %s", ref(t, namespace, name))
	}
	return nil
}

func (c *Cluster) patching(t coffer.ResourceType, namespace, name string, mergePatch []byte) func() *rest.Request {
	return func() *rest.Request {
		return c.client.Patch(types.MergePatchType).AbsPath(path(t, namespace), name).Param("fieldManager", c.manager).Body(mergePatch)
	}
}

// PatchStatus implements coffer.Cluster.
func (c *Cluster) PatchStatus(ctx context.Context, t coffer.ResourceType, namespace, name string, mergePatch []byte) error {
	_, err := c.write(ctx, func() *rest.Request {
		return c.client.Patch(types.MergePatchType).AbsPath(path(t, namespace), name, "status").Param("fieldManager", c.manager).Body(mergePatch)
	})
	if err != nil {
		return translate(err, "patch the status of %s", ref(t, namespace, name))
	}
	return nil
}

// Delete implements coffer.Cluster.
func (c *Cluster) Delete(ctx context.Context, t coffer.ResourceType, namespace, name, uid string) (gone bool, err error) {
	background := metav1.DeletePropagationBackground
	only := types.UID(uid)
	options, err := json.Marshal(metav1.DeleteOptions{
		TypeMeta:          metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"},
		Preconditions:     &metav1.Preconditions{UID: &only},
		PropagationPolicy: &background,
	})
	if err != nil {
		return false, fmt.Errorf("encode options to delete %s: %w", ref(t, namespace, name), err)
	}
	body, err := c.write(ctx, func() *rest.Request {
		return c.client.Delete().AbsPath(path(t, namespace), name).SetHeader("Content-Type", "application/json").Body(options)
	})
	switch {
	case apierrors.IsConflict(err):
		return false, coffer.Errorf(coffer.CodeChanged, "delete %s: it is another one now: %w", ref(t, namespace, name), err)
	case err != nil:
		return false, translateWrite(err, "delete %s", ref(t, namespace, name))
	}
	// The answer is the object as it is now if somebody keeps it, and else a Status or what it was last.
	var answer coffer.Header
	if err := json.Unmarshal(body, &answer); err != nil {
		return false, fmt.Errorf("delete %s: read the answer: %w", ref(t, namespace, name), err)
	}
	return answer.Metadata.DeletionTimestamp == "", nil
}

// write makes one request that changes something, in its turn, and again for as long as the API server asks for that.
func (c *Cluster) write(ctx context.Context, request func() *rest.Request) ([]byte, error) {
	pause, busy := c.patience.pause, time.Duration(0)
	for {
		round, err := c.writes.acquire(ctx)
		if err != nil {
			return nil, err
		}
		body, err := raw(request().MaxRetries(0).Do(ctx))
		seconds, later := apierrors.SuggestsClientDelay(err)
		later = later || apierrors.IsTooManyRequests(err)
		c.writes.release(round, later)
		if !later || busy > c.patience.busy {
			return body, err
		}
		wait := min(max(time.Duration(seconds)*time.Second, pause), c.patience.page)
		// Those who were sent away together come back apart.
		wait += rand.N(wait/4 + 1) //nolint:gosec // no secret
		busy += wait
		pause *= 2
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// raw is the answer as it came. Unlike Result.Raw, it reads what the API server says about an error.
func raw(result rest.Result) ([]byte, error) {
	if err := result.Error(); err != nil {
		return nil, err
	}
	return result.Raw()
}
