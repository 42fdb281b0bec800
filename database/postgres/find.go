package postgres

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
)

// Nearly always, Whimbrel's tables are as Whimbrel created them, once in the database. quickQuery
// recognises that, and costs a small part of tablesQuery, most of which is planning. Whenever it is
// not sure, tablesQuery decides and explains.

// quickQuery finds Whimbrel's tables if they are certainly those, and certainly usable. Its
// parameters are those of tablesQuery with steerPath, but $4 has the columns as one text for each
// table. It returns how many relations have the names, the tables if it is sure, and, if no
// relation has the names, whether the database has no tables and views at all. It also sets the
// search path of the following queries.
//
// It is the first query of a session, so reading the catalogs that it names costs more than the
// query: it names as few as it can. A schema is shown as it would be quoted.
//
// A table's own dependencies, and those of its defaults, constraints, indexes and statistics, show
// whether it can execute code. The dependency on another table is that of a child table.
const quickQuery = `SELECT pg_catalog.current_database(), current_user, pg_catalog.pg_backend_pid(), f.total, f.schema, f.tables,
	CASE WHEN f.total = 0 THEN NOT EXISTS (SELECT FROM pg_catalog.pg_class u WHERE u.oid >= 16384 AND u.relkind IN ('r', 'p', 'v', 'm', 'f')) END,
	pg_catalog.set_config('search_path', CASE WHEN f.tables IS NULL THEN 'pg_catalog, pg_temp' ELSE f.schema || ', pg_temp' END, true),
	pg_catalog.set_config('lock_timeout', $5, true)
FROM (
	SELECT pg_catalog.count(*) AS total, pg_catalog.min(r.schema) AS schema, CASE WHEN pg_catalog.bool_and(r.sure) AND pg_catalog.min(r.schema) = pg_catalog.max(r.schema)
		AND pg_catalog.count(*) FILTER (WHERE r.role <= 3) = 3 THEN pg_catalog.json_agg(pg_catalog.json_build_object('role', r.role, 'name', r.name, 'oid', r.oid::bigint,
			'owner', pg_catalog.pg_get_userbyid(r.owner), 'owner_id', r.owner::bigint)) END AS tables
	FROM (
		SELECT pg_catalog.array_position($1::name[], c.relname) AS role, c.relnamespace::regnamespace::text AS schema, c.relname AS name, c.oid, c.relowner AS owner,
			c.relkind = 'r' AND c.relpersistence = 'p' AND NOT (c.relispartition OR c.relhassubclass OR c.relhastriggers OR c.relhasrules OR c.relrowsecurity)
			AND (pg_catalog.pg_get_userbyid(c.relowner) = $3::text::name OR CASE WHEN pg_catalog.current_setting('is_superuser') = 'on'
				THEN pg_catalog.pg_get_userbyid(c.relowner) = current_user
				ELSE pg_catalog.pg_has_role(c.relowner, 'USAGE') OR c.relowner = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) END)
			AND pg_catalog.has_schema_privilege(c.relnamespace, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
			AND (SELECT pg_catalog.string_agg(pg_catalog.concat(a.attname, a.attidentity), ' ') FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
				= ($4::text[])[pg_catalog.array_position($1::name[], c.relname)]
			AND NOT EXISTS (SELECT FROM (
					SELECT 'pg_catalog.pg_class'::regclass::oid AS classid, c.oid AS objid
					UNION ALL SELECT 'pg_catalog.pg_class'::regclass, i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid
					UNION ALL SELECT k.classid, k.objid FROM pg_catalog.pg_depend k WHERE k.refclassid = 'pg_catalog.pg_class'::regclass AND k.refobjid = c.oid AND k.deptype IN ('a', 'i')
				) AS o CROSS JOIN LATERAL (
					SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid
					AND (d.refobjid >= 16384 AND d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_type'::regclass, 'pg_catalog.pg_opclass'::regclass)
						OR d.refclassid = 'pg_catalog.pg_class'::regclass AND o.objid = c.oid AND o.classid = 'pg_catalog.pg_class'::regclass) OFFSET 0
				) AS code) AS sure
		FROM pg_catalog.pg_class c WHERE c.relname = ANY ($1::name[]) AND c.relkind NOT IN ('i', 'I', 'S', 't')
		AND c.relnamespace::regnamespace::text !~ '^"?(pg_|information_schema"?$)' AND ($2::text = '' OR c.relnamespace::regnamespace::text = pg_catalog.quote_ident($2::text))
	) AS r
) AS f`

// quick returns the query that finds the tables if it is sure of them, and sets the search path of
// the queries after it. It must be first in a pipeline that is a transaction of its own.
func (f *finder) quick(c *conn) query {
	return query{
		sql:   quickQuery,
		args:  f.quickArgs(),
		quiet: true,
		often: true,
		row: func(r *row) error {
			f.asked, f.database, f.user = true, r.text(), r.text()
			c.prepareFromNowOn(r.number())
			total, schema, doc := r.number(), r.text(), r.bytes()
			f.bare = r.boolean()
			if f.unsure = total > 0 && doc == nil; total == 0 || f.unsure {
				return r.err
			}
			if err := json.Unmarshal(doc, &f.relations); err != nil {
				return fmt.Errorf("reading where Whimbrel's tables are: %w", err)
			}
			for i := range f.relations {
				t := &f.relations[i]
				t.Schema, t.Kind = unquoted(schema), "r"
				t.Trusted, t.Usage, t.Readable, t.Fits, t.Made = true, true, true, true, true
			}
			return r.err
		},
	}
}

// quickArgs are the parameters of quickQuery.
func (f *finder) quickArgs() []arg {
	return append(f.chosen(), quickColumns(), number(f.db.lockTimeout().Milliseconds()))
}

// quickColumns are the columns of each table as the server joins them in quickQuery: each name, and
// behind it "a" if the column is GENERATED ALWAYS AS IDENTITY.
var quickColumns = sync.OnceValue(func() arg {
	var all []string
	for i, columns := range columnsOfTables() {
		if i == 0 {
			columns[0] += "a" // the id
		}
		all = append(all, strings.Join(columns, " "))
	}
	return array(all)
})

// unquoted returns an identifier that the server may have quoted.
func unquoted(name string) string {
	if !strings.HasPrefix(name, `"`) {
		return name
	}
	return strings.ReplaceAll(name[1:len(name)-1], `""`, `"`)
}
