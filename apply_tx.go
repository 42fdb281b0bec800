package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// transaction does steps in one transaction.
func (a *applier) transaction(ctx context.Context, from, to int) error {
	return a.inTransaction(ctx, from, to, nil, func(tx database.Tx, todo []int, open *database.Journal) error {
		if open != nil {
			return a.begunMeanwhile(open)
		}
		for _, i := range todo {
			s := a.plan.Steps[i]
			a.m.opts.Observe(StepStarted{Step: s, Index: i, Of: len(a.plan.Steps)})
			if s.Direction != database.Mark { // which only records
				if err := tx.Exec(ctx, s.Script); err != nil {
					return a.failed(todo, i, nil, err)
				}
			}
			if err := a.conclude(ctx, tx, s, time.Time{}); err != nil {
				return a.failed(todo, i, nil, err)
			}
		}
		return nil
	})
}

// inTransaction calls do in a transaction under the lock, with the steps that are still to be done
// and an interrupted run that it finds, and commits. If no step is left, it does nothing. j is the
// journal of the run that the transaction ends, nil for none.
func (a *applier) inTransaction(ctx context.Context, from, to int, j *database.Journal, do func(tx database.Tx, todo []int, open *database.Journal) error) (err error) {
	tx, found, err := a.m.db.Begin(ctx, a.m.set.Name(), a.m.lockOptions(a.expect.Settings))
	if err != nil {
		return err
	}
	defer func() {
		if rerr := tx.Rollback(ctx); err == nil {
			err = rerr
		}
	}()
	todo, open, err := a.check(ctx, tx, found, from, to)
	if err != nil || len(todo) == 0 {
		return err
	}
	if err := do(tx, todo, open); err != nil {
		return err
	}
	want := 0
	for _, i := range todo {
		want += a.plan.Steps[i].entryCount()
	}
	recorded, err := tx.Commit(ctx)
	if err == nil {
		err = checkRecorded(recorded.Entries, want)
	}
	if err != nil {
		return a.failed(todo, todo[len(todo)-1], j, err)
	}
	entries := recorded.Entries
	for _, i := range todo {
		n := a.plan.Steps[i].entryCount()
		a.stepDone(i, entries[:n])
		entries = entries[n:]
	}
	a.expect.Head = recorded.Head
	return nil
}

// entryCount is how many entries a step leaves in the history.
func (s *Step) entryCount() int { return 1 + len(s.move.marks) + len(s.move.forgets) }

// checkRecorded refuses what a driver says that it has recorded, if that is not one entry for each
// that it was given: the history would not say what was done.
func checkRecorded(got []database.Entry, want int) error {
	if len(got) == want {
		return nil
	}
	return fmt.Errorf("the driver recorded %[2]d of %[1]d history entries", want, len(got))
}

// conclude writes what a step leaves in Whimbrel's own tables: the metadata that it carries, and its
// entries. They began at start, or, for the zero time, when the transaction says.
func (a *applier) conclude(ctx context.Context, tx database.Tx, s Step, start time.Time) error {
	if s.metadata != nil {
		if err := carry(ctx, tx, s); err != nil {
			return err
		}
	}
	entries, err := a.entries(s, start)
	if err != nil {
		return err
	}
	return tx.Record(ctx, entries...)
}

// entries returns all that the history keeps of a step. They began at start, or, for the zero time,
// when the transaction says.
func (a *applier) entries(s Step, start time.Time) ([]database.Entry, error) {
	all, err := s.move.entries(a.m.opts.TextLimit)
	if start.IsZero() {
		a.m.stamp(all, a.m.opts.Note, start)
		return all, err
	}
	a.m.stamp(all, a.m.opts.Note, time.Now())
	all[0].StartedAt, all[0].Duration = start, time.Since(start)
	return all, err
}

// stepDone reports a step that is committed. Its own entry is the first.
func (a *applier) stepDone(index int, entries []database.Entry) {
	s := a.plan.Steps[index]
	d := StepResult{Version: s.Version, Name: s.Name, Duration: entries[0].Duration}
	r := &a.result
	switch s.Direction {
	case database.Up, database.Baseline:
		r.Applied = append(r.Applied, d)
	case database.Down:
		r.RolledBack = append(r.RolledBack, d)
	case database.Mark:
		r.Recorded = append(r.Recorded, StepResult{Version: s.Version, Name: s.Name})
	case database.Repeat:
		r.Repeated = append(r.Repeated, d)
	case database.Seed:
		r.Seeded = append(r.Seeded, d)
	}
	for _, m := range s.move.marks {
		if m.Version != s.Version {
			r.Recorded = append(r.Recorded, StepResult{Version: m.Version, Name: m.Name})
		}
	}
	for _, e := range entries {
		a.expect.Fold(e)
	}
	a.m.opts.Observe(StepDone{Step: s, Index: index, Of: len(a.plan.Steps), Duration: d.Duration})
}

// failed says which of the steps failed: the one at index, unless the error has a place in another
// one's script, since a transaction may find out about a statement later than it was given it.
// j is the run that it leaves open.
func (a *applier) failed(steps []int, index int, j *database.Journal, err error) error {
	if stuck := (*InterruptedError)(nil); errors.As(err, &stuck) {
		return err // nothing was tried
	}
	var st *database.StatementError
	if errors.As(err, &st) {
		index = a.stepAt(steps, st.Pos, index)
		if st.Pos.Line > 0 { // a statement of Whimbrel's own has no place
			st.Excerpt = a.plan.Steps[index].Script.Excerpt(st.Pos, a.m.db.Dialect())
		}
	}
	s := a.plan.Steps[index]
	a.m.maskError(err, s.Script)
	failed := &MigrationError{Set: a.m.set.Name(), Version: s.Version, Name: s.Name, Direction: s.Direction, Err: err}
	if j.Started() {
		failed.Executed, failed.Journal = j.Done, j
	}
	return failed
}

// stepAt returns which of the steps has the script that a place is in. A file can hold two scripts:
// the one that begins last before the place has it.
func (a *applier) stepAt(steps []int, pos sqltext.Position, otherwise int) int {
	at, line := otherwise, -1
	for _, i := range steps {
		if s := a.plan.Steps[i].Script; s.File == pos.File && s.Line <= pos.Line && s.Line > line {
			at, line = i, s.Line
		}
	}
	return at
}
