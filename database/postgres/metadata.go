package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/metadata"
)

// metadataTable creates the metadata table. The first process that stores metadata creates it, so
// other databases stay compatible with older builds. An id is the object's address in the catalogs.
// made_in, the table's own oid and the server's major version, identifies the database that the ids
// belong to: a restored dump, or pg_upgrade, assigns others.
const metadataTable = `CREATE TABLE %s (
	kind text NOT NULL,
	name text NOT NULL,
	facts text NOT NULL,
	id text NOT NULL,
	made_in text NOT NULL,
	PRIMARY KEY (kind, name)
)`

const serverMajorSQL = `(pg_catalog.current_setting('server_version_num')::int / 10000)`

// objectsQuery lists the objects that can be described, with their comments. $1 is the schema of
// Whimbrel's tables, $2 their names.
const objectsQuery = `WITH ns AS (SELECT oid, nspname FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'),
ext AS (SELECT classid, objid FROM pg_catalog.pg_depend WHERE deptype = 'e'),
rel AS (SELECT c.oid, n.nspname, c.relname, CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END AS kind
	FROM pg_catalog.pg_class c JOIN ns n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm') AND NOT (n.nspname = $1 AND c.relname = ANY (ARRAY(SELECT pg_catalog.json_array_elements_text($2::json)::name)))
	AND NOT EXISTS (SELECT FROM ext WHERE ext.classid = 'pg_catalog.pg_class'::regclass AND ext.objid = c.oid)),
objects AS (
	SELECT 'schema' AS kind, '' AS nsp, nspname::text AS name, '' AS args, '' AS col, 'pg_catalog.pg_namespace'::regclass::oid AS classid, ns.oid AS objid, 0 AS objsubid
		FROM ns WHERE NOT EXISTS (SELECT FROM ext WHERE ext.classid = 'pg_catalog.pg_namespace'::regclass AND ext.objid = ns.oid)
	UNION ALL SELECT kind, nspname, relname, '', '', 'pg_catalog.pg_class'::regclass, oid, 0 FROM rel
	UNION ALL SELECT CASE kind WHEN 'view' THEN 'view column' ELSE 'column' END, nspname, relname, '', attname, 'pg_catalog.pg_class'::regclass, rel.oid, attnum
		FROM rel JOIN pg_catalog.pg_attribute a ON a.attrelid = rel.oid AND attnum > 0 AND NOT attisdropped
	UNION ALL SELECT 'function', n.nspname, p.proname, '(' || coalesce((
			SELECT pg_catalog.string_agg(CASE WHEN en.nspname = 'pg_catalog' THEN pg_catalog.format_type(t.oid, NULL)
				ELSE pg_catalog.quote_ident(en.nspname) || '.' || pg_catalog.quote_ident(e.typname) || CASE WHEN e.oid <> t.oid THEN '[]' ELSE '' END END, ', ' ORDER BY a.n)
			FROM pg_catalog.unnest(p.proargtypes::oid[]) WITH ORDINALITY a(oid, n) JOIN pg_catalog.pg_type t ON t.oid = a.oid
			JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN t.typelem <> 0 AND t.typcategory = 'A' THEN t.typelem ELSE t.oid END
			JOIN pg_catalog.pg_namespace en ON en.oid = e.typnamespace), '') || ')',
			'', 'pg_catalog.pg_proc'::regclass, p.oid, 0
		FROM pg_catalog.pg_proc p JOIN ns n ON n.oid = p.pronamespace
		WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype IN ('e', 'i')) -- a range type has functions
	UNION ALL SELECT 'type', n.nspname, t.typname, '', '', 'pg_catalog.pg_type'::regclass, t.oid, 0
		FROM pg_catalog.pg_type t JOIN ns n ON n.oid = t.typnamespace LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
		WHERE (t.typtype IN ('d', 'e', 'r') OR t.typtype = 'c' AND c.relkind = 'c' OR t.typtype = 'b' AND t.typcategory <> 'A')
		AND NOT EXISTS (SELECT FROM ext WHERE ext.classid = 'pg_catalog.pg_type'::regclass AND ext.objid = t.oid)
)
SELECT o.kind, o.nsp, o.name, o.args, o.col, o.classid || '/' || o.objid || '/' || o.objsubid,
	CASE WHEN o.kind = 'schema' AND o.name = 'public' THEN nullif(d.description, 'standard public schema') ELSE d.description END -- the server's own
FROM objects o LEFT JOIN pg_catalog.pg_description d ON d.classoid = o.classid AND d.objoid = o.objid AND d.objsubid = o.objsubid`

// Metadata reads the metadata and the objects in one transaction.
func (db *Database) Metadata(ctx context.Context) (*metadata.State, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	l, err := db.locate(ctx, c)
	if err != nil {
		return nil, err
	}
	defer c.rollback()
	s, err := db.readMetadata(ctx, c, l.schema, command("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
	if err == nil {
		err = c.pipeline(ctx, command("COMMIT"))
	}
	return s, err
}

// readMetadata reads in a transaction, after the queries in before.
func (db *Database) readMetadata(ctx context.Context, c *conn, schema string, before ...query) (*metadata.State, error) {
	s := &metadata.State{Comments: true}
	f := &finder{db: db}
	own, err := json.Marshal(db.ownTables())
	if err != nil {
		return nil, err
	}
	name := table(schema, db.names.Metadata)
	before = append(before, query{sql: "SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))", path: callers, row: func(r *row) error {
		s.Path = append(s.Path, r.text())
		return r.err
	}})
	err = c.pipeline(ctx, append(append(before, f.queries(false)...),
		query{sql: objectsQuery, args: []arg{text(schema), text(string(own))}, row: func(r *row) error {
			n := metadata.Name{Kind: metadata.Kind(r.text()), Schema: r.text(), Object: r.text(), Args: r.text(), Column: r.text()}
			s.Objects = append(s.Objects, metadata.Object{Name: n, ID: r.text(), Comment: r.text()})
			return r.err
		}})...)
	if err != nil {
		return s, err
	}
	kept := f.at(schema).tables[metadataOf]
	if kept.OID == 0 {
		return s, nil
	}
	if err := f.usableTable(kept); err != nil {
		return nil, err
	}
	err = c.pipeline(ctx, query{
		sql: "SELECT kind, name, facts, CASE WHEN made_in = tableoid || '/' || " + serverMajorSQL + " THEN id ELSE '' END FROM " + name,
		row: func(r *row) error {
			e, err := readStored(r)
			s.Entries = append(s.Entries, e)
			return err
		},
	})
	return s, err
}

func readStored(r *row) (e metadata.Stored, err error) {
	kind, name, facts := r.text(), r.kept(), r.kept()
	if e, err = drivers.ReadStored(kind, name, facts); err != nil {
		return e, err
	}
	e.ID = r.text()
	return e, r.err
}

// Metadata reads the metadata in the transaction, after sending the queue.
func (b *transaction) Metadata(ctx context.Context) (*metadata.State, error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	if err := b.lockMetadata(ctx); err != nil {
		return nil, err
	}
	return b.db.readMetadata(ctx, b.c, b.schema)
}

// PutMetadata acquires the metadata lock, and queues the changes.
func (b *transaction) PutMetadata(ctx context.Context, change *metadata.Change) error {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := b.flush(ctx); err != nil {
		return err
	}
	name := table(b.schema, b.db.names.Metadata)
	f := &finder{db: b.db}
	if err := b.lockMetadata(ctx, f.queries(false)...); err != nil {
		return err
	}
	// CREATE TABLE IF NOT EXISTS needs a privilege even if the table exists
	if kept := f.at(b.schema).tables[metadataOf]; kept.OID == 0 {
		if err := b.add(ctx, makeTable(metadataTable, name)); err != nil {
			return err
		}
	} else if err := f.usableTable(kept); err != nil {
		return err
	} else if err := b.add(ctx, query{sql: "LOCK TABLE ONLY " + name + " IN ROW EXCLUSIVE MODE"}, guardQuery(kept)); err != nil {
		return err
	}
	rows, err := metadataRows(change.Entries, b.db.narrow.Load())
	if err != nil {
		return err
	}
	err = b.add(ctx,
		query{sql: "DELETE FROM " + name},
		query{
			sql: "INSERT INTO " + name + ` (kind, name, facts, id, made_in)
SELECT e ->> 0, e ->> 1, e ->> 2, e ->> 3, pg_catalog.to_regclass($2)::oid || '/' || ` + serverMajorSQL + ` FROM pg_catalog.json_array_elements($1::json) AS e`,
			args: []arg{text(rows), text(name)},
		})
	if err != nil || len(change.Comments) == 0 {
		return err
	}
	return b.comment(ctx, change.Comments)
}

// lockMetadata prevents others from changing the metadata until the transaction ends, and sends
// more queries.
func (b *transaction) lockMetadata(ctx context.Context, more ...query) error {
	opts := database.LockOptions{Timeout: drivers.MetadataTimeout}
	return b.db.poll(ctx, b.c, drivers.MetadataLock, opts, func(ctx context.Context) (got bool, holder database.Holder, err error) {
		err = b.c.pipeline(ctx, append([]query{{
			sql:  "SELECT pg_catalog.pg_try_advisory_xact_lock(" + lockKey + ")",
			args: []arg{b.own.historyID(), text(drivers.MetadataLock)},
			row:  into(&got),
		}}, more...)...)
		if err == nil && !got {
			holder = b.db.holder(ctx, b.c, b.own, drivers.MetadataLock)
		}
		return got, holder, err
	})
}

// metadataRows returns entries in JSON, from which the server makes rows.
func metadataRows(entries []metadata.Stored, narrow bool) (string, error) {
	rows := make([][4]string, len(entries))
	for i, e := range entries {
		facts, err := metadata.EncodeFacts(e.Facts)
		if err != nil {
			return "", err
		}
		rows[i] = [4]string{string(e.Name.Kind), escape(e.Name.String(), narrow), escape(facts, narrow), e.ID}
	}
	all, err := json.Marshal(rows)
	return string(all), err
}

// commentsQuery creates the statements that set comments: the server knows how to name the objects
// in them.
const commentsQuery = `SELECT 'COMMENT ON ' || CASE
	WHEN o.type LIKE '%column' THEN 'COLUMN'
	WHEN o.type IN ('function', 'procedure', 'aggregate') THEN 'ROUTINE'
	ELSE pg_catalog.upper(o.type) END || ' ' || o.identity || ' IS ' || coalesce(pg_catalog.quote_literal(nullif(c ->> 3, '')), 'NULL'), c ->> 4
FROM pg_catalog.json_array_elements($1::json) AS c
LEFT JOIN LATERAL pg_catalog.pg_identify_object((c ->> 0)::oid, (c ->> 1)::oid, (c ->> 2)::int) AS o ON true`

// comment sets comments.
func (b *transaction) comment(ctx context.Context, comments []metadata.Comment) error {
	rows := make([][5]string, len(comments))
	for i, c := range comments {
		var class, object, sub uint32
		if _, err := fmt.Sscanf(c.ID, "%d/%d/%d", &class, &object, &sub); err != nil {
			return fmt.Errorf("can't set the comment of %s %s: its object is unknown (%q)", c.Name.Kind.Type(), c.Name, c.ID)
		}
		rows[i] = [5]string{fmt.Sprint(class), fmt.Sprint(object), fmt.Sprint(sub), c.Text, c.Name.Kind.Type() + " " + c.Name.String()}
	}
	all, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	var statements []query
	b.queue = append(b.queue, query{sql: commentsQuery, args: []arg{text(string(all))}, row: func(r *row) error {
		sql := r.bytes()
		if sql == nil {
			return fmt.Errorf("can't set the comment of %s: the object no longer exists", r.text())
		}
		statements = append(statements, command(string(sql)))
		return r.err
	}})
	if err := b.flush(ctx); err != nil {
		return err
	}
	return b.add(ctx, statements...)
}
