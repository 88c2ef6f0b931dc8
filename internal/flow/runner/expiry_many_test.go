package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
)

// TestOneThatCannotBeJudgedKeepsNoOther has the recovery points of many instances expire at once, of which one cannot be read.
func TestOneThatCannotBeJudgedKeepsNoOther(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.days(5, 6)
	ids := w.manyInstances(25)
	points := w.points()
	w.update(func(ctx context.Context, tx catalogue.Tx) error {
		for n, id := range ids {
			for _, p := range points {
				p.Instance = id
				if n == 7 {
					p.Body = json.RawMessage(`[]`)
				}
				if err := tx.PutPoint(ctx, p); err != nil {
					return err
				}
			}
		}
		return nil
	})
	asked := &askedDatabase{Database: w.Database}
	w.jobs.Keeper.DB = asked
	w.Clock.Move(40 * 24 * time.Hour)
	w.expire()
	owed := map[string]int{}
	for _, d := range w.owed() {
		owed[d.Instance.Name()]++
	}
	// The newest of each is kept.
	for n := range ids {
		want := 1
		if n == 7 {
			want = 0
		}
		if name := fmt.Sprintf("many-%03d", n); owed[name] != want {
			t.Errorf("%d recovery points of %s are owed, want %d", owed[name], name, want)
		}
	}
	if owed["one"] != 1 || asked.updates > 8 {
		t.Errorf("owed are %v, by %d updates", owed, asked.updates)
	}
}
