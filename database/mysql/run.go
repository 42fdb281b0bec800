package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// run executes statements on the worker. Whimbrel's own statements run on the guard, whose session
// no script changes, except for a mark that must be in the statement's transaction.
type run struct {
	drivers.Held
	db       *Database
	h        *hold
	own      bool              // the script has opened a transaction of its own
	timed    *migration.Script // the script whose lock timeout is set, or was until it set another
	waits    waits             // its limits; the zero waits once they are set
	executed int               // how many of its statements
	rows     bool              // one of them may have inserted rows
	made     made              // the table that the run created last
	refused  string            // the statement that failed because its object exists, or does not
	invalid  string            // the statement that the server could not parse, or was not allowed to execute
	ahead    *ahead            // the calls that follow, if they are known
}

// Guard holds the set's lock on a connection of its own.
func (db *Database) Guard(ctx context.Context, set string, opts database.LockOptions) (_ database.Run, found database.Found, err error) {
	h, err := db.hold(ctx, set, opts, false)
	if err == nil {
		if err = triggersError(h.triggers); err != nil {
			h.free()
		}
	}
	if err != nil {
		return nil, found, err
	}
	r := &run{db: db, h: h}
	if err := r.Open(db.life, r.end); err != nil {
		return nil, found, err
	}
	return r, h.found(), nil
}

// Backend returns the worker's id in SHOW PROCESSLIST.
func (r *run) Backend() int64 {
	_, leave, err := r.Enter(context.Background())
	if err != nil {
		return 0
	}
	defer leave()
	return r.h.worker.id
}

// do calls a function while nothing else uses the run.
func (r *run) do(ctx context.Context, f func(context.Context) error) error {
	ctx, leave, err := r.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	r.withdraw()
	ctx, stop := r.h.under(ctx)
	defer stop()
	if ctx.Err() != nil {
		return drivers.Reason(ctx)
	}
	return conflicting(f(ctx))
}

// onGuard executes Whimbrel's own statements.
func (r *run) onGuard(ctx context.Context, f func(context.Context, *conn) error) error {
	return r.do(ctx, func(ctx context.Context) error {
		r.h.guard.mu.Lock()
		defer r.h.guard.mu.Unlock()
		return f(ctx, r.h.guard.c)
	})
}

func (r *run) State(ctx context.Context) (st *database.State, err error) {
	err = r.onGuard(ctx, func(ctx context.Context, c *conn) error {
		st, err = r.db.readState(ctx, c, r.h.set)
		return err
	})
	return st, err
}

// Journal writes the set's row.
func (r *run) Journal(ctx context.Context, j *database.Journal) error {
	return r.onGuard(ctx, func(ctx context.Context, c *conn) error {
		if r.own {
			return errOwnTransaction
		}
		writes := r.h.runEnds()
		if j != nil {
			drivers.Stamp(j, r.h.clock.now(), r.h.user, r.db.process)
			writes = []write{r.h.journalWrite(j, hexText(j.DoneSum.Digits()), hexText(j.Before), r.h.head.mine)}
		}
		_, err := r.h.writeAll(ctx, c, writes...)
		if err == nil {
			r.h.wrote(j)
		}
		return err
	})
}

// Announce stores what exists of the objects that the statement is about in the same statement that
// writes the journal. Before a statement that changes objects it reads their definitions.
func (r *run) Announce(ctx context.Context, st sqltext.Statement, j *database.Journal) error {
	return r.do(ctx, func(ctx context.Context) error {
		a, err := r.announcement(ctx, st, j)
		if err != nil {
			return err
		}
		return r.announce(ctx, a)
	})
}

// Exec executes one statement outside a transaction, or with the journal in one.
func (r *run) Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, _ io.Reader, done *database.Journal) error {
	return r.do(ctx, func(ctx context.Context) error { return r.exec(ctx, s, st, done, nil) })
}

// exec executes a statement, after its announcement if that is not nil.
func (r *run) exec(ctx context.Context, s *migration.Script, st sqltext.Statement, done *database.Journal, first *announcement) error {
	if done != nil && st.Tx != sqltext.TxAny && st.Tx != sqltext.TxCommit {
		return fmt.Errorf("%w: %s", database.ErrNoTransaction, st.Text)
	}
	if err := r.h.checkNow(ctx); err != nil {
		return err
	}
	// A statement that may change the session, or leave something open, is reverted by closing
	// the connection.
	r.h.worker.unusable = r.h.worker.unusable || st.Session || st.Tx != sqltext.TxAny && st.Tx != sqltext.TxNever
	if r.timed != s {
		r.timed, r.executed, r.rows, r.waits = s, 0, false, waitsOf(limitOf(r.h.opts, s))
	}
	rows := r.rows
	r.rows = r.rows || !changesSchema(st)
	if done != nil {
		return r.transact(ctx, s, st, done)
	}
	e := executor{db: r.db, h: r.h, c: r.h.worker, script: s, first: first, rows: rows}
	if first != nil {
		e.limits = r.waits
	} else if err := r.limitWaits(ctx); err != nil {
		return err
	}
	r.executed++
	e.n = r.executed
	err := e.statement(ctx, st)
	if e.limits == r.h.worker.waits {
		r.waits = waits{}
	}
	if r.own {
		err = r.h.worker.undo(ctx, err)
	}
	r.follow(st, err)
	r.made.follow(st, err)
	r.refuses(st, err)
	// after SET autocommit = 0, statements would not be committed with their mark
	if err == nil && st.Tx == sqltext.TxOther {
		_, err = r.h.worker.exec(ctx, "SET autocommit = 1")
	}
	return err
}

// transact executes a statement and writes the journal in one transaction: the one that the
// statement ends, or one of its own.
func (r *run) transact(ctx context.Context, s *migration.Script, st sqltext.Statement, done *database.Journal) error {
	r.executed++
	e := executor{db: r.db, h: r.h, c: r.h.worker, script: s, n: r.executed}
	err := r.begun(ctx, st)
	if err == nil && st.Tx != sqltext.TxCommit {
		err = e.statement(ctx, st)
	}
	if err == nil && r.h.worker.unusable { // the script may have created temporary tables
		err = r.db.dropShadows(ctx, r.h.worker)
	}
	if err == nil {
		err = r.h.putJournal(ctx, r.h.worker, done, r.h.head.mine)
	}
	if err == nil {
		err = r.h.seal(ctx, r.h.worker)
	}
	if err == nil {
		err = r.h.unknownCommit(r.h.worker.commit(ctx))
	}
	r.own = false
	if err == nil {
		r.h.wrote(done)
		return nil
	}
	var unknown *database.CommitUnknownError
	switch {
	case number(err) == erInTransaction:
		err = fmt.Errorf("%w: %w", database.ErrNoTransaction, err)
	case errors.As(err, &unknown), ctx.Err() != nil:
	default:
		if err = statementError(st, err); isLock(err) {
			return r.h.worker.undo(ctx, err)
		}
	}
	r.h.worker.finish("ROLLBACK")
	return err
}

// begun makes sure that a transaction is open.
func (r *run) begun(ctx context.Context, st sqltext.Statement) error {
	switch {
	case r.own && st.Tx != sqltext.TxCommit:
		return errOwnTransaction
	case r.own:
		return nil
	}
	w := r.waits
	if w == (waits{}) {
		w = r.h.worker.waits
	}
	if err := r.h.worker.beginLimited(ctx, r.h.compound(), w); err != nil {
		return err
	}
	return r.limitWaits(ctx) // if the server did not do it together
}

// limitWaits limits the waits of the script's statements for locks, once: the script may then set
// other limits.
func (r *run) limitWaits(ctx context.Context) error {
	if r.waits == (waits{}) {
		return nil
	}
	err := r.h.worker.limitWaits(ctx, r.waits)
	if err == nil {
		r.waits = waits{}
	}
	return err
}

// follow tracks whether the script has opened a transaction.
func (r *run) follow(st sqltext.Statement, err error) {
	switch {
	case r.h.worker.gone, lockError(number(err)) != nil:
		r.own = false
	case st.Tx == sqltext.TxBegin:
		r.own = r.own || err == nil
	case st.Tx == sqltext.TxCommit, st.Tx == sqltext.TxRollback:
		r.own = r.own && err != nil
	case st.Tx == sqltext.TxNever:
		r.own = false
	}
}

// Record appends entries, and ends the interrupted run if one of them does, in a transaction on the
// guard.
func (r *run) Record(ctx context.Context, entries ...database.Entry) (recorded database.Recorded, err error) {
	if recorded, is, err := r.recordAhead(ctx, entries); is {
		return recorded, err
	}
	err = r.onGuard(ctx, func(ctx context.Context, c *conn) error {
		if r.own {
			return errOwnTransaction
		}
		ended, err := r.h.ends(ctx, c, entries...)
		if err != nil {
			return err
		}
		all := make([]database.Entry, len(entries))
		var writes []write
		for i, e := range entries {
			e.Set = r.h.set
			if e.StartedAt.IsZero() {
				e.StartedAt = r.h.clock.now()
			}
			w, err := r.h.entryWrite(&e)
			if err != nil {
				return err
			}
			writes, all[i] = append(writes, w), e
		}
		alone := ended && len(writes) == 1 && r.h.guard.form.seal(r.h.set) == "" // the entry ends the run
		switch {
		case alone:
		case ended:
			writes = append(writes, r.h.runEnds()...)
		default:
			writes = append(writes, r.h.runFails(all...)...)
		}
		ids, err := r.h.writeAll(ctx, c, writes...)
		if err != nil {
			return err
		}
		for i := range all {
			all[i].ID = ids[i]
		}
		switch {
		case alone:
			r.h.ended, r.h.journal = true, nil
		case ended:
			r.h.wrote(nil)
		}
		recorded = r.h.recorded(all)
		return nil
	})
	return recorded, err
}

// Close rolls back what is open, and releases the connections.
func (r *run) Close(context.Context) error {
	r.Abandon()
	return nil
}

func (r *run) end() {
	r.withdraw()
	r.h.worker.ending = []string{"ROLLBACK", "UNLOCK TABLES"}
	r.h.free()
}
