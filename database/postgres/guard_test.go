package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// While CREATE INDEX CONCURRENTLY runs under the guard, others wait for the lock without a
// snapshot, for which it would wait in turn.
func TestOthersWaitWhileAnIndexIsBuilt(t *testing.T) {
	for name, through := range map[string]bool{"directly": false, "through PgBouncer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := ""
			if through {
				url, _ = testdb.PgBouncer(t)
			} else {
				url = testdb.Postgres(t)
			}
			db := open(t, url)
			must(t, apply(t, db, "s", 1, script("CREATE TABLE t AS SELECT generate_series(1, 100) AS x")))
			r := guard(t, db, "s")
			var waiting, all sync.WaitGroup
			waiting.Add(10)
			errs := make(chan error, 10)
			for range 10 {
				all.Go(func() {
					other, err := database.Open(context.Background(), url, database.Options{})
					if err != nil {
						errs <- err
						waiting.Done()
						return
					}
					defer other.Close()
					var once sync.Once
					b, _, err := other.Begin(context.Background(), "s", database.LockOptions{Timeout: waitLimit, Waiting: func(database.Holder) { once.Do(waiting.Done) }})
					if err == nil {
						err = b.Rollback(context.Background())
					}
					errs <- err
				})
			}
			waiting.Wait()
			for i := range 5 {
				must(t, execAll(background(t), db, r, script(fmt.Sprintf("CREATE INDEX CONCURRENTLY i%d ON t (x)", i))))
			}
			_, err := r.Record(background(t), event(2))
			must(t, err)
			must(t, r.Close(background(t)))
			all.Wait()
			for range 10 {
				must(t, <-errs)
			}
			equal(t, "the number of valid indexes", value(t, connect(t, url), "SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid"), "5")
		})
	}
}

// If the connection that holds the lock ends, the statement under it is canceled on the server: it
// no longer runs when another process gets the lock.
func TestLostLockCancelsTheStatement(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	db := open(t, url)
	r := guard(t, db, "s")
	done := make(chan error, 1)
	go func() { done <- execAll(background(t), db, r, script("SELECT pg_sleep(300)")) }()
	becomesStuck(t, c)
	do(t, c, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	err := <-done
	equal(t, "the set in the error", as[*database.LockLostError](t, err).Set, "s")
	equal(t, "what still runs", stuck(t, c), false)
	if errors.Is(err, context.Canceled) {
		t.Errorf("the error %v says that the caller cancelled it", err)
	}
	_, err = r.Record(background(t), event(1))
	as[*database.LockLostError](t, err)
	as[*database.LockLostError](t, execAll(background(t), db, r, script("SELECT 1")))
	must(t, r.Close(background(t)))
	isFree(t, db, "s")
	equal(t, "the applied versions", versions(t, db, "s"), "[]")
}

// The lock's connection may be idle for any time.
func TestGuardMayBeIdle(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	// creating the tables takes several steps
	must(t, apply(t, open(t, url), "other", 1, script("SELECT 1")))
	db := open(t, url+"&idle_in_transaction_session_timeout=50ms")
	r := guard(t, db, "s")
	must(t, execAll(background(t), db, r, script("SELECT pg_sleep(0.3)")))
	_, err := r.Record(background(t), event(1))
	must(t, err)
	must(t, r.Close(background(t)))
}

// A run needs no more than one connection of a pool.
func TestRunWithAPoolOfOne(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	pool := newPool(t, url, ofSize(1), func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["application_name"] = "the pool" })
	db := postgres.NewPool(pool, database.Options{})
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE t (x int)", "CREATE INDEX CONCURRENTLY ON t (x)", "VACUUM t"))
	must(t, err)
	equal(t, "the applied versions", versions(t, db, "s"), "[1 2 3]")
	equal(t, "the number of connections that the pool made", pool.Stat().NewConnsCount(), 1)
	// the pool's connection, and the new one
	eventually(t, "the lock's connection is closed", func() bool { return connections(t, connect(t, url)) == "2" })
}

// If a second connection isn't possible, the error says so.
func TestRunWithoutASecondConnection(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	do(t, c, "ALTER ROLE "+role+" CONNECTION LIMIT 1; GRANT CREATE, USAGE ON SCHEMA public TO "+role)
	db := open(t, asRole(url, role)+"&pool_max_conns=1")
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE t (x int)", "VACUUM t"))
	as[*database.ConnectError](t, err)
	contains(t, "the error", err.Error(), "needs a second connection, which holds the lock", "too many connections for role")
	equal(t, "the applied versions", versions(t, db, "s"), "[1]")
	do(t, c, "ALTER ROLE "+role+" CONNECTION LIMIT 2")
	_, err = up(t, db, setOf(t, "s", "CREATE TABLE t (x int)", "VACUUM t"))
	must(t, err)
}

// A transaction that the script opens belongs to the script; if left open, it is rolled back, and
// the script can't be recorded.
func TestTransactionThatARunLeavesOpen(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	r := guard(t, db, "s")
	must(t, execAll(background(t), db, r, script("CREATE TABLE kept (x int); BEGIN; CREATE TABLE dropped (x int)")))
	_, err := r.Record(background(t), event(1))
	contains(t, "the error of Record", err.Error(), "it must end it")
	must(t, r.Close(background(t)))
	c := connect(t, url)
	equal(t, "the table outside", value(t, c, "SELECT to_regclass('kept')"), "kept")
	equal(t, "the table inside", value(t, c, "SELECT to_regclass('dropped')"), "<null>")
	equal(t, "the applied versions", versions(t, db, "s"), "[]")
}

// COPY works in a run.
func TestCopyInARun(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE t (x int);\nVACUUM t;\nCOPY t FROM stdin;\n1\n2\n\\.\nVACUUM t;\n"))
	must(t, err)
	equal(t, "the number of rows", value(t, connect(t, url), "SELECT count(*) FROM t"), "2")

	s := script("SELECT 1;\nCOPY t FROM stdin;\n1\n2\nx\n\\.\n")
	a, err := s.Analyze(db.Dialect(), db.Tables())
	must(t, err)
	next, stop := iter.Pull2(a.All())
	defer stop()
	next()
	st, _, _ := next()
	equal(t, "the kind of the statement", st.Kind, sqltext.CopyIn)
	r := guard(t, db, "s")
	var data io.Reader = database.CopyData(next)
	e := as[*database.StatementError](t, r.Exec(background(t), s, st, data, nil))
	equal(t, "the line of the mistake", e.Pos.Line, 5)
}

// A run that stops reports how many of its statements remain applied.
func TestRunThatStops(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.Postgres(t))
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE t (x int); VACUUM t; SELECT 1 / 0;"))
	e := as[*whimbrel.MigrationError](t, err)
	equal(t, "the number of executed statements", e.Executed, 2)
	isFree(t, db, "s")
}

// Through a pooler, a run has no session to change and restore: statements that would change one
// are refused, and other clients of the pooler are not affected.
func TestRunThroughPgBouncerHasNoSession(t *testing.T) {
	t.Parallel()
	url, direct := testdb.PgBouncer(t)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("CREATE TABLE t (x int)")))
	r := guard(t, db, "s")
	for _, group := range sessionChanges {
		for _, s := range group {
			// their effect is not visible
			if strings.HasPrefix(s.change, "GRANT") || strings.HasPrefix(s.change, "DO $$ BEGIN SET") {
				continue
			}
			e := as[*database.StatementError](t, execAll(background(t), db, r, script(s.change)))
			contains(t, "the error of "+s.change, e.Error(), "pooler", "connect to PostgreSQL directly")
		}
	}
	withTimeout := script("VACUUM t")
	withTimeout.LockTimeout = waitLimit
	e := as[*database.StatementError](t, execAll(background(t), db, r, script("CREATE INDEX CONCURRENTLY ON t (x)")))
	contains(t, "the error of an index without a name", e.Error(), "a second index", "give the index a name", "connect to PostgreSQL directly")
	contains(t, "the error of a directive", execAll(background(t), db, r, withTimeout).Error(), "connect to PostgreSQL directly")

	others := "SELECT string_agg(concat_ws(' ', current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('client_connection_check_interval'), current_setting('role')), ',')"
	before := value(t, connect(t, url), others)
	must(t, execAll(background(t), db, r, script("VACUUM t; BEGIN; SET LOCAL lock_timeout = '7s'; INSERT INTO t VALUES (1); COMMIT; CREATE INDEX CONCURRENTLY i ON t (x); DO $$ BEGIN COMMIT; END $$;")))
	c := connect(t, url)
	for range 20 { // whichever connection the pooler assigns
		equal(t, "what another client of the pooler has", value(t, c, others), before)
	}
	_, err := r.Record(background(t), event(2))
	must(t, err)
	must(t, r.Close(background(t)))
	equal(t, "the applied versions", versions(t, db, "s"), "[1 2]")
	equal(t, "the session locks that are left", value(t, connect(t, direct), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"), "0")
}

// A script interrupted after a transaction of its own resumes through a pooler, too: settings for
// that transaction are transactional again.
func TestRunThroughPgBouncerResumesAfterATransaction(t *testing.T) {
	t.Parallel()
	url, direct := testdb.PgBouncer(t)
	const begin = "CREATE TABLE t (x int); BEGIN; SET LOCAL lock_timeout = '7s'; INSERT INTO t VALUES (1); COMMIT; VACUUM t; "
	_, err := up(t, open(t, url), setOf(t, "s", begin+"INSERT INTO nowhere VALUES (2)"))
	equal(t, "the number of executed statements", as[*whimbrel.MigrationError](t, err).Executed, 6)
	_, err = up(t, open(t, url), setOf(t, "s", begin+"INSERT INTO t VALUES (2)"))
	must(t, err)
	equal(t, "the rows", value(t, connect(t, direct), "SELECT string_agg(x::text, ',' ORDER BY x) FROM t"), "1,2")
}

// An error at COMMIT has the place of the statement that was marked with it: its own, or the
// script's COMMIT.
func TestDeferredConstraintInARunHasAPlace(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	const table = "CREATE TABLE t (x int PRIMARY KEY, y int REFERENCES t DEFERRABLE INITIALLY DEFERRED);\nVACUUM t;\n"
	for set, c := range map[string]struct {
		script string
		line   int
	}{
		"alone": {"INSERT INTO t VALUES (1, 2);\n", 3},
		"own":   {"BEGIN;\nINSERT INTO t VALUES (1, 2);\nCOMMIT;\n", 5},
	} {
		do(t, connect(t, url), "DROP TABLE IF EXISTS t")
		_, err := up(t, db, setOf(t, set, table+c.script))
		e := as[*database.StatementError](t, err)
		equal(t, "the code", e.Code, "23503")
		equal(t, "the line of the error", e.Pos.Line, c.line)
		equal(t, "the number of executed statements", as[*whimbrel.MigrationError](t, err).Executed, 2)
	}
}

// The transaction of a killed process can still be open on the server, and can have written the
// journal's row for the set. Guard waits for it only as long as its options say, and reports that.
func TestGuardWaitsForTheJournal(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	other := connect(t, url)
	do(t, other, "BEGIN; INSERT INTO whimbrel_journal (set_name, token, lock_key) VALUES ('s', 'x', 1)")

	waited := 0
	_, _, err := db.Guard(background(t), "s", database.LockOptions{Waiting: func(database.Holder) { waited++ }})
	locked := as[*database.LockedError](t, err)
	equal(t, "what is locked", locked.What, `Whimbrel's table "public"."whimbrel_journal"`)
	equal(t, "how often it called Waiting", waited, 1)

	var end sync.Once
	opts := database.LockOptions{Timeout: waitLimit, Waiting: func(database.Holder) {
		end.Do(func() { do(t, other, "ROLLBACK") })
	}}
	r, _, err := db.Guard(background(t), "s", opts)
	must(t, err)
	must(t, r.Close(background(t)))
}

// A Database that the driver has opened keeps the connection of its last guard, after a run that
// ended well, until Close. If the connection has ended meanwhile, the next run opens another.
func TestTheGuardIsKept(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("CREATE TABLE t (x int)")))
	run := func(n int64, end bool) {
		t.Helper()
		r := guard(t, db, "s")
		must(t, execAll(background(t), db, r, script("VACUUM t")))
		if end {
			_, err := r.Record(background(t), event(n))
			must(t, err)
		}
		must(t, r.Close(background(t)))
		isFree(t, db, "s")
	}
	others := func(n string) func() bool { return func() bool { return connections(t, c) == n } }
	run(2, true)
	equal(t, "the number of connections: that of the pool and that of the guard", connections(t, c), "2")
	run(3, true)
	eventually(t, "the next run makes none, or replaces one", others("2"))
	do(t, c, "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() ORDER BY backend_start DESC LIMIT 1")
	run(4, true)
	run(5, false)
	eventually(t, "a run that was not recorded keeps nothing", others("1"))
	run(6, true)
	must(t, db.Close())
	eventually(t, "Close closes all", others("0"))
}
