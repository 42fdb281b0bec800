package drivers

import (
	"context"
	"time"
)

// A statement that may wait for a lock is looked at when most of its timeout has passed, and again
// after each fifth of the timeout. One without a timeout is looked at every LookUnlimited.
const (
	LookUnlimited = time.Second
	LookAtLeast   = 100 * time.Millisecond
)

// FirstLook returns how long a statement executes before it is looked at; limit is its lock
// timeout, 0 or less for none.
func FirstLook(limit time.Duration) time.Duration {
	if limit <= 0 {
		return LookUnlimited
	}
	return limit * 4 / 5
}

// NextLook returns the pause after that, as long as the statement waits.
func NextLook(limit time.Duration) time.Duration {
	if limit <= 0 {
		return LookUnlimited
	}
	return max(limit/5, LookAtLeast)
}

// Repeat calls do after the first pause and then after the pause that do returns, until ctx ends,
// do returns a negative pause, or stop is called. stop cancels the call that is running, and waits
// for it.
func Repeat(ctx context.Context, first time.Duration, do func(ctx context.Context) (pause time.Duration)) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for pause := first; pause >= 0; pause = do(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
