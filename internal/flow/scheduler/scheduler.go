// Package scheduler begins the backups of policies at their times. It looks at what is due each second; whoever dies, the next look, of
// this replica or of another, goes on.
package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/coffer"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	// interval is how often is looked at what is due.
	interval = time.Second
	// others is for how long what is due is left to the replica that it falls to.
	others = 15 * time.Second
	// pageSize is how many due rows are read at a time, and batch how many instances are dealt with in one transaction: enough for what each
	// transaction costs to be little, and few enough for others to wait for a moment only, and seldom to get in its way.
	pageSize = 500
	batch    = 100
	// pause is for how long an instance is left alone that could not be dealt with.
	pause = time.Minute
	// ahead is how often is looked for what a clock that ran ahead has put off. It is looked for at the first look, too, and when the clock is put back.
	ahead = 5 * time.Minute
)

// Config is what a Scheduler needs.
type Config struct {
	Jobs *vault.Jobs
	// Mine says whether an instance falls to this replica. What does not is another's, for a while.
	Mine func(instance catalogue.ID) bool
	Log  *slog.Logger
	// NowFunc is the clock.
	NowFunc func() time.Time
	// Observe is told of each slot that was dealt with, and how long after its start. It does not wait. Nil is nobody.
	Observe func(done vault.Scheduled, lag time.Duration)
}

// Scheduler begins what is due. It may be used beside others on the same database.
type Scheduler struct {
	Config

	// mu guards failed, until when instances are left alone, and lookedAhead, when it was looked for what a clock has put off.
	mu          sync.Mutex
	failed      map[string]time.Time
	lookedAhead time.Time
}

// New makes a Scheduler.
func New(c Config) *Scheduler { return &Scheduler{Config: c, failed: map[string]time.Time{}} }

// Run looks until ctx ends.
func (s *Scheduler) Run(ctx context.Context) {
	wait.NonSlidingUntilWithContext(ctx, func(ctx context.Context) {
		if err := s.Look(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("what is due cannot be dealt with", "error", err)
		}
	}, interval)
}

// Look deals with all that is due.
func (s *Scheduler) Look(ctx context.Context) error {
	now := s.NowFunc()
	if s.looksAhead(now) {
		found, err := s.Jobs.LookAhead(ctx, s.Mine)
		if err != nil {
			s.lookAheadAgain()
			return err
		}
		for _, id := range found {
			s.Log.Warn("a schedule that a clock which ran ahead has put off goes on", "instance", id)
		}
	}
	for q := (catalogue.DueQuery{Until: now, Limit: pageSize}); ; {
		page, err := s.Jobs.Due(ctx, q)
		if err != nil {
			return err
		}
		var some []catalogue.ID
		for _, due := range page {
			if s.takes(due, now) {
				some = append(some, due.Instance)
			}
			if len(some) == batch {
				if err := s.begin(ctx, some); err != nil {
					return err
				}
				some = nil
			}
		}
		if err := s.begin(ctx, some); err != nil || len(page) < q.Limit {
			return err
		}
		q.After = &page[len(page)-1]
	}
}

// looksAhead says whether it is time to look for what a clock that ran ahead has put off.
func (s *Scheduler) looksAhead(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if since := now.Sub(s.lookedAhead); !s.lookedAhead.IsZero() && since >= 0 && since < ahead {
		return false
	}
	s.lookedAhead = now
	return true
}

func (s *Scheduler) lookAheadAgain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lookedAhead = time.Time{}
}

// takes says whether a due row is dealt with now, and here.
func (s *Scheduler) takes(due catalogue.Due, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, failed := s.failed[due.Instance.Key()]
	// A clock that is put back does not make it longer.
	if failed && now.Before(until) && until.Sub(now) <= pause {
		return false
	}
	delete(s.failed, due.Instance.Key())
	return s.Mine(due.Instance) || now.Sub(due.At) > others
}

// begin deals with some instances, and with each half of them apart if that fails: one that cannot be read keeps nobody else waiting. Where it
// is the database that fails, that is nobody's fault: begin answers the error, and all of them are dealt with at the next look.
func (s *Scheduler) begin(ctx context.Context, some []catalogue.ID) error {
	if len(some) == 0 || ctx.Err() != nil {
		return ctx.Err()
	}
	done, err := s.Jobs.BeginDue(ctx, some)
	if err == nil {
		s.observe(ctx, done)
		return nil
	}
	if len(some) > 1 {
		half := len(some) / 2
		if err := s.begin(ctx, some[:half]); err != nil {
			return err
		}
		return s.begin(ctx, some[half:])
	}
	if ctx.Err() != nil || coffer.CodeOf(err) == coffer.CodeDatabaseUnavailable {
		return err
	}
	s.Log.Error("a schedule cannot be followed", "instance", some[0], "error", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[some[0].Key()] = s.NowFunc().Add(pause)
	return nil
}

func (s *Scheduler) observe(ctx context.Context, done []vault.Scheduled) {
	now := s.NowFunc()
	for _, d := range done {
		level := slog.LevelInfo
		if d.Slot.Outcome != catalogue.SlotBegun {
			level = slog.LevelWarn
		}
		s.Log.Log(ctx, level, "slot", "instance", d.Instance, "slot", d.Slot.At, "outcome", d.Slot.Outcome, "job", d.Slot.Job, "missed", d.Slot.Missed)
		if s.Observe != nil {
			s.Observe(d, now.Sub(d.Start))
		}
	}
}
