package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/flow/runner"
)

// manyInstances makes more instances like the one that there is, and answers their ids.
func (w *world) manyInstances(n int) (ids []catalogue.ID) {
	w.t.Helper()
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, instanceID)
		if err != nil {
			return err
		}
		var due []catalogue.Due
		for i := range n {
			r.ID = vaultID.Child("backupInstances", fmt.Sprintf("many-%03d", i))
			if _, err := tx.PutResource(ctx, r, catalogue.Condition{}); err != nil {
				return err
			}
			ids, due = append(ids, r.ID), append(due, catalogue.Due{Instance: r.ID, At: w.Clock.Now()})
		}
		return tx.PutDue(ctx, due...)
	})
	return ids
}

// outcome is what became of the only slot of an instance.
func (w *world) outcome(id catalogue.ID) (outcome catalogue.SlotOutcome) {
	w.t.Helper()
	w.view(func(v catalogue.View) error {
		found, err := v.Slots(w.t.Context(), catalogue.SlotQuery{Instance: id, Limit: 2})
		if len(found) == 1 {
			outcome = found[0].Outcome
		}
		return err
	})
	return outcome
}

// askedDatabase counts what is asked within updates.
type askedDatabase struct {
	catalogue.Database
	updates, reads, writes int
}

func (d *askedDatabase) Update(ctx context.Context, do func(context.Context, catalogue.Tx) error) error {
	d.updates++
	return d.Database.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return do(ctx, askedTx{tx, d}) })
}

type askedTx struct {
	catalogue.Tx
	d *askedDatabase
}

func (t askedTx) Resource(ctx context.Context, id catalogue.ID) (catalogue.Resource, error) {
	t.d.reads++
	return t.Tx.Resource(ctx, id)
}

func (t askedTx) Resources(ctx context.Context, q catalogue.ResourceQuery) ([]catalogue.Resource, error) {
	t.d.reads++
	return t.Tx.Resources(ctx, q)
}

func (t askedTx) Points(ctx context.Context, q catalogue.PointQuery) ([]catalogue.Point, error) {
	t.d.reads++
	return t.Tx.Points(ctx, q)
}

func (t askedTx) Jobs(ctx context.Context, q catalogue.JobQuery) ([]catalogue.Job, error) {
	t.d.reads++
	return t.Tx.Jobs(ctx, q)
}

func (t askedTx) PutJob(ctx context.Context, some ...catalogue.Job) error {
	t.d.writes++
	return t.Tx.PutJob(ctx, some...)
}

func (t askedTx) AddSlot(ctx context.Context, some ...catalogue.Slot) error {
	t.d.writes++
	return t.Tx.AddSlot(ctx, some...)
}

func (t askedTx) PutDue(ctx context.Context, some ...catalogue.Due) error {
	t.d.writes++
	return t.Tx.PutDue(ctx, some...)
}

func TestManyBackupsBeginWithFewStatements(t *testing.T) {
	w := newWorld(t)
	ids := w.manyInstances(250)
	w.until(w.Clock.Now())
	asked := &askedDatabase{Database: w.Database}
	w.jobs.Keeper.DB = asked
	w.until(day(5))
	for _, id := range ids {
		if got := w.outcome(id); got != catalogue.SlotBegun {
			t.Fatalf("the slot of %s is %q", id.Name(), got)
		}
	}
	if asked.updates > 4 || asked.reads > 20 || asked.writes > 12 {
		t.Errorf("251 backups begin with %d updates, %d reads and %d writes", asked.updates, asked.reads, asked.writes)
	}
	open := 0
	w.view(func(v catalogue.View) error {
		found, err := v.OpenJobs(t.Context(), catalogue.OpenJobQuery{Cluster: clusterID, Limit: 1000})
		open = len(found)
		return err
	})
	if open != 251 {
		t.Errorf("%d jobs have begun", open)
	}
}

// TestWhatIsAmissOfOneKeepsNoOtherWaiting has among many instances one of each kind that does not begin as the others do.
func TestWhatIsAmissOfOneKeepsNoOtherWaiting(t *testing.T) {
	w := newWorld(t)
	ids := w.manyInstances(30)
	w.until(w.Clock.Now())
	unreadable, dealtWith, underway, nowhere := ids[3], ids[11], ids[17], ids[23]
	w.change(unreadable, func(r *catalogue.Resource) { r.Body = json.RawMessage(`{"properties":{}}`) })
	w.change(nowhere, func(r *catalogue.Resource) {
		r.Body = json.RawMessage(strings.ReplaceAll(string(r.Body), "aks1", "aks9"))
	})
	if _, err := w.jobs.BeginBackup(t.Context(), w.by, underway, []byte(backupRequest)); err != nil {
		t.Fatal(err)
	}
	slot := day(5).Add(-time.Minute)
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		return tx.AddSlot(ctx, catalogue.Slot{Instance: dealtWith, At: slot, Outcome: catalogue.SlotOverrun, Noted: slot})
	})
	w.until(day(5))
	want := map[catalogue.ID]catalogue.SlotOutcome{
		unreadable: "", dealtWith: catalogue.SlotOverrun, underway: catalogue.SlotMissed, nowhere: catalogue.SlotMissed,
	}
	for _, id := range append(ids, instanceID) {
		expected, amiss := want[id]
		if !amiss {
			expected = catalogue.SlotBegun
		}
		if got := w.outcome(id); got != expected {
			t.Errorf("the slot of %s is %q, want %q", id.Name(), got, expected)
		}
	}
	if n := len(w.scheduled()); n != 27 {
		t.Errorf("%d backups have begun", n)
	}
	// All but the one that cannot be read are looked at again at the next slot.
	w.view(func(v catalogue.View) error {
		due, err := v.Due(t.Context(), catalogue.DueQuery{Until: day(5), Limit: 100})
		if len(due) != 1 || due[0].Instance != unreadable {
			t.Errorf("due are still %+v", due)
		}
		return err
	})
}

// change changes a resource as it is kept.
func (w *world) change(id catalogue.ID, change func(*catalogue.Resource)) {
	w.t.Helper()
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, id)
		if err != nil {
			return err
		}
		change(&r)
		_, err = tx.PutResource(ctx, r, catalogue.Condition{})
		return err
	})
}

// waiting counts the jobs that say that they wait.
func (w *world) waiting() (n int) {
	w.t.Helper()
	for _, name := range w.scheduled() {
		if w.job(name).ExtendedInfo.AdditionalDetails["Waiting"] != "" {
			n++
		}
	}
	return n
}

func TestAllJobsOfAClusterThatIsAwaySayThatTheyWait(t *testing.T) {
	w := newWorld(t)
	w.manyInstances(30)
	w.until(w.Clock.Now())
	w.until(day(5))
	w.clusters.Set(clusterID, nil)
	asked := &askedDatabase{Database: w.Database}
	w.jobs.Keeper.DB = asked
	other := runner.New(runner.Config{Jobs: w.jobs, Mine: func(catalogue.ID) bool { return false }, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
	if err := other.Look(t.Context()); err != nil || w.waiting() != 0 {
		t.Errorf("the replica that the cluster does not fall to: %d wait, %v", w.waiting(), err)
	}
	for range 3 {
		w.look()
	}
	if n := w.waiting(); n != 31 || asked.updates != 1 {
		t.Errorf("%d of 31 jobs wait, by %d updates", n, asked.updates)
	}
	// One that begins meanwhile says so at once.
	later := w.manyInstances(31)[30]
	begun, err := w.jobs.BeginBackup(t.Context(), w.by, later, []byte(backupRequest))
	if err != nil {
		t.Fatal(err)
	}
	if got := w.job(begun.Job.Name()); got.ExtendedInfo.AdditionalDetails["Waiting"] == "" {
		t.Errorf("the job that has begun meanwhile: %+v", got.ExtendedInfo)
	}
	asked.updates = 0
	for range 8 {
		w.look()
	}
	if asked.updates != 0 {
		t.Errorf("that all wait as before is written %d times", asked.updates)
	}
	// Once it is back, all go on.
	w.clusters.Set(clusterID, w.cluster)
	w.look()
	if n := w.waiting(); n != 0 || w.cluster.Made() != 32 {
		t.Errorf("%d wait, and %d runs are made", n, w.cluster.Made())
	}
}
