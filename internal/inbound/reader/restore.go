package reader

import (
	"bytes"
	"net/http"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/mask"
	"github.com/coffer-backup/coffer/internal/decide/textdiff"
	"github.com/coffer-backup/coffer/internal/flow"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// plan answers the stored plan of a Restore.
func (h *Handler) plan(r *http.Request, send func(item any) error) error {
	asked, err := content.ReadPlan(r)
	if err != nil {
		return invalid(err)
	}
	return h.Plan(r.Context(), asked.Restore, func(p flow.StoredPlan) error {
		head := content.PlanHead{Digest: p.Digest, Backup: p.Backup, ManifestDigest: p.ManifestDigest, Namespaces: p.Namespaces, Changes: p.Changes}
		for _, n := range p.NotSelected {
			head.NotSelected = append(head.NotSelected, content.NotSelected{What: n.What, Reason: n.Reason, Objects: n.Objects})
		}
		return send(content.PlanItem{Head: &head})
	}, func(s restorerecord.Step) error {
		return send(content.PlanItem{Step: shownStep(s)})
	})
}

func shownStep(s restorerecord.Step) *content.PlanStep {
	step := content.PlanStep{
		Object: shownRef(s.ObjectRef), Kind: s.Kind, Action: s.Action, Policy: s.Policy, Order: s.Order, UID: s.UID,
		Reason: s.Reason, Warning: string(s.Warning), Unchecked: s.Unchecked, Snapshot: s.Snapshot,
	}
	if s.Version != "" {
		step.APIVersion = coffer.ResourceType{GroupResource: s.GroupResource, Version: s.Version}.APIVersion()
	}
	if s.Source != nil {
		source := shownRef(*s.Source)
		step.Source = &source
	}
	return &step
}

func shownRef(ref coffer.ObjectRef) content.Object {
	return content.Object{Group: ref.Group, Resource: ref.Resource, Namespace: ref.Namespace, Name: ref.Name}
}

// report answers the stored report of a Restore.
func (h *Handler) report(r *http.Request, send func(item any) error) error {
	asked, err := content.ReadReport(r)
	if err != nil {
		return invalid(err)
	}
	return h.Report(r.Context(), asked.Restore, func(found restorerecord.ReportHeader) error {
		head := content.ReportHead{
			Restore: found.Restore, Backup: found.Backup, ManifestDigest: found.ManifestDigest, PlanDigest: found.PlanDigest,
			Started: found.Started, Completed: found.Completed, Counts: map[string]int{},
		}
		for result, n := range found.Counts {
			head.Counts[string(result)] = n
		}
		return send(content.ReportItem{Head: &head})
	}, func(o restorerecord.Outcome) error {
		return send(content.ReportItem{Result: &content.ReportResult{
			Object: shownRef(o.ObjectRef), Result: string(o.Result), Reason: o.Reason, Code: string(o.Code),
		}})
	})
}

// diff answers what a Restore would write.
func (h *Handler) diff(r *http.Request, send func(item any) error) error {
	asked, err := content.ReadDiff(r)
	if err != nil {
		return invalid(err)
	}
	request := flow.DiffRequest{Restore: asked.Restore, Namespace: asked.Namespace, Type: asked.Type, Name: asked.Name}
	return h.Diff(r.Context(), request, func(found flow.DiffItem) error {
		release, err := h.takeLarge(r.Context(), int64(len(found.Backup)+len(found.Live)+len(found.Result)))
		if err != nil {
			return err
		}
		defer release()
		item, err := shownDiff(found, asked.Secrets)
		if err != nil {
			return err
		}
		return send(item)
	})
}

// shownDiff compares the states of an object, with the values of Secrets masked unless they are asked for.
func shownDiff(found flow.DiffItem, secrets bool) (content.DiffItem, error) {
	item := content.DiffItem{
		Step: found.Step, Object: shownRef(found.Target), Action: string(found.Action), Reason: found.Reason, Unchecked: found.Unchecked, Notes: found.Notes,
	}
	if found.Source != found.Target {
		source := shownRef(found.Source)
		item.Source = &source
	}
	sides := [][]byte{found.Live, found.Result, found.Backup}
	if found.Refused != nil {
		item.Refused = shownError(found.Refused)
	}
	if textdiff.TooLarge(sides...) {
		return withoutLines(item, found, secrets), nil
	}
	if !secrets {
		if item.Refused != nil {
			item.Refused.Message = mask.Text(found.Source, item.Refused.Message, sides...)
		}
		item.Unchecked = mask.Text(found.Source, item.Unchecked, sides...)
		for i, note := range item.Notes {
			item.Notes[i] = mask.Text(found.Source, note, sides...)
		}
		masked, err := mask.Sides(found.Source, sides...)
		if err != nil {
			return item, err
		}
		sides = masked
	}
	texts := make([]string, len(sides))
	for i, side := range sides {
		text, err := textdiff.Text(side, found.Type)
		if err != nil {
			return item, coffer.Errorf(coffer.CodeArchiveCorrupt, "%s cannot be shown: %w", found.Target, err)
		}
		texts[i] = text
	}
	var err error
	if item.Changes, err = textdiff.Unified("cluster", "restored", texts[0], texts[1]); err != nil {
		return item, err
	}
	item.FromBackup, err = textdiff.Unified("backup", "restored", texts[2], texts[1])
	return item, err
}

// tooLarge stands for a diff of what has too many values.
const tooLarge = "@@ it has too many values to be compared line by line @@\n"

// withoutLines is the item of an object that is too large to be compared, or looked through for what is secret.
func withoutLines(item content.DiffItem, found flow.DiffItem, secrets bool) content.DiffItem {
	if !bytes.Equal(found.Live, found.Result) {
		item.Changes = tooLarge
	}
	item.FromBackup = tooLarge
	if secrets || !mask.IsSecret(found.Source) {
		return item
	}
	const hidden = "why is not shown, for it may have values of the Secret"
	if item.Refused != nil {
		item.Refused.Message = hidden
	}
	if item.Unchecked != "" {
		item.Unchecked = hidden
	}
	for i := range item.Notes {
		item.Notes[i] = hidden
	}
	return item
}
