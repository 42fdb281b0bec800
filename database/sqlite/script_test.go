package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

// family creates a database with a parent and children, and enforcement on.
func family(t *testing.T) (path, url string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "app.db")
	url = "sqlite:" + path + "?_pragma=foreign_keys(1)"
	apply(t, connect(t, url, database.Options{}), 1, `
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent REFERENCES parent ON DELETE CASCADE);
INSERT INTO parent VALUES (1), (2);
INSERT INTO child VALUES (10, 1), (20, 2);`)
	return path, url
}

const rebuild = `CREATE TABLE parent_new (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO parent_new (id) SELECT id FROM parent;
DROP TABLE parent;
ALTER TABLE parent_new RENAME TO parent;
`

func TestForeignKeysOffWhileATableIsRebuilt(t *testing.T) {
	t.Parallel()
	for _, script := range []string{
		"PRAGMA foreign_keys = OFF;\n" + rebuild,
		"PRAGMA foreign_keys=0; BEGIN;\n" + rebuild + "COMMIT; PRAGMA foreign_keys=ON;",
		"-- a head\npragma main.foreign_keys ( no ) ;\n" + rebuild + "PRAGMA foreign_keys = ON;",
	} {
		path, url := family(t)
		pool := open(t, path, "_pragma=foreign_keys(1)")
		pool.SetMaxOpenConns(1) // one connection, to see its session afterwards
		db, err := sqlite.New(pool, database.Options{})
		must(t, err)
		apply(t, db, 2, script)
		var on bool
		must(t, pool.QueryRow("PRAGMA foreign_keys").Scan(&on))
		if n := scan[int](t, path, "SELECT count(*) FROM child"); n != 2 {
			t.Errorf("%s: n = %v, want %v", script, n, 2)
		} else if !on {
			t.Errorf("%s: on is false, want true", script)
		}
		apply(t, connect(t, url, database.Options{}), 3, "DELETE FROM parent WHERE id = 1")
		if n := scan[int](t, path, "SELECT count(*) FROM child"); n != 1 {
			t.Errorf("%s: %d children are left after one parent went, want 1", script, n)
		}
	}
}

func TestForeignKeysAreCheckedAfterwards(t *testing.T) {
	t.Parallel()
	path, url := family(t)
	db := connect(t, url, database.Options{})
	b := begin(t, db)
	err := b.Exec(bg, text("\nPRAGMA foreign_keys = OFF; DELETE FROM parent WHERE id = 2;"))
	var e *database.StatementError
	if !errors.As(err, &e) {
		t.Fatalf("%v, want a *StatementError that names the row", err)
	} else if e.Code != "SQLITE_CONSTRAINT_FOREIGNKEY" {
		t.Fatalf("e.Code = %v, want %v", e.Code, "SQLITE_CONSTRAINT_FOREIGNKEY")
	} else if e.Pos.Line != 2 {
		t.Fatalf("e.Pos.Line = %v, want %v", e.Pos.Line, 2)
	} else if !strings.Contains(e.Message, "table child row 20 (parent parent)") {
		t.Fatalf("e.Message = %q, want a text with %q", e.Message, "table child row 20 (parent parent)")
	}
	must(t, b.Rollback(bg))

	// Earlier violations don't count.
	apply(t, connect(t, "sqlite:"+path, database.Options{}), 2, "INSERT INTO child VALUES (30, 3)")
	apply(t, db, 3, "PRAGMA foreign_keys = OFF;\n"+rebuild)
	b = begin(t, db)
	if err := b.Exec(bg, text("PRAGMA foreign_keys = OFF; INSERT INTO child SELECT i + 100, 7 FROM ("+numbers(12)+");")); err == nil {
		t.Errorf("%v, want an error that lists ten", err)
	} else if !strings.Contains(err.Error(), "and 2 more") {
		t.Errorf("the error is %q, want a text with %q", err, "and 2 more")
	}
	must(t, b.Rollback(bg)) // foreign_keys is on again
	b = begin(t, db)
	if err := b.Exec(bg, text("INSERT INTO child VALUES (40, 4)")); err == nil {
		t.Error("after Rollback foreign keys are not enforced")
	}
}

func TestForeignKeysTooLate(t *testing.T) {
	t.Parallel()
	path, url := family(t)
	db := connect(t, url, database.Options{})
	b := begin(t, db)
	must(t, b.Exec(bg, text("CREATE TABLE t (x)")))
	err := b.Exec(bg, text("-- first\nPRAGMA foreign_keys = OFF;\n"+rebuild))
	if e := (*database.StatementError)(nil); !errors.As(err, &e) {
		t.Errorf("%v, want a *StatementError at the PRAGMA", err)
	} else if e.Pos.Line != 2 {
		t.Errorf("e.Pos.Line = %v, want %v", e.Pos.Line, 2)
	} else if e.Hint == "" {
		t.Error("e.Hint is empty")
	}
	must(t, b.Rollback(bg))
	b = begin(t, db)
	must(t, b.Exec(bg, text("PRAGMA foreign_keys = OFF;\n"+rebuild)))
	// the same value is no change
	must(t, b.Exec(bg, text("PRAGMA foreign_keys = OFF; CREATE TABLE u (x)")))
	if err := b.Exec(bg, text("DELETE FROM parent")); err == nil {
		t.Error("a script that expects foreign keys ran without them")
	}
	must(t, b.Rollback(bg))

	b = begin(t, db)
	must(t, b.Exec(bg, text("CREATE TABLE t (x)")))
	must(t, b.Exec(bg, text("PRAGMA foreign_keys = ON; CREATE TABLE u (x)"))) // it is on
	must(t, errOf(b.Commit(bg)))
	if n := scan[int](t, path, "SELECT count(*) FROM child"); n != 2 {
		t.Errorf("%d children, want 2", n)
	}
}

func TestForeignKeysAndAnotherProcess(t *testing.T) {
	t.Parallel()
	path, url := family(t)
	other := connect(t, url, database.Options{})
	waiting, done := make(chan bool), make(chan error, 1)
	executing, migrated := false, false
	pool := sql.OpenDB(connector{cutDriver{&cutter{before: func(text string) {
		// The lock is free while this is executed.
		if executing && !migrated && strings.Contains(text, "PRAGMA foreign_keys = OFF") {
			migrated = true
			must(t, <-done)
		}
	}}}, dsn(path, "_pragma=foreign_keys(1)")})
	defer pool.Close()
	db, err := sqlite.New(pool, database.Options{})
	must(t, err)
	defer db.Close()
	b := begin(t, db)
	go func() {
		var once sync.Once
		b, _, err := other.Begin(bg, "app", database.LockOptions{Timeout: 5 * time.Minute, Waiting: func(database.Holder) {
			once.Do(func() { close(waiting) })
		}})
		if err == nil {
			if err = b.Record(bg, event(9)); err == nil {
				_, err = b.Commit(bg)
			}
		}
		done <- err
	}()
	<-waiting
	executing = true
	if err := b.Exec(bg, text("PRAGMA foreign_keys = OFF; CREATE TABLE t (x)")); !errors.Is(err, database.ErrHeadChanged) {
		t.Errorf("%v, want ErrHeadChanged", err)
	}
	if !migrated {
		t.Error("the other process had no turn")
	}
	must(t, b.Rollback(bg))
}

func TestPageSizeOfAnEmptyFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	apply(t, connect(t, "sqlite:"+path, database.Options{}), 1, "PRAGMA page_size = 8192; PRAGMA auto_vacuum = FULL; CREATE TABLE t (x)")
	if n := scan[int](t, path, "PRAGMA page_size"); n != 8192 {
		t.Errorf("the page size is %d, want 8192", n)
	}
}

// TestSessionIsRestored has a script that changes everything possible.
func TestSessionIsRestored(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	pool := open(t, path, "")
	pool.SetMaxOpenConns(1)
	_, err := pool.Exec("CREATE TEMP TABLE mine (x); ATTACH ':memory:' AS also_mine")
	must(t, err)
	db, err := sqlite.New(pool, database.Options{})
	must(t, err)
	const change = `PRAGMA recursive_triggers = 1; PRAGMA ignore_check_constraints = 1; PRAGMA legacy_alter_table = 1;
PRAGMA writable_schema = 1; PRAGMA trusted_schema = 0; PRAGMA reverse_unordered_selects = 1; PRAGMA automatic_index = 0;
PRAGMA cell_size_check = 1; PRAGMA secure_delete = 1; PRAGMA busy_timeout = 77; PRAGMA cache_size = 77; PRAGMA cache_spill = 0;
PRAGMA analysis_limit = 77; PRAGMA locking_mode = exclusive; PRAGMA case_sensitive_like = 1; PRAGMA defer_foreign_keys = 1;
CREATE TEMP TABLE leak (x UNIQUE); CREATE INDEX temp.leak_x ON leak (x); CREATE TEMP VIEW "leak view" AS SELECT 1;
ATTACH ':memory:' AS leaked; CREATE TABLE leaked.t (x); PRAGMA query_only = 1;`
	before := session(t, pool)
	run := func(end func(database.Tx) error) {
		b := begin(t, db)
		must(t, b.Exec(bg, text(change)))
		must(t, b.Record(bg, event(1)))
		must(t, end(b))
		if after := session(t, pool); after != before {
			t.Errorf("the session was\n%s\nand is\n%s", before, after)
		}
	}
	run(func(b database.Tx) error { return errOf(b.Commit(bg)) })
	run(func(b database.Tx) error { return b.Rollback(bg) })
	r := guard(t, db)
	execAll(t, r, strings.Replace(change, "PRAGMA query_only = 1;", "PRAGMA synchronous = 0; PRAGMA temp_store = 0;", 1))
	must(t, r.Close(bg))
	if after := session(t, pool); after != before {
		t.Errorf("the session was\n%s\nand after a Run it is\n%s", before, after)
	}
}

// session describes the session of a pool's only connection.
func session(t *testing.T, pool *sql.DB) string {
	t.Helper()
	var b strings.Builder
	for _, q := range []string{
		"PRAGMA recursive_triggers", "PRAGMA ignore_check_constraints", "PRAGMA legacy_alter_table", "PRAGMA writable_schema",
		"PRAGMA trusted_schema", "PRAGMA reverse_unordered_selects", "PRAGMA automatic_index", "PRAGMA cell_size_check",
		"PRAGMA secure_delete", "PRAGMA busy_timeout", "PRAGMA cache_size", "PRAGMA cache_spill", "PRAGMA analysis_limit",
		"PRAGMA locking_mode", "PRAGMA query_only", "PRAGMA defer_foreign_keys", "PRAGMA synchronous", "PRAGMA foreign_keys",
		"SELECT 'a' LIKE 'A'", "SELECT group_concat(name) FROM temp.sqlite_schema", "SELECT group_concat(name) FROM pragma_database_list",
	} {
		var v any
		must(t, pool.QueryRow(q).Scan(&v))
		fmt.Fprintf(&b, "%s: %v; ", strings.TrimPrefix(q, "PRAGMA "), v)
	}
	return b.String()
}

func TestFunctions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x); INSERT INTO t "+numbers(3))
	run := func(fn func(context.Context, sqlite.Tx) error) error {
		b := begin(t, db)
		defer b.Rollback(bg)
		if err := b.Exec(bg, sqlite.Func("double", fn)); err != nil {
			return err
		}
		return errOf(b.Commit(bg))
	}
	must(t, run(func(ctx context.Context, tx sqlite.Tx) error {
		rows, err := tx.QueryContext(ctx, "SELECT x FROM t ORDER BY x")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var x int
			if err := rows.Scan(&x); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, "UPDATE t SET x = ? WHERE x = ?", 100*x, x); err != nil {
				return err
			}
		}
		var n int
		return errors.Join(rows.Err(), tx.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n))
	}))
	if n := scan[int](t, path, "SELECT sum(x) FROM t"); n != 600 {
		t.Errorf("the sum is %d, want 600", n)
	}

	failure := errors.New("no")
	err := run(func(ctx context.Context, tx sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM t")
		return errors.Join(err, failure)
	})
	if !errors.Is(err, failure) {
		t.Errorf("%v, want the function's error and name", err)
	} else if !strings.Contains(err.Error(), "double") {
		t.Errorf("the error is %q, want a text with %q", err, "double")
	}
	for _, control := range []string{"COMMIT", "ROLLBACK", "BEGIN", "DELETE FROM t; END; BEGIN"} {
		err := run(func(ctx context.Context, tx sqlite.Tx) error {
			_, err := tx.ExecContext(ctx, control)
			return err
		})
		if err == nil {
			t.Errorf("%s: %v, want an error that forbids it", control, err)
		} else if !strings.Contains(err.Error(), "must not") {
			t.Errorf("%s: the error is %q, want a text with %q", control, err, "must not")
		}
	}
	// it hides that the transaction is gone
	err = run(func(ctx context.Context, tx sqlite.Tx) error {
		tx.ExecContext(ctx, "CREATE TABLE u (x UNIQUE); INSERT INTO u VALUES (1); INSERT OR ROLLBACK INTO u VALUES (1)")
		return nil
	})
	if err == nil {
		t.Errorf("%v, want an error that says that the transaction is gone", err)
	} else if !strings.Contains(err.Error(), "must not") {
		t.Errorf("the error is %q, want a text with %q", err, "must not")
	}
	// it neither closes its rows nor uses its context
	must(t, run(func(ctx context.Context, tx sqlite.Tx) error {
		rows, err := tx.QueryContext(bg, "SELECT x FROM t")
		rows.Next()
		return err
	}))
	must(t, run(func(ctx context.Context, tx sqlite.Tx) error { // it may use savepoints
		_, err := tx.ExecContext(ctx, "SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; RELEASE s; CREATE TEMP TABLE leak (x)")
		return err
	}))
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
	b := begin(t, db)
	if err := b.Exec(bg, migration.Func("other", func() {})); err == nil {
		t.Errorf("%v, want an error that says how functions are made", err)
	} else if !strings.Contains(err.Error(), "sqlite.Func") {
		t.Errorf("the error is %q, want a text with %q", err, "sqlite.Func")
	}
}

func TestPanickingFunction(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	func() {
		b := begin(t, db)
		defer func() {
			if recover() == nil {
				t.Error("the panic did not come through")
			}
			must(t, b.Rollback(bg))
		}()
		b.Exec(bg, sqlite.Func("panic", func(ctx context.Context, tx sqlite.Tx) error {
			tx.ExecContext(ctx, "CREATE TABLE t (x)")
			panic("no")
		}))
	}()
	apply(t, db, 1, "CREATE TABLE t (x)")
}

func TestTriggersAreWhole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	apply(t, connect(t, "sqlite:"+path, database.Options{}), 1, `CREATE TABLE t (x);
CREATE TABLE log (x);
CREATE TRIGGER note AFTER INSERT ON t BEGIN
  INSERT INTO log VALUES (new.x); -- one;
  INSERT INTO log VALUES (CASE WHEN new.x > 0 THEN 1 ELSE 0 END);
END;
INSERT INTO t VALUES (7) -- no semicolon; at the end`)
	if n := scan[int](t, path, "SELECT count(*) FROM log"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// A script has no values for parameters: the error says so, and where.
func TestParametersAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	for script, place := range map[string]string{
		"CREATE TABLE a (x);\nINSERT INTO a VALUES (:name);":         "0001_test.up.sql:2:23",
		"CREATE TABLE a (x); INSERT INTO a VALUES (?);":              "0001_test.up.sql:1:43",
		"CREATE TABLE a (x);\n INSERT INTO a SELECT '?' || ?3;":      "0001_test.up.sql:2:2",
		"CREATE TABLE a (x);\nINSERT INTO a SELECT $one FROM a;":     "0001_test.up.sql:2:22",
		"CREATE TABLE a (x);\nINSERT INTO a SELECT @one WHERE @one;": "0001_test.up.sql:2:1",
	} {
		b := begin(t, db)
		err := b.Exec(bg, text(script))
		var e *database.StatementError
		if !errors.As(err, &e) {
			t.Errorf("%s: %v, want a *StatementError at %s that says it is a parameter", script, err, place)
		} else if e.Pos.String() != place {
			t.Errorf("%s: e.Pos.String() = %v, want %v", script, e.Pos.String(), place)
		} else if !strings.Contains(e.Error(), "has a parameter") {
			t.Errorf("%s: e.Error() = %q, want a text with %q", script, e.Error(), "has a parameter")
		} else if strings.Contains(e.Error(), "interrupted") {
			t.Errorf("%s: e.Error() = %q, want a text without %q", script, e.Error(), "interrupted")
		}
		must(t, b.Rollback(bg))
	}
	apply(t, db, 1, "CREATE TABLE a (x); INSERT INTO a VALUES ('? :a @b $c') -- ? :a")
}
