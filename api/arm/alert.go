package arm

import "time"

// Alert are the properties of an alert, which Azure Backup leaves to Azure Monitor.
type Alert struct {
	// Kind is a word such as BackupMissed.
	Kind     string `json:"kind"`
	Severity Word   `json:"severity"`
	// State is Fired, Acknowledged or Closed.
	State Word `json:"state,omitempty"`
	// TargetID is what it is about.
	TargetID          string `json:"targetId"`
	Message           string `json:"message"`
	RecommendedAction string `json:"recommendedAction,omitempty"`
	// FirstOccurred and LastOccurred are when it happened, and Count how often.
	FirstOccurred *time.Time `json:"firstOccurred,omitempty"`
	LastOccurred  *time.Time `json:"lastOccurred,omitempty"`
	Count         int        `json:"count,omitempty"`
	ClosedTime    *time.Time `json:"closedTime,omitempty"`
}

// The severities of alerts, as Azure Monitor has them: Sev1 is an error, and Sev2 a warning.
const (
	SeverityError   Word = "Sev1"
	SeverityWarning Word = "Sev2"
)
