package database

import (
	"context"
	"math/rand/v2"
	"time"
)

// The pauses of Poll grow between these, each varied by half.
const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 250 * time.Millisecond
)

// Poll is for drivers. It calls try until try gets the lock of a set, and returns a *LockedError
// after opts.Timeout. try reports whether it got the lock, and otherwise its holder. If ctx ends
// during a pause, Poll returns ctx.Err().
func Poll(ctx context.Context, set string, opts LockOptions, try func(context.Context) (got bool, holder Holder, err error)) error {
	start, pause := time.Now(), shortestPause
	for {
		got, holder, err := try(ctx)
		if err != nil || got {
			return err
		}
		if opts.Waiting != nil {
			opts.Waiting(holder)
		}
		waited := time.Since(start)
		if waited >= opts.Timeout {
			return &LockedError{Set: set, Waited: waited, Holder: holder}
		}
		wait := min(pause/2+rand.N(pause), opts.Timeout-waited)
		pause = min(pause*2, longestPause)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
