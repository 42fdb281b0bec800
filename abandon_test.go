package whimbrel_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

const oneIndex = "SET mode = 'on';\nCREATE INDEX CONCURRENTLY i ON t (x)"

// indexBuild returns a set whose second migration builds an index, and a target in which a process
// was killed in the middle of that.
func indexBuild(t *testing.T) (*migration.Set, *memdb.Target) {
	t.Helper()
	set := newSet(t, script{1, "CREATE TABLE t (x)", "DROP TABLE t"}, script{2, oneIndex, "DROP INDEX CONCURRENTLY i"})
	target := stopped(t, set, 2, memdb.ErrHalfway)
	wantInvalid(t, target, "i")
	return set, target
}

func abandon(t *testing.T, m *whimbrel.Migrator, version int64, opts whimbrel.AbandonOptions) *whimbrel.Abandoned {
	t.Helper()
	done, err := m.Abandon(t.Context(), version, opts)
	noError(t, err)
	return done
}

// wantRemaining expects that a run can't be abandoned because of the statements with these numbers
// and texts.
func wantRemaining(t *testing.T, m *whimbrel.Migrator, version int64, opts whimbrel.AbandonOptions, want ...string) *whimbrel.PartlyAppliedError {
	t.Helper()
	before := wantInterrupted(t, m)
	_, err := m.Abandon(t.Context(), version, opts)
	e := wantError[*whimbrel.PartlyAppliedError](t, err)
	var got []string
	for _, s := range e.Statements {
		got = append(got, fmt.Sprintf("%d: %s", s.Number, s.SQL))
	}
	wantEqual(t, "statements that remain", got, want)
	wantEqual(t, "journal after a refused Abandon", *wantInterrupted(t, m), *before)
	return e
}

func TestAbandonRemovesWhatIsHalfBuilt(t *testing.T) {
	t.Parallel()
	set, target := indexBuild(t)
	db := open(t, target)
	m := whimbrel.New(db, set, whimbrel.Options{})
	dry := abandon(t, m, 2, whimbrel.AbandonOptions{DryRun: true})
	wantInvalid(t, target, "i")
	wantInterrupted(t, m)

	done := abandon(t, m, 2, whimbrel.AbandonOptions{Reason: "too slow"})
	wantEqual(t, "result", *done, whimbrel.Abandoned{
		Set: "shop", Version: 2, Name: "m2", Direction: database.Up, Statement: 2, Of: 2,
		Outcome: "it left an invalid index", Removed: []string{"DROP INDEX CONCURRENTLY IF EXISTS i"},
	})
	done.DryRun = true
	wantEqual(t, "result of a dry run", *dry, *done)
	wantIndexes(t, target)
	wantInvalid(t, target)
	wantUnlocked(t, target)
	wantPending(t, mustStatus(t, m), 2)
	wantNotInterrupted(t, m)
	wantHistory(t, db, "up 1", "abandon 2")
	wantEqual(t, "failed attempts in the history", len(failures(t, m)), 1)
	for e, err := range m.History(t.Context(), database.HistoryQuery{Newest: true, Limit: 1}) {
		noError(t, err)
		wantEqual(t, "the entry", string(e.Tried)+" "+e.Reason, "up too slow")
		wantEqual(t, "checksum", e.Checksum, set.All()[1].Up.Checksum)
	}

	r := mustUp(t, m)
	wantResumed(t, r, 0)
	wantApplied(t, r, 2)
	wantIndexes(t, target, "i")
}

func TestAbandonRefusesARunOfWhichStatementsRemain(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := stopped(t, set, 3, memdb.ErrHalfway)
	m := migrator(t, target, set)
	e := wantRemaining(t, m, 1, whimbrel.AbandonOptions{}, "1: CREATE TABLE t (x)", "2: INSERT INTO t VALUES (1)")
	wantErrorText(t, e, "2 of its 3 statements remain applied")
	wantInvalid(t, target, "i")

	noFile := migrator(t, target, newSet(t))
	wantRemaining(t, noFile, 1, whimbrel.AbandonOptions{}, "1: ", "2: ")
	edited := migrator(t, target, newSet(t, script{1, "CREATE TABLE other (x);\nSELECT 1;\nCREATE INDEX CONCURRENTLY i ON t (x)", "-"}))
	wantRemaining(t, edited, 1, whimbrel.AbandonOptions{}, "1: ", "2: ")

	undo := newSet(t, script{1, "DROP TABLE t", "-"})
	tx := begin(t, target, "other")
	noError(t, tx.Exec(t.Context(), undo.All()[0].Up))
	_, err := tx.Commit(t.Context())
	noError(t, err)
	abandon(t, m, 1, whimbrel.AbandonOptions{Undone: true})
	wantPending(t, mustStatus(t, m), 1)
	wantResumed(t, mustUp(t, m), 0)
	wantIndexes(t, target, "i")
	wantRows(t, target, "t", "1")
}

// The statement at which the run was interrupted took effect: only its mark in the journal is
// missing. To say that it is undone would be wrong.
func TestAbandonRefusesAStatementThatTookEffect(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, "CREATE TABLE t (x)", "-"}, script{2, "CREATE INDEX CONCURRENTLY i ON t (x)", "-"})
	target := stopped(t, set, 1, memdb.ErrDone)
	m := migrator(t, target, set)
	e := wantRemaining(t, m, 2, whimbrel.AbandonOptions{}, "1: CREATE INDEX CONCURRENTLY i ON t (x)")
	wantText(t, "the outcome", e.Statements[0].Outcome, "index t.i added")
	wantErrorText(t, e, "statement 1 of 1: the schema has changed")
	e = wantRemaining(t, m, 2, whimbrel.AbandonOptions{Undone: true}, "1: CREATE INDEX CONCURRENTLY i ON t (x)")
	wantErrorText(t, e, "the database still has the effect of statement 1 of 1")
	wantIndexes(t, target, "i")
}

func TestAbandonOfAnUnclearOutcome(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := unclear(t, set)
	m := migrator(t, target, set)
	_, err := m.Abandon(t.Context(), 1, whimbrel.AbandonOptions{})
	e := wantError[*whimbrel.InterruptedError](t, err)
	wantEqual(t, "statement", e.SQL, "CREATE INDEX CONCURRENTLY i ON t (x)")
	wantEqual(t, "changes", fmt.Sprint(e.Changes), "[table elsewhere added]")
	abandon(t, m, 1, whimbrel.AbandonOptions{Undone: true})
	wantNotInterrupted(t, m)
}

// A migration whose rollback is abandoned remains applied.
func TestAbandonARollback(t *testing.T) {
	t.Parallel()
	set, target := indexBuild(t)
	mustUp(t, migrator(t, target, set))
	killed := whimbrel.New(killAt(t, target, 1, memdb.ErrKilled, inStatement), set, whimbrel.Options{})
	wantErrorIs(t, tryMigrate(t, killed, whimbrel.By(-1)), memdb.ErrKilled)
	m := migrator(t, target, set)
	done := abandon(t, m, 2, whimbrel.AbandonOptions{})
	wantEqual(t, "direction", done.Direction, database.Down)
	wantEqual(t, "statements to remove something", len(done.Removed), 0)
	wantPending(t, mustStatus(t, m))
	wantNotInterrupted(t, m)
	wantNothingToDo(t, m)
	wantIndexes(t, target, "i")
}

func TestAbandonAScriptWithoutAVersion(t *testing.T) {
	t.Parallel()
	const text = "CREATE INDEX CONCURRENTLY i ON t1 (x)"
	set := repeating(t, 1, "index", text)
	target := stopped(t, set, 1, memdb.ErrHalfway)
	m := migrator(t, target, set)
	done := abandon(t, m, whimbrel.NilVersion, whimbrel.AbandonOptions{})
	wantEqual(t, "script", done.Name, "index")
	wantInvalid(t, target)
	r := mustUp(t, m)
	wantScripts(t, r.Repeated, "index")
	wantResumed(t, r, 0)

	// Development data is not part of the set.
	target = memdb.New()
	m = whimbrel.New(killAt(t, target, 3, memdb.ErrHalfway, inStatement), newSet(t), whimbrel.Options{})
	_, err := m.Seed(t.Context(), namedScripts("people", threeStatements), whimbrel.SeedOptions{})
	wantErrorIs(t, err, memdb.ErrKilled)
	m = migrator(t, target, newSet(t))
	wantRemaining(t, m, whimbrel.NilVersion, whimbrel.AbandonOptions{}, "1: ", "2: ")
	abandon(t, m, whimbrel.NilVersion, whimbrel.AbandonOptions{Undone: true})
	wantNotInterrupted(t, m)
}

func TestAbandonRefusesWhatIsNotInterrupted(t *testing.T) {
	t.Parallel()
	set, target := indexBuild(t)
	m := migrator(t, target, set)
	_, err := m.Abandon(t.Context(), 1, whimbrel.AbandonOptions{})
	wantEqual(t, "the interrupted version", wantError[*whimbrel.NotInterruptedError](t, err).Interrupted.Version, 2)
	wantErrorText(t, err, "nothing to abandon: version 1 of set \"shop\" is not interrupted; migration 2 m2 is")
	abandon(t, m, 2, whimbrel.AbandonOptions{})
	for _, version := range []int64{2, whimbrel.NilVersion} {
		_, err = m.Abandon(t.Context(), version, whimbrel.AbandonOptions{})
		wantEqual(t, "the interrupted run", wantError[*whimbrel.NotInterruptedError](t, err).Interrupted, nil)
		wantErrorText(t, err, "nothing to abandon")
	}

	r, _, err := open(t, target).Guard(t.Context(), set.Name(), database.LockOptions{})
	noError(t, err)
	reset := database.Journal{Version: whimbrel.NilVersion, Name: "reset", Direction: database.Reset, Of: 5, Begun: "DROP …"}
	noError(t, errors.Join(r.Journal(t.Context(), &reset), r.Close(t.Context())))
	_, err = m.Abandon(t.Context(), whimbrel.NilVersion, whimbrel.AbandonOptions{Undone: true})
	wantError[*whimbrel.InterruptedError](t, err)
	wantErrorText(t, err, "a reset was interrupted before it dropped everything")
}

// A process that is still at work must not lose its run.
func TestAbandonWaitsForTheLock(t *testing.T) {
	t.Parallel()
	set, target := indexBuild(t)
	r, _, err := open(t, target).Guard(t.Context(), set.Name(), database.LockOptions{})
	noError(t, err)
	m := whimbrel.New(open(t, target), set, whimbrel.Options{LockTimeout: whimbrel.TryOnce})
	for _, dry := range []bool{true, false} {
		_, err = m.Abandon(t.Context(), 2, whimbrel.AbandonOptions{DryRun: dry})
		wantErrorIs(t, err, database.ErrLocked)
	}
	noError(t, r.Close(t.Context()))
	abandon(t, m, 2, whimbrel.AbandonOptions{})
}

func TestAbandonHonoursTheSettings(t *testing.T) {
	t.Parallel()
	set, target := indexBuild(t)
	db := open(t, target)
	m := whimbrel.New(db, set, whimbrel.Options{})
	setting(t, db, database.Protected, "true")
	_, err := m.Abandon(t.Context(), 2, whimbrel.AbandonOptions{Overrule: "another"})
	e := wantError[*whimbrel.ProtectedError](t, err)
	wantErrorText(t, err, "can't abandon a migration")
	abandon(t, m, 2, whimbrel.AbandonOptions{DryRun: true})
	wantInvalid(t, target, "i")

	setting(t, db, database.Frozen, "true")
	_, err = m.Abandon(t.Context(), 2, whimbrel.AbandonOptions{Overrule: e.Database})
	wantError[*whimbrel.FrozenError](t, err)
	wantInvalid(t, target, "i")
	_, err = m.Thaw(t.Context(), "")
	noError(t, err)
	abandon(t, m, 2, whimbrel.AbandonOptions{Overrule: e.Database})
	wantInvalid(t, target)
}

// Wherever a process is killed while it abandons a run, the run can be abandoned again.
func TestAbandonCanBeKilled(t *testing.T) {
	t.Parallel()
	cuts := 0
	for n := 1; ; n++ {
		set, target := indexBuild(t)
		killed := whimbrel.New(killAt(t, target, n, memdb.ErrKilled, anyCall), set, whimbrel.Options{})
		_, err := killed.Abandon(t.Context(), 2, whimbrel.AbandonOptions{})
		m := migrator(t, target, set)
		if mustStatus(t, m).Interrupted != nil {
			abandon(t, m, 2, whimbrel.AbandonOptions{})
		}
		wantInvalid(t, target)
		wantResumed(t, mustUp(t, m), 0)
		wantIndexes(t, target, "i")
		if err == nil {
			break
		}
		cuts++
	}
	if cuts < 5 {
		t.Errorf("only %d cuts", cuts)
	}
}

func TestAbandonDryRunWhileFrozen(t *testing.T) {
	t.Parallel()
	set, target := indexBuild(t)
	db := open(t, target)
	m := whimbrel.New(db, set, whimbrel.Options{})
	setting(t, db, database.Frozen, "true")
	dry := abandon(t, m, 2, whimbrel.AbandonOptions{DryRun: true})
	if !dry.Settings.Bool(database.Frozen) {
		t.Error("the result does not say that the database is frozen")
	}
	wantInvalid(t, target, "i")
	if _, err := m.Abandon(t.Context(), 2, whimbrel.AbandonOptions{}); !errors.As(err, new(*whimbrel.FrozenError)) {
		t.Errorf("Abandon of a frozen database: got %v", err)
	}
	wantInterrupted(t, m)
}
