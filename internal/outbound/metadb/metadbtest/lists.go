package metadbtest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

func list(t *testing.T, db catalogue.Database, q catalogue.ResourceQuery) []string {
	t.Helper()
	var found []string
	mustView(t, db, func(v catalogue.View) error {
		all := pages(t, q.Limit, func(after *string) ([]catalogue.Resource, error) {
			if after != nil {
				q.After = *after
			}
			return v.Resources(t.Context(), q)
		}, func(r catalogue.Resource) string { return r.ID.Key() })
		found = names(all, func(r catalogue.Resource) string { return string(r.ID) })
		return nil
	})
	return found
}

func testResourcePages(t *testing.T, db catalogue.Database) {
	var want []string
	for _, name := range []string{"a", "B", "c", "C-1", "c.1", "c_1", "d", "Zz", "_x"} {
		mustPut(t, db, vault.Child("backupInstances", name))
		want = append(want, string(vault.Child("backupInstances", name)))
	}
	mustPut(t, db, vault, group, vault.Child("backupPolicies", "b"))
	slices.SortFunc(want, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	for limit := 1; limit <= len(want)+1; limit++ {
		q := catalogue.ResourceQuery{Type: "MICROSOFT.dataprotection/backupVaults/BACKUPINSTANCES", Limit: limit}
		mustMatch(t, fmt.Sprintf("%d at a time", limit), want, list(t, db, q))
		q.Under = vault
		mustMatch(t, fmt.Sprintf("%d at a time of the vault", limit), want, list(t, db, q))
	}
	mustMatch(t, "all", len(want)+3, len(list(t, db, catalogue.ResourceQuery{Limit: 5})))
}

func testScopes(t *testing.T, db catalogue.Database) {
	const all = catalogue.ID("/subscriptions/s1/resourceGroups/")
	scopes := []string{"r_g", "rXg", "r%g", "r-g", "rg", "RG2", "r.g", "rg0", "rg(1)", "rg-x"}
	for _, name := range scopes {
		// A percent sign is not in any id; whatever asks for one finds nothing.
		if !strings.Contains(name, "%") {
			mustPut(t, db, all+catalogue.ID(name), (all+catalogue.ID(name)).Child("providers/Microsoft.X/things", "t"))
		}
	}
	for _, name := range scopes {
		var want []string
		if !strings.Contains(name, "%") {
			want = []string{string((all + catalogue.ID(name)).Child("providers/Microsoft.X/things", "t"))}
		}
		mustMatch(t, "below "+name, want, list(t, db, catalogue.ResourceQuery{Under: all + catalogue.ID(strings.ToUpper(name)), Limit: 3}))
	}
}

// testRandomTree compares with ids that are searched one by one.
func testRandomTree(t *testing.T, db catalogue.Database) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test that fails has to fail again
	word := func() string {
		return []string{"a", "A1", "a-", "a.b", "a_b", "aa", "b", "B", "z", "Zz", "0", "_"}[random.IntN(12)]
	}
	written := map[string]catalogue.ID{}
	for range 150 {
		id := catalogue.ID("/subscriptions/" + word())
		for range random.IntN(4) {
			id = id.Child("providers/Microsoft.X/"+[]string{"things", "others"}[random.IntN(2)], word())
		}
		if _, err := catalogue.ParseID(string(id)); err == nil {
			mustPut(t, db, id)
			written[id.Key()] = id
		}
	}
	if len(written) < 50 {
		t.Fatalf("only %d ids were made", len(written))
	}
	scopes := []catalogue.ID{"", "/subscriptions/a", "/subscriptions/A", "/subscriptions/none"}
	for _, id := range written {
		scopes = append(scopes, id)
	}
	for _, scope := range scopes[:min(60, len(scopes))] {
		for _, kind := range []string{"", "microsoft.x/Things", "Microsoft.X/things/x"} {
			var want []string
			for key, id := range written {
				if id.Within(scope) && !id.Is(scope) && (kind == "" || strings.EqualFold(id.Type(), kind)) {
					want = append(want, key)
				}
			}
			slices.Sort(want)
			got := list(t, db, catalogue.ResourceQuery{Under: scope, Type: kind, Limit: 1 + random.IntN(20)})
			mustMatch(t, fmt.Sprintf("%q below %q", kind, scope), want, names(got, strings.ToLower))
		}
	}
}

func testLinks(t *testing.T, db catalogue.Database) {
	policy := catalogue.Link{Relation: catalogue.LinkPolicy, Target: vault.Child("backupPolicies", "p").Key()}
	other := catalogue.Link{Relation: catalogue.LinkPolicy, Target: policy.Target + "2"}
	same := catalogue.Link{Relation: catalogue.LinkVault, Target: policy.Target}
	put := func(n int, links ...catalogue.Link) {
		mustUpdate(t, db, func(tx catalogue.Tx) error {
			r := newResource(instance(n))
			r.Links = links
			_, err := tx.PutResource(t.Context(), r, catalogue.Condition{})
			return err
		})
	}
	linked := func(q catalogue.ResourceQuery, link catalogue.Link) []string {
		q.Linked, q.Limit = &link, 2
		return names(list(t, db, q), func(id string) string { return catalogue.ID(id).Name() })
	}
	for n := range 5 {
		put(n, policy, policy)
	}
	put(5, other)
	put(6, same, other)
	mustMatch(t, "of the policy", []string{"i0", "i1", "i2", "i3", "i4"}, linked(catalogue.ResourceQuery{}, policy))
	mustMatch(t, "of another", []string{"i5", "i6"}, linked(catalogue.ResourceQuery{Under: vault}, other))
	mustMatch(t, "of another relation", []string{"i6"}, linked(catalogue.ResourceQuery{Type: instance(0).Type()}, same))
	mustMatch(t, "of another type", []string{}, linked(catalogue.ResourceQuery{Type: vault.Type()}, same))
	mustMatch(t, "of another scope", []string{}, linked(catalogue.ResourceQuery{Under: vault + "2"}, same))
	put(1, other)
	put(2)
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeleteResource(t.Context(), instance(3), catalogue.Condition{}) })
	mustMatch(t, "of the policy, after changes", []string{"i0", "i4"}, linked(catalogue.ResourceQuery{}, policy))
	mustMatch(t, "of another, after changes", []string{"i1", "i5", "i6"}, linked(catalogue.ResourceQuery{}, other))

	long := catalogue.Link{Relation: "long", Target: "/" + strings.Repeat("x", 2047)}
	put(7, long)
	mustMatch(t, "of the longest target", []string{"i7"}, linked(catalogue.ResourceQuery{}, long))
}

func testCascades(t *testing.T, db catalogue.Database) {
	mustPut(t, db, vault, instance(1), instance(2))
	mustUpdate(t, db, func(tx catalogue.Tx) error {
		for _, id := range []catalogue.ID{instance(1), instance(2)} {
			if err := tx.PutPoint(t.Context(), catalogue.Point{Instance: id, Name: "p", Time: at(0)}); err != nil {
				return err
			}
			if err := tx.PutSecret(t.Context(), catalogue.Secret{Owner: id, Name: "s", Sealed: []byte("x")}); err != nil {
				return err
			}
			if err := tx.PutDue(t.Context(), catalogue.Due{Instance: id, At: at(0)}); err != nil {
				return err
			}
			if err := tx.AddSlot(t.Context(), catalogue.Slot{Instance: id, At: at(0)}); err != nil {
				return err
			}
		}
		if err := tx.PutDeletion(t.Context(), catalogue.Deletion{Vault: vault, Instance: instance(2), Point: "p"}); err != nil {
			return err
		}
		if err := tx.PutReading(t.Context(), catalogue.Reading{Vault: vault, Instance: instance(2), Day: at(0)}); err != nil {
			return err
		}
		if _, _, err := tx.RaiseAlert(t.Context(), catalogue.Alert{Vault: vault, Name: "a", Kind: "k", Target: instance(2)}); err != nil {
			return err
		}
		return tx.PutJob(t.Context(), catalogue.Job{Vault: vault, Name: "j", Instance: instance(2), Started: at(0)})
	})
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeleteResource(t.Context(), instance(2), catalogue.Condition{}) })
	// What was made last is the likeliest to get the place of what is gone.
	mustPut(t, db, instance(2))
	count := func(id catalogue.ID) (n int) {
		mustView(t, db, func(v catalogue.View) error {
			points, err := v.Points(t.Context(), catalogue.PointQuery{Instance: id, Limit: 10})
			if err != nil {
				return err
			}
			secrets, err := v.Secrets(t.Context(), id)
			if err != nil {
				return err
			}
			slots, err := v.Slots(t.Context(), catalogue.SlotQuery{Instance: id, Limit: 10})
			n = len(points) + len(secrets) + len(slots)
			if err != nil {
				return err
			}
			due, err := v.DueOf(t.Context(), id)
			n += len(due)
			return err
		})
		return n
	}
	ofVault := func() (n int) {
		mustView(t, db, func(v catalogue.View) error {
			jobs, err := v.Jobs(t.Context(), catalogue.JobQuery{Vault: vault, Limit: 10})
			deletions, deletionsErr := v.Deletions(t.Context(), catalogue.DeletionQuery{Vault: vault, Limit: 10})
			readings, readingsErr := v.Readings(t.Context(), catalogue.ReadingQuery{Vault: vault, Limit: 10})
			alerts, alertsErr := v.Alerts(t.Context(), catalogue.AlertQuery{Vault: vault, Limit: 10})
			n = len(jobs) + len(deletions) + len(readings) + len(alerts)
			return errors.Join(err, deletionsErr, readingsErr, alertsErr)
		})
		return n
	}
	if count(instance(2)) != 0 || count(instance(1)) != 4 || ofVault() != 4 {
		t.Errorf("a new instance has %d of the deleted one's, another %d of its 4, and the vault %d of its 4", count(instance(2)), count(instance(1)), ofVault())
	}
	mustView(t, db, func(v catalogue.View) error {
		j, err := v.Job(t.Context(), vault, "j")
		if !j.Instance.Is(instance(2)) {
			t.Errorf("the job of an instance that is gone is of %q", j.Instance)
		}
		return err
	})
	mustUpdate(t, db, func(tx catalogue.Tx) error { return tx.DeleteResource(t.Context(), vault, catalogue.Condition{}) })
	if mustGet(t, db, instance(1)).Version != 1 || count(instance(1)) != 4 {
		t.Error("deleting a vault took what lies below it")
	}
	mustPut(t, db, vault)
	if n := ofVault(); n > 0 {
		t.Errorf("a new vault has %d of a deleted one's", n)
	}
}
