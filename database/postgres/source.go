package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/whimbrel-db/whimbrel/database/internal/drivers"
)

// source provides connections.
type source interface {
	acquire(ctx context.Context) (handle, error)
	// exhausted reports whether all permitted connections are in use.
	exhausted() bool
	// prepare opens a connection set up like an acquired one. Its release closes it.
	prepare(ctx context.Context, config *pgconn.Config) (handle, error)
	close()
}

// handle is exclusive use of one connection until release.
type handle interface {
	// use calls f with the connection. f must not keep it.
	use(f func(*pgconn.PgConn) error) error
	// useFully calls f with the connection as Go functions get it. Only they call it, so a program
	// without them doesn't link pgx's types.
	useFully(ctx context.Context, f func(*pgx.Conn) error) error
	// config returns a function that copies the connection's configuration. It can be called while
	// the connection is in use.
	config() (func() *pgconn.Config, error)
	// forGo returns the settings of a connection for Go functions, once config was called.
	forGo() goSettings
	// release returns the connection. It is not reused if it is closed, busy or in a transaction.
	release()
}

// full is a connection of pgx.
type full struct{ conn *pgx.Conn }

func (c full) use(f func(*pgconn.PgConn) error) error { return f(c.conn.PgConn()) }

func (c full) useFully(_ context.Context, f func(*pgx.Conn) error) error { return f(c.conn) }

func (c full) config() (func() *pgconn.Config, error) {
	return func() *pgconn.Config { return &c.conn.Config().Config }, nil
}

func (c full) forGo() goSettings { return goSettings{like: c.conn.Config()} }

// fromPool is a pool provided by the caller.
type fromPool struct{ pool *pgxpool.Pool }

func (p fromPool) acquire(ctx context.Context) (handle, error) {
	c, err := p.pool.Acquire(ctx)
	switch {
	case err == nil:
		return pooled{full{c.Conn()}, c}, nil
	case ctx.Err() != nil && !isA[*pgconn.ConnectError](err):
		return nil, fmt.Errorf("waiting for a connection of the pool: %w", err)
	}
	return nil, connectError(&p.pool.Config().ConnConfig.Config, err)
}

func (p fromPool) prepare(ctx context.Context, config *pgconn.Config) (handle, error) {
	like := p.pool.Config()
	like.ConnConfig.Config = *config
	if like.BeforeConnect != nil { // it may set a newer password
		if err := like.BeforeConnect(ctx, like.ConnConfig); err != nil {
			return nil, err
		}
	}
	c, err := connect(ctx, like.ConnConfig)
	if err != nil {
		return nil, err
	}
	if err := hooks(ctx, like, c.conn); err != nil {
		closeNow(c.conn.PgConn())
		return nil, err
	}
	return c, nil
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

type pooled struct {
	full
	c *pgxpool.Conn
}

func (p pooled) release() { p.c.Release() }

// fromConn provides the caller's single connection to one user at a time.
type fromConn struct {
	full
	free chan struct{}
}

func newFromConn(conn *pgx.Conn) *fromConn {
	f := &fromConn{full: full{conn}, free: make(chan struct{}, 1)}
	f.free <- struct{}{}
	return f
}

func (f *fromConn) acquire(ctx context.Context) (handle, error) {
	select {
	case <-f.free:
		if f.conn.IsClosed() {
			f.free <- struct{}{}
			return nil, connectError(&f.conn.Config().Config, errors.New("the caller's connection is closed"))
		}
		return f, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for the connection: %w", drivers.Reason(ctx))
	}
}

func (f *fromConn) prepare(ctx context.Context, config *pgconn.Config) (handle, error) {
	like := f.conn.Config()
	like.Config = *config
	return handled(connect(ctx, like))
}

func (f *fromConn) release()        { f.free <- struct{}{} }
func (f *fromConn) exhausted() bool { return len(f.free) == 0 }
func (f *fromConn) close()          {}

// fromDB is a *sql.DB provided by the caller.
type fromDB struct {
	db   *sql.DB
	like atomic.Pointer[pgx.ConnConfig] // the configuration of a connection
}

func (f *fromDB) acquire(ctx context.Context) (handle, error) {
	c, err := f.db.Conn(ctx)
	switch {
	case err == nil:
		return sqlConn{c, f}, nil
	case isA[*pgconn.ConnectError](err):
		return nil, connectError(nil, err)
	case ctx.Err() != nil:
		return nil, fmt.Errorf("waiting for a connection of the pool: %w", err)
	}
	return nil, err
}

func (f *fromDB) prepare(ctx context.Context, config *pgconn.Config) (handle, error) {
	like := f.like.Load().Copy()
	like.Config = *config
	return handled(connect(ctx, like))
}

func (f *fromDB) exhausted() bool {
	s := f.db.Stats()
	return s.MaxOpenConnections > 0 && s.InUse >= s.MaxOpenConnections
}

func (f *fromDB) close() {}

type sqlConn struct {
	c    *sql.Conn
	from *fromDB
}

func (s sqlConn) use(f func(*pgconn.PgConn) error) error {
	return s.raw(func(c *pgx.Conn) error { return f(c.PgConn()) })
}

func (s sqlConn) useFully(_ context.Context, f func(*pgx.Conn) error) error { return s.raw(f) }

func (s sqlConn) config() (config func() *pgconn.Config, err error) {
	err = s.raw(func(c *pgx.Conn) error {
		s.from.like.Store(c.Config())
		config, err = full{c}.config()
		return err
	})
	return config, err
}

func (s sqlConn) forGo() goSettings { return goSettings{like: s.from.like.Load()} }

func (s sqlConn) raw(f func(*pgx.Conn) error) error {
	var ferr error // not returned through Raw, which closes the connection for some errors
	err := s.c.Raw(func(dc any) error {
		// a *stdlib.Conn; that package would register itself in programs without a *sql.DB
		c, ok := dc.(interface{ Conn() *pgx.Conn })
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

// single is a connection that the driver opened for a caller's source.
type single struct{ full }

func (s single) release() { closeGently(s.conn.PgConn()) }

func closeGently(pc *pgconn.PgConn) {
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	pc.Close(ctx)
}

// beside opens one more connection to the server of c. It doesn't use the caller's pool, which may
// have no other connection.
func (db *Database) beside(ctx context.Context, c *conn) (*conn, error) {
	config, err := c.pinned(ctx)
	if err != nil {
		return nil, err
	}
	// A wait on it must end immediately when the context ends.
	config.BuildContextWatcherHandler = func(pc *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: pc.Conn()}
	}
	return db.open(ctx, config)
}

func connect(ctx context.Context, config *pgx.ConnConfig) (single, error) {
	c, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return single{}, connectError(&config.Config, err)
	}
	return single{full{c}}, nil
}

// handled returns a connection as a handle, or no handle and the error.
func handled(s single, err error) (handle, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}
