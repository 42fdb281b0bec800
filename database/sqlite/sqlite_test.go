package sqlite_test

import (
	"context"
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/databasetest"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestContract(t *testing.T) {
	for _, journal := range []string{"delete", "wal"} {
		t.Run(journal, func(t *testing.T) {
			t.Parallel()
			databasetest.Run(t, func(t *testing.T) databasetest.Target {
				path := filepath.Join(t.TempDir(), "app.db")
				target := target(path, func(ctx context.Context, opts database.Options) (database.Database, error) {
					return database.Open(ctx, "sqlite:"+path+"?_pragma=journal_mode("+journal+")", opts)
				})
				target.Powers = append(target.Powers, database.PowerClone)
				return target
			})
		})
	}
}

// TestContractOfNew runs the suite on a caller's pool, with its own busy_timeout and foreign keys.
func TestContractOfNew(t *testing.T) {
	t.Parallel()
	databasetest.Run(t, func(t *testing.T) databasetest.Target {
		path := filepath.Join(t.TempDir(), "app.db")
		return target(path, func(ctx context.Context, opts database.Options) (database.Database, error) {
			pool := open(t, path, "_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)")
			return sqlite.New(pool, opts)
		})
	})
}

// target describes a file. foreign_keys is tested elsewhere: it can't be restored before the
// transaction ends.
func target(path string, opener func(context.Context, database.Options) (database.Database, error)) databasetest.Target {
	return databasetest.Target{
		Powers:    []database.Power{database.PowerSettings, database.PowerReset, database.PowerMetadata, database.PowerQuery, database.PowerHolder, database.PowerBackfill},
		Open:      opener,
		OneWriter: true,
		Tables: func(ctx context.Context) (names []string, err error) {
			err = inspect(path, func(pool *sql.DB) error {
				rows, err := pool.QueryContext(ctx, "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
				if err != nil {
					return err
				}
				defer rows.Close()
				for rows.Next() {
					var name string
					if err := rows.Scan(&name); err != nil {
						return err
					}
					names = append(names, name)
				}
				return rows.Err()
			})
			return names, err
		},
		RowCount: func(ctx context.Context, table string) (n int, err error) {
			err = inspect(path, func(pool *sql.DB) error {
				return pool.QueryRowContext(ctx, `SELECT count(*) FROM "`+table+`"`).Scan(&n)
			})
			return n, err
		},
		Counters: counters(path),
		Session: []databasetest.SessionChange{
			{
				Name:   "PRAGMA recursive_triggers",
				Change: "PRAGMA recursive_triggers = ON;",
				Probe:  "INSERT INTO probe SELECT 1 FROM pragma_recursive_triggers WHERE recursive_triggers = 1",
			},
			{
				Name:   "PRAGMA case_sensitive_like",
				Change: "PRAGMA case_sensitive_like = ON;",
				Probe:  "INSERT INTO probe SELECT 1 WHERE 'a' NOT LIKE 'A'",
			},
			{
				Name:   "temporary table",
				Change: "CREATE TEMP TABLE shadow (x int); CREATE INDEX temp.shadow_x ON shadow (x);",
				Probe:  "INSERT INTO probe SELECT 1 FROM temp.sqlite_schema WHERE name = 'shadow'",
			},
			{
				Name:   "temporary view and trigger",
				Change: "CREATE TEMP VIEW peek AS SELECT 1; CREATE TEMP TRIGGER watch AFTER INSERT ON main.probe BEGIN SELECT 1; END;",
				Probe:  "INSERT INTO probe SELECT 1 FROM temp.sqlite_schema LIMIT 1",
			},
			{
				Name:   "attached database",
				Change: "ATTACH ':memory:' AS other;",
				Probe:  "INSERT INTO probe SELECT 1 FROM pragma_database_list WHERE name = 'other'",
			},
		},
		Never: func(string) string { return "VACUUM" },
		Again: "PRAGMA auto_vacuum = NONE",
		Func: func(id, table string, fail error) *migration.Script {
			return sqlite.Func(id, func(ctx context.Context, tx sqlite.Tx) error {
				if _, err := tx.ExecContext(ctx, "CREATE TABLE "+table+" (x int)"); err != nil {
					return err
				}
				return fail
			})
		},
		Slow: "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
	}
}

// counters is the table that the suite's backfills work on.
func counters(path string) *databasetest.Counters {
	do := func(ctx context.Context, query string, args ...any) error {
		return inspect(path, func(pool *sql.DB) error {
			_, err := pool.ExecContext(ctx, query, args...)
			return err
		})
	}
	return &databasetest.Counters{
		Create: func(ctx context.Context, rows int) error {
			err := do(ctx, "CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0, bad INTEGER NOT NULL DEFAULT 0, CHECK (n = 0 OR NOT bad))")
			if err != nil {
				return err
			}
			return do(ctx, "WITH RECURSIVE k (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM k WHERE i < ?1) INSERT INTO counters (id) SELECT i FROM k WHERE ?1 > 0", rows)
		},
		Body: "UPDATE counters SET n = n + 1 WHERE id BETWEEN :first AND :last",
		Read: func(ctx context.Context) (map[int]int, error) {
			counts := map[int]int{}
			err := inspect(path, func(pool *sql.DB) error {
				rows, err := pool.QueryContext(ctx, "SELECT id, n FROM counters")
				if err != nil {
					return err
				}
				defer rows.Close()
				for rows.Next() {
					var id, n int
					if err := rows.Scan(&id, &n); err != nil {
						return err
					}
					counts[id] = n
				}
				return rows.Err()
			})
			return counts, err
		},
		Insert: func(ctx context.Context, key int) error { return do(ctx, "INSERT INTO counters (id) VALUES (?)", key) },
		Delete: func(ctx context.Context, key int) error { return do(ctx, "DELETE FROM counters WHERE id = ?", key) },
		Fail: func(ctx context.Context, key int, fails bool) error {
			return do(ctx, "UPDATE counters SET bad = ? WHERE id = ?", fails, key)
		},
	}
}

// inspect reads a file on a connection of its own, and waits for writers.
func inspect(path string, look func(*sql.DB) error) error {
	pool, err := sql.Open("sqlite", dsn(path, "_pragma=busy_timeout(60000)"))
	if err != nil {
		return err
	}
	defer pool.Close()
	return look(pool)
}

func dsn(path, params string) string {
	return "file://" + (&url.URL{Path: path}).EscapedPath() + "?" + params
}

// open opens a file like a program of its own.
func open(t testing.TB, path, params string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("sqlite", dsn(path, params))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pool.Close() })
	return pool
}

// errOf is the error of a call whose result is not of interest.
func errOf[T any](_ T, err error) error { return err }

// The order of the rows is not that of the history if the connection reverses it.
func TestReversedRows(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db")+"?_pragma=reverse_unordered_selects(1)", database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	apply(t, db, 2, "DROP TABLE t")
	tx := begin(t, db)
	must(t, tx.Record(bg, database.Entry{Version: 2, Name: "down", Direction: database.Down}))
	must(t, errOf(tx.Commit(bg)))
	st, err := db.State(bg, "app")
	must(t, err)
	if v := st.Applied.Versions(); len(v) != 1 || v[0] != 1 {
		t.Errorf("the applied versions are %v, want 1", v)
	}
}

// A name can contain anything, also what looks like another entry.
func TestNamesOfEntries(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	names := []string{"", " ", "two words", "Größe\n", "9 9 up 0 0 2026-01-02T03:04:05.000000Z - - 1 x", "a\x00b", "- -"}
	tx := begin(t, db)
	for i, name := range names {
		e := event(int64(i))
		e.Name = name
		must(t, tx.Record(bg, e))
	}
	must(t, errOf(tx.Commit(bg)))
	st, err := db.State(bg, "app")
	must(t, err)
	var got []string
	for a := range st.Applied.All() {
		got = append(got, a.Name)
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("the names of the applied migrations (-want +got):\n%s", diff)
	}
}

// The first entries of a long history come as one text, the others each in a row.
func TestStateOfALongHistory(t *testing.T) {
	t.Parallel()
	for _, params := range []string{"", "?_pragma=reverse_unordered_selects(1)"} {
		path := filepath.Join(t.TempDir(), "app.db")
		db := connect(t, "sqlite:"+path+params, database.Options{})
		apply(t, db, 0, "CREATE TABLE t (x)")
		// Each version is applied, rolled back and applied again.
		const versions = 6000
		_, err := open(t, path, "").Exec(`INSERT INTO whimbrel_history (set_name, version, name, direction, started_at, duration_us)
	WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ?1 - 1)
	SELECT 'app', 1 + i / 3, 'of version ' || (1 + i / 3), iif(i % 3 = 1, 'down', 'up'), '2026-01-02T03:04:05.000000Z', i FROM n`, 3*versions)
		must(t, err)
		st, err := db.State(bg, "app")
		must(t, err)
		if n := st.Applied.Len(); n != versions+1 {
			t.Errorf("%q: %d applied, want %d", params, n, versions+1)
		}
		last, _ := st.Applied.Get(versions)
		if last.Name != "of version 6000" || last.EntryID != st.Head || last.Duration != (3*versions-1)*time.Microsecond {
			t.Errorf("%q: the last is %+v, the head %d", params, last, st.Head)
		}
	}
}
