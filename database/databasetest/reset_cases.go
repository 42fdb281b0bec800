package databasetest

import (
	"context"
	"errors"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var resetCases = []testCase{
	{"the database's name", stateName, databaseName},
	{"Reset", resetDrops, resetCase},
	{"Reset of an untouched target", resetRecords, resetUntouched},
	{"Reset that is rolled back", txWhole, resetRolledBack},
	{"Reset while another set is locked", resetLocks, resetLocked},
	{"after Reset", resetRecords, afterReset},
}

func databaseName(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	name := c.state(db, "s").Database
	c.that(name != "", "State.Database is empty")
	again := c.state(c.open(database.Options{App: "another"}), "another").Database
	c.that(again == name, "State.Database is %q, and %q for another set", name, again)
}

// reset resets the target in a transaction.
func (c *check) reset(tx database.Tx) *database.Emptied {
	c.Helper()
	e, err := database.TxReset(c.ctx, tx, []string{"a schema that does not exist"}, resetEntry)
	c.ok(err, "Tx.Reset")
	c.that(e != nil, "Tx.Reset returned nothing")
	return e
}

// resetEntry is the entry of a reset.
var resetEntry = database.Entry{Reason: `"because"`, ToolVersion: "1.2.3", StartedAt: started}

func resetCase(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
	c.apply(db, "öther 🐦", 7, "CREATE TABLE u (x int)")
	c.table(db, "v")
	c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	own := c.ownTables()
	tx := c.begin(db, "s")
	emptied := c.reset(tx)
	recorded := c.commit(tx)
	c.hasTables()

	c.promised(resetLeaves)
	c.that(len(c.ownTables()) == len(own), "of Whimbrel's tables %q only %q remain", own, c.ownTables())
	c.that(c.state(db, "s").Settings.Bool(database.Frozen), "the settings are lost")

	c.promised(resetDropped)
	var dropped []string
	for _, o := range emptied.Dropped {
		dropped = append(dropped, o.Name)
		c.that(o.Type == "table", "%s has the type %q", o.Name, o.Type)
	}
	slices.Sort(dropped)
	c.that(slices.Equal(dropped, []string{"t", "u", "v"}), "Dropped has %q, want t, u and v", dropped)
	c.that(len(emptied.Left) == 0, "Left has %v", emptied.Left)

	c.promised(resetSets)
	c.that(slices.Equal(emptied.Sets, []string{"s", "öther 🐦"}), "Sets are %q, want s and öther 🐦", emptied.Sets)

	c.promised(resetRecords)
	for _, set := range []string{"s", "öther 🐦"} {
		entries := c.entries(db, database.HistoryQuery{Set: set}, 2)
		want := resetEntry
		want.Version, want.Direction = database.NilVersion, database.Reset
		c.isKept(entries[1], kept(set, want, false))
		c.hasVersions(c.db(), set)
	}
	c.that(c.state(db, "s").Head == recorded.Head, "Head is %d, Commit returned %d", c.state(db, "s").Head, recorded.Head)
	for _, e := range c.history(db, database.HistoryQuery{Set: migration.ReservedSet}) {
		c.that(e.Direction != database.Reset, "Whimbrel's own set is recorded as reset")
	}
	c.isFree("öther 🐦")
	c.isFree("s")
}

func resetUntouched(c *check) {
	db := c.db()
	tx := c.begin(db, "s")
	emptied := c.reset(tx)
	c.that(slices.Equal(emptied.Sets, []string{"s"}), "Sets are %q, want s", emptied.Sets)
	c.commit(tx)
	entries := c.entries(db, database.HistoryQuery{}, 1)
	c.that(entries[0].Direction == database.Reset, "the history has %v, want a reset", entries)
}

func resetRolledBack(c *check) {
	c.need(!c.NoDDL, "Target.NoDDL is set")
	db := c.db()
	c.apply(db, "s", 1, "CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
	c.apply(db, "öther 🐦", 7, "CREATE TABLE u (x int)")
	for _, ctx := range []context.Context{c.ctx, done()} {
		tx := c.begin(db, "s")
		c.reset(tx)
		versions := c.state(tx, "s").Applied.Versions()
		c.that(len(versions) == 0, "after Reset, State has %d", versions)
		c.ok(tx.Rollback(ctx), "Tx.Rollback")
		c.hasTables("t", "u")
		c.hasRows("t", 1)
		c.hasVersions(c.db(), "s", 1)
		c.hasVersions(c.db(), "öther 🐦", 7)
		c.isFree("s")
		c.isFree("öther 🐦")
	}
}

func resetLocked(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "CREATE TABLE t (x int)")
	c.apply(db, "öther 🐦", 7, "")
	holder := c.guard(c.db(), "öther 🐦")
	tx, _, err := db.Begin(c.ctx, "s", database.LockOptions{})
	if c.OneWriter && errors.Is(err, database.ErrLocked) {
		return // the other set's lock blocks this one
	}
	c.ok(err, "Begin")
	_, err = database.TxReset(c.ctx, tx, nil, resetEntry)
	err = c.powered(err)
	locked := as[*database.LockedError](c, err, "Reset while a run has the lock of another set")
	c.that(locked.Set == "öther 🐦", "LockedError.Set is %q, want öther 🐦", locked.Set)
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	c.hasTables("t")
	c.hasVersions(db, "s", 1)
	c.ok(holder.Close(c.ctx), "Run.Close")

	tx = c.begin(db, "s")
	c.reset(tx)
	c.isLocked("öther 🐦")
	c.isLocked("s")
	c.commit(tx)
	c.isFree("öther 🐦")
	c.hasTables()
}

func afterReset(c *check) {
	db := c.db()
	for range 2 {
		c.apply(db, "s", 1, "CREATE TABLE t (x int)")
		c.hasVersions(db, "s", 1)
		tx := c.begin(db, "s")
		c.reset(tx)
		recorded := c.commit(tx).Entries
		c.that(len(recorded) == 1, "Recorded has %d entries, want 1", len(recorded))
	}
	c.apply(db, "s", 1, "CREATE TABLE t (x int)")
	c.hasVersions(db, "s", 1)
}
