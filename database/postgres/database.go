package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Database is one open PostgreSQL target: a schema of a database.
type Database struct {
	src   source
	opts  database.Options
	names database.TableNames
	host  string // of this process

	mu     sync.Mutex
	schema string // where Whimbrel's tables are; "" until the server has said
	closed bool
}

// Dialect returns sqltext.PostgreSQL.
func (db *Database) Dialect() sqltext.Dialect { return sqltext.PostgreSQL }

// Tables returns the names of Whimbrel's own tables.
func (db *Database) Tables() []string { return db.names.Lower() }

// Close closes the pool if the driver started it.
func (db *Database) Close() error {
	db.mu.Lock()
	was := db.closed
	db.closed = true
	db.mu.Unlock()
	if !was {
		db.src.close()
	}
	return nil
}

var errClosed = errors.New("the database is closed")

func (db *Database) acquire(ctx context.Context) (*conn, error) {
	db.mu.Lock()
	closed := db.closed
	db.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	l, err := db.src.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{l}, nil
}

// knownSchema is where the tables are, "" while only the server knows.
func (db *Database) knownSchema() string {
	if db.opts.Schema != "" {
		return db.opts.Schema
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.schema
}

func (db *Database) learnSchema(s string) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.schema == "" {
		db.schema = s
	}
}

// locate learns the schema from the server, unless it is known.
func (db *Database) locate(ctx context.Context, c *conn) (string, error) {
	if s := db.knownSchema(); s != "" {
		return s, nil
	}
	err := c.pipeline(ctx, query{sql: "SELECT current_schema()", row: func(r *row) error {
		db.learnSchema(r.text())
		return nil
	}})
	if err != nil {
		return "", err
	}
	if s := db.knownSchema(); s != "" {
		return s, nil
	}
	return "", errNoSchema
}

var errNoSchema = errors.New("no schema of the search path exists, so there is no place for Whimbrel's tables; create one, or name a schema")

// table returns a table's quoted name, with its schema as far as that is known.
func table(schema, name string) string {
	if schema == "" {
		return quote(name)
	}
	return quote(schema) + "." + quote(name)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// settingTimeout bounds the wait for the lock of Whimbrel's own set.
const settingTimeout = 15 * time.Second

// State reads the state of a set, in one round trip.
//
// As long as the schema is not known the tables are named without one; whether the
// search path then led to the tables of the first schema is part of the question.
func (db *Database) State(ctx context.Context, set string) (*database.State, error) {
	c, err := db.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer c.release()
	known := db.knownSchema()
	st, err := db.readState(ctx, c, known, set)
	if errors.Is(err, errElsewhere) {
		st, err = db.readState(ctx, c, db.knownSchema(), set)
	}
	return st, err
}

// errElsewhere says that an unqualified name led to another schema's tables.
var errElsewhere = errors.New("the search path leads to tables in another schema")

func (db *Database) readState(ctx context.Context, c *conn, schema, set string) (*database.State, error) {
	r := stateReader{st: &database.State{Set: set, Applied: &database.Migrations{}}}
	queries := append([]query{db.whereQuery(schema, &r)}, db.stateQueries(schema, set, &r)...)
	err := c.pipeline(ctx, queries...)
	if r.elsewhere {
		return nil, errElsewhere
	}
	if missingTable(err) {
		return &database.State{Set: set, Applied: &database.Migrations{}}, nil
	}
	if err != nil {
		return nil, err
	}
	return r.finish()
}

// whereQuery asks where the tables would be, and whether names without a schema lead
// there.
func (db *Database) whereQuery(schema string, r *stateReader) query {
	if schema != "" {
		return query{sql: "SELECT 1"}
	}
	return query{
		sql:  `SELECT s, to_regclass(format('%I.%I', s, $1::text))::oid IS NOT DISTINCT FROM to_regclass(quote_ident($1::text))::oid FROM (SELECT current_schema() AS s) AS w`,
		args: []arg{text(db.names.History)},
		row: func(row *row) error {
			db.learnSchema(row.text())
			r.elsewhere = !row.boolean() && db.knownSchema() != ""
			return row.err
		},
	}
}

// stateQueries read the settings, and the events of the set and of Whimbrel's own.
func (db *Database) stateQueries(schema, set string, r *stateReader) []query {
	return []query{
		{
			sql:     "SELECT name, value, reason, changed_by, changed_at FROM " + table(schema, db.names.Settings),
			formats: []int16{0, 0, 0, 0, 1},
			row:     r.setting,
		},
		{
			sql: "SELECT id, set_name = $1, version, name, direction, checksum, down_checksum, down_text IS NOT NULL, started_at, duration_us FROM " +
				table(schema, db.names.History) + " WHERE set_name IN ($1, '" + migration.ReservedSet + "') ORDER BY id",
			args:    []arg{text(set)},
			formats: []int16{0, 0, 0, 0, 0, 0, 0, 0, 1, 0},
			row:     r.event,
		},
	}
}

// stateReader makes a State of the answers.
type stateReader struct {
	st        *database.State
	stored    []database.StoredSetting
	tables    int64 // the version of Whimbrel's own tables
	head      head
	elsewhere bool
}

// head is the newest event of a set, and of Whimbrel's own. Ids are handed out before
// the commit, so the higher of the two would not do as a Head: it may be there while the
// lower is still to come. Each of them only grows, as the locks of the two sets see to,
// and so does their sum, with either.
type head struct{ mine, own int64 }

func (h head) sum() int64 { return h.mine + h.own }

func (r *stateReader) setting(row *row) error {
	s := database.StoredSetting{Name: row.text(), Value: row.text(), Reason: row.text(), ChangedBy: row.text(), ChangedAt: row.time()}
	r.stored = append(r.stored, s)
	return row.err
}

func (r *stateReader) event(row *row) (err error) {
	id, mine := row.number(), row.boolean()
	e := database.Event{ID: id, Version: row.number(), Name: row.text(), Direction: database.Direction(row.text())}
	if err := e.Checksum.UnmarshalText(row.bytes()); err != nil {
		return err
	}
	if err := e.DownChecksum.UnmarshalText(row.bytes()); err != nil {
		return err
	}
	e.HasDownText, e.StartedAt = row.boolean(), row.time()
	e.Duration = microseconds(row.number())
	if mine {
		r.head.mine = id
		database.Fold(r.st.Applied, e)
		return row.err
	}
	r.head.own = id
	if e.Direction == database.Up {
		r.tables = max(r.tables, e.Version)
	}
	return row.err
}

func (r *stateReader) finish() (*database.State, error) {
	if r.tables > tablesVersion {
		return nil, &database.TablesNewerError{Found: r.tables, Known: tablesVersion}
	}
	r.st.Head = r.head.sum()
	r.st.Settings = database.NewSettings(r.stored...)
	return r.st, nil
}

func missingTable(err error) bool { return hasCode(err, "42P01", "3F000") }

func hasCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	for _, c := range codes {
		if pg.Code == c {
			return true
		}
	}
	return false
}

// serverMajor returns the server's major version, 0 if it does not say.
func serverMajor(pc *pgconn.PgConn) int {
	var major int
	version, _, _ := strings.Cut(pc.ParameterStatus("server_version"), ".")
	fmt.Sscanf(version, "%d", &major)
	return major
}
