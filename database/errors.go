package database

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whimbrel-db/whimbrel/internal/times"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// ErrLocked matches every *LockedError with errors.Is.
var ErrLocked = errors.New("can't acquire lock")

// ErrHeadChanged is wrapped by the error of a Tx that released its lock for a moment, as SQLite
// must for PRAGMA foreign_keys, and then found a newer entry in the history. The transaction
// changed nothing. The engine reads the history again and repeats the remaining steps.
var ErrHeadChanged = errors.New("the history changed while the lock was released")

// ErrConflict is wrapped by the error of a Tx or a Run whose transaction the database rolled back
// because it conflicted with another one, such as at a commit in a cluster. The transaction changed
// nothing and can be tried again at once.
var ErrConflict = errors.New("the transaction was rolled back because it conflicted with another one")

// ErrLockTimeout is wrapped by the *StatementError of a statement that waited for a lock for longer
// than its lock timeout. Its transaction was rolled back.
var ErrLockTimeout = errors.New("a statement waited too long for a lock")

// ErrDeadlock is wrapped by the *StatementError of a statement that the database chose to end a
// deadlock. Its transaction was rolled back.
var ErrDeadlock = errors.New("the database ended a deadlock")

// LockedError reports that another process held the migration lock, or another lock on the objects
// to read or write, for as long as the caller was willing to wait.
type LockedError struct {
	Set    string
	What   string // the locked object, if not the migration lock: "the database file", or one of Whimbrel's tables
	Waited time.Duration
	Holder Holder // the zero Holder: the database can't tell, nor whether it is a migration (SQLite)
	Why    string // what must end first, if it is not a process that migrates
}

func (e *LockedError) Error() string {
	if e.What != "" {
		return e.What + " is locked by another process" + heldBy(e.Holder) + waitedTime(e.Waited)
	}
	who := cmp.Or(e.Why, fmt.Sprintf("another process is migrating set %q", e.Set))
	return "can't acquire lock: " + who + waitedFor(e.Holder, e.Waited)
}

// Is makes errors.Is(err, ErrLocked) true.
func (e *LockedError) Is(target error) bool { return target == ErrLocked }

// String describes the holder. It returns "" for the zero Holder.
func (h Holder) String() string {
	var p []string
	if h.PID != 0 {
		p = append(p, fmt.Sprintf("pid %d", h.PID))
	}
	if h.User != "" {
		p = append(p, "user "+h.User)
	}
	if h.App != "" {
		p = append(p, "application "+h.App)
	}
	if h.Host != "" {
		p = append(p, "from "+h.Host)
	}
	if !h.Since.IsZero() {
		p = append(p, "since "+times.Format(h.Since))
	}
	if h.Task != "" {
		p = append(p, "script "+h.Task)
	}
	if h.Query != "" && !strings.HasPrefix(h.Query, "-- whimbrel:") { // the query of a connection that only holds the lock
		p = append(p, "running "+strings.Join(strings.Fields(h.Query), " "))
	}
	return strings.Join(p, ", ")
}

// waitedFor describes the holder, as far as it is known, and the time.
func waitedFor(h Holder, waited time.Duration) string {
	return heldBy(h) + waitedTime(waited)
}

func heldBy(h Holder) string {
	if who := h.String(); who != "" {
		return " (" + who + ")"
	}
	return ""
}

func waitedTime(waited time.Duration) string {
	if waited <= 0 {
		return ""
	}
	return fmt.Sprintf("; waited %s", waited.Round(time.Millisecond))
}

// UnsettledError reports that a setting is stored, but a process that began earlier is still
// migrating.
type UnsettledError struct {
	Name   string // of the setting
	Waited time.Duration
	Holder Holder // one of these processes
}

func (e *UnsettledError) Error() string {
	done := fmt.Sprintf("the setting %q is stored", e.Name)
	if e.Name == Frozen {
		done = "the database is frozen"
	}
	return done + ", but a migration that started earlier is still running" + waitedFor(e.Holder, e.Waited)
}

// LockLostError reports that the connection that held the migration lock broke while a statement
// ran under the lock.
type LockLostError struct {
	Set string
	Err error
}

func (e *LockLostError) Error() string {
	return fmt.Sprintf("lost the migration lock of set %q, and the statement was cancelled: %v", e.Set, e.Err)
}

func (e *LockLostError) Unwrap() error { return e.Err }

// StatementError is the error of one statement of a script.
type StatementError struct {
	// Pos is the position that the server reports, or the beginning of the statement.
	Pos sqltext.Position
	// Index is the statement's number in its script, from 0; Statement its text.
	Index     int
	Statement string
	// Own reports that the statement is one of Whimbrel's own, such as that which adds the history
	// entry. Pos is then the end of the script before it, if there was one.
	Own bool
	// Code is the SQLSTATE, or the database's own code if it has no SQLSTATE.
	Code                  string
	Message, Detail, Hint string
	// OwnHint reports that Hint is what the driver says about every error with this Code, not what
	// the server says about this one.
	OwnHint bool
	// Elsewhere reports that the script need not be changed: Hint says what to do before it can run.
	Elsewhere bool
	// Role is who lacks a privilege, as GRANT writes it, if the driver knows that better than Message.
	Role string
	// Where is the server's call stack: functions with line numbers, or the line of a COPY.
	Where string
	// Excerpt is the lines of the script around Pos, which is marked.
	Excerpt string
	// Lock is ErrLockTimeout or ErrDeadlock if that is why the statement failed, nil otherwise.
	Lock error
	// Err is the driver's own error.
	Err error
}

// Is makes errors.Is(err, ErrLockTimeout) and errors.Is(err, ErrDeadlock) true.
func (e *StatementError) Is(target error) bool { return e.Lock != nil && e.Lock == target }

func (e *StatementError) Error() string {
	msg := e.Message
	if e.Pos.Line > 0 { // a statement of Whimbrel's own has no place
		msg = e.Pos.String() + ": " + msg
	}
	if e.Code != "" {
		msg += " (" + e.Code + ")"
	}
	if e.Detail != "" {
		msg += "; " + e.Detail
	}
	if e.Hint != "" {
		msg += "; hint: " + e.Hint
	}
	return msg
}

func (e *StatementError) Unwrap() error { return e.Err }

// URLError reports a database URL that is not understood. NewURLError returns one without the
// password.
type URLError struct {
	URL string // without its password
	Msg string
	// NoDriver reports that no registered driver has the URL's scheme.
	NoDriver bool
	// Import is the package that the program has to import for a driver of the scheme, if Whimbrel
	// has one.
	Import string
}

func (e *URLError) Error() string { return fmt.Sprintf("database URL %q: %s", Redact(e.URL), e.Msg) }

// ConnectError reports that a database cannot be reached, refuses, or does not exist.
type ConnectError struct {
	Target string // host, port and database; a file's path
	Code   string // SQLSTATE, if the server reported one
	Hint   string // what to do next
	Err    error
	// NoDatabase says that the server answers, and that it has no database of this name.
	NoDatabase bool
}

func (e *ConnectError) Error() string {
	msg := fmt.Sprintf("can't connect to %s: %v", e.Target, e.Err)
	if e.Code != "" {
		msg += " (" + e.Code + ")"
	}
	if e.Hint != "" {
		msg += "; " + e.Hint
	}
	return msg
}

func (e *ConnectError) Unwrap() error { return e.Err }

// CommitUnknownError reports that the connection broke during COMMIT. The transaction took effect
// completely or not at all; the history shows which.
type CommitUnknownError struct{ Err error }

func (e *CommitUnknownError) Error() string {
	return fmt.Sprintf("the connection broke during COMMIT, which may or may not have taken effect: %v", e.Err)
}

func (e *CommitUnknownError) Unwrap() error { return e.Err }

// StandbyError reports that a server is in recovery: it can only be read, and may lag behind its
// primary, so its answers don't decide about a migration.
type StandbyError struct{ Server string } // its address, as the server reports it

func (e *StandbyError) Error() string {
	return fmt.Sprintf("the server %s is a standby (in recovery), which can't be migrated and may lag behind its primary", e.Server)
}

// OtherServerError reports that a connection leads to another server than it must. Nothing was done
// there.
type OtherServerError struct{ Server, Was, Why string }

func (e *OtherServerError) Error() string {
	return fmt.Sprintf("connected to server %s instead of %s: %s", e.Server, e.Was, e.Why)
}

// TablesNewerError reports that a newer version of Whimbrel created Whimbrel's tables in the
// target.
type TablesNewerError struct{ Found, Known int64 }

func (e *TablesNewerError) Error() string {
	return fmt.Sprintf("Whimbrel's own tables have version %d, but this build supports only versions up to %d", e.Found, e.Known)
}

// TablesProblem is the reason why Whimbrel does not use the tables that it found.
type TablesProblem string

// The problems of a *TablesError.
const (
	// TablesUntrusted: the current role has no reason to trust the owner of the tables, who could
	// make Whimbrel execute anything with the current role's rights.
	TablesUntrusted TablesProblem = "untrusted"
	// TablesSeveral: more than one schema has a history, and Options.Schema names none of them.
	TablesSeveral TablesProblem = "several"
	// TablesHidden: the current role can't see the tables, or not all of their rows.
	TablesHidden TablesProblem = "hidden"
	// TablesAltered: an addition to the tables executes foreign code, or hides or loses rows.
	TablesAltered TablesProblem = "altered"
	// TablesMissing: some of the tables exist, and others don't.
	TablesMissing TablesProblem = "missing"
	// TablesEmpty: the tables have lost their rows, as in a dump without data.
	TablesEmpty TablesProblem = "empty"
	// TablesForeign: a foreign object has the name of one of Whimbrel's tables.
	TablesForeign TablesProblem = "foreign"
)

// TablesError reports that Whimbrel's own tables can't be used as they were found. It never means
// that nothing is applied. Nothing was changed.
type TablesError struct {
	Problem TablesProblem
	Table   string   // as SQL names it, with its schema; "" if the error is about more than one
	Schemas []string // that have a history, for TablesSeveral
	Owner   string   // of the table, for TablesUntrusted
	Role    string   // the current one
	Msg     string   // what is wrong
	Hint    string   // what to do
	Fix     string   // a statement that remedies it, "" if there is none
	Err     error    // the database's own error, if any
}

func (e *TablesError) Error() string {
	msg := e.Msg
	if e.Hint != "" {
		msg += "; " + e.Hint
	}
	if e.Fix != "" {
		msg += ": " + e.Fix
	}
	return msg
}

func (e *TablesError) Unwrap() error { return e.Err }
