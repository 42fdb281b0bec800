package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

var (
	errClosed   = errors.New("the database is closed")
	errOver     = errors.New("it is over: committed, rolled back or closed")
	errNoSchema = errors.New("no schema of the search path exists, or may be used by this role, so there is no place for Whimbrel's tables; create one, grant USAGE on it, or name another schema")
)

func hasCode(err error, codes ...string) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	for _, c := range codes {
		if pg.Code == c {
			return true
		}
	}
	return false
}

// missingTable reports that a table, or its schema, is not there.
func missingTable(err error) bool { return hasCode(err, "42P01", "3F000") }

// ended reports that the server has ended the connection with its error.
func ended(pg *pgconn.PgError) bool {
	severity := pg.SeverityUnlocalized
	if severity == "" {
		severity = pg.Severity
	}
	return severity == "FATAL" || severity == "PANIC"
}

// ownError is the error of a statement of Whimbrel's own, which has no place in a script.
func ownError(sql string, err error) error {
	var pg *pgconn.PgError
	var st *database.StatementError
	if !errors.As(err, &pg) || errors.As(err, &st) {
		return err
	}
	return &database.StatementError{
		Statement: sql, Code: pg.Code, Message: pg.Message, Detail: pg.Detail, Hint: hint(pg), Where: pg.Where, Err: pg,
	}
}

// statementError makes the contract's error of the server's. sent is the text that the
// server's position counts in, which stands at start in the script.
func statementError(st sqltext.Statement, pg *pgconn.PgError, sent string, start sqltext.Position) error {
	pos := st.Pos
	if pg.Position > 0 {
		pos = advance(start, sent[:byteOffset(sent, int(pg.Position))])
	}
	return &database.StatementError{
		Pos: pos, Index: st.Index, Statement: st.Text, Code: pg.Code, Message: pg.Message, Detail: pg.Detail, Hint: hint(pg), Where: pg.Where, Err: pg,
	}
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
		return "it must come first in a transaction, which is Whimbrel's: leave it out, or run the script in a transaction of its own (-- whimbrel: no-transaction, and BEGIN … COMMIT)"
	case pg.Code == "42704" && strings.HasPrefix(pg.Message, "role "):
		return "create the role first; roles belong to the server, not to a database"
	case pg.Code == "42704" && strings.HasPrefix(pg.Message, "type "):
		return "if an extension has it, create the extension first"
	}
	return hints[pg.Code]
}

var hints = map[string]string{
	"25001": "put the directive \"-- whimbrel: no-transaction\" into the head of the file, and let it have this statement alone",
	"2D000": "the called procedure ends transactions: put the directive \"-- whimbrel: no-transaction\" into the head of the file",
	"55P04": "a new enum value can't be used before it is committed: move its use to a later migration",
	"25006": "the database, this role or this session is read-only: connect to the primary, with a role that may write",
	"42501": "connect with a role that may do this, or grant it to this one",
	"55P03": "another session holds a lock that this needs: try again, or wait longer (lock-timeout)",
	"40P01": "another session and this one waited for each other: try again",
	"57P01": "the server was shut down, or an administrator ended the connection: try again",
	"53100": "make room on the server's disk and try again",
}

// commitError is an error that COMMIT itself brings up, such as a deferred constraint's. It
// belongs to no statement; last is where the last script of the batch ends.
func commitError(pg *pgconn.PgError, last sqltext.Statement) error {
	return &database.StatementError{
		Pos: last.Pos, Index: last.Index, Statement: last.Text,
		Code: pg.Code, Message: "at COMMIT: " + pg.Message, Detail: pg.Detail, Hint: hint(pg), Where: pg.Where, Err: pg,
	}
}

// afterError is an error of a statement of Whimbrel's own that comes behind a script, which has brought it
// about; last is where that ends.
func afterError(pg *pgconn.PgError, last sqltext.Statement) error {
	e := &database.StatementError{
		Pos: last.Pos, Index: last.Index, Statement: last.Text,
		Code: pg.Code, Message: "after the script, in a statement of Whimbrel's own: " + pg.Message, Detail: pg.Detail, Hint: hint(pg), Where: pg.Where, Err: pg,
	}
	switch pg.Code {
	case "42P01", "3F000", "42703":
		e.Hint = "the script has dropped or changed Whimbrel's own tables, or the schema that they are in: leave those to Whimbrel, or keep its tables in another schema"
	case "57014", "55P03":
		e.Hint = "the script has set a timeout that holds for what comes after it, too: set it back, or use the directives statement-timeout and lock-timeout, which end with the script"
	}
	return e
}

// tableError explains why Whimbrel's tables could not be made in a schema.
func tableError(schema string, err error) error {
	switch {
	case hasCode(err, "42501"):
		return fmt.Errorf("can't create Whimbrel's tables in schema %q: %w; or name a schema in which this role may create tables, or let another role make the first migration and grant INSERT and SELECT on the tables", schema, err)
	case hasCode(err, "25006"):
		return fmt.Errorf("can't create Whimbrel's tables in schema %q: %w", schema, err)
	}
	return err
}
