package databasetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var journalCases = []testCase{
	{"a journal", stateNoRun, journalIsKept},
	{"State of an interrupted run", stateVersion, interruptedInState},
	{"an announced statement", announceMakes, announcedIsKept},
	{"an announced statement in a transaction of the script", announceTx, announcedInOwnTransaction},
	{"Record after an announced statement", recordBegun, recordEndsAnnounced},
	{"several scripts in one run", runNext, runsFollow},
	{"StartSequence of a Run", runSequence, sequenceOfRun},
	{"RecordAndAnnounce", recordNext, recordAndAnnounce},
	{"calls that are told ahead", aheadDoes, toldAhead},
	{"calls that are told ahead, of which one fails", aheadStops, toldAheadFails},
	{"the writer and times of a journal", journalFills, journalIsFilledIn},
	{"a journal in a transaction of the script", journalTx, journalInOwnTransaction},
	{"a statement with its journal", execDone, marked},
	{"a failing statement with its journal", execNothing, markedFails},
	{"a cancelled statement with its journal", execNothing, markedCancelled},
	{"COMMIT with its journal", execCommit, commitMarked},
	{"a journal for a statement that can't be in a transaction", execNever, neverMarked},
	{"a journal for CREATE TABLE", neverBegun, tableMarked},
	{"the process that holds a run", stateHeld, heldInState},
	{"a closed run stays interrupted", closeLeaves, closedStaysInterrupted},
	{"a run whose process is gone", journalMakes, brokenStaysInterrupted},
	{"Begin and Guard beside an interrupted run", foundInterrupted, interruptedIsFound},
	{"Begin and Guard with new tables", foundNew, newIsFound},
	{"entries that end a run", recordEnds, endsRun},
	{"entries that end a run in a transaction", txEnds, endsRunInTx},
	{"an entry that says that a run failed", recordFails, failsRun},
	{"an entry that says that a run failed, in a transaction", txFails, failsRunInTx},
	{"Reset ends all runs", resetEnds, resetEndsRuns},
	{"the outcome of an interrupted statement", outcomeTells, outcomeOfInterrupted},
	{"the outcome of a statement that failed", outcomeTells, outcomeOfFailed},
	{"the outcome of a statement that may run twice", outcomeRepeats, outcomeOfRepeatable},
	{"what remains of a statement", outcomeRemains, outcomeWithRemains},
	{"the journal's name", notMentions, journalName},
}

// interruptedRun returns the journal of a version of which two statements have been executed.
func interruptedRun(version int64) *database.Journal {
	return &database.Journal{
		Version: version, Name: fmt.Sprintf("step %d", version), Direction: database.Up, Checksum: migration.Sum("script"),
		Of: 5, Done: 2, DoneSum: migration.Sum("two"),
	}
}

// journal makes j the journal of the run's set.
func (c *check) journal(r database.Run, j *database.Journal) {
	c.Helper()
	c.ok(r.Journal(c.ctx, j), "Run.Journal")
}

// announceable returns a statement that can't be in a transaction if the database has any, else one
// that can.
func (c *check) announceable(table string) string {
	if c.Never != nil {
		return c.Never(table)
	}
	return "INSERT INTO " + table + " VALUES (1)"
}

// announce makes j the journal of the run's set, with a statement that begins.
func (c *check) announce(r database.Run, statement string, j *database.Journal) {
	c.Helper()
	j.Begun = statement
	c.ok(r.Announce(c.ctx, c.only(statement), j), "Run.Announce")
}

// interrupt leaves an interrupted run in a set.
func (c *check) interrupt(db database.Database, set string, j *database.Journal) {
	c.Helper()
	r := c.guard(db, set)
	c.journal(r, j)
	c.ok(r.Close(c.ctx), "Run.Close")
}

func recordAndAnnounce(c *check) {
	tables := []string{"t", "u", "v", "w"}
	db := c.db()
	for _, table := range tables {
		c.table(db, table)
	}
	r := c.guard(db, "s")
	statement := c.announceable("t")
	c.announce(r, statement, &database.Journal{Version: 1, Name: "next", Direction: database.Up, Of: 1})
	for v := int64(1); v < 4; v++ { // a driver may announce only under some conditions
		c.exec(r, statement)
		statement = c.announceable(tables[v])
		next := &database.Journal{Version: v + 1, Name: "next", Direction: database.Up, Of: 1, Begun: statement}
		got, announced, err := database.RecordAndAnnounce(c.ctx, r, []database.Entry{up(v)}, c.only(statement), next)
		c.ok(err, "RecordAndAnnounce")
		c.that(len(got.Entries) == 1 && got.Entries[0].Version == v, "RecordAndAnnounce returned %v, want version %d", got.Entries, v)
		c.that(c.state(c.db(), "s").Head == got.Head, "RecordAndAnnounce returned Head %d, State has %d", got.Head, c.state(c.db(), "s").Head)
		if announced {
			c.hasJournal(c.db(), "s", next)
			o, err := r.Outcome(c.ctx, c.only(statement), next.Before, database.LockOptions{})
			c.ok(err, "Run.Outcome")
			c.that(o.Verdict != database.Happened, "the outcome of a statement that was not begun is %v", o.Verdict)
		} else {
			c.hasJournal(c.db(), "s", nil)
			c.announce(r, statement, next)
		}
		c.isLocked("s")
	}
	c.exec(r, statement)
	c.recordRun(r, 4)
	c.hasJournal(c.db(), "s", nil)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasVersions(db, "s", 1, 2, 3, 4)
}

func sequenceOfRun(c *check) {
	db := c.dbWith("t")
	c.table(db, "u")
	c.table(db, "v")
	r := c.guard(db, "s")
	insert := text("INSERT INTO t VALUES (1)")
	done := func(v int64, table string) (head int64) { // a driver may begin one only after a script
		c.Helper()
		statement := c.announceable(table)
		c.announce(r, statement, &database.Journal{Version: v, Name: "x", Direction: database.Up, Of: 1})
		c.exec(r, statement)
		recorded, err := r.Record(c.ctx, up(v))
		c.ok(err, "Run.Record")
		return recorded.Head
	}
	// each begins a sequence of versions, and returns how many were committed.
	each := func(head int64, versions ...int64) (all []database.Recorded, err error) {
		c.Helper()
		s := database.StartSequenceUnder(c.ctx, r, head)
		if s == nil || !s.Fits(insert) {
			return nil, nil
		}
		begun := 0
		var parts []database.Part
		for _, v := range versions {
			part := database.Part{Script: insert, Entries: []database.Entry{up(v)}}
			if v < 0 {
				part.Script = text(failing)
			}
			parts = append(parts, part)
		}
		next, _, err := s.CommitEach(c.ctx, parts, true, database.LockOptions{}, database.PartReport{
			Begun: func() { begun++ },
			Committed: func(r database.Recorded) {
				all = append(all, r)
				c.that(len(all) == begun, "CommitEach reported %d parts as begun when %d were committed", begun, len(all))
			},
		})
		c.that(next == nil, "CommitEach began a Tx under the lock of a Run")
		c.isLocked("s")
		return all, err
	}
	head := done(1, "u")
	none, err := each(head-1, 2)
	c.ok(err, "CommitEach")
	c.that(len(none) == 0, "a sequence began although the head is another one")
	c.hasVersions(db, "s", 1)
	some, err := each(head, 2, 3)
	c.ok(err, "CommitEach")
	if some == nil {
		c.ok(r.Close(c.ctx), "Run.Close")
		return
	}
	c.that(len(some) == 2 && some[1].Head == c.state(db, "s").Head, "CommitEach reported %+v, State has the head %d", some, c.state(db, "s").Head)
	c.hasRows("t", 2)
	c.hasVersions(db, "s", 1, 2, 3)
	head = done(4, "v")
	c.that(head == c.state(db, "s").Head, "Record after a sequence returned Head %d, State has %d", head, c.state(db, "s").Head)
	some, err = each(head, 5, -1, 6)
	c.that(err != nil, "CommitEach returned no error of its second part")
	c.that(len(some) == 1, "CommitEach reported %d transactions as committed, want 1", len(some))
	c.hasRows("t", 3)
	c.hasVersions(db, "s", 1, 2, 3, 4, 5)
	c.hasJournal(db, "s", nil)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.isFree("s")
}

// tellAhead tells a run that each statement, and the entry of its version, from 1, comes next. It
// returns these calls, and how many of them the run may execute ahead.
func (c *check) tellAhead(r database.Run, statements ...string) (all []database.Call, n int) {
	c.Helper()
	for i, statement := range statements {
		v, s := int64(i+1), text(statement)
		e := up(v)
		all = append(all,
			database.Call{Script: s, Statement: c.only(statement), Journal: database.Journal{Version: v, Name: e.Name, Direction: database.Up, Of: 1, Begun: statement}},
			database.Call{Script: s, Entry: &e})
	}
	q, ok := r.(database.RunSequencer)
	c.need(ok, "the Run is no RunSequencer")
	n, err := q.Ahead(c.ctx, slices.Clone(all))
	c.ok(err, "Ahead")
	c.that(n <= len(all), "Ahead returned %d of %d calls", n, len(all))
	return all, n
}

// call makes a call of tellAhead.
func (c *check) call(r database.Run, of *database.Call) (recorded database.Recorded, err error) {
	if of.Entry != nil {
		return r.Record(c.ctx, *of.Entry)
	}
	announced, err := database.ExecAnnounced(c.ctx, r, of.Script, of.Statement, &of.Journal)
	c.that(announced, "%s was not announced: %v", of.Statement.Text, err)
	return recorded, err
}

func toldAhead(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	all, _ := c.tellAhead(r, "CREATE TABLE t (x int)", "CREATE TABLE u (x int)", "DROP TABLE t")
	var entries []database.Entry
	for i := range all {
		of := &all[i]
		recorded, err := c.call(r, of)
		c.ok(err, "a call that was told ahead")
		entries = append(entries, recorded.Entries...)
		if of.Entry != nil {
			c.that(len(recorded.Entries) == 1 && recorded.Entries[0].Version == of.Entry.Version, "Record returned %v", recorded.Entries)
		}
	}
	c.hasJournal(db, "s", nil)
	c.isLocked("s")
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasTables("u")
	c.hasVersions(db, "s", 1, 2, 3)
	for e, err := range db.History(c.ctx, database.HistoryQuery{Set: "s"}) {
		c.ok(err, "History")
		c.that(len(entries) > 0 && e.ID == entries[0].ID && e.StartedAt.Equal(entries[0].StartedAt) && e.Duration == entries[0].Duration && e.Checksum == entries[0].Checksum,
			"Record returned %+v, the history has %+v", entries, e)
		entries = entries[1:]
	}
}

func toldAheadFails(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	all, _ := c.tellAhead(r, "CREATE TABLE t (x int)", "CREATE TABLE t (x int)", "CREATE TABLE u (x int)")
	for i := range 2 {
		_, err := c.call(r, &all[i])
		c.ok(err, "a call that was told ahead")
	}
	_, err := c.call(r, &all[2])
	c.that(isA[*database.StatementError](err), "a table that exists: got %v, want a *StatementError", err)
	c.hasTables("t")
	c.hasVersions(db, "s", 1)
	c.hasJournal(db, "s", &all[2].Journal)
	c.journal(r, nil)
	c.exec(r, c.announceable("t"))
	c.ok(r.Close(c.ctx), "Run.Close")
}

// hasJournal fails the case unless this is the interrupted run of a set; nil is none.
func (c *check) hasJournal(from any, set string, want *database.Journal) {
	c.Helper()
	got := c.state(from, set).Interrupted
	if want == nil {
		c.that(got == nil, "set %q has an interrupted run: %+v", set, got)
		return
	}
	c.that(got != nil, "set %q has no interrupted run, want %+v", set, want)
	c.that(sameJournal(*got, *want), "the interrupted run of set %q is\n\t%+v\n\twant\n\t%+v", set, *got, *want)
}

// keepsJournal is hasJournal after an entry, with which the journal may have been written again.
func (c *check) keepsJournal(from any, set string, want *database.Journal) {
	c.Helper()
	if got := c.state(from, set).Interrupted; want != nil && got != nil && !got.UpdatedAt.Before(want.UpdatedAt) {
		kept := *want
		kept.UpdatedAt = got.UpdatedAt
		want = &kept
	}
	c.hasJournal(from, set, want)
}

// sameJournal compares journals, apart from Held and the zones of their times.
func sameJournal(a, b database.Journal) bool {
	a.Held = b.Held
	same := a.StartedAt.Equal(b.StartedAt) && a.UpdatedAt.Equal(b.UpdatedAt)
	a.StartedAt, a.UpdatedAt, b.StartedAt, b.UpdatedAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return same && a == b
}

// only returns the one statement of a text.
func (c *check) only(text string) sqltext.Statement {
	c.Helper()
	all, err := sqltext.Split(text, c.dialect, sqltext.Options{File: "suite.sql"})
	c.ok(err, "sqltext.Split of "+text)
	c.that(len(all) == 1, "%q has %d statements", text, len(all))
	return all[0]
}

// mark executes one statement, and writes the journal j in the same transaction.
func (c *check) mark(r database.Run, ctx context.Context, statement string, j *database.Journal) error {
	c.Helper()
	return r.Exec(ctx, text(statement), c.only(statement), nil, j)
}

func journalIsKept(c *check) {
	db := c.db()
	c.hasJournal(db, "s", nil)
	r := c.guard(db, "s")
	c.hasJournal(r, "s", nil)

	c.promised(journalMakes)
	first := interruptedRun(1)
	first.Name, first.Begun, first.Before, first.Error = `"quoted", ä`, "VACUUM -- 'x'\n\t\\;", `{"a": "b"}`, "it's failed: $1"
	given := *first
	c.journal(r, first)
	given.StartedAt, given.UpdatedAt, given.DBUser, given.OSUser, given.Host, given.App, given.Actor, given.PID =
		first.StartedAt, first.UpdatedAt, first.DBUser, first.OSUser, first.Host, first.App, first.Actor, first.PID
	c.that(*first == given, "Journal changed its argument to %+v", *first)
	c.hasJournal(c.db(), "s", first)
	c.promised(stateNoRun)
	c.hasJournal(c.db(), "s'", nil)
	c.promised(runStateJournal)
	c.hasJournal(r, "s", first)

	c.promised(journalOne)
	second := interruptedRun(2)
	c.journal(r, second)
	c.hasJournal(c.db(), "s", second)
	c.hasJournal(r, "s", second)

	c.promised(journalNil)
	c.journal(r, nil)
	c.hasJournal(c.db(), "s", nil)
	c.hasJournal(r, "s", nil)
	c.journal(r, nil)
}

func announcedIsKept(c *check) {
	c.table(c.db(), "t")
	statement := c.announceable("t")
	r := c.guard(c.db(), "s")
	j := interruptedRun(1)
	c.announce(r, statement, j)
	given := interruptedRun(1)
	given.Begun, given.Before = statement, j.Before
	given.StartedAt, given.UpdatedAt, given.DBUser, given.OSUser, given.Host, given.App, given.Actor, given.PID =
		j.StartedAt, j.UpdatedAt, j.DBUser, j.OSUser, j.Host, j.App, j.Actor, j.PID
	c.that(*j == *given, "Announce changed its argument to %+v", *j)
	c.that(j.PID == int64(os.Getpid()) && !j.StartedAt.IsZero() && !j.UpdatedAt.IsZero(), "Announce did not fill in the writer and the times of %+v", *j)
	c.hasJournal(c.db(), "s", j)
	c.hasJournal(r, "s", j)

	// the next one says that the first is done
	next := interruptedRun(1)
	next.Done, next.StartedAt = 3, j.StartedAt
	c.announce(r, statement, next)
	c.hasJournal(c.db(), "s", next)
	c.hasJournal(r, "s", next)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasJournal(c.db(), "s", next)
}

func announcedInOwnTransaction(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	first := interruptedRun(1)
	c.journal(r, first)
	c.exec(r, "BEGIN; INSERT INTO t VALUES (1)")
	j := interruptedRun(2)
	j.Begun = "INSERT INTO t VALUES (2)"
	c.that(r.Announce(c.ctx, c.only(j.Begun), j) != nil, "Announce in the script's transaction returned no error")
	c.hasJournal(c.db(), "s", first)
	c.exec(r, "ROLLBACK")
	c.hasJournal(c.db(), "s", first)
}

func recordEndsAnnounced(c *check) {
	statement := c.announceable("t")
	db := c.dbWith("t")
	r := c.guard(db, "s")
	j := interruptedRun(1)
	c.announce(r, statement, j)
	c.exec(r, statement)
	c.hasJournal(c.db(), "s", j)
	c.recordRun(r, 1)
	c.hasJournal(c.db(), "s", nil)
	c.hasJournal(r, "s", nil)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasVersions(c.db(), "s", 1)
}

func runsFollow(c *check) {
	statement := c.announceable("t")
	db := c.dbWith("t")
	r := c.guard(db, "s")
	for v := range int64(3) {
		j := interruptedRun(v)
		if v != 1 { // which has only one statement
			c.ok(c.mark(r, c.ctx, "INSERT INTO t VALUES (1)", j), "Run.Exec of another script")
			c.hasJournal(c.db(), "s", j)
		}
		next := *j
		next.Done++
		if v > 0 {
			statement = "INSERT INTO t VALUES (2)"
		}
		c.announce(r, statement, &next)
		c.exec(r, statement)
		c.hasJournal(c.db(), "s", &next)
		c.recordRun(r, v)
		c.hasJournal(c.db(), "s", nil)
		c.isLocked("s")
	}
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasVersions(db, "s", 0, 1, 2)
	c.hasJournal(c.db(), "s", nil)
}

// heldInState checks that State reports no holder if there is none. Not every database can report
// one.
func heldInState(c *check) {
	db := c.db()
	c.interrupt(db, "s", interruptedRun(1))
	c.guard(db, "other")
	c.that(!c.state(c.db(), "s").Interrupted.Held, "State reports a holder of the lock of set %q, which is that of set %q", "s", "other")
}

func interruptedInState(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	j := interruptedRun(1)
	c.journal(r, j)
	c.hasVersion(c.state(c.db(), "s"), database.NilVersion, true)
	c.promised(stateRun)
	c.hasJournal(c.db(), "s", j)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasJournal(db, "s", j)
	c.apply(db, "s", 1, "")
	c.promised(stateVersion)
	c.hasVersion(c.state(c.db(), "s"), 1, false)
}

func journalIsFilledIn(c *check) {
	db := c.open(database.Options{App: "the app", Actor: "the actor"})
	c.table(db, "t")
	r := c.guard(db, "s")
	for name, write := range map[string]func(*database.Journal) error{
		"Journal": func(j *database.Journal) error { return r.Journal(c.ctx, j) },
		"Exec":    func(j *database.Journal) error { return c.mark(r, c.ctx, "INSERT INTO t VALUES (1)", j) },
	} {
		c.promised(journalWhen)
		first, next := interruptedRun(1), interruptedRun(2)
		c.ok(write(first), name)
		c.ok(write(next), name)
		for _, j := range []*database.Journal{first, next} {
			c.that(!j.StartedAt.IsZero(), "%s: StartedAt is zero", name)
			c.that(!j.UpdatedAt.IsZero(), "%s: UpdatedAt is zero", name)
		}
		c.that(!next.UpdatedAt.Before(first.UpdatedAt), "%s: UpdatedAt is %s, after a journal of %s", name, next.UpdatedAt, first.UpdatedAt)

		c.promised(journalFills)
		j := interruptedRun(1)
		j.DBUser, j.OSUser, j.Host, j.App, j.Actor, j.PID, j.StartedAt = "nobody", "no body", "nowhere", "nothing", "none", -1, started
		c.ok(write(j), name)
		c.that(j.App == "the app", "%s: App is %q, want the app", name, j.App)
		c.that(j.Actor == "the actor", "%s: Actor is %q, want the actor", name, j.Actor)
		c.that(j.OSUser != "no body", "%s: OSUser is not the driver's", name)
		c.that(j.PID == int64(os.Getpid()), "%s: PID is %d, want %d", name, j.PID, os.Getpid())
		c.that(j.DBUser != "nobody", "%s: DBUser is not the driver's", name)
		c.that(j.Host != "nowhere", "%s: Host is not the driver's", name)
		c.that(j.StartedAt.Equal(started.Truncate(time.Microsecond)), "%s: StartedAt is %s, want %s", name, j.StartedAt, started)
		c.hasJournal(c.db(), "s", j)
	}
}

func journalInOwnTransaction(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	first := interruptedRun(1)
	c.journal(r, first)
	c.exec(r, "BEGIN; INSERT INTO t VALUES (1)")
	for _, j := range []*database.Journal{interruptedRun(2), nil} {
		c.that(r.Journal(c.ctx, j) != nil, "Journal of %+v in the script's transaction returned no error", j)
	}
	c.hasJournal(c.db(), "s", first)
	c.exec(r, "ROLLBACK")
	c.hasRows("t", 0)
	c.hasJournal(c.db(), "s", first)
	c.journal(r, nil)
}

func marked(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	for n := range 3 {
		j := interruptedRun(1)
		j.Done = n + 1
		c.ok(c.mark(r, c.ctx, "INSERT INTO t VALUES (1)", j), "Run.Exec with a mark")
		c.hasRows("t", n+1)
		c.hasJournal(c.db(), "s", j)
		c.hasJournal(r, "s", j)
	}
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasRows("t", 3)
}

func markedFails(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	first := interruptedRun(1)
	c.journal(r, first)
	err := c.mark(r, c.ctx, "INSERT INTO missing VALUES (1)", interruptedRun(2))
	c.that(isA[*database.StatementError](err), "Exec returned %v, want a *StatementError", err)
	c.hasJournal(c.db(), "s", first)
	c.hasJournal(r, "s", first)
	err = c.mark(r, done(), "INSERT INTO t VALUES (1)", interruptedRun(2))
	c.that(err != nil, "Exec with a cancelled context returned no error")
	c.hasRows("t", 0)
	c.hasJournal(c.db(), "s", first)
}

func markedCancelled(c *check) {
	c.need(c.Slow != "", noSlow)
	db := c.db()
	r := c.guard(db, "s")
	first := interruptedRun(1)
	c.journal(r, first)
	err := c.mark(r, c.soon(), c.Slow, interruptedRun(2))
	c.that(errors.Is(err, context.DeadlineExceeded), "the error is %v, want context.DeadlineExceeded", err)
	r.Close(c.ctx) // its error may be that the connection is broken
	next := c.guard(c.db(), "s")
	c.hasJournal(next, "s", first)
}

func commitMarked(c *check) {
	db := c.dbWith("t")
	r := c.guard(db, "s")
	c.exec(r, "BEGIN; INSERT INTO t VALUES (1)")
	c.hasRows("t", 0)
	j := interruptedRun(1)
	c.ok(c.mark(r, c.ctx, "COMMIT", j), "Run.Exec of COMMIT with a mark")
	c.hasRows("t", 1)
	c.hasJournal(c.db(), "s", j)
	c.exec(r, "BEGIN; INSERT INTO t VALUES (2); ROLLBACK")
	c.hasRows("t", 1)
	c.hasJournal(r, "s", j)
	c.isLocked("s")
	last := interruptedRun(1)
	last.Done++
	c.ok(c.mark(r, c.ctx, "INSERT INTO t VALUES (3)", last), "Run.Exec after the script's transaction")
	c.hasRows("t", 2)
	c.hasJournal(c.db(), "s", last)
}

func neverMarked(c *check) {
	c.need(c.Never != nil, noNever)
	db := c.dbWith("t")
	r := c.guard(db, "s")
	err := c.mark(r, c.ctx, c.Never("t"), interruptedRun(1))
	c.that(errors.Is(err, database.ErrNoTransaction), "Exec with a mark returned %v, want ErrNoTransaction", err)
	c.promised(neverBegun)
	c.hasJournal(c.db(), "s", nil)
	c.ok(c.mark(r, c.ctx, c.Never("t"), nil), "Run.Exec without a mark, after it was refused with one")
	c.hasJournal(c.db(), "s", nil)
}

// tableMarked accepts that CREATE TABLE is refused: not every database can roll it back.
func tableMarked(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	j := interruptedRun(1)
	err := c.mark(r, c.ctx, "CREATE TABLE t (x int)", j)
	if c.NoDDL && errors.Is(err, database.ErrNoTransaction) {
		c.hasTables()
		c.hasJournal(c.db(), "s", nil)
		return
	}
	c.promised(execDone)
	c.ok(err, "Run.Exec of CREATE TABLE with a mark")
	c.hasTables("t")
	c.hasJournal(c.db(), "s", j)
}

func closedStaysInterrupted(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	j := interruptedRun(1)
	c.journal(r, j)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.hasJournal(db, "s", j)
	c.that(r.Journal(c.ctx, nil) != nil, "after Close, Journal returned no error")
	next := c.guard(c.db(), "s")
	c.hasJournal(next, "s", j)
	c.ok(next.Close(c.ctx), "Run.Close of a run that found the journal")
	c.promised(journalMakes)
	c.ok(db.Close(), "Close")
	c.hasJournal(c.db(), "s", j)
}

func brokenStaysInterrupted(c *check) {
	c.need(c.Break != nil, noBreak)
	victim := c.dbWith("t")
	r := c.guard(victim, "s")
	first := interruptedRun(1)
	c.journal(r, first)
	c.exec(r, "BEGIN; INSERT INTO t VALUES (1)")
	c.Break(victim)
	next := c.guard(c.db(), "s")
	c.hasJournal(next, "s", first)
	c.hasRows("t", 0)

	c.promised(guardAlone)
	second := interruptedRun(2)
	c.journal(next, second)
	late := interruptedRun(9)
	c.that(r.Journal(c.ctx, late) != nil, "Journal on a broken connection returned no error")
	c.that(c.mark(r, c.ctx, "INSERT INTO t VALUES (2)", late) != nil, "Exec on a broken connection returned no error")
	c.that(c.tryRecord(r, 2) != nil, "Record on a broken connection returned no error")
	r.Close(c.ctx) // its error may be that the connection is broken
	c.hasJournal(c.db(), "s", second)
	c.hasRows("t", 0)
	c.hasVersions(c.db(), "s")
}

func interruptedIsFound(c *check) {
	db := c.db()
	finds := func(set string, want bool) {
		c.Helper()
		tx, found, err := db.Begin(c.ctx, set, patient)
		c.ok(err, "Begin")
		c.that(found.Interrupted == want, "Begin of set %q found an interrupted run: %t, want %t", set, found.Interrupted, want)
		c.commit(tx)
		r, found, err := db.Guard(c.ctx, set, patient)
		c.ok(err, "Guard")
		c.that(found.Interrupted == want, "Guard of set %q found an interrupted run: %t, want %t", set, found.Interrupted, want)
		c.ok(r.Close(c.ctx), "Run.Close")
	}
	finds("s", false)
	c.interrupt(db, "s", interruptedRun(1))
	finds("s", true)
	finds("other", false)
	finds("s", true)
	c.apply(db, "s", 1, "")
	finds("s", false)
	finds("s", false)
}

func newIsFound(c *check) {
	db := c.db()
	finds := func(set string, may bool) {
		c.Helper()
		tx, found, err := db.Begin(c.ctx, set, patient)
		c.ok(err, "Begin")
		c.that(may || !found.New, "Begin of set %q found a new history", set)
		c.that(c.state(tx, set).Head == found.Head, "Begin of set %q found Head %d", set, found.Head)
		c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	}
	finds("s", true)
	c.apply(db, "s", 1, "")
	finds("s", false)
	finds("other", true)
	c.interrupt(db, "other", interruptedRun(1))
	finds("other", false)
	if u, ok := db.(database.SettingUpdater); ok {
		c.ok(u.UpdateSetting(c.ctx, freeze), "UpdateSetting")
		finds("third", false)
	}
}

// ending is an entry, and whether it ends a run.
type ending struct {
	journal database.Journal
	entry   database.Entry
	ends    bool
}

func endings() (all []ending) {
	add := func(run database.Direction, version int64, entry database.Direction, of int64, name string, ends bool) {
		j, e := *interruptedRun(version), up(of)
		j.Direction, j.Name, e.Direction, e.Name = run, "mine", entry, name
		if entry == database.Abandon {
			e.Tried = run
		}
		all = append(all, ending{j, e, ends})
	}
	for _, run := range []database.Direction{database.Up, database.Down, database.Baseline, database.Load} {
		for _, entry := range []database.Direction{database.Up, database.Down, database.Mark, database.Forget, database.Baseline, database.Load} {
			add(run, 7, entry, 7, "any", true)
			add(run, 7, entry, 8, "mine", false)
		}
		add(run, 7, database.Abandon, 7, "mine", true)
		add(run, 7, database.Abandon, 8, "mine", false)
		add(run, 7, database.Accept, 7, "mine", false)
		add(run, 7, database.Resolve, 7, "mine", false)
	}
	const none = database.NilVersion
	for run, other := range map[database.Direction]database.Direction{database.Repeat: database.Seed, database.Seed: database.Repeat} {
		add(run, none, run, none, "mine", true)
		add(run, none, run, none, "others", false)
		add(run, none, database.Abandon, none, "mine", true)
		add(run, none, database.Abandon, none, "others", false)
		add(run, none, other, none, "mine", false)
		add(run, none, database.Up, 7, "mine", false)
	}
	return all
}

// left returns the journal after the entry.
func (e ending) left() *database.Journal {
	if e.ends {
		return nil
	}
	return &e.journal
}

func endsRun(c *check) {
	db := c.db()
	r := c.guard(db, "s")
	j := interruptedRun(7)
	c.journal(r, j)
	c.recordRun(r, 6)
	c.keepsJournal(c.db(), "s", j)
	_, err := r.Record(c.ctx, up(7), up(8))
	c.ok(err, "Run.Record of two entries")
	c.hasJournal(c.db(), "s", nil)
	c.hasJournal(r, "s", nil)

	c.promised(journalEnded)
	reader := c.db()
	for _, e := range endings() {
		c.journal(r, &e.journal)
		_, err := r.Record(c.ctx, e.entry)
		c.ok(err, "Run.Record")
		c.that(e.journal.EndedBy(e.entry) == e.ends, "EndedBy of a run %s %d by %s %d is %t", e.journal.Direction, e.journal.Version, e.entry.Direction, e.entry.Version, !e.ends)
		c.keepsJournal(reader, "s", e.left())
		c.keepsJournal(r, "s", e.left())
	}
}

// endsRunInTx takes every third of the endings, which endsRun takes all: each kind of run, and each
// kind of entry.
func endsRunInTx(c *check) {
	db, reader := c.db(), c.db()
	for i, e := range endings() {
		if i%3 != 0 {
			continue
		}
		c.interrupt(db, "s", &e.journal)
		tx := c.begin(db, "s")
		c.ok(tx.Record(c.ctx, e.entry), "Tx.Record")
		c.keepsJournal(tx, "s", e.left())
		c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
		c.hasJournal(reader, "s", &e.journal)
		c.enter(db, "s", e.entry)
		c.keepsJournal(reader, "s", e.left())
	}
}

// failings returns entries of failed attempts, and whether they are of the run that j is of.
func failings() (j *database.Journal, all map[*database.Entry]bool) {
	j, all = interruptedRun(7), map[*database.Entry]bool{}
	add := func(version int64, name string, tried database.Direction, is bool) {
		e := up(version)
		e.Name, e.Direction, e.Tried, e.Error = name, database.Failed, tried, "it's \"\u00e4\" failed"
		all[&e] = is
	}
	add(7, j.Name, database.Up, true)
	add(7, j.Name, database.Down, false)
	add(8, j.Name, database.Up, false)
	add(7, "another", database.Up, false)
	return j, all
}

func failsRun(c *check) {
	db, reader := c.db(), c.db()
	j, all := failings()
	r := c.guard(db, "s")
	for e, is := range all {
		was := *j
		c.journal(r, &was)
		_, err := r.Record(c.ctx, *e)
		c.ok(err, "Run.Record")
		c.that(j.FailedBy(*e) == is, "FailedBy of %s %d %q is %t", e.Tried, e.Version, e.Name, !is)
		c.promised(recordFails)
		if !is {
			c.promised(journalFailed)
		} else {
			was.Error = e.Error
		}
		c.keepsJournal(reader, "s", &was)
		c.keepsJournal(r, "s", &was)
	}
	c.journal(r, nil)
	_, err := r.Record(c.ctx, database.Entry{Version: 7, Direction: database.Failed, Tried: database.Up, Error: "x", StartedAt: started})
	c.ok(err, "Run.Record without an interrupted run")
	c.hasJournal(reader, "s", nil)
}

func failsRunInTx(c *check) {
	db, reader := c.db(), c.db()
	j, all := failings()
	for e, is := range all {
		was := *j
		c.interrupt(db, "s", &was)
		tx := c.begin(db, "s")
		c.ok(tx.Record(c.ctx, *e), "Tx.Record")
		c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
		c.hasJournal(reader, "s", &was)
		c.enter(db, "s", *e)
		if is {
			was.Error = e.Error
		}
		c.keepsJournal(reader, "s", &was)
	}
}

func resetEndsRuns(c *check) {
	db := c.db()
	for _, set := range []string{"s", "without a history"} {
		c.interrupt(db, set, interruptedRun(1))
	}
	tx := c.begin(db, "s")
	emptied := c.reset(tx)
	c.hasJournal(tx, "s", nil)
	c.commit(tx)
	c.hasJournal(c.db(), "s", nil)
	c.hasJournal(c.db(), "without a history", nil)
	c.promised(resetRecords)
	c.that(slices.Equal(emptied.Sets, []string{"s", "without a history"}), "Sets are %q, want both", emptied.Sets)
}

func journalName(c *check) {
	for history, want := range map[string]string{"": "whimbrel_journal", "App_History": "app_journal"} {
		db := c.open(database.Options{HistoryTable: history})
		c.that(slices.Contains(db.Tables(), want), "Tables returned %q, without %s", db.Tables(), want)
		a, err := text("DELETE FROM "+want).Analyze(db.Dialect(), db.Tables())
		c.ok(err, "Analyze")
		c.that(a.Reserved != nil, "a script may contain DELETE FROM %s", want)
	}
}
