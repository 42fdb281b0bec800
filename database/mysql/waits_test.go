package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// limits selects the session's two limits as one text.
const limits = "concat(@@lock_wait_timeout, ' and ', @@innodb_lock_wait_timeout)"

// scriptOf returns a script with a lock timeout in its directives.
func scriptOf(text string, timeout time.Duration) *migration.Script {
	s := migration.Text("x.sql", text)
	s.LockTimeout = timeout
	return s
}

// inRun executes the statements of a script in a Run, each with the journal if it can be in a
// transaction, and closes the Run.
func inRun(t testing.TB, db database.Database, opts database.LockOptions, s *migration.Script) error {
	t.Helper()
	r, _, err := db.Guard(background(t), "s", opts)
	must(t, err)
	defer r.Close(background(t))
	j := database.Journal{Version: 1, Name: "m", Direction: database.Up}
	an, err := s.Analyze(sqltext.MySQL, db.Tables())
	must(t, err)
	own := false
	for st, err := range an.All() {
		must(t, err)
		var done *database.Journal
		own = own || st.Tx == sqltext.TxBegin
		if st.Tx == sqltext.TxCommit || st.Tx == sqltext.TxAny && !own {
			next := j
			next.Add(st)
			done = &next
		}
		if err := r.Exec(background(t), s, st, nil, done); err != nil {
			return err
		}
		j.Add(st)
	}
	return r.Journal(background(t), nil)
}

// A script runs under the lock timeout of the options, that of its directives, or its own; the
// session has its own limits before and afterwards.
func TestLimitsOfASession(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := pool.Exec("CREATE TABLE seen (what varchar(100), limits varchar(100))")
	must(t, err)
	db := open(t, url)
	_, err = up(t, db, setOf(t, "first", "SELECT 1"))
	must(t, err)
	insert := func(what string) string {
		return fmt.Sprintf("INSERT INTO seen VALUES ('%s', %s);", what, limits)
	}
	const tables = "CREATE TABLE IF NOT EXISTS other (x int);"
	for _, tc := range []struct {
		what           string
		option, script time.Duration
		before, want   string
		onlyOutsideATx bool
	}{
		{what: "the option", option: 2 * time.Second, want: "2 and 2"},
		{what: "rounded up", option: 2100 * time.Millisecond, want: "3 and 3"},
		{what: "a millisecond", option: time.Millisecond, want: "1 and 1"},
		{what: "no limit", want: "31536000 and 100000000"},
		{what: "the directive", option: 2 * time.Second, script: 7 * time.Second, want: "7 and 7"},
		{what: "no limit by the directive", option: 2 * time.Second, script: -1, want: "31536000 and 100000000"},
		{what: "its own", option: 2 * time.Second, script: 7 * time.Second, before: "SET lock_wait_timeout = 9; SET SESSION innodb_lock_wait_timeout = 11;", want: "9 and 11"},
		{what: "after DDL", option: 2 * time.Second, before: tables, want: "2 and 2", onlyOutsideATx: true},
	} {
		opts := database.LockOptions{Timeout: waitLimit, LockTimeout: tc.option}
		if !tc.onlyOutsideATx {
			b, _, err := db.Begin(background(t), "s", opts)
			must(t, err)
			must(t, b.Exec(background(t), scriptOf(tc.before+insert(tc.what+" in a transaction"), tc.script)))
			must(t, b.Exec(background(t), scriptOf(insert(tc.what+", the next script"), 0)))
			must(t, errOf(b.Commit(background(t))))
			equal(t, tc.what+" in a transaction", value(t, pool, "SELECT limits FROM seen WHERE what = ?", tc.what+" in a transaction"), tc.want)
			next := "31536000 and 100000000"
			if tc.option > 0 {
				seconds := (tc.option + time.Second - 1) / time.Second
				next = fmt.Sprintf("%d and %[1]d", seconds)
			}
			equal(t, tc.what+", the next script", value(t, pool, "SELECT limits FROM seen WHERE what = ?", tc.what+", the next script"), next)
		}
		must(t, inRun(t, db, opts, scriptOf(tc.before+insert(tc.what+" in a run"), tc.script)))
		equal(t, tc.what+" in a run", value(t, pool, "SELECT limits FROM seen WHERE what = ?", tc.what+" in a run"), tc.want)
	}
}

// The connections of a caller's pool keep their own limits.
func TestLimitsOfAPoolAreRestored(t *testing.T) {
	t.Parallel()
	_, pool := newDatabase(t)
	_, err := pool.Exec("CREATE TABLE a (x int)")
	must(t, err)
	pool.SetMaxOpenConns(2)
	db, err := mysql.New(pool, database.Options{})
	must(t, err)
	conns := func() (all []*sql.Conn) {
		for range 2 {
			c, err := pool.Conn(background(t))
			must(t, err)
			all = append(all, c)
		}
		return all
	}
	both := conns()
	for _, c := range both {
		_, err := c.ExecContext(background(t), "SET SESSION lock_wait_timeout = 77, SESSION innodb_lock_wait_timeout = 66")
		must(t, err)
		must(t, c.Close())
	}
	opts := database.LockOptions{Timeout: waitLimit, LockTimeout: time.Second}
	b, _, err := db.Begin(background(t), "s", opts)
	must(t, err)
	must(t, b.Exec(background(t), scriptOf("INSERT INTO a VALUES (1)", 5*time.Second)))
	must(t, errOf(b.Commit(background(t))))
	must(t, inRun(t, db, opts, scriptOf("CREATE TABLE b (x int); INSERT INTO b VALUES (1)", 0)))
	for _, c := range conns() {
		var is string
		must(t, c.QueryRowContext(background(t), "SELECT concat("+limits+", ', ', coalesce(@whimbrel_lock_wait_timeout, 'nothing saved'))").Scan(&is))
		equal(t, "the limits", is, "77 and 66, nothing saved")
		must(t, c.Close())
	}
}

// block opens a transaction that executes statements, and returns a function that ends it.
func block(t testing.TB, pool *sql.DB, statements ...string) (end func()) {
	t.Helper()
	c, err := pool.Conn(background(t))
	must(t, err)
	for _, s := range statements {
		_, err := c.ExecContext(background(t), s)
		must(t, err)
	}
	ended := false
	end = func() {
		if !ended {
			ended = true
			c.ExecContext(context.Background(), "ROLLBACK")
			c.ExecContext(context.Background(), "UNLOCK TABLES")
			c.Close()
		}
	}
	t.Cleanup(end)
	return end
}

// A statement that waits too long is ErrLockTimeout, whatever it waits for, and nothing of its
// transaction remains.
func TestLockTimeoutIsRolledBack(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ blocker, script string }{
		"ALTER behind a reader":        {"SELECT * FROM a", "ALTER TABLE a ADD COLUMN y int"},
		"DROP behind a writer":         {"UPDATE a SET x = 2", "DROP TABLE a"},
		"CREATE INDEX behind a lock":   {"LOCK TABLES a READ", "CREATE INDEX i ON a (x)"},
		"RENAME":                       {"SELECT * FROM a", "RENAME TABLE a TO c"},
		"TRUNCATE":                     {"SELECT * FROM a", "TRUNCATE a"},
		"LOCK TABLES":                  {"SELECT * FROM a", "LOCK TABLES a WRITE"},
		"a trigger":                    {"SELECT * FROM a", "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW SET NEW.x = 1"},
		"OPTIMIZE":                     {"SELECT * FROM a", "OPTIMIZE TABLE a"},
		"NOWAIT":                       {"SELECT * FROM a", "ALTER TABLE a NOWAIT ADD COLUMN y int"},
		"UPDATE behind a writer":       {"UPDATE a SET x = 2", "UPDATE a SET x = 3"},
		"UPDATE behind LOCK TABLES":    {"LOCK TABLES a WRITE", "UPDATE a SET x = 3"},
		"rows in a script's BEGIN":     {"UPDATE a SET x = 2", "BEGIN; INSERT INTO b VALUES (1); UPDATE a SET x = 3; COMMIT"},
		"the second of two statements": {"UPDATE a SET x = 2", "INSERT INTO b VALUES (1); UPDATE a SET x = 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			for _, s := range []string{"CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)", "CREATE TABLE b (x int)"} {
				_, err := pool.Exec(s)
				must(t, err)
			}
			db := open(t, url)
			s := scriptOf(tc.script, 0)
			opts := database.LockOptions{Timeout: waitLimit, LockTimeout: time.Second}
			an, err := s.Analyze(sqltext.MySQL, db.Tables())
			must(t, err)
			end := block(t, pool, "START TRANSACTION", tc.blocker)
			if an.Never == nil && an.Control == nil {
				b, _, err := db.Begin(background(t), "s", opts)
				must(t, err)
				lockTimedOut(t, b.Exec(background(t), s))
				must(t, b.Rollback(background(t)))
				equal(t, "what remains of the transaction", value(t, pool, "SELECT count(*) FROM b"), "0")
			}
			err = inRun(t, db, opts, s)
			st := lockTimedOut(t, err)
			end()
			equal(t, "the rows of a", value(t, pool, "SELECT group_concat(x) FROM a"), "1")
			equal(t, "the columns and indexes of a", value(t, pool, "SELECT (SELECT count(*) FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'a') + (SELECT count(*) FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'a')"), "1")
			want := "0"
			if name == "the second of two statements" {
				want = "1" // it is committed
				equal(t, "the index of the statement", fmt.Sprint(st.Index), "1")
			}
			equal(t, "the rows of b", value(t, pool, "SELECT count(*) FROM b"), want)
		})
	}
}

// lockTimedOut returns the error of a statement that waited too long.
func lockTimedOut(t testing.TB, err error) *database.StatementError {
	t.Helper()
	if !errors.Is(err, database.ErrLockTimeout) || errors.Is(err, database.ErrDeadlock) {
		t.Fatalf("got %v (%T), want an ErrLockTimeout", err, err)
	}
	return as[*database.StatementError](t, err)
}

// The statement that the server chose to end a deadlock is ErrDeadlock, and nothing of its
// transaction remains.
func TestDeadlockIsRolledBack(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	for _, s := range []string{"CREATE TABLE a (x int PRIMARY KEY, y int)", "INSERT INTO a VALUES (1, 1), (2, 2)", "CREATE TABLE b (x int)"} {
		_, err := pool.Exec(s)
		must(t, err)
	}
	// InnoDB ends the transaction that changed less: the migration's.
	other, err := pool.Conn(background(t))
	must(t, err)
	defer other.Close()
	for _, s := range []string{"START TRANSACTION", "INSERT INTO a SELECT seq, 1 FROM seq_100_to_400", "UPDATE a SET y = 5 WHERE x = 2"} {
		_, err := other.ExecContext(background(t), s)
		must(t, err)
	}
	db := open(t, url)
	b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.Exec(background(t), scriptOf("INSERT INTO b VALUES (1); UPDATE a SET y = 6 WHERE x = 1", 0)))
	ended := make(chan error, 1)
	go func() {
		_, err := other.ExecContext(context.Background(), "UPDATE a SET y = 5 WHERE x = 1")
		ended <- err
	}()
	eventually(t, "the other session waits", func() bool { return isRunning(t, pool, "UPDATE a SET y = 5 WHERE x = 1") })
	err = b.Exec(background(t), scriptOf("UPDATE a SET y = 6 WHERE x = 2", 0))
	if !errors.Is(err, database.ErrDeadlock) || errors.Is(err, database.ErrLockTimeout) {
		t.Fatalf("got %v, want an ErrDeadlock", err)
	}
	as[*database.StatementError](t, err)
	must(t, b.Rollback(background(t)))
	must(t, <-ended)
	equal(t, "what remains of the transaction", value(t, pool, "SELECT count(*) FROM b"), "0")
}

// After changes that nothing rolls back, an error is not one after which everything can be tried
// again.
func TestLockTimeoutBesideATableWithoutTransactions(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	for _, s := range []string{"CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)", "CREATE TABLE m (x int) ENGINE=MyISAM"} {
		_, err := pool.Exec(s)
		must(t, err)
	}
	block(t, pool, "START TRANSACTION", "UPDATE a SET x = 2")
	db := open(t, url)
	opts := database.LockOptions{Timeout: waitLimit, LockTimeout: time.Second}
	check := func(what string, err error) {
		t.Helper()
		e := as[*database.StatementError](t, err)
		if e.Lock != nil {
			t.Errorf("%s: the error is %v, but rows of m remain", what, e.Lock)
		}
		contains(t, what, e.Error(), "MyISAM")
	}
	b, _, err := db.Begin(background(t), "s", opts)
	must(t, err)
	check("a transaction", b.Exec(background(t), scriptOf("INSERT INTO m VALUES (1); UPDATE a SET x = 3", 0)))
	must(t, b.Rollback(background(t)))
	check("a script's own", inRun(t, db, opts, scriptOf("BEGIN; INSERT INTO m VALUES (1); UPDATE a SET x = 3; COMMIT", 0)))
	lockTimedOut(t, inRun(t, db, opts, scriptOf("INSERT INTO m VALUES (1); UPDATE a SET x = 3", 0)))
}

// Limiting the waits takes no round trip of its own.
func TestTurnsOfLimits(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.MariaDB(t))
	db := open(t, proxy.URL)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	opts := database.LockOptions{Timeout: waitLimit, LockTimeout: 2 * time.Second}
	turns := func(opts database.LockOptions, s *migration.Script) int {
		t.Helper()
		proxy.Reset()
		must(t, inRun(t, db, opts, s))
		return proxy.Turns()
	}
	const rows = "INSERT INTO a VALUES (1);"
	one, two := turns(opts, scriptOf(rows, 0)), turns(opts, scriptOf(rows+rows, 0))
	equal(t, "the round trips of one more statement", fmt.Sprint(two-one), "4")
	opts.Blocked = func(b database.Blockage) { t.Errorf("nothing is blocked: %+v", b) }
	equal(t, "the round trips if somebody wants to know", fmt.Sprint(turns(opts, scriptOf(rows+rows, 0))), fmt.Sprint(two))
	proxy.Reset()
	b, _, err := db.Begin(background(t), "s", opts)
	must(t, err)
	must(t, b.Exec(background(t), scriptOf(rows, 0)))
	must(t, b.Record(background(t), database.Entry{Version: 2, Direction: database.Up}))
	must(t, errOf(b.Commit(background(t))))
	equal(t, "the round trips of a migration in a transaction", fmt.Sprint(proxy.Turns()), "9")
}
