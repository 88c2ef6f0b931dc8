package catalogue

import (
	"context"
	"time"
)

// Tier is where a recovery point lies.
type Tier string

// The tiers. The zero value is the operational one.
const (
	OperationalTier Tier = ""
	VaultTier       Tier = "VaultStore"
)

// Vaulting makes copies of recovery points in the vault tier, and deletes them. What it is asked for is in the catalogue before, so there is
// no list of copies here: which there are to be is the catalogue's to say.
//
// Neither call waits until all is done: who calls asks again, after any time, from any replica, also after a crash of either side. Every
// call begins what was not begun, and goes on where it ended; to ask twice, or by two replicas at the same moment, does nothing twice. It may
// be used concurrently, and a copy that is slow keeps no other waiting. When ctx ends, a call returns soon, and what it has begun may go on.
//
// Every error is one for people, or has no code; a call that has failed may have had its effect. None is final: the copy is asked for again, later, for
// as long as it is wanted. Whoever carries it out never gives up by itself.
type Vaulting interface {
	// Copy sees to it that a copy is being made, and answers how far that is. Once it answers that the copy is Whole, all of it is durable in
	// the vault tier, and can be restored without the cluster, whatever becomes of the operational tier; from then on it answers the
	// same, and does nothing, until the copy is deleted. A copy that is not whole can be restored by nobody. The operational tier has the
	// recovery point all the time.
	Copy(ctx context.Context, c VaultCopy) (CopyProgress, error)
	// Delete sees to it that nothing is left of a copy, whole or not: what copies it ends. It answers true once that is so, durably, also if there
	// never was one; until then it may answer false. Other copies stay whole, whatever they share with it. Asked for again after that, Copy begins anew.
	Delete(ctx context.Context, id VaultCopyID) (gone bool, err error)
}

// VaultCopyID names a copy.
type VaultCopyID struct {
	Vault ID
	// Repository is what the copies of one backup instance have in common, for as long as that lives: it stays when the instance is
	// deleted and had again, and the next instance of the same name has another.
	Repository string
	// Point is the name of the recovery point: no other of the vault has it.
	Point string
}

// VaultCopy is a copy that is to be made.
type VaultCopy struct {
	VaultCopyID
	// Taken is when the recovery point was.
	Taken time.Time
	// Cluster is where it lies, ClusterUID that cluster's if it is known, Identity who the vault is there, and Location its storage location.
	Cluster                        ID
	ClusterUID, Identity, Location string
}

// CopyProgress says how far a copy is.
type CopyProgress struct {
	Whole bool
	// Bytes are those copied until now, of Total as far as that is known.
	Bytes, Total int64
	// Stored is what a whole copy takes up that none before it did.
	Stored int64
}
