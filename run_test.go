package whimbrel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

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

// killAt opens a target in a process that is killed at the n-th call (from 1) of those that count.
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
	return op == memdb.OpRunExec || op == memdb.OpRunJournal || op == memdb.OpRunAnnounce || op == memdb.OpRunRecord
}

// A process is killed before, after and in the middle of each call of a run. The next process
// resumes the run.
func TestARunIsResumedWhereverItIsKilled(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, mixed, unmixed}, script{2, "CREATE TABLE u ()", "DROP TABLE u"})
	for _, how := range []struct {
		name   string
		err    error
		counts func(string) bool
	}{
		{"before", memdb.ErrKilled, anyCall},
		{"after", memdb.ErrDone, inRun},
		{"halfway", memdb.ErrHalfway, inStatement},
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
				t.Run(fmt.Sprintf("call %d", n), func(t *testing.T) {
					db := open(t, target)
					m := whimbrel.New(db, set, whimbrel.Options{})
					interruptedRuns := 0
					if mustStatus(t, m).Interrupted != nil {
						interruptedRuns = 1
					}
					wantResumed(t, mustUp(t, m), interruptedRuns)
					wantEqual(t, "failed attempts in the history", len(failures(t, m)), interruptedRuns)
					wantBothApplied(t, target, db)
					if how.err == memdb.ErrKilled && n > 3 {
						downAgain(t, set, target, n)
					}
				})
			}
			if cuts < 9 {
				t.Errorf("only %d cuts", cuts)
			}
		})
	}
}

// wantBothApplied expects the results of the two migrations, each applied once.
func wantBothApplied(t *testing.T, target *memdb.Target, db *memdb.Database) {
	t.Helper()
	wantTables(t, target, "t", "u")
	wantRows(t, target, "t", "1", "2", "3", "4")
	wantIndexes(t, target, "i", "j")
	wantInvalid(t, target)
	wantHistory(t, db, "up 1", "up 2")
	wantUnlocked(t, target)
	wantNotInterrupted(t, whimbrel.New(db, newSet(t), whimbrel.Options{}))
}

// downAgain rolls everything back in a process that is killed, and then in another one.
func downAgain(t *testing.T, set *migration.Set, target *memdb.Target, n int) {
	t.Helper()
	killed := whimbrel.New(killAt(t, target, n, memdb.ErrKilled, anyCall), set, whimbrel.Options{})
	db := open(t, target)
	if err := tryMigrate(t, killed, whimbrel.DownTo(whimbrel.NilVersion)); err != nil {
		mustMigrate(t, whimbrel.New(db, set, whimbrel.Options{}), whimbrel.DownTo(whimbrel.NilVersion))
	}
	wantTables(t, target)
	wantHistory(t, db, "up 1", "up 2", "down 2", "down 1")
}

// stopped returns a target in which a process was killed before its n-th statement of a run.
func stopped(t *testing.T, set *migration.Set, n int, how error) *memdb.Target {
	t.Helper()
	target := memdb.New()
	killed := whimbrel.New(killAt(t, target, n, how, inStatement), set, whimbrel.Options{})
	wantErrorIs(t, tryUp(t, killed), memdb.ErrKilled)
	return target
}

func TestAFailedRunResumesWithTheFixedFile(t *testing.T) {
	t.Parallel()
	const head, tail = "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);\n", ";\nINSERT INTO t VALUES (1)"
	target := memdb.New()
	err := tryUp(t, migrator(t, target, newSet(t, script{1, head + "NONSENSE" + tail, "-"})))
	wantEqual(t, "executed statements", wantError[*whimbrel.MigrationError](t, err).Executed, 2)

	m := migrator(t, target, newSet(t, script{1, "-- fixed\n" + head + "CREATE TABLE u ()" + tail, "-"}))
	journal := wantInterrupted(t, m)
	wantEqual(t, "statements done", journal.Done, 2)
	wantText(t, "the reason", journal.Error, "NONSENSE")
	wantPending(t, mustStatus(t, m), 1)

	p := mustPlan(t, m, whimbrel.Latest())
	wantEqual(t, "number of steps", len(p.Steps), 1)
	wantEqual(t, "mode", p.Steps[0].Mode, whimbrel.OutsideTransaction)
	wantEqual(t, "statement to resume at", p.Steps[0].Resumes(), 3)

	r := mustUp(t, m)
	wantEqual(t, "resumed steps", r.Resumed, []whimbrel.ResumedStep{{Version: 1, Name: "m1", FromStatement: 3}})
	wantApplied(t, r, 1)
	wantTables(t, target, "t", "u")
	wantNotInterrupted(t, m)
}

// alone lets the up scripts run outside a transaction.
func alone(set *migration.Set) *migration.Set {
	for _, m := range set.All() {
		m.Up.NoTransaction = true
	}
	return set
}

// A first statement that fails leaves nothing, so no run is interrupted.
func TestAFirstStatementThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"NONSENSE; SELECT 1", "CREATE INDEX CONCURRENTLY i ON missing (x); SELECT 1"} {
		set := alone(newSet(t, script{1, first, "-"}))
		m := migrator(t, memdb.New(), set)
		wantError[*whimbrel.MigrationError](t, tryUp(t, m))
		wantNotInterrupted(t, m)
	}
}

func TestAnInvalidIndexIsBuiltAgain(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, "CREATE TABLE t (x); CREATE INDEX CONCURRENTLY i ON t (x)", "-"})
	target := stopped(t, set, 2, memdb.ErrHalfway)
	wantInvalid(t, target, "i")
	var seen []string
	opts := whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
		switch e := e.(type) {
		case whimbrel.CleanedUp:
			seen = append(seen, e.SQL)
		case whimbrel.Resumed:
			seen = append(seen, fmt.Sprint("from ", e.From))
		case whimbrel.StatementStarted:
			seen = append(seen, fmt.Sprint(e.Index+1))
		}
	}}
	mustUp(t, whimbrel.New(open(t, target), set, opts))
	wantEqual(t, "events", seen, []string{"DROP INDEX CONCURRENTLY IF EXISTS i", "from 2", "2"})
	wantInvalid(t, target)
}

const threeStatements = "CREATE TABLE t (x);\nINSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t (x)"

func TestExecutedStatementsMustNotBeEdited(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	for edit, problem := range map[string]string{
		strings.Replace(threeStatements, "(1)", "(2)", 1):                      "its first 2 statements differ from those",
		"CREATE TABLE t (x)":                                                   "it has 1 statements, but 2 were executed before",
		"SELECT 1;" + threeStatements:                                          "its first 2 statements differ from those",
		strings.Replace(threeStatements, "INSERT INTO t VALUES (1);\n", "", 1): "its first 2 statements differ from those",
	} {
		t.Run(edit, func(t *testing.T) {
			target := stopped(t, set, 3, memdb.ErrKilled)
			edited := newSet(t, script{1, "-- whimbrel: no-transaction\n" + edit, "-"})
			e := wantError[*whimbrel.InterruptedError](t, tryUp(t, migrator(t, target, edited)))
			wantText(t, "the problem", e.Problem, problem)
			if !e.Edited {
				t.Error("the error does not say that the script was edited")
			}
			if !e.Resolvable() {
				t.Error("the error does not say that it can be resolved")
			}
			wantRows(t, target, "t", "1")
		})
	}
	// White space, comments, and later statements may be edited.
	target := stopped(t, set, 3, memdb.ErrKilled)
	free := newSet(t, script{1, "-- new\nCREATE TABLE t (x)  ;;\n\nINSERT INTO t VALUES (1); CREATE INDEX CONCURRENTLY other ON t (x); CREATE TABLE u ()", "-"})
	mustUp(t, migrator(t, target, free))
	wantTables(t, target, "t", "u")
}

func TestResolveAnEditedScript(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	edited := newSet(t, script{1, strings.Replace(threeStatements, "(1)", "(2)", 1), "-"})
	target := stopped(t, set, 3, memdb.ErrKilled)
	m := migrator(t, target, edited)
	got, err := m.Resolve(t.Context(), 1, whimbrel.ResolveDone, "it is only the number")
	noError(t, err)
	wantEqual(t, "statement to resume at", got.Statement, 3)
	wantEqual(t, "number of statements", got.Of, 3)
	mustUp(t, m)
	wantRows(t, target, "t", "1")
	var entry database.Entry
	for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
		noError(t, err)
		if e.Direction == database.Resolve {
			entry = e
		}
	}
	wantText(t, "the remark", entry.Remark, "replace the 2 that were executed")
	wantEqual(t, "the reason", entry.Reason, "it is only the number")

	target = stopped(t, set, 3, memdb.ErrKilled)
	anew := newSet(t, script{1, "DELETE FROM t;\nDROP TABLE t;\n" + threeStatements, "-"})
	m = migrator(t, target, anew)
	got, err = m.Resolve(t.Context(), 1, whimbrel.ResolveRetry, "")
	noError(t, err)
	wantEqual(t, "statement to resume at", got.Statement, 1)
	wantResumed(t, mustUp(t, m), 0)
	wantRows(t, target, "t", "1")
}

// unclear returns a target in which a run was interrupted, and in which another process has changed
// the schema since. So the schema does not show what the interrupted statement did.
func unclear(t *testing.T, set *migration.Set) *memdb.Target {
	t.Helper()
	target := stopped(t, set, 3, memdb.ErrKilled) // the index is begun, but not built
	other := newSet(t, script{1, "CREATE TABLE elsewhere ()", "-"})
	tx := begin(t, target, "other")
	noError(t, tx.Exec(t.Context(), other.All()[0].Up))
	_, err := tx.Commit(t.Context())
	noError(t, err)
	return target
}

func TestAnUnclearOutcomeNeedsADecision(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := unclear(t, set)
	m := migrator(t, target, set)
	resolve := func(version int64, how whimbrel.Resolution) (*whimbrel.Resolved, error) {
		return m.Resolve(t.Context(), version, how, "")
	}
	e := wantError[*whimbrel.InterruptedError](t, tryUp(t, m))
	wantEqual(t, "position", e.Pos.String(), "1_m1.up.sql:3:1")
	wantEqual(t, "statement", e.SQL, "CREATE INDEX CONCURRENTLY i ON t (x)")
	wantEqual(t, "changes", fmt.Sprint(e.Changes), "[table elsewhere added]")
	if !e.Resolvable() {
		t.Error("the error does not say that it can be resolved")
	}
	wantIndexes(t, target)

	_, err := resolve(2, whimbrel.ResolveRetry)
	wantErrorText(t, err, "nothing to resolve")
	wantErrorText(t, err, "migration 1 m1 is")

	got, err := resolve(1, whimbrel.ResolveRetry)
	noError(t, err)
	wantEqual(t, "statement to resume at", got.Statement, 3)
	mustUp(t, m)
	wantIndexes(t, target, "i")
	_, err = resolve(1, whimbrel.ResolveRetry)
	wantError[*whimbrel.NotInterruptedError](t, err)

	target = unclear(t, set)
	m = migrator(t, target, set)
	got, err = resolve(1, whimbrel.ResolveDone)
	noError(t, err)
	wantEqual(t, "statement to resume at", got.Statement, 4)
	mustUp(t, m)
	wantIndexes(t, target)
}

func TestAnInterruptedRunOfAnotherBuild(t *testing.T) {
	t.Parallel()
	newer := newSet(t, script{1, "CREATE TABLE a ()", "-"}, script{2, threeStatements, "-"})
	target := stopped(t, newer, 2, memdb.ErrKilled)
	older := migrator(t, target, newSet(t, script{1, "CREATE TABLE a ()", "-"}))
	wantApplied(t, mustUp(t, older)) // which has nothing pending
	wantEqual(t, "interrupted version", wantInterrupted(t, older).Version, 2)
	err := tryMigrate(t, older, whimbrel.DownTo(whimbrel.NilVersion))
	wantErrorText(t, err, "the migration is not among the files")
	if wantError[*whimbrel.InterruptedError](t, err).Resolvable() {
		t.Error("the error says that it can be resolved")
	}
	wantTables(t, target, "a", "t")
	mustUp(t, migrator(t, target, newer))
}

func TestAResumedRunCountsAsAStep(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "DROP INDEX CONCURRENTLY i; DROP TABLE t"}, script{2, "CREATE TABLE u ()", "DROP TABLE u"})
	target := stopped(t, set, 2, memdb.ErrKilled)
	m := migrator(t, target, set)
	wantApplied(t, mustMigrate(t, m, whimbrel.By(1)), 1)
	wantTables(t, target, "t")

	killed := whimbrel.New(killAt(t, target, 2, memdb.ErrKilled, inStatement), set, whimbrel.Options{})
	wantErrorIs(t, tryMigrate(t, killed, whimbrel.Redo(1)), memdb.ErrKilled)
	r := mustMigrate(t, m, whimbrel.Redo(1))
	wantRolledBack(t, r, 1)
	wantApplied(t, r, 1)

	// A rollback completes an interrupted run first.
	target = stopped(t, set, 2, memdb.ErrKilled)
	r = mustMigrate(t, migrator(t, target, set), whimbrel.DownTo(whimbrel.NilVersion))
	wantResumed(t, r, 1)
	wantRolledBack(t, r, 1)
	wantTables(t, target)
}

func TestRecordingEndsAnInterruptedRun(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	for name, end := range map[string]func(*whimbrel.Migrator) error{
		"mark":   func(m *whimbrel.Migrator) error { return m.Mark(t.Context(), "", 1) },
		"forget": func(m *whimbrel.Migrator) error { return m.Forget(t.Context(), "", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			m := migrator(t, stopped(t, set, 2, memdb.ErrKilled), set)
			noError(t, end(m))
			wantNotInterrupted(t, m)
		})
	}
}

func TestScriptsWithoutAVersionAreResumed(t *testing.T) {
	t.Parallel()
	const views = "CREATE TABLE v (x); CREATE INDEX CONCURRENTLY i ON v (x); CREATE TABLE w ()"
	t.Run("a repeatable script", func(t *testing.T) {
		target, set := memdb.New(), repeating(t, 1, "views", views)
		killed := whimbrel.New(killAt(t, target, 3, memdb.ErrKilled, inStatement), set, whimbrel.Options{})
		wantErrorIs(t, tryUp(t, killed), memdb.ErrKilled)
		r := mustUp(t, migrator(t, target, set))
		wantScripts(t, r.Repeated, "views")
		wantResumed(t, r, 1)
		wantTables(t, target, "t1", "v", "w")
	})
	t.Run("a seed", func(t *testing.T) {
		target, set := memdb.New(), newSet(t, plain(1)...)
		seeds := namedScripts("first", "CREATE TABLE a ()", "views", views)
		killed := whimbrel.New(killAt(t, target, 2, memdb.ErrKilled, inStatement), set, whimbrel.Options{})
		_, err := killed.Seed(t.Context(), seeds, whimbrel.SeedOptions{})
		wantErrorIs(t, err, memdb.ErrKilled)
		m := migrator(t, target, set)
		wantErrorText(t, tryUp(t, m), "it is a seed")
		r, err := m.Seed(t.Context(), seeds, whimbrel.SeedOptions{})
		noError(t, err)
		wantScripts(t, r.Seeded, "views")
		wantResumed(t, r, 1)
		wantApplied(t, mustUp(t, m), 1)
	})
}

// Another process resumes the run, or begins a different one, between Plan and Apply.
func TestARunThatAnotherProcessChanges(t *testing.T) {
	t.Parallel()
	t.Run("it resumes the run", func(t *testing.T) {
		set := newSet(t, script{1, threeStatements, "-"}, script{2, "CREATE TABLE u ()", "-"})
		target := stopped(t, set, 2, memdb.ErrKilled)
		m := migrator(t, target, set)
		p := mustPlan(t, m, whimbrel.Latest())
		mustUp(t, migrator(t, target, set))
		r, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{})
		noError(t, err)
		wantSkipped(t, r, 1, 2)
	})
	t.Run("it begins another run", func(t *testing.T) {
		target := memdb.New()
		m := whimbrel.New(open(t, target), newSet(t, script{2, "CREATE TABLE u ()", "-"}), whimbrel.Options{AllowOutOfOrder: true})
		p := mustPlan(t, m, whimbrel.Latest())
		db := killAt(t, target, 2, memdb.ErrKilled, inStatement)
		killed := whimbrel.New(db, newSet(t, script{1, threeStatements, "-"}), whimbrel.Options{})
		wantErrorIs(t, tryUp(t, killed), memdb.ErrKilled)
		_, err := m.Apply(t.Context(), p, whimbrel.ApplyOptions{})
		wantText(t, "the problem", wantError[*whimbrel.InterruptedError](t, err).Problem, "in the meantime")
	})
}

func TestPreparedTransactionsAreRefused(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := alone(newSet(t, script{1, "\nCREATE TABLE t (x);\nBEGIN;\nINSERT INTO t VALUES (1);\nPREPARE TRANSACTION 'x';\nCOMMIT", "-"}))
	refused := wantError[*sqltext.Error](t, tryUp(t, migrator(t, target, set)))
	wantEqual(t, "line", refused.Pos.Line, 5)
	wantTables(t, target)
}

func TestTheJournalSaysWhyARunStopped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ statement, why string }{
		{"SELECT forever()", "cancelled"},
		{"BEGIN; CREATE TABLE u (); SELECT forever(); COMMIT", "cancelled"},
		{"BEGIN; CREATE TABLE u (); NONSENSE; COMMIT", `syntax error at or near "NONSENSE"`},
		{"DROP INDEX CONCURRENTLY missing", "does not exist"},
	} {
		t.Run(tt.statement, func(t *testing.T) {
			target := memdb.New()
			set := alone(newSet(t, script{1, "CREATE TABLE t (x);" + tt.statement, "-"}))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			opts := whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
				if s, ok := e.(whimbrel.StatementStarted); ok && strings.Contains(s.SQL, "forever") {
					cancel()
				}
			}}
			m := whimbrel.New(open(t, target), set, opts)
			_, err := m.Up(ctx)
			wantError[*whimbrel.MigrationError](t, err)
			journal := wantInterrupted(t, m)
			wantEqual(t, "statements done", journal.Done, 1)
			wantText(t, "the reason", journal.Error, tt.why)
			wantTables(t, target, "t")
		})
	}
}

// A DROP INDEX CONCURRENTLY that was killed leaves an invalid index. A process that resumes it, and
// is killed before it announces the statement again, leaves the run as it was.
func TestKilledBeforeAnotherAnnouncement(t *testing.T) {
	t.Parallel()
	set, target := newSet(t, pairs(1)...), memdb.New()
	mustUp(t, migrator(t, target, set))
	db := open(t, target)
	failAt(db, memdb.OpRunExec, memdb.ErrHalfway)
	wantErrorIs(t, tryMigrate(t, whimbrel.New(db, set, whimbrel.Options{}), whimbrel.By(-1)), memdb.ErrKilled)
	db = open(t, target)
	failAt(db, memdb.OpRunAnnounce, memdb.ErrKilled)
	wantErrorIs(t, tryMigrate(t, whimbrel.New(db, set, whimbrel.Options{}), whimbrel.By(-1)), memdb.ErrKilled)
	mustUp(t, migrator(t, target, set))
	invalid, err := target.Invalid(t.Context())
	noError(t, err)
	wantEqual(t, "the invalid indexes", invalid, nil)
	indexes, err := target.Indexes(t.Context())
	noError(t, err)
	wantEqual(t, "the indexes", indexes, []string{"i2", "j2"})
}

// A DROP INDEX CONCURRENTLY that fails leaves an invalid index, too. The run remains interrupted
// until the index is gone, also while the process waits before it tries again.
func TestAFailedStatementOfWhichSomethingRemains(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		retry time.Duration
		pause error // of the call in the pause
		want  error // nil: it succeeds
	}{
		{"is not tried again", -1, nil, database.ErrDeadlock},
		{"is tried again", time.Minute, nil, nil},
		{"is killed in the pause", time.Minute, memdb.ErrKilled, memdb.ErrKilled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, target *memdb.Target) {
				set := withRetried(t, script{2, "CREATE INDEX i ON t1 (x)", "-"}, script{3, "DROP INDEX CONCURRENTLY i", "-"})
				db, failed := open(t, target), false
				db.SetHook(func(op string) error {
					switch {
					case op == memdb.OpRunExec && !failed:
						failed = true
						return memdb.ErrDeadlocked
					case op == memdb.OpRunState && failed:
						return tt.pause
					}
					return nil
				})
				err := tryUp(t, whimbrel.New(db, set, whimbrel.Options{RetryFor: tt.retry}))
				m := migrator(t, target, set)
				if tt.want == nil {
					noError(t, err)
				} else {
					wantErrorIs(t, err, tt.want)
					wantInvalid(t, target, "i")
					wantEqual(t, "the statement that was begun", wantInterrupted(t, m).Begun, "DROP INDEX CONCURRENTLY i")
					mustUp(t, m)
				}
				wantIndexes(t, target)
				wantNotInterrupted(t, m)
			})
		})
	}
}
