package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const syncScript = `-- whimbrel: backfill users
-- whimbrel: sync
UPDATE users SET low = lower(email) || '-' || id, n = (SELECT c.n FROM codes c WHERE c.id = users.code)
WHERE id BETWEEN :first AND :last AND users.low IS NULL
`

const syncTables = `CREATE TABLE codes (id INTEGER PRIMARY KEY, n INT);
INSERT INTO codes VALUES (1, 10), (2, 20);
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, code INT DEFAULT 1, low TEXT DEFAULT '', n INT);`

// TestSync checks that the rows that an application writes during a backfill are as if it had
// written them before.
func TestSync(t *testing.T) {
	t.Parallel()
	path, db := fillFile(t, strings.Replace(syncTables, "DEFAULT ''", "", 1)+"WITH RECURSIVE r (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r WHERE i < 500) INSERT INTO users (email) SELECT 'User' || i FROM r")
	s := backfillOf(t, syncScript)
	startFill(t, db, s)
	finished, writers := make(chan struct{}), sync.WaitGroup{}
	for w := range 2 {
		writers.Go(func() {
			err := inspect(path, func(pool *sql.DB) error {
				if _, err := pool.Exec("PRAGMA busy_timeout = 300000"); err != nil {
					return err
				}
				pool.SetMaxOpenConns(1)
				for i := 0; i < 50 || !closed(finished); i++ {
					if err := writeUsers(pool, w, i); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("the application can't write: %v", err)
			}
		})
	}
	must(t, fillAll(context.Background(), db, laneOf(s, "w"), 20))
	close(finished)
	writers.Wait()
	count := func(query string) (n int) {
		t.Helper()
		must(t, inspect(path, func(pool *sql.DB) error { return pool.QueryRow(query).Scan(&n) }))
		return n
	}
	const differ = "SELECT count(*) FROM users WHERE low IS NOT lower(email) || '-' || id OR n IS NOT code * 10"
	if n := count(differ); n != 0 {
		t.Errorf("%d rows differ", n)
	}
	must(t, inspect(path, func(pool *sql.DB) error {
		_, err := pool.Exec("UPDATE users SET email = 'x', low = 'own' WHERE id = (SELECT max(id) FROM users); INSERT INTO users (email, low) VALUES ('y', 'own')")
		return err
	}))
	if n := count("SELECT count(*) FROM users WHERE low = 'own'"); n != 2 {
		t.Errorf("%d rows are as the application wrote them, want 2", n)
	}
	b := begin(t, db)
	must(t, b.(database.BackfillTx).FinishBackfill(bg, 1))
	must(t, errOf(b.Commit(bg)))
	if n := count("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'"); n != 0 {
		t.Errorf("%d triggers are left", n)
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// writeUsers inserts, changes, replaces and moves rows.
func writeUsers(pool *sql.DB, w, i int) error {
	id := 1 + (i*37+w*11)%500
	var err error
	switch i % 5 {
	case 0:
		_, err = pool.Exec("INSERT INTO users (email, code) VALUES (?, 2)", fmt.Sprintf("New%d-%d", w, i))
	case 1:
		_, err = pool.Exec("UPDATE users SET email = ?, code = 3 - code WHERE id = ?", fmt.Sprintf("Changed%d-%d", w, i), id)
	case 2:
		_, err = pool.Exec("REPLACE INTO users (id, email) VALUES (?, 'Replaced')", id)
	case 3:
		_, err = pool.Exec("INSERT INTO users (id, email) VALUES (?, 'Again') ON CONFLICT (id) DO UPDATE SET email = excluded.email || users.email", id)
	case 4:
		_, err = pool.Exec("UPDATE users SET id = ? WHERE id = ?", -1000*(w+1)-i, id)
	}
	return err
}

// TestSyncEnds checks that nothing is left of triggers whose backfill is removed or cancelled, and
// that a default counts as not written.
func TestSyncEnds(t *testing.T) {
	t.Parallel()
	path, db := fillFile(t, syncTables)
	s := backfillOf(t, strings.ReplaceAll(syncScript, "AND users.low IS NULL", ""))
	left := func(want int, when string) {
		t.Helper()
		var n int
		must(t, inspect(path, func(pool *sql.DB) error {
			return pool.QueryRow("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'").Scan(&n)
		}))
		if n != want {
			t.Errorf("%d triggers %s, want %d", n, when, want)
		}
	}
	startFill(t, db, s)
	startFill(t, db, s)
	left(2, "of a backfill that was started again")
	snapshot, err := database.Snapshot(bg, db, catalog.Options{})
	must(t, err)
	for _, o := range snapshot.Objects {
		if strings.HasPrefix(o.Name, migration.SyncPrefix) {
			t.Errorf("the schema has %s", o.ID())
		}
	}
	var low string
	must(t, inspect(path, func(pool *sql.DB) error {
		if _, err := pool.Exec("INSERT INTO users (id, email) VALUES (7, 'A')"); err != nil {
			return err
		}
		return pool.QueryRow("SELECT low FROM users").Scan(&low)
	}))
	if low != "a-7" {
		t.Errorf("low = %q, want a-7 in place of the default", low)
	}
	b := begin(t, db)
	must(t, b.(database.BackfillTx).EndBackfill(bg, 1))
	must(t, errOf(b.Commit(bg)))
	left(0, "of a backfill that was removed")
	startFill(t, db, s)
	_, err = db.ChangeBackfill(bg, database.BackfillChange{BackfillID: database.BackfillID{Set: "app", Version: 1}, Action: database.ActionCancel})
	must(t, err)
	left(0, "of a backfill that was cancelled")
}

// TestSyncIsChecked checks that a trigger that would fail is refused before it exists.
func TestSyncIsChecked(t *testing.T) {
	t.Parallel()
	_, db := fillFile(t, syncTables)
	for body, want := range map[string]string{
		"UPDATE users SET low = rowid WHERE id BETWEEN :first AND :last":                                     "a trigger can't execute the statement for a single row: no such column: rowid",
		"UPDATE users SET low = low || 'x' WHERE id BETWEEN :first AND :last":                                "the value reads the column low",
		"UPDATE users SET low = (SELECT max(o.email) FROM users o) WHERE id BETWEEN :first AND :last":        "the statement reads other rows of users",
		"UPDATE users SET low = 'a' WHERE id BETWEEN :first AND :last;\nDELETE FROM codes WHERE id = :first": "needs a backfill of one UPDATE",
	} {
		_, err := db.CheckBackfill(bg, backfillOf(t, "-- whimbrel: backfill users\n-- whimbrel: sync\n"+body))
		var place *sqltext.Error
		if !errors.As(err, &place) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s with a place", body, err, want)
		}
	}
}
