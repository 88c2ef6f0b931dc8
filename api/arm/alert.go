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
	// ClosedBy is who has closed it, a person or what has happened since, and ClosedReason why, where nobody did.
	ClosedBy     string `json:"closedBy,omitempty"`
	ClosedReason string `json:"closedReason,omitempty"`
}

// The severities of alerts, as Azure Monitor has them: Sev1 is an error, and Sev2 a warning.
const (
	SeverityError   Word = "Sev1"
	SeverityWarning Word = "Sev2"
)

// PendingDeletion is a recovery point that a tier has let go of, and that is not deleted there yet.
type PendingDeletion struct {
	RecoveryPointID   string    `json:"recoveryPointId"`
	RecoveryPointTime time.Time `json:"recoveryPointTime"`
	BackupInstanceID  string    `json:"backupInstanceId"`
	// DataStoreType is the tier, and ClusterID where it is deleted; of the VaultStore there is none.
	DataStoreType Word   `json:"dataStoreType"`
	ClusterID     string `json:"clusterId,omitempty"`
	// Since is since when it is to be deleted, and NextTry when that is tried again.
	Since   time.Time `json:"since"`
	NextTry time.Time `json:"nextTry"`
	// Tries is how often that has failed, and Failure why it did last.
	Tries   int    `json:"tries"`
	Failure string `json:"failure,omitempty"`
	// Bytes is what it takes up, as far as that is known.
	Bytes int64 `json:"bytes,omitempty"`
	// SnapshotBytes is how large volumes made of its snapshots are at least, of the OperationalStore and as far as that is known.
	SnapshotBytes int64 `json:"snapshotBytes,omitempty"`
}

// Slot is a time of an instance's schedule that has come, and what became of it.
type Slot struct {
	Time time.Time `json:"time"`
	// Outcome is Begun, CaughtUp, Overrun or Missed.
	Outcome Word `json:"outcome"`
	// JobID is the job that has begun for it.
	JobID string `json:"jobId,omitempty"`
	// NotedTime is when it was dealt with.
	NotedTime time.Time `json:"notedTime"`
	// Missed is how many slots before it were missed that are not listed, and MissedSince the first of them.
	Missed      int        `json:"missed,omitempty"`
	MissedSince *time.Time `json:"missedSince,omitempty"`
}

// ForgetDeletionsRequest gives up what has expired in a cluster and is not deleted there yet.
type ForgetDeletionsRequest struct {
	ClusterID string `json:"clusterId"`
}

// ForgottenDeletions is how many were given up.
type ForgottenDeletions struct {
	Forgotten int `json:"forgotten"`
}
