package drivers

import (
	"context"
	"sync"
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
	r := &repetition{done: make(chan struct{})}
	if first < 0 {
		return func() {}
	}
	// most callers stop before the first call: it needs no goroutine
	r.first = time.AfterFunc(first, func() {
		defer close(r.done)
		if ctx, cancel := r.begin(ctx); ctx != nil {
			defer cancel()
			r.run(ctx, do)
		}
	})
	return r.stop
}

// repetition is one call of Repeat.
type repetition struct {
	first *time.Timer
	done  chan struct{} // closed after the last call

	mu      sync.Mutex
	stopped bool
	cancel  context.CancelFunc // once the first pause is over
}

// begin returns the context of the calls, nil if there is none.
func (r *repetition) begin(ctx context.Context) (context.Context, context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped || ctx.Err() != nil {
		return nil, nil
	}
	ctx, r.cancel = context.WithCancel(ctx)
	return ctx, r.cancel
}

func (r *repetition) run(ctx context.Context, do func(ctx context.Context) (pause time.Duration)) {
	for {
		pause := do(ctx)
		if pause < 0 {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (r *repetition) stop() {
	r.mu.Lock()
	again, cancel := r.stopped, r.cancel
	r.stopped = true
	r.mu.Unlock()
	if !again && r.first.Stop() {
		close(r.done)
	}
	if cancel != nil {
		cancel()
	}
	<-r.done
}
