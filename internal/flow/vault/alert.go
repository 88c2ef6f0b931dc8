package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// The kinds of alerts.
const (
	alertMissed     = "BackupMissed"
	alertOverrun    = "BackupOverrun"
	alertNotDeleted = "RecoveryPointNotDeleted"
	alertObjective  = "RecoveryPointObjectiveMissed"
)

// alert raises one about a target, or counts it.
func (j *Jobs) alert(ctx context.Context, tx catalogue.Tx, kind string, vault, target catalogue.ID, severity arm.Word, message, hint string, now time.Time) error {
	_, _, err := tx.RaiseAlert(ctx, catalogue.Alert{
		Vault: vault, Name: j.newName(), Kind: kind, Target: target, State: catalogue.AlertFired, First: now, Last: now, Count: 1,
		Body: facts(arm.Alert{Kind: kind, Severity: severity, TargetID: string(target), Message: message, RecommendedAction: hint}),
	})
	return err
}

// reportSlot raises alerts for a slot that did not go by the schedule.
func (j *Jobs) reportSlot(ctx context.Context, tx catalogue.Tx, s scheduled, slot catalogue.Slot, underway *catalogue.Job, why error) error {
	at := slot.At.UTC().Format(time.RFC3339)
	raise := func(kind string, message, hint string) error {
		if slot.Missed > 0 {
			message += fmt.Sprintf("; %s before it were missed, the first at %s", counted(s), slot.Since.UTC().Format(time.RFC3339))
		}
		return j.alert(ctx, tx, kind, s.vault.ID, s.resource.ID, arm.SeverityWarning, message, hint, s.now)
	}
	switch slot.Outcome {
	case catalogue.SlotBegun:
		if slot.Missed > 0 {
			return raise(alertMissed, fmt.Sprintf("the backup of %s that was due at %s began in time", s.resource.ID.Name(), at),
				"see why no server was running before; what was missed is not caught up")
		}
	case catalogue.SlotCaughtUp:
		return raise(alertMissed, fmt.Sprintf("the backup of %s that was due at %s began at %s", s.resource.ID.Name(), at, s.now.Format(time.RFC3339)),
			"see why no server was running then; the backup is caught up, those before it are not")
	case catalogue.SlotOverrun:
		return raise(alertOverrun, fmt.Sprintf("the backup of %s that was due at %s was left out: the job %s is still under way", s.resource.ID.Name(), at, underway.Name),
			"see what takes the job so long, or back up less often")
	case catalogue.SlotMissed:
		if underway != nil {
			return raise(alertMissed, fmt.Sprintf("the backup of %s that was due at %s was left out: the job %s waits for its cluster, and will catch up", s.resource.ID.Name(), at, underway.Name),
				"see why the cluster "+s.config.Cluster.Name()+" cannot be reached: coffer cluster show")
		}
		found := coffer.Errorf(coffer.CodeResourceNotFound, "%w", why)
		return raise(alertMissed, fmt.Sprintf("the backup of %s that was due at %s could not begin: %s", s.resource.ID.Name(), at, found.Message), found.Hint)
	}
	return nil
}

// counted are the slots that were missed, in words.
func counted(s scheduled) string {
	if s.due.More {
		return fmt.Sprintf("more than %d", s.due.Missed)
	}
	return fmt.Sprint(s.due.Missed)
}
