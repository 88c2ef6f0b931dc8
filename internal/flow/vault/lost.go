package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/api/arm"
	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/alert"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

// lostPoint is a recovery point that lies in the catalogue and cannot be read there: its body is damaged, or of a kind that this version does not
// know. Until its time is up it counts as the columns beside the body say; then no rule of retention counts it, so no tier lets go of it, and of the
// others more are kept rather than fewer. It can be restored, for that takes no more than its name, and it is deleted with its instance.
type lostPoint struct {
	catalogue.Point
	why error
}

// toldAgain is how often an alert tells again of the recovery points of an instance that cannot be read.
const toldAgain = time.Hour

// tellLost raises the alert about recovery points of an instance that cannot be read. It ends when somebody closes it.
func (j *Jobs) tellLost(ctx context.Context, tx catalogue.Tx, id catalogue.ID, lost []lostPoint, now time.Time) error {
	if len(lost) == 0 {
		return nil
	}
	open, err := openAlerts(ctx, tx, id)
	if err != nil {
		return err
	}
	for _, a := range open {
		if since := now.Sub(a.Last); a.Kind == alert.PointUnreadable && since >= 0 && since < toldAgain {
			return nil
		}
	}
	names := map[string]bool{}
	for _, l := range lost {
		names[l.Name] = true
	}
	first := lost[0]
	message := fmt.Sprintf("the recovery point %s of %s, taken at %s, cannot be read in the server's catalogue: %s",
		first.Name, id.Name(), first.Time.UTC().Format(time.RFC3339), job.Text(first.why.Error(), maxFailure))
	if more := len(names) - 1; more > 0 {
		message += fmt.Sprintf("; and %d more", more)
	}
	return j.alert(ctx, tx, alert.PointUnreadable, id.Parent(), id, arm.SeverityError, message,
		"its backups go on; it is kept, whatever its policy says, can be restored by its name, and goes with its backup instance; "+
			"look for what has damaged the server's database, and close the alert when that is mended", now)
}

// tellSeen raises the alerts about what could not be read of instances.
func (j *Jobs) tellSeen(ctx context.Context, seen *seenPoints, now time.Time) error {
	if len(seen.lost) == 0 {
		return nil
	}
	return j.Keeper.DB.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		for _, lost := range seen.lost {
			if err := j.tellLost(ctx, tx, lost[0].Instance, lost, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// PointProperties are a recovery point as it is shown. Of one that cannot be read that is what is known all the same, with why.
func PointProperties(kept catalogue.Point) json.RawMessage {
	_, err := shownPoint(kept)
	if err == nil {
		return kept.Body
	}
	shown := arm.RecoveryPoint{
		ObjectType: arm.TypeRecoveryPoint, RecoveryPointID: kept.Name, RecoveryPointTime: kept.Time.UTC(), RecoveryPointType: arm.PointIncremental,
		FriendlyName: kept.Name, RecoveryPointState: arm.PointUnreadable, RecoveryPointDataStoresDetails: []arm.PointStore{},
		Coffer: &arm.CofferPoint{Unreadable: job.Text(err.Error(), maxFailure)},
	}
	for _, tier := range tiersOfPoint(kept) {
		shown.RecoveryPointDataStoresDetails = append(shown.RecoveryPointDataStoresDetails, arm.PointStore{
			ID: kept.Name, Type: tier, CreationTime: kept.Time.UTC(), Visible: true, State: arm.PointCommitted,
		})
	}
	if kept.Held {
		shown.Coffer.LegalHold = &arm.LegalHold{Reason: "it cannot be read who holds it, and why", At: kept.Time.UTC()}
	}
	return facts(shown)
}
