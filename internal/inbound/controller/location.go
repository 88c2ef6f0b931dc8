package controller

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// OpenFunc opens the blob container that a BackupStorageLocation names. The caller calls the returned function when
// it is done with it.
type OpenFunc func(ctx context.Context, spec v1alpha1.BackupStorageLocationSpec) (coffer.Container, func(), error)

// Locations opens storage locations for runs, and keeps the status of the BackupStorageLocation objects. It also
// reads hooks: it is the flow.Settings of the extension's cluster.
type Locations struct {
	Client client.Client
	// Namespace of the BackupStorageLocations.
	Namespace string
	// ClusterName is what people call the cluster; may be empty.
	ClusterName string
	Open        OpenFunc
	// KeysFunc reads the data of a Secret with keys in the extension's namespace; one that is missing is an Error with
	// CodeEncryptionKeysUnusable. It is asked for each run, so that rotated keys are used from the next one on.
	KeysFunc func(ctx context.Context, name string) (map[string][]byte, error)
	// SigningKeyFunc is the extension's signing key.
	SigningKeyFunc func(ctx context.Context) (ed25519.PrivateKey, error)
}

// usualLocation is the name of the location that runs use if they name none.
const usualLocation = "default"

// Location implements flow.Settings.
func (l *Locations) Location(ctx context.Context, name string) (flow.Location, error) {
	var object v1alpha1.BackupStorageLocation
	err := l.Client.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: name}, &object)
	if apierrors.IsNotFound(err) {
		return flow.Location{}, coffer.Errorf(coffer.CodeLocationNotFound, "there is no BackupStorageLocation %q in namespace %s", name, l.Namespace).
			WithHint("see `coffer storage-location list`, or make it with `coffer storage-location create`")
	}
	if err != nil {
		return flow.Location{}, fmt.Errorf("get BackupStorageLocation %s: %w", name, err)
	}
	container, done, err := l.Open(ctx, object.Spec)
	if err != nil {
		return flow.Location{}, fmt.Errorf("BackupStorageLocation %s: %w", name, err)
	}
	own, err := l.signer(ctx)
	if err != nil {
		done()
		return flow.Location{}, err
	}
	location := flow.Location{
		Name: name, ReadOnly: object.Spec.ReadOnly, Container: container, Close: done,
		TrustedSigners: append(slices.Clone(object.Spec.TrustedSigners), own),
		Velero:         object.Spec.Velero != nil, TrustUnsigned: object.Spec.Velero != nil && object.Spec.Velero.TrustUnsigned,
	}
	if e := object.Spec.Encryption; e != nil {
		location.KeysFunc = func(ctx context.Context) (encryption.Keys, error) { return l.keys(ctx, *e) }
	}
	return location, nil
}

// WritableLocations implements flow.Settings.
func (l *Locations) WritableLocations(ctx context.Context) ([]string, error) {
	var all v1alpha1.BackupStorageLocationList
	if err := l.Client.List(ctx, &all, client.InNamespace(l.Namespace)); err != nil {
		return nil, fmt.Errorf("list BackupStorageLocations: %w", err)
	}
	var names []string
	for _, object := range all.Items {
		if !object.Spec.ReadOnly && object.Spec.Velero == nil {
			names = append(names, object.Name)
		}
	}
	slices.Sort(names)
	if i := slices.Index(names, usualLocation); i > 0 {
		names = slices.Insert(slices.Delete(names, i, i+1), 0, usualLocation)
	}
	return names, nil
}

// Restore implements flow.Settings.
func (l *Locations) Restore(ctx context.Context, name string) (v1alpha1.Restore, error) {
	var object v1alpha1.Restore
	err := l.Client.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: name}, &object)
	if apierrors.IsNotFound(err) {
		return object, coffer.Errorf(coffer.CodeRestoreNotFound, "there is no Restore %q in namespace %s", name, l.Namespace).
			WithHint("see `coffer restore list`")
	}
	if err != nil {
		return object, fmt.Errorf("get Restore %s: %w", name, err)
	}
	return object, nil
}

// keys reads the keys of a location.
func (l *Locations) keys(ctx context.Context, e v1alpha1.StorageEncryption) (encryption.Keys, error) {
	data, err := l.KeysFunc(ctx, e.SecretRef.Name)
	if err != nil {
		return encryption.Keys{}, err
	}
	return encryption.Parse(e.SecretRef.Name, data)
}

// SigningKey implements flow.Settings.
func (l *Locations) SigningKey(ctx context.Context) (ed25519.PrivateKey, error) {
	return l.SigningKeyFunc(ctx)
}

// signer is the public half of the signing key, as locations list it.
func (l *Locations) signer(ctx context.Context) (string, error) {
	key, err := l.SigningKeyFunc(ctx)
	if err != nil {
		return "", err
	}
	public, _ := key.Public().(ed25519.PublicKey)
	return recoverypoint.SignerText(public), nil
}

// BackupHook implements flow.Settings.
func (l *Locations) BackupHook(ctx context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.BackupHook, error) {
	var h v1alpha1.BackupHook
	err := l.hook(ctx, "BackupHook", ref, &h)
	return h, err
}

// RestoreHook implements flow.Settings.
func (l *Locations) RestoreHook(ctx context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.RestoreHook, error) {
	var h v1alpha1.RestoreHook
	err := l.hook(ctx, "RestoreHook", ref, &h)
	return h, err
}

// ResourceModifiers implements flow.Settings.
func (l *Locations) ResourceModifiers(ctx context.Context, ref v1alpha1.NamespacedReference) (map[string]string, error) {
	var object corev1.ConfigMap
	err := l.Client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, &object)
	switch {
	case apierrors.IsNotFound(err):
		return nil, coffer.Errorf(coffer.CodeModifierNotFound, "there is no ConfigMap %s/%s, which resourceModifierReference names", ref.Namespace, ref.Name).
			WithHint("create it before the restore that refers to it")
	case apierrors.IsForbidden(err):
		return nil, coffer.Errorf(coffer.CodeForbidden, "the Backup extension is not allowed to read ConfigMap %s/%s, which resourceModifierReference names", ref.Namespace, ref.Name).
			WithHint("put it into namespace %s", l.Namespace)
	case err != nil:
		return nil, fmt.Errorf("get ConfigMap %s/%s: %w", ref.Namespace, ref.Name, err)
	}
	return object.Data, nil
}

func (l *Locations) hook(ctx context.Context, kind string, ref v1alpha1.NamespacedReference, into client.Object) error {
	err := l.Client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, into)
	if apierrors.IsNotFound(err) {
		return coffer.Errorf(coffer.CodeHookNotFound, "there is no %s %s/%s", kind, ref.Namespace, ref.Name).
			WithHint("create it before the run that refers to it")
	}
	if err != nil {
		return fmt.Errorf("get %s %s/%s: %w", kind, ref.Namespace, ref.Name, err)
	}
	return nil
}
