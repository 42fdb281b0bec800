package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgddl"
)

// index is an index as the catalogue has it.
type index struct {
	OID     int64    `json:"oid"`
	Table   int64    `json:"table"`
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	Valid   bool     `json:"valid"`
	Unique  bool     `json:"unique"`
	Method  string   `json:"method"`
	Keys    int      `json:"keys"`
	Columns []string `json:"columns"` // those that are keys themselves, or included
}

func (x *index) String() string { return pgddl.Name{x.Schema, x.Name}.String() }

// drop takes the index away, in nobody's way.
func (x *index) drop() string { return "DROP INDEX CONCURRENTLY IF EXISTS " + x.String() }

// fits reports whether an index may be what a statement makes: of the same kind, with as many keys, and
// with no column that the statement doesn't name.
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

// createdIndex says what CREATE INDEX CONCURRENTLY has left. Only an index that came since it began is taken for its
// own; and an invalid one that was there before, where it says IF NOT EXISTS.
func createdIndex(what *pgddl.Statement, was *before, all []index) *database.Outcome {
	o := notHappened("there is no such index")
	for _, x := range all {
		come := !slices.Contains(was.Indexes, x.OID)
		named := what.Name != nil && x.Name == what.Name[len(what.Name)-1]
		switch {
		case !named && (what.Name != nil || !come || !x.fits(what)):
			continue // it is not about this one
		case come && !x.fits(what):
			return &database.Outcome{Verdict: database.Unclear, Why: "an index " + x.String() + " has come that is not the one which the statement makes"}
		case x.Valid && come:
			return happened("the index " + x.String() + " is there, and valid")
		case x.Valid:
			o.Why = "the index " + x.String() + " was there before"
		case come, what.IfNotExists && x.fits(what):
			o.First = append(o.First, x.drop())
			o.Why = "the index " + x.String() + " was left invalid"
		default:
			o.Why = "an index " + x.String() + ", which is not valid, was there before"
		}
	}
	return o
}

// droppedIndex says what DROP INDEX CONCURRENTLY has left.
func (r *run) droppedIndex(ctx context.Context, was *before) (*database.Outcome, error) {
	var left []index
	if err := r.worker.pipeline(ctx, jsonInto(query{sql: selectIndexes + "i.indexrelid = $1::oid", args: []arg{number(was.Object)}}, &left)); err != nil {
		return nil, err
	}
	switch {
	case was.Object == 0:
		return notHappened("there was no such index"), nil
	case len(left) == 0:
		return happened("the index is gone"), nil
	case !left[0].Valid:
		return notHappened("the index " + left[0].String() + " is not valid any more, but still there: it can be dropped again"), nil
	}
	return notHappened("the index " + left[0].String() + " is still there"), nil
}

// reindexed drops what REINDEX CONCURRENTLY has left of its own; what it has already rebuilt
// may be rebuilt again.
func (r *run) reindexed(ctx context.Context, was *before) (*database.Outcome, error) {
	o := notHappened("it can be executed again without harm")
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
			o.Why = "it was interrupted, and left an index that it would have taken away"
			return row.err
		},
	})
	return o, err
}

// detached says what DETACH PARTITION CONCURRENTLY has left: a partition that belongs to its table no more, though it is still kept
// there, is finished off.
func (r *run) detached(ctx context.Context, was *before) (*database.Outcome, error) {
	if was.Object == 0 {
		return notHappened("there was no such partition"), nil
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
				o = happened("it was interrupted when the partition was all but detached", "ALTER TABLE "+table.String()+" DETACH PARTITION "+partition.String()+" FINALIZE")
			}
			return row.err
		},
	})
	return o, err
}
