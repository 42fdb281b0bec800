package catalog_test

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
)

// exampleSnapshot returns the snapshot of a new SQLite database in which the script was executed.
func exampleSnapshot(script string) *catalog.Snapshot {
	client, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	client.SetMaxOpenConns(1) // each connection would be a database of its own
	if _, err := client.Exec(script); err != nil {
		log.Fatal(err)
	}
	db, err := sqlite.New(client, database.Options{})
	if err != nil {
		log.Fatal(err)
	}
	s, err := database.Snapshot(context.Background(), db, catalog.Options{})
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// Compare two databases, or one database at two moments.
func ExampleCompare() {
	monday := exampleSnapshot("CREATE TABLE users (id integer, name text DEFAULT 'x')")
	friday := exampleSnapshot("CREATE TABLE users (id integer, name text); CREATE TABLE orders (id integer)")

	for _, c := range catalog.Compare(monday, friday) {
		fmt.Println(c)
	}
	// Output:
	// column users.name: default 'x' → none
	// table orders added
}

// Write the schema as SQL that rebuilds it.
func ExampleSnapshot_Text() {
	s := exampleSnapshot("CREATE TABLE users (id integer); CREATE INDEX users_id ON users (id)")
	for _, statement := range s.Statements() {
		fmt.Println(statement)
	}
	again := exampleSnapshot(s.Text())
	fmt.Println("rebuilt:", s.Fingerprint() == again.Fingerprint())
	// Output:
	// CREATE TABLE users (id integer)
	// CREATE INDEX users_id ON users (id)
	// rebuilt: true
}

// Keep a snapshot in a file, and compare the database with it later.
func ExampleDecode() {
	dir, err := os.MkdirTemp("", "whimbrel-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "schema.json")
	doc, err := exampleSnapshot("CREATE TABLE users (id integer)").Encode()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(file, doc, 0o666); err != nil {
		log.Fatal(err)
	}

	kept, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	before, err := catalog.Decode(kept)
	if err != nil {
		log.Fatal(err)
	}
	now := exampleSnapshot("CREATE TABLE users (id integer, email text)")
	fmt.Println(catalog.Compare(before, now))
	// Output: [column users.email added]
}

// Look up one object of a snapshot.
func ExampleSnapshot_Find() {
	s := exampleSnapshot("CREATE TABLE users (id integer NOT NULL)")
	fmt.Println(s.Find("column users.id").Attr("type"))
	fmt.Println(s.Find("table orders") == nil)
	// Output:
	// integer
	// true
}
