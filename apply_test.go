package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
	"github.com/whimbrel-db/whimbrel/migration"
)

func TestUpAppliesPendingMigrations(t *testing.T) {
	t.Parallel()
	atomicAndNot(t, func(t *testing.T, opts whimbrel.Options) {
		target := memdb.New()
		db := open(t, target)
		because := whimbrel.ApplyOptions{Reason: "a release"}
		r, err := whimbrel.New(db, newSet(t, plain(2)...), opts).Migrate(t.Context(), whimbrel.Latest(), because)
		noError(t, err)
		wantApplied(t, r, 1, 2)
		m := whimbrel.New(db, newSet(t, plain(3)...), opts)
		r, err = m.Migrate(t.Context(), whimbrel.Latest(), because)
		noError(t, err)
		wantApplied(t, r, 3)
		wantTables(t, target, "t1", "t2", "t3")
		for e, err := range m.History(t.Context(), database.HistoryQuery{}) {
			noError(t, err)
			wantEqual(t, "reason", e.Reason, "a release")
			wantEqual(t, "app", e.App, "test")
			wantEqual(t, "direction", e.Direction, database.Up)
			if e.ToolVersion == "" {
				t.Errorf("history entry %d has no tool version", e.ID)
			}
		}
	})
}

func TestNothingPendingIsOneQuery(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	mustUp(t, m)
	calls := recordCalls(db)
	mustUp(t, m)
	wantEqual(t, "calls of Up with nothing pending", *calls, []string{memdb.OpState})
	*calls = nil
	mustStatus(t, m)
	wantEqual(t, "calls of Status", *calls, []string{memdb.OpState})
}

func TestFailureLeavesNothingOfTheMigration(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		atomic, queue bool
		tables        []string
		applied       []int64
	}{
		{false, false, []string{"t1"}, []int64{1}},
		{false, true, []string{"t1"}, []int64{1}},
		{true, false, nil, nil},
		{true, true, nil, nil},
	} {
		t.Run(fmt.Sprintf("atomic=%v,queue=%v", tt.atomic, tt.queue), func(t *testing.T) {
			t.Parallel()
			target := memdb.New()
			target.Queue(tt.queue)
			scripts := append(plain(1), script{2, "CREATE TABLE t2 (x);\n\tNONSENSE;\nCREATE TABLE t3 (x)", "-"})
			m := whimbrel.New(open(t, target), newSet(t, scripts...), whimbrel.Options{Atomic: tt.atomic})
			r, err := m.Up(t.Context())
			me := wantError[*whimbrel.MigrationError](t, err)
			wantEqual(t, "failed version", me.Version, 2)
			se := wantError[*database.StatementError](t, err)
			wantEqual(t, "position", se.Pos.String(), "2_m2.up.sql:2:2")
			wantEqual(t, "index of the statement", se.Index, 1)
			wantEqual(t, "statement", se.Statement, "NONSENSE")
			wantEqual(t, "excerpt", se.Excerpt, "     1 | CREATE TABLE t2 (x);\n     2 | \tNONSENSE;\n       | \t^\n     3 | CREATE TABLE t3 (x)\n")
			wantTables(t, target, tt.tables...)
			wantApplied(t, r, tt.applied...)
			wantUnlocked(t, target)
		})
	}
}

func TestRollbackWithTheHistorysScripts(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	mustUp(t, whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{}))
	old := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{Atomic: true}) // the release before
	wantApplied(t, mustUp(t, old))
	p := mustPlan(t, old, whimbrel.DownTo(1))
	if !p.Atomic {
		t.Error("the plan is not atomic")
	}
	var steps []string
	for _, s := range p.Steps {
		steps = append(steps, fmt.Sprint(s.Version, " from ", s.From))
	}
	wantEqual(t, "steps", steps, []string{"3 from history", "2 from history"})
	wantRolledBack(t, mustMigrate(t, old, whimbrel.DownTo(1)), 3, 2)
	wantTables(t, target, "t1")
}

func TestTextsAboveTheLimitAreNotKept(t *testing.T) {
	t.Parallel()
	db := open(t, memdb.New())
	mustUp(t, whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{TextLimit: 10}))
	withoutScript := whimbrel.New(db, newSet(t), whimbrel.Options{})
	err := tryMigrate(t, withoutScript, whimbrel.DownTo(whimbrel.NilVersion))
	if irreversible := wantError[*whimbrel.IrreversibleError](t, err); !irreversible.TextNotKept {
		t.Errorf("%v: the error does not say that the text was not kept", err)
	}
	withScript := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{})
	mustMigrate(t, withScript, whimbrel.DownTo(whimbrel.NilVersion))
}

func TestRunExecutesOneByOne(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	scripts := append(plain(1), script{2, "INSERT INTO t1 VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t1 (x);\nCOPY t1 FROM stdin;\na\nb\n\\.\nINSERT INTO t1 VALUES (2);", "DROP INDEX CONCURRENTLY i"})
	var seen []string
	m := whimbrel.New(open(t, target), newSet(t, scripts...), whimbrel.Options{Observe: func(_ context.Context, e whimbrel.Event) {
		if st, ok := e.(whimbrel.StatementStarted); ok {
			seen = append(seen, fmt.Sprintf("%d/%d %.6s", st.Index+1, st.Of, st.SQL))
		}
	}})
	mustUp(t, m)
	wantRows(t, target, "t1", "1", "a", "b", "2")
	wantEqual(t, "statements", seen, []string{"1/4 INSERT", "2/4 CREATE", "3/4 COPY t", "4/4 INSERT"})
	mustMigrate(t, m, whimbrel.DownTo(1))
	wantIndexes(t, target)
}

func TestFailedRunSaysWhatRemainsApplied(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := newSet(t, script{1, "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);\nNONSENSE", "-"})
	err := tryUp(t, migrator(t, target, set))
	me := wantError[*whimbrel.MigrationError](t, err)
	wantEqual(t, "executed statements", me.Executed, 2)
	wantErrorText(t, err, "its first 2 statements remain applied")
	wantTables(t, target, "t")
}

func TestStatementsThatWereRolledBackAreNotCounted(t *testing.T) {
	t.Parallel()
	for failing, executed := range map[string]int{
		"CREATE TABLE t (x); CREATE INDEX CONCURRENTLY i ON t (x); BEGIN; INSERT INTO t VALUES (1); NONSENSE; COMMIT": 2,
		"CREATE TABLE t (x); CREATE INDEX CONCURRENTLY i ON t (x); BEGIN; INSERT INTO t VALUES (1); COMMIT; NONSENSE": 5,
	} {
		err := tryUp(t, migrator(t, memdb.New(), newSet(t, script{1, failing, "-"})))
		me := wantError[*whimbrel.MigrationError](t, err)
		wantEqual(t, "executed statements of "+failing, me.Executed, executed)
	}
}

func TestGoFunctions(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	fail := true
	set, err := migration.NewSet("shop", migration.Migration{Version: 1, Name: "fill", Up: memdb.Func("fill v1", func(ctx context.Context, tx memdb.Tx) error {
		if err := tx.Exec(ctx, "CREATE TABLE filled (x); INSERT INTO filled VALUES (1)"); err != nil {
			return err
		}
		if fail {
			return errors.New("not today")
		}
		return nil
	})})
	noError(t, err)
	m := migrator(t, target, set)
	wantErrorText(t, tryUp(t, m), "not today")
	wantTables(t, target)
	fail = false
	mustUp(t, m)
	wantTables(t, target, "filled")
}
