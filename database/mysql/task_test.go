package mysql_test

import (
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A process that waits for the migration lock learns which script the holder executes, its
// statement without secrets, and since when.
func TestHolderSaysWhatItExecutes(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"advisory", "lease"} {
		t.Run(lock, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			_, err := pool.Exec("CREATE TABLE a (x int)")
			must(t, err)
			url += "?lock=" + lock
			end := block(t, pool, "START TRANSACTION", "SELECT * FROM a")
			set, err := migration.NewSet("s", migration.Migration{Version: 5, Name: "orders_by_time", Up: migration.Text("0005_orders_by_time.up.sql", "ALTER TABLE a ADD COLUMN y char(9) DEFAULT 'hunter2'")})
			must(t, err)
			done := make(chan error, 1)
			db := open(t, url)
			go func() { _, err := up(t, db, set); done <- err }()
			eventually(t, "it waits", func() bool { return isRunning(t, pool, "ALTER TABLE a%") })
			h := as[*database.LockedError](t, errOf2(open(t, url).Begin(background(t), "s", database.LockOptions{}))).Holder
			equal(t, "the task", h.Task, "0005_orders_by_time")
			equal(t, "the statement", h.Query, "ALTER TABLE a ADD COLUMN y char(9) DEFAULT 'xxxxx'")
			if age := time.Since(h.Since); age > waitLimit || age < -time.Minute {
				t.Errorf("it executes it for %s", age)
			}
			end()
			must(t, <-done)

			b, _, err := db.Begin(background(t), "s", database.LockOptions{})
			must(t, err)
			h = as[*database.LockedError](t, errOf2(open(t, url).Begin(background(t), "s", database.LockOptions{}))).Holder
			equal(t, "the task and statement between the statements of a transaction", h.Task+h.Query, "")
			must(t, b.Rollback(background(t)))
		})
	}
}

// errOf2 is the error of a call with two more results.
func errOf2[A, B any](_ A, _ B, err error) error { return err }
