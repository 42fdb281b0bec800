package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// stateQuery reads the entries of the set and of Whimbrel's own set, the settings, and the
// database's name, as of one moment. Of failed attempts it reads only one that is the head. Times
// are cast to text, which no client setting changes.
const stateQuery = `SELECT id, set_name = ?, version, name, direction, checksum, down_checksum, has_down_text, CAST(started_at AS char(26)), duration_us, tried
FROM {history?} WHERE set_name IN (?, {own}) AND (direction <> 'failed' OR id = (SELECT max(id) FROM {history?} WHERE set_name = ?))
UNION ALL SELECT 0, 0, 0, name, value, reason, changed_by, 0, CAST(changed_at AS char(26)), 0, CAST(until AS char(26))
FROM {settings?} WHERE until IS NULL OR until > UTC_TIMESTAMP(6)
UNION ALL SELECT -2, 0, since_id, ` + journalJSON + `, '', '', '', ` + isHeld + `, '', 0, NULL FROM {journal} AS j USE INDEX (PRIMARY) WHERE set_name = ? AND ` + isOpen + `
UNION ALL SELECT -1, 0, 0, DATABASE(), ` + isolation + `, '', '', 0, '', 0, NULL`

// isolation is the session's isolation level, which MySQL and MariaDB name differently.
const isolation = `CONCAT('' /*!50720 , @@SESSION.transaction_isolation */ /*M!100000 , @@SESSION.tx_isolation */)`

// lockRow begins the name of a settings row that is no setting but registers a set. The lock's name
// follows; the value is the set.
const lockRow = "lock of "

// State reads the state of a set in one query.
func (db *Database) State(ctx context.Context, set string) (st *database.State, err error) {
	err = db.reading(ctx, func(ctx context.Context, c *conn) error {
		st, err = db.readState(ctx, c, set)
		if err == nil && c.uncommitted { // the session reads uncommitted rows
			if _, err = c.exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"); err == nil {
				st, err = db.readState(ctx, c, set)
			}
		}
		return err
	})
	if errors.Is(err, errNoHistory) {
		return st, nil
	}
	return st, err
}

var errNoHistory = errors.New("the history table does not exist: it was dropped")

func (db *Database) readState(ctx context.Context, c *conn, set string) (*database.State, error) {
	r := stateReader{st: &database.State{Set: set, Applied: &database.AppliedSet{}}}
	err := c.each(ctx, bounded(db.opts.ReadTimeout(), db.sql.state), []any{set, set, set, set}, r.row)
	c.uncommitted = r.isolation == "READ-UNCOMMITTED"
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, err
	case missingTable(err):
		return db.untouched(ctx, c, r.st)
	case foreignTable(err):
		return nil, db.foreignTable(err)
	case err != nil:
		return nil, ownError("reading the history", err)
	case r.head.own == 0:
		if err := db.emptied(ctx, c); err != nil {
			return nil, err
		}
	}
	db.mu.Lock()
	db.named = cmp.Or(db.named, r.st.Database)
	db.mu.Unlock()
	return r.finish()
}

// untouched returns the state of a target without Whimbrel's tables.
func (db *Database) untouched(ctx context.Context, c *conn, st *database.State) (*database.State, error) {
	if err := db.lost(ctx, c); err != nil {
		return nil, err
	}
	var name sql.NullString
	if err := c.row(ctx, "SELECT DATABASE()", nil, &name); err != nil {
		return nil, ownError("asking for the session's database", err)
	}
	st.Database = name.String
	db.mu.Lock()
	db.named = cmp.Or(db.named, st.Database)
	db.mu.Unlock()
	return st, errNoHistory
}

// head contains the newest entries of a set and of Whimbrel's own set. Ids are assigned before the
// commit, so the higher of the two can't serve as the Head: it may be visible before the lower.
// Each of them only grows, since each set has its lock, and so does their sum.
type head struct {
	mine, own int64
	tables    int64 // the version of Whimbrel's tables
}

func (h head) sum() int64 { return h.mine + h.own }

// check returns an error if the history has no version, or one that is unknown.
func (h head) check() error {
	switch {
	case h.tables > tablesVersion:
		return &database.TablesNewerError{Found: h.tables, Known: tablesVersion}
	case h.own == 0:
		return errors.New("the history table has no entry of its own tables: Whimbrel did not create it, or its rows were deleted")
	}
	return nil
}

// stateReader builds a State from the rows.
type stateReader struct {
	st      *database.State
	events  []database.Entry
	stored  []database.StoredSetting
	head    head
	journal *database.Journal
	since   int64 // the newest entry of the set when the journal was written

	isolation string // of the session
}

func (r *stateReader) row(scan func(...any) error) error {
	var id, version, duration int64
	var mine, hasDown bool
	var name, direction, checksum, downChecksum, at, last sql.RawBytes
	if err := scan(&id, &mine, &version, &name, &direction, &checksum, &downChecksum, &hasDown, &at, &duration, &last); err != nil {
		return err
	}
	t, err := parseTime(string(at))
	if err != nil {
		return err
	}
	switch id {
	case -2:
		if r.journal, err = readJournal(name); err == nil {
			r.journal.Held, r.since = hasDown, version
		}
		return err
	case -1:
		r.st.Database, r.isolation = string(name), string(direction)
		return nil
	case 0:
		return r.setting(database.StoredSetting{Name: string(name), Value: string(direction), Reason: string(checksum), ChangedBy: string(downChecksum), ChangedAt: t}, string(last))
	}
	e := database.Entry{
		ID: id, Version: version, Name: string(name), Direction: database.Direction(direction), Tried: database.Direction(last), HasDownText: hasDown,
		StartedAt: t, Duration: time.Duration(duration) * time.Microsecond,
	}
	if err := errors.Join(e.Checksum.UnmarshalText(checksum), e.DownChecksum.UnmarshalText(downChecksum)); err != nil {
		return fmt.Errorf("event %d of the history: %w", id, err)
	}
	if mine {
		r.events = append(r.events, e)
		r.head.mine = max(r.head.mine, id)
	}
	if !mine || r.st.Set == migration.ReservedSet {
		r.head.own = max(r.head.own, id)
		if e.Direction == database.Up {
			r.head.tables = max(r.head.tables, e.Version)
		}
	}
	return nil
}

func (r *stateReader) setting(s database.StoredSetting, until string) (err error) {
	if strings.HasPrefix(s.Name, lockRow) {
		return nil
	}
	s.Until, err = parseTime(until)
	r.stored = append(r.stored, s)
	return err
}

func (r *stateReader) finish() (*database.State, error) {
	if r.head.tables > tablesVersion {
		return nil, &database.TablesNewerError{Found: r.head.tables, Known: tablesVersion}
	}
	slices.SortFunc(r.events, func(a, b database.Entry) int { return cmp.Compare(a.ID, b.ID) })
	for _, e := range r.events {
		r.st.Fold(e)
	}
	r.st.Head = r.head.sum()
	if !r.ended() {
		r.st.Interrupted = r.journal // after Fold: the journal is newer
	}
	r.st.Settings = database.NewSettings(r.stored...)
	return r.st, nil
}

// ended reports whether a later entry has ended the run of the journal. The row can remain.
func (r *stateReader) ended() bool {
	return r.journal != nil && slices.ContainsFunc(r.events, func(e database.Entry) bool { return e.ID > r.since && r.journal.EndedBy(e) })
}
