// Package job decides what the runs in a cluster mean for a job of a vault, and for the recovery point that it makes. A State goes
// from Begin through Observe and Wait to its end, each a value of its own.
package job

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/api/crd/v1alpha1"
	"github.com/coffer-backup/coffer/internal/catalogue"
)

// Kind is the kind of a run object.
type Kind string

// The kinds.
const (
	Backup             Kind = "Backup"
	Restore            Kind = "Restore"
	DeleteBackup       Kind = "DeleteBackup"
	ValidateForBackup  Kind = "ValidateForBackup"
	ValidateForRestore Kind = "ValidateForRestore"
	// Tiering has no run object of the vault's: the vault tier carries it out.
	Tiering Kind = "Tiering"
)

// What jobs do, as their operation says.
const (
	OnDemandBackup  arm.Word = "OnDemandBackup"
	ScheduledBackup arm.Word = "ScheduledBackup"
	RestoreData     arm.Word = "Restore"
	RestorePlan     arm.Word = "RestorePlan"
	DeleteData      arm.Word = "DeleteBackupData"
	TierData        arm.Word = "Tiering"
)

// The statuses of jobs. All but the first are final.
const (
	InProgress            arm.Word = "InProgress"
	Completed             arm.Word = "Completed"
	CompletedWithWarnings arm.Word = "CompletedWithWarnings"
	Failed                arm.Word = "Failed"
	Cancelled             arm.Word = "Cancelled"
)

// Steps are those of a run of a kind, in their order.
func Steps(kind Kind, planOnly bool) []string {
	switch {
	case kind == Backup:
		return []string{"Validating", "SnapshottingVolumes", "CapturingObjects", "CleaningUp"}
	case kind == Restore && planOnly:
		return []string{"Validating", "Planning"}
	case kind == Restore:
		return []string{"Validating", "Planning", "RestoringObjects", "WaitingForVolumes", "RunningHooks", "CleaningUp", "AwaitingReadiness"}
	}
	return nil
}

// Work is what a job is to do, and how far it is. It lies in the catalogue, and is not shown.
type Work struct {
	// Identity is who the vault is in the cluster, as catalogue.VaultIdentity says.
	Identity string `json:"identity"`
	// ClusterUID is that of the cluster that it was asked of, however spelled; empty if that is not known.
	ClusterUID string `json:"clusterUid,omitempty"`
	// Backup and Restore are what the run is told, one of them; neither copies to the vault tier, or deletes the instance with all of its
	// recovery points.
	Backup  *v1alpha1.BackupSpec  `json:"backup,omitempty"`
	Restore *v1alpha1.RestoreSpec `json:"restore,omitempty"`
	// Copy is what is copied to the vault tier; nil is nothing.
	Copy *Copy `json:"copy,omitempty"`
	// Location is where the recovery points are that are deleted.
	Location string `json:"location,omitempty"`
	// Slot is the time of the schedule that a backup is made for; zero is of one that somebody has asked for.
	Slot time.Time `json:"slot,omitzero"`
	// Rule is the retention rule that the recovery point falls under which somebody has asked for, and Reason why.
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Operation ends when the job does; empty is none.
	Operation string `json:"operation,omitempty"`
	// By, Name, Request and Remote say who has asked for it, for the audit log.
	By      string `json:"by,omitempty"`
	Name    string `json:"name,omitempty"`
	Request string `json:"request,omitempty"`
	Remote  string `json:"remote,omitempty"`

	// Begun says that a run may be in the cluster: it is written before one is made.
	Begun bool `json:"begun,omitempty"`
	// UID is that of the run that was seen; empty if none was. One that was seen is not made again.
	UID string `json:"uid,omitempty"`
	// Cancel says that the job is to end, and Why it is if nobody has asked for that.
	Cancel bool   `json:"cancel,omitempty"`
	Why    string `json:"why,omitempty"`
	// Since is since when the job waits for what WaitsFor says.
	Since    time.Time `json:"since,omitzero"`
	WaitsFor string    `json:"waitsFor,omitempty"`
	// Deleted and Total count the recovery points of a deletion.
	// NotFound counts those of the deleted that were not there.
	Deleted  int `json:"deleted,omitempty"`
	Total    int `json:"total,omitempty"`
	NotFound int `json:"notFound,omitempty"`
	// Taken is when the recovery point was taken that a backup has made; zero is none. Partial says that something is missing in it.
	Taken   time.Time `json:"taken,omitzero"`
	Partial bool      `json:"partial,omitempty"`
}

// Kind is that of the run.
func (w Work) Kind() Kind {
	switch {
	case w.Backup != nil:
		return Backup
	case w.Restore != nil:
		return Restore
	case w.Copy != nil:
		return Tiering
	}
	return DeleteBackup
}

func (w Work) planOnly() bool { return w.Restore != nil && w.Restore.PlanOnly }

// Spec is what the run is told now, as JSON has it.
func (w Work) Spec() any {
	switch {
	case w.Backup != nil:
		spec := *w.Backup.DeepCopy()
		spec.Cancel = w.Cancel
		return spec
	case w.Restore != nil:
		spec := *w.Restore.DeepCopy()
		spec.Cancel = w.Cancel
		return spec
	}
	return nil
}

// State is a job: what is shown of it, and its work.
type State struct {
	Body arm.Job
	Work Work
}

// Read is the state of a job as it lies in the catalogue.
func Read(j catalogue.Job) (State, error) {
	var s State
	if err := json.Unmarshal(j.Body, &s.Body); err != nil {
		return s, fmt.Errorf("read the kept job %s of %s: %w", j.Name, j.Vault, err)
	}
	if err := json.Unmarshal(j.Work, &s.Work); err != nil {
		return s, fmt.Errorf("read the work of job %s of %s: %w", j.Name, j.Vault, err)
	}
	return s, nil
}

// Ended says whether the state is final.
func (s State) Ended() bool { return s.Body.EndTime != nil }

// Request is a job that somebody asks for.
type Request struct {
	Name            string
	Vault, Instance catalogue.ID
	// FriendlyName is the instance's; Location the vault's.
	FriendlyName, Location string
	// Source is the cluster that the instance protects, and Target the one where the job is carried out.
	Source, Target catalogue.ID
	Policy         catalogue.ID
	// PolicyRule is the rule that is followed, of a backup.
	PolicyRule string
	Operation  arm.Word
	// Point is the recovery point that is restored, taken at PointTime.
	Point     string
	PointTime time.Time
	Work      Work
	Now       time.Time
}

// Begin is a job at its beginning.
func Begin(r Request) State {
	s := State{Work: r.Work, Body: arm.Job{
		ActivityID: r.Name, BackupInstanceFriendlyName: r.FriendlyName, BackupInstanceID: string(r.Instance),
		DataSourceID: string(r.Source), DataSourceLocation: r.Location, DataSourceName: r.Source.Name(), DataSourceType: arm.ManagedClusters,
		DataSourceSetName: r.Source.Name(), IsUserTriggered: r.Operation != ScheduledBackup && r.Operation != TierData, Operation: r.Operation, OperationCategory: category(r.Operation),
		PolicyID: string(r.Policy), PolicyName: r.Policy.Name(), ProgressEnabled: true, SourceResourceGroup: r.Source.ResourceGroup(),
		SourceSubscriptionID: r.Source.Subscription(), StartTime: r.Now, Status: InProgress, SubscriptionID: r.Vault.Subscription(),
		SupportedActions: []string{}, VaultName: r.Vault.Name(),
		ExtendedInfo: &arm.JobExtendedInfo{AdditionalDetails: map[string]string{"RunName": r.Name}},
	}}
	info := s.Body.ExtendedInfo
	if s.Cancellable() {
		s.Body.SupportedActions = []string{"Cancel"}
	}
	switch r.Operation {
	case OnDemandBackup, ScheduledBackup:
		s.Body.DestinationDataStoreName = string(arm.OperationalStore)
		info.AdditionalDetails["PolicyRuleName"], info.AdditionalDetails["RetentionTag"] = r.PolicyRule, r.Work.Rule
		if !r.Work.Slot.IsZero() {
			info.AdditionalDetails[detailSlot] = r.Work.Slot.UTC().Format(time.RFC3339)
		}
	case RestoreData, RestorePlan:
		s.Body.SourceDataStoreName, s.Body.RestoreType = string(arm.OperationalStore), "OLR"
		if !r.Target.Is(r.Source) {
			s.Body.RestoreType = "ALR"
		}
		info.RecoveryDestination = string(r.Target)
		info.SourceRecoverPoint = &arm.JobPoint{RecoveryPointID: r.Point, RecoveryPointTime: &r.PointTime}
	case TierData:
		s.Body.SourceDataStoreName, s.Body.DestinationDataStoreName = string(arm.OperationalStore), string(arm.VaultStore)
		info.SourceRecoverPoint = &arm.JobPoint{RecoveryPointID: r.Point, RecoveryPointTime: &r.PointTime}
		delete(info.AdditionalDetails, "RunName")
		info.AdditionalDetails[detailCopyDue] = r.Work.Copy.Due.UTC().Format(time.RFC3339)
	}
	for i, step := range s.steps() {
		info.SubTasks = append(info.SubTasks, arm.JobTask{TaskID: i + 1, TaskName: step, TaskStatus: taskNotStarted})
	}
	return s
}

func category(operation arm.Word) arm.Word {
	switch operation {
	case OnDemandBackup, ScheduledBackup:
		return "Backup"
	case DeleteData:
		return "Management"
	case TierData:
		return "Tiering"
	}
	return "Restore"
}

func (s State) steps() []string {
	switch s.Work.Kind() {
	case DeleteBackup:
		return []string{"DeletingRecoveryPoints"}
	case Tiering:
		return []string{copyTask}
	}
	return Steps(s.Work.Kind(), s.Work.planOnly())
}

// Cancellable says whether somebody can ask for the job's end now.
func (s State) Cancellable() bool {
	return !s.Ended() && !s.Work.Cancel && s.Work.Kind() != DeleteBackup && s.Work.Kind() != Tiering
}

// clone is a state that shares nothing which is changed here.
func (s State) clone() State {
	info := arm.JobExtendedInfo{}
	if s.Body.ExtendedInfo != nil {
		info = *s.Body.ExtendedInfo
	}
	details := make(map[string]string, len(info.AdditionalDetails))
	for name, value := range info.AdditionalDetails {
		details[name] = value
	}
	info.AdditionalDetails = details
	info.SubTasks = slices.Clone(info.SubTasks)
	s.Body.ExtendedInfo = &info
	return s
}
