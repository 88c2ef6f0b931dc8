package metadb

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// Slots reads a page.
func (v *view) Slots(ctx context.Context, q catalogue.SlotQuery) ([]catalogue.Slot, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	in, err := v.existing(ctx, q.Instance)
	if err != nil || in == nil {
		return nil, err
	}
	var f filter
	f.add("instance = ?", in.row)
	f.between("time", q.From, q.To)
	if !q.After.IsZero() {
		f.add("time < ?", micros(q.After))
	}
	var found []catalogue.Slot
	err = v.each(ctx, "read slots", func(row scanner) error {
		s := catalogue.Slot{Instance: in.id}
		var at, noted int64
		var since sql.NullInt64
		err := row.Scan(&at, &s.Outcome, &s.Job, &noted, &s.Missed, &since)
		s.At, s.Noted, s.Since = fromMicros(at), fromMicros(noted), fromMaybe(since)
		found = append(found, s)
		return err
	}, "SELECT time, outcome, job, noted, missed, since FROM slots"+f.page("time DESC", q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// AddSlot creates some. That there is one of an instance and a time is held by the key of the table, whoever else writes.
func (t *transaction) AddSlot(ctx context.Context, some ...catalogue.Slot) error {
	instances := make([]catalogue.ID, len(some))
	for i, s := range some {
		if err := checkText(key("instance", s.Instance), word("outcome of a slot", string(s.Outcome)), word("job of a slot", s.Job)); err != nil {
			return err
		}
		instances[i] = s.Instance
	}
	rows, err := t.rowsOf(ctx, instances)
	if err != nil {
		return err
	}
	n, err := insert(ctx, t, "write slots", "slots (instance, time, outcome, job, noted, missed, since)", some,
		func(s catalogue.Slot) []any {
			return []any{rows[s.Instance.Key()], micros(s.At), string(s.Outcome), s.Job, micros(s.Noted), s.Missed, maybe(s.Since)}
		}, " ON CONFLICT (instance, time) DO NOTHING")
	if err != nil || n == int64(len(some)) {
		return err
	}
	what := fmt.Sprintf("one of %d slots was", len(some))
	if len(some) == 1 {
		what = fmt.Sprintf("the slot %s of %s was", some[0].At.UTC().Format(time.RFC3339Nano), some[0].Instance)
	}
	return coffer.Errorf(coffer.CodePreconditionFailed, "%s dealt with already", what).WithHint("leave it to whoever has dealt with it")
}

// DeleteSlots deletes those of long ago.
func (t *transaction) DeleteSlots(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := t.exec(ctx, "delete slots",
		"DELETE FROM slots WHERE (instance, time) IN (SELECT instance, time FROM slots WHERE time < $1 ORDER BY time LIMIT $2)", micros(before), limit)
	return int(n), err
}
