package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// BackupSpec is one complete, self-contained request for a recovery point. It cannot be changed once created, but for
// Cancel.
type BackupSpec struct {
	// StorageLocation names the BackupStorageLocation (in the same namespace) that receives the archive.
	// +kubebuilder:default=default
	// +kubebuilder:validation:MaxLength=253
	// +optional
	StorageLocation string `json:"storageLocation,omitempty"`

	// IncludedNamespaces are the namespaces to back up: names, or patterns with *, ? and [abc]. Empty means all, also
	// those that come later. A name has to exist. kube-system, kube-public, kube-node-lease and the extension's own are
	// left out unless they are named; no pattern matches them.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=atomic
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// ExcludedNamespaces are left out even when included: names or patterns. Naming one in both lists is refused.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=atomic
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`

	// IncludedResourceTypes are the types of objects to back up, in any spelling: v1/Secret, apps/Deployment,
	// deployments.apps, deployments, *.apps, apps/*, *. Empty means all. One that the cluster does not have is a warning.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=320
	// +listType=atomic
	IncludedResourceTypes []string `json:"includedResourceTypes,omitempty"`
	// ExcludedResourceTypes are left out even when included. v1/Secret leaves out all Secrets.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=800
	// +kubebuilder:validation:items:MaxLength=320
	// +listType=atomic
	ExcludedResourceTypes []string `json:"excludedResourceTypes,omitempty"`
	// LabelSelectors have all to match the labels of an object: k=v (or k:v), k!=v, k in (a,b), k notin (a,b), k, !k,
	// several of them separated by commas or semicolons.
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
	// IncludedObjects are single objects: the recovery point holds these, and the cluster-scoped objects that they need.
	// They have to exist. They cannot be combined with IncludedNamespaces, IncludedResourceTypes or label selectors.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=500
	// +listType=atomic
	IncludedObjects []ObjectName `json:"includedObjects,omitempty"`

	// IncludeClusterScopeResources true takes every cluster-scoped object that the other filters let through, false
	// none but the namespaces themselves. Left out, a backup of all namespaces takes them all, and one of chosen
	// namespaces or single objects takes only those that the selected objects need.
	// +optional
	IncludeClusterScopeResources *bool `json:"includeClusterScopeResources,omitempty"`
	// OnlyNeededClusterScopeResources takes only those cluster-scoped objects that the selected objects need, of all
	// namespaces too. It cannot be combined with IncludeClusterScopeResources.
	// +optional
	OnlyNeededClusterScopeResources bool `json:"onlyNeededClusterScopeResources,omitempty"`

	// SnapshotVolumes false leaves the data of all volumes out.
	// +kubebuilder:default=true
	// +optional
	SnapshotVolumes *bool `json:"snapshotVolumes,omitempty"`

	// VolumePolicies say for single volumes whether a snapshot is taken. The first one whose conditions all match
	// decides; none matching, a snapshot is taken.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	VolumePolicies []VolumePolicy `json:"volumePolicies,omitempty"`

	// AllowEmpty allows a recovery point that holds nothing. Left out, a selection that finds no object and no volume
	// is an error.
	// +optional
	AllowEmpty bool `json:"allowEmpty,omitempty"`

	// BackupHookReferences name the BackupHook objects whose hooks are run around the snapshots.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	BackupHookReferences []NamespacedReference `json:"backupHookReferences,omitempty"`

	// Cancel ends the run: pods are thawed, snapshots and blobs removed, and its phase is Cancelled. It is the one
	// field that may be changed, once, from false to true. A run that has ended stays as it is.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// BackupProgress counts what a Backup has done so far.
type BackupProgress struct {
	// Objects captured into the archive.
	Objects int64 `json:"objects"`
	// Bytes of the archive written to the store, compressed.
	Bytes int64 `json:"bytes"`
	// ObjectsListed is the number of objects that were read, also of those that are not selected.
	// +optional
	ObjectsListed int64 `json:"objectsListed,omitempty"`
	// ObjectsExpected is about how many there will be to read, as the API server estimates.
	// +optional
	ObjectsExpected int64 `json:"objectsExpected,omitempty"`
	// ObjectsPerSecond is how many were read in a second of the capture, on average.
	// +optional
	ObjectsPerSecond int64 `json:"objectsPerSecond,omitempty"`
	// TimeLeft is about how long the rest of the objects takes. It is there while objects are captured.
	// +optional
	TimeLeft *metav1.Duration `json:"timeLeft,omitempty"`
	// VolumesTotal is the number of claims in scope.
	VolumesTotal int `json:"volumesTotal"`
	// VolumesCut is the number of snapshots that have been cut.
	VolumesCut int `json:"volumesCut"`
	// VolumesReady is the number of snapshots that can be restored from.
	VolumesReady int `json:"volumesReady"`
	// VolumesSkipped is the number of claims in scope whose data was not captured, each a warning.
	VolumesSkipped int `json:"volumesSkipped"`
	// SnapshotBytes is how large volumes made of the captured snapshots are at least, together. What snapshots take up
	// on the storage no driver tells Kubernetes.
	// +optional
	SnapshotBytes int64 `json:"snapshotBytes,omitempty"`
	// Namespaces that were captured.
	// +optional
	Namespaces int64 `json:"namespaces,omitempty"`
	// LongestFreeze is how long the pods of one namespace were frozen at most.
	// +optional
	LongestFreeze *metav1.Duration `json:"longestFreeze,omitempty"`
}

// FrozenPod is a pod whose pre-hooks may have run and whose post-hooks have not. It is recorded before the first
// pre-hook is started, so that no crash can leave an application frozen.
type FrozenPod struct {
	// Namespace of the pod.
	Namespace string `json:"namespace"`
	// Name of the pod.
	Name string `json:"name"`
	// UID of the pod: a pod of the same name that came later was never frozen.
	UID string `json:"uid"`
	// Hooks are the hooks whose post-hooks are owed, each NAMESPACE/NAME/INDEX of a rule in the status's backupHooks.
	// The pod's labels may have changed since.
	// +optional
	// +listType=atomic
	Hooks []string `json:"hooks,omitempty"`
}

// RunHook is a BackupHook as it was when the run was validated.
type RunHook struct {
	NamespacedReference `json:",inline"`

	Spec BackupHookSpec `json:"spec"`
}

// BackupStatus is what became of a Backup.
type BackupStatus struct {
	RunStatus `json:",inline"`

	// Progress counts what has been done.
	// +optional
	Progress BackupProgress `json:"progress,omitempty"`
	// BackupHooks are the hooks of the run, as they were when it was validated: what was frozen is thawed by them, even
	// if somebody has changed or deleted the BackupHook since.
	// +optional
	// +listType=atomic
	BackupHooks []RunHook `json:"backupHooks,omitempty"`
	// FrozenPods are those whose post-hooks are still owed.
	// +optional
	// +listType=atomic
	FrozenPods []FrozenPod `json:"frozenPods,omitempty"`
	// Sealing says that the manifest may have been written: from here on, whatever ends the run, the recovery point may
	// exist, and its snapshots are deleted only once it is known that it does not.
	// +optional
	Sealing bool `json:"sealing,omitempty"`
	// EncryptedTo are the public keys to which the recovery point is encrypted; none if it is not.
	// +optional
	// +listType=atomic
	EncryptedTo []string `json:"encryptedTo,omitempty"`
	// ManifestDigest is the SHA-256 of the sealed manifest: "sha256:" and 64 hexadecimal digits.
	// +optional
	ManifestDigest string `json:"manifestDigest,omitempty"`
}

// Backup is one run that makes a recovery point of the same name.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step`
// +kubebuilder:printcolumn:name="Objects",type=integer,JSONPath=`.status.progress.objects`
// +kubebuilder:printcolumn:name="Left",type=string,JSONPath=`.status.progress.timeLeft`,priority=1
// +kubebuilder:printcolumn:name="Volumes",type=integer,JSONPath=`.status.progress.volumesReady`
// +kubebuilder:printcolumn:name="Warnings",type=integer,JSONPath=`.status.warningCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 200",message="a Backup's name has at most 200 characters"
type Backup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="has(self.storageLocation) == has(oldSelf.storageLocation) && (!has(self.storageLocation) || self.storageLocation == oldSelf.storageLocation) && has(self.includedNamespaces) == has(oldSelf.includedNamespaces) && (!has(self.includedNamespaces) || self.includedNamespaces == oldSelf.includedNamespaces) && has(self.excludedNamespaces) == has(oldSelf.excludedNamespaces) && (!has(self.excludedNamespaces) || self.excludedNamespaces == oldSelf.excludedNamespaces) && has(self.includeClusterScopeResources) == has(oldSelf.includeClusterScopeResources) && (!has(self.includeClusterScopeResources) || self.includeClusterScopeResources == oldSelf.includeClusterScopeResources) && has(self.snapshotVolumes) == has(oldSelf.snapshotVolumes) && (!has(self.snapshotVolumes) || self.snapshotVolumes == oldSelf.snapshotVolumes) && has(self.backupHookReferences) == has(oldSelf.backupHookReferences) && (!has(self.backupHookReferences) || self.backupHookReferences == oldSelf.backupHookReferences) && has(self.includedResourceTypes) == has(oldSelf.includedResourceTypes) && (!has(self.includedResourceTypes) || self.includedResourceTypes == oldSelf.includedResourceTypes) && has(self.excludedResourceTypes) == has(oldSelf.excludedResourceTypes) && (!has(self.excludedResourceTypes) || self.excludedResourceTypes == oldSelf.excludedResourceTypes) && has(self.labelSelectors) == has(oldSelf.labelSelectors) && (!has(self.labelSelectors) || self.labelSelectors == oldSelf.labelSelectors) && has(self.orLabelSelectors) == has(oldSelf.orLabelSelectors) && (!has(self.orLabelSelectors) || self.orLabelSelectors == oldSelf.orLabelSelectors) && has(self.includedObjects) == has(oldSelf.includedObjects) && (!has(self.includedObjects) || self.includedObjects == oldSelf.includedObjects) && has(self.onlyNeededClusterScopeResources) == has(oldSelf.onlyNeededClusterScopeResources) && (!has(self.onlyNeededClusterScopeResources) || self.onlyNeededClusterScopeResources == oldSelf.onlyNeededClusterScopeResources) && has(self.volumePolicies) == has(oldSelf.volumePolicies) && (!has(self.volumePolicies) || self.volumePolicies == oldSelf.volumePolicies) && has(self.allowEmpty) == has(oldSelf.allowEmpty) && (!has(self.allowEmpty) || self.allowEmpty == oldSelf.allowEmpty)",message="a Backup cannot be changed once created, but for cancel; create another"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || has(self.cancel) && self.cancel",message="a run that is being cancelled cannot be taken up again; create another"
	// +kubebuilder:default={}
	Spec   BackupSpec   `json:"spec,omitempty"`
	Status BackupStatus `json:"status,omitempty"`
}

// BackupList is a list of Backups.
//
// +kubebuilder:object:root=true
type BackupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Backup `json:"items"`
}
