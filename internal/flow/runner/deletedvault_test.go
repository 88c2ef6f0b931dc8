package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

// emptied is a vault of which all instances are gone, and its deletion.
func (w *world) emptied(softDelete string) func() {
	w.t.Helper()
	w.backup(failedRun) // What it tells of is not closed by the deletion of the vault alone.
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		return tx.DeleteResource(ctx, instanceID, catalogue.Condition{})
	})
	w.putVault(softDelete, "Disabled")
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		for _, at := range []catalogue.ID{vaultID, policyID} {
			id := at + "/providers/Microsoft.Authorization/roleAssignments/44444444-4444-8444-8444-444444444444"
			if _, err := tx.PutResource(ctx, catalogue.Resource{ID: id, Body: []byte("{}"), Facts: []byte("{}")}, catalogue.Condition{}); err != nil {
				return err
			}
		}
		return nil
	})
	return func() {
		w.t.Helper()
		if _, found, err := w.jobs.Keeper.Delete(w.t.Context(), w.by, vaultID, catalogue.Condition{}); err != nil || !found {
			w.t.Fatalf("deleted: %v, %v", found, err)
		}
	}
}

// deletedVaults are those that can be had again.
func (w *world) deletedVaults() (found []catalogue.Resource) {
	w.t.Helper()
	w.view(func(v catalogue.View) (err error) {
		found, err = v.Resources(w.t.Context(), catalogue.ResourceQuery{Type: "Microsoft.DataProtection/locations/deletedVaults", Limit: 10})
		return err
	})
	return found
}

func (w *world) under(id catalogue.ID) string {
	w.t.Helper()
	var names []string
	w.view(func(v catalogue.View) error {
		found, err := v.Resources(w.t.Context(), catalogue.ResourceQuery{Under: id, Limit: 10})
		for _, r := range found {
			names = append(names, strings.TrimPrefix(string(r.ID), string(id)))
		}
		return err
	})
	return strings.Join(names, " ")
}

func (w *world) undelete(deleted catalogue.ID, body string) error {
	_, err := w.jobs.Keeper.Put(w.t.Context(), w.by, vault.Put{ID: vaultID, Body: json.RawMessage(body), Undelete: deleted})
	return err
}

func TestADeletedVaultIsHadAgainAsItWas(t *testing.T) {
	w := newWorld(t)
	remove := w.emptied("On")
	before, err := w.jobs.Keeper.Get(t.Context(), vaultID)
	if err != nil {
		t.Fatal(err)
	}
	remove()
	if _, err := w.jobs.Keeper.Get(t.Context(), vaultID); coffer.CodeOf(err) != coffer.CodeResourceNotFound || w.under(vaultID) != "" {
		t.Errorf("after its deletion: %v, below it: %s", err, w.under(vaultID))
	}
	found := w.deletedVaults()
	if len(found) != 1 || w.under(found[0].ID) != "/backupPolicies/pol" {
		t.Fatalf("deleted vaults: %+v", found)
	}
	id := found[0].ID
	shown, err := vault.Shown(found[0])
	if err != nil || !strings.HasPrefix(string(id), string(subscription)+"/providers/Microsoft.DataProtection/locations/westeurope/deletedVaults/") ||
		!strings.Contains(string(shown), `"originalBackupVaultId":"`+string(vaultID)+`"`) || !strings.Contains(string(shown), `"deletionTime":"2026-05-04T`) ||
		!strings.Contains(string(shown), `"scheduledPurgeTime":"2026-05-18T`) || !strings.Contains(string(shown), `"LocallyRedundant"`) {
		t.Errorf("%s is shown as %s, %v", id, shown, err)
	}
	for name, c := range map[string]struct {
		at, deleted catalogue.ID
		code        coffer.Code
	}{
		"one that is not there": {vaultID, id + "0", coffer.CodeResourceNotFound},
		"as another one":        {vaultID + "2", id, coffer.CodeInvalidInput},
		"one that is no vault":  {vaultID, group, coffer.CodeInvalidInput},
	} {
		_, err := w.jobs.Keeper.Put(t.Context(), w.by, vault.Put{ID: c.at, Undelete: c.deleted})
		if coffer.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := w.undelete(id, ""); err != nil {
		t.Fatal(err)
	}
	after, err := w.jobs.Keeper.Get(t.Context(), vaultID)
	if err != nil || string(after.Body) != string(before.Body) || string(after.Facts) != string(before.Facts) || !after.Created.At.Equal(before.Created.At) {
		t.Errorf("it was\n%s %s\nand is\n%s %s, %v", before.Body, before.Facts, after.Body, after.Facts, err)
	}
	if w.identityOf(vaultID) != w.identity || w.under(vaultID) != "/backupPolicies/pol" || len(w.deletedVaults()) != 0 || w.alerts() != "BackupFailed one 1" {
		t.Errorf("had again: below it %s, alerts: %s", w.under(vaultID), w.alerts())
	}
	if w.audited("Microsoft.DataProtection/locations/deletedVaults/undelete/action") != 1 || w.audited("Microsoft.DataProtection/backupVaults/delete") != 1 {
		t.Error("the audit log does not have it")
	}
	// What a body says is kept, once it is had again.
	remove()
	if err := w.undelete(w.deletedVaults()[0].ID, vaultBody("AlwaysOn", "Disabled")); err != nil {
		t.Fatal(err)
	}
	if after, err := w.jobs.Keeper.Get(t.Context(), vaultID); err != nil || !strings.Contains(string(after.Facts), "AlwaysOn") {
		t.Errorf("with a change: %s, %v", after.Facts, err)
	}
}

func TestADeletedVaultIsNotHadAgainInThePlaceOfAnother(t *testing.T) {
	w := newWorld(t)
	w.emptied("On")()
	first := w.deletedVaults()[0].ID
	w.Clock.Move(time.Hour)
	w.putVault("On", "Disabled")
	if w.under(vaultID) != "" || w.identityOf(vaultID) == w.identity {
		t.Errorf("the next one has of the first: %s, and is the same in clusters", w.under(vaultID))
	}
	err := w.undelete(first, "")
	if coded, ok := errors.AsType[*coffer.Error](err); !ok || coded.Code != coffer.CodeConflict || !strings.Contains(coded.Message, "there is another Backup vault v1 in the resource group rg since 2026-05-04T1") {
		t.Errorf("beside another: %v", err)
	}
	if len(w.deletedVaults()) != 1 {
		t.Errorf("deleted vaults: %+v", w.deletedVaults())
	}
	if _, _, err := w.jobs.Keeper.Delete(t.Context(), w.by, vaultID, catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	if len(w.deletedVaults()) != 2 {
		t.Errorf("deleted vaults: %+v", w.deletedVaults())
	}
	if err := w.undelete(first, ""); err != nil || w.under(vaultID) != "/backupPolicies/pol" {
		t.Errorf("once the other was deleted: %v, %s", err, w.under(vaultID))
	}
}

func TestADeletedVaultGoesForGoodWhenItsTimeIsOver(t *testing.T) {
	w := newWorld(t)
	w.emptied("On")()
	id := w.deletedVaults()[0].ID
	sweep := func() {
		t.Helper()
		if err := w.jobs.Keeper.PurgeVaults(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.Clock.Move(14*24*time.Hour - time.Minute)
	if sweep(); len(w.deletedVaults()) != 1 {
		t.Fatal("it was purged before its time")
	}
	w.Clock.Move(time.Minute)
	if sweep(); len(w.deletedVaults()) != 0 || w.under(id) != "" || w.audited("Microsoft.DataProtection/locations/deletedVaults/purge") != 1 {
		t.Errorf("after its time: %+v, %s", w.deletedVaults(), w.under(id))
	}
	sweep()
	if err := w.undelete(id, ""); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
		t.Errorf("to have it again: %v", err)
	}
}

func TestAVaultWithoutSoftDeleteIsGoneAtOnce(t *testing.T) {
	w := newWorld(t)
	w.emptied("Off")()
	if len(w.deletedVaults()) != 0 || w.under(vaultID) != "" {
		t.Errorf("deleted vaults: %+v, below it: %s", w.deletedVaults(), w.under(vaultID))
	}
}
