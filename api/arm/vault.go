package arm

import (
	"encoding/json"
	"time"
)

// Bounds of texts that have no bound of their own.
const (
	maxText = 2048
	maxList = 1000
)

// VaultResource is the body of a Backup vault.
type VaultResource struct {
	Location   string             `json:"location,omitempty"`
	Tags       map[string]*string `json:"tags,omitempty"`
	Identity   *Identity          `json:"identity,omitempty"`
	Properties *Vault             `json:"properties,omitempty"`
}

// Identity says which identities a resource has. IDs are names to those who keep clusters in Azure, and nothing else here.
type Identity struct {
	Type                   Word                       `json:"type,omitempty"`
	PrincipalID            string                     `json:"principalId,omitempty"`
	TenantID               string                     `json:"tenantId,omitempty"`
	UserAssignedIdentities map[string]json.RawMessage `json:"userAssignedIdentities,omitempty"`
}

// The types of an identity.
const (
	IdentityNone           Word = "None"
	IdentitySystem         Word = "SystemAssigned"
	IdentityUser           Word = "UserAssigned"
	IdentitySystemAndUser  Word = "SystemAssigned,UserAssigned"
	identitySystemAndSpace Word = "SystemAssigned, UserAssigned"
)

// Vault are the properties of a Backup vault: first what a client says, then what the server adds.
type Vault struct {
	StorageSettings    []StorageSetting    `json:"storageSettings,omitempty"`
	SecuritySettings   *SecuritySettings   `json:"securitySettings,omitempty"`
	FeatureSettings    *FeatureSettings    `json:"featureSettings,omitempty"`
	MonitoringSettings *MonitoringSettings `json:"monitoringSettings,omitempty"`
	// Coffer is what Azure has no word for.
	Coffer *CofferVaultOptions `json:"coffer,omitempty"`
	// ResourceGuardOperationRequests are of the request, and not kept.
	ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`

	ProvisioningState               Word     `json:"provisioningState,omitempty"`
	SecureScore                     Word     `json:"secureScore,omitempty"`
	BcdrSecurityLevel               Word     `json:"bcdrSecurityLevel,omitempty"`
	IsVaultProtectedByResourceGuard *bool    `json:"isVaultProtectedByResourceGuard,omitempty"`
	ReplicatedRegions               []string `json:"replicatedRegions,omitempty"`
}

// DeletedVault are the properties of a Backup vault that was deleted and can be had again.
type DeletedVault struct {
	Vault

	OriginalBackupVaultID           string                `json:"originalBackupVaultId"`
	OriginalBackupVaultName         string                `json:"originalBackupVaultName"`
	OriginalBackupVaultResourcePath string                `json:"originalBackupVaultResourcePath"`
	ResourceDeletionInfo            *ResourceDeletionInfo `json:"resourceDeletionInfo"`
}

// ResourceDeletionInfo says when a vault was deleted, by which request, and when it is gone for good.
type ResourceDeletionInfo struct {
	DeletionTime       time.Time `json:"deletionTime"`
	ScheduledPurgeTime time.Time `json:"scheduledPurgeTime"`
	DeleteActivityID   string    `json:"deleteActivityId,omitempty"`
}

// StorageSetting says how often what a vault holds is stored, and where.
type StorageSetting struct {
	DatastoreType Word `json:"datastoreType,omitempty"`
	Type          Word `json:"type,omitempty"`
}

// The kinds of data store, and of redundancy.
const (
	OperationalStore Word = "OperationalStore"
	VaultStore       Word = "VaultStore"
	ArchiveStore     Word = "ArchiveStore"

	LocallyRedundant Word = "LocallyRedundant"
	ZoneRedundant    Word = "ZoneRedundant"
	GeoRedundant     Word = "GeoRedundant"
)

// SecuritySettings of a vault.
type SecuritySettings struct {
	SoftDeleteSettings   *SoftDeleteSettings `json:"softDeleteSettings,omitempty"`
	ImmutabilitySettings *State              `json:"immutabilitySettings,omitempty"`
	EncryptionSettings   *EncryptionSettings `json:"encryptionSettings,omitempty"`
}

// SoftDeleteSettings say how long what was deleted can be had again.
type SoftDeleteSettings struct {
	State Word `json:"state,omitempty"`
	// RetentionDurationInDays is a fraction to some clients.
	RetentionDurationInDays *float64 `json:"retentionDurationInDays,omitempty"`
}

// State is a setting that is one word.
type State struct {
	State Word `json:"state,omitempty"`
}

// The states.
const (
	StateOff                 Word = "Off"
	StateOn                  Word = "On"
	StateAlwaysOn            Word = "AlwaysOn"
	StateDisabled            Word = "Disabled"
	StateUnlocked            Word = "Unlocked"
	StateLocked              Word = "Locked"
	StateEnabled             Word = "Enabled"
	StatePermanentlyDisabled Word = "PermanentlyDisabled"
	stateInconsistent        Word = "Inconsistent"
)

// EncryptionSettings name a customer's own key.
type EncryptionSettings struct {
	State                    Word                `json:"state,omitempty"`
	KeyVaultProperties       *KeyVaultProperties `json:"keyVaultProperties,omitempty"`
	InfrastructureEncryption Word                `json:"infrastructureEncryption,omitempty"`
}

// KeyVaultProperties say where a key is.
type KeyVaultProperties struct {
	KeyURI string `json:"keyUri,omitempty"`
}

// FeatureSettings of a vault.
type FeatureSettings struct {
	CrossRegionRestoreSettings       *State `json:"crossRegionRestoreSettings,omitempty"`
	CrossSubscriptionRestoreSettings *State `json:"crossSubscriptionRestoreSettings,omitempty"`
}

// MonitoringSettings of a vault.
type MonitoringSettings struct {
	AzureMonitorAlertSettings *AlertSettings `json:"azureMonitorAlertSettings,omitempty"`
}

// AlertSettings say what there are alerts for.
type AlertSettings struct {
	AlertsForAllJobFailures Word `json:"alertsForAllJobFailures,omitempty"`
}

// CofferVaultOptions are those of a vault that Azure has no word for.
type CofferVaultOptions struct {
	Quotas *Quotas `json:"quotas,omitempty"`
}

// Quotas bound what there may be in a vault, where they are tighter than the server's. 0 is none.
type Quotas struct {
	// OnDemandBackupsPerDay and RestoresPerDay are those that begin of an instance on a day, by UTC.
	OnDemandBackupsPerDay *int `json:"onDemandBackupsPerDay,omitempty"`
	RestoresPerDay        *int `json:"restoresPerDay,omitempty"`
	NamespacesPerInstance *int `json:"namespacesPerInstance,omitempty"`
	InstancesPerVault     *int `json:"instancesPerVault,omitempty"`
	PoliciesPerVault      *int `json:"policiesPerVault,omitempty"`
}

func (q *Quotas) form(at string, f *form) {
	const most = 1_000_000
	for name, n := range map[string]*int{
		"onDemandBackupsPerDay": q.OnDemandBackupsPerDay, "restoresPerDay": q.RestoresPerDay, "namespacesPerInstance": q.NamespacesPerInstance,
		"instancesPerVault": q.InstancesPerVault, "policiesPerVault": q.PoliciesPerVault,
	} {
		if n != nil && (*n < 0 || *n > most) {
			f.add(At(at, name), "is %d: expected 0, for none, to %d", *n, most)
		}
	}
}

// Problems are what is wrong with the form of a vault.
func (v *VaultResource) Problems(at string) []Problem {
	var f form
	f.text(At(at, "location"), v.Location, 100)
	f.count(At(at, "tags"), len(v.Tags), maxList)
	if i := v.Identity; i != nil {
		path := At(at, "identity")
		f.word(At(path, "type"), i.Type, IdentityNone, IdentitySystem, IdentityUser, IdentitySystemAndUser, identitySystemAndSpace)
		f.count(At(path, "userAssignedIdentities"), len(i.UserAssignedIdentities), maxList)
	}
	if path := At(at, "properties"); f.required(path, v.Properties != nil) {
		v.Properties.form(path, &f)
	}
	return f
}

func (v *Vault) form(at string, f *form) {
	path := At(at, "storageSettings")
	if f.required(path, len(v.StorageSettings) > 0) && f.count(path, len(v.StorageSettings), 3) {
		for i, s := range v.StorageSettings {
			f.word(At(Item(path, i), "datastoreType"), s.DatastoreType, ArchiveStore, OperationalStore, VaultStore)
			f.word(At(Item(path, i), "type"), s.Type, GeoRedundant, LocallyRedundant, ZoneRedundant)
		}
	}
	if s := v.SecuritySettings; s != nil {
		s.form(At(at, "securitySettings"), f)
	}
	if s := v.FeatureSettings; s != nil {
		path := At(at, "featureSettings")
		s.CrossRegionRestoreSettings.form(At(path, "crossRegionRestoreSettings"), f, StateEnabled, StateDisabled)
		s.CrossSubscriptionRestoreSettings.form(At(path, "crossSubscriptionRestoreSettings"), f,
			StateEnabled, StateDisabled, StatePermanentlyDisabled)
	}
	if s := v.MonitoringSettings; s != nil && s.AzureMonitorAlertSettings != nil {
		f.optional(At(at, "monitoringSettings.azureMonitorAlertSettings.alertsForAllJobFailures"),
			s.AzureMonitorAlertSettings.AlertsForAllJobFailures, StateEnabled, StateDisabled)
	}
	if c := v.Coffer; c != nil && c.Quotas != nil {
		c.Quotas.form(At(at, "coffer.quotas"), f)
	}
}

func (s *SecuritySettings) form(at string, f *form) {
	if d := s.SoftDeleteSettings; d != nil {
		f.optional(At(at, "softDeleteSettings.state"), d.State, StateOff, StateOn, StateAlwaysOn)
	}
	s.ImmutabilitySettings.form(At(at, "immutabilitySettings"), f, StateDisabled, StateUnlocked, StateLocked)
	if e := s.EncryptionSettings; e != nil {
		path := At(at, "encryptionSettings")
		f.optional(At(path, "state"), e.State, StateEnabled, StateDisabled, stateInconsistent)
		f.optional(At(path, "infrastructureEncryption"), e.InfrastructureEncryption, StateEnabled, StateDisabled)
		if e.State.Is(StateEnabled) && f.required(At(path, "keyVaultProperties"), e.KeyVaultProperties != nil) {
			f.text(At(path, "keyVaultProperties.keyUri"), e.KeyVaultProperties.KeyURI, maxText)
		}
	}
}

func (s *State) form(at string, f *form, possible ...Word) {
	if s != nil {
		f.optional(At(at, "state"), s.State, possible...)
	}
}
