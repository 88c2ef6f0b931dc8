package metadb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// A place is a database that can be opened again.
type place struct {
	SQLite   string
	Postgres string
}

func (p place) open(ctx context.Context, f *faults) (*Database, error) {
	if f == nil {
		f = &faults{}
	}
	if p.SQLite != "" {
		return OpenSQLite(ctx, SQLite{File: p.SQLite, connect: f.wrap})
	}
	return OpenPostgres(ctx, Postgres{URL: p.Postgres, connect: f.wrap})
}

func (p place) mustOpen(t *testing.T, f *faults) *Database {
	t.Helper()
	db, err := p.open(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

const crashVault = catalogue.ID("/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/backupVaults/v")

func crashInstance(n int) catalogue.ID {
	return crashVault.Child("backupInstances", fmt.Sprintf("i%06d", n))
}

// seed is the state before the use case.
func seed(ctx context.Context, db *Database) error {
	return db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error {
		for _, id := range []catalogue.ID{crashVault, crashInstance(1), crashInstance(2)} {
			r := catalogue.Resource{ID: id, Body: json.RawMessage(`{"old":true}`), Links: []catalogue.Link{{Relation: "r", Target: "old"}}}
			if _, err := tx.PutResource(ctx, r, catalogue.Condition{}); err != nil {
				return err
			}
			err := errors.Join(
				tx.PutPoint(ctx, catalogue.Point{Instance: id, Name: "p", Time: time.Unix(1, 0), Expiry: time.Unix(9, 0), Good: true}),
				tx.PutSecret(ctx, catalogue.Secret{Owner: id, Name: "s", Sealed: []byte("old")}),
				tx.PutDue(ctx, catalogue.Due{Instance: id, At: time.Unix(2, 0)}),
			)
			if err != nil {
				return err
			}
		}
		_, _, err := tx.RaiseAlert(ctx, catalogue.Alert{Vault: crashVault, Name: "old", Kind: "k", Target: crashInstance(1), Last: time.Unix(1, 0)})
		return errors.Join(err, tx.PutDeletion(ctx, catalogue.Deletion{Vault: crashVault, Instance: crashInstance(2), Point: "old", Since: time.Unix(1, 0)}))
	})
}

// useCase writes each kind of row: it creates, replaces and deletes.
func useCase(ctx context.Context, tx catalogue.Tx) error {
	one, err := tx.Resource(ctx, crashInstance(1))
	if err != nil {
		return err
	}
	one.Body, one.Links = json.RawMessage(`{"new":true}`), []catalogue.Link{{Relation: "r", Target: "new"}}
	if _, err := tx.PutResource(ctx, one, catalogue.Condition{Version: 1}); err != nil {
		return err
	}
	created := catalogue.Resource{ID: crashInstance(3), Body: json.RawMessage(`{}`), Links: []catalogue.Link{{Relation: "r", Target: "new"}, {Relation: "q", Target: "x"}}}
	if _, err := tx.PutResource(ctx, created, catalogue.Condition{New: true}); err != nil {
		return err
	}
	if err := tx.DeleteResource(ctx, crashInstance(2), catalogue.Condition{}); err != nil {
		return err
	}
	for _, write := range []func() error{
		func() error {
			return tx.PutSecret(ctx, catalogue.Secret{Owner: one.ID, Name: "s", Sealed: []byte("new")})
		},
		func() error {
			return tx.PutSecret(ctx, catalogue.Secret{Owner: created.ID, Name: "t", Sealed: []byte("new")})
		},
		func() error { return tx.DeletePoint(ctx, one.ID, "p") },
		func() error { return tx.PutPoint(ctx, catalogue.Point{Instance: created.ID, Name: "p"}) },
		func() error { return tx.PutJob(ctx, catalogue.Job{Vault: crashVault, Name: "j"}) },
		func() error { return tx.PutOperation(ctx, catalogue.Operation{ID: "o"}) },
		func() error { return tx.AppendAudit(ctx, catalogue.AuditEntry{Target: created.ID}) },
		func() error {
			return tx.AddSlot(ctx, catalogue.Slot{Instance: one.ID, At: time.Unix(2, 0), Outcome: catalogue.SlotBegun, Job: "j"})
		},
		func() error {
			return tx.PutDue(ctx, catalogue.Due{Instance: one.ID, At: time.Unix(3, 0), Slot: time.Unix(2, 0)})
		},
		func() error {
			return tx.PutDeletion(ctx, catalogue.Deletion{Vault: crashVault, Instance: one.ID, Point: "p", Since: time.Unix(2, 0)})
		},
		func() error { return tx.DeleteDeletion(ctx, crashVault, crashInstance(2), "old", "") },
		func() error {
			return tx.PutReading(ctx, catalogue.Reading{Vault: crashVault, Instance: one.ID, Day: time.Unix(0, 0)})
		},
		func() error {
			_, _, err := tx.RaiseAlert(ctx, catalogue.Alert{Vault: crashVault, Name: "again", Kind: "k", Target: one.ID, Last: time.Unix(2, 0)})
			return err
		},
		func() error {
			_, _, err := tx.RaiseAlert(ctx, catalogue.Alert{Vault: crashVault, Name: "new", Kind: "k", Target: created.ID, Last: time.Unix(2, 0)})
			return err
		},
		func() error {
			_, err := tx.MoveResource(ctx, one.ID, crashVault.Child("deletedBackupInstances", "x"), catalogue.Condition{})
			return err
		},
	} {
		if err := write(); err != nil {
			return err
		}
	}
	return nil
}

// dump is all that can be read, as lines.
func dump(t *testing.T, db *Database) string {
	t.Helper()
	var lines strings.Builder
	err := db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		resources, err := v.Resources(ctx, catalogue.ResourceQuery{Limit: maxPage})
		if err != nil {
			return err
		}
		for _, r := range resources {
			points, err := v.Points(ctx, catalogue.PointQuery{Instance: r.ID, Limit: maxPage})
			secrets, secretsErr := v.Secrets(ctx, r.ID)
			jobs, jobsErr := v.Jobs(ctx, catalogue.JobQuery{Vault: r.ID, Limit: maxPage})
			slots, slotsErr := v.Slots(ctx, catalogue.SlotQuery{Instance: r.ID, Limit: maxPage})
			deletions, deletionsErr := v.Deletions(ctx, catalogue.DeletionQuery{Vault: r.ID, Limit: maxPage})
			alerts, alertsErr := v.Alerts(ctx, catalogue.AlertQuery{Vault: r.ID, Limit: maxPage})
			readings, readingsErr := v.Readings(ctx, catalogue.ReadingQuery{Vault: r.ID, Limit: maxPage})
			if err := errors.Join(err, secretsErr, jobsErr, slotsErr, deletionsErr, alertsErr, readingsErr); err != nil {
				return err
			}
			fmt.Fprintf(&lines, "%s %d %s %v %v %v %v %v %v %v %v\n", r.ID, r.Version, r.Body, r.Links, points, secrets, jobs, slots, deletions, alerts, readings)
		}
		due, err := v.Due(ctx, catalogue.DueQuery{Until: time.Unix(99, 0), Limit: maxPage})
		expiring, expiringErr := v.Expiring(ctx, time.Unix(99, 0), "", maxPage)
		fmt.Fprintf(&lines, "due %v, expiring %v\n", due, expiring)
		if err := errors.Join(err, expiringErr); err != nil {
			return err
		}
		for _, target := range []string{"old", "new", "x"} {
			for _, relation := range []string{"r", "q"} {
				found, err := v.Resources(ctx, catalogue.ResourceQuery{Linked: &catalogue.Link{Relation: relation, Target: target}, Limit: maxPage})
				if err != nil {
					return err
				}
				fmt.Fprintf(&lines, "%s %s: %d\n", relation, target, len(found))
			}
		}
		o, missing := v.Operation(ctx, "o")
		entries, err := v.Audit(ctx, catalogue.AuditQuery{Limit: maxPage})
		scoped, scopedErr := v.Audit(ctx, catalogue.AuditQuery{Under: crashVault, Limit: maxPage})
		fmt.Fprintf(&lines, "%v %v %d %d\n", o, missing, len(entries), len(scoped))
		return errors.Join(err, scopedErr)
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines.String()
}

// testEachStatement fails the use case at each of its statements in turn, before it and after it. fresh makes an empty place.
func testEachStatement(t *testing.T, fresh func(t *testing.T) place, run func(t *testing.T, p place, n int, after bool) error) {
	t.Helper()
	var before, complete string
	var statements int
	{
		var f faults
		db := fresh(t).mustOpen(t, &f)
		if err := seed(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		before = dump(t, db)
		f.arm(1<<30, false, nil)
		if err := db.Update(t.Context(), useCase); err != nil {
			t.Fatal(err)
		}
		statements = f.disarm()
		complete = dump(t, db)
	}
	if statements < 20 || before == complete {
		t.Fatalf("the use case has %d statements and comes to\n%s", statements, complete)
	}
	for n := 1; n <= statements; n++ {
		for _, after := range []bool{false, true} {
			p := fresh(t)
			err := run(t, p, n, after)
			if err == nil {
				t.Errorf("statement %d of %d failed (after it: %v), and that was not told", n, statements, after)
			}
			db := p.mustOpen(t, nil)
			want := before
			if n == statements && after {
				// Only the answer to COMMIT was lost.
				want = complete
			}
			if diff := cmp.Diff(want, dump(t, db)); diff != "" {
				t.Errorf("after statement %d of %d failed (after it: %v), the state is (-want +got):\n%s", n, statements, after, diff)
			}
			if err := errors.Join(seed(t.Context(), db), db.Close()); err != nil {
				t.Errorf("after statement %d of %d failed (after it: %v), the database does not go on: %v", n, statements, after, err)
			}
		}
	}
}

// failEachStatement has a database that goes on, with a driver that fails once.
func failEachStatement(t *testing.T, p place, n int, after bool) error {
	t.Helper()
	var f faults
	db := p.mustOpen(t, &f)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	f.arm(n, after, func() error { return errInjected })
	err := db.Update(t.Context(), useCase)
	f.disarm()
	if !errors.Is(err, errInjected) {
		t.Errorf("statement %d: %v", n, err)
	}
	if err := errors.Join(db.Ping(t.Context()), db.Close()); err != nil {
		t.Errorf("after statement %d: %v", n, err)
	}
	return err
}

func TestEachStatementOfSQLiteFailsWithAllOrNothing(t *testing.T) {
	testEachStatement(t, newFile, failEachStatement)
}

func newFile(t *testing.T) place {
	return place{SQLite: filepath.Join(t.TempDir(), "catalogue.db")}
}

// TestAFullSQLiteKeepsItsStateAndGoesOn bounds the file's pages, as a full disk does.
func TestAFullSQLiteKeepsItsStateAndGoesOn(t *testing.T) {
	db := newFile(t).mustOpen(t, nil)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	limit := func(pages int) {
		if _, err := db.write.ExecContext(t.Context(), fmt.Sprintf("PRAGMA max_page_count = %d", pages)); err != nil {
			t.Fatal(err)
		}
	}
	before := dump(t, db)
	limit(1)
	for range 3 {
		err := db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
			if err := useCase(ctx, tx); err != nil {
				return err
			}
			big := catalogue.Resource{ID: crashInstance(9), Body: json.RawMessage(strings.Repeat("x", 1<<20))}
			// A use case that does not look at its errors must not come to half of its effects.
			_, _ = tx.PutResource(ctx, big, catalogue.Condition{})
			_ = tx.PutOperation(ctx, catalogue.Operation{ID: "after the disk was full"})
			return nil
		})
		mustBeAway(t, err, "no room left", "make room")
		if coffer.CodeOf(err) != coffer.CodeDatabaseFull {
			t.Errorf("the code is %s", coffer.CodeOf(err))
		}
		if diff := cmp.Diff(before, dump(t, db)); diff != "" {
			t.Fatalf("the state changed (-want +got):\n%s", diff)
		}
		err = db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
			_, err := v.Operation(ctx, "after the disk was full")
			return err
		})
		if coffer.CodeOf(err) != coffer.CodeResourceNotFound {
			t.Errorf("what was written after the failure: %v", err)
		}
	}
	limit(1 << 20)
	if err := db.Update(t.Context(), useCase); err != nil {
		t.Error(err)
	}
}

// TestNothingIsWrittenBehindATransactionThatSQLiteHasEnded has SQLite end a transaction by itself, as it does for some failures.
// What a use case writes that does not look at its errors would be written alone.
func TestNothingIsWrittenBehindATransactionThatSQLiteHasEnded(t *testing.T) {
	var f faults
	db := newFile(t).mustOpen(t, &f)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	before := dump(t, db)
	err := db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		if err := useCase(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.(*transaction).tx.ExecContext(ctx, "ROLLBACK"); err != nil {
			return err
		}
		f.arm(1, false, func() error { return errInjected })
		_ = tx.PutOperation(ctx, catalogue.Operation{ID: "fails"})
		_ = tx.PutOperation(ctx, catalogue.Operation{ID: "o"})
		_, _ = tx.PutResource(ctx, catalogue.Resource{ID: crashInstance(9)}, catalogue.Condition{})
		return nil
	})
	if !errors.Is(err, errInjected) {
		t.Errorf("the error is %v", err)
	}
	if diff := cmp.Diff(before, dump(t, db)); diff != "" {
		t.Errorf("the state changed (-want +got):\n%s", diff)
	}
}

// mustBeAway holds that an error tells the caller to try again, and a person what to do.
func mustBeAway(t *testing.T, err error, words ...string) {
	t.Helper()
	var coded *coffer.Error
	if !errors.As(err, &coded) || coded.Code != coffer.CodeDatabaseUnavailable && coded.Code != coffer.CodeDatabaseFull || !coded.Transient || coded.Hint == "" {
		t.Fatalf("the error is %v, want one that is transient and has code %s or %s", err, coffer.CodeDatabaseUnavailable, coffer.CodeDatabaseFull)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error is %q, want one with %q", err, word)
		}
	}
}
