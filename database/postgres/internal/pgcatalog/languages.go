package pgcatalog

import "github.com/whimbrel-db/whimbrel/catalog"

const pgTransform oid = 3576

// askLanguages queries languages and transforms, except those of extensions.
func (r *Reader) askLanguages() {
	if !r.wholeDatabase() {
		return
	}
	r.defineAll(pgLanguage, catalog.Language, `SELECT l.oid, 0, l.lanname, NULL, CASE WHEN l.lanpltrusted THEN 'TRUSTED' END,
	'HANDLER ' || l.lanplcallfoid::regproc || CASE WHEN l.laninline <> 0 THEN ' INLINE ' || l.laninline::regproc ELSE '' END ||
	CASE WHEN l.lanvalidator <> 0 THEN ' VALIDATOR ' || l.lanvalidator::regproc ELSE '' END
FROM pg_language l WHERE l.lanispl AND l.oid >= `+firstNormal+` AND {none pg_language l.oid}`)
	r.defineAll(pgTransform, catalog.Transform, `SELECT t.oid, 0, NULL, 'FOR ' || format_type(t.trftype, NULL) || ' LANGUAGE ' || quote_ident(l.lanname), NULL,
	'(' || concat_ws(', ', CASE WHEN t.trffromsql <> 0 THEN 'FROM SQL WITH FUNCTION ' || t.trffromsql::regprocedure END,
		CASE WHEN t.trftosql <> 0 THEN 'TO SQL WITH FUNCTION ' || t.trftosql::regprocedure END) || ')'
FROM pg_transform t JOIN pg_language l ON l.oid = t.trflang WHERE {none pg_transform t.oid}`)
}
