// Package kube reads and writes the objects of a cluster through its API server.
package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Cluster is a coffer.Cluster.
type Cluster struct {
	config    *rest.Config
	client    rest.Interface
	discovery discovery.DiscoveryInterface
	patience  patience
	// slots bound the pages in memory, and buffers hold them.
	slots   chan struct{}
	buffers sync.Pool
}

// New makes a Cluster from a client configuration. The client does not limit its own rate: the API server's priority
// and fairness does, and its answers are heeded. Nor does it ask for compression, which costs the API server more time
// than a network within a cluster saves.
func New(config *rest.Config) (*Cluster, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.DisableCompression = true
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make API client: %w", err)
	}
	found, err := discovery.NewDiscoveryClientForConfigAndClient(config, httpClient)
	if err != nil {
		return nil, fmt.Errorf("make discovery client: %w", err)
	}
	return &Cluster{
		config: config, client: found.RESTClient(), discovery: found,
		patience: defaultPatience, slots: make(chan struct{}, parallelPages),
	}, nil
}

// Types implements coffer.Cluster.
func (c *Cluster) Types(ctx context.Context) ([]coffer.ResourceType, []coffer.TypeGap, error) {
	lists, err := discovery.ServerPreferredResourcesWithContext(ctx, discovery.ToDiscoveryInterfaceWithContext(c.discovery))
	var gaps []coffer.TypeGap
	var failed *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &failed) {
		for version, cause := range failed.Groups {
			gaps = append(gaps, coffer.TypeGap{What: version.String(), Reason: cause.Error()})
		}
	} else if err != nil {
		return nil, nil, fmt.Errorf("discover resource types: %w", err)
	}
	var found []coffer.ResourceType
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			gaps = append(gaps, coffer.TypeGap{What: list.GroupVersion, Reason: err.Error()})
			continue
		}
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") || !serves(r, "list") || !serves(r, "create") {
				continue
			}
			found = append(found, coffer.ResourceType{
				GroupResource: coffer.GroupResource{Group: version.Group, Resource: r.Name},
				Version:       version.Version, Kind: r.Kind, Namespaced: r.Namespaced,
			})
		}
	}
	return found, gaps, nil
}

func serves(r metav1.APIResource, verb string) bool {
	for _, v := range r.Verbs {
		if v == verb {
			return true
		}
	}
	return false
}

// Get implements coffer.Cluster.
func (c *Cluster) Get(ctx context.Context, t coffer.ResourceType, namespace, name string) (json.RawMessage, error) {
	body, err := c.client.Get().AbsPath(path(t, namespace), name).Do(ctx).Raw()
	if err != nil {
		return nil, translate(err, "get %s", ref(t, namespace, name))
	}
	return body, nil
}

// Create implements coffer.Cluster.
func (c *Cluster) Create(ctx context.Context, t coffer.ResourceType, namespace string, object []byte) (json.RawMessage, error) {
	body, err := c.client.Post().AbsPath(path(t, namespace)).
		Param("fieldManager", fieldManager).
		SetHeader("Content-Type", "application/json").Body(object).Do(ctx).Raw()
	if err != nil {
		return nil, translate(err, "create %s", t.GroupResource)
	}
	return body, nil
}

// Patch implements coffer.Cluster.
func (c *Cluster) Patch(ctx context.Context, t coffer.ResourceType, namespace, name string, mergePatch []byte) error {
	err := c.client.Patch(types.MergePatchType).AbsPath(path(t, namespace), name).
		Param("fieldManager", fieldManager).Body(mergePatch).Do(ctx).Error()
	if err != nil {
		return translate(err, "patch %s", ref(t, namespace, name))
	}
	return nil
}

// PatchStatus implements coffer.Cluster.
func (c *Cluster) PatchStatus(ctx context.Context, t coffer.ResourceType, namespace, name string, mergePatch []byte) error {
	err := c.client.Patch(types.MergePatchType).AbsPath(path(t, namespace), name, "status").
		Param("fieldManager", fieldManager).Body(mergePatch).Do(ctx).Error()
	if err != nil {
		return translate(err, "patch the status of %s", ref(t, namespace, name))
	}
	return nil
}

const fieldManager = "coffer"

func path(t coffer.ResourceType, namespace string) string {
	base := "/apis/" + t.Group
	if t.Group == "" {
		base = "/api"
	}
	base += "/" + t.Version
	if namespace != "" {
		base += "/namespaces/" + namespace
	}
	return base + "/" + t.Resource
}

func ref(t coffer.ResourceType, namespace, name string) coffer.ObjectRef {
	return coffer.ObjectRef{GroupResource: t.GroupResource, Namespace: namespace, Name: name}
}
