package inspect_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	_ "github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/inspect"
	"github.com/whimbrel-db/whimbrel/migration"
)

// exampleSet has a down script that leaves an index behind.
func exampleSet() *migration.Set {
	set, err := migration.NewSet("shop",
		migration.Migration{
			Version: 1, Name: "users",
			Up:   migration.Text("1_users.up.sql", "CREATE TABLE users (id integer PRIMARY KEY, email text)"),
			Down: migration.Text("1_users.down.sql", "DROP TABLE users"),
		},
		migration.Migration{
			Version: 2, Name: "orders",
			Up:   migration.Text("2_orders.up.sql", "CREATE TABLE orders (id integer); CREATE INDEX users_email ON users (email)"),
			Down: migration.Text("2_orders.down.sql", "DROP TABLE orders"),
		})
	if err != nil {
		log.Fatal(err)
	}
	return set
}

// exampleDatabase opens a new database; done removes it.
func exampleDatabase(ctx context.Context) (db database.Database, done func()) {
	dir, err := os.MkdirTemp("", "whimbrel-example-")
	if err != nil {
		log.Fatal(err)
	}
	db, err = database.Open(ctx, "sqlite:"+filepath.ToSlash(filepath.Join(dir, "shop.db")), database.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return db, func() {
		db.Close()
		os.RemoveAll(dir)
	}
}

func ExampleVerify() {
	ctx := context.Background()
	db, done := exampleDatabase(ctx)
	defer done()

	v, err := inspect.Verify(ctx, exampleSet(), inspect.Beside(db))
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range v.Migrations {
		fmt.Println(p.Version, p.Name, "ok:", p.OK())
		for _, c := range p.Differences {
			fmt.Println("  after up and down:", c)
		}
	}
	// Output:
	// 1 users ok: true
	// 2 orders ok: false
	//   after up and down: index users.users_email added
}

func ExampleDrift() {
	ctx := context.Background()
	db, done := exampleDatabase(ctx)
	defer done()
	m := whimbrel.New(db, exampleSet(), whimbrel.Options{})
	if _, err := m.Up(ctx); err != nil {
		log.Fatal(err)
	}
	// The rollback leaves the index behind.
	if _, err := m.Migrate(ctx, whimbrel.By(-1), whimbrel.ApplyOptions{}); err != nil {
		log.Fatal(err)
	}

	changes, err := inspect.Drift(ctx, db, inspect.Beside(db), nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(changes)

	// The index is intentional.
	if err := inspect.AcceptDrift(ctx, db, "shop", "the index is wanted"); err != nil {
		log.Fatal(err)
	}
	changes, err = inspect.Drift(ctx, db, inspect.Beside(db), nil)
	fmt.Println(changes, err)
	// Output:
	// [index users.users_email added]
	// [] <nil>
}

// Rebuild the schema that a file describes, and compare a database with it.
func ExampleCompare() {
	ctx := context.Background()
	db, done := exampleDatabase(ctx)
	defer done()
	if _, err := whimbrel.New(db, exampleSet(), whimbrel.Options{}).Up(ctx); err != nil {
		log.Fatal(err)
	}
	found, err := database.Snapshot(ctx, db, catalog.Options{})
	if err != nil {
		log.Fatal(err)
	}

	text := "CREATE TABLE users (id integer PRIMARY KEY, email text); CREATE TABLE orders (id integer);"
	expected, err := inspect.Rebuild(ctx, "schema.sql", text, inspect.Beside(db))
	if err != nil {
		log.Fatal(err)
	}
	changes, err := inspect.Compare(ctx, expected, found, inspect.Beside(db))
	fmt.Println(changes, err)
	// Output: [index users.users_email added] <nil>
}

func ExampleMinimal() {
	ctx := context.Background()
	db, done := exampleDatabase(ctx)
	defer done()
	set, err := migration.NewSet("shop",
		migration.Migration{Version: 1, Name: "users", Up: migration.Text("1.up.sql", "CREATE TABLE users (id integer)"), Down: migration.Text("1.down.sql", "DROP TABLE users")},
		migration.Migration{Version: 2, Name: "rename", Up: migration.Text("2.up.sql", "ALTER TABLE users RENAME TO people;\nINSERT INTO people VALUES (1)"), Down: migration.Text("2.down.sql", "ALTER TABLE people RENAME TO users")})
	if err != nil {
		log.Fatal(err)
	}

	opts := inspect.MinimalOptions{From: 1, To: 2}
	_, err = inspect.Minimal(ctx, set, opts, inspect.Beside(db))
	var data *inspect.DataError
	if errors.As(err, &data) {
		fmt.Println(data.Statements[0])
	}
	opts.DropData = true
	q, err := inspect.Minimal(ctx, set, opts, inspect.Beside(db))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(q.Up, q.Down)
	// Output:
	// 2.up.sql:2:1: writes rows: INSERT INTO people VALUES (1)
	// CREATE TABLE "people" (id integer);
	// DROP TABLE "people";
}
