package mysql_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
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

// A step that is recorded is not one that its process executes, although its journal remains until
// the process does something else.
func TestHolderHasDoneItsTask(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"advisory", "lease"} {
		t.Run(lock, func(t *testing.T) {
			t.Parallel()
			url, _ := newDatabase(t)
			url += "?lock=" + lock
			other := open(t, url)
			opts := whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
				if done, ok := e.(whimbrel.StepDone); ok {
					h, held, err := database.LockHolder(background(t), other, "s")
					must(t, err)
					if !held || strings.HasPrefix(h.Task, fmt.Sprintf("%04d", done.Step.Version)) {
						t.Errorf("after step %d, the lock is held: %t, by a process that executes %q", done.Step.Version, held, h.Task)
					}
				}
			}}
			_, err := whimbrel.New(open(t, url), setOf(t, "s", "CREATE TABLE a (x int)", "CREATE TABLE b (x int)"), opts).Up(background(t))
			must(t, err)
		})
	}
}

// errOf2 is the error of a call with two more results.
func errOf2[A, B any](_ A, _ B, err error) error { return err }
