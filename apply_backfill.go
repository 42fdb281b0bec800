package whimbrel

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// waitEvery is how often a call looks at a backfill that others execute.
const waitEvery = time.Second

// execute executes a step in its transaction, apart from its history entries.
func (a *applier) execute(ctx context.Context, tx database.Tx, s Step) error {
	if err := endBackfills(ctx, tx, s.move.ends); err != nil {
		return err
	}
	switch s.Direction {
	case database.Mark: // which only records
		return nil
	case database.Start:
		return startBackfill(ctx, tx, database.BackfillStart{
			Version: s.Version, Name: s.Name, Script: s.Script, Detached: s.Detached, Limits: database.LimitsOf(s.Backfill),
		})
	}
	return tx.Exec(ctx, s.Script)
}

func startBackfill(ctx context.Context, tx database.Tx, s database.BackfillStart) error {
	b, err := database.BackfillTxOf(tx)
	if err != nil {
		return err
	}
	return b.StartBackfill(ctx, s)
}

// endBackfills removes backfills whose versions are rolled back or forgotten, before anything else
// of the transaction: their workers lose their lanes.
func endBackfills(ctx context.Context, tx database.Tx, versions []int64) error {
	if len(versions) == 0 {
		return nil
	}
	b, err := database.BackfillTxOf(tx)
	if errors.Is(err, errors.ErrUnsupported) { // then no backfill was ever started
		return nil
	}
	for _, v := range versions {
		if err == nil {
			err = b.EndBackfill(ctx, v)
		}
	}
	return err
}

// cancelBackfills stops backfills before their rows are rolled back outside a transaction.
func (m *Migrator) cancelBackfills(ctx context.Context, versions []int64) error {
	for _, v := range versions {
		b, err := database.BackfillerOf(m.db)
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		_, err = b.ChangeBackfill(ctx, database.BackfillChange{BackfillID: m.backfillID(v), Action: database.ActionCancel, Reason: m.opts.Reason})
		var state *database.BackfillStateError
		if err != nil && !errors.As(err, &state) && !errors.Is(err, database.ErrNoBackfill) {
			return err
		}
	}
	return nil
}

func (m *Migrator) backfillID(version int64) database.BackfillID {
	return database.BackfillID{Set: m.set.Name(), Version: version}
}

// unfinishedOf returns the versions of unfinished backfills that entries forget.
func unfinishedOf(st *database.State, entries []database.Entry) (versions []int64) {
	for _, e := range entries {
		if a, ok := st.Applied.Get(e.Version); ok && a.Unfinished && e.Direction == database.Forget {
			versions = append(versions, e.Version)
		}
	}
	return versions
}

// await waits for the backfills that a step comes after, or returns an *UnfinishedError.
func (a *applier) await(ctx context.Context, s Step) error {
	for _, d := range s.After {
		var last *BackfillStatus
		for {
			b, err := a.unfinished(ctx, d.Version)
			switch {
			case err != nil && last != nil && ctx.Err() != nil: // it ended while the database was read
				return &UnfinishedError{Set: s.Set, Version: s.Version, Name: s.Name, Backfill: *last, Err: ctx.Err()}
			case err != nil:
				return err
			}
			if last = b; b == nil {
				break
			}
			if !a.m.opts.WaitForBackfills || b.State == database.BackfillFailed || b.State == database.BackfillCancelled {
				return &UnfinishedError{Set: s.Set, Version: s.Version, Name: s.Name, Backfill: *b}
			}
			a.m.observe(BackfillProgress{Set: s.Set, Backfill: *b, Waits: true})
			if err := sleep(ctx, waitEvery); err != nil {
				return &UnfinishedError{Set: s.Set, Version: s.Version, Name: s.Name, Backfill: *b, Err: err}
			}
		}
	}
	return nil
}

// awaitDetached waits until others have done the backfills that the goal includes.
func (a *applier) awaitDetached(ctx context.Context) error {
	if !a.m.opts.WaitForBackfills || a.expect == nil {
		return nil
	}
	left := map[int64]bool{}
	for v := range a.expect.Applied.All() {
		if v.Unfinished && a.plan.Goal.continues(v.Version) {
			left[v.Version] = true
		}
	}
	var last *BackfillStatus
	for len(left) > 0 {
		b, err := a.awaited(ctx, left, last == nil)
		switch {
		case err != nil && last != nil && ctx.Err() != nil: // it ended while the database was read
			return a.notAwaited(ctx, *last, ctx.Err())
		case err != nil || b == nil:
			return err
		}
		last = b
		a.m.observe(BackfillProgress{Set: a.plan.Set, Backfill: *b, Waits: true})
		if err := sleep(ctx, waitEvery); err != nil {
			return a.notAwaited(ctx, *b, err)
		}
	}
	return nil
}

// awaited reads the backfills once. It removes those that need no wait from left, and returns the
// first of the others. One that has failed, or is cancelled while the call waits, is an error.
func (a *applier) awaited(ctx context.Context, left map[int64]bool, first bool) (*BackfillStatus, error) {
	all, err := a.m.Backfills(ctx)
	if err != nil {
		return nil, err
	}
	var next *BackfillStatus
	found := map[int64]bool{}
	for _, b := range all {
		switch {
		case !left[b.Version]:
			continue
		case b.State == database.BackfillDone:
			a.finishedByOthers(b, first)
			continue
		case first && b.State == database.BackfillCancelled:
			continue
		case b.State.Ended():
			return nil, a.notAwaited(ctx, b, errNotRunning)
		}
		found[b.Version] = true
		if next == nil {
			next = &b
		}
	}
	maps.DeleteFunc(left, func(v int64, _ bool) bool { return !found[v] }) // others were rolled back or recorded as done
	return next, nil
}

// finishedByOthers adds a backfill to those that became done in the call.
func (a *applier) finishedByOthers(b BackfillStatus, first bool) {
	is := func(r StepResult) bool { return r.Version == b.Version }
	if first && !slices.ContainsFunc(a.result.Started, is) { // the state of the plan was older
		return
	}
	a.result.Started = slices.DeleteFunc(a.result.Started, is)
	a.result.Finished = append(a.result.Finished, StepResult{Version: b.Version, Name: b.Name, Duration: b.FinishedAt.Sub(b.StartedAt)})
	a.m.observe(BackfillProgress{Set: a.plan.Set, Backfill: b, Waits: true})
}

// notAwaited returns the error of a wait that ended before the backfill was done.
func (a *applier) notAwaited(ctx context.Context, b BackfillStatus, err error) error {
	f := &filling{m: a.m, b: b.Backfill}
	e := f.stopped(ctx, err)
	e.Waited = true
	return e
}

// unfinished returns a backfill if it is not done.
func (a *applier) unfinished(ctx context.Context, version int64) (*BackfillStatus, error) {
	if was, ok := a.expect.Applied.Get(version); ok && !was.Unfinished {
		return nil, nil
	}
	b, err := a.m.readBackfill(ctx, version)
	if errors.Is(err, database.ErrNoBackfill) { // it was recorded as applied without running it
		return nil, nil
	}
	if err != nil || b.State == database.BackfillDone {
		return nil, err
	}
	s := newBackfillStatus(b, 0)
	return &s, nil
}

// backfill starts or continues a backfill, and executes its batches unless that is left to others.
func (a *applier) backfill(ctx context.Context, index int) error {
	s := a.plan.Steps[index]
	began := time.Now()
	started := false
	if s.Direction == database.Start {
		if a.left[index] {
			if _, err := a.m.checkBackfill(ctx, s); err != nil {
				return err
			}
		}
		if err := a.perform(ctx, index, index+1, nil); err != nil {
			return err
		}
		started = !a.skipped[index]
	} else {
		a.m.observe(StepStarted{Step: s, Index: index, Of: len(a.plan.Steps)})
	}
	b, err := a.m.readBackfill(ctx, s.Version)
	if errors.Is(err, database.ErrNoBackfill) {
		return a.withoutBackfill(ctx, index, err)
	}
	if err == nil && s.Detached && !b.Detached && b.State != database.BackfillDone {
		b, err = a.m.changeBackfill(ctx, database.BackfillChange{BackfillID: b.BackfillID, Action: database.ActionDetach, Reason: a.m.opts.Reason})
	}
	if err != nil {
		return err
	}
	done := b.State == database.BackfillDone
	own := StepResult{Version: s.Version, Name: s.Name}
	if empty := b.Last == nil && len(b.Lanes) == 0; !done && (!b.Detached || empty && b.State == database.BackfillRunning) { // an empty table needs no worker
		a.result.Started = append(a.result.Started, own) // unless it becomes done
		status, err := a.m.runBackfill(ctx, b, s.Script, RunOptions{})
		if err != nil {
			return err
		}
		a.result.Started = slices.DeleteFunc(a.result.Started, func(r StepResult) bool { return r.Version == s.Version })
		own.Duration = status.FinishedAt.Sub(status.StartedAt)
		a.result.Finished = append(a.result.Finished, own)
	} else if !done {
		a.result.Started = append(a.result.Started, own)
	}
	skipped := done && !started
	if skipped {
		a.result.Skipped = append(a.result.Skipped, s.Version)
	}
	a.m.observe(StepDone{Step: s, Index: index, Of: len(a.plan.Steps), Duration: time.Since(began), Skipped: skipped})
	return nil
}

// withoutBackfill returns the error for a step whose backfill the database does not have, if there
// is one: another process may have recorded it as applied.
func (a *applier) withoutBackfill(ctx context.Context, index int, missing error) error {
	s := a.plan.Steps[index]
	st, err := a.m.db.State(ctx, a.m.set.Name())
	if err != nil {
		return err
	}
	if now, ok := st.Applied.Get(s.Version); ok && !now.Unfinished {
		a.result.Skipped = append(a.result.Skipped, s.Version)
		a.m.observe(StepDone{Step: s, Index: index, Of: len(a.plan.Steps), Skipped: true})
		return nil
	} else if ok {
		return missing
	}
	return a.withEntry(ctx, conflict(s.Version, "was rolled back in the meantime"))
}

// sleep waits for some time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
