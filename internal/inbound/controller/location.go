package controller

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
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
	Open      OpenFunc
	// SigningKeyFunc is the extension's signing key.
	SigningKeyFunc func(ctx context.Context) (ed25519.PrivateKey, error)
}

// checkInterval is how often a container is tried, so that an operator sees that it is away before a backup does.
const checkInterval = time.Minute

func (l *Locations) setUp(m ctrl.Manager, o Options) error {
	err := ctrl.NewControllerManagedBy(m).
		For(&v1alpha1.BackupStorageLocation{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Named("backupstoragelocation").
		Complete(&locationReconciler{Locations: l, log: o.Log, events: o.Events, metrics: o.Metrics})
	if err != nil {
		return fmt.Errorf("set up the controller of backupstoragelocation: %w", err)
	}
	return nil
}

// Location implements flow.Settings.
func (l *Locations) Location(ctx context.Context, name string) (flow.Location, error) {
	var object v1alpha1.BackupStorageLocation
	err := l.Client.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: name}, &object)
	if apierrors.IsNotFound(err) {
		return flow.Location{}, coffer.Errorf(coffer.CodeLocationNotFound, "there is no BackupStorageLocation %q in namespace %s", name, l.Namespace).
			WithHint("see `kubectl get -n %s backupstoragelocations.%s`", l.Namespace, v1alpha1.Group)
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
	return flow.Location{
		Name: name, ReadOnly: object.Spec.ReadOnly, Container: container, Close: done,
		TrustedSigners: append(slices.Clone(object.Spec.TrustedSigners), own),
	}, nil
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

// locationReconciler keeps the status of BackupStorageLocations.
type locationReconciler struct {
	*Locations
	log     *slog.Logger
	events  events.EventRecorder
	metrics *Metrics
}

// Reconcile implements reconcile.Reconciler.
func (r *locationReconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var object v1alpha1.BackupStorageLocation
	if err := r.Client.Get(ctx, request.NamespacedName, &object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := object.Status
	now := metav1.Now()
	status := v1alpha1.BackupStorageLocationStatus{
		Phase: v1alpha1.StorageLocationAvailable, LastCheckedTime: &now, ObservedGeneration: object.Generation,
		Signer: before.Signer, PreviousSigner: before.PreviousSigner, Conditions: slices.Clone(before.Conditions),
	}
	err := r.check(ctx, object)
	if err == nil {
		err = r.noteSigner(ctx, &status, object)
	}
	if err != nil {
		status.Phase, status.Reason, status.Message = v1alpha1.StorageLocationUnavailable, string(coffer.CodeOf(err)), err.Error()
	}
	r.tell(&object, status)
	meta.SetStatusCondition(&status.Conditions, availability(status))
	object.Status = status
	if err := r.Client.Status().Update(ctx, &object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(fmt.Errorf("save status: %w", err))
	}
	return ctrl.Result{RequeueAfter: checkInterval}, nil
}

// tell tells everybody what has changed since the last check.
func (r *locationReconciler) tell(object *v1alpha1.BackupStorageLocation, now v1alpha1.BackupStorageLocationStatus) {
	available := now.Phase == v1alpha1.StorageLocationAvailable
	gauge := r.metrics.locationAvailable.WithLabelValues(object.Name)
	gauge.Set(0)
	if available {
		gauge.Set(1)
	}
	if now.Phase == object.Status.Phase && now.Message == object.Status.Message {
		return
	}
	r.log.Info("storage location changed", "name", object.Name, "phase", now.Phase, "message", now.Message)
	kind, note := corev1.EventTypeNormal, "the container can be used"
	if now.Message != "" {
		kind, note = corev1.EventTypeWarning, now.Message
	}
	r.events.Eventf(object, nil, kind, string(now.Phase), "Check", "%s", short(note))
}

func availability(s v1alpha1.BackupStorageLocationStatus) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionAvailable, Status: metav1.ConditionTrue, Reason: string(s.Phase), Message: s.Message,
		ObservedGeneration: s.ObservedGeneration,
	}
	if s.Phase != v1alpha1.StorageLocationAvailable {
		c.Status = metav1.ConditionFalse
	}
	if s.Reason != "" {
		c.Reason = s.Reason
	}
	return c
}

// noteSigner keeps the extension's public key in the status, and says what a replaced one means.
func (r *locationReconciler) noteSigner(ctx context.Context, status *v1alpha1.BackupStorageLocationStatus, object v1alpha1.BackupStorageLocation) error {
	signer, err := r.signer(ctx)
	if err != nil {
		return err
	}
	if status.Signer != "" && status.Signer != signer {
		status.PreviousSigner = status.Signer
		r.log.Warn("the signing key was replaced", "name", object.Name, "signer", signer, "previousSigner", status.PreviousSigner)
	}
	status.Signer = signer
	if old := status.PreviousSigner; old != "" && old != signer && !slices.Contains(object.Spec.TrustedSigners, old) {
		status.Reason = string(coffer.CodeSignerNotTrusted)
		status.Message = fmt.Sprintf("the signing key was replaced: recovery points signed by %s are refused; if that was you, `coffer storage-location trust %s %s`", old, object.Name, old)
	}
	return nil
}

// check lists the container and, unless it is read-only, writes and removes a blob. The blob's folder is one that
// Velero allows beside backups.
func (r *locationReconciler) check(ctx context.Context, object v1alpha1.BackupStorageLocation) error {
	container, done, err := r.Open(ctx, object.Spec)
	if err != nil {
		return err
	}
	defer done()
	for _, err := range container.List(ctx, "metadata/") {
		if err != nil {
			return err
		}
	}
	if object.Spec.ReadOnly {
		return nil
	}
	key := "metadata/coffer-check-" + string(object.UID)
	if err := container.Delete(ctx, key); err != nil {
		return err
	}
	if _, err := container.Put(ctx, key, strings.NewReader("coffer was here\n")); err != nil {
		return err
	}
	return container.Delete(ctx, key)
}
