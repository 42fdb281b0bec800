package database

import (
	"context"
	"errors"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// A backfill changes the rows of a table in batches. Its Start entry makes its version applied; its
// Finish entry says that all rows are changed. In between, the target has a row for the backfill
// and one for each of its lanes.
//
// A lane is a range of keys that one worker at a time takes from its beginning to its end. Lanes
// are cut one after the other from the head of the backfill: together they have all keys up to the
// head, and no two of them share a key. A worker has a lane for a limited time, the lease, which
// each batch extends. A batch and the position of its lane commit together, so that each range of
// keys is changed exactly once.

// BackfillID is the identity of a backfill: a version of a set.
type BackfillID struct {
	Set     string
	Version int64
}

// BackfillState says what a backfill does.
type BackfillState string

// The states. Waiting is not stored: it is a running backfill that a limit holds back.
const (
	BackfillRunning   BackfillState = "running"
	BackfillPaused    BackfillState = "paused"
	BackfillWaiting   BackfillState = "waiting"
	BackfillDone      BackfillState = "done"
	BackfillFailed    BackfillState = "failed"
	BackfillCancelled BackfillState = "cancelled"
)

// Ended reports whether no worker takes a lane of the backfill, whatever happens, until somebody
// calls for it.
func (s BackfillState) Ended() bool {
	return s == BackfillDone || s == BackfillFailed || s == BackfillCancelled
}

// Key is the key of a row: one text for each column, in the order of Backfill.Key. The driver
// decides how it writes a value, so that it can be bound again and read by people. nil is no key.
type Key []string

// Backfill is a backfill as its target stores it, at one moment.
type Backfill struct {
	BackfillID
	Name    string
	EntryID int64 // of its Start entry, which has the text of the script
	Table   string
	Key     []string // its columns; "ctid" for blocks
	State   BackfillState
	// Detached says that workers of a job queue execute it, and that no migration waits for it.
	Detached bool
	BackfillLimits
	// Pass counts from 1 how often all rows are taken. Head is the key up to which lanes of this
	// pass have been cut, and Last the key at which the pass ends; nil if the table had no row.
	Pass       int
	Head, Last Key
	// RowsEstimated is what the server estimated when the backfill started. RowsDone and Batches
	// count those of all lanes and passes.
	RowsEstimated, RowsDone, Batches int64
	// Lanes are those that are not done, ordered by ID.
	Lanes []Lane
	// ThrottledBy is why it waits, or waited last, and ThrottledAt when that was; "" for never.
	ThrottledBy string
	ThrottledAt time.Time
	// Error is why it failed.
	Error string
	// Now is the server's time. All times of leases are the server's.
	Now                              time.Time
	StartedAt, UpdatedAt, FinishedAt time.Time
}

// BackfillLimits are what an operator can change while a backfill runs. They have no zero values
// but Batch and Pause: see [migration.Backfill].
type BackfillLimits struct {
	Batch    int
	Target   time.Duration
	Parallel int
	Pause    time.Duration
	Timeout  time.Duration
	Attempts int
}

// Lane is a range of keys: those after After, up to Last. Both nil is an open end.
type Lane struct {
	ID          int64
	After, Last Key
	// At is the last key that is done; After, if none is.
	At Key
	// Worker is the process that has the lane, until LeasedUntil; "" for none. Token grows with
	// each claim, so that a worker that has lost its lane can't write.
	Worker      string
	LeasedUntil time.Time
	Token       int64
	// Attempts is how often it has failed since a batch succeeded, and Error why it failed last. No
	// worker takes it before NotBefore. Failed says that it is not tried again.
	Attempts  int
	Error     string
	NotBefore time.Time
	Failed    bool
	// Batch is the size that the last batch had; 0 for none yet.
	Batch         int
	Rows, Batches int64
}

// BackfillQuery selects backfills. The zero value selects those of all sets.
type BackfillQuery struct {
	Set     string
	Version *int64
	// Unfinished leaves out those that are done.
	Unfinished bool
}

// BackfillAction is what somebody, or the engine, does with a backfill.
type BackfillAction string

// The actions. Each but Progress is an entry of the history with the direction Control.
const (
	ActionPause  BackfillAction = "pause"
	ActionResume BackfillAction = "resume" // of a paused one
	ActionCancel BackfillAction = "cancel"
	ActionRetry  BackfillAction = "retry" // of a failed or cancelled one: its failed lanes start again at their positions
	ActionSet    BackfillAction = "set"   // BackfillChange.Limits
	ActionDetach BackfillAction = "detach"
	ActionFail   BackfillAction = "fail" // BackfillChange.Error
	// ActionPass begins another pass over all rows. It needs that no lane is left.
	ActionPass BackfillAction = "pass"
	// ActionThrottled records why it waits, without an entry.
	ActionThrottled BackfillAction = "throttled"
)

// BackfillChange is a change of a backfill's row.
type BackfillChange struct {
	BackfillID
	Action BackfillAction
	Limits BackfillLimits // of ActionSet; all of them
	Why    string         // of ActionFail and ActionThrottled
	// Reason is why a person does it.
	Reason string
}

// ErrNoBackfill is wrapped by the error of a call for a backfill that the target does not have.
var ErrNoBackfill = errors.New("the database has no such backfill")

// ErrNoTable is wrapped by the error of CheckBackfill if the table does not exist (yet).
var ErrNoTable = errors.New("the table does not exist")

// ErrLeaseLost is wrapped by the error of a LaneWork if another worker has, or may have, the lane,
// or if the backfill is gone. Nothing of the batch was committed.
var ErrLeaseLost = errors.New("the lease of the lane was lost")

// ErrBackfillStopped is wrapped by the error of LaneWork.Batch if the backfill is no longer
// running, or if the database is frozen. Nothing of the batch was committed.
var ErrBackfillStopped = errors.New("the backfill is stopped")

// BackfillStateError reports an action that the state of the backfill does not allow.
type BackfillStateError struct {
	BackfillID
	Action BackfillAction
	State  BackfillState
}

func (e *BackfillStateError) Error() string {
	return "the backfill is " + string(e.State) + ", so it can't " + string(e.Action)
}

// BackfillTarget is what CheckBackfill has found.
type BackfillTarget struct {
	Table         string // with its schema, as SQL writes it
	Key           []string
	RowsEstimated int64 // 0 if the server can't tell
	// Sync is the table for [migration.Script.SyncTriggers], if the script has the directive sync.
	Sync *migration.SyncTable
}

// Backfiller is a Database that executes backfills. Its Tx is a [BackfillTx].
type Backfiller interface {
	// CheckBackfill returns what the backfill of a script works on. It executes nothing of the
	// script, but lets the server prepare the statements of the body if that has no effect. The
	// error is a *sqltext.Error with the place of the directive or statement that is wrong: the
	// table is not a table, the key is not unique or can be NULL, a parameter names no column of
	// the key, a statement does not fit the table. For a table that does not exist it is
	// ErrNoTable, too.
	CheckBackfill(ctx context.Context, s *migration.Script) (BackfillTarget, error)
	// Backfills returns the backfills that a query selects, by set and version. It locks and writes
	// nothing. A target that never had a backfill has none.
	Backfills(ctx context.Context, q BackfillQuery) ([]Backfill, error)
	// ChangeBackfill changes a backfill and records that in the history, in one transaction. It
	// does not take the migration lock. If the state does not allow the action, it is a
	// *BackfillStateError, and nothing changes; an action that changes nothing is none, and records
	// nothing.
	ChangeBackfill(ctx context.Context, c BackfillChange) (Backfill, error)
	// ClaimLane leases a lane to a worker, on a connection of its own. It decides with
	// [Backfill.Claim], under a lock on the backfill's row. If the worker gets none, the LaneWork
	// is nil, and the Backfill says why: no lane is free, it is not running, or all is done. The
	// database being frozen is ErrBackfillStopped.
	ClaimLane(ctx context.Context, c LaneClaim) (Backfill, LaneWork, error)
	// Signals measures what a throttle asks for, and whether sessions wait for locks of the
	// backfill's workers. Those that can't be measured have an Err.
	Signals(ctx context.Context, b Backfill, t migration.Throttle) ([]Signal, error)
}

// LaneClaim asks for a lane.
type LaneClaim struct {
	BackfillID
	Script *migration.Script // SQL text, or a function of the driver
	Worker string            // host, process and a number: unique at any time
	Lease  time.Duration     // at least a few times as long as a batch
	// LockTimeout limits each wait of a batch for a lock; below 0 for no limit.
	LockTimeout time.Duration
}

// LaneWork is a lane that a worker has. Only one goroutine can use it at a time.
type LaneWork interface {
	// Lane returns the lane as it is now. It sends no query.
	Lane() Lane
	// Batch takes up to rows rows that follow the lane's position, executes the body for them, and
	// moves the position, in one transaction. It extends the lease. The position moves to the end
	// of the lane if fewer rows are left; then the lane is done. An error means that nothing of the
	// batch was committed, or is a *CommitUnknownError; then the lane must be closed. If the body
	// fails for the rows, it is a *BatchError that says which; ErrLockTimeout, ErrDeadlock,
	// ErrConflict and ErrBatchTimeout are told apart.
	Batch(ctx context.Context, rows int) (BatchResult, error)
	// Close gives the lane back. If failure is not nil, it records it first. It must work with a
	// context that is done, and after any error; a lane that is lost needs nothing.
	Close(ctx context.Context, failure *LaneFailure) error
}

// ErrBatchTimeout is wrapped by the error of a batch that took longer than the backfill's Timeout.
var ErrBatchTimeout = errors.New("the batch took too long")

// BatchError is the error of a batch whose body failed for its rows. Nothing of it was committed.
type BatchError struct {
	First, Last Key // of the rows
	Rows        int64
	Err         error // a *StatementError, or the error of a Go function
}

func (e *BatchError) Error() string { return e.Err.Error() }

func (e *BatchError) Unwrap() error { return e.Err }

// BatchResult is a batch that was committed.
type BatchResult struct {
	Rows     int64 // in the range; not those that the body changed
	Changed  int64 // that the statements of the body changed, as the server counts them
	Duration time.Duration
	Done     bool // the lane has no more rows
}

// LaneFailure is why a worker gives a lane back.
type LaneFailure struct {
	Err       string
	First     Key // of the batch that failed; nil if unknown
	Last      Key
	Attempts  int // that count: 0 for a failure that does not
	NotBefore time.Duration
	Final     bool
	Batch     int // the size with which the next attempt begins; 0 keeps it
}

// Signal is a measurement for a throttle.
type Signal struct {
	// Name is what was measured, in the words of the directives: "max-lag".
	Name string
	// Over says that the limit is exceeded. Text describes the measurement: "replica b is 12s
	// behind".
	Over bool
	Text string
	// Err is why it can't be measured; the backfill must wait then.
	Err error
}

// BackfillTx is a Tx that starts and ends backfills. Both may be queued.
type BackfillTx interface {
	// StartBackfill stores a new backfill of the transaction's set, in place of an earlier one of
	// the version, and creates its triggers. It looks up the first and the last key. The caller
	// records its Start entry in the same transaction, or names the one that it has. It creates the
	// tables if they are missing.
	StartBackfill(ctx context.Context, b BackfillStart) error
	// FinishBackfill makes a backfill done, if it has no lane and its head has reached the last
	// key, and otherwise fails with ErrBackfillStopped. The caller records the Finish entry.
	FinishBackfill(ctx context.Context, version int64) error
	// EndBackfill removes a backfill, if it exists: its version is rolled back or forgotten.
	// Workers that still have a lane lose it.
	EndBackfill(ctx context.Context, version int64) error
}

// BackfillStart is what StartBackfill stores.
type BackfillStart struct {
	Version  int64
	Name     string
	Script   *migration.Script
	Detached bool
	Limits   BackfillLimits
	// EntryID is the Start entry of the version, if the transaction does not record one: a cancelled
	// backfill begins anew.
	EntryID int64
}

// BackfillerOf returns a Database as a [Backfiller].
func BackfillerOf(db Database) (Backfiller, error) { return power[Backfiller](db, PowerBackfill) }

// BackfillTxOf returns a Tx as a [BackfillTx].
func BackfillTxOf(tx Tx) (BackfillTx, error) { return power[BackfillTx](tx, PowerBackfill) }

// LimitsOf returns the limits of a script's backfill, with the defaults.
func LimitsOf(b *migration.Backfill) BackfillLimits {
	l := BackfillLimits{
		Batch: b.Batch, Target: b.Target, Parallel: b.Parallel, Pause: b.Pause, Timeout: b.Timeout, Attempts: b.Attempts,
	}
	if l.Target == 0 {
		l.Target = migration.DefaultTarget
	}
	if l.Parallel == 0 {
		l.Parallel = 1
	}
	if l.Timeout == 0 {
		l.Timeout = migration.DefaultBatchTimeout
	}
	if l.Attempts == 0 {
		l.Attempts = migration.DefaultAttempts
	}
	return l
}

// BodyError returns an error for a statement of a backfill's body.
func BodyError(st sqltext.Statement, msg string) error {
	return &sqltext.Error{Pos: st.Pos, Msg: msg}
}
