package metadb

import (
	"context"
	"database/sql"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const jobColumns = "name, instance_spelling, status, operation, started, ended, body"

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
	var f filter
	f.add("vault = ?", in.row)
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

func scanJob(j *catalogue.Job, vault catalogue.ID) func(scanner) error {
	return func(row scanner) error {
		var started int64
		var ended sql.NullInt64
		var contents []byte
		err := row.Scan(&j.Name, &j.Instance, &j.Status, &j.Operation, &started, &ended, &contents)
		j.Vault, j.Started, j.Ended, j.Body = vault, fromMicros(started), fromMaybe(ended), body(contents)
		return err
	}
}

// PutJob creates or replaces one.
func (t *transaction) PutJob(ctx context.Context, j catalogue.Job) error {
	err := checkText(key("vault", j.Vault), word("name of a job", j.Name), key("instance", j.Instance),
		word("status of a job", j.Status), word("operation of a job", j.Operation))
	if err != nil {
		return err
	}
	n, err := t.exec(ctx, "write a job",
		"INSERT INTO jobs (vault, name, instance, instance_spelling, status, operation, started, ended, body)"+
			" SELECT id, $1, $2, $3, $4, $5, $6, $7, $8 FROM resources WHERE key = $9"+
			" ON CONFLICT (vault, name) DO UPDATE SET instance = excluded.instance, instance_spelling = excluded.instance_spelling,"+
			" status = excluded.status, operation = excluded.operation, started = excluded.started, ended = excluded.ended, body = excluded.body",
		j.Name, j.Instance.Key(), string(j.Instance), j.Status, j.Operation, micros(j.Started), maybe(j.Ended), bytes(j.Body), j.Vault.Key())
	if err == nil && n == 0 {
		err = noResource(j.Vault)
	}
	return err
}

func noJob(vault catalogue.ID, name string) error {
	return notFound("the job %q of %s was not found", name, vault)
}
