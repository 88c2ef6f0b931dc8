package arm

import "time"

// Orphan is what is in a cluster or its storage location and in no catalogue, or the reverse.
type Orphan struct {
	// ID names it as it was found: once anything about it is otherwise, it has another one.
	ID string `json:"id,omitempty"`
	// Kind is Archive, Remains, Snapshots or RecoveryPoint; NotAsked is a cluster that could not be asked, so that nobody knows what is there.
	Kind      Word   `json:"kind"`
	ClusterID string `json:"clusterId"`
	// Name is that of the recovery point, and of the job that made it.
	Name             string     `json:"name,omitempty"`
	BackupInstanceID string     `json:"backupInstanceId,omitempty"`
	Time             *time.Time `json:"time,omitempty"`
	// Bytes are those in the storage location, and Snapshots how many were left beside what an archive has.
	Bytes         int64 `json:"bytes,omitempty"`
	Snapshots     int   `json:"snapshots,omitempty"`
	SnapshotBytes int64 `json:"snapshotBytes,omitempty"`
	// Reason is why it is one, and Kept why it is not removed, even if asked for.
	Reason string `json:"reason"`
	Kept   string `json:"kept,omitempty"`
}

// OrphanNotAsked is the kind of a cluster that could not be asked.
const OrphanNotAsked Word = "NotAsked"

// RemoveOrphansRequest names orphans of a cluster, as they were listed.
type RemoveOrphansRequest struct {
	ClusterID string   `json:"clusterId"`
	IDs       []string `json:"ids"`
}

// RemovedOrphan is what became of one.
type RemovedOrphan struct {
	ID string `json:"id"`
	// Outcome is ToBeDeleted, Removed or Refused.
	Outcome Word   `json:"outcome"`
	Reason  string `json:"reason,omitempty"`
}

// RemovedOrphans is what became of all.
type RemovedOrphans struct {
	Value []RemovedOrphan `json:"value"`
}

// The outcomes of a removal.
const (
	// OrphanToBeDeleted is a pending deletion of the vault from then on.
	OrphanToBeDeleted Word = "ToBeDeleted"
	OrphanRemoved     Word = "Removed"
	OrphanRefused     Word = "Refused"
)
