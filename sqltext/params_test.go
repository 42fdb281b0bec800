package sqltext

import (
	"slices"
	"strings"
	"testing"
)

func TestParams(t *testing.T) {
	t.Parallel()
	all := []Dialect{PostgreSQL, SQLite, MySQL}
	for _, c := range []struct {
		dialects []Dialect
		text     string
		want     string
	}{
		{all, "UPDATE t SET a = 1 WHERE id BETWEEN :first AND :last", ":first :last"},
		{all, "UPDATE t SET a=1 WHERE id>=:first AND id<=:last;", ":first :last"},
		{all, "UPDATE t SET a = ':first', b = 1 WHERE id IN (:last)", ":last"},
		{all, "SELECT 1 -- :first\n, /* :last */ :first", ":first"},
		{all, "UPDATE t SET x = 1 WHERE (a, b) >= (:first.a, :first.b)", ":first.a :first.b"},
		{all, "SELECT :first . a", ":first"},
		{all, "SELECT :First, :nth, :first_", ":First :nth :first_"},
		{all, "SELECT : first", ""},
		{all, "SELECT ':', ':first'':last'", ""},
		{[]Dialect{PostgreSQL, SQLite}, `SELECT ":first", :first."Tenant Id", :last.A`, ":first.Tenant Id :last.a|A"},
		{[]Dialect{MySQL}, "SELECT `:first`, :first.`Tenant Id`, \":last\", ':a\\':b'", ":first.Tenant Id"},
		{[]Dialect{SQLite}, "SELECT [:first], `:last`, :last", ":last"},
		{[]Dialect{MySQL}, "SELECT @a:=1, @b := :first # :last", ":first"},
		{[]Dialect{MySQL}, "UPDATE t SET a = 1 /*!40101 WHERE id >= :first */ AND id <= :last", ":first :last"},
		{[]Dialect{PostgreSQL}, "SELECT :first::text, x::first, :last::int::last", ":first :last"},
		{[]Dialect{PostgreSQL}, "SELECT f(a := 1, b => :first)", ":first"},
		{[]Dialect{PostgreSQL}, "SELECT a[1:last], a[:last], a[first:], a[first:last][1:last]", ""},
		{[]Dialect{PostgreSQL}, "SELECT a[1::int:last], a[(:first):(:last)]", ":first :last"},
		{[]Dialect{PostgreSQL}, "SELECT a[1 : :last]", ":last"},
		{[]Dialect{PostgreSQL}, "SELECT ARRAY[:first, :last], ARRAY[[:first], [1, :last]], (ARRAY[1])[1:last]", ":first :last :first :last"},
		{[]Dialect{PostgreSQL}, "SELECT $$:first$$, $a$ :last $a$, E'\\':first', U&':last', :first", ":first"},
		{[]Dialect{PostgreSQL}, "SELECT 1 /* /* :first */ :last */", ""},
		{all, "SELECT é, '日本' = :first", ":first"},
	} {
		for _, d := range c.dialects {
			st := statementOf(t, c.text, d)
			var got []string
			for _, p := range st.Params(d) {
				written := st.Text[p.From:p.To]
				if !strings.HasPrefix(written, ":"+p.Name) {
					t.Errorf("%v %q: the parameter %q has the bounds of %q", d, c.text, p.Name, written)
				}
				name := ":" + p.Name
				if p.Column != "" {
					name += "." + p.Column
				}
				got = append(got, name)
			}
			want := strings.ReplaceAll(c.want, "a|A", map[bool]string{true: "a", false: "A"}[d == PostgreSQL])
			if strings.Join(got, " ") != want {
				t.Errorf("%v %q: got %q, want %q", d, c.text, strings.Join(got, " "), want)
			}
		}
	}
}

func statementOf(t *testing.T, text string, d Dialect) Statement {
	t.Helper()
	pieces, err := Split(text, d, Options{File: "f.sql"})
	if err != nil {
		t.Fatalf("%v %q: %v", d, text, err)
	}
	if len(pieces) != 1 {
		t.Fatalf("%v %q: %d pieces, want 1", d, text, len(pieces))
	}
	return pieces[0]
}

func TestPlaceholder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dialect Dialect
		text    string
		want    string
		column  int
	}{
		{PostgreSQL, "SELECT $1", "$1", 8},
		{PostgreSQL, "SELECT a ? 'b', '$1', $a$ $2 $a$, a$1", "", 1},
		{SQLite, "SELECT ?", "?", 8},
		{SQLite, "SELECT a, ?12", "?12", 11},
		{SQLite, "SELECT @a", "@a", 8},
		{SQLite, "SELECT $a", "$a", 8},
		{SQLite, "SELECT :first, '?', a$b", "", 1},
		{MySQL, "SELECT 1, ?", "?", 11},
		{MySQL, "SELECT @a, '?', :first", "", 1},
	} {
		text, pos, ok := statementOf(t, c.text, c.dialect).Placeholder(c.dialect)
		if text != c.want || ok != (c.want != "") || pos.Column != c.column {
			t.Errorf("%v %q: got %q, %v at column %d; want %q at column %d", c.dialect, c.text, text, ok, pos.Column, c.want, c.column)
		}
	}
}

func TestHead(t *testing.T) {
	t.Parallel()
	all := []Dialect{PostgreSQL, SQLite, MySQL}
	for _, c := range []struct {
		dialects []Dialect
		text     string
		want     []Comment
	}{
		{all, "", nil},
		{all, "SELECT 1 -- a", nil},
		{all, "-- a\n  --b \r\n;\nSELECT 1;\n-- c", []Comment{comment("a", 1, 1, 0), comment("b", 2, 3, 7)}[:1]},
		{all, "\ufeff-- a\nSELECT 1", []Comment{comment("a", 1, 1, 3)}},
		{all, "/* x\n -- no */ -- é\n-- b", []Comment{comment("é", 2, 11, 15), comment("b", 3, 1, 21)}},
		{[]Dialect{MySQL}, "# a\n--b\nSELECT 1", []Comment{comment("a", 1, 1, 0)}},
		{[]Dialect{MySQL}, "/*!1 SELECT */ -- a", nil},
		{[]Dialect{PostgreSQL}, "/* /* */ */ -- a\n- 1", []Comment{comment("a", 1, 13, 12)}},
		{[]Dialect{SQLite}, "# a", nil},
		{all, "-- a\n/* open", []Comment{comment("a", 1, 1, 0)}},
	} {
		for _, d := range c.dialects {
			got := Head(c.text, d, Options{File: "f.sql"})
			want := c.want
			if d != MySQL && strings.Contains(c.text, "--b ") {
				want = append(slices.Clone(want), comment("b", 2, 3, 7))
			}
			if !slices.Equal(got, want) {
				t.Errorf("%v %q: got %+v, want %+v", d, c.text, got, want)
			}
		}
	}
}

func comment(text string, line, column int, offset int64) Comment {
	return Comment{Text: text, Pos: Position{File: "f.sql", Line: line, Column: column, Offset: offset}}
}

// checkParams checks that the parameters of a statement are outside its strings, in order, and
// that the text before, between and after them is all of it.
func checkParams(t *testing.T, st Statement, d Dialect) {
	t.Helper()
	from, joined := 0, ""
	params := st.Params(d)
	for _, p := range params {
		if p.From < from || p.To <= p.From || p.To > len(st.Text) {
			t.Fatalf("%q: parameter %+v is out of order or bounds", st.Text, p)
		}
		if !strings.HasPrefix(st.Text[p.From:p.To], ":"+p.Name) {
			t.Fatalf("%q: parameter %+v is at %q", st.Text, p, st.Text[p.From:p.To])
		}
		joined += st.Text[from:p.From] + st.Text[p.From:p.To]
		from = p.To
	}
	if joined+st.Text[from:] != st.Text {
		t.Fatalf("%q: the parts are %q", st.Text, joined+st.Text[from:])
	}
	for tok := range Tokens(st.Text, d) {
		for _, p := range params {
			if tok.Kind == TokenString && tok.Pos <= p.From && p.From < tok.End() {
				t.Fatalf("%q: parameter %+v is in the string %q", st.Text, p, tok.Text)
			}
		}
	}
	st.Placeholder(d)
}

// checkHead checks that each comment of the head is at its position.
func checkHead(t *testing.T, text string, d Dialect) {
	t.Helper()
	for _, c := range Head(text, d, Options{File: "f.sql"}) {
		if c.Pos != positionAt(text, int(c.Pos.Offset)) {
			t.Fatalf("%q: comment %+v is not at %+v", text, c, positionAt(text, int(c.Pos.Offset)))
		}
		if rest := text[c.Pos.Offset:]; !strings.HasPrefix(rest, "--") && !strings.HasPrefix(rest, "#") {
			t.Fatalf("%q: comment %+v begins with %q", text, c, rest)
		}
	}
}
