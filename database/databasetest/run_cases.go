package databasetest

import (
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var runCases = []testCase{
	{"a run's statements commit one by one", runExec, statementsRemain},
	{"a statement that can't be in a transaction", guardLocks, neverInTransaction},
	{"a run's failing statement", runExecError, failingInRun},
	{"a run holds the lock", runHolds, runHoldsLock},
	{"a run records", runRecord, runRecords},
	{"a run's State", runState, stateInRun},
	{"a transaction of the script", runTransaction, ownTransaction},
	{"a transaction that the script leaves open", runClose, ownTransactionLeftOpen},
	{"a run is closed at any time", runCloseAny, runCloseAtAnyTime},
	{"a statement timeout", txTimeouts, statementTimeout},
	{"COPY in a transaction and a run", txBody, copyCase},
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
	c.need(c.Never != nil, noNever)
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, c.Never("t"))
	c.recordRun(r, 1)
	if c.OneWriter { // no other process can take a lock now
		c.exec(r, "CREATE TABLE u (x int)")
	} else {
		c.table(c.db(), "u") // another process, under another lock
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
	c.isStatementError(c.tryExec(r, c.ctx, failingInLine13()))
	c.promised(runExec)
	c.hasRows("t", 1)
	c.exec(r, "INSERT INTO t VALUES (4)")
	c.recordRun(r, 1)
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
		e.Set = "another set"
		got, err := r.Record(c.ctx, e)
		c.ok(err, "Run.Record")
		returned = append(returned, got.Entries...)
		entries := c.entries(c.db(), database.HistoryQuery{Texts: true}, int(v)+1)
		c.isKept(entries[v], kept("s", e, true))
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
		c.that(st.Set == "s", "State.Set is %q", st.Set)
		c.hasVersion(st, v, false)
	}
}

func ownTransaction(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, "BEGIN; INSERT INTO t VALUES (1)")
	c.hasRows("t", 0)
	c.isLocked("s")
	c.promised(runRecordTx)
	c.that(c.tryRecord(r, 1) != nil, "Record in the script's transaction returned no error")
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
	c.ok(r.Close(done()), "Close with a cancelled context")
	c.isFree("s")
	c.ok(r.Close(c.ctx), "a second Close")
	next := c.guard(c.db(), "s")
	c.ok(r.Close(c.ctx), "a third Close")
	c.isLocked("s") // by the other process
	c.ok(next.Close(c.ctx), "Run.Close")
	c.promised(runHolds)
	c.that(c.tryExec(r, c.ctx, text("INSERT INTO t VALUES (2)")) != nil, "after Close, Exec returned no error")
	c.that(c.tryRecord(r, 1) != nil, "after Close, Record returned no error")
	c.hasRows("t", 1)
	c.hasVersions(db, "s")
}

func statementTimeout(c *check) {
	c.need(c.Slow != "", noSlow)
	c.table(c.db(), "t")
	s := text(c.Slow)
	s.StatementTimeout = 20 * time.Millisecond
	for i, l := range c.lockers() {
		c.promised([]*promise{txTimeouts, runExec}[i])
		w := c.take(l, c.db())
		err := w.execNow(c.ctx, s)
		c.that(isA[*database.StatementError](err), "a statement that reached its timeout returned %v, want a *StatementError", err)
		if l.name == "Guard" { // a run continues
			c.ok(w.exec(c.ctx, text("INSERT INTO t VALUES (1)")), "Run.Exec after a timeout")
		}
		c.ok(w.end(c.ctx), "the end of the work of "+l.name)
		c.hasRows("t", w.kept)
	}
}

func copyCase(c *check) {
	db := c.db()
	c.need(db.Dialect() == sqltext.PostgreSQL, "the dialect has no COPY … FROM stdin")
	c.table(db, "t")
	const copying = "COPY t FROM stdin;\n1\n2\n3\n\\.\nINSERT INTO t VALUES (4);\n"
	c.apply(db, "s", 1, copying)
	c.hasRows("t", 4)
	c.promised(runCopy)
	c.aside(db, copying)
	c.hasRows("t", 8)
}
