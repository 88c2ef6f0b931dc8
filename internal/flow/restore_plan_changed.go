package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/plan"
	"github.com/coffer-backup/coffer/internal/format/restorerecord"
)

// maxPlansRead is in how many stored plans of a recovery point the one with a digest is looked for, the latest first.
const maxPlansRead = 20

// planChanges says in which way the plan differs from the one with a digest, if that is found.
func (r *restore) planChanges(ctx context.Context, digest string) (string, error) {
	const notFound = "what has changed is not known, for that plan is not stored where this one is"
	if r.records == nil {
		return notFound, nil
	}
	var plans []coffer.BlobInfo
	own := r.object.Status.Plan.Key
	for info, err := range r.records.location.Container.List(ctx, restorerecord.Prefix(r.object.Spec.BackupName)) {
		if err != nil {
			return "", err
		}
		if restorerecord.IsPlan(info.Key) && info.Key != own {
			plans = append(plans, info)
		}
	}
	slices.SortFunc(plans, func(a, b coffer.BlobInfo) int { return b.Modified.Compare(a.Modified) })
	for _, info := range plans[:min(len(plans), maxPlansRead)] {
		old, found, err := r.readPlan(ctx, r.records, info.Key)
		switch {
		case err != nil && !coffer.Final(err):
			return "", err
		case err == nil && found == digest:
			return differences(old, r.plan), nil
		}
	}
	return notFound, nil
}

// differences names the first few steps in which two plans of one recovery point differ.
func differences(before, after plan.Plan) string {
	const shown = 5
	was := make(map[int]plan.Step, len(before.Steps))
	for _, s := range before.Steps {
		was[s.Item] = s
	}
	var texts []string
	n := 0
	say := func(target coffer.ObjectRef, change string) {
		if n++; n <= shown {
			texts = append(texts, target.String()+" "+change)
		}
	}
	for _, s := range after.Steps {
		b, planned := was[s.Item]
		delete(was, s.Item)
		if !planned {
			say(s.Target, "is new in the plan: "+stepText(s))
			continue
		}
		if change := difference(b, s); change != "" {
			say(s.Target, change)
		}
	}
	for _, s := range before.Steps {
		if _, gone := was[s.Item]; gone {
			say(s.Target, "is not in the plan any more")
		}
	}
	for _, field := range slices.Sorted(maps.Keys(joined(before.Changes, after.Changes))) {
		if was, is := before.Changes[field], after.Changes[field]; was != is {
			n++
			texts = append(texts, fmt.Sprintf("%s was %s, is %s", field, orNothing(was), orNothing(is)))
		}
	}
	if n == 0 {
		return "what is not selected has changed"
	}
	if n > shown {
		texts = append(texts, fmt.Sprintf("and %d more", n-shown))
	}
	return strings.Join(texts, "; ")
}

// difference says what of a step has changed; empty is nothing.
func difference(before, after plan.Step) string {
	switch {
	case before.Target != after.Target:
		return "was to be " + before.Target.String()
	case before.Action != after.Action || before.Reason != after.Reason || before.Unchecked != after.Unchecked:
		return fmt.Sprintf("was %q, is %q", stepText(before), stepText(after))
	case before.UID != after.UID:
		return "is another object of the same name"
	case before.Type != after.Type:
		return fmt.Sprintf("was to be written at %s, is at %s", before.Type.APIVersion(), after.Type.APIVersion())
	case before.Order != after.Order:
		return "has another place in the order"
	case before.Policy != after.Policy:
		return fmt.Sprintf("had policy %s, has %s", before.Policy, after.Policy)
	}
	owner := func(o coffer.OwnerReference) string { return o.UID }
	if !slices.EqualFunc(before.Owners, after.Owners, func(a, b coffer.OwnerReference) bool { return owner(a) == owner(b) }) {
		return "has other owners"
	}
	return ""
}

func stepText(s plan.Step) string {
	text := string(s.Action)
	for _, why := range []string{s.Reason, s.Unchecked} {
		if why != "" {
			text += ": " + why
		}
	}
	return text
}

// joined has the keys of both.
func joined(a, b map[string]string) map[string]string {
	both := maps.Clone(a)
	if both == nil {
		both = map[string]string{}
	}
	maps.Copy(both, b)
	return both
}

func orNothing(text string) string {
	if text == "" {
		return "not set"
	}
	return fmt.Sprintf("%q", text)
}
