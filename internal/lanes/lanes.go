// Package lanes executes the batches of a backfill: it claims lanes, decides how large the next
// batch is, when to wait, and what a failure means.
//
// A [Loop] works on one backfill with a few workers, together with those of any number of other
// processes. Each worker claims a lane, executes its batches until the lane is done, and claims the
// next. The truth is in the database: if a process dies, the leases of its lanes end, and others
// continue after the last key that was committed.
package lanes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// End says why a Loop has ended without an error.
type End string

// The ends.
const (
	Complete End = "complete" // no lane is left
	Failing  End = "failing"  // the lanes that are left have failed for good
	Stopped  End = "stopped"  // the backfill is not running, or the database is frozen
	Idle     End = "idle"     // nothing to do for Loop.Idle
	Expired  End = "expired"  // Loop.For is over
)

const (
	// lookAt is how often a process reads the backfill: for its limits, for its progress, and for
	// lanes that have become free.
	lookAt = time.Second
	// grace is how long a batch may continue when the context of the call has ended.
	grace = 10 * time.Second
	// window is the number of looks from which the speed follows.
	window = 10
)

// Retry is a failure after which rows are tried again.
type Retry struct {
	First, Last database.Key // the rows; nil if unknown
	Attempt     int          // 2 for the second
	Err         error
	Pause       time.Duration
}

// Wait is a throttle that holds the backfill back.
type Wait struct {
	Signals       []database.Signal
	Waited, Pause time.Duration
}

// Loop executes batches of a backfill. Its functions are called on the goroutine of Run; each may
// be nil.
type Loop struct {
	DB     database.Backfiller
	ID     database.BackfillID
	Script *migration.Script
	// Worker is a name that no other Loop has at any time.
	Worker string
	// Workers limits the batches that are executed at the same time; 0 for as many as the backfill
	// allows.
	Workers int
	Lease   time.Duration
	// LockTimeout limits each wait of a batch for a lock. RetryFor is how long batches that fail
	// because of a lock are tried again without counting as failed; below 0 for not at all.
	LockTimeout, RetryFor time.Duration
	// For and Idle end Run after some time, or after some time without work; 0 for never.
	For, Idle time.Duration
	Progress  func(b database.Backfill, rowsPerSecond float64)
	Waiting   func(b database.Backfill, w Wait)
	Retrying  func(Retry)
	// Mask removes secrets from an error before it is stored.
	Mask func(error)
}

// errSurplus ends a worker that is one too many.
var errSurplus = errors.New("one worker too many")

// run is one call of Run.
type run struct {
	Loop
	steer  Steer
	gate   gate
	events chan func()
	ended  chan ended
	begun  int // how many workers have been started

	mu     sync.Mutex
	latest database.Backfill
	awake  chan struct{} // closed when latest is replaced
	busy   time.Time     // when a worker had something to do last
	held   int           // the workers that have a lane
}

// ended is the end of a worker.
type ended struct {
	end End
	err error
}

// Run executes batches until no lane is left, or as long as it can. If ctx ends, it commits the
// batches that it executes, gives the lanes back and returns the error of ctx. It returns the
// backfill as it was seen last.
func (l *Loop) Run(ctx context.Context) (database.Backfill, End, error) {
	r := &run{Loop: *l, events: make(chan func()), ended: make(chan ended), awake: make(chan struct{}), busy: time.Now()}
	r.gate.measure = func(ctx context.Context) ([]database.Signal, error) {
		return r.DB.Signals(ctx, r.seen(), r.throttle())
	}
	r.gate.held = r.holdBack
	if err := r.look(ctx); err != nil {
		return r.latest, "", err
	}
	end, err := r.coordinate(ctx)
	if err == nil && end == "" {
		err = ctx.Err()
	}
	last, lerr := r.DB.Backfills(context.WithoutCancel(ctx), r.query())
	if lerr == nil && len(last) == 1 {
		r.latest = last[0]
	}
	return r.latest, end, err
}

func (r *run) throttle() migration.Throttle {
	if b := r.Script.Backfill; b != nil {
		return b.Throttle
	}
	return migration.Throttle{}
}

func (r *run) query() database.BackfillQuery {
	return database.BackfillQuery{Set: r.ID.Set, Version: &r.ID.Version}
}

// coordinate starts workers and serves them until all have ended.
func (r *run) coordinate(ctx context.Context) (end End, err error) {
	work, stop := context.WithCancel(ctx)
	defer stop()
	tick := time.NewTicker(r.every())
	defer tick.Stop()
	var expired <-chan time.Time
	if r.For > 0 {
		timer := time.NewTimer(r.For)
		defer timer.Stop()
		expired = timer.C
	}
	finish := func(why End, cause error) {
		if end == "" && err == nil {
			end, err = why, cause
		}
		stop()
	}
	blind := 0 // how many looks in a row have failed
	speed := speedometer{}
	speed.add(r.seen())
	running := r.start(work, 0)
	for running > 0 {
		select {
		case report := <-r.events:
			report()
		case e := <-r.ended:
			if running--; !errors.Is(e.err, errSurplus) && (e.end != "" || e.err != nil) {
				finish(e.end, e.err)
			}
		case <-expired:
			finish(Expired, nil)
		case <-tick.C:
			if work.Err() != nil {
				continue
			}
			if err := r.look(work); err != nil {
				if blind++; blind > troubles || errors.Is(err, database.ErrNoBackfill) {
					finish("", err)
				}
				continue
			}
			blind = 0
			now := r.seen()
			speed.add(now)
			if r.Progress != nil {
				r.Progress(now, speed.rowsPerSecond())
			}
			if r.idle() {
				finish(Idle, nil)
			}
			running += r.start(work, running)
		}
	}
	return end, err
}

func (r *run) every() time.Duration {
	if r.Idle > 0 {
		return min(lookAt, r.Idle)
	}
	return lookAt
}

// look reads the backfill, and wakes workers that have nothing to do.
func (r *run) look(ctx context.Context) error {
	all, err := r.DB.Backfills(ctx, r.query())
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("backfill %d of set %q: %w", r.ID.Version, r.ID.Set, database.ErrNoBackfill)
	}
	r.see(all[0])
	return nil
}

// see stores the newest state of the backfill.
func (r *run) see(b database.Backfill) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.Now.Before(r.latest.Now) { // it was read earlier
		return
	}
	r.latest = b
	r.steer.Set(b.Batch, b.Target)
	close(r.awake)
	r.awake = make(chan struct{})
}

func (r *run) seen() database.Backfill {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest
}

// next returns the newest state of the backfill, and a channel that is closed when there is a newer
// one.
func (r *run) next() (database.Backfill, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest, r.awake
}

// wanted returns how many workers this process should have.
func (r *run) wanted() int {
	n := r.seen().Parallel
	if r.Workers > 0 {
		n = min(n, r.Workers)
	}
	return max(n, 1)
}

// start starts the workers that are missing, and returns their number. Only workers with the
// highest numbers end while others run.
func (r *run) start(ctx context.Context, running int) (started int) {
	for n := running; ctx.Err() == nil && n < r.wanted(); n++ {
		r.begun++
		w := &worker{run: r, number: n, name: fmt.Sprintf("%s/%d", r.Worker, r.begun)}
		go func() {
			end, err := w.work(ctx)
			r.ended <- ended{end, err}
		}()
		started++
	}
	return started
}

// idle reports whether no worker has had anything to do for too long.
func (r *run) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Idle > 0 && r.held == 0 && time.Since(r.busy) >= r.Idle
}

// has counts the lanes that workers have.
func (r *run) has(change int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held += change
	r.busy = time.Now()
}

// report calls a function on the goroutine of Run.
func (r *run) report(f func()) {
	done := make(chan struct{})
	r.events <- func() { f(); close(done) }
	<-done
}

// holdBack records and reports that signals hold the backfill back.
func (r *run) holdBack(ctx context.Context, over []database.Signal, waited, pause time.Duration) {
	b := r.seen()
	// That is for people; the next look finds out if it could not be stored.
	_, _ = r.DB.ChangeBackfill(ctx, database.BackfillChange{BackfillID: r.ID, Action: database.ActionThrottled, Why: Why(over)})
	if r.Waiting != nil {
		r.report(func() { r.Waiting(b, Wait{Signals: over, Waited: waited, Pause: pause}) })
	}
}

// speedometer knows how many rows were done at the last looks.
type speedometer struct {
	at   []time.Time
	rows []int64
}

func (s *speedometer) add(b database.Backfill) {
	s.at, s.rows = append(s.at, b.Now), append(s.rows, b.RowsDone)
	if len(s.at) > window {
		s.at, s.rows = s.at[1:], s.rows[1:]
	}
}

// rowsPerSecond returns the speed in the window; 0 if it is unknown.
func (s *speedometer) rowsPerSecond() float64 {
	last := len(s.at) - 1
	took := s.at[last].Sub(s.at[0]).Seconds()
	if took <= 0 {
		return 0
	}
	return float64(s.rows[last]-s.rows[0]) / took
}
