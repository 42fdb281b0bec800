package schemafile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/schemafile"
)

func sum(text string) migration.Checksum { return migration.Sum(text) }

const golden = `-- This file is the schema of a database without its rows. Whimbrel writes it after each migration
-- and can create an empty database from it. After a merge conflict, apply all migrations to a
-- database again: that writes the file anew.
-- whimbrel: schema of sqlite

CREATE TABLE a (id integer);

-- The schema includes these migrations: version, checksum of the up script, name.
-- whimbrel: set default
-- whimbrel: 1 ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb first step
-- whimbrel: 20 3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d second
-- whimbrel: repeatable 2e7d2c03a9507ae265ecf5b5356885a53393a2029d241394997265a1a25aefc6 views
`

func goldenFile() *schemafile.File {
	return &schemafile.File{
		Dialect: "sqlite", SQL: "CREATE TABLE a (id integer);\n",
		Sets: []schemafile.Set{{
			Name:        "default",
			Migrations:  []schemafile.Included{{1, "first step", sum("a")}, {20, "second", sum("b")}},
			Repeatables: []schemafile.Included{{database.NilVersion, "views", sum("c")}},
		}},
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(golden, goldenFile().Text()); diff != "" {
		t.Errorf("Text (-want +got):\n%s", diff)
	}
	for _, text := range []string{golden, strings.ReplaceAll(golden, "\n", "\r\n"), "\ufeff" + golden} {
		f := parse(t, text)
		if diff := cmp.Diff(goldenFile().Sets, f.Sets); diff != "" {
			t.Errorf("Parse (-want +got):\n%s", diff)
		}
		if f.Dialect != "sqlite" {
			t.Errorf("f.Dialect = %q, want sqlite", f.Dialect)
		}
	}
}

// Names are data, whatever they contain.
func TestTextOfOddNames(t *testing.T) {
	t.Parallel()
	want := []schemafile.Set{
		{
			Name: " \n-- whimbrel: set x",
			Migrations: []schemafile.Included{
				{1, "", sum("a")}, {2, " a ", sum("a")}, {3, "a\nDROP TABLE a;", sum("a")}, {4, `"a"`, sum("a")}, {5, "ä\u202e", sum("a")}, {6, "\xff", sum("a")},
			},
		},
		{Name: "whimbrel:", Repeatables: []schemafile.Included{{database.NilVersion, "a'; b", sum("b")}}},
	}
	text := (&schemafile.File{Dialect: "mysql", Sets: want}).Text()
	if diff := cmp.Diff(want, parse(t, text).Sets); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, text)
	}
	for line := range strings.Lines(text) {
		if line != "\n" && !strings.HasPrefix(line, "-- ") {
			t.Errorf("not a comment: %q", line)
		}
	}
}

// A list inside a statement is not taken for the one at the end.
func TestParseFindsTheListAtTheEnd(t *testing.T) {
	t.Parallel()
	fake := "CREATE FUNCTION f() AS $$\n-- whimbrel: set other\n-- whimbrel: 9 " + sum("x").String() + " fake\n$$;\n"
	f := parse(t, strings.Replace(golden, "CREATE TABLE", fake+"CREATE TABLE", 1))
	if diff := cmp.Diff(goldenFile().Sets, f.Sets); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// After a merge, the lists of both sides may be in any order, with lines that both have.
func TestParseMergedLists(t *testing.T) {
	t.Parallel()
	lines := strings.SplitAfter(golden, "\n")
	n := len(lines) - 1 // the last one is empty
	merged := strings.Join(lines[:n-3], "") + lines[n-1] + lines[n-2] + lines[n-3] + lines[n-2]
	if diff := cmp.Diff(goldenFile().Sets, parse(t, merged).Sets); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseInvalid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		line       int
		msg        string
	}{
		{"nothing", "", 1, "not a schema file"},
		{"a dump", "CREATE TABLE a (id integer);\n", 1, "not a schema file"},
		{"a conflict", "-- whimbrel: schema of sqlite\n<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n" + golden, 2, "merge conflict"},
		{"a checksum", strings.Replace(golden, " ca97", " xx97", 1), 10, "not a SHA-256 checksum"},
		{"a version", strings.Replace(golden, ": 1 ", ": one ", 1), 10, "a version"},
		{"a negative version", strings.Replace(golden, ": 1 ", ": -1 ", 1), 10, "a version"},
		{"a comment", strings.Replace(golden, "-- whimbrel: 1 ", "-- 1 ", 1), 10, "begins with"},
		{"two texts of a version", strings.Replace(golden, ": 20 ", ": 1 ", 1), 11, "listed twice"},
		{"two sets of a name", golden + "-- whimbrel: set default\n", 13, "twice"},
		{"a name", strings.Replace(golden, "second", `"second`, 1), 11, "invalid name"},
		{"a repeatable script without a name", strings.Replace(golden, " views", "", 1), 12, "invalid name"},
	} {
		_, err := schemafile.Parse("x.sql", c.text)
		var e *schemafile.FormatError
		switch {
		case !errors.As(err, &e):
			t.Errorf("%s: got %v, want a %T", c.name, err, e)
		case e.Pos.Line != c.line || e.Pos.File != "x.sql" || !strings.Contains(e.Msg, c.msg):
			t.Errorf("%s: got %v, want line %d: …%s…", c.name, err, c.line, c.msg)
		case e.Conflict != (c.name == "a conflict"):
			t.Errorf("%s: e.Conflict = %v", c.name, e.Conflict)
		}
	}
}

// A file that Parse accepts has the same lists when it is written and parsed again.
func FuzzParse(f *testing.F) {
	f.Add(golden)
	f.Add("-- whimbrel: schema of x\n-- whimbrel: set \"\\n\"\n-- whimbrel: 1 x")
	f.Fuzz(func(t *testing.T, text string) {
		first, err := schemafile.Parse("x.sql", text)
		if err != nil {
			return
		}
		second, err := schemafile.Parse("x.sql", (&schemafile.File{Dialect: "x", Sets: first.Sets}).Text())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first.Sets, second.Sets); diff != "" {
			t.Error(diff)
		}
	})
}
