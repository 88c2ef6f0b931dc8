package arm

import "time"

// RecoveryPoint are the properties of a recovery point.
type RecoveryPoint struct {
	ObjectType                     Word         `json:"objectType"`
	RecoveryPointID                string       `json:"recoveryPointId"`
	RecoveryPointTime              time.Time    `json:"recoveryPointTime"`
	RecoveryPointType              Word         `json:"recoveryPointType"`
	FriendlyName                   string       `json:"friendlyName,omitempty"`
	RecoveryPointDataStoresDetails []PointStore `json:"recoveryPointDataStoresDetails"`
	RetentionTagName               string       `json:"retentionTagName,omitempty"`
	RetentionTagVersion            string       `json:"retentionTagVersion,omitempty"`
	PolicyName                     string       `json:"policyName,omitempty"`
	PolicyVersion                  *string      `json:"policyVersion"`
	ExpiryTime                     *time.Time   `json:"expiryTime,omitempty"`
	RecoveryPointState             Word         `json:"recoveryPointState"`
	Coffer                         *CofferPoint `json:"coffer,omitempty"`
}

// CofferPoint is what AKS Backup does not tell of a recovery point: what it was promised when it was made, and why, and
// what keeps it since.
type CofferPoint struct {
	// Reason is why it falls under its rule.
	Reason string `json:"reason,omitempty"`
	// Kept is until when it is kept as things are, and what for. It is told of one recovery point that is asked for, not in lists, and is not written down.
	Kept string `json:"kept,omitempty"`
	// Expires is when the last tier may delete it.
	Expires *time.Time `json:"expires,omitempty"`
	// Slot is the time of the schedule that it was made for; one that somebody has asked for has none.
	Slot *time.Time `json:"slot,omitempty"`
	// CopyAfter is when it is to be copied to the vault tier, and CopyExpires when that may delete the copy; without them it is not.
	CopyAfter   *time.Time `json:"copyAfter,omitempty"`
	CopyExpires *time.Time `json:"copyExpires,omitempty"`
	// Copied is when it came to the vault tier; that is known also when the vault tier has let go of it, so that it gets no second copy.
	Copied    *time.Time `json:"copied,omitempty"`
	LegalHold *LegalHold `json:"legalHold,omitempty"`
	// Unreadable is why the server cannot read what it has kept of it; empty is that it can. What is shown beside it is what is known all the same.
	Unreadable string `json:"unreadable,omitempty"`
}

// LegalHold says who keeps a recovery point from being deleted, and why.
type LegalHold struct {
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// HoldRequest is the body of a request for a legal hold.
type HoldRequest struct {
	Reason string `json:"reason,omitempty"`
}

// PointStore says that a recovery point lies in a tier.
type PointStore struct {
	ID           string     `json:"id"`
	Type         Word       `json:"type"`
	CreationTime time.Time  `json:"creationTime"`
	ExpiryTime   *time.Time `json:"expiryTime,omitempty"`
	Metadata     *string    `json:"metaData"`
	Visible      bool       `json:"visible"`
	State        Word       `json:"state"`
}

// The words of recovery points.
const (
	TypeRecoveryPoint Word = "AzureBackupDiscreteRecoveryPoint"
	PointIncremental  Word = "Incremental"
	PointCompleted    Word = "Completed"
	PointPartial      Word = "Partial"
	// PointUnreadable is Coffer's own.
	PointUnreadable Word = "Unreadable"
	PointCommitted  Word = "COMMITTED"
)
