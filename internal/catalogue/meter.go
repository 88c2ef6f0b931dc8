package catalogue

import "time"

// Reading is what an instance took up on a day. There is one of an instance and a day. Its vault is there; its instance may be gone
// meanwhile.
type Reading struct {
	Vault, Instance ID
	// Day is its midnight, in UTC; what is beyond is cut off.
	Day time.Time
	// Namespaces are those protected, and Points how many recovery points there are.
	Namespaces, Points int
	// SnapshotBytes and ArchiveBytes are those of the operational tier, as in Total, and VaultBytes those of the vault tier with its
	// Redundancy.
	SnapshotBytes, ArchiveBytes, VaultBytes int64
	Redundancy                              string
}

// Total is what the recovery points of an instance take up together.
type Total struct {
	// Points is how many there are, and Namespaces how many the newest is of; 0 where that is not known.
	Points, Namespaces int
	// SnapshotBytes, ArchiveBytes and VaultBytes are the sums of what recovery points say of themselves: Point's SnapshotBytes, Bytes and
	// VaultBytes.
	SnapshotBytes, ArchiveBytes, VaultBytes int64
}

// ReadingQuery selects readings of a vault, the earliest day first, and then in the order of the instances' Keys.
type ReadingQuery struct {
	Vault ID
	// From and To bound Day, both included; zero is without a bound.
	From, To time.Time
	// After is the last one of the page before.
	After *Reading
	// Limit is how many at most, 1 to 1,000.
	Limit int
}
