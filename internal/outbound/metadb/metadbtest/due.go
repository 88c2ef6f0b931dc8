package metadbtest

import (
	"cmp"
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

func testDue(t *testing.T, db catalogue.Database) {
	var all []catalogue.Due
	for n := range 13 {
		mustPut(t, db, instance(n))
		// Several are due at one time, and some a microsecond later.
		d := catalogue.Due{Instance: instance(n), At: at(n / 4).Add(time.Duration(n%2) * time.Microsecond)}
		if n%3 == 0 {
			d.Slot, d.Schedule, d.Policy = at(-n), fmt.Sprint("of ", n), fmt.Sprint("by ", n)
		}
		all = append(all, d)
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, d := range all {
			if err := tx.PutDue(t.Context(), catalogue.Due{Instance: d.Instance, At: at(500), Slot: at(400)}); err != nil {
				return err
			}
			d.Instance = catalogue.ID(strings.ToUpper(string(d.Instance)))
			if err := tx.PutDue(t.Context(), d); err != nil {
				return err
			}
		}
		return nil
	})
	slices.SortFunc(all, func(a, b catalogue.Due) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Instance.Key(), b.Instance.Key()))
	})
	read := func(v catalogue.View, until time.Time, limit int) []catalogue.Due {
		return pages(t, limit, func(after *catalogue.Due) ([]catalogue.Due, error) {
			return v.Due(t.Context(), catalogue.DueQuery{Until: until, After: after, Limit: limit})
		}, func(d catalogue.Due) catalogue.Due { return d })
	}
	mustView(t, db, func(v catalogue.View) error {
		for _, until := range []time.Time{at(-1), at(0), at(1), at(1).Add(time.Microsecond), at(99)} {
			var want []catalogue.Due
			for _, d := range all {
				if !d.At.After(until) {
					want = append(want, d)
				}
			}
			for _, limit := range []int{1, 3, 13, 14} {
				mustMatch(t, fmt.Sprintf("until %v, %d at a time", until, limit), want, read(v, until, limit))
			}
		}
		got, err := v.DueOf(t.Context(), all[5].Instance)
		mustMatch(t, "that of one instance", all[5:6], got)
		if err != nil {
			return err
		}
		got, err = v.DueOf(t.Context(), instance(5), instance(99), catalogue.ID(strings.ToUpper(string(instance(2)))), instance(5), instance(4))
		want := slices.DeleteFunc(slices.Clone(all), func(d catalogue.Due) bool {
			return !slices.Contains([]catalogue.ID{instance(2), instance(4), instance(5)}, d.Instance)
		})
		slices.SortFunc(want, func(a, b catalogue.Due) int { return cmp.Compare(a.Instance.Key(), b.Instance.Key()) })
		mustMatch(t, "those of some instances", want, got)
		return err
	})
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, id := range []catalogue.ID{all[0].Instance, all[0].Instance, instance(99)} {
			if err := tx.DeleteDue(t.Context(), id); err != nil {
				return err
			}
		}
		mustBe(t, coffer.CodeResourceNotFound, tx.PutDue(t.Context(), catalogue.Due{Instance: instance(99), At: at(0)}))
		return nil
	})
	mustView(t, db, func(v catalogue.View) error {
		mustMatch(t, "without one", all[1:], read(v, at(99), 5))
		return nil
	})
}

func slots(t *testing.T, db catalogue.Database, q catalogue.SlotQuery) (found []catalogue.Slot) {
	t.Helper()
	mustView(t, db, func(v catalogue.View) error {
		found = pages(t, q.Limit, func(after *time.Time) ([]catalogue.Slot, error) {
			if after != nil {
				q.After = *after
			}
			return v.Slots(t.Context(), q)
		}, func(s catalogue.Slot) time.Time { return s.At })
		return nil
	})
	return found
}

func testSlots(t *testing.T, db catalogue.Database) {
	mustPut(t, db, instance(1), instance(2))
	var all []catalogue.Slot
	for n := range 9 {
		s := catalogue.Slot{Instance: instance(1), At: at(n), Outcome: catalogue.SlotBegun, Job: fmt.Sprint("j", n), Noted: at(n + 1)}
		if n == 4 {
			s.Outcome, s.Missed, s.Since, s.Job = catalogue.SlotMissed, 3, at(-9), ""
		}
		all = append(all, s)
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, s := range all {
			if err := tx.AddSlot(t.Context(), s); err != nil {
				return err
			}
			s.Instance = instance(2)
			if err := tx.AddSlot(t.Context(), s); err != nil {
				return err
			}
		}
		mustBe(t, coffer.CodeResourceNotFound, tx.AddSlot(t.Context(), catalogue.Slot{Instance: instance(3), At: at(0)}))
		return nil
	})
	slices.Reverse(all)
	for _, limit := range []int{1, 4, 9, 10} {
		mustMatch(t, fmt.Sprintf("%d at a time", limit), all, slots(t, db, catalogue.SlotQuery{Instance: instance(1), Limit: limit}))
		mustMatch(t, "a span", all[2:6], slots(t, db, catalogue.SlotQuery{Instance: instance(1), From: at(3), To: at(6), Limit: limit}))
	}
	mustMatch(t, "of none", []catalogue.Slot{}, slots(t, db, catalogue.SlotQuery{Instance: instance(3), Limit: 5}))
	for _, want := range []int{5, 1, 0} {
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			n, err := tx.DeleteSlots(t.Context(), at(3), 5)
			if n != want {
				t.Errorf("%d were deleted, want %d", n, want)
			}
			return err
		})
	}
	mustMatch(t, "without old ones", all[:6], slots(t, db, catalogue.SlotQuery{Instance: instance(1), Limit: 10}))
}

func testOneSlot(t *testing.T, db catalogue.Database) {
	const writers = 6
	mustPut(t, db, vault, instance(1))
	var wins atomic.Int32
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			job := fmt.Sprint("j", n)
			err := update(t.Context(), db, func(tx catalogue.Tx) error {
				// Within the microsecond, a slot is the same.
				s := catalogue.Slot{Instance: instance(1), At: at(1).Add(time.Duration(n)), Outcome: catalogue.SlotBegun, Job: job, Noted: at(2)}
				if err := tx.PutJob(t.Context(), catalogue.Job{Vault: vault, Name: job, Started: at(2)}); err != nil {
					return err
				}
				return tx.AddSlot(t.Context(), s)
			})
			if err == nil {
				wins.Add(1)
			} else {
				mustBe(t, coffer.CodePreconditionFailed, err)
			}
		})
	}
	all.Wait()
	found := slots(t, db, catalogue.SlotQuery{Instance: instance(1), Limit: 10})
	mustView(t, db, func(v catalogue.View) error {
		jobs, err := v.Jobs(t.Context(), catalogue.JobQuery{Vault: vault, Limit: 10})
		if wins.Load() != 1 || len(found) != 1 || len(jobs) != 1 || jobs[0].Name != found[0].Job {
			t.Errorf("%d of %d writers won, with the slots %v and the jobs %v", wins.Load(), writers, found, jobs)
		}
		return err
	})
}

func testExpiring(t *testing.T, db catalogue.Database) {
	points := []catalogue.Point{
		{Instance: instance(1), Name: "a", Expiry: at(5)}, {Instance: instance(1), Name: "b", Expiry: at(6)}, {Instance: instance(1), Name: "c", VaultExpiry: at(5)},
		{Instance: instance(2), Name: "a", Expiry: at(50), VaultExpiry: at(7)},
		{Instance: instance(3), Name: "a"},
		{Instance: instance(4), Name: "a", Expiry: at(6), Held: true},
		{Instance: instance(5), Name: "a", Expiry: at(60), VaultExpiry: at(70)},
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, p := range points {
			if _, err := tx.PutResource(t.Context(), newResource(p.Instance), catalogue.Condition{}); err != nil {
				return err
			}
			if err := tx.PutPoint(t.Context(), p); err != nil {
				return err
			}
		}
		return nil
	})
	expire := func(until time.Time, want ...int) {
		t.Helper()
		var ids []catalogue.ID
		for _, n := range want {
			ids = append(ids, instance(n))
		}
		for _, limit := range []int{1, 2, 10} {
			mustView(t, db, func(v catalogue.View) error {
				got := pages(t, limit, func(after *string) ([]catalogue.ID, error) {
					if after == nil {
						after = new(string)
					}
					return v.Expiring(t.Context(), until, *after, limit)
				}, catalogue.ID.Key)
				mustMatch(t, fmt.Sprintf("until %v, %d at a time", until, limit), ids, got)
				return nil
			})
		}
	}
	expire(at(4))
	expire(at(5).Add(-time.Microsecond))
	expire(at(5), 1)
	expire(at(6), 1, 4)
	expire(at(7), 1, 2, 4)
	expire(at(99), 1, 2, 4, 5)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		points[5].Expiry = time.Time{}
		if err := tx.PutPoint(t.Context(), points[5]); err != nil {
			return err
		}
		return tx.DeletePoint(t.Context(), instance(2), "a")
	})
	expire(at(99), 1, 5)
}
