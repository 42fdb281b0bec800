package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// syncTable returns the table for the triggers of the directive sync, nil without it.
func (k *keyPlan) syncTable(s *migration.Script) *migration.SyncTable {
	if !s.Backfill.Sync {
		return nil
	}
	t := &migration.SyncTable{Schema: k.schema, Name: k.name, Key: k.columns}
	for _, c := range k.all {
		t.Columns = append(t.Columns, migration.SyncColumn{Name: c.Name, Late: c.Late, Default: c.Default})
	}
	return t
}

// parseSync lets the server parse what the triggers execute. PL/pgSQL does so only when they fire.
func (c *conn) parseSync(ctx context.Context, s *migration.Script, k *keyPlan) error {
	t := k.syncTable(s)
	if t == nil {
		return nil
	}
	sync, err := s.SyncTriggers(sqltext.PostgreSQL, "", 0, *t)
	if err != nil {
		return err
	}
	err = c.parse(ctx, bodyText{sql: sync.Probe})
	if pg, ok := drivers.AsType[*pgconn.PgError](err); ok {
		return atDirective(s, "sync", "a trigger can't execute the statement for a single row: "+pg.Message)
	}
	return err
}

// createSync creates the triggers, in place of earlier ones. It waits for the transactions that
// write to the table.
func (b *transaction) createSync(ctx context.Context, s database.BackfillStart, k *keyPlan) error {
	t := k.syncTable(s.Script)
	if t == nil {
		return nil
	}
	sync, err := s.Script.SyncTriggers(sqltext.PostgreSQL, b.set, s.Version, *t)
	if err != nil {
		return err
	}
	var queries []query
	for _, text := range slices.Concat([]string{sync.Probe}, sync.Drop, sync.Create) {
		queries = append(queries, syncCommand(text))
	}
	return b.c.pipeline(ctx, queries...)
}

func syncCommand(text string) query {
	q := command(text)
	q.quiet = true
	q.fail = func(pg *pgconn.PgError) error { return ownError(text, pg) }
	return q
}

// dropSyncOf removes the triggers of a backfill, if it exists and has some.
func (b *transaction) dropSyncOf(ctx context.Context, id database.BackfillID) error {
	var name string
	err := b.c.pipeline(ctx, query{
		sql: "SELECT b.table_name FROM " + table(b.schema, b.db.names.Backfills) + " b WHERE " + selected, args: selectedBy(id),
		row: func(r *row) error { name = r.text(); return r.err },
	})
	if err != nil || name == "" {
		return err
	}
	return b.db.dropSync(ctx, b.c, id, name)
}

// dropSync removes the triggers of a backfill, if there are any. name is the table's, with its
// schema.
func (db *Database) dropSync(ctx context.Context, c *conn, id database.BackfillID, name string) error {
	schema := sqltext.List(name, sqltext.PostgreSQL).At(0).Name()
	function := migration.SyncName(id.Set, id.Version)
	there := false
	err := c.pipeline(ctx, query{
		sql:  "SELECT FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = $1 AND p.proname = $2",
		args: []arg{text(schema), text(function)}, row: func(*row) error { there = true; return nil },
	})
	if err != nil || !there {
		return err
	}
	for _, text := range migration.SyncDrop(sqltext.PostgreSQL, id.Set, id.Version, schema) {
		if err := c.pipeline(ctx, syncCommand(text)); err != nil {
			return fmt.Errorf("removing the triggers of the backfill: %w", err)
		}
	}
	return nil
}
