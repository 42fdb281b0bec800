package whimbrel_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func TestStatusSaysWhereARunStopped(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	for n, want := range map[int]string{2: "INSERT INTO t VALUES (1)", 3: "CREATE INDEX CONCURRENTLY i ON t (x)"} {
		t.Run(fmt.Sprintf("statement %d", n), func(t *testing.T) {
			target := stopped(t, set, n, memdb.ErrKilled)
			s := mustStatus(t, migrator(t, target, set))
			wantEqual(t, "statements done", s.Interrupted.Done, n-1)
			wantEqual(t, "statement", s.InterruptedAt, want)

			// Without the file, Status knows a statement only if it was begun.
			if n == 2 {
				want = ""
			}
			s = mustStatus(t, migrator(t, target, newSet(t)))
			wantEqual(t, "statement without the file", s.InterruptedAt, want)
		})
	}
}

func TestAFailureNamesTheInterruptedRun(t *testing.T) {
	t.Parallel()
	upError := func(text string) *whimbrel.MigrationError {
		set := alone(newSet(t, script{1, text, "-"}))
		return wantError[*whimbrel.MigrationError](t, tryUp(t, migrator(t, memdb.New(), set)))
	}
	failed := upError("NONSENSE")
	wantEqual(t, "executed statements", failed.Executed, 0)
	wantEqual(t, "journal", failed.Journal, nil)

	failed = upError("CREATE TABLE t (x);\nNONSENSE")
	wantEqual(t, "executed statements", failed.Executed, 1)
	if failed.Journal == nil {
		t.Fatal("the error has no journal")
	}
	wantEqual(t, "statements done", failed.Journal.Done, 1)
	wantEqual(t, "number of statements", failed.Journal.Of, 2)
	wantText(t, "the reason", failed.Journal.Error, "NONSENSE")
}

// Edited development data must not block migrations forever.
func TestResolveAScriptThatIsNotInTheSet(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	target := memdb.New()
	m := whimbrel.New(killAt(t, target, 3, memdb.ErrKilled, inStatement), set, whimbrel.Options{})
	_, err := m.Seed(t.Context(), namedScripts("people", threeStatements), whimbrel.SeedOptions{})
	wantErrorIs(t, err, memdb.ErrKilled)
	m = migrator(t, target, set)
	edited := namedScripts("people", "DELETE FROM t;\nDROP TABLE t;\n"+threeStatements)
	_, err = m.Seed(t.Context(), edited, whimbrel.SeedOptions{})
	if e := wantError[*whimbrel.InterruptedError](t, err); !e.Edited {
		t.Errorf("%v: the error does not say that the script was edited", e)
	}
	// The statement that was begun has to be resolved first, then those before it.
	for _, want := range []int{3, 1} {
		got, err := m.Resolve(t.Context(), whimbrel.NilVersion, whimbrel.ResolveRetry, "")
		noError(t, err)
		wantEqual(t, "script", got.Name, "people")
		wantEqual(t, "statement to resume at", got.Statement, want)
	}
	_, err = m.Resolve(t.Context(), whimbrel.NilVersion, whimbrel.ResolveRetry, "")
	wantEqual(t, "interrupted run", wantError[*whimbrel.NotInterruptedError](t, err).Interrupted, nil)
	r, err := m.Seed(t.Context(), edited, whimbrel.SeedOptions{})
	noError(t, err)
	wantScripts(t, r.Seeded, "people")
	wantResumed(t, r, 0)
	wantRows(t, target, "t", "1")
}

func TestResolveOfARunWithAKnownOutcome(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := stopped(t, set, 2, memdb.ErrKilled)
	_, err := migrator(t, target, set).Resolve(t.Context(), 1, whimbrel.ResolveDone, "")
	none := wantError[*whimbrel.NotInterruptedError](t, err)
	if none.Interrupted == nil {
		t.Fatal("the error does not name the interrupted run")
	}
	wantEqual(t, "interrupted version", none.Interrupted.Version, 1)
	wantErrorText(t, err, "interrupted at statement 2 of 3")
}

// The database shows that the index was not built. A decision would discard what the journal knows
// about it, so the next run could not remove what the statement left.
func TestResolveOfAStatementWithAKnownOutcome(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := stopped(t, set, 3, memdb.ErrKilled)
	m := migrator(t, target, set)
	was := wantInterrupted(t, m)
	for _, how := range []whimbrel.Resolution{whimbrel.ResolveDone, whimbrel.ResolveRetry} {
		_, err := m.Resolve(t.Context(), 1, how, "")
		none := wantError[*whimbrel.NotInterruptedError](t, err)
		wantEqual(t, "interrupted version", none.Interrupted.Version, 1)
		wantErrorText(t, err, "interrupted at statement 3 of 3, and the next run resumes there")
	}
	now := wantInterrupted(t, m)
	wantEqual(t, "statement that was begun", now.Begun, was.Begun)
	wantEqual(t, "state before it", now.Before, was.Before)
	mustUp(t, m)
	wantIndexes(t, target, "i")
}

// The database still contains some of the objects that a reset drops. The reset has begun, but it
// is not done, so neither resolution is true.
func TestAnInterruptedResetIsNotResolved(t *testing.T) {
	t.Parallel()
	set, target := newSet(t), memdb.New()
	db := open(t, target)
	r, _, err := db.Guard(t.Context(), set.Name(), database.LockOptions{})
	noError(t, err)
	begun := database.Journal{Version: whimbrel.NilVersion, Name: "reset", Direction: database.Reset, Of: 5, Begun: "DROP …"}
	noError(t, errors.Join(r.Journal(t.Context(), &begun), r.Close(t.Context())))
	m := whimbrel.New(db, set, whimbrel.Options{})
	for _, how := range []whimbrel.Resolution{whimbrel.ResolveDone, whimbrel.ResolveRetry} {
		_, err := m.Resolve(t.Context(), whimbrel.NilVersion, how, "")
		e := wantError[*whimbrel.InterruptedError](t, err)
		if e.Missing {
			t.Errorf("%s: the error says that a file is missing", how)
		}
		if e.Resolvable() {
			t.Errorf("%s: the error says that it can be resolved", how)
		}
		wantErrorText(t, err, "a reset was interrupted before it dropped everything")
	}
	journal := wantInterrupted(t, m)
	wantEqual(t, "statement that was begun", journal.Begun, begun.Begun)
	wantEqual(t, "statements done", journal.Done, 0)
}

func TestResolveRefusesUnknownResolutions(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := stopped(t, set, 3, memdb.ErrKilled)
	m := migrator(t, target, set)
	for _, how := range []whimbrel.Resolution{"", "Done"} {
		_, err := m.Resolve(t.Context(), 1, how, "")
		wantErrorText(t, err, `use "done" or "retry"`)
	}
	_, err := m.Resolve(t.Context(), whimbrel.NilVersion, whimbrel.ResolveRetry, "")
	wantError[*whimbrel.NotInterruptedError](t, err)
	wantErrorText(t, err, "no script without a version")
	if strings.Contains(err.Error(), "-1") {
		t.Errorf("%v: the error names the version -1", err)
	}
	if wantInterrupted(t, m).Begun == "" {
		t.Error("the journal has lost the statement that was begun")
	}
}

// The journal names the reason why the last attempt stopped. A killed process leaves none, so the
// reason of the attempt before must be gone.
func TestAKilledAttemptLeavesNoReason(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	const executed = "CREATE TABLE t (x);\nINSERT INTO t VALUES (1);\n"
	m := migrator(t, target, alone(newSet(t, script{1, executed + "NONSENSE", "-"})))
	wantError[*whimbrel.MigrationError](t, tryUp(t, m))
	wantText(t, "the reason", wantInterrupted(t, m).Error, "NONSENSE")

	fixed := alone(newSet(t, script{1, executed + "INSERT INTO t VALUES (2)", "-"}))
	killed := whimbrel.New(killAt(t, target, 1, memdb.ErrKilled, inStatement), fixed, whimbrel.Options{})
	wantErrorIs(t, tryUp(t, killed), memdb.ErrKilled)
	journal := wantInterrupted(t, m)
	wantEqual(t, "statements done", journal.Done, 2)
	wantEqual(t, "reason", journal.Error, "")
}
