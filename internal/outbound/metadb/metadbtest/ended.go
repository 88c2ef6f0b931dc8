package metadbtest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

func endedJobs(t *testing.T, db catalogue.Database, before time.Time, limit int) (found []catalogue.EndedJob) {
	t.Helper()
	mustView(t, db, func(v catalogue.View) error {
		found = pages(t, limit, func(after *catalogue.EndedJob) ([]catalogue.EndedJob, error) {
			return v.EndedJobs(t.Context(), catalogue.EndedJobQuery{Before: before, After: after, Limit: limit})
		}, func(j catalogue.EndedJob) catalogue.EndedJob { return j })
		return nil
	})
	return found
}

// neededOf says of jobs, in their order, whether they are needed.
func neededOf(jobs []catalogue.EndedJob) []string {
	return names(jobs, func(j catalogue.EndedJob) string { return fmt.Sprint(j.Name, " ", j.Needed) })
}

func testEndedJobs(t *testing.T, db catalogue.Database) {
	deleted := vault.Child("deletedBackupInstances", "I2")
	mustPut(t, db, vault, vault+"2", instance(1), instance(2), instance(3))
	job := func(name string, of catalogue.ID, operation string, ended int) catalogue.Job {
		j := catalogue.Job{Vault: vault, Name: name, Instance: of, Operation: operation, Started: at(0)}
		if ended > 0 {
			j.Ended = at(ended)
		}
		return j
	}
	copied := job("copied", instance(1), "Tiering", 6)
	copied.Point = "point1"
	shouted := job("shouted", catalogue.ID(strings.ToUpper(string(instance(3)))), "Restore", 7)
	others := job("first", (vault+"2").Child("backupInstances", "i1"), "Restore", 1)
	others.Vault = vault + "2"
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, p := range []catalogue.Point{{Instance: instance(1), Name: "point1"}, {Instance: instance(2), Name: "point2"}} {
			p.Time = at(0)
			if err := tx.PutPoint(t.Context(), p); err != nil {
				return err
			}
		}
		return tx.PutJob(
			t.Context(), job("first", instance(1), "Restore", 1), others, job("second", instance(1), "Restore", 2), job("last", instance(1), "Restore", 3), job("open", instance(1), "Restore", 0),
			job("point1", instance(1), "Backup", 4), job("backup", instance(1), "Backup", 5), copied, job("copied2", instance(1), "Tiering", 8),
			shouted, job("point2", instance(2), "Backup", 8), job("younger", instance(2), "Backup", 9), job("gone", instance(9), "Backup", 9), job("nobody's", "", "Backup", 10),
			job("at the end", instance(1), "Verify", 11), job("after it", instance(1), "Verify", 12),
		)
	})
	if _, err := move(t, db, instance(2), deleted, catalogue.Condition{}); err != nil {
		t.Fatal(err)
	}
	// What ends at the very time is not before it.
	want := []string{
		"first false", "first false", "second false", "last true", "point1 true", "backup true", "copied true", "shouted true", "copied2 true", "point2 true", "gone false",
		"younger true", "nobody's false",
	}
	for _, limit := range []int{1, 3, 13, 100} {
		mustMatch(t, fmt.Sprintf("%d at a time", limit), want, neededOf(endedJobs(t, db, at(11), limit)))
	}
	// The recovery points go, and one of the instances for good.
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		if err := tx.DeletePoint(t.Context(), instance(1), "point1"); err != nil {
			return err
		}
		return tx.DeleteResource(t.Context(), deleted, catalogue.Condition{})
	})
	want = []string{
		"first false", "first false", "second false", "last true", "point1 false", "backup true", "copied false", "shouted true", "copied2 true", "point2 false", "gone false",
		"younger false", "nobody's false",
	}
	found := endedJobs(t, db, at(11), 100)
	mustMatch(t, "once they are gone", want, neededOf(found))

	before := found[0]
	drop := func(some ...catalogue.EndedJob) (n int) {
		mustUpdate(t, db, func(tx catalogue.Tx) (err error) {
			n, err = tx.DeleteJobs(t.Context(), some...)
			return err
		})
		return n
	}
	if n := drop(found[0], found[2], catalogue.EndedJob{Vault: vault, Name: "open"}, catalogue.EndedJob{Vault: vault, Name: "none"}, catalogue.EndedJob{Vault: vault + "3", Name: "last"},
		catalogue.EndedJob{Vault: vault, Name: "\x00"}); n != 2 {
		t.Errorf("%d were deleted, want 2", n)
	}
	if n := drop(found[0], found[2]); n != 0 {
		t.Errorf("%d were deleted once more", n)
	}
	rest := endedJobs(t, db, at(11), 2)
	mustMatch(t, "the others", neededOf(append(found[1:2:2], found[3:]...)), neededOf(rest))
	if rest[0].Vault.Is(before.Vault) {
		t.Errorf("the job of %s is gone, and that of %s is there", vault+"2", rest[0].Vault)
	}
	mustView(t, db, func(v catalogue.View) error {
		_, err := v.Job(t.Context(), vault, "open")
		// A page goes on after a job that is gone, and after one whose vault is.
		for _, last := range []catalogue.EndedJob{found[2], {Vault: vault + "3", Name: "x", Ended: at(3)}} {
			next, err := v.EndedJobs(t.Context(), catalogue.EndedJobQuery{Before: at(11), After: &last, Limit: 1})
			if err != nil || len(next) != 1 || next[0].Name != "last" {
				t.Errorf("after %+v comes %+v: %v", last, next, err)
			}
		}
		return err
	})
}

// testNeededJobs compares with the plainest way to say it, on a random lot of jobs.
func testNeededJobs(t *testing.T, db catalogue.Database) {
	random := rand.New(rand.NewPCG(5, 0)) //nolint:gosec // the same jobs each time
	mustPut(t, db, vault, instance(0), instance(1))
	var all []catalogue.Job
	points := map[string]bool{}
	for n := range 120 {
		j := catalogue.Job{
			Vault: vault, Name: fmt.Sprintf("j%03d", n), Instance: instance(random.IntN(3)), Operation: []string{"Backup", "Restore", "Tiering"}[random.IntN(3)], Started: at(0),
			Ended: at(1 + random.IntN(6)),
		}
		if random.IntN(8) == 0 {
			j.Ended = time.Time{}
		}
		if random.IntN(4) == 0 {
			j.Point = fmt.Sprintf("j%03d", random.IntN(120))
		}
		all = append(all, j)
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for range 25 {
			p := catalogue.Point{Instance: instance(random.IntN(2)), Name: fmt.Sprintf("j%03d", random.IntN(120)), Time: at(0)}
			points[p.Instance.Key()+p.Name] = true
			if err := tx.PutPoint(t.Context(), p); err != nil {
				return err
			}
		}
		return tx.PutJob(t.Context(), all...)
	})
	var want []catalogue.EndedJob
	for _, j := range all {
		if j.Ended.IsZero() || !j.Ended.Before(at(5)) {
			continue
		}
		needed := !j.Instance.Is(instance(2)) && !slices.ContainsFunc(all, func(o catalogue.Job) bool {
			return o.Instance == j.Instance && o.Operation == j.Operation && (o.Ended.After(j.Ended) || o.Ended.Equal(j.Ended) && o.Name > j.Name)
		})
		needed = needed || points[j.Instance.Key()+j.Name] || j.Point != "" && points[j.Instance.Key()+j.Point]
		want = append(want, catalogue.EndedJob{Vault: vault, Name: j.Name, Ended: j.Ended, Needed: needed})
	}
	slices.SortFunc(want, func(a, b catalogue.EndedJob) int {
		if c := a.Ended.Compare(b.Ended); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	mustMatch(t, "jobs", want, endedJobs(t, db, at(5), 7))
}

func testOldAudit(t *testing.T, db catalogue.Database) {
	var all []catalogue.AuditEntry
	for n := range 13 {
		// Clocks differ: the order of writing is another than that of times.
		all = append(all, newEntry((n*5)%13, instance(n)))
	}
	mustAppend(t, db, all...)
	drop := func(before, limit int) (n int) {
		mustUpdate(t, db, func(tx catalogue.Tx) (err error) {
			n, err = tx.DeleteAudit(t.Context(), at(before), limit)
			return err
		})
		return n
	}
	for i, want := range []int{0, 2, 2, 1, 0} {
		before := 5
		if i == 0 {
			before = 0
		}
		if n := drop(before, 2); n != want {
			t.Errorf("%d were deleted, want %d", n, want)
		}
	}
	// A time that goes back changes nothing.
	if n := drop(3, 10); n != 0 {
		t.Errorf("%d were deleted", n)
	}
	all = slices.DeleteFunc(all, func(e catalogue.AuditEntry) bool { return e.Time.Before(at(5)) })
	slices.Reverse(all)
	for _, q := range []catalogue.AuditQuery{{}, {Under: vault}, {Under: instance(1)}, {Principal: "p1"}} {
		var want []string
		for _, e := range all {
			if e.Target.Within(q.Under) && (q.Principal == "" || e.Principal == q.Principal) {
				want = append(want, e.Request)
			}
		}
		q.Limit = 3
		mustMatch(t, fmt.Sprintf("%+v", q), want, names(audit(t, db, q), func(e catalogue.AuditEntry) string { return e.Request }))
	}
	// Sequences go on: none is given twice.
	last := audit(t, db, catalogue.AuditQuery{Limit: 100})[0].Sequence
	if n := drop(99, 100); n != len(all) {
		t.Errorf("%d were deleted, want %d", n, len(all))
	}
	mustAppend(t, db, newEntry(1, vault))
	if got := audit(t, db, catalogue.AuditQuery{Limit: 100}); len(got) != 1 || got[0].Sequence <= last {
		t.Errorf("after sequence %d come %+v", last, got)
	}
}
