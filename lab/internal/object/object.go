// Package object puts the lab's own objects into a new cluster: snapshot CRDs, CSI drivers, storage and snapshot classes.
package object

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
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

//go:embed storage.yaml
var storage []byte

//go:embed snapshotclass.yaml
var snapshotClass []byte

const manager = "coffer-lab"

// resources are the plural names of the kinds in the manifests.
var resources = map[string]string{
	"CustomResourceDefinition": "customresourcedefinitions",
	"CSIDriver":                "csidrivers",
	"StorageClass":             "storageclasses",
	"VolumeSnapshotClass":      "volumesnapshotclasses",
}

// Apply brings the objects into the cluster, with the definitions of the snapshot kinds that are given, and waits until
// the API server serves those. What a cluster without a node cannot use, drivers and classes, it does not get. It may be
// repeated.
func Apply(ctx context.Context, client dynamic.Interface, mode cluster.Mode, definitions []byte) error {
	if err := apply(ctx, client, definitions); err != nil {
		return fmt.Errorf("snapshot kinds: %w", err)
	}
	if mode == cluster.Full {
		if err := apply(ctx, client, storage); err != nil {
			return fmt.Errorf("storage classes: %w", err)
		}
	}
	for _, resource := range []string{"volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots"} {
		if err := waitServed(ctx, client, resource); err != nil {
			return err
		}
	}
	if mode == cluster.Full {
		if err := apply(ctx, client, snapshotClass); err != nil {
			return fmt.Errorf("snapshot class: %w", err)
		}
	}
	return nil
}

func apply(ctx context.Context, client dynamic.Interface, manifest []byte) error {
	objects, err := read(manifest)
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

func read(manifest []byte) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(manifest), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
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
