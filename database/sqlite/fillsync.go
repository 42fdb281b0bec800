package sqlite

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// syncTable returns the table for the triggers of the directive sync, nil without it.
func (t *fillTable) syncTable(key []string) *migration.SyncTable {
	if !t.s.Backfill.Sync {
		return nil
	}
	out := &migration.SyncTable{Name: t.name, Key: key}
	for _, c := range t.columns {
		out.Columns = append(out.Columns, migration.SyncColumn{Name: c.name, Default: c.preset})
	}
	return out
}

// compileSync lets SQLite compile what the triggers execute.
func (t *fillTable) compileSync(ctx context.Context, table migration.SyncTable) error {
	sync, err := t.s.SyncTriggers(sqltext.SQLite, "", 0, table)
	if err != nil {
		return err
	}
	_, err = texts(ctx, t.c, "EXPLAIN "+sync.Probe)
	if code(err) != 0 && !isBusy(err) {
		return t.wrong("sync", "a trigger can't execute the statement for a single row: %s", message(err))
	}
	return err
}

// createSync creates the triggers, in place of earlier ones.
func (b *transaction) createSync(s database.BackfillStart, table *migration.SyncTable) error {
	if table == nil {
		return nil
	}
	sync, err := s.Script.SyncTriggers(sqltext.SQLite, b.set, s.Version, *table)
	if err != nil {
		return err
	}
	for _, text := range append(sync.Drop, sync.Create...) {
		if err := b.c.do(text); err != nil {
			return b.d.ownError("creating the triggers of the backfill", err)
		}
	}
	return nil
}

// dropSync removes the triggers of a backfill, if it has some.
func (d *db) dropSync(c *conn, id database.BackfillID) error {
	for _, text := range migration.SyncDrop(sqltext.SQLite, id.Set, id.Version, "") {
		if err := c.do(text); err != nil {
			return d.ownError("removing the triggers of the backfill", err)
		}
	}
	return nil
}
