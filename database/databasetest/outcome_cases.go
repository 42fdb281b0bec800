package databasetest

import (
	"fmt"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
)

// interruptedIn begins a statement that can't be in a transaction, as a process that then ends:
// after it executed the statement, or before.
func (c *check) interruptedIn(statement string, executed bool) *database.Journal {
	c.Helper()
	victim := c.db()
	r := c.guard(victim, "s")
	j := c.intend(r, statement)
	if executed {
		c.exec(r, statement)
	}
	if c.Break != nil {
		c.Break(victim)
	}
	r.Close(c.ctx) // its error may be that the connection is broken
	return j
}

// intend writes the journal of a run that is about to execute a statement.
func (c *check) intend(r database.Run, statement string) *database.Journal {
	c.Helper()
	j := interruptedRun(1)
	c.announce(r, statement, j)
	return j
}

// follow reads the outcome of a statement twice, and executes what remains to do. It returns the
// outcome.
func (c *check) follow(r database.Run, j *database.Journal) *database.Outcome {
	c.Helper()
	o := c.outcome(r, j)
	tables := c.tables()
	c.promised(outcomeChanges)
	c.hasJournal(c.db(), "s", j)
	again := c.outcome(r, j)
	c.promised(outcomeChanges)
	c.that(again.Verdict == o.Verdict, "a second Outcome is %q, the first was %q", again.Verdict, o.Verdict)
	c.that(slices.Equal(again.First, o.First), "a second Outcome has the statements %q, the first had %q", again.First, o.First)
	c.that(slices.Equal(c.tables(), tables), "Outcome changed the tables from %q to %q", tables, c.tables())
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
	return o
}

func (c *check) outcome(r database.Run, j *database.Journal) *database.Outcome {
	c.Helper()
	c.promised(announceTells)
	o, err := r.Outcome(c.ctx, c.only(j.Begun), j.Before, patient)
	c.ok(err, "Run.Outcome")
	c.promised(outcomeTells)
	c.that(o != nil, "Outcome returned nothing")
	c.that(o.Why != "", "Outcome is %+v without a reason", o)
	c.promised(outcomeRemains)
	c.that(!o.Remains || o.Verdict == database.NotHappened, "something remains of a statement of which the Outcome is %q", o.Verdict)
	c.promised(outcomeRepeats)
	c.that(!o.Repeatable || o.Verdict == database.NotHappened, "the Outcome %q of a statement is Repeatable", o.Verdict)
	c.promised(outcomeTells)
	return o
}

func outcomeOfInterrupted(c *check) {
	c.need(c.Never != nil, noNever)
	for i, happens := range []bool{false, true} {
		table := []string{"t", "u"}[i]
		c.table(c.db(), table)
		j := c.interruptedIn(c.Never(table), happens)
		r := c.guard(c.db(), "s")
		c.promised(closeLeaves)
		c.hasJournal(r, "s", j)
		o := c.follow(r, j)
		c.that(happens || o.Verdict == database.NotHappened, "Outcome of a statement that was never executed is %q", o.Verdict)
		c.promised(outcomeRepeats)
		c.that(!o.Repeatable, "Outcome of a statement that it can check is Repeatable")
		c.promised(outcomeTells)
		c.recordRun(r, int64(i))
		c.ok(r.Close(c.ctx), "Run.Close")
	}
	c.hasVersions(c.db(), "s", 0, 1)
}

func outcomeOfFailed(c *check) {
	c.need(c.Never != nil, noNever)
	never := c.Never("missing")
	r := c.guard(c.db(), "s")
	j := c.intend(r, never)
	if c.tryExec(r, c.ctx, text(never)) == nil {
		return // it needs no table
	}
	o := c.outcome(r, j)
	c.that(o.Verdict == database.NotHappened, "Outcome of a statement that failed is %q: %s", o.Verdict, o.Why)
}

func outcomeOfRepeatable(c *check) {
	c.need(c.Again != "", noAgain)
	for i, executed := range []bool{false, true} {
		j := c.interruptedIn(c.Again, executed)
		r := c.guard(c.db(), "s")
		o := c.follow(r, j)
		c.promised(outcomeRepeats)
		c.that(o.Repeatable, "Outcome of %s is not Repeatable", c.Again)
		c.that(o.Verdict == database.NotHappened, "Outcome of %s is %q, want %q", c.Again, o.Verdict, database.NotHappened)
		c.recordRun(r, int64(i))
		c.ok(r.Close(c.ctx), "Run.Close")
	}
}

func outcomeWithRemains(c *check) {
	c.need(c.Half != nil, noHalf)
	c.table(c.db(), "t")
	statement, leave, err := c.Half(c.ctx, "t")
	c.ok(err, "Target.Half")
	j := c.interruptedIn(statement, false)
	for _, left := range []bool{false, true} {
		if left {
			c.ok(leave(), "leaving half of "+statement)
		}
		r := c.guard(c.db(), "s")
		var o *database.Outcome
		if left {
			o = c.follow(r, j)
			c.recordRun(r, 1)
		} else {
			o = c.outcome(r, j)
		}
		c.that(o.Verdict == database.NotHappened, "Outcome of %s is %q, want %q", statement, o.Verdict, database.NotHappened)
		c.promised(outcomeRemains)
		c.that(o.Remains == left, "Remains is %t, want %t: %s", o.Remains, left, o.Why)
		c.ok(r.Close(c.ctx), "Run.Close")
	}
}
