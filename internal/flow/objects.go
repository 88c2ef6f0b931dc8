package flow

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
)

var (
	podType    = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "pods"}, Version: "v1", Kind: "Pod", Namespaced: true}
	claimType  = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "persistentvolumeclaims"}, Version: "v1", Kind: "PersistentVolumeClaim", Namespaced: true}
	volumeType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "persistentvolumes"}, Version: "v1", Kind: "PersistentVolume"}
	classType  = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "storage.k8s.io", Resource: "storageclasses"}, Version: "v1", Kind: "StorageClass"}

	deploymentType  = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "apps", Resource: "deployments"}, Version: "v1", Kind: "Deployment", Namespaced: true}
	statefulSetType = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "apps", Resource: "statefulsets"}, Version: "v1", Kind: "StatefulSet", Namespaced: true}
	daemonSetType   = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "apps", Resource: "daemonsets"}, Version: "v1", Kind: "DaemonSet", Namespaced: true}
)

// list reads all objects of a type, decoded.
func list[T any](ctx context.Context, c coffer.Cluster, t coffer.ResourceType, namespace string) ([]T, error) {
	var all []T
	err := c.List(ctx, t, namespace, func(page coffer.Page) error {
		for _, raw := range page.Items {
			var o T
			if err := json.Unmarshal(raw, &o); err != nil {
				return fmt.Errorf("read %s: %w", t.GroupResource, err)
			}
			all = append(all, o)
		}
		return nil
	})
	return all, err
}

func uidOf(body []byte) (string, error) {
	var h coffer.Header
	if err := json.Unmarshal(body, &h); err != nil {
		return "", fmt.Errorf("read object: %w", err)
	}
	return h.Metadata.UID, nil
}

func decodePod(body []byte) (corev1.Pod, error) {
	var pod corev1.Pod
	if err := json.Unmarshal(body, &pod); err != nil {
		return pod, fmt.Errorf("read pod: %w", err)
	}
	return pod, nil
}
