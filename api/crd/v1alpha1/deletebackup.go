package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// DeleteBackupSpec names a recovery point to delete. It cannot be changed once created.
type DeleteBackupSpec struct {
	// StorageLocation names the BackupStorageLocation (in the same namespace) that holds the recovery point.
	// +kubebuilder:default=default
	// +optional
	StorageLocation string `json:"storageLocation,omitempty"`
	// BackupName names the recovery point.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	BackupName string `json:"backupName"`
	// Run is the UID of the Backup that made the recovery point. With it, what that run has left is deleted, too, if it never
	// sealed a recovery point: its snapshots, and the blobs that it wrote. What another run made is refused.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`
	// +optional
	Run string `json:"run,omitempty"`
}

// DeleteBackupStatus is what became of a DeleteBackup.
type DeleteBackupStatus struct {
	RunStatus `json:",inline"`

	// SnapshotsTotal is the number of snapshots that the recovery point holds.
	// +optional
	SnapshotsTotal int `json:"snapshotsTotal,omitempty"`
	// SnapshotsDeleted is the number of them that the driver has confirmed as gone.
	// +optional
	SnapshotsDeleted int `json:"snapshotsDeleted,omitempty"`
}

// DeleteBackup is one run that deletes a recovery point: its snapshots, its archive and the Backup object that made
// it, and nothing else. Deleting a Backup object alone deletes no data.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Backup",type=string,JSONPath=`.spec.backupName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type DeleteBackup struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a DeleteBackup cannot be changed once created; create another"
	Spec   DeleteBackupSpec   `json:"spec"`
	Status DeleteBackupStatus `json:"status,omitempty"`
}

// DeleteBackupList is a list of DeleteBackups.
//
// +kubebuilder:object:root=true
type DeleteBackupList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []DeleteBackup `json:"items"`
}
