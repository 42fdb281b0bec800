package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// maxLane is how many rows a new lane has at most, unless one batch has more: looking for its end
// reads them, and holds the write lock.
const maxLane = 200_000

// laneWork is a lane that a worker has. It holds no connection between two batches, so that a pool
// of one connection is enough.
type laneWork struct {
	d    *db
	ask  database.LaneClaim
	body *migration.Body
	keys keyQuery
	cols []string // of the key, as their names are stored

	lane database.Lane
	done bool
	drop bool          // a function has left the connection with settings of its own
	took time.Duration // that the last batch had the write lock
}

// ClaimLane decides under the write lock.
func (d *db) ClaimLane(ctx context.Context, ask database.LaneClaim) (b database.Backfill, work database.LaneWork, err error) {
	body, err := ask.Script.Body(sqltext.SQLite)
	if err != nil {
		return b, nil, err
	}
	var w *laneWork
	err = d.withFill(ctx, ask.BackfillID, d.readTimeout, func(c *conn, f *fill) error {
		w = nil
		if frozen, err := d.frozen(c); err != nil || frozen {
			return cmp.Or(err, errFrozen)
		}
		if err := d.sweep(c, f); err != nil {
			return d.ownError("removing lanes that are done", err)
		}
		l, err := d.claim(ctx, c, f, ask)
		if b = f.whole(); err != nil || l == nil {
			return err
		}
		w = &laneWork{d: d, ask: ask, body: body, keys: newKeyQuery(f.Table, f.Key), cols: f.Key, lane: *l}
		return nil
	})
	if err != nil || w == nil {
		return b, nil, err
	}
	return b, w, nil
}

var errFrozen = fmt.Errorf("%w: the database is frozen", database.ErrBackfillStopped)

// frozen reports whether the setting says so now.
func (d *db) frozen(c *conn) (is bool, err error) {
	err = c.ask(d.sql.fills.frozen, formatTime(time.Now())).Scan(&is)
	return is, d.ownError("reading the settings", err)
}

// claim leases a lane, if the worker gets one, and stores what has changed.
func (d *db) claim(ctx context.Context, c *conn, f *fill, ask database.LaneClaim) (*database.Lane, error) {
	b := f.whole()
	claim := b.Claim()
	var l *drivers.StoredLane
	switch {
	case claim.Cut > 0:
		cut, err := d.cut(ctx, c, f, claim.Cut)
		if err != nil {
			return nil, err
		}
		f.lanes = append(f.lanes, cut)
		l = &f.lanes[len(f.lanes)-1]
	case claim.Lane >= 0:
		for i := range f.lanes {
			if f.lanes[i].ID == b.Lanes[claim.Lane].ID {
				l = &f.lanes[i]
			}
		}
	}
	f.UpdatedAt = f.Now
	if err := d.putFill(c, f); err != nil || l == nil {
		return nil, err
	}
	l.Lane = drivers.Leased(l.Lane, ask, f.Now)
	return &l.Lane, d.putLane(c, f.BackfillID, *l)
}

// cut cuts a new lane from the head.
func (d *db) cut(ctx context.Context, c *conn, f *fill, rows int) (l drivers.StoredLane, err error) {
	rows = min(rows, max(maxLane, f.Batch))
	l.Last, err = newKeyQuery(f.Table, f.Key).nth(ctx, c, f.Head, f.Last, rows-1)
	if err != nil {
		return l, d.ownError("looking for the end of a lane", err)
	}
	if l.Last == nil {
		l.Last = f.Last
	}
	l.ID, l.After, l.At = f.NextLane, f.Head, f.Head
	f.NextLane++
	f.Head = l.Last
	return l, nil
}

// Lane returns the lane as it is now.
func (w *laneWork) Lane() database.Lane { return w.lane }

// rowRange is the rows of a batch. The last key is that of the lane if no more rows are left.
type rowRange struct {
	first, last database.Key // nil: no row is left
	rows        int64
	done        bool
}

// Batch looks for the rows before it takes the write lock: keys don't change, and rows that appear
// meanwhile in their range are changed once, like the others.
func (w *laneWork) Batch(ctx context.Context, rows int) (out database.BatchResult, err error) {
	if w.done {
		return database.BatchResult{Done: true}, nil
	}
	ctx, cancel := w.d.life.Until(ctx)
	defer cancel()
	start := time.Now()
	wait := newWaiter("", database.LockOptions{Timeout: w.limit()})
	c, err := w.d.connect(ctx, wait)
	if err != nil {
		return out, w.waited(err)
	}
	defer c.release()
	var r rowRange
	err = poll(ctx, w.limit(), func() (err error) {
		r, err = w.find(ctx, c, max(rows, 1))
		return err
	})
	if err != nil {
		return out, w.waited(w.d.ownError("looking for the rows of a batch", err))
	}
	if err := w.yield(ctx); err != nil {
		return out, err
	}
	if err := w.d.beginFill(ctx, c, wait); err != nil {
		return out, w.waited(err)
	}
	locked := time.Now()
	out, next, err := w.batch(ctx, c, r, rows)
	if err == nil {
		err = w.commit(ctx, c, r)
	}
	w.took = time.Since(locked)
	if err != nil {
		c.rollback()
	}
	if w.drop {
		w.drop = false
		c.drop()
	}
	if err != nil {
		return database.BatchResult{}, err
	}
	w.lane, w.done = next, r.done
	out.Duration = time.Since(start)
	return out, nil
}

// limit returns how long a batch waits for the file.
func (w *laneWork) limit() time.Duration {
	return lockLimit(database.LockOptions{LockTimeout: w.ask.LockTimeout}, w.ask.Script)
}

// waited makes the error of a batch that waited too long for the file an ErrLockTimeout.
func (w *laneWork) waited(err error) error {
	if !errors.Is(err, database.ErrLocked) && !isBusy(err) {
		return err
	}
	return &database.StatementError{Own: true, Statement: "a batch", Message: "the batch waited too long: " + err.Error(), Lock: database.ErrLockTimeout, Err: err}
}

// find looks for the rows of the next batch.
func (w *laneWork) find(ctx context.Context, c *conn, rows int) (r rowRange, err error) {
	if r.first, err = w.keys.nth(ctx, c, w.lane.At, w.lane.Last, 0); err != nil {
		return r, err
	}
	if r.first == nil {
		r.done = true
		return r, nil
	}
	if r.last, err = w.keys.nth(ctx, c, w.lane.At, w.lane.Last, rows-1); err != nil {
		return r, err
	}
	if r.rows = int64(rows); r.last == nil {
		r.last, r.done = w.lane.Last, true
		r.rows, err = w.keys.count(ctx, c, w.lane.At, w.lane.Last)
	}
	r.done = r.done || equalKeys(r.last, w.lane.Last)
	return r, err
}

// Between two batches the file is free for a part of the time that the batch took: others try again
// only now and then.
const (
	yieldPart  = 20
	yieldLeast = time.Millisecond
	yieldMost  = 25 * time.Millisecond
)

func (w *laneWork) yield(ctx context.Context) error {
	if w.took == 0 {
		return nil
	}
	t := time.NewTimer(min(max(w.took/yieldPart, yieldLeast), yieldMost))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// batch moves the lane and executes the body in the open transaction, within the timeout.
func (w *laneWork) batch(ctx context.Context, c *conn, r rowRange, size int) (out database.BatchResult, l database.Lane, err error) {
	timeout, err := w.mayChange(c)
	if err != nil {
		return out, l, err
	}
	moved := drivers.StoredLane{Lane: w.lane, Done: r.done}
	at := r.last
	if r.done {
		at = w.lane.Last
	}
	moved = drivers.Moved(moved, at, r.rows, size)
	moved.LeasedUntil = serverNow().Add(w.ask.Lease)
	if err := w.d.putLane(c, w.ask.BackfillID, moved); err != nil {
		return out, l, err
	}
	out.Rows, out.Done = r.rows, r.done
	if r.first == nil {
		return out, moved.Lane, nil
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, database.ErrBatchTimeout)
	defer cancel()
	out.Changed, err = w.execute(limited, c, r)
	if err != nil && ctx.Err() == nil {
		if errors.Is(context.Cause(limited), database.ErrBatchTimeout) {
			err = fmt.Errorf("%w (%s): %w", database.ErrBatchTimeout, timeout, err)
		}
		err = &database.BatchError{First: r.first, Last: r.last, Rows: r.rows, Err: err}
	}
	return out, moved.Lane, err
}

// mayChange returns an error unless the worker still has the lane, and may change rows.
func (w *laneWork) mayChange(c *conn) (timeout time.Duration, err error) {
	has, err := c.hasFills(w.d)
	if err != nil {
		return 0, err
	}
	if !has {
		return 0, database.ErrLeaseLost
	}
	var state string
	var micros int64
	var frozen bool
	id := w.ask.BackfillID
	err = c.ask(w.d.sql.fills.batchStanding, id.Set, id.Version, w.lane.ID, w.ask.Worker, w.lane.Token, formatTime(time.Now())).Scan(&state, &micros, &frozen)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return 0, database.ErrLeaseLost
	case err != nil:
		return 0, w.d.ownError("reading the lane", err)
	case frozen:
		return 0, errFrozen
	case state != string(database.BackfillRunning):
		return 0, fmt.Errorf("%w: it is %s", database.ErrBackfillStopped, state)
	}
	return time.Duration(micros) * time.Microsecond, nil
}

// execute executes the body for the rows.
func (w *laneWork) execute(ctx context.Context, c *conn, r rowRange) (changed int64, err error) {
	first, err := keyValues(r.first)
	if err != nil {
		return 0, err
	}
	last, err := keyValues(r.last)
	if err != nil {
		return 0, err
	}
	if w.body == nil {
		return w.call(ctx, c, first, last)
	}
	for _, st := range w.body.Statements {
		text, args, err := renderBody(st, w.cols, first, last)
		if err != nil {
			return changed, err
		}
		n, err := w.statement(ctx, c, st.Statement, text, args)
		if err != nil {
			return changed, err
		}
		changed += n
	}
	return changed, nil
}

// statement executes a statement of the body, and returns how many rows it changed.
func (w *laneWork) statement(ctx context.Context, c *conn, st sqltext.Statement, text string, args []any) (int64, error) {
	limited, cancel := ctx, func() {}
	if t := w.ask.Script.StatementTimeout; t > 0 {
		limited, cancel = context.WithTimeoutCause(ctx, t, fmt.Errorf("the statement exceeded its timeout of %s", t))
	}
	defer cancel()
	quiet, stop := c.watch(limited)
	res, err := c.ExecContext(quiet, text, args...)
	stop()
	if err != nil {
		if limited.Err() != nil && (code(err) == lib.SQLITE_INTERRUPT || errors.Is(err, limited.Err())) {
			err = context.Cause(limited)
		}
		return 0, statementError(st, err)
	}
	if st.Verb() == "SELECT" { // it has no number of its own
		return 0, nil
	}
	return res.RowsAffected()
}

// commit commits the batch. Readers can block it, if the database has no WAL.
func (w *laneWork) commit(ctx context.Context, c *conn, r rowRange) error {
	err := c.commit(ctx, w.limit())
	switch {
	case err == nil:
		return nil
	case isBusy(err):
		return w.waited(err)
	case code(err) == lib.SQLITE_CONSTRAINT_FOREIGNKEY:
		v, verr := c.violations(bg)
		if verr != nil {
			return err
		}
		return &database.BatchError{First: r.first, Last: r.last, Rows: r.rows, Err: &database.StatementError{
			Pos: sqltext.Position{File: w.ask.Script.File, Line: max(w.ask.Script.Line, 1), Column: 1}, Statement: "COMMIT", Code: codeName(code(err)), Err: err,
			Message: "at COMMIT, rows without a parent remain: " + v.list(),
		}}
	}
	return w.d.connectError(err)
}

// Close gives the lane back, unless it is done or lost.
func (w *laneWork) Close(ctx context.Context, failure *database.LaneFailure) error {
	if w.done {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err := w.d.withFill(ctx, w.ask.BackfillID, closeTimeout, func(c *conn, f *fill) error {
		for _, l := range f.lanes {
			if l.ID == w.lane.ID && l.Worker == w.ask.Worker && l.Token == w.lane.Token {
				l.Lane = drivers.Returned(l.Lane, failure, f.Now)
				return w.d.putLane(c, f.BackfillID, l)
			}
		}
		return nil
	})
	if errors.Is(err, database.ErrNoBackfill) {
		return nil
	}
	return err
}

// closeTimeout limits how long giving a lane back waits. If it fails, the lease ends by itself.
const closeTimeout = 10 * time.Second
