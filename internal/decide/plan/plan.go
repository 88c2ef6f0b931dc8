// Package plan decides, before anything is written, what a restore does with each object of a recovery point.
package plan

import (
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Action is what a restore does with one object.
type Action string

// The actions.
const (
	// Create creates an object that does not exist.
	Create Action = "create"
	// RestoreVolume creates a claim that does not exist, and whose volume is made of a snapshot.
	RestoreVolume Action = "restore volume"
	// Skip leaves the object out; of one that exists, it leaves that as it is.
	Skip Action = "skip"
	// Patch changes an object that exists.
	Patch Action = "patch"
	// Replace deletes an object that exists, and creates it again; a claim with its Volume, if the step has one.
	Replace Action = "replace"
	// Fail says that an object exists and must not: nothing at all is written.
	Fail Action = "fail"
)

// Known says whether it is one of the actions.
func (a Action) Known() bool {
	switch a {
	case Create, RestoreVolume, Skip, Patch, Replace, Fail:
		return true
	}
	return false
}

// Policy is what is done with an object that exists.
type Policy string

// The policies.
const (
	SkipExisting    Policy = "Skip"
	PatchExisting   Policy = "Patch"
	ReplaceExisting Policy = "Replace"
	FailIfExists    Policy = "Fail"
)

// Step is one object of the plan.
type Step struct {
	// Item is the object's position in the items that the plan was made of.
	Item int
	// Target is what the object is called in the cluster: its namespace may be mapped.
	Target coffer.ObjectRef
	// Type at which it is written. The zero value says that its definition is restored before it.
	Type   coffer.ResourceType
	Action Action
	// Policy is what becomes of the object if it turns out to exist although the plan did not know of it: of the user's
	// choice, and of what is never done with objects of its type.
	Policy Policy
	// UID of the object that exists; empty if none is known to. Replace deletes this one and no other.
	UID string
	// Terminating says that the object that exists is being deleted: the step waits for its end.
	Terminating bool
	// Reason for the action, where it is not plain.
	Reason string
	// Warning is the code of the Reason, if it is something that the user has to know of.
	Warning coffer.Code
	// Unchecked is why it is not known, or cannot be tried, before the restore whether the object exists and would be
	// accepted; empty if it can.
	Unchecked string
	// Order of the step: lower ones are done first, equal ones at the same time.
	Order int
	// Volume is the one to restore.
	Volume *coffer.Volume
	// KeptVolume is the PersistentVolume that the claim is bound to again: it outlived the claim, and nothing is put into it.
	KeptVolume string
	// Shared says that an object of this name cannot be both the original's and that of a copy in another namespace. It is not
	// stored: where there is such an object, the reason says so.
	Shared bool
	// Owners are those of the archived owners to which the object is linked: they exist once the plan is done.
	Owners []coffer.OwnerReference
}

// Existing says that an object exists and is left as it is.
func (s Step) Existing() bool { return s.Action == Skip && s.UID != "" }

// Writes says that the step changes the cluster.
func (s Step) Writes() bool { return s.Action != Skip && s.Action != Fail }

// Present says that there is an object once the plan is done, written or left as it is: others may belong to it.
func (s Step) Present() bool { return s.Action != Skip || s.UID != "" }

// RestoresData says that the step makes a claim whose volume is made of a snapshot.
func (s Step) RestoresData() bool { return s.Writes() && s.Volume != nil }

// Plan is everything that a restore will do.
type Plan struct {
	// Steps in the order in which they are done, skipped ones too.
	Steps []Step
	// Namespaces of the cluster that steps create or write to, sorted.
	Namespaces []string
	// NotSelected counts the objects of the recovery point that nobody has asked for, by type and reason, sorted.
	NotSelected []coffer.NotSelected
	// Changes are what else is done to the objects and after them, by the field of the request that asks for it. With others,
	// it is another plan.
	Changes map[string]string
}

// Types are the types that a cluster serves, each at all of its versions, the preferred one first.
type Types map[coffer.GroupResource][]coffer.ResourceType

// NewTypes sorts types by what they are types of, and keeps their order.
func NewTypes(all []coffer.ResourceType) Types {
	types := Types{}
	for _, t := range all {
		types[t.GroupResource] = append(types[t.GroupResource], t)
	}
	return types
}

// For is the type at which an object of this apiVersion is written: at its own version if the cluster serves that, for
// at another one its fields may mean something else, or at the preferred one, which is not exact. Without either, the type
// is not served.
func (t Types) For(g coffer.GroupResource, apiVersion string) (found coffer.ResourceType, exact, served bool) {
	versions := t[g]
	for _, v := range versions {
		if v.APIVersion() == apiVersion {
			return v, true, true
		}
	}
	if len(versions) == 0 {
		return coffer.ResourceType{}, false, false
	}
	return versions[0], false, true
}
