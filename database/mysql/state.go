package mysql

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

// stateQuery reads the entries of the set and of Whimbrel's own set, the settings, and the
// database's name, as of one moment. Of failed attempts it reads only one that is the head;
// of what was done with backfills, which changes nothing in a State, nothing. Times
// are cast to text, which no client setting changes.
const stateQuery = `SELECT id, set_name = ?, version, name, direction, checksum, down_checksum, has_down_text, ` + startedAt + `, duration_us, tried
FROM {history?} WHERE set_name IN (?, {own}) AND (direction NOT IN ('failed', 'backfill') OR id = {newest})` + unionAll + `SELECT 0, 0, 0, name, value, reason, changed_by, 0, CAST(changed_at AS char(26)), 0, CAST(until AS char(26)) COLLATE utf8mb4_bin
FROM {settings?} WHERE until IS NULL OR until > UTC_TIMESTAMP(6)
UNION ALL SELECT -2, 0, since_id, ` + journalJSON + `, '', '', '', ` + isHeld + `, '', 0, NULL FROM {journal} AS j USE INDEX (PRIMARY) WHERE set_name = ? AND ` + isOpen + `
UNION ALL SELECT -1, 0, 0, DATABASE(), ` + isolation + `, '', '', 0, '', 0, NULL`

const (
	startedAt = "CAST(started_at AS char(26))"
	unionAll  = "\nUNION ALL "
)

// isolation is the session's isolation level, which MySQL and MariaDB name differently.
const isolation = `CONCAT('' /*!50720 , @@SESSION.transaction_isolation */ /*M!100000 , @@SESSION.tx_isolation */)`

// lockRow begins the name of a settings row that is no setting but registers a set. The lock's name
// follows; the value is the set.
const lockRow = "lock of "

// State reads the state of a set in one message.
func (db *Database) State(ctx context.Context, set string) (st *database.State, err error) {
	err = db.reading(ctx, func(ctx context.Context, c *conn) error {
		st, err = db.committedState(ctx, c, set, nil)
		return err
	})
	return st, err
}

// StateAndHolder implements database.StatusReader. It asks for everything in one message, if that
// may contain several statements.
func (db *Database) StateAndHolder(ctx context.Context, set string) (st *database.State, h database.Holder, held bool, err error) {
	err = db.reading(ctx, func(ctx context.Context, c *conn) error {
		u := &users{}
		if c.wire != nil {
			u = db.usersOf(set)
		}
		st, err = db.committedState(ctx, c, set, &u.oneRow)
		if err != nil || st.Interrupted != nil && st.Interrupted.Held {
			return err
		}
		h, held, err = db.holder(ctx, c, set, u)
		return err
	})
	return st, h, held, err
}

// committedState reads the state on a connection that has no transaction. Before it, in the same
// message, it reads a row of another query, unless that is nil. That is not read if the server
// can't execute it, or accepts only one statement in a message.
func (db *Database) committedState(ctx context.Context, c *conn, set string, first *oneRow) (*database.State, error) {
	if c.wire != nil && !c.wire.refuses {
		st, err := db.stateFrom(ctx, c, set, func(row func(scan func(...any) error) error) error {
			return c.eachOf(ctx, first, db.stateMessage(), []any{set, set, set, set}, row)
		}, "ROLLBACK")
		switch {
		case err == nil, errors.Is(err, errNoHistory):
			return st, nil
		case number(err) == 0, ctx.Err() != nil:
			c.unusable = true // it may have a transaction
			return nil, err
		}
		c.finish("ROLLBACK")
	}
	st, err := db.readState(ctx, c, set)
	if err == nil && c.uncommitted { // the session reads uncommitted rows
		if _, err = c.exec(ctx, "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"); err == nil {
			st, err = db.readState(ctx, c, set)
		}
	}
	if errors.Is(err, errNoHistory) {
		return st, nil
	}
	return st, err
}

// stateMessage returns statements that read what stateQuery does. The server does not convert the
// entries to the types of the other rows, which takes it as long as reading them. All rows are as
// of the moment of the first query, whatever the session's isolation level is. On a connection of
// the driver's own no setting changes times.
func (db *Database) stateMessage() []string {
	entries, rest, _ := strings.Cut(db.sql.state, unionAll)
	entries = strings.Replace(entries, startedAt, "started_at", 1)
	limit := db.opts.ReadTimeout()
	return []string{"SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION READ ONLY", bounded(limit, entries), bounded(limit, rest), "COMMIT"}
}

var errNoHistory = errors.New("the history table does not exist: it was dropped")

func (db *Database) readState(ctx context.Context, c *conn, set string) (*database.State, error) {
	return db.stateFrom(ctx, c, set, func(row func(scan func(...any) error) error) error {
		return c.each(ctx, bounded(db.opts.ReadTimeout(), db.sql.state), []any{set, set, set, set}, row)
	})
}

// stateFrom returns the state of the rows that read reads. If a table is missing, it first executes
// other statements.
func (db *Database) stateFrom(ctx context.Context, c *conn, set string, read func(row func(scan func(...any) error) error) error, after ...string) (*database.State, error) {
	r := newStateReader(set)
	const usual = 1 << 10 // growing a slice would touch several times the memory
	r.events = make([]event, 0, cmp.Or(db.events.Load(), usual))
	defer func() { db.events.Store(int64(max(len(r.events), 1))) }()
	err := read(r.row)
	c.uncommitted = r.isolation == "READ-UNCOMMITTED"
	switch {
	case ctx.Err() != nil && err != nil:
		return nil, err
	case missingTable(err):
		return db.untouched(ctx, c, r.st, after)
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

// untouched returns the state of a target without Whimbrel's tables, after other statements.
func (db *Database) untouched(ctx context.Context, c *conn, st *database.State, after []string) (*database.State, error) {
	var name sql.NullString
	const what = "SELECT DATABASE(), NOT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = DATABASE())"
	if err := c.rowAfter(ctx, after, what, &name, &st.Bare); err != nil {
		return nil, ownError("asking for the session's database", err)
	}
	if !st.Bare {
		if err := db.lost(ctx, c); err != nil {
			return nil, err
		}
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
	columns columns
	into    []any // pointers to the columns
	events  []event
	stored  []database.StoredSetting
	head    head
	journal *database.Journal
	since   int64 // the newest entry of the set when the journal was written

	isolation string // of the session
}

// columns are those of a row. Each row is read into the same ones.
type columns struct {
	id, version, duration                             int64
	mine, hasDown                                     bool
	name, direction, checksum, downChecksum, at, last sql.RawBytes
}

// event is what a State needs of a history entry.
type event struct {
	database.AppliedMigration
	direction, tried database.Direction
}

// entry returns the event for State.Fold.
func (e *event) entry() database.Entry {
	return database.Entry{
		ID: e.EntryID, Version: e.Version, Name: e.Name, Direction: e.direction, Tried: e.tried, Checksum: e.Checksum, DownChecksum: e.DownChecksum,
		HasDownText: e.HasDownText, StartedAt: e.AppliedAt, Duration: e.Duration,
	}
}

func newStateReader(set string) *stateReader {
	r := &stateReader{st: &database.State{Set: set, Applied: &database.AppliedSet{}}}
	c := &r.columns
	r.into = []any{&c.id, &c.mine, &c.version, &c.name, &c.direction, &c.checksum, &c.downChecksum, &c.hasDown, &c.at, &c.duration, &c.last}
	return r
}

func (r *stateReader) row(scan func(...any) error) error {
	if err := scan(r.into...); err != nil {
		return err
	}
	c := &r.columns
	t, err := parseTime(string(c.at))
	if err != nil {
		return err
	}
	switch c.id {
	case -2:
		if r.journal, err = readJournal(c.name); err == nil {
			r.journal.Held, r.since = c.hasDown, c.version
		}
		return err
	case -1:
		r.st.Database, r.isolation = string(c.name), string(c.direction)
		return nil
	case 0:
		return r.setting(database.StoredSetting{Name: string(c.name), Value: string(c.direction), Reason: string(c.checksum), ChangedBy: string(c.downChecksum), ChangedAt: t}, string(c.last))
	}
	return r.event(c, t)
}

// event reads a row that is an entry of the history.
func (r *stateReader) event(c *columns, at time.Time) error {
	e := event{direction: direction(c.direction), tried: direction(c.last)}
	e.EntryID, e.Version, e.Name, e.HasDownText, e.AppliedAt, e.Duration = c.id, c.version, string(c.name), c.hasDown, at, time.Duration(c.duration)*time.Microsecond
	if err := errors.Join(e.Checksum.UnmarshalText(c.checksum), e.DownChecksum.UnmarshalText(c.downChecksum)); err != nil {
		return fmt.Errorf("history entry %d: %w", c.id, err)
	}
	if c.mine {
		r.events = append(r.events, e)
		r.head.mine = max(r.head.mine, c.id)
	}
	if !c.mine || r.st.Set == migration.ReservedSet {
		r.head.own = max(r.head.own, c.id)
		if e.direction == database.Up {
			r.head.tables = max(r.head.tables, e.Version)
		}
	}
	return nil
}

// direction is database.Direction(b) without allocating for the common value.
func direction(b []byte) database.Direction {
	if string(b) == string(database.Up) {
		return database.Up
	}
	return database.Direction(b)
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
	order.By(r.events, func(a, b event) int { return cmp.Compare(a.EntryID, b.EntryID) })
	const most = 1 << 12 // a history can have many entries of few migrations
	r.st.Applied.Grow(min(len(r.events), most))
	for i := range r.events {
		r.st.Fold(r.events[i].entry())
	}
	r.st.Head = r.head.sum()
	s, err := readSeveral(r.journal)
	switch {
	case err != nil:
		return nil, err
	case s != nil:
		r.st.Interrupted = s.next(r.journal, r.endedBy)
	case r.journal != nil && r.endedBy(r.journal) == nil:
		r.st.Interrupted = r.journal // after Fold: the journal is newer
	}
	r.st.Settings = database.NewSettings(r.stored...)
	return r.st, nil
}

// endedBy returns an entry, later than the journal's row, that has ended a run; nil if there is
// none. The row can remain.
func (r *stateReader) endedBy(j *database.Journal) *event {
	for i := len(r.events) - 1; i >= 0 && r.events[i].EntryID > r.since; i-- {
		if j.EndedBy(r.events[i].entry()) {
			return &r.events[i]
		}
	}
	return nil
}
