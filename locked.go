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
func (m *Migrator) Locked(ctx context.Context, check func(*database.State) error, work func(database.Tx) error) error {
	_, err := m.locked(ctx, unlessFrozen(check), work)
	return err
}

// locked is Locked, except that it leaves it to check to refuse a frozen database. It also returns
// the entries that the transaction added to the history.
func (m *Migrator) locked(ctx context.Context, check func(*database.State) error, work func(database.Tx) error) (recorded []database.Entry, err error) {
	m = m.call(ctx)
	opts, err := m.checkFirst(ctx, check)
	if err != nil {
		return nil, err
	}
	tx, _, err := m.db.Begin(ctx, m.set.Name(), opts)
	if err != nil {
		return nil, err
	}
	defer func() {
		if rerr := tx.Rollback(ctx); err == nil {
			err = rerr
		}
	}()
	if err := checkAgain(ctx, tx, check); err != nil {
		return nil, err
	}
	if err := work(tx); err != nil {
		return nil, err
	}
	done, err := tx.Commit(ctx)
	return done.Entries, err
}

// Guarded runs work under the set's migration lock, but outside a transaction. Otherwise it is like
// Locked, except that the effects of work remain after an error.
func (m *Migrator) Guarded(ctx context.Context, check func(*database.State) error, work func(database.Run) error) (err error) {
	m = m.call(ctx)
	check = unlessFrozen(check)
	opts, err := m.checkFirst(ctx, check)
	if err != nil {
		return err
	}
	run, _, err := m.db.Guard(ctx, m.set.Name(), opts)
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

// checkFirst calls check before anything is locked, and returns how to wait for the lock.
func (m *Migrator) checkFirst(ctx context.Context, check func(*database.State) error) (database.LockOptions, error) {
	st, err := m.db.State(ctx, m.set.Name())
	if err == nil {
		err = check(st)
	}
	if err != nil {
		return database.LockOptions{}, err
	}
	return m.lockOptions(st.Settings), nil
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
