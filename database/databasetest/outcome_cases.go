package databasetest

import (
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
)

// stop begins a statement that can't be in a transaction, as a process does that is then gone: with done, after
// it was executed.
func (c *check) stop(statement string, done bool) *database.Journal {
	c.Helper()
	c.promised(beforeTells)
	victim := c.db()
	r := c.guard(victim, "s")
	before, err := r.Before(c.ctx, c.only(statement))
	c.ok(err, "Run.Before")
	j := interruptedRun(1)
	j.Begun, j.Before = statement, before
	c.journal(r, j)
	if done {
		c.exec(r, statement)
	}
	if c.Break != nil {
		c.Break(victim)
	}
	r.Close(c.ctx) // which may say that the connection is broken
	return j
}

// follow reads the outcome of a statement, and checks that it happens once.
func (c *check) follow(r database.Run, j *database.Journal) database.Verdict {
	c.Helper()
	o := c.outcome(r, j)
	tables := c.tables()
	c.promised(outcomeChanges)
	c.hasJournal(c.db(), "s", j)
	again := c.outcome(r, j)
	c.promised(outcomeChanges)
	c.that(again.Verdict == o.Verdict && slices.Equal(again.First, o.First), "asked again Outcome says %q, before it said %q", again.Verdict, o.Verdict)
	c.that(slices.Equal(c.tables(), tables), "Outcome has changed the tables from %q to %q", tables, c.tables())
	c.promised(outcomeTells)
	for _, first := range slices.Concat(o.First, o.First) { // each may be executed again
		c.exec(r, first)
	}
	switch o.Verdict {
	case database.NotHappened:
		c.exec(r, j.Begun)
	case database.Happened:
	default:
		c.fail(fmt.Sprintf("Outcome of %s is %q: %s", j.Begun, o.Verdict, o.Why))
	}
	return o.Verdict
}

func (c *check) outcome(r database.Run, j *database.Journal) *database.Outcome {
	c.Helper()
	c.promised(beforeTells)
	o, err := r.Outcome(c.ctx, c.only(j.Begun), j.Before, patient)
	c.ok(err, "Run.Outcome")
	c.promised(outcomeTells)
	c.that(o != nil && o.Why != "", "Outcome is %+v, and doesn't say why", o)
	return o
}

func begun(c *check) {
	c.need(c.Never != nil, "statement that cannot be in a transaction")
	c.table(c.db(), "t")
	j := c.stop(c.Never("t"), false)
	r := c.guard(c.db(), "s")
	c.promised(closeLeaves)
	c.hasJournal(r, "s", j)
	verdict := c.follow(r, j)
	c.that(verdict == database.NotHappened, "Outcome of a statement that was never executed is %q", verdict)
	c.recordRun(r, 1)
	c.hasVersions(c.db(), "s", 1)
}

func happened(c *check) {
	c.need(c.Never != nil, "statement that cannot be in a transaction")
	c.table(c.db(), "t")
	j := c.stop(c.Never("t"), true)
	r := c.guard(c.db(), "s")
	c.follow(r, j)
	c.recordRun(r, 1)
	c.hasVersions(c.db(), "s", 1)
}

func failedAlone(c *check) {
	c.need(c.Never != nil, "statement that cannot be in a transaction")
	never := c.Never("missing")
	db := c.db()
	r := c.guard(db, "s")
	before, err := r.Before(c.ctx, c.only(never))
	c.ok(err, "Run.Before")
	j := interruptedRun(1)
	j.Begun, j.Before = never, before
	c.journal(r, j)
	if c.tryExec(r, c.ctx, text(never)) == nil {
		return // it needs no table
	}
	o := c.outcome(r, j)
	c.that(o.Verdict == database.NotHappened, "Outcome of a statement that failed is %q: %s", o.Verdict, o.Why)
}
