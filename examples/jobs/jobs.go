// Package jobs is an example of a library that carries its own schema: a durable job queue on River
// whose tables are created and updated by Start.
//
//	q, err := jobs.Start(ctx, jobs.Options{
//		Pool:   pool,
//		River:  river.Config{Workers: workers, Queues: map[string]river.QueueConfig{"mail": {MaxWorkers: 10}}},
//		Limits: jobs.Limits{Queues: map[string]int{"mail": 3}},
//	})
//	…
//	defer q.Stop(ctx)
//	_, err = q.River.InsertTx(ctx, tx, Welcome{User: 7}, &river.InsertOpts{Queue: "mail"})
//
// River is the queue: queues, priorities, delays, attempts, timeouts, pruning and hooks are options
// of its configuration and its inserts. The package adds the schema, and limits over all processes.
package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/whimbrel-db/whimbrel"
	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/postgres"
)

// schemaName is the PostgreSQL schema of the library's tables.
const schemaName = "jobs"

// Options are the options of Start.
type Options struct {
	// Pool is a pool that the caller opened. It remains the caller's: Stop leaves it open.
	Pool *pgxpool.Pool
	// Settings are those of a pool that Start opens and Stop closes, if Pool is nil.
	Settings *pgxpool.Config
	// App names the program in the history of migrations.
	App string
	// River configures the queue. Start sets its Schema. Without Queues, this process enqueues jobs,
	// and works on none. Without a Logger, nothing is logged.
	River river.Config
	// Limits limit how many jobs work at the same time in all processes together.
	Limits Limits
}

// Queue is a job queue in a database. Tx is the type of its transactions.
type Queue[Tx any] struct {
	// River enqueues jobs, also in a transaction of the caller's, and lists, cancels and retries
	// them. It pauses and resumes queues. Only Start and Stop of this package start and stop it.
	River *river.Client[Tx]

	migrator *whimbrel.Migrator
	store    store[Tx]
	limiter  *limiter[Tx]
	close    func() error
}

// Start brings the library's tables up to date and starts to work on jobs. It verifies the checksum
// of every applied migration first, and applies all pending ones in one transaction. Any number of
// processes may start at once: one migrates, the others wait for it. ctx limits the call, not the
// work; Stop ends the work.
//
// If an applied migration was edited, the error is a *whimbrel.ChecksumMismatchError, and nothing
// has changed.
func Start(ctx context.Context, opts Options) (*Queue[pgx.Tx], error) {
	pool, closePool, err := openPool(ctx, opts)
	if err != nil {
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return start(ctx, backend[pgx.Tx]{
		schema: schemaName,
		db:     postgres.NewPool(pool, database.Options{App: opts.App}),
		driver: riverpgxv5.New(pool),
		store:  postgresStore{pool},
		close:  closePool,
	}, opts.River, opts.Limits)
}

// openPool returns the caller's pool, or a new one, and the function that closes it if it is new.
func openPool(ctx context.Context, opts Options) (*pgxpool.Pool, func(), error) {
	switch {
	case opts.Pool != nil && opts.Settings != nil:
		return nil, nil, errors.New("the options have both a pool and settings for one")
	case opts.Pool != nil:
		return opts.Pool, func() {}, nil
	case opts.Settings != nil:
		pool, err := pgxpool.NewWithConfig(ctx, opts.Settings)
		if err != nil {
			return nil, nil, err
		}
		return pool, pool.Close, nil
	default:
		return nil, nil, errors.New("the options have neither a pool nor settings for one")
	}
}

// backend is what differs between databases.
type backend[Tx any] struct {
	schema string // of the tables; "" if the database has no schemas
	db     database.Database
	driver riverdriver.Driver[Tx]
	store  store[Tx]
	close  func() // closes what Start opened
}

func start[Tx any](ctx context.Context, b backend[Tx], config river.Config, limits Limits) (*Queue[Tx], error) {
	q, err := b.start(ctx, config, limits)
	if err != nil {
		b.closeAll()
		return nil, fmt.Errorf("jobs: %w", err)
	}
	return q, nil
}

func (b backend[Tx]) closeAll() error {
	defer b.close()
	return b.db.Close() // does not close a caller's pool
}

func (b backend[Tx]) start(ctx context.Context, config river.Config, limits Limits) (*Queue[Tx], error) {
	set, err := readSet(b.db.Dialect(), b.schema)
	if err != nil {
		return nil, err
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler) // River's default prints
	}
	config = *config.WithDefaults()
	config.Schema = b.schema
	limiter, err := newLimiter(b.store, limits, &config)
	if err != nil {
		return nil, err
	}
	client, err := river.NewClient(b.driver, &config) // checks the configuration, and sends nothing
	if err != nil {
		return nil, err
	}

	migrator := whimbrel.New(b.db, set, whimbrel.Options{Atomic: true})
	if _, err := migrator.Up(ctx); err != nil { // verifies first
		return nil, err
	}
	if err := b.store.prepare(ctx, limits.all()); err != nil {
		return nil, err
	}
	if len(config.Queues) > 0 {
		if err := client.Start(context.WithoutCancel(ctx)); err != nil {
			return nil, err
		}
	}
	return &Queue[Tx]{River: client, migrator: migrator, store: b.store, limiter: limiter, close: b.closeAll}, nil
}

// Stop waits until the jobs of this process are done, cancels them if ctx ends before that, and
// closes the pool if Start opened it. Jobs that wait for a limit return to their queue.
func (q *Queue[Tx]) Stop(ctx context.Context) error {
	return errors.Join(q.stopWork(ctx), q.close())
}

func (q *Queue[Tx]) stopWork(ctx context.Context) error {
	q.limiter.stop()
	err := q.River.Stop(ctx)
	if err != nil {
		err = errors.Join(err, q.River.StopAndCancel(context.WithoutCancel(ctx)))
	}
	return err
}

// Leases lists the jobs that hold a slot of a limit now, in all processes.
func (q *Queue[Tx]) Leases(ctx context.Context) ([]Lease, error) { return q.store.list(ctx) }

// Counts are the numbers of jobs in each state, by queue.
type Counts map[string]map[rivertype.JobState]int

func (c Counts) add(queue, state string, n int) {
	if c[queue] == nil {
		c[queue] = map[rivertype.JobState]int{}
	}
	c[queue][rivertype.JobState(state)] = n
}

// Counts counts the jobs of all queues.
func (q *Queue[Tx]) Counts(ctx context.Context) (Counts, error) { return q.store.counts(ctx) }
