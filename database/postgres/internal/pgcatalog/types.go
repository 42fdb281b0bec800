package pgcatalog

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// typ is a row of pg_type, except row types of tables, arrays and multiranges.
type typ struct {
	oid          oid
	schema, name string
	kind         byte // typtype
	relation     oid  // of a composite type
	array        oid
	defined      bool

	base, collation, defaultValue string // of a domain
	notNull                       bool
	labels                        []string // of an enum
	rangeOptions                  settings
	multirange                    oid
	settings                      settings // of a base type
}

func (r *Reader) askTypes() {
	multirange, multirangeName := "0", "NULL"
	if r.opts.Major >= 14 {
		multirange = "coalesce(g.rngmultitypid, 0)"
		multirangeName = "(SELECT quote_ident(n.nspname) || '.' || quote_ident(m.typname) FROM pg_type m JOIN pg_namespace n ON n.oid = m.typnamespace WHERE m.oid = g.rngmultitypid)"
	}
	r.domainConstraints = map[oid][]*constraint{}
	r.ask(`SELECT t.oid, t.typnamespace, t.typname, t.typtype, t.typrelid, t.typarray, t.typisdefined,
	CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
	CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = t.typcollation) END,
	pg_get_expr(t.typdefaultbin, 0), t.typnotnull,
	CASE WHEN t.typtype = 'e' THEN (SELECT json_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid) END,
	CASE WHEN t.typtype = 'r' THEN json_build_array(
		'SUBTYPE = ' || format_type(g.rngsubtype, NULL),
		CASE WHEN NOT o.opcdefault THEN 'SUBTYPE_OPCLASS = ' || (SELECT quote_ident(n.nspname) FROM pg_namespace n WHERE n.oid = o.opcnamespace) || '.' || quote_ident(o.opcname) END,
		CASE WHEN g.rngcollation <> (SELECT s.typcollation FROM pg_type s WHERE s.oid = g.rngsubtype) THEN
			'COLLATION = ' || (SELECT quote_ident(n.nspname) || '.' || quote_ident(l.collname) FROM pg_collation l JOIN pg_namespace n ON n.oid = l.collnamespace WHERE l.oid = g.rngcollation) END,
		CASE WHEN g.rngcanonical <> 0 THEN 'CANONICAL = ' || g.rngcanonical::regproc END,
		CASE WHEN g.rngsubdiff <> 0 THEN 'SUBTYPE_DIFF = ' || g.rngsubdiff::regproc END,
		'MULTIRANGE_TYPE_NAME = ' || `+multirangeName+`) END,
	`+multirange+`
FROM pg_type t
LEFT JOIN pg_type b ON b.oid = t.typbasetype
LEFT JOIN pg_range g ON g.rngtypid = t.oid
LEFT JOIN pg_opclass o ON o.oid = g.rngsubopc
WHERE t.typnamespace IN {schemas} AND t.typtype IN ('d', 'e', 'r', 'c', 'b', 'p')
	AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
	AND NOT EXISTS (SELECT FROM pg_type a WHERE a.typarray = t.oid)
	AND {none pg_type t.oid}`, func(a *row) {
		t := &typ{
			oid: a.oid(), schema: r.schemas[a.oid()], name: a.text(), kind: a.char(), relation: a.oid(), array: a.oid(), defined: a.bool(),
			base: a.text(), collation: a.text(), defaultValue: a.text(), notNull: a.bool(), labels: a.list(), rangeOptions: a.settings(), multirange: a.oid(),
		}
		r.types[t.oid] = t
	})
	r.ask(`SELECT t.oid, t.typarray, t.typrelid FROM pg_type t WHERE t.typnamespace IN {schemas} AND t.typrelid <> 0`, func(a *row) {
		rowType, array, rel := a.oid(), a.oid(), a.oid()
		r.build(func(b *builder) {
			if o := b.at[obj{pgClass, rel}]; o != nil {
				b.at[obj{pgType, rowType}], b.at[obj{pgType, array}] = o, o
			}
		})
	})
	r.build(func(b *builder) {
		for _, t := range r.types {
			b.typ(t)
		}
	})
}

func (b *builder) typ(t *typ) {
	o := &catalog.Object{Schema: t.schema, Name: t.name}
	name := b.r.qualified(t.schema, t.name)
	word := "TYPE "
	switch t.kind {
	case 'e':
		o.Kind = catalog.Enum
		labels := make([]string, len(t.labels))
		for i, l := range t.labels {
			labels[i] = Literal(l)
		}
		o.Set("labels", strings.Join(labels, ", "))
		o.SQL = []string{"CREATE TYPE " + name + " AS ENUM (" + strings.Join(labels, ", ") + ")"}
	case 'r':
		o.Kind = catalog.Range
		b.rangeType(t, o, name)
	case 'c':
		o.Kind = catalog.Composite
		o.SQL = []string{"CREATE TYPE " + name + " AS (" + b.fields(t) + ")"}
	case 'd':
		o.Kind, word = catalog.Domain, "DOMAIN "
		b.domain(t, o, name)
	case 'b':
		o.Kind = catalog.BaseType
		b.baseType(t, o, name)
	default:
		o.Kind = catalog.ShellType
		o.SQL = []string{"CREATE TYPE " + name}
	}
	b.add(obj{pgType, t.oid}, o, word+name)
	for _, other := range []oid{t.array, t.multirange} {
		if other != 0 {
			b.at[obj{pgType, other}] = o
		}
	}
	if t.kind == 'c' {
		b.at[obj{pgClass, t.relation}] = o
		b.fieldObjects(t, name)
	}
	for _, k := range b.r.domainConstraints[t.oid] {
		b.domainConstraint(t, k, name, b.split[o.ID()])
	}
}

func (b *builder) rangeType(t *typ, o *catalog.Object, name string) {
	for _, a := range t.rangeOptions {
		o.Set(strings.ToLower(strings.ReplaceAll(a.Name, "_", " ")), a.Value)
	}
	if o.Attr("canonical") != "" {
		b.declare(t, name)
	}
	o.SQL = []string{"CREATE TYPE " + name + " AS RANGE (" + t.rangeOptions.join(" = ", ", ") + ")"}
}

func (b *builder) fields(t *typ) string {
	rel := b.r.relations[t.relation]
	if rel == nil || len(rel.columns) == 0 {
		return ""
	}
	fields := make([]string, len(rel.columns))
	for i, c := range rel.columns {
		fields[i] = b.r.quote(c.name) + " " + c.typ + c.collate()
	}
	return "\n    " + strings.Join(fields, ",\n    ") + "\n"
}

// fieldObjects adds a composite type's attributes.
func (b *builder) fieldObjects(t *typ, name string) {
	rel := b.r.relations[t.relation]
	if rel == nil {
		return
	}
	for _, c := range rel.columns {
		o := &catalog.Object{Kind: catalog.Column, Schema: t.schema, Of: t.name, Name: c.name, Part: true}
		o.Set("type", c.typ)
		o.Set("collation", c.collation)
		b.addSub(sub{obj{pgClass, t.relation}, c.number}, o, "COLUMN "+name+"."+b.r.quote(c.name))
	}
}

func (b *builder) domain(t *typ, o *catalog.Object, name string) {
	c := creation{Object: o, sql: "CREATE DOMAIN " + name}
	c.add("type", t.base, " AS "+t.base)
	c.add("collation", t.collation, " COLLATE "+t.collation)
	c.add("default", t.defaultValue, " DEFAULT "+t.defaultValue)
	if t.notNull {
		state := "yes"
		for _, k := range b.r.domainConstraints[t.oid] {
			if k.kind == 'n' && k.name != t.name+"_not_null" {
				c.sql += " CONSTRAINT " + b.r.quote(k.name)
				state += ", constraint " + b.r.quote(k.name)
			}
		}
		c.add("not null", state, " NOT NULL")
	}
	for _, k := range b.r.domainConstraints[t.oid] {
		if k.kind == 'c' && k.valid && !b.split[o.ID()] {
			c.sql += "\n    CONSTRAINT " + b.r.quote(k.name) + " " + k.definition
		}
	}
	o.SQL = []string{c.sql}
}

func (b *builder) domainConstraint(t *typ, k *constraint, name string, split bool) {
	if k.kind != 'c' {
		return
	}
	o := &catalog.Object{Kind: catalog.Constraint, Schema: t.schema, Of: t.name, Name: k.name, Part: true}
	o.Set("definition", k.definition)
	add := "ALTER DOMAIN " + name + " ADD CONSTRAINT " + b.r.quote(k.name) + " " + k.definition
	switch {
	case !k.valid:
		o.Set("valid", "no")
		o.SQL = []string{add + " NOT VALID"}
	case split:
		o.SQL = []string{add}
	}
	b.add(obj{pgConstraint, k.oid}, o, "CONSTRAINT "+b.r.quote(k.name)+" ON DOMAIN "+name)
	if split { // it depends on objects that need the domain
		o.Late, o.SQL = o.SQL, nil
		delete(b.at, obj{pgConstraint, k.oid})
	}
}
