package metadbtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func alerts(t *testing.T, db catalogue.Database, q catalogue.AlertQuery) (found []catalogue.Alert) {
	t.Helper()
	mustView(t, db, func(v catalogue.View) error {
		found = pages(t, q.Limit, func(after *catalogue.PointCursor) ([]catalogue.Alert, error) {
			q.After = after
			return v.Alerts(t.Context(), q)
		}, func(a catalogue.Alert) catalogue.PointCursor {
			return catalogue.PointCursor{Time: a.Last, Name: a.Name}
		})
		return nil
	})
	return found
}

func testAlerts(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	raise := func(a catalogue.Alert) (got catalogue.Alert, isNew bool) {
		t.Helper()
		mustUpdate(t, db, func(tx catalogue.Tx) (err error) {
			got, isNew, err = tx.RaiseAlert(t.Context(), a)
			return err
		})
		return got, isNew
	}
	put := func(a catalogue.Alert) error {
		return update(t.Context(), db, func(tx catalogue.Tx) error { return tx.PutAlert(t.Context(), a) })
	}
	is := func(what string, want catalogue.Alert) {
		t.Helper()
		mustView(t, db, func(v catalogue.View) error {
			got, err := v.Alert(t.Context(), vault, want.Name)
			mustMatch(t, what, want, got)
			return err
		})
	}
	// Only its vault is there. What a new one says of itself is that it has fired once.
	first := catalogue.Alert{Vault: vault, Name: "a1", Kind: "BackupMissed", Target: instance(1), First: at(1), Last: at(2), Body: json.RawMessage(`{"n":1}`)}
	raised := first
	raised.State, raised.Count, raised.Closed = catalogue.AlertClosed, 7, at(9)
	got, isNew := raise(raised)
	want := first
	want.State, want.Count = catalogue.AlertFired, 1
	mustMatch(t, "a new one", want, got)
	is("a new one, read", want)

	again := catalogue.Alert{Vault: vault, Name: "a2", Kind: "BackupMissed", Target: catalogue.ID(strings.ToUpper(string(instance(1)))), First: at(5), Last: at(6), Body: json.RawMessage(`{"n":2}`)}
	got, isAgain := raise(again)
	want.Last, want.Count, want.Body = at(6), 2, again.Body
	mustMatch(t, "the same again", want, got)
	is("the same again, read", want)
	want.State = catalogue.AlertAcknowledged
	if err := put(want); err != nil || !isNew || isAgain {
		t.Errorf("acknowledged: %v; new were %v and %v", err, isNew, isAgain)
	}
	got, _ = raise(again)
	want.Count = 3
	mustMatch(t, "what somebody looks at", want, got)

	want.State, want.Closed = catalogue.AlertClosed, at(8)
	if err := put(want); err != nil {
		t.Error(err)
	}
	is("a closed one", want)
	second, isNew := raise(again)
	if !isNew || second.Name != "a2" || second.Count != 1 || !second.First.Equal(at(5)) {
		t.Errorf("after it was closed: %v %+v", isNew, second)
	}
	// A closed one is not opened: there is another one.
	opened := want
	opened.State, opened.Closed = catalogue.AlertFired, second.Closed
	mustBe(t, coffer.CodePreconditionFailed, put(opened))
	is("the closed one", want)
	for _, bad := range []catalogue.Alert{{Vault: vault, Name: "a2", State: catalogue.AlertClosed}, {Vault: vault, Name: "a2", State: catalogue.AlertFired, Closed: at(1)}} {
		if put(bad) == nil {
			t.Errorf("%+v was written", bad)
		}
	}
	mustBe(t, coffer.CodeResourceNotFound, put(catalogue.Alert{Vault: vault, Name: "none", State: catalogue.AlertFired}))
	// Another's name, and another kind.
	other := again
	other.Kind = "BackupOverrun"
	err := update(t.Context(), db, func(tx catalogue.Tx) error {
		_, _, err := tx.RaiseAlert(t.Context(), other)
		return err
	})
	mustBe(t, coffer.CodePreconditionFailed, err)
	other.Name = "a3"
	if got, isNew := raise(other); !isNew || got.Count != 1 {
		t.Errorf("another kind: %v %+v", isNew, got)
	}
	err = update(t.Context(), db, func(tx catalogue.Tx) error {
		_, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: vault + "2", Name: "a", Kind: "k"})
		return err
	})
	mustBe(t, coffer.CodeResourceNotFound, err)
}

func testAlertPages(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault, vault+"2")
	states := []catalogue.AlertState{catalogue.AlertFired, catalogue.AlertAcknowledged, catalogue.AlertClosed}
	var all []catalogue.Alert
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for n := range 24 {
			a := catalogue.Alert{
				Vault: vault, Name: fmt.Sprintf("a%02d", (n*5)%24), Kind: []string{"BackupMissed", "BackupOverrun"}[n%2], Target: instance(n / 2),
				First: at(0), Last: at(n / 6), Count: 1, State: states[n%3],
			}
			if _, _, err := tx.RaiseAlert(t.Context(), a); err != nil {
				return err
			}
			if a.State == catalogue.AlertClosed {
				a.Closed = at(n)
			}
			if err := tx.PutAlert(t.Context(), a); err != nil {
				return err
			}
			all = append(all, a)
		}
		_, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: vault + "2", Name: "another's", Kind: "BackupMissed", Target: instance(1), Last: at(1)})
		return err
	})
	slices.SortFunc(all, func(a, b catalogue.Alert) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(b.Name, a.Name))
	})
	for _, q := range []catalogue.AlertQuery{
		{}, {Target: instance(4)}, {Kind: "BackupMissed"}, {State: catalogue.AlertClosed}, {Open: true}, {Open: true, Kind: "BackupOverrun"},
		{Open: true, State: catalogue.AlertClosed}, {Kind: "BackupOverrun", Target: instance(5), State: catalogue.AlertClosed}, {Kind: "backupmissed"},
	} {
		var want []catalogue.Alert
		for _, a := range all {
			if (q.Target == "" || a.Target.Is(q.Target)) && (q.Kind == "" || a.Kind == q.Kind) && (q.State == "" || a.State == q.State) && (!q.Open || a.Closed.IsZero()) {
				want = append(want, a)
			}
		}
		for _, limit := range []int{1, 5, 24, 25} {
			q := q
			q.Vault, q.Limit = vault, limit
			mustMatch(t, fmt.Sprintf("%+v", q), want, alerts(t, db, q))
		}
	}
	// Three were closed before the eleventh second.
	for _, want := range []int{2, 1, 0} {
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			n, err := tx.DeleteAlerts(t.Context(), at(11), 2)
			if n != want {
				t.Errorf("%d were deleted, want %d", n, want)
			}
			return err
		})
	}
	all = slices.DeleteFunc(all, func(a catalogue.Alert) bool { return !a.Closed.IsZero() && a.Closed.Before(at(11)) })
	mustMatch(t, "without old ones", all, alerts(t, db, catalogue.AlertQuery{Vault: vault, Limit: 10}))
}

func testOneAlert(t *testing.T, db catalogue.Database) {
	const writers, times = 4, 8
	mustPut(t, db, vault)
	var done, made atomic.Int32
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			for i := range times {
				isNew := false
				err := update(t.Context(), db, func(tx catalogue.Tx) (err error) {
					_, isNew, err = tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: vault, Name: fmt.Sprintf("a%d-%d", n, i), Kind: "BackupMissed", Target: instance(1), First: at(i), Last: at(i)})
					return err
				})
				switch {
				case err == nil:
					done.Add(1)
					if isNew {
						made.Add(1)
					}
				case coffer.CodeOf(err) != coffer.CodeDatabaseUnavailable:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	found := alerts(t, db, catalogue.AlertQuery{Vault: vault, Limit: 10})
	if len(found) != 1 || found[0].Count != int(done.Load()) || made.Load() != 1 || done.Load() < writers*times/2 {
		t.Errorf("%d raisings were acknowledged, %d of them of a new one, and there are %+v", done.Load(), made.Load(), found)
	}
}
