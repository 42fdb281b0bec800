package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// The queue is sent when it reaches this many queries or bytes.
const (
	queueQueries = 400
	queueBytes   = 256 << 10
)

// Begin opens a transaction that holds the set's lock.
func (db *Database) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	b, err := db.beginOnce(ctx, set, opts)
	if db.elsewhere(err) {
		b, err = db.beginOnce(ctx, set, opts)
	}
	if err != nil {
		return nil, database.Found{}, err
	}
	return b, b.head.found(), nil
}

func (db *Database) beginOnce(ctx context.Context, set string, opts database.LockOptions) (*transaction, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	l, h, err := db.begin(ctx, c, set, opts)
	if err != nil {
		c.giveBack()
		return nil, err
	}
	db.last.Store(&h)
	b := &transaction{db: db, c: c, set: set, own: l, schema: l.schema, head: h, opts: opts}
	b.app = db.ownApp(c)
	b.watch()
	return b, db.opened(&b.Held, b.end, c)
}

// watch finds out what the statements of the Tx wait for.
func (b *transaction) watch() {
	c := b.c
	c.watch = b.db.newWatcher(c, b.own, b.opts, func() int64 { return c.backend })
}

type transaction struct {
	drivers.Held
	db          *Database
	set, schema string
	own         location
	app, name   string // the application_name without a script, and what names a script if it is not sent yet
	opts        database.LockOptions

	c        *conn
	head     head
	queue    []query
	queued   int  // in bytes
	scripts  int  // executed so far
	looked   bool // the state was read, possibly after a pause
	last     sqltext.Statement
	recorded []database.Entry
	session  session // its state before the first script, once known
	limiter  limiter
	passed   bool   // the connection belongs to the next Tx
	collects bool   // queries are only queued: CommitEach sends them
	follows  bool   // what begins the Tx also names its script
	unbegun  bool   // it begins with CommitEach
	claim    string // the token of the run under whose lock it is; "" for one that has the lock
}

// add queues queries, and sends a long queue. One long query stays in the queue, so that COMMIT may
// follow it in the same round trip.
func (b *transaction) add(ctx context.Context, queries ...query) error {
	for _, q := range b.named(queries...) {
		size := q.size()
		if !b.collects && (len(b.queue) >= queueQueries || b.queued > 0 && b.queued+size > queueBytes) {
			if err := b.flush(ctx); err != nil {
				return err
			}
		}
		b.queue, b.queued = append(b.queue, q), b.queued+size
	}
	return nil
}

// flush sends the queue, and waits for the answers.
func (b *transaction) flush(ctx context.Context) error {
	queries := b.queue
	b.queue, b.queued = nil, 0
	return b.c.pipeline(ctx, queries...)
}

// State reads the state in the transaction, after sending the queue.
func (b *transaction) State(ctx context.Context) (*database.State, error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	b.looked = true
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	return b.db.readState(ctx, b.c, b.own, b.set, nil)
}

// Exec queues a short script, and executes a long one.
func (b *transaction) Exec(ctx context.Context, s *migration.Script) error {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return b.exec(ctx, s)
}

func (b *transaction) exec(ctx context.Context, s *migration.Script) error {
	a, err := s.Analyze(b.db.Dialect(), b.db.Tables())
	if err != nil {
		return err
	}
	if !b.follows {
		b.nameTask(s.File)
	}
	if b.scripts > 0 || b.looked {
		if err := b.add(ctx, markQuery()); err != nil {
			return err
		}
	}
	b.scripts++
	b.last = sqltext.Statement{Pos: sqltext.Position{File: s.File, Line: max(s.Line, 1), Column: 1}}
	b.limiter.own = false
	switch {
	case a.Session || s.Func() != nil:
		return b.runKeepingSession(ctx, s, a)
	case s.LockTimeout != 0 || s.StatementTimeout > 0:
		return b.runWithTimeouts(ctx, s, a)
	}
	return b.runText(ctx, s, a)
}

func (b *transaction) runText(ctx context.Context, s *migration.Script, a *migration.Analysis) error {
	return (&scriptRunner{transaction: b, script: s}).run(ctx, a)
}

// runWithTimeouts runs a script that doesn't change the session with its own timeouts. The server
// saves the old values, so they needn't be read.
func (b *transaction) runWithTimeouts(ctx context.Context, s *migration.Script, a *migration.Analysis) error {
	var set, putBack []query
	for name, value := range timeouts(s.Directives) {
		kept := "whimbrel.script_" + name
		set = append(set, setConfig(kept, "pg_catalog.current_setting("+literal(name)+")", true), setConfig(name, literal(value), true))
		putBack = append(putBack, setConfig(name, "pg_catalog.current_setting("+literal(kept)+")", true))
	}
	if err := b.add(ctx, set...); err != nil {
		return err
	}
	if err := b.runText(ctx, s, a); err != nil {
		return err
	}
	return b.add(ctx, putBack...)
}

// runKeepingSession runs a script, reads its changes to the session, and queues the queries that
// revert them, before anything else runs on the connection. The first time, it reads the session
// before the script, too.
func (b *transaction) runKeepingSession(ctx context.Context, s *migration.Script, a *migration.Analysis) error {
	if !b.session.known {
		if err := b.add(ctx, b.session.read()...); err != nil {
			return err
		}
	}
	for name, value := range timeouts(s.Directives) {
		if err := b.add(ctx, setConfig(name, literal(value), true)); err != nil {
			return err
		}
	}
	r := &scriptRunner{transaction: b, script: s}
	if fn := s.Func(); fn != nil {
		b.limiter.holds = true
		if err := b.call(ctx, s, fn); err != nil {
			return err
		}
	} else if err := r.run(ctx, a); err != nil {
		return err
	}
	var after session
	if s.LockTimeout > 0 || s.StatementTimeout > 0 {
		b.queue = append(b.queue, b.after(noTimeouts(true))...)
	}
	b.queue = append(b.queue, b.after(after.read()...)...)
	if len(r.custom) > 0 {
		b.queue = append(b.queue, b.after(after.readCustom(r.custom))...)
	}
	err := b.flush(ctx)
	b.c.keepPrepared(after.Protocol)
	if err != nil {
		return err
	}
	if s.Func() != nil && after.Marker == "" {
		return errEnded(s)
	}
	after.maySetTimeouts = r.times
	after.mayListen = r.listens || s.Func() != nil
	b.c.unusable = b.c.unusable || after.lost(&b.session)
	return b.add(ctx, b.after(after.undo(&b.session)...)...)
}

// Record queues the entries' rows.
func (b *transaction) Record(ctx context.Context, entries ...database.Entry) error {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return b.record(ctx, entries...)
}

func (b *transaction) record(ctx context.Context, entries ...database.Entry) error {
	since := sinceBegin
	if b.scripts > 1 || b.looked {
		since = sinceMark
	}
	for _, e := range entries {
		e.Set = b.set
		queries := []query{b.db.recordQuery(b.schema, e, since, func(e database.Entry) { b.recorded = append(b.recorded, e) })}
		if b.collects {
			queries[0] = keepingHead(queries[0])
		}
		if b.head.journal > 0 {
			queries = append(queries, b.endQuery(e))
		}
		if err := b.add(ctx, b.after(queries...)...); err != nil {
			return err
		}
	}
	return nil
}

// after makes errors of queries that follow a script say so.
func (b *transaction) after(queries ...query) []query {
	if last := b.last; b.scripts > 0 {
		for i := range queries {
			explain := queries[i].fail
			queries[i].fail = func(pg *pgconn.PgError) error {
				if pg.Code == divisionByZero && explain != nil {
					return explain(pg)
				}
				return afterError(pg, last)
			}
		}
	}
	return queries
}

// Commit sends the queue together with COMMIT, in one round trip.
func (b *transaction) Commit(ctx context.Context) (database.Recorded, error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return database.Recorded{}, err
	}
	defer leave()
	_, err = b.commit(ctx)
	b.End()
	return b.outcome(err)
}

// CommitAndBegin implements database.Chainer: the queries that begin the next Tx follow COMMIT in
// the same round trip. If the pool has no other connection, the caller may need this one.
func (b *transaction) CommitAndBegin(ctx context.Context, opts database.LockOptions) (r database.Recorded, next database.Tx, found database.Found, err error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return r, nil, found, err
	}
	defer leave()
	if !b.c.unusable && !b.db.src.exhausted() {
		next, found, err = b.commitAndBegin(ctx, opts)
	} else {
		_, err = b.commit(ctx)
	}
	b.End()
	r, err = b.outcome(err)
	return r, next, found, err
}

func (b *transaction) commitAndBegin(ctx context.Context, opts database.LockOptions) (database.Tx, database.Found, error) {
	got, n := false, &transaction{db: b.db, c: b.c, set: b.set, own: b.own, schema: b.schema, app: b.app, opts: opts}
	begun, err := b.commit(ctx, b.db.beginQueries(b.c, b.own, b.set, opts, &got, &n.head)...)
	if !begun || !got || b.db.checkServer(b.c, got) != nil || n.head.check() != nil || n.head.journal != 0 {
		return nil, database.Found{}, err
	}
	b.c.watch.close()
	b.passed = true
	n.watch()
	if err := b.db.opened(&n.Held, n.end, n.c); err != nil { // Begin returns it
		return nil, database.Found{}, nil
	}
	return n, n.head.found(), nil
}

// commit sends the queue, COMMIT and what follows it. It reports whether all of that succeeded.
func (b *transaction) commit(ctx context.Context, then ...query) (bool, error) {
	queries := b.queue
	if _, was := b.session.Settings["search_path"]; b.session.known && !was {
		// A script may have set the path. After COMMIT, a later pinned path would otherwise look as
		// if the session had set it.
		queries = append(queries, silent("RESET search_path"))
	}
	fail := func(pg *pgconn.PgError) error { return commitError(pg, b.last) }
	committed, all, err := commitThen(ctx, b.c, queries, fail, b.c.attended, then)
	if committed {
		if n := len(b.recorded); n > 0 {
			b.head.mine = b.recorded[n-1].ID
		}
		b.session.known = false // it was restored before
	}
	return all, err
}

// outcome returns what Commit returns after an error, or nil.
func (b *transaction) outcome(err error) (database.Recorded, error) {
	if err = b.db.unknownCommit(b.c, err); err != nil {
		return database.Recorded{}, err
	}
	return database.Recorded{Entries: b.recorded, Head: b.head.sum()}, nil
}

// commit sends queries and COMMIT, and determines whether COMMIT took effect. If it did, err is
// nil, even if the connection broke afterwards.
func commit(ctx context.Context, c *conn, queries []query, fail func(*pgconn.PgError) error) (committed bool, err error) {
	committed, _, err = commitThen(ctx, c, queries, fail, func() {}, nil)
	return committed, err
}

// commitThen is commit with queries that follow COMMIT in the same round trip. all reports whether
// these have succeeded, too; their error is not returned. It calls done after COMMIT took effect,
// before it reads their answers.
func commitThen(ctx context.Context, c *conn, queries []query, fail func(*pgconn.PgError) error, done func(), then []query) (committed, all bool, err error) {
	reached := false
	queries = withCommit(c, queries, fail, &reached, func() error {
		committed = true
		done()
		return nil
	})
	err = c.pipeline(ctx, append(queries, then...)...)
	if committed || err == nil {
		return committed, err == nil, nil
	}
	return false, false, notCommitted(c, err, reached)
}

// withCommit adds COMMIT to the queries of a transaction. reached becomes true when COMMIT is the
// next query to execute. done is called after it took effect.
func withCommit(c *conn, queries []query, fail func(*pgconn.PgError) error, reached *bool, done func() error) []query {
	if *reached = len(queries) == 0; !*reached {
		last := &queries[len(queries)-1]
		before := last.done
		last.done = func(tag pgconn.CommandTag) error {
			*reached = true
			if before == nil {
				return nil
			}
			return before(tag)
		}
	}
	return append(queries, query{sql: commitText, path: callers, often: true, at: c.watch.own(commitText), fail: fail, done: func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("the server answered COMMIT with %s", tag)
		}
		return done()
	}})
}

// notCommitted returns what Commit returns after an error that came instead of the answer to
// COMMIT.
func notCommitted(c *conn, err error, reached bool) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (!ended(pg) || !reached) || !c.broken() {
		return err // also if the server ended the connection in a statement before COMMIT
	}
	return &database.CommitUnknownError{Err: err}
}

// Rollback ends the transaction and releases the connection.
func (b *transaction) Rollback(context.Context) error {
	b.Abandon()
	return nil
}

func (b *transaction) end() {
	b.queue = nil
	if b.passed {
		return
	}
	b.abort()
	b.c.watch.close()
	b.c.giveBack()
}

// abort rolls the transaction back. Prepared statements and session-level locks of a script survive
// that. They are reverted in a chained transaction, so that no pooler can intervene.
func (b *transaction) abort() {
	if !b.session.known || !b.c.inTransaction() {
		b.c.rollback()
		b.session = session{}
		return
	}
	before := b.session
	b.session = session{}
	var after session
	err := b.c.within(cancelGrace, func(ctx context.Context, pc *pgconn.PgConn) error {
		if err := pipelined(append([]query{silent("ROLLBACK AND CHAIN")}, after.read()...))(ctx, pc); err != nil {
			return err
		}
		b.c.unusable = b.c.unusable || after.lost(&before)
		after.endTransaction()
		before.endTransaction()
		return pipelined(append(after.undo(&before), command("COMMIT")))(ctx, pc)
	})
	if err != nil {
		b.c.closeNow()
	}
}
