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

	gone  context.Context // until Close
	close context.CancelFunc
	mu    sync.Mutex
	open  map[*held]struct{} // guarded by mu
}

var _ database.Database = (*db)(nil)

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

// ensure creates the file if it is missing. An empty file is an empty database. A file
// that is there is not touched: closing it would take away the locks that
// this process may have on it.
func (d *db) ensure() error {
	if !d.create || !d.absent() {
		return nil
	}
	f, err := os.OpenFile(d.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return &database.ConnectError{Target: d.path, Err: errors.Unwrap(err), Hint: "the process must be allowed to create the file in this folder"}
	}
	return f.Close()
}

func (d *db) State(ctx context.Context, set string) (*database.State, error) {
	var state *database.State
	err := d.read(ctx, func(ctx context.Context) (err error) {
		if d.absent() {
			state = zeroState(set)
			return nil
		}
		state, err = d.readState(ctx, d.pool, set)
		return err
	})
	return state, err
}

// read reads through the pool, and waits a while for others to let go of the file, or of
// the pool's only connection.
func (d *db) read(ctx context.Context, f func(context.Context) error) error {
	if d.gone.Err() != nil {
		return errClosed
	}
	limited, cancel := ctx, func() {}
	if d.pool.Stats().MaxOpenConnections > 0 {
		limited, cancel = context.WithTimeout(ctx, readPatience)
	}
	defer cancel()
	err := poll(limited, readPatience, func() error { return f(limited) })
	if err != nil && ctx.Err() == nil && limited.Err() != nil {
		return fmt.Errorf("this process uses every connection of its pool, for %s now: %w", readPatience, err)
	}
	return err
}

func zeroState(set string) *database.State {
	return &database.State{Set: set, Applied: &database.Migrations{}, Settings: database.NewSettings()}
}

// readState asks one question; a second one only where there are no tables.
func (d *db) readState(ctx context.Context, q querier, set string) (*database.State, error) {
	rows, err := q.QueryContext(ctx, d.sql.state, set)
	if err != nil {
		if none, err := d.missing(ctx, q, err); !none {
			return nil, err
		}
		return zeroState(set), nil
	}
	defer rows.Close()
	state := zeroState(set)
	var stored []database.StoredSetting
	for rows.Next() {
		e, err := scanEvent(rows)
		switch {
		case err != nil:
			return nil, err
		case e.id < 0:
			if e.duration > tablesVersion {
				return nil, &database.TablesNewerError{Found: e.duration, Known: tablesVersion}
			}
			state.Head = max(state.Head, e.version)
		case e.id == 0:
			s, err := e.setting()
			if err != nil {
				return nil, err
			}
			stored = append(stored, s)
		default:
			ev, err := e.event(set)
			if err != nil {
				return nil, err
			}
			state.Head = max(state.Head, ev.ID)
			database.Fold(state.Applied, ev)
		}
	}
	state.Settings = database.NewSettings(stored...)
	return state, d.connectError(rows.Err())
}

// rawEvent is a row as it comes.
type rawEvent struct {
	id, version                                        int64
	name, direction, checksum, downChecksum, startedAt string
	hasDownText                                        bool
	duration                                           int64
}

func scanEvent(rows *sql.Rows, more ...any) (e rawEvent, err error) {
	err = rows.Scan(append([]any{
		&e.id, &e.version, &e.name, &e.direction, &e.checksum, &e.downChecksum, &e.hasDownText, &e.startedAt, &e.duration,
	}, more...)...)
	return e, err
}

func (r *rawEvent) event(set string) (e database.Event, err error) {
	e = database.Event{
		ID: r.id, Set: set, Version: r.version, Name: r.name, Direction: database.Direction(r.direction),
		HasDownText: r.hasDownText, Duration: time.Duration(r.duration) * time.Microsecond,
	}
	if e.StartedAt, err = time.Parse(timeLayout, r.startedAt); err == nil {
		err = e.Checksum.UnmarshalText([]byte(r.checksum))
	}
	if err == nil {
		err = e.DownChecksum.UnmarshalText([]byte(r.downChecksum))
	}
	if err != nil {
		err = fmt.Errorf("event %d of the history: %w", r.id, err)
	}
	return e, err
}

// setting reads a row of the settings, which has the columns of an event.
func (r *rawEvent) setting() (s database.StoredSetting, err error) {
	s = database.StoredSetting{Name: r.name, Value: r.direction, Reason: r.checksum, ChangedBy: r.downChecksum}
	if s.ChangedAt, err = time.Parse(timeLayout, r.startedAt); err != nil {
		err = fmt.Errorf("setting %q: %w", r.name, err)
	}
	return s, err
}

// pageRows is how many events are read at once: no lock is held between pages, so
// that whoever reads the history keeps nobody from writing.
const pageRows, pageRowsWithTexts = 500, 16

func (d *db) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Event, error] {
	return func(yield func(database.Event, error) bool) {
		after := int64(0)
		for {
			var page []database.Event
			err := d.read(ctx, func(ctx context.Context) (err error) {
				page, err = d.page(ctx, q, after)
				return err
			})
			if err != nil {
				yield(database.Event{}, err)
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
func (d *db) page(ctx context.Context, q database.HistoryQuery, after int64) ([]database.Event, error) {
	if d.absent() {
		return nil, nil
	}
	limit := pageRows
	if q.Texts {
		limit = pageRowsWithTexts
	}
	rows, err := d.pool.QueryContext(ctx, d.sql.history, after, q.Set, q.Version, q.Texts, limit)
	if err != nil {
		_, err := d.missing(ctx, d.pool, err)
		return nil, err
	}
	defer rows.Close()
	var page []database.Event
	for rows.Next() {
		var e database.Event
		var set, directives string
		r, err := scanEvent(rows, &set, &directives, &e.DBUser, &e.Host, &e.App, &e.ToolVersion, &e.Note, &e.UpText, &e.DownText)
		if err != nil {
			return nil, err
		}
		ev, err := r.event(set)
		if err != nil {
			return nil, err
		}
		if ev.DownDirectives, err = migration.ParseDirectives(directives); err != nil {
			return nil, fmt.Errorf("event %d of the history: %w", ev.ID, err)
		}
		ev.DBUser, ev.Host, ev.App, ev.ToolVersion, ev.Note = e.DBUser, e.Host, e.App, e.ToolVersion, e.Note
		ev.UpText, ev.DownText = e.UpText, e.DownText
		page = append(page, ev)
	}
	return page, d.connectError(rows.Err())
}

// UpdateSetting waits for a Batch, but not for a Run: what stops migrations can be
// said while one is under way.
func (d *db) UpdateSetting(ctx context.Context, s database.SettingUpdate) error {
	s, err := s.Check()
	if err != nil {
		return err
	}
	ctx, cancel := d.during(ctx)
	defer cancel()
	w := newWaiter(migration.ReservedSet, database.LockOptions{Timeout: readPatience})
	c, err := d.connect(ctx, w)
	if err != nil {
		return err
	}
	defer c.release()
	if _, err := d.begin(ctx, c, w, nil); err != nil {
		return err
	}
	if err = c.do(d.sql.setting, s.Name, s.Value, s.Reason, formatTime(s.At)); err == nil {
		_, err = d.insert(c, d.complete(s.Event()))
	}
	if err == nil {
		err = c.commit(ctx, readPatience)
	}
	if err != nil {
		c.rollback()
	}
	return d.connectError(err)
}
