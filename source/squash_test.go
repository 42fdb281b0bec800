package source_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/source"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

func squash(fsys fstest.MapFS, from, to int64, dialect sqltext.Dialect) (*source.Squashed, error) {
	return source.Squash(fsys, source.SquashOptions{From: from, To: to, Name: "all of it", Dir: "m", Dialect: dialect})
}

func TestSquash(t *testing.T) {
	t.Parallel()
	a, b, d := "-- whimbrel: lock-timeout 2s\nCREATE TABLE a (x); -- the end", "BEGIN;\nCREATE TABLE b (x);\nCOMMIT;\n", "CREATE TABLE d (x)"
	fsys := folder(
		"0001_z.up.sql", "SELECT 1", "0002_a.up.sql", a, "0002_a.down.sql", "DROP TABLE a",
		"0003_b.up.sql", b, "0003_b.down.sql", "DROP TABLE b -- gone",
		"0005_c.up.sql", "-- whimbrel: empty\n", "0005_c.down.sql", "-- whimbrel: empty\n",
		"0007_d.up.sql", d, "0007_d.down.sql", "DROP TABLE d;",
	)
	q, err := squash(fsys, 2, 7, sqltext.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`-- The 4 migrations from 2 a to 7 d in one.
-- A database that has applied them records this file without running it.
-- whimbrel: replaces 2 %s
-- whimbrel: replaces 3 %s
-- whimbrel: replaces 5 %s
-- whimbrel: replaces 7 %s

-- 0002_a.up.sql
-- was asked for: lock-timeout 2s
CREATE TABLE a (x); -- the end

-- 0003_b.up.sql
CREATE TABLE b (x);

-- 0005_c.up.sql
-- was asked for: empty

-- 0007_d.up.sql
CREATE TABLE d (x)
;
`, migration.Sum(a), migration.Sum(b), migration.Sum("-- whimbrel: empty\n"), migration.Sum(d))
	if q.Files[0] != (source.File{Name: "0007_all_of_it.up.sql", Content: want}) {
		t.Errorf("%s:\n%s\nwant\n%s", q.Files[0].Name, q.Files[0].Content, want)
	}
	down := `-- Takes back the 4 migrations from 7 d to 2 a.

-- 0007_d.down.sql
DROP TABLE d;

-- 0005_c.down.sql
-- was asked for: empty

-- 0003_b.down.sql
DROP TABLE b -- gone
;

-- 0002_a.down.sql
DROP TABLE a
;
`
	if len(q.Files) != 2 {
		t.Fatalf("len(q.Files) = %v, want 2", len(q.Files))
	}
	if q.Files[1] != (source.File{Name: "0007_all_of_it.down.sql", Content: down}) {
		t.Errorf("q.Files[1] = %v, want %v", q.Files[1], (source.File{Name: "0007_all_of_it.down.sql", Content: down}))
	}
	if diff := cmp.Diff([]string{"0002_a.up.sql", "0002_a.down.sql"}, q.Sources[:2]); diff != "" {
		t.Errorf("q.Sources[:2] (-want +got):\n%s", diff)
	}
	if len(q.Sources) != 8 {
		t.Fatalf("len(q.Sources) = %v, want 8", len(q.Sources))
	}
	if q.Version != 7 {
		t.Errorf("q.Version = %v, want 7", q.Version)
	}
	if q.Irreversible != "" {
		t.Errorf("q.Irreversible = %q, want %q", q.Irreversible, "")
	}
	// The folder can be read with it, and once more without what it replaces.
	for _, f := range q.Files {
		fsys[f.Name] = &fstest.MapFile{Data: []byte(f.Content)}
	}
	for range 2 {
		set, err := source.Read(fsys, source.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(set.All()) != "[1 z 7 all_of_it]" {
			t.Fatalf("fmt.Sprint(set.All()) = %q, want %q", fmt.Sprint(set.All()), "[1 z 7 all_of_it]")
		}
		for _, name := range q.Sources {
			delete(fsys, name)
		}
	}
	// And squashed once more.
	fsys["0009_e.up.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE e (x)")}
	q, err = source.Squash(fsys, source.SquashOptions{From: 1, To: 9, Name: "all of it", Dir: "m", Dialect: sqltext.PostgreSQL, Recorded: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(q.Replaces) != 3 {
		t.Fatalf("len(q.Replaces) = %v, want 3", len(q.Replaces))
	}
	if len(q.Files) != 1 {
		t.Fatalf("len(q.Files) = %v, want 1", len(q.Files))
	}
	if q.Irreversible != "m/0001_z.up.sql" {
		t.Fatalf("q.Irreversible = %q, want %q", q.Irreversible, "m/0001_z.up.sql")
	}
	if n := strings.Count(q.Files[0].Content, "-- whimbrel: replaces"); n != 3 {
		t.Errorf("%d directives\n%s", n, q.Files[0].Content)
	}
}

func TestSquashMergesTimes(t *testing.T) {
	t.Parallel()
	q, err := squash(folder(
		"1_a.up.sql", "-- whimbrel: lock-timeout 2s\n-- whimbrel: statement-timeout 1s\nSELECT 1", "1_a.down.sql", "-- whimbrel: lock-timeout 7s\nSELECT 1",
		"2_b.up.sql", "-- whimbrel: lock-timeout 5s\nSELECT 1", "2_b.down.sql", "-- whimbrel: lock-timeout 1s\nSELECT 1",
	), 1, 2, sqltext.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	if up := q.Files[0].Content; !strings.Contains(up, "\n-- whimbrel: lock-timeout 5s\n") {
		t.Errorf("up = %q, want a text containing %q", up, "\n-- whimbrel: lock-timeout 5s\n")
	} else if strings.Contains(up, "whimbrel: statement") {
		t.Errorf("up = %q, want a text without %q", up, "whimbrel: statement")
	}
	if down := q.Files[1].Content; !strings.Contains(down, "\n-- whimbrel: lock-timeout 7s\n") {
		t.Errorf("down:\n%s", down)
	}
}

// What ends in a comment, in no terminator, in data, in another delimiter: every statement is
// still there, and none else.
func TestSquashJoins(t *testing.T) {
	t.Parallel()
	for text, dialect := range map[string]sqltext.Dialect{
		"SELECT 'x' -- comment":                                    sqltext.PostgreSQL,
		"SELECT 'x' /* comment":                                    0, // can't be cut
		"SELECT 'x' /* comment */":                                 sqltext.PostgreSQL,
		"SELECT 'x';\r\n-- the end\r\n":                            sqltext.PostgreSQL,
		"\ufeffSELECT $$;$$;;":                                     sqltext.PostgreSQL,
		"COPY t FROM stdin;\n1\n2\n\\.\n":                          sqltext.PostgreSQL,
		"COPY t FROM stdin;\n1\n2\n\\.":                            sqltext.PostgreSQL,
		"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END":   sqltext.SQLite,
		"CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END--": sqltext.SQLite,
		"begin; SELECT 1; /* x */ commit -- x":                     sqltext.SQLite,
		"DELIMITER //\nSELECT 1; //\nDELIMITER ;\n":                sqltext.MySQL,
		"SELECT 1 # comment":                                       sqltext.MySQL,
	} {
		fsys := folder("1_a.up.sql", text, "2_b.up.sql", text)
		if dialect == 0 {
			if q, err := squash(fsys, 1, 2, sqltext.PostgreSQL); err == nil {
				t.Errorf("%q: got %+v", text, q)
			}
			continue
		}
		q, err := squash(fsys, 1, 2, dialect)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		one, err := migration.Text("one", text).Analyze(dialect, nil)
		if err != nil {
			t.Fatal(err)
		}
		both, err := migration.Text("both", q.Files[0].Content).Analyze(dialect, nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if both.Statements != 2*one.Statements {
			t.Errorf("%q: both.Statements = %v, want %v", text, both.Statements, 2*one.Statements)
		}
		if both.Wrapped {
			t.Errorf("%q: both.Wrapped = true, want false", text)
		}
	}
}

func TestSquashRefuses(t *testing.T) {
	t.Parallel()
	const ok = "SELECT 1"
	for want, tt := range map[string]struct {
		first, second string
		dialect       sqltext.Dialect
	}{
		"m/2_b.up.sql: must not be in a transaction":  {ok, "-- whimbrel: no-transaction\nSELECT 1", sqltext.PostgreSQL},
		"m/2_b.up.sql:2:1: CREATE INDEX CONCURRENTLY": {ok, "SELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (x)", sqltext.PostgreSQL},
		"m/1_a.up.sql:1:1: changes the session":       {"SET search_path = x", ok, sqltext.PostgreSQL},
		"m/2_b.up.sql:1:1: an enum value that":        {"ALTER TYPE e ADD VALUE 'v'", "INSERT INTO t VALUES ('v')", sqltext.PostgreSQL},
		"m/1_a.up.sql:2:1: a new enum value":          {"ALTER TYPE e ADD VALUE 'v';\nINSERT INTO t VALUES ('v')", ok, sqltext.PostgreSQL},
		"m/1_a.up.sql:1:11: transaction control":      {"SELECT 1; COMMIT; SELECT 2", ok, sqltext.PostgreSQL},
		"m/2_b.up.sql:1:1: asks for another kind":     {ok, "BEGIN READ ONLY; SELECT 1; COMMIT", sqltext.PostgreSQL},
		"m/2_b.up.sql:2:1: LOCK TABLE needs a transaction, and before PostgreSQL 17": {
			"CREATE TYPE e AS ENUM ('u'); ALTER TYPE e ADD VALUE 'v'", "INSERT INTO t VALUES ('v');\nLOCK t", sqltext.PostgreSQL,
		},
		"m/2_b.up.sql:1:1: SAVEPOINT needs a transaction": {"CREATE TABLE t (x int)", "SAVEPOINT a; RELEASE a", sqltext.MySQL},
		"m/2_b.up.sql:1:1: PRAGMA foreign_keys":           {ok, "PRAGMA foreign_keys = off; SELECT 1", sqltext.SQLite},
		"m/2_all_of_it.up.sql:9:1: PRAGMA foreign_keys":   {"PRAGMA foreign_keys = off;\nSELECT 1;\nPRAGMA foreign_keys = on;", ok, sqltext.SQLite},
		"can't be joined to one script":                   {"DELIMITER //\nSELECT 1 //", ok, sqltext.MySQL},
	} {
		_, err := squash(folder("1_a.up.sql", tt.first, "2_b.up.sql", tt.second), 1, 2, tt.dialect)
		if err == nil {
			t.Fatal("got no error")
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), want)
		}
	}
	for text, refused := range map[string]bool{
		"SELECT set_config('search_path', '', false)": true, "SET LOCAL work_mem = '1MB'": true, "CREATE TEMP TABLE t (x int)": true, "RESET ALL": true,
		"SELECT setval('s', 3)": false, "DO $$ BEGIN UPDATE t SET x = 1; END $$": false, "INSERT INTO t SELECT 1": false, "DO $$ BEGIN SET search_path = x; END $$": true,
	} {
		if _, err := squash(folder("1_a.up.sql", text, "2_b.up.sql", ok), 1, 2, sqltext.PostgreSQL); (err != nil) != refused {
			t.Errorf("%s: refused %v, want %v", text, err, refused)
		}
	}
	if _, err := squash(folder("1_a.up.sql", ok, "2_b.up.sql", "SET search_path = x"), 1, 2, sqltext.PostgreSQL); err != nil {
		t.Errorf("the last may change the session: %v", err)
	}
}

// A value that is added to an enum of the range may be used in it: before PostgreSQL 17 the squash
// runs statement by statement.
func TestSquashOfEnums(t *testing.T) {
	t.Parallel()
	q, err := squash(folder(
		"1_a.up.sql", "CREATE TYPE e AS ENUM ('u'); ALTER TYPE e ADD VALUE 'v'; CREATE TABLE t (x e DEFAULT 'v')",
		"2_b.up.sql", "INSERT INTO t VALUES ('v')",
	), 1, 2, sqltext.PostgreSQL)
	if err != nil {
		t.Fatal(err)
	}
	a, err := migration.Text("squash", q.Files[0].Content).Analyze(sqltext.PostgreSQL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(a.UsedValues) != 1 {
		t.Fatalf("len(a.UsedValues) = %v, want 1", len(a.UsedValues))
	}
	if !a.UsedValues[0].Own {
		t.Error("a.UsedValues[0].Own = false, want true")
	}
	if a.Statements != 4 {
		t.Errorf("a.Statements = %v, want 4", a.Statements)
	}
}

// In MySQL no statement that changes a schema can be in a transaction, and the squash is none
// either.
func TestSquashWithoutTransactions(t *testing.T) {
	t.Parallel()
	q, err := squash(folder(
		"1_a.up.sql", "CREATE TABLE a (x int)", "1_a.down.sql", "DROP TABLE a",
		"2_b.up.sql", "-- whimbrel: no-transaction\nINSERT INTO a VALUES (1)", "2_b.down.sql", "SELECT 1",
		"3_c.up.sql", "BEGIN;\nALTER TABLE a ADD y int;\nCOMMIT;", "3_c.down.sql", "ALTER TABLE a DROP y",
	), 1, 3, sqltext.MySQL)
	if err != nil {
		t.Fatal(err)
	}
	if up := q.Files[0].Content; !strings.Contains(up, "\n-- whimbrel: no-transaction\n\n-- 1_a.up.sql\n") {
		t.Errorf("up = %q, want a text containing %q", up, "\n-- whimbrel: no-transaction\n\n-- 1_a.up.sql\n")
	} else if strings.Contains(up, "COMMIT") {
		t.Errorf("up = %q, want a text without %q", up, "COMMIT")
	} else if strings.Count(up, "-- whimbrel: no-") != 1 {
		t.Errorf("strings.Count(up, \"-- whimbrel: no-\") = %v, want 1", strings.Count(up, "-- whimbrel: no-"))
	}
	if down := q.Files[1].Content; strings.Contains(down, "no-transaction") {
		t.Errorf("down:\n%s", down)
	}
	for _, text := range []string{"SET sql_mode = ''", "USE other", "CREATE TEMPORARY TABLE t (x int)", "LOCK TABLES t WRITE"} {
		if _, err := squash(folder("1_a.up.sql", text, "2_b.up.sql", "SELECT 1"), 1, 2, sqltext.MySQL); err == nil {
			t.Errorf("%s: got no error", text)
		} else if !strings.Contains(err.Error(), "changes the session") {
			t.Errorf("%s: err.Error() = %q, want a text containing %q", text, err.Error(), "changes the session")
		}
	}
}

func TestSquashRefusesTheFolder(t *testing.T) {
	t.Parallel()
	squashed := "-- whimbrel: replaces 1 " + migration.Sum("SELECT 1").String() + "\n-- whimbrel: replaces 2 " + migration.Sum("SELECT 2").String() + "\nSELECT 3"
	for want, fsys := range map[string]fstest.MapFS{
		"there is no migration 1 in the folder":        folder("2_b.up.sql", "SELECT 2", "3_c.up.sql", "SELECT 3"),
		"there is no migration 3 in the folder":        folder("1_a.up.sql", "SELECT 1"),
		"the format of goose":                          folder("1_a.sql", "-- +goose Up\nSELECT 1"),
		"m/3_all_of_it.up.sql: already exists":         folder("1_a.up.sql", "SELECT 1", "3_all_of_it.up.sql", "SELECT 3"),
		"give the baseline version 3":                  folder("1_a.up.sql", "SELECT 1", "3_c.up.sql", "SELECT 3", "B2_b.sql", "SELECT 1"),
		"m/1_a.up.sql: the up script has no statement": folder("1_a.up.sql", "", "3_c.up.sql", "SELECT 3"),
	} {
		if _, err := squash(fsys, 1, 3, sqltext.PostgreSQL); err == nil {
			t.Error("got no error")
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), want)
		}
	}
	_, err := squash(folder("1_a.up.sql", "SELECT 1", "2_b.up.sql", "SELECT 2", "2_both.up.sql", squashed, "3_c.up.sql", "SELECT 3"), 2, 3, sqltext.PostgreSQL)
	if err == nil {
		t.Fatal("got no error")
	}
	if !strings.Contains(err.Error(), "m/2_both.up.sql: is a squash, and files that it replaces still exist, such as m/1_a.up.sql") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "m/2_both.up.sql: is a squash, and files that it replaces still exist, such as m/1_a.up.sql")
	}
	again := folder("2_both.up.sql", squashed, "3_c.up.sql", "SELECT 3")
	if _, err = squash(again, 2, 3, sqltext.PostgreSQL); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "m/2_both.up.sql: is a squash, and a squash of it would not be recognised") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "m/2_both.up.sql: is a squash, and a squash of it would not be recognised")
	}
	if _, err = source.Squash(again, source.SquashOptions{From: 2, To: 3, Name: "s", Dir: "m", Dialect: sqltext.PostgreSQL, Recorded: true}); err != nil {
		t.Error(err)
	}
	if _, err := squash(folder("1_a.up.sql", "SELECT 1"), 1, 1, sqltext.PostgreSQL); err == nil {
		t.Error("got no error")
	} else if !strings.Contains(err.Error(), "at least two migrations") {
		t.Errorf("err.Error() = %q, want a text containing %q", err.Error(), "at least two migrations")
	}
	if _, err := source.Squash(folder(), source.SquashOptions{Name: "a/b"}); err == nil {
		t.Error("a name that can't be a file's")
	}
}

// Scripts of Rewrite get the head of a squash, and a terminator if they lack one.
func TestSquashRewritten(t *testing.T) {
	t.Parallel()
	fsys := folder(
		"0001_a.up.sql", "-- whimbrel: lock-timeout 2s\nCREATE TABLE a (x)", "0001_a.down.sql", "DROP TABLE a",
		"0002_b.up.sql", "-- whimbrel: lock-timeout 5s\n-- whimbrel: no-transaction\nCREATE INDEX CONCURRENTLY i ON a (x)", "0002_b.down.sql", "DROP INDEX i",
	)
	texts := source.SquashScripts{Up: "CREATE TABLE a (x);\nCREATE INDEX i ON a (x)", Down: "DROP TABLE a;\n"}
	opts := source.SquashOptions{From: 1, To: 2, Name: "s", Dir: "m", Dialect: sqltext.PostgreSQL}
	opts.Rewrite = func(r source.SquashRange) (source.SquashScripts, error) {
		if r.From != 1 {
			t.Errorf("r.From = %v, want 1", r.From)
		}
		if r.To != 2 {
			t.Errorf("r.To = %v, want 2", r.To)
		}
		if r.Set.Len() != 2 {
			t.Errorf("r.Set.Len() = %v, want 2", r.Set.Len())
		}
		if downs, err := r.Down(); err != nil {
			t.Error(err)
		} else if downs != "\n-- 0002_b.down.sql\nDROP INDEX i\n;\n\n-- 0001_a.down.sql\nDROP TABLE a\n;\n" {
			t.Errorf("downs = %q, want %q", downs, "\n-- 0002_b.down.sql\nDROP INDEX i\n;\n\n-- 0001_a.down.sql\nDROP TABLE a\n;\n")
		}
		return texts, nil
	}
	q, err := source.Squash(fsys, opts)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`-- The schema that the 2 migrations from 1 a to 2 b lead to.
-- A database that has applied them records this file without running it.
-- whimbrel: replaces 1 %s
-- whimbrel: replaces 2 %s
-- whimbrel: lock-timeout 5s

CREATE TABLE a (x);
CREATE INDEX i ON a (x)
;
`, q.Replaces[0].Up.Checksum, q.Replaces[1].Up.Checksum)
	if q.Files[0].Content != want {
		t.Errorf("q.Files[0].Content = %v, want %v", q.Files[0].Content, want)
	}
	if q.Files[1].Content != "-- Takes back the 2 migrations from 2 b to 1 a.\n\nDROP TABLE a;\n" {
		t.Errorf("q.Files[1].Content = %q, want %q", q.Files[1].Content, "-- Takes back the 2 migrations from 2 b to 1 a.\n\nDROP TABLE a;\n")
	}
	texts = source.SquashScripts{NoDown: true}
	if q, err = source.Squash(fsys, opts); err != nil {
		t.Error(err)
	} else if len(q.Files) != 1 {
		t.Errorf("len(q.Files) = %v, want 1", len(q.Files))
	} else if !strings.Contains(q.Files[0].Content, "-- whimbrel: empty\n") {
		t.Errorf("q.Files[0].Content = %q, want a text containing %q", q.Files[0].Content, "-- whimbrel: empty\n")
	}
	texts = source.SquashScripts{Up: "SELECT 'no end"}
	if _, err = source.Squash(fsys, opts); err == nil {
		t.Error("a text that can't be cut was taken")
	}
	refusal := fmt.Errorf("no")
	opts.Rewrite = func(source.SquashRange) (source.SquashScripts, error) { return source.SquashScripts{}, refusal }
	if _, err = source.Squash(fsys, opts); err != refusal {
		t.Errorf("got %v", err)
	}
}
