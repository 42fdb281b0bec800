package classictest_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/adopt/classic"
	"github.com/whimbrel-db/whimbrel/adopt/classic/classictest"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	_ "github.com/whimbrel-db/whimbrel/database/mysql"
	_ "github.com/whimbrel-db/whimbrel/database/postgres"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

func TestContractInMemory(t *testing.T) {
	t.Parallel()
	classictest.Run(t, func(*testing.T) classictest.Target {
		m := memdb.New()
		return target("", func() (database.Database, error) { return m.Open(context.Background(), database.Options{}) }, func(table string) (int, error) {
			rows, err := m.Rows(context.Background(), table)
			return len(rows), err
		})
	})
}

func TestContractOfSQLite(t *testing.T) {
	t.Parallel()
	classictest.Run(t, func(t *testing.T) classictest.Target {
		file := filepath.Join(t.TempDir(), "app.db")
		pool, err := sql.Open("sqlite", file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { pool.Close() })
		return fromURL("sqlite:"+file, count(pool))
	})
}

func TestContractOfPostgreSQL(t *testing.T) {
	t.Parallel()
	classictest.Run(t, func(t *testing.T) classictest.Target {
		url := testdb.Postgres(t)
		return fromURL(url, func(table string) (n int, err error) {
			conn, err := pgx.Connect(context.Background(), url)
			if err != nil {
				return 0, err
			}
			defer conn.Close(context.Background())
			return n, conn.QueryRow(context.Background(), "SELECT count(*) FROM "+table).Scan(&n)
		})
	})
}

// A connection that is lost between Lock and UnLock leaves nothing of the unit, and no lock.
func TestLostConnection(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	d, err := classic.Open(url, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := errors.Join(d.Lock(), d.Run(strings.NewReader("CREATE TABLE t (x int)"), "sql", "1.up.sql"), d.InsertVersion(1)); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); err != nil {
		t.Fatal(err)
	}
	if err := d.UnLock(); err == nil {
		t.Error("UnLock returned no error")
	}
	if v, dirty, err := d.Version(); v != classic.NilVersion || dirty || err != nil {
		t.Errorf("Version returned %d, %t, %v; want nothing applied", v, dirty, err)
	}
	if err := errors.Join(d.Lock(), d.Run(strings.NewReader("CREATE TABLE t (x int)"), "sql", "1.up.sql"), d.InsertVersion(1), d.UnLock()); err != nil {
		t.Errorf("a second attempt: %v", err)
	}
}

func TestContractOfMariaDB(t *testing.T) {
	t.Parallel()
	classictest.Run(t, func(t *testing.T) classictest.Target {
		url := testdb.MariaDB(t)
		target := fromURL(url, count(testdb.OpenMariaDB(t, url)))
		target.NoDDL = true
		return target
	})
}

func count(pool *sql.DB) func(table string) (int, error) {
	return func(table string) (n int, err error) {
		return n, pool.QueryRow("SELECT count(*) FROM " + table).Scan(&n)
	}
}

// fromURL describes a database with a URL.
func fromURL(url string, rows func(string) (int, error)) classictest.Target {
	return target(url, func() (database.Database, error) { return database.Open(context.Background(), url, database.Options{}) }, rows)
}

func target(url string, open func() (database.Database, error), rows func(string) (int, error)) classictest.Target {
	return classictest.Target{
		Open: func() (classic.Driver, error) {
			db, err := open()
			if err != nil {
				return nil, err
			}
			return classic.WithInstance(db, classic.Config{LockTimeout: -time.Nanosecond})
		},
		RowCount: rows,
		URL:      url,
		Document: map[string]any{"tables": map[string]any{"t": map[string]any{"description": "All of it.", "owner": "me"}}},
		File:     "tables:\n  t:\n    description: All of it.\n    owner: me\n",
		Request:  "INSERT INTO t VALUES (1)",
		Protect:  func(d classic.Driver) error { return d.UpdateSetting(database.Protected, "true") },
		Interrupt: func() error {
			db, err := open()
			if err != nil {
				return err
			}
			defer db.Close()
			run, _, err := db.Guard(context.Background(), "default", database.LockOptions{})
			if err != nil {
				return err
			}
			defer run.Close(context.Background())
			return run.Journal(context.Background(), &database.Journal{Version: 1, Name: "big", Direction: database.Up, Of: 2, Done: 1})
		},
	}
}
