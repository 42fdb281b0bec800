package databasetest

import (
	"context"
	"iter"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var runCases = []testCase{
	{"a run's statements stand at once", runExec, statementsRemain},
	{"a statement that cannot be in a transaction", guardLocks, neverInTransaction},
	{"a run's failing statement", runExecError, failingInRun},
	{"a run holds the lock", runHolds, runHoldsLock},
	{"a run records", runRecord, runRecords},
	{"a run's State", runState, stateInRun},
	{"a transaction of the script's own", runTransaction, ownTransaction},
	{"a transaction of the script's own that it leaves open", runClose, ownTransactionLeftOpen},
	{"a run is closed at any time", runCloseAny, runCloseAtAnyTime},
	{"a statement timeout in a run", runExec, timeoutInRun},
	{"COPY in a run", runCopy, copyInRun},
	{"COPY in a transaction", txBody, copyInTx},
}

func statementsRemain(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	c.exec(r, "CREATE TABLE u (x int)")
	c.hasTables("u")
	c.exec(r, "INSERT INTO u VALUES (1); INSERT INTO u VALUES (2)")
	c.hasRows("u", 2)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasTables("u")
	c.hasRows("u", 2)
	c.hasVersions(db, "s")
}

func neverInTransaction(c *check) {
	c.need(c.Never != nil, "statement that cannot be in a transaction")
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, c.Never("t"))
	c.recordRun(r, 1)
	if c.OneWriter { // no other process can take a lock now
		c.exec(r, "CREATE TABLE u (x int)")
	} else {
		c.table(c.db(), "u") // by another process, which holds another lock
	}
	c.exec(r, c.Never("u"))
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasVersions(db, "s", 1)
	c.promised(txStatement)
	tx := c.begin(db, "s")
	err := c.fails(tx, c.Never("t"))
	c.that(isA[*database.StatementError](err), "in a transaction it failed with %v, want a *StatementError", err)
}

func failingInRun(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	s := migration.Text("dir/2_b.up.sql", "-- ä comment; with a semicolon\nINSERT INTO t VALUES (1);\n\n  INSERT INTO missing VALUES (2); INSERT INTO t VALUES (3);\n")
	s.Line = 10
	err := c.tryExec(r, c.ctx, s)
	c.that(err != nil, "Exec returned no error")
	c.isStatementError(err)
	c.promised(runExec)
	c.hasRows("t", 1)
	c.exec(r, "INSERT INTO t VALUES (4)")
	_, err = r.Record(c.ctx, up(1))
	c.ok(err, "Run.Record after a statement failed")
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasRows("t", 2)
	c.hasVersions(db, "s", 1)
}

func runHoldsLock(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	c.isLocked("s")
	c.exec(r, "CREATE TABLE u (x int)")
	c.isLocked("s")
	c.recordRun(r, 1)
	c.isLocked("s")
	c.tryExec(r, c.ctx, text("INSERT INTO missing VALUES (1)"))
	c.isLocked("s")
	c.promised(runClose)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.isFree("s")
}

func runRecords(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	var returned []database.Entry
	for v := range int64(3) {
		e := full(v)
		e.Set = "somebody else's"
		got, err := r.Record(c.ctx, e)
		c.ok(err, "Run.Record")
		returned = append(returned, got.Entries...)
		events := c.history(c.db(), database.HistoryQuery{Texts: true})
		c.that(len(events) == int(v)+1, "after %d calls of Record another process sees %d events", v+1, len(events))
		c.isKept(events[v], kept("s", e, true))
	}
	c.ok(r.Close(c.ctx), "Run.Close")
	for i, e := range c.history(db, database.HistoryQuery{}) {
		got := returned[i]
		c.that(sameEntry(got, e), "Record returned\n\t%+v\n\tthe history has\n\t%+v", got, e)
	}
}

func stateInRun(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	r := c.guard(db, "s")
	for v := int64(2); v < 4; v++ {
		c.recordRun(r, v)
		st := c.state(r, "s")
		last, _ := st.Version()
		c.that(last == v && st.Set == "s", "after Record of %d State of set %q has %d", v, st.Set, st.Applied.Versions())
	}
	c.ok(r.Close(c.ctx), "Run.Close")
}

func ownTransaction(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, "BEGIN; INSERT INTO t VALUES (1)")
	c.hasRows("t", 0)
	c.isLocked("s")
	c.promised(runRecordTx)
	c.that(c.tryRecord(r, 1) != nil, "Record inside of the script's transaction returned no error")
	c.hasVersions(c.db(), "s")
	c.promised(runTransaction)
	c.exec(r, "COMMIT")
	c.hasRows("t", 1)
	c.isLocked("s")
	c.exec(r, "BEGIN; INSERT INTO t VALUES (2); ROLLBACK")
	c.hasRows("t", 1)
	c.isLocked("s")
	c.ok(c.tryRecord(r, 1), "Run.Record after the script's transaction")
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasVersions(db, "s", 1)
}

func ownTransactionLeftOpen(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, "BEGIN; INSERT INTO t VALUES (1)")
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasRows("t", 0)
	c.isFree("s")
	c.apply(db, "s", 1, "INSERT INTO t VALUES (2)")
	c.hasRows("t", 1)
}

func runCloseAtAnyTime(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, "INSERT INTO t VALUES (1)")
	c.ok(r.Close(done()), "Close with a context that is done")
	c.isFree("s")
	c.ok(r.Close(c.ctx), "a second Close")
	next := c.guard(c.db(), "s")
	c.ok(r.Close(c.ctx), "a third Close")
	c.isLocked("s") // by the other
	c.ok(next.Close(c.ctx), "Run.Close")
	c.promised(runHolds)
	c.that(c.tryExec(r, c.ctx, text("INSERT INTO t VALUES (2)")) != nil, "after Close, Exec returned no error")
	c.that(c.tryRecord(r, 1) != nil, "after Close, Record returned no error")
	c.hasRows("t", 1)
	c.hasVersions(db, "s")
}

func timeoutInRun(c *check) {
	c.need(c.Slow != "", "slow statement")
	db := c.dbWith("t")
	r := c.guard(db, "s")
	s := text(c.Slow)
	s.StatementTimeout = 20 * time.Millisecond
	err := c.tryExec(r, c.ctx, s)
	c.that(isA[*database.StatementError](err) && c.ctx.Err() == nil, "a statement above its timeout returned %v, want a *StatementError", err)
	c.exec(r, "INSERT INTO t VALUES (1)")
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasRows("t", 1)
}

// copying is a script with COPY data in it, and the number of its rows.
const copying = "COPY t FROM stdin;\n1\n2\n3\n\\.\nINSERT INTO t VALUES (4);\n"

func copyInRun(c *check) {
	db := c.db()
	c.need(db.Dialect() == sqltext.PostgreSQL, "COPY")
	c.table(db, "t")
	r := c.guard(db, "s")
	s := text(copying)
	a, err := s.Analyze(db.Dialect(), nil)
	c.ok(err, "Analyze")
	next, stop := iter.Pull2(a.All())
	defer stop()
	for {
		st, err, ok := next()
		if !ok {
			break
		}
		c.ok(err, "reading the script")
		if st.Kind == sqltext.CopyIn {
			err = r.Exec(c.ctx, s, st, database.CopyData(next), nil)
		} else {
			err = r.Exec(c.ctx, s, st, nil, nil)
		}
		c.ok(err, "Run.Exec of "+st.Text)
	}
	c.hasRows("t", 4)
	c.ok(r.Close(context.WithoutCancel(c.ctx)), "Run.Close")
}

func copyInTx(c *check) {
	db := c.db()
	c.need(db.Dialect() == sqltext.PostgreSQL, "COPY")
	c.table(db, "t")
	c.apply(db, "s", 1, copying)
	c.hasRows("t", 4)
}
