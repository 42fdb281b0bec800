package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var bg = context.Background()

// patient waits for a lock as long as any test waits.
var patient = database.LockOptions{Timeout: 5 * time.Minute}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// connect opens a URL that must be valid.
func connect(t testing.TB, url string, opts database.Options) database.Database {
	t.Helper()
	db, err := database.Open(bg, url, opts)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func begin(t testing.TB, db database.Database) database.Tx {
	t.Helper()
	b, _, err := db.Begin(bg, "app", patient)
	must(t, err)
	t.Cleanup(func() { b.Rollback(bg) })
	return b
}

func text(script string) *migration.Script { return migration.Text("0001_test.up.sql", script) }

func event(version int64) database.Entry {
	return database.Entry{Version: version, Name: "step", Direction: database.Up, Checksum: migration.Sum("x"), StartedAt: time.Now()}
}

// apply commits a script with the entry of its version.
func apply(t testing.TB, db database.Database, version int64, script string) {
	t.Helper()
	b := begin(t, db)
	must(t, b.Exec(bg, text(script)))
	must(t, b.Record(bg, event(version)))
	must(t, errOf(b.Commit(bg)))
}

// scan reads one value on a connection of its own.
func scan[T any](t testing.TB, path, query string) (v T) {
	t.Helper()
	must(t, inspect(path, func(pool *sql.DB) error { return pool.QueryRow(query).Scan(&v) }))
	return v
}

func TestURLs(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	must(t, os.Mkdir("data", 0o755))
	for url, file := range map[string]string{
		"sqlite:a.db":                      "a.db",
		"sqlite3:b.db":                     "b.db",
		"sqlite://c.db":                    "c.db",
		"sqlite:data/d.db":                 "data/d.db",
		"sqlite://data/e.db":               "data/e.db",
		"sqlite:" + dir + "/f.db":          "f.db",
		"sqlite://" + dir + "/g.db":        "g.db",
		"sqlite:h%20%23%3F%25.db":          "h #?%.db",
		"sqlite:i.db?mode=rwc":             "i.db",
		"sqlite:ü'\"j.db?_txlock=deferred": "ü'\"j.db",
	} {
		apply(t, connect(t, url, database.Options{}), 1, "CREATE TABLE t (x)")
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%s did not make %s: %v", url, file, err)
		}
	}
	for _, url := range []string{
		"sqlite:", "sqlite://", "sqlite:?mode=ro", "sqlite:a#b.db", "sqlite:%zz.db", "sqlite:%00.db",
		"sqlite:file:a.db", "sqlite:a.db?cache=shared", "sqlite:a.db?journal=wal", "sqlite:a.db?mode=memory", "sqlite:a.db?%zz",
	} {
		_, err := database.Open(bg, url, database.Options{})
		if e := (*database.URLError)(nil); !errors.As(err, &e) {
			t.Errorf("%s: %v, want a *URLError", url, err)
		}
	}
}

func TestReadingDoesNotCreateTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	st, err := db.State(bg, "app")
	must(t, err)
	if st.Head != 0 {
		t.Errorf("st.Head = %v, want %v", st.Head, 0)
	} else if st.Applied.Len() != 0 {
		t.Errorf("st.Applied.Len() = %v, want %v", st.Applied.Len(), 0)
	} else if st.Settings.Bool(database.Frozen) {
		t.Error("st.Settings.Bool(database.Frozen) is true, want false")
	}
	for _, err := range db.History(bg, database.HistoryQuery{}) {
		must(t, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	apply(t, db, 1, "CREATE TABLE t (x)")
	if n := scan[int](t, path, "SELECT count(*) FROM whimbrel_history WHERE set_name = 'app'"); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
}

func TestWhatCannotBeOpened(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.WriteFile(path("text.db"), []byte(strings.Repeat("not a database\n", 100)), 0o644))
	for _, tc := range []struct{ url, says string }{
		{path("missing/app.db"), "create the folder first"},
		{path("text.db/app.db"), "not a"},
		{dir, "folder"},
		{path("text.db"), "SQLITE database"},
		{path("no.db") + "?mode=rw", "does not exist"},
		{path("no.db") + "?mode=ro", "does not exist"},
		{path("new.db") + "?_pragma=nonsense((", ""},
	} {
		db, err := database.Open(bg, "sqlite:"+tc.url, database.Options{})
		if err == nil {
			_, _, err = db.Begin(bg, "app", patient)
			db.Close()
		}
		if err == nil {
			t.Errorf("%s: %v, want an error that says %q", tc.url, err, tc.says)
		} else if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(tc.says)) {
			t.Errorf("%s: strings.ToLower(err.Error()) = %q, want a text with %q", tc.url, strings.ToLower(err.Error()), strings.ToLower(tc.says))
		}
		if e := (*database.ConnectError)(nil); tc.says != "" && !errors.As(err, &e) {
			t.Errorf("%s: %v, want a *ConnectError", tc.url, err)
		}
	}
	if _, err := database.Open(bg, "sqlite::memory:", database.Options{Schema: "other"}); err == nil {
		t.Error("a schema was not refused")
	}
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	apply(t, connect(t, "sqlite:"+path, database.Options{}), 1, "CREATE TABLE t (x)")
	for _, param := range []string{"mode=ro", "_pragma=foreign_keys(1)&mode=ro"} {
		db := connect(t, "sqlite:"+path+"?"+param, database.Options{})
		st, err := db.State(bg, "app")
		must(t, err)
		if st.Applied.Len() != 1 {
			t.Errorf("%s: %d applied, want 1", param, st.Applied.Len())
		}
		_, _, err = db.Begin(bg, "app", patient)
		if e := (*database.ConnectError)(nil); !errors.As(err, &e) {
			t.Errorf("%s: Begin: %v, want a *ConnectError that says what to do", param, err)
		} else if e.Code != "SQLITE_READONLY" {
			t.Errorf("%s: e.Code = %v, want %v", param, e.Code, "SQLITE_READONLY")
		} else if e.Hint == "" {
			t.Errorf("%s: e.Hint is empty", param)
		}
		if err := database.UpdateSetting(bg, db, database.SettingUpdate{Name: database.Frozen, Value: "true"}); err == nil {
			t.Errorf("%s: UpdateSetting succeeded", param)
		}
	}
}

func TestInMemory(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite::memory:", database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	b := begin(t, db)
	_, _, err := db.Begin(bg, "app", database.LockOptions{})
	if !errors.Is(err, database.ErrLocked) {
		t.Errorf("a second Begin: %v, want ErrLocked", err)
	}
	must(t, b.Rollback(bg))
	r, _, err := db.Guard(bg, "app", patient)
	must(t, err)
	_, _, err = db.Begin(bg, "app", database.LockOptions{})
	if !errors.Is(err, database.ErrLocked) {
		t.Errorf("Begin beside a Run: %v, want ErrLocked", err)
	}
	must(t, r.Close(bg))
	apply(t, db, 2, "INSERT INTO t VALUES (1)")
	st, err := db.State(bg, "app")
	must(t, err)
	if st.Applied.Len() != 2 {
		t.Errorf("%d applied, want 2", st.Applied.Len())
	}
}

func TestCancelledInMemoryKeepsTheDatabase(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite::memory:", database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	b := begin(t, db)
	ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
	defer cancel()
	err := b.Exec(ctx, text("INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v, want the context's error", err)
	}
	must(t, b.Rollback(bg))
	apply(t, db, 2, "INSERT INTO t VALUES (1)")
}

func TestOddNames(t *testing.T) {
	t.Parallel()
	for i, name := range []string{`order`, `a b`, `it's`, `say "so"`, `ünï;--`, `my_history`, `[x]`, "`", `History`} {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("%d '\"%%.db", i))
		opts := database.Options{HistoryTable: name}
		db := connect(t, "sqlite:"+strings.ReplaceAll(path, "%", "%25"), opts)
		apply(t, db, 1, "CREATE TABLE t (x)")
		must(t, database.UpdateSetting(bg, db, database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "'"}))
		r, _, err := db.Guard(bg, "app", patient)
		must(t, err)
		must(t, r.Close(bg))
		st, err := db.State(bg, "app")
		must(t, err)
		if st.Applied.Len() != 1 {
			t.Errorf("%s: st.Applied.Len() = %v, want %v", name, st.Applied.Len(), 1)
		} else if !st.Settings.Bool(database.Frozen) {
			t.Errorf("%s: st.Settings.Bool(database.Frozen) is false, want true", name)
		}
		names := opts.TableNames()
		for _, table := range []string{names.History, names.Settings} {
			q := "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = '" + strings.ReplaceAll(table, "'", "''") + "'"
			if scan[int](t, path, q) != 1 {
				t.Errorf("there is no table %s", table)
			}
		}
	}
}

func TestSettingsThatEnd(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	frozen := func() bool {
		st, err := db.State(bg, "app")
		must(t, err)
		return st.Settings.Bool(database.Frozen)
	}
	update := func(u database.SettingUpdate) {
		u.Name, u.At = database.Frozen, time.Now()
		must(t, database.UpdateSetting(bg, db, u))
	}
	update(database.SettingUpdate{Value: "true", Until: time.Now().Add(time.Hour)})
	if !frozen() {
		t.Error("a change with an end has no effect")
	}
	update(database.SettingUpdate{Value: "true", Until: time.Now().Add(-time.Hour)})
	if frozen() {
		t.Error("a change that has ended still has an effect")
	}
	update(database.SettingUpdate{Value: "true"})
	update(database.SettingUpdate{Unset: true})
	if frozen() {
		t.Error("an unset value still has an effect")
	}
}

func TestTablesThatAreNotWhimbrels(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	apply(t, connect(t, "sqlite:"+path, database.Options{HistoryTable: "mine"}), 1, "CREATE TABLE whimbrel_history (id int)")
	db := connect(t, "sqlite:"+path, database.Options{})
	_, err := db.State(bg, "app")
	_, _, berr := db.Begin(bg, "app", patient)
	for _, err := range []error{err, berr} {
		if err == nil {
			t.Errorf("%v, want an error that says whose the table is not", err)
		} else if !strings.Contains(err.Error(), "not Whimbrel's") {
			t.Errorf("the error is %q, want a text with %q", err, "not Whimbrel's")
		}
	}
}

func TestNewerTables(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	must(t, inspect(path, func(pool *sql.DB) error {
		_, err := pool.Exec("INSERT INTO whimbrel_history (set_name, version, name, direction, started_at, duration_us) VALUES ('whimbrel', 7, 'later', 'up', '2030-01-01T00:00:00.000000Z', 0)")
		return err
	}))
	_, err := db.State(bg, "app")
	_, _, berr := db.Begin(bg, "app", patient)
	_, _, gerr := db.Guard(bg, "app", patient)
	for _, err := range []error{err, berr, gerr} {
		if e := (*database.TablesNewerError)(nil); !errors.As(err, &e) {
			t.Errorf("%v, want a *TablesNewerError", err)
		} else if e.Found != 7 {
			t.Errorf("e.Found = %v, want %v", e.Found, 7)
		} else if e.Known != 1 {
			t.Errorf("e.Known = %v, want %v", e.Known, 1)
		}
	}
}

func TestStatementErrors(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite::memory:", database.Options{})
	for _, tc := range []struct {
		script, pos, code, message string
		index                      int
	}{
		{"CREATE TABLE t (x UNIQUE);\n\n -- one\nINSERT INTO t VALUES (1);\n  INSERT INTO t\n VALUES (1);", "0001_test.up.sql:5:3", "SQLITE_CONSTRAINT_UNIQUE", "UNIQUE constraint failed: t.x", 2},
		{"CREATE TABLE t (a int)\n\nCREATE TABLE u (a int);", "0001_test.up.sql:3:1", "SQLITE_ERROR", `near "CREATE": syntax error`, 0},
		{"SELECT 1 AS a,\n  2 # b\n;", "0001_test.up.sql:2:5", "SQLITE_ERROR", `near "#": unrecognized token`, 0},
		{"SELEC 1;", "0001_test.up.sql:1:1", "SQLITE_ERROR", `near "SELEC": syntax error`, 0},
		{"SELECT 1;\nCREATE TABLE t (\n  a int,\n  b int NOT NUL\n);", "0001_test.up.sql:4:13", "SQLITE_ERROR", `near "NUL": syntax error`, 1},
		{"SELECT 1; SELECT missing;", "0001_test.up.sql:1:11", "SQLITE_ERROR", "no such column: missing", 1},
		{"SELECT ?", "0001_test.up.sql:1:8", "", "has a parameter", 0},
	} {
		b := begin(t, db)
		err := b.Exec(bg, text(tc.script))
		var e *database.StatementError
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v, want a *StatementError", tc.script, err)
		}
		if e.Pos.String() != tc.pos {
			t.Errorf("%s: e.Pos.String() = %v, want %v", tc.script, e.Pos.String(), tc.pos)
		} else if tc.code != "" && e.Code != tc.code {
			t.Errorf("%s: %v (index %d), want %s: %s (%s)", tc.script, e, e.Index, tc.pos, tc.message, tc.code)
		} else if e.Index != tc.index {
			t.Errorf("%s: e.Index = %v, want %v", tc.script, e.Index, tc.index)
		} else if !strings.Contains(e.Message, tc.message) {
			t.Errorf("%s: e.Message = %q, want a text with %q", tc.script, e.Message, tc.message)
		}
		must(t, b.Rollback(bg))
	}
}

func TestTransactionControlIsRefused(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite::memory:", database.Options{})
	b := begin(t, db)
	must(t, b.Exec(bg, text("BEGIN; CREATE TABLE t (x); COMMIT;"))) // around the whole script
	err := b.Exec(bg, text("CREATE TABLE u (x); COMMIT; CREATE TABLE v (x)"))
	if e := (*database.StatementError)(nil); !errors.As(err, &e) {
		t.Errorf("%v, want a *StatementError at the COMMIT", err)
	} else if e.Pos.Column != 21 {
		t.Errorf("e.Pos.Column = %v, want %v", e.Pos.Column, 21)
	}
}

func TestRollbackAfterSQLiteRolledBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	b := begin(t, db)
	err := b.Exec(bg, text("CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1); INSERT OR ROLLBACK INTO t VALUES (1);"))
	if err == nil {
		t.Fatal("no error")
	}
	must(t, b.Rollback(bg))
	b = begin(t, db)
	must(t, b.Exec(bg, text("CREATE TABLE u (x)")))
	must(t, b.Record(bg, event(1)))
	must(t, errOf(b.Commit(bg)))
	if n := scan[int](t, path, "SELECT count(*) FROM sqlite_schema WHERE name IN ('t', 'u')"); n != 1 {
		t.Errorf("%d tables, want 1", n)
	}
}

func TestReaderDelaysCommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x); INSERT INTO t VALUES (1)")
	reader, err := open(t, path, "").Conn(bg)
	must(t, err)
	defer reader.Close()
	_, err = reader.ExecContext(bg, "BEGIN; SELECT * FROM t")
	must(t, err)

	b := begin(t, db)
	must(t, b.Exec(bg, text("INSERT INTO t VALUES (2)")))
	done := make(chan error)
	go func() { done <- errOf(b.Commit(bg)) }()
	select {
	case err := <-done:
		t.Fatalf("Commit did not wait for the reader: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	_, err = reader.ExecContext(bg, "COMMIT")
	must(t, err)
	must(t, <-done)

	_, err = reader.ExecContext(bg, "BEGIN; SELECT * FROM t")
	must(t, err)
	b = begin(t, db)
	must(t, b.Exec(bg, text("INSERT INTO t VALUES (3)")))
	ctx, cancel := context.WithTimeout(bg, 50*time.Millisecond)
	defer cancel()
	if _, err := b.Commit(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Commit: %v, want the context's error", err)
	}
	_, err = reader.ExecContext(bg, "COMMIT")
	must(t, err)
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

func TestDeferredForeignKeysAtCommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path+"?_pragma=foreign_keys(1)", database.Options{})
	b := begin(t, db)
	must(t, b.Exec(bg, text(`PRAGMA defer_foreign_keys = ON;
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent);
INSERT INTO child VALUES (3, 1);`)))
	_, err := b.Commit(bg)
	if e := (*database.StatementError)(nil); !errors.As(err, &e) {
		t.Errorf("Commit: %v, want a *StatementError that names the row", err)
	} else if e.Code != "SQLITE_CONSTRAINT_FOREIGNKEY" {
		t.Errorf("Commit: e.Code = %v, want %v", e.Code, "SQLITE_CONSTRAINT_FOREIGNKEY")
	} else if !strings.Contains(e.Message, "table child row 3 (parent parent)") {
		t.Errorf("Commit: e.Message = %q, want a text with %q", e.Message, "table child row 3 (parent parent)")
	}
	if n := scan[int](t, path, "SELECT count(*) FROM sqlite_schema"); n != 0 {
		t.Errorf("%d objects are left, want none", n)
	}
}

func TestBusyTimeoutIsRestored(t *testing.T) {
	t.Parallel()
	pool := open(t, filepath.Join(t.TempDir(), "app.db"), "_pragma=busy_timeout(4321)")
	pool.SetMaxOpenConns(1)
	db, err := sqlite.New(pool, database.Options{})
	must(t, err)
	value := func() (v int) {
		must(t, pool.QueryRow("PRAGMA busy_timeout").Scan(&v))
		return v
	}
	apply(t, db, 1, "PRAGMA busy_timeout = 7; CREATE TABLE t (x)")
	if v := value(); v != 4321 {
		t.Errorf("busy_timeout is %d after a Tx, want 4321", v)
	}
	r, _, err := db.Guard(bg, "app", patient)
	must(t, err)
	must(t, r.Close(bg))
	if v := value(); v != 4321 {
		t.Errorf("busy_timeout is %d after a Run, want 4321", v)
	}
	must(t, db.Close())
	value() // the pool is still open
}

// statements splits a script for Run.Exec.
func statements(t testing.TB, script string) []sqltext.Statement {
	t.Helper()
	all, err := sqltext.Split(script, sqltext.SQLite, sqltext.Options{File: "0001_test.up.sql"})
	must(t, err)
	return all
}

// What a connection remembers of its last Tx is invalid after any other write:
// by another connection, another process, a setting, a Run, a function.
func TestHeadIsNeverStale(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	mine, other := connect(t, "sqlite:"+path, database.Options{}), connect(t, "sqlite:"+path, database.Options{})
	others := map[string]func(t *testing.T){
		"nothing":         func(*testing.T) {},
		"another process": func(t *testing.T) { apply(t, other, 500, "SELECT 1") },
		"another connection": func(t *testing.T) {
			apply(t, other, 501, "CREATE TABLE other (x)")
			apply(t, other, 502, "DROP TABLE other")
		},
		"a setting": func(t *testing.T) {
			must(t, database.UpdateSetting(bg, mine, database.SettingUpdate{Name: "protected", Value: "true", Reason: "r"}))
			must(t, database.UpdateSetting(bg, mine, database.SettingUpdate{Name: "protected", Unset: true, Reason: "r"}))
		},
		"another set": func(t *testing.T) {
			b, _, err := mine.Begin(bg, "other", database.LockOptions{})
			must(t, err)
			must(t, b.Record(bg, event(1)))
			must(t, errOf(b.Commit(bg)))
		},
		"a run": func(t *testing.T) {
			r, _, err := mine.Guard(bg, "app", database.LockOptions{})
			must(t, err)
			_, err = r.Record(bg, event(503))
			must(t, err)
			must(t, r.Close(bg))
		},
		"rolled back": func(t *testing.T) {
			b := begin(t, mine)
			must(t, b.Record(bg, event(504)))
			must(t, b.Rollback(bg))
		},
	}
	version := int64(0)
	for name, do := range others {
		for range 2 {
			version++
			apply(t, mine, version, "SELECT 1")
			do(t)
			st, err := other.State(bg, "app")
			must(t, err)
			b, found, err := mine.Begin(bg, "app", database.LockOptions{})
			must(t, err)
			if found.Head != st.Head {
				t.Errorf("after %s: the head is %d, want %d", name, found.Head, st.Head)
			}
			must(t, b.Rollback(bg))
		}
	}
}

// A Tx after another one sends nothing but its lock, its script, its history entry and its COMMIT.
func TestStatementsOfATx(t *testing.T) {
	t.Parallel()
	c := &cutter{}
	pool := sql.OpenDB(connector{cutDriver{c}, "file://" + filepath.Join(t.TempDir(), "app.db")})
	defer pool.Close()
	db, err := sqlite.New(pool, database.Options{})
	must(t, err)
	sqlite.Own(db)
	apply(t, db, 1, "CREATE TABLE a (x)")
	apply(t, db, 2, "CREATE TABLE b (x)")
	before := c.sent
	for v := range int64(10) {
		apply(t, db, 3+v, fmt.Sprintf("CREATE TABLE t%d (x)", v))
	}
	if sent := c.sent - before; sent != 40 {
		t.Errorf("10 Txs sent %d statements, want 40", sent)
	}
}

// A file has no users, so the history and the settings contain the operating system's user.
func TestSystemUser(t *testing.T) {
	t.Parallel()
	me, err := user.LookupId(strconv.Itoa(os.Getuid()))
	must(t, err)
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	apply(t, db, 1, "SELECT 1")
	must(t, database.UpdateSetting(bg, db, database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "r"}))
	for e, err := range db.History(bg, database.HistoryQuery{}) {
		must(t, err)
		if e.DBUser != me.Username {
			t.Errorf("event %d says %q, not %q", e.ID, e.DBUser, me.Username)
		}
	}
	st, err := db.State(bg, "app")
	must(t, err)
	v, err := st.Settings.Get(database.Frozen)
	must(t, err)
	if v.ChangedBy != me.Username {
		t.Errorf("the setting says %q, not %q", v.ChangedBy, me.Username)
	}
}

// A change of a setting waits for an open Tx up to its timeout, and is not stored if it times out.
func TestSettingBesideATransaction(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "app.db")
	busy, operator := connect(t, url, database.Options{}), connect(t, url, database.Options{})
	apply(t, busy, 1, "SELECT 1")
	b := begin(t, busy)
	must(t, b.Exec(bg, text("CREATE TABLE t (x)")))
	reported := 0
	off := database.SettingUpdate{Name: database.Frozen, Value: "true", Reason: "r", At: time.Now()}
	off.Settle = &database.LockOptions{Timeout: 20 * time.Millisecond, Waiting: func(database.Holder) { reported++ }}
	var locked *database.LockedError
	if err := database.UpdateSetting(bg, operator, off); !errors.As(err, &locked) {
		t.Errorf("beside a transaction UpdateSetting returned %v and reported the holder %d times; want a *LockedError after its timeout", err, reported)
	} else if reported != 1 {
		t.Errorf("reported = %v, want %v", reported, 1)
	}
	frozen := func() bool {
		st, err := operator.State(bg, "app")
		must(t, err)
		return st.Settings.Bool(database.Frozen)
	}
	if frozen() {
		t.Error("what was refused is stored")
	}
	must(t, b.Rollback(bg))
	must(t, database.UpdateSetting(bg, operator, off))
	if !frozen() {
		t.Error("the change is not stored")
	}
}

// A history without its rows, as in a copy of the schema alone, is an error, not an empty history.
func TestHistoryWithoutItsRows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE a (x)")
	must(t, inspect(path, func(pool *sql.DB) error {
		_, err := pool.Exec("DELETE FROM whimbrel_history")
		return err
	}))
	_, serr := db.State(bg, "app")
	_, _, berr := db.Begin(bg, "app", patient)
	_, _, gerr := db.Guard(bg, "app", patient)
	for what, err := range map[string]error{"State": serr, "Begin": berr, "Guard": gerr} {
		var e *database.TablesError
		if !errors.As(err, &e) {
			t.Errorf("%s: the error is %v, want one that says that the rows are gone", what, err)
		} else if e.Problem != database.TablesEmpty {
			t.Errorf("%s: e.Problem = %v, want %v", what, e.Problem, database.TablesEmpty)
		}
	}
}

// An error of one of Whimbrel's own statements says so: no script is its cause.
func TestErrorsOfOwnStatements(t *testing.T) {
	t.Parallel()
	for name, fails := range map[string]func(t *testing.T, db database.Database) error{
		"an entry in a transaction": func(t *testing.T, db database.Database) error {
			tx := begin(t, db)
			must(t, tx.Exec(bg, text("ALTER TABLE whimbrel_history RENAME TO elsewhere")))
			return tx.Record(bg, event(2))
		},
		"an entry in a run": func(t *testing.T, db database.Database) error {
			r := guard(t, db)
			execAll(t, r, "DROP TABLE whimbrel_history")
			_, err := r.Record(bg, event(2))
			return err
		},
		"the journal": func(t *testing.T, db database.Database) error {
			r := guard(t, db)
			execAll(t, r, "DROP TABLE whimbrel_journal")
			return r.Journal(bg, journal(1))
		},
		"a statement with its journal": func(t *testing.T, db database.Database) error {
			r := guard(t, db)
			execAll(t, r, "DROP TABLE whimbrel_journal")
			return marked(t, r, "CREATE TABLE b (x)", journal(1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			db := connect(t, "sqlite:"+path, database.Options{})
			apply(t, db, 1, "CREATE TABLE a (x)")
			err := fails(t, db)
			var e *database.StatementError
			if !errors.As(err, &e) {
				t.Fatalf("%v, want a *StatementError", err)
			}
			if !e.Own || e.Code != "SQLITE_ERROR" || e.Pos.Line != 0 {
				t.Errorf("Own is %t, Code %q, Pos %s: %v", e.Own, e.Code, e.Pos, err)
			}
		})
	}
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE a (x)")
	var e *database.StatementError
	if err := begin(t, db).Exec(bg, text("SELECT x FROM b")); !errors.As(err, &e) || e.Own {
		t.Errorf("a script's statement: %v, want a *StatementError that is not of an own statement", err)
	}
}
