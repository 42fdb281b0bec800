package databasetest

import (
	"context"
	"errors"

	"github.com/whimbrel-db/whimbrel/database"
)

var txCases = []testCase{
	{"Commit", txCommit, commitCase},
	{"CommitAndBegin", txChain, commitAndBegin},
	{"CommitEach", txEach, commitEach},
	{"StartSequence", txStart, startSequence},
	{"a failing statement leaves nothing", txWhole, failingStatement},
	{"nothing is visible before Commit", txWhole, nothingBeforeCommit},
	{"State in a transaction", txState, stateInTx},
	{"Rollback at any time", txRollbackAny, rollbackAtAnyTime},
	{"a transaction that is over", txOver, txIsOver},
	{"Rollback and begin again", txRollback, startOver},
	{"Recorded", recordedEntries, recordedCase},
	{"Record fills in the times", txRecordTimes, recordFillsInTimes},
}

func commitCase(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2);")
	c.record(tx, 1)
	c.run(tx, c.ddl("CREATE TABLE u (x int)"))
	c.run(tx, c.ddl("INSERT INTO u VALUES (1)"))
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

func commitAndBegin(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	for v := int64(1); v < 4; v++ { // a driver may begin the next Tx only under some conditions
		c.run(tx, "INSERT INTO t VALUES (1)")
		c.record(tx, v)
		r, next, found, err := database.CommitAndBegin(c.ctx, tx, database.LockOptions{})
		c.ok(err, "CommitAndBegin")
		c.hasRows("t", int(v))
		c.that(len(r.Entries) == 1, "CommitAndBegin returned %d entries, want 1", len(r.Entries))
		c.ok(tx.Rollback(c.ctx), "Rollback after CommitAndBegin")
		if next == nil {
			c.isFree("s")
			next = c.begin(db, "s")
		} else {
			c.that(found.Head == r.Head && !found.Interrupted, "the next Tx found %v after Head %d", found, r.Head)
		}
		c.isLocked("s")
		tx = next
	}
	c.run(tx, "INSERT INTO t VALUES (1)")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.isFree("s")
	c.hasRows("t", 3)
	c.hasVersions(db, "s", 1, 2, 3)

	tx = c.begin(db, "s")
	err := tx.Exec(c.ctx, text(failing))
	if err == nil { // the driver queues it
		var next database.Tx
		_, next, _, err = database.CommitAndBegin(c.ctx, tx, database.LockOptions{})
		c.that(next == nil, "CommitAndBegin began a Tx after an error")
	}
	c.that(err != nil, "neither Exec nor CommitAndBegin returned an error")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.hasRows("t", 3)
	c.isFree("s")
}

// sequencer returns a Tx that can execute parts with CommitEach, nil if the driver has none.
func (c *check) sequencer(db database.Database) database.Sequencer {
	c.Helper()
	tx := c.begin(db, "s")
	for v := int64(1); v < 3; v++ { // a driver may begin one only under some conditions
		c.run(tx, "INSERT INTO t VALUES (1)")
		c.record(tx, v)
		_, next, _, err := database.CommitAndBegin(c.ctx, tx, database.LockOptions{})
		c.ok(err, "CommitAndBegin")
		if next == nil {
			return nil
		}
		tx = next
	}
	if s, ok := tx.(database.Sequencer); ok && s.Fits(text("INSERT INTO t VALUES (1)")) {
		return s
	}
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	return nil
}

func commitEach(c *check) {
	db := c.dbWith("t")
	part := func(version int64, statements string) database.Part {
		s := text(statements)
		return database.Part{Script: s, Entries: []database.Entry{up(version)}}
	}
	const insert = "INSERT INTO t VALUES (1)"
	s := c.sequencer(db)
	if s == nil {
		return
	}
	var done []database.Recorded
	begun := 0
	report := database.PartReport{Begun: func() { begun++ }, Committed: func(r database.Recorded) {
		c.that(len(done) == begun-1, "CommitEach reported %d parts as begun when part %d was committed", begun, len(done)+1)
		done = append(done, r)
	}}
	next, found, err := s.CommitEach(c.ctx, []database.Part{part(3, insert), part(4, insert), part(5, insert)}, true, database.LockOptions{}, report)
	c.ok(err, "CommitEach")
	c.that(len(done) == 3, "CommitEach reported %d transactions, want 3", len(done))
	c.hasRows("t", 5)
	c.hasVersions(c.db(), "s", 1, 2, 3, 4, 5)
	st := c.state(db, "s")
	for i, r := range done {
		c.that(len(r.Entries) == 1 && r.Entries[0].Version == int64(3+i), "transaction %d recorded %v", i, r.Entries)
	}
	c.that(done[2].Head == st.Head, "CommitEach returned Head %d, and State %d", done[2].Head, st.Head)
	c.that(next != nil && found.Head == st.Head && !found.Interrupted, "the next Tx is %v, and found %v; the head is %d", next, found, st.Head)
	c.isLocked("s")

	s, ok := next.(database.Sequencer)
	c.that(ok, "the next Tx is no Sequencer")
	done, begun = nil, 0
	next, _, err = s.CommitEach(c.ctx, []database.Part{part(6, insert), part(7, failing), part(8, insert)}, true, database.LockOptions{}, report)
	c.that(err != nil, "CommitEach returned no error of its second part")
	c.that(next == nil, "CommitEach began a Tx after an error")
	c.that(len(done) == 1 && begun == 2, "CommitEach reported %d transactions as committed and %d as begun, want 1 and 2", len(done), begun)
	c.hasRows("t", 6)
	c.hasVersions(c.db(), "s", 1, 2, 3, 4, 5, 6)
	c.isFree("s")

	s = c.begin(db, "s").(database.Sequencer)
	if !s.Fits(text(insert)) {
		c.ok(s.(database.Tx).Rollback(c.ctx), "Tx.Rollback")
		return
	}
	done, begun = nil, 0
	next, _, err = s.CommitEach(c.ctx, []database.Part{part(7, insert), part(8, insert)}, false, database.LockOptions{}, report)
	c.ok(err, "CommitEach without another Tx")
	c.that(next == nil, "CommitEach began a Tx that nobody wants")
	c.that(len(done) == 2, "CommitEach reported %d transactions, want 2", len(done))
	c.hasVersions(c.db(), "s", 1, 2, 3, 4, 5, 6, 7, 8)
	c.isFree("s")
}

func startSequence(c *check) {
	db := c.dbWith("t")
	tx := c.begin(db, "s")
	c.record(tx, 1)
	c.commit(tx)
	part := database.Part{Script: text("INSERT INTO t VALUES (1)"), Entries: []database.Entry{up(2)}}
	// each begins a sequence of one part, and returns whether it was committed.
	each := func(head int64) (done bool) {
		c.Helper()
		s := database.StartSequence(c.ctx, db, "s", head)
		if s == nil || !s.Fits(part.Script) {
			return false
		}
		next, _, err := s.CommitEach(c.ctx, []database.Part{part}, false, database.LockOptions{}, database.PartReport{
			Begun:     func() {},
			Committed: func(database.Recorded) { done = true },
		})
		c.ok(err, "CommitEach")
		c.that(next == nil, "CommitEach began a Tx that nobody wants")
		return done
	}
	head := c.state(db, "s").Head
	c.that(!each(head-1), "a sequence began although the head is another one")
	c.hasRows("t", 0)
	c.isFree("s")

	other := c.begin(c.db(), "s")
	c.that(!each(head), "a sequence began although the lock is taken")
	c.ok(other.Rollback(c.ctx), "Tx.Rollback")
	c.hasRows("t", 0)
	c.isFree("s")

	if s := database.StartSequence(c.ctx, db, "s", head); s != nil {
		c.ok(s.Rollback(c.ctx), "Sequence.Rollback")
	}
	c.isFree("s")
	if each(head) {
		c.hasRows("t", 1)
		c.hasVersions(c.db(), "s", 1, 2)
		c.that(!each(head), "a sequence began although the head has changed")
	}
	c.isFree("s")
}

// failing fails at its second statement.
const failing = "INSERT INTO t VALUES (1);\nINSERT INTO missing VALUES (1);\n"

// fails executes statements that must fail, at Commit at the latest, and returns the error.
func (c *check) fails(tx database.Tx, statements string) error {
	c.Helper()
	err := execAndCommit(c.ctx, tx, text(statements), 2)
	c.that(err != nil, "Exec, Record and Commit returned no error for %q", statements)
	return err
}

func failingStatement(c *check) {
	db := c.dbWith("t")
	for _, tt := range []struct {
		promise *promise
		fail    func(database.Tx)
	}{
		{txWhole, func(tx database.Tx) { c.fails(tx, failing) }},
		{txCommitFails, func(tx database.Tx) {
			c.fails(tx, failing)
			tx.Commit(c.ctx) // a mistake of the caller, which must not commit anything either
		}},
		{txRollback, func(tx database.Tx) {
			err := tx.Exec(c.ctx, text(failing))
			if err == nil { // the driver queues it
				_, err = tx.State(c.ctx)
			}
			c.that(err != nil, "neither Exec nor State returned an error")
		}},
	} {
		c.promised(tt.promise)
		tx := c.begin(db, "s")
		c.run(tx, "INSERT INTO t VALUES (0);"+c.ddl("CREATE TABLE u (x int);"))
		c.record(tx, 1)
		tt.fail(tx)
		c.ok(tx.Rollback(c.ctx), "Rollback after an error")
		c.hasTables("t")
		c.hasRows("t", 0)
		c.hasVersions(db, "s")
		c.isFree("s")
	}
	c.apply(db, "s", 1, "INSERT INTO t VALUES (1)") // the Database still works
	c.hasRows("t", 1)
	c.hasVersions(db, "s", 1)
}

func nothingBeforeCommit(c *check) {
	db, other := c.db(), c.db()
	c.table(db, "t")
	tx := c.pending(db, "INSERT INTO t VALUES (1)")
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
		c.that(last == v, "after Record of %d State.Version is %d", v, last)
		c.that(st.Applied.Len() == int(v), "after Record of %d State has %d", v, st.Applied.Versions())
		c.that(st.Set == "s", "State.Set is %q", st.Set)
		c.isDefault(st)
	}
	c.ok(tx.Record(c.ctx, database.Entry{Version: 3, Direction: database.Down, StartedAt: started}), "Tx.Record")
	_, found := c.state(tx, "s").Applied.Get(3)
	c.that(!found, "after Record of its down entry State still has version 3")
}

func rollbackAtAnyTime(c *check) {
	db := c.dbWith("t")
	tx := c.pending(db, "INSERT INTO t VALUES (1)")
	c.commit(tx)
	c.ok(tx.Rollback(c.ctx), "Rollback after Commit")
	c.hasRows("t", 1)
	c.hasVersions(db, "s", 1)

	tx = c.begin(db, "s")
	c.run(tx, "INSERT INTO t VALUES (2)")
	c.ok(tx.Rollback(done()), "Rollback with a cancelled context")
	c.hasRows("t", 1)
	c.isFree("s")
	c.ok(tx.Rollback(c.ctx), "a second Rollback")

	// A late Rollback does not release another process's lock.
	next := c.begin(c.db(), "s")
	c.ok(tx.Rollback(c.ctx), "a third Rollback")
	c.isLocked("s")
	c.ok(next.Rollback(c.ctx), "Tx.Rollback")
}

func txIsOver(c *check) {
	db := c.dbWith("t")
	for _, end := range []string{"Commit", "Rollback"} {
		tx := c.begin(db, "s")
		if end == "Commit" {
			c.commit(tx)
		} else {
			c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
		}
		err := execAndCommit(c.ctx, tx, text("INSERT INTO t VALUES (1)"), 1)
		c.that(err != nil, "after %s, Exec, Record and Commit returned no error", end)
	}
	c.hasRows("t", 0)
	c.hasVersions(db, "s")
}

// startOver rolls back a transaction, and begins the next one on the same Database.
func startOver(c *check) {
	db := c.dbWith("t")
	tx := c.pending(db, "INSERT INTO t VALUES (1);"+c.ddl("CREATE TABLE u (x int);"))
	c.run(tx, "INSERT INTO t VALUES (2);")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.hasTables("t")
	c.hasRows("t", 0)
	c.hasVersions(db, "s")
	c.isFree("s")
	tx = c.begin(db, "s")
	c.isLocked("s")
	versions := c.state(tx, "s").Applied.Versions()
	c.that(len(versions) == 0, "after Rollback, State has %d, want none", versions)
	c.run(tx, "INSERT INTO t VALUES (3);"+c.ddl("CREATE TABLE u (x int);"))
	c.record(tx, 3)
	c.commit(tx)
	c.hasRows("t", 1)
	c.hasVersions(db, "s", 3)
	c.isFree("s")
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
	c.that(len(got) == 4, "Recorded has %d entries, want 4", len(got))
	c.that(len(want) == 4, "the history has %d entries, want 4", len(want))
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
	entries := c.entries(db, database.HistoryQuery{Set: "s"}, 2)
	for _, e := range entries {
		c.that(e.StartedAt.Year() > 1990, "StartedAt of version %d is %v", e.Version, e.StartedAt)
		c.that(e.Duration >= 0, "Duration of version %d is %v", e.Version, e.Duration)
	}
	c.that(!entries[1].StartedAt.Before(entries[0].StartedAt), "the second began at %v, before the first at %v", entries[1].StartedAt, entries[0].StartedAt)
	c.promised(entryTimes)
	c.inMicroseconds(entries)
}

// isContext reports whether an error is that of a cancelled context.
func isContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}
