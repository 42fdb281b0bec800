package databasetest

import (
	"context"
	"errors"

	"github.com/whimbrel-db/whimbrel/database"
)

var txCases = []testCase{
	{"Commit", txCommit, commitCase},
	{"a failing statement leaves nothing", txWhole, failingStatement},
	{"nothing is seen before Commit", txWhole, nothingBeforeCommit},
	{"State in a transaction", txState, stateInTx},
	{"Rollback", txRollback, rollbackCase},
	{"Rollback at any time", txRollbackAny, rollbackAtAnyTime},
	{"a transaction that is over", txOver, txIsOver},
	{"Rollback and begin again", txRollback, startOver},
	{"Rollback after an error and begin again", txRollback, startOverAfterError},
	{"Recorded", recordedEntries, recordedCase},
	{"Record fills in the times", txRecordTimes, recordFillsInTimes},
}

func commitCase(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);")
	c.record(tx, 1)
	if !c.NoDDL {
		c.run(tx, "CREATE TABLE u (x int)")
		c.run(tx, "INSERT INTO u VALUES (1)")
	}
	c.record(tx, 2)
	c.commit(tx)
	c.hasRows("t", 2)
	if !c.NoDDL {
		c.hasTables("t", "u")
		c.hasRows("u", 1)
	}
	c.hasVersions(c.db(), "s", 1, 2)
	c.isFree("s")
}

// failing fails at its second statement.
const failing = "INSERT INTO t VALUES (1);\nINSERT INTO missing VALUES (1);\n"

// fails runs a transaction that must fail, to Commit if it must, and returns its error.
func (c *check) fails(tx database.Tx, statements string) error {
	c.Helper()
	err := execAndCommit(c.ctx, tx, text(statements), 2)
	c.that(err != nil, "neither Exec nor Record nor Commit returned an error for %q", statements)
	return err
}

func failingStatement(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (0);"+c.ddl("CREATE TABLE u (x int);"))
	c.record(tx, 1)
	c.fails(tx, failing)
	c.ok(tx.Rollback(c.ctx), "Rollback after an error")
	c.hasTables("t")
	c.hasRows("t", 0)
	c.hasVersions(db, "s")
	c.isFree("s")

	c.promised(txCommitFails)
	tx = c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (0)")
	c.record(tx, 1)
	c.fails(tx, failing)
	tx.Commit(c.ctx) // a mistake of the caller, after which nothing may be there either
	c.ok(tx.Rollback(c.ctx), "Rollback after an error")
	c.hasRows("t", 0)
	c.hasVersions(db, "s")
	c.apply(db, "s", 1, "INSERT INTO t VALUES (1)") // the database is as good as before
	c.hasRows("t", 1)
}

func nothingBeforeCommit(c *check) {
	db, other := c.db(), c.db()
	c.table(db, "t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1)")
	c.record(tx, 1)
	c.state(tx, "s") // executes what is queued
	c.hasRows("t", 0)
	c.hasVersions(other, "s")
	c.commit(tx)
	c.hasRows("t", 1)
	c.hasVersions(other, "s", 1)
}

func stateInTx(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	c.apply(db, "other", 9, "")
	tx := c.begin(db, "s")
	for v := int64(2); v < 4; v++ {
		c.record(tx, v)
		st := c.state(tx, "s")
		last, _ := st.Version()
		c.that(last == v && st.Applied.Len() == int(v), "after Record of %d State has %d", v, st.Applied.Versions())
		c.that(st.Set == "s", "State.Set is %q", st.Set)
		c.isDefault(st)
	}
	c.ok(tx.Record(c.ctx, database.Entry{Version: 3, Direction: database.Down, StartedAt: started}), "Tx.Record")
	_, found := c.state(tx, "s").Applied.Get(3)
	c.that(!found, "after Record of its down event State has version 3")
}

func rollbackCase(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1);"+c.ddl("CREATE TABLE u (x int);"))
	c.record(tx, 1)
	c.state(tx, "s") // executes what is queued
	c.run(tx, "INSERT INTO t VALUES (2);")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.hasTables("t")
	c.hasRows("t", 0)
	c.hasVersions(db, "s")
	c.isFree("s")
}

func rollbackAtAnyTime(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1)")
	c.record(tx, 1)
	c.commit(tx)
	c.ok(tx.Rollback(c.ctx), "Rollback after Commit")
	c.hasRows("t", 1)
	c.hasVersions(db, "s", 1)

	tx = c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (2)")
	c.ok(tx.Rollback(done()), "Rollback with a context that is done")
	c.hasRows("t", 1)
	c.isFree("s")
	c.ok(tx.Rollback(c.ctx), "a second Rollback")

	// Someone else's lock is not let go of by a Rollback that comes late.
	next := c.begin(c.db(), "s")
	c.ok(tx.Rollback(c.ctx), "a third Rollback")
	c.isLocked("s")
	c.ok(next.Rollback(c.ctx), "Tx.Rollback")
}

func txIsOver(c *check) {
	db := c.dbWith("t")
	end := map[string]func(database.Tx) error{
		"Commit":   func(tx database.Tx) error { _, err := tx.Commit(c.ctx); return err },
		"Rollback": func(tx database.Tx) error { return tx.Rollback(c.ctx) },
	}
	for name, end := range end {
		tx := c.begin(db, "s")
		c.ok(end(tx), name)
		err := execAndCommit(c.ctx, tx, text("INSERT INTO t VALUES (1)"), 1)
		c.that(err != nil, "after %s, Exec, Record and Commit returned no error", name)
	}
	c.hasRows("t", 0)
	c.hasVersions(db, "s")
}

// startOver rolls back an open transaction, and begins the next on the same Database.
func startOver(c *check) {
	db := c.dbWith("t")
	c.apply(db, "s", 1, "")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1);"+c.ddl("CREATE TABLE u (x int);"))
	c.record(tx, 2)
	c.state(tx, "s") // executes what is queued
	c.run(tx, "INSERT INTO t VALUES (2);")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	tx = c.begin(db, "s")
	c.isLocked("s")
	versions := c.state(tx, "s").Applied.Versions()
	c.that(len(versions) == 1, "after Rollback, State has %d, want 1 alone", versions)
	c.run(tx, "INSERT INTO t VALUES (3);"+c.ddl("CREATE TABLE u (x int);"))
	c.record(tx, 3)
	c.commit(tx)
	c.hasRows("t", 1)
	c.hasVersions(db, "s", 1, 3)
	c.isFree("s")
}

func startOverAfterError(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	err := tx.Exec(c.ctx, text(failing))
	if err == nil { // the driver queues it
		_, err = tx.State(c.ctx)
	}
	c.that(err != nil, "neither Exec nor State returned an error")
	c.ok(tx.Rollback(c.ctx), "Rollback after an error")
	c.apply(db, "s", 3, "INSERT INTO t VALUES (3)")
	c.hasRows("t", 1)
	c.hasVersions(db, "s", 3)
}

func recordedCase(c *check) {
	db := c.db()
	tx := c.begin(db, "s")
	var given []database.Entry
	for v := range int64(4) {
		e := up(v)
		e.UpText, e.DownText, e.HasDownText = "up", "down", true
		given = append(given, e)
	}
	c.ok(tx.Record(c.ctx, given[0]), "Tx.Record")
	c.ok(tx.Record(c.ctx, given[1:]...), "Tx.Record of several entries")
	c.ok(tx.Record(c.ctx), "Tx.Record of none")
	got, want := c.commit(tx).Entries, c.history(db, database.HistoryQuery{Set: "s"})
	c.that(len(got) == 4 && len(want) == 4, "Recorded has %d entries and the history %d, want 4", len(got), len(want))
	for i := range got {
		c.that(sameEntry(got[i], want[i]), "Recorded has\n\t%+v\n\tthe history has\n\t%+v", got[i], want[i])
	}
	got = c.commit(c.begin(db, "s")).Entries
	c.that(len(got) == 0, "Recorded has %d entries of a transaction without any", len(got))
}

func recordFillsInTimes(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	for v := range int64(2) {
		c.run(tx, "INSERT INTO t VALUES (1)")
		e := up(v)
		e.StartedAt, e.Duration = zeroTime, 0
		c.ok(tx.Record(c.ctx, e), "Tx.Record")
	}
	c.commit(tx)
	events := c.history(db, database.HistoryQuery{Set: "s"})
	c.that(len(events) == 2, "the history has %d events, want 2", len(events))
	for _, e := range events {
		c.that(e.StartedAt.Year() > 1990, "StartedAt of version %d is %v", e.Version, e.StartedAt)
		c.that(e.Duration >= 0, "Duration of version %d is %v", e.Version, e.Duration)
	}
	c.that(!events[1].StartedAt.Before(events[0].StartedAt), "the second began at %v, before the first at %v", events[1].StartedAt, events[0].StartedAt)
	c.promised(entryTimes)
	c.inMicroseconds(events)
}

// isContext says whether an error is the one of a context that is done.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
