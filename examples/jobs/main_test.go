package jobs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/whimbrel-db/whimbrel/examples/jobs"
	"github.com/whimbrel-db/whimbrel/internal/testdb"
)

// childEnv is set in processes that the tests start; its value is a childOptions.
const childEnv = "JOBS_TEST_CHILD"

// childOptions say what a process does.
type childOptions struct {
	URL   string
	File  string // of SQLite, instead of URL
	Work  bool   // also works on jobs, until its standard input ends
	Limit int    // of the queue "default"
	Lease time.Duration
}

func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var opts childOptions
	err := json.Unmarshal([]byte(text), &opts)
	if err == nil {
		err = child(context.Background(), opts)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is the whole program of a child process.
func child(ctx context.Context, opts childOptions) error {
	if opts.File != "" {
		q, err := jobs.StartSQLite(ctx, jobs.SQLiteOptions{File: opts.File})
		if err != nil {
			return err
		}
		return q.Stop(ctx)
	}
	config, err := pgxpool.ParseConfig(opts.URL)
	if err != nil {
		return err
	}
	config.MaxConns = 5
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return err
	}
	defer pool.Close()
	o := jobs.Options{Pool: pool}
	if opts.Work {
		workers := river.NewWorkers()
		river.AddWorker(workers, countingWorker(pool, opts.Limit))
		river.AddWorker(workers, holdingWorker(pool))
		river.AddWorker(workers, fencedWorker(pool))
		o.River = river.Config{
			ID:       strconv.Itoa(os.Getpid()),
			Workers:  workers,
			Queues:   map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 4}},
			PollOnly: true,
			// A job that has lost its lease, as on a busy machine, is soon tried again.
			RetryPolicy: backoff(func(int) time.Duration { return 100 * time.Millisecond }),
			// The leader is in the process of the test, which nobody kills.
			LeaderElectionDisabled: true,
			JobTimeout:             -1,
		}
		o.Limits = jobs.Limits{Queues: map[string]int{river.QueueDefault: opts.Limit}, Lease: opts.Lease}
	}
	q, err := jobs.Start(ctx, o)
	if err != nil {
		return err
	}
	if opts.Work {
		bufio.NewReader(os.Stdin).ReadByte() // until the test closes it, or dies
	}
	return q.Stop(ctx)
}

// startChild starts a child process that ends with the test.
func startChild(t *testing.T, opts childOptions) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(opts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		cmd.Wait()
	})
	return cmd
}

// newPool returns a pool of a new database.
func newPool(t *testing.T) *pgxpool.Pool {
	t.Helper()
	return connect(t, testdb.Postgres(t))
}

func connect(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// start starts a queue that stops with the test.
func start(t *testing.T, opts jobs.Options) *jobs.Queue[pgx.Tx] {
	t.Helper()
	q, err := jobs.Start(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, q) })
	return q
}

func stop(t *testing.T, q *jobs.Queue[pgx.Tx]) {
	t.Helper()
	if err := q.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

// scan returns the value of a query.
func scan[T any](t *testing.T, pool *pgxpool.Pool, query string, args ...any) (v T) {
	t.Helper()
	if err := pool.QueryRow(t.Context(), query, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return v
}

// execute executes a statement.
func execute(t *testing.T, pool *pgxpool.Pool, statement string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// await returns when a query returns true.
func await(t *testing.T, pool *pgxpool.Pool, query string, args ...any) {
	t.Helper()
	for !scan[bool](t, pool, query, args...) {
		select {
		case <-t.Context().Done():
			t.Fatalf("never true: %s", query)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
