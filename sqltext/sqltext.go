// Package sqltext cuts SQL text into its statements, the way the database's own
// client does, and tells of each what a migration tool must know before it
// runs it: where it stands, whether it is transaction control, whether it can
// be in a transaction, whether it may change the session.
//
// It reads from an [io.Reader] and holds no more than the statement at hand
// (the data that follows COPY … FROM stdin comes in pieces of their own), so
// memory is bounded by the largest statement. The pieces joined are the text:
// nothing is dropped, nothing is added, and no statement is ever cut in two.
// What it cannot cut it refuses, with the file, line and column.
//
// It is a lexer with just enough grammar to find the ends of statements; it
// does not check that a statement is valid. It sees the text alone, not the
// server: strings are read as with PostgreSQL's standard_conforming_strings on, until the text itself sets it off, and
// without MySQL's NO_BACKSLASH_ESCAPES and ANSI_QUOTES, and MySQL routines in
// the manner of Oracle need DELIMITER.
package sqltext

import (
	"fmt"
	"strings"
)

// Dialect selects the lexical rules.
type Dialect uint8

// The dialects. MySQL also covers MariaDB.
const (
	PostgreSQL Dialect = iota + 1
	SQLite
	MySQL
)

// String returns the dialect's name in lower case: "postgresql", "sqlite", "mysql".
func (d Dialect) String() string {
	switch d {
	case PostgreSQL:
		return "postgresql"
	case SQLite:
		return "sqlite"
	case MySQL:
		return "mysql"
	}
	return fmt.Sprintf("dialect(%d)", uint8(d))
}

// Position is a place in a text. Line and Column count from 1; Column counts
// characters (Unicode code points), not bytes, and not the byte-order mark that a
// text may begin with. A CR before an LF is part of the line end. The zero
// Position is no place at all.
type Position struct {
	File   string
	Offset int64 // bytes before the place
	Line   int
	Column int
}

// String returns "file:line:column", or "line:column" where no file is known.
func (p Position) String() string {
	if p.File == "" {
		return fmt.Sprintf("%d:%d", p.Line, p.Column)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Kind says what a piece is to whoever sends it to a server.
type Kind uint8

const (
	// SQL is a statement to send.
	SQL Kind = iota
	// CopyIn is a PostgreSQL COPY … FROM stdin. Its data follows as CopyData
	// pieces and ends with one CopyEnd piece.
	CopyIn
	// CopyData is a stretch of whole lines of COPY data, at most 64 KiB of them
	// (Text == Raw). A longer line comes in several pieces.
	CopyData
	// CopyEnd is the line "\." that ends COPY data.
	CopyEnd
	// Client is a directive to the client that the server never sees and that is
	// safe to pass over: psql's \restrict and \unrestrict, MySQL's DELIMITER.
	Client
	// Empty is white space and comments alone (and stray terminators).
	Empty
)

// Tx says how a statement stands to transactions.
type Tx uint8

const (
	// TxAny can be in a transaction or outside of one.
	TxAny Tx = iota
	// TxBegin starts a transaction (BEGIN, START TRANSACTION, BEGIN IMMEDIATE).
	TxBegin
	// TxCommit ends one (COMMIT, END; not COMMIT AND CHAIN).
	TxCommit
	// TxRollback ends one (ROLLBACK, ABORT).
	TxRollback
	// TxSavepoint is SAVEPOINT, RELEASE or ROLLBACK TO.
	TxSavepoint
	// TxCommitChain and TxRollbackChain end one and begin the next, of the same kind: COMMIT AND CHAIN,
	// ROLLBACK AND CHAIN.
	TxCommitChain
	TxRollbackChain
	// TxOther is any other transaction control: PREPARE TRANSACTION, SET autocommit,
	// XA ….
	TxOther
	// TxNever cannot run inside a transaction (CREATE INDEX CONCURRENTLY, VACUUM), or ends
	// it (in MySQL all DDL, and whatever is not known not to).
	TxNever
	// TxNoEffect runs inside a transaction but does nothing there
	// (SQLite's PRAGMA foreign_keys = …).
	TxNoEffect
)

// Control reports whether t is transaction control.
func (t Tx) Control() bool { return t >= TxBegin && t <= TxOther }

// ForeignKeys says what SQLite's PRAGMA foreign_keys has to do with a statement.
type ForeignKeys uint8

const (
	// KeysAny does the same whether foreign keys are enforced or not.
	KeysAny ForeignKeys = iota
	// KeysChecked is an INSERT, which with foreign keys fails where a parent is missing.
	KeysChecked
	// KeysFollowed may delete or change the rows of other tables when foreign keys are enforced.
	KeysFollowed
	// KeysOff and KeysOn are PRAGMA foreign_keys itself.
	KeysOff
	KeysOn
	// KeysForgotten is PRAGMA defer_foreign_keys = off, after which a transaction does not look any more for rows that
	// had no parent when it came.
	KeysForgotten
)

// Statement is one piece of a text.
type Statement struct {
	// Raw is the whole piece: leading white space and comments, the statement,
	// its terminator. The Raws of a text joined are the text.
	Raw string
	// Text is the statement within Raw: without leading white space and comments,
	// without the terminator and trailing white space. It is "" for Empty pieces.
	Text string
	// Start is where Raw begins; Pos is where Text begins.
	Start, Pos Position
	// Index counts the pieces of kinds SQL and CopyIn, from 0. Other pieces have
	// the index of the next one to come.
	Index int

	Kind Kind
	Tx   Tx
	// Why says in a few words why Tx is TxNever or TxNoEffect
	// ("CREATE INDEX CONCURRENTLY"), for messages; else "".
	Why string
	// OnlyInTx names in a few words what makes a statement that is refused, or has no effect, outside of a
	// transaction ("SET LOCAL"); else it is "". Transaction control has none.
	OnlyInTx string
	// Mode is the kind of transaction that the statement asks for.
	Mode Mode
	// Session reports that the statement may change what outlives its transaction
	// in the session: settings, role, temporary objects, prepared statements,
	// cursors, listeners, session locks. It is false only for statements that are
	// known not to by their form; what a trigger or a called function does is
	// not seen.
	Session bool
	// EnumType is set for PostgreSQL's CREATE TYPE … AS ENUM, ALTER TYPE … ADD VALUE and … RENAME VALUE: the
	// type's name as written. EnumValue is the value that is added, or what EnumWas is renamed to, unquoted.
	EnumType, EnumValue, EnumWas string
	// ForeignKeys is set for SQLite alone.
	ForeignKeys ForeignKeys
	// Reserved is the reserved name that the statement mentions first as an
	// identifier, "" for none. What is in strings is not looked at.
	Reserved string
}

// Error is a text that cannot be cut: an unterminated quote, comment or body, a
// client command that cannot be honoured.
type Error struct {
	Pos Position
	Msg string // what is wrong and what to do, without the position
}

func (e *Error) Error() string { return e.Pos.String() + ": " + e.Msg }

// Options for a Scanner. The zero value is useful.
type Options struct {
	// File is the name in positions.
	File string
	// Line is the number of the text's first line, when the text is a section of
	// a larger file; 0 means 1.
	Line int
	// Reserved names (lower case) are looked for among the identifiers of each
	// statement, quoted or not; see Statement.Reserved. In PostgreSQL a quoted
	// name must have the same case.
	Reserved []string
}

// Split returns all pieces of a text that is in memory.
func Split(text string, d Dialect, opts Options) ([]Statement, error) {
	var all []Statement
	for s, err := range NewScanner(strings.NewReader(text), d, opts).All() {
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}
