package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

var errNoPlan = errors.New("Apply was given no plan; pass one that Migrator.Plan returned")

// Apply does the steps of a plan, each in a transaction or outside a transaction; with
// Options.Atomic one transaction does them all. Before each step it takes the migration lock and
// checks whether the history has changed since the plan was made. It skips steps that another
// process has done meanwhile with the same checksums. Any other difference that matters is a
// *ConflictError.
//
// The Result is never nil: after an error it lists what was done and remains applied.
func (m *Migrator) Apply(ctx context.Context, p *Plan, opts ApplyOptions) (*Result, error) {
	m = m.with(ctx, opts)
	start := time.Now()
	if p == nil || len(p.Steps) > 0 && p.base == nil {
		return &Result{Set: m.set.Name()}, errNoPlan
	}
	if p.set != nil && p.Set == m.set.Name() {
		m.set = p.set
	}
	a := &applier{m: m, plan: p, left: slices.Repeat([]bool{true}, len(p.Steps)), skipped: make([]bool, len(p.Steps))}
	if a.expect = p.base; len(p.Steps) > 0 {
		a.expect = p.base.Clone()
	}
	a.moves = make([]move, len(p.Steps))
	for i := range p.Steps {
		a.moves[i] = p.Steps[i].move
	}
	a.result.Set = m.set.Name()
	err := a.run(ctx)
	a.result.Duration = time.Since(start)
	return &a.result, err
}

// applier carries one call of Apply.
type applier struct {
	m        *Migrator
	plan     *Plan
	moves    []move          // of the plan's steps
	expect   *database.State // the state of the database, as far as the applier knows
	result   Result
	attempt  attempt // the last one
	retry    *retrier
	compared bool                    // an attempt has taken the lock and compared the database with expect
	kept     guarded                 // the run that holds the lock for the next step; zero if none does
	begun    begun                   // the transaction that holds the lock for the next step; zero if none does
	began    time.Time               // when the last transaction began that waited for the lock
	ahead    ahead                   // what runs were told of the steps that follow
	turn     bool                    // others get a turn before the lock is taken again
	together pace                    // of sequences
	current  atomic.Pointer[retrier] // is retry, for the callbacks of a run that lasts for several steps

	// For each step of the plan: whether it remains to be done, as far as the applier knows, and
	// whether it was reported as skipped.
	left, skipped []bool
}

func (a *applier) run(ctx context.Context) (err error) {
	if a.plan.Set != a.m.set.Name() {
		return fmt.Errorf("the plan is for set %q, not for %q", a.plan.Set, a.m.set.Name())
	}
	defer a.drop(ctx)
	defer func() {
		if err != nil {
			a.m.observe(Failed{Set: a.plan.Set, Err: err})
		}
	}()
	a.m.observe(Planned{Plan: a.plan})
	for _, p := range a.plan.Downs {
		a.m.observe(DownRefused{Set: a.plan.Set, Problem: p})
	}
	all := len(a.plan.Steps)
	if all > 0 {
		if err := a.m.allowed(a.expect, a.moves); err != nil {
			return err
		}
	}
	for next := 0; next < all; {
		if a.doneByOthers(next) {
			a.skip(next)
			next++
			continue
		}
		if next, err = a.advance(ctx, next); err != nil {
			return err
		}
	}
	return a.awaitDetached(ctx)
}

// doneByOthers reports whether nothing of a step remains to be done, as was found under the lock.
// Many processes that took the lock again for each such step would delay each other.
func (a *applier) doneByOthers(index int) bool {
	return !a.left[index] && !a.plan.Atomic && a.plan.Steps[index].Mode != InBatches
}

// steps does the steps from one index up to another, which share a transaction, and the batches of
// a backfill.
func (a *applier) steps(ctx context.Context, from, to int) error {
	for _, s := range a.plan.Steps[from:to] {
		if err := a.await(ctx, s); err != nil {
			return err
		}
	}
	if a.plan.Steps[from].Mode != InBatches {
		return a.perform(ctx, from, to, nil)
	}
	if err := a.letGo(ctx); err != nil {
		return err
	}
	return a.backfill(ctx, from)
}

// tried counts the attempts at steps that ended for reasons of which no budget takes account.
type tried struct{ conflicts, unknown int }

// perform does the steps from one index up to another, which share a transaction. It tries again as
// long as that can succeed. failed is the error of an attempt that was made before, or nil.
func (a *applier) perform(ctx context.Context, from, to int, failed error) error {
	if failed == nil {
		if a.retry = a.begun.retry; a.retry == nil {
			a.retry = a.newRetrier(from, to)
		}
		a.begins(from)
	}
	var lost error // the answer to a COMMIT was lost, and no attempt has read the history since
	var unknown *database.CommitUnknownError
	for count := (tried{}); ; {
		err := failed
		if failed = nil; err == nil {
			err = a.try(ctx, from, to)
		}
		if a.compared {
			lost = nil
		}
		again, err := a.again(ctx, err, &count, from)
		if !again && err != nil && lost != nil { // the outcome is still unknown; lost now has the reason
			unknown.Err = fmt.Errorf("%w; checking the history failed: %w", unknown.Err, err)
			return lost
		}
		if !again {
			err = a.gaveUp(ctx, err)
			a.recordFailure(ctx, err)
			return err
		}
		if errors.As(err, &unknown) {
			lost = err
		}
		if !errors.Is(err, database.ErrLocked) && !forALock(err) {
			a.retry.announce(Retrying{Step: a.attempt.step, Err: err})
		}
	}
}

// begins notes the step of the first attempt.
func (a *applier) begins(index int) {
	a.current.Store(a.retry)
	a.attempt = attempt{step: a.plan.Steps[index], retry: a.retry}
}

// try makes one attempt at the steps of perform.
func (a *applier) try(ctx context.Context, from, to int) error {
	a.compared = false
	if a.plan.Steps[from].Mode == OutsideTransaction {
		return a.runOutside(ctx, from, to)
	}
	return a.transaction(ctx, from, to)
}

// newRetrier returns the retrier of the steps from one index up to another.
func (a *applier) newRetrier(from, to int) *retrier {
	scripts := make([]*migration.Script, 0, to-from)
	for _, s := range a.plan.Steps[from:to] {
		scripts = append(scripts, s.Script)
	}
	return a.m.newRetrier(a.expect.Settings, scripts...)
}

// again decides whether to try again after an attempt that returned err. Otherwise it returns the
// error of the steps.
func (a *applier) again(ctx context.Context, err error, count *tried, from int) (bool, error) {
	const conflicts = 5
	var unknown *database.CommitUnknownError
	switch {
	case err == nil || ctx.Err() != nil:
		return false, err
	case errors.Is(err, database.ErrLocked):
		return a.othersProgress(ctx, err, from)
	case errors.Is(err, database.ErrHeadChanged):
		return true, err // another process has made progress, so this ends
	case errors.Is(err, database.ErrConflict):
		count.conflicts++
		return count.conflicts <= conflicts, err
	case errors.As(err, &unknown), errors.Is(err, database.ErrFenced):
		// The lock is free once the server has decided. If it committed, the history has the
		// steps, and they are skipped. A process that took the run over may be dead by now: the
		// server executed its last statement late.
		count.unknown++
		return count.unknown == 1, err
	case uncertain(err):
		return false, err
	}
	return a.retry.again(a.attempt.step, 0, err), err
}

// uncertain reports whether the statement of a run may have had an effect although it failed.
func uncertain(err error) bool {
	var failed *MigrationError
	return errors.As(err, &failed) && failed.Journal != nil && failed.Journal.Begun != ""
}

// gaveUp adds to the error of the steps what is known about locks.
func (a *applier) gaveUp(ctx context.Context, err error) error {
	r, s := a.retry, a.attempt.step
	var failed *MigrationError
	if !errors.As(err, &failed) && err != nil && ctx.Err() != nil && r.last != nil {
		failed = &MigrationError{Set: a.m.set.Name(), Version: s.Version, Name: s.Name, Direction: s.Direction, Err: r.cancelled(err)}
		err = failed
	}
	if failed != nil {
		failed.Retries, failed.LockWait = r.retries, r.lost
		if forALock(err) {
			failed.Blockage = r.lastSeen()
		}
	}
	return err
}

// othersProgress reports whether to wait for the lock again, beyond the timeout. The timeout is
// for a process that holds the lock and makes no progress: with twenty processes and a thousand
// migrations, each process waits longer than for any single migration. locked is the error of the
// wait.
func (a *applier) othersProgress(ctx context.Context, locked error, from int) (bool, error) {
	if a.m.lockOptions(a.expect.Settings).Timeout == 0 {
		return false, locked
	}
	st, err := a.m.db.State(ctx, a.m.set.Name())
	switch {
	case errors.Is(err, database.ErrLocked): // the state can't be read either
		return false, locked
	case err != nil:
		return false, err
	case st.Head == a.expect.Head && !journalChanged(a.expect.Interrupted, st.Interrupted):
		return false, locked
	}
	if err := a.adopt(ctx, st, from); err != nil {
		return false, err
	}
	return true, locked
}

// journalChanged reports whether a run wrote its journal between two readings of it.
func journalChanged(before, now *database.Journal) bool {
	return now != nil && (before == nil || !now.UpdatedAt.Equal(before.UpdatedAt))
}

// lockTimeout returns how long a statement waits for a lock, by the options or else by the
// database's settings; NoTimeout for no limit, whatever the session has.
func (m *Migrator) lockTimeout(s database.Settings) time.Duration {
	limit := m.opts.LockTimeout
	if limit == 0 {
		limit = s.Duration(database.LockTimeout)
	}
	if limit <= 0 {
		return NoTimeout
	}
	return limit
}

// lockOptions returns how long to wait for the lock and for other sessions, by the options or else
// by the database's settings.
func (m *Migrator) lockOptions(s database.Settings) database.LockOptions {
	timeout := m.opts.MigrationLockTimeout
	switch {
	case timeout == 0:
		timeout = s.Duration(database.MigrationLockTimeout)
	case timeout < 0:
		timeout = 0
	}
	start := time.Now()
	return database.LockOptions{
		Timeout: timeout,
		Waiting: func(h database.Holder) {
			m.observe(LockWaiting{Set: m.set.Name(), Holder: h, Waited: time.Since(start)})
		},
		LockTimeout: m.lockTimeout(s),
		Blocked:     func(b database.Blockage) { m.observe(StatementWaiting{Set: m.set.Name(), Blockage: b}) },
	}
}
