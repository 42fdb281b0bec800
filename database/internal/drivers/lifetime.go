package drivers

import (
	"context"
	"errors"
	"sync"
)

// ErrOver is the error of using a Tx or a Run after its end.
var ErrOver = errors.New("already committed, rolled back or closed")

// Lifetime is that of a Database and of its open Txs and Runs, which end with it. NewLifetime
// returns one.
type Lifetime struct {
	// Closing is done from Close on, with the cause ErrClosed.
	Closing context.Context
	close   context.CancelCauseFunc

	mu   sync.Mutex
	open map[*Held]bool
}

// NewLifetime returns that of a Database that has just been opened.
func NewLifetime() *Lifetime {
	l := &Lifetime{open: map[*Held]bool{}}
	l.Closing, l.close = context.WithCancelCause(context.Background())
	return l
}

// Until returns a context that ends with ctx and when the Database is closed.
func (l *Lifetime) Until(ctx context.Context) (context.Context, func()) {
	return Under(ctx, l.Closing)
}

// Len returns how many Txs and Runs are open.
func (l *Lifetime) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Close abandons every open Tx and Run. It returns false if it was called before, and then does
// nothing.
func (l *Lifetime) Close() (first bool) {
	l.mu.Lock()
	first = l.Closing.Err() == nil
	l.close(ErrClosed)
	var open []*Held
	for h := range l.open {
		open = append(open, h)
	}
	l.mu.Unlock()
	if first {
		for _, h := range open {
			h.Abandon()
		}
	}
	return first
}

// Held is the part of a Tx or a Run that lets it run one method at a time, and end once.
type Held struct {
	life *Lifetime
	end  func()

	mu   sync.Mutex // Database.Close can be called at any time
	over bool
}

// Open begins a Tx or a Run. end rolls back and releases everything; it is called once. If the
// Database has been closed meanwhile, Open calls it and returns ErrClosed.
func (h *Held) Open(life *Lifetime, end func()) error {
	h.life, h.end = life, end
	life.mu.Lock()
	closed := life.Closing.Err() != nil
	if !closed {
		life.open[h] = true
	}
	life.mu.Unlock()
	if closed {
		h.Abandon()
		return ErrClosed
	}
	return nil
}

// Enter begins a method, which calls leave when it returns. The context also ends when the Database
// is closed. After the end the error is ErrOver.
func (h *Held) Enter(ctx context.Context) (_ context.Context, leave func(), err error) {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		return nil, nil, ErrOver
	}
	ctx, cancel := h.life.Until(ctx)
	return ctx, func() { cancel(); h.mu.Unlock() }, nil
}

// End ends the Tx or Run, in one of its methods.
func (h *Held) End() {
	if h.over {
		return
	}
	h.over = true
	h.end()
	h.life.mu.Lock()
	defer h.life.mu.Unlock()
	delete(h.life.open, h)
}

// Abandon waits for a method that is running, and ends the Tx or Run.
func (h *Held) Abandon() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.End()
}
