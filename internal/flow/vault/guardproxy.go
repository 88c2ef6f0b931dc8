package vault

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

// proxyName is what all clients call the one that a vault has.
const proxyName = "DppResourceGuardProxy"

// proxyOf is the id of what puts a vault under a guard.
func proxyOf(vault catalogue.ID) catalogue.ID {
	return vault.Child("backupResourceGuardProxies", proxyName)
}

// GuardProxyKind is what puts a vault under a resource guard. It comes by whoever may write it and read the guard; to take it away, or to
// put the vault under another guard, takes the consent of the guard that the vault is under.
func GuardProxyKind() Kind {
	return Kind{
		Type: guard.Proxy, Noun: "resource guard mapping", Parents: []string{typeVault}, Created: http.StatusOK, Body: arm.ResourceGuardProxyResource{},
		Judge: judgeProxy,
		Kept: func(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, _ time.Time) error {
			return showGuarded(ctx, tx, r.ID.Parent(), true)
		},
		Removing: func(ctx context.Context, tx catalogue.Tx, by Caller, r catalogue.Resource, now time.Time) error {
			given, err := consentTo(ctx, tx, by, r.ID.Parent(), critical{guard.Unguard, r.ID, true}, now)
			given.Used = -1 // The unlock goes with the proxy, which is still as it was read.
			if err == nil {
				err = given.use(ctx, tx, by, now)
			}
			if err != nil {
				return err
			}
			return showGuarded(ctx, tx, r.ID.Parent(), false)
		},
	}
}

func judgeProxy(ctx context.Context, v catalogue.View, p Proposal) (Verdict, error) {
	if !strings.EqualFold(p.ID.Name(), proxyName) {
		return Verdict{}, invalid(p.ID, "a vault is under one resource guard at most").WithHint("write %s", proxyOf(p.ID.Parent()))
	}
	body, err := decode[arm.ResourceGuardProxyResource](p)
	if err != nil {
		return Verdict{}, err
	}
	if body.Properties == nil || body.Properties.ResourceGuardResourceID == "" {
		return Verdict{}, invalid(p.ID, "properties.resourceGuardResourceId is missing").WithHint("write the id of a resource guard")
	}
	id, err := catalogue.ParseID(body.Properties.ResourceGuardResourceID)
	if err != nil || !strings.EqualFold(id.Type(), guard.Type) {
		return Verdict{}, invalid(p.ID, "properties.resourceGuardResourceId %.200q is not the id of a resource guard", body.Properties.ResourceGuardResourceID).
			WithHint("write /subscriptions/S/resourceGroups/G/providers/%s/NAME", guard.Type)
	}
	if err := mayReadLinked(ctx, v, p, guard.Proxy, id); err != nil {
		return Verdict{}, err
	}
	r, err := v.Resource(ctx, id)
	if missing(err) {
		return Verdict{}, coffer.Errorf(coffer.CodeInvalidInput, "there is no resource guard %s", id).WithHint("have somebody else than the vault's administrators create it: coffer resource-guard create")
	}
	if err != nil {
		return Verdict{}, err
	}
	var verdict Verdict
	var unlocks []guard.Unlock
	if p.Before != nil {
		was, _, err := guardOver(ctx, v, *p.Before)
		if err != nil {
			return Verdict{}, err
		}
		if was.Is(r.ID) {
			unlocks, err = unlocksOf(*p.Before)
		} else {
			// What was unlocked was so by the guard that the vault leaves: nothing is left of it.
			var given consent
			given, err = consentTo(ctx, v, p.By, p.ID.Parent(), critical{guard.Unguard, p.Before.ID, true}, p.Now)
			given.Used = -1
			verdict.Consents = append(verdict.Consents, given)
		}
		if err != nil {
			return Verdict{}, err
		}
	}
	verdict.Links = []catalogue.Link{{Relation: catalogue.LinkGuard, Target: r.ID.Key()}}
	verdict.Facts, err = proxyFacts(r, unlocks, p.Now, p.Now)
	return verdict, err
}

// proxyFacts are what the server says of a vault's being under a guard.
func proxyFacts(r catalogue.Resource, unlocks []guard.Unlock, updated, now time.Time) (json.RawMessage, error) {
	body, err := arm.Decode[arm.ResourceGuardResource](r.Body)
	if err != nil {
		return nil, unreadable(r.ID, err)
	}
	details := []arm.ResourceGuardOperationDetail{}
	for _, o := range guard.Covered(exclusions(body)) {
		details = append(details, arm.ResourceGuardOperationDetail{VaultCriticalOperation: o.Name, DefaultResourceRequest: string(guard.RequestID(r.ID, o))})
	}
	shown := object{
		"resourceGuardResourceId": r.ID, "lastUpdatedTime": updated, "resourceGuardOperationDetails": details, "coffer": nil,
		"description": "Ask whoever manages the guard for the role Backup MUA Operator before any of the critical operations.",
	}
	if open := guard.Open(unlocks, now); len(open) > 0 {
		shown["coffer"] = object{"unlocks": open}
	}
	return facts(object{"properties": shown}), nil
}

// proxyKept is what is kept of a vault's being under a guard.
type proxyKept struct {
	LastUpdatedTime time.Time `json:"lastUpdatedTime"`
	Coffer          struct {
		Unlocks []guard.Unlock `json:"unlocks"`
	} `json:"coffer"`
}

func keptOf(proxy catalogue.Resource) (proxyKept, error) {
	var f struct {
		Properties proxyKept `json:"properties"`
	}
	if err := json.Unmarshal(orEmpty(proxy.Facts), &f); err != nil {
		return proxyKept{}, unreadable(proxy.ID, err)
	}
	return f.Properties, nil
}

// unlocksOf are those that a vault has. What a client has written of them is none.
func unlocksOf(proxy catalogue.Resource) ([]guard.Unlock, error) {
	kept, err := keptOf(proxy)
	return kept.Coffer.Unlocks, err
}

// putUnlocks keeps the unlocks of a vault, and what its guard covers now.
func putUnlocks(ctx context.Context, tx catalogue.Tx, proxy catalogue.Resource, unlocks []guard.Unlock, now time.Time) (catalogue.Resource, error) {
	id, _, err := guardOver(ctx, tx, proxy)
	if err != nil {
		return proxy, err
	}
	r, err := tx.Resource(ctx, id)
	if err != nil {
		return proxy, err
	}
	kept, err := keptOf(proxy)
	if err != nil {
		return proxy, err
	}
	if proxy.Facts, err = proxyFacts(r, unlocks, kept.LastUpdatedTime, now); err != nil {
		return proxy, err
	}
	return tx.PutResource(ctx, proxy, catalogue.Condition{})
}

// showGuarded has a vault say whether it is under a guard.
func showGuarded(ctx context.Context, tx catalogue.Tx, vault catalogue.ID, guarded bool) error {
	r, err := tx.Resource(ctx, vault)
	if err != nil {
		return err
	}
	_, settings, err := vaultSettings(ctx, tx, vault)
	if err != nil {
		return err
	}
	score := settings.Score(decide.Protection{Guarded: guarded})
	if r.Facts, err = jsonpatch.MergePatch(orEmpty(r.Facts), facts(object{"properties": object{
		"isVaultProtectedByResourceGuard": guarded, "secureScore": score.SecureScore, "bcdrSecurityLevel": score.SecurityLevel,
	}})); err != nil {
		return err
	}
	_, err = tx.PutResource(ctx, r, catalogue.Condition{})
	return err
}

// mustBeUnguarded refuses to delete a vault that is under a guard: whoever deletes it would take it from under the guard by that.
func mustBeUnguarded(ctx context.Context, v catalogue.View, vault catalogue.ID) error {
	proxy, err := find(ctx, v, proxyOf(vault))
	if err != nil || proxy == nil {
		return err
	}
	return coffer.Errorf(coffer.CodeConflict, "the Backup vault %s is under a resource guard, and is deleted only without one", vault.Name()).
		WithHint("take it from under the guard first: coffer backup-vault resource-guard-mapping delete -v %s", vault.Name())
}

// UnlockDelete has whoever asks delete something for a while: what is to be deleted by a request that names nothing, for it has no body.
func (k *Keeper) UnlockDelete(ctx context.Context, by Caller, proxy catalogue.ID, body []byte) (until time.Time, err error) {
	asked, err := decode[arm.UnlockDeleteRequest](Proposal{ID: proxy, Body: orEmpty(body)})
	if err != nil {
		return until, err
	}
	operation, resource, err := unlocked(proxy, asked)
	if err != nil {
		return until, err
	}
	now := k.now()
	until = now.Add(guard.UnlockTime)
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		if _, err := tx.Resource(ctx, proxy); err != nil {
			return err
		}
		r, err := tx.Resource(ctx, resource)
		if err != nil {
			return err
		}
		given, err := consentTo(ctx, tx, by, proxy.Parent(), critical{operation: operation, resource: r.ID}, now)
		if err != nil {
			return err
		}
		entry := by.entry(now, guard.Proxy+"/unlockDelete/action", proxy, http.StatusOK)
		unlock := guard.Unlock{Request: operation.Request, Resource: r.ID, By: by.Principal.ObjectID, Until: until}
		entry.After = facts(unlock)
		if err := tx.AppendAudit(ctx, entry); err != nil || !given.Covered {
			return err
		}
		kept := []guard.Unlock{unlock}
		for _, u := range given.unlocks {
			if u.Request != unlock.Request || !u.Resource.Is(unlock.Resource) || u.By != unlock.By {
				kept = append(kept, u)
			}
		}
		_, err = putUnlocks(ctx, tx, given.proxy, kept, now)
		return err
	})
	return until, err
}

// unlocked is what a request is to unlock: to delete an instance of the vault, or to take the vault from under its guard.
func unlocked(proxy catalogue.ID, asked arm.UnlockDeleteRequest) (guard.Operation, catalogue.ID, error) {
	if asked.ResourceToBeDeleted == "" {
		return guard.Unguard, proxy, nil
	}
	id, err := catalogue.ParseID(asked.ResourceToBeDeleted)
	switch {
	case err != nil:
		return guard.Operation{}, "", err
	case id.Is(proxy):
		return guard.Unguard, proxy, nil
	case id.Parent().Is(proxy.Parent()) && (strings.EqualFold(id.Type(), typeInstance) || strings.EqualFold(id.Type(), typeDeleted)):
		return guard.DeleteInstance, id, nil
	}
	return guard.Operation{}, "", invalid(proxy, "resourceToBeDeleted %.200q is not a backup instance of the vault, nor what puts the vault under its guard", asked.ResourceToBeDeleted).
		WithHint("write the id of a backup instance, or leave it out")
}

// GuardedAlone is why somebody needs nobody else to go past the guard of a vault; empty if they do.
func (k *Keeper) GuardedAlone(ctx context.Context, who catalogue.Principal, proxy catalogue.Resource) (string, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (string, error) {
		id, _, err := guardOver(ctx, v, proxy)
		if err != nil {
			return "", err
		}
		held, err := Held(ctx, v, who)
		return guard.Alone(who, held, id), err
	})
}
