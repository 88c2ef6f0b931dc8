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

// showPlan shows the stored plan of a restore, and what it would change if that is asked for.
func (p *program) showPlan(ctx context.Context, r *v1alpha1.Restore, o planOptions) error {
	shown := shownPlan{Restore: r.Name, Warnings: r.Status.Warnings, Steps: []content.PlanStep{}}
	if r.Status.Plan != nil {
		shown.Counts = r.Status.Plan.Counts
	}
	table := &planTable{pagedTable: pagedTable{out: p.Out}}
	err := readAnswer(ctx, p, content.Plan{Restore: r.Name}.URL(), func(i content.PlanItem) error {
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
	if err != nil {
		return fmt.Errorf("plan of restore %s: %w", r.Name, err)
	}
	d := diffPrinter{program: p, color: o.color == "always" || o.color == "auto" && p.Color}
	if o.diff {
		if shown.Diff, err = p.readDiff(ctx, content.Diff{Restore: r.Name, Secrets: o.secrets}); err != nil {
			return fmt.Errorf("diff of restore %s: %w", r.Name, err)
		}
	}
	refused := slices.ContainsFunc(shown.Diff, func(i content.DiffItem) bool { return i.Refused != nil })
	if shown.Counts.Fail == 0 {
		shown.Command = p.carryOut(r, shown.Digest)
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
func (p *program) describePlan(r *v1alpha1.Restore, shown shownPlan) error {
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
	if err := p.describeWarnings(r.Status.RunStatus); err != nil {
		return err
	}
	text := "\nNothing was changed. To do this, and nothing else:\n  " + shown.Command
	switch {
	case shown.Counts.Fail > 0:
		text = fmt.Sprintf("\nA restore would refuse this plan: %d objects exist, and their conflict policy is Fail.", shown.Counts.Fail)
	case !r.Spec.PlanOnly:
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
