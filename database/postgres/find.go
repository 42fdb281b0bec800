package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// Nearly always, Whimbrel's tables are as Whimbrel created them, once in the database. quickQuery
// recognises that, and costs a small part of tablesQuery, most of which is planning. Whenever it is
// not sure, tablesQuery decides and explains.

const (
	// aboutSession are columns that need no table. The last four are those of aboutServer: being the
	// first query of a session, it names as few functions as it can.
	aboutSession = `SELECT current_catalog, current_user, pg_catalog.pg_backend_pid(), pg_catalog.current_schemas(false), pg_catalog.set_config('lock_timeout', $1, true),
	pg_catalog.pg_is_in_recovery(), pg_catalog.pg_postmaster_start_time(), pg_catalog.inet_server_addr(), pg_catalog.inet_server_port()`
	// pinAfter sets the path of quickQuery after the schemas of the search path are read.
	pinAfter = `, pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)`
)

// quickQuery finds Whimbrel's tables if they are certainly those, and certainly usable. $1 has the
// names in the order of the roles, $2 the requested schema or "", $3 the role that Options trust.
// It returns each relation with one of the names, and the search path that it leaves for the
// following queries: the schema of the relations, or unsurePath if one of them is not certainly
// safe to read. The caller checks the columns, and whether the relations are all in one schema.
//
// It is the first query of a session, so reading the catalogs that it names costs more than the
// query: it names as few as it can, functions as well. Numbers are in quotes, which makes them
// OIDs: for an integer, the server looks at all operators of the name. A schema is shown as it
// would be quoted. The schemas that initdb creates, except public (2200), have lower numbers than
// those of users.
//
// What a table and its defaults, constraints, indexes and statistics depend on shows whether it can
// execute code: functions (1255), operators (2617), types (1247) and operator classes (2616). A
// table (1259) that depends on another table is a child table. CASE keeps the planner from reading
// statistics about the columns.
const quickQuery = `SELECT c.relname, c.relnamespace::regnamespace::text, c.oid, pg_catalog.pg_get_userbyid(c.relowner), c.relowner,
	ARRAY(SELECT pg_catalog.concat(a.attname, a.attidentity) FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid),
	pg_catalog.set_config('search_path', CASE WHEN pg_catalog.current_setting('search_path') <> '` + unsurePath + `'
		AND c.relkind = 'r' AND c.relpersistence = 'p' AND NOT (c.relispartition OR c.relhassubclass OR c.relhastriggers OR c.relhasrules OR c.relrowsecurity)
		AND (pg_catalog.pg_get_userbyid(c.relowner) = $3::text::name OR CASE WHEN pg_catalog.current_setting('is_superuser') = 'on'
			THEN pg_catalog.pg_get_userbyid(c.relowner) = current_user
			ELSE pg_catalog.pg_has_role(c.relowner, 'USAGE') OR c.relowner = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) END)
		AND pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
		AND NOT EXISTS (SELECT FROM (
				SELECT '1259'::oid AS classid, c.oid AS objid
				UNION ALL SELECT '1259', i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid
				UNION ALL SELECT k.classid, k.objid FROM pg_catalog.pg_depend k WHERE k.refclassid = '1259' AND k.refobjid = c.oid AND k.deptype IN ('a', 'i')
			) AS o CROSS JOIN LATERAL (
				SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid AND CASE WHEN d.refclassid = '1259' THEN o.objid = c.oid AND o.classid = '1259'
					WHEN d.refobjid >= '16384' THEN d.refclassid IN ('1255', '2617', '1247', '2616') END OFFSET 0
			) AS code)
		THEN c.relnamespace::regnamespace::text || ', pg_temp' ELSE '` + unsurePath + `' END, true)
FROM pg_catalog.pg_class c WHERE c.relname = ANY ($1::name[]) AND c.relkind NOT IN ('i', 'I', 'S', 't') AND c.relpersistence <> 't'
	AND (c.relnamespace >= '16384' OR c.relnamespace = '2200') AND ($2::text = '' OR c.relnamespace::regnamespace::text = pg_catalog.quote_ident($2::text))`

// bareQuery finds out whether the database has no tables and views at all.
func bareQuery(bare *bool) query {
	return query{
		sql: `SELECT NOT EXISTS (SELECT FROM pg_catalog.pg_class u WHERE u.oid >= '16384' AND u.relkind IN ('r', 'p', 'v', 'm', 'f'))`,
		row: into(bare),
	}
}

// unsurePath is the search path that quickQuery leaves if it found a relation that it is not sure
// of. The server looks up nothing else in it than in the pinned path.
const unsurePath = "pg_catalog, pg_temp, pg_temp"

// quick returns the queries that find the tables if they are sure of them, and set the search path
// of the queries after them. If steer is set, they must be first in a pipeline that is a
// transaction of its own.
func (f *finder) quick(c *conn, steer bool) []query {
	about := query{
		sql:     aboutSession,
		args:    []arg{number(f.db.lockTimeout().Milliseconds())},
		formats: []int16{0, 0, 0, 1, 0, 0, 1, 0, 0},
		path:    callers,
		quiet:   true,
		often:   true,
		row: func(r *row) error {
			f.database, f.user = r.text(), r.text()
			c.prepareFromNowOn(r.number())
			f.first = firstPermanent(r.names())
			r.text()
			c.onServer(server{standby: r.boolean(), started: hex.EncodeToString(r.bytes()), address: hostPort(r.text(), r.text())})
			return r.err
		},
	}
	find := query{
		sql:     quickQuery,
		args:    f.chosen(),
		formats: []int16{0, 0, 0, 0, 0, 1, 0},
		quiet:   true,
		often:   true,
		row:     f.quickRow,
		// only a whole answer tells that there are no tables
		done: func(pgconn.CommandTag) error {
			f.asked = true
			return nil
		},
	}
	if steer {
		about.sql, about.formats, find.path = about.sql+pinAfter, append(about.formats, 0), found
	}
	return []query{about, find}
}

// hostPort returns an address and a port as aboutServer does; both are "" on a Unix socket.
func hostPort(host, port string) string {
	if host == "" {
		return ""
	}
	return host + ":" + port
}

// quickRow reads a row of quickQuery.
func (f *finder) quickRow(r *row) error {
	t := ownTable{Name: r.text(), Schema: unquoted(r.text()), OID: r.number(), Owner: r.text(), OwnerID: r.number(), Kind: "r"}
	if t.Role = role(1 + slices.Index(f.db.ownTables(), t.Name)); t.Role == 0 {
		return fmt.Errorf("the server found a table %q, which was not asked for", t.Name)
	}
	columns := r.names()
	t.Trusted, t.Usage, t.Readable = true, true, true
	t.Fits = !slices.ContainsFunc(quickColumns()[t.Role-1], func(name string) bool { return !slices.Contains(columns, name) })
	t.Made = t.Fits
	f.unsure = f.unsure || !t.Fits || r.text() == unsurePath || len(f.relations) > 0 && f.relations[0].Schema != t.Schema
	f.relations = append(f.relations, t)
	return r.err
}

// sure reports whether quickQuery found all tables or none, and is sure of them.
func (f *finder) sure() bool {
	found := 0
	for _, t := range f.relations {
		if t.Role <= journal {
			found++
		}
	}
	return !f.unsure && (len(f.relations) == 0 || found == 3)
}

// firstPermanent returns the first schema for permanent tables; "" for none.
func firstPermanent(schemas []string) string {
	i := slices.IndexFunc(schemas, func(s string) bool { return !strings.HasPrefix(s, "pg_") })
	if i < 0 {
		return ""
	}
	return schemas[i]
}

// names reads an array of names in binary form.
func (r *row) names() (all []string) {
	const head = 20 // dimensions, nulls, type, length, first index
	b := r.bytes()
	for b = b[min(head, len(b)):]; len(b) >= 4; {
		n := int(binary.BigEndian.Uint32(b))
		if b = b[4:]; n > len(b) {
			break
		}
		all, b = append(all, string(b[:n])), b[n:]
	}
	return all
}

// quickColumns are the columns of each table as quickQuery returns them: each name, and behind it
// "a" if the column is GENERATED ALWAYS AS IDENTITY.
var quickColumns = sync.OnceValue(func() [][]string {
	all := columnsOfTables()
	all[0][0] += "a" // the id
	return all
})

// unquoted returns an identifier that the server may have quoted.
func unquoted(name string) string {
	if !strings.HasPrefix(name, `"`) {
		return name
	}
	return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
}
