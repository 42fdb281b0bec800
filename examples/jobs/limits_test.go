package jobs_test

import (
	"context"
	"errors"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/whimbrel-db/whimbrel/examples/jobs"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// observations are the tables in which jobs of child processes write what they observe.
const observations = `
	CREATE TABLE observed (job bigint, working int);
	CREATE TABLE holding (job bigint, pid text);
	CREATE TABLE resumed (job bigint);
	CREATE TABLE done (job bigint PRIMARY KEY);
	CREATE TABLE outcome (job bigint, error text, number serial);
	CREATE TABLE stolen (job bigint);
	CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		IF OLD.ends > clock_timestamp() AND NEW.token <> OLD.token THEN
			INSERT INTO stolen VALUES (OLD.job_id);
		END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER watch BEFORE UPDATE ON jobs.leases FOR EACH ROW EXECUTE FUNCTION watch()`

// counting is a job that counts the jobs that work at the same time as it does.
type counting struct{}

func (counting) Kind() string { return "counting" }

// countingWorker holds a lock of its session while it works, so it can count the others exactly. It
// does not end before as many jobs as the limit permits have worked at the same time.
func countingWorker(pool *pgxpool.Pool, limit int) river.Worker[counting] {
	return river.WorkFunc(func(ctx context.Context, job *river.Job[counting]) error {
		return pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
			if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock_shared(4711)"); err != nil {
				return err
			}
			defer conn.Exec(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock_shared(4711)")
			_, err := conn.Exec(ctx, `
				INSERT INTO observed SELECT $1, count(*) FROM pg_locks
				WHERE locktype = 'advisory' AND objid = 4711 AND granted
					AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, job.ID)
			if err != nil {
				return err
			}
			return until(ctx, conn, "SELECT EXISTS (SELECT FROM observed WHERE working >= $1)", limit)
		})
	})
}

// until returns when a query returns true.
func until(ctx context.Context, db interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}, query string, args ...any,
) error {
	for {
		var yes bool
		if err := db.QueryRow(ctx, query, args...).Scan(&yes); err != nil || yes {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// holding is a job that works until its process is killed, or until a row of table resumed says
// that it may end, or until it loses its slot. It then tries to commit a row in any case.
type holding struct{}

func (holding) Kind() string { return "holding" }

func holdingWorker(pool *pgxpool.Pool) river.Worker[holding] {
	return river.WorkFunc(func(ctx context.Context, job *river.Job[holding]) error {
		if _, err := pool.Exec(ctx, "INSERT INTO holding VALUES ($1, $2)", job.ID, job.AttemptedBy[len(job.AttemptedBy)-1]); err != nil {
			return err
		}
		err := until(ctx, pool, "SELECT EXISTS (SELECT FROM resumed WHERE job = $1)", job.ID)
		if err != nil && ctx.Err() == nil {
			return err
		}
		ctx = context.WithoutCancel(ctx)
		text := "committed"
		if err := commit(ctx, pool, job.ID); err != nil {
			text = err.Error()
		}
		_, err2 := pool.Exec(ctx, "INSERT INTO outcome VALUES ($1, $2)", job.ID, text)
		return errors.Join(err, err2)
	})
}

// fenced is a job that commits a row while it has its slot.
type fenced struct{}

func (fenced) Kind() string { return "fenced" }

func fencedWorker(pool *pgxpool.Pool) river.Worker[fenced] {
	return river.WorkFunc(func(ctx context.Context, job *river.Job[fenced]) error {
		return commit(ctx, pool, job.ID)
	})
}

func commit(ctx context.Context, pool *pgxpool.Pool, job int64) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := jobs.Fence(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO done VALUES ($1) ON CONFLICT DO NOTHING", job)
		return err
	})
}

// newObserved returns the URL of a new database with the library's tables and those of
// observations, and a queue that only enqueues.
func newObserved(t *testing.T) (string, *pgxpool.Pool, *jobs.Queue[pgx.Tx]) {
	t.Helper()
	url := testdb.Postgres(t)
	pool := connect(t, url)
	q := start(t, jobs.Options{Pool: pool})
	execute(t, pool, observations)
	return url, pool, q
}

func enqueue(t *testing.T, q *jobs.Queue[pgx.Tx], n int, args river.JobArgs, opts *river.InsertOpts) (ids []int64) {
	t.Helper()
	for range n {
		inserted, err := q.River.Insert(t.Context(), args, opts)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, inserted.Job.ID)
	}
	return ids
}

const allCompleted = "SELECT count(*) = 0 FROM jobs.river_job WHERE state <> 'completed'"

func TestGlobalLimitOfTwentyProcesses(t *testing.T) {
	t.Parallel()
	url, pool, q := newObserved(t)
	enqueue(t, q, 100, counting{}, nil)
	for range 20 {
		startChild(t, childOptions{URL: url, Work: true, Limit: 3, Lease: time.Hour})
	}
	await(t, pool, allCompleted)
	if n := scan[int](t, pool, "SELECT max(working) FROM observed"); n != 3 {
		t.Errorf("%d jobs worked at the same time, want 3", n)
	}
	wantNoneStolen(t, pool)
}

func wantNoneStolen(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if n := scan[int](t, pool, "SELECT count(*) FROM stolen"); n != 0 {
		t.Errorf("%d slots were taken before their leases ended", n)
	}
}

func TestGlobalLimitWhenProcessesAreKilled(t *testing.T) {
	t.Parallel()
	url, pool, q := newObserved(t)
	children := map[string]*exec.Cmd{}
	for range 20 {
		child := startChild(t, childOptions{URL: url, Work: true, Limit: 3, Lease: 2 * time.Second})
		children[strconv.Itoa(child.Process.Pid)] = child
	}
	for range 5 { // kills 15 of the 20 processes, each while it works
		enqueue(t, q, 3, holding{}, nil)
		victims := awaitHolders(t, pool, children, 3)
		for _, pid := range victims {
			children[pid].Process.Kill()
			delete(children, pid)
		}
	}
	ids := enqueue(t, q, 30, fenced{}, nil)
	await(t, pool, "SELECT count(*) = 30 FROM done WHERE job = ANY ($1)", ids)
	wantNoneStolen(t, pool)
	if n := scan[int](t, pool, "SELECT count(*) FROM jobs.leases"); n != 3 {
		t.Errorf("the limit has %d slots, want 3", n)
	}
}

// awaitHolders waits until jobs of n of the processes hold slots at the same time.
func awaitHolders(t *testing.T, pool *pgxpool.Pool, children map[string]*exec.Cmd, n int) []string {
	t.Helper()
	alive := slices.Collect(maps.Keys(children))
	const holders = `FROM jobs.leases l JOIN holding h ON h.job = l.job_id AND h.pid = l.client
		WHERE ends > clock_timestamp() AND client = ANY ($1)`
	await(t, pool, "SELECT count(DISTINCT slot) = $2 "+holders, alive, n)
	return scan[[]string](t, pool, "SELECT coalesce(array_agg(DISTINCT client), '{}') "+holders, alive)
}

func TestJobOfAKilledProcessIsTriedAgain(t *testing.T) {
	t.Parallel()
	url, pool, q := newObserved(t)
	id := enqueue(t, q, 1, holding{}, nil)[0]
	child := startChild(t, childOptions{URL: url, Work: true, Limit: 1, Lease: time.Second})
	awaitHolders(t, pool, map[string]*exec.Cmd{strconv.Itoa(child.Process.Pid): child}, 1)
	child.Process.Kill()
	child.Wait()
	killed, err := q.River.JobGet(t.Context(), id) // more attempts than one if it had lost its lease
	if err != nil {
		t.Fatal(err)
	}

	workers := river.NewWorkers()
	river.AddWorker(workers, river.WorkFunc(func(context.Context, *river.Job[holding]) error { return nil }))
	start(t, jobs.Options{Pool: pool, River: river.Config{
		Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 1}},
		JobTimeout: time.Second, RescueStuckJobsAfter: time.Second,
	}, Limits: jobs.Limits{Queues: map[string]int{river.QueueDefault: 1}}})
	if job := awaitState(t, pool, q, id, rivertype.JobStateCompleted); job.Attempt != killed.Attempt+1 {
		t.Errorf("the job is completed after %d attempts, want %d", job.Attempt, killed.Attempt+1)
	}
}

func TestFrozenProcessCommitsNothing(t *testing.T) {
	t.Parallel()
	url, pool, q := newObserved(t)
	frozen := enqueue(t, q, 1, holding{}, nil)[0]
	options := childOptions{URL: url, Work: true, Limit: 1, Lease: time.Second}
	child := startChild(t, options)
	await(t, pool, "SELECT EXISTS (SELECT FROM holding WHERE job = $1)", frozen)
	if err := child.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { child.Process.Signal(syscall.SIGCONT) })

	next := enqueue(t, q, 1, fenced{}, nil)[0]
	startChild(t, options)
	await(t, pool, "SELECT EXISTS (SELECT FROM done WHERE job = $1)", next) // in the place of the frozen one
	execute(t, pool, "INSERT INTO resumed VALUES ($1)", frozen)
	if err := child.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(t, pool, "SELECT EXISTS (SELECT FROM outcome WHERE job = $1)", frozen)
	if diff := cmp.Diff(jobs.ErrLeaseLost.Error(), scan[string](t, pool, "SELECT error FROM outcome WHERE job = $1 ORDER BY number LIMIT 1", frozen)); diff != "" {
		t.Errorf("the first outcome of the frozen job (-want +got):\n%s", diff)
	}
}
