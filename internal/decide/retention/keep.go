package retention

import "time"

// Kept says until when each tier keeps a recovery point.
type Kept struct {
	// Operational is when the operational tier may delete it.
	Operational time.Time
	// Vault is nil if it is not copied to the vault tier.
	Vault *KeptVault
}

// KeptVault is the part of the vault tier.
type KeptVault struct {
	// Copy is when it is copied at the earliest, and Expires when the copy may be deleted.
	Copy, Expires time.Time
}

// Expires is when the last tier may delete it.
func (k Kept) Expires() time.Time {
	if k.Vault != nil && k.Vault.Expires.After(k.Operational) {
		return k.Vault.Expires
	}
	return k.Operational
}

// Keep says until when a recovery point is kept that was taken at a time and falls under a rule. Months are counted in UTC.
func (p Policy) Keep(r Rule, taken time.Time) Kept {
	taken = taken.UTC()
	operational := r.Operational
	if operational == nil {
		operational = p.Default().Operational
	}
	kept := Kept{Operational: taken}
	if operational != nil {
		kept.Operational = operational.After(taken)
	}
	if r.Vault == nil {
		return kept
	}
	copied := taken
	switch r.Vault.When {
	case AfterDelay:
		copied = r.Vault.Delay.After(taken)
	case OnExpiry:
		copied = kept.Operational
	}
	kept.Vault = &KeptVault{Copy: copied, Expires: r.Vault.Keep.After(copied)}
	return kept
}
