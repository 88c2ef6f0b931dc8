// Package protection decides on the protection of backup instances: its states, what each operation makes of them, and what may not be
// deleted.
//
//	                  suspendBackups
//	 Configured <───────────────────────> Suspended ──┐
//	     ^ │           resumeBackups          ^       │
//	     │ │ stopProtection    suspendBackups │       │ stopProtection
//	     │ v                                  │       │
//	  Stopped <───────────────────────────────┴───────┘
//	     ^
//	     │ undelete      resumeProtection leads back to Configured from both
//	SoftDeleted <── DELETE, of any of them ──> Deleting ──> gone
//	     └───────── purge ────────────────────────^
package protection

import (
	"slices"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// State is how an instance is protected.
type State string

// The states, in Azure's words where it has one.
const (
	// Configured instances are backed up, and their recovery points expire.
	Configured State = "ProtectionConfigured"
	// Suspended ones are not backed up, and their recovery points expire.
	Suspended State = "BackupSchedulesSuspended"
	// Stopped ones are not backed up, and nothing of them expires.
	Stopped State = "ProtectionStopped"
	// SoftDeleted ones can be had again until their time is over. Nothing of them expires before.
	SoftDeleted State = "SoftDeleted"
	// Deleting ones are about to be gone, with their recovery points. It is the state of what is under way, and no record has it.
	Deleting State = "Deleting"
)

// States are all of them.
func States() []State { return []State{Configured, Suspended, Stopped, SoftDeleted, Deleting} }

// Schedules says whether an instance in this state is backed up by its policy.
func (s State) Schedules() bool { return s == Configured }

// Withdrawn is what a backup of the schedule says that has waited until its instance, of a name, was in a state in which it is not backed up.
func Withdrawn(name string, s State) string {
	why, next := "the protection of "+name+" was stopped", "resume its protection to have the next one"
	switch s {
	case Suspended:
		why, next = "backups of "+name+" were suspended", "resume them to have the next one"
	case SoftDeleted, Deleting:
		why, next = "the backup instance "+name+" was deleted", "have it again, if that is still possible, to have the next one"
	}
	return why + " before this backup of the schedule had begun in its cluster: it is not made; " + next
}

// Expires says whether the recovery points of an instance in this state are deleted when their time has come.
func (s State) Expires() bool { return s == Configured || s == Suspended }

// status is the word of Azure's protectionStatus, which has fewer.
func (s State) status() arm.Word {
	if s == Suspended {
		return arm.Word(Stopped)
	}
	return arm.Word(s)
}

// Operation is what somebody asks for.
type Operation string

// The operations. Those of Azure have the names of its requests.
const (
	SuspendBackups   Operation = "suspendBackups"
	StopProtection   Operation = "stopProtection"
	ResumeBackups    Operation = "resumeBackups"
	ResumeProtection Operation = "resumeProtection"
	Sync             Operation = "sync"
	Backup           Operation = "backup"
	Restore          Operation = "restore"
	Change           Operation = "write"
	// SoftDelete is a deletion that can be undone, and Delete one that cannot.
	SoftDelete Operation = "softDelete"
	Delete     Operation = "delete"
	Undelete   Operation = "undelete"
	Purge      Operation = "purge"
)

// Operations are all of them.
func Operations() []Operation {
	return []Operation{SuspendBackups, StopProtection, ResumeBackups, ResumeProtection, Sync, Backup, Restore, Change, SoftDelete, Delete, Undelete, Purge}
}

// refusal is why an operation is not possible in a state, and what to do.
type refusal struct {
	code      coffer.Code
	why, hint string
}

var (
	suspended = refusal{coffer.CodeProtectionStopped, "backups of %s are suspended", "resume its protection first: coffer backup-instance resume-protection -n %s"}
	stopped   = refusal{coffer.CodeProtectionStopped, "the protection of %s is stopped", "resume its protection first: coffer backup-instance resume-protection -n %s"}
	resumable = refusal{coffer.CodeProtectionStopped, "the protection of %s is stopped, and not only its backups", "use resumeProtection: coffer backup-instance resume-protection -n %s"}
	deleting  = refusal{coffer.CodeJobUnderway, "the backup instance %s is being deleted", "wait until it is gone"}
	deleted   = refusal{coffer.CodeConflict, "the backup instance %s is deleted", "have it again first: coffer backup-instance deleted-backup-instance undelete -n %s"}
	present   = refusal{coffer.CodeConflict, "the backup instance %s is not deleted", "delete it first: coffer backup-instance delete -n %s"}
)

// outcome is what an operation makes of a state: the state after it, or a refusal.
type outcome struct {
	to State
	no *refusal
}

func to(s State) outcome { return outcome{to: s} }

func no(r *refusal) outcome { return outcome{no: r} }

// table is the whole of it: a row is an operation, its columns are the states in the order of States.
var table = map[Operation][5]outcome{
	//                Configured        Suspended         Stopped           SoftDeleted   Deleting
	SuspendBackups:   {to(Suspended), to(Suspended), to(Suspended), no(&deleted), no(&deleting)},
	StopProtection:   {to(Stopped), to(Stopped), to(Stopped), no(&deleted), no(&deleting)},
	ResumeBackups:    {to(Configured), to(Configured), no(&resumable), no(&deleted), no(&deleting)},
	ResumeProtection: {to(Configured), to(Configured), to(Configured), no(&deleted), no(&deleting)},
	Sync:             {to(Configured), to(Suspended), to(Stopped), no(&deleted), no(&deleting)},
	Backup:           {to(Configured), no(&suspended), no(&stopped), no(&deleted), no(&deleting)},
	Restore:          {to(Configured), to(Suspended), to(Stopped), no(&deleted), no(&deleting)},
	Change:           {to(Configured), to(Suspended), to(Stopped), no(&deleted), no(&deleting)},
	SoftDelete:       {to(SoftDeleted), to(SoftDeleted), to(SoftDeleted), no(&deleted), no(&deleting)},
	Delete:           {to(Deleting), to(Deleting), to(Deleting), no(&deleted), no(&deleting)},
	Undelete:         {no(&present), no(&present), no(&present), to(Stopped), no(&deleting)},
	Purge:            {no(&present), no(&present), no(&present), to(Deleting), no(&deleting)},
}

// Decide is the state that an operation makes of one. name is the instance's.
func Decide(name string, s State, o Operation) (State, error) {
	found := table[o][slices.Index(States(), s)]
	if found.no == nil {
		return found.to, nil
	}
	err := coffer.Errorf(found.no.code, found.no.why, name)
	if found.no == &deleting {
		return "", err.WithHint("%s", found.no.hint)
	}
	return "", err.WithHint(found.no.hint, name)
}
