package pgcatalog

import (
	"slices"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// askBaseTypes queries the settings of base types, whose functions are written in C or built in.
func (r *Reader) askBaseTypes() {
	subscript := "NULL"
	if r.opts.Major >= 14 {
		subscript = "CASE WHEN t.typsubscript <> 0 AND t.typsubscript <> 'raw_array_subscript_handler'::regproc THEN 'SUBSCRIPT = ' || t.typsubscript::regproc END"
	}
	r.ask(`SELECT t.oid, json_build_array(
	'INPUT = ' || t.typinput::regproc, 'OUTPUT = ' || t.typoutput::regproc,
	CASE WHEN t.typreceive <> 0 THEN 'RECEIVE = ' || t.typreceive::regproc END,
	CASE WHEN t.typsend <> 0 THEN 'SEND = ' || t.typsend::regproc END,
	CASE WHEN t.typmodin <> 0 THEN 'TYPMOD_IN = ' || t.typmodin::regproc END,
	CASE WHEN t.typmodout <> 0 THEN 'TYPMOD_OUT = ' || t.typmodout::regproc END,
	CASE WHEN t.typanalyze <> 0 THEN 'ANALYZE = ' || t.typanalyze::regproc END,
	`+subscript+`,
	'INTERNALLENGTH = ' || CASE WHEN t.typlen > 0 THEN t.typlen::text ELSE 'VARIABLE' END,
	CASE WHEN t.typbyval THEN 'PASSEDBYVALUE' END,
	CASE t.typalign WHEN 'c' THEN 'ALIGNMENT = char' WHEN 's' THEN 'ALIGNMENT = int2' WHEN 'd' THEN 'ALIGNMENT = double' END,
	CASE t.typstorage WHEN 'e' THEN 'STORAGE = external' WHEN 'x' THEN 'STORAGE = extended' WHEN 'm' THEN 'STORAGE = main' END,
	CASE WHEN t.typcategory <> 'U' THEN 'CATEGORY = ' || quote_literal(t.typcategory::text) END,
	CASE WHEN t.typispreferred THEN 'PREFERRED = true' END,
	CASE WHEN t.typdefault IS NOT NULL THEN 'DEFAULT = ' || quote_literal(t.typdefault) END,
	CASE WHEN t.typelem <> 0 THEN 'ELEMENT = ' || format_type(t.typelem, NULL) END,
	CASE WHEN t.typdelim <> ',' THEN 'DELIMITER = ' || quote_literal(t.typdelim::text) END,
	CASE WHEN t.typcollation <> 0 THEN 'COLLATABLE = true' END)
FROM pg_type t WHERE t.typtype = 'b' AND t.typnamespace IN {schemas} AND {none pg_type t.oid}`, func(a *row) {
		if t := r.types[a.oid()]; t != nil {
			t.settings = a.settings()
		}
	})
}

func (b *builder) baseType(t *typ, o *catalog.Object, name string) {
	o.Attrs = t.settings.attrs()
	o.SQL = []string{"CREATE TYPE " + name + t.settings.inParens()}
	b.declare(t, name)
}

// declare adds the shell of a type. Shell and type are created and dropped together.
func (b *builder) declare(t *typ, name string) {
	shell := &catalog.Object{Kind: catalog.ShellType, Schema: t.schema, Of: t.name, Name: t.name, SQL: []string{"CREATE TYPE " + name}}
	b.objects = append(b.objects, shell)
	b.shells[obj{pgType, t.oid}] = shell
}

// declarations makes the functions of a type depend on its shell instead of the type.
func (b *builder) declarations() {
	if len(b.shells) == 0 {
		return
	}
	type pair struct{ function, typ obj }
	makes := map[pair]bool{}
	for _, d := range b.r.depends {
		if b.shells[d.from] != nil && d.to.class == pgProc {
			makes[pair{d.to, d.from}] = true
		}
	}
	b.r.depends = slices.Clone(b.r.depends)
	for i, d := range b.r.depends {
		if makes[pair{d.from, d.to}] {
			b.r.depends[i].kind = shellNeeded
		}
	}
	for t, shell := range b.shells {
		b.at[t].Needs = append(b.at[t].Needs, shell.ID())
	}
}

// shellNeeded is an additional kind of dependency, unknown to pg_depend.
const shellNeeded = '-'
