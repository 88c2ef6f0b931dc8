package catalogue

import (
	"encoding/json"
	"time"
)

// Deletion is a recovery point that a tier has let go of, and that has not gone from there yet. Its vault is there; its instance may be gone
// meanwhile. There is one of a recovery point and a tier.
type Deletion struct {
	Vault, Instance ID
	// Point is the name of the recovery point, and Taken its time.
	Point string
	Taken time.Time
	// Tier is what it is deleted from, and Cluster where; of the vault tier that is empty.
	Tier    Tier
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

// DeletionQuery selects deletions: of a vault in the order of Since, and then of the instances' Keys, of Point and of Tier; or of a cluster,
// or of the vault tiers of all vaults, in the order of Next, and then as they were written first.
type DeletionQuery struct {
	// One of the three is set.
	Vault, Cluster ID
	VaultTiers     bool
	// Until bounds Next, included; zero is without a bound.
	Until time.Time
	// After is the last deletion of the page before, of a vault. The others have no pages: what was tried is due later.
	After *Deletion
	// Limit is how many at most, 1 to 1,000.
	Limit int
}
