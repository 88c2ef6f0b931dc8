package flow

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/conflict"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/decide/transform"
)

// compare decides about one object with both of its bodies, and does what was decided.
func (m *meeting) compare(ctx context.Context, i int, body []byte, live existing) error {
	s := m.step(i)
	desired, err := m.transformed(m.transformation(s), body)
	if err != nil {
		return err
	}
	if live.made {
		// Its creator may have died before it wrote the status.
		return m.writeStatus(ctx, s, desired.Status)
	}
	normal, err := m.normal(s, live.body)
	if err != nil {
		m.failed(i, err)
		return nil
	}
	known := conflict.Case{Type: s.Target.GroupResource, Policy: m.policy(s), Live: live.body, Normal: normal, Desired: desired.Object}
	if live.perhaps && conflict.Same(known) {
		m.settle(i, createdBy(s), "")
		return nil
	}
	d, err := conflict.Decide(known)
	if err != nil {
		m.failed(i, err)
		return nil
	}
	switch d.Action {
	case conflict.Fail:
		return existsMeanwhile(s)
	case conflict.Patch:
		return m.patch(ctx, i, d)
	case conflict.Replace:
		return m.replace(ctx, i, body)
	default:
		m.leave(i, d, live.patched)
		return nil
	}
}

// existsMeanwhile is the error of policy Fail for what the plan did not know of.
func existsMeanwhile(s *plan.Step) error {
	return coffer.Errorf(coffer.CodeObjectsExist, "conflict policy Fail: %s was created by somebody else while this restore was at work", s.Target).
		WithHint("what the restore has created until then is left in place; remove the object, and restore again")
}

// normal is what transforming makes of an object of the cluster: without what the cluster has allotted, as the restored one is.
func (m *meeting) normal(s *plan.Step, live []byte) ([]byte, error) {
	result, err := transform.Apply(live, transform.Context{
		Source: s.Target, Target: s.Target, APIVersion: s.Type.APIVersion(), PreserveNodePorts: m.object.Spec.PreserveNodePorts,
	})
	return result.Object, err
}

// policy is the one by which an existing object is treated: the plan's, or the one for what the plan did not know of.
func (m *meeting) policy(s *plan.Step) plan.Policy {
	switch s.Action {
	case plan.Patch:
		return plan.PatchExisting
	case plan.Replace:
		return plan.ReplaceExisting
	default:
		return s.Policy
	}
}

// leave settles an object of which nothing is changed any more.
func (m *meeting) leave(i int, d conflict.Decision, patched bool) {
	switch {
	case patched:
		m.patched(i, d)
	case len(d.Kept) > 0:
		m.left(i, coffer.CodeFieldsKept, fieldsText(d.Kept))
	default:
		m.settle(i, outcomeExisting, d.Reason)
	}
}

// patched settles an object that was changed, as far as it could be.
func (m *meeting) patched(i int, d conflict.Decision) {
	result := note{reason: "changed: " + strings.Join(d.Differs, ", ")}
	if d.More > 0 {
		result.reason += fmt.Sprintf(" and %d more fields", d.More)
	}
	if d.Equal() {
		result.reason = "" // By an earlier process.
	}
	if len(d.Kept) > 0 {
		result = note{coffer.CodeFieldsKept, fieldsText(d.Kept)}
		m.warn(result.code, m.step(i).Target.String(), result.reason)
	}
	m.conclude(i, outcomePatched, result)
}

// fieldsText names the first few of many fields.
func fieldsText(fields []conflict.Field) string {
	const shown = 5
	var texts []string
	for _, f := range fields[:min(shown, len(fields))] {
		texts = append(texts, f.String())
	}
	if more := len(fields) - shown; more > 0 {
		texts = append(texts, fmt.Sprintf("%d more fields", more))
	}
	return strings.Join(texts, "; ")
}

// patch changes an object. Fields that the API server refuses are left out, and named: the rest is changed.
func (m *meeting) patch(ctx context.Context, i int, d conflict.Decision) error {
	s := m.step(i)
	for {
		err := m.insist(ctx, func() error { return m.patcher.Patch(ctx, s.Type, s.Target.Namespace, s.Target.Name, d.Patch) })
		refused := coffer.RefusedFields(err)
		switch {
		case err == nil:
			m.patched(i, d)
			return nil
		case coffer.CodeOf(err) == coffer.CodeNotFound:
			m.isGone(i)
			return nil
		case coffer.CodeOf(err) == coffer.CodeRejected && len(refused) > 0:
			if d, err = d.Without(fieldsOf(refused)); err != nil {
				return err
			}
			if d.Action == conflict.Leave {
				m.leave(i, d, false)
				return nil
			}
		case coffer.Final(err):
			m.failed(i, err)
			return nil
		default:
			return err
		}
	}
}

func fieldsOf(refused []coffer.RefusedField) []conflict.Field {
	var fields []conflict.Field
	for _, f := range refused {
		fields = append(fields, conflict.Field{Path: f.Path, Reason: f.Reason})
	}
	return fields
}

// replace deletes an object that is to be created again. Only what the plan has shown is deleted, and only if the API server would
// take what is put in its place.
func (m *meeting) replace(ctx context.Context, i int, body []byte) error {
	s := m.step(i)
	if s.Action != plan.Replace {
		m.left(i, coffer.CodeChanged, "changed meanwhile: somebody has created it after the plan was made, and it was left as it is; restore again to replace it")
		return nil
	}
	if why := m.protected[i]; why != "" {
		m.failed(i, errors.New(why))
		return nil
	}
	refused, err := m.refusal(ctx, i, body)
	if err != nil {
		return err
	}
	if refused != nil {
		m.failed(i, refused)
		return nil
	}
	gone, err := m.remove(ctx, i)
	switch {
	case err != nil || m.results.settled(i):
		return err
	case gone:
		m.isGone(i)
	default:
		m.leaves(i)
	}
	return nil
}

// remove deletes the object that a step replaces, and says whether it is gone. One that cannot be deleted is settled.
func (a *application) remove(ctx context.Context, i int) (gone bool, err error) {
	s := a.step(i)
	err = a.insist(ctx, func() (err error) {
		gone, err = a.Cluster.Delete(ctx, s.Type, s.Target.Namespace, s.Target.Name, s.UID)
		return err
	})
	switch {
	case coffer.CodeOf(err) == coffer.CodeNotFound:
		return true, nil
	case coffer.CodeOf(err) == coffer.CodeChanged:
		a.left(i, coffer.CodeChanged, "changed meanwhile: it is not the object that the plan was to replace, and was left as it is; restore again to replace it")
		return false, nil
	case coffer.Final(err):
		a.failed(i, err)
		return false, nil
	}
	return gone, err
}
