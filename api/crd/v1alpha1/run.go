package v1alpha1

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RunPhase is where a run (a Backup, Restore or DeleteBackup) stands. The empty phase means not yet picked up.
// +kubebuilder:validation:Enum=InProgress;Completed;CompletedWithWarnings;Failed;Cancelled
type RunPhase string

// The phases of a run. All but InProgress are final.
const (
	RunInProgress            RunPhase = "InProgress"
	RunCompleted             RunPhase = "Completed"
	RunCompletedWithWarnings RunPhase = "CompletedWithWarnings"
	RunFailed                RunPhase = "Failed"
	RunCancelled             RunPhase = "Cancelled"
)

// ConditionSucceeded is the type of the condition that every run has; `kubectl wait --for=condition=Succeeded` waits for
// a good end.
const ConditionSucceeded = "Succeeded"

// ConditionAvailable is the type of the condition that every storage location has.
const ConditionAvailable = "Available"

// Final says whether a run in this phase will never change again.
func (p RunPhase) Final() bool {
	return p != "" && p != RunInProgress
}

// Succeeded says whether the run did what it was asked, with or without warnings.
func (p RunPhase) Succeeded() bool {
	return p == RunCompleted || p == RunCompletedWithWarnings
}

// MaxWarnings bounds RunStatus.Warnings, for a status must fit into one object. WarningCount counts all of them,
// and the recovery point's coverage and results files hold them in full.
const MaxWarnings = 50

// RunStatus is the part of the status that every run has.
type RunStatus struct {
	// Phase is where the run stands.
	// +optional
	Phase RunPhase `json:"phase,omitempty"`
	// Step names what the run is doing now, or was doing last. It is also where a restarted extension continues.
	// +optional
	Step string `json:"step,omitempty"`
	// Reason is a stable word for why the run ended as it did: Succeeded, or an error code.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message says for a person what happened, to which object, and what to do next.
	// +optional
	Message string `json:"message,omitempty"`
	// StartTime is when the extension picked the run up.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`
	// CompletionTime is when the run reached a final phase.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`
	// Conditions has Succeeded: Unknown while the run goes on, True if it did what it was asked, with or without
	// warnings, False if not. Its reason is Reason, or the phase while that is empty.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// WarningCount is the number of warnings, also of those that Warnings leaves out.
	// +optional
	WarningCount int `json:"warningCount,omitempty"`
	// Warnings are the first warnings of the run, at most 50.
	// +optional
	// +listType=atomic
	Warnings []Warning `json:"warnings,omitempty"`
}

// Warning is one thing that did not go as asked while the run as a whole went on.
type Warning struct {
	// Code is a stable word for the kind of warning, AKS Backup's own where it has one.
	Code string `json:"code"`
	// Resource names the object concerned: KIND NAMESPACE/NAME.
	// +optional
	Resource string `json:"resource,omitempty"`
	// Message says what happened and what to do next.
	Message string `json:"message"`
}

// Warn records a warning. Repeating one that is already listed changes nothing, so a phase that runs again after a
// crash does not count twice.
func (s *RunStatus) Warn(w Warning) {
	for _, have := range s.Warnings {
		if have == w {
			return
		}
	}
	s.WarningCount++
	if len(s.Warnings) < MaxWarnings {
		s.Warnings = append(s.Warnings, w)
	}
}

// RunLogField is the field of a run's log ConfigMap that holds the log: lines of text, in gzip members.
const RunLogField = "log.gz"

// RunLogName is the name of the ConfigMap that holds the log of a run, beside the run object and deleted with it.
func RunLogName(kind, name string) string {
	return "coffer-log-" + strings.ToLower(kind) + "-" + name
}

// NamespaceName is the name of a namespace.
// +kubebuilder:validation:MaxLength=63
type NamespaceName string

// NamespacedReference names an object in a namespace.
type NamespacedReference struct {
	// Name of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Namespace of the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
}
