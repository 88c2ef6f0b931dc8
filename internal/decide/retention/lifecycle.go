package retention

import (
	"cmp"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
)

// leastRetention is how long anything is kept at least.
const leastRetention = 24 * time.Hour

// Bounds of how long something is kept, in days: AKS Backup's for the operational tier, and ten years for the vault's.
const (
	mostOperational    = 360
	mostVault          = 3652
	operationalHint    = "the operational tier keeps from P1D to P360D; for longer, copy to the VaultStore"
	vaultHint          = "the vault tier keeps from P1D to P10Y"
	missingVaultHint   = "add a lifecycle whose sourceDataStore is VaultStore to the rule"
	missingDefaultHint = "the default rule says how long the OperationalStore keeps what no other rule is for"
)

// retentionRule reads how long to keep. It answers whether it is the default rule.
//
// Two forms of the vault tier are on the wire. In one, the lifecycle of the operational tier has a copy setting, and a second
// lifecycle is that of the vault tier; in the other, of the command line's presets, the rule has the vault tier's lifecycle
// without any copy setting: it is copied at once, and the operational tier keeps it as the default rule says. Terraform lets a tier be
// named twice, and Azure takes it: it keeps as long as the longer says.
func (r *reader) retentionRule(at string, rule *arm.PolicyRule) bool {
	read := Rule{Name: rule.Name, Default: rule.IsDefault != nil && *rule.IsDefault}
	var keep *schedule.Period
	var copied *VaultCopy
	seen := map[arm.Word]bool{}
	for i := range rule.Lifecycles {
		path, l := arm.Item(arm.At(at, "lifecycles"), i), &rule.Lifecycles[i]
		if l.SourceDataStore == nil {
			continue
		}
		tier := l.SourceDataStore.DataStoreType.Canonical(arm.OperationalStore, arm.VaultStore)
		seen[tier] = true
		switch tier {
		case arm.OperationalStore:
			kept := r.duration(path, l, mostOperational, operationalHint)
			again := r.copies(path, l, kept)
			if copied != nil && again != nil {
				r.Addf(arm.At(path, "targetDataStoreCopySettings"), "one copy to the VaultStore is enough", "copies a second time")
			}
			read.Operational, copied = longer(read.Operational, kept), cmp.Or(copied, again)
		case arm.VaultStore:
			keep = longer(keep, r.duration(path, l, mostVault, vaultHint))
			if len(l.TargetDataStoreCopySettings) > 0 {
				r.Addf(arm.At(path, "targetDataStoreCopySettings"), "copies go from the OperationalStore to the VaultStore", "copies from the VaultStore, which nothing is copied from")
			}
		}
	}
	r.vaultCopy(at, &read, seen[arm.VaultStore], keep, copied)
	if read.Default && !seen[arm.OperationalStore] && len(rule.Lifecycles) > 0 {
		r.Addf(arm.At(at, "lifecycles"), missingDefaultHint, "has no lifecycle of the OperationalStore, and the rule is the default one")
	}
	r.policy.Rules = append(r.policy.Rules, read)
	return read.Default
}

// longer is the longer one of two periods; nil is none.
func longer(a, b *schedule.Period) *schedule.Period {
	if a == nil || b != nil && a.Less(*b) {
		return b
	}
	return a
}

// vaultCopy puts together what the lifecycles of both tiers say of the vault tier.
func (r *reader) vaultCopy(at string, rule *Rule, has bool, keep *schedule.Period, copied *VaultCopy) {
	switch {
	case copied != nil && !has:
		r.Addf(arm.At(at, "lifecycles"), missingVaultHint, "copies to the VaultStore, and does not say how long that keeps the copies")
	case keep == nil:
		// There is no vault tier, or its duration is refused already.
	case copied == nil:
		rule.Vault = &VaultCopy{When: AtOnce, Keep: *keep}
	default:
		copied.Keep = *keep
		rule.Vault = copied
	}
}

// duration reads after how long a tier deletes.
func (r *reader) duration(at string, l *arm.Lifecycle, most int, hint string) *schedule.Period {
	if l.DeleteAfter == nil || l.DeleteAfter.Duration == "" {
		return nil
	}
	path := arm.At(at, "deleteAfter.duration")
	p, err := schedule.ParsePeriod(l.DeleteAfter.Duration)
	switch {
	case err != nil:
		r.Add(path, err)
		return nil
	case p.Shorter(r.limits.Retention) || p.InDays() > most:
		r.Addf(path, hint, "is %s", shown(l.DeleteAfter.Duration))
		return nil
	}
	return &p
}

// copies reads when a recovery point is copied to the vault tier; nil is never.
func (r *reader) copies(at string, l *arm.Lifecycle, kept *schedule.Period) *VaultCopy {
	at = arm.At(at, "targetDataStoreCopySettings")
	if n := len(l.TargetDataStoreCopySettings); n > 1 {
		r.Addf(at, "one copy to the VaultStore is enough", "has %d elements", n)
	}
	if len(l.TargetDataStoreCopySettings) == 0 || l.TargetDataStoreCopySettings[0].CopyAfter == nil {
		return nil
	}
	option, path := l.TargetDataStoreCopySettings[0].CopyAfter, arm.At(arm.Item(at, 0), "copyAfter")
	switch {
	case option.ObjectType.Is(arm.TypeCopyAtOnce):
		return &VaultCopy{When: AtOnce}
	case option.ObjectType.Is(arm.TypeCopyOnExpiry):
		return &VaultCopy{When: OnExpiry}
	case !option.ObjectType.Is(arm.TypeCopyAfter) || option.Duration == "":
		return nil // the form says so
	}
	delay, err := schedule.ParsePeriod(option.Duration)
	r.Add(arm.At(path, "duration"), err)
	if err == nil && kept != nil && !delay.Less(*kept) {
		r.Addf(arm.At(path, "duration"), "copy earlier, or with CopyOnExpiryOption", "is %s, and the OperationalStore keeps it no longer than %s", option.Duration, shown(l.DeleteAfter.Duration))
	}
	return &VaultCopy{When: AfterDelay, Delay: delay}
}
