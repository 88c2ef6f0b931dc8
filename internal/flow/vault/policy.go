package vault

import (
	"context"
	"net/http"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// PolicyKind is a backup policy of a vault. It may be changed, which AKS Backup refuses: recovery points that there are keep what they
// were promised.
func PolicyKind(limits retention.Limits) Kind {
	return Kind{
		Type: typePolicy, Noun: "backup policy", Parents: []string{typeVault}, Created: http.StatusOK, Body: arm.PolicyResource{},
		Judge: func(ctx context.Context, v catalogue.View, p Proposal) (Verdict, error) {
			if err := retention.CheckName(p.ID.Name()); err != nil {
				return Verdict{}, err
			}
			body, err := decode[arm.PolicyResource](p)
			if err != nil {
				return Verdict{}, err
			}
			if body.Properties == nil {
				return Verdict{}, invalid(p.ID, "properties are missing").WithHint("coffer backup-policy get-default-policy-template prints a policy to begin with")
			}
			policy, err := retention.Parse(body.Properties, "properties", limits)
			if err != nil {
				return Verdict{}, err
			}
			if err := policy.CheckFuture(p.Now, "properties"); err != nil {
				return Verdict{}, err
			}
			consents, err := mustKeepAsLong(ctx, v, p, policy)
			if err != nil {
				return Verdict{}, err
			}
			filled, err := retention.FillTagIDs(p.Body)
			return Verdict{Body: filled, Consents: consents}, err
		},
		Kept: lookAtFollowers, Removable: mustBeUnused,
	}
}

// mustKeepAsLong refuses to change a policy of an immutable vault so that recovery points are kept for less long. Where the vault is under a
// resource guard, it is the guard's consent to a policy that protects less.
func mustKeepAsLong(ctx context.Context, v catalogue.View, p Proposal, after retention.Policy) ([]consent, error) {
	if p.Before == nil {
		return nil, nil
	}
	if held, err := holdsPolicies(ctx, v, p.ID.Parent()); err != nil || !held {
		return nil, err
	}
	before, _, err := readPolicy(ctx, v, p.ID)
	if err != nil {
		return nil, err
	}
	return mustProtectAsMuch(ctx, v, p, policyChange{before, after, p.ID.Name(), guard.ChangePolicy})
}

// holdsPolicies says whether it matters in a vault what a policy takes away: in one that is immutable, or under a resource guard.
func holdsPolicies(ctx context.Context, v catalogue.View, vault catalogue.ID) (bool, error) {
	_, settings, err := vaultSettings(ctx, v, vault)
	if err != nil || settings.Immutability != arm.StateDisabled {
		return err == nil, err
	}
	proxy, err := find(ctx, v, proxyOf(vault))
	return proxy != nil, err
}

// policyChange is another policy in the place of one, or another version of it, and the critical operation that this may be.
type policyChange struct {
	before, after retention.Policy
	name          string
	operation     guard.Operation
}

// mustProtectAsMuch refuses what an immutable vault does not let happen, and asks the vault's guard about what it covers.
func mustProtectAsMuch(ctx context.Context, v catalogue.View, p Proposal, c policyChange) ([]consent, error) {
	vault := p.ID.Parent()
	_, settings, err := vaultSettings(ctx, v, vault)
	if err == nil {
		err = protection.CheckShorter(vault.Name(), c.name, settings.Immutability, c.before, c.after)
	}
	if err != nil || protection.Weakens(c.before, c.after) == "" {
		return nil, err
	}
	given, err := consentTo(ctx, v, p.By, vault, critical{operation: c.operation, resource: p.ID}, p.Now)
	return []consent{given}, err
}

// mustBeUnused refuses to delete a policy that backup instances follow, deleted ones included that can still be had again.
func mustBeUnused(ctx context.Context, v catalogue.View, r catalogue.Resource) error {
	users, err := v.Resources(ctx, catalogue.ResourceQuery{
		Linked: &catalogue.Link{Relation: catalogue.LinkPolicy, Target: r.ID.Key()}, Limit: namedInstances,
	})
	if err != nil || len(users) == 0 {
		return err
	}
	var names, deleted []string
	for _, u := range users {
		if strings.EqualFold(u.ID.Type(), typeDeleted) {
			deleted = append(deleted, u.ID.Name())
		} else {
			names = append(names, u.ID.Name())
		}
	}
	if len(names) == 0 {
		return inTheWay("backup policy "+r.ID.Name()+" is that", deleted)
	}
	return coffer.Errorf(coffer.CodeConflict, "backup policy %s is followed by the backup instances %s", r.ID.Name(), strings.Join(names, ", ")).
		WithHint("give them another policy, or delete them first")
}
