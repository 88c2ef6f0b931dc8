package metadb

import (
	"context"
	"database/sql"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const pointColumns = "name, time, expiry, body"

// Point reads one.
func (v *view) Point(ctx context.Context, instance catalogue.ID, name string) (catalogue.Point, error) {
	var found catalogue.Point
	if !findable(word("name", name)) {
		return found, noPoint(instance, name)
	}
	in, err := v.existing(ctx, instance)
	if err != nil {
		return found, err
	}
	if in == nil {
		return found, noPoint(instance, name)
	}
	there, err := v.one(ctx, "read a recovery point", scanPoint(&found, in.id),
		"SELECT "+pointColumns+" FROM points WHERE instance = $1 AND name = $2", in.row, name)
	if err == nil && !there {
		err = noPoint(instance, name)
	}
	return found, err
}

// Points reads a page.
func (v *view) Points(ctx context.Context, q catalogue.PointQuery) ([]catalogue.Point, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	if q.After != nil && !findable(word("name", q.After.Name)) {
		return nil, nil
	}
	in, err := v.existing(ctx, q.Instance)
	if err != nil || in == nil {
		return nil, err
	}
	var f filter
	f.add("instance = ?", in.row)
	f.between("time", q.From, q.To)
	f.after("time", q.After)
	var found []catalogue.Point
	err = v.each(ctx, "read recovery points", func(row scanner) error {
		var p catalogue.Point
		err := scanPoint(&p, in.id)(row)
		found = append(found, p)
		return err
	}, "SELECT "+pointColumns+" FROM points"+f.page("time DESC, name DESC", q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

func scanPoint(p *catalogue.Point, instance catalogue.ID) func(scanner) error {
	return func(row scanner) error {
		var at int64
		var expiry sql.NullInt64
		var contents []byte
		err := row.Scan(&p.Name, &at, &expiry, &contents)
		p.Instance, p.Time, p.Expiry, p.Body = instance, fromMicros(at), fromMaybe(expiry), body(contents)
		return err
	}
}

// PutPoint creates or replaces one.
func (t *transaction) PutPoint(ctx context.Context, p catalogue.Point) error {
	if err := checkText(key("instance", p.Instance), word("name of a recovery point", p.Name)); err != nil {
		return err
	}
	n, err := t.exec(ctx, "write a recovery point",
		"INSERT INTO points (instance, name, time, expiry, body) SELECT id, $1, $2, $3, $4 FROM resources WHERE key = $5"+
			" ON CONFLICT (instance, name) DO UPDATE SET time = excluded.time, expiry = excluded.expiry, body = excluded.body",
		p.Name, micros(p.Time), maybe(p.Expiry), bytes(p.Body), p.Instance.Key())
	if err == nil && n == 0 {
		err = noResource(p.Instance)
	}
	return err
}

// DeletePoint deletes one.
func (t *transaction) DeletePoint(ctx context.Context, instance catalogue.ID, name string) error {
	if !findable(key("instance", instance), word("name", name)) {
		return noPoint(instance, name)
	}
	n, err := t.exec(ctx, "delete a recovery point",
		"DELETE FROM points WHERE name = $1 AND instance = (SELECT id FROM resources WHERE key = $2)", name, instance.Key())
	if err == nil && n == 0 {
		err = noPoint(instance, name)
	}
	return err
}

func noPoint(instance catalogue.ID, name string) error {
	return notFound("the recovery point %q of %s was not found", name, instance)
}
