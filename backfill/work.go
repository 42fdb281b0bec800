package backfill

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivertype"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
	"github.com/whimbrel-db/whimbrel/database/sqlite"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Until says when [Work] returns without an error.
type Until int

const (
	// Stopped is when the context ends.
	Stopped Until = iota
	// Done is when no detached backfill is left that is not done, and the hooks were called.
	Done
	// NothingToDo is when no worker would get rows now: all backfills are done, are paused or have
	// failed, or wait for a limit or another process.
	NothingToDo
)

// DefaultWorkers is how many batches [Work] executes at the same time, if WorkOptions don't say.
const DefaultWorkers = 4

// WorkOptions are the options of Work. The zero value is useful.
type WorkOptions struct {
	// Config is that of the jobs. Work sets its Database.
	Config
	// Open are the options with which the database is opened.
	Open database.Options
	// Workers is how many batches this process executes at the same time: DefaultWorkers.
	Workers int
	// Schema is the schema of River's tables on PostgreSQL; see River.
	Schema string
	// KeepSchema leaves River's tables as they are. By default, Work calls MigrateRiver.
	KeepSchema bool
	// Until says when Work returns.
	Until Until
	// StopFor is how long Work waits, when its context ends, for the batches that are executed then.
	// After that they are cancelled and rolled back. 0 means 30 seconds.
	StopFor time.Duration
	// UI serves River's pages about the queue, to everybody who can connect to it. Work closes it.
	UI net.Listener
	// Logger receives what River logs. nil drops it.
	Logger *slog.Logger
	// River can change the configuration of the River client, for example to add hooks and
	// middleware of River.
	River func(*river.Config)
	// Ready is called when the client has started.
	Ready func(Ready)
}

// Ready says what Work has started.
type Ready struct {
	// Database is open as long as Work runs.
	Database database.Database
	// River is what MigrateRiver did; nil with KeepSchema.
	River *whimbrel.Result
}

const (
	defaultStopFor = 30 * time.Second
	// lookEvery is about how often Work looks for backfills that can have more workers.
	lookEvery = 2 * time.Second
	// endEvery is how often Work looks whether it can end.
	endEvery = 250 * time.Millisecond
	// pollEvery is how often a client asks for jobs. It does not listen, so that it can connect
	// through a pooler.
	pollEvery = time.Second
	// keepFor is how long jobs are kept that have ended, as River's leader does by default.
	// pruneEvery is how often Work deletes older ones, pruneAtOnce at most.
	keepFor     = 24 * time.Hour
	pruneEvery  = 10 * time.Minute
	pruneAtOnce = 1000
	// startTries is how often the start of a client is tried.
	startTries = 12
	// busyFor is how long a statement of River waits for another writer of a SQLite file.
	busyFor = 30 * time.Second
)

// Work executes the detached backfills of a database until the context ends, or as Until says. Any
// number of processes can do so at the same time, together with River clients of applications
// ([Register]).
//
// When the context ends, the batches that are executed then are committed, and Work returns nil.
// The client never becomes River's leader: a leader must know the jobs of all programs that use
// these tables.
//
// With Done, Work returns a *whimbrel.BackfillError if a backfill has failed or was cancelled, when
// nothing else is left to do.
func Work(ctx context.Context, url string, opts WorkOptions) error {
	if opts.UI != nil {
		defer opts.UI.Close()
	}
	db, err := database.Open(ctx, url, opts.Open)
	if err != nil {
		return err
	}
	defer db.Close()
	opts.Database, opts.Workers, opts.StopFor = db, cmp.Or(opts.Workers, DefaultWorkers), cmp.Or(opts.StopFor, defaultStopFor)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	r, err := newRunner(opts.Config)
	if err != nil {
		return err
	}
	if _, err := r.read(ctx, database.BackfillQuery{}); err != nil {
		return err // the driver can't, or Whimbrel's tables can't be read
	}
	ready := Ready{Database: db}
	if !opts.KeepSchema {
		migrator := opts.Options
		migrator.Observe = nil // it gets the events of backfills
		if ready.River, err = MigrateRiver(ctx, db, RiverOptions{Schema: opts.Schema, Migrator: migrator}); err != nil {
			return err
		}
	}
	if err := checkRiver(ctx, db, opts.Schema); err != nil {
		return err
	}
	c, closePool, err := newClient(ctx, url, r, opts)
	if err != nil {
		return err
	}
	defer closePool()
	return c.run(ctx, ready)
}

// client is a River client of any driver.
type client interface {
	queue
	JobDeleteMany(context.Context, *river.JobDeleteManyParams) (*river.JobDeleteManyResult, error)
	Start(context.Context) error
	Stop(context.Context) error
}

// worker is a running Work.
type worker struct {
	client
	r    *runner
	opts WorkOptions
	ui   func(context.Context) error // serves the pages; nil for none
	// drain ends the work on rows after the batches that are executed now, and cancel cancels these.
	drain, cancel context.CancelFunc
}

// newClient returns the worker for a URL, and a function that closes its pool.
func newClient(ctx context.Context, url string, r *runner, opts WorkOptions) (*worker, func(), error) {
	if r.Database.Dialect() == sqltext.SQLite {
		dsn, err := sqlite.DSN(url, busyFor)
		if err != nil {
			return nil, nil, err
		}
		pool, err := sql.Open("sqlite", dsn)
		if err != nil {
			return nil, nil, err
		}
		pool.SetMaxOpenConns(1) // as River recommends
		w, err := newWorker(riversqlite.New(pool), r, opts)
		if err != nil {
			pool.Close()
			return nil, nil, err
		}
		return w, func() { pool.Close() }, nil
	}
	config, err := postgres.PoolConfig(url, opts.Open)
	if err != nil {
		return nil, nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, nil, err
	}
	w, err := newWorker(riverpgxv5.New(pool), r, opts)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return w, pool.Close, nil
}

func newWorker[T any](driver riverdriver.Driver[T], r *runner, opts WorkOptions) (*worker, error) {
	w := &worker{r: r, opts: opts}
	r.drain, w.drain = context.WithCancel(context.Background())
	workers := river.NewWorkers()
	if err := r.register(workers); err != nil {
		return nil, err
	}
	config := &river.Config{
		Logger: opts.Logger, Schema: opts.Schema, Workers: workers,
		Queues:                 map[string]river.QueueConfig{r.Queue: {MaxWorkers: opts.Workers}},
		FetchPollInterval:      pollEvery,
		PollOnly:               true,
		FetchOnlyKnownKinds:    true,
		LeaderElectionDisabled: true,
		JobTimeout:             -1,
	}
	if opts.River != nil {
		opts.River(config)
	}
	c, err := river.NewClient(driver, config)
	if err != nil {
		return nil, fmt.Errorf("River: %w", err)
	}
	w.client = c
	if opts.UI != nil {
		w.ui = func(ctx context.Context) error { return serveUI(ctx, c, opts.UI, opts.Logger) }
	}
	return w, nil
}

// run works until it has to end.
func (w *worker) run(ctx context.Context, ready Ready) error {
	// Jobs have a context of their own, so that the end of ctx does not cancel a batch.
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w.cancel = cancel
	defer cancel()
	defer w.drain()
	if err := w.start(ctx, working); err != nil {
		return err
	}
	failed := make(chan error, 1)
	uiDone := make(chan struct{})
	pages, stopPages := context.WithCancel(working)
	defer func() { stopPages(); <-uiDone }()
	go func() {
		defer close(uiDone)
		if w.ui == nil {
			return
		}
		if err := w.ui(pages); err != nil {
			failed <- fmt.Errorf("can't serve the pages of the queue: %w", err)
		}
	}()
	if w.opts.Ready != nil {
		w.opts.Ready(ready)
	}
	err := w.until(ctx, failed)
	return errors.Join(err, w.stop())
}

// start starts the client. River gives up if the database keeps it waiting for ten seconds, as
// other writers of a SQLite file can do.
func (w *worker) start(ctx, working context.Context) error {
	for try := 1; ; try++ {
		err := w.Start(working)
		switch {
		case err == nil:
			return nil
		case try == startTries, ctx.Err() != nil, !errors.Is(err, context.DeadlineExceeded):
			return riverError(err)
		}
	}
}

func riverError(err error) error { return fmt.Errorf("River: %w", err) }

// until dispatches jobs until it is time to end.
func (w *worker) until(ctx context.Context, failed <-chan error) error {
	var dispatch, prune time.Time // the next ones
	for {
		now := time.Now()
		if now.After(dispatch) {
			w.report(ctx, "can't look for backfills", w.r.dispatch(ctx, w))
			dispatch = now.Add(lookEvery/2 + rand.N(lookEvery))
		}
		if now.After(prune) {
			w.report(ctx, "can't delete old jobs", w.prune(ctx, now.Add(-keepFor)))
			prune = now.Add(pruneEvery/2 + rand.N(pruneEvery))
		}
		pause := time.Until(dispatch)
		if w.opts.Until != Stopped {
			if end, err := w.ends(ctx); end {
				return err
			}
			pause = min(pause, endEvery)
		}
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case <-time.After(pause):
		}
	}
}

// report logs the error of a call that is repeated.
func (w *worker) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		w.opts.Logger.ErrorContext(ctx, what, slog.String("error", err.Error()))
	}
}

// prune deletes jobs of this package that have ended before a time. River's leader does that for
// all jobs, but there may be none.
func (w *worker) prune(ctx context.Context, before time.Time) error {
	ended := river.NewJobListParams().Kinds(SlotArgs{}.Kind(), DispatchArgs{}.Kind(), EndArgs{}.Kind()).
		States(rivertype.JobStateCompleted, rivertype.JobStateCancelled, rivertype.JobStateDiscarded).
		OrderBy(river.JobListOrderByFinalizedAt, river.SortOrderAsc).First(pruneAtOnce)
	list, err := w.JobList(ctx, ended)
	if err != nil {
		return err
	}
	var ids []int64
	for _, j := range list.Jobs {
		if j.FinalizedAt != nil && j.FinalizedAt.Before(before) {
			ids = append(ids, j.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	_, err = w.JobDeleteMany(ctx, river.NewJobDeleteManyParams().IDs(ids...).First(pruneAtOnce))
	return err
}

// ends reports whether Work ends by itself now.
func (w *worker) ends(ctx context.Context) (bool, error) {
	all, err := w.r.read(ctx, database.BackfillQuery{Unfinished: true})
	if err != nil {
		return false, nil // the next look may succeed
	}
	var failed *database.Backfill
	left := false
	for _, b := range all {
		switch {
		case !b.Detached:
		case b.State.Ended():
			failed = &b
		case w.opts.Until == Done, waitsForWorker(b) && !w.r.frozen(ctx, b.Set):
			left = true
		}
	}
	if left || w.r.working.Load() > 0 || !w.hooksCalled(ctx) {
		return false, nil
	}
	if w.opts.Until == Done && failed != nil {
		return true, endError(*failed)
	}
	return true, nil
}

// hooksCalled reports whether no job is left that calls a hook.
func (w *worker) hooksCalled(ctx context.Context) bool {
	if w.r.Hooks.After == nil && w.r.Hooks.Failed == nil {
		return true
	}
	list, err := w.JobList(ctx, river.NewJobListParams().Kinds(EndArgs{}.Kind()).States(unfinishedStates...).First(1))
	return err == nil && len(list.Jobs) == 0
}

// waitsForWorker reports whether a backfill has something to do for a worker now.
func waitsForWorker(b database.Backfill) bool {
	held := !b.ThrottledAt.IsZero() && b.Now.Sub(b.ThrottledAt) < time.Minute
	return offers(b) && !held
}

func endError(b database.Backfill) error {
	var err error
	if b.Error != "" {
		err = errors.New(b.Error)
	}
	return &whimbrel.BackfillError{
		Set: b.Set, Version: b.Version, Name: b.Name, State: b.State, Err: err,
		Backfill: whimbrel.BackfillStatus{Backfill: b, Percent: -1},
	}
}

// stop ends the client: the batches that are executed now are the last ones.
func (w *worker) stop() error {
	w.drain()
	soft, enough := context.WithTimeout(context.Background(), w.opts.StopFor)
	defer enough()
	if err := w.Stop(soft); err == nil {
		return nil
	}
	// Closing the database cancels the statements that still run.
	w.cancel()
	w.r.Database.Close()
	if err := w.Stop(context.Background()); err != nil {
		return riverError(err)
	}
	return fmt.Errorf("batches that took longer than %s were cancelled; they are executed again", w.opts.StopFor)
}
