package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/whimbrel-db/whimbrel/migration"
)

// call runs a Go function in the batch's transaction.
func (b *batch) call(ctx context.Context, s *migration.Script, fn any) error {
	f, ok := fn.(func(context.Context, pgx.Tx) error)
	if !ok {
		return fmt.Errorf("%s: the function is a %T; PostgreSQL wants one made by postgres.Func", s.File, fn)
	}
	// A mark that ends with the transaction, to see whether the function has ended that.
	b.queue = append(b.queue, setConfig("whimbrel.batch", "'open'", true))
	if err := b.flush(ctx); err != nil {
		return err
	}
	ctx, release := b.c.untilClosed(ctx)
	defer release()
	return b.c.use(func(pc *pgx.Conn) error {
		// pgx must believe that it began the transaction which is open already.
		inner, err := pc.BeginTx(ctx, pgx.TxOptions{BeginQuery: "SELECT"})
		if err != nil {
			return stopped(ctx, err)
		}
		if err := f(ctx, tx{inner}); err != nil {
			return stopped(ctx, fmt.Errorf("%s: %w", s.File, err))
		}
		switch {
		case pc.IsClosed():
			return stopped(ctx, fmt.Errorf("%s: %w", s.File, errBroken))
		case pc.PgConn().IsBusy():
			closeNow(pc)
			return fmt.Errorf("%s: the function has left the rows of a query open; it must read or close them", s.File)
		case pc.PgConn().TxStatus() == 'I':
			return errEnded(s)
		case pc.PgConn().TxStatus() != 'T':
			return fmt.Errorf("%s: a statement of the function failed, and the function returned no error; nothing can be done in the transaction any more", s.File)
		}
		return nil
	})
}

// errEnded is the error of a function that has ended its transaction.
func errEnded(s *migration.Script) error {
	return fmt.Errorf("%s: the function has ended its transaction, and with it let go of the migration lock; what it did before may stand and is not recorded. A function must neither commit nor roll back, also not with SQL", s.File)
}

// Func returns a script that is a Go function. It is given the transaction of its
// migration, which it can neither commit nor roll back: an error rolls it back. It runs
// with the connection's own settings and leaves the session as it was, like any script. id must change
// when what the function does changes; see [migration.Func].
func Func(id string, fn func(ctx context.Context, tx pgx.Tx) error) *migration.Script {
	return migration.Func(id, fn)
}

// tx keeps a function from ending its transaction. Begin gives savepoints.
type tx struct{ pgx.Tx }

var errNotYours = errors.New("a migration can't end its own transaction: return nil to commit it, an error to roll it back")

func (tx) Commit(context.Context) error   { return errNotYours }
func (tx) Rollback(context.Context) error { return errNotYours }
