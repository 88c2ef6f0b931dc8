// Package object puts the lab's own objects into a new cluster: snapshot CRDs, CSI drivers, storage and snapshot classes.
package object

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/dynamic"

	"github.com/coffer-backup/coffer/lab/internal/cluster"
)

//go:generate sh -c "cp ../../storage/crds/*.yaml manifests/"

// The snapshot CRDs are those of the external-snapshotter module that lab/storage builds.
//
//go:embed manifests
var manifests embed.FS

const manager = "coffer-lab"

const (
	snapshotCRDs  = "manifests/snapshot.storage.k8s.io_"
	snapshotClass = "manifests/snapshotclass.yaml"
	storage       = "manifests/storage.yaml"
)

// crds are the files with definitions, and what they define.
var crds = []string{"volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots"}

// resources are the plural names of the kinds in the manifests.
var resources = map[string]string{
	"CustomResourceDefinition": "customresourcedefinitions",
	"CSIDriver":                "csidrivers",
	"StorageClass":             "storageclasses",
	"VolumeSnapshotClass":      "volumesnapshotclasses",
}

// Apply brings the objects into the cluster and waits until the API server serves the snapshot kinds. What a cluster
// without a node cannot use, drivers and classes, it does not get. It may be repeated.
func Apply(ctx context.Context, client dynamic.Interface, mode cluster.Mode) error {
	for _, crd := range crds {
		if err := applyFile(ctx, client, snapshotCRDs+crd+".yaml"); err != nil {
			return err
		}
	}
	if mode == cluster.Full {
		if err := applyFile(ctx, client, storage); err != nil {
			return err
		}
	}
	for _, crd := range crds {
		if err := waitServed(ctx, client, crd); err != nil {
			return err
		}
	}
	if mode == cluster.Full {
		return applyFile(ctx, client, snapshotClass)
	}
	return nil
}

func applyFile(ctx context.Context, client dynamic.Interface, path string) error {
	objects, err := read(path)
	if err != nil {
		return err
	}
	for _, object := range objects {
		gvk := object.GroupVersionKind()
		resource := gvk.GroupVersion().WithResource(resources[gvk.Kind])
		options := metav1.ApplyOptions{FieldManager: manager, Force: true}
		if _, err := client.Resource(resource).Apply(ctx, object.GetName(), object, options); err != nil {
			return fmt.Errorf("apply %s %s: %w", gvk.Kind, object.GetName(), err)
		}
	}
	return nil
}

func read(path string) ([]*unstructured.Unstructured, error) {
	content, err := manifests.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(string(content)), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest %s: %w", path, err)
		}
		if len(object.Object) > 0 {
			objects = append(objects, object)
		}
	}
}

// waitServed lists a kind until that works: a definition is served a moment after it is established.
func waitServed(ctx context.Context, client dynamic.Interface, resource string) error {
	kind := schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: resource}
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		_, err := client.Resource(kind).List(ctx, metav1.ListOptions{Limit: 1})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("wait until %s are served: %w", resource, err)
	}
	return nil
}
