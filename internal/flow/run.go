package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Settings reads the objects that configure runs. A missing one is an Error with the code for its kind.
type Settings interface {
	// Location opens the blob container of the BackupStorageLocation of this name.
	Location(ctx context.Context, name string) (Location, error)
	// BackupHook reads a BackupHook.
	BackupHook(ctx context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.BackupHook, error)
	// RestoreHook reads a RestoreHook.
	RestoreHook(ctx context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.RestoreHook, error)
}

// Location is an opened storage location.
type Location struct {
	Name      string
	ReadOnly  bool
	Container coffer.Container
	// Close releases the container.
	Close func()
}

// Config is what all runs of one extension have in common.
type Config struct {
	Cluster   coffer.Cluster
	Snapshots coffer.Snapshots
	Settings  Settings
	// Namespace is the extension's own.
	Namespace string
	// ClusterName is what people call the cluster, recorded in the containers that it writes to; may be empty.
	ClusterName string
	// Version of the program, written into manifests.
	Version string
	// CutTimeout is how long a pod stays frozen at most, waiting for its snapshots to be cut. Zero means 2 minutes.
	CutTimeout time.Duration
	// ReadyTimeout is how long a cut snapshot may take to become usable. Zero means 30 minutes.
	ReadyTimeout time.Duration
	// BindTimeout is how long a restored claim may take to be bound. Zero means 10 minutes.
	BindTimeout time.Duration
	// RetryPause is the pause before the first repetition of a request that failed; each further one is twice as
	// long. Zero means 1 second.
	RetryPause time.Duration
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	orDefault := func(d *time.Duration, value time.Duration) {
		if *d <= 0 {
			*d = value
		}
	}
	orDefault(&c.CutTimeout, 2*time.Minute)
	orDefault(&c.ReadyTimeout, 30*time.Minute)
	orDefault(&c.BindTimeout, 10*time.Minute)
	orDefault(&c.RetryPause, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// phase is one step of a run.
type phase struct {
	step string
	do   func(context.Context) error
}

// rollback is a phase that runs once an error has ended the run. Its own errors, if final, are warnings: there is
// nothing further to fall back to.
type rollback phase

// record is a run's status and how it is kept. Phases that work concurrently change it through update.
type record struct {
	now func() time.Time
	// persist writes the object's status durably.
	persist func(context.Context) error

	mu     sync.Mutex // guards status, the rest of the object's status, and persist
	status *v1alpha1.RunStatus
}

// update changes the status. It is durable after the next save.
func (r *record) update(change func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change()
}

// save makes the status durable.
func (r *record) save(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.persist(ctx)
}

// warn records a warning.
func (r *record) warn(code coffer.Code, resource, message string) {
	r.update(func() {
		r.status.Warn(v1alpha1.Warning{Code: string(code), Resource: resource, Message: message})
	})
}

// advance takes a run through its phases, from the one it is in to the last or to the first error that is not final.
func (r *record) advance(ctx context.Context, phases []phase, undo rollback) error {
	if r.status.Phase.Final() {
		return nil
	}
	if r.status.Phase == "" {
		// Whole seconds, as creation timestamps have: what is made in the same second is made after the start.
		now := metav1.NewTime(r.now().Truncate(time.Second))
		r.update(func() {
			r.status.Phase, r.status.Step, r.status.StartTime = v1alpha1.RunInProgress, phases[0].step, &now
		})
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	for i := range phases {
		if r.status.Step == undo.step {
			break
		}
		if r.status.Step != phases[i].step {
			continue
		}
		err := phases[i].do(ctx)
		next := ""
		if i+1 < len(phases) {
			next = phases[i+1].step
		}
		if err := r.leave(ctx, err, next, undo.step); err != nil {
			return err
		}
	}
	if r.status.Step == undo.step {
		return r.rollBack(ctx, undo)
	}
	return r.finish(ctx)
}

// leave ends a phase: on to the next, or to the rollback, or out with an error to try again.
func (r *record) leave(ctx context.Context, err error, next, undo string) error {
	switch {
	case coffer.Final(err):
		r.update(func() {
			r.status.Step, r.status.Reason, r.status.Message = undo, string(coffer.CodeOf(err)), err.Error()
		})
	case err != nil:
		r.update(func() { r.status.Message = "trying again: " + err.Error() })
		return errors.Join(err, r.save(context.WithoutCancel(ctx)))
	case next == "":
		r.update(func() { r.status.Message = "" })
		return nil
	default:
		r.update(func() { r.status.Step, r.status.Message = next, "" })
	}
	return r.save(ctx)
}

func (r *record) rollBack(ctx context.Context, undo rollback) error {
	err := undo.do(ctx)
	if err != nil && !coffer.Final(err) {
		return err
	}
	if err != nil {
		r.warn(coffer.CodeOf(err), "", "cleaning up after the failure: "+err.Error())
	}
	now := metav1.NewTime(r.now())
	r.update(func() {
		r.status.Phase, r.status.CompletionTime = v1alpha1.RunFailed, &now
		if r.status.Reason == string(coffer.CodeCancelled) {
			r.status.Phase = v1alpha1.RunCancelled
		}
	})
	return r.save(ctx)
}

func (r *record) finish(ctx context.Context) error {
	now := metav1.NewTime(r.now())
	r.update(func() {
		r.status.Phase, r.status.Reason, r.status.CompletionTime = v1alpha1.RunCompleted, "Succeeded", &now
		if r.status.WarningCount > 0 {
			r.status.Phase = v1alpha1.RunCompletedWithWarnings
		}
	})
	return r.save(ctx)
}

// poll calls done, first at once and then ever less often, up to once a second, until it answers true, fails, or the
// time is over; it answers whether done did.
func poll(ctx context.Context, limit time.Duration, done func(context.Context) (bool, error)) (bool, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	pause := 50 * time.Millisecond
	for {
		ok, err := done(ctx)
		if ok || err != nil {
			return ok, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-deadline.C:
			return false, nil
		case <-time.After(pause):
		}
		pause = min(pause*3/2, time.Second)
	}
}

// pollUntil is poll for something that has to become true: it is an error, to be tried again, if it did not in time.
func pollUntil(ctx context.Context, limit time.Duration, what string, done func(context.Context) (bool, error)) error {
	ok, err := poll(ctx, limit, done)
	if err == nil && !ok {
		err = fmt.Errorf("%s: not done after %s", what, limit)
	}
	return err
}
