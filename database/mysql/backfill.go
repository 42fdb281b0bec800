package mysql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// Backfills reads the backfills and their lanes as of one moment.
func (db *Database) Backfills(ctx context.Context, q database.BackfillQuery) (all []database.Backfill, err error) {
	where := "version IS NOT NULL"
	if q.Set != "" {
		where += " AND set_name = " + hexText(q.Set)
	}
	if q.Version != nil {
		where += " AND version = " + number64(*q.Version)
	}
	unfinished := ""
	if q.Unfinished {
		unfinished = " AND state <> " + literal(string(database.BackfillDone))
	}
	for range conflictTries { // another process may create the tables after the snapshot
		all = nil
		err = db.reading(ctx, func(ctx context.Context, c *conn) error {
			if _, err := c.exec(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT"); err != nil {
				return ownError("reading the backfills", err)
			}
			defer c.finish("ROLLBACK")
			rows, err := db.readFills(ctx, c, where, unfinished, "")
			for i := range rows {
				all = append(all, rows[i].whole())
			}
			return err
		})
		if number(err) != erDefinitionChanged {
			break
		}
	}
	return all, err
}

// conflictTries is how often a transaction of Whimbrel's own is tried again that conflicted with
// another one.
const conflictTries = 10

// withFill calls a function in a transaction, with a backfill whose row is locked, and commits it.
// After a conflict with another transaction it does so again, a few times.
func (db *Database) withFill(ctx context.Context, c *conn, id database.BackfillID, f func(context.Context, *fillRow) error) error {
	for try := 1; ; try++ {
		err := db.limitLockWait(ctx, db.opts.ReadTimeout(), func(ctx context.Context) error { return db.tryFill(ctx, c, id, f) })
		if again := errors.Is(err, errChanged) || isConflict(err); !again || try == conflictTries || c.gone || ctx.Err() != nil {
			if errors.Is(err, errChanged) {
				return fmt.Errorf("%w: %w", database.ErrConflict, err)
			}
			return conflicting(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(time.Duration(try) * 20 * time.Millisecond)):
		}
	}
}

// errChanged says that a lane has changed since it was read.
var errChanged = errors.New("another worker has changed the lane")

// isConflict reports whether a transaction was rolled back because of another one.
func isConflict(err error) bool {
	n := number(err)
	return n == erDeadlock || n == erCommitConflict
}

func (db *Database) tryFill(ctx context.Context, c *conn, id database.BackfillID, f func(context.Context, *fillRow) error) error {
	if f := db.learnt(); f != nil && c.waits == (waits{}) {
		c.decides = f.endsIdle()
	}
	if err := c.limitWaits(ctx, waitsOf(db.opts.ReadTimeout())); err != nil {
		return err
	}
	if _, err := c.exec(ctx, startTransaction); err != nil {
		return ownError(startTransaction, err)
	}
	row, err := db.lockFill(ctx, c, id)
	if err == nil {
		err = db.noTriggers(ctx, c)
	}
	if err == nil {
		err = f(ctx, row)
	}
	if err == nil {
		return c.commit(ctx)
	}
	c.finish("ROLLBACK")
	return err
}

// noTriggers returns an error if a trigger is on the tables that a backfill writes.
func (db *Database) noTriggers(ctx context.Context, c *conn) error {
	var found string
	err := c.row(ctx, "SELECT CONCAT_WS(', ', "+triggersOn(db.names.History, db.names.Backfills, db.names.Lanes)+")", nil, &found)
	if err != nil {
		return ownError("looking for triggers", err)
	}
	return triggersError(found)
}

// giveBackLimits gives a connection back with the session's own limits.
func (c *conn) giveBackLimits() {
	if !c.gone && !c.unusable && c.waits != (waits{}) {
		c.finish(c.releasing("0"))
	}
	c.giveBack()
}

// ChangeBackfill changes a backfill and records that, in one transaction. It holds no migration
// lock.
func (db *Database) ChangeBackfill(ctx context.Context, change database.BackfillChange) (after database.Backfill, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return after, err
	}
	defer c.giveBackLimits()
	if _, err := db.learn(ctx, c); err != nil {
		return after, err
	}
	err = db.withFill(ctx, c, change.BackfillID, func(ctx context.Context, f *fillRow) error {
		after, err = db.change(ctx, c, f, change)
		return err
	})
	if err == nil && change.Action == database.ActionCancel {
		err = db.dropSync(ctx, c, change.BackfillID)
	}
	return after, err
}

func (db *Database) change(ctx context.Context, c *conn, f *fillRow, change database.BackfillChange) (database.Backfill, error) {
	b := f.whole()
	e, err := b.Change(change)
	if err != nil || !e.Changes {
		return e.After, err
	}
	if change.Action == database.ActionPass {
		k, err := db.keyOfTable(ctx, c, b)
		if err == nil {
			e.After.Last, err = k.last(ctx, c)
		}
		if err != nil {
			return e.After, err
		}
	}
	for i, l := range e.After.Lanes {
		was := b.Lanes[i]
		if l.Failed == was.Failed && l.Attempts == was.Attempts && l.NotBefore.Equal(was.NotBefore) {
			continue
		}
		same, err := db.replaceLane(ctx, c, b.BackfillID, drivers.StoredLane{Lane: was}, drivers.StoredLane{Lane: l})
		if err != nil {
			return e.After, err
		}
		if !same {
			return e.After, errChanged
		}
	}
	row := fillRow{StoredBackfill: drivers.StoredBackfill{Backfill: e.After, NextLane: f.NextLane}}
	row.RowsDone, row.Batches = f.RowsDone, f.Batches
	if err := db.putFill(ctx, c, &row); err != nil || e.Remark == "" {
		return e.After, err
	}
	var user string
	if err := c.row(ctx, "SELECT "+userSQL, nil, &user); err != nil {
		return e.After, ownError("reading the user", err)
	}
	_, err = db.insert(ctx, c, change.Entry(b, e.Remark), user, "", db.opts.ReadTimeout())
	return e.After, err
}

// StartBackfill stores a new backfill. The tables are created outside of the transaction.
func (b *transaction) StartBackfill(ctx context.Context, s database.BackfillStart) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := triggersError(b.h.triggers); err != nil {
			return err
		}
		if err := b.createFills(ctx); err != nil {
			return err
		}
		b.written, b.filled = true, true
		t, last, err := b.target(ctx, s)
		if err != nil {
			return err
		}
		err = b.dropFill(ctx, s.Version)
		if number(err) == erDefinitionChanged { // another process has created the tables meanwhile
			return fmt.Errorf("%w: %w", database.ErrConflict, err)
		}
		if err != nil {
			return err
		}
		f := fillRow{StoredBackfill: drivers.NewBackfill(b.h.set, s, t, last, b.h.clock.now().Truncate(time.Microsecond))}
		for _, e := range b.recorded {
			if e.Version == s.Version && e.Direction == database.Start && e.Set == b.h.set {
				f.EntryID = e.ID
			}
		}
		return b.db.putFill(ctx, b.h.worker, &f)
	})
}

// createFills creates the tables of backfills. A transaction can't write to a table that was
// created after it began: it begins anew, if it has done nothing yet, or conflicts.
func (b *transaction) createFills(ctx context.Context) error {
	created, err := b.h.createFills(ctx)
	switch {
	case err != nil || !created:
		return err
	case b.written:
		return fmt.Errorf("%w: the tables of backfills were created meanwhile", database.ErrConflict)
	}
	for _, statement := range []string{"ROLLBACK", startTransaction} {
		if _, err := b.h.worker.exec(ctx, statement); err != nil {
			return ownError(statement, err)
		}
	}
	return nil
}

// started stores the number of the entry that starts a backfill.
func (b *transaction) started(ctx context.Context, e database.Entry) error {
	if e.Direction != database.Start || !b.filled {
		return nil
	}
	_, err := b.h.worker.exec(ctx, "UPDATE "+quote(b.db.names.Backfills)+" SET entry_id = "+number64(e.ID)+" WHERE "+ofBackfill(database.BackfillID{Set: e.Set, Version: e.Version}))
	return ownError("storing the backfill", err)
}

// FinishBackfill makes a backfill done.
func (b *transaction) FinishBackfill(ctx context.Context, version int64) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := triggersError(b.h.triggers); err != nil {
			return err
		}
		f, err := b.lockWhole(ctx, version)
		if err == nil {
			err = f.Finish(f.lanes)
		}
		if err != nil {
			return err
		}
		b.written, b.filled = true, true
		if err := b.dropSync(ctx, version); err != nil {
			return err
		}
		if _, err := b.h.worker.exec(ctx, "DELETE FROM "+quote(b.db.names.Lanes)+" WHERE "+ofBackfill(f.BackfillID)+mycatalog.Everything); err != nil {
			return ownError("finishing the backfill", err)
		}
		return b.db.putFill(ctx, b.h.worker, f)
	})
}

// lockWhole reads a backfill, and locks it with its lanes. The transaction may have begun before
// the last batch, so it reads what is committed now.
func (b *transaction) lockWhole(ctx context.Context, version int64) (*fillRow, error) {
	id := database.BackfillID{Set: b.h.set, Version: version}
	f, err := b.db.lockFill(ctx, b.h.worker, id)
	if err != nil {
		return nil, err
	}
	f.lanes = nil
	err = b.h.worker.each(ctx, "SELECT "+readable(drivers.LaneColumns)+b.db.sql.fill(" FROM {lanes?} WHERE ")+ofBackfill(id)+mycatalog.Everything+" FOR UPDATE", nil, func(scan func(...any) error) error {
		_, l, err := drivers.ScanLane(scan, parseTime)
		f.lanes = append(f.lanes, l)
		return err
	})
	return f, ownError("reading the lanes of the backfill", err)
}

// EndBackfill removes a backfill, if it exists.
func (b *transaction) EndBackfill(ctx context.Context, version int64) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := triggersError(b.h.triggers); err != nil {
			return err
		}
		b.written, b.filled = true, true
		if err := b.dropSync(ctx, version); err != nil {
			return err
		}
		return b.dropFill(ctx, version)
	})
}

// dropFill removes a backfill, if the tables exist.
func (b *transaction) dropFill(ctx context.Context, version int64) error {
	return b.dropFills(ctx, ofBackfill(database.BackfillID{Set: b.h.set, Version: version}))
}

// dropFills removes the backfills that a condition selects. The backfill goes first: a worker that
// claims a lane locks it first.
func (b *transaction) dropFills(ctx context.Context, where string) error {
	for _, table := range []string{b.db.names.Backfills, b.db.names.Lanes} {
		_, err := b.h.worker.exec(ctx, "DELETE FROM "+quote(table)+" WHERE "+where+mycatalog.Everything)
		if missingTable(err) {
			return nil // nobody has started a backfill
		}
		if err != nil {
			return ownError("removing the backfill", err)
		}
	}
	return nil
}

// checkFill returns why a batch can't change rows, from what it has read: the state is "" if the
// backfill is gone.
func checkFill(state string, frozen bool) error {
	switch {
	case state == "":
		return database.ErrLeaseLost
	case frozen:
		return errFrozen()
	case state != string(database.BackfillRunning):
		return fmt.Errorf("%w: it is %s", database.ErrBackfillStopped, state)
	}
	return nil
}

func errFrozen() error { return fmt.Errorf("%w: the database is frozen", database.ErrBackfillStopped) }
