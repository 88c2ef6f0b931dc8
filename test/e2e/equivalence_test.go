//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	nouns "github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/test/shop"
)

const kinDefinition = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kins.kin.example}
spec:
  group: kin.example
  scope: Namespaced
  names: {plural: kins, singular: kin, kind: Kin}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

// seeds are those of the sets of objects that are generated: always the same one, and another one every time. COFFER_E2E_SEEDS
// has those that are to be tried again, separated by commas.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	text := os.Getenv("COFFER_E2E_SEEDS")
	if text == "" {
		return []uint64{1, uint64(time.Now().UnixNano()) % 1_000_000}
	}
	var all []uint64
	for _, s := range strings.Split(text, ",") {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, n)
	}
	return all
}

// TestWhatIsRestoredIsWhatWasBackedUp generates sets of objects, backs them up, removes them with their namespaces and their
// definition, restores them, and compares: nothing is missing, nothing is there beside, and nothing has changed but what Kubernetes
// allots.
func TestWhatIsRestoredIsWhatWasBackedUp(t *testing.T) {
	t.Cleanup(func() { removeCluster(context.WithoutCancel(t.Context()), t, kinDefinition) })
	for _, seed := range seeds(t) {
		spaces := []string{fmt.Sprintf("kin-%d-a", seed), fmt.Sprintf("kin-%d-b", seed)}
		all := []shop.Shop{shopIn(t, spaces[0]), shopIn(t, spaces[1])}
		t.Run(fmt.Sprintf("COFFER_E2E_SEEDS=%d", seed), func(t *testing.T) {
			apply(t, kinDefinition)
			g := newGenerator(t, seed)
			for _, ns := range spaces {
				g.populate(ns, 2*len(recipes)+8)
			}
			before := normalised(t, spaces)
			name := fmt.Sprintf("kin-%d", seed)
			backedUp(t, name, "--included-namespaces", strings.Join(spaces, ","))
			mustDestroy(t, all...)
			removeCluster(t.Context(), t, kinDefinition)
			eventually(t, "the definition is gone", time.Minute, func(ctx context.Context) (bool, error) {
				_, err := look(ctx, "apiextensions.k8s.io/v1", "CustomResourceDefinition", "kins.kin.example")
				return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
			})
			r := restored(t, name, v1alpha1.RestoreSpec{BackupName: name})
			mustSucceed(t, r, 0)
			if r.Status.WarningCount != 0 {
				t.Errorf("restore %s warns:\n%s", name, warningsText(r))
			}
			mustBeEqual(t, before, normalised(t, spaces))
			t.Logf("%d objects were compared", len(before))
		})
	}
}

// mustBeEqual names what is missing, what there is beside, and what is not as it was.
func mustBeEqual(t *testing.T, before, after map[string]any) {
	t.Helper()
	for name, o := range before {
		now, there := after[name]
		if !there {
			t.Errorf("%s is missing", name)
		} else if diff := cmp.Diff(o, now); diff != "" {
			t.Errorf("%s was (-) and is (+):\n%s", name, diff)
		}
	}
	for name := range after {
		if _, there := before[name]; !there {
			t.Errorf("%s is there, and was not before", name)
		}
	}
}

// passing are types whose objects Kubernetes makes by itself, for what else there is.
var passing = []string{"events", "events.events.k8s.io", "endpoints", "endpointslices.discovery.k8s.io", "pods", "controllerrevisions.apps"}

// normalised are the objects of namespaces without what Kubernetes allots, and the namespaces themselves.
func normalised(t *testing.T, spaces []string) map[string]any {
	t.Helper()
	types, _, err := lab.cluster.Types(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ns := range spaces {
		// What Kubernetes makes by itself is compared, too.
		for kind, name := range map[string]string{"ServiceAccount": "default", "ConfigMap": "kube-root-ca.crt"} {
			eventually(t, kind+" "+name+" of "+ns+" is there", time.Minute, func(ctx context.Context) (bool, error) {
				_, err := look(ctx, "v1", kind, ns+"/"+name)
				return err == nil, err
			})
		}
	}
	found := map[string]any{}
	for _, kind := range types {
		for _, ns := range spaces {
			if !kind.Namespaced || slices.Contains(passing, kind.GroupResource.String()) {
				continue
			}
			err := lab.cluster.List(t.Context(), kind, ns, func(page nouns.Page) error {
				for _, body := range page.Items {
					if name, o := normalise(t, kind.GroupResource.String(), body); o != nil {
						found[kind.GroupResource.String()+" "+name] = o
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, ns := range spaces {
		o := live(t, "v1", "Namespace", ns)
		found["namespaces "+ns] = map[string]any{"labels": o.GetLabels(), "annotations": o.GetAnnotations()}
	}
	return found
}

// normalise answers nil for what a controller has made.
func normalise(t *testing.T, kind string, body []byte) (name string, object map[string]any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		t.Fatal(err)
	}
	metadata, _ := object["metadata"].(map[string]any)
	name = fmt.Sprint(metadata["namespace"], "/", metadata["name"])
	owners, _ := metadata["ownerReferences"].([]any)
	for _, o := range owners {
		owner, _ := o.(map[string]any)
		if controls, _ := owner["controller"].(bool); controls && kind == "replicasets.apps" {
			return name, nil
		}
		delete(owner, "uid")
	}
	for _, f := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
		delete(metadata, f)
	}
	delete(object, "status")
	// Lists leave them out, but for those of custom resources.
	delete(object, "apiVersion")
	delete(object, "kind")
	if annotations, _ := metadata["annotations"].(map[string]any); annotations != nil {
		delete(annotations, "deployment.kubernetes.io/revision")
		if len(annotations) == 0 {
			delete(metadata, "annotations")
		}
	}
	spec, _ := object["spec"].(map[string]any)
	switch kind {
	case "services":
		if spec["clusterIP"] != "None" {
			delete(spec, "clusterIP")
			delete(spec, "clusterIPs")
		}
		delete(spec, "healthCheckNodePort")
		ports, _ := spec["ports"].([]any)
		for _, p := range ports {
			delete(p.(map[string]any), "nodePort")
		}
	case "jobs.batch":
		delete(spec, "selector")
		// The API server writes them, on the job itself if that has no labels of its own.
		template, _ := spec["template"].(map[string]any)
		for _, o := range []any{metadata, template["metadata"]} {
			labels, _ := o.(map[string]any)["labels"].(map[string]any)
			for _, key := range []string{"controller-uid", "batch.kubernetes.io/controller-uid", "job-name", "batch.kubernetes.io/job-name"} {
				delete(labels, key)
			}
		}
	}
	return name, object
}
