package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StorageProvider is the kind of store that holds a blob container.
// +kubebuilder:validation:Enum=filesystem
type StorageProvider string

// ProviderFilesystem keeps blobs in a folder of a volume that is mounted into the extension.
const ProviderFilesystem StorageProvider = "filesystem"

// BackupStorageLocationSpec names a blob container.
type BackupStorageLocationSpec struct {
	// Provider is the kind of store.
	Provider StorageProvider `json:"provider"`
	// Container is the name of the blob container: for a filesystem the folder below the root that the extension
	// was installed with. Azure's rules for the name hold for every provider.
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9](-?[a-z0-9])+$`
	Container string `json:"container"`
	// ReadOnly allows restores from this location and nothing that would write to it.
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
	// TrustedSigners are the public keys whose recovery points may be restored and deleted from here, beside the
	// extension's own: each the status.signer of the location in the cluster that writes them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:Pattern=`^ed25519:[A-Za-z0-9+/]{43}=$`
	TrustedSigners []string `json:"trustedSigners,omitempty"`
}

// StorageLocationPhase says whether a blob container can be used.
// +kubebuilder:validation:Enum=Available;Unavailable
type StorageLocationPhase string

// The phases of a storage location. Empty means not yet checked.
const (
	StorageLocationAvailable   StorageLocationPhase = "Available"
	StorageLocationUnavailable StorageLocationPhase = "Unavailable"
)

// BackupStorageLocationStatus says whether the container was reachable, and why not.
type BackupStorageLocationStatus struct {
	// Phase of the location at the last check.
	// +optional
	Phase StorageLocationPhase `json:"phase,omitempty"`
	// Reason is a stable word for why it is unavailable.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message says for a person what is wrong and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// Conditions has Available: True or False, with the reason.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Signer is the public key of this cluster's extension: what it writes here is signed by it.
	// +optional
	Signer string `json:"signer,omitempty"`
	// PreviousSigner is what Signer was before the extension's key was replaced. Recovery points of that time are
	// refused unless it is among the trusted signers.
	// +optional
	PreviousSigner string `json:"previousSigner,omitempty"`
	// LastCheckedTime is when the container was last listed and, unless read-only, written to.
	// +optional
	LastCheckedTime *metav1.Time `json:"lastCheckedTime,omitempty"`
	// ObservedGeneration is the generation that was checked.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}

// BackupStorageLocation is a blob container that holds recovery points.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Provider",type=string,JSONPath=`.spec.provider`
// +kubebuilder:printcolumn:name="Container",type=string,JSONPath=`.spec.container`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
type BackupStorageLocation struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   BackupStorageLocationSpec   `json:"spec"`
	Status BackupStorageLocationStatus `json:"status,omitempty"`
}

// BackupStorageLocationList is a list of BackupStorageLocations.
//
// +kubebuilder:object:root=true
type BackupStorageLocationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BackupStorageLocation `json:"items"`
}
