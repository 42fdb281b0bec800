package exampledriver

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// hold is what a Tx and a Run have in common: the migration lock, and that they end.
type hold struct {
	db     *db
	set    string
	holder database.Holder

	mu   sync.Mutex // held while a method works: Close may come at any time
	over bool
}

// lock takes the lock. There is one for the whole file, since it has one writer.
func (d *db) lock(ctx context.Context, set string, opts database.LockOptions) (*hold, error) {
	h := &hold{db: d, set: set, holder: database.Holder{PID: int64(os.Getpid()), App: d.opts.App, Since: time.Now()}}
	err := database.Poll(ctx, set, opts, func(ctx context.Context) (bool, database.Holder, error) {
		if err := d.enter(ctx); err != nil {
			return false, database.Holder{}, err
		}
		d.store.mu.Lock()
		defer d.store.mu.Unlock()
		if other := d.store.lock; other != nil {
			return false, other.holder, nil
		}
		d.store.lock = h
		return true, database.Holder{}, nil
	})
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	closed := d.closed
	d.open[h] = true
	d.mu.Unlock()
	if closed {
		h.end()
		return nil, errClosed
	}
	return h, nil
}

// isLocked reports whether a process holds the lock of a set.
func (s *store) isLocked(history, set string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lock != nil && s.lock.set == set && s.lock.db.name == history
}

// enter begins a method of a Tx or Run; leave ends it.
func (h *hold) enter(ctx context.Context) error {
	h.mu.Lock()
	err := ctx.Err()
	if h.over {
		err = errOver
	}
	if err != nil {
		h.mu.Unlock()
	}
	return err
}

func (h *hold) leave() { h.mu.Unlock() }

// end waits for the method that works, and releases the lock.
func (h *hold) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.release()
}

// release releases the lock, once. mu is held.
func (h *hold) release() {
	if h.over {
		return
	}
	h.over = true
	s := h.db.store
	s.mu.Lock()
	s.lock = nil
	s.mu.Unlock()
	h.db.mu.Lock()
	delete(h.db.open, h)
	h.db.mu.Unlock()
}
