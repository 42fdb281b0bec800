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
	{"waiting in vain", beginLocked, waitingInVain},
	{"waiting", waitingCalled, waitingCase},
	{"the holder of the lock", waitingHolder, holderCase},
	{"the lock of another set", beginOtherSets, otherSetsLock},
	{"the lock of another history", historyName, otherHistorysLock},
	{"cancelling a wait", cancelling, cancelWaiting},
	{"many processes at once", txLocked, manyProcesses},
	{"many goroutines at once", manyGoroutines, manyAtOnce},
}

// locker takes the lock of set s, and returns the function that releases it.
type locker func(context.Context, database.Database, database.LockOptions) (func() error, error)

// take takes the lock with one of the lockers.
func (c *check) take(hold locker, db database.Database) (release func() error) {
	c.Helper()
	release, err := hold(c.ctx, db, patient)
	c.ok(err, "taking the lock")
	return release
}

// lockers are the two ways to hold a lock.
func (c *check) lockers() map[string]locker {
	return map[string]locker{
		"Begin": func(ctx context.Context, db database.Database, opts database.LockOptions) (func() error, error) {
			tx, _, err := db.Begin(ctx, "s", opts)
			if err != nil {
				return nil, err
			}
			return func() error { return tx.Rollback(c.ctx) }, nil
		},
		"Guard": func(ctx context.Context, db database.Database, opts database.LockOptions) (func() error, error) {
			r, _, err := db.Guard(ctx, "s", opts)
			if err != nil {
				return nil, err
			}
			return func() error { return r.Close(c.ctx) }, nil
		},
	}
}

// pairs calls do for each way of holding the lock and each way of wanting it.
func (c *check) pairs(do func(what string, hold, want locker)) {
	ways := c.lockers()
	for _, hold := range []string{"Begin", "Guard"} {
		for _, want := range []string{"Begin", "Guard"} {
			do(want+" while "+hold+" holds the lock", ways[hold], ways[want])
		}
	}
}

func oneAtATime(c *check) {
	holder, other := c.db(), c.db()
	c.pairs(func(what string, hold, want locker) {
		c.promised(guardLocks)
		release := c.take(hold, holder)
		for _, db := range []database.Database{other, holder} { // the same Database is no exception
			c.promised(beginLocks)
			_, err := want(c.ctx, db, database.LockOptions{})
			c.that(err != nil, "%s: no error", what)
			c.promised(triesOnce)
			c.that(errors.Is(err, database.ErrLocked), "%s: %v, want ErrLocked", what, err)
			c.promised(beginLocked)
			var locked *database.LockedError
			c.that(errors.As(err, &locked) && locked.Set == "s", "%s: %#v, want a *LockedError of set s", what, err)
		}
		c.promised(txLocked)
		c.ok(release(), "letting go of the lock")
		release, err := want(c.ctx, other, database.LockOptions{})
		c.ok(err, "after the lock was let go of: "+what)
		c.ok(release(), "letting go of the lock")
	})
}

func waitingInVain(c *check) {
	c.pairs(func(what string, hold, want locker) {
		c.promised(beginLocked)
		release := c.take(hold, c.db())
		waiting := 0
		_, err := want(c.ctx, c.db(), database.LockOptions{
			Timeout: 20 * time.Millisecond,
			Waiting: func(database.Holder) { waiting++ },
		})
		c.that(errors.Is(err, database.ErrLocked), "%s: %v, want ErrLocked", what, err)
		c.promised(waitingCalled)
		c.that(waiting > 0, "%s: Waiting was not called", what)
		c.ok(release(), "letting go of the lock")
	})
}

func waitingCase(c *check) {
	c.pairs(func(what string, hold, want locker) {
		c.promised(waitingCalled)
		release := c.take(hold, c.db())
		var once sync.Once
		released := make(chan error, 1)
		got, err := want(c.ctx, c.db(), database.LockOptions{
			Timeout: patience,
			Waiting: func(database.Holder) { once.Do(func() { released <- release() }) },
		})
		c.ok(err, what+", which lets go of it")
		once.Do(func() { c.fail(what + ": Waiting was not called") })
		c.ok(<-released, "letting go of the lock")
		c.ok(got(), "letting go of the lock")
	})
}

func holderCase(c *check) {
	holder := c.open(database.Options{App: "the holder's app"})
	c.pairs(func(what string, hold, want locker) {
		release := c.take(hold, holder)
		var told database.Holder
		_, err := want(c.ctx, c.db(), database.LockOptions{
			Timeout: 20 * time.Millisecond,
			Waiting: func(h database.Holder) { told = h },
		})
		var locked *database.LockedError
		c.that(errors.As(err, &locked), "%s: %v, want a *LockedError", what, err)
		for _, h := range []database.Holder{told, locked.Holder} {
			if c.Holders {
				c.that(h.App == "the holder's app", "%s: the holder is %+v, want the app %q", what, h, "the holder's app")
			} else {
				c.that(h.App == "" || h.App == "the holder's app", "%s: the holder is %+v, want the app %q or none", what, h, "the holder's app")
			}
		}
		c.ok(release(), "letting go of the lock")
	})
}

func otherSetsLock(c *check) {
	c.need(!c.OneWriter, "two writers")
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
	_, err = r.Record(c.ctx, up(1))
	c.ok(err, "Run.Record while transactions of other sets are open")
	c.ok(r.Close(c.ctx), "Run.Close")
	c.commit(tx)
	c.commit(a)
	for _, set := range []string{"a", "b", "c"} {
		c.hasVersions(c.db(), set, 1)
	}
	c.hasRows("t", 3)
}

func otherHistorysLock(c *check) {
	c.need(!c.OneWriter, "two writers")
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
	c.pairs(func(what string, hold, want locker) {
		c.promised(cancelling)
		release := c.take(hold, c.db())
		ctx, cancel := context.WithCancel(c.ctx)
		defer cancel()
		_, err := want(ctx, c.db(), database.LockOptions{Timeout: patience, Waiting: func(database.Holder) { cancel() }})
		c.that(errors.Is(err, context.Canceled), "%s, cancelled: %v, want context.Canceled", what, err)
		c.that(!errors.Is(err, database.ErrLocked), "%s, cancelled: %v is ErrLocked", what, err)
		c.ok(release(), "letting go of the lock")
		c.becomesFree("s")
	})
	_, _, err := c.db().Begin(done(), "s", patient)
	c.that(errors.Is(err, context.Canceled), "Begin with a context that is done returned %v", err)
	_, _, err = c.db().Guard(done(), "s", patient)
	c.that(errors.Is(err, context.Canceled), "Guard with a context that is done returned %v", err)
	c.isFree("s")
}

// crowd is how many come at once.
const crowd = 8

// next applies the version after the newest one, as it stands under the lock.
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

// together has everyone of the crowd do something at once.
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
	c.crowdWasThere()
}

// crowdWasThere fails the case unless everyone did its work just once.
func (c *check) crowdWasThere() {
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
	c.crowdWasThere()
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
	// An untouched history, which everyone of the crowd finds missing.
	other := c.open(database.Options{HistoryTable: "other_history"})
	c.together(func(int) error { return c.next(other) })
}
