package databasetest

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// work is a Tx or a Run of set s, for cases that are the same for both.
type work struct {
	State func(context.Context) (*database.State, error)
	exec  func(context.Context, *migration.Script) error
	// finish executes a script and commits a version. It returns nil if any of that can have an
	// effect.
	finish func(ctx context.Context, s *migration.Script, version int64) error
	// end is Rollback or Close.
	end func(context.Context) error
	// kept is how many of the rows remain that one statement has inserted, after end.
	kept int
}

// locker is one of the two ways to take the lock of set s and to work under it.
type locker struct {
	name string // of the method
	take func(context.Context, database.Database, database.LockOptions) (*work, error)
}

func (c *check) lockers() []locker {
	return []locker{{"Begin", c.beginWork}, {"Guard", c.guardWork}}
}

func (c *check) beginWork(ctx context.Context, db database.Database, opts database.LockOptions) (*work, error) {
	tx, _, err := db.Begin(ctx, "s", opts)
	if err != nil {
		return nil, err
	}
	c.Cleanup(func() { tx.Rollback(context.Background()) })
	return &work{State: tx.State, exec: tx.Exec, end: tx.Rollback, finish: func(ctx context.Context, s *migration.Script, v int64) error {
		return execAndCommit(ctx, tx, s, v)
	}}, nil
}

func (c *check) guardWork(ctx context.Context, db database.Database, opts database.LockOptions) (*work, error) {
	r, _, err := db.Guard(ctx, "s", opts)
	if err != nil {
		return nil, err
	}
	c.Cleanup(func() { r.Close(context.Background()) })
	exec := func(ctx context.Context, s *migration.Script) error { return c.tryExec(r, ctx, s) }
	return &work{State: r.State, exec: exec, end: r.Close, kept: 1, finish: func(ctx context.Context, s *migration.Script, v int64) error {
		err := exec(ctx, s)
		if _, rerr := r.Record(ctx, up(v)); rerr == nil {
			return nil
		}
		return err
	}}, nil
}

// take takes the lock.
func (c *check) take(l locker, db database.Database) *work {
	c.Helper()
	w, err := l.take(c.ctx, db, patient)
	c.ok(err, l.name)
	return w
}

// execNow executes a script, even if the driver queues.
func (w *work) execNow(ctx context.Context, s *migration.Script) error {
	err := w.exec(ctx, s)
	if err == nil {
		_, err = w.State(ctx)
	}
	return err
}

// pairs calls do for each way to hold the lock and each way to try to take it.
func (c *check) pairs(do func(what string, hold, try locker)) {
	for _, hold := range c.lockers() {
		for _, try := range c.lockers() {
			do(try.name+" while "+hold.name+" holds the lock", hold, try)
		}
	}
}
