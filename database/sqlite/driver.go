// Package sqlite migrates SQLite databases through modernc.org/sqlite, which needs no C compiler.
//
// # Opening
//
// Importing the package registers it under the URL schemes sqlite and sqlite3. The file's path
// follows the colon, with or without two slashes:
//
//	sqlite:app.db            app.db in the working directory, as does sqlite://app.db
//	sqlite:data/app.db       a relative path, as does sqlite://data/app.db
//	sqlite:///var/app.db     an absolute path, as does sqlite:/var/app.db
//	sqlite::memory:          a database in memory, as long as it is open
//
// In the path, write %, ? and # as %25, %3F and %23. The query may contain the parameters of
// modernc.org/sqlite (_pragma, _txlock, _time_format, _time_integer_format, _timezone, _inttotime,
// _texttotime), and mode (ro, rw, rwc) of SQLite's own URIs. Any other parameter is an error, and
// so is a pragma that would break locks or journals. A relative path is resolved when the database
// is opened.
//
// The first write creates a missing file; reading its State does not. With mode=rw or mode=ro it is
// never created. [New] takes a *sql.DB that the program already has.
//
// # Locking
//
// SQLite has one writer at a time, so the sets of one database share one lock. A [database.Tx]
// lasts from BEGIN IMMEDIATE to COMMIT. If the lock is taken, the driver tries again every few
// milliseconds, up to the lock timeout. Meanwhile the connection's busy_timeout is 0; it is
// restored afterwards.
//
// A [database.Run] has no transaction that could hold the lock of its set. It keeps a row in the
// settings table, which every Tx of the set looks for, and locks a file beside the database,
// "app.db-whimbrel-" and twelve hexadecimal digits, as SQLite locks its files. When its process
// dies, the operating system releases the lock of the file; the next Tx then knows that the Run is
// gone, and removes both.
//
// # What it sends
//
// Besides the scripts, the driver sends BEGIN IMMEDIATE, COMMIT, ROLLBACK, reads of and writes to
// its own tables, PRAGMA busy_timeout, and, for scripts that may change the session, the PRAGMAs
// that read its settings before and after. It doesn't change the journal mode of the file. In the
// mode delete, a connection that commits one Tx after the other has the mode persist until a Run or
// Close. If a Tx begins together with the COMMIT of another one, PRAGMA schema_version keeps a read
// lock from COMMIT to BEGIN.
//
// A Run executes a transactional statement together with the journal: BEGIN IMMEDIATE, the
// statement, the journal, COMMIT. For any other statement, it writes the journal before and after.
// VACUUM, DETACH and PRAGMAs can be repeated, so an Outcome lets them be executed again; the
// outcome of a VACUUM INTO that left a file is unclear.
//
// PRAGMA foreign_keys has no effect inside a transaction. The driver therefore executes it before
// the transaction begins, wherever it is in the script, and restores the setting afterwards. If the
// script disables foreign keys, PRAGMA foreign_key_check must not find more violations after the
// script than before it. A script whose statements need both values is a Run.
//
// # Limits
//
// Options.Schema can only be "main". SQLite doesn't report who holds a transaction, so a Holder is
// known only for a Run. With a rollback journal, a long transaction that outgrows the page cache
// blocks readers; a State then waits up to Options.LockTimeout. Shared-cache connections wait
// inside SQLite, where no timeout applies. An error's position is that of its statement, except for
// syntax errors.
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
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/filekind"
)

func init() {
	database.Register("sqlite", driver{})
	database.Register("sqlite3", driver{})
}

// clientName is the client's name in database/sql. Tests replace it with a client that counts
// statements.
var clientName = "sqlite"

type driver struct{}

// Open opens the database that a URL names; see the package's documentation.
func (driver) Open(ctx context.Context, url string, opts database.Options) (database.Database, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	d, err := newDB(opts)
	if err != nil {
		return nil, err
	}
	d.owned, d.from = true, t
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

// New returns the database of a *sql.DB that uses modernc.org/sqlite. It sends no query yet.
// Closing the Database leaves the *sql.DB open.
//
// A [database.Tx] and a [database.Run] hold one connection each: a pool of one connection then has
// none left for State, or for the program.
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
		return nil, fmt.Errorf("schema %q: SQLite has no schemas, and Whimbrel's tables can't be in attached databases; leave it empty", opts.Schema)
	}
	names := opts.TableNames()
	d := &db{opts: opts, names: names, process: drivers.ThisProcess(opts), sql: newStatements(names), readTimeout: opts.ReadTimeout(), life: drivers.NewLifetime(), files: map[any]*openFile{}}
	return d, nil
}

// look checks, with at most one query, whether the file can be a database.
func (d *db) look(ctx context.Context, t target) error {
	if d.path == "" {
		return d.ask(ctx)
	}
	info, err := os.Stat(d.path)
	switch {
	case err == nil && info.IsDir():
		return &database.ConnectError{Target: d.path, Err: errors.New("it is a folder"), Hint: "name a file in it"}
	case err == nil && !info.Mode().IsRegular():
		return &database.ConnectError{Target: d.path, Err: filekind.Regular(info.Mode())}
	case err == nil:
		return d.ask(ctx)
	case !errors.Is(err, fs.ErrNotExist):
		return &database.ConnectError{Target: d.path, Err: errors.Unwrap(err)}
	case !t.create:
		return &database.ConnectError{Target: d.path, Err: errors.New("the file does not exist"), Hint: "remove mode=" + t.mode + " to create it"}
	}
	folder := filepath.Dir(d.path)
	if info, err := os.Stat(folder); err != nil {
		return &database.ConnectError{Target: d.path, Err: fmt.Errorf("folder %s: %w", folder, errors.Unwrap(err)), Hint: "create the folder first"}
	} else if !info.IsDir() {
		return &database.ConnectError{Target: d.path, Err: fmt.Errorf("%s is not a folder", folder)}
	}
	return nil
}

func (d *db) ask(ctx context.Context) error {
	err := pollWatching(ctx, d.readTimeout, func() error {
		var version int64
		return d.connectError(d.pool.QueryRowContext(ctx, "PRAGMA schema_version").Scan(&version))
	}, d.journalWatch())
	if e := (*database.ConnectError)(nil); err == nil || errors.As(err, &e) || errors.Is(err, database.ErrLocked) {
		return err
	}
	return &database.ConnectError{Target: d.target(), Code: codeName(code(err)), Err: err}
}
