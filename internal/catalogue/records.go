package catalogue

import (
	"encoding/json"
	"time"
)

// Operation is a long-running request of a client. Its ID cannot be guessed.
type Operation struct {
	ID string
	// Resource is what it works on; it may be gone meanwhile.
	Resource ID
	// Kind is a word such as Restore.
	Kind string
	// By is the principal's object id: only it, and who may read the resource, sees the operation.
	By      string
	Status  OperationStatus
	Started time.Time
	// Ended is zero while it is under way.
	Ended time.Time
	// Result is what its Location answers with in the end, and Error ARM's error object if it failed.
	Result, Error json.RawMessage
	// Request is by what a repetition of the request is known that has begun it; empty is none.
	Request string
}

// OperationStatus is ARM's word for how far an operation is.
type OperationStatus string

// The statuses: all but the first are final.
const (
	OperationInProgress OperationStatus = "Inprogress"
	OperationSucceeded  OperationStatus = "Succeeded"
	OperationFailed     OperationStatus = "Failed"
	OperationCanceled   OperationStatus = "Canceled"
)

// Point is a recovery point in a vault's catalogue.
type Point struct {
	Instance ID
	Name     string
	Time     time.Time
	// Expiry is when the operational tier is to delete it, and VaultExpiry when the vault tier is, also of a copy that is still to be made;
	// zero where nothing expires it, or where it is not there.
	Expiry, VaultExpiry time.Time
	// Copy is when its copy in the vault tier is to be begun, or looked after again; zero if none is wanted, or it is there.
	Copy time.Time
	// Good says that nothing is missing in it, and Held that it is under legal hold. Operational and Vaulted are the tiers that have it, all of it.
	Good, Held, Operational, Vaulted bool
	// Bytes is what its archive takes up in the operational tier, and SnapshotBytes how large volumes made of its snapshots are at least;
	// Namespaces are those captured. Each is 0 where it is not known.
	Bytes, SnapshotBytes int64
	Namespaces           int
	// VaultBytes is what the vault tier takes up for it, as far as that is known.
	VaultBytes int64
	// Body are the properties as they are shown.
	Body json.RawMessage
	// Mark is another one each time that it is written. It is read with Until, and not written.
	Mark int64
}

// PointID names a recovery point.
type PointID struct {
	Instance ID
	Name     string
}

// DueBy says whether a tier is to delete it by then.
func (p Point) DueBy(then time.Time) bool {
	due := func(expiry time.Time) bool { return !expiry.IsZero() && !expiry.After(then) }
	return due(p.Expiry) || due(p.VaultExpiry)
}

// PointQuery selects the recovery points of an instance, the newest first, and the last name first where times are equal.
type PointQuery struct {
	Instance ID
	// From and To bound Time, both included; zero is without a bound.
	From, To time.Time
	// After is the last recovery point of the page before.
	After *PointCursor
	// Bare leaves out Body, but of those that are DueBy Until. With Until, Mark is read as well.
	Bare  bool
	Until time.Time
	// Limit is how many at most, 1 to 1,000.
	Limit int
}

// PointMark is of all recovery points of an instance: Count is how many there are, and Sum, which is that of their Marks, is another one, but for a
// chance of one in 4,000,000,000,000, once any of them has changed.
type PointMark struct{ Count, Sum int64 }

// PointCursor is a place in the order of PointQuery.
type PointCursor struct {
	Time time.Time
	Name string
}

// Job is one visible run in a vault.
type Job struct {
	Vault ID
	Name  string
	// Instance is what it works on; it may be gone meanwhile.
	Instance ID
	// Status is InProgress, Completed, CompletedWithWarnings, Failed or Cancelled, and Operation what it does, such as Restore.
	Status, Operation string
	Started           time.Time
	// Ended is zero while it runs.
	Ended time.Time
	// Body are the properties as they are shown.
	Body json.RawMessage
	// Cluster is where it is carried out, as long as it has not ended; it may be empty.
	Cluster ID
	// Work is what there is to do and how far it is, as the flow has written it. It is not shown.
	Work json.RawMessage
	// Point is the name of the recovery point that it makes or copies, where that is not its own.
	Point string
}

// EndedJob is a job that has ended.
type EndedJob struct {
	Vault ID
	Name  string
	Ended time.Time
	// Needed says that it is to be kept however old it is: the recovery point of its name, or of its Point, is there, or it is the last one of its
	// Operation that has ended of an instance that is there. An instance that was deleted, and can be had again, is there with all it has.
	Needed bool
}

// EndedJobQuery selects the jobs of all vaults that ended before a time, the earliest first.
type EndedJobQuery struct {
	Before time.Time
	// After is the last job of the page before.
	After *EndedJob
	// Limit is how many at most, 1 to 1,000.
	Limit int
}

// OpenJobQuery selects the jobs of all vaults that have not ended, the oldest first, and the first name first where times are equal:
// those that are carried out in a cluster, or those of some instances, then in the order of the instances' Keys first.
type OpenJobQuery struct {
	Cluster ID
	// Instances are up to 1,000. Either they or Cluster is set.
	Instances []ID
	// Operations, if it is not empty, selects by what they do.
	Operations []string
	// Limit is how many at most, 1 to 1,000.
	Limit int
}

// JobQuery selects the jobs of a vault, the newest first, and the last name first where times are equal.
type JobQuery struct {
	Vault ID
	// Instance, Status and Operation select, where they are set.
	Instance          ID
	Status, Operation string
	// From and To bound Started, both included; zero is without a bound.
	From, To time.Time
	// After is the last job of the page before: its start and its name.
	After *PointCursor
	// Limit is how many at most, 1 to 1,000.
	Limit int
}

// AuditEntry says who tried to change what, and what came of it. Entries are never changed, and go at the end of their time only.
type AuditEntry struct {
	// Sequence is given by the database, and grows. Of entries that are written at the same time, a later one may be seen first.
	Sequence int64
	Time     time.Time
	// Principal is the object id of who it was, or empty where nobody proved to be anybody; Name is for people.
	Principal, Name string
	// Action is in the words of role definitions: Microsoft.DataProtection/backupVaults/write.
	Action string
	Target ID
	// Request is the request's correlation id, and Remote where it came from.
	Request, Remote string
	// Status is the HTTP status of the answer, and Code the error's, or empty.
	Status int
	Code   string
	// Before and After are the resource without secrets; each may be empty.
	Before, After json.RawMessage
}

// AuditQuery selects entries, the newest first.
type AuditQuery struct {
	// Under is a scope; the empty one is all.
	Under ID
	// Principal selects, if it is set.
	Principal string
	// From and To bound Time, both included; zero is without a bound.
	From, To time.Time
	// Before is the Sequence of the last entry of the page before; 0 begins with the newest.
	Before int64
	// Limit is how many at most, 1 to 1,000.
	Limit int
}

// Secret is a value that belongs to a resource, sealed: the database never sees it.
type Secret struct {
	Owner ID
	// Name is of the owner's choice; several may be there.
	Name   string
	Sealed []byte
	// Expires is zero where it does not.
	Expires time.Time
}
