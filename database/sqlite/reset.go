package sqlite

import (
	"context"
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
	others, err := texts(ctx, b.c, b.d.sql.sets, b.set)
	if err != nil {
		return nil, b.d.connectError(err)
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
	if err := b.dropFills(); err != nil {
		return nil, err
	}
	e.Version, e.Direction = database.NilVersion, database.Reset
	if e.StartedAt.IsZero() {
		e.StartedAt, e.Duration = b.last, time.Since(b.last)
	}
	for _, other := range append(others, []string{b.set}) { // its own last: the head derives from the last entry
		e.Set = other[0]
		if err := b.append(e); err != nil {
			return nil, err
		}
		out.Sets = append(out.Sets, e.Set)
	}
	slices.Sort(out.Sets)
	return out, nil
}

// off disables foreign keys for the transaction. With them, DROP TABLE first deletes row by row,
// which may fail depending on rows of other tables.
func (k *foreignKeys) off(ctx context.Context, b *transaction) error {
	if err := k.read(b.c); err != nil || !k.now {
		return err
	}
	return k.restart(ctx, b, []sqltext.Statement{{Text: "PRAGMA foreign_keys = OFF"}})
}

// noRuns returns an error if another set has a Run.
func (b *transaction) noRuns(ctx context.Context) error {
	marks, err := b.d.living(ctx, b.c)
	for set, g := range marks {
		if set != b.set {
			return &database.LockedError{Set: set, Holder: g.holder()}
		}
	}
	return b.d.connectError(err)
}

// The order of dropping, as conditions for objects.
const (
	dropFirst = "o.type IN ('view', 'virtual table')"
	dropLast  = "true"
)

// objects lists all objects except SQLite's and Whimbrel's. A trigger is dropped with its table,
// unless the table is Whimbrel's.
func (b *transaction) objects(ctx context.Context, where string) (all []database.Object, err error) {
	rows, err := texts(ctx, b.c, b.d.sql.objects+" WHERE "+where+" ORDER BY o.type != 'view', o.type, o.name")
	for _, row := range rows {
		all = append(all, database.Object{Type: row[0], Name: row[1]})
	}
	return all, b.d.connectError(err)
}
