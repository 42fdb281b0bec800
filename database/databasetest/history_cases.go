package databasetest

import (
	"reflect"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var historyCases = []testCase{
	{"an entry is kept whole", txRecord, entryIsKept},
	{"texts", entryTexts, textsCase},
	{"times", entryTimes, timesCase},
	{"the order of the history", historyInOrder, historyOrder},
	{"the history of a set and of a version", historySet, historyFilters},
	{"stopping in the middle of the history", historyInOrder, historyStops},
	{"a history that cannot be read", historyErrors, historyFails},
	{"the history only grows", historyAppends, historyOnlyGrows},
	{"from entries to applied versions", foldDecides, foldCase},
	{"one entry, and entries since a time", historyID, historyOneAndSince},
	{"the newest entries", historyNewest, historyNewestFirst},
	{"a failed attempt", entryFailed, failedIsKept},
	{"attempts that waited for a lock", entryRetries, retriesAreKept},
	{"two sets in one database", historySet, twoSets},
	{"user, host and application of an entry", entryWho, entryNames},
}

var zeroTime time.Time

// full returns an entry in which every field is set.
func full(version int64) database.Entry {
	return database.Entry{
		Version: version, Name: "add accounts", Direction: database.Up,
		Checksum: migration.Sum("up"), DownChecksum: migration.Sum("down"),
		UpText: "CREATE TABLE accounts ();\n", DownText: "DROP TABLE accounts;\n", HasDownText: true,
		UpDirectives:   migration.Directives{NoTransaction: true, LockTimeout: time.Second},
		DownDirectives: migration.Directives{NoTransaction: true, LockTimeout: 2 * time.Second, StatementTimeout: 90 * time.Second},
		StartedAt:      started, Duration: 1234567891 * time.Nanosecond,
		Retries: 7, LockWait: 987654321 * time.Nanosecond,
		ToolVersion: "1.2.3", Reason: "ticket 7", Remark: "x='1'",
	}
}

// kept returns an entry as the history must have it, apart from the fields that the driver fills
// in.
func kept(set string, e database.Entry, texts bool) database.Entry {
	e.Set = set
	e.StartedAt, e.Duration = e.StartedAt.UTC().Truncate(time.Microsecond), e.Duration.Truncate(time.Microsecond)
	e.LockWait = e.LockWait.Truncate(time.Microsecond)
	if !texts {
		e.UpText, e.DownText = "", ""
	}
	return e
}

// sameEntry compares entries, whatever the zone of StartedAt is.
func sameEntry(a, b database.Entry) bool {
	same := a.StartedAt.Equal(b.StartedAt)
	a.StartedAt, b.StartedAt = zeroTime, zeroTime
	return same && reflect.DeepEqual(a, b)
}

// isKept fails the case unless an entry of the history is the one that was recorded.
func (c *check) isKept(got, want database.Entry) {
	c.Helper()
	c.that(got.ID > 0, "the entry's ID is %d", got.ID)
	want.ID, want.DBUser, want.OSUser, want.Host, want.App, want.Actor = got.ID, got.DBUser, got.OSUser, got.Host, got.App, got.Actor
	c.that(sameEntry(got, want), "the history has\n\t%+v\n\twant\n\t%+v", got, want)
}

func entryIsKept(c *check) {
	db := c.db()
	first := full(1)
	first.Set = "another set" // Record replaces it by its own
	bare := database.Entry{Version: 0, Direction: database.Down, StartedAt: started}
	c.enter(db, "s", first, bare)
	c.promised(entryDirectives)
	for _, e := range c.history(db, database.HistoryQuery{Version: &first.Version}) {
		c.that(e.UpDirectives == first.UpDirectives, "UpDirectives are %q, want %q", e.UpDirectives, first.UpDirectives)
		c.that(e.DownDirectives == first.DownDirectives, "DownDirectives are %q, want %q", e.DownDirectives, first.DownDirectives)
	}
	c.promised(txRecord)
	for _, reader := range []database.Database{db, c.db()} {
		entries := c.entries(reader, database.HistoryQuery{Texts: true}, 2)
		c.isKept(entries[0], kept("s", first, true))
		c.isKept(entries[1], kept("s", bare, true))
	}
	a, ok := c.state(db, "s").Applied.Get(1)
	c.that(ok, "State has no version 1")
	c.that(a.Name == first.Name, "Name is %q, want %q", a.Name, first.Name)
	c.that(a.Checksum == first.Checksum, "Checksum is %v, want %v", a.Checksum, first.Checksum)
	c.that(a.DownChecksum == first.DownChecksum, "DownChecksum is %v, want %v", a.DownChecksum, first.DownChecksum)
	c.that(a.HasDownText, "HasDownText is false")
	c.that(a.EntryID > 0, "EntryID is %d", a.EntryID)
	c.that(!a.Marked, "Marked is true")
	c.that(a.AppliedAt.Equal(started.Truncate(time.Microsecond)), "AppliedAt is %v, want %v", a.AppliedAt, started)
	c.that(a.Duration == first.Duration.Truncate(time.Microsecond), "Duration is %v, want %v", a.Duration, first.Duration)
}

func textsCase(c *check) {
	db := c.db()
	empty, none := full(1), full(2)
	empty.DownText = ""
	none.DownText, none.HasDownText, none.DownChecksum = "", false, migration.Checksum{}
	c.enter(db, "s", empty, none)
	for _, texts := range []bool{false, true} {
		entries := c.entries(db, database.HistoryQuery{Texts: texts}, 2)
		c.that(entries[0].HasDownText, "HasDownText of an empty down script is false (Texts: %v)", texts)
		c.that(!entries[1].HasDownText, "HasDownText of no down script is true (Texts: %v)", texts)
		c.that(entries[1].DownChecksum.IsZero(), "DownChecksum of no down script is %v", entries[1].DownChecksum)
		c.promised(historyTexts)
		c.that((entries[0].UpText != "") == texts, "UpText is %q (Texts: %v)", entries[0].UpText, texts)
		c.promised(entryTexts)
	}
	st := c.state(db, "s")
	for v, want := range map[int64]bool{1: true, 2: false} {
		a, _ := st.Applied.Get(v)
		c.that(a.HasDownText == want, "in State, HasDownText of version %d is %v, want %v", v, a.HasDownText, want)
	}
}

func timesCase(c *check) {
	db := c.db()
	times := []time.Time{
		started,
		time.Date(2026, 10, 25, 0, 30, 0, 999999999, time.UTC), // in an hour that some zones have twice
		time.Date(1999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -11*60*60)),
		time.Date(2100, 2, 28, 12, 0, 0, 1000, time.UTC),
	}
	var entered []database.Entry
	for v, at := range times {
		e := full(int64(v))
		e.StartedAt = at
		entered = append(entered, e)
	}
	c.enter(db, "s", entered...)
	entries := c.entries(db, database.HistoryQuery{}, len(times))
	for i, e := range entries {
		c.that(e.StartedAt.Equal(times[i].Truncate(time.Microsecond)), "StartedAt is %v, want %v", e.StartedAt, times[i])
	}
	c.inMicroseconds(entries)
}

// inMicroseconds fails the case unless the entries' times are in UTC and have no more digits.
func (c *check) inMicroseconds(entries []database.Entry) {
	c.Helper()
	for _, e := range entries {
		c.isUTC("StartedAt", e.StartedAt, e.StartedAt)
		c.that(e.Duration == e.Duration.Truncate(time.Microsecond), "Duration is %v", e.Duration)
	}
}

func historyOrder(c *check) {
	db := c.db()
	order := []int64{5, 1, 3, 2, 4}
	for i, v := range order {
		c.apply(db, []string{"a", "b"}[i%2], v, "")
	}
	c.promised(historyInOrder)
	entries := c.entries(c.db(), database.HistoryQuery{}, len(order))
	for i, e := range entries {
		c.that(e.Version == order[i], "entry %d is of version %d, want %d", i, e.Version, order[i])
	}
	c.promised(entryID)
	for i := range entries[1:] {
		c.that(entries[i].ID < entries[i+1].ID, "the entry with ID %d comes before the one with %d", entries[i].ID, entries[i+1].ID)
	}
}

func historyFilters(c *check) {
	db := c.db()
	for _, set := range []string{"a", "b"} {
		for v := range int64(3) {
			c.apply(db, set, v, "")
		}
	}
	c.apply(db, "a", 0, "") // version 0 is a version like any other
	count := func(q database.HistoryQuery, want int) {
		c.Helper()
		got := c.history(db, q)
		c.that(len(got) == want, "History of set %q has %d entries, want %d", q.Set, len(got), want)
		for _, e := range got {
			c.that(q.Set == "" || e.Set == q.Set, "History of set %q has an entry of set %q", q.Set, e.Set)
			c.that(q.Version == nil || e.Version == *q.Version, "History of version 0 has an entry of version %d", e.Version)
		}
	}
	zero := int64(0)
	c.promised(historySet)
	count(database.HistoryQuery{}, 7)
	count(database.HistoryQuery{Set: "a"}, 4)
	count(database.HistoryQuery{Set: "b"}, 3)
	count(database.HistoryQuery{Set: "A"}, 0)
	c.promised(historyVersion)
	count(database.HistoryQuery{Version: &zero}, 3)
	count(database.HistoryQuery{Version: &zero, Set: "a"}, 2)
}

func historyOneAndSince(c *check) {
	db := c.db()
	var entered []database.Entry
	for v, age := range []time.Duration{0, 2 * time.Hour, -time.Hour} { // not in the order of the times
		e := full(int64(v))
		e.StartedAt = started.Add(age)
		entered = append(entered, e)
	}
	c.enter(db, "s", entered...)
	all := c.history(db, database.HistoryQuery{Set: "s"})
	for _, want := range all {
		for _, set := range []string{"", "s"} {
			got := c.entries(db, database.HistoryQuery{Set: set, ID: want.ID, Texts: true}, 1)
			c.that(got[0].ID == want.ID, "History of the ID %d has the entry %d", want.ID, got[0].ID)
			c.that(got[0].UpText == "CREATE TABLE accounts ();\n", "its UpText is %q", got[0].UpText)
		}
		c.entries(db, database.HistoryQuery{Set: "other", ID: want.ID}, 0)
	}
	c.entries(db, database.HistoryQuery{ID: all[2].ID + 1000}, 0)
	c.promised(historySince)
	for since, want := range map[time.Duration]int{-2 * time.Hour: 3, 0: 2, time.Hour: 1, 2 * time.Hour: 1, 3 * time.Hour: 0} {
		at := started.Truncate(time.Microsecond).Add(since)
		got := c.entries(db, database.HistoryQuery{Set: "s", Since: at}, want)
		for _, e := range got {
			c.that(!e.StartedAt.Before(at), "History since %v has an entry of %v", at, e.StartedAt)
		}
	}
}

func historyNewestFirst(c *check) {
	db := c.db()
	for i := range 5 {
		c.apply(db, []string{"a", "b"}[i%2], int64(i), "")
	}
	all := c.history(db, database.HistoryQuery{})
	slices.Reverse(all)
	same := func(q database.HistoryQuery, want []database.Entry) {
		c.Helper()
		got := c.entries(db, q, len(want))
		for i := range got {
			c.that(got[i].ID == want[i].ID, "entry %d of %+v has the ID %d, want %d", i, q, got[i].ID, want[i].ID)
		}
	}
	same(database.HistoryQuery{Newest: true}, all)
	same(database.HistoryQuery{Newest: true, Texts: true}, all)
	c.promised(historyLimit)
	same(database.HistoryQuery{Newest: true, Limit: 2}, all[:2])
	same(database.HistoryQuery{Newest: true, Limit: 100}, all)
	same(database.HistoryQuery{Newest: true, Limit: 1, Set: "b"}, all[1:2])
	slices.Reverse(all)
	same(database.HistoryQuery{Limit: 1, Set: "b"}, all[1:2])
	version := int64(3)
	same(database.HistoryQuery{Newest: true, Limit: 3, Version: &version}, all[3:4])
}

func failedIsKept(c *check) {
	db := c.db()
	failed := full(1)
	failed.Direction, failed.Tried, failed.Error = database.Failed, database.Down, "it's \u00e4: \"t\"\n\tat line 1; -- \\"
	c.enter(db, "s", failed, full(2))
	c.enterInRun(db, "s", failed)
	entries := c.entries(db, database.HistoryQuery{Set: "s", Texts: true}, 3)
	c.isKept(entries[0], kept("s", failed, true))
	c.isKept(entries[1], kept("s", full(2), true))
	c.isKept(entries[2], kept("s", failed, true))
	c.hasVersions(db, "s", 2)
}

func retriesAreKept(c *check) {
	db := c.db()
	waited, first := full(1), full(2)
	first.Retries, first.LockWait = 0, 0
	failed := full(3)
	failed.Direction, failed.Tried, failed.Error = database.Failed, database.Up, "the table was locked"
	failed.LockWait = 300 * time.Hour
	c.enter(db, "s", waited, first)
	c.enterInRun(db, "s", failed)
	for i, e := range c.entries(db, database.HistoryQuery{Set: "s"}, 3) {
		want := []database.Entry{waited, first, failed}[i]
		c.that(e.Retries == want.Retries, "Retries is %d, want %d", e.Retries, want.Retries)
		c.that(e.LockWait == want.LockWait.Truncate(time.Microsecond), "LockWait is %v, want %v", e.LockWait, want.LockWait)
	}
}

func historyStops(c *check) {
	db := c.db()
	for v := range int64(5) {
		c.apply(db, "s", v, "")
	}
	for range 20 { // more often than there are connections in a pool
		for e, err := range db.History(c.ctx, database.HistoryQuery{Set: "s"}) {
			c.ok(err, "History")
			c.that(e.Version == 0, "the history begins with version %d", e.Version)
			break
		}
	}
	c.apply(db, "s", 5, "")
	c.hasVersions(db, "s", 0, 1, 2, 3, 4, 5)
}

func historyFails(c *check) {
	db := c.db()
	for v := range int64(3) {
		c.apply(db, "s", v, "")
	}
	errs := 0
	for _, err := range db.History(done(), database.HistoryQuery{}) {
		c.that(errs == 0, "History continued after its error")
		if err != nil {
			errs++
		}
	}
	c.that(errs == 1, "History with a cancelled context yielded %d errors", errs)
	c.promised(cancelling)
	for _, err := range db.History(done(), database.HistoryQuery{}) {
		c.that(isContext(err), "History with a cancelled context yielded the error %v", err)
	}
}

func historyOnlyGrows(c *check) {
	db := c.db()
	dirs := []database.Direction{database.Up, database.Down, database.Mark, database.Accept, database.Forget, database.Up}
	var before []database.Entry
	for _, d := range dirs {
		e := full(1)
		e.Direction = d
		c.enter(db, "s", e)
		now := c.history(db, database.HistoryQuery{Texts: true})
		c.that(len(now) == len(before)+1, "the history had %d entries, and has %d after another one", len(before), len(now))
		for i, old := range before {
			c.that(sameEntry(old, now[i]), "an entry was\n\t%+v\n\tand is\n\t%+v", old, now[i])
		}
		before = now
	}
}

func foldCase(c *check) {
	db := c.db()
	entry := func(v int64, d database.Direction, text string) database.Entry {
		return database.Entry{Version: v, Name: text, Direction: d, Checksum: migration.Sum(text), StartedAt: started, Duration: time.Second}
	}
	entries := []database.Entry{
		entry(1, database.Up, "one"), entry(2, database.Up, "two"), entry(3, database.Mark, "three"),
		entry(2, database.Down, "two"), entry(4, database.Up, "four"), entry(1, database.Forget, "one"),
		entry(3, database.Accept, "three, edited"), entry(2, database.Up, "two again"), entry(9, database.Accept, "never applied"),
		entry(4, database.Down, "four"), entry(7, database.Down, "never applied"), entry(4, database.Mark, "four"),
	}
	want := &database.State{}
	for _, e := range entries {
		c.enter(db, "s", e)
		want.Fold(e)
		for _, from := range []any{db, c.begin(db, "s")} {
			st := c.state(from, "s")
			c.sameVersions(st.Applied, want.Applied)
			if tx, ok := from.(database.Tx); ok {
				c.ok(tx.Rollback(c.ctx), "Tx.Rollback")
			}
		}
	}
}

func (c *check) sameVersions(got, want *database.AppliedSet) {
	c.Helper()
	c.that(reflect.DeepEqual(got.Versions(), want.Versions()), "the versions %d are applied, want %d", got.Versions(), want.Versions())
	for w := range want.All() {
		g, _ := got.Get(w.Version)
		c.that(g.EntryID > 0, "EntryID of version %d is %d", w.Version, g.EntryID)
		w.EntryID, w.AppliedAt, w.Duration = g.EntryID, g.AppliedAt, g.Duration
		c.that(g == w, "State has %+v, want %+v", g, w)
	}
}

func twoSets(c *check) {
	db := c.db()
	c.apply(db, "a", 1, "")
	c.apply(db, "b", 1, "")
	c.apply(db, "b", 2, "")
	c.enter(db, "a", database.Entry{Version: 1, Direction: database.Down, StartedAt: started})
	c.hasVersions(db, "a")
	c.hasVersions(db, "b", 1, 2)
	c.hasVersions(db, "c")
	c.promised(txState)
	tx := c.begin(db, "a")
	c.that(c.state(tx, "a").Applied.Len() == 0, "a transaction of set a has the versions %d", c.state(tx, "a").Applied.Versions())
}

func entryNames(c *check) {
	for _, app := range []string{"billing", ""} {
		actor := "a run of " + app + " \u00e4'\";--"
		db := c.open(database.Options{App: app, Actor: actor})
		e := full(1)
		e.DBUser, e.OSUser, e.Host, e.App, e.Actor = "forged", "forged", "forged", "forged", "forged"
		set := "set of " + app
		c.enter(db, set, e)
		c.enterInRun(db, set, e)
		for _, e := range c.history(db, database.HistoryQuery{Set: set}) {
			c.that(e.App == app, "App is %q, want %q", e.App, app)
			c.that(e.Actor == actor, "Actor is %q, want %q", e.Actor, actor)
			c.that(e.DBUser != "forged", "DBUser is %q", e.DBUser)
			c.that(e.OSUser != "forged", "OSUser is %q", e.OSUser)
			c.that(e.Host != "forged", "Host is %q", e.Host)
		}
	}
}
