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
	r := stateReader{set: set, state: zeroState(set)}
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
			if row[0] == nil { // no entries
				continue
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

// stateReader builds a State from the rows of the state query. Each begins with a number: the id of
// the first history entry, or what else the row is.
type stateReader struct {
	set     string
	state   *database.State
	entries []string // those of the history, which are not read yet; a text can have many
	stored  []database.StoredSetting
	open    *database.Journal
	own     int64  // the newest entry of Whimbrel's own set
	foreign string // objects in the place of its tables
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
		r.entries = append(r.entries, row)
	}
	return f.err
}

// finish folds the entries.
func (r *stateReader) finish() (*database.State, error) {
	size := 0
	for _, text := range r.entries {
		size += len(text)
	}
	const usual, most = 180, 1 << 12 // bytes of an entry; a history can have many of few migrations
	r.state.Applied.Grow(min(size/usual+1, most))
	inOrder, err := r.fold()
	if err == nil && !inOrder {
		err = r.foldSorted()
	}
	if err != nil {
		return nil, err
	}
	r.state.Head = max(r.state.Head, r.own)
	// Fold must not end the interrupted run with an older entry.
	r.state.Settings, r.state.Interrupted = database.NewSettings(r.stored...), r.open
	return r.state, nil
}

// fold folds the entries as they come. It stops if that is not the order of their ids.
func (r *stateReader) fold() (inOrder bool, err error) {
	e := database.Entry{Set: r.set}
	for _, text := range r.entries {
		for f := (&fields{rest: text}); f.rest != ""; {
			if err := f.entry(&e); err != nil {
				return false, err
			}
			if e.ID <= r.state.Head {
				return false, nil
			}
			r.state.Head = e.ID
			r.state.Fold(e)
		}
	}
	return true, nil
}

// foldSorted is fold for a connection with PRAGMA reverse_unordered_selects.
func (r *stateReader) foldSorted() error {
	var all []database.Entry
	for _, text := range r.entries {
		for f := (&fields{rest: text}); f.rest != ""; {
			e := database.Entry{Set: r.set}
			if err := f.entry(&e); err != nil {
				return err
			}
			all = append(all, e)
		}
	}
	order.By(all, func(a, b database.Entry) int { return cmp.Compare(a.ID, b.ID) })
	r.state = zeroState(r.set)
	for _, e := range all {
		r.state.Head = e.ID
		r.state.Fold(e)
	}
	return nil
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
	rest  string
	names strings.Builder // the names that were read: one allocation for many
	err   error
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

// entry reads a stateEntry into e, whose set is known. Nothing in e keeps the row in memory.
func (f *fields) entry(e *database.Entry) (err error) {
	e.ID, e.Version, e.Direction = f.number(), f.number(), direction(f.next())
	e.HasDownText, e.Duration = f.number() != 0, time.Duration(f.number())*time.Microsecond
	at, checksum, down := f.next(), f.next(), f.next()
	e.Name = f.name(f.number())
	if e.StartedAt, err = parseTime(at); err == nil {
		err = cmp.Or(readChecksum(&e.Checksum, checksum), readChecksum(&e.DownChecksum, down), f.err)
	}
	if err != nil {
		return fmt.Errorf("history entry %d: %w", e.ID, err)
	}
	return nil
}

// name reads a name of n bytes.
func (f *fields) name(n int64) string {
	if n < 0 || n > int64(len(f.rest)) {
		f.err = errRow
		return ""
	}
	from := f.names.Len()
	f.names.WriteString(f.rest[:n])
	f.rest = f.rest[n:]
	return f.names.String()[from:]
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
		*c = migration.Checksum{}
		return nil
	}
	if len(digits) != 2*len(c) {
		return errRow
	}
	_, err := hex.Decode(c[:], []byte(digits))
	return err
}
