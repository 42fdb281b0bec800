package sqlite_test

import (
	"context"
	"database/sql"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
)

// contents returns the snapshot of a new database after a script.
func contents(t testing.TB, script string) *catalog.Snapshot {
	t.Helper()
	pool, err := sql.Open("sqlite", "file:"+t.TempDir()+"/contents.db")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(script); err != nil {
		t.Fatalf("%v\n%s", err, script)
	}
	db, err := sqlite.New(pool, database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := database.Snapshot(context.Background(), db, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSnapshotRebuilds(t *testing.T) {
	corpus, err := os.ReadFile("testdata/catalog/all.sql")
	if err != nil {
		t.Fatal(err)
	}
	want := contents(t, string(corpus))
	got := contents(t, want.Text())
	for _, c := range catalog.Compare(want, got) {
		t.Error(c)
	}
	if want.Fingerprint() != got.Fingerprint() {
		t.Errorf("got.Fingerprint() = %v, want %v", got.Fingerprint(), want.Fingerprint())
	} else if want.Text() != got.Text() {
		t.Errorf("got.Text() = %v, want %v", got.Text(), want.Text())
	}
	for _, id := range []string{
		"table plain", `table "Odd ""name"""`, "column plain.\"Name\"", "virtual table words", "virtual table boxes", "trigger plain.t1", "trigger v.t2",
		"view a_before", `index plain."I 2"`, "constraint constrained.u", "constraint constrained.unique (d, e) on conflict abort",
	} {
		if want.Find(id) == nil {
			t.Errorf("no %s", id)
		}
	}
	for _, o := range want.Objects {
		if strings.Contains(o.Name, "words_") {
			t.Errorf("o.Name = %q, want a text without %q", o.Name, "words_")
		} else if strings.Contains(o.Name, "sqlite_") {
			t.Errorf("o.Name = %q, want a text without %q", o.Name, "sqlite_")
		}
	}
}

// TestSnapshotAttributes shows the attributes of definitions.
func TestSnapshotAttributes(t *testing.T) {
	corpus, err := os.ReadFile("testdata/catalog/all.sql")
	if err != nil {
		t.Fatal(err)
	}
	s := contents(t, string(corpus))
	for id, want := range map[string][]catalog.Attr{
		"column plain.id":          {{Name: "type", Value: "integer"}, {Name: "primary key", Value: "yes"}},
		`column plain."Name"`:      {{Name: "type", Value: "text"}, {Name: "not null", Value: "yes"}, {Name: "default", Value: "'it''s'"}},
		"column plain.untyped":     nil,
		"column constrained.a":     {{Name: "type", Value: "integer"}, {Name: "primary key", Value: "autoincrement, constraint pk"}},
		"column constrained.b":     {{Name: "type", Value: "text"}, {Name: "not null", Value: "on conflict ignore"}, {Name: "unique", Value: "on conflict replace"}, {Name: "collate", Value: "nocase"}},
		"column constrained.c":     {{Name: "type", Value: "integer"}, {Name: "check", Value: "(c > 0); (c < 10)"}},
		"column constrained.d":     {{Name: "type", Value: "integer"}, {Name: "references", Value: "plain(id) on delete set null on update set default not deferrable initially immediate"}},
		"column constrained.g":     {{Name: "type", Value: "integer"}, {Name: "generated", Value: "(c * 2) stored"}},
		"column constrained.h":     {{Name: "type", Value: "text"}, {Name: "generated", Value: "(upper(b))"}},
		"constraint constrained.u": {{Name: "definition", Value: "unique (b, c)"}},
		"table both":               {{Name: "strict", Value: "yes"}, {Name: "without rowid", Value: "yes"}},
		"virtual table words":      {{Name: "using", Value: "fts5(title, body, tokenize = 'porter ascii')"}},
		"trigger v.t2":             {{Name: "definition", Value: "instead of update of name on v begin select 1; end"}},
	} {
		o := s.Find(id)
		if o == nil {
			t.Errorf("no %s", id)
		} else if !slices.Equal(o.Attrs, want) {
			t.Errorf("%s:\n got %q\nwant %q", id, o.Attrs, want)
		}
	}
}

// TestSnapshotNumbers shows that a number has no spaces in it.
func TestSnapshotNumbers(t *testing.T) {
	s := contents(t, "CREATE TABLE t (a real DEFAULT 1E+5 CHECK (a+.5 < 1.5e-3))")
	want := []catalog.Attr{{Name: "type", Value: "real"}, {Name: "default", Value: "1e+5"}, {Name: "check", Value: "(a + .5 < 1.5e-3)"}}
	o := s.Find("column t.a")
	if o == nil {
		t.Fatal("no column t.a")
	}
	if !slices.Equal(o.Attrs, want) {
		t.Errorf("got %q\nwant %q", o.Attrs, want)
	}
}

// TestEqualSnapshots: different spellings of the same schema are equal.
func TestEqualSnapshots(t *testing.T) {
	a := contents(t, `CREATE TABLE t (a INTEGER PRIMARY KEY, b text NOT NULL DEFAULT 'x', c int, CHECK (b <> 'Y'));
		CREATE INDEX i ON t (b) WHERE c > 0;`)
	b := contents(t, `CREATE TABLE "old" -- a comment
		([a] integer primary   key, b TEXT not null default 'x', CHECK (b<>'Y'));
		ALTER TABLE old ADD COLUMN "c" INT;
		ALTER TABLE old RENAME TO t;
		create index IF NOT EXISTS i on "t"("b") where /* only */ c>0`)
	if changes := catalog.Compare(a, b); len(changes) > 0 {
		t.Errorf("changes = %v, want none", changes)
	} else if a.Fingerprint() != b.Fingerprint() {
		t.Errorf("a.Fingerprint() = %v, want %v", a.Fingerprint(), b.Fingerprint())
	}
}

// TestSnapshotChanges: the difference of two schemas is complete, and contains nothing else.
func TestSnapshotChanges(t *testing.T) {
	const before = `CREATE TABLE t (a integer PRIMARY KEY, b text DEFAULT 'x', c integer CHECK (c > 0), CONSTRAINT u UNIQUE (b));
		CREATE TABLE other (x); CREATE INDEX i ON t (c); CREATE VIEW v AS SELECT a FROM t;
		CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; END; CREATE VIRTUAL TABLE f USING fts5(a);`
	for _, c := range []struct{ from, to, want string }{
		{"DEFAULT 'x'", "DEFAULT 'X'", "column t.b: default 'x' → 'X'"},
		{"DEFAULT 'x'", "", "column t.b: default 'x' → none"},
		{"b text", "b varchar(10)", "column t.b: type text → varchar(10)"},
		{"b text", "b text NOT NULL", "column t.b: not null none → yes"},
		{"c > 0", "c > 1", "column t.c: check (c > 0) → (c > 1)"},
		{"UNIQUE (b)", "UNIQUE (b, c)", "constraint t.u: definition unique (b) → unique (b, c)"},
		{"b text DEFAULT 'x', c integer CHECK (c > 0)", "c integer CHECK (c > 0), b text DEFAULT 'x'", "table t: order of columns a, b, c → a, c, b"},
		{"c integer CHECK (c > 0)", "c integer CHECK (c > 0), d", "column t.d added"},
		{"CREATE TABLE other (x);", "", "table other removed"},
		{"other (x)", "other (x PRIMARY KEY) WITHOUT ROWID", "column other.x: primary key none → yes|table other: without rowid none → yes"},
		{"INDEX i ON t (c)", "INDEX i ON t (c DESC)", "index t.i: definition on t(c) → on t(c desc)"},
		{"CREATE INDEX i", "CREATE UNIQUE INDEX i", "index t.i: unique none → yes"},
		{"SELECT a FROM t", "SELECT a, b FROM t", "view v: definition as select a from t → as select a, b from t"},
		{"SELECT 1; END", "SELECT 2; END", "trigger t.tr: definition after insert on t begin select 1; end → after insert on t begin select 2; end"},
		{"fts5(a)", "fts5(a, B)", "virtual table f: using fts5(a) → fts5(a, B)"},
	} {
		var got []string
		for _, change := range catalog.Compare(contents(t, before), contents(t, strings.Replace(before, c.from, c.to, 1))) {
			got = append(got, change.String())
		}
		slices.Sort(got)
		if strings.Join(got, "|") != c.want {
			t.Errorf("%s → %s:\n got %q\nwant %q", c.from, c.to, got, c.want)
		}
	}
}

// TestSnapshotLeavesOutOwnTables: Whimbrel's tables aren't part of the schema.
func TestSnapshotLeavesOutOwnTables(t *testing.T) {
	ctx := context.Background()
	db, err := database.Open(ctx, "sqlite:"+t.TempDir()+"/own.db", database.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	empty, err := database.Snapshot(ctx, db, catalog.Options{}) // the file doesn't exist yet
	if err != nil {
		t.Fatal(err)
	}
	if err := database.UpdateSetting(ctx, db, database.SettingUpdate{Name: database.Frozen, Value: "true"}); err != nil {
		t.Fatal(err)
	}
	s, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Objects) > 0 {
		t.Errorf("s.Objects = %v, want none", s.Objects)
	} else if s.Fingerprint() != empty.Fingerprint() {
		t.Errorf("s.Fingerprint() = %v, want %v", s.Fingerprint(), empty.Fingerprint())
	}
}
