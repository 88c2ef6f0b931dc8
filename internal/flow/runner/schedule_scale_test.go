package runner_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// countingDatabase counts the recovery points that are read to write something.
type countingDatabase struct {
	catalogue.Database
	points int
}

func (d *countingDatabase) Update(ctx context.Context, do func(context.Context, catalogue.Tx) error) error {
	return d.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return do(ctx, countingTx{tx, d}) })
}

type countingTx struct {
	catalogue.Tx
	database *countingDatabase
}

func (t countingTx) Points(ctx context.Context, q catalogue.PointQuery) ([]catalogue.Point, error) {
	found, err := t.Tx.Points(ctx, q)
	t.database.points += len(found)
	return found, err
}

// manyPoints gives the instance older recovery points like its newest one, an hour apart.
func (w *world) manyPoints(n int, change func(*catalogue.Point)) {
	w.t.Helper()
	newest := w.points()[0]
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		for i := range n {
			p := newest
			p.Name, p.Time = fmt.Sprintf("before-%d", i), newest.Time.Add(-time.Duration(i+1)*time.Hour)
			change(&p)
			if err := tx.PutPoint(ctx, p); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestABackupBeginsWithoutAllRecoveryPointsBeingRead(t *testing.T) {
	w := newWorld(t)
	w.put(policyID, strings.Replace(policyBody, `"objectType":"BackupPolicy",`, `"objectType":"BackupPolicy","coffer":{"recoveryPointObjective":"PT26H"},`, 1))
	w.until(w.Clock.Now())
	w.days(5, 5)
	w.manyPoints(1500, func(*catalogue.Point) {})
	database := &countingDatabase{Database: w.Database}
	w.jobs.Keeper.DB = database
	w.until(day(6))
	if names := w.scheduled(); len(names) != 2 || database.points > 50 {
		t.Errorf("%d recovery points are read to begin the job %v", database.points, names)
	}
	w.complete(w.scheduled()[0])
	if database.points > 100 {
		t.Errorf("%d recovery points are read until its end", database.points)
	}
}

func TestTheBackupBeforeIsFoundBehindManyThatWereAskedFor(t *testing.T) {
	w := newWorld(t)
	tagged := strings.Replace(policyBody, `"daysOfMonth":[{"date":29}],"monthsOfYear":["February"]`, firstOfDay, 1)
	w.put(policyID, strings.Replace(tagged, "P1D", "PT4H", 1))
	w.until(w.Clock.Now())
	tag := func() string {
		t.Helper()
		w.complete(w.scheduled()[0])
		return w.job(w.scheduled()[0]).ExtendedInfo.AdditionalDetails["RetentionTag"]
	}
	w.until(day(4).Add(20 * time.Hour))
	tag()
	w.until(day(5))
	first := tag()
	for range 12 {
		w.backedUp()
	}
	w.until(day(5).Add(4 * time.Hour))
	if second := tag(); first != "Long" || second != "Default" {
		t.Errorf("the first of the day is tagged %s, and the second %s", first, second)
	}
}
