package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// db is one open target.
type db struct {
	pool   *sql.DB
	owned  bool   // Close closes the pool
	path   string // the file passed to Open; "" in memory and for New
	create bool   // the first write creates a missing file

	opts    database.Options
	names   database.TableNames
	process drivers.Process
	sql     statements

	readTimeout time.Duration // of readers

	life *drivers.Lifetime

	mu    sync.Mutex
	seen  seen              // guarded by mu
	files map[any]*openFile // by connection; guarded by mu

	keeper any  // the connection that keepJournal has asked for its mode; guarded by mu
	keeps  bool // a connection keeps its journal, or did; guarded by mu

	from    target     // that Open was called with; zero for New
	cloning sync.Mutex // guards clones
	clones  *cloner    // once Clone was called
}

func (d *db) Dialect() sqltext.Dialect { return sqltext.SQLite }

func (d *db) Tables() []string { return d.names.Lower() }

// BlocksWriters implements database.WriteBlocker.
func (*db) BlocksWriters() bool { return true }

// target returns the database's name for messages.
func (d *db) target() string {
	if d.path == "" {
		return "the SQLite database"
	}
	return d.path
}

// absent reports whether the file does not exist.
func (d *db) absent() bool {
	if d.path == "" {
		return false
	}
	_, err := os.Stat(d.path)
	return errors.Is(err, fs.ErrNotExist)
}

// ensure creates the file if it is missing: an empty file is an empty database. SQLite itself
// creates it: any other code that closes such a file releases the locks of other connections in
// this process.
func (d *db) ensure() error {
	if !d.create || !d.absent() {
		return nil
	}
	pool, err := sql.Open(clientName, fileURI(d.path, "rwc", nil))
	if err != nil {
		return err
	}
	defer pool.Close()
	c, err := pool.Conn(bg)
	if err != nil {
		return d.connectError(err)
	}
	return c.Close()
}

func (d *db) State(ctx context.Context, set string) (*database.State, error) {
	var state *database.State
	err := d.read(ctx, func(ctx context.Context) (err error) {
		if d.absent() {
			state = zeroState(set)
			state.Database, state.Bare = databaseName(d.path), true
			return nil
		}
		c, err := d.reader(ctx)
		if err != nil {
			return err
		}
		defer c.release()
		state, err = d.readState(ctx, c, set)
		return err
	})
	return state, err
}

// read reads through the pool. It waits for the file, or for the pool's only connection, as long as
// others commit one transaction after the other.
func (d *db) read(ctx context.Context, f func(context.Context) error) error {
	if d.life.Closing.Err() != nil {
		return drivers.ErrClosed
	}
	limited, cancel := ctx, func() {}
	if d.pool.Stats().MaxOpenConnections > 0 {
		limited, cancel = context.WithTimeout(ctx, max(d.readTimeout, minTimeout))
	}
	defer cancel()
	err := pollWatching(limited, d.readTimeout, func() error { return f(limited) }, d.journalWatch())
	if err != nil && ctx.Err() == nil && limited.Err() != nil && !errors.Is(err, database.ErrLocked) {
		return fmt.Errorf("this process has used all connections of its pool for %s: %w", max(d.readTimeout, minTimeout), err)
	}
	return err
}

// History reads the entries that q selects.
func (d *db) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return drivers.History(ctx, q, func(ctx context.Context, q database.HistoryQuery, after int64) (page []database.Entry, err error) {
		err = d.read(ctx, func(ctx context.Context) error {
			page, err = d.page(ctx, q, after)
			return err
		})
		return page, err
	})
}

// page reads the next entries after the given id, or before it if the newest come first.
func (d *db) page(ctx context.Context, q database.HistoryQuery, after int64) (page []database.Entry, err error) {
	if d.absent() {
		return nil, nil
	}
	c, err := d.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer c.release()
	query := d.sql.history
	if q.Newest {
		query = d.sql.newest
	}
	since := ""
	if !q.Since.IsZero() {
		since = formatTime(q.Since)
	}
	err = drivers.Each(ctx, c, query, []any{after, q.Set, q.Version, q.Texts, q.Limit, q.ID, since}, func(scan func(...any) error) error {
		e, err := drivers.ScanEntry(scan, parseTime)
		page = append(page, e)
		return err
	})
	if err != nil {
		_, err = d.missing(ctx, c, err)
	}
	return page, err
}

// Close ends open Txs and Runs, and closes the pool if the driver started it.
func (d *db) Close() error {
	if !d.life.Close() || !d.owned {
		return nil
	}
	d.cloning.Lock()
	defer d.cloning.Unlock()
	if d.clones != nil {
		d.clones.end()
	}
	d.endJournal()
	return d.pool.Close()
}

// UpdateSetting waits for an open Tx but not for a Run: a setting that stops migrations can be
// stored during a Run. It waits for Runs only on request.
func (d *db) UpdateSetting(ctx context.Context, s database.SettingUpdate) error {
	s, err := s.Check()
	if err != nil {
		return err
	}
	ctx, cancel := d.life.Until(ctx)
	defer cancel()
	opts := database.LockOptions{Timeout: d.readTimeout}
	if s.Settle != nil { // an open Tx has the write lock, so storing the setting waits for it
		opts = *s.Settle
	}
	w := newWaiter(migration.ReservedSet, opts)
	c, err := d.connect(ctx, w)
	if err != nil {
		return err
	}
	defer c.release()
	st, err := d.begin(ctx, c, w, nil)
	if err != nil {
		return err
	}
	if err = foreignError(st.foreign); err == nil {
		err = d.putSetting(c, s)
	}
	if err == nil {
		_, err = d.insert(c, s.Entry())
	}
	if err == nil {
		err = c.commit(ctx, fileTimeout(opts))
	}
	if err != nil {
		c.rollback()
		return d.connectError(err)
	}
	return d.settle(ctx, c, s)
}

func (d *db) putSetting(c *conn, s database.SettingUpdate) error {
	if s.Unset {
		return d.ownError("changing a setting", c.do(d.sql.unset, s.Name))
	}
	until := ""
	if !s.Until.IsZero() {
		until = formatTime(s.Until)
	}
	return d.ownError("changing a setting", c.write(d.sql.setting, s.Name, s.Value, s.Reason, formatTime(s.At), until, d.process.OSUser))
}
