package mysql

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Tx is what a Go function works with: the transaction of its migration.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Func returns the script of a Go function. It runs in the transaction of its migration and must leave beginning and
// ending it to Whimbrel; so a statement that commits by itself, as all DDL does, is an error: that has its place
// in a migration of SQL. id stands for the function in the history: it must change when what the function does changes.
func Func(id string, fn func(ctx context.Context, tx Tx) error) *migration.Script {
	return migration.Func(id, fn)
}

// call runs a Go function.
func (b *batch) call(ctx context.Context, s *migration.Script, fn any) error {
	do, ok := fn.(func(context.Context, Tx) error)
	if !ok {
		return fmt.Errorf("%s: a Go function for MySQL is made by mysql.Func, this is a %T", s.File, fn)
	}
	ctx, release := b.db.untilClosed(ctx)
	defer release()
	t := &tx{c: b.h.worker, session: b.session}
	err := do(ctx, t)
	if err == nil && t.ended != nil { // which the function has passed over
		err = fmt.Errorf("the server has rolled the transaction back: %w", t.ended)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.File, err)
	}
	return nil
}

// tx refuses what would end the transaction.
type tx struct {
	c       *conn
	session *session
	ended   error // that of a deadlock, with which the server has rolled back
}

func (t *tx) note(err error) {
	if number(err) == erDeadlock {
		t.ended = err
	}
}

func (t *tx) check(query string) error {
	all, _ := sqltext.Split(query, sqltext.MySQL, sqltext.Options{}) // a text that can't be cut is the server's to complain of
	for _, st := range all {
		t.session.see(st.Text)
		switch {
		case st.Tx.Control() && st.Tx != sqltext.TxSavepoint:
			return fmt.Errorf("%s: %w", st.Text, errControl)
		case st.Tx == sqltext.TxNever:
			return fmt.Errorf("%s: %s commits by itself, or may do so, and a Go function is part of a transaction: put it into a migration of SQL", st.Text, st.Why)
		}
	}
	return nil
}

// ExecContext ends the statement on the server when ctx is done, and the transaction goes on.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := t.check(query); err != nil {
		return nil, err
	}
	res, err := t.c.exec(ctx, query, args...)
	t.note(err)
	return res, err
}

// QueryContext ends with the connection, and so with the transaction, when ctx is done.
func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.check(query); err != nil {
		return nil, err
	}
	rows, err := t.c.QueryContext(ctx, query, args...)
	t.note(err)
	return rows, err
}

func (t *tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := t.check(query); err != nil { // a Row can't be made with an error of ours in it
		return t.c.QueryRowContext(ctx, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = "+literal(fmt.Sprintf("%.120s", err)))
	}
	row := t.c.QueryRowContext(ctx, query, args...)
	t.note(row.Err())
	return row
}
