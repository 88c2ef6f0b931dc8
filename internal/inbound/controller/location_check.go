package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/format/ownership"
)

// checkInterval is how often a container is tried, so that an operator sees that it is away before a backup does.
const checkInterval = time.Minute

// checkTimeout bounds a check, so that a store that does not answer is told of while somebody waits for it.
const checkTimeout = 2 * time.Minute

// parallelChecks is how many locations are checked at once: one that does not answer must not hold up the others.
const parallelChecks = 4

// skewThatMatters is how far a store's clock may be off before a person is told: stores begin to refuse requests at five
// minutes.
const skewThatMatters = time.Minute

func (l *Locations) setUp(m ctrl.Manager, o Options) error {
	// A new annotation asks for something; a new status is of our own making.
	asked := predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{})
	err := ctrl.NewControllerManagedBy(m).
		For(&v1alpha1.BackupStorageLocation{}, builder.WithPredicates(asked)).
		Named("backupstoragelocation").
		WithOptions(controller.Options{MaxConcurrentReconciles: parallelChecks}).
		Complete(&locationReconciler{Locations: l, log: o.Log, events: o.Events, metrics: o.Metrics})
	if err != nil {
		return fmt.Errorf("set up the controller of backupstoragelocation: %w", err)
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
	asked := object.Annotations[v1alpha1.AnnotationCheck]
	status := v1alpha1.BackupStorageLocationStatus{
		Phase: v1alpha1.StorageLocationAvailable, LastCheckedTime: &now, ObservedGeneration: object.Generation,
		LastHandledCheck: asked, RecoveryPoints: before.RecoveryPoints, LastCountedTime: before.LastCountedTime, VeleroBackups: before.VeleroBackups,
		Signer: before.Signer, PreviousSigner: before.PreviousSigner, Conditions: slices.Clone(before.Conditions),
	}
	if asked != before.LastHandledCheck || object.Generation != before.ObservedGeneration || before.LastCountedTime == nil {
		// To count takes a listing of everything.
		status.RecoveryPoints, status.LastCountedTime, status.VeleroBackups = nil, nil, nil
	}
	checking, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	err := r.noteSigner(checking, &status, object)
	keysErr := r.checkKeys(checking, &object, &status)
	if err == nil {
		err = r.check(checking, &object, &status)
	}
	if err == nil {
		err = keysErr
	}
	if err != nil {
		status.Phase, status.Message = v1alpha1.StorageLocationUnavailable, err.Error()
		// What passes by itself has no code of its own; the location is as unavailable.
		status.Reason = cmp.Or(string(coffer.CodeOf(err)), string(coffer.CodeLocationNotReady))
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

// check tries what a run would need of the container, and records what it finds on the way.
func (r *locationReconciler) check(ctx context.Context, object *v1alpha1.BackupStorageLocation, status *v1alpha1.BackupStorageLocationStatus) error {
	container, done, err := r.Open(ctx, object.Spec)
	if err != nil {
		return err
	}
	defer done()
	defer r.compareClocks(container, status)
	for _, err := range container.List(ctx, "metadata/") {
		if err != nil {
			return err
		}
	}
	status.Reachable = true
	if status.RecoveryPoints == nil {
		n, err := flow.CountPoints(ctx, container)
		if err != nil {
			return err
		}
		if object.Spec.Velero != nil {
			newest, theirs, err := flow.VeleroBackups(ctx, container)
			if err != nil {
				return err
			}
			n += theirs
			status.VeleroBackups = newest
		}
		status.RecoveryPoints, status.LastCountedTime = &n, status.LastCheckedTime
	}
	me, err := r.self(ctx)
	if err != nil {
		return err
	}
	if object.Spec.ReadOnly {
		owner, err := flow.OwnerOf(ctx, container)
		if err == nil {
			status.Owner = ownerStatus(owner, me)
		}
		if coffer.CodeOf(err) != "" || errors.Is(err, coffer.ErrBlobNotFound) {
			// Who writes there does not matter to who only reads.
			return nil
		}
		return err
	}
	if err := r.takeOver(ctx, object, container, me); err != nil {
		return err
	}
	owner, err := flow.Own(ctx, container, me)
	if owner.Cluster != "" {
		status.Owner = ownerStatus(owner, me)
	}
	if err != nil {
		return err
	}
	if err := flow.TryWriting(ctx, container, "metadata/coffer-check-"+string(object.UID)); err != nil {
		return err
	}
	status.Writable = true
	return nil
}

// checkKeys finds out whether what is written can be encrypted, if it is to be.
func (r *locationReconciler) checkKeys(ctx context.Context, object *v1alpha1.BackupStorageLocation, status *v1alpha1.BackupStorageLocationStatus) error {
	if object.Spec.Encryption == nil {
		return nil
	}
	keys, err := r.keys(ctx, *object.Spec.Encryption)
	if err != nil {
		return err
	}
	status.Encryption = &v1alpha1.StorageEncryptionStatus{Recipients: keys.Recipients(), Readers: keys.Readers()}
	if len(keys.Recipients()) == 0 && !object.Spec.ReadOnly {
		return flow.NoRecipients(object.Name)
	}
	return nil
}

// self is this cluster, as an owner from now on.
func (l *Locations) self(ctx context.Context) (ownership.Owner, error) {
	var system corev1.Namespace
	if err := l.Client.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, &system); err != nil {
		return ownership.Owner{}, fmt.Errorf("find this cluster's identity: %w", err)
	}
	return ownership.Owner{Cluster: string(system.UID), Name: l.ClusterName, Since: time.Now().UTC().Truncate(time.Second)}, nil
}

func ownerStatus(o, me ownership.Owner) *v1alpha1.StorageLocationOwner {
	return &v1alpha1.StorageLocationOwner{Cluster: o.Cluster, Name: o.Name, Since: metav1.NewTime(o.Since), Self: o.Cluster == me.Cluster}
}

// takeOver carries out an order to do so, and then removes it: one that stayed would be carried out again if that other
// cluster took the container back.
func (r *locationReconciler) takeOver(ctx context.Context, object *v1alpha1.BackupStorageLocation, c coffer.Container, me ownership.Owner) error {
	from := object.Annotations[v1alpha1.AnnotationTakeOver]
	if from == "" {
		return nil
	}
	if err := flow.TakeOver(ctx, c, from, me); err != nil {
		return err
	}
	r.log.Info("storage location taken over", "name", object.Name, "from", from)
	before := object.DeepCopy()
	delete(object.Annotations, v1alpha1.AnnotationTakeOver)
	if err := r.Client.Patch(ctx, object, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("remove the order to take over: %w", err)
	}
	return nil
}

// compareClocks records how far the store's clock is off.
func (r *locationReconciler) compareClocks(c coffer.Container, status *v1alpha1.BackupStorageLocationStatus) {
	clock, ok := c.(coffer.Clocked)
	if !ok {
		return
	}
	skew := clock.ClockSkew().Round(time.Second)
	if skew.Abs() < skewThatMatters {
		return
	}
	status.ClockSkew = &metav1.Duration{Duration: skew}
	if status.Message == "" {
		status.Message = fmt.Sprintf("the store's clock and the extension's differ by %s; correct whichever is wrong, on the nodes with NTP", skew.Abs())
	}
}
