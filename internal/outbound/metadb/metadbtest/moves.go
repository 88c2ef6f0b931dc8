package metadbtest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func move(t *testing.T, db catalogue.Database, from, to catalogue.ID, c catalogue.Condition) (moved catalogue.Resource, err error) {
	t.Helper()
	err = update(t.Context(), db, func(tx catalogue.Tx) (err error) {
		moved, err = tx.MoveResource(t.Context(), from, to, c)
		return err
	})
	return moved, err
}

func testMove(t *testing.T, db catalogue.Database) {
	link := catalogue.Link{Relation: catalogue.LinkPolicy, Target: "policy"}
	to := vault.Child("deletedBackupInstances", "Gone")
	mustPut(t, db, vault, instance(0), instance(2))
	r := newResource(instance(1))
	r.Links = []catalogue.Link{link}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, id := range []catalogue.ID{instance(0), r.ID, instance(2)} {
			r := r
			r.ID = id
			if _, err := tx.PutResource(t.Context(), r, catalogue.Condition{}); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.PutPoint(t.Context(), catalogue.Point{Instance: r.ID, Name: "p", Time: at(0), Expiry: at(1), Good: true}),
			tx.PutSecret(t.Context(), catalogue.Secret{Owner: r.ID, Name: "s", Sealed: []byte("x")}),
			tx.PutDue(t.Context(), catalogue.Due{Instance: r.ID, At: at(3)}), tx.PutDue(t.Context(), catalogue.Due{Instance: instance(2), At: at(3)}),
			tx.AddSlot(t.Context(), catalogue.Slot{Instance: r.ID, At: at(2), Outcome: catalogue.SlotBegun, Noted: at(2)}),
			tx.PutJob(t.Context(), catalogue.Job{Vault: r.ID, Name: "j", Started: at(0)}),
		)
	})
	for name, c := range map[string]struct {
		from, to  catalogue.ID
		condition catalogue.Condition
		code      coffer.Code
	}{
		"what is not there":    {from: instance(9), to: to, code: coffer.CodeResourceNotFound},
		"an old version":       {from: r.ID, to: to, condition: catalogue.Condition{Version: 7}, code: coffer.CodePreconditionFailed},
		"another's id":         {from: r.ID, to: catalogue.ID(strings.ToUpper(string(instance(2)))), code: coffer.CodePreconditionFailed},
		"its own id":           {from: r.ID, to: r.ID, code: coffer.CodePreconditionFailed},
		"what is no id":        {from: r.ID, to: "/subscriptions", code: coffer.CodeInvalidResourceID},
		"what cannot be found": {from: "a\x00", to: to, code: coffer.CodeResourceNotFound},
	} {
		if _, err := move(t, db, c.from, c.to, c.condition); coffer.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := mustGet(t, db, r.ID)
	if want.Version != 1 {
		t.Errorf("after nothing was moved, the version is %d", want.Version)
	}
	want.ID, want.Version = to, 2
	moved, err := move(t, db, catalogue.ID(strings.ToUpper(string(r.ID))), to, catalogue.Condition{Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	mustMatch(t, "what is answered", want, moved)
	mustMatch(t, "what is read", want, mustGet(t, db, to))
	_, err = get(t, db, r.ID)
	mustBe(t, coffer.CodeResourceNotFound, err)

	// Whoever comes after it has nothing of it.
	mustPut(t, db, r.ID)
	for id, n := range map[catalogue.ID]int{to: 1, r.ID: 0} {
		mustView(t, db, func(v catalogue.View) error {
			points, err := v.Points(t.Context(), catalogue.PointQuery{Instance: id, Limit: 5})
			secrets, secretsErr := v.Secrets(t.Context(), id)
			slots, slotsErr := v.Slots(t.Context(), catalogue.SlotQuery{Instance: id, Limit: 5})
			jobs, jobsErr := v.Jobs(t.Context(), catalogue.JobQuery{Vault: id, Limit: 5})
			due, dueErr := v.DueOf(t.Context(), id)
			if len(points) != n || len(secrets) != n || len(slots) != n || len(jobs) != n || len(due) != n || n == 1 && points[0].Instance != to {
				t.Errorf("%s has %v %v %v %v %v", id, points, secrets, slots, jobs, due)
			}
			return errors.Join(err, secretsErr, slotsErr, jobsErr, dueErr)
		})
	}
	// It is found at its new place in every order.
	linked := catalogue.ResourceQuery{Linked: &link, Limit: 1}
	mustMatch(t, "by its link", []string{string(instance(0)), string(instance(2)), string(to)}, list(t, db, linked))
	linked.Type = to.Type()
	mustMatch(t, "by its link and type", []string{string(to)}, list(t, db, linked))
	mustMatch(t, "by its type", []string{string(to)}, list(t, db, catalogue.ResourceQuery{Type: to.Type(), Limit: 2}))
	mustView(t, db, func(v catalogue.View) error {
		due, err := v.Due(t.Context(), catalogue.DueQuery{Until: at(9), Limit: 5})
		mustMatch(t, "what is due", []catalogue.Due{{Instance: instance(2), At: at(3)}, {Instance: to, At: at(3)}}, due)
		if err != nil {
			return err
		}
		expiring, err := v.Expiring(t.Context(), at(9), "", 5)
		mustMatch(t, "what expires", []catalogue.ID{to}, expiring)
		return err
	})
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeleteResource(t.Context(), r.ID, catalogue.Condition{}) })
	if moved, err := move(t, db, to, r.ID, catalogue.Condition{Exists: true, Created: at(0)}); err != nil || moved.Version != 3 || len(moved.Links) != 1 {
		t.Errorf("back again: %+v, %v", moved, err)
	}
}

func testOneMover(t *testing.T, db catalogue.Database) {
	const movers = 5
	to := vault.Child("deletedBackupInstances", "x")
	for n := range movers {
		mustPut(t, db, instance(n))
	}
	var wins atomic.Int32
	var all sync.WaitGroup
	for n := range movers {
		all.Go(func() {
			err := update(t.Context(), db, func(tx catalogue.Tx) error {
				_, err := tx.MoveResource(t.Context(), instance(n), to, catalogue.Condition{})
				return err
			})
			if err == nil {
				wins.Add(1)
			} else if coffer.CodeOf(err) != coffer.CodePreconditionFailed {
				t.Errorf("a loser is told %v", err)
			}
		})
	}
	all.Wait()
	if left := list(t, db, catalogue.ResourceQuery{Limit: 100}); wins.Load() != 1 || len(left) != movers {
		t.Error(fmt.Sprintf("%d of %d movers won, and there are", wins.Load(), movers), left)
	}
}

// testMoveVault moves a vault with a policy, and back, while another one has its name.
func testMoveVault(t *testing.T, db catalogue.Database) {
	to := catalogue.ID("/subscriptions/s/providers/Microsoft.DataProtection/locations/lab/deletedVaults/gone")
	policy := func(of catalogue.ID) catalogue.ID { return of.Child("backupPolicies", "p") }
	mustPut(t, db, vault, policy(vault))
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		_, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: vault, Name: "a", Kind: "k", Target: instance(1), First: at(0), Last: at(0)})
		return errors.Join(err,
			tx.PutJob(t.Context(), catalogue.Job{Vault: vault, Name: "j", Instance: instance(1), Started: at(0), Ended: at(1)}),
			tx.PutReading(t.Context(), catalogue.Reading{Vault: vault, Instance: instance(1), Day: at(0), Namespaces: 1}))
	})
	has := func(id catalogue.ID, want int) {
		t.Helper()
		mustView(t, db, func(v catalogue.View) error {
			jobs, err := v.Jobs(t.Context(), catalogue.JobQuery{Vault: id, Instance: instance(1), Limit: 5})
			alerts, alertsErr := v.Alerts(t.Context(), catalogue.AlertQuery{Vault: id, Target: instance(1), Open: true, Limit: 5})
			readings, readingsErr := v.Readings(t.Context(), catalogue.ReadingQuery{Vault: id, Limit: 5})
			below, belowErr := v.CountResources(t.Context(), catalogue.ResourceQuery{Under: id})
			if len(jobs) != want || len(alerts) != want || len(readings) != want || below != want || want == 1 && (jobs[0].Vault != id || alerts[0].Vault != id) {
				t.Errorf("%s has %v, %v, %v and %d policies, want %d of each", id, jobs, alerts, readings, below, want)
			}
			return errors.Join(err, alertsErr, readingsErr, belowErr)
		})
	}
	both := func(from, to catalogue.ID) error {
		return update(t.Context(), db, func(tx catalogue.Tx) error {
			if _, err := tx.MoveResource(t.Context(), policy(from), policy(to), catalogue.Condition{}); err != nil {
				return err
			}
			_, err := tx.MoveResource(t.Context(), from, to, catalogue.Condition{})
			return err
		})
	}
	if err := both(vault, to); err != nil {
		t.Fatal(err)
	}
	has(vault, 0)
	has(to, 1)
	mustPut(t, db, vault)
	mustBe(t, coffer.CodePreconditionFailed, both(to, vault))
	has(vault, 0)
	has(to, 1)
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeleteResource(t.Context(), vault, catalogue.Condition{}) })
	if err := both(to, vault); err != nil {
		t.Fatal(err)
	}
	has(to, 0)
	has(vault, 1)
}
