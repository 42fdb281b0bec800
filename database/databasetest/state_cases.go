package databasetest

import (
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var stateCases = []testCase{
	{"an untouched target", stateIsZero, untouchedTarget},
	{"a database with tables", stateBare, notBare},
	{"reading writes nothing", stateWritesNot, readingWritesNothing},
	{"reading does not wait for the lock", stateWritesNot, readingDoesNotWait},
	{"Begin creates Whimbrel's tables", beginCreates, beginCreatesTables},
	{"the names of Whimbrel's tables", tablesAreLower, tableNames},
	{"Head follows the set", headGrows, headFollowsSet},
	{"Head changes when an older entry becomes visible", headNeverSleeps, headOfOlderEntry},
	{"State of Whimbrel's own set", stateOwn, stateOfOwnSet},
	{"Head under the lock", foundHead, headUnderLock},
	{"Head after another process changed a setting", recordedHead, headAfterSetting},
}

func untouchedTarget(c *check) {
	db := c.db()
	st := c.state(db, "s")
	c.that(st.Set == "s", "State.Set is %q, want %q", st.Set, "s")
	c.that(st.Head == 0, "Head is %d, want 0", st.Head)
	c.that(st.Applied.Len() == 0, "versions %d are applied", st.Applied.Versions())
	c.hasVersion(st, database.NilVersion, false)
	c.isDefault(st)
	c.entries(db, database.HistoryQuery{}, 0)
}

// hasVersion fails the case unless State.Version returns this.
func (c *check) hasVersion(st *database.State, version int64, interrupted bool) {
	c.Helper()
	v, is := st.Version()
	c.that(v == version, "Version is %d, want %d", v, version)
	c.that(is == interrupted, "Version reports an interrupted run: %t, want %t", is, interrupted)
}

// isDefault fails the case unless all settings have their defaults.
func (c *check) isDefault(st *database.State) {
	c.Helper()
	for _, v := range st.Settings.All() {
		c.that(v.IsDefault, "setting %s is stored", v.Name)
		c.that(v.Value == v.Default, "setting %s is %q, want the default %q", v.Name, v.Value, v.Default)
	}
}

func notBare(c *check) {
	db := c.open(database.Options{HistoryTable: "elsewhere"})
	c.apply(c.db(), "s", 1, "")
	c.that(!c.state(db, "s").Bare, "a database with the tables of another history is Bare")
	c.that(!c.state(c.db(), "s").Bare, "a database with a history is Bare")
}

func readingWritesNothing(c *check) {
	db := c.db()
	c.state(db, "s")
	c.history(db, database.HistoryQuery{Texts: true})
	all, err := c.Tables(c.ctx)
	c.ok(err, "Target.Tables")
	c.that(len(all) == 0, "State and History created the tables %q", all)
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
	c.that(len(c.ownTables()) > 0, "after Begin and Commit none of the tables %q exists", db.Tables())
	c.hasTables()
}

func tableNames(c *check) {
	db := c.open(database.Options{HistoryTable: "App_History"})
	names := db.Tables()
	c.that(slices.Contains(names, "app_history"), "Tables returned %q without the history app_history", names)
	for _, name := range names {
		c.that(name == strings.ToLower(name), "Tables returned %q", name)
	}
	c.promised(historyName)
	c.that(slices.Contains(names, "app_settings"), "Tables returned %q without the settings app_settings", names)
	names = c.db().Tables()
	c.that(slices.Contains(names, "whimbrel_history"), "Tables returned %q for a history without a name", names)
}

func headFollowsSet(c *check) {
	db := c.db()
	c.apply(db, "s", 1, "")
	first := c.state(db, "s").Head
	c.that(first > 0, "Head is %d after an entry", first)
	c.promised(headDecides)
	again := c.state(c.db(), "s").Head
	c.that(again == first, "Head is %d in one State and %d in the next, without a change between", first, again)
	c.apply(db, "other", 1, "")
	other := c.state(db, "s").Head
	c.that(other == first, "an entry of another set changed Head from %d to %d", first, other)
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
		c.that(head > last, "Head was %d, and is %d after one more entry", last, head)
		last = head
	}
	c.freezes(db)
	head := c.state(db, "s").Head
	c.that(head > last || !storesSettings(db), "Head was %d, and is %d after a setting changed", last, head)
}

func stateOfOwnSet(c *check) {
	db := c.db()
	st := c.state(db, migration.ReservedSet)
	c.that(st.Head == 0, "Head of an untouched target is %d, want 0", st.Head)
	c.apply(db, "s", 1, "")
	st = c.state(db, migration.ReservedSet)
	c.that(st.Set == migration.ReservedSet, "State.Set is %q, want %q", st.Set, migration.ReservedSet)
	c.that(st.Interrupted == nil, "an interrupted run: %+v", st.Interrupted)
	head := st.Head
	c.freezes(db)
	st = c.state(db, migration.ReservedSet)
	c.that(st.Head > head || !storesSettings(db), "Head was %d, and is %d after a setting changed", head, st.Head)
	c.apply(db, "s", 2, "")
	again := c.state(db, migration.ReservedSet).Head
	c.that(again == st.Head, "an entry of another set changed Head from %d to %d", st.Head, again)
}

// headOfOlderEntry is the case in which IDs are assigned before the commit: a transaction records
// its entry, then a setting changes, then the transaction commits. A State read in between has the
// newer entry and not the older one.
func headOfOlderEntry(c *check) {
	c.need(!c.OneWriter, oneWriter)
	c.apply(c.db(), "s", 0, "")
	db, operator := c.db(), c.db()
	tx := c.pending(db, "")
	c.ok(database.UpdateSetting(c.ctx, operator, freeze), "UpdateSetting while a transaction is open")
	between := c.state(operator, "s")
	c.commit(tx)
	after := c.state(operator, "s")
	c.that(after.Head > between.Head, "Head was %d with the versions %d, and is %d with the versions %d",
		between.Head, between.Applied.Versions(), after.Head, after.Applied.Versions())
}

func headUnderLock(c *check) {
	db := c.db()
	c.apply(db, "other", 1, "")
	c.freezes(db)
	c.apply(db, "s", 1, "")
	head := c.state(db, "s").Head
	for range 2 { // at first, and after Rollback
		tx, found, err := db.Begin(c.ctx, "s", patient)
		c.ok(err, "Begin")
		c.that(found.Head == head, "Begin found the Head %d, State.Head is %d", found.Head, head)
		c.record(tx, 2)
		c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
	}
	tx := c.begin(db, "s")
	c.record(tx, 3)
	c.record(tx, 4)
	c.promised(recordedHead)
	c.isHead(c.commit(tx), "Commit")
	c.isHead(c.commit(c.begin(db, "s")), "Commit of nothing")

	c.promised(foundHead)
	head = c.state(db, "s").Head
	r, found, err := db.Guard(c.ctx, "s", patient)
	c.ok(err, "Guard")
	c.that(found.Head == head, "Guard found the Head %d, State.Head is %d", found.Head, head)
	c.that(c.state(r, "s").Head == head, "Run.State has the Head %d, want %d", c.state(r, "s").Head, head)
	c.promised(recordedHead)
	for v := int64(5); v < 7; v++ {
		recorded, err := r.Record(c.ctx, up(v))
		c.ok(err, "Run.Record")
		c.isHead(recorded, "Run.Record")
	}
}

// isHead fails the case unless the Head that was returned is that of State.
func (c *check) isHead(recorded database.Recorded, by string) {
	c.Helper()
	head := c.state(c.db(), "s").Head
	c.that(recorded.Head == head, "%s returned the Head %d, State.Head is %d", by, recorded.Head, head)
}

// headAfterSetting checks that a process finds out, before its next transaction, that another one
// froze the database.
func headAfterSetting(c *check) {
	c.need(!c.OneWriter, oneWriter)
	db, operator := c.db(), c.db()
	c.apply(db, "s", 1, "")
	tx := c.begin(db, "s")
	c.record(tx, 2)
	c.ok(database.UpdateSetting(c.ctx, operator, freeze), "UpdateSetting while a transaction is open")
	c.record(tx, 3)
	recorded := c.commit(tx)
	head := c.state(db, "s").Head
	c.that(recorded.Head != head, "a setting changed during the transaction, but Commit and State have the same Head %d", head)

	r := c.guard(db, "s")
	c.ok(database.UpdateSetting(c.ctx, operator, freeze), "UpdateSetting while a run is open")
	recorded, err := r.Record(c.ctx, up(4))
	c.ok(err, "Run.Record")
	head = c.state(db, "s").Head
	c.that(recorded.Head != head, "a setting changed during the run, but Record and State have the same Head %d", head)
}
