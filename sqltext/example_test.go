package sqltext_test

import (
	"fmt"
	"log"
	"strings"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

func ExampleSplit() {
	const script = `-- Two tables; and an index.
CREATE TABLE author (name text CHECK (name <> ';'));
CREATE TABLE book (title text);
CREATE INDEX CONCURRENTLY book_title ON book (title);`

	pieces, err := sqltext.Split(script, sqltext.PostgreSQL, sqltext.Options{File: "1_books.up.sql"})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range pieces {
		fmt.Println(p.Pos, p.Text)
		if p.Tx == sqltext.TxNever {
			fmt.Println("not in a transaction:", p.Why)
		}
	}
	// Output:
	// 1_books.up.sql:2:1 CREATE TABLE author (name text CHECK (name <> ';'))
	// 1_books.up.sql:3:1 CREATE TABLE book (title text)
	// 1_books.up.sql:4:1 CREATE INDEX CONCURRENTLY book_title ON book (title)
	// not in a transaction: CREATE INDEX CONCURRENTLY
}

func ExampleNewScanner() {
	dump := strings.NewReader("COPY author (name) FROM stdin;\nAda\nGrace\n\\.\nSELECT 'and so on")

	scanner := sqltext.NewScanner(dump, sqltext.PostgreSQL, sqltext.Options{File: "dump.sql"})
	for p, err := range scanner.All() {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch p.Kind {
		case sqltext.SQL, sqltext.CopyIn:
			fmt.Println("statement:", p.Text)
		case sqltext.CopyData:
			fmt.Printf("data: %q\n", p.Text)
		}
	}
	// Output:
	// statement: COPY author (name) FROM stdin
	// data: "Ada\nGrace\n"
	// dump.sql:5:8: the string that begins here is not closed: its ' is missing
}

func ExampleTokens() {
	for t := range sqltext.Tokens(`DROP TABLE Shop."Order" -- old`, sqltext.PostgreSQL) {
		fmt.Printf("%d %q %q\n", t.Pos, t.Text, t.Name())
	}
	// Output:
	// 0 "DROP" "drop"
	// 5 "TABLE" "table"
	// 11 "Shop" "shop"
	// 15 "." ""
	// 16 "\"Order\"" "Order"
}

func ExampleTokenList_Is() {
	tokens := sqltext.List("drop /* now */ table t", sqltext.SQLite)
	fmt.Println(tokens.Is(0, "DROP", "TABLE"), tokens.At(2).Name())
	// Output: true t
}
