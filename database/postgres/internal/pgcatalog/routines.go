package pgcatalog

import (
	"cmp"
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

func (r *Reader) askRoutines() {
	r.ask(`SELECT p.oid, p.pronamespace, p.proname, p.prokind, oidvectortypes(p.proargtypes), pg_get_function_identity_arguments(p.oid),
	CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END
FROM pg_proc p WHERE p.pronamespace IN {schemas} AND {none pg_proc p.oid} AND NOT starts_with(p.proname, 'whimbrel_sync_')`, func(a *row) {
		id, schema, name, kind, types, arguments, definition := a.oid(), r.schemas[a.oid()], a.text(), a.char(), a.text(), a.text(), a.text()
		if kind == 'a' {
			return
		}
		o := catalog.Object{Kind: catalog.Function, Schema: schema, Name: name, Signature: "(" + types + ")"}
		if kind == 'p' {
			o.Kind = catalog.Procedure
		}
		definition = strings.TrimSpace(strings.Replace(definition, "CREATE OR REPLACE ", "CREATE ", 1))
		o.Set("definition", definition)
		o.SQL = []string{definition}
		r.define(obj{pgProc, id}, o, strings.ToUpper(string(o.Kind))+" "+r.qualified(schema, name)+"("+arguments+")")
	})
	r.askAggregates()
}

func (r *Reader) askAggregates() {
	r.ask(`SELECT p.oid, p.pronamespace, p.proname, oidvectortypes(p.proargtypes), pg_get_function_identity_arguments(p.oid), pg_get_function_arguments(p.oid),
	json_build_array(
		'SFUNC = ' || a.aggtransfn::regproc, 'STYPE = ' || format_type(a.aggtranstype, NULL),
		CASE WHEN a.aggtransspace > 0 THEN 'SSPACE = ' || a.aggtransspace END,
		CASE WHEN a.agginitval IS NOT NULL THEN 'INITCOND = ' || quote_literal(a.agginitval) END,
		CASE WHEN a.aggfinalfn <> 0 THEN 'FINALFUNC = ' || a.aggfinalfn::regproc END,
		CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
		CASE WHEN a.aggfinalfn <> 0 AND a.aggfinalmodify <> CASE WHEN a.aggkind = 'n' THEN 'r' ELSE 'w' END THEN 'FINALFUNC_MODIFY = ' || CASE a.aggfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END END,
		CASE WHEN a.aggcombinefn <> 0 THEN 'COMBINEFUNC = ' || a.aggcombinefn::regproc END,
		CASE WHEN a.aggserialfn <> 0 THEN 'SERIALFUNC = ' || a.aggserialfn::regproc END,
		CASE WHEN a.aggdeserialfn <> 0 THEN 'DESERIALFUNC = ' || a.aggdeserialfn::regproc END,
		CASE WHEN a.aggmtransfn <> 0 THEN 'MSFUNC = ' || a.aggmtransfn::regproc END,
		CASE WHEN a.aggminvtransfn <> 0 THEN 'MINVFUNC = ' || a.aggminvtransfn::regproc END,
		CASE WHEN a.aggmtranstype <> 0 THEN 'MSTYPE = ' || format_type(a.aggmtranstype, NULL) END,
		CASE WHEN a.aggmtransspace > 0 THEN 'MSSPACE = ' || a.aggmtransspace END,
		CASE WHEN a.aggminitval IS NOT NULL THEN 'MINITCOND = ' || quote_literal(a.aggminitval) END,
		CASE WHEN a.aggmfinalfn <> 0 THEN 'MFINALFUNC = ' || a.aggmfinalfn::regproc END,
		CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
		CASE WHEN a.aggmfinalfn <> 0 AND a.aggmfinalmodify <> CASE WHEN a.aggkind = 'n' THEN 'r' ELSE 'w' END THEN 'MFINALFUNC_MODIFY = ' || CASE a.aggmfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE' ELSE 'READ_WRITE' END END,
		CASE WHEN a.aggsortop <> 0 THEN 'SORTOP = OPERATOR(' || (SELECT quote_ident(n.nspname) || '.' || s.oprname FROM pg_operator s JOIN pg_namespace n ON n.oid = s.oprnamespace WHERE s.oid = a.aggsortop) || ')' END,
		CASE WHEN a.aggkind = 'h' THEN 'HYPOTHETICAL' END,
		CASE p.proparallel WHEN 's' THEN 'PARALLEL = SAFE' WHEN 'r' THEN 'PARALLEL = RESTRICTED' END)
FROM pg_proc p JOIN pg_aggregate a ON a.aggfnoid = p.oid WHERE p.pronamespace IN {schemas} AND {none pg_proc p.oid}`, func(a *row) {
		id := a.oid()
		o := catalog.Object{Kind: catalog.Aggregate, Schema: r.schemas[a.oid()], Name: a.text(), Signature: "(" + a.text() + ")"}
		identity, arguments, s := a.text(), a.text(), a.settings()
		o.Set("arguments", arguments)
		o.Attrs = append(o.Attrs, s.attrs()...)
		name := "AGGREGATE " + r.qualified(o.Schema, o.Name)
		o.SQL = []string{"CREATE " + name + "(" + cmp.Or(arguments, "*") + ")" + s.inParens()}
		r.define(obj{pgProc, id}, o, name+"("+cmp.Or(identity, "*")+")")
	})
}
