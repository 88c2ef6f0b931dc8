package flow

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/coffer-backup/coffer/internal/coffer"
)

var (
	podType    = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "pods"}, Version: "v1", Kind: "Pod", Namespaced: true}
	claimType  = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "persistentvolumeclaims"}, Version: "v1", Kind: "PersistentVolumeClaim", Namespaced: true}
	volumeType = coffer.ResourceType{GroupResource: coffer.GroupResource{Resource: "persistentvolumes"}, Version: "v1", Kind: "PersistentVolume"}
	classType  = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "storage.k8s.io", Resource: "storageclasses"}, Version: "v1", Kind: "StorageClass"}

	snapshotsOfVolumes = coffer.GroupResource{Group: "snapshot.storage.k8s.io", Resource: "volumesnapshots"}

	deploymentType  = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "apps", Resource: "deployments"}, Version: "v1", Kind: "Deployment", Namespaced: true}
	statefulSetType = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "apps", Resource: "statefulsets"}, Version: "v1", Kind: "StatefulSet", Namespaced: true}
	daemonSetType   = coffer.ResourceType{GroupResource: coffer.GroupResource{Group: "apps", Resource: "daemonsets"}, Version: "v1", Kind: "DaemonSet", Namespaced: true}
)

// object is a pointer to a decoded object.
type object[T any] interface {
	*T
	metav1.Object
}

// list reads all objects of a type, decoded, each once.
func list[T any, P object[T]](ctx context.Context, c coffer.Cluster, t coffer.ResourceType, namespace string) ([]T, error) {
	return listSome[T, P](ctx, c, t, namespace, func(T) bool { return true })
}

// listSome is list for those that are kept: of a large cluster, few are worth their memory.
func listSome[T any, P object[T]](ctx context.Context, c coffer.Cluster, t coffer.ResourceType, namespace string, keep func(T) bool) ([]T, error) {
	var some []T
	// at is where each stands, once one may come twice; the later one counts.
	var at map[types.NamespacedName]int
	nameOf := func(o P) types.NamespacedName {
		return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
	}
	err := c.List(ctx, t, namespace, func(page coffer.Page) error {
		if page.Later != "" && at == nil {
			at = map[types.NamespacedName]int{}
			for i := range some {
				at[nameOf(&some[i])] = i
			}
		}
		for _, raw := range page.Items {
			var o T
			if err := json.Unmarshal(raw, &o); err != nil {
				return fmt.Errorf("read %s: %w", t.GroupResource, err)
			}
			if !keep(o) {
				continue
			}
			if i, again := at[nameOf(&o)]; again {
				some[i] = o
				continue
			}
			if at != nil {
				at[nameOf(&o)] = len(some)
			}
			some = append(some, o)
		}
		return nil
	})
	return some, err
}

func uidOf(body []byte) (string, error) {
	h, err := coffer.DecodeHeader(body)
	if err != nil {
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

// unlistable says of the error of a list that trying it again is of no use: it is forbidden, or never answered. The rest
// of the cluster can be read all the same.
func unlistable(err error) bool {
	return coffer.Final(err) || coffer.CodeOf(err) == coffer.CodeUnanswered
}
