package memdb

import (
	"context"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// lockKey identifies a lock: a set in one history.
type lockKey struct {
	own tables
	set string
}

// lock is a lock that is held. released is closed when it is released.
type lock struct {
	holder   database.Holder
	released chan struct{}
}

// hold is the part of a Tx or Run that its Database knows. The target's mu guards it.
type hold struct {
	key  lockKey
	lock *lock
	over bool
	head int64 // including the entries that the Tx or Run has recorded
}

// acquire takes the lock of a set, and creates Whimbrel's tables.
func (d *Database) acquire(ctx context.Context, set string, opts database.LockOptions, op string) (*hold, database.Found, error) {
	key := lockKey{d.own, set}
	begun := time.Now()
	timer := time.NewTimer(opts.Timeout)
	defer timer.Stop()
	for {
		h, found, held, err := d.tryLock(key, op)
		if h != nil || err != nil {
			return h, found, err
		}
		if opts.Waiting != nil {
			opts.Waiting(held.holder)
		}
		locked := func() error {
			return &database.LockedError{Set: set, Waited: time.Since(begun), Holder: held.holder}
		}
		if opts.Timeout <= 0 {
			return nil, found, locked()
		}
		if err := d.await(ctx, held, timer, locked); err != nil {
			return nil, found, err
		}
	}
}

// await waits until a lock is released. When the timer ends first, it returns the error of late.
func (d *Database) await(ctx context.Context, held *lock, timer *time.Timer, late func() error) error {
	select {
	case <-held.released:
		return nil
	case <-timer.C:
		return late()
	case <-ctx.Done():
		return ctx.Err()
	case <-d.gone:
		return d.err()
	}
}

// settle waits until locks are released.
func (d *Database) settle(ctx context.Context, s database.SettingUpdate, open []*lock) error {
	begun := time.Now()
	timer := time.NewTimer(s.Settle.Timeout)
	defer timer.Stop()
	for _, held := range open {
		select {
		case <-held.released:
			continue
		default:
		}
		if s.Settle.Waiting != nil {
			s.Settle.Waiting(held.holder)
		}
		err := d.await(ctx, held, timer, func() error {
			return &database.UnsettledError{Name: s.Name, Waited: time.Since(begun), Holder: held.holder}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// tryLock takes the lock, or returns the lock that another Tx or Run holds.
func (d *Database) tryLock(key lockKey, op string) (*hold, database.Found, *lock, error) {
	t := d.target
	t.mu.Lock()
	defer t.mu.Unlock()
	if d.cause != nil {
		return nil, database.Found{}, nil, d.cause
	}
	if held := t.locks[key]; held != nil {
		return nil, database.Found{}, held, nil
	}
	h := d.hold(key, op)
	l := t.ledger(d.own, true)
	h.head = head(l.entries, key.set)
	j, ok := l.journals[key.set]
	return h, database.Found{Head: h.head, Interrupted: ok && j.Started()}, nil, nil
}

// hold takes a free lock. mu is held.
func (d *Database) hold(key lockKey, op string) *hold {
	h := &hold{key: key, lock: &lock{
		holder: database.Holder{
			PID: d.pid, User: User, Host: Host, App: d.opts.App, Since: time.Now(), Query: op,
		},
		released: make(chan struct{}),
	}}
	d.target.locks[key] = h.lock
	d.open[h] = struct{}{}
	return h
}

// release ends a hold, once. mu is held.
func (d *Database) release(h *hold) {
	if h.over {
		return
	}
	h.over = true
	delete(d.open, h)
	delete(d.target.locks, h.key)
	close(h.lock.released)
}

// isOver returns an error if a Tx or Run is over.
func (d *Database) isOver(h *hold) error {
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	if h.over {
		return errOver
	}
	return nil
}

// LockHolder returns the process that holds the lock of a set.
func (d *Database) LockHolder(ctx context.Context, set string) (h database.Holder, held bool, err error) {
	if err := ctx.Err(); err != nil {
		return h, false, err
	}
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	l := d.target.locks[lockKey{d.own, set}]
	if l == nil {
		return h, false, nil
	}
	return l.holder, true, nil
}
