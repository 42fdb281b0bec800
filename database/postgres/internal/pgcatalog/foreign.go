package pgcatalog

import "github.com/whimbrel-db/whimbrel/catalog"

const (
	pgForeignServer      oid = 1417
	pgForeignDataWrapper oid = 2328
)

// optionsOf returns an expression for the options in an array, as OPTIONS requires them; NULL if
// there are none.
func optionsOf(array string) string {
	return `'OPTIONS = (' || (SELECT string_agg(quote_ident(option_name) || ' ' || quote_literal(option_value), ', ') FROM pg_options_to_table(` + array + `)) || ')'`
}

// askForeign queries foreign-data wrappers and servers. It leaves out user mappings, which belong
// to roles and contain passwords.
func (r *Reader) askForeign() {
	if !r.wholeDatabase() {
		return
	}
	r.defineSettings(pgForeignDataWrapper, catalog.ForeignDataWrapper, settings.asWords, `SELECT w.oid, 0, w.fdwname, json_build_array(
	CASE WHEN w.fdwhandler <> 0 THEN 'HANDLER = ' || w.fdwhandler::regproc END,
	CASE WHEN w.fdwvalidator <> 0 THEN 'VALIDATOR = ' || w.fdwvalidator::regproc END,
	`+optionsOf("w.fdwoptions")+`)
FROM pg_foreign_data_wrapper w WHERE {none pg_foreign_data_wrapper w.oid}`)
	r.defineSettings(pgForeignServer, catalog.ForeignServer, settings.asWords, `SELECT s.oid, 0, s.srvname, json_build_array(
	'TYPE = ' || quote_literal(nullif(s.srvtype, '')), 'VERSION = ' || quote_literal(nullif(s.srvversion, '')),
	'FOREIGN DATA WRAPPER = ' || quote_ident(w.fdwname), `+optionsOf("s.srvoptions")+`)
FROM pg_foreign_server s JOIN pg_foreign_data_wrapper w ON w.oid = s.srvfdw WHERE {none pg_foreign_server s.oid}`)
}
