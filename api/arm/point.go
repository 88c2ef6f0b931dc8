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
	PointCommitted    Word = "COMMITTED"
)
