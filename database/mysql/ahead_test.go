package mysql_test

import (
	"context"
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

// callsOf returns the calls of a run for migrations of which each has the statements of a text,
// from a version on.
func callsOf(t testing.TB, from int64, texts ...string) (all []database.Call) {
	t.Helper()
	for i, text := range texts {
		s := migration.Text("x.sql", text)
		a, err := s.Analyze(sqltext.MySQL, nil)
		must(t, err)
		j := database.Journal{Version: from + int64(i), Name: "m", Direction: database.Up, Of: 2}
		for st, err := range a.All() {
			must(t, err)
			now := j
			now.Begun = st.Text
			all = append(all, database.Call{Script: s, Statement: st, Journal: now})
			j.Add(st)
		}
		all = append(all, database.Call{Script: s, Entry: &database.Entry{Version: j.Version, Name: "m", Direction: database.Up}})
	}
	return all
}

// tellAhead tells a run of all calls, which it must take.
func tellAhead(t testing.TB, r database.Run, all []database.Call) {
	t.Helper()
	n, err := r.(database.RunSequencer).Ahead(background(t), all)
	must(t, err)
	equal(t, "how many calls may be executed ahead", fmt.Sprint(n), fmt.Sprint(len(all)))
}

// call makes a call.
func call(ctx context.Context, r database.Run, c database.Call) error {
	if c.Entry != nil {
		return errOf(r.Record(ctx, *c.Entry))
	}
	return errOf(database.ExecAnnounced(ctx, r, c.Script, c.Statement, &c.Journal))
}

// Calls that were told ahead take one round trip together. A statement whose subject must be read
// is not told ahead.
func TestRoundTripsOfCallsToldAhead(t *testing.T) {
	t.Parallel()
	proxy := testdb.NewProxy(t, testdb.MariaDB(t))
	db, err := database.Open(background(t), proxy.URL, database.Options{Notice: func(n database.Notice) { t.Errorf("a warning: %+v", n) }})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit, LockTimeout: waitLimit})
	must(t, err)
	least, version := -1, int64(0)
	for range 4 { // once in a while, the guard checks its lock
		var texts []string
		for range 10 {
			version++
			texts = append(texts, fmt.Sprintf("CREATE TABLE t%d (id int PRIMARY KEY, c int); CREATE INDEX t%[1]d_c ON t%[1]d (c)", version))
		}
		all := callsOf(t, version-9, texts...)
		tellAhead(t, r, all)
		proxy.Reset()
		for _, c := range all {
			must(t, call(background(t), r, c))
		}
		if n := proxy.Turns(); least < 0 || n < least {
			least = n
		}
	}
	equal(t, "the round trips of ten migrations", fmt.Sprint(least), "1")
	n, err := r.(database.RunSequencer).Ahead(background(t), callsOf(t, 100, "CREATE TABLE a (id int); ALTER TABLE a ADD COLUMN c int"))
	must(t, err)
	equal(t, "how many calls before an ALTER may be executed ahead", fmt.Sprint(n), "1")
	must(t, r.Close(background(t)))
}

// slowly is a statement that takes long enough to interrupt it.
const slowly = "CREATE TABLE b AS SELECT SLEEP(100) AS s"

// toldAheadOfSlowly returns a run that executes a slow statement among others that it was told
// ahead, and the call of that statement.
func toldAheadOfSlowly(t *testing.T, ctx context.Context) (r database.Run, next database.Call, tables func() string) {
	t.Helper()
	url, pool := newDatabase(t)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int)", slowly, "CREATE TABLE c (id int)")
	tellAhead(t, r, all)
	for _, c := range all[:2] {
		must(t, call(ctx, r, c))
	}
	eventually(t, "the slow statement runs", func() bool { return isRunning(t, pool, "CREATE TABLE b%") })
	return r, all[2], func() string {
		return value(t, pool, "SELECT GROUP_CONCAT(table_name ORDER BY 1) FROM information_schema.tables WHERE table_schema = DATABASE() AND LENGTH(table_name) = 1")
	}
}

// If the context ends, the statement that is executed is canceled, and nothing behind it begins.
// The run can be used afterwards.
func TestCancelledAmongCallsToldAhead(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(background(t))
	r, next, tables := toldAheadOfSlowly(t, ctx)
	cancel()
	if err := call(ctx, r, next); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	equal(t, "the tables", tables(), "a")
	st, err := r.State(background(t))
	must(t, err)
	if j := st.Interrupted; j == nil || j.Version != 2 || j.Begun != slowly {
		t.Errorf("the journal is %+v", j)
	}
	must(t, call(background(t), r, callsOf(t, 2, "CREATE TABLE d (id int)")[0]))
	equal(t, "the tables", tables(), "a,d")
	must(t, r.Close(background(t)))
}

// After the lock is lost, nothing more begins.
func TestLockLostAmongCallsToldAhead(t *testing.T) {
	t.Parallel()
	r, next, tables := toldAheadOfSlowly(t, background(t))
	must(t, mysql.Lose(background(t), r))
	as[*database.LockLostError](t, call(background(t), r, next))
	equal(t, "the tables", tables(), "a")
	r.Close(background(t))
}

// A run that is closed before it has made all calls executes nothing more.
func TestClosedAmongCallsToldAhead(t *testing.T) {
	t.Parallel()
	r, _, tables := toldAheadOfSlowly(t, background(t))
	begun := time.Now()
	must(t, r.Close(background(t)))
	if took := time.Since(begun); took > 50*time.Second {
		t.Errorf("Close took %s", took)
	}
	equal(t, "the tables", tables(), "a")
}

// If the worker's connection breaks, the run finds out what was executed, and continues.
func TestWorkerLostAmongCallsToldAhead(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int)", slowly, "CREATE TABLE c (id int)")
	tellAhead(t, r, all)
	must(t, call(background(t), r, all[0]))
	eventually(t, "the slow statement runs", func() bool { return isRunning(t, pool, "CREATE TABLE b%") })
	must(t, errOf(pool.Exec(fmt.Sprintf("KILL %d", database.Backend(r)))))
	must(t, call(background(t), r, all[1])) // the server had answered
	announced, err := database.ExecAnnounced(background(t), r, all[2].Script, all[2].Statement, &all[2].Journal)
	as[*database.StatementError](t, err)
	equal(t, "whether it was announced", fmt.Sprint(announced), "true")
	o, err := r.Outcome(background(t), all[2].Statement, all[2].Journal.Before, database.LockOptions{Timeout: waitLimit})
	must(t, err)
	equal(t, "the outcome", string(o.Verdict), string(database.NotHappened))
	for _, c := range callsOf(t, 2, "CREATE TABLE d (id int)") {
		must(t, call(background(t), r, c))
	}
	must(t, r.Close(background(t)))
	equal(t, "the versions", versions(t, open(t, url), "s"), "[1 2]")
}

// A statement that ends in a comment hides nothing that follows it in the message.
func TestCommentsAmongCallsToldAhead(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int) -- a", "CREATE TABLE b (id int) # b", "CREATE TABLE c (id int) /* c */", "CREATE TABLE d (id int)")
	tellAhead(t, r, all)
	for _, c := range all {
		must(t, call(background(t), r, c))
	}
	must(t, r.Close(background(t)))
	equal(t, "the versions", versions(t, open(t, url), "s"), "[1 2 3 4]")
	equal(t, "the tables", value(t, pool, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND LENGTH(table_name) = 1"), "4")
}

// A syntax error quotes nothing that follows the statement in the message.
func TestSyntaxErrorAmongCallsToldAhead(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int)", "CREATE TABLE\nb (id int) end", "CREATE TABLE c (id int)")
	tellAhead(t, r, all)
	for _, c := range all[:2] {
		must(t, call(background(t), r, c))
	}
	wrong := as[*database.StatementError](t, call(background(t), r, all[2]))
	contains(t, "the error", wrong.Error(), "near 'end' at line 2")
	st, err := r.State(background(t))
	must(t, err)
	equal(t, "what is announced", st.Interrupted.Begun, all[2].Statement.Text)
	must(t, r.Close(background(t)))
}

// The warnings of a statement are read before the next one is executed.
func TestWarningsAmongCallsToldAhead(t *testing.T) {
	t.Parallel()
	var got []string
	db, err := database.Open(background(t), testdb.MariaDB(t), database.Options{Notice: func(n database.Notice) { got = append(got, n.Severity+" "+n.Code+" "+n.Message) }})
	must(t, err)
	t.Cleanup(func() { db.Close() })
	r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int)", "DROP TABLE IF EXISTS missing, another", "CREATE TABLE b (id int)")
	tellAhead(t, r, all)
	for i, c := range all {
		must(t, call(background(t), r, c))
		if want := map[bool]int{true: 1}[i > 1]; len(got) != want {
			t.Errorf("after call %d there are %d warnings, want %d: %q", i, len(got), want, got)
		}
	}
	contains(t, "the warning", got[0], "1051")
	contains(t, "the warning", got[0], "missing")
	must(t, r.Close(background(t)))
}

// A message never exceeds the server's limit.
func TestLimitOfCallsToldAhead(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int)", "CREATE TABLE b (id int)", "CREATE TABLE c (id int)")
	for _, tt := range []struct {
		limit       int64
		least, most int
	}{{64 << 10, 6, 6}, {4 << 10, 1, 5}, {512, 0, 0}} {
		mysql.LimitMessages(r, tt.limit)
		n, err := r.(database.RunSequencer).Ahead(background(t), all)
		must(t, err)
		if n < tt.least || n > tt.most {
			t.Errorf("%d calls fit into %d bytes, want %d to %d", n, tt.limit, tt.least, tt.most)
		}
	}
	mysql.LimitMessages(r, 512) // which is too short for a statement with its announcement
	for _, c := range all {
		must(t, call(background(t), r, c))
	}
	must(t, r.Close(background(t)))
	equal(t, "the tables", value(t, pool, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND LENGTH(table_name) = 1"), "3")
}
