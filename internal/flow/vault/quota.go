package vault

import (
	"context"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/quota"
)

// bound is how many of a kind there may be in a vault.
func (k *Keeper) bound(ctx context.Context, v catalogue.View, vault catalogue.ID, kind quota.Kind) (quota.Bound, error) {
	_, settings, err := vaultSettings(ctx, v, vault)
	return quota.Tighter(kind, k.Quotas, settings.Quotas), err
}

// mustHaveOneLeft refuses a job of an instance that would be one more of its day than there may be. It is asked in the transaction that begins
// the job: of two who ask at once, one is asked again once the other has begun its own.
func (k *Keeper) mustHaveOneLeft(ctx context.Context, tx catalogue.Tx, p protected, kind quota.Kind, operation arm.Word, now time.Time) error {
	bound, err := k.bound(ctx, tx, p.vault.ID, kind)
	if err != nil || bound.Most == 0 {
		return err
	}
	begun, err := tx.CountJobs(ctx, catalogue.JobQuery{Vault: p.vault.ID, Instance: p.resource.ID, Operation: string(operation), From: quota.Day(now)})
	if err != nil {
		return err
	}
	return bound.Check(begun, p.resource.ID.Name(), now)
}

// mustHaveRoom refuses one more resource of a type in a vault than there may be.
func (k *Keeper) mustHaveRoom(ctx context.Context, tx catalogue.Tx, vault catalogue.ID, kind quota.Kind, resource string, now time.Time) error {
	bound, err := k.bound(ctx, tx, vault, kind)
	if err != nil || bound.Most == 0 {
		return err
	}
	there, err := tx.CountResources(ctx, catalogue.ResourceQuery{Type: resource, Under: vault})
	if err != nil {
		return err
	}
	return bound.Check(there, vault.Name(), now)
}

// mustBeWithinQuotas refuses a proposal of which there would be more than there may be. What is there already may be changed.
func (k *Keeper) mustBeWithinQuotas(ctx context.Context, tx catalogue.Tx, kind Kind, p Proposal) error {
	vault := p.ID.Parent()
	switch {
	case kind.Type == typePolicy && p.Before == nil:
		return k.mustHaveRoom(ctx, tx, vault, quota.Policies, typePolicy, p.Now)
	case kind.Type != typeInstance:
		return nil
	}
	bound, err := k.bound(ctx, tx, vault, quota.Namespaces)
	if err != nil {
		return err
	}
	names, before := namespacesOf(p.Body), 0
	if p.Before != nil {
		before = namespacesOf(p.Before.Body)
	}
	if err := bound.CheckNamespaces(names, before, p.ID.Name()); err != nil || p.Before != nil {
		return err
	}
	return k.mustHaveRoom(ctx, tx, vault, quota.Instances, typeInstance, p.Now)
}

// namespacesOf are how many namespaces the body of an instance names. It has been judged.
func namespacesOf(body []byte) (n int) {
	read, err := arm.Decode[arm.InstanceResource](body)
	if err != nil || read.Properties == nil || read.Properties.PolicyInfo == nil || read.Properties.PolicyInfo.PolicyParameters == nil {
		return 0
	}
	for _, parameters := range read.Properties.PolicyInfo.PolicyParameters.BackupDatasourceParametersList {
		n += len(parameters.IncludedNamespaces)
	}
	return n
}
