package runner_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/decide/job"
)

func TestWhatWasMissedIsReportedIfTheNextSlotIsInTime(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.until(day(9))
	if got, want := w.slots(), "2026-05-09T02:00 Begun 4 since 2026-05-05T02:00"; got != want || w.alerts() != "BackupMissed one 1" {
		t.Errorf("slots: %s, want %s; alerts: %s", got, want, w.alerts())
	}
}

func TestABackupOfTheScheduleWaitsForItsClusterToCatchUp(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.clusters.Set(clusterID, nil)
	for n := 5; n <= 25; n++ {
		w.until(day(n))
		w.look()
	}
	names := w.scheduled()
	if got := w.job(names[len(names)-1]); len(names) != 1 || got.Status != job.InProgress {
		t.Fatalf("after weeks: %d jobs, the first is %s: %+v", len(names), got.Status, got.ErrorDetails)
	}
	w.clusters.Set(clusterID, w.cluster)
	w.complete(names[0])
	w.until(day(26))
	if got := w.slots(); !strings.HasSuffix(got, "2026-05-25T02:00 Missed, 2026-05-26T02:00 Begun") {
		t.Errorf("slots: %s", got)
	}
}

// awayDatabase is one that cannot be written to now and then.
type awayDatabase struct {
	catalogue.Database
	away bool
	// tries counts how often it was asked while it was away.
	tries int
}

func (d *awayDatabase) Update(ctx context.Context, do func(context.Context, catalogue.Tx) error) error {
	if d.away {
		d.tries++
		err := coffer.Errorf(coffer.CodeDatabaseUnavailable, "the catalogue's database does not answer")
		err.Transient = true
		return err
	}
	return d.Database.Update(ctx, do)
}

func TestADatabaseThatWasAwayDelaysNothingFurther(t *testing.T) {
	w := newWorld(t)
	database := &awayDatabase{Database: w.Database}
	w.jobs.Keeper.DB = database
	s := w.newScheduler()
	if err := s.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.Clock.Move(day(5).Sub(w.Clock.Now()))
	database.away = true
	if err := s.Look(t.Context()); coffer.CodeOf(err) != coffer.CodeDatabaseUnavailable {
		t.Errorf("a look while the database is away: %v", err)
	}
	database.away = false
	w.Clock.Move(time.Second)
	if err := s.Look(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names := w.scheduled(); len(names) != 1 {
		t.Errorf("a second after it is back: %v", names)
	}
}

func TestADeletionThatHangsKeepsNoOtherWaiting(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.days(5, 27)
	w.Clock.Move(40 * 24 * time.Hour)
	w.expire()
	owed := len(w.owed())
	w.look()
	hanging := w.cluster.Names("deletebackups")
	if owed != 22 || len(hanging) != 20 {
		t.Fatalf("%d are owed, and %d were begun", owed, len(hanging))
	}
	w.cluster.OnMade(func(_, _ string) string { return `{"phase":"Completed"}` })
	w.Clock.Move(job.PickUpTime)
	for range 3 {
		w.look()
	}
	if left := w.owed(); len(left) != 20 || left[0].Failure == "" {
		t.Fatalf("%d are owed behind those that hang: %q", len(left), left[0].Failure)
	}
	if got := w.cluster.Names("deletebackups"); !slices.Equal(got, hanging) {
		t.Errorf("those that hang go on: %v, want %v", got, hanging)
	}
	for _, name := range hanging {
		w.cluster.SetStatus("deletebackups", name, `{"phase":"Completed"}`)
	}
	w.Clock.Move(time.Hour)
	w.look()
	if left := w.owed(); len(left) != 0 {
		t.Errorf("%d are owed in the end", len(left))
	}
}
