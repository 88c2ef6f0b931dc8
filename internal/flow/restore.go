package flow

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/capability"
	"github.com/coffer-backup/coffer/internal/decide/hook"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// The steps of a Restore, as its status names them, beside those it shares with a Backup.
const (
	StepPlanning          = "Planning"
	StepRestoringObjects  = "RestoringObjects"
	StepWaitingForVolumes = "WaitingForVolumes"
	StepRunningHooks      = "RunningHooks"
	StepAwaitingReadiness = "AwaitingReadiness"
)

// restore is one Restore under way.
type restore struct {
	Config
	*record
	point
	object *v1alpha1.Restore

	// What follows is read from the cluster and the recovery point by read, and so is the point's index.
	request plan.Request
	served  plan.Types
	items   []plan.Item
	// draft is the plan for a cluster that holds nothing, and unmatched what of the request matches nothing.
	draft     plan.Plan
	unmatched []selection.Warning
	drafted   bool
	// digest of what was read.
	digest string
	// plan is the one that is carried out, once it is planned, and records are where it is stored, if it is.
	plan    plan.Plan
	planned bool
	records *records
	// results are what became of the objects of the plan, once it is being carried out.
	results *results
	changes changes
	// streamed says that the archive is one of Velero's, whose index does not say where an object stands.
	streamed bool
	// isolated is how a restore test differs; nil for a restore.
	isolated *isolation
}

// Restore takes a Restore to its end, or to the first error that may pass by itself: then it is to be called again.
// persist writes the object's status durably; it is never called concurrently.
//
// What a failed restore has created is left in place, and said: it may be all that there is of somebody's data.
func Restore(ctx context.Context, c Config, object *v1alpha1.Restore, persist func(context.Context) error) error {
	r := newRestore(c, object, persist)
	defer r.close()
	return r.advance(ctx, r.phases(), rollback{StepRollingBack, r.undo}, cancellation{
		asked:    object.Spec.Cancel,
		possible: func(context.Context) (bool, error) { return true, nil },
		message:  "cancelled as asked; what was created until then is left in place",
	})
}

func (r *restore) phases() []phase {
	planning := []phase{
		{StepValidating, r.validate},
		{StepPlanning, r.makePlan},
	}
	if r.object.Spec.PlanOnly {
		return planning
	}
	return append(planning, []phase{
		{StepRestoringObjects, r.apply},
		{StepWaitingForVolumes, r.awaitVolumes},
		{StepRunningHooks, r.runHooks},
		{StepCleaningUp, r.cleanUp},
		{StepAwaitingReadiness, r.awaitReady},
	}...)
}

// RestoreSteps are the steps that a Restore can be in.
func RestoreSteps() []string { return stepsOf((&restore{object: &v1alpha1.Restore{}}).phases()) }

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
		point:  newPoint(object.Spec.BackupName, c.Namespace, ", and nothing was restored"),
		object: object,
	}
}

// run identifies the run in the names of everything it makes for itself.
func (r *restore) run() string { return string(r.object.UID) }

func (r *restore) close() {
	r.point.close()
	if r.records != nil {
		r.records.close()
	}
}

// validate reads and verifies what is to be restored, and refuses what cannot succeed: nothing has been written by then.
func (r *restore) validate(ctx context.Context) error {
	for _, l := range r.looks() {
		if err := l.do(ctx); err != nil {
			return err
		}
	}
	r.update(func() { r.object.Status.ManifestDigest = r.digest })
	r.drafted = true
	return nil
}

// looks are what a restore has to find in order before it begins.
func (r *restore) looks() []look {
	looks := []look{
		{name: capability.Request, do: func(context.Context) error { return CheckRestore(r.object.Spec) }},
	}
	for _, ref := range r.object.Spec.RestoreHookReferences {
		looks = append(looks, look{name: capability.Hook, resource: "RestoreHook " + ref.Namespace + "/" + ref.Name, do: func(ctx context.Context) error {
			_, err := r.hook(ctx, ref)
			return err
		}})
	}
	drafted := []string{capability.Selection}
	return append(append(looks, r.readings()...),
		look{name: capability.Objects, needs: drafted, do: r.checkSelected},
		look{name: capability.Permissions, needs: drafted, do: r.checkAccess})
}

// checkSelected refuses a restore that would do nothing.
func (r *restore) checkSelected(context.Context) error {
	if slices.ContainsFunc(r.draft.Steps, plan.Step.Writes) {
		return nil
	}
	return coffer.Errorf(coffer.CodeNothingToDo, "nothing of recovery point %s is selected by this restore", r.object.Spec.BackupName).
		WithHint("it has the namespaces %v", r.namespaces())
}

// checkAccess refuses a restore that the extension is not allowed to carry out, before it has begun.
func (r *restore) checkAccess(ctx context.Context) error {
	wanted := map[string][]coffer.GroupResource{}
	for _, s := range r.draft.Steps {
		if s.Writes() && s.Target.Namespace != "" && !slices.Contains(wanted[s.Target.Namespace], s.Target.GroupResource) {
			wanted[s.Target.Namespace] = append(wanted[s.Target.Namespace], s.Target.GroupResource)
		}
	}
	for namespace, types := range wanted {
		forbidden, err := r.Cluster.Forbidden(ctx, "create", namespace, types)
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

// CheckRestore refuses what can be seen to be wrong with a request without asking a cluster or a container.
func CheckRestore(spec v1alpha1.RestoreSpec) error {
	return restoreRequest(spec).Check()
}

func restoreRequest(spec v1alpha1.RestoreSpec) plan.Request {
	r := plan.Request{
		Config: selection.Config{
			Rules:         selection.Rules{Included: spec.IncludedNamespaces, Excluded: spec.ExcludedNamespaces},
			IncludedTypes: spec.IncludedResourceTypes, ExcludedTypes: spec.ExcludedResourceTypes,
			LabelSelectors: spec.LabelSelectors, OrLabelSelectors: spec.OrLabelSelectors,
			Point: spec.BackupName,
		},
		Mappings:       make(map[string]string, len(spec.NamespaceMappings)),
		VolumeData:     spec.PersistentVolumeRestoreMode != v1alpha1.RestoreWithoutVolumeData,
		Policy:         plan.Policy(spec.ConflictPolicy),
		ConfirmReplace: spec.ConfirmReplace,
		RolloutHistory: spec.RestoreRolloutHistory,
		Priorities:     spec.Priorities,
	}
	for _, o := range spec.IncludedObjects {
		r.Objects = append(r.Objects, selection.ObjectName{Type: o.Type, Namespace: o.Namespace, Name: o.Name})
	}
	for _, p := range spec.ConflictPolicies {
		r.Policies = append(r.Policies, plan.TypePolicy{Type: p.Type, Policy: plan.Policy(p.Policy)})
	}
	for from, to := range spec.NamespaceMappings {
		r.Mappings[from] = string(to)
	}
	whole := r.Whole() && len(r.Mappings) == 0 && len(r.Objects) == 0
	r.ClusterScope = clusterScope(spec.IncludeClusterScopeResources, whole)
	return r
}

func (r *restore) hooks(ctx context.Context) ([]v1alpha1.RestoreHook, error) {
	var hooks []v1alpha1.RestoreHook
	for _, ref := range r.object.Spec.RestoreHookReferences {
		h, err := r.hook(ctx, ref)
		if err != nil {
			return nil, err
		}
		hooks = append(hooks, h)
	}
	return hooks, nil
}

func (r *restore) hook(ctx context.Context, ref v1alpha1.NamespacedReference) (v1alpha1.RestoreHook, error) {
	h, err := r.Settings.RestoreHook(ctx, ref)
	if err != nil {
		return h, err
	}
	return h, hook.CheckRestore(h)
}

// undo removes what the run has made for itself, and reports what it has done until then.
func (r *restore) undo(ctx context.Context) error {
	if err := r.releaseSnapshots(ctx); err != nil {
		return err
	}
	return r.reportEnd(ctx)
}

// cleanUp removes the snapshot objects whose claims have their data.
func (r *restore) cleanUp(ctx context.Context) error {
	return r.releaseSnapshots(ctx)
}
