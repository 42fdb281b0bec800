package pgcatalog_test

import (
	"fmt"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// constrained creates a table with constraints of all kinds, and the table that it references.
func (m *maker) constrained() thing {
	table, parent := m.name("table"), m.name("parent")
	check, unique, foreign, exclude := m.name("check"), m.name("unique"), m.name("foreign"), m.name("exclude")
	full, alter := m.full(table), "ALTER TABLE "+m.full(table)+" "
	id := func(name string) string { return m.id(catalog.Constraint, table, name, "") }
	drop := func(name string) string { return alter + "DROP CONSTRAINT " + q(name) }
	add := func(name, definition string) string {
		return alter + "ADD CONSTRAINT " + q(name) + " " + definition
	}
	key := table + "_pkey"
	if len(key) > 63 {
		key = key[:63]
	}
	return thing{
		create: fmt.Sprintf(`CREATE TABLE %s (id integer PRIMARY KEY); CREATE TABLE %s (id integer PRIMARY KEY, a integer, b integer, r int4range, CONSTRAINT %s CHECK (a > 0), CONSTRAINT %s UNIQUE (a, b),
			CONSTRAINT %s FOREIGN KEY (b) REFERENCES %[1]s, CONSTRAINT %[6]s EXCLUDE USING gist (r WITH &&))`, m.full(parent), full, q(check), q(unique), q(foreign), q(exclude)),
		changes: []change{
			{drop(check), []string{id(check) + " removed"}},
			{drop(unique), []string{id(unique) + " removed"}},
			{drop(foreign), []string{id(foreign) + " removed"}},
			{drop(exclude), []string{id(exclude) + " removed"}},
			{drop(key) + ", ALTER COLUMN id DROP NOT NULL", []string{m.id(catalog.Column, table, "id", "") + ": not null", id(key) + " removed"}},
			{drop(check) + "; " + add(check, "CHECK (a > 1)"), []string{id(check) + ": definition"}},
			{drop(check) + "; " + add(check, "CHECK (a > 0) NOT VALID"), []string{id(check) + ": valid"}},
			{drop(check) + "; " + add(check, "CHECK (a > 0) NOT VALID") + "; " + alter + "VALIDATE CONSTRAINT " + q(check), nil},
			{drop(foreign) + "; " + add(foreign, "FOREIGN KEY (b) REFERENCES "+m.full(parent)+" ON DELETE CASCADE"), []string{id(foreign) + ": definition"}},
			{alter + "ALTER CONSTRAINT " + q(foreign) + " DEFERRABLE INITIALLY DEFERRED", []string{id(foreign) + ": definition"}},
			{drop(unique) + "; " + add(unique, "UNIQUE (a, b) DEFERRABLE"), []string{id(unique) + ": definition"}},
			{drop(unique) + "; " + add(unique, "UNIQUE (b, a)"), []string{id(unique) + ": definition"}},
			{"ALTER INDEX " + m.full(unique) + " SET (fillfactor = 50)", []string{id(unique) + ": index options"}},
			{"COMMENT ON CONSTRAINT " + q(check) + " ON " + full + " IS 'x'", []string{id(check) + ": comment"}},
			{"COMMENT ON INDEX " + m.full(unique) + " IS 'x'", []string{id(unique) + ": index comment"}},
			{add("another", "CHECK (b <> 3) NO INHERIT"), []string{id("another") + " added"}},
			{alter + "RENAME CONSTRAINT " + q(check) + " TO renamed", []string{id(check) + " removed", id("renamed") + " added"}},
			{alter + "CLUSTER ON " + q(unique), []string{m.id(catalog.Table, "", table, "") + ": clustered on"}},
			{"DROP TABLE " + full, []string{m.id(catalog.Table, "", table, "") + " removed"}},
			{"DROP TABLE " + m.full(parent) + " CASCADE", []string{m.id(catalog.Table, "", parent, "") + " removed", id(foreign) + " removed"}},
		},
	}
}

// indexed creates a table with indexes.
func (m *maker) indexed() thing {
	table, index, partial := m.name("table"), m.name("index"), m.name("partial")
	full := m.full(table)
	id := func(name string) string { return m.id(catalog.Index, table, name, "") }
	again := func(how string) string {
		return "DROP INDEX " + m.full(index) + "; CREATE " + how
	}
	return thing{
		create: fmt.Sprintf("CREATE TABLE %s (a integer, b text, c text[]); CREATE INDEX %s ON %[1]s (a); CREATE UNIQUE INDEX %[3]s ON %[1]s (lower(b)) WHERE a > 1", full, q(index), q(partial)),
		changes: []change{
			{"DROP INDEX " + m.full(index), []string{id(index) + " removed"}},
			{"CREATE INDEX another ON " + full + " USING gin (c)", []string{id("another") + " added"}},
			{again("INDEX " + q(index) + " ON " + full + " (a DESC)"), []string{id(index) + ": definition"}},
			{again("UNIQUE INDEX " + q(index) + " ON " + full + " (a)"), []string{id(index) + ": definition"}},
			{again("INDEX " + q(index) + " ON " + full + " USING hash (a)"), []string{id(index) + ": definition"}},
			{again("INDEX " + q(index) + " ON " + full + " (a) INCLUDE (b)"), []string{id(index) + ": definition"}},
			{again("INDEX " + q(index) + " ON " + full + " (a)"), nil},
			{"REINDEX TABLE " + full, nil},
			{"ALTER INDEX " + m.full(index) + " SET (fillfactor = 40)", []string{id(index) + ": definition"}},
			{"ALTER INDEX " + m.full(partial) + " ALTER COLUMN 1 SET STATISTICS 77", []string{id(partial) + ": statistics of column 1"}},
			{"COMMENT ON INDEX " + m.full(partial) + " IS 'x'", []string{id(partial) + ": comment"}},
			{"ALTER TABLE " + full + " CLUSTER ON " + q(index), []string{m.id(catalog.Table, "", table, "") + ": clustered on"}},
			{"ALTER INDEX " + m.full(index) + " RENAME TO renamed", []string{id(index) + " removed", id("renamed") + " added"}},
			{"UPDATE pg_index SET indisvalid = false WHERE indexrelid = " + literal(m.full(index)) + "::regclass", []string{id(index) + ": valid"}},
		},
	}
}

// guarded creates a table with triggers, rules and policies.
func (m *maker) guarded() thing {
	table, function, trigger, rule, policy := m.name("table"), m.name("function"), m.name("trigger"), m.name("rule"), m.name("policy")
	full, alter := m.full(table), "ALTER TABLE "+m.full(table)+" "
	create := fmt.Sprintf("CREATE TRIGGER %s BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION %s()", q(trigger), full, m.full(function))
	t, r, p := m.id(catalog.Trigger, table, trigger, ""), m.id(catalog.Rule, table, rule, ""), m.id(catalog.Policy, table, policy, "")
	id := m.id(catalog.Table, "", table, "")
	on := func(name string) string { return q(name) + " ON " + full }
	return thing{
		create: fmt.Sprintf(`CREATE TABLE %s (a integer); CREATE FUNCTION %s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; %s;
			CREATE RULE %s AS ON DELETE TO %[1]s DO INSTEAD NOTHING; CREATE POLICY %[5]s ON %[1]s USING (a > 0)`, full, m.full(function), create, q(rule), q(policy)),
		changes: []change{
			{alter + "DISABLE TRIGGER " + q(trigger), []string{t + ": enabled"}},
			{alter + "DISABLE TRIGGER USER; " + alter + "ENABLE TRIGGER " + q(trigger), nil},
			{"DROP TRIGGER " + on(trigger), []string{t + " removed"}},
			{"DROP TRIGGER " + on(trigger) + "; CREATE TRIGGER " + on(trigger)[:len(q(trigger))] + " AFTER UPDATE ON " + full + " EXECUTE FUNCTION " + m.full(function) + "()", []string{t + ": definition"}},
			{"COMMENT ON TRIGGER " + on(trigger) + " IS 'x'", []string{t + ": comment"}},
			{"DROP RULE " + on(rule), []string{r + " removed"}},
			{"CREATE OR REPLACE RULE " + q(rule) + " AS ON DELETE TO " + full + " DO ALSO NOTHING", []string{r + ": definition"}},
			{alter + "ENABLE ALWAYS RULE " + q(rule), []string{r + ": enabled"}},
			{"ALTER POLICY " + on(policy) + " USING (a > 1)", []string{p + ": using"}},
			{"ALTER POLICY " + on(policy) + " TO pg_monitor", []string{p + ": to"}},
			{"ALTER POLICY " + on(policy) + " WITH CHECK (a > 1)", []string{p + ": with check"}},
			{"CREATE POLICY another ON " + full + " AS RESTRICTIVE FOR SELECT USING (true)", []string{m.id(catalog.Policy, table, "another", "") + " added"}},
			{"DROP POLICY " + on(policy), []string{p + " removed"}},
			{alter + "ENABLE ROW LEVEL SECURITY", []string{id + ": row level security"}},
			{alter + "FORCE ROW LEVEL SECURITY", []string{id + ": force row level security"}},
			{"DROP FUNCTION " + m.full(function) + "() CASCADE", []string{t + " removed", m.id(catalog.Function, "", function, "()") + " removed"}},
		},
	}
}

// partitioned creates a table with two partitions, an index and a key.
func (m *maker) partitioned() thing {
	table, one, two := m.name("table"), m.name("one"), m.name("two")
	full, index := m.full(table), m.name("index")
	pids := func(name string) string { return m.id(catalog.Table, "", name, "") }
	return thing{
		create: fmt.Sprintf(`CREATE TABLE %s (id integer NOT NULL, k text) PARTITION BY LIST (k); CREATE TABLE %s PARTITION OF %[1]s FOR VALUES IN ('a', 'b''c');
			CREATE TABLE %[3]s (k text, id integer NOT NULL); ALTER TABLE %[1]s ATTACH PARTITION %[3]s DEFAULT; CREATE INDEX %[4]s ON %[1]s (id)`, full, m.full(one), m.full(two), q(index)),
		changes: []change{
			{"ALTER TABLE " + full + " DETACH PARTITION " + m.full(one), []string{pids(one) + ": partition of", pids(one) + ": bound", m.id(catalog.Index, one, one+"_id_idx", "") + ": part of"}},
			{"ALTER TABLE " + full + " DETACH PARTITION " + m.full(one) + "; ALTER TABLE " + full + " ATTACH PARTITION " + m.full(one) + " FOR VALUES IN ('a')", []string{pids(one) + ": bound"}},
			{"ALTER TABLE " + full + " DETACH PARTITION " + m.full(two) + "; ALTER TABLE " + full + " ATTACH PARTITION " + m.full(two) + " DEFAULT", nil},
			{"DROP TABLE " + m.full(two), []string{pids(two) + " removed"}},
			{"CREATE TABLE another PARTITION OF " + full + " FOR VALUES IN ('z')", []string{"table public.another added"}},
			{"CREATE INDEX own ON " + m.full(one) + " (k)", []string{m.id(catalog.Index, one, "own", "") + " added"}},
			{"CREATE INDEX own ON ONLY " + full + " (k)", []string{m.id(catalog.Index, table, "own", "") + " added"}},
			{"CREATE INDEX own ON ONLY " + full + " (k); DROP INDEX " + m.full("own"), nil},
			{"ALTER TABLE ONLY " + m.full(one) + " ALTER id SET DEFAULT 5", []string{m.id(catalog.Column, one, "id", "") + ": default"}},
			{"ALTER TABLE " + full + " ADD c integer", []string{
				m.id(catalog.Column, table, "c", "") + " added", m.id(catalog.Column, one, "c", "") + " added", m.id(catalog.Column, two, "c", "") + " added",
			}},
		},
	}
}

// inherited creates a parent and a child.
func (m *maker) inherited() thing {
	parent, child := m.name("parent"), m.name("child")
	id := m.id(catalog.Table, "", child, "")
	column := m.id(catalog.Column, child, "a", "")
	alter := "ALTER TABLE " + m.full(child) + " "
	return thing{
		create: fmt.Sprintf("CREATE TABLE %s (a integer DEFAULT 1, CONSTRAINT c CHECK (a > 0)); CREATE TABLE %s (b text) INHERITS (%[1]s)", m.full(parent), m.full(child)),
		changes: []change{
			{alter + "NO INHERIT " + m.full(parent), []string{id + ": inherits", m.id(catalog.Constraint, child, "c", "") + " added"}},
			{alter + "ALTER a SET DEFAULT 2", []string{column + ": default"}},
			{alter + "ALTER a SET NOT NULL", []string{column + ": not null"}},
			{"ALTER TABLE ONLY " + m.full(parent) + " ALTER a DROP DEFAULT", []string{m.id(catalog.Column, parent, "a", "") + ": default"}},
			{"ALTER TABLE " + m.full(parent) + " DROP CONSTRAINT c", []string{m.id(catalog.Constraint, parent, "c", "") + " removed"}},
			{"DROP TABLE " + m.full(child), []string{id + " removed"}},
		},
	}
}

func (m *maker) view() thing {
	table, view, over := m.name("table"), m.name("view"), m.name("a view")
	id := m.id(catalog.View, "", view, "")
	full := m.full(view)
	return thing{
		create: fmt.Sprintf("CREATE TABLE %s (a integer, b text); CREATE VIEW %s AS SELECT a, upper(b) AS b FROM %[1]s; CREATE VIEW %[3]s AS SELECT * FROM %[2]s", m.full(table), full, m.full(over)),
		changes: []change{
			{"CREATE OR REPLACE VIEW " + full + " AS SELECT a, lower(b) AS b FROM " + m.full(table), []string{id + ": definition"}},
			{"CREATE OR REPLACE VIEW " + full + " AS SELECT a, upper(b) AS b FROM " + m.full(table), nil},
			{"ALTER VIEW " + full + " SET (security_barrier = true)", []string{id + ": options"}},
			{"ALTER VIEW " + full + " ALTER a SET DEFAULT 3", []string{m.id(catalog.Column, view, "a", "") + ": default"}},
			{"COMMENT ON VIEW " + full + " IS 'x'", []string{id + ": comment"}},
			{"COMMENT ON COLUMN " + full + ".a IS 'x'", []string{m.id(catalog.Column, view, "a", "") + ": comment"}},
			{"GRANT SELECT ON " + full + " TO pg_monitor", []string{id + ": grant to pg_monitor"}},
			{"GRANT SELECT (b) ON " + full + " TO pg_monitor", []string{m.id(catalog.Column, view, "b", "") + ": grant to pg_monitor"}},
			{"DROP VIEW " + m.full(over), []string{m.id(catalog.View, "", over, "") + " removed"}},
			{"DROP VIEW " + full + " CASCADE", []string{id + " removed", m.id(catalog.View, "", over, "") + " removed"}},
		},
	}
}

func (m *maker) materialized() thing {
	view := m.name("view")
	id := m.id(catalog.MaterializedView, "", view, "")
	full := m.full(view)
	return thing{
		create: fmt.Sprintf("CREATE MATERIALIZED VIEW %s AS SELECT 1 AS a, 'x'::text AS b", full),
		changes: []change{
			{"REFRESH MATERIALIZED VIEW " + full + " WITH NO DATA", nil},
			{"CREATE UNIQUE INDEX i ON " + full + " (a)", []string{m.id(catalog.Index, view, "i", "") + " added"}},
			{"ALTER MATERIALIZED VIEW " + full + " SET (fillfactor = 50)", []string{id + ": options"}},
			{"ALTER MATERIALIZED VIEW " + full + " ALTER b SET STORAGE EXTERNAL", []string{m.id(catalog.Column, view, "b", "") + ": storage"}},
			{"DROP MATERIALIZED VIEW " + full + "; CREATE MATERIALIZED VIEW " + full + " AS SELECT 2 AS a, 'x'::text AS b", []string{id + ": definition"}},
			{"DROP MATERIALIZED VIEW " + full, []string{id + " removed"}},
		},
	}
}

// literal quotes a constant.
func literal(s string) string {
	var b []rune
	for _, r := range s {
		if r == '\'' || r == '\\' {
			b = append(b, r)
		}
		b = append(b, r)
	}
	return "E'" + string(b) + "'"
}
