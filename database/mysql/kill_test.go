package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A killed process leaves running statements, which the server doesn't notice. The next process
// terminates them before it begins, and resumes.
func TestKilledProcessLeavesAnOrphanThatTheNextOneEnds(t *testing.T) {
	tests := map[string]struct {
		ups, fixed []string
		running    string
		want       string
		lock       string
	}{
		"in a transaction": {
			ups:     []string{"CREATE TABLE a (x int)", "INSERT INTO a VALUES (1); INSERT INTO a SELECT SLEEP(100)"},
			fixed:   []string{"CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)"},
			running: "INSERT INTO a SELECT%", want: "SELECT count(*) = 1 FROM a",
		},
		"in a run, at a statement that is marked": {
			ups:     []string{"CREATE TABLE a (x int); INSERT INTO a VALUES (1); INSERT INTO a SELECT SLEEP(100)"},
			fixed:   []string{"CREATE TABLE a (x int); INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)"},
			running: "INSERT INTO a SELECT%", want: "SELECT count(*) = 2 FROM a",
		},
		"in a run, at DDL": {
			ups:     []string{"CREATE TABLE a (x int); INSERT INTO a VALUES (1); CREATE TABLE b AS SELECT SLEEP(100) AS x"},
			running: "CREATE TABLE b%", want: "SELECT count(*) = 1 FROM a",
		},
		"in a run with a lease": {
			ups:     []string{"CREATE TABLE a (x int); INSERT INTO a VALUES (1); CREATE TABLE b AS SELECT SLEEP(100) AS x"},
			running: "CREATE TABLE b%", want: "SELECT count(*) = 1 FROM a", lock: "?lock=lease",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url, pool := newDatabase(t)
			url += tt.lock
			p := start(t, job{URL: url, Ups: tt.ups})
			p.begin()
			eventually(t, "the statement runs", func() bool { return isRunning(t, pool, tt.running) })
			p.kill()
			if !isRunning(t, pool, tt.running) {
				t.Fatal("the server has noticed by itself that the client is gone: there is nothing to test")
			}
			db := open(t, url)
			if tt.fixed == nil { // the begun statement can't be edited: check who ended it
				b, _, err := db.Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
				must(t, err)
				must(t, b.Rollback(background(t)))
			} else {
				_, err := up(t, db, setOf(t, "s", tt.fixed...))
				must(t, err)
				equal(t, "the applied versions", versions(t, db, "s"), strings.ReplaceAll(fmt.Sprint([]int{1, 2}[:len(tt.ups)]), ",", ""))
			}
			if isRunning(t, pool, tt.running) {
				t.Error("the orphan still runs")
			}
			equal(t, tt.want, value(t, pool, tt.want), "1")
		})
	}
}

// ddlInRun are migrations of which the second has DDL between rows.
var ddlInRun = []string{"CREATE TABLE a (x int); CREATE TABLE b (x int); INSERT INTO a VALUES (1)", "INSERT INTO a VALUES (2); ALTER TABLE a ADD COLUMN y int; INSERT INTO a VALUES (3, 3)"}

// DDL that was killed while it waited did not take effect, and takes effect once.
func TestDDLThatWasKilledHappensOnce(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	_, err := up(t, open(t, url), setOf(t, "s", ddlInRun[0]))
	must(t, err)
	tx, err := pool.Begin()
	must(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("SELECT * FROM a LOCK IN SHARE MODE")
	must(t, err)
	p := start(t, job{URL: url, Ups: []string{ddlInRun[0], "ALTER TABLE a ADD COLUMN y int; INSERT INTO a VALUES (3, 3)"}})
	p.begin()
	eventually(t, "the statement waits", func() bool { return isRunning(t, pool, "ALTER TABLE a%") })
	p.kill()
	done := make(chan error)
	go func() {
		_, err := up(t, open(t, url), setOf(t, "s", ddlInRun[0], "ALTER TABLE a ADD COLUMN y int; INSERT INTO a VALUES (3, 3)"))
		done <- err
	}()
	eventually(t, "the next process is at the statement", func() bool {
		return value(t, pool, "SELECT count(*) FROM whimbrel_journal WHERE begun LIKE 'ALTER%'") == "1" && isRunning(t, pool, "ALTER TABLE a%")
	})
	must(t, tx.Rollback())
	must(t, <-done)
	equal(t, "the rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM a"), "1,3")
}

// DDL that took effect, and whose run was canceled before the next statement, is not repeated.
func TestDDLThatHasHappenedIsNotRepeated(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", ddlInRun[0]))
	must(t, err)
	set := setOf(t, "s", ddlInRun...)
	ctx, cancel := context.WithCancel(background(t))
	_, err = whimbrel.New(db, set, whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
		if st, ok := e.(whimbrel.StatementStarted); ok && st.Index == 2 {
			cancel()
		}
	}}).Up(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("Up returned %v", err)
	}
	// As if killed between the statement and its mark.
	st, err := db.State(background(t), "s")
	must(t, err)
	equal(t, "the statements that stand", fmt.Sprint(st.Interrupted.Done), "2")
	_, err = up(t, open(t, url), set)
	must(t, err)
	equal(t, "the rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM a"), "1,2,3")
}

// A run whose working connection breaks learns the outcome of its statement after the server has
// ended it, and continues on a new connection.
func TestRunOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	for _, lock := range []string{"?lock=advisory", "?lock=lease"} {
		url, pool := newDatabase(t)
		db := open(t, url+lock)
		r, _, err := db.Guard(background(t), "s", database.LockOptions{})
		must(t, err)
		create, err := sqltext.Split("CREATE TABLE a AS SELECT SLEEP(100) AS x", sqltext.MySQL, sqltext.Options{})
		must(t, err)
		before := announce(t, r, create[0])
		broken := make(chan error)
		go func() { broken <- execute(background(t), r, create[0].Text) }()
		eventually(t, "the statement runs", func() bool { return isRunning(t, pool, "CREATE TABLE a%") })
		_, err = pool.Exec("KILL " + value(t, pool, "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'CREATE TABLE a%'"))
		must(t, err)
		as[*database.StatementError](t, <-broken)
		o, err := r.Outcome(background(t), create[0], before, database.LockOptions{Timeout: waitLimit})
		must(t, err)
		equal(t, lock+": the outcome", string(o.Verdict), string(database.NotHappened))
		must(t, execute(background(t), r, "CREATE TABLE a (x int)"))
		must(t, r.Close(background(t)))
		b, _, err := db.Begin(background(t), "s", database.LockOptions{})
		must(t, err)
		must(t, b.Rollback(background(t)))
	}
}

// A DROP of two tables that was interrupted in between is completed.
func TestDropOfSeveralIsFinished(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", ddlInRun[0]))
	must(t, err)
	r, _, err := db.Guard(background(t), "s", database.LockOptions{})
	must(t, err)
	drop, err := sqltext.Split("DROP TABLE a, b", sqltext.MySQL, sqltext.Options{})
	must(t, err)
	before := announce(t, r, drop[0])
	_, err = pool.Exec("DROP TABLE a") // as far as the server got
	must(t, err)
	o, err := r.Outcome(background(t), drop[0], before, database.LockOptions{})
	must(t, err)
	equal(t, "the outcome", fmt.Sprint(o.Verdict, len(o.First)), "happened1")
	for _, first := range o.First {
		must(t, execute(background(t), r, first))
	}
	must(t, r.Close(background(t)))
	equal(t, "the tables", value(t, pool, "SELECT count(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name IN ('a', 'b')"), "0")
}

// If a statement may have effects outside the schema, its outcome is unclear.
func TestUnclearOutcomes(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	db := open(t, url)
	r, _, err := db.Guard(background(t), "s", database.LockOptions{})
	must(t, err)
	defer r.Close(context.Background())
	for text, want := range map[string]database.Verdict{
		"CALL p()":                               database.Unclear,
		"EXECUTE s":                              database.Unclear,
		"CREATE USER whimbrel_nobody":            database.Unclear,
		"BEGIN NOT ATOMIC SELECT 1; END":         database.Unclear,
		"TRUNCATE TABLE a":                       database.NotHappened,
		"CREATE TABLE IF NOT EXISTS a (x int)":   database.NotHappened,
		"CREATE OR REPLACE VIEW v AS SELECT 1":   database.NotHappened,
		"DROP TABLE IF EXISTS a":                 database.NotHappened,
		"ALTER TABLE a ADD COLUMN x int":         database.NotHappened,
		"CREATE DATABASE whimbrel_never_created": database.NotHappened,
	} {
		st, err := sqltext.Split(text, sqltext.MySQL, sqltext.Options{})
		must(t, err)
		before := announce(t, r, st[0])
		o, err := r.Outcome(background(t), st[0], before, database.LockOptions{})
		must(t, err)
		equal(t, text, string(o.Verdict), string(want))
	}
}

// A statement that waits for another transaction reports its holder.
func TestBlockedStatementSaysByWhom(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t) // it has no other transactions
	url := server.New()
	pool := testdb.OpenMariaDB(t, url)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int PRIMARY KEY); INSERT INTO a VALUES (1)"))
	must(t, err)
	for name, script := range map[string]string{"a table": "ALTER TABLE a ADD COLUMN y int DEFAULT 1, ALGORITHM=COPY", "a row": "UPDATE a SET x = 3 WHERE x IN (1, 2)"} {
		tx, err := pool.Begin()
		must(t, err)
		_, err = tx.Exec("UPDATE a SET x = 3 - x")
		must(t, err)
		var id int64
		must(t, tx.QueryRow("SELECT CONNECTION_ID()").Scan(&id))
		reported := make(chan database.Holder, 100)
		r, _, err := db.Guard(background(t), "other", database.LockOptions{Blocked: func(b database.Blockage) { reported <- b.First() }})
		must(t, err)
		done := make(chan error)
		go func() { done <- execute(background(t), r, script) }()
		select {
		case h := <-reported:
			if h.PID != id {
				t.Errorf("%s: h.PID = %v, want %v", name, h.PID, id)
			} else if h.User != "root" {
				t.Errorf("%s: h.User = %v, want %v", name, h.User, "root")
			} else if h.Since.IsZero() {
				t.Errorf("%s: h.Since is zero", name)
			}
		case err := <-done:
			t.Fatalf("%s: it didn't wait, and returned %v", name, err)
		}
		must(t, tx.Rollback())
		must(t, <-done)
		must(t, r.Close(background(t)))
	}
}

// If the guard is lost, the worker's statement is canceled.
func TestLostGuardCancelsTheStatement(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	r, _, err := db.Guard(background(t), "s", database.LockOptions{})
	must(t, err)
	defer r.Close(context.Background())
	lost := make(chan error)
	go func() { lost <- execute(background(t), r, "SELECT SLEEP(100)") }()
	eventually(t, "the statement runs", func() bool { return isRunning(t, pool, "SELECT SLEEP%") })
	_, err = pool.Exec(fmt.Sprintf("KILL %d", mysql.GuardOf(r)))
	must(t, err)
	as[*database.LockLostError](t, <-lost)
	must(t, r.Close(background(t)))
	b, _, err := open(t, url).Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	must(t, b.Rollback(background(t)))
}

// announce announces a statement, and returns what the journal says of the target before it.
func announce(t testing.TB, r database.Run, st sqltext.Statement) string {
	t.Helper()
	j := &database.Journal{Version: 1, Name: "m", Direction: database.Up, Of: 1, Begun: st.Text}
	must(t, r.Announce(background(t), st, j))
	return j.Before
}

// execute executes the statements of a text in a run.
func execute(ctx context.Context, r database.Run, text string) error {
	s := migration.Text("x.sql", text)
	a, err := s.Analyze(sqltext.MySQL, nil)
	if err != nil {
		return err
	}
	for st, err := range a.All() {
		if err != nil {
			return err
		}
		if err := r.Exec(ctx, s, st, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// If its context ends, a statement is canceled on the server, and its answer is awaited.
func TestCancelledStatementHasEndedOnTheServer(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	ctx, cancel := context.WithCancel(background(t))
	done := make(chan error)
	go func() {
		_, err := whimbrel.New(db, setOf(t, "s", "CREATE TABLE a (x int); INSERT INTO a SELECT SLEEP(100)"), whimbrel.Options{}).Up(ctx)
		done <- err
	}()
	eventually(t, "the statement runs", func() bool { return isRunning(t, pool, "INSERT INTO a%") })
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Up returned %v", err)
	}
	if isRunning(t, pool, "INSERT INTO a%") {
		t.Error("the statement still runs")
	}
}

// Twenty processes that start at once all succeed, and each migration runs once.
func TestTwentyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	ups := []string{"CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)", "ALTER TABLE a ADD COLUMN y int; INSERT INTO a VALUES (2, 2)", "UPDATE a SET x = x + 1"}
	var all []*process
	for range 20 {
		all = append(all, start(t, job{URL: url, Ups: ups}))
	}
	for _, p := range all {
		p.begin()
	}
	for _, p := range all {
		if err := p.wait(); err != nil {
			t.Error(err)
		}
	}
	equal(t, "the rows", value(t, pool, "SELECT group_concat(x ORDER BY x) FROM a"), "2,3")
	equal(t, "the events", value(t, pool, "SELECT group_concat(version ORDER BY id) FROM whimbrel_history WHERE set_name = 's'"), "1,2,3,4")
}

// An interrupted reset is reported, and the next one drops the rest.
func TestResetThatIsCutOffIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int); CREATE TABLE b (x int); INSERT INTO b VALUES (1)"))
	must(t, err)
	_, err = up(t, db, setOf(t, "another", "INSERT INTO b VALUES (3)"))
	must(t, err)
	// A lock on a row of b prevents dropping b.
	tx, err := pool.Begin()
	must(t, err)
	defer tx.Rollback()
	_, err = tx.Exec("UPDATE b SET x = 2")
	must(t, err)
	b, _, err := db.Begin(background(t), "s", database.LockOptions{})
	must(t, err)
	out, err := database.TxReset(background(t), b, nil, database.Entry{Reason: "because"})
	must(t, err)
	equal(t, "the objects", fmt.Sprint(out.Dropped), "[table a table b]")
	ctx, cancel := context.WithCancel(background(t))
	committed := make(chan error, 1)
	go func() { committed <- errOf(b.Commit(ctx)) }()
	eventually(t, "dropping b waits for the lock", func() bool { return isRunning(t, pool, "DROP TABLE%b%") })
	cancel()
	err = <-committed
	contains(t, "the error of Commit", fmt.Sprint(err), "reset again")
	must(t, tx.Rollback())
	for _, set := range []string{"s", "another"} { // the next reset would drop objects created now
		st, err := db.State(background(t), set)
		must(t, err)
		if st.Interrupted == nil {
			t.Error("st.Interrupted is nil")
		} else if st.Interrupted.Direction != database.Reset {
			t.Errorf("st.Interrupted.Direction = %v, want %v", st.Interrupted.Direction, database.Reset)
		} else if st.Interrupted.Held {
			t.Error("st.Interrupted.Held is true, want false")
		} else if st.Applied.Len() != 0 {
			t.Errorf("st.Applied.Len() = %v, want %v", st.Applied.Len(), 0)
		}
		_, err = up(t, db, setOf(t, set, "CREATE TABLE c (x int)"))
		contains(t, "the error of Up", fmt.Sprint(err), "reset")
	}

	b, _, err = db.Begin(background(t), "another", database.LockOptions{})
	must(t, err)
	out, err = database.TxReset(background(t), b, nil, database.Entry{Reason: "because"})
	must(t, err)
	equal(t, "the objects", fmt.Sprint(out.Dropped), "[table b]")
	must(t, errOf(b.Commit(background(t))))
	_, err = up(t, db, setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	_, err = up(t, db, setOf(t, "another", "CREATE TABLE b (x int)"))
	must(t, err)
}

// If a server shuts down, the error says so, and what to do; after its restart everything works.
func TestServerGoesAway(t *testing.T) {
	t.Parallel()
	server := testdb.PrivateMariaDB(t)
	url := server.New()
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	b, _, err := db.Begin(background(t), "s", database.LockOptions{})
	must(t, err)
	must(t, b.Exec(background(t), migration.Text("x.sql", "INSERT INTO a VALUES (1)")))
	server.Kill()
	if _, err := b.Commit(background(t)); err == nil {
		t.Error("Commit returned no error")
	}
	_, err = db.State(background(t), "s")
	contains(t, "the error of State", as[*database.ConnectError](t, err).Error(), "check host and port, and that the server is running")
	server.Start()
	_, err = up(t, db, setOf(t, "s", "CREATE TABLE a (x int)", "INSERT INTO a VALUES (7)"))
	must(t, err)
	equal(t, "the rows", value(t, testdb.OpenMariaDB(t, url), "SELECT group_concat(x) FROM a"), "7")
}

// An error of a connection that the server has closed says so, and is net.ErrClosed.
func TestAClosedConnectionSaysSo(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	db := open(t, url)
	_, err := up(t, db, setOf(t, "s", "CREATE TABLE a (x int)"))
	must(t, err)
	calls := map[string]func(b database.Tx) error{
		"a script": func(b database.Tx) error {
			return b.Exec(background(t), migration.Text("x.sql", "DELETE FROM a; DELETE FROM a"))
		},
		"a statement of Whimbrel's": func(b database.Tx) error { return errOf(b.State(background(t))) },
	}
	for what, call := range calls {
		b, _, err := db.Begin(background(t), "s", database.LockOptions{})
		must(t, err)
		for _, id := range strings.Fields(value(t, pool, "SELECT group_concat(id SEPARATOR ' ') FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()")) {
			_, err := pool.Exec("KILL " + id)
			must(t, err)
		}
		err = call(b)
		contains(t, "the error of "+what, fmt.Sprint(err), "the server or the network closed it")
		equal(t, "that the error of "+what+" is net.ErrClosed", fmt.Sprint(errors.Is(err, net.ErrClosed)), "true")
		must(t, b.Rollback(background(t)))
	}
}
