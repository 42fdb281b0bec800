// Package database is the contract between Whimbrel and the databases it migrates.
//
// A [Driver] opens databases of one kind. A [Database] is one open target. A [Tx] does its work in
// one transaction under the migration lock. A [Run] holds the lock while statements execute one by
// one, since some statements can't be in a transaction. Together they have 20 methods;
// docs/driver.md shows how to write them. Everything else that a driver can do is a [Power].
//
// A driver opens, locks, executes, records and reads. It does not plan, retry, print, or read the
// environment. Package databasetest proves a driver. Package memdb implements the contract in
// memory, for reference.
//
// Every method that takes a context returns the context's error, as errors.Is reports it, if the
// context ends. The statement is then cancelled on the server, no lock remains, and nothing is
// partly recorded. Several goroutines can use a Database at the same time, but only one a Tx or
// Run.
//
// Names and texts are data, whatever they contain: quotes, spaces, any letters, SQL.
package database

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// NilVersion is the version of a database to which no migration is applied.
const NilVersion int64 = -1

// Driver opens databases of one kind. It is registered under URL schemes.
type Driver interface {
	// Open opens the database that url names, with at most one query to the server. It knows
	// only url and opts. It returns a *URLError for a URL that it can't understand, and a
	// *ConnectError if the database can't be reached, refuses the connection, or doesn't exist.
	Open(ctx context.Context, url string, opts Options) (Database, error)
}

// Options are understood by every driver. The zero value is useful.
type Options struct {
	// Schema is the schema of Whimbrel's own tables, if the dialect has schemas. It is created with
	// the tables if it doesn't exist. Empty means the schema that contains the tables, wherever it
	// is in the database, or, if no schema contains them, the first schema of the server's search
	// path. If several schemas contain them, the driver returns a *TablesError.
	Schema string
	// TablesOwner is a role that is trusted to own Whimbrel's tables, if the dialect has roles. The
	// driver documents which roles are trusted without it.
	TablesOwner string
	// HistoryTable is the name of the history. The names of the other tables are derived from it:
	// whimbrel_history, the default, gives whimbrel_settings.
	HistoryTable string
	// App names the program in the history, and for processes that wait for its lock.
	App string
	// Actor says who or what started the program, for the history: a CI run with its address, for
	// example. See KeptActor.
	Actor string
	// MigrationLockTimeout limits how long reading, and the query of Open, waits while another
	// process has the database or Whimbrel's tables locked. After that the error is a *LockedError.
	// 0 means DefaultMigrationLockTimeout, less than 0 tries once.
	MigrationLockTimeout time.Duration
	// Notice receives each notice and warning that the server sends while a script runs. It must
	// not use the database. nil drops them.
	Notice func(Notice)
}

// DefaultMigrationLockTimeout limits how long reading waits if Options don't say.
const DefaultMigrationLockTimeout = 15 * time.Second

// ReadTimeout returns how long reading waits for a process that has locked what it reads:
// MigrationLockTimeout, or its default.
func (o Options) ReadTimeout() time.Duration {
	if o.MigrationLockTimeout == 0 {
		return DefaultMigrationLockTimeout
	}
	return max(o.MigrationLockTimeout, 0)
}

// maxActor is how many characters of Options.Actor are kept.
const maxActor = 500

// KeptActor returns Actor as drivers store it: its first 500 characters, as valid UTF-8.
func (o Options) KeptActor() string {
	return Shortened(strings.ToValidUTF8(o.Actor, "\uFFFD"), maxActor)
}

// Shortened returns a text of at most limit characters: a longer one ends with an ellipsis.
func Shortened(text string, limit int) string {
	n := 0
	for i := range text {
		if n++; n == limit {
			if rest := text[i:]; utf8.RuneCountInString(rest) > 1 {
				return text[:i] + "…"
			}
			break
		}
	}
	return text
}

// Notice is a message of a server that is not an error.
type Notice struct {
	Severity string // as the server says it: NOTICE, WARNING, …
	Code     string // SQLSTATE
	Message  string
	Detail   string
	Hint     string
}

// Database is one open target.
type Database interface {
	// Dialect returns how scripts are split into statements.
	Dialect() sqltext.Dialect
	// Tables returns the names of Whimbrel's own tables in the target, in lower case. Scripts must
	// not mention them.
	Tables() []string

	// State reads the state of a set in one round trip. It locks and writes nothing.
	// A target that Whimbrel has never written to has the zero State, with the default settings.
	// Whimbrel's own set (migration.ReservedSet) has a State like any other.
	State(ctx context.Context, set string) (*State, error)
	// History reads the committed entries that q selects, in the order in which they happened, or
	// the newest first. An error is the last value that it yields.
	History(ctx context.Context, q HistoryQuery) iter.Seq2[Entry, error]

	// Begin opens a transaction that holds the set's migration lock. It creates Whimbrel's tables
	// if they are missing. The lock of one set does not block another set, unless the database has
	// one writer at a time. If another process holds the lock for all of opts.Timeout, Begin
	// returns a *LockedError, which is ErrLocked.
	Begin(ctx context.Context, set string, opts LockOptions) (Tx, Found, error)
	// Guard is like Begin, but holds the lock outside of any transaction that could block the
	// statements of the Run. Once it has returned, no earlier Run of the set writes anything, and
	// Found was read after that.
	Guard(ctx context.Context, set string, opts LockOptions) (Run, Found, error)

	// Close closes the database and the connections that Open opened. Connections that the caller
	// passed to the driver stay open. Close ends every open Tx and Run: the work of a Tx is rolled
	// back and the locks are free. After Close every other method returns an error. A second Close
	// does nothing.
	Close() error
}

// LockOptions say how to wait for the migration lock, and how statements under it wait for other
// sessions.
type LockOptions struct {
	// Timeout limits the wait for the migration lock. 0 or less tries once.
	Timeout time.Duration
	// Waiting is called when the lock is found taken, and again whenever the driver learns that
	// another process still holds it. It receives the zero Holder if the database can't tell who
	// does.
	Waiting func(Holder)
	// LockTimeout limits each wait of a script's statement for a lock, unless the script's directives
	// or the script itself set another limit. Less than 0 means no limit; 0 keeps the session's, if
	// the server has such a setting. It does not apply to a statement whose wait blocks nobody, such
	// as CREATE INDEX CONCURRENTLY. A statement that fails because of it is a *StatementError that
	// is ErrLockTimeout. A database that counts in whole seconds rounds up.
	LockTimeout time.Duration
	// Blocked is called, from any goroutine, when a statement of a script is found to wait for
	// other sessions: when most of LockTimeout has passed, or after a second if it has no limit,
	// and again as long as it waits, if the database can tell. The driver asks on a connection of
	// its own, which it opens only for that, and never takes from a pool of one. nil means that the
	// driver must not ask.
	Blocked func(Blockage)
	// Terminate is called with each session that a statement waits for and that may be terminated
	// (Blocker.Exempt is empty). If it returns true, the driver terminates the session, if the
	// server allows it, and calls Terminated. nil terminates nothing.
	Terminate  func(Blocker) bool
	Terminated func(Blocker)
}

// Holder is the process that holds a migration lock, as far as the database can tell.
type Holder struct {
	PID   int64
	User  string
	Host  string
	App   string
	Since time.Time // of its transaction
	Task  string    // the script that it executes, such as "0005_orders_by_time"; "" if unknown
	Query string    // the statement of the script that it executes, or its last query
}

// Found is what Begin and Guard read under the lock. Drivers read it together with taking the lock,
// without a query of its own.
type Found struct {
	// Head is State.Head under the lock.
	Head int64
	// Interrupted reports whether a run of the set is interrupted.
	Interrupted bool
	// New reports that the history has only the entry with which this process created the driver's
	// own tables: the state is that of a database without them, but for Head. false says nothing.
	New bool
}

// Recorded is what has become durable in the history. The call that makes entries durable returns
// it: Commit for a Tx, Record for a Run. Drivers read it in the same round trip.
type Recorded struct {
	// Entries are the entries as the history has them, with their IDs, times and durations, but
	// without texts.
	Entries []Entry
	// Head is Found.Head, moved by the entries that this Tx or Run has recorded. If a later State
	// has another Head, then another process has recorded something, such as a changed setting.
	Head int64
}

// Tx is a transaction: it is applied completely or not at all. Exec and Record may queue what they
// are given; Commit executes all of it or nothing. The set's migration lock is held until Commit or
// Rollback returns. After an error of any method but Commit the caller must call Rollback.
type Tx interface {
	// State is Database.State under the lock, with what the transaction has recorded. It executes
	// what is queued first, and may return the error of that.
	State(ctx context.Context) (*State, error)
	// Exec runs the body of a script: the statements of its Analysis, without a BEGIN … COMMIT
	// around the whole, and with its savepoints. The timeouts of the script's directives apply. If
	// the script is a Go function, Exec calls it; the function must have the type that the driver
	// documents, and its error is wrapped.
	//
	// Afterwards Exec restores the session: settings, role, search path, temporary objects. An
	// error of a statement is a *StatementError with its place in the script. A later method of the
	// Tx may return it, at the latest Commit.
	Exec(ctx context.Context, s *migration.Script) error
	// Record appends entries of the transaction's set to the history, with the texts that they
	// have. If StartedAt is zero, it fills in when the transaction began or the entry before was
	// recorded, and the Duration from then to now, by the database's clock if it has one. If an
	// entry ends the interrupted run of the set (Journal.EndedBy), the run ends; if an entry says
	// that it failed (Journal.FailedBy), the entry's Error becomes the journal's. The entries become
	// durable at Commit, which returns them.
	Record(ctx context.Context, entries ...Entry) error
	// Commit executes what is queued, makes everything durable and releases the lock. After an
	// error nothing of the transaction is in the database, unless the error is a
	// *CommitUnknownError. The Tx is over either way.
	Commit(ctx context.Context) (Recorded, error)
	// Rollback drops everything, queued and executed, and releases the lock. It can be called at
	// any time, even with a context that is done. After Commit, or a second time, it does nothing.
	Rollback(ctx context.Context) error
}

// Run holds the lock of a set while the statements of a script execute one by one. The set's
// journal stores its progress. Before a statement that can't be in a transaction, the caller
// announces it (Announce). The next write says that the statement is done: Announce of the next
// one, Journal, or Record, which may end a run whose journal still announces its last statement.
// For every other statement, Exec updates the journal in the statement's own transaction. After
// Record a Run can execute another script.
type Run interface {
	// State is Database.State under the lock, with the journal as this Run found or wrote it.
	State(ctx context.Context) (*State, error)
	// Journal replaces the set's journal with j and is durable when it returns. If j is nil, no run
	// is interrupted any more. Journal returns an error while a transaction that the script opened
	// is still open. An error that is ErrFenced means that another Run has taken the set over.
	Journal(ctx context.Context, j *Journal) error
	// Announce writes the journal before a statement that can't be in a transaction. It sets j.Before
	// to what Outcome needs to know about the target as it is before the statement; the text belongs
	// to the driver. Then it does what Journal does with j, which has the statement's text in Begun.
	// A driver should need one round trip for both.
	Announce(ctx context.Context, st sqltext.Statement, j *Journal) error
	// Exec executes one statement of s and waits for it. The timeouts of the directives of s apply.
	// data is the input of a COPY … FROM stdin, else nil.
	//
	// If done is nil, the statement executes outside of any transaction, or in the transaction that
	// the script has opened itself; that one stays open until the script ends it. If done is not
	// nil, the statement executes in a transaction of its own, which also makes done the set's
	// journal. If the statement is the COMMIT of the script's own transaction, that transaction
	// does so. For any other statement of that transaction, done is nil.
	//
	// An error is one of:
	//   - a *StatementError;
	//   - ErrNoTransaction, if done is not nil and the statement can't be in a transaction;
	//   - a *LockLostError, if the lock was lost before the statement, which then did not begin, or
	//     while it executed, and it was cancelled;
	//   - a *CommitUnknownError.
	// After any error but the last, a statement with done has had no effect. After a
	// *CommitUnknownError the journal shows whether it took effect.
	//
	// What the statement changes in the session lasts until Close.
	Exec(ctx context.Context, s *migration.Script, st sqltext.Statement, data io.Reader, done *Journal) error
	// Outcome reports whether a statement took effect, if this Run or another one began it and its
	// end is unknown. before is the Journal.Before that Announce set for the statement. If the
	// server is still executing the statement, Outcome waits for it, up to opts.Timeout, and then
	// returns a *LockedError. It does not modify the database.
	Outcome(ctx context.Context, st sqltext.Statement, before string, opts LockOptions) (*Outcome, error)
	// Record appends entries of the run's set to the history, in one transaction. They are durable
	// when it returns them. If an entry ends the interrupted run (Journal.EndedBy), the same
	// transaction ends it; if an entry says that it failed (Journal.FailedBy), the same transaction
	// makes the entry's Error the journal's. Record returns an error while a transaction that the
	// script opened is still open.
	Record(ctx context.Context, entries ...Entry) (Recorded, error)
	// Close restores the session, rolls back a transaction that the script left open, and releases
	// the lock. An interrupted run stays interrupted. Close can be called more than once, and with
	// a context that is done.
	Close(ctx context.Context) error
}
