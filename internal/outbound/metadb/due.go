package metadb

import (
	"context"
	"database/sql"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const dueColumns = "r.spelling, d.time, d.slot, d.schedule, d.policy FROM due d JOIN resources r ON r.key = d.instance"

// maxSchedule is the longest text of a schedule: one of as many intervals and windows as a policy may have is half as long.
const maxSchedule = 16 << 10

// Due reads a page.
func (v *view) Due(ctx context.Context, q catalogue.DueQuery) ([]catalogue.Due, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	var f filter
	f.add("d.time <= ?", micros(q.Until))
	if q.After != nil {
		if !findable(key("instance", q.After.Instance)) {
			return nil, nil
		}
		f.add("(d.time, d.instance) > (?, ?)", micros(q.After.At), q.After.Instance.Key())
	}
	return list(ctx, v, "read what is due", scanDue, "SELECT "+dueColumns+f.page("d.time, d.instance", q.Limit), f.values...)
}

// DueOf reads those of instances.
func (v *view) DueOf(ctx context.Context, instances ...catalogue.ID) ([]catalogue.Due, error) {
	if err := checkSome(instances); err != nil {
		return nil, err
	}
	var f filter
	f.among("d.instance", keysOf(instances))
	return list(ctx, v, "read when instances are due", scanDue, "SELECT "+dueColumns+f.page("d.instance", maxPage), f.values...)
}

func scanDue(d *catalogue.Due) func(scanner) error {
	return func(row scanner) error {
		var at int64
		var slot sql.NullInt64
		err := row.Scan(&d.Instance, &at, &slot, &d.Schedule, &d.Policy)
		d.At, d.Slot = fromMicros(at), fromMaybe(slot)
		return err
	}
}

// PutDue creates or replaces those of instances.
func (t *transaction) PutDue(ctx context.Context, some ...catalogue.Due) error {
	instances := make([]catalogue.ID, len(some))
	for i, d := range some {
		if err := checkText(key("instance", d.Instance), field{"schedule", d.Schedule, maxSchedule}, word("policy", d.Policy)); err != nil {
			return err
		}
		instances[i] = d.Instance
	}
	if _, err := t.rowsOf(ctx, instances); err != nil {
		return err
	}
	_, err := insert(ctx, t, "write when instances are due", "due (instance, time, slot, schedule, policy)", some,
		func(d catalogue.Due) []any {
			return []any{d.Instance.Key(), micros(d.At), maybe(d.Slot), d.Schedule, d.Policy}
		},
		" ON CONFLICT (instance) DO UPDATE SET time = excluded.time, slot = excluded.slot, schedule = excluded.schedule, policy = excluded.policy")
	return err
}

// DeleteDue deletes that of an instance, if there is one.
func (t *transaction) DeleteDue(ctx context.Context, instance catalogue.ID) error {
	if !findable(key("instance", instance)) {
		return nil
	}
	_, err := t.exec(ctx, "delete when an instance is due", "DELETE FROM due WHERE instance = $1", instance.Key())
	return err
}
