package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Database is an open target: a database of a MySQL or MariaDB server.
type Database struct {
	pool    *sql.DB
	wires   *wires         // of the pool; nil for one of the caller
	owned   bool           // Close closes the pool
	config  *client.Config // of the pool, if known
	wanted  Lock           // "": chosen by the server
	opts    database.Options
	names   database.TableNames
	sql     statements
	process drivers.Process

	life *drivers.Lifetime

	mu    sync.Mutex
	named string // the database, once known
	facts *facts // nil until the server was asked
	known map[string]bool
	lanes map[int64]bool // the connections that work on lanes

	events atomic.Int64 // how many entries the last state was made of, at least 1; 0: not known

	counters samples

	unknown atomic.Pointer[string] // the server that received a COMMIT whose answer was lost

	url     string     // that Open was called with
	cloning sync.Mutex // guards clones
	clones  *cloner    // once Clone or Scratch was called

	creator *Database // that has created this one as a scratch database or as a copy; nil for any other
}

func newDatabase(opts database.Options) (*Database, error) {
	if opts.Schema != "" {
		return nil, fmt.Errorf("schema %q: in MySQL a schema is a database, and Whimbrel's tables are in the migrated one; name that in the URL, and remove the schema", opts.Schema)
	}
	names := opts.TableNames()
	return &Database{
		opts: opts, names: names, process: drivers.ThisProcess(opts), sql: newStatements(names), life: drivers.NewLifetime(), known: map[string]bool{},
	}, nil
}

// Dialect returns sqltext.MySQL.
func (db *Database) Dialect() sqltext.Dialect { return sqltext.MySQL }

// Tables returns the names of Whimbrel's tables.
func (db *Database) Tables() []string {
	return append(db.names.Lower(), strings.ToLower(leaseName(db.names)))
}

// leaseName returns the name of the table of leases.
func leaseName(n database.TableNames) string {
	return strings.TrimSuffix(n.Journal, "journal") + "lease"
}

// Close cancels running statements, ends open Txs and Runs, and closes the pool if the driver
// started it.
func (db *Database) Close() error {
	if !db.life.Close() || !db.owned {
		return nil
	}
	db.cloning.Lock()
	defer db.cloning.Unlock()
	if db.clones != nil {
		db.clones.end()
	}
	return db.pool.Close()
}

// checkNames refuses names that the server refuses.
func (db *Database) checkNames() error {
	const most = 64
	for _, name := range append(db.tableNames(), db.names.Backfills, db.names.Lanes) {
		switch {
		case utf8.RuneCountInString(name) > most:
			return fmt.Errorf("the name %q has %d characters, but MySQL accepts only %d; choose a shorter history table", name, utf8.RuneCountInString(name), most)
		case strings.HasSuffix(name, " "), strings.Contains(name, "\x00"):
			return fmt.Errorf("the name %q is not valid for a MySQL table; choose another history table", name)
		}
	}
	return nil
}

// maxSet is the maximum length of a set's name in characters: it is part of an index.
const maxSet = 255

func checkSet(set string) error {
	if n := utf8.RuneCountInString(set); n > maxSet {
		return fmt.Errorf("the set's name has %d characters, but MySQL accepts only %d; choose a shorter one", n, maxSet)
	}
	return nil
}

// facts are the relevant properties of the server and its connections.
type facts struct {
	database  string
	version   string
	maria     bool
	fold      bool     // table names are case-insensitive
	cluster   bool     // a node of a Galera cluster
	perf      bool     // performance_schema is on
	oracle    bool     // sql_mode makes the server read Oracle's dialect
	packet    int64    // the longest message that the server accepts
	impatient []string // variables with which the server soon ends idle sessions
}

const factsQuery = `SELECT DATABASE(), VERSION(), @@lower_case_table_names > 0, @@character_set_client, @@character_set_connection, ifnull(@@character_set_results, 'utf8mb4'), @@sql_mode, @@autocommit, @@performance_schema, @@sql_select_limit, @@max_allowed_packet, ` + idleLimits

// inCluster says whether a MariaDB server is part of a cluster: ON or OFF; "" is another server.
const inCluster = `, CONCAT('' /*M!100000 , @@wsrep_on */)`

// learnt returns the facts about the server, nil if it was not asked.
func (db *Database) learnt() *facts {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.facts
}

// learn reads the facts about the server, once.
func (db *Database) learn(ctx context.Context, c *conn) (*facts, error) {
	if f := db.learnt(); f != nil {
		return f, nil
	}
	r := &factsRow{}
	err := c.row(ctx, factsQuery+inCluster, nil, r.into()...)
	if number(err) == erUnknownVariable { // built without clusters
		err = c.row(ctx, factsQuery+", 'OFF'", nil, r.into()...)
	}
	if err != nil {
		return nil, ownError("reading the server's properties", err)
	}
	return db.note(ctx, c, r)
}

// factsRow is a row of factsQuery.
type factsRow struct {
	facts
	name                                      sql.NullString
	charset, connection, results, mode, limit string
	autocommit                                bool
	idle                                      string
	inCluster                                 sql.NullString // in the mode EMPTY_STRING_IS_NULL
}

// into returns pointers to the columns.
func (r *factsRow) into() []any {
	return []any{&r.name, &r.version, &r.fold, &r.charset, &r.connection, &r.results, &r.mode, &r.autocommit, &r.perf, &r.limit, &r.packet, &r.idle, &r.inCluster}
}

// note checks the facts about the server, and keeps them.
func (db *Database) note(ctx context.Context, c *conn, r *factsRow) (*facts, error) {
	f := &r.facts
	f.database, f.maria = r.name.String, strings.Contains(f.version, "MariaDB")
	f.impatient, f.oracle = impatient(r.idle), strings.Contains(r.mode, "ORACLE")
	switch {
	case !r.name.Valid:
		return nil, errors.New("the connection has no selected database: name one when opening the pool")
	case r.charset != "utf8mb4", r.connection != "utf8mb4", r.results != "utf8mb4":
		return nil, fmt.Errorf("the connection's character sets are %s, %s and %s (character_set_client, _connection, _results), but scripts are UTF-8: connect with utf8mb4, and check the server's init_connect", r.charset, r.connection, r.results)
	case db.config != nil && !strings.EqualFold(r.name.String, db.config.DBName):
		return nil, fmt.Errorf("the URL names database %q, but the session is in %q: check the server's init_connect", db.config.DBName, r.name.String)
	case r.limit == "0":
		return nil, errors.New("sql_select_limit is 0, which prevents reading: connect without that setting")
	case strings.Contains(r.mode, "EMPTY_STRING_IS_NULL"):
		return nil, errors.New("sql_mode contains EMPTY_STRING_IS_NULL, which prevents writing Whimbrel's tables: connect with another sql_mode (sql_mode=… in the URL)")
	case strings.Contains(r.mode, "NO_BACKSLASH_ESCAPES"):
		return nil, errors.New("sql_mode contains NO_BACKSLASH_ESCAPES, which changes where strings end and scripts are split: connect with another sql_mode (sql_mode=… in the URL)")
	case !r.autocommit:
		return nil, errors.New("autocommit is off on the pool's connections, but Whimbrel controls transactions itself: connect without that setting")
	}
	if f.cluster = r.inCluster.String == "ON"; r.inCluster.String == "" {
		err := c.each(ctx, "SHOW VARIABLES LIKE 'wsrep_on'", nil, func(scan func(...any) error) error {
			var variable, value string
			err := scan(&variable, &value)
			f.cluster = value == "ON"
			return err
		})
		if err != nil {
			return nil, ownError("asking the server whether it is part of a cluster", err)
		}
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.facts, db.named = f, f.database
	return f, nil
}

// clock computes the server's time from an earlier reading.
type clock struct {
	server time.Time
	local  time.Time
}

func (c clock) now() time.Time { return c.server.Add(time.Since(c.local)) }

const timeLayout = "2006-01-02 15:04:05.000000"

func formatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	return time.ParseInLocation("2006-01-02 15:04:05.999999", s, time.UTC)
}

// quote formats an identifier, literal a string, for every accepted sql_mode.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func literal(text string) string { return "'" + inLiteral.Replace(text) + "'" }

var inLiteral = strings.NewReplacer("'", "''", `\`, `\\`, "\x00", `\0`)

// attribute returns a value for a connection attribute, without commas and colons, which are
// separators.
func attribute(value string) string { return strings.NewReplacer(",", " ", ":", " ").Replace(value) }
