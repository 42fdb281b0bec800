package postgres

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
)

// source is where connections come from.
type source interface {
	acquire(ctx context.Context) (lease, error)
	close()
}

// lease is one connection, ours until release.
type lease interface {
	// use calls f with the connection. It must not be kept.
	use(f func(*pgx.Conn) error) error
	// release gives the connection back. One that is closed, busy or in a transaction is
	// not used again.
	release()
}

type fromPool struct{ pool *pgxpool.Pool }

func (p fromPool) acquire(ctx context.Context) (lease, error) {
	c, err := p.pool.Acquire(ctx)
	if err != nil {
		if ctx.Err() == nil {
			err = connectError(p.pool.Config().ConnConfig, err)
		}
		return nil, err
	}
	return pooled{c}, nil
}

func (p fromPool) close() {}

// ownPool is a pool that the driver started.
type ownPool struct{ fromPool }

func (p *ownPool) close() { p.pool.Close() }

type pooled struct{ c *pgxpool.Conn }

func (p pooled) use(f func(*pgx.Conn) error) error { return f(p.c.Conn()) }
func (p pooled) release()                          { p.c.Release() }

// fromConn hands one connection to one user at a time.
type fromConn struct {
	conn *pgx.Conn
	free chan struct{}
}

func newFromConn(conn *pgx.Conn) *fromConn {
	f := &fromConn{conn: conn, free: make(chan struct{}, 1)}
	f.free <- struct{}{}
	return f
}

func (f *fromConn) acquire(ctx context.Context) (lease, error) {
	select {
	case <-f.free:
		if f.conn.IsClosed() {
			f.free <- struct{}{}
			return nil, connectError(f.conn.Config(), fmt.Errorf("the connection that was handed in is closed"))
		}
		return f, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (f *fromConn) use(do func(*pgx.Conn) error) error { return do(f.conn) }
func (f *fromConn) release()                           { f.free <- struct{}{} }
func (f *fromConn) close()                             {}

type fromDB struct{ db *sql.DB }

func (f fromDB) acquire(ctx context.Context) (lease, error) {
	c, err := f.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return sqlConn{c}, nil
}

func (f fromDB) close() {}

type sqlConn struct{ c *sql.Conn }

func (s sqlConn) use(f func(*pgx.Conn) error) error {
	var ferr error // not returned through Raw, which would close the connection for some
	err := s.c.Raw(func(dc any) error {
		c, ok := dc.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the *sql.DB is on %T: open it with pgx's stdlib package, sql.Open(\"pgx\", …)", dc)
		}
		ferr = f(c.Conn())
		return nil
	})
	if err != nil {
		return err
	}
	return ferr
}

func (s sqlConn) release() { s.c.Close() }

// single is a connection of our own, closed on release.
type single struct{ conn *pgx.Conn }

func (s single) use(f func(*pgx.Conn) error) error { return f(s.conn) }
func (s single) release()                          { s.conn.Close(context.Background()) }
