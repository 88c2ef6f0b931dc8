package lifecycle

import (
	"context"
	"time"

	"github.com/coffer-backup/coffer/internal/decide/meter"
)

// measureInterval is how often is looked for vaults that were not measured on the day: new ones, and those of a replica that is dead.
const measureInterval = 5 * time.Minute

// Meter measures the vaults that fall to this replica and were not measured on this day. What nobody has measured on a day is not made up
// later. A vault that cannot be measured keeps none of the others, and is tried again.
func (l *Lifecycle) Meter(ctx context.Context) error {
	now := l.NowFunc()
	day := meter.Day(now)
	if l.day.Equal(day) && now.Before(l.measure) {
		return nil
	}
	vaults, err := l.Jobs.MeteredVaults(ctx)
	if err != nil {
		return err
	}
	if !l.day.Equal(day) {
		l.metered = map[string]bool{}
	}
	l.day, l.measure = day, now.Add(measureInterval)
	for _, v := range vaults {
		if l.metered[v.Key] || !l.Mine(v.Vault) {
			continue
		}
		measured, err := l.Jobs.Meter(ctx, v.Vault)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			l.Log.Error("a vault cannot be measured", "vault", v.Vault, "error", err)
			continue
		}
		l.metered[v.Key] = true
		if measured > 0 {
			l.Log.Info("a vault was measured", "vault", v.Vault, "day", day.Format(time.DateOnly), "instances", measured)
		}
	}
	return nil
}
