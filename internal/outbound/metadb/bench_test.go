package metadb

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

const (
	benchVaults     = 10
	benchInstances  = 10_000
	benchJobs       = 10_000
	benchRestores   = 5
	benchPageLength = 100
)

// benchPoints is how many recovery points there are: 1,000,000 with COFFER_BENCH_POINTS=1000000.
func benchPoints() int {
	if n, err := strconv.Atoi(os.Getenv("COFFER_BENCH_POINTS")); err == nil {
		return n
	}
	return 100_000
}

func benchVault(n int) catalogue.ID {
	return catalogue.ID(fmt.Sprintf("/subscriptions/8a4f3c1e-0000-4000-8000-000000000001/resourceGroups/backups-%d/providers/Microsoft.DataProtection/backupVaults/vault-%d", n, n))
}

func benchInstance(n int) catalogue.ID {
	return benchVault(n%benchVaults).Child("backupInstances", fmt.Sprintf("cluster-%05d-8a4f3c1e-0000-4000-8000-000000000001", n))
}

// benchTime has each slot's recovery points at the same moment, as a schedule does.
func benchTime(n int) time.Time { return time.Unix(1_700_000_000+int64(n)*14_400, 0) }

// fill makes 10 vaults with 10,000 instances between them. The first instance has half of the recovery points, the others the rest;
// the first vault has 10,000 jobs that began at the same moment, and as many that did not.
func fill(b *testing.B, db *Database) {
	b.Helper()
	body := func(n int) json.RawMessage {
		return json.RawMessage(fmt.Sprintf(`{"n":%d,"text":%q}`, n, make([]byte, 90)))
	}
	batch := func(total int, write func(ctx context.Context, tx catalogue.Tx, n int) error) {
		for first := 0; first < total; first += 5000 {
			err := db.Update(b.Context(), func(ctx context.Context, tx catalogue.Tx) error {
				for n := first; n < min(total, first+5000); n++ {
					if err := write(ctx, tx, n); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	put := func(ctx context.Context, tx catalogue.Tx, id catalogue.ID, n int, links ...catalogue.Link) error {
		_, err := tx.PutResource(ctx, catalogue.Resource{ID: id, Body: body(n), Facts: body(n), Links: links}, catalogue.Condition{New: true})
		return err
	}
	batch(benchVaults, func(ctx context.Context, tx catalogue.Tx, n int) error { return put(ctx, tx, benchVault(n), n) })
	batch(benchInstances, func(ctx context.Context, tx catalogue.Tx, n int) error {
		if err := put(ctx, tx, benchInstance(n), n, catalogue.Link{Relation: catalogue.LinkPolicy, Target: "policy"}); err != nil {
			return err
		}
		return tx.PutDue(ctx, catalogue.Due{Instance: benchInstance(n), At: benchTime(n % 6)})
	})
	points := benchPoints()
	batch(points, func(ctx context.Context, tx catalogue.Tx, n int) error {
		of := benchInstance(0)
		if n >= points/2 {
			of = benchInstance(1 + n%(benchInstances-1))
		}
		return tx.PutPoint(ctx, catalogue.Point{Instance: of, Name: fmt.Sprintf("%032x", n), Time: benchTime(n), Expiry: benchTime(n + 100), Body: body(n)})
	})
	batch(2*benchJobs, func(ctx context.Context, tx catalogue.Tx, n int) error {
		j := catalogue.Job{Vault: benchVault(0), Name: fmt.Sprintf("%032x", n), Instance: benchInstance(n), Status: "Completed", Operation: "Backup", Body: body(n)}
		j.Started = benchTime(max(0, n-benchJobs))
		if n < benchRestores {
			j.Status, j.Operation = "InProgress", "Restore"
		}
		return tx.PutJob(ctx, j)
	})
	batch(benchJobs, func(ctx context.Context, tx catalogue.Tx, n int) error {
		return tx.AppendAudit(ctx, catalogue.AuditEntry{Target: benchInstance(n), Principal: strconv.Itoa(n % 7), Before: body(n), After: body(n)})
	})
	// PostgreSQL does this by itself, a minute later. SQLite has no statistics, here as in use.
	if db.read == db.write {
		if _, err := db.write.ExecContext(b.Context(), "VACUUM ANALYZE"); err != nil {
			b.Fatal(err)
		}
	}
}

// benchPages measures pages of 100 at random places. p99-ms is to be below 20. Which instances have something that expires is no
// page of a client: it is asked by sweeps, and looks at each instance.
func benchPages(b *testing.B, db *Database) {
	fill(b, db)
	points := benchPoints()
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same pages every time
	for _, c := range []struct {
		name string
		page func(ctx context.Context, v catalogue.View) (int, error)
	}{
		{"instances of all", func(ctx context.Context, v catalogue.View) (int, error) {
			page, err := v.Resources(ctx, catalogue.ResourceQuery{Type: benchInstance(0).Type(), After: benchInstance(random.IntN(benchInstances / 2)).Key(), Limit: benchPageLength})
			return len(page), err
		}},
		{"instances of a vault", func(ctx context.Context, v catalogue.View) (int, error) {
			n := random.IntN(benchInstances / 2)
			q := catalogue.ResourceQuery{Type: benchInstance(0).Type(), Under: benchVault(n % benchVaults), After: benchInstance(n).Key(), Limit: benchPageLength}
			page, err := v.Resources(ctx, q)
			return len(page), err
		}},
		{"instances of a policy", func(ctx context.Context, v catalogue.View) (int, error) {
			q := catalogue.ResourceQuery{Type: benchInstance(0).Type(), Linked: &catalogue.Link{Relation: catalogue.LinkPolicy, Target: "policy"}, Limit: benchPageLength}
			q.Under = benchVault(random.IntN(benchVaults))
			page, err := v.Resources(ctx, q)
			return len(page), err
		}},
		{"points of the largest", func(ctx context.Context, v catalogue.View) (int, error) {
			n := benchPageLength + random.IntN(points/2-benchPageLength)
			q := catalogue.PointQuery{Instance: benchInstance(0), After: &catalogue.PointCursor{Time: benchTime(n), Name: fmt.Sprintf("%032x", n)}, Limit: benchPageLength}
			page, err := v.Points(ctx, q)
			return len(page), err
		}},
		{"points of a span", func(ctx context.Context, v catalogue.View) (int, error) {
			n := random.IntN(points/2 - 2*benchPageLength)
			q := catalogue.PointQuery{Instance: benchInstance(0), From: benchTime(n), To: benchTime(n + 2*benchPageLength), Limit: benchPageLength}
			page, err := v.Points(ctx, q)
			return len(page), err
		}},
		{"what is due", func(ctx context.Context, v catalogue.View) (int, error) {
			q := catalogue.DueQuery{Until: benchTime(3), After: &catalogue.Due{Instance: benchInstance(random.IntN(benchInstances)), At: benchTime(2)}, Limit: benchPageLength}
			page, err := v.Due(ctx, q)
			return len(page), err
		}},
		// All of the first instance's have expired, and one of each hundredth of the others.
		{"instances of what expires", func(ctx context.Context, v catalogue.View) (int, error) {
			page, err := v.Expiring(ctx, benchTime(points/2+benchPageLength+100-2), "", benchPageLength)
			return len(page), err
		}},
		{"instances where nothing expires", func(ctx context.Context, v catalogue.View) (int, error) {
			page, err := v.Expiring(ctx, benchTime(0), "", benchPageLength)
			return len(page) + benchPageLength, err
		}},
		{"points without bodies", func(ctx context.Context, v catalogue.View) (int, error) {
			n := benchPageLength + random.IntN(points/2-benchPageLength)
			q := catalogue.PointQuery{Instance: benchInstance(0), After: &catalogue.PointCursor{Time: benchTime(n), Name: fmt.Sprintf("%032x", n)}, Bare: true, Limit: benchPageLength}
			page, err := v.Points(ctx, q)
			return len(page), err
		}},
		{"jobs of one moment", func(ctx context.Context, v catalogue.View) (int, error) {
			n := benchPageLength + random.IntN(benchJobs-benchPageLength)
			q := catalogue.JobQuery{Vault: benchVault(0), After: &catalogue.PointCursor{Time: benchTime(0), Name: fmt.Sprintf("%032x", n)}, Limit: benchPageLength}
			page, err := v.Jobs(ctx, q)
			return len(page), err
		}},
		{"jobs of a rare status", func(ctx context.Context, v catalogue.View) (int, error) {
			page, err := v.Jobs(ctx, catalogue.JobQuery{Vault: benchVault(0), Status: "InProgress", Operation: "Restore", Limit: benchPageLength})
			return len(page) + benchPageLength - benchRestores, err
		}},
		{"audit of a vault", func(ctx context.Context, v catalogue.View) (int, error) {
			page, err := v.Audit(ctx, catalogue.AuditQuery{Under: benchVault(random.IntN(benchVaults)), Limit: benchPageLength})
			return len(page), err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				start := time.Now()
				err := db.View(b.Context(), func(ctx context.Context, v catalogue.View) error {
					n, err := c.page(ctx, v)
					if err == nil && n != benchPageLength {
						err = fmt.Errorf("the page has %d rows", n)
					}
					return err
				})
				took = append(took, time.Since(start))
				if err != nil {
					b.Fatal(err)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
	b.Run("writes", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			err := db.Update(b.Context(), func(ctx context.Context, tx catalogue.Tx) error {
				r, err := tx.Resource(ctx, benchInstance(random.IntN(benchInstances)))
				if err != nil {
					return err
				}
				if _, err := tx.PutResource(ctx, r, catalogue.Condition{Version: r.Version}); err != nil {
					return err
				}
				if err := tx.PutOperation(ctx, catalogue.Operation{ID: strconv.Itoa(n), Resource: r.ID}); err != nil {
					return err
				}
				return tx.AppendAudit(ctx, catalogue.AuditEntry{Target: r.ID, Before: r.Body, After: r.Body})
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkPagesOfSQLite(b *testing.B) {
	benchPages(b, mustOpenSQLite(b, SQLite{File: b.TempDir() + "/catalogue.db"}))
}
