package databasetest

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// locking alters the options of Begin, and its errors.
func locking(options func(*database.LockOptions), failed func(error) error) func(*alteredDB) {
	return func(d *alteredDB) {
		d.begin = func(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
			if options != nil {
				options(&opts)
			}
			tx, found, err := d.Database.Begin(ctx, set, opts)
			if err != nil && failed != nil {
				err = failed(err)
			}
			return tx, found, err
		}
	}
}

var lockMutants = []mutant{
	ofDB("the lock does not block other processes", beginLocks, func(d *alteredDB) {
		d.begin = func(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
			tx, found, err := d.Database.Begin(ctx, set, database.LockOptions{})
			if errors.Is(err, database.ErrLocked) {
				return d.Database.Begin(ctx, set+" of another process", opts)
			}
			return tx, found, err
		}
	}),
	ofDB("the error of a taken lock is not ErrLocked", triesOnce, locking(nil, func(err error) error {
		if errors.Is(err, database.ErrLocked) {
			return errors.New("55P03")
		}
		return err
	})),
	ofDB("the error of a taken lock has no set", beginLocked, locking(nil, func(err error) error {
		if errors.Is(err, database.ErrLocked) {
			return database.ErrLocked
		}
		return err
	})),
	ofDB("the timeout of a lock is an error of the context", beginLocked, locking(nil, func(err error) error {
		var locked *database.LockedError
		if errors.As(err, &locked) && locked.Waited > 0 {
			return context.DeadlineExceeded
		}
		return err
	})),
	ofDB("Waiting is never called", waitingCalled, locking(func(o *database.LockOptions) { o.Waiting = nil }, nil)),
	ofDB("Waiting does not receive the holder", waitingHolder, locking(func(o *database.LockOptions) {
		if waiting := o.Waiting; waiting != nil {
			o.Waiting = func(database.Holder) { waiting(database.Holder{}) }
		}
	}, nil)),
	ofDB("LockHolder never finds a process", holderNames, func(d *alteredDB) {
		d.holder = func(context.Context, string) (h database.Holder, held bool, err error) { return h, false, nil }
	}),
	ofDB("LockHolder returns the process that asks", holderNames, func(d *alteredDB) {
		d.holder = func(ctx context.Context, set string) (database.Holder, bool, error) {
			h, held, err := d.Database.LockHolder(ctx, set)
			h.App = d.opts.App
			return h, held, err
		}
	}),
	ofDB("LockHolder ignores the set", holderNone, func(d *alteredDB) {
		d.holder = func(ctx context.Context, _ string) (database.Holder, bool, error) {
			return d.Database.LockHolder(ctx, "s")
		}
	}),
	ofDB("LockHolder creates the tables", holderReads, func(d *alteredDB) {
		d.holder = func(ctx context.Context, set string) (h database.Holder, held bool, err error) {
			tx, _, err := d.Database.Begin(ctx, set+" of a reader", database.LockOptions{})
			if err == nil {
				_, err = tx.Commit(ctx)
			}
			if err != nil {
				return h, false, err
			}
			return d.Database.LockHolder(ctx, set)
		}
	}),
	{"there is one lock for all sets", beginOtherSets, func() alteration {
		var held atomic.Int64
		return alteration{
			db: func(d *alteredDB) {
				d.begin = func(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
					if held.Load() > 0 && opts.Timeout == 0 {
						return nil, database.Found{}, &database.LockedError{Set: set}
					}
					return d.Database.Begin(ctx, set, opts)
				}
			},
			tx: func(tx *alteredTx) {
				over := false
				end := func() {
					if !over {
						over = true
						held.Add(-1)
					}
				}
				held.Add(1)
				tx.commit = func(ctx context.Context) (database.Recorded, error) { defer end(); return tx.Tx.Commit(ctx) }
				tx.rollback = func(ctx context.Context) error { defer end(); return tx.Tx.Rollback(ctx) }
			},
		}
	}},
	ofTx("the lock is released some time after Rollback", txLocked, func(tx *alteredTx) {
		tx.rollback = func(ctx context.Context) error {
			if tx.restart(ctx) == nil {
				time.AfterFunc(time.Second, func() { tx.Tx.Rollback(context.Background()) })
			}
			return nil
		}
	}),
	ofDB("a Database is for one goroutine", manyGoroutines, func(d *alteredDB) {
		var busy atomic.Bool
		d.begin = func(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
			if busy.Swap(true) {
				return nil, database.Found{}, errors.New("conn busy")
			}
			defer busy.Store(false)
			time.Sleep(20 * time.Millisecond) // long enough for another goroutine
			return d.Database.Begin(ctx, set, opts)
		}
	}),
}
