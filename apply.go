package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var errNoPlan = errors.New("Apply was given no plan; pass one that Migrator.Plan returned")

// Apply does what a plan says, unit by unit. For each it takes the migration lock
// and looks, under it, whether the history is still what the plan was made from.
// What another process has done meanwhile, with the same checksums, is skipped;
// any other difference that matters is a *ConflictError.
//
// The Result is never nil: after an error it says what was done and stands.
func (m *Migrator) Apply(ctx context.Context, p *Plan, opts ApplyOptions) (*Result, error) {
	start := time.Now()
	m = m.with(opts)
	if p == nil || len(p.Units) > 0 && p.base == nil {
		return &Result{Set: m.set.Name()}, errNoPlan
	}
	a := &applier{Migrator: m, plan: p, todo: p.Steps(), of: len(p.Steps())}
	if len(p.Units) > 0 {
		a.expect = p.base.Clone()
	}
	a.result.Set = m.set.Name()
	err := a.run(ctx)
	a.result.Duration = time.Since(start)
	return &a.result, err
}

// applier carries one call of Apply.
type applier struct {
	*Migrator
	plan   *Plan
	expect *database.State // what the database holds, as far as the applier knows
	todo   []Step          // what is still to do, as far as it is known
	result Result
	looked bool // at the history, under the lock
	done   int  // steps
	of     int
}

func (a *applier) run(ctx context.Context) error {
	if a.plan.Set != a.set.Name() {
		return fmt.Errorf("the plan is for set %q, not for %q", a.plan.Set, a.set.Name())
	}
	if len(a.todo) > 0 {
		if err := a.allowed(a.expect, a.todo); err != nil {
			return err
		}
	}
	a.opts.Observe(Planned{Plan: a.plan})
	for _, p := range a.plan.Downs {
		a.opts.Observe(DownRefused{Problem: p})
	}
	for i, u := range a.plan.Units {
		rest := a.plan.Units[i:]
		err := a.patiently(ctx, u, rest)
		for try := 1; again(err, try) && ctx.Err() == nil; try++ {
			a.looked = false
			if next := a.patiently(ctx, u, rest); a.looked || !stillUnknown(err, next) {
				err = next
			}
		}
		if err != nil {
			a.opts.Observe(UnitFailed{Unit: u, Err: err})
			return err
		}
	}
	return nil
}

// again reports whether a unit that came to nothing is worth another try: the next one, from 1.
func again(err error, try int) bool {
	const conflicts = 5
	var unknown *database.CommitUnknownError
	switch {
	case errors.Is(err, database.ErrHeadChanged):
		return true // another process has recorded something, so there is an end to it
	case errors.Is(err, database.ErrConflict):
		return try <= conflicts
	case errors.As(err, &unknown), errors.Is(err, database.ErrFenced):
		// The lock is free once the server has decided. If it committed, the
		// history has the unit and it is skipped as done. Who has taken a run over may
		// be a process that is gone, and whose last words the server has heard late.
		return try == 1
	}
	return false
}

// stillUnknown reports whether a COMMIT whose answer was lost is as unknown as before, since the next try has not come so
// far as to look; then it says why.
func stillUnknown(err, next error) bool {
	var unknown *database.CommitUnknownError
	if next == nil || !errors.As(err, &unknown) {
		return false
	}
	unknown.Err = fmt.Errorf("%w; this could not be found out: %w", unknown.Err, next)
	return true
}

// patiently does one unit, and goes on waiting for the lock beyond the timeout as
// long as those who hold it get on: with twenty processes and a thousand migrations
// each of them waits longer than for any one.
func (a *applier) patiently(ctx context.Context, u Unit, rest []Unit) error {
	for {
		err := a.unit(ctx, u, rest)
		if !errors.Is(err, database.ErrLocked) || a.lockOptions(a.expect.Settings).Timeout == 0 {
			return err
		}
		if moved, perr := a.progress(ctx, rest); errors.Is(perr, database.ErrLocked) {
			return err // not even that can be read
		} else if perr != nil {
			return perr
		} else if !moved {
			return err
		}
	}
}

// unit does one unit; rest are the units that are not done yet, this one first.
func (a *applier) unit(ctx context.Context, u Unit, rest []Unit) error {
	if u.Kind == RunUnit {
		return a.runUnit(ctx, u, rest)
	}
	return a.batchUnit(ctx, u, rest)
}

// lockOptions say how long to wait for the lock: as the options do, or the target.
func (m *Migrator) lockOptions(s database.Settings) database.LockOptions {
	timeout := m.opts.LockTimeout
	switch {
	case timeout == 0:
		timeout = s.Duration(database.LockTimeout)
	case timeout < 0:
		timeout = 0
	}
	return database.LockOptions{
		Timeout: timeout,
		Waiting: func(h database.Holder) { m.opts.Observe(LockWaiting{Set: m.set.Name(), Holder: h}) },
		Blocked: func(h database.Holder) { m.opts.Observe(StatementWaiting{Set: m.set.Name(), Holder: h}) },
	}
}

func (a *applier) batchUnit(ctx context.Context, u Unit, rest []Unit) (err error) {
	b, found, err := a.db.Begin(ctx, a.set.Name(), a.lockOptions(a.expect.Settings))
	if err != nil {
		return err
	}
	defer func() {
		if rerr := b.Rollback(ctx); err == nil {
			err = rerr
		}
	}()
	todo, err := a.recheck(ctx, found, b, u, rest)
	if err != nil || len(todo) == 0 {
		return err
	}
	if found.Interrupted {
		st, err := b.State(ctx)
		if err != nil {
			return err
		}
		return a.begunMeanwhile(st)
	}
	for i, s := range todo {
		a.opts.Observe(StepStarted{Step: s, Unit: BatchUnit, Index: a.done + i, Of: a.of})
		if err := a.inBatch(ctx, b, s); err != nil {
			return a.failed(todo, i, nil, err)
		}
	}
	committed, err := b.Commit(ctx)
	if err != nil {
		return a.failed(todo, len(todo)-1, nil, err)
	}
	recorded, want := committed.Entries, 0
	for _, s := range todo {
		want += s.eventCount()
	}
	if err := checkRecorded(recorded, want); err != nil {
		return a.failed(todo, len(todo)-1, nil, err)
	}
	for _, s := range todo {
		n := s.eventCount()
		a.stepDone(s, recorded[:n]...)
		recorded = recorded[n:]
	}
	a.expect.Head = committed.Head
	return nil
}

// eventCount is how many events a step leaves in the history.
func (s *Step) eventCount() int { return 1 + len(s.marks) + len(s.forgets) }

// checkRecorded refuses what a driver says that it has recorded, if it is not one event for each that it was given: the
// history would not say what was done.
func checkRecorded(got []database.Entry, want int) error {
	if len(got) == want {
		return nil
	}
	return fmt.Errorf("the history was given %d events, and the driver says that it has recorded %d: look at the history before anything else is run", want, len(got))
}

// inBatch runs a step's script in a batch, and records its events.
func (a *applier) inBatch(ctx context.Context, b database.Tx, s Step) error {
	if s.runs() {
		if err := b.Exec(ctx, s.Script); err != nil {
			return err
		}
	}
	return a.conclude(ctx, b, s, time.Time{})
}

// conclude writes what a step leaves in Whimbrel's own tables: the metadata that it carries, and its events. They began
// at start, or, for the zero time, when the batch says.
func (a *applier) conclude(ctx context.Context, b database.Tx, s Step, start time.Time) error {
	if s.metadata != nil {
		if err := carry(ctx, b, s); err != nil {
			return err
		}
	}
	events, err := a.events(s)
	if err != nil {
		return err
	}
	if !start.IsZero() {
		events = timed(events, start)
	}
	return b.Record(ctx, events...)
}

// events are all that the history keeps of a step, its own first.
func (a *applier) events(s Step) ([]database.Entry, error) {
	own, err := a.event(s)
	if err != nil {
		return nil, err
	}
	all := []database.Entry{own}
	for _, m := range s.marks {
		ev, err := a.event(Step{Version: m.Version, Name: m.Name, Direction: database.Mark, up: m.Up, down: m.Down})
		if err != nil {
			return nil, err
		}
		all = append(all, ev)
	}
	for _, f := range s.forgets {
		ev, err := a.event(Step{Version: f.Version, Name: f.Name, Direction: database.Forget, applied: f})
		if err != nil {
			return nil, err
		}
		all = append(all, ev)
	}
	return all, nil
}

// event is what the history keeps of a step's own script.
func (a *applier) event(s Step) (database.Entry, error) {
	e := database.Entry{
		Set: a.set.Name(), Version: s.Version, Name: s.Name, Direction: s.Direction,
		Checksum: s.applied.Checksum, ToolVersion: ToolVersion(), Note: a.opts.Note,
	}
	return e, a.setScripts(&e, s.up, s.down)
}

// setScripts puts the checksums of a migration's scripts, and their texts up to the
// limit, into an event.
func (m *Migrator) setScripts(e *database.Entry, up, down *migration.Script) (err error) {
	if up != nil {
		e.Checksum, e.UpDirectives = up.Checksum, up.Directives
		if !up.Secret {
			e.UpText, _, err = up.Text(m.opts.TextLimit)
		}
		if err != nil {
			return err
		}
	}
	if down != nil {
		e.DownChecksum, e.DownDirectives = down.Checksum, down.Directives
		if !down.Secret {
			e.DownText, e.HasDownText, err = down.Text(m.opts.TextLimit)
		}
	}
	return err
}

func (a *applier) stepDone(s Step, events ...database.Entry) {
	ev := events[0]
	d := StepResult{Version: s.Version, Name: s.Name, Duration: ev.Duration}
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
	for _, m := range s.marks {
		if m.Version != s.Version {
			r.Recorded = append(r.Recorded, StepResult{Version: m.Version, Name: m.Name})
		}
	}
	for _, ev := range events {
		a.expect.Fold(ev)
	}
	a.opts.Observe(StepDone{Step: s, Index: a.done, Of: a.of, Duration: ev.Duration})
	a.done++
}

// failed says which migration failed. A batch may find out about a statement later
// than it was given it, so the place in the error decides. j is the run that it leaves open.
func (a *applier) failed(steps []Step, i int, j *database.Journal, err error) error {
	if stuck := (*InterruptedError)(nil); errors.As(err, &stuck) {
		return err // nothing was tried
	}
	var st *database.StatementError
	if errors.As(err, &st) {
		i = stepAt(steps, st.Pos, i)
		if st.Pos.Line > 0 { // a statement of Whimbrel's own has no place
			st.Excerpt = excerpt(steps[i].Script, st.Pos, a.db.Dialect())
		}
	}
	s := steps[i]
	a.maskError(err, s.Script)
	failed := &MigrationError{Set: a.set.Name(), Version: s.Version, Name: s.Name, Direction: s.Direction, Err: err}
	if j.Open() {
		failed.Executed, failed.Journal = j.Done, j
	}
	return failed
}

// stepAt returns which step's script a place is in. A file may hold two scripts, of
// which the one that begins last before the place has it.
func stepAt(steps []Step, pos sqltext.Position, otherwise int) int {
	at := -1
	for i, s := range steps {
		if s.Script.File == pos.File && s.Script.Line <= pos.Line && (at < 0 || s.Script.Line > steps[at].Script.Line) {
			at = i
		}
	}
	if at < 0 {
		return otherwise
	}
	return at
}
