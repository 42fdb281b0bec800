package mysql

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// tablesVersion is the version of Whimbrel's tables that this build creates and supports.
const tablesVersion = 1

// ddl creates version 1 of all tables, outside a transaction. Times are UTC, whatever the session's
// time_zone is, and not TIMESTAMPs, which end in 2038. The collation must distinguish names that
// differ in trailing blanks.
var ddl = []string{
	`CREATE TABLE IF NOT EXISTS {settings} (
	name varchar(255) NOT NULL,
	value longtext NOT NULL,
	reason longtext NOT NULL,
	changed_by text NOT NULL,
	changed_at datetime(6) NOT NULL,
	until datetime(6),
	PRIMARY KEY (name)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}`,
	"CREATE TABLE IF NOT EXISTS {journal} (\n" + `	set_name varchar(255) NOT NULL,
	lock_name varchar(64) NOT NULL,
	since_id bigint NOT NULL,
	version bigint NOT NULL,
	name text NOT NULL,
	direction varchar(20) NOT NULL,
	checksum varchar(64) NOT NULL,
	statements bigint NOT NULL,
	done bigint NOT NULL,
	done_checksum varchar(64) NOT NULL,
	begun longtext NOT NULL,
` + "	`before` longtext NOT NULL,\n" + `	error longtext NOT NULL,
	started_at datetime(6) NOT NULL,
	updated_at datetime(6) NOT NULL,
	db_user text NOT NULL,
	os_user text NOT NULL,
	host text NOT NULL,
	app text NOT NULL,
	actor text NOT NULL,
	pid bigint NOT NULL,
	PRIMARY KEY (set_name)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}`,
	`CREATE TABLE IF NOT EXISTS {metadata} (
	kind varchar(20) NOT NULL,
	name varchar(500) NOT NULL,
	facts longtext NOT NULL,
	PRIMARY KEY (kind, name)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}`,
	`CREATE TABLE IF NOT EXISTS {history} (
	id bigint NOT NULL AUTO_INCREMENT,
	set_name varchar(255) NOT NULL,
	version bigint NOT NULL,
	name text NOT NULL,
	direction varchar(20) NOT NULL,
	checksum char(64),
	down_checksum char(64),
	up_directives text NOT NULL,
	down_directives text NOT NULL,
	has_down_text boolean NOT NULL,
	started_at datetime(6) NOT NULL,
	duration_us bigint NOT NULL,
	tried varchar(20) NOT NULL,
	error longtext NOT NULL,
	retries int NOT NULL,
	lock_wait_us bigint NOT NULL,
	db_user text NOT NULL,
	os_user text NOT NULL,
	host text NOT NULL,
	app text NOT NULL,
	actor text NOT NULL,
	tool_version text NOT NULL,
	reason longtext NOT NULL,
	remark longtext NOT NULL,
	up_text longtext,
	down_text longtext,
	PRIMARY KEY (id),
	KEY set_name (set_name, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}`,
}

// statements are the texts of queries, with the tables' names filled in.
type statements struct {
	fill  func(string) string
	head  string
	again string // head without triggers
	state string
	entry string // the beginning of the INSERT of a history entry
	hides string // drops a temporary table that hides the history
}

// headColumns are the newest entry of a set and of Whimbrel's own set, the version of Whimbrel's
// tables, and the newest entry when the set's journal was written: −1 if it records no run, NULL if
// it has no row. Next is whether it announces several statements. The rest checks that the other
// tables exist. headTriggers are triggers on any of them.
const headColumns = `{newest}, (SELECT max(id) FROM {history?} WHERE set_name = {own}),
	(SELECT max(version) FROM {history?} WHERE set_name = {own} AND direction = 'up'), (SELECT IF(` + isOpen + `, since_id, -1) FROM {journal?} WHERE set_name = ?),
	EXISTS (SELECT 1 FROM {journal?} WHERE set_name = ? AND done_checksum = '` + severalMark + `'),
	CONCAT(EXISTS (SELECT 1 FROM {settings?}), EXISTS (SELECT 1 FROM {metadata?}))`

const headTriggers = `, CONCAT_WS(', ', {triggers})`

// triggersOn returns expressions for the name of a trigger on each of the tables, or NULL. Each
// contains its table as a constant, so that the server doesn't read other tables.
func triggersOn(tables ...string) string {
	var all []string
	for _, table := range tables {
		all = append(all, "(SELECT min(trigger_name) FROM information_schema.triggers WHERE event_object_schema = DATABASE() AND event_object_table = "+literal(table)+")")
	}
	return strings.Join(all, ", ")
}

// newStatements fills in the names. For reading, {history?} and the like name an index: a view in
// place of a table has none, so the server refuses it before evaluating any of it.
func newStatements(n database.TableNames) statements {
	fill := strings.NewReplacer(
		"{newest}", "(SELECT id FROM "+quote(n.History)+" USE INDEX (PRIMARY, set_name) WHERE set_name = ? AND direction <> 'backfill' ORDER BY id DESC LIMIT 1)",
		"{history}", quote(n.History), "{settings}", quote(n.Settings), "{metadata}", quote(n.Metadata), "{journal}", quote(n.Journal),
		"{lease}", quote(leaseName(n)), "{backfills}", quote(n.Backfills), "{lanes}", quote(n.Lanes),
		"{backfills?}", quote(n.Backfills)+" USE INDEX (PRIMARY)", "{lanes?}", quote(n.Lanes)+" USE INDEX (PRIMARY)",
		"{history?}", quote(n.History)+" USE INDEX (PRIMARY, set_name)", "{settings?}", quote(n.Settings)+" USE INDEX (PRIMARY)",
		"{metadata?}", quote(n.Metadata)+" USE INDEX (PRIMARY)", "{journal?}", quote(n.Journal)+" USE INDEX (PRIMARY)", "{lease?}", quote(leaseName(n))+" USE INDEX (PRIMARY)",
		"{own}", "'"+migration.ReservedSet+"'",
		"{triggers}", triggersOn(n.History, n.Settings, n.Journal, n.Metadata, n.Backfills, n.Lanes, leaseName(n)),
	).Replace
	return statements{
		fill: fill, head: fill(headColumns + headTriggers), again: fill(headColumns + ", ''"), state: fill(stateQuery), entry: fill(drivers.InsertEntry("{history}")), hides: fill(dropTemporary + "{history}"),
	}
}

// collation returns the binary collation of utf8mb4 that counts trailing blanks, if the server has
// it.
func (f *facts) collation() string {
	var major, minor, patch int
	fmt.Sscanf(f.version, "%d.%d.%d", &major, &minor, &patch)
	switch {
	case f.maria:
		return "utf8mb4_nopad_bin"
	case strings.Contains(f.version, "TiDB"):
		return "utf8mb4_bin"
	case major > 8, major == 8 && (minor > 0 || patch >= 17):
		return "utf8mb4_0900_bin"
	}
	return "utf8mb4_bin"
}

// ensureTables creates Whimbrel's tables unless they exist, under the lock of Whimbrel's own set.
// It returns the id of the history's first entry, if it has made that one. It waits for the lock up
// to the limit in opts, unless the guard holds it already. MySQL can't roll DDL back, which does no
// harm here: after an interruption, the next process creates the missing tables.
func (db *Database) ensureTables(ctx context.Context, g *guard, held bool, opts database.LockOptions) (first int64, err error) {
	if !held {
		free, err := db.lockOwn(ctx, g, opts)
		if locked := (*database.LockedError)(nil); errors.As(err, &locked) {
			locked.What = "the creation of Whimbrel's tables"
		}
		if err != nil {
			return 0, err
		}
		defer free()
	}
	g.mu.Lock() // and unlock before the lock is released
	defer g.mu.Unlock()
	start := time.Now()
	if err := db.lost(ctx, g.c); err != nil {
		return 0, err
	}
	var there, had bool
	var user, now string
	query := db.sql.fill("SELECT EXISTS (SELECT 1 FROM {history?} WHERE set_name = {own}), ") + db.hadRows() + ", " + userSQL + ", " + nowSQL
	if err := db.createTables(ctx, g.c, query, &there, &had, &user, &now); err != nil || there {
		return 0, err
	}
	if had {
		return 0, db.emptiedError()
	}
	at, err := parseTime(now)
	if err != nil {
		return 0, err
	}
	e := database.Entry{
		Set: migration.ReservedSet, Version: tablesVersion, Name: "tables", Direction: database.Up, Remark: "Whimbrel's own tables",
		StartedAt: at, Duration: time.Since(start),
	}
	e, err = db.insert(ctx, g.c, e, user, "", 0)
	return e.ID, err
}

// createTables creates the tables that don't exist, and reads the row of a query.
func (db *Database) createTables(ctx context.Context, c *conn, query string, to ...any) error {
	f, err := db.learn(ctx, c)
	if err != nil {
		return err
	}
	var texts []string
	for _, text := range append([]string{leaseTable}, ddl...) {
		texts = append(texts, strings.ReplaceAll(db.sql.fill(text), "{collation}", f.collation()))
	}
	err = ownError("creating Whimbrel's tables", c.rowAfter(ctx, texts, query, to...))
	switch number(err) {
	case 1142, 1044, 1227:
		return fmt.Errorf("%w; or let another user make the first migration, and grant SELECT, INSERT, UPDATE and DELETE on the tables", err)
	}
	return err
}

const (
	userSQL = `SUBSTRING_INDEX(USER(), '@', 1)`
	nowSQL  = `CAST(UTC_TIMESTAMP(6) AS char(26))`
)

// insert appends an entry to the history, and returns it as stored. fence is a condition that is
// true as long as the migration lock is held; "" for none. limit limits the wait for locks; 0
// leaves that to the session.
func (db *Database) insert(ctx context.Context, c *conn, e database.Entry, user, fence string, limit time.Duration) (database.Entry, error) {
	if err := checkSet(e.Set); err != nil {
		return e, err
	}
	e = drivers.Complete(e, user, db.process)
	query := db.sql.entry + "SELECT " + drivers.EntryParams + " FROM DUAL"
	if fence != "" {
		query += " WHERE " + fence
	}
	if limit > 0 {
		query = ownWaits(limit, query)
	}
	res, err := c.exec(ctx, query, drivers.EntryValues(e, formatTime)...)
	if err != nil {
		return e, ownError(recording(e), err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return e, &database.LockLostError{Set: e.Set, Err: errNotHeld}
	}
	e.ID, err = res.LastInsertId()
	e.UpText, e.DownText = "", ""
	return e, err
}
