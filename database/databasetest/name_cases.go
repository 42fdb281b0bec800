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
		e.Name, e.Note, e.ToolVersion = name, name, name
		c.enter(db, name, e)
		r := c.guard(db, name)
		e.Version += 1000
		_, err := r.Record(c.ctx, e)
		c.ok(err, "Run.Record")
		c.ok(r.Close(c.ctx), "Run.Close")
	}
	for i, name := range odd {
		got := c.state(db, name).Applied.Versions()
		c.that(slices.Equal(got, []int64{int64(i), int64(i) + 1000}), "set %q has the versions %d", name, got)
		entries := c.history(db, database.HistoryQuery{Set: name})
		c.that(len(entries) == 2, "the history of set %q has %d entries, want 2", name, len(entries))
		for _, e := range entries {
			for _, got := range []string{e.Set, e.Name, e.Note, e.ToolVersion} {
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
	entries := c.history(db, database.HistoryQuery{Set: "s", Texts: true})
	c.that(len(entries) == len(texts), "the history has %d entries, want %d", len(entries), len(texts))
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
		entries := c.history(db, database.HistoryQuery{Version: &v})
		c.that(len(entries) == 1, "History of version %d has %d entries, want 1", v, len(entries))
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
	what := fmt.Sprintf("with the history %q in schema %q: ", opts.HistoryTable, opts.Schema)
	db := c.open(opts)
	c.that(c.state(db, "s").Head == 0, "%sHead is not 0", what)
	tx, _, err := db.Begin(c.ctx, "s", patient)
	c.ok(err, what+"Begin")
	c.ok(tx.Record(c.ctx, up(version)), what+"Tx.Record")
	c.commit(tx)
	r, _, err := db.Guard(c.ctx, "s", patient)
	c.ok(err, what+"Guard")
	_, err = r.Record(c.ctx, up(version+1000))
	c.ok(err, what+"Run.Record")
	c.ok(r.Close(c.ctx), what+"Run.Close")
	entries := 2
	if storesSettings(db) {
		c.ok(database.UpdateSetting(c.ctx, db, freeze), what+"UpdateSetting")
		entries++
	}
	again := c.open(opts)
	st := c.state(again, "s")
	c.that(slices.Equal(st.Applied.Versions(), []int64{version, version + 1000}), "%sthe versions are %d", what, st.Applied.Versions())
	c.that(st.Settings.Bool(database.Frozen) == storesSettings(db), "%sthe setting is not stored", what)
	got := len(c.history(again, database.HistoryQuery{}))
	c.that(got == entries, "%sthe history has %d entries, want %d", what, got, entries)
	c.ok(db.Close(), what+"Close")
	c.ok(again.Close(), what+"Close")
}

func twoHistories(c *check) {
	one, two := c.db(), c.open(database.Options{HistoryTable: "other_history"})
	c.apply(one, "s", 1, "")
	c.apply(two, "s", 2, "")
	if storesSettings(two) {
		c.ok(database.UpdateSetting(c.ctx, two, freeze), "UpdateSetting")
	}
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
