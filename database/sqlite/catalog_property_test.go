package sqlite_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// model is a schema of tables, each with an index, a view and a trigger.
type model struct{ tables []modelTable }

type modelTable struct {
	name    string
	columns []modelColumn
	unique  string // the columns of an unnamed table constraint
	check   string // of the constraint "positive"; %s is the first column
	options string
	index   string // "", or " WHERE …"
	view    string
	trigger string
}

type modelColumn struct {
	name, typ string
	clauses   []string // clauses such as DEFAULT 1; changed one by one
}

// named is a word that is a name. Other words are keywords, whose case doesn't matter, or fixed
// text.
type named string

func (m model) clone() model {
	tables := slices.Clone(m.tables)
	for i := range tables {
		tables[i].columns = slices.Clone(tables[i].columns)
		for j := range tables[i].columns {
			tables[i].columns[j].clauses = slices.Clone(tables[i].columns[j].clauses)
		}
	}
	return model{tables}
}

// style chooses among equivalent ways to write statements.
type style struct{ choose func(n int) int }

func (s style) name(name string) string {
	quoted := `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
	ways := []string{quoted, "`" + strings.ReplaceAll(name, "`", "``") + "`"}
	if !strings.Contains(name, "]") {
		ways = append(ways, "["+name+"]")
	}
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == "" {
		ways = append(ways, name, name)
	}
	return ways[s.choose(len(ways))]
}

func (s style) space() string {
	return []string{" ", "\n\t", " /* it's a comment, (really */ ", " -- another \"one\"\n", "  "}[s.choose(5)]
}

// write joins words.
func (s style) write(words ...any) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteString(s.space())
		}
		switch w := w.(type) {
		case named:
			b.WriteString(s.name(string(w)))
		case string:
			if !strings.Contains(w, "'") && s.choose(2) == 0 {
				w = strings.ToLower(w)
			}
			b.WriteString(w)
		}
	}
	return b.String()
}

func (s style) table(t modelTable) string {
	words := []any{"CREATE TABLE", named(t.name), "("}
	for _, c := range t.columns {
		words = append(words, named(c.name), c.typ)
		for _, clause := range c.clauses {
			words = append(words, clause)
		}
		words = append(words, ",")
	}
	if t.check != "" {
		words = append(words, "CONSTRAINT positive CHECK (", named(t.columns[0].name), t.check, "),")
	}
	words = append(words, "UNIQUE (", named(t.unique), "))")
	return s.write(append(words, t.options)...)
}

func (s style) script(m model) string {
	var b strings.Builder
	for _, t := range m.tables {
		b.WriteString(s.table(t) + ";\n")
		b.WriteString(s.write("CREATE INDEX", named("i of "+t.name), "ON", named(t.name), "(", named(t.columns[0].name), ")"+t.index) + ";\n")
		b.WriteString(s.write("CREATE VIEW", named("v of "+t.name), "AS SELECT", t.view, "AS x FROM", named(t.name)) + ";\n")
		b.WriteString(s.write("CREATE TRIGGER", named("t of "+t.name), t.trigger, "ON", named(t.name), "BEGIN SELECT 'a;b'; END") + ";\n")
	}
	return b.String()
}

func randomModel(t *rapid.T) (m model) {
	n := 0
	name := func(what string) string {
		n++
		return fmt.Sprint(rapid.SampledFrom([]string{"", "Odd ", "select ", `q"uote `, "ünï", "a.b;", "--", "it's "}).Draw(t, "name"), what, n)
	}
	clauses := []string{"NOT NULL", "DEFAULT 'It''s'", "CHECK (1 < 2)", "COLLATE NOCASE", "DEFAULT (1 + 2)", "UNIQUE ON CONFLICT IGNORE", "REFERENCES other (x) ON DELETE CASCADE"}
	for range rapid.IntRange(1, 3).Draw(t, "tables") {
		table := modelTable{name: name("table"), check: rapid.SampledFrom([]string{"", "> 0", "<> 'A b'"}).Draw(t, "check"), view: "1", trigger: "AFTER INSERT"}
		table.options = rapid.SampledFrom([]string{"", "STRICT"}).Draw(t, "options")
		for range rapid.IntRange(2, 5).Draw(t, "columns") {
			c := modelColumn{name: name("column"), typ: rapid.SampledFrom([]string{"integer", "TEXT", "any"}).Draw(t, "type")}
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(clauses)-1), 0, 3, rapid.ID).Draw(t, "clauses") {
				c.clauses = append(c.clauses, clauses[i])
			}
			if slices.Contains(c.clauses, clauses[1]) { // one default is enough
				c.clauses = slices.DeleteFunc(c.clauses, func(s string) bool { return s == clauses[4] })
			}
			table.columns = append(table.columns, c)
		}
		table.unique = table.columns[0].name
		m.tables = append(m.tables, table)
	}
	return m
}

// change changes one thing in a model, and returns the expected differences.
func (m model) change(t *rapid.T) (after model, want []string) {
	after = m.clone()
	i := rapid.IntRange(0, len(m.tables)-1).Draw(t, "table")
	table := &after.tables[i]
	id := func(kind catalog.Kind, of, name string) string {
		return (&catalog.Object{Kind: kind, Of: of, Name: name}).ID()
	}
	last := len(table.columns) - 1
	column := &table.columns[last] // no index or constraint uses it
	columnID := id(catalog.Column, table.name, column.name)
	switch rapid.IntRange(0, 12).Draw(t, "what") {
	case 0:
		column.typ = "blob"
		return after, []string{columnID + ": type"}
	case 1:
		column.clauses = append(column.clauses, "CONSTRAINT one PRIMARY KEY")
		return after, []string{columnID + ": primary key"}
	case 2:
		table.columns = table.columns[:last]
		return after, []string{columnID + " removed"}
	case 3:
		table.columns = append(table.columns, modelColumn{name: "A new one", typ: "integer"})
		return after, []string{id(catalog.Column, table.name, "A new one") + " added"}
	case 4:
		column.name = "renamed"
		return after, []string{columnID + " removed", id(catalog.Column, table.name, "renamed") + " added"}
	case 5:
		table.columns = slices.Insert(table.columns[:last], 0, *column)
		return after, m.moved(i, id)
	case 6:
		table.check = "> 7"
		if m.tables[i].check == "" {
			return after, []string{id(catalog.Constraint, table.name, "positive") + " added"}
		}
		return after, []string{id(catalog.Constraint, table.name, "positive") + ": definition"}
	case 7:
		table.index = " WHERE 1 < 2"
		return after, []string{id(catalog.Index, table.name, "i of "+table.name) + ": definition"}
	case 8:
		table.view = "2"
		return after, []string{id(catalog.View, "", "v of "+table.name) + ": definition"}
	case 9:
		table.trigger = "BEFORE DELETE"
		return after, []string{id(catalog.Trigger, table.name, "t of "+table.name) + ": definition"}
	case 10:
		table.options = map[string]string{"": "STRICT", "STRICT": ""}[table.options]
		return after, []string{id(catalog.Table, "", table.name) + ": strict"}
	case 11:
		name := table.name
		after.tables = slices.Delete(after.tables, i, i+1)
		return after, []string{id(catalog.Table, "", name) + " removed", id(catalog.View, "", "v of "+name) + " removed"}
	}
	return after, nil
}

// moved returns the differences after a table's last column became its first, which the index and
// the check now use.
func (m model) moved(i int, id func(kind catalog.Kind, of, name string) string) []string {
	table := m.tables[i]
	want := []string{
		id(catalog.Table, "", table.name) + ": order of columns",
		id(catalog.Index, table.name, "i of "+table.name) + ": definition",
	}
	if table.check != "" {
		want = append(want, id(catalog.Constraint, table.name, "positive")+": definition")
	}
	return want
}

// TestRandomSchemas: the snapshot of any schema, written in any style, recreates it; and a change
// is detected exactly.
func TestRandomSchemas(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(check *rapid.T) {
		s := style{func(n int) int { return rapid.IntRange(0, n-1).Draw(check, "style") }}
		before := randomModel(check)
		first := contents(t, s.script(before))
		if again := contents(t, first.Text()); again.Text() != first.Text() {
			check.Fatalf("again.Text() = %v, want %v", again.Text(), first.Text())
		} else if again.Fingerprint() != first.Fingerprint() {
			check.Fatalf("again.Fingerprint() = %v, want %v", again.Fingerprint(), first.Fingerprint())
		}
		after, want := before.change(check)
		script := s.script(after)
		second := contents(t, script)
		var got []string
		for _, d := range catalog.Compare(first, second) {
			if d.Change == catalog.Changed {
				got = append(got, string(d.Kind)+" "+d.Name+": "+d.Detail)
			} else {
				got = append(got, string(d.Kind)+" "+d.Name+" "+d.Change)
			}
		}
		slices.Sort(got)
		if slices.Sort(want); !slices.Equal(got, want) {
			check.Fatalf("got %q\nwant %q\n%s\n---\n%s", got, want, first.Text(), script)
		}
		if (first.Fingerprint() == second.Fingerprint()) != (len(want) == 0) {
			check.Fatalf("the fingerprint is wrong\n%s\n---\n%s", first.Text(), script)
		}
	})
}
