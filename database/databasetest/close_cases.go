package databasetest

import "github.com/whimbrel-db/whimbrel/database"

var closeCases = []testCase{
	{"Close", closeTwice, closeCase},
	{"Close during a transaction or a run", closeEnds, closeDuringWork},
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

// isClosed fails the case unless every method returns an error.
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

func closeDuringWork(c *check) {
	c.table(c.db(), "t")
	rows := 0
	for _, l := range c.lockers() {
		db := c.db()
		w := c.take(l, db)
		c.ok(w.execNow(c.ctx, text("INSERT INTO t VALUES (1)")), "Exec after "+l.name)
		db.Close() // its error may be that work was open
		c.becomesFree("s", patient)
		rows += w.kept
		c.hasRows("t", rows)
		err := w.finish(c.ctx, text("INSERT INTO t VALUES (2)"), 2)
		c.that(err != nil, "after Close, the work of %s continued without an error", l.name)
		c.hasRows("t", rows)
		c.hasVersions(c.db(), "s")
		w.end(c.ctx)
	}
}
