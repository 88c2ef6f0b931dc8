package v1alpha1

// MaxNamespaces is how many namespaces can be named in a list, as in AKS Backup. Patterns, and an empty list, stand for
// any number of them.
const MaxNamespaces = 800

// ObjectName names one object of a cluster.
type ObjectName struct {
	// Type of the object in any spelling without wildcards: v1/Secret, apps/Deployment, deployments.apps, deployments.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=320
	Type string `json:"type"`
	// Namespace of the object; left out for a cluster-scoped one.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// VolumePolicy says whether snapshots are taken of the volumes that it matches. The words are Velero's.
type VolumePolicy struct {
	// Conditions have all to match. None at all match every volume.
	// +optional
	Conditions VolumePolicyConditions `json:"conditions,omitempty"`
	// Action on the volumes that match.
	Action VolumePolicyAction `json:"action"`
}

// VolumePolicyConditions are what a volume, or its claim, has to be like.
type VolumePolicyConditions struct {
	// Capacity of the volume, as "MIN,MAX", both included, either left out for no bound: "1Gi,100Gi", ",5Gi".
	// +kubebuilder:validation:MaxLength=100
	// +optional
	Capacity string `json:"capacity,omitempty"`
	// StorageClass is one of these.
	// +optional
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=253
	// +listType=atomic
	StorageClass []string `json:"storageClass,omitempty"`
	// CSI says which driver provides the volume.
	// +optional
	CSI *VolumePolicyCSI `json:"csi,omitempty"`
	// PVCLabels that the claim bears, all of them.
	// +optional
	// +kubebuilder:validation:MaxProperties=100
	PVCLabels map[string]VolumeLabelValue `json:"pvcLabels,omitempty"`
	// PVCPhase of the claim is one of these.
	// +optional
	// +kubebuilder:validation:MaxItems=3
	// +listType=atomic
	PVCPhase []VolumeClaimPhase `json:"pvcPhase,omitempty"`
}

// VolumeLabelValue is the value of a label of a claim.
// +kubebuilder:validation:MaxLength=63
type VolumeLabelValue string

// VolumePolicyCSI names a CSI driver.
type VolumePolicyCSI struct {
	// Driver is its name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Driver string `json:"driver"`
}

// VolumeClaimPhase is the phase of a PersistentVolumeClaim.
// +kubebuilder:validation:Enum=Pending;Bound;Lost
type VolumeClaimPhase string

// VolumePolicyAction is what is done with a volume that a policy matches.
type VolumePolicyAction struct {
	// Type of the action.
	Type VolumeAction `json:"type"`
}

// VolumeAction is what is done with a volume.
// +kubebuilder:validation:Enum=snapshot;skip
type VolumeAction string

// The actions.
const (
	// VolumeSnapshot takes a snapshot.
	VolumeSnapshot VolumeAction = "snapshot"
	// VolumeSkip leaves the data out. The claim itself is captured.
	VolumeSkip VolumeAction = "skip"
)
