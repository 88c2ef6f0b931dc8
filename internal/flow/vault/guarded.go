package vault

import (
	"context"
	"net/http"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

// consent is that of a resource guard to a critical operation; the zero value is of a vault that is under none.
type consent struct {
	guard.Consent

	operation guard.Operation
	resource  catalogue.ID
	// proxy is what puts the vault under the guard, and unlocks are those of it.
	proxy   catalogue.Resource
	unlocks []guard.Unlock
}

// critical is a critical operation that somebody asks for.
type critical struct {
	operation guard.Operation
	resource  catalogue.ID
	// unlockable says that the request has no body, or none that could name anything.
	unlockable bool
}

// consentTo is the consent to a critical operation in a vault, or why it is refused: to everybody, whatever roles they have at the vault.
func consentTo(ctx context.Context, v catalogue.View, by Caller, vault catalogue.ID, c critical, now time.Time) (consent, error) {
	proxy, err := find(ctx, v, proxyOf(vault))
	if err != nil || proxy == nil {
		return consent{}, err
	}
	given := consent{operation: c.operation, resource: c.resource, proxy: *proxy}
	id, excluded, err := guardOver(ctx, v, *proxy)
	if err != nil {
		return consent{}, err
	}
	if given.unlocks, err = unlocksOf(*proxy); err != nil {
		return consent{}, err
	}
	held, err := Held(ctx, v, by.Principal)
	if err != nil {
		return consent{}, err
	}
	given.Consent, err = guard.Decide(guard.Case{
		Operation: c.operation, Resource: c.resource, Vault: vault, Guard: id, Excluded: excluded, Named: by.GuardRequests,
		Unlocks: given.unlocks, Unlockable: c.unlockable, Who: by.Principal, Held: held, Now: now,
	})
	return given, err
}

// use writes that a consent is used, where those look who manage the guard, and takes away the unlock that it came by: it is for once.
func (c consent) use(ctx context.Context, tx catalogue.Tx, by Caller, now time.Time) error {
	if !c.Covered {
		return nil
	}
	entry := by.entry(now, c.operation.Action(), c.Request, http.StatusOK)
	entry.After = facts(object{"operation": c.operation.Name, "resource": c.resource, "roleAssignment": c.By.ID, "role": c.Role, "roleGivenBy": c.By.GivenBy})
	if err := tx.AppendAudit(ctx, entry); err != nil {
		return err
	}
	if c.Used < 0 {
		return nil
	}
	left := append(c.unlocks[:c.Used:c.Used], c.unlocks[c.Used+1:]...)
	_, err := putUnlocks(ctx, tx, c.proxy, left, now)
	return err
}

// consentAndUse is consentTo and use in one, for what is done in the same transaction.
func consentAndUse(ctx context.Context, tx catalogue.Tx, by Caller, vault catalogue.ID, c critical, now time.Time) error {
	given, err := consentTo(ctx, tx, by, vault, c, now)
	if err != nil {
		return err
	}
	return given.use(ctx, tx, by, now)
}
