package object

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// tries is how often one request is sent. With the pauses between, a store that is away is told of after a few seconds:
	// runs try again for longer than that.
	tries = 5
	// longestWait is how long a store that asks to be left alone is obeyed at most. One that asks for more fails the call.
	longestWait = 30 * time.Second
)

// retry does something until it succeeds, fails for a reason that stays, or has been tried often enough.
func (c *Container) retry(ctx context.Context, do func() error) error {
	pause := c.Pause
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == tries || ctx.Err() != nil {
			return err
		}
		verdict := c.Store.Judge(err)
		switch verdict.Cause {
		case Away, Throttled, Busy:
		default:
			return err
		}
		if verdict.Spent || verdict.After > longestWait {
			return err
		}
		// Half of the pause is random, so that writers that were throttled together do not come back together.
		wait := max(verdict.After, pause/2+rand.N(pause/2+1)) //nolint:gosec // no secret depends on it
		pause *= 2
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}
