package pgcatalog

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

const (
	pgForeignServer      oid = 1417
	pgForeignDataWrapper oid = 2328
)

// askForeign asks for wrappers and servers. User mappings are left out: they belong to roles, and
// have passwords.
func (r *Reader) askForeign() {
	if !r.wholeDatabase() {
		return
	}
	const options = `(SELECT json_agg(quote_ident(option_name) || ' ' || quote_literal(option_value)) FROM pg_options_to_table(%))`
	r.ask(`SELECT w.oid, w.fdwname, CASE WHEN w.fdwhandler <> 0 THEN w.fdwhandler::regproc::text END, CASE WHEN w.fdwvalidator <> 0 THEN w.fdwvalidator::regproc::text END, `+
		strings.Replace(options, "%", "w.fdwoptions", 1)+` FROM pg_foreign_data_wrapper w WHERE {none pg_foreign_data_wrapper w.oid}`, func(a *row) {
		id, name, handler, validator, options := a.oid(), a.text(), a.text(), a.text(), strings.Join(a.list(), ", ")
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.ForeignDataWrapper, Name: name}
			clauses := []catalog.Attr{{Name: "handler", Value: handler}, {Name: "validator", Value: validator}, {Name: "options", Value: parens(options)}}
			b.foreign(obj{pgForeignDataWrapper, id}, o, "FOREIGN DATA WRAPPER "+r.quote(name), clauses)
		})
	})
	r.ask(`SELECT s.oid, s.srvname, s.srvtype, s.srvversion, quote_ident(w.fdwname), `+strings.Replace(options, "%", "s.srvoptions", 1)+`
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE {none pg_foreign_server s.oid}`, func(a *row) {
		id, name, typ, version, wrapper, options := a.oid(), a.text(), a.text(), a.text(), a.text(), strings.Join(a.list(), ", ")
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.ForeignServer, Name: name}
			clauses := []catalog.Attr{
				{Name: "type", Value: literalOrNone(typ)},
				{Name: "version", Value: literalOrNone(version)},
				{Name: "foreign data wrapper", Value: wrapper},
				{Name: "options", Value: parens(options)},
			}
			b.foreign(obj{pgForeignServer, id}, o, "SERVER "+r.quote(name), clauses)
		})
	})
}

func parens(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

// foreign makes an object of clauses that are a word and a value.
func (b *builder) foreign(key obj, o *catalog.Object, name string, clauses []catalog.Attr) {
	sql := "CREATE " + name
	for _, c := range clauses {
		if o.Set(c.Name, c.Value); c.Value != "" {
			sql += " " + strings.ToUpper(c.Name) + " " + c.Value
		}
	}
	o.SQL = []string{sql}
	b.add(key, o, name)
}
