package whimbrel

import (
	"context"
	"errors"
	"fmt"
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

// Backfills returns the backfills of the set, finished ones included, by version. It locks and
// changes nothing.
func (m *Migrator) Backfills(ctx context.Context) ([]BackfillStatus, error) {
	return nil, errNotBuilt
}

// ChangeBackfill pauses, resumes, cancels, retries or changes a backfill of the set; c.Set has no
// effect. It takes no lock: workers follow within a batch. The history gets an entry. If the state
// of the backfill does not allow the action, the error is a *database.BackfillStateError.
//
// A backfill that is cancelled remains applied and unfinished. Up neither continues it nor waits
// for it, and migrations that come after it are refused; the action "retry" continues it.
func (m *Migrator) ChangeBackfill(ctx context.Context, c database.BackfillChange) (BackfillStatus, error) {
	return BackfillStatus{}, errNotBuilt
}

// RunBackfill executes batches of a backfill that was started, detached or not, until it is done,
// together with any number of other processes. It executes the script that the history has; the set
// is needed only for a Go function, or a script whose text the history does not keep. It returns
// the backfill as it is at the end of the call: options can end the call before the backfill is
// done, which is no error. If ctx ends, the batches that the call executes are committed first.
//
// If the backfill fails, or is paused, cancelled or frozen, the error is a *BackfillError.
func (m *Migrator) RunBackfill(ctx context.Context, version int64, opts RunOptions) (BackfillStatus, error) {
	return BackfillStatus{}, errNotBuilt
}

// ReadBackfills adds to a state the backfills that are not done, for PlanFrom and StatusFrom. It
// asks the database only if the state has one. PlanFrom calls it if the caller has not.
func ReadBackfills(ctx context.Context, db database.Database, st *database.State) error {
	return nil
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
// batches, and while a step waits for it (Options.WaitForBackfills). The last one comes when it is
// done.
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
	Err   error // nil if State says it all
}

func (e *BackfillError) Error() string {
	return fmt.Sprintf("backfill %d %s: %v", e.Version, e.Name, e.Err)
}

func (e *BackfillError) Unwrap() error { return e.Err }

// UnfinishedError reports a migration that comes after a backfill which is not done. Earlier steps
// remain applied.
type UnfinishedError struct {
	Set      string
	Version  int64 // of the migration; NilVersion for a repeatable script
	Name     string
	Backfill BackfillStatus // the one that it comes after
}

func (e *UnfinishedError) Error() string {
	return fmt.Sprintf("%s of set %q comes after the backfill %d %s, which is not done", what(e.Version, e.Name), e.Set, e.Backfill.Version, e.Backfill.Name)
}

var errNotBuilt = errors.New("backfills are not built yet")
