package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const (
	typeDeletedVault = "Microsoft.DataProtection/locations/deletedVaults"
	policyCollection = "backupPolicies"
)

// DeletedVaultKind is a Backup vault that was deleted and can be had again. It comes with the deletion, and goes when it is had again, or when
// its time is over.
func DeletedVaultKind() Kind {
	return Kind{Type: typeDeletedVault, Noun: "deleted backup vault", Body: arm.VaultResource{}, Fixed: true}
}

// deletedVault is what is known of one beside what it was.
type deletedVault struct {
	Properties struct {
		OriginalBackupVaultID           catalogue.ID             `json:"originalBackupVaultId"`
		OriginalBackupVaultName         string                   `json:"originalBackupVaultName"`
		OriginalBackupVaultResourcePath catalogue.ID             `json:"originalBackupVaultResourcePath"`
		ResourceDeletionInfo            arm.ResourceDeletionInfo `json:"resourceDeletionInfo"`
	} `json:"properties"`
}

func deletedVaultOf(r catalogue.Resource) (d deletedVault, err error) {
	if err = json.Unmarshal(orEmpty(r.Facts), &d); err == nil && d.Properties.OriginalBackupVaultID == "" {
		err = errors.New("it does not say which vault it was")
	}
	if err != nil {
		return d, unreadable(r.ID, err)
	}
	return d, nil
}

// buryVault puts a vault whose soft delete is not Off among the deleted ones of its region, under a name of its own, for others may get its
// name: with its policies, its jobs and its alerts. Who had a role on it has none, neither there nor once it is had again.
func buryVault(ctx context.Context, tx catalogue.Tx, k *Keeper, by Caller, r catalogue.Resource, c catalogue.Condition, now time.Time) (*catalogue.Resource, error) {
	location, settings, err := vaultSettings(ctx, tx, r.ID)
	if err != nil || settings.SoftDelete == arm.StateOff {
		return nil, err
	}
	to := catalogue.ID("/subscriptions/"+r.ID.Subscription()+"/providers/Microsoft.DataProtection/locations/"+location).Child("deletedVaults", strings.ToLower(k.NewID()))
	moved, err := k.moveVault(ctx, tx, by, r.ID, to, c, now)
	if err != nil {
		return nil, err
	}
	var d deletedVault
	p := &d.Properties
	p.OriginalBackupVaultID, p.OriginalBackupVaultName, p.OriginalBackupVaultResourcePath = r.ID, r.ID.Name(), r.ID
	p.ResourceDeletionInfo = arm.ResourceDeletionInfo{DeletionTime: now, ScheduledPurgeTime: k.daysAfter(now, settings.SoftDeleteDays), DeleteActivityID: by.Request}
	moved.Changed = by.stamp(now)
	if moved.Facts, err = jsonpatch.MergeMergePatches(orEmpty(moved.Facts), facts(d)); err != nil {
		return nil, err
	}
	moved, err = tx.PutResource(ctx, moved, catalogue.Condition{})
	return &moved, err
}

// moveVault gives a vault another id, and its policies with it. All else that lies below it is deleted.
func (k *Keeper) moveVault(ctx context.Context, tx catalogue.Tx, by Caller, from, to catalogue.ID, c catalogue.Condition, now time.Time) (catalogue.Resource, error) {
	for q := (catalogue.ResourceQuery{Under: from, Limit: pageSize}); ; {
		below, err := tx.Resources(ctx, q)
		if err != nil {
			return catalogue.Resource{}, err
		}
		for _, r := range below {
			if strings.EqualFold(r.ID.Type(), from.Type()+"/"+policyCollection) {
				_, err = tx.MoveResource(ctx, r.ID, to.Child(policyCollection, r.ID.Name()), catalogue.Condition{})
			} else if err = tx.DeleteResource(ctx, r.ID, catalogue.Condition{}); err == nil {
				err = appendEntry(ctx, tx, by.entry(now, k.Kinds.Action(r.ID)+"/delete", r.ID, http.StatusOK), &r, nil)
			}
			if err != nil {
				return catalogue.Resource{}, err
			}
		}
		if len(below) < pageSize {
			break
		}
	}
	return tx.MoveResource(ctx, from, to, c)
}

// undeleteVault makes a vault of a deleted one again, as it was, under the name that it had.
func (k *Keeper) undeleteVault(ctx context.Context, tx catalogue.Tx, by Caller, id, deleted catalogue.ID, now time.Time) error {
	if !strings.EqualFold(deleted.Type(), typeDeletedVault) {
		return coffer.Errorf(coffer.CodeInvalidInput, "%s is no id of a deleted Backup vault", deleted).
			WithHint("give one that /subscriptions/SUBSCRIPTION/providers/Microsoft.DataProtection/locations/REGION/deletedVaults lists")
	}
	r, err := find(ctx, tx, deleted)
	if err == nil && r == nil {
		err = coffer.Errorf(coffer.CodeResourceNotFound, "there is no deleted Backup vault %s", deleted.Name()).
			WithHint("coffer backup-vault deleted list shows those of a region; one whose time is over is gone for good")
	}
	if err != nil {
		return err
	}
	d, err := deletedVaultOf(*r)
	if err != nil {
		return err
	}
	was := d.Properties.OriginalBackupVaultID
	if !was.Is(id) {
		return coffer.Errorf(coffer.CodeInvalidInput, "the deleted Backup vault %s was %s, and can be had again as that only", deleted.Name(), was).WithHint("PUT it there")
	}
	taken, err := find(ctx, tx, was)
	if err == nil && taken != nil {
		err = coffer.Errorf(coffer.CodeConflict, "there is another Backup vault %s in the resource group %s since %s: the deleted one cannot be had again beside it",
			was.Name(), was.Group().Name(), taken.Created.At.UTC().Format(time.RFC3339)).WithHint("delete that one first, which can itself be had again if its soft delete is on")
	}
	if err == nil {
		err = k.mustHaveParent(ctx, tx, was)
	}
	if err != nil {
		return err
	}
	kept, err := k.moveVault(ctx, tx, by, r.ID, was, catalogue.Condition{}, now)
	if err != nil {
		return err
	}
	return appendEntry(ctx, tx, by.entry(now, typeDeletedVault+"/undelete/action", r.ID, http.StatusOK), r, &kept)
}

// PurgeVaults deletes the deleted vaults for good whose time is over, with all that they had.
func (k *Keeper) PurgeVaults(ctx context.Context) error {
	var overdue []catalogue.ID
	var unread error
	now := k.now()
	err := k.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		overdue, unread = nil, nil
		return each(ctx, v, catalogue.ResourceQuery{Type: typeDeletedVault}, func(r catalogue.Resource) error {
			d, err := deletedVaultOf(r)
			unread = errors.Join(unread, err)
			if err == nil && !now.Before(d.Properties.ResourceDeletionInfo.ScheduledPurgeTime) {
				overdue = append(overdue, r.ID)
			}
			return nil
		})
	})
	err = errors.Join(err, unread)
	for _, id := range overdue {
		err = errors.Join(err, k.purgeVault(ctx, id, now))
	}
	return err
}

func (k *Keeper) purgeVault(ctx context.Context, id catalogue.ID, now time.Time) error {
	nobody := Caller{Principal: catalogue.Principal{Name: "the end of its retention"}, Request: k.NewID()}
	return k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		// Since it was listed somebody may have had it again, or another replica was first. A deleted vault never comes back under its id.
		r, err := find(ctx, tx, id)
		if err != nil || r == nil {
			return err
		}
		if err := k.deleteBelow(ctx, tx, nobody, id, now); err != nil {
			return err
		}
		if err := tx.DeleteResource(ctx, id, catalogue.Condition{}); err != nil {
			return err
		}
		return appendEntry(ctx, tx, nobody.entry(now, typeDeletedVault+"/purge", id, http.StatusOK), r, nil)
	})
}
