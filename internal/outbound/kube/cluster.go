// Package kube reads and writes the objects of a cluster through its API server.
package kube

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// Cluster is a coffer.Cluster.
type Cluster struct {
	config *rest.Config
	client rest.Interface
	// web makes the requests that are passed on, and follows no redirects.
	web       *http.Client
	discovery discovery.DiscoveryInterface
	patience  patience
	// slots bound the pages in memory, and buffers hold them.
	slots   chan struct{}
	buffers *sync.Pool
	// writes bound what is written at a time, and manager is the name under which.
	writes  *limiter
	manager string
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
		config: config, client: found.RESTClient(), discovery: found, web: unredirected(httpClient),
		patience: defaultPatience, slots: make(chan struct{}, parallelPages), buffers: new(sync.Pool),
		writes: newLimiter(), manager: defaultManager,
	}, nil
}

// Types implements coffer.Cluster.
func (c *Cluster) Types(ctx context.Context) ([]coffer.ResourceType, []coffer.TypeGap, error) {
	lists, err := discovery.ServerPreferredResourcesWithContext(ctx, discovery.ToDiscoveryInterfaceWithContext(c.discovery))
	return discovered(lists, err)
}

// Release implements coffer.Cluster.
func (c *Cluster) Release(ctx context.Context) (string, error) {
	body, err := raw(c.client.Get().AbsPath("/version").Do(ctx))
	if err != nil {
		return "", translate(err, "ask for the version of the API server")
	}
	var info version.Info
	if err := json.Unmarshal(body, &info); err != nil {
		return "", fmt.Errorf("read the version of the API server: %w", err)
	}
	return info.GitVersion, nil
}

// Versions implements coffer.Cluster.
func (c *Cluster) Versions(ctx context.Context) ([]coffer.ResourceType, []coffer.TypeGap, error) {
	groups, lists, err := discovery.ServerGroupsAndResourcesWithContext(ctx, discovery.ToDiscoveryInterfaceWithContext(c.discovery))
	types, gaps, err := discovered(lists, err)
	if err != nil {
		return nil, nil, err
	}
	// A group lists its versions by their age, not by preference.
	preferred := map[string]string{}
	for _, g := range groups {
		preferred[g.Name] = g.PreferredVersion.Version
	}
	slices.SortStableFunc(types, func(a, b coffer.ResourceType) int {
		first := func(t coffer.ResourceType) int {
			if t.Version == preferred[t.Group] {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	return types, gaps, nil
}

// discovered are the types of a discovery that can be listed and created.
func discovered(lists []*metav1.APIResourceList, err error) ([]coffer.ResourceType, []coffer.TypeGap, error) {
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
	body, err := raw(c.client.Get().AbsPath(path(t, namespace), name).Do(ctx))
	if err != nil {
		return nil, translate(err, "get %s", ref(t, namespace, name))
	}
	return body, nil
}

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
