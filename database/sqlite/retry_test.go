package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A step that other connections block is tried again, without the lock in the pause, until they are
// gone.
func TestRetryBesideOtherConnections(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, blocker string
		noTransaction bool
	}{
		{"a COMMIT beside a reader", "BEGIN; SELECT * FROM t", false},
		{"a statement of a run beside a writer", "BEGIN IMMEDIATE", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app.db")
			db := connect(t, "sqlite:"+path, database.Options{})
			apply(t, db, 1, "CREATE TABLE t (x); INSERT INTO t VALUES (1)")
			other := open(t, path, "")
			other.SetMaxOpenConns(1)
			s := text("INSERT INTO t VALUES (2)")
			s.NoTransaction = tt.noTransaction
			set, err := migration.NewSet("app", migration.Migration{Version: 2, Name: "two", Up: s})
			must(t, err)
			blocked, retries := false, 0
			m := whimbrel.New(db, set, whimbrel.Options{
				AllowOutOfOrder: true, LockTimeout: 20 * time.Millisecond, MigrationLockTimeout: 5 * time.Minute,
				Observe: func(_ context.Context, e whimbrel.Event) {
					switch e := e.(type) {
					case whimbrel.StepStarted:
						if !blocked && !tt.noTransaction {
							_, err = other.Exec(tt.blocker)
							blocked = true
						}
					case whimbrel.StatementStarted:
						if !blocked {
							_, err = other.Exec(tt.blocker)
							blocked = true
						}
					case whimbrel.Retrying:
						if !errors.Is(e.Err, database.ErrLockTimeout) {
							t.Errorf("the retry follows %v, want ErrLockTimeout", e.Err)
						}
						if retries++; retries == 2 {
							_, err = other.Exec("COMMIT")
						}
					}
				},
			})
			r, uerr := m.Up(bg)
			must(t, err)
			must(t, uerr)
			if len(r.Applied) != 1 || r.Applied[0].Retries < 2 || r.Applied[0].Retries != retries {
				t.Errorf("applied %+v after %d retries, want 2 at least", r.Applied, retries)
			}
			if n := scan[int](t, path, "SELECT count(*) FROM t"); n != 2 {
				t.Errorf("%d rows, want 2", n)
			}
		})
	}
}
