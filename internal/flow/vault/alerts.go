package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
)

// AlertID is the id of an alert of a vault.
func AlertID(a catalogue.Alert) catalogue.ID {
	return a.Vault.Child("providers/Coffer.Backup/alerts", a.Name)
}

// AlertProperties are an alert as it is shown: what it was raised with, and what has become of it.
func AlertProperties(a catalogue.Alert) (shown arm.Alert, err error) {
	if err := json.Unmarshal(orEmpty(a.Body), &shown); err != nil {
		return shown, fmt.Errorf("read the alert %s of %s: %w", a.Name, a.Vault, err)
	}
	shown.Kind, shown.TargetID, shown.State = a.Kind, string(a.Target), arm.Word(a.State)
	shown.FirstOccurred, shown.LastOccurred, shown.Count = &a.First, &a.Last, a.Count
	if !a.Closed.IsZero() {
		shown.ClosedTime = &a.Closed
	}
	return shown, nil
}

// Alert is an alert of a vault. Names of alerts are made by the server, in small letters.
func (k *Keeper) Alert(ctx context.Context, vault catalogue.ID, name string) (catalogue.Alert, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (catalogue.Alert, error) {
		return v.Alert(ctx, vault, strings.ToLower(name))
	})
}

// Alerts is one page of the alerts of a vault, which has to be there.
func (k *Keeper) Alerts(ctx context.Context, q catalogue.AlertQuery) ([]catalogue.Alert, error) {
	return listed(ctx, k.DB, q.Vault, func(ctx context.Context, v catalogue.View) ([]catalogue.Alert, error) { return v.Alerts(ctx, q) })
}

// AcknowledgeAlert writes down that somebody looks after an alert. It stays open, and counts what happens again.
func (k *Keeper) AcknowledgeAlert(ctx context.Context, by Caller, vault catalogue.ID, name string) (catalogue.Alert, error) {
	return k.changeAlert(ctx, by, vault, name, access.ActionAlertAcknowledge, catalogue.AlertAcknowledged)
}

// CloseAlert ends an alert. What happens again has another one.
func (k *Keeper) CloseAlert(ctx context.Context, by Caller, vault catalogue.ID, name string) (catalogue.Alert, error) {
	return k.changeAlert(ctx, by, vault, name, access.ActionAlertClose, catalogue.AlertClosed)
}

// changeAlert brings an alert into a state. One that is in it stays as it is, and a closed one is not opened again.
func (k *Keeper) changeAlert(ctx context.Context, by Caller, vault catalogue.ID, name, action string, to catalogue.AlertState) (a catalogue.Alert, err error) {
	now := k.now()
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if a, err = tx.Alert(ctx, vault, strings.ToLower(name)); err != nil || a.State == to {
			return err
		}
		if a.State == catalogue.AlertClosed {
			return coffer.Errorf(coffer.CodeConflict, "the alert %s of %s was closed at %s, and is not opened again", a.Name, vault.Name(), a.Closed.UTC().Format(time.RFC3339)).
				WithHint("what happens again has an alert of its own: coffer alert list")
		}
		entry := by.entry(now, action, AlertID(a), http.StatusOK)
		entry.Before = facts(object{"kind": a.Kind, "targetId": a.Target, "state": a.State, "count": a.Count})
		if a.State = to; to == catalogue.AlertClosed {
			err = putClosed(ctx, tx, a, by.Principal.Name, "", now)
		} else {
			err = tx.PutAlert(ctx, a)
		}
		if err != nil {
			return err
		}
		if a, err = tx.Alert(ctx, vault, a.Name); err != nil {
			return err
		}
		entry.After = facts(object{"kind": a.Kind, "targetId": a.Target, "state": a.State, "count": a.Count})
		return tx.AppendAudit(ctx, entry)
	})
	return a, err
}

// PendingDeletions is one page of the recovery points of a vault, which has to be there, that have expired and are not deleted yet.
func (k *Keeper) PendingDeletions(ctx context.Context, q catalogue.DeletionQuery) ([]catalogue.Deletion, error) {
	return listed(ctx, k.DB, q.Vault, func(ctx context.Context, v catalogue.View) ([]catalogue.Deletion, error) { return v.Deletions(ctx, q) })
}

// Slots is one page of the slots of an instance, which has to be there.
func (k *Keeper) Slots(ctx context.Context, q catalogue.SlotQuery) ([]catalogue.Slot, error) {
	return listed(ctx, k.DB, q.Instance, func(ctx context.Context, v catalogue.View) ([]catalogue.Slot, error) { return v.Slots(ctx, q) })
}
