package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// serverNow is the time of leases. All processes that use the file are on one machine.
func serverNow() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Backfills reads the backfills in one transaction.
func (d *db) Backfills(ctx context.Context, q database.BackfillQuery) (all []database.Backfill, err error) {
	err = d.read(ctx, func(ctx context.Context) error {
		all = nil
		if d.absent() {
			return nil
		}
		c, err := d.reader(ctx)
		if err != nil {
			return err
		}
		defer c.release()
		// takes no lock, whatever the client's _txlock is
		if err := c.do("BEGIN DEFERRED"); err != nil {
			return d.connectError(err)
		}
		defer c.rollback()
		fills, err := d.readFills(ctx, c, q, serverNow())
		for i := range fills {
			all = append(all, fills[i].whole())
		}
		return err
	})
	return all, err
}

// withFill calls a function in a transaction that can write, with a backfill, and commits it. It
// waits for the file up to limit.
func (d *db) withFill(ctx context.Context, id database.BackfillID, limit time.Duration, f func(c *conn, f *fill) error) error {
	ctx, cancel := d.life.Until(ctx)
	defer cancel()
	if d.absent() {
		return noBackfill(id)
	}
	w := newWaiter("", database.LockOptions{Timeout: limit})
	c, err := d.connect(ctx, w)
	if err != nil {
		return err
	}
	defer c.release()
	if err := d.beginFill(ctx, c, w); err != nil {
		return err
	}
	b, err := d.trustedFill(ctx, c, id)
	if err == nil {
		err = f(c, b)
	}
	if err == nil {
		err = c.commit(ctx, max(limit, minTimeout))
	}
	if err != nil {
		c.rollback()
	}
	return d.connectError(err)
}

// beginFill begins a transaction that can write, as soon as no other connection does.
func (d *db) beginFill(ctx context.Context, c *conn, w *waiter) error {
	for {
		err := c.do("BEGIN IMMEDIATE")
		if isBusy(err) {
			if err := w.wait(ctx, database.Holder{}); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return d.connectError(err)
		}
		if err := d.identify(ctx, c); err != nil {
			c.rollback()
			return err
		}
		return nil
	}
}

// trustedFill reads a backfill, if nothing foreign is on Whimbrel's tables.
func (d *db) trustedFill(ctx context.Context, c *conn, id database.BackfillID) (*fill, error) {
	st, err := d.stand(c, id.Set)
	if code(err) != 0 {
		none, err := d.missing(ctx, c, err)
		if none {
			return nil, noBackfill(id)
		}
		return nil, err
	}
	if err != nil {
		return nil, err
	}
	if err := foreignError(st.foreign); err != nil {
		return nil, err
	}
	return d.readFill(ctx, c, id, serverNow())
}

// ChangeBackfill changes a backfill and records that, in one transaction.
func (d *db) ChangeBackfill(ctx context.Context, change database.BackfillChange) (after database.Backfill, err error) {
	err = d.withFill(ctx, change.BackfillID, d.readTimeout, func(c *conn, f *fill) error {
		b := f.whole()
		e, err := b.Change(change)
		if after = e.After; err != nil || !e.Changes {
			return err
		}
		if change.Action == database.ActionPass {
			if after.Last, err = d.lastKey(ctx, c, after.Key, after.Table); err != nil {
				return err
			}
		}
		if change.Action == database.ActionCancel {
			if err := d.dropSync(c, b.BackfillID); err != nil {
				return err
			}
		}
		for i, l := range after.Lanes {
			if l.Failed != b.Lanes[i].Failed || l.Attempts != b.Lanes[i].Attempts || !l.NotBefore.Equal(b.Lanes[i].NotBefore) {
				if err := d.putLane(c, b.BackfillID, drivers.StoredLane{Lane: l}); err != nil {
					return err
				}
			}
		}
		row := fill{StoredBackfill: drivers.StoredBackfill{Backfill: after, NextLane: f.NextLane}}
		row.RowsDone, row.Batches = f.RowsDone, f.Batches
		if err := d.putFill(c, &row); err != nil || e.Remark == "" {
			return err
		}
		_, err = d.insert(c, change.Entry(b, e.Remark))
		return err
	})
	return after, err
}

// Signals asks the throttle's query. SQLite has nothing else that a throttle can ask for, and does
// not know which sessions wait for the file.
func (d *db) Signals(ctx context.Context, _ database.Backfill, t migration.Throttle) (all []database.Signal, err error) {
	none := func(asked bool, name, why string) {
		if asked {
			all = append(all, database.Signal{Name: name, Err: errors.New(why)})
		}
	}
	none(t.Lag > 0, "max-lag", "SQLite has no replicas")
	none(t.SlotWAL > 0, "max-slot-wal", "SQLite has no replication slots")
	none(t.WALRate > 0, "max-wal-rate", "SQLite does not measure how much it writes")
	none(t.Autovacuum, "wait-for-autovacuum", "SQLite has no process that vacuums")
	none(t.FlowControl > 0, "max-flow-control", "SQLite is no cluster")
	if t.Query != "" {
		rows, err := d.Query(ctx, t.Query)
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		all = append(all, drivers.QuerySignal(rows, err))
	}
	return all, nil
}

// StartBackfill stores a new backfill. The transaction is the only one that writes.
func (b *transaction) StartBackfill(ctx context.Context, s database.BackfillStart) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := foreignError(b.foreign); err != nil {
			return err
		}
		b.written, b.filled = true, true
		for _, text := range b.d.sql.fills.create {
			if err := b.c.do(text); err != nil {
				return b.d.ownError("creating the tables of backfills", err)
			}
		}
		t, err := b.d.fillTarget(ctx, b.c, s.Script)
		if err != nil {
			return err
		}
		last, err := b.d.lastKey(ctx, b.c, t.Key, t.Table)
		if err != nil {
			return err
		}
		if err := b.dropFill(s.Version); err != nil {
			return err
		}
		if err := b.createSync(s, t.Sync); err != nil {
			return err
		}
		f := fill{StoredBackfill: drivers.NewBackfill(b.set, s, t, last, serverNow())}
		for _, e := range b.entries {
			if e.Version == s.Version && e.Direction == database.Start {
				f.EntryID = e.ID
			}
		}
		return b.d.putFill(b.c, &f)
	})
}

// started stores the number of the entry that starts a backfill.
func (b *transaction) started(e database.Entry) error {
	if e.Direction != database.Start || !b.filled {
		return nil
	}
	return b.d.ownError("storing the backfill", b.c.do(b.d.sql.fills.startedBy, e.ID, e.Set, e.Version))
}

// FinishBackfill makes a backfill done.
func (b *transaction) FinishBackfill(ctx context.Context, version int64) error {
	return b.do(ctx, func(ctx context.Context) error {
		if err := foreignError(b.foreign); err != nil {
			return err
		}
		f, err := b.d.readFill(ctx, b.c, database.BackfillID{Set: b.set, Version: version}, serverNow())
		if err == nil {
			err = f.Finish(f.lanes)
		}
		if err != nil {
			return err
		}
		b.written, b.filled = true, true
		if err := b.d.dropSync(b.c, f.BackfillID); err != nil {
			return err
		}
		if err := b.c.do(b.d.sql.fills.dropLanes, f.Set, f.Version); err != nil {
			return b.d.ownError("finishing the backfill", err)
		}
		return b.d.putFill(b.c, f)
	})
}

// EndBackfill removes a backfill, if it exists.
func (b *transaction) EndBackfill(ctx context.Context, version int64) error {
	return b.do(ctx, func(context.Context) error {
		if err := foreignError(b.foreign); err != nil {
			return err
		}
		has, err := b.c.hasFills(b.d)
		if err != nil || !has {
			return err
		}
		b.written, b.filled = true, true
		return b.dropFill(version)
	})
}

func (b *transaction) dropFill(version int64) error {
	if err := b.d.dropSync(b.c, database.BackfillID{Set: b.set, Version: version}); err != nil {
		return err
	}
	err := b.c.do(b.d.sql.fills.dropLanes, b.set, version)
	if err == nil {
		err = b.c.do(b.d.sql.fills.dropBackfill, b.set, version)
	}
	return b.d.ownError("removing the backfill", err)
}

// dropFills removes all backfills, if there are any.
func (b *transaction) dropFills() error {
	has, err := b.c.hasFills(b.d)
	if err != nil || !has {
		return err
	}
	for _, text := range b.d.sql.fills.dropAll {
		if err := b.c.do(text); err != nil {
			return b.d.ownError("removing the backfills", err)
		}
	}
	return nil
}
