package whimbrel_test

import (
	"context"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

// forgetful is a driver that does not tell of the events that it was given.
type forgetful struct{ database.Database }

type forgetfulBatch struct{ database.Tx }

type forgetfulRun struct{ database.Run }

func (f forgetful) Begin(ctx context.Context, set string, opts database.LockOptions) (database.Tx, database.Found, error) {
	b, found, err := f.Database.Begin(ctx, set, opts)
	return forgetfulBatch{b}, found, err
}

func (f forgetful) Guard(ctx context.Context, set string, opts database.LockOptions) (database.Run, database.Found, error) {
	r, found, err := f.Database.Guard(ctx, set, opts)
	return forgetfulRun{r}, found, err
}

func (f forgetfulBatch) Commit(ctx context.Context) (database.Recorded, error) {
	recorded, err := f.Tx.Commit(ctx)
	recorded.Entries = nil
	return recorded, err
}

func (f forgetfulRun) Record(ctx context.Context, entries ...database.Entry) (database.Recorded, error) {
	recorded, err := f.Run.Record(ctx, entries...)
	recorded.Entries = nil
	return recorded, err
}

// A driver that has recorded less than it was given is an error, never a panic and never a success.
func TestFewerEventsThanWereRecorded(t *testing.T) {
	for name, do := range map[string]func(*whimbrel.Migrator) error{
		"a batch": func(m *whimbrel.Migrator) error { _, err := m.Up(t.Context()); return err },
		"a mark":  func(m *whimbrel.Migrator) error { return m.Mark(t.Context(), "", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			db := forgetful{open(t, memdb.New())}
			err := do(whimbrel.New(db, newSet(t, plain(2)...), whimbrel.Options{}))
			if err == nil || !strings.Contains(err.Error(), "recorded 0 of 1 history entries") {
				t.Fatalf("the error is %v, want one that says that nothing was recorded", err)
			}
		})
	}
	t.Run("a run", func(t *testing.T) {
		db := forgetful{open(t, memdb.New())}
		_, err := whimbrel.New(db, newSet(t, script{1, "-- whimbrel: no-transaction\nCREATE TABLE t (x)", "-"}), whimbrel.Options{}).Up(t.Context())
		if err == nil || !strings.Contains(err.Error(), "recorded 0 of 1 history entries") {
			t.Fatalf("the error is %v, want one that says that nothing was recorded", err)
		}
	})
}
