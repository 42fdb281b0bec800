package catalog_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/catalog"
)

// object returns an object with one statement, which contains its ID.
func object(kind catalog.Kind, schema, of, name string, needs ...string) catalog.Object {
	o := catalog.Object{Kind: kind, Schema: schema, Of: of, Name: name, Needs: needs}
	o.SQL = []string{"CREATE " + o.ID()}
	return o
}

func table(name string, needs ...string) catalog.Object {
	return object(catalog.Table, "s", "", name, needs...)
}

// column returns a part of a table; attrs alternates names and values.
func column(of, name string, attrs ...string) catalog.Object {
	o := catalog.Object{Kind: catalog.Column, Schema: "s", Of: of, Name: name, Part: true}
	for i := 0; i < len(attrs); i += 2 {
		o.Set(attrs[i], attrs[i+1])
	}
	return o
}

func snapshot(objects ...catalog.Object) *catalog.Snapshot { return catalog.New("Test", "1", objects) }

func ids(s *catalog.Snapshot) (all []string) {
	for _, o := range s.Objects {
		all = append(all, o.ID())
	}
	return all
}

func TestFullName(t *testing.T) {
	for want, o := range map[string]catalog.Object{
		"s.t.c":                     {Schema: "s", Of: "t", Name: "c"},
		`"a b".t`:                   {Schema: "a b", Name: "t"},
		`"q""uote"`:                 {Name: `q"uote`},
		`"Upper"."1digit".a1`:       {Schema: "Upper", Of: "1digit", Name: "a1"},
		`"a.b"."c"".d"`:             {Schema: "a.b", Name: `c".d`},
		"s.f(integer, text)":        {Schema: "s", Name: "f", Signature: "(integer, text)"},
		"(integer AS text)":         {Signature: "(integer AS text)"},
		"x$.ünï":                    {Schema: "x$", Name: "ünï"},
		"s.t.unique (a, b)":         {Schema: "s", Of: "t", Signature: "unique (a, b)"},
		`s."semi;colon -- comment"`: {Schema: "s", Name: "semi;colon -- comment"},
	} {
		if got := o.FullName(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestOrder: each object follows what it needs. Otherwise kind, schema and name decide. Parts stay
// with their owner.
func TestOrder(t *testing.T) {
	s := snapshot(
		object(catalog.View, "s", "", "a", "table s.z", "function s.f"),
		table("z"), column("z", "second"), column("z", "first"),
		table("b", "table s.z"),
		object(catalog.Function, "s", "", "f", "view s.v"),
		object(catalog.View, "s", "", "v", "table s.z", "not there"),
		object(catalog.Schema, "", "", "s"),
		object(catalog.Index, "s", "z", "i", "table s.z"),
	)
	want := []string{
		"schema s", "table s.z", "column s.z.second", "column s.z.first", "table s.b", "view s.v", "function s.f", "view s.a", "index s.z.i",
	}
	if got := ids(s); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if circular := catalog.Circular(s.Objects); len(circular) > 0 {
		t.Error(circular)
	}
}

// TestOrderOfCircles: a cycle is broken at its first object; objects outside it still follow what
// they need.
func TestOrderOfCircles(t *testing.T) {
	objects := []catalog.Object{
		// a cycle of three
		table("a", "table s.c"), table("b", "table s.a"), table("c", "table s.b"),
		table("d", "table s.e"), table("e", "table s.d"), column("e", "x"), // a cycle of two
		table("self", "table s.self"), // a self-reference, which is no cycle
		object(catalog.View, "s", "", "behind", "table s.c"), object(catalog.Schema, "", "", "before"),
	}
	circular := catalog.Circular(objects)
	slices.Sort(circular)
	if want := []string{"table s.a", "table s.b", "table s.c", "table s.d", "table s.e"}; !slices.Equal(circular, want) {
		t.Errorf("circular: got %q", circular)
	}
	want := []string{"schema before", "table s.self", "table s.a", "table s.b", "table s.c", "view s.behind", "table s.d", "table s.e", "column s.e.x"}
	got := ids(snapshot(objects...))
	if slices.Sort(want); len(got) != len(want) {
		t.Fatalf("len(got) = %v, want %v", len(got), len(want))
	} else if diff := cmp.Diff(want, slices.Sorted(slices.Values(got))); diff != "" {
		t.Fatalf("slices.Sorted(slices.Values(got)) (-want +got):\n%s", diff)
	}
	for _, pair := range [][2]string{{"table s.a", "table s.b"}, {"table s.b", "table s.c"}, {"table s.c", "view s.behind"}, {"table s.d", "table s.e"}} {
		if slices.Index(got, pair[0]) > slices.Index(got, pair[1]) {
			t.Errorf("%s is behind %s: %q", pair[0], pair[1], got)
		}
	}
}

// randomObjects returns tables with columns that need some of the others; acyclic if forward is
// set.
func randomObjects(t *rapid.T, forward bool) (units [][]catalog.Object) {
	n := rapid.IntRange(1, 12).Draw(t, "objects")
	perm := rapid.Permutation(slices.Collect(func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	})).Draw(t, "names")
	for i := range n {
		o := table(fmt.Sprint("t", perm[i]))
		for j := range n {
			if (!forward || j < i) && rapid.IntRange(0, 3).Draw(t, "needs") == 0 {
				o.Needs = append(o.Needs, fmt.Sprint("table s.t", perm[j]))
			}
		}
		unit := []catalog.Object{o}
		for c := range rapid.IntRange(0, 2).Draw(t, "columns") {
			unit = append(unit, column(o.Name, fmt.Sprint("c", c), "type", rapid.SampledFrom([]string{"a", "b", ""}).Draw(t, "type")))
		}
		units = append(units, unit)
	}
	return units
}

// TestOrderIgnoresInputOrder: New loses no object, puts needs first, and doesn't depend on the
// order of its input.
func TestOrderIgnoresInputOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		forward := rapid.Bool().Draw(t, "forward")
		units := randomObjects(t, forward)
		first := catalog.New("Test", "", slices.Concat(units...))
		shuffled := slices.Clone(units)
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		second := catalog.New("Test", "", slices.Concat(shuffled...))
		if diff := cmp.Diff(ids(second), ids(first)); diff != "" {
			t.Fatalf("ids(first) (-want +got):\n%s", diff)
		}
		if got, want := first.Fingerprint(), second.Fingerprint(); got != want {
			t.Fatalf("first.Fingerprint() = %v, want %v", got, want)
		}
		if len(first.Objects) != len(slices.Concat(units...)) {
			t.Fatalf("%d objects of %d", len(first.Objects), len(slices.Concat(units...)))
		}
		if (len(catalog.Circular(first.Objects)) == 0) != ordered(first) {
			t.Fatalf("circular %q, order %q", catalog.Circular(first.Objects), ids(first))
		}
		if forward && !ordered(first) {
			t.Fatalf("%q", ids(first))
		}
	})
}

// ordered reports whether all needs come first; a need within the same object doesn't count.
func ordered(s *catalog.Snapshot) bool {
	seen := map[string]bool{}
	for _, o := range s.Objects {
		seen[o.ID()] = true
		for _, n := range o.Needs {
			if !seen[n] {
				return false
			}
		}
	}
	return true
}

func TestCompare(t *testing.T) {
	base := func() []catalog.Object {
		return []catalog.Object{
			table("t"), column("t", "a", "type", "int", "default", "1"), column("t", "b", "type", "text"), column("t", "c"),
			object(catalog.Index, "s", "t", "i"), table("u"), column("u", "x"),
			{Kind: catalog.Function, Schema: "s", Name: "f", Signature: "(int)"},
			{Kind: catalog.Composite, Schema: "s", Name: "pair"},
			column("pair", "left"),
		}
	}
	for _, c := range []struct {
		name   string
		change func([]catalog.Object) []catalog.Object
		want   string
	}{
		{"nothing", func(o []catalog.Object) []catalog.Object { return o }, ""},
		{"value", func(o []catalog.Object) []catalog.Object { o[1].Attrs[0].Value = "big"; return o }, "column s.t.a: type int → big"},
		{"attribute gone", func(o []catalog.Object) []catalog.Object { o[1].Attrs = o[1].Attrs[:1]; return o }, "column s.t.a: default 1 → none"},
		{"attribute more", func(o []catalog.Object) []catalog.Object { o[2].Set("not null", "yes"); return o }, "column s.t.b: not null none → yes"},
		{"attributes in another order", func(o []catalog.Object) []catalog.Object { slices.Reverse(o[1].Attrs); return o }, ""},
		{"statements", func(o []catalog.Object) []catalog.Object { o[0].SQL = nil; o[0].Needs = []string{"x"}; return o }, ""},
		{"column gone", func(o []catalog.Object) []catalog.Object { return slices.Delete(o, 2, 3) }, "column s.t.b removed"},
		{"column more", func(o []catalog.Object) []catalog.Object { return slices.Insert(o, 2, column("t", "New")) }, `column s.t."New" added`},
		{"columns swapped", func(o []catalog.Object) []catalog.Object { o[1], o[3] = o[3], o[1]; return o }, "table s.t: order of columns a, b, c → c, b, a"},
		{"column moved and another gone", func(o []catalog.Object) []catalog.Object { o[1], o[3] = o[3], o[1]; return slices.Delete(o, 2, 3) }, "table s.t: order of columns a, c → c, a|column s.t.b removed"},
		{"table gone", func(o []catalog.Object) []catalog.Object { return slices.Delete(o, 0, 5) }, "table s.t removed"},
		{"table more", func(o []catalog.Object) []catalog.Object {
			return append(o, table("new"), column("new", "x"), object(catalog.Index, "s", "new", "n"))
		}, "table s.new added"},
		{"table becomes a view", func(o []catalog.Object) []catalog.Object { o[5].Kind = catalog.View; return o }, "table s.u removed|view s.u added"},
		{"index gone", func(o []catalog.Object) []catalog.Object { return slices.Delete(o, 4, 5) }, "index s.t.i removed"},
		{"overload", func(o []catalog.Object) []catalog.Object { o[7].Signature = "(text)"; return o }, "function s.f(int) removed|function s.f(text) added"},
		{"type gone", func(o []catalog.Object) []catalog.Object { return o[:8] }, "composite type s.pair removed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			from, to := snapshot(base()...), snapshot(c.change(base())...)
			var got []string
			for _, change := range catalog.Compare(from, to) {
				got = append(got, change.String())
			}
			want := slices.Sorted(strings.SplitSeq(c.want, "|"))
			if slices.Sort(got); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Errorf("got %q", got)
			}
			if (from.Fingerprint() == to.Fingerprint()) != (c.want == "") {
				t.Error("the fingerprint does not say the same")
			}
		})
	}
}

func TestCompareShowsDefinitions(t *testing.T) {
	t.Parallel()
	without := catalog.New("d", "1", []catalog.Object{table("t"), column("t", "a")})
	with := catalog.New("d", "1", []catalog.Object{
		table("t"), column("t", "a"), column("t", "b", "type", "text", "not null", "yes"),
		{Kind: catalog.View, Schema: "s", Name: "v", SQL: []string{"CREATE VIEW s.v AS SELECT 1", "COMMENT ON VIEW s.v IS 'x'"}},
	})
	want := []string{"type text, not null yes", "CREATE VIEW s.v AS SELECT 1;\nCOMMENT ON VIEW s.v IS 'x'"}
	added, removed := catalog.Compare(without, with), catalog.Compare(with, without)
	for i, w := range want {
		if added[i].Found != w {
			t.Errorf("added[i].Found = %v, want %v", added[i].Found, w)
		}
		if added[i].Expected != "" {
			t.Errorf("added[i].Expected = %q, want %q", added[i].Expected, "")
		}
		if removed[i].Expected != w {
			t.Errorf("removed[i].Expected = %v, want %v", removed[i].Expected, w)
		}
		if removed[i].Found != "" {
			t.Errorf("removed[i].Found = %q, want %q", removed[i].Found, "")
		}
	}
}

func TestFingerprint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := catalog.New("Test", "1", slices.Concat(randomObjects(t, true)...))
		b := catalog.New("Test", "2", slices.Concat(randomObjects(t, true)...))
		if rapid.Bool().Draw(t, "alike") {
			b = catalog.New("Test", "2", slices.Clone(a.Objects))
		}
		if (a.Fingerprint() == b.Fingerprint()) != (len(catalog.Compare(a, b)) == 0) {
			t.Fatal(catalog.Compare(a, b))
		}
		if there, back := catalog.Compare(a, b), catalog.Compare(b, a); len(there) != len(back) {
			t.Fatalf("%v\n%v", there, back)
		}
	})
	if a, b := snapshot(table("t"), column("t", "ab", "c", "d")), snapshot(table("t"), column("t", "a", "bc", "d")); a.Fingerprint() == b.Fingerprint() {
		t.Error("names run into one another")
	}
}

func TestText(t *testing.T) {
	first := table("t")
	first.SQL = []string{"CREATE TABLE s.t (\n    a int\n)", "COMMENT ON TABLE s.t IS 'x'"}
	first.Late = []string{"GRANT SELECT ON s.t TO PUBLIC", "ALTER TABLE s.t ADD CHECK (a > 0)"}
	second := object(catalog.View, "s", "", "v")
	second.SQL = []string{"CREATE VIEW s.v AS\nSELECT 1"}
	s := snapshot(second, first)
	s.Preamble = []string{"SET x = 1"}
	s.Omitted = []string{"user mapping of a on server b", "large\nobjects: 3"}
	const want = `-- Objects that this script does not recreate:
--   user mapping of a on server b
--   large objects: 3

SET x = 1;

CREATE TABLE s.t (
    a int
);
COMMENT ON TABLE s.t IS 'x';

CREATE VIEW s.v AS
SELECT 1;

GRANT SELECT ON s.t TO PUBLIC;
ALTER TABLE s.t ADD CHECK (a > 0);
`
	if got := s.Text(); got != want {
		t.Errorf("got %s", got)
	}
	if got := snapshot().Text(); got != "" {
		t.Errorf("nothing is %q", got)
	}
	if got := s.String(); got != "Test, 2 objects" {
		t.Error(got)
	}
	if s.Find("view s.v") == nil {
		t.Fatal("s.Find(\"view s.v\") is nil")
	}
	if s.Find("view s.w") != nil {
		t.Errorf("s.Find(\"view s.w\") = %+v, want nil", s.Find("view s.w"))
	}
}

// TestTextForMySQL: the mysql client splits at every semicolon, and the server stores a comment at
// the end of a body.
func TestTextForMySQL(t *testing.T) {
	program := func(kind catalog.Kind, name string, sql ...string) catalog.Object {
		return catalog.Object{Kind: kind, Name: name, SQL: sql}
	}
	objects := []catalog.Object{
		program(catalog.Function, "f", "CREATE FUNCTION f() RETURNS int\nRETURN 1"),
		program(catalog.Procedure, "p", "SET sql_mode = ''", "CREATE PROCEDURE p()\nBEGIN SELECT 1 // 2; END"),
		program(catalog.Event, "e", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1 -- one"),
		program(catalog.Event, "z", "CREATE EVENT z ON SCHEDULE EVERY 1 DAY DO SELECT 1 # one"),
		program(catalog.Table, "t", "CREATE TABLE t (a int COMMENT ';')"),
	}
	want := `CREATE FUNCTION f() RETURNS int
RETURN 1;

DELIMITER ///
SET sql_mode = ''
///
CREATE PROCEDURE p()
BEGIN SELECT 1 // 2; END
///
DELIMITER ;

CREATE TABLE t (a int COMMENT ';');

DELIMITER //
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1 -- one
//
DELIMITER ;

DELIMITER //
CREATE EVENT z ON SCHEDULE EVERY 1 DAY DO SELECT 1 # one
//
DELIMITER ;
`
	if got := catalog.New("mysql", "", objects).Text(); got != want {
		t.Errorf("got %s", got)
	}
	if got := catalog.New("sqlite", "", objects).Text(); strings.Contains(got, "DELIMITER") {
		t.Errorf("got %s", got)
	}
}

func TestDecode(t *testing.T) {
	s := snapshot(table("t"), column("t", "a", "default", "'<&>'"), object(catalog.Index, "s", "t", "i", "table s.t"))
	s.Preamble, s.Omitted = []string{"SET x = 1"}, []string{"subscription s"}
	doc, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := catalog.Decode(doc)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := again.Text(), s.Text(); got != want {
		t.Errorf("again.Text() = %v, want %v", got, want)
	}
	if got, want := again.Fingerprint(), s.Fingerprint(); got != want {
		t.Errorf("again.Fingerprint() = %v, want %v", got, want)
	}
	if again.Dialect != "Test" {
		t.Errorf("again.Dialect = %q, want %q", again.Dialect, "Test")
	}
	if again.Server != "1" {
		t.Errorf("again.Server = %q, want %q", again.Server, "1")
	}
	if diff := cmp.Diff(s.Omitted, again.Omitted); diff != "" {
		t.Errorf("again.Omitted (-want +got):\n%s", diff)
	}
	text := string(doc)
	for _, c := range []struct{ doc, want string }{
		{"", "not a JSON document"},
		{text[:len(text)/2], "not a JSON document"},
		{"{}", "not a Whimbrel snapshot"},
		{`[1]`, "not a JSON document"},
		{strings.Replace(text, `"whimbrel_snapshot": 1`, `"whimbrel_snapshot": 9`, 1), "it has format 9, but this build reads formats up to 1; use a newer Whimbrel"},
		{strings.Replace(text, "'<&>'", "'<>'", 1), "its contents don't match its fingerprint"},
	} {
		_, err := catalog.Decode([]byte(c.doc))
		var de *catalog.DecodeError
		if !errors.As(err, &de) {
			t.Fatalf("%.40s: got %v, want a %T", c.doc, err, de)
		}
		if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.40s: err.Error() = %q, want a text containing %q", c.doc, err.Error(), c.want)
		}
		if !strings.HasPrefix(err.Error(), "can't read the snapshot: ") {
			t.Errorf("%.40s: err.Error() = %q, want a text beginning with %q", c.doc, err.Error(), "can't read the snapshot: ")
		}
	}
}
