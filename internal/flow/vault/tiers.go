package vault

import (
	"encoding/json"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// setTiers writes into a recovery point where it lies, until when, and whether it is still to be copied.
func setTiers(point *catalogue.Point, p retention.Point) error {
	shown, err := shownPoint(*point)
	if err != nil {
		return err
	}
	body, err := jsonpatch.MergePatch(point.Body, facts(tiersChange(shown, p)))
	if err != nil {
		return unreadable(point.Instance.Child("recoveryPoints", point.Name), err)
	}
	point.Body = body
	setColumns(point, p)
	return nil
}

// setColumns is setTiers for what lies beside the body.
func setColumns(point *catalogue.Point, p retention.Point) {
	point.Operational, point.Vaulted = p.Operational.Present, p.Vault.Present
	if point.Expiry = p.Operational.Expires; !p.Operational.Present {
		point.Expiry, point.Bytes, point.SnapshotBytes = time.Time{}, 0, 0
	}
	if point.VaultExpiry = p.Vault.Expires; !p.Vault.Present {
		if point.VaultBytes = 0; !p.Awaited() {
			point.VaultExpiry = time.Time{}
		}
	}
	if !p.Awaited() {
		point.Copy = time.Time{}
	}
}

// tiersChange is how the body of a recovery point is changed to show where it lies, and until when.
func tiersChange(shown arm.RecoveryPoint, p retention.Point) object {
	stores := []arm.PointStore{}
	add := func(tier retention.Tier, of arm.Word) {
		if !tier.Present {
			return
		}
		store := arm.PointStore{ID: shown.RecoveryPointID, Type: of, CreationTime: tier.Since.UTC(), Visible: true, State: arm.PointCommitted}
		for _, s := range shown.RecoveryPointDataStoresDetails {
			if s.Type.Is(of) {
				store = s
			}
		}
		if store.ExpiryTime = nil; !tier.Expires.IsZero() {
			until := tier.Expires.UTC()
			store.ExpiryTime = &until
		}
		stores = append(stores, store)
	}
	add(p.Operational, arm.OperationalStore)
	add(p.Vault, arm.VaultStore)
	first := p.Operational.Expires
	if !p.Operational.Present {
		first = p.Vault.Expires
	}
	// What is not promised any more is taken out.
	told := object{"reason": nil, "expires": nil, "slot": nil, "copyAfter": nil, "copyExpires": nil, "copied": nil}
	var promised map[string]json.RawMessage
	_ = json.Unmarshal(facts(p.Promised()), &promised) // it was encoded just now
	for name, value := range promised {
		told[name] = value
	}
	return object{"recoveryPointDataStoresDetails": stores, "expiryTime": orNil(first), "coffer": told}
}

// orNil is a time on the wire; zero is null.
func orNil(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC()
}
