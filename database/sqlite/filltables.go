package sqlite

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// fillDDL creates the tables of backfills, when the first one starts. Times are those of the
// history, and keys JSON arrays; both can be empty.
var fillDDL = []string{
	`CREATE TABLE IF NOT EXISTS main.{backfills} (
	set_name TEXT NOT NULL,
	version INTEGER NOT NULL,
	name TEXT NOT NULL,
	entry_id INTEGER NOT NULL,
	table_name TEXT NOT NULL,
	key_columns TEXT NOT NULL,
	state TEXT NOT NULL,
	detached INTEGER NOT NULL,
	batch INTEGER NOT NULL,
	target_us INTEGER NOT NULL,
	parallel INTEGER NOT NULL,
	pause_us INTEGER NOT NULL,
	timeout_us INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	pass INTEGER NOT NULL,
	head_key TEXT NOT NULL,
	last_key TEXT NOT NULL,
	rows_estimated INTEGER NOT NULL,
	rows_done INTEGER NOT NULL,
	batches INTEGER NOT NULL,
	next_lane INTEGER NOT NULL,
	throttled_by TEXT NOT NULL,
	throttled_at TEXT NOT NULL,
	error TEXT NOT NULL,
	started_at TEXT NOT NULL,
	updated_at TEXT NOT NULL,
	finished_at TEXT NOT NULL,
	PRIMARY KEY (set_name, version)
) WITHOUT ROWID`,
	`CREATE TABLE IF NOT EXISTS main.{lanes} (
	set_name TEXT NOT NULL,
	version INTEGER NOT NULL,
	id INTEGER NOT NULL,
	after_key TEXT NOT NULL,
	last_key TEXT NOT NULL,
	at_key TEXT NOT NULL,
	worker TEXT NOT NULL,
	leased_until TEXT NOT NULL,
	token INTEGER NOT NULL,
	attempts INTEGER NOT NULL,
	error TEXT NOT NULL,
	not_before TEXT NOT NULL,
	failed INTEGER NOT NULL,
	done INTEGER NOT NULL,
	batch INTEGER NOT NULL,
	rows_done INTEGER NOT NULL,
	batches INTEGER NOT NULL,
	PRIMARY KEY (set_name, version, id)
) WITHOUT ROWID`,
}

// frozenNow is an expression for the setting at a time, the parameter whose number follows.
const frozenNow = `EXISTS (SELECT 1 FROM main.{settings} WHERE name = '` + database.Frozen + `' AND value <> 'false' AND (until = '' OR until > ?`

// fillStatements are the texts of queries about backfills.
type fillStatements struct {
	create                   []string
	exist                    string
	backfills, lanes         string // followed by a condition
	putBackfill, putLane     string
	dropBackfill, dropLanes  string // of a version
	dropAll                  []string
	dropDone                 string
	startedBy, batchStanding string
	frozen                   string
}

func newFillStatements(fill func(string) string) fillStatements {
	columns := func(all []string) string { return strings.Join(all, ", ") }
	params := func(all []string) string { return "(?" + strings.Repeat(", ?", len(all)-1) + ")" }
	f := fillStatements{
		exist:     fill(`SELECT count(*) = 2 FROM main.sqlite_schema WHERE type = 'table' AND name COLLATE NOCASE IN ({fills})`),
		backfills: fill("SELECT " + columns(drivers.BackfillColumns) + " FROM main.{backfills}"),
		lanes:     fill("SELECT " + columns(drivers.LaneColumns) + " FROM main.{lanes}"),
		putBackfill: fill("INSERT OR REPLACE INTO main.{backfills} (" + columns(drivers.BackfillColumns) + ") VALUES " +
			params(drivers.BackfillColumns)),
		putLane:      fill("INSERT OR REPLACE INTO main.{lanes} (" + columns(drivers.LaneColumns) + ") VALUES " + params(drivers.LaneColumns)),
		dropBackfill: fill("DELETE FROM main.{backfills} WHERE set_name = ? AND version = ?"),
		dropLanes:    fill("DELETE FROM main.{lanes} WHERE set_name = ? AND version = ?"),
		dropDone:     fill("DELETE FROM main.{lanes} WHERE set_name = ? AND version = ? AND done"),
		dropAll:      []string{fill("DELETE FROM main.{lanes}"), fill("DELETE FROM main.{backfills}")},
		startedBy:    fill("UPDATE main.{backfills} SET entry_id = ? WHERE set_name = ? AND version = ?"),
		frozen:       fill(`SELECT ` + frozenNow + `1))`),
		// one row if the worker has the lane
		batchStanding: fill(`SELECT b.state, b.timeout_us, ` + frozenNow + `6))
	FROM main.{lanes} AS l JOIN main.{backfills} AS b ON b.set_name = l.set_name AND b.version = l.version
	WHERE l.set_name = ?1 AND l.version = ?2 AND l.id = ?3 AND l.worker = ?4 AND l.token = ?5`),
	}
	for _, text := range fillDDL {
		f.create = append(f.create, fill(text))
	}
	return f
}

func timeText(t time.Time) any {
	if t.IsZero() {
		return ""
	}
	return formatTime(t)
}

// hasFills reports whether the tables of backfills exist.
func (c *conn) hasFills(d *db) (has bool, err error) {
	return has, d.ownError("looking for backfills", c.ask(d.sql.fills.exist).Scan(&has))
}

// fill is a backfill with its lanes, as the tables have it.
type fill struct {
	drivers.StoredBackfill
	lanes []drivers.StoredLane
}

// whole returns the backfill as the contract describes it.
func (f *fill) whole() database.Backfill { return f.Whole(f.lanes) }

// readFills reads the backfills that a query selects, in the open transaction.
func (d *db) readFills(ctx context.Context, c *conn, q database.BackfillQuery, now time.Time) (all []fill, err error) {
	if has, err := c.hasFills(d); err != nil || !has {
		return nil, err
	}
	where, args := " WHERE true", []any{}
	if q.Set != "" {
		where, args = where+" AND set_name = ?", append(args, q.Set)
	}
	if q.Version != nil {
		where, args = where+" AND version = ?", append(args, *q.Version)
	}
	unfinished := ""
	if q.Unfinished {
		unfinished = " AND state <> '" + string(database.BackfillDone) + "'"
	}
	at := map[database.BackfillID]int{}
	err = drivers.Each(ctx, c, d.sql.fills.backfills+where+unfinished+" ORDER BY set_name, version", args, func(scan func(...any) error) error {
		b, err := drivers.ScanBackfill(scan, parseTime)
		b.Now = now
		at[b.BackfillID] = len(all)
		all = append(all, fill{StoredBackfill: b})
		return err
	})
	if err == nil && len(all) > 0 {
		err = drivers.Each(ctx, c, d.sql.fills.lanes+where+" ORDER BY set_name, version, id", args, func(scan func(...any) error) error {
			id, l, err := drivers.ScanLane(scan, parseTime)
			if i, ok := at[id]; ok {
				all[i].lanes = append(all[i].lanes, l)
			}
			return err
		})
	}
	return all, d.ownError("reading the backfills", err)
}

// readFill reads one backfill.
func (d *db) readFill(ctx context.Context, c *conn, id database.BackfillID, now time.Time) (*fill, error) {
	all, err := d.readFills(ctx, c, database.BackfillQuery{Set: id.Set, Version: &id.Version}, now)
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, noBackfill(id)
	}
	return &all[0], nil
}

func noBackfill(id database.BackfillID) error {
	return &drivers.Reworded{Message: "the database has no backfill " + strconv.FormatInt(id.Version, 10) + " of set " + strconv.Quote(id.Set), Err: database.ErrNoBackfill}
}

// sweep adds what the lanes that are done have done to the backfill, and drops them.
func (d *db) sweep(c *conn, f *fill) error {
	left := f.lanes[:0:0]
	for _, l := range f.lanes {
		if !l.Done {
			left = append(left, l)
			continue
		}
		f.RowsDone += l.Rows
		f.Batches += l.Batches
	}
	if len(left) == len(f.lanes) {
		return nil
	}
	f.lanes = left
	return c.do(d.sql.fills.dropDone, f.Set, f.Version)
}

func (d *db) putFill(c *conn, f *fill) error {
	return d.ownError("storing the backfill", c.write(d.sql.fills.putBackfill, f.Values(timeText)...))
}

func (d *db) putLane(c *conn, id database.BackfillID, l drivers.StoredLane) error {
	return d.ownError("storing a lane of the backfill", c.write(d.sql.fills.putLane, l.Values(id, timeText)...))
}
