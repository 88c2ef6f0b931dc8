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

// meanwhileDatabase has something happen before the next update.
type meanwhileDatabase struct {
	catalogue.Database
	meanwhile func()
}

func (d *meanwhileDatabase) Update(ctx context.Context, do func(context.Context, catalogue.Tx) error) error {
	if happens := d.meanwhile; happens != nil {
		d.meanwhile = nil
		happens()
	}
	return d.Database.Update(ctx, do)
}

// TestWhatHappensWhileIsJudgedCounts holds it of what changes between the look at what may go and the moment in which that is let go of.
func TestWhatHappensWhileIsJudgedCounts(t *testing.T) {
	for _, tt := range []struct {
		name string
		// change is done to the oldest of four recovery points of which three may go.
		change func(t *testing.T, w *world, oldest catalogue.Point)
		want   int
	}{
		{"nothing", func(*testing.T, *world, catalogue.Point) {}, 3},
		{"a legal hold", func(t *testing.T, w *world, oldest catalogue.Point) {
			if _, err := w.jobs.Keeper.Hold(t.Context(), w.by, instanceID, oldest.Name, []byte(`{"reason":"Case 42"}`)); err != nil {
				t.Fatal(err)
			}
		}, 2},
		{"one that is gone", func(t *testing.T, w *world, oldest catalogue.Point) {
			w.update(func(ctx context.Context, tx catalogue.Tx) error { return tx.DeletePoint(ctx, instanceID, oldest.Name) })
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.until(w.Clock.Now())
			w.days(5, 8)
			points := w.points()
			d := &meanwhileDatabase{Database: w.Database}
			d.meanwhile = func() { tt.change(t, w, points[len(points)-1]) }
			w.jobs.Keeper.DB = d
			w.Clock.Move(40 * 24 * time.Hour)
			w.expire()
			if owed := w.owed(); len(owed) != tt.want || d.meanwhile != nil {
				t.Errorf("%d recovery points are owed, want %d: %+v", len(owed), tt.want, owed)
			}
		})
	}
}
