package whimbrel_test

import (
	"context"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// forgetful is a driver that does not report the history entries that it recorded.
type forgetful struct{ database.Database }

type forgetfulTx struct{ database.Tx }

type forgetfulRun struct{ database.Run }

func (f forgetful) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	b, found, err := f.Database.Begin(ctx, set, opts)
	return forgetfulTx{b}, found, err
}

func (f forgetful) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	r, found, err := f.Database.Guard(ctx, set, opts)
	return forgetfulRun{r}, found, err
}

func (f forgetfulTx) Commit(ctx context.Context) (database.Recorded, error) {
	recorded, err := f.Tx.Commit(ctx)
	recorded.Entries = nil
	return recorded, err
}

func (f forgetfulRun) Record(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
	recorded, err := f.Run.Record(ctx, entries...)
	recorded.Entries = nil
	return recorded, err
}

// A driver that records fewer entries than it was given causes an error: no panic, no success.
func TestFewerEntriesThanWereGiven(t *testing.T) {
	scripts := plain(2)
	for name, do := range map[string]func(*whimbrel.Migrator) error{
		"a transaction": func(m *whimbrel.Migrator) error { return tryUp(t, m) },
		"a mark":        func(m *whimbrel.Migrator) error { return m.Mark(t.Context(), "", 1) },
		"a run":         func(m *whimbrel.Migrator) error { return tryUp(t, m) },
	} {
		t.Run(name, func(t *testing.T) {
			set := newSet(t, scripts...)
			if name == "a run" {
				set = alone(set)
			}
			err := do(whimbrel.New(forgetful{open(t, memdb.New())}, set, whimbrel.Options{}))
			wantErrorText(t, err, "recorded 0 of 1 history entries")
		})
	}
}
