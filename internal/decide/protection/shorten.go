package protection

import (
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// months are times from which a month is as short as it gets, and as long.
var months = []time.Time{time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC)}

// CheckShorter refuses, in a vault that is immutable, a policy in the place of another one by which recovery points to come would be kept
// for less long. A rule that is gone is compared with the one that takes its place, the default. vault and policy are names.
func CheckShorter(vault, policy string, immutability arm.Word, before, after retention.Policy) error {
	if immutability == arm.StateDisabled {
		return nil
	}
	for _, was := range before.Rules {
		is, ok := after.Rule(was.Name)
		if !ok {
			is = after.Default()
		}
		for _, taken := range months {
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
