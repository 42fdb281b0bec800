package databasetest

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

var stateCases = []testCase{
	{"an untouched target", stateIsZero, untouchedTarget},
	{"reading writes nothing", stateWritesNot, readingWritesNothing},
	{"reading does not wait for the lock", stateWritesNot, readingDoesNotWait},
	{"Begin creates Whimbrel's tables", beginCreates, beginCreatesTables},
	{"the names of Whimbrel's tables", tablesAreLower, tableNames},
	{"Head follows the set", headGrows, headFollowsSet},
	{"Head follows the settings", headGrows, headFollowsSettings},
	{"Head changes when an older entry appears", headNeverSleeps, headOfOlderEntry},
	{"Head of a transaction", foundHead, headOfTx},
	{"Head of a run", foundHead, headOfRun},
	{"Head after a setting changed in between", recordedHead, headAfterSetting},
}

func untouchedTarget(c *check) {
	db := c.db()
	st := c.state(db, "s")
	c.that(st.Set == "s", "State.Set is %q, want %q", st.Set, "s")
	c.that(st.Head == 0, "Head is %d, want 0", st.Head)
	c.that(st.Applied.Len() == 0, "versions %d are applied", st.Applied.Versions())
	v, dirty := st.Version()
	c.that(v == database.NilVersion && !dirty, "Version returned %d, %v; want %d, false", v, dirty, database.NilVersion)
	c.isDefault(st)
	events := c.history(db, database.HistoryQuery{})
	c.that(len(events) == 0, "the history has %d events", len(events))
}

// isDefault fails the case unless the settings are what they are by default.
func (c *check) isDefault(st *database.State) {
	c.Helper()
	for _, v := range st.Settings.All() {
		c.that(v.IsDefault && v.Value == v.Default, "setting %s is %q (default: %v), want the default %q", v.Name, v.Value, v.IsDefault, v.Default)
	}
}

func readingWritesNothing(c *check) {
	db := c.db()
	c.state(db, "s")
	c.history(db, database.HistoryQuery{Texts: true})
	all, err := c.Tables(c.ctx)
	c.ok(err, "Target.Tables")
	c.that(len(all) == 0, "after State and History the target has the tables %q", all)
}

func readingDoesNotWait(c *check) {
	holder, reader := c.db(), c.db()
	c.apply(holder, "s", 1, "")
	tx := c.begin(holder, "s")
	c.record(tx, 2)
	c.hasVersions(reader, "s", 1)
	c.commit(tx)
	c.hasVersions(reader, "s", 1, 2)
}

func beginCreatesTables(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	c.that(len(c.ownTables()) > 0, "after Begin and Commit none of the tables %q is there", db.Tables())
	c.hasTables()
}

func tableNames(c *check) {
	db := c.open(database.Options{HistoryTable: "App_History"})
	names := db.Tables()
	c.that(slices.Contains(names, "app_history"), "Tables returned %q, without the history app_history", names)
	for _, name := range names {
		c.that(name == strings.ToLower(name), "Tables returned %q", name)
	}
	c.promised(historyName)
	c.that(slices.Contains(names, "app_settings"), "Tables returned %q, without the settings app_settings", names)
	names = c.db().Tables()
	c.that(slices.Contains(names, "whimbrel_history"), "Tables returned %q for a history without a name", names)
}

func headFollowsSet(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	first := c.state(db, "s").Head
	c.that(first > 0, "Head is %d after an event", first)
	c.promised(headDecides)
	again := c.state(c.db(), "s").Head
	c.that(again == first, "Head is %d in one State and %d in the next, nothing happened between", first, again)
	c.apply(db, "other", 1, "")
	other := c.state(db, "s").Head
	c.that(other == first, "an event of another set changed Head from %d to %d", first, other)
	tx := c.begin(db, "s")
	c.record(tx, 2)
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	rolledBack := c.state(db, "s").Head
	c.that(rolledBack == first, "a Rollback changed Head from %d to %d", first, rolledBack)
	c.promised(headGrows)
	last := first
	for v := int64(2); v < 5; v++ {
		c.apply(db, "s", v, "")
		head := c.state(db, "s").Head
		c.that(head > last, "Head was %d, and is %d after one more event", last, head)
		last = head
	}
}

func headFollowsSettings(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	before := c.state(db, "s").Head
	c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	after := c.state(db, "s").Head
	c.that(after > before, "Head was %d, and is %d after a setting changed", before, after)
}

// headOfOlderEntry is what goes wrong where ids are handed out before the commit: a
// transaction has recorded its event, then a setting changes, then the transaction commits. The
// State between has the newer event and not the older one.
func headOfOlderEntry(c *check) {
	c.need(!c.OneWriter, "two writers")
	c.apply(c.db(), "s", 1, "")
	db, operator := c.db(), c.db()
	tx := c.begin(db, "s")
	c.record(tx, 2)
	c.state(tx, "s") // executes what is queued
	c.ok(database.UpdateSetting(c.ctx, operator, freeze), "UpdateSetting while a transaction is open")
	between := c.state(operator, "s")
	c.commit(tx)
	after := c.state(operator, "s")
	c.that(after.Head > between.Head, "Head was %d with the versions %d, and is %d with the versions %d",
		between.Head, between.Applied.Versions(), after.Head, after.Applied.Versions())
}

func headOfTx(c *check) {
	db := c.db()
	c.apply(db, "other", 1, "")
	if storesSettings(db) {
		c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	}
	c.apply(db, "s", 1, "")
	head := c.state(db, "s").Head
	tx, found := c.beginFound(db, "s")
	c.that(found.Head == head, "Begin found the Head %d, State.Head was %d", found.Head, head)
	c.record(tx, 2)
	c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	tx, found = c.beginFound(db, "s")
	c.that(found.Head == head, "after Rollback, Begin found the Head %d, State.Head was %d", found.Head, head)
	c.record(tx, 3)
	c.record(tx, 4)
	recorded := c.commit(tx)
	c.promised(recordedHead)
	after := c.state(db, "s").Head
	c.that(recorded.Head == after, "Commit returned the Head %d, State.Head is %d", recorded.Head, after)
	recorded = c.commit(c.begin(db, "s"))
	c.that(recorded.Head == after, "Commit of nothing returned the Head %d, State.Head is %d", recorded.Head, after)
}

func headOfRun(c *check) {
	db := c.db()
	c.apply(db, "other", 1, "")
	if storesSettings(db) {
		c.ok(database.UpdateSetting(c.ctx, db, freeze), "UpdateSetting")
	}
	c.apply(db, "s", 1, "")
	head := c.state(db, "s").Head
	r, found := c.guardFound(db, "s")
	c.that(found.Head == head, "Guard found the Head %d, State.Head was %d", found.Head, head)
	c.that(c.state(r, "s").Head == head, "Run.State has the Head %d, want %d", c.state(r, "s").Head, head)
	c.promised(recordedHead)
	for v := int64(2); v < 4; v++ {
		recorded, err := r.Record(c.ctx, up(v))
		c.ok(err, "Run.Record")
		after := c.state(c.db(), "s").Head
		c.that(recorded.Head == after, "Record returned the Head %d, State.Head is %d", recorded.Head, after)
	}
}

// headAfterSetting is what the engine relies on to see, in the next unit, that
// migrations were turned off while it ran this one.
func headAfterSetting(c *check) {
	c.need(!c.OneWriter, "two writers")
	db, operator := c.db(), c.db()
	c.apply(db, "s", 1, "")
	tx := c.begin(db, "s")
	c.record(tx, 2)
	c.ok(database.UpdateSetting(c.ctx, operator, freeze), "UpdateSetting while a transaction is open")
	c.record(tx, 3)
	recorded := c.commit(tx)
	after := c.state(db, "s").Head
	c.that(recorded.Head != after, "a setting was changed while the transaction was open, but Commit and State have the same Head %d", after)

	c.promised(recordedHead)
	r := c.guard(db, "s")
	c.ok(database.UpdateSetting(c.ctx, operator, freeze), "UpdateSetting while a run is open")
	recorded, err := r.Record(c.ctx, up(4))
	c.ok(err, "Run.Record")
	after = c.state(db, "s").Head
	c.that(recorded.Head != after, "a setting was changed while the run was open, but Record and State have the same Head %d", after)
}
