package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/coffer-backup/coffer/internal/catalogue"
	"github.com/coffer-backup/coffer/internal/decide/history"
	"github.com/coffer-backup/coffer/internal/flow/vault"
)

const (
	// sweepInterval is how often is looked for what is at the end of its time, and jobsInterval how often among jobs: those that are needed are gone
	// through each time, and there may be a million of them.
	sweepInterval = time.Hour
	jobsInterval  = 24 * time.Hour
	// sweptAt is below what the histories fall to replicas, each to one.
	sweptAt = catalogue.ID("/providers/Coffer.Backup/histories/")
)

// HistoriesConfig is what Histories needs; all of it.
type HistoriesConfig struct {
	Keeper *vault.Keeper
	// Kept says for how long each is kept.
	Kept history.Histories
	// Mine says whether a history falls to this replica. What does not is another's; for a while it may be nobody's, or that of two.
	Mine func(place catalogue.ID) bool
	Log  *slog.Logger
	// NowFunc is the clock.
	NowFunc func() time.Time
	// Observe is told how many were deleted.
	Observe func(kind history.Kind, deleted int)
}

// Histories deletes what is at the end of its time. One goroutine at a time uses it; others may be on the same database.
type Histories struct {
	HistoriesConfig

	// jobs is when jobs are looked at next.
	jobs time.Time
}

// NewHistories makes a Histories.
func NewHistories(c HistoriesConfig) *Histories { return &Histories{HistoriesConfig: c} }

// Run looks now and each hour, until ctx ends.
func (h *Histories) Run(ctx context.Context) {
	wait.NonSlidingUntilWithContext(ctx, func(ctx context.Context) {
		if err := h.Look(ctx); err != nil && ctx.Err() == nil {
			h.Log.Error("what is old is not deleted", "error", err)
		}
	}, sweepInterval)
}

// Look deletes all that is at the end of its time and falls to this replica, and deleted vaults whose time is over. What of one kind cannot be deleted
// keeps none of the others.
func (h *Histories) Look(ctx context.Context) error {
	failed := []error{h.Keeper.PurgeVaults(ctx)}
	for _, kind := range history.Kinds() {
		now := h.NowFunc()
		end, bounded := h.Kept.End(kind, now)
		if ctx.Err() != nil || !bounded || kind == history.Jobs && now.Before(h.jobs) || !h.Mine(sweptAt+catalogue.ID(kind)) {
			continue
		}
		deleted, err := h.Keeper.Sweep(ctx, kind, end)
		if deleted > 0 {
			h.Log.Info("what is at the end of its time is deleted", "history", kind, "before", end, "count", deleted)
			h.Observe(kind, deleted)
		}
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("delete %s of before %s: %w", kind, end.Format(time.RFC3339), err))
		case kind == history.Jobs:
			h.jobs = now.Add(jobsInterval)
		}
	}
	return errors.Join(failed...)
}
