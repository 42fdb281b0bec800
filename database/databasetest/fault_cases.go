package databasetest

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

var faultCases = []testCase{
	{"a cancelled context", cancelling, contextIsDone},
	{"cancelling a statement", cancelling, cancelStatement},
	{"a transaction whose connection breaks", txCommitFails, breakTx},
	{"a run whose connection breaks", runExecError, breakRun},
}

func contextIsDone(c *check) {
	cancelled := func(err error, doing string) {
		c.Helper()
		c.that(errors.Is(err, context.Canceled), "%s returned %v, want context.Canceled", doing, err)
	}
	db := c.dbWith("t")
	c.apply(db, "s", 1, "")
	_, err := db.State(done(), "s")
	cancelled(err, "State")
	if storesSettings(db) {
		cancelled(database.UpdateSetting(done(), db, freeze), "UpdateSetting")
	}
	c.isDefault(c.state(db, "s"))

	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1)")
	c.record(tx, 2)
	_, err = tx.Commit(done())
	cancelled(err, "Commit")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.becomesFree("s", patient)

	r := c.guard(db, "s")
	cancelled(c.tryExec(r, done(), text("INSERT INTO t VALUES (1)")), "Run.Exec")
	_, err = r.Record(done(), up(2))
	cancelled(err, "Run.Record")
	c.ok(r.Close(c.ctx), "Run.Close")
	c.becomesFree("s", patient)
	c.hasRows("t", 0)
	c.hasVersions(db, "s", 1)
}

// soon returns a context that ends while a slow statement runs, or before. No case depends on
// which.
func (c *check) soon() context.Context {
	ctx, cancel := context.WithTimeout(c.ctx, 100*time.Millisecond)
	c.Cleanup(cancel)
	return ctx
}

func cancelStatement(c *check) {
	c.need(c.Slow != "", noSlow)
	db := c.dbWith("t")
	for _, l := range c.lockers() {
		w := c.take(l, db)
		c.ok(w.exec(c.ctx, text("INSERT INTO t VALUES (1)")), "Exec after "+l.name)
		ctx := c.soon()
		err := w.execNow(ctx, text(c.Slow))
		c.that(errors.Is(err, context.DeadlineExceeded), "after %s, Exec returned %v, want context.DeadlineExceeded", l.name, err)
		c.ok(w.end(ctx), "the end of the work of "+l.name+", with a cancelled context")
		c.becomesFree("s", patient)
		c.hasRows("t", w.kept)
		c.hasVersions(db, "s")
		c.apply(db, "next", 1, "DELETE FROM t")
	}
}

func breakTx(c *check) {
	c.need(c.Break != nil, noBreak)
	victim := c.dbWith("t")
	tx := c.pending(victim, "INSERT INTO t VALUES (1)")
	c.Break(victim)
	err := execAndCommit(c.ctx, tx, text("INSERT INTO t VALUES (2)"), 2)
	c.that(err != nil, "Exec, Record and Commit returned no error on a broken connection")
	c.promised(txRollback)
	tx.Rollback(c.ctx) // its error may be that the connection is broken
	c.becomesFree("s", patient)
	c.promised(txCommitFails)
	c.hasRows("t", 0)
	other := c.db()
	c.hasVersions(other, "s")
	c.apply(other, "s", 1, "INSERT INTO t VALUES (1)")
	c.hasRows("t", 1)
}

func breakRun(c *check) {
	c.need(c.Break != nil, noBreak)
	victim := c.dbWith("t")
	r := c.guard(victim, "s")
	c.exec(r, "INSERT INTO t VALUES (1)")
	c.Break(victim)
	err := c.tryExec(r, c.ctx, text("INSERT INTO t VALUES (2)"))
	c.that(isA[*database.LockLostError](err) || isA[*database.StatementError](err),
		"Exec on a broken connection returned %v, want a *LockLostError or a *StatementError", err)
	c.that(c.tryExec(r, c.ctx, text("INSERT INTO t VALUES (3)")) != nil, "a second Exec on a broken connection returned no error")
	c.that(c.tryRecord(r, 1) != nil, "Record on a broken connection returned no error")
	c.promised(runClose)
	r.Close(c.ctx) // its error may be that the connection is broken
	c.becomesFree("s", patient)
	c.promised(runExecError)
	c.hasRows("t", 1)
	c.hasVersions(c.db(), "s")
}
