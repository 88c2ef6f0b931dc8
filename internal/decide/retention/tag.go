package retention

import (
	"cmp"
	"slices"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
)

// Tag marks the recovery points that a rule of the same name is for.
type Tag struct {
	Name string
	// Priority: of several tags that a recovery point could get, it gets the one with the lowest.
	Priority int
	Default  bool
	// Criteria are alternatives. The default tag has none, and needs none.
	Criteria []Criterion
}

// mostPriority bounds priorities. AKS Backup's default tag has 99.
const mostPriority = 999

func (r *reader) tags(at string, tags arm.TaggingCriteria) {
	if len(tags) > arm.MaxTags {
		return // the form refuses them
	}
	priorities, names, defaults := map[int64]int{}, map[string]int{}, 0
	for i := range tags {
		t, path := &tags[i], arm.Item(at, i)
		if t.TagInfo == nil || t.TagInfo.TagName == "" || t.TaggingPriority == nil || t.IsDefault == nil {
			continue // the form says so
		}
		read := Tag{Name: t.TagInfo.TagName, Priority: int(*t.TaggingPriority), Default: *t.IsDefault}
		if read.Default {
			defaults++
		}
		if *t.TaggingPriority < 1 || *t.TaggingPriority > mostPriority {
			r.Addf(arm.At(path, "taggingPriority"), "priorities are 1 to 999; the default tag has 99 as a rule", "is %d", *t.TaggingPriority)
		} else if first, taken := priorities[*t.TaggingPriority]; taken {
			r.Addf(arm.At(path, "taggingPriority"), "give every tag a priority of its own: the lowest number wins", "is %d, which taggingCriteria[%d] has too", *t.TaggingPriority, first)
		} else {
			priorities[*t.TaggingPriority] = i
		}
		if first, taken := names[strings.ToLower(read.Name)]; taken {
			r.Addf(arm.At(path, "tagInfo.tagName"), "put the criteria of both into one: they are alternatives", "is %s, which taggingCriteria[%d] has too", shown(read.Name), first)
		} else {
			names[strings.ToLower(read.Name)] = i
		}
		r.tagRule(path, read)
		r.criteria(path, t, &read)
		r.policy.Tags = append(r.policy.Tags, read)
	}
	r.defaultTag(at, tags, defaults)
}

// defaultTag holds that there is one, and that it leaves recovery points to the others. It sorts the tags by their priority.
func (r *reader) defaultTag(at string, tags arm.TaggingCriteria, defaults int) {
	if defaults != 1 && len(tags) > 0 && len(r.policy.Tags) == len(tags) {
		r.Addf(at, `exactly one tag has "isDefault": true, and names the default retention rule`, "has %d default tags", defaults)
	}
	slices.SortStableFunc(r.policy.Tags, func(a, b Tag) int { return cmp.Compare(a.Priority, b.Priority) })
	if n := len(r.policy.Tags); n > 0 && defaults == 1 && !r.policy.Tags[n-1].Default {
		i := slices.IndexFunc(tags, func(t arm.TaggingCriterion) bool { return t.IsDefault != nil && *t.IsDefault })
		r.Addf(arm.At(arm.Item(at, i), "taggingPriority"), "give the default tag the highest number of all: 99 as a rule",
			"is lower than that of tag %s, which no recovery point would ever get", shown(r.policy.Tags[n-1].Name))
	}
}

// tagRule refuses a tag that is for no retention rule.
func (r *reader) tagRule(at string, t Tag) {
	path := arm.At(at, "tagInfo.tagName")
	rule, ok := r.policy.Rule(t.Name)
	switch {
	case !ok:
		r.Addf(path, "a tag has the name of the retention rule that it is for: "+strings.Join(r.policy.names(), ", "),
			"is %s, and there is no AzureRetentionRule of that name", shown(t.Name))
	case rule.Default && !t.Default:
		r.Addf(path, `the tag of the default rule has "isDefault": true`, "is %s: the default rule is for what has no other tag", shown(t.Name))
	case !rule.Default && t.Default:
		r.Addf(path, "the default tag has the name of the default rule", "is %s, which is not the default rule", shown(t.Name))
	}
}

// untagged refuses retention rules that no tag is for: nothing that the schedule makes would ever be kept by them. If a tag is wrong, it is not
// known which rule it was meant for.
func (r *reader) untagged(path string, rules []arm.PolicyRule, tags string) {
	if r.limits.Judged || r.Has(tags) {
		return
	}
	for i := range rules {
		rule := &rules[i]
		if !rule.ObjectType.Is(arm.TypeRetentionRule) || rule.Name == "" || rule.IsDefault != nil && *rule.IsDefault ||
			slices.ContainsFunc(r.policy.Tags, func(t Tag) bool { return strings.EqualFold(t.Name, rule.Name) }) {
			continue
		}
		r.Addf(arm.At(arm.Item(path, i), "name"), "add a tag of that name to taggingCriteria, with the criteria of what the rule is for, or leave the rule out",
			"is %s, and there is no tag of that name: nothing would be kept by the rule", shown(rule.Name))
	}
}

// names are those of the first retention rules, as far as they can have tags.
func (p Policy) names() []string {
	const most = 10
	var names []string
	for _, r := range p.Rules {
		if len(names) < most && ruleName.MatchString(r.Name) && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, r.Name) }) {
			names = append(names, r.Name)
		}
	}
	return names
}

func (r *reader) criteria(at string, t *arm.TaggingCriterion, into *Tag) {
	at = arm.At(at, "criteria")
	switch {
	case into.Default && len(t.Criteria) > 0:
		r.Addf(at, "", "is not possible for the default tag: it is for what has no other tag")
		return
	case !into.Default && len(t.Criteria) == 0:
		r.Addf(at, `write [{"objectType": "ScheduleBasedBackupCriteria", "absoluteCriteria": ["FirstOfDay"]}]`, "is missing: which recovery points get the tag?")
	}
	for i := range t.Criteria {
		into.Criteria = append(into.Criteria, r.criterion(arm.Item(at, i), &t.Criteria[i]))
	}
}
