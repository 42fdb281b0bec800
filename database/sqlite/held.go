package sqlite

import (
	"context"
	"errors"
	"sync"
)

// errClosed is the error of using a Database after Close; errOver that of using a Tx or Run that
// has ended.
var (
	errClosed = errors.New("the database is closed")
	errOver   = errors.New("the transaction is over")
)

// held is common to a Tx and a Run: they end when the Database is closed, whatever they are doing.
type held struct {
	d    *db
	c    *conn
	mu   sync.Mutex // locked while a method runs
	over bool       // guarded by mu
	stop func()     // ends the Tx or Run, and calls ended; mu is locked
}

// enter begins a method. The returned context ends when the Database is closed.
func (h *held) enter(ctx context.Context) (context.Context, func(), error) {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		return nil, nil, errOver
	}
	ctx, cancel := h.d.during(ctx)
	return ctx, func() { cancel(); h.mu.Unlock() }, nil
}

// quit ends the Tx or Run if it has not ended.
func (h *held) quit() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.over {
		h.stop()
	}
}

// ended is called once, with mu locked.
func (h *held) ended() {
	h.over = true
	h.c.release()
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	delete(h.d.open, h)
}

// hold registers h to be ended by Close, or ends it if the Database is closed.
func (d *db) hold(h *held) error {
	d.mu.Lock()
	closed := d.gone.Err() != nil
	if !closed {
		d.open[h] = struct{}{}
	}
	d.mu.Unlock()
	if closed {
		h.quit()
		return errClosed
	}
	return nil
}

// during returns a context that ends when the Database is closed.
func (d *db) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.gone, func() { cancel(errClosed) })
	return ctx, func() { stop(); cancel(nil) }
}

func (d *db) Close() error {
	d.mu.Lock()
	first := d.gone.Err() == nil
	d.close()
	var open []*held
	for h := range d.open {
		open = append(open, h)
	}
	d.mu.Unlock()
	for _, h := range open {
		h.quit()
	}
	if !first || !d.owned {
		return nil
	}
	return d.pool.Close()
}
