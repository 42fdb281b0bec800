package jobs

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// Limits are the numbers of jobs that may work at the same time in all processes together. River
// itself limits each process, with river.QueueConfig.MaxWorkers.
//
// A job works while it holds a lease of a slot, a row of the database: a limit of three has three
// rows. Its process renews the lease. The slots of a process that was killed are free once their
// leases end, never earlier.
type Limits struct {
	// Queues are the limits of single queues.
	Queues map[string]int
	// Total is the limit of all queues together; 0 means none. While the limits of the running
	// processes differ, such as during a deployment, the highest is in effect.
	Total int
	// Lease is how long the slot of a killed process remains taken; 0 means 30 seconds.
	Lease time.Duration
}

// allQueues is the name of the limit of all queues together. No queue can have it.
const allQueues = "*"

// limit is the number of slots of one queue, or of all.
type limit struct {
	queue string
	slots int
}

// of returns the limits of a queue's jobs.
func (l Limits) of(queue string) (all []limit) {
	if n := l.Queues[queue]; n > 0 {
		all = append(all, limit{queue, n})
	}
	if l.Total > 0 {
		all = append(all, limit{allQueues, l.Total})
	}
	return all
}

// all returns every limit.
func (l Limits) all() (all []limit) {
	for queue, n := range l.Queues {
		all = append(all, limit{queue, n})
	}
	if l.Total > 0 {
		all = append(all, limit{allQueues, l.Total})
	}
	return all
}

func (l Limits) check() error {
	if l.Total < 0 || l.Lease < 0 {
		return errors.New("a limit or the lease is negative")
	}
	for queue, n := range l.Queues {
		if n < 1 {
			return fmt.Errorf("the limit of queue %s is %d; the smallest is 1", queue, n)
		}
	}
	return nil
}

// ErrLeaseLost is the cause for which the context of a job ends whose lease could not be renewed in
// time. Another job may hold its slot.
var ErrLeaseLost = errors.New("jobs: the lease of the job's slot has ended")

// Lease is a slot that a job holds.
type Lease struct {
	Queue  string // the limited queue, or "*" for the limit of all queues
	Slot   int    // from 1
	JobID  int64
	Client string // the ID of the River client that works on the job
	Ends   time.Time
}

// store keeps leases in a database. All its times are the database's.
type store[Tx any] interface {
	// prepare adds the slots of limits that have fewer.
	prepare(ctx context.Context, limits []limit) error
	// claim takes a free slot of each limit. If one has none, it takes nothing and returns false.
	claim(ctx context.Context, limits []limit, l Lease, token string, length time.Duration) (bool, error)
	// renew extends the leases of a token. It returns false if another token has one of n slots.
	renew(ctx context.Context, token string, n int, length time.Duration) (bool, error)
	// release frees the slots of a token.
	release(ctx context.Context, token string) error
	// fence reports whether the token has its n slots, and keeps others from taking them until the
	// transaction ends.
	fence(ctx context.Context, tx Tx, token string, n int) (bool, error)

	list(ctx context.Context) ([]Lease, error)
	counts(ctx context.Context) (Counts, error)
}

const (
	defaultLease = 30 * time.Second
	// longestWait is how long a job waits for a slot before it returns to its queue, where jobs of
	// a higher priority may have arrived. It is far below the time after which River rescues a job.
	longestWait = 10 * time.Second
)

// limiter is River middleware that lets a job work only while it holds its slots.
type limiter[Tx any] struct {
	river.MiddlewareDefaults

	store  store[Tx]
	limits Limits
	poll   time.Duration // between two attempts to get a slot
	log    *slog.Logger
	client string

	// turns has a place for each limited queue. The job in it asks for a slot; the other jobs of the
	// queue in this process wait for their turn.
	turns    map[string]chan struct{}
	released chan struct{} // wakes a job that asks
	stopping chan struct{}
	stop     func()
}

// newLimiter returns the limiter of a configuration, and adds it to that as the outermost
// middleware.
func newLimiter[Tx any](s store[Tx], limits Limits, config *river.Config) (*limiter[Tx], error) {
	if err := limits.check(); err != nil {
		return nil, err
	}
	limits.Lease = cmp.Or(limits.Lease, defaultLease)
	l := &limiter[Tx]{
		store: s, limits: limits, poll: config.FetchPollInterval, log: config.Logger, client: config.ID,
		turns: map[string]chan struct{}{}, released: make(chan struct{}, 1), stopping: make(chan struct{}),
	}
	l.stop = sync.OnceFunc(func() { close(l.stopping) })

	config.Middleware = append([]rivertype.Middleware{l}, config.Middleware...)
	config.Queues = maps.Clone(config.Queues)
	for name, queue := range config.Queues {
		l.turns[name] = make(chan struct{}, 1)
		for _, limit := range limits.of(name) { // a process that fetches more jobs only keeps them waiting
			queue.MaxWorkers = min(queue.MaxWorkers, limit.slots)
		}
		config.Queues[name] = queue
	}
	return l, nil
}

// Work implements rivertype.WorkerMiddleware. River calls it outside a job's timeout, so a job's
// time does not run while it waits for a slot.
func (l *limiter[Tx]) Work(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) error {
	limits := l.limits.of(job.Queue)
	if len(limits) == 0 {
		return work(ctx)
	}
	h := l.wait(ctx, job, limits)
	if h == nil {
		return backToItsPlace(job)
	}
	defer l.release(ctx, h)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go h.renew(ctx, cancel)

	err := work(context.WithValue(ctx, holdKey{}, h))
	if cause := context.Cause(ctx); errors.Is(cause, ErrLeaseLost) {
		return errors.Join(cause, err)
	}
	return err
}

// backToItsPlace ends the attempt of a job without counting it. The job keeps the time for which it
// was scheduled, so it is again before the jobs that were enqueued after it.
func backToItsPlace(job *rivertype.JobRow) error {
	return &rivertype.JobSnoozeError{Duration: time.Until(job.ScheduledAt)}
}

// wait returns the job's slots, or nil if it did not get them in time.
func (l *limiter[Tx]) wait(ctx context.Context, job *rivertype.JobRow, limits []limit) *hold[Tx] {
	ctx, cancel := context.WithTimeout(ctx, longestWait)
	defer cancel()
	select {
	case l.turns[job.Queue] <- struct{}{}:
		defer func() { <-l.turns[job.Queue] }()
	case <-ctx.Done():
		return nil
	case <-l.stopping:
		return nil
	}
	for {
		if h := l.claim(ctx, job, limits); h != nil {
			return h
		}
		select {
		case <-time.After(l.poll):
		case <-l.released:
		case <-ctx.Done():
			return nil
		case <-l.stopping:
			return nil
		}
	}
}

func (l *limiter[Tx]) claim(ctx context.Context, job *rivertype.JobRow, limits []limit) *hold[Tx] {
	h := &hold[Tx]{store: l.store, token: rand.Text(), slots: len(limits), length: l.limits.Lease, since: time.Now()}
	ok, err := l.store.claim(ctx, limits, Lease{JobID: job.ID, Client: l.client}, h.token, h.length)
	if err != nil && ctx.Err() == nil {
		l.log.WarnContext(ctx, "jobs: could not ask for a slot", "queue", job.Queue, "error", err)
	}
	if err != nil {
		l.release(ctx, h) // the answer may be lost, not the claim
		return nil
	}
	if !ok {
		return nil
	}
	return h
}

// release frees the slots of a job. If that fails, they are free when their leases end.
func (l *limiter[Tx]) release(ctx context.Context, h *hold[Tx]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.length)
	defer cancel()
	if err := l.store.release(ctx, h.token); err != nil {
		l.log.WarnContext(ctx, "jobs: could not release a slot", "error", err)
	}
	select {
	case l.released <- struct{}{}:
	default:
	}
}

// hold is the slots that a job of this process holds.
type hold[Tx any] struct {
	store  store[Tx]
	token  string
	slots  int
	length time.Duration
	since  time.Time // before the database was asked for the lease, so it ends here first
}

type holdKey struct{}

// renew renews the leases until the context ends, and cancels it when they end.
func (h *hold[Tx]) renew(ctx context.Context, cancel context.CancelCauseFunc) {
	end := time.AfterFunc(time.Until(h.since.Add(h.length)), func() { cancel(ErrLeaseLost) })
	defer end.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(h.length / 4):
		}
		asked := time.Now()
		ok, err := h.store.renew(ctx, h.token, h.slots, h.length)
		switch {
		case err != nil: // asks again, until the leases end
		case !ok:
			cancel(ErrLeaseLost)
		default:
			end.Reset(time.Until(asked.Add(h.length)))
		}
	}
}

// Fence makes a transaction of a job fail if the job has lost its slot: it returns ErrLeaseLost, or
// keeps the slot until the transaction ends. A job that was frozen and resumed can then commit
// nothing while another works in its place. ctx is that of the job. A job without a limit always
// passes.
func Fence[Tx any](ctx context.Context, tx Tx) error {
	switch h := ctx.Value(holdKey{}).(type) {
	case nil:
		return nil
	case *hold[Tx]:
		ok, err := h.store.fence(ctx, tx, h.token, h.slots)
		if err == nil && !ok {
			err = ErrLeaseLost
		}
		return err
	default:
		return fmt.Errorf("jobs: a %T is not a transaction of this queue", tx)
	}
}
