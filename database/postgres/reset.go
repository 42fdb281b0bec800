package postgres

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres/internal/pgcatalog"
	"github.com/whimbrel-db/whimbrel/migration"
)

// Reset drops the objects in the schemas, but nothing of others that depends on them.
//
// It first locks the tables, so that no new dependencies can appear. Then it checks whether any
// object that stays depends on one to drop. Only if none does, it drops the objects: newest first
// and without CASCADE, or with CASCADE if they depend on each other in a cycle.
func (b *transaction) Reset(ctx context.Context, schemas []string, e database.Entry) (*database.Emptied, error) {
	ctx, leave, err := b.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	if err := b.flush(ctx); err != nil {
		return nil, err
	}
	r := &resetter{transaction: b, schemas: append(slices.Clone(schemas), b.schema)}
	for _, step := range []func(context.Context) error{
		r.lockSets, r.find, r.lockTables, r.checkUses, r.drop, r.dropSchemas, r.endBackfills, r.checkSets,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return &r.out, r.record(ctx, e)
}

// resetter is one Reset in progress.
type resetter struct {
	*transaction
	schemas []string
	objects []object // to drop
	out     database.Emptied
}

// object is an object to drop.
type object struct {
	database.Object
	class, id string // its identity in the catalogs
	identity  string // as DROP names it
	table     bool   // it can be locked
}

// lockSets acquires the locks of all sets in the history and in the journal, trying each once.
func (r *resetter) lockSets(ctx context.Context) error {
	locked := ""
	r.out.Sets = nil
	err := r.c.pipeline(ctx, query{
		sql: `SELECT set_name, pg_catalog.pg_try_advisory_xact_lock(` + strings.ReplaceAll(lockKey, "$2::pg_catalog.text", "set_name") + `)
FROM (` + r.setsQuery() + ` UNION SELECT $2::text OFFSET 0) AS sets ORDER BY set_name COLLATE "C"`,
		args: []arg{r.own.historyID(), keptAsASCII(r.set)},
		row: func(row *row) error {
			set := row.kept()
			if !row.boolean() && locked == "" {
				locked = set
			}
			r.out.Sets = append(r.out.Sets, set)
			return row.err
		},
	})
	slices.Sort(r.out.Sets) // they may be escaped in the tables
	if err != nil || locked == "" {
		return err
	}
	return &database.LockedError{Set: locked, Holder: r.db.holder(ctx, r.c, r.own, locked)}
}

// setsQuery reads the sets in the history and in the journal.
func (r *resetter) setsQuery() string {
	return "SELECT DISTINCT set_name FROM " + table(r.schema, r.db.names.History) + " WHERE set_name <> '" + migration.ReservedSet +
		"' UNION SELECT set_name FROM " + table(r.schema, r.db.names.Journal) + " WHERE " + isOpen
}

// nameOf are the columns of i, from pg_identify_object, that readObject reads. Some names begin
// with that of the schema, already quoted.
const nameOf = `i.type, CASE WHEN pg_catalog.starts_with(i.identity, i.schema || '.') THEN i.schema END,
	CASE WHEN pg_catalog.starts_with(i.identity, i.schema || '.') THEN pg_catalog.substr(i.identity, pg_catalog.length(i.schema) + 2) ELSE i.identity END`

func readObject(row *row) database.Object {
	return database.Object{Type: row.text(), Schema: row.text(), Name: row.text()}
}

// findQuery lists the top-level objects of the schemas: objects that depend on a schema and are not
// an internal part of another. For each it returns the owner, if the role may not drop it. A
// superuser counts only as a member of roles granted to it.
//
// Casts and event triggers are in no schema; those that depend on listed objects are included.
const findQuery = `WITH RECURSIVE roles AS (
	SELECT oid, rolsuper AS super FROM pg_catalog.pg_roles WHERE rolname = current_user
	UNION SELECT m.roleid, r.super FROM roles r JOIN pg_catalog.pg_auth_members m ON m.member = r.oid
), inside AS (
	SELECT DISTINCT d.classid, d.objid FROM pg_catalog.pg_namespace n
	JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n'
	WHERE n.nspname = ANY ($1::text[])
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend i WHERE i.classid = d.classid AND i.objid = d.objid AND i.objsubid = 0 AND i.deptype IN ('i', 'e'))
	AND NOT (d.classid = 'pg_catalog.pg_class'::regclass AND n.nspname = $2
		AND (SELECT relname = ANY ($3::text[]) FROM pg_catalog.pg_class WHERE oid = d.objid))
), found AS (
	SELECT classid, objid FROM inside
	UNION SELECT d.classid, d.objid FROM inside i
	JOIN pg_catalog.pg_depend d ON d.refclassid = i.classid AND d.refobjid = i.objid
	AND d.classid IN ('pg_catalog.pg_cast'::regclass, 'pg_catalog.pg_event_trigger'::regclass)
	WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid AND e.objsubid = 0 AND e.deptype IN ('i', 'e'))
), owned AS (
	SELECT f.classid, f.objid, coalesce(s.refobjid, 10) AS owner FROM found f
	LEFT JOIN pg_catalog.pg_shdepend s ON s.classid = f.classid AND s.objid = f.objid AND s.objsubid = 0 AND s.deptype = 'o'
	AND s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
)
SELECT o.classid, o.objid, i.identity, ` + nameOf + `,
	CASE WHEN o.classid IN ('pg_catalog.pg_cast'::regclass, 'pg_catalog.pg_ts_parser'::regclass, 'pg_catalog.pg_ts_template'::regclass) THEN ''
	WHEN (SELECT bool_or(super) FROM roles) THEN CASE WHEN o.owner IN (SELECT oid FROM roles) THEN '' ELSE pg_catalog.pg_get_userbyid(o.owner) END
	WHEN pg_catalog.pg_has_role(o.owner, 'USAGE') THEN '' ELSE pg_catalog.pg_get_userbyid(o.owner) END AS whose,
	o.classid = 'pg_catalog.pg_class'::regclass AND (SELECT relkind IN ('r', 'p') FROM pg_catalog.pg_class WHERE oid = o.objid)
FROM owned o, pg_catalog.pg_identify_object(o.classid, o.objid, 0) i
ORDER BY o.objid::bigint DESC, o.classid`

// otherSchemas lists the other schemas that are not empty.
const otherSchemas = `SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_namespace n
WHERE n.nspname <> ALL ($1::text[]) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n')
AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_namespace'::regclass AND d.objid = n.oid AND d.deptype = 'e')
ORDER BY 1`

// inNoSchema lists user-defined objects outside schemas. A script that creates one fails when it
// runs again, so the result must name them.
const inNoSchema = `SELECT i.type, i.identity FROM (
	SELECT 'pg_catalog.pg_publication'::regclass AS classid, oid FROM pg_catalog.pg_publication
	UNION ALL SELECT 'pg_catalog.pg_foreign_data_wrapper'::regclass, oid FROM pg_catalog.pg_foreign_data_wrapper
	UNION ALL SELECT 'pg_catalog.pg_foreign_server'::regclass, oid FROM pg_catalog.pg_foreign_server
	UNION ALL SELECT 'pg_catalog.pg_event_trigger'::regclass, oid FROM pg_catalog.pg_event_trigger
) AS o, pg_catalog.pg_identify_object(o.classid, o.oid, 0) i
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.classid AND d.objid = o.oid AND d.deptype = 'e')
ORDER BY 1, 2`

// find lists the objects to drop and those that stay.
func (r *resetter) find(ctx context.Context) error {
	own := array(r.db.ownTables())
	err := r.c.pipeline(ctx, query{sql: findQuery, args: []arg{array(r.schemas), text(r.schema), own}, row: func(row *row) error {
		o := object{class: row.text(), id: row.text(), identity: row.text(), Object: readObject(row)}
		owner := row.text()
		o.table = row.boolean()
		switch {
		case o.Type == "extension":
			r.leave(o, "an extension and what it owns stay")
		case owner != "":
			r.leave(o, "it belongs to "+owner)
		default:
			r.objects = append(r.objects, o)
			r.out.Dropped = append(r.out.Dropped, o.Object)
		}
		return row.err
	}}, query{sql: otherSchemas, args: []arg{array(r.schemas)}, row: func(row *row) error {
		r.leave(object{Object: database.Object{Type: "schema", Name: row.text()}}, "the history does not cover it")
		return row.err
	}}, query{sql: inNoSchema, row: func(row *row) error {
		o := database.Object{Type: row.text(), Name: row.text()}
		known := func(other database.Object) bool { return other == o }
		if !slices.ContainsFunc(r.out.Dropped, known) &&
			!slices.ContainsFunc(r.out.Left, func(l database.Left) bool { return known(l.Object) }) {
			r.leave(object{Object: o}, "it is in no schema")
		}
		return row.err
	}})
	return err
}

func (r *resetter) leave(o object, why string) {
	r.out.Left = append(r.out.Left, database.Left{Object: o.Object, Why: why})
}

// lockTables locks the tables to drop.
func (r *resetter) lockTables(ctx context.Context) error {
	var names []string
	for _, o := range r.objects {
		if o.table {
			names = append(names, o.identity)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return r.c.pipeline(ctx, command("LOCK TABLE ONLY "+strings.Join(names, ", ONLY ")+" IN ACCESS EXCLUSIVE MODE"))
}

// usesQuery finds objects that stay and depend on one to drop. An object's parts are dropped with
// it: indexes, constraints, triggers, row types. An object with a schema of its own, such as a
// partition or statistics, is not a part.
var usesQuery = `WITH RECURSIVE gone AS (
	SELECT * FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::oid[])) AS g (classid, objid)
), part AS (
	SELECT classid, objid FROM gone
	UNION SELECT d.classid, d.objid FROM part p
	JOIN pg_catalog.pg_depend d ON d.refclassid = p.classid AND d.refobjid = p.objid
	WHERE d.deptype = 'i' OR d.deptype IN ('a', 'P', 'S') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend n
		WHERE n.classid = d.classid AND n.objid = d.objid AND n.refclassid = 'pg_catalog.pg_namespace'::regclass)
)
SELECT DISTINCT ` + nameOf + `, ` + nameOfOther + `
FROM part p JOIN pg_catalog.pg_depend d ON d.refclassid = p.classid AND d.refobjid = p.objid AND d.deptype IN ('n', 'a', 'i', 'P', 'S')
LEFT JOIN pg_catalog.pg_rewrite w ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND w.oid = d.objid,
	pg_catalog.pg_identify_object(CASE WHEN w.oid IS NULL THEN d.classid ELSE 'pg_catalog.pg_class'::regclass END, coalesce(w.ev_class, d.objid), d.objsubid) i,
	pg_catalog.pg_identify_object(p.classid, p.objid, d.refobjsubid) o
WHERE NOT EXISTS (SELECT FROM part x WHERE x.classid = d.classid AND x.objid = d.objid)
ORDER BY 3, 6`

var nameOfOther = strings.ReplaceAll(nameOf, "i.", "o.")

// checkUses returns an error if an object that stays depends on one to drop.
func (r *resetter) checkUses(ctx context.Context) error {
	var classes, ids []string
	for _, o := range r.objects {
		classes, ids = append(classes, o.class), append(ids, o.id)
	}
	var e database.InUseError
	err := r.c.pipeline(ctx, query{sql: usesQuery, args: []arg{array(classes), array(ids)}, row: func(row *row) error {
		e.Uses = append(e.Uses, database.Use{By: readObject(row), Of: readObject(row)})
		return row.err
	}})
	if err == nil && len(e.Uses) > 0 {
		return &e
	}
	return err
}

// drop drops the objects.
func (r *resetter) drop(ctx context.Context) error {
	if err := r.c.pipeline(ctx, command("SAVEPOINT whimbrel_reset")); err != nil {
		return err
	}
	err := r.dropAll(ctx, "RESTRICT")
	if hasCode(err, "2BP01") { // they depend on each other in a cycle, or were created out of order
		if err := r.c.pipeline(ctx, command("ROLLBACK TO whimbrel_reset")); err != nil {
			return err
		}
		if err := r.lockTables(ctx); err != nil {
			return err
		}
		if err := r.checkUses(ctx); err != nil {
			return err
		}
		err = r.dropAll(ctx, "CASCADE")
	}
	return err
}

func (r *resetter) dropAll(ctx context.Context, how string) error {
	for some := range slices.Chunk(r.objects, queueQueries) {
		var queries []query
		for _, o := range some {
			queries = append(queries, silent(fmt.Sprintf("DROP %s IF EXISTS %s %s", dropWord(o.Type), o.identity, how)))
		}
		if err := r.c.pipeline(ctx, queries...); err != nil {
			return err
		}
	}
	return nil
}

// dropWord returns the object type as in DROP.
func dropWord(kind string) string { return cmp.Or(dropWords[kind], strings.ToUpper(kind)) }

var dropWords = map[string]string{
	"function": "ROUTINE", "procedure": "ROUTINE", "aggregate": "ROUTINE", "composite type": "TYPE", "statistics object": "STATISTICS",
}

// dropSchemas drops the schemas except Whimbrel's own, if the role owns them and they are empty.
func (r *resetter) dropSchemas(ctx context.Context) error {
	var drops []query
	err := r.c.pipeline(ctx, query{
		sql: `SELECT pg_catalog.quote_ident(nspname), EXISTS (SELECT FROM pg_catalog.pg_depend d
	WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid AND d.deptype = 'n')
FROM pg_catalog.pg_namespace n WHERE nspname = ANY ($1::text[]) AND nspname NOT IN ($2, 'public', 'information_schema') AND nspname !~ '^pg_'
AND pg_catalog.pg_has_role(nspowner, 'USAGE') ORDER BY nspname`,
		args: []arg{array(r.schemas), text(r.schema)},
		row: func(row *row) error {
			o := object{Object: database.Object{Type: "schema", Name: row.text()}}
			if row.boolean() {
				r.leave(o, "it is not empty")
				return row.err
			}
			drops = append(drops, silent("DROP SCHEMA "+o.Name+" RESTRICT"))
			r.out.Dropped = append(r.out.Dropped, o.Object)
			return row.err
		},
	})
	if err != nil {
		return err
	}
	return r.c.pipeline(ctx, drops...)
}

// checkSets returns an error if a set appeared whose lock was not acquired: some of its objects may
// have been dropped.
func (r *resetter) checkSets(ctx context.Context) error {
	var sets []string
	err := r.c.pipeline(ctx, query{
		sql: r.setsQuery(),
		row: func(row *row) error {
			sets = append(sets, row.kept())
			return row.err
		},
	})
	if more := added(sets, r.out.Sets); err == nil && len(more) > 0 {
		return &database.LockedError{Set: more[0]}
	}
	return err
}

// record queues the entries. The Tx's own set is last, since the head derives from it.
func (r *resetter) record(ctx context.Context, e database.Entry) error {
	e.Version, e.Direction = database.NilVersion, database.Reset
	for _, set := range append(added(r.out.Sets, []string{r.set}), r.set) {
		e.Set = set
		if err := r.add(ctx, r.db.recordQuery(r.schema, e, sinceBegin, func(e database.Entry) { r.recorded = append(r.recorded, e) }), r.endQuery(e)); err != nil {
			return err
		}
	}
	return nil
}

// array formats names as a PostgreSQL array.
func array(names []string) arg { return pgcatalog.TextArray(append([]string{}, names...)) }
