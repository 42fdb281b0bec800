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
	// Confirm is the name of the database (Status.Database), which whoever wants a reset must say.
	Confirm string
	// Overrule is the name of a database whose setting "protected" is true, and which shall be rolled
	// back, reset or seeded all the same. It does nothing for any other.
	Overrule string
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
	// Note is kept with each event in the history.
	Note string
	// Observe is told what happens, in order and one at a time, on the goroutine that called the
	// Migrator, but of a StatementWaiting on another; nil is fine. It must not call the Migrator.
	Observe func(Event)
}

// Migrator brings one set of one database to a goal. It may be used by several
// goroutines.
type Migrator struct {
	db   database.Database
	set  *migration.Set
	opts Options
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
	return &Migrator{db: db, set: set, opts: opts}
}

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
	Applied, RolledBack []Done
	// Recorded are the versions that were recorded as applied without running them: a squash
	// of what the database had already, and those that a baseline stands for.
	Recorded []Done
	// Repeated and Seeded are the repeatable scripts and the development data that ran.
	Repeated, Seeded []Done
	// Resumed are those of all the others that an earlier run had left open.
	Resumed []Continued
	// Skipped are the versions that another process took to the same state meanwhile, and
	// SkippedScripts the scripts without a version that it ran.
	Skipped        []int64
	SkippedScripts []string
	Duration       time.Duration
}

// Done is one migration, or one script that belongs to none, of which a call did something.
type Done struct {
	Version  int64 // NilVersion for a script that belongs to none
	Name     string
	Duration time.Duration // of the script
}

// Continued is a step that went on where an earlier run had stopped.
type Continued struct {
	Version       int64 // NilVersion for a script that belongs to none
	Name          string
	FromStatement int // from 1
}

// Up applies everything that is pending. As all that migrate, it first finishes a run that was left open. When nothing is, it asks the database one
// question and is done.
//
// The errors of Up and of the other methods that migrate, apart from those of the
// database: *ChecksumMismatchError, *OutOfOrderError, *IrreversibleError,
// *UnknownVersionError, *StepsError, *SquashedError and *MigrationModeError before anything runs,
// *InterruptedError, *database.LockedError, *ConflictError, and *MigrationError, which wraps what
// failed, most often a *database.StatementError. A text that cannot be cut into
// statements, or has one that the engine must refuse, is a *sqltext.Error.
func (m *Migrator) Up(ctx context.Context) (*Result, error) { return m.Reach(ctx, Latest()) }

// To brings the database to a version: up or down.
func (m *Migrator) To(ctx context.Context, version int64) (*Result, error) {
	return m.Reach(ctx, Version(version))
}

// Steps applies the next n migrations, or rolls the newest -n back.
func (m *Migrator) Steps(ctx context.Context, n int) (*Result, error) {
	return m.Reach(ctx, Steps(n))
}

// Rollback takes back every applied version above target, newest first; those
// that the set does not know with the down scripts of the history. It takes back
// everything for NilVersion, and for 0 where there is no version 0; any other target must be a
// version of the set or of the database. With Options.Atomic it is one transaction.
func (m *Migrator) Rollback(ctx context.Context, target int64) (*Result, error) {
	return m.Reach(ctx, DownTo(target))
}

// Redo rolls the newest n migrations back and applies them again.
func (m *Migrator) Redo(ctx context.Context, n int) (*Result, error) {
	return m.Reach(ctx, Redo(n))
}

// Reach makes a plan for a goal and applies it.
func (m *Migrator) Reach(ctx context.Context, g Goal) (*Result, error) {
	start := time.Now()
	p, err := m.Plan(ctx, g)
	if err != nil {
		return &Result{Set: m.set.Name(), Duration: time.Since(start)}, err
	}
	r, err := m.Apply(ctx, p)
	r.Duration = time.Since(start)
	return r, err
}

// History reads the set's events, oldest first, without the scripts' texts.
func (m *Migrator) History(ctx context.Context) iter.Seq2[database.Entry, error] {
	return m.db.History(ctx, database.HistoryQuery{Set: m.set.Name()})
}
