package protection

import (
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// months are from when recovery points are kept for as short as it gets, and for as long: the first days of all months around a leap day.
func months() (all []time.Time) {
	const years = 4
	for m := range years * 12 {
		all = append(all, time.Date(2026, time.January+time.Month(m), 1, 0, 0, 0, 0, time.UTC))
	}
	return all
}

// CheckShorter refuses, in a vault that is immutable, a policy in the place of another one by which recovery points to come would be kept
// for less long, or fewer of them at least. A rule that is gone is compared with the one that takes its place, the default, and the default
// one with the default, whatever they are called. vault and policy are names.
func CheckShorter(vault, policy string, immutability arm.Word, before, after retention.Policy) error {
	if immutability == arm.StateDisabled {
		return nil
	}
	// The newest is kept whatever the policy says.
	if least := max(before.KeepAtLeast, 1); after.KeepAtLeast < least && least > 1 {
		return coffer.Errorf(coffer.CodeConflict, "the vault %s is immutable (%s): policy %s would keep at least %d good recovery points, and not %d as before", vault, immutability, policy, max(after.KeepAtLeast, 1), least).
			WithHint("write a keepAtLeast of %d or more; or, if immutability is Unlocked, set it to Disabled first", least)
	}
	for _, was := range before.Rules {
		is, ok := after.Rule(was.Name)
		if !ok || was.Default {
			is = after.Default()
		}
		for _, taken := range months() {
			if kept, keeps := after.Keep(is, taken), before.Keep(was, taken); kept.Operational.Before(keeps.Operational) || vaultEnd(kept).Before(vaultEnd(keeps)) {
				return coffer.Errorf(coffer.CodeConflict, "the vault %s is immutable (%s): policy %s would keep recovery points of the rule %s for less long than before", vault, immutability, policy, was.Name).
					WithHint("keep the rule, with a deleteAfter that is as long at least; or, if immutability is Unlocked, set it to Disabled first")
			}
		}
	}
	return nil
}

// vaultEnd is when the vault tier may delete a recovery point; zero is none there.
func vaultEnd(k retention.Kept) time.Time {
	if k.Vault == nil {
		return time.Time{}
	}
	return k.Vault.Expires
}
