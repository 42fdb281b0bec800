package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/migration"
	"github.com/whimbrel-db/whimbrel/sqltext"
)

// Tx is the transaction of a Go function's migration.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Func returns a script that is a Go function. The function runs in the transaction of its
// migration and must neither begin nor end a transaction. A statement that commits by itself, as
// all DDL does, is an error: it belongs in a migration of SQL. id identifies the function in the
// history: it must change when the function's behavior changes. It can run more than once; see
// [migration.Func].
func Func(id string, fn func(ctx context.Context, tx Tx) error) *migration.Script {
	return migration.Func(id, fn)
}

// BackfillFunc returns the script of a backfill whose rows a Go function changes: it is called for
// each batch, in the transaction of the batch, with the values of the key of its first and of its
// last row, one for each column. It must change only rows in this range, and must neither begin nor
// end a transaction. id identifies the function, as for [Func].
func BackfillFunc(id string, b migration.Backfill, fn func(ctx context.Context, tx Tx, first, last []any) error) *migration.Script {
	s := migration.Func(id, fn)
	s.Backfill = &b
	return s
}

// call calls the function of a backfill for a batch. A statement that may have changed the session
// closes the connection with the lane.
func (w *laneWork) call(ctx context.Context, r rowRange) (changed int64, err error) {
	s := w.ask.Script
	do, ok := s.Func().(func(context.Context, Tx, []any, []any) error)
	if !ok {
		return 0, fmt.Errorf("%s: the function is a %T; MySQL needs one created by mysql.BackfillFunc", s.File, s.Func())
	}
	var bounds [2][]any
	for i, key := range []database.Key{r.first, r.last} {
		for j, c := range w.key.columns {
			v, err := c.value(key[j])
			if err != nil {
				return 0, err
			}
			bounds[i] = append(bounds[i], v)
		}
	}
	t := &tx{c: w.c, session: &session{}}
	err = do(ctx, t, bounds[0], bounds[1])
	if err == nil && t.ended != nil { // the function ignored it
		err = fmt.Errorf("the server rolled the transaction back: %w", t.ended)
	}
	if err == nil {
		return t.changed, nil
	}
	if lock := lockError(number(err)); lock != nil {
		err = &database.StatementError{Pos: sqltext.Position{File: s.File}, Message: err.Error(), Lock: lock, Err: err}
	} else if ctx.Err() == nil {
		err = fmt.Errorf("%s: %w", s.File, err)
	}
	return 0, &database.BatchError{First: r.first, Last: r.last, Rows: r.rows, Err: err}
}

// call runs a Go function.
func (b *transaction) call(ctx context.Context, s *migration.Script, fn any) error {
	do, ok := fn.(func(context.Context, Tx) error)
	if !ok {
		return fmt.Errorf("%s: the function is a %T; MySQL needs one created by mysql.Func", s.File, fn)
	}
	ctx, release := b.db.life.Until(ctx)
	defer release()
	t := &tx{h: b.h, c: b.h.worker, session: b.session, limit: limitOf(b.h.opts, s)}
	err := do(ctx, t)
	if err == nil && t.ended != nil { // the function ignored it
		err = fmt.Errorf("the server rolled the transaction back: %w", t.ended)
	}
	if lock := lockError(number(err)); lock != nil {
		e := statementError(b.last, err).(*database.StatementError)
		e.Message = err.Error() // with what the function says
		return e
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.File, err)
	}
	return nil
}

// tx refuses statements that would end the transaction.
type tx struct {
	h       *hold
	c       *conn
	session *session
	limit   time.Duration // of the waits for locks
	ended   error         // a deadlock error, after which the server rolled back
	changed int64         // rows, by all statements
}

// watch is hold.watchWaits for a statement of the function.
func (t *tx) watch(query string) (stop func(error)) {
	if t.h == nil {
		return func(error) {}
	}
	return t.h.watchWaits(sqltext.Statement{Text: query}, t.limit)
}

func (t *tx) note(err error) {
	if number(err) == erDeadlock {
		t.ended = err
	}
}

func (t *tx) check(query string) error {
	// the server reports a text that can't be split
	all, _ := sqltext.Split(query, sqltext.MySQL, sqltext.Options{})
	for _, st := range all {
		t.session.see(st.Text)
		switch {
		case st.Tx.Control() && st.Tx != sqltext.TxSavepoint:
			return fmt.Errorf("%s: %w", st.Text, errControl)
		case st.Tx == sqltext.TxNever:
			return fmt.Errorf("%s: %s commits or may commit by itself, but a Go function is part of a transaction: move it to a migration of SQL", st.Text, st.Why)
		}
	}
	return nil
}

// ExecContext ends the statement on the server if ctx ends; the transaction continues.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := t.check(query); err != nil {
		return nil, err
	}
	watched := t.watch(query)
	res, err := t.c.exec(ctx, query, args...)
	watched(err)
	t.note(err)
	if err == nil {
		if n, err := res.RowsAffected(); err == nil {
			t.changed += max(n, 0)
		}
	}
	return res, err
}

// QueryContext ends the connection, and with it the transaction, if ctx ends.
func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := t.check(query); err != nil {
		return nil, err
	}
	watched := t.watch(query)
	rows, err := t.c.QueryContext(ctx, query, args...)
	watched(err)
	t.note(err)
	return rows, err
}

func (t *tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if err := t.check(query); err != nil { // a Row with our error can't be created
		return t.c.QueryRowContext(ctx, "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = "+literal(fmt.Sprintf("%.120s", err)))
	}
	watched := t.watch(query)
	row := t.c.QueryRowContext(ctx, query, args...)
	watched(row.Err())
	t.note(row.Err())
	return row
}
