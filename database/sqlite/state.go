package sqlite

import (
	"cmp"
	"context"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/order"
	"github.com/whimbrel-db/whimbrel/migration"
)

func zeroState(set string) *database.State {
	return &database.State{Set: set, Applied: &database.AppliedSet{}, Settings: database.NewSettings()}
}

// databaseName returns the file's name without its folder.
func databaseName(file string) string {
	if file == "" {
		return ":memory:"
	}
	return filepath.Base(file)
}

// databaseName returns the name of the file that a connection has open.
func (d *db) databaseName(ctx context.Context, c *conn) (string, error) {
	if d.path != "" {
		return databaseName(d.path), nil
	}
	file, err := c.mainFile(ctx)
	return databaseName(file), err
}

// readState sends one query; more only if the tables don't exist.
func (d *db) readState(ctx context.Context, c *conn, set string) (*database.State, error) {
	r := stateReader{set: set, state: zeroState(set), entries: make([]entryRow, 0, d.entries.Load())}
	defer func() { d.entries.Store(int64(len(r.entries))) }()
	err := eachRow(ctx, c, d.sql.state, set, r.row)
	if err != nil {
		if none, err := d.missing(ctx, c, err); !none {
			return nil, err
		}
		return d.untouched(ctx, c, set)
	}
	if r.own == 0 {
		return nil, d.emptied()
	}
	if err := foreignError(r.foreign); err != nil {
		return nil, err
	}
	state, err := r.finish()
	if err != nil {
		return nil, err
	}
	if state.Database, err = d.databaseName(ctx, c); err != nil {
		return nil, err
	}
	if open := r.open; open != nil && open.Held { // by a Run that may be gone
		path, err := d.sidePath(ctx, c, set)
		if err != nil {
			return nil, err
		}
		if open.Held, err = sideTaken(path); err != nil {
			return nil, err
		}
	}
	return state, nil
}

// untouched returns the state of a database without Whimbrel's tables.
func (d *db) untouched(ctx context.Context, c *conn, set string) (*database.State, error) {
	state := zeroState(set)
	if err := c.ask(`SELECT NOT EXISTS (SELECT 1 FROM main.sqlite_schema WHERE type IN ('table', 'view'))`).Scan(&state.Bare); err != nil {
		return nil, d.connectError(err)
	}
	var err error
	state.Database, err = d.databaseName(ctx, c)
	return state, err
}

// eachRow reads the rows of the state query from the client itself: through database/sql, a
// thousand rows take nearly twice the time.
func eachRow(ctx context.Context, c *conn, query, set string, each func(row string) error) error {
	quiet, stop := c.watch(ctx)
	defer stop()
	err := c.Raw(func(client any) error {
		q, ok := client.(sqldriver.QueryerContext)
		if !ok {
			return otherClient(client)
		}
		rows, err := q.QueryContext(quiet, query, []sqldriver.NamedValue{{Ordinal: 1, Value: set}})
		if err != nil {
			return err
		}
		defer rows.Close()
		for row := make([]sqldriver.Value, 1); ; {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := rows.Next(row); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			text, ok := row[0].(string)
			if !ok {
				return errRow
			}
			if err := each(text); err != nil {
				return err
			}
		}
	})
	if ctx.Err() != nil && code(err) == lib.SQLITE_INTERRUPT {
		return ctx.Err()
	}
	return err
}

// stateReader builds a State from the rows of the state query. Each begins with a number: that of a
// history entry, or what else the row is.
type stateReader struct {
	set     string
	state   *database.State
	entries []entryRow
	stored  []database.StoredSetting
	open    *database.Journal
	own     int64  // the newest entry of Whimbrel's own set
	foreign string // objects in the place of its tables
}

// entryRow is a history entry that is not read yet, since the order of the rows may be wrong.
type entryRow struct {
	id   int64
	rest fields
}

var errRow = errors.New("a row of the history is invalid; it was not written by Whimbrel")

func (r *stateReader) row(row string) error {
	f := fields{rest: row}
	switch id := f.number(); {
	case id == -2:
		return r.journal(&f)
	case id == -1:
		r.own = f.number()
		version, foreign, _ := strings.Cut(f.rest, " ")
		f.rest, r.foreign = version+" ", foreign
		if v := f.number(); v > tablesVersion {
			return &database.TablesNewerError{Found: v, Known: tablesVersion}
		}
	case id == 0:
		return r.setting(&f)
	default:
		r.entries = append(r.entries, entryRow{id, f})
	}
	return f.err
}

// finish folds the entries in the order of their ids, in which they come unless
// PRAGMA reverse_unordered_selects is set.
func (r *stateReader) finish() (*database.State, error) {
	byID := func(a, b entryRow) int { return cmp.Compare(a.id, b.id) }
	if !slices.IsSortedFunc(r.entries, byID) {
		order.By(r.entries, byID)
	}
	r.state.Head = r.own
	const most = 1 << 12 // a history can have many entries of few migrations
	r.state.Applied.Grow(min(len(r.entries), most))
	for i := range r.entries {
		e, err := r.entries[i].rest.entry(r.entries[i].id, r.set)
		if err != nil {
			return nil, fmt.Errorf("history entry %d: %w", e.ID, err)
		}
		r.state.Head = max(r.state.Head, e.ID)
		r.state.Fold(e)
	}
	// Fold must not end the interrupted run with an older entry.
	r.state.Settings, r.state.Interrupted = database.NewSettings(r.stored...), r.open
	return r.state, nil
}

func (r *stateReader) journal(f *fields) error {
	r.open = &database.Journal{Held: f.number() != 0}
	held := r.open.Held
	err := cmp.Or(f.err, json.Unmarshal([]byte(f.rest), r.open))
	r.open.Held = held
	if err != nil {
		return fmt.Errorf("the journal of set %q is damaged: %w", r.set, err)
	}
	return nil
}

func (r *stateReader) setting(f *fields) (err error) {
	var v [6]string
	if err := json.Unmarshal([]byte(f.rest), &v); err != nil {
		return errRow
	}
	s := database.StoredSetting{Name: v[0], Value: v[1], Reason: v[2], ChangedBy: v[3]}
	if s.ChangedAt, err = parseTime(v[4]); err == nil && v[5] != "" {
		s.Until, err = parseTime(v[5])
	}
	if err != nil {
		return fmt.Errorf("setting %q: %w", s.Name, err)
	}
	if s.Until.IsZero() || s.Until.After(time.Now()) {
		r.stored = append(r.stored, s)
	}
	return nil
}

// fields are those of a row, with spaces between them.
type fields struct {
	rest string
	err  error
}

func (f *fields) next() string {
	field, rest, _ := strings.Cut(f.rest, " ")
	f.rest = rest
	return field
}

func (f *fields) number() int64 {
	n, err := strconv.ParseInt(f.next(), 10, 64)
	if err != nil {
		f.err = errRow
	}
	return n
}

// entry reads the rest of a stateEntry. Nothing in the entry keeps the row in memory.
func (f *fields) entry(id int64, set string) (e database.Entry, err error) {
	e = database.Entry{ID: id, Set: set, Version: f.number(), Direction: direction(f.next())}
	e.HasDownText, e.Duration = f.number() != 0, time.Duration(f.number())*time.Microsecond
	if e.StartedAt, err = parseTime(f.next()); err != nil {
		return e, err
	}
	if err = readChecksum(&e.Checksum, f.next()); err == nil {
		err = readChecksum(&e.DownChecksum, f.next())
	}
	e.Name = strings.Clone(f.rest)
	return e, cmp.Or(err, f.err)
}

// direction returns the usual direction without an allocation.
func direction(s string) database.Direction {
	if s == string(database.Up) {
		return database.Up
	}
	return database.Direction(strings.Clone(s))
}

// readChecksum is Checksum.UnmarshalText without allocations, of which each State would make two
// thousand.
func readChecksum(c *migration.Checksum, digits string) error {
	if digits == "-" {
		return nil
	}
	if len(digits) != 2*len(c) {
		return errRow
	}
	_, err := hex.Decode(c[:], []byte(digits))
	return err
}
