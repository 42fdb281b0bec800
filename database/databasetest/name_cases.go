package databasetest

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/whimbrel-db/whimbrel/database"
)

var nameCases = []testCase{
	{"odd names of sets and migrations", namesAreData, oddNames},
	{"odd texts", namesAreData, oddTexts},
	{"big versions", txRecord, bigVersions},
	{"odd names of the history", namesAreData, oddHistoryNames},
	{"two histories in one target", historyName, twoHistories},
	{"odd names of the schema", schemaIsCreated, oddSchemaNames},
}

// odd are names that would be syntax in some places.
var odd = []string{
	`it's`, `say "hi"`, "back`tick", "two words", " space at both ends ", "Ünïcödé 渡り鳥 🐦", "UPPER", "upper",
	"select", "a.b", "a;b", "100%", "under_score", `back\slash`, "$1", "?", ":name", "{{.Name}}", "[x]", "--", "/*",
	`'; DROP TABLE t; --`, `"; DROP TABLE t; --`, "new\nline", "tab\t", `U&\0041`, `U&`, strings.Repeat("long", 30),
}

func oddNames(c *check) {
	db := c.dbWith("t")
	for i, name := range odd {
		e := full(int64(i))
		e.Name, e.Reason, e.Remark, e.ToolVersion = name, name, name, name
		c.enter(db, name, e)
		e.Version += 1000
		c.enterInRun(db, name, e)
	}
	for i, name := range odd {
		got := c.state(db, name).Applied.Versions()
		c.that(slices.Equal(got, []int64{int64(i), int64(i) + 1000}), "set %q has the versions %d", name, got)
		entries := c.entries(db, database.HistoryQuery{Set: name}, 2)
		for _, e := range entries {
			for _, got := range []string{e.Set, e.Name, e.Reason, e.Remark, e.ToolVersion} {
				c.that(got == name, "%q was read as %q in %+v", name, got, e)
			}
		}
	}
	c.hasTables("t")
}

func oddTexts(c *check) {
	db := c.db()
	texts := append([]string{
		"", "\n", "no line end", "CRLF\r\n\r\n", "$$ $1 $tag$", "\\.\n", "\ufeff", strings.Repeat("a line of a big script\n", 20_000),
	}, odd...)
	var entered []database.Entry
	for i, text := range texts {
		e := full(int64(i))
		e.UpText, e.DownText = text, text
		entered = append(entered, e)
	}
	c.enter(db, "s", entered...)
	entries := c.entries(db, database.HistoryQuery{Set: "s", Texts: true}, len(texts))
	for i, e := range entries {
		c.that(e.UpText == texts[i], "the up script %.40q was read as %.40q", texts[i], e.UpText)
		c.that(e.DownText == texts[i], "the down script %.40q was read as %.40q", texts[i], e.DownText)
	}
}

func bigVersions(c *check) {
	db := c.db()
	versions := []int64{0, 1, 20260102030405, math.MaxInt32, math.MaxInt32 + 1, math.MaxInt64 - 1, math.MaxInt64}
	slices.Sort(versions)
	for _, v := range slices.Backward(versions) {
		c.apply(db, "s", v, "")
	}
	c.hasVersions(db, "s", versions...)
	for _, v := range versions {
		entries := c.entries(db, database.HistoryQuery{Version: &v}, 1)
		c.that(entries[0].Version == v, "History of version %d has an entry of version %d", v, entries[0].Version)
	}
	c.hasVersion(c.state(db, "s"), math.MaxInt64, false)
}

// oddIdentifiers are names of tables that must be quoted.
var oddIdentifiers = []string{
	`it's_history`, `say "hi" history`, "back`tick_history", "two words", "Ünïcödé", "MixedCase_History", "select", "a.b", "1st", "x%s$1?",
	`x"; DROP TABLE t; --`,
}

func oddHistoryNames(c *check) {
	c.table(c.db(), "t")
	for i, name := range oddIdentifiers {
		c.useHistory(database.Options{HistoryTable: name}, int64(i))
	}
	c.hasTables("t")
}

// useHistory uses a history in all ways.
func (c *check) useHistory(opts database.Options, version int64) {
	c.Helper()
	c.about = fmt.Sprintf("with the history %q in schema %q: ", opts.HistoryTable, opts.Schema)
	db := c.open(opts)
	c.that(c.state(db, "s").Head == 0, "Head is not 0")
	c.enter(db, "s", up(version))
	c.enterInRun(db, "s", up(version+1000))
	c.freezes(db)
	again := c.open(opts)
	c.hasVersions(again, "s", version, version+1000)
	entries := 2
	if storesSettings(db) {
		c.that(c.state(again, "s").Settings.Bool(database.Frozen), "the setting is not stored")
		entries++
	}
	c.entries(again, database.HistoryQuery{}, entries)
	c.ok(db.Close(), "Close")
	c.ok(again.Close(), "Close")
	c.about = ""
}

func twoHistories(c *check) {
	one, two := c.db(), c.open(database.Options{HistoryTable: "other_history"})
	c.apply(one, "s", 1, "")
	c.apply(two, "s", 2, "")
	c.freezes(two)
	c.hasVersions(one, "s", 1)
	c.hasVersions(two, "s", 2)
	c.that(!c.state(one, "s").Settings.Bool(database.Frozen), "a setting of one history changed the other's")
	c.hasTables()
}

func oddSchemaNames(c *check) {
	c.need(c.Schemas, "Target.Schemas is not set")
	c.table(c.db(), "t")
	c.useHistory(database.Options{Schema: "a_new_schema"}, 0)
	c.promised(namesAreData)
	for i, name := range oddIdentifiers {
		c.useHistory(database.Options{Schema: name}, int64(i))
	}
	c.hasTables("t")
}
