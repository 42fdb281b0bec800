package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// mixed is a migration with statements of both kinds, and with a transaction of its own.
const mixed = `CREATE TABLE t (x);
SET mode = 'on';
CREATE INDEX CONCURRENTLY i ON t (x);
INSERT INTO t VALUES (1) WHERE mode = 'on';
BEGIN;
INSERT INTO t VALUES (2);
INSERT INTO t VALUES (3);
COMMIT;
CREATE INDEX CONCURRENTLY j ON t (x);
INSERT INTO t VALUES (4)`

const unmixed = `DELETE FROM t;
DROP INDEX CONCURRENTLY j;
DROP INDEX CONCURRENTLY i;
DROP TABLE t`

// killAt opens a target in a process that is killed at the n-th call, from 1, of those that count.
func killAt(t *testing.T, target *memdb.Target, n int, how error, counts func(op string) bool) *memdb.Database {
	t.Helper()
	db := open(t, target)
	calls := 0
	db.SetHook(func(op string) error {
		if counts(op) {
			calls++
		}
		if calls == n && counts(op) {
			return how
		}
		return nil
	})
	return db
}

func anyCall(string) bool { return true }

func inStatement(op string) bool { return op == memdb.OpRunExec }

func inRun(op string) bool {
	return op == memdb.OpRunExec || op == memdb.OpRunJournal || op == memdb.OpRunRecord
}

// A process is killed before, after and in the middle of each call of a run; the next one goes on.
func TestARunIsContinuedWhereverItIsKilled(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, mixed, unmixed}, script{2, "CREATE TABLE u ()", "DROP TABLE u"})
	for _, how := range []struct {
		name   string
		err    error
		counts func(string) bool
	}{
		{"before", memdb.ErrKilled, anyCall},
		{"after", memdb.ErrDone, inRun},
		{"halfway", memdb.ErrHalfway, func(op string) bool { return op == memdb.OpRunExec }},
	} {
		t.Run(how.name, func(t *testing.T) {
			t.Parallel()
			cuts := 0
			for n := 1; ; n++ {
				target := memdb.New()
				first, err := whimbrel.New(killAt(t, target, n, how.err, how.counts), set, whimbrel.Options{}).Up(t.Context())
				if err == nil {
					t.Logf("%d cuts, %v", cuts, first.Applied)
					break
				}
				cuts++
				db := open(t, target)
				st, serr := db.State(t.Context(), "shop")
				if serr != nil {
					t.Fatal(serr)
				}
				r, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context())
				if err != nil {
					t.Fatalf("killed %s call %d: the next process: %v", how.name, n, err)
				}
				if resumed := len(r.Resumed) == 1; resumed != (st.Interrupted != nil) {
					t.Errorf("killed %s call %d: resumed %v of %+v", how.name, n, r.Resumed, st.Interrupted)
				}
				isWhole(t, fmt.Sprintf("killed %s call %d", how.name, n), target, db)
				if how.err == memdb.ErrKilled && n > 3 {
					downAgain(t, set, target, n)
				}
			}
			if cuts < 9 {
				t.Errorf("only %d cuts", cuts)
			}
		})
	}
}

// isWhole checks that everything has happened once.
func isWhole(t *testing.T, when string, target *memdb.Target, db *memdb.Database) {
	t.Helper()
	wantTables(t, target, "t", "u")
	rows, err := target.Rows(t.Context(), "t")
	indexes, _ := target.Indexes(t.Context())
	invalid, _ := target.Invalid(t.Context())
	if err != nil || strings.Join(rows, " ") != "1 2 3 4" || strings.Join(indexes, " ") != "i j" || len(invalid) > 0 {
		t.Errorf("%s: rows %v, indexes %v, invalid %v, %v", when, rows, indexes, invalid, err)
	}
	if got := ups(t, db); !slices.Equal(got, []string{"up 1", "up 2"}) {
		t.Errorf("%s: the history has %v", when, got)
	}
	if held := target.Locked(); len(held) > 0 {
		t.Errorf("%s: locks are held: %v", when, held)
	}
	if st, err := db.State(t.Context(), "shop"); err != nil || st.Interrupted != nil {
		t.Errorf("%s: %+v is open, %v", when, st.Interrupted, err)
	}
}

func ups(t *testing.T, db *memdb.Database) (events []string) {
	t.Helper()
	for e, err := range db.History(t.Context(), database.HistoryQuery{Set: "shop"}) {
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, fmt.Sprintf("%s %d", e.Direction, e.Version))
	}
	return events
}

// downAgain rolls everything back in a process that is killed, and in the next one.
func downAgain(t *testing.T, set *migration.Set, target *memdb.Target, n int) {
	t.Helper()
	_, err := whimbrel.New(killAt(t, target, n, memdb.ErrKilled, anyCall), set, whimbrel.Options{}).Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
	db := open(t, target)
	if err != nil {
		if _, err := whimbrel.New(db, set, whimbrel.Options{}).Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
			t.Fatalf("the rollback was killed before call %d: the next process: %v", n, err)
		}
	}
	wantTables(t, target)
	if got := ups(t, db); !slices.Equal(got, []string{"up 1", "up 2", "down 2", "down 1"}) {
		t.Errorf("the rollback was killed before call %d: the history has %v", n, got)
	}
}

// stopped returns a target in which a process was killed before its n-th statement of a run.
func stopped(t *testing.T, set *migration.Set, n int, how error) *memdb.Target {
	t.Helper()
	target := memdb.New()
	_, err := whimbrel.New(killAt(t, target, n, how, func(op string) bool { return op == memdb.OpRunExec }), set, whimbrel.Options{}).Up(t.Context())
	if err == nil {
		t.Fatal("it was not stopped")
	}
	return target
}

func TestAFailedRunGoesOnWhenItsFileIsMended(t *testing.T) {
	t.Parallel()
	const head, tail = "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);\n", ";\nINSERT INTO t VALUES (1)"
	target := memdb.New()
	_, err := whimbrel.New(open(t, target), newSet(t, script{1, head + "NONSENSE" + tail, "-"}), whimbrel.Options{}).Up(t.Context())
	var me *whimbrel.MigrationError
	if !errors.As(err, &me) || me.Executed != 2 {
		t.Fatalf("got %v", err)
	}
	set := newSet(t, script{1, "-- mended\n" + head + "CREATE TABLE u ()" + tail, "-"})
	m := whimbrel.New(open(t, target), set, whimbrel.Options{})
	s, err := m.Status(t.Context())
	if err != nil || s.Interrupted == nil || s.Interrupted.Done != 2 || !strings.Contains(s.Interrupted.Error, "NONSENSE") || !slices.Equal(s.PendingVersions(), []int64{1}) {
		t.Errorf("status %+v, %v", s, err)
	}
	p, err := m.Plan(t.Context(), whimbrel.Latest())
	if err != nil || len(p.Steps) != 1 || p.Steps[0].Mode != whimbrel.OutsideTransaction || p.Steps[0].Resumes() != 3 {
		t.Errorf("plan %+v, %v", p, err)
	}
	r, err := m.Up(t.Context())
	if err != nil || len(r.Resumed) != 1 || r.Resumed[0] != (whimbrel.ResumedStep{Version: 1, Name: "m1", FromStatement: 3}) || len(r.Applied) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	wantTables(t, target, "t", "u")
	if s, err := m.Status(t.Context()); err != nil || s.Interrupted != nil {
		t.Errorf("status %+v, %v", s, err)
	}
}

// alone asks for no transaction.
func alone(set *migration.Set) *migration.Set {
	for _, m := range set.All() {
		m.Up.NoTransaction = true
	}
	return set
}

// Nothing is left of a first statement that fails, so that nothing is open.
func TestAFirstStatementThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"NONSENSE; SELECT 1", "CREATE INDEX CONCURRENTLY i ON missing (x); SELECT 1"} {
		target := memdb.New()
		set := alone(newSet(t, script{1, first, "-"}))
		m := whimbrel.New(open(t, target), set, whimbrel.Options{})
		if _, err := m.Up(t.Context()); err == nil {
			t.Error("it has succeeded")
		}
		if s, err := m.Status(t.Context()); err != nil || s.Interrupted != nil {
			t.Errorf("%s: status %+v, %v", first, s.Interrupted, err)
		}
	}
}

func TestAnInvalidIndexIsBuiltAgain(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, "CREATE TABLE t (x); CREATE INDEX CONCURRENTLY i ON t (x)", "-"})
	target := stopped(t, set, 2, memdb.ErrHalfway)
	if invalid, _ := target.Invalid(t.Context()); len(invalid) != 1 {
		t.Fatalf("invalid %v", invalid)
	}
	var seen []string
	opts := whimbrel.Options{Observe: func(e whimbrel.Event) {
		switch e := e.(type) {
		case whimbrel.CleanedUp:
			seen = append(seen, e.SQL)
		case whimbrel.Resumed:
			seen = append(seen, fmt.Sprint("from ", e.From))
		case whimbrel.StatementStarted:
			seen = append(seen, fmt.Sprint(e.Index+1))
		}
	}}
	if _, err := whimbrel.New(open(t, target), set, opts).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"DROP INDEX CONCURRENTLY IF EXISTS i", "from 2", "2"}; !slices.Equal(seen, want) {
		t.Errorf("saw %q, want %q", seen, want)
	}
	if invalid, _ := target.Invalid(t.Context()); len(invalid) > 0 {
		t.Errorf("invalid %v", invalid)
	}
}

func interrupted(t *testing.T, err error) *whimbrel.InterruptedError {
	t.Helper()
	var e *whimbrel.InterruptedError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *InterruptedError", err)
	}
	return e
}

const threeStatements = "CREATE TABLE t (x);\nINSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t (x)"

func TestStatementsThatStandAreNotEdited(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	for edit, problem := range map[string]string{
		strings.Replace(threeStatements, "(1)", "(2)", 1):                      "its first 2 statements differ from those",
		"CREATE TABLE t (x)":                                                   "it has 1 statements, but 2 were executed before",
		"SELECT 1;" + threeStatements:                                          "its first 2 statements differ from those",
		strings.Replace(threeStatements, "INSERT INTO t VALUES (1);\n", "", 1): "its first 2 statements differ from those",
	} {
		target := stopped(t, set, 3, memdb.ErrKilled)
		edited := newSet(t, script{1, "-- whimbrel: no-transaction\n" + edit, "-"})
		m := whimbrel.New(open(t, target), edited, whimbrel.Options{})
		_, err := m.Up(t.Context())
		if e := interrupted(t, err); !strings.Contains(e.Problem, problem) || !e.Edited || !e.Resolvable() {
			t.Errorf("%q: %v", edit, err)
		}
		if rows, _ := target.Rows(t.Context(), "t"); len(rows) != 1 {
			t.Errorf("%q: rows %v", edit, rows)
		}
	}
	// White space, comments, and what comes behind are free.
	target := stopped(t, set, 3, memdb.ErrKilled)
	free := newSet(t, script{1, "-- new\nCREATE TABLE t (x)  ;;\n\nINSERT INTO t VALUES (1); CREATE INDEX CONCURRENTLY other ON t (x); CREATE TABLE u ()", "-"})
	if _, err := whimbrel.New(open(t, target), free, whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Error(err)
	}
	wantTables(t, target, "t", "u")
}

func TestResolveAnEditedScript(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	edited := newSet(t, script{1, strings.Replace(threeStatements, "(1)", "(2)", 1), "-"})
	target := stopped(t, set, 3, memdb.ErrKilled)
	m := whimbrel.New(open(t, target), edited, whimbrel.Options{})
	got, err := m.Resolve(t.Context(), 1, whimbrel.ResolveDone, "it is only the number")
	if err != nil || got.Statement != 3 || got.Of != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Error(err)
	}
	if rows, _ := target.Rows(t.Context(), "t"); strings.Join(rows, " ") != "1" {
		t.Errorf("rows %v", rows)
	}
	var note string
	for e := range m.History(t.Context()) {
		if e.Direction == database.Resolve {
			note = e.Note
		}
	}
	if !strings.HasSuffix(note, "replace the 2 that were executed: it is only the number") {
		t.Errorf("note %q", note)
	}

	target = stopped(t, set, 3, memdb.ErrKilled)
	anew := newSet(t, script{1, "DELETE FROM t;\nDROP TABLE t;\n" + threeStatements, "-"})
	m = whimbrel.New(open(t, target), anew, whimbrel.Options{})
	if got, err := m.Resolve(t.Context(), 1, whimbrel.ResolveRetry, ""); err != nil || got.Statement != 1 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if r, err := m.Up(t.Context()); err != nil || len(r.Resumed) > 0 {
		t.Errorf("got %+v, %v", r, err)
	}
	if rows, _ := target.Rows(t.Context(), "t"); strings.Join(rows, " ") != "1" {
		t.Errorf("rows %v", rows)
	}
}

// While the set's process was away somebody else has changed the schema, so that it can't be told from it what
// has happened.
func unclear(t *testing.T, set *migration.Set) *memdb.Target {
	t.Helper()
	target := stopped(t, set, 3, memdb.ErrKilled) // the index is begun, and not built
	other := newSet(t, script{1, "CREATE TABLE elsewhere ()", "-"})
	b, _, err := open(t, target).Begin(t.Context(), "other", database.LockOptions{})
	if err == nil {
		err = b.Exec(t.Context(), other.All()[0].Up)
	}
	if err == nil {
		_, err = b.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestWhatTheStatementDoesNotExplainStops(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := unclear(t, set)
	m := whimbrel.New(open(t, target), set, whimbrel.Options{})
	_, err := m.Up(t.Context())
	e := interrupted(t, err)
	if e.Pos.String() != "1_m1.up.sql:3:1" || e.SQL != "CREATE INDEX CONCURRENTLY i ON t (x)" || len(e.Changes) != 1 || e.Changes[0].String() != "table elsewhere added" || !e.Resolvable() {
		t.Errorf("got %+v", e)
	}
	if indexes, _ := target.Indexes(t.Context()); len(indexes) > 0 {
		t.Errorf("it was changed: %v", indexes)
	}
	if _, err := m.Resolve(t.Context(), 2, whimbrel.ResolveRetry, ""); !strings.Contains(fmt.Sprint(err), "nothing to resolve") || !strings.Contains(err.Error(), "migration 1 m1 is") {
		t.Errorf("got %v", err)
	}
	got, err := m.Resolve(t.Context(), 1, whimbrel.ResolveRetry, "")
	if err != nil || got.Statement != 3 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Error(err)
	}
	if indexes, _ := target.Indexes(t.Context()); !slices.Equal(indexes, []string{"i"}) {
		t.Errorf("indexes %v", indexes)
	}
	var none *whimbrel.NotInterruptedError
	if _, err := m.Resolve(t.Context(), 1, whimbrel.ResolveRetry, ""); !errors.As(err, &none) {
		t.Errorf("got %v", err)
	}

	target = unclear(t, set)
	m = whimbrel.New(open(t, target), set, whimbrel.Options{})
	if got, err := m.Resolve(t.Context(), 1, whimbrel.ResolveDone, ""); err != nil || got.Statement != 4 {
		t.Fatalf("got %+v, %v", got, err)
	}
	if _, err := m.Up(t.Context()); err != nil {
		t.Error(err)
	}
	if indexes, _ := target.Indexes(t.Context()); len(indexes) > 0 {
		t.Errorf("indexes %v", indexes)
	}
}

func TestAnOpenRunOfAnotherBuild(t *testing.T) {
	t.Parallel()
	newer := newSet(t, script{1, "CREATE TABLE a ()", "-"}, script{2, threeStatements, "-"})
	target := stopped(t, newer, 2, memdb.ErrKilled)
	older := whimbrel.New(open(t, target), newSet(t, script{1, "CREATE TABLE a ()", "-"}), whimbrel.Options{})
	if r, err := older.Up(t.Context()); err != nil || len(r.Applied) > 0 {
		t.Errorf("what has all it needs starts: %+v, %v", r, err)
	}
	if s, err := older.Status(t.Context()); err != nil || s.Interrupted == nil || s.Interrupted.Version != 2 {
		t.Errorf("status %+v, %v", s, err)
	}
	_, err := older.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
	if e := interrupted(t, err); e.Resolvable() || !strings.Contains(e.Error(), "the migration is not among the files") {
		t.Errorf("got %v", err)
	}
	wantTables(t, target, "a", "t")
	if _, err := whimbrel.New(open(t, target), newer, whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStepsCountWhatTheyContinue(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "DROP INDEX CONCURRENTLY i; DROP TABLE t"}, script{2, "CREATE TABLE u ()", "DROP TABLE u"})
	target := stopped(t, set, 2, memdb.ErrKilled)
	m := whimbrel.New(open(t, target), set, whimbrel.Options{})
	if r, err := m.Migrate(t.Context(), whimbrel.By(1), whimbrel.ApplyOptions{}); err != nil || !slices.Equal(versions(r.Applied), []int64{1}) {
		t.Errorf("got %+v, %v", r, err)
	}
	wantTables(t, target, "t")
	_, err := whimbrel.New(killAt(t, target, 2, memdb.ErrKilled, func(op string) bool { return op == memdb.OpRunExec }), set, whimbrel.Options{}).Migrate(t.Context(), whimbrel.Redo(1), whimbrel.ApplyOptions{})
	if err == nil {
		t.Fatal("it was not stopped")
	}
	r, err := m.Migrate(t.Context(), whimbrel.Redo(1), whimbrel.ApplyOptions{})
	if err != nil || !slices.Equal(versions(r.RolledBack), []int64{1}) || !slices.Equal(versions(r.Applied), []int64{1}) {
		t.Errorf("got %+v, %v", r, err)
	}
	target = stopped(t, set, 2, memdb.ErrKilled)
	m = whimbrel.New(open(t, target), set, whimbrel.Options{})
	if r, err := m.Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil || len(r.Resumed) != 1 || !slices.Equal(versions(r.RolledBack), []int64{1}) {
		t.Errorf("a rollback finishes first what is open: %+v, %v", r, err)
	}
	wantTables(t, target)
}

func TestRecordingEndsAnOpenRun(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	for name, end := range map[string]func(*whimbrel.Migrator) error{
		"mark":   func(m *whimbrel.Migrator) error { return m.Mark(context.Background(), "", 1) },
		"forget": func(m *whimbrel.Migrator) error { return m.Forget(context.Background(), "", 1) },
	} {
		target := stopped(t, set, 2, memdb.ErrKilled)
		m := whimbrel.New(open(t, target), set, whimbrel.Options{})
		if err := end(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s, err := m.Status(t.Context()); err != nil || s.Interrupted != nil {
			t.Errorf("%s: status %+v, %v", name, s, err)
		}
	}
}

func TestScriptsWithoutAVersionGoOn(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	const views = "CREATE TABLE v (x); CREATE INDEX CONCURRENTLY i ON v (x); CREATE TABLE w ()"
	named, set := namedScripts("views", views)[0], repeating(t, 1, "views", views)
	db := killAt(t, target, 3, memdb.ErrKilled, func(op string) bool { return op == memdb.OpRunExec })
	if _, err := whimbrel.New(db, set, whimbrel.Options{}).Up(t.Context()); err == nil {
		t.Fatal("it was not stopped")
	}
	r, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Up(t.Context())
	if err != nil || len(r.Repeated) != 1 || len(r.Resumed) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	wantTables(t, target, "t1", "v", "w")

	target = memdb.New()
	db = killAt(t, target, 2, memdb.ErrKilled, func(op string) bool { return op == memdb.OpRunExec })
	empty := newSet(t, plain(1)...)
	seeds := []migration.Named{{Name: "first", Script: migration.Text("first.sql", "CREATE TABLE a ()")}, named}
	if _, err := whimbrel.New(db, empty, whimbrel.Options{}).Seed(t.Context(), seeds, whimbrel.SeedOptions{}); err == nil {
		t.Fatal("it was not stopped")
	}
	m := whimbrel.New(open(t, target), empty, whimbrel.Options{})
	if _, err := m.Up(t.Context()); !strings.Contains(fmt.Sprint(err), "it is a seed") {
		t.Errorf("got %v", err)
	}
	if r, err := m.Seed(t.Context(), seeds, whimbrel.SeedOptions{}); err != nil || len(r.Seeded) != 1 || len(r.Resumed) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
	if r, err := m.Up(t.Context()); err != nil || len(r.Applied) != 1 {
		t.Errorf("got %+v, %v", r, err)
	}
}

// Another process does it meanwhile, or begins something else.
func TestARunThatAnotherProcessContinues(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"}, script{2, "CREATE TABLE u ()", "-"})
	target := stopped(t, set, 2, memdb.ErrKilled)
	m := whimbrel.New(open(t, target), set, whimbrel.Options{})
	p, err := m.Plan(t.Context(), whimbrel.Latest())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{}); err != nil || !slices.Equal(r.Skipped, []int64{1, 2}) {
		t.Errorf("got %+v, %v", r, err)
	}

	target = memdb.New()
	m = whimbrel.New(open(t, target), newSet(t, script{2, "CREATE TABLE u ()", "-"}), whimbrel.Options{AllowOutOfOrder: true})
	if p, err = m.Plan(t.Context(), whimbrel.Latest()); err != nil {
		t.Fatal(err)
	}
	db := killAt(t, target, 2, memdb.ErrKilled, func(op string) bool { return op == memdb.OpRunExec })
	whimbrel.New(db, newSet(t, script{1, threeStatements, "-"}), whimbrel.Options{}).Up(t.Context())
	_, err = m.Apply(t.Context(), p, whimbrel.ApplyOptions{})
	if e := interrupted(t, err); !strings.Contains(e.Problem, "in the meantime") {
		t.Errorf("got %v", err)
	}
}

func TestARunsTransactionsEndPlainly(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"PREPARE TRANSACTION 'x'"} {
		set := alone(newSet(t, script{1, "\nCREATE TABLE t (x);\nBEGIN;\nINSERT INTO t VALUES (1);\n" + end + ";\nCOMMIT", "-"}))
		target := memdb.New()
		_, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Up(t.Context())
		var refused *sqltext.Error
		if !errors.As(err, &refused) || refused.Pos.Line != 5 {
			t.Errorf("%s: got %v", end, err)
		}
		wantTables(t, target)
	}
}

func TestTheJournalSaysWhyARunStopped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ statement, why string }{
		{"SELECT forever()", "cancelled"},
		{"BEGIN; CREATE TABLE u (); SELECT forever(); COMMIT", "cancelled"},
		{"BEGIN; CREATE TABLE u (); NONSENSE; COMMIT", `syntax error at or near "NONSENSE"`},
		{"DROP INDEX CONCURRENTLY missing", "does not exist"},
	} {
		target := memdb.New()
		set := alone(newSet(t, script{1, "CREATE TABLE t (x);" + tt.statement, "-"}))
		ctx, cancel := context.WithCancel(t.Context())
		opts := whimbrel.Options{Observe: func(e whimbrel.Event) {
			if s, ok := e.(whimbrel.StatementStarted); ok && strings.Contains(s.SQL, "forever") {
				cancel()
			}
		}}
		m := whimbrel.New(open(t, target), set, opts)
		if _, err := m.Up(ctx); err == nil {
			t.Error("it has succeeded")
		}
		cancel()
		if s, err := m.Status(t.Context()); err != nil || s.Interrupted == nil || s.Interrupted.Done != 1 || !strings.Contains(s.Interrupted.Error, tt.why) {
			t.Errorf("%s: status %+v, %v", tt.statement, s.Interrupted, err)
		}
		wantTables(t, target, "t")
	}
}
