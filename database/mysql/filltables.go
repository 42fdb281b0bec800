package mysql

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// fillDDL creates the tables of backfills, outside a transaction, when the first one starts. The
// lanes come first: if there are backfills, both exist. Keys are JSON arrays; "" is none.
var fillDDL = []string{
	`CREATE TABLE IF NOT EXISTS {lanes} (
	set_name varchar(255) NOT NULL,
	version bigint NOT NULL,
	id bigint NOT NULL,
	after_key longtext NOT NULL,
	last_key longtext NOT NULL,
	at_key longtext NOT NULL,
	worker varchar(255) NOT NULL,
	leased_until datetime(6),
	token bigint NOT NULL,
	attempts bigint NOT NULL,
	error longtext NOT NULL,
	not_before datetime(6),
	failed boolean NOT NULL,
	done boolean NOT NULL,
	batch bigint NOT NULL,
	rows_done bigint NOT NULL,
	batches bigint NOT NULL,
	PRIMARY KEY (set_name, version, id)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}`,
	`CREATE TABLE IF NOT EXISTS {backfills} (
	set_name varchar(255) NOT NULL,
	version bigint NOT NULL,
	name text NOT NULL,
	entry_id bigint NOT NULL,
	table_name text NOT NULL,
	key_columns text NOT NULL,
	state varchar(20) NOT NULL,
	detached boolean NOT NULL,
	batch bigint NOT NULL,
	target_us bigint NOT NULL,
	parallel bigint NOT NULL,
	pause_us bigint NOT NULL,
	timeout_us bigint NOT NULL,
	attempts bigint NOT NULL,
	pass bigint NOT NULL,
	head_key longtext NOT NULL,
	last_key longtext NOT NULL,
	rows_estimated bigint NOT NULL,
	rows_done bigint NOT NULL,
	batches bigint NOT NULL,
	next_lane bigint NOT NULL,
	throttled_by longtext NOT NULL,
	throttled_at datetime(6),
	error longtext NOT NULL,
	started_at datetime(6) NOT NULL,
	updated_at datetime(6) NOT NULL,
	finished_at datetime(6),
	PRIMARY KEY (set_name, version)
) ENGINE=InnoDB ROW_FORMAT=DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}`,
}

// timeColumns are those of the columns that are times. They are read as text.
var timeColumns = []string{"leased_until", "not_before", "throttled_at", "started_at", "updated_at", "finished_at"}

// readable returns the columns as they are read.
func readable(columns []string) string {
	all := make([]string, len(columns))
	for i, c := range columns {
		if all[i] = c; slices.Contains(timeColumns, c) {
			all[i] = "CAST(" + c + " AS char(26))"
		}
	}
	return strings.Join(all, ", ")
}

// timeValue is a time for a column that can be NULL.
func timeValue(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// replacing returns a statement that stores a row.
func replacing(table string, columns []string, values []any) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = anyLiteral(v)
	}
	return "REPLACE INTO " + table + " (" + strings.Join(columns, ", ") + ") VALUES (" + strings.Join(texts, ", ") + ")"
}

// anyLiteral is literalOf for any session's character set.
func anyLiteral(v any) string {
	if s, ok := v.(string); ok {
		return hexText(s)
	}
	return literalOf(v)
}

// createFills creates the tables of backfills unless they exist. The guard executes that: on the
// worker it would commit the transaction. Several processes can do so at once. It reports whether
// it created them.
func (h *hold) createFills(ctx context.Context) (created bool, err error) {
	h.guard.mu.Lock()
	defer h.guard.mu.Unlock()
	f, err := h.db.learn(ctx, h.guard.c)
	if err != nil {
		return false, err
	}
	var n int
	err = h.guard.c.row(ctx, "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ("+literal(h.db.names.Backfills)+", "+literal(h.db.names.Lanes)+")", nil, &n)
	if err != nil || n == len(fillDDL) {
		return false, ownError("looking for the tables of backfills", err)
	}
	return true, h.db.limitLockWait(ctx, h.lockWait, func(ctx context.Context) error {
		for _, text := range fillDDL {
			if _, err := h.guard.c.exec(ctx, strings.ReplaceAll(h.db.sql.fill(text), "{collation}", f.collation())); err != nil {
				return ownError("creating the tables of backfills", err)
			}
		}
		return nil
	})
}

// fillRow is a backfill with its lanes, as the tables have it.
type fillRow struct {
	drivers.StoredBackfill
	lanes []drivers.StoredLane
}

func (f *fillRow) whole() database.Backfill { return f.Whole(f.lanes) }

// ofBackfill is a condition for the rows of a backfill.
func ofBackfill(id database.BackfillID) string {
	return "set_name = " + hexText(id.Set) + " AND version = " + number64(id.Version)
}

// readFills reads the backfills that a condition selects. locking ends the query that reads them;
// the lanes are read as of the moment after that.
func (db *Database) readFills(ctx context.Context, c *conn, where, unfinished, locking string) (all []fillRow, err error) {
	at := map[database.BackfillID]int{}
	query := "SELECT " + readable(drivers.BackfillColumns) + ", " + nowSQL + db.sql.fill(" FROM {backfills?} WHERE ") + where + unfinished + " ORDER BY set_name, version" + mycatalog.Everything + locking
	err = c.each(ctx, bounded(db.opts.ReadTimeout(), query), nil, func(scan func(...any) error) error {
		var now string
		b, err := drivers.ScanBackfill(func(to ...any) error { return scan(append(to, &now)...) }, parseTime)
		if err == nil {
			b.Now, err = parseTime(now)
		}
		at[b.BackfillID] = len(all)
		all = append(all, fillRow{StoredBackfill: b})
		return err
	})
	if err == nil && len(all) > 0 {
		query := "SELECT " + readable(drivers.LaneColumns) + db.sql.fill(" FROM {lanes?} WHERE ") + where + " ORDER BY set_name, version, id"
		err = c.each(ctx, bounded(db.opts.ReadTimeout(), query), nil, func(scan func(...any) error) error {
			id, l, err := drivers.ScanLane(scan, parseTime)
			if i, ok := at[id]; ok {
				all[i].lanes = append(all[i].lanes, l)
			}
			return err
		})
	}
	switch {
	case missingTable(err) && ctx.Err() == nil:
		return nil, nil // nobody has started a backfill
	case foreignTable(err):
		return nil, db.foreignTable(err)
	}
	return all, ownError("reading the backfills", err)
}

// lockFill reads a backfill in the open transaction, and locks its row, but not its lanes: a worker
// locks its own for as long as a batch takes.
func (db *Database) lockFill(ctx context.Context, c *conn, id database.BackfillID) (*fillRow, error) {
	all, err := db.readFills(ctx, c, ofBackfill(id), "", " FOR UPDATE")
	switch {
	case err != nil:
		return nil, err
	case len(all) == 0:
		return nil, noBackfill(id)
	}
	return &all[0], nil
}

func noBackfill(id database.BackfillID) error {
	return &drivers.Reworded{Message: fmt.Sprintf("the database has no backfill %d of set %q", id.Version, id.Set), Err: database.ErrNoBackfill}
}

// putFill stores a backfill.
func (db *Database) putFill(ctx context.Context, c *conn, f *fillRow) error {
	_, err := c.exec(ctx, replacing(quote(db.names.Backfills), drivers.BackfillColumns, f.Values(timeValue)))
	return ownError("storing the backfill", err)
}

// putLane stores a lane that is new.
func (db *Database) putLane(ctx context.Context, c *conn, id database.BackfillID, l drivers.StoredLane) error {
	_, err := c.exec(ctx, replacing(quote(db.names.Lanes), drivers.LaneColumns, l.Values(id, timeValue)))
	return ownError("storing a lane of the backfill", err)
}

// replaceLane changes a lane if it is still as it was read, and reports whether it is. A batch that
// is under way keeps it waiting.
func (db *Database) replaceLane(ctx context.Context, c *conn, id database.BackfillID, was, is drivers.StoredLane) (bool, error) {
	values := is.Values(id, timeValue)
	var set []string
	for i, column := range drivers.LaneColumns[3:] {
		set = append(set, column+" = "+anyLiteral(values[i+3]))
	}
	res, err := c.exec(ctx, "UPDATE "+quote(db.names.Lanes)+" SET "+strings.Join(set, ", ")+" WHERE "+ofBackfill(id)+" AND id = "+number64(was.ID)+
		" AND token = "+number64(was.Token)+" AND worker = "+hexText(was.Worker)+" AND batches = "+number64(was.Batches)+" AND NOT done")
	if err != nil {
		return false, ownError("storing a lane of the backfill", err)
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// sweepLanes adds what the lanes that are done have done to the backfill, and drops them.
func (db *Database) sweepLanes(ctx context.Context, c *conn, f *fillRow) error {
	left := f.lanes[:0:0]
	var gone []string
	for _, l := range f.lanes {
		if !l.Done {
			left = append(left, l)
			continue
		}
		f.RowsDone += l.Rows
		f.Batches += l.Batches
		gone = append(gone, number64(l.ID))
	}
	if len(gone) == 0 {
		return nil
	}
	f.lanes = left
	_, err := c.exec(ctx, "DELETE FROM "+quote(db.names.Lanes)+" WHERE "+ofBackfill(f.BackfillID)+" AND id IN ("+strings.Join(gone, ", ")+")")
	return ownError("removing lanes that are done", err)
}
