package vault

import (
	"github.com/coffer-backup/coffer/api/arm"
)

// Shown are the settings as a client reads them, complete, so that what it did not say is what it finds when it compares.
func (s Settings) Shown() arm.Vault {
	days := float64(s.SoftDeleteDays)
	var own *arm.CofferVaultOptions
	if quotas := s.Quotas.Shown(); quotas != nil {
		own = &arm.CofferVaultOptions{Quotas: quotas}
	}
	return arm.Vault{
		Coffer:          own,
		StorageSettings: s.Stores,
		SecuritySettings: &arm.SecuritySettings{
			SoftDeleteSettings:   &arm.SoftDeleteSettings{State: s.SoftDelete, RetentionDurationInDays: &days},
			ImmutabilitySettings: &arm.State{State: s.Immutability},
		},
		FeatureSettings: &arm.FeatureSettings{
			CrossRegionRestoreSettings:       &arm.State{State: s.CrossRegion},
			CrossSubscriptionRestoreSettings: &arm.State{State: s.CrossSubscription},
		},
		MonitoringSettings: &arm.MonitoringSettings{AzureMonitorAlertSettings: &arm.AlertSettings{AlertsForAllJobFailures: s.Alerts}},
	}
}

// Protection is what guards a vault beside its settings.
type Protection struct {
	// Guarded says that critical operations need the consent of a resource guard.
	Guarded bool
	// Paired is the region that a GeoRedundant vault is copied to; empty is none.
	Paired string
}

// Score says how well a vault is protected against those who may write to it: a word of secureScore, one of bcdrSecurityLevel,
// and why.
type Score struct {
	SecureScore, SecurityLevel arm.Word
	Reason                     string
}

// Score counts three defences: soft delete, immutability and a resource guard. All three, none of which can be taken back, are the
// most there is.
func (s Settings) Score(p Protection) Score {
	defences := 0
	for _, there := range []bool{s.SoftDelete != arm.StateOff, s.Immutability != arm.StateDisabled, p.Guarded} {
		if there {
			defences++
		}
	}
	switch {
	case defences == 3 && s.SoftDelete == arm.StateAlwaysOn && s.Immutability == arm.StateLocked:
		return Score{"Maximum", "Excellent", "soft delete is AlwaysOn, immutability Locked, and a resource guard is in place"}
	case defences >= 2:
		return Score{"Adequate", "Good", "two defences are in place; soft delete AlwaysOn, immutability Locked and a resource guard make it the most"}
	case defences == 1:
		return Score{"Minimum", "Fair", "one of soft delete, immutability and a resource guard is in place"}
	}
	return Score{"None", "Poor", "soft delete is Off, immutability Disabled, and there is no resource guard"}
}

// ReplicatedRegions are those that hold the vault's data: its own, and the paired one of a GeoRedundant vault.
func (s Settings) ReplicatedRegions(p Protection) []string {
	if s.Redundancy == arm.GeoRedundant && p.Paired != "" {
		return []string{s.Location, Location(p.Paired)}
	}
	return []string{s.Location}
}
