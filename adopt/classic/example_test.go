package classic_test

import (
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"
	"time"

	database "github.com/whimbrel-db/whimbrel/adopt/classic"
	whimbrel "github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
)

// A program of the old contract changes its import. Everything between Lock and UnLock is one
// transaction.
func Example() {
	folder, err := os.MkdirTemp("", "classic")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)

	d, err := database.Open("sqlite:"+filepath.Join(folder, "app.db"), false, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()

	if err := d.Lock(); err != nil {
		log.Fatal(err) // database.ErrLocked: another process migrates
	}
	users := strings.NewReader("CREATE TABLE users (id INTEGER PRIMARY KEY)")
	if err := d.Run(users, "sql", "0001_users.up.sql"); err != nil {
		log.Fatal(err)
	}
	if err := d.InsertVersion(1); err != nil {
		log.Fatal(err)
	}
	if err := d.UnLock(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.Version())
	// Output: 1 false <nil>
}

// A program that has a connection pool passes it to Whimbrel's driver, and the result here. The
// pool stays open.
func ExampleWithInstance() {
	pool, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	pool.SetMaxOpenConns(1) // a database in memory belongs to its connection

	db, err := sqlite.New(pool, whimbrel.Options{})
	if err != nil {
		log.Fatal(err)
	}
	d, err := database.WithInstance(db, database.Config{Set: "jobs", LockTimeout: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer d.Close()
	fmt.Println(d.Version())
	// Output: -1 false <nil>
}
