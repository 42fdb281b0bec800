package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	client "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// nativeConn returns a connection to a new file.
func nativeConn(t *testing.T, path string) *conn {
	t.Helper()
	pool, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := pool.Conn(bg)
	if err != nil {
		t.Fatal(err)
	}
	native := &conn{Conn: c}
	if native.native = nativeOf(native.client()); native.native == native0 {
		t.Fatal("the client's connection has no native")
	}
	t.Cleanup(func() { native.release(); pool.Close() })
	return native
}

var native0 native

func execNative(t *testing.T, c *conn, text string) {
	t.Helper()
	if done, err := c.native.exec(text); !done || err != nil {
		t.Fatalf("%s: %v, %v", text, done, err)
	}
}

// The codes that the client appends to a message are not shown twice.
func TestMessageOfALockedFile(t *testing.T) {
	t.Parallel()
	c := nativeConn(t, filepath.Join(t.TempDir(), "app.db"))
	e := statementError(sqltext.Statement{}, c.native.error(lib.SQLITE_BUSY))
	if want := "database is locked"; !strings.HasPrefix(e.Message, want) || strings.Contains(e.Message, "(") || e.Code != "SQLITE_BUSY" {
		t.Errorf("%q (%s), want %q", e.Message, e.Code, want)
	}
}

// A COMMIT that finds the disk full says so, at the script, and not that it can't connect.
func TestCommitOnAFullDisk(t *testing.T) {
	t.Parallel()
	c := nativeConn(t, filepath.Join(t.TempDir(), "app.db"))
	b := &transaction{c: c, scripts: []*migration.Script{migration.Text("0002_b.up.sql", "SELECT 1")}}
	err := b.commitError(c.native.error(lib.SQLITE_FULL), false)
	e := &database.StatementError{}
	if !errors.As(err, &e) || e.Pos.File != "0002_b.up.sql" || e.Code != "SQLITE_FULL" || !strings.HasPrefix(e.Message, "at COMMIT: ") || !e.OwnHint {
		t.Errorf("%#v", err)
	}
}

// A statement that fails has the error that the client returns.
func TestNativeErrors(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	c := nativeConn(t, path)
	for _, text := range []string{
		"CREATE TABLE parent (id INTEGER PRIMARY KEY)",
		"CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL CHECK (name <> 'x'), parent REFERENCES parent)",
		"CREATE TRIGGER no BEFORE DELETE ON t BEGIN SELECT raise(ABORT, 'rows stay'); END",
		"INSERT INTO t (id, name) VALUES (1, 'a')",
		"PRAGMA foreign_keys = on",
	} {
		execNative(t, c, text)
	}
	check := func(text string) {
		t.Helper()
		done, err := c.native.exec(text)
		_, want := c.ExecContext(bg, text)
		got, ok := err.(*client.Error)
		if !done || !ok || want == nil || got.Error() != want.Error() || got.Code() != code(want) {
			t.Errorf("%s: %v, %v, want %v", text, done, err, want)
		}
	}
	for _, text := range []string{
		"INSERT INTO t (id, name) VALUES (1, 'b')",
		"INSERT INTO t (id, name) VALUES (2, 'a')",
		"INSERT INTO t (id, name) VALUES (2, NULL)",
		"INSERT INTO t (id, name) VALUES (2, 'x')",
		"INSERT INTO t (id, name) VALUES ('two', 'b')",
		"INSERT INTO t (id, name, parent) VALUES (2, 'b', 7)",
		"DELETE FROM t",
		"COMMIT",
		"SELECT abs(-9223372036854775808)",
		"SELECT json('{')",
	} {
		check(text)
	}
	other := nativeConn(t, path)
	execNative(t, other, "BEGIN IMMEDIATE")
	check("BEGIN IMMEDIATE")
	check("DELETE FROM parent")
}

// SQLite executes nothing of a text that is left to the client.
func TestLeftToTheClient(t *testing.T) {
	t.Parallel()
	c := nativeConn(t, filepath.Join(t.TempDir(), "app.db"))
	execNative(t, c, "CREATE TABLE t (x)")
	for _, text := range []string{
		"", "-- nothing", ";",
		"INSERT INTO t VALUES (1), (",
		"INSERT INTO nothing VALUES (1)",
		"INSERT INTO t VALUES (?)",
		"INSERT INTO t VALUES (:x)",
		"INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)",
		"INSERT INTO t VALUES (1); -- and a comment",
	} {
		if done, err := c.native.exec(text); done || err != nil {
			t.Errorf("%q: %v, %v, want nothing done", text, done, err)
		}
	}
	var rows int
	if err := c.ask("SELECT count(*) FROM t").Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows, %v, want 0", rows, err)
	}
	if err := c.do("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)"); err != nil {
		t.Error(err)
	}
	// A statement that returns rows is executed to its end.
	execNative(t, c, "INSERT INTO t SELECT x + 2 FROM t RETURNING x")
	if err := c.ask("SELECT count(*) FROM t").Scan(&rows); err != nil || rows != 4 {
		t.Errorf("%d rows, %v, want 4", rows, err)
	}
}

// Nothing is executed on a connection that was given up.
func TestNoNativeAfterTheEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*conn){"drop": (*conn).drop, "release": (*conn).release} {
		c := nativeConn(t, filepath.Join(t.TempDir(), "app.db"))
		end(c)
		if c.native != native0 {
			t.Errorf("%s leaves a native", name)
		}
		if err := c.do("BEGIN"); !errors.Is(err, sql.ErrConnDone) {
			t.Errorf("after %s: %v, want %v", name, err, sql.ErrConnDone)
		}
	}
}

// Queries that a Go function leaves open are closed by other goroutines, which take turns with the
// client's calls alone: the race detector would report others.
func TestNoNativeAfterAFunction(t *testing.T) {
	t.Parallel()
	c := nativeConn(t, filepath.Join(t.TempDir(), "app.db"))
	execNative(t, c, "CREATE TABLE t (x)")
	execNative(t, c, "BEGIN")
	for range 20 {
		err := c.call(bg, migration.Func("f", nil), func(ctx context.Context, tx Tx) error {
			rows, err := tx.QueryContext(ctx, "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 1000) SELECT x FROM n")
			if err == nil && !rows.Next() {
				err = errors.New("got no row")
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if c.native != native0 {
			t.Fatal("a function leaves a native")
		}
		for range 20 {
			if err := c.exec(bg, "INSERT INTO t VALUES (1)"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.do("COMMIT"); err != nil {
		t.Error(err)
	}
}
