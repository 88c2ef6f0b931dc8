package metadbtest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func pointCursor(p catalogue.Point) catalogue.PointCursor {
	return catalogue.PointCursor{Time: p.Time, Name: p.Name}
}

func pointNames(t *testing.T, db catalogue.Database, q catalogue.PointQuery) []string {
	t.Helper()
	var found []string
	mustView(t, db, func(v catalogue.View) error {
		all := pages(t, q.Limit, func(after *catalogue.PointCursor) ([]catalogue.Point, error) {
			q.After = after
			return v.Points(t.Context(), q)
		}, pointCursor)
		found = names(all, func(p catalogue.Point) string { return p.Name })
		return nil
	})
	return found
}

func testPointPages(t *testing.T, db catalogue.Database) {
	mustPut(t, db, instance(1), instance(2))
	var all []catalogue.Point
	for n := range 23 {
		// Several have the same time, and some differ in a microsecond only.
		all = append(all, catalogue.Point{
			Instance: instance(1), Name: fmt.Sprintf("p%02d", (n*7)%23), Time: at(n / 5).Add(time.Duration(n%2) * time.Microsecond),
			Expiry: at(100 + n), Body: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n)),
		})
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, p := range all {
			if err := tx.PutPoint(t.Context(), p); err != nil {
				return err
			}
		}
		return tx.PutPoint(t.Context(), catalogue.Point{Instance: instance(2), Name: "another's", Time: at(2)})
	})
	slices.SortFunc(all, func(a, b catalogue.Point) int {
		return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(b.Name, a.Name))
	})
	want := names(all, func(p catalogue.Point) string { return p.Name })
	for _, limit := range []int{1, 2, 3, 5, 22, 23, 24, 1000} {
		mustMatch(t, fmt.Sprintf("%d at a time", limit), want, pointNames(t, db, catalogue.PointQuery{Instance: instance(1), Limit: limit}))
	}
	mustView(t, db, func(v catalogue.View) error {
		got, err := v.Points(t.Context(), catalogue.PointQuery{Instance: instance(1), Limit: 1000})
		mustMatch(t, "all of them", all, got)
		return err
	})
}

func testTimeBounds(t *testing.T, db catalogue.Database) {
	mustPut(t, db, instance(1))
	zone := time.FixedZone("somewhere", -9*3600)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for n := range 5 {
			// What is beyond the microsecond is cut off, in any zone.
			when := at(0).Add(time.Duration(n)*time.Microsecond + 999*time.Nanosecond).In(zone)
			if err := tx.PutPoint(t.Context(), catalogue.Point{Instance: instance(1), Name: fmt.Sprint(n), Time: when}); err != nil {
				return err
			}
		}
		return nil
	})
	micro := func(n int) time.Time { return at(0).Add(time.Duration(n) * time.Microsecond).In(zone) }
	for _, c := range []struct {
		name     string
		from, to time.Time
		want     []string
	}{
		{"no bound", time.Time{}, time.Time{}, []string{"4", "3", "2", "1", "0"}},
		{"a first one", micro(3), time.Time{}, []string{"4", "3"}},
		{"a last one", time.Time{}, micro(1), []string{"1", "0"}},
		{"both", micro(1), micro(2), []string{"2", "1"}},
		{"one moment", micro(2), micro(2), []string{"2"}},
		{"nothing between", micro(3), micro(2), nil},
		{"before all", time.Time{}, micro(-1), nil},
		{"a year long ago", time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), []string{"4", "3", "2", "1", "0"}},
	} {
		q := catalogue.PointQuery{Instance: instance(1), From: c.from, To: c.to, Limit: 2}
		mustMatch(t, c.name, c.want, pointNames(t, db, q))
	}
	mustView(t, db, func(v catalogue.View) error {
		p, err := v.Point(t.Context(), instance(1), "3")
		if !p.Time.Equal(micro(3)) || p.Time.Location() != time.UTC || !p.Expiry.IsZero() {
			t.Errorf("the time is %v, want %v; the expiry %v, want none", p.Time, micro(3).UTC(), p.Expiry)
		}
		return err
	})
}

func testPointWrites(t *testing.T, db catalogue.Database) {
	mustPut(t, db, instance(1))
	p := catalogue.Point{
		Instance: instance(1), Name: "P", Time: at(1), Expiry: at(2), VaultExpiry: at(9), Copy: at(4), Good: true, Held: true, Vaulted: true, Bytes: 1 << 60, VaultBytes: 1 << 59, Body: json.RawMessage(`{"a":1}`),
	}
	for range 3 {
		mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.PutPoint(t.Context(), p) })
		mustView(t, db, func(v catalogue.View) error {
			got, err := v.Point(t.Context(), p.Instance, p.Name)
			mustMatch(t, "the recovery point", p, got)
			return err
		})
		p.Time, p.Expiry, p.VaultExpiry, p.Copy, p.Good, p.Held, p.Operational, p.Vaulted, p.Bytes, p.VaultBytes, p.Body = at(3), time.Time{}, p.Expiry, time.Time{}, false, !p.Held, p.Vaulted, p.Operational, 0, 0, json.RawMessage(`{}`)
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeletePoint(t.Context(), instance(1), "P") })
	mustMatch(t, "after it was deleted", []string{}, pointNames(t, db, catalogue.PointQuery{Instance: instance(1), Limit: 5}))
}

func testCopiesDue(t *testing.T, db catalogue.Database) {
	mustPut(t, db, instance(1), instance(2))
	var all []catalogue.Point
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for n := range 12 {
			p := catalogue.Point{Instance: instance(1 + n%2), Name: fmt.Sprintf("p%02d", n), Time: at(n), Expiry: at(9), VaultExpiry: at(90), Copy: at(20 - n), Good: true, Bytes: 3, VaultBytes: 4}
			if n%4 == 3 {
				p.Copy = time.Time{} // none is wanted
			} else {
				all = append(all, p)
			}
			p.Body = json.RawMessage(`{"a":1}`)
			if err := tx.PutPoint(t.Context(), p); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b catalogue.Point) int { return a.Copy.Compare(b.Copy) })
	due := func(until time.Time, limit int) (found []catalogue.Point) {
		mustView(t, db, func(v catalogue.View) (err error) {
			found, err = v.CopiesDue(t.Context(), until, limit)
			return err
		})
		return found
	}
	mustMatch(t, "all", all, due(at(20), 100))
	mustMatch(t, "the first three", all[:3], due(at(20), 3))
	mustMatch(t, "up to a time", all[:2], due(all[1].Copy, 100))
	mustMatch(t, "before all", 0, len(due(all[0].Copy.Add(-time.Microsecond), 100)))
	// They go with their instance wherever that goes, and with it altogether.
	moved := instance(1).Parent().Child("deletedBackupInstances", "moved")
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		if _, err := tx.MoveResource(t.Context(), instance(1), moved, catalogue.Condition{}); err != nil {
			return err
		}
		return tx.DeleteResource(t.Context(), instance(2), catalogue.Condition{})
	})
	for _, p := range due(at(20), 100) {
		mustMatch(t, "where it is", moved, p.Instance)
	}
	mustMatch(t, "those that are left", 6, len(due(at(20), 100)))
	mustView(t, db, func(v catalogue.View) error {
		if found, err := v.CopiesDue(t.Context(), at(20), 0); err == nil {
			t.Errorf("without a limit there are %d", len(found))
		}
		return nil
	})
}

func testBarePoints(t *testing.T, db catalogue.Database) {
	mustPut(t, db, instance(1))
	var all []catalogue.Point
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for n := range 5 {
			p := catalogue.Point{
				Instance: instance(1), Name: fmt.Sprint("p", n), Time: at(-n), Expiry: at(n), VaultExpiry: at(4 - n), Good: n%2 == 0, Held: n%3 == 0,
				Operational: n < 3, Vaulted: n > 1, Bytes: int64(n), Body: json.RawMessage(`{"a":1}`),
			}
			if err := tx.PutPoint(t.Context(), p); err != nil {
				return err
			}
			p.Body = nil
			all = append(all, p)
		}
		return nil
	})
	mustView(t, db, func(v catalogue.View) error {
		got, err := v.Points(t.Context(), catalogue.PointQuery{Instance: instance(1), Bare: true, Limit: 10})
		mustMatch(t, "without bodies", all, got)
		return err
	})
	// The first is to be deleted by one tier, and the last by the other.
	all[0].Body, all[4].Body = json.RawMessage(`{"a":1}`), json.RawMessage(`{"a":1}`)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		return tx.PutPoint(t.Context(), catalogue.Point{Instance: instance(1), Name: "lasting", Time: at(-9), Body: json.RawMessage(`{}`)})
	})
	mustView(t, db, func(v catalogue.View) error {
		got, err := v.Points(t.Context(), catalogue.PointQuery{Instance: instance(1), From: at(-9), Bare: true, Until: at(0), Limit: 10})
		for i := range got {
			got[i].Mark = 0 // testPointMarks looks at those
		}
		mustMatch(t, "with the bodies of what is due", append(all, catalogue.Point{Instance: instance(1), Name: "lasting", Time: at(-9)}), got)
		return err
	})
}

func testJobPages(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault, vault+"2")
	var all []catalogue.Job
	for n := range 24 {
		all = append(all, catalogue.Job{
			Vault: vault, Name: fmt.Sprintf("j%02d", (n*5)%24), Instance: instance(n % 3), Started: at(n / 6),
			Status: []string{"InProgress", "Completed"}[n%2], Operation: []string{"Backup", "Restore", "Tiering", "Backup"}[n%4],
			Ended: at(n), Body: json.RawMessage(`{}`),
		})
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, j := range all {
			if err := tx.PutJob(t.Context(), j); err != nil {
				return err
			}
		}
		return tx.PutJob(t.Context(), catalogue.Job{Vault: vault + "2", Name: "another's", Started: at(1)})
	})
	slices.SortFunc(all, func(a, b catalogue.Job) int {
		return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(b.Name, a.Name))
	})
	for _, q := range []catalogue.JobQuery{
		{}, {Instance: instance(1)}, {Status: "InProgress"}, {Operation: "Backup"}, {Instance: instance(2), Status: "Completed", Operation: "Restore"},
		{From: at(1), To: at(2)}, {From: at(2), Status: "Completed"}, {To: at(1), Instance: instance(0)}, {Instance: instance(9)}, {Status: "inprogress"},
	} {
		var want []catalogue.Job
		for _, j := range all {
			if (q.Instance == "" || j.Instance.Is(q.Instance)) && (q.Status == "" || j.Status == q.Status) && (q.Operation == "" || j.Operation == q.Operation) &&
				(q.From.IsZero() || !j.Started.Before(q.From)) && (q.To.IsZero() || !j.Started.After(q.To)) {
				want = append(want, j)
			}
		}
		for _, limit := range []int{1, 4, 100} {
			q := q
			q.Vault, q.Limit = vault, limit
			mustView(t, db, func(v catalogue.View) error {
				got := pages(t, limit, func(after *catalogue.PointCursor) ([]catalogue.Job, error) {
					q.After = after
					return v.Jobs(t.Context(), q)
				}, func(j catalogue.Job) catalogue.PointCursor {
					return catalogue.PointCursor{Time: j.Started, Name: j.Name}
				})
				mustMatch(t, fmt.Sprintf("%+v", q), want, got)
				return nil
			})
		}
	}
}

func testJobWrites(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	j := catalogue.Job{Vault: vault, Name: "j", Instance: instance(1), Status: "InProgress", Operation: "Backup", Started: at(1), Body: json.RawMessage(`{"a":1}`),
		Cluster: cluster, Work: json.RawMessage(`{"b":2}`)}
	for range 2 {
		mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.PutJob(t.Context(), j) })
		mustView(t, db, func(v catalogue.View) error {
			got, err := v.Job(t.Context(), vault, "j")
			mustMatch(t, "the job", j, got)
			return err
		})
		j = catalogue.Job{Vault: vault, Name: "j", Instance: instance(2), Status: "Failed", Operation: "Restore", Started: at(2), Ended: at(3)}
	}
}

// cluster is one that jobs are carried out in.
const cluster = group + "/providers/Microsoft.ContainerService/managedClusters/Prod"

func testOpenJobs(t *testing.T, db catalogue.Database) {
	other := vault + "2"
	mustPut(t, db, vault, other)
	open := []catalogue.Job{
		{Vault: other, Name: "a", Instance: instance(1), Status: "InProgress", Started: at(1), Cluster: cluster, Work: json.RawMessage(`{"w":1}`), Body: json.RawMessage(`{}`)},
		{Vault: vault, Name: "b", Started: at(1), Cluster: cluster},
		{Vault: vault, Name: "a", Started: at(2), Cluster: cluster},
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, j := range append([]catalogue.Job{
			{Vault: vault, Name: "ended", Started: at(0), Ended: at(1), Cluster: cluster},
			{Vault: vault, Name: "elsewhere", Started: at(0), Cluster: cluster + "-2"},
			{Vault: vault, Name: "nowhere", Started: at(0)},
		}, open...) {
			if err := tx.PutJob(t.Context(), j); err != nil {
				return err
			}
		}
		return nil
	})
	read := func(limit int) (found []catalogue.Job, in []catalogue.ID) {
		mustView(t, db, func(v catalogue.View) (err error) {
			if found, err = v.OpenJobs(t.Context(), catalogue.OpenJobQuery{Cluster: catalogue.ID(strings.ToUpper(string(cluster))), Limit: limit}); err != nil {
				return err
			}
			in, err = v.OpenClusters(t.Context())
			return err
		})
		return found, in
	}
	found, in := read(10)
	mustMatch(t, "open jobs", open, found)
	mustMatch(t, "clusters", []catalogue.ID{cluster, cluster + "-2"}, in)
	found, _ = read(2)
	mustMatch(t, "the first ones", open[:2], found)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, j := range open {
			j.Ended = at(9)
			if err := tx.PutJob(t.Context(), j); err != nil {
				return err
			}
		}
		return nil
	})
	found, in = read(10)
	mustMatch(t, "none is open", []catalogue.Job(nil), found)
	mustMatch(t, "clusters", []catalogue.ID{cluster + "-2"}, in)
}

func testOperations(t *testing.T, db catalogue.Database) {
	o := catalogue.Operation{ID: "id", Resource: instance(1), Kind: "Restore", By: "somebody", Status: catalogue.OperationInProgress, Started: at(1)}
	for range 2 {
		mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.PutOperation(t.Context(), o) })
		mustView(t, db, func(v catalogue.View) error {
			got, err := v.Operation(t.Context(), "id")
			mustMatch(t, "the operation", o, got)
			_, missing := v.Operation(t.Context(), "ID")
			mustBe(t, coffer.CodeResourceNotFound, missing)
			return err
		})
		o.Status, o.Ended, o.Result, o.Error = catalogue.OperationFailed, at(2), json.RawMessage(`{"r":1}`), json.RawMessage(`{"code":"x"}`)
	}
}

func testOldOperations(t *testing.T, db catalogue.Database) {
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		err := tx.PutOperation(t.Context(), catalogue.Operation{ID: "runs", Started: at(0)})
		for i := range 5 {
			err = errors.Join(err, tx.PutOperation(t.Context(), catalogue.Operation{ID: fmt.Sprint("ended", i), Started: at(0), Ended: at(i)}))
		}
		return err
	})
	for _, want := range []int{2, 1, 0} {
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			n, err := tx.DeleteOperations(t.Context(), at(3), 2)
			if n != want {
				t.Errorf("%d were deleted, want %d", n, want)
			}
			return err
		})
	}
	mustView(t, db, func(v catalogue.View) error {
		for id, there := range map[string]bool{"runs": true, "ended0": false, "ended2": false, "ended3": true, "ended4": true} {
			if _, err := v.Operation(t.Context(), id); (err == nil) != there {
				t.Errorf("%s: %v", id, err)
			}
		}
		return nil
	})
}

func testPointMarks(t *testing.T, db catalogue.Database) {
	mustPut(t, db, instance(1), instance(2), instance(3))
	put := func(id catalogue.ID, name, body string) func(catalogue.Tx) error {
		return func(tx catalogue.Tx) error {
			return tx.PutPoint(t.Context(), catalogue.Point{Instance: id, Name: name, Time: at(1), Body: json.RawMessage(body)})
		}
	}
	marks := func() (found map[string]catalogue.PointMark) {
		mustView(t, db, func(v catalogue.View) (err error) {
			found, err = v.PointMarks(t.Context(), instance(1), catalogue.ID(strings.ToUpper(string(instance(2)))), instance(3), instance(9))
			return err
		})
		return found
	}
	// Who reads all recovery points need not ask for their marks.
	own := func(id catalogue.ID) (found catalogue.PointMark) {
		mustView(t, db, func(v catalogue.View) error {
			all, err := v.Points(t.Context(), catalogue.PointQuery{Instance: id, Bare: true, Until: at(9), Limit: 10})
			for _, p := range all {
				found.Count++
				found.Sum += p.Mark
			}
			return err
		})
		return found
	}
	mustMatch(t, "marks of nothing", map[string]catalogue.PointMark{}, marks())
	mustUpdate(t, db, put(instance(1), "a", "{}"))
	mustUpdate(t, db, put(instance(2), "a", "{}"))
	before := marks()
	if one, two := before[instance(1).Key()], before[instance(2).Key()]; len(before) != 2 || one.Count != 1 || two.Count != 1 {
		t.Fatalf("marks are %+v", before)
	}
	mustMatch(t, "marks once more", before, marks())
	for name, change := range map[string]func(catalogue.Tx) error{
		"one that is new":               put(instance(1), "b", "{}"),
		"one that is written as it was": put(instance(1), "a", "{}"),
		"one that is deleted and made again": func(tx catalogue.Tx) error {
			return errors.Join(tx.DeletePoint(t.Context(), instance(1), "a"), put(instance(1), "a", "{}")(tx))
		},
		"one that is deleted": func(tx catalogue.Tx) error { return tx.DeletePoint(t.Context(), instance(1), "a") },
	} {
		was := marks()
		mustUpdate(t, db, put(instance(1), "a", "{}"))
		now := marks()
		if now[instance(1).Key()] == was[instance(1).Key()] || now[instance(2).Key()] != was[instance(2).Key()] {
			t.Errorf("%s: marks were %+v, and are %+v", name, was, now)
		}
		mustUpdate(t, db, change)
		then := marks()
		if then[instance(1).Key()] == now[instance(1).Key()] || then[instance(2).Key()] != now[instance(2).Key()] {
			t.Errorf("%s: marks were %+v, and are %+v", name, now, then)
		}
		mustMatch(t, name+": as they are read one by one", then[instance(1).Key()], own(instance(1)))
	}
}
