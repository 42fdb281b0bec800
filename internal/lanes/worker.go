package lanes

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
)

// A call that failed for another reason than its rows, such as a broken connection, is tried again
// troubles times in a row, after pauses from firstTrouble to longestTrouble.
const (
	troubles       = 5
	firstTrouble   = 100 * time.Millisecond
	longestTrouble = 10 * time.Second
)

// A batch that failed because of a lock is tried again after a random pause below firstPause, and
// below twice as much after each further one, up to longestPause.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// worker executes batches, one after the other.
type worker struct {
	*run
	number int
	name   string
	failed int // how many calls in a row have failed for other reasons than their rows
}

// work claims lanes and executes their batches as long as it can.
func (w *worker) work(ctx context.Context) (End, error) {
	for ctx.Err() == nil {
		if w.number >= w.wanted() {
			return "", errSurplus
		}
		open, until, err := w.gate.open(ctx)
		switch {
		case err != nil:
			if err := w.trouble(ctx, err); err != nil {
				return "", err
			}
			continue
		case !open:
			sleep(ctx, time.Until(until))
			continue
		}
		if end, err := w.claim(ctx); end != "" || err != nil {
			return end, err
		}
	}
	return "", nil
}

// claim claims a lane and works on it, or waits until there may be one.
func (w *worker) claim(ctx context.Context) (End, error) {
	bounded, cancel := outliving(ctx)
	defer cancel()
	b, lane, err := w.DB.ClaimLane(bounded, database.LaneClaim{
		BackfillID: w.ID, Script: w.Script, Worker: w.name, Lease: w.Lease, LockTimeout: w.LockTimeout,
	})
	switch {
	case errors.Is(err, database.ErrBackfillStopped):
		return Stopped, nil
	case errors.Is(err, database.ErrNoBackfill):
		return "", err
	case err != nil:
		return "", w.trouble(ctx, err)
	}
	w.see(b)
	if lane != nil { // its first batch shows whether the trouble is over
		w.has(+1)
		defer w.has(-1)
		return w.lane(ctx, lane)
	}
	w.failed = 0
	why := b.Claim().Why
	_, failing := Failed(b)
	switch {
	case b.State != database.BackfillRunning:
		return Stopped, nil
	case why == database.ClaimAllDone:
		return Complete, nil
	case failing:
		return Failing, nil
	}
	w.await(ctx)
	return "", nil
}

// await waits until a lane may be free, or the backfill has ended.
func (w *worker) await(ctx context.Context) {
	for {
		_, awake := w.next()
		select {
		case <-ctx.Done():
			return
		case <-awake:
		}
		switch b := w.seen(); b.Claim().Why {
		case database.ClaimBusy, database.ClaimLater:
			if _, failing := Failed(b); failing {
				return
			}
		default:
			return
		}
	}
}

// trouble waits before the next try of a call that failed, or returns the error if that was the
// last.
func (w *worker) trouble(ctx context.Context, err error) error {
	if w.failed++; w.failed > troubles || ctx.Err() != nil {
		return err
	}
	pause := firstTrouble
	for range w.failed - 1 {
		pause *= 4
	}
	if errors.Is(err, database.ErrLockTimeout) || errors.Is(err, database.ErrDeadlock) || errors.Is(err, database.ErrConflict) || errors.Is(err, database.ErrLocked) {
		w.failed--
		pause = firstTrouble
	}
	sleep(ctx, min(pause, longestTrouble))
	return nil
}

// lane executes the batches of a lane.
func (w *worker) lane(ctx context.Context, lane database.LaneWork) (End, error) {
	x := &execution{worker: w, lane: lane}
	if l := lane.Lane(); l.Attempts > 0 && l.Batch > 0 {
		x.suspect(l.Batch)
	} else {
		w.steer.Begin(l.Batch)
	}
	end, err := x.batches(ctx)
	// If it fails, the lease ends, and another worker takes the lane.
	_ = lane.Close(context.WithoutCancel(ctx), x.failure)
	if err != nil {
		err = w.trouble(ctx, err)
	}
	if r := x.retry; r != nil && w.Retrying != nil {
		w.report(func() { w.Retrying(*r) })
	}
	return end, err
}

// execution is the work on a lane.
type execution struct {
	*worker
	lane    database.LaneWork
	failure *database.LaneFailure // why the lane is given back
	retry   *Retry                // when it is tried again

	// After a failure, batches are halved until they have only the row that fails: narrow is their
	// size, and suspects is the number of rows that may include it. Both are 0 otherwise.
	narrow, suspects int

	blocked time.Time // when a batch first failed because of a lock; zero if the last one did not
	blocks  int       // how many have, in a row
}

// batches executes batches until the lane is done or must be given back.
func (x *execution) batches(ctx context.Context) (End, error) {
	for ctx.Err() == nil && !x.surplus() {
		if open, _, err := x.gate.open(ctx); err != nil || !open {
			return "", err
		}
		size := x.steer.Size()
		if x.narrow > 0 {
			size = min(size, x.narrow)
		}
		bounded, cancel := outliving(ctx)
		res, err := x.lane.Batch(bounded, size)
		cancel()
		if err != nil {
			if again, end, err := x.failed(ctx, size, err); !again {
				return end, err
			}
			continue
		}
		x.succeeded(size, res)
		if res.Done {
			return "", nil
		}
		x.rest(ctx)
	}
	return "", nil
}

// rest waits between two batches, for the pause that the backfill has by now, or until it no longer
// runs or the lane is to be given back.
func (x *execution) rest(ctx context.Context) {
	for since := time.Now(); ctx.Err() == nil; {
		b, awake := x.next()
		left := b.Pause - time.Since(since)
		if left <= 0 || b.State != database.BackfillRunning || x.surplus() {
			return
		}
		bounded, cancel := context.WithTimeout(ctx, left)
		select {
		case <-bounded.Done():
		case <-awake:
		}
		cancel()
	}
}

// surplus reports whether more lanes have a worker than the backfill allows by now, and whether
// this one is to be given back.
func (x *execution) surplus() bool {
	if x.number >= x.wanted() {
		return true
	}
	b, before, id := x.seen(), 0, x.lane.Lane().ID
	for _, l := range b.Lanes {
		switch leased := l.Worker != "" && l.LeasedUntil.After(b.Now); {
		case leased && l.ID == id:
			return before >= b.Parallel
		case leased && l.ID < id:
			before++
		}
	}
	return false
}

func (x *execution) succeeded(size int, res database.BatchResult) {
	x.blocked, x.blocks, x.worker.failed = time.Time{}, 0, 0
	x.has(0)
	if x.narrow == 0 {
		x.steer.Done(size, res.Rows, res.Duration)
		return
	}
	x.suspect(x.suspects - int(res.Rows))
}

// suspect narrows batches down to half of the rows that may include one that fails; 0 for none.
func (x *execution) suspect(rows int) {
	x.suspects, x.narrow = max(rows, 0), 0
	if x.suspects > 0 {
		x.narrow = max(x.suspects/2, 1)
	}
}

// failed decides what follows from the error of a batch: another one of the same lane, or the end
// of the work on it.
func (x *execution) failed(ctx context.Context, size int, err error) (again bool, end End, _ error) {
	var unknown *database.CommitUnknownError
	switch {
	case errors.Is(err, database.ErrLeaseLost):
		return false, "", nil
	case errors.Is(err, database.ErrBackfillStopped):
		return false, Stopped, nil
	case errors.As(err, &unknown):
		return false, "", err
	case errors.Is(err, database.ErrBatchTimeout):
		if size > 1 {
			x.steer.TooSlow(size, x.seen().Timeout)
			return true, "", nil
		}
	case ofALock(err):
		if x.pauses(ctx, err) {
			return true, "", nil
		}
	case ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)):
		return false, "", nil
	}
	var rows *database.BatchError
	var statement *database.StatementError
	switch {
	case errors.As(err, &rows) && rows.Rows > 1:
		x.suspect(int(rows.Rows))
		return true, "", nil
	case rows == nil && errors.As(err, &statement) && size > 1:
		x.suspect(size)
		return true, "", nil
	case rows == nil && statement == nil && !errors.Is(err, database.ErrBatchTimeout):
		return false, "", err
	}
	x.giveUp(size, rows, err)
	return false, "", nil
}

func ofALock(err error) bool {
	return errors.Is(err, database.ErrLockTimeout) || errors.Is(err, database.ErrDeadlock) || errors.Is(err, database.ErrConflict)
}

// pauses waits before a batch that failed because of a lock is tried again. It returns false when
// that has been tried for too long.
func (x *execution) pauses(ctx context.Context, err error) bool {
	if x.blocked.IsZero() {
		x.blocked = time.Now()
	}
	if x.RetryFor < 0 || time.Since(x.blocked) > x.RetryFor {
		return false
	}
	limit := firstPause << min(x.blocks, 10)
	x.blocks++
	pause := time.Duration(rand.Int64N(int64(max(min(limit, longestPause, x.Lease/4), 2))))
	if x.Retrying != nil {
		r := Retry{Attempt: x.blocks + 1, Err: err, Pause: pause}
		x.report(func() { x.Retrying(r) })
	}
	sleep(ctx, pause)
	return true
}

// giveUp makes a failure of rows that of the lane: it is tried again later, unless that was the
// last attempt.
func (x *execution) giveUp(size int, rows *database.BatchError, err error) {
	if x.Mask != nil {
		x.Mask(err)
	}
	f := &database.LaneFailure{Attempts: 1, Batch: size}
	if rows != nil {
		f.First, f.Last, f.Batch = rows.First, rows.Last, 1
	}
	f.Err = Rows(f.First, f.Last) + ": " + err.Error()
	attempts := x.lane.Lane().Attempts + 1
	if f.Final = attempts >= x.seen().Attempts; !f.Final {
		f.NotBefore = Delay(attempts)
		x.retry = &Retry{First: f.First, Last: f.Last, Attempt: attempts + 1, Err: err, Pause: f.NotBefore}
	}
	x.failure = f
}

// sleep waits for some time, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// outliving returns a context that ends some time after another one: a batch that has begun is
// completed.
func outliving(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		sleep(longer, grace)
		cancel()
	})
	return longer, func() { stop(); cancel() }
}
