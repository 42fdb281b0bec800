package migration_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// facts shows what an analysis found, without what it did not find.
func facts(a *migration.Analysis) string {
	parts := []string{fmt.Sprint(a.Statements)}
	add := func(name string, st *sqltext.Statement) {
		if st != nil {
			parts = append(parts, fmt.Sprintf("%s %q", name, st.Text))
		}
	}
	if a.Wrapped {
		parts = append(parts, "wrapped")
	}
	add("wrapper", a.Wrapper)
	for _, st := range a.Before {
		add("before", &st)
	}
	add("misplaced", a.Misplaced)
	add("toggled", a.Toggled)
	add("split", a.Split)
	add("ignored", a.Ignored)
	if a.Enforced {
		parts = append(parts, "enforced")
	}
	if a.Forgets {
		parts = append(parts, "forgets")
	}
	add("never", a.Never)
	add("trapped", a.Trapped)
	add("open", a.Open)
	add("nested", a.Nested)
	add("handed", a.Handed)
	add("control", a.Control)
	add("mode", a.Mode)
	for _, st := range a.Loose {
		add("loose", &st)
	}
	for _, u := range a.UsedValues {
		own := map[bool]string{true: " own"}
		add("uses"+own[u.Own], &u.Statement)
		add("trapped"+own[u.Together]+" value", u.Trapped)
	}
	if len(a.NewEnums) > 0 {
		parts = append(parts, "enums "+strings.Join(a.NewEnums, " "))
	}
	for _, v := range a.NewValues {
		own := ""
		if v.Own {
			own = " (own)"
		}
		parts = append(parts, fmt.Sprintf("value %s.%s%s", v.Type, v.Value, own))
	}
	add("reserved", a.Reserved)
	return strings.Join(parts, "; ")
}

func analyze(t *testing.T, d sqltext.Dialect, text string) *migration.Analysis {
	t.Helper()
	a, err := migration.Text("x.sql", text).Analyze(d, []string{"whimbrel_history"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestAnalyze(t *testing.T) {
	t.Parallel()
	const pg, lite, my = sqltext.PostgreSQL, sqltext.SQLite, sqltext.MySQL
	for _, c := range []struct {
		name    string
		dialect sqltext.Dialect
		text    string
		want    string
	}{
		{"nothing", pg, "-- nothing;\n", "0"},
		{"statements, and one without its terminator", pg, "SELECT 1; SELECT 2", "2"},
		{"COPY data is part of its statement", pg, "COPY a FROM stdin;\nBEGIN;\n\\.\nSELECT 1;", "2"},

		{"BEGIN … COMMIT written inside every file", pg, "-- x\nBEGIN;\nSELECT 1;\nCOMMIT;\n-- y", `1; wrapped; wrapper "BEGIN"`},
		{"START TRANSACTION … END", pg, "START TRANSACTION; SELECT 1; END;", `1; wrapped; wrapper "START TRANSACTION"`},
		{"an empty wrapper", pg, "BEGIN; COMMIT;", `0; wrapped; wrapper "BEGIN"`},
		{"BEGIN without COMMIT", pg, "BEGIN; SELECT 1;", `2; open "BEGIN"; control "BEGIN"`},
		{"COMMIT without BEGIN", pg, "SELECT 1; COMMIT;", `2; control "COMMIT"`},
		{"something behind the COMMIT", pg, "BEGIN; SELECT 1; COMMIT; SELECT 2;", `4; control "BEGIN"`},
		{"something before the BEGIN", pg, "SELECT 1; BEGIN; SELECT 2; COMMIT;", `4; control "BEGIN"`},
		{"two transactions", pg, "BEGIN; SELECT 1; COMMIT; BEGIN; SELECT 2; COMMIT;", `6; control "BEGIN"`},
		{"ROLLBACK at the end is no wrapper", pg, "BEGIN; SELECT 1; ROLLBACK;", `3; control "BEGIN"`},
		{"a savepoint inside", pg, "BEGIN; SAVEPOINT a; COMMIT;", `1; wrapped; wrapper "BEGIN"`},
		{"a savepoint alone", pg, "SELECT 1; SAVEPOINT a; RELEASE a;", `3; loose "SAVEPOINT a"; loose "RELEASE a"`},
		{"BEGIN at the end, in which nothing happens", pg, "COMMIT; SELECT 1; BEGIN;", `3; control "COMMIT"`},
		{"COMMIT AND CHAIN", pg, "BEGIN; SELECT 1; COMMIT AND CHAIN; SELECT 2; ROLLBACK AND CHAIN; SELECT 3; COMMIT;", `7; control "BEGIN"`},
		{"COMMIT AND CHAIN without a COMMIT at the end", pg, "BEGIN; COMMIT AND CHAIN; SELECT 2;", `3; open "BEGIN"; control "BEGIN"`},
		{"COMMIT AND CHAIN without BEGIN", pg, "SELECT 1; COMMIT AND CHAIN;", `2; control "COMMIT AND CHAIN"; loose "COMMIT AND CHAIN"`},
		{"ROLLBACK without BEGIN", pg, "SELECT 1; ROLLBACK;", `2; control "ROLLBACK"; loose "ROLLBACK"`},
		{"PREPARE TRANSACTION", pg, "BEGIN; SELECT 1; PREPARE TRANSACTION 'a'; COMMIT PREPARED 'a';", `4; never "COMMIT PREPARED 'a'"; handed "PREPARE TRANSACTION 'a'"; control "BEGIN"`},
		{"BEGIN inside BEGIN, which PostgreSQL ignores", pg, "BEGIN; SELECT 1; BEGIN; COMMIT;", `4; control "BEGIN"`},
		{"a second BEGIN at the end", pg, "BEGIN; SELECT 1; BEGIN;", `3; open "BEGIN"; control "BEGIN"`},
		{"a mode", pg, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT 1; COMMIT;", `1; wrapped; wrapper "BEGIN ISOLATION LEVEL SERIALIZABLE"; mode "BEGIN ISOLATION LEVEL SERIALIZABLE"`},
		{"SET TRANSACTION", pg, "BEGIN; SET TRANSACTION READ ONLY; SELECT 1; COMMIT; SET TRANSACTION READ ONLY;", `5; control "BEGIN"; mode "SET TRANSACTION READ ONLY"; loose "SET TRANSACTION READ ONLY"`},
		{"what needs a transaction, inside and outside", pg, "BEGIN; LOCK a; COMMIT; LOCK b; SET LOCAL c = 1;", `5; control "BEGIN"; loose "LOCK b"; loose "SET LOCAL c = 1"`},
		{"SQLite's BEGIN inside BEGIN", lite, "BEGIN; SELECT 1; BEGIN; COMMIT;", `4; nested "BEGIN"; control "BEGIN"`},
		{"SQLite's hooks for tools that wrap", lite, "COMMIT; SELECT 1; BEGIN IMMEDIATE; SELECT 2; COMMIT; BEGIN;", `6; control "COMMIT"`},
		{"MySQL's ROLLBACK without BEGIN takes back nothing", my, "INSERT INTO a VALUES (1); ROLLBACK;", `2; control "ROLLBACK"`},
		{"MySQL's ROLLBACK without autocommit", my, "SET autocommit = 0; INSERT INTO a VALUES (1); ROLLBACK;", `3; control "SET autocommit = 0"; loose "ROLLBACK"`},
		{"MySQL's BEGIN inside BEGIN commits", my, "BEGIN; INSERT INTO a VALUES (1); START TRANSACTION; INSERT INTO a VALUES (2);", `4; open "START TRANSACTION"; control "BEGIN"`},
		{"MySQL's SET TRANSACTION inside BEGIN", my, "BEGIN; SET TRANSACTION READ ONLY; COMMIT;", `1; wrapped; wrapper "BEGIN"; nested "SET TRANSACTION READ ONLY"; mode "SET TRANSACTION READ ONLY"`},
		{"MySQL's XA", my, "XA START 'a'; XA END 'a';", `2; handed "XA START 'a'"; control "XA START 'a'"`},
		{"BEGIN in a body is none", pg, "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END; DO $$ BEGIN COMMIT; END $$;", "2"},

		{"SQLite's BEGIN IMMEDIATE", lite, "BEGIN IMMEDIATE; SELECT 1; COMMIT;", `1; wrapped; wrapper "BEGIN IMMEDIATE"`},
		{
			"PRAGMA foreign_keys before BEGIN and behind COMMIT", lite, "PRAGMA foreign_keys = OFF;\nBEGIN;\nDROP TABLE a;\nCOMMIT;\nPRAGMA foreign_keys = ON;",
			`3; wrapped; wrapper "BEGIN"; before "PRAGMA foreign_keys = OFF"`,
		},
		{"PRAGMA foreign_keys around statements", lite, "PRAGMA foreign_keys=off; DROP TABLE a; PRAGMA foreign_keys=on;", `3; before "PRAGMA foreign_keys=off"`},
		{"PRAGMA foreign_keys between statements", lite, "DROP TABLE a; PRAGMA foreign_keys=off; DROP TABLE b;", `3; before "PRAGMA foreign_keys=off"; toggled "PRAGMA foreign_keys=off"; split "DROP TABLE a"`},
		{"PRAGMA foreign_keys inside BEGIN", lite, "BEGIN; PRAGMA foreign_keys=off; DROP TABLE b; COMMIT;", `2; wrapped; wrapper "BEGIN"; ignored "PRAGMA foreign_keys=off"`},
		{"a trigger's body", lite, "CREATE TRIGGER a AFTER INSERT ON b BEGIN DELETE FROM c; END; SELECT 1;", "2"},

		{"CONCURRENTLY without any marker", pg, "CREATE INDEX CONCURRENTLY i ON a (b);", `1; never "CREATE INDEX CONCURRENTLY i ON a (b)"`},
		{"CONCURRENTLY inside a transaction of its own", pg, "BEGIN; SELECT 1; VACUUM a; COMMIT;", `2; wrapped; wrapper "BEGIN"; never "VACUUM a"; trapped "VACUUM a"`},
		{"CONCURRENTLY behind a transaction of its own", pg, "BEGIN; SELECT 1; COMMIT; VACUUM a; BEGIN; ROLLBACK;", `6; never "VACUUM a"; control "BEGIN"`},
		{"the second of its transactions open", pg, "BEGIN; COMMIT; BEGIN TRANSACTION; SELECT 1;", `4; open "BEGIN TRANSACTION"; control "BEGIN"`},
		{"CONCURRENTLY beside other statements", pg, "SELECT 1; VACUUM a; REINDEX INDEX CONCURRENTLY i;", `3; never "VACUUM a"`},

		{
			"an enum value added and used in one file", pg, "ALTER TYPE mood ADD VALUE 'it''s'; INSERT INTO a VALUES ('it''s');",
			`2; uses "INSERT INTO a VALUES ('it''s')"; value mood.it's`,
		},
		{"an enum value that is only added", pg, "ALTER TYPE mood ADD VALUE 'sad'; INSERT INTO a VALUES ('x');", "2; value mood.sad"},
		{"two values, one named by the other", pg, "ALTER TYPE mood ADD VALUE 'a'; ALTER TYPE mood ADD VALUE 'b' AFTER 'a';", "2; value mood.a; value mood.b"},
		{"a type of the same script", pg, "CREATE TYPE  Mood\nAS ENUM ('a'); ALTER TYPE mood ADD VALUE 'b'; INSERT INTO a VALUES ('b');", `3; uses own "INSERT INTO a VALUES ('b')"; enums mood; value mood.b (own)`},
		{"a type with a quoted name and a schema", pg, `CREATE TYPE Shop . "Mood" AS ENUM ('a'); ALTER TYPE shop."Mood" ADD VALUE 'b'; ALTER TYPE "mood" ADD VALUE 'c'`, "3; enums shop.Mood; value shop.Mood.b (own); value mood.c"},
		{"a composite type is no enum", pg, "CREATE TYPE mood AS (a int); ALTER TYPE mood ADD ATTRIBUTE b int", "2"},
		{"a value in a DO", pg, "ALTER TYPE m ADD VALUE 'a'; DO $$ BEGIN PERFORM 'a'::m; END $$", `2; uses "DO $$ BEGIN PERFORM 'a'::m; END $$"; value m.a`},
		{"a value in a string in a DO", pg, "ALTER TYPE m ADD VALUE 'a'; DO 'BEGIN PERFORM ''a''::m; END'", `2; uses "DO 'BEGIN PERFORM ''a''::m; END'"; value m.a`},
		{"a value that a DO adds", pg, "DO $$ BEGIN ALTER TYPE m ADD VALUE 'a'; EXCEPTION WHEN duplicate_object THEN NULL; END $$; SELECT 'a'::m", `2; uses "SELECT 'a'::m"; value m.a`},
		{"a value that a DO adds before another", pg, "ALTER TYPE m ADD VALUE 'b'; DO $$ BEGIN EXECUTE 'ALTER TYPE m ADD VALUE IF NOT EXISTS ''a'' BEFORE ''b'' '; END $$", "2; value m.b; value m.a"},
		{"a value in an array", pg, "ALTER TYPE m ADD VALUE 'a'; SELECT '{b,a}'::m[], '{ba}'::m[]", `2; uses "SELECT '{b,a}'::m[], '{ba}'::m[]"; value m.a`},
		{"a value in another string", pg, "ALTER TYPE m ADD VALUE 'a'; SELECT '{ba}', 'an a'", "2; value m.a"},
		{"a value in a dollar quote", pg, "ALTER TYPE m ADD VALUE 'a'; SELECT $$a$$", `2; uses "SELECT $$a$$"; value m.a`},
		{"a value with escapes", pg, "ALTER TYPE m ADD VALUE 'b'; SELECT E'\\x62'", `2; uses "SELECT E'\\x62'"; value m.b`},
		{"a value in the data of a COPY", pg, "ALTER TYPE m ADD VALUE 'a';\nCOPY t FROM stdin;\n1\tb\n2\ta\n\\.\n", `2; uses "\n1\tb\n2\ta\n"; value m.a`},
		{"all values of an enum", pg, "ALTER TYPE m ADD VALUE 'a'; SELECT Enum_Range(NULL::m)", `2; uses "SELECT Enum_Range(NULL::m)"; value m.a`},
		{"a value that is renamed", pg, "ALTER TYPE m ADD VALUE 'a'; ALTER TYPE m RENAME VALUE 'a' TO 'b'; ALTER TYPE m RENAME VALUE 'x' TO 'y'; SELECT 'y'; SELECT 'b'", `5; uses "SELECT 'b'"; value m.a; value m.b`},
		{"COMMIT between a value and its use", pg, "BEGIN; ALTER TYPE m ADD VALUE 'a'; COMMIT AND CHAIN; SELECT 'a'::m; COMMIT;", `5; control "BEGIN"; uses "SELECT 'a'::m"; value m.a`},
		{"no COMMIT between a value and its use", pg, "SELECT 1; BEGIN; ALTER TYPE m ADD VALUE 'a'; SELECT 'a'::m; COMMIT;", `5; control "BEGIN"; uses "SELECT 'a'::m"; trapped value "SELECT 'a'::m"; value m.a`},
		{"no COMMIT after the type", pg, "BEGIN; CREATE TYPE m AS ENUM (); ALTER TYPE m ADD VALUE 'a'; SELECT 'a'::m; COMMIT; SELECT 1", `6; control "BEGIN"; uses own "SELECT 'a'::m"; trapped own value "SELECT 'a'::m"; enums m; value m.a (own)`},
		{"COMMIT after the type", pg, "CREATE TYPE m AS ENUM (); BEGIN; ALTER TYPE m ADD VALUE 'a'; SELECT 'a'::m; COMMIT", `5; control "BEGIN"; uses own "SELECT 'a'::m"; trapped value "SELECT 'a'::m"; enums m; value m.a (own)`},
		{"an empty value", pg, "ALTER TYPE m ADD VALUE ''; SELECT ''::m", `2; uses "SELECT ''::m"; value m.`},
		{"a value in another dialect", lite, "SELECT 'a'", "1"},

		{"our own table", pg, `SELECT 1; DELETE FROM public."whimbrel_history";`, `2; reserved "DELETE FROM public.\"whimbrel_history\""`},
		{"its name in a literal is nothing", pg, "SELECT 'whimbrel_history';", "1"},

		{"MySQL's body without DELIMITER", my, "CREATE PROCEDURE p() BEGIN SELECT 1; COMMIT; END; SELECT 2;", `2; never "CREATE PROCEDURE p() BEGIN SELECT 1; COMMIT; END"`},
		{"MySQL's DDL ends a transaction", my, "BEGIN; INSERT INTO t VALUES (1); CREATE TABLE a (b INT); INSERT INTO a VALUES (1);", `4; never "CREATE TABLE a (b INT)"; control "BEGIN"`},
		{"MySQL's DELIMITER", my, "DELIMITER //\nSELECT 1; SELECT 2//\nDELIMITER ;\nSELECT 3;", "2"},
		{"MySQL's SET autocommit", my, "SET autocommit = 0; SELECT 1;", `2; control "SET autocommit = 0"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := facts(analyze(t, c.dialect, c.text)); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAnalyzeSession(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"CREATE TABLE a (b int);":                 false,
		"CREATE TABLE a (b int); SET role x;":     true,
		"SET lock_timeout = '2s'; SELECT 1;":      true,
		"CREATE TEMPORARY TABLE a (b int);":       true,
		"ALTER TABLE a ADD COLUMN b int;":         false,
		"BEGIN; ALTER TABLE a ADD c int; COMMIT;": false,
	} {
		if got := analyze(t, sqltext.PostgreSQL, text).Session; got != want {
			t.Errorf("%v: got %v", text, got)
		}
	}
}

func TestAnalysisAllAndBody(t *testing.T) {
	t.Parallel()
	show := func(seq func(func(sqltext.Statement, error) bool)) string {
		var texts []string
		for st, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, fmt.Sprintf("%q", st.Text))
		}
		return strings.Join(texts, " ")
	}
	a := analyze(t, sqltext.SQLite, "PRAGMA foreign_keys=0; BEGIN; SELECT 1; COMMIT; PRAGMA foreign_keys=1; -- end")
	if got := show(a.All()); got != `"PRAGMA foreign_keys=0" "BEGIN" "SELECT 1" "COMMIT" "PRAGMA foreign_keys=1"` {
		t.Errorf("All: %s", got)
	}
	if got := show(a.Body()); got != `"SELECT 1"` {
		t.Errorf("Body: %s", got)
	}
	a = analyze(t, sqltext.PostgreSQL, "\\restrict x\nCOPY a FROM stdin;\n1\n2\n\\.\nSELECT 1;\n\\unrestrict x\n")
	if got := show(a.Body()); got != `"COPY a FROM stdin" "1\n2\n" "\\." "SELECT 1"` {
		t.Errorf("COPY: %s", got)
	}
	a = analyze(t, sqltext.PostgreSQL, "BEGIN; SELECT 1;") // not a wrapper: nothing is left out
	if got := show(a.Body()); got != `"BEGIN" "SELECT 1"` {
		t.Errorf("Body: %s", got)
	}
	for range a.All() {
		break // stopping early is fine
	}
}

func TestAnalysisUses(t *testing.T) {
	t.Parallel()
	a := analyze(t, sqltext.PostgreSQL, "SELECT 1; UPDATE a SET mood = 'sad';")
	if st, err := a.Uses([]migration.EnumValue{{Value: "glad"}, {Value: "sad"}}); err != nil {
		t.Error(err)
	} else if st == nil {
		t.Error("st is nil")
	} else if st.Text != "UPDATE a SET mood = 'sad'" {
		t.Errorf("st.Text = %q, want %q", st.Text, "UPDATE a SET mood = 'sad'")
	} else if st.Pos.Column != 11 {
		t.Errorf("st.Pos.Column = %v, want 11", st.Pos.Column)
	}
	for _, values := range [][]migration.EnumValue{nil, {{Value: "glad"}}, {{Value: "sa"}}} {
		if st, err := a.Uses(values); st != nil {
			t.Errorf("%v: st = %+v, want nil", values, st)
		} else if err != nil {
			t.Errorf("%v: %v", values, err)
		}
	}
}

func TestAnalyzePositions(t *testing.T) {
	t.Parallel()
	s := migration.Text("db/1_a.sql", "SELECT 1;\n  COMMIT;")
	s.Line = 10 // a section of a larger file
	a, err := s.Analyze(sqltext.PostgreSQL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Control.Pos.String(); got != "db/1_a.sql:11:3" {
		t.Errorf("got %s", got)
	}
	_, err = migration.Text("x.sql", "SELECT 1;\nSELECT 'a").Analyze(sqltext.PostgreSQL, nil)
	if e := (*sqltext.Error)(nil); !errors.As(err, &e) {
		t.Errorf("got %v, want a %T", err, e)
	} else if e.Pos.File != "x.sql" {
		t.Errorf("e.Pos.File = %q, want %q", e.Pos.File, "x.sql")
	} else if e.Pos.Line != 2 {
		t.Errorf("e.Pos.Line = %v, want 2", e.Pos.Line)
	}
}

func TestAnalyzeKeepsItsAnswer(t *testing.T) {
	t.Parallel()
	s := migration.Text("x.sql", "SELECT a FROM b;")
	first, err := s.Analyze(sqltext.PostgreSQL, []string{"b"})
	if err != nil {
		t.Fatal(err)
	}
	if first.Reserved == nil {
		t.Fatal("first.Reserved is nil")
	}
	if again, _ := s.Analyze(sqltext.PostgreSQL, []string{"b"}); again != first {
		t.Error("the script was read again")
	}
	if other, _ := s.Analyze(sqltext.PostgreSQL, []string{"c"}); other.Reserved != nil {
		t.Error("the answer for other names was given")
	}
	if other, _ := s.Analyze(sqltext.SQLite, []string{"c"}); other == first {
		t.Error("the answer for another dialect was given")
	}
}

// TestAnalyzeNewest: it analyzes the newest script of a set, if that takes time and the text is in
// memory. Analyze then takes no memory.
func TestAnalyzeNewest(t *testing.T) {
	const line = "INSERT INTO t VALUES (1);\n"
	long := func(size int) *migration.Script {
		text := strings.Repeat(line, size/len(line))
		s, err := migration.Stream("x.sql", (&opener{data: []byte(text)}).open)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, tt := range map[string]struct {
		newest  *migration.Script
		another bool // it is not the newest
		want    bool
	}{
		"a long script":                    {newest: long(100 << 10), want: true},
		"a short script":                   {newest: long(1 << 10)},
		"a script that is not in memory":   {newest: long(migration.KeepInMemory + 1<<10)},
		"a long script that is not newest": {newest: long(100 << 10), another: true},
	} {
		all := []migration.Migration{{Version: 1, Name: "a", Up: tt.newest}}
		if tt.another {
			all = append(all, migration.Migration{Version: 2, Name: "b", Up: migration.Text("b.sql", line)})
		}
		set, err := migration.NewSet("s", all...)
		if err != nil {
			t.Fatal(err)
		}
		set.AnalyzeNewest(sqltext.PostgreSQL, []string{"own"})
		again := allocated(func() {
			if _, err := tt.newest.Analyze(sqltext.PostgreSQL, []string{"own"}); err != nil {
				t.Fatal(err)
			}
		})
		if done := again < uint64(tt.newest.Size); done != tt.want && tt.newest.Size > 1<<10 { // the rest of the process allocates, too
			t.Errorf("%s: analyzed ahead: %v, want %v", name, done, tt.want)
		}
	}
	(&migration.Set{}).AnalyzeNewest(sqltext.PostgreSQL, nil) // it has none
}
