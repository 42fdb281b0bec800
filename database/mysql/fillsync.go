package mysql

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// syncTable returns the table for the triggers of the directive sync, nil without it.
func (f *fillTable) syncTable(key []string) *migration.SyncTable {
	if !f.s.Backfill.Sync {
		return nil
	}
	out := &migration.SyncTable{Name: f.name, Key: key}
	for _, c := range f.columns {
		out.Columns = append(out.Columns, migration.SyncColumn{Name: c.name, Late: c.late, Default: c.preset})
	}
	return out
}

// prepareSync has the server prepare what the triggers execute. It reads their texts only when they
// fire.
func (f *fillTable) prepareSync(ctx context.Context, table migration.SyncTable) error {
	sync, err := f.s.SyncTriggers(sqltext.MySQL, "", 0, table)
	if err != nil {
		return err
	}
	err = f.c.do(ctx, func(ctx context.Context) error {
		prepared, err := f.c.PrepareContext(ctx, sync.Probe)
		if err == nil {
			err = prepared.Close()
		}
		return err
	})
	var failed *database.StatementError
	if number(err) != 0 && errors.As(statementError(sqltext.Statement{}, err), &failed) {
		return f.wrong("sync", "a trigger can't execute the statement for a single row: %s", failed.Message)
	}
	return err
}

// target checks the script of a backfill, creates its triggers, and returns the last key of its
// table. A row that is written after the last key was read must be seen by the triggers. So with
// triggers the guard does all of that: on the worker, CREATE TRIGGER would commit the transaction,
// and its reads may be as of an earlier moment.
func (b *transaction) target(ctx context.Context, s database.BackfillStart) (t database.BackfillTarget, last database.Key, err error) {
	var k keyOf
	if !s.Script.Backfill.Sync {
		if t, k, err = b.db.fillTarget(ctx, b.h.worker, s.Script); err == nil {
			last, err = k.last(ctx, b.h.worker)
		}
		return t, last, err
	}
	b.h.guard.mu.Lock()
	defer b.h.guard.mu.Unlock()
	if t, k, err = b.db.fillTarget(ctx, b.h.guard.c, s.Script); err != nil {
		return t, nil, err
	}
	sync, err := s.Script.SyncTriggers(sqltext.MySQL, b.h.set, s.Version, *t.Sync)
	if err == nil {
		b.synced = append(b.synced, s.Version)
		err = b.h.guardDDL(ctx, s.Script, "creating the triggers of the backfill", append(sync.Drop, sync.Create...))
	}
	if err == nil {
		last, err = k.last(ctx, b.h.guard.c)
	}
	return t, last, err
}

// syncWait limits each wait for a table whose triggers change: meanwhile the guard can't check its
// lock, and everybody else who uses the table waits, too.
const syncWait = 10 * time.Second

// guardDDL executes statements on the guard, whose lock the caller has. Each waits for the table as
// long as a statement of the script.
func (h *hold) guardDDL(ctx context.Context, s *migration.Script, what string, statements []string) error {
	limit := limitOf(h.opts, s)
	if limit == 0 || limit > syncWait {
		limit = syncWait
	}
	for _, text := range statements {
		if _, err := h.guard.c.exec(ctx, ownWaits(limit, text)); err != nil {
			failed := ownError(what, err)
			if e, ok := drivers.AsType[*database.StatementError](failed); ok {
				e.Lock = lockError(number(err))
			}
			return failed
		}
	}
	return nil
}

const removingSync = "removing the triggers of the backfill"

// dropSync removes the triggers of a backfill. The guard does, before the transaction commits: if
// the process ends in between, no trigger is left, and the next attempt finds none.
func (b *transaction) dropSync(ctx context.Context, version int64) error {
	b.h.guard.mu.Lock()
	defer b.h.guard.mu.Unlock()
	id := database.BackfillID{Set: b.h.set, Version: version}
	there, err := hasSync(ctx, b.h.guard.c, id)
	if err != nil || !there {
		return err
	}
	return b.h.guardDDL(ctx, nil, removingSync, migration.SyncDrop(sqltext.MySQL, id.Set, id.Version, ""))
}

// dropSynced removes the triggers of backfills whose start was rolled back. If that fails, the next
// start replaces them.
func (b *transaction) dropSynced() {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	for _, version := range b.synced {
		_ = b.dropSync(ctx, version)
	}
}

// syncing returns the triggers that backfills may have now. Any others are what a process left that
// was killed before it recorded the start of a backfill, or after it recorded the end.
func (db *Database) syncing(ctx context.Context, c *conn) (triggers []string, err error) {
	query := "SELECT set_name, version FROM " + quote(db.names.Backfills) + " WHERE state IN ('running', 'paused', 'failed')"
	err = c.each(ctx, query, nil, func(scan func(...any) error) error {
		var id database.BackfillID
		err := scan(&id.Set, &id.Version)
		triggers = append(triggers, migration.SyncTriggerNames(id.Set, id.Version)...)
		return err
	})
	if missingTable(err) {
		return nil, nil
	}
	return triggers, ownError("reading the backfills", err)
}

// hasSync reports whether a backfill has triggers.
func hasSync(ctx context.Context, c *conn, id database.BackfillID) (there bool, err error) {
	name := migration.SyncName(id.Set, id.Version)
	err = c.row(ctx, "SELECT EXISTS (SELECT 1 FROM information_schema.triggers WHERE trigger_schema = DATABASE() AND LEFT(trigger_name, "+number64(int64(len(name)))+") = "+literal(name)+")", nil, &there)
	return there, ownError("looking for the triggers of the backfill", err)
}

// dropSync removes the triggers of a backfill that was cancelled.
func (db *Database) dropSync(ctx context.Context, c *conn, id database.BackfillID) error {
	there, err := hasSync(ctx, c, id)
	if err != nil || !there {
		return err
	}
	return db.limitLockWait(ctx, db.opts.ReadTimeout(), func(ctx context.Context) error {
		for _, text := range migration.SyncDrop(sqltext.MySQL, id.Set, id.Version, "") {
			if _, err := c.exec(ctx, text); err != nil {
				return ownError(removingSync, err)
			}
		}
		return nil
	})
}
