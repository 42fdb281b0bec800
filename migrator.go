package whimbrel

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/metadata"
	"github.com/whimbrel-db/whimbrel/migration"
)

// TryOnce is the MigrationLockTimeout that does not wait.
const TryOnce time.Duration = -1

// NoTimeout is the LockTimeout without a limit, and the RetryFor that never tries again.
const NoTimeout time.Duration = -1

// DefaultBackfillLease is the default of Options.BackfillLease.
const DefaultBackfillLease = 30 * time.Second

// DefaultTextLimit is the default of Options.TextLimit, in bytes.
const DefaultTextLimit = 1 << 20

// Options of a Migrator. The zero value is useful.
type Options struct {
	// Atomic applies a plan in one transaction. A plan with a statement that can't run in a
	// transaction is then refused before anything runs. It suits libraries with their own set.
	Atomic bool
	// AllowOutOfOrder applies pending versions below the newest applied one, as the database's
	// setting "order" does if it is "any". Otherwise they are an *OutOfOrderError.
	AllowOutOfOrder bool
	// MigrationLockTimeout limits each wait for the migration lock. 0 means the database's setting
	// "migration_lock_timeout"; below 0 (TryOnce) means not to wait. The time starts again whenever
	// the process that holds the lock makes progress with the set. A process that tries a step again
	// because of a lock makes no progress meanwhile.
	MigrationLockTimeout time.Duration
	// LockTimeout limits each wait of a statement for a lock, so that the application's queries
	// never queue behind a migration for longer. 0 means the database's setting "lock_timeout" (2 s
	// if it is not set); NoTimeout waits without limit. A directive of the script takes precedence.
	LockTimeout time.Duration
	// RetryFor limits how long a step that failed because of a lock timeout or a deadlock is tried
	// again, counted from the first failure. 0 means the database's setting "retry_for" (10 min if
	// it is not set); NoTimeout never tries again. A directive of the script takes precedence.
	RetryFor time.Duration
	// TerminateBlockersAfter terminates sessions that a step has waited for so long. 0 terminates
	// nothing. Superusers, replication, autovacuum that prevents wraparound, and other migrations
	// are never terminated.
	TerminateBlockersAfter time.Duration
	// Detach leaves every backfill that a call starts to the workers of a job queue (package
	// backfill), as the directive "detach" does for one: the call starts it and continues. By default
	// the call executes its batches, and the next step begins when it is done.
	Detach bool
	// WaitForBackfills waits until workers have done the backfills that are detached, at the end of
	// a call that goes up, and before a step that comes after one (directive "after"). By default the
	// call ends, and such a step is an *UnfinishedError. Nobody waits for a backfill that was
	// cancelled before.
	WaitForBackfills bool
	// BackfillLease is how long a worker keeps the rows that it has claimed without a sign of life:
	// DefaultBackfillLease if it is 0. Then another worker takes them over.
	BackfillLease time.Duration
	// TextLimit is the size in bytes up to which the history keeps the text of a script. 0 means
	// DefaultTextLimit; below 0 means to keep none. Only a build that has the down script can roll
	// back a version whose down script is not kept.
	TextLimit int64
	// ReadMetadata reads the metadata that a migration can carry (VERSION_name.metadata.yaml), as
	// metayaml.Read does. It is required to apply such a migration.
	ReadMetadata func(file, text string) (*metadata.Document, error)
	// Observe receives progress, one event at a time, on the goroutine of the call; only
	// StatementWaiting and Terminated come on another goroutine. The context is derived from that of
	// the call, is the same for all events of a call, and is different for each call. Observe must
	// not call the Migrator, nor write to a SQLite database, which the call may keep locked. It may
	// be nil.
	Observe func(context.Context, Event)
}

// ApplyOptions are the options of one call of Migrate or Apply. The zero value is useful.
type ApplyOptions struct {
	// Reason is kept with each entry that the call adds to the history.
	Reason string
	// Overrule allows a rollback of a database whose setting "protected" is true. It must be the
	// name of that database ([Status.Database]), and has no effect on any other.
	Overrule string
}

// Migrator brings one set of one database to a goal. Several goroutines may use it.
type Migrator struct {
	db   database.Database
	set  *migration.Set
	opts allOptions

	observe func(Event) // set by call
}

// allOptions are the options of a Migrator and of one call.
type allOptions struct {
	Options
	ApplyOptions
}

// New returns the Migrator of a set in a database. It sends nothing to the database, and the caller
// closes it. If the database or the set is nil, every method of the Migrator returns an error.
func New(db database.Database, set *migration.Set, opts Options) *Migrator {
	switch {
	case db == nil:
		db = nothing{errNoDatabase}
	case set == nil:
		db = nothing{errNoSet}
	}
	if set == nil {
		set, _ = migration.NewSet("") // an empty set is always valid
	}
	switch {
	case opts.TextLimit == 0:
		opts.TextLimit = DefaultTextLimit
	case opts.TextLimit < 0:
		opts.TextLimit = -1
	}
	opts.Observe = oneAtATime(opts.Observe)
	return &Migrator{db: db, set: set, opts: allOptions{Options: opts}}
}

// call returns the Migrator of one call, which passes the context of the call with its events. A
// context of its own for each call lets an observer tell concurrent calls apart.
func (m *Migrator) call(ctx context.Context) *Migrator {
	c := *m.usable()
	if c.observe == nil { // otherwise m is of the call that makes this one
		ctx = context.WithValue(ctx, callKey{}, &c)
		c.observe = func(e Event) { c.opts.Observe(ctx, e) }
	}
	return &c
}

type callKey struct{}

// with returns the Migrator of one call with its options.
func (m *Migrator) with(ctx context.Context, opts ApplyOptions) *Migrator {
	c := m.call(ctx)
	c.opts.ApplyOptions = opts
	return c
}

// usable returns the Migrator. If it is nil or zero, usable returns one whose methods return an
// error.
func (m *Migrator) usable() *Migrator {
	if m != nil && m.db != nil {
		return m
	}
	none := New(nil, nil, Options{})
	none.db = nothing{errNotNew}
	return none
}

// Database returns the database that was passed to New.
func (m *Migrator) Database() database.Database { return m.usable().db }

// oneAtATime lets several goroutines call an observer.
func oneAtATime(observe func(context.Context, Event)) func(context.Context, Event) {
	if observe == nil {
		return func(context.Context, Event) {}
	}
	var mu sync.Mutex
	return func(ctx context.Context, e Event) {
		mu.Lock()
		defer mu.Unlock()
		observe(ctx, e)
	}
}

// Result is what a call did. After an error it lists what was done before it and remains applied.
type Result struct {
	Set                 string
	Applied, RolledBack []StepResult
	// Recorded are versions that were recorded as applied without running them: a squash of applied
	// versions, and those that a baseline includes.
	Recorded []StepResult
	// Repeated and Seeded are the repeatable scripts and the scripts with development data that
	// ran.
	Repeated, Seeded []StepResult
	// Started are the backfills, of those in Applied, that were not done at the end of the call.
	// Finished are those that became done in the call, whether it or an earlier one has started them.
	Started, Finished []StepResult
	// Resumed are the interrupted runs that the call resumed; those that completed are in
	// the other lists too.
	Resumed []ResumedStep
	// Skipped are versions that another process has applied or rolled back meanwhile, and
	// SkippedScripts the scripts without a version that it ran.
	Skipped        []int64
	SkippedScripts []string
	Duration       time.Duration
}

// StepResult is a migration or script that a call applied, rolled back, recorded or ran.
type StepResult struct {
	Version  int64 // NilVersion for a script without a version
	Name     string
	Duration time.Duration // of the script
	// Retries is how often it was tried again because of a lock, and LockWait how long these
	// attempts and the pauses between them took.
	Retries  int
	LockWait time.Duration
}

// ResumedStep is an interrupted run that a call resumed.
type ResumedStep struct {
	Version       int64 // NilVersion for a script without a version
	Name          string
	FromStatement int // from 1
}

// Up applies everything that is pending. Like every call that migrates, it first completes an
// interrupted run. If nothing is pending, it sends one query and returns. The package comment lists
// its errors.
func (m *Migrator) Up(ctx context.Context) (*Result, error) {
	return m.Migrate(ctx, Latest(), ApplyOptions{})
}

// Migrate plans the way to a goal and applies the plan. Its errors are those of Up.
func (m *Migrator) Migrate(ctx context.Context, g Goal, opts ApplyOptions) (*Result, error) {
	m = m.call(ctx)
	start := time.Now()
	p, err := m.Plan(ctx, g)
	if err != nil {
		return &Result{Set: m.set.Name(), Duration: time.Since(start)}, err
	}
	r, err := m.Apply(ctx, p, opts)
	r.Duration = time.Since(start)
	return r, err
}

// History reads the history entries of the set that q selects; q.Set has no effect. The zero query
// selects all, oldest first, without the texts of scripts.
func (m *Migrator) History(ctx context.Context, q database.HistoryQuery) iter.Seq2[database.Entry, error] {
	m = m.call(ctx)
	q.Set = m.set.Name()
	return m.db.History(ctx, q)
}
