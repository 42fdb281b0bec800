package whimbrel

import (
	"context"
	"fmt"

	"github.com/whimbrel-db/whimbrel/database"
)

// locked is what a Batch and a Run have in common.
type locked interface {
	Head() int64
	State(ctx context.Context) (*database.State, error)
}

// progress reports whether others have written since the applier last looked, and
// takes what they did into account.
func (a *applier) progress(ctx context.Context, rest []Unit) (bool, error) {
	st, err := a.db.State(ctx, a.set.Name())
	if err != nil || st.Head == a.expect.Head {
		return false, err
	}
	return true, a.adopt(ctx, st, stepsOf(rest))
}

// recheck looks, under the lock, whether the database is what was expected, and
// returns which of a unit's steps are still to do; the unit is the first of rest. It
// costs nothing as long as nobody else has written.
func (a *applier) recheck(ctx context.Context, l locked, unit Unit, rest []Unit) ([]Step, error) {
	if l.Head() != a.expect.Head {
		st, err := l.State(ctx)
		if err != nil {
			return nil, err
		}
		if err := a.adopt(ctx, st, stepsOf(rest)); err != nil {
			return nil, err
		}
	}
	var mine []Step
	for _, s := range unit.Steps {
		if contains(a.todo, s) {
			mine = append(mine, s)
		} else {
			a.skip(s)
		}
	}
	return mine, nil
}

// adopt makes what others have written meanwhile the applier's expectation, and finds
// out what that leaves to do of the steps that are not done yet.
func (a *applier) adopt(ctx context.Context, st *database.State, rest []Step) (err error) {
	if err := a.allowed(st, rest); err != nil {
		return err
	}
	todo, conflict := compare(a.expect.Applied, st.Applied, rest, a.plan.Goal, a.anyOrder(st.Settings))
	if conflict != nil {
		conflict.Set = a.set.Name()
		if conflict.Event, err = a.lastEvent(ctx, conflict.Version); err != nil {
			return err
		}
		return conflict
	}
	if err := a.verify(ctx, st, rest); err != nil {
		return err
	}
	a.expect, a.todo = st, todo
	return nil
}

func (a *applier) skip(s Step) {
	a.result.Skipped = append(a.result.Skipped, s.Version)
	a.opts.Observe(StepDone{Step: s, Index: a.done, Of: a.of, Skipped: true})
	a.done++
}

// lastEvent returns what the history says last of a version.
func (m *Migrator) lastEvent(ctx context.Context, version int64) (last database.Event, err error) {
	for e, err := range m.db.History(ctx, database.HistoryQuery{Set: m.set.Name(), Version: &version}) {
		if err != nil {
			return last, err
		}
		last = e
	}
	return last, nil
}

// compare is a pure function: from what was expected to be applied and what is, to
// the steps that are still to do, or to what speaks against going on.
func compare(expected, actual *database.Migrations, steps []Step, g Goal, allowOutOfOrder bool) ([]Step, *ConflictError) {
	state := actual.Clone() // as it will be, step by step
	var todo []Step
	planned := map[int64]bool{}
	for _, s := range steps {
		planned[s.Version] = true
		now, isApplied := state.Read(s.Version)
		_, was := expected.Read(s.Version)
		switch {
		case s.Direction == database.Up && !isApplied:
			todo = append(todo, s)
			state.Put(database.Applied{Version: s.Version, Checksum: s.up.Checksum})
		case s.Direction == database.Up && now.Checksum != s.up.Checksum:
			return nil, &ConflictError{Version: s.Version, Problem: fmt.Sprintf("was meanwhile applied from another text (checksum %.12s…, here %.12s…)", now.Checksum, s.up.Checksum)}
		case s.Direction == database.Down && isApplied && was && now.EventID != s.applied.EventID:
			return nil, &ConflictError{Version: s.Version, Problem: "was meanwhile taken down and applied again"}
		case s.Direction == database.Down && isApplied:
			todo = append(todo, s)
			state.Remove(s.Version)
		}
	}
	for v := range expected.All() {
		if _, still := actual.Read(v.Version); !still && !planned[v.Version] {
			return nil, &ConflictError{Version: v.Version, Problem: "was meanwhile taken back"}
		}
	}
	for v := range actual.All() {
		if _, was := expected.Read(v.Version); was {
			continue
		}
		if problem := inTheWay(v, todo, g, allowOutOfOrder); problem != "" {
			return nil, &ConflictError{Version: v.Version, Problem: problem}
		}
	}
	return todo, nil
}

// inTheWay says why a version that another process has applied meanwhile does not go
// with the steps that are still to do; "" if it does.
func inTheWay(v database.Applied, todo []Step, g Goal, allowOutOfOrder bool) string {
	for _, s := range todo {
		switch {
		case s.Direction == database.Down && v.Version > s.Version:
			return fmt.Sprintf("was meanwhile applied above %d, which is to be rolled back", s.Version)
		case s.Direction == database.Up && v.Version > s.Version && !allowOutOfOrder:
			return fmt.Sprintf("was meanwhile applied above %d, which is still pending", s.Version)
		}
	}
	if g.kind == goalDownTo && v.Version > g.version {
		return "was meanwhile applied above the version to go down to"
	}
	return ""
}

func contains(steps []Step, s Step) bool {
	for _, t := range steps {
		if t.Version == s.Version && t.Direction == s.Direction {
			return true
		}
	}
	return false
}
