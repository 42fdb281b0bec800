package postgres

import (
	"context"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgcatalog"
)

// Snapshot reads the database's schema in one transaction and two round trips.
func (db *Database) Snapshot(ctx context.Context, opts catalog.Options) (*catalog.Snapshot, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	l, err := db.locate(ctx, c)
	if isA[*database.TablesError](err) && l.schema != "" {
		err = nil // the schema of the tables is enough
	}
	if err != nil {
		return nil, err
	}
	begin := command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	s, err := db.snapshot(ctx, c, l.schema, opts, begin, command("COMMIT"))
	if err != nil {
		c.rollback()
	}
	return s, err
}

// snapshot reads the schema in a transaction that begin begins, or in the open one.
func (db *Database) snapshot(ctx context.Context, c *conn, schema string, opts catalog.Options, begin, end query) (*catalog.Snapshot, error) {
	reader := pgcatalog.NewReader(pgcatalog.Options{
		Options: opts, Major: c.serverMajor(),
		OwnSchema: schema, OwnTables: db.ownTables(), OwnSchemaToo: db.opts.Schema != "",
	})
	queries := []query{begin, {sql: pgcatalog.Settings}}
	for _, q := range reader.Queries() {
		queries = append(queries, query{sql: q.SQL, args: q.Args, row: func(r *row) error { return q.Row(r.values) }})
	}
	if err := c.pipeline(ctx, append(queries, end)...); err != nil {
		return nil, err
	}
	return reader.Snapshot(), nil
}

// ownTables returns the names of Whimbrel's tables, in the order of the roles.
func (db *Database) ownTables() []string {
	n := db.names
	return []string{n.History, n.Settings, n.Journal, n.Metadata, n.Backfills, n.Lanes}
}
