package metadb

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const jobColumns = "name, instance_spelling, status, operation, started, ended, body, cluster_spelling, work, point"

// Job reads one.
func (v *view) Job(ctx context.Context, vault catalogue.ID, name string) (catalogue.Job, error) {
	var found catalogue.Job
	if !findable(word("name", name)) {
		return found, noJob(vault, name)
	}
	in, err := v.existing(ctx, vault)
	if err != nil {
		return found, err
	}
	if in == nil {
		return found, noJob(vault, name)
	}
	there, err := v.one(ctx, "read a job", scanJob(&found, in.id),
		"SELECT "+jobColumns+" FROM jobs WHERE vault = $1 AND name = $2", in.row, name)
	if err == nil && !there {
		err = noJob(vault, name)
	}
	return found, err
}

// Jobs reads a page.
func (v *view) Jobs(ctx context.Context, q catalogue.JobQuery) ([]catalogue.Job, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	if !findable(key("instance", q.Instance), word("status", q.Status), word("operation", q.Operation)) ||
		q.After != nil && !findable(word("name", q.After.Name)) {
		return nil, nil
	}
	in, err := v.existing(ctx, q.Vault)
	if err != nil || in == nil {
		return nil, err
	}
	f := selectJobs(q, in.row)
	var found []catalogue.Job
	err = v.each(ctx, "read jobs", func(row scanner) error {
		var j catalogue.Job
		err := scanJob(&j, in.id)(row)
		found = append(found, j)
		return err
	}, "SELECT "+jobColumns+" FROM jobs"+f.page("started DESC, name DESC", q.Limit), f.values...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// CountJobs counts them.
func (v *view) CountJobs(ctx context.Context, q catalogue.JobQuery) (n int, err error) {
	if !findable(key("instance", q.Instance), word("status", q.Status), word("operation", q.Operation)) || q.After != nil && !findable(word("name", q.After.Name)) {
		return 0, nil
	}
	in, err := v.existing(ctx, q.Vault)
	if err != nil || in == nil {
		return 0, err
	}
	f := selectJobs(q, in.row)
	_, err = v.one(ctx, "count jobs", func(row scanner) error { return row.Scan(&n) }, "SELECT COUNT(*) FROM jobs"+f.where(), f.values...)
	return n, err
}

// selectJobs are the conditions of a query.
func selectJobs(q catalogue.JobQuery, vault int64) (f filter) {
	f.add("vault = ?", vault)
	if q.Instance != "" {
		f.add("instance = ?", q.Instance.Key())
	}
	if q.Status != "" {
		f.add("status = ?", q.Status)
	}
	if q.Operation != "" {
		f.add("operation = ?", q.Operation)
	}
	f.between("started", q.From, q.To)
	f.after("started", q.After)
	return f
}

// OpenJobs reads those of a cluster, or of instances.
func (v *view) OpenJobs(ctx context.Context, q catalogue.OpenJobQuery) ([]catalogue.Job, error) {
	if err := errors.Join(checkLimit(q.Limit), checkSome(q.Instances)); err != nil {
		return nil, err
	}
	if (q.Cluster == "") == (len(q.Instances) == 0) {
		return nil, errors.New("open jobs were asked for that are neither those of a cluster nor those of instances")
	}
	if !findable(key("cluster", q.Cluster)) || slices.ContainsFunc(q.Operations, func(o string) bool { return !findable(word("operation", o)) }) {
		return nil, nil
	}
	order, f := "started, name", filter{}
	if q.Cluster != "" {
		f.add("cluster = ?", q.Cluster.Key())
	} else {
		order = "instance, started, name"
		f.among("instance", keysOf(q.Instances))
	}
	if len(q.Operations) > 0 {
		f.among("operation", q.Operations)
	}
	f.add("ended IS NULL")
	return list(ctx, v, "read open jobs", scanOpenJob,
		"SELECT (SELECT spelling FROM resources WHERE id = jobs.vault), "+jobColumns+" FROM jobs"+f.page(order, q.Limit), f.values...)
}

// OpenClusters reads where there are open jobs. An index is asked for the next cluster after each, however many jobs each has.
func (v *view) OpenClusters(ctx context.Context) ([]catalogue.ID, error) {
	return v.clusters(ctx, "read the clusters of open jobs",
		"WITH RECURSIVE c (cluster) AS (SELECT MIN(cluster) FROM jobs WHERE ended IS NULL AND cluster > ''"+
			" UNION ALL SELECT (SELECT MIN(cluster) FROM jobs WHERE ended IS NULL AND cluster > c.cluster) FROM c WHERE c.cluster IS NOT NULL)"+
			" SELECT cluster, (SELECT cluster_spelling FROM jobs WHERE ended IS NULL AND cluster = c.cluster ORDER BY started, name LIMIT 1) FROM c"+
			" WHERE cluster IS NOT NULL")
}

// clusters reads keys of clusters and how they are spelled. What is in no cluster has an empty one.
func (v *view) clusters(ctx context.Context, doing, query string, args ...any) ([]catalogue.ID, error) {
	var found []catalogue.ID
	err := v.each(ctx, doing, func(row scanner) error {
		var key string
		var spelling catalogue.ID
		err := row.Scan(&key, &spelling)
		if key != "" {
			found = append(found, spelling)
		}
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return found, nil
}

// prefixed is a row that has one column more, before all others.
type prefixed struct {
	row   scanner
	first any
}

// Scan implements scanner.
func (p prefixed) Scan(to ...any) error { return p.row.Scan(append([]any{p.first}, to...)...) }

func scanOpenJob(j *catalogue.Job) func(scanner) error {
	return func(row scanner) error {
		var vault catalogue.ID
		err := scanJob(j, "")(prefixed{row, &vault})
		j.Vault = vault
		return err
	}
}

func scanJob(j *catalogue.Job, vault catalogue.ID) func(scanner) error {
	return func(row scanner) error {
		var started int64
		var ended sql.NullInt64
		var contents, work []byte
		err := row.Scan(&j.Name, &j.Instance, &j.Status, &j.Operation, &started, &ended, &contents, &j.Cluster, &work, &j.Point)
		j.Vault, j.Started, j.Ended, j.Body, j.Work = vault, fromMicros(started), fromMaybe(ended), body(contents), body(work)
		return err
	}
}

// PutJob creates or replaces some.
func (t *transaction) PutJob(ctx context.Context, some ...catalogue.Job) error {
	vaults := make([]catalogue.ID, len(some))
	for i, j := range some {
		err := checkText(key("vault", j.Vault), word("name of a job", j.Name), key("instance", j.Instance),
			word("status of a job", j.Status), word("operation of a job", j.Operation), key("cluster", j.Cluster), word("recovery point of a job", j.Point))
		if err != nil {
			return err
		}
		vaults[i] = j.Vault
	}
	rows, err := t.rowsOf(ctx, vaults)
	if err != nil {
		return err
	}
	_, err = insert(ctx, t, "write jobs",
		"jobs (vault, name, instance, instance_spelling, status, operation, started, ended, body, cluster, cluster_spelling, work, point)", some,
		func(j catalogue.Job) []any {
			return []any{
				rows[j.Vault.Key()], j.Name, j.Instance.Key(), string(j.Instance), j.Status, j.Operation, micros(j.Started), maybe(j.Ended), bytes(j.Body),
				j.Cluster.Key(), string(j.Cluster), bytes(j.Work), j.Point,
			}
		},
		" ON CONFLICT (vault, name) DO UPDATE SET instance = excluded.instance, instance_spelling = excluded.instance_spelling,"+
			" status = excluded.status, operation = excluded.operation, started = excluded.started, ended = excluded.ended, body = excluded.body,"+
			" cluster = excluded.cluster, cluster_spelling = excluded.cluster_spelling, work = excluded.work, point = excluded.point")
	return err
}

func noJob(vault catalogue.ID, name string) error {
	return notFound("the job %q of %s was not found", name, vault)
}
