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

	opts  database.Options
	names database.TableNames
	host  string
	sql   statements

	patience time.Duration // of readers

	units *drivers.Units

	mu    sync.Mutex
	seen  seen              // guarded by mu
	files map[any]*openFile // by connection; guarded by mu
}

func (d *db) Dialect() sqltext.Dialect { return sqltext.SQLite }

func (d *db) Tables() []string { return d.names.Lower() }

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
			state.Database = databaseName(d.path)
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
	if d.units.Closing.Err() != nil {
		return drivers.ErrClosed
	}
	limited, cancel := ctx, func() {}
	if d.pool.Stats().MaxOpenConnections > 0 {
		limited, cancel = context.WithTimeout(ctx, max(d.patience, minPatience))
	}
	defer cancel()
	err := pollWatching(limited, d.patience, func() error { return f(limited) }, d.journalWatch())
	if err != nil && ctx.Err() == nil && limited.Err() != nil && !errors.Is(err, database.ErrLocked) {
		return fmt.Errorf("this process has used all connections of its pool for %s: %w", max(d.patience, minPatience), err)
	}
	return err
}

// journalWatch returns a function that reports whether another process has ended a transaction
// since its last call. In the rollback modes, in which writers block readers, a transaction has a
// journal beside the file, which disappears or shrinks at its end.
func (d *db) journalWatch() func() bool {
	last, _ := os.Stat(d.path + "-journal")
	return func() bool {
		now, _ := os.Stat(d.path + "-journal")
		before := last
		last = now
		switch {
		case d.path == "" || before == nil:
			return false
		case now == nil:
			return true
		}
		return !os.SameFile(before, now) || now.Size() < before.Size()
	}
}

// pageRows is how many entries are read at once. No lock is held between pages, so a reader of the
// history doesn't block writers.
const pageRows, pageRowsWithTexts = 500, 16

func (d *db) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	return func(yield func(database.Entry, error) bool) {
		after := int64(0)
		for {
			var page []database.Entry
			err := d.read(ctx, func(ctx context.Context) (err error) {
				page, err = d.page(ctx, q, after)
				return err
			})
			if err != nil {
				yield(database.Entry{}, err)
				return
			}
			for _, e := range page {
				if after = e.ID; !yield(e, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
		}
	}
}

// page reads the next entries after the given id.
func (d *db) page(ctx context.Context, q database.HistoryQuery, after int64) ([]database.Entry, error) {
	if d.absent() {
		return nil, nil
	}
	limit := pageRows
	if q.Texts {
		limit = pageRowsWithTexts
	}
	c, err := d.reader(ctx)
	if err != nil {
		return nil, err
	}
	defer c.release()
	rows, err := c.QueryContext(ctx, d.sql.history, after, q.Set, q.Version, q.Texts, limit)
	if err != nil {
		_, err := d.missing(ctx, c, err)
		return nil, err
	}
	defer rows.Close()
	var page []database.Entry
	for rows.Next() {
		var e database.Entry
		var set, up, down string
		var r rawEvent
		err := rows.Scan(&r.id, &r.version, &r.name, &r.direction, &r.checksum, &r.downChecksum, &r.hasDownText, &r.startedAt, &r.duration,
			&set, &up, &down, &e.DBUser, &e.Host, &e.App, &e.ToolVersion, &e.Note, &e.UpText, &e.DownText)
		if err != nil {
			return nil, err
		}
		ev, err := r.event(set)
		if err != nil {
			return nil, err
		}
		if ev.UpDirectives, err = migration.ParseDirectives(up); err == nil {
			ev.DownDirectives, err = migration.ParseDirectives(down)
		}
		if err != nil {
			return nil, fmt.Errorf("history entry %d: %w", ev.ID, err)
		}
		ev.DBUser, ev.Host, ev.App, ev.ToolVersion, ev.Note = e.DBUser, e.Host, e.App, e.ToolVersion, e.Note
		ev.UpText, ev.DownText = e.UpText, e.DownText
		page = append(page, ev)
	}
	return page, d.connectError(rows.Err())
}

// UpdateSetting waits for an open Tx but not for a Run: a setting that stops migrations can be
// stored during a Run. It waits for Runs only on request.
func (d *db) UpdateSetting(ctx context.Context, s database.SettingUpdate) error {
	s, err := s.Check()
	if err != nil {
		return err
	}
	ctx, cancel := d.during(ctx)
	defer cancel()
	opts := database.LockOptions{Timeout: d.patience}
	if s.Settle != nil { // an open Tx has the write lock, so storing the setting waits for it
		opts = *s.Settle
	}
	w := newWaiter(migration.ReservedSet, opts)
	c, err := d.connect(ctx, w)
	if err != nil {
		return err
	}
	defer c.release()
	d.forget()
	st, err := d.begin(ctx, c, w, nil)
	if err != nil {
		return err
	}
	if err = foreignError(st.foreign); err == nil {
		err = d.putSetting(c, s)
	}
	if err == nil {
		_, err = d.insert(c, d.complete(s.Event()))
	}
	if err == nil {
		err = c.commit(ctx, patience(opts))
	}
	if err != nil {
		c.rollback()
		return d.connectError(err)
	}
	return d.settle(ctx, c, s)
}

func (d *db) putSetting(c *conn, s database.SettingUpdate) error {
	if s.Unset {
		return c.do(d.sql.unset, s.Name)
	}
	until := ""
	if !s.Until.IsZero() {
		until = formatTime(s.Until)
	}
	return c.write(d.sql.setting, s.Name, s.Value, s.Reason, formatTime(s.At), until, systemUser())
}
