package metadb

import (
	"context"
	"database/sql"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// Readings reads a page.
func (v *view) Readings(ctx context.Context, q catalogue.ReadingQuery) ([]catalogue.Reading, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	if q.After != nil && !findable(key("instance", q.After.Instance)) {
		return nil, nil
	}
	in, err := v.existing(ctx, q.Vault)
	if err != nil || in == nil {
		return nil, err
	}
	var f filter
	f.add("vault = ?", in.row)
	f.between("day", q.From, q.To)
	if q.After != nil {
		f.add("(day, instance) > (?, ?)", day(q.After.Day), q.After.Instance.Key())
	}
	var found []catalogue.Reading
	err = v.each(ctx, "read meter readings", func(row scanner) error {
		r := catalogue.Reading{Vault: in.id}
		var day int64
		err := row.Scan(&day, &r.Instance, &r.Namespaces, &r.Points, &r.SnapshotBytes, &r.ArchiveBytes, &r.VaultBytes, &r.Redundancy)
		r.Day = fromMicros(day)
		found = append(found, r)
		return err
	}, "SELECT day, instance_spelling, namespaces, points, snapshot_bytes, archive_bytes, vault_bytes, redundancy FROM readings"+f.page("day, instance", q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// PutReading creates or replaces one.
func (t *transaction) PutReading(ctx context.Context, r catalogue.Reading) error {
	if err := checkText(key("vault", r.Vault), key("instance", r.Instance), word("redundancy", r.Redundancy)); err != nil {
		return err
	}
	n, err := t.exec(ctx, "write a meter reading",
		"INSERT INTO readings (vault, day, instance, instance_spelling, namespaces, points, snapshot_bytes, archive_bytes, vault_bytes, redundancy)"+
			" SELECT id, $1, $2, $3, $4, $5, $6, $7, $8, $9 FROM resources WHERE key = $10"+
			" ON CONFLICT (vault, day, instance) DO UPDATE SET instance_spelling = excluded.instance_spelling, namespaces = excluded.namespaces,"+
			" points = excluded.points, snapshot_bytes = excluded.snapshot_bytes, archive_bytes = excluded.archive_bytes,"+
			" vault_bytes = excluded.vault_bytes, redundancy = excluded.redundancy",
		day(r.Day), r.Instance.Key(), string(r.Instance), r.Namespaces, r.Points, r.SnapshotBytes, r.ArchiveBytes, r.VaultBytes, r.Redundancy, r.Vault.Key())
	if err == nil && n == 0 {
		err = noResource(r.Vault)
	}
	return err
}

// day is the midnight before a time, as it is stored.
func day(t time.Time) int64 { return micros(t.UTC().Truncate(24 * time.Hour)) }

// DeleteReadings deletes those of long ago.
func (t *transaction) DeleteReadings(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := t.exec(ctx, "delete meter readings",
		"DELETE FROM readings WHERE (vault, day, instance) IN (SELECT vault, day, instance FROM readings WHERE day < $1 ORDER BY day LIMIT $2)", micros(before), limit)
	return int(n), err
}

// Total sums what recovery points take up, by one range of an index. Clusters say the numbers: their sum may be larger than any that is kept.
func (v *view) Total(ctx context.Context, instance catalogue.ID) (found catalogue.Total, err error) {
	in, err := v.existing(ctx, instance)
	if err != nil || in == nil {
		return found, err
	}
	_, err = v.one(ctx, "sum what recovery points take up", func(row scanner) error {
		var snapshots, archives, copies sql.NullFloat64
		var namespaces sql.NullInt64
		err := row.Scan(&found.Points, &snapshots, &archives, &copies, &namespaces)
		found.SnapshotBytes, found.ArchiveBytes, found.VaultBytes = rounded(snapshots.Float64), rounded(archives.Float64), rounded(copies.Float64)
		found.Namespaces = int(namespaces.Int64)
		return err
	}, "SELECT COUNT(*), SUM(CAST(snapshot_bytes AS DOUBLE PRECISION)), SUM(CAST(bytes AS DOUBLE PRECISION)), SUM(CAST(vault_bytes AS DOUBLE PRECISION)),"+
		" (SELECT n.namespaces FROM points n WHERE n.instance = $1 ORDER BY n.time DESC, n.name DESC LIMIT 1) FROM points WHERE instance = $1", in.row)
	return found, err
}

// rounded is a sum as it is kept: exact up to 2^53, and never more than fits.
func rounded(sum float64) int64 {
	const most = 1 << 62
	return int64(min(max(sum, 0), most))
}
