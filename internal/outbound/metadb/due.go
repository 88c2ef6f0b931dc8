package metadb

import (
	"context"
	"database/sql"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const dueColumns = "r.spelling, d.time, d.slot, d.schedule, d.policy FROM due d JOIN resources r ON r.key = d.instance"

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
	var found []catalogue.Due
	err := v.each(ctx, "read what is due", func(row scanner) error {
		var d catalogue.Due
		err := scanDue(&d)(row)
		found = append(found, d)
		return err
	}, "SELECT "+dueColumns+f.page("d.time, d.instance", q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// DueOf reads that of an instance.
func (v *view) DueOf(ctx context.Context, instance catalogue.ID) (catalogue.Due, error) {
	var found catalogue.Due
	missing := notFound("nothing is due of %s", instance)
	if !findable(key("instance", instance)) {
		return found, missing
	}
	there, err := v.one(ctx, "read when an instance is due", scanDue(&found), "SELECT "+dueColumns+" WHERE d.instance = $1", instance.Key())
	if err == nil && !there {
		err = missing
	}
	return found, err
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

// PutDue creates or replaces that of an instance.
func (t *transaction) PutDue(ctx context.Context, d catalogue.Due) error {
	if err := checkText(key("instance", d.Instance), word("schedule", d.Schedule), word("policy", d.Policy)); err != nil {
		return err
	}
	n, err := t.exec(ctx, "write when an instance is due",
		"INSERT INTO due (instance, time, slot, schedule, policy) SELECT key, $1, $2, $3, $4 FROM resources WHERE key = $5"+
			" ON CONFLICT (instance) DO UPDATE SET time = excluded.time, slot = excluded.slot, schedule = excluded.schedule, policy = excluded.policy",
		micros(d.At), maybe(d.Slot), d.Schedule, d.Policy, d.Instance.Key())
	if err == nil && n == 0 {
		err = noResource(d.Instance)
	}
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
