package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CheckResult is what became of one check of a validation.
// +kubebuilder:validation:Enum=Passed;Failed;Warning;Skipped
type CheckResult string

// The results of checks.
const (
	// CheckPassed is of a check that found nothing wrong.
	CheckPassed CheckResult = "Passed"
	// CheckFailed is of one that found what keeps the run from succeeding.
	CheckFailed CheckResult = "Failed"
	// CheckWarning is of one that found what the run would go on despite of, and what somebody should know.
	CheckWarning CheckResult = "Warning"
	// CheckSkipped is of one that does not apply, or that could not be made because another has failed.
	CheckSkipped CheckResult = "Skipped"
)

// MaxChecks bounds the checks of a validation's status, for it must fit into one object. The ones that have failed come
// first when there are more.
const MaxChecks = 100

// Check is what one check of a validation found.
type Check struct {
	// Name says what is checked, such as StorageLocation or SnapshotClass. Several checks may have one name: one for each
	// driver, say.
	Name string `json:"name"`
	// Status is what became of it.
	Status CheckResult `json:"status"`
	// Code is a stable word for what is wrong, as a run would end or warn with it; empty if nothing is.
	// +optional
	Code string `json:"code,omitempty"`
	// Resource names the object that was checked: KIND NAMESPACE/NAME.
	// +optional
	Resource string `json:"resource,omitempty"`
	// Message says what was found.
	// +optional
	Message string `json:"message,omitempty"`
	// Remedy says what to do about it.
	// +optional
	Remedy string `json:"remedy,omitempty"`
}

// ValidationStatus is what a validation found. Its phase is Failed if a check has failed, CompletedWithWarnings if one
// warns, and Completed if neither is so; its message counts the checks.
type ValidationStatus struct {
	RunStatus `json:",inline"`

	// Checks are what was checked, one by one.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	Checks []Check `json:"checks,omitempty"`
}

// ValidateForBackupSpec is the backup that is validated. It cannot be changed once created.
type ValidateForBackupSpec struct {
	// Backup is the spec of a Backup that would be created.
	// +kubebuilder:default={}
	Backup BackupSpec `json:"backup,omitempty"`
}

// ValidateForBackup asks whether a backup would succeed in this cluster as it is now. Nothing is backed up, and nothing is
// written to the cluster. It deletes itself an hour after it has ended.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Result",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ValidateForBackup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a ValidateForBackup cannot be changed once created; create another"
	// +kubebuilder:default={}
	Spec   ValidateForBackupSpec `json:"spec,omitempty"`
	Status ValidationStatus      `json:"status,omitempty"`
}

// ValidateForBackupList is a list of ValidateForBackups.
//
// +kubebuilder:object:root=true
type ValidateForBackupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ValidateForBackup `json:"items"`
}

// ValidateForRestoreSpec is the restore that is validated. It cannot be changed once created.
type ValidateForRestoreSpec struct {
	// Restore is the spec of a Restore that would be created.
	Restore RestoreSpec `json:"restore"`
}

// ValidateForRestore asks whether a restore would succeed in this cluster as it is now. Nothing is restored, and nothing
// is written to the cluster. It deletes itself an hour after it has ended.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Backup",type=string,JSONPath=`.spec.restore.backupName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Result",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ValidateForRestore struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a ValidateForRestore cannot be changed once created; create another"
	Spec   ValidateForRestoreSpec `json:"spec"`
	Status ValidationStatus       `json:"status,omitempty"`
}

// ValidateForRestoreList is a list of ValidateForRestores.
//
// +kubebuilder:object:root=true
type ValidateForRestoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []ValidateForRestore `json:"items"`
}
