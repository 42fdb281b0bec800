package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// seen collects what a driver reports.
type seen struct {
	opts database.LockOptions
	all  chan database.Blockage
}

// seeing returns lock options that collect what blocks the statements.
func seeing(limit time.Duration) *seen {
	s := &seen{all: make(chan database.Blockage, 1000)}
	s.opts = database.LockOptions{Timeout: waitLimit, LockTimeout: limit, Blocked: func(b database.Blockage) { s.all <- b }}
	return s
}

// until returns the first report that fits, from now on.
func (s *seen) until(t testing.TB, what string, fits func(database.Blockage) bool) database.Blockage {
	t.Helper()
	last := database.Blockage{}
	for deadline := time.After(waitLimit); ; {
		select {
		case last = <-s.all:
			if fits(last) {
				return last
			}
		case <-deadline:
			t.Fatalf("not reported: %s; the last report is %+v", what, last)
		}
	}
}

func anything(database.Blockage) bool { return true }

// inBackground calls f and returns a function that waits for its error.
func inBackground(f func() error) func() error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return func() error { return <-done }
}

// send executes a statement in the background.
func send(c *pgx.Conn, sql string) func() error {
	return inBackground(func() error {
		_, err := c.PgConn().Exec(context.Background(), sql).ReadAll()
		return err
	})
}

func pidOf(t testing.TB, c *pgx.Conn) int64 {
	t.Helper()
	return int64(c.PgConn().PID())
}

// While a statement waits, who blocks it is reported: with the statement, the sessions in the way
// and what they hold, and how many sessions wait behind it.
func TestWhoIsInTheWay(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprintf("PostgreSQL %d", m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c := connect(t, url)
			do(t, c, "CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
			idle := block(t, url+"&application_name=reports", "SELECT * FROM t WHERE 'pw' <> ''")
			s := seeing(-1)
			db := open(t, url)
			migrated := inBackground(func() error {
				return execTx(t, db, "s", s.opts, script("SELECT 1;\nALTER TABLE t ADD y int;\n"))
			})
			b := s.until(t, "the idle transaction", anything)
			equal(t, "the statement", b.SQL, "ALTER TABLE t ADD y int")
			equal(t, "its number", b.Index, 1)
			equal(t, "the lock", b.Lock+" on "+b.Object, "AccessExclusiveLock on public.t")
			equal(t, "whether the time is known", b.Waited >= time.Second/2, true)
			equal(t, "the number of blockers", len(b.Blockers), 1)
			equal(t, "what is hidden", b.Hidden, "")
			x := b.Blockers[0]
			equal(t, "the kind", x.Kind, database.BlockerIdle)
			equal(t, "the process", x.PID, pidOf(t, idle.c))
			equal(t, "who", x.User+" "+x.App+" "+x.Host, "postgres reports 127.0.0.1")
			equal(t, "its state", x.State, "idle in transaction")
			equal(t, "its query", x.Query, "BEGIN; SELECT * FROM t WHERE 'pw' <> ''")
			equal(t, "what it holds", x.Lock+" on "+x.Object, "AccessShareLock on public.t")
			equal(t, "whether its times are known", x.Since.IsZero() || x.StateSince.IsZero() || x.StateSince.Before(x.Since), false)
			equal(t, "why it is never terminated", x.Exempt, "its user is a superuser")

			var readers []func() error
			for range 3 {
				readers = append(readers, send(connect(t, url), "SELECT * FROM t"))
			}
			s.until(t, "the queue", func(b database.Blockage) bool { return b.Queued == 3 })
			idle.end(t)
			must(t, migrated())
			for _, r := range readers {
				must(t, r())
			}
		})
	}
}

// Those who block the blockers are reported, too; those who block the statement itself come first.
func TestWhoIsInTheWayOfThem(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int); CREATE TABLE u (x int)")
	root := block(t, url, "LOCK TABLE u")
	middle := block(t, url, "SELECT * FROM t")
	ended := send(middle.c, "TABLE u")
	s := seeing(-1)
	db := open(t, url)
	migrated := inBackground(func() error { return execTx(t, db, "s", s.opts, script("DROP TABLE t")) })
	b := s.until(t, "both", func(b database.Blockage) bool { return len(b.Blockers) == 2 })
	equal(t, "the first", b.Blockers[0].PID, pidOf(t, middle.c))
	equal(t, "its kind", b.Blockers[0].Kind, database.BlockerSession)
	equal(t, "what it waits for", fmt.Sprint(b.Blockers[0].BlockedBy), fmt.Sprint([]int64{pidOf(t, root.c)}))
	equal(t, "the second", b.Blockers[1].PID, pidOf(t, root.c))
	equal(t, "what that holds", b.Blockers[1].Lock+" on "+b.Blockers[1].Object, "AccessExclusiveLock on public.u")
	root.end(t)
	must(t, ended())
	middle.end(t)
	must(t, migrated())
}

// Every way in which a statement is sent is watched.
func TestEveryStatementIsWatched(t *testing.T) {
	pooled, url := testdb.PgBouncer(t)
	sqlOne := openSQL(t, url)
	sqlOne.SetMaxOpenConns(1)
	for name, db := range map[string]database.Database{
		"url": open(t, url), "pgbouncer": open(t, pooled), "pool_of_one": postgres.NewPool(newPool(t, url, ofSize(1)), database.Options{}),
		"connection": postgres.NewConn(connect(t, url), database.Options{}), "sql_db": postgres.NewDB(sqlOne, database.Options{}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, table := connect(t, url), "t_"+name
			do(t, c, fmt.Sprintf("CREATE TABLE %s (x int PRIMARY KEY); CREATE TABLE child_%[1]s (x int REFERENCES %[1]s DEFERRABLE INITIALLY DEFERRED)", table))
			text := func(s string) *migration.Script { return script(strings.ReplaceAll(s, "$t", table)) }
			inTx := func(s *migration.Script) func(database.LockOptions) error {
				return func(opts database.LockOptions) error { return execTx(t, db, name, opts, s) }
			}
			inRun := func(s *migration.Script) func(database.LockOptions) error {
				return func(opts database.LockOptions) error {
					r, _, err := db.Guard(background(t), name, opts)
					if err != nil {
						return err
					}
					defer r.Close(context.Background())
					if err := execInTransactions(t, db, r, s); err != nil {
						return err
					}
					return r.Journal(background(t), nil)
				}
			}
			many := strings.Repeat("SELECT 1;\n", 50)
			for _, tt := range []struct {
				name  string
				do    func(database.LockOptions) error
				sql   string
				index int
			}{
				{"a statement", inTx(text("SELECT 1; INSERT INTO $t VALUES (1)")), "INSERT INTO $t VALUES (1)", 1},
				{"a long script", inTx(text(many + "INSERT INTO $t VALUES (1);" + many)), "INSERT INTO $t VALUES (1)", 50},
				{"COPY", inTx(text("COPY $t FROM stdin;\n1\n\\.\n")), "COPY $t FROM stdin", 0},
				{"a function", inTx(postgres.Func("f", func(ctx context.Context, tx pgx.Tx) error {
					_, err := tx.Exec(ctx, "INSERT INTO "+table+" VALUES (1)")
					return err
				})), "", 0},
				{"a statement of a run", inRun(text("SELECT 1; INSERT INTO $t VALUES (1)")), "INSERT INTO $t VALUES (1)", 1},
				{"one outside transactions", inRun(text("VACUUM FULL $t")), "VACUUM FULL $t", 0},
				{"CONCURRENTLY", inRun(text("CREATE INDEX CONCURRENTLY i_$t ON $t (x); DROP INDEX i_$t")), "CREATE INDEX CONCURRENTLY i_$t ON $t (x)", 0},
			} {
				b := block(t, url, "LOCK TABLE "+table)
				s := seeing(-1)
				migrated := inBackground(func() error { return tt.do(s.opts) }) // others may block it, too
				got := s.until(t, tt.name, func(got database.Blockage) bool { return got.First().PID == pidOf(t, b.c) })
				equal(t, "the statement of "+tt.name, got.SQL, strings.ReplaceAll(tt.sql, "$t", table))
				equal(t, "its number", got.Index, tt.index)
				b.end(t)
				must(t, migrated())
				do(t, c, "DELETE FROM "+table)
			}
			do(t, c, "INSERT INTO "+table+" VALUES (1)")
			b := block(t, url, "UPDATE "+table+" SET x = 2")
			s := seeing(-1)
			migrated := inBackground(func() error { return inTx(text("INSERT INTO child_$t VALUES (1)"))(s.opts) })
			got := s.until(t, "COMMIT", anything)
			equal(t, "the statement", got.SQL, "COMMIT")
			contains(t, "the object", got.Object, "transaction ", "a row of public."+table)
			b.end(t)
			must(t, migrated())
		})
	}
}

// A prepared transaction is called by its name.
func TestAPreparedTransactionIsInTheWay(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t, "max_prepared_transactions=5")
	c := connect(t, server.URL)
	do(t, c, "CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
	do(t, c, "BEGIN; UPDATE t SET x = 2; PREPARE TRANSACTION 'left ''behind'")
	do(t, c, "BEGIN; SELECT * FROM t; PREPARE TRANSACTION 'a reader'")
	db := open(t, server.URL)
	for name, tt := range map[string]struct{ script, holds string }{
		"a table": {"CREATE INDEX ON t (x)", "RowExclusiveLock on public.t"},
		"a row":   {"UPDATE t SET x = 3", "ExclusiveLock on transaction"},
	} {
		t.Run(name, func(t *testing.T) {
			s := seeing(-1)
			ctx, cancel := context.WithCancel(background(t))
			b := beginWith(t, db, s.opts)
			migrated := inBackground(func() error {
				if err := b.Exec(ctx, script(tt.script)); err != nil {
					return err
				}
				return errOf(b.Commit(ctx))
			})
			got := s.until(t, "the prepared transaction", anything)
			equal(t, "the number of blockers", len(got.Blockers), 1)
			x := got.Blockers[0]
			equal(t, "the blocker", fmt.Sprint(x.Kind, ": ", x.Prepared, " of ", x.User), "prepared transaction: left 'behind of postgres")
			contains(t, "what it holds", x.Lock+" on "+x.Object, tt.holds)
			equal(t, "whether its time is known", x.Since.IsZero(), false)
			contains(t, "why it is never terminated", x.Exempt, "prepared transaction")
			cancel()
			is(t, migrated(), context.Canceled)
			must(t, b.Rollback(background(t)))
		})
	}
}

// An autovacuum that prevents wraparound is called so, and is never terminated.
func TestAWraparoundVacuumIsInTheWay(t *testing.T) {
	t.Parallel()
	server := testdb.PrivatePostgres(t, "autovacuum=on", "autovacuum_freeze_max_age=100000", "autovacuum_naptime=1s", "deadlock_timeout=100ms")
	c := connect(t, server.URL)
	// Only the age of its rows leads autovacuum to the table: work for another reason would last as
	// long, and nothing prevents a wraparound meanwhile.
	do(t, c, "CREATE TABLE t (x int, pad text) WITH (autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 1000000000); INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n")
	do(t, c, "CREATE TABLE xids (x int); DO $$ BEGIN FOR i IN 1..110000 LOOP BEGIN INSERT INTO xids VALUES (1); EXCEPTION WHEN others THEN END; END LOOP; END $$")
	eventually(t, "autovacuum is at the table", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'autovacuum: VACUUM%public.t (to prevent wraparound)'") == "1"
	})
	s := seeing(-1)
	s.opts.Terminate = func(b database.Blocker) bool {
		t.Errorf("%+v would be terminated", b)
		return false
	}
	ctx, cancel := context.WithCancel(background(t))
	b := beginWith(t, open(t, server.URL), s.opts)
	migrated := inBackground(func() error {
		if err := b.Exec(ctx, script("ALTER TABLE t ADD y int")); err != nil {
			return err
		}
		return errOf(b.Commit(ctx))
	})
	got := s.until(t, "autovacuum", anything)
	equal(t, "the kind", got.Blockers[0].Kind, database.BlockerWraparound)
	contains(t, "why it is never terminated", got.Blockers[0].Exempt, "wraparound")
	cancel()
	is(t, migrated(), context.Canceled)
}

// Another migration is called so, whatever its set, and whether it is a transaction or a run.
func TestAnotherMigrationIsInTheWay(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int)")
	db := open(t, url)
	other := open(t, url, database.Options{App: "billing"})
	for name, hold := range map[string]func() func(){
		"a transaction": func() func() {
			b := begin(t, other, "other")
			must(t, b.Exec(background(t), script("LOCK TABLE t")))
			must(t, errOf(b.State(background(t))))
			return func() { must(t, b.Rollback(background(t))) }
		},
		"a run": func() func() {
			r := guard(t, other, "other")
			must(t, execAll(background(t), other, r, script("BEGIN; LOCK TABLE t; SELECT 'hunter2';")))
			return func() { must(t, r.Close(background(t))) }
		},
	} {
		release := hold()
		s := seeing(-1)
		migrated := inBackground(func() error { return execTx(t, db, "s", s.opts, script("LOCK TABLE t")) })
		got := s.until(t, name, anything)
		equal(t, "the kind of "+name, got.Blockers[0].Kind, database.BlockerMigration)
		contains(t, "why it is never terminated", got.Blockers[0].Exempt, "migration")
		if query := got.Blockers[0].Query; strings.Contains(query, "hunter2") {
			t.Errorf("the query of %s is %q, but its script may be secret", name, query)
		}
		release()
		must(t, migrated())
	}
}

// A role that may see little gets what the server shows it, and which grant would show more.
func TestBlockersThatTheRoleMayNotSee(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	owner := newRole(t, c)
	do(t, c, "CREATE SCHEMA app AUTHORIZATION "+owner+"; CREATE TABLE app.t (x int); ALTER TABLE app.t OWNER TO "+owner)
	db := open(t, asRole(url, owner)+"&search_path=app")
	idle := block(t, url+"&application_name=reports", "SELECT * FROM app.t")
	look := func() database.Blockage {
		s := seeing(-1)
		ctx, cancel := context.WithCancel(background(t))
		b := beginWith(t, db, s.opts)
		migrated := inBackground(func() error {
			if err := b.Exec(ctx, script("LOCK TABLE app.t")); err != nil {
				return err
			}
			return errOf(b.Commit(ctx))
		})
		got := s.until(t, "the blocker", anything)
		cancel()
		is(t, migrated(), context.Canceled)
		must(t, b.Rollback(background(t)))
		return got
	}
	b := look()
	contains(t, "what is said about it", b.Hidden, "GRANT pg_monitor TO", owner)
	x := b.First()
	equal(t, "who", x.User+" "+x.App, "postgres reports")
	equal(t, "the query", x.Query, "")
	equal(t, "what it holds", b.Blockers[0].Lock+" on "+b.Blockers[0].Object, "AccessShareLock on app.t")
	do(t, c, "GRANT pg_monitor TO "+owner)
	b = look()
	equal(t, "what is hidden after the grant", b.Hidden, "")
	equal(t, "the kind", b.Blockers[0].Kind, database.BlockerIdle)
	contains(t, "the query", b.First().Query, "SELECT * FROM app.t")
	idle.end(t)
}

// Without contention nothing is asked and no connection is opened. If the server refuses the
// connection, the migration waits as well.
func TestAskingCostsNothingWithoutContention(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	must(t, apply(t, open(t, url), "s", 1, script("CREATE TABLE t (x int); ALTER TABLE t ADD CONSTRAINT c CHECK (x > 0) NOT VALID")))
	proxy := testdb.NewProxy(t, url)
	cost := func(opts database.LockOptions, what func(database.Database, database.LockOptions)) string {
		proxy.Reset()
		db := open(t, proxy.URL)
		what(db, opts)
		must(t, db.Close())
		return fmt.Sprintf("%d round trips, %d connections", proxy.Turns(), proxy.Connections())
	}
	for name, what := range map[string]func(database.Database, database.LockOptions){
		"a transaction": func(db database.Database, opts database.LockOptions) {
			must(t, execTx(t, db, "s", opts, script("ALTER TABLE t VALIDATE CONSTRAINT c; INSERT INTO t VALUES (1)"), script("INSERT INTO t VALUES (2)")))
		},
		"a transaction that changes the session": func(db database.Database, opts database.LockOptions) {
			must(t, execTx(t, db, "s", opts, script("SET work_mem = '7MB'; INSERT INTO t VALUES (1)")))
		},
		"a run": func(db database.Database, opts database.LockOptions) {
			r := guardWith(t, db, opts)
			must(t, execInTransactions(t, db, r, script("INSERT INTO t VALUES (1); VACUUM t; INSERT INTO t VALUES (2); CREATE INDEX CONCURRENTLY i ON t (x); DROP INDEX i")))
			must(t, r.Journal(background(t), nil))
			must(t, r.Close(background(t)))
		},
	} {
		// the guard sends a message every two seconds, which a slow machine may reach
		eventually(t, name+" costs the same", func() bool {
			plain := cost(database.LockOptions{Timeout: waitLimit}, what)
			watched := cost(seeing(waitLimit).opts, what)
			t.Log(name, plain, watched)
			return plain == watched
		})
	}

	c := connect(t, url)
	role := role(t, c, "login", "LOGIN CONNECTION LIMIT 1")
	do(t, c, "GRANT SELECT, INSERT, UPDATE, DELETE ON whimbrel_history, whimbrel_settings, whimbrel_journal, t TO "+role)
	b := block(t, url, "LOCK TABLE t")
	s := seeing(2 * shortLimit)
	is(t, execTx(t, open(t, asRole(url, role)), "s", s.opts, script("TABLE t")), database.ErrLockTimeout)
	equal(t, "the number of reports", len(s.all), 0)
	b.end(t)
}

// With a lock timeout, a report comes before it is over.
func TestBlockersAreReportedBeforeTheTimeout(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int)")
	b := block(t, url, "SELECT * FROM t")
	s := seeing(2 * time.Second)
	db := open(t, url)
	eventually(t, "an attempt is reported", func() bool { // a busy machine may be late
		is(t, execTx(t, db, "s", s.opts, script("SELECT 1; LOCK TABLE t")), database.ErrLockTimeout)
		return len(s.all) > 0
	})
	got := <-s.all
	equal(t, "the blocker", got.First().PID, pidOf(t, b.c))
	equal(t, "whether it is most of the timeout", got.Waited >= 2*time.Second*4/5, true)
	b.end(t)
}

// A session in the way is terminated if the caller says so: the one that waits for nobody, and only
// if it still is in the same transaction. Superusers never are.
func TestTerminatingABlocker(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	reader := role(t, c, "reader", "LOGIN")
	owner := role(t, c, "owner", "LOGIN")
	do(t, c, "CREATE SCHEMA app AUTHORIZATION "+owner+"; CREATE TABLE app.t (x int); ALTER TABLE app.t OWNER TO "+owner+"; GRANT USAGE ON SCHEMA app TO "+reader+"; GRANT SELECT, UPDATE ON app.t TO "+reader)
	db := open(t, asRole(url, owner)+"&search_path=app")
	var terminated []int64
	try := func(end func(database.Blocker) bool) (*seen, func() error) {
		s := seeing(-1)
		s.opts.Terminate = end
		s.opts.Terminated = func(b database.Blocker) { terminated = append(terminated, b.PID) }
		return s, inBackground(func() error { return execTx(t, db, "s", s.opts, script("LOCK TABLE app.t")) })
	}
	// not allowed
	idle := block(t, asRole(url, reader), "SELECT * FROM app.t")
	s, wait := try(func(b database.Blocker) bool { t.Errorf("asked about %+v", b); return true })
	got := s.until(t, "the reader", anything)
	contains(t, "why it is not terminated", got.Blockers[0].Exempt, "GRANT pg_read_all_stats")
	do(t, c, "GRANT pg_monitor TO "+owner)
	got = s.until(t, "the reader", func(b database.Blockage) bool { return b.Hidden == "" })
	contains(t, "why it is not terminated", got.Blockers[0].Exempt, "GRANT pg_signal_backend")
	idle.end(t)
	must(t, wait())

	do(t, c, "GRANT pg_signal_backend TO "+owner)
	root := block(t, asRole(url, reader), "SELECT * FROM app.t")
	super := block(t, url, "SELECT * FROM app.t")
	var asked []int64
	s, wait = try(func(b database.Blocker) bool { asked = append(asked, b.PID); return true })
	got = s.until(t, "only the superuser", func(b database.Blockage) bool { return len(b.Blockers) == 1 && b.First().PID == pidOf(t, super.c) })
	equal(t, "why it is not terminated", got.Blockers[0].Exempt, "its user is a superuser")
	super.end(t)
	must(t, wait())
	want := fmt.Sprint([]int64{pidOf(t, root.c)})
	equal(t, "the sessions asked about", fmt.Sprint(asked), want)
	equal(t, "the terminated sessions", fmt.Sprint(terminated), want)
	if _, err := root.c.Exec(background(t), "SELECT 1"); err == nil {
		t.Error("the session still exists")
	}
}

// While a migration is blocked and tries again, the application's queries get through: none waits
// until the blocker ends, which ends only after many of them. The migration succeeds then.
func TestTheApplicationIsNotBlocked(t *testing.T) {
	pooled, direct := testdb.PgBouncer(t)
	for _, m := range append(testdb.PostgresMajors(t), testdb.Major{New: func(testing.TB) string { return pooled }}) {
		name := fmt.Sprintf("PostgreSQL %d", m.Major)
		if m.Major == 0 {
			name = "PgBouncer"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			app := url
			if m.Major == 0 {
				app = direct
			}
			do(t, connect(t, app), "CREATE TABLE t (x int); INSERT INTO t VALUES (1)")
			reader := block(t, app, "SELECT * FROM t")
			retries := make(chan whimbrel.Retrying, 1000)
			migrated := inBackground(func() error {
				_, err := up(t, open(t, url), setOf(t, "s", "ALTER TABLE t ADD y int"), whimbrel.Options{
					LockTimeout: shortLimit, RetryFor: waitLimit, Observe: func(_ context.Context, e whimbrel.Event) {
						if e, ok := e.(whimbrel.Retrying); ok {
							retries <- e
						}
					},
				})
				return err
			})
			c := connect(t, app)
			do(t, c, fmt.Sprintf("SET statement_timeout = %d", waitLimit.Milliseconds()/2))
			seen := 0
			for n := 0; n < 30 || seen < 3; n++ {
				do(t, c, "INSERT INTO t VALUES (2); SELECT count(*) FROM t")
				for len(retries) > 0 {
					is(t, (<-retries).Err, database.ErrLockTimeout)
					seen++
				}
				time.Sleep(shortLimit / 10)
			}
			reader.end(t)
			must(t, migrated())
			equal(t, "the column", value(t, c, "SELECT count(y) FROM t"), "0")
		})
	}
}
