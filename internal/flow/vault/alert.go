package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/alert"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

// alert raises one about a target, or counts it.
func (j *Jobs) alert(ctx context.Context, tx catalogue.Tx, kind string, vault, target catalogue.ID, severity arm.Word, message, hint string, now time.Time) error {
	_, _, err := tx.RaiseAlert(ctx, catalogue.Alert{
		Vault: vault, Name: j.newName(), Kind: kind, Target: target, First: now, Last: now,
		Body: facts(arm.Alert{Kind: kind, Severity: severity, TargetID: string(target), Message: message, RecommendedAction: hint}),
	})
	return err
}

// openAlerts are those about a target, one of each kind at most.
func openAlerts(ctx context.Context, v catalogue.View, target catalogue.ID) ([]catalogue.Alert, error) {
	return v.Alerts(ctx, catalogue.AlertQuery{Vault: target.Parent(), Target: target, Open: true, Limit: pageSize})
}

// closeOver closes the open alerts about a target that are over.
func closeOver(ctx context.Context, tx catalogue.Tx, target catalogue.ID, all []alert.Over, by string, now time.Time) error {
	if len(all) == 0 {
		return nil
	}
	open, err := openAlerts(ctx, tx, target)
	if err != nil {
		return err
	}
	for _, a := range open {
		at := slices.IndexFunc(all, func(o alert.Over) bool { return o.Is(a.Kind, a.Last) })
		if at < 0 {
			continue
		}
		if err := putClosed(ctx, tx, a, by, all[at].Reason, now); err != nil {
			return err
		}
	}
	return nil
}

// putClosed closes an alert, and says in it who has done so, and why if there is more to say.
func putClosed(ctx context.Context, tx catalogue.Tx, a catalogue.Alert, by, reason string, now time.Time) error {
	var body arm.Alert
	if err := json.Unmarshal(orEmpty(a.Body), &body); err != nil {
		return fmt.Errorf("read the alert %s of %s: %w", a.Name, a.Vault, err)
	}
	body.ClosedBy, body.ClosedReason = by, reason
	a.State, a.Closed, a.Body = catalogue.AlertClosed, now, facts(body)
	return tx.PutAlert(ctx, a)
}

// closeAll closes what is open about an instance that is deleted. What is still to be deleted of it has alerts of its own target and kind,
// which go on.
func closeAll(ctx context.Context, tx catalogue.Tx, by Caller, target catalogue.ID, now time.Time) error {
	open, err := openAlerts(ctx, tx, target)
	if err != nil {
		return err
	}
	for _, a := range open {
		if a.Kind == alert.NotDeleted {
			continue
		}
		if err := putClosed(ctx, tx, a, by.Principal.Name, "the backup instance was deleted", now); err != nil {
			return err
		}
	}
	return nil
}

// reportEnd raises the alert that the end of a job is, if its vault wants those, and closes those that are over with it.
func (j *Jobs) reportEnd(ctx context.Context, tx catalogue.Tx, kept catalogue.Job, s job.State, deadline time.Time) error {
	now := *s.Body.EndTime
	if err := closeOver(ctx, tx, kept.Instance, alert.Closed(s, deadline), "the job "+kept.Name, now); err != nil {
		return err
	}
	raised := alert.Raise(s, kept.Instance.Name())
	if raised == nil {
		return nil
	}
	_, settings, err := vaultSettings(ctx, tx, kept.Vault)
	if err != nil || settings.Alerts == arm.StateDisabled {
		return err
	}
	return j.alert(ctx, tx, raised.Kind, kept.Vault, kept.Instance, raised.Severity, raised.Message, raised.Hint, now)
}

// reportSlot raises alerts for a slot that did not go by the schedule.
func (j *Jobs) reportSlot(ctx context.Context, tx catalogue.Tx, s *scheduled) error {
	slot, underway := s.slot, s.underway
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
			return raise(alert.BackupMissed, fmt.Sprintf("the backup of %s that was due at %s began in time", s.resource.ID.Name(), at),
				"see why no server was running before; what was missed is not caught up")
		}
	case catalogue.SlotCaughtUp:
		return raise(alert.BackupMissed, fmt.Sprintf("the backup of %s that was due at %s began at %s", s.resource.ID.Name(), at, s.now.Format(time.RFC3339)),
			"see why no server was running then; the backup is caught up, those before it are not")
	case catalogue.SlotOverrun:
		return raise(alert.BackupOverrun, fmt.Sprintf("the backup of %s that was due at %s was left out: the job %s is still under way", s.resource.ID.Name(), at, underway.Name),
			"see what takes the job so long, or back up less often")
	case catalogue.SlotMissed:
		if underway != nil {
			return raise(alert.BackupMissed, fmt.Sprintf("the backup of %s that was due at %s was left out: the job %s waits for its cluster, and will catch up", s.resource.ID.Name(), at, underway.Name),
				"see why the cluster "+s.config.Cluster.Name()+" cannot be reached: coffer cluster show")
		}
		found, known := errors.AsType[*coffer.Error](s.why)
		if !known {
			found = coffer.Errorf(coffer.CodeResourceNotFound, "%w", s.why)
		}
		return raise(alert.BackupMissed, fmt.Sprintf("the backup of %s that was due at %s could not begin: %s", s.resource.ID.Name(), at, found.Message), found.Hint)
	}
	return nil
}

// counted are the slots that were missed, in words.
func counted(s *scheduled) string {
	if s.due.More {
		return fmt.Sprintf("more than %d", s.due.Missed)
	}
	return fmt.Sprint(s.due.Missed)
}
