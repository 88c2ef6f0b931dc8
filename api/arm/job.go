package arm

import "time"

// Job are the properties of a job. What has no omitempty is required of every answer.
type Job struct {
	ActivityID                 string            `json:"activityID"`
	BackupInstanceFriendlyName string            `json:"backupInstanceFriendlyName"`
	BackupInstanceID           string            `json:"backupInstanceId,omitempty"`
	DataSourceID               string            `json:"dataSourceId"`
	DataSourceLocation         string            `json:"dataSourceLocation"`
	DataSourceName             string            `json:"dataSourceName"`
	DataSourceSetName          string            `json:"dataSourceSetName,omitempty"`
	DataSourceType             Word              `json:"dataSourceType"`
	DestinationDataStoreName   string            `json:"destinationDataStoreName,omitempty"`
	Duration                   string            `json:"duration,omitempty"`
	EndTime                    *time.Time        `json:"endTime,omitempty"`
	ErrorDetails               []UserFacingError `json:"errorDetails,omitempty"`
	ExtendedInfo               *JobExtendedInfo  `json:"extendedInfo,omitempty"`
	IsUserTriggered            bool              `json:"isUserTriggered"`
	Operation                  Word              `json:"operation"`
	OperationCategory          Word              `json:"operationCategory"`
	PolicyID                   string            `json:"policyId,omitempty"`
	PolicyName                 string            `json:"policyName,omitempty"`
	ProgressEnabled            bool              `json:"progressEnabled"`
	ProgressURL                string            `json:"progressUrl,omitempty"`
	RestoreType                Word              `json:"restoreType,omitempty"`
	SourceDataStoreName        string            `json:"sourceDataStoreName,omitempty"`
	SourceResourceGroup        string            `json:"sourceResourceGroup"`
	SourceSubscriptionID       string            `json:"sourceSubscriptionID"`
	StartTime                  time.Time         `json:"startTime"`
	Status                     Word              `json:"status"`
	SubscriptionID             string            `json:"subscriptionId"`
	SupportedActions           []string          `json:"supportedActions"`
	VaultName                  string            `json:"vaultName"`
}

// JobExtendedInfo is more about a job.
type JobExtendedInfo struct {
	BackupInstanceState    string            `json:"backupInstanceState,omitempty"`
	DataTransferredInBytes *float64          `json:"dataTransferredInBytes,omitempty"`
	RecoveryDestination    string            `json:"recoveryDestination,omitempty"`
	SourceRecoverPoint     *JobPoint         `json:"sourceRecoverPoint,omitempty"`
	TargetRecoverPoint     *JobPoint         `json:"targetRecoverPoint,omitempty"`
	SubTasks               []JobTask         `json:"subTasks,omitempty"`
	WarningDetails         []JobWarning      `json:"warningDetails,omitempty"`
	AdditionalDetails      map[string]string `json:"additionalDetails,omitempty"`
}

// JobPoint is the recovery point that a job makes or reads.
type JobPoint struct {
	RecoveryPointID   string     `json:"recoveryPointID,omitempty"`
	RecoveryPointTime *time.Time `json:"recoveryPointTime,omitempty"`
}

// JobTask is a part of a job.
type JobTask struct {
	TaskID            int               `json:"taskId"`
	TaskName          string            `json:"taskName"`
	TaskStatus        Word              `json:"taskStatus"`
	TaskProgress      string            `json:"taskProgress,omitempty"`
	AdditionalDetails map[string]string `json:"additionalDetails,omitempty"`
}

// JobWarning is one thing that did not go as asked.
type JobWarning struct {
	ResourceName string           `json:"resourceName,omitempty"`
	Warning      *UserFacingError `json:"warning"`
}

// OperationJob is the result of an operation that has begun a job.
type OperationJob struct {
	ObjectType Word   `json:"objectType"`
	JobID      string `json:"jobId,omitempty"`
}

// TypeOperationJob is the discriminator of an OperationJob.
const TypeOperationJob Word = "OperationJobExtendedInfo"

// Operation is how far a long-running request is.
type Operation struct {
	ID         string        `json:"id"`
	Name       string        `json:"name"`
	Status     Word          `json:"status"`
	StartTime  time.Time     `json:"startTime"`
	EndTime    *time.Time    `json:"endTime,omitempty"`
	Properties *OperationJob `json:"properties,omitempty"`
	Error      *ErrorBody    `json:"error,omitempty"`
}
