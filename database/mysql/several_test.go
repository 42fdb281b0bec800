package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/mysql"
	"github.com/whimbrel-db/whimbrel/migration"
)

// One write of the journal announces statements that take but a moment, and of which none is about
// the table of another.
func TestWhatOneWriteAnnounces(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	must(t, errOf(pool.Exec("CREATE TABLE old (id int, c int)")))
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	many := "CREATE TABLE m (c int)"
	for i := range 64 {
		many += fmt.Sprintf("; CREATE INDEX m%d ON m (c)", i)
	}
	rest := strings.Repeat(" 0", 60)
	for _, tt := range []struct{ texts, want string }{
		{"CREATE TABLE a (id int); CREATE INDEX a_c ON a (c)| CREATE TABLE b (id int)| DROP TABLE old", "[0 0 0 0]"},
		{"CREATE TABLE a (id int)| DROP TABLE a| CREATE TABLE a (c int)", "[0 1 2]"},
		{"CREATE TABLE a (id int)| CREATE TABLE b (id int)| DROP TABLE a| CREATE TABLE c (id int)", "[0 0 2 2]"},
		{"CREATE TABLE a (id int)| CREATE TABLE b (id int)| CREATE INDEX a_c ON a (id)", "[0 0 2]"},
		{"CREATE TABLE a (id int)| CREATE TABLE other.a (id int)| CREATE TABLE `b`(id int)| DROP TABLE other . `a`", "[0 0 0 3]"},
		{"CREATE TABLE a (id int, KEY a_c (id)); CREATE INDEX a_c ON a (id)| CREATE TABLE b (id int)", "[0 1 2]"},
		{"CREATE TABLE a (id int)| CREATE INDEX old_c ON old (c)| CREATE TABLE b (id int)", "[0 1 2]"},
		{"CREATE TABLE a (id int)| CREATE TABLE b LIKE old| CREATE TABLE c AS SELECT 1| CREATE TABLE d (id int)", "[0 1 2 3]"},
		{"CREATE TABLE a (id int)| CREATE TABLE IF NOT EXISTS b (id int)| CREATE OR REPLACE TABLE c (id int)| DROP TABLE IF EXISTS old", "[0 1 2 3]"},
		{"CREATE TABLE a (id int)| CREATE VIEW v AS SELECT 1| DROP TABLE old, a| CREATE SEQUENCE s", "[0 1 2 3]"},
		{"CREATE TABLE a (id int)| DROP INDEX old_c ON old| CREATE DATABASE other", "[0 1 2]"},
		{many, "[0" + strings.TrimPrefix(rest, " 0") + " 60 60 60 60 60]"},
	} {
		all := callsOf(t, 1, strings.Split(tt.texts, "|")...)
		tellAhead(t, r, all)
		equal(t, "what announces "+tt.texts[:min(len(tt.texts), 100)], fmt.Sprint(mysql.Announced(r)), tt.want)
	}
	must(t, r.Close(background(t)))
}

// kept executes calls that were told ahead, and keeps what the journal and the history then have.
// The client seems to be killed: its connections are.
func kept(t *testing.T, db database.Database, pool *sql.DB, all []database.Call) {
	t.Helper()
	r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	tellAhead(t, r, all)
	for _, c := range all {
		must(t, call(background(t), r, c))
	}
	for _, name := range []string{"journal", "history"} {
		must(t, errOf(pool.Exec("CREATE TABLE kept_"+name+" AS SELECT * FROM whimbrel_"+name)))
	}
	for _, id := range []int64{mysql.GuardOf(r), database.Backend(r)} {
		must(t, errOf(pool.Exec(fmt.Sprintf("KILL %d", id))))
	}
	r.Close(background(t))
}

// restore makes the journal and the history what they were at a point of the message: recorded
// versions have their entry. there replaces what the journal knows of the objects, unless it is "".
func restore(t *testing.T, pool *sql.DB, recorded int64, there string) {
	t.Helper()
	for _, statement := range []string{
		"DELETE FROM whimbrel_journal", "INSERT INTO whimbrel_journal SELECT * FROM kept_journal",
		"DELETE FROM whimbrel_history", fmt.Sprintf("INSERT INTO whimbrel_history SELECT * FROM kept_history WHERE set_name <> 's' OR version <= %d", recorded),
	} {
		must(t, errOf(pool.Exec(statement)))
	}
	if there != "" {
		must(t, errOf(pool.Exec("UPDATE whimbrel_journal SET `before` = REGEXP_REPLACE(`before`, '\"there\":[0-9]+', '\"there\":"+there+"')")))
	}
}

// After a kill at any point of a message whose statements one write announces, the next process
// finds the statement that was begun last, and what is done. A state that is read without the lock
// shows the first statement of the script.
func TestKilledAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	const older = "CREATE TABLE `ä'\\` (id int)"
	must(t, errOf(pool.Exec(older)))
	texts := []string{
		"CREATE TABLE a (id int, c int); CREATE INDEX a_c ON a (c)",
		"CREATE TABLE `b'ö` (id int, c varchar(9) DEFAULT '\\'\"ü'); CREATE INDEX b_c ON `b'ö` (c); CREATE TABLE c (id int)",
		"DROP TABLE `ä'\\`",
	}
	all := callsOf(t, 1, texts...)
	kept(t, open(t, url), pool, all)
	equal(t, "how many statements the journal announces", value(t, pool, "SELECT JSON_LENGTH(JSON_EXTRACT(`before`, '$.steps[*].announced[*].text')) FROM kept_journal"), "6")
	equal(t, "the sum of what is done, which other builds can't read", value(t, pool, "SELECT done_checksum FROM kept_journal"), "several")
	var sum migration.Checksum
	if sum.UnmarshalText([]byte("several")) == nil {
		t.Error("it is a checksum")
	}

	undo := []string{"DROP TABLE a", "DROP INDEX a_c ON a", "DROP TABLE `b'ö`", "DROP INDEX b_c ON `b'ö`", "DROP TABLE c", older}
	var statements []database.Call // without the entries
	for _, c := range all {
		if c.Entry == nil {
			statements = append(statements, c)
		}
	}
	firsts := map[int64]int{1: 0, 2: 2, 3: 5}
	for done := len(statements); done >= 0; done-- { // how many statements had been executed
		if done < len(statements) {
			must(t, errOf(pool.Exec(undo[done])))
		}
		for recorded := int64(0); recorded <= 3; recorded++ {
			// entries follow the statements of their script, and precede those of the next
			if next, more := firsts[recorded+1]; more && done < next || !more && done < len(statements) || recorded < 2 && done > firsts[recorded+2] || recorded == 0 && done > 2 {
				continue
			}
			t.Run(fmt.Sprintf("%d statements, %d entries", done, recorded), func(t *testing.T) {
				restore(t, pool, recorded, "")
				st, err := open(t, url).State(background(t), "s")
				must(t, err)
				if recorded == 3 {
					if st.Interrupted != nil {
						t.Errorf("the interrupted run is %+v, want none", st.Interrupted)
					}
					return
				}
				first := statements[firsts[recorded+1]]
				if j := st.Interrupted; j == nil || j.Version != recorded+1 || j.Done != 0 || j.Begun != first.Statement.Text || j.Checksum != first.Journal.Checksum {
					t.Fatalf("without the lock, the interrupted run is %+v", j)
				}
				if j := st.Interrupted; recorded > 0 && !j.StartedAt.After(j.UpdatedAt.Add(-1)) || j.StartedAt.IsZero() || j.PID == 0 {
					t.Errorf("the interrupted run is %+v", j)
				}
				// the last statement of a script remains begun
				last := len(statements) - 1
				if next, more := firsts[recorded+2]; more {
					last = next - 1
				}
				want := statements[min(done, last)]
				r, found, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
				must(t, err)
				defer r.Close(background(t))
				equal(t, "whether a run was interrupted", fmt.Sprint(found.Interrupted), "true")
				st, err = r.State(background(t))
				must(t, err)
				j := st.Interrupted
				if j == nil || j.Version != recorded+1 || j.Done != want.Journal.Done || j.DoneSum != want.Journal.DoneSum || j.Begun != want.Statement.Text {
					t.Fatalf("the interrupted run is %+v, want it at %s", j, want.Statement.Text)
				}
				o, err := r.Outcome(background(t), want.Statement, j.Before, database.LockOptions{Timeout: waitLimit})
				must(t, err)
				verdict := database.NotHappened
				if done > last {
					verdict = database.Happened
				}
				equal(t, "the verdict", string(o.Verdict), string(verdict))
			})
		}
	}
}

// What a process finds that takes the lock in a transaction is the same.
func TestTransactionAfterAKillAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	kept(t, open(t, url), pool, callsOf(t, 1, "CREATE TABLE a (id int)", "CREATE TABLE b (id int); CREATE TABLE c (id int)"))
	must(t, errOf(pool.Exec("DROP TABLE c")))
	restore(t, pool, 1, "")
	tx, found, err := open(t, url).Begin(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	defer tx.Rollback(background(t))
	equal(t, "whether a run was interrupted", fmt.Sprint(found.Interrupted), "true")
	st, err := tx.State(background(t))
	must(t, err)
	if j := st.Interrupted; j == nil || j.Version != 2 || j.Done != 1 || j.Begun != "CREATE TABLE c (id int)" {
		t.Errorf("the interrupted run is %+v", j)
	}
}

// A CREATE whose object existed before can't have happened, so nothing after it has, whatever the
// database has now.
func TestKilledAtAStatementThatCouldNotHappen(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		there, want string
		done        int
	}{
		{"0", "CREATE INDEX b_c ON b (c)", 1}, {"2", "CREATE TABLE b (c int)", 0}, // the second bit is that of b
	} {
		url, pool := newDatabase(t)
		kept(t, open(t, url), pool, callsOf(t, 1, "CREATE TABLE a (id int)", "CREATE TABLE b (c int); CREATE INDEX b_c ON b (c)"))
		restore(t, pool, 1, tt.there)
		r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
		must(t, err)
		st, err := r.State(background(t))
		must(t, err)
		if j := st.Interrupted; j.Version != 2 || j.Done != tt.done || j.Begun != tt.want {
			t.Errorf("the interrupted run is %+v, want it at %s", j, tt.want)
		}
		must(t, r.Close(background(t)))
	}
}

// After a failure, the journal announces only the statement that failed.
func TestFailureAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	must(t, errOf(pool.Exec("CREATE TABLE c (id int)")))
	db := open(t, url)
	r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int)", "CREATE TABLE b (id int); CREATE TABLE c (id int)", "CREATE TABLE d (id int)")
	tellAhead(t, r, all)
	equal(t, "what announces each", fmt.Sprint(mysql.Announced(r)), "[0 0 0 0]")
	for _, c := range all[:3] {
		must(t, call(background(t), r, c))
	}
	announced, err := database.ExecAnnounced(background(t), r, all[3].Script, all[3].Statement, &all[3].Journal)
	equal(t, "the error's code", as[*database.StatementError](t, err).Code, "42S01")
	equal(t, "whether it was announced", fmt.Sprint(announced), "true")
	st, err := db.State(background(t), "s")
	must(t, err)
	if j := st.Interrupted; j.Version != 2 || j.Done != 1 || j.Begun != "CREATE TABLE c (id int)" || j.Before != all[3].Journal.Before || !strings.Contains(j.Before, `"there":1`) {
		t.Errorf("the journal is %+v", j)
	}
	// the run continues as after any failure
	must(t, errOf(pool.Exec("DROP TABLE c")))
	must(t, call(background(t), r, all[3]))
	must(t, call(background(t), r, all[4]))
	must(t, r.Close(background(t)))
	equal(t, "the versions", versions(t, db, "s"), "[1 2]")
	equal(t, "what is left in the journal", value(t, pool, "SELECT COUNT(*) FROM whimbrel_journal"), "0")
}

// A table that another session creates after the announcement is not taken for the statement's,
// even if nothing of the process remains but the journal.
func TestTableOfAnotherSessionAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	r, url, pool, all, end := waitingTogether(t, background(t))
	must(t, errOf(pool.Exec("CREATE TABLE c (other int)")))
	end()
	for _, c := range all[2:4] {
		must(t, call(background(t), r, c))
	}
	equal(t, "the error's code", as[*database.StatementError](t, call(background(t), r, all[4])).Code, "42S01")
	must(t, r.Close(background(t)))
	next, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	st, err := next.State(background(t))
	must(t, err)
	equal(t, "what was begun", st.Interrupted.Begun, "CREATE TABLE c (id int)")
	o, err := next.Outcome(background(t), all[4].Statement, st.Interrupted.Before, database.LockOptions{Timeout: waitLimit})
	must(t, err)
	equal(t, "the verdict", string(o.Verdict), string(database.NotHappened))
	must(t, next.Close(background(t)))
}

// waitingTogether returns a run that executes a DROP TABLE that waits, among statements that one
// write announces, and its calls.
func waitingTogether(t *testing.T, ctx context.Context) (r database.Run, url string, pool *sql.DB, all []database.Call, end func()) {
	t.Helper()
	url, pool = newDatabase(t)
	must(t, errOf(pool.Exec("CREATE TABLE b (id int)")))
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit, LockTimeout: waitLimit})
	must(t, err)
	end = block(t, pool, "START TRANSACTION", "SELECT * FROM b")
	all = callsOf(t, 1, "CREATE TABLE a (id int)", "DROP TABLE b", "CREATE TABLE c (id int)")
	tellAhead(t, r, all)
	equal(t, "what announces each", fmt.Sprint(mysql.Announced(r)), "[0 0 0]")
	for _, c := range all[:2] {
		must(t, call(ctx, r, c))
	}
	eventually(t, "the statement waits", func() bool { return isRunning(t, pool, "DROP TABLE b%") })
	return r, url, pool, all, end
}

// A process that waits for the lock learns which of the migrations is executed.
func TestHolderAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	r, url, _, _, end := waitingTogether(t, background(t))
	h := as[*database.LockedError](t, errOf2(open(t, url).Begin(background(t), "s", database.LockOptions{}))).Holder
	equal(t, "the task", h.Task, "0002_m")
	equal(t, "the statement", h.Query, "DROP TABLE b")
	if age := time.Since(h.Since); age > waitLimit || age < -time.Minute {
		t.Errorf("it executes it for %s", age)
	}
	end()
	must(t, r.Close(background(t)))
}

// If the context ends, the journal announces the statement that was executed, and nothing behind it
// begins. The run can be used afterwards.
func TestCancelledAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(background(t))
	r, url, pool, all, end := waitingTogether(t, ctx)
	cancel()
	announced, err := database.ExecAnnounced(ctx, r, all[2].Script, all[2].Statement, &all[2].Journal)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	equal(t, "whether it was announced", fmt.Sprint(announced), "true")
	end()
	st, err := open(t, url).State(background(t), "s")
	must(t, err)
	if j := st.Interrupted; j == nil || j.Version != 2 || j.Begun != "DROP TABLE b" || j.Before != all[2].Journal.Before || strings.Contains(j.Before, "steps") {
		t.Errorf("the journal is %+v", j)
	}
	for _, c := range all[2:] {
		must(t, call(background(t), r, c))
	}
	must(t, r.Close(background(t)))
	equal(t, "the versions", versions(t, open(t, url), "s"), "[1 2 3]")
	equal(t, "the tables", value(t, pool, "SELECT GROUP_CONCAT(table_name ORDER BY 1) FROM information_schema.tables WHERE table_schema = DATABASE() AND LENGTH(table_name) = 1"), "a,c")
}

// If the worker's connection breaks, the run finds out which statement was executed.
func TestWorkerLostAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	r, url, pool, all, end := waitingTogether(t, background(t))
	must(t, errOf(pool.Exec(fmt.Sprintf("KILL %d", database.Backend(r)))))
	as[*database.StatementError](t, call(background(t), r, all[2]))
	end()
	st, err := open(t, url).State(background(t), "s")
	must(t, err)
	if j := st.Interrupted; j == nil || j.Version != 2 || j.Begun != "DROP TABLE b" || strings.Contains(j.Before, "steps") {
		t.Errorf("the journal is %+v", j)
	}
	for _, c := range all[2:] {
		must(t, call(background(t), r, c))
	}
	must(t, r.Close(background(t)))
	equal(t, "the versions", versions(t, open(t, url), "s"), "[1 2 3]")
}

// Nothing is written to a journal that has a trigger.
func TestTriggerOnAJournalThatAnnouncesSeveral(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	kept(t, open(t, url), pool, callsOf(t, 1, "CREATE TABLE a (id int)", "CREATE TABLE b (id int)"))
	restore(t, pool, 1, "")
	must(t, errOf(pool.Exec("CREATE TRIGGER hostile BEFORE UPDATE ON whimbrel_journal FOR EACH ROW SIGNAL SQLSTATE '45000'")))
	_, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	if err == nil {
		t.Fatal("Guard has no error")
	}
	contains(t, "the error", err.Error(), "hostile")
	equal(t, "what the journal announces", value(t, pool, "SELECT done_checksum FROM whimbrel_journal"), "several")
}

// A lost lock ends a message whose statements are announced together at the next history entry.
func TestLockLostAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	r, url, pool, all, end := waitingTogether(t, background(t))
	must(t, mysql.Lose(background(t), r))
	end()
	err := call(background(t), r, all[2])
	if err == nil { // the guard had not noticed
		err = call(background(t), r, all[3])
	}
	as[*database.LockLostError](t, err)
	equal(t, "whether anything more was executed", value(t, pool, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'c'"), "0")
	r.Close(background(t))
	equal(t, "the versions", versions(t, open(t, url), "s"), "[1]")
	next, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	st, err := next.State(background(t))
	must(t, err)
	if j := st.Interrupted; j == nil || j.Version != 2 || j.Begun != "DROP TABLE b" {
		t.Errorf("the journal is %+v", j)
	}
	must(t, next.Close(background(t)))
}

// A run that is closed while the server executes more than it was asked for leaves the journal.
func TestClosedAmongStatementsAnnouncedTogether(t *testing.T) {
	t.Parallel()
	url, pool := newDatabase(t)
	r, _, err := open(t, url).Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int)", "CREATE TABLE c (id int); "+slowly)
	tellAhead(t, r, all)
	for _, c := range all[:2] {
		must(t, call(background(t), r, c))
	}
	eventually(t, "the slow statement runs", func() bool { return isRunning(t, pool, "CREATE TABLE b AS%") })
	must(t, r.Close(background(t)))
	st, err := open(t, url).State(background(t), "s")
	must(t, err)
	if j := st.Interrupted; j == nil || j.Version != 2 {
		t.Errorf("the journal is %+v", j)
	}
}

// The times that the server measures are those of the migrations, one after the other.
func TestTimesOfCallsToldAhead(t *testing.T) {
	t.Parallel()
	url, _ := newDatabase(t)
	db := open(t, url)
	r, _, err := db.Guard(background(t), "s", database.LockOptions{Timeout: waitLimit})
	must(t, err)
	all := callsOf(t, 1, "CREATE TABLE a (id int); CREATE INDEX a_i ON a (id)", "CREATE TABLE b (id int)", "CREATE TABLE c (id int)")
	tellAhead(t, r, all)
	for _, c := range all {
		must(t, call(background(t), r, c))
	}
	must(t, r.Close(background(t)))
	var ended int64
	for e, err := range db.History(background(t), database.HistoryQuery{Set: "s", Limit: 10}) {
		must(t, err)
		began := e.StartedAt.UnixMicro()
		if e.Duration <= 0 || ended > 0 && began != ended {
			t.Errorf("version %d began %dµs after the one before, and took %s", e.Version, began-ended, e.Duration)
		}
		ended = began + e.Duration.Microseconds()
	}
}
