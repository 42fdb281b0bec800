package pgcatalog

import (
	"maps"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// othersPrivileges are the privileges on an object that is not part of the snapshot: a built-in
// function, or a table of an extension.
type othersPrivileges struct {
	key        obj
	kind, name string // from pg_identify_object: "function", "pg_catalog.pg_ls_dir(text)"
	columns    map[string]*privileges
}

// askOthersPrivileges queries privileges that were granted or revoked after the server or the
// extension was installed. pg_init_privs has the initial ones, except those of information_schema.
func (r *Reader) askOthersPrivileges() {
	if r.opts.NoGrants || !r.wholeDatabase() {
		return
	}
	all := map[obj]*othersPrivileges{}
	r.ask(`WITH lists AS (
	SELECT 'pg_class'::regclass::oid AS class, oid, 0 AS sub, NULL AS col, relowner AS owner, relacl AS acl, acldefault(CASE WHEN relkind = 'S' THEN 's' ELSE 'r' END::"char", relowner) AS usual FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relnamespace <> 'information_schema'::regnamespace
	UNION ALL SELECT 'pg_class'::regclass, a.attrelid, a.attnum, quote_ident(a.attname), c.relowner, a.attacl, acldefault('c', c.relowner) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE NOT a.attisdropped AND a.attacl IS NOT NULL AND c.relnamespace <> 'information_schema'::regnamespace
	UNION ALL SELECT 'pg_proc'::regclass, oid, 0, NULL, proowner, proacl, acldefault('f', proowner) FROM pg_proc
	UNION ALL SELECT 'pg_type'::regclass, oid, 0, NULL, typowner, typacl, acldefault('T', typowner) FROM pg_type WHERE typacl IS NOT NULL
	UNION ALL SELECT 'pg_namespace'::regclass, oid, 0, NULL, nspowner, nspacl, acldefault('n', nspowner) FROM pg_namespace WHERE nspname NOT IN ('public', 'information_schema')
	UNION ALL SELECT 'pg_language'::regclass, oid, 0, NULL, lanowner, lanacl, acldefault('l', lanowner) FROM pg_language
	UNION ALL SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0, NULL, fdwowner, fdwacl, acldefault('F', fdwowner) FROM pg_foreign_data_wrapper
	UNION ALL SELECT 'pg_foreign_server'::regclass, oid, 0, NULL, srvowner, srvacl, acldefault('S', srvowner) FROM pg_foreign_server
), others AS (
	SELECT l.class, l.oid, l.sub, l.col, l.owner, coalesce(l.acl, l.usual) AS acl, coalesce(i.initprivs, l.usual) AS usual
	FROM lists l LEFT JOIN pg_init_privs i ON i.classoid = l.class AND i.objoid = l.oid AND i.objsubid = l.sub
	WHERE l.acl::text IS DISTINCT FROM i.initprivs::text
		AND (l.oid < `+firstNormal+` OR EXISTS (SELECT FROM pg_depend e WHERE e.classid = l.class AND e.objid = l.oid AND e.deptype = 'e'))
)
SELECT o.class, o.oid, d.type, d.identity, o.col, u.usual, CASE WHEN x.grantee = o.owner THEN 0 WHEN x.grantee = 0 THEN 1 ELSE 2 END, CASE WHEN x.grantee NOT IN (0, o.owner) THEN pg_get_userbyid(x.grantee) END,
	x.privilege_type, x.is_grantable AND x.grantee <> o.owner
FROM others o CROSS JOIN (VALUES (false), (true)) u (usual) CROSS JOIN LATERAL pg_identify_object(o.class, o.oid, 0) d
LEFT JOIN LATERAL aclexplode(CASE WHEN u.usual THEN o.usual ELSE o.acl END) x ON true`, func(a *row) {
		key, kind, name, column := obj{a.oid(), a.oid()}, a.text(), a.text(), a.text()
		p := all[key]
		if p == nil {
			p = &othersPrivileges{key: key, kind: kind, name: name, columns: map[string]*privileges{}}
			all[key] = p
		}
		if p.columns[column] == nil {
			p.columns[column] = newPrivileges()
		}
		p.columns[column].row(a)
	})
	r.build(func(b *builder) {
		for _, p := range all {
			b.othersPrivileges(p)
		}
	})
}

func (b *builder) othersPrivileges(p *othersPrivileges) {
	o := &catalog.Object{Kind: catalog.Privileges, Name: "on", Signature: " " + p.kind + " " + p.name}
	if p.kind == "function" && strings.HasPrefix(p.name, "pg_temp") {
		return
	}
	for _, column := range slices.Sorted(maps.Keys(p.columns)) {
		s := grantSQL{r: b.r, on: grantWord(strings.ToUpper(p.kind) + " " + p.name), owner: "CURRENT_USER"}
		if column != "" {
			s.columns, s.of = " ("+column+")", "column "+column+": "
		}
		s.all(o, p.columns[column])
	}
	if len(o.Attrs) > 0 {
		b.objects = append(b.objects, o)
	}
}
