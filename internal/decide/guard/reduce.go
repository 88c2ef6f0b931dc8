package guard

import (
	"slices"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/decide/vault"
)

// Reductions are the critical operations that a change of a vault's settings amounts to.
func Reductions(was, now vault.Settings) []Operation {
	var found []Operation
	soft := []arm.Word{arm.StateOff, arm.StateOn, arm.StateAlwaysOn}
	// How long something is kept that soft delete does not keep says nothing.
	shorter := now.SoftDelete != arm.StateOff && was.SoftDelete != arm.StateOff && now.SoftDeleteDays < was.SoftDeleteDays
	if less(soft, was.SoftDelete, now.SoftDelete) || shorter {
		found = append(found, ReduceSoftDelete)
	}
	if less([]arm.Word{arm.StateDisabled, arm.StateUnlocked, arm.StateLocked}, was.Immutability, now.Immutability) {
		found = append(found, ReduceImmutability)
	}
	return found
}

// less says whether a word comes before another one.
func less(order []arm.Word, was, now arm.Word) bool {
	return slices.IndexFunc(order, now.Is) < slices.IndexFunc(order, was.Is)
}
