package sqlite

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// tablesOfInserts are tables, and what else an INSERT can reach.
var tablesOfInserts = []string{
	"CREATE TABLE plain (a, b, c)",
	"CREATE TABLE typed (a INTEGER, b TEXT, c REAL)",
	"CREATE TABLE other (a NUMERIC, b BLOB, c VARCHAR(10) COLLATE NOCASE)",
	"CREATE TABLE keyed (a INTEGER PRIMARY KEY, b UNIQUE, c)",
	"CREATE TABLE counted (a INTEGER PRIMARY KEY AUTOINCREMENT, b NOT NULL, c DEFAULT 'd')",
	"CREATE TABLE strict (a INTEGER, b TEXT NOT NULL, c ANY) STRICT",
	"CREATE TABLE checked (a, b, c, CHECK (typeof(a) = 'integer' AND length(b) > 1))",
	"CREATE TABLE made (a, b, c, d AS (typeof(a) || quote(b)) STORED, e AS (c + 1))",
	"CREATE TABLE rowless (a, b, c, PRIMARY KEY (a, b)) WITHOUT ROWID",
	"CREATE TABLE child (a REFERENCES keyed, b, c REFERENCES keyed DEFERRABLE INITIALLY DEFERRED)",
	`CREATE TABLE "odd "" name" (a, b, c)`,
	"CREATE INDEX partial ON plain (a) WHERE b > 5",
	"CREATE INDEX expressions ON plain (quote(a), typeof(b))",
	"CREATE TABLE log (x)",
	"CREATE TRIGGER logged AFTER INSERT ON typed BEGIN INSERT INTO log VALUES (typeof(NEW.a) || quote(NEW.a) || typeof(NEW.b) || quote(NEW.b) || (NEW.a = '1')); END",
	"CREATE TRIGGER refused BEFORE INSERT ON other WHEN NEW.a = 7 BEGIN SELECT raise(FAIL, 'seven'); END",
	"CREATE VIEW seen AS SELECT a, b, c FROM plain",
	"CREATE TRIGGER through INSTEAD OF INSERT ON seen BEGIN INSERT INTO log VALUES (typeof(NEW.a) || quote(NEW.a) || (NEW.b < '5') || (NEW.c = 5)); END",
	"CREATE VIRTUAL TABLE words USING fts5 (a, b, c)",
	"CREATE VIRTUAL TABLE boxes USING rtree (a, b, c)",
}

var (
	targetsOfInserts = strings.Fields(`plain typed other keyed counted strict checked made rowless child seen words boxes main.plain "typed" [other]`)
	formsOfInserts   = []string{
		"INSERT INTO %s (a, b, c) VALUES (%s)", "INSERT INTO %s (a, b, c) VALUES (%s)", "insert into %s(a,b,c) values(%s)", "INSERT OR IGNORE INTO %s (c, b, a) VALUES\n\t(%s)",
		"INSERT OR REPLACE INTO %s (\"a\", [b], c) VALUES (%s)", "INSERT OR FAIL INTO %s (a, b, c) VALUES ( %s )", "INSERT INTO %s (a, b, c) VALUES (%s), (1, 2, 3)",
		"INSERT INTO %s /* VALUES ( */ (a, b, c) VALUES (%s)", "INSERT INTO %s (a, b) VALUES (%s)", "INSERT INTO %s (a, b, c) VALUES (%s) ON CONFLICT DO NOTHING",
		"REPLACE INTO %s (a, b, c) VALUES (%s)", "INSERT INTO %s (a, b, c) VALUES (%s) RETURNING a",
	}
	valuesOfInserts = []string{
		"NULL", "null", "1", "0", "-0", "-1", "007", "-007", "7", "5", "42", "999999999999999999", "-999999999999999999", "-9223372036854775808", "9223372036854775808",
		"'1'", "'-1'", "'1.0'", "'1e3'", "''", "'text'", "'it''s'", "''''", "'a,b)'", "' 5 '", "'äöü €'", "'\xff\xfe'", "'line\nend'", "'NULL'", "'--'",
		"1.5", "1e3", "0x10", "x'61'", "1 + 1", "- 1", "+1", "--1\n1", "/* */ 1", "true", "current_date", "abs(-1)", "(1)", `"a"`, "1_000", "nothing",
	}
)

// Scripts have the same effects and errors as with the client.
func TestInsertsProperty(t *testing.T) {
	t.Parallel()
	for seed := range uint64(24) {
		r := rand.New(rand.NewPCG(seed, 1))
		one := func(of []string) string { return of[r.IntN(len(of))] }
		with, without := nativeConn(t, ":memory:"), nativeConn(t, ":memory:")
		with.inserts, without.native = &inserts{native: with.native}, native{}
		execute := func(text string) {
			t.Helper()
			got, want := with.exec(bg, text), without.exec(bg, text)
			if fmt.Sprint(got) != fmt.Sprint(want) || code(got) != code(want) {
				t.Errorf("seed %d: %q: %v, want %v", seed, text, got, want)
			}
			if got, want := numbers(t, with), numbers(t, without); got != want {
				t.Errorf("seed %d: %q: changes and the last row are %s, want %s", seed, text, got, want)
			}
		}
		if seed%3 == 0 {
			execute("PRAGMA encoding = 'UTF-16'")
		}
		execute(fmt.Sprintf("PRAGMA foreign_keys = %d", seed%2))
		execute(fmt.Sprintf("PRAGMA count_changes = %t", seed%5 == 0))
		for _, text := range tablesOfInserts {
			execute(text)
		}
		execute("BEGIN")
		for range 60 {
			target, form, few := one(targetsOfInserts), one(formsOfInserts), valuesOfInserts
			if r.IntN(2) == 0 {
				few = few[:12]
			}
			if r.IntN(9) == 0 {
				target = `"odd "" name"`
			}
			for range 1 + r.IntN(6) {
				values := one(few) + "," + one(few) + one([]string{",", ", ", "\n, "}) + one(few)
				execute(fmt.Sprintf(form, target, values))
			}
			if r.IntN(8) == 0 {
				execute("ALTER TABLE plain RENAME TO simple")
				execute("ALTER TABLE simple RENAME TO plain")
			}
		}
		if with.inserts.prepared == 0 {
			t.Errorf("seed %d: no statement was prepared for several", seed)
		}
		with.inserts.end()
		execute("COMMIT")
		if got, want := contents(t, with), contents(t, without); got != want {
			t.Errorf("seed %d: got\n%s\nwant\n%s", seed, got, want)
		}
	}
}

// numbers returns what SQLite says about the last change.
func numbers(t *testing.T, c *conn) (n string) {
	t.Helper()
	if err := c.ask("SELECT changes() || ' ' || total_changes() || ' ' || last_insert_rowid()").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// contents returns all rows, with the types of their values.
func contents(t *testing.T, c *conn) string {
	t.Helper()
	var b strings.Builder
	for _, table := range []string{"plain", "typed", "other", "keyed", "counted", "strict", "checked", "rowless", "child", `"odd "" name"`, "words", "boxes"} {
		rows(t, c, &b, fmt.Sprintf("SELECT '%s ' || quote(a) || quote(b) || quote(c) FROM %[1]s ORDER BY 1", table))
	}
	rows(t, c, &b, "SELECT 'made ' || quote(a) || quote(b) || quote(c) || quote(d) || quote(e) FROM made ORDER BY rowid")
	rows(t, c, &b, "SELECT 'log ' || quote(x) FROM log ORDER BY rowid")
	return b.String()
}

func rows(t *testing.T, c *conn, b *strings.Builder, query string) {
	t.Helper()
	all, err := c.QueryContext(bg, query)
	if err != nil {
		t.Fatal(err)
	}
	defer all.Close()
	for all.Next() {
		var text sql.NullString
		if err := all.Scan(&text); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(b, text.String)
	}
	if err := all.Err(); err != nil {
		t.Fatal(err)
	}
}

// The INSERTs of a table share a statement, whatever their values. Others are executed as they are.
func TestPreparedInserts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script   string
		prepared int
	}{
		{"INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'); INSERT INTO t VALUES (NULL, -3); INSERT INTO t VALUES ('x', '')", 1},
		{"INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'it''s'); INSERT INTO t VALUES (3, 'c'); INSERT INTO t VALUES (4, 'd')", 1},
		{"INSERT INTO t VALUES (1, 'a'); DELETE FROM t; INSERT INTO t VALUES (2, 'b'); INSERT INTO t VALUES (3, 'c')", 1},
		{"INSERT INTO t VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'); SELECT 1; INSERT INTO t VALUES (3, 'c'); INSERT INTO t VALUES (4, 'd')", 2},
		{"INSERT INTO t VALUES (1, 'a'); INSERT INTO u VALUES (1, 'a'); INSERT INTO t VALUES (2, 'b'); INSERT INTO u VALUES (2, 'b')", 0},
		{"INSERT INTO t VALUES (1, 1.5); INSERT INTO t VALUES (2, abs(1)); INSERT INTO t VALUES (3, (4))", 0},
		{"INSERT INTO t VALUES (1, 2), (3, 4); INSERT INTO t VALUES (5, 6), (7, 8)", 0},
		{"INSERT INTO t SELECT 1, 2; INSERT INTO t SELECT 3, 4", 0},
		{"INSERT INTO nothing VALUES (1); INSERT INTO nothing VALUES (2)", 0},
	} {
		conn := nativeConn(t, ":memory:")
		conn.inserts = &inserts{native: conn.native}
		for _, text := range strings.Split("CREATE TABLE t (a, b); CREATE TABLE u (a, b); "+c.script, "; ") {
			if err := conn.exec(bg, text); err != nil && !strings.Contains(text, "nothing") {
				t.Errorf("%s: %v", text, err)
			}
		}
		if n := conn.inserts.prepared; n != c.prepared {
			t.Errorf("%s: %d statements were prepared for several, want %d", c.script, n, c.prepared)
		}
	}
}
