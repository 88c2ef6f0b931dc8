package cli

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/coffer-backup/coffer/api/content"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// shownPlan is a plan as JSON or YAML.
type shownPlan struct {
	Restore string `json:"restore"`
	content.PlanHead
	Counts   v1alpha1.RestorePlanCounts `json:"counts"`
	Warnings []v1alpha1.Warning         `json:"warnings,omitempty"`
	Steps    []content.PlanStep         `json:"steps"`
	// Diff is there if it was asked for.
	Diff []content.DiffItem `json:"diff,omitempty"`
	// Command carries out what is shown; empty if the plan would be refused.
	Command string `json:"command,omitempty"`
}

// readAnswer asks the extension's reader, and calls each for every item.
func readAnswer[T any](ctx context.Context, p *program, at *url.URL, each func(T) error) error {
	answer, err := p.askReader(ctx, at)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Close() }()
	return content.Read(answer, each)
}

// answerOf are the items of an answer of the extension's reader.
func answerOf[T any](ctx context.Context, p *program, at *url.URL) items[T] {
	return func(each func(T) error) error { return readAnswer(ctx, p, at, each) }
}

// plannedRestore is where a plan is read, and what is known of it beside.
type plannedRestore struct {
	// name of the restore, or of the job, and noun is what that is.
	noun, name string
	// planOnly says that it is to be restored by another run.
	planOnly bool
	status   v1alpha1.RunStatus
	// counts of the plan; nil if its steps have to be counted.
	counts *v1alpha1.RestorePlanCounts
	plan   items[content.PlanItem]
	diff   items[content.DiffItem]
	// command carries out the plan of a digest.
	command func(digest string) string
}

// showPlan shows the stored plan of a restore, and what it would change if that is asked for.
func (p *program) showPlan(ctx context.Context, r *v1alpha1.Restore, o planOptions) error {
	planned := plannedRestore{
		noun: "restore", name: r.Name, planOnly: r.Spec.PlanOnly, status: r.Status.RunStatus, counts: &v1alpha1.RestorePlanCounts{},
		plan:    answerOf[content.PlanItem](ctx, p, content.Plan{Restore: r.Name}.URL()),
		diff:    answerOf[content.DiffItem](ctx, p, content.Diff{Restore: r.Name, Secrets: o.secrets}.URL()),
		command: func(digest string) string { return p.carryOut(r, digest) },
	}
	if r.Status.Plan != nil {
		planned.counts = &r.Status.Plan.Counts
	}
	return p.printPlan(planned, o)
}

// count adds a step to the counts of a plan.
func count(c *v1alpha1.RestorePlanCounts, s content.PlanStep) {
	counters := map[string]*int{
		"create": &c.Create, "restore volume": &c.RestoreVolume, "patch": &c.Patch, "replace": &c.Replace, "skip": &c.Skip, "fail": &c.Fail,
	}
	n := counters[s.Action]
	if s.Action == "skip" && s.UID != "" {
		n = &c.Existing
	}
	if n != nil {
		*n++
	}
	if s.Unchecked != "" {
		c.Unchecked++
	}
}

// printPlan prints a plan, and what it would change if that is asked for. One that cannot be carried out is errUnworkable.
func (p *program) printPlan(r plannedRestore, o planOptions) error {
	shown, err := p.readPlan(r)
	if err != nil {
		return fmt.Errorf("plan of %s %s: %w", r.noun, r.name, err)
	}
	d := diffPrinter{program: p, color: o.color == "always" || o.color == "auto" && p.Color}
	if o.diff {
		if shown.Diff, err = p.readDiff(r.diff); err != nil {
			return fmt.Errorf("diff of %s %s: %w", r.noun, r.name, err)
		}
	}
	refused := slices.ContainsFunc(shown.Diff, func(i content.DiffItem) bool { return i.Refused != nil })
	if shown.Counts.Fail == 0 {
		shown.Command = r.command(shown.Digest)
	}
	err = p.show(shown, func() error {
		if o.diff {
			if err := d.print(shown.Diff); err != nil {
				return err
			}
		}
		return p.describePlan(r, shown)
	})
	if err == nil && (refused || shown.Counts.Fail > 0) {
		err = errUnworkable
	}
	return err
}

// readPlan reads a plan: its steps are kept, or printed at once where they are for a table.
func (p *program) readPlan(r plannedRestore) (shownPlan, error) {
	shown := shownPlan{Restore: r.name, Warnings: r.status.Warnings, Steps: []content.PlanStep{}}
	if r.counts != nil {
		shown.Counts = *r.counts
	}
	table := &planTable{pagedTable: pagedTable{out: p.Out}}
	err := r.plan(func(i content.PlanItem) error {
		if i.Step != nil && r.counts == nil {
			count(&shown.Counts, *i.Step)
		}
		switch {
		case i.Head != nil:
			shown.PlanHead = *i.Head
		case i.Step == nil:
		case p.output == "table":
			return table.step(*i.Step)
		default:
			shown.Steps = append(shown.Steps, *i.Step)
		}
		return nil
	})
	if flushErr := table.flush(); err == nil {
		err = flushErr
	}
	if err == nil && r.counts == nil {
		for _, n := range shown.NotSelected {
			shown.Counts.NotSelected += int(n.Objects)
		}
	}
	return shown, err
}

// planTable prints the steps of a plan, those of one order together.
type planTable struct {
	pagedTable
	begun bool
	order int
}

func (t *planTable) step(s content.PlanStep) error {
	if !t.begun {
		if err := t.row("ACTION", "TYPE", "NAMESPACE", "NAME", "REASON"); err != nil {
			return err
		}
	} else if s.Order != t.order {
		if err := t.row(); err != nil {
			return err
		}
	}
	t.begun, t.order = true, s.Order
	reason := s.Reason
	if s.Unchecked != "" {
		reason = strings.TrimPrefix(reason+"; unchecked: "+s.Unchecked, "; ")
	}
	return t.row(s.Action, s.Type(), s.Namespace, s.Name, reason)
}

// describePlan says what the plan is as a whole, and what to do with it.
func (p *program) describePlan(r plannedRestore, shown shownPlan) error {
	left := ""
	if n := shown.Counts.NotSelected; n > 0 {
		left = fmt.Sprintf("%d objects of the recovery point that are not asked for", n)
	}
	if _, err := fmt.Fprintln(p.Out); err != nil {
		return err
	}
	err := p.describe([]field{
		{"Backup", shown.Backup}, {"Plan", countsText(shown.Counts)}, {"Also", changesText(shown.Changes)}, {"Left out", left}, {"Digest", shown.Digest},
	})
	if err != nil {
		return err
	}
	if err := p.describeWarnings(r.status); err != nil {
		return err
	}
	text := "\nNothing was changed. To do this, and nothing else:\n  " + shown.Command
	switch {
	case shown.Counts.Fail > 0:
		text = fmt.Sprintf("\nA restore would refuse this plan: %d objects exist, and their conflict policy is Fail.", shown.Counts.Fail)
	case !r.planOnly:
		text = "\nTo restore by the same plan, as long as it is the same:\n  " + shown.Command
	}
	_, err = fmt.Fprintln(p.Out, harmless(text))
	return err
}

// changesText says what a restore does beside its steps, in few words of each.
func changesText(changes map[string]string) string {
	const most = 60
	var parts []string
	for _, field := range slices.Sorted(maps.Keys(changes)) {
		value := changes[field]
		if len(value) > most {
			value = value[:most] + "…"
		}
		parts = append(parts, oneLine(field+" "+value))
	}
	return strings.Join(parts, "; ")
}

// maxName bounds the name of the restore that a command makes.
const maxName = 50

// carryOut is the command that carries out a plan.
func (p *program) carryOut(r *v1alpha1.Restore, digest string) string {
	spec := r.Spec
	spec.PlanDigest = digest
	name := spec.BackupName[:min(len(spec.BackupName), maxName)] + "-" + rand.String(randomLength)
	words := slices.Concat([]string{"coffer", "restore", "create", name}, p.targetArgs(), restoreArgs(spec), []string{"--wait"})
	return shellText(words)
}
