package sqlite_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A URL names a file, which the first write creates.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := database.Open(ctx, "sqlite:"+filepath.Join(dir, "app.db"), database.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()

	state, err := db.State(ctx, "app")
	if err != nil {
		log.Fatal(err)
	}
	_, err = os.Stat(filepath.Join(dir, "app.db"))
	fmt.Println(state.Applied.Len(), "applied, a file:", err == nil)
	// Output: 0 applied, a file: false
}

// A program passes its own *sql.DB, and keeps it.
func ExampleNew() {
	pool, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1) // each connection would be a database of its own

	db, err := sqlite.New(pool, database.Options{App: "example"})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	transaction, _, err := db.Begin(ctx, "app", database.LockOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer transaction.Rollback(ctx)
	if err := transaction.Exec(ctx, migration.Text("1_users.up.sql", "CREATE TABLE users (name TEXT)")); err != nil {
		log.Fatal(err)
	}
	if err := transaction.Record(ctx, database.Entry{Version: 1, Name: "users", Direction: database.Up}); err != nil {
		log.Fatal(err)
	}
	if _, err := transaction.Commit(ctx); err != nil {
		log.Fatal(err)
	}
	var n int
	err = pool.QueryRow("SELECT count(*) FROM users").Scan(&n)
	fmt.Println(n, err)
	// Output: 0 <nil>
}

// A step that SQL can't express is a Go function. It runs in the transaction of its migration.
func ExampleFunc() {
	greet := sqlite.Func("0002 greet everybody", func(ctx context.Context, tx sqlite.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO greetings VALUES (?)", "hello")
		return err
	})
	set, err := migration.NewSet("app",
		migration.Migration{Version: 1, Name: "greetings", Up: migration.Text("1_greetings.up.sql", "CREATE TABLE greetings (words TEXT)")},
		migration.Migration{Version: 2, Name: "greet", Up: greet},
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(set.Versions())
	// Output: [1 2]
}
