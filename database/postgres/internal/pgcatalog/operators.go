package pgcatalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

const (
	pgCast     oid = 2605
	pgOperator oid = 2617
	pgOpclass  oid = 2616
	pgOpfamily oid = 2753
	pgAmop     oid = 2602
	pgAmproc   oid = 2603
)

func (r *Reader) askOperators() {
	const other = `CASE WHEN %[1]s <> 0 THEN '%[2]s = ' || (SELECT 'OPERATOR(' || quote_ident(n.nspname) || '.' || x.oprname || ')' FROM pg_operator x JOIN pg_namespace n ON n.oid = x.oprnamespace WHERE x.oid = %[1]s) END`
	r.ask(`SELECT o.oid, o.oprnamespace, o.oprname, '(' || coalesce(t.l, 'NONE') || ', ' || coalesce(t.r, 'NONE') || ')', json_build_array(
	'FUNCTION = ' || o.oprcode::regproc, 'LEFTARG = ' || t.l, 'RIGHTARG = ' || t.r,
	`+fmt.Sprintf(other, "o.oprcom", "COMMUTATOR")+`, `+fmt.Sprintf(other, "o.oprnegate", "NEGATOR")+`,
	CASE WHEN o.oprrest <> 0 THEN 'RESTRICT = ' || o.oprrest::regproc END, CASE WHEN o.oprjoin <> 0 THEN 'JOIN = ' || o.oprjoin::regproc END,
	CASE WHEN o.oprcanhash THEN 'HASHES' END, CASE WHEN o.oprcanmerge THEN 'MERGES' END)
FROM pg_operator o CROSS JOIN LATERAL (SELECT CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END, CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END) AS t (l, r)
WHERE o.oprnamespace IN {schemas} AND o.oprcode <> 0 AND {none pg_operator o.oid}`, func(a *row) {
		id := a.oid()
		o := catalog.Object{Kind: catalog.Operator, Schema: r.schemas[a.oid()], Name: a.text(), Signature: a.text()}
		s := a.settings()
		name := "OPERATOR " + r.quote(o.Schema) + "." + o.Name
		o.Attrs, o.SQL = s.attrs(), []string{"CREATE " + name + s.inParens()}
		r.define(obj{pgOperator, id}, o, name+" "+o.Signature)
	})
	if r.wholeDatabase() {
		r.defineAll(pgCast, catalog.Cast, `SELECT c.oid, 0, NULL, '(' || format_type(c.castsource, NULL) || ' AS ' || format_type(c.casttarget, NULL) || ')', NULL,
	CASE c.castmethod WHEN 'f' THEN 'WITH FUNCTION ' || c.castfunc::regprocedure WHEN 'i' THEN 'WITH INOUT' ELSE 'WITHOUT FUNCTION' END ||
	CASE c.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END
FROM pg_cast c WHERE c.oid >= `+firstNormal+` AND {none pg_cast c.oid}`)
	}
	r.askFamilies()
}

// family is an operator family or class.
type family struct {
	oid           oid
	class         oid // pg_opfamily or pg_opclass
	schema, name  string
	method        string
	inFamily, typ string // of a class
	storage       string
	isDefault     bool
	members       []string // operators, then support functions
}

func (r *Reader) askFamilies() {
	families := map[obj]*family{}
	r.ask(`SELECT 'pg_opfamily'::regclass::oid, f.oid, f.opfnamespace, f.opfname, m.amname, NULL, NULL, NULL, false
	FROM pg_opfamily f JOIN pg_am m ON m.oid = f.opfmethod WHERE f.opfnamespace IN {schemas} AND {none pg_opfamily f.oid}
UNION ALL SELECT 'pg_opclass'::regclass, c.oid, c.opcnamespace, c.opcname, m.amname,
	(SELECT quote_ident(n.nspname) || '.' || quote_ident(f.opfname) FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace WHERE f.oid = c.opcfamily),
	format_type(c.opcintype, NULL), CASE WHEN c.opckeytype <> 0 THEN format_type(c.opckeytype, NULL) END, c.opcdefault
	FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod WHERE c.opcnamespace IN {schemas} AND {none pg_opclass c.oid}`, func(a *row) {
		f := &family{class: a.oid(), oid: a.oid(), schema: r.schemas[a.oid()], name: a.text(), method: a.text(), inFamily: a.text(), typ: a.text(), storage: a.text(), isDefault: a.bool()}
		families[obj{f.class, f.oid}] = f
		r.build(func(b *builder) { b.family(f) })
	})
	r.askMembers(families, pgAmop, `SELECT d.refclassid, d.refobjid, 'OPERATOR ' || p.amopstrategy || ' ' || p.amopopr::regoperator ||
	CASE WHEN p.amopsortfamily <> 0 THEN (SELECT ' FOR ORDER BY ' || quote_ident(n.nspname) || '.' || quote_ident(f.opfname) FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace WHERE f.oid = p.amopsortfamily) ELSE '' END, p.oid
FROM pg_amop p JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = p.oid AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
WHERE p.oid >= `+firstNormal+` ORDER BY p.amopstrategy, 3`)
	r.askMembers(families, pgAmproc, `SELECT d.refclassid, d.refobjid, 'FUNCTION ' || p.amprocnum || ' (' || format_type(p.amproclefttype, NULL) || ', ' || format_type(p.amprocrighttype, NULL) || ') ' || p.amproc::regprocedure, p.oid
FROM pg_amproc p JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = p.oid AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
WHERE p.oid >= `+firstNormal+` ORDER BY p.amprocnum, 3`)
}

// askMembers queries operators, or support functions, of families and classes.
func (r *Reader) askMembers(families map[obj]*family, class oid, sql string) {
	r.ask(sql, func(a *row) {
		key, text, id := obj{a.oid(), a.oid()}, a.text(), a.oid()
		if f := families[key]; f != nil && !slices.Contains(f.members, text) {
			f.members = append(f.members, text)
			r.build(func(b *builder) { b.at[obj{class, id}] = b.at[key] })
		}
	})
}

func (b *builder) family(f *family) {
	o := &catalog.Object{Kind: catalog.OperatorFamily, Schema: f.schema, Name: f.name, Signature: " USING " + f.method}
	name, using := b.r.qualified(f.schema, f.name), " USING "+b.r.quote(f.method)
	members := slices.Clone(f.members)
	o.Set("members", strings.Join(members, ", "))
	c := creation{Object: o, sql: "CREATE OPERATOR FAMILY " + name + using}
	if f.class == pgOpclass {
		o.Kind, c.sql = catalog.OperatorClass, "CREATE OPERATOR CLASS "+name
		o.Set("type", f.typ)
		o.Set("family", f.inFamily)
		o.Set("storage", f.storage)
		c.flag(f.isDefault, "default", " DEFAULT")
		if f.storage != "" || len(members) == 0 {
			members = append(members, "STORAGE "+cmp.Or(f.storage, f.typ))
		}
		c.sql += " FOR TYPE " + f.typ + using + " FAMILY " + f.inFamily + " AS\n    " + strings.Join(members, ",\n    ")
	} else if len(members) > 0 {
		o.Late = []string{"ALTER OPERATOR FAMILY " + name + using + " ADD\n    " + strings.Join(members, ",\n    ")}
	}
	o.SQL = []string{c.sql}
	b.add(obj{f.class, f.oid}, o, strings.ToUpper(string(o.Kind))+" "+name+using)
}
