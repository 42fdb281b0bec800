package backfill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/internal/lanes"
	"github.com/whimbrel-db/whimbrel/migration"
)

// DefaultQueue is the queue of the jobs, if [Config.Queue] names none.
const DefaultQueue = "whimbrel_backfill"

// Config says which backfills the jobs execute, and how. Only Database is required.
type Config struct {
	// Database is the one whose backfills are executed. River's tables may be in another one.
	Database database.Database
	// Sets have the scripts that the history does not keep: Go functions, and texts that are secret
	// or too long. All other scripts are those of the history.
	Sets []*migration.Set
	// Options are those of the Migrators that execute the batches. Several jobs work at the same
	// time, but Observe is called by one of them at a time.
	Options whimbrel.Options
	// Queue is the queue of the jobs: DefaultQueue.
	Queue string
	// Turn is how long a job works before it makes room for other jobs of its queue: 15 seconds.
	Turn time.Duration
	// Hooks are called at the beginning and at the end of a backfill.
	Hooks Hooks
	// Trouble is called when a job can't work on a backfill: its script is missing, a hook or the
	// database returned an error. The job is tried again; the same error in a row is reported once.
	// Calls come one at a time.
	Trouble func(database.BackfillID, error)
}

// Hooks are functions that the jobs call. Any of them may be nil.
type Hooks struct {
	// Before is called in each process before the first time that it works on a backfill. After an
	// error the job is tried again later.
	Before func(context.Context, database.Backfill) error
	// After is called when a backfill is done, and Failed when it has failed. They run in a job of
	// their own, once for each end: in one process, and again later if they return an error or the
	// process is killed.
	After, Failed func(context.Context, database.Backfill) error
}

const (
	defaultTurn = 15 * time.Second
	// idle is how long a slot looks for rows before it gives up its place.
	idle = 2 * time.Second
	// soon is when a job is tried again. River keeps a job available that waits no longer than its
	// scheduler's interval, which is 5 seconds, so that no leader is needed to wake it.
	soon = 4 * time.Second
)

// Register adds the workers of the jobs to those of a program's own River client. It returns the
// periodic job that starts them, for PeriodicJobs of the client's configuration:
//
//	periodic, err := backfill.Register(workers, backfill.Config{Database: db})
//	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
//		Workers:      workers,
//		PeriodicJobs: []*river.PeriodicJob{periodic},
//		Queues: map[string]river.QueueConfig{
//			river.QueueDefault:    {MaxWorkers: 100},
//			backfill.DefaultQueue: {MaxWorkers: 4},
//		},
//	})
//
// Every client that can become River's leader needs the workers and the periodic job. Clients with
// other values of MaxWorkers, or without the queue, can be in the same database.
func Register(workers *river.Workers, c Config) (*river.PeriodicJob, error) {
	r, err := newRunner(c)
	if err != nil {
		return nil, err
	}
	if err := r.register(workers); err != nil {
		return nil, err
	}
	return r.periodic(), nil
}

// SlotArgs are the arguments of a job that executes batches of a backfill.
type SlotArgs struct {
	Set     string `json:"set" river:"unique"`
	Version int64  `json:"version" river:"unique"`
	// Slot counts from 0; a backfill has as many as batches may be executed at the same time.
	Slot int `json:"slot" river:"unique"`
	// Life counts the jobs that had the slot and were lost.
	Life int `json:"life" river:"unique"`
	// Limit is the longest time that the job can take.
	Limit time.Duration `json:"limit"`
}

// Kind implements river.JobArgs.
func (SlotArgs) Kind() string { return "whimbrel_backfill_slot" }

// DispatchArgs are the arguments of the job that starts the slots of all backfills.
type DispatchArgs struct{}

// Kind implements river.JobArgs.
func (DispatchArgs) Kind() string { return "whimbrel_backfill_dispatch" }

// EndArgs are the arguments of the job that calls a hook at the end of a backfill.
type EndArgs struct {
	Set     string `json:"set" river:"unique"`
	Version int64  `json:"version" river:"unique"`
	// Entry is the history entry that says how it ended.
	Entry int64                  `json:"entry" river:"unique"`
	State database.BackfillState `json:"state"`
}

// Kind implements river.JobArgs.
func (EndArgs) Kind() string { return "whimbrel_backfill_end" }

// runner is what the workers of a client share.
type runner struct {
	Config
	sets map[string]*migration.Set
	// drain is done when the batches that are executed now are the last ones.
	drain context.Context
	// working is how many slots are being worked on.
	working atomic.Int32

	mu      sync.Mutex
	begun   map[int64]bool // backfills for which Hooks.Before was called, by their Start entries
	trouble map[database.BackfillID]string
	offered atomic.Bool // what the last look of the periodic job has found
	looking atomic.Bool
	observe sync.Mutex
}

func newRunner(c Config) (*runner, error) {
	if c.Database == nil {
		return nil, errors.New("backfill.Config has no Database")
	}
	if _, err := riverMigrations(c.Database.Dialect()); err != nil {
		return nil, err
	}
	c.Queue, c.Turn = cmp.Or(c.Queue, DefaultQueue), cmp.Or(c.Turn, defaultTurn)
	r := &runner{Config: c, sets: map[string]*migration.Set{}, drain: context.Background(), begun: map[int64]bool{}, trouble: map[database.BackfillID]string{}}
	for _, s := range c.Sets {
		if r.sets[s.Name()] != nil {
			return nil, fmt.Errorf("backfill.Config has two sets with the name %q", s.Name())
		}
		r.sets[s.Name()] = s
	}
	if observe := c.Options.Observe; observe != nil {
		r.Options.Observe = func(ctx context.Context, e whimbrel.Event) {
			r.observe.Lock()
			defer r.observe.Unlock()
			observe(ctx, e)
		}
	}
	return r, nil
}

func (r *runner) register(workers *river.Workers) error {
	return errors.Join(
		river.AddWorkerSafely(workers, &slotWorker{r: r}),
		river.AddWorkerSafely(workers, &dispatchWorker{r: r}),
		river.AddWorkerSafely(workers, &endWorker{r: r}),
	)
}

// migrator returns the Migrator of a set. A set that the configuration lacks is empty: the texts of
// its backfills are in the history.
func (r *runner) migrator(set string) (*whimbrel.Migrator, error) {
	s := r.sets[set]
	if s == nil {
		var err error
		if s, err = migration.NewSet(set); err != nil {
			return nil, err
		}
	}
	return whimbrel.New(r.Database, s, r.Options), nil
}

// retryAt returns when a job is tried again that has failed.
func retryAt(attempt int) time.Time {
	return time.Now().Add(min(time.Duration(attempt)*time.Second, soon))
}

type slotWorker struct {
	river.WorkerDefaults[SlotArgs]
	r *runner
}

// Timeout implements river.Worker. River takes a job for lost that is running for longer.
func (w *slotWorker) Timeout(j *river.Job[SlotArgs]) time.Duration { return j.Args.Limit }

// NextRetry implements river.Worker.
func (w *slotWorker) NextRetry(j *river.Job[SlotArgs]) time.Time { return retryAt(j.Attempt) }

// Work executes batches of a backfill until the turn ends.
func (w *slotWorker) Work(ctx context.Context, j *river.Job[SlotArgs]) error {
	r, id := w.r, database.BackfillID{Set: j.Args.Set, Version: j.Args.Version}
	r.working.Add(1)
	defer r.working.Add(-1)
	working, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(r.drain, stop)()
	begun := time.Now()
	st, err := r.turn(working, id)
	if working.Err() != nil {
		return river.JobSnooze(0) // the batch is committed; another process continues
	}
	r.record(ctx, st)
	err = r.after(ctx, st, err, time.Since(begun) < r.Turn)
	if errors.As(err, new(*river.JobSnoozeError)) {
		r.report(id, nil)
	} else {
		r.report(id, err)
	}
	return err
}

// turn works on a backfill.
func (r *runner) turn(ctx context.Context, id database.BackfillID) (st whimbrel.BackfillStatus, err error) {
	m, err := r.migrator(id.Set)
	if err != nil {
		return st, err
	}
	if err := r.before(ctx, id); err != nil {
		return st, err
	}
	return m.RunBackfill(ctx, id.Version, whimbrel.RunOptions{Workers: 1, For: r.Turn, Idle: idle})
}

// record stores how far a backfill is as the output of the job, which River's pages show.
func (r *runner) record(ctx context.Context, st whimbrel.BackfillStatus) {
	if st.State == "" {
		return
	}
	out := map[string]any{"name": st.Name, "state": st.State, "rows": st.RowsDone}
	if st.Percent >= 0 {
		out["percent"] = math.Floor(st.Percent)
	}
	if st.ThrottledBy != "" {
		out["throttled_by"] = st.ThrottledBy
	}
	_ = river.RecordOutput(ctx, out) // it fails only outside a job
}

// report tells about the error of a job, if it is another one than before; nil forgets it.
func (r *runner) report(id database.BackfillID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.trouble, id)
		return
	}
	if text := err.Error(); r.trouble[id] != text {
		r.trouble[id] = text
		if r.Trouble != nil {
			r.Trouble(id, err)
		}
	}
}

// gone is nil for the error of a backfill that no longer exists.
func gone(err error) error {
	if errors.Is(err, database.ErrNoBackfill) {
		return nil
	}
	return err
}

// before calls the hook of a backfill for the first time.
func (r *runner) before(ctx context.Context, id database.BackfillID) error {
	if r.Hooks.Before == nil {
		return nil
	}
	b, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.begun[b.EntryID] {
		return nil
	}
	if err := r.Hooks.Before(ctx, b); err != nil {
		return err
	}
	r.begun[b.EntryID] = true
	return nil
}

// find reads a backfill.
func (r *runner) find(ctx context.Context, id database.BackfillID) (database.Backfill, error) {
	all, err := r.read(ctx, database.BackfillQuery{Set: id.Set, Version: &id.Version})
	switch {
	case err != nil:
		return database.Backfill{}, err
	case len(all) == 0:
		return database.Backfill{}, fmt.Errorf("backfill %d of set %q: %w", id.Version, id.Set, database.ErrNoBackfill)
	}
	return all[0], nil
}

func (r *runner) read(ctx context.Context, q database.BackfillQuery) ([]database.Backfill, error) {
	b, err := database.BackfillerOf(r.Database)
	if err != nil {
		return nil, err
	}
	return b.Backfills(ctx, q)
}

// after decides what becomes of a slot's job at the end of its turn: nil completes it. idled says
// that the slot has found nothing to do for a while.
func (r *runner) after(ctx context.Context, st whimbrel.BackfillStatus, err error, idled bool) error {
	var ended *whimbrel.BackfillError
	switch {
	case errors.As(err, &ended) && ended.State == database.BackfillFailed:
		return r.ended(ctx, database.BackfillID{Set: ended.Set, Version: ended.Version}, database.BackfillFailed)
	case errors.As(err, &ended) && (ended.State != database.BackfillRunning || errors.As(err, new(*whimbrel.FrozenError))):
		return nil // it gets new slots when somebody resumes it
	case err != nil:
		return gone(err)
	case st.State == database.BackfillDone:
		return r.ended(ctx, st.BackfillID, database.BackfillDone)
	case !offers(st.Backfill):
		return nil // others have all its lanes, or these wait
	case idled:
		return river.JobSnooze(soon) // a limit holds it back
	}
	return river.JobSnooze(0)
}

// offers reports whether a worker that asks gets a lane, or can end the backfill.
func offers(b database.Backfill) bool {
	if _, failed := lanes.Failed(b); failed && b.State == database.BackfillRunning {
		return true
	}
	c := b.Claim()
	return c.Lane >= 0 || c.Cut > 0 || c.Why == database.ClaimAllDone
}

// ended inserts the job that calls the hook for the end of a backfill.
func (r *runner) ended(ctx context.Context, id database.BackfillID, state database.BackfillState) error {
	if !r.hooked(state) {
		return nil
	}
	q, err := queueFrom(ctx)
	if err != nil {
		return err
	}
	return r.insertEnd(ctx, q, id, state)
}

func (r *runner) hooked(state database.BackfillState) bool {
	return state == database.BackfillDone && r.Hooks.After != nil || state == database.BackfillFailed && r.Hooks.Failed != nil
}

func (r *runner) insertEnd(ctx context.Context, q queue, id database.BackfillID, state database.BackfillState) error {
	entry, err := r.endEntry(ctx, id, state)
	if err != nil || entry == 0 {
		return err
	}
	args := EndArgs{Set: id.Set, Version: id.Version, Entry: entry, State: state}
	_, err = q.InsertMany(ctx, []river.InsertManyParams{{Args: args, InsertOpts: &river.InsertOpts{
		Queue: r.Queue, UniqueOpts: river.UniqueOpts{ByArgs: true},
	}}})
	return err
}

// endEntry returns the newest history entry that says that a backfill has ended; 0 if there is
// none.
func (r *runner) endEntry(ctx context.Context, id database.BackfillID, state database.BackfillState) (int64, error) {
	for e, err := range r.Database.History(ctx, database.HistoryQuery{Set: id.Set, Version: &id.Version, Newest: true, Limit: 20}) {
		if err != nil {
			return 0, err
		}
		if state == database.BackfillDone && e.Direction == database.Finish || state == database.BackfillFailed && e.Direction == database.Control && isFailure(e) {
			return e.ID, nil
		}
	}
	return 0, nil
}

type endWorker struct {
	river.WorkerDefaults[EndArgs]
	r *runner
}

// NextRetry implements river.Worker.
func (w *endWorker) NextRetry(j *river.Job[EndArgs]) time.Time { return retryAt(j.Attempt) }

// Work calls a hook.
func (w *endWorker) Work(ctx context.Context, j *river.Job[EndArgs]) error {
	hook := w.r.Hooks.After
	if j.Args.State == database.BackfillFailed {
		hook = w.r.Hooks.Failed
	}
	if hook == nil {
		return fmt.Errorf("this process has no hook for a backfill that is %s", j.Args.State)
	}
	b, err := w.r.find(ctx, database.BackfillID{Set: j.Args.Set, Version: j.Args.Version})
	if err != nil {
		return gone(err)
	}
	return hook(ctx, b)
}

// queue is what the jobs need of a River client, whatever its driver.
type queue interface {
	InsertMany(context.Context, []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	JobList(context.Context, *river.JobListParams) (*river.JobListResult, error)
}
