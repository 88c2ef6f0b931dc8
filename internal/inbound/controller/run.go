// Package controller reconciles Coffer's custom resources: it fetches the object, hands it to the flow, and keeps its
// status.
package controller

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/flow"
)

// finalizer keeps a run object until what the run made is accounted for.
const finalizer = v1alpha1.Group + "/run"

// Options are what all reconcilers of one extension have in common.
type Options struct {
	// Client reads from the API server, not from a cache: a run must not act on what it was a moment ago.
	Client  client.Client
	Metrics *Metrics
	// Events tells the cluster what happens.
	Events events.EventRecorder
	// Flow carries the runs out.
	Flow flow.Config
	Log  *slog.Logger
	// Failpoints has runs obey FailpointsAnnotation.
	Failpoints bool
	// Parallel is how many runs of one kind are carried out at the same time. Zero means 4.
	Parallel int
}

// SetUp registers all reconcilers with a manager.
func SetUp(m ctrl.Manager, o Options, locations *Locations) error {
	if o.Parallel == 0 {
		o.Parallel = 4
	}
	for _, set := range []func() error{
		func() error { return setUpBackup(m, o) },
		func() error { return setUpRestore(m, o) },
		func() error { return setUpRestoreTest(m, o) },
		func() error { return setUpDeleteBackup(m, o) },
		func() error { return setUpValidateForBackup(m, o) },
		func() error { return setUpValidateForRestore(m, o) },
		func() error { return locations.setUp(m, o) },
	} {
		if err := set(); err != nil {
			return err
		}
	}
	return nil
}

// kind is what the reconcilers of the kinds of runs differ in.
type kind[T client.Object] struct {
	// name as the API has it, such as Backup.
	name  string
	empty func() T
	// status is the object's run status.
	status func(T) *v1alpha1.RunStatus
	// advance takes the run to its end.
	advance func(ctx context.Context, c flow.Config, object T, persist func(context.Context) error) error
	// measure counts what an ended run has done; nil for nothing.
	measure func(T)
	// cancel undoes a run whose object is being deleted.
	cancel func(ctx context.Context, c flow.Config, object T, persist func(context.Context) error) error
	// holds says that an ended run has something in the cluster that cancel removes before the object goes; nil for never.
	holds func(T) bool
	// cancelAsked says that the object's spec asks for the end of the run.
	cancelAsked func(T) bool
	// kept is how long an ended run stays before it is deleted; zero is until somebody deletes it.
	kept time.Duration
}

// runReconciler reconciles one kind of run.
type runReconciler[T client.Object] struct {
	Options
	kind kind[T]
}

// retryMost bounds the back-off of a run that fails again and again: an operator who has mended the cause does not
// want to wait for long.
const retryMost = 30 * time.Second

func setUpRun[T client.Object](m ctrl.Manager, o Options, k kind[T]) error {
	r := &runReconciler[T]{Options: o, kind: k}
	err := ctrl.NewControllerManagedBy(m).For(k.empty()).Named(strings.ToLower(k.name)).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: o.Parallel,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](time.Second, retryMost),
		}).Complete(r)
	if err != nil {
		return fmt.Errorf("set up the controller of %s: %w", k.name, err)
	}
	return nil
}

// Reconcile implements reconcile.Reconciler.
func (r *runReconciler[T]) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	object := r.kind.empty()
	if err := r.Client.Get(ctx, request.NamespacedName, object); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	status := r.kind.status(object)
	persist := func(ctx context.Context) error { return r.persist(ctx, object) }
	switch {
	case !object.GetDeletionTimestamp().IsZero():
		return ctrl.Result{}, r.finalize(ctx, object, persist)
	case status.Phase.Final():
		if err := r.release(ctx, object); err != nil {
			return ctrl.Result{}, err
		}
		return r.expire(ctx, object)
	}
	if err := r.changeFinalizer(ctx, object, controllerutil.AddFinalizer); err != nil {
		return ctrl.Result{}, err
	}
	config, kept := r.withLog(ctx, object)
	defer kept.keep(ctx)()
	persist = func(ctx context.Context) error {
		if status.Phase.Final() {
			// Whoever waits for the end of the run reads the log then.
			kept.end(ctx, *status)
		}
		return r.persist(ctx, object)
	}
	config.Log.Info("run goes on", "step", r.kind.status(object).Step)
	if status.Phase == "" {
		r.Events.Eventf(object, nil, corev1.EventTypeNormal, "Started", "Run", "the extension has picked the run up")
	}
	r.Metrics.runsUnderway.WithLabelValues(r.kind.name).Inc()
	defer r.Metrics.runsUnderway.WithLabelValues(r.kind.name).Dec()
	runCtx, stop := r.untilStopped(ctx, object)
	err := r.kind.advance(runCtx, config, object, persist)
	stopped := stop()
	switch {
	case err != nil && stopped:
		// Whatever it was that stopped the run: the object says so now.
		return ctrl.Result{RequeueAfter: time.Millisecond}, nil
	case err != nil && ctx.Err() == nil:
		r.Metrics.runsInterrupted.WithLabelValues(r.kind.name).Inc()
		r.Events.Eventf(object, nil, corev1.EventTypeWarning, "TryingAgain", "Run", "%s", short(err.Error()))
		return ctrl.Result{}, err
	case err != nil:
		return ctrl.Result{}, err
	}
	r.tellEnd(object)
	if err := r.release(ctx, object); err != nil {
		return ctrl.Result{}, err
	}
	return r.expire(ctx, object)
}

// expire deletes an ended run whose time is over, or comes back when it is.
func (r *runReconciler[T]) expire(ctx context.Context, object T) (ctrl.Result, error) {
	ended := r.kind.status(object).CompletionTime
	if r.kind.kept == 0 || ended == nil {
		return ctrl.Result{}, nil
	}
	if left := time.Until(ended.Add(r.kind.kept)); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	uid := object.GetUID()
	err := r.Client.Delete(ctx, object, &client.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return ctrl.Result{}, fmt.Errorf("delete %s %s, which has ended: %w", r.kind.name, object.GetName(), err)
	}
	return ctrl.Result{}, nil
}

// release lets the object of an ended run go whenever somebody deletes it, unless there is something to be removed then.
func (r *runReconciler[T]) release(ctx context.Context, object T) error {
	if r.holding(object) {
		return nil
	}
	return r.dropFinalizer(ctx, object)
}

func (r *runReconciler[T]) holding(object T) bool { return r.kind.holds != nil && r.kind.holds(object) }

// withLog is the flow's configuration with a log of its own for the run.
func (r *runReconciler[T]) withLog(ctx context.Context, object T) (config flow.Config, kept *runLog) {
	config = r.Flow
	log := r.Log.With("kind", r.kind.name, "namespace", object.GetNamespace(), "name", object.GetName())
	kept = newRunLog(r.Client, object, r.kind.name, log)
	if err := kept.open(ctx); err != nil {
		log.Warn("the run's earlier log is not kept", "error", err)
	}
	config.Log = kept.log
	config.Transcript = kept.transcript
	if r.Failpoints {
		config.Failpoint = func(ctx context.Context, point string) { r.failAt(ctx, object, point) }
	}
	return config, kept
}

// tellEnd tells everybody how a run has ended.
func (r *runReconciler[T]) tellEnd(object T) {
	status := r.kind.status(object)
	kind, note := corev1.EventTypeNormal, status.Message
	if status.Phase != v1alpha1.RunCompleted {
		kind = corev1.EventTypeWarning
	}
	if note == "" {
		note = fmt.Sprintf("%d warnings", status.WarningCount)
	}
	r.Events.Eventf(object, nil, kind, string(status.Phase), "Run", "%s", short(note))
	r.Metrics.runEnded(r.kind.name, *status)
	if r.kind.measure != nil {
		r.kind.measure(object)
	}
}

// short cuts a text to what an Event holds.
func short(text string) string {
	const most = 1000
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// stopInterval is how often a run under way looks whether its object is being deleted, or asks for the end of the run.
const stopInterval = 2 * time.Second

// untilStopped is a context that ends when the object is being deleted, or has begun to ask for the end of the run.
// stop ends the watch and says whether it was one of them.
func (r *runReconciler[T]) untilStopped(ctx context.Context, object T) (watched context.Context, stop func() bool) {
	watched, cancel := context.WithCancel(ctx)
	key := client.ObjectKeyFromObject(object)
	before := r.kind.cancelAsked(object)
	var stopped atomic.Bool
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(stopInterval)
		defer tick.Stop()
		for {
			select {
			case <-watched.Done():
				return
			case <-tick.C:
			}
			now := r.kind.empty()
			if err := r.Client.Get(watched, key, now); err != nil {
				continue
			}
			if !now.GetDeletionTimestamp().IsZero() || r.kind.cancelAsked(now) != before {
				stopped.Store(true)
				cancel()
			}
		}
	})
	return watched, func() bool {
		cancel()
		watch.Wait()
		return stopped.Load()
	}
}

// persistRetries bounds the attempts to save a status while others change the object's labels or delete it.
const persistRetries = 10

// persist writes the status of the object. Nobody else writes the status, so a conflict over something else of the
// object is answered by writing it again.
func (r *runReconciler[T]) persist(ctx context.Context, object T) error {
	// Update replaces the object with what was stored; a copy keeps what other goroutines are reading in place.
	stored := object.DeepCopyObject().(T)
	for attempt := 1; ; attempt++ {
		err := r.Client.Status().Update(ctx, stored)
		if err == nil {
			object.SetResourceVersion(stored.GetResourceVersion())
			object.SetDeletionTimestamp(stored.GetDeletionTimestamp())
			return nil
		}
		if !apierrors.IsConflict(err) || attempt == persistRetries {
			return fmt.Errorf("save status: %w", err)
		}
		now := r.kind.empty()
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(object), now); err != nil {
			return fmt.Errorf("save status: %w", err)
		}
		stored = object.DeepCopyObject().(T)
		stored.SetResourceVersion(now.GetResourceVersion())
	}
}

func (r *runReconciler[T]) finalize(ctx context.Context, object T, persist func(context.Context) error) error {
	if !controllerutil.ContainsFinalizer(object, finalizer) {
		return nil
	}
	if status := r.kind.status(object); (!status.Phase.Final() || r.holding(object)) && status.Phase != "" && r.kind.cancel != nil {
		config := r.Flow
		config.Log = r.Log.With("kind", r.kind.name, "namespace", object.GetNamespace(), "name", object.GetName())
		if err := r.kind.cancel(ctx, config, object, persist); err != nil {
			return fmt.Errorf("undo %s %s: %w", r.kind.name, object.GetName(), err)
		}
	}
	return r.dropFinalizer(ctx, object)
}

func (r *runReconciler[T]) dropFinalizer(ctx context.Context, object T) error {
	return r.changeFinalizer(ctx, object, controllerutil.RemoveFinalizer)
}

// changeFinalizer changes the finalizers and nothing else: the spec may have been changed since it was read.
func (r *runReconciler[T]) changeFinalizer(ctx context.Context, object T, change func(client.Object, string) bool) error {
	before := object.DeepCopyObject().(T)
	if !change(object, finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	// The answer replaces what it is read into: the object itself keeps the status that the run goes on from.
	answer := object.DeepCopyObject().(T)
	if err := r.Client.Patch(ctx, answer, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("change finalizers: %w", err)
	}
	object.SetResourceVersion(answer.GetResourceVersion())
	return nil
}
