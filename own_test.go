package whimbrel_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// transactions are scripts with transactions of their own, and the rows that they leave in the table t.
var transactions = []struct{ name, script, rows string }{
	{"two", "BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); COMMIT; BEGIN; INSERT INTO t VALUES (3); INSERT INTO t VALUES (4); COMMIT;", "1 2 3 4"},
	{"COMMIT in the middle", "INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (3);", "1 2 3"},
	{"as for a tool that wraps", "COMMIT; INSERT INTO t VALUES (1); START TRANSACTION; INSERT INTO t VALUES (2); END; BEGIN;", "1 2"},
	{"ROLLBACK in the middle", "BEGIN; INSERT INTO t VALUES (1); ROLLBACK; BEGIN; INSERT INTO t VALUES (2); ABORT; INSERT INTO t VALUES (3);", "3"},
	{"ROLLBACK at the end", "INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); ROLLBACK;", "1"},
	{"savepoints", "BEGIN; INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2); ROLLBACK TO a; INSERT INTO t VALUES (3); RELEASE a; COMMIT; INSERT INTO t VALUES (4);", "1 3 4"},
	{"savepoints in a batch", "INSERT INTO t VALUES (1); SAVEPOINT a; INSERT INTO t VALUES (2); ROLLBACK TO SAVEPOINT a; INSERT INTO t VALUES (3);", "1 3"},
	{"chains", "BEGIN; INSERT INTO t VALUES (1); COMMIT AND CHAIN; INSERT INTO t VALUES (2); INSERT INTO t VALUES (3); COMMIT AND CHAIN; INSERT INTO t VALUES (4); ROLLBACK AND CHAIN; INSERT INTO t VALUES (5); COMMIT; INSERT INTO t VALUES (6);", "1 2 3 5 6"},
	{"BEGIN inside BEGIN", "BEGIN; INSERT INTO t VALUES (1); BEGIN; INSERT INTO t VALUES (2); COMMIT; INSERT INTO t VALUES (3); COMMIT;", "1 2 3"},
	{"modes", "BEGIN ISOLATION LEVEL SERIALIZABLE; INSERT INTO t VALUES (1); COMMIT; BEGIN READ ONLY; SELECT 1; COMMIT; BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; INSERT INTO t VALUES (2); COMMIT AND CHAIN; INSERT INTO t VALUES (3); COMMIT;", "1 2 3"},
	{"settings", "BEGIN; SET mode = 'on'; COMMIT; INSERT INTO t VALUES (1) WHERE mode = 'on'; BEGIN; INSERT INTO t VALUES (2) WHERE mode = 'on'; COMMIT AND CHAIN; INSERT INTO t VALUES (3) WHERE mode = 'on'; COMMIT;", "1 2 3"},
	{"beside what can't be in one", "BEGIN; INSERT INTO t VALUES (1); COMMIT; CREATE INDEX CONCURRENTLY i ON t (x); BEGIN; INSERT INTO t VALUES (2); COMMIT; DROP INDEX CONCURRENTLY i; INSERT INTO t VALUES (3);", "1 2 3"},
}

// A process is killed before, after and in the middle of each call of a script with transactions of its own; the next one
// leads to the same rows, each of which is there once.
func TestTransactionsOfAScriptWhereverItIsKilled(t *testing.T) {
	t.Parallel()
	for _, tt := range transactions {
		set := newSet(t, script{1, "CREATE TABLE t (x)", "-"}, script{2, tt.script, "-"})
		for _, how := range []error{memdb.ErrKilled, memdb.ErrDone, memdb.ErrHalfway} {
			counts := inRun
			switch how {
			case memdb.ErrKilled:
				counts = anyCall
			case memdb.ErrHalfway:
				counts = func(op string) bool { return op == memdb.OpRunExec }
			}
			for n := 1; ; n++ {
				target := memdb.New()
				_, first := whimbrel.New(killAt(t, target, n, how, counts), set, whimbrel.Options{}).Up(t.Context())
				if first != nil {
					if _, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Up(t.Context()); err != nil {
						t.Fatalf("%s: %v at call %d: the next process: %v", tt.name, how, n, err)
					}
				}
				rows, err := target.Rows(t.Context(), "t")
				if err != nil || strings.Join(rows, " ") != tt.rows {
					t.Errorf("%s: %v at call %d (%v): the rows are %v, want %s (%v)", tt.name, how, n, first, rows, tt.rows, err)
				}
				if got := ups(t, open(t, target)); !slices.Equal(got, []string{"up 1", "up 2"}) {
					t.Errorf("%s: %v at call %d: the history has %v", tt.name, how, n, got)
				}
				if first == nil {
					break
				}
			}
		}
	}
}

// A statement that fails in one of a script's transactions leaves nothing of that transaction, and everything of those
// before it.
func TestAFailureInATransactionOfAScript(t *testing.T) {
	t.Parallel()
	const text = "BEGIN; INSERT INTO t VALUES (1); COMMIT AND CHAIN; INSERT INTO t VALUES (2); INSERT INTO missing VALUES (3); COMMIT;"
	target := memdb.New()
	up := func(text string) error {
		_, err := whimbrel.New(open(t, target), newSet(t, script{1, "CREATE TABLE t (x)", "-"}, script{2, text, "-"}), whimbrel.Options{}).Up(t.Context())
		return err
	}
	var failed *whimbrel.MigrationError
	if err := up(text); !errors.As(err, &failed) || failed.Executed != 3 {
		t.Fatalf("got %v, %+v", err, failed)
	}
	if rows, err := target.Rows(t.Context(), "t"); err != nil || strings.Join(rows, " ") != "1" {
		t.Errorf("the rows are %v, want 1 (%v)", rows, err)
	}
	if err := up(strings.Replace(text, "missing", "t", 1)); err != nil {
		t.Fatal(err)
	}
	if rows, err := target.Rows(t.Context(), "t"); err != nil || strings.Join(rows, " ") != "1 2 3" {
		t.Errorf("the rows are %v, want 1 2 3 (%v)", rows, err)
	}
}

// Everything that is wrong with the scripts of a plan is reported at once, in order.
func TestAllProblemsOfAllScripts(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := newSet(t,
		script{1, "CREATE TABLE t (x)", "-"},
		script{2, "LOCK TABLE t;\nSET LOCAL a = 1;\nDROP INDEX CONCURRENTLY i;", "-"},
		script{3, "INSERT INTO t VALUES ('x);", "-"},
		script{4, "DELETE FROM whimbrel_history", "-"},
	)
	for _, atomic := range []bool{false, true} {
		_, err := whimbrel.New(open(t, target), set, whimbrel.Options{Atomic: atomic}).Up(t.Context())
		var all *whimbrel.ScriptsError
		if !errors.As(err, &all) {
			t.Fatalf("got %v", err)
		}
		var places []string
		for _, p := range all.Problems {
			var at *sqltext.Error
			if !errors.As(p, &at) {
				t.Fatalf("got %v", p)
			}
			places = append(places, at.Pos.String())
		}
		want := []string{"2_m2.up.sql:1:1", "2_m2.up.sql:2:1", "3_m3.up.sql:1:23", "4_m4.up.sql:1:1"}
		if !slices.Equal(places, want) {
			t.Errorf("got %v, want %v", places, want)
		}
	}
	wantTables(t, target)
}
