package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database"
	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// To cancel a statement, the driver sends requests in growing intervals between cancelSoon and
// cancelLater. If the server hasn't answered after cancelGrace, the driver closes the connection.
const (
	cancelSoon  = 20 * time.Millisecond
	cancelLater = time.Second
	cancelGrace = 10 * time.Second
)

// poolTimeout limits the wait for a connection of a pool of limited size.
const poolTimeout = 15 * time.Second

// conn is a connection taken from the pool.
type conn struct {
	*sql.Conn
	db   *Database
	wire *wire // nil if it has none
	id   int64 // the server's connection id; 0: unknown
	// cancels statements on this connection; nil: use another connection of the pool
	killer      *guard
	waits       waits    // the session's limits, if they are not its own
	decides     bool     // the session's limits are those of a decision about a backfill
	uncommitted bool     // the isolation level is READ UNCOMMITTED
	ending      []string // is executed together with what releases its lock
	unusable    bool     // must not be reused
	gone        bool     // it broke, or was given up
}

// acquire takes a connection from the pool. It waits only for a limited time, since the users of
// the other connections may be waiting for this one.
func (db *Database) acquire(ctx context.Context) (*conn, error) {
	if db.life.Closing.Err() != nil {
		return nil, drivers.ErrClosed
	}
	if err := db.checkNames(); err != nil {
		return nil, err
	}
	limited := ctx
	if db.pool.Stats().MaxOpenConnections > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, poolTimeout)
		defer cancel()
	}
	c, err := db.pool.Conn(limited)
	switch {
	case err == nil:
		return &conn{Conn: c, db: db, wire: db.wires.of(c)}, nil
	case db.life.Closing.Err() != nil:
		return nil, drivers.ErrClosed
	case ctx.Err() != nil:
		return nil, drivers.Stopped(ctx, err)
	case limited.Err() != nil:
		return nil, fmt.Errorf("all %d connections of the pool have been in use for %s; a migration needs two, and one more to read its state: raise SetMaxOpenConns", db.pool.Stats().MaxOpenConnections, poolTimeout)
	}
	return nil, connectError(db.config, err)
}

// giveBack returns the connection to the pool, or closes it, which ends its transaction and
// releases its locks.
func (c *conn) giveBack() {
	if c.unusable || c.gone {
		c.drop()
	}
	c.Close() // fails if drop closed it
}

// drop closes the connection for good.
func (c *conn) drop() {
	c.gone = true
	c.Raw(func(any) error { return driver.ErrBadConn }) // Raw returns this error
}

// do calls f with the connection. If ctx ends, do cancels the running statement on the server and
// waits for its answer; the error is then both the context's and f's.
func (c *conn) do(ctx context.Context, f func(context.Context) error) error {
	ctx, release := c.db.life.Until(ctx)
	defer release()
	if ctx.Err() != nil {
		return drivers.Reason(ctx)
	}
	if c.gone {
		return lost(client.ErrInvalidConn)
	}
	hard, giveUp := c.hard(ctx)
	defer giveUp(false)
	finished, asked := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(asked)
		if !c.kill(finished) {
			giveUp(true)
		}
	})
	var once sync.Once
	end := func() {
		once.Do(func() {
			close(finished)
			if !stop() {
				<-asked
			}
		})
	}
	defer end() // in case f panics
	err := f(hard)
	end()
	if lacksPrivilege(err) {
		err = c.withAccount(ctx, err)
	}
	if broken(err) || hard.Err() != nil {
		c.drop()
		if broken(err) {
			err = lost(err)
		}
	} else if ctx.Err() != nil {
		c.absorb()
	}
	return drivers.Stopped(ctx, err)
}

// hard returns a context for a call that only giveUp(true) interrupts: it closes the connection.
// With a wire that needs no context that can end, for which the client library would wake a
// goroutine at the beginning and the end of each call.
func (c *conn) hard(ctx context.Context) (_ context.Context, giveUp func(now bool)) {
	ctx = context.WithoutCancel(ctx)
	if c.wire == nil {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, func(bool) { cancel() }
	}
	return ctx, func(now bool) {
		if now {
			c.wire.Close()
		}
	}
}

// uninterrupted calls f with a context that doesn't end. After commitTimeout it closes the
// connection.
func (c *conn) uninterrupted(ctx context.Context, f func(context.Context) error) error {
	ctx, giveUp := c.hard(ctx)
	defer giveUp(false)
	defer time.AfterFunc(commitTimeout, func() { giveUp(true) }).Stop()
	err := f(ctx)
	if err != nil && (broken(err) || ctx.Err() != nil) {
		c.drop()
		return &database.CommitUnknownError{Err: err}
	}
	return err
}

// kill sends requests to cancel the connection's statement until it is finished, and reports
// whether the server accepted all of them.
func (c *conn) kill(finished <-chan struct{}) bool {
	if c.id == 0 {
		return false
	}
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	for pause := cancelSoon; ; pause = min(pause*2, cancelLater) {
		if err := c.db.killOn(ctx, c.killer, "QUERY", c.id); err != nil {
			return false
		}
		select {
		case <-finished:
			return true
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

// absorb consumes a cancellation that arrived after the statement.
func (c *conn) absorb() {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	if _, err := c.ExecContext(ctx, "DO 0"); err != nil && number(err) != erInterrupted {
		c.drop()
	}
}

// killOn ends a connection, or if how is "QUERY" its statement, through a guard or another
// connection.
func (db *Database) killOn(ctx context.Context, g *guard, how string, id int64) error {
	statement := fmt.Sprintf("KILL %s %d", how, id)
	if g != nil {
		if err := g.exec(ctx, statement); err == nil || number(err) != 0 {
			return ignoring(err, erNoSuchThread)
		}
	}
	c, err := db.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.ExecContext(ctx, statement)
	return ignoring(err, erNoSuchThread)
}

func ignoring(err error, numbers ...int) error {
	for _, n := range numbers {
		if number(err) == n {
			return nil
		}
	}
	return err
}

// exec executes a statement of Whimbrel's own.
func (c *conn) exec(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	err = c.do(ctx, func(ctx context.Context) error {
		res, err = c.ExecContext(ctx, query, args...)
		return err
	})
	return res, err
}

// row reads the first row of one of Whimbrel's own queries.
func (c *conn) row(ctx context.Context, query string, args []any, to ...any) error {
	return c.do(ctx, func(ctx context.Context) error {
		return c.QueryRowContext(ctx, mycatalog.Whole(query), args...).Scan(to...)
	})
}

// rowAfter is row after statements, in one message if it may contain several. They must not end
// with a comment.
func (c *conn) rowAfter(ctx context.Context, before []string, query string, to ...any) error {
	query = mycatalog.Whole(query)
	return c.do(ctx, func(ctx context.Context) error {
		if w := c.wire; w != nil && !w.refuses && len(before) > 0 {
			w.several = true
			err := c.QueryRowContext(ctx, strings.Join(append(before, query), "; ")).Scan(to...)
			if w.several = false; err == nil || !w.refuses {
				return err
			}
		}
		for _, s := range before {
			if _, err := c.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return c.QueryRowContext(ctx, query).Scan(to...)
	})
}

// each calls f for each row, with a function that reads its columns.
func (c *conn) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	return c.do(ctx, func(ctx context.Context) error {
		return drivers.Each(ctx, c, mycatalog.Whole(query), args, f)
	})
}

// oneRow is a query of one row.
type oneRow struct {
	query string
	to    []any // pointers to the columns
	read  bool
}

// eachOf is each for all rows of several statements in one message. Before them it reads one row of
// another query, unless that is nil. The connection must have a wire.
func (c *conn) eachOf(ctx context.Context, first *oneRow, statements []string, args []any, f func(scan func(...any) error) error) error {
	if first != nil {
		statements = append([]string{mycatalog.Whole(first.query)}, statements...)
	}
	return c.do(ctx, func(ctx context.Context) error {
		c.wire.several = true
		defer func() { c.wire.several = false }()
		rows, err := c.QueryContext(ctx, strings.Join(statements, "; "), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		scan := rows.Scan // one allocation for all rows
		// statements without rows have no result set
		for more := true; more; more = rows.NextResultSet() {
			for rows.Next() {
				if first != nil && !first.read {
					err, first.read = scan(first.to...), true
				} else {
					err = f(scan)
				}
				if err != nil {
					return err
				}
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	})
}

// finish executes statements that end something, even if a context is done. If the server doesn't
// answer, it closes the connection, which ends everything on it.
func (c *conn) finish(statements ...string) error {
	if c.gone {
		return client.ErrInvalidConn
	}
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	err := c.execAll(ctx, statements...)
	if err != nil {
		c.drop()
	}
	return err
}

// execAll executes statements until one fails: in one message, if it may contain several. They must
// not end with a comment.
func (c *conn) execAll(ctx context.Context, statements ...string) error {
	if w := c.wire; w != nil && !w.refuses && len(statements) > 1 {
		_, err := w.exec(ctx, c, strings.Join(statements, "; "), nil)
		if err == nil || !w.refuses {
			return err
		}
	}
	for _, s := range statements {
		if _, err := c.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
