package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// BackfillStatus is a backfill, and what follows from its numbers.
type BackfillStatus struct {
	database.Backfill
	// Percent is how much of it is done, from 0 to 100: an estimate before its end. It is below 0
	// if the database has no estimate of its rows.
	Percent float64
	// RowsPerSecond is how fast it is. While a call of this process works on it, that is the speed
	// of the last seconds; otherwise that since its start. 0 if unknown.
	RowsPerSecond float64
	// Left is how long it takes at this speed; 0 if unknown.
	Left time.Duration
}

// RunOptions are the options of RunBackfill. The zero value is useful.
type RunOptions struct {
	// Workers limits how many batches the call executes at the same time. 0 is as many as the
	// backfill allows to all processes together.
	Workers int
	// For ends the call after this time, when the batches that it executes are committed. 0 is no
	// limit.
	For time.Duration
	// Idle ends the call when it has found nothing to do for so long: other processes have all
	// lanes, a limit holds the backfill back, or the lanes that are left are tried again later. 0
	// waits without limit.
	Idle time.Duration
}

// newBackfillStatus returns what follows from a backfill. speed is measured, or 0 for unknown.
func newBackfillStatus(b database.Backfill, speed float64) BackfillStatus {
	s := BackfillStatus{Backfill: b, RowsPerSecond: speed, Percent: -1}
	if b.State == database.BackfillRunning && !b.ThrottledAt.IsZero() && b.Now.Sub(b.ThrottledAt) < throttledFor && !leased(b) {
		s.State = database.BackfillWaiting
	}
	until := b.Now
	if b.State != database.BackfillRunning {
		until = b.UpdatedAt
	}
	if took := until.Sub(b.StartedAt).Seconds(); speed == 0 && took > 0 {
		s.RowsPerSecond = float64(b.RowsDone) / took
	}
	left := float64(b.RowsEstimated) - float64(b.RowsDone-int64(max(b.Pass-1, 0))*b.RowsEstimated)
	switch {
	case b.State == database.BackfillDone:
		s.Percent = 100
		return s
	case b.RowsEstimated > 0:
		s.Percent = min(max(100-100*left/float64(b.RowsEstimated), 0), almostDone)
	}
	if left > 0 && s.RowsPerSecond > 0 && b.RowsEstimated > 0 && !b.State.Ended() && b.State != database.BackfillPaused {
		s.Left = time.Duration(left / s.RowsPerSecond * float64(time.Second))
	}
	return s
}

// leased reports whether a worker has a lane. While a limit holds them back, none has.
func leased(b database.Backfill) bool {
	return slices.ContainsFunc(b.Lanes, func(l database.Lane) bool { return l.Worker != "" && l.LeasedUntil.After(b.Now) })
}

// throttledFor is how long a backfill counts as waiting after a limit has held it back: longer than
// the longest pause between two looks.
const throttledFor = time.Minute

// almostDone is the highest Percent of a backfill that is not done: its rows are only estimated.
const almostDone = 99.9

// Backfills returns the backfills of the set, finished ones included, by version. It locks and
// changes nothing.
func (m *Migrator) Backfills(ctx context.Context) ([]BackfillStatus, error) {
	m = m.call(ctx)
	db, err := database.BackfillerOf(m.db)
	if err != nil {
		return nil, err
	}
	all, err := db.Backfills(ctx, database.BackfillQuery{Set: m.set.Name()})
	if err != nil {
		return nil, err
	}
	out := make([]BackfillStatus, 0, len(all))
	for _, b := range all {
		out = append(out, newBackfillStatus(b, 0))
	}
	return out, nil
}

// readBackfill reads one backfill. If the database does not have it, the error is
// [database.ErrNoBackfill].
func (m *Migrator) readBackfill(ctx context.Context, version int64) (database.Backfill, error) {
	db, err := database.BackfillerOf(m.db)
	if err != nil {
		return database.Backfill{}, err
	}
	all, err := db.Backfills(ctx, database.BackfillQuery{Set: m.set.Name(), Version: &version})
	if err != nil {
		return database.Backfill{}, err
	}
	if len(all) != 1 {
		return database.Backfill{}, fmt.Errorf("backfill %d of set %q: %w", version, m.set.Name(), database.ErrNoBackfill)
	}
	return all[0], nil
}

// ChangeBackfill pauses, resumes, cancels, retries or changes a backfill of the set; c.Set has no
// effect. It takes no lock: workers follow within a batch. The history gets an entry. If the state
// of the backfill does not allow the action, the error is a *database.BackfillStateError.
//
// A backfill that is cancelled remains applied and unfinished. Up neither continues it nor waits
// for it, and migrations that come after it are refused; the action "retry" continues it.
func (m *Migrator) ChangeBackfill(ctx context.Context, c database.BackfillChange) (BackfillStatus, error) {
	m = m.call(ctx)
	c.BackfillID = m.backfillID(c.Version)
	b, err := m.changeBackfill(ctx, c)
	return newBackfillStatus(b, 0), err
}

func (m *Migrator) changeBackfill(ctx context.Context, c database.BackfillChange) (database.Backfill, error) {
	db, err := database.BackfillerOf(m.db)
	if err != nil {
		return database.Backfill{}, err
	}
	if c.Action == database.ActionRetry {
		b, err := m.readBackfill(ctx, c.Version)
		if err != nil {
			return b, err
		}
		if b.State == database.BackfillCancelled {
			return m.retryCancelled(ctx, db, b, c)
		}
	}
	return db.ChangeBackfill(ctx, c)
}

// retryCancelled continues a backfill that was cancelled. If its triggers were removed then, rows
// that were written since have been left out: it begins anew, with new triggers. That is correct
// because the UPDATE of such a backfill has the same effect if it is executed twice.
func (m *Migrator) retryCancelled(ctx context.Context, db database.Backfiller, b database.Backfill, c database.BackfillChange) (database.Backfill, error) {
	s, err := m.startedScript(ctx, b)
	if err != nil {
		return b, &BackfillError{Set: b.Set, Version: b.Version, Name: b.Name, Backfill: newBackfillStatus(b, 0), State: b.State, Err: err}
	}
	if !s.Backfill.Sync {
		return db.ChangeBackfill(ctx, c)
	}
	_, err = m.locked(ctx, unlessFrozen(func(st *database.State) error {
		if a, ok := st.Applied.Get(b.Version); !ok || !a.Unfinished || a.EntryID != b.EntryID {
			return fmt.Errorf("backfill %d of set %q: %w", b.Version, b.Set, database.ErrNoBackfill)
		}
		return nil
	}), func(tx database.Tx) error {
		start := database.BackfillStart{Version: b.Version, Name: b.Name, Script: s, Detached: b.Detached, Limits: b.BackfillLimits, EntryID: b.EntryID}
		if err := startBackfill(ctx, tx, start); err != nil {
			return err
		}
		all := []database.Entry{c.Entry(b, "retried, with new triggers, from the beginning")}
		m.stamp(all, c.Reason, time.Now())
		return tx.Record(ctx, all...)
	})
	if err != nil {
		return b, err
	}
	return m.readBackfill(ctx, b.Version)
}

// RunBackfill executes batches of a backfill that was started, detached or not, until it is done,
// together with any number of other processes. It executes the script that the history has; the set
// is needed only for a Go function, or a script whose text the history does not keep. It returns
// the backfill as it is at the end of the call: options can end the call before the backfill is
// done, which is no error. If ctx ends, the batches that the call executes are committed first.
//
// If the backfill fails, or is paused, cancelled or frozen, the error is a *BackfillError.
func (m *Migrator) RunBackfill(ctx context.Context, version int64, opts RunOptions) (BackfillStatus, error) {
	m = m.call(ctx)
	b, err := m.readBackfill(ctx, version)
	if err != nil || b.State == database.BackfillDone {
		return newBackfillStatus(b, 0), err
	}
	script, err := m.startedScript(ctx, b)
	if err != nil {
		return newBackfillStatus(b, 0), &BackfillError{
			Set: b.Set, Version: b.Version, Name: b.Name, Backfill: newBackfillStatus(b, 0), State: b.State, Err: err,
		}
	}
	return m.runBackfill(ctx, b, script, opts)
}

// Dependency is a backfill that must be done before a step.
type Dependency struct {
	Version int64
	Name    string
	// Backfill is its state when the plan was made; nil if it was done, or if the same plan starts
	// it.
	Backfill *BackfillStatus
}

// BackfillProgress reports, about once a second, how far a backfill is: while the call executes its
// batches, and while it waits for others (Options.WaitForBackfills). The last one comes when the
// backfill is done.
type BackfillProgress struct {
	Set      string
	Backfill BackfillStatus
	// Waits reports that the call only waits: other processes execute the batches.
	Waits bool
}

// BackfillWaiting reports, repeatedly, that a limit holds a backfill back.
type BackfillWaiting struct {
	Set      string
	Backfill BackfillStatus
	Signals  []database.Signal // those that are over their limit, or can't be measured
	Waited   time.Duration     // so far
	Pause    time.Duration     // until it looks again
}

// BackfillRetrying reports that rows of a backfill failed and are tried again.
type BackfillRetrying struct {
	Set         string
	Version     int64
	Name        string
	First, Last database.Key // the rows; nil if unknown
	Attempt     int          // 2 for the second
	Err         error
	Pause       time.Duration // how long their lane waits
}

func (BackfillProgress) event() {}
func (BackfillWaiting) event()  {}
func (BackfillRetrying) event() {}

// BackfillError reports that a call ended before the backfill was done. What is committed remains,
// and the backfill continues there.
type BackfillError struct {
	Set      string
	Version  int64
	Name     string
	Backfill BackfillStatus // as it was then
	// State is why the call ended: BackfillFailed, BackfillPaused, BackfillCancelled; or
	// BackfillRunning, if the call itself ended (Err is that of its context), or was frozen (Err is
	// a *FrozenError).
	State database.BackfillState
	// Entry is the history entry of the person who paused or cancelled it; zero otherwise.
	Entry database.Entry
	// Waited reports that the call only waited for others, who may continue.
	Waited bool
	Err    error // nil if State says it all
}

func (e *BackfillError) Error() string {
	msg := fmt.Sprintf("backfill %d %s of set %q ", e.Version, e.Name, e.Set)
	switch b := e.Backfill; {
	case e.Waited && e.Err != nil:
		msg += "is not done: " + e.Err.Error()
	case e.Err != nil && (errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded)):
		msg += "was interrupted"
	case e.Err != nil:
		msg += "stopped: " + e.Err.Error()
	case e.State == database.BackfillFailed:
		msg += "has failed: " + b.Error
	default:
		msg += "is " + string(e.State) + change(e.Entry.DBUser, e.Entry.StartedAt, time.Time{}, e.Entry.Reason)
	}
	return msg + progressOf(e.Backfill)
}

// progressOf says how many rows of a backfill are done.
func progressOf(b BackfillStatus) string {
	if b.RowsEstimated > 0 {
		return fmt.Sprintf("; %d of about %d rows are done", b.RowsDone, max(b.RowsEstimated, b.RowsDone))
	}
	return fmt.Sprintf("; %d rows are done", b.RowsDone)
}

func (e *BackfillError) Unwrap() error { return e.Err }

// UnfinishedError reports a migration that comes after a backfill which is not done. Earlier steps
// remain applied.
type UnfinishedError struct {
	Set      string
	Version  int64 // of the migration; NilVersion for a repeatable script
	Name     string
	Backfill BackfillStatus // the one that it comes after
	Err      error          // that of the context that ended the wait for it; nil without a wait
}

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("%s of set %q comes after the backfill %d %s, which is %s", what(e.Version, e.Name), e.Set, e.Backfill.Version, e.Backfill.Name, e.Backfill.State) +
		progressOf(e.Backfill)
}

func (e *UnfinishedError) Unwrap() error { return e.Err }
