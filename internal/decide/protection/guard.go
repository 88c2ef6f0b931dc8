package protection

import (
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Guard keeps the recovery points of an instance from being deleted, and from being forgotten by the catalogue, which knows where they
// are. Roles have no part in it: what it refuses is refused to Owners too.
type Guard struct {
	Vault, Instance string
	// Immutability and SoftDelete are the vault's.
	Immutability, SoftDelete arm.Word
	Now                      time.Time
}

// CheckPoint refuses to delete or to forget an instance because of one of its recovery points: it is under legal hold, or its time has
// not come in a vault that is immutable.
func (g Guard) CheckPoint(p catalogue.Point) error {
	if p.Held {
		return coffer.Errorf(coffer.CodeLegalHold, "the recovery point %s of %s is under legal hold", p.Name, g.Instance).
			WithHint("have whoever may release the hold do so first: coffer recovery-point release-hold -n %s %s", g.Instance, p.Name)
	}
	if g.Immutability == arm.StateDisabled {
		return nil
	}
	expiry := p.Expiry
	if p.VaultExpiry.After(expiry) {
		expiry = p.VaultExpiry
	}
	if !expiry.IsZero() && !expiry.After(g.Now) {
		return nil
	}
	until := "for ever"
	if !expiry.IsZero() {
		until = "until " + expiry.UTC().Format(time.RFC3339)
	}
	err := coffer.Errorf(coffer.CodeConflict, "the vault %s is immutable (%s), and keeps the recovery point %s of %s %s", g.Vault, g.Immutability, p.Name, g.Instance, until)
	if g.Immutability == arm.StateLocked {
		return err.WithHint("wait until its recovery points have expired; meanwhile, have no more made: coffer backup-instance suspend-backup -n %s", g.Instance)
	}
	return err.WithHint("wait until its recovery points have expired, or set the vault's immutability to Disabled first; meanwhile, have no more made: "+
		"coffer backup-instance suspend-backup -n %s", g.Instance)
}

// CheckEarly refuses to delete or to forget for good what can be had again until a time, where nobody is to cut that short; zero is
// what was not deleted yet.
func (g Guard) CheckEarly(until time.Time) error {
	switch {
	case g.SoftDelete != arm.StateAlwaysOn:
		return nil
	case until.IsZero():
		return coffer.Errorf(coffer.CodeConflict, "soft delete of the vault %s is AlwaysOn: the recovery points of %s are not forgotten, and can be had again for a while", g.Vault, g.Instance).
			WithHint("delete it without retainData; that needs no cluster")
	case until.After(g.Now):
		return coffer.Errorf(coffer.CodeConflict, "soft delete of the vault %s is AlwaysOn: the deleted backup instance %s can be had again until %s", g.Vault, g.Instance, until.UTC().Format(time.RFC3339)).
			WithHint("wait until then")
	}
	return nil
}
