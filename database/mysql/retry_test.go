package mysql_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// While a migration is tried again behind a long transaction, the application's queries run. The
// migration succeeds when that transaction ends.
func TestTheApplicationWorksWhileAMigrationIsTriedAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ blocker, script string }{
		"DDL behind a reader":    {"SELECT * FROM a", "ALTER TABLE a ADD COLUMN y int"},
		"DDL behind a writer":    {"UPDATE a SET x = 2 WHERE id = 1", "CREATE TABLE b (x int); ALTER TABLE a ADD COLUMN y int"},
		"a row behind a writer":  {"UPDATE a SET x = 2 WHERE id = 1", "UPDATE a SET x = x + 10 WHERE id = 1"},
		"a script's transaction": {"UPDATE a SET x = 2 WHERE id = 1", "CREATE TABLE b (x int); BEGIN; INSERT INTO b VALUES (1); UPDATE a SET x = x + 10 WHERE id = 1; COMMIT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			for _, s := range []string{"CREATE TABLE a (id int PRIMARY KEY, x int)", "INSERT INTO a VALUES (1, 1), (2, 2)"} {
				_, err := pool.Exec(s)
				must(t, err)
			}
			end := block(t, pool, "START TRANSACTION", tc.blocker)
			retries := make(chan whimbrel.Retrying, 1000)
			m := whimbrel.New(open(t, url), setOf(t, "s", tc.script), whimbrel.Options{
				MigrationLockTimeout: waitLimit, LockTimeout: time.Second, RetryFor: waitLimit,
				Observe: func(_ context.Context, e whimbrel.Event) {
					if r, ok := e.(whimbrel.Retrying); ok {
						retries <- r
					}
				},
			})
			done := make(chan error, 1)
			go func() { _, err := m.Up(background(t)); done <- err }()
			var answered atomic.Int64 // queries of the application
			var longest time.Duration
			ctx, stop := context.WithCancel(background(t))
			asked := make(chan error, 1)
			go func() {
				for {
					begun := time.Now()
					_, err := pool.ExecContext(ctx, "UPDATE a SET x = 7 WHERE id = 2")
					if err != nil || ctx.Err() != nil {
						asked <- err
						return
					}
					longest = max(longest, time.Since(begun))
					answered.Add(1)
				}
			}()
			last := int64(0)
			for range 3 {
				r := <-retries
				as[*database.StatementError](t, r.Err)
				eventually(t, "the application's queries run between the attempts", func() bool { return answered.Load() > last })
				last = answered.Load()
			}
			end()
			must(t, <-done)
			stop()
			<-asked
			if longest > waitLimit/2 { // a second, and what a busy machine takes
				t.Errorf("a query of the application took %s", longest)
			}
			equal(t, "the versions", versions(t, open(t, url), "s"), "[1]")
			if name == "a row behind a writer" || name == "a script's transaction" {
				equal(t, "the row", value(t, pool, "SELECT x FROM a WHERE id = 1"), "11")
			}
			if name == "a script's transaction" {
				equal(t, "the rows of b", value(t, pool, "SELECT count(*) FROM b"), "1")
			}
			equal(t, "the entries", value(t, pool, "SELECT count(*) FROM whimbrel_history WHERE set_name = 's' AND direction = 'up'"), "1")
		})
	}
}

// A server that ends idle transactions early does not end one between two attempts.
func TestServersThatEndIdleTransactions(t *testing.T) {
	t.Parallel()
	url := testdb.PrivateMariaDB(t, "idle-transaction-timeout=1", "idle-write-transaction-timeout=1", "wait-timeout=1").New()
	db := open(t, url)
	opts := database.LockOptions{Timeout: waitLimit, LockTimeout: 2 * time.Second}
	b, _, err := db.Begin(background(t), "s", opts)
	must(t, err)
	time.Sleep(2500 * time.Millisecond)
	must(t, b.Exec(background(t), scriptOf("DO 1", 0)))
	must(t, errOf(b.Commit(background(t))))
}
