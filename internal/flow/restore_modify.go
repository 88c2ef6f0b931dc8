package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"k8s.io/client-go/kubernetes/scheme"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/modifier"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/quiet"
	"github.com/coffer-backup/coffer/internal/decide/selection"
	"github.com/coffer-backup/coffer/internal/decide/transform"
)

// changes are what a restore was asked to make of its objects.
type changes struct {
	modifiers *modifier.Modifiers
	// classes are the storage classes that give way to others.
	classes map[string]string
	// status are the types whose status is restored.
	status map[coffer.GroupResource]bool

	mu sync.Mutex // guards tally
	// tally counts what became of each rule of the modifiers.
	tally map[string]map[modifier.Effect]int
}

// readModifiers reads the resource modifiers that the restore names. A process that takes over refuses to go on with others than
// those that its predecessor has begun with.
func (r *restore) readModifiers(ctx context.Context) error {
	ref := r.object.Spec.ResourceModifierReference
	if ref == nil {
		return nil
	}
	data, err := r.Settings.ResourceModifiers(ctx, *ref)
	if err != nil {
		return err
	}
	name := ref.Namespace + "/" + ref.Name
	if r.changes.modifiers, err = modifier.Parse(name, data, scheme.Scheme.New); err != nil {
		return err
	}
	digest := r.changes.modifiers.Digest()
	if begun := r.object.Status.ResourceModifierDigest; begun != "" && begun != digest {
		return coffer.Errorf(coffer.CodeInvalid, "ConfigMap %s with the resource modifiers was changed while the restore was under way", name).
			WithHint("create another restore: what this one has created is skipped, or changed as its conflict policy says")
	}
	r.update(func() { r.object.Status.ResourceModifierDigest = digest })
	return nil
}

// resolveChanges reads the other changes of the spec, and tells of what was asked for in vain.
func (r *restore) resolveChanges() error {
	r.warnIdleModifiers()
	r.changes.classes = make(map[string]string, len(r.object.Spec.StorageClassMappings))
	for from, to := range r.object.Spec.StorageClassMappings {
		r.changes.classes[from] = string(to)
	}
	asked := r.object.Spec.RestoreStatus
	if asked == nil {
		return nil
	}
	var types []coffer.ResourceType
	seen := map[coffer.GroupResource]bool{}
	for _, item := range r.items {
		if !seen[item.GroupResource] && item.Kind != "" {
			seen[item.GroupResource] = true
			types = append(types, coffer.ResourceType{GroupResource: item.GroupResource, Kind: item.Kind})
		}
	}
	status, warnings, err := selection.TypeSet("restoreStatus.includedTypes", asked.IncludedTypes, "restoreStatus.excludedTypes", asked.ExcludedTypes, types)
	for _, w := range warnings {
		r.warn(coffer.CodeNothingMatches, w.Subject, w.Message)
	}
	r.changes.status = status
	return err
}

// warnIdleModifiers tells of rules that cannot have been meant as they are written.
func (r *restore) warnIdleModifiers() {
	ref := r.object.Spec.ResourceModifierReference
	if ref == nil {
		return
	}
	refs := make([]coffer.ObjectRef, 0, len(r.draft.Steps))
	for _, s := range r.draft.Steps {
		if s.Action != plan.Skip {
			refs = append(refs, r.items[s.Item].ObjectRef)
		}
	}
	for _, rule := range r.changes.modifiers.Idle(refs) {
		r.warn(coffer.CodeNothingMatches, "ConfigMap "+ref.Namespace+"/"+ref.Name,
			rule+" is about no object of this restore; write types as deployments.apps, and namespaces by their names in the recovery point")
	}
}

// transformation is what the objects of all steps have in common when they are transformed.
func (a *application) transformation(s *plan.Step) transform.Context {
	return transform.Context{
		Source: a.items[s.Item].ObjectRef, Target: s.Target, APIVersion: s.Type.APIVersion(),
		Namespaces: a.request.Mappings, StorageClasses: a.changes.classes,
		KeepVolume:        s.KeptVolume != "",
		PreserveNodePorts: a.object.Spec.PreserveNodePorts, Status: a.changes.status[s.Target.GroupResource],
	}
}

// transformed is an archived object as it is to be in the cluster, with users' changes. What they have to know of it is a warning.
func (a *application) transformed(c transform.Context, body []byte) (transform.Result, error) {
	result, _, err := a.shaped(c, body, a.noteOutcomes)
	if len(result.Notes) > 0 {
		var notes []string
		for _, n := range result.Notes {
			notes = append(notes, n.String())
		}
		a.warn(coffer.CodeObjectNote, c.Target.String(), strings.Join(notes, "; "))
	}
	return result, err
}

// shaped is transformed without a word, and says how the object of a restore test differs for the sake of the test.
func (r *restore) shaped(c transform.Context, body []byte, note func(coffer.ObjectRef, []modifier.Outcome)) (transform.Result, []quiet.Deviation, error) {
	if r.changes.modifiers.Concern(c.Source) {
		c.Modify = func(object []byte) []byte {
			changed, outcomes := r.changes.modifiers.Apply(c.Source, object)
			note(c.Target, outcomes)
			return changed
		}
	}
	result, err := transform.Apply(body, c)
	if err != nil || r.isolated == nil {
		return result, nil, err
	}
	object, deviations, err := r.isolated.Apply(c.Target.GroupResource, r.run(), result.Object)
	result.Object = object
	return result, deviations, err
}

// unnoted is for those who have said, or will say, what came of the modifiers elsewhere.
func unnoted(coffer.ObjectRef, []modifier.Outcome) {}

func (a *application) noteOutcomes(target coffer.ObjectRef, outcomes []modifier.Outcome) {
	for _, o := range outcomes {
		a.changes.mu.Lock()
		if a.changes.tally == nil {
			a.changes.tally = map[string]map[modifier.Effect]int{}
		}
		if a.changes.tally[o.Rule] == nil {
			a.changes.tally[o.Rule] = map[modifier.Effect]int{}
		}
		a.changes.tally[o.Rule][o.Effect]++
		a.changes.mu.Unlock()
		if o.Effect == modifier.Failed {
			a.warn(coffer.CodeModifierFailed, target.String(), o.Rule+" was not applied: "+o.Reason)
		}
	}
}

// logModifiers tells the log what the rules did.
func (a *application) logModifiers() {
	a.changes.mu.Lock()
	defer a.changes.mu.Unlock()
	for rule, effects := range a.changes.tally {
		a.Log.Info("resource modifier", "rule", rule, "applied", effects[modifier.Applied], "skippedByTest", effects[modifier.Guarded],
			"failed", effects[modifier.Failed])
	}
}

// writeStatus gives an object that was created its former status. Without it the object is what it would have been had nobody
// asked for the status: a warning says so.
func (a *application) writeStatus(ctx context.Context, s *plan.Step, patch []byte) error {
	if patch == nil {
		return nil
	}
	err := a.creator.PatchStatus(ctx, s.Type, s.Target.Namespace, s.Target.Name, patch)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case coffer.CodeOf(err) == coffer.CodeNotFound:
		a.warn(coffer.CodeStatusNotRestored, s.Target.String(), "its status was not restored: the type has no status of its own to write, or the object is gone")
	case err != nil:
		a.warn(coffer.CodeStatusNotRestored, s.Target.String(), "its status was not restored: "+err.Error())
	}
	return nil
}

// plannedChanges are those of the spec that no step of a plan shows, for the plan: rules and hooks by their digests.
func (r *restore) plannedChanges(ctx context.Context) (map[string]string, error) {
	spec := r.object.Spec
	found := map[string]string{}
	if spec.ResourceModifierReference != nil {
		found["resourceModifierReference"] = r.changes.modifiers.Digest()
	}
	if spec.PreserveNodePorts {
		found["preserveNodePorts"] = "true"
	}
	hooks, err := r.hooks(ctx)
	if err != nil {
		return nil, err
	}
	for field, value := range map[string]any{
		"storageClassMappings": spec.StorageClassMappings, "restoreStatus": spec.RestoreStatus, "restoreHookReferences": hookSpecs(hooks),
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", field, err)
		}
		if t := string(text); t != "null" && t != "{}" && t != "[]" {
			found[field] = t
		}
	}
	if hooks := found["restoreHookReferences"]; hooks != "" {
		found["restoreHookReferences"] = "sha256:" + sumOf([]byte(hooks))
	}
	return found, nil
}

// warnOfOtherHooks tells of hooks that were changed since they were planned: who changes them meanwhile wants the new ones to run,
// and who agreed to the plan has to know.
func (r *restore) warnOfOtherHooks(ctx context.Context) error {
	const field = "restoreHookReferences"
	now, err := r.plannedChanges(ctx)
	if err != nil {
		return err
	}
	if was := r.plan.Changes[field]; was != "" && was != now[field] {
		r.warn(coffer.CodeChanged, field, "the hooks were changed after the plan was made, and run as they are now")
	}
	return nil
}

// hookSpecs are what the hooks do, in the order in which they run.
func hookSpecs(hooks []v1alpha1.RestoreHook) []v1alpha1.RestoreHookSpec {
	var specs []v1alpha1.RestoreHookSpec
	for _, h := range hooks {
		specs = append(specs, h.Spec)
	}
	return specs
}
