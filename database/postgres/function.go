package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/migration"
)

// call runs a Go function in the Tx's transaction.
func (b *transaction) call(ctx context.Context, s *migration.Script, fn any) error {
	f, ok := fn.(function)
	if !ok {
		return fmt.Errorf("%s: the function is a %T; PostgreSQL needs one created by postgres.Func", s.File, fn)
	}
	// This setting ends with the transaction: it shows whether the function ended it.
	b.queue = append(b.queue, b.named(setConfig("whimbrel.transaction", "'open'", true))...)
	if err := b.flush(ctx); err != nil {
		return err
	}
	defer b.c.watch.watch(sent{statements: []watched{{limit: lockLimit(s, b.opts.LockTimeout)}}})()
	return f(ctx, b.c, s)
}

// function executes a Go function in the open transaction of a connection. Only Func refers to it,
// so a program without Go functions doesn't link pgx's types.
type function func(ctx context.Context, c *conn, s *migration.Script) error

// inside calls a function with the open transaction.
func (c *conn) inside(ctx context.Context, s *migration.Script, f func(context.Context, pgx.Tx) error) error {
	ctx, release := c.untilClosed(ctx)
	defer release()
	return c.useFully(ctx, func(pc *pgx.Conn) error {
		// Make pgx believe that it began the transaction, which is already open.
		inner, err := pc.BeginTx(ctx, pgx.TxOptions{BeginQuery: "SELECT"})
		if err != nil {
			return drivers.Stopped(ctx, err)
		}
		if err := f(ctx, tx{inner}); err != nil {
			return drivers.Stopped(ctx, withLock(fmt.Errorf("%s: %w", s.File, err)))
		}
		switch {
		case pc.IsClosed():
			return drivers.Stopped(ctx, fmt.Errorf("%s: %w", s.File, errBroken))
		case pc.PgConn().IsBusy():
			closeNow(pc.PgConn())
			return fmt.Errorf("%s: the function left the rows of a query open; it must read or close them", s.File)
		case pc.PgConn().TxStatus() == 'I':
			return errEnded(s)
		case pc.PgConn().TxStatus() != 'T':
			return fmt.Errorf("%s: a statement of the function failed, but the function returned no error; the transaction can't continue", s.File)
		}
		return nil
	})
}

// errEnded reports that a function ended its transaction.
func errEnded(s *migration.Script) error {
	return fmt.Errorf("%s: the function ended its transaction and thereby released the migration lock; its changes may be committed but are not recorded. A function must neither commit nor roll back, not even with SQL", s.File)
}

// Func returns a script that is a Go function. It receives the transaction of its migration and can
// neither commit nor roll it back; returning an error rolls it back. The function runs with the
// connection's settings and, like any script, leaves the session unchanged. id must change when the
// function's behavior changes. It can run more than once; see [migration.Func].
func Func(id string, fn func(ctx context.Context, tx pgx.Tx) error) *migration.Script {
	return migration.Func(id, function(func(ctx context.Context, c *conn, s *migration.Script) error { return c.inside(ctx, s, fn) }))
}

// tx prevents a function from ending its transaction. Begin creates savepoints.
type tx struct{ pgx.Tx }

var errNotYours = errors.New("a migration can't end its own transaction: return nil to commit it, an error to roll it back")

func (tx) Commit(context.Context) error   { return errNotYours }
func (tx) Rollback(context.Context) error { return errNotYours }
