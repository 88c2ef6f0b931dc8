package metadbtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func testResource(t *testing.T, db catalogue.Database) {
	r := newResource(vault)
	r.Links = []catalogue.Link{{Relation: "b", Target: "two"}, {Relation: "a", Target: "one"}, {Relation: "b", Target: "two"}}
	r.Created.At = time.Date(2026, 3, 1, 14, 0, 0, 123456789, time.FixedZone("", 7200))
	var put catalogue.Resource
	mustUpdate(t, db, func(tx catalogue.Tx) (err error) {
		put, err = tx.PutResource(t.Context(), r, catalogue.Condition{New: true})
		return err
	})
	r.Version, r.Created.At = 1, at(0)
	mustMatch(t, "what PutResource answers", r, put)
	mustMatch(t, "what is read", r, mustGet(t, db, vault))

	r.Body, r.Facts, r.Links = json.RawMessage(`{}`), nil, nil
	r.Created, r.Changed = catalogue.Stamp{By: "another", At: at(5)}, catalogue.Stamp{By: "another", At: at(5)}
	mustUpdate(t, db, func(tx catalogue.Tx) (err error) {
		put, err = tx.PutResource(t.Context(), r, catalogue.Condition{})
		return err
	})
	r.Version, r.Created = 2, catalogue.Stamp{By: "somebody", At: at(0)}
	mustMatch(t, "what replacing answers", r, put)
	mustMatch(t, "what is read after it", r, mustGet(t, db, vault))
}

func testConditions(t *testing.T, db catalogue.Database) {
	for _, step := range []struct {
		name      string
		remove    bool
		condition catalogue.Condition
		code      coffer.Code
		version   int64
	}{
		{name: "a version of what is not there", condition: catalogue.Condition{Version: 1}, code: coffer.CodePreconditionFailed},
		{name: "replacing what is not there", condition: catalogue.Condition{Exists: true}, code: coffer.CodePreconditionFailed},
		{name: "deleting what is not there", remove: true, code: coffer.CodeResourceNotFound},
		{name: "deleting a version of what is not there", remove: true, condition: catalogue.Condition{Version: 1}, code: coffer.CodeResourceNotFound},
		{name: "creating", condition: catalogue.Condition{New: true}, version: 1},
		{name: "creating again", condition: catalogue.Condition{New: true}, code: coffer.CodePreconditionFailed, version: 1},
		{name: "replacing", condition: catalogue.Condition{Exists: true}, version: 2},
		{name: "replacing its version", condition: catalogue.Condition{Version: 2}, version: 3},
		{name: "replacing an old version", condition: catalogue.Condition{Version: 2}, code: coffer.CodePreconditionFailed, version: 3},
		{name: "replacing a version to come", condition: catalogue.Condition{Version: 4}, code: coffer.CodePreconditionFailed, version: 3},
		{name: "deleting an old version", remove: true, condition: catalogue.Condition{Version: 2}, code: coffer.CodePreconditionFailed, version: 3},
		{name: "deleting its version", remove: true, condition: catalogue.Condition{Version: 3}},
		{name: "creating it once more", condition: catalogue.Condition{New: true}, version: 1},
		{name: "deleting it whatever it is", remove: true},
	} {
		err := update(t.Context(), db, func(tx catalogue.Tx) error {
			if step.remove {
				return tx.DeleteResource(t.Context(), vault, step.condition)
			}
			_, err := tx.PutResource(t.Context(), newResource(vault), step.condition)
			return err
		})
		found, _ := get(t, db, vault)
		if coffer.CodeOf(err) != step.code || (step.code == "") != (err == nil) || found.Version != step.version {
			t.Fatalf("%s: %v with code %q, and the version is %d; want %q and %d", step.name, err, coffer.CodeOf(err), found.Version, step.code, step.version)
		}
	}
}

func testMissing(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	for _, in := range []catalogue.ID{vault, vault + "x", ""} {
		mustView(t, db, func(v catalogue.View) error {
			_, err := v.Resource(t.Context(), in+"y")
			mustBe(t, coffer.CodeResourceNotFound, err)
			_, err = v.Point(t.Context(), in, "p")
			mustBe(t, coffer.CodeResourceNotFound, err)
			_, err = v.Job(t.Context(), in, "j")
			mustBe(t, coffer.CodeResourceNotFound, err)
			_, err = v.Operation(t.Context(), string(in))
			mustBe(t, coffer.CodeResourceNotFound, err)
			_, err = v.Alert(t.Context(), in, "a")
			mustBe(t, coffer.CodeResourceNotFound, err)
			_, err = v.Deletion(t.Context(), in, in, "p", "")
			mustBe(t, coffer.CodeResourceNotFound, err)
			slots, err := v.Slots(t.Context(), catalogue.SlotQuery{Instance: in, Limit: 1})
			alerts, alertsErr := v.Alerts(t.Context(), catalogue.AlertQuery{Vault: in, Limit: 1})
			readings, readingsErr := v.Readings(t.Context(), catalogue.ReadingQuery{Vault: in, Limit: 1})
			due, dueErr := v.DueOf(t.Context(), in)
			if err := errors.Join(err, alertsErr, readingsErr, dueErr); err != nil || len(slots)+len(alerts)+len(readings)+len(due) > 0 {
				t.Errorf("lists of %q: %v %v %v, %v", in, slots, alerts, readings, err)
			}
			points, err := v.Points(t.Context(), catalogue.PointQuery{Instance: in, Limit: 1})
			jobs, jobsErr := v.Jobs(t.Context(), catalogue.JobQuery{Vault: in, Limit: 1})
			secrets, secretsErr := v.Secrets(t.Context(), in)
			if err != nil || jobsErr != nil || secretsErr != nil || len(points)+len(jobs)+len(secrets) > 0 {
				t.Errorf("lists of %q: %v %v %v, %v %v %v", in, points, jobs, secrets, err, jobsErr, secretsErr)
			}
			return nil
		})
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			mustBe(t, coffer.CodeResourceNotFound, tx.DeletePoint(t.Context(), in, "p"))
			mustBe(t, coffer.CodeResourceNotFound, tx.DeleteSecret(t.Context(), in, "s"))
			mustBe(t, coffer.CodeResourceNotFound, tx.DeleteDeletion(t.Context(), in, in, "p", ""))
			mustBe(t, coffer.CodeResourceNotFound, tx.PutPoint(t.Context(), catalogue.Point{Instance: in + "z", Name: "p"}))
			mustBe(t, coffer.CodeResourceNotFound, tx.PutJob(t.Context(), catalogue.Job{Vault: in + "z", Name: "j"}))
			mustBe(t, coffer.CodeResourceNotFound, tx.PutSecret(t.Context(), catalogue.Secret{Owner: in + "z", Name: "s"}))
			return nil
		})
	}
}

func testSpelling(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	shouted := catalogue.ID(strings.ToUpper(string(vault)))
	if found := mustGet(t, db, shouted); found.ID != vault {
		t.Errorf("%s is found as %s, want %s", shouted, found.ID, vault)
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		if err := tx.PutPoint(t.Context(), catalogue.Point{Instance: shouted, Name: "p", Time: at(0)}); err != nil {
			return err
		}
		if err := tx.PutJob(t.Context(), catalogue.Job{Vault: shouted, Name: "j", Instance: shouted, Started: at(0)}); err != nil {
			return err
		}
		return tx.PutSecret(t.Context(), catalogue.Secret{Owner: shouted, Name: "s", Sealed: []byte("x")})
	})
	mustView(t, db, func(v catalogue.View) error {
		p, err := v.Point(t.Context(), vault, "p")
		j, jobErr := v.Job(t.Context(), vault, "j")
		s, secretErr := v.Secrets(t.Context(), vault)
		if err != nil || jobErr != nil || secretErr != nil || p.Instance != vault || j.Vault != vault || !j.Instance.Is(vault) || len(s) != 1 || s[0].Owner != vault {
			t.Errorf("%+v %+v %+v (%v %v %v)", p, j, s, err, jobErr, secretErr)
		}
		jobs, err := v.Jobs(t.Context(), catalogue.JobQuery{Vault: vault, Instance: vault, Limit: 10})
		if len(jobs) != 1 {
			t.Errorf("jobs of the instance in another spelling: %v", jobs)
		}
		return err
	})
	err := update(t.Context(), db, func(tx catalogue.Tx) error {
		_, err := tx.PutResource(t.Context(), newResource(shouted), catalogue.Condition{New: true})
		return err
	})
	mustBe(t, coffer.CodePreconditionFailed, err)
}

func testOneCreator(t *testing.T, db catalogue.Database) {
	const writers = 6
	var wins atomic.Int32
	var all sync.WaitGroup
	for n := range writers {
		all.Go(func() {
			err := update(t.Context(), db, func(tx catalogue.Tx) error {
				r := newResource(vault)
				r.Body = json.RawMessage(fmt.Sprintf(`{"writer":%d}`, n))
				_, err := tx.PutResource(t.Context(), r, catalogue.Condition{New: true})
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
	if wins.Load() != 1 || mustGet(t, db, vault).Version != 1 {
		t.Errorf("%d of %d creators won, and the version is %d", wins.Load(), writers, mustGet(t, db, vault).Version)
	}
}

func testNoLostUpdate(t *testing.T, db catalogue.Database) {
	const writers, times = 4, 10
	r := newResource(vault)
	r.Body = json.RawMessage(`0`)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		_, err := tx.PutResource(t.Context(), r, catalogue.Condition{})
		return err
	})
	increment := func(tx catalogue.Tx) error {
		r, err := tx.Resource(t.Context(), vault)
		if err != nil {
			return err
		}
		var n int
		if err := json.Unmarshal(r.Body, &n); err != nil {
			return err
		}
		r.Body = json.RawMessage(fmt.Sprint(n + 1))
		_, err = tx.PutResource(t.Context(), r, catalogue.Condition{})
		return err
	}
	var done atomic.Int32
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range times {
				switch err := update(t.Context(), db, increment); {
				case err == nil:
					done.Add(1)
				case coffer.CodeOf(err) != coffer.CodeDatabaseUnavailable:
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	found := mustGet(t, db, vault)
	if want := fmt.Sprint(done.Load()); string(found.Body) != want || found.Version != int64(done.Load())+1 || done.Load() < writers*times/2 {
		t.Errorf("%s increments were acknowledged, and %s is there with version %d", want, found.Body, found.Version)
	}
}

// testWriteSkew has two who look at the same state, and write what the other has looked at.
func testWriteSkew(t *testing.T, db catalogue.Database) {
	ids := []catalogue.ID{instance(1), instance(2)}
	mustPut(t, db, ids...)
	var all sync.WaitGroup
	for _, mine := range ids {
		all.Go(func() {
			err := db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
				left, err := tx.Resources(ctx, catalogue.ResourceQuery{Under: vault, Limit: 10})
				if err != nil || len(left) < 2 {
					return err
				}
				return tx.DeleteResource(ctx, mine, catalogue.Condition{})
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	mustView(t, db, func(v catalogue.View) error {
		left, err := v.Resources(t.Context(), catalogue.ResourceQuery{Under: vault, Limit: 10})
		if len(left) != 1 {
			t.Errorf("%d are left, want one: each deletes its own only if there are two", len(left))
		}
		return err
	})
}
