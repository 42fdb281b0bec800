// Package database is the contract between Whimbrel and the databases it
// migrates. A [Driver] opens databases of one kind; a [Database] is one open
// target; a [Tx] is what happens in one transaction under the migration lock,
// a [Run] what cannot be in a transaction.
//
// A driver is dumb: it opens, locks, runs, records and reads. It does not plan,
// retry, print, or read the environment. Package databasetest proves a driver,
// and memdb is the contract in memory, for reference.
//
// Everything takes a context. Cancelling it cancels the statement on the server,
// and leaves nothing locked and nothing half-recorded; the error is then the
// context's, as errors.Is sees it. A Database may be used by several goroutines; a
// Batch and a Run by one at a time.
//
// Names and texts are data, whatever is in them: quotes, spaces, any letters, SQL.
package database

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// NilVersion is the version of a database to which no migration is applied.
const NilVersion int64 = -1

// Driver opens databases of one kind. It is registered under URL schemes.
type Driver interface {
	// Open opens the database that url names, and asks it one question at most.
	// All it knows is in url and opts. It returns a *URLError for a URL that
	// cannot be understood and a *ConnectError when the database cannot be
	// reached, refuses, or doesn't exist.
	Open(ctx context.Context, url string, opts Options) (Database, error)
}

// Options are what every driver understands. The zero value is useful.
type Options struct {
	// Schema holds Whimbrel's tables, where the dialect has schemas. Empty means the schema that has
	// them already, wherever it is in the database; or, for a database without any, the first schema
	// of the search path, as the server sees it. More than one schema that has them is a *TablesError.
	// A schema that doesn't exist is created with the tables.
	Schema string
	// TablesOwner is a role that is trusted to own Whimbrel's tables, where the dialect has roles. A role
	// that can be trusted anyway need not be named: see the driver.
	TablesOwner string
	// HistoryTable is the name of the history; the other tables' names are made
	// from it: "whimbrel_history" (also the default) gives whimbrel_settings.
	HistoryTable string
	// App names the program, for the history and for whoever waits for its lock.
	App string
	// LockTimeout bounds how long what only reads, and the first question of Open, waits while somebody else has the
	// database locked, or Whimbrel's tables: then it is a *LockedError. 0 means DefaultLockTimeout, less than 0 tries once.
	LockTimeout time.Duration
	// Notice is called with each notice and warning that the server sends
	// while a script runs; nil drops them. It must not use the database.
	Notice func(Notice)
}

// DefaultLockTimeout is how long readers wait where Options say nothing.
const DefaultLockTimeout = 15 * time.Second

// Patience is how long what only reads waits for whoever has locked what it reads.
func (o Options) Patience() time.Duration {
	if o.LockTimeout == 0 {
		return DefaultLockTimeout
	}
	return max(o.LockTimeout, 0)
}

// Notice is something a server says that is not an error.
type Notice struct {
	Severity string // as the server says it: NOTICE, WARNING, …
	Code     string // SQLSTATE
	Message  string
	Detail   string
	Hint     string
}

// Database is one open target.
type Database interface {
	// Dialect tells how scripts are cut into statements.
	Dialect() sqltext.Dialect
	// Tables are the names of Whimbrel's own tables in the target, in lower case.
	// No script may mention them.
	Tables() []string

	// State reads what the target says of a set, with one question to the server
	// and without locking or writing anything. A target that Whimbrel has never
	// written to has the zero State, with the default settings.
	State(ctx context.Context, set string) (*State, error)
	// History reads events in the order they happened: those that are committed. An
	// error is the last thing it yields.
	History(ctx context.Context, q HistoryQuery) iter.Seq2[Entry, error]

	// Begin opens a transaction that holds the set's migration lock. The lock of another
	// set is not in its way, unless the database has one writer at a time. It creates
	// Whimbrel's tables if they are missing. It returns a *LockedError (which is
	// ErrLocked) when somebody else held the lock for all of opts.Timeout.
	Begin(ctx context.Context, set string, opts LockOptions) (Tx, Found, error)
	// Guard holds the set's migration lock without a transaction in the way of what is
	// run under it. Otherwise it is like Begin. Once it has returned, no earlier Run of the set writes
	// anything any more, and Found is from after that.
	Guard(ctx context.Context, set string, opts LockOptions) (Run, Found, error)

	// Close closes the database and what Open opened for it. What the caller
	// handed to the driver stays open. A Batch or Run that is open is over: nothing of
	// the batch is in the database, and the lock is free. Every other method is an error
	// afterwards, a second Close does nothing.
	Close() error
}

// LockOptions say how to wait for the migration lock.
type LockOptions struct {
	// Timeout bounds the wait. 0 or less tries once.
	Timeout time.Duration
	// Waiting is called when the lock is found taken, and again whenever it
	// is known that somebody else holds it. The zero Holder means that the database can't
	// tell who.
	Waiting func(Holder)
	// Blocked is called, from any goroutine, when a statement of a Run is found waiting for somebody else's transaction, and
	// again as long as it does, where the database can tell.
	Blocked func(Holder)
}

// Holder is who holds a migration lock, as far as the database can tell.
type Holder struct {
	PID   int64
	User  string
	Host  string
	App   string
	Since time.Time // of its transaction
	Query string    // what it runs, or ran last
}

// Found is what Begin and Guard found when they had taken the lock. It costs no question of its own.
type Found struct {
	// Head is State.Head under the lock.
	Head int64
	// Interrupted reports an interrupted run of the set.
	Interrupted bool
}

// Recorded is what is durable in the history: the result of Tx.Commit, and of Run.Record. It costs no
// question of its own.
type Recorded struct {
	// Entries are as the history has them, without texts: with their IDs, times and durations.
	Entries []Entry
	// Head is Found.Head with the entries that the Tx or Run itself has recorded since: a State that says
	// otherwise tells that a setting was changed meanwhile.
	Head int64
}

// Tx is applied whole or not at all. What Run and Record are given may be
// queued; Commit has executed all of it or none of it. The set's migration lock is held
// until Commit or Rollback return. After an error of any method but Commit
// the caller must call Rollback.
type Tx interface {
	// State is Database.State as it stands under the lock, with what the batch has
	// recorded. What is queued is executed first, and its error may come here.
	State(ctx context.Context) (*State, error)
	// Exec runs the body of a script in the transaction: what its Analysis says it is,
	// without a BEGIN … COMMIT around the whole, and with the script's savepoints; or a Go function, whose error it wraps
	// and which must be of the type that the driver takes. It runs under the timeouts
	// that the script's directives ask for. Afterwards the session is what
	// it was before: settings, role, search path, temporary objects. An
	// error of a statement is a *StatementError with its place in the script; it
	// may be returned by a later method of the Batch, Commit at the latest.
	Exec(ctx context.Context, s *migration.Script) error
	// Record appends entries of the batch's set to the history, with the texts they are
	// given. Where StartedAt is zero it fills in, by the database's clock if it has one,
	// when the batch began or the entry before was recorded, and the Duration from then
	// to now. Where a run of the set is open and an entry ends it (Journal.EndedBy), it is open no more.
	// The entries become durable at Commit, which therefore is what returns them.
	Record(ctx context.Context, entries ...Entry) error
	// Commit executes what is queued, makes everything durable and releases
	// the lock. It returns the entries of Record. After an error nothing of the batch is in the database, unless the
	// error is a *CommitUnknownError. The Batch is over either way.
	Commit(ctx context.Context) (Recorded, error)
	// Rollback drops everything and releases the lock. It can be called at any time,
	// after Commit too, where it does nothing, and with a context that is done.
	Rollback(ctx context.Context) error
}

// Run holds the lock of a set while the statements of a script run one by one, since they
// can't all be in one transaction. What it has done is in the set's journal. Whoever uses it
// says before a statement that can't be in a transaction that it begins (Journal, with what
// Before returned), and afterwards that it is done; of any other the mark is written
// in the statement's own transaction (Exec).
type Run interface {
	// State is as in Tx. It has the journal as this Run found it or wrote it.
	State(ctx context.Context) (*State, error)
	// Journal makes j the set's open run, whatever was there, and is durable when it
	// returns. Where j is nil, no run is open any more. It is an error while a transaction that the script opened
	// is still open. An error that is ErrFenced says that another Run has taken the set over.
	Journal(ctx context.Context, j *Journal) error
	// Before returns what the target holds of what a statement may change, for Outcome. It is
	// text that belongs to the driver.
	Before(ctx context.Context, st sqltext.Statement) (string, error)
	// Exec runs one statement of s and waits for it, under
	// the timeouts that the directives of s ask for. data is what follows a
	// COPY … FROM stdin, else nil. Where done is nil it runs outside of any transaction, or in the one that
	// the script has opened itself. Otherwise it runs in a transaction of its own, which also makes
	// done the set's journal; the COMMIT of a transaction that the script has opened makes it so in that one. The error
	// is a *StatementError; or one that is ErrNoTransaction, when done is not nil and the statement can't be in a transaction;
	// or a *LockLostError when the lock was lost before or while the statement ran: the
	// statement was then not begun, or cancelled. After an error nothing of a statement with done has
	// happened, unless it is a *CommitUnknownError: the journal tells. A transaction that the script opens itself is the
	// script's until it ends it. What the statement changes in the session lasts until Close.
	Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *Journal) error
	// Outcome tells what became of a statement that another Run, or this one, has begun and of
	// which it is not known whether it has happened; before is what Before returned then. As
	// long as the server is still at it, it waits, and returns a *LockedError when that takes longer than
	// opts.Timeout. It changes nothing.
	Outcome(ctx context.Context, st sqltext.Statement, before string, opts LockOptions) (*Outcome, error)
	// Record appends entries of the run's set to the history, in one transaction. They are durable when it returns them.
	// In the same transaction it ends the open run, if one of the entries does: see Journal.EndedBy. It is an
	// error while a transaction that the script opened is still open.
	Record(ctx context.Context, entries ...Entry) (Recorded, error)
	// Close puts the session back, rolls back a transaction that the script left open,
	// and releases the lock. A run that is open stays so. It can be called more
	// than once, and with a context that is done.
	Close(ctx context.Context) error
}
