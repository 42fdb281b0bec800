package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

const (
	recorded  = "SELECT backend_pid FROM whimbrel_journal WHERE set_name = 's'"
	endsGuard = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

// orphan leaves an interrupted run of which only the working session is alive, and returns its
// process id. The run is closed after the test.
func orphan(t *testing.T, c *pgx.Conn, db database.Database) (pid string) {
	t.Helper()
	r := guard(t, db, "s")
	must(t, r.Journal(background(t), &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 1, Begun: "VACUUM"}))
	do(t, c, endsGuard)
	return value(t, c, recorded)
}

func lives(t *testing.T, c *pgx.Conn, pid string) bool {
	t.Helper()
	return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE pid = "+pid) == "1"
}

// Taking a run over terminates its old session: no statement in transit can be executed there.
func TestTakingOverEndsTheSessionBefore(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		for name, takeOver := range map[string]func(t *testing.T, db database.Database){
			"a run":         func(t *testing.T, db database.Database) { guard(t, db, "s") },
			"a transaction": func(t *testing.T, db database.Database) { begin(t, db, "s") },
		} {
			t.Run(fmt.Sprintf("PostgreSQL %d/%s", m.Major, name), func(t *testing.T) {
				t.Parallel()
				url := m.New(t)
				c := connect(t, url)
				pid := orphan(t, c, open(t, url))
				equal(t, "whether the session lives", lives(t, c, pid), true)
				takeOver(t, open(t, url))
				equal(t, "whether it lives when it was taken over", lives(t, c, pid), false)
			})
		}
	}
}

// A role that may not terminate the session waits for its end up to the lock timeout, and reports
// it.
func TestTakingOverWithoutThePrivilege(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	pid := orphan(t, c, open(t, url))
	do(t, c, "GRANT USAGE ON SCHEMA public TO "+role+"; GRANT ALL ON ALL TABLES IN SCHEMA public TO "+role)
	db := open(t, asRole(url, role))
	for what, takeOver := range map[string]func(opts database.LockOptions) error{
		"a run":         func(opts database.LockOptions) error { _, _, err := db.Guard(background(t), "s", opts); return err },
		"a transaction": func(opts database.LockOptions) error { _, _, err := db.Begin(background(t), "s", opts); return err },
	} {
		asked := 0
		err := takeOver(database.LockOptions{Timeout: 50 * time.Millisecond, Waiting: func(h database.Holder) { asked++ }})
		equal(t, "the pid in the error of "+what, fmt.Sprint(as[*database.LockedError](t, err).Holder.PID), pid)
		contains(t, "the error of "+what, err.Error(), "is still open", "this role may not terminate it", "pg_signal_backend")
		if asked == 0 {
			t.Errorf("%s did not say that it waits", what)
		}
	}
	equal(t, "whether the session lives", lives(t, c, pid), true)

	done := make(chan error, 1)
	waiting := make(chan struct{}, 1000)
	go func() {
		r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit, Waiting: func(database.Holder) { waiting <- struct{}{} }})
		if err == nil {
			err = r.Close(context.Background())
		}
		done <- err
	}()
	<-waiting
	do(t, c, "SELECT pg_terminate_backend("+pid+")")
	must(t, <-done)
}

// A member of pg_signal_backend may terminate it, unless it belongs to a superuser.
func TestTakingOverAsAnotherRole(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	role := newRole(t, c)
	do(t, c, "GRANT CREATE, USAGE ON SCHEMA public TO "+role)
	must(t, apply(t, open(t, asRole(url, role)), "s", 1, script("SELECT 1")))
	pid := orphan(t, c, open(t, asRole(url, role)))
	guard(t, open(t, url, database.Options{TablesOwner: role}), "s")
	equal(t, "whether the session lives", lives(t, c, pid), false)
}

// Process ids are reused. A session with the same id and another start time is left alone.
func TestTakingOverLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c, innocent := connect(t, url), connect(t, url)
	pid := orphan(t, c, open(t, url))
	other := value(t, innocent, "SELECT pg_backend_pid()")
	do(t, c, "UPDATE whimbrel_journal SET backend_pid = "+other)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{})
	must(t, err)
	must(t, r.Close(background(t)))
	equal(t, "whether the other session lives", lives(t, c, other), true)
	do(t, c, "SELECT pg_terminate_backend("+pid+")")
}

// A run that stops gives up its session, which may be the caller's: it is not terminated later.
func TestSessionOfAStoppedRunIsLeftAlone(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	pool := newPool(t, url, ofSize(1))
	_, err := up(t, postgres.NewPool(pool, database.Options{}), setOf(t, "s", "CREATE TABLE t (x int); VACUUM t; SELECT 1 / 0"))
	as[*whimbrel.MigrationError](t, err)
	equal(t, "the session of the open run", value(t, c, recorded), "<null>")
	pid := poolValue(t, pool, "SELECT pg_backend_pid()::text")
	guard(t, open(t, url), "s")
	equal(t, "whether the caller's session lives", lives(t, c, pid), true)
}

// Behind a pooler, sessions are neither recorded nor terminated.
func TestSessionsOfAPoolerAreNotEnded(t *testing.T) {
	t.Parallel()
	url, direct := testdb.PgBouncer(t)
	c := connect(t, direct)
	r := guard(t, open(t, url), "s")
	equal(t, "the rows of the journal", value(t, c, "SELECT count(*) FROM whimbrel_journal"), "1")
	equal(t, "the session of the run", value(t, c, recorded), "<null>")
	must(t, r.Close(background(t)))
}

// A worker with a broken connection is replaced, after its old session, which may be alive, has
// ended.
func TestReplacingAWorkerEndsItsSession(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	proxy := testdb.NewProxy(t, url)
	db := open(t, proxy.URL)
	r := guard(t, db, "s")
	pid := value(t, c, recorded)
	proxy.HoldWhen(func(message []byte) bool { return strings.Contains(string(message), "CREATE TABLE late") })
	done := make(chan error, 1)
	go func() { done <- execAll(background(t), db, r, script("CREATE TABLE late (x int)")) }()
	eventually(t, "the statement is held back", proxy.Holding)
	proxy.Abandon()
	as[*database.StatementError](t, <-done)
	equal(t, "whether the session lives", lives(t, c, pid), true)

	must(t, r.Journal(background(t), &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 1, Begun: "VACUUM"}))
	equal(t, "whether the session lives when it is replaced", lives(t, c, pid), false)
	equal(t, "whether that lives which the journal names", lives(t, c, value(t, c, recorded)), true)
	proxy.Deliver()
	equal(t, "the table of the statement that came late", value(t, c, "SELECT to_regclass('late')"), "<null>")
	must(t, r.Journal(background(t), nil))
	must(t, r.Close(background(t)))
}

// The session of a process that died may commit one more entry before it is ended. The process that
// takes over sees it, or it would do the same step again.
func TestTakingOverSeesTheLastCommit(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c, other := connect(t, url), connect(t, url)
	do(t, c, "CREATE TABLE gate (x int); "+onInsert("held", "LOCK TABLE gate"))
	do(t, other, "BEGIN; LOCK TABLE gate")
	proxy := testdb.NewProxy(t, url)
	_, s := underRun(t, open(t, proxy.URL))
	done := inBackground(func() error {
		_, _, err := commitEach(t, s, "INSERT INTO held VALUES (1)")
		return err
	})
	eventually(t, "COMMIT waits", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'gate'::regclass") == "1"
	})
	proxy.Stall() // the process does not learn that its guard ends
	do(t, c, endGuard)
	asked := false
	tap := testdb.NewTap(t, url, func(_ int, m any) {
		if p, ok := m.(*pgproto3.Parse); ok && !asked && strings.Contains(p.Query, "SELECT backend_pid AS pid") {
			asked = true
			do(t, other, "COMMIT")
			eventually(t, "the entry is committed", func() bool {
				return value(t, c, "SELECT count(*) FROM whimbrel_history WHERE set_name = 's' AND version = 3") == "1"
			})
		}
	})
	tx, found, err := open(t, tap.URL).Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	equal(t, "whether it asked for the session", asked, true)
	st, err := tx.State(background(t))
	must(t, err)
	equal(t, "the head that it found", found.Head, st.Head)
	must(t, tx.Rollback(background(t)))
	proxy.Resume()
	_ = done() // it may learn of the COMMIT first, or of the lost lock
}
