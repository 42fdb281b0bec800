package main

import (
	"database/sql"

	"github.com/rogpeppe/go-internal/testscript"
)

// held are the transactions that hold has begun, by their names.
type held struct {
	db *sql.DB
	tx *sql.Tx
}

// hold executes statements in a transaction that stays open: hold NAME 'statement'….
func hold(ts *testscript.TestScript, neg bool, args []string) {
	ps, name := procsOf(ts, args, "hold NAME 'statement'…", 2)
	db, err := openSQL(ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	ts.Defer(func() { db.Close() })
	tx, err := db.Begin()
	ts.Check(err)
	for _, statement := range args[1:] {
		_, err := tx.Exec(statement)
		ts.Check(err)
	}
	ps.held[name] = held{db, tx}
}

// release ends a transaction of hold, and its connection.
func release(ts *testscript.TestScript, neg bool, args []string) {
	ps, name := procsOf(ts, args, "release NAME", 1)
	h := ps.held[name]
	ts.Check(h.tx.Rollback())
	ts.Check(h.db.Close())
}
