package whimbrel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// transactions are scripts with transactions of their own, and the rows that they leave in table t.
var transactions = []struct{ name, script, rows string }{
	{"two", "BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); COMMIT; BEGIN; INSERT INTO t VALUES (3); INSERT INTO t VALUES (4); COMMIT;", "1 2 3 4"},
	{"COMMIT in the middle", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (3);", "1 2 3"},
	{"written for a tool that adds BEGIN and COMMIT", "COMMIT; INSERT INTO t VALUES (1); START TRANSACTION; INSERT INTO t VALUES (2); END; BEGIN;", "1 2"},
	{"ROLLBACK in the middle", "BEGIN; INSERT INTO t VALUES (1); ROLLBACK; BEGIN; INSERT INTO t VALUES (2); ABORT; INSERT INTO t VALUES (3);", "3"},
	{"ROLLBACK at the end", "INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); ROLLBACK;", "1"},
	{"savepoints", "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2); ROLLBACK TO a; INSERT INTO t VALUES (3); RELEASE a; COMMIT; INSERT INTO t VALUES (4);", "1 3 4"},
	{"savepoints in one transaction", "INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2); ROLLBACK TO SAVEPOINT a; INSERT INTO t VALUES (3);", "1 3"},
	{"chains", "BEGIN; INSERT INTO t VALUES (1); COMMIT AND CHAIN; INSERT INTO t VALUES (2); INSERT INTO t VALUES (3); COMMIT AND CHAIN; INSERT INTO t VALUES (4); ROLLBACK AND CHAIN; INSERT INTO t VALUES (5); COMMIT; INSERT INTO t VALUES (6);", "1 2 3 5 6"},
	{"BEGIN inside BEGIN", "BEGIN; INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (3); COMMIT;", "1 2 3"},
	{"modes", "BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO t VALUES (1); COMMIT; BEGIN READ ONLY; SELECT 1; COMMIT; BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; INSERT INTO t VALUES (2); COMMIT AND CHAIN; INSERT INTO t VALUES (3); COMMIT;", "1 2 3"},
	{"settings", "BEGIN; SET mode = 'on'; COMMIT; INSERT INTO t VALUES (1) WHERE mode = 'on'; BEGIN; INSERT INTO t VALUES (2) WHERE mode = 'on'; COMMIT AND CHAIN; INSERT INTO t VALUES (3) WHERE mode = 'on'; COMMIT;", "1 2 3"},
	{"beside statements that can't be in one", "BEGIN; INSERT INTO t VALUES (1); COMMIT; CREATE INDEX CONCURRENTLY i ON t (x); BEGIN; INSERT INTO t VALUES (2); COMMIT; DROP INDEX CONCURRENTLY i; INSERT INTO t VALUES (3);", "1 2 3"},
}

// A process is killed before, after and in the middle of each call of a script with transactions of
// its own. The next process leads to the same rows, each of them once.
func TestTransactionsOfAScriptWhereverItIsKilled(t *testing.T) {
	t.Parallel()
	for _, tt := range transactions {
		set := newSet(t, script{1, "CREATE TABLE t (x)", "-"}, script{2, tt.script, "-"})
		for _, how := range []error{memdb.ErrKilled, memdb.ErrDone, memdb.ErrHalfway} {
			counts := map[error]func(string) bool{memdb.ErrKilled: anyCall, memdb.ErrDone: inRun, memdb.ErrHalfway: inStatement}[how]
			for n, whole := 1, false; !whole; n++ {
				t.Run(fmt.Sprintf("%s: %v at call %d", tt.name, how, n), func(t *testing.T) {
					target := memdb.New()
					first := tryUp(t, whimbrel.New(killAt(t, target, n, how, counts), set, whimbrel.Options{}))
					whole = first == nil
					if !whole {
						mustUp(t, migrator(t, target, set))
					}
					wantRows(t, target, "t", strings.Fields(tt.rows)...)
					wantHistory(t, open(t, target), "up 1", "up 2")
				})
			}
		}
	}
}

// A statement that fails in one of a script's transactions leaves nothing of that transaction, and
// everything of those before it.
func TestAFailureInATransactionOfAScript(t *testing.T) {
	t.Parallel()
	const text = "BEGIN; INSERT INTO t VALUES (1); COMMIT AND CHAIN; INSERT INTO t VALUES (2); INSERT INTO missing VALUES (3); COMMIT;"
	target := memdb.New()
	up := func(text string) error {
		set := newSet(t, script{1, "CREATE TABLE t (x)", "-"}, script{2, text, "-"})
		return tryUp(t, migrator(t, target, set))
	}
	failed := wantError[*whimbrel.MigrationError](t, up(text))
	wantEqual(t, "executed statements", failed.Executed, 3)
	wantRows(t, target, "t", "1")
	noError(t, up(strings.Replace(text, "missing", "t", 1)))
	wantRows(t, target, "t", "1", "2", "3")
}

// Everything that is wrong with the scripts of a plan is reported at once, in order.
func TestAllProblemsOfAllScripts(t *testing.T) {
	t.Parallel()
	set := newSet(t,
		script{1, "CREATE TABLE t (x)", "-"},
		script{2, "LOCK TABLE t;\nSET LOCAL a = 1;\nDROP INDEX CONCURRENTLY i;", "-"},
		script{3, "INSERT INTO t VALUES ('x);", "-"},
		script{4, "DELETE FROM whimbrel_history", "-"},
	)
	atomicAndNot(t, func(t *testing.T, opts whimbrel.Options) {
		target := memdb.New()
		err := tryUp(t, whimbrel.New(open(t, target), set, opts))
		var places []string
		for _, p := range wantError[*whimbrel.ScriptsError](t, err).Problems {
			places = append(places, wantError[*sqltext.Error](t, p).Pos.String())
		}
		wantEqual(t, "places", places, []string{"2_m2.up.sql:1:1", "2_m2.up.sql:2:1", "3_m3.up.sql:1:23", "4_m4.up.sql:1:1"})
		wantTables(t, target)
	})
}
