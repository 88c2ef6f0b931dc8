package arm

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// PolicyResource is the body of a backup policy.
type PolicyResource struct {
	Properties *Policy `json:"properties,omitempty"`
}

// Policy are the properties of a backup policy.
type Policy struct {
	ObjectType      Word         `json:"objectType,omitempty"`
	DatasourceTypes []string     `json:"datasourceTypes,omitempty"`
	PolicyRules     []PolicyRule `json:"policyRules,omitempty"`
	// Coffer is what Azure has no word for.
	Coffer *CofferPolicyOptions `json:"coffer,omitempty"`
	// ResourceGuardOperationRequests are of the request, and not kept.
	ResourceGuardOperationRequests []string `json:"resourceGuardOperationRequests,omitempty"`
}

// CofferPolicyOptions are what a policy can be told beyond AKS Backup's fields.
type CofferPolicyOptions struct {
	ExclusionWindows []ExclusionWindow `json:"exclusionWindows,omitempty"`
	// Spread and RecoveryPointObjective are ISO-8601 durations.
	Spread                 string `json:"spread,omitempty"`
	KeepAtLeast            *int64 `json:"keepAtLeast,omitempty"`
	RecoveryPointObjective string `json:"recoveryPointObjective,omitempty"`
	ExistingRecoveryPoints Word   `json:"existingRecoveryPoints,omitempty"`
}

// UnmarshalJSONFrom refuses fields that are not known.
func (o *CofferPolicyOptions) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	type plain CofferPolicyOptions
	return strict(d, (*plain)(o))
}

// ExclusionWindow is a time in which no backup is begun.
type ExclusionWindow struct {
	// Start is a repeating interval, by the time zone of the policy's schedule.
	Start string `json:"start,omitempty"`
	// Duration is an ISO-8601 duration.
	Duration string `json:"duration,omitempty"`
}

// Whether a policy applies to recovery points that there are when it is changed.
const (
	KeepExisting  Word = "Keep"
	AdoptExisting Word = "Adopt"
)

// The discriminators of a policy.
const (
	TypeBackupPolicy    Word = "BackupPolicy"
	TypeBackupRule      Word = "AzureBackupRule"
	TypeRetentionRule   Word = "AzureRetentionRule"
	TypeBackupParams    Word = "AzureBackupParams"
	TypeDataStore       Word = "DataStoreInfoBase"
	TypeScheduleTrigger Word = "ScheduleBasedTriggerContext"
	TypeAdhocTrigger    Word = "AdhocBasedTriggerContext"
	TypeCriteria        Word = "ScheduleBasedBackupCriteria"
	TypeAbsoluteDelete  Word = "AbsoluteDeleteOption"
	TypeCopyAtOnce      Word = "ImmediateCopyOption"
	TypeCopyOnExpiry    Word = "CopyOnExpiryOption"
	TypeCopyAfter       Word = "CustomCopyOption"
)

// ManagedClusters is the type of all that is backed up here.
const ManagedClusters = "Microsoft.ContainerService/managedClusters"

// PolicyRule is when to back up, or how long to keep.
type PolicyRule struct {
	ObjectType Word   `json:"objectType,omitempty"`
	Name       string `json:"name,omitempty"`

	// Of an AzureBackupRule:

	BackupParameters *BackupParameters `json:"backupParameters,omitempty"`
	DataStore        *DataStore        `json:"dataStore,omitempty"`
	Trigger          *Trigger          `json:"trigger,omitempty"`

	// Of an AzureRetentionRule:

	IsDefault  *bool       `json:"isDefault,omitempty"`
	Lifecycles []Lifecycle `json:"lifecycles,omitempty"`
}

// BackupParameters say what kind of backup is taken.
type BackupParameters struct {
	ObjectType Word `json:"objectType,omitempty"`
	BackupType Word `json:"backupType,omitempty"`
}

// DataStore names a tier.
type DataStore struct {
	ObjectType    Word `json:"objectType,omitempty"`
	DataStoreType Word `json:"dataStoreType,omitempty"`
}

// Trigger is what makes a backup begin.
type Trigger struct {
	ObjectType      Word            `json:"objectType,omitempty"`
	Schedule        *Schedule       `json:"schedule,omitempty"`
	TaggingCriteria TaggingCriteria `json:"taggingCriteria,omitempty"`
}

// Schedule are repeating intervals in a time zone.
type Schedule struct {
	RepeatingTimeIntervals []string `json:"repeatingTimeIntervals,omitempty"`
	TimeZone               string   `json:"timeZone,omitempty"`
}

// TaggingCriteria are many in a schedule's trigger; in an ad hoc trigger it is one that stands alone.
type TaggingCriteria []TaggingCriterion

// UnmarshalJSONFrom reads an array, or one element without an array around it.
func (t *TaggingCriteria) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '{' {
		one := make(TaggingCriteria, 1)
		*t = one
		return json.UnmarshalDecode(d, &one[0])
	}
	return json.UnmarshalDecode(d, (*[]TaggingCriterion)(t))
}

// TaggingCriterion gives recovery points a tag.
type TaggingCriterion struct {
	IsDefault       *bool       `json:"isDefault,omitempty"`
	TaggingPriority *int64      `json:"taggingPriority,omitempty"`
	TagInfo         *TagInfo    `json:"tagInfo,omitempty"`
	Criteria        []Criterion `json:"criteria,omitempty"`
}

// TagInfo names a tag.
type TagInfo struct {
	ID      string `json:"id,omitempty"`
	TagName string `json:"tagName,omitempty"`
	ETag    string `json:"eTag,omitempty"`
}

// Criterion says which recovery points get a tag.
type Criterion struct {
	ObjectType       Word         `json:"objectType,omitempty"`
	AbsoluteCriteria []Word       `json:"absoluteCriteria,omitempty"`
	DaysOfMonth      []DayOfMonth `json:"daysOfMonth,omitempty"`
	DaysOfTheWeek    []Word       `json:"daysOfTheWeek,omitempty"`
	MonthsOfYear     []Word       `json:"monthsOfYear,omitempty"`
	ScheduleTimes    []string     `json:"scheduleTimes,omitempty"`
	WeeksOfTheMonth  []Word       `json:"weeksOfTheMonth,omitempty"`
}

// DayOfMonth is a day by its number, or the last.
type DayOfMonth struct {
	Date   *int64 `json:"date,omitempty"`
	IsLast *bool  `json:"isLast,omitempty"`
}

// The absolute criteria.
const (
	AllBackup    Word = "AllBackup"
	FirstOfDay   Word = "FirstOfDay"
	FirstOfWeek  Word = "FirstOfWeek"
	FirstOfMonth Word = "FirstOfMonth"
	FirstOfYear  Word = "FirstOfYear"
)

// Lifecycle is how long a tier keeps, and what is copied from it.
type Lifecycle struct {
	DeleteAfter                 *DeleteOption `json:"deleteAfter,omitempty"`
	SourceDataStore             *DataStore    `json:"sourceDataStore,omitempty"`
	TargetDataStoreCopySettings []CopySetting `json:"targetDataStoreCopySettings"`
}

// DeleteOption is an ISO-8601 duration.
type DeleteOption struct {
	ObjectType Word   `json:"objectType,omitempty"`
	Duration   string `json:"duration,omitempty"`
}

// CopySetting is a copy to another tier.
type CopySetting struct {
	DataStore *DataStore  `json:"dataStore,omitempty"`
	CopyAfter *CopyOption `json:"copyAfter,omitempty"`
}

// CopyOption says when a copy is made.
type CopyOption struct {
	ObjectType Word   `json:"objectType,omitempty"`
	Duration   string `json:"duration,omitempty"`
}
