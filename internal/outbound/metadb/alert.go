package metadb

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

const alertColumns = "name, kind, target_spelling, state, first, last, count, closed, body"

// Alert reads one.
func (v *view) Alert(ctx context.Context, vault catalogue.ID, name string) (catalogue.Alert, error) {
	var found catalogue.Alert
	if !findable(word("name", name)) {
		return found, noAlert(vault, name)
	}
	in, err := v.existing(ctx, vault)
	if err != nil {
		return found, err
	}
	if in == nil {
		return found, noAlert(vault, name)
	}
	there, err := v.one(ctx, "read an alert", scanAlert(&found, in.id),
		"SELECT "+alertColumns+" FROM alerts WHERE vault = $1 AND name = $2", in.row, name)
	if err == nil && !there {
		err = noAlert(vault, name)
	}
	return found, err
}

// Alerts reads a page.
func (v *view) Alerts(ctx context.Context, q catalogue.AlertQuery) ([]catalogue.Alert, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	if !findable(key("target", q.Target), word("kind", q.Kind), word("state", string(q.State))) || q.After != nil && !findable(word("name", q.After.Name)) {
		return nil, nil
	}
	in, err := v.existing(ctx, q.Vault)
	if err != nil || in == nil {
		return nil, err
	}
	var f filter
	f.add("vault = ?", in.row)
	if q.Target != "" {
		f.add("target = ?", q.Target.Key())
	}
	if q.Kind != "" {
		f.add("kind = ?", q.Kind)
	}
	if q.State != "" {
		f.add("state = ?", string(q.State))
	}
	if q.Open {
		f.add("closed IS NULL")
	}
	f.after("last", q.After)
	var found []catalogue.Alert
	err = v.each(ctx, "read alerts", func(row scanner) error {
		var a catalogue.Alert
		err := scanAlert(&a, in.id)(row)
		found = append(found, a)
		return err
	}, "SELECT "+alertColumns+" FROM alerts"+f.page("last DESC, name DESC", q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

func scanAlert(a *catalogue.Alert, vault catalogue.ID) func(scanner) error {
	return func(row scanner) error {
		var first, last int64
		var closed sql.NullInt64
		var contents []byte
		err := row.Scan(&a.Name, &a.Kind, &a.Target, &a.State, &first, &last, &a.Count, &closed, &contents)
		a.Vault, a.First, a.Last, a.Closed, a.Body = vault, fromMicros(first), fromMicros(last), fromMaybe(closed), body(contents)
		return err
	}
}

// RaiseAlert counts an open alert, or makes a new one. Where two make the same one at once, an index lets one of them do so, and the other
// is run again and counts it.
func (t *transaction) RaiseAlert(ctx context.Context, a catalogue.Alert) (catalogue.Alert, bool, error) {
	err := checkText(key("vault", a.Vault), word("name of an alert", a.Name), word("kind of an alert", a.Kind), key("target", a.Target))
	if err != nil {
		return a, false, err
	}
	in, err := t.existing(ctx, a.Vault)
	if err != nil {
		return a, false, err
	}
	if in == nil {
		return a, false, noResource(a.Vault)
	}
	var counted catalogue.Alert
	there, err := t.one(ctx, "count an alert", scanAlert(&counted, in.id),
		"UPDATE alerts SET last = $1, count = count + 1, body = $2 WHERE vault = $3 AND kind = $4 AND target = $5 AND closed IS NULL RETURNING "+alertColumns,
		micros(a.Last), bytes(a.Body), in.row, a.Kind, a.Target.Key())
	if err != nil || there {
		return counted, false, err
	}
	a.Vault, a.State, a.Count, a.Closed = in.id, catalogue.AlertFired, 1, time.Time{}
	a.First, a.Last = fromMicros(micros(a.First)), fromMicros(micros(a.Last))
	n, err := t.exec(ctx, "write an alert",
		"INSERT INTO alerts (vault, name, kind, target, target_spelling, state, first, last, count, body) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1, $9)"+
			" ON CONFLICT (vault, name) DO NOTHING",
		in.row, a.Name, a.Kind, a.Target.Key(), string(a.Target), string(a.State), micros(a.First), micros(a.Last), bytes(a.Body))
	if err == nil && n == 0 {
		err = coffer.Errorf(coffer.CodePreconditionFailed, "there is an alert %q in %s already", a.Name, a.Vault).WithHint("give the new one a name of its own")
	}
	return a, err == nil, err
}

// PutAlert replaces one.
func (t *transaction) PutAlert(ctx context.Context, a catalogue.Alert) error {
	if (a.State == catalogue.AlertClosed) == a.Closed.IsZero() {
		return fmt.Errorf("the alert %q of %s cannot be %s and have been closed at %v", a.Name, a.Vault, a.State, a.Closed)
	}
	if err := checkText(word("state of an alert", string(a.State))); err != nil {
		return err
	}
	was, err := t.Alert(ctx, a.Vault, a.Name)
	if err != nil {
		return err
	}
	if !was.Closed.IsZero() && a.Closed.IsZero() {
		return coffer.Errorf(coffer.CodePreconditionFailed, "the alert %q of %s is closed, and is not opened again", a.Name, a.Vault).
			WithHint("what happens again has an alert of its own")
	}
	_, err = t.exec(ctx, "replace an alert",
		"UPDATE alerts SET state = $1, last = $2, count = $3, closed = $4, body = $5 WHERE name = $6 AND vault = (SELECT id FROM resources WHERE key = $7)",
		string(a.State), micros(a.Last), a.Count, maybe(a.Closed), bytes(a.Body), a.Name, a.Vault.Key())
	return err
}

// DeleteAlerts deletes those that were closed long ago.
func (t *transaction) DeleteAlerts(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := t.exec(ctx, "delete alerts",
		"DELETE FROM alerts WHERE (vault, name) IN (SELECT vault, name FROM alerts WHERE closed < $1 ORDER BY closed LIMIT $2)", micros(before), limit)
	return int(n), err
}

func noAlert(vault catalogue.ID, name string) error {
	return notFound("the alert %q of %s was not found", name, vault)
}
