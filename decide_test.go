package whimbrel

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// setOf returns a set with an up and a down script for each version. A negative number means a
// version without a down script.
func setOf(t testing.TB, versions ...int64) *migration.Set {
	t.Helper()
	var ms []migration.Migration
	for _, v := range versions {
		m := migration.Migration{Version: max(v, -v), Name: fmt.Sprintf("m%d", max(v, -v))}
		m.Up = migration.Text(m.Name+".up.sql", "CREATE TABLE "+m.Name+" ()")
		if v >= 0 {
			m.Down = migration.Text(m.Name+".down.sql", "DROP TABLE "+m.Name)
		}
		ms = append(ms, m)
	}
	set, err := migration.NewSet("s", ms...)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// appliedOf returns the applied set of a database that has applied versions of setOf. Their down
// scripts are in the history.
func appliedOf(versions ...int64) *database.AppliedSet {
	applied := database.NewAppliedSet()
	for i, v := range versions {
		name := fmt.Sprintf("m%d", max(v, -v))
		a := database.AppliedMigration{Version: max(v, -v), Name: name, EntryID: int64(i + 1), HasDownText: v >= 0, Checksum: migration.Sum("CREATE TABLE " + name + " ()")}
		if v >= 0 {
			a.DownChecksum = migration.Sum("DROP TABLE " + name)
		}
		applied.Append(a)
	}
	return applied
}

func stateOf(applied *database.AppliedSet) *database.State { return &database.State{Applied: applied} }

func moveWords(moves []move) string {
	var words []string
	for _, m := range moves {
		sign := map[database.Direction]string{database.Up: "+", database.Down: "-", database.Mark: "=", database.Baseline: "*"}[m.direction]
		w := sign + fmt.Sprint(m.version)
		if m.version == NilVersion {
			w = m.name
		}
		if m.from == FromHistory {
			w += "h"
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}

// A plan is a pure function of the set, the applied set, and the goal. In the wanted steps + is up,
// - is down, and h is a down script from the history.
func TestDecide(t *testing.T) {
	type versions = []int64
	tests := []struct {
		name         string
		set, applied versions
		goal         Goal
		outOfOrder   bool
		want         string // steps, or the error's type
	}{
		{name: "nothing at all"},
		{name: "everything is pending", set: versions{1, 2, 3}, want: "+1 +2 +3"},
		{name: "the rest is pending", set: versions{1, 2, 3}, applied: versions{1}, want: "+2 +3"},
		{name: "nothing is pending", set: versions{1, 2}, applied: versions{1, 2}},
		{name: "a newer version in the database does not stop an older build", set: versions{1, 2}, applied: versions{1, 2, 9}},
		{name: "version 0 is a version", set: versions{0, 1}, want: "+0 +1"},

		{name: "a late migration is refused", set: versions{1, 2, 3}, applied: versions{1, 3}, want: "*whimbrel.OutOfOrderError"},
		{name: "a late migration is applied when that is allowed", set: versions{1, 2, 3}, applied: versions{1, 3}, outOfOrder: true, want: "+2"},
		{name: "pending below an unknown newer version is late too", set: versions{1, 2}, applied: versions{1, 9}, want: "*whimbrel.OutOfOrderError"},

		{name: "up to", set: versions{1, 2, 3}, goal: UpTo(2), want: "+1 +2"},
		{name: "up to does not go down", set: versions{1, 2, 3}, applied: versions{1, 2, 3}, goal: UpTo(2)},
		{name: "up to a missing version", set: versions{1, 3}, goal: UpTo(2), want: "*whimbrel.UnknownVersionError"},
		{name: "up to nothing is nothing", set: versions{1}, goal: UpTo(NilVersion)},

		{name: "to goes up", set: versions{1, 2, 3}, applied: versions{1}, goal: Version(2), want: "+2"},
		{name: "to goes down", set: versions{1, 2, 3}, applied: versions{1, 2, 3}, goal: Version(1), want: "-3 -2"},
		{name: "to goes down and up", set: versions{1, 2, 3}, applied: versions{1, 3}, goal: Version(2), want: "-3 +2"},
		{name: "to nothing", set: versions{1, 2}, applied: versions{1, 2}, goal: Version(NilVersion), want: "-2 -1"},
		{name: "to a version that only the database has", set: versions{1}, applied: versions{1, 5, 7}, goal: Version(5), want: "-7h"},
		{name: "to a missing version", set: versions{1}, applied: versions{1}, goal: Version(4), want: "*whimbrel.UnknownVersionError"},

		{name: "down to", set: versions{1, 2, 3}, applied: versions{1, 2, 3}, goal: DownTo(1), want: "-3 -2"},
		{name: "down to nothing", set: versions{1, 2}, applied: versions{1, 2}, goal: DownTo(NilVersion), want: "-2 -1"},
		{name: "down to below the first", set: versions{1, 2}, applied: versions{1, 2}, goal: DownTo(0), want: "-2 -1"},
		{name: "down to version 0 where it is one", set: versions{0, 1}, applied: versions{0, 1}, goal: DownTo(0), want: "-1"},
		{name: "down to a missing version", set: versions{1, 3}, applied: versions{1, 3}, goal: DownTo(2), want: "*whimbrel.UnknownVersionError"},
		{name: "to below the first", set: versions{1, 2}, applied: versions{1, 2}, goal: Version(0), want: "-2 -1"},
		{name: "to version 0 where it is one", set: versions{0, 1}, applied: versions{0, 1}, goal: Version(0), want: "-1"},
		{name: "up to below the first", set: versions{1, 2}, goal: UpTo(0), want: "*whimbrel.UnknownVersionError"},
		{name: "down to applies nothing", set: versions{1, 2, 3}, applied: versions{1, 3}, goal: DownTo(2), want: "-3"},
		{name: "down scripts of unknown versions are in the history", set: versions{1}, applied: versions{1, 2, 3}, goal: DownTo(1), want: "-3h -2h"},
		{name: "across one without a down script", set: versions{1, -2, 3}, applied: versions{1, -2, 3}, goal: DownTo(1), want: "*whimbrel.IrreversibleError"},
		{name: "down to the one without a down script", set: versions{1, -2, 3}, applied: versions{1, -2, 3}, goal: DownTo(2), want: "-3"},
		{name: "a down script that the set lost is in the history", set: versions{1, -2}, applied: versions{1, 2}, goal: DownTo(1), want: "-2h"},

		{name: "one step up", set: versions{1, 2, 3}, goal: By(1), want: "+1"},
		{name: "more steps up than there are", set: versions{1, 2}, applied: versions{1}, goal: By(5), want: "+2"},
		{name: "two steps down", set: versions{1, 2, 3}, applied: versions{1, 2, 3}, goal: By(-2), want: "-3 -2"},
		{name: "more steps down than are applied", set: versions{1, 2}, applied: versions{1}, goal: By(-2), want: "*whimbrel.TooFewAppliedError"},
		{name: "no steps", set: versions{1, 2}, goal: By(0)},

		{name: "redo", set: versions{1, 2, 3}, applied: versions{1, 2}, goal: Redo(1), want: "-2 +2"},
		{name: "redo two", set: versions{1, 2, 3}, applied: versions{1, 2, 3}, goal: Redo(2), want: "-3 -2 +2 +3"},
		{name: "redo of a version that the set lacks", set: versions{1}, applied: versions{1, 2}, goal: Redo(1), want: "*whimbrel.UnknownVersionError"},
		{name: "redo more than are applied", set: versions{1}, applied: versions{1}, goal: Redo(2), want: "*whimbrel.TooFewAppliedError"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantDecision(t, setOf(t, tt.set...), stateOf(appliedOf(tt.applied...)), tt.goal, tt.outOfOrder, tt.want)
		})
	}
}

// wantDecision expects the steps of a plan in words, or the type of an error.
func wantDecision(t testing.TB, set *migration.Set, st *database.State, goal Goal, outOfOrder bool, want string) {
	t.Helper()
	steps, err := decide(set, st, goal, outOfOrder)
	got := moveWords(steps)
	if err != nil {
		got = fmt.Sprintf("%T", err)
	}
	if got != want {
		t.Errorf("got %q (%v), want %q", got, err, want)
	}
}

// wantDecideError expects an error with the whole of its text, and returns it.
func wantDecideError(t testing.TB, set *migration.Set, applied *database.AppliedSet, goal Goal, want string) error {
	t.Helper()
	_, err := decide(set, stateOf(applied), goal, false)
	if got := fmt.Sprint(err); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	return err
}

// An edited migration is rolled back with the down script that the history has stored.
func TestDecideTakesTheStoredDownOfAnEditedMigration(t *testing.T) {
	t.Parallel()
	applied := appliedOf(1)
	edited, _ := applied.Get(1)
	edited.Checksum = migration.Sum("something else")
	applied.Put(edited)
	wantDecision(t, setOf(t, 1), stateOf(applied), Redo(1), false, "-1h +1")
}

func TestDecideErrorsNameTheVersions(t *testing.T) {
	t.Parallel()
	wantDecideError(t, setOf(t, 1, 2, 4, 9), appliedOf(1, 9), Latest(),
		`set "s": 2 m2, 4 m4 are pending below the newest applied version 9`)
	wantDecideError(t, setOf(t, 1, 5, 9), appliedOf(1), Version(6),
		`set "s" has no version 6; the nearest are 5 and 9`)
	wantDecideError(t, setOf(t, -1), appliedOf(-1), DownTo(NilVersion),
		`migration 1 m1 of set "s" can't be rolled back: it has no down script`)
	// It had a down script, but the history does not have its text.
	applied := database.NewAppliedSet(database.AppliedMigration{Version: 7, Name: "big", DownChecksum: migration.Sum("x")})
	_, err := decide(setOf(t), stateOf(applied), DownTo(NilVersion), false)
	var irreversible *IrreversibleError
	if !errors.As(err, &irreversible) {
		t.Fatalf("got %v, want an *IrreversibleError", err)
	}
	if !irreversible.TextNotKept {
		t.Errorf("%v: the error does not say that the text was not kept", err)
	}
}

// A decision on a thousand migrations allocates the moves once.
func TestAllocationsOfADecision(t *testing.T) {
	var versions []int64
	for v := range int64(1000) {
		versions = append(versions, v)
	}
	set, st := setOf(t, versions...), &database.State{Set: "s", Applied: database.NewAppliedSet()}
	n := testing.AllocsPerRun(5, func() {
		if moves, err := decide(set, st, Latest(), false); err != nil || len(moves) != len(versions) {
			t.Fatalf("%d moves, %v", len(moves), err)
		}
	})
	if n > 4 {
		t.Errorf("the decision allocates %v times, want at most 4", n)
	}
}
