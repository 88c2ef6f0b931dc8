package metadbtest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// several is as many as are written in one call: more than one statement has.
const several = 150

func testMany(t *testing.T, db catalogue.Database) {
	ids := make([]catalogue.ID, several)
	for n := range ids {
		ids[n] = vault.Child("backupInstances", fmt.Sprintf("Many-%03d", n))
	}
	mustPut(t, db, slices.Concat(ids, []catalogue.ID{vault, vault + "2"})...)
	// Twice: those that are there are replaced.
	for n := range 2 {
		jobs, slots, due := many(ids, n)
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			if err := tx.PutJob(t.Context(), jobs...); err != nil {
				return err
			}
			if err := tx.AddSlot(t.Context(), slots...); err != nil {
				return err
			}
			return tx.PutDue(t.Context(), due...)
		})
		asked := make([]catalogue.ID, several)
		for n, id := range ids {
			asked[several-1-n] = catalogue.ID(strings.ToUpper(string(id)))
		}
		mustView(t, db, func(v catalogue.View) error {
			got, err := v.OpenJobs(t.Context(), catalogue.OpenJobQuery{Instances: asked, Limit: 1000})
			mustMatch(t, "jobs", jobs, got)
			if err != nil {
				return err
			}
			dues, err := v.DueOf(t.Context(), asked...)
			mustMatch(t, "what is due", due, dues)
			if err != nil {
				return err
			}
			found, err := v.Resources(t.Context(), catalogue.ResourceQuery{Among: asked, Limit: 1000})
			mustMatch(t, "resources", ids, resourceIDs(found))
			for _, slot := range slots {
				got, err := v.Slots(t.Context(), catalogue.SlotQuery{Instance: slot.Instance, Limit: 1})
				mustMatch(t, "a slot", []catalogue.Slot{slot}, got)
				if err != nil {
					return err
				}
			}
			return err
		})
	}
}

// many are a job, a slot and what is due of each instance, some seconds later.
func many(ids []catalogue.ID, later int) (jobs []catalogue.Job, slots []catalogue.Slot, due []catalogue.Due) {
	for n, id := range ids {
		in := vault
		if n%2 == 1 {
			in = vault + "2"
		}
		jobs = append(jobs, catalogue.Job{
			Vault: in, Name: fmt.Sprint("j", n), Instance: id, Status: "InProgress", Operation: "Backup", Started: at(n + later), Cluster: cluster,
			Body: json.RawMessage(fmt.Sprintf(`{"n":%d,"time":%d}`, n, later)), Work: json.RawMessage(fmt.Sprintf(`{"w":%d}`, n)),
		})
		slots = append(slots, catalogue.Slot{Instance: id, At: at(later), Outcome: catalogue.SlotBegun, Job: fmt.Sprint("j", n), Noted: at(n)})
		due = append(due, catalogue.Due{Instance: id, At: at(n + later), Slot: at(n), Schedule: fmt.Sprint("of ", n), Policy: fmt.Sprint("by ", later)})
	}
	return jobs, slots, due
}

// testDeletePoints deletes many of several instances, by names that others have as well, and some that are not there.
func testDeletePoints(t *testing.T, db catalogue.Database) {
	in := []catalogue.ID{instance(1), instance(2), instance(3)}
	mustPut(t, db, in...)
	name := func(n int) string { return fmt.Sprintf("p%03d", n) }
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for n := range several {
			for _, id := range in {
				if err := tx.PutPoint(t.Context(), catalogue.Point{Instance: id, Name: name(n), Time: at(n)}); err != nil {
					return err
				}
			}
		}
		return nil
	})
	some := []catalogue.PointID{
		{Instance: instance(1), Name: "none"}, {Instance: instance(9), Name: name(0)}, {}, {Instance: instance(1), Name: "a\x00"},
		{Instance: instance(1), Name: strings.ToUpper(name(0))},
	}
	left := map[catalogue.ID][]string{}
	for n := several - 1; n >= 0; n-- {
		for i, id := range in {
			if i == n%4 {
				some = append(some, catalogue.PointID{Instance: catalogue.ID(strings.ToUpper(string(id))), Name: name(n)})
			} else {
				left[id] = append(left[id], name(n))
			}
		}
	}
	for _, want := range []int{len(some) - 5, 0} {
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			deleted, err := tx.DeletePoints(t.Context(), some...)
			mustMatch(t, "how many were deleted", want, deleted)
			return err
		})
		for _, id := range in {
			mustMatch(t, "what is left of "+id.Name(), left[id], pointNames(t, db, catalogue.PointQuery{Instance: id, Limit: 1000}))
		}
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		_, err := tx.DeletePoints(t.Context())
		return err
	})
}

func resourceIDs(found []catalogue.Resource) (ids []catalogue.ID) {
	for _, r := range found {
		ids = append(ids, r.ID)
	}
	return ids
}

// testOneOfMany writes many, one of which cannot be: that is an error, and its code is of that one.
func testOneOfMany(t *testing.T, db catalogue.Database) {
	ids := []catalogue.ID{instance(0), instance(1), instance(2)}
	mustPut(t, db, vault, ids[0], ids[1])
	jobs, slots, due := many(ids, 0)
	jobs[2].Vault = vault + "3"
	for what, put := range map[string]func(tx catalogue.Tx) error{
		"jobs":  func(tx catalogue.Tx) error { return tx.PutJob(t.Context(), jobs[0], jobs[2]) },
		"slots": func(tx catalogue.Tx) error { return tx.AddSlot(t.Context(), slots...) },
		"due":   func(tx catalogue.Tx) error { return tx.PutDue(t.Context(), due...) },
	} {
		if err := update(t.Context(), db, put); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
			t.Errorf("%s of what is not there: %v", what, err)
		}
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.AddSlot(t.Context(), slots[1]) })
	err := update(t.Context(), db, func(tx catalogue.Tx) error { return tx.AddSlot(t.Context(), slots[:2]...) })
	mustBe(t, coffer.CodePreconditionFailed, err)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		// What goes within a transaction is not there for what follows.
		if err := tx.PutDue(t.Context(), due[0]); err != nil {
			return err
		}
		if err := tx.DeleteResource(t.Context(), ids[0], catalogue.Condition{}); err != nil {
			return err
		}
		mustBe(t, coffer.CodeResourceNotFound, tx.PutDue(t.Context(), due[0]))
		if _, err := tx.MoveResource(t.Context(), ids[1], ids[2], catalogue.Condition{}); err != nil {
			return err
		}
		mustBe(t, coffer.CodeResourceNotFound, tx.PutDue(t.Context(), due[1]))
		if err := tx.PutDue(t.Context(), due[2]); err != nil {
			return err
		}
		return errors.Join(tx.PutDue(t.Context()), tx.AddSlot(t.Context()), tx.PutJob(t.Context()))
	})
	mustView(t, db, func(v catalogue.View) error {
		got, err := v.DueOf(t.Context(), ids...)
		mustMatch(t, "what is due", due[2:], got)
		return err
	})
}

// testTurns has many read and write the same rows, which would get in each other's way.
func testTurns(t *testing.T, db catalogue.Database) {
	const writers, times = 6, 10
	ids := make([]catalogue.ID, several)
	for n := range ids {
		ids[n] = instance(n)
	}
	mustPut(t, db, ids...)
	_, _, due := many(ids, 0)
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.PutDue(t.Context(), due...) })
	var runs atomic.Int32
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range times {
				err := update(t.Context(), db, func(tx catalogue.Tx) error {
					runs.Add(1)
					if err := tx.Turn(t.Context()); err != nil {
						return err
					}
					was, err := tx.DueOf(t.Context(), ids...)
					for i := range was {
						was[i].At = was[i].At.Add(time.Second)
					}
					return errors.Join(err, tx.PutDue(t.Context(), was...))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if n := runs.Load(); n != writers*times {
		t.Errorf("%d updates were run %d times", writers*times, n)
	}
	for i := range due {
		due[i].At = due[i].At.Add(writers * times * time.Second)
	}
	slices.SortFunc(due, func(a, b catalogue.Due) int { return cmp.Compare(a.Instance.Key(), b.Instance.Key()) })
	mustView(t, db, func(v catalogue.View) error {
		got, err := v.DueOf(t.Context(), ids...)
		mustMatch(t, "what is due", due, got)
		return err
	})
}

func testOpenJobsOfInstances(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	open := []catalogue.Job{
		{Vault: vault, Name: "b", Instance: instance(1), Operation: "Backup", Started: at(1), Cluster: cluster},
		{Vault: vault, Name: "a", Instance: instance(1), Operation: "Restore", Started: at(2), Cluster: cluster + "-2"},
		{Vault: vault, Name: "c", Instance: instance(2), Operation: "Backup", Started: at(0)},
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		return tx.PutJob(t.Context(), append([]catalogue.Job{
			{Vault: vault, Name: "ended", Instance: instance(1), Operation: "Backup", Started: at(0), Ended: at(1), Cluster: cluster},
			{Vault: vault, Name: "another's", Instance: instance(3), Operation: "Backup", Started: at(0), Cluster: cluster},
		}, open...)...)
	})
	both := []catalogue.ID{instance(2), instance(1)}
	for _, tt := range []struct {
		name string
		q    catalogue.OpenJobQuery
		want []catalogue.Job
	}{
		{"of two instances", catalogue.OpenJobQuery{Instances: both, Limit: 10}, open},
		{"the first two", catalogue.OpenJobQuery{Instances: both, Limit: 2}, open[:2]},
		{"of an operation", catalogue.OpenJobQuery{Instances: both, Operations: []string{"Restore", "Plan"}, Limit: 10}, open[1:2]},
		{"of a cluster and an operation", catalogue.OpenJobQuery{Cluster: cluster + "-2", Operations: []string{"Backup"}, Limit: 10}, nil},
	} {
		mustView(t, db, func(v catalogue.View) error {
			got, err := v.OpenJobs(t.Context(), tt.q)
			mustMatch(t, tt.name, tt.want, got)
			return err
		})
	}
	mustView(t, db, func(v catalogue.View) error {
		for _, q := range []catalogue.OpenJobQuery{{}, {Cluster: cluster, Instances: both}} {
			q.Limit = 1
			if _, err := v.OpenJobs(t.Context(), q); err == nil {
				t.Errorf("%+v is answered", q)
			}
		}
		return nil
	})
}
