// Package retention decides how long recovery points are kept. It reads a backup policy, and finds the rule that a recovery
// point falls under.
package retention

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/refusal"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// Policy is a backup policy that can be followed.
type Policy struct {
	// BackupRule is the name of the rule that says when to back up.
	BackupRule string
	Schedule   schedule.Schedule
	// Tags in the order of their priority. The last is the default one, which every recovery point gets that no other is given.
	Tags []Tag
	// Rules as they were written. One is the default rule.
	Rules []Rule
	// Windows are the times in which no backup is begun, and Spread is over how long the instances of a slot begin.
	Windows []schedule.Window
	Spread  time.Duration
	// KeepAtLeast is how many of the newest good recovery points are never expired; 0 says nothing of it.
	KeepAtLeast int
	// Objective is how old the newest good recovery point may become before there is an alert; nil is none.
	Objective *schedule.Period
	// Adopt says that a change of the policy applies to recovery points that there are.
	Adopt bool
}

// Rule says how long to keep the recovery points of a tag of the same name.
type Rule struct {
	Name    string
	Default bool
	// Operational is how long the operational tier keeps them; nil is as long as the default rule says, which has it always.
	Operational *schedule.Period
	// Vault is nil if they are not copied to the vault tier.
	Vault *VaultCopy
}

// VaultCopy says when a recovery point is copied to the vault tier, and how long it is kept there.
type VaultCopy struct {
	When When
	// Delay is how long after the recovery point was taken it is copied, if it is copied AfterDelay.
	Delay schedule.Period
	// Keep is counted from when it is copied.
	Keep schedule.Period
}

// When says when a copy is made.
type When string

// The moments of a copy.
const (
	AtOnce     When = "at once"
	AfterDelay When = "after a delay"
	OnExpiry   When = "on expiry"
)

// Rule finds a retention rule by its name, in any case.
func (p Policy) Rule(name string) (Rule, bool) {
	i := slices.IndexFunc(p.Rules, func(r Rule) bool { return strings.EqualFold(r.Name, name) })
	if i < 0 {
		return Rule{}, false
	}
	return p.Rules[i], true
}

// Default is the rule that recovery points fall under that no other is for.
func (p Policy) Default() Rule {
	for _, r := range p.Rules {
		if r.Default {
			return r
		}
	}
	return Rule{}
}

// HasVaultTier says whether any recovery point is copied to the vault tier.
func (p Policy) HasVaultTier() bool {
	return slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Vault != nil })
}

var policyName = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9]{2,149}$`)

// CheckName refuses what cannot be the name of a policy.
func CheckName(name string) error {
	if policyName.MatchString(name) {
		return nil
	}
	return coffer.Errorf(coffer.CodeInvalidInput, "%s cannot be the name of a backup policy", shown(name)).
		WithHint("write 3 to 150 letters, digits and hyphens, beginning with a letter or digit")
}

// Limits are how often a policy may back up, and how short it may keep. The zero value is that of vaults.
type Limits struct {
	// Interval is the shortest period between backups; 0 is five minutes.
	Interval time.Duration
	// Retention is how long a recovery point is kept at least; 0 is a day.
	Retention time.Duration
	// Judged says that the policy was judged when it was sent: what can be followed is not refused for what it does not do.
	Judged bool
}

// Minutes are limits for tests, that have no time to wait.
func Minutes() Limits { return Limits{Interval: time.Minute, Retention: time.Minute} }

// Lasting are limits for policies that a vault has: what was let in by any is read by these.
func Lasting() Limits { return Limits{Interval: time.Minute, Retention: time.Minute, Judged: true} }

// Parse reads the properties of a policy. at is their path in the body, for messages; the error tells everything that is wrong.
func Parse(p *arm.Policy, at string, limits Limits) (Policy, error) {
	r := reader{at: at, limits: Limits{
		Interval: cmp.Or(limits.Interval, schedule.Shortest), Retention: cmp.Or(limits.Retention, leastRetention), Judged: limits.Judged,
	}}
	if p == nil {
		r.Addf(at, "", "is missing")
		return Policy{}, r.Err("the backup policy")
	}
	r.Form(p.Problems(at))
	r.rules(p)
	r.options(arm.At(at, "coffer"), p.Coffer)
	if err := r.Err("the backup policy"); err != nil {
		return Policy{}, err
	}
	return r.policy, nil
}

// reader makes a policy of its wire form, and gathers what is wrong. Nothing of the form can be relied on.
type reader struct {
	refusal.List

	at     string
	limits Limits
	policy Policy
	// times are those of the day at which a backup can be scheduled; nil is any.
	times map[int]bool
}

// rules reads all of them: the retention rules first, for tags refer to them.
func (r *reader) rules(p *arm.Policy) {
	path := arm.At(r.at, "policyRules")
	if len(p.PolicyRules) > arm.MaxRules {
		return // the form refuses them: nobody means so many, and each is compared with the others
	}
	names := map[string]int{}
	backup, defaults := []int{}, []string{}
	for i := range p.PolicyRules {
		rule, at := &p.PolicyRules[i], arm.Item(path, i)
		r.name(arm.At(at, "name"), rule.Name)
		if first, taken := names[strings.ToLower(rule.Name)]; taken && rule.Name != "" {
			r.Addf(arm.At(at, "name"), "give every rule a name of its own", "is %s, which policyRules[%d] has too", shown(rule.Name), first)
		} else {
			names[strings.ToLower(rule.Name)] = i
		}
		switch {
		case rule.ObjectType.Is(arm.TypeBackupRule):
			backup = append(backup, i)
		case rule.ObjectType.Is(arm.TypeRetentionRule):
			if r.retentionRule(at, rule) {
				defaults = append(defaults, at)
			}
		}
	}
	switch {
	case len(p.PolicyRules) == 0:
		// The form says so.
	case len(backup) == 0:
		r.Addf(path, "add the rule that says when to back up, as `coffer backup-policy get-default-policy-template` prints it", "has no AzureBackupRule")
	case len(backup) > 1:
		r.Addf(arm.Item(path, backup[1]), "put the intervals of both into one", "is a second AzureBackupRule: a policy has one")
	}
	r.oneDefault(path, defaults, len(p.PolicyRules) > 0)
	for _, i := range backup[:min(1, len(backup))] {
		r.backupRule(arm.Item(path, i), &p.PolicyRules[i])
		r.untagged(path, p.PolicyRules, arm.At(arm.Item(path, i), "trigger.taggingCriteria"))
	}
}

func (r *reader) oneDefault(path string, defaults []string, rules bool) {
	const hint = `exactly one AzureRetentionRule has "isDefault": true: it keeps what no other rule is for`
	switch {
	case len(defaults) == 0 && rules:
		r.Addf(path, hint, "has no default AzureRetentionRule")
	case len(defaults) > 1:
		r.Addf(arm.At(defaults[1], "isDefault"), hint, "is true of a second rule")
	}
}

var ruleName = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9_ ]{0,149}$`)

func (r *reader) name(at, name string) {
	if name != "" && !ruleName.MatchString(name) {
		r.Addf(at, "names of rules are at most 150 letters, digits, hyphens, underscores and spaces", "is %s", shown(name))
	}
}

// backupRule reads when to back up, and what recovery points are tagged with.
func (r *reader) backupRule(at string, rule *arm.PolicyRule) {
	r.policy.BackupRule = rule.Name
	if rule.Trigger == nil {
		return
	}
	at = arm.At(at, "trigger")
	r.schedule(arm.At(at, "schedule"), rule.Trigger.Schedule)
	r.tags(arm.At(at, "taggingCriteria"), rule.Trigger.TaggingCriteria)
}

func (r *reader) schedule(at string, s *arm.Schedule) {
	if s == nil {
		return
	}
	zone, err := schedule.Zone(s.TimeZone)
	r.Add(arm.At(at, "timeZone"), err)
	if err != nil {
		zone, _ = schedule.Zone("") // what else is wrong can be said without it
	}
	r.policy.Schedule.Zone = zone
	for i, text := range s.RepeatingTimeIntervals[:min(arm.MaxIntervals, len(s.RepeatingTimeIntervals))] {
		interval, err := schedule.ParseInterval(text, zone, r.limits.Interval)
		r.Add(arm.Item(arm.At(at, "repeatingTimeIntervals"), i), err)
		if err == nil {
			r.policy.Schedule.Intervals = append(r.policy.Schedule.Intervals, interval)
		}
	}
	// If one is wrong, it is not known what it was meant to be.
	if !r.Has(at) {
		r.times, _ = r.policy.Schedule.TimesOfDay()
	}
}

// shown is a text that somebody has sent, or its beginning.
func shown(text string) string {
	const most = 100
	if len(text) > most {
		return `"` + strings.ToValidUTF8(text[:most], "") + `..."`
	}
	return `"` + text + `"`
}
