package databasetest

import (
	"context"
	"errors"
	"io"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// unlocked removes the reason from the errors of a lock.
func unlocked(of error) func(*alteredTx) {
	return statementErrors(func(st *database.StatementError) error {
		if st.Lock != of {
			return st
		}
		changed := *st
		changed.Lock = nil
		return &changed
	})
}

// directed alters the directives of the scripts that a transaction executes.
func directed(alter func(*migration.Directives)) func(*alteredTx) {
	return scripts(func(_ *alteredTx, s *migration.Script) *migration.Script {
		text, ok, _ := s.Text(1 << 20)
		if !ok {
			return s
		}
		changed := migration.Text(s.File, text)
		changed.Directives = s.Directives
		alter(&changed.Directives)
		return changed
	})
}

var blockedMutants = []mutant{
	ofTx("a lock timeout is an error like any other", lockTimeout, unlocked(database.ErrLockTimeout)),
	ofDB("the lock timeout is ignored", lockTimeout, locking(func(o *database.LockOptions) { o.LockTimeout = 0 }, nil)),
	ofDB("a lock timeout is an error of the context", lockTimeout, func(d *alteredDB) {
		d.a.tx = statementErrors(func(st *database.StatementError) error {
			if st.Lock != nil {
				return context.DeadlineExceeded
			}
			return st
		})
	}),
	ofDB("0 is a lock timeout", lockTimeoutNone, locking(func(o *database.LockOptions) { o.LockTimeout = max(o.LockTimeout, 1) }, nil)),
	ofTx("the lock timeout of the directives is ignored", lockTimeoutScript, directed(func(d *migration.Directives) { d.LockTimeout = 0 })),
	ofTx("a directive does not lift the limit", lockTimeoutScript, directed(func(d *migration.Directives) { d.LockTimeout = max(d.LockTimeout, 0) })),
	ofTx("the effects before a lock timeout remain", lockTimeoutUndoes, func(tx *alteredTx) {
		var ran []*migration.Script
		tx.run = func(ctx context.Context, s *migration.Script) error {
			err := tx.Tx.Exec(ctx, s)
			if err == nil {
				ran = append(ran, s)
			}
			return err
		}
		tx.rollback = func(ctx context.Context) error {
			if tx.restart(ctx) != nil {
				return nil
			}
			for _, s := range ran {
				if err := tx.Tx.Exec(ctx, s); err != nil {
					return err
				}
			}
			return commitTx(ctx, tx.Tx)
		}
	}),
	ofRun("a statement with a journal is marked as done although it waited too long", lockTimeoutUndoes, func(r *alteredRun) {
		r.exec = func(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *database.Journal) error {
			err := r.Run.Exec(ctx, s, st, data, done)
			if errors.Is(err, database.ErrLockTimeout) && done != nil {
				r.Run.Journal(ctx, done)
			}
			return err
		}
	}),
	ofTx("a deadlock is an error like any other", deadlockUndoes, unlocked(database.ErrDeadlock)),
	ofDB("Blocked is never called", blockedTells, locking(func(o *database.LockOptions) { o.Blocked = nil }, nil)),
	ofDB("Blocked does not receive the blockers", blockedTells, locking(func(o *database.LockOptions) {
		if blocked := o.Blocked; blocked != nil {
			o.Blocked = func(database.Blockage) { blocked(database.Blockage{}) }
		}
	}, nil)),
	ofDB("Blocked is always called", blockedSilent, locking(func(o *database.LockOptions) {
		if o.Blocked != nil {
			o.Blocked(database.Blockage{})
		}
	}, nil)),
	ofDB("Terminate is never called", terminateAsks, locking(func(o *database.LockOptions) { o.Terminate = nil }, nil)),
	ofDB("Terminate does not decide", terminateAsks, locking(func(o *database.LockOptions) {
		if asks := o.Terminate; asks != nil {
			o.Terminate = func(b database.Blocker) bool { asks(b); return true }
		}
	}, nil)),
	ofDB("nothing is terminated", terminateEnds, locking(func(o *database.LockOptions) {
		if asks := o.Terminate; asks != nil {
			o.Terminate = func(b database.Blocker) bool { asks(b); return false }
		}
	}, nil)),
	ofDB("Terminated is never called", terminatedTells, locking(func(o *database.LockOptions) { o.Terminated = nil }, nil)),
}
