package vault

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/retention"
)

// TestAFewColumnsDecideAsTheWholeDoes judges recovery points of any kind twice: as their bodies say, and as the catalogue says of those whose
// time is not up. What the tiers let go of is the same.
func TestAFewColumnsDecideAsTheWholeDoes(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	let := 0
	for seed := range uint64(3000) {
		dice := rand.New(rand.NewPCG(seed, 8)) //nolint:gosec // No secret.
		terms := retention.Terms{Now: now, Stopped: dice.IntN(10) == 0, Suspended: dice.IntN(3) == 0, KeepAtLeast: dice.IntN(4)}
		var whole, columns []retention.Point
		for n := range dice.IntN(9) {
			point := anyPoint(t, dice, n, now)
			read, err := readPoint(point)
			if err != nil {
				t.Fatal(err)
			}
			seen := read
			if !point.DueBy(now) {
				seen = barePoint(point)
			}
			whole, columns = append(whole, read), append(columns, seen)
		}
		expired := func(points []retention.Point) (found []string) {
			for _, d := range retention.Judge(points, terms) {
				if d.Operational == retention.Expire || d.Vault == retention.Expire {
					found = append(found, fmt.Sprint(d.Name, d.Operational, d.Vault, d.Reason))
				}
			}
			return found
		}
		want, got := expired(whole), expired(columns)
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("seed %d: whole -, columns +:\n%s", seed, d)
		}
		let += len(want)
	}
	if let < 1000 {
		t.Errorf("only %d were let go of: these cases prove little", let)
	}
}

// anyPoint is a recovery point as it lies in the catalogue, in any tiers.
func anyPoint(t *testing.T, dice *rand.Rand, n int, now time.Time) catalogue.Point {
	t.Helper()
	someday := func() (at time.Time) {
		if dice.IntN(5) > 0 {
			at = now.AddDate(0, 0, dice.IntN(40)-20)
		}
		return at
	}
	taken := now.AddDate(0, 0, -dice.IntN(30))
	p := retention.Point{
		Operational: retention.Tier{Present: dice.IntN(4) > 0, Since: taken, Expires: someday()},
		Vault:       retention.Tier{Present: dice.IntN(3) > 0, Since: taken, Expires: someday()},
	}
	point := catalogue.Point{Instance: "/i", Name: fmt.Sprint("p", n), Time: taken, Good: dice.IntN(4) > 0, Held: dice.IntN(6) == 0}
	body := object{"recoveryPointId": point.Name, "recoveryPointTime": taken, "recoveryPointState": "Partial"}
	if point.Good {
		body["recoveryPointState"] = "Completed"
	}
	if point.Held {
		body["coffer"] = object{"legalHold": object{"reason": "a trial"}}
	}
	var err error
	if point.Body, err = json.Marshal(body); err != nil {
		t.Fatal(err)
	}
	if err := setTiers(&point, p); err != nil {
		t.Fatal(err)
	}
	return point
}
