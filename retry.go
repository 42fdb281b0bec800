package whimbrel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
)

// A pause before a retry has two parts. The first is as long as the failed attempt waited for the
// lock: meanwhile, the application's queries that queued behind it run, so a migration that retries
// leaves the table free at least half of the time. The second is random: below firstPause before
// the first retry, and below twice as much before each further one, up to longestPause. Processes
// that failed together do not meet again.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 30 * time.Second
)

// retrier decides whether steps that failed because of a lock are tried again, and knows what they
// waited for.
type retrier struct {
	m        *Migrator
	settings database.Settings
	scripts  []*migration.Script // that share the transaction or run, for masking

	tries int // attempts, for whatever reason; the current one included

	began    time.Time // of the current attempt; zero during a pause
	tally              // of all scripts
	of       map[*migration.Script]*tally
	failedAt time.Time // the end of the last of these attempts
	last     error     // its error
	culprit  *tally    // of its script
	since    time.Time // of the first of these failures since a statement was committed
	row      int       // the number of failures since then
	budget   time.Duration
	pausing  bool          // the next attempt begins with a pause
	pause    time.Duration // how long

	mu         sync.Mutex // the driver calls from other goroutines
	step       Step       // the current one
	blockage   database.Blockage
	seen       time.Time     // when the driver reported blockage; zero if not in this attempt
	waited     time.Duration // in earlier attempts, for locks and in pauses
	flushes    bool          // sessions may be terminated: the history entries can be in time
	terminated []database.Entry
}

// tally counts what a script lost because of locks.
type tally struct {
	retries int
	lost    time.Duration // in attempts that failed because of a lock, and in the pauses after them
}

func (m *Migrator) newRetrier(s database.Settings, scripts ...*migration.Script) *retrier {
	return &retrier{m: m, settings: s, scripts: scripts, of: map[*migration.Script]*tally{}, tries: 1, step: Step{Version: NilVersion}}
}

// forALock reports whether an error says that a statement failed only because of a lock, and that
// its transaction was rolled back.
func forALock(err error) bool {
	return !errors.As(err, new(*database.CommitUnknownError)) && (errors.Is(err, database.ErrLockTimeout) || errors.Is(err, database.ErrDeadlock))
}

// start notes that an attempt begins.
func (r *retrier) start() {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failedAt.IsZero() {
		r.lose(now.Sub(r.failedAt))
		r.waited += now.Sub(r.failedAt)
		r.failedAt = time.Time{}
	}
	r.began, r.pausing, r.seen = now, false, time.Time{}
}

// lose adds a time to what the script lost whose attempt failed last.
func (r *retrier) lose(d time.Duration) {
	r.lost += d
	r.culprit.lost += d
}

// at sets the step that the current attempt executes.
func (r *retrier) at(s Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.step = s
	limit := r.lockTimeout(s.Script)
	after := r.m.opts.TerminateBlockersAfter
	// A shorter wait ends with the lock timeout.
	r.flushes = r.flushes || after > 0 && (limit <= 0 || limit >= after)
}

// retryFor returns how long a script is tried again.
func (r *retrier) retryFor(s *migration.Script) time.Duration {
	switch {
	case s != nil && s.RetryFor != 0:
		return s.RetryFor
	case r.m.opts.RetryFor != 0:
		return r.m.opts.RetryFor
	}
	return r.settings.Duration(database.RetryFor)
}

// lockTimeout returns how long a statement of a script waits for a lock; 0 or less for no limit.
func (r *retrier) lockTimeout(s *migration.Script) time.Duration {
	if s != nil && s.LockTimeout != 0 {
		return s.LockTimeout
	}
	return r.m.lockTimeout(r.settings)
}

// may reports whether an error permits another attempt at a script now.
func (r *retrier) may(s *migration.Script, err error) bool {
	budget := r.retryFor(s)
	return forALock(err) && budget > 0 && (r.row == 0 || time.Since(r.since) < budget)
}

// again reports whether to make another attempt at a step after an error, and announces it.
func (r *retrier) again(step Step, statement int, err error) bool {
	if !forALock(err) {
		return false
	}
	s := step.Script
	may, now := r.may(s, err), time.Now()
	rest := r.rest(s, err, now)
	r.ended(s, now)
	r.last = err
	if !may {
		return false
	}
	if r.row++; r.row == 1 {
		r.since = now
	}
	r.budget = r.retryFor(s)
	left := r.budget - now.Sub(r.since)
	r.retries++
	r.culprit.retries++
	r.pausing, r.pause = true, min(rest+jitter(r.row), left)
	r.announce(Retrying{Step: step, Err: err, Pause: r.pause, Left: left, Statement: statement})
	return true
}

// announce reports that another attempt follows.
func (r *retrier) announce(e Retrying) {
	r.tries++
	e.Set, e.Attempt, e.Blockage = r.m.set.Name(), r.tries, r.lastSeen()
	r.m.observe(e)
}

// rest returns how long the table has to be free after an attempt that waited for a lock until its
// timeout.
func (r *retrier) rest(s *migration.Script, err error, now time.Time) time.Duration {
	if r.began.IsZero() || !errors.Is(err, database.ErrLockTimeout) {
		return 0
	}
	return max(0, min(r.lockTimeout(s), now.Sub(r.began), longestPause))
}

// jitter returns the random part of the pause before the nth attempt after the first.
func jitter(n int) time.Duration {
	longest := longestPause
	if n <= 10 { // 50 ms · 2⁹ is less than 30 s
		longest = firstPause << (n - 1)
	}
	return rand.N(longest + 1)
}

// ended adds an attempt that a script failed because of a lock to the time that was lost.
func (r *retrier) ended(s *migration.Script, now time.Time) {
	if r.culprit = r.of[s]; r.culprit == nil {
		r.culprit = &tally{}
		r.of[s] = r.culprit
	}
	if r.began.IsZero() { // it is already
		return
	}
	r.lose(now.Sub(r.began))
	r.began, r.failedAt = time.Time{}, now
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waited += r.waitedNow(now)
	r.seen = time.Time{}
	r.flushes = r.m.opts.TerminateBlockersAfter > 0
}

// waitedNow returns how long the present statement has waited. mu is held.
func (r *retrier) waitedNow(now time.Time) time.Duration {
	if r.seen.IsZero() {
		return 0
	}
	return r.blockage.Waited + now.Sub(r.seen)
}

// sleep pauses before another attempt. If it is too late for one, because the wait for the
// migration lock took so long, sleep returns the error of the last.
func (r *retrier) sleep(ctx context.Context) error {
	left := r.budget - time.Since(r.since)
	if left < 0 {
		return r.last
	}
	r.pausing = false
	timer := time.NewTimer(min(r.pause, left))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gaveUp adds to the error of a call without steps what is known about locks.
func (r *retrier) gaveUp(ctx context.Context, err error) error {
	switch {
	case err == nil || r.last == nil:
		return err
	case ctx.Err() != nil && !forALock(err):
		err = r.cancelled(err)
	case !forALock(err):
		return err
	}
	return &BlockedError{Set: r.m.set.Name(), Retries: r.retries, LockWait: r.lost, Blockage: r.lastSeen(), Err: err}
}

// cancelled returns the error of a call that was cancelled before another attempt.
func (r *retrier) cancelled(err error) error {
	last := r.last
	if failed := (*MigrationError)(nil); errors.As(last, &failed) {
		last = failed.Err
	}
	return fmt.Errorf("%w before attempt %d; the last one failed: %w", err, r.tries, last)
}

// between reports whether an attempt has failed because of a lock and the next has not begun.
func (r *retrier) between() bool { return !r.failedAt.IsZero() }

// committed notes that a statement of a run is done: the next one has its own budget.
func (r *retrier) committed() { r.row = 0 }

// lockOptions returns those of the Migrator, with callbacks that tell the retrier what blocks it.
func (r *retrier) lockOptions() database.LockOptions {
	o := r.m.lockOptions(r.settings)
	o.Blocked = r.blocked
	if r.m.opts.TerminateBlockersAfter > 0 {
		o.Terminate, o.Terminated = r.terminates, r.hasTerminated
	}
	return o
}

// blocked notes what a statement waits for.
func (r *retrier) blocked(b database.Blockage) {
	for _, s := range r.scripts {
		if s != nil && b.SQL != "" {
			b.SQL = r.m.masked(s, b.SQL)
		}
	}
	r.mu.Lock()
	r.blockage, r.seen = b, time.Now()
	r.mu.Unlock()
	r.m.observe(StatementWaiting{Set: r.m.set.Name(), Blockage: b})
}

// lastSeen returns what was last known to block.
func (r *retrier) lastSeen() database.Blockage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.blockage
}

// terminates reports whether to terminate a blocker.
func (r *retrier) terminates(database.Blocker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flushes && r.waited+r.waitedNow(time.Now()) >= r.m.opts.TerminateBlockersAfter
}

// hasTerminated notes that a blocker was terminated.
func (r *retrier) hasTerminated(b database.Blocker) {
	r.mu.Lock()
	s, who := r.step, b.Holder
	who.Query = ""
	e := database.Entry{
		Set: r.m.set.Name(), Version: s.Version, Direction: database.Terminate, Name: who.String(), UpText: b.Query,
		StartedAt: time.Now(), ToolVersion: ToolVersion(), Reason: r.m.opts.Reason,
	}
	r.terminated = append(r.terminated, e)
	r.mu.Unlock()
	r.m.observe(Terminated{Set: r.m.set.Name(), Step: s, Blocker: b})
}

// endings returns the entries of the sessions that were terminated and that the history lacks.
func (r *retrier) endings() []database.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.terminated)
}

// recordEndings adds the entries of the sessions that were terminated to a transaction, and returns
// their number.
func (r *retrier) recordEndings(ctx context.Context, tx database.Tx) (int, error) {
	r.mu.Lock()
	flushes := r.flushes
	r.mu.Unlock()
	if flushes {
		if _, err := tx.State(ctx); err != nil { // executes what is queued
			return 0, err
		}
	}
	endings := r.endings()
	if len(endings) == 0 {
		return 0, nil
	}
	return len(endings), tx.Record(ctx, endings...)
}

// recorded notes that the history has the first n of the endings.
func (r *retrier) recorded(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.terminated = r.terminated[n:]
}

// note adds the retries of a script to the history entry of its step.
func (r *retrier) note(e *database.Entry, s *migration.Script) {
	if t := r.of[s]; t != nil {
		e.Retries, e.LockWait = t.retries, t.lost
	}
}
