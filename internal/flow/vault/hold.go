package vault

import (
	"context"
	"net/http"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// maxReason is how long the reason of a legal hold may be.
const maxReason = 1024

// Hold puts a recovery point under legal hold: until that is released, it is not deleted by whatever means, and its instance neither. A
// hold that is there gets the new reason.
func (k *Keeper) Hold(ctx context.Context, by Caller, instance catalogue.ID, name string, body []byte) (catalogue.Point, error) {
	asked, err := decode[arm.HoldRequest](Proposal{ID: instance, Body: orEmpty(body)})
	if err != nil {
		return catalogue.Point{}, err
	}
	reason := strings.TrimSpace(asked.Reason)
	if reason == "" || len(reason) > maxReason {
		return catalogue.Point{}, invalid(instance.Child("recoveryPoints", name), "the reason of the hold has %d bytes", len(reason)).
			WithHint(`write {"reason": "..."}, 1 to %d bytes: it is what others read who want to delete it`, maxReason)
	}
	now := k.now()
	return k.changePoint(ctx, by, instance, name, access.ActionHold, now, func(_ context.Context, _ catalogue.Tx, p *catalogue.Point) (object, error) {
		p.Held = true
		return object{"legalHold": arm.LegalHold{Reason: reason, By: by.Principal.Name, At: now}}, nil
	})
}

// ReleaseHold ends the legal hold of a recovery point. One that is not held stays so.
func (k *Keeper) ReleaseHold(ctx context.Context, by Caller, instance catalogue.ID, name string) (catalogue.Point, error) {
	now := k.now()
	return k.changePoint(ctx, by, instance, name, access.ActionReleaseHold, now, func(ctx context.Context, tx catalogue.Tx, p *catalogue.Point) (object, error) {
		var err error
		if p.Held {
			err = consentAndUse(ctx, tx, by, instance.Parent(), critical{operation: guard.ReleaseHold, resource: instance.Child("recoveryPoints", p.Name)}, now)
		}
		p.Held = false
		return object{"legalHold": nil}, err
	})
}

// changePoint changes a recovery point of an instance that is not about to go, and what is shown of it beside Azure's words.
func (k *Keeper) changePoint(
	ctx context.Context, by Caller, instance catalogue.ID, name, action string, now time.Time, change func(context.Context, catalogue.Tx, *catalogue.Point) (object, error),
) (point catalogue.Point, err error) {
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if _, _, err := readAllowed(ctx, tx, instance, protection.Change); err != nil {
			return err
		}
		if point, err = tx.Point(ctx, instance, strings.ToLower(name)); err != nil {
			return err
		}
		entry := by.entry(now, action, instance.Child("recoveryPoints", point.Name), http.StatusOK)
		entry.Before = point.Body
		changed, err := change(ctx, tx, &point)
		if err != nil {
			return err
		}
		if point.Body, err = jsonpatch.MergePatch(orEmpty(point.Body), facts(object{"coffer": changed})); err != nil {
			return err
		}
		if err := tx.PutPoint(ctx, point); err != nil {
			return err
		}
		entry.After = point.Body
		return tx.AppendAudit(ctx, entry)
	})
	return point, err
}

// guardOf is what keeps the recovery points of an instance, or of a deleted one, from being deleted.
func guardOf(ctx context.Context, v catalogue.View, id catalogue.ID, now time.Time) (protection.Guard, error) {
	_, settings, err := vaultSettings(ctx, v, id.Parent())
	return protection.Guard{
		Vault: id.Parent().Name(), Instance: id.Name(), Immutability: settings.Immutability, SoftDelete: settings.SoftDelete, Now: now,
	}, err
}

// mustNotBeGuarded refuses to delete, or to forget, an instance with a recovery point that is to be kept. It answers whether there are any.
func mustNotBeGuarded(ctx context.Context, v catalogue.View, id catalogue.ID, g protection.Guard) (some bool, err error) {
	err = pagesOfPoints(ctx, v, catalogue.PointQuery{Instance: id, Bare: true}, func(page []catalogue.Point) (bool, error) {
		for _, p := range page {
			some = true
			if err := g.CheckPoint(p); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	return some, err
}
