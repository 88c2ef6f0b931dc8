package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// StorageProvider is the kind of store that holds a blob container.
// +kubebuilder:validation:Enum=filesystem;azure;s3;gcs
type StorageProvider string

// The providers.
const (
	// ProviderFilesystem keeps blobs in a folder of a volume that is mounted into the extension.
	ProviderFilesystem StorageProvider = "filesystem"
	// ProviderAzure keeps blobs in a container of an Azure storage account.
	ProviderAzure StorageProvider = "azure"
	// ProviderS3 keeps blobs in a bucket of Amazon S3 or a store that speaks its protocol.
	ProviderS3 StorageProvider = "s3"
	// ProviderGCS keeps blobs in a bucket of Google Cloud Storage.
	ProviderGCS StorageProvider = "gcs"
)

// The keys of the Secret that credentialsSecretRef names, by provider.
const (
	// Azure: an account key, or a SAS token, or the three of a service principal.
	SecretKeyAccountKey   = "accountKey"
	SecretKeySASToken     = "sasToken"
	SecretKeyTenantID     = "tenantId"
	SecretKeyClientID     = "clientId"
	SecretKeyClientSecret = "clientSecret"
	// S3: an access key; the session token is of keys that expire.
	SecretKeyAccessKeyID     = "accessKeyId"
	SecretKeySecretAccessKey = "secretAccessKey"
	SecretKeySessionToken    = "sessionToken"
	// GCS: a key file of a service account.
	SecretKeyCredentialsJSON = "credentials.json"
)

const (
	// AnnotationCheck asks for a check at once: each new value is one request, and status.lastHandledCheck says that it was
	// answered.
	AnnotationCheck = Group + "/check"
	// AnnotationTakeOver makes this cluster the owner of the container in place of the one whose UID is the value. The
	// extension removes it.
	AnnotationTakeOver = Group + "/take-over"
	// AnnotationSettings says what the settings of the extension's resource at a vault's server have changed, in JSON: "from" as the chart's values have it, and
	// "to". The chart keeps it so, as long as both are as they were.
	AnnotationSettings = Group + "/settings"
)

// BackupStorageLocationSpec names a blob container.
// +kubebuilder:validation:XValidation:rule="(self.provider == 'azure') == has(self.azure)",message="azure, with its storageAccount, is for provider azure and needed there"
// +kubebuilder:validation:XValidation:rule="self.provider == 's3' || !has(self.s3)",message="s3 is for provider s3"
// +kubebuilder:validation:XValidation:rule="self.provider == 'gcs' || !has(self.gcs)",message="gcs is for provider gcs"
// +kubebuilder:validation:XValidation:rule="self.provider != 'filesystem' || !has(self.credentialsSecretRef)",message="credentialsSecretRef is for object stores: a filesystem needs none"
// +kubebuilder:validation:XValidation:rule="self.provider != 'filesystem' || !has(self.prefix)",message="prefix is for object stores: name another container of the filesystem instead"
// +kubebuilder:validation:XValidation:rule="!(self.provider in ['filesystem', 'azure']) || self.container.matches('^[a-z0-9](-?[a-z0-9])+$')",message="the container of this provider has lower-case letters, digits and single hyphens in its name"
// +kubebuilder:validation:XValidation:rule="!(has(self.gcs) && has(self.gcs.anonymous) && self.gcs.anonymous) || !has(self.credentialsSecretRef)",message="gcs.anonymous asks without credentials: give no credentialsSecretRef"
// +kubebuilder:validation:XValidation:rule="!has(self.velero) || (has(self.readOnly) && self.readOnly)",message="velero is for containers that Velero writes to: set readOnly"
type BackupStorageLocationSpec struct {
	// Provider is the kind of store.
	Provider StorageProvider `json:"provider"`
	// Container is the name of the blob container: the container of an Azure storage account, the bucket of S3 or GCS, for a
	// filesystem the folder below the root that the extension was installed with.
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9][a-z0-9._-]*[a-z0-9]$`
	Container string `json:"container"`
	// Prefix is a folder inside of the container: names separated by "/". Left out, all of the container is the location.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`
	Prefix string `json:"prefix,omitempty"`
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
	// Velero says that Velero writes to this container: its backups can be listed and restored from here. Needs readOnly.
	// +optional
	Velero *VeleroSource `json:"velero,omitempty"`
	// Encryption has all that reveals the state of the cluster encrypted before it leaves it, and decrypted for restores.
	// Velero does not read what is encrypted.
	// +optional
	Encryption *StorageEncryption `json:"encryption,omitempty"`
	// CredentialsSecretRef names a Secret in the namespace of the extension. Left out, the extension's own identity is used:
	// workload identity on Azure and Google Cloud, IRSA or pod identity on AWS.
	// +optional
	CredentialsSecretRef *SecretReference `json:"credentialsSecretRef,omitempty"`
	// Azure is how an Azure storage account is reached.
	// +optional
	Azure *AzureStorage `json:"azure,omitempty"`
	// S3 is how the bucket's service is reached. Left out, it is Amazon's.
	// +optional
	S3 *S3Storage `json:"s3,omitempty"`
	// GCS is how Google Cloud Storage is reached. Left out, it is Google's.
	// +optional
	GCS *GCSStorage `json:"gcs,omitempty"`
}

// VeleroSource says what may be done with the backups of Velero in a container.
type VeleroSource struct {
	// TrustUnsigned allows restores of Velero's backups, which bear no signature: whoever can write to the container decides
	// what is restored, and from which snapshots.
	// +optional
	TrustUnsigned bool `json:"trustUnsigned,omitempty"`
}

// StorageEncryption says with which keys recovery points are encrypted and decrypted.
type StorageEncryption struct {
	// SecretRef names a Secret in the namespace of the extension: under "recipients" the public keys of age to which is
	// encrypted, under "identities" the private ones with which is decrypted, one a line. Backups need the former, restores
	// the latter.
	SecretRef SecretReference `json:"secretRef"`
}

// SecretReference names a Secret in the namespace of the extension.
type SecretReference struct {
	// Name of the Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// AzureStorage is how an Azure storage account is reached.
type AzureStorage struct {
	// StorageAccount is the name of the account.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]{3,24}$`
	StorageAccount string `json:"storageAccount"`
	// Endpoint is the URL of the account's blob service, for other clouds than the public one, and emulators.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[^?#]+$`
	Endpoint string `json:"endpoint,omitempty"`
	// CACert is PEM with what is trusted beside the public authorities.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	CACert string `json:"caCert,omitempty"`
}

// S3Storage is how a bucket's service is reached.
type S3Storage struct {
	// Region of the bucket. Left out, it is the one of the extension's environment, or us-east-1.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Region string `json:"region,omitempty"`
	// Endpoint is the URL of a service other than Amazon's. It must honour If-None-Match.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[^?#]+$`
	Endpoint string `json:"endpoint,omitempty"`
	// ForcePathStyle puts the bucket into the path instead of the host name, as most services other than Amazon's want it.
	// +optional
	ForcePathStyle bool `json:"forcePathStyle,omitempty"`
	// CACert is PEM with what is trusted beside the public authorities.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	CACert string `json:"caCert,omitempty"`
}

// GCSStorage is how Google Cloud Storage is reached.
type GCSStorage struct {
	// Endpoint is the URL of the service, for private endpoints and emulators.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[^?#]+$`
	Endpoint string `json:"endpoint,omitempty"`
	// Anonymous asks without credentials, as emulators are asked.
	// +optional
	Anonymous bool `json:"anonymous,omitempty"`
	// CACert is PEM with what is trusted beside the public authorities.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	CACert string `json:"caCert,omitempty"`
}

// StorageLocationPhase says whether a blob container can be used.
// +kubebuilder:validation:Enum=Available;Unavailable
type StorageLocationPhase string

// The phases of a storage location. Empty means not yet checked.
const (
	StorageLocationAvailable   StorageLocationPhase = "Available"
	StorageLocationUnavailable StorageLocationPhase = "Unavailable"
)

// StorageLocationOwner is the cluster that writes to a blob container.
type StorageLocationOwner struct {
	// Cluster is the UID of its kube-system namespace.
	Cluster string `json:"cluster"`
	// Name of the cluster for people.
	// +optional
	Name string `json:"name,omitempty"`
	// Since is when it claimed the container.
	Since metav1.Time `json:"since"`
	// Self says that it is the cluster of this object.
	// +optional
	Self bool `json:"self,omitempty"`
}

// VeleroBackup is one backup of Velero, as its blobs describe it.
type VeleroBackup struct {
	// Name of the backup, to be restored by.
	Name string `json:"name"`
	// Phase that Velero left it in. Completed and PartiallyFailed ones can be restored.
	// +optional
	Phase string `json:"phase,omitempty"`
	// Problem is why its description cannot be read.
	// +optional
	Problem string `json:"problem,omitempty"`
	// IncludedNamespaces that it was asked for, the first 20; "*" is all.
	// +optional
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// Objects that it holds.
	// +optional
	Objects int64 `json:"objects,omitempty"`
	// Errors and Warnings that Velero counted.
	// +optional
	Errors int `json:"errors,omitempty"`
	// +optional
	Warnings int `json:"warnings,omitempty"`
	// VolumesCaptured are those whose CSI snapshots can be restored from, and VolumesSkipped all others.
	// +optional
	VolumesCaptured int `json:"volumesCaptured,omitempty"`
	// +optional
	VolumesSkipped int `json:"volumesSkipped,omitempty"`
	// Skipped are the first 10 volumes whose data Coffer cannot restore, and why.
	// +optional
	Skipped []VeleroSkippedVolume `json:"skipped,omitempty"`
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
}

// VeleroSkippedVolume is a volume whose data Coffer cannot restore.
type VeleroSkippedVolume struct {
	// Volume is the claim, NAMESPACE/NAME, or the volume of a pod, NAMESPACE/POD: NAME.
	Volume string `json:"volume"`
	Reason string `json:"reason"`
}

// StorageEncryptionStatus are the keys of a location, as the last check found them: public ones only.
type StorageEncryptionStatus struct {
	// Recipients are the public keys to which recovery points are encrypted from now on.
	// +optional
	// +listType=atomic
	Recipients []string `json:"recipients,omitempty"`
	// Readers are the public keys whose private ones are there: what was encrypted to one of them can be restored.
	// +optional
	// +listType=atomic
	Readers []string `json:"readers,omitempty"`
}

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
	// Encryption are the keys that were found; none if nothing is encrypted.
	// +optional
	Encryption *StorageEncryptionStatus `json:"encryption,omitempty"`
	// Reachable says that the container could be listed.
	// +optional
	Reachable bool `json:"reachable,omitempty"`
	// Writable says that a blob could be written, and not be overwritten, and removed. Read-only locations are not tried.
	// +optional
	Writable bool `json:"writable,omitempty"`
	// Owner is the cluster that writes to the container; none if nobody has claimed it.
	// +optional
	Owner *StorageLocationOwner `json:"owner,omitempty"`
	// ClockSkew is how much the store's clock is ahead of the extension's, negative if behind; none if they agree.
	// +optional
	ClockSkew *metav1.Duration `json:"clockSkew,omitempty"`
	// RecoveryPoints is how many recovery points the container held when they were last counted: at the first check, and
	// at each that was asked for.
	// +optional
	RecoveryPoints *int64 `json:"recoveryPoints,omitempty"`
	// LastCountedTime is when that was.
	// +optional
	LastCountedTime *metav1.Time `json:"lastCountedTime,omitempty"`
	// VeleroBackups are the backups of Velero in the container, newest first, as of when recovery points were last counted.
	// At most 200; recoveryPoints counts all.
	// +optional
	VeleroBackups []VeleroBackup `json:"veleroBackups,omitempty"`
	// LastCheckedTime is when the container was last listed and, unless read-only, written to.
	// +optional
	LastCheckedTime *metav1.Time `json:"lastCheckedTime,omitempty"`
	// LastHandledCheck is the value of the check annotation at the last check.
	// +optional
	LastHandledCheck string `json:"lastHandledCheck,omitempty"`
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
