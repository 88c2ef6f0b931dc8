package vault

import (
	"context"
	"net/http"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
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
			if err := mustKeepAsLong(ctx, v, p, policy); err != nil {
				return Verdict{}, err
			}
			filled, err := retention.FillTagIDs(p.Body)
			return Verdict{Body: filled}, err
		},
		Kept: lookAtFollowers, Removable: mustBeUnused,
	}
}

// mustKeepAsLong refuses to change a policy of an immutable vault so that recovery points are kept for less long.
func mustKeepAsLong(ctx context.Context, v catalogue.View, p Proposal, after retention.Policy) error {
	if p.Before == nil {
		return nil
	}
	_, settings, err := vaultSettings(ctx, v, p.ID.Parent())
	if err != nil || settings.Immutability == arm.StateDisabled {
		return err
	}
	before, _, err := readPolicy(ctx, v, p.ID)
	if err != nil {
		return err
	}
	return protection.CheckShorter(p.ID.Parent().Name(), p.ID.Name(), settings.Immutability, before, after)
}

// mustBeUnused refuses to delete a policy that backup instances follow, deleted ones included that can still be had again.
func mustBeUnused(ctx context.Context, v catalogue.View, r catalogue.Resource) error {
	users, err := v.Resources(ctx, catalogue.ResourceQuery{
		Linked: &catalogue.Link{Relation: catalogue.LinkPolicy, Target: r.ID.Key()}, Limit: namedInstances,
	})
	if err != nil || len(users) == 0 {
		return err
	}
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.ID.Name()
	}
	return coffer.Errorf(coffer.CodeConflict, "backup policy %s is followed by the backup instances %s", r.ID.Name(), strings.Join(names, ", ")).
		WithHint("give them another policy, or delete them first")
}
