package runner_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	guardID = group + "/providers/Microsoft.DataProtection/resourceGuards/g1"
	proxyID = vaultID + "/backupResourceGuardProxies/DppResourceGuardProxy"
)

// guarded puts the vault under a resource guard. naming is the administrator, who may go past it, with the request for an operation named.
func (w *world) guarded() (naming func(o guard.Operation) vault.Caller) {
	w.t.Helper()
	w.put(guardID, `{"location":"westeurope"}`)
	w.put(proxyID, `{"properties":{"resourceGuardResourceId":"`+string(guardID)+`"}}`)
	return func(o guard.Operation) vault.Caller {
		by := w.by
		by.GuardRequests = []string{string(guard.RequestID(guardID, o))}
		return by
	}
}

func TestWhatTheClockDeletesTakesNobody(t *testing.T) {
	w := newWorld(t)
	w.putVault("AlwaysOn", "Disabled")
	w.backedUp()
	naming := w.guarded()
	if _, err := w.remove(false); coffer.CodeOf(err) != coffer.CodeGuarded || !w.there(instanceID) {
		t.Fatalf("by nobody's leave: %v", err)
	}
	if _, err := w.jobs.DeleteInstance(t.Context(), naming(guard.DeleteInstance), instanceID, catalogue.Condition{}, false); err != nil || !w.there(deletedID) {
		t.Fatalf("deleted: %v", err)
	}
	w.Clock.Move(fortnight)
	if _, err := w.jobs.Purge(t.Context(), w.by, deletedID, true); coffer.CodeOf(err) != coffer.CodeGuarded || !w.there(deletedID) {
		t.Fatalf("purged by hand, by nobody's leave: %v", err)
	}
	w.runner.Purge(t.Context())
	w.deletions(1, `{"phase":"Completed"}`)
	if w.there(deletedID) {
		t.Error("its time is over, and it is there")
	}
}

func TestAnUnlockEnds(t *testing.T) {
	w := newWorld(t)
	naming := w.guarded()
	unlock := func() {
		t.Helper()
		until, err := w.jobs.Keeper.UnlockDelete(t.Context(), naming(guard.DeleteInstance), proxyID, fmt.Appendf(nil, `{"resourceToBeDeleted":%q}`, string(instanceID)))
		if err != nil || !until.Equal(w.Clock.Now().Add(guard.UnlockTime)) {
			t.Fatalf("unlocked until %s: %v", until, err)
		}
	}
	unlock()
	w.Clock.Move(guard.UnlockTime)
	if _, err := w.remove(false); coffer.CodeOf(err) != coffer.CodeGuarded || !w.there(instanceID) {
		t.Errorf("at its end: %v", err)
	}
	unlock()
	unlock() // Twice is once.
	w.Clock.Move(guard.UnlockTime - time.Second)
	// Whoever answers now, it is in the database.
	w.jobs.Keeper = &vault.Keeper{DB: w.jobs.Keeper.DB, Now: w.jobs.Keeper.Now, NewID: w.jobs.Keeper.NewID, NewObjectID: w.jobs.Keeper.NewObjectID, Kinds: w.jobs.Keeper.Kinds}
	if _, err := w.remove(false); err != nil || w.there(instanceID) {
		t.Errorf("before its end: %v", err)
	}
}

func TestADeletionIsTriedAgainByLeaveOnly(t *testing.T) {
	w := newWorld(t)
	w.backedUp()
	naming := w.guarded()
	if _, err := w.jobs.DeleteInstance(t.Context(), naming(guard.DeleteInstance), instanceID, catalogue.Condition{}, false); err != nil {
		t.Fatal(err)
	}
	// Asked for again while it goes on, it is the same.
	if removal, err := w.remove(false); err != nil || !removal.Underway {
		t.Errorf("asked for again: %+v, %v", removal, err)
	}
	w.deletions(1, `{"phase":"Failed","reason":"UserErrorRecoveryPointInUse","message":"it is in use; wait"}`)
	if _, err := w.jobs.Sync(t.Context(), w.by, instanceID, nil); coffer.CodeOf(err) != coffer.CodeGuarded {
		t.Errorf("tried again by nobody's leave: %v", err)
	}
	if _, err := w.jobs.Sync(t.Context(), naming(guard.DeleteInstance), instanceID, nil); err != nil {
		t.Errorf("tried again: %v", err)
	}
}
