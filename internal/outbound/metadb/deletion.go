package metadb

import (
	"context"
	"errors"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const deletionColumns = "(SELECT spelling FROM resources WHERE id = deletions.vault), instance_spelling, point, tier, taken, cluster_spelling, bytes, since, next, tries, failure, work"

// Deletion reads one.
func (v *view) Deletion(ctx context.Context, vault, instance catalogue.ID, point string, tier catalogue.Tier) (catalogue.Deletion, error) {
	var found catalogue.Deletion
	if !findable(key("instance", instance), word("point", point), word("tier", string(tier))) {
		return found, noDeletion(vault, instance, point)
	}
	in, err := v.existing(ctx, vault)
	if err != nil {
		return found, err
	}
	if in == nil {
		return found, noDeletion(vault, instance, point)
	}
	there, err := v.one(ctx, "read a deletion", scanDeletion(&found),
		"SELECT "+deletionColumns+" FROM deletions WHERE vault = $1 AND instance = $2 AND point = $3 AND tier = $4", in.row, instance.Key(), point, string(tier))
	if err == nil && !there {
		err = noDeletion(vault, instance, point)
	}
	return found, err
}

// Deletions reads a page of a vault, or what is due in a cluster, or in the vault tiers.
func (v *view) Deletions(ctx context.Context, q catalogue.DeletionQuery) ([]catalogue.Deletion, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	asked := 0
	for _, of := range []bool{q.Vault != "", q.Cluster != "", q.VaultTiers} {
		if of {
			asked++
		}
	}
	if asked != 1 || q.Vault == "" && q.After != nil {
		return nil, errors.New("deletions were asked for that are neither a page of a vault, nor those of a cluster, nor those of the vault tiers")
	}
	if !findable(key("cluster", q.Cluster)) || q.After != nil && !findable(key("instance", q.After.Instance), word("point", q.After.Point), word("tier", string(q.After.Tier))) {
		return nil, nil
	}
	order, f := "next, id", filter{}
	switch {
	case q.VaultTiers:
		f.add("tier <> ''")
	case q.Cluster != "":
		f.add("cluster = ?", q.Cluster.Key())
	default:
		in, err := v.existing(ctx, q.Vault)
		if err != nil || in == nil {
			return nil, err
		}
		order = "since, instance, point, tier"
		f.add("vault = ?", in.row)
	}
	if !q.Until.IsZero() {
		f.add("next <= ?", micros(q.Until))
	}
	if q.After != nil {
		f.add("(since, instance, point, tier) > (?, ?, ?, ?)", micros(q.After.Since), q.After.Instance.Key(), q.After.Point, string(q.After.Tier))
	}
	var found []catalogue.Deletion
	err := v.each(ctx, "read deletions", func(row scanner) error {
		var d catalogue.Deletion
		err := scanDeletion(&d)(row)
		found = append(found, d)
		return err
	}, "SELECT "+deletionColumns+" FROM deletions"+f.page(order, q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// DeletionClusters reads where deletions are due. However many are due later, only those that are due now are looked at.
func (v *view) DeletionClusters(ctx context.Context, until time.Time) ([]catalogue.ID, error) {
	return v.clusters(ctx, "read the clusters of deletions",
		"WITH d AS MATERIALIZED (SELECT cluster, cluster_spelling FROM deletions WHERE next <= $1 AND tier = '')"+
			" SELECT cluster, MIN(cluster_spelling) FROM d GROUP BY cluster ORDER BY cluster", micros(until))
}

func scanDeletion(d *catalogue.Deletion) func(scanner) error {
	return func(row scanner) error {
		var taken, since, next int64
		var work []byte
		err := row.Scan(&d.Vault, &d.Instance, &d.Point, &d.Tier, &taken, &d.Cluster, &d.Bytes, &since, &next, &d.Tries, &d.Failure, &work)
		d.Taken, d.Since, d.Next, d.Work = fromMicros(taken), fromMicros(since), fromMicros(next), body(work)
		return err
	}
}

// PutDeletion creates or replaces some.
func (t *transaction) PutDeletion(ctx context.Context, some ...catalogue.Deletion) error {
	vaults := make([]catalogue.ID, len(some))
	for i, d := range some {
		err := checkText(key("vault", d.Vault), key("instance", d.Instance), word("name of a recovery point", d.Point), word("tier", string(d.Tier)),
			key("cluster", d.Cluster))
		if err != nil {
			return err
		}
		vaults[i] = d.Vault
	}
	rows, err := t.rowsOf(ctx, vaults)
	if err != nil {
		return err
	}
	_, err = insert(ctx, t, "write deletions",
		"deletions (vault, instance, instance_spelling, point, tier, taken, cluster, cluster_spelling, bytes, since, next, tries, failure, work)", some,
		func(d catalogue.Deletion) []any {
			return []any{
				rows[d.Vault.Key()], d.Instance.Key(), string(d.Instance), d.Point, string(d.Tier), micros(d.Taken), d.Cluster.Key(), string(d.Cluster), d.Bytes,
				micros(d.Since), micros(d.Next), d.Tries, readable(d.Failure), bytes(d.Work),
			}
		},
		" ON CONFLICT (vault, instance, point, tier) DO UPDATE SET instance_spelling = excluded.instance_spelling, taken = excluded.taken,"+
			" cluster = excluded.cluster, cluster_spelling = excluded.cluster_spelling, bytes = excluded.bytes, since = excluded.since,"+
			" next = excluded.next, tries = excluded.tries, failure = excluded.failure, work = excluded.work")
	return err
}

// DeleteDeletion deletes one.
func (t *transaction) DeleteDeletion(ctx context.Context, vault, instance catalogue.ID, point string, tier catalogue.Tier) error {
	missing := noDeletion(vault, instance, point)
	if !findable(key("vault", vault), key("instance", instance), word("point", point), word("tier", string(tier))) {
		return missing
	}
	n, err := t.exec(ctx, "delete a deletion",
		"DELETE FROM deletions WHERE instance = $1 AND point = $2 AND tier = $3 AND vault = (SELECT id FROM resources WHERE key = $4)",
		instance.Key(), point, string(tier), vault.Key())
	if err == nil && n == 0 {
		err = missing
	}
	return err
}

func noDeletion(vault, instance catalogue.ID, point string) error {
	return notFound("no deletion of the recovery point %q of %s is owed in %s", point, instance, vault)
}
