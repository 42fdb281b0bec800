package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Database is one open target: a database of a MySQL or MariaDB server.
type Database struct {
	pool   *sql.DB
	owned  bool           // Close closes the pool
	config *client.Config // of the pool, where it is known
	wanted Lock           // "": as the server is
	opts   database.Options
	names  database.TableNames
	sql    statements
	host   string // of this process

	closing context.Context // done from Close on
	close   context.CancelFunc

	mu    sync.Mutex
	named string // the database, as far as it is known
	facts *facts // nil until the server was asked
	known map[string]bool
	open  map[unit]bool // batches and runs

	unknown atomic.Pointer[string] // the server to which a COMMIT was sent whose answer has not come
}

// unit is a batch or a run, which ends with its Database.
type unit interface{ abandon() }

func newDatabase(opts database.Options) (*Database, error) {
	if opts.Schema != "" {
		return nil, fmt.Errorf("schema %q: in MySQL a schema is a database, and Whimbrel's tables are in the one that is migrated; name that in the URL, and leave the schema out", opts.Schema)
	}
	names := opts.TableNames()
	db := &Database{opts: opts, names: names, sql: newStatements(names), open: map[unit]bool{}, known: map[string]bool{}}
	if host, err := os.Hostname(); err == nil {
		db.host = host
	}
	db.closing, db.close = context.WithCancel(context.Background())
	return db, nil
}

// Dialect returns sqltext.MySQL.
func (db *Database) Dialect() sqltext.Dialect { return sqltext.MySQL }

// Tables returns the names of Whimbrel's own tables.
func (db *Database) Tables() []string {
	return append(db.names.Lower(), strings.ToLower(leaseName(db.names)))
}

// leaseName is the name of the table of leases.
func leaseName(n database.TableNames) string {
	return strings.TrimSuffix(n.Journal, "journal") + "lease"
}

// Close cancels what runs, ends what is open, and closes the pool if the driver started it.
func (db *Database) Close() error {
	db.mu.Lock()
	was := db.closing.Err() != nil
	db.close()
	units := slices.Collect(maps.Keys(db.open))
	db.mu.Unlock()
	if was {
		return nil
	}
	for _, u := range units {
		u.abandon()
	}
	if db.owned {
		return db.pool.Close()
	}
	return nil
}

// opened remembers a unit; it returns an error when the Database has been closed meanwhile.
func (db *Database) opened(u unit) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closing.Err() != nil {
		return errClosed
	}
	db.open[u] = true
	return nil
}

func (db *Database) over(u unit) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.open, u)
}

// untilClosed returns a context that also ends when the Database is closed.
func (db *Database) untilClosed(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(db.closing, func() { cancel(errClosed) })
	if db.closing.Err() != nil { // at once, not when that function gets to run
		cancel(errClosed)
	}
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// checkNames refuses names that the server would.
func (db *Database) checkNames() error {
	const most = 64
	for _, name := range []string{db.names.History, db.names.Settings, db.names.Journal, db.names.Metadata} {
		switch {
		case utf8.RuneCountInString(name) > most:
			return fmt.Errorf("the name %q has %d characters; MySQL takes %d, choose a shorter history table", name, utf8.RuneCountInString(name), most)
		case strings.HasSuffix(name, " "), strings.Contains(name, "\x00"):
			return fmt.Errorf("the name %q can't be that of a table in MySQL: choose another history table", name)
		}
	}
	return nil
}

// maxSet is how many characters a set's name can have: it is part of an index.
const maxSet = 255

func checkSet(set string) error {
	if n := utf8.RuneCountInString(set); n > maxSet {
		return fmt.Errorf("the set's name has %d characters; %d are kept in MySQL, choose a shorter one", n, maxSet)
	}
	return nil
}

// facts are what the server says of itself and of its connections.
type facts struct {
	database string
	version  string
	maria    bool
	fold     bool // tables' names are the same in upper and in lower case
	cluster  bool // a node of a Galera cluster
	perf     bool // performance_schema is on
}

const factsQuery = `SELECT DATABASE(), VERSION(), @@lower_case_table_names, @@character_set_client, @@character_set_connection, ifnull(@@character_set_results, 'utf8mb4'), @@sql_mode, @@autocommit, @@performance_schema, @@sql_select_limit`

// learn asks the server what has to be known of it, once.
func (db *Database) learn(ctx context.Context, c *conn) (*facts, error) {
	db.mu.Lock()
	f := db.facts
	db.mu.Unlock()
	if f != nil {
		return f, nil
	}
	f = &facts{}
	var name sql.NullString
	var charset, connection, results, mode, limit string
	var autocommit bool
	err := c.row(ctx, factsQuery, nil, &name, &f.version, &f.fold, &charset, &connection, &results, &mode, &autocommit, &f.perf, &limit)
	if err != nil {
		return nil, ownError("asking the server what it is", err)
	}
	f.database, f.maria = name.String, strings.Contains(f.version, "MariaDB")
	switch {
	case !name.Valid:
		return nil, errors.New("the connection has no database chosen: name it where the pool is opened")
	case charset != "utf8mb4", connection != "utf8mb4", results != "utf8mb4":
		return nil, fmt.Errorf("the connection's character sets are %s, %s and %s (character_set_client, _connection, _results), and scripts are UTF-8: connect with utf8mb4, and look into the server's init_connect", charset, connection, results)
	case db.config != nil && !strings.EqualFold(name.String, db.config.DBName):
		return nil, fmt.Errorf("the URL names the database %q, and the session is in %q: look into the server's init_connect", db.config.DBName, name.String)
	case limit == "0":
		return nil, errors.New("sql_select_limit is 0, with which nothing can be read: connect without that setting")
	case strings.Contains(mode, "EMPTY_STRING_IS_NULL"):
		return nil, errors.New("sql_mode has EMPTY_STRING_IS_NULL, with which Whimbrel's own tables can't be written: connect with another sql_mode (sql_mode=… in the URL)")
	case strings.Contains(mode, "NO_BACKSLASH_ESCAPES"):
		return nil, errors.New("sql_mode has NO_BACKSLASH_ESCAPES, with which a string could end in another place than scripts are cut at: connect with another sql_mode (sql_mode=… in the URL)")
	case !autocommit:
		return nil, errors.New("autocommit is off on the connections of the pool, and Whimbrel says itself what a transaction is: connect without that setting")
	}
	err = c.each(ctx, "SHOW VARIABLES LIKE 'wsrep_on'", nil, func(scan func(...any) error) error {
		var variable, value string
		err := scan(&variable, &value)
		f.cluster = value == "ON"
		return err
	})
	if err != nil {
		return nil, ownError("asking the server whether it is part of a cluster", err)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	db.facts, db.named = f, f.database
	return f, nil
}

// clock tells the server's time, as it goes on from when it was asked.
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

// quote makes a name an identifier, literal a string, in any sql_mode that is let in.
func quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

func literal(text string) string {
	return "'" + strings.NewReplacer("'", "''", `\`, `\\`, "\x00", `\0`).Replace(text) + "'"
}

// attribute is a value of a connection attribute, in which commas and colons mean something.
func attribute(value string) string { return strings.NewReplacer(",", " ", ":", " ").Replace(value) }
