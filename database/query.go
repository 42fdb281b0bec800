package database

import (
	"errors"
	"slices"

	"github.com/whimbrel-db/whimbrel/sqltext"
)

// OneStatement is for drivers. It returns the only statement of a text. If the text is not a single
// statement that the server can execute alone, the error is a *StatementError or a *sqltext.Error.
func OneStatement(text string, d sqltext.Dialect) (sqltext.Statement, error) {
	all, err := sqltext.Split(text, d, sqltext.Options{File: QueryFile})
	if err != nil {
		return sqltext.Statement{}, err
	}
	refuse := func(st sqltext.Statement, message, hint string) (sqltext.Statement, error) {
		return st, &StatementError{Pos: st.Pos, Index: st.Index, Statement: st.Text, Message: message, Hint: hint}
	}
	all = slices.DeleteFunc(all, func(st sqltext.Statement) bool { return st.Kind == sqltext.Empty })
	switch {
	case len(all) == 0:
		return refuse(sqltext.Statement{Pos: sqltext.Position{File: QueryFile, Line: 1, Column: 1}}, "there is no statement", "")
	case all[0].Kind != sqltext.SQL:
		return refuse(all[0], "this is not a statement of the server", "")
	case len(all) > 1:
		return refuse(all[1], "a second statement begins here, but only one is possible", "")
	case all[0].Tx.Control():
		return refuse(all[0], "the statement is executed alone, so there is no transaction to control", "remove it")
	}
	return all[0], nil
}

// ErrReadOnly is wrapped by the error of [ReadQuery] for a statement that may change something.
// Nothing has changed.
var ErrReadOnly = errors.New("a query only reads")

// ReadingStatement is for drivers. It returns the only statement of a text if [ReadQuery] can
// execute it. For a statement that may change something, in the database or outside of it, the
// error is a *StatementError that is ErrReadOnly.
func ReadingStatement(text string, d sqltext.Dialect) (sqltext.Statement, error) {
	st, err := OneStatement(text, d)
	if err != nil {
		return st, err
	}
	refuse := func(pos sqltext.Position, message string) (sqltext.Statement, error) {
		return st, &StatementError{Pos: pos, Statement: st.Text, Message: message, Err: ErrReadOnly}
	}
	if !st.Reads(d) {
		return refuse(st.Pos, "a query only reads, and this statement may change something")
	}
	for _, e := range st.Outside(d) {
		if e.Outer == sqltext.Databases && d == sqltext.MySQL {
			continue // the name of another database; a read-only transaction holds for that, too
		}
		return refuse(e.Pos, "a query only reads, and "+e.Words+" changes what is outside of the database")
	}
	if name, pos, ok := st.Unheld(d); ok {
		return refuse(pos, "a query only reads, and "+name+"() may change something that a read-only transaction does not hold back")
	}
	return st, nil
}
