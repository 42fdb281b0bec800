package memdb

import (
	"context"
	"errors"
)

// The names that a hook is called with: the methods of Database, Tx and Run.
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
	OpRunBefore     = "Run.Before"
	OpRunOutcome    = "Run.Outcome"
	OpRunRecord     = "Run.Record"
	OpRunClose      = "Run.Close"
)

// ErrKilled kills the process, when a hook returns it: its transactions are rolled back,
// its locks are free, and this call and every later one fail with ErrKilled.
var ErrKilled = errors.New("memdb: the process was killed")

// ErrCommitted and ErrNotCommitted, when a hook returns them for OpTxCommit, OpRunJournal,
// OpRunRecord or OpRunExec, cut the connection while COMMIT is under way, after it happened or
// before. The caller sees a *database.CommitUnknownError either way, and the Tx or Run is over. A
// statement that is executed without a mark commits nothing: it has happened, or not, and the error
// is a *database.LockLostError.
var (
	ErrCommitted    = errors.New("memdb: the answer to COMMIT was lost")
	ErrNotCommitted = errors.New("memdb: COMMIT was lost")
)

// ErrDone, when a hook returns it for OpRunExec, OpRunJournal or OpRunRecord, kills the process
// when the call has done what it does and has not returned yet. ErrHalfway, for OpRunExec, kills it
// in the middle of a statement that can't be in a transaction: CREATE INDEX CONCURRENTLY leaves an
// invalid index behind. Of any other statement nothing has happened then.
var (
	ErrDone    = errors.New("memdb: the process was killed when it was done")
	ErrHalfway = errors.New("memdb: the process was killed halfway")
)

// SetHook has fn called before each call of this Database, its Txs and Runs, with one of the Op
// names. The call fails with fn's error, having done nothing; but Rollback and Close still end what
// they end, as a broken connection does. The errors that are declared above do what they say.
func (d *Database) SetHook(fn func(op string) error) {
	d.target.mu.Lock()
	defer d.target.mu.Unlock()
	d.hook = fn
}

// Kill ends the process as kill -9 does. It may be called at any time, from a hook too.
func (d *Database) Kill() { d.end(ErrKilled) }

// end makes the database unusable, for a cause, and ends what is open.
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

// err returns why the database is gone, nil when it isn't.
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
