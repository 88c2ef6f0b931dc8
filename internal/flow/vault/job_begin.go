package vault

import (
	"context"
	"strings"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/access"
	"github.com/coffer-backup/coffer/internal/decide/guard"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
	"github.com/coffer-backup/coffer/internal/decide/quota"
)

// BeginBackup begins a backup of an instance, as its policy's backup rule says, out of turn.
func (j *Jobs) BeginBackup(ctx context.Context, by Caller, id catalogue.ID, body []byte) (begun Begun, err error) {
	const action = typeInstance + "/backup/action"
	now, name := j.Keeper.now(), j.newName()
	by = by.asking(action, id, body)
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		var again bool
		if begun, again, err = begunBefore(ctx, tx, by, id, now); again || err != nil {
			return err
		}
		p, err := readProtected(ctx, tx, id, protection.Backup)
		if err != nil {
			return err
		}
		asked, err := decode[arm.BackupRequest](Proposal{ID: id, Body: body})
		if err != nil {
			return err
		}
		choice, err := p.policy.OnDemand(&asked, "")
		if err != nil {
			return err
		}
		if err := mustBeReady(ctx, tx, p.config.Cluster, p.vault.ID); err != nil {
			return err
		}
		if err := mustBeIdle(ctx, tx, p.resource.ID, job.OnDemandBackup, job.ScheduledBackup); err != nil {
			return err
		}
		if err := j.Keeper.mustHaveOneLeft(ctx, tx, p, quota.Backups, job.OnDemandBackup, now); err != nil {
			return err
		}
		r := p.request(by, job.OnDemandBackup, name, now)
		spec := p.config.Backup
		r.PolicyRule, r.Work.Rule, r.Work.Reason, r.Work.Backup = p.policy.BackupRule, choice.Rule.Name, choice.Reason, &spec
		begun, err = j.begin(ctx, tx, by, action, r)
		return err
	})
	if err == nil {
		j.wake()
	}
	return begun, err
}

// BeginRestore begins a restore of a recovery point of an instance. BeginPlan begins one that plans, and restores nothing.
func (j *Jobs) BeginRestore(ctx context.Context, by Caller, id catalogue.ID, body []byte) (Begun, error) {
	return j.restore(ctx, by, id, body, job.RestoreData, typeInstance+"/restore/action")
}

// BeginPlan begins a restore that makes and keeps its plan, and ends.
func (j *Jobs) BeginPlan(ctx context.Context, by Caller, id catalogue.ID, body []byte) (Begun, error) {
	return j.restore(ctx, by, id, body, job.RestorePlan, access.ActionPlan)
}

func (j *Jobs) restore(ctx context.Context, by Caller, id catalogue.ID, body []byte, operation arm.Word, action string) (begun Begun, err error) {
	now, name := j.Keeper.now(), j.newName()
	by = by.asking(action, id, body)
	err = j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		var again bool
		if begun, again, err = begunBefore(ctx, tx, by, id, now); again || err != nil {
			return err
		}
		p, err := readProtected(ctx, tx, id, protection.Restore)
		if err != nil {
			return err
		}
		asked, err := decode[arm.RestoreRequest](Proposal{ID: id, Body: body})
		if err != nil {
			return err
		}
		restore, err := j.Keeper.checkRestore(ctx, tx, by, p.resource, &asked, "")
		if err != nil {
			return err
		}
		if restore.Tier != arm.OperationalStore {
			return coffer.Errorf(coffer.CodeInvalidInput, "the restore is from the %s: only recovery points of the %s are restored", restore.Tier, arm.OperationalStore).
				WithHint("write %s as sourceDataStoreType", arm.OperationalStore)
		}
		if err := mustBeReady(ctx, tx, restore.Target, p.vault.ID); err != nil {
			return err
		}
		point, err := tx.Point(ctx, p.resource.ID, strings.ToLower(restore.Point))
		if err != nil {
			return err
		}
		r := p.request(by, operation, name, now)
		spec := restore.Spec(point.Name, restore.Location)
		spec.PlanOnly = spec.PlanOnly || operation == job.RestorePlan
		if spec.PlanOnly {
			r.Operation = job.RestorePlan
		} else if err := j.Keeper.mustHaveOneLeft(ctx, tx, p, quota.Restores, job.RestoreData, now); err != nil {
			return err
		}
		if !spec.PlanOnly {
			err = consentAndUse(ctx, tx, by, p.vault.ID, critical{operation: guard.Restore, resource: p.resource.ID.Child("recoveryPoints", point.Name)}, now)
			if err != nil {
				return err
			}
		}
		r.Target, r.Point, r.PointTime, r.Work.Restore = restore.Target, point.Name, point.Time, &spec
		begun, err = j.begin(ctx, tx, by, action, r)
		return err
	})
	if err == nil {
		j.wake()
	}
	return begun, err
}

// newName names a job, and its run: an id that cannot be guessed, in small letters.
func (j *Jobs) newName() string { return strings.ToLower(j.Keeper.NewID()) }

// mustBeReady refuses a cluster in which a job could not begin: one that has not joined, or has not let the vault in. One whose link is
// down at the moment is waited for.
func mustBeReady(ctx context.Context, v catalogue.View, id, vault catalogue.ID) error {
	cluster, err := v.Resource(ctx, id)
	if err != nil {
		return err
	}
	if err := mustHaveJoined(cluster); err != nil {
		return err
	}
	return mustBeAdmitted(ctx, v, cluster, vault)
}
