package whimbrel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/memdb"
)

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantEqual compares two values, except for settings. A nil slice equals an empty one.
func wantEqual[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreTypes(database.Settings{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// wantText expects a text to contain another one.
func wantText(t testing.TB, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s is %q, want a text with %q", what, got, want)
	}
}

// wantError returns the error of type E in err's chain.
func wantError[E error](t testing.TB, err error) E {
	t.Helper()
	var found E
	if !errors.As(err, &found) {
		t.Fatalf("got the error %v, want a %T", err, found)
	}
	return found
}

func wantErrorIs(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got the error %v, want %v", err, want)
	}
}

// wantErrorText expects an error whose text contains another text.
func wantErrorText(t testing.TB, err error, want string) {
	t.Helper()
	if err == nil {
		t.Fatalf("got no error, want one with %q", want)
	}
	wantText(t, "the error", err.Error(), want)
}

func wantApplied(t testing.TB, r *whimbrel.Result, want ...int64) {
	t.Helper()
	wantEqual(t, "applied versions", versions(r.Applied), want)
}

func wantRolledBack(t testing.TB, r *whimbrel.Result, want ...int64) {
	t.Helper()
	wantEqual(t, "versions rolled back", versions(r.RolledBack), want)
}

func wantRecorded(t testing.TB, r *whimbrel.Result, want ...int64) {
	t.Helper()
	wantEqual(t, "recorded versions", versions(r.Recorded), want)
}

func wantSkipped(t testing.TB, r *whimbrel.Result, want ...int64) {
	t.Helper()
	wantEqual(t, "skipped versions", r.Skipped, want)
}

// wantResumed expects the number of runs that were resumed.
func wantResumed(t testing.TB, r *whimbrel.Result, want int) {
	t.Helper()
	if len(r.Resumed) != want {
		t.Errorf("resumed %+v, want %d resumed runs", r.Resumed, want)
	}
}

// wantScripts expects the names of the scripts without a version that ran.
func wantScripts(t testing.TB, ran []whimbrel.StepResult, want ...string) {
	t.Helper()
	wantEqual(t, "scripts that ran", names(ran), want)
}

func wantPending(t testing.TB, s *whimbrel.Status, want ...int64) {
	t.Helper()
	wantEqual(t, "pending versions", s.PendingVersions(), want)
}

func wantInState(t testing.TB, s *whimbrel.Status, state whimbrel.MigrationState, want ...int64) {
	t.Helper()
	wantEqual(t, "versions in the state "+string(state), s.InState(state), want)
}

// wantNothingToDo expects an empty plan for the latest version.
func wantNothingToDo(t testing.TB, m *whimbrel.Migrator) {
	t.Helper()
	if p := mustPlan(t, m, whimbrel.Latest()); len(p.Steps) > 0 {
		t.Errorf("the plan has the steps %+v, want none", p.Steps)
	}
}

func wantVerified(t testing.TB, m *whimbrel.Migrator) {
	t.Helper()
	if err := m.Verify(t.Context()); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

// wantInterrupted returns the journal of the interrupted run.
func wantInterrupted(t testing.TB, m *whimbrel.Migrator) *database.Journal {
	t.Helper()
	s := mustStatus(t, m)
	if s.Interrupted == nil {
		t.Fatal("no run is interrupted")
	}
	return s.Interrupted
}

func wantNotInterrupted(t testing.TB, m *whimbrel.Migrator) {
	t.Helper()
	if s := mustStatus(t, m); s.Interrupted != nil {
		t.Errorf("a run is interrupted: %+v", s.Interrupted)
	}
}

// wantHistory expects history entries: "up 1". It ignores failed attempts.
func wantHistory(t testing.TB, db *memdb.Database, want ...string) {
	t.Helper()
	var got []string
	for e, err := range db.History(t.Context(), database.HistoryQuery{Set: "shop"}) {
		noError(t, err)
		if e.Direction == database.Failed {
			continue
		}
		got = append(got, fmt.Sprintf("%s %d", e.Direction, e.Version))
	}
	wantEqual(t, "history", got, want)
}

// wantListed expects the names that a target lists.
func wantListed(t testing.TB, what string, list func(context.Context) ([]string, error), want []string) {
	t.Helper()
	got, err := list(context.Background())
	noError(t, err)
	wantEqual(t, what, got, want)
}

func wantTables(t testing.TB, target *memdb.Target, want ...string) {
	t.Helper()
	wantListed(t, "tables", target.Tables, want)
}

func wantIndexes(t testing.TB, target *memdb.Target, want ...string) {
	t.Helper()
	wantListed(t, "indexes", target.Indexes, want)
}

// wantInvalid expects the indexes that are only half built.
func wantInvalid(t testing.TB, target *memdb.Target, want ...string) {
	t.Helper()
	wantListed(t, "invalid indexes", target.Invalid, want)
}

func wantRows(t testing.TB, target *memdb.Target, table string, want ...string) {
	t.Helper()
	got, err := target.Rows(context.Background(), table)
	noError(t, err)
	wantEqual(t, "rows of "+table, got, want)
}

func wantUnlocked(t testing.TB, target *memdb.Target) {
	t.Helper()
	if held := target.Locked(); len(held) > 0 {
		t.Errorf("locks are still held: %v", held)
	}
}
