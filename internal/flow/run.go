package flow

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/format/encryption"
)

// Settings reads the objects that configure runs. A missing one is an Error with the code for its kind.
type Settings interface {
	// Location opens the blob container of the BackupStorageLocation of this name.
	Location(ctx context.Context, name string) (Location, error)
	// WritableLocations are the names of the BackupStorageLocations that the cluster may write to, the one called default
	// first, the others sorted.
	WritableLocations(ctx context.Context) ([]string, error)
	// BackupHook reads a BackupHook.
	BackupHook(ctx context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.BackupHook, error)
	// RestoreHook reads a RestoreHook.
	RestoreHook(ctx context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.RestoreHook, error)
	// ResourceModifiers reads the data of a ConfigMap with resource modifiers. A missing one is an Error with
	// CodeModifierNotFound.
	ResourceModifiers(ctx context.Context, ref v1alpha1.NamespacedReference) (map[string]string, error)
	// Restore reads a Restore. A missing one is an Error with CodeRestoreNotFound.
	Restore(ctx context.Context, name string) (v1alpha1.Restore, error)
	// SigningKey is the key that this extension signs manifests with. It is made if there is none.
	SigningKey(ctx context.Context) (ed25519.PrivateKey, error)
}

// Location is an opened storage location.
type Location struct {
	Name      string
	ReadOnly  bool
	Container coffer.Container
	// TrustedSigners are the public keys, as recoverypoint.SignerText has them, whose recovery points are believed: the
	// extension's own, and those that the location lists.
	TrustedSigners []string
	// Velero says that the container is one that Velero writes to, and TrustUnsigned that what Velero has written may be
	// restored although nothing vouches for it.
	Velero, TrustUnsigned bool
	// KeysFunc reads the keys of the location, and says what is wrong with them. Nil means that what is written there is not
	// encrypted.
	KeysFunc func(ctx context.Context) (encryption.Keys, error)
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
	// WorkloadTimeout is how long restored workloads may take to become ready, where the Restore does not say. Zero means
	// 5 minutes.
	WorkloadTimeout time.Duration
	// TerminationTimeout is how long an object of the same name, or a namespace, may take to go away before one that is restored.
	// A user who deletes a namespace to restore it does not wait for the deletion first. Zero means 3 minutes.
	TerminationTimeout time.Duration
	// RemovalTimeout is how long it may take until nothing is left of a restore test. Zero means 10 minutes.
	RemovalTimeout time.Duration
	// RetryPause is the pause before the first repetition of a request that failed; each further one is twice as
	// long. Zero means 1 second.
	RetryPause time.Duration
	// Freezing is what runs that may freeze the same pods have in common. Nil is of runs that never do so at the same time.
	Freezing *Freezing
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Log is told what the run does. Nil means nobody is.
	Log *slog.Logger
	// Transcript is what Log has been told so far, as text in gzip members, to be kept with the recovery point. Nil
	// means nothing is kept.
	Transcript func() []byte
	// Failpoint is called with "before STEP" and "after STEP", in the moments when a crash is most interesting. Nil
	// means nothing happens.
	Failpoint func(ctx context.Context, point string)
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
	orDefault(&c.WorkloadTimeout, 5*time.Minute)
	orDefault(&c.TerminationTimeout, 3*time.Minute)
	orDefault(&c.RemovalTimeout, 10*time.Minute)
	orDefault(&c.RetryPause, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Failpoint == nil {
		c.Failpoint = func(context.Context, string) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// phase is one step of a run.
type phase struct {
	step string
	do   func(context.Context) error
}

func stepsOf(phases []phase) []string {
	var steps []string
	for _, p := range phases {
		steps = append(steps, p.step)
	}
	return append(steps, StepRollingBack)
}

// rollback is a phase that runs once an error has ended the run. Its own errors, if final, are warnings: there is
// nothing further to fall back to.
type rollback phase

// record is a run's status and how it is kept. Phases that work concurrently change it through update.
type record struct {
	now       func() time.Time
	log       *slog.Logger
	failpoint func(ctx context.Context, point string)
	// persist writes the object's status durably.
	persist func(context.Context) error
	// warned, if set, is told of each warning, under the lock.
	warned func(v1alpha1.Warning)

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

// maxMessage bounds the message of a status, in bytes: an error may list what a recovery point has, and of the same message in a
// condition the API server takes 32 KiB.
const maxMessage = 8 << 10

// The texts of a warning are bounded, in bytes: names in them may be as long as somebody hostile likes, and a status that does
// not fit into an object ends no run.
const (
	maxWarningResource = 300
	maxWarningMessage  = 2000
)

// warn records a warning.
func (r *record) warn(code coffer.Code, resource, message string) {
	resource, message = shortened(resource, maxWarningResource), shortened(message, maxWarningMessage)
	r.log.Warn("something did not go as asked", "code", code, "resource", resource, "warning", message)
	r.update(func() {
		w := v1alpha1.Warning{Code: string(code), Resource: resource, Message: message}
		r.status.Warn(w)
		if r.warned != nil {
			r.warned(w)
		}
	})
}

// retract takes back the warnings of some kinds: what they say is found out anew.
func (r *record) retract(codes ...coffer.Code) {
	r.update(func() {
		kept := slices.DeleteFunc(slices.Clone(r.status.Warnings), func(w v1alpha1.Warning) bool {
			return slices.Contains(codes, coffer.Code(w.Code))
		})
		r.status.WarningCount -= len(r.status.Warnings) - len(kept)
		r.status.Warnings = kept
	})
}

// shortened bounds a text that somebody else has written.
func shortened(text string, most int) string {
	if len(text) <= most {
		return strings.ToValidUTF8(text, "?")
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// cancellation is a request to end a run. It holds as long as possible answers true.
type cancellation struct {
	asked    bool
	possible func(context.Context) (bool, error)
	message  string
}

// advance takes a run through its phases, from the one it is in to the last or to the first error that is not final.
func (r *record) advance(ctx context.Context, phases []phase, undo rollback, cancel cancellation) error {
	if r.status.Phase.Final() {
		return nil
	}
	if r.status.Phase == "" {
		// Whole seconds, as creation timestamps have: what is made in the same second is made after the start.
		now := metav1.NewTime(r.now().Truncate(time.Second))
		r.update(func() {
			r.status.Phase, r.status.Step, r.status.StartTime = v1alpha1.RunInProgress, phases[0].step, &now
			r.setCondition(metav1.ConditionUnknown)
		})
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	if err := r.cancel(ctx, undo.step, cancel); err != nil {
		return err
	}
	for i := range phases {
		if r.status.Step == undo.step {
			break
		}
		if r.status.Step != phases[i].step {
			continue
		}
		r.log.Info("step begins", "step", phases[i].step)
		began := r.now()
		r.failpoint(ctx, "before "+phases[i].step)
		err := phases[i].do(ctx)
		r.failpoint(ctx, "after "+phases[i].step)
		r.logEnd(phases[i].step, r.now().Sub(began), err)
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

func (r *record) logEnd(step string, took time.Duration, err error) {
	switch {
	case err == nil:
		r.log.Info("step ended", "step", step, "took", took)
	case coffer.Final(err):
		r.log.Error("step failed", "step", step, "took", took, "code", coffer.CodeOf(err), "error", err)
	default:
		r.log.Warn("step interrupted", "step", step, "took", took, "error", err)
	}
}

// setCondition follows the phase. The record's lock is held.
func (r *record) setCondition(status metav1.ConditionStatus) {
	reason := r.status.Reason
	if reason == "" {
		reason = string(r.status.Phase)
	}
	meta.SetStatusCondition(&r.status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionSucceeded, Status: status, Reason: reason, Message: r.status.Message,
		LastTransitionTime: metav1.NewTime(r.now()),
	})
}

// cancel sends a run that is asked to end into its rollback, unless it is there already or past it.
func (r *record) cancel(ctx context.Context, undo string, c cancellation) error {
	if !c.asked || r.status.Step == undo {
		return nil
	}
	possible, err := c.possible(ctx)
	if err != nil || !possible {
		return err
	}
	r.update(func() {
		r.status.Step, r.status.Reason, r.status.Message = undo, string(coffer.CodeCancelled), c.message
	})
	return r.save(ctx)
}

// leave ends a phase: on to the next, or to the rollback, or out with an error to try again.
func (r *record) leave(ctx context.Context, err error, next, undo string) error {
	switch {
	case coffer.Final(err):
		r.update(func() {
			r.status.Step, r.status.Reason, r.status.Message = undo, string(coffer.CodeOf(err)), shortened(err.Error(), maxMessage)
		})
	case err != nil:
		r.update(func() { r.status.Message = "trying again: " + shortened(err.Error(), maxMessage) })
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
	r.log.Info("step begins", "step", undo.step)
	began := r.now()
	r.failpoint(ctx, "before "+undo.step)
	err := undo.do(ctx)
	r.failpoint(ctx, "after "+undo.step)
	r.logEnd(undo.step, r.now().Sub(began), err)
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
		r.setCondition(metav1.ConditionFalse)
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
		r.setCondition(metav1.ConditionTrue)
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
			// What came to be in the last pause counts.
			return done(ctx)
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
