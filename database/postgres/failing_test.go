package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// lengths are prefixes: few statements are sent one by one, many in chunks.
var lengths = map[string]string{
	"a short script": "",
	"a long script":  strings.Repeat("SELECT 'ä';\n", 40),
	"a longer one":   strings.Repeat("-- "+strings.Repeat("ü", 1000)+"\nSELECT 1;\n", 400),
}

// failure is a script that fails, with a mark «» at the place that the error must name, and further
// expectations.
type failure struct {
	script    string
	statement string // its beginning
	index     int
	code      string
	says      string // in message, detail, hint or Where
}

var failures = map[string]failure{
	"a syntax error":                             {"CREATE TABLE a (x int);\nSELECT 'é' FROM «»FROM a;\nSELECT 3;", "SELECT 'é'", 1, "42601", `syntax error at or near "FROM"`},
	"a table that is missing":                    {"SELECT 1;\n\n  /* ö */ INSERT INTO «»missing VALUES ('ü');", "INSERT INTO missing", 1, "42P01", "missing"},
	"a name that is missing, and CRLF":           {"CREATE TABLE a (x int);\r\n-- ß\r\nSELECT x,\r\n\t«»y FROM a;\r\n", "SELECT x", 1, "42703", `column "y" does not exist`},
	"an error at run time":                       {"SELECT 1;\n-- and then\n«»SELECT 1 /\n0;\nSELECT 2;", "SELECT 1 /", 1, "22012", "division by zero"},
	"a duplicate key":                            {"CREATE TABLE a (x int PRIMARY KEY);\nINSERT INTO a VALUES (1); «»INSERT INTO a VALUES (1);", "INSERT INTO a", 2, "23505", "Key (x)=(1) already exists."},
	"an error in a function":                     {"CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$\nBEGIN\n  RETURN 1 / 0;\nEND $$;\n«»SELECT f();", "SELECT f()", 1, "22012", "PL/pgSQL function f() line 3 at RETURN"},
	"an exception with all that it may say":      {"SELECT 1;\n«»DO $$ BEGIN RAISE EXCEPTION 'the message' USING DETAIL = 'the detail', HINT = 'the hint', ERRCODE = 'WB001'; END $$;", "DO $$", 1, "WB001", "the hint"},
	"a parameter that nobody gives":              {"SELECT 1;\nSELECT «»$1;", "SELECT $1", 1, "42P02", "there is no parameter $1"},
	"a statement that can't be in a transaction": {"SELECT 1;\n«»DO $$ BEGIN COMMIT; END $$;", "DO $$", 1, "2D000", "no-transaction"},
	"an extension that is missing":               {"CREATE TABLE a (x «»citext);", "CREATE TABLE a", 0, "42704", "extension"},
	"data of COPY":                               {"CREATE TABLE a (x int);\nCOPY a FROM stdin;\n1\n2\n«»three\n4\n\\.\nSELECT 1;", "COPY a", 1, "22P02", `COPY a, line 3, column x: "three"`},
	"COPY itself":                                {"SELECT 1;\n«»COPY missing FROM stdin;\n1\n\\.\n", "COPY missing", 1, "42P01", "missing"},
}

// A statement's error has its place, its number, its text, and everything that the server reported,
// however the script was sent.
func TestStatementErrorSaysWhereAndWhat(t *testing.T) {
	for length, before := range lengths {
		t.Run(length, func(t *testing.T) {
			t.Parallel()
			db := open(t, testdb.Postgres(t))
			for name, f := range failures {
				head, tail, _ := strings.Cut(before+f.script, "«»")
				s := migration.Text("dir/1_ß.up.sql", head+tail)
				s.Line = 10
				err := apply(t, db, "s", 1, s)
				st := as[*database.StatementError](t, err)
				t.Log(err)
				last := head[strings.LastIndexByte(head, '\n')+1:]
				want := sqltext.Position{File: s.File, Offset: int64(len(head)), Line: 10 + strings.Count(head, "\n"), Column: 1 + len([]rune(last))}
				equal(t, name+": Pos", st.Pos, want)
				equal(t, name+": Index", st.Index, f.index+strings.Count(before, "SELECT"))
				equal(t, name+": Code", st.Code, f.code)
				if !strings.HasPrefix(st.Statement, f.statement) {
					t.Errorf("%s: Statement is %q", name, st.Statement)
				}
				contains(t, name, fmt.Sprint(st.Message, "; ", st.Detail, "; ", st.Hint, "; ", st.Where), f.says)
			}
			equal(t, "the applied versions", versions(t, db, "s"), "[]")
		})
	}
}

// A deferred constraint fails at COMMIT, which belongs to no statement.
func TestDeferredConstraintFailsAtCommit(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	set := setOf(t, "s", "CREATE TABLE a (x int PRIMARY KEY, y int REFERENCES a DEFERRABLE INITIALLY DEFERRED);", "SELECT 1;\nINSERT INTO a VALUES (1, 2);\n")
	_, err := up(t, db, set)
	st := as[*database.StatementError](t, err)
	equal(t, "Code", st.Code, "23503")
	contains(t, "the error", err.Error(), "2_m.up.sql:2:1: at COMMIT", "is not present in table")
	contains(t, "Excerpt", st.Excerpt, "INSERT INTO a")
	equal(t, "the version of the failed migration", as[*whimbrel.MigrationError](t, err).Version, 2)
	equal(t, "the applied versions", versions(t, db, "s"), "[1]")
}

// A migration that fails in its second statement leaves nothing behind, and neither do others in
// the same transaction.
func TestFailedMigrationLeavesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		opts whimbrel.Options
		want string // applied afterwards
		left string // tables
	}{
		"each in its own transaction": {whimbrel.Options{}, "[1]", "a"},
		"all in one transaction":      {whimbrel.Options{Atomic: true}, "[]", ""},
	} {
		for length, before := range lengths {
			t.Run(name+", "+length, func(t *testing.T) {
				t.Parallel()
				url := testdb.Postgres(t)
				db := open(t, url)
				broken := setOf(t, "s", "CREATE TABLE a (x int)", before+"CREATE TABLE b (x int); INSERT INTO b VALUES ('x');", "CREATE TABLE c (x int)")
				_, err := up(t, db, broken, tt.opts)
				as[*database.StatementError](t, err)
				equal(t, "the applied versions", versions(t, db, "s"), tt.want)
				equal(t, "the tables", value(t, connect(t, url), "SELECT coalesce(string_agg(relname, ' '), '') FROM pg_class WHERE relname IN ('a', 'b', 'c')"), tt.left)
				isFree(t, db, "s")

				fixed := setOf(t, "s", "CREATE TABLE a (x int)", before+"CREATE TABLE b (x int); INSERT INTO b VALUES (1);", "CREATE TABLE c (x int)")
				_, err = up(t, db, fixed, tt.opts)
				must(t, err)
				equal(t, "the applied versions", versions(t, db, "s"), "[1 2 3]")
			})
		}
	}
}

// An error in a run has its place, too.
func TestStatementErrorOfARun(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db, c := open(t, url), connect(t, url)
	for name, f := range failures {
		if strings.Contains(f.script, "stdin") || f.code == "2D000" {
			continue
		}
		head, tail, _ := strings.Cut(f.script, "«»")
		s := migration.Text("1_ß.up.sql", head+tail)
		r := guard(t, db, name)
		err := execAll(background(t), db, r, s)
		st := as[*database.StatementError](t, err)
		last := head[strings.LastIndexByte(head, '\n')+1:]
		want := sqltext.Position{File: s.File, Offset: int64(len(head)), Line: 1 + strings.Count(head, "\n"), Column: 1 + len([]rune(last))}
		equal(t, name+": Pos", st.Pos, want)
		equal(t, name+": Index", st.Index, f.index)
		must(t, r.Close(background(t)))
		do(t, c, "DROP TABLE IF EXISTS a")
		do(t, c, "DROP FUNCTION IF EXISTS f()")
	}
}

// If a script breaks later statements, the error has the script's place, and what to do.
func TestScriptThatBreaksWhatFollows(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	for text, want := range map[string]string{
		"DROP SCHEMA public CASCADE":                                      "Whimbrel's tables",
		"DO $$ BEGIN EXECUTE 'DROP TABLE whimbrel_' || 'history'; END $$": "Whimbrel's tables",
		"SET statement_timeout = 1; SELECT 1":                             "timeout",
		"SET TRANSACTION ISOLATION LEVEL SERIALIZABLE":                    "control its transaction",
	} {
		db := open(t, url)
		must(t, apply(t, db, "s", 1, script("CREATE TABLE IF NOT EXISTS a (x int)")))
		e := as[*database.StatementError](t, apply(t, db, "s", 2, script(text)))
		contains(t, text, e.Error(), want)
		equal(t, "the file of "+text, e.Pos.File, "1_x.up.sql")
		equal(t, "what is applied after "+text, versions(t, db, "s"), "[1]")
		must(t, db.Close())
	}
}
