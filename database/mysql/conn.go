package mysql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	client "github.com/go-sql-driver/mysql"

	"github.com/whimbrel-db/whimbrel/database/mysql/internal/mycatalog"
)

// A statement that is cancelled is asked to end at once and then again and again, with
// pauses that grow between these two. A server that has not answered after cancelGrace is given up, and the
// connection closed.
const (
	cancelSoon  = 20 * time.Millisecond
	cancelLater = time.Second
	cancelGrace = 10 * time.Second
)

// poolPatience bounds the wait for a connection of a pool that may have no more.
const poolPatience = 15 * time.Second

// conn is a connection that was taken out of the pool.
type conn struct {
	*sql.Conn
	db          *Database
	id          int64  // the server's; 0: not asked for
	killer      *guard // on which what runs here is cancelled; nil: on one more of the pool
	uncommitted bool   // its isolation level is READ UNCOMMITTED
	spoiled     bool   // nobody else should get it
	gone        bool   // it is broken, or was given up
}

// acquire takes a connection out of the pool. It waits for one only for a while, since who has the others may be waiting
// for this one.
func (db *Database) acquire(ctx context.Context) (*conn, error) {
	if db.closing.Err() != nil {
		return nil, errClosed
	}
	if err := db.checkNames(); err != nil {
		return nil, err
	}
	limited := ctx
	if db.pool.Stats().MaxOpenConnections > 0 {
		var cancel context.CancelFunc
		limited, cancel = context.WithTimeout(ctx, poolPatience)
		defer cancel()
	}
	c, err := db.pool.Conn(limited)
	switch {
	case err == nil:
		return &conn{Conn: c, db: db}, nil
	case db.closing.Err() != nil:
		return nil, errClosed
	case ctx.Err() != nil:
		return nil, stopped(ctx, err)
	case limited.Err() != nil:
		return nil, fmt.Errorf("the pool's %d connections are all in use, for %s now; a migration needs two of its own, and one more to look at what it does: raise SetMaxOpenConns", db.pool.Stats().MaxOpenConnections, poolPatience)
	}
	return nil, connectError(db.config, err)
}

// giveBack returns the connection to the pool, or closes it. With it go a transaction and locks that it may have.
func (c *conn) giveBack() {
	if c.spoiled || c.gone {
		c.drop()
	}
	c.Close() // if it was dropped it says that it is closed
}

// drop closes the connection for good.
func (c *conn) drop() {
	c.gone = true
	c.Raw(func(any) error { return driver.ErrBadConn }) // which is what it returns
}

// do calls f with the connection. When ctx is done, the statement that runs then is cancelled on the server and its
// answer awaited; the error is both the context's and f's.
func (c *conn) do(ctx context.Context, f func(context.Context) error) error {
	ctx, release := c.db.untilClosed(ctx)
	defer release()
	if ctx.Err() != nil {
		return reason(ctx)
	}
	if c.gone {
		return client.ErrInvalidConn
	}
	hard, giveUp := context.WithCancel(context.WithoutCancel(ctx)) // closes the connection
	defer giveUp()
	finished, asked := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(asked)
		if !c.kill(finished) {
			giveUp()
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
	defer end() // when f panics
	err := f(hard)
	end()
	if broken(err) || hard.Err() != nil {
		c.drop()
	} else if ctx.Err() != nil {
		c.absorb()
	}
	return stopped(ctx, err)
}

// kill asks the server to end what the connection runs until it is finished, and reports whether all of its requests
// were taken in.
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

// absorb takes in a request to end a statement that has come when there was none any more.
func (c *conn) absorb() {
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	if _, err := c.ExecContext(ctx, "DO 0"); err != nil && number(err) != erInterrupted {
		c.drop()
	}
}

// killOn ends a connection, or what it runs (how is "QUERY"), by way of a guard, or of one more connection.
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

// row reads the first row of an answer, which is one of Whimbrel's own queries.
func (c *conn) row(ctx context.Context, query string, args []any, to ...any) error {
	return c.do(ctx, func(ctx context.Context) error {
		return c.QueryRowContext(ctx, mycatalog.Whole(query), args...).Scan(to...)
	})
}

// each calls f for each row of an answer, with a function that reads its columns.
func (c *conn) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	return c.do(ctx, func(ctx context.Context) error {
		rows, err := c.QueryContext(ctx, mycatalog.Whole(query), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := f(rows.Scan); err != nil {
				return err
			}
		}
		return errors.Join(rows.Err(), rows.Close())
	})
}

// quietly executes statements that put something to an end, also when a context is done. If the server does not answer
// the connection is closed, which ends it too.
func (c *conn) quietly(statements ...string) error {
	if c.gone {
		return client.ErrInvalidConn
	}
	ctx, stop := context.WithTimeout(context.Background(), cancelGrace)
	defer stop()
	for _, s := range statements {
		if _, err := c.ExecContext(ctx, s); err != nil {
			c.drop()
			return err
		}
	}
	return nil
}
