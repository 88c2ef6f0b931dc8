package catalogue

import (
	"encoding/json"
	"time"
)

// Deletion is a recovery point that is in no list any more, and has not gone from its cluster yet. Its vault is there; its instance may be
// gone meanwhile.
type Deletion struct {
	Vault, Instance ID
	// Point is the name of the recovery point, and Taken its time.
	Point string
	Taken time.Time
	// Cluster is where it is deleted.
	Cluster ID
	// Bytes is what it takes up there as far as that is known.
	Bytes int64
	// Since is since when it is to be deleted, and Next when it is tried again.
	Since, Next time.Time
	// Tries is how often that has failed, and Failure why it did last.
	Tries   int
	Failure string
	// Work is what there is to do, as the flow has written it. It is not shown.
	Work json.RawMessage
}

// DeletionQuery selects deletions: of a vault in the order of Since, and then of the instances' Keys and of Point; or of a cluster in the
// order of Next, and then as they were written first.
type DeletionQuery struct {
	// One of both is set.
	Vault, Cluster ID
	// Until bounds Next, included; zero is without a bound.
	Until time.Time
	// After is the last deletion of the page before, of a vault. Those of a cluster have no pages: what was tried is due later.
	After *Deletion
	// Limit is how many at most, 1 to 1,000.
	Limit int
}
