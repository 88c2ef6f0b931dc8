package metadb

import (
	"cmp"
	"context"
	"database/sql"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const (
	barePointColumns = "name, time, expiry, vault_expiry, copy_at, good, held, operational, vaulted, bytes, snapshot_bytes, namespaces, vault_bytes"
	pointColumns     = barePointColumns + ", body"
)

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
	columns, scan := pointColumns, scanPoint
	switch {
	case q.Bare && q.Until.IsZero():
		columns, scan = barePointColumns, scanBarePoint
	case q.Bare:
		columns, scan = barePointColumns+", mark, "+f.value("CASE WHEN expiry <= ? OR vault_expiry <= ? THEN body END", micros(q.Until), micros(q.Until)), scanAgedPoint
	}
	var found []catalogue.Point
	err = v.each(ctx, "read recovery points", func(row scanner) error {
		var p catalogue.Point
		err := scan(&p, in.id)(row)
		found = append(found, p)
		return err
	}, "SELECT "+columns+" FROM points"+f.page("time DESC, name DESC", q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// marks is how many marks of recovery points there are: each that is written gets one by chance. The sum of those of a million still fits.
const marks = 1 << 42

// PointMarks sums the marks of the recovery points of each of some instances.
func (v *view) PointMarks(ctx context.Context, instances ...catalogue.ID) (map[string]catalogue.PointMark, error) {
	if err := checkSome(instances); err != nil {
		return nil, err
	}
	var f filter
	f.among("r.key", keysOf(instances))
	found := map[string]catalogue.PointMark{}
	err := v.each(ctx, "read the marks of recovery points", func(row scanner) error {
		var key string
		var m catalogue.PointMark
		err := row.Scan(&key, &m.Count, &m.Sum)
		found[key] = m
		return err
	}, "SELECT r.key, COUNT(*), CAST(SUM(p.mark) AS BIGINT) FROM resources r JOIN points p ON p.instance = r.id"+f.where()+" GROUP BY r.key", f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Expiring reads which instances have something that expires. For each, an index is asked for the first that does, however many recovery
// points there are, and however many are kept beyond their time.
func (v *view) Expiring(ctx context.Context, until time.Time, after string, limit int) ([]catalogue.ID, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	if !findable(key("place", catalogue.ID(after))) {
		return nil, nil
	}
	var found []catalogue.ID
	err := v.each(ctx, "read which instances have something that expires", func(row scanner) error {
		var spelling catalogue.ID
		err := row.Scan(&spelling)
		found = append(found, spelling)
		return err
	}, "SELECT r.spelling FROM resources r WHERE r.key > $2 AND (EXISTS (SELECT 1 FROM points p WHERE p.instance = r.id AND p.expiry <= $1)"+
		" OR EXISTS (SELECT 1 FROM points p WHERE p.instance = r.id AND p.vault_expiry <= $1)) ORDER BY r.key LIMIT "+strconv.Itoa(limit), micros(until), after)
	if err != nil {
		return nil, err
	}
	return found, nil
}

func scanPoint(p *catalogue.Point, instance catalogue.ID) func(scanner) error {
	return func(row scanner) error {
		var contents []byte
		err := scanBarePoint(p, instance)(suffixed{row, []any{&contents}})
		p.Body = body(contents)
		return err
	}
}

func scanAgedPoint(p *catalogue.Point, instance catalogue.ID) func(scanner) error {
	return func(row scanner) error {
		var contents []byte
		err := scanBarePoint(p, instance)(suffixed{row, []any{&p.Mark, &contents}})
		p.Body = body(contents)
		return err
	}
}

func scanBarePoint(p *catalogue.Point, instance catalogue.ID) func(scanner) error {
	return func(row scanner) error {
		var at int64
		var expiry, vaultExpiry, copyAt sql.NullInt64
		err := row.Scan(&p.Name, &at, &expiry, &vaultExpiry, &copyAt, &p.Good, &p.Held, &p.Operational, &p.Vaulted,
			&p.Bytes, &p.SnapshotBytes, &p.Namespaces, &p.VaultBytes)
		p.Instance, p.Time, p.Expiry, p.VaultExpiry, p.Copy = instance, fromMicros(at), fromMaybe(expiry), fromMaybe(vaultExpiry), fromMaybe(copyAt)
		return err
	}
}

// suffixed is a row that has some columns more, after all others.
type suffixed struct {
	row  scanner
	last []any
}

// Scan implements scanner.
func (s suffixed) Scan(to ...any) error { return s.row.Scan(append(to, s.last...)...) }

// PutPoint creates or replaces one.
func (t *transaction) PutPoint(ctx context.Context, p catalogue.Point) error {
	if err := checkText(key("instance", p.Instance), word("name of a recovery point", p.Name)); err != nil {
		return err
	}
	n, err := t.exec(ctx, "write a recovery point",
		"INSERT INTO points (instance, "+pointColumns+", mark)"+
			" SELECT id, $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 FROM resources WHERE key = $16"+
			" ON CONFLICT (instance, name) DO UPDATE SET time = excluded.time, expiry = excluded.expiry, vault_expiry = excluded.vault_expiry,"+
			" copy_at = excluded.copy_at, good = excluded.good, held = excluded.held, operational = excluded.operational, vaulted = excluded.vaulted,"+
			" bytes = excluded.bytes, snapshot_bytes = excluded.snapshot_bytes, namespaces = excluded.namespaces, vault_bytes = excluded.vault_bytes, body = excluded.body, mark = excluded.mark",
		p.Name, micros(p.Time), maybe(p.Expiry), maybe(p.VaultExpiry), maybe(p.Copy), p.Good, p.Held, p.Operational, p.Vaulted,
		p.Bytes, p.SnapshotBytes, p.Namespaces, p.VaultBytes, bytes(p.Body), rand.Int64N(marks), p.Instance.Key()) //nolint:gosec // Nobody gains by guessing it.
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

// DeletePoints deletes some. They are deleted in one order, so that two who delete the same wait for each other.
func (t *transaction) DeletePoints(ctx context.Context, some ...catalogue.PointID) (deleted int, err error) {
	instances := make([]catalogue.ID, len(some))
	for i, p := range some {
		instances[i] = p.Instance
	}
	if err := t.knowRows(ctx, instances); err != nil {
		return 0, err
	}
	some = slices.DeleteFunc(slices.Clone(some), func(p catalogue.PointID) bool {
		_, there := t.rows[p.Instance.Key()]
		return !there || !findable(word("name", p.Name))
	})
	slices.SortFunc(some, func(a, b catalogue.PointID) int {
		return cmp.Or(strings.Compare(a.Instance.Key(), b.Instance.Key()), strings.Compare(a.Name, b.Name))
	})
	err = inBatches(some, func(batch []catalogue.PointID) error {
		var f filter
		each := make([]string, len(batch))
		for i, p := range batch {
			each[i] = f.value("instance = ? AND name = ?", t.rows[p.Instance.Key()], p.Name)
		}
		n, err := t.exec(ctx, "delete recovery points", "DELETE FROM points WHERE "+strings.Join(each, " OR "), f.values...)
		deleted += int(n)
		return err
	})
	return deleted, err
}

func noPoint(instance catalogue.ID, name string) error {
	return notFound("the recovery point %q of %s was not found", name, instance)
}
