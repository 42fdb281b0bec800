package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var errNoSchema = errors.New("there is no schema for Whimbrel's tables: none of the search path exists and may be used by this role; create one, grant USAGE on it, or name another schema")

// isA reports whether err wraps an error of type E.
func isA[E error](err error) bool {
	_, ok := drivers.AsType[E](err)
	return ok
}

func hasCode(err error, codes ...string) bool {
	pg, ok := drivers.AsType[*pgconn.PgError](err)
	return ok && slices.Contains(codes, pg.Code)
}

// missingTable reports whether a table or its schema does not exist.
func missingTable(err error) bool { return hasCode(err, "42P01", "3F000") }

// ended reports whether the server ended the connection with this error.
func ended(pg *pgconn.PgError) bool {
	severity := pg.SeverityUnlocalized
	if severity == "" {
		severity = pg.Severity
	}
	return severity == "FATAL" || severity == "PANIC"
}

// ownError returns the error of one of Whimbrel's own statements, which has no place in a script.
func ownError(sql string, err error) error {
	pg, ok := drivers.AsType[*pgconn.PgError](err)
	if !ok || isA[*database.StatementError](err) {
		return err
	}
	e := serverError(sqltext.Statement{Text: sql}, pg)
	e.Own = true
	return e
}

// serverError returns the server's error in a statement.
func serverError(st sqltext.Statement, pg *pgconn.PgError) *database.StatementError {
	say := hint(pg)
	return &database.StatementError{
		Pos: st.Pos, Index: st.Index, Statement: st.Text,
		Code: pg.Code, Message: pg.Message, Detail: pg.Detail, Hint: say, OwnHint: say != "" && say == hints[pg.Code],
		Where: pg.Where, Lock: lockErrors[pg.Code], Err: pg,
	}
}

// lockErrors are the errors after which a transaction can be tried again as it was.
var lockErrors = map[string]error{"55P03": database.ErrLockTimeout, "40P01": database.ErrDeadlock}

// withLock makes the error of a Go function say whether a lock caused it.
func withLock(err error) error {
	if pg, ok := drivers.AsType[*pgconn.PgError](err); ok && lockErrors[pg.Code] != nil && !isA[*database.StatementError](err) {
		return &lockError{error: err, lock: lockErrors[pg.Code]}
	}
	return err
}

// lockError is an error that is ErrLockTimeout or ErrDeadlock, too.
type lockError struct {
	error error
	lock  error
}

func (e *lockError) Error() string        { return e.error.Error() }
func (e *lockError) Unwrap() error        { return e.error }
func (e *lockError) Is(target error) bool { return target == e.lock }

// statementError converts a server error. sent is the text in which the server counts the position;
// it begins at start in the script.
func statementError(st sqltext.Statement, pg *pgconn.PgError, sent string, start sqltext.Position) error {
	if pg.Position > 0 {
		st.Pos = drivers.Advance(start, sent[:byteOffset(sent, int(pg.Position))])
	}
	return serverError(st, pg)
}

// refused is a statement that the driver does not send.
func refused(st sqltext.Statement, message, hint string) error {
	return &database.StatementError{Pos: st.Pos, Index: st.Index, Statement: st.Text, Message: message, Hint: hint}
}

// hint is the server's, or what to do about errors that have to do with how migrations are run.
func hint(pg *pgconn.PgError) string {
	switch {
	case pg.Hint != "":
		return pg.Hint
	case pg.Code == "25001" && strings.HasPrefix(pg.Message, "SET TRANSACTION"):
		return "it must come first in the transaction, which Whimbrel began: remove it, or let the script control its transaction (-- whimbrel: no-transaction, and BEGIN … COMMIT)"
	case pg.Code == "42704" && strings.HasPrefix(pg.Message, "role "):
		return "create the role first; roles belong to the server, not to a database"
	case pg.Code == "42704" && strings.HasPrefix(pg.Message, "type "):
		return "if the type belongs to an extension, create the extension first"
	}
	return hints[pg.Code]
}

var hints = map[string]string{
	"25001": "add the directive \"-- whimbrel: no-transaction\" at the top of the file, and move this statement to a file of its own",
	"2D000": "the called procedure ends transactions: add the directive \"-- whimbrel: no-transaction\" at the top of the file",
	"55P04": "a new enum value can't be used before it is committed: move its use to a later migration",
	"25006": "the database, this role or this session is read-only: connect to the primary, with a role that may write",
	"42501": "connect as a role with this privilege, or grant it to this role",
	"55P03": "another session holds a conflicting lock: try again, or wait longer (lock-timeout)",
	"40P01": "this session and another one waited for each other: try again",
	"57P01": "the server was shut down, or an administrator ended the connection: try again",
	"53100": "free space on the server's disk and try again",
}

// commitError returns an error of COMMIT itself, such as one of a deferred constraint. It belongs
// to no statement; last is the end of the last script.
func commitError(pg *pgconn.PgError, last sqltext.Statement) error {
	e := serverError(last, pg)
	e.Message = "at COMMIT: " + e.Message
	return e
}

// afterError returns an error that a script caused in a statement of Whimbrel's own; last is the
// end of the script.
func afterError(pg *pgconn.PgError, last sqltext.Statement) error {
	e := serverError(last, pg)
	e.Own, e.Message = true, "after the script, in a statement of Whimbrel's own: "+e.Message
	switch {
	case slices.Contains([]string{"42P01", "3F000", "42703"}, pg.Code):
		e.OwnHint, e.Hint = false, "the script dropped or changed Whimbrel's tables or their schema: don't change these, or keep the tables in another schema"
	case pg.Code == "57014" && strings.Contains(pg.Message, "timeout"): // nobody cancelled it
		e.OwnHint, e.Hint = false, "the script set a timeout that also applies to later statements: reset it, or use the directive statement-timeout, which ends with the script"
	}
	return e
}

// tableError explains why Whimbrel's tables could not be created in a schema.
func tableError(schema string, err error) error {
	switch {
	case hasCode(err, "42501"):
		return fmt.Errorf("can't create Whimbrel's tables in schema %q: %w; or name a schema in which this role may create tables, or let another role run the first migration and grant INSERT and SELECT on the tables", schema, err)
	case hasCode(err, "25006"):
		return fmt.Errorf("can't create Whimbrel's tables in schema %q: %w", schema, err)
	}
	return err
}
