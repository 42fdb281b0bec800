package whimbrel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lanes"
	"github.com/whimbrel-db/whimbrel/migration"
)

// betweenChecks is the time between two checks that must both find nothing.
const betweenChecks = time.Second

// filling is a call that executes batches of a backfill until it is done.
type filling struct {
	m        *Migrator
	b        database.Backfill
	script   *migration.Script
	opts     RunOptions
	settings database.Settings
	began    time.Time
}

// runBackfill executes batches of a backfill until it is done, or as long as the options say.
func (m *Migrator) runBackfill(ctx context.Context, b database.Backfill, script *migration.Script, opts RunOptions) (BackfillStatus, error) {
	st, err := m.db.State(ctx, m.set.Name())
	if err != nil {
		return newBackfillStatus(b, 0), err
	}
	f := &filling{m: m, b: b, script: script, opts: opts, settings: st.Settings, began: time.Now()}
	if err := checkFrozen(st.Settings); err != nil {
		return newBackfillStatus(b, 0), f.stopped(ctx, err)
	}
	for {
		end, err := f.lanes(ctx)
		if err == nil && f.b.State != database.BackfillDone {
			err = f.after(ctx, end)
		}
		status := newBackfillStatus(f.b, 0)
		switch {
		case err != nil:
			return status, f.stopped(ctx, err)
		case f.b.State == database.BackfillDone:
			m.observe(BackfillProgress{Set: m.set.Name(), Backfill: status})
			return status, nil
		case end == lanes.Idle || end == lanes.Expired:
			return status, nil
		}
	}
}

// lanes executes batches until no lane is left, or as long as it can.
func (f *filling) lanes(ctx context.Context) (lanes.End, error) {
	db, err := database.BackfillerOf(f.m.db)
	if err != nil {
		return "", err
	}
	set := f.m.set.Name()
	l := &lanes.Loop{
		DB: db, ID: f.b.BackfillID, Script: f.script, Worker: workerName(), Workers: f.opts.Workers, Idle: f.opts.Idle,
		Lease: f.m.opts.BackfillLease, LockTimeout: f.m.lockTimeout(f.settings), RetryFor: f.m.newRetrier(f.settings).retryFor(f.script),
		Mask: func(err error) { f.m.maskError(err, f.script) },
		Progress: func(b database.Backfill, speed float64) {
			f.m.observe(BackfillProgress{Set: set, Backfill: newBackfillStatus(b, speed)})
		},
		Waiting: func(b database.Backfill, w lanes.Wait) {
			f.m.observe(BackfillWaiting{Set: set, Backfill: newBackfillStatus(b, 0), Signals: w.Signals, Waited: w.Waited, Pause: w.Pause})
		},
		Retrying: func(r lanes.Retry) {
			f.m.observe(BackfillRetrying{
				Set: set, Version: f.b.Version, Name: f.b.Name, First: r.First, Last: r.Last, Attempt: r.Attempt, Err: r.Err, Pause: r.Pause,
			})
		},
	}
	if f.script.LockTimeout != 0 {
		l.LockTimeout = f.script.LockTimeout
	}
	if l.Lease <= 0 {
		l.Lease = DefaultBackfillLease
	}
	if f.opts.For > 0 {
		if l.For = f.opts.For - time.Since(f.began); l.For <= 0 {
			return lanes.Expired, nil
		}
	}
	b, end, err := l.Run(ctx)
	if b.Version == f.b.Version {
		f.b = b
	}
	return end, err
}

// workerName returns a name that no other call has: of the host and the process, for people.
func workerName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d:%s", database.Shortened(host, 100), os.Getpid(), strings.ToLower(rand.Text()[:6]))
}

// errOtherState lets the call look at the backfill once more: another process has changed it.
var errOtherState = errors.New("another process has changed the backfill")

// after does what follows the work on lanes: it checks and finishes the backfill, or finds out why
// it stopped.
func (f *filling) after(ctx context.Context, end lanes.End) error {
	var err error
	switch end {
	case lanes.Complete:
		err = f.complete(ctx)
	case lanes.Failing:
		why, _ := lanes.Failed(f.b)
		err = f.change(ctx, database.BackfillChange{Action: database.ActionFail, Why: why})
	case lanes.Stopped:
		err = f.frozen(ctx)
	}
	if errors.Is(err, errOtherState) {
		err = f.read(ctx)
	}
	if err == nil && (f.b.State == database.BackfillPaused || f.b.State == database.BackfillFailed || f.b.State == database.BackfillCancelled) {
		return errNotRunning
	}
	return err
}

// errNotRunning is replaced by a *BackfillError with the state.
var errNotRunning = errors.New("the backfill is not running")

// frozen returns an error if the database is frozen.
func (f *filling) frozen(ctx context.Context) error {
	st, err := f.m.db.State(ctx, f.m.set.Name())
	if err != nil {
		return err
	}
	if err := f.read(ctx); err != nil || f.b.State != database.BackfillRunning {
		return err
	}
	return checkFrozen(st.Settings)
}

func (f *filling) read(ctx context.Context) (err error) {
	b, err := f.m.readBackfill(ctx, f.b.Version)
	if err == nil {
		f.b = b
	}
	return err
}

// change changes the backfill as the engine decides.
func (f *filling) change(ctx context.Context, c database.BackfillChange) error {
	c.BackfillID = f.b.BackfillID
	b, err := f.m.changeBackfill(ctx, c)
	var state *database.BackfillStateError
	if errors.As(err, &state) {
		return errOtherState
	}
	if err == nil {
		f.b = b
	}
	return err
}

// complete checks a backfill that has no lane left, and finishes it or begins another pass.
func (f *filling) complete(ctx context.Context) error {
	spec := f.script.Backfill
	left, err := f.check(ctx)
	if err == nil && left == 0 && spec.Recheck {
		if err = sleep(ctx, betweenChecks); err == nil {
			left, err = f.check(ctx)
		}
	}
	switch {
	case err != nil:
		return err
	case left == 0:
		return f.finish(ctx)
	case spec.Recheck && f.b.Pass < passesPerAttempt*f.b.Attempts:
		return f.change(ctx, database.BackfillChange{Action: database.ActionPass})
	}
	why := fmt.Sprintf("after all rows were taken, its check returned %d", left)
	if f.b.Pass > 1 {
		why = fmt.Sprintf("after all rows were taken %d times, its check returned %d", f.b.Pass, left)
	}
	return f.change(ctx, database.BackfillChange{Action: database.ActionFail, Why: why})
}

// passesPerAttempt limits the passes of a backfill whose check never becomes 0.
const passesPerAttempt = 2

// check returns how many rows still have to be changed, by the backfill's check.
func (f *filling) check(ctx context.Context) (int64, error) {
	query := f.script.Backfill.Check
	if query == "" {
		return 0, nil
	}
	rows, err := database.ReadQuery(ctx, f.m.db, query)
	if err != nil {
		f.m.maskError(err, f.script)
		return 0, fmt.Errorf("its check failed: %w", err)
	}
	if len(rows.Rows) != 1 || len(rows.Rows[0]) != 1 {
		return 0, fmt.Errorf("its check returned %d rows; it must return one number", len(rows.Rows))
	}
	n, ok := number(rows.Rows[0][0])
	if !ok {
		return 0, fmt.Errorf("its check returned %v; it must return one number", rows.Rows[0][0])
	}
	return n, nil
}

// number returns a value that a query has returned as a number: of rows, or 1 for true.
func number(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case bool:
		if v {
			return 1, true
		}
		return 0, true
	case nil:
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(fmt.Sprint(v)), 64)
	if n > 0 && n < 1 {
		n = 1
	}
	return int64(n), err == nil
}

// finish records under the migration lock that the backfill is done. If another process has, it
// does nothing.
func (f *filling) finish(ctx context.Context) error {
	err := f.finishOnce(ctx)
	var unknown *database.CommitUnknownError
	if errors.As(err, &unknown) { // when it has the lock again, the server has decided
		err = f.finishOnce(ctx)
	}
	if errors.Is(err, database.ErrBackfillStopped) || err == nil {
		return f.read(ctx)
	}
	return err
}

func (f *filling) finishOnce(ctx context.Context) error {
	e := database.Entry{
		Version: f.b.Version, Name: f.b.Name, Direction: database.Finish, Checksum: f.script.Checksum, UpDirectives: f.script.Directives,
		Remark: fmt.Sprintf("%d rows in %d batches", f.b.RowsDone, f.b.Batches),
	}
	_, err := f.m.locked(ctx, unlessFrozen(func(st *database.State) error {
		if a, ok := st.Applied.Get(f.b.Version); !ok || !a.Unfinished {
			return database.ErrBackfillStopped
		}
		return nil
	}), func(tx database.Tx) error {
		b, err := database.BackfillTxOf(tx)
		if err != nil {
			return err
		}
		if err := b.FinishBackfill(ctx, f.b.Version); err != nil {
			return err
		}
		all := []database.Entry{e}
		f.m.stamp(all, f.m.opts.Reason, time.Now())
		return tx.Record(ctx, all...)
	})
	return err
}

// stopped returns the error of a call that ended before the backfill was done.
func (f *filling) stopped(ctx context.Context, err error) *BackfillError {
	b := f.b
	e := &BackfillError{Set: f.m.set.Name(), Version: b.Version, Name: b.Name, Backfill: newBackfillStatus(b, 0), State: database.BackfillRunning, Err: err}
	if !errors.Is(err, errNotRunning) {
		return e
	}
	e.State, e.Err = b.State, nil
	q := database.HistoryQuery{Set: e.Set, Version: &b.Version, Newest: true}
	for entry, herr := range f.m.db.History(context.WithoutCancel(ctx), q) {
		if herr != nil || entry.Direction == database.Start {
			break
		}
		if entry.Direction == database.Control && strings.HasPrefix(entry.Remark, string(b.State)) {
			e.Entry = entry
			break
		}
	}
	return e
}
