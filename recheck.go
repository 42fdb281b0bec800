package whimbrel

import (
	"context"
	"slices"

	"github.com/whimbrel-db/whimbrel/database"
)

// locked is what a Tx and a Run have in common.
type locked interface {
	State(ctx context.Context) (*database.State, error)
}

// progress reports whether others have written since the applier last looked, and
// takes what they did into account.
func (a *applier) progress(ctx context.Context, rest []Unit) (bool, error) {
	st, err := a.db.State(ctx, a.set.Name())
	if err != nil || st.Head == a.expect.Head && !gotOn(a.expect.Interrupted, st.Interrupted) {
		return false, err
	}
	return true, a.adopt(ctx, st, stepsOf(rest))
}

// gotOn reports whether a run has been written to between two looks at its journal.
func gotOn(before, now *database.Journal) bool {
	return now != nil && (before == nil || !now.UpdatedAt.Equal(before.UpdatedAt))
}

// recheck looks, under the lock, whether the database is what was expected, and
// returns which of a unit's steps are still to do; the unit is the first of rest. It
// costs nothing as long as nobody else has written.
func (a *applier) recheck(ctx context.Context, found database.Found, l locked, unit Unit, rest []Unit) ([]Step, error) {
	if found.Head != a.expect.Head {
		st, err := l.State(ctx)
		if err != nil {
			return nil, err
		}
		a.looked = true
		if err := a.adopt(ctx, st, stepsOf(rest)); err != nil {
			return nil, err
		}
	}
	a.looked = true
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
	todo, conflict := compare(a.set, a.expect, st, rest, a.plan.Goal, a.anyOrder(st.Settings))
	if conflict != nil {
		conflict.Set = a.set.Name()
		if conflict.Event, err = a.lastEvent(ctx, conflict.Version, conflict.Script); err != nil {
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
	if s.Version == NilVersion {
		a.result.SkippedScripts = append(a.result.SkippedScripts, s.Name)
	} else {
		a.result.Skipped = append(a.result.Skipped, s.Version)
	}
	a.opts.Observe(StepDone{Step: s, Index: a.done, Of: a.of, Skipped: true})
	a.done++
}

// lastEvent returns what the history says last of a version, or of a script that belongs to
// none.
func (m *Migrator) lastEvent(ctx context.Context, version int64, script string) (last database.Entry, err error) {
	for e, err := range m.db.History(ctx, database.HistoryQuery{Set: m.set.Name(), Version: &version}) {
		if err != nil {
			return last, err
		}
		if script == "" || e.Name == script {
			last = e
		}
	}
	return last, nil
}

// contains tells apart a step that goes on where another process has stopped: to be done again, the same migration
// may come twice in a plan.
func contains(steps []Step, s Step) bool {
	return slices.ContainsFunc(steps, func(t Step) bool {
		return t.Version == s.Version && t.Direction == s.Direction && t.Name == s.Name && (t.resume == nil) == (s.resume == nil)
	})
}
