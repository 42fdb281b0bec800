package pgcatalog

import (
	"slices"
	"strings"
)

// askOmitted queries objects and properties that a snapshot does not contain, to list them.
func (r *Reader) askOmitted() {
	const thisDatabase = `(SELECT oid FROM pg_database WHERE datname = current_database())`
	inSchemas := `SELECT 'tablespace ' || quote_ident(s.spcname) || ' of ' || pg_describe_object('pg_class'::regclass, c.oid, 0) FROM pg_class c JOIN pg_tablespace s ON s.oid = c.reltablespace
	WHERE c.relnamespace IN {schemas} AND c.relkind <> 't'
UNION ALL SELECT 'security label of ' || quote_ident(l.provider) || ' on ' || pg_describe_object(l.classoid, l.objoid, l.objsubid) FROM pg_seclabel l WHERE l.objoid >= ` + firstNormal
	inNone := `
UNION ALL SELECT 'user mapping of ' || quote_ident(m.usename) || ' on server ' || quote_ident(m.srvname) FROM pg_user_mappings m
UNION ALL SELECT 'subscription ' || quote_ident(s.subname) FROM pg_subscription s WHERE s.subdbid = ` + thisDatabase + `
UNION ALL SELECT 'large objects: ' || count(*) FROM pg_largeobject_metadata HAVING count(*) > 0
UNION ALL SELECT 'setting ' || split_part(c, '=', 1) || ' of ' || CASE WHEN s.setrole = 0 THEN 'the database' ELSE 'role ' || quote_ident(pg_get_userbyid(s.setrole)) || ' in the database' END
	FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) c WHERE s.setdatabase = ` + thisDatabase + `
UNION ALL SELECT pg_describe_object('pg_class'::regclass, c.oid, 0) || ' in a schema of the server' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname IN ('pg_catalog', 'information_schema') AND c.oid >= ` + firstNormal + ` AND c.relkind NOT IN ('i', 'I') AND {none pg_class c.oid}
UNION ALL SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0) || ' in a schema of the server' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
	WHERE n.nspname IN ('pg_catalog', 'information_schema') AND p.oid >= ` + firstNormal + ` AND {none pg_proc p.oid}`
	if !r.wholeDatabase() {
		inNone = ""
	}
	r.ask(inSchemas+inNone, func(a *row) { r.omitted = append(r.omitted, a.text()) })
}

// omits returns the list, with the objects that no order of statements can create.
func (r *Reader) omits(circular []string) []string {
	all := slices.Clone(r.omitted)
	slices.Sort(all)
	if len(circular) > 0 {
		slices.Sort(circular)
		all = append(all, "an order in which these can be created, since they need each other: "+strings.Join(circular, ", "))
	}
	return slices.Compact(all)
}
