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
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// code returns SQLite's extended result code, 0 for errors that are not SQLite's.
func code(err error) int {
	var e *client.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// errAppeared is the error of a question that came before another process made the tables.
var errAppeared = errors.New("the tables of Whimbrel were made at this moment")

// isBusy reports that another connection is in the way, for a while.
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

// theFile is what is locked where it is not the migration lock.
const theFile = "the database file"

// lockedFile is SQLite's error where others kept the file locked for as long as somebody was willing to wait. It is a *database.LockedError.
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

// message returns what SQLite says, without the code that the client puts behind it and
// the words that say nothing.
func message(err error) string {
	c := code(err)
	if c == 0 {
		return err.Error()
	}
	msg := strings.TrimSuffix(err.Error(), fmt.Sprintf(" (%d)", c))
	for _, noise := range []string{"SQL logic error: ", "constraint failed: "} {
		msg = strings.TrimPrefix(msg, noise)
	}
	return msg
}

// hints say what to do about errors that a person can do something about.
var hints = map[int]string{
	lib.SQLITE_NOTADB:   "the file is something else than an SQLite database, or it is encrypted; name another file",
	lib.SQLITE_CORRUPT:  "the file is damaged; PRAGMA integrity_check tells how far",
	lib.SQLITE_READONLY: "the process must be allowed to write the file and its folder, and the URL must not say mode=ro",
	lib.SQLITE_CANTOPEN: "the process must be allowed to read and write the file and its folder, where SQLite keeps the journal",
	lib.SQLITE_PERM:     "the process must be allowed to read and write the file and its folder",
	lib.SQLITE_FULL:     "the disk is full, or the database has reached its max_page_count",
}

// connectError makes errors that have to do with the file into a *ConnectError.
func (d *db) connectError(err error) error {
	c := code(err)
	hint, ok := hints[c&0xff]
	if !ok {
		return err
	}
	return &database.ConnectError{Target: d.target(), Code: codeName(c), Hint: hint, Err: &plainError{message(err), err}}
}

// plainError is an error of the client in SQLite's own words: its code stands elsewhere.
type plainError struct {
	message string
	err     error
}

func (e *plainError) Error() string { return e.message }
func (e *plainError) Unwrap() error { return e.err }

var nearToken = regexp.MustCompile(`^near "((?s:.+))": syntax error$`)

// statementError says which statement failed. at is its place, where SQLite lets it be
// known more closely: a token that a syntax error names and that is there once.
func statementError(st sqltext.Statement, err error) *database.StatementError {
	e := &database.StatementError{
		Pos: st.Pos, Index: st.Index, Statement: st.Text,
		Err: err,
	}
	if err == nil {
		return e
	}
	var locked *lockedFile
	if errors.As(err, &locked) { // it is the statement's error
		err, e.Err, e.Hint = locked.err, locked.err, "somebody else has the file locked, for "+locked.waited.Round(time.Millisecond).String()+" now: try again when it is free, or wait longer (lock-timeout)"
	}
	e.Code, e.Message = codeName(code(err)), message(err)
	if m := nearToken.FindStringSubmatch(e.Message); m != nil && strings.Count(st.Text, m[1]) == 1 {
		e.Pos = advance(st.Pos, st.Text[:strings.Index(st.Text, m[1])])
	}
	if m := missingArgument.FindStringSubmatch(err.Error()); m != nil && code(err) == 0 {
		e.Code, e.Message = "", "the statement has a parameter, for which a script has no value"
		e.Hint = "write the value itself; a :, @, $ or ? that belongs to a text must be between quotes"
		if at := parameter(st.Text, m[1]); at >= 0 {
			e.Pos = advance(st.Pos, st.Text[:at])
		}
	} else if code(err) == 0 {
		e.Code, e.Message = codeName(lib.SQLITE_INTERRUPT), "the statement was interrupted: "+err.Error()
	}
	if hint := hints[code(err)&0xff]; hint != "" && code(err) != lib.SQLITE_CORRUPT {
		e.Hint = hint
	}
	return e
}

// missingArgument is what the client says of a statement with a parameter.
var missingArgument = regexp.MustCompile(`^missing (?:named argument "(.*)"|argument with index \d+)$`)

// parameter finds the only place that a parameter can have, -1 if there are several or none. Without a name it is a question mark.
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

// advance returns the place behind text, which begins at pos.
func advance(pos sqltext.Position, text string) sqltext.Position {
	pos.Offset += int64(len(text))
	for _, r := range text {
		pos.Column++
		if r == '\n' {
			pos.Line, pos.Column = pos.Line+1, 1
		}
	}
	return pos
}
