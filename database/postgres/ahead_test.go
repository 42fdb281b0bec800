package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

// told tells a run that a script of one statement comes next, as a version.
func told(t testing.TB, db database.Database, r database.Run, v int64, sql string) (c database.Call, n int) {
	t.Helper()
	all, n := toldAll(t, db, r, v, sql)
	return all[0], n
}

// toldAll tells a run that scripts come next, as versions from v on. It returns the calls that
// execute their statements.
func toldAll(t testing.TB, db database.Database, r database.Run, v int64, scripts ...string) (all []database.Call, n int) {
	t.Helper()
	var next []database.Call
	for i, sql := range scripts {
		s, v := script(sql), v+int64(i)
		a, err := s.Analyze(db.Dialect(), db.Tables())
		must(t, err)
		done, sum := 0, migration.Checksum{}
		for st, err := range a.All() {
			must(t, err)
			c := database.Call{Script: s, Statement: st, Journal: database.Journal{
				Version: v, Name: "m", Direction: database.Up, Of: a.Statements, Done: done, DoneSum: sum, Begun: st.Text,
			}}
			all, next = append(all, c), append(next, c)
			done, sum = done+1, database.NextSum(sum, st.Text)
		}
		e := event(v)
		next = append(next, database.Call{Script: s, Entry: &e})
	}
	n, err := r.(database.RunSequencer).Ahead(background(t), next)
	must(t, err)
	return all, n
}

// execTold makes the first of these calls.
func execTold(ctx context.Context, r database.Run, c *database.Call) (announced bool, err error) {
	return database.ExecAnnounced(ctx, r, c.Script, c.Statement, &c.Journal)
}

// A statement that can't be in a transaction, its announcement and its end take one message, on
// every version and for every kind of statement whose success says all about it.
func TestRunInOneMessage(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			proxy := testdb.NewProxy(t, m.New(t))
			c := connect(t, proxy.URL)
			do(t, c, "CREATE TABLE t (x int); CREATE TABLE whole (x int) PARTITION BY LIST (x); CREATE TABLE part PARTITION OF whole FOR VALUES IN (1)")
			db := open(t, proxy.URL)
			must(t, apply(t, db, "s", 1, script("SELECT 1")))
			r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit, LockTimeout: waitLimit})
			must(t, err)
			t.Cleanup(func() { r.Close(context.Background()) })
			v := int64(1)
			for sql, want := range map[string]int{
				"CREATE INDEX CONCURRENTLY i ON t (x)":                        2,
				"DROP INDEX CONCURRENTLY IF EXISTS missing":                   2,
				"REINDEX TABLE CONCURRENTLY t":                                2,
				"VACUUM t":                                                    2,
				"ALTER TABLE whole DETACH PARTITION part CONCURRENTLY":        2,
				"CREATE INDEX CONCURRENTLY IF NOT EXISTS j ON t (x)":          0, // an invalid one is to be found
				"REINDEX DATABASE CONCURRENTLY " + value(t, c, dbName):        0, // what it leaves is in any table
				"CREATE DATABASE x":                                           0,
				"CREATE TABLE u (x int)":                                      0,
				"/* $1 */ CREATE INDEX CONCURRENTLY k ON t (x, ('$1'::text))": 2,
			} {
				if m.Major < 14 && strings.Contains(sql, "DETACH") {
					continue
				}
				v++
				of, n := told(t, db, r, v, sql)
				equal(t, "the calls that are taken of "+sql, n, want)
				if n == 0 {
					continue
				}
				proxy.Reset()
				start := time.Now()
				announced, err := execTold(background(t), r, &of)
				must(t, err)
				equal(t, "whether it was announced", announced, true)
				recorded, err := r.Record(background(t), event(v))
				must(t, err)
				// The answer to the announcement may come by itself.
				if turns := proxy.Turns(); turns > 2 {
					t.Errorf("%s took %d round trips", sql, turns)
				}
				e := recorded.Entries[0]
				if e.Version != v || e.Duration <= 0 || e.Duration > time.Since(start) || e.StartedAt.Before(start.Add(-time.Second)) {
					t.Errorf("the entry of %s is %+v", sql, e)
				}
				st, err := r.State(background(t))
				must(t, err)
				equal(t, "the head", recorded.Head, st.Head)
				equal(t, "whether a run is interrupted", st.Interrupted != nil, false)
				equal(t, "what is set in the session", value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%1_x' AND datname = current_database()"), "0")
			}
			must(t, r.Close(background(t)))
			equal(t, "the indexes", value(t, connect(t, proxy.URL), "SELECT count(*) FROM pg_index WHERE indrelid = 't'::regclass AND indisvalid"), "2")
		})
	}
}

const (
	dbName = "SELECT current_database()"
	// endGuard ends the session that has the lock.
	endGuard = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

// The message has eleven statements, and each transaction under the lock of a run seven. The server
// parses only the scripts'.
func TestCostOfARun(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	var parsed, executed atomic.Int64
	tap := testdb.NewTap(t, url, func(_ int, m any) {
		switch m.(type) {
		case *pgproto3.Parse:
			parsed.Add(1)
		case *pgproto3.Bind:
			executed.Add(1)
		}
	})
	db := open(t, tap.URL)
	must(t, apply(t, db, "s", 1, script("CREATE TABLE a (x int)")))
	r := guard(t, db, "s")
	for v := int64(2); v < 20; v += 6 { // the first one prepares the statements
		parsed.Store(0)
		executed.Store(0)
		of, n := told(t, db, r, v, "REINDEX TABLE CONCURRENTLY a")
		equal(t, "the calls that are taken", n, 2)
		_, err := execTold(background(t), r, &of)
		must(t, err)
		recorded, err := r.Record(background(t), event(v))
		must(t, err)
		equal(t, "the statements of the message", executed.Load(), 11)
		s := database.StartSequenceUnder(background(t), r, recorded.Head)
		var parts []database.Part
		for i := range int64(5) {
			parts = append(parts, database.Part{Script: script("INSERT INTO a VALUES (1)"), Entries: []database.Entry{event(v + 1 + i)}})
		}
		_, _, err = s.CommitEach(background(t), parts, false, database.LockOptions{}, database.PartReport{Begun: func() {}, Committed: func(database.Recorded) {}})
		must(t, err)
		equal(t, "the statements of the transactions", executed.Load()-11, 5*7)
		if v > 2 {
			equal(t, "the statements that the server parses", parsed.Load(), 1+5)
		}
	}
	must(t, r.Close(background(t)))
	equal(t, "the rows", value(t, connect(t, url), "SELECT count(*) FROM a"), "15")
}

// A statement that failed and is executed again has the entry that Record is called with, which
// counts the retries.
func TestRunInOneMessageIsRetried(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int)")
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	r := guard(t, db, "s")
	of, _ := told(t, db, r, 2, "DROP INDEX CONCURRENTLY i")
	_, err := execTold(background(t), r, &of)
	as[*database.StatementError](t, err)
	do(t, c, "CREATE INDEX i ON t (x)")
	_, err = execTold(background(t), r, &of)
	must(t, err)
	e := event(2)
	e.Retries = 1
	must(t, errOf(r.Record(background(t), e)))
	equal(t, "the retries in the history", value(t, c, "SELECT string_agg(retries::text, ' ') FROM whimbrel_history WHERE set_name = 's' AND version = 2"), "1")
	must(t, r.Close(background(t)))
}

// If the statement fails, it is announced, its end is not recorded, and the error is that of the
// statement.
func TestRunInOneMessageFails(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int); INSERT INTO t VALUES (1), (1); CREATE TABLE i ()")
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	r := guard(t, db, "s")
	for sql, code := range map[string]string{
		"\nCREATE UNIQUE INDEX CONCURRENTLY u ON t (x)": "23505",
		"\nCREATE INDEX CONCURRENTLY i ON t (x)":        "42P07",
		"\nDROP INDEX CONCURRENTLY missing":             "42704",
	} {
		of, n := told(t, db, r, 2, sql)
		equal(t, "the calls that are taken", n, 2)
		announced, err := execTold(background(t), r, &of)
		equal(t, "whether it was announced", announced, true)
		e := as[*database.StatementError](t, err)
		equal(t, "the error and its place", fmt.Sprint(e.Code, " ", e.Pos.Line, " ", e.Statement), code+" 2 "+of.Statement.Text)
		st, err := r.State(background(t))
		must(t, err)
		equal(t, "the statement in the journal", st.Interrupted.Begun, of.Statement.Text)
		o, err := r.Outcome(background(t), of.Statement, of.Journal.Before, database.LockOptions{})
		must(t, err)
		equal(t, "the outcome", o.Verdict, database.NotHappened)
		for _, fix := range o.First {
			do(t, c, fix)
		}
		must(t, r.Journal(background(t), nil))
	}
	must(t, r.Close(background(t)))
	equal(t, "what is applied", versions(t, db, "s"), "[1]")
}

// While another session delays the statement, it is not sent, and whom it waits for is reported.
func TestRunInOneMessageIsDelayed(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("CREATE TABLE t (x int)")))
	other := connect(t, url)
	do(t, other, "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
	s := seeing(-1)
	r, _, err := db.Guard(background(t), "s", s.opts)
	must(t, err)
	of, n := told(t, db, r, 2, "CREATE INDEX CONCURRENTLY i ON t (x)")
	equal(t, "the calls that are taken", n, 2)
	done := inBackground(func() error {
		_, err := execTold(context.Background(), r, &of)
		return err
	})
	b := s.until(t, "the other session", anything)
	equal(t, "who delays it", b.Blockers[0].PID, pidOf(t, other))
	do(t, other, "COMMIT")
	must(t, done())
	recorded, err := r.Record(background(t), event(2))
	must(t, err)
	equal(t, "the entries", len(recorded.Entries), 1)
	must(t, r.Close(background(t)))
	equal(t, "what is applied", versions(t, db, "s"), "[1 2]")
}

// A run whose claim another process has taken does not execute the statement.
func TestRunInOneMessageIsFenced(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("CREATE TABLE t (x int)")))
	c := connect(t, url)
	r := guard(t, db, "s")
	do(t, c, "UPDATE whimbrel_journal SET token = 'x'")
	of, _ := told(t, db, r, 2, "CREATE INDEX CONCURRENTLY i ON t (x)")
	announced, err := execTold(background(t), r, &of)
	is(t, err, database.ErrFenced)
	equal(t, "whether it was announced", announced, false)
	equal(t, "the index", value(t, c, "SELECT to_regclass('i')"), "<null>")
	must(t, r.Close(background(t)))
}

// A context that ends, and the end of the guard, cancel the statement on the server. Nothing is
// recorded.
func TestRunInOneMessageIsCancelled(t *testing.T) {
	for name, lost := range map[string]bool{"by the context": false, "by the end of the guard": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			db := open(t, url)
			must(t, apply(t, db, "s", 1, script("CREATE TABLE t (x int)")))
			reader, c := connect(t, url), connect(t, url)
			do(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t") // it waits for this
			r := guard(t, db, "s")
			of, _ := told(t, db, r, 2, "CREATE INDEX CONCURRENTLY i ON t (x)")
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := inBackground(func() error {
				_, err := execTold(ctx, r, &of)
				return err
			})
			eventually(t, "the statement waits", func() bool {
				return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = $1 AND wait_event_type = 'Lock'", of.Statement.Text) == "1"
			})
			equal(t, "the announcement is visible", value(t, c, "SELECT begun FROM whimbrel_journal"), of.Statement.Text)
			if lost {
				do(t, c, endGuard)
				as[*database.LockLostError](t, done())
			} else {
				cancel()
				is(t, done(), context.Canceled)
			}
			eventually(t, "nothing executes the statement", func() bool {
				return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = $1 AND state = 'active'", of.Statement.Text) == "0"
			})
			must(t, r.Close(background(t)))
			equal(t, "what is applied", versions(t, db, "s"), "[1]")
			do(t, reader, "COMMIT")
		})
	}
}

// threeIndexes are scripts of which the second one waits for whoever reads t.
var threeIndexes = []string{"DROP INDEX CONCURRENTLY i", "CREATE INDEX CONCURRENTLY j ON t (x)", "CREATE INDEX CONCURRENTLY k ON free (x)"}

// Scripts that were told together share one message. Each call returns its own outcome, also before
// the statement after it has ended.
func TestRunsInOneMessage(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			proxy := testdb.NewProxy(t, m.New(t))
			var executed atomic.Int64
			tap := testdb.NewTap(t, proxy.URL, func(_ int, m any) {
				if _, ok := m.(*pgproto3.Bind); ok {
					executed.Add(1)
				}
			})
			c := connect(t, proxy.URL)
			do(t, c, "CREATE TABLE t (x int)")
			db := open(t, tap.URL)
			must(t, apply(t, db, "s", 1, script("SELECT 1")))
			r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit, LockTimeout: waitLimit})
			must(t, err)
			t.Cleanup(func() { r.Close(context.Background()) })
			proxy.Reset()
			executed.Store(0)
			all, n := toldAll(t, db, r, 2, "CREATE INDEX CONCURRENTLY i ON t (x)", "VACUUM t", "DROP INDEX CONCURRENTLY i", "REINDEX TABLE CONCURRENTLY t")
			equal(t, "the calls that are taken", n, 8)
			for i := range all {
				of, v := &all[i], int64(i+2)
				announced, err := execTold(background(t), r, of)
				must(t, err)
				equal(t, "whether it was announced", announced, true)
				equal(t, "whether its journal is as it was stored", of.Journal.Before != "" && !of.Journal.StartedAt.IsZero(), true)
				recorded, err := r.Record(background(t), event(v))
				must(t, err)
				equal(t, "the version", recorded.Entries[0].Version, v)
			}
			equal(t, "the statements of the message", executed.Load(), 11+3*8)
			// The answer to each announcement may come by itself.
			if turns := proxy.Turns(); turns > 5 {
				t.Errorf("four scripts took %d round trips", turns)
			}
			st, err := r.State(background(t))
			must(t, err)
			equal(t, "whether a run is interrupted", st.Interrupted != nil, false)
			equal(t, "what is set in the session", value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%1_x' AND datname = current_database()"), "0")
			s := database.StartSequenceUnder(background(t), r, st.Head)
			equal(t, "whether a sequence can follow", s != nil, true)
			must(t, r.Close(background(t)))
			equal(t, "what is applied", versions(t, db, "s"), "[1 2 3 4 5]")
		})
	}
}

// A script of several statements is in one message, too. Its journal says how many are done, and
// when the run started.
func TestRunOfSeveralStatementsInOneMessage(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int)")
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	r := guard(t, db, "s")
	all, n := toldAll(t, db, r, 2, "CREATE INDEX CONCURRENTLY i ON t (x); REINDEX TABLE CONCURRENTLY t; CREATE INDEX CONCURRENTLY j ON t (x)",
		"DROP INDEX CONCURRENTLY i; DROP INDEX CONCURRENTLY missing; DROP INDEX CONCURRENTLY j")
	equal(t, "the calls that are taken", n, 8)
	for i := range 3 {
		must(t, errOf(execTold(background(t), r, &all[i])))
		equal(t, "when the run started", all[i].Journal.StartedAt, all[0].Journal.StartedAt)
	}
	recorded, err := r.Record(background(t), event(2))
	must(t, err)
	equal(t, "when the script began", recorded.Entries[0].StartedAt, all[0].Journal.StartedAt)
	must(t, errOf(execTold(background(t), r, &all[3])))
	announced, err := execTold(background(t), r, &all[4])
	equal(t, "whether it was announced", announced, true)
	equal(t, "the error", as[*database.StatementError](t, err).Code, "42704")
	st, err := r.State(background(t))
	must(t, err)
	equal(t, "the journal", fmt.Sprint(st.Interrupted.Version, st.Interrupted.Done, " ", st.Interrupted.Begun), "3 1 DROP INDEX CONCURRENTLY missing")
	must(t, r.Close(background(t)))
	equal(t, "the indexes", value(t, c, "SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE indrelid = 't'::regclass"), "j")
	equal(t, "what is applied", versions(t, db, "s"), "[1 2]")
}

// The first that fails is the last that is executed. Those before it are recorded.
func TestRunsInOneMessageFail(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int)")
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	r := guard(t, db, "s")
	all, _ := toldAll(t, db, r, 2, "CREATE INDEX CONCURRENTLY i ON t (x)", "DROP INDEX CONCURRENTLY missing", "CREATE INDEX CONCURRENTLY j ON t (x)")
	must(t, errOf(execTold(background(t), r, &all[0])))
	must(t, errOf(r.Record(background(t), event(2))))
	announced, err := execTold(background(t), r, &all[1])
	equal(t, "whether it was announced", announced, true)
	equal(t, "the error", as[*database.StatementError](t, err).Code, "42704")
	st, err := r.State(background(t))
	must(t, err)
	equal(t, "the statement in the journal", st.Interrupted.Begun, all[1].Statement.Text)
	do(t, c, "CREATE INDEX missing ON t (x)")
	must(t, errOf(execTold(background(t), r, &all[1]))) // it is announced by itself
	must(t, errOf(r.Record(background(t), event(3))))
	equal(t, "the indexes", value(t, c, "SELECT string_agg(indexrelid::regclass::text, ' ') FROM pg_index WHERE indrelid = 't'::regclass"), "i")
	must(t, r.Close(background(t)))
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3]")
}

// What a statement does is committed before the transaction that records it, which may fail. That
// transaction has its own isolation level, whatever is the default.
func TestRunsInOneMessageAreCommittedFirst(t *testing.T) {
	for _, m := range testdb.PostgresMajors(t) {
		t.Run(fmt.Sprint(m.Major), func(t *testing.T) {
			t.Parallel()
			url := m.New(t)
			tap := testdb.NewTap(t, url, func(_ int, m any) {
				if n, ok := m.(*pgproto3.NoticeResponse); ok {
					t.Errorf("the server warned: %s", n.Message)
				}
			})
			c := connect(t, url)
			do(t, c, "ALTER DATABASE "+value(t, c, dbName)+" SET default_transaction_isolation = 'serializable'")
			do(t, c, "CREATE TABLE t (x int); CREATE INDEX dropped ON t (x); CREATE TABLE whole (x int) PARTITION BY LIST (x); CREATE TABLE part PARTITION OF whole FOR VALUES IN (1)")
			db := open(t, tap.URL)
			must(t, apply(t, db, "s", 1, script("SELECT 1")))
			v := int64(1)
			for sql, query := range map[string]string{
				"DROP INDEX CONCURRENTLY dropped":                      "SELECT to_regclass('dropped') IS NULL",
				"CREATE INDEX CONCURRENTLY i ON t (x)":                 "SELECT indisvalid FROM pg_index WHERE indexrelid = 'i'::regclass",
				"ALTER TABLE whole DETACH PARTITION part CONCURRENTLY": "SELECT count(*) = 0 FROM pg_inherits",
			} {
				if m.Major < 14 && strings.Contains(sql, "DETACH") {
					continue
				}
				r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit, LockTimeout: waitLimit})
				must(t, err)
				v++
				all, n := toldAll(t, db, r, v, sql)
				equal(t, "the calls that are taken", n, 2)
				do(t, c, fmt.Sprintf("ALTER TABLE whimbrel_history ADD CONSTRAINT refused CHECK (version <> %d) NOT VALID", v))
				must(t, errOf(execTold(background(t), r, &all[0])))
				if _, err := r.Record(background(t), event(v)); err == nil {
					t.Error("a refused entry was recorded")
				}
				equal(t, "whether the statement took effect: "+sql, value(t, c, query), "true")
				do(t, c, "ALTER TABLE whimbrel_history DROP CONSTRAINT refused")
				must(t, errOf(r.Record(background(t), event(v))))
				must(t, r.Close(background(t)))
			}
		})
	}
}

// While another session delays a statement that follows, the one before it is recorded.
func TestRunsInOneMessageAreDelayed(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int); CREATE TABLE free (x int); CREATE INDEX i ON free (x)")
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	other := connect(t, url)
	do(t, other, "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
	s := seeing(-1)
	r, _, err := db.Guard(background(t), "s", s.opts)
	must(t, err)
	all, _ := toldAll(t, db, r, 2, threeIndexes...)
	must(t, errOf(execTold(background(t), r, &all[0])))
	must(t, errOf(r.Record(background(t), event(2))))
	equal(t, "what is applied before the delay ends", versions(t, open(t, url), "s"), "[1 2]")
	equal(t, "the first index", value(t, c, "SELECT to_regclass('i')"), "<null>")
	done := inBackground(func() error { return errOf(execTold(context.Background(), r, &all[1])) })
	b := s.until(t, "the other session", anything)
	equal(t, "who delays it", b.Blockers[0].PID, pidOf(t, other))
	equal(t, "the index after it", value(t, c, "SELECT to_regclass('k')"), "<null>")
	do(t, other, "COMMIT")
	must(t, done())
	must(t, errOf(r.Record(background(t), event(3))))
	must(t, errOf(execTold(background(t), r, &all[2])))
	must(t, errOf(r.Record(background(t), event(4))))
	must(t, r.Close(background(t)))
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3 4]")
}

// While another session delays the next statement of a script, those before it are not repeated.
func TestRunOfSeveralStatementsInOneMessageIsDelayed(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, "CREATE TABLE t (x int); CREATE TABLE free (x int); CREATE INDEX i ON free (x)")
	db := open(t, url)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	other := connect(t, url)
	do(t, other, "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE")
	s := seeing(-1)
	r, _, err := db.Guard(background(t), "s", s.opts)
	must(t, err)
	all, _ := toldAll(t, db, r, 2, strings.Join(threeIndexes, "; "))
	must(t, errOf(execTold(background(t), r, &all[0])))
	done := inBackground(func() error { return errOf(execTold(context.Background(), r, &all[1])) })
	s.until(t, "the other session", anything)
	equal(t, "the journal", value(t, c, "SELECT done || ' ' || begun FROM whimbrel_journal"), "1 "+threeIndexes[1])
	equal(t, "the first index", value(t, c, "SELECT to_regclass('i')"), "<null>")
	equal(t, "the third index", value(t, c, "SELECT to_regclass('k')"), "<null>")
	do(t, other, "COMMIT")
	must(t, done())
	must(t, errOf(execTold(background(t), r, &all[2])))
	must(t, errOf(r.Record(background(t), event(2))))
	must(t, r.Close(background(t)))
	equal(t, "what is applied", versions(t, db, "s"), "[1 2]")
}

// Whatever ends the message while a statement waits, those after it are not executed.
func TestRunsInOneMessageAreStopped(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, c, reader *pgx.Conn, r database.Run, second *database.Call){
		"by the context of a call": func(t *testing.T, c, reader *pgx.Conn, r database.Run, second *database.Call) {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			announced, err := execTold(ctx, r, second)
			equal(t, "whether it was announced", announced, true)
			is(t, err, context.DeadlineExceeded)
		},
		"by a context that ended before": func(t *testing.T, c, reader *pgx.Conn, r database.Run, second *database.Call) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			announced, err := execTold(ctx, r, second)
			equal(t, "whether it was announced", announced, true)
			is(t, err, context.Canceled)
		},
		"by the end of the guard": func(t *testing.T, c, reader *pgx.Conn, r database.Run, second *database.Call) {
			done := inBackground(func() error { return errOf(execTold(context.Background(), r, second)) })
			do(t, c, endGuard)
			as[*database.LockLostError](t, done())
		},
		"by another claim": func(t *testing.T, c, reader *pgx.Conn, r database.Run, second *database.Call) {
			do(t, c, "UPDATE whimbrel_journal SET token = 'x'")
			do(t, reader, "COMMIT")
			must(t, errOf(execTold(background(t), r, second)))
			is(t, errOf(r.Record(background(t), event(3))), database.ErrFenced)
		},
		"by another call": func(t *testing.T, c, reader *pgx.Conn, r database.Run, second *database.Call) {
			is(t, errOf(r.State(background(t))), database.ErrFenced)
			st, err := r.State(background(t))
			must(t, err)
			equal(t, "the statement in the journal", st.Interrupted.Begun, second.Statement.Text)
		},
		// The lock is lost, but the process does not know: it may be suspended.
		"by a freeze": func(t *testing.T, c, reader *pgx.Conn, r database.Run, second *database.Call) {
			do(t, c, "INSERT INTO whimbrel_history (set_name, version, name, direction, has_down_text, up_directives, down_directives, started_at, duration_us, db_user, os_user, host, app, actor, tool_version, reason) VALUES ('whimbrel', 0, '', 'setting', false, '', '', now(), 1, '', '', '', '', '', '', '')")
			do(t, reader, "COMMIT")
			eventually(t, "the second index is valid", func() bool {
				return value(t, c, "SELECT indisvalid::text FROM pg_index WHERE indexrelid = 'j'::regclass") == "true"
			})
			must(t, errOf(execTold(background(t), r, second)))
		},
		"by the end of the run": func(*testing.T, *pgx.Conn, *pgx.Conn, database.Run, *database.Call) {},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "CREATE TABLE t (x int); CREATE TABLE free (x int); CREATE INDEX i ON free (x)")
			db := open(t, url)
			must(t, apply(t, db, "s", 1, script("SELECT 1")))
			reader := connect(t, url)
			do(t, reader, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM t")
			r := guard(t, db, "s")
			all, _ := toldAll(t, db, r, 2, threeIndexes...)
			must(t, errOf(execTold(background(t), r, &all[0])))
			must(t, errOf(r.Record(background(t), event(2))))
			eventually(t, "the second statement waits", func() bool {
				return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = $1 AND wait_event_type = 'Lock'", all[1].Statement.Text) == "1"
			})
			equal(t, "what is applied meanwhile", versions(t, open(t, url), "s"), "[1 2]")
			stop(t, c, reader, r, &all[1])
			must(t, r.Close(background(t)))
			must(t, reader.Close(background(t)))
			eventually(t, "nothing executes a statement", func() bool {
				return value(t, c, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CREATE INDEX%' AND state = 'active'") == "0"
			})
			equal(t, "the third index", value(t, c, "SELECT to_regclass('k')"), "<null>")
			equal(t, "what is applied", versions(t, db, "s"), "[1 2]")
			equal(t, "the statement in the journal", value(t, c, "SELECT begun FROM whimbrel_journal"), all[1].Statement.Text)
		})
	}
}

// The server may go on after the connection broke. The run then writes nothing any more, even if
// what the server executes is the same statement of another script.
func TestRunsInOneMessageGoOn(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	first, second, c := connect(t, url), connect(t, url), connect(t, url)
	do(t, c, "CREATE TABLE t (x int)")
	proxy := testdb.NewProxy(t, url)
	proxy.CutAlone()
	proxy.CutWhenAnswered(func(message []byte) bool { return bytes.Contains(message, []byte("VACUUM\x00")) })
	db := open(t, proxy.URL)
	must(t, apply(t, db, "s", 1, script("SELECT 1")))
	r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit, LockTimeout: waitLimit})
	must(t, err)
	all, n := toldAll(t, db, r, 2, "VACUUM t", "VACUUM t")
	equal(t, "the calls that are taken", n, 4)
	const lock, waits = "BEGIN; LOCK TABLE t IN SHARE UPDATE EXCLUSIVE MODE", "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND NOT granted"
	do(t, first, lock)
	done := inBackground(func() error { return errOf(execTold(context.Background(), r, &all[0])) })
	eventually(t, "the first statement waits", func() bool { return value(t, c, waits) == "1" })
	locked := send(second, lock)
	eventually(t, "the second lock waits", func() bool { return value(t, c, waits) == "2" })
	do(t, first, "COMMIT")
	must(t, locked())
	as[*database.StatementError](t, done())
	is(t, r.Journal(background(t), nil), database.ErrFenced)
	must(t, r.Close(background(t)))
	equal(t, "what still waits", value(t, c, waits), "0")
	equal(t, "what is applied", versions(t, open(t, url), "s"), "[1 2]")
	equal(t, "the journal", value(t, c, "SELECT version || ' ' || begun FROM whimbrel_journal"), "3 VACUUM t")
}

// underRun returns a run of set s that has recorded version 2, and a sequence under its lock.
func underRun(t *testing.T, db database.Database) (database.Run, database.Sequence) {
	t.Helper()
	must(t, apply(t, db, "s", 1, script("CREATE TABLE a (x int)")))
	r := guard(t, db, "s")
	must(t, execAll(background(t), db, r, script("VACUUM a")))
	recorded, err := r.Record(background(t), event(2))
	must(t, err)
	s := database.StartSequenceUnder(background(t), r, recorded.Head)
	if s == nil {
		t.Fatal("no sequence under the lock of a run")
	}
	return r, s
}

// The server begins no transaction of a sequence under the lock of a run after a change that a Tx
// by itself would find, or if the run has lost its claim.
func TestSequenceUnderARunEnds(t *testing.T) {
	for name, change := range map[string]string{
		"another entry":   "INSERT INTO whimbrel_history (set_name, version, name, direction, has_down_text, up_directives, down_directives, started_at, duration_us, db_user, os_user, host, app, actor, tool_version, reason) VALUES ('s', 9, '', 'up', false, '', '', now(), 1, '', '', '', '', '', '', '')",
		"a freeze":        "INSERT INTO whimbrel_history (set_name, version, name, direction, has_down_text, up_directives, down_directives, started_at, duration_us, db_user, os_user, host, app, actor, tool_version, reason) VALUES ('whimbrel', 0, '', 'setting', false, '', '', now(), 1, '', '', '', '', '', '', '')",
		"another claim":   "UPDATE whimbrel_journal SET token = 'x'",
		"no claim":        "DELETE FROM whimbrel_journal",
		"a begun run":     "UPDATE whimbrel_journal SET done = 1",
		"a trigger":       "CREATE TRIGGER x AFTER INSERT ON whimbrel_history EXECUTE FUNCTION noop()",
		"a deleted entry": "DELETE FROM whimbrel_history WHERE set_name = 's'",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := testdb.Postgres(t)
			c := connect(t, url)
			do(t, c, "CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "+onInsert("armed", change))
			db := open(t, url)
			r, s := underRun(t, db)
			done, next, err := commitEach(t, s, "INSERT INTO a VALUES (1)", "INSERT INTO armed VALUES (1)", "INSERT INTO a VALUES (2)", "INSERT INTO a VALUES (3)")
			must(t, err)
			equal(t, "how many were committed", done, 2)
			equal(t, "whether a Tx follows", next != nil, false)
			must(t, r.Close(background(t)))
			equal(t, "the rows", value(t, c, "SELECT string_agg(x::text, ' ') FROM a"), "1")
			becomesFreeAgain(t, url)
		})
	}
}

// If the run loses its lock, its sequence is cancelled on the server.
func TestSequenceUnderARunLosesTheLock(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, onInsert("slow", "PERFORM pg_sleep(300)"))
	db := open(t, url)
	r, s := underRun(t, db)
	done := inBackground(func() error {
		n, _, err := commitEach(t, s, "INSERT INTO a VALUES (1)", "INSERT INTO slow VALUES (1)", "INSERT INTO a VALUES (2)")
		if n != 1 {
			t.Errorf("%d transactions were committed, want 1", n)
		}
		return err
	})
	becomesStuck(t, c)
	do(t, c, endGuard)
	as[*database.LockLostError](t, done())
	equal(t, "what still runs", stuck(t, c), false)
	_, err := r.Record(background(t), event(5))
	as[*database.LockLostError](t, err)
	must(t, r.Close(background(t)))
	isFree(t, db, "s")
	equal(t, "what is applied", versions(t, db, "s"), "[1 2 3]")
}

// If the process dies in a sequence under the lock of a run, the one that takes over ends its
// session first, which may still execute the rest.
func TestSequenceUnderARunIsTakenOver(t *testing.T) {
	t.Parallel()
	url := testdb.Postgres(t)
	c := connect(t, url)
	do(t, c, onInsert("slow", "PERFORM pg_sleep(300)"))
	proxy := testdb.NewProxy(t, url)
	db := open(t, proxy.URL)
	_, s := underRun(t, db)
	done := inBackground(func() error {
		_, _, err := commitEach(t, s, "INSERT INTO slow VALUES (1)", "INSERT INTO a VALUES (2)")
		return err
	})
	becomesStuck(t, c)
	proxy.Stall() // the process does not learn of what follows
	do(t, c, endGuard)
	must(t, apply(t, open(t, url), "s", 3, script("SELECT 1")))
	equal(t, "what still runs", stuck(t, c), false)
	proxy.Resume()
	if done() == nil {
		t.Error("the sequence of the first process succeeded")
	}
	equal(t, "what is applied", versions(t, open(t, url), "s"), "[1 2 3]")
}

// A run and the transactions that follow it share its lock up to the next run, also through a pool
// of one connection, or a pooler, where each has its own.
func TestRunsBetweenTransactions(t *testing.T) {
	const one = "&pool_max_conns=1"
	pooled, _ := testdb.PgBouncer(t)
	for name, url := range map[string]string{"directly": testdb.Postgres(t), "a pool of one": testdb.Postgres(t) + one, "through PgBouncer": pooled} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := setOf(t, "s", "CREATE TABLE t (x int)", "CREATE INDEX CONCURRENTLY a ON t (x)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)",
				"CREATE INDEX CONCURRENTLY b ON t (x)", "INSERT INTO t VALUES (3)", "SET search_path = pg_catalog; INSERT INTO public.t VALUES (4)", "INSERT INTO t VALUES (5)", "DROP INDEX CONCURRENTLY b", "INSERT INTO t VALUES (6)")
			var order []string
			_, err := up(t, open(t, url), set, whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
				switch e := e.(type) {
				case whimbrel.StepStarted:
					order = append(order, fmt.Sprint(e.Step.Version))
				case whimbrel.StepDone:
					order = append(order, fmt.Sprint(e.Step.Version, "."))
				}
			}})
			must(t, err)
			equal(t, "the order of the events", strings.Join(order, " "), "1 1. 2 2. 3 3. 4 4. 5 5. 6 6. 7 7. 8 8. 9 9. 10 10.")
			c := connect(t, strings.TrimSuffix(url, one))
			equal(t, "the rows", value(t, c, "SELECT string_agg(x::text, '' ORDER BY x) FROM t"), "123456")
			equal(t, "the claims that are left", value(t, c, "SELECT count(*) FROM whimbrel_journal"), "0")
		})
	}
}
