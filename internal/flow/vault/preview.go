package vault

import (
	"context"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/decide/retention"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

// usualRuns is how many runs are told if nobody says how many.
const usualRuns = 10

// PreviewPolicy tells what the policy of a request comes to, that need not be kept.
func (k *Keeper) PreviewPolicy(_ context.Context, id catalogue.ID, body []byte) (arm.Preview, error) {
	asked, err := decode[arm.PreviewRequest](Proposal{ID: id, Body: body})
	if err != nil {
		return arm.Preview{}, err
	}
	if asked.Policy == nil {
		return arm.Preview{}, coffer.Errorf(coffer.CodeInvalidInput, "policy is missing").WithHint(`write {"policy": ...} with the properties of a backup policy`)
	}
	policy, err := retention.Parse(asked.Policy, "policy", k.Policies)
	if err != nil {
		return arm.Preview{}, err
	}
	return k.previewOf(policy, asked)
}

// Preview tells what a policy comes to.
func (k *Keeper) Preview(ctx context.Context, id catalogue.ID, body []byte) (arm.Preview, error) {
	asked, err := decode[arm.PreviewRequest](Proposal{ID: id, Body: body})
	if err != nil {
		return arm.Preview{}, err
	}
	if asked.Policy != nil {
		return arm.Preview{}, coffer.Errorf(coffer.CodeInvalidInput, "policy is given, and the policy %s is asked what it comes to itself", id.Name()).
			WithHint("leave policy out, or post to %s/providers/Coffer.Backup/previewPolicy", id.Parent())
	}
	policy, err := view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (retention.Policy, error) {
		policy, _, err := readPolicy(ctx, v, id)
		return policy, err
	})
	if err != nil {
		return arm.Preview{}, err
	}
	return k.previewOf(policy, asked)
}

func (k *Keeper) previewOf(policy retention.Policy, asked arm.PreviewRequest) (arm.Preview, error) {
	from, answer := k.now(), arm.Preview{Runs: []arm.PreviewRun{}, Days: []arm.PreviewDay{}}
	if policy.Copies() && !k.VaultTier {
		answer.Notes = append(answer.Notes, noVaultTier)
	}
	runs := int64(usualRuns)
	if asked.From != nil {
		from = *asked.From
	}
	if asked.Runs != nil {
		runs = *asked.Runs
	}
	dates, err := policy.Dates(asked.Days)
	if err != nil {
		return answer, err
	}
	points, err := policy.History(asked.Good, from)
	if err != nil {
		return answer, err
	}
	told, err := policy.Runs(points, from, int(min(max(runs, -1), retention.MostRuns+1)))
	if err != nil {
		return answer, err
	}
	for _, r := range told {
		expiry := r.Kept.Expires()
		answer.Runs = append(answer.Runs, arm.PreviewRun{Slot: r.Slot.UTC(), Tag: r.Rule.Name, Reason: r.Reason, Expiry: &expiry})
	}
	days, err := policy.Days(points, from, dates, retention.Terms{KeepAtLeast: policy.KeepAtLeast})
	if err != nil {
		return answer, err
	}
	for _, d := range days {
		day := arm.PreviewDay{Date: d.Date.Format(time.DateOnly), RecoveryPoints: []arm.PreviewPoint{}}
		for _, s := range d.Points {
			p := arm.PreviewPoint{Time: s.Taken.UTC(), Tag: s.Rule, Tiers: []arm.Word{}, Reason: s.Decision.Reason}
			if s.Operational.Present {
				p.Tiers = append(p.Tiers, arm.OperationalStore)
			}
			if s.Vault.Present {
				p.Tiers = append(p.Tiers, arm.VaultStore)
			}
			if until := s.Decision.Until; !until.IsZero() {
				p.Expiry = &until
			}
			day.RecoveryPoints = append(day.RecoveryPoints, p)
		}
		answer.Days = append(answer.Days, day)
	}
	return answer, nil
}

// noVaultTier is what a preview says of a policy that copies to the vault tier, of a server that has none.
const noVaultTier = "this server has no vault tier: no copies are made, whatever is told of the VaultStore; recovery points that are to be copied stay in the OperationalStore for as long as the VaultStore would keep them"

// PreviewChange tells what a change of a policy does to the recovery points of all instances that follow it.
func (k *Keeper) PreviewChange(ctx context.Context, id catalogue.ID, body []byte) (answer arm.PreviewedChanges, err error) {
	asked, err := decode[arm.PreviewChangeRequest](Proposal{ID: id, Body: body})
	if err != nil {
		return answer, err
	}
	if asked.Policy == nil || asked.PolicyID != "" {
		return answer, coffer.Errorf(coffer.CodeInvalidInput, "policy is missing, or something else is given").WithHint(`write {"policy": ...} with the properties that the backup policy is to have`)
	}
	policy, err := retention.Parse(asked.Policy, "policy", k.Policies)
	if err != nil {
		return answer, err
	}
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (arm.PreviewedChanges, error) {
		answer := arm.PreviewedChanges{RecoveryPoints: []arm.PreviewedChange{}}
		was, _, err := readPolicy(ctx, v, id)
		if err != nil {
			return answer, err
		}
		_, settings, err := vaultSettings(ctx, v, id.Parent())
		if err != nil {
			return answer, err
		}
		users := catalogue.ResourceQuery{Type: typeInstance, Linked: &catalogue.Link{Relation: catalogue.LinkPolicy, Target: id.Key()}}
		err = each(ctx, v, users, func(r catalogue.Resource) error {
			return k.changes(ctx, v, protected{resource: r, settings: settings, policy: was}, policy, &answer)
		})
		return answer, err
	})
}

// PolicyToFollow is the policy that a request of an instance names.
func PolicyToFollow(id catalogue.ID, body []byte) (catalogue.ID, error) {
	asked, err := decode[arm.PreviewChangeRequest](Proposal{ID: id, Body: body})
	if err != nil {
		return "", err
	}
	policy, err := catalogue.ParseID(asked.PolicyID)
	if err != nil || asked.Policy != nil || policy.Type() != typePolicy || !policy.Parent().Is(id.Parent()) {
		return "", coffer.Errorf(coffer.CodeInvalidInput, "policyId is not the id of a backup policy of the vault %s", id.Parent().Name()).
			WithHint(`write {"policyId": "%s/backupPolicies/NAME"}`, id.Parent())
	}
	return policy, nil
}

// PreviewFollowing tells what following another policy does to the recovery points of an instance.
func (k *Keeper) PreviewFollowing(ctx context.Context, id, policy catalogue.ID) (arm.PreviewedChanges, error) {
	return view(ctx, k.DB, func(ctx context.Context, v catalogue.View) (arm.PreviewedChanges, error) {
		answer := arm.PreviewedChanges{RecoveryPoints: []arm.PreviewedChange{}}
		r, err := v.Resource(ctx, id)
		if err != nil {
			return answer, err
		}
		p, err := protectedOf(ctx, v, r)
		if err != nil {
			return answer, err
		}
		next, _, err := readPolicy(ctx, v, policy)
		if err != nil {
			return answer, err
		}
		return answer, k.changes(ctx, v, p, next, &answer)
	})
}

// mostChanges is how many recovery points are listed of those that a change is for.
const mostChanges = 10_000

// changes adds what following another policy does to the recovery points of an instance.
func (k *Keeper) changes(ctx context.Context, v catalogue.View, p protected, next retention.Policy, into *arm.PreviewedChanges) error {
	r := p.resource
	terms, err := termsOf(r, p.settings, k.now())
	if err != nil {
		return err
	}
	all, err := allPoints(ctx, v, r.ID)
	if err != nil {
		return err
	}
	into.Kept += int64(len(all.lost))
	before, after := terms, terms
	before.KeepAtLeast, after.KeepAtLeast = p.policy.KeepAtLeast, next.KeepAtLeast
	for _, c := range next.PreviewChange(all.judged, before, after) {
		switch {
		case c.Deletes:
			into.Deleted++
		case c.Changed():
			into.Changed++
		default:
			into.Kept++
			continue
		}
		if len(into.RecoveryPoints) == mostChanges {
			into.More = true
			continue
		}
		shown := arm.PreviewedChange{Instance: string(r.ID), Name: c.Before.Name, Time: c.Before.Taken.UTC(), Deleted: c.Deletes, Reason: c.Reason}
		shown.Expiry, shown.NewExpiry = c.Before.Promised().Expires, c.After.Promised().Expires
		into.RecoveryPoints = append(into.RecoveryPoints, shown)
	}
	return nil
}

// termsOf is what has to be known of an instance to judge its recovery points, but for what its policy says.
func termsOf(r catalogue.Resource, settings decide.Settings, now time.Time) (retention.Terms, error) {
	record, err := ProtectionOf(r)
	return retention.Terms{
		Now: now, Suspended: record.State == protection.Suspended, Stopped: !record.State.Expires(), Immutable: settings.Immutability != arm.StateDisabled,
	}, err
}
