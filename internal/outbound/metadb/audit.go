package metadb

import (
	"context"
	"slices"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// Audit reads a page.
func (v *view) Audit(ctx context.Context, q catalogue.AuditQuery) ([]catalogue.AuditEntry, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	from, column, f := "audit a", "a.sequence", filter{}
	if q.Under != "" {
		from, column = "audit_scopes s JOIN audit a ON a.sequence = s.sequence", "s.sequence"
		f.add("s.digest = ?", digest(catalogue.ID(readable(string(q.Under))).Key()))
	}
	if q.Principal != "" {
		f.add("a.principal = ?", readable(q.Principal))
	}
	// The order is that of writing. An index of times, which is for the oldest entries, would have all of a time read, and sorted, for each page.
	f.between("+a.time", q.From, q.To)
	if q.Before != 0 {
		f.add(column+" < ?", q.Before)
	}
	var found []catalogue.AuditEntry
	err := v.each(ctx, "read the audit log", func(row scanner) error {
		var e catalogue.AuditEntry
		var at int64
		var before, after []byte
		err := row.Scan(&e.Sequence, &at, &e.Principal, &e.Name, &e.Action, &e.Target, &e.Request, &e.Remote, &e.Status, &e.Code, &before, &after)
		e.Time, e.Before, e.After = fromMicros(at), body(before), body(after)
		found = append(found, e)
		return err
	}, "SELECT a.sequence, a.time, a.principal, a.name, a.action, a.target, a.request, a.remote, a.status, a.code, a.before, a.after FROM "+
		from+f.page(column+" DESC", q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// AppendAudit writes entries, whatever their texts are: what nobody can keep as it is must not keep an entry from the log.
func (t *transaction) AppendAudit(ctx context.Context, some ...catalogue.AuditEntry) error {
	const doing = "write to the audit log"
	type found struct {
		scope    string
		sequence int64
	}
	var all []found
	err := inBatches(some, func(batch []catalogue.AuditEntry) error {
		query, args := inserting("audit (time, principal, name, action, target, request, remote, status, code, before, after)", batch, auditValues, " RETURNING sequence")
		sequences, err := list(ctx, &t.view, doing, func(sequence *int64) func(scanner) error {
			return func(row scanner) error { return row.Scan(sequence) }
		}, query, args...)
		if err != nil {
			return err
		}
		// Rows get their numbers in the order in which they are written; in which order those are answered, neither database promises.
		slices.Sort(sequences)
		for i, e := range batch {
			for _, scope := range scopes(auditTarget(e)) {
				all = append(all, found{scope, sequences[i]})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	_, err = insert(ctx, t, doing, "audit_scopes (digest, sequence)", all, func(f found) []any { return []any{digest(f.scope), f.sequence} }, "")
	return err
}

// auditTarget is what an entry is of, as it is kept.
func auditTarget(e catalogue.AuditEntry) catalogue.ID {
	return catalogue.ID(readable(string(e.Target)))
}

func auditValues(e catalogue.AuditEntry) []any {
	return []any{
		micros(e.Time), readable(e.Principal), readable(e.Name), readable(e.Action), string(auditTarget(e)), readable(e.Request), readable(e.Remote),
		e.Status, readable(e.Code), bytes(e.Before), bytes(e.After),
	}
}

// DeleteAudit deletes entries of long ago. Triggers of the database refuse to delete any other: the time is written first that they go by, which never
// goes back.
func (t *transaction) DeleteAudit(ctx context.Context, before time.Time, limit int) (int, error) {
	const doing, old = "delete entries of the audit log", "sequence IN (SELECT sequence FROM audit WHERE time < $1 ORDER BY time, sequence LIMIT $2)"
	_, err := t.exec(ctx, doing, "INSERT INTO audit_end (id, before) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET before = excluded.before"+
		" WHERE excluded.before > audit_end.before", micros(before))
	if err != nil {
		return 0, err
	}
	if _, err := t.exec(ctx, doing, "DELETE FROM audit_scopes WHERE "+old, micros(before), limit); err != nil {
		return 0, err
	}
	n, err := t.exec(ctx, doing, "DELETE FROM audit WHERE "+old, micros(before), limit)
	return int(n), err
}

// scopes are the keys of all that a target lies within: itself, and what ends before every second slash.
func scopes(target catalogue.ID) []string {
	key := target.Key()
	if key == "" {
		return nil
	}
	found := []string{key}
	for i, slashes := 1, 0; i < len(key); i++ {
		if key[i] != '/' {
			continue
		}
		if slashes++; slashes%2 == 0 {
			found = append(found, key[:i])
		}
	}
	return found
}
