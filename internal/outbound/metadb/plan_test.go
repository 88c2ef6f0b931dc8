package metadb

import (
	"context"
	"database/sql/driver"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// TestPagesAreReadInTheOrderOfAnIndex asks SQLite how it goes about each query: none sorts, and none reads all to find some.
func TestPagesAreReadInTheOrderOfAnIndex(t *testing.T) {
	type query struct {
		text string
		args []any
	}
	var asked []query
	f := faults{}
	db := newFile(t).mustOpen(t, &f)
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	f.watch = func(text string, args []driver.NamedValue) {
		q := query{text: text}
		for _, arg := range args {
			q.args = append(q.args, arg.Value)
		}
		asked = append(asked, q)
	}
	cursor, now := &catalogue.PointCursor{Time: time.Unix(1, 0), Name: "p"}, time.Unix(2, 0)
	linked := &catalogue.Link{Relation: "r", Target: "old"}
	err := db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		for _, q := range []catalogue.ResourceQuery{
			{}, {Type: "x"}, {Under: crashVault}, {Type: "x", Under: crashVault, After: "y"}, {Linked: linked}, {Type: "x", Linked: linked, Under: crashVault, After: "y"},
		} {
			q.Limit = 100
			if _, err := v.Resources(ctx, q); err != nil {
				return err
			}
		}
		for _, q := range []catalogue.PointQuery{{}, {After: cursor}, {From: now, To: now}, {From: now, To: now, After: cursor}} {
			q.Instance, q.Limit = crashVault, 100
			if _, err := v.Points(ctx, q); err != nil {
				return err
			}
		}
		for _, q := range []catalogue.JobQuery{{}, {After: cursor}, {Instance: crashVault}, {Status: "x"}, {Operation: "x", After: cursor}, {Status: "x", From: now, To: now, After: cursor}} {
			q.Vault, q.Limit = crashVault, 100
			if _, err := v.Jobs(ctx, q); err != nil {
				return err
			}
		}
		for _, q := range []catalogue.AuditQuery{{}, {Under: crashVault}, {Under: crashVault, Before: 5}, {Principal: "x"}, {Principal: "x", Before: 5}} {
			q.Limit = 100
			if _, err := v.Audit(ctx, q); err != nil {
				return err
			}
		}
		if _, err := v.OpenJobs(ctx, catalogue.OpenJobQuery{Cluster: crashVault, Limit: 100}); err != nil {
			return err
		}
		if _, err := v.OpenClusters(ctx); err != nil {
			return err
		}
		_, err := v.Secrets(ctx, crashVault)
		return err
	})
	if err != nil || len(asked) < 24 {
		t.Fatalf("%d queries were made: %v", len(asked), err)
	}
	f.watch = nil
	for _, q := range asked {
		plan := explain(t, db, q.text, q.args)
		// Without any condition, all is read in order, up to the limit.
		scans := strings.Contains(plan, "SCAN") && strings.Contains(q.text, "WHERE") && !strings.Contains(q.text, "WHERE r.key > $1 ORDER")
		if plan == "" || scans || strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "AUTOMATIC") {
			t.Errorf("%s\n%s", q.text, plan)
		}
	}
}

func explain(t *testing.T, db *Database, query string, args []any) (plan string) {
	t.Helper()
	rows, err := db.read.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			t.Fatal(err)
		}
		plan += detail + "\n"
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return plan
}
