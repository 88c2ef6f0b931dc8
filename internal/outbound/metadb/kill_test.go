package metadb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// orders are what a child process of these tests is to do. It is this program, and is killed in the midst of it.
type orders struct {
	Place place
	// Statement, if it is not 0, is the one of useCase at which the child kills itself, before it or after it.
	Statement int
	After     bool
	// From is the first number that it writes, if Statement is 0, and so on until it is killed.
	From int
}

const ordersVariable = "COFFER_TEST_METADB_ORDERS"

func TestMain(m *testing.M) {
	text := os.Getenv(ordersVariable)
	if text == "" {
		os.Exit(m.Run())
	}
	var o orders
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = obey(context.Background(), o)
	}
	_, _ = fmt.Fprintln(os.Stderr, "the child ended by itself:", err)
	os.Exit(1)
}

func obey(ctx context.Context, o orders) error {
	var f faults
	db, err := o.Place.open(ctx, &f)
	if err != nil {
		return err
	}
	if o.Statement > 0 {
		if err := seed(ctx, db); err != nil {
			return err
		}
		f.arm(o.Statement, o.After, func() error {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		})
		return db.Update(ctx, useCase)
	}
	for n := o.From; ; n++ {
		if err := db.Update(ctx, func(ctx context.Context, tx catalogue.Tx) error { return writeNumber(ctx, tx, n) }); err != nil {
			return err
		}
		// Unbuffered: what is read from here was acknowledged.
		if _, err := fmt.Fprintln(os.Stdout, n); err != nil {
			return err
		}
	}
}

// start begins a child. What it says on its standard output can be read.
func start(t *testing.T, o orders) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), ordersVariable+"="+string(text))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return child, bufio.NewScanner(out)
}

func mustBeKilled(t *testing.T, child *exec.Cmd) {
	t.Helper()
	err := child.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v", err)
	}
}

// killEachStatement has a process that dies at a statement.
func killEachStatement(t *testing.T, p place, n int, after bool) error {
	t.Helper()
	child, _ := start(t, orders{Place: p, Statement: n, After: after})
	mustBeKilled(t, child)
	return errInjected
}

// writeNumber writes rows that belong together.
func writeNumber(ctx context.Context, tx catalogue.Tx, n int) error {
	id := crashInstance(n)
	body := json.RawMessage(fmt.Sprintf(`{"number":%d}`, n))
	r := catalogue.Resource{ID: id, Body: body, Links: []catalogue.Link{{Relation: "number", Target: strconv.Itoa(n)}}}
	if _, err := tx.PutResource(ctx, r, catalogue.Condition{New: true}); err != nil {
		return err
	}
	if _, _, err := tx.RaiseAlert(ctx, catalogue.Alert{Vault: id, Name: "a", Kind: "k", Target: id, Body: body}); err != nil {
		return err
	}
	return errors.Join(
		tx.AddSlot(ctx, catalogue.Slot{Instance: id, At: time.Unix(int64(n), 0), Job: string(body)}),
		tx.PutDue(ctx, catalogue.Due{Instance: id, At: time.Unix(int64(n), 0)}),
		tx.PutDeletion(ctx, catalogue.Deletion{Vault: id, Instance: id, Point: "p", Work: body}),
		tx.PutReading(ctx, catalogue.Reading{Vault: id, Instance: id, Redundancy: string(body)}),
		tx.PutSecret(ctx, catalogue.Secret{Owner: id, Name: "s", Sealed: body}),
		tx.PutPoint(ctx, catalogue.Point{Instance: id, Name: "p", Time: time.Unix(int64(n), 0), Body: body}),
		tx.PutJob(ctx, catalogue.Job{Vault: id, Name: "j", Started: time.Unix(int64(n), 0), Body: body}),
		tx.PutOperation(ctx, catalogue.Operation{ID: strconv.Itoa(n), Result: body}),
		tx.AppendAudit(ctx, catalogue.AuditEntry{Target: id, After: body}),
	)
}

// whole says whether a number is there with all that belongs to it; half is an error.
func whole(ctx context.Context, v catalogue.View, n int) (bool, error) {
	id, want := crashInstance(n), fmt.Sprintf(`{"number":%d}`, n)
	found := 0
	is := func(body []byte, err error) {
		if err == nil && string(body) == want {
			found++
		}
	}
	r, err := v.Resource(ctx, id)
	is(r.Body, err)
	p, err := v.Point(ctx, id, "p")
	is(p.Body, err)
	j, err := v.Job(ctx, id, "j")
	is(j.Body, err)
	o, err := v.Operation(ctx, strconv.Itoa(n))
	is(o.Result, err)
	a, err := v.Alert(ctx, id, "a")
	is(a.Body, err)
	d, err := v.Deletion(ctx, id, id, "p", "")
	is(d.Work, err)
	due, err := v.DueOf(ctx, id)
	for _, d := range due {
		is(fmt.Appendf(nil, `{"number":%d}`, d.At.Unix()), err)
	}
	slots, err := v.Slots(ctx, catalogue.SlotQuery{Instance: id, Limit: 2})
	for _, s := range slots {
		is([]byte(s.Job), err)
	}
	readings, err := v.Readings(ctx, catalogue.ReadingQuery{Vault: id, Limit: 2})
	for _, r := range readings {
		is([]byte(r.Redundancy), err)
	}
	secrets, err := v.Secrets(ctx, id)
	for _, s := range secrets {
		is(s.Sealed, err)
	}
	entries, err := v.Audit(ctx, catalogue.AuditQuery{Under: id, Limit: 2})
	for _, e := range entries {
		is(e.After, err)
	}
	linked, err := v.Resources(ctx, catalogue.ResourceQuery{Linked: &catalogue.Link{Relation: "number", Target: strconv.Itoa(n)}, Limit: 2})
	for _, r := range linked {
		is(r.Body, err)
	}
	const parts = 12
	if found != 0 && found != parts {
		return false, fmt.Errorf("of number %d, %d of %d parts are there", n, found, parts)
	}
	return found == parts, nil
}

// testKills kills writers at random moments, one after the other. What they acknowledged is there, and nothing half.
func testKills(t *testing.T, p place, rounds int) {
	t.Helper()
	next := 1
	for range rounds {
		child, lines := start(t, orders{Place: p, From: next})
		acknowledged := next - 1
		kill := func() { _ = child.Process.Kill() }
		for enough := next + rand.IntN(30); lines.Scan(); { //nolint:gosec // no secret depends on it
			n, err := strconv.Atoi(lines.Text())
			if err != nil || n != acknowledged+1 {
				t.Fatalf("after %d, the child says %q", acknowledged, lines.Text())
			}
			acknowledged = n
			if n == enough {
				// Within the time that a few transactions take.
				time.AfterFunc(rand.N(20*time.Millisecond), kill) //nolint:gosec // no secret depends on it
			}
		}
		mustBeKilled(t, child)
		db := p.mustOpen(t, nil)
		last := 0
		err := db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
			for n := 1; n <= acknowledged+1; n++ {
				there, err := whole(ctx, v, n)
				if err != nil {
					return err
				}
				if !there && n <= acknowledged {
					return fmt.Errorf("number %d was acknowledged, and is not there", n)
				}
				if there {
					last = n
				}
			}
			there, err := whole(ctx, v, acknowledged+2)
			if there {
				err = fmt.Errorf("number %d is there, and %d was not acknowledged", acknowledged+2, acknowledged+1)
			}
			return err
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		next = last + 1
	}
	t.Logf("%d writers were killed, and wrote %d", rounds, next-1)
}

func TestAKilledWriterOfSQLiteLeavesAllOrNothing(t *testing.T) {
	testEachStatement(t, newFile, killEachStatement)
}

func TestKilledWritersOfSQLiteKeepWhatTheyAcknowledged(t *testing.T) {
	testKills(t, newFile(t), 10)
}
