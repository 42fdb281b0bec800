package databasetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var backfillCases = []testCase{
	{"a backfill is checked", fillChecks, checkingBackfills},
	{"a backfill is started", fillStarts, startingBackfills},
	{"a start that is rolled back", fillStartsInTx, startRolledBack},
	{"the lanes of a backfill", fillOnce, everyRowOnce},
	{"rows that come and go", fillMoves, rowsMeanwhile},
	{"lanes are dealt out", fillClaims, dealingLanes},
	{"a lane is given back", laneCloses, returningLanes},
	{"a lane that failed", laneFails, failingLanes},
	{"a batch that fails", batchFails, failingBatches},
	{"a lane that was lost", laneLost, losingLanes},
	{"a backfill is paused", batchStops, pausing},
	{"a frozen database", batchFreezes, freezing},
	{"changes of a backfill", fillChanges, changing},
	{"changes that the state does not allow", fillRefuses, refusingChanges},
	{"a backfill ends", fillFinishes, finishing},
	{"another pass", fillPasses, passing},
	{"a backfill is removed", fillEnds, removing},
	{"selecting backfills", fillSelects, selecting},
	{"a batch that is cancelled", cancelling, cancellingBatches},
	{"several workers", fillOnce, severalWorkers},
	{"a reset removes backfills", fillEnds, resetRemoves},
}

// Counters are a table "counters" with which the suite watches a backfill. Its rows have a number
// as their key, and a counter that begins with 0. Its functions do not use a Database.
type Counters struct {
	// Create creates the table, with rows that have the keys from 1 on.
	Create func(ctx context.Context, rows int) error
	// Body is the statement that adds 1 to the counters from :first to :last.
	Body string
	// Read returns the counters by key.
	Read func(ctx context.Context) (map[int]int, error)
	// Insert and Delete change one row.
	Insert, Delete func(ctx context.Context, key int) error
	// Fail lets the body fail for a row, or no longer.
	Fail func(ctx context.Context, key int, fails bool) error
}

const (
	noCounters = "Target.Counters is not set"
	longLease  = time.Hour
)

// filler is a Database that executes backfills.
type filler interface {
	database.Database
	database.Backfiller
}

// filler returns a Database as one that executes backfills, and skips the case if it is none.
func (c *check) filler(db database.Database) filler {
	c.Helper()
	f, ok := db.(filler)
	if !ok {
		c.ok(&database.PowerError{Power: database.PowerBackfill, Driver: "tested"}, "a Backfiller")
	}
	return f
}

func (c *check) fillTx(tx database.Tx) database.BackfillTx {
	c.Helper()
	f, ok := tx.(database.BackfillTx)
	if !ok {
		c.ok(&database.PowerError{Power: database.PowerBackfill, Driver: "tested"}, "a BackfillTx")
	}
	return f
}

// counting opens the target and creates the table of counters.
func (c *check) counting(rows int) filler {
	c.Helper()
	db := c.filler(c.db())
	c.need(c.Counters != nil, noCounters)
	c.ok(c.Counters.Create(c.ctx, rows), "Counters.Create")
	return db
}

// script returns the script of a backfill of the counters, with directives.
func (c *check) fillScript(directives ...string) *migration.Script {
	c.Helper()
	text := "-- whimbrel: backfill counters\n"
	for _, d := range directives {
		text += "-- whimbrel: " + d + "\n"
	}
	s, err := migration.ParseBackfill("0001_count.backfill.sql", text+c.Counters.Body+";\n", c.dialect)
	c.ok(err, "ParseBackfill")
	return s
}

// fillEntry is the entry of a backfill's version.
func fillEntry(version int64, d database.Direction) database.Entry {
	e := up(version)
	e.Direction = d
	return e
}

// start starts a backfill of set s.
func (c *check) start(db filler, version int64, directives ...string) database.Backfill {
	c.Helper()
	tx := c.begin(db, "s")
	c.startIn(tx, version, directives...)
	c.ok(tx.Record(c.ctx, fillEntry(version, database.Start)), "Tx.Record")
	c.commit(tx)
	return c.backfill(db, version)
}

func (c *check) startIn(tx database.Tx, version int64, directives ...string) {
	c.Helper()
	s := c.fillScript(directives...)
	c.ok(c.fillTx(tx).StartBackfill(c.ctx, database.BackfillStart{
		Version: version, Name: "count", Script: s, Limits: database.LimitsOf(s.Backfill),
	}), "StartBackfill")
}

func idOf(version int64) database.BackfillID { return database.BackfillID{Set: "s", Version: version} }

// backfill reads a backfill of set s.
func (c *check) backfill(db filler, version int64) database.Backfill {
	c.Helper()
	all := c.backfills(db, database.BackfillQuery{Set: "s", Version: &version})
	c.that(len(all) == 1, "Backfills returned %d backfills, want 1", len(all))
	return all[0]
}

func (c *check) backfills(db filler, q database.BackfillQuery) []database.Backfill {
	c.Helper()
	all, err := db.Backfills(c.ctx, q)
	c.ok(err, "Backfills")
	return all
}

// claim asks for a lane of version 1.
func (c *check) claim(db filler, worker string, lease time.Duration) (database.Backfill, database.LaneWork) {
	c.Helper()
	b, w, err := db.ClaimLane(c.ctx, c.asks(worker, lease))
	c.ok(err, "ClaimLane")
	if w != nil {
		c.Cleanup(func() { w.Close(context.Background(), nil) })
	}
	return b, w
}

func (c *check) asks(worker string, lease time.Duration) database.LaneClaim {
	return database.LaneClaim{BackfillID: idOf(1), Script: c.fillScript(), Worker: worker, Lease: lease}
}

// mustClaim is claim for a lane that is there.
func (c *check) mustClaim(db filler, worker string) database.LaneWork {
	c.Helper()
	b, w := c.claim(db, worker, longLease)
	c.that(w != nil, "ClaimLane returned no lane of %+v", b)
	return w
}

func (c *check) batch(w database.LaneWork, rows int) database.BatchResult {
	c.Helper()
	out, err := w.Batch(c.ctx, rows)
	c.ok(err, "LaneWork.Batch")
	return out
}

func (c *check) give(w database.LaneWork) {
	c.Helper()
	c.ok(w.Close(c.ctx, nil), "LaneWork.Close")
}

// work executes all batches of version 1 that one worker gets, and returns how many rows they had.
func (c *check) work(db filler, worker string, rows int) (total int64) {
	c.Helper()
	for {
		_, w := c.claim(db, worker, longLease)
		if w == nil {
			return total
		}
		for {
			out := c.batch(w, rows)
			total += out.Rows
			c.that(out.Rows <= int64(rows), "a batch of %d rows has %d", rows, out.Rows)
			if out.Done {
				break
			}
		}
		c.give(w)
	}
}

func (c *check) counts() map[int]int {
	c.Helper()
	counts, err := c.Counters.Read(c.ctx)
	c.ok(err, "Counters.Read")
	return counts
}

// counted fails the case unless the counters of all keys have the value that want returns.
func (c *check) counted(want func(key int) int) {
	c.Helper()
	for key, n := range c.counts() {
		c.that(n == want(key), "row %d was changed %d times, want %d", key, n, want(key))
	}
}

// sum returns the sum of all counters.
func (c *check) sum() (n int) {
	c.Helper()
	for _, count := range c.counts() {
		n += count
	}
	return n
}

func times(n int) func(int) int { return func(int) int { return n } }

// change changes version 1.
func (c *check) change(db filler, a database.BackfillAction) database.Backfill {
	c.Helper()
	b, err := db.ChangeBackfill(c.ctx, database.BackfillChange{BackfillID: idOf(1), Action: a, Why: "because", Reason: "it's needed"})
	c.ok(err, "ChangeBackfill with "+string(a))
	return b
}

func checkingBackfills(c *check) {
	db := c.counting(5)
	own := c.ownTables()
	found, err := db.CheckBackfill(c.ctx, c.fillScript())
	c.ok(err, "CheckBackfill")
	c.that(found.Table != "" && len(found.Key) == 1, "CheckBackfill returned %+v", found)
	c.counted(times(0))
	c.that(slices.Equal(c.ownTables(), own), "CheckBackfill created tables: %q became %q", own, c.ownTables())
	c.promised(fillNoTable)
	s, err := migration.ParseBackfill("0002_x.backfill.sql", "-- whimbrel: backfill nowhere\n"+c.Counters.Body, c.dialect)
	c.ok(err, "ParseBackfill")
	_, err = db.CheckBackfill(c.ctx, s)
	c.that(errors.Is(err, database.ErrNoTable), "CheckBackfill of a table that does not exist returned %v, want ErrNoTable", err)
	at := as[*sqltext.Error](c, err, "CheckBackfill")
	c.that(at.Pos.File == "0002_x.backfill.sql" && at.Pos.Line == 1, "the error is at %v", at.Pos)
	c.promised(fillBadKey)
	_, err = db.CheckBackfill(c.ctx, c.fillScript("key nothing"))
	as[*sqltext.Error](c, err, "CheckBackfill with a key that is no column")
}

func startingBackfills(c *check) {
	db := c.counting(5)
	c.promised(fillNone)
	c.that(len(c.backfills(db, database.BackfillQuery{})) == 0, "a target without backfills has some")
	c.promised(fillStarts)
	b := c.start(db, 1, "batch 3", "parallel 2", "pause 50ms", "timeout 10s", "attempts 7")
	want := database.BackfillLimits{Batch: 3, Target: migration.DefaultTarget, Parallel: 2, Pause: 50 * time.Millisecond, Timeout: 10 * time.Second, Attempts: 7}
	c.that(b.BackfillLimits == want, "the limits are %+v, want %+v", b.BackfillLimits, want)
	c.that(b.State == database.BackfillRunning && b.Name == "count" && b.Pass == 1 && !b.Detached, "the backfill is %+v", b)
	c.that(b.Head == nil && len(b.Last) == 1 && len(b.Lanes) == 0, "it begins with head %q, last %q and %d lanes", b.Head, b.Last, len(b.Lanes))
	c.that(!b.StartedAt.IsZero() && b.FinishedAt.IsZero() && !b.Now.IsZero(), "its times are %v, %v and %v", b.StartedAt, b.FinishedAt, b.Now)
	e := c.entries(db, database.HistoryQuery{Set: "s"}, 1)[0]
	c.that(b.EntryID == e.ID, "EntryID is %d, want %d", b.EntryID, e.ID)
	m, ok := c.state(db, "s").Applied.Get(1)
	c.that(ok && m.Unfinished, "after its start it is applied %t and unfinished %t", ok, m.Unfinished)
	c.counted(times(0))
	c.promised(fillReplaces)
	c.work(db, "w", 2)
	again := c.start(db, 1)
	c.that(again.RowsDone == 0 && again.Head == nil && again.EntryID > b.EntryID, "after a second start it is %+v", again)
	c.work(db, "w", 2)
	c.start(db, 2) // another Start entry
	tx := c.begin(db, "s")
	s := c.fillScript()
	c.ok(c.fillTx(tx).StartBackfill(c.ctx, database.BackfillStart{
		Version: 1, Name: "count", Script: s, Limits: database.LimitsOf(s.Backfill), EntryID: again.EntryID,
	}), "StartBackfill")
	c.commit(tx)
	anew := c.backfill(db, 1)
	c.that(anew.RowsDone == 0 && anew.Head == nil && anew.EntryID == again.EntryID, "after a start without an entry it is %+v", anew)
}

func startRolledBack(c *check) {
	db := c.counting(2)
	tx := c.begin(db, "s")
	c.startIn(tx, 1)
	c.ok(tx.Record(c.ctx, fillEntry(1, database.Start)), "Tx.Record")
	c.state(tx, "s")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.that(len(c.backfills(db, database.BackfillQuery{})) == 0, "a start that was rolled back left a backfill")
	_, _, err := db.ClaimLane(c.ctx, c.asks("w", longLease))
	c.promised(fillUnknown)
	c.that(errors.Is(err, database.ErrNoBackfill), "ClaimLane of a backfill that does not exist returned %v, want ErrNoBackfill", err)
	_, err = db.ChangeBackfill(c.ctx, database.BackfillChange{BackfillID: idOf(1), Action: database.ActionPause})
	c.that(errors.Is(err, database.ErrNoBackfill), "ChangeBackfill of a backfill that does not exist returned %v, want ErrNoBackfill", err)
}

func everyRowOnce(c *check) {
	const rows = 23
	db := c.counting(rows)
	c.start(db, 1, "batch 2")
	total := c.work(db, "w", 2)
	c.counted(times(1))
	c.promised(fillNumbers)
	c.that(total == rows, "the batches had %d rows, want %d", total, rows)
	b := c.backfill(db, 1)
	c.that(b.RowsDone == rows && b.Batches >= rows/2, "it has %d rows and %d batches done", b.RowsDone, b.Batches)
	c.that(len(b.Lanes) == 0 && b.AllCut(), "lanes are left: %+v", b)
	_, w := c.claim(db, "w", longLease)
	c.that(w == nil, "a lane is left when all rows are done")
	c.promised(fillEmpty)
	for key := 1; key <= rows; key++ {
		c.ok(c.Counters.Delete(c.ctx, key), "Counters.Delete")
	}
	empty := c.start(db, 1)
	c.that(empty.Last == nil && empty.AllCut(), "a backfill of an empty table ends at %q", empty.Last)
	c.that(c.work(db, "w", 2) == 0, "a backfill of an empty table changes rows")
}

func rowsMeanwhile(c *check) {
	db := c.counting(10)
	for _, key := range []int{6, 8} {
		c.ok(c.Counters.Delete(c.ctx, key), "Counters.Delete")
	}
	c.start(db, 1)
	w := c.mustClaim(db, "w")
	out := c.batch(w, 4) // rows 1 to 4
	c.that(out.Rows == 4 && !out.Done, "the first batch is %+v", out)
	for _, key := range []int{0, 6, 11} { // behind the position, before it, and after the end
		c.ok(c.Counters.Insert(c.ctx, key), "Counters.Insert")
	}
	for _, key := range []int{4, 5, 10} { // the position, the next row, and the end
		c.ok(c.Counters.Delete(c.ctx, key), "Counters.Delete")
	}
	c.give(w)
	c.work(db, "w", 2)
	c.counted(func(key int) int {
		if key == 0 || key == 11 {
			return 0
		}
		return 1
	})
}

func dealingLanes(c *check) {
	db := c.counting(300)
	c.start(db, 1, "batch 1", "parallel 2")
	first, second := c.mustClaim(db, "a"), c.mustClaim(db, "b")
	c.that(first.Lane().ID != second.Lane().ID, "two workers have the lane %d", first.Lane().ID)
	c.that(slices.Equal(first.Lane().Last, second.Lane().After), "the lanes %+v and %+v have a gap or share keys", first.Lane(), second.Lane())
	c.promised(fillParallel)
	b, third := c.claim(db, "c", longLease)
	c.that(third == nil, "a third worker got a lane, but two are allowed")
	c.that(len(b.Lanes) == 2 && b.State == database.BackfillRunning, "ClaimLane without a lane returned %+v", b)
	c.promised(laneIsStored)
	for i, w := range []database.LaneWork{first, second} {
		l := c.backfill(db, 1).Lanes[i]
		c.that(l.Worker == string("ab"[i]) && l.Token == w.Lane().Token && l.Token > 0, "the stored lane is %+v", l)
		c.that(l.LeasedUntil.After(b.Now), "the lease ends at %v, and it is %v", l.LeasedUntil, b.Now)
	}
	c.batch(first, 3)
	c.batch(second, 2)
	l := c.backfill(db, 1).Lanes[0]
	c.that(l.Rows == 3 && l.Batches == 1 && slices.Equal(l.At, first.Lane().At), "after a batch of 3 rows the lane is %+v", l)
	c.that(c.sum() == 5, "%d rows were changed, want 5", c.sum())
}

func returningLanes(c *check) {
	db := c.counting(10)
	c.start(db, 1)
	w := c.mustClaim(db, "a")
	c.batch(w, 3)
	at, token := w.Lane().At, w.Lane().Token
	c.ok(w.Close(done(), nil), "LaneWork.Close with a context that is done")
	l := c.backfill(db, 1).Lanes[0]
	c.that(l.Worker == "" && l.Attempts == 0 && l.Error == "", "the lane that was given back is %+v", l)
	again := c.mustClaim(c.filler(c.db()), "b")
	c.promised(laneContinues)
	c.that(slices.Equal(again.Lane().At, at), "the next worker begins at %q, want %q", again.Lane().At, at)
	c.that(again.Lane().Token > token, "the token was %d, and is %d", token, again.Lane().Token)
	c.work(db, "c", 5) // the other worker has the only lane
	for !c.batch(again, 100).Done {
	}
	c.counted(times(1))
}

func failingLanes(c *check) {
	db := c.counting(4)
	c.start(db, 1)
	w := c.mustClaim(db, "a")
	c.batch(w, 1)
	failure := &database.LaneFailure{Err: "row 2: no", First: database.Key{"2"}, Last: database.Key{"2"}, Attempts: 1, NotBefore: time.Hour, Batch: 7}
	c.ok(w.Close(c.ctx, failure), "LaneWork.Close with a failure")
	b := c.backfill(db, 1)
	l := b.Lanes[0]
	c.that(l.Attempts == 1 && l.Error == failure.Err && l.Batch == 7 && !l.Failed && l.Worker == "", "the lane that failed is %+v", l)
	c.that(l.NotBefore.After(b.Now.Add(time.Minute)), "it is tried again at %v", l.NotBefore)
	_, again := c.claim(db, "b", longLease)
	c.that(again == nil, "a lane is tried again too early")
	c.promised(laneRetried)
	c.change(db, database.ActionFail)
	b = c.change(db, database.ActionRetry)
	c.that(b.State == database.BackfillRunning && b.Error == "", "after a retry it is %+v", b)
	w = c.mustClaim(db, "b")
	c.batch(w, 1)
	c.that(w.Lane().Attempts == 0, "after a batch that succeeded %d attempts have failed", w.Lane().Attempts)
	c.promised(laneGivenUp)
	c.ok(w.Close(c.ctx, &database.LaneFailure{Err: "no", Attempts: 1, Final: true}), "LaneWork.Close with a failure")
	l = c.backfill(db, 1).Lanes[0]
	c.that(l.Failed && l.Attempts == 1, "the lane that failed for good is %+v", l)
	_, again = c.claim(db, "c", longLease)
	c.that(again == nil, "a lane that failed for good is tried again")
}

func failingBatches(c *check) {
	db := c.counting(6)
	c.start(db, 1)
	c.ok(c.Counters.Fail(c.ctx, 4, true), "Counters.Fail")
	w := c.mustClaim(db, "a")
	c.batch(w, 2)
	before := w.Lane()
	_, err := w.Batch(c.ctx, 3)
	failed := as[*database.BatchError](c, err, "LaneWork.Batch")
	as[*database.StatementError](c, err, "LaneWork.Batch")
	c.that(failed.Rows == 3 && len(failed.First) == 1 && len(failed.Last) == 1, "the error is about the rows %q to %q, of %d", failed.First, failed.Last, failed.Rows)
	c.promised(batchAtomic)
	c.that(c.sum() == 2, "%d rows are changed after a batch of 2 that succeeded and one that failed", c.sum())
	c.that(slices.Equal(w.Lane().At, before.At) && w.Lane().Rows == before.Rows, "the lane moved from %+v to %+v", before, w.Lane())
	l := c.backfill(db, 1).Lanes[0]
	c.that(slices.Equal(l.At, before.At) && l.Rows == 2, "the stored lane moved to %+v", l)
	c.batch(w, 1) // row 3
	_, err = w.Batch(c.ctx, 1)
	failed = as[*database.BatchError](c, err, "LaneWork.Batch")
	c.that(slices.Equal(failed.First, failed.Last), "the error of one row is about %q to %q", failed.First, failed.Last)
	c.ok(c.Counters.Fail(c.ctx, 4, false), "Counters.Fail")
	for !c.batch(w, 5).Done {
	}
	c.counted(times(1))
}

func losingLanes(c *check) {
	db := c.counting(10)
	c.start(db, 1)
	_, slow := c.claim(db, "slow", time.Millisecond)
	c.that(slow != nil, "ClaimLane returned no lane")
	var next database.LaneWork
	for next == nil { // until the lease has ended
		c.that(c.ctx.Err() == nil, "the lease does not end")
		time.Sleep(5 * time.Millisecond)
		_, next = c.claim(c.filler(c.db()), "next", longLease)
	}
	c.that(next.Lane().ID == slow.Lane().ID, "the next worker has another lane")
	c.batch(next, 3)
	_, err := slow.Batch(c.ctx, 3)
	c.that(errors.Is(err, database.ErrLeaseLost), "a batch of the worker that lost its lane returned %v, want ErrLeaseLost", err)
	c.that(c.sum() == 3, "%d rows are changed, want 3", c.sum())
	c.promised(laneLostCloses)
	c.ok(slow.Close(c.ctx, &database.LaneFailure{Err: "late", Attempts: 9, Final: true}), "LaneWork.Close of a lane that was lost")
	l := c.backfill(db, 1).Lanes[0]
	c.that(l.Worker == "next" && l.Attempts == 0 && !l.Failed, "a worker that had lost the lane made it %+v", l)
	for !c.batch(next, 3).Done {
	}
	c.counted(times(1))
}

func pausing(c *check) {
	db := c.counting(10)
	c.start(db, 1)
	w := c.mustClaim(db, "a")
	c.batch(w, 2)
	operator := c.filler(c.db())
	c.change(operator, database.ActionPause)
	_, err := w.Batch(c.ctx, 2)
	c.that(errors.Is(err, database.ErrBackfillStopped), "a batch of a paused backfill returned %v, want ErrBackfillStopped", err)
	c.that(c.sum() == 2, "%d rows are changed, want 2", c.sum())
	c.give(w)
	b, none := c.claim(db, "b", longLease)
	c.that(none == nil && b.State == database.BackfillPaused, "ClaimLane of a paused backfill returned a lane, or %+v", b)
	c.change(operator, database.ActionResume)
	c.work(db, "a", 3)
	c.counted(times(1))
}

func freezing(c *check) {
	db := c.counting(10)
	c.need(storesSettings(db), "the driver stores no settings")
	c.start(db, 1)
	w := c.mustClaim(db, "a")
	c.batch(w, 2)
	c.freezes(c.db())
	_, err := w.Batch(c.ctx, 2)
	c.that(errors.Is(err, database.ErrBackfillStopped), "a batch in a frozen database returned %v, want ErrBackfillStopped", err)
	c.that(c.sum() == 2, "%d rows are changed, want 2", c.sum())
	c.give(w)
	_, none, err := db.ClaimLane(c.ctx, c.asks("b", longLease))
	c.that(none == nil && errors.Is(err, database.ErrBackfillStopped), "ClaimLane in a frozen database returned %v, want ErrBackfillStopped", err)
	thaw := freeze
	thaw.Value = "false"
	c.ok(database.UpdateSetting(c.ctx, db, thaw), "UpdateSetting")
	c.work(db, "a", 3)
	c.counted(times(1))
}

func changing(c *check) {
	db := c.counting(3)
	c.start(db, 1)
	r := c.guard(db, "s") // a change doesn't wait for the migration lock
	operator := c.filler(c.db())
	b := c.change(operator, database.ActionPause)
	c.that(b.State == database.BackfillPaused, "ChangeBackfill returned the state %s", b.State)
	c.ok(r.Close(c.ctx), "Run.Close")
	c.that(c.backfill(db, 1).State == database.BackfillPaused, "it is %s after a pause", c.backfill(db, 1).State)
	c.promised(fillRecords)
	e := c.entries(db, database.HistoryQuery{Set: "s"}, 2)[1]
	c.that(e.Direction == database.Control && e.Version == 1 && e.Remark == "paused" && e.Reason == "it's needed", "the entry is %+v", e)
	c.that(c.state(db, "s").Applied.Len() == 1, "the backfill is not applied after it was paused")
	c.promised(fillNothing)
	c.change(operator, database.ActionPause)
	c.entries(db, database.HistoryQuery{Set: "s"}, 2)
	c.promised(fillChanges)
	limits := b.BackfillLimits
	limits.Batch, limits.Parallel, limits.Pause = 500, 3, time.Second
	set, err := operator.ChangeBackfill(c.ctx, database.BackfillChange{BackfillID: idOf(1), Action: database.ActionSet, Limits: limits})
	c.ok(err, "ChangeBackfill with set")
	c.that(set.BackfillLimits == limits && c.backfill(db, 1).BackfillLimits == limits, "the limits are %+v, want %+v", c.backfill(db, 1).BackfillLimits, limits)
	c.that(c.change(operator, database.ActionDetach).Detached && c.backfill(db, 1).Detached, "it is not detached")
	c.change(operator, database.ActionResume)
	c.promised(fillThrottled)
	c.change(operator, database.ActionThrottled)
	if b = c.backfill(db, 1); b.ThrottledBy != "because" || b.ThrottledAt.IsZero() {
		c.fail(fmt.Sprintf("it is throttled by %q since %v", b.ThrottledBy, b.ThrottledAt))
	}
	c.entries(db, database.HistoryQuery{Set: "s"}, 5) // started, paused, set, detached, resumed
}

func refusingChanges(c *check) {
	db := c.counting(3)
	c.start(db, 1)
	c.change(db, database.ActionFail)
	b := c.backfill(db, 1)
	c.that(b.State == database.BackfillFailed && b.Error == "because", "the failed backfill is %+v", b)
	n := len(c.history(db, database.HistoryQuery{Set: "s"}))
	for _, a := range []database.BackfillAction{database.ActionPause, database.ActionResume, database.ActionPass} {
		_, err := db.ChangeBackfill(c.ctx, database.BackfillChange{BackfillID: idOf(1), Action: a})
		e := as[*database.BackfillStateError](c, err, "ChangeBackfill with "+string(a))
		c.that(e.State == database.BackfillFailed && e.Action == a, "the error is %+v", e)
	}
	c.that(c.backfill(db, 1).State == database.BackfillFailed, "it is %s", c.backfill(db, 1).State)
	c.entries(db, database.HistoryQuery{Set: "s"}, n)
}

func finishing(c *check) {
	db := c.counting(5)
	c.start(db, 1)
	finish := func() error {
		tx := c.begin(db, "s")
		err := c.fillTx(tx).FinishBackfill(c.ctx, 1)
		if err == nil {
			err = tx.Record(c.ctx, fillEntry(1, database.Finish))
		}
		if err == nil {
			_, err = tx.Commit(c.ctx)
		}
		c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
		return err
	}
	c.promised(fillUnfinished)
	err := finish()
	c.that(errors.Is(err, database.ErrBackfillStopped), "FinishBackfill with rows left returned %v, want ErrBackfillStopped", err)
	w := c.mustClaim(db, "a")
	err = finish()
	c.that(errors.Is(err, database.ErrBackfillStopped), "FinishBackfill with a lane left returned %v, want ErrBackfillStopped", err)
	for !c.batch(w, 2).Done {
	}
	c.give(w)
	c.promised(fillFinishes)
	c.ok(finish(), "FinishBackfill")
	b := c.backfill(db, 1)
	c.that(b.State == database.BackfillDone && !b.FinishedAt.IsZero() && b.RowsDone == 5, "the finished backfill is %+v", b)
	m, ok := c.state(db, "s").Applied.Get(1)
	c.that(ok && !m.Unfinished, "after its end it is applied %t and unfinished %t", ok, m.Unfinished)
	_, none := c.claim(db, "b", longLease)
	c.that(none == nil, "a finished backfill has a lane")
}

func passing(c *check) {
	db := c.counting(4)
	c.start(db, 1)
	c.work(db, "a", 3)
	c.ok(c.Counters.Insert(c.ctx, 9), "Counters.Insert")
	b := c.change(db, database.ActionPass)
	c.that(b.Pass == 2 && b.Head == nil && len(b.Last) == 1, "the second pass is %+v", b)
	c.work(db, "a", 3)
	c.counted(func(key int) int {
		if key == 9 {
			return 1
		}
		return 2
	})
	c.that(c.backfill(db, 1).RowsDone == 9, "two passes have %d rows done, want 9", c.backfill(db, 1).RowsDone)
}

func removing(c *check) {
	db := c.counting(5)
	c.start(db, 1)
	w := c.mustClaim(db, "a")
	c.batch(w, 2)
	tx := c.begin(db, "s")
	c.ok(c.fillTx(tx).EndBackfill(c.ctx, 1), "EndBackfill")
	c.ok(c.fillTx(tx).EndBackfill(c.ctx, 77), "EndBackfill of a version that has none")
	c.ok(tx.Record(c.ctx, fillEntry(1, database.Down)), "Tx.Record")
	c.commit(tx)
	c.that(len(c.backfills(db, database.BackfillQuery{})) == 0, "a backfill that was removed is still there")
	_, err := w.Batch(c.ctx, 2)
	c.that(errors.Is(err, database.ErrLeaseLost), "a batch of a backfill that was removed returned %v, want ErrLeaseLost", err)
	c.that(c.sum() == 2, "%d rows are changed, want 2", c.sum())
	c.ok(w.Close(c.ctx, nil), "LaneWork.Close after its backfill was removed")
}

func resetRemoves(c *check) {
	db := c.counting(5)
	c.start(db, 1)
	tx := c.begin(db, "s")
	_, err := database.TxReset(c.ctx, tx, nil, database.Entry{StartedAt: started})
	c.ok(err, "TxReset")
	c.commit(tx)
	c.that(len(c.backfills(db, database.BackfillQuery{})) == 0, "a backfill remains after a reset")
}

func selecting(c *check) {
	db := c.counting(2)
	c.start(db, 1)
	c.start(db, 2)
	tx := c.begin(db, "another")
	c.startIn(tx, 1)
	c.ok(tx.Record(c.ctx, fillEntry(1, database.Start)), "Tx.Record")
	c.commit(tx)
	c.work(db, "a", 5)
	tx = c.begin(db, "s")
	c.ok(c.fillTx(tx).FinishBackfill(c.ctx, 1), "FinishBackfill")
	c.ok(tx.Record(c.ctx, fillEntry(1, database.Finish)), "Tx.Record")
	c.commit(tx)
	one := int64(1)
	for want, q := range map[string]database.BackfillQuery{
		"another 1, s 1, s 2": {},
		"s 1, s 2":            {Set: "s"},
		"another 1, s 1":      {Version: &one},
		"another 1, s 2":      {Unfinished: true},
	} {
		got := ""
		for _, b := range c.backfills(db, q) {
			if got != "" {
				got += ", "
			}
			got += fmt.Sprint(b.Set, " ", b.Version)
		}
		c.that(got == want, "Backfills(%+v) returned %q, want %q", q, got, want)
	}
}

func cancellingBatches(c *check) {
	db := c.counting(5)
	c.start(db, 1)
	w := c.mustClaim(db, "a")
	_, err := w.Batch(done(), 2)
	c.that(errors.Is(err, context.Canceled), "a batch with a context that is done returned %v", err)
	c.that(c.sum() == 0, "%d rows are changed, want 0", c.sum())
	c.ok(w.Close(done(), nil), "LaneWork.Close")
	_, none, err := db.ClaimLane(done(), c.asks("a", longLease))
	c.that(none == nil && errors.Is(err, context.Canceled), "ClaimLane with a context that is done returned %v", err)
	c.work(db, "b", 3)
	c.counted(times(1))
}

// severalWorkers lets several processes work on one backfill. Each of them has at most a lane at a
// time.
func severalWorkers(c *check) {
	const rows, workers = 400, 4
	db := c.counting(rows)
	c.start(db, 1, "batch 1", "parallel 4")
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	for i := range workers {
		own, ask := c.filler(c.db()), c.asks(fmt.Sprint("worker ", i), longLease)
		wg.Go(func() { errs <- drain(c.ctx, own, ask) })
	}
	wg.Wait()
	for range workers {
		c.ok(<-errs, "a worker")
	}
	c.counted(times(1))
	c.that(c.backfill(db, 1).RowsDone == rows, "%d rows are done, want %d", c.backfill(db, 1).RowsDone, rows)
}

// drain works until no lane is left. A batch that conflicts with another one is tried again.
func drain(ctx context.Context, db filler, ask database.LaneClaim) error {
	for {
		b, w, err := db.ClaimLane(ctx, ask)
		switch {
		case err != nil:
			return err
		case w == nil && b.AllCut():
			return nil
		case w == nil:
			time.Sleep(time.Millisecond)
			continue
		}
		for out := (database.BatchResult{}); !out.Done; {
			out, err = w.Batch(ctx, 7)
			again := errors.Is(err, database.ErrLockTimeout) || errors.Is(err, database.ErrDeadlock) || errors.Is(err, database.ErrConflict)
			if err != nil && !again {
				return errors.Join(err, w.Close(ctx, nil))
			}
		}
		if err := w.Close(ctx, nil); err != nil {
			return err
		}
	}
}
