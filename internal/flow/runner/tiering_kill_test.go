package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/job"
	"github.com/coffer-backup/coffer/internal/flow/lifecycle"
)

// mortal counts the steps of a process: writes of the database, and calls of the vault tier. At a step it dies: before it takes effect, or after.
// Nothing that it does after that has any effect, until another process begins.
type mortal struct {
	catalogue.Database
	tier catalogue.Vaulting

	mu        sync.Mutex
	steps, at int
	after     bool
	// dead says that it has died, and safe that it does not now: its steps are not counted.
	dead, safe bool
}

var errDead = errors.New("the process is dead")

func (m *mortal) step(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.safe:
		return do()
	case m.dead:
		return errDead
	}
	if m.dead = m.steps == m.at; m.dead && !m.after {
		return errDead
	}
	m.steps++
	if err := do(); err != nil || !m.dead {
		return err
	}
	return errDead
}

// Update implements catalogue.Database.
func (m *mortal) Update(ctx context.Context, do func(context.Context, catalogue.Tx) error) error {
	return m.step(func() error { return m.Database.Update(ctx, do) })
}

// Copy implements catalogue.Vaulting.
func (m *mortal) Copy(ctx context.Context, c catalogue.VaultCopy) (progress catalogue.CopyProgress, err error) {
	err = m.step(func() error { progress, err = m.tier.Copy(ctx, c); return err })
	if err != nil {
		return catalogue.CopyProgress{}, err
	}
	return progress, nil
}

// Delete implements catalogue.Vaulting.
func (m *mortal) Delete(ctx context.Context, id catalogue.VaultCopyID) (gone bool, err error) {
	err = m.step(func() error { gone, err = m.tier.Delete(ctx, id); return err })
	return gone && err == nil, err
}

// revive begins another process if the one before is dead. That does not die.
func (m *mortal) revive() (was bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if was = m.dead; was {
		m.dead, m.at = false, -1
	}
	return was
}

// rest says whether it is safe from now on.
func (m *mortal) rest(safe bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.safe = safe
}

// TestACopyOutlivesAProcessThatDiesAtAnyStep goes with one recovery point from its backup through both tiers to its end, and kills the process at
// each step of that, before the step and after it.
func TestACopyOutlivesAProcessThatDiesAtAnyStep(t *testing.T) {
	for _, after := range []bool{false, true} {
		steps := 0
		for died := true; died; steps++ {
			t.Run(fmt.Sprintf("step %d, after it %v", steps, after), func(t *testing.T) { died = copyAndDie(t, steps, after) })
			if t.Failed() {
				return
			}
		}
		// Three looks at the copy and two at its deletion, each with what is written before and after; and what lets go of it.
		if steps < 16 {
			t.Errorf("there are %d steps", steps)
		}
	}
}

func copyAndDie(t *testing.T, at int, after bool) (died bool) {
	t.Helper()
	w := newTiered(t, disasterRecovery("P10D"))
	w.tier.Looks = 2
	w.backUp(time.Date(2026, 5, 5, 2, 0, 0, 0, time.UTC))
	name := w.points()[0].Name
	m := &mortal{Database: w.Database, tier: w.tier, at: at, after: after}
	w.jobs.Keeper.DB = m
	w.faulty.Vaulting = m
	// round is what a process does in some minutes. One that dies is followed by another.
	round := func() {
		t.Helper()
		_ = w.newTiering().Look(t.Context())
		one := lifecycle.New(lifecycle.Config{Jobs: w.jobs, Mine: everything, Log: slog.New(slog.DiscardHandler), NowFunc: w.Clock.Now})
		_ = one.Look(t.Context())
		died = m.revive() || died
		w.Clock.Move(6 * time.Minute)
	}
	rounds := func(n int) {
		t.Helper()
		for range n {
			round()
		}
	}
	rounds(7)
	w.mustBe("once it is copied", "05-05T02 Vault O05-12 V05-15")
	jobs := w.tierings()
	if len(jobs) != 1 || jobs[0].Status != job.Completed || w.tier.Begun(name) != 1 || w.whole() != "05-05T02" {
		t.Fatalf("%d copies were begun, in the vault tier: %s, jobs: %+v", w.tier.Begun(name), w.whole(), jobs)
	}
	if n := w.audited("Microsoft.DataProtection/backupVaults/backupJobs/end"); n != 2 {
		t.Errorf("%d entries of the ends of jobs", n)
	}
	// Newer ones let it go.
	m.rest(true)
	for day := 11; day <= 12; day++ {
		w.backUp(time.Date(2026, 5, day, 2, 0, 0, 0, time.UTC))
		for range 3 {
			w.copies()
			w.Clock.Move(time.Minute)
		}
	}
	m.rest(false)
	w.Clock.Move(time.Date(2026, 5, 12, 20, 0, 0, 0, time.UTC).Sub(w.Clock.Now()))
	rounds(2)
	w.mustBe("once the operational tier has let go of it", "05-05T02 Vault V05-15, 05-11T02 Vault O05-18 V05-21, 05-12T02 Vault O05-19 V05-22")
	w.Clock.Move(time.Date(2026, 5, 15, 20, 0, 0, 0, time.UTC).Sub(w.Clock.Now()))
	rounds(7)
	w.mustBe("once the vault tier has let go of it", "05-11T02 Vault O05-18 V05-21, 05-12T02 Vault O05-19 V05-22")
	if owed := w.owed(); len(owed) != 1 || owed[0].Tier != catalogue.OperationalTier || times(w.tier.All()) != "05-11T02 05-12T02" {
		t.Errorf("in the end, owed: %+v, in the vault tier: %s", owed, times(w.tier.All()))
	}
	if n := w.audited("Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints/expire"); n != 2 {
		t.Errorf("%d entries of what has expired", n)
	}
	return died
}

func TestReplicasTogetherMakeEachCopyOnce(t *testing.T) {
	w := newTiered(t, disasterRecovery("P10D"))
	w.tier.Looks = 2
	var names []string
	for day := 5; day <= 9; day++ {
		w.backUp(time.Date(2026, 5, day, 2, 0, 0, 0, time.UTC))
		names = append(names, w.points()[0].Name)
	}
	together := func(rounds int) {
		t.Helper()
		for range rounds {
			w.Clock.Move(time.Minute)
			var replicas sync.WaitGroup
			for range 4 {
				replicas.Go(func() {
					if err := w.newTiering().Look(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			replicas.Wait()
		}
	}
	together(4)
	jobs := w.tierings()
	if len(jobs) != 5 || w.whole() != "05-05T02 05-06T02 05-07T02 05-08T02 05-09T02" {
		t.Errorf("%d jobs, in the vault tier: %s", len(jobs), w.whole())
	}
	for _, j := range jobs {
		if j.Status != job.Completed {
			t.Errorf("the job %s is %s", j.ActivityID, j.Status)
		}
	}
	for _, name := range names {
		if n := w.tier.Begun(name); n != 1 {
			t.Errorf("the copy of %s was begun %d times", name, n)
		}
	}
	w.Clock.Move(30 * 24 * time.Hour)
	w.expire()
	together(8)
	var left []string
	for _, d := range w.owed() {
		if d.Tier == catalogue.VaultTier {
			left = append(left, d.Point)
		}
	}
	if len(left) != 0 || times(w.tier.All()) != "05-09T02" {
		t.Errorf("owed: %s, in the vault tier: %s", strings.Join(left, " "), times(w.tier.All()))
	}
}

// TestAReplicaThatDiesIsFollowedByAnother has what falls to a replica that is dead looked after by the others, after a while.
func TestAReplicaThatDiesIsFollowedByAnother(t *testing.T) {
	w := newTiered(t, disasterRecovery("P10D"))
	w.backUp(time.Date(2026, 5, 5, 2, 0, 0, 0, time.UTC))
	other := w.newTiering()
	other.Mine = func(catalogue.ID) bool { return false }
	for _, tt := range []struct {
		later time.Duration
		want  string
	}{{0, ""}, {30 * time.Second, ""}, {time.Minute, "05-05T02"}} {
		w.Clock.Move(tt.later)
		if err := other.Look(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.whole(); got != tt.want {
			t.Errorf("%s later, in the vault tier: %q, want %q", tt.later, got, tt.want)
		}
	}
}
