package retention

import (
	"time"

	"github.com/coffer-backup/coffer/api/arm"
)

// Promised is what is told of a recovery point beside AKS Backup's fields.
func (p Point) Promised() *arm.CofferPoint {
	promised := &arm.CofferPoint{Reason: p.Reason, Expires: moment(p.Expires()), Slot: moment(p.Slot)}
	if p.Awaited() {
		promised.CopyAfter, promised.CopyExpires = moment(p.Copy), moment(p.Vault.Expires)
	}
	promised.Copied = moment(p.Vault.Since)
	return promised
}

// moment is a time on the wire; zero is none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// ReadPoint is a recovery point as it lies in the catalogue. What it was promised is in it, and why it is held; who reads it is not.
func ReadPoint(shown arm.RecoveryPoint) Point {
	p := Point{
		Name: shown.RecoveryPointID, Taken: shown.RecoveryPointTime, Rule: shown.RetentionTagName,
		Good: shown.RecoveryPointState.Is(arm.PointCompleted),
	}
	if c := shown.Coffer; c != nil {
		p.Reason, p.Slot, p.Copy, p.Vault.Expires = c.Reason, orZero(c.Slot), orZero(c.CopyAfter), orZero(c.CopyExpires)
		p.Vault.Since = orZero(c.Copied)
		if c.LegalHold != nil {
			p.Held = c.LegalHold.Reason
		}
	}
	for _, store := range shown.RecoveryPointDataStoresDetails {
		if !store.State.Is(arm.PointCommitted) {
			continue // it is not there, not all of it
		}
		tier := Tier{Present: true, Since: store.CreationTime, Expires: orZero(store.ExpiryTime)}
		switch {
		case store.Type.Is(arm.VaultStore):
			p.Vault = tier
		case store.Type.Is(arm.OperationalStore):
			p.Operational = tier
		}
	}
	return p
}

func orZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
