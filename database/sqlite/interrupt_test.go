package sqlite_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/migration"
)

// The handle is in a field of the client, which an update of the client could rename. Without the
// fields that are known, everything is left to the client.
func TestTheHandleIsFound(t *testing.T) {
	t.Parallel()
	pool := open(t, filepath.Join(t.TempDir(), "app.db"), "")
	c, err := pool.Conn(bg)
	must(t, err)
	defer c.Close()
	must(t, c.Raw(func(client any) error {
		if sqlite.HandleOf(client) == 0 {
			t.Error("the client's connection has no handle")
		}
		return nil
	}))
	for _, other := range []any{nil, 1, t, (*int)(nil), &struct{ db uintptr }{1}} {
		if h := sqlite.HandleOf(other); h != 0 {
			t.Errorf("a %T has the handle %x, want none", other, h)
		}
	}
}

// A statement costs no goroutine, and database/sql has no part in it.
func TestCostOfAStatement(t *testing.T) {
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	ctx, cancel := context.WithCancel(bg)
	defer cancel()
	allocations := func(statements int) float64 {
		script := text(strings.Repeat("INSERT INTO t VALUES (1);\n", statements))
		return testing.AllocsPerRun(3, func() {
			tx := begin(t, db)
			must(t, tx.Exec(ctx, script))
			must(t, tx.Rollback(bg))
		})
	}
	if n := (allocations(1100) - allocations(100)) / 1000; n > 0.1 {
		t.Errorf("a statement makes %.1f allocations, want none", n)
	}
}

// The context may end between two statements, when SQLite forgets an interrupt.
func TestCancelAtAnyStatement(t *testing.T) {
	t.Parallel()
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	apply(t, db, 1, "CREATE TABLE t (x)")
	endless := "INSERT INTO t WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	script := text(strings.Repeat("INSERT INTO t VALUES (1);\n", 50) + endless)
	for i := range 20 {
		ctx, cancel := context.WithTimeout(bg, time.Duration(i)*100*time.Microsecond)
		tx := begin(t, db)
		if err := tx.Exec(ctx, script); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Exec: %v, want %v", err, context.DeadlineExceeded)
		}
		cancel()
		must(t, tx.Rollback(bg))
	}
	apply(t, db, 2, "INSERT INTO t VALUES (1)")
}

// History entries are read as one text, and cost nothing each.
func TestCostOfAState(t *testing.T) {
	db := connect(t, "sqlite:"+filepath.Join(t.TempDir(), "app.db"), database.Options{})
	tx := begin(t, db)
	const entries = 1000
	for v := range int64(entries) {
		e := event(v)
		e.HasDownText, e.DownChecksum = true, migration.Sum("y")
		must(t, tx.Record(bg, e))
	}
	must(t, errOf(tx.Commit(bg)))
	n := testing.AllocsPerRun(3, func() {
		st, err := db.State(bg, "app")
		must(t, err)
		if st.Applied.Len() != entries {
			t.Errorf("%d applied, want %d", st.Applied.Len(), entries)
		}
	})
	if n > entries/4 {
		t.Errorf("a State of %d entries makes %.0f allocations, want few", entries, n)
	}
}
