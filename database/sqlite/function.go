package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

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
// migration and must neither begin nor end a transaction. id identifies the function in the
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

// errControl is the error of transaction control in a Go function.
var errControl = errors.New("a Go function must not begin, commit or roll back the transaction of its migration")

// function runs a Go function between two savepoints, which show whether it left the transaction
// open.
func (b *transaction) function(ctx context.Context, s *migration.Script, fn any) error {
	do, ok := fn.(func(context.Context, Tx) error)
	if !ok {
		return fmt.Errorf("%s: the function is a %T; SQLite needs one created by sqlite.Func", s.File, fn)
	}
	if err := b.keys.prepare(ctx, b, s, nil); err != nil {
		return err
	}
	return b.guarded(ctx, s, true, func() error { return b.c.call(ctx, s, do) })
}

// call calls a Go function between two savepoints. What the function leaves open is closed while
// later statements are executed, so these take turns with it, as the client's calls do.
func (c *conn) call(ctx context.Context, s *migration.Script, do func(context.Context, Tx) error) error {
	if err := c.do("SAVEPOINT whimbrel_function"); err != nil {
		return err
	}
	c.native = native{}
	t := &tx{c: c}
	err := t.call(ctx, do)
	if err != nil {
		return fmt.Errorf("%s: %w", s.File, err)
	}
	if err := c.do("RELEASE whimbrel_function"); err != nil {
		return fmt.Errorf("%s: %w (%s)", s.File, errControl, message(err))
	}
	return nil
}

// call calls the function of a backfill for a batch, and restores the session afterwards.
func (w *laneWork) call(ctx context.Context, c *conn, first, last []any) (changed int64, err error) {
	s := w.ask.Script
	do, ok := s.Func().(func(context.Context, Tx, []any, []any) error)
	if !ok {
		return 0, fmt.Errorf("%s: the function is a %T; SQLite needs one created by sqlite.BackfillFunc", s.File, s.Func())
	}
	before, err := c.readSession(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		if done, rerr := c.restore(before); rerr != nil || !done {
			w.drop = true
		}
	}()
	var was int64
	if err := c.ask("SELECT total_changes()").Scan(&was); err != nil {
		return 0, err
	}
	if err := c.call(ctx, s, func(ctx context.Context, tx Tx) error { return do(ctx, tx, first, last) }); err != nil {
		return 0, err
	}
	err = c.ask("SELECT total_changes()").Scan(&changed)
	return changed - was, err
}

// tx ends the queries that a function left open.
type tx struct {
	c    *conn
	open []context.CancelFunc
}

// txKey marks contexts derived from the one that the function received.
type txKey struct{}

func (t *tx) call(ctx context.Context, do func(context.Context, Tx) error) error {
	ctx, cancel := context.WithCancel(context.WithValue(ctx, txKey{}, t))
	defer func() {
		cancel()
		for _, c := range t.open {
			c()
		}
	}()
	return do(ctx, t)
}

// bound returns a context that ends with the function.
func (t *tx) bound(ctx context.Context) context.Context {
	if ctx.Value(txKey{}) == t {
		return ctx
	}
	ctx, cancel := context.WithCancel(ctx)
	t.open = append(t.open, cancel)
	return ctx
}

// check refuses transaction control. SQLite reports text that can't be split.
func check(query string) error {
	all, _ := sqltext.Split(query, sqltext.SQLite, sqltext.Options{})
	for _, st := range all {
		if st.Tx.Control() && st.Tx != sqltext.TxSavepoint {
			return fmt.Errorf("%s: %w", st.Text, errControl)
		}
	}
	return nil
}

func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := check(query); err != nil {
		return nil, err
	}
	return t.c.ExecContext(ctx, query, args...)
}

func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := check(query); err != nil {
		return nil, err
	}
	return t.c.QueryContext(t.bound(ctx), query, args...)
}

func (t *tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return t.c.QueryRowContext(t.bound(ctx), query, args...)
}
