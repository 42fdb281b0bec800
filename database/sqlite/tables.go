package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// tablesVersion is the version of Whimbrel's tables that this build creates and supports.
const tablesVersion = 1

// guardRow returns the name of the row in the settings that marks the Run holding a set's lock. No
// setting has a space in its name.
func guardRow(set string) string { return "run of " + set }

// statements are the texts of queries, with the tables' names filled in.
type statements struct {
	create   []string
	exist    string // counts the existing tables
	standing string
	insert   string // its beginning; see insertEntry
	state    string
	history  string // oldest first
	newest   string // newest first
	setting  string // inserts or updates
	unset    string
	put      string // the journal of a set
	close    string // the journal of a set
	fail     string // the journal of a set
	unguard  string
	runs     string // the marks of all Runs
	sets     string // the sets of the history and of interrupted runs, except one
	objects  string // not Whimbrel's

	facts, factsTable, forgetFacts, addFact string // of the metadata

	fills fillStatements
}

// ddl creates version 1 of the tables. Times are UTC in RFC 3339 with microseconds, checksums 64
// hexadecimal digits. The texts come last, so that reading other columns skips them.
var ddl = []string{
	`CREATE TABLE main.{history} (
	id INTEGER PRIMARY KEY AUTOINCREMENT,
	set_name TEXT NOT NULL,
	version INTEGER NOT NULL,
	name TEXT NOT NULL,
	direction TEXT NOT NULL,
	checksum TEXT,
	down_checksum TEXT,
	up_directives TEXT NOT NULL DEFAULT '',
	down_directives TEXT NOT NULL DEFAULT '',
	has_down_text INTEGER NOT NULL DEFAULT 0,
	started_at TEXT NOT NULL,
	duration_us INTEGER NOT NULL,
	tried TEXT NOT NULL DEFAULT '',
	error TEXT NOT NULL DEFAULT '',
	retries INTEGER NOT NULL DEFAULT 0,
	lock_wait_us INTEGER NOT NULL DEFAULT 0,
	db_user TEXT NOT NULL DEFAULT '',
	os_user TEXT NOT NULL DEFAULT '',
	host TEXT NOT NULL DEFAULT '',
	app TEXT NOT NULL DEFAULT '',
	actor TEXT NOT NULL DEFAULT '',
	tool_version TEXT NOT NULL DEFAULT '',
	reason TEXT NOT NULL DEFAULT '',
	remark TEXT NOT NULL DEFAULT '',
	up_text TEXT,
	down_text TEXT
)`,
	`CREATE INDEX main.{history_set} ON {history} (set_name, id)`,
	`CREATE TABLE main.{settings} (
	name TEXT PRIMARY KEY NOT NULL,
	value TEXT NOT NULL,
	reason TEXT NOT NULL DEFAULT '',
	changed_by TEXT NOT NULL DEFAULT '',
	changed_at TEXT NOT NULL,
	until TEXT NOT NULL DEFAULT ''
)`,
	`CREATE TABLE main.{journal} (
	set_name TEXT PRIMARY KEY NOT NULL,
	version INTEGER NOT NULL,
	name TEXT NOT NULL,
	direction TEXT NOT NULL,
	checksum TEXT NOT NULL,
	statements INTEGER NOT NULL,
	done INTEGER NOT NULL,
	done_checksum TEXT NOT NULL,
	begun TEXT NOT NULL,
	before TEXT NOT NULL,
	error TEXT NOT NULL,
	started_at TEXT NOT NULL,
	updated_at TEXT NOT NULL,
	db_user TEXT NOT NULL,
	os_user TEXT NOT NULL,
	host TEXT NOT NULL,
	app TEXT NOT NULL,
	actor TEXT NOT NULL,
	pid INTEGER NOT NULL
)`,
}

// stateEntry is the entry of an applied migration in the state query. A checksum that is missing is
// a dash. The length of the name, in bytes, comes before it, since a name can contain anything.
const stateEntry = `concat_ws(' ', id, version, direction, has_down_text, duration_us, started_at, ifnull(checksum, '-'), ifnull(down_checksum, '-'), octet_length(name), name)`

// stateEntries are the rows of all these entries. The first ones are one text, because each row
// that the client reads costs as much as the fields of an entry. The others are a row each, because
// a text that SQLite builds takes its memory several times.
const stateEntries = `SELECT group_concat(` + stateEntry + `, '') FROM main.{history} WHERE set_name = ?1 AND id <= 16384 AND ` + entryCounts + `
	UNION ALL SELECT ` + stateEntry + ` FROM main.{history} WHERE set_name = ?1 AND id > 16384 AND ` + entryCounts

// entryCounts selects the entries that a state is made of, and the newest one, for the head. NOT IN
// would take SQLite longer than two comparisons.
const entryCounts = `(direction <> 'failed' AND direction <> 'backfill' OR id = (SELECT max(id) FROM main.{history} WHERE set_name = ?1))`

// foreignViews lists views in the place of Whimbrel's tables. Triggers don't affect reading.
const foreignViews = `ifnull((SELECT group_concat('view ' || name, ', ') FROM main.sqlite_schema WHERE type = 'view' AND name COLLATE NOCASE IN ({all})), '')`

// foreignObjects lists foreign objects on Whimbrel's tables, or in their place: triggers and views,
// including the session's.
const foreignObjects = `ifnull((SELECT group_concat(type || ' ' || name, ', ') FROM (
	SELECT type, name FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name COLLATE NOCASE IN ({all}) OR type = 'view' AND name COLLATE NOCASE IN ({all})
	UNION ALL SELECT type, name FROM temp.sqlite_schema WHERE type = 'trigger' AND tbl_name COLLATE NOCASE IN ({all}))), '')`

// foreignError returns an error if Whimbrel's tables have foreign objects.
func foreignError(foreign string) error {
	if foreign == "" {
		return nil
	}
	return fmt.Errorf("one of Whimbrel's tables has, or was replaced by, a foreign object, which could change what is recorded: %s; find out who created it, and drop it", foreign)
}

func newStatements(n database.TableNames) statements {
	all := literal(n.History) + ", " + literal(n.Settings) + ", " + literal(n.Journal) + ", " + literal(n.Metadata) + ", " + literal(n.Backfills) + ", " + literal(n.Lanes)
	fill := filler(map[string]string{
		"foreign": strings.ReplaceAll(foreignObjects, "{all}", all),
		"views":   strings.ReplaceAll(foreignViews, "{all}", all),
		"history": quote(n.History), "settings": quote(n.Settings),
		"history_set": quote(n.History + "_set"),
		"own":         "'" + migration.ReservedSet + "'",
		"journal":     quote(n.Journal),
		"names":       literal(n.History) + ", " + literal(n.Settings) + ", " + literal(n.Journal),
		"metadata":    quote(n.Metadata),
		"backfills":   quote(n.Backfills), "lanes": quote(n.Lanes), "fills": literal(n.Backfills) + ", " + literal(n.Lanes),
		"all": all,
	})
	s := statements{
		exist: fill(`SELECT count(*) FROM main.sqlite_schema WHERE name COLLATE NOCASE IN ({names})`),
		standing: fill(`SELECT
	ifnull((SELECT max(id) FROM main.{history} WHERE set_name = ?1), 0),
	ifnull((SELECT max(id) FROM main.{history} WHERE set_name = {own}), 0),
	ifnull((SELECT max(version) FROM main.{history} WHERE set_name = {own} AND direction = 'up'), 0),
	ifnull((SELECT reason FROM main.{settings} WHERE name = ?2), ''),
	EXISTS (SELECT 1 FROM main.{journal} WHERE set_name = ?1), {foreign}`),
		insert: fill("INSERT INTO main.{history} ("),
		state: fill(`SELECT concat_ws(' ', -1, ifnull(max(id), 0), ifnull(max(iif(direction = 'up', version, 0)), 0), {views}) FROM main.{history} WHERE set_name = {own}
	UNION ALL SELECT '0 ' || json_array(name, value, reason, changed_by, changed_at, until) FROM main.{settings}
	UNION ALL SELECT '-2 ' || EXISTS (SELECT 1 FROM main.{settings} WHERE name = ` + literal(guardRow("")) + ` || ?1) || ' ' ||
		json_object('version', version, 'name', name, 'direction', direction, 'checksum', checksum, 'statements', statements,
		'done', done, 'done_checksum', done_checksum, 'begun', begun, 'before', before, 'error', error, 'started_at', started_at, 'updated_at', updated_at,
		'db_user', db_user, 'os_user', os_user, 'host', host, 'app', app, 'actor', actor, 'pid', pid) FROM main.{journal} WHERE set_name = ?1
	UNION ALL ` + stateEntries),
		history: fill(`SELECT id, set_name, version, name, direction, checksum, down_checksum, iif(?4, up_text, NULL), iif(?4, down_text, NULL),
	up_directives, down_directives, has_down_text, +started_at, duration_us, tried, error, retries, lock_wait_us, db_user, os_user, host, app, actor, tool_version, reason, remark
	FROM main.{history} WHERE id > ?1 AND (?2 = '' OR set_name = ?2) AND (?3 IS NULL OR version = ?3) AND (?6 = 0 OR id = ?6) AND started_at >= ?7
	ORDER BY id LIMIT ?5`),
		setting: fill(`INSERT INTO main.{settings} (name, value, reason, changed_at, until, changed_by) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
	ON CONFLICT (name) DO UPDATE SET value = ?2, reason = ?3, changed_at = ?4, until = ?5, changed_by = ?6`),
		put: fill(`INSERT OR REPLACE INTO main.{journal} (set_name, version, name, direction, checksum, statements, done, done_checksum, begun, before,
	error, started_at, updated_at, db_user, os_user, host, app, actor, pid) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
		close: fill(`DELETE FROM main.{journal} WHERE set_name = ?1 AND
	(?2 OR version = ?3 AND version <> -1 OR direction = ?4 AND name = ?5)`),
		fail:    fill(`UPDATE main.{journal} SET error = ?5 WHERE set_name = ?1 AND version = ?2 AND direction = ?3 AND name = ?4`),
		unset:   fill(`DELETE FROM main.{settings} WHERE name = ?`),
		unguard: fill(`DELETE FROM main.{settings} WHERE name = ? AND value = ?`),
		runs:    fill(`SELECT name, reason FROM main.{settings} WHERE name LIKE ` + literal(guardRow("%"))),
		sets:    fill(`SELECT set_name FROM main.{history} WHERE set_name NOT IN ({own}, ?1) UNION SELECT set_name FROM main.{journal} WHERE set_name <> ?1`),
		objects: fill(`SELECT o.type, o.name FROM (
	SELECT iif(sql LIKE 'CREATE VIRTUAL %', 'virtual table', type) AS type, name FROM main.sqlite_schema
	WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' AND name COLLATE NOCASE NOT IN ({all})
	AND (type IN ('view', 'table') OR type = 'trigger' AND tbl_name COLLATE NOCASE IN ({all}))) AS o`),
		facts:       fill(`SELECT kind, name, facts FROM main.{metadata}`),
		factsTable:  fill(metadataTable),
		forgetFacts: fill(`DELETE FROM main.{metadata}`),
		fills:       newFillStatements(fill),
		addFact:     fill(`INSERT INTO main.{metadata} (kind, name, facts) VALUES (?, ?, ?)`),
	}
	s.newest = strings.Replace(strings.Replace(s.history, "id > ?1", "id < ?1", 1), "ORDER BY id", "ORDER BY id DESC", 1)
	for _, text := range ddl {
		s.create = append(s.create, fill(text))
	}
	return s
}

// filler returns a function that replaces the names in braces of a text. A strings.Replacer takes
// several times as long, at each start.
func filler(texts map[string]string) func(string) string {
	return func(text string) string {
		var b strings.Builder
		b.Grow(len(text) + 128)
		for {
			before, rest, found := strings.Cut(text, "{")
			b.WriteString(before)
			if !found {
				return b.String()
			}
			var name string
			name, text, _ = strings.Cut(rest, "}")
			b.WriteString(texts[name])
		}
	}
}

// quote formats an identifier, literal a string.
func quote(name string) string   { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
func literal(text string) string { return `'` + strings.ReplaceAll(text, `'`, `''`) + `'` }

const timeLayout = "2006-01-02T15:04:05.000000Z"

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

func parseTime(s string) (time.Time, error) {
	if t, ok := readTime(s); ok {
		return t, nil
	}
	return time.Parse(timeLayout, s)
}

// readTime is time.Parse for timeLayout, several times as fast. It may refuse what that accepts.
func readTime(s string) (time.Time, bool) {
	if len(s) != len(timeLayout) || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' || s[26] != 'Z' {
		return time.Time{}, false
	}
	ok := true
	number := func(from, to int) (n int) {
		for _, c := range []byte(s[from:to]) {
			ok = ok && '0' <= c && c <= '9'
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := number(0, 4), number(5, 7), number(8, 10)
	hour, minute, second := number(11, 13), number(14, 16), number(17, 19)
	t := time.Date(year, time.Month(month), day, hour, minute, second, number(20, 26)*1000, time.UTC)
	return t, ok && int(t.Month()) == month && t.Day() == day && hour < 24 && minute < 60 && second < 60
}

// missing reports whether err means that Whimbrel's tables do not exist. If other objects have
// their names, it returns an error.
func (d *db) missing(ctx context.Context, c *conn, err error) (bool, error) {
	if code(err) != lib.SQLITE_ERROR {
		return false, d.connectError(err)
	}
	var n int
	if cerr := c.ask(d.sql.exist).Scan(&n); cerr != nil {
		return false, d.connectError(cerr)
	}
	names := fmt.Sprintf("%s, %s and %s", d.names.History, d.names.Settings, d.names.Journal)
	switch {
	case n == 0:
		return true, nil
	case n == 3 && strings.HasPrefix(message(err), "no such table"):
		return false, errAppeared
	case n == 2 && strings.HasSuffix(message(err), "."+d.names.Journal):
		return false, fmt.Errorf("the last of the tables %s is not in %s (%s): another version of Whimbrel created the others, or they are damaged; use that version, or choose another name for the history",
			names, d.target(), message(err))
	}
	return false, fmt.Errorf("the tables %s in %s are not Whimbrel's, or are damaged (%s); choose another name for the history",
		names, d.target(), message(err))
}

// standing contains the facts that Begin needs.
type standing struct {
	head    int64
	guard   *guardMark // of the Run that holds, or held, the lock
	fresh   bool       // the tables were just created
	foreign string     // foreign objects on the tables
	open    bool       // the set has an interrupted run

	recalled bool // the connection has just committed a Tx of the set
}

// guardMark is the row that a Run keeps in the settings while it holds the lock.
type guardMark struct {
	Token string    `json:"token"`
	PID   int64     `json:"pid"`
	Host  string    `json:"host"`
	App   string    `json:"app"`
	Since time.Time `json:"since"`
}

func (g *guardMark) holder() database.Holder {
	return database.Holder{PID: g.PID, Host: g.Host, App: g.App, Since: g.Since}
}

// stand reads the facts that Begin needs, with one query.
func (d *db) stand(c *conn, set string) (st standing, err error) {
	var own, version int64
	var mark string
	if err := c.ask(d.sql.standing, set, guardRow(set)).Scan(&st.head, &own, &version, &mark, &st.open, &st.foreign); err != nil {
		return st, err
	}
	if version > tablesVersion {
		return st, &database.TablesNewerError{Found: version, Known: tablesVersion}
	}
	if own == 0 {
		return st, d.emptied()
	}
	st.head = max(st.head, own)
	if mark != "" {
		st.guard = &guardMark{}
		if err := json.Unmarshal([]byte(mark), st.guard); err != nil {
			return st, fmt.Errorf("row %q of table %s: %w", guardRow(set), d.names.Settings, err)
		}
	}
	return st, nil
}

// emptied is the error for a history without its first entry, that of Whimbrel's tables: its rows
// are gone.
func (d *db) emptied() error {
	return &database.TablesError{
		Problem: database.TablesEmpty, Table: quote(d.names.History),
		Msg:  fmt.Sprintf("the history %q lacks its first entry, that of Whimbrel's tables: its rows were deleted, or left out of a copy", d.names.History),
		Hint: "restore its rows, or record what the schema has as a baseline",
	}
}

// createTables creates Whimbrel's tables in the open transaction, and records that.
func (d *db) createTables(c *conn) (head int64, err error) {
	start := time.Now()
	for _, text := range d.sql.create {
		if err := c.do(text); err != nil {
			return 0, d.ownError("creating Whimbrel's tables", err)
		}
	}
	return d.begins(c, start)
}

// begins records the first entry, that of Whimbrel's tables.
func (d *db) begins(c *conn, start time.Time) (head int64, err error) {
	e, err := d.insert(c, database.Entry{
		Set: migration.ReservedSet, Version: tablesVersion, Name: "tables", Direction: database.Up,
		StartedAt: start, Duration: time.Since(start),
	})
	return e.ID, err
}

// insert appends an entry to the history, and returns it as stored, without its texts.
func (d *db) insert(c *conn, e database.Entry) (database.Entry, error) {
	e = drivers.Complete(e, d.process.OSUser, d.process)
	id, err := c.insert(d.insertEntry(e))
	if err != nil {
		return e, d.ownError(fmt.Sprintf("recording %s of version %d in %s", e.Direction, e.Version, d.names.History), err)
	}
	e.ID, e.UpText, e.DownText = id, "", ""
	return e, nil
}

// insertEntry returns the statement that inserts an entry. SQLite prepares it anew for each
// migration, so it leaves out the columns that have their defaults: an empty text, 0 or NULL.
func (d *db) insertEntry(e database.Entry) (query string, values []sqldriver.NamedValue) {
	all := drivers.EntryValues(e, formatTime)
	values = make([]sqldriver.NamedValue, 0, len(all))
	b := strings.Builder{}
	b.Grow(512)
	b.WriteString(d.sql.insert)
	for i, column := range entryColumns {
		v, isDefault := clientValue(all[i])
		if isDefault && !required[column] {
			continue
		}
		if len(values) > 0 {
			b.WriteString(", ")
		}
		b.WriteString(column)
		values = append(values, sqldriver.NamedValue{Ordinal: len(values) + 1, Value: v})
	}
	b.WriteString(") VALUES (?")
	for range len(values) - 1 {
		b.WriteString(", ?")
	}
	b.WriteString(")")
	return b.String(), values
}

var entryColumns = strings.Split(drivers.EntryColumns, ", ")

// required are the columns of the history without a default.
var required = map[string]bool{"set_name": true, "version": true, "name": true, "direction": true, "started_at": true, "duration_us": true}

// clientValue converts a value to one of the client's types, and reports whether it is the default
// of its column.
func clientValue(v any) (value sqldriver.Value, isDefault bool) {
	switch is := v.(type) {
	case string:
		return v, is == ""
	case int64:
		return v, is == 0
	case bool:
		return v, !is
	case int:
		return int64(is), is == 0
	case sql.NullString:
		if !is.Valid {
			return nil, true
		}
		return is.String, false
	}
	return v, false
}
