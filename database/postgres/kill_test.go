package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// A process killed in the middle of a transaction leaves neither a lock nor a running statement
// behind. The next Up succeeds.
func TestKilledProcessLeavesNothing(t *testing.T) {
	hang := "CREATE TABLE a (x int); SELECT pg_sleep(300);"
	tests := map[string]struct {
		ups    []string
		fixed  []string
		pooled bool
	}{
		"in a transaction":                   {ups: []string{hang}, fixed: []string{"CREATE TABLE a (x int)"}},
		"in a transaction through PgBouncer": {ups: []string{hang}, fixed: []string{"CREATE TABLE a (x int)"}, pooled: true},
		"in a run":                           {ups: []string{"VACUUM; SELECT pg_sleep(300);"}, fixed: []string{"VACUUM; CREATE TABLE a (x int)"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, direct := "", ""
			if tt.pooled {
				url, direct = testdb.PgBouncer(t)
			} else {
				url = testdb.Postgres(t)
				direct = url
			}
			c := connect(t, direct)
			p := start(t, job{URL: url, Sets: map[string][]string{"s": tt.ups}})
			p.begin()
			becomesStuck(t, c)
			equal(t, "the number of locks", value(t, c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"), "2") // the set's, and the one that all share
			p.kill()

			eventually(t, "the server ends the statement", func() bool { return !stuck(t, c) })
			eventually(t, "the lock is free", func() bool {
				return value(t, c, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == "0"
			})
			db := open(t, url)
			_, err := up(t, db, setOf(t, "s", tt.fixed...))
			must(t, err)
			equal(t, "the applied versions", versions(t, db, "s"), "[1]")
		})
	}
}

// The next process needs no preparation: it waits for the lock.
func TestNextProcessWaitsForTheOrphan(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	p := start(t, job{URL: url, Sets: map[string][]string{"s": {"CREATE TABLE a (x int); SELECT pg_sleep(300);"}}})
	p.begin()
	becomesStuck(t, c)
	p.kill()
	_, err := up(t, open(t, url), setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
}

// If a server shuts down, the error says so, and what to do; after its restart everything works.
func TestServerGoesAway(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t)
	url := server.New()
	for name, goAway := range map[string]func(){"stopped": server.Stop, "killed": server.Kill} {
		db := open(t, url)
		must(t, apply(t, db, name, 1, script("CREATE TABLE IF NOT EXISTS t (x int)")))
		b := begin(t, db, name)
		r := guard(t, db, name+" run")
		must(t, b.Exec(background(t), script("INSERT INTO t VALUES (1)")))
		_, err := b.State(background(t))
		must(t, err)
		goAway()
		_, err = b.Commit(background(t))
		as[*database.CommitUnknownError](t, err) // it can't be known: the COMMIT was on its way
		err = execAll(background(t), db, r, script("INSERT INTO t VALUES (1)"))
		var lost *database.LockLostError
		if !errors.As(err, &lost) { // either connection can break first
			as[*database.StatementError](t, err)
		}
		must(t, r.Close(background(t)))
		_, err = db.State(background(t), name)
		contains(t, "the error of State", as[*database.ConnectError](t, err).Error(), "check host and port, and that the server is running")

		server.Start()
		_, err = up(t, db, setOf(t, name+" afterwards", "SELECT 1"))
		must(t, err)
		equal(t, "the number of rows", value(t, connect(t, url), "SELECT count(*) FROM t"), "0")
		equal(t, "the applied versions", versions(t, db, name), "[1]")
		must(t, db.Close())
	}
}

// An administrator's termination of the connection is reported like any server error.
func TestBackendIsTerminated(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	done := make(chan error, 1)
	go func() {
		done <- begin(t, db, "s").Exec(background(t), script("SELECT 1;\nSELECT pg_sleep(300);\nSET work_mem = '7MB'"))
	}()
	becomesStuck(t, c)
	do(t, c, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()")
	e := as[*database.StatementError](t, <-done)
	equal(t, "Code", e.Code, "57P01")
	equal(t, "the line", e.Pos.Line, 2)
	contains(t, "the error", e.Error(), "terminating connection", "try again")
	becomesFree(t, db, "s")
}

// A silent network is given up some time after the context is done.
func TestNetworkGoesSilent(t *testing.T) {
	for name, use := range map[string]func(ctx context.Context, db database.Database, b database.Tx) error{
		"State": func(ctx context.Context, db database.Database, _ database.Tx) error {
			_, err := db.State(ctx, "s")
			return err
		},
		"Run":    func(ctx context.Context, _ database.Database, b database.Tx) error { return b.Exec(ctx, longScript) },
		"Commit": func(ctx context.Context, _ database.Database, b database.Tx) error { return errOf(b.Commit(ctx)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			proxy := testdb.NewProxy(t, url)
			db := open(t, proxy.URL)
			must(t, apply(t, db, "other", 1, script("CREATE TABLE t (x int)")))
			b := begin(t, db, "s")
			must(t, b.Exec(background(t), script("INSERT INTO t VALUES (1)")))
			must(t, b.Record(background(t), event(1)))
			proxy.Stall()
			ctx, cancel := context.WithTimeout(background(t), 50*time.Millisecond)
			defer cancel()
			err := use(ctx, db, b)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v, want context.DeadlineExceeded", err)
			}
			must(t, b.Rollback(ctx))
			proxy.Resume()
			direct := open(t, url)
			becomesFree(t, direct, "s")
			rows, want := value(t, connect(t, url), "SELECT count(*) FROM t"), "[]"
			if name == "Commit" { // the COMMIT was in transit, and arrives with the held messages
				as[*database.CommitUnknownError](t, err)
				if rows == "1" {
					want = "[1]"
				}
			} else {
				equal(t, "the number of rows", rows, "0")
			}
			equal(t, "the applied versions", versions(t, direct, "s"), want)
		})
	}
}

var longScript = script(strings.Repeat("INSERT INTO t VALUES (2);\n", 100))
