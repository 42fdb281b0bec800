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
	const other = `CASE WHEN %[1]s <> 0 THEN (SELECT 'OPERATOR(' || quote_ident(n.nspname) || '.' || x.oprname || ')' FROM pg_operator x JOIN pg_namespace n ON n.oid = x.oprnamespace WHERE x.oid = %[1]s) END`
	r.ask(`SELECT o.oid, o.oprnamespace, o.oprname, CASE WHEN o.oprleft <> 0 THEN format_type(o.oprleft, NULL) END, CASE WHEN o.oprright <> 0 THEN format_type(o.oprright, NULL) END,
	o.oprcode::regproc, `+fmt.Sprintf(other, "o.oprcom")+`, `+fmt.Sprintf(other, "o.oprnegate")+`,
	CASE WHEN o.oprrest <> 0 THEN o.oprrest::regproc::text END, CASE WHEN o.oprjoin <> 0 THEN o.oprjoin::regproc::text END, o.oprcanhash, o.oprcanmerge
FROM pg_operator o WHERE o.oprnamespace IN {schemas} AND o.oprcode <> 0 AND {none pg_operator o.oid}`, func(a *row) {
		id, schema, name, left, right := a.oid(), r.schemas[a.oid()], a.text(), a.text(), a.text()
		var s settings
		s.add("FUNCTION", a.text())
		s.add("LEFTARG", left)
		s.add("RIGHTARG", right)
		s.add("COMMUTATOR", a.text())
		s.add("NEGATOR", a.text())
		s.add("RESTRICT", a.text())
		s.add("JOIN", a.text())
		s.flag("HASHES", a.bool())
		s.flag("MERGES", a.bool())
		none := func(t string) string {
			if t == "" {
				return "NONE"
			}
			return t
		}
		signature := "(" + none(left) + ", " + none(right) + ")"
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Operator, Schema: schema, Name: name, Signature: signature, Attrs: s.attrs()}
			o.SQL = []string{"CREATE OPERATOR " + r.quote(schema) + "." + name + " (" + s.list() + ")"}
			b.add(obj{pgOperator, id}, o, "OPERATOR "+r.quote(schema)+"."+name+" "+signature)
		})
	})
	r.askCasts()
	r.askFamilies()
}

func (r *Reader) askCasts() {
	if !r.wholeDatabase() {
		return
	}
	r.ask(`SELECT c.oid, format_type(c.castsource, NULL), format_type(c.casttarget, NULL), c.castcontext, c.castmethod,
	CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure::text END
FROM pg_cast c WHERE c.oid >= `+firstNormal+` AND {none pg_cast c.oid}`, func(a *row) {
		id, signature, context, method, function := a.oid(), "("+a.text()+" AS "+a.text()+")", a.char(), a.char(), a.text()
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Cast, Signature: signature}
			how := map[byte]string{'f': "WITH FUNCTION " + function, 'i': "WITH INOUT", 'b': "WITHOUT FUNCTION"}[method]
			as := map[byte]string{'a': " AS ASSIGNMENT", 'i': " AS IMPLICIT"}[context]
			o.Set("definition", how+as)
			o.SQL = []string{"CREATE CAST " + signature + " " + how + as}
			b.add(obj{pgCast, id}, o, "CAST "+signature)
		})
	})
}

// family is an operator family or class, with what was added to it.
type family struct {
	oid                oid
	class              oid // the catalogue that it is in
	schema, name       string
	method             string
	inFamily, typ      string // of a class
	storage            string
	isDefault          bool
	operators, support []string
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
	r.ask(`SELECT d.refclassid, d.refobjid, 'OPERATOR ' || p.amopstrategy || ' ' || p.amopopr::regoperator ||
	CASE WHEN p.amopsortfamily <> 0 THEN (SELECT ' FOR ORDER BY ' || quote_ident(n.nspname) || '.' || quote_ident(f.opfname) FROM pg_opfamily f JOIN pg_namespace n ON n.oid = f.opfnamespace WHERE f.oid = p.amopsortfamily) ELSE '' END, p.oid
FROM pg_amop p JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = p.oid AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
WHERE p.oid >= `+firstNormal+` ORDER BY p.amopstrategy, 3`, func(a *row) {
		key, text, id := obj{a.oid(), a.oid()}, a.text(), a.oid()
		if f := families[key]; f != nil && !slices.Contains(f.operators, text) {
			f.operators = append(f.operators, text)
			r.build(func(b *builder) { b.at[obj{pgAmop, id}] = b.at[key] })
		}
	})
	r.ask(`SELECT d.refclassid, d.refobjid, 'FUNCTION ' || p.amprocnum || ' (' || format_type(p.amproclefttype, NULL) || ', ' || format_type(p.amprocrighttype, NULL) || ') ' || p.amproc::regprocedure, p.oid
FROM pg_amproc p JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = p.oid AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
WHERE p.oid >= `+firstNormal+` ORDER BY p.amprocnum, 3`, func(a *row) {
		key, text, id := obj{a.oid(), a.oid()}, a.text(), a.oid()
		if f := families[key]; f != nil && !slices.Contains(f.support, text) {
			f.support = append(f.support, text)
			r.build(func(b *builder) { b.at[obj{pgAmproc, id}] = b.at[key] })
		}
	})
}

func (b *builder) family(f *family) {
	o := &catalog.Object{Kind: catalog.OperatorFamily, Schema: f.schema, Name: f.name, Signature: " USING " + f.method}
	name := b.r.qualified(f.schema, f.name)
	members := slices.Concat(f.operators, f.support)
	o.Set("members", strings.Join(members, ", "))
	word := "OPERATOR FAMILY "
	if f.class == pgOpfamily {
		o.SQL = []string{"CREATE OPERATOR FAMILY " + name + " USING " + b.r.quote(f.method)}
		if len(members) > 0 {
			o.Late = []string{"ALTER OPERATOR FAMILY " + name + " USING " + b.r.quote(f.method) + " ADD\n    " + strings.Join(members, ",\n    ")}
		}
	} else {
		word = "OPERATOR CLASS "
		o.Kind = catalog.OperatorClass
		o.Set("type", f.typ)
		o.Set("family", f.inFamily)
		o.Set("storage", f.storage)
		sql := "CREATE OPERATOR CLASS " + name
		if f.isDefault {
			o.Set("default", "yes")
			sql += " DEFAULT"
		}
		if f.storage != "" || len(members) == 0 {
			members = append(members, "STORAGE "+cmp.Or(f.storage, f.typ))
		}
		o.SQL = []string{sql + " FOR TYPE " + f.typ + " USING " + b.r.quote(f.method) + " FAMILY " + f.inFamily + " AS\n    " + strings.Join(members, ",\n    ")}
	}
	b.add(obj{f.class, f.oid}, o, word+name+" USING "+b.r.quote(f.method))
}

// settings are the NAME = value of a CREATE statement's parentheses.
type settings []catalog.Attr

func (s *settings) add(name, value string) {
	if value != "" {
		*s = append(*s, catalog.Attr{Name: name, Value: value})
	}
}

func (s *settings) flag(name string, on bool) {
	if on {
		*s = append(*s, catalog.Attr{Name: name})
	}
}

func (s settings) list() string {
	list := make([]string, len(s))
	for i, a := range s {
		list[i] = a.Name
		if a.Value != "" {
			list[i] += " = " + a.Value
		}
	}
	return "\n    " + strings.Join(list, ",\n    ") + "\n"
}

func (s settings) attrs() []catalog.Attr {
	attrs := make([]catalog.Attr, len(s))
	for i, a := range s {
		attrs[i] = catalog.Attr{Name: strings.ToLower(a.Name), Value: cmp.Or(a.Value, "yes")}
	}
	return attrs
}
