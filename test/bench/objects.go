package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// workers is how many requests are under way at a time, for the reference as for the extension.
const workers = 32

// object is one to create.
type object struct {
	resource  coffer.ResourceType
	namespace string
	body      []byte
}

// kinds are what the objects are of: of each the type, how many in a hundred, and what is in it. They are kinds that no
// controller reacts to. Sizes are those of everyday clusters: mostly one to four KiB, some of 20 KiB.
var kinds = []struct {
	resource coffer.ResourceType
	share    int
	fields   func(r *rand.Rand) string
}{
	{core("configmaps", "ConfigMap"), 40, func(r *rand.Rand) string { return `"data":{"config.yaml":"` + text(r, 1<<10+r.IntN(3<<10)) + `"}` }},
	{core("configmaps", "ConfigMap"), 2, func(r *rand.Rand) string { return `"data":{"dashboard.json":"` + text(r, 20<<10) + `"}` }},
	{core("secrets", "Secret"), 20, func(r *rand.Rand) string { return `"stringData":{"token":"` + text(r, 512+r.IntN(2<<10)) + `"}` }},
	{core("podtemplates", "PodTemplate"), 18, func(r *rand.Rand) string {
		return `"template":{"metadata":{"labels":{"app":"x"}},"spec":{"containers":[{"name":"c","image":"registry.example/team/app:1.2.3","args":["` + text(r, 200) + `"],"env":[{"name":"A","value":"` + text(r, 300) + `"}],"resources":{"requests":{"cpu":"100m","memory":"64Mi"}}}]}}`
	}},
	{of("rbac.authorization.k8s.io", "roles", "Role"), 10, func(*rand.Rand) string {
		return `"rules":[{"apiGroups":[""],"resources":["configmaps","secrets"],"verbs":["get","list","watch"]}]`
	}},
	{of("networking.k8s.io", "networkpolicies", "NetworkPolicy"), 10, func(*rand.Rand) string {
		return `"spec":{"podSelector":{"matchLabels":{"app":"x"}},"policyTypes":["Ingress"],"ingress":[{"from":[{"podSelector":{"matchLabels":{"app":"y"}}}],"ports":[{"port":8080}]}]}`
	}},
}

func core(resource, kind string) coffer.ResourceType {
	return coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: resource}, Version: "v1", Kind: kind, Namespaced: true}
}

func of(group, resource, kind string) coffer.ResourceType {
	t := core(resource, kind)
	t.Group = group
	return t
}

var namespaceType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "namespaces"}, Version: "v1", Kind: "Namespace"}

// text is n letters that compress about as well as configuration does.
func text(r *rand.Rand, n int) string {
	words := []string{"listen", "address", "timeout", "true", "cluster", "upstream", "replicas", "example", "com", "level", "info"}
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%s_%d ", words[r.IntN(len(words))], r.IntN(1000))
	}
	return b.String()[:n]
}

// mixed are n objects in namespaces PREFIX-0, PREFIX-1 ... of a thousand each, the same every time.
func mixed(prefix string, n int) (namespaces []string, objects []object) {
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same objects every time, and no secret in them
	for i := range n {
		namespace := fmt.Sprintf("%s-%d", prefix, i/1000)
		if i%1000 == 0 {
			namespaces = append(namespaces, namespace)
		}
		k, at := 0, i%100
		for at >= kinds[k].share {
			at -= kinds[k].share
			k++
		}
		t := kinds[k].resource
		body := fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"object-%d","namespace":%q,"labels":{"app.kubernetes.io/name":"x","team":"t%d"}},%s}`,
			t.APIVersion(), t.Kind, i, namespace, i%7, kinds[k].fields(r))
		objects = append(objects, object{t, namespace, []byte(body)})
	}
	return namespaces, objects
}

// createAll creates objects, many at a time, and does nothing else.
func createAll(ctx context.Context, c coffer.Cluster, objects []object) error {
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(workers)
	for _, o := range objects {
		all.Go(func() error {
			_, err := c.Create(ctx, o.resource, o.namespace, o.body)
			return err
		})
	}
	return all.Wait()
}

func createNamespaces(ctx context.Context, c coffer.Cluster, names []string) error {
	for _, name := range names {
		body, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
		if err != nil {
			return err
		}
		if _, err := c.Create(ctx, namespaceType, "", body); err != nil && coffer.CodeOf(err) != coffer.CodeExists {
			return err
		}
	}
	return nil
}
