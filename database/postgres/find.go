package postgres

import (
	"encoding/json"
	"fmt"
)

// Nearly always, Whimbrel's tables are as Whimbrel created them, once in the database. quickQuery
// recognises that, and costs a small part of tablesQuery, most of which is planning. Whenever it is
// not sure, tablesQuery decides and explains.

// quickQuery finds Whimbrel's tables if they are certainly those, and certainly usable. Its
// parameters are those of tablesQuery with steerPath; it returns how many relations have the names,
// and the tables if it is sure. It also sets the search path of the following queries.
//
// A table's own dependencies, and those of its defaults, constraints, indexes and statistics, show
// whether it can execute code. The dependency on another table is that of a child table.
const quickQuery = `SELECT pg_catalog.current_database(), current_user, pg_catalog.pg_backend_pid(), f.total, f.tables,
	pg_catalog.set_config('search_path', CASE WHEN f.tables IS NULL THEN 'pg_catalog, pg_temp' ELSE pg_catalog.quote_ident(f.schema) || ', pg_temp' END, true),
	pg_catalog.set_config('lock_timeout', $5, true)
FROM (
	SELECT pg_catalog.count(*) AS total, pg_catalog.min(r.schema) AS schema, CASE WHEN pg_catalog.bool_and(r.sure) AND pg_catalog.min(r.schema) = pg_catalog.max(r.schema)
		AND pg_catalog.count(*) FILTER (WHERE r.role <= 3) = 3 THEN pg_catalog.json_agg(pg_catalog.json_build_object('role', r.role, 'schema', r.schema, 'name', r.name,
			'oid', r.oid, 'kind', 'r', 'owner', pg_catalog.pg_get_userbyid(r.owner), 'owner_id', r.owner::bigint)) END AS tables
	FROM (
		SELECT n.role, s.nspname::text AS schema, c.relname AS name, c.oid::bigint AS oid, c.relowner AS owner,
			c.relkind = 'r' AND c.relpersistence = 'p' AND NOT (c.relispartition OR c.relhassubclass OR c.relhastriggers OR c.relhasrules OR c.relrowsecurity)
			AND (pg_catalog.pg_get_userbyid(c.relowner) = $3::text::name OR CASE WHEN pg_catalog.current_setting('is_superuser') = 'on'
				THEN c.relowner = pg_catalog.to_regrole(pg_catalog.quote_ident(current_user))::oid
				ELSE pg_catalog.pg_has_role(c.relowner, 'USAGE') OR c.relowner = (SELECT datdba FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) END)
			AND pg_catalog.has_schema_privilege(s.oid, 'USAGE') AND pg_catalog.has_table_privilege(c.oid, 'SELECT')
			AND (SELECT pg_catalog.count(*) = pg_catalog.cardinality(n.columns) AND pg_catalog.bool_and(n.role <> 1 OR a.attname <> 'id' OR a.attidentity <> '')
				FROM pg_catalog.pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (n.columns))
			AND NOT EXISTS (SELECT FROM (
					SELECT 'pg_catalog.pg_class'::regclass::oid AS classid, c.oid AS objid
					UNION ALL SELECT 'pg_catalog.pg_class'::regclass, i.indexrelid FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid
					UNION ALL SELECT k.classid, k.objid FROM pg_catalog.pg_depend k WHERE k.refclassid = 'pg_catalog.pg_class'::regclass AND k.refobjid = c.oid AND k.deptype IN ('a', 'i')
				) AS o CROSS JOIN LATERAL (
					SELECT FROM pg_catalog.pg_depend d WHERE d.classid = o.classid AND d.objid = o.objid
					AND (d.refobjid >= 16384 AND d.refclassid IN ('pg_catalog.pg_proc'::regclass, 'pg_catalog.pg_operator'::regclass, 'pg_catalog.pg_type'::regclass, 'pg_catalog.pg_opclass'::regclass)
						OR d.refclassid = 'pg_catalog.pg_class'::regclass AND o.objid = c.oid AND o.classid = 'pg_catalog.pg_class'::regclass) OFFSET 0
				) AS code) AS sure
		FROM (SELECT name, role, columns::name[] FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($4::text[])) WITH ORDINALITY AS u (name, columns, role)) AS n
		JOIN pg_catalog.pg_class c ON c.relname = n.name::name AND c.relkind NOT IN ('i', 'I', 'S', 't')
		JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace AND s.nspname !~ '^pg_' AND s.nspname <> 'information_schema' AND ($2::text = '' OR s.nspname = $2::text::name)
	) AS r
) AS f`

// quick returns the query that finds the tables if it is sure of them, and sets the search path of
// the queries after it. It must be first in a pipeline that is a transaction of its own.
func (f *finder) quick(c *conn) query {
	return query{
		sql:   quickQuery,
		args:  f.args(true),
		quiet: true,
		often: true,
		row: func(r *row) error {
			f.asked, f.database, f.user = true, r.text(), r.text()
			c.prepareFromNowOn(r.number())
			total, doc := r.number(), r.bytes()
			if f.unsure = total > 0 && doc == nil; total == 0 || f.unsure {
				return r.err
			}
			if err := json.Unmarshal(doc, &f.relations); err != nil {
				return fmt.Errorf("reading where Whimbrel's tables are: %w", err)
			}
			for i := range f.relations {
				t := &f.relations[i]
				t.Trusted, t.Usage, t.Readable, t.Fits, t.Made = true, true, true, true, true
			}
			return r.err
		},
	}
}
