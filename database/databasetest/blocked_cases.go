package databasetest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var blockedCases = []testCase{
	{"a statement that waits too long for a lock", lockTimeout, lockTimeoutCase},
	{"what was done before a lock timeout", lockTimeoutUndoes, lockTimeoutUndoesCase},
	{"a lock timeout in a run", lockTimeoutUndoes, lockTimeoutInRun},
	{"the lock timeout of a directive", lockTimeoutScript, lockTimeoutOfAScript},
	{"waiting for a lock without a limit", lockTimeoutNone, noLockTimeout},
	{"a deadlock", deadlockUndoes, deadlockCase},
	{"who blocks a statement", blockedTells, blockedCase},
	{"nobody blocks a statement", blockedSilent, nobodyBlocks},
	{"terminating a session that blocks", terminateEnds, terminateCase},
	{"leaving a session that blocks", terminateAsks, terminateRefused},
}

const (
	noBlock     = "Target.Block is not set"
	noDeadlock  = "Target.Deadlock is not set"
	noBlockers  = "Target.Blockers is not set"
	noTerminate = "Target.Terminates is not set"
)

// short is a lock timeout that ends while another session blocks.
const short = 100 * time.Millisecond

// insertInto is a script with one statement, which waits for a lock on the table.
func insertInto(table string) *migration.Script { return text("INSERT INTO " + table + " VALUES (1)") }

// block lets another session block a table. Any goroutine can release it.
func (c *check) block(table string) (release func()) {
	c.Helper()
	end, err := c.Block(c.ctx, table)
	c.ok(err, "Target.Block")
	var once sync.Once
	release = func() { once.Do(func() { _ = end() }) }
	c.Cleanup(release)
	return release
}

func (c *check) isLockTimeout(err error, doing string) {
	c.Helper()
	c.that(errors.Is(err, database.ErrLockTimeout), "%s: %v, want ErrLockTimeout", doing, err)
	st := as[*database.StatementError](c, err, doing)
	c.that(strings.Contains(st.Statement, "INSERT INTO t"), "%s: the statement is %q", doing, st.Statement)
}

func lockTimeoutCase(c *check) {
	c.need(c.Block != nil, noBlock)
	db := c.dbWith("t")
	for i, l := range c.lockers() {
		release := c.block("t")
		w, err := l.take(c.ctx, db, database.LockOptions{Timeout: patience, LockTimeout: short})
		c.ok(err, l.name)
		late := time.AfterFunc(patience/2, release) // a driver that waits on fails then
		err = w.execNow(c.ctx, insertInto("t"))
		late.Stop()
		c.isLockTimeout(err, "a statement that is blocked, after "+l.name)
		c.ok(w.end(c.ctx), "the end of the work")
		release()
		c.isFree("s")
		c.apply(db, "s", int64(i+1), "INSERT INTO t VALUES (1)") // the same connection has no leftover
	}
	c.hasRows("t", 2)
}

// busy returns the options of a lock after which a statement soon fails if it is blocked.
func busy() database.LockOptions {
	return database.LockOptions{Timeout: patience, LockTimeout: short}
}

func lockTimeoutUndoesCase(c *check) {
	c.need(c.Block != nil, noBlock)
	db := c.dbWith("t")
	c.table(db, "u")
	release := c.block("t")
	tx, _, err := db.Begin(c.ctx, "s", busy())
	c.ok(err, "Begin")
	err = tx.Exec(c.ctx, insertInto("u"))
	if err == nil {
		err = tx.Exec(c.ctx, insertInto("t"))
	}
	if err == nil {
		_, err = tx.State(c.ctx)
	}
	c.isLockTimeout(err, "the second statement")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.hasRows("u", 0)
	c.aside(c.db(), "DROP TABLE u") // its lock is gone, too
	release()
	c.apply(db, "s", 1, "INSERT INTO t VALUES (1)")
	c.hasRows("t", 1)
	c.hasVersions(db, "s", 1)
}

func lockTimeoutInRun(c *check) {
	c.need(c.Block != nil, noBlock)
	db := c.dbWith("t")
	c.table(db, "u")
	release := c.block("t")
	r, _, err := db.Guard(c.ctx, "s", busy())
	c.ok(err, "Guard")
	c.Cleanup(func() { r.Close(context.Background()) })
	c.isLockTimeout(c.mark(r, c.ctx, "INSERT INTO t VALUES (1)", interruptedRun(1)), "a statement with a journal")
	st := c.state(r, "s")
	c.that(st.Interrupted == nil || !st.Interrupted.Started(), "after a lock timeout the journal is %+v", st.Interrupted)
	c.exec(r, "BEGIN; INSERT INTO u VALUES (1)")
	c.isLockTimeout(c.tryExec(r, c.ctx, insertInto("t")), "a statement in the script's transaction")
	c.exec(r, "ROLLBACK")
	c.hasRows("u", 0)
	release()
	c.ok(c.mark(r, c.ctx, "INSERT INTO t VALUES (1)", interruptedRun(1)), "the same statement, when nobody blocks it, in the same run")
	c.hasRows("t", 1)
	c.recordRun(r, 1)
	c.ok(r.Close(c.ctx), "Run.Close")
}

func lockTimeoutOfAScript(c *check) {
	c.need(c.Block != nil, noBlock)
	db := c.dbWith("t")
	for _, l := range c.lockers() {
		limited, unlimited := insertInto("t"), insertInto("t")
		limited.LockTimeout, unlimited.LockTimeout = short, -1
		release := c.block("t")
		w, err := l.take(c.ctx, db, database.LockOptions{Timeout: patience, LockTimeout: patience})
		c.ok(err, l.name)
		late := time.AfterFunc(patience/2, release)
		err = w.execNow(c.ctx, limited)
		late.Stop()
		c.isLockTimeout(err, "a statement with the directive, after "+l.name)
		c.ok(w.end(c.ctx), "the end of the work")
		w, err = l.take(c.ctx, db, busy())
		c.ok(err, l.name)
		time.AfterFunc(15*short, release) // MySQL's timeout is at least a second
		c.ok(w.execNow(c.ctx, unlimited), "a statement whose directive lifts the limit, after "+l.name)
		c.ok(w.end(c.ctx), "the end of the work")
	}
}

func noLockTimeout(c *check) {
	c.need(c.Block != nil, noBlock)
	db := c.dbWith("t")
	for _, l := range c.lockers() {
		release := c.block("t")
		w := c.take(l, db)
		time.AfterFunc(2*short, release)
		c.ok(w.execNow(c.ctx, insertInto("t")), "a statement without a limit, after "+l.name)
		c.ok(w.end(c.ctx), "the end of the work")
	}
}

func deadlockCase(c *check) {
	c.need(c.Deadlock != nil, noDeadlock)
	db := c.dbWith("t")
	c.table(db, "u")
	tx := c.begin(db, "s")
	c.run(tx, "INSERT INTO u VALUES (1)")
	c.state(tx, "s") // executes what is queued
	end, err := c.Deadlock(c.ctx, "u", "t")
	c.ok(err, "Target.Deadlock")
	err = tx.Exec(c.ctx, insertInto("t"))
	if err == nil {
		_, err = tx.State(c.ctx)
	}
	c.that(errors.Is(err, database.ErrDeadlock), "the statement that closes the circle: %v, want ErrDeadlock", err)
	as[*database.StatementError](c, err, "the statement that closes the circle")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.ok(end(), "ending the other session of the deadlock")
	c.hasRows("u", 0)
	c.apply(db, "s", 1, "INSERT INTO t VALUES (1)")
	c.hasRows("t", 1)
}

func blockedCase(c *check) {
	c.need(c.Block != nil, noBlock)
	c.need(c.Blockers, noBlockers)
	db := c.dbWith("t")
	for _, l := range c.lockers() {
		release := c.block("t")
		late := time.AfterFunc(patience/2, release)
		var first atomic.Pointer[database.Blockage]
		w, err := l.take(c.ctx, db, database.LockOptions{Timeout: patience, Blocked: func(b database.Blockage) {
			first.CompareAndSwap(nil, &b)
			release()
		}})
		c.ok(err, l.name)
		c.ok(w.execNow(c.ctx, insertInto("t")), "a statement that waited until Blocked was called, after "+l.name)
		c.ok(w.end(c.ctx), "the end of the work")
		late.Stop()
		b := first.Load()
		c.that(b != nil, "after %s, Blocked was not called", l.name)
		c.that(len(b.Blockers) > 0 && b.First().PID != 0, "after %s, the blockers are %+v", l.name, b.Blockers)
		c.that(b.SQL == "" || strings.Contains(b.SQL, "INSERT INTO t"), "after %s, the statement that waits is %q", l.name, b.SQL)
	}
}

func nobodyBlocks(c *check) {
	db := c.dbWith("t")
	for _, l := range c.lockers() {
		var calls atomic.Int64
		w, err := l.take(c.ctx, db, database.LockOptions{
			Timeout: patience, LockTimeout: patience,
			Blocked:    func(database.Blockage) { calls.Add(1) },
			Terminate:  func(database.Blocker) bool { calls.Add(1); return true },
			Terminated: func(database.Blocker) { calls.Add(1) },
		})
		c.ok(err, l.name)
		c.ok(w.execNow(c.ctx, insertInto("t")), "a statement that nobody blocks, after "+l.name)
		c.ok(w.end(c.ctx), "the end of the work")
		c.that(calls.Load() == 0, "after %s, a callback was called %d times, but nothing waited", l.name, calls.Load())
	}
}

func terminateCase(c *check) {
	c.need(c.Block != nil, noBlock)
	c.need(c.Terminates, noTerminate)
	db := c.dbWith("t")
	for _, l := range c.lockers() {
		late := time.AfterFunc(patience/2, c.block("t"))
		var asked, ended atomic.Int64
		w, err := l.take(c.ctx, db, database.LockOptions{
			Timeout:    patience,
			Blocked:    func(database.Blockage) {},
			Terminate:  func(b database.Blocker) bool { asked.Store(b.PID); return true },
			Terminated: func(b database.Blocker) { ended.Store(b.PID) },
		})
		c.ok(err, l.name)
		c.ok(w.execNow(c.ctx, insertInto("t")), "a statement whose blocker is terminated, after "+l.name)
		c.ok(w.end(c.ctx), "the end of the work")
		stopped := late.Stop()
		c.promised(terminateAsks)
		c.that(asked.Load() != 0, "after %s, Terminate was not called", l.name)
		c.promised(terminateEnds)
		c.that(stopped, "after %s, the session was not terminated", l.name)
		c.promised(terminatedTells)
		c.that(ended.Load() == asked.Load(), "after %s, Terminated was called with pid %d, want %d", l.name, ended.Load(), asked.Load())
	}
}

func terminateRefused(c *check) {
	c.need(c.Block != nil, noBlock)
	c.need(c.Terminates, noTerminate)
	db := c.dbWith("t")
	for _, l := range c.lockers() {
		release := c.block("t")
		var ended atomic.Int64
		w, err := l.take(c.ctx, db, database.LockOptions{
			Timeout: patience,
			Blocked: func(database.Blockage) {},
			Terminate: func(database.Blocker) bool {
				time.AfterFunc(short, release)
				return false
			},
			Terminated: func(database.Blocker) { ended.Add(1) },
		})
		c.ok(err, l.name)
		c.ok(w.execNow(c.ctx, insertInto("t")), "a statement that waits, after "+l.name)
		c.ok(w.end(c.ctx), "the end of the work")
		c.that(ended.Load() == 0, "after %s, a session was terminated although Terminate returned false", l.name)
	}
}
