package vault

import (
	"context"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/protection"
)

// Start is a job that is about to begin in its cluster, as it is written before. A backup of the schedule may have waited for long: it is of what its
// instance says now, and where that is not backed up any more it ends. What somebody has asked for begins as it was asked for.
func (j *Jobs) Start(ctx context.Context, vault catalogue.ID, name string) (job.State, error) {
	now := j.Keeper.now()
	return j.advance(ctx, vault, name, func(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, s job.State) (_ job.State, err error) {
		if s.Scheduled() {
			s, err = followInstance(ctx, tx, kept.Instance, s, now)
		}
		if err != nil || s.Ended() {
			return s, err
		}
		return s.Start(), nil
	})
}

// followInstance is a backup of the schedule, not begun yet, as its instance has it now.
func followInstance(ctx context.Context, v catalogue.View, id catalogue.ID, s job.State, now time.Time) (job.State, error) {
	r, err := find(ctx, v, id)
	if err != nil {
		return s, err
	}
	if r == nil {
		return s.Withdraw(protection.Withdrawn(id.Name(), protection.Deleting), now), nil
	}
	record, err := ProtectionOf(*r)
	if err != nil {
		return s, err
	}
	if why := record.Withheld(id.Name()); why != "" {
		return s.Withdraw(why, now), nil
	}
	location, _, err := vaultSettings(ctx, v, id.Parent())
	if err != nil {
		return s, err
	}
	config, err := configurationOf(*r, location)
	if err != nil {
		return s, err
	}
	return s.Follow(config.Backup, config.Policy), nil
}

// withdraw ends the backups of the schedule of an instance that no cluster has seen, or tells them to end.
func (j *Jobs) withdraw(ctx context.Context, tx catalogue.Tx, id catalogue.ID, why string, now time.Time) error {
	return j.changeOpen(ctx, tx, id, func(_ catalogue.Job, s job.State) (job.State, error) { return s.Withdraw(why, now), nil }, job.ScheduledBackup)
}
