// Package vault decides on Backup vaults: which settings are possible, which of them may still be changed, and when a vault may be
// deleted.
package vault

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/quota"
	"github.com/coffer-backup/coffer/internal/decide/refusal"
)

// Settings are those of a vault, all of them, in their canonical spelling.
type Settings struct {
	// Location in lower case, without blanks: "West Europe" is westeurope.
	Location string
	// Redundancy of the vault tier, and Stores as the client has them.
	Redundancy arm.Word
	Stores     []arm.StorageSetting
	// SoftDelete is Off, On or AlwaysOn, and SoftDeleteDays how long what was deleted can be had again.
	SoftDelete     arm.Word
	SoftDeleteDays int
	// Immutability is Disabled, Unlocked or Locked.
	Immutability arm.Word
	// CrossRegion restore is Enabled or Disabled, CrossSubscription restore PermanentlyDisabled besides.
	CrossRegion, CrossSubscription arm.Word
	// Alerts for failed jobs are Enabled or Disabled.
	Alerts arm.Word
	// Quotas are the vault's own, beside the server's.
	Quotas quota.Quotas
}

// Bounds of soft delete, in days.
const (
	LeastSoftDeleteDays = 14
	MostSoftDeleteDays  = 180
)

var vaultName = regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9]{0,48}[A-Za-z0-9]$`)

// CheckName refuses what cannot be the name of a vault.
func CheckName(name string) error {
	if vaultName.MatchString(name) {
		return nil
	}
	const shown = 60
	return coffer.Errorf(coffer.CodeInvalidInput, "%q cannot be the name of a Backup vault", strings.ToValidUTF8(name[:min(shown, len(name))], "")).
		WithHint("write 2 to 50 letters, digits and hyphens, beginning with a letter and ending with a letter or digit")
}

// Location is one spelling of a region's name for all that clients write.
func Location(name string) string { return strings.ToLower(strings.ReplaceAll(name, " ", "")) }

// Parse reads the body of a vault. What it leaves out is as it was, or, in a new vault (was is nil), as Azure has it: soft delete On
// for 14 days, alerts of failed jobs Enabled, everything else Disabled. The error tells everything that is wrong, also with the change from what it was.
func Parse(v *arm.VaultResource, was *Settings) (Settings, error) {
	r := reader{settings: Settings{
		SoftDelete: arm.StateOn, SoftDeleteDays: LeastSoftDeleteDays, Immutability: arm.StateDisabled,
		CrossRegion: arm.StateDisabled, CrossSubscription: arm.StateDisabled, Alerts: arm.StateEnabled,
	}}
	if was != nil {
		r.settings = *was
	}
	if v == nil {
		r.Addf("", "", "the body is missing")
		return Settings{}, r.Err(refused)
	}
	r.Form(v.Problems(""))
	r.resource(v)
	if was != nil {
		r.change(*was)
	}
	if err := r.Err(refused); err != nil {
		return Settings{}, err
	}
	return r.settings, nil
}

const refused = "the Backup vault"

// reader makes settings of their wire form, and gathers what is wrong. Nothing of the form can be relied on.
type reader struct {
	refusal.List

	settings Settings
}

var locationForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,59}$`)

func (r *reader) resource(v *arm.VaultResource) {
	if v.Location != "" {
		r.settings.Location = Location(v.Location)
		if !locationForm.MatchString(r.settings.Location) {
			r.Addf("location", "write the name of a region in letters, digits and hyphens, such as westeurope", "is not the name of a region")
		}
	}
	if i := v.Identity; i != nil && strings.Contains(strings.ToLower(string(i.Type)), "userassigned") && len(i.UserAssignedIdentities) == 0 {
		r.Addf("identity.userAssignedIdentities", `name an identity, or write "type": "SystemAssigned"`, "is missing, and the type is %s", i.Type)
	}
	if v.Properties == nil {
		return
	}
	r.storage(v.Properties.StorageSettings)
	if s := v.Properties.SecuritySettings; s != nil {
		r.security(s)
	}
	if f := v.Properties.FeatureSettings; f != nil {
		r.features(f)
	}
	if m := v.Properties.MonitoringSettings; m != nil && m.AzureMonitorAlertSettings != nil {
		r.settings.Alerts = cmp.Or(m.AzureMonitorAlertSettings.AlertsForAllJobFailures.Canonical(arm.StateEnabled, arm.StateDisabled), r.settings.Alerts)
	}
	if c := v.Properties.Coffer; c != nil {
		r.settings.Quotas = r.settings.Quotas.With(c.Quotas)
	}
	if r.settings.CrossRegion == arm.StateEnabled && r.settings.Redundancy != arm.GeoRedundant && r.settings.Redundancy != "" {
		r.Addf("properties.featureSettings.crossRegionRestoreSettings.state", "leave it Disabled, or create a vault whose storageSettings have type GeoRedundant",
			"is Enabled, and needs a vault that is GeoRedundant: this one is %s", r.settings.Redundancy)
	}
}

// storage reads the redundancy: that of the vault tier, or, if it is not among them, of the first store.
func (r *reader) storage(stores []arm.StorageSetting) {
	const path = "properties.storageSettings"
	seen := map[arm.Word]bool{}
	var all []arm.StorageSetting
	var redundancy arm.Word
	for i, s := range stores {
		store := s.DatastoreType.Canonical(arm.VaultStore, arm.OperationalStore, arm.ArchiveStore)
		kind := s.Type.Canonical(arm.LocallyRedundant, arm.ZoneRedundant, arm.GeoRedundant)
		if store == "" || kind == "" {
			continue // the form says so
		}
		if seen[store] {
			r.Addf(arm.At(arm.Item(path, i), "datastoreType"), "name each store once", "is %s a second time", store)
		}
		seen[store] = true
		all = append(all, arm.StorageSetting{DatastoreType: store, Type: kind})
		if redundancy == "" || store == arm.VaultStore {
			redundancy = kind
		}
	}
	if redundancy != "" {
		r.settings.Redundancy, r.settings.Stores = redundancy, all
	}
}

func (r *reader) security(s *arm.SecuritySettings) {
	const path = "properties.securitySettings"
	if d := s.SoftDeleteSettings; d != nil {
		r.settings.SoftDelete = cmp.Or(d.State.Canonical(arm.StateOff, arm.StateOn, arm.StateAlwaysOn), r.settings.SoftDelete)
		r.softDeleteDays(d, arm.At(path, "softDeleteSettings.retentionDurationInDays"))
	}
	if i := s.ImmutabilitySettings; i != nil {
		r.settings.Immutability = cmp.Or(i.State.Canonical(arm.StateDisabled, arm.StateUnlocked, arm.StateLocked), r.settings.Immutability)
	}
	if e := s.EncryptionSettings; e != nil && e.State.Is(arm.StateEnabled) {
		// To take the setting and not to follow it would be a lie.
		r.Addf(arm.At(path, "encryptionSettings.state"), "leave encryptionSettings out; the server encrypts with its own key", "is Enabled: vaults cannot have keys of their own")
	}
}

func (r *reader) softDeleteDays(d *arm.SoftDeleteSettings, path string) {
	if d.RetentionDurationInDays == nil {
		return
	}
	days := *d.RetentionDurationInDays
	switch {
	// Clients send 0 with what is off.
	case r.settings.SoftDelete == arm.StateOff && days == 0:
	case days != float64(int(days)) || days < LeastSoftDeleteDays || days > MostSoftDeleteDays:
		r.Addf(path, "write a whole number from 14 to 180", "is %v", days)
	default:
		r.settings.SoftDeleteDays = int(days)
	}
}

func (r *reader) features(f *arm.FeatureSettings) {
	if s := f.CrossRegionRestoreSettings; s != nil {
		r.settings.CrossRegion = cmp.Or(s.State.Canonical(arm.StateEnabled, arm.StateDisabled), r.settings.CrossRegion)
	}
	if s := f.CrossSubscriptionRestoreSettings; s != nil {
		r.settings.CrossSubscription = cmp.Or(s.State.Canonical(arm.StateEnabled, arm.StateDisabled, arm.StatePermanentlyDisabled), r.settings.CrossSubscription)
	}
}
