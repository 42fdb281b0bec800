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

// do executes moves, as the history would keep them.
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

// others lets other processes do something, each some moves of a plan of its own.
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

// Whatever a process has planned and done, and whatever others do meanwhile: what remains of the
// plan is what planning afresh gives and ends where the plan was to end, or it is a conflict that
// somebody else has caused.
func TestWhatRemainsIsWhatPlanningAfreshGives(t *testing.T) {
	t.Parallel()
	var same, skipped, conflicts int
	rapid.Check(t, func(rt *rapid.T) {
		sets, w, order := drawSets(t, rt), &world{st: stateOf(database.NewAppliedSet())}, rapid.Bool().Draw(rt, "order")
		set := rapid.SampledFrom(sets).Draw(rt, "set")
		w.others(rt, "before", sets, order)
		goal := drawGoal(rt, "goal")
		planned, err := decide(set, w.st, goal, order)
		if err != nil || len(planned) == 0 {
			return
		}
		until := goal.absolute(planned)
		own := rapid.IntRange(0, len(planned)-1).Draw(rt, "own")
		w.do(planned[:own]...)
		rest, expected, entries := planned[own:], w.st, w.entries
		w.others(rt, "meanwhile", sets, order)

		left, err := remaining(set, expected, w.st, rest, until, order)
		var conflict *ConflictError
		switch {
		case err != nil && w.entries == entries:
			rt.Fatalf("nobody did anything, and it is %v", err)
		case errors.As(err, &conflict):
			conflicts++
			return
		case err != nil:
			rt.Fatalf("an error that is no conflict: %v", err)
		}
		todo := chosen(rest, left)
		if len(todo) == len(rest) {
			same++
		} else {
			skipped++
		}
		for _, problem := range wrongRest(set, expected, w.st, rest, todo, goal, order) {
			rt.Error(problem)
		}
	})
	t.Logf("%d times all remained, %d times others had done some, %d times it was a conflict", same, skipped, conflicts)
}

// wrongRest says what is wrong with the moves that remain. It uses nothing that remaining does but
// decide.
func wrongRest(set *migration.Set, expected, now *database.State, rest, todo []move, goal Goal, order bool) (problems []string) {
	wrong := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	relative := goal.kind == goalSteps || goal.kind == goalRedo
	if fresh, err := decide(set, now, goal, order); !relative && (err != nil || moveWords(fresh) != moveWords(todo)) {
		wrong("%q remains, planning afresh gives %q (%v)", moveWords(todo), moveWords(fresh), err)
	}
	end := after(now, todo...)
	if again, err := decide(set, end, goal, order); !relative && (err != nil || len(again) > 0) {
		wrong("after %q there is still %q to do (%v)", moveWords(todo), moveWords(again), err)
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
			wrong("version %d was to be taken down, and is left", m.version)
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
	rapid.Check(t, func(rt *rapid.T) {
		sets, w, order := drawSets(t, rt), &world{st: stateOf(database.NewAppliedSet())}, rapid.Bool().Draw(rt, "order")
		set := rapid.SampledFrom(sets).Draw(rt, "set")
		w.others(rt, "before", sets, order)
		goal := drawGoal(rt, "goal")
		planned, err := decide(set, w.st, goal, order)
		if err != nil || len(planned) == 0 {
			return
		}
		expected, n := w.st, rapid.IntRange(0, len(planned)).Draw(rt, "done")
		w.do(planned[:n]...)
		left, err := remaining(set, expected, w.st, planned, goal.absolute(planned), order)
		if got, want := moveWords(chosen(planned, left)), moveWords(planned[n:]); err != nil || got != want {
			rt.Errorf("of %q the first %d are done: %q remains, want %q (%v)", moveWords(planned), n, got, want, err)
		}
	})
}
