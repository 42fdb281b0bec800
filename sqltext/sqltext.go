// Package sqltext reads SQL. It splits a text into statements, as the database's own client does,
// and reports for each statement what a migration tool must know before it runs it: its position,
// whether it controls transactions, whether it can be in a transaction, whether it may change the
// session, and what it does outside the database.
//
//   - [NewScanner] reads the statements of an [io.Reader], [NewTextScanner] those of a string.
//     [Split] returns them all.
//   - A [Statement] has facts in its fields and answers further questions with its methods.
//   - [Tokens] and [List] return the words, names, constants and characters of a text.
//   - [Secrets], [Mask] and [Literals] find what must not be shown.
//
// A scanner holds only the current statement in memory. It returns the data that follows COPY …
// FROM stdin in pieces. The pieces joined are the text: the scanner drops nothing, adds nothing and
// never splits a statement. If it cannot split a text, it returns an [*Error] with the file, line
// and column.
//
// The package is a lexer with just enough grammar to find the ends of statements. It does not check
// whether a statement is valid. It sees only the text, not the server. It therefore reads strings
// as with PostgreSQL's standard_conforming_strings on, until the text itself turns that off, and as
// without MySQL's NO_BACKSLASH_ESCAPES and ANSI_QUOTES. MySQL routines in Oracle's syntax need
// DELIMITER.
package sqltext

import "fmt"

// Dialect selects the lexical rules.
type Dialect uint8

// The dialects. MySQL also covers MariaDB.
const (
	PostgreSQL Dialect = iota + 1
	SQLite
	MySQL
)

// CommitsImplicitly reports whether a statement that can't be in a transaction, or a BEGIN, commits
// the transaction that is open, as in MySQL. In the other dialects it is an error.
func (d Dialect) CommitsImplicitly() bool { return d == MySQL }

// RefusesNestedBegin reports whether a BEGIN inside a transaction is an error, as in SQLite. In
// PostgreSQL it has no effect.
func (d Dialect) RefusesNestedBegin() bool { return d == SQLite }

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

// Position is a place in a text. Line and Column count from 1. Column counts characters (Unicode
// code points), not bytes, and skips a byte-order mark at the beginning of the text. A CR before an
// LF is part of the line end. The zero Position means no place.
type Position struct {
	File   string
	Offset int64 // bytes before the place
	Line   int
	Column int
}

// String returns "file:line:column", or "line:column" if File is empty.
func (p Position) String() string {
	if p.File == "" {
		return fmt.Sprintf("%d:%d", p.Line, p.Column)
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Kind says how a piece of a text is sent to a server.
type Kind uint8

const (
	// SQL is a statement to send.
	SQL Kind = iota
	// CopyIn is a PostgreSQL COPY … FROM stdin. Its data follows as CopyData pieces and one
	// CopyEnd.
	CopyIn
	// CopyData is some whole lines of COPY data, at most 64 KiB (Text == Raw). A longer line is
	// split into several pieces.
	CopyData
	// CopyEnd is the line "\." that ends COPY data.
	CopyEnd
	// Client is a directive to the client that the server never sees and that can be skipped:
	// psql's \restrict and \unrestrict, MySQL's DELIMITER.
	Client
	// Empty is white space and comments only (and extra terminators).
	Empty
)

// Tx says how a statement relates to transactions.
type Tx uint8

const (
	// TxAny can be inside or outside a transaction.
	TxAny Tx = iota
	// TxBegin starts a transaction (BEGIN, START TRANSACTION, BEGIN IMMEDIATE).
	TxBegin
	// TxCommit ends one (COMMIT, END; not COMMIT AND CHAIN).
	TxCommit
	// TxRollback ends one (ROLLBACK, ABORT).
	TxRollback
	// TxSavepoint is SAVEPOINT, RELEASE or ROLLBACK TO.
	TxSavepoint
	// TxCommitChain and TxRollbackChain end a transaction and begin another of the same kind:
	// COMMIT AND CHAIN, ROLLBACK AND CHAIN.
	TxCommitChain
	TxRollbackChain
	// TxOther is any other transaction control: PREPARE TRANSACTION, SET autocommit, XA ….
	TxOther
	// TxNever cannot run inside a transaction (CREATE INDEX CONCURRENTLY, VACUUM), or ends it. In
	// MySQL that is all DDL, and every statement that is not known to be harmless.
	TxNever
	// TxNoEffect runs inside a transaction but does nothing there
	// (SQLite's PRAGMA foreign_keys = …).
	TxNoEffect
)

// Control reports whether t is transaction control.
func (t Tx) Control() bool { return t >= TxBegin && t <= TxOther }

// ForeignKeys says how a statement depends on SQLite's PRAGMA foreign_keys.
type ForeignKeys uint8

const (
	// KeysAny has the same effect whether foreign keys are enforced or not.
	KeysAny ForeignKeys = iota
	// KeysChecked is an INSERT. If foreign keys are enforced, it fails if a parent is missing.
	KeysChecked
	// KeysFollowed may delete or change rows of other tables if foreign keys are enforced.
	KeysFollowed
	// KeysOff and KeysOn are PRAGMA foreign_keys itself.
	KeysOff
	KeysOn
	// KeysForgotten is PRAGMA defer_foreign_keys = off. The transaction then no longer checks rows
	// that were inserted without a parent.
	KeysForgotten
)

// Statement is one piece of a text.
type Statement struct {
	// Raw is the whole piece: leading white space and comments, the statement and its terminator.
	// The Raws of a text joined are the text.
	Raw string
	// Text is the statement within Raw, without leading white space and comments, its terminator
	// and trailing white space. Empty pieces have none.
	Text string
	// Start is where Raw begins; Pos is where Text begins.
	Start, Pos Position
	// Index counts the pieces of kinds SQL and CopyIn, from 0. Other pieces have the index of the
	// next one.
	Index int

	Kind Kind
	Tx   Tx
	// Why names in a few words what makes Tx TxNever or TxNoEffect ("CREATE INDEX CONCURRENTLY"),
	// for messages. It is "" for other statements.
	Why string
	// OnlyInTx names in a few words why a statement is refused, or has no effect, outside a
	// transaction ("SET LOCAL"). It is "" for other statements and for transaction control.
	OnlyInTx string
	// Mode is the kind of transaction that the statement requests.
	Mode Mode
	// Session reports that the statement may change session state that outlives its transaction:
	// settings, role, temporary objects, prepared statements, cursors, listeners, session locks. It
	// is false only if the form of the statement rules that out. Triggers and functions that the
	// statement calls are not considered.
	Session bool
	// EnumType is the type's name as written in PostgreSQL's CREATE TYPE … AS ENUM and in ALTER
	// TYPE … ADD VALUE and … RENAME VALUE. EnumValue is the value that is added, or the new name of
	// EnumWas, unquoted.
	EnumType, EnumValue, EnumWas string
	// ForeignKeys is set for SQLite alone.
	ForeignKeys ForeignKeys
	// Reserved is the first of [Options].Reserved that the statement mentions as an identifier, ""
	// for none. Strings are not searched.
	Reserved string
}

// Error reports a text that cannot be split: an unterminated quote, comment or body, or a client
// command that Whimbrel cannot execute.
type Error struct {
	Pos Position
	Msg string // what is wrong and what to do, without the position
}

func (e *Error) Error() string { return e.Pos.String() + ": " + e.Msg }

// Options configure a Scanner. The zero value is useful.
type Options struct {
	// File is the name in positions.
	File string
	// Line is the number of the text's first line if the text is a section of a larger file; 0
	// means 1.
	Line int
	// Reserved are names, in lower case, to find among the identifiers of each statement, quoted or
	// not; see Statement.Reserved. In PostgreSQL, quoted identifiers must match in case.
	Reserved []string
}

// Split returns the pieces of a text.
func Split(text string, d Dialect, opts Options) ([]Statement, error) {
	var all []Statement
	for s, err := range NewTextScanner(text, d, opts).All() {
		if err != nil {
			return all, err
		}
		all = append(all, s)
	}
	return all, nil
}
