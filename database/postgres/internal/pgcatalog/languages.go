package pgcatalog

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

const pgTransform oid = 3576

// askLanguages asks for languages that no extension has brought, and for transforms.
func (r *Reader) askLanguages() {
	if !r.wholeDatabase() {
		return
	}
	r.ask(`SELECT l.oid, l.lanname, l.lanpltrusted, 'HANDLER ' || l.lanplcallfoid::regproc || CASE WHEN l.laninline <> 0 THEN ' INLINE ' || l.laninline::regproc ELSE '' END ||
	CASE WHEN l.lanvalidator <> 0 THEN ' VALIDATOR ' || l.lanvalidator::regproc ELSE '' END
FROM pg_language l WHERE l.lanispl AND l.oid >= `+firstNormal+` AND {none pg_language l.oid}`, func(a *row) {
		id, name, trusted, definition := a.oid(), a.text(), a.bool(), a.text()
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Language, Name: name}
			sql := "CREATE "
			if trusted {
				o.Set("trusted", "yes")
				sql += "TRUSTED "
			}
			o.Set("definition", definition)
			o.SQL = []string{sql + "LANGUAGE " + r.quote(name) + " " + definition}
			b.add(obj{pgLanguage, id}, o, "LANGUAGE "+r.quote(name))
		})
	})
	r.ask(`SELECT t.oid, format_type(t.trftype, NULL), quote_ident(l.lanname), CASE WHEN t.trffromsql <> 0 THEN 'FROM SQL WITH FUNCTION ' || t.trffromsql::regprocedure END,
	CASE WHEN t.trftosql <> 0 THEN 'TO SQL WITH FUNCTION ' || t.trftosql::regprocedure END
FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang WHERE {none pg_transform t.oid}`, func(a *row) {
		id, signature := a.oid(), "FOR "+a.text()+" LANGUAGE "+a.text()
		var functions []string
		for _, f := range []string{a.text(), a.text()} {
			if f != "" {
				functions = append(functions, f)
			}
		}
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Transform, Name: "", Signature: signature}
			definition := strings.Join(functions, ", ")
			o.Set("definition", definition)
			o.SQL = []string{"CREATE TRANSFORM " + signature + " (" + definition + ")"}
			b.add(obj{pgTransform, id}, o, "TRANSFORM "+signature)
		})
	})
}
