package mysql

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// transaction is a transaction on the worker, without statements that commit by themselves.
type transaction struct {
	drivers.Held
	db        *Database
	h         *hold
	failed    error // the first error of a method, after which only Rollback helps
	written   bool
	filled    bool      // backfills were started or ended
	synced    []int64   // the versions of those whose triggers were created
	began     time.Time // by the server's clock: the start of the Tx, or of the last entry
	last      sqltext.Statement
	recorded  []database.Entry
	session   *session // before the first script that may have changed it
	waits     waits    // the limits of that session
	later     *later   // what Commit executes after the COMMIT
	committed bool
	chained   bool // COMMIT begins the transaction of the next Tx
	passed    bool // the connections and the lock belong to the next Tx
}

// startTransaction permits the history row, whatever the session's default is.
const startTransaction = "START TRANSACTION READ WRITE"

// Begin opens a transaction that holds the set's lock.
func (db *Database) Begin(ctx context.Context, set string, opts database.LockOptions) (_ database.Tx, found database.Found, err error) {
	h, err := db.hold(ctx, set, opts, true)
	if err != nil {
		return nil, found, err
	}
	b := &transaction{db: db, h: h, began: h.clock.server}
	if err := b.Open(db.life, b.end); err != nil {
		return nil, found, err
	}
	return b, h.found(), nil
}

// do calls a function in the transaction.
func (b *transaction) do(ctx context.Context, what func(context.Context) error) error {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if b.failed != nil {
		return fmt.Errorf("the transaction failed earlier: %w", b.failed)
	}
	ctx, stop := b.h.under(ctx)
	defer stop()
	if ctx.Err() != nil {
		b.failed = drivers.Reason(ctx)
	} else {
		b.failed = conflicting(what(ctx))
	}
	return b.failed
}

// State reads the state in the transaction.
func (b *transaction) State(ctx context.Context) (st *database.State, err error) {
	err = b.do(ctx, func(ctx context.Context) (err error) {
		st, err = b.db.readState(ctx, b.h.worker, b.h.set)
		if !b.written { // a pause before this is no part of a step
			b.began = b.h.clock.now()
		}
		return err
	})
	return st, err
}

// Exec executes the statements of a script one by one.
func (b *transaction) Exec(ctx context.Context, s *migration.Script) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := triggersError(b.h.triggers); err != nil {
			return err
		}
		return b.script(ctx, s)
	})
}

func (b *transaction) script(ctx context.Context, s *migration.Script) error {
	a, err := s.Analyze(sqltext.MySQL, b.db.Tables())
	if err != nil {
		return err
	}
	switch {
	case a.Never != nil:
		return refused(*a.Never, a.Never.Why+" commits or may commit by itself, so it can't run in a transaction", "add the directive \"-- whimbrel: no-transaction\" at the top of the file")
	case a.Control != nil:
		return refused(*a.Control, "transaction control inside a migration's transaction", "remove it")
	}
	b.written = true
	b.last = sqltext.Statement{Pos: sqltext.Position{File: s.File, Line: max(s.Line, 1), Column: 1}}
	if err := b.h.worker.limitWaits(ctx, waitsOf(limitOf(b.h.opts, s))); err != nil {
		return err
	}
	run := func() error { return b.statements(ctx, s, a) }
	if fn := s.Func(); fn != nil {
		run = func() error { return b.call(ctx, s, fn) }
	}
	if !a.Session && s.Func() == nil {
		err = run()
	} else {
		err = b.keepingSession(ctx, s, run)
	}
	if err != nil {
		return b.h.worker.undo(ctx, err)
	}
	return b.db.dropShadows(ctx, b.h.worker)
}

func (b *transaction) statements(ctx context.Context, s *migration.Script, a *migration.Analysis) error {
	e := executor{db: b.db, h: b.h, c: b.h.worker, script: s}
	for st, err := range a.Body() {
		if err != nil {
			return err
		}
		b.last = st
		if b.session != nil {
			b.session.see(st.Text)
		}
		if err := e.statement(ctx, st); err != nil {
			return err
		}
	}
	return nil
}

// keepingSession runs a script and restores the session in the middle of the transaction. The
// connection isn't reused afterwards, since some changes are not visible.
func (b *transaction) keepingSession(ctx context.Context, s *migration.Script, run func() error) (err error) {
	b.h.worker.unusable = true
	if b.session == nil {
		if b.session, err = b.h.worker.readSession(ctx); err != nil {
			return err
		}
		b.waits = b.h.worker.waits
	}
	if err := run(); err != nil {
		return err
	}
	if err := b.h.worker.putBack(ctx, b.session); err != nil {
		return fmt.Errorf("%s: restoring the session: %w", s.File, err)
	}
	b.h.worker.waits = b.waits
	return nil
}

// Record inserts the entries' rows.
func (b *transaction) Record(ctx context.Context, entries ...database.Entry) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := triggersError(b.h.triggers); err != nil {
			return err
		}
		for _, e := range entries {
			e.Set = b.h.set
			if err := b.record(ctx, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *transaction) record(ctx context.Context, e database.Entry) error {
	now := b.h.clock.now()
	if e.StartedAt.IsZero() {
		e.StartedAt, e.Duration = b.began, now.Sub(b.began)
	}
	b.began, b.written = now, true
	ended := false
	if e.Set == b.h.set { // before the entry, with which a state has no interrupted run any more
		var err error
		if ended, err = b.h.ends(ctx, b.h.worker, e); err != nil {
			return err
		}
	}
	recorded, err := b.h.record(ctx, b.h.worker, e)
	if err != nil {
		return err
	}
	b.recorded = append(b.recorded, recorded)
	if err := b.started(ctx, recorded); err != nil {
		return err
	}
	if e.Set != b.h.set {
		return nil
	}
	if !ended {
		err = b.h.failRun(ctx, b.h.worker, e)
	}
	if err != nil || !ended {
		return err
	}
	err = b.h.endRun(ctx, b.h.worker)
	b.h.wrote(nil)
	return err
}

// Commit commits everything.
func (b *transaction) Commit(ctx context.Context) (database.Recorded, error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return database.Recorded{}, err
	}
	defer leave()
	defer b.End()
	if err := conflicting(b.commit(ctx)); err != nil {
		return database.Recorded{}, err
	}
	return b.h.recorded(b.recorded), nil
}

// conflicting marks an error after which the transaction was rolled back and may be tried again.
func conflicting(err error) error {
	if n := number(err); n == erDeadlock || n == erCommitConflict {
		return fmt.Errorf("%w: %w", database.ErrConflict, err)
	}
	return err
}

func (b *transaction) commit(ctx context.Context) error {
	if b.failed != nil {
		return fmt.Errorf("the transaction failed earlier: %w", b.failed)
	}
	under, stop := b.h.under(ctx)
	defer stop()
	if under.Err() != nil {
		return drivers.Reason(under)
	}
	if err := b.mark(under); err != nil {
		return err
	}
	if err := b.h.seal(under, b.h.worker); err != nil {
		return err
	}
	statement := "COMMIT"
	if b.chained {
		statement = commitAndChain
	}
	if err := b.h.unknownCommit(b.h.worker.commitWith(under, statement)); err != nil {
		if _, ok := drivers.AsType[*database.CommitUnknownError](err); ok {
			return err
		}
		return commitError(b.last, err)
	}
	b.committed = true
	if b.later != nil {
		return b.finish(under, b.later)
	}
	return nil
}

// commit sends COMMIT.
func (c *conn) commit(ctx context.Context) error { return c.commitWith(ctx, "COMMIT") }

// commitWith commits. It isn't interrupted when a context is done: its outcome would be unknown.
func (c *conn) commitWith(ctx context.Context, statement string) error {
	if c.gone {
		return errBroken
	}
	return c.uninterrupted(ctx, func(ctx context.Context) error {
		_, err := c.ExecContext(ctx, statement)
		return err
	})
}

var errBroken = errors.New("the connection is broken")

// commitTimeout is how long a COMMIT may take.
const commitTimeout = 10 * time.Minute

// commitError is an error of COMMIT itself, which belongs to no statement. last is the one before.
func commitError(last sqltext.Statement, err error) error {
	err = statementError(last, err)
	if e, ok := drivers.AsType[*database.StatementError](err); ok {
		e.Message = "at COMMIT: " + e.Message
	}
	return err
}

// replaceWorker takes another connection for the worker. The guard holds the lock meanwhile.
func (h *hold) replaceWorker(ctx context.Context) error {
	h.worker.finish(h.worker.releasing("RELEASE_ALL_LOCKS()"))
	h.worker.giveBack()
	c, err := h.db.acquire(ctx)
	if err != nil {
		return err
	}
	c.killer = h.guard
	h.worker = c
	return nil
}

// Rollback ends the transaction and releases the connections.
func (b *transaction) Rollback(context.Context) error {
	b.Abandon()
	return nil
}

func (b *transaction) end() {
	if b.passed {
		return
	}
	if !b.committed {
		b.h.worker.finish("ROLLBACK")
		b.dropSynced()
	}
	b.h.free()
}
