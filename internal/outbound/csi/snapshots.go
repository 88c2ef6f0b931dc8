// Package csi takes, presents and deletes CSI snapshots through the VolumeSnapshot API.
//
// A snapshot outlives everything around it because it is taken through our own copy of the driver's class, with
// deletionPolicy Retain: patching the policy after the fact would race with the deletion of the namespace. A
// snapshot is deleted in one way only, see destroy.go.
package csi

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	snapshotv1 "github.com/kubernetes-csi/external-snapshotter/client/v8/apis/volumesnapshot/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "coffer"
	// defaultClassAnnotation is set by administrators, see the VolumeSnapshotClass documentation.
	defaultClassAnnotation = "snapshot.storage.kubernetes.io/is-default-class"
	// beingDeletedAnnotation tells the driver's sidecar that a content with a deletion timestamp may go. The
	// snapshot controller sets it when it deletes the bound VolumeSnapshot; a content whose VolumeSnapshot
	// vanished without the controller would be stuck without it.
	beingDeletedAnnotation = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted"
)

// retainPrefix is what the names of our copies of classes begin with.
const retainPrefix = "coffer-retain-"

// Snapshots is a coffer.Snapshots.
type Snapshots struct {
	client client.Client
	// namespace in which contents that are to be deleted pretend to be claimed.
	namespace string
}

// New makes Snapshots of a client that reads from the API server, not from a cache, and whose scheme knows
// snapshot.storage.k8s.io/v1 and storage.k8s.io/v1. namespace is the extension's.
func New(c client.Client, namespace string) *Snapshots {
	return &Snapshots{client: c, namespace: namespace}
}

// Available implements coffer.Snapshots.
func (s *Snapshots) Available(ctx context.Context) error {
	_, err := s.Classes(ctx)
	return err
}

// Classes implements coffer.Snapshots.
func (s *Snapshots) Classes(ctx context.Context) ([]coffer.SnapshotClass, error) {
	var list snapshotv1.VolumeSnapshotClassList
	if err := s.client.List(ctx, &list); err != nil {
		return nil, translate(err, "list VolumeSnapshotClasses")
	}
	var found []coffer.SnapshotClass
	for _, c := range list.Items {
		if c.Labels[managedByLabel] == managedBy {
			continue
		}
		found = append(found, coffer.SnapshotClass{
			Name: c.Name, Driver: c.Driver, Default: c.Annotations[defaultClassAnnotation] == "true", Parameters: c.Parameters,
		})
	}
	return found, nil
}

// Cut implements coffer.Snapshots.
func (s *Snapshots) Cut(ctx context.Context, r coffer.SnapshotRequest) error {
	class, err := s.retainingClass(ctx, r.Class)
	if err != nil {
		return err
	}
	snapshot := &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: r.Namespace, Name: objectName(r.Run, r.Name),
			Labels: map[string]string{managedByLabel: managedBy},
		},
		Spec: snapshotv1.VolumeSnapshotSpec{
			Source:                  snapshotv1.VolumeSnapshotSource{PersistentVolumeClaimName: &r.Claim},
			VolumeSnapshotClassName: &class,
		},
	}
	if err := s.client.Create(ctx, snapshot); err != nil && !apierrors.IsAlreadyExists(err) {
		return translate(err, "create VolumeSnapshot %s/%s", r.Namespace, snapshot.Name)
	}
	return nil
}

// retainingClass makes sure that there is a copy of a class with deletionPolicy Retain, and returns its name. The
// name is derived from what the class says, so that a changed class gets a new copy.
func (s *Snapshots) retainingClass(ctx context.Context, name string) (string, error) {
	var original snapshotv1.VolumeSnapshotClass
	if err := s.client.Get(ctx, client.ObjectKey{Name: name}, &original); err != nil {
		return "", translate(err, "get VolumeSnapshotClass %s", name)
	}
	content, err := json.Marshal([]any{original.Driver, original.Parameters})
	if err != nil {
		return "", fmt.Errorf("read VolumeSnapshotClass %s: %w", name, err)
	}
	retaining := &snapshotv1.VolumeSnapshotClass{
		ObjectMeta: metav1.ObjectMeta{
			Name:        retainPrefix + coffer.ShortHash(string(content)),
			Labels:      map[string]string{managedByLabel: managedBy},
			Annotations: map[string]string{"clusterbackup.dataprotection.microsoft.com/copy-of": name},
		},
		Driver:         original.Driver,
		Parameters:     maps.Clone(original.Parameters),
		DeletionPolicy: snapshotv1.VolumeSnapshotContentRetain,
	}
	if err := s.client.Create(ctx, retaining); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", translate(err, "create VolumeSnapshotClass %s", retaining.Name)
	}
	return retaining.Name, nil
}

// Present implements coffer.Snapshots.
func (s *Snapshots) Present(ctx context.Context, r coffer.PresentRequest) (string, error) {
	name := objectName(r.Run, r.Name)
	labels := map[string]string{managedByLabel: managedBy}
	mode := corev1.PersistentVolumeMode(r.VolumeMode)
	content := &snapshotv1.VolumeSnapshotContent{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		Spec: snapshotv1.VolumeSnapshotContentSpec{
			Driver:            r.Driver,
			DeletionPolicy:    snapshotv1.VolumeSnapshotContentRetain,
			Source:            snapshotv1.VolumeSnapshotContentSource{SnapshotHandle: &r.Handle},
			SourceVolumeMode:  &mode,
			VolumeSnapshotRef: corev1.ObjectReference{Namespace: r.Namespace, Name: name},
		},
	}
	if err := s.client.Create(ctx, content); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", translate(err, "create VolumeSnapshotContent %s", name)
	}
	snapshot := &snapshotv1.VolumeSnapshot{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: name, Labels: labels},
		Spec:       snapshotv1.VolumeSnapshotSpec{Source: snapshotv1.VolumeSnapshotSource{VolumeSnapshotContentName: &name}},
	}
	if err := s.client.Create(ctx, snapshot); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", translate(err, "create VolumeSnapshot %s/%s", r.Namespace, name)
	}
	return name, nil
}

// PresentedName implements coffer.Snapshots.
func (s *Snapshots) PresentedName(run, request string) string { return objectName(run, request) }

// objectName names the API objects of one snapshot of a run: run and request can be read off it.
func objectName(run, request string) string { return prefix(run) + request }

func prefix(run string) string { return "coffer-" + run + "-" }

func translate(err error, format string, args ...any) error {
	doing := fmt.Sprintf(format, args...)
	var code coffer.Code
	switch {
	case meta.IsNoMatchError(err):
		return coffer.Errorf(coffer.CodeSnapshotAPIUnavailable, "%s: the cluster does not serve snapshot.storage.k8s.io/v1", doing).
			WithHint("install the CRDs and controller of kubernetes-csi/external-snapshotter")
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		code = coffer.CodeNamespaceTerminating
	case apierrors.IsNotFound(err):
		code = coffer.CodeNotFound
	case apierrors.IsForbidden(err):
		code = coffer.CodeForbidden
	case apierrors.IsInvalid(err):
		code = coffer.CodeRejected
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
	return coffer.Errorf(code, "%s: %w", doing, err)
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
