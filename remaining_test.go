package whimbrel

import (
	"errors"
	"fmt"
	"testing"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// left plans from the expected state, and returns in words what remains of the plan when the state
// is now another one, or the conflict.
func left(t testing.TB, set *migration.Set, expected, now *database.State, g Goal, outOfOrder bool) string {
	t.Helper()
	planned, err := decide(set, expected, g, outOfOrder)
	if err != nil {
		t.Fatal(err)
	}
	return leftOf(t, set, expected, now, planned, g.absolute(planned), outOfOrder)
}

func leftOf(t testing.TB, set *migration.Set, expected, now *database.State, planned []move, g Goal, outOfOrder bool) string {
	t.Helper()
	left, err := remaining(set, expected, now, planned, g, outOfOrder)
	var conflict *ConflictError
	switch {
	case errors.As(err, &conflict) && conflict.Version == NilVersion:
		return fmt.Sprintf("script %s %s", conflict.Script, conflict.Problem)
	case errors.As(err, &conflict):
		return fmt.Sprintf("version %d %s", conflict.Version, conflict.Problem)
	case err != nil:
		t.Fatal(err)
	}
	return moveWords(chosen(planned, left))
}

func chosen(planned []move, left []bool) (todo []move) {
	for i, m := range planned {
		if left[i] {
			todo = append(todo, m)
		}
	}
	return todo
}

// In the wanted words + is up and - is down, as in TestDecide. Other words are a conflict.
func TestRemaining(t *testing.T) {
	t.Parallel()
	type versions = []int64
	tests := []struct {
		name          string
		set           versions
		expected, now versions
		goal          Goal
		outOfOrder    bool
		want          string
	}{
		{name: "nothing happened", set: versions{1, 2}, want: "+1 +2"},
		{name: "another did all", set: versions{1, 2}, now: versions{1, 2}},
		{name: "another did some", set: versions{1, 2, 3}, now: versions{1}, want: "+2 +3"},
		{name: "another did all and more, which this build does not know", set: versions{1, 2}, now: versions{1, 2, 9}},
		{name: "another did some and a newer one", set: versions{1, 2}, now: versions{1, 9}, want: "version 9 was applied in the meantime, above 2, which is still pending"},
		{name: "the same, allowed", set: versions{1, 2}, now: versions{1, 9}, outOfOrder: true, want: "+2"},
		{name: "another skipped one in between", set: versions{1, 2, 3}, now: versions{1, 3}, want: "version 3 was applied in the meantime, above 2, which is still pending"},
		{name: "another rolled something back", set: versions{1, 2, 3}, expected: versions{1, 2}, now: versions{1}, want: "version 2 was rolled back in the meantime"},
		{name: "another rolled back a version that only the database has", set: versions{1, 2}, expected: versions{1, 9}, now: versions{1}, outOfOrder: true, want: "version 9 was rolled back in the meantime"},
		{name: "another rolled back the same", set: versions{1, 2}, expected: versions{1, 2}, now: versions{1}, goal: DownTo(1)},
		{name: "another rolled back further", set: versions{1, 2}, expected: versions{1, 2}, goal: DownTo(1), want: "version 1 was rolled back in the meantime"},
		{name: "another applied above a rollback", set: versions{1, 2}, expected: versions{1, 2}, now: versions{1, 2, 3}, goal: DownTo(1), want: "version 3 was applied in the meantime, and would have to be rolled back as well"},
		{name: "another rolled back and applied above", set: versions{1, 2}, expected: versions{1, 2}, now: versions{1, 3}, goal: DownTo(1), want: "version 3 was applied in the meantime, and would have to be rolled back as well"},

		{name: "a step up, which another did", set: versions{1, 2, 3}, expected: versions{1}, now: versions{1, 2}, goal: By(1)},
		{name: "steps up, of which another did one", set: versions{1, 2, 3, 4}, expected: versions{1}, now: versions{1, 2}, goal: By(2), want: "+3"},
		{name: "steps up, of which another did more", set: versions{1, 2, 3, 4}, expected: versions{1}, now: versions{1, 2, 3, 4}, goal: By(2)},
		{name: "a step down, which another did", set: versions{1, 2, 3}, expected: versions{1, 2}, now: versions{1}, goal: By(-1)},
		{name: "steps down, of which another did one", set: versions{1, 2, 3}, expected: versions{1, 2, 3}, now: versions{1, 2}, goal: By(-2), want: "-2"},
		{name: "steps down, and another went further", set: versions{1, 2, 3}, expected: versions{1, 2, 3}, now: versions{1}, goal: By(-1), want: "version 2 was rolled back in the meantime"},
		{name: "a step down below what another applied", set: versions{1, 2, 3}, expected: versions{1, 2}, now: versions{1, 2, 3}, goal: By(-1), want: "version 3 was applied in the meantime, and would have to be rolled back as well"},
		{name: "redo, of which another did the first half", set: versions{1, 2}, expected: versions{1, 2}, now: versions{1}, goal: Redo(1), want: "+2"},
		{name: "redo below what another applied", set: versions{1, 2, 3}, expected: versions{1, 2}, now: versions{1, 2, 3}, goal: Redo(1), want: "version 3 was applied in the meantime, and would have to be rolled back as well"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := left(t, setOf(t, tt.set...), stateOf(appliedOf(tt.expected...)), stateOf(appliedOf(tt.now...)), tt.goal, tt.outOfOrder)
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A migration that another process has applied is compared by checksum and by history entry.
func TestRemainingSeesOtherTextsAndEntries(t *testing.T) {
	t.Parallel()
	set := setOf(t, 1)
	other := database.NewAppliedSet(database.AppliedMigration{Version: 1, Checksum: migration.Sum("another text")})
	got := left(t, set, stateOf(nil), stateOf(other), Latest(), false)
	want := fmt.Sprintf("version 1 was applied in the meantime from a different script (checksum %.12s…, here %.12s…)", migration.Sum("another text"), migration.Sum("CREATE TABLE m1 ()"))
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	again := appliedOf(1)
	a, _ := again.Get(1)
	a.EntryID = 17
	again.Put(a)
	for name, tt := range map[string]struct {
		goal Goal
		want string
	}{
		"down":        {DownTo(NilVersion), "version 1 was rolled back and applied again in the meantime"},
		"a step down": {By(-1), "version 1 was rolled back and applied again in the meantime"},
		"redo":        {Redo(1), ""}, // which another process has done
	} {
		if got := left(t, set, stateOf(appliedOf(1)), stateOf(again), tt.goal, false); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
	a.Checksum = migration.Sum("another text")
	again.Put(a)
	if got := left(t, set, stateOf(appliedOf(1)), stateOf(again), Redo(1), false); got != want {
		t.Errorf("redo: got %q, want %q", got, want)
	}
}

// A move is planned only if it would execute what was planned.
func TestCovers(t *testing.T) {
	t.Parallel()
	m, _ := setOf(t, 1).Get(1)
	other := m
	other.Up = migration.Text(m.Up.File, "CREATE TABLE other ()")
	up := upMove(m)
	if !up.covers(upMove(m)) {
		t.Error("a move does not cover itself")
	}
	if up.covers(upMove(other)) {
		t.Error("an up script covers another text")
	}
	down := move{version: 1, name: "m1", direction: database.Down, from: FromSet, applied: database.AppliedMigration{EntryID: 7}}
	stored := down
	stored.from = FromHistory
	if !down.covers(down) {
		t.Error("a down script of the set does not cover itself")
	}
	if down.covers(stored) {
		t.Error("a down script of the set covers one of the history")
	}
}

// Another process may have recorded a squash or a baseline meanwhile.
func TestRemainingContents(t *testing.T) {
	t.Parallel()
	squashed := contents{versions: []int64{1, 2, 3, 4, 5}, squash: [2]int64{2, 4}}
	based := contents{versions: []int64{1, 2, 3}, baselines: []int64{2}}
	tests := []struct {
		name          string
		set           contents
		expected, now *database.AppliedSet
		goal          Goal
		want          string
	}{
		{name: "another recorded the squash", set: squashed, expected: appliedOf(1, 2, 3, 4), now: recordedAs(t, 2, 4, 1), want: "+5"},
		{name: "another continued and recorded it", set: squashed, expected: appliedOf(1, 2), now: recordedAs(t, 2, 4, 1), want: "+5"},
		{name: "another continued", set: squashed, expected: appliedOf(1, 2), now: appliedOf(1, 2, 3), want: "+4 =4 +5"},
		{name: "another ran the squash", set: squashed, expected: appliedOf(1), now: recordedAs(t, 2, 4, 1), want: "+5"},
		{name: "an older build began to apply the range", set: squashed, expected: appliedOf(1), now: appliedOf(1, 2), want: "version 2 was applied in the meantime, and now the plan would have to include migration 3 m3"},
		{name: "another rolled something back", set: squashed, expected: appliedOf(1, 2, 3, 4), now: appliedOf(1, 2, 3), want: "version 4 was rolled back in the meantime"},
		{name: "another recorded the squash that contains the version to roll back", set: squashed, expected: appliedOf(1, 2, 3), now: recordedAs(t, 2, 4, 1), goal: By(-1), want: "version 3 was recorded in the meantime as part of the squash 4 squash"},
		{name: "a step records the squash", set: squashed, expected: appliedOf(1, 2, 3), now: appliedOf(1, 2, 3, 4), goal: By(1), want: "=4"},
		{name: "another did the step and recorded the squash", set: squashed, expected: appliedOf(1, 2, 3), now: recordedAs(t, 2, 4, 1), goal: By(1)},
		{name: "a step that is an original", set: squashed, expected: appliedOf(1, 2), now: appliedOf(1, 2), goal: By(1), want: "+3"},
		{name: "redo of an original, of which another did the first half", set: squashed, expected: appliedOf(1, 2), now: appliedOf(1), goal: Redo(1), want: "+2"},
		{name: "redo of the squash, of which another did the first half", set: squashed, expected: recordedAs(t, 2, 4, 1), now: appliedOf(1), goal: Redo(1), want: "+4"},

		{name: "nothing happened", set: based, expected: appliedOf(), now: appliedOf(), want: "*2 +3"},
		{name: "another started from the baseline", set: based, expected: appliedOf(), now: appliedOf(1, 2), want: "+3"},
		{name: "another did not", set: based, expected: appliedOf(), now: appliedOf(1), want: "version 1 was applied in the meantime, and now the plan would have to include migration 2 m2"},
		{name: "steps do not start from the baseline", set: based, expected: appliedOf(), now: appliedOf(), goal: By(2), want: "+1 +2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := left(t, tt.set.set(t), stateOf(tt.expected), stateOf(tt.now), tt.goal, false); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A run that the plan resumes has been resumed by another process, or is still interrupted.
func TestRemainingOfAResumedRun(t *testing.T) {
	t.Parallel()
	set := setOf(t, 1, 2, 3)
	interrupted := stateOf(appliedOf(1))
	interrupted.Interrupted = &database.Journal{Version: 2, Name: "m2", Direction: database.Up, Done: 1, Of: 2}
	for _, tt := range []struct {
		name string
		now  *database.State
		goal Goal
		want string
	}{
		{"it is still interrupted", interrupted, Latest(), "+2 +3"},
		{"another resumed it", stateOf(appliedOf(1, 2)), Latest(), "+3"},
		{"another resumed it and continued", stateOf(appliedOf(1, 2, 3)), Latest(), ""},
		{"redo, still interrupted", interrupted, Redo(1), "+2 -2 +2"},
		{"redo, another resumed it", stateOf(appliedOf(1, 2)), Redo(1), "-2 +2"},
		{"redo, another resumed it and rolled it back", stateOf(appliedOf(1)), Redo(1), "+2"},
		{"a step down, still interrupted", interrupted, By(-1), "+2 -2"},
		{"a step down, another resumed it", stateOf(appliedOf(1, 2)), By(-1), "-2"},
		{"a step down, another did both", stateOf(appliedOf(1)), By(-1), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := left(t, set, interrupted, tt.now, tt.goal, false); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A run that the plan does not resume, since another process has begun it, does not change what
// remains.
func TestRemainingWhileAnotherRuns(t *testing.T) {
	t.Parallel()
	now := stateOf(appliedOf(1))
	now.Interrupted = &database.Journal{Version: 2, Name: "m2", Direction: database.Up, Done: 1, Of: 2}
	if got := left(t, setOf(t, 1, 2, 3), stateOf(nil), now, Latest(), false); got != "+2 +3" {
		t.Errorf("got %q", got)
	}
	now.Interrupted = &database.Journal{Version: 1, Name: "m1", Direction: database.Down, Done: 1, Of: 2}
	if got := left(t, setOf(t, 1, 2, 3), stateOf(nil), now, Latest(), false); got != "+2 +3" {
		t.Errorf("got %q", got)
	}
}

func TestRemainingScripts(t *testing.T) {
	t.Parallel()
	set := contents{repeatable: []string{"views"}}.set(t)
	ran := func(text string) *database.State {
		st := stateOf(nil)
		now := map[string]database.AppliedMigration{"views": {Name: "views", EntryID: 7, Checksum: migration.Sum(text)}}
		st.Repeated, st.Seeded = now, now
		return st
	}
	seed := []move{namedMove(set.Repeatables()[0], database.Seed, database.AppliedMigration{})}
	for _, tt := range []struct {
		name string
		now  *database.State
		want string
	}{
		{"nothing happened", stateOf(nil), "views"},
		{"another ran it", ran("-- views"), ""},
		{"another ran another text", ran("-- other"), "script views ran in the meantime from a different script"},
	} {
		if got := left(t, set, stateOf(nil), tt.now, Latest(), false); got != tt.want {
			t.Errorf("a repeatable script, %s: got %q, want %q", tt.name, got, tt.want)
		}
		g := Goal{kind: goalSeed}.absolute(seed)
		if got := leftOf(t, set, stateOf(nil), tt.now, seed, g, false); got != tt.want {
			t.Errorf("a seed, %s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	newer := stateOf(appliedOf(9))
	if got := left(t, set, stateOf(nil), newer, Latest(), false); got != "" {
		t.Errorf("a build older than the database runs the repeatable scripts %q, want none", got)
	}
}

func TestConflictErrorOfAScript(t *testing.T) {
	t.Parallel()
	err := &ConflictError{Set: "s", Version: NilVersion, Script: "views", Problem: "ran in the meantime from a different script"}
	if want := `set "s": script "views" ran in the meantime from a different script`; err.Error() != want {
		t.Errorf("got %v, want %v", err, want)
	}
}
