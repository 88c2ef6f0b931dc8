package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// ProtectionOf is how an instance, or a deleted one, is protected: whether it is backed up, and whether its recovery points expire.
func ProtectionOf(r catalogue.Resource) (protection.Record, error) {
	record, err := protection.Read(r.Facts)
	if err != nil {
		return record, unreadable(r.ID, err)
	}
	return record, nil
}

// do is the record of an instance after an operation.
func do(r catalogue.Resource, o protection.Operation, now time.Time) (protection.Record, error) {
	record, err := ProtectionOf(r)
	if err != nil {
		return record, err
	}
	return record.Do(r.ID.Name(), o, now)
}

// withProtection are the facts of an instance with how it is protected.
func withProtection(of json.RawMessage, record protection.Record) (json.RawMessage, error) {
	change, err := record.Facts()
	if err != nil {
		return nil, fmt.Errorf("write how it is protected: %w", err)
	}
	return jsonpatch.MergeMergePatches(orEmpty(of), change)
}

// putProtection keeps how an instance is protected.
func putProtection(ctx context.Context, tx catalogue.Tx, r catalogue.Resource, c catalogue.Condition, record protection.Record) (err error) {
	if r.Facts, err = withProtection(r.Facts, record); err != nil {
		return err
	}
	_, err = tx.PutResource(ctx, r, c)
	return err
}

// Protect suspends, stops or resumes the protection of an instance. What is so already stays so. Jobs that are under way go on, but for backups of
// the schedule that no cluster has seen: suspended or stopped, the instance is not backed up by one that waits for its cluster.
func (j *Jobs) Protect(ctx context.Context, by Caller, id catalogue.ID, o protection.Operation, body []byte) (operation catalogue.Operation, err error) {
	if _, err := decode[arm.SuspendRequest](Proposal{ID: id, Body: orEmpty(body)}); err != nil {
		return operation, err
	}
	now := j.Keeper.now()
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		before, err := tx.Resource(ctx, id)
		if err != nil {
			return err
		}
		record, err := do(before, o, now)
		if err == nil {
			err = consentToEnd(ctx, tx, by, before, record.State, now)
		}
		if err != nil {
			return err
		}
		after := before
		after.Changed = by.stamp(now)
		if after.Facts, err = withProtection(after.Facts, record); err != nil {
			return err
		}
		if why := record.Withheld(id.Name()); why != "" {
			if err := j.withdraw(ctx, tx, id, why, now); err != nil {
				return err
			}
		}
		operation, err = j.Keeper.act(ctx, tx, by, string(o), before, after, now)
		return err
	})
	if err == nil {
		j.wake()
	}
	return operation, err
}

// consentToEnd asks the guard of a vault whether an instance may come into a state in which it is not backed up.
func consentToEnd(ctx context.Context, tx catalogue.Tx, by Caller, r catalogue.Resource, to protection.State, now time.Time) error {
	record, err := ProtectionOf(r)
	if err != nil || record.State == to {
		return err
	}
	c := critical{operation: guard.StopProtection, resource: r.ID}
	switch to {
	case protection.Stopped:
	case protection.Suspended:
		c.operation = guard.SuspendBackups
	default:
		return nil
	}
	return consentAndUse(ctx, tx, by, r.ID.Parent(), c, now)
}

// act keeps what an action has made of a resource, if that is anything, with its operation and its audit entry.
func (k *Keeper) act(ctx context.Context, tx catalogue.Tx, by Caller, action string, before, after catalogue.Resource, now time.Time) (catalogue.Operation, error) {
	if string(before.Facts) != string(after.Facts) {
		kept, err := tx.PutResource(ctx, after, catalogue.Condition{})
		if err != nil {
			return catalogue.Operation{}, err
		}
		after = kept
		if err := look(ctx, tx, after.ID, now); err != nil {
			return catalogue.Operation{}, err
		}
	}
	operation := k.done(by, before.ID, action, now)
	if err := tx.PutOperation(ctx, operation); err != nil {
		return operation, err
	}
	return operation, appendEntry(ctx, tx, by.entry(now, k.Kinds.Action(before.ID)+"/"+action+"/action", before.ID, http.StatusAccepted), &before, &after)
}

// Sync tries again what has failed of an instance, which is its deletion. With ForceResync, an instance of which nothing has failed is
// judged as if it was written anew.
func (j *Jobs) Sync(ctx context.Context, by Caller, id catalogue.ID, body []byte) (operation catalogue.Operation, err error) {
	now, name := j.Keeper.now(), j.newName()
	wake := false
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		wake = false
		force, err := forced(id, body)
		if err != nil {
			return err
		}
		before, record, err := readAllowed(ctx, tx, id, protection.Sync)
		if err != nil {
			return err
		}
		after := before
		switch {
		case record.Failure != nil:
			if err := mayDelete(ctx, tx, by, id); err != nil {
				return err
			}
			removal, err := j.deleteWithData(ctx, tx, by, before, catalogue.Condition{}, name, now)
			operation, wake = removal.Operation, removal.Underway
			return err
		case force:
			p := Proposal{ID: before.ID, Body: before.Body, Before: &before, By: by, Now: now, NewObjectID: j.Keeper.NewObjectID}
			verdict, err := judgeInstance(ctx, tx, p) // It changes nothing that a resource guard covers.
			if err != nil {
				return err
			}
			after.Facts, after.Links, after.Changed = verdict.Facts, verdict.Links, by.stamp(now)
		}
		operation, err = j.Keeper.act(ctx, tx, by, string(protection.Sync), before, after, now)
		return err
	})
	if err == nil && wake {
		j.wake()
	}
	return operation, err
}

// forced reads how an instance is to be synchronised.
func forced(id catalogue.ID, body []byte) (bool, error) {
	asked, err := decode[arm.SyncRequest](Proposal{ID: id, Body: orEmpty(body)})
	switch {
	case err != nil:
		return false, err
	case asked.SyncType == "", asked.SyncType.Is(arm.SyncDefault):
		return false, nil
	case asked.SyncType.Is(arm.SyncForce):
		return true, nil
	}
	return false, invalid(id, "syncType is %.40q", string(asked.SyncType)).WithHint("write %s or %s", arm.SyncDefault, arm.SyncForce)
}

// mayDelete refuses whoever could not delete the instance by a request for that.
func mayDelete(ctx context.Context, v catalogue.View, by Caller, id catalogue.ID) error {
	const action = typeInstance + "/delete"
	allowed, err := mayDo(ctx, v, by, action, id)
	if err != nil || allowed {
		return err
	}
	return coffer.Errorf(coffer.CodeAuthorizationFailed, "the deletion of %s has failed, and to try it again is to delete: that needs the action %s", id.Name(), action).
		WithHint("ask for the role Backup Contributor, or resume the protection of the instance instead")
}

// mayForget refuses whoever could not purge the instance once it is deleted: to forget it now comes to the same.
func mayForget(ctx context.Context, v catalogue.View, by Caller, id catalogue.ID) error {
	allowed, err := mayDo(ctx, v, by, access.ActionPurge, deletedOf(id))
	if err != nil || allowed {
		return err
	}
	return coffer.Errorf(coffer.CodeAuthorizationFailed, "with retainData, nobody could have %s again, as soft delete of its vault has it: that needs the action %s", id.Name(), access.ActionPurge).
		WithHint("delete it without retainData, which needs no cluster; or ask for the role Contributor on the vault")
}

func mayDo(ctx context.Context, v catalogue.View, by Caller, action string, id catalogue.ID) (bool, error) {
	held, err := Held(ctx, v, by.Principal)
	return err == nil && access.Decide(by.Principal, held, action, id).Allowed, err
}
