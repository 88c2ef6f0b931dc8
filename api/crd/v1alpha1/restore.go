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
// +kubebuilder:validation:Enum=Skip;Patch;Replace;Fail
type ConflictPolicy string

// The conflict policies.
const (
	// ConflictSkip leaves an existing object untouched.
	ConflictSkip ConflictPolicy = "Skip"
	// ConflictPatch changes an existing object to what it was, as far as Kubernetes lets its fields be changed.
	ConflictPatch ConflictPolicy = "Patch"
	// ConflictReplace deletes an existing object, with its data if it is a claim, and creates it again.
	ConflictReplace ConflictPolicy = "Replace"
	// ConflictFail ends the run before its first write if any object exists.
	ConflictFail ConflictPolicy = "Fail"
)

// TypeConflictPolicy is a conflict policy for the objects of one type, or of several.
type TypeConflictPolicy struct {
	// Type in any spelling: v1/Secret, apps/Deployment, deployments.apps, deployments, *.apps, apps/*.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Type string `json:"type"`
	// Policy for its objects.
	Policy ConflictPolicy `json:"policy"`
}

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

	// IncludedNamespaces are the namespaces to restore, by their names in the recovery point: names, or patterns with *, ?
	// and [abc]. Empty means all. A name has to be in the recovery point.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=atomic
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// ExcludedNamespaces are left out even when included, by their names in the recovery point: names or patterns.
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

	// IncludedResourceTypes are the types of objects to restore, in any spelling: v1/Secret, apps/Deployment,
	// deployments.apps, deployments, *.apps, apps/*, *. Empty means all. One that the recovery point lacks is a warning.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=320
	// +listType=atomic
	IncludedResourceTypes []string `json:"includedResourceTypes,omitempty"`
	// ExcludedResourceTypes are left out even when included.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=320
	// +listType=atomic
	ExcludedResourceTypes []string `json:"excludedResourceTypes,omitempty"`
	// LabelSelectors have all to match the labels of an archived object: k=v (or k:v), k!=v, k in (a,b), k notin (a,b), k,
	// !k, several of them separated by commas or semicolons.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=4096
	// +listType=atomic
	LabelSelectors []string `json:"labelSelectors,omitempty"`
	// OrLabelSelectors are alternatives: one of them has to match, beside all of LabelSelectors.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=4096
	// +listType=atomic
	OrLabelSelectors []string `json:"orLabelSelectors,omitempty"`
	// IncludedObjects are single objects, by their names in the recovery point: these are restored, and the cluster-scoped
	// objects that they need. The recovery point has to have them. They cannot be combined with IncludedNamespaces,
	// IncludedResourceTypes or label selectors.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=500
	// +listType=atomic
	IncludedObjects []ObjectName `json:"includedObjects,omitempty"`

	// IncludeClusterScopeResources true restores every cluster-scoped object that the other filters let through, false none
	// but the namespaces themselves. Left out, they are restored if the whole recovery point is, unmapped; else those that
	// the selected objects need.
	// +optional
	IncludeClusterScopeResources *bool `json:"includeClusterScopeResources,omitempty"`

	// PersistentVolumeRestoreMode says whether volumes get their data back. Without it, claims are created empty.
	// +kubebuilder:default=RestoreWithVolumeData
	// +optional
	PersistentVolumeRestoreMode VolumeRestoreMode `json:"persistentVolumeRestoreMode,omitempty"`

	// ConflictPolicy says what to do with an object that already exists: Skip leaves it as it is; Patch changes what differs
	// and can be changed; Replace deletes it and creates it again, claims with their data included; Fail ends the run before
	// its first write. ServiceAccounts are patched under every policy but Fail, for controllers write to them. What is
	// restored only because something else needs it is left as it is under every policy.
	// +kubebuilder:default=Skip
	// +optional
	ConflictPolicy ConflictPolicy `json:"conflictPolicy,omitempty"`
	// ConflictPolicies are other policies for single types. The first one that matches a type decides.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	ConflictPolicies []TypeConflictPolicy `json:"conflictPolicies,omitempty"`
	// ConfirmReplace has to be true where a policy is Replace: what is replaced is deleted, with its data.
	// +optional
	ConfirmReplace bool `json:"confirmReplace,omitempty"`

	// RestoreRolloutHistory true restores the ReplicaSets and ControllerRevisions of restored workloads as well, so that
	// `kubectl rollout undo` goes on to work. Left out, the workloads make them anew.
	// +optional
	RestoreRolloutHistory bool `json:"restoreRolloutHistory,omitempty"`
	// Priorities are types that are restored before all others, in this order, then "-" and types that are restored after all
	// others, in Velero's notation: without "-", all are first. Any spelling will do.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=320
	// +listType=atomic
	Priorities []string `json:"priorities,omitempty"`

	// PlanOnly true ends the run once its plan is made and stored: nothing is restored.
	// +optional
	PlanOnly bool `json:"planOnly,omitempty"`
	// PlanDigest is the digest of a plan that was looked at, as status.plan.digest has it: if the plan of this run is another,
	// it ends before its first write and says what has changed.
	// +optional
	// +kubebuilder:validation:Pattern=`^(sha256:[0-9a-f]{64})?$`
	// +kubebuilder:validation:MaxLength=71
	PlanDigest string `json:"planDigest,omitempty"`

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

	// ReadyTimeout is how long the restored workloads (deployments, stateful and daemon sets, bare replica sets, jobs and
	// pods) may take to become ready; one that does not is a warning that says why. "0s" does not wait for any. Left out,
	// it is what the extension was installed with: 5m if nothing else.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="readyTimeout is between 0s and 24h"
	// +optional
	ReadyTimeout *metav1.Duration `json:"readyTimeout,omitempty"`

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
	// ObjectsTotal is the number of objects that the plan brings about, or finds in place: each of them ends as one of the
	// next five.
	ObjectsTotal int `json:"objectsTotal"`
	// Created objects.
	Created int `json:"created"`
	// Existing objects that were left untouched: by the conflict policy, or because nothing of them differs.
	Existing int `json:"existing"`
	// Patched objects: they existed, and what differed was changed.
	// +optional
	Patched int `json:"patched"`
	// Replaced objects: they existed, were deleted and created again.
	// +optional
	Replaced int `json:"replaced"`
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
	// WorkloadsTotal is the number of restored workloads that are waited for.
	WorkloadsTotal int `json:"workloadsTotal"`
	// WorkloadsReady is the number of those that were ready when they were last looked at.
	WorkloadsReady int `json:"workloadsReady"`
}

// RestorePlanCounts count the objects of a plan by what is done with them.
type RestorePlanCounts struct {
	// Create: objects that do not exist.
	Create int `json:"create"`
	// RestoreVolume: claims that do not exist, and that get their data.
	RestoreVolume int `json:"restoreVolume"`
	// Patch: objects that exist and are changed.
	Patch int `json:"patch"`
	// Replace: objects that exist, are deleted and created again.
	Replace int `json:"replace"`
	// Existing: objects that exist and are left as they are.
	Existing int `json:"existing"`
	// Skip: objects that are left to Kubernetes, or that cannot be restored.
	Skip int `json:"skip"`
	// Fail: objects that exist and must not.
	Fail int `json:"fail"`
	// Unchecked: objects of any action of which it is not known before whether they exist.
	Unchecked int `json:"unchecked"`
	// NotSelected: objects of the recovery point that nobody has asked for.
	NotSelected int `json:"notSelected"`
}

// RestorePlan names the plan of a Restore.
type RestorePlan struct {
	// Digest is the SHA-256 of the plan: "sha256:" and 64 hexadecimal digits. Equal plans have equal digests.
	Digest string `json:"digest"`
	// StorageLocation names the BackupStorageLocation that holds the plan; empty if there was none to write to.
	// +optional
	StorageLocation string `json:"storageLocation,omitempty"`
	// Key of the stored plan in the blob container.
	// +optional
	Key string `json:"key,omitempty"`
	// Counts of its objects.
	Counts RestorePlanCounts `json:"counts"`
}

// RestoreReport names the stored report of a restore: each object of the plan, and what became of it.
type RestoreReport struct {
	// Digest is the SHA-256 of the report: "sha256:" and 64 hexadecimal digits.
	Digest string `json:"digest"`
	// StorageLocation names the BackupStorageLocation that holds the report.
	StorageLocation string `json:"storageLocation"`
	// Key of the report in the blob container.
	Key string `json:"key"`
}

// RestoreStatus is what became of a Restore.
type RestoreStatus struct {
	RunStatus `json:",inline"`

	// Progress counts what has been done.
	// +optional
	Progress RestoreProgress `json:"progress,omitempty"`
	// ReadyTime is when all restored workloads were first seen ready. The time since startTime is what the recovery took.
	// +optional
	ReadyTime *metav1.Time `json:"readyTime,omitempty"`
	// ManifestDigest is the SHA-256 of the manifest that was verified: "sha256:" and 64 hexadecimal digits.
	// +optional
	ManifestDigest string `json:"manifestDigest,omitempty"`
	// Plan names the plan that was made, and that is carried out.
	// +optional
	Plan *RestorePlan `json:"plan,omitempty"`
	// Report names the report, once the objects of the plan are restored, or the run has ended before.
	// +optional
	Report *RestoreReport `json:"report,omitempty"`
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
	// +kubebuilder:validation:XValidation:rule="has(self.includedResourceTypes) == has(oldSelf.includedResourceTypes) && (!has(self.includedResourceTypes) || self.includedResourceTypes == oldSelf.includedResourceTypes) && has(self.excludedResourceTypes) == has(oldSelf.excludedResourceTypes) && (!has(self.excludedResourceTypes) || self.excludedResourceTypes == oldSelf.excludedResourceTypes) && has(self.labelSelectors) == has(oldSelf.labelSelectors) && (!has(self.labelSelectors) || self.labelSelectors == oldSelf.labelSelectors) && has(self.orLabelSelectors) == has(oldSelf.orLabelSelectors) && (!has(self.orLabelSelectors) || self.orLabelSelectors == oldSelf.orLabelSelectors) && has(self.includedObjects) == has(oldSelf.includedObjects) && (!has(self.includedObjects) || self.includedObjects == oldSelf.includedObjects) && has(self.conflictPolicies) == has(oldSelf.conflictPolicies) && (!has(self.conflictPolicies) || self.conflictPolicies == oldSelf.conflictPolicies) && has(self.confirmReplace) == has(oldSelf.confirmReplace) && (!has(self.confirmReplace) || self.confirmReplace == oldSelf.confirmReplace) && has(self.restoreRolloutHistory) == has(oldSelf.restoreRolloutHistory) && (!has(self.restoreRolloutHistory) || self.restoreRolloutHistory == oldSelf.restoreRolloutHistory) && has(self.priorities) == has(oldSelf.priorities) && (!has(self.priorities) || self.priorities == oldSelf.priorities) && has(self.planOnly) == has(oldSelf.planOnly) && (!has(self.planOnly) || self.planOnly == oldSelf.planOnly) && has(self.planDigest) == has(oldSelf.planDigest) && (!has(self.planDigest) || self.planDigest == oldSelf.planDigest)",message="a Restore cannot be changed once created, but for cancel; create another"
	// +kubebuilder:validation:XValidation:rule="has(self.resourceModifierReference) == has(oldSelf.resourceModifierReference) && (!has(self.resourceModifierReference) || self.resourceModifierReference == oldSelf.resourceModifierReference) && has(self.storageClassMappings) == has(oldSelf.storageClassMappings) && (!has(self.storageClassMappings) || self.storageClassMappings == oldSelf.storageClassMappings) && has(self.preserveNodePorts) == has(oldSelf.preserveNodePorts) && (!has(self.preserveNodePorts) || self.preserveNodePorts == oldSelf.preserveNodePorts) && has(self.restoreStatus) == has(oldSelf.restoreStatus) && (!has(self.restoreStatus) || self.restoreStatus == oldSelf.restoreStatus)",message="a Restore cannot be changed once created, but for cancel; create another"
	// +kubebuilder:validation:XValidation:rule="has(self.readyTimeout) == has(oldSelf.readyTimeout) && (!has(self.readyTimeout) || self.readyTimeout == oldSelf.readyTimeout)",message="a Restore cannot be changed once created, but for cancel; create another"
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
