package sqlite

import (
	"context"
	"errors"
	"sync"

	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// drivers.ErrClosed is the error of using a Database after Close; errOver that of using a Tx or Run that
// has ended.
var (
	errOver = errors.New("the transaction is over")
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

// Abandon ends the Tx or Run if it has not ended.
func (h *held) Abandon() {
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
	h.d.units.Remove(h)
}

// hold registers h to be ended by Close, or ends it if the Database is closed.
func (d *db) hold(h *held) error {
	err := d.units.Add(h)
	if err != nil {
		h.Abandon()
	}
	return err
}

// during returns a context that ends when the Database is closed.
func (d *db) during(ctx context.Context) (context.Context, func()) {
	return drivers.Under(ctx, d.units.Closing)
}

func (d *db) Close() error {
	if !d.units.Close() || !d.owned {
		return nil
	}
	return d.pool.Close()
}
