package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/selection"
)

// DiffRequest says of which objects of which planned Restore somebody wants to see what it would write.
type DiffRequest struct {
	Restore string
	// Namespace, Type and Name select, by what the objects are called in the cluster; empty is any. Type is spelled as in
	// includedResourceTypes.
	Namespace, Type, Name string
}

// DiffItem is one object of a plan: what it is in the recovery point, in the cluster now, and what it would be.
type DiffItem struct {
	// Step is its position in the plan. Objects are told of as soon as they are known, in no order.
	Step int
	// Source is its name in the recovery point, and Target the one in the cluster.
	Source, Target coffer.ObjectRef
	Type           coffer.ResourceType
	Action         plan.Action
	Reason         string
	// Unchecked is why the API server was not asked; then Result is what it would be asked for.
	Unchecked string
	// Refused is why the API server would not take it.
	Refused error
	// Notes are what a person has to know beside.
	Notes []string
	// Backup is the object as archived, Live as it is in the cluster, and Result as the API server would store it, which is
	// Live if nothing would be written. Nil is none.
	Backup, Live, Result []byte
}

// diffMemory bounds the bytes of objects that are compared at the same time.
const diffMemory = 64 << 20

// Diff calls each for every object that a planned Restore would write or leave as it is, and that is asked for, by one goroutine
// at a time; each may take its time. It goes by the stored plan, verified as for a restore, but by the cluster as it is now:
// what differs from the plan is in the notes. Nothing is written: the API server is asked by dry runs, one for each object
// that would be written, and what exists is listed in pages, type by type.
//
// A Restore without a stored plan is an Error with CodePlanNotStored, one that the extension has no right to carry out CodeForbidden.
// Only one plan is compared at a time: another one meanwhile is CodeBusy. Errors of each end it and are returned.
func (r *Reader) Diff(ctx context.Context, q DiffRequest, each func(DiffItem) error) error {
	if q.Type != "" {
		if err := selection.CheckSpelling("type", q.Type); err != nil {
			return err
		}
	}
	object, err := r.restore(ctx, q.Restore)
	if err != nil {
		return err
	}
	if _, err := storedPlan(object); err != nil {
		return err
	}
	select {
	case r.comparing <- struct{}{}:
		defer func() { <-r.comparing }()
	default:
		err := coffer.Errorf(coffer.CodeBusy, "the Backup extension is comparing another plan with the cluster").WithHint("try again")
		err.Transient = true
		return err
	}
	run := newRestore(r.config, object, func(context.Context) error { return nil })
	defer run.close()
	if err := run.read(ctx); err != nil {
		return fmt.Errorf("what restore %s would write cannot be told: %w", q.Restore, err)
	}
	if err := run.checkAccess(ctx); err != nil {
		return err
	}
	if err := run.prepare(ctx); err != nil {
		return err
	}
	run.draft = plan.Plan{}
	d := &comparison{application: newApplication(run), memory: semaphore.NewWeighted(diffMemory), tell: each}
	chosen, err := d.chosen(q)
	if err != nil {
		return err
	}
	return d.compareAll(ctx, chosen)
}

// comparison is one pass over a plan that writes nothing.
type comparison struct {
	*application
	// memory bounds what is compared at the same time, in bytes.
	memory *semaphore.Weighted

	telling sync.Mutex // guards the call of tell
	tell    func(DiffItem) error
}

// chosen are the steps that are asked for, but for those that neither exist nor are written.
func (d *comparison) chosen(q DiffRequest) ([]int, error) {
	types, err := d.chosenTypes(q.Type)
	if err != nil {
		return nil, err
	}
	var chosen []int
	for i, s := range d.plan.Steps {
		if s.Present() && (types == nil || types[s.Target.GroupResource]) &&
			(q.Namespace == "" || s.Target.Namespace == q.Namespace) && (q.Name == "" || s.Target.Name == q.Name) {
			chosen = append(chosen, i)
		}
	}
	return chosen, nil
}

// chosenTypes are those that a text names; nil is all.
func (d *comparison) chosenTypes(text string) (map[coffer.GroupResource]bool, error) {
	if text == "" {
		return nil, nil
	}
	var types []coffer.ResourceType
	for _, versions := range d.served {
		types = append(types, versions[0])
	}
	seen := map[coffer.GroupResource]bool{}
	for _, s := range d.plan.Steps {
		if g := s.Target.GroupResource; !seen[g] && len(d.served[g]) == 0 {
			types = append(types, coffer.ResourceType{GroupResource: g, Kind: d.items[s.Item].Kind})
		}
		seen[s.Target.GroupResource] = true
	}
	found, near, err := selection.FindTypes("type", text, types)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		err := coffer.Errorf(coffer.CodeInvalid, "neither the plan nor the cluster has a resource type %q", text)
		if len(near) > 0 {
			slices.Sort(near)
			return nil, err.WithHint("did you mean %s?", strings.Join(near, " or "))
		}
		return nil, err
	}
	chosen := map[coffer.GroupResource]bool{}
	for _, g := range found {
		chosen[g] = true
	}
	return chosen, nil
}

// compareAll tells of all steps, first of those that are to be created, for which nothing need be listed.
func (d *comparison) compareAll(ctx context.Context, steps []int) error {
	var creates, existing []int
	for _, i := range steps {
		if s := d.step(i); s.UID == "" || s.Unchecked != "" || s.Type.Resource == "" {
			creates = append(creates, i)
		} else {
			existing = append(existing, i)
		}
	}
	if err := d.eachBody(ctx, creates, d.tryNew); err != nil {
		return err
	}
	existing = append(existing, d.takeMet()...)
	for _, of := range d.byType(existing) {
		if err := d.compareType(ctx, of); err != nil {
			return err
		}
	}
	return nil
}

// compareType tells of objects of one type that exist, or did so when the plan was made.
func (d *comparison) compareType(ctx context.Context, steps []int) error {
	m := &meeting{application: d.application, t: d.step(steps[0]).Type, wanted: map[coffer.ObjectRef]int{}}
	for _, i := range steps {
		m.wanted[d.step(i).Target] = i
	}
	err := d.eachLive(ctx, d.Cluster.List, m.t, m.targets(), func(page coffer.Page) error { return d.page(ctx, m, page) })
	why := ""
	switch {
	case err == nil:
	case ctx.Err() == nil && unlistable(err):
		why = "what exists is not known: " + err.Error()
	default:
		return err
	}
	var left []int
	for _, i := range m.wanted {
		left = append(left, i)
	}
	slices.Sort(left)
	return d.eachBody(ctx, left, func(ctx context.Context, i int, body []byte) error { return d.missing(ctx, i, body, why) })
}

// page tells of the objects of one page.
func (d *comparison) page(ctx context.Context, m *meeting, page coffer.Page) error {
	live := map[int]json.RawMessage{}
	headers := map[int]liveHeader{}
	var found []int
	for _, item := range page.Items {
		var h liveHeader
		if err := json.Unmarshal(item, &h); err != nil {
			return fmt.Errorf("read %s: %w", m.t.GroupResource, err)
		}
		ref := coffer.ObjectRef{GroupResource: m.t.GroupResource, Namespace: h.Metadata.Namespace, Name: h.Metadata.Name}
		if i, wanted := m.wanted[ref]; wanted {
			delete(m.wanted, ref)
			live[i], headers[i] = item, h
			found = append(found, i)
		}
	}
	return d.eachBody(ctx, found, func(ctx context.Context, i int, body []byte) error {
		return d.compareLive(ctx, i, body, live[i], headers[i])
	})
}

// show tells of one object.
func (d *comparison) show(item *DiffItem) error {
	d.telling.Lock()
	defer d.telling.Unlock()
	return d.tell(*item)
}
