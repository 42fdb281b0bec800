package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// sequencer returns a Tx of set s that can execute scripts with CommitEach, after version 1.
func sequencer(t testing.TB, db database.Database, opts database.LockOptions) database.Sequencer {
	t.Helper()
	opts.Timeout = waitLimit
	tx, _, err := db.Begin(background(t), "s", opts)
	must(t, err)
	must(t, tx.Record(background(t), entryOf(1)))
	_, next, _, err := database.CommitAndBegin(background(t), tx, opts)
	must(t, err)
	s, ok := next.(database.Sequencer)
	if !ok {
		t.Fatalf("the next Tx is a %T", next)
	}
	return s
}

func entryOf(version int64) database.Entry {
	return database.Entry{Version: version, Name: "m", Direction: database.Up}
}

// commitEach executes scripts as versions 2, 3, …. It returns what was committed, and the next Tx.
func commitEach(ctx context.Context, t testing.TB, s database.Sequencer, opts database.LockOptions, committed func(), scripts ...string) (done []database.Entry, next database.Tx, err error) {
	t.Helper()
	var parts []database.Part
	for i, text := range scripts {
		script := migration.Text(fmt.Sprintf("%d.sql", i+2), text)
		equal(t, fmt.Sprintf("whether %q fits", text), fmt.Sprint(s.Fits(script)), "true")
		parts = append(parts, database.Part{Script: script, Entries: []database.Entry{entryOf(int64(i + 2))}})
	}
	opts.Timeout = waitLimit
	begun := 0
	next, _, err = s.CommitEach(ctx, parts, true, opts, database.PartReport{Begun: func() { begun++ }, Committed: func(r database.Recorded) {
		done = append(done, r.Entries...)
		equal(t, "how many have begun", fmt.Sprint(begun), fmt.Sprint(len(done)))
		committed()
	}})
	return done, next, err
}

// insertsInto returns scripts that insert a row each.
func insertsInto(table string, n int) (scripts []string) {
	for i := range n {
		scripts = append(scripts, fmt.Sprintf("INSERT INTO %s VALUES (%d)", table, i))
	}
	return scripts
}

// executeAll executes statements on a pool.
func executeAll(t testing.TB, pool *sql.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		must(t, errOf(pool.ExecContext(background(t), s)))
	}
}

// A sequence takes one round trip, on MySQL, too. A listener for warnings adds none.
func TestCostOfASequence(t *testing.T) {
	t.Parallel()
	for name, other := range map[string]bool{"MariaDB": false, "MySQL": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			executeAll(t, pool, "CREATE TABLE t (x int)")
			proxy := testdb.NewProxy(t, url)
			db, err := database.Open(background(t), proxy.URL, database.Options{Notice: func(n database.Notice) { t.Errorf("a warning: %+v", n) }})
			must(t, err)
			t.Cleanup(func() { db.Close() })
			least := -1
			for range 4 { // once in a while, the guard checks its lock
				s := sequencer(t, db, database.LockOptions{})
				if other {
					mysql.BeMySQL(s.(database.Tx))
				}
				proxy.Reset()
				done, next, err := commitEach(background(t), t, s, database.LockOptions{}, func() {}, insertsInto("t", 20)...)
				must(t, err)
				if n := proxy.Turns(); least < 0 || n < least {
					least = n
				}
				equal(t, "how many were committed", fmt.Sprint(len(done)), "20")
				for _, e := range done {
					equal(t, "the entry in the history", value(t, pool, "SELECT concat(version, ' ', cast(started_at AS char(26)), ' ', duration_us) FROM whimbrel_history WHERE id = ?", e.ID),
						fmt.Sprintf("%d %s %d", e.Version, e.StartedAt.Format("2006-01-02 15:04:05.000000"), e.Duration.Microseconds()))
				}
				must(t, next.Rollback(background(t)))
				executeAll(t, pool, "DELETE FROM whimbrel_history WHERE set_name = 's'")
			}
			equal(t, "the round trips of 20 migrations", fmt.Sprint(least), "1")
		})
	}
}

// Migrations that change rows take few round trips in the engine, too.
func TestRoundTripsOfManyTransactions(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	proxy := testdb.NewProxy(t, url)
	begun := time.Now()
	_, err := up(t, open(t, proxy.URL), setOf(t, "s", append([]string{"CREATE TABLE t (x int)"}, insertsInto("t", 100)...)...))
	must(t, err)
	// About 40 for the tables and the lock, 5 for the first migration, and a message for 2, 4, 8, 16
	// and 32 others. On a slow server, messages are shorter. Each second, the lock is taken again.
	most := 60 + 20*int(time.Since(begun)/time.Second)
	if time.Since(begun) > 200*time.Millisecond {
		most += 5 * 100
	}
	if n := proxy.Turns(); n > most {
		t.Errorf("100 migrations took %d round trips, want at most %d", n, most)
	}
	equal(t, "the rows", value(t, pool, "SELECT concat(count(*), ' ', count(DISTINCT x)) FROM t"), "100 100")
	m := whimbrel.New(open(t, url), setOf(t, "s"), whimbrel.Options{MigrationLockTimeout: waitLimit})
	st, err := m.Status(background(t))
	must(t, err)
	equal(t, "what is applied", fmt.Sprint(len(st.Migrations)), "101")
}

// Runs and the migrations between them that change rows share the lock and the connections.
func TestRoundTripsOfRunsAndTransactions(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	proxy := testdb.NewProxy(t, url)
	var all []string
	for i := range 20 {
		all = append(all, fmt.Sprintf("CREATE TABLE t%d (x int)", i), fmt.Sprintf("INSERT INTO t%d VALUES (1)", i))
	}
	begun := time.Now()
	_, err := up(t, open(t, proxy.URL), setOf(t, "s", append(all, "CREATE TABLE last (x int)")...))
	must(t, err)
	// About 40 for the tables and the lock. A pair takes 2 for the run and 1 for the transaction.
	most := 60 + 20*3 + 30*int(time.Since(begun)/time.Second)
	if n := proxy.Turns(); n > most {
		t.Errorf("41 migrations took %d round trips, want at most %d", n, most)
	}
	equal(t, "the rows", value(t, pool, "SELECT sum(x) FROM (SELECT x FROM t0 UNION ALL SELECT x FROM t7 UNION ALL SELECT x FROM t19) AS t"), "3")
	equal(t, "the journal", value(t, pool, "SELECT count(*) FROM whimbrel_journal"), "0")
}

// What goes wrong in a sequence under the lock of a run ends it as a sequence by itself.
func TestSequenceOfARun(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)")
	db := open(t, url)
	r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	migrateAlone(t, r, 1, "CREATE TABLE a (x int)")
	start := func() database.Sequencer {
		t.Helper()
		st, err := r.State(background(t))
		must(t, err)
		s := database.StartSequenceUnder(background(t), r, st.Head)
		if s == nil {
			t.Fatal("no sequence")
		}
		return s
	}
	done, _, err := commitEach(background(t), t, start(), database.LockOptions{}, func() {}, "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
	must(t, err)
	equal(t, "how many were committed", fmt.Sprint(len(done)), "2")
	migrateAlone(t, r, 4, "CREATE TABLE b (x int)")
	s := start()
	must(t, mysql.Lose(background(t), r))
	done, _, err = commitEach(background(t), t, s, database.LockOptions{}, func() {}, "INSERT INTO t VALUES (3)")
	if err != nil { // the guard may have noticed
		as[*database.LockLostError](t, err)
	}
	equal(t, "how many were committed without the lock", fmt.Sprint(len(done)), "0")
	must(t, r.Close(background(t)))
	equal(t, "the rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM t"), "1,2")
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3 4]")
}

func TestFits(t *testing.T) {
	t.Parallel()
	s := sequencer(t, open(t, testdb.MariaDB(t)), database.LockOptions{})
	fits := func(script *migration.Script) string { return fmt.Sprint(s.Fits(script)) }
	for text, want := range map[string]string{
		"INSERT INTO t VALUES (1); UPDATE t SET x = 2 -- a comment":     "true",
		"REPLACE INTO t VALUES ('a;b'); DELETE FROM t WHERE x = 'a\\n'": "true",
		"BEGIN; INSERT INTO t VALUES (1); COMMIT":                       "true",
		`INSERT INTO t VALUES ("a\"b")`:                                 "false", // its end depends on sql_mode
		"INSERT INTO t VALUES ('a;b') # it's":                           "false",
		"INSERT INTO t VALUES (1) /*! , (2) */":                         "false",
		"INSERT INTO t VALUES (@a := 1)":                                "false", // the session is restored
		"SET sql_mode = ''; INSERT INTO t VALUES (1)":                   "false",
		"UPDATE t SET x = 2; INSERT INTO t SELECT row_count()":          "false", // SHOW WARNINGS would change it
		"INSERT INTO t VALUES (FOUND_ROWS())":                           "false",
		"INSERT INTO t (row_count) VALUES (1)":                          "true",
		"SELECT 1":                                                      "false",
		"CALL p()":                                                      "false",
		"LOAD DATA LOCAL INFILE 'x' INTO TABLE t":                       "false",
		"SAVEPOINT a; INSERT INTO t VALUES (1)":                         "false",
		strings.Repeat("DELETE FROM t;\n", 33):                          "false",
		"DELETE FROM t -- " + strings.Repeat("x", 4<<10):                "false",
	} {
		equal(t, fmt.Sprintf("whether %.40q fits", text), fits(migration.Text("x.sql", text)), want)
	}
	timed := migration.Text("x.sql", "INSERT INTO t VALUES (1)")
	timed.StatementTimeout = time.Minute
	equal(t, "whether a script with a statement timeout fits", fits(timed), "false")
	equal(t, "whether one with a lock timeout fits", fits(scriptOf("INSERT INTO t VALUES (1)", time.Minute)), "false")
	equal(t, "whether a function fits", fits(mysql.Func("f", func(context.Context, mysql.Tx) error { return nil })), "false")
	must(t, s.(database.Tx).Rollback(background(t)))
}

// onInsert returns a trigger that executes a statement when a row is inserted.
func onInsert(table, statement string) []string {
	return []string{"CREATE TABLE " + table + " (x int)", "CREATE TRIGGER on_" + table + " AFTER INSERT ON " + table + " FOR EACH ROW " + statement}
}

// A sequence ends with the first part that fails. The error is that part's, and those before it are
// committed.
func TestSequenceFails(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		bad   string
		check func(t *testing.T, err error)
	}{
		"a statement": {"INSERT INTO t VALUES (90);\n  INSERT INTO missing VALUES (1)", func(t *testing.T, err error) {
			e := as[*database.StatementError](t, err)
			equal(t, "the place", e.Pos.String(), "4.sql:2:3")
			equal(t, "the code", e.Code, "42S02")
		}},
		"the syntax": {"INSERT INTO t VALUES (90);\nDELETE FROM\n t WHER x = 1", func(t *testing.T, err error) {
			e := as[*database.StatementError](t, err)
			equal(t, "the place", e.Pos.String(), "4.sql:3:4")
			contains(t, "the message", e.Message, "near 'WHER x = 1' at line 2")
		}},
		"a lock": {"INSERT INTO t VALUES (90); UPDATE locked SET x = 2", func(t *testing.T, err error) {
			lockTimedOut(t, err)
		}},
		"a lock, beside a table without transactions": {"INSERT INTO m VALUES (90); UPDATE locked SET x = 2", func(t *testing.T, err error) {
			e := as[*database.StatementError](t, err)
			equal(t, "the lock", fmt.Sprint(e.Lock), "<nil>")
			contains(t, "the hint", e.Hint, "MyISAM")
		}},
		"a deadlock": {"INSERT INTO deadly VALUES (1)", func(t *testing.T, err error) {
			if !errors.Is(err, database.ErrDeadlock) || !errors.Is(err, database.ErrConflict) {
				t.Errorf("the error is %v", err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			executeAll(t, pool, "CREATE TABLE t (x int)", "CREATE TABLE m (x int) ENGINE=MyISAM", "CREATE TABLE locked (x int)", "INSERT INTO locked VALUES (1)")
			executeAll(t, pool, onInsert("deadly", "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213")...)
			block(t, pool, "START TRANSACTION", "UPDATE locked SET x = 3")
			db := open(t, url)
			opts := database.LockOptions{LockTimeout: time.Second}
			done, next, err := commitEach(background(t), t, sequencer(t, db, opts), opts, func() {}, "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)", tt.bad, "INSERT INTO t VALUES (5)")
			if err == nil {
				t.Fatal("no error")
			}
			tt.check(t, err)
			equal(t, "how many were committed", fmt.Sprint(len(done)), "2")
			equal(t, "whether a Tx follows", fmt.Sprint(next != nil), "false")
			equal(t, "what is applied", versions(t, db, "s"), "[1 2 3]")
			equal(t, "the rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM t"), "2,3")
			again := sequencer(t, db, opts) // the lock is free
			must(t, again.(database.Tx).Rollback(background(t)))
		})
	}
}

// After a lock timeout in a sequence, only the migration that waited is tried again.
func TestSequenceIsTriedAgain(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)", "CREATE TABLE locked (x int)", "INSERT INTO locked VALUES (1)")
	end := block(t, pool, "START TRANSACTION", "UPDATE locked SET x = 3")
	ups := append(insertsInto("t", 12), "UPDATE locked SET x = x + 1")
	ups = append(ups, insertsInto("t", 4)...)
	retried := ""
	opts := whimbrel.Options{MigrationLockTimeout: waitLimit, LockTimeout: time.Second, RetryFor: waitLimit, Observe: func(_ context.Context, e whimbrel.Event) {
		if r, ok := e.(whimbrel.Retrying); ok {
			retried += fmt.Sprint(r.Step.Version)
			end()
		}
	}}
	result, err := whimbrel.New(open(t, url), setOf(t, "s", ups...), opts).Up(background(t))
	must(t, err)
	equal(t, "the migration that was tried again", retried, "13")
	for _, s := range result.Applied {
		equal(t, fmt.Sprintf("the retries of %d", s.Version), fmt.Sprint(s.Retries), fmt.Sprint(map[bool]int{true: 1}[s.Version == 13]))
	}
	equal(t, "the rows", value(t, pool, "SELECT concat(count(*), ' ', (SELECT x FROM locked)) FROM t"), "16 2")
}

// The server begins no transaction of a sequence after a change that a Tx by itself would find.
func TestSequenceEnds(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)")
	db := open(t, url)
	s := sequencer(t, db, database.LockOptions{})
	frozen := drivers.InsertEntry("whimbrel_history") + "SELECT 'whimbrel'" + strings.TrimPrefix(drivers.EntryColumns, "set_name") + " FROM whimbrel_history WHERE set_name = 's' AND version = 1"
	executeAll(t, pool, onInsert("armed", frozen)...)
	done, next, err := commitEach(background(t), t, s, database.LockOptions{}, func() {}, "INSERT INTO t VALUES (1)", "INSERT INTO armed VALUES (1)", "INSERT INTO t VALUES (2)")
	must(t, err)
	equal(t, "how many were committed", fmt.Sprint(len(done)), "2")
	equal(t, "whether a Tx follows", fmt.Sprint(next != nil), "false")
	equal(t, "the rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM t"), "1")
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3]")
}

// The rows that a statement has changed are counted as if it were executed by itself, with and
// without warnings.
func TestRowCountInATransaction(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db, err := database.Open(background(t), url, database.Options{Notice: func(database.Notice) {}})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	const counts = "INSERT INTO t VALUES (1), (2), (3); INSERT INTO counted VALUES (ROW_COUNT())"
	_, err = up(t, db, setOf(t, "s", "CREATE TABLE t (x int)", "CREATE TABLE counted (n int)", counts, counts, counts, counts))
	must(t, err)
	equal(t, "the counts", value(t, pool, "SELECT group_concat(n) FROM counted"), "3,3,3,3")
}

// A trigger on the history that was created while the lock was held ends what has the lock. The
// next Tx reports it.
func TestTriggerWhileTheLockIsHeld(t *testing.T) {
	t.Parallel()
	const create = "CREATE TRIGGER x BEFORE INSERT ON whimbrel_history FOR EACH ROW SET NEW.reason = 'changed'"
	for name, meanwhile := range map[string]func(t *testing.T, db database.Database, pool *sql.DB){
		"by a Tx": func(t *testing.T, db database.Database, pool *sql.DB) {
			tx := sequencer(t, db, database.LockOptions{}).(database.Tx)
			must(t, tx.Record(background(t), entryOf(2)))
			created := make(chan error, 1)
			go func() { created <- errOf(pool.ExecContext(background(t), create)) }()
			eventually(t, "CREATE TRIGGER waits for the Tx", func() bool {
				return value(t, pool, "SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'CREATE TRIGGER%' AND state LIKE 'Waiting for table metadata lock%' AND db = DATABASE()") == "1"
			})
			_, next, _, err := database.CommitAndBegin(background(t), tx, database.LockOptions{})
			must(t, err)
			if next != nil { // its first query came before the trigger; writing is a deadlock for one of them
				must(t, next.Rollback(background(t)))
			}
			must(t, <-created)
		},
		"by a run": func(t *testing.T, db database.Database, pool *sql.DB) {
			r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
			must(t, err)
			migrateAlone(t, r, 1, "CREATE TABLE a (x int)")
			executeAll(t, pool, create)
			st, err := r.State(background(t))
			must(t, err)
			done, _, err := commitEach(background(t), t, database.StartSequenceUnder(background(t), r, st.Head), database.LockOptions{}, func() {}, "INSERT INTO t VALUES (1)")
			must(t, err)
			equal(t, "how many were committed", fmt.Sprint(len(done)), "0")
			must(t, r.Close(background(t)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			executeAll(t, pool, "CREATE TABLE t (x int)")
			db := open(t, url)
			meanwhile(t, db, pool)
			tx, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
			must(t, err)
			contains(t, "the error", fmt.Sprint(tx.Record(background(t), entryOf(3))), "trigger")
			must(t, tx.Rollback(background(t)))
			equal(t, "the changed entries", value(t, pool, "SELECT count(*) FROM whimbrel_history WHERE reason = 'changed'"), "0")
		})
	}
}

// A temporary table that a trigger creates doesn't hide the history from the rest of a sequence.
func TestSequenceIsNotShadowed(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	s := sequencer(t, db, database.LockOptions{})
	executeAll(t, pool, "CREATE TABLE shape LIKE whimbrel_history")
	executeAll(t, pool, onInsert("a", "CREATE TEMPORARY TABLE IF NOT EXISTS whimbrel_history LIKE shape")...)
	executeAll(t, pool, onInsert("b", "CREATE TEMPORARY TABLE IF NOT EXISTS whimbrel_journal LIKE shape")...)
	done, next, err := commitEach(background(t), t, s, database.LockOptions{}, func() {}, "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)", "INSERT INTO a VALUES (2)")
	must(t, err)
	equal(t, "how many were committed", fmt.Sprint(len(done)), "3")
	st, err := next.State(background(t))
	must(t, err)
	equal(t, "what is applied", fmt.Sprint(st.Applied.Versions()), "[1 2 3 4]")
	must(t, next.Rollback(background(t)))
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3 4]")
}

// No setting of the session changes the meaning of a sequence.
func TestSequenceUnderSettingsOfTheSession(t *testing.T) {
	t.Parallel()
	url := testdb.PrivateMariaDB(t).New()
	pool := testdb.OpenMariaDB(t, url)
	executeAll(t, pool, "CREATE TABLE t (x int)")
	for i, settings := range []string{
		"sql_select_limit = 1", "sql_safe_updates = 1", "tx_isolation = 'READ-UNCOMMITTED'", "tx_isolation = 'SERIALIZABLE'", "sql_mode = ''", "sql_mode = 'ORACLE'",
		"sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,IGNORE_SPACE,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,NO_ZERO_DATE,NO_AUTO_VALUE_ON_ZERO'",
	} {
		executeAll(t, pool, "SET GLOBAL "+settings)
		db := open(t, url)
		s := sequencer(t, db, database.LockOptions{})
		done, next, err := commitEach(background(t), t, s, database.LockOptions{}, func() {}, "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)")
		must(t, err)
		equal(t, "how many were committed with "+settings, fmt.Sprint(len(done)), "3")
		if next == nil {
			t.Fatalf("no Tx follows with %s", settings)
		}
		must(t, next.Rollback(background(t)))
		equal(t, "the rows", value(t, pool, "SELECT count(*) FROM t"), fmt.Sprint(3*(i+1)))
		executeAll(t, pool, "DELETE FROM whimbrel_history WHERE set_name = 's'")
	}
}

// While a part of a sequence is executed, what stops a Tx stops it and all after it.
func TestSequenceIsStopped(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stop  func(t *testing.T, cancel func(), s database.Sequencer, pool *sql.DB)
		check func(t *testing.T, err error)
	}{
		"the context ends": {
			func(_ *testing.T, cancel func(), _ database.Sequencer, _ *sql.DB) { cancel() },
			func(t *testing.T, err error) {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the error is %v", err)
				}
			},
		},
		"the lock is lost": {
			func(t *testing.T, _ func(), s database.Sequencer, _ *sql.DB) { must(t, mysql.Lose(background(t), s)) },
			func(t *testing.T, err error) { as[*database.LockLostError](t, err) },
		},
		"the connection is killed": {
			func(t *testing.T, _ func(), _ database.Sequencer, pool *sql.DB) {
				id := value(t, pool, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'DO SLEEP%'")
				executeAll(t, pool, "KILL "+id)
			},
			func(t *testing.T, err error) { as[*database.CommitUnknownError](t, err) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			executeAll(t, pool, "CREATE TABLE t (x int)")
			executeAll(t, pool, onInsert("slow", "DO SLEEP(600)")...)
			db := open(t, url)
			s := sequencer(t, db, database.LockOptions{})
			ctx, cancel := context.WithCancel(background(t))
			defer cancel()
			stopped := make(chan bool)
			committed := func() { // with the first part; the server is at the second
				go func() {
					defer close(stopped)
					eventually(t, "the slow statement runs", func() bool { return isRunning(t, pool, "DO SLEEP%") })
					tt.stop(t, cancel, s, pool)
				}()
			}
			done, next, err := commitEach(ctx, t, s, database.LockOptions{}, committed, "INSERT INTO t VALUES (1)", "INSERT INTO slow VALUES (1)", "INSERT INTO t VALUES (2)")
			<-stopped
			if err == nil {
				t.Fatal("no error")
			}
			tt.check(t, err)
			equal(t, "how many were committed", fmt.Sprint(len(done)), "1")
			equal(t, "whether a Tx follows", fmt.Sprint(next != nil), "false")
			equal(t, "what is applied", versions(t, db, "s"), "[1 2]")
			equal(t, "the rows", value(t, pool, "SELECT concat((SELECT group_concat(x) FROM t), ' ', (SELECT count(*) FROM slow))"), "1 0")
		})
	}
}

// If the connection breaks before the answer to a COMMIT, the server may have committed that and
// what follows it.
func TestSequenceLosesTheConnection(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)")
	proxy := testdb.NewProxy(t, url)
	s := sequencer(t, open(t, proxy.URL), database.LockOptions{})
	proxy.Reset()
	proxy.CutAfter(testdb.ToClient, 3) // of about 40 packets
	done, next, err := commitEach(background(t), t, s, database.LockOptions{}, func() {}, insertsInto("t", 4)...)
	as[*database.CommitUnknownError](t, err)
	equal(t, "how many are known to be committed", fmt.Sprint(len(done)), "0")
	equal(t, "whether a Tx follows", fmt.Sprint(next != nil), "false")
	db := open(t, url)
	tx, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	st, err := tx.State(background(t))
	must(t, err)
	must(t, tx.Rollback(background(t)))
	equal(t, "the migrations with a row", value(t, pool, "SELECT count(*) FROM t"), fmt.Sprint(len(st.Applied.Versions())-1))
}

// Warnings are those of the statement that caused them.
func TestWarningsInASequence(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int PRIMARY KEY)")
	var got []string
	db, err := database.Open(background(t), url, database.Options{Notice: func(n database.Notice) { got = append(got, n.Code+" "+n.Message) }})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	s := sequencer(t, db, database.LockOptions{})
	_, next, err := commitEach(background(t), t, s, database.LockOptions{}, func() { got = append(got, "committed") },
		"INSERT INTO t VALUES (1)", "INSERT IGNORE INTO t VALUES (1); INSERT INTO t VALUES (2)", "INSERT IGNORE INTO t VALUES (2)")
	must(t, err)
	must(t, next.Rollback(background(t)))
	equal(t, "what happened", strings.Join(got, "; "), "committed; 1062 Duplicate entry '1' for key 'PRIMARY'; committed; 1062 Duplicate entry '2' for key 'PRIMARY'; committed")
}

// A sequence has only the parts that the server accepts in one message.
func TestSequenceIsAsLongAsAMessage(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)")
	db := open(t, url)
	for limit, want := range map[int64]string{512: "0", 3 << 10: "1"} {
		s := sequencer(t, db, database.LockOptions{})
		mysql.LimitMessages(s, limit)
		done, next, err := commitEach(background(t), t, s, database.LockOptions{}, func() {}, insertsInto("t", 3)...)
		must(t, err)
		equal(t, "how many were committed", fmt.Sprint(len(done)), want)
		equal(t, "whether a Tx follows", fmt.Sprint(next != nil), "false")
		equal(t, "the open transactions", value(t, pool, "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON trx_mysql_thread_id = id WHERE db = DATABASE()"), "0")
		executeAll(t, pool, "DELETE FROM whimbrel_history WHERE set_name = 's'")
	}
}

// A statement that waits for another session is reported as by itself, and is what others see.
func TestSequenceIsBlocked(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)", "CREATE TABLE locked (x int)", "INSERT INTO locked VALUES (1)")
	end := block(t, pool, "START TRANSACTION", "UPDATE locked SET x = 3")
	var seen []database.Blockage
	var holder database.Holder
	other := open(t, url)
	opts := database.LockOptions{Blocked: func(b database.Blockage) {
		if seen = append(seen, b); len(seen) == 1 {
			holder, _, _ = database.LockHolder(background(t), other, "s")
			go end()
		}
	}}
	done, next, err := commitEach(background(t), t, sequencer(t, open(t, url), opts), opts, func() {}, "INSERT INTO t VALUES (2)", "UPDATE locked SET x = 4", "INSERT INTO t VALUES (3)")
	must(t, err)
	must(t, next.Rollback(background(t)))
	equal(t, "how many were committed", fmt.Sprint(len(done)), "3")
	if len(seen) == 0 || seen[0].SQL != "UPDATE locked SET x = 4" {
		t.Errorf("the blockages are %+v", seen)
	}
	equal(t, "what the holder of the lock executes", holder.Query, "UPDATE locked SET x = 4")
}

// A Tx that needs its connections for itself, or may not keep them, is followed by none.
func TestCommitBeginsNothing(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	executeAll(t, pool, "CREATE TABLE t (x int)")
	two := testdb.OpenMariaDB(t, url)
	two.SetMaxOpenConns(2)
	few, err := mysql.New(two, database.Options{})
	must(t, err)
	for name, tt := range map[string]struct {
		db     database.Database
		script string
	}{
		"a changed session": {open(t, url), "SET @a = 1; INSERT INTO t VALUES (@a)"},
		"a lease":           {open(t, url+"?lock=lease"), "INSERT INTO t VALUES (1)"},
		"a small pool":      {few, "INSERT INTO t VALUES (1)"},
	} {
		t.Run(name, func(t *testing.T) {
			tx, _, err := tt.db.Begin(background(t), name, database.LockOptions{Timeout: waitLimit})
			must(t, err)
			must(t, tx.Exec(background(t), migration.Text("x.sql", tt.script)))
			must(t, tx.Record(background(t), entryOf(1)))
			_, next, _, err := database.CommitAndBegin(background(t), tx, database.LockOptions{})
			must(t, err)
			equal(t, "whether a Tx follows", fmt.Sprint(next != nil), "false")
			equal(t, "what is applied", versions(t, tt.db, name), "[1]")
		})
	}
}
