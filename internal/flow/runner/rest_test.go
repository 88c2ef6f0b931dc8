package runner_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/flow/lifecycle"
)

// TestWhatIsNewestNoMoreGoesSoon holds for one that was kept because it was the newest, however old it was.
func TestWhatIsNewestNoMoreGoesSoon(t *testing.T) {
	w := newWorld(t)
	w.until(w.Clock.Now())
	w.days(5, 5)
	w.Clock.Move(day(20).Add(-time.Minute).Sub(w.Clock.Now()))
	one := lifecycle.New(lifecycle.Config{Jobs: w.jobs, Mine: everything, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
	look := func() {
		t.Helper()
		if err := one.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if look(); len(w.points()) != 1 {
		t.Fatal("the newest has expired")
	}
	w.days(20, 20)
	w.Clock.Move(20 * time.Second)
	if look(); len(w.points()) != 1 {
		t.Errorf("there are %d recovery points, and one has expired", len(w.points()))
	}
}
