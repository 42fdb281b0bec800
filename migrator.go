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

// TryOnce is the LockTimeout that does not wait at all.
const TryOnce time.Duration = -1

// DefaultTextLimit is the size in bytes up to which the history keeps a script's text
// where Options say nothing.
const DefaultTextLimit = 1 << 20

// Options of a Migrator. The zero value is useful.
type Options struct {
	// Atomic makes everything a plan does one transaction. A plan with a
	// statement that cannot be in one is then refused before anything runs. A
	// library that carries its own set uses this.
	Atomic bool
	// AllowOutOfOrder applies pending versions below the newest applied one, which
	// is else an *OutOfOrderError, unless the target's setting "order" is "any".
	AllowOutOfOrder bool
	// LockTimeout bounds each wait for the migration lock: 0 means what the target's
	// setting "lock_timeout" says, below 0 (TryOnce) not to wait. The time begins
	// anew whenever those who hold the lock have got on with the set's migrations.
	LockTimeout time.Duration
	// TextLimit is the size in bytes up to which the history keeps a script's text: 0
	// means DefaultTextLimit, below 0 to keep none. A version whose down script was
	// not kept can be rolled back only by a build that has it.
	TextLimit int64
	// ReadMetadata reads the metadata that a migration can carry (VERSION_name.metadata.yaml): metayaml.Read
	// does. It is wanted where one that is to be applied carries some.
	ReadMetadata func(file, text string) (*metadata.Document, error)
	// Observe is told what happens, in order and one at a time, on the goroutine that called the
	// Migrator, but of a StatementWaiting on another; nil is fine. It must not call the Migrator.
	Observe func(Event)
}

// ApplyOptions are the options of one call of Migrate or Apply. The zero value is useful.
type ApplyOptions struct {
	// Note is kept with each entry that the call adds to the history.
	Note string
	// Overrule allows a rollback of a database whose setting "protected" is true. It must be the
	// name of that database ([Status.Database]), and has no effect on any other.
	Overrule string
}

// Migrator brings one set of one database to a goal. Several goroutines may use it.
type Migrator struct {
	db   database.Database
	set  *migration.Set
	opts allOptions
}

// allOptions are the options of a Migrator and of one call.
type allOptions struct {
	Options
	ApplyOptions
}

// New returns the Migrator of a set in a database. It asks the database nothing. The
// database stays the caller's to close. If the database or the set is nil, every method of the
// Migrator returns an error that says so.
func New(db database.Database, set *migration.Set, opts Options) *Migrator {
	db, set = present(db, set)
	switch {
	case opts.TextLimit == 0:
		opts.TextLimit = DefaultTextLimit
	case opts.TextLimit < 0:
		opts.TextLimit = -1
	}
	opts.Observe = oneAtATime(opts.Observe)
	return &Migrator{db: db, set: set, opts: allOptions{Options: opts}}
}

// with returns the Migrator with the options of one call. A nil or zero Migrator becomes one
// that answers everything with an error.
func (m *Migrator) with(call ApplyOptions) *Migrator {
	c := *m.usable()
	c.opts.ApplyOptions = call
	return &c
}

// usable returns the Migrator, or in place of one that New did not return one that answers
// everything with an error.
func (m *Migrator) usable() *Migrator {
	if m != nil && m.db != nil {
		return m
	}
	set, _ := migration.NewSet("") // an empty set is always valid
	return &Migrator{db: nothing{errNotNew}, set: set, opts: allOptions{Options: Options{Observe: oneAtATime(nil)}}}
}

// Database returns the database that New was given. Use it for questions that are about the database
// and not about the set.
func (m *Migrator) Database() database.Database { return m.usable().db }

// oneAtATime is an observer that several goroutines may call.
func oneAtATime(observe func(Event)) func(Event) {
	if observe == nil {
		return func(Event) {}
	}
	var mu sync.Mutex
	return func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		observe(e)
	}
}

// Result is what a call did. After an error it says what was done before it and stands.
type Result struct {
	Set                 string
	Applied, RolledBack []StepResult
	// Recorded are the versions that were recorded as applied without running them: a squash
	// of what the database had already, and those that a baseline stands for.
	Recorded []StepResult
	// Repeated and Seeded are the repeatable scripts and the development data that ran.
	Repeated, Seeded []StepResult
	// Resumed are those of all the others that an earlier run had left open.
	Resumed []ResumedStep
	// Skipped are the versions that another process took to the same state meanwhile, and
	// SkippedScripts the scripts without a version that it ran.
	Skipped        []int64
	SkippedScripts []string
	Duration       time.Duration
}

// StepResult is one migration, or one script that belongs to none, of which a call did something.
type StepResult struct {
	Version  int64 // NilVersion for a script that belongs to none
	Name     string
	Duration time.Duration // of the script
}

// ResumedStep is a step that went on where an earlier run had stopped.
type ResumedStep struct {
	Version       int64 // NilVersion for a script that belongs to none
	Name          string
	FromStatement int // from 1
}

// Up applies everything that is pending. As all that migrate, it first finishes a run that was left open. When nothing is, it asks the database one
// question and is done.
//
// The errors of Up and of the other methods that migrate, apart from those of the
// database: *ChecksumMismatchError, *OutOfOrderError, *IrreversibleError,
// *UnknownVersionError, *TooFewAppliedError, *SquashedError and *FrozenError before anything runs,
// *InterruptedError, *database.LockedError, *ConflictError, and *MigrationError, which wraps what
// failed, most often a *database.StatementError. A text that cannot be cut into
// statements, or has one that the engine must refuse, is a *sqltext.Error.
func (m *Migrator) Up(ctx context.Context) (*Result, error) {
	return m.Migrate(ctx, Latest(), ApplyOptions{})
}

// Migrate plans the way to a goal and applies the plan. Its errors are those of Up.
func (m *Migrator) Migrate(ctx context.Context, g Goal, opts ApplyOptions) (*Result, error) {
	m = m.usable()
	start := time.Now()
	p, err := m.Plan(ctx, g)
	if err != nil {
		return &Result{Set: m.set.Name(), Duration: time.Since(start)}, err
	}
	r, err := m.Apply(ctx, p, opts)
	r.Duration = time.Since(start)
	return r, err
}

// History reads the set's events, oldest first, without the scripts' texts.
func (m *Migrator) History(ctx context.Context) iter.Seq2[database.Entry, error] {
	m = m.usable()
	return m.db.History(ctx, database.HistoryQuery{Set: m.set.Name()})
}
