package sqlite

import (
	"context"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
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

// read asks in one transaction, which sees one state. SQLite's own tables and indexes have no text, or
// names that begin with sqlite_; the tables in which virtual tables keep their contents go with these.
func (r *schemaReader) read(ctx context.Context, c *conn) error {
	if err := c.do("BEGIN DEFERRED"); err != nil {
		return err
	}
	defer c.rollback()
	uses := map[string]string{}
	err := each(ctx, c, "PRAGMA main.table_list", func(schema, name, kind string) error {
		if schema == "main" && (kind == "shadow" || kind == "virtual") {
			uses[name] = kind
		}
		return nil
	})
	if err != nil {
		return err
	}
	rows, err := c.QueryContext(ctx, `SELECT sqlite_version(), type, name, tbl_name, sql FROM main.sqlite_schema
WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY rowid`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var row schemaRow
		if err := rows.Scan(&r.server, &row.kind, &row.name, &row.table, &row.sql); err != nil {
			return err
		}
		if row.use = uses[row.name]; row.use != "shadow" && !slices.Contains(r.own, strings.ToLower(row.table)) {
			r.rows = append(r.rows, row)
		}
	}
	return rows.Err()
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
