package databasetest

import "github.com/whimbrel-db/whimbrel/database"

var sessionCases = []testCase{
	{"the session after a script", txSession, sessionAfterScript},
	{"the session after a transaction", txSession, sessionAfterTx},
	{"the session in and after a run", runSession, sessionAfterRun},
}

// changes calls do for each way to change a session, with an empty table named probe.
func (c *check) changes(db database.Database, do func(SessionChange)) {
	c.Helper()
	c.need(len(c.Session) > 0, noSession)
	c.table(db, "probe")
	for _, s := range c.Session {
		do(s)
		c.apply(db, "clean up", 0, "DELETE FROM probe")
		c.hasRows("probe", 0)
	}
}

// unchanged fails the case if a script finds the session changed.
func (c *check) unchanged(db database.Database, s SessionChange, after string) {
	c.Helper()
	c.apply(db, "probe", 0, s.Probe)
	n, err := c.RowCount(c.ctx, "probe")
	c.ok(err, "Target.RowCount")
	c.that(n == 0, "%s (%s) still has an effect after %s", s.Name, s.Change, after)
	c.hasVersions(db, "probe", 0)
}

func sessionAfterScript(c *check) {
	db := c.db()
	c.changes(db, func(s SessionChange) {
		tx := c.begin(db, "s")
		c.run(tx, s.Change)
		c.record(tx, 1)
		c.run(tx, s.Probe)
		c.record(tx, 2)
		c.commit(tx)
		c.hasRows("probe", 0)
		c.hasVersions(db, "s", 1, 2)
		c.unchanged(db, s, "Commit")
	})
}

func sessionAfterTx(c *check) {
	db := c.dbWith("t")
	c.changes(db, func(s SessionChange) {
		tx := c.begin(db, "s")
		c.run(tx, s.Change)
		c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
		c.unchanged(db, s, "Rollback")
		c.unchanged(db, s, "Rollback and Commit")

		tx = c.begin(db, "s")
		c.fails(tx, s.Change+";\n"+failing)
		c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
		c.unchanged(db, s, "a script that failed")
	})
}

func sessionAfterRun(c *check) {
	db := c.db()
	c.changes(db, func(s SessionChange) {
		c.promised(runSession)
		r := c.guard(db, "s")
		c.exec(r, s.Change)
		c.exec(r, s.Probe)
		c.hasRows("probe", 1)
		c.recordRun(r, 1)
		c.state(r, "s")
		c.promised(runClose)
		c.ok(r.Close(c.ctx), "Run.Close")
		c.hasVersions(db, "s", 1)
		c.apply(db, "clean up", 0, "DELETE FROM probe")
		c.unchanged(db, s, "Run.Close")
		r = c.guard(db, "s")
		c.exec(r, s.Probe)
		c.hasRows("probe", 0)
		c.ok(r.Close(c.ctx), "Run.Close")
	})
}
