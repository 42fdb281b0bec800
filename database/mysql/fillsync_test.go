package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/catalog"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

const syncScript = "-- whimbrel: backfill users\n-- whimbrel: sync\n" +
	"UPDATE users AS u SET u.low = concat(lower(email), '-', code), `n` = (SELECT c.n FROM codes c WHERE c.id = u.code)\n" +
	"WHERE id BETWEEN :first AND :last AND u.low IS NULL\n"

var syncTables = []string{
	"CREATE TABLE codes (id int PRIMARY KEY, n int)",
	"INSERT INTO codes VALUES (1, 10), (2, 20)",
	"CREATE TABLE users (id bigint AUTO_INCREMENT PRIMARY KEY, email varchar(100) NOT NULL, code int DEFAULT 1, low varchar(100), n int, up varchar(100) AS (upper(email)) STORED, state varchar(10) NOT NULL DEFAULT 'new')",
}

// TestSync checks that the rows that an application writes during a backfill are as if it had
// written them before.
func TestSync(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, append(syncTables, "INSERT INTO users (email) SELECT concat('User', seq) FROM seq_1_to_500")...)
	s := backfillOf(t, syncScript)
	startFill(t, db, s)
	finished, writers := make(chan struct{}), sync.WaitGroup{}
	for w := range 3 {
		writers.Go(func() {
			for i := 0; i < 50 || !closed(finished); i++ {
				writeUsers(t, pool, w, i)
			}
		})
	}
	must(t, fillAll(context.Background(), db, laneOf(s, "w"), 7))
	close(finished)
	writers.Wait()
	count := func(query string) (n int) {
		t.Helper()
		must(t, pool.QueryRow(query).Scan(&n))
		return n
	}
	if n := count("SELECT count(*) FROM users WHERE NOT low <=> concat(lower(email), '-', code) OR NOT n <=> code * 10"); n != 0 {
		t.Errorf("%d rows differ", n)
	}
	must(t, errOf(pool.Exec("UPDATE users SET email = 'x', low = 'own' ORDER BY id DESC LIMIT 1")))
	must(t, errOf(pool.Exec("INSERT INTO users (email, low) VALUES ('y', 'own')")))
	if n := count("SELECT count(*) FROM users WHERE low = 'own'"); n != 2 {
		t.Errorf("%d rows are as the application wrote them, want 2", n)
	}
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.(database.BackfillTx).FinishBackfill(background(t), 1))
	must(t, b.Record(background(t), database.Entry{Version: 1, Name: "fill", Direction: database.Finish, StartedAt: time.Now()}))
	must(t, errOf(b.Commit(background(t))))
	if n := count("SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE()"); n != 0 {
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

// writeUsers inserts, changes, replaces and moves rows. It tries again after a deadlock.
func writeUsers(t testing.TB, pool *sql.DB, w, i int) {
	id := 1 + (i*37+w*11)%500
	query, args := "", []any(nil)
	switch i % 5 {
	case 0:
		query, args = "INSERT INTO users (email, code) VALUES (?, 2)", []any{fmt.Sprintf("New%d-%d", w, i)}
	case 1:
		query, args = "UPDATE users SET email = ?, code = 3 - code WHERE id = ?", []any{fmt.Sprintf("Changed%d-%d", w, i), id}
	case 2:
		query, args = "REPLACE INTO users (id, email) VALUES (?, 'Replaced')", []any{id}
	case 3:
		query, args = "INSERT INTO users (id, email) VALUES (?, 'Again') ON DUPLICATE KEY UPDATE email = concat(VALUES(email), email)", []any{id}
	case 4:
		query, args = "UPDATE users SET id = ? WHERE id = ?", []any{-1000*(w+1) - i, id}
	}
	for try := 0; ; try++ {
		_, err := pool.Exec(query, args...)
		if err == nil {
			return
		}
		if !strings.Contains(err.Error(), "Deadlock") || try == 100 {
			t.Errorf("the application can't write: %v", err)
			return
		}
	}
}

// TestSyncEnds checks that nothing is left of triggers whose backfill is removed or cancelled, and
// that a default counts as not written.
func TestSyncEnds(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, syncTables...)
	s := backfillOf(t, "-- whimbrel: backfill users\n-- whimbrel: sync\nUPDATE users SET state = email WHERE id BETWEEN :first AND :last")
	left := func(want int, when string) {
		t.Helper()
		var n int
		must(t, pool.QueryRow("SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE()").Scan(&n))
		if n != want {
			t.Errorf("%d triggers %s, want %d", n, when, want)
		}
	}
	startFill(t, db, s)
	startFill(t, db, s)
	left(2, "of a backfill that was started again")
	snapshot, err := database.Snapshot(background(t), db, catalog.Options{})
	must(t, err)
	for _, o := range snapshot.Objects {
		if strings.HasPrefix(o.Name, migration.SyncPrefix) {
			t.Errorf("the schema has %s", o.ID())
		}
	}
	must(t, errOf(pool.Exec("INSERT INTO users (email) VALUES ('A')")))
	var state string
	must(t, pool.QueryRow("SELECT state FROM users").Scan(&state))
	if state != "A" {
		t.Errorf("state = %q, want A in place of the default", state)
	}
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.(database.BackfillTx).EndBackfill(background(t), 1))
	must(t, errOf(b.Commit(background(t))))
	left(0, "of a backfill that was removed")
	startFill(t, db, s)
	_, err = db.ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionCancel})
	must(t, err)
	left(0, "of a backfill that was cancelled")
}

// TestSyncIsLeft checks what happens to triggers that a process has created that was killed before
// it recorded the start: they are a difference of the schema until the next start replaces them.
func TestSyncIsLeft(t *testing.T) {
	t.Parallel()
	_, pool, db := fillDatabase(t, append(syncTables, "INSERT INTO users (email) VALUES ('A')")...)
	s := backfillOf(t, syncScript)
	target, err := db.CheckBackfill(background(t), s)
	must(t, err)
	sync, err := s.SyncTriggers(sqltext.MySQL, "s", 1, *target.Sync)
	must(t, err)
	leave := func() {
		t.Helper()
		for _, text := range sync.Create {
			must(t, errOf(pool.Exec(text)))
		}
	}
	want := func(when string, want int) {
		t.Helper()
		snapshot, err := database.Snapshot(background(t), db, catalog.Options{})
		must(t, err)
		n := 0
		for _, o := range snapshot.Objects {
			if o.Kind == catalog.Trigger {
				n++
			}
		}
		if n != want {
			t.Errorf("%s the schema has %d triggers, want %d", when, n, want)
		}
	}
	end := func(f func(database.BackfillTx) error) {
		t.Helper()
		b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
		must(t, err)
		must(t, f(b.(database.BackfillTx)))
		must(t, errOf(b.Commit(background(t))))
	}
	leave()
	want("before the start", 2)
	startFill(t, db, s)
	want("after the start", 0)
	_, err = db.ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionCancel})
	must(t, err)
	leave() // as if the process had been killed before it dropped them
	want("after a cancel that was killed", 2)
	_, err = db.ChangeBackfill(background(t), database.BackfillChange{BackfillID: fillID, Action: database.ActionCancel})
	must(t, err)
	want("after another cancel", 0)
	leave()
	end(func(b database.BackfillTx) error { return b.EndBackfill(background(t), 1) })
	want("after a rollback", 0)
	leave()
	end(func(b database.BackfillTx) error { return b.EndBackfill(background(t), 1) })
	want("after the rollback of a version that has no backfill", 0)
}

// TestSyncIsChecked checks that a trigger that would fail is refused before it exists.
func TestSyncIsChecked(t *testing.T) {
	t.Parallel()
	_, _, db := fillDatabase(t, syncTables...)
	for body, want := range map[string]string{
		"UPDATE users SET low = up WHERE id BETWEEN :first AND :last":                                 "a trigger does not see the value of the column up yet",
		"UPDATE users SET low = id WHERE id BETWEEN :first AND :last":                                 "a trigger does not see the value of the column id yet",
		"UPDATE users SET low = 'a' WHERE id BETWEEN :first AND :last ORDER BY id":                    "a trigger can't apply ORDER",
		"UPDATE users SET low = (SELECT max(o.email) FROM users o) WHERE id BETWEEN :first AND :last": "the statement reads other rows of users",
	} {
		_, err := db.CheckBackfill(background(t), backfillOf(t, "-- whimbrel: backfill users\n-- whimbrel: sync\n"+body))
		var place *sqltext.Error
		if !errors.As(err, &place) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s with a place", body, err, want)
		}
	}
}
