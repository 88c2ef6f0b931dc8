package catalogue

import (
	"context"
	"time"
)

// Database keeps the catalogue. It may be used concurrently, by several processes if it is of a kind that can be shared.
//
// What is not there is an error with coffer.CodeResourceNotFound; a condition that does not hold has
// coffer.CodePreconditionFailed. A database that does not answer is an error that is Transient and has
// coffer.CodeDatabaseUnavailable, and one that has no room left to write has coffer.CodeDatabaseFull. Everything else has no code.
//
// Times are kept in UTC, to the microsecond: what is beyond is cut off, in queries too. Bodies are kept byte for byte, whatever they
// are. Ids are found in any spelling, and are answered as they were written. Names, statuses and relations are UTF-8 without NUL, of
// at most 260 bytes, ids and targets of at most 2,048: others are refused with coffer.CodeInvalidInput or CodeInvalidResourceID. In
// an audit entry, in who wrote a resource, and in why a deletion failed, what cannot be kept is marked or cut instead.
type Database interface {
	// Update runs do in one transaction, as if it were the only one. If it answers nil, what do wrote is durable; if it answers an
	// error, nothing is written, unless the connection was lost in the very last step: that is transient, and what do wrote is there
	// as a whole or not at all. do is run again where transactions got in each other's way: it must have no other effect, and must
	// not begin another Update. After an error without a code of its own, or one that is transient, the transaction is over, whatever
	// do answers.
	Update(ctx context.Context, do func(ctx context.Context, tx Tx) error) error
	// View runs do on one state of the database.
	View(ctx context.Context, do func(ctx context.Context, v View) error) error
	// Ping answers whether the database can be used.
	Ping(ctx context.Context) error
	Close() error
}

// View reads, in one goroutine at a time. Lists that belong to what is not there are empty.
type View interface {
	Resource(ctx context.Context, id ID) (Resource, error)
	Resources(ctx context.Context, q ResourceQuery) ([]Resource, error)
	Point(ctx context.Context, instance ID, name string) (Point, error)
	Points(ctx context.Context, q PointQuery) ([]Point, error)
	// PointMarks are by the Keys of instances, up to 1,000; one without recovery points has none.
	PointMarks(ctx context.Context, instances ...ID) (map[string]PointMark, error)
	// Expiring are instances that have recovery points with an Expiry or a VaultExpiry up to a time, in the order of their Keys, after the Key
	// of the last one of the page before; limit is how many at most, 1 to 1,000.
	Expiring(ctx context.Context, until time.Time, after string, limit int) ([]ID, error)
	// CopiesDue are recovery points of all instances, and of deleted ones, with a Copy up to a time, the earliest first, without their bodies.
	// limit is how many at most, 1 to 1,000.
	CopiesDue(ctx context.Context, until time.Time, limit int) ([]Point, error)
	Due(ctx context.Context, q DueQuery) ([]Due, error)
	// DueOf are those of some instances, up to 1,000, as far as they are there, in the order of their Keys.
	DueOf(ctx context.Context, instances ...ID) ([]Due, error)
	Slots(ctx context.Context, q SlotQuery) ([]Slot, error)
	// Deletion is that of a recovery point of an instance, which may be gone, from a tier.
	Deletion(ctx context.Context, vault, instance ID, point string, tier Tier) (Deletion, error)
	Deletions(ctx context.Context, q DeletionQuery) ([]Deletion, error)
	// DeletionClusters are the clusters that have deletions with a Next up to a time, in the order of their Keys. Those from the vault tier are
	// in none.
	DeletionClusters(ctx context.Context, until time.Time) ([]ID, error)
	Alert(ctx context.Context, vault ID, name string) (Alert, error)
	Alerts(ctx context.Context, q AlertQuery) ([]Alert, error)
	Readings(ctx context.Context, q ReadingQuery) ([]Reading, error)
	// Total is what the recovery points of an instance take up; of one that is not there it is zero.
	Total(ctx context.Context, instance ID) (Total, error)
	Job(ctx context.Context, vault ID, name string) (Job, error)
	Jobs(ctx context.Context, q JobQuery) ([]Job, error)
	// CountJobs and CountResources count what a query selects, whatever its Limit, which is for pages. They read an index, not what they count.
	CountJobs(ctx context.Context, q JobQuery) (int, error)
	CountResources(ctx context.Context, q ResourceQuery) (int, error)
	OpenJobs(ctx context.Context, q OpenJobQuery) ([]Job, error)
	// OpenClusters are the clusters that have open jobs, in the order of their Keys.
	OpenClusters(ctx context.Context) ([]ID, error)
	EndedJobs(ctx context.Context, q EndedJobQuery) ([]EndedJob, error)
	Operation(ctx context.Context, id string) (Operation, error)
	// OperationOf is the last operation of a Request, which is not empty, that was started at a time or after it.
	OperationOf(ctx context.Context, request string, since time.Time) (Operation, error)
	Audit(ctx context.Context, q AuditQuery) ([]AuditEntry, error)
	// Secrets are all of a resource, in the order of their names.
	Secrets(ctx context.Context, owner ID) ([]Secret, error)
}

// Tx reads, its own writes included, and writes.
type Tx interface {
	View
	// Turn waits until no other transaction has its turn, which ends with the transaction. It is called before anything else is. Those who read and
	// write many rows would otherwise be run again and again for each other.
	Turn(ctx context.Context) error
	// PutResource creates or replaces a resource, its links included, and answers it with its new Version. Created is kept where it
	// was there already.
	PutResource(ctx context.Context, r Resource, c Condition) (Resource, error)
	// DeleteResource deletes a resource, its links, its secrets, of a backup instance its recovery points, its slots and what is due, and of
	// a vault its jobs, deletions, alerts and readings. What lies below it is the caller's to look after.
	DeleteResource(ctx context.Context, id ID, c Condition) error
	// MoveResource gives a resource another id, with all that belongs to it: links, secrets, recovery points, slots, what is due, and of a
	// vault its jobs and the like. Version grows, and the rest stays. c is of the one that is moved; if the other id is not free, the error
	// has coffer.CodePreconditionFailed. What lies below it, and what names it by its id, is the caller's to look after.
	MoveResource(ctx context.Context, from, to ID, c Condition) (Resource, error)
	// PutDue creates or replaces those of instances that are there, each of another. DeleteDue is no error if there is none.
	PutDue(ctx context.Context, some ...Due) error
	DeleteDue(ctx context.Context, instance ID) error
	// AddSlot creates slots of instances that are there. If there is one of an instance and a time already, the error has
	// coffer.CodePreconditionFailed, and others of the same call may be written.
	AddSlot(ctx context.Context, some ...Slot) error
	// DeleteSlots deletes up to limit slots of before a time, and answers how many.
	DeleteSlots(ctx context.Context, before time.Time, limit int) (int, error)
	// PutDeletion and PutReading create or replace what is of a vault that is there; deletions of one call are of other recovery points, or
	// from other tiers.
	PutDeletion(ctx context.Context, some ...Deletion) error
	DeleteDeletion(ctx context.Context, vault, instance ID, point string, tier Tier) error
	PutReading(ctx context.Context, r Reading) error
	// DeleteReadings deletes up to limit readings of days before a time, and answers how many.
	DeleteReadings(ctx context.Context, before time.Time, limit int) (int, error)
	// RaiseAlert counts an alert of a vault that is there: where an open one of its Kind and Target is there, that has Last, Body and one
	// more in Count, and goes on with its Name, State and First; otherwise a new one is made, fired once, by a Name that is free. It answers
	// what there is now, and whether it is new.
	RaiseAlert(ctx context.Context, a Alert) (Alert, bool, error)
	// PutAlert replaces one that is there, but for its Kind, its Target and its First. A closed one is not opened again: the error has
	// coffer.CodePreconditionFailed.
	PutAlert(ctx context.Context, a Alert) error
	// DeleteAlerts deletes up to limit alerts that were closed before a time, and answers how many.
	DeleteAlerts(ctx context.Context, before time.Time, limit int) (int, error)
	// PutPoint, PutJob and PutOperation create or replace. The instance of a recovery point and the vault of a job are there; jobs of one call
	// have other vaults or names.
	PutPoint(ctx context.Context, p Point) error
	DeletePoint(ctx context.Context, instance ID, name string) error
	// DeletePoints deletes some, and answers how many. Those that are gone are left out.
	DeletePoints(ctx context.Context, some ...PointID) (int, error)
	PutJob(ctx context.Context, some ...Job) error
	// DeleteJobs deletes up to 1,000 jobs, and answers how many. Those that are gone, and those that have not ended, are left out.
	DeleteJobs(ctx context.Context, some ...EndedJob) (int, error)
	PutOperation(ctx context.Context, o Operation) error
	// DeleteOperations deletes up to limit operations that ended before a time, and answers how many.
	DeleteOperations(ctx context.Context, before time.Time, limit int) (int, error)
	// PutSecret creates or replaces a secret of a resource that is there.
	PutSecret(ctx context.Context, s Secret) error
	DeleteSecret(ctx context.Context, owner ID, name string) error
	// AppendAudit gives entries their Sequences, in their order.
	AppendAudit(ctx context.Context, some ...AuditEntry) error
	// DeleteAudit deletes up to limit entries of before a time, and answers how many. It is the only way that an entry goes: the database itself
	// keeps those that are younger.
	DeleteAudit(ctx context.Context, before time.Time, limit int) (int, error)
}

// Sealer encrypts what must not lie in a database as it is. It may be used concurrently.
type Sealer interface {
	// Seal encrypts; Open decrypts what Seal made for the same purpose, and refuses everything else. A purpose is a constant word, with
	// the Key of what the secret belongs to: so it cannot be passed off as another's.
	Seal(ctx context.Context, purpose string, plain []byte) ([]byte, error)
	Open(ctx context.Context, purpose string, sealed []byte) ([]byte, error)
}
