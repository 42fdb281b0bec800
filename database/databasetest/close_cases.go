package databasetest

import (
	"context"

	"github.com/whimbrel-db/whimbrel/database"
)

var closeCases = []testCase{
	{"Close", closeTwice, closeCase},
	{"Close during a transaction", closeEnds, closeInTx},
	{"Close during a run", closeEnds, closeInRun},
}

func closeCase(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	c.ok(db.Close(), "Close")
	c.ok(db.Close(), "a second Close")
	c.isClosed(db)
	c.hasVersions(c.db(), "s", 1)
	unused := c.db()
	c.ok(unused.Close(), "Close of a Database that was not used")
	c.isClosed(unused)
}

// isClosed fails the case unless every method is an error.
func (c *check) isClosed(db database.Database) {
	c.Helper()
	calls := map[string]func() error{
		"State":         func() error { _, err := db.State(c.ctx, "s"); return err },
		"Begin":         func() error { _, _, err := db.Begin(c.ctx, "s", patient); return err },
		"Guard":         func() error { _, _, err := db.Guard(c.ctx, "s", patient); return err },
		"UpdateSetting": func() error { return database.UpdateSetting(c.ctx, db, freeze) },
		"History": func() (err error) {
			for _, err = range db.History(c.ctx, database.HistoryQuery{}) {
			}
			return err
		},
	}
	for name, call := range calls {
		c.that(call() != nil, "after Close, %s returned no error", name)
	}
}

func closeInTx(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1)")
	c.record(tx, 1)
	c.state(tx, "s") // executes what is queued
	db.Close()       // which may say that something was open
	c.becomesFree("s")
	c.hasRows("t", 0)
	err := execAndCommit(c.ctx, tx, text("INSERT INTO t VALUES (2)"), 2)
	c.that(err != nil, "after Close, Run, Record and Commit returned no error")
	c.hasRows("t", 0)
	c.hasVersions(c.db(), "s")
	tx.Rollback(context.Background())
}

func closeInRun(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, "INSERT INTO t VALUES (1)")
	db.Close() // which may say that something was open
	c.becomesFree("s")
	c.that(c.tryExec(r, c.ctx, text("INSERT INTO t VALUES (2)")) != nil, "after Close, Exec returned no error")
	c.that(c.tryRecord(r, 1) != nil, "after Close, Record returned no error")
	c.hasRows("t", 1)
	c.hasVersions(c.db(), "s")
	r.Close(context.Background())
}
