package whimbrel

import (
	"context"
	"errors"

	"github.com/whimbrel-db/whimbrel/database"
)

// Locked runs work in one transaction that holds the set's migration lock, and commits it.
//
// check decides whether the work is allowed and useful. Locked calls it twice: before it locks or
// creates anything, and under the lock with the state read there. A frozen database returns a
// *FrozenError without either call. After an error of check or work, nothing has changed.
//
// If a statement of work waits too long for a lock, or the database ends a deadlock with it, Locked
// rolls back, pauses, and calls check and work again in another transaction, as long as
// Options.RetryFor permits. Then the error is a *BlockedError.
func (m *Migrator) Locked(ctx context.Context, check func(*database.State) error, work func(database.Tx) error) error {
	_, err := m.locked(ctx, unlessFrozen(check), work)
	return err
}

// locked is Locked, except that it leaves it to check to refuse a frozen database. It also returns
// the entries that the transaction added to the history.
func (m *Migrator) locked(ctx context.Context, check func(*database.State) error, work func(database.Tx) error) (recorded []database.Entry, err error) {
	m = m.call(ctx)
	settings, err := m.checkFirst(ctx, check)
	if err != nil {
		return nil, err
	}
	r := m.newRetrier(settings)
	for {
		recorded, err = m.lockedOnce(ctx, r, check, work)
		if ctx.Err() != nil || !r.again(Step{Version: NilVersion}, 0, err) {
			return recorded, r.gaveUp(ctx, err)
		}
	}
}

// lockedOnce is one attempt of locked.
func (m *Migrator) lockedOnce(ctx context.Context, r *retrier, check func(*database.State) error, work func(database.Tx) error) (recorded []database.Entry, err error) {
	if r.pausing && database.BlocksWriters(m.db) {
		if err := r.sleep(ctx); err != nil {
			return nil, err
		}
	}
	tx, _, err := m.db.Begin(ctx, m.set.Name(), r.lockOptions())
	if err != nil {
		return nil, err
	}
	defer func() {
		if rerr := tx.Rollback(ctx); err == nil {
			err = rerr
		}
	}()
	if r.pausing {
		if err := r.sleep(ctx); err != nil {
			return nil, err
		}
	}
	if err := checkAgain(ctx, tx, check); err != nil {
		return nil, err
	}
	r.start()
	r.at(Step{Version: NilVersion})
	if err := work(tx); err != nil {
		return nil, err
	}
	ended, err := r.recordEndings(ctx, tx)
	if err != nil {
		return nil, err
	}
	done, err := tx.Commit(ctx)
	if err != nil {
		return nil, err
	}
	r.recorded(ended)
	return done.Entries[:len(done.Entries)-ended], nil
}

// Guarded runs work under the set's migration lock, but outside a transaction. Otherwise it is like
// Locked, except that the effects of work remain after an error.
func (m *Migrator) Guarded(ctx context.Context, check func(*database.State) error, work func(database.Run) error) (err error) {
	return m.guarded(ctx, unlessFrozen(check), work)
}

// guarded is Guarded, except that it leaves it to check to refuse a frozen database.
func (m *Migrator) guarded(ctx context.Context, check func(*database.State) error, work func(database.Run) error) (err error) {
	m = m.call(ctx)
	settings, err := m.checkFirst(ctx, check)
	if err != nil {
		return err
	}
	run, _, err := m.db.Guard(ctx, m.set.Name(), m.lockOptions(settings))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := run.Close(ctx); err == nil {
			err = cerr
		}
	}()
	if err := checkAgain(ctx, run, check); err != nil {
		return err
	}
	return work(run)
}

// checkFirst calls check before anything is locked, and returns the database's settings.
func (m *Migrator) checkFirst(ctx context.Context, check func(*database.State) error) (database.Settings, error) {
	st, err := m.db.State(ctx, m.set.Name())
	if err == nil {
		err = check(st)
	}
	if err != nil {
		return database.Settings{}, err
	}
	return st.Settings, nil
}

// checkAgain checks under the lock: another process may have changed the state meanwhile.
func checkAgain(ctx context.Context, l locked, check func(*database.State) error) error {
	st, err := l.State(ctx)
	if err != nil {
		return err
	}
	return check(st)
}

// unlessFrozen returns a check that refuses a frozen database before it calls another check.
func unlessFrozen(check func(*database.State) error) func(*database.State) error {
	return func(st *database.State) error {
		if err := checkFrozen(st.Settings); err != nil {
			return err
		}
		return check(st)
	}
}

// errDryRun ends work whose effects must not remain.
var errDryRun = errors.New("dry run")
