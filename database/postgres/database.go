package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Database is an open PostgreSQL target: a schema of a database.
type Database struct {
	src   source
	opts  database.Options
	names database.TableNames
	// App is Options.App, or the connections' application_name
	process drivers.Process
	sayApp  bool // the connections don't send Options.App themselves

	location string      // where the connections lead, for messages; "" if unknown
	narrow   atomic.Bool // the database can't store every character: see kept

	life *drivers.Lifetime

	mu     sync.Mutex
	at     location       // of Whimbrel's tables, once found
	config *pgconn.Config // of the first one's connection
	guard  idleGuardConn

	begins atomic.Pointer[beginning] // of the last Tx
	keys   atomic.Pointer[lockKeys]  // the last that the server computed
	first  atomic.Int64              // the entry with which it created its tables; 0: it did not
	fully  atomic.Bool               // the tables were once not location.untouched

	events atomic.Int64 // how many entries the last state was made of, at least 1; 0: not known

	wal walTimes // positions that Signals has seen

	last    atomic.Pointer[head]   // that was read last
	unknown atomic.Pointer[server] // the server that received a COMMIT whose answer was lost

	url     string     // that Open was called with; "" for a caller's connections
	cloning sync.Mutex // guards clones
	clones  *cloner    // once Clone or Scratch was called

	creator *Database // whose Scratch or Clone has created this one; nil for any other
	created string    // the name that it has
}

// Dialect returns sqltext.PostgreSQL.
func (db *Database) Dialect() sqltext.Dialect { return sqltext.PostgreSQL }

// Tables returns the names of Whimbrel's tables.
func (db *Database) Tables() []string { return db.names.Lower() }

// Close cancels running statements, ends open Txs and Runs, and closes the pool if the driver
// started it.
func (db *Database) Close() error {
	if db.life.Close() {
		db.closeGuard()
		db.cloning.Lock()
		defer db.cloning.Unlock()
		if db.clones != nil {
			db.clones.end()
		}
		db.src.close()
	}
	return nil
}

// opened registers a Tx or a Run, and where its connection leads. After an error it has ended.
func (db *Database) opened(h *drivers.Held, end func(), c *conn) error {
	err := h.Open(db.life, end)
	if err == nil {
		err = db.pin(c)
	}
	if err != nil {
		h.Abandon()
	}
	return err
}

// pin notes where the first connection leads.
func (db *Database) pin(c *conn) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.config != nil {
		return nil
	}
	config, err := c.pinned(db.life.Closing)
	db.config = config
	return err
}

func (db *Database) acquire(ctx context.Context) (*conn, error) {
	if db.life.Closing.Err() != nil {
		return nil, drivers.ErrClosed
	}
	if err := db.checkNames(); err != nil {
		return nil, err
	}
	l, err := db.handle(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{handle: l, closing: db.life.Closing}
	err = c.use(func(pc *pgconn.PgConn) error {
		db.narrow.Store(narrow(pc))
		return checkSession(pc)
	})
	if err != nil {
		c.release()
		return nil, err
	}
	return c, nil
}

// handle takes a connection from the source. If an open Tx or Run of this Database may have the
// last one, it opens a temporary connection instead: waiting would never end.
func (db *Database) handle(ctx context.Context) (handle, error) {
	db.mu.Lock()
	var config *pgconn.Config
	if db.life.Len() > 0 && db.src.exhausted() {
		config = db.config.Copy()
	}
	db.mu.Unlock()
	if config == nil {
		return db.src.acquire(ctx)
	}
	h, err := db.src.prepare(ctx, config)
	return h, drivers.Stopped(ctx, err)
}

// checkNames refuses names that the server would truncate, so that two could become one.
func (db *Database) checkNames() error {
	const most = 63
	for _, name := range append(db.ownTables(), db.opts.Schema) {
		if len(name) > most {
			return fmt.Errorf("the name %q has %d bytes, but PostgreSQL keeps only %d; choose a shorter schema or history table", name, len(name), most)
		}
	}
	return nil
}

// checkSession refuses a connection that would change the meaning of scripts. It sends no query:
// the server reported all this on connecting.
func checkSession(c *pgconn.PgConn) error {
	switch encoding := c.ParameterStatus("client_encoding"); {
	case c.TxStatus() != 'I':
		return errors.New("the caller's connection is in a transaction, but Whimbrel needs one of its own: commit or roll back first")
	case encoding != "" && encoding != "UTF8" && encoding != "SQL_ASCII":
		return fmt.Errorf("the connection's client_encoding is %s, but scripts are UTF-8: connect with client_encoding=UTF8", encoding)
	case c.ParameterStatus("standard_conforming_strings") == "off":
		return errors.New("standard_conforming_strings is off, which changes where strings end and scripts are split: connect with standard_conforming_strings=on")
	}
	return nil
}

// firstSchema is an SQL expression for the first schema of the search path for permanent tables;
// NULL if there is none.
const firstSchema = `(SELECT s FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS path(s, n) WHERE s OPERATOR(pg_catalog.!~) '^pg_' ORDER BY n LIMIT 1)`

// table returns a table's quoted name, with its schema as far as that is known.
func table(schema, name string) string {
	if schema == "" {
		return quote(name)
	}
	return quote(schema) + "." + quote(name)
}

func quote(name string) string {
	return `"` + strings.ReplaceAll(strings.ReplaceAll(name, "\x00", ""), `"`, `""`) + `"`
}

// State reads the state of a set in one round trip: the first query finds the tables, and sets the
// search path to them for the second.
func (db *Database) State(ctx context.Context, set string) (*database.State, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.giveBack()
	return db.findState(ctx, c, set, nil)
}

// StateAndHolder implements database.StatusReader. If nobody holds the lock of the set, it takes
// one round trip, as State does.
func (db *Database) StateAndHolder(ctx context.Context, set string) (st *database.State, h database.Holder, held bool, err error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, h, false, err
	}
	defer c.giveBack()
	if st, err = db.findState(ctx, c, set, &held); err == nil && held {
		h, held, err = db.findHolder(ctx, c, db.located(), set)
	}
	return st, h, held, err
}

// findState reads a state outside any transaction. held, unless it is nil, becomes whether a
// process holds the lock of the set.
func (db *Database) findState(ctx context.Context, c *conn, set string, held *bool) (st *database.State, err error) {
	start := time.Now()
	l, err := db.atTables(c, func(l location, before ...query) (err error) {
		st, err = db.readState(ctx, c, l, set, held, before...)
		return err
	})
	switch {
	case err != nil:
		return nil, db.busy(ctx, c, l, set, time.Since(start), err)
	case !l.made():
		st = &database.State{Set: set, Applied: &database.AppliedSet{}, Database: l.database, Settings: database.NewSettings(), ServerMajor: c.serverMajor()}
		if err := c.pipeline(ctx, bareQuery(&st.Bare)); err != nil {
			return nil, err
		}
		return st, nil
	}
	st.Database = l.database
	return st, nil
}

// readState reads a state from tables at a known place. For held see findState.
func (db *Database) readState(ctx context.Context, c *conn, l location, set string, held *bool, before ...query) (*database.State, error) {
	r := stateReader{st: &database.State{Set: set, Applied: &database.AppliedSet{}, Database: l.database, ServerMajor: c.serverMajor()}}
	const usual = 1 << 10 // growing a slice would touch several times the memory
	r.events = make([]event, 0, cmp.Or(db.events.Load(), usual))
	defer func() { db.events.Store(int64(max(len(r.events), 1))) }()
	queries := append(before, db.stateQuery(l.schema, set, &r))
	if held != nil {
		queries = append(queries, db.lockedQuery(l.schema, set, held))
	}
	if err := c.pipeline(ctx, queries...); err != nil {
		return nil, err
	}
	if r.open != nil { // rare, so the lock is not looked for in the first query, whose planning costs time
		if err := c.pipeline(ctx, heldQuery(r.key, &r.open.Held)); err != nil {
			return nil, err
		}
	}
	st, err := r.finish()
	if err == nil {
		db.last.Store(&r.head)
	}
	return st, err
}

// heldQuery looks for the lock of an interrupted run's process, by its key.
func heldQuery(key int64, held *bool) query {
	return query{
		sql: `SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock' AND l.objsubid = 1
	AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND (l.classid::bigint << 32 | l.objid::bigint) = $1::bigint)`,
		args: []arg{number(key)},
		row:  into(held),
	}
}

// stateQuery reads the entries of the set and of Whimbrel's own set, the settings and the
// interrupted run, which have no id, in one statement, so as of one moment. A process that restarts
// all the time adds many failed attempts: it reads only one that is the head. What is done with
// backfills (Control) is recorded without the lock, and is left out. The rows come in any
// order; nearly always it is the right one, and sorting them would take the server a fourth more.
func (db *Database) stateQuery(schema, set string, r *stateReader) query {
	return query{
		path: found,
		sql: `SELECT id, set_name OPERATOR(pg_catalog.=) $1, version, name, direction, checksum, down_checksum, has_down_text, started_at, duration_us
FROM ` + table(schema, db.names.History) + ` WHERE set_name OPERATOR(pg_catalog.=) ANY (ARRAY[$1, '` + migration.ReservedSet + `']) AND (direction OPERATOR(pg_catalog.<>) ALL (ARRAY['failed', 'backfill'])
	OR id OPERATOR(pg_catalog.=) (SELECT id FROM ` + table(schema, db.names.History) + ` WHERE set_name OPERATOR(pg_catalog.=) $1 AND direction OPERATOR(pg_catalog.<>) 'backfill' ORDER BY id DESC LIMIT 1))
UNION ALL SELECT NULL, NULL, NULL, pg_catalog.to_json(s)::pg_catalog.text, NULL, NULL, NULL, NULL, until, NULL
FROM ` + table(schema, db.names.Settings) + ` s WHERE until IS NULL OR until OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp()
UNION ALL SELECT NULL, true, NULL, pg_catalog.to_json(j)::pg_catalog.text, NULL, NULL, NULL, NULL, NULL, lock_key
FROM ` + table(schema, db.names.Journal) + ` j WHERE set_name OPERATOR(pg_catalog.=) $1 AND ` + isOpen,
		args:    []arg{keptAsASCII(set)},
		often:   true,
		formats: []int16{1, 1, 1, 0, 0, 0, 0, 1, 1, 1},
		fail:    db.foreignHistory,
		row: func(row *row) error {
			switch {
			case row.values[0] == nil && row.values[1] != nil:
				return r.journal(row)
			case row.values[0] == nil:
				return r.setting(row)
			}
			return r.event(row)
		},
	}
}

// foreignHistory explains an error of reading a history with the wrong columns.
func (db *Database) foreignHistory(pg *pgconn.PgError) error {
	switch pg.Code {
	case "42703":
		return &database.TablesError{
			Problem: database.TablesForeign, Table: quote(db.names.History),
			Msg:  fmt.Sprintf("the table %q, or one beside it, is not one of Whimbrel's, or has lost columns: %s", db.names.History, pg.Message),
			Hint: "restore it, or name another history table", Err: pg,
		}
	case "55P03":
		return &tablesBusyError{error: ownError("", pg)}
	}
	return ownError("", pg)
}

// stateReader builds a State from the rows.
type stateReader struct {
	st     *database.State
	events []event // of the set
	stored []database.StoredSetting
	head   head
	open   *database.Journal
	key    int64 // of the lock that the process of the open journal holds while it lives
}

// event is what a State needs of a history entry.
type event struct {
	database.AppliedMigration
	direction database.Direction
}

// entry returns the event for State.Fold.
func (e *event) entry() database.Entry {
	return database.Entry{
		ID: e.EntryID, Version: e.Version, Name: e.Name, Direction: e.direction, Checksum: e.Checksum, DownChecksum: e.DownChecksum,
		HasDownText: e.HasDownText, StartedAt: e.AppliedAt, Duration: e.Duration,
	}
}

// head contains the newest entries of a set and of Whimbrel's own set. Ids are assigned before the
// commit, so the higher of the two can't serve as the Head: it may be visible before the lower.
// Each of them only grows, since each set has its lock, and so does their sum.
type head struct {
	mine, own int64
	tables    int64 // the version of Whimbrel's tables
	journal   int64 // 1 if the journal only has a claim, 2 if a run was interrupted
	first     int64 // the entry with which this Database created its tables; 0 if it did not
}

func (h head) sum() int64 { return h.mine + h.own }

func (h head) found() database.Found {
	return database.Found{Head: h.sum(), Interrupted: h.journal > 1, New: h.mine == 0 && h.own == h.first && h.journal == 0}
}

// check returns an error if the history has no version, since it lost rows, or that of a newer
// Whimbrel.
func (h head) check() error {
	if h.own == 0 {
		return &database.TablesError{
			Problem: database.TablesEmpty,
			Msg:     "the history lacks its first entry, that of Whimbrel's tables: its rows were deleted, or left out of a dump (pg_dump --schema-only)",
			Hint:    "restore its rows, or record what the schema has as a baseline",
		}
	}
	if h.tables > tablesVersion {
		return &database.TablesNewerError{Found: h.tables, Known: tablesVersion}
	}
	return nil
}

// setting reads a row of the settings, which is in the form of the journal's.
func (r *stateReader) setting(row *row) error {
	row.next = 3
	var s struct {
		Name, Value, Reason string
		ChangedBy           string    `json:"changed_by"`
		ChangedAt           time.Time `json:"changed_at"`
	}
	if err := json.Unmarshal(row.bytes(), &s); err != nil {
		return fmt.Errorf("a row of the settings is damaged: %w", err)
	}
	row.next = 8
	r.stored = append(r.stored, database.StoredSetting{
		Name: s.Name, Value: unescape(s.Value), Reason: unescape(s.Reason), ChangedBy: s.ChangedBy, ChangedAt: s.ChangedAt.UTC(), Until: row.time(),
	})
	return row.err
}

func (r *stateReader) journal(row *row) (err error) {
	row.next = 3
	if r.open, err = row.journal(); err == nil {
		row.next = 9
		r.key = row.int64()
	}
	return err
}

func (r *stateReader) event(row *row) (err error) {
	id, mine := row.int64(), row.bool()
	e := event{AppliedMigration: database.AppliedMigration{EntryID: id, Version: row.int64(), Name: row.kept()}, direction: direction(row.bytes())}
	if err := e.Checksum.UnmarshalText(row.bytes()); err != nil {
		return err
	}
	if err := e.DownChecksum.UnmarshalText(row.bytes()); err != nil {
		return err
	}
	e.HasDownText, e.AppliedAt = row.bool(), row.time()
	e.Duration = microseconds(row.int64())
	if mine {
		r.head.mine = max(r.head.mine, id)
		r.events = append(r.events, e)
	}
	if !mine || r.st.Set == migration.ReservedSet {
		r.head.own = max(r.head.own, id)
		if e.direction == database.Up {
			r.head.tables = max(r.head.tables, e.Version)
		}
	}
	return row.err
}

// direction is database.Direction(b) without allocating for the common values.
func direction(b []byte) database.Direction {
	switch string(b) {
	case string(database.Up):
		return database.Up
	case string(database.Down):
		return database.Down
	}
	return database.Direction(b)
}

func (r *stateReader) finish() (*database.State, error) {
	if err := r.head.check(); err != nil {
		return nil, err
	}
	byID := func(a, b event) int { return cmp.Compare(a.EntryID, b.EntryID) }
	if !slices.IsSortedFunc(r.events, byID) {
		order.By(r.events, byID)
	}
	const most = 1 << 12 // a history can have many entries of few migrations
	r.st.Applied.Grow(min(len(r.events), most))
	for i := range r.events {
		r.st.Fold(r.events[i].entry())
	}
	r.st.Head = r.head.sum()
	r.st.Settings = database.NewSettings(r.stored...)
	r.st.Interrupted = r.open
	return r.st, nil
}
