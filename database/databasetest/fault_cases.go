package databasetest

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

var faultCases = []testCase{
	{"a context that is done", cancelling, contextIsDone},
	{"cancelling a transaction's statement", cancelling, cancelTx},
	{"cancelling a run's statement", cancelling, cancelRun},
	{"a transaction whose connection breaks", txCommitFails, breakTx},
	{"a run whose connection breaks", runExecError, breakRun},
}

func contextIsDone(c *check) {
	db := c.dbWith("t")
	c.apply(db, "s", 1, "")
	_, err := db.State(done(), "s")
	c.that(errors.Is(err, context.Canceled), "State returned %v, want context.Canceled", err)
	if storesSettings(db) {
		err = database.UpdateSetting(done(), db, freeze)
		c.that(errors.Is(err, context.Canceled), "UpdateSetting returned %v, want context.Canceled", err)
	}
	c.isDefault(c.state(db, "s"))

	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1)")
	c.record(tx, 2)
	_, err = tx.Commit(done())
	c.that(errors.Is(err, context.Canceled), "Commit returned %v, want context.Canceled", err)
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.hasRows("t", 0)
	c.hasVersions(db, "s", 1)
	c.becomesFree("s")

	r := c.guard(db, "s")
	err = c.tryExec(r, done(), text("INSERT INTO t VALUES (1)"))
	c.that(errors.Is(err, context.Canceled), "Exec returned %v, want context.Canceled", err)
	_, err = r.Record(done(), up(2))
	c.that(errors.Is(err, context.Canceled), "Run.Record returned %v, want context.Canceled", err)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasRows("t", 0)
	c.hasVersions(db, "s", 1)
	c.becomesFree("s")
}

// soon is a context that is done while a slow statement runs, or before: no case
// depends on which.
func (c *check) soon() context.Context {
	ctx, cancel := context.WithTimeout(c.ctx, 100*time.Millisecond)
	c.Cleanup(cancel)
	return ctx
}

func cancelTx(c *check) {
	c.need(c.Slow != "", "slow statement")
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1)")
	c.record(tx, 1)
	ctx := c.soon()
	err := execAndCommit(ctx, tx, text(c.Slow), 2)
	c.that(errors.Is(err, context.DeadlineExceeded), "the error is %v, want context.DeadlineExceeded", err)
	c.ok(tx.Rollback(ctx), "Rollback with the context that is done")
	c.becomesFree("s")
	c.hasRows("t", 0)
	c.hasVersions(db, "s")
	c.apply(db, "s", 1, "INSERT INTO t VALUES (2)")
	c.hasRows("t", 1)
}

func cancelRun(c *check) {
	c.need(c.Slow != "", "slow statement")
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, "INSERT INTO t VALUES (1)")
	ctx := c.soon()
	err := c.tryExec(r, ctx, text(c.Slow))
	c.that(errors.Is(err, context.DeadlineExceeded), "the error is %v, want context.DeadlineExceeded", err)
	c.ok(r.Close(ctx), "Close with the context that is done")
	c.becomesFree("s")
	c.hasRows("t", 1)
	c.hasVersions(db, "s")
	c.apply(db, "s", 1, "INSERT INTO t VALUES (2)")
}

func breakTx(c *check) {
	c.need(c.Break != nil, "way to break connections")
	victim := c.dbWith("t")
	tx := c.begin(victim, "s")
	c.run(tx, "INSERT INTO t VALUES (1)")
	c.record(tx, 1)
	c.state(tx, "s") // executes what is queued
	c.Break(victim)
	err := execAndCommit(c.ctx, tx, text("INSERT INTO t VALUES (2)"), 2)
	c.that(err != nil, "neither Run nor Record nor Commit returned an error on a broken connection")
	c.promised(txRollback)
	tx.Rollback(c.ctx) // which may say that the connection is broken
	c.becomesFree("s")
	c.promised(txCommitFails)
	c.hasRows("t", 0)
	other := c.db()
	c.hasVersions(other, "s")
	c.apply(other, "s", 1, "INSERT INTO t VALUES (1)")
	c.hasRows("t", 1)
}

func breakRun(c *check) {
	c.need(c.Break != nil, "way to break connections")
	victim := c.dbWith("t")
	r := c.guard(victim, "s")
	c.exec(r, "INSERT INTO t VALUES (1)")
	c.Break(victim)
	err := c.tryExec(r, c.ctx, text("INSERT INTO t VALUES (2)"))
	var lost *database.LockLostError
	var st *database.StatementError
	c.that(errors.As(err, &lost) || errors.As(err, &st), "Exec on a broken connection returned %v, want a *LockLostError or a *StatementError", err)
	c.that(c.tryExec(r, c.ctx, text("INSERT INTO t VALUES (3)")) != nil, "a second Exec on a broken connection returned no error")
	c.that(c.tryRecord(r, 1) != nil, "Record on a broken connection returned no error")
	c.promised(runClose)
	r.Close(c.ctx) // which may say that the connection is broken
	c.becomesFree("s")
	c.promised(runExecError)
	c.hasRows("t", 1)
	c.hasVersions(c.db(), "s")
}
