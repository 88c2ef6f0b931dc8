package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HookErrorMode says what a failed hook does to the run.
// +kubebuilder:validation:Enum=Continue;Fail
type HookErrorMode string

// The hook error modes.
const (
	// HookContinue records a warning and goes on.
	HookContinue HookErrorMode = "Continue"
	// HookFail ends the run as Failed.
	HookFail HookErrorMode = "Fail"
)

// HookScope says which pods a hook applies to.
type HookScope struct {
	// Name of the hook, for messages.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
	// IncludedNamespaces are where the hook applies. Empty means every namespace of the run. In a RestoreHook
	// these are the namespaces restored into.
	// +optional
	// +nullable
	// +listType=atomic
	IncludedNamespaces []string `json:"includedNamespaces,omitempty"`
	// ExcludedNamespaces are where it does not.
	// +optional
	// +nullable
	// +listType=atomic
	ExcludedNamespaces []string `json:"excludedNamespaces,omitempty"`
	// LabelSelector narrows the hook to pods with these labels. Empty means every pod.
	// +optional
	// +nullable
	LabelSelector *metav1.LabelSelector `json:"labelSelector,omitempty"`
}

// BackupHookSpec lists hooks to run around the snapshots of a backup.
type BackupHookSpec struct {
	// BackupHook are the hooks, run in this order within a pod.
	// +kubebuilder:validation:MinItems=1
	// +listType=atomic
	BackupHook []BackupHookRule `json:"backupHook"`
}

// BackupHookRule is one hook: the pods it applies to and what to run in them.
type BackupHookRule struct {
	HookScope `json:",inline"`
	// PreHooks run before the snapshots of the pod's volumes are cut.
	// +optional
	// +nullable
	// +listType=atomic
	PreHooks []BackupHookAction `json:"preHooks,omitempty"`
	// PostHooks run once the snapshots are cut: for every pod whose pre-hooks were started, whatever happened since.
	// +optional
	// +nullable
	// +listType=atomic
	PostHooks []BackupHookAction `json:"postHooks,omitempty"`
}

// BackupHookAction is one command of a backup hook.
type BackupHookAction struct {
	// Exec runs a command in a container.
	Exec BackupHookExec `json:"exec"`
}

// BackupHookExec is a command to run in a container of the pod. No shell is involved.
type BackupHookExec struct {
	// Container to run in. Empty means the pod's first.
	// +optional
	Container string `json:"container,omitempty"`
	// Command and its arguments.
	// +kubebuilder:validation:MinItems=1
	// +listType=atomic
	Command []string `json:"command"`
	// OnError says what a failure does to the backup.
	// +kubebuilder:default=Fail
	// +optional
	OnError HookErrorMode `json:"onError,omitempty"`
	// Timeout after which the hook counts as failed. The command itself may go on in the container.
	// +kubebuilder:default="30s"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
}

// BackupHook holds hooks that a Backup refers to by name and namespace.
//
// +kubebuilder:object:root=true
type BackupHook struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec BackupHookSpec `json:"spec"`
}

// BackupHookList is a list of BackupHooks.
//
// +kubebuilder:object:root=true
type BackupHookList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BackupHook `json:"items"`
}

// RestoreHookSpec lists hooks to run in restored containers.
type RestoreHookSpec struct {
	// RestoreHook are the hooks, run in this order within a pod.
	// +kubebuilder:validation:MinItems=1
	// +listType=atomic
	RestoreHook []RestoreHookRule `json:"restoreHook"`
}

// RestoreHookRule is one hook: the pods it applies to and what to run in them.
type RestoreHookRule struct {
	HookScope `json:",inline"`
	// PostHooks run once the container they name is running.
	// +optional
	// +nullable
	// +listType=atomic
	PostHooks []RestoreHookAction `json:"postHooks,omitempty"`
}

// RestoreHookAction is one command of a restore hook.
type RestoreHookAction struct {
	// Exec runs a command in a container.
	Exec RestoreHookExec `json:"exec"`
}

// RestoreHookExec is a command to run in a container of a restored pod. No shell is involved.
type RestoreHookExec struct {
	// Container to run in. Empty means the pod's first.
	// +optional
	Container string `json:"container,omitempty"`
	// Command and its arguments.
	// +kubebuilder:validation:MinItems=1
	// +listType=atomic
	Command []string `json:"command"`
	// OnError says what a failure does to the restore.
	// +kubebuilder:default=Continue
	// +optional
	OnError HookErrorMode `json:"onError,omitempty"`
	// ExecTimeout after which the command counts as failed.
	// +kubebuilder:default="30s"
	// +optional
	ExecTimeout *metav1.Duration `json:"execTimeout,omitempty"`
	// WaitTimeout is how long to wait for the container to be running, from the moment the objects are restored.
	// AKS Backup and Velero wait for ever by default, which lets a restore hang; here the default is ten minutes.
	// +kubebuilder:default="10m"
	// +optional
	WaitTimeout *metav1.Duration `json:"waitTimeout,omitempty"`
}

// RestoreHook holds hooks that a Restore refers to by name and namespace.
//
// +kubebuilder:object:root=true
type RestoreHook struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec RestoreHookSpec `json:"spec"`
}

// RestoreHookList is a list of RestoreHooks.
//
// +kubebuilder:object:root=true
type RestoreHookList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RestoreHook `json:"items"`
}
