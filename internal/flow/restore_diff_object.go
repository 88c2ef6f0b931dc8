package flow

import (
	"context"
	"fmt"
	"slices"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/conflict"
	"github.com/coffer-backup/coffer/internal/decide/modifier"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/transform"
)

// hold waits until there is memory to compare an object in: what is made of it is some times as large.
func (d *comparison) hold(ctx context.Context, sides ...[]byte) (release func(), err error) {
	size := int64(0)
	for _, s := range sides {
		size += 4 * int64(len(s))
	}
	size = min(size, diffMemory)
	if err := d.memory.Acquire(ctx, size); err != nil {
		return nil, err
	}
	return func() { d.memory.Release(size) }, nil
}

func (d *comparison) item(i int, body, live []byte) *DiffItem {
	s := d.step(i)
	return &DiffItem{
		Step: i, Source: d.items[s.Item].ObjectRef, Target: s.Target, Type: s.Type, Action: s.Action, Reason: s.Reason,
		Backup: body, Live: live,
	}
}

func (i *DiffItem) note(format string, args ...any) {
	i.Notes = append(i.Notes, fmt.Sprintf(format, args...))
}

// desired is what the object of a step is to be. If that cannot be told, the item says so, and there is none.
func (d *comparison) desired(item *DiffItem, s *plan.Step) []byte {
	c := d.transformation(s)
	if s.RestoresData() {
		c.Snapshot, c.RestoreSize = d.Snapshots.PresentedName(d.run(), requestName(*s.Volume)), s.Volume.RestoreSize
		item.note("its volume is made of snapshot %s", s.Volume.Handle)
	}
	if d.changes.modifiers.Concern(c.Source) {
		c.Modify = func(object []byte) []byte {
			changed, outcomes := d.changes.modifiers.Apply(c.Source, object)
			for _, o := range outcomes {
				if o.Effect == modifier.Failed {
					item.note("%s is not applied: %s", o.Rule, o.Reason)
				}
			}
			return changed
		}
	}
	result, err := transform.Apply(item.Backup, c)
	if err != nil {
		item.Refused = err
		return nil
	}
	for _, n := range result.Notes {
		item.note("%s", n)
	}
	if result.Status != nil {
		item.note("its status is restored, which is not shown")
	}
	return result.Object
}

// lostOwners notes the owners that an object will not have again.
func (d *comparison) lostOwners(item *DiffItem, s *plan.Step) {
	for _, o := range d.items[s.Item].Owners {
		linked := slices.ContainsFunc(s.Owners, func(l coffer.OwnerReference) bool { return l.UID == o.UID })
		if !linked {
			item.note("its owner, %s %s, is not part of the restore: it stays without", o.Kind, o.Name)
		}
	}
}

// tryNew tells of an object that does not exist as far as the plan knows. One that does is met later.
func (d *comparison) tryNew(ctx context.Context, i int, body []byte) error {
	release, err := d.hold(ctx, body)
	if err != nil {
		return err
	}
	defer release()
	s, item := d.step(i), d.item(i, body, nil)
	switch {
	case s.Unchecked != "":
		item.Unchecked = s.Unchecked
	case s.Type.Resource == "":
		item.Unchecked = "its definition does not exist yet"
	}
	exists, err := d.tryCreate(ctx, item, s)
	switch {
	case err != nil:
		return err
	case exists:
		d.meets(i)
		return nil
	}
	return d.show(item)
}

// tryCreate fills in what would become of an object if it were created. exists says that there is one.
func (d *comparison) tryCreate(ctx context.Context, item *DiffItem, s *plan.Step) (exists bool, err error) {
	object := d.desired(item, s)
	if object == nil {
		return false, nil
	}
	d.lostOwners(item, s)
	item.Result = object
	if item.Unchecked != "" {
		return false, nil
	}
	stored, conceded, err := d.tryPost(ctx, s, object, item.Live != nil)
	switch code := coffer.CodeOf(err); {
	case err == nil:
		item.Result = stored
		if conceded != "" {
			item.note("%s", conceded)
		}
	case code == coffer.CodeExists:
		return true, nil
	case code == coffer.CodeNotTryable, code == coffer.CodeNotFound, code == coffer.CodeNamespaceTerminating:
		item.Unchecked = err.Error()
	case code == "":
		return false, err
	default:
		item.Refused = err
	}
	return false, nil
}

// tryAgain tells of an object that would be created in the place of one that is gone by then.
func (d *comparison) tryAgain(ctx context.Context, item *DiffItem, s *plan.Step) error {
	exists, err := d.tryCreate(ctx, item, s)
	if err != nil {
		return err
	}
	if exists {
		item.note("the API server would take it; what it fills in is not known as long as the present one exists")
	}
	return d.show(item)
}

// missing tells of an object that was not found, or for which one could not look.
func (d *comparison) missing(ctx context.Context, i int, body []byte, unknown string) error {
	release, err := d.hold(ctx, body)
	if err != nil {
		return err
	}
	defer release()
	s, item := d.step(i), d.item(i, body, nil)
	item.Unchecked = unknown
	switch {
	case unknown != "", s.Terminating:
	case s.Writes():
		item.note("changed meanwhile: it is gone, and would be created")
	default:
		item.note("changed meanwhile: it is gone, and this plan does not create it")
	}
	if !s.Writes() {
		return d.show(item)
	}
	return d.tryAgain(ctx, item, s)
}

// compareLive tells of an object that exists.
func (d *comparison) compareLive(ctx context.Context, i int, body, live []byte, h liveHeader) error {
	release, err := d.hold(ctx, body, live)
	if err != nil {
		return err
	}
	defer release()
	s, item := d.step(i), d.item(i, body, live)
	item.Result = live
	claim := s.Target.GroupResource == claimType.GroupResource
	switch {
	case s.Existing():
		return d.show(item)
	case d.made(&h):
		item.note("this restore has made it")
		return d.show(item)
	case s.UID == "":
		item.note("changed meanwhile: it has come to exist since the plan was made")
	}
	switch {
	case h.leaves(), s.Action == plan.Replace && h.Metadata.UID == s.UID && claim:
		return d.tryAgain(ctx, item, s)
	case s.Action == plan.Replace && h.Metadata.UID != s.UID:
		item.note("changed meanwhile: it is not the object that the plan is to replace, and would be left as it is")
		return d.show(item)
	case claim && s.Volume != nil:
		item.note("its volume would be left untouched")
		return d.show(item)
	}
	return d.decide(ctx, item, s)
}

// decide tells what would become of an object that exists by the policy for it.
func (d *comparison) decide(ctx context.Context, item *DiffItem, s *plan.Step) error {
	desired := d.desired(item, s)
	if desired == nil {
		return d.show(item)
	}
	m := &meeting{application: d.application}
	normal, err := m.normal(s, item.Live)
	if err != nil {
		item.Refused = err
		return d.show(item)
	}
	decision, err := conflict.Decide(conflict.Case{Type: s.Target.GroupResource, Policy: m.policy(s), Live: item.Live, Normal: normal, Desired: desired})
	if err != nil {
		item.Refused = err
		return d.show(item)
	}
	switch {
	case decision.Action == conflict.Patch:
		return d.tryPatch(ctx, item, s, decision)
	case decision.Action == conflict.Replace && s.Action == plan.Replace:
		item.Notes = nil // They come again.
		return d.tryAgain(ctx, item, s)
	case decision.Action == conflict.Replace:
		item.note("it would be left as it is: only what the plan shows is deleted")
	case !decision.Equal():
		item.note("%s", decision.Reason)
		if len(decision.Kept) > 0 {
			item.note("%s", fieldsText(decision.Kept))
		}
	}
	return d.show(item)
}

// tryPatch tells what a patch would make of an object, or what the API server takes of the patch.
func (d *comparison) tryPatch(ctx context.Context, item *DiffItem, s *plan.Step, decision conflict.Decision) error {
	for {
		stored, err := d.patcher.TryPatch(ctx, s.Type, s.Target.Namespace, s.Target.Name, decision.Patch)
		if refused := coffer.RefusedFields(err); coffer.CodeOf(err) == coffer.CodeRejected && len(refused) > 0 {
			if decision, err = decision.Without(fieldsOf(refused)); err != nil {
				return err
			}
			if decision.Action == conflict.Patch {
				continue
			}
			stored = item.Live
		}
		if len(decision.Kept) > 0 {
			item.note("%s", fieldsText(decision.Kept))
		}
		return d.showPatched(ctx, item, s, decision, stored, err)
	}
}

func (d *comparison) showPatched(ctx context.Context, item *DiffItem, s *plan.Step, decision conflict.Decision, stored []byte, err error) error {
	code := coffer.CodeOf(err)
	switch {
	case err == nil:
		item.Result = stored
		return d.show(item)
	case code == coffer.CodeNotFound:
		item.Live, item.Notes = nil, nil
		item.note("changed meanwhile: it is gone, and would be created")
		return d.tryAgain(ctx, item, s)
	case code == "":
		return err
	case code == coffer.CodeNotTryable:
		item.Unchecked = err.Error()
	default:
		item.Refused = err
	}
	merged, err := jsonpatch.MergePatch(item.Live, decision.Patch)
	if err != nil {
		return fmt.Errorf("patch %s: %w", s.Target, err)
	}
	item.Result = merged
	return d.show(item)
}
