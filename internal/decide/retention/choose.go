package retention

import (
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/refusal"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// Choice is the rule that a recovery point falls under, and why.
type Choice struct {
	Rule   Rule
	Reason string
}

// Choose finds the rule for a recovery point of the schedule. at is the time that it was scheduled for, and previous that of the one
// before it, by which it is known whether this one is the first of its day, week, month or year; zero is none. Previous says which one that is.
// Weeks begin on Sunday, and days at midnight by the clock of the policy's zone. A tag for a time of the day is for the backup that was
// scheduled for it, or, on a day when the clock is changed and none was, for the first one after it.
func (p Policy) Choose(at, previous time.Time) Choice {
	at = at.In(p.zone())
	var slot schedule.Slot
	if p.hasTimes() { // years of slots are gone through, and what a slot stands for takes far longer to find than all the rest
		slot = schedule.Schedule{Intervals: p.Schedule.Intervals, Zone: p.zone()}.Slot(at)
	}
	if !previous.IsZero() {
		previous = previous.In(p.zone())
	}
	for _, t := range p.Tags {
		if rule, ok := p.Rule(t.Name); ok {
			if why, holds := t.holds(slot, at, previous); holds {
				return Choice{Rule: rule, Reason: "tag " + t.Name + ": " + why}
			}
		}
	}
	return Choice{Rule: p.Default(), Reason: "no tag is for it"}
}

// AsksForFirst says whether any tag is for the first of a period: otherwise, Choose does not look at previous.
func (p Policy) AsksForFirst() bool {
	return slices.ContainsFunc(p.Tags, func(t Tag) bool {
		return slices.ContainsFunc(t.Criteria, func(c Criterion) bool {
			return slices.ContainsFunc(c.First, func(f First) bool { return f != All })
		})
	})
}

// hasTimes says whether any tag is for times of the day.
func (p Policy) hasTimes() bool {
	return slices.ContainsFunc(p.Tags, func(t Tag) bool {
		return slices.ContainsFunc(t.Criteria, func(c Criterion) bool { return len(c.Times) > 0 })
	})
}

func (t Tag) holds(slot schedule.Slot, at, previous time.Time) (string, bool) {
	if t.Default {
		return "no other tag is for it", true
	}
	for _, c := range t.Criteria {
		if why, ok := c.holds(slot, at, previous); ok {
			return why, true
		}
	}
	return "", false
}

// OnDemand finds the rule for a backup that somebody asks for. at is the path of the request in the body.
func (p Policy) OnDemand(request *arm.BackupRequest, at string) (Choice, error) {
	var list refusal.List
	const what = "the backup"
	if request == nil {
		list.Addf(at, "", "is missing")
		return Choice{}, list.Err(what)
	}
	list.Form(request.Problems(at))
	options := request.BackupRuleOptions
	if options == nil {
		return Choice{}, list.Err(what)
	}
	at = arm.At(at, "backupRuleOptions")
	if options.RuleName != "" {
		list.Add(arm.At(at, "ruleName"), p.checkBackupRule(options.RuleName))
	}
	choice := Choice{Rule: p.Default(), Reason: "no retentionTagOverride was given"}
	if t := options.TriggerOption; t != nil && t.RetentionTagOverride != "" {
		rule, ok := p.Rule(t.RetentionTagOverride)
		if !ok {
			list.Addf(arm.At(at, "triggerOption.retentionTagOverride"), "write one of "+strings.Join(p.names(), ", "),
				"is %s, and the policy has no retention rule of that name", shown(t.RetentionTagOverride))
		}
		choice = Choice{Rule: rule, Reason: "retentionTagOverride is " + rule.Name}
	}
	if err := list.Err(what); err != nil {
		return Choice{}, err
	}
	return choice, nil
}

// checkBackupRule refuses a name that is not that of the rule which says when to back up.
func (p Policy) checkBackupRule(name string) error {
	if strings.EqualFold(name, p.BackupRule) {
		return nil
	}
	if rule, ok := p.Rule(name); ok {
		return coffer.Errorf(coffer.CodeInvalidInput, "is %s, which is a retention rule: it says how long to keep, and not what to run", shown(rule.Name)).
			WithHint("write %q as ruleName, and %q as triggerOption.retentionTagOverride", p.BackupRule, rule.Name)
	}
	return coffer.Errorf(coffer.CodeInvalidInput, "is %s, and the policy has no rule of that name", shown(name)).
		WithHint("write %q, the policy's backup rule, as ruleName", p.BackupRule)
}
