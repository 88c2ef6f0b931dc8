package metadbtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
)

func testDeletions(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault, vault+"2")
	var all []catalogue.Deletion
	for n := range 12 {
		all = append(all, catalogue.Deletion{
			// Its instance is not there.
			Vault: vault, Instance: instance(n % 2), Point: fmt.Sprintf("p%02d", (n*5)%12), Taken: at(-n), Cluster: cluster + catalogue.ID([]string{"", "-2"}[n%2]),
			Bytes: int64(n) << 40, Since: at(n / 5), Next: at(20 - n/3), Tries: n, Failure: strings.Repeat("why ", n), Work: json.RawMessage(`{"n":1}`),
		})
	}
	// Of one recovery point each tier has its own.
	for _, n := range []int{3, 7} {
		d := all[n]
		d.Tier, d.Cluster, d.Bytes, d.Next = catalogue.VaultTier, "", 5, at(17)
		all = append(all, d)
	}
	other := catalogue.Deletion{Vault: vault + "2", Instance: instance(0), Point: "p00", Cluster: cluster, Taken: at(0), Since: at(0), Next: at(18)}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, d := range append(slices.Clone(all), other) {
			if err := tx.PutDeletion(t.Context(), d); err != nil {
				return err
			}
		}
		mustBe(t, coffer.CodeResourceNotFound, tx.PutDeletion(t.Context(), catalogue.Deletion{Vault: vault + "3", Instance: instance(0), Point: "p"}))
		return nil
	})
	slices.SortFunc(all, func(a, b catalogue.Deletion) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Instance.Key(), b.Instance.Key()), cmp.Compare(a.Point, b.Point), cmp.Compare(a.Tier, b.Tier))
	})
	ofVault := func(q catalogue.DeletionQuery) (found []catalogue.Deletion) {
		mustView(t, db, func(v catalogue.View) error {
			found = pages(t, q.Limit, func(after *catalogue.Deletion) ([]catalogue.Deletion, error) {
				q.After = after
				return v.Deletions(t.Context(), q)
			}, func(d catalogue.Deletion) catalogue.Deletion { return d })
			return nil
		})
		return found
	}
	for _, limit := range []int{1, 5, 14, 15} {
		mustMatch(t, fmt.Sprintf("%d at a time", limit), all, ofVault(catalogue.DeletionQuery{Vault: vault, Limit: limit}))
	}
	var due []catalogue.Deletion
	for _, d := range all {
		if !d.Next.After(at(18)) {
			due = append(due, d)
		}
	}
	mustMatch(t, "due in the vault", due, ofVault(catalogue.DeletionQuery{Vault: vault, Until: at(18), Limit: 2}))
	mustView(t, db, func(v catalogue.View) error {
		one, err := v.Deletion(t.Context(), vault, all[3].Instance, all[3].Point, all[3].Tier)
		mustMatch(t, "one of them", all[3], one)
		if err != nil {
			return err
		}
		for _, q := range []catalogue.DeletionQuery{{Limit: 1}, {Vault: vault, Cluster: cluster, Limit: 1}, {Cluster: cluster, After: &one, Limit: 1}, {Vault: vault, VaultTiers: true, Limit: 1}, {VaultTiers: true, After: &one, Limit: 1}} {
			if found, err := v.Deletions(t.Context(), q); err == nil {
				t.Errorf("%+v finds %d", q, len(found))
			}
		}
		return nil
	})

	testDueDeletions(t, db)

	first := all[0]
	first.Next, first.Tries, first.Failure, first.Cluster = at(10), 99, "again\x00", "/subscriptions/s/none"
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.PutDeletion(t.Context(), first) })
	first.Failure = "again\uFFFD"
	mustView(t, db, func(v catalogue.View) error {
		got, err := v.Deletion(t.Context(), first.Vault, first.Instance, first.Point, first.Tier)
		mustMatch(t, "one that was tried", first, got)
		if err != nil {
			return err
		}
		in, err := v.DeletionClusters(t.Context(), at(10))
		mustMatch(t, "where it is", []catalogue.ID{first.Cluster}, in)
		return err
	})
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		if err := tx.DeleteDeletion(t.Context(), first.Vault, first.Instance, first.Point, first.Tier); err != nil {
			return err
		}
		mustBe(t, coffer.CodeResourceNotFound, tx.DeleteDeletion(t.Context(), first.Vault, first.Instance, first.Point, first.Tier))
		return nil
	})
	mustMatch(t, "without it", all[1:], ofVault(catalogue.DeletionQuery{Vault: vault, Limit: 5}))
}

// testDueDeletions looks at those of testDeletions by where they are carried out, and by when.
func testDueDeletions(t *testing.T, db catalogue.Database) {
	t.Helper()
	// In a cluster, those of all vaults are due, the one that waits longest first.
	var points []string
	for _, d := range ofCluster(t, db, catalogue.DeletionQuery{Cluster: catalogue.ID(strings.ToUpper(string(cluster))), Until: at(19), Limit: 10}) {
		points = append(points, d.Vault.Name()+" "+d.Point)
	}
	mustMatch(t, "due in the cluster", []string{"v1 p02", "v1 p06", "v1 p04", "v12 p00", "v1 p08"}, points)
	mustMatch(t, "of all times", 7, len(ofCluster(t, db, catalogue.DeletionQuery{Cluster: cluster, Limit: 10})))
	for until, want := range map[time.Time][]catalogue.ID{at(16): nil, at(17).Add(-1): nil, at(17): {cluster, cluster + "-2"}} {
		mustView(t, db, func(v catalogue.View) error {
			got, err := v.DeletionClusters(t.Context(), until)
			mustMatch(t, fmt.Sprint("clusters until ", until), want, got)
			return err
		})
	}

	for until, want := range map[time.Time]int{at(16): 0, at(17): 2, {}: 2} {
		due := ofCluster(t, db, catalogue.DeletionQuery{VaultTiers: true, Until: until, Limit: 10})
		mustMatch(t, fmt.Sprint("due in vault tiers until ", until), want, len(due))
		for _, d := range due {
			mustMatch(t, "the tier", catalogue.VaultTier, d.Tier)
		}
	}
}

func ofCluster(t *testing.T, db catalogue.Database, q catalogue.DeletionQuery) (found []catalogue.Deletion) {
	t.Helper()
	mustView(t, db, func(v catalogue.View) (err error) {
		found, err = v.Deletions(t.Context(), q)
		return err
	})
	return found
}

func testReadings(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault, vault+"2")
	midnight := func(n int) time.Time { return time.Date(2026, 3, 1+n, 0, 0, 0, 0, time.UTC) }
	var all []catalogue.Reading
	for n := range 5 {
		for i := range 3 {
			all = append(all, catalogue.Reading{
				Vault: vault, Instance: instance(i), Day: midnight(n), Namespaces: n + i, Points: 3 * n, SnapshotBytes: 1 << 50, ArchiveBytes: 1 << 40, VaultBytes: int64(n),
				Redundancy: "GeoRedundant",
			})
		}
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, r := range all {
			// Of a day there is one, whenever it is read.
			before := catalogue.Reading{Vault: r.Vault, Instance: r.Instance, Day: r.Day.Add(23 * time.Hour).In(time.FixedZone("", 7200)), Namespaces: 99}
			if err := tx.PutReading(t.Context(), before); err != nil {
				return err
			}
			if err := tx.PutReading(t.Context(), r); err != nil {
				return err
			}
		}
		mustBe(t, coffer.CodeResourceNotFound, tx.PutReading(t.Context(), catalogue.Reading{Vault: vault + "3", Instance: instance(1), Day: midnight(0)}))
		return tx.PutReading(t.Context(), catalogue.Reading{Vault: vault + "2", Instance: instance(1), Day: midnight(0)})
	})
	for _, limit := range []int{1, 4, 15, 16} {
		for _, c := range []struct {
			from, to time.Time
			want     []catalogue.Reading
		}{
			{want: all}, {from: midnight(1), want: all[3:]}, {from: midnight(1), to: midnight(2), want: all[3:9]}, {to: midnight(0), want: all[:3]},
			{from: midnight(1).Add(1000), to: midnight(2).Add(-1000)},
		} {
			mustView(t, db, func(v catalogue.View) error {
				got := pages(t, limit, func(after *catalogue.Reading) ([]catalogue.Reading, error) {
					return v.Readings(t.Context(), catalogue.ReadingQuery{Vault: vault, From: c.from, To: c.to, After: after, Limit: limit})
				}, func(r catalogue.Reading) catalogue.Reading { return r })
				mustMatch(t, fmt.Sprintf("from %v to %v, %d at a time", c.from, c.to, limit), c.want, got)
				return nil
			})
		}
	}
	for _, want := range []int{4, 3, 0} {
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			n, err := tx.DeleteReadings(t.Context(), midnight(2), 4)
			if n != want {
				t.Errorf("%d readings were deleted, want %d", n, want)
			}
			return err
		})
	}
	mustView(t, db, func(v catalogue.View) error {
		left, err := v.Readings(t.Context(), catalogue.ReadingQuery{Vault: vault, Limit: 100})
		mustMatch(t, "what is not that old", all[6:], left)
		return err
	})
}

func testTotals(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault, instance(1), instance(2), instance(3))
	total := func(id catalogue.ID) (found catalogue.Total) {
		mustView(t, db, func(v catalogue.View) (err error) {
			found, err = v.Total(t.Context(), id)
			return err
		})
		return found
	}
	const most = int64(1) << 62
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for i, p := range []catalogue.Point{
			{Instance: instance(1), Name: "new", Time: at(9), Bytes: 5, SnapshotBytes: 1<<52 + 1, Namespaces: 3},
			{Instance: instance(1), Name: "old", Time: at(1), Bytes: 6, SnapshotBytes: 1 << 52, VaultBytes: 7, Namespaces: 7},
			{Instance: instance(1), Name: "older", Time: at(0), VaultBytes: 8},
			// Two that no cluster has, and whose sum is larger than any number that is kept.
			{Instance: instance(2), Name: "a", Time: at(1), SnapshotBytes: most},
			{Instance: instance(2), Name: "b", Time: at(1), SnapshotBytes: most},
		} {
			if err := tx.PutPoint(t.Context(), p); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		return nil
	})
	for id, want := range map[catalogue.ID]catalogue.Total{
		instance(1): {Points: 3, Namespaces: 3, SnapshotBytes: 1<<53 + 1, ArchiveBytes: 11, VaultBytes: 15}, instance(2): {Points: 2, SnapshotBytes: most},
		instance(3): {}, instance(4): {}, "/subscriptions/\x00": {},
	} {
		// Beyond 2^53 the last bit is rounded.
		if got := total(id); got.SnapshotBytes&^1 != want.SnapshotBytes&^1 || got.Points != want.Points || got.Namespaces != want.Namespaces || got.ArchiveBytes != want.ArchiveBytes || got.VaultBytes != want.VaultBytes {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeletePoint(t.Context(), instance(1), "new") })
	mustMatch(t, "without the newest", catalogue.Total{Points: 2, Namespaces: 7, SnapshotBytes: 1 << 52, ArchiveBytes: 6, VaultBytes: 15}, total(instance(1)))
}
