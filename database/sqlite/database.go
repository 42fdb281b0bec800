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
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// db is one open target.
type db struct {
	pool   *sql.DB
	owned  bool   // Close closes the pool
	path   string // of the file that Open was given, "" in memory and for New
	create bool   // a missing file is created by the first write

	opts  database.Options
	names database.TableNames
	host  string
	sql   statements

	patience time.Duration // of readers

	gone  context.Context // until Close
	close context.CancelFunc
	mu    sync.Mutex
	open  map[*held]struct{} // guarded by mu
	seen  seen               // guarded by mu
	files map[any]*openFile  // of connections; guarded by mu
}

func (d *db) Dialect() sqltext.Dialect { return sqltext.SQLite }

func (d *db) Tables() []string { return d.names.Lower() }

// target is the database's name in messages.
func (d *db) target() string {
	if d.path == "" {
		return "the SQLite database"
	}
	return d.path
}

// absent reports whether there is no file yet.
func (d *db) absent() bool {
	if d.path == "" {
		return false
	}
	_, err := os.Stat(d.path)
	return errors.Is(err, fs.ErrNotExist)
}

// ensure creates the file if it is missing: an empty file is an empty database. SQLite
// does it, since whoever else closes such a file takes away the locks that other connections of
// the process have on it.
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

// read reads through the pool, and waits for others to let go of the file, or of
// the pool's only connection, for as long as they commit one transaction after the other.
func (d *db) read(ctx context.Context, f func(context.Context) error) error {
	if d.gone.Err() != nil {
		return errClosed
	}
	limited, cancel := ctx, func() {}
	if d.pool.Stats().MaxOpenConnections > 0 {
		limited, cancel = context.WithTimeout(ctx, max(d.patience, minPatience))
	}
	defer cancel()
	err := pollWatching(limited, d.patience, func() error { return f(limited) }, d.journalWatch())
	if err != nil && ctx.Err() == nil && limited.Err() != nil && !errors.Is(err, database.ErrLocked) {
		return fmt.Errorf("this process uses every connection of its pool, for %s now: %w", max(d.patience, minPatience), err)
	}
	return err
}

// journalWatch returns a function that reports whether somebody has ended a transaction since it was called last. In the
// rollback modes, in which writers keep readers out, a transaction has a journal beside the file, which goes or becomes
// shorter with its end.
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

// pageRows is how many events are read at once: no lock is held between pages, so
// that whoever reads the history keeps nobody from writing.
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

// page reads the next events behind the one with the given id.
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
			return nil, fmt.Errorf("event %d of the history: %w", ev.ID, err)
		}
		ev.DBUser, ev.Host, ev.App, ev.ToolVersion, ev.Note = e.DBUser, e.Host, e.App, e.ToolVersion, e.Note
		ev.UpText, ev.DownText = e.UpText, e.DownText
		page = append(page, ev)
	}
	return page, d.connectError(rows.Err())
}

// UpdateSetting waits for a Batch, but not for a Run: what stops migrations can be
// said while one is under way. It waits for one only where it is asked to.
func (d *db) UpdateSetting(ctx context.Context, s database.SettingUpdate) error {
	s, err := s.Check()
	if err != nil {
		return err
	}
	ctx, cancel := d.during(ctx)
	defer cancel()
	opts := database.LockOptions{Timeout: d.patience}
	if s.Settle != nil { // a Batch that is open has the write lock: storing the change is waiting for it
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
