package metadb

import (
	"context"
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
		err := row.Scan(&day, &r.Instance, &r.Namespaces, &r.SnapshotBytes, &r.VaultBytes, &r.Redundancy)
		r.Day = fromMicros(day)
		found = append(found, r)
		return err
	}, "SELECT day, instance_spelling, namespaces, snapshot_bytes, vault_bytes, redundancy FROM readings"+f.page("day, instance", q.Limit), f.values...)
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
		"INSERT INTO readings (vault, day, instance, instance_spelling, namespaces, snapshot_bytes, vault_bytes, redundancy)"+
			" SELECT id, $1, $2, $3, $4, $5, $6, $7 FROM resources WHERE key = $8"+
			" ON CONFLICT (vault, day, instance) DO UPDATE SET instance_spelling = excluded.instance_spelling, namespaces = excluded.namespaces,"+
			" snapshot_bytes = excluded.snapshot_bytes, vault_bytes = excluded.vault_bytes, redundancy = excluded.redundancy",
		day(r.Day), r.Instance.Key(), string(r.Instance), r.Namespaces, r.SnapshotBytes, r.VaultBytes, r.Redundancy, r.Vault.Key())
	if err == nil && n == 0 {
		err = noResource(r.Vault)
	}
	return err
}

// day is the midnight before a time, as it is stored.
func day(t time.Time) int64 { return micros(t.UTC().Truncate(24 * time.Hour)) }
