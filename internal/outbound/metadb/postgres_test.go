//go:build stores

package metadb

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/outbound/metadb/metadbtest"
)

// newSchema is the URL of an empty schema of a real PostgreSQL. A missing server fails the test: whoever runs tests of real
// servers wants them run.
func newSchema(t testing.TB) string {
	t.Helper()
	const variable = "COFFER_SERVICE_POSTGRES"
	server := os.Getenv(variable)
	if server == "" {
		t.Fatalf("%s is not set: start the server with `build/bin/lab service up postgres` and name it with `eval \"$(build/bin/lab service env)\"`", variable)
	}
	name := "test_" + strings.ToLower(rand.Text())
	db, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "CREATE SCHEMA "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := db.ExecContext(context.WithoutCancel(t.Context()), "DROP SCHEMA "+name+" CASCADE")
		if err := errors.Join(err, db.Close()); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	values := address.Query()
	values.Set("search_path", name)
	address.RawQuery = values.Encode()
	return address.String()
}

func mustOpenPostgres(t testing.TB, c Postgres) *Database {
	t.Helper()
	db, err := OpenPostgres(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func TestPostgresConforms(t *testing.T) {
	metadbtest.Run(t, func(t *testing.T) catalogue.Database {
		return mustOpenPostgres(t, Postgres{URL: newSchema(t)})
	})
}

func newSchemaPlace(t *testing.T) place { return place{Postgres: newSchema(t)} }

func TestEachStatementOfPostgresFailsWithAllOrNothing(t *testing.T) {
	testEachStatement(t, newSchemaPlace, failEachStatement)
}

func TestAKilledWriterOfPostgresLeavesAllOrNothing(t *testing.T) {
	testEachStatement(t, newSchemaPlace, killEachStatement)
}

func TestKilledWritersOfPostgresKeepWhatTheyAcknowledged(t *testing.T) {
	testKills(t, newSchemaPlace(t), 10)
}

func TestASchemaIsMigratedOnce(t *testing.T) {
	testMigrations(t, goose.DialectPostgres, newSchemaPlace)
}

func TestRecoveryPointsOfOlderSchemasSayWhetherTheyAreGood(t *testing.T) {
	testOldPoints(t, goose.DialectPostgres, newSchemaPlace)
}

func TestASchemaOfANewerVersionIsRefused(t *testing.T) {
	testNewer(t, newSchemaPlace(t))
}

func TestEntriesOfTheAuditLogAreKeptInPostgres(t *testing.T) {
	db := newSchemaPlace(t).mustOpen(t, nil)
	mustKeepAudit(t, db, "DELETE FROM audit", "UPDATE audit SET status = 200", "TRUNCATE audit CASCADE", "DELETE FROM audit_scopes",
		"INSERT INTO audit SELECT * FROM audit")
}

// TestATransactionThatOthersAlwaysGetInTheWayOfEnds changes what an update has read, each time before it writes.
func TestATransactionThatOthersAlwaysGetInTheWayOfEnds(t *testing.T) {
	db := newSchemaPlace(t).mustOpen(t, nil)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	touch := func(ctx context.Context, tx catalogue.Tx) error {
		r, err := tx.Resource(ctx, crashVault)
		if err == nil {
			_, err = tx.PutResource(ctx, r, catalogue.Condition{Version: r.Version})
		}
		return err
	}
	attempts := 0
	contested := func(until int) error {
		attempts = 0
		return db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
			r, err := tx.Resource(ctx, crashVault)
			if err != nil {
				return err
			}
			if attempts++; attempts <= until {
				if err := db.Update(ctx, touch); err != nil {
					return err
				}
			}
			// What a use case makes of the error does not matter.
			if _, err := tx.PutResource(ctx, r, catalogue.Condition{Version: r.Version}); err != nil {
				return errors.New("the use case does not tell why")
			}
			return nil
		})
	}
	if err := contested(3); err != nil || attempts != 4 {
		t.Errorf("after %d attempts: %v", attempts, err)
	}
	mustBeAway(t, contested(1<<30), "too busy")
	if attempts != maxAttempts {
		t.Errorf("there were %d attempts, want %d", attempts, maxAttempts)
	}
}

// A relay stands between the tests and PostgreSQL, and can be cut.
type relay struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	cut      bool
	conns    []net.Conn
}

// newRelay answers a place whose server is behind a relay.
func newRelay(t *testing.T, p place) (*relay, place) {
	t.Helper()
	address, err := url.Parse(p.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: listener, target: address.Host}
	go r.serve()
	t.Cleanup(func() {
		_ = listener.Close()
		r.set(true)
	})
	address.Host = listener.Addr().String()
	return r, place{Postgres: address.String()}
}

func (r *relay) serve() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", r.target)
		r.mu.Lock()
		r.conns = append(r.conns, client)
		if err != nil || r.cut {
			_ = client.Close()
		}
		if err == nil {
			r.conns = append(r.conns, server)
			go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
		r.mu.Unlock()
	}
}

// set cuts all connections, and those to come, or lets them pass.
func (r *relay) set(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
	for _, conn := range r.conns {
		_ = conn.Close()
	}
	r.conns = nil
}

func TestPostgresThatGoesAwayIsToldAndComesBack(t *testing.T) {
	direct := newSchemaPlace(t)
	r, p := newRelay(t, direct)
	db := p.mustOpen(t, nil)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	// Several connections wait in the pool.
	err := db.View(t.Context(), func(ctx context.Context, _ catalogue.View) error { return db.Ping(ctx) })
	if err != nil {
		t.Fatal(err)
	}
	watch := direct.mustOpen(t, nil)
	before := dump(t, watch)
	err = db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		if err := useCase(ctx, tx); err != nil {
			return err
		}
		r.set(true)
		_ = tx.PutOperation(ctx, catalogue.Operation{ID: "late"})
		return nil
	})
	mustBeAway(t, err, "does not answer")
	mustBeAway(t, db.Ping(t.Context()), "does not answer")
	mustBeAway(t, db.Update(t.Context(), useCase), "does not answer")
	if _, err := p.open(t.Context(), nil); err == nil {
		t.Error("a database that is away was opened")
	} else {
		mustBeAway(t, err, "does not answer")
	}
	if diff := cmp.Diff(before, dump(t, watch)); diff != "" {
		t.Errorf("the state changed (-want +got):\n%s", diff)
	}
	r.set(false)
	if err := errors.Join(db.Ping(t.Context()), db.Update(t.Context(), useCase)); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

// TestPostgresThatEndsItsSessionsIsGoneOnWith has the server close connections that wait in the pool, as a restart does.
func TestPostgresThatEndsItsSessionsIsGoneOnWith(t *testing.T) {
	p := newSchemaPlace(t)
	db, other := p.mustOpen(t, nil), p.mustOpen(t, nil)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	var pid int
	err := db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		if err := useCase(ctx, tx); err != nil {
			return err
		}
		if err := tx.(*transaction).tx.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		_, err := other.write.ExecContext(ctx, "SELECT pg_terminate_backend($1)", pid)
		return err
	})
	mustBeAway(t, err)
	if err := db.Update(t.Context(), useCase); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestAnUnusableURLIsRefusedWithoutItsPassword(t *testing.T) {
	good, err := url.Parse(newSchema(t))
	if err != nil {
		t.Fatal(err)
	}
	with := func(change func(u *url.URL)) string {
		u := *good
		change(&u)
		return u.String()
	}
	for name, c := range map[string]struct{ url, want string }{
		"no URL":           {"post gres://hunter2", "postgres://USER"},
		"a bad port":       {"postgres://u:hunter2@h:port/d", "postgres://USER"},
		"no such server":   {"postgres://u:hunter2@127.0.0.1:1/d", "does not answer"},
		"no such database": {with(func(u *url.URL) { u.Path, u.User = "/none", url.UserPassword(u.User.Username(), "hunter2") }), "CREATE DATABASE"},
		"no such user":     {with(func(u *url.URL) { u.User = url.UserPassword("nobody", "hunter2") }), "--database"},
	} {
		db, err := OpenPostgres(t.Context(), Postgres{URL: c.url})
		if err == nil {
			_ = db.Close()
			t.Errorf("%s: it was opened", name)
			continue
		}
		if coffer.CodeOf(err) == "" || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v with code %q", name, err, coffer.CodeOf(err))
		}
	}
}

func BenchmarkPagesOfPostgres(b *testing.B) {
	benchPages(b, mustOpenPostgres(b, Postgres{URL: newSchema(b)}))
}

// TestAStatementThatTakesTooLongIsWorthAnotherTry has the server give up.
func TestAStatementThatTakesTooLongIsWorthAnotherTry(t *testing.T) {
	p := newSchemaPlace(t)
	patient := p.mustOpen(t, nil)
	if err := seed(t.Context(), patient); err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(p.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	values := address.Query()
	values.Set("lock_timeout", "10")
	address.RawQuery = values.Encode()
	hurried := place{Postgres: address.String()}.mustOpen(t, nil)
	err = patient.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		if err := useCase(ctx, tx); err != nil {
			return err
		}
		mustBeAway(t, hurried.Update(ctx, useCase), "in time")
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestATransactionThatIsEndedForBeingIdleIsWorthAnotherTry has the server end the session of one that waits for a key too long.
func TestATransactionThatIsEndedForBeingIdleIsWorthAnotherTry(t *testing.T) {
	p := newSchemaPlace(t)
	address, err := url.Parse(p.Postgres)
	if err != nil {
		t.Fatal(err)
	}
	values := address.Query()
	values.Set("idle_in_transaction_session_timeout", "50")
	address.RawQuery = values.Encode()
	db, other := place{Postgres: address.String()}.mustOpen(t, nil), p.mustOpen(t, nil)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	mustBeAway(t, db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		if err := useCase(ctx, tx); err != nil {
			return err
		}
		var pid int
		if err := tx.(*transaction).tx.QueryRowContext(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
			return err
		}
		_, err := other.write.ExecContext(ctx, fmt.Sprintf(`DO $$ BEGIN
			WHILE EXISTS (SELECT FROM pg_stat_activity WHERE pid = %d) LOOP
				PERFORM pg_sleep(0.01);
				PERFORM pg_stat_clear_snapshot();
			END LOOP;
		END $$`, pid))
		if err != nil {
			return err
		}
		return tx.PutOperation(ctx, catalogue.Operation{ID: "late"})
	}), "in time")
	if err := db.Update(t.Context(), useCase); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// TestPostgresHasAnIndexForEachStatement asks PostgreSQL how it goes about each statement where reading a table from end to end, and sorting, cost more
// than anything else: it need do neither. An index whose order of texts is another one than that of its column would be of no use to it.
func TestPostgresHasAnIndexForEachStatement(t *testing.T) {
	f := faults{}
	db := newSchemaPlace(t).mustOpen(t, &f)
	all := statements(t, db, &f)
	err := db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		with := v.(*view)
		for _, setting := range []string{"enable_seqscan", "enable_sort", "enable_incremental_sort"} {
			if _, err := with.exec(ctx, "avoid it", "SET LOCAL "+setting+" = off"); err != nil {
				return err
			}
		}
		for _, q := range all {
			if strings.HasPrefix(q.text, "LOCK") {
				continue // has no plan
			}
			lines, err := list(ctx, with, "explain "+q.text, func(line *string) func(scanner) error {
				return func(row scanner) error { return row.Scan(line) }
			}, "EXPLAIN "+q.text, q.args...)
			if err != nil {
				return err
			}
			plan := strings.Join(lines, "\n")
			// What a query has gathered before is sorted.
			sorts := strings.Contains(plan, "Sort Key") && !strings.HasPrefix(q.text, "WITH")
			if plan == "" || sorts || strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s\n%s", q.text, plan)
			}
		}
		return nil
	})
	if err != nil || len(all) < 85 {
		t.Errorf("%d statements: %v", len(all), err)
	}
}
