package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// shortly is a lock timeout that passes at once.
var shortly = database.LockOptions{Timeout: 5 * time.Minute, LockTimeout: time.Millisecond}

// hold executes statements on a connection of its own, and returns a function that ends what they
// began.
func hold(t *testing.T, path string, statements ...string) (end func()) {
	t.Helper()
	pool := open(t, path, "")
	pool.SetMaxOpenConns(1)
	for _, s := range statements {
		rows, err := pool.Query(s)
		must(t, err)
		for rows.Next() {
		}
		must(t, rows.Close())
	}
	return func() {
		_, err := pool.Exec("ROLLBACK")
		must(t, err)
	}
}

// wantTimeout fails the test unless err is a lock timeout of a statement.
func wantTimeout(t *testing.T, what string, err error) {
	t.Helper()
	var e *database.StatementError
	switch {
	case !errors.Is(err, database.ErrLockTimeout), !errors.As(err, &e):
		t.Fatalf("%s: %v, want a *StatementError that is ErrLockTimeout", what, err)
	case errors.Is(err, database.ErrLocked):
		t.Errorf("%s: the error is ErrLocked, as if another process migrated: %v", what, err)
	case e.Pos.File == "":
		t.Errorf("%s: the error names no file: %v", what, err)
	}
}

// A COMMIT that readers block fails after the scripts' lock timeout, nothing of it remains, and the
// next attempt succeeds when they have ended.
func TestCommitTimesOut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x); INSERT INTO t VALUES (1)")
	attempt := func(opts database.LockOptions, timeout time.Duration) error {
		t.Helper()
		b, _, err := db.Begin(bg, "app", opts)
		must(t, err)
		s := migration.Text("2_m.up.sql", "INSERT INTO t VALUES (2)")
		s.LockTimeout = timeout
		must(t, b.Exec(bg, s))
		must(t, b.Record(bg, event(2)))
		_, err = b.Commit(bg)
		return err
	}
	end := hold(t, path, "BEGIN", "SELECT * FROM t")
	wantTimeout(t, "the options' timeout", attempt(shortly, 0))
	wantTimeout(t, "the directive's timeout", attempt(patient, time.Millisecond))
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
	// the directive removes the limit
	time.AfterFunc(50*time.Millisecond, end)
	must(t, attempt(shortly, -1))
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 2 {
		t.Errorf("%d rows, want 2", n)
	}
}

// A statement of a run fails after its lock timeout without any effect, and the same run can
// execute it again.
func TestStatementsOfARunTimeOut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		script  string
		blocker []string
	}{
		"a statement with its journal, beside a writer": {"CREATE TABLE u (x)", []string{"BEGIN IMMEDIATE"}},
		"a statement with its journal, beside a reader": {"CREATE TABLE u (x)", []string{"BEGIN", "SELECT * FROM t"}},
		"VACUUM beside a writer":                        {"VACUUM", []string{"BEGIN IMMEDIATE"}},
		"VACUUM beside a reader":                        {"VACUUM", []string{"BEGIN", "SELECT * FROM t"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			db := connect(t, "sqlite:"+path, database.Options{})
			apply(t, db, 1, "CREATE TABLE t (x); INSERT INTO t VALUES (1)")
			r, _, err := db.Guard(bg, "app", shortly)
			must(t, err)
			s := migration.Text("2_m.up.sql", tc.script)
			all, err := sqltext.Split(tc.script, sqltext.SQLite, sqltext.Options{})
			must(t, err)
			st := all[0]
			st.Pos.File = s.File
			exec := func() error {
				j := &database.Journal{Version: 2, Name: "m", Direction: database.Up, Of: 1}
				if st.Tx == sqltext.TxNever {
					return r.Exec(bg, s, st, nil, nil)
				}
				j.Add(st)
				return r.Exec(bg, s, st, nil, j)
			}
			end := hold(t, path, tc.blocker...)
			wantTimeout(t, name, exec())
			end()
			if n := scan[int](t, path, "SELECT count(*) FROM sqlite_schema WHERE name = 'u'"); n != 0 {
				t.Error("the statement took effect")
			}
			must(t, exec())
			must(t, r.Journal(bg, nil))
			must(t, r.Close(bg))
		})
	}
}

// A statement of a transaction that waits for an attached database fails after its lock timeout.
func TestAttachedDatabaseTimesOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, other := filepath.Join(dir, "app.db"), filepath.Join(dir, "other.db")
	pool, err := sql.Open("sqlite", other)
	must(t, err)
	defer pool.Close()
	_, err = pool.Exec("CREATE TABLE o (x)")
	must(t, err)
	db := connect(t, "sqlite:"+path, database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	attempt := func(opts database.LockOptions) error {
		b, _, err := db.Begin(bg, "app", opts)
		must(t, err)
		defer b.Rollback(bg)
		must(t, b.Exec(bg, migration.Text("2_m.up.sql", "INSERT INTO t VALUES (1)")))
		return b.Exec(bg, migration.Text("3_m.up.sql", fmt.Sprintf("ATTACH '%s' AS other; INSERT INTO other.o VALUES (1)", other)))
	}
	end := hold(t, other, "BEGIN IMMEDIATE")
	wantTimeout(t, "the attached database", attempt(shortly))
	if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 0 {
		t.Errorf("%d rows remain", n)
	}
	time.AfterFunc(50*time.Millisecond, end)
	must(t, attempt(database.LockOptions{Timeout: 5 * time.Minute}))
}

// While a migration is tried again because of a long reader, other readers read. The migration
// succeeds when the long one ends.
func TestReadersReadWhileAMigrationIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{"a transaction": "INSERT INTO t VALUES (2)", "a run": "VACUUM; INSERT INTO t VALUES (2)"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			db := connect(t, "sqlite:"+path, database.Options{})
			apply(t, db, 1, "CREATE TABLE t (x); INSERT INTO t VALUES (1)")
			end := hold(t, path, "BEGIN", "SELECT * FROM t")
			app := open(t, path, "_pragma=busy_timeout(60000)")
			set, err := migration.NewSet("other", migration.Migration{Version: 2, Name: "m", Up: text(script)})
			must(t, err)
			retries := make(chan error, 1000)
			m := whimbrel.New(db, set, whimbrel.Options{
				MigrationLockTimeout: 5 * time.Minute, LockTimeout: 10 * time.Millisecond, RetryFor: 5 * time.Minute,
				Observe: func(_ context.Context, e whimbrel.Event) {
					if r, ok := e.(whimbrel.Retrying); ok {
						retries <- r.Err
					}
				},
			})
			done := make(chan error, 1)
			go func() { done <- up(bg, m) }()
			for range 4 {
				if name == "a run" { // which waits as for the migration lock until it can begin
					time.Sleep(30 * time.Millisecond)
				} else {
					wantTimeout(t, name, <-retries)
				}
				var n int
				must(t, app.QueryRow("SELECT count(*) FROM t").Scan(&n))
				if n != 1 {
					t.Errorf("a reader sees %d rows, want 1", n)
				}
			}
			end()
			must(t, <-done)
			if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 2 {
				t.Errorf("%d rows, want 2", n)
			}
		})
	}
}
