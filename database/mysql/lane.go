package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// maxLane is how many rows a new lane has at most, unless one batch has more: looking for its end
// reads them, and locks the backfill.
const maxLane = 1_000_000

// laneWork is a lane that a worker has, on a connection of its own.
type laneWork struct {
	db   *Database
	c    *conn
	ask  database.LaneClaim
	body *migration.Body
	key  keyOf

	lane    database.Lane
	done    bool
	clock   clock
	timeout time.Duration // of the backfill, as it was with the last batch
	commits int64         // how many compound statements with a COMMIT were sent
}

// ClaimLane decides under a lock on the backfill's row. It keeps the connection for the lane.
func (db *Database) ClaimLane(ctx context.Context, ask database.LaneClaim) (b database.Backfill, work database.LaneWork, err error) {
	body, err := ask.Script.Body(sqltext.MySQL)
	if err != nil {
		return b, nil, err
	}
	c, err := db.acquire(ctx)
	if err != nil {
		return b, nil, err
	}
	w := &laneWork{db: db, c: c, ask: ask, body: body}
	b, got, err := w.claim(ctx)
	if err == nil && got {
		err = w.settle(ctx)
		if err != nil { // the lane is free when its lease has ended, or now
			w.Close(ctx, nil)
			return b, nil, err
		}
	}
	if err != nil || !got {
		c.giveBackLimits()
		return b, nil, err
	}
	db.noteLane(c.id, true)
	return b, w, nil
}

// claim leases a lane, if the worker gets one.
func (w *laneWork) claim(ctx context.Context) (b database.Backfill, got bool, err error) {
	if _, err := w.db.learn(ctx, w.c); err != nil {
		return b, false, err
	}
	if err := w.c.row(ctx, "SELECT CONNECTION_ID()", nil, &w.c.id); err != nil {
		return b, false, ownError("reading the connection's id", err)
	}
	err = w.db.withFill(ctx, w.c, w.ask.BackfillID, func(ctx context.Context, f *fillRow) error {
		got = false
		var frozen bool
		if err := w.c.row(ctx, "SELECT "+w.db.frozenSQL(), nil, &frozen); err != nil {
			return ownError("reading the settings", err)
		}
		if b = f.whole(); frozen {
			return errFrozen()
		}
		if err := w.db.sweepLanes(ctx, w.c, f); err != nil {
			return err
		}
		if got, err = w.take(ctx, f); err != nil {
			return err
		}
		b = f.whole()
		return w.db.putFill(ctx, w.c, f)
	})
	return b, got && err == nil, err
}

// frozenSQL is an expression for the setting.
func (db *Database) frozenSQL() string {
	return db.sql.fill("EXISTS (SELECT 1 FROM {settings?} WHERE name = '" + database.Frozen + "' AND value <> 'false' AND (until IS NULL OR until > UTC_TIMESTAMP(6)))")
}

// take leases the lane that the worker gets in the open transaction, and reports whether there is
// one.
func (w *laneWork) take(ctx context.Context, f *fillRow) (bool, error) {
	whole := f.whole()
	claim := whole.Claim()
	w.clock, w.timeout = clock{server: f.Now, local: time.Now()}, f.Timeout
	f.UpdatedAt = f.Now
	if claim.Lane < 0 && claim.Cut == 0 {
		return false, nil
	}
	var err error
	if w.key, err = w.db.keyOfTable(ctx, w.c, whole); err != nil {
		return false, err
	}
	if claim.Cut > 0 {
		l, err := w.cut(ctx, f, claim.Cut)
		if err != nil {
			return false, err
		}
		l.Lane = drivers.Leased(l.Lane, w.ask, f.Now)
		f.lanes = append(f.lanes, l)
		w.lane = l.Lane
		return true, w.db.putLane(ctx, w.c, f.BackfillID, l)
	}
	for i, l := range f.lanes {
		if l.ID != whole.Lanes[claim.Lane].ID {
			continue
		}
		leased := l
		leased.Lane = drivers.Leased(l.Lane, w.ask, f.Now)
		same, err := w.db.replaceLane(ctx, w.c, f.BackfillID, l, leased)
		if err == nil && !same {
			err = errChanged
		}
		f.lanes[i], w.lane = leased, leased.Lane
		return err == nil, err
	}
	return false, nil
}

// cut cuts a new lane from the head.
func (w *laneWork) cut(ctx context.Context, f *fillRow, rows int) (l drivers.StoredLane, err error) {
	l.Last, err = w.key.nth(ctx, w.c, f.Head, f.Last, min(rows, max(maxLane, f.Batch))-1)
	if err != nil {
		return l, ownError("looking for the end of a lane", err)
	}
	if l.Last == nil {
		l.Last = f.Last
	}
	l.ID, l.After, l.At = f.NextLane, f.Head, f.Head
	f.NextLane++
	f.Head = l.Last
	return l, nil
}

// settle sets what the session needs for batches. The connection is not reused afterwards.
func (w *laneWork) settle(ctx context.Context) error {
	w.c.unusable = true
	limits := waitsOf(limitOf(database.LockOptions{LockTimeout: w.ask.LockTimeout}, w.ask.Script))
	idle := max(int64(wholeSeconds(w.ask.Lease)/time.Second), 1)
	set := []string{
		"SESSION lock_wait_timeout = " + limits.tables, "SESSION innodb_lock_wait_timeout = " + limits.rows,
		"SESSION wait_timeout = " + number64(max(2*idle, int64(patience/time.Second))),
	}
	f := w.db.learnt()
	if f.endsIdle() {
		// a process that is suspended must not keep its rows locked
		for _, name := range idleInTransaction {
			set = append(set, "SESSION "+name+" = "+number64(idle))
		}
	}
	for _, c := range w.key.columns {
		if c.kind == keyText && c.zoned {
			set = append(set, "SESSION time_zone = '+00:00'")
		}
	}
	_, err := w.c.exec(ctx, "SET "+strings.Join(set, ", "))
	return ownError("setting the session's timeouts", err)
}

// Lane returns the lane as it is now.
func (w *laneWork) Lane() database.Lane { return w.lane }

// Batch looks for the rows before the transaction: keys don't change, and rows that appear
// meanwhile in their range are changed once, like the others.
func (w *laneWork) Batch(ctx context.Context, rows int) (out database.BatchResult, err error) {
	if w.done {
		return database.BatchResult{Done: true}, nil
	}
	if err := ctx.Err(); err != nil {
		return out, err
	}
	start := time.Now()
	r, err := w.key.next(ctx, w.c, w.lane.At, w.lane.Last, max(rows, 1))
	if err != nil {
		return out, ownError("looking for the rows of a batch", err)
	}
	changed, err := w.change(ctx, r, max(rows, 1))
	if err != nil {
		return out, conflicting(err)
	}
	moved := drivers.Moved(drivers.StoredLane{Lane: w.lane, Done: r.done}, w.end(r), r.rows, rows)
	moved.LeasedUntil = w.clock.now().Add(w.ask.Lease)
	w.lane, w.done = moved.Lane, r.done
	return database.BatchResult{Rows: r.rows, Changed: changed, Done: r.done, Duration: time.Since(start)}, nil
}

// end returns the position after a batch.
func (w *laneWork) end(r rowRange) database.Key {
	if r.done {
		return w.lane.Last
	}
	return r.last
}

// change changes the rows in one transaction, within the backfill's timeout.
func (w *laneWork) change(ctx context.Context, r rowRange, size int) (changed int64, err error) {
	together := w.together()
	if !together {
		if err := w.readState(ctx); err != nil {
			return 0, err
		}
	}
	timeout := w.timeout
	limited, cancel := context.WithTimeoutCause(ctx, timeout, database.ErrBatchTimeout)
	defer cancel()
	if together {
		changed, err = w.atOnce(limited, r, size)
	} else {
		changed, err = w.oneByOne(limited, r, size)
	}
	if err == nil {
		return changed, nil
	}
	if _, unknown := drivers.AsType[*database.CommitUnknownError](err); unknown || w.c.gone {
		return 0, err
	}
	if ctx.Err() != nil {
		return 0, drivers.Stopped(ctx, err)
	}
	if errors.Is(context.Cause(limited), database.ErrBatchTimeout) && !errors.Is(err, database.ErrBatchTimeout) {
		err = fmt.Errorf("%w (%s): %w", database.ErrBatchTimeout, timeout, err)
	}
	return 0, err
}

// readState returns an error if the backfill is not running. It reads the timeout, which can have
// changed.
func (w *laneWork) readState(ctx context.Context) error {
	var state string
	var micros int64
	var frozen bool
	err := w.c.row(ctx, w.db.sql.fill("SELECT state, timeout_us, ")+w.db.frozenSQL()+w.db.sql.fill(" FROM {backfills?} WHERE ")+ofBackfill(w.ask.BackfillID), nil, &state, &micros, &frozen)
	if err != nil && !errors.Is(err, sql.ErrNoRows) && !missingTable(err) {
		return ownError("reading the backfill", err)
	}
	w.timeout = time.Duration(micros) * time.Microsecond
	return checkFill(state, frozen)
}

// moves returns the statement that moves the lane, if the worker still has it.
func (w *laneWork) moves(r rowRange, size int) string {
	batches := "batches + 1"
	if r.rows == 0 {
		batches = "batches"
	}
	return "UPDATE " + quote(w.db.names.Lanes) + " SET at_key = " + hexText(drivers.KeyText(w.end(r))) + ", rows_done = rows_done + " + number64(r.rows) + ", batches = " + batches +
		", batch = " + number64(int64(size)) + ", attempts = 0, error = '', not_before = NULL, done = " + literalOf(r.done) +
		", leased_until = UTC_TIMESTAMP(6) + INTERVAL " + number64(w.ask.Lease.Microseconds()) + " MICROSECOND WHERE " + w.mine()
}

// mine is a condition for the row of the lane, while the worker has it.
func (w *laneWork) mine() string {
	return ofBackfill(w.ask.BackfillID) + " AND id = " + number64(w.lane.ID) + " AND worker = " + hexText(w.ask.Worker) + " AND token = " + number64(w.lane.Token) + " AND NOT done"
}

// together reports whether the transaction can be one compound statement.
func (w *laneWork) together() bool {
	f := w.db.learnt()
	if !f.compound() || f.oracle || w.body == nil || w.ask.Script.StatementTimeout > 0 {
		return false
	}
	for _, st := range w.body.Statements {
		if st.Verb() == "SELECT" || st.Verb() == "WITH" { // it may return rows
			return false
		}
	}
	return true
}

// The user variables of a compound statement: the number of its COMMIT, and of the statement of the
// body that it executes.
const atStatement = "@whimbrel_statement"

// atOnce executes the whole transaction as one compound statement.
func (w *laneWork) atOnce(ctx context.Context, r rowRange, size int) (changed int64, err error) {
	w.commits++
	query, err := w.compound(r, size)
	if err != nil {
		return 0, err
	}
	var state string
	var frozen, moved bool
	var timeout int64
	err = w.c.do(ctx, func(ctx context.Context) error {
		return w.c.QueryRowContext(ctx, query).Scan(&state, &timeout, &frozen, &moved, &changed)
	})
	switch {
	case err == nil && moved:
		w.timeout = time.Duration(timeout) * time.Microsecond
		return changed, nil
	case err == nil:
		if err := checkFill(state, frozen); err != nil {
			return 0, err
		}
		return 0, database.ErrLeaseLost
	case w.c.gone:
		return 0, &database.CommitUnknownError{Err: err}
	}
	at, committed := w.reached(ctx)
	if committed {
		w.c.drop()
		return 0, &database.CommitUnknownError{Err: err}
	}
	w.c.finish("ROLLBACK")
	return 0, w.failed(at, r, err)
}

// reached returns which statement of the body a compound statement executed last, from 0, and
// whether it may have executed its COMMIT.
func (w *laneWork) reached(ctx context.Context) (at int, committed bool) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer stop()
	var n, commit sql.NullInt64
	if err := w.c.row(ctx, "SELECT "+atStatement+", "+atCommit, nil, &n, &commit); err != nil {
		return -1, true
	}
	return int(n.Int64) - 1, commit.Int64 == w.commits
}

// failed returns the error of a batch whose statement failed. Before the first, it is one of
// Whimbrel's own.
func (w *laneWork) failed(at int, r rowRange, err error) error {
	if at < 0 || w.body == nil || at >= len(w.body.Statements) {
		if lock := lockError(number(err)); lock != nil {
			return &database.StatementError{Own: true, Statement: "moving the lane", Code: number64(int64(number(err))), Message: "moving the lane: " + err.Error(), Lock: lock, Err: err}
		}
		return ownError("moving the lane", err)
	}
	return &database.BatchError{First: r.first, Last: r.last, Rows: r.rows, Err: statementError(w.body.Statements[at].Statement, err)}
}

// compound returns the compound statement. It returns a row: the backfill's state and timeout,
// whether the database is frozen, whether the batch was committed, and how many rows the body
// changed. An error leaves the transaction open.
func (w *laneWork) compound(r rowRange, size int) (string, error) {
	var b strings.Builder
	b.WriteString("BEGIN NOT ATOMIC DECLARE whimbrel_state varchar(20) DEFAULT ''; DECLARE whimbrel_frozen, whimbrel_moved boolean DEFAULT FALSE; DECLARE whimbrel_changed, whimbrel_timeout bigint DEFAULT 0; " +
		"SET " + atStatement + " = 0; whimbrel: BEGIN " + startTransaction + "; " +
		"SELECT state, timeout_us, " + w.db.frozenSQL() + " INTO whimbrel_state, whimbrel_timeout, whimbrel_frozen" + w.db.sql.fill(" FROM {backfills?} WHERE ") + ofBackfill(w.ask.BackfillID) + "; " +
		"IF whimbrel_frozen OR whimbrel_state <> '" + string(database.BackfillRunning) + "' THEN ROLLBACK; LEAVE whimbrel; END IF; " +
		w.moves(r, size) + "; IF ROW_COUNT() < 1 THEN ROLLBACK; LEAVE whimbrel; END IF; ")
	if r.first != nil {
		for i, st := range w.body.Statements {
			text, err := renderBody(st, w.key, r)
			if err != nil {
				return "", err
			}
			b.WriteString("SET " + atStatement + " = " + number64(int64(i+1)) + "; " + text + terminator + "SET whimbrel_changed = whimbrel_changed + GREATEST(ROW_COUNT(), 0); ")
		}
	}
	b.WriteString("SET " + atCommit + " = " + number64(w.commits) + "; COMMIT; SET whimbrel_moved = TRUE; END whimbrel; SELECT whimbrel_state, whimbrel_timeout, whimbrel_frozen, whimbrel_moved, whimbrel_changed; END")
	return b.String(), nil
}

// oneByOne executes the statements of the transaction one by one.
func (w *laneWork) oneByOne(ctx context.Context, r rowRange, size int) (changed int64, err error) {
	if _, err := w.c.exec(ctx, startTransaction); err != nil {
		return 0, ownError(startTransaction, err)
	}
	changed, err = w.inside(ctx, r, size)
	if err == nil {
		err = w.c.commit(ctx)
	}
	if err != nil && !w.c.gone {
		w.c.finish("ROLLBACK")
	}
	return changed, err
}

func (w *laneWork) inside(ctx context.Context, r rowRange, size int) (changed int64, err error) {
	res, err := w.c.exec(ctx, w.moves(r, size))
	if err != nil {
		return 0, w.failed(-1, r, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return 0, errors.Join(err, database.ErrLeaseLost)
	}
	switch {
	case r.first == nil:
		return 0, nil
	case w.body == nil:
		return w.call(ctx, r)
	}
	for i, st := range w.body.Statements {
		text, err := renderBody(st, w.key, r)
		if err != nil {
			return 0, err
		}
		n, err := w.statement(ctx, st.Statement, text)
		if err != nil {
			return 0, w.failed(i, r, err)
		}
		changed += n
	}
	return changed, nil
}

// statement executes a statement of the body, and returns how many rows it changed.
func (w *laneWork) statement(ctx context.Context, st sqltext.Statement, text string) (int64, error) {
	limited, cancel := ctx, func() {}
	t := w.ask.Script.StatementTimeout
	if t > 0 {
		limited, cancel = context.WithTimeoutCause(ctx, t, errTimeout)
	}
	defer cancel()
	res, err := w.c.exec(limited, text)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(limited), errTimeout) {
		return 0, &database.StatementError{
			Pos: st.Pos, Index: st.Index, Statement: st.Text, Code: "70100", Err: err,
			Message: fmt.Sprintf("the statement was canceled because it exceeded its statement timeout of %s", t),
		}
	}
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return max(n, 0), err
}

// Close gives the lane back, unless it is done or lost, and closes the connection.
func (w *laneWork) Close(ctx context.Context, failure *database.LaneFailure) error {
	if w.c == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
	defer cancel()
	var err error
	if !w.done {
		query := w.returning(failure)
		if _, err = w.c.exec(ctx, query); err != nil && (w.c.gone || number(err) == 0) {
			_, err = w.db.pool.ExecContext(ctx, query)
		}
		if missingTable(err) {
			err = nil
		}
	}
	w.db.noteLane(w.c.id, false)
	w.c.unusable = true
	w.c.giveBack()
	w.c = nil
	if w.db.life.Closing.Err() != nil {
		return nil
	}
	return ownError("giving the lane back", err)
}

// returning returns the statement that gives the lane back.
func (w *laneWork) returning(failure *database.LaneFailure) string {
	set := "worker = '', leased_until = NULL"
	if f := failure; f != nil {
		set += ", error = " + hexText(f.Err) + ", failed = " + literalOf(f.Final) + ", attempts = attempts + " + number64(int64(f.Attempts)) + ", not_before = "
		if f.NotBefore > 0 {
			set += "UTC_TIMESTAMP(6) + INTERVAL " + number64(f.NotBefore.Microseconds()) + " MICROSECOND"
		} else {
			set += "NULL"
		}
		if f.Batch > 0 {
			set += ", batch = " + number64(int64(f.Batch))
		}
	}
	return "UPDATE " + quote(w.db.names.Lanes) + " SET " + set + " WHERE " + w.mine()
}
