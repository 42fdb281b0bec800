package databasetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

var lockCases = []testCase{
	{"one at a time", guardLocks, oneAtATime},
	{"waiting until the timeout", beginLocked, waitingInVain},
	{"waiting", waitingCalled, waitingCase},
	{"the process that migrates", holderNames, holderCase},
	{"no process migrates", holderNone, noHolder},
	{"the lock of another set", beginOtherSets, otherSetsLock},
	{"the lock of another history", historyName, otherHistorysLock},
	{"cancelling a wait", cancelling, cancelWaiting},
	{"many processes at once", txLocked, manyProcesses},
	{"many goroutines at once", manyGoroutines, manyAtOnce},
}

func oneAtATime(c *check) {
	holder, other := c.db(), c.db()
	c.pairs(func(what string, hold, try locker) {
		c.promised(guardLocks)
		w := c.take(hold, holder)
		for _, db := range []database.Database{other, holder} { // the same Database is no exception
			c.promised(beginLocks)
			_, err := try.take(c.ctx, db, database.LockOptions{})
			c.that(err != nil, "%s: no error", what)
			c.promised(triesOnce)
			c.that(errors.Is(err, database.ErrLocked), "%s: %v, want ErrLocked", what, err)
			c.promised(beginLocked)
			locked := as[*database.LockedError](c, err, what)
			c.that(locked.Set == "s", "%s: LockedError.Set is %q, want s", what, locked.Set)
		}
		c.promised(txLocked)
		c.ok(w.end(c.ctx), "releasing the lock")
		c.ok(c.takeOnce(try, other), "after the lock was released: "+what)
	})
}

// takeOnce takes and releases the lock without waiting.
func (c *check) takeOnce(l locker, db database.Database) error {
	w, err := l.take(c.ctx, db, database.LockOptions{})
	if err != nil {
		return err
	}
	return w.end(c.ctx)
}

func waitingInVain(c *check) {
	holder := c.open(database.Options{App: "the holder's app"})
	c.pairs(func(what string, hold, try locker) {
		w := c.take(hold, holder)
		var seen []database.Holder
		_, err := try.take(c.ctx, c.db(), database.LockOptions{
			Timeout: 20 * time.Millisecond,
			Waiting: func(h database.Holder) { seen = append(seen, h) },
		})
		c.promised(beginLocked)
		c.that(errors.Is(err, database.ErrLocked), "%s: %v, want ErrLocked", what, err)
		locked := as[*database.LockedError](c, err, what)
		c.promised(waitingCalled)
		c.that(len(seen) > 0, "%s: Waiting was not called", what)
		c.promised(waitingHolder)
		for _, h := range append(seen, locked.Holder) {
			c.that(h.App == "the holder's app" || h.App == "" && !c.Holders, "%s: the holder is %+v, want the app %q", what, h, "the holder's app")
		}
		c.ok(w.end(c.ctx), "releasing the lock")
	})
}

func waitingCase(c *check) {
	c.pairs(func(what string, hold, try locker) {
		w := c.take(hold, c.db())
		var once sync.Once
		released := make(chan error, 1)
		got, err := try.take(c.ctx, c.db(), database.LockOptions{
			Timeout: patience,
			Waiting: func(database.Holder) { once.Do(func() { released <- w.end(c.ctx) }) },
		})
		c.ok(err, what+", which then releases it")
		once.Do(func() { c.fail(what + ": Waiting was not called") })
		c.ok(<-released, "releasing the lock")
		c.ok(got.end(c.ctx), "releasing the lock")
	})
}

// holder returns the process that holds the lock of a set, if the driver has the power to tell.
func (c *check) holder(db database.Database, set string) (h database.Holder, held bool) {
	c.Helper()
	if _, ok := db.(database.HolderReader); !ok {
		c.ok(&database.PowerError{Power: database.PowerHolder, Driver: "tested"}, "LockHolder")
	}
	h, held, err := database.LockHolder(c.ctx, db, set)
	c.ok(err, "LockHolder")
	st, together, err := database.StateAndHolder(c.ctx, db, set)
	c.ok(err, "StateAndHolder")
	shown := st.Interrupted != nil && st.Interrupted.Held
	c.that((together != nil) == (held && !shown), "StateAndHolder returns the holder %+v and the state %+v, LockHolder %t", together, st, held)
	c.that(together == nil || together.App == h.App && together.PID == h.PID, "StateAndHolder returns the holder %+v, LockHolder %+v", together, h)
	return h, held
}

func holderCase(c *check) {
	holder, reader := c.open(database.Options{App: "the holder's app"}), c.db()
	for _, l := range c.lockers() {
		w := c.take(l, holder)
		for _, db := range []database.Database{reader, holder} {
			c.promised(holderNames)
			h, held := c.holder(db, "s")
			c.that(held || !c.Holders, "after %s, no process holds the lock", l.name)
			c.that(!held || h.App == "the holder's app" || h.App == "" && !c.Holders, "after %s, the holder is %+v, want the app %q", l.name, h, "the holder's app")
			c.promised(holderNone)
			h, held = c.holder(db, "other")
			c.that(!held, "after %s of set %q, the holder of set %q is %+v", l.name, "s", "other", h)
		}
		c.ok(w.end(c.ctx), "releasing the lock")
		h, held := c.holder(reader, "s")
		c.that(!held, "after the lock was released, its holder is %+v", h)
	}
	c.promised(holderReads)
	c.isFree("s")
}

func noHolder(c *check) {
	db := c.db()
	h, held := c.holder(db, "s")
	c.that(!held, "the holder of the lock of an untouched target is %+v", h)
	c.promised(holderReads)
	all, err := c.Tables(c.ctx)
	c.ok(err, "Target.Tables")
	c.that(len(all) == 0, "LockHolder created the tables %q", all)
	c.apply(db, "s", 1, "")
	c.promised(holderNone)
	h, held = c.holder(db, "s")
	c.that(!held, "after a transaction, the holder of the lock is %+v", h)
	if c.Break == nil {
		return
	}
	victim := c.db()
	c.guard(victim, "s")
	c.Break(victim)
	c.becomesFree("s", patient)
	h, held = c.holder(c.db(), "s")
	c.that(!held, "after its process is gone, the holder of the lock is %+v", h)
}

func otherSetsLock(c *check) {
	c.need(!c.OneWriter, oneWriter)
	c.table(c.db(), "t")
	a := c.begin(c.db(), "a")
	c.run(a, "INSERT INTO t VALUES (1)")
	c.record(a, 1)
	tx, _, err := c.db().Begin(c.ctx, "b", database.LockOptions{})
	c.ok(err, "Begin while a transaction of another set is open")
	c.run(tx, "INSERT INTO t VALUES (2)")
	c.record(tx, 1)
	r, _, err := c.db().Guard(c.ctx, "c", database.LockOptions{})
	c.ok(err, "Guard while transactions of other sets are open")
	c.exec(r, "INSERT INTO t VALUES (3)")
	c.recordRun(r, 1)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.commit(tx)
	c.commit(a)
	for _, set := range []string{"a", "b", "c"} {
		c.hasVersions(c.db(), set, 1)
	}
	c.hasRows("t", 3)
}

func otherHistorysLock(c *check) {
	c.need(!c.OneWriter, oneWriter)
	a := c.begin(c.db(), "s")
	other := c.open(database.Options{HistoryTable: "other_history"})
	tx, _, err := other.Begin(c.ctx, "s", database.LockOptions{})
	c.ok(err, "Begin while a transaction of another history is open")
	c.record(tx, 2)
	c.commit(tx)
	c.commit(a)
	c.hasVersions(other, "s", 2)
}

func cancelWaiting(c *check) {
	c.pairs(func(what string, hold, try locker) {
		w := c.take(hold, c.db())
		ctx, cancel := context.WithCancel(c.ctx)
		defer cancel()
		_, err := try.take(ctx, c.db(), database.LockOptions{Timeout: patience, Waiting: func(database.Holder) { cancel() }})
		c.that(errors.Is(err, context.Canceled), "%s, cancelled: %v, want context.Canceled", what, err)
		c.that(!errors.Is(err, database.ErrLocked), "%s, cancelled: %v is ErrLocked", what, err)
		c.ok(w.end(c.ctx), "releasing the lock")
		c.becomesFree("s", patient)
	})
	for _, l := range c.lockers() {
		_, err := l.take(done(), c.db(), patient)
		c.that(errors.Is(err, context.Canceled), "%s with a cancelled context returned %v", l.name, err)
	}
	c.isFree("s")
}

// crowd is the number of processes or goroutines that work at once.
const crowd = 8

// next applies the version after the newest one, which it reads under the lock.
func (c *check) next(db database.Database) error {
	tx, _, err := db.Begin(c.ctx, "s", patient)
	if err != nil {
		return err
	}
	defer tx.Rollback(c.ctx)
	st, err := tx.State(c.ctx)
	if err != nil {
		return err
	}
	v, _ := st.Version()
	return execAndCommit(c.ctx, tx, text("INSERT INTO t VALUES (1)"), v+1)
}

// together calls do for each of the crowd at once.
func (c *check) together(do func(i int) error) {
	c.Helper()
	errs := make([]error, crowd)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = do(i) })
	}
	all.Wait()
	for _, err := range errs {
		c.ok(err, "one of many at once")
	}
}

func manyProcesses(c *check) {
	c.table(c.db(), "t")
	var dbs []database.Database
	for range crowd {
		dbs = append(dbs, c.db())
	}
	c.together(func(i int) error { return c.next(dbs[i]) })
	c.eachWorkedOnce()
}

// eachWorkedOnce fails the case unless each of the crowd did its work exactly once.
func (c *check) eachWorkedOnce() {
	c.Helper()
	var want, got []int64
	for v := range int64(crowd) {
		want = append(want, v)
	}
	for _, e := range c.history(c.db(), database.HistoryQuery{Set: "s"}) {
		got = append(got, e.Version)
	}
	c.that(slices.Equal(got, want), "the history has the versions %d, want %d", got, want)
	c.hasRows("t", crowd)
}

func manyAtOnce(c *check) {
	db := c.dbWith("t")
	c.together(func(int) error { return c.next(db) })
	c.eachWorkedOnce()
	c.together(func(i int) error {
		if _, err := db.State(c.ctx, "s"); err != nil {
			return err
		}
		for _, err := range db.History(c.ctx, database.HistoryQuery{}) {
			if err != nil {
				return err
			}
		}
		if !storesSettings(db) {
			return nil
		}
		return database.UpdateSetting(c.ctx, db, freeze)
	})
	// Each of the crowd finds an untouched history.
	other := c.open(database.Options{HistoryTable: "other_history"})
	c.together(func(int) error { return c.next(other) })
}
