package vault

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
)

var guardName = regexp.MustCompile(`^[A-Za-z][-A-Za-z0-9]{1,62}$`)

// GuardKind is a resource guard. What it covers counts at once, in all vaults that are under it.
func GuardKind() Kind {
	return Kind{
		Type: guard.Type, Noun: "resource guard", Parents: []string{typeGroup}, Body: arm.ResourceGuardResource{},
		Judge: func(_ context.Context, _ catalogue.View, p Proposal) (Verdict, error) {
			if !guardName.MatchString(p.ID.Name()) {
				return Verdict{}, invalid(p.ID, "%q cannot be the name of a resource guard", p.ID.Name()).
					WithHint("write 2 to 63 letters, digits and hyphens, beginning with a letter")
			}
			if err := checkTracked(p); err != nil {
				return Verdict{}, err
			}
			body, err := decode[arm.ResourceGuardResource](p)
			if err != nil {
				return Verdict{}, err
			}
			if wrong := body.Problems(""); len(wrong) > 0 {
				return Verdict{}, invalid(p.ID, "%s", wrong[0])
			}
			excluded := exclusions(body)
			if err := guard.CheckExclusions(excluded); err != nil {
				return Verdict{}, err
			}
			return Verdict{Facts: guardFacts(excluded)}, nil
		},
		Kept: tellVaults, Removable: mustGuardNothing,
	}
}

func exclusions(body arm.ResourceGuardResource) []string {
	if body.Properties == nil || body.Properties.VaultCriticalOperationExclusionList == nil {
		return []string{}
	}
	return body.Properties.VaultCriticalOperationExclusionList
}

// guardFacts are what the server says of a guard. Nothing is ever approved by itself.
func guardFacts(excluded []string) []byte {
	operations := []arm.ResourceGuardOperation{}
	for _, o := range guard.Covered(excluded) {
		operations = append(operations, arm.ResourceGuardOperation{VaultCriticalOperation: o.Name, RequestResourceType: guard.Type + "/" + o.Request})
	}
	return facts(object{"properties": object{
		"provisioningState": "Succeeded", "allowAutoApprovals": false, "resourceGuardOperations": operations, "vaultCriticalOperationExclusionList": excluded,
		"description": "Ask whoever manages the guard for the role Backup MUA Operator before any of the critical operations.",
	}})
}

// guardOver is the guard that a vault is under, and what it does not cover. One that is gone lets nothing past.
func guardOver(ctx context.Context, v catalogue.View, proxy catalogue.Resource) (id catalogue.ID, excluded []string, err error) {
	for _, l := range proxy.Links {
		if l.Relation == catalogue.LinkGuard {
			id = catalogue.ID(l.Target)
		}
	}
	r, err := v.Resource(ctx, id)
	if missing(err) {
		return id, nil, coffer.Errorf(coffer.CodeConflict, "the resource guard %s of the vault %s is gone, and nothing that it may have covered is done", id, proxy.ID.Parent().Name()).
			WithHint("make the guard anew under its name")
	}
	if err != nil {
		return id, nil, err
	}
	body, err := arm.Decode[arm.ResourceGuardResource](r.Body)
	if err != nil {
		return id, nil, unreadable(r.ID, err)
	}
	return r.ID, exclusions(body), nil
}

// proxiesOf calls visit for all that puts vaults under a guard.
func proxiesOf(ctx context.Context, v catalogue.View, id catalogue.ID, visit func(catalogue.Resource) error) error {
	return each(ctx, v, catalogue.ResourceQuery{Type: guard.Proxy, Linked: &catalogue.Link{Relation: catalogue.LinkGuard, Target: id.Key()}}, visit)
}

// tellVaults shows in the vaults that are under a guard what it covers now, and writes into their audit logs that this has changed.
func tellVaults(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, now time.Time) error {
	var under []catalogue.Resource
	err := proxiesOf(ctx, tx, r.ID, func(p catalogue.Resource) error {
		under = append(under, p)
		return nil
	})
	for _, before := range under {
		if err != nil {
			return err
		}
		var unlocks []guard.Unlock
		if unlocks, err = unlocksOf(before); err != nil {
			return err
		}
		var after catalogue.Resource
		if after, err = putUnlocks(ctx, tx, before, unlocks, now); err != nil || string(after.Facts) == string(before.Facts) {
			continue
		}
		entry := catalogue.AuditEntry{Time: now, Principal: r.Changed.By, Action: guard.Type + "/write", Target: before.ID, Status: http.StatusOK}
		err = appendEntry(ctx, tx, entry, &before, &after)
	}
	return err
}

// mustGuardNothing refuses to delete a guard that vaults are under: with it would go what keeps them.
func mustGuardNothing(ctx context.Context, v catalogue.View, r catalogue.Resource) error {
	var names []string
	err := proxiesOf(ctx, v, r.ID, func(p catalogue.Resource) error {
		if len(names) < namedInstances {
			names = append(names, string(p.ID.Parent()))
		}
		return nil
	})
	if err != nil || len(names) == 0 {
		return err
	}
	return coffer.Errorf(coffer.CodeConflict, "the resource guard %s protects the vaults %s", r.ID.Name(), strings.Join(names, ", ")).
		WithHint("take them from under it first: coffer backup-vault resource-guard-mapping delete")
}
