package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Reset drops views, tables and remaining triggers. There is one schema, and no ownership. The Tx
// has the only lock, so other sets can only be in the middle of a Run.
func (b *transaction) Reset(ctx context.Context, _ []string, e database.Entry) (out *database.Emptied, err error) {
	err = b.do(ctx, func(ctx context.Context) error {
		out, err = b.empty(ctx, e)
		return err
	})
	return out, err
}

func (b *transaction) empty(ctx context.Context, e database.Entry) (*database.Emptied, error) {
	if b.written {
		return nil, errors.New("reset must be the only change in its transaction")
	}
	if err := b.keys.off(ctx, b); err != nil {
		return nil, err
	}
	if err := b.noRuns(ctx); err != nil {
		return nil, err
	}
	sets, err := b.sets(ctx)
	if err != nil {
		return nil, err
	}
	out := &database.Emptied{}
	b.written = true
	// a virtual table takes its own tables with it
	for _, what := range []string{dropFirst, dropLast} {
		objects, err := b.objects(ctx, what)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			kind := strings.ToUpper(strings.TrimPrefix(o.Type, "virtual "))
			if err := b.c.do("DROP " + kind + " main." + quote(o.Name)); err != nil {
				return nil, fmt.Errorf("reset: drop %s: %w", o, b.d.connectError(err))
			}
		}
		out.Dropped = append(out.Dropped, objects...)
	}
	e.Version, e.Direction = database.NilVersion, database.Reset
	if e.StartedAt.IsZero() {
		e.StartedAt, e.Duration = b.last, time.Since(b.last)
	}
	sets = append(sets, b.set) // last: the head derives from the last entry
	for _, e.Set = range sets {
		if err := b.append(e); err != nil {
			return nil, err
		}
	}
	out.Sets = slices.Sorted(slices.Values(sets))
	return out, nil
}

// off disables foreign keys for the transaction. With them, DROP TABLE first deletes row by row,
// which may fail depending on rows of other tables.
func (k *foreignKeys) off(ctx context.Context, b *transaction) error {
	if err := k.read(ctx, b.c); err != nil || !k.now {
		return err
	}
	return k.restart(ctx, b, []sqltext.Statement{{Text: "PRAGMA foreign_keys = OFF"}})
}

// noRuns returns an error if another set has a Run.
func (b *transaction) noRuns(ctx context.Context) error {
	marks, err := b.strings(ctx, b.d.sql.runs)
	if err != nil {
		return err
	}
	for i := 0; i+1 < len(marks); i += 2 {
		set := strings.TrimPrefix(marks[i], guardRow(""))
		path, err := b.d.sidePath(ctx, b.c, set)
		if err != nil {
			return err
		}
		if alive, err := sideTaken(path); err != nil {
			return err
		} else if alive && set != b.set {
			var g guardMark
			if err := json.Unmarshal([]byte(marks[i+1]), &g); err != nil {
				return fmt.Errorf("row %q of table %s: %w", marks[i], b.d.names.Settings, err)
			}
			return &database.LockedError{Set: set, Holder: g.holder()}
		}
	}
	return nil
}

// sets returns the other sets of the history.
func (b *transaction) sets(ctx context.Context) ([]string, error) {
	return b.strings(ctx, b.d.sql.sets, b.set)
}

// The order of dropping, as conditions for objects.
const (
	dropFirst = "o.type IN ('view', 'virtual table')"
	dropLast  = "true"
)

// objects lists all objects except SQLite's and Whimbrel's. A trigger is dropped with its table,
// unless the table is Whimbrel's.
func (b *transaction) objects(ctx context.Context, where string) (all []database.Object, err error) {
	rows, err := b.strings(ctx, b.d.sql.objects+" WHERE "+where+" ORDER BY o.type != 'view', o.type, o.name")
	for i := 0; i+1 < len(rows); i += 2 {
		all = append(all, database.Object{Type: rows[i], Name: rows[i+1]})
	}
	return all, err
}

// strings reads all values of all rows.
func (b *transaction) strings(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := b.c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, b.d.connectError(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var all []string
	for rows.Next() {
		row := make([]string, len(columns))
		to := make([]any, len(row))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return nil, err
		}
		all = append(all, row...)
	}
	return all, b.d.connectError(rows.Err())
}
