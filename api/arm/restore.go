package arm

import (
	"github.com/go-json-experiment/json/jsontext"

	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
)

// ValidateRestoreRequest asks whether a restore could be made.
type ValidateRestoreRequest struct {
	RestoreRequestObject *RestoreRequest `json:"restoreRequestObject,omitempty"`
}

// RestoreRequest asks for a restore.
type RestoreRequest struct {
	ObjectType          Word               `json:"objectType,omitempty"`
	RecoveryPointID     string             `json:"recoveryPointId,omitempty"`
	SourceDataStoreType Word               `json:"sourceDataStoreType,omitempty"`
	SourceResourceID    string             `json:"sourceResourceId,omitempty"`
	IdentityDetails     *IdentityDetails   `json:"identityDetails,omitempty"`
	RestoreTargetInfo   *RestoreTargetInfo `json:"restoreTargetInfo,omitempty"`
	// ResourceGuardOperationRequests are of the request alone.
	ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`
}

// The discriminators of a restore.
const (
	TypePointRestore       Word = "AzureBackupRecoveryPointBasedRestoreRequest"
	TypeTimeRestore        Word = "AzureBackupRecoveryTimeBasedRestoreRequest"
	TypeRehydratingRestore Word = "AzureBackupRestoreWithRehydrationRequest"
	TypeItemTarget         Word = "ItemLevelRestoreTargetInfo"
	TypeRestoreCriteria    Word = "KubernetesClusterRestoreCriteria"
	TypeVaultCriteria      Word = "KubernetesClusterVaultTierRestoreCriteria"
)

// RestoreTargetInfo says where to, and what.
type RestoreTargetInfo struct {
	ObjectType        Word              `json:"objectType,omitempty"`
	RecoveryOption    Word              `json:"recoveryOption,omitempty"`
	RestoreLocation   string            `json:"restoreLocation,omitempty"`
	DatasourceInfo    *Datasource       `json:"datasourceInfo,omitempty"`
	DatasourceSetInfo *Datasource       `json:"datasourceSetInfo,omitempty"`
	RestoreCriteria   []RestoreCriteria `json:"restoreCriteria,omitempty"`
}

// FailIfExists is the recovery option that clients send, whatever the conflict policy says.
const FailIfExists Word = "FailIfExists"

// RestoreCriteria say what of a recovery point is restored, and how.
type RestoreCriteria struct {
	ObjectType                   Word                           `json:"objectType,omitempty"`
	IncludeClusterScopeResources *bool                          `json:"includeClusterScopeResources,omitempty"`
	IncludedNamespaces           []string                       `json:"includedNamespaces,omitempty"`
	ExcludedNamespaces           []string                       `json:"excludedNamespaces,omitempty"`
	IncludedResourceTypes        []string                       `json:"includedResourceTypes,omitempty"`
	ExcludedResourceTypes        []string                       `json:"excludedResourceTypes,omitempty"`
	LabelSelectors               []string                       `json:"labelSelectors,omitempty"`
	PersistentVolumeRestoreMode  Word                           `json:"persistentVolumeRestoreMode,omitempty"`
	ConflictPolicy               Word                           `json:"conflictPolicy,omitempty"`
	NamespaceMappings            map[string]string              `json:"namespaceMappings,omitempty"`
	RestoreHookReferences        []v1alpha1.NamespacedReference `json:"restoreHookReferences,omitempty"`
	ResourceModifierReference    *v1alpha1.NamespacedReference  `json:"resourceModifierReference,omitempty"`
	Coffer                       *CofferRestoreOptions          `json:"coffer,omitempty"`

	// Of a KubernetesClusterVaultTierRestoreCriteria:

	StagingResourceGroupID  string `json:"stagingResourceGroupId,omitempty"`
	StagingStorageAccountID string `json:"stagingStorageAccountId,omitempty"`
}

// CofferRestoreOptions are what a Restore can be told beyond AKS Backup's fields, with the Restore's own names.
type CofferRestoreOptions struct {
	OrLabelSelectors      []string                      `json:"orLabelSelectors,omitempty"`
	IncludedObjects       []v1alpha1.ObjectName         `json:"includedObjects,omitempty"`
	ConflictPolicies      []v1alpha1.TypeConflictPolicy `json:"conflictPolicies,omitempty"`
	ConfirmReplace        bool                          `json:"confirmReplace,omitempty"`
	RestoreRolloutHistory bool                          `json:"restoreRolloutHistory,omitempty"`
	Priorities            []string                      `json:"priorities,omitempty"`
	PlanOnly              bool                          `json:"planOnly,omitempty"`
	PlanDigest            string                        `json:"planDigest,omitempty"`
	StorageClassMappings  map[string]string             `json:"storageClassMappings,omitempty"`
	PreserveNodePorts     bool                          `json:"preserveNodePorts,omitempty"`
	RestoreStatus         *v1alpha1.StatusSelection     `json:"restoreStatus,omitempty"`
	// OnlyNeededClusterScopeResources, with includeClusterScopeResources false, restores the cluster-scoped objects that the selected ones
	// need; all of them, if the whole recovery point is restored under its own names.
	OnlyNeededClusterScopeResources bool `json:"onlyNeededClusterScopeResources,omitempty"`
	// ReadyTimeout is a duration as Go writes it: 5m.
	ReadyTimeout string `json:"readyTimeout,omitempty"`
	// StorageLocation is the BackupStorageLocation of the target cluster that holds the recovery point; empty is default.
	StorageLocation string `json:"storageLocation,omitempty"`
}

// UnmarshalJSONFrom refuses fields that are not known.
func (o *CofferRestoreOptions) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain CofferRestoreOptions
	return strict(d, (*plain)(o))
}

// Problems are what is wrong with the form of a request for a restore.
func (r *RestoreRequest) Problems(at string) []Problem {
	var f form
	if f.word(At(at, "objectType"), r.ObjectType, TypePointRestore) {
		f.text(At(at, "recoveryPointId"), r.RecoveryPointID, maxText)
	}
	f.word(At(at, "sourceDataStoreType"), r.SourceDataStoreType, OperationalStore, VaultStore)
	path := At(at, "restoreTargetInfo")
	if !f.required(path, r.RestoreTargetInfo != nil) {
		return f
	}
	t := r.RestoreTargetInfo
	if !f.word(At(path, "objectType"), t.ObjectType, TypeItemTarget) {
		return f
	}
	f.word(At(path, "recoveryOption"), t.RecoveryOption, FailIfExists)
	t.DatasourceInfo.form(At(path, "datasourceInfo"), &f, TypeDatasource)
	if t.DatasourceSetInfo != nil {
		t.DatasourceSetInfo.form(At(path, "datasourceSetInfo"), &f, TypeDatasourceSet, TypeDatasource)
	}
	path = At(path, "restoreCriteria")
	if f.required(path, len(t.RestoreCriteria) > 0) && f.count(path, len(t.RestoreCriteria), 1) {
		t.RestoreCriteria[0].form(Item(path, 0), &f)
	}
	return f
}

func (c *RestoreCriteria) form(at string, f *form) {
	if !f.word(At(at, "objectType"), c.ObjectType, TypeRestoreCriteria, TypeVaultCriteria) {
		return
	}
	f.required(At(at, "includeClusterScopeResources"), c.IncludeClusterScopeResources != nil)
	f.optional(At(at, "persistentVolumeRestoreMode"), c.PersistentVolumeRestoreMode,
		Word(v1alpha1.RestoreWithVolumeData), Word(v1alpha1.RestoreWithoutVolumeData))
	f.optional(At(at, "conflictPolicy"), c.ConflictPolicy, ConflictPolicies()...)
}

// ConflictPolicies are what may be done with an object that exists. AKS Backup knows the first two.
func ConflictPolicies() []Word {
	return []Word{
		Word(v1alpha1.ConflictSkip), Word(v1alpha1.ConflictPatch), Word(v1alpha1.ConflictReplace), Word(v1alpha1.ConflictFail),
	}
}
