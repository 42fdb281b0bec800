package memdb

import (
	"context"
	"errors"
)

// The names that a hook receives: the methods of Database, Tx and Run.
const (
	OpState         = "State"
	OpHistory       = "History"
	OpBegin         = "Begin"
	OpGuard         = "Guard"
	OpUpdateSetting = "UpdateSetting"
	OpSnapshot      = "Snapshot"
	OpMetadata      = "Metadata"
	OpQuery         = "Query"
	OpClose         = "Close"
	OpTxState       = "Tx.State"
	OpTxExec        = "Tx.Exec"
	OpTxRecord      = "Tx.Record"
	OpTxReset       = "Tx.Reset"
	OpTxMetadata    = "Tx.Metadata"
	OpTxPutMetadata = "Tx.PutMetadata"
	OpTxCommit      = "Tx.Commit"
	OpTxRollback    = "Tx.Rollback"
	OpRunState      = "Run.State"
	OpRunExec       = "Run.Exec"
	OpRunJournal    = "Run.Journal"
	OpRunAnnounce   = "Run.Announce"
	OpRunOutcome    = "Run.Outcome"
	OpRunRecord     = "Run.Record"
	OpRunClose      = "Run.Close"

	OpCheckBackfill  = "CheckBackfill"
	OpBackfills      = "Backfills"
	OpChangeBackfill = "ChangeBackfill"
	OpClaimLane      = "ClaimLane"
	OpSignals        = "Signals"
	OpLaneBatch      = "Lane.Batch"
	OpLaneClose      = "Lane.Close"
	OpTxBackfill     = "Tx.Backfill" // StartBackfill, FinishBackfill and EndBackfill
)

// ErrKilled kills the process if a hook returns it: its transactions are rolled back, its locks are
// released, and this call and all later ones fail with ErrKilled.
var ErrKilled = errors.New("memdb: the process was killed")

// If a hook returns ErrCommitted or ErrNotCommitted for OpTxCommit, OpRunJournal, OpRunAnnounce,
// OpRunRecord, OpRunExec or OpLaneBatch, the connection is cut during COMMIT, after or before it
// took effect. In both cases, the caller gets a *database.CommitUnknownError, and the Tx or Run is
// over. A statement without a journal commits nothing: its error is a *database.LockLostError.
var (
	ErrCommitted    = errors.New("memdb: the answer to COMMIT was lost")
	ErrNotCommitted = errors.New("memdb: COMMIT was lost")
)

// If a hook returns ErrDone for OpRunExec, OpRunJournal, OpRunAnnounce, OpRunRecord, OpClaimLane,
// OpLaneBatch, OpLaneClose or OpChangeBackfill, the process is killed after the call took effect
// and before it returns. ErrHalfway, for OpRunExec, kills it in the middle of a statement that
// can't be in a transaction: CREATE INDEX CONCURRENTLY and DROP INDEX CONCURRENTLY leave an invalid
// index. Any other statement then has no effect. With ErrDeadlocked, the process lives, and the
// statement fails there because of a deadlock.
var (
	ErrDone       = errors.New("memdb: the process was killed after the call took effect")
	ErrHalfway    = errors.New("memdb: the process was killed in the middle of a statement")
	ErrDeadlocked = errors.New("memdb: the statement failed in its middle")
)

// SetHook sets a function that is called with one of the Op names before each call of this
// Database, its Txs and Runs. If it returns an error, the call fails with it and has no effect; but
// Rollback and Close still end what they end, as if a connection broke. The errors above have the
// effects described there.
func (d *Database) SetHook(fn func(op string) error) {
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	d.hook = fn
}

// Kill ends the process like kill -9. It can be called at any time, also by a hook.
func (d *Database) Kill() { d.end(ErrKilled) }

// end makes the Database unusable for a cause, and ends its transactions and runs.
func (d *Database) end(cause error) {
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	if d.cause != nil {
		return
	}
	d.cause = cause
	close(d.gone)
	for h := range d.open {
		d.release(h)
	}
}

// err returns why the Database is unusable, or nil.
func (d *Database) err() error {
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	return d.cause
}

// enter begins every call.
func (d *Database) enter(ctx context.Context, op string) error {
	d.target.mu.Lock()
	cause, hook := d.cause, d.hook
	d.target.mu.Unlock()
	if cause != nil {
		return cause
	}
	if hook != nil {
		if err := hook(op); err != nil {
			if errors.Is(err, ErrKilled) {
				d.Kill()
			}
			return err
		}
		if err := d.err(); err != nil { // the hook may have called Kill
			return err
		}
	}
	return ctx.Err()
}
