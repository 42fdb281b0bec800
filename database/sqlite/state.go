package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
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
	state := zeroState(set)
	var stored []database.StoredSetting
	var foreign string
	var open *database.Journal // Fold must not end it with an older entry
	err := eachRow(ctx, c.Conn, d.sql.state, set, func(r *rawEvent) error {
		switch {
		case r.id == -2:
			open = &database.Journal{}
			if err := json.Unmarshal([]byte(r.name), open); err != nil {
				return fmt.Errorf("the journal of set %q is damaged: %w", set, err)
			}
			open.Held = r.hasDownText
		// the newest entry of Whimbrel's own set, the tables' version, and foreign objects on the
		// tables
		case r.id < 0:
			if r.duration > tablesVersion {
				return &database.TablesNewerError{Found: r.duration, Known: tablesVersion}
			}
			if r.version == 0 {
				return d.emptied()
			}
			state.Head = max(state.Head, r.version)
			foreign = r.name
		case r.id == 0:
			s, err := r.setting()
			if err != nil {
				return err
			}
			if s.Until.IsZero() || s.Until.After(time.Now()) {
				stored = append(stored, s)
			}
		default:
			e, err := r.event(set)
			if err != nil {
				return err
			}
			state.Head = max(state.Head, e.ID)
			state.Fold(e)
		}
		return nil
	})
	if err != nil {
		if none, err := d.missing(ctx, c, err); !none {
			return nil, err
		}
		state := zeroState(set)
		state.Database, err = d.databaseName(ctx, c)
		return state, err
	}
	if strings.Contains(foreign, "view ") { // triggers don't affect reading
		return nil, foreignError(foreign)
	}
	if state.Database, err = d.databaseName(ctx, c); err != nil {
		return nil, err
	}
	if open != nil && open.Held { // by a Run that may be gone
		path, err := d.sidePath(ctx, c, set)
		if err != nil {
			return nil, err
		}
		if open.Held, err = sideTaken(path); err != nil {
			return nil, err
		}
	}
	state.Settings, state.Interrupted = database.NewSettings(stored...), open
	return state, nil
}

// eachRow reads the rows of the state query from the client itself: through database/sql, a
// thousand rows take nearly twice the time.
func eachRow(ctx context.Context, c *sql.Conn, query, set string, each func(*rawEvent) error) error {
	return c.Raw(func(client any) error {
		q, ok := client.(sqldriver.QueryerContext)
		if !ok {
			return otherClient(client)
		}
		rows, err := q.QueryContext(ctx, query, []sqldriver.NamedValue{{Ordinal: 1, Value: set}})
		if err != nil {
			return err
		}
		defer rows.Close()
		row := make([]sqldriver.Value, len(rows.Columns()))
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := rows.Next(row); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			var r rawEvent
			if err := r.read(row); err != nil {
				return err
			}
			if err := each(&r); err != nil {
				return err
			}
		}
	})
}

// rawEvent is an unconverted row of the history.
type rawEvent struct {
	id, version                                        int64
	name, direction, checksum, downChecksum, startedAt string
	hasDownText                                        bool
	duration                                           int64
}

var errRow = errors.New("a row of the history is invalid; it was not written by Whimbrel")

// read reads the eventColumns.
func (r *rawEvent) read(row []sqldriver.Value) error {
	ok := true
	number := func(v sqldriver.Value) int64 {
		n, is := v.(int64)
		ok = ok && is
		return n
	}
	text := func(v sqldriver.Value) string {
		s, is := v.(string)
		ok = ok && is
		return s
	}
	*r = rawEvent{
		id: number(row[0]), version: number(row[1]), name: text(row[2]), direction: text(row[3]),
		checksum: text(row[4]), downChecksum: text(row[5]), hasDownText: number(row[6]) != 0,
		startedAt: text(row[7]), duration: number(row[8]),
	}
	if !ok {
		return errRow
	}
	return nil
}

func (r *rawEvent) event(set string) (e database.Entry, err error) {
	e = database.Entry{
		ID: r.id, Set: set, Version: r.version, Name: r.name, Direction: database.Direction(r.direction),
		HasDownText: r.hasDownText, Duration: time.Duration(r.duration) * time.Microsecond,
	}
	if e.StartedAt, err = time.Parse(timeLayout, r.startedAt); err == nil {
		err = readChecksum(&e.Checksum, r.checksum)
	}
	if err == nil {
		err = readChecksum(&e.DownChecksum, r.downChecksum)
	}
	if err != nil {
		err = fmt.Errorf("history entry %d: %w", r.id, err)
	}
	return e, err
}

// readChecksum is Checksum.UnmarshalText without allocations, of which each State would make two
// thousand.
func readChecksum(c *migration.Checksum, digits string) error {
	if digits == "" {
		return nil
	}
	if len(digits) != 2*len(c) {
		return errRow
	}
	_, err := hex.Decode(c[:], []byte(digits))
	return err
}

// setting reads a row of the settings, which has the columns of an entry.
func (r *rawEvent) setting() (s database.StoredSetting, err error) {
	s = database.StoredSetting{Name: r.name, Value: r.direction, Reason: r.checksum, ChangedBy: r.downChecksum}
	at, until, _ := strings.Cut(r.startedAt, " ")
	if s.ChangedAt, err = time.Parse(timeLayout, at); err == nil && until != "" {
		s.Until, err = time.Parse(timeLayout, until)
	}
	if err != nil {
		err = fmt.Errorf("setting %q: %w", r.name, err)
	}
	return s, err
}
