package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// source provides connections.
type source interface {
	acquire(ctx context.Context) (handle, error)
	// exhausted reports whether all permitted connections are in use.
	exhausted() bool
	// prepare opens a connection set up like an acquired one.
	prepare(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error)
	close()
}

// handle is exclusive use of one connection until release.
type handle interface {
	// use calls f with the connection. f must not keep it.
	use(f func(*pgx.Conn) error) error
	// release returns the connection. It is not reused if it is closed, busy or in a transaction.
	release()
}

// fromPool is a pool provided by the caller.
type fromPool struct{ pool *pgxpool.Pool }

func (p fromPool) acquire(ctx context.Context) (handle, error) {
	c, err := p.pool.Acquire(ctx)
	switch {
	case err == nil:
		return pooled{c: c}, nil
	case ctx.Err() != nil && !isA[*pgconn.ConnectError](err):
		return nil, fmt.Errorf("waiting for a connection of the pool: %w", err)
	}
	return nil, connectError(p.pool.Config().ConnConfig, err)
}

func (p fromPool) prepare(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	like := p.pool.Config()
	if like.BeforeConnect != nil { // it may set a newer password
		if err := like.BeforeConnect(ctx, config); err != nil {
			return nil, err
		}
	}
	conn, err := connect(ctx, config)
	if err != nil {
		return nil, err
	}
	if err := hooks(ctx, like, conn); err != nil {
		closeNow(conn)
		return nil, err
	}
	return conn, nil
}

// hooks applies to a new connection what the pool applies before handing one out.
func hooks(ctx context.Context, like *pgxpool.Config, conn *pgx.Conn) error {
	if like.AfterConnect != nil {
		if err := like.AfterConnect(ctx, conn); err != nil {
			return err
		}
	}
	//lint:ignore SA1019 a pool may have it, instead of PrepareConn
	before := like.BeforeAcquire
	fit := true
	var err error
	switch {
	case like.PrepareConn != nil:
		fit, err = like.PrepareConn(ctx, conn)
	case before != nil:
		fit = before(ctx, conn)
	}
	if err == nil && !fit {
		err = errors.New("the pool's own check (PrepareConn or BeforeAcquire) rejected a new connection")
	}
	return err
}

func (p fromPool) exhausted() bool {
	s := p.pool.Stat()
	return s.IdleConns() == 0 && s.TotalConns() >= s.MaxConns()
}

func (p fromPool) close() {}

// ownPool is a pool that the driver created.
type ownPool struct {
	fromPool
	primary *primaryFirst // nil: use the first server that answers
}

func (p *ownPool) acquire(ctx context.Context) (handle, error) {
	l, err := p.primary.acquire(func() (handle, error) { return p.fromPool.acquire(ctx) })
	if c, ok := l.(pooled); ok {
		c.own = true
		return c, nil
	}
	return l, err
}

// prepare accepts the server that config names: it was chosen before.
func (p *ownPool) prepare(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	if p.primary != nil {
		config.ValidateConnect = nil
	}
	return p.fromPool.prepare(ctx, config)
}

func (p *ownPool) close() { p.pool.Close() }

type pooled struct {
	c   *pgxpool.Conn
	own bool // of a pool that the driver created
}

func (p pooled) use(f func(*pgx.Conn) error) error { return f(p.c.Conn()) }
func (p pooled) release()                          { p.c.Release() }

// callersSource is embedded by sources that have no settings of their own for new connections, and
// are closed by the caller.
type callersSource struct{}

func (callersSource) close() {}

func (callersSource) prepare(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	return connect(ctx, config)
}

// fromConn provides the caller's single connection to one user at a time.
type fromConn struct {
	callersSource
	conn *pgx.Conn
	free chan struct{}
}

func newFromConn(conn *pgx.Conn) *fromConn {
	f := &fromConn{conn: conn, free: make(chan struct{}, 1)}
	f.free <- struct{}{}
	return f
}

func (f *fromConn) acquire(ctx context.Context) (handle, error) {
	select {
	case <-f.free:
		if f.conn.IsClosed() {
			f.free <- struct{}{}
			return nil, connectError(f.conn.Config(), errors.New("the caller's connection is closed"))
		}
		return f, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the connection: %w", drivers.Reason(ctx))
	}
}

func (f *fromConn) use(do func(*pgx.Conn) error) error { return do(f.conn) }
func (f *fromConn) release()                           { f.free <- struct{}{} }
func (f *fromConn) exhausted() bool                    { return len(f.free) == 0 }

// fromDB is a *sql.DB provided by the caller.
type fromDB struct {
	callersSource
	db *sql.DB
}

func (f fromDB) acquire(ctx context.Context) (handle, error) {
	c, err := f.db.Conn(ctx)
	switch {
	case err == nil:
		return sqlConn{c}, nil
	case isA[*pgconn.ConnectError](err):
		return nil, connectError(nil, err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("waiting for a connection of the pool: %w", err)
	}
	return nil, err
}

func (f fromDB) exhausted() bool {
	s := f.db.Stats()
	return s.MaxOpenConnections > 0 && s.InUse >= s.MaxOpenConnections
}

type sqlConn struct{ c *sql.Conn }

func (s sqlConn) use(f func(*pgx.Conn) error) error {
	var ferr error // not returned through Raw, which closes the connection for some errors
	err := s.c.Raw(func(dc any) error {
		c, ok := dc.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("the *sql.DB uses %T: open it with pgx's stdlib package, sql.Open(\"pgx\", …)", dc)
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
func (s single) release() {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	s.conn.Close(ctx)
}

// beside opens one more connection to the server of c. It doesn't use the caller's pool, which may
// have no other connection.
func (db *Database) beside(ctx context.Context, c *conn) (*conn, error) {
	var config *pgx.ConnConfig
	if err := c.with(func(pc *pgx.Conn) { config = pinned(ctx, pc) }); err != nil {
		return nil, err
	}
	// A wait on it must end immediately when the context ends.
	config.BuildContextWatcherHandler = func(pc *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: pc.Conn()}
	}
	return db.open(ctx, config)
}

func connect(ctx context.Context, config *pgx.ConnConfig) (*pgx.Conn, error) {
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, connectError(config, err)
	}
	return c, nil
}
