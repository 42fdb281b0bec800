package whimbrel_test

import (
	"errors"
	"slices"
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
		db := open(t, stopped(t, set, n, memdb.ErrKilled))
		s, err := whimbrel.New(db, set, whimbrel.Options{}).Status(t.Context())
		if err != nil || s.Interrupted == nil || s.Interrupted.Done != n-1 || s.InterruptedAt != want {
			t.Errorf("got %+v, %q, %v; want %q", s.Interrupted, s.InterruptedAt, err, want)
		}
		// What was begun is known without the file, what was not isn't.
		if n == 2 {
			want = ""
		}
		s, err = whimbrel.New(db, newSet(t), whimbrel.Options{}).Status(t.Context())
		if err != nil || s.Interrupted == nil || s.InterruptedAt != want {
			t.Errorf("without the file: %q, %v; want %q", s.InterruptedAt, err, want)
		}
	}
}

func TestAFailureSaysWhatItLeavesOpen(t *testing.T) {
	t.Parallel()
	for text, done := range map[string]int{"CREATE TABLE t (x);\nNONSENSE": 1, "NONSENSE": -1} {
		set := alone(newSet(t, script{1, text, "-"}))
		_, err := whimbrel.New(open(t, memdb.New()), set, whimbrel.Options{}).Up(t.Context())
		var failed *whimbrel.MigrationError
		if !errors.As(err, &failed) || failed.Executed != max(done, 0) || (failed.Journal != nil) != (done > 0) {
			t.Fatalf("%q: got %+v, %v", text, failed, err)
		}
		if done > 0 && (failed.Journal.Done != done || failed.Journal.Of != 2 || !strings.Contains(failed.Journal.Error, "NONSENSE")) {
			t.Errorf("%q: got %+v", text, failed.Journal)
		}
	}
}

// Development data that was edited half-way must not be in the way of migrations for ever.
func TestResolveAScriptThatIsNotAtHand(t *testing.T) {
	t.Parallel()
	set := newSet(t)
	target := memdb.New()
	m := whimbrel.New(killAt(t, target, 3, memdb.ErrKilled, func(op string) bool { return op == memdb.OpRunExec }), set, whimbrel.Options{})
	if _, err := m.Seed(t.Context(), namedScripts("people", threeStatements), whimbrel.SeedOptions{}); err == nil {
		t.Fatal("it was not stopped")
	}
	m = whimbrel.New(open(t, target), set, whimbrel.Options{})
	edited := namedScripts("people", "DELETE FROM t;\nDROP TABLE t;\n"+threeStatements)
	_, err := m.Seed(t.Context(), edited, whimbrel.SeedOptions{})
	if e := interrupted(t, err); !e.Edited {
		t.Errorf("got %v", e)
	}
	// The statement that was begun is asked about first, then those before it.
	for _, want := range []int{3, 1} {
		got, err := m.Resolve(t.Context(), whimbrel.NilVersion, whimbrel.ResolveRetry, "")
		if err != nil || got.Name != "people" || got.Statement != want {
			t.Fatalf("got %+v, %v; want statement %d", got, err, want)
		}
	}
	var none *whimbrel.NotInterruptedError
	if _, err := m.Resolve(t.Context(), whimbrel.NilVersion, whimbrel.ResolveRetry, ""); !errors.As(err, &none) || none.Interrupted != nil {
		t.Errorf("got %v", err)
	}
	if r, err := m.Seed(t.Context(), edited, whimbrel.SeedOptions{}); err != nil || len(r.Seeded) != 1 || len(r.Resumed) > 0 {
		t.Errorf("got %+v, %v", r, err)
	}
	if rows, _ := target.Rows(t.Context(), "t"); !slices.Equal(rows, []string{"1"}) {
		t.Errorf("rows %v", rows)
	}
}

func TestNothingIsInQuestion(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := stopped(t, set, 2, memdb.ErrKilled)
	var none *whimbrel.NotInterruptedError
	_, err := whimbrel.New(open(t, target), set, whimbrel.Options{}).Resolve(t.Context(), 1, whimbrel.ResolveDone, "")
	if !errors.As(err, &none) || none.Interrupted == nil || none.Interrupted.Version != 1 || !strings.Contains(err.Error(), "interrupted at statement 2 of 3") {
		t.Errorf("got %v", err)
	}
}

// The database still has what a reset was to drop: nobody can say that it is done, or that it never began.
func TestAResetThatWasCutOffIsNotResolved(t *testing.T) {
	t.Parallel()
	set, target := newSet(t), memdb.New()
	db := open(t, target)
	r, _, err := db.Guard(t.Context(), set.Name(), database.LockOptions{})
	if err != nil {
		t.Fatal(err)
	}
	begun := database.Journal{Version: whimbrel.NilVersion, Name: "reset", Direction: database.Reset, Of: 5, Begun: "DROP …"}
	if err := errors.Join(r.Journal(t.Context(), &begun), r.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, how := range []whimbrel.Resolution{whimbrel.ResolveDone, whimbrel.ResolveRetry} {
		_, err := whimbrel.New(db, set, whimbrel.Options{}).Resolve(t.Context(), whimbrel.NilVersion, how, "")
		if e := interrupted(t, err); e.Missing || e.Resolvable() || !strings.Contains(err.Error(), "a reset was interrupted before it dropped everything") {
			t.Errorf("%s: got %v", how, err)
		}
	}
	st, err := db.State(t.Context(), set.Name())
	if err != nil || st.Interrupted == nil || st.Interrupted.Begun != begun.Begun || st.Interrupted.Done != 0 {
		t.Errorf("got %+v, %v", st.Interrupted, err)
	}
}

func TestResolveTakesNothingElseForRetry(t *testing.T) {
	t.Parallel()
	set := newSet(t, script{1, threeStatements, "-"})
	target := stopped(t, set, 3, memdb.ErrKilled)
	db := open(t, target)
	for _, how := range []whimbrel.Resolution{"", "Done"} {
		_, err := whimbrel.New(db, set, whimbrel.Options{}).Resolve(t.Context(), 1, how, "")
		if err == nil || !strings.Contains(err.Error(), `use "done" or "retry"`) {
			t.Errorf("%q: got %v", how, err)
		}
	}
	var none *whimbrel.NotInterruptedError
	_, err := whimbrel.New(db, set, whimbrel.Options{}).Resolve(t.Context(), whimbrel.NilVersion, whimbrel.ResolveRetry, "")
	if !errors.As(err, &none) || strings.Contains(err.Error(), "-1") || !strings.Contains(err.Error(), "no script without a version") {
		t.Errorf("got %v", err)
	}
	if st, err := db.State(t.Context(), set.Name()); err != nil || st.Interrupted == nil || st.Interrupted.Begun == "" {
		t.Errorf("got %+v, %v", st.Interrupted, err)
	}
}

// What stopped the first attempt is not why the second one did, of which nobody could say anything any more.
func TestAnAttemptThatIsKilledLeavesNoReasonOfAnother(t *testing.T) {
	t.Parallel()
	target := memdb.New()
	db := open(t, target)
	const stand = "CREATE TABLE t (x);\nINSERT INTO t VALUES (1);\n"
	_, err := whimbrel.New(db, alone(newSet(t, script{1, stand + "NONSENSE", "-"})), whimbrel.Options{}).Up(t.Context())
	if err == nil {
		t.Fatal("it was not stopped")
	}
	st, err := db.State(t.Context(), "shop")
	if err != nil || st.Interrupted == nil || !strings.Contains(st.Interrupted.Error, "NONSENSE") {
		t.Fatalf("got %+v, %v", st, err)
	}
	killed := killAt(t, target, 1, memdb.ErrKilled, func(op string) bool { return op == memdb.OpRunExec })
	_, err = whimbrel.New(killed, alone(newSet(t, script{1, stand + "INSERT INTO t VALUES (2)", "-"})), whimbrel.Options{}).Up(t.Context())
	if err == nil {
		t.Fatal("it was not killed")
	}
	st, err = db.State(t.Context(), "shop")
	if err != nil || st.Interrupted == nil || st.Interrupted.Done != 2 || st.Interrupted.Error != "" {
		t.Errorf("got %+v, %v", st.Interrupted, err)
	}
}
