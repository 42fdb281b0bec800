package sqlite

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"os"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// transaction is a transaction that can write. It has no savepoint of its own: while one is
// open SQLite keeps each changed page twice.
type transaction struct {
	drivers.Held
	d    *db
	c    *conn
	set  string
	opts database.LockOptions

	found   database.Found
	fresh   bool   // Begin created Whimbrel's tables
	foreign string // foreign objects on Whimbrel's tables
	failed  error  // the first error of a method, after which only Rollback helps
	written bool   // something was executed
	filled  bool   // backfills were started or ended
	last    time.Time
	entries []database.Entry    // those recorded
	scripts []*migration.Script // those executed
	done    bool                // committed
	passed  bool                // the connection has passed to the next Tx
	journal os.FileInfo         // the one that the connection has kept open; nil if none is known

	session *session // before the first script that may have changed it; nil once restored
	keys    foreignKeys
}

func (d *db) Begin(ctx context.Context, set string, opts database.LockOptions) (_ database.Tx, found database.Found, err error) {
	ctx, cancel := d.life.Until(ctx)
	defer cancel()
	w := newWaiter(set, opts)
	c, err := d.connect(ctx, w)
	if err != nil {
		return nil, found, err
	}
	b := &transaction{d: d, c: c, set: set, opts: opts}
	if err := b.begin(ctx, w); err != nil {
		c.release()
		return nil, found, err
	}
	if err := b.Open(d.life, b.end); err != nil {
		return nil, found, err
	}
	return b, b.found, nil
}

// connect takes a connection, and creates the file first if necessary.
func (d *db) connect(ctx context.Context, w *waiter) (*conn, error) {
	if d.life.Closing.Err() != nil {
		return nil, drivers.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := d.ensure(); err != nil {
		return nil, err
	}
	c, err := d.acquire(ctx, w)
	if err == nil && c.readOnly() {
		c.release()
		return nil, &database.ConnectError{
			Target: d.target(), Code: codeName(lib.SQLITE_READONLY), Hint: hints[lib.SQLITE_READONLY],
			Err: errors.New("the database is read-only"),
		}
	}
	return c, err
}

// begin acquires the lock.
func (b *transaction) begin(ctx context.Context, w *waiter) error {
	st, err := b.d.lock(ctx, b.c, w)
	if err != nil {
		return err
	}
	if st.recalled {
		b.d.keepJournal(b.c)
	}
	b.found, b.fresh, b.foreign = database.Found{Head: st.head, Interrupted: st.open}, st.fresh, st.foreign
	b.last = time.Now()
	return nil
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
	if err = ctx.Err(); err == nil {
		err = what(ctx)
	}
	b.failed = err
	return err
}

func (b *transaction) State(ctx context.Context) (state *database.State, err error) {
	err = b.do(ctx, func(ctx context.Context) (err error) {
		state, err = b.d.readState(ctx, b.c, b.set)
		return err
	})
	return state, err
}

func (b *transaction) Exec(ctx context.Context, s *migration.Script) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := foreignError(b.foreign); err != nil {
			return err
		}
		return b.script(ctx, s)
	})
}

func (b *transaction) script(ctx context.Context, s *migration.Script) error {
	if fn := s.Func(); fn != nil {
		return b.function(ctx, s, fn)
	}
	a, err := s.Analyze(sqltext.SQLite, b.d.Tables())
	if err != nil {
		return err
	}
	if a.Control != nil { // it would end the transaction
		e := statementError(*a.Control, nil)
		e.Message, e.Hint = "transaction control inside a migration's transaction", "remove it"
		return e
	}
	if err := b.keys.prepare(ctx, b, s, a); err != nil {
		return err
	}
	return b.guarded(ctx, s, a.Session, func() error {
		if err := b.statements(ctx, s, a); err != nil {
			return err
		}
		return b.keys.check(ctx, b, a)
	})
}

// guarded runs a script, and restores the session afterwards if necessary.
func (b *transaction) guarded(ctx context.Context, s *migration.Script, session bool, run func() error) (err error) {
	if session && b.session == nil {
		if b.session, err = b.c.readSession(ctx); err != nil {
			return err
		}
	}
	b.written, b.scripts = true, append(b.scripts, s)
	if err := run(); err != nil {
		return err // and Rollback puts the session back
	}
	if !session {
		return nil
	}
	done, err := b.c.restore(b.session)
	if done {
		b.session = nil
	}
	if err != nil {
		return fmt.Errorf("%s: restoring the session: %w", s.File, err)
	}
	return nil
}

func (b *transaction) statements(ctx context.Context, s *migration.Script, a *migration.Analysis) error {
	return b.c.watching(ctx, func() error {
		b.c.inserts = &inserts{native: b.c.native}
		defer func() { b.c.inserts.end(); b.c.inserts = nil }()
		for st, err := range a.Body() {
			if err != nil {
				return err
			}
			if err := b.statement(ctx, s, st); err != nil {
				return err
			}
		}
		return nil
	})
}

// statement executes one statement of a script. It repeats a statement that finds an attached
// database locked, as long as the transaction is open.
func (b *transaction) statement(ctx context.Context, s *migration.Script, st sqltext.Statement) error {
	var lost error
	err := poll(ctx, lockLimit(b.opts, s), func() error {
		err := b.c.statement(ctx, s, st)
		if isBusy(err) && !b.c.inTransaction() { // SQLite has rolled back
			lost, err = &lockedFile{err: err}, nil
		}
		return err
	})
	return named(st, cmp.Or(lost, err))
}

// inTransaction reports whether a transaction is open.
func (c *conn) inTransaction() bool {
	if c.do("BEGIN") != nil {
		return true
	}
	c.rollback()
	return false
}

// statement executes one statement of a script.
func (c *conn) statement(ctx context.Context, s *migration.Script, st sqltext.Statement) error {
	limited, cancel := ctx, func() {}
	if s.StatementTimeout > 0 {
		limited, cancel = context.WithTimeoutCause(ctx, s.StatementTimeout, fmt.Errorf("the statement exceeded its timeout of %s", s.StatementTimeout))
	}
	defer cancel()
	quiet, stop := c.quiet, func() {}
	if quiet == nil || s.StatementTimeout > 0 {
		quiet, stop = c.watch(limited)
	}
	err := c.exec(quiet, st.Text)
	stop()
	if err == nil {
		return nil
	}
	if limited.Err() != nil && (code(err) == lib.SQLITE_INTERRUPT || errors.Is(err, limited.Err())) {
		err = context.Cause(limited)
	}
	return statementError(st, err)
}

// exec executes a text on SQLite or on the client itself, which takes less than through
// database/sql.
func (c *conn) exec(ctx context.Context, text string) error {
	if c.native.db != 0 && ctx.Done() == nil {
		if c.inserts != nil {
			if done, err := c.inserts.exec(text); done {
				return err
			}
		}
		if done, err := c.native.exec(text); done {
			return err
		}
	}
	return c.Raw(func(client any) error {
		e, ok := client.(sqldriver.ExecerContext)
		if !ok {
			return otherClient(client)
		}
		_, err := e.ExecContext(ctx, text, nil)
		return err
	})
}

// otherClient is the error of a pool that uses another client than modernc.org/sqlite.
func otherClient(client any) error {
	return fmt.Errorf("the *sql.DB does not use modernc.org/sqlite: its connections are %T", client)
}

func (b *transaction) Record(ctx context.Context, entries ...database.Entry) error {
	return b.do(ctx, func(context.Context) error {
		if err := foreignError(b.foreign); err != nil {
			return err
		}
		for _, e := range entries {
			if err := b.record(e); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *transaction) record(e database.Entry) error {
	now := time.Now()
	if e.StartedAt.IsZero() {
		e.StartedAt, e.Duration = b.last, now.Sub(b.last)
	}
	b.last, e.Set = now, b.set
	return b.append(e)
}

// append appends an entry of any set to the history.
func (b *transaction) append(e database.Entry) error {
	recorded, err := b.d.insert(b.c, e)
	if err == nil && (b.found.Interrupted || e.Direction == database.Reset) {
		err = b.d.endRun(b.c, e)
	}
	if err == nil {
		err = b.started(recorded)
	}
	if err == nil {
		b.written, b.entries = true, append(b.entries, recorded)
	}
	return err
}

// again waits for a lock that we held before: it should be free except for short moments.
func (b *transaction) again() *waiter {
	opts := b.opts
	opts.Timeout = max(opts.Timeout, time.Second)
	return newWaiter(b.set, opts)
}

// reconnect replaces the connection.
func (b *transaction) reconnect(ctx context.Context) error {
	c, err := b.d.acquire(ctx, b.again())
	if err != nil {
		return err
	}
	b.c.drop()
	b.c.release()
	b.c = c
	return nil
}

// putBack restores the session after a script that failed, or that had to keep a database attached.
func (b *transaction) putBack() error {
	if b.session == nil {
		return nil
	}
	done, err := b.c.restore(b.session)
	if done {
		b.session = nil
	}
	return err
}

func (b *transaction) Commit(ctx context.Context) (recorded database.Recorded, err error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return recorded, err
	}
	defer leave()
	defer b.End()
	return b.commit(ctx, func() {})
}

// commit calls then directly after COMMIT.
func (b *transaction) commit(ctx context.Context, then func()) (recorded database.Recorded, err error) {
	if b.failed != nil {
		return recorded, fmt.Errorf("the transaction failed earlier: %w", b.failed)
	}
	limit, scripts := b.commitLimit()
	err = b.c.commitThen(ctx, limit, func() {
		b.done = true
		b.d.remember(b)
		then()
	})
	if err != nil {
		return recorded, b.commitError(err, scripts)
	}
	return recordedAt(b.found.Head, b.entries), nil
}

// commitLimit returns how long COMMIT waits for readers: as the scripts of the transaction say, if
// one of them or the options have a lock timeout.
func (b *transaction) commitLimit() (limit time.Duration, scripts bool) {
	for _, s := range b.scripts {
		if s.LockTimeout != 0 || b.opts.LockTimeout > 0 {
			limit = max(limit, lockLimit(b.opts, s))
		}
	}
	if limit == 0 {
		return fileTimeout(b.opts), false
	}
	return limit, true
}

// recordedAt returns the entries, which have become durable, and the head that they moved.
func recordedAt(head int64, entries []database.Entry) database.Recorded {
	if n := len(entries); n > 0 {
		head = entries[n-1].ID
	}
	return database.Recorded{Entries: entries, Head: head}
}

// commitError explains why the transaction could not be committed. scripts says that a lock timeout
// of the scripts limited it.
func (b *transaction) commitError(err error, scripts bool) error {
	if err == nil {
		return nil
	}
	if code(err) == lib.SQLITE_CONSTRAINT_FOREIGNKEY {
		v, verr := b.c.violations(bg)
		if verr != nil {
			return err
		}
		e := &database.StatementError{
			Statement: "COMMIT", Code: codeName(code(err)), Err: err,
			Message: "at COMMIT, rows without a parent remain: " + v.list(),
		}
		if len(b.scripts) > 0 {
			s := b.scripts[len(b.scripts)-1]
			e.Pos = sqltext.Position{File: s.File, Line: max(s.Line, 1), Column: 1}
		}
		return e
	}
	if isBusy(err) && scripts {
		return b.commitTimeout(err)
	}
	if isBusy(err) {
		return fmt.Errorf("commit failed, nothing was changed: %w", err)
	}
	if code(err) != 0 && len(b.scripts) > 0 {
		e := b.atCommit(err)
		e.Message = "at COMMIT: " + e.Message
		return e
	}
	return b.d.connectError(err)
}

// commitTimeout is the error of a COMMIT that waited too long for readers.
func (b *transaction) commitTimeout(err error) error {
	e := b.atCommit(err)
	e.Message = "at COMMIT, other connections were reading the database; nothing was changed"
	return e
}

// atCommit is the error of a COMMIT, at the beginning of the last script.
func (b *transaction) atCommit(err error) *database.StatementError {
	s := b.scripts[len(b.scripts)-1]
	return statementError(sqltext.Statement{Pos: sqltext.Position{File: s.File, Line: max(s.Line, 1), Column: 1}, Text: "COMMIT"}, err)
}

func (b *transaction) Rollback(context.Context) error {
	b.Abandon()
	return nil
}

// end rolls back, restores everything, and releases the connection, or drops it if that fails.
func (b *transaction) end() {
	if b.passed {
		return
	}
	if !b.done {
		b.c.rollback()
	}
	err := errors.Join(b.putBack(), b.keys.putBack(b.c))
	if err != nil || b.session != nil {
		b.c.drop()
	}
	b.c.release()
}
