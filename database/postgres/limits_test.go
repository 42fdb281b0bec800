package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// shortLimit is a lock timeout that is over soon.
const shortLimit = 100 * time.Millisecond

// limited returns lock options with a lock timeout.
func limited(d time.Duration) database.LockOptions {
	return database.LockOptions{Timeout: waitLimit, LockTimeout: d}
}

func beginWith(t testing.TB, db database.Database, opts database.LockOptions) database.Tx {
	t.Helper()
	b, _, err := db.Begin(background(t), "s", opts)
	must(t, err)
	t.Cleanup(func() { b.Rollback(context.Background()) })
	return b
}

func guardWith(t testing.TB, db database.Database, opts database.LockOptions) database.Run {
	t.Helper()
	r, _, err := db.Guard(background(t), "s", opts)
	must(t, err)
	t.Cleanup(func() { r.Close(context.Background()) })
	return r
}

// execTx executes scripts in a Tx of its own.
func execTx(t testing.TB, db database.Database, set string, opts database.LockOptions, scripts ...*migration.Script) error {
	b, _, err := db.Begin(background(t), set, opts)
	if err != nil {
		return err
	}
	defer b.Rollback(context.Background())
	for _, s := range scripts {
		if err := b.Exec(background(t), s); err != nil {
			return err
		}
	}
	return errOf(b.Commit(background(t)))
}

// execInTransactions executes a script's statements in a run, each in a transaction of its own
// unless it can't be in one.
func execInTransactions(t testing.TB, db database.Database, r database.Run, s *migration.Script) error {
	t.Helper()
	a, err := s.Analyze(db.Dialect(), db.Tables())
	must(t, err)
	n := 0
	for st, err := range a.All() {
		must(t, err)
		n++
		j := &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 9, Done: n}
		err = r.Exec(background(t), s, st, nil, j)
		if errors.Is(err, database.ErrNoTransaction) {
			err = r.Announce(background(t), st, &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 9, Done: n - 1, Begun: st.Text})
			if err == nil {
				err = r.Exec(background(t), s, st, nil, nil)
			}
			if err == nil {
				err = r.Journal(background(t), j)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A script has the lock timeout of the options, unless its directives or its own SET say otherwise.
// The session afterwards is as before, whatever the script set: the same value, too.
func TestLockTimeoutOfAScript(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	pooled, _ := testdb.PgBouncer(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE seen (n serial, x text)")
	do(t, connect(t, pooled), "CREATE TABLE seen (n serial, x text)")
	const look = "INSERT INTO seen (x) SELECT current_setting('lock_timeout');"
	directed := func(limit time.Duration, text string) *migration.Script {
		s := script(text)
		s.LockTimeout = limit
		return s
	}
	pool := newPool(t, url, ofSize(1), simpleAfterConnect("SET lock_timeout = '7s'"))
	for _, tt := range []struct {
		name    string
		opts    time.Duration
		scripts []*migration.Script
		want    string
	}{
		{"the session's", 0, []*migration.Script{script(look)}, "7s"},
		{"of the options", 2 * time.Second, []*migration.Script{script(look), script(look + "CREATE TEMP TABLE x (); DROP TABLE x")}, "2s 2s"},
		{"none", -1, []*migration.Script{script(look)}, "0"},
		{"of the directives", 2 * time.Second, []*migration.Script{directed(3*time.Second, look), script(look), directed(-1, look+"SELECT set_config('work_mem', '7MB', false);"+look), script(look)}, "3s 2s 0 0 2s"},
		{"of the script", 2 * time.Second, []*migration.Script{script(look + "SET lock_timeout = '5s';" + look), script(look), script("SET LOCAL lock_timeout = '4s';" + look), script(look)}, "2s 5s 2s 4s 2s"},
		{"of the script, as the options", 2 * time.Second, []*migration.Script{script("SET lock_timeout = '2s'"), script("SET lock_timeout = '2000'; SET idle_in_transaction_session_timeout = '60s';" + look)}, "2s"},
		{"reset by the script", 2 * time.Second, []*migration.Script{script("RESET lock_timeout;" + look), script(look), script("RESET ALL"), script(look)}, "0 2s 2s"},
	} {
		for name, db := range map[string]database.Database{"a pool": postgres.NewPool(pool, database.Options{}), "PgBouncer": open(t, pooled)} {
			if name == "PgBouncer" && tt.opts <= 0 {
				continue // the pooler's connections have none
			}
			at := c
			if name == "PgBouncer" {
				at = connect(t, pooled)
			}
			must(t, execTx(t, db, "s", limited(tt.opts), tt.scripts...))
			equal(t, "the lock timeout "+tt.name+" in "+name, value(t, at, "SELECT string_agg(x, ' ' ORDER BY n) FROM seen"), tt.want)
			do(t, at, "DELETE FROM seen")
			if name == "a pool" {
				equal(t, "what is left of "+tt.name, poolValue(t, pool, "current_setting('lock_timeout') || ' ' || current_setting('idle_in_transaction_session_timeout')"), "7s 0")
			}
		}
	}
}

// The statements of a run have it, too: in their own transactions, outside of any, and in the
// script's own.
func TestLockTimeoutOfARun(t *testing.T) {
	t.Parallel()
	pooledURL, url := testdb.PgBouncer(t)
	c := connect(t, url)
	const look = "INSERT INTO seen (x) SELECT current_setting('lock_timeout');"
	const lookOutside = "DO $$ BEGIN INSERT INTO seen (x) SELECT current_setting('lock_timeout'); COMMIT; END $$;"
	pool := newPool(t, url, ofSize(1), simpleAfterConnect("SET lock_timeout = '7s'"))
	for name, tt := range map[string]struct {
		db                          database.Database
		plain, outside, own, itsOwn string
	}{
		"a session": {postgres.NewPool(pool, database.Options{}), "2s", "2s", "2s", "5s"},
		"a pooler":  {open(t, pooledURL), "2s", "0", "2s", "-"},
	} {
		seen := func(what, want string, s string) {
			t.Helper()
			do(t, c, "DROP TABLE IF EXISTS seen, t; CREATE TABLE seen (n serial, x text); CREATE TABLE t (x int)")
			r := guardWith(t, tt.db, limited(2*time.Second))
			must(t, execInTransactions(t, tt.db, r, script(s)))
			must(t, r.Journal(background(t), nil))
			must(t, r.Close(background(t)))
			equal(t, "the lock timeout "+what+" in "+name, value(t, c, "SELECT string_agg(x, ' ' ORDER BY n) FROM seen"), want)
		}
		seen("of a transaction", tt.plain, look)
		seen("outside transactions", tt.outside, lookOutside)
		seen("after VACUUM", tt.plain+" "+tt.outside, "VACUUM t; "+look+lookOutside)
		seen("after CONCURRENTLY", tt.outside+" "+tt.plain, "CREATE INDEX CONCURRENTLY i ON t (x);"+lookOutside+look)
		if tt.itsOwn != "-" {
			seen("that the script set", tt.itsOwn+" "+tt.itsOwn, "SET lock_timeout = '5s'; VACUUM t;"+look+lookOutside)
			equal(t, "what is left", poolValue(t, pool, "current_setting('lock_timeout')"), "7s")
		}
		do(t, c, "DELETE FROM seen")
		r := guardWith(t, tt.db, limited(2*time.Second))
		must(t, execAll(background(t), tt.db, r, script("BEGIN -- own\n;"+look+"SET LOCAL lock_timeout = '4s';"+look+"COMMIT;")))
		must(t, r.Close(background(t)))
		equal(t, "in a transaction of the script, in "+name, value(t, c, "SELECT string_agg(x, ' ' ORDER BY n) FROM seen"), tt.own+" 4s")
	}
	r := guardWith(t, open(t, pooledURL), limited(2*time.Second))
	for _, s := range []string{"VACUUM FULL t", "CLUSTER", "REINDEX SCHEMA public"} {
		e := as[*database.StatementError](t, execAll(background(t), open(t, pooledURL), r, script(s)))
		contains(t, "the error of "+s, e.Error(), "pooler", "connect to PostgreSQL directly", "lock-timeout 0")
	}
	s := script("VACUUM FULL t")
	s.LockTimeout = -1
	must(t, execAll(background(t), open(t, pooledURL), r, s))
}

// Wherever a statement waits too long for a lock, the error says so.
func TestLockTimeoutIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int PRIMARY KEY); INSERT INTO t VALUES (1); CREATE TABLE u (x int REFERENCES t DEFERRABLE INITIALLY DEFERRED); CREATE TABLE v (x int)")
	b := block(t, url, "LOCK TABLE v IN ACCESS EXCLUSIVE MODE; UPDATE t SET x = 2")
	opts := limited(shortLimit)
	long := strings.Repeat("SELECT 1;\n", 40)
	for name, tt := range map[string]struct {
		script *migration.Script
		index  int
	}{
		"a statement":       {script("SELECT 1; TABLE v"), 1},
		"a long script":     {script(long + "TABLE v;" + long), 40},
		"COPY":              {script("COPY v FROM stdin;\n1\n\\.\n"), 0},
		"a row":             {script("UPDATE t SET x = 3"), 0},
		"COMMIT":            {script("INSERT INTO u VALUES (1)"), 0},
		"NOWAIT":            {script("LOCK TABLE v NOWAIT"), 0},
		"a changed session": {script("SET work_mem = '7MB'; TABLE v"), 1},
	} {
		e := as[*database.StatementError](t, execTx(t, db, "s", opts, tt.script))
		is(t, e, database.ErrLockTimeout)
		equal(t, "the number of the statement in "+name, e.Index, tt.index)
	}
	is(t, execTx(t, db, "s", opts, postgres.Func("f", func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "TABLE v")
		return fmt.Errorf("reading: %w", err)
	})), database.ErrLockTimeout)
	r := guardWith(t, db, opts)
	is(t, execInTransactions(t, db, r, script("INSERT INTO v VALUES (1)")), database.ErrLockTimeout)
	is(t, execAll(background(t), db, r, script("VACUUM FULL v")), database.ErrLockTimeout)
	must(t, r.Close(background(t)))
	b.end(t)
}

// So does that of a deadlock.
func TestDeadlockIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int); CREATE TABLE u (x int)")
	other := connect(t, url)
	do(t, other, "SET deadlock_timeout = '1h'; BEGIN; LOCK TABLE t") // so that the other one is ended
	tx := beginWith(t, db, limited(waitLimit))
	must(t, tx.Exec(background(t), script("LOCK TABLE u")))
	must(t, errOf(tx.State(background(t))))
	done := make(chan error, 1)
	go func() { done <- errOf(other.Exec(background(t), "LOCK TABLE u")) }()
	eventually(t, "the other waits", func() bool {
		return value(t, c, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'u'::regclass") == "1"
	})
	err := tx.Exec(background(t), script("LOCK TABLE t"))
	if err == nil {
		err = errOf(tx.Commit(background(t)))
	}
	is(t, err, database.ErrDeadlock)
	must(t, tx.Rollback(background(t)))
	must(t, <-done)
}

// A statement that blocks nobody waits without a limit, unless the transaction already holds a lock
// that does.
func TestStatementsThatBlockNobodyWait(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int, y int); ALTER TABLE t ADD CONSTRAINT c CHECK (x > 0) NOT VALID; CREATE TABLE other (x int)")
	const validate = "ALTER TABLE t VALIDATE CONSTRAINT c;"
	waits := func(name string, do func() error) {
		t.Helper()
		b := block(t, url, "LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
		done := make(chan error, 1)
		go func() { done <- do() }()
		eventually(t, name+" waits for longer than the limit", func() bool {
			select {
			case err := <-done:
				t.Fatalf("%s did not wait: %v", name, err)
			default:
			}
			return value(t, c, fmt.Sprintf("SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND relation = 't'::regclass AND clock_timestamp() - query_start > '%d ms'", 3*shortLimit.Milliseconds())) == "1"
		})
		b.end(t)
		must(t, <-done)
	}
	tx := func(texts ...string) func() error {
		return func() error {
			var all []*migration.Script
			for _, text := range texts {
				all = append(all, script(text))
			}
			return execTx(t, db, "s", limited(shortLimit), all...)
		}
	}
	waits("VALIDATE", tx(validate))
	waits("ANALYZE", tx("SET LOCAL work_mem = '7MB'; ANALYZE t"))
	waits("a second script", tx("COMMENT ON TABLE other IS 'x'", "CREATE STATISTICS s ON x, y FROM t"))
	waits("a long script", tx("ALTER TABLE t ALTER x SET STATISTICS 7;"+strings.Repeat("SELECT 1;", 40)))
	inRun := func(text string) func() error {
		return func() error {
			r := guardWith(t, db, limited(shortLimit))
			defer r.Close(context.Background())
			if err := execInTransactions(t, db, r, script(text)); err != nil {
				return err
			}
			return r.Journal(background(t), nil)
		}
	}
	waits("VALIDATE in a run", inRun(validate))
	waits("VACUUM", inRun("VACUUM t"))

	b := block(t, url, "LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
	is(t, tx("LOCK TABLE other; "+validate)(), database.ErrLockTimeout)
	is(t, tx("INSERT INTO other VALUES (1)", validate)(), database.ErrLockTimeout)
	is(t, tx(validate[:0]+"SET lock_timeout = '100ms'; "+validate)(), database.ErrLockTimeout)
	is(t, tx("ALTER TABLE t ADD z int")(), database.ErrLockTimeout)
	b.end(t)
}

// A transaction under the lock may be idle for longer than its role may otherwise, since the
// engine pauses in it; afterwards the limits are as before.
func TestPausesOutliveTheLimitsOfARole(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprintf("PostgreSQL %d", m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			c := connect(t, url)
			limits, was, want := "current_setting('idle_in_transaction_session_timeout')", "10s", "1min"
			set := "SET idle_in_transaction_session_timeout = '10s'"
			if m.Major >= 17 {
				limits += " || ' ' || current_setting('transaction_timeout')"
				set += "; SET transaction_timeout = '20s'"
				was, want = was+" 20s", want+" 0"
			}
			pool := newPool(t, url, ofSize(1), simpleAfterConnect(set))
			db := postgres.NewPool(pool, database.Options{})
			must(t, execTx(t, db, "s", limited(time.Second), script("SET work_mem = '7MB'; CREATE TABLE seen AS SELECT "+limits+" AS x")))
			equal(t, "the limits in the transaction", value(t, c, "SELECT x FROM seen"), want)
			equal(t, "the limits after it", poolValue(t, pool, limits), was)
			if m.Major < 14 {
				return
			}
			pool = newPool(t, url, ofSize(1), simpleAfterConnect("SET idle_session_timeout = '20s'"))
			db = postgres.NewPool(pool, database.Options{})
			r := guardWith(t, db, limited(time.Second))
			must(t, execAll(background(t), db, r, script("CREATE TABLE worker AS SELECT current_setting('idle_session_timeout') AS x")))
			must(t, r.Close(background(t)))
			equal(t, "the limit of a run's worker", value(t, c, "SELECT x FROM worker"), "1min")
			equal(t, "the limit after the run", poolValue(t, pool, "current_setting('idle_session_timeout')"), "20s")
		})
	}
}

// The engine pauses between Begin and State before it tries again. That is no part of the step.
func TestDurationWithoutThePauseBefore(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c, db := connect(t, url), open(t, url)
	b := beginWith(t, db, limited(0))
	do(t, c, "SELECT pg_sleep(0.01)")
	paused := value(t, c, "SELECT clock_timestamp()::text")
	must(t, errOf(b.State(background(t))))
	must(t, b.Exec(background(t), script("SELECT 1")))
	must(t, b.Record(background(t), event(1)))
	must(t, errOf(b.Commit(background(t))))
	equal(t, "whether the entry begins after the pause", value(t, c, "SELECT (started_at >= '"+paused+"')::text FROM whimbrel_history WHERE set_name = 's'"), "true")
}
