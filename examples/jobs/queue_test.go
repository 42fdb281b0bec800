package jobs_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"riverqueue.com/riverui"

	"github.com/whimbrel-db/whimbrel/examples/jobs"
)

// task is a job of most tests.
type task struct {
	Name string
}

func (task) Kind() string { return "task" }

// working returns a configuration that works on tasks of queues with a function.
func working(work func(context.Context, *river.Job[task]) error, queues ...string) river.Config {
	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(work))
	config := river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{},
		FetchPollInterval: 100 * time.Millisecond, FetchCooldown: 10 * time.Millisecond,
	}
	for _, queue := range queues {
		config.Queues[queue] = river.QueueConfig{MaxWorkers: 10}
	}
	return config
}

func nothing(context.Context, *river.Job[task]) error { return nil }

// log collects what jobs do.
type log struct {
	mu    sync.Mutex
	lines []string
}

func (l *log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
}

func (l *log) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// awaitState waits until a job has a state, and returns it.
func awaitState(t *testing.T, pool *pgxpool.Pool, q *jobs.Queue[pgx.Tx], id int64, state rivertype.JobState) *rivertype.JobRow {
	t.Helper()
	await(t, pool, "SELECT state::text = $2 FROM jobs.river_job WHERE id = $1", id, state)
	job, err := q.River.JobGet(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestJobsAreDurable(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	first, err := jobs.Start(t.Context(), jobs.Options{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	id := enqueue(t, first, 1, task{"kept"}, nil)[0]
	stop(t, first)
	q := start(t, jobs.Options{Pool: pool, River: working(nothing, river.QueueDefault)})
	awaitState(t, pool, q, id, rivertype.JobStateCompleted)
}

func TestJobsAreEnqueuedWithTheCallersTransaction(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q := start(t, jobs.Options{Pool: pool})
	rollBack := errors.New("roll back")
	for name, outcome := range map[string]error{"committed": nil, "rolled back": rollBack} {
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			if _, err := q.River.InsertTx(t.Context(), tx, task{name}, nil); err != nil {
				return err
			}
			return outcome
		})
		if !errors.Is(err, outcome) {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"committed"}, scan[[]string](t, pool, "SELECT array_agg(args->>'Name') FROM jobs.river_job")); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

func TestNamedQueues(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q := start(t, jobs.Options{Pool: pool, River: working(nothing, "mail")})
	other := enqueue(t, q, 1, task{}, &river.InsertOpts{Queue: "reports"})[0]
	mail := enqueue(t, q, 1, task{}, &river.InsertOpts{Queue: "mail"})[0]
	awaitState(t, pool, q, mail, rivertype.JobStateCompleted)
	awaitState(t, pool, q, other, rivertype.JobStateAvailable)
}

func TestPriorities(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	enqueuer := start(t, jobs.Options{Pool: pool})
	for _, priority := range []int{3, 1, 4, 2} {
		enqueue(t, enqueuer, 1, task{string(rune('0' + priority))}, &river.InsertOpts{Priority: priority})
	}
	var order log
	config := working(func(_ context.Context, job *river.Job[task]) error {
		order.add(job.Args.Name)
		return nil
	})
	config.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}}
	start(t, jobs.Options{Pool: pool, River: config})
	await(t, pool, allCompleted)
	if diff := cmp.Diff([]string{"1", "2", "3", "4"}, order.all()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

// together counts how many calls of work are active at the same time. A call ends when as many as
// enough have been active together.
type together struct {
	mu          sync.Mutex
	active, max int
	enough      int
	reached     chan struct{}
}

func newTogether(enough int) *together {
	return &together{enough: enough, reached: make(chan struct{})}
}

func (w *together) work(ctx context.Context, _ *river.Job[task]) error {
	w.mu.Lock()
	w.active++
	w.max = max(w.max, w.active)
	if w.active == w.enough {
		w.enough = -1
		time.AfterFunc(300*time.Millisecond, func() { close(w.reached) }) // others would begin until then
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.active--
		w.mu.Unlock()
	}()
	select {
	case <-w.reached:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestLimitOfAQueueInAProcess(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	w := newTogether(2)
	config := working(w.work)
	config.JobTimeout = -1
	config.Queues = map[string]river.QueueConfig{"mail": {MaxWorkers: 2}}
	q := start(t, jobs.Options{Pool: pool, River: config})
	enqueue(t, q, 20, task{}, &river.InsertOpts{Queue: "mail"})
	await(t, pool, allCompleted)
	if w.max != 2 {
		t.Errorf("%d jobs worked at the same time, want 2", w.max)
	}
}

func TestLimitOfAllQueuesTogether(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	w := newTogether(3)
	config := working(w.work, "mail", "reports")
	config.JobTimeout = -1
	options := jobs.Options{Pool: pool, River: config, Limits: jobs.Limits{
		Total: 3, Queues: map[string]int{"mail": 2}, Lease: time.Hour,
	}}
	q := start(t, options)
	start(t, options)
	enqueue(t, q, 20, task{}, &river.InsertOpts{Queue: "mail"})
	enqueue(t, q, 20, task{}, &river.InsertOpts{Queue: "reports"})
	await(t, pool, allCompleted)
	if w.max != 3 {
		t.Errorf("%d jobs worked at the same time, want 3", w.max)
	}
}

// slotTaken is a queue with one slot, which another process seems to hold until free is called.
func slotTaken(t *testing.T, pool *pgxpool.Pool) (limits jobs.Limits, free func()) {
	t.Helper()
	limits = jobs.Limits{Queues: map[string]int{river.QueueDefault: 1}, Lease: time.Hour}
	start(t, jobs.Options{Pool: pool, Limits: limits})
	execute(t, pool, "UPDATE jobs.leases SET token = 'another', ends = 'infinity'")
	return limits, func() { execute(t, pool, "UPDATE jobs.leases SET token = NULL, ends = '-infinity'") }
}

// TestAJobThatWaits checks that a job that waits for a slot uses up no attempt, and keeps its place
// in the queue when its process stops.
func TestAJobThatWaits(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	limits, free := slotTaken(t, pool)
	var order log
	config := working(func(_ context.Context, job *river.Job[task]) error {
		order.add(job.Args.Name)
		return nil
	}, river.QueueDefault)
	waiting, err := jobs.Start(t.Context(), jobs.Options{Pool: pool, River: config, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	first := enqueue(t, waiting, 1, task{"first"}, nil)[0]
	awaitState(t, pool, waiting, first, rivertype.JobStateRunning)
	enqueue(t, waiting, 1, task{"second"}, nil)
	stop(t, waiting)

	q := start(t, jobs.Options{Pool: pool, River: config, Limits: limits})
	free()
	if job := awaitState(t, pool, q, first, rivertype.JobStateCompleted); job.Attempt != 1 {
		t.Errorf("the job has %d attempts, want 1", job.Attempt)
	}
	await(t, pool, allCompleted)
	if diff := cmp.Diff([]string{"first", "second"}, order.all()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestAJobThatWaitsLetsUrgentOnesPass(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	limits, free := slotTaken(t, pool)
	var order log
	config := working(func(_ context.Context, job *river.Job[task]) error {
		order.add(job.Args.Name)
		return nil
	}, river.QueueDefault)
	q := start(t, jobs.Options{Pool: pool, River: config, Limits: limits})
	ordinary := enqueue(t, q, 1, task{"ordinary"}, &river.InsertOpts{Priority: 2})[0]
	awaitState(t, pool, q, ordinary, rivertype.JobStateRunning)
	urgent := enqueue(t, q, 1, task{"urgent"}, &river.InsertOpts{Priority: 1})[0]
	awaitState(t, pool, q, urgent, rivertype.JobStateRunning)
	free()
	await(t, pool, allCompleted)
	if diff := cmp.Diff([]string{"urgent", "ordinary"}, order.all()); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTheTimeoutBeginsWhenTheJobHasASlot(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	limits, free := slotTaken(t, pool)
	var deadline time.Time
	config := working(func(ctx context.Context, job *river.Job[task]) error {
		deadline, _ = ctx.Deadline()
		return nil
	}, river.QueueDefault)
	config.JobTimeout = time.Hour
	config.RescueStuckJobsAfter = 2 * time.Hour
	q := start(t, jobs.Options{Pool: pool, River: config, Limits: limits})
	id := enqueue(t, q, 1, task{}, nil)[0]
	awaitState(t, pool, q, id, rivertype.JobStateRunning)
	freed := time.Now()
	free()
	awaitState(t, pool, q, id, rivertype.JobStateCompleted)
	if deadline.Before(freed.Add(time.Hour)) {
		t.Errorf("the job's deadline is %v before the time at which it got its slot and the timeout", freed.Add(time.Hour).Sub(deadline))
	}
}

// holdsSlot starts a queue with one slot and a job that works until its context ends, and then adds
// the cause to a log.
func holdsSlot(t *testing.T, pool *pgxpool.Pool, lease time.Duration) (q *jobs.Queue[pgx.Tx], id int64, causes chan error) {
	t.Helper()
	causes = make(chan error, 10)
	config := working(func(ctx context.Context, job *river.Job[task]) error {
		<-ctx.Done()
		causes <- context.Cause(ctx)
		return ctx.Err()
	}, river.QueueDefault)
	config.JobTimeout = -1
	config.MaxAttempts = 1
	q = start(t, jobs.Options{Pool: pool, River: config, Limits: jobs.Limits{Total: 1, Lease: lease}})
	id = enqueue(t, q, 1, task{}, nil)[0]
	await(t, pool, "SELECT count(*) = 1 FROM jobs.leases WHERE ends > now()")
	return q, id, causes
}

func TestLeasesAreRenewed(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q, id, causes := holdsSlot(t, pool, time.Minute) // renewed every 15 seconds
	ends := scan[time.Time](t, pool, "SELECT ends FROM jobs.leases")
	await(t, pool, "SELECT ends > $1 AND job_id = $2 FROM jobs.leases", ends, id)
	if _, err := q.River.JobCancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := <-causes; errors.Is(err, jobs.ErrLeaseLost) {
		t.Errorf("the job ended because of %v", err)
	}
	awaitState(t, pool, q, id, rivertype.JobStateCancelled)
}

func TestAJobWhoseSlotIsTakenIsCancelled(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q, id, causes := holdsSlot(t, pool, 4*time.Second)
	execute(t, pool, "UPDATE jobs.leases SET token = 'another', ends = 'infinity'")
	wantLost(t, pool, q, id, causes)
	if scan[string](t, pool, "SELECT token FROM jobs.leases") != "another" {
		t.Error("the job has released the slot of another")
	}
}

func TestAJobThatCantRenewItsLeaseIsCancelled(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q, id, causes := holdsSlot(t, pool, 2*time.Second)
	tx, err := pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	if _, err := tx.Exec(t.Context(), "SELECT FROM jobs.leases FOR UPDATE"); err != nil { // the renewal waits
		t.Fatal(err)
	}
	wantLost(t, pool, q, id, causes)
}

func wantLost(t *testing.T, pool *pgxpool.Pool, q *jobs.Queue[pgx.Tx], id int64, causes chan error) {
	t.Helper()
	if err := <-causes; !errors.Is(err, jobs.ErrLeaseLost) {
		t.Errorf("the job ended because of %v, want %v", err, jobs.ErrLeaseLost)
	}
	job := awaitState(t, pool, q, id, rivertype.JobStateDiscarded)
	if !strings.Contains(job.Errors[0].Error, jobs.ErrLeaseLost.Error()) {
		t.Errorf("the error of the attempt is %q, want %v", job.Errors[0].Error, jobs.ErrLeaseLost)
	}
}

func TestRollbackStopsTheWorkFirst(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	started, rolledBack := make(chan struct{}), make(chan struct{})
	var ended log
	q := start(t, jobs.Options{Pool: pool, River: working(func(ctx context.Context, _ *river.Job[task]) error {
		close(started)
		select {
		case <-ctx.Done():
			ended.add("by Rollback")
		case <-rolledBack:
			ended.add("after Rollback")
		}
		return nil
	}, river.QueueDefault)})
	enqueue(t, q, 1, task{}, nil)
	<-started
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // then jobs are cancelled
	defer cancel()
	if err := q.Rollback(ctx, -1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Rollback: %v, want the end of its context", err)
	}
	close(rolledBack)
	if diff := cmp.Diff([]string{"by Rollback"}, ended.all()); diff != "" {
		t.Errorf("how the job ended (-want +got):\n%s", diff)
	}
	if err := q.Rollback(t.Context(), -1); err != nil {
		t.Errorf("Rollback after the work has stopped: %v", err)
	}
}

func TestDelayedJobs(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q := start(t, jobs.Options{Pool: pool, River: working(nothing, river.QueueDefault)})
	due := time.Now().Add(time.Second)
	soon := enqueue(t, q, 1, task{}, &river.InsertOpts{ScheduledAt: due})[0]
	later := enqueue(t, q, 1, task{}, &river.InsertOpts{ScheduledAt: due.Add(time.Hour)})[0]
	job := awaitState(t, pool, q, soon, rivertype.JobStateCompleted)
	if job.AttemptedAt.Before(due.Truncate(time.Microsecond)) {
		t.Errorf("the job was due at %v, and attempted at %v", due, job.AttemptedAt)
	}
	awaitState(t, pool, q, later, rivertype.JobStateScheduled)
}

// backoff is the retry policy of a test.
type backoff func(attempt int) time.Duration

func (b backoff) NextRetry(job *rivertype.JobRow) time.Time {
	return time.Now().Add(b(len(job.Errors) + 1))
}

func TestAttemptsWithBackoff(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	config := working(func(_ context.Context, job *river.Job[task]) error { return errors.New("no " + job.Args.Name) }, river.QueueDefault)
	config.MaxAttempts = 3
	config.RetryPolicy = backoff(func(attempt int) time.Duration { return []time.Duration{0, 0, time.Hour}[attempt-1] })
	q := start(t, jobs.Options{Pool: pool, River: config})

	usedUp := awaitState(t, pool, q, enqueue(t, q, 1, task{"luck"}, nil)[0], rivertype.JobStateDiscarded)
	var failures []string
	for _, e := range usedUp.Errors {
		failures = append(failures, e.Error)
	}
	if diff := cmp.Diff([]string{"no luck", "no luck", "no luck"}, failures); diff != "" {
		t.Errorf("errors of the attempts (-want +got):\n%s", diff)
	}
	waits := awaitState(t, pool, q, enqueue(t, q, 1, task{"luck"}, &river.InsertOpts{MaxAttempts: 4})[0], rivertype.JobStateRetryable)
	if wait := waits.ScheduledAt.Sub(*waits.AttemptedAt); waits.Attempt != 3 || wait < time.Hour {
		t.Errorf("after attempt %d the job waits for %v, want 1h after attempt 3", waits.Attempt, wait)
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	config := working(func(ctx context.Context, _ *river.Job[task]) error {
		<-ctx.Done()
		return ctx.Err()
	}, river.QueueDefault)
	config.JobTimeout = 10 * time.Millisecond
	config.MaxAttempts = 1
	q := start(t, jobs.Options{Pool: pool, River: config})
	job := awaitState(t, pool, q, enqueue(t, q, 1, task{}, nil)[0], rivertype.JobStateDiscarded)
	if diff := cmp.Diff(context.DeadlineExceeded.Error(), job.Errors[0].Error); diff != "" {
		t.Errorf("error (-want +got):\n%s", diff)
	}
}

func TestPruningOfFinishedJobs(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	first, err := jobs.Start(t.Context(), jobs.Options{Pool: pool, River: working(nothing, river.QueueDefault)})
	if err != nil {
		t.Fatal(err)
	}
	done := enqueue(t, first, 1, task{}, nil)[0]
	waits := enqueue(t, first, 1, task{}, &river.InsertOpts{Queue: "reports"})[0]
	awaitState(t, pool, first, done, rivertype.JobStateCompleted)
	stop(t, first)

	config := working(nothing, river.QueueDefault)
	config.CompletedJobRetentionPeriod = time.Millisecond
	q := start(t, jobs.Options{Pool: pool, River: config})
	await(t, pool, "SELECT NOT EXISTS (SELECT FROM jobs.river_job WHERE id = $1)", done)
	awaitState(t, pool, q, waits, rivertype.JobStateAvailable)
}

func TestIntrospection(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	end := make(chan struct{})
	config := working(func(context.Context, *river.Job[task]) error {
		<-end
		return nil
	}, "mail")
	config.ID = "here"
	q := start(t, jobs.Options{Pool: pool, River: config, Limits: jobs.Limits{Total: 5, Queues: map[string]int{"mail": 1}, Lease: time.Hour}})
	works := enqueue(t, q, 1, task{}, &river.InsertOpts{Queue: "mail"})[0]
	await(t, pool, "SELECT count(*) = 2 FROM jobs.leases WHERE ends > now()")
	enqueue(t, q, 2, task{}, &river.InsertOpts{Queue: "reports"})

	counts, err := q.Counts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantCounts := jobs.Counts{
		"mail": {rivertype.JobStateRunning: 1}, "reports": {rivertype.JobStateAvailable: 2},
	}
	if diff := cmp.Diff(wantCounts, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}

	leases, err := q.Leases(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range leases {
		if !leases[i].Ends.After(time.Now()) {
			t.Errorf("a lease that has ended is listed: %+v", leases[i])
		}
		leases[i].Ends = time.Time{}
	}
	wantLeases := []jobs.Lease{
		{Queue: "*", Slot: 1, JobID: works, Client: "here"}, {Queue: "mail", Slot: 1, JobID: works, Client: "here"},
	}
	if diff := cmp.Diff(wantLeases, leases); diff != "" {
		t.Errorf("leases (-want +got):\n%s", diff)
	}

	listed, err := q.River.JobList(t.Context(), river.NewJobListParams().Queues("mail").States(rivertype.JobStateRunning))
	if err != nil {
		t.Fatal(err)
	}
	if len(listed.Jobs) != 1 || listed.Jobs[0].ID != works {
		t.Errorf("JobList returns %d jobs, want the one that works", len(listed.Jobs))
	}
	close(end)
	awaitState(t, pool, q, works, rivertype.JobStateCompleted)
	await(t, pool, "SELECT count(*) = 0 FROM jobs.leases WHERE ends > now()")
}

// failures is an error handler that logs.
type failures struct{ log *log }

func (f failures) HandleError(_ context.Context, _ *rivertype.JobRow, err error) *river.ErrorHandlerResult {
	f.log.add("on failure: " + err.Error())
	return nil
}

func (f failures) HandlePanic(_ context.Context, _ *rivertype.JobRow, v any, _ string) *river.ErrorHandlerResult {
	f.log.add("on panic: " + v.(string))
	return nil
}

func TestHooksBeforeAfterAndOnFailure(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	var calls log
	config := working(func(_ context.Context, job *river.Job[task]) error {
		calls.add(job.Args.Name)
		switch job.Args.Name {
		case "fails":
			return errors.New("it failed")
		case "panics":
			panic("it panicked")
		}
		return nil
	}, river.QueueDefault)
	config.MaxAttempts = 1
	config.Hooks = []rivertype.Hook{
		river.HookInsertBeginFunc(func(_ context.Context, params *rivertype.JobInsertParams) error {
			calls.add("before insert")
			return nil
		}),
		river.HookWorkBeginFunc(func(context.Context, *rivertype.JobRow) error {
			calls.add("before")
			return nil
		}),
		river.HookWorkEndFunc(func(_ context.Context, _ *rivertype.JobRow, err error) error {
			calls.add("after")
			return err
		}),
	}
	config.ErrorHandler = failures{&calls}
	q := start(t, jobs.Options{Pool: pool, River: config, Limits: jobs.Limits{Total: 1}})
	for name, state := range map[string]rivertype.JobState{
		"works": rivertype.JobStateCompleted, "fails": rivertype.JobStateDiscarded, "panics": rivertype.JobStateDiscarded,
	} {
		calls.lines = nil
		awaitState(t, pool, q, enqueue(t, q, 1, task{name}, nil)[0], state)
		want := map[string]string{
			"works":  "before insert, before, works, after",
			"fails":  "before insert, before, fails, after, on failure: it failed",
			"panics": "before insert, before, panics, on panic: it panicked",
		}[name]
		if diff := cmp.Diff(want, strings.Join(calls.all(), ", ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestQueuesPauseAndJobsAreCancelled(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q := start(t, jobs.Options{Pool: pool, River: working(nothing, "mail", "reports")})
	paused, unsubscribe := q.River.Subscribe(river.EventKindQueuePaused)
	defer unsubscribe()
	if err := q.River.QueuePause(t.Context(), "mail", nil); err != nil {
		t.Fatal(err)
	}
	<-paused
	waits := enqueue(t, q, 1, task{}, &river.InsertOpts{Queue: "mail"})[0]
	works := enqueue(t, q, 1, task{}, &river.InsertOpts{Queue: "reports"})[0]
	awaitState(t, pool, q, works, rivertype.JobStateCompleted)
	awaitState(t, pool, q, waits, rivertype.JobStateAvailable)

	cancelled := enqueue(t, q, 1, task{}, &river.InsertOpts{ScheduledAt: time.Now().Add(time.Hour)})[0]
	if _, err := q.River.JobCancel(t.Context(), cancelled); err != nil {
		t.Fatal(err)
	}
	awaitState(t, pool, q, cancelled, rivertype.JobStateCancelled)

	if err := q.River.QueueResume(t.Context(), "mail", nil); err != nil {
		t.Fatal(err)
	}
	awaitState(t, pool, q, waits, rivertype.JobStateCompleted)
	if _, err := q.River.JobRetry(t.Context(), waits); err != nil {
		t.Fatal(err)
	}
	await(t, pool, "SELECT attempt = 2 AND state = 'completed' FROM jobs.river_job WHERE id = $1", waits)
}

func TestRiverUI(t *testing.T) {
	t.Parallel()
	pool := newPool(t)
	q := start(t, jobs.Options{Pool: pool})
	enqueue(t, q, 1, task{"shown"}, nil)
	pages, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(q.River, nil), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := pages.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	pages.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/api/jobs?state=available", nil))
	if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "shown") {
		t.Errorf("the list of jobs is %d: %s", answer.Code, answer.Body)
	}
}
