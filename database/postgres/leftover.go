package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
)

// index is an index in the catalogue.
type index struct {
	OID     int64    `json:"oid"`
	Table   int64    `json:"table"`
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	Valid   bool     `json:"valid"`
	Unique  bool     `json:"unique"`
	Method  string   `json:"method"`
	Keys    int      `json:"keys"`
	Columns []string `json:"columns"` // plain columns among the keys, and included ones
}

func (x *index) String() string { return pgddl.Name{x.Schema, x.Name}.String() }

// drop returns the statement that drops the index without blocking others.
func (x *index) drop() string { return "DROP INDEX CONCURRENTLY IF EXISTS " + x.String() }

// fits reports whether a statement may have created the index: it has the same kind, as many keys,
// and no column that the statement doesn't name.
func (x *index) fits(what *pgddl.Statement) bool {
	if x.Unique != what.Unique || x.Method != what.Method || x.Keys != what.Keys {
		return false
	}
	return !slices.ContainsFunc(x.Columns, func(c string) bool { return !what.Mentions(c) })
}

const selectIndexes = `SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_object('oid', i.indexrelid::bigint, 'table', i.indrelid::bigint, 'schema', n.nspname, 'name', x.relname,
	'valid', i.indisvalid, 'unique', i.indisunique, 'method', m.amname, 'keys', i.indnkeyatts, 'columns', (
		SELECT coalesce(pg_catalog.json_agg(a.attname), '[]') FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[]))) ORDER BY i.indexrelid), '[]')
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = x.relnamespace JOIN pg_catalog.pg_am m ON m.oid = x.relam
WHERE `

// indexesOf reads the indexes of a table.
func (r *run) indexesOf(ctx context.Context, table int64) (all []index, err error) {
	err = r.worker.pipeline(ctx, jsonInto(query{sql: selectIndexes + "i.indrelid = $1::oid", args: []arg{number(table)}}, &all))
	return all, err
}

// createdIndex returns the outcome of CREATE INDEX CONCURRENTLY. It attributes an index to the
// statement only if it is new since the statement began, or with IF NOT EXISTS if it existed and is
// invalid.
func createdIndex(what *pgddl.Statement, was *before, all []index) *database.Outcome {
	o := notHappened("the index does not exist")
	for _, x := range all {
		come := !slices.Contains(was.Indexes, x.OID)
		named := what.Name != nil && x.Name == what.Name[len(what.Name)-1]
		switch {
		case !named && (what.Name != nil || !come || !x.fits(what)):
			continue // not related to the statement
		case come && !x.fits(what):
			return &database.Outcome{Verdict: database.Unclear, Why: "a new index " + x.String() + " does not match the statement"}
		case x.Valid && come:
			return happened("the index " + x.String() + " exists and is valid")
		case x.Valid:
			o.Why = "the index " + x.String() + " existed before"
		case come, what.IfNotExists && x.fits(what):
			o.First = append(o.First, x.drop())
			o.Why = "the index " + x.String() + " was left invalid"
		default:
			o.Why = "an invalid index " + x.String() + " existed before"
		}
	}
	return o
}

// droppedIndex returns the outcome of DROP INDEX CONCURRENTLY.
func (r *run) droppedIndex(ctx context.Context, was *before) (*database.Outcome, error) {
	var left []index
	if err := r.worker.pipeline(ctx, jsonInto(query{sql: selectIndexes + "i.indexrelid = $1::oid", args: []arg{number(was.Object)}}, &left)); err != nil {
		return nil, err
	}
	switch {
	case was.Object == 0:
		return notHappened("the index did not exist"), nil
	case len(left) == 0:
		return happened("the index is gone"), nil
	case !left[0].Valid:
		o := notHappened("the index " + left[0].String() + " is now invalid, but can still be dropped")
		o.Remains = true
		return o, nil
	}
	return notHappened("the index " + left[0].String() + " still exists"), nil
}

// reindexed returns the outcome of REINDEX CONCURRENTLY, with the statements that drop its
// temporary indexes. Finished indexes may be rebuilt again.
func (r *run) reindexed(ctx context.Context, was *before) (*database.Outcome, error) {
	o := notHappened("it can be repeated safely")
	var known []string
	for _, oid := range was.Indexes {
		known = append(known, fmt.Sprint(oid))
	}
	err := r.worker.pipeline(ctx, query{
		sql: `WITH left_behind AS (` + leftByReindex + `),
tables AS (SELECT relid::oid AS oid FROM pg_catalog.pg_partition_tree($1::oid::regclass) UNION SELECT $1::oid UNION SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = $2))
SELECT n.nspname, l.relname FROM left_behind l JOIN pg_catalog.pg_namespace n ON n.oid = l.relnamespace
WHERE l.oid <> ALL ($3::oid[]) AND ($4 <> '' OR l.indrelid IN (SELECT oid FROM tables UNION SELECT c.reltoastrelid FROM pg_catalog.pg_class c JOIN tables USING (oid)))
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE ` + worksOn("l.indrelid") + `)
ORDER BY l.oid`,
		args: []arg{number(was.Table), text(was.Schema), array(known), text(was.Value)},
		row: func(row *row) error {
			x := index{Schema: row.text(), Name: row.text()}
			o.First = append(o.First, x.drop())
			o.Why = "it was interrupted and left a temporary index behind"
			return row.err
		},
	})
	return o, err
}

// detached returns the outcome of DETACH PARTITION CONCURRENTLY. If the detach is pending, it has
// to be finalized.
func (r *run) detached(ctx context.Context, was *before) (*database.Outcome, error) {
	if was.Object == 0 {
		return notHappened("the partition did not exist"), nil
	}
	o := happened("the partition is detached")
	err := r.worker.pipeline(ctx, query{
		sql: `SELECT coalesce(pg_catalog.to_jsonb(h)->>'inhdetachpending', 'false')::bool, tn.nspname, t.relname, pn.nspname, p.relname
FROM pg_catalog.pg_inherits h
JOIN pg_catalog.pg_class t ON t.oid = h.inhparent JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
JOIN pg_catalog.pg_class p ON p.oid = h.inhrelid JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
WHERE h.inhparent = $1::oid AND h.inhrelid = $2::oid`,
		args: []arg{number(was.Table), number(was.Object)},
		row: func(row *row) error {
			pending := row.boolean()
			table, partition := pgddl.Name{row.text(), row.text()}, pgddl.Name{row.text(), row.text()}
			o = notHappened("the partition is still attached")
			if pending {
				o = happened("it was interrupted while the detach was pending", "ALTER TABLE "+table.String()+" DETACH PARTITION "+partition.String()+" FINALIZE")
			}
			return row.err
		},
	})
	return o, err
}
