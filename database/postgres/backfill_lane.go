package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// laneWork is a lane that a worker of this process has.
//
// A batch of SQL is one round trip: BEGIN, the fence, the statements, the position, COMMIT, and the
// keys of the next batch. The fence fails, and with it everything after it, if the worker has lost
// the lane or the backfill is stopped. It locks the lane's row, so that nobody takes the lane over
// while the batch is executed. The keys are read after COMMIT, so that reading them holds nothing.
type laneWork struct {
	drivers.Held
	db     *Database
	c      *conn
	l      location
	claim  database.LaneClaim
	lane   database.Lane
	limits database.BackfillLimits
	key    *keyPlan
	body   []bodyText
	fn     batchFunction

	// of the claim: lanes that seemed free, but are not; and the bounds of a lane to be cut, with
	// the head and the end of the backfill for which they were read
	busy       map[int64]bool
	found      bounds
	head, tail database.Key

	next    *bounds // of the next batch, if they are known
	done    bool
	session session // before the first batch that may change it
}

// Lane returns the lane.
func (w *laneWork) Lane() database.Lane {
	l := w.lane
	l.After, l.Last, l.At = slices.Clone(l.After), slices.Clone(l.Last), slices.Clone(l.At)
	return l
}

// Batch executes the next batch.
func (w *laneWork) Batch(ctx context.Context, rows int) (r database.BatchResult, err error) {
	ctx, leave, err := w.Enter(ctx)
	if err != nil {
		return r, err
	}
	defer leave()
	if w.done {
		return database.BatchResult{Done: true}, nil
	}
	b, err := w.bounds(ctx, max(rows, 1))
	if err != nil {
		return r, w.failed(ctx, err)
	}
	if r, err = w.execute(ctx, b, rows); err != nil {
		w.next = nil
		w.c.rollback()
		if err = w.failed(ctx, err); w.ofBody(err) && ctx.Err() == nil {
			err = &database.BatchError{First: b.first, Last: b.last, Rows: b.rows, Err: err}
		}
		return database.BatchResult{}, err
	}
	return r, nil
}

// ofBody reports whether the error of a batch is one of its statements, or of the function.
func (w *laneWork) ofBody(err error) bool {
	failed, ok := drivers.AsType[*database.StatementError](err)
	switch {
	case ok:
		return !failed.Own
	case errors.Is(err, database.ErrLeaseLost), errors.Is(err, database.ErrBackfillStopped), errors.Is(err, errMoved), isA[*database.CommitUnknownError](err):
		return false
	}
	return w.fn != nil && !w.c.broken()
}

// bounds returns the keys of the next batch. Those that were read ahead are used unless they are
// too many, or by far too few.
func (w *laneWork) bounds(ctx context.Context, rows int) (bounds, error) {
	if w.next != nil && w.next.asked <= rows && rows <= w.next.asked+w.next.asked/4 {
		return *w.next, nil
	}
	var b bounds
	err := w.c.pipeline(ctx, readKeys(w.limits.Timeout), w.key.boundsQuery(w.lane.At, w.lane.Last, rows, &b))
	return b, err
}

// execute executes a batch in a transaction.
func (w *laneWork) execute(ctx context.Context, b bounds, rows int) (r database.BatchResult, err error) {
	start := time.Now()
	// the last batch also takes rows that came up to the end of the lane meanwhile
	if r.Rows, r.Done = b.rows, !w.key.more(b, b.asked, w.lane.Last); r.Done {
		b.last = w.lane.Last
	}
	if b.first == nil {
		b.first = b.last // no row is left
	}
	limited := ctx
	if w.limits.Timeout > 0 && (w.fn != nil || len(w.body) > 1) {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeoutCause(ctx, w.limits.Timeout, errSlowBatch)
		defer cancel()
	}
	if err := w.readSession(limited); err != nil {
		return r, err
	}
	queries := w.begin()
	if b.rows > 0 {
		switch {
		case w.fn != nil:
			if err := w.call(limited, queries, b); err != nil {
				return r, err
			}
			queries = nil
		default:
			queries = append(queries, w.statements(b, &r.Changed)...)
		}
	}
	queries = append(queries, w.advance(b, r.Done))
	var then []query
	next := &bounds{}
	if !r.Done {
		then = []query{readKeys(w.limits.Timeout), w.key.boundsQuery(b.last, w.lane.Last, rows, next)}
	}
	committed, all, err := commitThen(limited, w.c, queries, w.commitError, func() {
		r.Duration = time.Since(start)
	}, then)
	if err = w.db.unknownCommit(w.c, err); err != nil {
		return r, err
	}
	if w.next = nil; committed && all && !r.Done {
		w.next = next
	}
	w.lane.At, w.lane.Batch, w.lane.Attempts, w.lane.Error, w.lane.NotBefore = b.last, b.asked, 0, "", time.Time{}
	w.lane.Rows, w.lane.Batches, w.done = w.lane.Rows+r.Rows, w.lane.Batches+1, r.Done
	return r, nil
}

var errSlowBatch = errors.New("the batch takes longer than its timeout")

// The errors with which the fence fails.
const (
	leaseLost = divisionByZero
	isStopped = "2201F" // square root of a negative number
)

// begin returns the queries before the statements of a batch: the fence. They look up nothing in
// the search path.
func (w *laneWork) begin() []query {
	_, lock := w.l.lockTexts(lanes)
	busy := func(pg *pgconn.PgError) error { return w.l.explain(pg, lanes) }
	sql := "SELECT 1 OPERATOR(pg_catalog./) " + w.l.unchanged(history, settings, backfills, lanes) + "::int, pg_catalog.pg_try_advisory_xact_lock_shared(" + openKey + ")"
	set := func(name, value string) string {
		return "pg_catalog.set_config(" + literal(name) + ", " + literal(value) + ", true)"
	}
	if limit, given := milliseconds(w.lockTimeout()); given {
		sql += ", " + set("lock_timeout", limit)
	}
	if timeout := w.timeout(); timeout > 0 {
		sql += ", " + set("statement_timeout", fmt.Sprint(max(timeout.Milliseconds(), 1)))
	}
	sql += ", " + set("idle_in_transaction_session_timeout", fmt.Sprint(w.claim.Lease.Milliseconds())) + ", " + set("application_name", appOf(w.db.process.App, w.claim.Script.File))
	if !w.c.attends() {
		sql += ", " + w.c.noticeDeadClient(func(name, value string) string { return set(name, value) })
	}
	return []query{
		{sql: "BEGIN ISOLATION LEVEL READ COMMITTED", path: callers, often: true, quiet: true},
		{sql: lock, path: callers, often: true, quiet: true, fail: busy},
		{sql: sql, args: []arg{w.l.historyID()}, path: callers, often: true, quiet: true, fail: func(pg *pgconn.PgError) error {
			if pg.Code == divisionByZero {
				return errMoved
			}
			return ownError("", pg)
		}},
		w.fence(),
	}
}

// fence returns the query that fails unless the worker has the lane and the backfill runs. Its
// snapshot is taken after the lock that tells a process that freezes the database to wait.
func (w *laneWork) fence() query {
	is := func(column string, n int) string { return fmt.Sprintf("%s OPERATOR(pg_catalog.=) $%d", column, n) }
	mine := is("x.set_name", 1) + " AND " + is("x.version", 2)
	return query{
		sql: "SELECT 1 OPERATOR(pg_catalog./) (SELECT pg_catalog.count(*) FROM (SELECT FROM " + w.l.tables[lanes].full() + " AS x WHERE " + mine + " AND " + is("x.id", 3) + " AND " + is("x.worker", 4) +
			" AND " + is("x.token", 5) + " AND NOT x.done FOR UPDATE) AS mine), pg_catalog.sqrt(CASE WHEN EXISTS (SELECT FROM " + w.l.tables[backfills].full() + " AS x WHERE " + mine +
			" AND x.state OPERATOR(pg_catalog.=) 'running') AND NOT " + w.db.frozenSQL(w.l) + " THEN 1::pg_catalog.float8 ELSE '-1'::pg_catalog.float8 END)",
		args: w.holder(), path: callers, often: true, quiet: true,
		fail: func(pg *pgconn.PgError) error {
			switch pg.Code {
			case leaseLost:
				return fmt.Errorf("%w: lane %d of version %d", database.ErrLeaseLost, w.lane.ID, w.claim.Version)
			case isStopped:
				return database.ErrBackfillStopped
			}
			return ownError("", pg)
		},
	}
}

// holder are the parameters that identify the lane and its worker.
func (w *laneWork) holder() []arg {
	return append(selectedBy(w.claim.BackfillID), number(w.lane.ID), w.db.kept(w.claim.Worker), number(w.lane.Token))
}

// lockTimeout limits the waits of the statements.
func (w *laneWork) lockTimeout() time.Duration {
	return lockLimit(w.claim.Script, w.claim.LockTimeout)
}

// timeout limits each statement.
func (w *laneWork) timeout() time.Duration {
	limit := w.limits.Timeout
	if own := w.claim.Script.StatementTimeout; own > 0 && (limit == 0 || own < limit) {
		limit = own
	}
	return limit
}

// statements returns the statements of the body for a batch.
func (w *laneWork) statements(b bounds, changed *int64) (queries []query) {
	var args []arg
	for _, v := range slices.Concat(b.first, b.last) {
		args = append(args, text(v))
	}
	for i := range w.body {
		t := &w.body[i]
		queries = append(queries, query{sql: t.sql, args: args, oids: t.oids, path: callers, fail: t.fail, done: func(tag pgconn.CommandTag) error {
			if !tag.Select() {
				*changed += tag.RowsAffected()
			}
			return nil
		}})
	}
	return queries
}

// advance returns the query that moves the lane's position and extends its lease.
func (w *laneWork) advance(b bounds, done bool) query {
	worker := w.claim.Worker
	if done {
		worker = ""
	}
	is := func(column string, n int) string { return fmt.Sprintf("%s OPERATOR(pg_catalog.=) $%d", column, n) }
	return query{
		sql: "UPDATE " + w.l.tables[lanes].full() + ` AS x SET at_key = $6::pg_catalog.text[], rows_done = x.rows_done OPERATOR(pg_catalog.+) $7, batches = x.batches OPERATOR(pg_catalog.+) 1,
	batch = $8, attempts = 0, error = '', not_before = NULL, done = $9, worker = $10, leased_until = pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $11::interval, updated_at = pg_catalog.clock_timestamp()
WHERE ` + strings.Join([]string{is("x.set_name", 1), is("x.version", 2), is("x.id", 3), is("x.worker", 4), is("x.token", 5)}, " AND "),
		args: append(w.holder(), key(b.last), number(b.rows), number(int64(b.asked)), boolean(done), w.db.kept(worker), interval(w.claim.Lease)),
		path: callers, often: true, quiet: true, fail: w.afterError,
	}
}

// last is the place of errors after the statements.
func (w *laneWork) last() sqltext.Statement {
	if n := len(w.body); n > 0 {
		return w.body[n-1].st
	}
	return sqltext.Statement{Pos: sqltext.Position{File: w.claim.Script.File, Line: max(w.claim.Script.Line, 1), Column: 1}}
}

func (w *laneWork) afterError(pg *pgconn.PgError) error  { return afterError(pg, w.last()) }
func (w *laneWork) commitError(pg *pgconn.PgError) error { return commitError(pg, w.last()) }

// call begins the transaction of a batch, and calls the function in it.
func (w *laneWork) call(ctx context.Context, begin []query, b bounds) error {
	if err := w.c.pipeline(ctx, begin...); err != nil {
		return err
	}
	return w.fn(ctx, w.c, w.claim.Script, b)
}

// batchFunction executes a Go function in the transaction of a batch.
type batchFunction func(ctx context.Context, c *conn, s *migration.Script, b bounds) error

// readSession reads the session before the first batch that may change it.
func (w *laneWork) readSession(ctx context.Context) error {
	changes := w.fn != nil || slices.ContainsFunc(w.body, func(t bodyText) bool { return t.st.Session })
	if !changes || w.session.known || w.pooled() {
		return nil
	}
	return w.c.pipeline(ctx, w.session.read()...)
}

// pooled reports whether a pooler owns the session.
func (w *laneWork) pooled() bool { return w.c.backend != w.c.pid() }

// failed explains the error of a batch.
func (w *laneWork) failed(ctx context.Context, err error) error {
	if isA[*database.CommitUnknownError](err) || ctx.Err() != nil {
		return err
	}
	switch {
	case hasCode(err, "57014", "25P04"), errors.Is(err, errSlowBatch):
		return fmt.Errorf("%w: %w", database.ErrBatchTimeout, err)
	case hasCode(err, "40001"):
		return fmt.Errorf("%w: %w", database.ErrConflict, err)
	}
	return err
}

// Close gives the lane back.
func (w *laneWork) Close(ctx context.Context, failure *database.LaneFailure) error {
	ctx = context.WithoutCancel(ctx)
	ctx, leave, err := w.Enter(ctx)
	if errors.Is(err, drivers.ErrOver) {
		return nil
	}
	if err != nil {
		return err
	}
	defer leave()
	defer w.End()
	if w.done {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*cancelGrace)
	defer cancel()
	c := w.c
	if c.rollback(); c.broken() {
		if c, err = w.db.acquire(ctx); err != nil {
			return err
		}
		defer c.giveBack()
		defer c.rollback()
	}
	return w.release(ctx, c, failure)
}

// release stores that the lane has no worker, and why it failed.
func (w *laneWork) release(ctx context.Context, c *conn, failure *database.LaneFailure) error {
	f := database.LaneFailure{}
	set, args := "worker = '', leased_until = NULL, updated_at = pg_catalog.clock_timestamp()", w.holder()
	if failure != nil {
		f = *failure
		set += ", error = $6, attempts = b.attempts + $7, failed = $8, batch = CASE WHEN $9::bigint > 0 THEN $9::bigint ELSE b.batch END, not_before = CASE WHEN $10::bigint > 0 THEN pg_catalog.clock_timestamp() + $10::bigint * '1 microsecond'::interval END"
		args = append(args, w.db.kept(f.Err), number(int64(f.Attempts)), boolean(f.Final), number(int64(f.Batch)), number(f.NotBefore.Microseconds()))
	}
	queries := append(w.l.holdBackfills(), query{
		sql:  "UPDATE " + w.l.tables[lanes].full() + " AS b SET " + set + " WHERE " + selected + " AND b.id = $3 AND b.worker = $4 AND b.token = $5 AND NOT b.done",
		args: args,
	})
	_, err := commit(ctx, c, queries, func(pg *pgconn.PgError) error { return ownError("COMMIT", pg) })
	if errors.Is(err, errMoved) || missingTable(err) { // the backfill is gone
		return nil
	}
	return w.db.unknownCommit(c, err)
}

// end releases the connection.
func (w *laneWork) end() {
	w.c.rollback()
	if w.session.known && !w.c.broken() {
		var after session
		if err := w.c.putBack(&w.session, &after, nil); err != nil {
			w.c.closeNow()
		}
	}
	w.c.giveBack()
}

// BackfillFunc returns the script of a backfill that is a Go function. The function changes the
// rows whose keys are from first to last, in the transaction of a batch, which it can neither
// commit nor roll back. It is called for each batch, and again after a batch that failed. The
// transaction ends if it is idle for longer than the lease of a worker. See [Func] for id.
func BackfillFunc(id string, b migration.Backfill, fn func(ctx context.Context, tx pgx.Tx, first, last database.Key) error) *migration.Script {
	s := migration.Func(id, batchFunction(func(ctx context.Context, c *conn, s *migration.Script, b bounds) error {
		return c.inside(ctx, s, func(ctx context.Context, tx pgx.Tx) error {
			return fn(ctx, tx, slices.Clone(b.first), slices.Clone(b.last))
		})
	}))
	s.Backfill = &b
	return s
}
