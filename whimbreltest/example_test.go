//go:build unix

package whimbreltest_test

import (
	"database/sql"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/whimbreltest"
)

// files are usually an embed.FS.
var files = fstest.MapFS{
	"1_users.up.sql":   {Data: []byte("CREATE TABLE users (id int PRIMARY KEY, name varchar(100))")},
	"1_users.down.sql": {Data: []byte("DROP TABLE users")},
}

// A test with pgx.
func ExamplePostgres() {
	_ = func(t *testing.T) { // func TestUsers(t *testing.T)
		t.Parallel()
		db := whimbreltest.Postgres(t, files)
		pool, err := pgxpool.New(t.Context(), db.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if _, err := pool.Exec(t.Context(), "INSERT INTO users VALUES (1, 'Ada')"); err != nil {
			t.Fatal(err)
		}
	}
}

// A test with database/sql.
func ExampleSQLite() {
	_ = func(t *testing.T) { // func TestUsers(t *testing.T)
		t.Parallel()
		db := whimbreltest.SQLite(t, files)
		pool, err := sql.Open("sqlite", db.DSN)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		if _, err := pool.ExecContext(t.Context(), "INSERT INTO users VALUES (1, 'Ada')"); err != nil {
			t.Fatal(err)
		}
	}
}

// A test of the migrations themselves.
func ExampleCheck() {
	_ = func(t *testing.T) { // func TestMigrations(t *testing.T)
		whimbreltest.Options{Driver: "postgres"}.Check(t, files)
	}
}

// The examples work as they are.
func TestExamples(t *testing.T) {
	t.Parallel()
	servers[0].need(t)
	db := whimbreltest.Postgres(t, files)
	pool, err := pgxpool.New(t.Context(), db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(t.Context(), "INSERT INTO users VALUES (1, 'Ada')"); err != nil {
		t.Error(err)
	}
	whimbreltest.Options{Driver: "postgres"}.Check(t, files)
}
