package pgcatalog

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// setEnabled adds when a trigger or rule fires, unless it is the default. alter and of enclose the
// clause in the ALTER statement.
func setEnabled(o *catalog.Object, state byte, alter, of string) {
	verb, word := "", ""
	switch state {
	case 'D':
		verb, word = "DISABLE", "no"
	case 'R':
		verb, word = "ENABLE REPLICA", "on replicas only"
	case 'A':
		verb, word = "ENABLE ALWAYS", "always"
	default:
		return
	}
	o.Set("enabled", word)
	o.SQL = append(o.SQL, alter+verb+of)
}

// onTable returns an object that belongs to a relation, and its name in COMMENT.
func (r *Reader) onTable(kind catalog.Kind, rel *relation, name string) (o catalog.Object, full string) {
	o = catalog.Object{Kind: kind, Schema: rel.schema, Of: rel.name, Name: name, Needs: []string{rel.object().ID()}}
	return o, strings.ToUpper(string(kind)) + " " + r.quote(name) + " ON " + r.sqlName(rel)
}

func (r *Reader) askTriggers() {
	r.ask(`SELECT t.oid, t.tgrelid, t.tgname, t.tgenabled, t.tgparentid <> 0, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
WHERE c.relnamespace IN {schemas} AND (NOT t.tgisinternal AND t.tgparentid = 0 OR t.tgenabled <> p.tgenabled)
	AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.contype = 'f') AND NOT starts_with(t.tgname, 'whimbrel_sync_')`, func(a *row) {
		id, rel, name, state, cloned, definition := a.oid(), r.relations[a.oid()], a.text(), a.char(), a.bool(), a.text()
		if rel == nil {
			return
		}
		o, full := r.onTable(catalog.Trigger, rel, name)
		alter, of := "ALTER TABLE "+r.sqlName(rel)+" ", " TRIGGER "+r.quote(name)
		if !cloned { // the trigger of the partitioned table creates its clones
			o.Set("definition", definition)
			o.SQL = []string{definition}
		} else if state == 'O' {
			o.Set("enabled", "yes")
			o.SQL = []string{alter + "ENABLE" + of}
		}
		setEnabled(&o, state, alter, of)
		r.define(obj{pgTrigger, id}, o, full)
	})
	r.ask(`SELECT w.oid, w.ev_class, w.rulename, w.ev_enabled, pg_get_ruledef(w.oid)
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE c.relnamespace IN {schemas} AND w.rulename <> '_RETURN'`, func(a *row) {
		id, rel, name, state, definition := a.oid(), r.relations[a.oid()], a.text(), a.char(), strings.TrimSuffix(a.text(), ";")
		if rel == nil {
			return
		}
		o, full := r.onTable(catalog.Rule, rel, name)
		o.Set("definition", definition)
		o.SQL = []string{definition}
		setEnabled(&o, state, "ALTER TABLE "+r.sqlName(rel)+" ", " RULE "+r.quote(name))
		r.define(obj{pgRewrite, id}, o, full)
	})
}

func (r *Reader) askPolicies() {
	r.ask(`SELECT p.oid, p.polrelid, p.polname, CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' END, p.polpermissive,
	(SELECT string_agg(CASE WHEN u = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u)) END, ', ' ORDER BY pg_get_userbyid(u)) FROM unnest(p.polroles) u),
	pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace IN {schemas}`, func(a *row) {
		id, rel, name, command, permissive, to, using, check := a.oid(), r.relations[a.oid()], a.text(), a.text(), a.bool(), a.text(), a.text(), a.text()
		if rel == nil {
			return
		}
		o, full := r.onTable(catalog.Policy, rel, name)
		c := creation{Object: &o, sql: "CREATE " + full}
		if !permissive {
			c.add("as", "RESTRICTIVE", " AS RESTRICTIVE")
		}
		c.add("for", command, " FOR "+command)
		if to != "PUBLIC" {
			c.add("to", to, " TO "+to)
		}
		c.add("using", using, "\n    USING ("+using+")")
		c.add("with check", check, "\n    WITH CHECK ("+check+")")
		o.SQL = []string{c.sql}
		r.define(obj{pgPolicy, id}, o, full)
	})
}
