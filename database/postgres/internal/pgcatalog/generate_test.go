package pgcatalog_test

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// thing is a script that creates objects, and changes to them.
type thing struct {
	create  string
	changes []change
}

// change is a statement and the differences that Compare must find: "column s.t.c: default", "table
// s.t removed". A change without any does not affect snapshots.
type change struct {
	sql  string
	want []string
}

// maker creates things with generated names.
type maker struct {
	major  int
	schema string
	choose func(what string, n int) int // returns one of 0 … n-1
	names  int
}

// odd are prefixes of names, some of which need quotes.
var odd = []string{"", "Odd ", "select ", `q"uote `, "ünï", "a.b;", "--", "it's ", `$1\`}

func (m *maker) name(what string) string {
	m.names++
	return fmt.Sprint(odd[m.choose("name", len(odd))], what, m.names)
}

func q(names ...string) string { return pgx.Identifier(names).Sanitize() }

// id returns an object's name in the result of Compare; of and name may be "".
func (m *maker) id(kind catalog.Kind, of, name, signature string) string {
	o := catalog.Object{Kind: kind, Schema: m.schema, Of: of, Name: name, Signature: signature}
	return o.ID()
}

func (m *maker) full(name string) string { return q(m.schema, name) }

// things are all kinds of things.
func (m *maker) things() []func() thing {
	return []func() thing{
		m.table, m.constrained, m.indexed, m.guarded, m.partitioned, m.inherited, m.view, m.materialized, m.enum, m.domain,
		m.composite, m.sequence, m.identity, m.function, m.aggregate, m.operator, m.search, m.statistics, m.whole,
	}
}

// columnKinds are column definitions, without the name, and changes: the rest of ALTER COLUMN, and
// the attribute that it changes.
var columnKinds = []struct {
	definition string
	changes    [][2]string
}{
	{"integer", [][2]string{{"TYPE bigint", "type"}, {"SET DEFAULT 7", "default"}, {"SET NOT NULL", "not null"}, {"SET STATISTICS 50", "statistics"}, {"SET (n_distinct = 5)", "options"}, {"SET STATISTICS -1", ""}}},
	{"integer DEFAULT 1 NOT NULL", [][2]string{{"SET DEFAULT 2", "default"}, {"DROP DEFAULT", "default"}, {"DROP NOT NULL", "not null"}, {"SET DEFAULT 1", ""}}},
	{"text DEFAULT 'it''s'", [][2]string{{"TYPE varchar(20)", "type"}, {`TYPE text COLLATE "C"`, "collation"}, {"SET STORAGE EXTERNAL", "storage"}, {"SET DEFAULT E'\\\\'", "default"}, {"SET NOT NULL", "not null"}}},
	{"integer GENERATED ALWAYS AS (1 + 2) STORED", [][2]string{{"DROP EXPRESSION", "generated (stored)"}, {"SET NOT NULL", "not null"}}},
	{"numeric(10, 2)[]", [][2]string{{"TYPE numeric(10, 3)[]", "type"}, {"SET DEFAULT '{}'", "default"}}},
	{"timestamp with time zone DEFAULT now()", [][2]string{{"TYPE timestamptz(3)", "type"}, {"SET DEFAULT '2020-02-01 00:00+00'", "default"}}},
}

// table creates a table with some columns.
func (m *maker) table() (t thing) {
	table := m.name("table")
	full := m.full(table)
	alter := "ALTER TABLE " + full + " "
	var definitions []string
	first := ""
	for range 2 + m.choose("columns", 4) {
		kind := columnKinds[m.choose("column", len(columnKinds))]
		column := m.name("column")
		first = cmp.Or(first, column)
		id := m.id(catalog.Column, table, column, "")
		definitions = append(definitions, q(column)+" "+kind.definition)
		for _, c := range kind.changes {
			change := change{sql: alter + "ALTER COLUMN " + q(column) + " " + c[0]}
			if c[1] != "" {
				change.want = []string{id + ": " + c[1]}
			}
			t.changes = append(t.changes, change)
		}
		t.changes = append(t.changes,
			change{alter + "DROP COLUMN " + q(column), []string{id + " removed"}},
			change{alter + "RENAME COLUMN " + q(column) + " TO renamed", []string{id + " removed", m.id(catalog.Column, table, "renamed", "") + " added"}},
			change{"COMMENT ON COLUMN " + full + "." + q(column) + " IS 'it''s'", []string{id + ": comment"}},
			change{"GRANT SELECT (" + q(column) + ") ON " + full + " TO pg_monitor", []string{id + ": grant to pg_monitor"}})
	}
	added := m.name("column")
	id := m.id(catalog.Table, "", table, "")
	t.create = "CREATE TABLE " + full + " (" + strings.Join(definitions, ", ") + ")"
	again := definitions[0]
	t.changes = append(t.changes,
		change{alter + "ADD COLUMN " + q(added) + " integer", []string{m.id(catalog.Column, table, added, "") + " added"}},
		change{alter + "DROP COLUMN " + q(first) + "; " + alter + "ADD COLUMN " + again, []string{id + ": order of columns"}},
		change{alter + "ADD COLUMN gone integer; " + alter + "DROP COLUMN gone", nil},
		change{"COMMENT ON TABLE " + full + ` IS 'a "comment"'`, []string{id + ": comment"}},
		change{"COMMENT ON TABLE " + full + " IS ''", nil},
		change{"GRANT INSERT ON " + full + " TO PUBLIC", []string{id + ": grant to everybody"}},
		change{"GRANT INSERT ON " + full + " TO PUBLIC; REVOKE ALL ON " + full + " FROM PUBLIC", nil},
		change{"GRANT UPDATE ON " + full + " TO pg_monitor WITH GRANT OPTION", []string{id + ": grant with grant option to pg_monitor"}},
		change{"REVOKE DELETE ON " + full + " FROM CURRENT_USER", []string{id + ": revoke from the owner"}},
		change{alter + "SET (fillfactor = 50)", []string{id + ": options"}},
		change{alter + "REPLICA IDENTITY FULL", []string{id + ": replica identity"}},
		change{alter + "SET UNLOGGED", []string{id + ": unlogged"}},
		change{"DROP TABLE " + full, []string{id + " removed"}},
		change{"ANALYZE " + full, nil},
		change{"CREATE TABLE " + m.full("another") + " (a integer PRIMARY KEY)", []string{m.id(catalog.Table, "", "another", "") + " added"}},
		change{alter + "RENAME TO other; ALTER TABLE " + m.full("other") + " RENAME TO " + q(table), nil})
	return t
}
