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
)

func TestUpAppliesWhatIsPending(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic=%v", atomic), func(t *testing.T) {
			t.Parallel()
			target := memdb.New()
			db := open(t, target)
			opts, note := whimbrel.Options{Atomic: atomic}, whimbrel.ApplyOptions{Note: "a release"}
			r, err := whimbrel.New(db, newSet(t, plain(2)...), opts).Migrate(t.Context(), whimbrel.Latest(), note)
			if err != nil || !slices.Equal(versions(r.Applied), []int64{1, 2}) {
				t.Fatalf("got %+v, %v", r, err)
			}
			m := whimbrel.New(db, newSet(t, plain(3)...), opts)
			r, err = m.Migrate(t.Context(), whimbrel.Latest(), note)
			if err != nil || !slices.Equal(versions(r.Applied), []int64{3}) {
				t.Fatalf("got %+v, %v", r, err)
			}
			wantTables(t, target, "t1", "t2", "t3")
			for e, err := range m.History(t.Context()) {
				if err != nil || e.Note != "a release" || e.App != "test" || e.Direction != database.Up || e.ToolVersion == "" {
					t.Errorf("the history has %+v, %v", e, err)
				}
			}
		})
	}
}

func TestNothingPendingIsOneQuestion(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	m := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	var calls []string
	db.SetHook(func(op string) error {
		calls = append(calls, op)
		return nil
	})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(calls, []string{memdb.OpState}) {
		t.Errorf("Up with nothing pending called %v, want State alone", calls)
	}
	calls = nil
	if _, err := m.Status(t.Context()); err != nil || !slices.Equal(calls, []string{memdb.OpState}) {
		t.Errorf("Status called %v (%v), want State alone", calls, err)
	}
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
			var me *whimbrel.MigrationError
			var se *database.StatementError
			if !errors.As(err, &me) || !errors.As(err, &se) {
				t.Fatalf("got %v, want a *MigrationError of a *StatementError", err)
			}
			if me.Version != 2 || se.Pos.String() != "2_m2.up.sql:2:2" || se.Index != 1 || se.Statement != "NONSENSE" {
				t.Errorf("the error is of version %d at %s, statement %d %q", me.Version, se.Pos, se.Index, se.Statement)
			}
			if want := "     1 | CREATE TABLE t2 (x);\n     2 | \tNONSENSE;\n       | \t^\n     3 | CREATE TABLE t3 (x)\n"; se.Excerpt != want {
				t.Errorf("excerpt\n%swant\n%s", se.Excerpt, want)
			}
			wantTables(t, target, tt.tables...)
			if !slices.Equal(versions(r.Applied), tt.applied) {
				t.Errorf("the result says that %v were applied, want %v", versions(r.Applied), tt.applied)
			}
			if len(target.Locked()) > 0 {
				t.Error("the lock is still held")
			}
		})
	}
}

func TestRollbackWithTheHistorysScripts(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(3)...), whimbrel.Options{}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{Atomic: true}) // the release before
	if r, err := old.Up(t.Context()); err != nil || len(r.Applied) > 0 {
		t.Fatalf("a newer schema stopped an older build: %+v, %v", r, err)
	}
	p, err := old.Plan(t.Context(), whimbrel.DownTo(1))
	if err != nil {
		t.Fatal(err)
	}
	if s := p.Steps; !p.Atomic || len(s) != 2 || s[0].Version != 3 || s[0].From != whimbrel.FromHistory {
		t.Errorf("the plan is %+v", p)
	}
	r, err := old.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{})
	if err != nil || !slices.Equal(versions(r.RolledBack), []int64{3, 2}) {
		t.Fatalf("got %+v, %v", r, err)
	}
	wantTables(t, target, "t1")
}

func TestTextsAboveTheLimitAreNotKept(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	if _, err := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{TextLimit: 10}).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := whimbrel.New(db, newSet(t), whimbrel.Options{}).Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{})
	var irreversible *whimbrel.IrreversibleError
	if !errors.As(err, &irreversible) || !irreversible.TextNotKept {
		t.Errorf("got %v", err)
	}
	if _, err := whimbrel.New(db, newSet(t, plain(1)...), whimbrel.Options{}).Migrate(t.Context(), whimbrel.DownTo(whimbrel.NilVersion), whimbrel.ApplyOptions{}); err != nil {
		t.Errorf("a build that has the script: %v", err)
	}
}

func TestRunExecutesOneByOne(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	scripts := append(plain(1), script{2, "INSERT INTO t1 VALUES (1);\nCREATE INDEX CONCURRENTLY i ON t1 (x);\nCOPY t1 FROM stdin;\na\nb\n\\.\nINSERT INTO t1 VALUES (2);", "DROP INDEX CONCURRENTLY i"})
	var seen []string
	m := whimbrel.New(open(t, target), newSet(t, scripts...), whimbrel.Options{Observe: func(e whimbrel.Event) {
		if st, ok := e.(whimbrel.StatementStarted); ok {
			seen = append(seen, fmt.Sprintf("%d/%d %.6s", st.Index+1, st.Of, st.SQL))
		}
	}})
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	rows, err := target.Rows(t.Context(), "t1")
	if err != nil || !slices.Equal(rows, []string{"1", "a", "b", "2"}) {
		t.Errorf("rows %v, %v", rows, err)
	}
	if want := []string{"1/4 INSERT", "2/4 CREATE", "3/4 COPY t", "4/4 INSERT"}; !slices.Equal(seen, want) {
		t.Errorf("saw %v, want %v", seen, want)
	}
	if _, err := m.Migrate(t.Context(), whimbrel.DownTo(1), whimbrel.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if idx, _ := target.Indexes(t.Context()); len(idx) > 0 {
		t.Errorf("indexes %v are left", idx)
	}
}

func TestRunThatFailsSaysWhatStands(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	set := newSet(t, script{1, "CREATE TABLE t (x);\nCREATE INDEX CONCURRENTLY i ON t (x);\nNONSENSE", "-"})
	_, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Up(t.Context())
	var me *whimbrel.MigrationError
	if !errors.As(err, &me) || me.Executed != 2 || !strings.HasSuffix(err.Error(), "its first 2 statements remain applied") {
		t.Errorf("got %v", err)
	}
	wantTables(t, target, "t")
}

func TestWhatARunsOwnTransactionTakesBackDoesNotStand(t *testing.T) {
	t.Parallel()
	for failing, standing := range map[string]int{
		"CREATE TABLE t (x); CREATE INDEX CONCURRENTLY i ON t (x); BEGIN; INSERT INTO t VALUES (1); NONSENSE; COMMIT": 2,
		"CREATE TABLE t (x); CREATE INDEX CONCURRENTLY i ON t (x); BEGIN; INSERT INTO t VALUES (1); COMMIT; NONSENSE": 5,
	} {
		target := memdb.New()
		_, err := whimbrel.New(open(t, target), newSet(t, script{1, failing, "-"}), whimbrel.Options{}).Up(t.Context())
		var me *whimbrel.MigrationError
		if !errors.As(err, &me) || me.Executed != standing {
			t.Errorf("%s: %v; want %d standing", failing, err, standing)
		}
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
	if err != nil {
		t.Fatal(err)
	}
	m := whimbrel.New(open(t, target), set, whimbrel.Options{})
	if _, err := m.Up(t.Context()); err == nil || !strings.Contains(err.Error(), "not today") {
		t.Errorf("got %v", err)
	}
	wantTables(t, target)
	fail = false
	if _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantTables(t, target, "filled")
}
