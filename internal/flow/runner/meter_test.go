package runner_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/lifecycle"
)

// newMeter is the lifecycle of another replica, to which some fall.
func (w *world) newMeter(mine func(catalogue.ID) bool) *lifecycle.Lifecycle {
	return lifecycle.New(lifecycle.Config{Jobs: w.jobs, Mine: mine, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
}

// measure moves the clock to an hour of a day of May, and has replicas look.
func (w *world) measure(day, hour int, replicas ...*lifecycle.Lifecycle) {
	w.t.Helper()
	w.Clock.Move(time.Date(2026, 5, day, hour, 0, 0, 0, time.UTC).Sub(w.Clock.Now()))
	for _, r := range replicas {
		if err := r.Meter(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
}

// metered is what was measured, in words, in pages of a size.
func (w *world) metered(limit int) string {
	w.t.Helper()
	var words []string
	for q := (catalogue.ReadingQuery{Vault: vaultID, Limit: limit}); ; {
		page, err := w.jobs.Keeper.Readings(w.t.Context(), q)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range page.Readings {
			words = append(words, fmt.Sprintf("%d %s %d/%d/%d/%d", r.Day.Day(), r.Instance.Name(), r.Namespaces, r.Points, r.SnapshotBytes, r.ArchiveBytes))
			if r.VaultBytes != 0 || r.Redundancy != "LocallyRedundant" {
				w.t.Errorf("the vault tier of %s: %d %q", r.Day, r.VaultBytes, r.Redundancy)
			}
		}
		for _, gap := range page.Gaps {
			words = append(words, fmt.Sprintf("gap %d-%d", gap.From.Day(), gap.To.Day()))
		}
		if page.More == nil {
			return strings.Join(words, ", ")
		}
		q.After = page.More
	}
}

// measurable makes a recovery point of two namespaces whose snapshots have 1,000 bytes, and whose archive has 100.
func (w *world) measurable() {
	w.t.Helper()
	name := w.begin(w.jobs.BeginBackup, backupRequest)
	w.look()
	w.cluster.SetStatus("backups", name, strings.Replace(completed, `"volumesReady":1`, `"volumesReady":1,"snapshotBytes":1000,"namespaces":2`, 1))
	w.look()
	if got := w.job(name); got.Status != job.Completed {
		w.t.Fatalf("the backup is %s", got.Status)
	}
}

func TestWhatAVaultTakesUpIsMeasuredEachDay(t *testing.T) {
	w := newWorld(t)
	one, other := w.newMeter(everything), w.newMeter(everything)
	w.measure(4, 13, one, other)
	w.measurable()
	w.measurable()
	// It was measured on that day already, and so it stays.
	w.measure(4, 14, one, other, w.newMeter(everything))
	w.measure(5, 0, one, other)
	w.measurable()
	w.measure(5, 1, w.newMeter(everything))
	// Nobody looked for two days: nothing is made up.
	w.measure(8, 9, other)
	want := "4 one 1/0/0/0, 5 one 2/2/2000/200, 8 one 2/3/3000/300, gap 6-7"
	if got := w.metered(100); got != want {
		t.Errorf("measured: %s\nwant      %s", got, want)
	}
	if got := w.metered(1); strings.Count(got, "gap 6-7") != 1 || strings.Count(got, " one ") != 3 {
		t.Errorf("in pages of one: %s", got)
	}
	w.measure(9, 9)
	if got := w.metered(100); got != want {
		t.Errorf("on a day that may still be measured: %s", got)
	}
}

func TestStoppedAndDeletedInstancesAreMeasuredAsLongAsTheyTakeUpRoom(t *testing.T) {
	w := newWorld(t)
	w.putVault("On", "Disabled")
	w.measurable()
	meter := w.newMeter(everything)
	w.measure(4, 13, meter)
	if removal, err := w.remove(false); err != nil || removal.Underway {
		t.Fatalf("deleted: %+v, %v", removal, err)
	}
	// Under the name that it had.
	w.measure(5, 1, meter)
	if _, err := w.jobs.Purge(t.Context(), w.by, deletedID, true); err != nil {
		t.Fatal(err)
	}
	w.measure(6, 1, meter)
	// A vault without instances has no gap.
	if got, want := w.metered(100), "4 one 2/1/1000/100, 5 one 2/1/1000/100"; got != want {
		t.Errorf("measured: %s, want %s", got, want)
	}
}

func TestAVaultIsMeasuredByTheReplicaThatItFallsTo(t *testing.T) {
	w := newWorld(t)
	mine := false
	meter := w.newMeter(func(catalogue.ID) bool { return mine })
	w.measure(4, 13, meter)
	if got := w.metered(100); got != "" {
		t.Errorf("measured by another replica: %s", got)
	}
	// The other one is dead.
	mine = true
	w.measure(4, 14, meter)
	if got, want := w.metered(100), "4 one 1/0/0/0"; got != want {
		t.Errorf("measured: %s, want %s", got, want)
	}
}

func TestAMeasurementThatDiedIsDoneAnew(t *testing.T) {
	w := newWorld(t)
	w.measurable()
	// It had written the instance, and not that it was the last one.
	today := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		return tx.PutReading(ctx, catalogue.Reading{Vault: vaultID, Instance: instanceID, Day: today, Redundancy: "LocallyRedundant"})
	})
	w.measure(4, 13, w.newMeter(everything))
	w.measure(4, 14, w.newMeter(everything))
	if got, want := w.metered(100), "4 one 2/1/1000/100"; got != want {
		t.Errorf("measured: %s, want %s", got, want)
	}
}
