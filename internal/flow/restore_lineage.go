package flow

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/internal/coffer"
)

// lineage knows who owns the objects of the cluster. Each owner is read once, however many objects it owns.
type lineage struct {
	cluster coffer.Cluster
	// above are the owners of objects of the cluster, by the UID of the owner; nil for one that is gone.
	above map[string][]coffer.OwnerReference
	types map[string]coffer.ResourceType // by apiVersion and kind
}

func newLineage(ctx context.Context, c coffer.Cluster) (*lineage, error) {
	types, _, err := c.Types(ctx)
	if err != nil {
		return nil, err
	}
	l := &lineage{cluster: c, above: map[string][]coffer.OwnerReference{}, types: map[string]coffer.ResourceType{}}
	for _, t := range types {
		l.types[t.APIVersion()+" "+t.Kind] = t
	}
	return l, nil
}

// pod is a pod as an owner of what it owns.
func (l *lineage) pod(pod *corev1.Pod) coffer.OwnerReference {
	self := coffer.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: string(pod.UID)}
	l.above[self.UID] = ownersOf(pod.OwnerReferences)
	return self
}

// ownersOf is never nil: that would say that the object is gone.
func ownersOf(references []metav1.OwnerReference) []coffer.OwnerReference {
	owners := []coffer.OwnerReference{}
	for _, o := range references {
		owners = append(owners, coffer.OwnerReference{APIVersion: o.APIVersion, Kind: o.Kind, Name: o.Name, UID: string(o.UID)})
	}
	return owners
}

// each calls visit for some owners and all of theirs, the nearest first, until it answers false. leaving says that one of them is
// gone, so that what it owned will be.
func (l *lineage) each(ctx context.Context, namespace string, owners []coffer.OwnerReference, visit func(coffer.OwnerReference) bool) (leaving bool, err error) {
	seen := map[string]bool{}
	for len(owners) > 0 {
		o := owners[0]
		owners = owners[1:]
		if seen[o.UID] {
			continue
		}
		seen[o.UID] = true
		if !visit(o) {
			return leaving, nil
		}
		further, exists, err := l.ownersAbove(ctx, namespace, o)
		if err != nil {
			return false, err
		}
		leaving = leaving || !exists
		owners = append(owners, further...)
	}
	return leaving, nil
}

// ownersAbove are the owners of an owner.
func (l *lineage) ownersAbove(ctx context.Context, namespace string, o coffer.OwnerReference) (above []coffer.OwnerReference, exists bool, err error) {
	if known, seen := l.above[o.UID]; seen {
		return known, known != nil, nil
	}
	t, served := l.types[o.APIVersion+" "+o.Kind]
	if !served {
		// Nobody knows what it is: it is taken to be there.
		l.above[o.UID] = []coffer.OwnerReference{}
		return nil, true, nil
	}
	if !t.Namespaced {
		namespace = ""
	}
	body, err := l.cluster.Get(ctx, t, namespace, o.Name)
	if coffer.CodeOf(err) == coffer.CodeNotFound {
		l.above[o.UID] = nil
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	var h coffer.Header
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, false, fmt.Errorf("read %s %s: %w", t.GroupResource, o.Name, err)
	}
	if h.Metadata.UID != o.UID {
		l.above[o.UID] = nil
		return nil, false, nil
	}
	l.above[o.UID] = append([]coffer.OwnerReference{}, h.Metadata.OwnerReferences...)
	return h.Metadata.OwnerReferences, true, nil
}
