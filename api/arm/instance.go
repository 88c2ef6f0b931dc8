package arm

import (
	"encoding/json"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// InstanceResource is the body of a backup instance.
type InstanceResource struct {
	Properties *Instance          `json:"properties,omitempty"`
	Tags       map[string]*string `json:"tags,omitempty"`
}

// Instance are the properties of a backup instance.
type Instance struct {
	ObjectType                Word             `json:"objectType,omitempty"`
	FriendlyName              string           `json:"friendlyName,omitempty"`
	DataSourceInfo            *Datasource      `json:"dataSourceInfo,omitempty"`
	DataSourceSetInfo         *Datasource      `json:"dataSourceSetInfo,omitempty"`
	PolicyInfo                *PolicyInfo      `json:"policyInfo,omitempty"`
	IdentityDetails           *IdentityDetails `json:"identityDetails,omitempty"`
	ValidationType            Word             `json:"validationType,omitempty"`
	DatasourceAuthCredentials json.RawMessage  `json:"datasourceAuthCredentials,omitempty"`
	// ResourceGuardOperationRequests are of the request, and not kept.
	ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`
}

// SyncRequest is the body of a request to synchronise an instance.
type SyncRequest struct {
	SyncType Word `json:"syncType,omitempty"`
}

// The types of synchronising.
const (
	SyncDefault Word = "Default"
	SyncForce   Word = "ForceResync"
)

// SuspendRequest is the body of a request to stop the protection of an instance, to suspend its backups, to purge a deleted one or to release a
// legal hold. It may be left out.
type SuspendRequest struct {
	ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`
}

// The discriminators of an instance.
const (
	TypeInstance                 Word = "BackupInstance"
	TypeDeletedInstance          Word = "DeletedBackupInstance"
	TypeDatasource               Word = "Datasource"
	TypeDatasourceSet            Word = "DatasourceSet"
	TypeOperationalStoreSettings Word = "AzureOperationalStoreParameters"
	TypeClusterBackupSettings    Word = "KubernetesClusterBackupDatasourceParameters"
)

// Datasource is what is backed up, or restored to.
type Datasource struct {
	ObjectType       Word   `json:"objectType,omitempty"`
	DatasourceType   Word   `json:"datasourceType,omitempty"`
	ResourceID       string `json:"resourceID,omitempty"`
	ResourceURI      string `json:"resourceUri,omitempty"`
	ResourceName     string `json:"resourceName,omitempty"`
	ResourceType     Word   `json:"resourceType,omitempty"`
	ResourceLocation string `json:"resourceLocation,omitempty"`
}

// IdentityDetails say which of a vault's identities is used.
type IdentityDetails struct {
	UseSystemAssignedIdentity  *bool  `json:"useSystemAssignedIdentity,omitempty"`
	UserAssignedIdentityArmURL string `json:"userAssignedIdentityArmUrl,omitempty"`
}

// PolicyInfo says by which policy an instance is backed up, and what of its cluster.
type PolicyInfo struct {
	PolicyID         string            `json:"policyId,omitempty"`
	PolicyVersion    string            `json:"policyVersion,omitempty"`
	PolicyParameters *PolicyParameters `json:"policyParameters,omitempty"`
}

// PolicyParameters are the configuration of an instance.
type PolicyParameters struct {
	DataStoreParametersList        []DataStoreParameters     `json:"dataStoreParametersList,omitempty"`
	BackupDatasourceParametersList []ClusterBackupParameters `json:"backupDatasourceParametersList,omitempty"`
}

// DataStoreParameters say where snapshots are kept.
type DataStoreParameters struct {
	ObjectType      Word   `json:"objectType,omitempty"`
	DataStoreType   Word   `json:"dataStoreType,omitempty"`
	ResourceGroupID string `json:"resourceGroupId,omitempty"`
}

// ClusterBackupParameters say what of a cluster is backed up.
type ClusterBackupParameters struct {
	ObjectType                   Word                           `json:"objectType,omitempty"`
	SnapshotVolumes              *bool                          `json:"snapshotVolumes,omitempty"`
	IncludeClusterScopeResources *bool                          `json:"includeClusterScopeResources,omitempty"`
	IncludedNamespaces           []string                       `json:"includedNamespaces,omitempty"`
	ExcludedNamespaces           []string                       `json:"excludedNamespaces,omitempty"`
	IncludedResourceTypes        []string                       `json:"includedResourceTypes,omitempty"`
	ExcludedResourceTypes        []string                       `json:"excludedResourceTypes,omitempty"`
	LabelSelectors               []string                       `json:"labelSelectors,omitempty"`
	IncludedVolumeTypes          []Word                         `json:"includedVolumeTypes,omitempty"`
	BackupHookReferences         []v1alpha1.NamespacedReference `json:"backupHookReferences,omitempty"`
	Coffer                       *CofferBackupOptions           `json:"coffer,omitempty"`
}

// The types of volume.
const (
	VolumesAzureDisk      Word = "AzureDisk"
	VolumesAzureFileShare Word = "AzureFileShareSMB"
)

// CofferBackupOptions are what a Backup can be told beyond AKS Backup's fields, with the Backup's own names.
type CofferBackupOptions struct {
	OrLabelSelectors                []string                `json:"orLabelSelectors,omitempty"`
	IncludedObjects                 []v1alpha1.ObjectName   `json:"includedObjects,omitempty"`
	OnlyNeededClusterScopeResources bool                    `json:"onlyNeededClusterScopeResources,omitempty"`
	VolumePolicies                  []v1alpha1.VolumePolicy `json:"volumePolicies,omitempty"`
	AllowEmpty                      bool                    `json:"allowEmpty,omitempty"`
}

// UnmarshalJSONFrom refuses fields that are not known.
func (o *CofferBackupOptions) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain CofferBackupOptions
	return strict(d, (*plain)(o))
}

// ValidateForBackupRequest asks whether an instance could be created, or, of one that is there, be changed.
type ValidateForBackupRequest struct {
	BackupInstance *Instance `json:"backupInstance,omitempty"`
}

// BackupRequest asks for a recovery point at once.
type BackupRequest struct {
	BackupRuleOptions *BackupRuleOptions `json:"backupRuleOptions,omitempty"`
}

// BackupRuleOptions name the rule that is followed out of turn.
type BackupRuleOptions struct {
	RuleName      string               `json:"ruleName,omitempty"`
	TriggerOption *BackupTriggerOption `json:"triggerOption,omitempty"`
}

// BackupTriggerOption chooses how long the recovery point is kept.
type BackupTriggerOption struct {
	RetentionTagOverride string `json:"retentionTagOverride,omitempty"`
}

// Problems are what is wrong with the form of an instance.
func (i *Instance) Problems(at string) []Problem {
	var f form
	f.word(At(at, "objectType"), i.ObjectType, TypeInstance)
	i.DataSourceInfo.form(At(at, "dataSourceInfo"), &f, TypeDatasource)
	if i.DataSourceSetInfo != nil {
		i.DataSourceSetInfo.form(At(at, "dataSourceSetInfo"), &f, TypeDatasourceSet, TypeDatasource)
	}
	if c := i.DatasourceAuthCredentials; len(c) > 0 && string(c) != "null" {
		// It could have a secret in it, which would be kept, and shown, as it is.
		f.add(At(at, "datasourceAuthCredentials"), "is there: clusters are backed up without credentials; leave it out")
	}
	f.optional(At(at, "validationType"), i.ValidationType, "ShallowValidation", "DeepValidation")
	if path := At(at, "policyInfo"); f.required(path, i.PolicyInfo != nil) {
		f.text(At(path, "policyId"), i.PolicyInfo.PolicyID, maxText)
		if path := At(path, "policyParameters"); f.required(path, i.PolicyInfo.PolicyParameters != nil) {
			i.PolicyInfo.PolicyParameters.form(path, &f)
		}
	}
	return f
}

func (d *Datasource) form(at string, f *form, types ...Word) {
	if !f.required(at, d != nil) {
		return
	}
	f.optional(At(at, "objectType"), d.ObjectType, types...)
	f.word(At(at, "datasourceType"), d.DatasourceType, ManagedClusters)
	f.optional(At(at, "resourceType"), d.ResourceType, ManagedClusters)
	f.text(At(at, "resourceID"), d.ResourceID, maxText)
}

func (p *PolicyParameters) form(at string, f *form) {
	path := At(at, "dataStoreParametersList")
	if f.required(path, len(p.DataStoreParametersList) > 0) && f.count(path, len(p.DataStoreParametersList), 1) {
		path, s := Item(path, 0), p.DataStoreParametersList[0]
		f.word(At(path, "objectType"), s.ObjectType, TypeOperationalStoreSettings)
		f.word(At(path, "dataStoreType"), s.DataStoreType, OperationalStore)
		f.text(At(path, "resourceGroupId"), s.ResourceGroupID, maxText)
	}
	path = At(at, "backupDatasourceParametersList")
	if !f.count(path, len(p.BackupDatasourceParametersList), 1) {
		return
	}
	for i := range p.BackupDatasourceParametersList {
		p.BackupDatasourceParametersList[i].form(Item(path, i), f)
	}
}

func (b *ClusterBackupParameters) form(at string, f *form) {
	if !f.word(At(at, "objectType"), b.ObjectType, TypeClusterBackupSettings) {
		return
	}
	f.required(At(at, "snapshotVolumes"), b.SnapshotVolumes != nil)
	f.required(At(at, "includeClusterScopeResources"), b.IncludeClusterScopeResources != nil)
	path := At(at, "includedVolumeTypes")
	if f.count(path, len(b.IncludedVolumeTypes), 10) {
		for i, v := range b.IncludedVolumeTypes {
			f.word(Item(path, i), v, VolumesAzureDisk, VolumesAzureFileShare)
		}
	}
}

// Problems are what is wrong with the form of a request for a backup.
func (b *BackupRequest) Problems(at string) []Problem {
	var f form
	if path := At(at, "backupRuleOptions"); f.required(path, b.BackupRuleOptions != nil) {
		f.text(At(path, "ruleName"), b.BackupRuleOptions.RuleName, maxText)
	}
	return f
}
