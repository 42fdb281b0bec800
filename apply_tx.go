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
	return a.inTransaction(ctx, from, to, nil, func(tx database.Tx, todo []int, interrupted *database.Journal) error {
		if interrupted != nil {
			return a.begunMeanwhile(interrupted)
		}
		for _, i := range todo {
			s := a.plan.Steps[i]
			a.start(i)
			if err := a.execute(ctx, tx, s); err != nil {
				return a.failed(todo, i, nil, err)
			}
			if err := a.conclude(ctx, tx, s, time.Time{}); err != nil {
				return a.failed(todo, i, nil, err)
			}
		}
		return nil
	})
}

// start begins an attempt at a step.
func (a *applier) start(index int) {
	s := a.plan.Steps[index]
	a.attempt = attempt{step: s, began: time.Now(), retry: a.retry}
	a.retry.at(s)
	a.m.observe(StepStarted{Step: s, Index: index, Of: len(a.plan.Steps)})
}

// inTransaction calls do in a transaction under the lock, with the steps that remain to be done
// and an interrupted run that it finds, and commits. If no step remains, it does nothing. j is the
// journal of the run that the transaction ends, nil for none.
func (a *applier) inTransaction(ctx context.Context, from, to int, j *database.Journal, do func(tx database.Tx, todo []int, interrupted *database.Journal) error) (err error) {
	if err := a.pauseBefore(ctx); err != nil {
		return err
	}
	tx, found, err := a.begin(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if rerr := tx.Rollback(ctx); err == nil {
			err = rerr
		}
	}()
	todo, interrupted, err := a.check(ctx, tx, found, from, to)
	if err == nil && len(todo) > 0 && a.retry.pausing {
		todo, interrupted, err = a.pause(ctx, tx, from, to)
	}
	if err != nil || len(todo) == 0 {
		return err
	}
	a.retry.start()
	if err := do(tx, todo, interrupted); err != nil {
		return err
	}
	ended, err := a.retry.recordEndings(ctx, tx)
	if err != nil {
		return a.failed(todo, todo[len(todo)-1], j, err)
	}
	want := ended
	for _, i := range todo {
		want += a.plan.Steps[i].entryCount()
	}
	recorded, err := a.commit(ctx, tx, to)
	if err == nil {
		err = checkRecorded(recorded.Entries, want)
	}
	if err != nil {
		a.drop(ctx)
		return a.failed(todo, todo[len(todo)-1], j, err)
	}
	a.retry.recorded(ended)
	entries := recorded.Entries
	for _, i := range todo {
		n := a.plan.Steps[i].entryCount()
		a.stepDone(i, entries[:n])
		entries = entries[n:]
	}
	a.expect.Head = recorded.Head
	return nil
}

// begun is a transaction that began together with the COMMIT of the one before.
type begun struct {
	tx    database.Tx
	found database.Found
	retry *retrier // of its step
}

// begin begins a transaction, unless that of the step before has.
func (a *applier) begin(ctx context.Context) (database.Tx, database.Found, error) {
	if b := a.begun; b.tx != nil {
		a.begun = begun{}
		return b.tx, b.found, nil
	}
	if err := a.letGo(ctx); err != nil {
		return nil, database.Found{}, err
	}
	if err := a.giveTurn(ctx); err != nil {
		return nil, database.Found{}, err
	}
	tx, found, err := a.m.db.Begin(ctx, a.m.set.Name(), a.retry.lockOptions())
	a.began = time.Now()
	return tx, found, err
}

// commit commits a transaction, and begins that of the next step, if it has one and others need no
// turn.
func (a *applier) commit(ctx context.Context, tx database.Tx, next int) (database.Recorded, error) {
	if !a.holds(a.began, next) || a.plan.Steps[next].Mode == OutsideTransaction || a.plan.Steps[next-1].Mode == InBatches {
		return tx.Commit(ctx)
	}
	b := begun{retry: a.newRetrier(next, next+1)}
	recorded, then, found, err := database.CommitAndBegin(ctx, tx, b.retry.lockOptions())
	if b.tx, b.found = then, found; b.tx != nil {
		a.begun = b
	}
	return recorded, err
}

// drop ends a transaction or a run that no step has used.
func (a *applier) drop(ctx context.Context) {
	_ = a.letGo(ctx)
	if tx := a.begun.tx; tx != nil {
		a.begun = begun{}
		_ = tx.Rollback(ctx)
	}
}

// entryCount returns how many history entries a step adds.
func (s *Step) entryCount() int {
	return 1 + len(s.move.repeats) + len(s.move.marks) + len(s.move.forgets)
}

// checkRecorded returns an error if a driver did not record each entry that it received.
func checkRecorded(got []database.Entry, want int) error {
	if len(got) == want {
		return nil
	}
	return fmt.Errorf("the driver recorded %[2]d of %[1]d history entries", want, len(got))
}

// conclude writes the metadata that a step carries and its history entries. start is when the step
// began; for the zero time, the transaction determines it.
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

// entries returns the history entries of a step. start is that of conclude.
func (a *applier) entries(s Step, start time.Time) ([]database.Entry, error) {
	all, err := s.move.entries(a.m.opts.TextLimit)
	a.retry.note(&all[0], s.Script)
	if start.IsZero() {
		a.m.stamp(all, a.m.opts.Reason, start)
		return all, err
	}
	a.m.stamp(all, a.m.opts.Reason, time.Now())
	all[0].StartedAt, all[0].Duration = start, time.Since(start)
	return all, err
}

// stepDone reports a step that is committed. Its own entry is the first.
func (a *applier) stepDone(index int, entries []database.Entry) {
	s := a.plan.Steps[index]
	own := entries[0]
	d := StepResult{Version: s.Version, Name: s.Name, Duration: own.Duration, Retries: own.Retries, LockWait: own.LockWait}
	r := &a.result
	if s.Direction == database.Mark { // no script ran
		r.Recorded = append(r.Recorded, StepResult{Version: s.Version, Name: s.Name})
	} else {
		list := map[database.Direction]*[]StepResult{
			database.Up: &r.Applied, database.Start: &r.Applied, database.Baseline: &r.Applied, database.Load: &r.Applied, database.Down: &r.RolledBack,
			database.Repeat: &r.Repeated, database.Seed: &r.Seeded,
		}[s.Direction]
		*list = append(*list, d)
	}
	for _, m := range s.move.marks {
		if m.Version != s.Version {
			r.Recorded = append(r.Recorded, StepResult{Version: m.Version, Name: m.Name})
		}
	}
	for _, e := range entries {
		a.expect.Fold(e)
	}
	if s.Direction != database.Start { // of which more follows
		a.m.observe(StepDone{Step: s, Index: index, Of: len(a.plan.Steps), Duration: d.Duration, Retries: d.Retries, LockWait: d.LockWait})
	}
}

// failed returns the error of the step that failed: the one at index, unless the error has a place
// in the script of another, since a transaction may report the error of a statement later. j is
// the interrupted run that remains, nil for none.
func (a *applier) failed(steps []int, index int, j *database.Journal, err error) error {
	if stuck := (*InterruptedError)(nil); errors.As(err, &stuck) {
		return err // the step was not started
	}
	var st *database.StatementError
	if errors.As(err, &st) {
		index = a.stepAt(steps, st.Pos, index)
		if st.Pos.Line > 0 { // a statement of Whimbrel's own has no place
			st.Excerpt = a.plan.Steps[index].Script.Excerpt(st.Pos, a.m.db.Dialect())
		}
	}
	s := a.plan.Steps[index]
	a.attempt.step = s
	a.m.maskError(err, s.Script)
	failed := &MigrationError{Set: a.m.set.Name(), Version: s.Version, Name: s.Name, Direction: s.Direction, Err: err}
	if j.Started() {
		failed.Executed, failed.Journal = j.Done, j
		failed.Leftover = sqltext.Statement{Text: j.Begun}.Leftover(a.m.db.Dialect())
	}
	return failed
}

// stepAt returns which of the steps has the script that contains a place. In a file with two
// scripts, it is the last one that begins before the place.
func (a *applier) stepAt(steps []int, pos sqltext.Position, otherwise int) int {
	at, line := otherwise, -1
	for _, i := range steps {
		if s := a.plan.Steps[i].Script; s.File == pos.File && s.Line <= pos.Line && s.Line > line {
			at, line = i, s.Line
		}
	}
	return at
}
