package runner_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/history"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/decide/schedule"
	"github.com/coffer-backup/coffer/internal/flow/lifecycle"
)

// newHistories are those of another replica, to which all fall.
func (w *world) newHistories(kept history.Histories) *lifecycle.Histories {
	return w.newSweep(kept, func(catalogue.ID) bool { return true }, func(history.Kind, int) {})
}

func (w *world) newSweep(kept history.Histories, mine func(catalogue.ID) bool, observe func(history.Kind, int)) *lifecycle.Histories {
	return lifecycle.NewHistories(lifecycle.HistoriesConfig{
		Keeper: w.jobs.Keeper, Kept: kept, Mine: mine, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now, Observe: observe,
	})
}

func (w *world) sweep(h *lifecycle.Histories) {
	w.t.Helper()
	if err := h.Look(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// jobNames are those of all jobs of the vault, in order.
func (w *world) jobNames() (names []string) {
	w.t.Helper()
	w.view(func(v catalogue.View) error {
		found, err := v.Jobs(w.t.Context(), catalogue.JobQuery{Vault: vaultID, Limit: 1000})
		for _, j := range found {
			names = append(names, j.Name)
		}
		return err
	})
	slices.Sort(names)
	return names
}

func (w *world) mustHaveJobs(what string, want ...string) {
	w.t.Helper()
	slices.Sort(want)
	if got := w.jobNames(); !slices.Equal(got, want) {
		w.t.Errorf("%s: there are %v, want %v", what, got, want)
	}
}

const oneDay = 24 * time.Hour

func TestEndedJobsAreDeletedOnceNobodyNeedsThem(t *testing.T) {
	w := newWorld(t)
	first := w.backedUp()
	w.Clock.Move(time.Hour)
	second := w.backedUp()
	restore := func(cancelled bool) string {
		name := w.begin(w.jobs.BeginRestore, restoreRequest(second, clusterID))
		w.look()
		if cancelled {
			w.cluster.SetStatus("restores", name, `{"phase":"Failed","message":"no","completionTime":"2026-05-04T14:00:00Z"}`)
			w.look()
		}
		return name
	}
	old, last, open := restore(true), restore(true), restore(false)
	h := w.newHistories(history.Defaults())
	w.Clock.Move(179 * oneDay)
	w.sweep(h)
	w.mustHaveJobs("before their time", first, second, old, last, open)
	w.Clock.Move(2 * oneDay)
	w.sweep(h)
	w.mustHaveJobs("after their time", first, second, last, open)

	// A recovery point goes, and the job of the last backup stays without it.
	for _, name := range []string{first, second} {
		w.update(func(ctx context.Context, tx catalogue.Tx) error { return tx.DeletePoint(ctx, instanceID, name) })
	}
	w.sweep(h)
	w.mustHaveJobs("jobs are looked at once a day", first, second, last, open)
	w.Clock.Move(oneDay)
	w.sweep(h)
	w.mustHaveJobs("after their recovery points", second, last, open)

	// One that has not ended stays whatever becomes of its instance.
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		return tx.DeleteResource(ctx, instanceID, catalogue.Condition{})
	})
	w.sweep(w.newHistories(history.Defaults()))
	w.mustHaveJobs("after their instance", open)
}

func TestJobsOfADeletedInstanceAreKeptAsLongAsItCanBeHadAgain(t *testing.T) {
	w := newWorld(t)
	points := w.softDeleted("AlwaysOn")
	w.Clock.Move(400 * oneDay)
	w.sweep(w.newHistories(history.Defaults()))
	w.mustHaveJobs("of a deleted instance", points...)
	if _, err := w.jobs.Purge(t.Context(), w.by, deletedID, true); err != nil {
		t.Fatal(err)
	}
	w.sweep(w.newHistories(history.Defaults()))
	w.mustHaveJobs("of one that is gone")
}

func TestATieringJobIsKeptAsLongAsItsRecoveryPoint(t *testing.T) {
	w := newWorld(t)
	point := w.backedUp()
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		for n := range 3 {
			j := catalogue.Job{
				Vault: vaultID, Name: fmt.Sprint("copy", n), Instance: instanceID, Operation: string(job.TierData), Status: "Completed", Started: w.Clock.Now(),
				Ended: w.Clock.Now().Add(time.Duration(n) * time.Minute), Point: point,
			}
			if n == 1 {
				j.Point = "gone"
			}
			if err := tx.PutJob(ctx, j); err != nil {
				return err
			}
		}
		return nil
	})
	w.Clock.Move(200 * oneDay)
	w.sweep(w.newHistories(history.Defaults()))
	w.mustHaveJobs("of copies", point, "copy0", "copy2")
}

func TestTheAuditLogIsKeptForTwoYearsOrAsLongAsSomebodySays(t *testing.T) {
	w := newWorld(t)
	begun := w.Clock.Now()
	count := func() int { return len(w.entries()) }
	all := count()
	if all < 3 {
		t.Fatalf("there are %d entries", all)
	}
	forever, err := history.Parse([]string{"audit-log=0"})
	if err != nil {
		t.Fatal(err)
	}
	w.Clock.Move(begun.AddDate(2, 0, 0).Sub(w.Clock.Now()))
	if w.sweep(w.newHistories(history.Defaults())); count() != all {
		t.Errorf("after two years, %d entries of %d are there", count(), all)
	}
	w.Clock.Move(time.Hour)
	if w.sweep(w.newHistories(forever)); count() != all {
		t.Errorf("of those that are kept for ever, %d of %d are there", count(), all)
	}
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		return tx.AppendAudit(ctx, catalogue.AuditEntry{Time: begun.Add(2 * time.Hour), Action: "young"})
	})
	w.sweep(w.newHistories(history.Defaults()))
	if left := w.entries(); len(left) != 1 || left[0].Action != "young" {
		t.Errorf("after more than two years, there are %+v", left)
	}
}

func (w *world) entries() (found []catalogue.AuditEntry) {
	w.t.Helper()
	found, err := w.jobs.Keeper.Audit(w.t.Context(), catalogue.AuditQuery{Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// TestManyReplicasDeleteEachOnce has more than one batch of everything, and replicas that all take everything for theirs.
func TestManyReplicasDeleteEachOnce(t *testing.T) {
	const each = 1300
	w := newWorld(t)
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		begun := w.Clock.Now()
		for n := range each {
			at := begun.Add(time.Duration(n) * time.Second)
			j := catalogue.Job{Vault: vaultID, Name: fmt.Sprintf("j%04d", n), Instance: instanceID, Operation: "Restore", Started: begun, Ended: at}
			if err := tx.PutJob(ctx, j); err != nil {
				return err
			}
			if err := tx.PutOperation(ctx, catalogue.Operation{ID: j.Name, Started: at, Ended: at}); err != nil {
				return err
			}
			if err := tx.AppendAudit(ctx, catalogue.AuditEntry{Time: at, Target: instanceID, Action: "many"}); err != nil {
				return err
			}
			if err := tx.AddSlot(ctx, catalogue.Slot{Instance: instanceID, At: at, Outcome: catalogue.SlotMissed, Noted: at}); err != nil {
				return err
			}
		}
		return nil
	})
	w.Clock.Move(3 * 366 * oneDay)
	var counts sync.Map
	observe := func(kind history.Kind, n int) {
		count, _ := counts.LoadOrStore(kind, new(atomic.Int64))
		count.(*atomic.Int64).Add(int64(n))
	}
	var all sync.WaitGroup
	for range 4 {
		h := w.newSweep(history.Defaults(), func(catalogue.ID) bool { return true }, observe)
		all.Go(func() {
			if err := h.Look(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	w.mustHaveJobs("the last one stays", fmt.Sprintf("j%04d", each-1))
	if left := w.entries(); len(left) != 0 {
		t.Errorf("%d entries are there", len(left))
	}
	for kind, want := range map[history.Kind]int64{history.Jobs: each - 1, history.Slots: each} {
		if count, _ := counts.Load(kind); count == nil || count.(*atomic.Int64).Load() != want {
			t.Errorf("%s: %v were counted as deleted, want %d", kind, count, want)
		}
	}
	// Of the others there are some that the world has made itself.
	for _, kind := range []history.Kind{history.AuditLog, history.Operations} {
		if count, _ := counts.Load(kind); count == nil || count.(*atomic.Int64).Load() < each || count.(*atomic.Int64).Load() > each+100 {
			t.Errorf("%s: %v were counted as deleted, want %d and a few", kind, count, each)
		}
	}
}

func TestAHistoryFallsToOneReplica(t *testing.T) {
	w := newWorld(t)
	var asked []string
	none := w.newSweep(history.Defaults(), func(id catalogue.ID) bool { asked = append(asked, id.Name()); return false }, func(kind history.Kind, _ int) { t.Errorf("%s was swept", kind) })
	w.Clock.Move(3000 * oneDay)
	before := len(w.entries())
	w.sweep(none)
	if len(w.entries()) != before || strings.Join(asked, " ") != "audit-log jobs operations slots alerts meter" {
		t.Errorf("of %d entries %d are there; asked was whose %v are", before, len(w.entries()), asked)
	}
	some := history.Histories{history.Operations: schedule.Period{Days: 7}}
	asked = nil
	w.sweep(w.newSweep(some, func(id catalogue.ID) bool { asked = append(asked, id.Name()); return true }, func(history.Kind, int) {}))
	if len(w.entries()) != before || strings.Join(asked, " ") != "operations" {
		t.Errorf("of %d entries %d are there; asked was whose %v are", before, len(w.entries()), asked)
	}
}
