package sqlite

import (
	"context"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Snapshot reads the texts that SQLite keeps of CREATE statements. They become the snapshot's text.
// Only their meaning is compared: case, white space, comments and quotes do not matter, nor whether
// CREATE or ALTER TABLE added a column.
func (d *db) Snapshot(ctx context.Context, opts catalog.Options) (*catalog.Snapshot, error) {
	r := schemaReader{own: d.names.Lower()}
	err := d.read(ctx, func(ctx context.Context) error {
		r.rows, r.server = nil, ""
		if d.absent() {
			return nil
		}
		c, err := d.reader(ctx)
		if err != nil {
			return err
		}
		defer c.release()
		return d.connectError(r.read(ctx, c))
	})
	if err != nil {
		return nil, err
	}
	if opts.Schemas != nil && !slices.Contains(opts.Schemas, "main") {
		r.rows = nil
	}
	return catalog.New(d.Dialect().String(), r.server, r.objects()), nil
}

// schemaReader reads sqlite_schema.
type schemaReader struct {
	own    []string
	server string
	rows   []schemaRow
}

type schemaRow struct{ kind, name, table, sql, use string }

// read asks in one transaction, which sees one state. The triggers of backfills are Whimbrel's.
// SQLite's own tables and indexes have no text, or names that begin with sqlite_; the tables in
// which virtual tables keep their contents go with these.
func (r *schemaReader) read(ctx context.Context, c *conn) error {
	if err := c.do("BEGIN DEFERRED"); err != nil {
		return err
	}
	defer c.rollback()
	uses := map[string]string{}
	list, err := texts(ctx, c, "PRAGMA main.table_list")
	for _, t := range list {
		if schema, kind := t[0], t[2]; schema == "main" && (kind == "shadow" || kind == "virtual") {
			uses[t[1]] = kind
		}
	}
	if err != nil {
		return err
	}
	return drivers.Each(ctx, c, `SELECT sqlite_version(), type, name, tbl_name, sql FROM main.sqlite_schema
WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY rowid`, nil, func(scan func(...any) error) error {
		var row schemaRow
		err := scan(&r.server, &row.kind, &row.name, &row.table, &row.sql)
		if row.use = uses[row.name]; row.use != "shadow" && !slices.Contains(r.own, strings.ToLower(row.table)) && !strings.HasPrefix(row.name, migration.SyncPrefix) {
			r.rows = append(r.rows, row)
		}
		return err
	})
}

func (r *schemaReader) objects() []catalog.Object {
	var objects []catalog.Object
	for _, row := range r.rows {
		o := catalog.Object{Name: row.name, SQL: []string{withoutEnd(row.sql)}}
		switch {
		case row.use == "virtual":
			o.Kind = catalog.VirtualTable
			l := tokens(row.sql)
			o.Set("using", render(l.From(l.Index("using")+1), func(t sqltext.Token) string { return t.Text })) // its arguments are its own language
		case row.kind == "table":
			o.Kind = catalog.Table
			objects = append(objects, tableObjects(o, afterName(row.sql))...)
			continue
		case row.kind == "view":
			o.Kind = catalog.View
			o.Set("definition", render(afterName(row.sql), form))
		default:
			o.Kind, o.Of = catalog.Index, row.table
			if row.kind == "trigger" {
				o.Kind = catalog.Trigger
			}
			if tokens(row.sql).Is(1, "unique") {
				o.Set("unique", "yes")
			}
			o.Set("definition", render(afterName(row.sql), form))
		}
		objects = append(objects, o)
	}
	return objects
}
