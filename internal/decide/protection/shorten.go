package protection

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// months are from when recovery points are kept for as short as it gets, and for as long: the first days of all months around a leap day.
func months() (all []time.Time) {
	const years = 4
	for m := range years * 12 {
		all = append(all, time.Date(2026, time.January+time.Month(m), 1, 0, 0, 0, 0, time.UTC))
	}
	return all
}

// A shortening is in what a policy keeps recovery points to come for less long than another one, or fewer of them at least.
type shortening struct {
	// rule is the one whose recovery points are kept for less long; if it is empty, at least least are no longer kept.
	rule        string
	least, left int
}

// shortens is the first shortening of a policy in the place of another one, or nil. A rule that is gone is compared with the one that takes its
// place, the default, and the default one with the default, whatever they are called.
func shortens(before, after retention.Policy) *shortening {
	// The newest is kept whatever the policy says.
	if least, left := max(before.KeepAtLeast, 1), max(after.KeepAtLeast, 1); left < least {
		return &shortening{least: least, left: left}
	}
	for _, was := range before.Rules {
		is, ok := after.Rule(was.Name)
		if !ok || was.Default {
			is = after.Default()
		}
		for _, taken := range months() {
			if kept, keeps := after.Keep(is, taken), before.Keep(was, taken); kept.Operational.Before(keeps.Operational) || vaultEnd(kept).Before(vaultEnd(keeps)) {
				return &shortening{rule: was.Name}
			}
		}
	}
	return nil
}

// CheckShorter refuses, in a vault that is immutable, a policy in the place of another one by which recovery points to come would be kept
// for less long, or fewer of them at least. vault and policy are names.
func CheckShorter(vault, policy string, immutability arm.Word, before, after retention.Policy) error {
	if immutability == arm.StateDisabled {
		return nil
	}
	found := shortens(before, after)
	switch {
	case found == nil:
		return nil
	case found.rule == "":
		return coffer.Errorf(coffer.CodeConflict, "the vault %s is immutable (%s): policy %s would keep at least %d good recovery points, and not %d as before", vault, immutability, policy, found.left, found.least).
			WithHint("write a keepAtLeast of %d or more%s", found.least, unlock(immutability))
	}
	return coffer.Errorf(coffer.CodeConflict, "the vault %s is immutable (%s): policy %s would keep recovery points of the rule %s for less long than before", vault, immutability, policy, found.rule).
		WithHint("keep the rule, with a deleteAfter that is as long at least%s", unlock(immutability))
}

// unlock is what else can be done in a vault that is immutable, and does not have to stay so.
func unlock(immutability arm.Word) string {
	if immutability != arm.StateUnlocked {
		return ""
	}
	return "; or set the vault's immutability to Disabled first"
}

// Weakens says in what a policy in the place of another one may protect less, or is empty: by it recovery points are kept for less long, or
// backups begin at other times, or get other tags, which decide how long they are kept. What cannot be told to protect as much counts as less.
func Weakens(before, after retention.Policy) string {
	found := shortens(before, after)
	switch {
	case found != nil && found.rule == "":
		return fmt.Sprintf("at least %d good recovery points are kept, and not %d", found.left, found.least)
	case found != nil:
		return fmt.Sprintf("recovery points of the rule %s are kept for less long", found.rule)
	case after.Adopt && !before.Adopt:
		return "it is for recovery points that there are, too"
	case !sameTimes(before, after):
		return "backups begin at other times"
	case !sameTags(before.Tags, after.Tags):
		return "recovery points get other tags"
	}
	return ""
}

// sameTimes says whether backups begin at the same times by two policies, but for their spread.
func sameTimes(a, b retention.Policy) bool {
	sameInterval := func(a, b schedule.Interval) bool { return a.Start.Equal(b.Start) && a.Every == b.Every }
	return a.Schedule.Zone.String() == b.Schedule.Zone.String() && slices.EqualFunc(a.Schedule.Intervals, b.Schedule.Intervals, sameInterval) &&
		slices.EqualFunc(a.Windows, b.Windows, func(a, b schedule.Window) bool { return sameInterval(a.Start, b.Start) && a.For == b.For })
}

// sameTags says whether recovery points get the same tags by two lists of them.
func sameTags(a, b []retention.Tag) bool {
	return slices.EqualFunc(a, b, func(a, b retention.Tag) bool {
		return strings.EqualFold(a.Name, b.Name) && a.Default == b.Default && reflect.DeepEqual(a.Criteria, b.Criteria)
	})
}

// vaultEnd is when the vault tier may delete a recovery point; zero is none there.
func vaultEnd(k retention.Kept) time.Time {
	if k.Vault == nil {
		return time.Time{}
	}
	return k.Vault.Expires
}
