package pgcatalog

import (
	"strings"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// enabled says when a trigger or a rule fires: what ALTER calls it, and a person.
func enabled(state byte) (verb, word string) {
	switch state {
	case 'D':
		return "DISABLE", "no"
	case 'R':
		return "ENABLE REPLICA", "on replicas only"
	case 'A':
		return "ENABLE ALWAYS", "always"
	}
	return "ENABLE", ""
}

func (r *Reader) askTriggers() {
	r.ask(`SELECT t.oid, t.tgrelid, t.tgname, t.tgenabled, t.tgparentid <> 0, pg_get_triggerdef(t.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
WHERE c.relnamespace IN {schemas} AND (NOT t.tgisinternal AND t.tgparentid = 0 OR t.tgenabled <> p.tgenabled)
	AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.contype = 'f')`, func(a *row) {
		id, rel, name, state, cloned, definition := a.oid(), r.relations[a.oid()], a.text(), a.char(), a.bool(), a.text()
		if rel == nil {
			return
		}
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Trigger, Schema: rel.schema, Of: rel.name, Name: name}
			if !cloned { // the trigger of the partitioned table makes its clones
				o.Set("definition", definition)
				o.SQL = []string{definition}
			}
			verb, word := enabled(state)
			if o.Set("enabled", word); word != "" {
				o.SQL = append(o.SQL, "ALTER TABLE "+b.sqlName(rel)+" "+verb+" TRIGGER "+r.quote(name))
			} else if cloned {
				o.Set("enabled", "yes")
				o.SQL = append(o.SQL, "ALTER TABLE "+b.sqlName(rel)+" ENABLE TRIGGER "+r.quote(name))
			}
			o.Needs = append(o.Needs, b.object(rel).ID())
			b.add(obj{pgTrigger, id}, o, "TRIGGER "+r.quote(name)+" ON "+b.sqlName(rel))
		})
	})
	r.ask(`SELECT w.oid, w.ev_class, w.rulename, w.ev_enabled, pg_get_ruledef(w.oid)
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE c.relnamespace IN {schemas} AND w.rulename <> '_RETURN'`, func(a *row) {
		id, rel, name, state, definition := a.oid(), r.relations[a.oid()], a.text(), a.char(), strings.TrimSuffix(a.text(), ";")
		if rel == nil {
			return
		}
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Rule, Schema: rel.schema, Of: rel.name, Name: name}
			o.Set("definition", definition)
			o.SQL = []string{definition}
			verb, word := enabled(state)
			if o.Set("enabled", word); word != "" {
				o.SQL = append(o.SQL, "ALTER TABLE "+b.sqlName(rel)+" "+verb+" RULE "+r.quote(name))
			}
			o.Needs = append(o.Needs, b.object(rel).ID())
			b.add(obj{pgRewrite, id}, o, "RULE "+r.quote(name)+" ON "+b.sqlName(rel))
		})
	})
}

func (r *Reader) askPolicies() {
	r.ask(`SELECT p.oid, p.polrelid, p.polname, p.polcmd, p.polpermissive,
	(SELECT json_agg(CASE WHEN u = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u)) END ORDER BY pg_get_userbyid(u)) FROM unnest(p.polroles) u),
	pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE c.relnamespace IN {schemas}`, func(a *row) {
		id, rel, name, command, permissive, roles, using, check := a.oid(), r.relations[a.oid()], a.text(), a.char(), a.bool(), a.list(), a.text(), a.text()
		if rel == nil {
			return
		}
		r.build(func(b *builder) {
			o := &catalog.Object{Kind: catalog.Policy, Schema: rel.schema, Of: rel.name, Name: name}
			sql := "CREATE POLICY " + r.quote(name) + " ON " + b.sqlName(rel)
			add := func(attr, value, sqlClause string) {
				if o.Set(attr, value); value != "" {
					sql += sqlClause
				}
			}
			if !permissive {
				add("as", "RESTRICTIVE", " AS RESTRICTIVE")
			}
			commands := map[byte]string{'r': "SELECT", 'a': "INSERT", 'w': "UPDATE", 'd': "DELETE"}
			add("for", commands[command], " FOR "+commands[command])
			if to := strings.Join(roles, ", "); to != "PUBLIC" {
				add("to", to, " TO "+to)
			}
			add("using", using, "\n    USING ("+using+")")
			add("with check", check, "\n    WITH CHECK ("+check+")")
			o.SQL = []string{sql}
			o.Needs = append(o.Needs, b.object(rel).ID())
			b.add(obj{pgPolicy, id}, o, "POLICY "+r.quote(name)+" ON "+b.sqlName(rel))
		})
	})
}
