// Package sqlite migrates SQLite databases, through modernc.org/sqlite, which needs
// no C compiler.
//
// # Opening
//
// Importing the package registers it under the URL schemes sqlite and sqlite3. Behind the
// colon stands the file's path, with or without two slashes before it:
//
//	sqlite:app.db            app.db in the working directory, as does sqlite://app.db
//	sqlite:data/app.db       a relative path, as does sqlite://data/app.db
//	sqlite:///var/app.db     an absolute path, as does sqlite:/var/app.db
//	sqlite::memory:          a database in memory, as long as it is open
//
// In the path %, ? and # are written %25, %3F and %23. The query has the parameters of
// modernc.org/sqlite (_pragma, _txlock, _time_format, _time_integer_format, _timezone,
// _inttotime, _texttotime), and mode (ro, rw, rwc) of SQLite's own
// URIs. Any other is an error, and so is a pragma with which locks or journals would not do what they must. The working directory counts when the database is opened.
//
// A file that does not exist is created by the first thing that writes: reading its State
// does not create it. With mode=rw or mode=ro it is never created. [New] takes a
// *sql.DB that the program has already.
//
// # Locking
//
// SQLite has one writer at a time, so the sets of one database share one lock. A
// Batch is BEGIN IMMEDIATE to COMMIT. Whoever finds it taken asks again after a few
// milliseconds, for as long as its lock options say. The connection's busy_timeout is 0
// meanwhile and is put back.
//
// A Run has no transaction that could hold the lock of its set. It keeps a row in the
// settings table, which every Batch of the set looks for, and a file beside the database,
// "app.db-whimbrel-" and twelve hexadecimal digits, which it holds locked as SQLite locks its
// files. When its process dies the operating system lets go of the file, and the next
// Batch sees by that that nobody is there, and removes both.
//
// # What it sends
//
// Besides the scripts: BEGIN IMMEDIATE, COMMIT, ROLLBACK, reads of and
// writes to its own tables, PRAGMA busy_timeout, and, for scripts that may change the
// session, the PRAGMAs that tell its settings before and after. The journal mode is left
// alone.
//
// A Run executes a statement that can be in a transaction in one, together with the journal: BEGIN IMMEDIATE, the
// statement, the journal, COMMIT. For any other the journal is written before and after it. VACUUM, DETACH
// and PRAGMAs do the same a second time, so that an Outcome has them executed again; what became of a VACUUM INTO
// that has left a file is unclear.
//
// PRAGMA foreign_keys does nothing inside a transaction. So it is executed before the transaction begins, wherever the script has
// it, and put back after it ended; where it switches off what was on, PRAGMA foreign_key_check must find nothing after
// the script that it did not find before it. A script whose statements need both values is a Run.
//
// # Limits
//
// Options.Schema can be "main" alone. SQLite tells nobody who holds a transaction, so a
// Holder is known only for a Run. With a journal in the rollback modes a long transaction
// that outgrows the page cache keeps readers out; a State read then waits for as long as
// Options.LockTimeout says. Shared-cache connections wait inside SQLite, where no timeout
// reaches them. A statement is the unit of an error's position, except for syntax errors.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the client

	"github.com/whimbrel-db/whimbrel/database"
)

func init() {
	database.Register("sqlite", driver{})
	database.Register("sqlite3", driver{})
}

// clientName is what the client is called in database/sql. Tests put another in its place that counts what is sent.
var clientName = "sqlite"

type driver struct{}

// Open opens the database that a URL names; the package's comment says how.
func (driver) Open(ctx context.Context, url string, opts database.Options) (database.Database, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	d, err := newDB(opts)
	if err != nil {
		return nil, err
	}
	d.owned = true
	if !t.memory {
		if d.path, err = filepath.Abs(t.path); err != nil {
			return nil, &database.ConnectError{Target: t.path, Err: err}
		}
		d.create = t.create
	}
	if d.pool, err = sql.Open(clientName, t.dsn(d.path)); err != nil {
		return nil, &database.ConnectError{Target: d.target(), Err: err}
	}
	if t.memory { // each connection would be a database of its own
		d.pool.SetMaxOpenConns(1)
	}
	if err := d.look(ctx, t); err != nil {
		d.pool.Close()
		return nil, err
	}
	return d, nil
}

// New returns the target that a *sql.DB on modernc.org/sqlite has open. It asks nothing
// yet. Closing the Database leaves the *sql.DB open.
//
// A Batch and a Run keep one connection each while they last: a pool of one connection
// has none left for State in between, nor for anybody else.
func New(db *sql.DB, opts database.Options) (database.Database, error) {
	d, err := newDB(opts)
	if err != nil {
		return nil, err
	}
	d.pool = db
	return d, nil
}

func newDB(opts database.Options) (*db, error) {
	if opts.Schema != "" && opts.Schema != "main" {
		return nil, fmt.Errorf("schema %q: SQLite has no schemas, and attached databases are no place for Whimbrel's tables; leave it empty", opts.Schema)
	}
	names := opts.TableNames()
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	d := &db{opts: opts, names: names, host: host, sql: newStatements(names), patience: opts.Patience(), open: map[*held]struct{}{}, files: map[any]*openFile{}}
	d.gone, d.close = context.WithCancel(bg)
	return d, nil
}

// look finds out, with one question at most, whether the file can be a database.
func (d *db) look(ctx context.Context, t target) error {
	if d.path == "" {
		return d.ask(ctx)
	}
	info, err := os.Stat(d.path)
	switch {
	case err == nil && info.IsDir():
		return &database.ConnectError{Target: d.path, Err: errors.New("it is a folder"), Hint: "name a file in it"}
	case err == nil && !info.Mode().IsRegular():
		return &database.ConnectError{Target: d.path, Err: fmt.Errorf("it is %s, not a regular file", kindOf(info.Mode()))}
	case err == nil:
		return d.ask(ctx)
	case !errors.Is(err, fs.ErrNotExist):
		return &database.ConnectError{Target: d.path, Err: errors.Unwrap(err)}
	case !t.create:
		return &database.ConnectError{Target: d.path, Err: errors.New("the file does not exist"), Hint: "leave out mode=" + t.mode + " to have it created"}
	}
	folder := filepath.Dir(d.path)
	if info, err := os.Stat(folder); err != nil {
		return &database.ConnectError{Target: d.path, Err: fmt.Errorf("folder %s: %w", folder, errors.Unwrap(err)), Hint: "create the folder first"}
	} else if !info.IsDir() {
		return &database.ConnectError{Target: d.path, Err: fmt.Errorf("%s is not a folder", folder)}
	}
	return nil
}

// kindOf says what a file is that is not a regular one.
func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "a pipe"
	case mode&fs.ModeSocket != 0:
		return "a socket"
	case mode&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

func (d *db) ask(ctx context.Context) error {
	err := pollWatching(ctx, d.patience, func() error {
		var version int64
		return d.connectError(d.pool.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version))
	}, d.journalWatch())
	if e := (*database.ConnectError)(nil); err == nil || errors.As(err, &e) || errors.Is(err, database.ErrLocked) {
		return err
	}
	return &database.ConnectError{Target: d.target(), Code: codeName(code(err)), Err: err}
}
