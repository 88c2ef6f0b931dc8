package metadb

import (
	"context"
	"database/sql/driver"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

// gathered are the lines of a plan that read what a query has gathered before, by the names that it has given that.
var gathered = regexp.MustCompile(`(?m)^SCAN [cd]$`)

// TestPagesAreReadInTheOrderOfAnIndex asks SQLite how it goes about each statement: none sorts, and none reads all to find some.
func TestPagesAreReadInTheOrderOfAnIndex(t *testing.T) {
	f := faults{}
	db := newFile(t).mustOpen(t, &f)
	for _, q := range statements(t, db, &f) {
		plan := explain(t, db, q.text, q.args)
		// Without any condition, all is read in order, up to the limit.
		scans := strings.Contains(plan, "SCAN") && strings.Contains(q.text, "WHERE") && !strings.Contains(q.text, "WHERE r.key > $1 ORDER")
		sorts := strings.Contains(plan, "TEMP B-TREE")
		if gathers := strings.HasPrefix(q.text, "WITH"); gathers {
			// What is due is gathered by its time, however much is not, and then that alone is read as a whole, and sorted.
			scans, sorts = strings.Contains(gathered.ReplaceAllString(plan, ""), "SCAN"), false
		}
		if plan == "" || scans || sorts || strings.Contains(plan, "AUTOMATIC") {
			t.Errorf("%s\n%s", q.text, plan)
		}
	}
}

// statement is one, with its values.
type statement struct {
	text string
	args []any
}

// statements are all that are made of a database, but for those that write what they are given.
func statements(t *testing.T, db *Database, f *faults) (asked []statement) {
	t.Helper()
	if err := seed(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	f.watch = func(text string, args []driver.NamedValue) {
		if strings.HasPrefix(text, "INSERT") && !strings.Contains(text, "SELECT") {
			return
		}
		q := statement{text: text}
		for _, arg := range args {
			q.args = append(q.args, arg.Value)
		}
		asked = append(asked, q)
	}
	cursor, now := &catalogue.PointCursor{Time: time.Unix(1, 0), Name: "p"}, time.Unix(2, 0)
	linked := &catalogue.Link{Relation: "r", Target: "old"}
	err := db.View(t.Context(), func(ctx context.Context, v catalogue.View) error {
		for _, q := range []catalogue.ResourceQuery{
			{}, {Type: "x"}, {Under: crashVault}, {Type: "x", Under: crashVault, After: "y"}, {Linked: linked}, {Among: []catalogue.ID{crashVault, crashInstance(2)}}, {Type: "x", Linked: linked, Under: crashVault, After: "y"},
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
		for _, q := range []catalogue.AuditQuery{{}, {Under: crashVault}, {Under: crashVault, Before: 5}, {Principal: "x"}, {Principal: "x", Before: 5}, {Principal: "x", From: now, To: now}, {Under: crashVault, From: now}} {
			q.Limit = 100
			if _, err := v.Audit(ctx, q); err != nil {
				return err
			}
		}
		if _, err := v.OpenJobs(ctx, catalogue.OpenJobQuery{Cluster: crashVault, Limit: 100}); err != nil {
			return err
		}
		if _, err := v.OpenJobs(ctx, catalogue.OpenJobQuery{Instances: []catalogue.ID{crashVault, crashInstance(2)}, Operations: []string{"a", "b"}, Limit: 100}); err != nil {
			return err
		}
		for _, q := range []catalogue.EndedJobQuery{{}, {After: &catalogue.EndedJob{Vault: crashVault, Name: "j", Ended: now}}} {
			q.Before, q.Limit = now, 100
			if _, err := v.EndedJobs(ctx, q); err != nil {
				return err
			}
		}
		if _, err := v.OpenClusters(ctx); err != nil {
			return err
		}
		if _, err := v.CountJobs(ctx, catalogue.JobQuery{Vault: crashVault, Instance: crashVault, Operation: "x", From: now}); err != nil {
			return err
		}
		if _, err := v.CountResources(ctx, catalogue.ResourceQuery{Type: "x", Under: crashVault}); err != nil {
			return err
		}
		if _, err := v.Secrets(ctx, crashVault); err != nil {
			return err
		}
		if _, err := v.OperationOf(ctx, "x", now); coffer.CodeOf(err) != coffer.CodeResourceNotFound {
			return err
		}
		return readPolicies(ctx, v, now)
	})
	if err != nil || len(asked) < 60 {
		t.Fatalf("%d queries were made: %v", len(asked), err)
	}
	err = db.Update(t.Context(), func(ctx context.Context, tx catalogue.Tx) error {
		_, slots := tx.DeleteSlots(ctx, now, 10)
		_, alerts := tx.DeleteAlerts(ctx, now, 10)
		_, operations := tx.DeleteOperations(ctx, now, 10)
		_, readings := tx.DeleteReadings(ctx, now, 10)
		_, entries := tx.DeleteAudit(ctx, time.Unix(0, 0), 10)
		_, jobs := tx.DeleteJobs(ctx, catalogue.EndedJob{Vault: crashVault, Name: "j"}, catalogue.EndedJob{Vault: crashVault, Name: "k"})
		_, points := tx.DeletePoints(ctx, catalogue.PointID{Instance: crashInstance(1), Name: "q"}, catalogue.PointID{Instance: crashInstance(1), Name: "r"},
			catalogue.PointID{Instance: crashInstance(1), Name: "s"}, catalogue.PointID{Instance: crashInstance(1), Name: "t"})
		return errors.Join(slots, alerts, operations, readings, entries, jobs, points, useCase(ctx, tx))
	})
	if err != nil || len(asked) < 85 {
		t.Fatalf("%d statements were made: %v", len(asked), err)
	}
	f.watch = nil
	return asked
}

// readPolicies asks for what policies are carried out by.
func readPolicies(ctx context.Context, v catalogue.View, now time.Time) error {
	if _, err := v.CopiesDue(ctx, now, 100); err != nil {
		return err
	}
	cursor := &catalogue.PointCursor{Time: now, Name: "a"}
	for _, q := range []catalogue.DueQuery{{Until: now}, {Until: now, After: &catalogue.Due{Instance: crashVault, At: now}}} {
		q.Limit = 100
		if _, err := v.Due(ctx, q); err != nil {
			return err
		}
	}
	for _, q := range []catalogue.SlotQuery{{}, {After: now}, {From: now, To: now}, {From: now, To: now, After: now}} {
		q.Instance, q.Limit = crashVault, 100
		if _, err := v.Slots(ctx, q); err != nil {
			return err
		}
	}
	for _, q := range []catalogue.DeletionQuery{
		{Vault: crashVault}, {Vault: crashVault, After: &catalogue.Deletion{Instance: crashVault, Point: "p", Since: now}}, {Cluster: crashVault}, {Cluster: crashVault, Until: now}, {VaultTiers: true, Until: now},
	} {
		q.Limit = 100
		if _, err := v.Deletions(ctx, q); err != nil {
			return err
		}
	}
	for _, q := range []catalogue.AlertQuery{
		{}, {After: cursor}, {Target: crashVault}, {Kind: "x", After: cursor}, {State: catalogue.AlertFired}, {Open: true}, {Open: true, Kind: "x", After: cursor},
		{Open: true, Kind: "x", Target: crashVault},
	} {
		q.Vault, q.Limit = crashVault, 100
		if _, err := v.Alerts(ctx, q); err != nil {
			return err
		}
	}
	for _, q := range []catalogue.ReadingQuery{{}, {From: now, To: now}, {From: now, To: now, After: &catalogue.Reading{Instance: crashVault, Day: now}}} {
		q.Vault, q.Limit = crashVault, 100
		if _, err := v.Readings(ctx, q); err != nil {
			return err
		}
	}
	_, due := v.DueOf(ctx, crashVault, crashInstance(2))
	_, total := v.Total(ctx, crashVault)
	_, deletion := v.Deletion(ctx, crashVault, crashInstance(2), "old", "")
	_, alert := v.Alert(ctx, crashVault, "old")
	_, bare := v.Points(ctx, catalogue.PointQuery{Instance: crashVault, Bare: true, Limit: 100})
	_, aged := v.Points(ctx, catalogue.PointQuery{Instance: crashVault, Bare: true, Until: now, Limit: 100})
	_, expiring := v.Expiring(ctx, now, "a", 100)
	_, clusters := v.DeletionClusters(ctx, now)
	return errors.Join(due, total, deletion, alert, bare, aged, expiring, clusters)
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
