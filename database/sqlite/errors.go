package sqlite

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	client "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/internal/lazyregexp"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// code returns SQLite's extended result code, or 0 for other errors.
func code(err error) int {
	if err == nil { // as after nearly every statement, where AsType would allocate
		return 0
	}
	if e, ok := drivers.AsType[*client.Error](err); ok {
		return e.Code()
	}
	return 0
}

// errAppeared is the error of a query sent before another process created the tables.
var errAppeared = errors.New("another process has just created Whimbrel's tables")

// isBusy reports whether another connection blocks this one temporarily.
func isBusy(err error) bool {
	if errors.Is(err, errAppeared) {
		return true
	}
	switch code(err) {
	case lib.SQLITE_BUSY, lib.SQLITE_BUSY_RECOVERY, lib.SQLITE_BUSY_TIMEOUT, lib.SQLITE_LOCKED_SHAREDCACHE, lib.SQLITE_PROTOCOL:
		return true
	}
	return false
}

// theFile names the locked object if it is not the migration lock.
const theFile = "the database file"

// lockedFile is SQLite's error after a file stayed locked for the whole waiting time. It is also a
// *database.LockedError.
type lockedFile struct {
	waited time.Duration
	err    error
}

func (e *lockedFile) locked() *database.LockedError {
	return &database.LockedError{What: theFile, Waited: e.waited}
}

func (e *lockedFile) Error() string        { return e.locked().Error() }
func (e *lockedFile) Unwrap() error        { return e.err }
func (e *lockedFile) Is(target error) bool { return target == database.ErrLocked }

func (e *lockedFile) As(target any) bool {
	locked, ok := target.(**database.LockedError)
	if ok {
		*locked = e.locked()
	}
	return ok
}

// message returns SQLite's message without the codes that the client appends, and without
// meaningless prefixes.
func message(err error) string {
	c := code(err)
	if c == 0 {
		return err.Error()
	}
	msg := strings.TrimSuffix(strings.TrimSuffix(err.Error(), " (SQLITE_BUSY)"), fmt.Sprintf(" (%d)", c))
	for _, noise := range []string{"SQL logic error: ", "constraint failed: "} {
		msg = strings.TrimPrefix(msg, noise)
	}
	return msg
}

// hints say what to do about errors that a person can fix.
var hints = map[int]string{
	lib.SQLITE_NOTADB:   "the file is not an SQLite database, or is encrypted; name another file",
	lib.SQLITE_CORRUPT:  "the file is damaged; PRAGMA integrity_check reports the extent",
	lib.SQLITE_READONLY: "allow the process to write the file and its folder, and don't use mode=ro",
	lib.SQLITE_CANTOPEN: "allow the process to read and write the file and its folder, where SQLite writes the journal",
	lib.SQLITE_PERM:     "allow the process to read and write the file and its folder",
	lib.SQLITE_FULL:     "the disk is full, or the database has reached its max_page_count",
}

// connectError turns errors about the file into a *ConnectError.
func (d *db) connectError(err error) error {
	c := code(err)
	hint, ok := hints[c&0xff]
	if !ok {
		return err
	}
	return &database.ConnectError{Target: d.target(), Code: codeName(c), Hint: hint, Err: &drivers.Reworded{Message: message(err), Err: err}}
}

// ownError returns the error of one of Whimbrel's own statements, which has no place in a script.
// An error about the file is a *ConnectError.
func (d *db) ownError(doing string, err error) error {
	switch err = d.connectError(err); {
	case err == nil || code(err) == 0 || isBusy(err):
		return err
	case isA[*database.ConnectError](err) || isA[*database.StatementError](err):
		return err
	}
	return &database.StatementError{Own: true, Statement: doing, Code: codeName(code(err)), Message: doing + ": " + message(err), Err: err}
}

// isA reports whether err wraps an error of type E.
func isA[E error](err error) bool {
	_, ok := drivers.AsType[E](err)
	return ok
}

var (
	nearToken    = lazyregexp.New(`^near "((?s:.+))": (?:syntax error|unrecognized token)$`)
	unrecognized = lazyregexp.New(`^unrecognized token: "((?s:.+))"$`)
)

// tokenAt returns where in a statement the token of a syntax error is, or -1 if it occurs several
// times. The first word of the statement is not the error: the same word again is one, usually
// after a missing semicolon.
func tokenAt(statement, token string) int {
	from := 0
	if first, _, _ := strings.Cut(statement, " "); first == token {
		from = len(token)
	}
	if strings.Count(statement[from:], token) != 1 {
		return -1
	}
	return from + strings.Index(statement[from:], token)
}

// statementError returns the error of a statement. Its position is that of the token in a syntax
// error, if that is known, and that of the statement otherwise.
func statementError(st sqltext.Statement, err error) *database.StatementError {
	e := &database.StatementError{
		Pos: st.Pos, Index: st.Index, Statement: st.Text,
		Err: err,
	}
	if err == nil {
		return e
	}
	if locked, ok := drivers.AsType[*lockedFile](err); ok { // the statement itself failed
		err, e.Err, e.Hint = locked.err, locked.err, "another process has locked the file for "+locked.waited.Round(time.Millisecond).String()+": try again later, or wait longer (lock-timeout)"
		e.Lock = database.ErrLockTimeout
	}
	if known, ok := drivers.AsType[*database.StatementError](err); ok {
		err, e.Err = known.Err, known.Err
	}
	if code(err) == lib.SQLITE_BUSY_SNAPSHOT { // no waiting helps, but another transaction does
		e.Lock = database.ErrDeadlock
	}
	e.Code, e.Message = codeName(code(err)), message(err)
	if m := unrecognized.FindStringSubmatch(e.Message); m != nil { // what follows "token" would be masked like a password
		e.Message = fmt.Sprintf(`near "%s": unrecognized token`, m[1])
	}
	if m := nearToken.FindStringSubmatch(e.Message); m != nil {
		if at := tokenAt(st.Text, m[1]); at >= 0 {
			e.Pos = drivers.Advance(st.Pos, st.Text[:at])
		}
	}
	if m := missingArgument.FindStringSubmatch(err.Error()); m != nil && code(err) == 0 {
		e.Code, e.Message = "", "the statement has a parameter, but a script has no values for parameters"
		e.Hint = "write the value itself; quote text that contains :, @, $ or ?"
		if at := parameter(st.Text, m[1]); at >= 0 {
			e.Pos = drivers.Advance(st.Pos, st.Text[:at])
		}
	} else if code(err) == 0 {
		e.Code, e.Message = codeName(lib.SQLITE_INTERRUPT), "the statement was interrupted: "+err.Error()
	}
	if hint := hints[code(err)&0xff]; hint != "" && code(err) != lib.SQLITE_CORRUPT {
		e.Hint, e.OwnHint = hint, true
	}
	return e
}

// missingArgument matches the client's error for a statement with a parameter.
var missingArgument = lazyregexp.New(`^missing (?:named argument "(.*)"|argument with index \d+)$`)

// parameter returns the offset of a parameter if it occurs exactly once, and -1 otherwise. Without
// a name it is a question mark.
func parameter(text, name string) int {
	pattern := `\?`
	if name != "" {
		pattern = `[:@$]` + regexp.QuoteMeta(name) + `\b`
	}
	all := regexp.MustCompile(pattern).FindAllStringIndex(text, 2)
	if len(all) != 1 {
		return -1
	}
	return all[0][0]
}
