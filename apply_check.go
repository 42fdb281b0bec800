package whimbrel

import (
	"context"
	"errors"

	"github.com/whimbrel-db/whimbrel/database"
)

// locked is the common part of Tx and Run.
type locked interface {
	State(ctx context.Context) (*database.State, error)
}

// check compares the database, under the lock, with the expected state. It returns which steps from
// one index up to another remain to be done, and an interrupted run that it finds. It sends a query
// only if another process has written.
func (a *applier) check(ctx context.Context, l locked, found database.Found, from, to int) (todo []int, interrupted *database.Journal, err error) {
	if found.New && a.expect.Head == 0 {
		a.expect.Head = found.Head
	}
	if found.Head != a.expect.Head || found.Interrupted {
		st, err := l.State(ctx)
		if err != nil {
			return nil, nil, err
		}
		a.compared = true
		if st.Head != a.expect.Head {
			if err := a.adopt(ctx, st, from); err != nil {
				return nil, nil, err
			}
		}
		interrupted = st.Interrupted
	}
	a.compared = true
	for i := from; i < to; i++ {
		if a.left[i] {
			todo = append(todo, i)
		} else {
			a.skip(i)
		}
	}
	return todo, interrupted, nil
}

// pause waits before a retry, under the lock, and compares the database again.
func (a *applier) pause(ctx context.Context, l locked, from, to int) (todo []int, interrupted *database.Journal, err error) {
	if err := a.retry.sleep(ctx); err != nil {
		return nil, nil, err
	}
	return a.check(ctx, l, database.Found{Interrupted: true}, from, to)
}

// pauseBefore waits before a retry if the lock that follows would block others.
func (a *applier) pauseBefore(ctx context.Context) error {
	if !a.retry.pausing || !database.BlocksWriters(a.m.db) {
		return nil
	}
	return a.retry.sleep(ctx)
}

// adopt makes the present state, which other processes have changed, the expected one. It
// determines which of the steps from an index on remain to be done.
func (a *applier) adopt(ctx context.Context, st *database.State, from int) error {
	rest := a.moves[from:]
	if err := a.m.allowed(st, rest); err != nil {
		return err
	}
	left, err := remaining(a.m.set, a.expect, st, rest, a.plan.until, a.m.anyOrder(st.Settings))
	if err != nil {
		return a.withEntry(ctx, err)
	}
	if err := a.m.verify(ctx, st, rest); err != nil {
		return err
	}
	a.expect, a.retry.settings = st, st.Settings
	copy(a.left[from:], left)
	return nil
}

// withEntry adds the last history entry of its version or script to a conflict.
func (a *applier) withEntry(ctx context.Context, err error) error {
	var c *ConflictError
	if !errors.As(err, &c) {
		return err
	}
	c.Set = a.m.set.Name()
	for e, herr := range a.m.db.History(ctx, database.HistoryQuery{Set: c.Set, Version: &c.Version}) {
		if herr != nil {
			return herr
		}
		if e.Direction != database.Failed && e.Direction != database.Terminate && (c.Script == "" || e.Name == c.Script) {
			c.Entry = e
		}
	}
	return c
}

func (a *applier) skip(index int) {
	if a.skipped[index] {
		return
	}
	a.skipped[index] = true
	s := a.plan.Steps[index]
	if s.Direction == database.Start { // perhaps there are batches left
		return
	}
	if s.Version == NilVersion {
		a.result.SkippedScripts = append(a.result.SkippedScripts, s.Name)
	} else {
		a.result.Skipped = append(a.result.Skipped, s.Version)
	}
	a.m.observe(StepDone{Step: s, Index: index, Of: len(a.plan.Steps), Skipped: true})
}
