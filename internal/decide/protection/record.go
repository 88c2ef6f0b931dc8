package protection

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
)

// Record is what is kept of an instance's protection. It lies in the instance's facts, and is shown there.
type Record struct {
	// State is any but Deleting, since Since.
	State State
	Since time.Time
	// Deleting says that its recovery points are being deleted, after which it is gone.
	Deleting bool
	// Failure is why the last operation has failed, or nil. The only one that fails once it has begun is a deletion.
	Failure *arm.UserFacingError
	// Deletion is of a soft-deleted instance, and nil of all others.
	Deletion *Deletion
}

// Deletion says when an instance was deleted, and until when it can be had again.
type Deletion struct {
	At, Until time.Time
	// Activity is what the request has in the audit log.
	Activity string
	// Next is when a purge is tried again that has failed; zero is at Until.
	Next time.Time
}

// New is the record of an instance at its beginning.
func New(now time.Time) Record { return Record{State: Configured, Since: now} }

// stage is the state for the table of operations.
func (r Record) stage() State {
	if r.Deleting {
		return Deleting
	}
	return r.State
}

// Check is why an operation is not possible, or nil. name is the instance's.
func (r Record) Check(name string, o Operation) error {
	_, err := Decide(name, r.stage(), o)
	return err
}

// Do is the record after an operation: what failed before it is over.
func (r Record) Do(name string, o Operation, now time.Time) (Record, error) {
	next, err := Decide(name, r.stage(), o)
	if err != nil {
		return r, err
	}
	r.Failure = nil
	switch {
	case next == Deleting:
		r.Deleting = true
	case next != r.State:
		r.State, r.Since = next, now
	}
	if r.State != SoftDeleted {
		r.Deletion = nil
	}
	return r, nil
}

// purgePause is how long a purge that has failed is left alone.
const purgePause = 24 * time.Hour

// Fail is the record after a deletion that has failed: the instance is protected as before, or deleted, to be purged again later.
func (r Record) Fail(why arm.UserFacingError, now time.Time) Record {
	r.Deleting, r.Failure = false, &why
	if r.Deletion != nil {
		again := *r.Deletion
		again.Next = now.Add(purgePause)
		r.Deletion = &again
	}
	return r
}

// Withheld is why a backup of the schedule does not begin of an instance now; empty is that it does.
func (r Record) Withheld(name string) string {
	if s := r.stage(); !s.Schedules() {
		return Withdrawn(name, s)
	}
	return ""
}

// Overdue says whether a deleted instance is to be purged.
func (r Record) Overdue(now time.Time) bool {
	return r.Deletion != nil && !r.Deleting && !r.Deletion.Until.After(now) && !r.Deletion.Next.After(now)
}

// shown is a record in an instance's facts.
type shown struct {
	Properties shownProperties `json:"properties"`
}

type shownProperties struct {
	// ObjectType is over that of the body: that of deleted ones is another.
	ObjectType             arm.Word             `json:"objectType"`
	ProvisioningState      string               `json:"provisioningState"`
	CurrentProtectionState string               `json:"currentProtectionState"`
	ProtectionStatus       shownStatus          `json:"protectionStatus"`
	ProtectionErrorDetails *arm.UserFacingError `json:"protectionErrorDetails"`
	DeletionInfo           *shownDeletion       `json:"deletionInfo"`
	Coffer                 shownCoffer          `json:"coffer"`
}

type shownStatus struct {
	Status       arm.Word             `json:"status"`
	ErrorDetails *arm.UserFacingError `json:"errorDetails"`
}

type shownDeletion struct {
	DeletionTime       time.Time `json:"deletionTime"`
	BillingEndDate     time.Time `json:"billingEndDate"`
	ScheduledPurgeTime time.Time `json:"scheduledPurgeTime"`
	DeleteActivityID   string    `json:"deleteActivityID"`
}

type shownCoffer struct {
	Protection shownProtection `json:"protection"`
}

// shownProtection has what Azure's words do not tell: the state of an instance also while something has failed.
type shownProtection struct {
	State State     `json:"state"`
	Since time.Time `json:"since"`
	// NextPurge is null where there is none: facts are merged, and what is left out of a change stays.
	NextPurge *time.Time `json:"nextPurge"`
}

const (
	provisioned = "Succeeded"
	goingAway   = "Deleting"
	failed      = "Failed"
	// inError is what Azure calls an instance whose last operation has failed.
	inError State = "ProtectionError"
)

// Facts are those of an instance that say how it is protected.
func (r Record) Facts() (json.RawMessage, error) {
	p := shownProperties{
		ObjectType: arm.TypeInstance, ProvisioningState: provisioned, CurrentProtectionState: string(r.State),
		ProtectionStatus:       shownStatus{Status: r.State.status(), ErrorDetails: r.Failure},
		ProtectionErrorDetails: r.Failure, Coffer: shownCoffer{shownProtection{State: r.State, Since: r.Since}},
	}
	switch {
	case r.Deleting:
		p.ProvisioningState = goingAway
	case r.Failure != nil:
		p.ProvisioningState, p.CurrentProtectionState = failed, string(inError)
	}
	if d := r.Deletion; d != nil {
		p.ObjectType = arm.TypeDeletedInstance
		// Nobody is billed.
		p.DeletionInfo = &shownDeletion{DeletionTime: d.At, BillingEndDate: d.At, ScheduledPurgeTime: d.Until, DeleteActivityID: d.Activity}
		if !d.Next.IsZero() {
			p.Coffer.Protection.NextPurge = &d.Next
		}
	}
	return json.Marshal(shown{p})
}

// Read is the record in an instance's facts.
func Read(facts json.RawMessage) (Record, error) {
	var s shown
	if len(facts) > 0 {
		if err := json.Unmarshal(facts, &s); err != nil {
			return Record{}, fmt.Errorf("read how it is protected: %w", err)
		}
	}
	p := s.Properties
	r := Record{State: p.Coffer.Protection.State, Since: p.Coffer.Protection.Since, Deleting: p.ProvisioningState == goingAway, Failure: p.ProtectionErrorDetails}
	if r.State == "" {
		r.State = Configured // it was made before there were other states
	}
	if d := p.DeletionInfo; d != nil {
		r.Deletion = &Deletion{At: d.DeletionTime, Until: d.ScheduledPurgeTime, Activity: d.DeleteActivityID}
		if next := p.Coffer.Protection.NextPurge; next != nil {
			r.Deletion.Next = *next
		}
	}
	switch r.State {
	case Configured, Suspended, Stopped, SoftDeleted:
		return r, nil
	}
	return r, fmt.Errorf("read how it is protected: %q is no state", r.State)
}
