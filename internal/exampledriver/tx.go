package exampledriver

import (
	"context"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// tx implements database.Tx. It works on a copy of the data, which Commit makes the data.
type tx struct {
	*hold
	work    *data
	saved   savepoints
	entries []database.Entry
	head    int64
	last    time.Time // when the transaction began, or the last entry was recorded
	failed  error     // after which only Rollback helps
}

// do does something, unless something has failed before.
func (t *tx) do(ctx context.Context, what func() error) error {
	if err := t.enter(ctx); err != nil {
		return err
	}
	defer t.leave()
	if t.failed != nil {
		return fmt.Errorf("the transaction has failed before: %w", t.failed)
	}
	t.failed = what()
	return t.failed
}

func (t *tx) State(ctx context.Context) (st *database.State, err error) {
	err = t.do(ctx, func() error {
		st = t.db.state(t.work, t.set)
		return nil
	})
	return st, err
}

func (t *tx) Exec(ctx context.Context, s *migration.Script) error {
	return t.do(ctx, func() error {
		if s.Func() != nil {
			return fmt.Errorf("%s: this driver has no Go functions, this is a %T", s.File, s.Func())
		}
		a, err := s.Analyze(t.db.Dialect(), t.db.Tables())
		if err != nil {
			return err
		}
		for st, err := range a.Body() { // without a BEGIN … COMMIT around the whole
			if err == nil {
				err = t.saved.execute(t.work, st)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *tx) Record(ctx context.Context, entries ...database.Entry) error {
	return t.do(ctx, func() error {
		for _, e := range entries {
			now := time.Now()
			if e.StartedAt.IsZero() {
				e.StartedAt, e.Duration = t.last, now.Sub(t.last)
			}
			t.last = now
			t.entries = append(t.entries, t.db.append(t.work, t.set, []database.Entry{e})...)
		}
		return nil
	})
}

func (t *tx) Commit(ctx context.Context) (database.Recorded, error) {
	err := t.do(ctx, func() error { return t.db.store.commit(t.work) })
	if err != nil {
		t.end()
		return database.Recorded{}, err
	}
	t.end()
	if n := len(t.entries); n > 0 {
		t.head = t.entries[n-1].ID
	}
	return database.Recorded{Entries: t.entries, Head: t.head}, nil
}

// Rollback forgets the copy.
func (t *tx) Rollback(context.Context) error {
	t.end()
	return nil
}
