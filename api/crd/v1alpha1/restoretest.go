package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RestoreTestSpec is one complete, self-contained request to prove that a recovery point restores. It cannot be changed once
// created, but for Cancel.
type RestoreTestSpec struct {
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

	// IncludedNamespaces are the namespaces to test, by their names in the recovery point: names, or patterns with *, ?
	// and [abc]. Empty means all but kube-system, kube-public, kube-node-lease and the extension's own, which are only tested
	// if they are named here in full. A name has to be in the recovery point.
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

	// IncludedResourceTypes are the types of objects to restore, in any spelling, as in a Restore. Empty means all.
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
	// LabelSelectors have all to match the labels of an archived object, as in a Restore.
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

	// PersistentVolumeRestoreMode says whether volumes get their data. Without it, claims are created empty, and nothing is
	// proved of volumes.
	// +kubebuilder:default=RestoreWithVolumeData
	// +optional
	PersistentVolumeRestoreMode VolumeRestoreMode `json:"persistentVolumeRestoreMode,omitempty"`
	// StorageClassMappings gives claims of the storage class on the left the one on the right.
	// +kubebuilder:validation:MaxProperties=100
	// +optional
	StorageClassMappings map[string]StorageClassName `json:"storageClassMappings,omitempty"`
	// ResourceModifierReference names a ConfigMap with rules that change objects before they are created. What the test itself
	// changes, so that nothing has effects outside of it, is changed after that.
	// +optional
	// +nullable
	ResourceModifierReference *NamespacedReference `json:"resourceModifierReference,omitempty"`
	// RestoreHookReferences name the RestoreHook objects whose hooks are run in the containers that the test brings about.
	// Left out, none are.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	RestoreHookReferences []NamespacedReference `json:"restoreHookReferences,omitempty"`

	// IncludeCustomResources true restores custom resources too: the operators of this cluster then act on them, and nobody but
	// they know what they do outside of the test. Left out, the report says that they were not tested.
	// +optional
	IncludeCustomResources bool `json:"includeCustomResources,omitempty"`
	// RunJobs true lets restored Jobs run. Left out, they are suspended. CronJobs always are.
	// +optional
	RunJobs bool `json:"runJobs,omitempty"`
	// AllowExternal true lets the test reach what is outside of it: its pods may open connections to anywhere, Services may
	// stand for external names and addresses, volumes may be those of file servers, and accounts keep their identities in the
	// cloud. Left out, none of this is, as far as this cluster's network enforces policies.
	// +optional
	AllowExternal bool `json:"allowExternal,omitempty"`

	// ReadyTimeout is how long the restored workloads may take to become ready; one that does not fails the test. "0s" does not
	// wait for any. Left out, it is what the extension was installed with: 5m if nothing else.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('24h')",message="readyTimeout is between 0s and 24h"
	// +optional
	ReadyTimeout *metav1.Duration `json:"readyTimeout,omitempty"`
	// Checks are made once the workloads are ready, in this order. One that does not pass fails the test.
	// +optional
	// +nullable
	// +kubebuilder:validation:MaxItems=50
	// +listType=atomic
	Checks []RestoreCheck `json:"checks,omitempty"`

	// Keep true leaves everything that was restored in place, for looking into it, until this object is deleted.
	// +optional
	Keep bool `json:"keep,omitempty"`
	// Cancel ends the run and removes what it has made, its phase is Cancelled. It is the one field that may be changed, once,
	// from false to true. A run that has ended stays as it is.
	// +optional
	Cancel bool `json:"cancel,omitempty"`
}

// RestoreCheck is one thing that has to hold in what was restored. It is tried until it holds or its timeout has passed.
//
// +kubebuilder:validation:XValidation:rule="[has(self.exec), has(self.http), has(self.sql)].filter(x, x).size() == 1",message="a check has exactly one of exec, http and sql"
type RestoreCheck struct {
	// Name of the check, of which no other check has the same.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`
	// Namespace in which it is made, by its name in the recovery point.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// Timeout is how long it is tried. Left out, it is 1m.
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:XValidation:rule="duration(self) > duration('0s') && duration(self) <= duration('24h')",message="timeout is more than 0s and at most 24h"
	// +optional
	Timeout *metav1.Duration `json:"timeout,omitempty"`
	// Exec runs a command in a container.
	// +optional
	Exec *ExecCheck `json:"exec,omitempty"`
	// HTTP asks a Service or pod through the API server's proxy.
	// +optional
	HTTP *HTTPCheck `json:"http,omitempty"`
	// SQL runs a query by psql or mysql in a container.
	// +optional
	SQL *SQLCheck `json:"sql,omitempty"`
}

// CheckedPod says in which container a check is made: of the pod of this name, or of one that matches the selector and is
// ready, the first by name.
//
// +kubebuilder:validation:XValidation:rule="has(self.pod) != has(self.podSelector)",message="name a pod, or give a podSelector"
type CheckedPod struct {
	// Pod by its name.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Pod string `json:"pod,omitempty"`
	// PodSelector by labels: k=v, k!=v, k in (a,b), k, !k, several of them separated by commas.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	// +optional
	PodSelector string `json:"podSelector,omitempty"`
	// Container of the pod. Left out, it is the first.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Container string `json:"container,omitempty"`
}

// ExecCheck runs a command, without a shell.
type ExecCheck struct {
	CheckedPod `json:",inline"`
	// Command and its arguments.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	// +kubebuilder:validation:items:MaxLength=8192
	// +listType=atomic
	Command []string `json:"command"`
	// ExpectedExitCode is what it has to end with.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=255
	// +optional
	ExpectedExitCode int `json:"expectedExitCode,omitempty"`
	// OutputMatches is a regular expression (RE2) that has to match somewhere in the first 4 KiB of what it prints.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	OutputMatches string `json:"outputMatches,omitempty"`
}

// HTTPCheck makes one GET request through the API server. Redirects are answers like any other.
//
// +kubebuilder:validation:XValidation:rule="has(self.service) != has(self.pod)",message="name a service, or a pod"
type HTTPCheck struct {
	// Service to ask, by its name.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Service string `json:"service,omitempty"`
	// Pod to ask, by its name.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Pod string `json:"pod,omitempty"`
	// Port by its number or, of a Service, its name.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Port string `json:"port"`
	// Scheme is http or https. The certificate of an https server is not verified.
	// +kubebuilder:validation:Enum=http;https
	// +kubebuilder:default=http
	// +optional
	Scheme string `json:"scheme,omitempty"`
	// Path and query, beginning with a slash. Left out, it is /.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=2048
	// +optional
	Path string `json:"path,omitempty"`
	// ExpectedStatus is what it has to answer. Left out, it is 200.
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=599
	// +optional
	ExpectedStatus int `json:"expectedStatus,omitempty"`
	// BodyMatches is a regular expression (RE2) that has to match somewhere in the first 64 KiB of the answer.
	// +kubebuilder:validation:MaxLength=1024
	// +optional
	BodyMatches string `json:"bodyMatches,omitempty"`
}

// SQLCheck runs one query by the program that the container has.
type SQLCheck struct {
	CheckedPod `json:",inline"`
	// Program is psql or mysql.
	// +kubebuilder:validation:Enum=psql;mysql
	// +kubebuilder:default=psql
	// +optional
	Program string `json:"program,omitempty"`
	// Database to connect to. Left out, it is the program's choice.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	Database string `json:"database,omitempty"`
	// User to connect as. Left out, it is the program's choice.
	// +kubebuilder:validation:MaxLength=255
	// +optional
	User string `json:"user,omitempty"`
	// PasswordVariable is the environment variable of the container that holds the password, such as MYSQL_ROOT_PASSWORD. It takes a
	// shell in the container. Left out, none is given.
	// +kubebuilder:validation:Pattern=`^([A-Za-z_][A-Za-z0-9_]*)?$`
	// +kubebuilder:validation:MaxLength=255
	// +optional
	PasswordVariable string `json:"passwordVariable,omitempty"`
	// Query to run.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=8192
	Query string `json:"query"`
	// Expected is what the program has to print, without headings and without blanks around it: columns are separated by | (psql) or a
	// tab (mysql), rows by line ends.
	// +kubebuilder:validation:MaxLength=4096
	Expected string `json:"expected"`
}

// RestoreTestOutcome is what a test has shown.
// +kubebuilder:validation:Enum=Passed;Failed
type RestoreTestOutcome string

// The outcomes of a test. One that was cancelled has none.
const (
	RestoreTestPassed RestoreTestOutcome = "Passed"
	RestoreTestFailed RestoreTestOutcome = "Failed"
)

// RestoreCheckStatus is what became of one check.
type RestoreCheckStatus struct {
	// Name of the check.
	Name string `json:"name"`
	// Passed says that it held.
	Passed bool `json:"passed"`
	// Attempts is how often it was tried.
	Attempts int `json:"attempts"`
	// Seconds it took, all attempts together.
	Seconds int `json:"seconds"`
	// Message says why it did not hold, with the beginning of what was answered. Values of restored Secrets are masked in it.
	// +optional
	Message string `json:"message,omitempty"`
}

// RestoreTestReport names the stored, signed report of a test.
type RestoreTestReport struct {
	// Digest is the SHA-256 of the report: "sha256:" and 64 hexadecimal digits.
	Digest string `json:"digest"`
	// Signer is the public key that it is signed by, the extension's own.
	Signer string `json:"signer"`
	// StorageLocation names the BackupStorageLocation that holds the report.
	StorageLocation string `json:"storageLocation"`
	// Key of the report in the blob container. That of the signature is the same with .sig.
	Key string `json:"key"`
}

// RestoreTestStatus is what became of a RestoreTest: what a Restore says of itself, and what was found.
type RestoreTestStatus struct {
	RestoreStatus `json:",inline"`

	// Outcome is what the test has shown.
	// +optional
	Outcome RestoreTestOutcome `json:"outcome,omitempty"`
	// Failures are what did not hold: objects, volumes, workloads, hooks and checks, the first 50 of them.
	// +optional
	// +listType=atomic
	Failures []Warning `json:"failures,omitempty"`
	// Checks are the results of those that were made, in their order.
	// +optional
	// +listType=atomic
	Checks []RestoreCheckStatus `json:"checks,omitempty"`
	// ChecksPassedTime is when the last check was seen to hold. The time since startTime is what the recovery took, with proof.
	// +optional
	ChecksPassedTime *metav1.Time `json:"checksPassedTime,omitempty"`
	// TestReport names the signed report.
	// +optional
	TestReport *RestoreTestReport `json:"testReport,omitempty"`
	// ScratchNamespaces are those that hold what was restored, as long as there are any, sorted; the names of the first 50.
	// +optional
	// +listType=atomic
	ScratchNamespaces []string `json:"scratchNamespaces,omitempty"`
}

// RestoreTest is one run that proves that a recovery point restores: into namespaces of its own, without effects outside of
// them, with checks, a signed report, and no trace left.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Backup",type=string,JSONPath=`.spec.backupName`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Step",type=string,JSONPath=`.status.step`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Warnings",type=integer,JSONPath=`.status.warningCount`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RestoreTest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="has(self.storageLocation) == has(oldSelf.storageLocation) && (!has(self.storageLocation) || self.storageLocation == oldSelf.storageLocation) && has(self.backupName) == has(oldSelf.backupName) && (!has(self.backupName) || self.backupName == oldSelf.backupName) && has(self.includedNamespaces) == has(oldSelf.includedNamespaces) && (!has(self.includedNamespaces) || self.includedNamespaces == oldSelf.includedNamespaces) && has(self.excludedNamespaces) == has(oldSelf.excludedNamespaces) && (!has(self.excludedNamespaces) || self.excludedNamespaces == oldSelf.excludedNamespaces) && has(self.includedResourceTypes) == has(oldSelf.includedResourceTypes) && (!has(self.includedResourceTypes) || self.includedResourceTypes == oldSelf.includedResourceTypes) && has(self.excludedResourceTypes) == has(oldSelf.excludedResourceTypes) && (!has(self.excludedResourceTypes) || self.excludedResourceTypes == oldSelf.excludedResourceTypes) && has(self.labelSelectors) == has(oldSelf.labelSelectors) && (!has(self.labelSelectors) || self.labelSelectors == oldSelf.labelSelectors) && has(self.orLabelSelectors) == has(oldSelf.orLabelSelectors) && (!has(self.orLabelSelectors) || self.orLabelSelectors == oldSelf.orLabelSelectors) && has(self.persistentVolumeRestoreMode) == has(oldSelf.persistentVolumeRestoreMode) && (!has(self.persistentVolumeRestoreMode) || self.persistentVolumeRestoreMode == oldSelf.persistentVolumeRestoreMode)",message="a RestoreTest cannot be changed once created, but for cancel; create another"
	// +kubebuilder:validation:XValidation:rule="has(self.storageClassMappings) == has(oldSelf.storageClassMappings) && (!has(self.storageClassMappings) || self.storageClassMappings == oldSelf.storageClassMappings) && has(self.resourceModifierReference) == has(oldSelf.resourceModifierReference) && (!has(self.resourceModifierReference) || self.resourceModifierReference == oldSelf.resourceModifierReference) && has(self.restoreHookReferences) == has(oldSelf.restoreHookReferences) && (!has(self.restoreHookReferences) || self.restoreHookReferences == oldSelf.restoreHookReferences) && has(self.includeCustomResources) == has(oldSelf.includeCustomResources) && (!has(self.includeCustomResources) || self.includeCustomResources == oldSelf.includeCustomResources) && has(self.runJobs) == has(oldSelf.runJobs) && (!has(self.runJobs) || self.runJobs == oldSelf.runJobs) && has(self.allowExternal) == has(oldSelf.allowExternal) && (!has(self.allowExternal) || self.allowExternal == oldSelf.allowExternal) && has(self.readyTimeout) == has(oldSelf.readyTimeout) && (!has(self.readyTimeout) || self.readyTimeout == oldSelf.readyTimeout) && has(self.checks) == has(oldSelf.checks) && (!has(self.checks) || self.checks == oldSelf.checks) && has(self.keep) == has(oldSelf.keep) && (!has(self.keep) || self.keep == oldSelf.keep)",message="a RestoreTest cannot be changed once created, but for cancel; create another"
	// +kubebuilder:validation:XValidation:rule="!has(oldSelf.cancel) || !oldSelf.cancel || has(self.cancel) && self.cancel",message="a run that is being cancelled cannot be taken up again; create another"
	Spec   RestoreTestSpec   `json:"spec"`
	Status RestoreTestStatus `json:"status,omitempty"`
}

// RestoreTestList is a list of RestoreTests.
//
// +kubebuilder:object:root=true
type RestoreTestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []RestoreTest `json:"items"`
}
