package flow

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/hook"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/selection"
	"github.com/coffer-backup/coffer/internal/format/archive"
	"github.com/coffer-backup/coffer/internal/format/encryption"
	"github.com/coffer-backup/coffer/internal/format/recoverypoint"
)

// The steps of a Restore, as its status names them, beside those it shares with a Backup.
const (
	StepRestoringObjects  = "RestoringObjects"
	StepWaitingForVolumes = "WaitingForVolumes"
	StepRunningHooks      = "RunningHooks"
)

// restore is one Restore under way.
type restore struct {
	Config
	*record
	object   *v1alpha1.Restore
	layout   recoverypoint.Layout
	location Location

	// keys are those of the location, if the recovery point is encrypted, and random then reads parts of its archive.
	keys   encryption.Keys
	random *encryption.Random

	// What follows is read from the recovery point by prepare.
	manifest coffer.Manifest
	index    archive.Index
	items    []plan.Item
	plan     plan.Plan
	request  plan.Request
	changes  changes
	// streamed says that the archive is one of Velero's, whose index does not say where an object stands.
	streamed bool
}

// Restore takes a Restore to its end, or to the first error that may pass by itself: then it is to be called again.
// persist writes the object's status durably; it is never called concurrently.
//
// What a failed restore has created is left in place, and said: it may be all that there is of somebody's data.
func Restore(ctx context.Context, c Config, object *v1alpha1.Restore, persist func(context.Context) error) error {
	r := newRestore(c, object, persist)
	defer r.close()
	return r.advance(ctx, r.phases(), rollback{StepRollingBack, r.releaseSnapshots}, cancellation{
		asked:    object.Spec.Cancel,
		possible: func(context.Context) (bool, error) { return true, nil },
		message:  "cancelled as asked; what was created until then is left in place",
	})
}

func (r *restore) phases() []phase {
	return []phase{
		{StepValidating, r.validate},
		{StepRestoringObjects, r.apply},
		{StepWaitingForVolumes, r.awaitVolumes},
		{StepRunningHooks, r.runHooks},
		{StepCleaningUp, r.cleanUp},
	}
}

// RestoreSteps are the steps that a Restore can be in.
func RestoreSteps() []string { return stepsOf((&restore{}).phases()) }

// CancelRestore removes the API objects that a Restore needed for itself. It is called when the object is being
// deleted before it came to its end.
func CancelRestore(ctx context.Context, c Config, object *v1alpha1.Restore, persist func(context.Context) error) error {
	r := newRestore(c, object, persist)
	defer r.close()
	err := r.releaseSnapshots(ctx)
	if coffer.Final(err) {
		return nil
	}
	return err
}

func newRestore(c Config, object *v1alpha1.Restore, persist func(context.Context) error) *restore {
	c = c.withDefaults()
	return &restore{
		Config: c,
		record: &record{now: c.Now, log: c.Log, failpoint: c.Failpoint, persist: persist, status: &object.Status.RunStatus},
		object: object,
		layout: recoverypoint.LayoutOf(object.Spec.BackupName),
	}
}

// run identifies the run in the names of everything it makes for itself.
func (r *restore) run() string { return string(r.object.UID) }

func (r *restore) close() {
	if r.location.Close != nil {
		r.location.Close()
	}
}

// validate reads and verifies what is to be restored, makes the plan, and refuses what cannot succeed: nothing has
// been written by then.
func (r *restore) validate(ctx context.Context) error {
	if r.object.Spec.ConflictPolicy != "" && r.object.Spec.ConflictPolicy != v1alpha1.ConflictSkip {
		return coffer.Errorf(coffer.CodeInvalid, "conflictPolicy %q is not known", r.object.Spec.ConflictPolicy).WithHint("use Skip")
	}
	if _, err := r.hooks(ctx); err != nil {
		return err
	}
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if len(r.plan.Namespaces) == 0 && !slices.ContainsFunc(r.plan.Steps, func(s plan.Step) bool { return s.Action != plan.Skip }) {
		return coffer.Errorf(coffer.CodeNothingToDo, "nothing of recovery point %s is selected by this restore", r.object.Spec.BackupName).
			WithHint("it has the namespaces %v", r.namespaces())
	}
	return r.checkAccess(ctx)
}

// checkAccess refuses a restore that the extension is not allowed to carry out, before it has begun.
func (r *restore) checkAccess(ctx context.Context) error {
	wanted := map[string][]coffer.GroupResource{}
	for _, s := range r.plan.Steps {
		if s.Action != plan.Skip && s.Target.Namespace != "" && !slices.Contains(wanted[s.Target.Namespace], s.Target.GroupResource) {
			wanted[s.Target.Namespace] = append(wanted[s.Target.Namespace], s.Target.GroupResource)
		}
	}
	for namespace, types := range wanted {
		forbidden, err := r.Cluster.Forbidden(ctx, namespace, types)
		if err != nil {
			return err
		}
		if len(forbidden) > 0 {
			return coffer.Errorf(coffer.CodeForbidden, "the Backup extension is not allowed to create %s in namespace %s", typesText(forbidden), namespace).
				WithHint("install it with a stronger profile, see `permissions` in the chart's values.yaml, or restore into a namespace that it was given")
		}
	}
	return nil
}

// typesText names the first few of many types.
func typesText(types []coffer.GroupResource) string {
	const shown = 5
	var names []string
	for _, t := range types[:min(shown, len(types))] {
		names = append(names, t.String())
	}
	if more := len(types) - shown; more > 0 {
		names = append(names, fmt.Sprintf("%d more types", more))
	}
	return strings.Join(names, ", ")
}

func restoreRequest(spec v1alpha1.RestoreSpec) plan.Request {
	rules := selection.Rules{Included: spec.IncludedNamespaces, Excluded: spec.ExcludedNamespaces}
	rules.ClusterScope = clusterScope(spec.IncludeClusterScopeResources, rules.Whole() && len(spec.NamespaceMappings) == 0)
	mappings := make(map[string]string, len(spec.NamespaceMappings))
	for from, to := range spec.NamespaceMappings {
		mappings[from] = string(to)
	}
	return plan.Request{
		Rules: rules, Mappings: mappings,
		VolumeData: spec.PersistentVolumeRestoreMode != v1alpha1.RestoreWithoutVolumeData,
	}
}

func (r *restore) hooks(ctx context.Context) ([]v1alpha1.RestoreHook, error) {
	var hooks []v1alpha1.RestoreHook
	for _, ref := range r.object.Spec.RestoreHookReferences {
		h, err := r.Settings.RestoreHook(ctx, ref)
		if err != nil {
			return nil, err
		}
		if err := hook.CheckRestore(h); err != nil {
			return nil, err
		}
		hooks = append(hooks, h)
	}
	return hooks, nil
}

// cleanUp removes the snapshot objects whose claims have their data.
func (r *restore) cleanUp(ctx context.Context) error {
	return r.releaseSnapshots(ctx)
}
