package vault

import (
	"context"
	"encoding/json"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

const typeInstance = typeVault + "/backupInstances"

// BackupVaultKind is a Backup vault.
func BackupVaultKind(tenant string) Kind {
	return Kind{
		Type: typeVault, Noun: "backup vault", Parents: []string{typeGroup}, Body: arm.VaultResource{},
		Judge: func(ctx context.Context, v catalogue.View, p Proposal) (Verdict, error) {
			if err := decide.CheckName(p.ID.Name()); err != nil {
				return Verdict{}, err
			}
			if err := checkTracked(p); err != nil {
				return Verdict{}, err
			}
			body, err := decode[arm.VaultResource](p)
			if err != nil {
				return Verdict{}, err
			}
			was, err := settingsBefore(p)
			if err != nil {
				return Verdict{}, err
			}
			settings, err := decide.Parse(&body, was)
			if err != nil {
				return Verdict{}, err
			}
			identity, err := identityFacts(p, tenant)
			if err != nil {
				return Verdict{}, err
			}
			guarded, consents, err := guardedChange(ctx, v, p, was, settings)
			if err != nil {
				return Verdict{}, err
			}
			return Verdict{Facts: vaultFacts(settings, identity, body.Properties.StorageSettings != nil, guarded), Consents: consents}, nil
		},
		Removable: mustHoldNothing, Bury: buryVault,
	}
}

// guardedChange says whether a vault is under a resource guard, and is that guard's consent to what a change of its settings takes away.
func guardedChange(ctx context.Context, v catalogue.View, p Proposal, was *decide.Settings, now decide.Settings) (guarded bool, consents []consent, err error) {
	if was == nil {
		return false, nil, nil
	}
	proxy, err := find(ctx, v, proxyOf(p.ID))
	if err != nil || proxy == nil {
		return false, nil, err
	}
	for _, o := range guard.Reductions(*was, now) {
		given, err := consentTo(ctx, v, p.By, p.ID, critical{operation: o, resource: p.ID}, p.Now)
		if err != nil {
			return true, nil, err
		}
		consents = append(consents, given)
	}
	return true, consents, nil
}

// settingsBefore are those that a vault has, or nil if it is new.
func settingsBefore(p Proposal) (*decide.Settings, error) {
	if p.Before == nil {
		return nil, nil
	}
	was, err := settingsOf(*p.Before)
	return &was, err
}

// settingsOf are those of a vault that is kept.
func settingsOf(r catalogue.Resource) (decide.Settings, error) {
	text, err := Shown(r)
	if err != nil {
		return decide.Settings{}, err
	}
	body, err := decode[arm.VaultResource](Proposal{ID: r.ID, Body: text})
	if err != nil {
		return decide.Settings{}, err
	}
	return decide.Parse(&body, nil)
}

// vaultFacts are what a client finds of its settings, complete, and what the server adds. What the client has said of storage
// stands: facts would hide what the server does not know of its elements.
func vaultFacts(s decide.Settings, identity object, saidStorage, guarded bool) json.RawMessage {
	shown := s.Shown()
	if saidStorage {
		shown.StorageSettings = nil
	}
	score := s.Score(decide.Protection{Guarded: guarded})
	shown.ProvisioningState, shown.SecureScore, shown.BcdrSecurityLevel = "Succeeded", score.SecureScore, score.SecurityLevel
	shown.ReplicatedRegions = s.ReplicatedRegions(decide.Protection{})
	shown.IsVaultProtectedByResourceGuard = &guarded
	f := object{"properties": shown}
	if identity != nil {
		f["identity"] = identity
	}
	return facts(f)
}

// mustHoldNothing refuses to delete a vault with backup instances, or one that has yet to delete recovery points in clusters: nobody else
// knows of those.
func mustHoldNothing(ctx context.Context, v catalogue.View, r catalogue.Resource) error {
	if err := mustBeUnguarded(ctx, v, r.ID); err != nil {
		return err
	}
	var c decide.Contents
	err := each(ctx, v, catalogue.ResourceQuery{Type: typeInstance, Under: r.ID}, func(i catalogue.Resource) error {
		if c.Count++; c.Count <= namedInstances {
			c.Instances = append(c.Instances, i.ID.Name())
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = each(ctx, v, catalogue.ResourceQuery{Type: typeDeleted, Under: r.ID}, func(catalogue.Resource) error {
		c.SoftDeleted++
		return nil
	})
	if err != nil {
		return err
	}
	owed, err := v.Deletions(ctx, catalogue.DeletionQuery{Vault: r.ID, Limit: namedInstances})
	if err != nil {
		return err
	}
	c.Owed = len(owed)
	return decide.CheckDelete(c)
}

// namedInstances is how many are worth naming.
const namedInstances = 10
