package whimbrel

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// world is a database that several processes change, of older and newer builds.
type world struct {
	st      *database.State
	entries int64
}

// do executes moves as far as the history shows them.
func (w *world) do(moves ...move) {
	w.st = w.st.Clone()
	for _, m := range moves {
		for _, e := range m.foldable() {
			w.entries++
			e.ID = w.entries
			w.st.Fold(e)
		}
	}
}

func drawGoal(rt *rapid.T, label string) Goal {
	v := rapid.Int64Range(0, 6).Draw(rt, label+" version")
	n := rapid.IntRange(1, 3).Draw(rt, label+" n")
	return rapid.SampledFrom([]Goal{Latest(), Latest(), Version(v), UpTo(v), DownTo(v), By(n), By(-n), Redo(n)}).Draw(rt, label)
}

// drawSets returns the sets of builds: before a squash, after it, and without the old files.
func drawSets(t *testing.T, rt *rapid.T) []*migration.Set {
	c := contents{versions: []int64{1, 2, 3, 4, 5}}
	if rapid.Bool().Draw(rt, "repeatables") {
		c.repeatable = []string{"grants", "views"}
	}
	if rapid.Bool().Draw(rt, "baseline") {
		c.baselines = []int64{4}
	}
	newer := c
	newer.versions = append(newer.versions, 6)
	sets := []*migration.Set{c.set(t), newer.set(t)}
	if rapid.Bool().Draw(rt, "squash") {
		newer.squash = [2]int64{2, 4}
		sets = append(sets, newer.set(t))
		newer.gone = true
		sets = append(sets, newer.set(t))
	}
	return sets
}

// others lets other processes execute some moves of plans of their own.
func (w *world) others(rt *rapid.T, label string, sets []*migration.Set, order bool) {
	for i := range rapid.IntRange(0, 3).Draw(rt, label) {
		label := fmt.Sprintf("%s %d", label, i)
		set := rapid.SampledFrom(sets).Draw(rt, label+" set")
		moves, err := decide(set, w.st, drawGoal(rt, label), order)
		if err == nil && len(moves) > 0 {
			w.do(moves[:rapid.IntRange(0, len(moves)).Draw(rt, label+" moves")]...)
		}
	}
}

// planning is a plan at a random point in the life of a database.
type planning struct {
	*world
	sets       []*migration.Set // of all builds
	set        *migration.Set   // of the build that plans
	outOfOrder bool
	goal       Goal
	planned    []move // at least one
}

// checkPlanning checks a property of random plans.
func checkPlanning(t *testing.T, property func(rt *rapid.T, p planning)) {
	rapid.Check(t, func(rt *rapid.T) {
		p := planning{sets: drawSets(t, rt), world: &world{st: stateOf(database.NewAppliedSet())}, outOfOrder: rapid.Bool().Draw(rt, "order")}
		p.set = rapid.SampledFrom(p.sets).Draw(rt, "set")
		p.others(rt, "before", p.sets, p.outOfOrder)
		p.goal = drawGoal(rt, "goal")
		var err error
		if p.planned, err = decide(p.set, p.st, p.goal, p.outOfOrder); err == nil && len(p.planned) > 0 {
			property(rt, p)
		}
	})
}

// A process has planned and done a part of its plan; other processes do something meanwhile. What
// remains of the plan is what planning again gives, and it ends where the plan was to end.
// Otherwise it is a conflict that another process has caused.
func TestRemainingEqualsPlanningAgain(t *testing.T) {
	t.Parallel()
	var same, skipped, conflicts int
	checkPlanning(t, func(rt *rapid.T, p planning) {
		until := p.goal.absolute(p.planned)
		own := rapid.IntRange(0, len(p.planned)-1).Draw(rt, "own")
		p.do(p.planned[:own]...)
		rest, expected, entries := p.planned[own:], p.st, p.entries
		p.others(rt, "meanwhile", p.sets, p.outOfOrder)

		left, err := remaining(p.set, expected, p.st, rest, until, p.outOfOrder)
		var conflict *ConflictError
		switch {
		case err != nil && p.entries == entries:
			rt.Fatalf("no other process did anything, and the error is %v", err)
		case errors.As(err, &conflict):
			conflicts++
			return
		case err != nil:
			rt.Fatalf("an error that is not a conflict: %v", err)
		}
		todo := chosen(rest, left)
		if len(todo) == len(rest) {
			same++
		} else {
			skipped++
		}
		for _, problem := range wrongRest(p.set, expected, p.st, rest, todo, p.goal, p.outOfOrder) {
			rt.Error(problem)
		}
	})
	t.Logf("%d times all remained, %d times others had done some, %d times it was a conflict", same, skipped, conflicts)
}

// wrongRest says what is wrong with the moves that remain. It shares decide with remaining, and
// nothing else.
func wrongRest(set *migration.Set, expected, now *database.State, rest, todo []move, goal Goal, order bool) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	end := after(now, todo...)
	if goal.kind != goalSteps && goal.kind != goalRedo { // planning again would count the steps again
		decided := func(st *database.State) string {
			moves, err := decide(set, st, goal, order)
			if err != nil {
				wrong("planning again: %v", err)
			}
			return moveWords(moves)
		}
		if again := decided(now); again != moveWords(todo) {
			wrong("%q remains, planning again gives %q", moveWords(todo), again)
		}
		if again := decided(end); again != "" {
			wrong("after %q there is still %q to do", moveWords(todo), again)
		}
	}
	v := viewOf(set, end.Applied)
	for a := range after(expected, rest...).Applied.All() {
		_, recorded := v.recorded(a.Version)
		if !recorded && !v.isApplied(a.Version) {
			wrong("after %q version %d is not applied", moveWords(todo), a.Version)
		}
	}
	for _, m := range rest {
		a, ok := now.Applied.Get(m.version)
		if m.direction == database.Down && ok && a.EntryID == m.applied.EntryID && !slices.ContainsFunc(todo, func(d move) bool { return d.direction == database.Down && d.version == m.version }) {
			wrong("version %d was to be rolled back, and is still applied", m.version)
		}
	}
	for _, m := range todo {
		last, ok := end.Applied.Last()
		if stays, _ := now.Applied.Get(last); ok && !order && m.direction == database.Up && m.version < last && stays.Version == last && !slices.ContainsFunc(todo, func(d move) bool { return d.version == last }) {
			wrong("version %d is applied below %d", m.version, last)
		}
	}
	return problems
}

// If another process has done the first part of the same plan, the rest remains, and it is never a
// conflict.
func TestAnotherProcessWithTheSamePlanIsNoConflict(t *testing.T) {
	t.Parallel()
	checkPlanning(t, func(rt *rapid.T, p planning) {
		expected, n := p.st, rapid.IntRange(0, len(p.planned)).Draw(rt, "done")
		p.do(p.planned[:n]...)
		left, err := remaining(p.set, expected, p.st, p.planned, p.goal.absolute(p.planned), p.outOfOrder)
		if err != nil {
			rt.Fatal(err)
		}
		if got, want := moveWords(chosen(p.planned, left)), moveWords(p.planned[n:]); got != want {
			rt.Errorf("of %q the first %d are done: %q remains, want %q", moveWords(p.planned), n, got, want)
		}
	})
}
