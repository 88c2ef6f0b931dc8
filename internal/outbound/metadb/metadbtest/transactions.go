package metadbtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// writeAll writes something of each kind.
func writeAll(ctx context.Context, tx catalogue.Tx) error {
	r := newResource(vault)
	r.Links = []catalogue.Link{{Relation: "r", Target: "t"}}
	if _, err := tx.PutResource(ctx, r, catalogue.Condition{New: true}); err != nil {
		return err
	}
	return errors.Join(
		tx.PutPoint(ctx, catalogue.Point{Instance: vault, Name: "p", Time: at(0)}),
		tx.PutJob(ctx, catalogue.Job{Vault: vault, Name: "j", Started: at(0)}),
		tx.PutOperation(ctx, catalogue.Operation{ID: "o", Started: at(0)}),
		tx.PutSecret(ctx, catalogue.Secret{Owner: vault, Name: "s", Sealed: []byte("x")}),
		tx.AppendAudit(ctx, newEntry(0, vault)),
	)
}

// count says how much of what writeAll writes is there, of 6.
func count(t *testing.T, v catalogue.View) int {
	t.Helper()
	n := 0
	for _, there := range []func() (bool, error){
		func() (bool, error) { _, err := v.Resource(t.Context(), vault); return err == nil, err },
		func() (bool, error) { _, err := v.Point(t.Context(), vault, "p"); return err == nil, err },
		func() (bool, error) { _, err := v.Job(t.Context(), vault, "j"); return err == nil, err },
		func() (bool, error) { _, err := v.Operation(t.Context(), "o"); return err == nil, err },
		func() (bool, error) { s, err := v.Secrets(t.Context(), vault); return len(s) == 1, err },
		func() (bool, error) {
			e, err := v.Audit(t.Context(), catalogue.AuditQuery{Under: vault, Limit: 5})
			return len(e) == 1, err
		},
	} {
		found, err := there()
		if err != nil && coffer.CodeOf(err) != coffer.CodeResourceNotFound {
			t.Error(err)
		}
		if found {
			n++
		}
	}
	return n
}

func mustHave(t *testing.T, db catalogue.Database, want int) {
	t.Helper()
	mustView(t, db, func(v catalogue.View) error {
		if got := count(t, v); got != want {
			t.Errorf("%d of 6 rows are there, want %d", got, want)
		}
		return nil
	})
}

// mustGoOn holds that the database still writes.
func mustGoOn(t *testing.T, db catalogue.Database) {
	t.Helper()
	mustHave(t, db, 0)
	mustUpdate(t, db, func(tx catalogue.Tx) error { return writeAll(t.Context(), tx) })
	mustHave(t, db, 6)
}

func testOwnWrites(t *testing.T, db catalogue.Database) {
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		if err := writeAll(t.Context(), tx); err != nil {
			return err
		}
		if got := count(t, tx); got != 6 {
			t.Errorf("the transaction sees %d of its 6 rows", got)
		}
		return nil
	})
	mustHave(t, db, 6)
}

func testIsolation(t *testing.T, db catalogue.Database) {
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		if err := writeAll(t.Context(), tx); err != nil {
			return err
		}
		mustHave(t, db, 0)
		return nil
	})
	mustHave(t, db, 6)
}

func testSnapshot(t *testing.T, db catalogue.Database) {
	mustPut(t, db, instance(1), instance(2))
	list := func(v catalogue.View) (state string) {
		found, err := v.Resources(t.Context(), catalogue.ResourceQuery{Limit: 100})
		if err != nil {
			t.Error(err)
		}
		for _, r := range found {
			state += fmt.Sprintf("%s %d\n", r.ID, r.Version)
		}
		return state
	}
	mustView(t, db, func(v catalogue.View) error {
		before := list(v)
		mustPut(t, db, instance(1), instance(3))
		mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeleteResource(t.Context(), instance(2), catalogue.Condition{}) })
		mustMatch(t, "a view, after others wrote", before, list(v))
		if _, err := v.Resource(t.Context(), instance(2)); err != nil {
			t.Errorf("what was there when the view began: %v", err)
		}
		mustView(t, db, func(later catalogue.View) error {
			if list(later) == before {
				t.Error("a later view sees what was before")
			}
			return nil
		})
		return nil
	})
}

func testRollbackOnError(t *testing.T, db catalogue.Database) {
	err := db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		if err := writeAll(ctx, tx); err != nil {
			return err
		}
		return fmt.Errorf("after all: %w", errStop)
	})
	if !errors.Is(err, errStop) {
		t.Errorf("the error is %v", err)
	}
	mustGoOn(t, db)
}

func testRollbackOnPanic(t *testing.T, db catalogue.Database) {
	func() {
		defer func() {
			if got := recover(); got != "out of order" {
				t.Errorf("recovered %v", got)
			}
		}()
		_ = db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
			if err := writeAll(ctx, tx); err != nil {
				return err
			}
			panic("out of order")
		})
	}()
	func() {
		defer func() { _ = recover() }()
		_ = db.View(t.Context(), func(context.Context, catalogue.View) error { panic("out of order") })
	}()
	mustGoOn(t, db)
}

func testCancelled(t *testing.T, db catalogue.Database) {
	for name, do := range map[string]func(ctx context.Context, cancel func(), tx catalogue.Tx) error{
		"before it writes": func(ctx context.Context, cancel func(), tx catalogue.Tx) error {
			cancel()
			return writeAll(ctx, tx)
		},
		"after it wrote": func(ctx context.Context, cancel func(), tx catalogue.Tx) error {
			err := writeAll(ctx, tx)
			cancel()
			return err
		},
		"and it does not look at errors": func(ctx context.Context, cancel func(), tx catalogue.Tx) error {
			_ = writeAll(ctx, tx)
			cancel()
			_ = tx.PutOperation(ctx, catalogue.Operation{ID: "another", Started: at(0)})
			return nil
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return do(ctx, cancel, tx) })
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		mustHave(t, db, 0)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := db.View(ctx, func(context.Context, catalogue.View) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled view: %v", err)
	}
	mustGoOn(t, db)
}

// testCancelledWait gives up where the first of the writers does not end.
func testCancelledWait(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		if _, err := tx.PutResource(t.Context(), newResource(vault), catalogue.Condition{}); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		waiting := make(chan error)
		go func() {
			waiting <- update(ctx, db, func(tx catalogue.Tx) error {
				_, err := tx.PutResource(ctx, newResource(vault), catalogue.Condition{})
				return err
			})
		}()
		cancel()
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("who gave up is told %v", err)
		}
		return nil
	})
	if got := mustGet(t, db, vault).Version; got != 2 {
		t.Errorf("the version is %d, want 2", got)
	}
}

func testReadersBesideWriter(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		r := newResource(vault)
		r.Body = json.RawMessage(`{"new":true}`)
		if _, err := tx.PutResource(t.Context(), r, catalogue.Condition{}); err != nil {
			return err
		}
		for range 20 {
			if got := mustGet(t, db, vault); got.Version != 1 {
				t.Errorf("a reader sees version %d", got.Version)
			}
		}
		return db.Ping(t.Context())
	})
}

func testViewDoesNotWrite(t *testing.T, db catalogue.Database) {
	mustPut(t, db, group)
	err := db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		if tx, ok := v.(catalogue.Tx); ok {
			return writeAll(ctx, tx)
		}
		return errStop
	})
	if err == nil {
		t.Error("a view wrote")
	}
	mustHave(t, db, 0)
}

func testClosed(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault)
	if err := errors.Join(db.Ping(t.Context()), db.Close(), db.Close()); err != nil {
		t.Error(err)
	}
	if err := update(t.Context(), db, func(catalogue.Tx) error { return nil }); err == nil {
		t.Error("a closed database writes")
	}
	if db.Ping(t.Context()) == nil {
		t.Error("a closed database answers")
	}
}
