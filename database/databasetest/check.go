package databasetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// reporter is the part of *testing.T that a case needs. The suite's own tests replace it by a
// recorder.
type reporter interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// patience limits every wait for a lock, and half of a case: longer counts as hanging.
const patience = time.Minute

// check is one running case.
type check struct {
	reporter
	Target
	ctx context.Context

	about string // begins the messages of failures

	mu      sync.Mutex
	promise *promise          // the one that the case checks now
	checked map[*promise]bool // all that it has checked
	own     map[string]bool   // the names of Whimbrel's own tables
	dialect sqltext.Dialect
}

func newCheck(r reporter, target Target) *check {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	r.Cleanup(cancel)
	return &check{reporter: r, Target: target, ctx: ctx, promise: contract, checked: map[*promise]bool{}, own: map[string]bool{}}
}

// promised sets the promise that the following lines check.
func (c *check) promised(p *promise) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.promise = p
}

// checking returns the promise that is being checked, which counts as checked from now on.
func (c *check) checking() *promise {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked[c.promise] = true
	return c.promise
}

func (c *check) fail(msg string) {
	c.Helper()
	p := c.checking()
	c.Fatalf("%s%s\n\tBroken promise %s (%s): %s", c.about, msg, p.id, p.of, p.says)
}

// that fails the case unless it holds.
func (c *check) that(holds bool, format string, args ...any) {
	c.Helper()
	if c.checking(); !holds {
		c.fail(fmt.Sprintf(format, args...))
	}
}

// ok fails the case for an error. It skips the case for a power that the driver doesn't have.
func (c *check) ok(err error, doing string) {
	c.Helper()
	err = c.powered(err)
	c.that(err == nil, "%s: unexpected error: %v", doing, err)
}

// powered returns an error unchanged, unless the driver lacks a power. Then it skips the case, or
// fails it if Target.Powers has that power.
func (c *check) powered(err error) error {
	c.Helper()
	var missing *database.PowerError
	if !errors.As(err, &missing) {
		return err
	}
	if slices.Contains(c.Powers, missing.Power) {
		c.fail(fmt.Sprintf("the driver lacks a power of Target.Powers: %v", err))
	}
	c.Skipf("power not present: %v", err)
	return err
}

// storesSettings reports whether the driver has the power to store settings.
func storesSettings(db database.Database) bool {
	_, ok := db.(database.SettingUpdater)
	return ok
}

// freezes changes a setting, if the driver has the power to store settings.
func (c *check) freezes(db database.Database) {
	c.Helper()
	if storesSettings(db) {
		c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	}
}

// need skips the case for a reason, unless it has what it needs.
func (c *check) need(has bool, reason string) {
	c.Helper()
	if !has {
		c.Skipf("%s", reason)
	}
}

const (
	noNever   = "Target.Never is not set"
	noAgain   = "Target.Again is not set"
	noHalf    = "Target.Half is not set"
	noSlow    = "Target.Slow is not set"
	noFunc    = "Target.Func is not set"
	noBreak   = "Target.Break is not set"
	noSession = "Target.Session is not set"
	oneWriter = "Target.OneWriter is set"
)

// open opens the target, as another process would.
func (c *check) open(opts database.Options) database.Database {
	c.Helper()
	db, err := c.Open(c.ctx, opts)
	c.ok(err, "Open")
	c.Cleanup(func() { db.Close() })
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dialect = db.Dialect()
	for _, name := range db.Tables() {
		c.own[name] = true
	}
	return db
}

// db opens the target with default options.
func (c *check) db() database.Database {
	c.Helper()
	return c.open(database.Options{})
}

// dbWith opens the target and creates a table in it.
func (c *check) dbWith(table string) database.Database {
	c.Helper()
	db := c.db()
	c.table(db, table)
	return db
}

// patient waits for a lock for as long as the suite waits for anything.
var patient = database.LockOptions{Timeout: patience}

func (c *check) begin(db database.Database, set string) database.Tx {
	c.Helper()
	tx, _, err := db.Begin(c.ctx, set, patient)
	c.ok(err, "Begin")
	c.Cleanup(func() { tx.Rollback(context.Background()) })
	return tx
}

func (c *check) guard(db database.Database, set string) database.Run {
	c.Helper()
	r, _, err := db.Guard(c.ctx, set, patient)
	c.ok(err, "Guard")
	c.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// text returns a script of the suite's own.
func text(statements string) *migration.Script { return migration.Text("suite.sql", statements) }

// run executes a text that must succeed.
func (c *check) run(tx database.Tx, statements string) {
	c.Helper()
	c.ok(tx.Exec(c.ctx, text(statements)), "Tx.Exec of "+statements)
}

// record records the entry of a version that was applied.
func (c *check) record(tx database.Tx, version int64) {
	c.Helper()
	c.ok(tx.Record(c.ctx, up(version)), "Tx.Record")
}

// pending begins a transaction of set s that has executed a text and recorded version 1, even if
// the driver queues.
func (c *check) pending(db database.Database, statements string) database.Tx {
	c.Helper()
	tx := c.begin(db, "s")
	c.run(tx, statements)
	c.record(tx, 1)
	c.state(tx, "s") // executes what is queued
	return tx
}

// enter commits entries in a transaction of their own.
func (c *check) enter(db database.Database, set string, entries ...database.Entry) {
	c.Helper()
	tx := c.begin(db, set)
	c.ok(tx.Record(c.ctx, entries...), "Tx.Record")
	c.commit(tx)
}

// enterInRun records an entry in a run of its own.
func (c *check) enterInRun(db database.Database, set string, e database.Entry) {
	c.Helper()
	r := c.guard(db, set)
	_, err := r.Record(c.ctx, e)
	c.ok(err, "Run.Record")
	c.ok(r.Close(c.ctx), "Run.Close")
}

// up returns the entry of a version that was applied.
func up(version int64) database.Entry {
	return database.Entry{
		Version: version, Name: fmt.Sprintf("step %d", version), Direction: database.Up,
		Checksum: migration.Sum(fmt.Sprint(version)), StartedAt: started, Duration: time.Second,
	}
}

// started is when the suite's entries began: in a zone other than UTC, with more digits than are
// kept.
var started = time.Date(2026, 3, 29, 2, 30, 0, 123456789, time.FixedZone("", 2*60*60))

func (c *check) commit(tx database.Tx) database.Recorded {
	c.Helper()
	recorded, err := tx.Commit(c.ctx)
	c.ok(err, "Tx.Commit")
	return recorded
}

// execAndCommit executes a script, records versions and commits, until the first error: a driver
// that queues can return it late.
func execAndCommit(ctx context.Context, tx database.Tx, s *migration.Script, versions ...int64) error {
	if err := tx.Exec(ctx, s); err != nil {
		return err
	}
	for _, v := range versions {
		if err := tx.Record(ctx, up(v)); err != nil {
			return err
		}
	}
	_, err := tx.Commit(ctx)
	return err
}

func (c *check) tryRecord(r database.Run, version int64) error {
	_, err := r.Record(c.ctx, up(version))
	return err
}

// recordRun records a version in a run.
func (c *check) recordRun(r database.Run, version int64) {
	c.Helper()
	c.ok(c.tryRecord(r, version), "Run.Record")
}

// apply commits a text and the entry of its version in a transaction; in a run if the text can't be
// in a transaction.
func (c *check) apply(db database.Database, set string, version int64, statements string) {
	c.Helper()
	if c.NoDDL && strings.Contains(statements, "CREATE TABLE") {
		r := c.guard(db, set)
		c.exec(r, statements)
		c.recordRun(r, version)
		c.ok(r.Close(c.ctx), "Run.Close")
		return
	}
	tx := c.begin(db, set)
	c.run(tx, statements)
	c.record(tx, version)
	c.commit(tx)
}

// exec executes the statements of a text one by one.
func (c *check) exec(r database.Run, statements string) {
	c.Helper()
	c.ok(c.tryExec(r, c.ctx, text(statements)), "Run.Exec of "+statements)
}

func (c *check) tryExec(r database.Run, ctx context.Context, s *migration.Script) error {
	a, err := s.Analyze(c.dialect, nil)
	if err != nil {
		return err
	}
	next, stop := iter.Pull2(a.All())
	defer stop()
	for {
		st, err, ok := next()
		if !ok || err != nil {
			return err
		}
		var data io.Reader
		if st.Kind == sqltext.CopyIn {
			data = database.CopyData(next)
		}
		if err := r.Exec(ctx, s, st, data, nil); err != nil {
			return err
		}
	}
}

// aside executes statements outside of what a case is about.
func (c *check) aside(db database.Database, statements string) {
	c.Helper()
	r := c.guard(db, "the suite's own tables")
	c.exec(r, statements)
	c.ok(r.Close(c.ctx), "Run.Close")
}

// table creates a table outside of what a case is about.
func (c *check) table(db database.Database, name string) {
	c.Helper()
	c.aside(db, "CREATE TABLE "+name+" (x int)")
}

// ddl returns statements that a transaction must be able to roll back, or "" if the database can't.
func (c *check) ddl(statements string) string {
	if c.NoDDL {
		return ""
	}
	return statements
}

// state reads the State of a set from a Database, a Tx or a Run.
func (c *check) state(from any, set string) (st *database.State) {
	c.Helper()
	var err error
	switch from := from.(type) {
	case database.Database:
		st, err = from.State(c.ctx, set)
	case interface {
		State(context.Context) (*database.State, error)
	}:
		st, err = from.State(c.ctx)
	}
	c.ok(err, "State")
	return st
}

// history reads entries, except those of Whimbrel's own tables.
func (c *check) history(db database.Database, q database.HistoryQuery) []database.Entry {
	c.Helper()
	var all []database.Entry
	for e, err := range db.History(c.ctx, q) {
		c.ok(err, "History")
		if e.Set != migration.ReservedSet || e.Direction == database.Setting {
			all = append(all, e)
		}
	}
	return all
}

// entries reads entries, and fails the case unless there are n.
func (c *check) entries(db database.Database, q database.HistoryQuery, n int) []database.Entry {
	c.Helper()
	all := c.history(db, q)
	c.that(len(all) == n, "the history has %d entries, want %d (%+v)", len(all), n, q)
	return all
}

// tables returns the tables that scripts created, in alphabetical order.
func (c *check) tables() []string {
	c.Helper()
	scripts, _ := c.allTables()
	return scripts
}

// ownTables returns Whimbrel's tables that exist.
func (c *check) ownTables() []string {
	c.Helper()
	_, own := c.allTables()
	return own
}

func (c *check) allTables() (scripts, own []string) {
	c.Helper()
	all, err := c.Tables(c.ctx)
	c.ok(err, "Target.Tables")
	for _, name := range slices.Sorted(slices.Values(all)) {
		if c.isOwn(name) {
			own = append(own, name)
		} else {
			scripts = append(scripts, name)
		}
	}
	return scripts, own
}

func (c *check) isOwn(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.own[strings.ToLower(name)]
}

// hasTables fails the case unless scripts have created these tables and no other.
func (c *check) hasTables(names ...string) {
	c.Helper()
	got := c.tables()
	c.that(slices.Equal(got, names), "the tables are %q, want %q", got, names)
}

// hasRows fails the case unless a table has n rows.
func (c *check) hasRows(table string, n int) {
	c.Helper()
	got, err := c.RowCount(c.ctx, table)
	c.ok(err, "Target.RowCount")
	c.that(got == n, "table %s has %d rows, want %d", table, got, n)
}

// hasVersions fails the case unless exactly these versions of a set are applied.
func (c *check) hasVersions(db database.Database, set string, versions ...int64) {
	c.Helper()
	got := c.state(db, set).Applied.Versions()
	c.that(slices.Equal(got, versions), "set %q has the versions %d, want %d", set, got, versions)
	n := 0
	for _, e := range c.history(db, database.HistoryQuery{Set: set}) {
		if e.Direction == database.Up {
			n++
		}
	}
	c.that(n >= len(versions), "the history of set %q has %d entries for the versions %d", set, n, versions)
}

// isFree fails the case unless the lock of a set is free.
func (c *check) isFree(set string) {
	c.Helper()
	c.becomesFree(set, database.LockOptions{})
}

// becomesFree fails the case unless the lock of a set is free, or becomes free while opts wait: a
// server needs a moment to notice that a client is gone.
func (c *check) becomesFree(set string, opts database.LockOptions) {
	c.Helper()
	db := c.db()
	defer db.Close()
	tx, _, err := db.Begin(c.ctx, set, opts)
	c.ok(err, "Begin by another process")
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
}

// isLocked fails the case unless the lock of a set is held.
func (c *check) isLocked(set string) {
	c.Helper()
	db := c.db()
	defer db.Close()
	tx, _, err := db.Begin(c.ctx, set, database.LockOptions{})
	if err == nil {
		tx.Rollback(c.ctx)
	}
	c.that(errors.Is(err, database.ErrLocked), "Begin that tries once, by another process, returned %v, want ErrLocked", err)
}

// isA reports whether an error is or wraps a T.
func isA[T error](err error) bool {
	return errors.As(err, new(T))
}

// as returns an error as a T, and fails the case if it is none.
func as[T error](c *check, err error, of string) T {
	c.Helper()
	var e T
	ok := errors.As(err, &e)
	c.that(ok, "%s returned %v, want a %T", of, err, e)
	return e
}

// done returns a cancelled context.
func done() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
