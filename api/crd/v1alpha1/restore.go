package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// VolumeRestoreMode says whether a restore brings back the data of volumes.
// +kubebuilder:validation:Enum=RestoreWithVolumeData;RestoreWithoutVolumeData
type VolumeRestoreMode string

// The volume restore modes, with AKS Backup's names.
const (
	RestoreWithVolumeData    VolumeRestoreMode = "RestoreWithVolumeData"
	RestoreWithoutVolumeData VolumeRestoreMode = "RestoreWithoutVolumeData"
)

// ConflictPolicy says what a restore does with an object that already exists.
// +kubebuilder:validation:Enum=Skip
type ConflictPolicy string

// ConflictSkip leaves an existing object untouched.
const ConflictSkip ConflictPolicy = "Skip"

// RestoreSpec is one complete, self-contained request to restore a recovery point. It cannot be changed once created, but
// for Cancel.
type RestoreSpec struct {
	// StorageLocation names the BackupStorageLocation (in the same namespace) that holds the recovery point.
	// +kubebuilder:default=default
	// +kubebuilder:validation:MaxLength=253
	// +optional
	StorageLocation string `json:"storageLocation,omitempty"`

	// BackupName names the recovery point. It is looked up in the blob container, not among the Backup objects of
	// this cluster.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	BackupName string `json:"backupName"`

	// IncludedNamespaces are the namespaces to restore, by their names in the recovery point. Empty means all.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=atomic
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// ExcludedNamespaces are left out, by their names in the recovery point.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=atomic
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`
	// NamespaceMappings restores the objects of the namespace on the left into the one on the right, which is
	// created if it is missing.
	// +kubebuilder:validation:MaxProperties=800
	// +optional
	NamespaceMappings map[string]NamespaceName `json:"namespaceMappings,omitempty"`

	// IncludeClusterScopeResources true restores every cluster-scoped object of the recovery point, false none.
	// Left out, they are restored if the whole recovery point is, unmapped.
	// +optional
	IncludeClusterScopeResources *bool `json:"includeClusterScopeResources,omitempty"`

	// PersistentVolumeRestoreMode says whether volumes get their data back. Without it, claims are created empty.
	// +kubebuilder:default=RestoreWithVolumeData
	// +optional
	PersistentVolumeRestoreMode VolumeRestoreMode `json:"persistentVolumeRestoreMode,omitempty"`

	// ConflictPolicy says what to do with an object that already exists.
	// +kubebuilder:default=Skip
	// +optional
	ConflictPolicy ConflictPolicy `json:"conflictPolicy,omitempty"`

	// RestoreHookReferences name the RestoreHook objects whose hooks are run in the containers that this restore
	// brings about.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	RestoreHookReferences []NamespacedReference `json:"restoreHookReferences,omitempty"`

	// ResourceModifierReference names a ConfigMap with rules that change objects before they are created: AKS Backup's and
	// Velero's resource modifiers.
	// +optional
	// +nullable
	ResourceModifierReference *NamespacedReference `json:"resourceModifierReference,omitempty"`
	// StorageClassMappings gives claims of the storage class on the left the one on the right.
	// +kubebuilder:validation:MaxProperties=100
	// +optional
	StorageClassMappings map[string]StorageClassName `json:"storageClassMappings,omitempty"`
	// PreserveNodePorts keeps all node ports of Services. Without it those stay that a user chose, and the cluster allots
	// the others anew.
	// +optional
	PreserveNodePorts bool `json:"preserveNodePorts,omitempty"`
	// RestoreStatus chooses objects whose status is restored. Left out, none is, but where an object's annotation
	// velero.io/restore-status says "true".
	// +optional
	// +nullable
	RestoreStatus *StatusSelection `json:"restoreStatus,omitempty"`

	// Cancel ends the run: what it has created stays, and its phase is Cancelled. It is the one
	// field that may be changed, once, from false to true. A run that has ended stays as it is.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// StorageClassName is the name of a storage class.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
type StorageClassName string

// StatusSelection chooses types of objects. An annotation velero.io/restore-status of "true" or "false" on a single object
// comes before it.
type StatusSelection struct {
	// IncludedTypes are types whose status is restored, in any spelling: v1/Service, apps/Deployment, deployments.apps,
	// deployments, *.acme.io, *. Empty means all.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=200
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	IncludedTypes []string `json:"includedTypes,omitempty"`
	// ExcludedTypes are left out even when included.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=200
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	ExcludedTypes []string `json:"excludedTypes,omitempty"`
}

// RestoreProgress counts what a Restore has done so far.
type RestoreProgress struct {
	// ObjectsTotal is the number of objects that the plan creates.
	ObjectsTotal int `json:"objectsTotal"`
	// Created objects.
	Created int `json:"created"`
	// Existing objects that the conflict policy left untouched.
	Existing int `json:"existing"`
	// Skipped objects: those of the recovery point that the plan leaves to Kubernetes or leaves out.
	Skipped int `json:"skipped"`
	// Failed objects, each a warning.
	Failed int `json:"failed"`
	// VolumesTotal is the number of claims that get their data back.
	VolumesTotal int `json:"volumesTotal"`
	// VolumesBound is the number of those that are bound to a volume with their data.
	VolumesBound int `json:"volumesBound"`
	// HooksTotal is the number of restore hooks that apply to pods seen so far.
	HooksTotal int `json:"hooksTotal"`
	// HooksRun is the number of restore hooks that have run.
	HooksRun int `json:"hooksRun"`
}

// RestoreStatus is what became of a Restore.
type RestoreStatus struct {
	RunStatus `json:",inline"`

	// Progress counts what has been done.
	// +optional
	Progress RestoreProgress `json:"progress,omitempty"`
	// ManifestDigest is the SHA-256 of the manifest that was verified: "sha256:" and 64 hexadecimal digits.
	// +optional
	ManifestDigest string `json:"manifestDigest,omitempty"`
	// ResourceModifierDigest is the SHA-256 of the resource modifiers that the run goes by: "sha256:" and 64 hexadecimal
	// digits.
	// +optional
	ResourceModifierDigest string `json:"resourceModifierDigest,omitempty"`
	// HooksDone are the restore hooks that were started, each as POD-UID/REFERENCE/HOOK/INDEX: a hook is never
	// started twice.
	// +optional
	// +listType=set
	HooksDone []string `json:"hooksDone,omitempty"`
}

// Restore is one run that brings a recovery point, or a part of it, back into this cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Backup",type=string,JSONPath=`.spec.backupName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step`
// +kubebuilder:printcolumn:name="Created",type=integer,JSONPath=`.status.progress.created`
// +kubebuilder:printcolumn:name="Warnings",type=integer,JSONPath=`.status.warningCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Restore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="has(self.storageLocation) == has(oldSelf.storageLocation) && (!has(self.storageLocation) || self.storageLocation == oldSelf.storageLocation) && has(self.backupName) == has(oldSelf.backupName) && (!has(self.backupName) || self.backupName == oldSelf.backupName) && has(self.includedNamespaces) == has(oldSelf.includedNamespaces) && (!has(self.includedNamespaces) || self.includedNamespaces == oldSelf.includedNamespaces) && has(self.excludedNamespaces) == has(oldSelf.excludedNamespaces) && (!has(self.excludedNamespaces) || self.excludedNamespaces == oldSelf.excludedNamespaces) && has(self.namespaceMappings) == has(oldSelf.namespaceMappings) && (!has(self.namespaceMappings) || self.namespaceMappings == oldSelf.namespaceMappings) && has(self.includeClusterScopeResources) == has(oldSelf.includeClusterScopeResources) && (!has(self.includeClusterScopeResources) || self.includeClusterScopeResources == oldSelf.includeClusterScopeResources) && has(self.persistentVolumeRestoreMode) == has(oldSelf.persistentVolumeRestoreMode) && (!has(self.persistentVolumeRestoreMode) || self.persistentVolumeRestoreMode == oldSelf.persistentVolumeRestoreMode) && has(self.conflictPolicy) == has(oldSelf.conflictPolicy) && (!has(self.conflictPolicy) || self.conflictPolicy == oldSelf.conflictPolicy) && has(self.restoreHookReferences) == has(oldSelf.restoreHookReferences) && (!has(self.restoreHookReferences) || self.restoreHookReferences == oldSelf.restoreHookReferences)",message="a Restore cannot be changed once created, but for cancel; create another"
	// +kubebuilder:validation:XValidation:rule="has(self.resourceModifierReference) == has(oldSelf.resourceModifierReference) && (!has(self.resourceModifierReference) || self.resourceModifierReference == oldSelf.resourceModifierReference) && has(self.storageClassMappings) == has(oldSelf.storageClassMappings) && (!has(self.storageClassMappings) || self.storageClassMappings == oldSelf.storageClassMappings) && has(self.preserveNodePorts) == has(oldSelf.preserveNodePorts) && (!has(self.preserveNodePorts) || self.preserveNodePorts == oldSelf.preserveNodePorts) && has(self.restoreStatus) == has(oldSelf.restoreStatus) && (!has(self.restoreStatus) || self.restoreStatus == oldSelf.restoreStatus)",message="a Restore cannot be changed once created, but for cancel; create another"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || has(self.cancel) && self.cancel",message="a run that is being cancelled cannot be taken up again; create another"
	Spec   RestoreSpec   `json:"spec"`
	Status RestoreStatus `json:"status,omitempty"`
}

// RestoreList is a list of Restores.
//
// +kubebuilder:object:root=true
type RestoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Restore `json:"items"`
}
