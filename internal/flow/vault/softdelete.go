package vault

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/decide/quota"
	decide "github.com/coffer-backup/coffer/internal/decide/vault"
)

const (
	typeDeleted       = typeVault + "/deletedBackupInstances"
	deletedCollection = "deletedBackupInstances"
)

// DeletedInstanceKind is a backup instance that was deleted and can be had again. It comes with the deletion, and goes by undelete or purge.
func DeletedInstanceKind() Kind {
	return Kind{Type: typeDeleted, Noun: "deleted backup instance", Parents: []string{typeVault}, Body: arm.InstanceResource{}, Fixed: true}
}

// deletedOf is the id of an instance once it is deleted, and instanceOf what it was before.
func deletedOf(id catalogue.ID) catalogue.ID { return id.Parent().Child(deletedCollection, id.Name()) }

func instanceOf(deleted catalogue.ID) catalogue.ID {
	return deleted.Parent().Child("backupInstances", deleted.Name())
}

// mustNotLieDeleted refuses a new instance under the name of one that can still be had again: which of both it would be then, nobody knew.
func mustNotLieDeleted(ctx context.Context, v catalogue.View, id catalogue.ID) error {
	r, err := find(ctx, v, deletedOf(id))
	if err != nil || r == nil {
		return err
	}
	record, err := ProtectionOf(*r)
	if err != nil {
		return err
	}
	until := ""
	if record.Deletion != nil {
		until = " until " + record.Deletion.Until.UTC().Format(time.RFC3339)
	}
	return coffer.Errorf(coffer.CodeConflict, "the backup instance %s was deleted, and can be had again%s", id.Name(), until).
		WithHint("have it again: coffer backup-instance deleted-backup-instance undelete -n %s; or take another name; or purge it", id.Name())
}

// softDelete takes an instance out of use, with its recovery points as they are.
func (j *Jobs) softDelete(ctx context.Context, tx catalogue.Tx, by Caller, r catalogue.Resource, c catalogue.Condition, settings decide.Settings, now time.Time) (catalogue.Operation, error) {
	record, err := do(r, protection.SoftDelete, now)
	if err != nil {
		return catalogue.Operation{}, err
	}
	record.Deletion = &protection.Deletion{At: now, Until: j.Keeper.daysAfter(now, settings.SoftDeleteDays), Activity: by.Request}
	kept, err := j.Keeper.move(ctx, tx, by, r.ID, deletedOf(r.ID), c, record, now)
	if err != nil {
		return catalogue.Operation{}, err
	}
	operation := j.Keeper.done(by, r.ID, "Delete", now)
	if err := tx.PutOperation(ctx, operation); err != nil {
		return operation, err
	}
	return operation, appendEntry(ctx, tx, by.entry(now, typeInstance+"/delete", r.ID, http.StatusOK), &r, &kept)
}

// daysAfter is until when something can be had again that is deleted now.
func (k *Keeper) daysAfter(now time.Time, days int) time.Time {
	if k.Day > 0 {
		return now.Add(time.Duration(days) * k.Day)
	}
	return now.AddDate(0, 0, days)
}

// move gives an instance another id, and says how it is protected there. What is due of it is not, and who had a role on it has none: neither
// there, nor on the next one that gets the id.
func (k *Keeper) move(
	ctx context.Context, tx catalogue.Tx, by Caller, from, to catalogue.ID, c catalogue.Condition, record protection.Record, now time.Time,
) (catalogue.Resource, error) {
	if err := k.deleteBelow(ctx, tx, by, from, now); err != nil {
		return catalogue.Resource{}, err
	}
	r, err := tx.MoveResource(ctx, from, to, c)
	if err != nil {
		return r, err
	}
	if err := tx.DeleteDue(ctx, to); err != nil {
		return r, err
	}
	r.Changed = by.stamp(now)
	if r.Facts, err = withProtection(r.Facts, record); err != nil {
		return r, err
	}
	return tx.PutResource(ctx, r, catalogue.Condition{})
}

// inTheWay refuses to delete what deleted instances would be had again with. of is the beginning of a sentence that names it.
func inTheWay(of string, deleted []string) error {
	return coffer.Errorf(coffer.CodeConflict, "%s of the deleted backup instances %s, which can be had again", of, strings.Join(deleted, ", ")).
		WithHint("wait until they can no more, or purge them, for good: coffer backup-instance deleted-backup-instance purge -n %s", deleted[0])
}

// Undelete makes an instance of a deleted one again, with its recovery points. It is as stopped until its protection is resumed.
func (k *Keeper) Undelete(ctx context.Context, by Caller, deleted catalogue.ID) (operation catalogue.Operation, err error) {
	now := k.now()
	err = k.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, deleted)
		if err != nil {
			return err
		}
		record, err := do(r, protection.Undelete, now)
		if err != nil {
			return err
		}
		location, _, err := vaultSettings(ctx, tx, deleted.Parent())
		if err != nil {
			return err
		}
		config, err := configurationOf(r, location)
		if err != nil {
			return err
		}
		if err := mustBeOnlyInstance(ctx, tx, instanceOf(r.ID), config, "have that instance follow another policy, or delete it, first"); err != nil {
			return err
		}
		if err := k.mustHaveRoom(ctx, tx, deleted.Parent(), quota.Instances, typeInstance, now); err != nil {
			return err
		}
		kept, err := k.move(ctx, tx, by, r.ID, instanceOf(r.ID), catalogue.Condition{}, record, now)
		if err != nil {
			return err
		}
		operation = k.done(by, kept.ID, "Undelete", now)
		if err := tx.PutOperation(ctx, operation); err != nil {
			return err
		}
		return appendEntry(ctx, tx, by.entry(now, typeDeleted+"/undelete/action", r.ID, http.StatusAccepted), &r, &kept)
	})
	return operation, err
}

// Purge deletes a deleted instance for good, before its time or after it: with its recovery points, by a job in its cluster, or, with
// retain, at once and without them. One that is being purged already goes on.
func (j *Jobs) Purge(ctx context.Context, by Caller, deleted catalogue.ID, retain bool) (Removal, error) {
	return j.purge(ctx, by, deleted, retain, func(protection.Record, time.Time) bool { return true }, consentToDelete)
}

// purge purges a deleted instance that is as wanted says when it is begun, if it may be.
func (j *Jobs) purge(
	ctx context.Context, by Caller, deleted catalogue.ID, retain bool, wanted func(r protection.Record, now time.Time) bool,
	may func(ctx context.Context, tx catalogue.Tx, by Caller, id catalogue.ID, now time.Time) error,
) (removal Removal, err error) {
	kind, err := j.Keeper.Kinds.of(deleted)
	if err != nil {
		return Removal{}, err
	}
	now, name := j.Keeper.now(), j.newName()
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, deleted)
		if err != nil {
			return err
		}
		removal = Removal{Found: true}
		record, err := ProtectionOf(r)
		if err != nil || !wanted(record, now) {
			return err
		}
		keeps, err := guardOf(ctx, tx, r.ID, now)
		if err != nil {
			return err
		}
		if record.Deletion != nil {
			err = keeps.CheckEarly(record.Deletion.Until)
		}
		if err != nil {
			return err
		}
		points, err := mustNotBeGuarded(ctx, tx, r.ID, keeps)
		if err != nil {
			return err
		}
		if retain || !points {
			if err := may(ctx, tx, by, r.ID, now); err != nil {
				return err
			}
			removal.Operation, err = j.forget(ctx, tx, by, kind, r, catalogue.Condition{}, now)
			return err
		}
		removal.Underway = true
		if deleting, err := j.deletionOf(ctx, tx, r.ID); err != nil || deleting != nil {
			if deleting != nil {
				removal.Operation = *deleting
			}
			return err
		}
		if err := may(ctx, tx, by, r.ID, now); err != nil {
			return err
		}
		removal.Operation, err = j.beginDeletion(ctx, tx, by, r, catalogue.Condition{}, protection.Purge, name, now)
		return err
	})
	if err == nil && removal.Underway {
		j.wake()
	}
	return removal, err
}

// Overdue are the deleted instances of all vaults whose time is over.
func (j *Jobs) Overdue(ctx context.Context) (found []catalogue.ID, err error) {
	now := j.Keeper.now()
	err = j.Keeper.DB.View(ctx, func(ctx context.Context, v catalogue.View) error {
		found = nil
		return each(ctx, v, catalogue.ResourceQuery{Type: typeDeleted}, func(r catalogue.Resource) error {
			record, err := ProtectionOf(r)
			if err != nil {
				return err
			}
			if record.Overdue(now) {
				found = append(found, r.ID)
			}
			return nil
		})
	})
	return found, err
}

// PurgeOverdue purges a deleted instance whose time is over, by nobody's request. Why it cannot be purged is said in it.
func (j *Jobs) PurgeOverdue(ctx context.Context, deleted catalogue.ID) error {
	nobody := Caller{Principal: catalogue.Principal{Name: "the end of its retention"}, Request: j.Keeper.NewID()}
	// Since it was listed somebody may have had it again, and deleted it anew. Whoever deleted it was asked for the consent of a resource guard.
	_, err := j.purge(ctx, nobody, deleted, false, protection.Record.Overdue, func(context.Context, catalogue.Tx, Caller, catalogue.ID, time.Time) error { return nil })
	why, ok := errors.AsType[*coffer.Error](err)
	if !ok || why.Transient {
		return err
	}
	now := j.Keeper.now()
	kept := j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		r, err := find(ctx, tx, deleted)
		if err != nil || r == nil {
			return err
		}
		record, err := ProtectionOf(*r)
		if err != nil || !record.Overdue(now) {
			return err // somebody was first
		}
		told := arm.UserFacingError{Code: string(why.Code), Message: why.Message, IsUserError: true, RecommendedAction: []string{why.Hint}}
		return putProtection(ctx, tx, *r, catalogue.Condition{}, record.Fail(told, now))
	})
	return errors.Join(err, kept)
}
